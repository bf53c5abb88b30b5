/* SPDX-License-Identifier: MIT
 *
 * Extend, renew, check: one script on every node that may have our token, until a quorum has
 * answered yes:
 *
 *                        a quorum: ours       (the lease's deadline moves; RLK_OK)
 *   begin ---> WORK ---- q out of reach ----> LOST (RLK_NOT_OWNER)
 *               |  ^     lease runs out ----> LOST (RLK_LOST)
 *               |  |     deadline ----------> still held, as before (RLK_UNKNOWN or an error)
 *               +--+
 *       refused for now, or the stream was lost: again
 *
 * The target E' is fixed once, and each command asks for what is left until then: so a repeat after
 * a lost reply does no harm, and nothing is ever shortened at the server (rule 6).
 */
#include "extend.h"
#include "held.h"
#include "lease.h"
#include "tally.h"

static bool extend_is_check(const rlk_lock *lock)
{
    return lock->op->id == RLK_OP_CHECK;
}

/* Takes back checks under way, and raises if they are meant too; true if something of a raise was
 * sent. */
static bool extend_abandon(rlk_lock *lock, bool raises)
{
    bool sent = (lock->flags & RLKI_LOCK_MAYBE_SENT) != 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        bool raise = node->request.tag == RLKI_RAISE || node->request.tag == RLKI_CONFIRM;

        if (node->request.tag != RLKI_CHECK && !(raises && raise))
            continue;
        if (!rlki_node_lock_abandon(node) && raise) /* a check that was sent raises nothing */
            sent = true;
    }
    return sent && raises;
}

void rlki_extend_begin(rlk_lock *lock, const rlki_operation *op, int32_t target_ms,
                       int32_t deadline_ms)
{
    bool raises = op->id != RLK_OP_CHECK;

    /* What was sent before must not delay this: a check, or a raise that the acquire left on a late
     * node. A check leaves a raise alone. It may be a renewal in the background, and a caller who
     * checks without a pause must not keep it from being answered. */
    (void)extend_abandon(lock, raises);
    if (raises)
        rlki_lease_ask(lock, target_ms);
    rlki_operation_begin(lock, op, deadline_ms);
}

static void extend_ask(rlk_lock *lock)
{
    unsigned command = extend_is_check(lock) ? RLKI_CHECK : RLKI_RAISE;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->vote != RLKI_VOTE_NONE || node->request.tag != RLKI_NO_COMMAND)
            continue; /* a SET that is still under way comes first */
        if (rlki_node_lock_is_clean(node))
            node->vote = RLKI_VOTE_NO;
        else
            rlki_node_lock_ask(node, command);
    }
}

static void extend_succeed(rlk_lock *lock)
{
    bool raises = !extend_is_check(lock);

    (void)extend_abandon(lock, raises); /* nodes that are late: their expiry stays as it is known */
    if (raises)
        rlki_lease_claim(lock, lock->as.hold.target_ms, lock->as.hold.horizon_ms);
    rlki_lease_validate(lock);
    if (lock->client->now_ms >= lock->as.hold.valid_ms)
        rlki_held_lose(lock, RLK_LOST);
    else
        rlki_operation_finish(lock, RLK_OK);
}

bool rlki_extend_step(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    bool over = client->now_ms >= lock->deadline_ms;
    rlki_tally tally;

    if (!over)
        extend_ask(lock);
    tally = rlki_tally_of(lock);
    if (tally.yes >= rlki_needed(client)) {
        extend_succeed(lock);
    } else if (tally.no > rlki_nodes(client) - rlki_needed(client)) {
        rlki_held_lose(lock, lock->error == RLK_E_WRONGTYPE ? RLK_E_WRONGTYPE : RLK_NOT_OWNER);
    } else if (over || tally.yes + tally.pending < rlki_needed(client)) {
        rlk_result unanswered = rlki_operation_unanswered(lock);
        bool sent = extend_abandon(lock, !extend_is_check(lock));

        rlki_operation_finish(lock, sent ? RLK_UNKNOWN : unanswered);
    }
    return false;
}

void rlki_extend_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    bool raise = report->command == RLKI_RAISE;
    rlk_result error = (rlk_result)report->error;

    if (!report->votes)
        return;
    switch (report->kind) {
    case RLKI_REPORT_DONE:
        node->vote = RLKI_VOTE_YES;
        break;
    case RLKI_REPORT_NOT_OURS:
        node->vote = RLKI_VOTE_NO;
        break;
    case RLKI_REPORT_REFUSED:
        if (raise && error == RLK_E_UNEXPECTED)
            lock->flags |= RLKI_LOCK_MAYBE_SENT;
        if (!rlki_is_final(error)) {
            rlki_node_lock_retry(node, report);
            break;
        }
        rlki_lock_note(lock, rlki_index(node), report->command, error);
        node->vote = RLKI_VOTE_ERROR;
        break;
    default: /* RLKI_REPORT_LOST, a raise: the node lock repeats checks */
        if (report->maybe_sent)
            lock->flags |= RLKI_LOCK_MAYBE_SENT;
        rlki_node_lock_ask(node, report->command);
        break;
    }
}

static void extend_cancel(rlk_lock *lock)
{
    rlki_operation_finish(lock, extend_abandon(lock, !extend_is_check(lock)) ? RLK_UNKNOWN
                                                                             : RLK_CANCELLED);
}

/* One row for each result that a caller sees: they do the same. */
#define EXTEND_ROW(id)                                                                             \
    {                                                                                              \
        id, RLKI_OP_LEASE, rlki_extend_step, rlki_extend_report, NULL, NULL, extend_cancel, NULL   \
    }

static const rlki_operation extend_extend = EXTEND_ROW(RLK_OP_EXTEND);
static const rlki_operation extend_renew = EXTEND_ROW(RLK_OP_RENEW);
static const rlki_operation extend_check = EXTEND_ROW(RLK_OP_CHECK);

/* ---- Calls ---- */

bool rlki_extend_is_enough(const rlk_lock *lock, int64_t ttl_ms)
{
    if (ttl_ms < 1 || ttl_ms > RLK_TTL_MAX)
        return false;
    return ttl_ms > (int64_t)rlki_client_drift(lock->client, (uint32_t)ttl_ms) +
                        (int64_t)lock->node_timeout_ms;
}

/* RLK_OK of a lock that is held. */
static rlk_result extend_enter(const rlk_lock *lock)
{
    if (lock->state == RLKI_HELD)
        return RLK_OK;
    return lock->state == RLKI_LOST ? RLK_LOST : RLK_NOT_HELD;
}

static int32_t extend_deadline(const rlk_lock *lock)
{
    return rlki_from_now(lock, lock->client->operation_timeout_ms);
}

static rlk_result extend_call(rlk_lock *lock, int64_t added_ms, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);
    int32_t expiry_ms;
    int32_t target_ms;
    int32_t most_ms;

    (void)holders;
    if (result != RLK_OK)
        return result;
    if (added_ms < 1 || added_ms > RLK_TTL_MAX)
        return RLK_E_TTL;
    expiry_ms = rlki_lease_expiry(lock);
    target_ms = rlki_later(expiry_ms, (int32_t)added_ms);
    most_ms = rlki_from_now(lock, (uint32_t)RLK_TTL_MAX);
    if (target_ms > most_ms)
        target_ms = most_ms;
    if (target_ms <= expiry_ms)
        return RLK_E_TTL;
    rlki_extend_begin(lock, &extend_extend, target_ms, extend_deadline(lock));
    return RLK_PENDING;
}

const rlki_call rlki_call_extend = {&extend_extend, 0, extend_call};

static rlk_result extend_renew_call(rlk_lock *lock, int64_t ttl_ms, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);
    int32_t target_ms;

    (void)holders;
    if (result != RLK_OK)
        return result;
    if (ttl_ms == RLK_DEFAULT)
        ttl_ms = lock->ttl_ms;
    if (!rlki_extend_is_enough(lock, ttl_ms))
        return RLK_E_TTL;
    target_ms = rlki_from_now(lock, (uint32_t)ttl_ms);
    if (!rlki_lease_gains(lock, target_ms)) {
        /* sooner: only said here (rule 6), and a renewal under way is not wanted any more */
        lock->op = NULL;
        rlki_lease_claim(lock, target_ms, (uint32_t)ttl_ms);
        rlki_lease_validate(lock);
        rlki_renewal_schedule(lock, true);
        return RLK_OK;
    }
    rlki_extend_begin(lock, &extend_renew, target_ms, extend_deadline(lock));
    return RLK_PENDING;
}

const rlki_call rlki_call_renew = {&extend_renew, 0, extend_renew_call};

static rlk_result extend_check_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);

    (void)argument;
    (void)holders;
    if (result != RLK_OK)
        return result;
    rlki_extend_begin(lock, &extend_check, 0, extend_deadline(lock));
    return RLK_PENDING;
}

const rlki_call rlki_call_check = {&extend_check, RLKI_CALL_YIELDS, extend_check_call};

/* A key is being compared, because the server notified that it changed. */
static bool extend_is_comparing(const rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->nodes[i].request.tag == RLKI_CHECK)
            return true;
    return false;
}

static rlk_result extend_keep_alive_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    rlk_result result = extend_enter(lock);
    int32_t now_ms = lock->client->now_ms;
    int32_t deadline_ms = rlki_from_now(lock, lock->node_timeout_ms);
    int32_t target_ms;

    (void)argument;
    (void)holders;
    if (result != RLK_OK)
        return result;
    target_ms = rlki_lease_renew_target(lock);
    /* A renewal compares too, and comes first: a node that owes its check must not put it off. */
    if (now_ms >= rlki_lease_renew_at(lock) && target_ms != RLKI_NEVER)
        rlki_extend_begin(lock, &extend_renew, target_ms, deadline_ms);
    else if (extend_is_comparing(lock))
        rlki_extend_begin(lock, &extend_check, 0, deadline_ms);
    else
        return RLK_OK; /* not due, or not any more */
    return RLK_PENDING;
}

const rlki_call rlki_call_keep_alive = {&extend_renew, RLKI_CALL_SERVED, extend_keep_alive_call};
