/* SPDX-License-Identifier: MIT
 *
 * Internal: the ring of what is in flight.
 */
#ifndef RLKI_NET_RING_H
#define RLKI_NET_RING_H

#include "resplock/net.h"

static inline bool rlki_ring_is_full(const rlk_conn *conn)
{
    return conn->ring.used == conn->ring.len;
}

/* Enters what begins at the end of tx: `replies` will come for it. The ring is not full. */
void rlki_ring_push(rlk_conn *conn, rlk_request *owner, unsigned kind, unsigned replies);

/* What the entry is that has `before` older ones: a step of the handshake, or a request. */
unsigned rlki_ring_kind(const rlk_conn *conn, uint32_t before);

/* Takes the owner from the entry of a request that is SENT. */
void rlki_ring_abandon(rlk_conn *conn, const rlk_request *request);

/* The oldest entry, if a reply to it is due: the driver was shown a byte of it. Else NULL. */
rlk_conn_entry *rlki_ring_due(const rlk_conn *conn);

/* Gives a whole reply to the oldest entry. */
void rlki_ring_reply(rlk_conn *conn, const rlk_reply *reply);

/* Has the oldest entry count as never sent. */
void rlki_ring_refuse(rlk_conn *conn);

/* True if the server can have no request that it did not answer. */
bool rlki_ring_was_answered(const rlk_conn *conn);

/* Empties the ring, oldest first, and reports to the owners. */
void rlki_ring_lose(rlk_conn *conn);

#endif
