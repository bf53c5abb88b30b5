/* SPDX-License-Identifier: MIT
 *
 * A key that this client itself may have deleted: its other locks are notified, as by the server.
 */
#include "lock_slow_retry.h"

static harness h;

/* ---- What follows a cancelled force_release ---- */

static void del_is_answered(rlk_lock *lock)
{
    (void)lock;
    slow_answer_one(&h);
}

static rlk_holder holder;

static void query_begins(rlk_lock *lock)
{
    assert_result(rlk_query_start(lock, &holder, 1), RLK_PENDING);
}

static void acquire_begins_and_ends(rlk_lock *lock)
{
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_cancel(lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
}

/* A DEL that was sent deletes, also when its force_release is cancelled. The server notifies nobody
 * of it. Its reply notifies the waiter of this client; or the next operation of the lock does,
 * which takes that reply away. */
static void test_notify_del_of_a_cancelled_force_release(void **state)
{
    static const struct {
        const char *name;
        void (*then)(rlk_lock *lock);
        bool query; /* it is answered before the waiter's SET */
    } rows[] = {{"the DEL is answered", del_is_answered, false},
                {"a query begins", query_begins, true},
                {"an acquire begins and ends", acquire_begins_and_ends, false}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock waiter;
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        slow_open(&h);
        harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
        slow_wait(&h, &waiter);
        slow_abandon_del(&h, &lock);
        rows[i].then(&lock);
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        assert_int_equal(waiter.cause, RLK_CAUSE_LOCAL);
        harness_serve(&h, 0);
        if (rows[i].query)
            harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_expect_no_event(&h);
    }
}

/* So does the release of a lock that was lost before. */
static void test_notify_del_of_a_lost_lock_that_is_released(void **state)
{
    rlk_lock waiter;
    rlk_lock lock;

    (void)state;
    slow_open(&h);
    slow_hold(&h, &lock, false);
    harness_advance(&h, SLOW_TTL);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    slow_wait(&h, &waiter);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);
    assert_result(rlk_release_start(&lock), RLK_LOST);
    harness_run(&h);
    assert_int_equal(waiter.cause, RLK_CAUSE_LOCAL);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_no_event(&h);
}

/* ---- A lock that is closed ---- */

static void force_release_begins(rlk_lock *lock)
{
    harness_lock(&h, lock, SLOW_TTL);
    assert_result(rlk_force_release_start(lock), RLK_PENDING);
}

/* Closed behind a DEL that is under way: the waiter is notified now, since no lock receives the
 * reply. Its SET follows the DEL. A DEL that never left deletes nothing. */
static void test_notify_del_of_a_closed_lock(void **state)
{
    rlk_lock waiter;
    rlk_lock lock;

    (void)state;
    slow_open(&h);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    slow_wait(&h, &waiter);
    force_release_begins(&lock);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));

    slow_open(&h);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    slow_wait(&h, &waiter);
    h.servers[0].swallows = true;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    force_release_begins(&lock);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_int_equal(waiter.as.wait.recheck_cause[0], RLK_CAUSE_RETRY); /* not notified */
}

/* The same under a lock of this client that holds the key. */
static void test_notify_del_of_a_closed_lock_under_a_holder(void **state)
{
    static rlk_lock held;
    static rlk_lock other;

    (void)state;
    slow_open(&h);
    harness_held(&h, &held, SLOW_TTL);
    force_release_begins(&other);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_lock_close(&other), RLK_OK);
    h.servers[0].automatic = true;
    harness_serve(&h, 0);
    harness_advance(&h, 100);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_false(rlk_is_held(&held));
}

/* Closed while it holds the key, or while its release is under way: the same. */
static void test_notify_holder_is_closed(void **state)
{
    static const struct {
        const char *name;
        bool releases;
    } rows[] = {{"held", false}, {"releasing", true}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        rlk_lock waiter;

        support_row_name("%s", rows[i].name);
        slow_open(&h);
        slow_hold(&h, &lock, false);
        slow_wait(&h, &waiter);
        if (rows[i].releases)
            assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_run(&h);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
        assert_int_equal(waiter.cause, RLK_CAUSE_LOCAL);
        harness_serve(&h, 0);
        assert_int_equal(rlk_is_held(&waiter), rows[i].releases);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify_del_of_a_cancelled_force_release),
        cmocka_unit_test(test_notify_del_of_a_lost_lock_that_is_released),
        cmocka_unit_test(test_notify_del_of_a_closed_lock),
        cmocka_unit_test(test_notify_del_of_a_closed_lock_under_a_holder),
        cmocka_unit_test(test_notify_holder_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
