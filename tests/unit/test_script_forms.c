/* SPDX-License-Identifier: MIT
 *
 * The two forms in which a lock calls its script (scripts.h): by GET, where the server has no
 * GETEX, and with the script itself, where the server keeps none.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#define TTL 30000

static harness h;
static rlk_lock subject;

/* Connected to a server that takes no SCRIPT LOAD, or has no GETEX. */
static void start(bool no_load, bool no_getex)
{
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 1, 1);
    h.servers[0].no_load = no_load;
    h.servers[0].no_getex = no_getex;
    harness_advance(&h, 0);
    assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 0)->conn), RLK_CONN_READY);
}

static const struct {
    rlk_operation operation;
    harness_kind kind;
} calls[] = {{RLK_OP_EXTEND, HARNESS_RAISE},
             {RLK_OP_CHECK, HARNESS_CHECK},
             {RLK_OP_RELEASE, HARNESS_RELEASE}};

/* The operation sends one command, in that form, and succeeds. */
static void expect_call(size_t i, bool eval, bool by_get)
{
    const harness_command *command;

    assert_result(harness_begin(&subject, calls[i].operation), RLK_PENDING);
    command = harness_expect(&h, 0, calls[i].kind);
    assert_int_equal(command->by_text, eval);
    assert_int_equal(command->by_get, by_get);
    harness_serve(&h, 0);
    harness_expect_result(&h, calls[i].operation, RLK_OK);
}

/* Whichever call is the first to learn it: its answer counts, and all that follow say it, to the
 * end of the stream and not beyond. */
static void test_fault_106_get_from_the_second_call_on(void **state)
{
    size_t first;
    size_t i;

    (void)state;
    for (first = 0; support_row(first, COUNT_OF(calls)); first++) {
        start(false, true);
        harness_held(&h, &subject, TTL);
        expect_call(first, false, false);
        assert_true((rlk_conn_server(rlk_client_conn(h.client, 0)) & RLK_SERVER_NO_GETEX) != 0);
        (void)rlk_lock_close(&subject);
        h.servers[0].entries[0].key[0] = '\0';
        harness_held(&h, &subject, TTL);
        for (i = 0; i < COUNT_OF(calls); i++)
            expect_call(i, false, true);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    }
}

/* What the script says by GET means the same; what it can't say is no answer. */
static void test_fault_106_replies_by_get(void **state)
{
    static const struct {
        const char *reply;
        rlk_result expected; /* of a check; RLK_PENDING: none, the stream ends */
        bool held;
    } rows[] = {
        {":-30100\r\n", RLK_OK, true},      /* 30000 ms are left */
        {":-100\r\n", RLK_LOST, false},     /* 0: the lease is over */
        {":-99\r\n", RLK_OK, true},         /* -1: without expiry */
        {":-98\r\n", RLK_NOT_OWNER, false}, /* -2: gone */
        {":-97\r\n", RLK_NOT_OWNER, false}, /* -3: another's */
        {":-96\r\n", RLK_PENDING, true},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_event event;

        support_row_name("%s", rows[i].reply);
        start(false, true);
        harness_held(&h, &subject, TTL);
        assert_result(rlk_check_start(&subject), RLK_PENDING);
        harness_reply(&h, 0, rows[i].reply);
        if (rows[i].expected == RLK_PENDING) {
            harness_expect_no_event(&h);
            assert_int_equal(rlk_conn_result(rlk_client_conn(h.client, 0)), RLK_E_UNEXPECTED);
        } else {
            assert_true(rlk_client_next_event(h.client, &event));
            assert_result(event.result, rows[i].expected);
        }
        assert_int_equal(rlk_is_held(&subject), rows[i].held);
    }
}

/* A server that takes no SCRIPT LOAD and forgets what EVAL brought: the call that meets it leaves
 * again with the script, and so do those behind it. */
static void test_fault_102_script_leaves_with_each_call(void **state)
{
    size_t first;
    size_t i;

    (void)state;
    for (first = 0; support_row(first, COUNT_OF(calls)); first++) {
        start(true, false);
        harness_held(&h, &subject, TTL);
        assert_result(harness_begin(&subject, calls[first].operation), RLK_PENDING);
        assert_false(harness_expect(&h, 0, calls[first].kind)->by_text);
        h.servers[0].script = false;
        assert_true(harness_execute(harness_link_of(&h, 0)));
        assert_true(harness_deliver(harness_link_of(&h, 0)));
        assert_true(harness_expect(&h, 0, calls[first].kind)->by_text);
        harness_serve(&h, 0);
        harness_expect_result(&h, calls[first].operation, RLK_OK);
        if (calls[first].operation == RLK_OP_RELEASE)
            continue;
        for (i = 0; i < COUNT_OF(calls); i++)
            expect_call(i, true, false);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_106_get_from_the_second_call_on),
        cmocka_unit_test(test_fault_106_replies_by_get),
        cmocka_unit_test(test_fault_102_script_leaves_with_each_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
