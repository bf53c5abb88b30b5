/* SPDX-License-Identifier: MIT
 *
 * What a lease may claim, and how long its undo goes on. Each was found by review: the lock was
 * right in all the tests before these.
 */
#include "harness.h"

#include <string.h>

static harness h;

static int64_t deadline_of(const rlk_lock *lock)
{
    return h.now_ms + rlk_remaining_ms(lock);
}

/* Rule 2: "each counts less drift over its own horizon". A slow check that allows what is known
 * confirms it, but the clocks have drifted since it was asked for: the deadline must not move. */
static void test_lock_slow_check_keeps_the_drift(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    harness_advance(&h, 20000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_run(&h);
    harness_advance(&h, 400);
    harness_reply(&h, 0, ":9700\r\n"); /* the known 10000 at t0 lies between 9700 and 10100 */
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(deadline_of(&lock), deadline_ms);
}

/* Less than was known is believed at once. */
static void test_lock_check_shortens(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":5000\r\n");
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 5000 - 53, 5000);
}

/* Fault 26: the server's clock goes back an hour: the client's deadline stands. */
static void test_fault_26_server_clock_back(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    harness_advance(&h, 1000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":3629000\r\n");
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_true(deadline_of(&lock) <= deadline_ms);
    /* nor does a renewal bring more than it asks for */
    assert_result(rlk_renew_start(&lock, 40000), RLK_PENDING);
    harness_reply(&h, 0, ":3640000\r\n");
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 40000 - 403, 40000);
}

/* An extend that ended as UNKNOWN: "held until the old deadline", whatever a check sees later. */
static void test_lock_unknown_extend_is_not_claimed_by_a_check(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    assert_result(rlk_extend_start(&lock, 60000), RLK_PENDING);
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_UNKNOWN);
    harness_serve(&h, 0);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(deadline_of(&lock), deadline_ms);
}

/* An undo that is refused goes on as long as the key may live: here an hour, not the TTL. */
static void test_lock_undo_outlives_an_extended_key(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    h.servers[0].automatic = true;
    assert_result(rlk_extend_start(&lock, 3600000), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 1000));
    assert_result(event.result, RLK_OK);
    h.servers[0].fails = "-READONLY You can't write against a read only replica.\r\n";
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 10000));
    assert_result(event.result, RLK_E_READONLY);
    harness_advance(&h, 10000);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
    h.servers[0].fails = NULL;
    harness_advance(&h, 2 * RLK_RETRY_MAX_MS);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* ... and no longer: then the key has gone by itself, and nothing is sent for ever. */
static void test_lock_undo_ends_with_the_key(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned before;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    h.servers[0].automatic = true;
    h.servers[0].fails = "-READONLY You can't write against a read only replica.\r\n";
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 10000));
    harness_advance(&h, 4000);
    before = h.servers[0].count[HARNESS_RELEASE];
    assert_true(before > 3);
    harness_advance(&h, 60000);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], before);
}

/* A client for loops only: the end of a scope sends the release, and doesn't wait. */
static void test_lock_scope_without_wait(void **state)
{
    (void)state;
    harness_start(&h, 1);
    h.client->env.wait = NULL;
    {
        RLK_SCOPED(lock, h.client, HARNESS_KEY, NULL);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING); /* still under way */
    }
    harness_serve(&h, 0);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    {
        RLK_SCOPED(lock, h.client, HARNESS_KEY, NULL);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_serve(&h, 0);
        assert_true(rlk_is_held(&lock));
    }
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 2);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

/* A key that came, or went, between GET and PTTL is held by nobody. */
static void test_lock_query_between_two_answers(void **state)
{
    static const struct {
        const char *get;
        const char *pttl;
        rlk_result result;
        int64_t ttl_ms;
        uint32_t token_len;
    } cases[] = {
        {"$-1\r\n", ":1000\r\n", RLK_NOT_HELD, -2, 0},
        {"$3\r\nabc\r\n", ":-2\r\n", RLK_NOT_HELD, -2, 0},
        {"$3\r\nabc\r\n", ":-1\r\n", RLK_OK, -1, 3},
        {"$0\r\n\r\n", ":1000\r\n", RLK_OK, 1000, 0}, /* an empty value is one */
    };
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_holder holders[RLK_MAX_NODES];
        rlk_lock lock;
        rlk_event event;
        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_query_start(&lock, holders, RLK_MAX_NODES), RLK_PENDING);
        harness_reply(&h, 0, cases[i].get);
        harness_reply(&h, 0, cases[i].pttl);
        assert_true(rlk_client_next_event(h.client, &event));
        assert_result(event.result, cases[i].result);
        assert_result(holders[0].result, RLK_OK);
        assert_int_equal(holders[0].ttl_ms, cases[i].ttl_ms);
        assert_int_equal(holders[0].token_len, cases[i].token_len);
        assert_int_equal(strlen(holders[0].token), cases[i].token_len);
    }
}

/* The client tells the last operation's error when nothing is wrong with its connections. */
static void test_lock_client_error_of_an_operation(void **state)
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_slow_check_keeps_the_drift),
        cmocka_unit_test(test_lock_check_shortens),
        cmocka_unit_test(test_fault_26_server_clock_back),
        cmocka_unit_test(test_lock_unknown_extend_is_not_claimed_by_a_check),
        cmocka_unit_test(test_lock_undo_outlives_an_extended_key),
        cmocka_unit_test(test_lock_undo_ends_with_the_key),
        cmocka_unit_test(test_lock_scope_without_wait),
        cmocka_unit_test(test_lock_query_between_two_answers),
        cmocka_unit_test(test_lock_client_error_of_an_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
