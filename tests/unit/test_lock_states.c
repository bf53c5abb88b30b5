/* SPDX-License-Identifier: MIT
 *
 * The state decisions of docs/correctness.md, row by row: while trying, on 1, 3 and 5 nodes.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

static bench b;
static const unsigned sizes[] = {1, 3, 5};

#define FOR_EACH_SIZE(i, n, q)                                                                     \
    for (i = 0; i < COUNT_OF(sizes) && (n = sizes[i], q = n / 2 + 1, true); i++)

/* A copy of the token in use. */
static const char *token_of(const rlk_lock *lock)
{
    static char token[RLK_TOKEN_MAX + 1];
    assert_int_not_equal(rlk_lock_token(lock, token, sizeof token), 0);
    return token;
}

/* trying x OK, validity already past: undo, new token */
static void test_lock_trying_ok_when_validity_is_past(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        char first[RLK_TOKEN_MAX + 1];
        unsigned node;
        bench_start(&b, n);
        bench_lock(&b, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        bench_expect_all(&b, 0, n, BENCH_SET);
        (void)snprintf(first, sizeof first, "%s", bench_expect(&b, 0, BENCH_SET)->token);
        b.now_ms += 3000; /* the process stood still: no tick */
        for (node = 0; node < n; node++) {
            bench_reply(&b, node, BENCH_OK);
            assert_false(rlk_is_held(&lock));
        }
        for (node = 0; node < n; node++)
            assert_string_equal(bench_expect(&b, node, BENCH_RELEASE)->token, first);
        bench_reply_all(&b, 0, n, ":0\r\n");
        bench_advance(&b, RLK_RETRY_MAX_MS);
        for (node = 0; node < n; node++)
            assert_string_not_equal(bench_expect(&b, node, BENCH_SET)->token, first);
        bench_reply_all(&b, 0, q, BENCH_OK);
        bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&lock));
    }
}

/* trying x quorum out of reach: end the round: drop unsent SETs, undo on all contacted */
static void test_lock_trying_quorum_out_of_reach(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        rlk_event event;
        unsigned node;
        bench_start(&b, n);
        bench_lock(&b, &lock, 3000);
        bench_link_of(&b, n - 1)->stuck = n > 1;
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        bench_reply_all(&b, 0, n - q, BENCH_OK);
        bench_reply_all(&b, n - q, n - q + n / 2, BENCH_NIL); /* q - 1: not decided yet */
        if (n == 1)
            bench_reply(&b, 0, BENCH_NIL);
        else
            bench_expect_quiet(&b, n);
        assert_false(bench_next_event(&b, &event, 0));
        if (n > 1) {
            /* the last one: its SET was encoded, but not a byte of it was taken */
            bench_advance(&b, 999);
            bench_expect_quiet(&b, n);
            bench_advance(&b, 1);
        }
        for (node = 0; node < n - q; node++)
            (void)bench_expect(&b, node, BENCH_RELEASE);
        for (; node < n - q + n / 2; node++)
            assert_null(bench_head(bench_link_of(&b, node))); /* nothing of ours is there */
        bench_serve(&b, 0);
        assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* ... a SET that waits for its connection is dropped */
static void test_lock_trying_quorum_out_of_reach_drops_unsent_sets(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned node;
    (void)state;
    bench_start(&b, 3);
    bench_lock(&b, &lock, 3000);
    b.servers[2].swallows = true;
    bench_cut(&b, 2);
    bench_advance(&b, RLK_BACKOFF_MIN_MS); /* now it is connecting */
    assert_result(rlk_acquire_start(&lock, 1000), RLK_PENDING);
    for (node = 0; node < 3; node++) {
        bench_put(&b, node, BENCH_KEY, "foreign", 60000);
        b.servers[node].automatic = true;
    }
    assert_true(bench_next_event(&b, &event, 1000));
    assert_result(event.result, RLK_TIMED_OUT);
    b.servers[2].swallows = false;
    bench_advance(&b, RLK_CONNECT_MS + RLK_BACKOFF_MAX_MS);
    assert_int_equal(rlk_conn_get_state(&bench_link_of(&b, 2)->conn), RLK_CONN_READY);
    assert_int_equal(b.servers[0].count[BENCH_SET], 1);
    assert_between(b.servers[0].count[BENCH_PTTL], 4, 20); /* is it free yet? */
    assert_int_equal(b.servers[2].count[BENCH_SET], 0);
    assert_int_equal(b.servers[2].count[BENCH_RELEASE], 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* Lets time pass until so many commands came in all, at most `ms`. */
static void advance_to(unsigned node, bench_kind kind, unsigned count, int64_t ms)
{
    int64_t end_ms = b.now_ms + ms;
    while (b.servers[node].count[kind] < count && b.now_ms < end_ms)
        bench_advance(&b, 1);
    assert_int_equal(b.servers[node].count[kind], count);
}

/* trying x node with an unresolved token: the node is skipped in later rounds until it is
 * resolved */
static void test_lock_trying_skips_unresolved_nodes(void **state)
{
    rlk_lock lock;
    char old[RLK_TOKEN_MAX + 1];
    (void)state;
    bench_start(&b, 3);
    bench_lock(&b, &lock, 900); /* one try: 300 ms */
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)snprintf(old, sizeof old, "%s", bench_expect(&b, 2, BENCH_SET)->token);
    bench_reply_all(&b, 0, 2, BENCH_NIL);
    bench_expect_quiet(&b, 0);
    /* who is known to be held is asked before there is a round again */
    advance_to(0, BENCH_PTTL, 1, RLK_RETRY_MAX_MS);
    advance_to(1, BENCH_PTTL, 1, RLK_RETRY_MAX_MS);
    bench_reply_all(&b, 0, 2, ":-2\r\n");
    /* the undo of node 2 is waited for, before and behind a pause, for one try's time each */
    advance_to(0, BENCH_SET, 2, 2 * 300 + RLK_RETRY_MIN_MS);
    assert_string_not_equal(bench_expect(&b, 0, BENCH_SET)->token, old);
    assert_int_equal(b.servers[2].count[BENCH_SET], 1);
    assert_int_equal(b.servers[2].count[BENCH_RELEASE], 1);
    bench_reply(&b, 0, BENCH_NIL); /* with two nodes left this one is enough */
    bench_reply(&b, 1, BENCH_NIL);
    bench_reply(&b, 1, BENCH_NOT_OURS);
    bench_reply(&b, 2, BENCH_OK); /* to the first SET, at last */
    assert_string_equal(bench_expect(&b, 2, BENCH_RELEASE)->token, old);
    bench_reply(&b, 2, ":1\r\n");
    advance_to(0, BENCH_PTTL, 2, RLK_RETRY_MAX_MS);
    bench_reply(&b, 0, ":-2\r\n");
    advance_to(2, BENCH_SET, 2, RLK_RETRY_MIN_MS); /* resolved: takes part again */
    bench_reply(&b, 0, BENCH_OK);
    bench_reply(&b, 2, BENCH_OK);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* trying x transport error: ridden out until the deadline, then that error */
static void test_lock_trying_transport_error_until_deadline(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        rlk_event event;
        unsigned node;
        (void)q;
        bench_start(&b, n);
        bench_lock(&b, &lock, 3000);
        for (node = 0; node < n; node++) {
            b.servers[node].refuses = true;
            bench_cut(&b, node);
        }
        assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
        assert_false(bench_next_event(&b, &event, 9999));
        assert_true(bench_next_event(&b, &event, 1));
        assert_int_equal(event.type, RLK_EV_FAILED);
        assert_result(event.result, RLK_E_CONNECT);
    }
}

/* ... or TIMED_OUT if a holder was seen */
static void test_lock_trying_transport_error_after_a_holder_was_seen(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
    bench_reply(&b, 0, BENCH_NIL);
    b.servers[0].refuses = true;
    bench_cut(&b, 0);
    assert_true(bench_next_event(&b, &event, 10000));
    assert_int_equal(event.type, RLK_EV_TIMED_OUT);
    assert_int_equal(b.now_ms, BENCH_START + 10000);
}

/* ... and survived, if the server is back in time */
static void test_lock_trying_transport_error_ridden_out(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        rlk_event event;
        unsigned node;
        bench_start(&b, n);
        bench_lock(&b, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
        for (node = 0; node < n; node++) {
            b.servers[node].refuses = true;
            bench_cut(&b, node);
        }
        bench_advance(&b, 3000);
        for (node = 0; node < q; node++) {
            b.servers[node].refuses = false;
            b.servers[node].automatic = true;
        }
        assert_true(bench_next_event(&b, &event, 6999));
        assert_result(event.result, RLK_OK);
        assert_int_equal(bench_holding(&b, BENCH_KEY, token_of(&lock)), q);
    }
}

/* ... RLK_TRY and fatal errors return at once */
static void test_lock_trying_once_returns_transport_errors_at_once(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        unsigned node;
        bench_start(&b, n);
        bench_lock(&b, &lock, 3000);
        for (node = 0; node < q; node++) { /* n - q good ones are not enough */
            b.servers[node].refuses = true;
            bench_cut(&b, node);
        }
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        bench_run(&b);
        bench_expect_event(&b, RLK_EV_FAILED, RLK_E_CONNECT);
        assert_int_equal(b.now_ms, BENCH_START);
        bench_expect_quiet(&b, n);
    }
}

static void test_lock_trying_returns_fatal_errors_at_once(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        rlk_event event;
        unsigned node;
        bench_start(&b, n);
        bench_lock(&b, &lock, 3000);
        for (node = 0; node < q; node++) {
            b.servers[node].hello = BENCH_WRONGPASS;
            bench_cut(&b, node);
        }
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        assert_true(bench_next_event(&b, &event, RLK_BACKOFF_MIN_MS));
        assert_result(event.result, RLK_E_AUTH);
        /* and the next call knows at once */
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_AUTH);
        bench_expect_no_event(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_trying_ok_when_validity_is_past),
        cmocka_unit_test(test_lock_trying_quorum_out_of_reach),
        cmocka_unit_test(test_lock_trying_quorum_out_of_reach_drops_unsent_sets),
        cmocka_unit_test(test_lock_trying_skips_unresolved_nodes),
        cmocka_unit_test(test_lock_trying_transport_error_until_deadline),
        cmocka_unit_test(test_lock_trying_transport_error_after_a_holder_was_seen),
        cmocka_unit_test(test_lock_trying_transport_error_ridden_out),
        cmocka_unit_test(test_lock_trying_once_returns_transport_errors_at_once),
        cmocka_unit_test(test_lock_trying_returns_fatal_errors_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
