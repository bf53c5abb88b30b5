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

extern inline int64_t rlki_client_clock_of(const rlk_client *client, int32_t time_ms);

int32_t rlki_client_time_of(const rlk_client *client, int64_t clock_ms)
{
    int64_t time_ms = clock_ms - (client->clock_ms - client->now_ms);

    if (time_ms < RLKI_EXPIRED)
        return RLKI_EXPIRED;
    return time_ms < RLKI_NEVER ? (int32_t)time_ms : RLKI_NEVER - 1;
}

extern inline int32_t rlki_earlier(int32_t time_ms, uint32_t duration_ms);

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
