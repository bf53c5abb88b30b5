/* SPDX-License-Identifier: MIT
 *
 * An acquire that waits: its end, and what comes at the moment of its end.
 */
#include "lock_tracked.h"

#include <string.h>

static harness h;

/* A waiter that gives up has nothing to undo, and later notifications have no effect. */
static void test_acquire_waiter_ends_at_once(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), NULL);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_acquire_start(&lock, 700), RLK_PENDING);
    harness_serve(&h, 0);
    assert_false(harness_next_event(&h, &event, 699));
    assert_true(harness_next_event(&h, &event, 1));
    assert_result(event.result, RLK_TIMED_OUT);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* While an acquire waits for its undo, a push starts no attempt. */
static void test_acquire_push_while_settling(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_unanswered(&h, &lock);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), NULL);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

/* The deadline of the acquire precedes a notification of the same moment. */
static void test_acquire_push_at_the_deadline(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 800), RLK_PENDING);
    harness_serve(&h, 0);
    h.now_ms += 800; /* no tick */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
    harness_expect_quiet(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
}

/* A single attempt does not wait: it sends no PTTL, and delays no waiter. */
static void test_acquire_once_does_not_wait(void **state)
{
    rlk_lock waiter;
    rlk_lock lock;

    (void)state;
    tracked_behind(&h, &waiter, DAY_MS);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_BUSY);
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 1); /* the waiter's */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));
}

/* A closed lock's release follows the waiter's SET, and its reply reaches no lock. The waiter tries
 * again at once, and does not wait for the TTL of a key that is gone. */
static void test_acquire_set_before_the_release_of_a_closed_lock(void **state)
{
    rlk_lock holder;
    rlk_lock waiter;

    (void)state;
    tracked_open(&h, 1);
    harness_lock(&h, &holder, 30000);
    assert_result(rlk_acquire_start(&holder, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_lock(&h, &waiter, 30000);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_release_start(&holder), RLK_PENDING);
    assert_result(rlk_lock_close(&holder), RLK_UNKNOWN);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));
    assert_int_equal(h.now_ms, HARNESS_START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acquire_waiter_ends_at_once),
        cmocka_unit_test(test_acquire_push_while_settling),
        cmocka_unit_test(test_acquire_push_at_the_deadline),
        cmocka_unit_test(test_acquire_once_does_not_wait),
        cmocka_unit_test(test_acquire_set_before_the_release_of_a_closed_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
