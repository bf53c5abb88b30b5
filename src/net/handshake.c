/* SPDX-License-Identifier: MIT
 *
 * The handshake: a table of steps, sent in order, as many at once as need not wait for each other.
 *
 *    HELLO 3 | --map---> [CLIENT TRACKING] ------> [CLIENT ID] SELECT [INFO] | [fence] scripts
 *              | --proto 2, array -----------------> ^                                   |
 *              '-refused--> AUTH [CLIENT SETNAME] ---'                                   ready
 *
 *    [ ] optional: refused is good enough       | barrier: first all replies before it
 *
 * Where no fence is due, two round trips. The fence waits for INFO, since that says how.
 */
#include "handshake.h"

#include "conn_flags.h"
#include "conn_trace.h"
#include "fence.h"
#include "hello.h"
#include "info.h"
#include "login.h"
#include "ring.h"
#include "script_steps.h"
#include "send.h"
#include "server_text.h"
#include "session.h"
#include "transmit.h"
#include "wipe.h"

/* By CONN_STEP_*. */
static const conn_step *const handshake_steps[CONN_STEPS] = {
#ifndef RLK_RESP2_ONLY
    &rlki_step_hello,
#endif
    &rlki_step_auth,      &rlki_step_setname,
#ifndef RLK_RESP2_ONLY
    &rlki_step_tracking,
#endif
    &rlki_step_client_id, &rlki_step_select,  &rlki_step_info, &rlki_step_fence,
    &rlki_step_scripts,   &rlki_step_probe,   &rlki_step_eval,
};

const char *rlki_handshake_name(unsigned kind)
{
    /* Behind the last step: only the driver's word is awaited that the last bytes have left. */
    return handshake_steps[kind < CONN_STEPS ? kind : (unsigned)CONN_STEP_SCRIPTS]->name;
}

/* Sends the next step, or skips it. False: not now, or *result says why the handshake fails. */
static bool handshake_send(rlk_conn *conn, rlk_result *result)
{
    const conn_step *step = handshake_steps[conn->step];
    rlk_resp_writer writer;
    bool plain = (conn->flags & CONN_PLAIN) != 0;

    /* What keeps a script back keeps all else back too. */
    if (rlki_transmit_has_segment(conn) || rlki_ring_is_full(conn))
        return false;
    rlki_transmit_writer(conn, &writer);
    if (!plain || (step->flags & CONN_STEP_EXTRA) == 0)
        *result = step->encode(conn, &writer);
    if (*result == RLK_OK && !rlki_transmit_fits(&writer)) {
        rlki_wipe(writer.buf, writer.cap);
        if (conn->tx.end != 0)
            return false;
        /* All the buffer is free, and only credentials can be too long for it. */
        conn->tx.needed = writer.len < UINT32_MAX ? (uint32_t)writer.len : UINT32_MAX;
        *result = RLK_E_CREDENTIALS;
    }
    if (*result != RLK_OK)
        return false;
    if (writer.len != 0) {
        CONN_TRACE(conn, true, step->name);
        rlki_ring_push(conn, NULL, conn->step, 1);
        rlki_transmit_take(conn, writer.len);
    }
    conn->step++;
    return true;
}

rlk_result rlki_handshake_pump(rlk_conn *conn)
{
    rlk_result result = RLK_OK;

    do
        rlki_send_flush(conn); /* scripts */
    while (conn->step < CONN_STEPS && handshake_send(conn, &result));
    return result < 0 ? result : RLK_OK;
}

/* The last steps have waited until all scripts have left. What was not acknowledged yet is not
 * wiped yet: a driver may report a reply before it reports that the last bytes have left. */
bool rlki_handshake_is_over(const rlk_conn *conn)
{
    return conn->step == CONN_STEPS && conn->ring.used == 0 && conn->tx.end == conn->tx.begin;
}

void rlki_handshake_token(rlk_conn *conn, unsigned kind, const rlk_resp_token *token)
{
    if (handshake_steps[kind]->token != NULL)
        handshake_steps[kind]->token(conn, token);
}

/*
 * Some proxies end the stream at a command that they do not know (fault 103). It may be
 * an accident, so the first time the attempt is made again as it was. If it ends so again, the
 * next one leaves out HELLO and whatever the lock can do without. If that one gets through, so do
 * later ones, until one fails:
 *
 *    full --hung up--> full --hung up--> plain --ready--> plain ...
 *      ^                 | another         | any failure
 *      '-----------------+-----------------'
 *
 * A peer that took a full handshake before knows all of it: so what must be fenced can be.
 */
bool rlki_handshake_hung_up(rlk_conn *conn)
{
    bool extra = false; /* among those that were sent: answers before it may be lost too */
    uint32_t i;

    for (i = 0; i < conn->ring.used; i++) {
        unsigned kind = rlki_ring_kind(conn, i);

        if ((handshake_steps[kind]->flags & CONN_STEP_EXTRA) != 0 ||
            (kind == CONN_STEP_SCRIPTS && rlki_script_may_eval(conn)))
            extra = true;
    }
    if (!extra || (conn->flags & (CONN_PLAIN | CONN_WHOLE)) != 0)
        return false;
    if (conn->hung != 0)
        conn->flags |= CONN_PLAIN;
    else
        conn->hung = (uint8_t)(rlki_ring_kind(conn, 0) + 1u);
    return true;
}

bool rlki_handshake_is_secret(unsigned kind)
{
    return kind != CONN_REQUEST && (handshake_steps[kind]->flags & CONN_STEP_SECRET) != 0;
}

/* Errors that say the same at any step; HELLO sees to them itself. */
static bool handshake_is_final(unsigned kind, rlk_result error)
{
#ifdef RLK_RESP2_ONLY
    (void)kind;
#else
    if (kind == CONN_STEP_HELLO)
        return false;
#endif
    return error == RLK_E_AUTH || error == RLK_E_NOAUTH || error == RLK_E_PROTECTED ||
           error == RLK_E_SERVER_FULL;
}

rlk_result rlki_handshake_reply(rlk_conn *conn, unsigned kind, const rlk_reply *reply)
{
    const conn_step *step = handshake_steps[kind];

    if (handshake_is_final(kind, reply->error)) /* NOAUTH is the credentials' fault here */
        return reply->error == RLK_E_NOAUTH ? RLK_E_AUTH : reply->error;
    if (reply->error != RLK_OK && (step->flags & CONN_STEP_OPTIONAL) != 0) {
        rlki_text_forget(conn);
        return RLK_OK;
    }
    return step->reply != NULL ? step->reply(conn, reply) : RLK_OK;
}

uint8_t rlki_handshake_step(const rlk_conn *conn)
{
    if (conn->state != RLK_CONN_HANDSHAKE)
        return 0;
    if (conn->ring.used != 0)
        return (uint8_t)(rlki_ring_kind(conn, 0) + 1u);
    /* Answered before the driver has acknowledged all of it. */
    if (rlki_transmit_has_segment(conn))
        return CONN_STEP_SCRIPTS + 1u;
    return (uint8_t)(conn->step + 1u);
}
