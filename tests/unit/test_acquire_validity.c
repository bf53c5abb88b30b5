/* SPDX-License-Identifier: MIT
 *
 * The validity that an acquire gives: it counts from before the first byte of the SET (rule 2).
 */
#include "lock_tracked.h"

#include <string.h>

static harness h;

static void test_acquire_validity_counts_from_before_the_first_byte(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 300); /* in the transmit buffer */
    harness_link_of(&h, 0)->stuck = false;
    assert_int_equal(harness_expect(&h, 0, HARNESS_SET)->ms, 3000);
    harness_advance(&h, 400); /* at the server */
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 3000 - 33 - 700); /* drift: 1 % + 2 ms, rounded up */
    assert_true(rlk_is_held_at(&lock, HARNESS_START + 3000 - 34));
    assert_false(rlk_is_held_at(&lock, HARNESS_START + 3000 - 33));
}

static void test_acquire_validity_has_the_configured_drift(void **state)
{
    rlk_lock lock;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.drift_ppm = 250000;
    h.config.drift_ms = 100;
    harness_open(&h, 1, 1);
    harness_advance(&h, 0);
    harness_held(&h, &lock, 4000);
    assert_int_equal(rlk_remaining_ms(&lock), 4000 - 1000 - 100 - 1);
}

/* Each node counts from its own SET; the lease ends with the q-th largest. */
static void test_acquire_validity_is_the_qth_largest(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    h.servers[2].mute = true; /* its handshake takes 200 ms */
    harness_cut(&h, 2);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    h.now_ms = HARNESS_START + 100;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 200);
    h.servers[2].mute = false;
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_reply(&h, 2, HARNESS_OK);
    harness_expect_no_event(&h);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 3000 - 33 - 200); /* {100, 300}: the 2nd largest */
    harness_reply(&h, 1, HARNESS_NIL);
    assert_int_equal(rlk_remaining_ms(&lock), 3000 - 33 - 200);
}

#ifndef RLK_RESP2_ONLY
/* A push during the compare of a SET whose reply was lost: the lease counts from the compare, not
 * from the push (rule 2). */
static void test_acquire_validity_push_while_a_set_is_settled(void **state)
{
    rlk_lock lock;
    int64_t asked_ms;

    (void)state;
    tracked_open(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    asked_ms = harness_expect(&h, 0, HARNESS_RAISE)->sent_ms;
    harness_advance(&h, 100);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_run(&h);
    harness_reply(&h, 0, ":5000\r\n");
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(h.now_ms + rlk_remaining_ms(&lock), asked_ms + 5000 - (5000 / 100 + 3));
}

/* A push before the reply to SET: the lease counts from the SET. */
static void test_acquire_validity_push_while_a_set_is_under_way(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_advance(&h, 100);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 1), NULL);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(h.now_ms + rlk_remaining_ms(&lock), HARNESS_START + 30000 - 303);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acquire_validity_counts_from_before_the_first_byte),
        cmocka_unit_test(test_acquire_validity_has_the_configured_drift),
        cmocka_unit_test(test_acquire_validity_is_the_qth_largest),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_acquire_validity_push_while_a_set_is_settled),
        cmocka_unit_test(test_acquire_validity_push_while_a_set_is_under_way),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
