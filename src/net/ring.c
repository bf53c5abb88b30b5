/* SPDX-License-Identifier: MIT
 *
 * The ring of requests in flight and the send list before it.
 *
 *              submit              room, ready               last reply
 *    IDLE ---------------> QUEUED --------------> SENT -------------------> IDLE
 *      ^                     |                      |   stream ends: lost
 *      |  withdraw, or the   |       withdraw       |
 *      '---------------------'                      '--> IDLE, and an entry without owner,
 *         owner writes nothing                           whose replies are discarded
 *
 * An entry knows where in the stream its first byte stands. What lies before tx_handed was shown
 * to the driver, and counts as sent. Replies come in the order of the entries; that order, and
 * that no entry leaves before its last reply, is what keeps a reply from another's request.
 */
#include "condemn.h"
#include "conn_internal.h"

/* ---- Entries ----------------------------------------------------------------------------- */

static rlk_conn_entry *ring_at(const rlk_conn *conn, uint32_t offset)
{
    uint32_t slot = (uint32_t)conn->ring_head + offset;

    if (slot >= conn->ring_len)
        slot -= conn->ring_len;
    return &conn->ring[slot];
}

static bool ring_is_full(const rlk_conn *conn)
{
    return conn->ring_used == conn->ring_len;
}

static bool ring_was_handed(const rlk_conn *conn, const rlk_conn_entry *entry)
{
    /* modulo 2^32: what is in flight is never near half of that */
    return (int32_t)(entry->begin - conn->tx_handed) < 0;
}

static void ring_pop(rlk_conn *conn)
{
    rlk_conn_entry *entry = ring_at(conn, 0);

    if (entry->owner != NULL)
        entry->owner->state = RLK_REQUEST_IDLE;
    if (entry->kind == rlki_handshake_script_kind())
        conn->loads--;
    conn->ring_head++;
    if (conn->ring_head == conn->ring_len)
        conn->ring_head = 0;
    conn->ring_used--;
}

/* SCRIPT LOAD's own words, before the script's length: what is behind them is EVAL's too. */
#define RING_LOAD_HEAD (sizeof "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n" - 1)

static void ring_segment(rlk_conn *conn, const rlk_conn_script *script, size_t from)
{
    conn->segment = (const uint8_t *)script->load + from;
    conn->segment_left = (uint16_t)(script->load_len - from);
}

void rlk_conn_put_script(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_bulk(writer, "EVAL", 4);
    conn->segment_at = conn->tx_end + (uint32_t)writer->len;
}

void rlki_ring_writer(rlk_conn *conn, rlk_resp_writer *writer)
{
    conn->segment_at = 0; /* no script is asked for; it would have a command's header before it */
    rlk_resp_writer_init(writer, conn->tx + conn->tx_end, conn->tx_cap - conn->tx_end);
}

void rlki_ring_push(rlk_conn *conn, rlk_request *owner, unsigned kind, unsigned replies,
                    size_t written)
{
    rlk_conn_entry *entry = ring_at(conn, conn->ring_used);

    entry->owner = owner;
    entry->begin = conn->tx_position + (conn->tx_end - conn->tx_begin);
    entry->replies = (uint8_t)replies;
    entry->kind = (uint8_t)kind;
    if (owner != NULL) {
        owner->state = RLK_REQUEST_SENT;
        owner->slot = (uint16_t)(entry - conn->ring);
    }
    if (kind == rlki_handshake_script_kind())
        conn->loads++;
    if (conn->ring_used == 0)
        conn->deadline_ms = conn->now_ms + conn->response_timeout_ms;
    conn->ring_used++;
    if (written != 0 && conn->segment_at != 0)
        ring_segment(conn, &conn->scripts[0], RING_LOAD_HEAD);
    conn->tx_end += (uint32_t)written;
}

bool rlki_ring_is_due(const rlk_conn *conn)
{
    return conn->ring_used != 0 && ring_was_handed(conn, ring_at(conn, 0));
}

void rlki_ring_reply(rlk_conn *conn, const rlk_reply *reply)
{
    rlk_conn_entry *entry = ring_at(conn, 0);
    rlk_request *owner = entry->owner;
    unsigned left;

    if (conn->state == RLK_CONN_HANDSHAKE) {
        rlk_result result = rlki_handshake_reply(conn, entry->kind, reply);

        if (result != RLK_OK) {
            rlki_conn_fail(conn, result);
            return;
        }
    } else if (rlki_condemn(conn, reply->error)) {
        bool more = entry->replies > 1; /* commands of the same request, which may execute */

        entry->begin = conn->tx_handed; /* lost, and refused: as one that was never sent */
        if (more)
            rlki_conn_distrust(conn, reply->error);
        else
            rlki_conn_fail(conn, reply->error);
        return;
    }
    entry->replies--;
    left = entry->replies;
    if (left == 0) /* before the call, so that the owner can submit again in it */
        ring_pop(conn);
    if (conn->state == RLK_CONN_READY && conn->ring_used == 0)
        conn->deadline_ms = RLK_NEVER;
    if (owner != NULL)
        conn->calls->reply(conn->calls_context, conn, owner, reply, left);
}

bool rlki_ring_was_answered(const rlk_conn *conn)
{
    uint32_t i;

    for (i = 0; i < conn->ring_used; i++) {
        const rlk_conn_entry *entry = ring_at(conn, i);

        if (entry->kind == CONN_KIND_REQUEST && ring_was_handed(conn, entry))
            return false;
    }
    return true;
}

void rlki_ring_lose(rlk_conn *conn)
{
    while (conn->ring_used != 0) {
        rlk_conn_entry entry = *ring_at(conn, 0);

        ring_pop(conn);
        if (entry.owner != NULL)
            conn->calls->lost(conn->calls_context, conn, entry.owner,
                              ring_was_handed(conn, &entry));
    }
}

/* ---- Send list --------------------------------------------------------------------------- */

static void ring_unlink(rlk_conn *conn, rlk_request *request)
{
    if (request->prev != NULL)
        request->prev->next = request->next;
    else
        conn->send_head = request->next;
    if (request->next != NULL)
        request->next->prev = request->prev;
    else
        conn->send_tail = request->prev;
    request->next = NULL;
    request->prev = NULL;
}

/* Encodes the first of the send list. False: no room for it now. */
static bool ring_send(rlk_conn *conn)
{
    rlk_request *request = conn->send_head;
    rlk_resp_writer writer;
    unsigned replies;

    rlki_ring_writer(conn, &writer);
    replies = conn->calls->encode(conn->calls_context, conn, request, &writer);
    if (rlk_resp_writer_result(&writer) != RLK_OK)
        return false;
    ring_unlink(conn, request);
    if (replies == 0)
        request->state = RLK_REQUEST_IDLE;
    else
        rlki_ring_push(conn, request, CONN_KIND_REQUEST, replies, writer.len);
    return true;
}

void rlki_ring_flush(rlk_conn *conn)
{
    /* Nothing may be encoded behind a script until all of it has left. */
    while (!conn_has_segment(conn) && !ring_is_full(conn)) {
        if (conn->script < conn->scripts_len) {
            ring_segment(conn, &conn->scripts[conn->script], 0);
            conn->segment_at = conn->tx_end;
            conn->script++;
            CONN_TRACE(conn, true, rlki_handshake_name(rlki_handshake_script_kind()));
            rlki_ring_push(conn, NULL, rlki_handshake_script_kind(), 1, 0);
        } else if (conn->state != RLK_CONN_READY || conn->send_head == NULL || !ring_send(conn)) {
            return;
        }
    }
}

void rlk_conn_submit(rlk_conn *conn, rlk_request *request, int64_t now_ms)
{
    bool alone = conn->send_head == NULL;

    conn->now_ms = now_ms;
    if (request->state != RLK_REQUEST_IDLE)
        return;
    request->state = RLK_REQUEST_QUEUED;
    request->next = NULL;
    request->prev = conn->send_tail;
    if (alone)
        conn->send_head = request;
    else
        conn->send_tail->next = request;
    conn->send_tail = request;
    /* Behind others it can't go yet: whatever they wait for flushes the list when it comes. */
    if (alone && conn->state == RLK_CONN_READY)
        rlki_ring_flush(conn);
}

bool rlk_conn_withdraw(rlk_conn *conn, rlk_request *request)
{
    bool unsent = request->state != RLK_REQUEST_SENT;

    if (request->state == RLK_REQUEST_QUEUED)
        ring_unlink(conn, request);
    else if (!unsent)
        conn->ring[request->slot].owner = NULL;
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
    if (conn->loads == conn->script || conn_has_segment(conn))
        return;
    conn->script = 0;
    rlki_ring_flush(conn);
}
