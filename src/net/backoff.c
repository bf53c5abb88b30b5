/* SPDX-License-Identifier: MIT
 *
 * Time between two attempts to connect: exponential backoff with full jitter, so that the clients
 * of a server that comes back don't come back in step.
 */
#include "backoff.h"

/* Marsaglia's xorshift, 13/17/5: full period over all states but 0. */
static uint32_t backoff_random(rlk_conn *conn)
{
    uint32_t x = conn->backoff.random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    conn->backoff.random = x;
    return x;
}

void rlki_backoff_reset(rlk_conn *conn)
{
    conn->backoff.bound_ms =
        conn->backoff.min_ms < conn->backoff.max_ms ? conn->backoff.min_ms : conn->backoff.max_ms;
}

uint32_t rlki_backoff_next(rlk_conn *conn)
{
    uint32_t bound = conn->backoff.bound_ms;
    /* Scaled by multiplication: no division, and no bias that matters here. */
    uint32_t delay = (uint32_t)(((uint64_t)backoff_random(conn) * bound) >> 32);

    conn->backoff.bound_ms = bound > conn->backoff.max_ms / 2 ? conn->backoff.max_ms : bound * 2;
    return delay + 1;
}
