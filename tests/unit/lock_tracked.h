/* SPDX-License-Identifier: MIT
 *
 * lock_tracked.h: the lock's bench with servers that tell of changes, and with somebody who has the
 * key already.
 */
#ifndef TEST_LOCK_TRACKED_H
#define TEST_LOCK_TRACKED_H

#include "bench.h"

#include <string.h>

#define FOREIGN "foreign"

/* bench_start with several clients, on servers that understand CLIENT TRACKING; b->config is kept.
 */
static inline void tracked_start(bench *b, unsigned nodes, unsigned clients)
{
    unsigned c;
    unsigned i;
    bench_open(b, nodes, clients);
    for (i = 0; i < nodes; i++)
        b->servers[i].tracking = true;
    bench_advance(b, 0);
    for (c = 0; c < clients; c++)
        for (i = 0; i < nodes; i++)
            assert_true(rlk_conn_is_tracking(&b->members[c].links[i].conn));
}

static inline void tracked_automatic(bench *b, bool automatic)
{
    unsigned i;
    for (i = 0; i < b->nodes; i++)
        b->servers[i].automatic = automatic;
}

/* A lock that waits without end behind a foreign key of that TTL, on the first `held` nodes. All
 * that it has sent is answered. config NULL: a TTL of 30 s, defaults. */
static inline void tracked_wait(bench *b, rlk_lock *lock, const rlk_lock_config *config,
                                unsigned held, int64_t ttl_ms)
{
    unsigned i;
    for (i = 0; i < held; i++)
        bench_put(b, i, BENCH_KEY, FOREIGN, ttl_ms);
    assert_result(rlk_lock_init(lock, b->client, BENCH_KEY, config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < b->nodes; i++)
        bench_serve(b, i);
    bench_expect_no_event(b);
}

/* The same behind a foreign key on one server. */
static inline void tracked_behind(bench *b, rlk_lock *lock, int64_t ttl_ms)
{
    memset(&b->config, 0, sizeof b->config);
    tracked_start(b, 1, 1);
    tracked_wait(b, lock, NULL, 1, ttl_ms);
    assert_int_equal(b->servers[0].count[BENCH_SET], 1);
    assert_int_equal(b->servers[0].count[BENCH_PTTL], 1);
}

/* The same before the server has answered anything. */
static inline void tracked_unanswered(bench *b, rlk_lock *lock)
{
    memset(&b->config, 0, sizeof b->config);
    tracked_start(b, 1, 1);
    bench_lock(b, lock, 30000);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    (void)bench_expect(b, 0, BENCH_SET);
}

/* Milliseconds until a command of that kind comes to the node, at most `ms`; -1: none came. */
static inline int64_t tracked_until(bench *b, unsigned node, bench_kind kind, int64_t ms)
{
    unsigned count = b->servers[node].count[kind];
    int64_t begin_ms = b->now_ms;
    bench_run(b);
    while (b->servers[node].count[kind] == count && b->now_ms < begin_ms + ms)
        bench_advance(b, 1);
    return b->servers[node].count[kind] == count ? -1 : b->now_ms - begin_ms;
}

#endif
