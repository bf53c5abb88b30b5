/* SPDX-License-Identifier: MIT
 *
 * Operations that may not begin: beside another one, or of a lock that is not held (operation.c).
 */
#include "harness.h"

static harness h;

/* Beside any operation no other begins. rlk_keep_alive is content with one that compares the key.
 */
static void test_operation_second_is_refused(void **state)
{
    static const struct {
        rlk_operation operation;
        bool held; /* before it */
        rlk_result keep_alive;
    } rows[] = {
        {RLK_OP_ACQUIRE, false, RLK_E_STATE},
        {RLK_OP_RELEASE, true, RLK_E_STATE},
        {RLK_OP_EXTEND, true, RLK_OK},
        {RLK_OP_RENEW, true, RLK_OK},
        {RLK_OP_CHECK, true, RLK_OK},
        {RLK_OP_QUERY, false, RLK_E_STATE},
        {RLK_OP_FORCE_RELEASE, false, RLK_E_STATE},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        size_t second;

        harness_start(&h, 1);
        if (rows[i].held)
            harness_held(&h, &lock, 3000);
        else
            harness_lock(&h, &lock, 3000);
        assert_result(harness_begin(&lock, rows[i].operation), RLK_PENDING);
        assert_int_equal(rlk_lock_operation(&lock), rows[i].operation);
        for (second = 0; second < COUNT_OF(rows); second++)
            assert_result(harness_begin(&lock, rows[second].operation), RLK_E_STATE);
        assert_result(rlk_keep_alive(&lock), rows[i].keep_alive);
        assert_int_equal(rlk_lock_operation(&lock), rows[i].operation);
        harness_serve(&h, 0);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
    }
}

static void test_operation_of_a_lock_that_is_not_held(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_release_start(&lock), RLK_NOT_HELD);
    assert_result(rlk_extend_start(&lock, 1000), RLK_NOT_HELD);
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_NOT_HELD);
    assert_result(rlk_check_start(&lock), RLK_NOT_HELD);
    assert_result(rlk_keep_alive(&lock), RLK_NOT_HELD);
    assert_result(rlk_cancel(&lock), RLK_NOT_HELD);
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    harness_held(&h, &lock, 3000);
    harness_advance(&h, 3000);
    assert_result(rlk_extend_start(&lock, 1000), RLK_LOST);
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_LOST);
    assert_result(rlk_check_start(&lock), RLK_LOST);
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operation_second_is_refused),
        cmocka_unit_test(test_operation_of_a_lock_that_is_not_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
