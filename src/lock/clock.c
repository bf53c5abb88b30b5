/* SPDX-License-Identifier: MIT */
#include "clock.h"

extern inline bool rlki_client_same_process(const rlk_client *client);

rlk_result rlki_client_enter(const rlk_client *client)
{
    if (client == NULL)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return RLK_E_CLOSED;
    return rlki_client_same_process(client) ? RLK_OK : RLK_E_FORKED;
}

extern inline void rlki_client_changing(rlk_client *client);

extern inline int64_t rlki_client_advance(rlk_client *client, int64_t now_ms);

extern inline int64_t rlki_client_now(rlk_client *client);

uint32_t rlki_client_jitter(rlk_client *client, uint32_t min, uint32_t max)
{
    uint32_t x = client->jitter;

    x ^= x << 13; /* xorshift32 (Marsaglia 2003) */
    x ^= x >> 17;
    x ^= x << 5;
    client->jitter = x;
    return max > min ? min + x % (max - min + 1) : min;
}

uint32_t rlki_lock_pause(const rlk_lock *lock)
{
    return rlki_client_jitter(lock->client, lock->retry_min_ms, lock->retry_max_ms);
}

extern inline void rlki_ready(rlk_lock *lock);

extern inline rlk_lock *rlki_ready_take(rlk_client *client);
