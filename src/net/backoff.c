/* SPDX-License-Identifier: MIT
 *
 * Time between two attempts to connect: exponential backoff with full jitter, so that the clients
 * of a server that comes back don't come back in step.
 */
#include "backoff.h"

/* Marsaglia's xorshift, 13/17/5: full period over all states but 0. */
static uint32_t backoff_random(rlk_conn *conn)
{
    uint32_t x = conn->jitter;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    conn->jitter = x;
    return x;
}

void rlki_backoff_reset(rlk_conn *conn)
{
    conn->backoff_ms =
        conn->backoff_min_ms < conn->backoff_max_ms ? conn->backoff_min_ms : conn->backoff_max_ms;
}

uint32_t rlki_backoff_next(rlk_conn *conn)
{
    uint32_t bound = conn->backoff_ms;
    /* Scaled by multiplication: no division, and no bias that matters here. */
    uint32_t delay = (uint32_t)(((uint64_t)backoff_random(conn) * bound) >> 32);

    conn->backoff_ms = bound > conn->backoff_max_ms / 2 ? conn->backoff_max_ms : bound * 2;
    return delay + 1;
}
