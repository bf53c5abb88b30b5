/* SPDX-License-Identifier: MIT
 *
 * renewal.h: a lock that is held on 1 or 3 servers behind proxies, and renews itself. Include it in
 * one file of a program.
 */
#ifndef TEST_RENEWAL_H
#define TEST_RENEWAL_H

#include "outage.h"

#include <string.h>

#define RENEWAL __attribute__((unused)) static

#define KEY "foobar"

/* Renewed every 300 ms, so that one may be late by that, and by as much again. */
#define SHORT_TTL_MS 900

RENEWAL proxied world;
RENEWAL rlk_lock lock;

RENEWAL const size_t sizes[] = {1, 3};

RENEWAL rlk_posix_client *client(void)
{
    return &world.set.posix;
}

/* A client with a lock that is held on all servers; the rest may be NULL. TCP, so that cuts are
 * RST. */
RENEWAL void start_with(size_t count, const server_config *servers, const rlk_lock_config *config,
                        const rlk_posix_options *options)
{
    proxied_start(&world, count, true, servers, options);
    proxied_lock_init(&world, &lock, KEY, config);
    proxied_acquire(&world, &lock, KEY);
    proxied_calm(&world);
}

RENEWAL void start(size_t count, const rlk_lock_config *config)
{
    start_with(count, NULL, config, NULL);
}

RENEWAL void stop(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
    support_teardown(NULL);
}

/* The next event, which is not the result of an operation. */
RENEWAL rlk_event next_event(void)
{
    rlk_event event;

    if (!loop_next_event(client(), &event, scaled(10000)))
        support_fail("no event came");
    assert_ptr_equal(event.lock, &lock);
    assert_int_equal(event.operation, RLK_OP_NONE);
    return event;
}

/* An outage of all servers. */
RENEWAL void begin(const outage *what)
{
    outage_begin(what, &world, 0, world.set.count);
}

RENEWAL void end(const outage *what)
{
    outage_end(what, &world, 0, world.set.count);
}

RENEWAL int64_t pttl(size_t node)
{
    return server_integer(world.set.servers[node], "PTTL " KEY);
}

/* The least PTTL of all nodes but the `spare` lowest: what a quorum has. */
RENEWAL int64_t quorum_pttl(void)
{
    int64_t best[RLK_MAX_NODES];
    size_t count = world.set.count;
    size_t i;
    size_t k;

    for (i = 0; i < count; i++) {
        int64_t ttl_ms = pttl(i);

        for (k = i; k > 0 && best[k - 1] < ttl_ms; k--)
            best[k] = best[k - 1];
        best[k] = ttl_ms;
    }
    return best[client()->client.quorum - 1];
}

#endif
