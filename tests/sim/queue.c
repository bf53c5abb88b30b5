/* SPDX-License-Identifier: MIT
 *
 * What must hold of the locks of one process that wait for one key: they wait in order, the first
 * asks the server for all, hand-overs among them leave others their turn. And of what waiting
 * costs: no command without a reason.
 */
#include "world.h"

#include "lock/acquire.h"
#include "lock/turn.h"
#include "lock/wait_queue.h"

/* ---- Order ------------------------------------------------------------------------------- */

/* An earlier one waits for the same key, in the same process. */
void queue_in_turn(const sim_lock *own, const char *what)
{
    const sim_process *process = own->process;
    int64_t now_ms = process_now_ms(process);
    unsigned i;

    for (i = 0; i < process->locks_len && !own->once; i++) {
        const sim_lock *other = &process->locks[i];

        if (other != own && other->key == own->key && !other->once &&
            other->pending == RLK_OP_ACQUIRE && other->began < own->began && !other->cancelled &&
            now_ms < other->tries_ms && rlki_acquire_is_trying(&other->lock))
            world_violate(SIM_WAKE, "process %u lock %u: %s, and lock %u waits for longer",
                          process->index, own->index, what, other->index);
    }
}

void queue_begins(sim_lock *own, int64_t time_ms, uint32_t serial, uint32_t attempt)
{
    own->once = false;
    own->handed = false;
    own->took_over = false;
    own->pushed = 0;
    own->seen = 0;
    own->began = ++own->process->begins;
    own->tries_ms = time_ms == RLK_FOREVER ? RLK_NEVER : process_now_ms(own->process) + time_ms;
    own->serial_before = serial;
    own->attempt_before = attempt;
}

void queue_turned(sim_lock *own)
{
    own->process->counts[own->key].turns++;
    own->behind = own->lock.position == RLKI_POSITION_BEHIND;
    if (own->behind)
        MET(QUEUE);
}

static void queue_count_cause(const rlk_lock *lock)
{
    static const sim_cover covers[RLK_CAUSES] = {
        SIM_MET_BY_START, SIM_MET_BY_PUSH,   SIM_MET_BY_FLUSH,
        SIM_MET_BY_LOCAL, SIM_MET_BY_EXPIRY, SIM_MET_BY_RECHECK,
        SIM_MET_BY_RETRY, SIM_MET_BY_YIELD,  SIM_MET_BY_RECONNECT};

    sim_met[covers[lock->cause]]++;
}

void queue_handed(sim_lock *own)
{
    own->handed = own->process->counts[own->key].released_us >= 0;
}

/* It has left the key to others for as long as it must. If this attempt gets no answer, that
 * release hands the key to no later lock. */
static void queue_paused(const sim_lock *own)
{
    sim_counts *counts = &own->process->counts[own->key];

    if (own->lock.cause == RLK_CAUSE_YIELD &&
        sim.now_us - counts->released_us >= (own->retry_ms - 1) * SIM_MS)
        counts->released_us = -1;
}

void queue_tries(sim_lock *own)
{
    own->tried = own->lock.token;
    own->took_over = own->handed;
    own->handed = false;
    if (own->lock.cause == RLK_CAUSE_PUSH || own->lock.cause == RLK_CAUSE_FLUSH)
        own->pushed++;
    queue_paused(own);
}

void queue_released(const sim_lock *own, bool is)
{
    unsigned p;

    for (p = 0; p < sim.processes; p++)
        sim.members[p].counts[own->key].released_us =
            is && &sim.members[p] == own->process ? sim.now_us : -1;
}

/* After max_handoffs consecutive local hand-offs others have their turn. */
void queue_granted(sim_lock *own)
{
    sim_process *process = own->process;
    sim_counts *counts = &process->counts[own->key];
    unsigned most;

    notify_held(own);
    queue_count_cause(&own->lock);
    queue_in_turn(own, "acquired");
    if (own->lock.cause == RLK_CAUSE_LOCAL && own->took_over &&
        counts->released_us > own->started_us)
        counts->chain++;
    else
        counts->chain = 0;
    queue_released(own, false);
    most = process->max_handoffs;
    if (sim.nodes > 1) /* a release may still notify some when others yield already */
        most = 2 * most + 4;
    if (counts->chain > most)
        world_violate(SIM_WAKE, "process %u: k%u handed off %u times, and others wait",
                      process->index, own->key, counts->chain);
}

/* One lock asks the server for those that wait behind it. */
void queue_check(const sim_lock *own)
{
    const sim_process *process = own->process;
    unsigned i;

    if (own->lock.position != RLKI_POSITION_BEHIND)
        return;
    for (i = 0; i < process->locks_len; i++)
        if (process->locks[i].key == own->key &&
            process->locks[i].lock.position == RLKI_POSITION_FIRST)
            return;
    world_violate(SIM_WAKE, "process %u lock %u: waits in a queue, and nobody is the first",
                  process->index, own->index);
}

/* ---- Cost -------------------------------------------------------------------------------- */

sim_toll queue_toll(const sim_lock *own)
{
    sim_process *process = own->process;
    const sim_counts *counts = &process->counts[own->key];
    sim_toll toll = {0,           process->errors, counts->pushes,
                     counts->own, counts->probes,  counts->turns};
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        toll.failures += rlk_conn_failures(&process->links[i].conn);
    return toll;
}

/* Nothing came in between that leaves a pause as the only reason to try again. */
bool queue_was_smooth(const sim_lock *own)
{
    sim_toll toll = queue_toll(own);

    return toll.failures == own->toll.failures && toll.errors == own->toll.errors &&
           (sim.faults & SIM_FAULT_NO_IDS) == 0 && own->node_timeout_ms >= SIM_ROUND_TRIP_MS &&
           own->pending == RLK_OP_ACQUIRE && fault_was_sound(own->process, own->started_us);
}

static bool queue_is_tracking(const sim_process *process)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        if (!rlk_conn_is_tracking(&process->links[i].conn))
            return false;
    return true;
}

int64_t queue_recheck_ms(const sim_lock *own)
{
    const sim_process *process = own->process;
    int64_t least_ms = own->recheck_max_ms;
    unsigned i;

    for (i = 0; i < process->locks_len; i++)
        if (process->locks[i].key == own->key && process->locks[i].recheck_max_ms < least_ms)
            least_ms = process->locks[i].recheck_max_ms;
    return least_ms;
}

void queue_cost(const sim_lock *own)
{
    const sim_toll *then = &own->toll;
    sim_toll now = queue_toll(own);
    int64_t ms = (sim.now_us - own->started_us) / SIM_MS;
    int64_t pushes = now.pushes - then->pushes;
    bool rests = queue_is_tracking(own->process) && queue_was_smooth(own);
    int64_t reasons = 2 + (now.own - then->own) + (now.turns - then->turns) +
                      (now.failures - then->failures) + (now.errors - then->errors);
    int64_t commands = own->commands;
    /* a random time of less than SIM_SPURIOUS_MS each, when there are more: not a few short ones;
     * where it changes hands, one for each pair of them, and a question before it */
    int64_t most =
        2 * SIM_SPURIOUS + (rlki_turn_contended(&own->lock) ? 2 * ms : ms / (SIM_SPURIOUS_MS / 8));

    if (sim.nodes == 1 && own->pushed > most)
        world_violate(SIM_ADVANCE, "process %u lock %u: %u attempts by pushes in %lld ms",
                      own->process->index, own->index, own->pushed, (long long)ms);
    reasons += 2 * pushes;
    reasons += ms / (rests ? queue_recheck_ms(own) / 5 : own->retry_ms);
    if (rests)
        commands += now.probes - then->probes;
    if (commands > (int64_t)sim.nodes * (8 + (sim.nodes == 1 ? 2 : 4) * reasons) +
                       4 * (int64_t)(now.failures - then->failures))
        world_violate(SIM_ADVANCE, "process %u lock %u: %lld commands in %lld ms, for %lld reasons",
                      own->process->index, own->index, (long long)commands, (long long)ms,
                      (long long)reasons);
}
