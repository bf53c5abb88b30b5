/* SPDX-License-Identifier: MIT
 *
 * Renewals in the background, and what the caller does meanwhile: his operations come first, what
 * he extended is not cut, and the cap of the hold time (renew.c, rlk_keep_alive).
 */
#include "harness.h"

#include <string.h>

#define DRIFT(ms) ((ms) / 100 + 3)
#define TTL       30000
#define LEASE     (TTL - DRIFT(TTL))
#define DUE       (TTL / 3)

static harness h;

static rlk_lock_config renewing(void)
{
    rlk_lock_config config = rlk_lock_config_default();
    config.ttl_ms = TTL;
    config.node_timeout_ms = 500;
    config.auto_renew = true;
    return config;
}

static void hold_with(rlk_lock *lock, const rlk_lock_config *config)
{
    harness_start(&h, 1);
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Held, and a renewal has just left. */
static void hold_until_renewal(rlk_lock *lock)
{
    rlk_lock_config config = renewing();
    hold_with(lock, &config);
    harness_advance(&h, DUE);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

/* ---- A caller's operation comes first ----------------------------------------------------- */

/* Check, query: behind the raise that is under way, which still counts, though nobody is told. */
static void test_lock_renew_raise_under_way_still_counts(void **state)
{
    unsigned way;
    (void)state;
    for (way = 0; way < 2; way++) {
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

/* ... and says "not ours" for all. */
static void test_lock_renew_raise_under_way_is_refused(void **state)
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
static void test_lock_renew_raise_beside_a_check_is_lost(void **state)
{
    unsigned way;
    (void)state;
    for (way = 0; way < 2; way++) {
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
static void test_lock_renew_is_overtaken_by_an_extend(void **state)
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
static void test_lock_release_called_renewal_in_the_background_in_flight(void **state)
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
static void test_lock_renew_is_no_operation_of_the_caller(void **state)
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

/* Who checks or asks without a pause does not keep the lock from being renewed. */
static void test_lock_renew_is_not_starved(void **state)
{
    unsigned way;
    (void)state;
    for (way = 0; way < 2; way++) {
        rlk_lock_config config = renewing();
        rlk_lock lock;
        rlk_holder holder;
        rlk_event event;
        hold_with(&lock, &config);
        while (h.now_ms < HARNESS_START + 5 * TTL) {
            if (way == 0)
                assert_result(rlk_check_start(&lock), RLK_PENDING);
            else
                assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
            harness_advance(&h, 20);
            harness_serve(&h, 0);
            while (rlk_client_next_event(h.client, &event))
                assert_result(event.result, RLK_OK);
            assert_true(rlk_is_held(&lock));
        }
        assert_between(h.servers[0].count[HARNESS_RAISE], 5 * TTL / DUE - 1, 5 * TTL / DUE + 1);
    }
}

/* ---- What the caller extended ------------------------------------------------------------- */

/* Fault 70: renewals begin when the extended lease comes to its last two thirds of a TTL, and cut
 * nothing. */
static void test_fault_70_renewal_in_the_background_after_an_extend(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    int64_t lease_ms = TTL + 100000 - DRIFT(TTL + 100000);
    (void)state;
    hold_with(&lock, &config);
    assert_result(rlk_extend_start(&lock, 100000), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), lease_ms);
    harness_advance(&h, lease_ms - (LEASE - DUE) - 1);
    harness_expect_quiet(&h, 0);
    harness_advance(&h, 1);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, TTL);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), LEASE);
}

/* One that is longer by its drift than a TTL: the renewals find the key with more than they ask
 * for, leave it there, and the lease goes on by what they ask for. */
static void test_fault_70_renewal_after_an_extend_by_days(void **state)
{
    static const int64_t added_ms = INT64_C(20) * 24 * 3600 * 1000;
    rlk_lock_config config = renewing();
    rlk_lock lock;
    int64_t expiry_ms;
    unsigned i;
    (void)state;
    hold_with(&lock, &config);
    assert_result(rlk_extend_start(&lock, added_ms), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    expiry_ms = harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms;
    harness_advance(&h, rlk_remaining_ms(&lock) - (LEASE - DUE));
    assert_true(expiry_ms - h.now_ms > 100 * TTL); /* so much is drift */
    for (i = 0; i < 20; i++) {
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
        assert_between(rlk_remaining_ms(&lock), LEASE - 1, LEASE);
        assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms, expiry_ms);
        harness_advance(&h, DUE);
    }
}

/* A shortening renew is the caller's word for now; his configuration renews it by the TTL. */
static void test_lock_renew_after_a_shortening(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    (void)state;
    hold_with(&lock, &config);
    assert_result(rlk_renew_start(&lock, 25000), RLK_OK);
    harness_expect_quiet(&h, 0);
    assert_int_equal(rlk_remaining_ms(&lock), 25000 - DRIFT(25000));
    harness_advance(&h, 25000 - DRIFT(25000) - (LEASE - DUE) - 1);
    harness_expect_quiet(&h, 0);
    harness_advance(&h, 1);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, TTL);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), LEASE);
    /* one that leaves less than two thirds of the TTL is renewed when a third of that is over */
    assert_result(rlk_renew_start(&lock, 5000), RLK_OK);
    harness_advance(&h, (5000 - DRIFT(5000)) / 3);
    harness_expect_quiet(&h, 0);
    harness_advance(&h, 1);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

/* ---- The cap of the hold time ------------------------------------------------------------- */

#define CAP 45000

static void test_lock_renew_ends_at_the_cap(void **state)
{
    static const int64_t caps[] = {TTL, TTL + 1, CAP, 3 * TTL};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(caps); i++) {
        rlk_lock_config config = renewing();
        rlk_lock lock;
        rlk_event event;
        config.max_hold_ms = caps[i];
        hold_with(&lock, &config);
        h.servers[0].automatic = true;
        while (harness_next_event(&h, &event, 4 * TTL) && event.type != RLK_EV_LOST) {
            assert_int_equal(event.type, RLK_EV_RENEWED);
            assert_true(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms <=
                        HARNESS_START + caps[i]);
        }
        assert_int_equal(event.type, RLK_EV_LOST);
        /* its lease is the cap less a drift, of two thirds of a TTL at least */
        assert_between(h.now_ms - HARNESS_START, caps[i] - DRIFT(TTL),
                       caps[i] - DRIFT(TTL - TTL / 3));
        assert_true(h.servers[0].count[HARNESS_RAISE] <=
                    caps[i] / DUE + 4); /* no storm before it */
    }
}

/* It counts from each acquire anew. */
static void test_lock_renew_cap_counts_from_the_acquire(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_event event;
    (void)state;
    config.max_hold_ms = CAP;
    hold_with(&lock, &config);
    h.servers[0].automatic = true;
    while (harness_next_event(&h, &event, 4 * TTL) && event.type != RLK_EV_LOST) {
    }
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_held_ms(&lock), 0);
    harness_advance(&h, CAP - DRIFT(TTL) - 1);
    assert_true(rlk_is_held(&lock));
    assert_int_equal(rlk_held_ms(&lock), CAP - DRIFT(TTL) - 1);
    harness_advance(&h, DRIFT(TTL) + 1);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_held_ms(&lock), 0);
}

/* rlk_keep_alive keeps to it as well; RLK_OK until then. */
static void test_lock_renew_keep_ends_at_the_cap(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_result result;
    (void)state;
    config.auto_renew = false;
    config.max_hold_ms = CAP;
    hold_with(&lock, &config);
    h.servers[0].automatic = true;
    while ((result = rlk_keep_alive(&lock)) == RLK_OK) {
        assert_true(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms <= HARNESS_START + CAP);
        harness_advance(&h, 1000);
    }
    assert_result(result, RLK_LOST);
    assert_between(h.now_ms - HARNESS_START, CAP - DRIFT(TTL), CAP + 1000);
    assert_true(h.servers[0].count[HARNESS_RAISE] <= 6);
}

/* What the caller asks for himself is his. */
static void test_lock_renew_cap_is_not_for_calls(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    (void)state;
    config.max_hold_ms = CAP;
    hold_with(&lock, &config);
    assert_result(rlk_extend_start(&lock, 2 * CAP), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    harness_advance(&h, TTL + 2 * CAP - DRIFT(TTL + 2 * CAP) - 1);
    assert_result(rlk_keep_alive(&lock), RLK_OK); /* beyond the cap it renews nothing either */
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    harness_advance(&h, 1);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

/* Extends that got no quorum of answers each have lengthened it all the same, beyond the cap: what
 * would be asked for is past. */
static void test_lock_renew_keep_beyond_the_cap(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_event event;
    unsigned node;
    (void)state;
    config.auto_renew = false;
    config.max_hold_ms = TTL;
    harness_start(&h, 3);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    for (node = 0; node < 3; node++)
        harness_serve(&h, node);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    for (node = 0; node < 2; node++) {
        assert_result(rlk_extend_start(&lock, 2 * TTL), RLK_PENDING);
        harness_serve(&h, node);
        assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
        assert_result(event.result, RLK_UNKNOWN);
    }
    harness_advance(&h, HARNESS_START + 2 * TTL + TTL / 2 - h.now_ms);
    assert_true(rlk_is_held(&lock));
    h.waits = 0;
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.waits, 1); /* a look */
}

static void test_lock_renew_cap_is_checked(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    config.max_hold_ms = TTL - 1;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_E_TIMES);
    config.max_hold_ms = -1;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_E_TIMES);
    config.max_hold_ms = RLK_TTL_MAX + 1;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_E_TIMES);
    config.max_hold_ms = RLK_TTL_MAX;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
}

/* ---- Blocking calls ----------------------------------------------------------------------- */

static unsigned renewed; /* events of a program that pulls them while it waits */

static int pull(harness *own)
{
    rlk_event event;
    while (rlk_client_next_event(own->client, &event))
        renewed += event.type == RLK_EV_RENEWED;
    return 0;
}

/* A program that blocks in any call renews while it waits there. */
static void test_lock_renew_while_another_call_blocks(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_lock waiter;
    (void)state;
    hold_with(&lock, &config);
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

/* rlk_keep_alive of a lock that renews by itself is right, and does nothing but look. */
static void test_lock_renew_keep_beside_it(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    (void)state;
    hold_with(&lock, &config);
    h.servers[0].automatic = true;
    while (h.now_ms < HARNESS_START + 3 * TTL) {
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        harness_advance(&h, 700);
    }
    assert_between(h.servers[0].count[HARNESS_RAISE], 3 * TTL / DUE - 1, 3 * TTL / DUE + 1);
}

/* So much is drift that a fresh lease is shorter than two thirds of the TTL: no sooner. */
static void test_lock_renew_keep_with_much_drift(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    unsigned i;
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.drift_ms = 400;
    harness_open(&h, 1, 1);
    harness_advance(&h, 0);
    h.servers[0].automatic = true;
    config.ttl_ms = 1000;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    for (i = 0; i < 100; i++) {
        harness_advance(&h, 1);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
    }
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
    for (i = 0; i < 20; i++) {
        harness_advance(&h, 100);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
    }
    /* when a third of the TTL has passed: at each fourth call */
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_renew_raise_under_way_still_counts),
        cmocka_unit_test(test_lock_renew_raise_under_way_is_refused),
        cmocka_unit_test(test_lock_renew_raise_beside_a_check_is_lost),
        cmocka_unit_test(test_lock_renew_is_overtaken_by_an_extend),
        cmocka_unit_test(test_lock_release_called_renewal_in_the_background_in_flight),
        cmocka_unit_test(test_lock_renew_is_no_operation_of_the_caller),
        cmocka_unit_test(test_lock_renew_is_not_starved),
        cmocka_unit_test(test_fault_70_renewal_in_the_background_after_an_extend),
        cmocka_unit_test(test_fault_70_renewal_after_an_extend_by_days),
        cmocka_unit_test(test_lock_renew_after_a_shortening),
        cmocka_unit_test(test_lock_renew_ends_at_the_cap),
        cmocka_unit_test(test_lock_renew_cap_counts_from_the_acquire),
        cmocka_unit_test(test_lock_renew_keep_ends_at_the_cap),
        cmocka_unit_test(test_lock_renew_cap_is_not_for_calls),
        cmocka_unit_test(test_lock_renew_keep_beyond_the_cap),
        cmocka_unit_test(test_lock_renew_cap_is_checked),
        cmocka_unit_test(test_lock_renew_while_another_call_blocks),
        cmocka_unit_test(test_lock_renew_keep_beside_it),
        cmocka_unit_test(test_lock_renew_keep_with_much_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
