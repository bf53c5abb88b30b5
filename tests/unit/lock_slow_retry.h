/* SPDX-License-Identifier: MIT
 *
 * lock_slow_retry.h: locks of one client that retry after 400 to 500 ms, so that a test can
 * distinguish a retry from anything else. After one local hand-off the wait queue yields.
 */
#ifndef TEST_LOCK_SLOW_RETRY_H
#define TEST_LOCK_SLOW_RETRY_H

#include "harness.h"

#include <string.h>

#define SLOW_TTL       30000
#define SLOW_RETRY_MIN 400
#define SLOW_RETRY_MAX 500

static inline void slow_open(harness *h)
{
    memset(&h->config, 0, sizeof h->config);
    h->config.max_handoffs = 1;
    harness_open(h, 1, 1);
    harness_advance(h, 0);
}

static inline void slow_init(harness *h, rlk_lock *lock, bool renewing)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = SLOW_TTL;
    config.retry_min_ms = SLOW_RETRY_MIN;
    config.retry_max_ms = SLOW_RETRY_MAX;
    config.auto_renew = renewing;
    assert_result(rlk_lock_init(lock, h->client, HARNESS_KEY, &config), RLK_OK);
}

/* A lock that is held. */
static inline void slow_hold(harness *h, rlk_lock *lock, bool renewing)
{
    slow_init(h, lock, renewing);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_serve(h, 0);
    harness_expect_event(h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A lock that waits, and whose commands are answered. */
static inline void slow_wait(harness *h, rlk_lock *lock)
{
    slow_init(h, lock, false);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    harness_serve(h, 0);
    harness_expect_no_event(h);
}

/* A lock whose force_release is cancelled behind its DEL, which is not answered yet. */
static inline void slow_abandon_del(harness *h, rlk_lock *lock)
{
    harness_lock(h, lock, SLOW_TTL);
    assert_result(rlk_force_release_start(lock), RLK_PENDING);
    (void)harness_expect(h, 0, HARNESS_DEL);
    assert_result(rlk_cancel(lock), RLK_OK);
    harness_expect_result(h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);
}

/* Answers the oldest command, and no more. */
static inline void slow_answer_one(harness *h)
{
    harness_run(h);
    assert_true(harness_execute(harness_link_of(h, 0)));
    assert_true(harness_deliver(harness_link_of(h, 0)));
    harness_run(h);
}

#endif
