/* SPDX-License-Identifier: MIT
 *
 * The client's own clock begins anew every RLKI_CLOCK_UNIT: no lease, wait or timer notices it, and
 * what a process slept through is past, however long it slept.
 */
#include "harness.h"

#include "lock/clock.h"
#include "resplock/transfer.h"

#include <string.h>

#define DAY INT64_C(86400000)

static harness h;

/* Sleeps: within a unit, of one and of several, of more than 31 and 32 bits, and of decades. */
static const int64_t sleeps[] = {31000,
                                 RLKI_CLOCK_UNIT - 1,
                                 RLKI_CLOCK_UNIT,
                                 RLKI_CLOCK_UNIT + 1,
                                 3 * RLKI_CLOCK_UNIT + 7,
                                 24 * DAY,
                                 INT64_C(1) << 31,
                                 25 * DAY,
                                 INT64_C(1) << 32,
                                 (INT64_C(1) << 32) + 15000,
                                 50 * DAY,
                                 99 * DAY,
                                 36500 * DAY,
                                 INT64_C(1) << 60};

/* A lock that is held, by a server that answers. */
static void holds(rlk_lock *lock, int64_t ttl_ms)
{
    harness_lock(&h, lock, ttl_ms);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The same, with renewals in the background. */
static void holds_and_renews(rlk_lock *lock)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = 30000;
    config.auto_renew = true;
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The process wakes so long after. */
static void sleeps_for(int64_t ms)
{
    h.now_ms += ms;
    rlk_client_tick(h.client);
    harness_run(&h);
}

static void test_epoch_a_lease_is_lost_in_any_sleep(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sleeps)); i++) {
        rlk_lock lock;

        harness_start_automatic(&h, 1);
        holds(&lock, 30000);
        h.now_ms += sleeps[i];
        assert_false(rlk_is_held(&lock));
        assert_int_equal(rlk_valid_until_ms(&lock), HARNESS_START + 30000 - 303);
        sleeps_for(0);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        assert_true(rlk_valid_until_ms(&lock) == INT64_MIN);
        assert_result(rlk_acquire_start(&lock, 1000), RLK_PENDING);
        harness_run(&h);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_int_equal(rlk_valid_until_ms(&lock), h.now_ms + 30000 - 303);
    }
}

/* The answer of a SET that comes after a sleep confirms what began before it. */
static void test_epoch_a_late_answer_counts_from_its_sending(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sleeps)); i++) {
        rlk_lock lock;

        harness_start(&h, 1);
        harness_lock(&h, &lock, RLK_TTL_MAX);
        lock.node_timeout_ms = (uint32_t)DAY;
        assert_result(rlk_acquire_start(&lock, 200 * 365 * DAY), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_SET);
        h.now_ms += sleeps[i];
        harness_reply(&h, 0, HARNESS_OK); /* the connection did not tick: it reads it */
        if (!rlk_is_held(&lock))
            continue;
        assert_true(sleeps[i] < DAY);
        assert_true(rlk_valid_until_ms(&lock) < HARNESS_START + RLK_TTL_MAX);
    }
}

static void test_epoch_a_long_lease_stays(void **state)
{
    static const int64_t steps[] = {1, RLKI_CLOCK_UNIT - 1, RLKI_CLOCK_UNIT, 7 * DAY, 23 * DAY};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(steps)); i++) {
        rlk_lock lock;
        int64_t until_ms;
        unsigned k;

        harness_start_drifting(&h, 1);
        holds(&lock, RLK_TTL_MAX);
        until_ms = rlk_valid_until_ms(&lock);
        sleeps_for(steps[i]);
        assert_int_equal(rlk_valid_until_ms(&lock), until_ms);
        assert_int_equal(rlk_held_ms(&lock), steps[i]);
        assert_int_equal(rlk_remaining_ms(&lock), until_ms - h.now_ms);
        for (k = 0; k < 5; k++) { /* it is held for longer than 32 bits have milliseconds */
            assert_result(rlk_renew_start(&lock, RLK_TTL_MAX), RLK_PENDING);
            harness_run(&h);
            harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
            sleeps_for(20 * DAY);
        }
        assert_int_equal(rlk_held_ms(&lock), steps[i] + 100 * DAY);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_run(&h);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    }
}

/* A deadline beyond 32 bits is exact all the same. */
static void test_epoch_a_long_wait_ends_in_time(void **state)
{
    static const int64_t waits[] = {63 * RLKI_CLOCK_UNIT - 1,
                                    63 * RLKI_CLOCK_UNIT,
                                    64 * (int64_t)RLKI_CLOCK_UNIT,
                                    24 * DAY + 5,
                                    49 * DAY,
                                    50 * DAY,
                                    100 * DAY + 1,
                                    10000 * DAY};
    static const int64_t steps[] = {DAY / 10, 3 * DAY, 60 * DAY};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(waits) * COUNT_OF(steps)); i++) {
        int64_t wait_ms = waits[i / COUNT_OF(steps)];
        int64_t step_ms = steps[i % COUNT_OF(steps)];
        int64_t end_ms;
        rlk_lock lock;

        if (wait_ms / step_ms > 1000)
            continue;
        harness_start_automatic(&h, 1);
        harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, wait_ms), RLK_PENDING);
        end_ms = h.now_ms + wait_ms;
        harness_run(&h);
        while (h.now_ms + step_ms < end_ms) {
            sleeps_for(step_ms);
            assert_int_equal(rlk_lock_operation(&lock), RLK_OP_ACQUIRE);
        }
        sleeps_for(end_ms - h.now_ms - 1);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_ACQUIRE);
        sleeps_for(1);
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
    }
}

/* Longer than the units have bits, 34 years: without end. */
static void test_epoch_a_wait_of_a_lifetime_does_not_end(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, INT64_C(65536) * RLKI_CLOCK_UNIT), RLK_PENDING);
    harness_run(&h);
    sleeps_for(20000 * DAY);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_ACQUIRE);
    assert_result(rlk_cancel(&lock), RLK_OK);
}

/* A lease that another lock took, and hands over after a sleep; to a lock that renews, too. */
static void test_epoch_an_old_lease_is_not_attached(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, 2 * COUNT_OF(sleeps)); i++) {
        rlk_lock lock;
        rlk_lease lease;
        bool renews = i >= COUNT_OF(sleeps);

        harness_start_automatic(&h, 1);
        if (renews)
            holds_and_renews(&lock);
        else
            holds(&lock, 30000);
        assert_result(rlk_lock_detach(&lock, &lease), RLK_OK);
        assert_int_equal(lease.until_ms, HARNESS_START + 30000 - 303);
        sleeps_for(sleeps[i % COUNT_OF(sleeps)]);
        assert_result(rlk_lock_attach(&lock, &lease), RLK_LOST);
        assert_false(rlk_is_held(&lock));
    }
}

/* The stream ends while a renewal is under way, and a sleep with it: that is the first that the
 * client learns of the time. */
static void test_epoch_a_renewal_ends_in_any_sleep(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sleeps)); i++) {
        rlk_lock lock;

        harness_start_automatic(&h, 1);
        holds_and_renews(&lock);
        h.servers[0].automatic = false;
        harness_advance(&h, 10000);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        h.now_ms += sleeps[i];
        harness_cut(&h, 0);
        assert_false(rlk_is_held(&lock));
        harness_advance(&h, 0);
        assert_true(rlk_valid_until_ms(&lock) == INT64_MIN);
    }
}

/* Whatever numbers a clock has, and where it can't be read any more. */
static void test_epoch_a_clock_of_any_numbers(void **state)
{
    static const int64_t offsets[] = {INT64_MIN,      INT64_MIN + 1 + RLKI_CLOCK_UNIT,
                                      INT64_MIN / 2,  -HARNESS_START - 1,
                                      -HARNESS_START, RLK_NO_CLOCK_MS - HARNESS_START - 31001};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, 2 * COUNT_OF(offsets)); i++) {
        rlk_lock lock;
        rlk_lease lease;
        int64_t until_ms;
        bool fails = i >= COUNT_OF(offsets);

        h.offset_ms = offsets[i % COUNT_OF(offsets)];
        harness_start_automatic(&h, 3);
        h.servers[2].automatic = false; /* what it has does not move */
        holds(&lock, 30000);
        assert_int_equal(rlk_valid_until_ms(&lock), h.now_ms + 30000 - 303);
        harness_advance(&h, 1000);
        assert_result(rlk_lock_detach(&lock, &lease), RLK_OK);
        assert_result(rlk_lock_attach(&lock, &lease), RLK_OK);
        until_ms = rlk_valid_until_ms(&lock); /* or a few milliseconds less */
        assert_between(until_ms - h.now_ms, 29000 - 303 - 10, 29000 - 303);
        h.now_ms = fails ? RLK_NO_CLOCK_MS : until_ms;
        assert_false(rlk_is_held(&lock));
        sleeps_for(0);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    }
    h.offset_ms = 0;
}

static void test_epoch_times_of_both_clocks(void **state)
{
    static const int64_t differences[] = {
        INT64_MIN / 8, -(INT64_C(1) << 31) - 1, -1, 0, 1, (INT64_C(1) << 31) - 2 - HARNESS_START};
    size_t i;

    (void)state;
    harness_start(&h, 1); /* the own clock begins at that of the harness */
    for (i = 0; support_row(i, COUNT_OF(differences)); i++) {
        int64_t clock_ms = HARNESS_START + differences[i];
        int32_t time_ms = rlki_client_time_of(h.client, clock_ms);

        assert_int_equal(time_ms, clock_ms < INT32_MIN ? RLKI_EXPIRED : clock_ms);
        assert_int_equal(rlki_client_clock_of(h.client, time_ms), time_ms);
    }
    /* a time, however far, is never "never": no lease is without an end */
    assert_int_equal(rlki_client_time_of(h.client, INT32_MAX), RLKI_NEVER - 1);
    assert_int_equal(rlki_client_time_of(h.client, RLK_NEVER), RLKI_NEVER - 1);
    assert_int_equal(rlki_client_clock_of(h.client, RLKI_NEVER), RLK_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoch_a_lease_is_lost_in_any_sleep),
        cmocka_unit_test(test_epoch_a_late_answer_counts_from_its_sending),
        cmocka_unit_test(test_epoch_a_long_lease_stays),
        cmocka_unit_test(test_epoch_a_long_wait_ends_in_time),
        cmocka_unit_test(test_epoch_a_wait_of_a_lifetime_does_not_end),
        cmocka_unit_test(test_epoch_an_old_lease_is_not_attached),
        cmocka_unit_test(test_epoch_a_renewal_ends_in_any_sleep),
        cmocka_unit_test(test_epoch_a_clock_of_any_numbers),
        cmocka_unit_test(test_epoch_times_of_both_clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
