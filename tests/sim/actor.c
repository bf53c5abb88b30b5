/* SPDX-License-Identifier: MIT
 *
 * The application: what it does with its locks, at random times, and right after events.
 */
#include "world.h"

/* Remembers a call that is over, or goes on. */
static void actor_called(sim_lock *lock, rlk_operation operation, rlk_result result,
                         int64_t time_ms)
{
    if (result == RLK_E_STATE || result == RLK_NOT_HELD) {
        check_hold(lock);
        return;
    }
    sim.operations++;
    TRACE("process %u: lock %u: starts to %s", lock->process->index, lock->index,
          world_operation_name(operation));
    judge_begin(lock, operation, time_ms);
    if (result == RLK_PENDING) {
        check_hold(lock);
        return;
    }
    lock->pending = RLK_OP_NONE;
    if (operation == RLK_OP_RENEW && result == RLK_OK) {
        MET(SHORTENED);
        lock->unsent = lock->first && sim.nodes == 1;
    }
    judge_result(lock, operation, result);
}

/* Nothing else may be under way: what the call came to otherwise is wrong. */
static void actor_refused(const sim_lock *lock, rlk_result result)
{
    if (result != RLK_E_STATE)
        world_violate(SIM_ENDING, "process %u lock %u: %s to a call while it tries to %s",
                      lock->process->index, lock->index, rlk_result_name(result),
                      world_operation_name(lock->pending));
}

void actor_acquire(sim_lock *lock, int64_t wait_ms)
{
    sim_process *process = lock->process;
    int64_t settle_ms = SIM_SETTLE_MS;
    int64_t time_ms = RLK_FOREVER;
    rlk_result result;

    if (wait_ms != RLK_FOREVER)
        time_ms = settle_ms + (wait_ms == RLK_TRY ? SIM_OPERATION_MS : wait_ms);
    if (!check_token_of(lock, &lock->serial_before, &lock->round_before)) {
        lock->serial_before = SIM_SERIALS;
        lock->round_before = 0;
    }
    process->drawing = lock;
    result = rlk_acquire_start(&lock->lock, wait_ms);
    process->drawing = NULL;
    if (result != RLK_E_STATE) {
        lock->tainted = false;
        lock->owed = false;
    }
    actor_called(lock, RLK_OP_ACQUIRE, result, time_ms);
}

void actor_release(sim_lock *lock)
{
    rlk_result result = rlk_release_start(&lock->lock);

    lock->held = false; /* from the call on; its result says whether it was lost before */
    lock->owed = false;
    actor_called(lock, RLK_OP_RELEASE, result, SIM_OPERATION_MS);
}

void actor_cancel(sim_lock *lock)
{
    rlk_result result = rlk_cancel(&lock->lock);
    int64_t limit_ms = process_now_ms(lock->process) + SIM_SETTLE_MS;

    if ((result == RLK_NOT_HELD) != (lock->pending == RLK_OP_NONE))
        world_violate(SIM_ENDING, "process %u lock %u: cancelled, %s", lock->process->index,
                      lock->index, rlk_result_name(result));
    lock->cancelled = true;
    if (limit_ms < lock->limit_ms)
        lock->limit_ms = limit_ms;
    TRACE("process %u: lock %u: cancels", lock->process->index, lock->index);
}

/* Closed, whatever it is doing, and opened anew. */
void actor_close(sim_lock *lock, sim_rng *rng)
{
    bool held = rlk_is_held(&lock->lock);
    uint32_t serial;
    uint32_t round;
    bool has_token = check_token_of(lock, &serial, &round);
    rlk_result result;

    if (lock->pending != RLK_OP_NONE)
        MET(CLOSED_WHILE_BUSY);
    result = rlk_lock_close(&lock->lock);
    TRACE("process %u: lock %u: closed: %s", lock->process->index, lock->index,
          rlk_result_name(result));
    if (result == RLK_UNKNOWN) {
        MET(CLOSED_UNKNOWN);
        if (!held)
            MET(D_CLOSE_UNKNOWN);
    } else if (result != RLK_OK || held) {
        world_violate(SIM_TRUTH, "process %u lock %u: closed, %s", lock->process->index,
                      lock->index, rlk_result_name(result));
    }
    if (has_token && result == RLK_OK) {
        sim.serials[serial].quorum = true;
        check_bury(lock, serial, sim.serials[serial].reported, round);
    } else if (has_token) {
        sim.serials[serial].exempt = true;
    }
    lock->held = false;
    process_open_lock(lock->process, lock->index, rng);
}

static void actor_hold_on(sim_lock *lock, sim_rng *rng)
{
    int64_t time_ms = SIM_OPERATION_MS;
    int64_t ttl_ms = sim_between(rng, lock->ttl_ms * 8 / 10, lock->ttl_ms * 2);

    switch (sim_dice(rng, 5)) {
    case 0:
    case 1:
        if (rlk_remaining_ms(&lock->lock) < 3 * lock->ttl_ms)
            actor_called(lock, RLK_OP_EXTEND,
                         rlk_extend_start(&lock->lock, sim_between(rng, 1, lock->ttl_ms)), time_ms);
        break;
    case 2:
    case 3:
        actor_called(lock, RLK_OP_RENEW,
                     rlk_renew_start(&lock->lock, sim_chance(rng, 500) ? RLK_DEFAULT : ttl_ms),
                     time_ms);
        break;
    default:
        actor_called(lock, RLK_OP_CHECK, rlk_check_start(&lock->lock), time_ms);
        break;
    }
}

/* Renews, so that the answer comes while the process stands still. */
void actor_renew(sim_lock *lock)
{
    actor_called(lock, RLK_OP_RENEW, rlk_renew_start(&lock->lock, lock->ttl_ms * 2),
                 SIM_OPERATION_MS);
}

static void actor_query(sim_lock *lock)
{
    actor_called(lock, RLK_OP_QUERY, rlk_query_start(&lock->lock, lock->holders, SIM_SERVERS),
                 SIM_OPERATION_MS);
}

static void actor_try(sim_lock *lock, sim_rng *rng)
{
    switch (sim_dice(rng, 3)) {
    case 0:
        actor_acquire(lock, RLK_TRY);
        break;
    case 1:
        actor_acquire(lock, sim_between(rng, 1, 500));
        break;
    default:
        actor_acquire(lock, RLK_FOREVER);
        break;
    }
}

/* An operation goes on: mostly it is waited for. */
static void actor_meanwhile(sim_lock *lock, sim_rng *rng)
{
    unsigned dice = sim_dice(rng, 100);

    if (dice < 6)
        actor_cancel(lock);
    else if (dice < 7)
        actor_close(lock, rng);
    else if (dice < 9)
        actor_refused(lock, rlk_acquire_start(&lock->lock, RLK_TRY));
    else if (dice < 10)
        actor_refused(lock, rlk_release_start(&lock->lock));
}

static void actor_while_held(sim_lock *lock, sim_rng *rng)
{
    unsigned dice = sim_dice(rng, 100);

    if (dice < 35)
        actor_release(lock);
    else if (dice < 80)
        actor_hold_on(lock, rng);
    else if (dice < 85)
        actor_query(lock);
    else if (dice < 87)
        actor_close(lock, rng);
    else if (dice < 89)
        actor_acquire(lock, RLK_TRY); /* refused: it is held */
}

static void actor_while_free(sim_lock *lock, sim_rng *rng)
{
    unsigned dice = sim_dice(rng, 100);

    if (dice < 82)
        actor_try(lock, rng);
    else if (dice < 87)
        actor_query(lock);
    else if (dice < 91)
        actor_release(lock);
    else if (dice < 93)
        actor_close(lock, rng);
    else if (dice < 95 && (sim.faults & SIM_FAULT_MEDDLE) != 0)
        actor_called(lock, RLK_OP_FORCE_RELEASE, rlk_force_release_start(&lock->lock),
                     SIM_OPERATION_MS);
}

static void actor_one(sim_lock *lock, sim_rng *rng)
{
    if (lock->pending != RLK_OP_NONE)
        actor_meanwhile(lock, rng);
    else if (rlk_is_held(&lock->lock))
        actor_while_held(lock, rng);
    else
        actor_while_free(lock, rng);
}

/* Nobody uses this token any more, and that it may be left behind is known. */
static bool actor_is_orphan(const model_key *key)
{
    uint32_t number;
    uint32_t round;
    uint32_t own_number;
    uint32_t own_round;
    const sim_serial *serial;
    const sim_lock *owner;

    if (!key->present || !check_parse(key->value, key->value_len, &number, &round))
        return false;
    serial = &sim.serials[number];
    owner = &sim.members[serial->process].locks[serial->lock];
    /* where nothing can be fenced, one may be left on fewer than a quorum */
    if (!serial->exempt && !serial->quorum && (sim.faults & SIM_FAULT_NO_IDS) == 0)
        return false;
    return !check_token_of(owner, &own_number, &own_round) || own_number != number ||
           own_round != round || (!owner->held && owner->pending == RLK_OP_NONE);
}

void actor_sweep(void)
{
    unsigned s;
    unsigned i;

    for (s = 0; s < sim.servers; s++) {
        model_server *model = &sim.hosts[s].model;

        for (i = 0; i < model->keys_len; i++)
            if (actor_is_orphan(&model->keys[i]))
                model_drop(model, model->keys[i].key, model->keys[i].key_len);
    }
}

void actor_act(sim_process *process)
{
    sim_rng rng;
    bool wanted = world_decide(process->index, process->acts++, &rng);

    world_at(sim.now_us + 1 + (int64_t)sim_dice(&rng, process->pace_us), SIM_EVENT_ACT,
             process->index, process->births);
    if (!wanted || process->stalled)
        return;
    if ((sim.faults & SIM_FAULT_LONG_TTL) != 0 && process->acts % 16 == 0)
        actor_sweep();     /* nothing goes by itself */
    process_wake(process); /* what is due comes before what is called */
    actor_one(&process->locks[sim_dice(&rng, process->locks_len)], &rng);
    process_drive(process);
}

/* In the handler of an event: most programs go on at once. */
void actor_handle(sim_lock *lock, rlk_operation operation, rlk_result result)
{
    sim_process *process = lock->process;
    sim_rng rng;

    if (sim.finishing || !world_decide(SIM_PROCESSES + process->index, process->handled++, &rng) ||
        !sim_chance(&rng, 150))
        return;
    if (operation == RLK_OP_ACQUIRE && result == RLK_OK && sim_chance(&rng, 300))
        actor_release(lock);
    else
        actor_one(lock, &rng);
}
