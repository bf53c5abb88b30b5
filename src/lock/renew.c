/* SPDX-License-Identifier: MIT
 *
 * Renewals that nobody calls for (auto_renew, rlk_campaign_start): the operation RENEW, marked as
 * in the background. Its result is no operation's result, and whoever calls for an operation has
 * precedence:
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
 * The lease's own deadline ends it all, without the network (operation.c). What a minority has
 * raised stays with its nodes, and adds up over several tries.
 */
#include "internal.h"
#include "validity.h"

static bool renew_is_wanted(const rlk_lock *lock)
{
    return lock->options & (RLKI_OPTION_RENEW | RLKI_OPTION_LEAD) && lock->state == RLKI_HELD;
}

bool rlki_renew_gains(const rlk_lock *lock, int64_t target_ms)
{
    /* > 0: a TTL from now, or beyond the expiry of what is held */
    int64_t horizon_ms = target_ms - lock->client->now_ms;
    return target_ms - (int64_t)rlki_client_drift(lock->client, (uint32_t)horizon_ms) >
           lock->valid_ms;
}

int64_t rlki_renew_target(const rlk_lock *lock)
{
    int64_t target_ms = rlki_later(lock->client->now_ms, lock->ttl_ms);
    int64_t cap_ms = rlki_later(lock->since_ms, lock->max_hold_ms);
    if (lock->max_hold_ms > 0 && cap_ms < target_ms) {
        target_ms = cap_ms;
        if (cap_ms <= rlki_lock_expiry(lock)) /* it has it: only its drift would shrink */
            return RLK_NEVER;
    }
    return rlki_renew_gains(lock, target_ms) ? target_ms : RLK_NEVER;
}

int64_t rlki_renew_at(const rlk_lock *lock)
{
    uint32_t lease_ms = lock->ttl_ms - rlki_client_drift(lock->client, lock->ttl_ms);
    uint32_t left_ms = lease_ms / 3;
    if (lease_ms - left_ms > lock->ttl_ms / 3)
        left_ms = lease_ms - lock->ttl_ms / 3;
    return lock->valid_ms - (int64_t)left_ms;
}

void rlki_renew_schedule(rlk_lock *lock)
{
    lock->wake_ms = renew_is_wanted(lock) ? rlki_renew_at(lock) : RLK_NEVER;
}

void rlki_renew_schedule_next(rlk_lock *lock)
{
    int64_t now_ms = lock->client->now_ms;
    int64_t left_ms = lock->valid_ms - now_ms;
    rlki_renew_schedule(lock);
    if (lock->wake_ms <= now_ms)
        lock->wake_ms = now_ms + 1 + (int64_t)((uint32_t)left_ms / 3);
}

void rlki_renew_due(rlk_lock *lock)
{
    int64_t now_ms = lock->client->now_ms;
    int64_t target_ms;
    lock->wake_ms = RLK_NEVER;
    if (lock->operation != RLK_OP_NONE)
        return; /* scheduled again when the operation is over */
    target_ms = rlki_renew_target(lock);
    if (target_ms == RLK_NEVER) {
        rlki_renew_schedule_next(lock); /* with much drift nothing is to be gained yet */
        return;
    }
    rlki_lock_claim(lock, target_ms, now_ms);
    lock->flags = RLKI_LOCK_BACKGROUND;
    rlki_hold_begin(lock, RLK_OP_RENEW, target_ms, rlki_later(now_ms, lock->node_timeout_ms));
}

void rlki_renew_preempt(rlk_lock *lock)
{
    lock->operation = RLK_OP_NONE;
    lock->flags = 0;
}

void rlki_renew_finish(rlk_lock *lock, rlk_result result)
{
    if (result == RLK_LOST)
        return; /* which is told as such */
    if (result == RLK_E_WRONGTYPE && lock->state == RLKI_HELD)
        result = RLK_UNKNOWN; /* a minority says so: that is no refusal */
    lock->renewal = (int16_t)result;
    lock->options |= RLKI_OPTION_RENEWED;
    rlki_event_raise(lock, RLKI_EVENT_RENEWAL);
    if (result == RLK_OK) {
        RLKI_COUNT(lock->client, renewed);
        rlki_renew_schedule_next(lock);
    } else if (lock->state == RLKI_HELD) {
        int64_t half_ms = (lock->valid_ms - lock->client->now_ms) / 2; /* for more than one try */
        uint32_t pause_ms =
            rlki_client_jitter(lock->client, lock->retry_min_ms, lock->retry_max_ms);
        RLKI_COUNT(lock->client, renew_unknown);
        lock->wake_ms = lock->client->now_ms + 1 + (half_ms < pause_ms ? half_ms : pause_ms);
    } else {
        RLKI_COUNT(lock->client, renew_refused);
    }
}
