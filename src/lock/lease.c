/* SPDX-License-Identifier: MIT */
#include "lease.h"
#include "clock.h"

/* 2^32 / 10^6, rounded up: parts per million to a binary fraction, without a 64-bit division. */
#define LEASE_PPM_UNIT 4295u

uint32_t rlki_drift(uint32_t horizon_ms, uint32_t drift_ppm, uint32_t drift_ms)
{
    uint64_t part = ((uint64_t)horizon_ms * (drift_ppm * LEASE_PPM_UNIT)) >> 32;
    uint64_t drift = part + 1 + drift_ms;

    return drift > INT32_MAX ? (uint32_t)INT32_MAX : (uint32_t)drift;
}

unsigned rlki_quorum(unsigned nodes)
{
    return nodes / 2 + 1;
}

int32_t rlki_quorum_value(const int32_t *values, unsigned n, unsigned q)
{
    int32_t sorted[RLK_MAX_NODES]; /* descending */
    unsigned i;

    if (RLK_MAX_NODES == 1 || n == 1)
        return values[0];
    sorted[0] = values[0];
    for (i = 1; i < n; i++) {
        unsigned at = i;

        while (at > 0 && sorted[at - 1] < values[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = values[i];
    }
    return sorted[q - 1];
}

RLKI_APART_FOR_SIZE int32_t rlki_later(int32_t time_ms, int32_t duration_ms)
{
    return time_ms > RLKI_NEVER - duration_ms ? RLKI_NEVER : time_ms + duration_ms;
}

RLKI_APART_FOR_SIZE int32_t rlki_from_now(const rlk_lock *lock, uint32_t duration_ms)
{
    return rlki_later(lock->client->now_ms, (int32_t)duration_ms);
}

int32_t rlki_left(const rlk_lock *lock, int32_t time_ms)
{
    return rlki_earlier(time_ms, (uint32_t)lock->client->now_ms);
}

int32_t rlki_confirmed_expiry(int32_t known_ms, bool same_stream, int32_t t0_ms, int32_t now_ms,
                              int32_t p_ms)
{
    int32_t earliest = rlki_later(t0_ms, p_ms);

    if (same_stream && known_ms >= earliest && known_ms <= rlki_later(now_ms, p_ms))
        return known_ms;
    return earliest;
}

uint32_t rlki_client_drift(const rlk_client *client, uint32_t horizon_ms)
{
    return rlki_drift(horizon_ms, client->drift_ppm, client->drift_ms);
}

/* ---- One node ---- */

int32_t rlki_node_until(const rlk_client *client, const rlk_node_lock *node)
{
    return rlki_earlier(node->expiry_ms, rlki_client_drift(client, node->horizon_ms));
}

extern inline void rlki_node_confirm(rlk_node_lock *node, int32_t expiry_ms, int32_t t0_ms,
                                     uint32_t generation);

/*
 * What was known stays with its own horizon: the drift that it counts with runs from when it was
 * asked for. A raise takes the answer instead, where that leaves more: it has hardly any drift yet,
 * and that of a long extend may be more than a TTL.
 */
void rlki_node_confirm_left(const rlk_client *client, rlk_node_lock *node, int32_t asked_ms,
                            int32_t t0_ms, int32_t p_ms, uint32_t generation)
{
    bool same = node->generation == generation;
    bool checked = asked_ms == RLKI_EXPIRED;
    int32_t known_ms = rlki_node_until(client, node);
    uint32_t horizon_ms = node->horizon_ms;
    int32_t said_ms = rlki_later(t0_ms, p_ms);
    int32_t most_ms = node->expiry_ms > asked_ms ? node->expiry_ms : asked_ms;
    int32_t expiry_ms = rlki_confirmed_expiry(node->expiry_ms, same, t0_ms, client->now_ms, p_ms);
    bool stays;

    if (expiry_ms > most_ms)
        expiry_ms = most_ms;
    stays = expiry_ms == node->expiry_ms && expiry_ms != said_ms;
    rlki_node_confirm(node, said_ms < most_ms ? said_ms : most_ms, t0_ms, generation);
    if (stays && (checked || rlki_node_until(client, node) <= known_ms)) {
        node->expiry_ms = expiry_ms;
        node->horizon_ms = horizon_ms;
    }
}

/* ---- All nodes of a lock ---- */

int32_t rlki_lease_until(const rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    int32_t until_ms[RLK_MAX_NODES];
    unsigned i = 0;

    do /* one at least, as in rlki_lease_expiry */
        until_ms[i] = rlki_node_until(client, &lock->nodes[i]);
    while (++i < rlki_nodes(client));
    return rlki_quorum_value(until_ms, rlki_nodes(client), rlki_needed(client));
}

void rlki_lease_validate(rlk_lock *lock)
{
    rlk_hold *hold = &lock->as.hold;
    int32_t limit_ms = rlki_earlier(hold->claim_ms, hold->drift_ms);

    hold->valid_ms = rlki_lease_until(lock);
    if (hold->valid_ms > limit_ms)
        hold->valid_ms = limit_ms;
}

int32_t rlki_lease_expiry(const rlk_lock *lock)
{
    int32_t expiry_ms[RLK_MAX_NODES];
    int32_t quorum_ms;
    unsigned i = 0;

    do /* one at least: compilers that inline rlki_quorum_value warn of none */
        expiry_ms[i] = lock->nodes[i].expiry_ms;
    while (++i < rlki_nodes(lock->client));
    quorum_ms = rlki_quorum_value(expiry_ms, rlki_nodes(lock->client), rlki_needed(lock->client));
    return quorum_ms < lock->as.hold.claim_ms ? quorum_ms : lock->as.hold.claim_ms;
}

void rlki_lease_claim(rlk_lock *lock, int32_t expiry_ms, uint32_t horizon_ms)
{
    lock->as.hold.claim_ms = expiry_ms;
    lock->as.hold.drift_ms = rlki_client_drift(lock->client, horizon_ms);
}

void rlki_lease_ask(rlk_lock *lock, int32_t target_ms)
{
    lock->as.hold.target_ms = target_ms;
    lock->as.hold.horizon_ms = (uint32_t)target_ms - (uint32_t)lock->client->now_ms;
}

/* The claim cuts nothing off: extends that no quorum answered lengthen the lease all the same. */
void rlki_lease_begin(rlk_lock *lock, int32_t valid_ms)
{
    rlk_hold *hold = &lock->as.hold;

    hold->dirty = 0;
    hold->read = 0;
    hold->since_ms = lock->client->clock_ms;
    hold->renew_ms = RLKI_NEVER;
    hold->watch_ms = rlki_from_now(lock, lock->watch_after_ms);
    rlki_lease_ask(lock, lock->client->now_ms);
    hold->claim_ms = rlki_from_now(lock, (uint32_t)RLK_TTL_MAX);
    hold->drift_ms = 0;
    hold->valid_ms = valid_ms;
}

/* ---- Renewal ---- */

int32_t rlki_lease_renew_at(const rlk_lock *lock)
{
    uint32_t lease_ms = lock->ttl_ms - rlki_client_drift(lock->client, lock->ttl_ms);
    uint32_t left_ms = lease_ms / 3;

    if (lease_ms - left_ms > lock->ttl_ms / 3)
        left_ms = lease_ms - lock->ttl_ms / 3;
    return rlki_earlier(lock->as.hold.valid_ms, left_ms);
}

bool rlki_lease_gains(const rlk_lock *lock, int32_t target_ms)
{
    /* > 0: a TTL from now, or beyond the expiry of what is held */
    uint32_t horizon_ms = (uint32_t)target_ms - (uint32_t)lock->client->now_ms;

    return rlki_earlier(target_ms, rlki_client_drift(lock->client, horizon_ms)) >
           lock->as.hold.valid_ms;
}

int32_t rlki_lease_renew_target(const rlk_lock *lock)
{
    int32_t target_ms = rlki_from_now(lock, lock->ttl_ms);
    int32_t cap_ms = rlki_client_time_of(lock->client, lock->as.hold.since_ms + lock->max_hold_ms);

    if (lock->max_hold_ms > 0 && cap_ms < target_ms) {
        target_ms = cap_ms;
        if (cap_ms <= rlki_lease_expiry(lock)) /* it has it: only its drift would shrink */
            return RLKI_NEVER;
    }
    return rlki_lease_gains(lock, target_ms) ? target_ms : RLKI_NEVER;
}
