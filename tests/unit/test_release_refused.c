/* SPDX-License-Identifier: MIT
 *
 * A release that a server refuses.
 */
#include "harness.h"

static harness h;

/* Each node that is open refuses until the deadline: the refusal is the result, not UNKNOWN. */
static void test_release_refused_to_the_deadline(void **state)
{
    unsigned n;

    (void)state;
    for (n = 1; n <= 3; n += 2) {
        rlk_lock lock;
        rlk_event event;
        unsigned node;

        harness_start(&h, n);
        harness_held(&h, &lock, 30000);
        harness_steady_pauses(&lock);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        for (node = 0; node < n; node++) {
            h.servers[node].fails = HARNESS_MISCONF;
            h.servers[node].automatic = true;
        }
        assert_false(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS - 1));
        assert_true(harness_next_event(&h, &event, 1));
        assert_result(event.result, RLK_E_MISCONF);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    }
}

/* A driver reports the end of the stream before its tick. What is due follows at the next tick, and
 * the deadline does not stay in the past. */
static void test_release_repeated_when_the_stream_ends_before_the_tick(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF); /* repeated after a pause */
    h.now_ms += RLK_RETRY_MAX_MS;
    harness_cut(&h, 0);
    assert_true(rlk_client_deadline(h.client) > h.now_ms);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MIN_MS + 1));
    assert_result(event.result, RLK_OK);
}

/* The repeat and the deadline are due in one tick: nothing is sent that the result would not wait
 * for, and the refusal is the result. The undo goes on behind it. */
static void test_release_repeat_that_is_due_at_the_deadline(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF);
    h.now_ms += RLK_OPERATION_TIMEOUT_MS;
    rlk_client_tick(h.client);
    assert_true(rlk_client_next_event(h.client, &event));
    assert_result(event.result, RLK_E_MISCONF);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_refused_to_the_deadline),
        cmocka_unit_test(test_release_repeated_when_the_stream_ends_before_the_tick),
        cmocka_unit_test(test_release_repeat_that_is_due_at_the_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
