/* SPDX-License-Identifier: MIT
 *
 * A lease moves from one lock to another:
 *
 *            rlk_lock_detach                       rlk_lock_attach
 *     HELD -----------------> FREE   (rlk_lease)   FREE, LOST -----------------> HELD
 *      |                                                         valid no more +-> LOST (undone)
 *      +-- nodes where the token was confirmed: their expiry moves, the node is clean
 *      +-- other nodes: undone by the lock that sent the SET, behind it on its own stream
 *
 * Exclusion needs no more than for one lock, since one lock owns the lease at any time: what the
 * other knows is forgotten with the move, so it neither renews, nor undoes what is not its own. A
 * raise that is still under way from before finds the token, and raises; or does not, and does
 * nothing.
 *
 * The lease is valid as long as before, or a few milliseconds less: of each node moves the time
 * until which it counted, by the drift that its client reckons with, and not the expiry, which
 * another drift would lengthen. It is of no stream of the new client, so the first answer counts as
 * that of a new stream does (rule 8 of docs/correctness.md).
 *
 * A token is a random part and a number. The lock that gave the lease away goes on with numbers
 * from another half, if nodes that owe an undo keep it from drawing the random part anew: so no two
 * locks ever have one token.
 */
#include "resplock/transfer.h"

#include "events.h"
#include "clock.h"
#include "lease.h"
#include "machine.h"
#include "operation.h"
#include "token.h"
#include "trace.h"
#include "wait_queue.h"

#include <string.h>

/* The other half of the numbers. */
#define TRANSFER_HALF UINT32_C(0x80000000)

/* True if the node is known to hold the token, and nothing that was sent can bring it, or an
 * earlier one, again. (No SET is under way where a token is PRESENT.) */
static bool transfer_moves(const rlk_lock *lock, const rlk_node_lock *node)
{
    return (node->flags & RLKI_NODE_PRESENT) != 0 && (node->flags & RLKI_NODE_IN_DOUBT) == 0 &&
           node->orphans == 0 && node->token == lock->token;
}

/* Fills in what the nodes that move hold. False: they are no quorum for any time. */
static bool transfer_fill(const rlk_lock *lock, rlk_lease *lease)
{
    const rlk_client *client = lock->client;
    int32_t until_ms[RLK_MAX_NODES];
    int32_t valid_ms;
    unsigned i = 0;

    do { /* one at least, as in rlki_lease_expiry */
        const rlk_node_lock *node = &lock->nodes[i];

        until_ms[i] = RLKI_EXPIRED;
        if (!transfer_moves(lock, node))
            continue;
        until_ms[i] = rlki_node_until(client, node);
        lease->node_until_ms[i] = rlki_client_clock_of(client, until_ms[i]);
        lease->present |= UINT32_C(1) << i;
    } while (++i < rlki_nodes(client));
    valid_ms = rlki_quorum_value(until_ms, rlki_nodes(client), rlki_needed(client));
    if (valid_ms > lock->as.hold.valid_ms)
        valid_ms = lock->as.hold.valid_ms;
    lease->until_ms = rlki_client_clock_of(client, valid_ms);
    return client->now_ms < valid_ms;
}

rlk_result rlk_lock_detach(rlk_lock *lock, rlk_lease *lease)
{
    rlk_result result = rlki_machine_enter(lock);
    unsigned i;

    if (result != RLK_OK)
        return result;
    if (lease == NULL)
        return RLK_E_ARGUMENT;
    if (rlki_operation_is_on(lock))
        return RLK_E_STATE;
    if (lock->state != RLKI_HELD)
        return lock->state == RLKI_LOST ? RLK_LOST : RLK_NOT_HELD;
    memset(lease, 0, sizeof *lease);
    if (!transfer_fill(lock, lease))
        return RLK_E_STATE;
    lease->key = lock->key;
    lease->key_len = lock->key_len;
    lease->prefix = lock->prefix;
    lease->texts = lock->texts;
    lease->ttl_ms = lock->ttl_ms;
    lease->node_timeout_ms = lock->node_timeout_ms;
    lease->max_hold_ms = lock->max_hold_ms;
    lease->token = lock->token;
    lease->nodes = lock->client->nodes;
    memcpy(lease->base, lock->base, sizeof lease->base);
    lease->since_ms = lock->as.hold.since_ms;
    lease->target_ms = rlki_client_clock_of(lock->client, lock->as.hold.target_ms);
    lease->claim_ms = rlki_client_clock_of(lock->client, lock->as.hold.claim_ms);

    lock->op = NULL; /* a renewal */
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((lease->present & UINT32_C(1) << i) == 0)
            continue;
        (void)rlki_node_lock_abandon(node);
        node->flags = 0; /* not this lock's any more: nothing is undone */
    }
    rlki_event_drop(lock, RLKI_EVENT_ALL);
    rlki_lock_leave_election(lock);
    lock->state = RLKI_FREE;
    rlki_node_locks_undo(lock, lock->as.hold.target_ms, 0); /* the other nodes */
    (void)rlki_queue_leave(lock);
    lock->token ^= TRANSFER_HALF;
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("FREE"), 0);
    rlki_machine_run(lock);
    return RLK_OK;
}

/* False: the lock has something of its own that the lease would mix with. */
static bool transfer_fits(const rlk_lock *lock, const rlk_lease *lease)
{
    bool same_base = memcmp(lock->base, lease->base, sizeof lease->base) == 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_node_lock *node = &lock->nodes[i];

        if (!rlki_node_lock_is_clean(node) &&
            (!same_base || (lease->present & UINT32_C(1) << i) != 0))
            return false;
    }
    return true;
}

rlk_result rlk_lock_attach(rlk_lock *lock, const rlk_lease *lease)
{
    rlk_result result = rlki_machine_enter(lock);
    unsigned i;

    if (result != RLK_OK)
        return result;
    if (lease == NULL)
        return RLK_E_ARGUMENT;
    if (lease->texts != lock->texts)
        return RLK_E_KEY;
    if (lease->nodes != lock->client->nodes)
        return RLK_E_NODES;
    if (rlki_operation_is_on(lock) || lock->state == RLKI_HELD || !transfer_fits(lock, lease))
        return RLK_E_STATE;
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* of the lease before */
    lock->options = lock->options & (RLKI_OPTION_RENEW | RLKI_OPTION_CAMPAIGN);
    memcpy(lock->base, lease->base, sizeof lock->base);
    lock->token = lease->token;
    lock->as.hold.since_ms = lease->since_ms;
    lock->as.hold.target_ms = rlki_client_time_of(lock->client, lease->target_ms);
    lock->as.hold.claim_ms = rlki_client_time_of(lock->client, lease->claim_ms);
    lock->as.hold.drift_ms = (uint32_t)(lease->claim_ms - lease->until_ms);
    lock->as.hold.read = 0;
    lock->as.hold.watch_ms = RLKI_NEVER;
    lock->as.hold.renew_ms = RLKI_NEVER;
    lock->as.hold.dirty =
        (rlk_node_mask)lease->present; /* asked now, and so notified of from now on */
    lock->error = RLK_OK;
    lock->lost_cause = RLK_LOST_NOT;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((lease->present & UINT32_C(1) << i) == 0)
            continue;
        node->flags = RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT;
        node->token = lease->token;
        node->generation = 0; /* of no stream here */
        /* in which its drift is counted already */
        node->expiry_ms = rlki_client_time_of(lock->client, lease->node_until_ms[i]);
        node->horizon_ms = 0;
    }
    lock->state = RLKI_HELD;
    rlki_operation_note(lock, RLK_OP_ACQUIRE, RLK_OK);
    (void)rlki_queue_hold(lock);
    rlki_lease_validate(lock);
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("HELD"),
               rlki_left(lock, lock->as.hold.valid_ms));
    rlki_renewal_schedule(lock, true);
    rlki_machine_run(lock); /* lost, if it is over */
    return lock->state == RLKI_HELD ? RLK_OK : RLK_LOST;
}
