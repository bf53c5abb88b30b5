/* SPDX-License-Identifier: MIT
 *
 * A lock that is held, and a command on it that was sent and not answered: extend, renew, check,
 * release. A repeat does no harm, and nothing is claimed that a server has not confirmed.
 */
#include "proxied.h"

#include <string.h>

#define KEY "foobar"

static proxied world;
static rlk_lock lock;
static test_clock clock_of_client;

static const size_t sizes[] = {1, 3};

static void start(size_t count, const server_config *config, const rlk_posix_options *options)
{
    proxied_start(&world, count, true, config, options);
    proxied_lock_init(&world, &lock, KEY, NULL);
}

static void stop(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
    support_teardown(NULL);
}

/* Runs `body` on each number of nodes, with the lock acquired everywhere. */
static void on_each_world(void (*body)(void), const server_config *config,
                          const rlk_posix_options *options)
{
    size_t i;

    for (i = 0; i < COUNT_OF(sizes); i++) {
        start(sizes[i], config, options);
        proxied_acquire(&world, &lock, KEY);
        proxied_calm(&world); /* the minority's reply too */
        body();
        stop();
    }
}

/* PTTL on every node is within these. */
static void assert_ttl(int64_t low, int64_t high)
{
    size_t i;

    for (i = 0; i < world.set.count; i++)
        assert_between(server_integer(world.set.servers[i], "PTTL " KEY), low, high);
}

static void assert_free(void)
{
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
}

static void release_and_stay_free(void)
{
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_free();
    proxied_release(&world);
    assert_free();
}

/* ---- 68: extend ---- */

static void extend_once(proxy_action action)
{
    proxied_on(&world, "EVALSHA", action);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 30000, 40000 - 402);
    proxied_calm(&world);
    assert_ttl(30000, 40000);
    assert_true(proxied_count(&world, "EVALSHA") >= 2 * (int)world.set.posix.client.quorum);
    /* the late one, if it was fenced or not: a raise to the same target */
    proxied_release(&world);
    assert_ttl(30000, 40000);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 30000, 40000 - 402);
    release_and_stay_free();
}

static void extend_reply_lost_body(void)
{
    extend_once(PROXY_CUT_REPLY);
}

static void extend_not_executed_body(void)
{
    size_t extended = 0;
    size_t i;

    proxied_on(&world, "EVALSHA", PROXY_CUT_BEFORE);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    proxied_calm(&world);
    assert_between(rlk_remaining_ms(&lock), 30000, 40000 - 402);
    for (i = 0; i < world.set.count; i++) {
        int64_t ttl_ms = server_integer(world.set.servers[i], "PTTL " KEY);

        assert_between(ttl_ms, 20000, 40000);
        extended += ttl_ms > 30000;
    }
    assert_true(extended >= world.set.posix.client.quorum); /* the others needn't be asked again */
    release_and_stay_free();
}

static void extend_late_body(void)
{
    proxied_on(&world, "EVALSHA", PROXY_CUT_LATE);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    proxied_calm(&world);
    proxied_release(&world);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    proxied_calm(&world);
    assert_between(rlk_remaining_ms(&lock), 40000, 50000 - 502);
    assert_ttl(40000, 50000);
    release_and_stay_free();
}

static void test_fault_68_extend_reply_lost_and_retried(void **state)
{
    (void)state;
    on_each_world(extend_reply_lost_body, NULL, NULL);
    on_each_world(extend_not_executed_body, NULL, NULL);
    on_each_world(extend_late_body, NULL, NULL);
    on_each_world(extend_reply_lost_body, &server_unfenced, NULL);
    on_each_world(extend_late_body, &server_unfenced, NULL);
}

/* No answer until the operation's end: UNKNOWN, and held until the old deadline and no longer,
 * though the servers have the new one. */
static void extend_unknown_body(void)
{
    int64_t remaining;

    proxied_hold(&world, PROXY_TO_CLIENT);
    assert_result(rlk_extend_start(&lock, 10000), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "EVALSHA") == 2 * (int)world.set.count);

    server_settle(world.set.servers[0]);
    assert_result(rlk_cancel(&lock), RLK_OK);
    assert_result_event(&world.set.posix, RLK_OP_EXTEND, RLK_UNKNOWN);
    remaining = rlk_remaining_ms(&lock);
    assert_between(remaining, 20000, 30000 - 302);
    wait_until(server_integer(world.set.servers[0], "PTTL " KEY) > 30000);

    proxied_release(&world);
    loop_quiet(&world.set.posix, 30); /* the reply was abandoned */
    assert_between(rlk_remaining_ms(&lock), remaining - 5000, remaining);
    assert_result(rlk_renew(&lock, 60000), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 50000, 60000 - 602);
    assert_int_equal(proxied_accepted(&world), (int)world.set.count);
    release_and_stay_free();
}

static void test_extend_cancelled_in_flight_claims_nothing(void **state)
{
    (void)state;
    on_each_world(extend_unknown_body, NULL, NULL);
}

static void extend_timeout_body(void)
{
    proxied_hold(&world, PROXY_TO_SERVER);
    assert_result(rlk_extend(&lock, 10000), RLK_UNKNOWN);
    assert_true(rlk_is_held(&lock));
    assert_between(rlk_remaining_ms(&lock), 20000, 30000 - 302);
    proxied_release(&world);
    loop_quiet(&world.set.posix, 30);
    assert_between(rlk_remaining_ms(&lock), 20000, 30000 - 302);
    assert_result(rlk_check(&lock), RLK_OK);
    release_and_stay_free();
}

static void test_extend_not_answered_is_unknown(void **state)
{
    rlk_posix_options options = proxied_options();

    (void)state;
    options.operation_timeout_ms = 200;
    options.response_timeout_ms = 20000;
    on_each_world(extend_timeout_body, NULL, &options);
}

/* ---- 67: a renew that shortens ---- */

/* Only the local deadline moves: no byte is sent. It holds, though the key lives on; and the lapsed
 * lock's key is deleted. */
static void renew_shorter_body(void)
{
    size_t sent = proxy_bytes(world.proxies[0], PROXY_TO_SERVER);
    rlk_event event;

    assert_result(rlk_renew(&lock, 11000), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 10000, 11000 - 112);
    loop_quiet(&world.set.posix, 20);
    assert_int_equal(proxy_bytes(world.proxies[0], PROXY_TO_SERVER), sent);
    assert_ttl(20000, 30000);
    test_clock_jump(&clock_of_client, 11000);
    assert_false(rlk_is_held(&lock)); /* without a call to anybody */
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    assert_true(loop_next_event(&world.set.posix, &event, 5000));
    assert_int_equal(event.type, RLK_EV_LOST);
    serve_until(&world.set.posix, proxied_holding(&world, KEY, NULL) == 0);

    assert_result(rlk_release(&lock), RLK_LOST);
}

static void test_fault_67_shortening_renew_sends_nothing(void **state)
{
    rlk_posix_options options = proxied_patient_options(&clock_of_client);

    (void)state;
    on_each_world(renew_shorter_body, NULL, &options);
}

/* ---- 69: release ---- */

/* Executed, the reply lost: the repeat finds nothing, and whose it was is not known. */
static void release_reply_lost_body(void)
{
    proxied_on(&world, "EVALSHA", PROXY_CUT_REPLY);
    assert_result(rlk_release(&lock), RLK_GONE);
    assert_false(rlk_is_held(&lock));
    proxied_calm(&world);
    assert_free();
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
}

/* In between somebody else took it: his stays. */
static void release_and_stranger_body(void)
{
    size_t i;

    proxied_on(&world, "EVALSHA", PROXY_CUT_REPLY);
    for (i = 0; i < world.set.count; i++)
        proxy_refuse(world.proxies[i], true);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    serve_until(&world.set.posix, proxied_holding(&world, KEY, NULL) == 0);

    for (i = 0; i < world.set.count; i++) {
        server_do(world.set.servers[i], "SET " KEY " stranger");
        proxy_refuse(world.proxies[i], false);
    }
    assert_result_event(&world.set.posix, RLK_OP_RELEASE, RLK_GONE);
    proxied_calm(&world);
    assert_int_equal(proxied_holding(&world, KEY, "stranger"), world.set.count);
}

/* Not executed: the repeat deletes. */
static void release_not_executed_body(void)
{
    proxied_on(&world, "EVALSHA", PROXY_CUT_BEFORE);
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_free();
}

/* Late: the repeat deletes, and the late one finds nobody's token but a stranger's. */
static void release_late_body(void)
{
    size_t i;

    proxied_on(&world, "EVALSHA", PROXY_CUT_LATE);
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_free();
    for (i = 0; i < world.set.count; i++)
        server_do(world.set.servers[i], "SET " KEY " stranger");
    proxied_release(&world);
    assert_int_equal(proxied_holding(&world, KEY, "stranger"), world.set.count);
}

static void test_fault_69_release_reply_lost(void **state)
{
    (void)state;
    on_each_world(release_reply_lost_body, NULL, NULL);
    on_each_world(release_reply_lost_body, &server_unfenced, NULL);
    on_each_world(release_and_stranger_body, NULL, NULL);
    on_each_world(release_not_executed_body, NULL, NULL);
    on_each_world(release_late_body, NULL, NULL);
    on_each_world(release_late_body, &server_unfenced, NULL);
}

/* No answer until the operation's end: UNKNOWN; cleaning goes on, and the next acquire by others
 * has it. */
static void release_unknown_body(void)
{
    proxied_hold(&world, PROXY_TO_SERVER);
    assert_result(rlk_release(&lock), RLK_UNKNOWN);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(proxied_holding(&world, KEY, token_of(&lock)), world.set.count);
    proxied_release(&world);
    assert_event(&world.set.posix, RLK_EV_SETTLED, RLK_OK);
    loop_quiet(&world.set.posix, 30);
    assert_free();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    release_and_stay_free();
}

static void test_release_not_answered_is_unknown(void **state)
{
    rlk_posix_options options = proxied_options();

    (void)state;
    options.operation_timeout_ms = 200;
    options.response_timeout_ms = 20000;
    on_each_world(release_unknown_body, NULL, &options);
}

/* ---- 74: a snapshot comes back ---- */

/* The key has an older, shorter TTL than was confirmed. The old deadline is only the ceiling: what
 * a raise or a check is answered counts. The lock checks without a call after a reconnect, at a
 * time of its own, so what it knows before the test's check is either. */
static void older_ttl_body(void)
{
    size_t i;

    for (i = 0; i < world.set.count; i++)
        server_save(world.set.servers[i]);
    assert_result(rlk_extend(&lock, 60000), RLK_OK);
    proxied_calm(&world);
    assert_ttl(80000, 90000);
    assert_between(rlk_remaining_ms(&lock), 80000, 90000 - 902);
    for (i = 0; i < world.set.count; i++)
        server_restart(world.set.servers[i], true);
    assert_ttl(10000, 30000);
    serve_until(&world.set.posix, proxied_accepted(&world) >= 2 * (int)world.set.count);

    assert_between(rlk_remaining_ms(&lock), 10000, 90000 - 902);
    assert_result(rlk_check(&lock), RLK_OK);
    proxied_calm(&world);
    assert_between(rlk_remaining_ms(&lock), 10000, 30000 - 2);
    assert_result(rlk_renew(&lock, 60000), RLK_OK);
    proxied_calm(&world);
    assert_ttl(50000, 60000);
    assert_between(rlk_remaining_ms(&lock), 50000, 60000 - 602);
    release_and_stay_free();
}

static void test_fault_74_snapshot_with_an_older_ttl(void **state)
{
    (void)state;
    on_each_world(older_ttl_body, NULL, NULL);
}

/* A key that was released is back. Nobody can know; it is not taken for held, it blocks us like any
 * other's, and goes after its TTL. */
static void released_key_body(void)
{
    char token[RLK_TOKEN_MAX + 1];
    size_t i;

    strcpy(token, token_of(&lock));
    for (i = 0; i < world.set.count; i++)
        server_save(world.set.servers[i]);
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    for (i = 0; i < world.set.count; i++)
        server_restart(world.set.servers[i], true);
    assert_int_equal(proxied_holding(&world, KEY, token), world.set.count);
    assert_ttl(1, 30000);
    serve_until(&world.set.posix, proxied_accepted(&world) >= 2 * (int)world.set.count);

    proxied_calm(&world);
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(proxied_holding(&world, KEY, token), world.set.count);
}

static void test_fault_74_released_key_back(void **state)
{
    (void)state;
    on_each_world(released_key_body, NULL, NULL);
}

/* ---- 86: an OK that is read too late ---- */

static void late_ok(bool tick_first)
{
    rlk_event event;

    proxied_hold(&world, PROXY_TO_CLIENT);
    assert_result(rlk_renew_start(&lock, 60000), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "EVALSHA") == 2 * (int)world.set.count);
    wait_until(server_integer(world.set.servers[0], "PTTL " KEY) > 30000);

    if (tick_first) {
        test_clock_jump(&clock_of_client, 30000);
        assert_false(rlk_is_held(&lock));
        proxied_calm(&world);
        proxied_release(&world);
    } else { /* the reply is in the socket when the deadline has come */
        proxied_release(&world);
        support_sleep_ms(20);
        test_clock_jump(&clock_of_client, 30000);
    }
    assert_result_event(&world.set.posix, RLK_OP_RENEW, RLK_LOST);
    assert_true(loop_next_event(&world.set.posix, &event, 5000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_false(rlk_is_held(&lock));
    loop_quiet(&world.set.posix, 30);
    assert_free(); /* what was left of it is cleaned up */
    assert_result(rlk_renew(&lock, RLK_DEFAULT), RLK_LOST);
    assert_result(rlk_release(&lock), RLK_LOST);
}

static void late_ok_after_tick_body(void)
{
    late_ok(true);
}

static void late_ok_with_tick_body(void)
{
    late_ok(false);
}

static void test_fault_86_renewal_read_after_the_deadline(void **state)
{
    rlk_posix_options options = proxied_patient_options(&clock_of_client);

    (void)state;
    on_each_world(late_ok_after_tick_body, NULL, &options);
    on_each_world(late_ok_with_tick_body, NULL, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_68_extend_reply_lost_and_retried),
        support_test(test_extend_cancelled_in_flight_claims_nothing),
        support_test(test_extend_not_answered_is_unknown),
        support_test(test_fault_67_shortening_renew_sends_nothing),
        support_test(test_fault_69_release_reply_lost),
        support_test(test_release_not_answered_is_unknown),
        support_test(test_fault_74_snapshot_with_an_older_ttl),
        support_test(test_fault_74_released_key_back),
        support_test(test_fault_86_renewal_read_after_the_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
