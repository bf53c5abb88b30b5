/* SPDX-License-Identifier: MIT
 *
 * Numbers that were refused, and those that fit: for the texts of rlk_client_error and
 * rlk_lock_error.
 */
#include "refusal.h"
#include "../net/limit.h"
#include "lease.h"
#include "text_out.h"

bool rlki_client_take_limit(rlk_client *client, uint32_t *out_ms, int64_t value_ms,
                            uint32_t default_ms, const char *name)
{
    if (rlki_limit_take(out_ms, value_ms, default_ms))
        return true;
    RLKI_REFUSE(client, name, value_ms, 0, RLK_TIME_LIMIT_MAX);
    return false;
}

#ifndef RLK_NO_TEXT

void rlki_refuse(rlk_client *client, const char *name, int64_t number, uint32_t least,
                 uint32_t most)
{
    client->refusal.name = name;
    client->refusal.number = number;
    client->refusal.least = least;
    client->refusal.most = most;
}

uint32_t rlki_ttl_least(const rlk_client *client, int64_t node_timeout_ms)
{
    uint32_t ttl_ms = 0;
    uint32_t next_ms;

    /* Drift is half of the TTL at most, and a default node_timeout_ms a third: each step leaves at
     * most five sixths of the way. A node_timeout_ms that is too long is refused next: the longest
     * is meant. */
    for (;;) {
        uint32_t third_ms = ttl_ms / 3;
        uint32_t try_ms = third_ms < RLK_NODE_TIMEOUT_MAX_MS ? third_ms : RLK_NODE_TIMEOUT_MAX_MS;

        if (node_timeout_ms > 0)
            try_ms = (uint32_t)(node_timeout_ms < RLK_TIME_LIMIT_MAX ? node_timeout_ms
                                                                     : RLK_TIME_LIMIT_MAX);
        next_ms = rlki_client_drift(client, ttl_ms) + try_ms + 1;
        if (next_ms <= ttl_ms)
            return ttl_ms;
        ttl_ms = next_ms;
    }
}

/* "; ttl_ms is 1000, and must be from 2024 to 2073600000", "... must be at least 2708" */
static void refusal_put(text_out *out, const rlk_refusal *refusal)
{
    bool negative = refusal->number < 0;
    int64_t size = negative ? -(refusal->number + 1) : refusal->number; /* of INT64_MIN too */

    rlki_text_string(out, "; ");
    rlki_text_string(out, refusal->name);
    if (refusal->most == 0) /* words alone */
        return;
    if (size < (int64_t)UINT32_MAX) {
        rlki_text_string(out, negative ? " is -" : " is ");
        rlki_text_number(out, (uint32_t)size + negative);
        rlki_text_string(out, ", and");
    }
    rlki_text_string(out, refusal->most == UINT32_MAX ? " must be at least " : " must be from ");
    rlki_text_number(out, refusal->least);
    if (refusal->most == UINT32_MAX)
        return;
    rlki_text_string(out, " to ");
    rlki_text_number(out, refusal->most);
}

void rlki_text_refusal(text_out *out, const rlk_client *client)
{
    if (client->refusal.name != NULL)
        refusal_put(out, &client->refusal);
}

void rlki_text_conn_limit(text_out *out, const rlk_conn *conn, rlk_result error)
{
    rlk_refusal refusal;

    refusal.name = "tx_cap";
    refusal.number = (int64_t)rlk_conn_tx_cap(conn);
    refusal.least = (uint32_t)rlk_conn_tx_needed(conn);
    refusal.most = UINT32_MAX;
    if (error == RLK_E_CREDENTIALS && refusal.least > 0)
        refusal_put(out, &refusal);
}

void rlki_text_lock_limit(text_out *out, const rlk_lock *lock, unsigned operation,
                          rlk_result result)
{
    const rlk_client *client = lock->client;
    int64_t left_ms;
    rlk_refusal refusal;

    if (result != RLK_E_TTL || lock->state != RLKI_HELD)
        return;
    left_ms = (int64_t)rlki_lease_expiry(lock) - client->now_ms;
    refusal.number = INT64_MAX; /* the caller has it */
    refusal.most = (uint32_t)RLK_TTL_MAX;
    if (operation == RLK_OP_EXTEND) {
        refusal.name = "added_ms";
        refusal.least = 1;
        if (left_ms > 0)
            refusal.most = left_ms < RLK_TTL_MAX ? (uint32_t)(RLK_TTL_MAX - left_ms) : 0;
    } else {
        refusal.name = "ttl_ms";
        refusal.least = rlki_ttl_least(client, lock->node_timeout_ms);
    }
    if (refusal.most == 0) {
        rlki_text_string(out, "; the lease is as long as it may be");
        return;
    }
    refusal_put(out, &refusal);
    if (operation == RLK_OP_EXTEND)
        return;
    rlki_text_string(out, " with a node_timeout_ms of ");
    rlki_text_number(out, lock->node_timeout_ms);
}

#endif /* RLK_NO_TEXT */
