/* SPDX-License-Identifier: MIT
 *
 * Commands that an operation leaves behind when it is over, or is overtaken: a DEL that was sent, a
 * check of a touched key, a raise that was refused; and who is told of what they do.
 */
#include "bench.h"

#include <string.h>

#define TTL 30000

static bench b;

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
    memset(&b.config, 0, sizeof b.config);
    b.config.handoffs = 1;
    bench_open(&b, 1, 1);
    bench_advance(&b, 0);
}

/* A lock that has been acquired. */
static void take(rlk_lock *lock, bool renewing)
{
    rlk_lock_config config = slow_retry(renewing);
    assert_result(rlk_lock_init(lock, b.client, BENCH_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* A lock that waits, and knows it. */
static void await(rlk_lock *lock)
{
    rlk_lock_config config = slow_retry(false);
    assert_result(rlk_lock_init(lock, b.client, BENCH_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_no_event(&b);
}

/* Answers the oldest command, and no more. */
static void answer_one(void)
{
    bench_run(&b);
    assert_true(bench_execute(bench_link_of(&b, 0)));
    assert_true(bench_deliver(bench_link_of(&b, 0)));
    bench_run(&b);
}

/* ---- A DEL -------------------------------------------------------------------------------- */

/* force_release is cancelled, or given up: a DEL that was sent deletes, and who waits in this
 * client is told by its answer, for the server tells nobody; or now, if the lock has something else
 * to do, so that its answer is nobody's. */
static void test_lock_behind_del_of_a_cancelled_force_release(void **state)
{
    unsigned way;
    (void)state;
    for (way = 0; way < 3; way++) {
        rlk_holder holder;
        rlk_lock waiter;
        rlk_lock lock;
        start();
        bench_put(&b, 0, BENCH_KEY, "foreign", -1);
        await(&waiter);
        bench_lock(&b, &lock, TTL);
        assert_result(rlk_force_release_start(&lock), RLK_PENDING);
        (void)bench_expect(&b, 0, BENCH_DEL);
        assert_result(rlk_cancel(&lock), RLK_OK);
        bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);
        if (way == 0) {
            answer_one();
        } else if (way == 1) {
            assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
        } else {
            assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
            assert_result(rlk_cancel(&lock), RLK_OK);
            bench_expect_event(&b, RLK_EV_CANCELLED, RLK_CANCELLED);
        }
        bench_run(&b);
        assert_int_equal(b.servers[0].count[BENCH_SET], 2);
        assert_int_equal(waiter.cause, RLK_CAUSE_LOCAL);
        bench_serve(&b, 0);
        bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
        if (way == 1)
            bench_expect_event(&b, RLK_EV_DONE, RLK_OK);
        bench_expect_no_event(&b);
    }
}

/* ... and is lost with its stream: nothing is told, and nobody waits for it. */
static void test_lock_behind_del_is_lost(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    bench_lock(&b, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_DEL);
    assert_result(rlk_cancel(&lock), RLK_OK);
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);
    bench_cut(&b, 0);
    bench_advance(&b, RLK_BACKOFF_MIN_MS);
    bench_expect_quiet(&b, 0);
    bench_expect_no_event(&b);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_SET);
}

/* A second force_release has a DEL of its own. */
static void test_lock_behind_del_is_no_answer_to_the_next(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    bench_lock(&b, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_DEL);
    assert_result(rlk_cancel(&lock), RLK_OK);
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    bench_run(&b);
    assert_int_equal(b.servers[0].count[BENCH_DEL], 2);
    answer_one();
    bench_expect_no_event(&b);
    answer_one();
    bench_expect_event(&b, RLK_EV_DONE, RLK_OK);
}

/* Closed while a DEL is under way: who waits in this client is told now, since the answer will be
 * nobody's; its SET goes behind it. One that never left deletes nothing. */
static void test_lock_behind_del_of_a_closed_lock(void **state)
{
    rlk_lock waiter;
    rlk_lock lock;
    (void)state;
    start();
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    await(&waiter);
    bench_lock(&b, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_DEL);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    bench_run(&b);
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));

    start();
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    await(&waiter);
    b.servers[0].swallows = true;
    bench_cut(&b, 0);
    bench_lock(&b, &lock, TTL);
    bench_advance(&b, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_int_equal(waiter.due[0], RLK_CAUSE_RETRY); /* not told */
}

/* Closed while it is held, or while its release is under way: the same. */
static void test_lock_behind_a_closed_holder(void **state)
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
        bench_run(&b);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
        bench_run(&b);
        assert_int_equal(b.servers[0].count[BENCH_SET], 3);
        assert_int_equal(waiter.cause, RLK_CAUSE_LOCAL);
        bench_serve(&b, 0);
        assert_int_equal(rlk_is_held(&waiter), way == 1);
    }
}

/* ---- A release that is refused ------------------------------------------------------------ */

/* A waiter whose own old release is repeated while it yields to other processes: it goes on
 * yielding when that is answered. */
static void test_lock_behind_release_of_a_yielding_waiter(void **state)
{
    rlk_lock first;
    rlk_lock second;
    rlk_lock waiter;
    rlk_event event;
    int64_t yields_ms;
    (void)state;
    start();
    take(&waiter, false);
    assert_result(rlk_release_start(&waiter), RLK_PENDING);
    bench_reply(&b, 0, BENCH_READONLY); /* repeated in 400 ms at the earliest */
    assert_result(rlk_cancel(&waiter), RLK_OK);
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);
    bench_find(&b, &b.servers[0], BENCH_KEY)->key[0] = '\0';
    take(&first, false);
    await(&second);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_release_start(&first), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_RELEASED, RLK_OK);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&second));
    bench_advance(&b, 350);
    assert_result(rlk_release_start(&second), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_RELEASED, RLK_OK);
    assert_int_equal(waiter.due[0], RLK_CAUSE_YIELD);
    yields_ms = b.now_ms;
    bench_advance(&b, 150);
    (void)bench_expect(&b, 0, BENCH_RELEASE); /* its own */
    bench_serve(&b, 0);
    bench_expect_no_event(&b);
    b.servers[0].automatic = true;
    assert_true(bench_next_event(&b, &event, 1000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(waiter.cause, RLK_CAUSE_YIELD);
    assert_between(b.now_ms - yields_ms, 150 + 400, 150 + 500); /* it begins again */
}

/* ... whose undo finds what stood in its way: it is there at once. */
static void test_lock_behind_release_of_the_waiter_itself(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, false);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_RELEASE);
    assert_result(rlk_cancel(&lock), RLK_OK);
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_run(&b);
    assert_int_equal(b.servers[0].count[BENCH_SET], 1); /* behind it */
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(b.now_ms, BENCH_START);
}

/* ---- A renewal that is overtaken ---------------------------------------------------------- */

/* Its raise was refused, and would be repeated: who checks need not wait for that. */
static void test_lock_behind_raise_that_was_refused(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, true);
    bench_advance(&b, TTL / 3);
    bench_reply(&b, 0, BENCH_READONLY);
    bench_expect_quiet(&b, 0);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_CHECK);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_DONE, RLK_OK);
    bench_advance(&b, 1);
    (void)bench_expect(&b, 0, BENCH_RAISE); /* the renewal comes again */
}

/* ... or is refused only then: it is not repeated either. */
static void test_lock_behind_raise_that_is_refused(void **state)
{
    unsigned way;
    (void)state;
    for (way = 0; way < 2; way++) {
        rlk_lock lock;
        rlk_holder holder;
        start();
        take(&lock, true);
        bench_advance(&b, TTL / 3);
        (void)bench_expect(&b, 0, BENCH_RAISE);
        if (way == 0)
            assert_result(rlk_check_start(&lock), RLK_PENDING);
        else
            assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
        bench_reply(&b, 0, BENCH_READONLY);
        (void)bench_expect(&b, 0, way == 0 ? BENCH_CHECK : BENCH_GET);
        bench_serve(&b, 0);
        bench_expect_event(&b, RLK_EV_DONE, RLK_OK);
        bench_advance(&b, 1);
        (void)bench_expect(&b, 0, BENCH_RAISE);
    }
}

/* Overtaken for nothing: it goes on, and is told of. */
static void test_lock_behind_raise_goes_on(void **state)
{
    unsigned way;
    (void)state;
    for (way = 0; way < 3; way++) {
        rlk_lock lock;
        start();
        take(&lock, true);
        bench_advance(&b, TTL / 3);
        (void)bench_expect(&b, 0, BENCH_RAISE);
        if (way == 0)
            assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
        else if (way == 1)
            assert_result(rlk_extend_start(&lock, -1), RLK_E_TTL);
        else
            assert_result(rlk_renew_start(&lock, 0), RLK_E_TTL);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
        bench_serve(&b, 0);
        bench_expect_event(&b, RLK_EV_RENEWED, RLK_OK);
        bench_expect_no_event(&b);
        assert_int_equal(b.servers[0].count[BENCH_RAISE], 1);
    }
}

/* ... unless the caller has shortened the lease. */
static void test_lock_behind_raise_of_what_is_shortened(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, true);
    bench_advance(&b, TTL / 3);
    (void)bench_expect(&b, 0, BENCH_RAISE);
    assert_result(rlk_renew_start(&lock, 12000), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
    bench_serve(&b, 0);
    bench_expect_no_event(&b);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
}

/* An answer that comes when something else is due: both are done. */
static void test_lock_behind_renewal_that_is_due(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, true);
    bench_advance(&b, 9000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_CHECK);
    b.now_ms += 1000; /* nobody ticked: the renewal is due by now */
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_DONE, RLK_OK);
    bench_advance(&b, 1);
    (void)bench_expect(&b, 0, BENCH_RAISE);
}

/* A lock that is closed tells those of this client that hold the key, too. */
static void test_lock_behind_del_of_a_closed_lock_under_a_holder(void **state)
{
    static rlk_lock holder;
    static rlk_lock other;
    (void)state;
    start();
    bench_held(&b, &holder, TTL);
    bench_lock(&b, &other, TTL);
    assert_result(rlk_force_release_start(&other), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_DEL);
    assert_result(rlk_lock_close(&other), RLK_OK);
    b.servers[0].automatic = true;
    bench_serve(&b, 0);
    bench_advance(&b, 100);
    bench_expect_event(&b, RLK_EV_LOST, RLK_LOST);
    assert_false(rlk_is_held(&holder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_behind_del_of_a_cancelled_force_release),
        cmocka_unit_test(test_lock_behind_del_is_lost),
        cmocka_unit_test(test_lock_behind_del_is_no_answer_to_the_next),
        cmocka_unit_test(test_lock_behind_del_of_a_closed_lock),
        cmocka_unit_test(test_lock_behind_a_closed_holder),
        cmocka_unit_test(test_lock_behind_release_of_a_yielding_waiter),
        cmocka_unit_test(test_lock_behind_release_of_the_waiter_itself),
        cmocka_unit_test(test_lock_behind_raise_that_was_refused),
        cmocka_unit_test(test_lock_behind_raise_that_is_refused),
        cmocka_unit_test(test_lock_behind_raise_goes_on),
        cmocka_unit_test(test_lock_behind_raise_of_what_is_shortened),
        cmocka_unit_test(test_lock_behind_renewal_that_is_due),
        cmocka_unit_test(test_lock_behind_del_of_a_closed_lock_under_a_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
