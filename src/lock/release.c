/* SPDX-License-Identifier: MIT
 *
 * Release: compare-and-delete on every node that may have our token, behind whatever is under way
 * there. Not held from the call on.
 *
 *   begin ---> WORK --- q deleted -----------------------> RLK_OK
 *               |  ---- more than N-q said "not ours",
 *               |       as their first answer -----------> RLK_NOT_OWNER
 *               |  ---- all answered, some only after a
 *               |       reply was lost ------------------> RLK_GONE
 *               |  ---- a quorum may still get an orphan,
 *               |       or the deadline -----------------> RLK_UNKNOWN (or the server's refusal)
 *
 * A node lock without an answer when the result is reported goes on asking, as after an undo. No
 * operation takes part in that.
 */
#include "release.h"
#include "events.h"
#include "lease.h"
#include "notify.h"
#include "recheck.h"
#include "tally.h"
#include "trace.h"
#include "turn.h"

static void release_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (!report->votes)
        return;
    switch (report->kind) {
    case RLKI_REPORT_DONE:
        node->vote = RLKI_VOTE_YES;
        break;
    case RLKI_REPORT_NOT_OURS:
        node->vote = report->repeated ? RLKI_VOTE_NO_AFTER : RLKI_VOTE_NO;
        if ((lock->flags & RLKI_LOCK_FORCE_LOST) == 0 && lock->lost_cause < report->lost_cause)
            lock->lost_cause = report->lost_cause;
        break;
    default: /* RLKI_REPORT_REFUSED */
        node->vote = RLKI_VOTE_ERROR;
        break;
    }
}

/* What the answers amount to; RLK_PENDING while that is open. */
static rlk_result release_result(const rlk_lock *lock, const rlki_tally *tally)
{
    const rlk_client *client = lock->client;
    unsigned absent = (unsigned)tally->no + tally->no_after + tally->yes;
    bool answered = tally->pending == 0;

    if (tally->doubt >= rlki_needed(client))
        return tally->error > 0 && lock->error < 0 ? (rlk_result)lock->error : RLK_UNKNOWN;
    if (tally->yes >= rlki_needed(client) && tally->unclean < rlki_needed(client))
        return RLK_OK;
    if (tally->no > rlki_nodes(client) - rlki_needed(client))
        return lock->error == RLK_E_WRONGTYPE ? RLK_E_WRONGTYPE : RLK_NOT_OWNER;
    if (absent >= rlki_needed(client) &&
        (answered || tally->no_after > rlki_nodes(client) - rlki_needed(client)))
        return RLK_GONE;
    if (answered)
        return lock->error < 0 ? (rlk_result)lock->error : RLK_UNKNOWN;
    return RLK_PENDING;
}

/* At the deadline: a server's refusal, if that is all that every open node has said. */
static rlk_result release_late(const rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_node_lock *node = &lock->nodes[i];

        if (node->vote == RLKI_VOTE_NONE && (node->flags & RLKI_NODE_RETRY) == 0)
            return RLK_UNKNOWN;
    }
    return lock->error < 0 ? (rlk_result)lock->error : RLK_UNKNOWN;
}

static bool release_step(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);
    rlk_result result = release_result(lock, &tally);

    if (result == RLK_PENDING) {
        if (lock->client->now_ms < lock->deadline_ms)
            return false;
        result = release_late(lock);
    }
    if ((lock->flags & RLKI_LOCK_FORCE_LOST) != 0)
        result = RLK_LOST;
    else if (result != RLK_NOT_OWNER && result != RLK_E_WRONGTYPE) /* of a minority */
        lock->lost_cause = RLK_LOST_NOT;
    rlki_operation_finish(lock, result);
    return false;
}

/* The undos go on behind it. */
static void release_cancel(rlk_lock *lock)
{
    rlki_operation_finish(lock, RLK_UNKNOWN);
}

static void release_ended(rlk_lock *lock, rlk_result result)
{
    if (result == RLK_UNKNOWN || result < 0)
        lock->options |= RLKI_OPTION_UNSETTLED;
}

static const rlki_operation release_operation = {
    RLK_OP_RELEASE, 0, release_step, release_report, NULL, NULL, release_cancel, release_ended,
};

/* ---- The call ---- */

static rlk_result release_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    rlk_client *client = lock->client;
    bool lost = lock->state == RLKI_LOST;
    unsigned i;

    (void)argument;
    (void)holders;
    if (lock->state == RLKI_FREE)
        return RLK_NOT_HELD;
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* the result says it */
    rlki_lock_leave_election(lock);
    lock->state = RLKI_FREE;
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("FREE"), 0);
    rlki_recheck_leave(lock);
    if (lost) /* a lock that is held has sent no DEL */
        rlki_notify_forget(lock);
    else
        rlki_turn_released(lock);
    rlki_operation_begin(
        lock, &release_operation,
        rlki_from_now(lock, lost ? client->settle_timeout_ms : client->operation_timeout_ms));
    if (lost)
        lock->flags |= RLKI_LOCK_FORCE_LOST;
    else
        lock->lost_cause = RLK_LOST_NOT;
    rlki_node_locks_undo(lock, lock->as.hold.target_ms, 0);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (rlki_node_lock_is_clean(node) || node->token != lock->token)
            node->vote = RLKI_VOTE_NO; /* never asked, or known not to have it */
        else
            rlki_node_lock_count(node);
    }
    return RLK_PENDING;
}

const rlki_call rlki_call_release = {&release_operation, 0, release_call};
