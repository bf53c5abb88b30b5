/* SPDX-License-Identifier: MIT
 *
 * Internal: user and password, for the steps of the handshake that have them.
 */
#ifndef RLKI_NET_LOGIN_H
#define RLKI_NET_LOGIN_H

#include "steps.h"

#include "resplock/net.h"

/* Texts are where the caller or the URL has them; only the transmit buffer gets a copy. */
typedef struct rlki_login {
    rlk_credentials texts;
    bool escaped; /* percent-encoded, as in the URL */
    bool wanted;
} rlki_login;

/* Asks for them: the hook, or the URL. RLK_OK, RLK_E_CREDENTIALS, RLK_E_DANGLING. */
rlk_result rlki_login_ask(rlk_conn *conn, rlki_login *login);

/* Writes the user, if it has one, and the password: an argument of a command each. */
void rlki_login_put(rlk_resp_writer *writer, const rlki_login *login);

/* Room in tx that the URL's credentials need, RLK_CONN_TX_MIN without any. */
size_t rlki_login_room(const rlk_url *url);

extern const conn_step rlki_step_auth;

#endif
