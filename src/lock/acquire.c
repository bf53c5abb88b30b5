/* SPDX-License-Identifier: MIT
 *
 * Acquire. A round is one token tried on all nodes at once:
 *
 *   begin --> AWAIT -----------------> ROUND ----------------------------> (held, RLK_OK)
 *               ^   a quorum of nodes    |   a quorum said OK, in time
 *               |   is ready and clean   |
 *               |                        | quorum out of reach, or the try's time is over:
 *               |                        v undo on all nodes that were asked
 *               +------- PAUSE <---------+
 *                 jitter          |      | one attempt only, deadline, cancelled, final error
 *                                 v      v
 *   (outcome, or RLK_UNKNOWN) <-- SETTLE
 *      fewer than a quorum of nodes is unresolved, or the settling time is over
 *
 * The deadline is looked at in every phase before anything else: an OK read at the deadline is too
 * late, and is undone. A node whose undo is not answered yet has no part in the next round.
 */
#include "internal.h"
#include "validity.h"

/* After failed rounds in a row the pause doubles up to 2^3, unless a holder explains them. */
#define ACQUIRE_BACKOFF_MAX 3

static void acquire_await_begin(rlk_lock *lock)
{
    lock->phase = RLKI_PHASE_AWAIT;
    lock->phase_ms = rlki_later(lock->client->now_ms, lock->node_ms);
}

void rlki_acquire_begin(rlk_lock *lock, int64_t deadline_ms, bool one_try)
{
    unsigned i;
    lock->state = RLKI_FREE;
    rlki_operation_begin(lock, RLK_OP_ACQUIRE, deadline_ms);
    acquire_await_begin(lock);
    lock->tries = 0;
    /* a raise that is late, of a node that was lost in the last round, only looks */
    lock->target_ms = lock->client->now_ms;
    lock->claim_ms = RLK_NEVER;
    lock->limit_ms = RLK_NEVER;
    if (one_try)
        lock->flags |= RLKI_LOCK_TRY;
    /* a doubt of an earlier operation was reported as RLK_UNKNOWN: another token now */
    for (i = 0; i < rlki_nodes(lock->client); i++)
        lock->seats[i].flags = (uint8_t)(lock->seats[i].flags & ~RLKI_SEAT_DOUBT);
    rlki_operation_step(lock);
}

/* Decides the outcome; what was sent is undone before it is told. */
static void acquire_settle(rlk_lock *lock, rlk_result outcome)
{
    lock->outcome = (int16_t)outcome;
    lock->phase = RLKI_PHASE_SETTLE;
    rlki_lock_undo(lock);
    lock->deadline_ms = RLK_NEVER;
    lock->phase_ms = rlki_later(lock->client->now_ms, lock->client->settle_ms);
}

void rlki_acquire_cancel(rlk_lock *lock)
{
    if (lock->phase == RLKI_PHASE_SETTLE)
        lock->outcome = RLK_CANCELLED;
    else
        acquire_settle(lock, RLK_CANCELLED);
}

/* A connection is what it failed for, perhaps since before this call. */
static void acquire_note_conn(rlk_lock *lock, unsigned node)
{
    rlki_lock_note(lock, node, RLKI_NO_COMMAND, rlk_conn_result(rlki_route(lock, node)));
}

/* What the trying came to, when its time is over. */
static rlk_result acquire_outcome(rlk_lock *lock)
{
    unsigned i;
    if (lock->flags & RLKI_LOCK_HOLDER)
        return lock->flags & RLKI_LOCK_TRY ? RLK_BUSY : RLK_TIMED_OUT;
    if (lock->error < 0)
        return (rlk_result)lock->error;
    /* nobody said anything: is it that nobody could be asked? */
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (rlk_conn_get_state(rlki_route(lock, i)) != RLK_CONN_READY) {
            acquire_note_conn(lock, i);
            return (rlk_result)lock->error;
        }
    }
    return RLK_TIMED_OUT;
}

/* True if so many nodes are lost for good that no round can succeed; then lock->error says why. */
static bool acquire_hopeless(rlk_lock *lock)
{
    unsigned hope = 0;
    unsigned down = 0; /* the last of them */
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_conn *conn = rlki_route(lock, i);
        rlk_result result = rlk_conn_result(conn);
        /* What failed before this call began may work now, unless it is fatal. */
        bool failed = lock->seats[i].verdict == RLKI_ERROR &&
                      (lock->flags & RLKI_LOCK_TRY || rlki_is_final(result));
        if (!rlki_conn_is_over(conn) && !failed)
            hope++;
        else
            down = i;
    }
    if (hope >= rlki_needed(lock->client))
        return false;
    acquire_note_conn(lock, down);
    return true;
}

static bool acquire_await(rlk_lock *lock)
{
    unsigned ready = 0;
    unsigned undoing = 0;
    unsigned i;
    if (acquire_hopeless(lock)) {
        acquire_settle(lock, (rlk_result)lock->error);
        return true;
    }
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (rlk_conn_get_state(rlki_route(lock, i)) != RLK_CONN_READY)
            continue;
        if (rlki_seat_clean(&lock->seats[i]))
            ready++;
        else
            undoing++;
    }
    /* A node that is about to answer its undo is waited for, as long as one try takes. */
    if (lock->client->now_ms >= lock->phase_ms)
        lock->phase_ms = RLK_NEVER;
    if (ready < rlki_needed(lock->client) || (undoing > 0 && lock->phase_ms != RLK_NEVER))
        return false;
    lock->phase = RLKI_PHASE_ROUND;
    lock->phase_ms = rlki_later(lock->client->now_ms, lock->node_ms);
    lock->round++;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        rlk_conn_state state = rlk_conn_get_state(rlki_route(lock, i));
        bool usable =
            state == RLK_CONN_READY || state == RLK_CONN_HANDSHAKE || state == RLK_CONN_CONNECTING;
        seat->verdict = RLKI_SKIPPED;
        if (!usable || !rlki_seat_clean(seat))
            continue;
        seat->verdict = RLKI_NONE;
        seat->round = lock->round;
        seat->expiry_ms = RLKI_EXPIRED;
        seat->flags = (uint8_t)(seat->flags & ~RLKI_SEAT_PROBED);
        rlki_seat_send(seat, RLKI_SET);
    }
    return true;
}

/* A quorum said OK: held, if there is time left of it. */
static bool acquire_won(rlk_lock *lock)
{
    rlki_lock_validate(lock);
    if (lock->client->now_ms >= lock->valid_ms)
        return false;
    /* SETs that are under way, or wait for their node to come up, still count when answered: they
     * make the lease outlive more failures. A release takes them back. */
    lock->state = RLKI_HELD;
    rlki_operation_finish(lock, RLK_OK);
    return true;
}

static bool acquire_final_error(const rlk_lock *lock, const rlki_tally *tally)
{
    return rlki_is_final((rlk_result)lock->error) &&
           tally->error > rlki_nodes(lock->client) - rlki_needed(lock->client);
}

static bool acquire_round(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    rlki_tally tally = rlki_tally_of(lock);
    uint32_t pause_ms;
    if (tally.yes >= rlki_needed(client) && acquire_won(lock))
        return false;
    if (tally.yes < rlki_needed(client) && tally.yes + tally.pending >= rlki_needed(client) &&
        client->now_ms < lock->phase_ms)
        return false;

    if (tally.no > 0) { /* the round has failed, and not for errors alone: somebody else has it */
        lock->flags |= RLKI_LOCK_HOLDER;
        lock->tries = 0;
    }
    if (lock->flags & RLKI_LOCK_TRY || acquire_final_error(lock, &tally)) {
        acquire_settle(lock, acquire_final_error(lock, &tally) ? (rlk_result)lock->error
                                                               : acquire_outcome(lock));
        return true;
    }
    rlki_lock_undo(lock);
    lock->phase = RLKI_PHASE_PAUSE;
    pause_ms = rlki_client_jitter(lock->client, lock->retry_min_ms, lock->retry_max_ms);
    lock->phase_ms = rlki_later(client->now_ms, (int64_t)pause_ms << lock->tries);
    if (!(lock->flags & RLKI_LOCK_HOLDER) && lock->tries < ACQUIRE_BACKOFF_MAX)
        lock->tries++;
    return true;
}

static bool acquire_pause(rlk_lock *lock)
{
    unsigned i;
    if (lock->client->now_ms < lock->phase_ms)
        return false;
    acquire_await_begin(lock);
    for (i = 0; i < rlki_nodes(lock->client); i++)
        lock->seats[i].verdict = RLKI_NONE;
    return true;
}

static void acquire_settling(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);
    if (tally.unclean < rlki_needed(lock->client))
        rlki_operation_finish(lock, (rlk_result)lock->outcome);
    else if (tally.doubt >= rlki_needed(lock->client) || lock->client->now_ms >= lock->phase_ms)
        rlki_operation_finish(lock, RLK_UNKNOWN);
}

bool rlki_acquire_step(rlk_lock *lock)
{
    if (lock->client->now_ms >= lock->deadline_ms) {
        acquire_settle(lock, acquire_outcome(lock));
        return true;
    }
    switch (lock->phase) {
    case RLKI_PHASE_AWAIT:
        return acquire_await(lock);
    case RLKI_PHASE_ROUND:
        return acquire_round(lock);
    case RLKI_PHASE_PAUSE:
        return acquire_pause(lock);
    default: /* RLKI_PHASE_SETTLE */
        acquire_settling(lock);
        return false;
    }
}

void rlki_acquire_conn_changed(rlk_lock *lock, rlk_seat *seat, bool ready)
{
    if (lock->phase == RLKI_PHASE_AWAIT)
        seat->verdict = ready ? RLKI_NONE : RLKI_ERROR;
    if (lock->phase != RLKI_PHASE_ROUND || ready || seat->verdict != RLKI_NONE)
        return;
    /* A SET that did not leave is not waited for in this round. A lost one is: it has become a
     * raise (or, of one attempt only, an error). */
    if (seat->request.tag != RLKI_SET)
        return;
    rlki_seat_abandon(seat);
    seat->verdict = RLKI_ERROR;
}
