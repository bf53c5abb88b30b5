/* SPDX-License-Identifier: MIT
 *
 * A node of a lock that is held is dirty from when the key changed there, as far as is known, until
 * it was compared:
 *
 *              notified; held for so long that it is watched; idle: CHECK
 *     clean ----------------------------------> dirty <-------------------> compared
 *       ^                                                 refused for now     | answered
 *       +---------------------------------------------------------------------+
 *
 *                       validity over, or a quorum of nodes is without our token
 *     HELD ----------------------------------------------------------------------> LOST
 *                                                                    undone on every node
 */
#include "held.h"
#include "events.h"
#include "lease.h"
#include "operation.h"
#include "trace.h"
#include "turn.h"
#include "wait_queue.h"

/* Returns true if the last word on a renewal, since the last operation that worked, is an error of
 * a server. */
static bool held_renewal_refused(const rlk_lock *lock)
{
    return lock->error_command == RLKI_RAISE &&
           rlk_result_class((rlk_result)lock->error) >= RLK_KIND_SERVER;
}

void rlki_held_lose(rlk_lock *lock, rlk_result result)
{
    lock->state = RLKI_LOST;
    if (result == RLK_LOST) /* else the nodes said what it was */
        lock->lost_cause = held_renewal_refused(lock) ? RLK_LOST_REFUSED : RLK_LOST_EXPIRED;
    lock->options |= RLKI_OPTION_FELL; /* unless the operation under way reports it */
    RLKI_COUNT(lock->client, lost);
    RLKI_TRACE(lock, RLK_TRACE_STATE, -1, RLKI_WORD("LOST"), lock->lost_cause);
    rlki_node_locks_undo(lock, lock->as.hold.target_ms, 0);
    (void)rlki_queue_leave(lock); /* a holder: nobody is next for that */
    if (lock->op != NULL && (lock->op->flags & RLKI_OP_LEASE) != 0)
        rlki_operation_finish(lock, result);
    rlki_event_raise(lock, RLKI_EVENT_LOST);
}

bool rlki_held_is_absent(const rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    unsigned absent = 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(client); i++)
        absent += rlki_node_lock_is_clean(&lock->nodes[i]);
    return absent > rlki_nodes(client) - rlki_needed(client);
}

/* Where the server notifies of changes, a compare makes it do so; unless one has, or a raise. */
static void held_watch(rlk_lock *lock, const rlk_node_lock *node)
{
    if ((node->flags & RLKI_NODE_PRESENT) != 0 &&
        (lock->as.hold.read & rlki_bit(rlki_index(node))) == 0 &&
        rlk_conn_is_tracking(rlki_route(lock, rlki_index(node))))
        lock->as.hold.dirty |= rlki_bit(rlki_index(node));
}

static void held_watch_all(rlk_lock *lock)
{
    unsigned i;

    lock->as.hold.watch_ms = RLKI_NEVER;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        held_watch(lock, &lock->nodes[i]);
}

void rlki_held_compare_dirty(rlk_lock *lock)
{
    unsigned i;

    if (lock->client->now_ms >= lock->as.hold.watch_ms)
        held_watch_all(lock);
    for (i = 0; lock->as.hold.dirty != 0 && i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlk_node_mask bit = rlki_bit(i);

        if ((lock->as.hold.dirty & bit) == 0 || node->request.tag != RLKI_NO_COMMAND)
            continue; /* behind it; if it compares, its answer will see what was notified before */
        if (rlki_node_lock_is_clean(node))
            lock->as.hold.dirty &= (rlk_node_mask)~bit;
        else
            rlki_node_lock_send(node, RLKI_CHECK);
    }
}

/* A compare of a dirty node was refused. It is sent again, unless an operation waits for the node:
 * then it comes again behind that one's command. */
static void held_refused(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    if (rlki_is_final((rlk_result)report->error))
        rlki_lock_note(lock, rlki_index(node), report->command, (rlk_result)report->error);
    else if (report->command == RLKI_CHECK && (lock->op == NULL || node->vote != RLKI_VOTE_NONE))
        rlki_node_lock_retry(node, report);
}

void rlki_held_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    unsigned command = report->command;
    bool compared = command == RLKI_CONFIRM || command == RLKI_RAISE || command == RLKI_CHECK;
    rlk_result error = (rlk_result)report->error;

    if (report->kind == RLKI_REPORT_NOT_OURS && lock->lost_cause < report->lost_cause)
        lock->lost_cause = report->lost_cause;
    if (command == RLKI_SET && report->kind == RLKI_REPORT_HELD)
        rlki_turn_contend(lock); /* late: the other nodes have it held */
    if (command == RLKI_SET && report->kind == RLKI_REPORT_DONE &&
        lock->as.hold.watch_ms == RLKI_NEVER)
        held_watch(lock, node); /* late, too: the others are watched already */
    /* a change, or another stream, makes the node dirty, so that it is compared all the same */
    if (compared && report->kind == RLKI_REPORT_DONE)
        lock->as.hold.read |= rlki_bit(rlki_index(node));
    if (compared && !report->votes && report->kind == RLKI_REPORT_REFUSED)
        held_refused(lock, node, report);
    if (compared && node->request.tag == RLKI_NO_COMMAND &&
        (error == RLK_OK || rlki_is_final(error) || error == RLK_E_WRONGTYPE))
        lock->as.hold.dirty &= (rlk_node_mask)~rlki_bit(rlki_index(node));
}
