/* SPDX-License-Identifier: MIT
 *
 * waiting_lost.h: a waiter on 1 or 3 servers behind proxies, whose connections are lost. It does
 * not recheck within a test unless the test says so. Include it in one file of a program.
 */
#ifndef TEST_WAITING_LOST_H
#define TEST_WAITING_LOST_H

#include "outage.h"

#include <string.h>

#define WAITING __attribute__((unused)) static

#define KEY "foobar"

WAITING proxied world; /* the waiter's */
WAITING nodes others;  /* past the proxies */
WAITING rlk_lock waiter;
WAITING rlk_lock holder;

WAITING const size_t sizes[] = {1, 3};

WAITING rlk_posix_client *client(void)
{
    return &world.set.posix;
}

WAITING void start_with(size_t count, int64_t recheck_max_ms, const rlk_posix_options *options)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.recheck_max_ms = recheck_max_ms;
    proxied_start(&world, count, true, NULL, options);
    nodes_open_again(&others, &world.set, NULL);
    proxied_lock_init(&world, &waiter, KEY, &config);
    assert_result(rlk_lock_init(&holder, &others.posix.client, KEY, NULL), RLK_OK);
}

WAITING void start(size_t count)
{
    start_with(count, 3600000, NULL);
}

WAITING void stop(void)
{
    nodes_close(&others);
    proxied_close(&world);
    support_teardown(NULL);
}

WAITING void give_to_a_stranger(server *redis)
{
    server_do(redis, "SET " KEY " stranger");
}

WAITING void free_it(server *redis)
{
    assert_int_equal(server_integer(redis, "DEL " KEY), 1);
}

/* Waits, and all servers that it asked will notify it. */
WAITING void begin_to_wait(void)
{
    int asked = proxied_count(&world, "PTTL");

    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    serve_until(client(), proxied_count(&world, "PTTL") >= asked + (int)world.set.count);

    proxied_calm(&world);
    loop_quiet(client(), 1);
}

/* The next event is that it has the lock, and it comes soon. */
WAITING void assert_acquired(const char *after)
{
    int64_t start_ms = support_now_ms();
    rlk_event event;

    if (!loop_next_event(client(), &event, scaled(10000)))
        support_fail("%s: not notified", after);
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_ptr_equal(event.lock, &waiter);
    assert_between(support_now_ms() - start_ms, 0, scaled(1500));
    assert_true(rlk_is_held(&waiter));
    assert_true(proxied_holding(&world, KEY, token_of(&waiter)) >= client()->client.quorum);
}

#endif
