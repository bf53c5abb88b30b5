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
 * Nodes that have not answered when the result is told go on being asked, as after an undo: the
 * seats do that by themselves.
 */
#include "internal.h"

void rlki_release_begin(rlk_lock *lock)
{
    rlk_client *client = lock->client;
    bool lost = lock->state == RLKI_LOST;
    unsigned i;
    lock->state = RLKI_FREE;
    lock->wake_ms = RLK_NEVER;
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("FREE"), 0);
    rlki_watch_leave(lock);
    rlki_operation_begin(lock, RLK_OP_RELEASE,
                         client->now_ms + (int64_t)(lost ? client->settle_timeout_ms
                                                         : client->operation_timeout_ms));
    if (lost)
        lock->flags |= RLKI_LOCK_FORCE_LOST;
    else
        lock->lost_cause = RLK_LOST_NOT;
    rlki_lock_undo(lock);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_seat *seat = &lock->seats[i];
        if (rlki_seat_clean(seat) || seat->round != lock->round)
            seat->verdict = RLKI_NO; /* never asked, or known not to have it */
    }
    rlki_operation_step(lock);
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
        const rlk_seat *seat = &lock->seats[i];
        if (seat->verdict == RLKI_NONE && !(seat->flags & RLKI_SEAT_RETRY))
            return RLK_UNKNOWN;
    }
    return lock->error < 0 ? (rlk_result)lock->error : RLK_UNKNOWN;
}

bool rlki_release_step(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);
    rlk_result result = release_result(lock, &tally);
    if (result == RLK_PENDING) {
        if (lock->client->now_ms < lock->deadline_ms)
            return false;
        result = release_late(lock);
    }
    if (lock->flags & RLKI_LOCK_FORCE_LOST)
        result = RLK_LOST;
    else if (result != RLK_NOT_OWNER && result != RLK_E_WRONGTYPE) /* of a minority */
        lock->lost_cause = RLK_LOST_NOT;
    rlki_operation_finish(lock, result);
    return false;
}
