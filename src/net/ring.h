/* SPDX-License-Identifier: MIT
 *
 * Internal: the ring of what is in flight.
 */
#ifndef RLKI_NET_RING_H
#define RLKI_NET_RING_H

#include "../resp/apart.h"

#include "resplock/net.h"

static inline bool rlki_ring_is_full(const rlk_conn *conn)
{
    return conn->ring.used == conn->ring.len;
}

/* The entry that has `offset` older ones. */
inline rlk_conn_entry *rlki_ring_at(const rlk_conn *conn, uint32_t offset)
{
    uint32_t slot = (uint32_t)conn->ring.head + offset;

    if (slot >= conn->ring.len)
        slot -= conn->ring.len;
    return &conn->ring.entries[slot];
}

/* True if the driver was shown a byte of it. */
inline bool rlki_ring_was_handed(const rlk_conn *conn, const rlk_conn_entry *entry)
{
    /* modulo 2^32: what is in flight is never near half of that */
    return (int32_t)(entry->begin - conn->tx.handed) < 0;
}

/* Enters what begins at the end of tx: `replies` will come for it. The ring is not full. */
inline void rlki_ring_push(rlk_conn *conn, rlk_request *owner, unsigned kind, unsigned replies)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, conn->ring.used);

    entry->owner = owner;
    entry->begin = conn->tx.position + (conn->tx.end - conn->tx.begin);
    entry->replies = (uint8_t)replies;
    entry->kind = (uint8_t)kind;
    if (owner != NULL) {
        owner->state = RLK_REQUEST_SENT;
        owner->slot = (uint16_t)(entry - conn->ring.entries);
    }
    if (conn->ring.used == 0)
        conn->deadline_ms = conn->now_ms + conn->response_timeout_ms;
    conn->ring.used++;
}

/* What the entry is that has `before` older ones: a step of the handshake, or a request. */
unsigned rlki_ring_kind(const rlk_conn *conn, uint32_t before);

/* Takes the owner from the entry of a request that is SENT. */
void rlki_ring_abandon(rlk_conn *conn, const rlk_request *request);

/* The oldest entry, if a reply to it is due. Else NULL. */
inline rlk_conn_entry *rlki_ring_due(const rlk_conn *conn)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, 0);

    return conn->ring.used != 0 && rlki_ring_was_handed(conn, entry) ? entry : NULL;
}

/* Takes the oldest entry out. */
inline void rlki_ring_pop(rlk_conn *conn)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, 0);

    if (entry->owner != NULL)
        entry->owner->state = RLK_REQUEST_IDLE;
    conn->ring.head++;
    if (conn->ring.head == conn->ring.len)
        conn->ring.head = 0;
    conn->ring.used--;
}

/* Gives a whole reply to the oldest entry. */
RLKI_INTO_CALLERS void rlki_ring_reply(rlk_conn *conn, const rlk_reply *reply)
{
    rlk_conn_entry *entry = rlki_ring_at(conn, 0);
    rlk_request *owner = entry->owner;
    unsigned left;

    entry->replies--;
    left = entry->replies;
    if (left == 0) /* before the call, so that the owner can submit again in it */
        rlki_ring_pop(conn);
    if (conn->state == RLK_CONN_READY && conn->ring.used == 0)
        conn->deadline_ms = RLK_NEVER;
    if (owner != NULL)
        conn->calls->reply(conn->calls_context, conn, owner, reply, left);
}

/* Has the oldest entry count as never sent. */
void rlki_ring_refuse(rlk_conn *conn);

/* True if the server can have no request that it did not answer. */
bool rlki_ring_was_answered(const rlk_conn *conn);

/* Empties the ring, oldest first, and reports to the owners. */
void rlki_ring_lose(rlk_conn *conn);

#endif
