/* SPDX-License-Identifier: MIT
 *
 * A lock that is held: its loss, and the compares of nodes where somebody changed the key.
 */
#ifndef RLKI_LOCK_HELD_H
#define RLKI_LOCK_HELD_H

#include "lease.h"
#include "node_lock.h"

/* The lock is held no more without having been released: `result` is what an operation under way
 * comes to that needs the lease. */
void rlki_held_lose(rlk_lock *lock, rlk_result result);

/* Compares dirty nodes, as soon as they can be asked. */
void rlki_held_compare_dirty(rlk_lock *lock);
static inline void rlki_held_compare(rlk_lock *lock)
{
    if (lock->as.hold.dirty != 0 || lock->client->now_ms >= lock->as.hold.watch_ms)
        rlki_held_compare_dirty(lock);
}

/* Takes what a node reports of a lock that is held. */
void rlki_held_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report);

/* Returns true if too few nodes are left that may have our token for a quorum. */
bool rlki_held_is_absent(const rlk_lock *lock);

#endif
