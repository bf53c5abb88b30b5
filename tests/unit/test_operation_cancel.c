/* SPDX-License-Identifier: MIT
 *
 * rlk_cancel of each operation, in each of its phases (operation.c).
 */
#include "harness.h"

#include <string.h>

static harness h;

/* in AWAIT, with a SET out, in the pause, in settling */
static void test_operation_cancel_of_an_acquire_in_each_phase(void **state)
{
    rlk_lock lock;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 1, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);

    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_no_event(&h); /* not before the undo is answered */
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_no_event(&h);
    assert_result(rlk_cancel(&lock), RLK_OK); /* again: no harm */
    harness_reply(&h, 0, ":1\r\n");
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_result(rlk_cancel(&lock), RLK_NOT_HELD);

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);

    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_advance(&h, 200);
    assert_result(rlk_cancel(&lock), RLK_OK); /* it would have been TIMED_OUT */
    harness_advance(&h, RLK_SETTLE_TIMEOUT_MS - 101);
    harness_expect_no_event(&h);
    harness_advance(&h, 1);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_UNKNOWN);
    harness_expect_no_event(&h);
}

static void test_operation_cancel_of_the_others(void **state)
{
    static const struct {
        harness_kind kind;
        rlk_result unsent;
        rlk_result sent;
    } cases[] = {
        {HARNESS_RAISE, RLK_CANCELLED, RLK_UNKNOWN}, {HARNESS_CHECK, RLK_CANCELLED, RLK_CANCELLED},
        {HARNESS_RELEASE, RLK_UNKNOWN, RLK_UNKNOWN}, {HARNESS_GET, RLK_CANCELLED, RLK_CANCELLED},
        {HARNESS_DEL, RLK_CANCELLED, RLK_UNKNOWN},
    };
    size_t i;

    (void)state;
    for (i = 0; i < 2 * COUNT_OF(cases); i++) {
        harness_kind kind = cases[i / 2].kind;
        bool sent = i % 2 != 0;
        rlk_lock lock;
        rlk_holder holders[1];
        rlk_event event;

        harness_start(&h, 1);
        if (kind == HARNESS_DEL)
            harness_lock(&h, &lock, 30000);
        else
            harness_held(&h, &lock, 30000);
        if (!sent) {
            h.servers[0].refuses = true;
            harness_cut(&h, 0);
        }
        switch (kind) {
        case HARNESS_RAISE:
            assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
            break;
        case HARNESS_CHECK:
            assert_result(rlk_check_start(&lock), RLK_PENDING);
            break;
        case HARNESS_RELEASE:
            assert_result(rlk_release_start(&lock), RLK_PENDING);
            break;
        case HARNESS_GET:
            assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
            break;
        default:
            assert_result(rlk_force_release_start(&lock), RLK_PENDING);
            break;
        }
        if (sent)
            (void)harness_expect(&h, 0, kind);
        assert_result(rlk_cancel(&lock), RLK_OK);
        assert_true(rlk_client_next_event(h.client, &event));
        assert_result(event.result, sent ? cases[i / 2].sent : cases[i / 2].unsent);
        assert_int_equal(rlk_is_held(&lock), kind != HARNESS_RELEASE && kind != HARNESS_DEL);
        h.servers[0].refuses = false;
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        if (!sent && kind != HARNESS_RELEASE)
            harness_expect_quiet(&h, 0); /* nor later */
        harness_serve(&h, 0);            /* late replies find nobody */
        if (kind == HARNESS_RELEASE)
            harness_expect_event(&h, RLK_EV_SETTLED, RLK_OK);
        harness_expect_no_event(&h);
        if (kind == HARNESS_RELEASE)
            assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operation_cancel_of_an_acquire_in_each_phase),
        cmocka_unit_test(test_operation_cancel_of_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
