/* SPDX-License-Identifier: MIT
 *
 * lock_tracked.h: the lock's harness with servers that tell of changes, and with somebody who has
 * the key already.
 */
#ifndef TEST_LOCK_TRACKED_H
#define TEST_LOCK_TRACKED_H

#include "harness.h"

#include <string.h>

#define FOREIGN "foreign"

/* harness_start with several clients, on servers that understand CLIENT TRACKING; h->config is
 * kept.
 */
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
    for (i = 0; i < h->nodes; i++)
        harness_serve(h, i);
    harness_expect_no_event(h);
}

/* The same behind a foreign key on one server. */
static inline void tracked_behind(harness *h, rlk_lock *lock, int64_t ttl_ms)
{
    memset(&h->config, 0, sizeof h->config);
    tracked_start(h, 1, 1);
    tracked_wait(h, lock, NULL, 1, ttl_ms);
    assert_int_equal(h->servers[0].count[HARNESS_SET], 1);
    assert_int_equal(h->servers[0].count[HARNESS_PTTL], 1);
}

/* The same before the server has answered anything. */
static inline void tracked_unanswered(harness *h, rlk_lock *lock)
{
    memset(&h->config, 0, sizeof h->config);
    tracked_start(h, 1, 1);
    harness_lock(h, lock, 30000);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(h, 0, HARNESS_SET);
}

/* Lets the time pass that a lock is held before it is watched. The compares that begin the watch,
 * one a node, are answered. */
static inline void tracked_watch(harness *h, int64_t ms)
{
    unsigned i;

    harness_advance(h, ms);
    harness_expect_all(h, 0, h->nodes, HARNESS_CHECK);
    for (i = 0; i < h->nodes; i++)
        harness_serve(h, i);
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
