/* SPDX-License-Identifier: MIT
 *
 * The dispatcher: the one place that steps an operation.
 */
#ifndef RLKI_LOCK_MACHINE_H
#define RLKI_LOCK_MACHINE_H

#include "node_lock.h"

/* Enters a public call: the fork check, the clock, the lock's own deadlines. */
rlk_result rlki_machine_enter(rlk_lock *lock);

/* Steps the lock as far as it can go, and the locks that were put on the ready list meanwhile. */
void rlki_machine_run(rlk_lock *lock);

/* Steps the locks of the ready list. */
void rlki_machine_drain_all(rlk_client *client);

static inline void rlki_machine_drain(rlk_client *client)
{
    if (client->ready != NULL)
        rlki_machine_drain_all(client);
}

/* Does what is due on a lock at client->now_ms. */
void rlki_machine_tick(rlk_lock *lock);

/* A node has answered, or the stream ended before it did. */
void rlki_machine_reply(rlk_node_lock *node, rlk_conn *conn, const rlk_reply *reply, unsigned left);
void rlki_machine_lost(rlk_node_lock *node, bool maybe_sent);

/* The connection of a node became ready, or failed. */
void rlki_machine_changed(rlk_lock *lock, unsigned index);

#endif
