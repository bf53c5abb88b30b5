/* SPDX-License-Identifier: MIT
 *
 * When a waiter on one server rechecks the key, and for which cause (rule 9; the diagram in
 * recheck.c).
 */
#include "lock_tracked.h"

#include "lock/clock.h"

#include <stdio.h>
#include <string.h>

static harness h;

/* SET goes alone. After a nil PTTL asks for the remaining time. After an OK nothing follows. */
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

/* The waiter's SET is answered nil and its PTTL in this way, several times. Each time it rechecks
 * within these times, for this cause. Returns the last time. */
static int64_t expect_rechecks(const rlk_lock *lock, const char *reply, unsigned times,
                               int64_t least_ms, int64_t most_ms, rlk_cause cause)
{
    int64_t ms = 0;

    while (times-- > 0) {
        harness_reply(&h, 0, HARNESS_NIL);
        harness_reply(&h, 0, reply);
        ms = tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS);
        assert_between(ms, least_ms, most_ms);
        assert_int_equal(lock->cause, cause);
    }
    return ms;
}

/* The remaining time: the waiter rechecks when the holder's TTL is over, without a push. */
static void test_recheck_when_the_ttl_is_over(void **state)
{
    static const int64_t ttls[] = {0, 1, 37, 500, 999};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(ttls)); i++) {
        rlk_lock lock;
        char reply[16];

        tracked_unanswered(&h, &lock);
        (void)snprintf(reply, sizeof reply, ":%d\r\n", (int)ttls[i]);
        (void)expect_rechecks(&lock, reply, 1, ttls[i] + 1, ttls[i] + 1 + RLK_RETRY_MIN_MS,
                              RLK_CAUSE_EXPIRY);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* -1, or long: the waiter rechecks after a time from a fifth of recheck_max_ms on (fault 79: a
 * foreign key without a TTL). A key of another type has a TTL, too. */
static void test_recheck_within_its_time(void **state)
{
    static const char *const ttls[] = {":-1\r\n", ":86400000\r\n", ":5001\r\n",
                                       ":9223372036854775807\r\n"};
    int64_t least_ms = RLK_RECHECK_MAX_MS;
    int64_t most_ms = 0;
    size_t i;
    unsigned k;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(ttls)); i++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        for (k = 0; k < 30; k++) {
            int64_t ms = expect_rechecks(&lock, ttls[i], 1, RLK_RECHECK_MAX_MS / 5,
                                         RLK_RECHECK_MAX_MS, RLK_CAUSE_RECHECK);

            least_ms = ms < least_ms ? ms : least_ms;
            most_ms = ms > most_ms ? ms : most_ms;
        }
    }
    assert_true(least_ms < RLK_RECHECK_MAX_MS / 2 && most_ms > RLK_RECHECK_MAX_MS / 2); /* random */
}

/* Fault 107: a recheck that finds the key gone, and no push before its reply. The second time the
 * server counts as one that does not notify. A push during the recheck counts as a push. */
static void test_fault_107_server_that_never_notifies(void **state)
{
    unsigned notified;
    unsigned cycle;

    (void)state;
    for (notified = 0; support_row(notified, 2); notified++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        for (cycle = 0; cycle < 4; cycle++) {
            bool tracking = notified == 1 || cycle < 2;

            assert_int_equal(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn), tracking);
            harness_reply(&h, 0, HARNESS_NIL);
            if (tracking)
                harness_reply(&h, 0, ":-1\r\n");
            assert_true(tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS) >= 0);
            assert_int_equal(lock.cause, tracking ? RLK_CAUSE_RECHECK : RLK_CAUSE_RETRY);
            if (notified == 1)
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
            assert_int_equal(stats.silent, notified == 0);
        }
#endif
    }
}

/* ... but a key with a TTL may have expired, when the recheck leaves late, or its answer is read
 * late: the server need not have notified of that before its answer. */
static void test_fault_107_key_that_expired_meanwhile(void **state)
{
    enum {
        RECHECK_MAX = 600,
        TIMEOUT = 1000
    };
    static const struct {
        int64_t ttl_ms;
        int64_t late_ms;
        int64_t read_ms;
        bool broken;
    } rows[] = {
        {-1, 0, 0, true},
        {-1, 0, TIMEOUT / 2, true},
        {DAY_MS, 0, 0, true},
        {DAY_MS, TIMEOUT / 2, 0, true},
        {DAY_MS, 0, TIMEOUT / 2, true},
        {RECHECK_MAX + 2 * TIMEOUT + 1, TIMEOUT / 2, TIMEOUT / 4, true},
        {RECHECK_MAX, RECHECK_MAX, 0, false},
        {RECHECK_MAX, 0, RECHECK_MAX, false},
        {RECHECK_MAX, 0, 0, false},
        {RECHECK_MAX + 1, 0, TIMEOUT / 2, false},
        {RECHECK_MAX + 2 * TIMEOUT + 1, 2 * TIMEOUT, TIMEOUT / 2, false},
    };
    size_t i;
    unsigned cycle;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock_config config = rlk_lock_config_default();
        rlk_lock lock;
        char reply[24];

        config.recheck_max_ms = RECHECK_MAX;
        config.node_timeout_ms = TIMEOUT;
        (void)snprintf(reply, sizeof reply, ":%d\r\n", (int)rows[i].ttl_ms);
        tracked_open(&h, 1);
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
        for (cycle = 0; cycle < 2; cycle++) {
            assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
            (void)harness_expect(&h, 0, HARNESS_SET);
            harness_reply(&h, 0, HARNESS_NIL);
            harness_reply(&h, 0, reply);
            if (rows[i].late_ms > 0)
                h.now_ms =
                    rlki_client_clock_of(h.client, lock.as.wait.recheck_at_ms[0]) + rows[i].late_ms;
            assert_true(tracked_until(&h, 0, HARNESS_SET, RECHECK_MAX) >= 0);
            assert_int_equal(lock.cause, RLK_CAUSE_RECHECK);
            h.now_ms += rows[i].read_ms;
            harness_reply(&h, 0, HARNESS_OK);
            harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
            assert_result(rlk_release_start(&lock), RLK_PENDING);
            harness_reply(&h, 0, ":1\r\n");
            harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        }
        assert_int_equal(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn), !rows[i].broken);
    }
}

/* ... and the next of the queue finds out as well, by what the lock before it knew of the key. */
static void test_fault_107_next_of_the_queue(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock locks[2];
    unsigned held;
    unsigned i;

    (void)state;
    config.recheck_max_ms = 250;
    config.watch_after_ms = 1;
    for (held = 0; support_row(held, 2); held++) {
        tracked_open(&h, 1);
        for (i = 0; i < 2; i++)
            assert_result(rlk_lock_init(&locks[i], h.client, HARNESS_KEY, &config), RLK_OK);
        for (i = 0; i < 2; i++) {
            assert_true(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn));
            harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
            assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
            assert_result(rlk_acquire_start(&locks[1], RLK_FOREVER), RLK_PENDING);
            harness_serve_all(&h);
            if (held == 1) {
                harness_delete(&h, 0, HARNESS_KEY);
                harness_serve_all(&h);
                harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
                tracked_watch(&h, 1);
            } else {
                assert_result(rlk_cancel(&locks[0]), RLK_OK);
                harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
            }
            harness_remove(&h, 0, HARNESS_KEY);
            assert_true(tracked_until(&h, 0, HARNESS_SET, 250) >= 0);
            assert_int_equal(locks[1].cause, RLK_CAUSE_RECHECK);
            harness_serve_all(&h);
            harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
            if (held == 1) {
                assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
                harness_serve_all(&h);
                harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
            }
            assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
            harness_serve_all(&h);
            harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        }
        assert_false(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn));
    }
}

/* ... but it counts nothing where the key may have expired: by its own time-out, which is longer,
 * or because the key got a TTL only then. */
static void test_fault_107_next_of_the_queue_runs_late(void **state)
{
    rlk_lock_config configs[2];
    rlk_lock locks[2];
    unsigned got_ttl;
    unsigned cycle;

    (void)state;
    for (got_ttl = 0; support_row(got_ttl, 2); got_ttl++) {
        configs[0] = configs[1] = rlk_lock_config_default();
        configs[0].recheck_max_ms = got_ttl != 0 ? 60000 : 250;
        configs[0].node_timeout_ms = got_ttl != 0 ? 1000 : 10;
        configs[1].recheck_max_ms = 250;
        configs[1].node_timeout_ms = 1000;
        tracked_open(&h, 1);
        for (cycle = 0; cycle < 2; cycle++)
            assert_result(rlk_lock_init(&locks[cycle], h.client, HARNESS_KEY, &configs[cycle]),
                          RLK_OK);
        for (cycle = 0; cycle < 2; cycle++) {
            assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
            assert_result(rlk_acquire_start(&locks[1], RLK_FOREVER), RLK_PENDING);
            harness_run(&h);
            (void)harness_expect(&h, 0, HARNESS_SET);
            harness_reply(&h, 0, HARNESS_NIL);
            harness_reply(&h, 0, got_ttl != 0 ? ":-1\r\n" : ":600\r\n");
            if (got_ttl != 0) {
                harness_push(harness_link_of(&h, 0), HARNESS_KEY);
                harness_run(&h);
                (void)tracked_until(&h, 0, HARNESS_SET, 50);
                harness_reply(&h, 0, HARNESS_NIL);
                harness_reply(&h, 0, ":600\r\n");
            }
            assert_result(rlk_cancel(&locks[0]), RLK_OK);
            harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
            assert_true(tracked_until(&h, 0, HARNESS_SET, 300) >= 0);
            assert_int_equal(locks[1].cause, RLK_CAUSE_RECHECK);
            h.now_ms += 600; /* read late: the key has expired */
            harness_reply(&h, 0, HARNESS_OK);
            harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
            assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
            harness_reply(&h, 0, ":1\r\n");
            harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        }
        assert_true(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn));
    }
}

/* The time is the configuration's. */
static void test_recheck_time_is_configured(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    unsigned n;

    (void)state;
    config.recheck_max_ms = 600;
    tracked_open(&h, 1);
    tracked_wait(&h, &lock, &config, 1, -1);
    for (n = 0; n < 20; n++) {
        assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 120, 600);
        harness_serve(&h, 0);
    }
}

/* -2: the key was deleted between SET and PTTL. The waiter tries again at once. */
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

/* Fault 80: the same, with a server that executes both. */
static void test_fault_80_released_between_set_and_pttl(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    harness_delete(&h, 0, HARNESS_KEY); /* no push: no client has read the key */
    harness_serve(&h, 0);
    assert_int_equal(h.now_ms, HARNESS_START);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* An error: the waiter polls, with jitter (state decision "nil to SET, error to the question how
 * long").
 */
static void test_recheck_error_to_pttl(void **state)
{
    static const char *const errors[] = {HARNESS_NOPERM, HARNESS_MISCONF, "-ERR what\r\n",
                                         "-LOADING what\r\n"};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(errors)); i++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        (void)expect_rechecks(&lock, errors[i], 5, RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS,
                              RLK_CAUSE_RETRY);
        harness_expect_no_event(&h);
    }
}

/* A reply that PTTL can not have: the stream ends. */
static void test_recheck_nonsense_to_pttl(void **state)
{
    static const char *const answers[] = {"+OK\r\n", ":-3\r\n", HARNESS_NIL};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(answers)); i++) {
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

/* Where the server does not notify, SET goes alone, again and again. */
static void test_recheck_without_tracking_polls(void **state)
{
    rlk_lock lock;
    unsigned n;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (n = 0; n < 20; n++) {
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_reply(&h, 0, HARNESS_NIL);
        harness_expect_quiet(&h, 0);
        assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS);
        assert_int_equal(lock.cause, RLK_CAUSE_RETRY);
    }
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 0);
}

/* Times of node locks have 32 bits: a time more than half of that ago is in the past, too. */
static void test_recheck_after_a_month_of_standstill(void **state)
{
    rlk_lock lock;
    harness_link *link = harness_link_of(&h, 0);

    (void)state;
    tracked_behind(&h, &lock, 20000);
    h.servers[0].automatic = true;
    memset(link->watched, 0, sizeof link->watched); /* no push */
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
        cmocka_unit_test(test_fault_107_key_that_expired_meanwhile),
        cmocka_unit_test(test_fault_107_next_of_the_queue),
        cmocka_unit_test(test_fault_107_next_of_the_queue_runs_late),
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
