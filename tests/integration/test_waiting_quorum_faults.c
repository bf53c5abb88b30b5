/* SPDX-License-Identifier: MIT
 *
 * A waiter on three nodes, each behind a proxy, where a notification gets lost or comes at the
 * wrong moment (rules 9 and 10): as test_waiting_notification_faults, with nodes that are asked
 * before an attempt.
 */
#include "crowd.h"
#include "proxied.h"

#include <string.h>

#define NODES      3
#define PATIENT_MS 60000
/* Bounded by wake-ups and pauses of at most 250 ms. */
#define SOON_MS (INT64_C(1500) * support_time_factor())

static proxied world;
static rlk_lock lock;

static void put_everywhere(int64_t ttl_ms)
{
    size_t i;

    for (i = 0; i < NODES; i++)
        server_do(world.set.servers[i], "SET foobar somebody PX %lld", (long long)ttl_ms);
}

static void delete_everywhere(void)
{
    size_t i;

    for (i = 0; i < NODES; i++)
        assert_int_equal(server_integer(world.set.servers[i], "DEL foobar"), 1);
}

static void begin(int64_t recheck_max_ms, int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.recheck_max_ms = recheck_max_ms;
    proxied_start(&world, NODES, false, NULL, NULL);
    assert_result(rlk_lock_init(&lock, &world.set.posix.client, "foobar", &config), RLK_OK);
    put_everywhere(ttl_ms);
}

static void end(void)
{
    proxied_close(&world);
}

/* Every node has been asked for how long, by the attempt or behind the pause after it. */
static void start_waiting(void)
{
    size_t i;

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < NODES; i++)
        serve_until(&world.set.posix, proxy_count(world.proxies[i], "PTTL") > 0);

    proxied_calm(&world);
    assert_between(proxied_count(&world, "SET"), 2, NODES); /* one attempt */
}

static void assert_acquired_since(int64_t start, int64_t least_ms, int64_t most_ms)
{
    assert_event(&world.set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start, least_ms, most_ms);
    assert_result(rlk_check(&lock), RLK_OK);
}

static uint32_t causes(rlk_cause cause)
{
    return cause_count(&world.set.posix, cause);
}

static void test_tracking_nodes_wake_on_del(void **state)
{
    int64_t start;

    (void)state;
    begin(PATIENT_MS, 86400000);
    start_waiting();
    start = support_now_ms();
    delete_everywhere();
    assert_acquired_since(start, 0, SOON_MS);
    assert_int_equal(causes(RLK_CAUSE_RECHECK) + causes(RLK_CAUSE_EXPIRY), 0);
    end();
}

static void test_tracking_nodes_wake_on_expiry(void **state)
{
    const int64_t ttl_ms = INT64_C(1000) * support_time_factor();
    int64_t start;

    (void)state;
    begin(PATIENT_MS, ttl_ms);
    start = support_now_ms() - 100; /* since the first of them was put, at least */
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_acquired_since(start, ttl_ms, 100 + ttl_ms + SOON_MS);
    assert_int_equal(causes(RLK_CAUSE_RECHECK), 0);
    end();
}

static void test_tracking_nodes_null_push(void **state)
{
    int64_t start;
    size_t i;

    (void)state;
    begin(PATIENT_MS, 86400000);
    start_waiting();
    start = support_now_ms();
    for (i = 0; i < NODES; i++)
        server_do(world.set.servers[i], "FLUSHALL");
    assert_acquired_since(start, 0, SOON_MS);
    assert_int_equal(causes(RLK_CAUSE_RECHECK), 0);
    end();
}

/* The recheck of each node finds it. */
static void test_tracking_nodes_lost_pushes(void **state)
{
    const int64_t recheck_max_ms = INT64_C(1500) * support_time_factor();
    int64_t start;
    size_t i;

    (void)state;
    begin(recheck_max_ms, 86400000);
    for (i = 0; i < NODES; i++)
        proxy_drop_pushes(world.proxies[i], true);
    start_waiting();
    start = support_now_ms();
    delete_everywhere();
    assert_acquired_since(start, 0, recheck_max_ms + SOON_MS);
    assert_int_equal(causes(RLK_CAUSE_PUSH), 0);
    assert_int_equal(causes(RLK_CAUSE_RECHECK), 1);
    end();
}

/* 80, on each node */
static void test_fault_80_nodes_released_between_set_and_pttl(void **state)
{
    int64_t start;
    size_t i;

    (void)state;
    begin(PATIENT_MS, 86400000);
    for (i = 0; i < NODES; i++)
        proxy_on(world.proxies[i], "PTTL", 1, PROXY_HOLD, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < NODES; i++)
        serve_until(&world.set.posix, server_count(world.set.servers[i]).sets == 2 &&
                                          proxy_held(world.proxies[i], PROXY_TO_SERVER) > 0);

    delete_everywhere(); /* nobody is notified: nobody has asked yet */
    start = support_now_ms();
    proxied_release(&world);
    assert_acquired_since(start, 0, SOON_MS);
    assert_int_equal(causes(RLK_CAUSE_RECHECK), 0);
    end();
}

/* 81: half-open to two of three, behind a TTL of a day */
static void test_fault_81_nodes_half_open_waiter(void **state)
{
    const int64_t recheck_max_ms = INT64_C(600) * support_time_factor();
    int64_t start;

    (void)state;
    begin(recheck_max_ms, 86400000);
    start_waiting();
    proxy_half_open(world.proxies[0]);
    proxy_half_open(world.proxies[2]);
    start = support_now_ms();
    delete_everywhere();
    assert_acquired_since(start, 0,
                          recheck_max_ms + proxied_options().response_timeout_ms + SOON_MS);
    assert_between(proxied_accepted(&world), NODES + 1, NODES + 2); /* one is enough */
    end();
}

/* One node dies while it waits: the others are a quorum, and notify. */
static void test_tracking_nodes_one_is_down(void **state)
{
    int64_t start;

    (void)state;
    begin(PATIENT_MS, 86400000);
    start_waiting();
    server_kill(world.set.servers[1]);
    loop_quiet(&world.set.posix, 50);
    start = support_now_ms();
    assert_int_equal(server_integer(world.set.servers[0], "DEL foobar"), 1);
    loop_quiet(&world.set.posix, 50);
    assert_int_equal(server_integer(world.set.servers[2], "DEL foobar"), 1);
    assert_acquired_since(start, 0, SOON_MS);
    assert_int_equal(causes(RLK_CAUSE_RECHECK), 0);
    end();
}

/* ... and comes back empty: with one that is free already that makes a quorum. */
static void test_tracking_nodes_one_comes_back(void **state)
{
    int64_t start;

    (void)state;
    begin(PATIENT_MS, 86400000);
    start_waiting();
    assert_int_equal(server_integer(world.set.servers[0], "DEL foobar"), 1);
    server_kill(world.set.servers[1]);
    loop_quiet(&world.set.posix, 100);
    start = support_now_ms();
    server_restart(world.set.servers[1], false);
    assert_acquired_since(start, 0, SOON_MS);
    assert_int_equal(causes(RLK_CAUSE_RECHECK), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tracking_nodes_wake_on_del),
        support_test(test_tracking_nodes_wake_on_expiry),
        support_test(test_tracking_nodes_null_push),
        support_test(test_tracking_nodes_lost_pushes),
        support_test(test_fault_80_nodes_released_between_set_and_pttl),
        support_test(test_fault_81_nodes_half_open_waiter),
        support_test(test_tracking_nodes_one_is_down),
        support_test(test_tracking_nodes_one_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
