/* SPDX-License-Identifier: MIT
 *
 * The client's index of keys: who holds one, and who waits for it in which order.
 */
#ifndef RLKI_LOCK_WAIT_QUEUE_H
#define RLKI_LOCK_WAIT_QUEUE_H

#include "state.h"

/* Position of a lock in the client's index. */
enum {
    RLKI_POSITION_NONE,
    RLKI_POSITION_HOLDER,
    RLKI_POSITION_FIRST, /* of those that wait for the key */
    RLKI_POSITION_BEHIND /* the first */
};

/* Returns the first lock of the bucket of a hash; queue_next leads to the others. */
rlk_lock *rlki_queue_bucket(const rlk_client *client, uint32_t key_hash);

/* Returns the client's lock that holds the key of this one now; NULL: none. */
const rlk_lock *rlki_queue_holder(const rlk_lock *lock);

/* Returns true if a lock of the client holds the key of this one, or waits for it and has seen a
 * holder. */
bool rlki_queue_is_held(const rlk_lock *lock);

/* Returns false if a lock of the client holds the key of this one, and has not had the server
 * notify of it there. */
bool rlki_queue_is_watched(const rlk_lock *lock);

/* Counts consecutive local hand-offs, if `lock` has the key next without a pause: at least what
 * `before` counts, and (`handed`) the one from that lock to this. The first lock counts for the
 * queue, so that it makes no difference which lock's notification wakes it. */
void rlki_queue_count(rlk_lock *lock, const rlk_lock *before, bool handed);

/* Counts anew: from those of this client that hold the key, if any. */
void rlki_queue_recount(rlk_lock *lock);

/* Waits in the queue of the key; true if the lock is the first. */
bool rlki_queue_wait(rlk_lock *lock);

/* Returns the lock that asks the server for this waiter: itself, or the first of its queue. Itself
 * too where the key of one of them has changed in the caller's memory. */
const rlk_lock *rlki_queue_asker(const rlk_lock *lock);

/* The lock is held from now on. Returns the next in the queue, which is the first now; NULL: none
 * became it. */
rlk_lock *rlki_queue_hold(rlk_lock *lock);

/* The lock neither waits nor is held. Returns as rlki_queue_hold. */
rlk_lock *rlki_queue_leave(rlk_lock *lock);

#endif
