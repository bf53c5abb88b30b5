/* SPDX-License-Identifier: MIT
 *
 * A lease moves while commands of its lock are under way, in doubt or not undone (transfer.c).
 */
#include "lock_transferred.h"

/* Acquires on one node that can't be fenced, where `lost` SETs have been lost with their streams.*/
static void start_loose(unsigned lost)
{
    rlk_lock_config config = rlk_lock_config_default();
    unsigned i;

    start(1);
    assert_result(rlk_lock_close(&from), RLK_OK);
    config.ttl_ms = TTL;
    config.node_timeout_ms = TTL / 3;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    assert_result(rlk_lock_init(&from, h.client, HARNESS_KEY, &config), RLK_OK);
    h.servers[0].no_ids = true;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < lost; i++) {
        if (i > 0)
            harness_reply(&h, 0, HARNESS_NOT_OURS);
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_cut(&h, 0);
        harness_advance(&h, RLK_BACKOFF_MAX_MS);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
    }
}

/* The lock keeps its lease, and works. */
static void expect_kept(void)
{
    assert_result(rlk_lock_detach(&from, &lease), RLK_E_STATE);
    assert_true(rlk_is_held(&from));
    automatic(true);
    assert_result(rlk_release(&from), RLK_UNKNOWN); /* an orphan may come, and that is known */
    harness_run(&h);
    assert_int_equal(holding(NULL), 0);
}

/* A SET that a node has not answered stays with its sender, who undoes it behind it. */
static void test_transfer_leaves_a_late_set(void **state)
{
    (void)state;
    start_late();
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    harness_run(&h);
    assert_true(rlk_is_held(&to));
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_serve(&h, 2);
    assert_int_equal(holding(NULL), 2); /* its undo came behind it */
    automatic(true);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_advance(&h, 5 * TTL);
    assert_true(rlk_is_held(&to));
    assert_result(rlk_release(&to), RLK_OK);
    assert_int_equal(holding(NULL), 0);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
}

/* A late SET does not keep the lease from coming back to its sender. */
static void test_transfer_back_beside_a_late_set(void **state)
{
    (void)state;
    start_late();
    assert_result(rlk_lock_attach(&from, &lease), RLK_OK);
    assert_true(rlk_is_held(&from));
    harness_serve(&h, 2);
    assert_int_equal(holding(NULL), 2);
    automatic(true);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    assert_result(rlk_release(&from), RLK_OK);
    assert_int_equal(holding(NULL), 0);
}

/* That undo is not answered yet, so the random part stays: the next token of its sender is still
 * none that the lock which has the lease can come to. */
static void test_transfer_tokens_stay_apart(void **state)
{
    char next[RLK_TOKEN_MAX + 1];
    char theirs[RLK_TOKEN_MAX + 1];
    unsigned i;

    (void)state;
    start_late();
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    (void)rlk_lock_token(&from, next, sizeof next);
    (void)rlk_lock_token(&to, theirs, sizeof theirs);
    assert_memory_equal(next, theirs, 32); /* one random part */
    for (i = 0; i < 3; i++) {
        assert_string_not_equal(next, theirs);
        to.token++;
        (void)rlk_lock_token(&to, theirs, sizeof theirs);
    }
}

/* A node that was asked in an earlier attempt has that attempt's token, and not the lease's: it
 * stays with its sender, who undoes it when the node is back. */
static void test_transfer_leaves_an_earlier_token(void **state)
{
    harness_link *link = harness_link_of(&h, 2);
    rlk_event event;
    unsigned i;

    (void)state;
    start(3);
    for (i = 0; i < 2; i++)
        harness_put(&h, i, HARNESS_KEY, "foreign", -1);
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_true(harness_execute(link));
    assert_true(harness_deliver(link));
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    (void)harness_expect(&h, 2, HARNESS_RELEASE);
    h.servers[2].refuses = true;
    harness_cut(&h, 2);
    link->loose.len = 0; /* it never comes there */
    for (i = 0; i < 2; i++) {
        harness_delete(&h, i, HARNESS_KEY);
        h.servers[i].automatic = true;
    }
    assert_true(harness_next_event(&h, &event, TTL / 3));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(holding(NULL), 3);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    h.servers[2].refuses = false;
    h.servers[2].automatic = true;
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    assert_int_equal(holding(NULL), 2);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_result(rlk_release(&to), RLK_OK);
    assert_int_equal(holding(NULL), 0);
}

/* A renewal in the background is under way. */
static void test_transfer_abandons_a_renewal(void **state)
{
    (void)state;
    start(1);
    assert_result(rlk_lock_close(&from), RLK_OK);
    init(&from, FIRST, true);
    automatic(true);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
    automatic(false);
    harness_advance(&h, TTL / 3);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    harness_run(&h);
    automatic(true);
    harness_serve(&h, 0);
    harness_advance(&h, 3 * TTL);
    assert_true(rlk_is_held(&to));
    assert_false(rlk_is_held(&from));
    assert_result(rlk_release(&to), RLK_OK);
    assert_int_equal(holding(NULL), 0);
    harness_expect_no_event(&h);
}

/* A lock with a token of its own that is not undone yet takes none. */
static void test_transfer_to_a_lock_that_is_unsettled(void **state)
{
    (void)state;
    start_held(1);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    automatic(false);
    assert_result(rlk_acquire_start(&to, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_result(rlk_lock_attach(&to, &lease), RLK_E_STATE); /* busy */
    assert_result(rlk_cancel(&to), RLK_OK);
    harness_advance(&h, RLK_SETTLE_TIMEOUT_MS); /* UNKNOWN: its undo goes on */
    assert_result(rlk_lock_attach(&to, &lease), RLK_E_STATE);
    automatic(true);
    harness_advance(&h, 10000);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_true(rlk_is_held(&to));
}

/* What the lock knew as a waiter, in the same memory, is nothing of the lease. */
static void test_transfer_back_to_a_lock_that_has_waited(void **state)
{
    (void)state;
    start_held(1);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    automatic(false);
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_reply(&h, 0, "-LOADING data\r\n");
    assert_true(from.as.wait.failures > 0);
    assert_result(rlk_cancel(&from), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_result(rlk_lock_attach(&from, &lease), RLK_OK);
    assert_int_equal(from.as.hold.read, 0);
    assert_true(rlk_is_held(&from));
}

/* The lock that gave the lease away takes it not, if it has a token on those nodes by now. */
static void test_transfer_back_to_a_lock_that_is_unsettled(void **state)
{
    (void)state;
    start_late();
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, RLK_NODE_TIMEOUT_MAX_MS); /* so long it waits for its undo */
    harness_expect_all(&h, 0, 2, HARNESS_SET);
    assert_result(rlk_cancel(&from), RLK_OK);
    harness_advance(&h, RLK_SETTLE_TIMEOUT_MS);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_UNKNOWN);
    assert_result(rlk_lock_attach(&from, &lease), RLK_E_STATE);
    automatic(true);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    harness_expect_event(&h, RLK_EV_SETTLED, RLK_OK);
    assert_result(rlk_lock_attach(&from, &lease), RLK_OK);
    assert_true(rlk_is_held(&from));
    assert_int_equal(holding(NULL), 2);
}

/* The SET of an earlier token may still execute: only its sender knows that. */
static void test_transfer_of_a_lock_in_doubt(void **state)
{
    rlk_event event;

    (void)state;
    start_loose(1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    automatic(true);
    assert_false(harness_next_event(&h, &event, 1000));
    harness_delete(&h, 0, HARNESS_KEY);
    assert_true(harness_next_event(&h, &event, 1000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    expect_kept();
}

/* Of two SETs that may still execute one did: the other may bring the token again, after its
 * owner has deleted it. Such a node does not move, and without it there is no quorum. */
static void test_transfer_of_a_token_that_may_come_again(void **state)
{
    (void)state;
    start_loose(2);
    assert_true(harness_execute_loose(harness_link_of(&h, 0)));
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    expect_kept();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer_leaves_a_late_set),
        cmocka_unit_test(test_transfer_back_beside_a_late_set),
        cmocka_unit_test(test_transfer_tokens_stay_apart),
        cmocka_unit_test(test_transfer_leaves_an_earlier_token),
        cmocka_unit_test(test_transfer_abandons_a_renewal),
        cmocka_unit_test(test_transfer_to_a_lock_that_is_unsettled),
        cmocka_unit_test(test_transfer_back_to_a_lock_that_has_waited),
        cmocka_unit_test(test_transfer_back_to_a_lock_that_is_unsettled),
        cmocka_unit_test(test_transfer_of_a_lock_in_doubt),
        cmocka_unit_test(test_transfer_of_a_token_that_may_come_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
