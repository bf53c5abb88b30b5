/* SPDX-License-Identifier: MIT
 *
 * Events that a program pulls: what they carry, their order, and what drops them (events.c).
 */
#include "harness.h"

static harness h;

static void test_events_carry_lock_and_user(void **state)
{
    rlk_lock locks[3];
    rlk_lock_config config = rlk_lock_config_default();
    static const char *const keys[] = {"a", "b", "c"};
    rlk_event event;
    size_t i;

    (void)state;
    harness_start(&h, 1);
    for (i = 0; i < 3; i++) {
        config.user = &locks[i];
        assert_result(rlk_lock_init(&locks[i], h.client, keys[i], &config), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], RLK_TRY), RLK_PENDING);
    }
    harness_serve(&h, 0);
    for (i = 0; i < 3; i++) { /* in the order in which they happened */
        assert_true(rlk_client_next_event(h.client, &event));
        assert_ptr_equal(event.lock, &locks[i]);
        assert_ptr_equal(event.user, &locks[i]);
        assert_int_equal(event.type, RLK_EV_ACQUIRED);
        assert_int_equal(event.operation, RLK_OP_ACQUIRE);
        assert_result(event.result, RLK_OK);
    }
    harness_expect_no_event(&h);
    assert_false(rlk_client_next_event(h.client, NULL));
    assert_false(rlk_client_next_event(NULL, &event));
}

/* A lock in the middle of the list of events is closed: the others stay. */
static void test_events_of_a_closed_lock_are_dropped(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    unsigned closed;

    (void)state;
    for (closed = 0; support_row(closed, 3); closed++) {
        rlk_lock locks[3];
        rlk_event event;
        unsigned i;

        harness_start(&h, 1);
        for (i = 0; i < 3; i++) {
            assert_result(rlk_lock_init(&locks[i], h.client, keys[i], NULL), RLK_OK);
            assert_result(rlk_acquire_start(&locks[i], RLK_TRY), RLK_PENDING);
        }
        harness_serve(&h, 0);
        assert_result(rlk_lock_close(&locks[closed]), RLK_UNKNOWN);
        for (i = 0; i < 3; i++) {
            if (i == closed)
                continue;
            assert_true(rlk_client_next_event(h.client, &event));
            assert_ptr_equal(event.lock, &locks[i]);
        }
        harness_expect_no_event(&h);
    }
}

/* The result comes before LOST, whatever happened first; LOST comes once. */
static void test_events_lost_follows_the_result(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    assert_result(rlk_renew_start(&lock, 6000), RLK_PENDING);
    harness_advance(&h, 60000);                        /* nobody answers, nobody pulls */
    harness_expect_result(&h, RLK_OP_RENEW, RLK_LOST); /* of the renewal */
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);
    harness_advance(&h, 60000);
    harness_expect_no_event(&h);

    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_advance(&h, 3000);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);
}

/* Acquire and release take the LOST of the lease before with them: their own result says it. */
static void test_events_lost_is_dropped_by_acquire_and_release(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    harness_advance(&h, 3000);
    harness_serve(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, 3000);
    harness_serve(&h, 0);
    assert_result(rlk_release_start(&lock), RLK_LOST);
    harness_expect_no_event(&h);
    assert_result(rlk_release_start(&lock), RLK_NOT_HELD);
}

/* A call that fails takes no event away. (It did.) */
static void test_events_survive_a_call_that_fails(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
    assert_result(rlk_force_release_start(&lock), RLK_E_STATE);
    assert_result(rlk_extend_start(&lock, 0), RLK_E_TTL);
    assert_result(rlk_renew_start(&lock, 0), RLK_E_TTL);
    assert_result(rlk_query_start(&lock, NULL, 0), RLK_E_ARGUMENT);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_no_event(&h);
}

/* A call that begins an operation drops the result of the one before. */
static void test_events_give_way_to_the_next_operation(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_carry_lock_and_user),
        cmocka_unit_test(test_events_of_a_closed_lock_are_dropped),
        cmocka_unit_test(test_events_lost_follows_the_result),
        cmocka_unit_test(test_events_lost_is_dropped_by_acquire_and_release),
        cmocka_unit_test(test_events_survive_a_call_that_fails),
        cmocka_unit_test(test_events_give_way_to_the_next_operation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
