/* SPDX-License-Identifier: MIT
 *
 * Which replies a server may give to each command, and what they mean.
 */
#include "harness.h"

static harness h;

static void test_command_reply_to_set(void **state)
{
    static const struct {
        const char *reply;
        rlk_result expected; /* of one attempt */
        bool undone;         /* it may have been executed */
        bool final;          /* ends a longer wait too */
    } cases[] = {
        {HARNESS_OK, RLK_OK, false, true},
        {HARNESS_NIL, RLK_BUSY, false, false},
        {"$-1\r\n", RLK_BUSY, false, false},
        {"*-1\r\n", RLK_E_UNEXPECTED, true, false}, /* fault 113 */
        {"-LOADING Redis is loading the dataset in memory\r\n", RLK_E_LOADING, false, false},
        {"-MASTERDOWN Link with MASTER is down\r\n", RLK_E_MASTERDOWN, false, false},
        {"-MISCONF Redis is configured to save RDB snapshots\r\n", RLK_E_MISCONF, false, false},
        {"-OOM command not allowed\r\n", RLK_E_OOM, false, false},
        {"-BUSY Redis is busy running a script\r\n", RLK_E_SCRIPT_BUSY, false, false},
        {"-MOVED 1 127.0.0.1:1\r\n", RLK_E_MOVED, false, true}, /* fault 97 */
        {"-ASK 1 127.0.0.1:1\r\n", RLK_E_ASK, false, true},
        {"-CLUSTERDOWN Hash slot not served\r\n", RLK_E_CLUSTERDOWN, false, false},
        {"-NOREPLICAS Not enough good replicas\r\n", RLK_E_NOREPLICAS, false, false},
        {"!13\r\n-MISCONF You.\r\n", RLK_E_SERVER, true, false},
        {"!12\r\nMISCONF You.\r\n", RLK_E_MISCONF, false, false},
        {"-SURPRISE of a proxy\r\n", RLK_E_SERVER, true, false},
        {":1\r\n", RLK_E_UNEXPECTED, true, false},
        {"+QUEUED\r\n", RLK_E_UNEXPECTED, true, false},
        {"+NO\r\n", RLK_E_UNEXPECTED, true, false},
        {"+OX\r\n", RLK_E_UNEXPECTED, true, false},
        {"$2\r\nOK\r\n", RLK_E_UNEXPECTED, true, false},
        {"*1\r\n+OK\r\n", RLK_E_UNEXPECTED, true, false},
        {HARNESS_NOPERM, RLK_E_NOPERM, false, true},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        rlk_lock lock;
        rlk_event event;

        harness_start(&h, 1);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_reply(&h, 0, cases[i].reply);
        if (cases[i].expected == RLK_E_UNEXPECTED) { /* ends the stream: undone on the next */
            assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 0);
            harness_advance(&h, RLK_BACKOFF_MIN_MS);
            assert_int_equal(h.servers[0].kills, 1);
        }
        assert_int_equal(h.servers[0].count[HARNESS_RELEASE], cases[i].undone);
        assert_int_equal(harness_next_event(&h, &event, 0), !cases[i].undone);
        if (cases[i].undone) {
            harness_reply(&h, 0, ":0\r\n");
            assert_true(harness_next_event(&h, &event, 0));
        }
        assert_result(event.result, cases[i].expected);
        assert_result(rlk_lock_close(&lock), cases[i].expected == RLK_OK ? RLK_UNKNOWN : RLK_OK);

        harness_start(&h, 1);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_reply(&h, 0, cases[i].reply);
        assert_int_equal(harness_next_event(&h, &event, 0), cases[i].final);
    }
}

/* What a server may reply to the compare of a SET that was lost. */
static void test_command_reply_to_a_compare(void **state)
{
    static const struct {
        const char *reply;
        harness_kind next;
        bool ends_stream;
    } cases[] = {
        {HARNESS_NOT_OURS, HARNESS_SET, false},    /* again */
        {HARNESS_WRONGTYPE, HARNESS_OTHER, false}, /* no token of ours is there */
        {HARNESS_MISCONF, HARNESS_RELEASE, false}, /* ends the attempt */
        {":-7\r\n", HARNESS_RELEASE, true},        /* no reply of the script */
        {"+OK\r\n", HARNESS_RELEASE, true},        {":29000\r\n", HARNESS_OTHER, false}, /* ours */
        {":0\r\n", HARNESS_RELEASE, false}, /* ours, but no time is left */
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        rlk_lock lock;

        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_cut(&h, 0);
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        harness_reply(&h, 0, cases[i].reply);
        if (cases[i].ends_stream)
            harness_advance(&h, RLK_BACKOFF_MIN_MS);
        if (cases[i].next == HARNESS_OTHER)
            harness_expect_quiet(&h, 0);
        else
            (void)harness_expect(&h, 0, cases[i].next);
    }
}

static void test_command_noscript_to_an_undo(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned loads;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply(&h, 0, "-SURPRISE\r\n");
    loads = h.servers[0].loads;
    harness_reply(&h, 0, HARNESS_NOSCRIPT);
    assert_int_equal(h.servers[0].loads, loads + 1);
    (void)harness_expect(&h, 0, HARNESS_RELEASE); /* once more, at once */
    harness_reply(&h, 0, HARNESS_NOSCRIPT);
    assert_int_equal(h.servers[0].loads, loads + 1);
    harness_expect_quiet(&h, 0); /* after a pause */
    harness_advance(&h, RLK_RETRY_MAX_MS);
    harness_reply(&h, 0, HARNESS_NOSCRIPT);
    harness_reply(&h, 0, ":0\r\n");
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 1000));
    assert_result(event.result, RLK_OK);
}

/* A streamed string, whose length is not known, is no token. */
static void test_command_streamed_string_to_get(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    harness_reply(&h, 0, "$?\r\n;1\r\nx\r\n;0\r\n");
    harness_expect_result(&h, RLK_OP_QUERY, RLK_E_UNEXPECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_reply_to_set),
        cmocka_unit_test(test_command_reply_to_a_compare),
        cmocka_unit_test(test_command_noscript_to_an_undo),
        cmocka_unit_test(test_command_streamed_string_to_get),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
