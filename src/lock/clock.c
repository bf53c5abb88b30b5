/* SPDX-License-Identifier: MIT */
#include "clock.h"

bool rlki_client_same_process(const rlk_client *client)
{
    const rlk_env *env = &client->env;

    return env->same_process == NULL || env->same_process(env->context, client);
}

rlk_result rlki_client_enter(const rlk_client *client)
{
    if (client == NULL)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return RLK_E_CLOSED;
    return rlki_client_same_process(client) ? RLK_OK : RLK_E_FORKED;
}

int64_t rlki_client_advance(rlk_client *client, int64_t now_ms)
{
    if (now_ms > client->now_ms)
        client->now_ms = now_ms;
    return client->now_ms;
}

int64_t rlki_client_now(rlk_client *client)
{
    return rlki_client_advance(client, client->env.now_ms(client->env.context));
}

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

void rlki_ready(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    if (lock->ready_next != NULL)
        return;
    lock->ready_next = lock;
    if (client->ready_tail != NULL)
        client->ready_tail->ready_next = lock;
    else
        client->ready_head = lock;
    client->ready_tail = lock;
}

rlk_lock *rlki_ready_take(rlk_client *client)
{
    rlk_lock *lock = client->ready_head;

    if (lock == NULL)
        return NULL;
    client->ready_head = lock->ready_next != lock ? lock->ready_next : NULL;
    if (client->ready_head == NULL)
        client->ready_tail = NULL;
    lock->ready_next = NULL;
    return lock;
}
