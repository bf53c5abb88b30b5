/* SPDX-License-Identifier: MIT
 *
 * Internal: the text of a server's error, as a connection keeps it.
 */
#ifndef RLKI_NET_SERVER_TEXT_H
#define RLKI_NET_SERVER_TEXT_H

#include "resplock/net.h"

/* Forgets the text, every byte of it. */
void rlki_text_forget(rlk_conn *conn);

/* Appends as much of a token as there is room for; the first one of a string begins anew. */
void rlki_text_keep(rlk_conn *conn, const rlk_resp_token *token);

/* Masks what the text, which means `error`, repeats of a command: the password, if that was
 * `secret`, and tokens. */
void rlki_text_mask(rlk_conn *conn, rlk_result error, bool secret);

#endif
