/* SPDX-License-Identifier: MIT
 *
 * rlk_query: who has the key, by the answers of the nodes (inspect.c).
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

static void answer_query(unsigned node, const char *token, int ttl_ms)
{
    char reply[RLK_TOKEN_MAX + 64];

    if (token != NULL)
        (void)snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(token), token);
    else
        (void)snprintf(reply, sizeof reply, HARNESS_NIL);
    harness_reply(&h, node, reply);
    (void)snprintf(reply, sizeof reply, ":%d\r\n", ttl_ms);
    harness_reply(&h, node, reply);
}

static void test_inspect_query_majority(void **state)
{
    /* one letter a node: whose token; - none */
    static const struct {
        const char *holders;
        rlk_result expected;
    } cases[] = {
        {"a", RLK_OK},         {"-", RLK_NOT_HELD},   {"aaa", RLK_OK},
        {"aab", RLK_OK},       {"baa", RLK_OK},       {"a-a", RLK_OK},
        {"ab-", RLK_NOT_HELD}, {"abc", RLK_NOT_HELD}, {"a--", RLK_NOT_HELD},
        {"---", RLK_NOT_HELD}, {"aabba", RLK_OK},     {"aabb-", RLK_NOT_HELD},
        {"aa", RLK_OK},        {"a-", RLK_NOT_HELD},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        unsigned n = (unsigned)strlen(cases[i].holders);
        rlk_holder holders[RLK_MAX_NODES];
        rlk_lock lock;
        unsigned node;

        support_row_name("%s", cases[i].holders);
        harness_start(&h, n);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_query_start(&lock, holders, RLK_MAX_NODES), RLK_PENDING);
        for (node = 0; node < n; node++) {
            char token[] = "token-x";

            token[6] = cases[i].holders[node];
            harness_expect_no_event(&h);
            if (token[6] == '-')
                answer_query(node, NULL, -2);
            else
                answer_query(node, token, 1000 + (int)node);
        }
        harness_expect_result(&h, RLK_OP_QUERY, cases[i].expected);
        for (node = 0; node < n; node++) {
            bool there = cases[i].holders[node] != '-';

            assert_result(holders[node].result, RLK_OK);
            assert_int_equal(holders[node].ttl_ms, there ? 1000 + (int)node : -2);
            assert_int_equal(holders[node].token_len, there ? 7 : 0);
            assert_int_equal(holders[node].token[6], there ? cases[i].holders[node] : 0);
            assert_false(holders[node].ours);
        }
        for (; node < RLK_MAX_NODES; node++)
            assert_result(holders[node].result, RLK_PENDING);
    }
}

static void test_inspect_query_knows_our_own_token(void **state)
{
    rlk_lock lock;
    rlk_holder holders[3];
    char token[RLK_TOKEN_MAX + 1];

    (void)state;
    harness_start_automatic(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_put(&h, 2, HARNESS_KEY, "foreign", -1);
    assert_result(rlk_query(&lock, holders, 3), RLK_OK);
    (void)rlk_lock_token(&lock, token, sizeof token);
    assert_string_equal(holders[0].token, token);
    assert_true(holders[0].ours && holders[1].ours && !holders[2].ours);
    assert_int_equal(holders[0].ttl_ms, 30000);
    assert_int_equal(holders[2].ttl_ms, -1);
    assert_true(rlk_is_held(&lock)); /* reads only */
}

/* A value that is longer than any token of ours is cut; longer than the receive buffer: not there
 * at all, but its length is. */
static void test_inspect_query_of_a_long_value(void **state)
{
    static const size_t lens[] = {RLK_TOKEN_MAX, RLK_TOKEN_MAX + 1, 2000};
    static char reply[2100];
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(lens)); i++) {
        rlk_lock lock;
        rlk_holder holders[1];
        int n;

        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
        n = snprintf(reply, sizeof reply, "$%zu\r\n", lens[i]);
        memset(reply + n, 'v', lens[i]);
        memcpy(reply + n + lens[i], "\r\n", 3);
        harness_reply(&h, 0, reply);
        harness_reply(&h, 0, ":5\r\n");
        harness_expect_result(&h, RLK_OP_QUERY, RLK_OK);
        assert_int_equal(holders[0].token_len, lens[i]);
        assert_int_equal(strlen(holders[0].token), lens[i] < 2000 ? RLK_TOKEN_MAX : 0);
    }
}

static void test_inspect_query_errors(void **state)
{
    static const struct {
        const char *get;
        const char *pttl;
        rlk_result expected;
    } cases[] = {
        {HARNESS_WRONGTYPE, ":5\r\n", RLK_E_WRONGTYPE},
        {"$1\r\nx\r\n", HARNESS_NOPERM, RLK_E_NOPERM},
        {HARNESS_NOPERM, HARNESS_NOPERM, RLK_E_NOPERM},
        {":1\r\n", NULL, RLK_E_UNEXPECTED}, /* ends the stream */
        {"$1\r\nx\r\n", "+OK\r\n", RLK_E_UNEXPECTED},
        {"$1\r\nx\r\n", ":-3\r\n", RLK_E_UNEXPECTED},
        {"*0\r\n", NULL, RLK_E_UNEXPECTED},
        {"-LOADING\r\n", "-LOADING\r\n", RLK_E_LOADING},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        rlk_lock lock;
        rlk_holder holders[1];

        support_row_name("%s", cases[i].get);
        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
        harness_reply(&h, 0, cases[i].get);
        if (cases[i].pttl != NULL)
            harness_reply(&h, 0, cases[i].pttl);
        harness_expect_result(&h, RLK_OP_QUERY, cases[i].expected);
        assert_result(holders[0].result, cases[i].expected);
    }
}

/* When a quorum has answered, the others have the time of one try; a node that can't be had has
 * answered. */
static void test_inspect_query_waits_for_late_nodes_for_one_try(void **state)
{
    rlk_lock lock;
    rlk_holder holders[3];
    rlk_event event;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    answer_query(1, "x", 1000);
    assert_false(harness_next_event(&h, &event, 999));
    assert_true(harness_next_event(&h, &event, 1));
    assert_result(event.result, RLK_OK);
    assert_result(holders[2].result, RLK_PENDING);
    answer_query(2, "y", 1000); /* finds nobody */
    assert_result(holders[2].result, RLK_PENDING);

    /* no quorum in that time: goes on, and then the second answer ends it */
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    harness_advance(&h, 1500);
    harness_expect_no_event(&h);
    answer_query(1, "x", 1000);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_OK);
    harness_serve(&h, 2);

    h.servers[2].refuses = true;
    harness_cut(&h, 2);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    answer_query(1, "x", 1000);
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MAX_MS));
    assert_result(event.result, RLK_OK);
    assert_result(holders[2].result, RLK_E_CONNECT);
}

/* An answer cut in half: what it said is void. */
static void test_inspect_query_cut_in_half(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    harness_reply(&h, 0, "$1\r\nx\r\n");
    harness_cut(&h, 0);
    harness_expect_no_event(&h); /* the stream is older than the call: one more try (fault 115) */
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, "$1\r\nx\r\n");
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_E_EOF);
    assert_result(holders[0].result, RLK_E_EOF);

    /* a lease that ends in the middle takes the connection for its undo; then it is asked anew */
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_advance(&h, 29500);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_GET);
    (void)harness_execute(harness_link_of(&h, 0));
    (void)harness_deliver(harness_link_of(&h, 0));
    assert_true(holders[0].ours);
    harness_advance(&h, 400);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_false(holders[0].ours);
    assert_int_equal(holders[0].token_len, 0);
    assert_int_equal(holders[0].ttl_ms, -2);
}

static void test_inspect_query_deadline(void **state)
{
    rlk_lock lock;
    rlk_holder holders[3];
    rlk_event event;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    h.servers[1].swallows = h.servers[2].swallows = true;
    harness_cut(&h, 1);
    harness_cut(&h, 2);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS + 1));
    assert_result(event.result, RLK_E_EOF); /* and nobody can be asked anew */
    assert_result(holders[0].result, RLK_OK);
    assert_result(rlk_query_start(&lock, holders, 2), RLK_E_ARGUMENT);
    assert_result(rlk_query_start(&lock, NULL, 3), RLK_E_ARGUMENT);

    harness_start_impatient(&h, 1, 500); /* before any time limit of the connection */
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_E_RESPONSE_TIMEOUT); /* fault 109 */
    assert_text_contains(rlk_lock_error(&lock), "(node 0, n0:6379, GET, PTTL)");
}

static void test_inspect_query_of_a_fatal_connection(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    h.servers[0].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_E_AUTH);
    assert_result(holders[0].result, RLK_E_AUTH);
    assert_result(rlk_force_release_start(&lock), RLK_E_AUTH);
    harness_expect_no_event(&h);
}

/* The undo of an earlier acquire waits for its node; a query that fails there leaves it alone. (It
 * did not: the node was never used again.) */
static void test_inspect_query_leaves_an_undo_alone(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MIN_MS + RLK_SETTLE_TIMEOUT_MS));
    assert_result(event.result, RLK_UNKNOWN);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_result(event.result, RLK_E_CONNECT);
    h.servers[0].refuses = false;
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    harness_serve(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A key that came, or went, between GET and PTTL is held by nobody. */
static void test_inspect_query_between_two_answers(void **state)
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
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        rlk_holder holders[RLK_MAX_NODES];
        rlk_lock lock;
        rlk_event event;

        support_row_name("%s", cases[i].get);
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

static void test_fault_109_query(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    rlk_event event;

    (void)state;
    harness_start_impatient(&h, 1, 500);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_E_RESPONSE_TIMEOUT);
    assert_result(holder.result, RLK_PENDING);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_UNKNOWN); /* this one was sent */
}

static void test_fault_112_query_says_that_nobody_has_it(void **state)
{
    rlk_lock lock;
    rlk_holder holder;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
    assert_text_contains(rlk_lock_error(&lock), "query \"k\": NOT_HELD: nobody has the lock");
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_text_contains(rlk_lock_error(&lock), "release \"k\": NOT_HELD: nothing to do");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inspect_query_majority),
        cmocka_unit_test(test_inspect_query_knows_our_own_token),
        cmocka_unit_test(test_inspect_query_of_a_long_value),
        cmocka_unit_test(test_inspect_query_errors),
        cmocka_unit_test(test_inspect_query_waits_for_late_nodes_for_one_try),
        cmocka_unit_test(test_inspect_query_cut_in_half),
        cmocka_unit_test(test_inspect_query_deadline),
        cmocka_unit_test(test_inspect_query_of_a_fatal_connection),
        cmocka_unit_test(test_inspect_query_leaves_an_undo_alone),
        cmocka_unit_test(test_inspect_query_between_two_answers),
        cmocka_unit_test(test_fault_109_query),
        cmocka_unit_test(test_fault_112_query_says_that_nobody_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
