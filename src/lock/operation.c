/* SPDX-License-Identifier: MIT
 *
 * What all operations share. A lock has a state, and at most one operation over it:
 *
 *             acquire: OK                      validity over, or q nodes say "not ours"
 *     FREE ---------------------> HELD -----------------------------------------------> LOST
 *      ^ ^    release called       |                                                      |
 *      | +-------------------------+                 release or acquire called            |
 *      +----------------------------------------------------------------------------------+
 *
 * Verdicts of the seats lead to rlki_operation_step, times to rlki_lock_timer; times are looked at
 * first, so that a late answer can't revive what is over. The steps of an operation read tallies
 * of verdicts only: one node and five are the same code.
 */
#include "../net/condemn.h"
#include "../net/error.h"
#include "internal.h"
#include "validity.h"
#include "timers.h"

void rlki_lock_note(rlk_lock *lock, unsigned seat, unsigned command, rlk_result error)
{
    lock->error = (int16_t)error;
    lock->error_node = (uint8_t)seat;
    lock->error_command = (uint8_t)command;
}

rlk_result rlki_lock_unanswered(rlk_lock *lock)
{
    unsigned silent = 0;
    unsigned i;
    /* nobody said anything: is it that nobody could be asked? */
    for (i = 0; lock->error == RLK_OK && i < rlki_nodes(lock->client); i++) {
        rlk_conn *conn = rlki_route(lock, i);
        if (rlk_conn_get_state(conn) != RLK_CONN_READY)
            rlki_lock_note(lock, i, RLKI_NO_COMMAND, rlk_conn_result(conn));
        else if (lock->seats[i].verdict == RLKI_NONE)
            silent = i;
    }
    if (lock->error == RLK_OK)
        rlki_lock_note(lock, silent, lock->seats[silent].request.tag, RLK_E_RESPONSE_TIMEOUT);
    return (rlk_result)lock->error;
}

bool rlki_is_final(rlk_result result)
{
    rlk_result_kind kind = rlk_result_class(result);
    return kind == RLK_KIND_FATAL || kind == RLK_KIND_USAGE ||
           rlki_error_scope(result) == RLKI_SCOPE_FINAL;
}

void rlki_lock_rearm(rlk_lock *lock)
{
    int64_t deadline_ms = lock->retry_ms < lock->wake_ms ? lock->retry_ms : lock->wake_ms;
    rlk_timers *timers = &lock->client->timers;
    if (lock->options & RLKI_OPTION_UNSETTLED && lock->operation == RLK_OP_NONE &&
        lock->cleanup_ms < deadline_ms)
        deadline_ms = lock->cleanup_ms;
    if (lock->state == RLKI_HELD && lock->valid_ms < deadline_ms)
        deadline_ms = lock->valid_ms;
    if (lock->operation != RLK_OP_NONE) {
        if (lock->deadline_ms < deadline_ms)
            deadline_ms = lock->deadline_ms;
        if (lock->phase_ms < deadline_ms)
            deadline_ms = lock->phase_ms;
        if (lock->report_at_ms < deadline_ms)
            deadline_ms = lock->report_at_ms;
    }
    if (deadline_ms == RLK_NEVER)
        rlki_timers_cancel(&lock->timer);
    else if (deadline_ms > lock->client->now_ms)
        rlki_timers_set(timers, &lock->timer, deadline_ms);
    else /* a retry, where a driver tells that a stream ended before it ticks: at the next tick */
        rlki_timers_set(timers, &lock->timer, lock->client->now_ms + 1);
}

void rlki_lock_validate(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    int64_t until[RLK_MAX_NODES];
    unsigned i = 0;
    do /* one at least, as in lock_expiry */
        until[i] = rlki_seat_until(client, &lock->seats[i]);
    while (++i < rlki_nodes(client));
    lock->valid_ms = rlki_quorum_value(until, rlki_nodes(client), rlki_needed(client));
    if (lock->valid_ms > lock->limit_ms)
        lock->valid_ms = lock->limit_ms;
}

int64_t rlki_lock_expiry(const rlk_lock *lock)
{
    int64_t expiry_ms[RLK_MAX_NODES];
    int64_t quorum_ms;
    unsigned i = 0;
    do /* one at least: compilers that look as far as the quorum warn of none */
        expiry_ms[i] = lock->seats[i].expiry_ms;
    while (++i < rlki_nodes(lock->client));
    quorum_ms = rlki_quorum_value(expiry_ms, rlki_nodes(lock->client), rlki_needed(lock->client));
    return quorum_ms < lock->claim_ms ? quorum_ms : lock->claim_ms;
}

void rlki_lock_claim(rlk_lock *lock, int64_t expiry_ms, int64_t t0_ms)
{
    uint32_t horizon_ms = (uint32_t)(expiry_ms - t0_ms); /* at most RLK_TTL_MAX */
    lock->claim_ms = expiry_ms;
    lock->limit_ms = expiry_ms - rlki_client_drift(lock->client, horizon_ms);
}

void rlki_lock_undo(rlk_lock *lock)
{
    unsigned i;
    int64_t until_ms = rlki_later(lock->client->now_ms, lock->ttl_ms);
    if (lock->target_ms > until_ms) /* of an extend, perhaps one whose reply never came */
        until_ms = lock->target_ms;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->seats[i].expiry_ms > until_ms)
            until_ms = lock->seats[i].expiry_ms;
    lock->cleanup_ms = until_ms; /* by then the key has gone by itself */
    for (i = 0; i < rlki_nodes(lock->client); i++)
        rlki_seat_undo(&lock->seats[i]);
}

/* A node can't be had: that is its answer. */
static void operation_conn_failed(rlk_lock *lock, unsigned seat)
{
    rlk_result why = rlk_conn_result(rlki_route(lock, seat));
    rlki_lock_note(lock, seat, RLKI_NO_COMMAND, why);
    lock->seats[seat].verdict = RLKI_ERROR;
    if (lock->operation == RLK_OP_QUERY)
        ((rlk_holder *)lock->query)[seat].result = why;
}

void rlki_operation_begin(rlk_lock *lock, rlk_operation operation, int64_t deadline_ms)
{
    rlk_client *client = lock->client;
    unsigned i;
    bool background = (lock->flags & RLKI_LOCK_BACKGROUND) != 0;
    /* the renewals of a thousand locks leave the connections their backoff */
    bool hurries =
        !background || client->now_ms - client->hurried_ms >= (int64_t)lock->node_timeout_ms;
    /* whoever starts the next has no use for the result of the last one */
    if (!background)
        rlki_event_drop(lock, RLKI_EVENT_RESULT);
    if (hurries)
        client->hurried_ms = client->now_ms;
    lock->operation = (uint8_t)operation;
    lock->phase = RLKI_PHASE_WORK;
    lock->flags = background ? RLKI_LOCK_BACKGROUND : 0;
    lock->deadline_ms = deadline_ms;
    lock->phase_ms = RLK_NEVER;
    lock->outcome = RLK_OK;
    lock->error = RLK_OK;
    lock->again = 0;
    rlki_seats_forget_retries(lock);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_conn *conn = rlki_route(lock, i);
        lock->seats[i].verdict = RLKI_NONE;
        if (rlk_conn_get_state(conn) == RLK_CONN_READY)
            lock->again |= UINT32_C(1) << i;
        if (hurries)
            rlk_conn_hurry(conn, client->now_ms);
        if (operation != RLK_OP_ACQUIRE && rlki_conn_is_over(conn))
            operation_conn_failed(lock, i);
    }
}

/* A stream that was there before the call may have been dead already (fault 115): nobody has
 * looked, and no clock can say. And one that the server condemned says nothing of the next. What
 * begins anew then, on a stream of its own, ends at the next error. */
bool rlki_operation_tries_again(const rlk_lock *lock, unsigned node)
{
    rlk_result why = rlk_conn_result(rlki_route(lock, node));
    return lock->again & UINT32_C(1) << node &&
           (lock->operation == RLK_OP_QUERY || lock->operation == RLK_OP_FORCE_RELEASE ||
            lock->flags & RLKI_LOCK_TRY) &&
           (rlk_result_class(why) == RLK_KIND_TRANSPORT || rlki_condemn_is_for(why));
}

void rlki_operation_note(rlk_lock *lock, unsigned operation, rlk_result result)
{
    lock->done_operation = (uint8_t)operation;
    lock->done_result = (int16_t)result;
    lock->options = (uint8_t)(lock->options & ~(RLKI_OPTION_RENEWED | RLKI_OPTION_FELL));
}

void rlki_operation_report(rlk_lock *lock, unsigned operation, rlk_result result)
{
    rlki_operation_note(lock, operation, result);
    rlki_event_raise(lock, RLKI_EVENT_RESULT);
}

void rlki_operation_finish(rlk_lock *lock, rlk_result result)
{
    rlk_client *client = lock->client;
    unsigned operation = lock->operation;
    bool background = (lock->flags & RLKI_LOCK_BACKGROUND) != 0;
    RLKI_TRACE(lock, RLK_TRACE_RESULT, -1, rlki_operation_name(operation), result);
    client->failed = (int16_t)(result < 0 ? result : RLK_OK);
    if (result < 0)
        client->checked = false;
    client->failed_node = lock->error_node;
    client->failed_command = lock->error_command;
    if (result == RLK_OK)
        lock->error = RLK_OK; /* it was ridden out, and is not why the lease will end */
    lock->operation = RLK_OP_NONE;
    lock->flags &= (uint8_t)~RLKI_LOCK_BACKGROUND;
    lock->deadline_ms = RLK_NEVER;
    lock->phase_ms = RLK_NEVER;
    lock->report_at_ms = RLK_NEVER;
    rlki_event_drop(lock, RLKI_EVENT_WAITING); /* not any more */
    if (background) {
        rlki_renew_finish(lock, result);
        return;
    }
    if ((operation == RLK_OP_ACQUIRE && result == RLK_UNKNOWN) ||
        (operation == RLK_OP_RELEASE && (result == RLK_UNKNOWN || result < 0)))
        lock->options |= RLKI_OPTION_UNSETTLED;
    rlki_operation_report(lock, operation, result);
    rlki_renew_schedule(lock);
}

/* Returns true if the last word on a renewal, since the last operation that worked, is an error
 * of a server. */
static bool operation_renewal_refused(const rlk_lock *lock)
{
    return lock->error_command == RLKI_RAISE &&
           rlk_result_class((rlk_result)lock->error) >= RLK_KIND_SERVER;
}

void rlki_lock_lose(rlk_lock *lock, rlk_result result)
{
    lock->state = RLKI_LOST;
    if (result == RLK_LOST) /* else the nodes said what it was */
        lock->lost_cause = operation_renewal_refused(lock) ? RLK_LOST_REFUSED : RLK_LOST_EXPIRED;
    lock->options |= RLKI_OPTION_FELL; /* unless an operation that is under way tells it */
    lock->wake_ms = RLK_NEVER;
    RLKI_COUNT(lock->client, lost);
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("LOST"), lock->lost_cause);
    rlki_lock_undo(lock);
    rlki_watch_leave(lock);
    if (lock->operation == RLK_OP_EXTEND || lock->operation == RLK_OP_RENEW ||
        lock->operation == RLK_OP_CHECK)
        rlki_operation_finish(lock, result);
    rlki_event_raise(lock, RLKI_EVENT_LOST);
}

/* One step of the operation; true if there may be another. */
static bool operation_step(rlk_lock *lock)
{
    switch (lock->operation) {
    case RLK_OP_ACQUIRE:
        return rlki_acquire_step(lock);
    case RLK_OP_RELEASE:
        return rlki_release_step(lock);
    case RLK_OP_EXTEND:
    case RLK_OP_RENEW:
    case RLK_OP_CHECK:
        return rlki_hold_step(lock);
    case RLK_OP_QUERY:
    case RLK_OP_FORCE_RELEASE:
        return rlki_query_step(lock);
    default:
        return false;
    }
}

/* So many nodes do not have our token that no quorum can. */
static bool operation_is_absent(const rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    unsigned absent = 0;
    unsigned i;
    for (i = 0; i < client->nodes; i++)
        absent += rlki_seat_clean(&lock->seats[i]);
    return absent > (unsigned)(client->nodes - client->quorum);
}

/* What an acquire or a release could not tell is told when it is known, or when the key has gone by
 * itself. */
static void operation_settle(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);
    unsigned needed = rlki_needed(lock->client);
    bool settled = tally.unclean < needed;
    if (!settled && tally.doubt < needed && lock->client->now_ms < lock->cleanup_ms)
        return;
    lock->options = (uint8_t)((lock->options & ~(RLKI_OPTION_UNSETTLED | RLKI_OPTION_SETTLED)) |
                              (settled ? RLKI_OPTION_SETTLED : 0u));
    rlki_event_raise(lock, RLKI_EVENT_SETTLED);
}

void rlki_operation_step(rlk_lock *lock)
{
    while (operation_step(lock)) {
    }
    /* A node that said "not ours" outside of an operation counts too. */
    if (lock->state == RLKI_HELD) {
        int64_t before_ms = lock->valid_ms;
        rlki_hold_look(lock);
        rlki_lock_validate(lock);
        if (lock->client->now_ms >= lock->valid_ms) {
            rlki_lock_lose(lock, operation_is_absent(lock) ? RLK_NOT_OWNER : RLK_LOST);
            (void)operation_step(lock); /* a query, that the undo took back, asks again */
        } else if (lock->valid_ms < before_ms && lock->operation == RLK_OP_NONE) {
            rlki_renew_schedule_next(lock); /* somebody has shortened it: due earlier */
        }
    }
    if (lock->options & RLKI_OPTION_UNSETTLED && lock->operation == RLK_OP_NONE)
        operation_settle(lock);
    rlki_lock_rearm(lock);
}

void rlki_lock_timer(rlk_lock *lock)
{
    int64_t now_ms = lock->client->now_ms;
    if (lock->state == RLKI_HELD && now_ms >= lock->valid_ms)
        rlki_lock_lose(lock, RLK_LOST);
    if (now_ms >= lock->retry_ms)
        rlki_seats_retry(lock);
    if (now_ms >= lock->wake_ms && lock->state == RLKI_HELD)
        rlki_renew_due(lock);
    rlki_operation_step(lock);
}

rlk_result rlki_lock_enter(rlk_lock *lock)
{
    rlk_client *client;
    if (!lock)
        return RLK_E_ARGUMENT;
    client = lock->client;
    if (!client || lock->state == RLKI_CLOSED)
        return RLK_E_CLOSED;
    if (!rlki_client_same_process(client))
        return RLK_E_FORKED;
    if (rlki_client_now(client) >= lock->timer.deadline_ms && lock->timer.link)
        rlki_lock_timer(lock);
    return RLK_OK;
}

/* A connection that can't be had answers, in its way, what waits for it. */
static bool operation_fails_with_conn(const rlk_lock *lock, rlk_conn *conn)
{
    switch (lock->operation) {
    case RLK_OP_QUERY:
    case RLK_OP_FORCE_RELEASE:
        return true;
    default:
        return rlk_conn_get_state(conn) == RLK_CONN_FATAL || rlki_is_final(rlk_conn_result(conn));
    }
}

void rlki_lock_conn_changed(rlk_lock *lock, unsigned seat_index)
{
    rlk_seat *seat = &lock->seats[seat_index];
    rlk_conn *conn = rlki_route(lock, seat_index);
    bool ready = rlk_conn_get_state(conn) == RLK_CONN_READY;
    bool again;
    if (lock->operation == RLK_OP_NONE)
        return;
    /* then the next stream answers */
    again = !ready && !rlki_conn_is_over(conn) && rlki_operation_tries_again(lock, seat_index);
    if (!ready)
        lock->again &= ~(UINT32_C(1) << seat_index);
    if (!ready && lock->phase != RLKI_PHASE_SETTLE)
        rlki_lock_note(lock, seat_index, RLKI_NO_COMMAND, rlk_conn_result(conn));
    if (lock->operation == RLK_OP_ACQUIRE && !again)
        rlki_acquire_conn_changed(lock, seat, ready);
    else if (!ready && !again && seat->verdict == RLKI_NONE &&
             operation_fails_with_conn(lock, conn)) {
        if (seat->request.tag != RLKI_RELEASE) /* an undo stays, for when the node is back */
            rlki_seat_abandon(seat);
        operation_conn_failed(lock, seat_index);
    }
    rlki_operation_step(lock);
}
