/* SPDX-License-Identifier: MIT
 *
 * rlk_valid_until_ms agrees with the questions that it stands behind, at every time around the end
 * of a lease, and is a number without a lock.
 */
#include "harness.h"

#include <string.h>

#define TTL 3000

static harness h;

/* The time at which the lock was asked about. Questions change nothing, so it may go back. */
static void agrees_at(const rlk_lock *lock, int64_t until_ms, int64_t at_ms)
{
    int64_t now_ms = h.now_ms;

    h.now_ms = at_ms;
    assert_int_equal(rlk_valid_until_ms(lock), until_ms);
    assert_int_equal(rlk_is_held_at(lock, at_ms), at_ms < until_ms);
    assert_int_equal(rlk_is_held(lock), at_ms < until_ms);
    assert_int_equal(rlk_remaining_ms(lock), at_ms < until_ms ? until_ms - at_ms : 0);
    h.now_ms = now_ms;
}

/* A lock that is held, or whose end was not noticed yet. */
static void agrees(const rlk_lock *lock)
{
    int64_t until_ms = rlk_valid_until_ms(lock);
    int64_t at_ms;

    agrees_at(lock, until_ms, h.now_ms);
    for (at_ms = until_ms - 5; at_ms <= until_ms + 5; at_ms++)
        if (at_ms >= h.now_ms)
            agrees_at(lock, until_ms, at_ms);
}

static void no_time(const rlk_lock *lock)
{
    assert_true(rlk_valid_until_ms(lock) == INT64_MIN);
    assert_false(rlk_is_held_at(lock, INT64_MIN));
    assert_false(rlk_is_held_at(lock, 0));
    assert_false(rlk_is_held(lock));
    assert_int_equal(rlk_remaining_ms(lock), 0);
}

/* Each way in which a lock comes to be held or not. */
static void test_lock_valid_until_follows_the_lease(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    int64_t until_ms;

    (void)state;
    memset(&lock, 0, sizeof lock);
    no_time(NULL);
    no_time(&lock);
    harness_start_automatic(&h, 1);
    config.ttl_ms = TTL;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    no_time(&lock);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    no_time(&lock);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_valid_until_ms(&lock),
                     HARNESS_START + TTL - 33); /* 1 % + 2 ms, rounded up */
    agrees(&lock);

    harness_advance(&h, 1000);
    until_ms = rlk_valid_until_ms(&lock);
    assert_int_equal(until_ms, HARNESS_START + TTL - 33); /* it is no time to go */
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_PENDING);
    assert_int_equal(rlk_valid_until_ms(&lock), until_ms);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    assert_int_equal(rlk_valid_until_ms(&lock), until_ms + 1000);
    agrees(&lock);

    assert_result(rlk_renew_start(&lock, TTL / 2), RLK_OK); /* it ends sooner */
    assert_true(rlk_valid_until_ms(&lock) < until_ms);
    agrees(&lock);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    no_time(&lock);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    no_time(&lock);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    no_time(&lock);
}

/* The number stays when its time has passed; it goes when the library notices. */
static void test_lock_valid_until_is_over(void **state)
{
    rlk_lock lock;
    int64_t until_ms;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, TTL);
    until_ms = rlk_valid_until_ms(&lock);
    h.now_ms = until_ms;
    assert_int_equal(rlk_valid_until_ms(&lock), until_ms);
    assert_false(rlk_is_held(&lock));
    rlk_client_tick(h.client);
    no_time(&lock);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

static void test_lock_valid_until_in_a_child(void **state)
{
    rlk_lock lock;
    int64_t until_ms;

    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, TTL);
    until_ms = rlk_valid_until_ms(&lock);
    h.forked = true;
    no_time(&lock);
    h.forked = false;
    agrees_at(&lock, until_ms, h.now_ms);
}

/* Any TTL, drift, number of nodes, and time that answers take. */
static void test_lock_valid_until_of_any_lease(void **state)
{
    uint32_t random = 12345;
    unsigned run;

    (void)state;
    for (run = 0; run < 300; run++) {
        rlk_lock lock;
        unsigned nodes;
        unsigned i;

        random = random * UINT32_C(1664525) + UINT32_C(1013904223);
        nodes = 1 + 2 * ((random >> 8) % 3);
        memset(&h.config, 0, sizeof h.config);
        h.config.drift_ppm = 1 + (random >> 11) % 100000;
        h.config.drift_ms = 1 + (random >> 9) % 50;
        harness_open(&h, nodes, 1);
        harness_advance(&h, 0);
        harness_held(&h, &lock, 500 + (random >> 10) % 100000);
        for (i = 0; i < 3 && rlk_is_held(&lock); i++) {
            agrees(&lock);
            harness_advance(&h, (random >> (7 + i)) % 100);
            if (rlk_extend_start(&lock, 1 + (random >> 12) % 5000) == RLK_PENDING)
                harness_advance(&h, (random >> (5 + i)) % 200);
            agrees(&lock);
            (void)rlk_cancel(&lock);
        }
        if (rlk_is_held(&lock))
            agrees(&lock);
    }
    memset(&h.config, 0, sizeof h.config);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_valid_until_follows_the_lease),
        cmocka_unit_test(test_lock_valid_until_is_over),
        cmocka_unit_test(test_lock_valid_until_in_a_child),
        cmocka_unit_test(test_lock_valid_until_of_any_lease),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
