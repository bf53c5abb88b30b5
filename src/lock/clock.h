/* SPDX-License-Identifier: MIT
 *
 * A client's chance and process: what it has of its environment. And the ready list.
 */
#ifndef RLKI_LOCK_CLOCK_H
#define RLKI_LOCK_CLOCK_H

#include "state.h"

/* True unless this process inherited the client by fork. */
inline bool rlki_client_same_process(const rlk_client *client)
{
    const rlk_env *env = &client->env;

    return env->same_process == NULL || env->same_process(env->context, client);
}

/* RLK_OK of a client that is open, in the process that opened it. */
rlk_result rlki_client_enter(const rlk_client *client);

/* Notifies the driver that a call of the application begins. */
inline void rlki_client_changing(rlk_client *client)
{
    if (client->env.changed != NULL)
        client->env.changed(client->env.context, client);
}

/* Returns a time by the caller's clock: RLK_NEVER for RLKI_NEVER. */
RLKI_INTO_CALLERS int64_t rlki_client_clock_of(const rlk_client *client, int32_t time_ms)
{
    return time_ms == RLKI_NEVER ? RLK_NEVER : client->clock_ms - client->now_ms + time_ms;
}

/* Returns a time of the caller's clock by the own one. One that is too far away for 32 bits comes
 * nearer: it is RLKI_EXPIRED, or comes before RLKI_NEVER. */
int32_t rlki_client_time_of(const rlk_client *client, int64_t clock_ms);

/* Returns time_ms - duration_ms: RLKI_EXPIRED where that is too long ago; RLKI_NEVER stays. */
RLKI_INTO_CALLERS int32_t rlki_earlier(int32_t time_ms, uint32_t duration_ms)
{
    uint32_t left_ms = (uint32_t)time_ms - (uint32_t)RLKI_EXPIRED;

    if (time_ms == RLKI_NEVER)
        return RLKI_NEVER;
    return left_ms < duration_ms ? RLKI_EXPIRED : (int32_t)((int64_t)time_ms - duration_ms);
}

/* Returns a random number from min to max, for pauses: not secret. */
uint32_t rlki_client_jitter(rlk_client *client, uint32_t min, uint32_t max);

/* Returns a random pause between attempts of a lock. */
uint32_t rlki_lock_pause(const rlk_lock *lock);

/* Puts a lock on the list of those that are stepped before the call into the engine ends, or, where
 * a connection encodes on its own (rlk_conn_tx_buf), at the next tick. */
inline void rlki_ready(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    if (lock->ready_next != NULL)
        return;
    lock->ready_next = lock;
    if (client->ready != NULL) {
        lock->ready_next = client->ready->ready_next;
        client->ready->ready_next = lock;
    }
    client->ready = lock;
}

/* Takes the first lock off it; NULL: there is none. */
inline rlk_lock *rlki_ready_take(rlk_client *client)
{
    rlk_lock *last = client->ready;
    rlk_lock *lock;

    if (last == NULL)
        return NULL;
    lock = last->ready_next;
    last->ready_next = lock->ready_next;
    if (lock == last)
        client->ready = NULL;
    lock->ready_next = NULL;
    return lock;
}

#endif
