/* SPDX-License-Identifier: MIT
 *
 * Renewals in the background (auto_renew, rlk_campaign_start): an operation of its own, whose
 * result is no caller's. An operation that a caller starts has precedence:
 *
 *            a third of the TTL has passed         a quorum: ours       (RLK_EV_RENEWED)
 *    wait -----------------------------------> RENEW ----------------> wait
 *      ^ ^                                      | |
 *      | | jittered pause                       | | no answer in node_timeout_ms, an error
 *      | +--------------------------------------+ |                     (RLK_EV_RENEW_FAILED)
 *      |   a caller's operation, when that is     |
 *      +------------------------------------------+ q out of reach      (RLK_EV_RENEW_FAILED)
 *          over                                   +----> LOST
 *
 * The lease's own deadline ends it all, without the network (machine.c). What a minority has
 * raised stays with its nodes, and adds up over several attempts.
 */
#include "renewal.h"
#include "clock.h"
#include "events.h"
#include "extend.h"
#include "lease.h"
#include "trace.h"

static void renewal_schedule(rlk_lock *lock, bool anew)
{
    int32_t now_ms = lock->client->now_ms;
    int32_t left_ms;

    if (lock->state != RLKI_HELD)
        return; /* it waits, perhaps, and has no lease */
    left_ms = rlki_left(lock, lock->as.hold.valid_ms);
    lock->as.hold.renew_ms = rlki_lock_renews(lock) ? rlki_lease_renew_at(lock) : RLKI_NEVER;
    if (anew && lock->as.hold.renew_ms <= now_ms)
        lock->as.hold.renew_ms = now_ms + 1 + left_ms / 3;
}

static void renewal_ended(rlk_lock *lock, rlk_result result)
{
    if (result == RLK_LOST)
        return; /* which is reported as such */
    if (result == RLK_E_WRONGTYPE && lock->state == RLKI_HELD)
        result = RLK_UNKNOWN; /* a minority says so: that is no refusal */
    lock->renewal = (int16_t)result;
    lock->options |= RLKI_OPTION_RENEWED;
    rlki_event_raise(lock, RLKI_EVENT_RENEWAL);
    if (result == RLK_OK) {
        RLKI_COUNT(lock->client, renewed);
        renewal_schedule(lock, true);
    } else if (lock->state == RLKI_HELD) {
        int32_t now_ms = lock->client->now_ms;
        /* for more than one attempt */
        int32_t half_ms = rlki_left(lock, lock->as.hold.valid_ms) / 2;
        int32_t pause_ms = (int32_t)rlki_lock_pause(lock);

        RLKI_COUNT(lock->client, renew_unknown);
        lock->as.hold.renew_ms = now_ms + 1 + (half_ms < pause_ms ? half_ms : pause_ms);
    } else {
        RLKI_COUNT(lock->client, renew_refused);
    }
}

static const rlki_operation renewal_operation = {
    RLK_OP_NONE, RLKI_OP_LEASE, rlki_extend_step, rlki_extend_report, NULL,
    NULL,        NULL,          renewal_ended,
};

/* Begins a renewal, unless an operation is under way. */
static void renewal_due(rlk_lock *lock)
{
    int32_t now_ms = lock->client->now_ms;
    int32_t target_ms;

    lock->as.hold.renew_ms = RLKI_NEVER;
    if (lock->op != NULL)
        return; /* scheduled again when the operation is over */
    target_ms = rlki_lease_renew_target(lock);
    if (target_ms == RLKI_NEVER) {
        renewal_schedule(lock, true); /* with much drift a renewal gains nothing yet */
        return;
    }
    rlki_lease_claim(lock, target_ms, (uint32_t)(target_ms - now_ms));
    rlki_extend_begin(lock, &renewal_operation, target_ms,
                      rlki_from_now(lock, lock->node_timeout_ms));
}

void rlki_renewal_begin(rlk_client *client)
{
    static const rlki_renewal renewal = {renewal_due, renewal_schedule};

    client->renewal = &renewal;
}

void rlki_lock_auto_renew(rlk_lock *lock)
{
    lock->options |= RLKI_OPTION_RENEW;
    rlki_renewal_begin(lock->client);
}
