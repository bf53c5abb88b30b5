/* SPDX-License-Identifier: MIT
 *
 * A notification marks what is known, in the order in which the server sent it, and puts the lock
 * on the client's ready list. It steps nobody.
 */
#include "notify.h"
#include "../net/condemn.h"
#include "clock.h"
#include "recheck.h"
#include "trace.h"
#include "wait_queue.h"

/* Returns true if a cause concerns a lock that is held. After a reconnect that is a lock that the
 * server must notify of its loss, or that renews in the background. Another lock is its caller's
 * concern, unless the server may be another. */
static bool notify_concerns(const rlk_lock *lock, unsigned node, rlk_cause cause)
{
    return cause != RLK_CAUSE_RECONNECT || rlk_conn_is_tracking(rlki_route(lock, node)) ||
           rlki_condemn_was_replaced(rlki_route(lock, node)) || rlki_lock_renews(lock);
}

static void notify_lock(rlk_lock *lock, unsigned node, rlk_cause cause)
{
    RLKI_TRACE(lock, RLK_TRACE_PUSH, node, rlk_cause_name(cause), cause);
    if (lock->position == RLKI_POSITION_FIRST)
        rlki_recheck_notified(lock, node, cause);
    else if (notify_concerns(lock, node, cause))
        lock->as.hold.dirty |= rlki_bit(node);
    rlki_ready(lock);
}

void rlki_notify(rlk_client *client, unsigned node, uint32_t key_hash, rlk_cause cause,
                 const rlk_lock *own)
{
    rlk_lock *lock = rlki_queue_bucket(client, key_hash);

    for (; lock != NULL; lock = lock->queue_next) {
        bool first = lock->position == RLKI_POSITION_FIRST;

        if (lock->key_hash != key_hash || lock == own || (own != NULL && !first))
            continue;
        /* by the first node that answers: meanwhile `own` may wait anew, and count for itself */
        if (own != NULL)
            rlki_queue_count(lock, own, true);
        /* what a closed lock deletes is answered to nobody: it may be behind what this one asks */
        if (own != NULL && own->state == RLKI_CLOSED)
            lock->as.wait.overtaken |= rlki_bit(node);
        notify_lock(lock, node, cause);
    }
}

void rlki_notify_all(rlk_client *client, unsigned node, rlk_cause cause)
{
    rlk_lock *lock;

    for (lock = client->locks; lock != NULL; lock = lock->next)
        if (lock->position == RLKI_POSITION_FIRST || lock->position == RLKI_POSITION_HOLDER)
            notify_lock(lock, node, cause);
}

void rlki_notify_forget(rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (lock->nodes[i].request.tag != RLKI_DEL)
            continue;
        (void)rlki_node_lock_abandon(&lock->nodes[i]);
        rlki_notify(lock->client, i, lock->key_hash, RLK_CAUSE_LOCAL, NULL);
    }
}
