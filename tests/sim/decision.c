/* SPDX-License-Identifier: MIT
 *
 * Which of the design's state decisions a history has met. Reads the lock's fields: it counts, and
 * judges nothing.
 */
#include "world.h"

#include "lock/lease.h"
#include "lock/tally.h"

typedef struct decision_view {
    uint8_t state;
    uint8_t operation;
    uint8_t phase;
    uint8_t present; /* nodes that have our token, a bit each */
    uint8_t setting; /* ... to which a SET is under way */
} decision_view;

static decision_view views[SIM_LOCKS];

static void decision_read(const rlk_lock *lock, decision_view *view)
{
    unsigned i;

    view->state = lock->state;
    view->operation = (uint8_t)rlk_lock_operation(lock);
    view->phase = lock->phase;
    view->present = 0;
    view->setting = 0;
    for (i = 0; i < sim.nodes; i++) {
        const rlk_node_lock *node_lock = &lock->nodes[i];

        if ((node_lock->flags & RLKI_NODE_PRESENT) != 0)
            view->present |= (uint8_t)(1u << i);
        if (node_lock->request.tag == RLKI_SET)
            view->setting |= (uint8_t)(1u << i);
    }
}

void decision_before(sim_process *process)
{
    unsigned i;

    for (i = 0; i < process->locks_len; i++)
        decision_read(&process->locks[i].lock, &views[i]);
}

/* An attempt was under way, and is over. */
static void decision_attempt(const rlk_lock *lock, const decision_view *before)
{
    rlki_tally tally = rlki_tally_of(lock);
    unsigned quorum = lock->client->quorum;

    if (lock->phase != RLKI_PHASE_PAUSE && lock->phase != RLKI_PHASE_SETTLE)
        return;
    /* the time of a try is over before its validity is: what may still be OK comes too late */
    if (tally.yes + tally.pending >= quorum)
        MET(D_TOO_LATE);
    else
        MET(D_OUT_OF_REACH);
    if (lock->phase == RLKI_PHASE_SETTLE && before->setting != 0)
        MET(D_LATE_OK);
}

static void decision_new_attempt(const rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        if (lock->nodes[i].vote == RLKI_VOTE_SKIPPED &&
            rlk_conn_get_state(lock->client->conns[i]) == RLK_CONN_READY)
            MET(D_NODE_SKIPPED);
}

static void decision_held(const rlk_lock *lock, const decision_view *before)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++) {
        const rlk_node_lock *node_lock = &lock->nodes[i];
        unsigned bit = 1u << i;
        bool present = (node_lock->flags & RLKI_NODE_PRESENT) != 0;

        if ((before->setting & bit) != 0 && node_lock->request.tag != RLKI_SET && present)
            MET(D_LATE_MINORITY);
        if ((before->present & bit) != 0 && !present)
            MET(D_MINORITY_NOT_OWNER);
    }
}

void decision_after(sim_process *process)
{
    unsigned i;

    for (i = 0; i < process->locks_len; i++) {
        const rlk_lock *lock = &process->locks[i].lock;
        const decision_view *before = &views[i];

        if (before->operation == RLK_OP_ACQUIRE && before->phase == RLKI_PHASE_ATTEMPT)
            decision_attempt(lock, before);
        if (rlk_lock_operation(lock) == RLK_OP_ACQUIRE && lock->phase == RLKI_PHASE_ATTEMPT &&
            before->phase != RLKI_PHASE_ATTEMPT)
            decision_new_attempt(lock);
        if (before->state == RLKI_HELD && lock->state == RLKI_HELD)
            decision_held(lock, before);
        if (before->state == RLKI_HELD && lock->state == RLKI_LOST)
            MET(D_LOST_UNDO);
    }
}

void decision_drive(const sim_process *process)
{
    unsigned i;

    for (i = 0; i < sim.nodes; i++)
        if (process->links[i].conn.send != NULL &&
            rlk_conn_get_state(&process->links[i].conn) == RLK_CONN_READY)
            MET(FULL);
}

/* At the end of an operation: what its result is an example of. */
void decision_result(const sim_lock *own, rlk_operation operation, rlk_result result)
{
    const rlk_lock *lock = &own->lock;
    unsigned i;

    if (operation == RLK_OP_ACQUIRE && result == RLK_OK &&
        queue_toll(own).failures > own->toll.failures)
        MET(D_RIDDEN_OUT);
    if ((operation == RLK_OP_RENEW || operation == RLK_OP_EXTEND) && result != RLK_OK &&
        lock->state == RLKI_HELD)
        for (i = 0; i < sim.nodes; i++)
            if (lock->nodes[i].expiry_ms >= lock->as.hold.target_ms)
                MET(D_MINORITY_RENEWED);
    if ((operation == RLK_OP_RENEW || operation == RLK_OP_EXTEND) && own->cancelled &&
        result == RLK_UNKNOWN)
        MET(D_RELEASE_IN_RENEWAL);
    if (operation != RLK_OP_RELEASE)
        return;
    if (result == RLK_GONE)
        MET(D_GONE);
    if (result == RLK_UNKNOWN && rlki_tally_of(lock).doubt >= lock->client->quorum)
        MET(D_UNFENCED_RELEASE);
    if (sim.nodes > 1 && result == RLK_OK)
        MET(D_RELEASED_N);
    if (sim.nodes > 1 && result == RLK_NOT_OWNER)
        MET(D_NOT_OWNER_N);
    if (sim.nodes > 1 && result == RLK_UNKNOWN)
        MET(D_UNKNOWN_N);
}
