/* SPDX-License-Identifier: MIT
 *
 * The state decisions of docs/correctness.md while a lock is acquired, on 1, 3 and 5 nodes
 * (acquire.c).
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

static const unsigned sizes[] = {1, 3, 5};

/* A copy of the token in use. */
static const char *token_of(const rlk_lock *lock)
{
    static char token[RLK_TOKEN_MAX + 1];

    assert_int_not_equal(rlk_lock_token(lock, token, sizeof token), 0);
    return token;
}

/* Lets time pass until the node has received `count` commands, at most `ms`. */
static void advance_to(unsigned node, harness_kind kind, unsigned count, int64_t ms)
{
    int64_t end_ms = h.now_ms + ms;

    while (h.servers[node].count[kind] < count && h.now_ms < end_ms)
        harness_advance(&h, 1);
    assert_int_equal(h.servers[node].count[kind], count);
}

/* trying x OK, validity already past: undo, new token */
static void test_acquire_ok_when_validity_is_past(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        char first[RLK_TOKEN_MAX + 1];
        unsigned node;

        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_SET);
        (void)snprintf(first, sizeof first, "%s", harness_expect(&h, 0, HARNESS_SET)->token);
        h.now_ms += 3000; /* the process stood still: no tick */
        for (node = 0; node < n; node++) {
            harness_reply(&h, node, HARNESS_OK);
            assert_false(rlk_is_held(&lock));
        }
        for (node = 0; node < n; node++)
            assert_string_equal(harness_expect(&h, node, HARNESS_RELEASE)->token, first);
        harness_reply_all(&h, 0, n, ":0\r\n");
        harness_advance(&h, RLK_RETRY_MAX_MS + RLK_RETRY_MIN_MS); /* the gate, then all */
        for (node = 0; node < n; node++)
            assert_string_not_equal(harness_expect(&h, node, HARNESS_SET)->token, first);
        harness_reply_all(&h, 0, q, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&lock));
    }
}

/* trying x quorum out of reach: the attempt ends: unsent SETs are dropped, the others undone */
static void test_acquire_quorum_out_of_reach(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        rlk_event event;
        unsigned node;

        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        harness_link_of(&h, n - 1)->stuck = n > 1;
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_reply_all(&h, 0, n - q, HARNESS_OK);
        harness_reply_all(&h, n - q, n - q + n / 2, HARNESS_NIL); /* q - 1: not decided yet */
        if (n == 1)
            harness_reply(&h, 0, HARNESS_NIL);
        else
            harness_expect_quiet(&h, n);
        assert_false(harness_next_event(&h, &event, 0));
        if (n > 1) {
            /* the last one: its SET was encoded, but not a byte of it was taken */
            harness_advance(&h, 999);
            harness_expect_quiet(&h, n);
            harness_advance(&h, 1);
        }
        for (node = 0; node < n - q; node++)
            (void)harness_expect(&h, node, HARNESS_RELEASE);
        for (; node < n - q + n / 2; node++)
            assert_null(harness_head(harness_link_of(&h, node))); /* nothing of ours is there */
        harness_serve(&h, 0);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* Quorum out of reach: a SET that waits for its connection is dropped. */
static void test_acquire_quorum_out_of_reach_drops_unsent_sets(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned node;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    h.servers[2].swallows = true;
    harness_cut(&h, 2);
    harness_advance(&h, RLK_BACKOFF_MIN_MS); /* now it is connecting */
    assert_result(rlk_acquire_start(&lock, 1000), RLK_PENDING);
    for (node = 0; node < 3; node++) {
        harness_put(&h, node, HARNESS_KEY, "foreign", 60000);
        h.servers[node].automatic = true;
    }
    assert_true(harness_next_event(&h, &event, 1000));
    assert_result(event.result, RLK_TIMED_OUT);
    h.servers[2].swallows = false;
    harness_advance(&h, RLK_CONNECT_TIMEOUT_MS + RLK_BACKOFF_MAX_MS);
    assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 2)->conn), RLK_CONN_READY);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    assert_between(h.servers[0].count[HARNESS_PTTL], 3, 20); /* is it free yet? */
    assert_int_equal(h.servers[2].count[HARNESS_SET], 0);
    assert_int_equal(h.servers[2].count[HARNESS_RELEASE], 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* trying x node with an unresolved token: later attempts skip the node until it is
 * resolved */
static void test_acquire_skips_unresolved_nodes(void **state)
{
    rlk_lock lock;
    char old[RLK_TOKEN_MAX + 1];

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 900); /* one try: 300 ms */
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)snprintf(old, sizeof old, "%s", harness_expect(&h, 2, HARNESS_SET)->token);
    harness_reply_all(&h, 0, 2, HARNESS_NIL);
    harness_expect_quiet(&h, 0);
    /* a node that is known to be held is probed before the next attempt */
    advance_to(0, HARNESS_PTTL, 1, RLK_RETRY_MAX_MS);
    advance_to(1, HARNESS_PTTL, 1, RLK_RETRY_MAX_MS);
    harness_reply_all(&h, 0, 2, ":-2\r\n");
    /* the undo of node 2 is waited for, before and behind a pause, for one try's time each */
    advance_to(0, HARNESS_SET, 2, 2 * 300 + RLK_RETRY_MIN_MS);
    assert_string_not_equal(harness_expect(&h, 0, HARNESS_SET)->token, old);
    assert_int_equal(h.servers[2].count[HARNESS_SET], 1);
    assert_int_equal(h.servers[2].count[HARNESS_RELEASE], 1);
    harness_reply(&h, 0, HARNESS_OK);
    harness_reply(&h, 1, HARNESS_NIL); /* with two nodes left this one is enough */
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    harness_reply(&h, 0, ":1\r\n");
    harness_reply(&h, 2, HARNESS_OK); /* to the first SET, at last */
    assert_string_equal(harness_expect(&h, 2, HARNESS_RELEASE)->token, old);
    harness_reply(&h, 2, ":1\r\n");
    advance_to(0, HARNESS_SET, 3, RLK_RETRY_MAX_MS);
    harness_reply(&h, 0, HARNESS_OK);
    advance_to(2, HARNESS_SET, 2, RLK_RETRY_MIN_MS); /* resolved: takes part again */
    harness_reply(&h, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* trying x transport error: tried again until the deadline, then that error */
static void test_acquire_transport_error_until_deadline(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        rlk_lock lock;
        rlk_event event;
        unsigned node;

        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        for (node = 0; node < n; node++) {
            h.servers[node].refuses = true;
            harness_cut(&h, node);
        }
        assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
        assert_false(harness_next_event(&h, &event, 9999));
        assert_true(harness_next_event(&h, &event, 1));
        assert_end(&event, RLK_OP_ACQUIRE, RLK_E_CONNECT);
    }
}

/* After a holder was seen it is TIMED_OUT. */
static void test_acquire_transport_error_after_a_holder_was_seen(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, 10000));
    assert_end(&event, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
    assert_int_equal(h.now_ms, HARNESS_START + 10000);
}

/* A server that is back in time is acquired on. */
static void test_acquire_transport_error_survived(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        rlk_event event;
        unsigned node;

        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
        for (node = 0; node < n; node++) {
            h.servers[node].refuses = true;
            harness_cut(&h, node);
        }
        harness_advance(&h, 3000);
        for (node = 0; node < q; node++) {
            h.servers[node].refuses = false;
            h.servers[node].automatic = true;
        }
        assert_true(harness_next_event(&h, &event, 6999));
        assert_result(event.result, RLK_OK);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, token_of(&lock)), q);
    }
}

/* RLK_TRY and fatal errors return at once. */
static void test_acquire_once_returns_transport_errors_at_once(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        unsigned node;

        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        for (node = 0; node < q; node++) { /* n - q good ones are not enough */
            h.servers[node].refuses = true;
            harness_cut(&h, node);
        }
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_run(&h);
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_CONNECT);
        assert_int_equal(h.now_ms, HARNESS_START);
        harness_expect_quiet(&h, n);
    }
}

static void test_acquire_returns_fatal_errors_at_once(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        rlk_event event;
        unsigned node;

        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        for (node = 0; node < q; node++) {
            h.servers[node].hello = HARNESS_WRONGPASS;
            harness_cut(&h, node);
        }
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MIN_MS));
        assert_result(event.result, RLK_E_AUTH);
        /* and the next call knows at once */
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_AUTH);
        harness_expect_no_event(&h);
    }
}

/* timeout and OK in the same tick: the deadline wins, undo; TIMED_OUT when the undo is answered */
static void test_acquire_timeout_and_ok_in_the_same_tick(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        rlk_lock lock;

        harness_start(&h, n);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, 500), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_SET);
        h.now_ms += 500; /* no tick: the input is there first */
        harness_reply_all(&h, 0, n, HARNESS_OK);
        assert_false(rlk_is_held(&lock));
        harness_expect_no_event(&h);
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        harness_reply_all(&h, 0, n, ":1\r\n");
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* An OK that comes before the deadline counts. */
static void test_acquire_ok_just_before_the_timeout(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 500), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    h.now_ms += 499;
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* acquired x late OK of the minority: counts in E_i; the release follows on that connection */
static void test_acquire_late_ok_of_a_minority(void **state)
{
    unsigned i;

    for (i = 1; i < COUNT_OF(sizes); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        int64_t remaining_ms;

        (void)state;
        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        harness_link_of(&h, 0)->stuck = true; /* its SET, encoded at once, has the oldest t0 */
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_advance(&h, 10);
        harness_reply_all(&h, 1, q + 1, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        remaining_ms = rlk_remaining_ms(&lock);
        harness_link_of(&h, 0)->stuck = false;
        harness_reply(&h, 0, HARNESS_OK);
        assert_int_equal(rlk_remaining_ms(&lock), remaining_ms);
        /* it is one of the quorum when another node turns out not to be */
        assert_result(rlk_check_start(&lock), RLK_PENDING);
        harness_reply(&h, 1, HARNESS_NOT_OURS);
        harness_reply_all(&h, 2, q + 1, ":2990\r\n");
        harness_reply(&h, 0, ":2990\r\n");
        harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        assert_int_equal(h.servers[1].count[HARNESS_RELEASE], 0); /* known not to have it */
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acquire_ok_when_validity_is_past),
        cmocka_unit_test(test_acquire_quorum_out_of_reach),
        cmocka_unit_test(test_acquire_quorum_out_of_reach_drops_unsent_sets),
        cmocka_unit_test(test_acquire_skips_unresolved_nodes),
        cmocka_unit_test(test_acquire_transport_error_until_deadline),
        cmocka_unit_test(test_acquire_transport_error_after_a_holder_was_seen),
        cmocka_unit_test(test_acquire_transport_error_survived),
        cmocka_unit_test(test_acquire_once_returns_transport_errors_at_once),
        cmocka_unit_test(test_acquire_returns_fatal_errors_at_once),
        cmocka_unit_test(test_acquire_timeout_and_ok_in_the_same_tick),
        cmocka_unit_test(test_acquire_ok_just_before_the_timeout),
        cmocka_unit_test(test_acquire_late_ok_of_a_minority),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
