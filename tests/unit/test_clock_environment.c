/* SPDX-License-Identifier: MIT
 *
 * A client's environment: a process that forked, and a clock that goes back.
 */
#include "harness.h"

#include <string.h>

static harness h;

/* fault 45: the child of a fork is refused in every call */
static void test_fault_45_child_is_refused(void **state)
{
    static const rlk_operation operations[] = {RLK_OP_ACQUIRE,      RLK_OP_RELEASE, RLK_OP_EXTEND,
                                               RLK_OP_RENEW,        RLK_OP_CHECK,   RLK_OP_QUERY,
                                               RLK_OP_FORCE_RELEASE};
    rlk_lock lock;
    rlk_lock fresh;
    rlk_event event;
    size_t i;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_serve(&h, 0); /* an event to pull */
    h.forked = true;
    assert_false(rlk_is_held(&lock));
    assert_false(rlk_is_held_at(&lock, h.now_ms));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    for (i = 0; support_row(i, COUNT_OF(operations)); i++)
        assert_result(harness_begin(&lock, operations[i]), RLK_E_FORKED);
    assert_result(rlk_keep_alive(&lock), RLK_E_FORKED);
    assert_result(rlk_cancel(&lock), RLK_E_FORKED);
    assert_result(rlk_lock_init(&fresh, h.client, "x", NULL), RLK_E_FORKED);
    assert_result(rlk_client_reset(h.client), RLK_E_FORKED);
    assert_false(rlk_client_next_event(h.client, &event));
    assert_true(rlk_client_deadline(h.client) == RLK_NEVER);
    rlk_client_tick(h.client);
    harness_expect_quiet(&h, 0);
    h.forked = false; /* the parent goes on */
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_client_reset(NULL), RLK_E_ARGUMENT);
}

/* A clock that goes back is not followed (fault 87). */
static void test_fault_87_backward_clock(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_advance(&h, 29000);
    h.now_ms -= 20000;
    assert_int_equal(rlk_remaining_ms(&lock), 30000 - 303 - 29000);
    assert_result(rlk_renew_start(&lock, 30000), RLK_PENDING);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, 30000);
    harness_reply(&h, 0, ":30000\r\n");
    assert_int_equal(rlk_remaining_ms(&lock), 30000 - 303); /* of the clock as it was taken */
    h.now_ms += 20000;
    assert_int_equal(rlk_remaining_ms(&lock), 30000 - 303);
}

/* A child closes the lock, overwrites its memory, and closes the client. */
static void test_fault_45_child_closes_all(void **state)
{
    static rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    h.forked = true;
    assert_result(rlk_lock_close(&lock), RLK_E_FORKED);
    memset(&lock, 0xa5, sizeof lock);
    rlk_client_close(h.client);
    h.forked = false;
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
}

static void test_clock_without_fork_check(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    h.client->env.same_process = NULL;
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
}

static int changes;

static void count_change(void *context, rlk_client *client)
{
    assert_ptr_equal(context, h.client->env.context);
    assert_ptr_equal(client, h.client);
    changes++;
}

/* Each call of a lock notifies the driver; what the driver itself calls, and questions, do not. */
static void test_clock_driver_is_notified_of_calls(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    h.client->env.changed = count_change;
    changes = 0;
    harness_held(&h, &lock, 30000);
    assert_int_equal(changes, 1);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_int_equal(changes, 2);
    assert_result(rlk_cancel(&lock), RLK_OK);
    assert_int_equal(changes, 3);
    assert_result(rlk_client_reset(h.client), RLK_OK);
    assert_int_equal(changes, 4);
    assert_false(rlk_is_held(&lock));
    harness_serve(&h, 0);
    assert_int_equal(changes, 4);
    h.forked = true;
    assert_result(rlk_release_start(&lock), RLK_E_FORKED);
    assert_int_equal(changes, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_45_child_is_refused),
        cmocka_unit_test(test_fault_87_backward_clock),
        cmocka_unit_test(test_fault_45_child_closes_all),
        cmocka_unit_test(test_clock_without_fork_check),
        cmocka_unit_test(test_clock_driver_is_notified_of_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
