/* SPDX-License-Identifier: MIT
 *
 * Renewals in the background, and an operation of the caller meanwhile: it comes first (renewal.c).
 */
#include "lock_renewing.h"

static unsigned renewed; /* events of a program that pulls them while it waits */

/* Held, and a renewal has just left. */
static void hold_until_renewal(rlk_lock *lock)
{
    rlk_lock_config config = renewing();

    hold_with(lock, 1, &config);
    harness_advance(&h, DUE);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

static int pull(harness *own)
{
    rlk_event event;

    while (rlk_client_next_event(own->client, &event))
        renewed += event.type == RLK_EV_RENEWED;
    return 0;
}

/* Check, query: behind the raise that is under way, which still counts, though no event reports it.
 */
static void test_renewal_raise_under_way_still_counts(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; support_row(way, 2); way++) {
        rlk_lock lock;
        rlk_holder holder;

        hold_until_renewal(&lock);
        if (way == 0)
            assert_result(rlk_check_start(&lock), RLK_PENDING);
        else
            assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
        assert_int_equal(rlk_lock_operation(&lock), way == 0 ? RLK_OP_CHECK : RLK_OP_QUERY);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        assert_int_equal(harness_link_of(&h, 0)->queue.len, 1); /* one command at a time */
        (void)harness_execute(harness_link_of(&h, 0));
        (void)harness_deliver(harness_link_of(&h, 0));
        harness_expect_no_event(&h);
        assert_int_equal(rlk_remaining_ms(&lock), LEASE);
        harness_serve(&h, 0);
        harness_expect_result(&h, way == 0 ? RLK_OP_CHECK : RLK_OP_QUERY, RLK_OK);
        harness_expect_no_event(&h);
        assert_int_equal(rlk_remaining_ms(&lock), LEASE);
        /* the next is due when that one's lease says */
        harness_advance(&h, DUE - 1);
        harness_expect_quiet(&h, 0);
        harness_advance(&h, 1);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
    }
}

/* The raise under way says "not ours" for all. */
static void test_renewal_raise_under_way_is_refused(void **state)
{
    rlk_lock lock;
    rlk_holder holder;

    (void)state;
    hold_until_renewal(&lock);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_NOT_OWNER);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);

    hold_until_renewal(&lock);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_OK); /* the key as it is */
    harness_expect_no_event(&h);
}

/* The raise that is under way beside a check is lost with its stream: a check that ends unanswered
 * raises nothing, and so leaves no doubt. */
static void test_renewal_raise_beside_a_check_is_lost(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; support_row(way, 2); way++) {
        rlk_lock lock;
        rlk_event event;

        hold_until_renewal(&lock);
        assert_result(rlk_check_start(&lock), RLK_PENDING);
        h.servers[0].refuses = true;
        harness_cut(&h, 0);
        if (way == 0)
            assert_result(rlk_cancel(&lock), RLK_OK);
        assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
        assert_int_equal(event.operation, RLK_OP_CHECK);
        assert_result(event.result, way == 0 ? RLK_CANCELLED : RLK_E_CONNECT);
        assert_true(rlk_is_held(&lock));
    }
}

/* Extend, renew: their own raise, behind the one under way, is what is answered. */
static void test_renewal_is_overtaken_by_an_extend(void **state)
{
    rlk_lock lock;

    (void)state;
    hold_until_renewal(&lock);
    assert_result(rlk_extend_start(&lock, 50000), RLK_PENDING);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 2);
    (void)harness_execute(harness_link_of(&h, 0));
    (void)harness_deliver(harness_link_of(&h, 0)); /* to the renewal: nobody's any more */
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    harness_expect_no_event(&h);
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + TTL + 50000);
}

/* Release: not held from the call on; the answer of the renewal changes nothing. */
static void test_renewal_in_flight_when_release_is_called(void **state)
{
    rlk_lock lock;

    (void)state;
    hold_until_renewal(&lock);
    assert_result(rlk_release_start(&lock), RLK_PENDING); /* no RLK_E_STATE: it is nobody's call */
    assert_false(rlk_is_held(&lock));
    harness_run(&h);
    (void)harness_execute(harness_link_of(&h, 0));
    (void)harness_deliver(harness_link_of(&h, 0));
    assert_false(rlk_is_held(&lock));
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

/* There is nothing to cancel, and close is close. */
static void test_renewal_is_no_operation_of_the_caller(void **state)
{
    rlk_lock lock;

    (void)state;
    hold_until_renewal(&lock);
    assert_result(rlk_cancel(&lock), RLK_NOT_HELD);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    harness_advance(&h, DUE);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
    assert_result(rlk_force_release_start(&lock), RLK_E_STATE);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN); /* still in the key */
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
}

/* A program that blocks in any call renews while it waits there. */
static void test_renewal_while_another_call_blocks(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_lock waiter;

    (void)state;
    hold_with(&lock, 1, &config);
    harness_put(&h, 0, "another", "foreign", -1);
    h.servers[0].automatic = true;
    config.auto_renew = false;
    assert_result(rlk_lock_init(&waiter, h.client, "another", &config), RLK_OK);
    h.on_wait = pull;
    renewed = 0;
    assert_result(rlk_acquire(&waiter, 5 * TTL), RLK_TIMED_OUT);
    assert_true(rlk_is_held(&lock));
    assert_between(h.servers[0].count[HARNESS_RAISE], 5 * TTL / DUE - 1, 5 * TTL / DUE + 1);
    assert_between(h.servers[0].count[HARNESS_RAISE] - renewed, 0, 1); /* one with the deadline */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewal_raise_under_way_still_counts),
        cmocka_unit_test(test_renewal_raise_under_way_is_refused),
        cmocka_unit_test(test_renewal_raise_beside_a_check_is_lost),
        cmocka_unit_test(test_renewal_is_overtaken_by_an_extend),
        cmocka_unit_test(test_renewal_in_flight_when_release_is_called),
        cmocka_unit_test(test_renewal_is_no_operation_of_the_caller),
        cmocka_unit_test(test_renewal_while_another_call_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
