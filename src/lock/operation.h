/* SPDX-License-Identifier: MIT
 *
 * An operation is one constant row: what it does at each step, with each report of a node, when it
 * is cancelled and when it ends. A call is another row: how it begins which operation. It sets
 * lock->op to that one, so that a program links the calls and operations that it names, and no
 * others.
 */
#ifndef RLKI_LOCK_OPERATION_H
#define RLKI_LOCK_OPERATION_H

#include "node_lock.h"
#include "state.h"

/* Flags of a row. */
#define RLKI_OP_LEASE 0x01u /* needs a lease, and ends with it */
#define RLKI_OP_ONCE  0x02u /* an error of a node is its vote; nothing waits for the node */
#define RLKI_OP_WAITS 0x04u /* has rechecks and reports, and no lease */

/* Flags of a call. */
#define RLKI_CALL_YIELDS 0x01u /* a renewal that is due comes first */
#define RLKI_CALL_SERVED 0x02u /* in its blocking form it first receives what has come */

typedef struct rlki_operation {
    uint8_t id; /* rlk_operation; RLK_OP_NONE: nobody called for it */
    uint8_t flags;

    /* Goes on as far as votes, times and connections let it, at client->now_ms. True: there may be
     * another step. Called by the dispatcher (machine.c) only. */
    bool (*step)(rlk_lock *lock);

    /* A node reports: with report->votes on what the operation asked, else on something else. */
    void (*report)(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report);

    /* The connection of a node became ready, or failed. NULL: a failure that lasts is the node's
     * vote. */
    void (*changed)(rlk_lock *lock, rlk_node_lock *node, bool ready);

    /* A node can't be had, and has voted RLKI_VOTE_ERROR. NULL: nothing else to do. */
    void (*failed)(rlk_lock *lock, rlk_node_lock *node, rlk_result why);

    void (*cancel)(rlk_lock *lock);

    /* It has ended, and lock->op is NULL. NULL: nothing else to do. */
    void (*ended)(rlk_lock *lock, rlk_result result);
} rlki_operation;

typedef struct rlki_call {
    const rlki_operation *op; /* begin() begins it, or one with the same results */
    uint8_t flags;

    /* argument: the wait, the time added, the TTL, the entries of `holders`. RLK_PENDING: begun.
     * Else why not, or that there was nothing to do. */
    rlk_result (*begin)(rlk_lock *lock, int64_t argument, rlk_holder *holders);
} rlki_call;

/* Returns true if a caller's operation is under way. */
inline bool rlki_operation_is_on(const rlk_lock *lock)
{
    return lock->op != NULL && lock->op->id != RLK_OP_NONE;
}

/* Begins an operation: no votes, trying until deadline_ms. */
void rlki_operation_begin(rlk_lock *lock, const rlki_operation *op, int32_t deadline_ms);

/* Ends it with a result, which becomes an event if somebody called for it. */
void rlki_operation_finish(rlk_lock *lock, rlk_result result);

/* Sets the lock's last result, of an operation that could not begin too. */
void rlki_operation_note(rlk_lock *lock, unsigned id, rlk_result result);

/* The same, as an event. */
void rlki_operation_report(rlk_lock *lock, unsigned id, rlk_result result);

/* The connection of a node failed: the node votes RLKI_VOTE_ERROR. */
void rlki_operation_node_failed(rlk_lock *lock, rlk_node_lock *node);

/* Returns true if the end of a node's stream, before which the operation under way began, is not
 * its answer. */
bool rlki_operation_tries_again(const rlk_lock *lock, unsigned node);

/* Returns what an operation came to that no quorum answered: the last error, or that nobody
 * answered. */
rlk_result rlki_operation_unanswered(rlk_lock *lock);

/* Name of an operation, for texts; "" with RLK_NO_TEXT. */
#ifdef RLK_NO_TEXT
static inline const char *rlki_operation_name(unsigned id)
{
    (void)id;
    return "";
}
#else
const char *rlki_operation_name(unsigned id);
#endif

#endif
