/* SPDX-License-Identifier: MIT
 *
 * lock_tracked.h: the lock's harness with servers that notify of changes, and with a foreign token
 * that has the key already.
 */
#ifndef TEST_LOCK_TRACKED_H
#define TEST_LOCK_TRACKED_H

#include "harness.h"

#include "lock/state.h"

#include <string.h>

#define FOREIGN "foreign"
#define DAY_MS  (INT64_C(24) * 3600 * 1000)

/* harness_start with several clients, on servers that understand CLIENT TRACKING. h->config is
 * kept. */
static inline void tracked_start(harness *h, unsigned nodes, unsigned clients)
{
    unsigned c;
    unsigned i;

    harness_open(h, nodes, clients);
    for (i = 0; i < nodes; i++)
        h->servers[i].tracking = true;
    harness_advance(h, 0);
    for (c = 0; c < clients; c++)
        for (i = 0; i < nodes; i++)
            assert_true(rlk_conn_is_tracking(&h->members[c].links[i].conn));
}

/* The same with defaults and one client. */
static inline void tracked_open(harness *h, unsigned nodes)
{
    memset(&h->config, 0, sizeof h->config);
    tracked_start(h, nodes, 1);
}

static inline void tracked_automatic(harness *h, bool automatic)
{
    unsigned i;

    for (i = 0; i < h->nodes; i++)
        h->servers[i].automatic = automatic;
}

/* A lock that waits without end behind a foreign key of that TTL, on the first `held` nodes. All
 * that it has sent is answered. config NULL: a TTL of 30 s, defaults, no reports that it waits. */
static inline void tracked_wait(harness *h, rlk_lock *lock, const rlk_lock_config *config,
                                unsigned held, int64_t ttl_ms)
{
    rlk_lock_config quiet = rlk_lock_config_default();
    unsigned i;

    quiet.report_ms = RLK_TIME_LIMIT_MAX;
    for (i = 0; i < held; i++)
        harness_put(h, i, HARNESS_KEY, FOREIGN, ttl_ms);
    assert_result(rlk_lock_init(lock, h->client, HARNESS_KEY, config != NULL ? config : &quiet),
                  RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    harness_serve_all(h);
    harness_expect_no_event(h);
}

/* The same behind a foreign key on one server. */
static inline void tracked_behind(harness *h, rlk_lock *lock, int64_t ttl_ms)
{
    tracked_open(h, 1);
    tracked_wait(h, lock, NULL, 1, ttl_ms);
    assert_int_equal(h->servers[0].count[HARNESS_SET], 1);
    assert_int_equal(h->servers[0].count[HARNESS_PTTL], 1);
}

/* A lock that waits without end, and the SET of its first attempt is not answered yet. */
static inline void tracked_unanswered(harness *h, rlk_lock *lock)
{
    tracked_open(h, 1);
    harness_lock(h, lock, 30000);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(h, 0, HARNESS_SET);
}

/* Lets the time pass that a lock is held before it is watched. The compares that begin the watch,
 * one a node, are answered. */
static inline void tracked_watch(harness *h, int64_t ms)
{
    harness_advance(h, ms);
    harness_expect_all(h, 0, h->nodes, HARNESS_CHECK);
    harness_serve_all(h);
}

/* The lease of a lock that tracked_hold has acquired. */
typedef struct tracked_lease {
    int64_t held_ms;  /* the time when all was answered, */
    int64_t lease_ms; /* and what was left of the lease then */
} tracked_lease;

/* A lock that is held on all nodes, and watched there. All is answered, and no compare counted. */
static inline tracked_lease tracked_hold(harness *h, rlk_lock *lock, unsigned nodes)
{
    rlk_lock_config config = rlk_lock_config_default();
    tracked_lease lease;
    unsigned i;

    config.watch_after_ms = 1;
    tracked_open(h, nodes);
    assert_result(rlk_lock_init(lock, h->client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_serve_all(h);
    harness_expect_event(h, RLK_EV_ACQUIRED, RLK_OK);
    tracked_watch(h, 1);
    for (i = 0; i < nodes; i++)
        h->servers[i].count[HARNESS_CHECK] = 0;
    harness_expect_quiet(h, nodes);
    lease.held_ms = h->now_ms;
    lease.lease_ms = rlk_remaining_ms(lock);
    return lease;
}

/* The loss of that lock is the next event, and the last. */
static inline void tracked_expect_lost(harness *h, const rlk_lock *lock)
{
    harness_expect_event(h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(h);
    assert_false(rlk_is_held(lock));
}

/* A lock of this configuration that waits behind a foreign key on `held` of n nodes. The pause
 * after its failed attempt is over. The nodes that the attempt did not wait for have been asked.
 * Its own tokens are gone. */
static inline void tracked_wait_behind_by(harness *h, rlk_lock *lock, const rlk_lock_config *config,
                                          unsigned n, unsigned held, int64_t ttl_ms)
{
    tracked_open(h, n);
    tracked_wait(h, lock, config, held, ttl_ms);
    harness_advance(h, RLK_RETRY_MAX_MS);
    harness_serve_all(h);
    assert_int_equal(lock->phase, RLKI_PHASE_WATCH);
    harness_expect_quiet(h, n);
    assert_int_equal(harness_holding(h, HARNESS_KEY, NULL), held);
}

/* The same with the configuration of tracked_wait. */
static inline void tracked_wait_behind(harness *h, rlk_lock *lock, unsigned n, unsigned held,
                                       int64_t ttl_ms)
{
    tracked_wait_behind_by(h, lock, NULL, n, held, ttl_ms);
}

/* The same of a lock that is notified by pushes alone: no node is rechecked in between. */
static inline void tracked_wait_for_pushes(harness *h, rlk_lock *lock, unsigned n, unsigned held)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.report_ms = RLK_TIME_LIMIT_MAX;
    config.recheck_max_ms = RLK_TIME_LIMIT_MAX;
    tracked_wait_behind_by(h, lock, &config, n, held, DAY_MS);
}

/* An attempt of that waiter begins, at once or, where the gate is held, after a short pause. It
 * acquires. cause RLK_CAUSES: any. */
static inline void tracked_expect_attempt(harness *h, const rlk_lock *lock, rlk_cause cause)
{
    if (lock->phase == RLKI_PHASE_PAUSE)
        harness_advance(h, RLK_RETRY_MIN_MS / 5);
    assert_int_equal(lock->phase, RLKI_PHASE_ATTEMPT);
    if (cause != RLK_CAUSES)
        assert_int_equal(lock->cause, cause);
    harness_serve_all(h);
    harness_serve_all(h);
    harness_expect_event(h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Milliseconds until a command of that kind comes to the node, at most `ms`; -1: none came. */
static inline int64_t tracked_until(harness *h, unsigned node, harness_kind kind, int64_t ms)
{
    unsigned count = h->servers[node].count[kind];
    int64_t begin_ms = h->now_ms;

    harness_run(h);
    while (h->servers[node].count[kind] == count && h->now_ms < begin_ms + ms)
        harness_advance(h, 1);
    return h->servers[node].count[kind] == count ? -1 : h->now_ms - begin_ms;
}

#endif
