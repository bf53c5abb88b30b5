/* SPDX-License-Identifier: MIT
 *
 * Release: what servers may answer, and which results that makes (release.c).
 */
#include "harness.h"

#include <string.h>

static harness h;

static const unsigned sizes[] = {1, 3, 5};

static void test_release_replies(void **state)
{
    static const struct {
        const char *reply;
        rlk_result expected; /* RLK_PENDING: asked again */
    } cases[] = {
        {":1\r\n", RLK_OK},
        {":0\r\n", RLK_NOT_OWNER},
        {HARNESS_WRONGTYPE, RLK_E_WRONGTYPE},
        {HARNESS_NOPERM, RLK_E_NOPERM},
        {HARNESS_MISCONF, RLK_PENDING},
        {"-LOADING\r\n", RLK_PENDING},
        {"+OK\r\n", RLK_PENDING},
        {HARNESS_NIL, RLK_PENDING},
        {":-1\r\n", RLK_PENDING},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        rlk_lock lock;
        rlk_event event;

        support_row_name("%s", cases[i].reply);
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_reply(&h, 0, cases[i].reply);
        assert_false(rlk_is_held(&lock));
        assert_int_equal(rlk_client_next_event(h.client, &event), cases[i].expected != RLK_PENDING);
        if (cases[i].expected != RLK_PENDING) {
            assert_result(event.result, cases[i].expected);
            /* a refusal leaves the key there: an orphan is possible */
            assert_result(rlk_lock_close(&lock),
                          cases[i].expected == RLK_E_NOPERM ? RLK_UNKNOWN : RLK_OK);
            continue;
        }
        harness_expect_quiet(&h, 0);
        harness_advance(&h, RLK_RETRY_MAX_MS);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    }
}

/* fault 52 */
static void test_fault_52_released_twice(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_NOT_HELD);
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
}

static void test_fault_114_release_is_done_by_its_own_answers_only(void **state)
{
    static const char *const answers[] = {":2\r\n",      ":-1\r\n", ":-4\r\n",  "+OK\r\n",
                                          "$1\r\n1\r\n", "*0\r\n",  HARNESS_NIL};
    size_t i;
    rlk_lock lock;
    rlk_event event;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(answers)); i++) {
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_reply(&h, 0, answers[i]);
        harness_expect_no_event(&h);
        assert_int_equal(rlk_conn_result(&harness_link_of(&h, 0)->conn), RLK_E_UNEXPECTED);
        h.servers[0].automatic = true;
        assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
        assert_result(event.result, RLK_OK); /* asked again, and deleted */
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    }
}

/* releasing x 0 after an unanswered release: GONE, not NOT_OWNER */
static void test_release_zero_after_an_unanswered_release(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        unsigned node;

        harness_start(&h, n);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        for (node = 0; node < n; node++) {
            (void)harness_execute(harness_link_of(&h, node));
            harness_cut(&h, node); /* the reply is lost */
        }
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        harness_reply_all(&h, 0, q, ":0\r\n");
        if (n > q) /* who has not answered may still have deleted it */
            harness_reply_all(&h, q, n, ":0\r\n");
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_GONE);
        harness_expect_no_event(&h);
    }
}

/* A release was not answered either if its error does not say whether it was executed, such as a
 * proxy's; one that says that it was not is no earlier release (simulator, seed 82) */
static void test_release_zero_after_an_error(void **state)
{
    static const struct {
        const char *error;
        rlk_result result;
    } rows[] = {{"-ODD words of a proxy\r\n", RLK_GONE}, {HARNESS_MISCONF, RLK_NOT_OWNER}};
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].error);
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        harness_reply(&h, 0, rows[i].error);
        harness_advance(&h, RLK_RETRY_MAX_MS);
        harness_reply(&h, 0, HARNESS_NOT_OURS);
        harness_expect_result(&h, RLK_OP_RELEASE, rows[i].result);
        harness_expect_no_event(&h);
    }
}

/* A release that did not leave before the stream ended is no earlier release. */
static void test_release_zero_after_an_unsent_release(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_cut(&h, 0);
    harness_link_of(&h, 0)->stuck = false;
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, ":0\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
}

/* Of a release: what it found instead; and of nothing where it worked. */
static void test_fault_111_cause_of_a_release(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 30000);
    harness_delete(&h, 0, HARNESS_KEY);
    h.servers[0].automatic = h.servers[1].automatic = h.servers[2].automatic = true;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_NOT);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_NOT);

    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    h.servers[0].automatic = true;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_OVERWRITTEN);
    assert_text_contains(rlk_lock_error(&lock),
                         "release \"k\": NOT_OWNER: the key has another value");
}

/* A release that is refused ends with that refusal, though a raise of before would be sent again
 * at an earlier time. */
static void test_fault_124_retry_of_a_cancelled_extend(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start_impatient(&h, 1, 30);
    config.retry_min_ms = config.retry_max_ms = 50;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);

    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 0, "-LOADING data\r\n"); /* again in 50 ms */
    harness_advance(&h, 25);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_CANCELLED);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, "-LOADING data\r\n");
    harness_expect_quiet(&h, 0);
    harness_advance(&h, 25);
    harness_expect_quiet(&h, 0); /* not at the time of the extend */
    assert_true(harness_next_event(&h, &event, 10));
    assert_result(event.result, RLK_E_LOADING);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_replies),
        cmocka_unit_test(test_fault_52_released_twice),
        cmocka_unit_test(test_fault_114_release_is_done_by_its_own_answers_only),
        cmocka_unit_test(test_release_zero_after_an_unanswered_release),
        cmocka_unit_test(test_release_zero_after_an_error),
        cmocka_unit_test(test_release_zero_after_an_unsent_release),
        cmocka_unit_test(test_fault_111_cause_of_a_release),
        cmocka_unit_test(test_fault_124_retry_of_a_cancelled_extend),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
