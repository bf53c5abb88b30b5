/* SPDX-License-Identifier: MIT
 *
 * Leader and followers: a lock that wants to be held without end.
 *
 *                          acquired              rlk_resign
 *    rlk_campaign_start --> FOLLOWS ----------> LEADS -------------> (RELEASED ...)
 *                        |   ^                | lost: RLK_EV_LOST
 *                        |   +----------------+ is pulled
 *                        | rlk_resign
 *                        +---------------------------------------> (CANCELLED ...)
 *
 * It is the acquire without a deadline, and the renewals in the background. What is added: it
 * begins again, and not before its loss was pulled.
 */
#include "resplock/election.h"

#include "acquire.h"
#include "api.h"
#include "events.h"
#include "inspect.h"
#include "lease.h"
#include "machine.h"
#include "renewal.h"
#include "wait_queue.h"

#include <string.h>

static void election_follow_again(rlk_lock *lock)
{
    rlk_result result;

    if (lock->state != RLKI_LOST || rlki_operation_is_on(lock)) /* a query: when that is pulled */
        return;
    result = rlk_campaign_start(lock);
    if (result == RLK_PENDING)
        return;
    rlki_lock_leave_election(lock);
    rlki_operation_report(lock, RLK_OP_ACQUIRE, result);
}

static void election_ask(rlk_lock *lock)
{
    rlk_node_mask ask = lock->as.wait.busy & ~lock->as.wait.read;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if ((ask & rlki_bit(i)) == 0 || node->request.tag != RLKI_NO_COMMAND ||
            !rlki_conn_is_ready(rlki_route(lock, i)))
            continue;
        rlki_node_lock_send(node, RLKI_QUERY);
    }
}

/* The first half of an answer: the token is the one that was known. */
static bool election_is_same(const rlk_holder *holder, const rlk_reply *reply)
{
    return holder->result == RLK_OK && reply->type == RLK_RESP_BULK &&
           reply->len == holder->token_len && holder->token_len <= RLK_TOKEN_MAX &&
           memcmp(reply->data, holder->token, reply->len) == 0;
}

/* Keeps an answer. What was known stays until there is more: between two halves of an answer, and
 * where the stream ends. */
static void election_answered(rlk_lock *lock, rlk_holder *holder, const rlki_report *report)
{
    if (report->kind == RLKI_REPORT_PART && election_is_same(holder, report->reply))
        return;
    if (holder->result == RLK_OK && report->kind == RLKI_REPORT_LOST)
        return;
    if (holder->result == RLK_OK && report->kind != RLKI_REPORT_PART)
        holder->result = RLK_PENDING; /* of the second half */
    rlki_inspect_keep(lock, holder, report);
}

/* A node answers who holds the key; or anything else, behind which that is asked again. */
static void election_observe(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_node_mask bit = rlki_bit(rlki_index(node));
    rlk_holder *holder = &lock->holders[rlki_index(node)];

    if (report->command == RLKI_QUERY)
        election_answered(lock, holder, report);
    else if (report->kind == RLKI_REPORT_HELD && node->request.tag == RLKI_CONFIRM)
        holder->result = RLK_PENDING;
    if (report->kind == RLKI_REPORT_PART)
        lock->as.wait.read |= bit; /* until a change, or behind another command */
    else if (report->command != RLKI_QUERY || report->kind == RLKI_REPORT_LOST)
        lock->as.wait.read &= (rlk_node_mask)~bit;
}

rlk_result rlk_campaign_start(rlk_lock *lock)
{
    static const rlki_campaign campaign = {election_follow_again, election_ask, election_observe};
    rlk_result result = rlki_api_start(lock, &rlki_call_acquire, RLK_FOREVER, NULL);

    if (result == RLK_PENDING) {
        rlki_renewal_begin(lock->client);
        lock->client->campaign = &campaign;
        lock->options |= RLKI_OPTION_CAMPAIGN;
    }
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

/* The server's word: any time. */
static int64_t election_later(int64_t time_ms, int64_t ttl_ms)
{
    return time_ms > RLK_NEVER - ttl_ms ? RLK_NEVER : time_ms + ttl_ms;
}

/* Returns the greatest time that a quorum has, or a later one. */
static int64_t election_quorum_time(const int64_t *times_ms, unsigned nodes, unsigned needed)
{
    int64_t best_ms = INT64_MIN;
    unsigned i;
    unsigned k;

    for (i = 0; i < nodes; i++) {
        unsigned reached = 0;

        for (k = 0; k < nodes; k++)
            reached += times_ms[k] >= times_ms[i];
        if (reached >= needed && times_ms[i] > best_ms)
            best_ms = times_ms[i];
    }
    return best_ms;
}

/* Returns the token that a quorum of nodes said last, and until when it is there (RLK_NEVER: it has
 * no expiry); NULL: none. Two tokens can't have a quorum, so the first that has one is it. */
static const rlk_holder *election_find(const rlk_client *client, const rlk_holder *holders,
                                       int64_t *until_ms)
{
    const rlk_holder *found = NULL;
    int64_t times_ms[RLK_MAX_NODES];
    unsigned i = 0;

    if (holders == NULL)
        return NULL;
    do { /* one at least, as in rlki_lease_expiry */
        times_ms[i] = INT64_MIN;
        if (rlki_inspect_agree(client, holders, &holders[i]) < rlki_needed(client))
            continue;
        found = &holders[i];
        times_ms[i] =
            found->ttl_ms < 0 ? RLK_NEVER : election_later(found->answered_ms, found->ttl_ms);
    } while (++i < rlki_nodes(client));
    *until_ms = election_quorum_time(times_ms, rlki_nodes(client), rlki_needed(client));
    if (found == NULL || found->token_len > RLK_TOKEN_MAX || *until_ms < client->clock_ms)
        return NULL;
    return found;
}

/* What was said last: to the lock itself, or to the first of its queue, which alone asks. */
static const rlk_holder *election_said(const rlk_lock *lock, int64_t *until_ms)
{
    const rlk_holder *own = election_find(lock->client, lock->holders, until_ms);
    int64_t first_ms = RLK_NEVER;
    const rlk_holder *first =
        election_find(lock->client, rlki_queue_asker(lock)->holders, &first_ms);

    if (first == NULL || (own != NULL && own->answered_ms > first->answered_ms))
        return own;
    *until_ms = first_ms;
    return first;
}

static uint8_t election_name_len(size_t len)
{
    return (uint8_t)(len > RLK_TOKEN_DIGITS ? len - RLK_TOKEN_DIGITS : 0);
}

rlk_result rlk_leader(rlk_lock *lock, rlk_leader_info *leader)
{
    const rlk_holder *holder;
    const rlk_lock *own;
    char token[RLK_TOKEN_MAX + 1] = {0};
    rlk_result result = rlki_machine_enter(lock);
    int64_t until_ms = RLK_NEVER;
    size_t len = 0;

    if (result != RLK_OK)
        return result;
    if (leader == NULL)
        return RLK_E_ARGUMENT;
    holder = election_said(lock, &until_ms);
    own = rlki_queue_holder(lock);
    if (own != NULL)
        len = rlk_lock_token(own, token, sizeof token);
    if (own != NULL && (holder == NULL || holder->answered_ms <= own->as.hold.since_ms)) {
        until_ms = rlk_valid_until_ms(own);
    } else if (holder != NULL) { /* said since */
        if (memcmp(token, holder->token, sizeof token) != 0)
            own = NULL;
        memcpy(token, holder->token, sizeof token);
        len = holder->token_len;
    } else {
        leader->known = false;
        leader->ours = false;
        return RLK_NOT_HELD;
    }
    if (own != NULL)
        leader->since_ms = own->as.hold.since_ms;
    else if (!leader->known || memcmp(leader->token, token, sizeof token) != 0)
        leader->since_ms = lock->client->clock_ms;
    memcpy(leader->token, token, sizeof token);
    leader->known = true;
    leader->ours = own != NULL;
    leader->name_len = election_name_len(len);
    leader->until_ms = until_ms;
    return RLK_OK;
}
