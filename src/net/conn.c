/* SPDX-License-Identifier: MIT
 *
 * The connection: its life, its ports, its clock. No I/O.
 *
 *              due, _connecting           _connected             last reply
 *    WAITING -------------------> CONNECTING ------> HANDSHAKE ------------> READY
 *      ^  ^                           |                  |                     |
 *      |  |  _closed by the driver    |                  |                     |
 *      |  +---------------------------+------------------+---------------------+
 *      |                              |                  |                     |
 *      |    _closed                   v time-out, or     v refused, time-out   v time-out,
 *      +-------------------------- CLOSING <-------------+---------------------' protocol,
 *      |                              |  ^  either: a text of the caller changed   condemned
 *      |                              |  '-- _reset, from any of the three: due at once
 *      | _reset                       | _closed, refused for a reason that doesn't pass
 *      '------- FATAL <---------------'
 *
 *    _closed by the peer in HANDSHAKE, at a step that it may not know: to WAITING with the next
 *    attempt due, and no failure (rlki_handshake_hung_up)
 *    _close: from anywhere to CLOSED
 *
 * Everything in flight is lost on the way out of HANDSHAKE and READY. `changed` is called on
 * arrival in READY, and on arrival in WAITING or FATAL after a failure.
 *
 * The backoff grows until a request was answered (condemn.c), or a stream has lasted longer than
 * the longest pause: a peer that closes after each good handshake makes no storm (fault 117).
 */
#include "backoff.h"
#include "condemn.h"
#include "conn_config.h"
#include "conn_flags.h"
#include "conn_trace.h"
#include "fence.h"
#include "handshake.h"
#include "local.h"
#include "receive.h"
#include "ring.h"
#include "script_steps.h"
#include "send.h"
#include "server_text.h"
#include "steps.h"
#include "transmit.h"

#include <string.h>

/* ---- Small parts ------------------------------------------------------------------------- */

#ifndef RLK_NO_TRACE
static const char *conn_state_name(unsigned state)
{
#ifdef RLK_NO_TEXT
    (void)state;
    return "";
#else
    static const char *const names[] = {"WAITING", "CONNECTING", "HANDSHAKE", "READY",
                                        "CLOSING", "FATAL",      "CLOSED"};

    return names[state];
#endif
}
#endif

static void conn_enter(rlk_conn *conn, rlk_conn_state state)
{
    conn->state = (uint8_t)state;
    CONN_TRACE(conn, false, conn_state_name(state));
}

static bool conn_is_fatal(int result)
{
    return rlk_result_class((rlk_result)result) == RLK_KIND_FATAL;
}

static void conn_changed(rlk_conn *conn)
{
    conn->calls->changed(conn->calls_context, conn);
}

/* The next attempt is due. The deadline stays in the past until the driver begins it, so that no
 * loop goes to sleep over it. */
static void conn_make_due(rlk_conn *conn)
{
    conn->deadline_ms = conn->now_ms;
    conn->flags |= CONN_DUE;
}

rlk_result rlki_conn_init(rlk_conn *conn, const rlk_conn_config *config, int64_t now_ms,
                          size_t size, uint32_t layout)
{
    rlk_result result;

    if (conn == NULL || config == NULL)
        return RLK_E_ARGUMENT;
    memset(conn, 0, size); /* of the caller's struct, whichever it is */
    if (size != sizeof *conn || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    conn->state = RLK_CONN_CLOSED; /* so that nothing happens with a bad configuration */
    conn->deadline_ms = RLK_NEVER;
    result = rlki_config_take(conn, config);
    if (result != RLK_OK)
        return result;
    conn->now_ms = now_ms;
    conn->state = RLK_CONN_WAITING;
    conn->result = RLK_E_NOT_CONNECTED;
    rlki_backoff_reset(conn);
    conn_make_due(conn);
    return RLK_OK;
}

/* ---- Ends -------------------------------------------------------------------------------- */

/* Drops the stream's bytes. What is in tx in the handshake may be a password. */
static void conn_drop_stream(rlk_conn *conn)
{
    rlki_transmit_drop(conn);
    rlki_receive_drop(conn);
    conn->flags &= (uint16_t)~CONN_DUE;
}

/* Ends what is in flight, and goes to `state`, in which nothing more is parsed or sent. fence: even
 * if all requests were answered. */
static void conn_end(rlk_conn *conn, rlk_conn_state state, bool fence)
{
    conn->step_ended = rlki_handshake_step(conn);
    if ((conn->flags & CONN_RECEIVED) == 0) {
        if (conn->hung <= 1) /* nor on the streams before */
            conn->protocol = 0;
        if (conn->hung != 0) /* says more than the first step of a plain attempt */
            conn->step_ended = conn->hung;
    }
    conn_drop_stream(conn);
    if (fence || !rlki_ring_was_answered(conn)) {
        conn->old = conn->identity;
        conn->flags |= CONN_FENCE_DUE;
    }
    conn_enter(conn, state);
    conn->deadline_ms = conn->now_ms;
    rlki_ring_lose(conn);
}

/* A stream that was ready may be tried again as it was; an attempt that failed is no proof. */
static void conn_note_failure(rlk_conn *conn, rlk_result why, int sys_errno)
{
    if (conn->state == RLK_CONN_READY &&
        (uint32_t)conn->now_ms - conn->phase.ready.since_ms >= conn->backoff.max_ms)
        rlki_backoff_reset(conn);
    if (conn->state != RLK_CONN_READY)
        conn->flags &= (uint16_t)~CONN_PLAIN;
    conn->flags &= (uint16_t)~CONN_MUTE;
    if ((conn->flags & CONN_RECEIVED) == 0 && conn->hung <= 1) /* nor on the streams before */
        conn->flags |= CONN_MUTE;
    conn->result = (int16_t)why;
    conn->sys_errno = (int16_t)sys_errno;
    conn->failures++;
}

/* Nothing failed, as far as the next attempt goes; that is due at once. */
static void conn_begin_anew(rlk_conn *conn)
{
    conn->flags &= (uint16_t) ~(CONN_RESET | CONN_PLAIN | CONN_WHOLE);
    conn->hung = 0;
    conn_enter(conn, RLK_CONN_WAITING);
    conn->result = RLK_E_NOT_CONNECTED;
    conn->sys_errno = 0;
    conn->step_ended = 0;
    rlki_text_forget(conn);
    rlki_condemn_forget(conn);
    rlki_backoff_reset(conn);
    conn_make_due(conn);
}

/* After a failure, with no stream any more. */
static void conn_settle(rlk_conn *conn)
{
    conn->hung = 0;
    if ((conn->flags & CONN_RESET) != 0) {
        conn_begin_anew(conn);
    } else if (conn_is_fatal(conn->result)) {
        conn_enter(conn, RLK_CONN_FATAL);
        conn->deadline_ms = RLK_NEVER;
    } else {
        conn_enter(conn, RLK_CONN_WAITING);
        conn->deadline_ms = conn->now_ms + rlki_backoff_next(conn);
    }
    conn_changed(conn);
}

/* Ends the attempt or the stream for `why`. */
static void conn_fail(rlk_conn *conn, rlk_result why)
{
    conn_note_failure(conn, why, 0);
    conn_end(conn, RLK_CONN_CLOSING, false);
}

/* A text that is another now (fault 119) may lead to another server: the attempt fails. */
static bool conn_dangles(rlk_conn *conn)
{
    bool dangles = rlki_config_dangles(conn);

    if (dangles)
        conn_fail(conn, RLK_E_DANGLING);
    return dangles;
}

void rlk_conn_closed(rlk_conn *conn, rlk_result why, int sys_errno, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_HANDSHAKE && why <= RLK_E_EOF && why >= RLK_E_TLS_CUT &&
        rlki_handshake_hung_up(conn)) {
        conn_end(conn, RLK_CONN_WAITING, false);
        conn->flags &= (uint16_t)~CONN_OPEN;
        conn_make_due(conn);
        return;
    }
    if (conn->state == RLK_CONN_CONNECTING || conn_is_up(conn)) {
        conn_note_failure(conn, why < 0 ? why : RLK_E_EOF, sys_errno);
        conn_end(conn, RLK_CONN_CLOSING, false);
    }
    conn->flags &= (uint16_t)~CONN_OPEN;
    if (conn->state == RLK_CONN_CLOSING)
        conn_settle(conn);
}

/* The same where what was answered must be fenced too: replies and requests did not match, or the
 * answer was one of several. */
static void conn_distrust(rlk_conn *conn, rlk_result why)
{
    bool fence = conn->state == RLK_CONN_READY; /* before, there were no requests */

    conn_note_failure(conn, why, 0);
    conn_end(conn, RLK_CONN_CLOSING, fence);
}

void rlk_conn_reject(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_READY)
        conn_distrust(conn, RLK_E_UNEXPECTED);
}

void rlk_conn_close(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_CLOSED)
        return;
    conn_end(conn, RLK_CONN_CLOSED, false);
    conn->result = RLK_E_CLOSED;
    conn->deadline_ms = RLK_NEVER;
}

/* ---- Beginnings -------------------------------------------------------------------------- */

void rlk_conn_reset(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    switch (conn->state) {
    case RLK_CONN_WAITING:
    case RLK_CONN_FATAL:
        conn->flags |= CONN_REPLACED;
        conn_begin_anew(conn);
        break;
    case RLK_CONN_CONNECTING:
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        conn_fail(conn, RLK_E_NOT_CONNECTED);
        conn->flags |= CONN_RESET | CONN_REPLACED;
        break;
    case RLK_CONN_CLOSING:
        conn->flags |= CONN_RESET | CONN_REPLACED;
        break;
    default:
        break;
    }
}

void rlk_conn_hurry(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state == RLK_CONN_WAITING)
        conn_make_due(conn);
}

void rlk_conn_connecting(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_WAITING)
        return;
    conn_enter(conn, RLK_CONN_CONNECTING);
    conn->flags &= (uint16_t)~CONN_DUE;
    conn->flags |= CONN_OPEN;
    conn->deadline_ms = now_ms + conn->connect_timeout_ms;
    (void)conn_dangles(conn);
}

static void conn_become_ready(rlk_conn *conn)
{
    conn->result = RLK_OK;
    conn_enter(conn, RLK_CONN_READY);
    conn->deadline_ms = RLK_NEVER;
    conn->sys_errno = 0;
    conn->step_ended = 0;
    conn->generation++;
    conn->hung = 0;
    if ((conn->flags & CONN_PLAIN) == 0)
        conn->flags |= CONN_WHOLE;
    if (rlki_fence_decide(&conn->identity, &conn->identity) != RLKI_FENCE_NONE)
        conn->server |= RLK_SERVER_IDENTITY;
    if ((conn->flags & CONN_FENCE_DUE) != 0) /* tried, without success */
        conn->flags |= CONN_UNFENCED;
    conn->flags &= (uint16_t)~CONN_FENCE_DUE;
    rlki_text_forget(conn);
    conn->phase.ready.since_ms = (uint32_t)conn->now_ms;
    conn->phase.ready.lasting_ms = 0;
    conn_changed(conn);
    conn->flags &= (uint16_t)~CONN_REPLACED;
}

/* Sends what can be sent: steps of the handshake, scripts, requests. */
static inline void conn_pump(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlk_result result = rlki_handshake_pump(conn);

        if (result != RLK_OK)
            conn_fail(conn, result);
        else if (rlki_handshake_is_over(conn))
            conn_become_ready(conn);
    }
    if (conn->state == RLK_CONN_READY && rlki_send_waits(conn))
        rlki_send_flush(conn);
}

void rlk_conn_connected(rlk_conn *conn, uint64_t peer, const char *local, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_CONNECTING)
        return;
    conn_enter(conn, RLK_CONN_HANDSHAKE);
    conn->flags &= (uint16_t) ~(CONN_RECEIVED | CONN_UNFENCED | CONN_TRACKING | CONN_SERVED);
    conn->server = (conn->flags & CONN_PLAIN) != 0 ? RLK_SERVER_PLAIN : 0;
    if (conn->server != 0 && rlki_script_may_eval(conn))
        conn->server |= RLK_SERVER_NO_LOAD;
    conn->protocol = conn_is_resp2_only(conn) || conn->server != 0 ? 2 : 0;
    conn->scripts.next = conn->scripts.count;
    conn->ring.loads = 0;
    conn->tx.needed = 0;
    conn->missed = 0;
    conn->step = 0;
    memset(&conn->identity, 0, sizeof conn->identity);
    conn->identity.peer = rlki_condemn_number(peer);
    if (local != NULL)
        rlki_local_pack(&conn->identity.local, local);
    rlki_transmit_begin(conn);
    rlki_receive_begin(conn);
    if (!conn_dangles(conn)) /* credentials and name leave now */
        conn_pump(conn);
}

/* ---- Transmit port ----------------------------------------------------------------------- */

void rlk_conn_tx_ack(rlk_conn *conn, size_t len, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn_is_up(conn) && rlki_transmit_ack(conn, len))
        conn_pump(conn);
}

/* ---- Received bytes ---------------------------------------------------------------------- */

/* A whole reply, to the oldest entry. */
static void conn_take_reply(rlk_conn *conn, const rlk_conn_entry *entry, const rlk_reply *reply)
{
    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlk_result result = rlki_handshake_reply(conn, entry->kind, reply);

        if (result != RLK_OK) {
            rlki_condemn_address(conn, result);
            conn_fail(conn, result);
            return;
        }
    } else if (rlki_condemn(conn, reply->error)) {
        bool more = entry->replies > 1; /* commands of the same request, which may execute */

        rlki_ring_refuse(conn);
        if (more)
            conn_distrust(conn, reply->error);
        else
            conn_fail(conn, reply->error);
        return;
    }
    if (entry->kind == CONN_STEP_SCRIPTS)
        conn->ring.loads--;
    rlki_ring_reply(conn, reply);
}

/* A token of a reply. */
static void conn_take_token(rlk_conn *conn, const rlk_resp_token *token)
{
    const rlk_conn_entry *entry = rlki_ring_due(conn);
    bool handshake = conn->state == RLK_CONN_HANDSHAKE;
    rlk_reply reply;

    /* A server that is full or protected says so before it has read anything (fault 16). */
    if (entry == NULL && !(handshake && rlki_receive_is_error(conn))) {
        conn_distrust(conn, RLK_E_UNSOLICITED);
        return;
    }
    conn->deadline_ms = conn->now_ms + conn->response_timeout_ms;
    if (entry != NULL && handshake)
        rlki_handshake_token(conn, entry->kind, token);
    if ((token->flags & RLK_RESP_DONE) == 0)
        return;
    rlki_receive_reply(conn, token, &reply);
    if (reply.error != RLK_OK)
        rlki_text_mask(conn, reply.error, entry != NULL && rlki_handshake_is_secret(entry->kind));
    if (entry != NULL)
        conn_take_reply(conn, entry, &reply);
    else
        conn_fail(conn, reply.error);
}

void rlk_conn_rx_ack(rlk_conn *conn, size_t len, int64_t now_ms)
{
    rlk_resp_token token;
    rlk_resp_status status = RLK_RESP_TOKEN;

    conn->now_ms = now_ms;
    if (!rlki_receive_add(conn, len))
        return;
    while (status == RLK_RESP_TOKEN && conn_is_up(conn) && !rlki_receive_is_over(conn)) {
        status = rlki_receive_next(conn, &token);
        if (status == RLK_RESP_TOKEN)
            conn_take_token(conn, &token);
        else if (status != RLK_RESP_MORE)
            conn_distrust(conn,
                          (conn->flags & CONN_RECEIVED) != 0 ? RLK_E_PROTOCOL : RLK_E_NOT_RESP);
    }
    if (conn->calls->received != NULL)
        conn->calls->received(conn->calls_context, conn);
    conn_pump(conn);
}

/* ---- Time -------------------------------------------------------------------------------- */

void rlk_conn_tick(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (now_ms < conn->deadline_ms)
        return;
    switch (conn->state) {
    case RLK_CONN_WAITING:
        conn->flags |= CONN_DUE;
        break;
    case RLK_CONN_CONNECTING:
        conn_fail(conn, RLK_E_CONNECT_TIMEOUT);
        break;
    case RLK_CONN_HANDSHAKE:
    case RLK_CONN_READY:
        conn_fail(conn, RLK_E_RESPONSE_TIMEOUT);
        break;
    default:
        break;
    }
}

unsigned rlk_conn_wants(const rlk_conn *conn)
{
    if (conn_is_up(conn))
        return rlki_transmit_is_empty(conn) ? RLK_WANT_READ : RLK_WANT_READ | RLK_WANT_WRITE;
    switch (conn->state) {
    case RLK_CONN_WAITING:
        return (conn->flags & CONN_DUE) != 0 ? RLK_WANT_CONNECT : 0;
    case RLK_CONN_CLOSING:
        return RLK_WANT_CLOSE;
    case RLK_CONN_CLOSED:
        return (conn->flags & CONN_OPEN) != 0 ? RLK_WANT_CLOSE : 0;
    default:
        return 0;
    }
}
