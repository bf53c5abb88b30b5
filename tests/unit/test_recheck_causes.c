/* SPDX-License-Identifier: MIT
 *
 * When a waiter on one server rechecks the key, and for which cause (rule 9; the diagram in
 * recheck.c).
 */
#include "lock_tracked.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static harness h;

/* SET goes alone. Behind a nil PTTL asks for how long, and behind an OK nothing does. */
static void test_recheck_set_goes_alone(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_unanswered(&h, &lock);
    harness_reply(&h, 0, HARNESS_NIL);
    assert_string_equal(harness_expect(&h, 0, HARNESS_PTTL)->key, HARNESS_KEY);
    harness_reply(&h, 0, ":-1\r\n");
    harness_expect_quiet(&h, 0);

    tracked_unanswered(&h, &lock);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_quiet(&h, 0);
    assert_true(rlk_is_held(&lock));
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 0);
}

/* ... p: looks again when the holder's TTL is over, never relying on a push for it. */
static void test_recheck_when_the_ttl_is_over(void **state)
{
    static const int64_t ttls[] = {0, 1, 37, 500, 999};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ttls); i++) {
        rlk_lock lock;
        char reply[16];

        tracked_unanswered(&h, &lock);
        harness_reply(&h, 0, HARNESS_NIL);
        (void)snprintf(reply, sizeof reply, ":%d\r\n", (int)ttls[i]);
        harness_reply(&h, 0, reply);
        assert_between(tracked_until(&h, 0, HARNESS_SET, 2000), ttls[i] + 1,
                       ttls[i] + 1 + RLK_RETRY_MIN_MS);
        assert_int_equal(lock.cause, RLK_CAUSE_EXPIRY);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* ... -1, or long: the safety check, from a fifth of its time on (fault 79: somebody's key without
 * a TTL). A key of another type has a TTL, too. */
static void test_recheck_within_its_time(void **state)
{
    static const char *const ttls[] = {":-1\r\n", ":86400000\r\n", ":5001\r\n",
                                       ":9223372036854775807\r\n"};
    int64_t least_ms = RLK_RECHECK_MAX_MS;
    int64_t most_ms = 0;
    size_t i;
    unsigned look;

    (void)state;
    for (i = 0; i < COUNT_OF(ttls); i++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        for (look = 0; look < 30; look++) {
            int64_t ms;

            harness_reply(&h, 0, HARNESS_NIL);
            harness_reply(&h, 0, ttls[i]);
            ms = tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS);
            assert_between(ms, RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
            assert_int_equal(lock.cause, RLK_CAUSE_RECHECK);
            least_ms = ms < least_ms ? ms : least_ms;
            most_ms = ms > most_ms ? ms : most_ms;
        }
    }
    assert_true(least_ms < RLK_RECHECK_MAX_MS / 2 && most_ms > RLK_RECHECK_MAX_MS / 2); /* random */
}

/* Fault 107: a recheck that finds the key gone, and no push before its answer. The second time the
 * server counts as one that does not notify; a push that comes while it is asked is a push. */
static void test_fault_107_server_that_never_notifies(void **state)
{
    unsigned told;
    unsigned look;

    (void)state;
    for (told = 0; told < 2; told++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        for (look = 0; look < 4; look++) {
            bool tracking = told == 1 || look < 2;

            assert_int_equal(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn), tracking);
            harness_reply(&h, 0, HARNESS_NIL);
            if (tracking)
                harness_reply(&h, 0, ":-1\r\n");
            assert_true(tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS) >= 0);
            assert_int_equal(lock.cause, tracking ? RLK_CAUSE_RECHECK : RLK_CAUSE_RETRY);
            if (told == 1)
                harness_push(harness_link_of(&h, 0), HARNESS_KEY);
            harness_reply(&h, 0, HARNESS_OK);
            harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
            assert_result(rlk_release_start(&lock), RLK_PENDING);
            harness_reply(&h, 0, ":1\r\n");
            harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
            assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
            (void)harness_expect(&h, 0, HARNESS_SET);
        }
#ifndef RLK_NO_TRACE
        {
            rlk_stats stats;

            rlk_client_stats(h.client, &stats);
            assert_int_equal(stats.silent, told == 0);
        }
#endif
    }
}

/* Its time is the configuration's; a TTL that ends before it is not waited out. */
static void test_recheck_time_is_configured(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    unsigned look;

    (void)state;
    config.recheck_max_ms = 600;
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, 1, 1);
    tracked_wait(&h, &lock, &config, 1, -1);
    for (look = 0; look < 20; look++) {
        assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 120, 600);
        harness_serve(&h, 0);
    }
}

/* ... -2: it was gone between the two; at once. */
static void test_recheck_gone_between_set_and_pttl(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_unanswered(&h, &lock);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":-2\r\n");
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    assert_int_equal(h.now_ms, HARNESS_START);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Fault 80: the same with a server that does it. */
static void test_fault_80_released_between_set_and_pttl(void **state)
{
    rlk_lock lock;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, 1, 1);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    harness_delete(&h, 0, HARNESS_KEY); /* nobody is told: nobody has read it */
    harness_serve(&h, 0);
    assert_int_equal(h.now_ms, HARNESS_START);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* ... an error: what can't be told is asked for, with jitter (state decision "nil to SET, error to
 * the question how long"). */
static void test_recheck_error_to_pttl(void **state)
{
    static const char *const errors[] = {HARNESS_NOPERM, HARNESS_MISCONF, "-ERR what\r\n",
                                         "-LOADING what\r\n"};
    size_t i;
    unsigned look;

    (void)state;
    for (i = 0; i < COUNT_OF(errors); i++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        for (look = 0; look < 5; look++) {
            harness_reply(&h, 0, HARNESS_NIL);
            harness_reply(&h, 0, errors[i]);
            assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), RLK_RETRY_MIN_MS,
                           RLK_RETRY_MAX_MS);
            assert_int_equal(lock.cause, RLK_CAUSE_RETRY);
        }
        harness_expect_no_event(&h);
    }
}

/* ... nonsense: the stream is not to be trusted. */
static void test_recheck_nonsense_to_pttl(void **state)
{
    static const char *const answers[] = {"+OK\r\n", ":-3\r\n", HARNESS_NIL};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(answers); i++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        harness_reply(&h, 0, HARNESS_NIL);
        harness_reply(&h, 0, answers[i]);
        assert_result(rlk_conn_result(&harness_link_of(&h, 0)->conn), RLK_E_UNEXPECTED);
        assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 0, RLK_RETRY_MAX_MS);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* Where the server can't tell, SET goes alone, again and again. */
static void test_recheck_without_tracking_polls(void **state)
{
    rlk_lock lock;
    unsigned look;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (look = 0; look < 20; look++) {
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_reply(&h, 0, HARNESS_NIL);
        harness_expect_quiet(&h, 0);
        assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS);
        assert_int_equal(lock.cause, RLK_CAUSE_RETRY);
    }
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 0);
}

/* Times of seats have 32 bits: a suspend of more than half of that is long past, too. */
static void test_recheck_after_a_month_of_standstill(void **state)
{
    rlk_lock lock;
    harness_link *link = harness_link_of(&h, 0);

    (void)state;
    tracked_behind(&h, &lock, 20000);
    h.servers[0].automatic = true;
    memset(link->watched, 0, sizeof link->watched); /* nothing is told */
    h.now_ms += (INT64_C(1) << 31) + 10000;
    assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recheck_set_goes_alone),
        cmocka_unit_test(test_recheck_when_the_ttl_is_over),
        cmocka_unit_test(test_recheck_within_its_time),
        cmocka_unit_test(test_fault_107_server_that_never_notifies),
        cmocka_unit_test(test_recheck_time_is_configured),
        cmocka_unit_test(test_recheck_gone_between_set_and_pttl),
        cmocka_unit_test(test_fault_80_released_between_set_and_pttl),
        cmocka_unit_test(test_recheck_error_to_pttl),
        cmocka_unit_test(test_recheck_nonsense_to_pttl),
        cmocka_unit_test(test_recheck_without_tracking_polls),
        cmocka_unit_test(test_recheck_after_a_month_of_standstill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
