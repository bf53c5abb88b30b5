/* SPDX-License-Identifier: MIT
 *
 * The application: what it does with its locks, at random times, and right after events.
 */
#include "world.h"

#include "lock/state.h"

/* Remembers a call that is over, or goes on. */
static void actor_called(sim_lock *lock, rlk_operation operation, rlk_result result,
                         int64_t time_ms)
{
    if (result == RLK_E_STATE || result == RLK_NOT_HELD) {
        check_hold(lock);
        lock->moved = false;
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
        lock->unsent = lock->first && sim.nodes == 1 && !lock->auto_renew && !lock->leads;
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

/* wait_ms: RLK_FOREVER of a campaign, too. */
static void actor_wait(sim_lock *lock, int64_t wait_ms, bool campaigns)
{
    sim_process *process = lock->process;
    int64_t settle_timeout_ms = SIM_SETTLE_MS;
    int64_t time_ms = wait_ms == RLK_TRY ? SIM_OPERATION_MS : wait_ms;
    uint32_t serial = SIM_SERIALS;
    uint32_t attempt = 0;
    rlk_result result;

    (void)check_token_of(lock, &serial, &attempt);
    queue_begins(lock, time_ms, serial, attempt);
    lock->once = wait_ms == RLK_TRY;
    process->drawing = lock;
    result = campaigns ? rlk_campaign_start(&lock->lock) : rlk_acquire_start(&lock->lock, wait_ms);
    process->drawing = NULL;
    if (result != RLK_E_STATE) {
        lock->tainted = false;
        lock->owed = false;
        lock->unsettled = false;
        lock->leads = campaigns;
        lock->again = false;
    }
    actor_called(lock, RLK_OP_ACQUIRE, result,
                 time_ms == RLK_FOREVER ? RLK_FOREVER : time_ms + settle_timeout_ms);
}

void actor_acquire(sim_lock *lock, int64_t wait_ms)
{
    actor_wait(lock, wait_ms, false);
}

void actor_lead(sim_lock *lock)
{
    actor_wait(lock, RLK_FOREVER, true);
}

void actor_release(sim_lock *lock)
{
    rlk_result result = rlk_release_start(&lock->lock);

    if (lock->held)
        queue_released(lock, true);
    lock->held = false; /* from the call on; its result says whether it was lost before */
    lock->owed = false;
    lock->leads = false;
    lock->again = false;
    actor_called(lock, RLK_OP_RELEASE, result, SIM_OPERATION_MS);
}

static void actor_note_cancel(sim_lock *lock)
{
    int64_t limit_ms = process_now_ms(lock->process) + SIM_SETTLE_MS;

    if (lock->pending == RLK_OP_ACQUIRE)
        lock->leads = false;
    lock->cancelled = true;
    if (limit_ms < lock->limit_ms)
        lock->limit_ms = limit_ms;
}

/* Follows no longer, or leads no longer. */
void actor_resign(sim_lock *lock)
{
    rlk_operation pending = lock->pending;
    rlk_result result;

    TRACE("process %u: lock %u: resigns", lock->process->index, lock->index);
    if (pending == RLK_OP_ACQUIRE) {
        MET(RESIGNED_FOLLOWER);
        actor_note_cancel(lock);
    } else if (lock->leads) {
        MET(STEPPED_DOWN);
    }
    result = rlk_resign_start(&lock->lock);
    if (pending == RLK_OP_ACQUIRE) {
        if (result != RLK_PENDING) {
            lock->pending = RLK_OP_NONE;
            judge_result(lock, RLK_OP_ACQUIRE, result);
        }
        return;
    }
    if (result != RLK_E_STATE) {
        if (lock->held)
            queue_released(lock, true);
        lock->held = false;
        lock->owed = false;
        lock->leads = false;
        lock->again = false;
    }
    actor_called(lock, RLK_OP_RELEASE, result, SIM_OPERATION_MS);
}

void actor_cancel(sim_lock *lock)
{
    rlk_result result = rlk_cancel(&lock->lock);

    if ((result == RLK_NOT_HELD) != (lock->pending == RLK_OP_NONE))
        world_violate(SIM_ENDING, "process %u lock %u: cancelled, %s", lock->process->index,
                      lock->index, rlk_result_name(result));
    actor_note_cancel(lock);
    TRACE("process %u: lock %u: cancels", lock->process->index, lock->index);
}

/* Closed, whatever it is doing, and opened anew. */
void actor_close(sim_lock *lock, sim_rng *rng)
{
    bool held = rlk_is_held(&lock->lock);
    uint32_t serial;
    uint32_t attempt;
    bool has_token = check_token_of(lock, &serial, &attempt);
    rlk_result result;

    if (lock->pending != RLK_OP_NONE)
        MET(CLOSED_WHILE_BUSY);
    notify_freed(lock);
    lock->cancelled = true; /* it waits no longer */
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
        check_bury(lock, serial, sim.serials[serial].reported, attempt);
    } else if (has_token) {
        sim.serials[serial].exempt = true;
    }
    lock->held = false;
    process_open_lock(lock->process, lock->index, rng);
}

/* The caller is about to ask for an expiry of its own: expiry_ms at the latest. */
static void actor_asks_for(sim_lock *lock, int64_t expiry_ms)
{
    lock->extended = true;
    lock->moved = true;
    if (expiry_ms > lock->asked_ms)
        lock->asked_ms = expiry_ms;
}

static void actor_extend(sim_lock *lock, int64_t ms)
{
    int64_t left_ms = rlk_remaining_ms(&lock->lock);

    /* the lease is less than the expiry by drift */
    actor_asks_for(lock, process_now_ms(lock->process) + left_ms + left_ms / 50 + 10 + ms);
    actor_called(lock, RLK_OP_EXTEND, rlk_extend_start(&lock->lock, ms), SIM_OPERATION_MS);
}

static void actor_renew_by(sim_lock *lock, int64_t ttl_ms)
{
    actor_asks_for(lock,
                   process_now_ms(lock->process) + (ttl_ms == RLK_DEFAULT ? lock->ttl_ms : ttl_ms));
    actor_called(lock, RLK_OP_RENEW, rlk_renew_start(&lock->lock, ttl_ms), SIM_OPERATION_MS);
}

/* Renews, so that the answer comes while the process stands still. */
void actor_renew(sim_lock *lock)
{
    actor_renew_by(lock, lock->ttl_ms * 2);
}

static void actor_hold_on(sim_lock *lock, sim_rng *rng)
{
    int64_t ttl_ms = sim_between(rng, lock->ttl_ms * 8 / 10, lock->ttl_ms * 2);

    switch (sim_dice(rng, 5)) {
    case 0:
    case 1:
        if (rlk_remaining_ms(&lock->lock) < 3 * lock->ttl_ms)
            actor_extend(lock, sim_between(rng, 1, lock->ttl_ms));
        break;
    case 2:
    case 3:
        actor_renew_by(lock, sim_chance(rng, 500) ? RLK_DEFAULT : ttl_ms);
        break;
    default:
        actor_called(lock, RLK_OP_CHECK, rlk_check_start(&lock->lock), SIM_OPERATION_MS);
        break;
    }
}

static void actor_query(sim_lock *lock)
{
    actor_called(lock, RLK_OP_QUERY, rlk_query_start(&lock->lock, lock->holders, SIM_SERVERS),
                 SIM_OPERATION_MS);
}

static void actor_free(sim_lock *lock)
{
    actor_called(lock, RLK_OP_FORCE_RELEASE, rlk_force_release_start(&lock->lock),
                 SIM_OPERATION_MS);
}

static void actor_try(sim_lock *lock, sim_rng *rng)
{
    if (lock->elects && sim_chance(rng, 700)) {
        actor_lead(lock);
        return;
    }
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

    if (dice < 3 && lock->leads)
        actor_resign(lock);
    else if (dice < 6)
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

    if (dice < 20 && lock->elects)
        actor_resign(lock); /* also of one that was not elected: it is a release */
    else if (dice < 35)
        actor_release(lock);
    else if (dice < 50 && (lock->auto_renew || lock->leads))
        return; /* it keeps itself */
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
    else if (dice < 89)
        actor_release(lock);
    else if (dice < 91)
        actor_resign(lock);
    else if (dice < 93)
        actor_close(lock, rng);
    else if (dice < 95 && (sim.faults & SIM_FAULT_MEDDLE) != 0)
        actor_free(lock);
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
    uint32_t attempt;
    uint32_t own_number;
    uint32_t own_attempt;
    const sim_serial *serial;
    const sim_lock *owner;

    if (!key->present || !check_parse(key->value, key->value_len, &number, &attempt))
        return false;
    serial = &sim.serials[number];
    owner = &sim.members[serial->process].locks[serial->lock];
    /* where nothing can be fenced, one may be left on fewer than a quorum */
    if (!check_is_excused(number, attempt) && !serial->quorum &&
        (sim.faults & SIM_FAULT_NO_IDS) == 0)
        return false;
    if (!check_token_of(owner, &own_number, &own_attempt) || own_number != number ||
        own_attempt != attempt)
        return true;
    if (owner->pending == RLK_OP_ACQUIRE) /* between attempts: each has its number */
        return (owner->serial_before == number && owner->attempt_before == attempt) ||
               owner->lock.phase == RLKI_PHASE_WATCH || owner->lock.phase == RLKI_PHASE_PAUSE;
    return !owner->held && owner->pending == RLK_OP_NONE;
}

void actor_sweep(void)
{
    unsigned s;
    unsigned i;

    for (s = 0; s < sim.servers; s++) {
        const model_server *model = &sim.hosts[s].model;

        for (i = 0; i < model->keys_len; i++)
            if (actor_is_orphan(&model->keys[i]))
                host_drop(&sim.hosts[s], model->keys[i].key);
    }
}

void actor_act(sim_process *process)
{
    sim_rng rng;
    bool wanted;

    if (share_is_greedy()) {
        share_act(process);
        return;
    }
    wanted = world_decide(process->index, process->acts++, &rng);

    world_at(sim.now_us + 1 + (int64_t)sim_dice(&rng, process->pace_us), SIM_EVENT_ACT,
             process->index, process->births);
    if (!wanted || process->stalled)
        return;
    if ((sim.faults & SIM_FAULT_LONG_TTL) != 0 && process->acts % 16 == 0)
        actor_sweep();     /* no key expires */
    process_wake(process); /* what is due comes before what is called */
    actor_one(&process->locks[sim_dice(&rng, process->locks_len)], &rng);
    process_drive(process);
}

/* In the handler of an event: most programs go on at once. */
void actor_handle(sim_lock *lock, rlk_operation operation, rlk_result result)
{
    sim_process *process = lock->process;
    sim_rng rng;

    if (share_is_greedy() && !sim.finishing) {
        share_handle(lock, operation, result);
        return;
    }
    if (sim.finishing || !world_decide(SIM_PROCESSES + process->index, process->handled++, &rng) ||
        !sim_chance(&rng, 150))
        return;
    if (operation == RLK_OP_ACQUIRE && result == RLK_OK && sim_chance(&rng, 300))
        actor_release(lock);
    else
        actor_one(lock, &rng);
}
