/* SPDX-License-Identifier: MIT
 *
 * An acquire that nobody answers: fault 109 of docs/correctness.md (acquire.c).
 */
#include "harness.h"

static harness h;

static void expect_unanswered(void)
{
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
}

static void test_fault_109_nobody_answered(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    expect_unanswered();
    assert_text_contains(rlk_lock_error(&lock), "acquire \"k\": E_RESPONSE_TIMEOUT: ");
    assert_text_contains(rlk_lock_error(&lock), "(node 0, n0:6379, SET)");
    assert_text_contains(rlk_client_error(h.client), "E_RESPONSE_TIMEOUT: ");

    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 1000); /* the time of one try */
    harness_serve(&h, 0);
    expect_unanswered();
    harness_expect_no_event(&h);
}

/* Some did, but no quorum, and none that has seen a holder. */
static void test_fault_109_no_quorum_answered(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    expect_unanswered();
    harness_serve(&h, 2);

    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_advance(&h, 100);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT); /* one was seen */
}

/* Behind another lock of the client: what that one saw counts, and nothing else. */
static void test_fault_109_behind_another_lock(void **state)
{
    rlk_lock first;
    rlk_lock second;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &first, 30000);
    harness_lock(&h, &second, 30000);
    assert_result(rlk_acquire_start(&first, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&second, 100), RLK_PENDING);
    harness_advance(&h, 100);
    expect_unanswered();

    harness_reply(&h, 0, HARNESS_NIL);
    assert_result(rlk_acquire_start(&second, 10), RLK_PENDING);
    harness_advance(&h, 10);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);

    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, RLK_RETRY_MAX_MS));
    assert_result(event.result, RLK_OK);
    h.servers[0].automatic = false;
    assert_result(rlk_acquire_start(&second, 100), RLK_PENDING); /* asks, and is not answered */
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    expect_unanswered();
}

/* The first had it while the second waited. */
static void test_fault_109_another_lock_has_it(void **state)
{
    rlk_lock first;
    rlk_lock second;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &first, 30000);
    harness_lock(&h, &second, 30000);
    assert_result(rlk_acquire_start(&first, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&second, 100), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_109_nobody_answered),
        cmocka_unit_test(test_fault_109_no_quorum_answered),
        cmocka_unit_test(test_fault_109_behind_another_lock),
        cmocka_unit_test(test_fault_109_another_lock_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
