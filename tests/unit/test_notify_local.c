/* SPDX-License-Identifier: MIT
 *
 * A key that this client itself may have deleted: its other locks are notified, as by the server.
 */
#include "harness.h"

#include <string.h>

#define TTL 30000

static harness h;

static rlk_lock_config slow_retry(bool renewing)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = TTL;
    config.retry_min_ms = 400;
    config.retry_max_ms = 500;
    config.auto_renew = renewing;
    return config;
}

static void start(void)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.max_handoffs = 1;
    harness_open(&h, 1, 1);
    harness_advance(&h, 0);
}

/* A lock that has been acquired. */
static void take(rlk_lock *lock, bool renewing)
{
    rlk_lock_config config = slow_retry(renewing);

    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A lock that waits, and knows it. */
static void await(rlk_lock *lock)
{
    rlk_lock_config config = slow_retry(false);

    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
}

/* Answers the oldest command, and no more. */
static void answer_one(void)
{
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_true(harness_deliver(harness_link_of(&h, 0)));
    harness_run(&h);
}

/* force_release is cancelled, or given up: a DEL that was sent deletes, and who waits in this
 * client is told by its answer, for the server tells nobody; or now, if the lock has something else
 * to do, so that its answer is nobody's. */
static void test_notify_del_of_a_cancelled_force_release(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; way < 3; way++) {
        rlk_holder holder;
        rlk_lock waiter;
        rlk_lock lock;

        start();
        harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
        await(&waiter);
        harness_lock(&h, &lock, TTL);
        assert_result(rlk_force_release_start(&lock), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_DEL);
        assert_result(rlk_cancel(&lock), RLK_OK);
        harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);
        if (way == 0) {
            answer_one();
        } else if (way == 1) {
            assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
        } else {
            assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
            assert_result(rlk_cancel(&lock), RLK_OK);
            harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
        }
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        assert_int_equal(waiter.cause, RLK_CAUSE_LOCAL);
        harness_serve(&h, 0);
        if (way == 1) /* it asks before the waiter does */
            harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_expect_no_event(&h);
    }
}

/* Closed while a DEL is under way: who waits in this client is told now, since the answer will be
 * nobody's; its SET goes behind it. One that never left deletes nothing. */
static void test_notify_del_of_a_closed_lock(void **state)
{
    rlk_lock waiter;
    rlk_lock lock;

    (void)state;
    start();
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    await(&waiter);
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));

    start();
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    await(&waiter);
    h.servers[0].swallows = true;
    harness_cut(&h, 0);
    harness_lock(&h, &lock, TTL);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_int_equal(waiter.as.wait.recheck_cause[0], RLK_CAUSE_RETRY); /* not told */
}

/* Closed while it is held, or while its release is under way: the same. */
static void test_notify_holder_is_closed(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; way < 2; way++) {
        rlk_lock lock;
        rlk_lock waiter;

        start();
        take(&lock, false);
        await(&waiter);
        if (way == 1)
            assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_run(&h);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
        assert_int_equal(waiter.cause, RLK_CAUSE_LOCAL);
        harness_serve(&h, 0);
        assert_int_equal(rlk_is_held(&waiter), way == 1);
    }
}

/* A lock that is closed tells those of this client that hold the key, too. */
static void test_notify_del_of_a_closed_lock_under_a_holder(void **state)
{
    static rlk_lock holder;
    static rlk_lock other;

    (void)state;
    start();
    harness_held(&h, &holder, TTL);
    harness_lock(&h, &other, TTL);
    assert_result(rlk_force_release_start(&other), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_lock_close(&other), RLK_OK);
    h.servers[0].automatic = true;
    harness_serve(&h, 0);
    harness_advance(&h, 100);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_false(rlk_is_held(&holder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify_del_of_a_cancelled_force_release),
        cmocka_unit_test(test_notify_del_of_a_closed_lock),
        cmocka_unit_test(test_notify_holder_is_closed),
        cmocka_unit_test(test_notify_del_of_a_closed_lock_under_a_holder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
