/* SPDX-License-Identifier: MIT
 *
 * Operations that may not begin: beside another one, or of a lock that is not held (operation.c).
 */
#include "harness.h"

static harness h;

static void test_operation_second_is_refused(void **state)
{
    rlk_lock lock;
    rlk_holder holders[RLK_MAX_NODES];
    unsigned i;

    (void)state;
    for (i = 0; i < 7; i++) {
        rlk_operation operation;

        harness_start(&h, 1);
        if (i < 5 && i > 0)
            harness_held(&h, &lock, 3000);
        else
            harness_lock(&h, &lock, 3000);
        switch (i) {
        case 0:
            assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
            break;
        case 1:
            assert_result(rlk_release_start(&lock), RLK_PENDING);
            break;
        case 2:
            assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
            break;
        case 3:
            assert_result(rlk_renew_start(&lock, 6000), RLK_PENDING);
            break;
        case 4:
            assert_result(rlk_check_start(&lock), RLK_PENDING);
            break;
        case 5:
            assert_result(rlk_query_start(&lock, holders, RLK_MAX_NODES), RLK_PENDING);
            break;
        default:
            assert_result(rlk_force_release_start(&lock), RLK_PENDING);
            break;
        }
        operation = rlk_lock_operation(&lock);
        assert_int_not_equal(operation, RLK_OP_NONE);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
        assert_result(rlk_release_start(&lock), RLK_E_STATE);
        assert_result(rlk_extend_start(&lock, 1000), RLK_E_STATE);
        assert_result(rlk_renew_start(&lock, 6000), RLK_E_STATE);
        assert_result(rlk_check_start(&lock), RLK_E_STATE);
        assert_result(rlk_query_start(&lock, holders, RLK_MAX_NODES), RLK_E_STATE);
        assert_result(rlk_force_release_start(&lock), RLK_E_STATE);
        assert_result(rlk_keep_alive(&lock), i >= 2 && i <= 4 ? RLK_OK : RLK_E_STATE);
        assert_int_equal(rlk_lock_operation(&lock), operation);
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
