/* SPDX-License-Identifier: MIT
 *
 * The end of a history: everything is mended, and then all must come to rest: waiters get the lock
 * one after the other, operations end, connections fall silent, no key is left behind, and every
 * lock still works.
 */
#include "world.h"

#define FINISH_STEP_US (50 * SIM_MS)
/* Longer than any backoff, response, operation and settling, one after the other. */
#define FINISH_REST_US (4000 * SIM_MS)
#define FINISH_WAIT_US (15000 * SIM_MS)

/* Calls `each` of every lock that lives, with its process up to date before and after. */
static void finish_each(void (*each)(sim_lock *lock))
{
    unsigned p;
    unsigned i;

    for (p = 0; p < sim.processes; p++) {
        sim_process *process = &sim.members[p];

        if (!process->alive)
            continue;
        process_wake(process);
        for (i = 0; i < process->locks_len; i++)
            each(&process->locks[i]);
        process_drive(process);
    }
}

static bool finish_any(bool (*is)(const sim_lock *lock))
{
    unsigned p;
    unsigned i;

    for (p = 0; p < sim.processes; p++)
        for (i = 0; i < sim.members[p].locks_len; i++)
            if (is(&sim.members[p].locks[i]))
                return true;
    return false;
}

static void finish_let_go(sim_lock *lock)
{
    if (lock->leads && lock->pending == RLK_OP_ACQUIRE)
        actor_resign(lock); /* it lost while something else was under way */
    else if (lock->pending == RLK_OP_NONE)
        actor_release(lock); /* where nothing is held, it says so */
}

static void finish_cancel(sim_lock *lock)
{
    if (lock->leads && (lock->pending == RLK_OP_NONE || lock->pending == RLK_OP_ACQUIRE))
        actor_resign(lock); /* or it would begin again */
    else if (lock->pending != RLK_OP_NONE)
        actor_cancel(lock);
}

static bool finish_is_pending(const sim_lock *lock)
{
    return lock->pending != RLK_OP_NONE;
}

static bool finish_is_unsettled(const sim_lock *lock)
{
    return lock->unsettled;
}

static bool finish_is_waiting(const sim_lock *lock)
{
    return lock->pending == RLK_OP_ACQUIRE && !lock->cancelled;
}

static void finish_rest(int64_t us)
{
    world_run(sim.now_us + us, 0);
}

/* A free lock is taken within a bounded time: each lock that waits without end gets it. */
static void finish_waiters(void)
{
    int64_t end_us = sim.now_us + FINISH_WAIT_US;

    while (sim.verdict->rule == SIM_FINE && finish_any(finish_is_waiting) && sim.now_us < end_us) {
        actor_sweep();
        finish_each(finish_let_go);
        finish_rest(FINISH_STEP_US);
    }
    if (finish_any(finish_is_waiting))
        world_violate(SIM_LIVENESS, "a free lock is not taken");
}

static void finish_quiet(void)
{
    unsigned p;

    finish_each(finish_cancel);
    finish_rest(FINISH_REST_US);
    finish_each(finish_let_go);
    finish_rest(FINISH_REST_US);
    if (finish_any(finish_is_pending))
        world_violate(SIM_LIVENESS, "an operation does not end");
    if (finish_any(finish_is_unsettled))
        world_violate(SIM_LIVENESS, "the fate of a token is not reported");
    for (p = 0; p < sim.processes; p++)
        if (rlk_client_deadline(&sim.members[p].client) != RLK_NEVER)
            world_violate(SIM_LIVENESS, "process %u does not come to rest", p);
}

/* ---- What is left behind ----------------------------------------------------------------- */

static void finish_leak(const sim_host *host, const model_key *key)
{
    uint32_t number;
    uint32_t attempt;
    const sim_serial *serial;
    const sim_lock *lock;
    unsigned most = 0;

    if (!check_parse(key->value, key->value_len, &number, &attempt) ||
        model_find(&host->model, key->key, key->key_len) == NULL)
        return;
    serial = &sim.serials[number];
    lock = &sim.members[serial->process].locks[serial->lock];
    if (check_is_excused(number, attempt))
        return;
    /* Fewer than a quorum: where a lock was closed in time, and where nothing can be fenced. */
    if (serial->quorum || (sim.faults & SIM_FAULT_NO_IDS) != 0)
        most = sim_quorum() - 1u;
    if (check_count(lock, key->value, sim.now_us + 1) > most)
        world_violate(SIM_LEAK, "server %u: %.*s is left, and process %u does not know",
                      host->index, (int)key->value_len, key->value, serial->process);
}

static void finish_leaks(void)
{
    unsigned s;
    unsigned i;

    for (s = 0; s < sim.servers; s++) {
        host_sync(&sim.hosts[s]);
        for (i = 0; i < sim.hosts[s].model.keys_len; i++)
            if (sim.hosts[s].model.keys[i].present)
                finish_leak(&sim.hosts[s], &sim.hosts[s].model.keys[i]);
    }
}

static void finish_clear(void)
{
    unsigned s;

    for (s = 0; s < sim.servers; s++)
        host_clear(&sim.hosts[s]);
}

/* ---- It still works ---------------------------------------------------------------------- */

static void finish_await(const sim_lock *lock, int64_t us)
{
    int64_t end_us = sim.now_us + us;

    while (sim.verdict->rule == SIM_FINE && lock->pending != RLK_OP_NONE && sim.now_us < end_us)
        finish_rest(SIM_MS);
}

static void finish_try(sim_lock *lock)
{
    sim_process *process = lock->process;

    process_wake(process);
    actor_acquire(lock, 2000);
    process_drive(process);
    finish_await(lock, FINISH_REST_US);
    if (!rlk_is_held(&lock->lock)) {
        world_violate(SIM_LIVENESS, "process %u lock %u: can't be had, and nobody has it",
                      process->index, lock->index);
        return;
    }
    actor_release(lock);
    process_drive(process);
    finish_await(lock, FINISH_REST_US);
    /* where nothing can be fenced, a doubt may be left of an earlier attempt */
    if (rlk_lock_close(&lock->lock) != RLK_OK && (sim.faults & SIM_FAULT_NO_IDS) == 0)
        world_violate(SIM_TRUTH, "process %u lock %u: closed after a release, and not clean",
                      process->index, lock->index);
    lock->pending = RLK_OP_NONE;
    process_open_lock(process, lock->index, &process->rng);
}

static void finish_works(void)
{
    unsigned p;
    unsigned i;

    for (p = 0; p < sim.processes; p++)
        for (i = 0; i < sim.members[p].locks_len; i++)
            if (sim.verdict->rule == SIM_FINE)
                finish_try(&sim.members[p].locks[i]);
}

void finish_history(void)
{
    TRACE("---- everything is mended ----");
    sim.finishing = true;
    fault_mend_all();
    finish_rest(FINISH_STEP_US);
    finish_waiters();
    finish_quiet();
    if (sim.profile->finds != SIM_FINE)
        return;
    finish_leaks();
    finish_clear();
    finish_works();
}
