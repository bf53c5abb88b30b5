/* SPDX-License-Identifier: MIT
 *
 * lock_queue.h: locks of one client in a wait queue. They retry after 400 to 500 ms, so that a test
 * can distinguish a retry from a hand-off.
 */
#ifndef TEST_LOCK_QUEUE_H
#define TEST_LOCK_QUEUE_H

#include "lock_tracked.h"

#include <string.h>

#define QUEUE_RETRY_MIN 400
#define QUEUE_RETRY_MAX 500

#ifdef RLK_RESP2_ONLY
#define QUEUE_TRACKS false
#else
#define QUEUE_TRACKS true
#endif

/* for (k = 0; support_row(k, QUEUE_KINDS); k++): servers that do not notify, and servers that do.
 * It makes no difference to a local hand-off. */
#define QUEUE_KINDS (QUEUE_TRACKS ? 2u : 1u)

/* Connects clients to servers, which notify or not; h->config is kept. */
static inline void queue_connect(harness *h, unsigned nodes, unsigned clients, bool tracking)
{
    if (tracking) {
        tracked_start(h, nodes, clients);
    } else {
        harness_open(h, nodes, clients);
        harness_advance(h, 0);
    }
}

/* One client, with this limit of local hand-offs; 0: the default. */
static inline void queue_open(harness *h, unsigned nodes, bool tracking, unsigned max_handoffs)
{
    memset(&h->config, 0, sizeof h->config);
    h->config.max_handoffs = max_handoffs;
    queue_connect(h, nodes, 1, tracking);
}

static inline rlk_lock_config queue_config(void)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.retry_min_ms = QUEUE_RETRY_MIN;
    config.retry_max_ms = QUEUE_RETRY_MAX;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    return config;
}

/* A lock of a client that begins to acquire. */
static inline void queue_begin(rlk_client *client, rlk_lock *lock, const char *key, int64_t wait_ms,
                               const rlk_lock_config *config)
{
    assert_result(rlk_lock_init(lock, client, key, config), RLK_OK);
    assert_result(rlk_acquire_start(lock, wait_ms), RLK_PENDING);
}

/* The next lock of the queue. */
static inline void queue_add(harness *h, rlk_lock *lock, int64_t wait_ms)
{
    rlk_lock_config config = queue_config();

    config.user = lock;
    queue_begin(h->client, lock, HARNESS_KEY, wait_ms, &config);
}

/* The next lock of the queue of some key. It rechecks within a second and is never watched, so that
 * a test can delete its key without a notification. */
static inline void queue_add_unwatched(rlk_client *client, rlk_lock *lock, const char *key)
{
    rlk_lock_config config = queue_config();

    config.recheck_max_ms = 1000;
    config.watch_after_ms = RLK_TIME_LIMIT_MAX;
    queue_begin(client, lock, key, RLK_FOREVER, &config);
}

/* A queue of n locks, in this order, behind a foreign key. */
static inline void queue_fill(harness *h, rlk_lock *locks, unsigned n)
{
    unsigned i;

    for (i = 0; i < h->nodes; i++)
        harness_put(h, i, HARNESS_KEY, FOREIGN, DAY_MS);
    for (i = 0; i < n; i++)
        queue_add(h, &locks[i], RLK_FOREVER);
    harness_serve_all(h);
    assert_int_equal(h->servers[0].count[HARNESS_SET], 1);
}

/* The foreign key goes, and the first lock acquires with its next attempt. */
static inline void queue_first_acquires(harness *h, const rlk_lock *lock)
{
    unsigned n;

    for (n = 0; n < h->nodes; n++)
        harness_remove(h, n, HARNESS_KEY);
    assert_int_not_equal(tracked_until(h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS), -1);
    harness_serve_all(h);
    harness_expect_event(h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(lock));
}

/* A lock releases. Returns true if the next acquires at once. */
static inline bool queue_hands_off(harness *h, rlk_lock *lock, const rlk_lock *next)
{
    assert_result(rlk_release_start(lock), RLK_PENDING);
    harness_serve(h, 0);
    harness_expect_result(h, RLK_OP_RELEASE, RLK_OK);
    if (!rlk_is_held(next))
        return false;
    harness_expect_event(h, RLK_EV_ACQUIRED, RLK_OK);
    return true;
}

/* The same; the next lock acquires at once, by one SET, and nothing else happens. */
static inline void queue_expect_hand_off(harness *h, rlk_lock *lock, const rlk_lock *next)
{
    unsigned sets = h->servers[0].count[HARNESS_SET];
    int64_t now_ms = h->now_ms;

    assert_true(queue_hands_off(h, lock, next));
    harness_expect_no_event(h);
    assert_int_equal(next->cause, RLK_CAUSE_LOCAL);
    assert_int_equal(h->servers[0].count[HARNESS_SET], sets + 1);
    assert_int_equal(h->now_ms, now_ms);
}

#endif
