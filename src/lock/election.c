/* SPDX-License-Identifier: MIT
 *
 * Leader and followers: a lock that wants to be held for ever.
 *
 *                          acquired              rlk_resign
 *    rlk_campaign_start --> FOLLOWS ----------> LEADS -------------> (RELEASED ...)
 *                        |   ^                | lost: RLK_EV_LOST
 *                        |   +----------------+ is pulled
 *                        | rlk_resign
 *                        +---------------------------------------> (CANCELLED ...)
 *
 * It is the acquire without a deadline, and the renewals in the background; what is added is that
 * it begins again, and not before its loss was heard.
 */
#include "resplock/election.h"

#include "acquire.h"
#include "api.h"
#include "events.h"
#include "inspect.h"
#include "lease.h"
#include "machine.h"
#include "wait_queue.h"

#include <string.h>

/* After its loss was pulled: follows again. */
static void election_follow_again(rlk_lock *lock)
{
    rlk_result result;

    if (lock->state != RLKI_LOST || rlki_operation_is_on(lock)) /* a query: when that is pulled */
        return;
    result = rlk_campaign_start(lock);
    if (result == RLK_PENDING)
        return;
    lock->follow_again = NULL;
    rlki_operation_report(lock, RLK_OP_ACQUIRE, result);
}

rlk_result rlk_campaign_start(rlk_lock *lock)
{
    rlk_result result = rlki_api_start(lock, &rlki_acquire, RLK_FOREVER, NULL);

    if (result == RLK_PENDING)
        lock->follow_again = election_follow_again;
    return result;
}

rlk_result rlk_resign_start(rlk_lock *lock)
{
    rlk_result result = rlki_machine_enter(lock);
    if (result != RLK_OK)
        return result;
    if (lock->op != &rlki_acquire)
        return rlk_release_start(lock);
    (void)rlk_cancel(lock);
    if (rlki_operation_is_on(lock))
        return RLK_PENDING;
    rlki_event_drop(lock, RLKI_EVENT_RESULT); /* it is over already */
    return (rlk_result)lock->done_result;
}

/* The token that is on a quorum, and for how long it will be (RLK_NEVER: it has no expiry); NULL:
 * none. There can't be two, so whoever is one of a quorum has it. */
static const rlk_holder *election_find(const rlk_client *client, const rlk_holder *holders,
                                       int64_t *left_ms)
{
    const rlk_holder *found = NULL;
    int64_t ttl_ms[RLK_MAX_NODES];
    unsigned i = 0;
    do { /* one at least, as in lock_expiry */
        ttl_ms[i] = RLKI_EXPIRED;
        if (rlki_inspect_agree(client, holders, &holders[i]) < rlki_needed(client))
            continue;
        found = &holders[i];
        ttl_ms[i] = found->ttl_ms < 0 ? RLK_NEVER : found->ttl_ms;
    } while (++i < rlki_nodes(client));
    *left_ms = rlki_quorum_value(ttl_ms, rlki_nodes(client), rlki_needed(client));
    return found;
}

static uint8_t election_name_len(const rlk_holder *holder)
{
    return (uint8_t)(holder->token_len > RLK_TOKEN_DIGITS ? holder->token_len - RLK_TOKEN_DIGITS
                                                          : 0);
}

rlk_result rlk_leader(rlk_lock *lock, const rlk_holder *holders, rlk_leader_info *leader)
{
    const rlk_holder *holder;
    const rlk_lock *own;
    rlk_result result = rlki_machine_enter(lock);
    int64_t left_ms;
    int64_t now_ms;
    if (result != RLK_OK)
        return result;
    if (!holders || !leader)
        return RLK_E_ARGUMENT;
    now_ms = lock->client->now_ms;
    holder = election_find(lock->client, holders, &left_ms);
    if (!holder || holder->token_len > RLK_TOKEN_MAX) {
        leader->known = false;
        return RLK_NOT_HELD;
    }
    if (!leader->known || memcmp(leader->token, holder->token, sizeof(leader->token)) != 0)
        leader->since_ms = now_ms;
    memcpy(leader->token, holder->token, sizeof(leader->token));
    leader->known = true;
    own = rlki_queue_owner(lock, holder->token, holder->token_len);
    if (own && !rlk_is_held_at(own, now_ms)) /* it has not heard yet that it is lost */
        own = NULL;
    leader->ours = own != NULL;
    if (own)
        leader->since_ms = own->since_ms;
    leader->name_len = election_name_len(holder);
    leader->until_ms = rlki_later(now_ms, left_ms);
    return RLK_OK;
}
