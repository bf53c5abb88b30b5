/* SPDX-License-Identifier: MIT
 *
 * Acquire. An attempt is one token tried on all nodes at once:
 *
 *   begin --> QUEUE  behind another lock of the client
 *        |     | first of the queue
 *        v     v
 *       WATCH -------------------------> ATTEMPT -------------------------> (held, RLK_OK)
 *         ^  a quorum of nodes is ready,   |   a quorum said OK, in time
 *         |  clean, and not known to be    |
 *         |  held by somebody              | quorum out of reach, or the attempt's time is over:
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
 * A SET that is answered nil is followed by PTTL, and so the node is busy until a time (recheck.c).
 * When a quorum has come free, the attempt begins at its gate, the first node that can be asked:
 * all waiters meet there, one of them has it, and that one asks the others. Where the gate alone is
 * held, or does not answer, all nodes are asked after a pause.
 *
 *   ATTEMPT:  gate asked ---OK, or no answer soon---> all asked, node_timeout_ms from then ---> ...
 *                 |
 *                 +-- nil --> gate probed, and nobody else is asked --> WATCH, with nothing to undo
 *
 * An acquire begins with a PAUSE where the last turn of the client is over (turn.c), or where the
 * lease before was lost at once.
 *
 * Each phase checks the deadline before anything else: an OK read at the deadline is too late, and
 * is undone. A node whose undo is not answered yet has no part in the next attempt.
 */
#include "acquire.h"
#include "clock.h"
#include "events.h"
#include "lease.h"
#include "notify.h"
#include "recheck.h"
#include "tally.h"
#include "token.h"
#include "trace.h"
#include "turn.h"
#include "wait_queue.h"
#include "waiting.h"

#include <string.h>

/* After consecutive failures the pause doubles up to 2^3, unless a holder explains them. */
#define ACQUIRE_BACKOFF_MAX 3

/* A lease that was lost so soon is followed by a pause: a key that somebody deletes each time makes
 * no storm. */
#define ACQUIRE_FALL_MS 250

/* Units of RLKI_CLOCK_UNIT that fit into 32 bits, and one more: 12 days. */
#define ACQUIRE_NEAR 64

static void acquire_pause_begin(rlk_lock *lock, uint32_t pause_ms)
{
    rlki_recheck_phase(lock, RLKI_PHASE_PAUSE);
    lock->phase_ms = rlki_from_now(lock, pause_ms);
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
    return rlki_lock_pause(lock) << (lock->falls - 1);
}

/* It is the first of those that wait. */
static void acquire_first_begin(rlk_lock *lock, uint32_t pause_ms)
{
    if (pause_ms == 0) {
        rlki_recheck_begin(lock);
        return;
    }
    lock->cause = RLK_CAUSE_YIELD;
    acquire_pause_begin(lock, pause_ms);
}

/* ---- Outcome ---- */

/* Decides the outcome; what was sent is undone before it is reported. */
static void acquire_settle(rlk_lock *lock, rlk_result outcome)
{
    lock->outcome = (int16_t)outcome;
    rlki_recheck_phase(lock, RLKI_PHASE_SETTLE);
    rlki_node_locks_undo(lock, 0, 0);
    rlki_recheck_leave(lock);
    lock->as.wait.report_ms = RLKI_NEVER;
    rlki_event_drop(lock, RLKI_EVENT_WAITING);
    lock->deadline_ms = RLKI_NEVER;
    lock->phase_ms = rlki_from_now(lock, lock->client->settle_timeout_ms);
}

static void acquire_cancel(rlk_lock *lock)
{
    rlki_lock_leave_election(lock);
    if (lock->phase == RLKI_PHASE_SETTLE)
        lock->outcome = RLK_CANCELLED;
    else
        acquire_settle(lock, RLK_CANCELLED);
}

/* What the trying came to, when its time is over. */
static rlk_result acquire_outcome(rlk_lock *lock)
{
    /* behind another lock of the client it did not ask, and that one may know */
    if (lock->phase == RLKI_PHASE_QUEUE && rlki_queue_is_held(lock))
        lock->flags |= RLKI_LOCK_HOLDER;
    if ((lock->flags & RLKI_LOCK_HOLDER) != 0)
        return (lock->flags & RLKI_LOCK_TRY) != 0 ? RLK_BUSY : RLK_TIMED_OUT;
    return rlki_operation_unanswered(lock);
}

/* Returns true if too few nodes are left for any attempt to succeed; lock->error says why. */
static bool acquire_is_hopeless(rlk_lock *lock)
{
    unsigned hope = 0;
    unsigned down = 0; /* the last of them */
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_conn *conn = rlki_route(lock, i);
        /* What failed before this call began may work now, unless it is fatal. */
        bool failed = lock->nodes[i].vote == RLKI_VOTE_ERROR &&
                      ((lock->flags & RLKI_LOCK_TRY) != 0 || rlki_is_final(rlk_conn_result(conn)));

        if (!rlki_conn_is_over(conn) && !failed)
            hope++;
        else
            down = i;
    }
    if (hope >= rlki_needed(lock->client))
        return false;
    rlki_lock_note(lock, down, RLKI_NO_COMMAND, rlk_conn_result(rlki_route(lock, down)));
    return true;
}

static bool acquire_settle_hopeless(rlk_lock *lock)
{
    if (!acquire_is_hopeless(lock))
        return false;
    acquire_settle(lock, (rlk_result)lock->error);
    return true;
}

/* ---- An attempt ---- */

static void acquire_ask(rlk_lock *lock, rlk_node_lock *node)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));

    lock->as.wait.busy &= (rlk_node_mask)~bit;
    lock->as.wait.overtaken &= (rlk_node_mask)~bit;
    rlki_node_lock_ask(node, RLKI_SET);
}

/* The node, counted from 1, that an attempt asks before the others; 0: none. */
static unsigned acquire_gate(const rlk_lock *lock)
{
    return RLK_MAX_NODES == 1 ? 0 : lock->as.wait.gate;
}

/* A node of the attempt under way that has not been asked yet. */
static bool acquire_holds_back(const rlk_lock *lock, unsigned node)
{
    return lock->nodes[node].vote == RLKI_VOTE_NONE && node + 1 != acquire_gate(lock);
}

/* Ends the time in which the gate alone is asked: the others are asked, or have no part. */
static void acquire_open(rlk_lock *lock, bool ask)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (!acquire_holds_back(lock, i))
            continue;
        if (ask)
            acquire_ask(lock, &lock->nodes[i]);
        else
            lock->nodes[i].vote = RLKI_VOTE_SKIPPED;
    }
    if (ask) /* each has the time of an attempt, from when it was asked */
        lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
    lock->as.wait.gate = 0;
    lock->as.wait.gate_ms = RLKI_NEVER;
}

static bool acquire_can_use(const rlk_conn *conn)
{
    rlk_conn_state state = rlki_conn_state(conn);

    return state == RLK_CONN_READY || state == RLK_CONN_HANDSHAKE || state == RLK_CONN_CONNECTING;
}

static void acquire_attempt_begin(rlk_lock *lock, bool gated)
{
    unsigned i;

    rlki_recheck_attempt(lock);
    rlki_recheck_phase(lock, RLKI_PHASE_ATTEMPT);
    lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
    lock->as.wait.gate = 0;
    lock->as.wait.compared = 0;
    lock->flags &= (uint8_t)~RLKI_LOCK_JITTERED;
    RLKI_COUNT(lock->client, attempts);
    RLKI_COUNT(lock->client, causes[lock->cause]);
    lock->token++;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlk_conn *conn = rlki_route(lock, i);

        node->vote = RLKI_VOTE_SKIPPED;
        if (rlki_is_question(node->request.tag)) /* the SET answers it */
            (void)rlki_node_lock_abandon(node);
        if (!acquire_can_use(conn) || !rlki_node_lock_is_clean(node))
            continue;
        node->vote = RLKI_VOTE_NONE;
        node->token = lock->token;
        node->expiry_ms = RLKI_EXPIRED;
        if (!gated) {
            acquire_ask(lock, node);
        } else if (acquire_gate(lock) == 0 && rlki_conn_is_ready(conn)) {
            lock->as.wait.gate = (uint8_t)(i + 1);
            lock->as.wait.gate_ms = rlki_from_now(lock, lock->retry_min_ms);
            acquire_ask(lock, node);
        }
    }
}

static bool acquire_step_watch(rlk_lock *lock)
{
    rlki_recheck_count count;
    bool together = rlki_nodes(lock->client) > 1 && lock->cause != RLK_CAUSE_START;
    unsigned gate;
    bool gated;

    count = rlki_recheck_nodes(lock);
    if (count.ready < rlki_needed(lock->client) && acquire_settle_hopeless(lock))
        return true;
    /* A node that is about to answer its undo is waited for, as long as one attempt takes. */
    if (lock->client->now_ms >= lock->phase_ms)
        lock->phase_ms = RLKI_NEVER;
    gate = together ? rlki_recheck_gate(lock) : 0;
    gated =
        together && gate < rlki_nodes(lock->client) && (lock->as.wait.busy & rlki_bit(gate)) == 0;
    if (count.ready + (gated ? count.changed : 0) < rlki_needed(lock->client)) {
        lock->flags &= (uint8_t)~RLKI_LOCK_JITTERED;
        if (rlki_recheck_is_observed(lock))
            lock->client->campaign->ask(lock);
        return false;
    }
    if (count.undoing > 0 && lock->phase_ms != RLKI_NEVER)
        return false;
    /* Held at the gate alone: somebody is about to ask the others. If not, all are asked. */
    if (together && !gated && (lock->flags & RLKI_LOCK_JITTERED) == 0) {
        lock->flags |= RLKI_LOCK_JITTERED;
        acquire_pause_begin(lock, rlki_client_jitter(lock->client, lock->retry_min_ms / 10,
                                                     lock->retry_min_ms / 5));
        return true;
    }
    acquire_attempt_begin(lock, gated); /* on a quorum of nodes, and none has answered yet */
    return false;
}

/* A quorum said OK: held, if there is time left of it. */
static bool acquire_win(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    rlk_node_mask busy = lock->as.wait.busy;
    int32_t valid_ms = rlki_lease_until(lock);
    unsigned i;

    if (client->now_ms >= valid_ms)
        return false;
    /* SETs that are under way, or wait for their node to come up, still count when answered: they
     * make the lease outlive more failures. A release takes them back. */
    lock->state = RLKI_HELD;
    lock->lost_cause = RLK_LOST_NOT;
    if (lock->cause != RLK_CAUSE_LOCAL)
        lock->handoffs = 0;
    rlki_turn_acquired(lock);
    RLKI_COUNT(lock->client, acquired);
    if (rlki_nodes(client) == 1 && lock->cause == RLK_CAUSE_RECHECK)
        rlki_recheck_missed(lock, &lock->nodes[0]); /* of several nodes the probe has said it */
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("HELD"), valid_ms - client->now_ms);
    rlki_recheck_hold(lock); /* the next of the queue gets what was known of the other nodes */
    rlki_lease_begin(lock, valid_ms);
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->vote == RLKI_VOTE_YES) /* changed after our SET */
            lock->as.hold.dirty |= (rlk_node_mask)(busy & rlki_bit(i));
        else if (node->request.tag == RLKI_CONFIRM && node->request.state == RLK_REQUEST_QUEUED)
            node->request.tag = RLKI_CHECK; /* late: it only compares */
    }
    rlki_operation_finish(lock, RLK_OK);
    return true;
}

static bool acquire_is_final(const rlk_lock *lock, const rlki_tally *tally)
{
    return rlki_is_final((rlk_result)lock->error) &&
           tally->error > rlki_nodes(lock->client) - rlki_needed(lock->client);
}

/* Somebody has it: a node whose remaining time is being asked for is asked on. */
static rlk_node_mask acquire_asked(rlk_lock *lock)
{
    rlk_node_mask asked = 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        if (!rlki_is_question(lock->nodes[i].request.tag))
            continue;
        asked |= rlki_bit(i);
        rlki_recheck_later(lock, &lock->nodes[i], 0, RLK_CAUSE_RETRY);
    }
    return asked;
}

/* Somebody has it: nodes that did not answer in this attempt are asked before they count as free.
 * Where an undo is under way, that is answered first: rlki_recheck_undone. */
static void acquire_ask_others(rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((node->vote == RLKI_VOTE_NONE || node->vote == RLKI_VOTE_SKIPPED) &&
            rlki_node_lock_is_clean(node) && (lock->as.wait.busy & rlki_bit(i)) == 0)
            rlki_recheck_later(lock, node, 0, RLK_CAUSE_RETRY);
    }
}

/* After an attempt without success: is it over, and if not, how long till the next? */
static void acquire_failed(rlk_lock *lock, const rlki_tally *tally, bool shut)
{
    bool final = !shut && acquire_is_final(lock, tally);
    rlk_node_mask asked = 0;
    uint32_t pause_ms;

    if (tally->no > 0) { /* not for errors alone: somebody else has it */
        lock->flags |= RLKI_LOCK_HOLDER;
        lock->as.wait.failures = 0;
    }
    if ((lock->flags & RLKI_LOCK_TRY) != 0 || final) {
        acquire_settle(lock, final ? (rlk_result)lock->error : acquire_outcome(lock));
        return;
    }
    rlki_waiting_changed(lock);
    if (tally->no > 0 && rlki_nodes(lock->client) > 1)
        asked = acquire_asked(lock);
    rlki_node_locks_undo(lock, 0, asked);
    if (tally->no > 0 && rlki_nodes(lock->client) > 1)
        acquire_ask_others(lock);
    if (shut || tally->no > rlki_nodes(lock->client) - rlki_needed(lock->client)) {
        rlki_recheck_failed(lock); /* the next attempt has to wait for a change */
        if (rlki_nodes(lock->client) > 1)
            lock->cause = RLK_CAUSE_RETRY;
        rlki_recheck_begin(lock);
        return;
    }
    pause_ms = rlki_lock_pause(lock) << lock->as.wait.failures;
    if ((lock->flags & RLKI_LOCK_HOLDER) == 0 && lock->as.wait.failures < ACQUIRE_BACKOFF_MAX)
        lock->as.wait.failures++;
    lock->cause = RLK_CAUSE_RETRY;
    lock->flags |= RLKI_LOCK_JITTERED;
    acquire_pause_begin(lock, pause_ms);
}

/* Has the gate answered, or kept us waiting for too long? True: somebody else has it there. */
static bool acquire_step_gate(rlk_lock *lock)
{
    unsigned gate = acquire_gate(lock);
    unsigned vote = gate != 0 ? lock->nodes[gate - 1].vote : (unsigned)RLKI_VOTE_NONE;

    if (gate != 0 && (vote != RLKI_VOTE_NONE || lock->client->now_ms >= lock->as.wait.gate_ms))
        acquire_open(lock, vote != RLKI_VOTE_NO);
    return vote == RLKI_VOTE_NO;
}

static bool acquire_step_attempt(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    bool shut = acquire_step_gate(lock);
    rlki_tally tally = rlki_tally_of(lock);

    if (tally.yes >= rlki_needed(client) && acquire_win(lock))
        return false;
    if (tally.yes < rlki_needed(client) && tally.yes + tally.pending >= rlki_needed(client) &&
        client->now_ms < lock->phase_ms)
        return false;
    acquire_failed(lock, &tally, shut);
    return true;
}

static bool acquire_step_pause(rlk_lock *lock)
{
    unsigned i;

    if (lock->client->now_ms < lock->phase_ms)
        return false;
    rlki_recheck_begin(lock);
    for (i = 0; i < rlki_nodes(lock->client); i++)
        lock->nodes[i].vote = RLKI_VOTE_NONE;
    return true;
}

static void acquire_step_settle(rlk_lock *lock)
{
    rlki_tally tally = rlki_tally_of(lock);

    if (tally.unclean < rlki_needed(lock->client))
        rlki_operation_finish(lock, (rlk_result)lock->outcome);
    else if (tally.doubt >= rlki_needed(lock->client) || lock->client->now_ms >= lock->phase_ms)
        rlki_operation_finish(lock, RLK_UNKNOWN);
}

static bool acquire_step(rlk_lock *lock)
{
    if (lock->client->now_ms >= lock->deadline_ms) {
        acquire_settle(lock, acquire_outcome(lock));
        return true;
    }
    if (lock->client->now_ms >= lock->as.wait.report_ms)
        rlki_waiting_report(lock);
    switch (lock->phase) {
    case RLKI_PHASE_QUEUE: /* nobody but the first asks; but what is hopeless for it is for all */
        return acquire_settle_hopeless(lock);
    case RLKI_PHASE_WATCH:
        return acquire_step_watch(lock);
    case RLKI_PHASE_ATTEMPT:
        return acquire_step_attempt(lock);
    case RLKI_PHASE_PAUSE:
        return acquire_step_pause(lock);
    default: /* RLKI_PHASE_SETTLE */
        acquire_step_settle(lock);
        return false;
    }
}

/* ---- What nodes report ---- */

/* Somebody has the key: no, unless it may be an orphan of our own. */
static void acquire_busy(rlk_lock *lock, rlk_node_lock *node)
{
    if (node->orphans > 0) { /* once: no SET leaves after a compare that this one asks for */
        lock->as.wait.compared |= rlki_bit(rlki_index(node));
        rlki_node_lock_ask(node, RLKI_CONFIRM);
        return;
    }
    /* the TTL says when to ask again, and PTTL has the server notify of the key */
    if ((lock->flags & RLKI_LOCK_TRY) == 0 &&
        rlk_conn_is_tracking(rlki_route(lock, rlki_index(node)))) {
        rlki_node_lock_ask(node, rlki_recheck_question(lock));
        lock->as.wait.gate_ms = RLKI_NEVER;
        lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
        return;
    }
    rlki_recheck_answered(lock, node, RLKI_TTL_UNKNOWN);
    node->vote = RLKI_VOTE_NO;
}

/* A compare did not find our token: a SET that was lost did not come through, or an orphan is not
 * what the node has. */
static void acquire_not_ours(rlk_lock *lock, rlk_node_lock *node, rlk_result error)
{
    if (error == RLK_OK && (lock->as.wait.compared & rlki_bit(rlki_index(node))) == 0) {
        rlki_node_lock_ask(node, RLKI_SET);
        return;
    }
    rlki_recheck_answered(lock, node, RLKI_TTL_UNKNOWN);
    node->vote = RLKI_VOTE_NO;
}

static void acquire_voted(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_result error = (rlk_result)report->error;

    switch (report->kind) {
    case RLKI_REPORT_DONE:
        node->vote = RLKI_VOTE_YES;
        break;
    case RLKI_REPORT_HELD: /* of a SET: nil */
        if (node->orphans == 0)
            lock->flags |= RLKI_LOCK_HOLDER;
        acquire_busy(lock, node);
        break;
    case RLKI_REPORT_NOT_OURS:
        acquire_not_ours(lock, node, error);
        break;
    case RLKI_REPORT_LOST:
        if ((lock->flags & RLKI_LOCK_TRY) != 0 &&
            !rlki_operation_tries_again(lock, rlki_index(node))) {
            rlki_lock_note(lock, rlki_index(node), report->command, error);
            node->vote = RLKI_VOTE_ERROR;
        } else {
            rlki_node_lock_ask(node, report->maybe_sent ? (unsigned)RLKI_CONFIRM : report->command);
        }
        break;
    default: /* RLKI_REPORT_REFUSED */
        rlki_lock_note(lock, rlki_index(node), report->command, error);
        node->vote = RLKI_VOTE_ERROR;
        break;
    }
}

/* A node was probed, in an attempt behind a nil, or by a recheck. */
static void acquire_probed(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (report->kind == RLKI_REPORT_PART)
        return; /* the PTTL follows */
    if (report->kind == RLKI_REPORT_LOST && !report->votes)
        return;                       /* probed again when the node is back */
    rlki_recheck_answered(lock, node, /* the SET that follows is refused too, and ends it */
                          report->error == RLK_E_DANGLING ? RLKI_TTL_ABSENT : report->ttl_ms);
    if (report->votes)
        node->vote = RLKI_VOTE_NO;
}

static void acquire_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (rlki_is_question(report->command))
        acquire_probed(lock, node, report);
    else if (report->command == RLKI_RELEASE)
        rlki_recheck_undone(lock, node, report->kind == RLKI_REPORT_DONE);
    else if (report->votes)
        acquire_voted(lock, node, report);
    if (rlki_recheck_is_observed(lock))
        lock->client->campaign->observe(lock, node, report);
}

static void acquire_changed(rlk_lock *lock, rlk_node_lock *node, bool ready)
{
    /* One attempt goes on upon a second stream only if nothing can come from the first. */
    bool unfenced = ready && (lock->flags & RLKI_LOCK_TRY) != 0 &&
                    (node->flags & RLKI_NODE_FENCE) != 0 &&
                    !rlk_conn_fenced(rlki_route(lock, rlki_index(node)));

    if (lock->phase == RLKI_PHASE_WATCH || lock->phase == RLKI_PHASE_QUEUE)
        node->vote = ready ? RLKI_VOTE_NONE : RLKI_VOTE_ERROR;
    if (lock->phase != RLKI_PHASE_SETTLE)
        rlki_waiting_changed(lock);
    if (lock->phase != RLKI_PHASE_ATTEMPT || (ready && !unfenced) || node->vote != RLKI_VOTE_NONE)
        return;
    /* Nor is a node that would have been asked later. */
    if (acquire_gate(lock) != 0 && acquire_holds_back(lock, rlki_index(node)))
        node->vote = RLKI_VOTE_ERROR;
    /* A SET that did not leave is not waited for in this attempt. A lost one is, unless there is
     * one attempt only: it has become a compare. */
    if (node->request.tag != RLKI_SET && (lock->flags & RLKI_LOCK_TRY) == 0)
        return;
    (void)rlki_node_lock_abandon(node);
    node->vote = RLKI_VOTE_ERROR;
}

static void acquire_ended(rlk_lock *lock, rlk_result result)
{
    rlki_event_drop(lock, RLKI_EVENT_WAITING);
    if (result == RLK_UNKNOWN)
        lock->options |= RLKI_OPTION_UNSETTLED;
}

const rlki_operation rlki_acquire = {
    RLK_OP_ACQUIRE,  RLKI_OP_WAITS, acquire_step,   acquire_report,
    acquire_changed, NULL,          acquire_cancel, acquire_ended,
};

/* ---- The call ---- */

/* A node that may still have a token of ours remembers it by its number: then the random part of
 * the token must stay, and only numbers go on. */
static bool acquire_has_token(const rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (rlki_node_lock_has_token(&lock->nodes[i]))
            return true;
    return false;
}

/* True unless a new token is needed and can't be drawn. */
static bool acquire_take_token(rlk_lock *lock)
{
    if (acquire_has_token(lock))
        return true;
    if (!rlki_token_draw(lock))
        return false;
    rlki_node_locks_forget_doubts(lock);
    return true;
}

/* Sets the end of the trying: what is too far away for 32 bits, by units of the client's clock. */
static void acquire_end_after(rlk_lock *lock, int64_t wait_ms)
{
    int64_t units = wait_ms / RLKI_CLOCK_UNIT;

    if (units > UINT16_MAX)
        return; /* 34 years: without end */
    lock->later = (uint16_t)(units > ACQUIRE_NEAR ? units - ACQUIRE_NEAR : 0);
    lock->deadline_ms =
        rlki_from_now(lock, (uint32_t)(wait_ms - (int64_t)lock->later * RLKI_CLOCK_UNIT));
}

static void acquire_begin(rlk_lock *lock, int64_t wait_ms)
{
    int64_t clock_ms = lock->client->clock_ms;
    bool one_try = wait_ms == RLK_TRY;
    bool fell = lock->state == RLKI_LOST && clock_ms - lock->as.hold.since_ms < ACQUIRE_FALL_MS;

    rlki_notify_forget(lock);
    lock->state = RLKI_FREE;
    rlki_operation_begin(lock, &rlki_acquire, RLKI_NEVER);
    acquire_end_after(lock, one_try ? (int64_t)lock->client->operation_timeout_ms : wait_ms);
    memset(&lock->as.wait, 0, sizeof lock->as.wait);
    lock->cause = RLK_CAUSE_START;
    lock->as.wait.began_ms = clock_ms;
    lock->as.wait.report_ms = RLKI_NEVER;
    lock->options &= (uint8_t) ~(RLKI_OPTION_UNSETTLED | RLKI_OPTION_SETTLED);
    rlki_lock_leave_election(lock);
    if (one_try) {
        lock->flags |= RLKI_LOCK_TRY;
        rlki_recheck_begin(lock);
        return;
    }
    rlki_waiting_begin(lock);
    if (rlki_queue_wait(lock))
        acquire_first_begin(lock, acquire_first_pause(lock, fell));
    else
        rlki_recheck_phase(lock, RLKI_PHASE_QUEUE);
}

static rlk_result acquire_call(rlk_lock *lock, int64_t wait_ms, rlk_holder *holders)
{
    (void)holders;
    if (lock->state == RLKI_HELD)
        return RLK_E_STATE;
    if (wait_ms == RLK_DEFAULT)
        wait_ms = lock->wait_ms;
    if (wait_ms < 0)
        return RLK_E_TIMES;
    if (!acquire_take_token(lock))
        return RLK_E_ENTROPY;
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* of the lease before */
    acquire_begin(lock, wait_ms);
    return RLK_PENDING;
}

const rlki_call rlki_call_acquire = {&rlki_acquire, 0, acquire_call};
