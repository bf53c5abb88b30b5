/* SPDX-License-Identifier: MIT
 *
 * Renewals in the background: when they are due (rule 7; renewal.c).
 */
#include "lock_renewing.h"

#include <stdio.h>
#include <string.h>

/* Held with so much drift, by auto_renew or not. */
static void hold_with_drift(rlk_lock *lock, int64_t drift_ms, bool auto_renew)
{
    rlk_lock_config config = renewing();

    memset(&h.config, 0, sizeof h.config);
    h.config.drift_ms = drift_ms;
    harness_open(&h, 1, 1);
    memset(&h.config, 0, sizeof h.config);
    harness_advance(&h, 0);
    h.servers[0].automatic = true;
    config.auto_renew = auto_renew;
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire(lock, RLK_TRY), RLK_OK);
}

/* Rule 7: at a third of the TTL, by the TTL. */
static void test_renewal_at_a_third_of_the_ttl(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    hold(&lock, 1);
    for (i = 1; i < 6; i++) {
        renewal_comes(1);
        assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, TTL);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE); /* nobody called for it */
        assert_int_equal(rlk_remaining_ms(&lock), LEASE - DUE);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
        harness_expect_no_event(&h);
        assert_int_equal(rlk_remaining_ms(&lock), LEASE);
        assert_int_equal(rlk_held_ms(&lock), (int64_t)i * DUE);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], i);
    }
}

static void test_renewal_only_where_it_is_configured(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;

    (void)state;
    config.auto_renew = false;
    hold_with(&lock, 1, &config);
    harness_advance(&h, LEASE);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
}

/* Released, it is renewed no more; acquired again, it is. */
static void test_renewal_ends_with_the_release(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_advance(&h, 2 * TTL);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    renewal_comes(1);
}

/* A lease that is short has more than one try, too. */
static void test_renewal_short_lease(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_event event;

    (void)state;
    config.ttl_ms = 300;
    config.node_timeout_ms = 40;
    hold_with(&lock, 1, &config);
    while (harness_next_event(&h, &event, 300) && event.type != RLK_EV_LOST)
        assert_true(support_renewal_unknown(&event));
    assert_int_equal(h.now_ms, HARNESS_START + 300 - DRIFT(300));
    assert_between(h.servers[0].count[HARNESS_RAISE], 3, 300 / 40);
}

/* Fault 123: what is reckoned as drift makes no renewal earlier, nor is rlk_keep_alive of another
 * mind; unless drift leaves too little of the lease behind that. */
static void test_fault_123_drift_makes_no_renewal_earlier(void **state)
{
    static const struct {
        int64_t drift_ms;
        int64_t due_ms;
    } cases[] = {
        {1, TTL / 3},     {700, TTL / 3},   {7000, TTL / 3},
        {12000, TTL / 3}, {14000, TTL / 3}, {17699, 8000}, /* a lease of 12 s */
    };
    size_t i;
    rlk_lock lock;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        hold_with_drift(&lock, cases[i].drift_ms, true);
        harness_advance(&h, cases[i].due_ms - 1);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
        harness_advance(&h, 1);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);

        hold_with_drift(&lock, cases[i].drift_ms, false);
        harness_advance(&h, cases[i].due_ms - 1);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
        harness_advance(&h, 1);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    }
}

/* More than a third of the TTL is drift: when two thirds are left a renewal gains nothing yet. */
static void test_renewal_with_much_drift_after_an_extend(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start_drifting(&h, 400);
    config.ttl_ms = 1000;
    config.node_timeout_ms = 0;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_true(harness_next_event(&h, &event, 1000));
    assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_result(rlk_extend(&lock, 2000), RLK_OK);
    assert_true(harness_next_event(&h, &event, 4000));
    assert_int_equal(event.type, RLK_EV_RENEWED);
    memset(&h.config, 0, sizeof h.config);
}

/* The renewals of many locks leave the connection its pauses between attempts. */
static void test_renewal_many_of_a_server_that_is_down(void **state)
{
    static rlk_lock locks[200];
    static char keys[COUNT_OF(locks)][8];
    rlk_lock_config config = renewing();
    uint32_t before;
    int64_t end_ms;
    unsigned i;

    (void)state;
    harness_start_automatic(&h, 1);
    for (i = 0; i < COUNT_OF(locks); i++) {
        rlk_event event;

        h.servers[0].entries[0].key[0] = '\0'; /* the harness's memory is small */
        (void)snprintf(keys[i], sizeof keys[i], "k%u", i);
        assert_result(rlk_lock_init(&locks[i], h.client, keys[i], &config), RLK_OK);
        assert_result(rlk_acquire(&locks[i], RLK_TRY), RLK_OK);
        assert_false(rlk_client_next_event(h.client, &event));
        harness_advance(&h, 3);
    }
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, TTL / 3);
    before = rlk_conn_failures(&harness_link_of(&h, 0)->conn);
    for (end_ms = h.now_ms + 8000; h.now_ms < end_ms;)
        harness_advance(&h, 100);
    assert_between(rlk_conn_failures(&harness_link_of(&h, 0)->conn) - before, 2, 40);
}

/* Who checks or asks without a pause does not keep the lock from being renewed. */
static void test_renewal_is_not_starved(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; support_row(way, 2); way++) {
        rlk_lock_config config = renewing();
        rlk_lock lock;
        rlk_holder holder;
        rlk_event event;

        hold_with(&lock, 1, &config);
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

/* Fault 70: renewals begin when the extended lease comes to its last two thirds of a TTL, and cut
 * nothing. */
static void test_fault_70_renewal_in_the_background_after_an_extend(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    int64_t lease_ms = TTL + 100000 - DRIFT(TTL + 100000);

    (void)state;
    hold_with(&lock, 1, &config);
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
    hold_with(&lock, 1, &config);
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

/* A renew that shortens the lease counts until the next renewal, which is by the TTL again. */
static void test_renewal_after_a_shortening(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;

    (void)state;
    hold_with(&lock, 1, &config);
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewal_at_a_third_of_the_ttl),
        cmocka_unit_test(test_renewal_only_where_it_is_configured),
        cmocka_unit_test(test_renewal_ends_with_the_release),
        cmocka_unit_test(test_renewal_short_lease),
        cmocka_unit_test(test_fault_123_drift_makes_no_renewal_earlier),
        cmocka_unit_test(test_renewal_with_much_drift_after_an_extend),
        cmocka_unit_test(test_renewal_many_of_a_server_that_is_down),
        cmocka_unit_test(test_renewal_is_not_starved),
        cmocka_unit_test(test_fault_70_renewal_in_the_background_after_an_extend),
        cmocka_unit_test(test_fault_70_renewal_after_an_extend_by_days),
        cmocka_unit_test(test_renewal_after_a_shortening),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
