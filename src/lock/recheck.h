/* SPDX-License-Identifier: MIT
 *
 * When a waiter asks again: of each node where somebody holds the key, the time and the cause of
 * the next recheck.
 */
#ifndef RLKI_LOCK_RECHECK_H
#define RLKI_LOCK_RECHECK_H

#include "node_lock.h"

/* Begins a phase of an acquire. */
void rlki_recheck_phase(rlk_lock *lock, unsigned phase);

/* Begins RLKI_PHASE_WATCH. */
void rlki_recheck_begin(rlk_lock *lock);

/* Returns true of a follower that can say who leads. */
inline bool rlki_recheck_is_observed(const rlk_lock *lock)
{
    return (lock->options & RLKI_OPTION_CAMPAIGN) != 0 && lock->holders != NULL;
}

/* Returns the command that probes a node: PTTL, and of a follower that can say who leads GET with
 * it. */
unsigned rlki_recheck_question(const rlk_lock *lock);

/* Somebody has the key on a node, as far as is known: when to ask again, and why. */
void rlki_recheck_later(rlk_lock *lock, rlk_node_lock *node, uint32_t pause_ms, rlk_cause cause);

/* A node that said no to a SET, or was probed: ttl_ms is the key's, as PTTL says it, or
 * RLKI_TTL_UNKNOWN. */
void rlki_recheck_answered(rlk_lock *lock, rlk_node_lock *node, int32_t ttl_ms);

/* An undo is over on a node. Unless it has deleted our token, the node has somebody's, perhaps: it
 * does not count as free before it was asked. */
void rlki_recheck_undone(rlk_lock *lock, rlk_node_lock *node, bool deleted);

/* The key changed on a node, as far as is known: the server's notification, or one of our own. */
void rlki_recheck_notified(rlk_lock *lock, unsigned index, rlk_cause cause);

/* Counts a spurious wake-up if a push caused the attempt under way, or a probe of several nodes,
 * that failed. */
void rlki_recheck_failed(rlk_lock *lock);

/* Prepares the next attempt or probe: with time, spurious wake-ups are forgotten. */
void rlki_recheck_attempt(rlk_lock *lock);

/* The key is gone from a node of which no notification came. */
void rlki_recheck_missed(rlk_lock *lock, const rlk_node_lock *node);

/* Returns the first node that an attempt can ask: all waiters that reach the same nodes ask this
 * one first, and only who has it asks the others, so that they do not take a quorum from each
 * other. The number of nodes: there is none. */
unsigned rlki_recheck_gate(const rlk_lock *lock);

/* Nodes that can take part in an attempt now, those that are about to be able to, and those that
 * may be: a change was notified, and not rechecked yet. */
typedef struct rlki_recheck_count {
    unsigned ready;
    unsigned undoing;
    unsigned changed;
} rlki_recheck_count;

/* Asks the nodes whose time has come, and counts. */
rlki_recheck_count rlki_recheck_nodes(rlk_lock *lock);

/* Returns when the next node is asked again, or RLKI_NEVER. */
int32_t rlki_recheck_next(const rlk_lock *lock);

/* The lock waits no longer, or holds the key from now on: the next in the queue asks. */
void rlki_recheck_leave(rlk_lock *lock);
void rlki_recheck_hold(rlk_lock *lock);

#endif
