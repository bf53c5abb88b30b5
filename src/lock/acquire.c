/* SPDX-License-Identifier: MIT
 *
 * Acquire. A round is one token tried on all nodes at once:
 *
 *   begin --> ROW    behind another lock of the client
 *        |     | first of the row
 *        v     v
 *       WATCH -------------------------> ROUND ----------------------------> (held, RLK_OK)
 *         ^  a quorum of nodes is ready,   |   a quorum said OK, in time
 *         |  clean, and not known to be    |
 *         |  held by somebody              | quorum out of reach, or the try's time is over:
 *         |                                v undo on all nodes that were asked
 *         +------- PAUSE <-----------------+
 *         |          jitter                | held by somebody, at the gate or so that no quorum
 *         |                                | is left
 *         +--------------------------------+
 *         |                                | one attempt only, deadline, cancelled, final error
 *         | the same                       v
 *         +----------------------------> SETTLE --> (outcome, or RLK_UNKNOWN)
 *                                          fewer than a quorum of nodes is unresolved, or the
 *                                          settling time is over
 *
 * A SET that is answered nil is followed by PTTL, in one write: so the node's bit in lock->touched
 * ("held by somebody") comes with a time when to look again: when the holder's TTL ends, if nothing
 * is told before. Where the server tells of changes (CLIENT TRACKING), PTTL is also what makes it
 * tell. What it tells before PTTL was answered happened before PTTL saw the key, and is ignored.
 *
 * One node: a push, or that time, takes the bit away, and the next round begins. Several: they have
 * the node asked by a PTTL first, since a round costs others their tries. When a quorum has come
 * free, the round begins at its gate, the first node that can be asked: all waiters meet there, one
 * of them has it, and that one asks the others. Where the gate alone is held, or does not answer,
 * all nodes are asked after a pause.
 *
 *   ROUND:  gate asked ----OK, or no answer soon----> all asked, node_timeout_ms from then ---->
 * ...
 *               |
 *               +-- nil --> WATCH, with nothing to undo
 *
 * An acquire begins with a PAUSE where the last turn of the client is over (turn.c), or where the
 * lease before was lost at once.
 *
 * In every phase before SETTLE a wait without end reports every report_ms that it goes on, and why;
 * when the reason changes (a connection comes or goes, an attempt ends otherwise than the one
 * before), after a tenth of that. A report changes nothing: the acquire goes on in its phase.
 *
 * The deadline is looked at in every phase before anything else: an OK read at the deadline is too
 * late, and is undone. A node whose undo is not answered yet has no part in the next round.
 */
#include "internal.h"
#include "validity.h"

/* After failed rounds in a row the pause doubles up to 2^3, unless a holder explains them. */
#define ACQUIRE_BACKOFF_MAX 3

/* Attempts that a push caused, and in vain, are let through at once so often in a row, and then
 * each after a random time of less than so many milliseconds: a key that changes all the time makes
 * no storm. */
#define ACQUIRE_WOKEN_MAX     8
#define ACQUIRE_WOKEN_MS      16
#define ACQUIRE_WOKEN_TURN_MS 2 /* where it is known that others have their turns */

/* A lease that was lost so soon is followed by a pause: a key that somebody deletes each time makes
 * no storm. */
#define ACQUIRE_FALL_MS 250

/* No time to look again is further away: a TTL below the safety time, and a pause. */
#define ACQUIRE_LOOK_MAX_MS (2 * (int32_t)RLK_TIME_LIMIT_MAX + 1)

static uint32_t acquire_bit(unsigned node)
{
    return UINT32_C(1) << node;
}

static void acquire_phase(rlk_lock *lock, unsigned phase)
{
#if !defined(RLK_NO_TRACE) && !defined(RLK_NO_TEXT)
    static const char *const names[] = {"", "ROW", "WATCH", "ROUND", "PAUSE", "SETTLE"};
#endif
    RLKI_TRACE(lock, RLK_TRACE_PHASE, -1, RLKI_WORD(names[phase]), lock->cause);
    lock->phase = (uint8_t)phase;
}

static void acquire_watch_begin(rlk_lock *lock)
{
    acquire_phase(lock, RLKI_PHASE_WATCH);
    lock->phase_ms = rlki_later(lock->client->now_ms, lock->node_timeout_ms);
}

static void acquire_pause_begin(rlk_lock *lock, uint32_t pause_ms)
{
    acquire_phase(lock, RLKI_PHASE_PAUSE);
    lock->phase_ms = rlki_later(lock->client->now_ms, pause_ms);
    lock->wake_ms = RLK_NEVER;
}

static uint32_t acquire_retry(const rlk_lock *lock)
{
    return rlki_client_jitter(lock->client, lock->retry_min_ms, lock->retry_max_ms);
}

/* How long the first attempt waits, after a lease that was lost at once or at the end of a turn. */
static uint32_t acquire_first_pause(rlk_lock *lock, bool fell)
{
    if (!fell) {
        lock->falls = 0;
        return rlki_turn_pause(lock);
    }
    if (lock->falls < ACQUIRE_BACKOFF_MAX)
        lock->falls++;
    return acquire_retry(lock) << (lock->falls - 1);
}

/* It is the first of those that wait. */
static void acquire_first_begin(rlk_lock *lock, uint32_t pause_ms)
{
    if (pause_ms == 0) {
        acquire_watch_begin(lock);
        return;
    }
    lock->cause = RLK_CAUSE_YIELD;
    acquire_pause_begin(lock, pause_ms);
}

/* Between reports that it waits. */
static uint32_t acquire_interval(const rlk_lock *lock)
{
    return lock->report_ms > 0 ? lock->report_ms : RLK_REPORT_MS;
}

void rlki_acquire_begin(rlk_lock *lock, int64_t deadline_ms, bool one_try)
{
    bool fell = lock->state == RLKI_LOST && lock->client->now_ms - lock->since_ms < ACQUIRE_FALL_MS;
    rlki_query_forget(lock);
    lock->state = RLKI_FREE;
    rlki_operation_begin(lock, RLK_OP_ACQUIRE, deadline_ms);
    lock->tries = 0;
    lock->woken = 0;
    lock->touched = 0;
    lock->overtaken = 0;
    lock->cause = RLK_CAUSE_START;
    lock->began_ms = lock->client->now_ms;
    lock->reported = RLK_BUSY; /* which is no news of a wait that has just begun */
    lock->report_at_ms = RLK_NEVER;
    if (!one_try && (lock->report_ms > 0 || deadline_ms == RLK_NEVER))
        lock->report_at_ms = rlki_later(lock->client->now_ms, acquire_interval(lock));
    lock->options = (uint8_t)(lock->options &
                              ~(RLKI_OPTION_UNSETTLED | RLKI_OPTION_SETTLED | RLKI_OPTION_LEAD));
    /* a raise that is late, of a node that was lost in the last round, only looks */
    lock->target_ms = lock->client->now_ms;
    lock->claim_ms = RLK_NEVER;
    lock->limit_ms = RLK_NEVER;
    if (one_try)
        lock->flags |= RLKI_LOCK_TRY;
    if (one_try)
        acquire_watch_begin(lock);
    else if (rlki_watch_wait(lock))
        acquire_first_begin(lock, acquire_first_pause(lock, fell));
    else
        acquire_phase(lock, RLKI_PHASE_ROW);
    rlki_operation_step(lock);
}

/* ---- Reports of the waiting ---- */

rlki_reason rlki_acquire_reason(const rlk_lock *lock)
{
    const rlk_lock *asker = rlki_watch_asker(lock);
    rlki_reason reason;
    unsigned ready = 0;
    unsigned i;
    /* all can be asked, and none has answered (yet) */
    reason.result = lock->client->now_ms - lock->began_ms < (int64_t)lock->node_timeout_ms
                        ? RLK_PENDING
                        : RLK_E_RESPONSE_TIMEOUT;
    reason.node = 0;
    reason.command = RLKI_NO_COMMAND;
    if (asker->error < 0) {
        reason.result = (rlk_result)asker->error;
        reason.node = asker->error_node;
        reason.command = asker->error_command;
    } else if (asker->flags & RLKI_LOCK_HOLDER) {
        reason.result = RLK_BUSY;
    }
    for (i = 0; i < rlki_nodes(lock->client); i++)
        ready += rlk_conn_get_state(rlki_route(lock, i)) == RLK_CONN_READY;
    if (ready >= rlki_needed(lock->client)) {
        if (asker->touched)
            reason.result = RLK_BUSY;
        return reason;
    }
    for (i = 0; rlk_conn_get_state(rlki_route(lock, i)) == RLK_CONN_READY; i++) {
    }
    reason.result = rlk_conn_result(rlki_route(lock, i));
    reason.node = (uint8_t)i;
    reason.command = RLKI_NO_COMMAND;
    return reason;
}

/* The reason may be another one now: then it is reported soon. */
static void acquire_reason_changed(rlk_lock *lock)
{
    int64_t soon_ms = rlki_later(lock->client->now_ms, acquire_interval(lock) / 10);
    rlk_result why = rlki_acquire_reason(lock).result;
    if (why == lock->reported || why == RLK_PENDING || why == RLK_E_NOT_CONNECTED)
        return; /* or about to be: it is the first connection that is waited for */
    lock->reported = (int16_t)why;
    if (soon_ms < lock->report_at_ms && lock->report_at_ms != RLK_NEVER)
        lock->report_at_ms = soon_ms;
}

static void acquire_report(rlk_lock *lock)
{
    lock->reported = (int16_t)rlki_acquire_reason(lock).result;
    lock->report_at_ms = rlki_later(lock->client->now_ms, acquire_interval(lock));
    rlki_event_raise(lock, RLKI_EVENT_WAITING);
}

/* ---- Looking again ---- */

/* Somebody has the key on a node, as far as is known: when to look again, and why. */
static void acquire_look_in(rlk_lock *lock, rlk_seat *seat, uint32_t pause_ms, rlk_cause due)
{
    lock->touched |= acquire_bit(seat->index);
    seat->t0 = (uint32_t)lock->client->now_ms + pause_ms;
    lock->due[seat->index] = (uint8_t)due;
}

/* After so many hand-overs in a row the next one waits, and others have their turn. */
static bool acquire_has_to_yield(const rlk_lock *lock)
{
    return lock->streak > lock->client->max_handoffs;
}

/* A lock of this client has let go of the key, perhaps: looks now, or when others had a turn. */
static void acquire_look_local(rlk_lock *lock, rlk_seat *seat)
{
    if (acquire_has_to_yield(lock))
        acquire_look_in(lock, seat, acquire_retry(lock), RLK_CAUSE_YIELD);
    else
        acquire_look_in(lock, seat, 0, RLK_CAUSE_LOCAL);
}

/* A random time of the safety check. */
static uint32_t acquire_safety(const rlk_lock *lock)
{
    return rlki_client_jitter(lock->client, lock->recheck_max_ms / 5, lock->recheck_max_ms);
}

/* Attempts in vain that the time since the last one makes up for. */
static unsigned acquire_earned(const rlk_lock *lock)
{
    int64_t since_ms = lock->client->now_ms - lock->t0_ms;
    if (since_ms >= (int64_t)ACQUIRE_WOKEN_MAX * ACQUIRE_WOKEN_MS)
        return ACQUIRE_WOKEN_MAX;
    return (uint32_t)since_ms / ACQUIRE_WOKEN_MS;
}

/* Attempts in vain are so many that the next one has to wait. */
static bool acquire_is_restrained(const rlk_lock *lock)
{
    return lock->woken >= ACQUIRE_WOKEN_MAX && acquire_earned(lock) == 0;
}

/* How long an attempt is to wait that `cause` asks for. */
static uint32_t acquire_restraint(rlk_lock *lock, rlk_cause cause)
{
    uint32_t pause_ms = cause == RLK_CAUSE_LOCAL ? 0 : rlki_turn_patience(lock);
    if (pause_ms > 0 || !acquire_is_restrained(lock))
        return pause_ms;
    return rlki_client_jitter(
        lock->client, 1, rlki_turn_contended(lock) ? ACQUIRE_WOKEN_TURN_MS : ACQUIRE_WOKEN_MS - 1);
}

/* Before the next one: with time they are forgotten. */
static void acquire_forget(rlk_lock *lock)
{
    unsigned earned = acquire_earned(lock);
    lock->woken = (uint8_t)(lock->woken > earned ? lock->woken - earned : 0);
    lock->t0_ms = lock->client->now_ms;
}

/* An attempt, or a probe of several nodes, that the server's word caused was in vain. */
static void acquire_count_woken(rlk_lock *lock)
{
    if (lock->cause != RLK_CAUSE_PUSH && lock->cause != RLK_CAUSE_FLUSH)
        return;
    lock->woken = (uint8_t)(lock->woken + (lock->woken < ACQUIRE_WOKEN_MAX));
    rlki_turn_crowd(lock);
}

/*
 * The key is gone from a node. The server has broken its word if the node was asked for safety
 * only, that is: this stream read the key under tracking; its TTL, if any, was longer than the time
 * until now, so it did not expire; since then nothing has told of it: no push, no lock of this
 * client that let go of it, no new stream (rlki_acquire_woken). A push comes before the reply that
 * shows the change, and an eviction from the server's table of keys is told too. What is left are
 * clocks of servers that jump: so once is an accident. A connection that breaks its word counts as
 * one without tracking until the next stream, which costs commands and nothing else (fault 107).
 */
static void acquire_missed(rlk_lock *lock, const rlk_seat *seat)
{
    if (lock->due[seat->index] == RLK_CAUSE_RECHECK &&
        rlk_conn_missed(rlki_route(lock, seat->index))) {
        RLKI_COUNT(lock->client, silent);
    }
    lock->due[seat->index] = RLK_CAUSE_RETRY; /* a change counts once */
}

/* A change was notified there, and not looked at yet. */
static bool acquire_is_changed(const rlk_lock *lock, const rlk_seat *seat)
{
    return lock->touched & acquire_bit(seat->index) && seat->request.tag == RLKI_NO_COMMAND &&
           lock->due[seat->index] == RLK_CAUSE_PUSH;
}

/* True if an attempt may find a quorum of nodes free. */
static bool acquire_may_be_free(const rlk_lock *lock)
{
    unsigned count = 0;
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_seat *seat = &lock->seats[i];
        count += acquire_is_changed(lock, seat) ||
                 (!(lock->touched & acquire_bit(i)) && rlki_seat_clean(seat) &&
                  rlk_conn_get_state(rlki_route(lock, i)) == RLK_CONN_READY);
    }
    return count >= rlki_needed(lock->client);
}

void rlki_acquire_watch(rlk_lock *lock, rlk_seat *seat, int64_t ttl_ms)
{
    uint32_t recheck_max_ms;
    lock->touched &= ~acquire_bit(seat->index);
    if (ttl_ms == -2) { /* gone since the node was last asked, or between SET and this */
        bool again = lock->phase == RLKI_PHASE_ROUND && rlki_nodes(lock->client) == 1;
        uint32_t pause_ms = again ? acquire_restraint(lock, RLK_CAUSE_PUSH) : 0;
        /* it changes hands while we wait */
        if (lock->flags & RLKI_LOCK_HOLDER && acquire_may_be_free(lock))
            rlki_turn_contend(lock);
        if (again)
            lock->cause = RLK_CAUSE_PUSH;
        else if (lock->phase != RLKI_PHASE_ROUND) /* a probe's answer */
            acquire_missed(lock, seat);
        if (pause_ms > 0)
            acquire_look_in(lock, seat, pause_ms, RLK_CAUSE_PUSH);
        return;
    }
    if (lock->overtaken & acquire_bit(seat->index)) {
        lock->overtaken &= ~acquire_bit(seat->index);
        acquire_look_local(lock, seat);
        return;
    }
    if (rlki_nodes(lock->client) > 1 && lock->phase != RLKI_PHASE_ROUND) /* a probe's answer */
        acquire_count_woken(lock);
    if (ttl_ms == RLKI_TTL_UNKNOWN || !rlk_conn_is_tracking(rlki_route(lock, seat->index))) {
        acquire_look_in(lock, seat, acquire_retry(lock), RLK_CAUSE_RETRY);
        return;
    }
    recheck_max_ms = acquire_safety(lock);
    if (ttl_ms >= 0 && ttl_ms < (int64_t)recheck_max_ms)
        acquire_look_in(lock, seat,
                        (uint32_t)ttl_ms + 1 +
                            rlki_client_jitter(lock->client, 0, lock->retry_min_ms),
                        RLK_CAUSE_EXPIRY);
    else
        acquire_look_in(lock, seat, recheck_max_ms, RLK_CAUSE_RECHECK);
}

void rlki_acquire_undone(rlk_lock *lock, rlk_seat *seat, bool deleted)
{
    uint32_t bit = acquire_bit(seat->index);
    if (deleted)
        lock->touched &= ~bit;    /* taken for another's by whoever was the first before */
    else if (lock->touched & bit) /* the undo took the place of its time */
        acquire_look_local(lock, seat);
    else if (rlki_nodes(lock->client) > 1 && lock->flags & RLKI_LOCK_HOLDER &&
             lock->phase != RLKI_PHASE_SETTLE)
        acquire_look_in(lock, seat, 0, RLK_CAUSE_RETRY);
}

void rlki_acquire_first(rlk_lock *lock, const rlk_lock *before)
{
    unsigned i;
    acquire_watch_begin(lock);
    /* what that one saw, in the time of this call too; or it has the key itself */
    if (before->state == RLKI_HELD)
        lock->flags |= RLKI_LOCK_HOLDER;
    lock->flags |= (uint8_t)(before->flags & RLKI_LOCK_HOLDER);
    lock->cause = RLK_CAUSE_LOCAL;
    lock->streak = 0; /* not before: its own release may still be telling it to others */
    rlki_watch_count(lock, before, before->state == RLKI_HELD);
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        const rlk_seat *other = &before->seats[i];
        int32_t left_ms = (int32_t)(other->t0 - (uint32_t)lock->client->now_ms);
        bool known = before->touched & acquire_bit(i) && other->request.state == RLK_REQUEST_IDLE;
        if ((before->state == RLKI_HELD && other->verdict == RLKI_YES) || /* it will tell its end */
            (known && left_ms > (int32_t)lock->recheck_max_ms)) {
            acquire_look_in(lock, seat, acquire_safety(lock), RLK_CAUSE_RECHECK);
        } else if (known) {
            lock->touched |= acquire_bit(i);
            seat->t0 = other->t0;
            lock->due[i] = before->due[i];
        } else if (acquire_has_to_yield(lock)) {
            acquire_look_in(lock, seat, acquire_retry(lock), RLK_CAUSE_YIELD);
        }
    }
    lock->wake_ms = lock->client->now_ms; /* not now: it may be in the middle of another's step */
    rlki_lock_rearm(lock);
}

/* The first node that a round can ask: all waiters that reach the same nodes ask this one first,
 * and only who has it asks the others, so that they do not take a quorum from each other. */
static unsigned acquire_gate(const rlk_lock *lock)
{
    unsigned i = 0;
    while (i < rlki_nodes(lock->client) &&
           (rlk_conn_get_state(rlki_route(lock, i)) != RLK_CONN_READY ||
            !(lock->touched & acquire_bit(i) || rlki_seat_clean(&lock->seats[i]))))
        i++;
    return i;
}

/* Another node than the gate, and that is held: the change there can wait. */
static bool acquire_waits_for_gate(const rlk_lock *lock, unsigned node)
{
    unsigned gate = acquire_gate(lock);
    return gate != node && gate < rlki_nodes(lock->client) && lock->touched & acquire_bit(gate);
}

/* The server's word, or one of our own, that somebody else's key may be gone. */
void rlki_acquire_woken(rlk_lock *lock, unsigned node, rlk_cause cause)
{
    rlk_client *client = lock->client;
    rlk_seat *seat = &lock->seats[node];
    uint32_t pause_ms = acquire_restraint(lock, cause);
    bool one = rlki_nodes(client) == 1;
    unsigned asking = seat->request.tag;
    if (lock->due[node] == RLK_CAUSE_RECHECK)
        lock->due[node] = (uint8_t)cause; /* what the node is asked now is not for safety only */
    if (one && lock->phase != RLKI_PHASE_WATCH)
        return;
    if (asking == RLKI_SET || asking == RLKI_SET_NIL || asking == RLKI_PROBE ||
        asking == RLKI_RAISE)
        return; /* its PTTL will see what happened before */
    if ((one || (cause == RLK_CAUSE_RECONNECT && seat->verdict != RLKI_YES)) &&
        !(lock->touched & acquire_bit(node)))
        return; /* not known to be held: an attempt is due anyway */
    if (cause == RLK_CAUSE_LOCAL && lock->due[node] == RLK_CAUSE_YIELD &&
        lock->touched & acquire_bit(node))
        return; /* others have their turn until then, whichever lock of ours lets go meanwhile */
    if (pause_ms > 0 && !one && cause == RLK_CAUSE_PUSH && acquire_waits_for_gate(lock, node))
        pause_ms = lock->retry_min_ms;
    if (cause == RLK_CAUSE_LOCAL && acquire_has_to_yield(lock)) {
        acquire_look_local(lock, seat);
    } else if (pause_ms == 0 || !(lock->touched & acquire_bit(node)) ||
               (int32_t)(seat->t0 - (uint32_t)client->now_ms) > (int32_t)pause_ms) {
        acquire_look_in(lock, seat, pause_ms, cause);
    }
    rlki_operation_step(lock);
}

/* Decides the outcome; what was sent is undone before it is told. */
static void acquire_settle(rlk_lock *lock, rlk_result outcome)
{
    lock->outcome = (int16_t)outcome;
    acquire_phase(lock, RLKI_PHASE_SETTLE);
    rlki_lock_undo(lock);
    rlki_watch_leave(lock);
    lock->wake_ms = RLK_NEVER;
    lock->report_at_ms = RLK_NEVER;
    rlki_event_drop(lock, RLKI_EVENT_WAITING);
    lock->deadline_ms = RLK_NEVER;
    lock->phase_ms = rlki_later(lock->client->now_ms, lock->client->settle_timeout_ms);
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
    /* behind another lock of the client it did not ask, and that one may know */
    if (lock->phase == RLKI_PHASE_ROW && rlki_watch_is_held(lock))
        lock->flags |= RLKI_LOCK_HOLDER;
    if (lock->flags & RLKI_LOCK_HOLDER)
        return lock->flags & RLKI_LOCK_TRY ? RLK_BUSY : RLK_TIMED_OUT;
    return rlki_lock_unanswered(lock);
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

/* Nodes that can take part in a round now, those that are about to be able to, and those that may
 * be: a change was notified, and not looked at yet. */
typedef struct acquire_count {
    unsigned ready;
    unsigned undoing;
    unsigned changed;
} acquire_count;

/* Looks at a node again whose time has come: asks for the TTL, or tries at once. Who is restrained
 * tries: its attempt comes at a random time, and so meets the gap between two leases of a client
 * whose way to the server is shorter. What comes of the next notification is then tried at once. */
static void acquire_look(rlk_lock *lock, rlk_seat *seat)
{
    bool tries = rlki_nodes(lock->client) == 1;
    lock->cause = lock->due[seat->index];
    if (lock->cause == RLK_CAUSE_YIELD)
        rlki_watch_recount(lock);
    if (lock->cause == RLK_CAUSE_PUSH && lock->woken == ACQUIRE_WOKEN_MAX) {
        lock->woken -= 2;
        tries = tries || (seat->index == acquire_gate(lock) && acquire_may_be_free(lock));
    }
    if (tries) {
        lock->touched &= ~acquire_bit(seat->index);
        return;
    }
    acquire_forget(lock);
    RLKI_COUNT(lock->client, probes);
    lock->overtaken &= ~acquire_bit(seat->index);
    rlki_seat_send(seat, RLKI_PROBE);
}

static acquire_count acquire_count_nodes(rlk_lock *lock)
{
    acquire_count count = {0, 0, 0};
    int64_t now_ms = lock->client->now_ms;
    unsigned i;
    lock->wake_ms = RLK_NEVER;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        if (rlk_conn_get_state(rlki_route(lock, i)) != RLK_CONN_READY)
            continue;
        if (lock->touched & acquire_bit(i) && seat->request.tag == RLKI_NO_COMMAND) {
            int32_t left_ms = (int32_t)(seat->t0 - (uint32_t)now_ms);
            if (left_ms <= 0 || left_ms > ACQUIRE_LOOK_MAX_MS) /* by so much: long past */
                acquire_look(lock, seat);
            else if (now_ms + left_ms < lock->wake_ms)
                lock->wake_ms = now_ms + left_ms;
        }
        if (lock->touched & acquire_bit(i)) {
            count.changed += acquire_is_changed(lock, seat);
            continue;
        }
        if (rlki_seat_clean(seat))
            count.ready++;
        else if (!(seat->flags & RLKI_SEAT_RETRY)) /* refused: nobody knows for how long */
            count.undoing++;
    }
    return count;
}

/* A node of the round under way that has not been asked yet. */
static bool acquire_holds_back(const rlk_lock *lock, unsigned node)
{
    return lock->seats[node].verdict == RLKI_NONE && node + 1 != lock->gate;
}

static void acquire_ask(rlk_lock *lock, rlk_seat *seat)
{
    lock->touched &= ~acquire_bit(seat->index);
    lock->overtaken &= ~acquire_bit(seat->index);
    rlki_seat_send(seat, RLKI_SET);
}

/* Ends the time in which the gate alone is asked: the others are asked, or have no part. */
static void acquire_open(rlk_lock *lock, bool ask)
{
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (!acquire_holds_back(lock, i))
            continue;
        if (ask)
            acquire_ask(lock, &lock->seats[i]);
        else
            lock->seats[i].verdict = RLKI_SKIPPED;
    }
    if (ask) /* each has the time of a try, from when it was asked */
        lock->phase_ms = rlki_later(lock->client->now_ms, lock->node_timeout_ms);
    lock->gate = 0;
    lock->wake_ms = RLK_NEVER;
}

static void acquire_round_begin(rlk_lock *lock, bool gated)
{
    unsigned i;
    lock->gate = 0;
    acquire_forget(lock);
    acquire_phase(lock, RLKI_PHASE_ROUND);
    lock->phase_ms = rlki_later(lock->client->now_ms, lock->node_timeout_ms);
    lock->wake_ms = RLK_NEVER;
    lock->flags &= (uint8_t)~RLKI_LOCK_SPREAD;
    RLKI_COUNT(lock->client, attempts);
    RLKI_COUNT(lock->client, causes[lock->cause]);
    lock->round++;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        rlk_conn_state state = rlk_conn_get_state(rlki_route(lock, i));
        bool usable =
            state == RLK_CONN_READY || state == RLK_CONN_HANDSHAKE || state == RLK_CONN_CONNECTING;
        seat->verdict = RLKI_SKIPPED;
        if (seat->request.tag == RLKI_PROBE) /* the SET tells as much */
            rlki_seat_abandon(seat);
        if (!usable || !rlki_seat_clean(seat))
            continue;
        seat->verdict = RLKI_NONE;
        seat->round = lock->round;
        seat->expiry_ms = RLKI_EXPIRED;
        seat->flags = (uint8_t)(seat->flags & ~RLKI_SEAT_PROBED);
        if (!gated) {
            acquire_ask(lock, seat);
        } else if (lock->gate == 0 && state == RLK_CONN_READY) {
            lock->gate = (uint8_t)(i + 1);
            lock->wake_ms = rlki_later(lock->client->now_ms, lock->retry_min_ms);
            acquire_ask(lock, seat);
        }
    }
}

static bool acquire_watching(rlk_lock *lock)
{
    acquire_count count;
    bool together = rlki_nodes(lock->client) > 1 && lock->cause != RLK_CAUSE_START;
    unsigned gate;
    bool gated;
    if (acquire_hopeless(lock)) {
        acquire_settle(lock, (rlk_result)lock->error);
        return true;
    }
    count = acquire_count_nodes(lock);
    /* A node that is about to answer its undo is waited for, as long as one try takes. */
    if (lock->client->now_ms >= lock->phase_ms)
        lock->phase_ms = RLK_NEVER;
    gate = acquire_gate(lock);
    gated = together && gate < rlki_nodes(lock->client) && !(lock->touched & acquire_bit(gate));
    if (count.ready + (gated ? count.changed : 0) < rlki_needed(lock->client)) {
        lock->flags &= (uint8_t)~RLKI_LOCK_SPREAD;
        return false;
    }
    if (count.undoing > 0 && lock->phase_ms != RLK_NEVER)
        return false;
    /* Held at the gate alone: somebody is about to ask the others. If not, all are asked. */
    if (together && !gated && !(lock->flags & RLKI_LOCK_SPREAD)) {
        lock->flags |= RLKI_LOCK_SPREAD;
        acquire_pause_begin(lock, rlki_client_jitter(lock->client, lock->retry_min_ms / 10,
                                                     lock->retry_min_ms / 5));
        return true;
    }
    acquire_round_begin(lock, gated);
    return true;
}

/* A quorum said OK: held, if there is time left of it. */
static bool acquire_won(rlk_lock *lock)
{
    unsigned i;
    rlki_lock_validate(lock);
    if (lock->client->now_ms >= lock->valid_ms)
        return false;
    /* SETs that are under way, or wait for their node to come up, still count when answered: they
     * make the lease outlive more failures. A release takes them back. */
    lock->state = RLKI_HELD;
    lock->lost_cause = RLK_LOST_NOT;
    lock->since_ms = lock->client->now_ms;
    if (lock->cause != RLK_CAUSE_LOCAL)
        lock->streak = 0;
    rlki_turn_acquired(lock);
    RLKI_COUNT(lock->client, acquired);
    if (rlki_nodes(lock->client) == 1 && lock->cause == RLK_CAUSE_RECHECK)
        acquire_missed(lock, &lock->seats[0]); /* of several nodes the probe has said it */
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("HELD"), lock->valid_ms - lock->client->now_ms);
    rlki_watch_hold(lock); /* whoever is next in the row sees what was known of the others */
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->seats[i].verdict != RLKI_YES) /* the others', not ours */
            lock->touched &= ~acquire_bit(i);
    rlki_operation_finish(lock, RLK_OK);
    return true;
}

static bool acquire_final_error(const rlk_lock *lock, const rlki_tally *tally)
{
    return rlki_is_final((rlk_result)lock->error) &&
           tally->error > rlki_nodes(lock->client) - rlki_needed(lock->client);
}

/* Somebody has it: nodes that this round did not hear are asked before they count as free. Where an
 * undo is under way, that is answered first: rlki_acquire_undone. */
static void acquire_ask_others(rlk_lock *lock)
{
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        if ((seat->verdict == RLKI_NONE || seat->verdict == RLKI_SKIPPED) &&
            rlki_seat_clean(seat) && !(lock->touched & acquire_bit(i)))
            acquire_look_in(lock, seat, 0, RLK_CAUSE_RETRY);
    }
}

/* After a round without success: is it over, and if not, how long till the next? */
static void acquire_round_failed(rlk_lock *lock, const rlki_tally *tally, bool shut)
{
    bool final = !shut && acquire_final_error(lock, tally);
    uint32_t pause_ms;
    if (tally->no > 0) { /* not for errors alone: somebody else has it */
        lock->flags |= RLKI_LOCK_HOLDER;
        lock->tries = 0;
    }
    if (lock->flags & RLKI_LOCK_TRY || final) {
        acquire_settle(lock, final ? (rlk_result)lock->error : acquire_outcome(lock));
        return;
    }
    acquire_reason_changed(lock);
    rlki_lock_undo(lock);
    if (tally->no > 0 && rlki_nodes(lock->client) > 1)
        acquire_ask_others(lock);
    if (shut || tally->no > rlki_nodes(lock->client) - rlki_needed(lock->client)) {
        acquire_count_woken(lock); /* the next round has to wait for a change */
        if (rlki_nodes(lock->client) > 1)
            lock->cause = RLK_CAUSE_RETRY;
        acquire_watch_begin(lock);
        return;
    }
    pause_ms = acquire_retry(lock) << lock->tries;
    if (!(lock->flags & RLKI_LOCK_HOLDER) && lock->tries < ACQUIRE_BACKOFF_MAX)
        lock->tries++;
    lock->cause = RLK_CAUSE_RETRY;
    lock->flags |= RLKI_LOCK_SPREAD;
    acquire_pause_begin(lock, pause_ms);
}

/* Has the gate answered, or kept us waiting for too long? True: somebody else has it there. */
static bool acquire_step_gate(rlk_lock *lock)
{
    unsigned verdict = lock->gate ? lock->seats[lock->gate - 1].verdict : (unsigned)RLKI_NONE;
    if (lock->gate && (verdict != RLKI_NONE || lock->client->now_ms >= lock->wake_ms))
        acquire_open(lock, verdict != RLKI_NO);
    return verdict == RLKI_NO;
}

static bool acquire_round(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    bool shut = acquire_step_gate(lock);
    rlki_tally tally = rlki_tally_of(lock);
    if (tally.yes >= rlki_needed(client) && acquire_won(lock))
        return false;
    if (tally.yes < rlki_needed(client) && tally.yes + tally.pending >= rlki_needed(client) &&
        client->now_ms < lock->phase_ms)
        return false;
    acquire_round_failed(lock, &tally, shut);
    return true;
}

static bool acquire_pause(rlk_lock *lock)
{
    unsigned i;
    if (lock->client->now_ms < lock->phase_ms)
        return false;
    acquire_watch_begin(lock);
    for (i = 0; i < rlki_nodes(lock->client); i++)
        lock->seats[i].verdict = RLKI_NONE;
    return true;
}

/* Nobody but the first asks the server; but what is hopeless for it is for all. */
static bool acquire_in_row(rlk_lock *lock)
{
    if (!acquire_hopeless(lock))
        return false;
    acquire_settle(lock, (rlk_result)lock->error);
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
    if (lock->client->now_ms >= lock->report_at_ms)
        acquire_report(lock);
    switch (lock->phase) {
    case RLKI_PHASE_ROW:
        return acquire_in_row(lock);
    case RLKI_PHASE_WATCH:
        return acquire_watching(lock);
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
    /* One attempt goes on upon a second stream only if nothing can come from the first. */
    bool unfenced = ready && lock->flags & RLKI_LOCK_TRY && seat->flags & RLKI_SEAT_FENCE &&
                    !rlk_conn_fenced(rlki_route(lock, seat->index));
    if (lock->phase == RLKI_PHASE_WATCH || lock->phase == RLKI_PHASE_ROW)
        seat->verdict = ready ? RLKI_NONE : RLKI_ERROR;
    if (lock->phase != RLKI_PHASE_SETTLE)
        acquire_reason_changed(lock);
    if (lock->phase != RLKI_PHASE_ROUND || (ready && !unfenced) || seat->verdict != RLKI_NONE)
        return;
    /* Nor is a node that was to be asked later. */
    if (lock->gate && acquire_holds_back(lock, seat->index))
        seat->verdict = RLKI_ERROR;
    /* A SET that did not leave is not waited for in this round. A lost one is, unless there is one
     * attempt only: it has become a raise. */
    if (seat->request.tag != RLKI_SET && !(lock->flags & RLKI_LOCK_TRY))
        return;
    rlki_seat_abandon(seat);
    seat->verdict = RLKI_ERROR;
}
