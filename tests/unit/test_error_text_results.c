/* SPDX-License-Identifier: MIT
 *
 * Errors in words: what a result means to the operation that had it.
 */
#include "harness.h"

#include <string.h>

static harness h;

/* Nobody answers a lock, held or not, until the operation gives up. */
static void test_error_text_of_what_was_not_answered(void **state)
{
    static const struct {
        rlk_operation operation;
        bool held;
        const char *text;
    } rows[] = {
        {RLK_OP_RELEASE, true, "release \"k\": UNKNOWN: not answered in time: the key may stay"},
        {RLK_OP_EXTEND, true, "extend \"k\": UNKNOWN: sent, but not answered in time: held until"},
        {RLK_OP_RENEW, true, "renew \"k\": UNKNOWN: sent, but not answered in time: held until"},
        {RLK_OP_FORCE_RELEASE, false,
         "force_release \"k\": UNKNOWN: sent, but not answered in time: perhaps the key is "
         "deleted"},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        rlk_event event;

        harness_start(&h, 1);
        if (rows[i].held)
            harness_held(&h, &lock, 30000);
        else
            harness_lock(&h, &lock, 30000);
        assert_result(harness_begin(&lock, rows[i].operation), RLK_PENDING);
        harness_run(&h);
        assert_true(harness_next_event(&h, &event, 2 * RLK_OPERATION_TIMEOUT_MS));
        assert_end(&event, rows[i].operation, RLK_UNKNOWN);
        assert_contains(rlk_lock_error(&lock), rows[i].text);
    }
}

/* The text says what the result means to all. */
static void assert_common(rlk_lock *lock, const char *before, rlk_result result)
{
    char text[160];

    strcpy(text, before);
    strcat(text, rlk_result_text(result));
    assert_string_equal(rlk_lock_error(lock), text);
}

/* What is the same to all operations, and what is not. */
static void test_error_text_of_what_was_answered(void **state)
{
    rlk_lock lock;
    rlk_holder holder;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, -5), RLK_E_TIMES);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": E_TIMES: the wait is negative");
    assert_result(rlk_query(&lock, NULL, 1), RLK_E_ARGUMENT);
    assert_contains(rlk_lock_error(&lock), "query \"k\": E_ARGUMENT: holders is NULL, or has room");
    assert_result(rlk_query(&lock, &holder, 0), RLK_E_ARGUMENT);
    assert_contains(rlk_lock_error(&lock), "query \"k\": E_ARGUMENT: holders is NULL, or has room");
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
    assert_contains(rlk_lock_error(&lock), "query \"k\": NOT_HELD: nobody has the lock");
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_common(&lock, "release \"k\": NOT_HELD: ", RLK_NOT_HELD);
    assert_result(rlk_force_release(&lock), RLK_OK);
    assert_common(&lock, "force_release \"k\": OK: ", RLK_OK);
}

/* What ended a lease takes the place of the result's text, as far as it is known: a server that has
 * no script says only that it deleted nothing. */
static void test_error_text_of_a_lease_that_a_release_did_not_find(void **state)
{
    static const struct {
        const char *reply;
        const char *text;
    } rows[] = {
        {HARNESS_NOT_OURS, "NOT_OWNER: the key has another value: "},
        {":-2\r\n", "NOT_OWNER: the key is gone: "},
        {":0\r\n", NULL},
    };
    rlk_lock lock;
    rlk_event event;
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        harness_reply(&h, 0, rows[i].reply);
        assert_true(harness_next_event(&h, &event, 1));
        assert_result(event.result, RLK_NOT_OWNER);
        if (rows[i].text != NULL)
            assert_contains(rlk_lock_error(&lock), rows[i].text);
        else
            assert_common(&lock, "release \"k\": NOT_OWNER: ", RLK_NOT_OWNER);
        assert_null(strstr(rlk_lock_error(&lock), "stop using"));
    }
}

/* A lease that ends while it is held is in use. */
static void test_error_text_of_a_loss_says_what_to_do(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    assert_true(harness_next_event(&h, &event, 3000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_contains(rlk_lock_error(&lock), "lock \"k\": LOST: the lease ran out before it was "
                                           "renewed; stop using what it protects");
}

/* A wait longer than 32 bits of milliseconds. */
static void test_error_text_of_a_wait_of_months(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, "other", -1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, 90000);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": still waiting after 90 s: BUSY: ");
    h.now_ms += INT64_C(100) * 24 * 3600 * 1000;
    harness_advance(&h, 1);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": still waiting after 4294967 s: BUSY: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_text_of_what_was_not_answered),
        cmocka_unit_test(test_error_text_of_what_was_answered),
        cmocka_unit_test(test_error_text_of_a_lease_that_a_release_did_not_find),
        cmocka_unit_test(test_error_text_of_a_loss_says_what_to_do),
        cmocka_unit_test(test_error_text_of_a_wait_of_months),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
