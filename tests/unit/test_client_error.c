/* SPDX-License-Identifier: MIT
 *
 * rlk_client_error of an operation, and of none (error_text.c). It has results without texts, too.
 */
#include "harness.h"

static harness h;

/* The client reports the last operation's error when nothing is wrong with its connections. */
static void test_client_error_of_an_operation(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_string_equal(rlk_client_error(h.client), "");
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply(&h, 0, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    assert_true(rlk_client_next_event(h.client, &event));
    assert_result(event.result, RLK_E_OOM);
    assert_text_contains(rlk_client_error(h.client), "E_OOM: ");
    assert_text_contains(rlk_client_error(h.client),
                         "SET; the server said: OOM command not allowed");
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_string_equal(rlk_client_error(h.client), "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_error_of_an_operation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
