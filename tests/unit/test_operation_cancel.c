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

/* The result depends on whether a byte of the command may have left. */
static void test_operation_cancel_of_the_others(void **state)
{
    static const struct {
        rlk_operation operation;
        harness_kind kind;
        bool sent;
        rlk_result result;
    } rows[] = {
        {RLK_OP_EXTEND, HARNESS_RAISE, false, RLK_CANCELLED},
        {RLK_OP_EXTEND, HARNESS_RAISE, true, RLK_UNKNOWN},
        {RLK_OP_CHECK, HARNESS_CHECK, false, RLK_CANCELLED},
        {RLK_OP_CHECK, HARNESS_CHECK, true, RLK_CANCELLED},
        {RLK_OP_RELEASE, HARNESS_RELEASE, false, RLK_UNKNOWN},
        {RLK_OP_RELEASE, HARNESS_RELEASE, true, RLK_UNKNOWN},
        {RLK_OP_QUERY, HARNESS_GET, false, RLK_CANCELLED},
        {RLK_OP_QUERY, HARNESS_GET, true, RLK_CANCELLED},
        {RLK_OP_FORCE_RELEASE, HARNESS_DEL, false, RLK_CANCELLED},
        {RLK_OP_FORCE_RELEASE, HARNESS_DEL, true, RLK_UNKNOWN},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        bool releases = rows[i].operation == RLK_OP_RELEASE;
        bool forces = rows[i].operation == RLK_OP_FORCE_RELEASE;
        rlk_lock lock;
        rlk_event event;

        harness_start(&h, 1);
        if (forces)
            harness_lock(&h, &lock, 30000);
        else
            harness_held(&h, &lock, 30000);
        if (!rows[i].sent) {
            h.servers[0].refuses = true;
            harness_cut(&h, 0);
        }
        assert_result(harness_begin(&lock, rows[i].operation), RLK_PENDING);
        if (rows[i].sent)
            (void)harness_expect(&h, 0, rows[i].kind);
        assert_result(rlk_cancel(&lock), RLK_OK);
        assert_true(rlk_client_next_event(h.client, &event));
        assert_result(event.result, rows[i].result);
        assert_int_equal(rlk_is_held(&lock), !releases && !forces);
        h.servers[0].refuses = false;
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        if (!rows[i].sent && !releases)
            harness_expect_quiet(&h, 0); /* nor later */
        harness_serve(&h, 0);            /* late replies find nobody */
        if (releases)
            harness_expect_event(&h, RLK_EV_SETTLED, RLK_OK);
        harness_expect_no_event(&h);
        if (releases)
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
