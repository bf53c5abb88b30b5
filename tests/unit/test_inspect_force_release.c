/* SPDX-License-Identifier: MIT
 *
 * rlk_force_release: what servers may answer, and what is known then (inspect.c).
 */
#include "harness.h"

#include <string.h>

static harness h;

typedef struct reply_row {
    const char *reply;
    rlk_result result;
} reply_row;

/* The reply of each node ends the operation at once. */
static void expect_results(unsigned nodes, const reply_row *rows, size_t len)
{
    size_t i;

    for (i = 0; support_row(i, len); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].reply);
        harness_start(&h, nodes);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_force_release_start(&lock), RLK_PENDING);
        harness_expect_all(&h, 0, nodes, HARNESS_DEL);
        harness_reply_all(&h, 0, nodes, rows[i].reply);
        harness_expect_result(&h, RLK_OP_FORCE_RELEASE, rows[i].result);
    }
}

static void test_inspect_force_release_replies(void **state)
{
    static const reply_row rows[] = {
        {":1\r\n", RLK_OK},
        {":0\r\n", RLK_OK},
        {HARNESS_MISCONF, RLK_E_MISCONF},
        {HARNESS_NOPERM, RLK_E_NOPERM},
        {"+OK\r\n", RLK_UNKNOWN}, /* no answer to a DEL: executed or not */
        {":-1\r\n", RLK_UNKNOWN},
    };

    (void)state;
    expect_results(3, rows, COUNT_OF(rows));
}

static void test_fault_114_del_is_done_by_0_and_1(void **state)
{
    static const reply_row rows[] = {
        {":0\r\n", RLK_OK},       {":1\r\n", RLK_OK},       {":2\r\n", RLK_UNKNOWN},
        {":-3\r\n", RLK_UNKNOWN}, {"+OK\r\n", RLK_UNKNOWN},
    };

    (void)state;
    expect_results(1, rows, COUNT_OF(rows));
}

/* Sent and not answered: UNKNOWN, however it ends. */
static void test_inspect_force_release_unanswered(void **state)
{
    char token[RLK_TOKEN_MAX + 1];
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    harness_cut(&h, 0);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);

    harness_start_impatient(&h, 1, 500);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_UNKNOWN);

    /* what is under way still is no reason not to draw a token (found by the simulator) */
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_OK);
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), RLK_TOKEN_DIGITS);
    assert_string_not_equal(token, "0000000000000000000000000000000000000001");
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);

    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    h.now_ms += 500; /* the answer comes with the deadline */
    harness_reply(&h, 0, ":1\r\n");
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);

    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    harness_cut(&h, 0); /* it never left: one more try */
    harness_expect_no_event(&h);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_cut(&h, 0);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_E_EOF);
}

/* Begun before there is a stream, encoded on the first one, and not a byte of it left: nothing can
 * have been deleted, and that is known. */
static void test_inspect_force_release_encoded_and_not_sent(void **state)
{
    harness_link *link = harness_link_of(&h, 0);
    rlk_lock lock;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 1, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    do { /* what a reply brings the connection to send waits there */
        link->stuck = false;
        h.servers[0].mute = true;
        harness_run(&h);
        link->stuck = true;
        h.servers[0].mute = false;
        harness_run(&h);
    } while (rlk_conn_get_state(&link->conn) != RLK_CONN_READY);
    harness_cut(&h, 0);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_E_EOF);
    assert_int_equal(h.servers[0].count[HARNESS_DEL], 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inspect_force_release_replies),
        cmocka_unit_test(test_inspect_force_release_unanswered),
        cmocka_unit_test(test_inspect_force_release_encoded_and_not_sent),
        cmocka_unit_test(test_fault_114_del_is_done_by_0_and_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
