/* SPDX-License-Identifier: MIT
 *
 * The dispatcher. A lock has a state, and at most one operation over it:
 *
 *             acquire: OK                      validity over, or q nodes say "not ours"
 *     FREE ---------------------> HELD -----------------------------------------------> LOST
 *      ^ ^    release called       |                                                      |
 *      | +-------------------------+                 release or acquire called            |
 *      +----------------------------------------------------------------------------------+
 *
 * What happens to a lock comes here, and goes one way:
 *
 *     deadline ---> node lock ---> operation ---> lease ---> timer
 *     (tick)        (report)       (step)
 *
 * Deadlines come first, so that a late answer can't revive what is over. What concerns other locks
 * puts them on the ready list, which is drained before the call into the engine ends.
 */
#include "machine.h"
#include "../net/condemn.h"
#include "clock.h"
#include "epoch.h"
#include "events.h"
#include "held.h"
#include "lease.h"
#include "notify.h"
#include "operation.h"
#include "recheck.h"
#include "tally.h"
#include "token.h"
#include "timers.h"

/* ---- The timer ---- */

static int32_t machine_earlier(int32_t a_ms, int32_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* Sets the lock's one timer to the earliest of its deadlines. */
static void machine_arm(rlk_lock *lock)
{
    int32_t deadline_ms = lock->retry_ms;

    if (lock->op != NULL) {
        deadline_ms = machine_earlier(deadline_ms, lock->deadline_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->phase_ms);
    } else if ((lock->options & RLKI_OPTION_UNSETTLED) != 0) {
        deadline_ms = machine_earlier(deadline_ms, lock->cleanup_ms);
    }
    if (lock->state == RLKI_HELD) {
        deadline_ms = machine_earlier(deadline_ms, lock->as.hold.valid_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->as.hold.renew_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->as.hold.watch_ms);
    } else if (lock->op != NULL && (lock->op->flags & RLKI_OP_WAITS) != 0) {
        deadline_ms = machine_earlier(deadline_ms, rlki_recheck_next(lock));
        if (RLK_MAX_NODES > 1)
            deadline_ms = machine_earlier(deadline_ms, lock->as.wait.gate_ms);
        deadline_ms = machine_earlier(deadline_ms, lock->as.wait.report_ms);
    }
    if (deadline_ms == RLKI_NEVER) {
        rlki_timers_cancel(&lock->timer);
        return;
    }
    /* a retry, where a driver reports that a stream ended before it ticks: at the next tick */
    if (deadline_ms <= lock->client->now_ms)
        deadline_ms = lock->client->now_ms + 1;
    rlki_timers_set(&lock->client->timers, &lock->timer, deadline_ms);
}

static bool machine_is_due(const rlk_lock *lock)
{
    return lock->timer.link != NULL && lock->client->now_ms >= lock->timer.deadline_ms;
}

/* ---- The step ---- */

/* One step of the operation; true if there may be another. */
static bool machine_step_operation(rlk_lock *lock)
{
    return lock->op != NULL && lock->op->step(lock);
}

/* What the nodes say of a lease counts outside of an operation too. */
static void machine_step_lease(rlk_lock *lock)
{
    int32_t before_ms = lock->as.hold.valid_ms;

    rlki_lease_validate(lock);
    if (lock->client->now_ms >= lock->as.hold.valid_ms) {
        rlki_held_lose(lock, rlki_held_is_absent(lock) ? RLK_NOT_OWNER : RLK_LOST);
        (void)machine_step_operation(lock); /* a query, that the undo took back, asks again */
    } else if (lock->as.hold.valid_ms < before_ms && lock->op == NULL) {
        rlki_renewal_schedule(lock, true); /* somebody has shortened it: due earlier */
    }
}

/* Reports what an acquire or a release could not report, when it is known or when the key has
 * expired. */
static void machine_settle(rlk_lock *lock)
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

static void machine_step(rlk_lock *lock)
{
    bool was_held = lock->state == RLKI_HELD;

    while (machine_step_operation(lock)) {
    }
    if (lock->state == RLKI_HELD) {
        rlki_held_compare(lock);
        if (was_held) /* else acquired by this step: validated already */
            machine_step_lease(lock);
    }
    if ((lock->options & RLKI_OPTION_UNSETTLED) != 0 && lock->op == NULL)
        machine_settle(lock);
    machine_arm(lock);
}

/* ---- What nodes report ---- */

/* Somebody else may have the key now: our own deletion, which no server notifies us of, or a token
 * of ours that turned out not to be there. */
static void machine_notify(rlk_lock *lock, const rlk_node_lock *node, unsigned command,
                           bool answered, bool had)
{
    bool gone = had && (node->flags & RLKI_NODE_PRESENT) == 0;

    if ((answered && command == RLKI_RELEASE) || gone)
        rlki_notify(lock->client, rlki_index(node), lock->key_hash, RLK_CAUSE_LOCAL, lock);
    else if (answered && command == RLKI_DEL)
        rlki_notify(lock->client, rlki_index(node), lock->key_hash, RLK_CAUSE_LOCAL, NULL);
}

static RLKI_INTO_CALLERS void machine_report(rlk_lock *lock, rlk_node_lock *node,
                                             rlki_report *report)
{
    report->votes = report->votes && lock->op != NULL; /* what it asked may outlive an operation */
    if (report->kind == RLKI_REPORT_NOTHING)
        return;
    if (lock->state == RLKI_HELD)
        rlki_held_report(lock, node, report);
    if (lock->op != NULL)
        lock->op->report(lock, node, report);
}

/* ---- Deadlines ---- */

/* Sends again what was refused and waits for it, or refuses it where the lock's texts have
 * changed. */
static void machine_retry(rlk_lock *lock)
{
    bool dangles = rlki_token_dangles(lock);
    unsigned i;

    lock->retry_ms = RLKI_NEVER;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlki_report report;

        if ((node->flags & RLKI_NODE_RETRY) == 0)
            continue;
        if (!dangles) {
            rlki_node_lock_resend(node);
            continue;
        }
        rlki_node_lock_refuse(node, &report);
        machine_report(lock, node, &report);
    }
}

void rlki_machine_tick(rlk_lock *lock)
{
    int32_t now_ms = lock->client->now_ms;

    if (lock->state == RLKI_HELD && now_ms >= lock->as.hold.valid_ms)
        rlki_held_lose(lock, RLK_LOST);
    if (now_ms >= lock->retry_ms && now_ms < lock->deadline_ms) /* else behind the result */
        machine_retry(lock);
    if (lock->state == RLKI_HELD && now_ms >= lock->as.hold.renew_ms)
        lock->client->renewal->due(lock);
    machine_step(lock);
}

/* ---- Replies ---- */

/* Does what is due before a reply is read. Returns true if that abandoned the command that is
 * answered: its reply then means nothing, and what was sent behind it settles the matter. */
static bool machine_is_overtaken(rlk_lock *lock, const rlk_node_lock *node)
{
    uint8_t tag = node->request.tag;
    uint8_t state = node->request.state;

    if (!machine_is_due(lock))
        return false;
    rlki_machine_tick(lock);
    return node->request.tag != tag || node->request.state != state;
}

void rlki_machine_reply(rlk_node_lock *node, rlk_conn *conn, const rlk_reply *reply, unsigned left)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    unsigned command = node->request.tag;
    bool had = (node->flags & RLKI_NODE_PRESENT) != 0;
    rlki_report report;

    rlki_client_advance(lock->client, rlki_conn_now(conn));
    if (!machine_is_overtaken(lock, node)) {
        rlki_node_lock_reply(node, reply, left, &report);
        machine_report(lock, node, &report);
        if (report.error == RLK_E_UNEXPECTED)
            rlk_conn_reject(conn, lock->client->clock_ms);
        rlki_ready(lock);
    }
    machine_notify(lock, node, command, reply->error == RLK_OK, had);
}

void rlki_machine_lost(rlk_node_lock *node, bool maybe_sent)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    rlki_report report;

    rlki_node_lock_lost(node, maybe_sent, &report);
    if (rlki_condemn_is_for((rlk_result)report.error))
        lock->second_try |= rlki_bit(rlki_index(node));
    machine_report(lock, node, &report);
    machine_step(lock);
}

/* ---- Entrances ---- */

void rlki_machine_drain_all(rlk_client *client)
{
    rlk_lock *lock;

    while ((lock = rlki_ready_take(client)) != NULL) {
        if (machine_is_due(lock))
            rlki_machine_tick(lock);
        else
            machine_step(lock);
    }
}

void rlki_machine_run(rlk_lock *lock)
{
    machine_step(lock);
    rlki_machine_drain(lock->client);
}

rlk_result rlki_machine_enter(rlk_lock *lock)
{
    rlk_client *client;

    if (lock == NULL)
        return RLK_E_ARGUMENT;
    client = lock->client;
    if (client == NULL || lock->state == RLKI_CLOSED)
        return RLK_E_CLOSED;
    if (!rlki_client_same_process(client))
        return RLK_E_FORKED;
    rlki_client_changing(client);
    rlki_client_now(client);
    if (machine_is_due(lock))
        rlki_machine_tick(lock);
    rlki_machine_drain(client);
    return RLK_OK;
}

/* A connection that can't be had answers, in its way, what waits for it. */
static bool machine_fails_with(const rlk_lock *lock, rlk_conn *conn)
{
    return (lock->op->flags & RLKI_OP_ONCE) != 0 || rlki_conn_state(conn) == RLK_CONN_FATAL ||
           rlki_is_final(rlk_conn_result(conn));
}

void rlki_machine_changed(rlk_lock *lock, unsigned index)
{
    rlk_node_lock *node = &lock->nodes[index];
    rlk_conn *conn = rlki_route(lock, index);
    bool ready = rlki_conn_is_ready(conn);
    bool again; /* the next stream answers */

    if (lock->op == NULL)
        return;
    again = !ready && !rlki_conn_is_over(conn) && rlki_operation_tries_again(lock, index);
    if (!ready)
        lock->second_try &= (rlk_node_mask)~rlki_bit(index);
    if (!ready && lock->phase != RLKI_PHASE_SETTLE)
        rlki_lock_note(lock, index, RLKI_NO_COMMAND, rlk_conn_result(conn));
    if (lock->op->changed != NULL) {
        if (!again)
            lock->op->changed(lock, node, ready);
    } else if (!ready && !again && node->vote == RLKI_VOTE_NONE && machine_fails_with(lock, conn)) {
        if (node->request.tag != RLKI_RELEASE) /* an undo stays, for when the node is back */
            (void)rlki_node_lock_abandon(node);
        rlki_operation_node_failed(lock, node);
    }
    machine_step(lock);
}
