/* SPDX-License-Identifier: MIT
 *
 * rlk_lock_close with an operation under way, or a token that may stay (lock.c).
 */
#include "harness.h"

#include <string.h>

static harness h;

static const unsigned sizes[] = {1, 3, 5};

/* RLK_UNKNOWN: the key may still have the token. */
static void test_lock_close_says_whether_an_orphan_is_possible(void **state)
{
    static const struct {
        bool held;
        rlk_operation operation; /* under way */
        rlk_result result;
    } rows[] = {
        {false, RLK_OP_NONE, RLK_OK}, /* never used */
        {true, RLK_OP_NONE, RLK_UNKNOWN},
        {true, RLK_OP_RELEASE, RLK_UNKNOWN},
        {false, RLK_OP_QUERY, RLK_OK},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        harness_start(&h, 1);
        if (rows[i].held)
            harness_held(&h, &lock, 3000);
        else
            harness_lock(&h, &lock, 3000);
        if (rows[i].operation != RLK_OP_NONE) {
            assert_result(harness_begin(&lock, rows[i].operation), RLK_PENDING);
            harness_run(&h);
        }
        assert_result(rlk_lock_close(&lock), rows[i].result);
        assert_result(rlk_lock_close(&lock), RLK_E_CLOSED);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_CLOSED);
        assert_result(rlk_cancel(&lock), RLK_E_CLOSED);
        assert_false(rlk_is_held(&lock));
        assert_int_equal(rlk_remaining_ms(&lock), 0);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
        if (rows[i].operation == RLK_OP_NONE)
            harness_expect_quiet(&h, 0);
        harness_serve(&h, 0);
        harness_expect_no_event(&h);
    }
}

/* destroy while unknown: entries become ownerless; the possible orphan is reported */
static void test_lock_close_while_unknown(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        rlk_lock other;

        harness_start(&h, n);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_lock_init(&other, h.client, "other", NULL), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        assert_result(rlk_acquire_start(&other, RLK_FOREVER), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_SET);
        harness_reply_all(&h, 0, n - q, HARNESS_NIL); /* q nodes unknown */
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
        memset(&lock, 0x5a, sizeof lock);            /* the caller may do so */
        harness_reply_all(&h, n - q, n, HARNESS_OK); /* finds nobody */
        harness_expect_all(&h, 0, n, HARNESS_SET);   /* of the other lock */
        harness_reply_all(&h, 0, n, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_expect_no_event(&h);
    }
}

/* Fewer than q nodes are unknown: no orphan can hold the lock. */
static void test_lock_close_while_a_minority_is_unknown(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply_all(&h, 0, 2, HARNESS_NIL);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* Unknown by a token of an earlier attempt, of which no result has said anything: on one node it is
 * not undone yet, on another a SET that nothing fences may still bring it. */
static void test_lock_close_while_an_earlier_attempt_is_unknown(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_event event;
    rlk_lock lock;
    unsigned i;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 3, 1);
    h.servers[1].no_ids = true;
    harness_advance(&h, 0);
    config.node_timeout_ms = 100;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    assert_result(rlk_acquire_start(&lock, RLK_DEFAULT), RLK_PENDING);
    harness_expect_all(&h, 0, 3, HARNESS_SET);
    harness_serve(&h, 0);
    harness_serve(&h, 2);
    h.servers[1].refuses = true;
    harness_cut(&h, 1);
    harness_advance(&h, 100); /* the attempt is over */
    (void)harness_expect(&h, 2, HARNESS_RELEASE);
    h.servers[1].refuses = false;
    harness_delete(&h, 0, HARNESS_KEY);
    for (i = 0; i < 500 && !rlk_is_held(&lock); i++) {
        harness_advance(&h, 10);
        harness_serve(&h, 0);
        harness_serve(&h, 1);
    }
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_GONE);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 2, HARNESS_RELEASE); /* still */
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    assert_true(harness_execute_loose(harness_link_of(&h, 1)));
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 2);
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_close_says_whether_an_orphan_is_possible),
        cmocka_unit_test(test_lock_close_while_unknown),
        cmocka_unit_test(test_lock_close_while_a_minority_is_unknown),
        cmocka_unit_test(test_lock_close_while_an_earlier_attempt_is_unknown),
        cmocka_unit_test(test_lock_scope_without_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
