/* SPDX-License-Identifier: MIT
 *
 * Query and force_release; release; what a client is made of.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

static bench b;

/* ---- Query ---- */

static void answer_query(unsigned node, const char *token, int ttl_ms)
{
    char reply[RLK_TOKEN_MAX + 64];
    if (token)
        (void)snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(token), token);
    else
        (void)snprintf(reply, sizeof reply, BENCH_NIL);
    bench_reply(&b, node, reply);
    (void)snprintf(reply, sizeof reply, ":%d\r\n", ttl_ms);
    bench_reply(&b, node, reply);
}

static void test_lock_query_majority(void **state)
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
    for (i = 0; i < COUNT_OF(cases); i++) {
        unsigned n = (unsigned)strlen(cases[i].holders);
        rlk_holder holders[RLK_MAX_NODES];
        rlk_lock lock;
        unsigned node;
        bench_start(&b, n);
        bench_lock(&b, &lock, 30000);
        assert_result(rlk_query_start(&lock, holders, RLK_MAX_NODES), RLK_PENDING);
        for (node = 0; node < n; node++) {
            char token[] = "token-x";
            token[6] = cases[i].holders[node];
            bench_expect_no_event(&b);
            if (token[6] == '-')
                answer_query(node, NULL, -2);
            else
                answer_query(node, token, 1000 + (int)node);
        }
        bench_expect_event(&b, cases[i].expected == RLK_OK ? RLK_EV_DONE : RLK_EV_NOT_HELD,
                           cases[i].expected);
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

static void test_lock_query_knows_our_own_token(void **state)
{
    rlk_lock lock;
    rlk_holder holders[3];
    char token[RLK_TOKEN_MAX + 1];
    (void)state;
    bench_start_automatic(&b, 3);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    bench_put(&b, 2, BENCH_KEY, "foreign", -1);
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
static void test_lock_query_of_a_long_value(void **state)
{
    static const size_t lens[] = {RLK_TOKEN_MAX, RLK_TOKEN_MAX + 1, 2000};
    static char reply[2100];
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(lens); i++) {
        rlk_lock lock;
        rlk_holder holders[1];
        int n;
        bench_start(&b, 1);
        bench_lock(&b, &lock, 30000);
        assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
        n = snprintf(reply, sizeof reply, "$%zu\r\n", lens[i]);
        memset(reply + n, 'v', lens[i]);
        memcpy(reply + n + lens[i], "\r\n", 3);
        bench_reply(&b, 0, reply);
        bench_reply(&b, 0, ":5\r\n");
        bench_expect_event(&b, RLK_EV_DONE, RLK_OK);
        assert_int_equal(holders[0].token_len, lens[i]);
        assert_int_equal(strlen(holders[0].token), lens[i] < 2000 ? RLK_TOKEN_MAX : 0);
    }
}

static void test_lock_query_errors(void **state)
{
    static const struct {
        const char *get;
        const char *pttl;
        rlk_result expected;
    } cases[] = {
        {BENCH_WRONGTYPE, ":5\r\n", RLK_E_WRONGTYPE},
        {"$1\r\nx\r\n", BENCH_NOPERM, RLK_E_NOPERM},
        {BENCH_NOPERM, BENCH_NOPERM, RLK_E_NOPERM},
        {":1\r\n", NULL, RLK_E_UNEXPECTED}, /* ends the stream */
        {"$1\r\nx\r\n", "+OK\r\n", RLK_E_UNEXPECTED},
        {"$1\r\nx\r\n", ":-3\r\n", RLK_E_UNEXPECTED},
        {"*0\r\n", NULL, RLK_E_UNEXPECTED},
        {"-LOADING\r\n", "-LOADING\r\n", RLK_E_LOADING},
    };
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock lock;
        rlk_holder holders[1];
        bench_start(&b, 1);
        bench_lock(&b, &lock, 30000);
        assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
        bench_reply(&b, 0, cases[i].get);
        if (cases[i].pttl)
            bench_reply(&b, 0, cases[i].pttl);
        bench_expect_event(&b, RLK_EV_FAILED, cases[i].expected);
        assert_result(holders[0].result, cases[i].expected);
    }
}

/* When a quorum has answered, the others have the time of one try; a node that can't be had has
 * answered. */
static void test_lock_query_waits_for_late_nodes_for_one_try(void **state)
{
    rlk_lock lock;
    rlk_holder holders[3];
    rlk_event event;
    (void)state;
    bench_start(&b, 3);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    answer_query(1, "x", 1000);
    assert_false(bench_next_event(&b, &event, 999));
    assert_true(bench_next_event(&b, &event, 1));
    assert_result(event.result, RLK_OK);
    assert_result(holders[2].result, RLK_PENDING);
    answer_query(2, "y", 1000); /* finds nobody */
    assert_result(holders[2].result, RLK_PENDING);

    /* no quorum in that time: goes on, and then the second answer ends it */
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    bench_advance(&b, 1500);
    bench_expect_no_event(&b);
    answer_query(1, "x", 1000);
    bench_expect_event(&b, RLK_EV_DONE, RLK_OK);
    bench_serve(&b, 2);

    b.servers[2].refuses = true;
    bench_cut(&b, 2);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    answer_query(1, "x", 1000);
    assert_true(bench_next_event(&b, &event, RLK_BACKOFF_MAX_MS));
    assert_result(event.result, RLK_OK);
    assert_result(holders[2].result, RLK_E_CONNECT);
}

/* An answer cut in half: what it said is void. */
static void test_lock_query_cut_in_half(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    rlk_event event;
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    bench_reply(&b, 0, "$1\r\nx\r\n");
    bench_cut(&b, 0);
    assert_true(bench_next_event(&b, &event, 0));
    assert_result(event.result, RLK_E_EOF);
    assert_result(holders[0].result, RLK_E_EOF);

    /* a lease that ends in the middle takes the connection for its undo; then it is asked anew */
    bench_start(&b, 1);
    bench_held(&b, &lock, 30000);
    bench_advance(&b, 29500);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_GET);
    (void)bench_execute(bench_link_of(&b, 0));
    (void)bench_deliver(bench_link_of(&b, 0));
    assert_true(holders[0].ours);
    bench_advance(&b, 400);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_NOT_HELD, RLK_NOT_HELD);
    bench_expect_event(&b, RLK_EV_LOST, RLK_LOST);
    assert_false(holders[0].ours);
    assert_int_equal(holders[0].token_len, 0);
    assert_int_equal(holders[0].ttl_ms, -2);
}

static void test_lock_query_deadline(void **state)
{
    rlk_lock lock;
    rlk_holder holders[3];
    rlk_event event;
    (void)state;
    bench_start(&b, 3);
    bench_lock(&b, &lock, 3000);
    b.servers[1].swallows = b.servers[2].swallows = true;
    bench_cut(&b, 1);
    bench_cut(&b, 2);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    answer_query(0, "x", 1000);
    assert_true(bench_next_event(&b, &event, RLK_OPERATION_MS + 1));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_result(holders[0].result, RLK_OK);
    assert_result(rlk_query_start(&lock, holders, 2), RLK_E_ARGUMENT);
    assert_result(rlk_query_start(&lock, NULL, 3), RLK_E_ARGUMENT);

    memset(&b.config, 0, sizeof b.config);
    b.config.operation_ms = 500; /* before any time limit of the connection */
    bench_open(&b, 1, 1);
    bench_advance(&b, 0);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, 500));
    assert_result(event.result, RLK_TIMED_OUT);
}

static void test_lock_query_of_a_fatal_connection(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 3000);
    b.servers[0].hello = BENCH_WRONGPASS;
    bench_cut(&b, 0);
    bench_advance(&b, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_E_AUTH);
    assert_result(holders[0].result, RLK_E_AUTH);
    assert_result(rlk_force_release_start(&lock), RLK_E_AUTH);
    bench_expect_no_event(&b);
}

/* The undo of an earlier acquire waits for its node; a query that fails there leaves it alone. (It
 * did not: the node was never used again.) */
static void test_lock_query_leaves_an_undo_alone(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    rlk_event event;
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_SET);
    b.servers[0].refuses = true;
    bench_cut(&b, 0);
    assert_true(bench_next_event(&b, &event, RLK_SETTLE_MS));
    assert_result(event.result, RLK_UNKNOWN);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, RLK_OPERATION_MS));
    assert_result(event.result, RLK_E_CONNECT);
    b.servers[0].refuses = false;
    bench_advance(&b, RLK_BACKOFF_MAX_MS);
    (void)bench_expect(&b, 0, BENCH_RELEASE);
    bench_serve(&b, 0);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* ---- force_release ---- */

static void test_lock_force_release(void **state)
{
    static const struct {
        const char *reply;
        rlk_result expected;
        rlk_event_type type;
    } cases[] = {
        {":1\r\n", RLK_OK, RLK_EV_DONE},
        {":0\r\n", RLK_OK, RLK_EV_DONE},
        {BENCH_READONLY, RLK_E_READONLY, RLK_EV_FAILED},
        {BENCH_NOPERM, RLK_E_NOPERM, RLK_EV_FAILED},
        {"+OK\r\n", RLK_UNKNOWN, RLK_EV_UNKNOWN}, /* no answer to a DEL: executed or not */
        {":-1\r\n", RLK_UNKNOWN, RLK_EV_UNKNOWN},
    };
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock lock;
        bench_start(&b, 3);
        bench_lock(&b, &lock, 3000);
        assert_result(rlk_force_release_start(&lock), RLK_PENDING);
        bench_expect_all(&b, 0, 3, BENCH_DEL);
        bench_reply_all(&b, 0, 3, cases[i].reply);
        bench_expect_event(&b, cases[i].type, cases[i].expected);
    }
}

/* Sent and not answered: UNKNOWN, however it ends. */
static void test_lock_force_release_unanswered(void **state)
{
    char token[RLK_TOKEN_MAX + 1];
    rlk_lock lock;
    rlk_event event;
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_DEL);
    bench_cut(&b, 0);
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);

    memset(&b.config, 0, sizeof b.config);
    b.config.operation_ms = 500;
    bench_open(&b, 1, 1);
    bench_advance(&b, 0);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, 500));
    assert_result(event.result, RLK_UNKNOWN);

    /* what is under way still is no reason not to draw a token (found by the simulator) */
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    bench_serve(&b, 0);
    assert_true(bench_next_event(&b, &event, 500));
    assert_result(event.result, RLK_OK);
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), RLK_TOKEN_DIGITS);
    assert_string_not_equal(token, "0000000000000000000000000000000000000001");
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_RELEASED, RLK_OK);

    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_DEL);
    b.now_ms += 500; /* the answer comes with the deadline */
    bench_reply(&b, 0, ":1\r\n");
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);

    bench_start(&b, 1);
    bench_lock(&b, &lock, 3000);
    bench_link_of(&b, 0)->stuck = true;
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    bench_cut(&b, 0); /* it never left */
    bench_expect_event(&b, RLK_EV_FAILED, RLK_E_EOF);
}

/* ---- Release ---- */

static void test_lock_release_replies(void **state)
{
    static const struct {
        const char *reply;
        rlk_result expected; /* RLK_PENDING: asked again */
    } cases[] = {
        {":1\r\n", RLK_OK},
        {":0\r\n", RLK_NOT_OWNER},
        {BENCH_WRONGTYPE, RLK_E_WRONGTYPE},
        {BENCH_NOPERM, RLK_E_NOPERM},
        {BENCH_READONLY, RLK_PENDING},
        {"-LOADING\r\n", RLK_PENDING},
        {"+OK\r\n", RLK_PENDING},
        {BENCH_NIL, RLK_PENDING},
        {":-1\r\n", RLK_PENDING},
    };
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock lock;
        rlk_event event;
        bench_start(&b, 1);
        bench_held(&b, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        bench_reply(&b, 0, cases[i].reply);
        assert_false(rlk_is_held(&lock));
        assert_int_equal(rlk_client_next_event(b.client, &event), cases[i].expected != RLK_PENDING);
        if (cases[i].expected != RLK_PENDING) {
            assert_result(event.result, cases[i].expected);
            /* a refusal leaves the key there: an orphan is possible */
            assert_result(rlk_lock_close(&lock),
                          cases[i].expected == RLK_E_NOPERM ? RLK_UNKNOWN : RLK_OK);
            continue;
        }
        bench_expect_quiet(&b, 0);
        bench_advance(&b, RLK_RETRY_MAX_MS);
        bench_serve(&b, 0);
        bench_expect_event(&b, RLK_EV_RELEASED, RLK_OK);
    }
}

/* fault 52 */
static void test_lock_release_52_twice(void **state)
{
    rlk_lock lock;
    (void)state;
    bench_start(&b, 1);
    bench_held(&b, &lock, 30000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_RELEASED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_NOT_HELD);
    bench_expect_quiet(&b, 0);
    bench_expect_no_event(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_query_majority),
        cmocka_unit_test(test_lock_query_knows_our_own_token),
        cmocka_unit_test(test_lock_query_of_a_long_value),
        cmocka_unit_test(test_lock_query_errors),
        cmocka_unit_test(test_lock_query_waits_for_late_nodes_for_one_try),
        cmocka_unit_test(test_lock_query_cut_in_half),
        cmocka_unit_test(test_lock_query_deadline),
        cmocka_unit_test(test_lock_query_of_a_fatal_connection),
        cmocka_unit_test(test_lock_query_leaves_an_undo_alone),
        cmocka_unit_test(test_lock_force_release),
        cmocka_unit_test(test_lock_force_release_unanswered),
        cmocka_unit_test(test_lock_release_replies),
        cmocka_unit_test(test_lock_release_52_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
