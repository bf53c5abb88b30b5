/* SPDX-License-Identifier: MIT
 *
 * Extend and renew: the time that they ask for is fixed once, and capped (rule 6; extend.c).
 */
#include "harness.h"

static harness h;

#define DRIFT(horizon_ms) ((horizon_ms) / 100 + 3)

static void test_extend_adds_to_the_expiry(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 10000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 4000);
    assert_result(rlk_extend(&lock, 5000), RLK_OK);
    /* 10000 + 5000 before drift, of which 4000 are over */
    assert_int_equal(rlk_remaining_ms(&lock), 11000 - DRIFT(11000));
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 15000);
    assert_result(rlk_extend(&lock, 5000), RLK_OK); /* twice is twice: two calls */
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 20000);
}

static void test_extend_renew_counts_from_now(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 10000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 4000);
    assert_result(rlk_renew(&lock, RLK_DEFAULT), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 10000 - DRIFT(10000));
    assert_result(rlk_renew(&lock, 7777777), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 7777777 - DRIFT(7777777) - 1, 7777777 - DRIFT(7777777));
}

/* fault 68: the reply is lost, and the try is repeated: for the same E', so not applied twice */
static void test_fault_68_extend_reply_lost_and_retried(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 10000);
    harness_advance(&h, 1000);
    assert_result(rlk_extend_start(&lock, 5000), RLK_PENDING);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, 14000);
    (void)harness_execute(harness_link_of(&h, 0));
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms,
                     14000 -
                         (harness_head(harness_link_of(&h, 0))->sent_ms - HARNESS_START - 1000));
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    /* later by no more than the second try was under way */
    assert_between(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms, HARNESS_START + 15000,
                   HARNESS_START + 15000 + RLK_BACKOFF_MIN_MS);
    assert_between(rlk_remaining_ms(&lock), 13950 - DRIFT(14000), 14000 - DRIFT(13950));
}

/* The late answer to a SET of the acquire makes the lock safer, but it extends nothing. */
static void test_extend_late_set_is_no_answer_to_an_extend(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 10000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_extend_start(&lock, 5000), RLK_PENDING);
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_serve(&h, 0);
    harness_reply(&h, 2, HARNESS_OK);
    harness_expect_no_event(&h);
    assert_int_equal(rlk_remaining_ms(&lock), 10000 - DRIFT(10000));
    /* now it is asked, as the others were */
    assert_int_equal(harness_expect(&h, 2, HARNESS_RAISE)->ms, 15000);
    harness_serve(&h, 1);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 15000 - DRIFT(15000));
}

/* fault 67 */
static void test_fault_67_shortening_renew_sends_nothing(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_renew_start(&lock, 5000), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 5000 - DRIFT(5000));
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    /* an extend is of what is claimed now; the key is not cut */
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, 6000);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 6000 - DRIFT(6000));
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 30000);
    harness_advance(&h, 6000 - DRIFT(6000) - 1);
    assert_true(rlk_is_held(&lock));
    harness_advance(&h, 1);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
}

/* fault 70: a renewal by the TTL after a long extend */
static void test_fault_70_renew_does_not_cut_an_extend_at_the_server(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_extend(&lock, 60000), RLK_OK);
    harness_advance(&h, 1500);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1); /* not due */
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 63000);
    assert_int_equal(rlk_remaining_ms(&lock), 61500 - DRIFT(63000));
}

static void test_extend_refuses_numbers(void **state)
{
    static const struct {
        rlk_result (*start)(rlk_lock *lock, int64_t ms);
        int64_t ms;
    } rows[] = {
        {rlk_extend_start, 0},   {rlk_extend_start, -1}, {rlk_extend_start, RLK_TTL_MAX + 1},
        {rlk_renew_start, 0},    {rlk_renew_start, -2},  {rlk_renew_start, RLK_TTL_MAX + 1},
        {rlk_renew_start, 1000}, /* within drift and one try's time */
    };
    rlk_lock lock;
    size_t i;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    for (i = 0; support_row(i, COUNT_OF(rows)); i++)
        assert_result(rows[i].start(&lock, rows[i].ms), RLK_E_TTL);
    harness_expect_quiet(&h, 0);
    assert_true(rlk_is_held(&lock));
}

/* "Sums are capped; a cap that leaves E' <= E is a usage error" */
static void test_extend_sums_are_capped(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_extend(&lock, RLK_TTL_MAX), RLK_OK);
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + RLK_TTL_MAX);
    assert_result(rlk_extend(&lock, 1), RLK_E_TTL);
    harness_advance(&h, 10);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + RLK_TTL_MAX + 10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extend_adds_to_the_expiry),
        cmocka_unit_test(test_extend_renew_counts_from_now),
        cmocka_unit_test(test_fault_68_extend_reply_lost_and_retried),
        cmocka_unit_test(test_extend_late_set_is_no_answer_to_an_extend),
        cmocka_unit_test(test_fault_67_shortening_renew_sends_nothing),
        cmocka_unit_test(test_fault_70_renew_does_not_cut_an_extend_at_the_server),
        cmocka_unit_test(test_extend_refuses_numbers),
        cmocka_unit_test(test_extend_sums_are_capped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
