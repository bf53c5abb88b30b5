/* SPDX-License-Identifier: MIT
 *
 * What must hold of events that are no results of an operation: the fate of a token (SETTLED),
 * renewals in the background, losses, and the campaign that goes on after a loss.
 */
#include "lock/acquire.h"
#include "world.h"

/* A lock's drift, and clocks that are read in whole milliseconds. */
#define EVENT_SLACK_MS 5

static bool event_renews(const sim_lock *lock)
{
    return lock->auto_renew || lock->leads;
}

/* ---- SETTLED ----------------------------------------------------------------------------- */

static bool event_is_open(rlk_operation operation, rlk_result result)
{
    return (operation == RLK_OP_ACQUIRE && result == RLK_UNKNOWN) ||
           (operation == RLK_OP_RELEASE && (result == RLK_UNKNOWN || result < 0));
}

void event_expect(sim_lock *lock, rlk_operation operation, rlk_result result)
{
    int64_t now_ms = process_now_ms(lock->process);
    int64_t began_ms = sim_clock_ms(&lock->process->clock, lock->started_us);
    int64_t last_ms = now_ms + lock->ttl_ms;
    uint32_t serial;
    uint32_t attempt;

    if (operation != RLK_OP_ACQUIRE && operation != RLK_OP_RELEASE)
        return;
    lock->unsettled = event_is_open(operation, result) && check_token_of(lock, &serial, &attempt);
    if (!lock->unsettled)
        return;
    if (lock->asked_ms > last_ms)
        last_ms = lock->asked_ms;
    lock->settle_serial = serial;
    lock->settle_upto = attempt;
    lock->settle_reported = sim.serials[serial].reported;
    if (operation == RLK_OP_RELEASE)
        lock->settle_after = attempt - 1;
    else
        lock->settle_after = serial == lock->serial_before ? lock->attempt_before : 0;
    lock->settle_from_ms = began_ms + lock->ttl_ms;
    lock->settle_by_ms = last_ms + EVENT_SLACK_MS;
}

static void event_settled(sim_lock *lock, rlk_result result)
{
    int64_t now_ms = process_now_ms(lock->process);

    if (!lock->unsettled)
        world_violate(SIM_ENDING, "process %u lock %u: SETTLED, and nothing was open",
                      lock->process->index, lock->index);
    lock->unsettled = false;
    if (result == RLK_OK) {
        MET(SETTLED);
        sim.serials[lock->settle_serial].reported = lock->settle_reported;
        check_bury(lock, lock->settle_serial, lock->settle_after, lock->settle_upto);
        return;
    }
    MET(SETTLED_UNKNOWN);
    judge_says(result == RLK_UNKNOWN, lock, "SETTLED, with another result");
    /* before its TTL is over, only if an orphan is possible for which nobody can be asked (no ids,
     * or no fence on a plain stream), or a server has refused to the end of an earlier TTL */
    judge_says(now_ms >= lock->settle_from_ms || (sim.faults & SIM_FAULT_NO_IDS) != 0 ||
                   lock->process->errors > 0 || lock->process->plain,
               lock, "SETTLED: UNKNOWN, too early");
}

/* ---- Renewals ---------------------------------------------------------------------------- */

/* By its TTL, from when it was asked for. */
static void event_renewed(sim_lock *lock)
{
    int64_t now_ms = process_now_ms(lock->process);
    int64_t until_ms = now_ms + lock->ttl_ms - lock->node_timeout_ms;

    if (lock->max_hold_ms > 0 && until_ms > lock->since_ms + lock->max_hold_ms)
        until_ms = lock->since_ms + lock->max_hold_ms;
    MET(AUTO_RENEWED);
    judge_says(event_renews(lock), lock, "RENEWED");
    if (rlk_is_held(&lock->lock) && !lock->tainted) /* else it was lost since, and that follows */
        judge_says(now_ms + rlk_remaining_ms(&lock->lock) >=
                       until_ms - lock->ttl_ms / 50 - EVENT_SLACK_MS,
                   lock, "RENEWED");
    check_hold(lock);
}

/* If it is not held any more, LOST is owed. */
static void event_unanswered(sim_lock *lock, rlk_result result)
{
    MET(RENEW_UNKNOWN);
    judge_says(event_renews(lock) && (result == RLK_UNKNOWN || result < 0), lock, "RENEW_FAILED");
    check_hold(lock);
}

static void event_refused(sim_lock *lock)
{
    MET(RENEW_REFUSED);
    judge_says(event_renews(lock) && lock->tainted && !rlk_is_held(&lock->lock), lock,
               "RENEW_FAILED: refused");
    check_hold(lock);
    lock->refused = true;
}

/* ---- Losses ------------------------------------------------------------------------------ */

static bool event_is_capped(const sim_lock *lock)
{
    return lock->max_hold_ms > 0 && lock->until_ms >= lock->since_ms + lock->max_hold_ms -
                                                          lock->ttl_ms / 50 - EVENT_SLACK_MS;
}

/* Its network and its servers were as they should be for all of a TTL. */
static bool event_was_sound(const sim_lock *lock)
{
    return lock->node_timeout_ms >= SIM_ROUND_TRIP_MS &&
           fault_was_sound(lock->process, sim.now_us - (lock->ttl_ms + lock->ttl_ms / 20) * SIM_MS);
}

static void event_judge_loss(const sim_lock *lock)
{
    bool early = process_now_ms(lock->process) < lock->until_ms;

    if (lock->tainted || sim.profile->finds != SIM_FINE)
        return;
    /* an answer that took long may leave nothing of the lease */
    if (early && fault_was_sound(lock->process, sim.now_us - 1000 * SIM_MS) &&
        check_count(lock, lock->token, sim.now_us + 1) >= sim_quorum())
        world_violate(SIM_TRUTH, "process %u lock %u: LOST, and a quorum has it for it",
                      lock->process->index, lock->index);
    if (!event_renews(lock))
        return;
    if (event_is_capped(lock))
        MET(CAPPED);
    else if (event_was_sound(lock))
        world_violate(SIM_LIVENESS, "process %u lock %u: LOST, and nothing kept it from renewing",
                      lock->process->index, lock->index);
}

void event_follow(sim_lock *lock)
{
    rlk_operation operation = rlk_lock_operation(&lock->lock);

    if (!lock->again || lock->pending != RLK_OP_NONE)
        return;
    lock->again = false;
    if (operation != RLK_OP_ACQUIRE) {
        world_violate(SIM_ENDING, "process %u lock %u: it led, and does not follow",
                      lock->process->index, lock->index);
        return;
    }
    MET(FOLLOWS_AGAIN);
    TRACE("process %u: lock %u: follows again", lock->process->index, lock->index);
    lock->tainted = false;
    sim.operations++;
    judge_begin(lock, RLK_OP_ACQUIRE, RLK_FOREVER);
}

/* Only while it is tried, and not by one attempt. Never more often than asked for. */
static void event_waiting(sim_lock *lock, rlk_result why)
{
    int64_t now_ms = process_now_ms(lock->process);

    MET(WAITS);
    if (why != RLK_BUSY)
        MET(WAITS_FOR_AN_ERROR);
    judge_says(lock->pending == RLK_OP_ACQUIRE && !lock->once &&
                   rlk_lock_operation(&lock->lock) == RLK_OP_ACQUIRE,
               lock, "WAITING, and no acquire is under way");
    judge_says(why == RLK_BUSY || why == RLK_PENDING || why < 0, lock,
               "WAITING, with another result");
    lock->reported_ms = now_ms;
    if (lock->leads)
        judge_follower(lock);
}

static void event_lost(sim_lock *lock, rlk_lost_cause cause)
{
    rlk_operation pending = lock->pending;

    MET(LOST);
    if (cause == RLK_LOST_NOT)
        world_violate(SIM_TRUTH, "process %u lock %u: LOST, and no cause was seen",
                      lock->process->index, lock->index);
    queue_released(lock, false);
    if (!lock->leads || pending != RLK_OP_NONE) /* else it may have begun to follow */
        judge_says(!rlk_is_held(&lock->lock), lock, "LOST");
    check_hold(lock);
    if (process_now_ms(lock->process) < lock->until_ms)
        MET(LOST_EARLY);
    event_judge_loss(lock);
    /* the result of what it ended comes first */
    if (pending == RLK_OP_EXTEND || pending == RLK_OP_RENEW || pending == RLK_OP_CHECK)
        world_violate(SIM_ENDING, "process %u lock %u: LOST, and %s is pending",
                      lock->process->index, lock->index, world_operation_name(pending));
    if (!lock->owed)
        world_violate(SIM_ENDING, "process %u lock %u: LOST, and it was not held",
                      lock->process->index, lock->index);
    lock->owed = false;
    lock->refused = false;
    /* its undo is the best that can be done; a SET that can't be fenced may come behind it */
    if ((sim.faults & SIM_FAULT_NO_IDS) != 0)
        judge_exempt(lock);
    lock->again = lock->leads;
    event_follow(lock);
}

/* ---- All --------------------------------------------------------------------------------- */

void event_come(sim_lock *lock, const rlk_event *event)
{
    static const char *const names[] = {"SETTLED", "RENEWED", "RENEW_FAILED", "LOST", "WAITING"};

    TRACE("process %u: lock %u: %s: %s", lock->process->index, lock->index,
          names[event->type - RLK_EV_SETTLED], rlk_result_name(event->result));
    if (event->operation != RLK_OP_NONE)
        world_violate(SIM_ENDING, "process %u lock %u: %s of an operation", lock->process->index,
                      lock->index, names[event->type - RLK_EV_SETTLED]);
    switch (event->type) {
    case RLK_EV_SETTLED:
        event_settled(lock, event->result);
        break;
    case RLK_EV_RENEWED:
        event_renewed(lock);
        break;
    case RLK_EV_RENEW_FAILED:
        if (event->result == RLK_NOT_OWNER || event->result == RLK_E_WRONGTYPE)
            event_refused(lock);
        else
            event_unanswered(lock, event->result);
        break;
    case RLK_EV_WAITING:
        event_waiting(lock, event->result);
        break;
    default:
        event_lost(lock, event->lost_cause);
        break;
    }
}

void event_step(const sim_lock *lock, int64_t now_ms)
{
    if (lock->refused)
        world_violate(SIM_ENDING,
                      "process %u lock %u: a renewal was refused, and nothing says LOST",
                      lock->process->index, lock->index);
    if (rlki_acquire_is_trying(&lock->lock) && !lock->once &&
        now_ms > lock->reported_ms + SIM_REPORT_MS + EVENT_SLACK_MS &&
        rlk_client_deadline(&lock->process->client) > now_ms + 1) /* else it is about to */
        world_violate(SIM_ENDING, "process %u lock %u: its wait has been silent for %lld ms",
                      lock->process->index, lock->index, (long long)(now_ms - lock->reported_ms));
    if (lock->unsettled && lock->pending == RLK_OP_NONE && now_ms > lock->settle_by_ms)
        world_violate(SIM_ENDING, "process %u lock %u: SETTLED is %lld ms late",
                      lock->process->index, lock->index, (long long)(now_ms - lock->settle_by_ms));
}
