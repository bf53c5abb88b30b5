/* SPDX-License-Identifier: MIT
 *
 * What must hold of processes that want one lock all the time, each with one lock of its own that
 * it acquires again as soon as it has released it: over a window of acquisitions each has at least
 * a third of an even share (fault 121). Nothing goes wrong in such a history, and every server
 * notifies of changes; but paths differ, and how long the lock is needed.
 */
#include "world.h"

/* Acquisitions: until the processes know of each other, and of a window. */
#define SHARE_WARM   300
#define SHARE_WINDOW 600

void share_open(sim_lock *own)
{
    own->elects = false;
    own->max_hold_ms = 0;
    own->ttl_ms = 900;
    own->node_timeout_ms = 300;
    own->retry_ms = SIM_RETRY_MS;
    own->recheck_max_ms = 3000;
}

void share_act(sim_process *process)
{
    sim_lock *own = &process->locks[0];

    if (own->pending != RLK_OP_NONE)
        return;
    process_wake(process);
    if (own->pending == RLK_OP_NONE && rlk_is_held(&own->lock))
        actor_release(own);
    else if (own->pending == RLK_OP_NONE)
        actor_acquire(own, RLK_FOREVER);
    process_drive(process);
}

static void share_count(const sim_process *process)
{
    uint32_t least = UINT32_MAX;
    unsigned p;

    sim.members[process->index].granted++;
    if (++sim.granted < SHARE_WARM || (sim.granted - SHARE_WARM) % SHARE_WINDOW != 0)
        return;
    for (p = 0; p < sim.processes; p++) {
        sim_process *member = &sim.members[p];

        if (sim.granted > SHARE_WARM && member->granted < least) {
            least = member->granted;
            process = member;
        }
        member->granted = 0;
    }
    if (least * 3 * sim.processes < SHARE_WINDOW)
        world_violate(SIM_SHARE, "process %u: had it %u times of %u, and wants it all the time",
                      process->index, least, SHARE_WINDOW);
}

void share_handle(sim_lock *own, rlk_operation operation, rlk_result result)
{
    sim_process *process = own->process;

    if (operation != RLK_OP_ACQUIRE || result != RLK_OK) {
        actor_acquire(own, RLK_FOREVER);
        return;
    }
    share_count(process);
    world_at(sim.now_us + sim.hold_us, SIM_EVENT_ACT, process->index, process->births);
}
