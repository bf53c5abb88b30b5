/* SPDX-License-Identifier: MIT
 *
 * Commands that an operation leaves behind when it is over, or is overtaken: a DEL that was sent, a
 * check of a touched key, a raise that was refused; and who is told of what they do.
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
        assert_int_equal(waiter.wait.cause, RLK_CAUSE_LOCAL);
        harness_serve(&h, 0);
        if (way == 1) /* it asks before the waiter does */
            harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_expect_no_event(&h);
    }
}

/* ... and is lost with its stream: nothing is told, and nobody waits for it. */
static void test_lock_behind_del_is_lost(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
}

/* A second force_release has a DEL of its own. */
static void test_lock_behind_del_is_no_answer_to_the_next(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_DEL], 2);
    answer_one();
    harness_expect_no_event(&h);
    answer_one();
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_OK);
}

/* Closed while a DEL is under way: who waits in this client is told now, since the answer will be
 * nobody's; its SET goes behind it. One that never left deletes nothing. */
static void test_lock_behind_del_of_a_closed_lock(void **state)
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
    assert_int_equal(waiter.wait.recheck_cause[0], RLK_CAUSE_RETRY); /* not told */
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
        harness_run(&h);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
        assert_int_equal(waiter.wait.cause, RLK_CAUSE_LOCAL);
        harness_serve(&h, 0);
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
    harness_reply(&h, 0, HARNESS_MISCONF); /* repeated in 400 ms at the earliest */
    assert_result(rlk_cancel(&waiter), RLK_OK);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_UNKNOWN);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    take(&first, false);
    await(&second);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_release_start(&first), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&second));
    harness_advance(&h, 350);
    assert_result(rlk_release_start(&second), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_int_equal(waiter.wait.recheck_cause[0], RLK_CAUSE_YIELD);
    yields_ms = h.now_ms;
    harness_advance(&h, 150);
    (void)harness_expect(&h, 0, HARNESS_RELEASE); /* its own */
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 1000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(waiter.wait.cause, RLK_CAUSE_YIELD);
    assert_between(h.now_ms - yields_ms, 150 + 400, 150 + 500); /* it begins again */
}

/* ... whose undo finds what stood in its way: it is there at once. */
static void test_lock_behind_release_of_the_waiter_itself(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, false);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_UNKNOWN);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1); /* behind it */
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(h.now_ms, HARNESS_START);
}

/* ---- A renewal that is overtaken ---------------------------------------------------------- */

/* Its raise was refused, and would be repeated: who checks need not wait for that. */
static void test_lock_behind_raise_that_was_refused(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, true);
    harness_advance(&h, TTL / 3);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    /* the renewal comes again: what the check found lengthens the lease by a little drift */
    harness_advance(&h, TTL / 100);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
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
        harness_advance(&h, TTL / 3);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        if (way == 0)
            assert_result(rlk_check_start(&lock), RLK_PENDING);
        else
            assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
        harness_reply(&h, 0, HARNESS_MISCONF);
        (void)harness_expect(&h, 0, way == 0 ? HARNESS_CHECK : HARNESS_GET);
        harness_serve(&h, 0);
        harness_expect_result(&h, way == 0 ? RLK_OP_CHECK : RLK_OP_QUERY, RLK_OK);
        harness_advance(&h, TTL / 100);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
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
        harness_advance(&h, TTL / 3);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        if (way == 0)
            assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
        else if (way == 1)
            assert_result(rlk_extend_start(&lock, -1), RLK_E_TTL);
        else
            assert_result(rlk_renew_start(&lock, 0), RLK_E_TTL);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
        harness_expect_no_event(&h);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    }
}

/* ... unless the caller has shortened the lease. */
static void test_lock_behind_raise_of_what_is_shortened(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, true);
    harness_advance(&h, TTL / 3);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    assert_result(rlk_renew_start(&lock, 12000), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
}

/* An answer that comes when something else is due: both are done. */
static void test_lock_behind_renewal_that_is_due(void **state)
{
    rlk_lock lock;
    (void)state;
    start();
    take(&lock, true);
    harness_advance(&h, 9000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    h.now_ms += 1000; /* nobody ticked: the renewal is due by now */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    harness_advance(&h, 1);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

/* A lock that is closed tells those of this client that hold the key, too. */
static void test_lock_behind_del_of_a_closed_lock_under_a_holder(void **state)
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
