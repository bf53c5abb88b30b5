/* SPDX-License-Identifier: MIT
 *
 * Internal: the handshake. `kind` is that of an entry of the ring.
 */
#ifndef RLKI_NET_HANDSHAKE_H
#define RLKI_NET_HANDSHAKE_H

#include "resplock/net.h"

/* Sends the steps that may leave now. RLK_OK, or why the attempt fails. */
rlk_result rlki_handshake_pump(rlk_conn *conn);

/* True when all were answered. */
bool rlki_handshake_is_over(const rlk_conn *conn);

/* A token of the reply to a step. */
void rlki_handshake_token(rlk_conn *conn, unsigned kind, const rlk_resp_token *token);

/* The whole reply to it. RLK_OK to go on, or why the attempt fails. */
rlk_result rlki_handshake_reply(rlk_conn *conn, unsigned kind, const rlk_reply *reply);

/* True of a step whose command has the password in it; not of a request. */
bool rlki_handshake_is_secret(unsigned kind);

/* The peer ended the stream. True: with a step under way that the lock can do without, so the next
 * attempt is made at once; after two consecutive such ends it leaves out all such steps. */
bool rlki_handshake_hung_up(rlk_conn *conn);

/* The step under way, plus 1; 0: none. */
uint8_t rlki_handshake_step(const rlk_conn *conn);

/* Name of a step. */
const char *rlki_handshake_name(unsigned kind);

#endif
