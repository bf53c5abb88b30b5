/* SPDX-License-Identifier: MIT
 *
 * Restraint: after eight spurious wake-ups a waiter pauses before it asks again.
 */
#include "lock_tracked.h"

static harness h;

/* A key that changes all the time: eight attempts at once, then attempts with pauses. */
static void test_recheck_restraint_after_spurious_wake_ups(void **state)
{
    static const char *const keys[] = {HARNESS_KEY, NULL};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(keys)); i++) {
        rlk_lock lock;
        unsigned push;
        int64_t begin_ms;

        tracked_behind(&h, &lock, DAY_MS);
        begin_ms = h.now_ms;
        for (push = 0; push < 8; push++) {
            harness_push(harness_link_of(&h, 0), keys[i]);
            harness_serve(&h, 0);
            assert_int_equal(h.servers[0].count[HARNESS_SET], 2 + push);
        }
        for (push = 0; push < 200; push++) {
            harness_push(harness_link_of(&h, 0), keys[i]);
            harness_expect_quiet(&h, 0);
            assert_between(tracked_until(&h, 0, HARNESS_SET, 100), 1, 15);
            harness_serve(&h, 0);
            if (keys[i] != NULL) { /* and one more at once: the pause made up for it */
                harness_push(harness_link_of(&h, 0), keys[i]);
                (void)harness_expect(&h, 0, HARNESS_SET);
                harness_serve(&h, 0);
            }
        }
        assert_between(h.now_ms - begin_ms, 200 * 5, 200 * 16); /* half of 16 on average */
        harness_expect_no_event(&h);
        /* the count falls, by one in 16 ms */
        harness_advance(&h, 500);
        for (push = 0; push < 7; push++) {
            harness_push(harness_link_of(&h, 0), keys[i]);
            (void)harness_expect(&h, 0, HARNESS_SET);
            harness_serve(&h, 0);
        }
        harness_push(harness_link_of(&h, 0), keys[i]);
        harness_serve(&h, 0);
        harness_push(harness_link_of(&h, 0), keys[i]);
        harness_expect_quiet(&h, 0);
    }
}

/* More pushes during the pause do not delay the attempt. The pause does not delay a recheck that is
 * due earlier. */
static void test_recheck_restraint_is_not_put_off(void **state)
{
    rlk_lock lock;
    unsigned push;
    int64_t ms = 0;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    for (push = 0; push < 8; push++) {
        harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        harness_serve(&h, 0);
    }
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_run(&h);
    while (h.servers[0].count[HARNESS_SET] == 9) {
        harness_advance(&h, 1);
        harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        harness_run(&h);
        ms++;
    }
    assert_between(ms, 1, 15);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":0\r\n"); /* over in 1 to 51 ms */
    harness_run(&h);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 100), 1, 1 + RLK_RETRY_MIN_MS);
}

/* A key that is gone at each PTTL and held at each SET counts the same. */
static void test_recheck_restraint_when_it_is_gone_each_time(void **state)
{
    rlk_lock lock;
    unsigned recheck;
    int64_t begin_ms;

    (void)state;
    tracked_unanswered(&h, &lock);
    for (recheck = 1; recheck < 9; recheck++) {
        harness_reply(&h, 0, HARNESS_NIL);
        harness_reply(&h, 0, ":-2\r\n");
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1 + recheck);
    }
    assert_int_equal(h.now_ms, HARNESS_START);
    begin_ms = h.now_ms;
    for (recheck = 0; recheck < 200; recheck++) {
        harness_reply(&h, 0, HARNESS_NIL);
        harness_reply(&h, 0, ":-2\r\n");
        if (harness_head(harness_link_of(&h, 0)) ==
            NULL) /* or the last pause made up for one more */
            assert_between(tracked_until(&h, 0, HARNESS_SET, 100), 1, 2);
        assert_int_equal(lock.cause, RLK_CAUSE_PUSH);
    }
    assert_between(h.now_ms - begin_ms, 50, 200 * 2); /* it changes hands */
}

/* Attempts for other causes are not counted. */
static void test_recheck_restraint_is_for_notifications(void **state)
{
    rlk_lock lock;
    unsigned recheck;

    (void)state;
    tracked_unanswered(&h, &lock);
    for (recheck = 0; recheck < 20; recheck++) {
        harness_reply(&h, 0, HARNESS_NIL);
        harness_reply(&h, 0, ":0\r\n");
        assert_between(tracked_until(&h, 0, HARNESS_SET, 100), 1, 1 + RLK_RETRY_MIN_MS);
    }
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":-1\r\n");
    for (recheck = 0; recheck < 8; recheck++) {
        harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_reply(&h, 0, HARNESS_NIL);
        harness_reply(&h, 0, ":-1\r\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recheck_restraint_after_spurious_wake_ups),
        cmocka_unit_test(test_recheck_restraint_is_not_put_off),
        cmocka_unit_test(test_recheck_restraint_when_it_is_gone_each_time),
        cmocka_unit_test(test_recheck_restraint_is_for_notifications),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
