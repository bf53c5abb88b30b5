/* SPDX-License-Identifier: MIT
 *
 * Rechecks. A node where somebody holds the key is busy until its time has come:
 *
 *            SET, probe: somebody's; or it was notified
 *     free ---------------------------------------------> busy, until a time, for a cause
 *      ^                                                   |  ^
 *      |   one node: the time has come (an attempt)        |  | probe: still there
 *      +---------------------------------------------------+  |
 *      |   several: PTTL says that it is gone              |  |
 *      +--------------------------- probed <---------------+--+ the time has come
 *
 * The time is when the holder's TTL ends, if nothing is notified before. Where the server notifies
 * of changes (CLIENT TRACKING), PTTL is also what makes it do so. What it notifies before PTTL was
 * answered happened before PTTL saw the key, and is ignored.
 *
 * One node: a push, or that time, makes it free, and the next attempt begins. Several: the node is
 * asked by a PTTL first, since an attempt costs others theirs.
 */
#include "recheck.h"
#include "clock.h"
#include "lease.h"
#include "trace.h"
#include "turn.h"
#include "wait_queue.h"

/* Up to RECHECK_SPURIOUS_MAX consecutive attempts that a push caused without success are let
 * through at once. Each further one waits for a random time below RECHECK_SPURIOUS_MS milliseconds,
 * so that a key that changes all the time makes no storm. */
#define RECHECK_SPURIOUS_MAX     8
#define RECHECK_SPURIOUS_MS      16
#define RECHECK_SPURIOUS_TURN_MS 2 /* where it is known that others have their turns */

void rlki_recheck_phase(rlk_lock *lock, unsigned phase)
{
#if !defined(RLK_NO_TRACE) && !defined(RLK_NO_TEXT)
    static const char *const names[] = {"", "QUEUE", "WATCH", "ATTEMPT", "PAUSE", "SETTLE"};
#endif

    RLKI_TRACE(lock, RLK_TRACE_PHASE, -1, RLKI_WORD(names[phase]), lock->cause);
    lock->phase = (uint8_t)phase;
    if (RLK_MAX_NODES > 1)
        lock->as.wait.gate_ms = RLKI_NEVER; /* it ends with its attempt */
}

void rlki_recheck_begin(rlk_lock *lock)
{
    rlki_recheck_phase(lock, RLKI_PHASE_WATCH);
    lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
}

static bool recheck_is_busy(const rlk_lock *lock, unsigned node)
{
    return (lock->as.wait.busy & rlki_bit(node)) != 0;
}

extern inline bool rlki_recheck_is_observed(const rlk_lock *lock);

unsigned rlki_recheck_question(const rlk_lock *lock)
{
    return rlki_recheck_is_observed(lock) ? RLKI_QUERY : RLKI_PROBE;
}

void rlki_recheck_later(rlk_lock *lock, rlk_node_lock *node, uint32_t pause_ms, rlk_cause cause)
{
    lock->as.wait.busy |= rlki_bit(rlki_index(node));
    lock->as.wait.recheck_at_ms[rlki_index(node)] = rlki_from_now(lock, pause_ms);
    lock->as.wait.recheck_cause[rlki_index(node)] = (uint8_t)cause;
    lock->as.wait.lasting &= (rlk_node_mask)~rlki_bit(rlki_index(node));
}

/* Nothing but time makes the lock ask again, before the key there expires at expiry_ms. */
static void recheck_by_time(rlk_lock *lock, rlk_node_lock *node, uint32_t pause_ms,
                            int32_t expiry_ms)
{
    unsigned i = rlki_index(node);

    rlki_recheck_later(lock, node, pause_ms, RLK_CAUSE_RECHECK);
    if (rlki_earlier(expiry_ms, 2 * lock->node_timeout_ms) > lock->as.wait.recheck_at_ms[i])
        lock->as.wait.lasting |= rlki_bit(i);
}

/* Returns true if the recheck of a node comes later than in pause_ms. */
static bool recheck_is_after(const rlk_lock *lock, unsigned node, uint32_t pause_ms)
{
    return lock->as.wait.recheck_at_ms[node] > rlki_from_now(lock, pause_ms);
}

/* Returns true after max_handoffs consecutive local hand-offs: the next waits for others' turn. */
static bool recheck_has_to_yield(const rlk_lock *lock)
{
    return lock->handoffs > lock->client->max_handoffs;
}

/* A lock of this client has let go of the key, perhaps: rechecks now, or when others had a turn. */
static void recheck_local(rlk_lock *lock, rlk_node_lock *node)
{
    if (recheck_has_to_yield(lock))
        rlki_recheck_later(lock, node, rlki_lock_pause(lock), RLK_CAUSE_YIELD);
    else
        rlki_recheck_later(lock, node, 0, RLK_CAUSE_LOCAL);
}

/* A random time, for the case that a notification is lost. */
static uint32_t recheck_slow(const rlk_lock *lock)
{
    return rlki_client_jitter(lock->client, lock->recheck_max_ms / 5, lock->recheck_max_ms);
}

/* ---- Restraint ---- */

/* Returns the spurious wake-ups that the time since the last attempt makes up for. */
static unsigned recheck_earned(const rlk_lock *lock)
{
    uint32_t since_ms = (uint32_t)lock->client->clock_ms - lock->as.wait.attempt_ms;

    if (since_ms >= RECHECK_SPURIOUS_MAX * RECHECK_SPURIOUS_MS)
        return RECHECK_SPURIOUS_MAX;
    return since_ms / RECHECK_SPURIOUS_MS;
}

/* What woke the lock last is the server's word. */
static bool recheck_was_notified(const rlk_lock *lock)
{
    return lock->cause == RLK_CAUSE_PUSH || lock->cause == RLK_CAUSE_FLUSH;
}

/* Returns true after too many spurious wake-ups: the next attempt has to wait. An attempt that is
 * answered on the only node, and not over yet, counts. */
static bool recheck_is_restrained(const rlk_lock *lock)
{
    bool answered = rlki_nodes(lock->client) == 1 && lock->phase == RLKI_PHASE_ATTEMPT &&
                    lock->as.wait.busy != 0 && recheck_was_notified(lock);

    return lock->as.wait.spurious + (unsigned)answered >= RECHECK_SPURIOUS_MAX &&
           recheck_earned(lock) == 0;
}

/* Returns how long an attempt that `cause` asks for must wait. */
static uint32_t recheck_restraint(rlk_lock *lock, rlk_cause cause)
{
    uint32_t pause_ms = cause == RLK_CAUSE_LOCAL ? 0 : rlki_turn_patience(lock);

    if (pause_ms > 0 || !recheck_is_restrained(lock))
        return pause_ms;
    return rlki_client_jitter(lock->client, 1,
                              rlki_turn_contended(lock) ? RECHECK_SPURIOUS_TURN_MS
                                                        : RECHECK_SPURIOUS_MS - 1);
}

void rlki_recheck_attempt(rlk_lock *lock)
{
    unsigned earned = recheck_earned(lock);

    lock->as.wait.spurious =
        (uint8_t)(lock->as.wait.spurious > earned ? lock->as.wait.spurious - earned : 0);
    lock->as.wait.attempt_ms = (uint32_t)lock->client->clock_ms;
}

void rlki_recheck_failed(rlk_lock *lock)
{
    if (!recheck_was_notified(lock))
        return;
    lock->as.wait.spurious =
        (uint8_t)(lock->as.wait.spurious + (lock->as.wait.spurious < RECHECK_SPURIOUS_MAX));
    rlki_turn_crowd(lock);
}

/* ---- What nodes answer ---- */

/* Returns true if the key there can not have expired before the answer to a recheck by time. A
 * program that runs late sends the recheck late, and reads both answers late: the one to PTTL and
 * this one. The push of an expiry may come behind the answer, which is no broken word. */
static bool recheck_unexpired(const rlk_lock *lock, unsigned node)
{
    return (lock->as.wait.lasting & rlki_bit(node)) != 0 &&
           rlki_earlier(lock->client->now_ms, lock->node_timeout_ms) <
               lock->as.wait.recheck_at_ms[node];
}

/*
 * The server has broken its word if the node was asked by time only, that is: this stream read
 * the key under tracking; its TTL, if any, is longer than the time until now, so it did not
 * expire (recheck_unexpired); since then nothing has notified of it: no push, no lock of this
 * client that let go of it, no new stream (rlki_recheck_notified). A push comes before the reply
 * that shows the change, and an eviction from the server's table of keys is notified too. What is
 * left are clocks of servers that jump: so once is an accident. Where a lock of this client has the
 * key, that one has read it, once it is watched (held.c). A connection that breaks its word counts
 * as one without tracking until the next stream, which costs commands and nothing else (fault 107).
 */
void rlki_recheck_missed(rlk_lock *lock, const rlk_node_lock *node)
{
    if (lock->as.wait.recheck_cause[rlki_index(node)] == RLK_CAUSE_RECHECK &&
        recheck_unexpired(lock, rlki_index(node)) && rlki_queue_is_watched(lock) &&
        rlk_conn_missed(rlki_route(lock, rlki_index(node)))) {
        RLKI_COUNT(lock->client, silent);
    }
    lock->as.wait.recheck_cause[rlki_index(node)] = RLK_CAUSE_RETRY; /* a change counts once */
}

/* Nothing is under way there that a recheck waits for. */
static bool recheck_is_idle(const rlk_node_lock *node)
{
    return node->request.tag == RLKI_NO_COMMAND;
}

/* A change was notified there, and not rechecked yet. */
static bool recheck_is_changed(const rlk_lock *lock, const rlk_node_lock *node)
{
    return recheck_is_busy(lock, rlki_index(node)) && recheck_is_idle(node) &&
           lock->as.wait.recheck_cause[rlki_index(node)] == RLK_CAUSE_PUSH;
}

/* True if an attempt may find a quorum of nodes free. */
static bool recheck_may_be_free(const rlk_lock *lock)
{
    unsigned count = 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_node_lock *node = &lock->nodes[i];

        count += recheck_is_changed(lock, node) ||
                 (!recheck_is_busy(lock, i) && rlki_node_lock_is_clean(node) &&
                  rlki_conn_is_ready(rlki_route(lock, i)));
    }
    return count >= rlki_needed(lock->client);
}

/* The key is gone since the node was last asked, or between SET and PTTL. */
static void recheck_gone(rlk_lock *lock, rlk_node_lock *node)
{
    bool one = rlki_nodes(lock->client) == 1;
    uint32_t pause_ms = one ? recheck_restraint(lock, RLK_CAUSE_PUSH) : 0;

    /* it changes hands while we wait */
    if ((lock->flags & RLKI_LOCK_HOLDER) != 0 && recheck_may_be_free(lock))
        rlki_turn_contend(lock);
    if (one)
        lock->cause = RLK_CAUSE_PUSH;
    if (lock->phase != RLKI_PHASE_ATTEMPT) /* a probe's answer */
        rlki_recheck_missed(lock, node);
    if (pause_ms > 0)
        rlki_recheck_later(lock, node, pause_ms, RLK_CAUSE_PUSH);
}

void rlki_recheck_answered(rlk_lock *lock, rlk_node_lock *node, int32_t ttl_ms)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));
    uint32_t slow_ms;

    lock->as.wait.busy &= (rlk_node_mask)~bit;
    if ((lock->as.wait.overtaken & bit) != 0) {
        lock->as.wait.overtaken &= (rlk_node_mask)~bit;
        recheck_local(lock, node);
        return;
    }
    if (ttl_ms == RLKI_TTL_ABSENT) {
        recheck_gone(lock, node);
        return;
    }
    if (rlki_nodes(lock->client) > 1 && lock->phase != RLKI_PHASE_ATTEMPT) /* a probe's answer */
        rlki_recheck_failed(lock);
    if (ttl_ms == RLKI_TTL_UNKNOWN || !rlk_conn_is_tracking(rlki_route(lock, rlki_index(node)))) {
        rlki_recheck_later(lock, node, rlki_lock_pause(lock), RLK_CAUSE_RETRY);
        return;
    }
    slow_ms = recheck_slow(lock);
    if (ttl_ms >= 0 && ttl_ms < (int32_t)slow_ms)
        rlki_recheck_later(lock, node,
                           (uint32_t)ttl_ms + 1 +
                               rlki_client_jitter(lock->client, 0, lock->retry_min_ms),
                           RLK_CAUSE_EXPIRY);
    else
        recheck_by_time(lock, node, slow_ms,
                        ttl_ms < 0 ? RLKI_NEVER : rlki_from_now(lock, (uint32_t)ttl_ms));
}

void rlki_recheck_undone(rlk_lock *lock, rlk_node_lock *node, bool deleted)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));

    if (deleted)
        lock->as.wait.busy &=
            (rlk_node_mask)~bit; /* the first of the queue before took it for another's */
    else if ((lock->as.wait.busy & bit) != 0) /* the undo took the place of its time */
        recheck_local(lock, node);
    else if (rlki_nodes(lock->client) > 1 && (lock->flags & RLKI_LOCK_HOLDER) != 0 &&
             lock->phase != RLKI_PHASE_SETTLE)
        rlki_recheck_later(lock, node, 0, RLK_CAUSE_RETRY);
}

/* ---- The queue ---- */

/* The lock is the first of the queue now, and `before` was: it sees what that one saw, in the time
 * of this call too; or that one has the key itself. */
static void recheck_promoted(rlk_lock *lock, const rlk_lock *before)
{
    bool held = before->state == RLKI_HELD;
    /* reckoned with the time-out of the lock before */
    rlk_node_mask lasting =
        lock->node_timeout_ms <= before->node_timeout_ms ? before->as.wait.lasting : 0;
    unsigned i;

    rlki_recheck_begin(lock);
    lock->as.wait.lasting = 0;
    if (held)
        lock->flags |= RLKI_LOCK_HOLDER;
    lock->flags |= (uint8_t)(before->flags & RLKI_LOCK_HOLDER);
    lock->cause = RLK_CAUSE_LOCAL;
    lock->handoffs = 0;
    rlki_queue_count(lock, before, held);
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        const rlk_node_lock *other = &before->nodes[i];
        bool known = recheck_is_busy(before, i) && other->request.state == RLK_REQUEST_IDLE;

        if (held && other->vote == RLKI_VOTE_YES) { /* it will notify of its end */
            recheck_by_time(lock, node, recheck_slow(lock), other->expiry_ms);
        } else if (known && recheck_is_after(before, i, lock->recheck_max_ms)) {
            rlki_recheck_later(lock, node, recheck_slow(lock), RLK_CAUSE_RECHECK);
            lock->as.wait.lasting |= (rlk_node_mask)(lasting & rlki_bit(i));
        } else if (known) {
            lock->as.wait.lasting |= (rlk_node_mask)(lasting & rlki_bit(i));
            lock->as.wait.busy |= rlki_bit(i);
            lock->as.wait.recheck_at_ms[i] = before->as.wait.recheck_at_ms[i];
            lock->as.wait.recheck_cause[i] = before->as.wait.recheck_cause[i];
        } else if (recheck_has_to_yield(lock)) {
            rlki_recheck_later(lock, node, rlki_lock_pause(lock), RLK_CAUSE_YIELD);
        }
    }
    rlki_ready(lock);
}

void rlki_recheck_leave(rlk_lock *lock)
{
    rlk_lock *next = rlki_queue_leave(lock);

    if (next != NULL)
        recheck_promoted(next, lock);
}

void rlki_recheck_hold(rlk_lock *lock)
{
    rlk_lock *next = rlki_queue_hold(lock);

    if (next != NULL)
        recheck_promoted(next, lock);
}

/* ---- Notifications ---- */

unsigned rlki_recheck_gate(const rlk_lock *lock)
{
    unsigned i = 0;

    while (i < rlki_nodes(lock->client) &&
           (!rlki_conn_is_ready(rlki_route(lock, i)) ||
            !(recheck_is_busy(lock, i) || rlki_node_lock_is_clean(&lock->nodes[i]))))
        i++;
    return i;
}

/* Another node than the gate, and that is held: the change there can wait. Without a gate no bit is
 * set. */
static bool recheck_waits_for_gate(const rlk_lock *lock, unsigned node)
{
    unsigned gate = rlki_recheck_gate(lock);

    return gate != node && recheck_is_busy(lock, gate);
}

/* The node is asked at the moment: PTTL will see what happened before. What a busy node is asked
 * before its time may be taken back, so its time is set all the same. */
static bool recheck_is_asked(const rlk_node_lock *node, bool busy)
{
    switch (node->request.tag) {
    case RLKI_QUERY:
        return !busy;
    case RLKI_SET:
    case RLKI_PROBE:
    case RLKI_CONFIRM:
    case RLKI_RAISE:
        return true;
    default:
        return false;
    }
}

void rlki_recheck_notified(rlk_lock *lock, unsigned index, rlk_cause cause)
{
    rlk_node_lock *node = &lock->nodes[index];
    uint32_t pause_ms = recheck_restraint(lock, cause);
    bool one = rlki_nodes(lock->client) == 1;
    bool busy = recheck_is_busy(lock, index);

    if (lock->as.wait.recheck_cause[index] == RLK_CAUSE_RECHECK)
        lock->as.wait.recheck_cause[index] = (uint8_t)cause; /* it is not by time only now */
    /* behind the nil: PTTL will not find the key, and it is from us that this one takes it over */
    if (cause == RLK_CAUSE_LOCAL && lock->phase == RLKI_PHASE_ATTEMPT &&
        rlki_is_question(node->request.tag))
        lock->as.wait.overtaken |= rlki_bit(index);
    /* between GET and PTTL: that one sees the change, and the token is the one before */
    if (node->request.tag == RLKI_QUERY)
        lock->as.wait.read &= (rlk_node_mask)~rlki_bit(index);
    if (recheck_is_asked(node, busy) || (one && lock->phase == RLKI_PHASE_PAUSE))
        return;
    if (!busy && node->vote != RLKI_VOTE_YES && (one || cause == RLK_CAUSE_RECONNECT))
        return; /* not known to be held: an attempt is due anyway */
    if (busy && cause == RLK_CAUSE_LOCAL && lock->as.wait.recheck_cause[index] == RLK_CAUSE_YIELD)
        return; /* others have their turn until then, whichever lock of ours lets go meanwhile */
    if (pause_ms > 0 && !one && cause == RLK_CAUSE_PUSH && recheck_waits_for_gate(lock, index))
        pause_ms = lock->retry_min_ms;
    if (cause == RLK_CAUSE_LOCAL && recheck_has_to_yield(lock))
        recheck_local(lock, node);
    else if (pause_ms == 0 || !busy || recheck_is_after(lock, index, pause_ms))
        rlki_recheck_later(lock, node, pause_ms, cause);
}

/* ---- The time has come ---- */

/* Rechecks a node: asks for the TTL, or makes it free for an attempt. Who is restrained tries: its
 * attempt comes at a random time, and so meets the gap between two leases of a client whose way to
 * the server is shorter. What comes of the next notification is then tried at once. */
static void recheck_node(rlk_lock *lock, rlk_node_lock *node)
{
    bool tries = rlki_nodes(lock->client) == 1;

    lock->cause = lock->as.wait.recheck_cause[rlki_index(node)];
    if (lock->cause == RLK_CAUSE_YIELD)
        rlki_queue_recount(lock);
    if (lock->cause == RLK_CAUSE_PUSH && lock->as.wait.spurious == RECHECK_SPURIOUS_MAX) {
        lock->as.wait.spurious -= 2;
        tries = tries || (rlki_index(node) == rlki_recheck_gate(lock) && recheck_may_be_free(lock));
    }
    if (tries) {
        lock->as.wait.busy &= (rlk_node_mask)~rlki_bit(rlki_index(node));
        return;
    }
    rlki_recheck_attempt(lock);
    RLKI_COUNT(lock->client, probes);
    lock->as.wait.overtaken &= (rlk_node_mask)~rlki_bit(rlki_index(node));
    rlki_node_lock_send(node, rlki_recheck_question(lock));
}

/* The node is busy, and nothing but its time is waited for. */
static bool recheck_waits(const rlk_lock *lock, unsigned node)
{
    return recheck_is_busy(lock, node) && recheck_is_idle(&lock->nodes[node]) &&
           rlki_conn_is_ready(rlki_route(lock, node));
}

/* Rechecks a node if its time has come. */
static void recheck_when_due(rlk_lock *lock, rlk_node_lock *node)
{
    if (!recheck_is_after(lock, rlki_index(node), 0))
        recheck_node(lock, node);
}

int32_t rlki_recheck_next(const rlk_lock *lock)
{
    int32_t next_ms = RLKI_NEVER;
    unsigned i;

    for (i = 0; lock->phase == RLKI_PHASE_WATCH && i < rlki_nodes(lock->client); i++) {
        int32_t at_ms = lock->as.wait.recheck_at_ms[i];

        if (recheck_waits(lock, i) && at_ms < next_ms)
            next_ms = at_ms;
    }
    return next_ms;
}

rlki_recheck_count rlki_recheck_nodes(rlk_lock *lock)
{
    rlki_recheck_count count = {0, 0, 0};
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (!rlki_conn_is_ready(rlki_route(lock, i)))
            continue;
        if (recheck_waits(lock, i))
            recheck_when_due(lock, node);
        if (recheck_is_busy(lock, i))
            count.changed += recheck_is_changed(lock, node);
        else if (rlki_node_lock_is_clean(node))
            count.ready++;
        else if ((node->flags & RLKI_NODE_RETRY) == 0) /* refused: nobody knows for how long */
            count.undoing++;
    }
    return count;
}
