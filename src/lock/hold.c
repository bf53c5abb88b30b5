/* SPDX-License-Identifier: MIT
 *
 * Extend, renew, check: operations on a lock that is held. One script on every node that may have
 * our token, until a quorum has answered yes:
 *
 *                        a quorum: ours       (the lease's deadline moves; RLK_OK)
 *   begin ---> WORK ---- q out of reach ----> LOST (RLK_NOT_OWNER)
 *               |  ^     lease runs out ----> LOST (RLK_LOST)
 *               |  |     deadline ----------> still held, as before (RLK_UNKNOWN or an error)
 *               +--+
 *       refused for now, or the stream was lost: again
 *
 * The target E' is fixed once, and each try asks for what is left until then: so a repeat after a
 * lost reply does no harm, and nothing is ever shortened at the server (rule 6).
 */
#include "internal.h"
#include "validity.h"

/* Takes back checks under way, and raises if they are meant too; true if something of a raise was
 * sent. */
static bool hold_abandon(rlk_lock *lock, bool raises)
{
    bool sent = (lock->flags & RLKI_LOCK_MAYBE_SENT) != 0;
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        bool raise = seat->request.tag == RLKI_RAISE;
        if (seat->request.tag != RLKI_CHECK && !(raises && raise))
            continue;
        if (!rlki_seat_abandon(seat) && raise) /* a check that was sent raises nothing */
            sent = true;
    }
    return sent && lock->operation != RLK_OP_CHECK;
}

void rlki_hold_begin(rlk_lock *lock, rlk_operation operation, int64_t target_ms,
                     int64_t deadline_ms)
{
    /* What was sent before must not answer for this one: a check, or a raise that the acquire left
     * behind on a late node. Before a check a raise is left alone: it may be a renewal in the
     * background, which callers who check without a pause must not keep from being answered. */
    (void)hold_abandon(lock, operation != RLK_OP_CHECK);
    if (operation != RLK_OP_CHECK) {
        lock->target_ms = target_ms;
        lock->t0_ms = lock->client->now_ms;
    }
    rlki_operation_begin(lock, operation, deadline_ms);
    rlki_operation_step(lock);
}

void rlki_hold_touched(rlk_lock *lock, unsigned node)
{
    lock->touched |= UINT32_C(1) << node;
    rlki_operation_step(lock);
}

void rlki_hold_look(rlk_lock *lock)
{
    unsigned i;
    for (i = 0; lock->touched && i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        uint32_t bit = UINT32_C(1) << i;
        if (!(lock->touched & bit) || seat->request.tag != RLKI_NO_COMMAND)
            continue; /* behind it; if it compares, its answer will see what was told before */
        if (rlki_seat_clean(seat))
            lock->touched &= ~bit;
        else
            rlki_seat_send(seat, RLKI_CHECK);
    }
}

void rlki_hold_cancel(rlk_lock *lock)
{
    rlki_operation_finish(
        lock, hold_abandon(lock, lock->operation != RLK_OP_CHECK) ? RLK_UNKNOWN : RLK_CANCELLED);
}

static void hold_send(rlk_lock *lock)
{
    unsigned command = lock->operation == RLK_OP_CHECK ? RLKI_CHECK : RLKI_RAISE;
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        if (seat->verdict != RLKI_NONE || seat->request.tag != RLKI_NO_COMMAND)
            continue; /* a SET that is still under way comes first */
        if (rlki_seat_clean(seat))
            seat->verdict = RLKI_NO;
        else
            rlki_seat_send(seat, command);
    }
}

static void hold_succeed(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    (void)hold_abandon(
        lock, lock->operation !=
                  RLK_OP_CHECK); /* nodes that are late: their expiry stays as it is known */
    if (lock->operation != RLK_OP_CHECK)
        rlki_lock_claim(lock, lock->target_ms, lock->t0_ms);
    rlki_lock_validate(lock);
    if (client->now_ms >= lock->valid_ms)
        rlki_lock_lose(lock, RLK_LOST);
    else
        rlki_operation_finish(lock, RLK_OK);
}

bool rlki_hold_step(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    rlki_tally tally;
    bool over = client->now_ms >= lock->deadline_ms;
    if (!over)
        hold_send(lock);
    tally = rlki_tally_of(lock);
    if (tally.yes >= rlki_needed(client)) {
        hold_succeed(lock);
    } else if (tally.no > rlki_nodes(client) - rlki_needed(client)) {
        rlk_result why = lock->error == RLK_E_WRONGTYPE ? RLK_E_WRONGTYPE : RLK_NOT_OWNER;
        rlki_lock_lose(lock, why);
    } else if (over || tally.yes + tally.pending < rlki_needed(client)) {
        rlk_result unanswered = rlki_lock_unanswered(lock);
        bool sent = hold_abandon(lock, lock->operation != RLK_OP_CHECK);
        rlki_operation_finish(lock, sent ? RLK_UNKNOWN : unanswered);
    }
    return false;
}
