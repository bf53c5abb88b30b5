/* SPDX-License-Identifier: MIT
 *
 * Renewals end at max_hold_ms (renewal.c).
 */
#include "lock_renewing.h"

#define CAP 45000

static void test_renewal_ends_at_the_cap(void **state)
{
    static const int64_t caps[] = {TTL, TTL + 1, CAP, 3 * TTL};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(caps)); i++) {
        rlk_lock_config config = renewing();
        rlk_lock lock;
        rlk_event event;

        config.max_hold_ms = caps[i];
        hold_with(&lock, 1, &config);
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
static void test_renewal_cap_counts_from_the_acquire(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_event event;

    (void)state;
    config.max_hold_ms = CAP;
    hold_with(&lock, 1, &config);
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

/* What the caller asks for himself is his. */
static void test_renewal_cap_is_not_for_calls(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;

    (void)state;
    config.max_hold_ms = CAP;
    hold_with(&lock, 1, &config);
    assert_result(rlk_extend_start(&lock, 2 * CAP), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    harness_advance(&h, TTL + 2 * CAP - DRIFT(TTL + 2 * CAP) - 1);
    assert_result(rlk_keep_alive(&lock), RLK_OK); /* beyond the cap it renews nothing either */
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    harness_advance(&h, 1);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

static void test_renewal_cap_is_checked(void **state)
{
    static const struct {
        int64_t max_hold_ms;
        rlk_result result;
    } rows[] = {
        {TTL - 1, RLK_E_TIMES},
        {-1, RLK_E_TIMES},
        {RLK_TTL_MAX + 1, RLK_E_TIMES},
        {RLK_TTL_MAX, RLK_OK},
    };
    rlk_lock_config config = renewing();
    rlk_lock lock;
    size_t i;

    (void)state;
    harness_start(&h, 1);
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        config.max_hold_ms = rows[i].max_hold_ms;
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), rows[i].result);
    }
}

/* The last renewal, up to max_hold_ms, is tried again like any other. */
static void test_renewal_to_the_cap_is_tried_again(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_event event;

    (void)state;
    config.max_hold_ms = TTL + 9000;
    hold_with(&lock, 1, &config);
    assert_true(harness_next_event(&h, &event, TTL));
    assert_true(support_renewal_unknown(&event));
    h.servers[0].automatic = true;
    harness_serve(&h, 0);
    assert_true(harness_next_event(&h, &event, TTL));
    assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_true(harness_next_event(&h, &event, 2 * TTL));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_between(h.now_ms, HARNESS_START + config.max_hold_ms - DRIFT(config.max_hold_ms),
                   HARNESS_START + config.max_hold_ms);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewal_ends_at_the_cap),
        cmocka_unit_test(test_renewal_cap_counts_from_the_acquire),
        cmocka_unit_test(test_renewal_cap_is_not_for_calls),
        cmocka_unit_test(test_renewal_cap_is_checked),
        cmocka_unit_test(test_renewal_to_the_cap_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
