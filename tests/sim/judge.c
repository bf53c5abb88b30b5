/* SPDX-License-Identifier: MIT
 *
 * What must hold of operations and their results.
 */
#include "world.h"

#include <string.h>

/* Clocks are read in whole milliseconds. */
#define JUDGE_SLACK_MS 2

void judge_begin(sim_lock *lock, rlk_operation operation, int64_t time_ms)
{
    lock->pending = operation;
    lock->limit_ms = time_ms == RLK_FOREVER ? RLK_NEVER : process_now_ms(lock->process) + time_ms;
    lock->started_us = sim.now_us;
    lock->reported_ms = process_now_ms(lock->process);
    lock->commands = 0;
    lock->toll = queue_toll(lock);
    queue_turned(lock);
    lock->cancelled = false;
    lock->was_short = false;
    lock->was_long = false;
    lock->unsent = false;
    if (operation != RLK_OP_ACQUIRE)
        check_note(lock);
}

/* Commands for each state change are bounded. A caller's operation that does not wait tries again
 * after a pause. A lost connection repeats what was on it. A holder checks each change of which it
 * is notified. */
static void judge_commands(const sim_lock *lock)
{
    int64_t tries = (sim.now_us - lock->started_us) / SIM_MS / lock->retry_ms + 1;
    sim_toll toll = queue_toll(lock);
    uint32_t failures = toll.failures - lock->toll.failures;
    uint32_t pushes = toll.pushes - lock->toll.pushes;

    if (lock->pending == RLK_OP_ACQUIRE)
        queue_cost(lock);
    else if (lock->commands > sim.nodes * (8 + 4 * tries) + 4 * failures + pushes)
        world_violate(SIM_ADVANCE, "process %u lock %u: %u commands in %lld tries",
                      lock->process->index, lock->index, lock->commands, (long long)tries);
}

void judge_says(bool true_, const sim_lock *lock, const char *what)
{
    if (!true_ && sim.profile->finds == SIM_FINE)
        world_violate(SIM_TRUTH, "process %u lock %u: %s, and it is not so", lock->process->index,
                      lock->index, what);
}

static void judge_truth(bool true_, const sim_lock *lock, rlk_result result)
{
    judge_says(true_, lock, rlk_result_name(result));
}

void judge_exempt(const sim_lock *lock)
{
    uint32_t serial;
    uint32_t attempt;

    if (check_token_of(lock, &serial, &attempt))
        sim.serials[serial].reported = attempt;
}

static bool judge_is_usage(rlk_result result)
{
    return result < 0 && rlk_result_class(result) == RLK_KIND_USAGE;
}

/* ---- Results ----------------------------------------------------------------------------- */

static void judge_acquire(sim_lock *lock, rlk_result result)
{
    uint32_t serial;
    uint32_t attempt;

    switch (result) {
    case RLK_OK:
        sim.verdict->acquired++;
        MET(ACQUIRED);
        lock->first = true;
        lock->owed = !rlk_is_held(&lock->lock); /* lost before the result was pulled */
        lock->since_ms = process_now_ms(lock->process);
        lock->extended = false;
        lock->moved = false;
        lock->asked_ms = INT64_MIN;
        if (lock->leads)
            MET(LED);
        queue_granted(lock);
        return;
    case RLK_UNKNOWN:
        MET(ACQUIRE_UNKNOWN);
        judge_exempt(lock);
        return;
    case RLK_BUSY:
        MET(BUSY);
        break;
    case RLK_TIMED_OUT:
        MET(TIMED_OUT);
        break;
    case RLK_CANCELLED:
        MET(CANCELLED);
        judge_truth(lock->cancelled, lock, result);
        break;
    default:
        MET(ACQUIRE_ERROR);
        judge_truth(result < 0, lock, result);
        break;
    }
    judge_truth(!rlk_is_held(&lock->lock), lock, result);
    if (check_token_of(lock, &serial, &attempt))
        check_bury(lock, serial, serial == lock->serial_before ? lock->attempt_before : 0, attempt);
}

/* It does not lead, and will not. */
static void judge_gave_up(sim_lock *lock, rlk_result result)
{
    if (result == RLK_OK)
        return;
    lock->leads = false;
    lock->again = false;
    lock->process->counts[lock->key].chain = 0;
}

static void judge_release(sim_lock *lock, rlk_result result)
{
    uint32_t serial;
    uint32_t attempt;

    judge_truth(!rlk_is_held(&lock->lock), lock, result);
    switch (result) {
    case RLK_OK:
        MET(RELEASED);
        judge_truth(lock->was_long || lock->tainted, lock, result);
        if (check_token_of(lock, &serial, &attempt))
            check_bury(lock, serial, attempt - 1, attempt);
        return;
    case RLK_NOT_OWNER:
        MET(RELEASE_NOT_OWNER);
        judge_truth(lock->was_short, lock, result);
        return;
    case RLK_GONE:
        MET(RELEASE_GONE);
        return;
    case RLK_LOST:
        MET(RELEASE_LOST);
        if ((sim.faults & SIM_FAULT_NO_IDS) != 0)
            judge_exempt(lock);
        return;
    case RLK_UNKNOWN:
        MET(RELEASE_UNKNOWN);
        judge_exempt(lock);
        return;
    default:
        MET(RELEASE_ERROR);
        judge_truth(result < 0, lock, result);
        judge_exempt(lock);
        return;
    }
}

static void judge_held(sim_lock *lock, rlk_operation operation, rlk_result result)
{
    bool first = lock->first;

    lock->first = false;
    switch (result) {
    case RLK_OK:
        if (operation == RLK_OP_CHECK) {
            MET(CHECKED);
            /* nodes answer one after the other: a key that is deleted by hand meanwhile on one of
             * them was never on all of these at once */
            judge_truth(lock->was_long || lock->tainted, lock, result);
        } else if (operation == RLK_OP_EXTEND) {
            MET(EXTENDED);
        } else {
            MET(RENEWED);
        }
        judge_truth(rlk_is_held(&lock->lock), lock, result);
        return;
    case RLK_NOT_OWNER:
        MET(HOLD_NOT_OWNER);
        judge_truth(lock->was_short && !rlk_is_held(&lock->lock), lock, result);
        return;
    case RLK_LOST:
        MET(HOLD_LOST);
        judge_truth(!rlk_is_held(&lock->lock), lock, result);
        return;
    case RLK_UNKNOWN:
        MET(HOLD_UNKNOWN);
        judge_truth(operation != RLK_OP_CHECK, lock, result);
        return;
    case RLK_CANCELLED:
        MET(HOLD_CANCELLED);
        judge_truth(lock->cancelled, lock, result);
        /* on more nodes, a late one may still be asked for the acquire */
        lock->unsent = first && operation != RLK_OP_CHECK && sim.nodes == 1 && !lock->auto_renew &&
                       !lock->leads;
        return;
    default:
        judge_truth(result < 0, lock, result);
        return;
    }
}

/* An answer of that time ago is over by now: its key may be gone. */
static bool judge_is_old(const sim_lock *lock, const rlk_holder *holder)
{
    return holder->result == RLK_OK && holder->ttl_ms >= 0 &&
           holder->answered_ms + holder->ttl_ms < process_now_ms(lock->process);
}

/* Who leads is who is on a quorum; it is one of this client's, if one of them holds that token. */
static void judge_leader(sim_lock *lock)
{
    const sim_process *process = lock->process;
    rlk_result result = rlk_leader(&lock->lock, &lock->leader);
    uint32_t serial;
    uint32_t attempt;
    bool ours = false;
    bool tainted = false;
    bool old = false;
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        old = old || judge_is_old(lock, &lock->holders[i]);
    if (result != RLK_OK && old)
        return;
    if (result != RLK_OK || !lock->leader.known) {
        world_violate(SIM_TRUTH, "process %u lock %u: nobody leads, and a quorum has a token",
                      process->index, lock->index);
        return;
    }
    if (check_parse(lock->leader.token, strlen(lock->leader.token), &serial, &attempt))
        for (i = 0; i < process->locks_len; i++)
            ours = ours || (rlk_is_held(&process->locks[i].lock) &&
                            check_is_current(&process->locks[i], serial, attempt));
    for (i = 0; i < process->locks_len; i++) /* two may believe that they hold it */
        tainted = tainted || process->locks[i].tainted;
    if (lock->leader.ours != ours && !tainted)
        world_violate(SIM_TRUTH, "process %u lock %u: %s is ours: %d", process->index, lock->index,
                      lock->leader.token, lock->leader.ours);
}

void judge_follower(sim_lock *lock)
{
    const sim_process *process = lock->process;
    rlk_leader_info leader = {0};
    uint32_t serial;
    uint32_t attempt;
    bool held = false;
    unsigned i;

    if (rlk_leader(&lock->lock, &leader) != RLK_OK)
        return;
    MET(FOLLOWER_KNOWS);
    for (i = 0; i < process->locks_len; i++)
        held = held || (process->locks[i].key == lock->key && rlk_is_held(&process->locks[i].lock));
    if (!leader.known || leader.until_ms < process_now_ms(process) || (leader.ours && !held))
        world_violate(SIM_TRUTH, "process %u lock %u: %s leads no more, and it says so",
                      process->index, lock->index, leader.token);
    if (check_parse(leader.token, strlen(leader.token), &serial, &attempt)
            ? sim.serials[serial].key != lock->key
            : leader.token[0] != '0' + lock->key)
        world_violate(SIM_REPLY, "process %u lock %u: %s leads, of another key", process->index,
                      lock->index, leader.token);
}

/* What a node says of a key is of that key. */
static void judge_query(sim_lock *lock, rlk_result result)
{
    unsigned i;

    if (result == RLK_OK) {
        MET(QUERIED);
        judge_leader(lock);
    } else if (result == RLK_NOT_HELD) {
        MET(QUERY_NOT_HELD);
    } else {
        return;
    }
    for (i = 0; i < sim.nodes; i++) {
        const rlk_holder *holder = &lock->holders[i];
        uint32_t serial;
        uint32_t attempt;

        if (holder->result != RLK_OK || holder->ttl_ms == -2)
            continue;
        if (check_parse(holder->token, holder->token_len, &serial, &attempt)
                ? sim.serials[serial].key != lock->key
                : holder->token[0] != '0' + lock->key)
            world_violate(SIM_REPLY, "process %u lock %u: asked of k%u, node %u says %s",
                          lock->process->index, lock->index, lock->key, i, holder->token);
        if (holder->ours && sim.serials[serial].process != lock->process->index)
            world_violate(SIM_REPLY, "process %u lock %u: %s is not ours", lock->process->index,
                          lock->index, holder->token);
    }
}

void judge_result(sim_lock *lock, rlk_operation operation, rlk_result result)
{
    TRACE("process %u: lock %u: %s: %s", lock->process->index, lock->index,
          world_operation_name(operation), rlk_result_name(result));
    if (judge_is_usage(result))
        world_violate(SIM_ENDING, "process %u lock %u: %s", lock->process->index, lock->index,
                      rlk_result_name(result));
    if (lock->pending != RLK_OP_NONE && operation != RLK_OP_ACQUIRE && operation != RLK_OP_RELEASE)
        check_note(lock);
    decision_result(lock, operation, result);
    event_expect(lock, operation, result);
    queue_turned(lock);
    switch (operation) {
    case RLK_OP_ACQUIRE:
        judge_acquire(lock, result);
        judge_gave_up(lock, result);
        break;
    case RLK_OP_RELEASE:
        judge_release(lock, result);
        break;
    case RLK_OP_QUERY:
        judge_query(lock, result);
        break;
    case RLK_OP_FORCE_RELEASE:
        if (result == RLK_OK)
            MET(FORCED);
        queue_released(lock, false);
        break;
    default:
        judge_held(lock, operation, result);
        break;
    }
    check_hold(lock);
}

void judge_event(sim_process *process, const rlk_event *event)
{
    sim_lock *lock = (sim_lock *)event->user;
    rlk_operation pending = lock->pending;

    if (event->lock != &lock->lock || lock->process != process) {
        world_violate(SIM_ENDING, "process %u: an event of no lock of it", process->index);
        return;
    }
    if (event->type >= RLK_EV_SETTLED) {
        event_come(lock, event);
        return;
    }
    if (event->operation != pending) {
        world_violate(SIM_ENDING, "process %u lock %u: result %s of %s, and %s is pending",
                      process->index, lock->index, rlk_result_name(event->result),
                      world_operation_name(event->operation), world_operation_name(pending));
        return;
    }
    judge_commands(lock);
    judge_result(lock, pending, event->result);
    lock->pending = RLK_OP_NONE;
    lock->moved = false;
    event_follow(lock);
    actor_handle(lock, pending, event->result);
}

/* ---- Steps ------------------------------------------------------------------------------- */

void judge_step(sim_process *process)
{
    int64_t now_ms = process_now_ms(process);
    unsigned i;

    if (!process->alive)
        return;
    if (rlk_client_deadline(&process->client) <= now_ms)
        world_violate(SIM_ADVANCE, "process %u: its deadline stays in the past", process->index);
    for (i = 0; i < rlk_client_nodes(&process->client); i++)
        if ((rlk_conn_server(rlk_client_conn(&process->client, i)) & RLK_SERVER_PLAIN) != 0)
            process->plain = true;
    for (i = 0; i < process->locks_len; i++) {
        sim_lock *lock = &process->locks[i];

        check_hold(lock);
        event_step(lock, now_ms);
        if (lock->owed)
            world_violate(SIM_ENDING, "process %u lock %u: lost, and nothing says so",
                          process->index, i);
        if (rlk_lock_operation(&lock->lock) != lock->pending)
            world_violate(SIM_ENDING, "process %u lock %u: %s ended without a result",
                          process->index, i, world_operation_name(lock->pending));
        if (lock->pending != RLK_OP_NONE && lock->limit_ms != RLK_NEVER &&
            now_ms > lock->limit_ms + JUDGE_SLACK_MS)
            world_violate(SIM_ENDING, "process %u lock %u: %s is %lld ms late", process->index, i,
                          world_operation_name(lock->pending),
                          (long long)(now_ms - lock->limit_ms));
    }
}
