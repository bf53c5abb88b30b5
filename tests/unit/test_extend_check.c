/* SPDX-License-Identifier: MIT
 *
 * Check: what it may claim, and what ends the lease (rules 2 and 8; extend.c).
 */
#include "harness.h"

static harness h;

#define DRIFT(horizon_ms) ((horizon_ms) / 100 + 3)

static int64_t deadline_of(const rlk_lock *lock)
{
    return h.now_ms + rlk_remaining_ms(lock);
}

/* A raise that answers less than we thought (an older snapshot, fault 74): what it says counts. */
static void test_fault_74_restored_snapshot(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":5000\r\n");
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 5000 - DRIFT(5000));

    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOT_OURS); /* fault 20: without data */
    harness_expect_result(&h, RLK_OP_CHECK, RLK_NOT_OWNER);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

/* On the same stream a check confirms what is known: the deadline does not move. */
static void test_extend_check_moves_nothing(void **state)
{
    static const char *const replies[] = {":28999\r\n", ":29000\r\n", ":-1\r\n"};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(replies)); i++) {
        rlk_lock lock;
        int64_t remaining_ms;

        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        harness_advance(&h, 1000);
        remaining_ms = rlk_remaining_ms(&lock);
        assert_result(rlk_check_start(&lock), RLK_PENDING);
        harness_advance(&h, 5);
        harness_reply(&h, 0, replies[i]);
        harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
        /* drift is of the shorter horizon now: a hundredth of a second that was gone */
        assert_between(rlk_remaining_ms(&lock), remaining_ms - 6, remaining_ms - 5 + 10);
    }
}

/* A check to which so little is left that it is over by now. */
static void test_extend_check_ends_the_lease(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_advance(&h, 5);
    harness_reply(&h, 0, ":1\r\n");
    assert_false(rlk_is_held(&lock));
    harness_expect_result(&h, RLK_OP_CHECK, RLK_LOST);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
}

/* Rule 2: "each counts less drift over its own horizon". A slow check that allows what is known
 * confirms it, but the clocks have drifted since it was asked for: the deadline must not move. */
static void test_extend_slow_check_keeps_the_drift(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    harness_advance(&h, 20000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_run(&h);
    harness_advance(&h, 400);
    harness_reply(&h, 0, ":9700\r\n"); /* the known 10000 at t0 lies between 9700 and 10100 */
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(deadline_of(&lock), deadline_ms);
}

/* Less than was known is believed at once. */
static void test_extend_check_shortens(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":5000\r\n");
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 5000 - 53, 5000);
}

/* Fault 26: the server's clock goes back an hour: the client's deadline stands. */
static void test_fault_26_server_clock_back(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    harness_advance(&h, 1000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":3629000\r\n");
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_true(deadline_of(&lock) <= deadline_ms);
    /* nor does a renewal bring more than it asks for */
    assert_result(rlk_renew_start(&lock, 40000), RLK_PENDING);
    harness_reply(&h, 0, ":3640000\r\n");
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 40000 - 403, 40000);
}

/* An extend that ended as UNKNOWN: "held until the old deadline", whatever a check sees later. */
static void test_extend_unknown_is_not_claimed_by_a_check(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    assert_result(rlk_extend_start(&lock, 60000), RLK_PENDING);
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_UNKNOWN);
    harness_serve(&h, 0);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(deadline_of(&lock), deadline_ms);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_74_restored_snapshot),
        cmocka_unit_test(test_extend_check_moves_nothing),
        cmocka_unit_test(test_extend_check_ends_the_lease),
        cmocka_unit_test(test_extend_slow_check_keeps_the_drift),
        cmocka_unit_test(test_extend_check_shortens),
        cmocka_unit_test(test_fault_26_server_clock_back),
        cmocka_unit_test(test_extend_unknown_is_not_claimed_by_a_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
