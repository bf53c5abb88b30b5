/* SPDX-License-Identifier: MIT
 *
 * The send list: requests that wait to be encoded, and the scripts, which leave before them.
 *
 *              submit              room, ready
 *    IDLE ---------------> QUEUED --------------> SENT, in the ring
 *      ^                     |
 *      |  withdraw, or the   |
 *      '---------------------'
 *         owner writes nothing
 */
#include "send.h"

#include "../resp/apart.h"

#include "conn_trace.h"
#include "ring.h"
#include "steps.h"
#include "transmit.h"

static RLKI_APART_FOR_SIZE void send_unlink(rlk_conn *conn, rlk_request *request)
{
    rlk_request *next = request->as.list.next;

    if (request == conn->send)
        conn->send = next;
    else
        request->as.list.prev->as.list.next = next;
    if (next == NULL)
        next = conn->send;
    if (next != NULL)
        next->as.list.prev = request->as.list.prev;
}

/* Puts a request back that was the first. */
static void send_put_back(rlk_conn *conn, rlk_request *request)
{
    rlk_request *first = conn->send;

    request->as.list.next = first;
    request->as.list.prev = request;
    if (first != NULL) {
        request->as.list.prev = first->as.list.prev;
        first->as.list.prev = request;
    }
    conn->send = request;
}

/* Encodes the first of the send list. False: no room for it now. */
static bool send_next(rlk_conn *conn)
{
    rlk_request *request = conn->send;
    rlk_resp_writer writer;
    unsigned replies;

    send_unlink(conn, request); /* the owner may use the place of its links */
    rlki_transmit_writer(conn, &writer);
    replies = conn->calls->encode(conn->calls_context, conn, request, &writer);
    if (!rlki_transmit_fits(&writer)) {
        send_put_back(conn, request);
        return false;
    }
    if (replies == 0) {
        request->state = RLK_REQUEST_IDLE;
        return true;
    }
    rlki_ring_push(conn, request, CONN_REQUEST, replies);
    rlki_transmit_take(conn, writer.len);
    return true;
}

void rlki_send_flush(rlk_conn *conn)
{
    /* Nothing may be encoded behind a script until all of it has left. */
    while (!rlki_transmit_has_segment(conn) && !rlki_ring_is_full(conn)) {
        if (conn->scripts.next < conn->scripts.count) {
            CONN_TRACE(conn, true, CONN_SCRIPT_LOAD);
            rlki_ring_push(conn, NULL, CONN_STEP_SCRIPTS, 1);
            rlki_transmit_script(conn, conn->scripts.next);
            conn->scripts.next++;
            conn->ring.loads++;
        } else if (conn->state != RLK_CONN_READY || conn->send == NULL || !send_next(conn)) {
            return;
        }
    }
}

void rlk_conn_submit(rlk_conn *conn, rlk_request *request, int64_t now_ms)
{
    rlk_request *first = conn->send;

    conn->now_ms = now_ms;
    if (request->state != RLK_REQUEST_IDLE)
        return;
    request->state = RLK_REQUEST_QUEUED;
    request->as.list.next = NULL;
    if (first != NULL) { /* whatever it waits for flushes the list when it comes */
        request->as.list.prev = first->as.list.prev;
        first->as.list.prev->as.list.next = request;
        first->as.list.prev = request;
        return;
    }
    request->as.list.prev = request;
    conn->send = request;
    if (conn->state == RLK_CONN_READY)
        rlki_send_flush(conn);
}

bool rlk_conn_withdraw(rlk_conn *conn, rlk_request *request)
{
    bool unsent = request->state != RLK_REQUEST_SENT;

    if (request->state == RLK_REQUEST_QUEUED)
        send_unlink(conn, request);
    else if (!unsent)
        rlki_ring_abandon(conn, request);
    request->state = RLK_REQUEST_IDLE;
    return unsent;
}

void rlk_conn_load_scripts(rlk_conn *conn, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (conn->state != RLK_CONN_READY)
        return; /* the handshake loads them */
    if ((conn->server & RLK_SERVER_NO_LOAD) != 0) {
        conn->server |= RLK_SERVER_EVAL;
        return;
    }
    /*
     * A thousand locks may find the scripts missing at once. A load of which no reply has come, or
     * which has not left yet, is behind the command whose refusal made the caller ask, and so
     * serves him too.
     */
    if (conn->ring.loads == conn->scripts.next || rlki_transmit_has_segment(conn))
        return;
    conn->scripts.next = 0;
    rlki_send_flush(conn);
}
