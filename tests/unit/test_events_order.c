/* SPDX-License-Identifier: MIT
 *
 * What the application sees: events and their order, second operations, cancel and close in each
 * phase, the blocking calls and env.wait.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

/* ---- Events ---- */

static void test_lock_events_carry_lock_and_user(void **state)
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
static void test_lock_events_of_a_closed_lock_are_dropped(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    unsigned closed;
    (void)state;
    for (closed = 0; closed < 3; closed++) {
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
static void test_lock_events_result_then_lost(void **state)
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
static void test_lock_events_lost_is_dropped_by_acquire_and_release(void **state)
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
static void test_lock_events_survive_a_call_that_fails(void **state)
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

/* ... one that begins something does: who starts the next has no use for it */
static void test_lock_events_give_way_to_the_next_operation(void **state)
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

/* ---- Second operations ---- */

static void test_lock_second_operation_is_refused(void **state)
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

static void test_lock_operations_of_a_lock_that_is_not_held(void **state)
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

/* ---- Cancel ---- */

/* in AWAIT, with a SET out, in the pause, in settling */
static void test_lock_cancel_acquire_in_each_phase(void **state)
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

static void test_lock_cancel_the_others(void **state)
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

/* ---- Close ---- */

static void test_lock_close_says_whether_an_orphan_is_possible(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_lock_close(&lock), RLK_OK); /* never used */
    assert_result(rlk_lock_close(&lock), RLK_E_CLOSED);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_cancel(&lock), RLK_E_CLOSED);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);

    harness_held(&h, &lock, 3000);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN); /* still in the key */
    harness_expect_quiet(&h, 0);

    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);

    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_GET);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
}

/* fault 50: the client goes with everything in flight */
static void test_lock_client_close_with_operations_in_flight(void **state)
{
    rlk_lock locks[3];
    rlk_event event;
    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &locks[0], 30000);
    assert_result(rlk_lock_init(&locks[1], h.client, "x", NULL), RLK_OK);
    assert_result(rlk_lock_init(&locks[2], h.client, "y", NULL), RLK_OK);
    assert_result(rlk_renew_start(&locks[0], 40000), RLK_PENDING);
    assert_result(rlk_acquire_start(&locks[1], RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_result(rlk_acquire_start(&locks[2], RLK_FOREVER), RLK_PENDING);
    rlk_client_close(h.client);
    rlk_client_close(h.client);
    rlk_client_close(NULL);
    assert_false(rlk_client_next_event(h.client, &event));
    assert_false(rlk_is_held(&locks[0]));
    assert_result(rlk_release_start(&locks[0]), RLK_E_CLOSED);
    assert_result(rlk_lock_close(&locks[1]), RLK_E_CLOSED);
    assert_result(rlk_client_reset(h.client), RLK_E_CLOSED);
    assert_result(rlk_lock_init(&locks[2], h.client, "y", NULL), RLK_E_CLOSED);
    assert_true(rlk_client_deadline(h.client) == RLK_NEVER);
    rlk_client_tick(h.client);
    assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 0)->conn), RLK_CONN_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_events_carry_lock_and_user),
        cmocka_unit_test(test_lock_events_of_a_closed_lock_are_dropped),
        cmocka_unit_test(test_lock_events_result_then_lost),
        cmocka_unit_test(test_lock_events_lost_is_dropped_by_acquire_and_release),
        cmocka_unit_test(test_lock_events_survive_a_call_that_fails),
        cmocka_unit_test(test_lock_events_give_way_to_the_next_operation),
        cmocka_unit_test(test_lock_second_operation_is_refused),
        cmocka_unit_test(test_lock_operations_of_a_lock_that_is_not_held),
        cmocka_unit_test(test_lock_cancel_acquire_in_each_phase),
        cmocka_unit_test(test_lock_cancel_the_others),
        cmocka_unit_test(test_lock_close_says_whether_an_orphan_is_possible),
        cmocka_unit_test(test_lock_client_close_with_operations_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
