/* SPDX-License-Identifier: MIT
 *
 * server_restarted.h: 1 or 3 servers that restart under a lock that renews itself and one that
 * waits, and does not recheck within a test. Include it in one file of a program.
 */
#ifndef TEST_SERVER_RESTARTED_H
#define TEST_SERVER_RESTARTED_H

#include "rivals.h"

#include <string.h>

#define RESTARTED __attribute__((unused)) static

RESTARTED rivals both;

RESTARTED const size_t sizes[] = {1, 3};

RESTARTED rlk_posix_client *client(void)
{
    return &both.world.set.posix;
}

RESTARTED void start_with(size_t count, int64_t ttl_ms, const rlk_posix_options *options)
{
    rlk_lock_config config = config_renewing(ttl_ms);

    config.recheck_max_ms = 3600000; /* no waiter rechecks without a notification */
    rivals_open(&both, count, RIVALS_PAST_PROXIES, NULL, options, &config);
}

RESTARTED void start(size_t count, int64_t ttl_ms)
{
    start_with(count, ttl_ms, NULL);
}

RESTARTED bool is_asked(size_t times)
{
    size_t i;

    for (i = 0; i < both.world.set.count; i++)
        if (server_calls(both.world.set.servers[i], "pttl") < (int64_t)times)
            return false;
    return true;
}

/* Waits, on all servers that answer. */
RESTARTED void begin_to_wait(void)
{
    size_t i;

    for (i = 0; i < both.world.set.count; i++)
        server_do(both.world.set.servers[i], "CONFIG RESETSTAT");
    assert_result(rlk_acquire_start(&both.waiter, RLK_FOREVER), RLK_PENDING);
    serve_until(&both.others.posix, is_asked(1));

    loop_quiet(&both.others.posix, 5);
}

RESTARTED void restart(bool keep_data)
{
    size_t i;

    for (i = 0; i < both.world.set.count; i++)
        server_restart(both.world.set.servers[i], keep_data);
}

RESTARTED int64_t kills(void)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < both.world.set.count; i++)
        sum += server_calls(both.world.set.servers[i], "client|kill");
    return sum;
}

/* Serves both clients until one of the second has an event. The first may have none but
 * renewals. */
RESTARTED rlk_event others_event(void)
{
    int64_t until = support_now_ms() + scaled(10000);
    rlk_event event;

    while (!loop_next_event(&both.others.posix, &event, 2)) {
        rlk_event mine;

        if (support_now_ms() > until)
            support_fail("no event came");
        while (loop_next_event(client(), &mine, 2))
            assert_int_equal(mine.type, RLK_EV_RENEWED);
    }
    return event;
}

#endif
