/* SPDX-License-Identifier: MIT
 *
 * lock_renewing.h: a harness, and a held lock on it that the library renews.
 */
#ifndef TEST_LOCK_RENEWING_H
#define TEST_LOCK_RENEWING_H

#include "harness.h"

/* Of a horizon: 1 % and 2 ms, and one for rounding. */
#define DRIFT(ms) ((ms) / 100 + 3)
#define TTL       30000
#define LEASE     (TTL - DRIFT(TTL))
#define DUE       (TTL / 3) /* after the last one */

static harness h;

static inline rlk_lock_config renewing(void)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = TTL;
    config.node_timeout_ms = 500;
    config.auto_renew = true;
    return config;
}

/* Held since h.now_ms on n nodes; nothing is under way. */
static inline void hold_with(rlk_lock *lock, unsigned n, const rlk_lock_config *config)
{
    unsigned i;

    harness_start(&h, n);
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    for (i = 0; i < n; i++)
        harness_serve(&h, i);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_quiet(&h, n);
}

static inline void hold(rlk_lock *lock, unsigned n)
{
    rlk_lock_config config = renewing();

    hold_with(lock, n, &config);
}

/* The next renewal is under way, on each node. */
static inline void renewal_comes(unsigned n)
{
    harness_advance(&h, DUE - 1);
    harness_expect_quiet(&h, n);
    harness_advance(&h, 1);
    harness_expect_all(&h, 0, n, HARNESS_RAISE);
}

#endif
