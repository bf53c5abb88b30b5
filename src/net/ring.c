/* SPDX-License-Identifier: MIT
 *
 * The ring of what is in flight, oldest first.
 *
 *          push                    last reply
 *    ... ---------> entry, SENT ------------------> IDLE
 *                     |   |   stream ends: lost
 *                     |   '-----------------------> IDLE
 *                     |  withdrawn
 *                     '---> entry without owner, whose replies are discarded
 *
 * An entry knows where in the stream its first byte stands. What lies before tx_handed was shown
 * to the driver, and counts as sent. Replies come in the order of the entries. That order keeps a
 * reply from another's request, and so does that no entry leaves before its last reply.
 */
#include "ring.h"

#include "steps.h"

extern inline rlk_conn_entry *rlki_ring_at(const rlk_conn *conn, uint32_t offset);
extern inline bool rlki_ring_was_handed(const rlk_conn *conn, const rlk_conn_entry *entry);

extern inline void rlki_ring_pop(rlk_conn *conn);

extern inline void rlki_ring_push(rlk_conn *conn, rlk_request *owner, unsigned kind,
                                  unsigned replies);

extern inline rlk_conn_entry *rlki_ring_due(const rlk_conn *conn);

extern inline void rlki_ring_reply(rlk_conn *conn, const rlk_reply *reply);

void rlki_ring_refuse(rlk_conn *conn)
{
    rlki_ring_at(conn, 0)->begin = conn->tx.handed;
}

unsigned rlki_ring_kind(const rlk_conn *conn, uint32_t before)
{
    return rlki_ring_at(conn, before)->kind;
}

void rlki_ring_abandon(rlk_conn *conn, const rlk_request *request)
{
    conn->ring.entries[request->slot].owner = NULL;
}

bool rlki_ring_was_answered(const rlk_conn *conn)
{
    uint32_t i;

    for (i = 0; i < conn->ring.used; i++) {
        const rlk_conn_entry *entry = rlki_ring_at(conn, i);

        if (entry->kind == CONN_REQUEST && rlki_ring_was_handed(conn, entry))
            return false;
    }
    return true;
}

void rlki_ring_lose(rlk_conn *conn)
{
    while (conn->ring.used != 0) {
        rlk_conn_entry entry = *rlki_ring_at(conn, 0);

        rlki_ring_pop(conn);
        if (entry.owner != NULL)
            conn->calls->lost(conn->calls_context, conn, entry.owner,
                              rlki_ring_was_handed(conn, &entry));
    }
}
