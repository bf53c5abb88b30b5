/* SPDX-License-Identifier: MIT
 *
 * Waiting on one server that tells of changes: when the waiter looks again, and why (rule 9; the
 * diagram in acquire.c).
 */
#include "lock_tracked.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static harness h;

/* ---- SET is answered nil, and PTTL ... ---------------------------------------------------- */

/* SET goes alone. Behind a nil PTTL asks for how long, and behind an OK nothing does. */
static void test_lock_waiting_set_goes_alone(void **state)
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
static void test_lock_waiting_looks_again_when_the_ttl_is_over(void **state)
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
        assert_int_equal(lock.wait.cause, RLK_CAUSE_EXPIRY);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* ... -1, or long: the safety check, from a fifth of its time on (fault 79: somebody's key without
 * a TTL). A key of another type has a TTL, too. */
static void test_lock_waiting_safety_check(void **state)
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
            assert_int_equal(lock.wait.cause, RLK_CAUSE_RECHECK);
            least_ms = ms < least_ms ? ms : least_ms;
            most_ms = ms > most_ms ? ms : most_ms;
        }
    }
    assert_true(least_ms < RLK_RECHECK_MAX_MS / 2 && most_ms > RLK_RECHECK_MAX_MS / 2); /* random */
}

/* Fault 107: a recheck that finds the key gone, and no push before its answer. The second time the
 * server counts as one that does not notify; a push that comes while it is asked is a push. */
static void test_lock_waiting_107_silent_server(void **state)
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
            assert_int_equal(lock.wait.cause, tracking ? RLK_CAUSE_RECHECK : RLK_CAUSE_RETRY);
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
static void test_lock_waiting_safety_time_is_configured(void **state)
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
static void test_lock_waiting_gone_between_set_and_pttl(void **state)
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
static void test_lock_waiting_error_to_pttl(void **state)
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
            assert_int_equal(lock.wait.cause, RLK_CAUSE_RETRY);
        }
        harness_expect_no_event(&h);
    }
}

/* ... nonsense: the stream is not to be trusted. */
static void test_lock_waiting_nonsense_to_pttl(void **state)
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
static void test_lock_waiting_without_tracking_polls(void **state)
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
        assert_int_equal(lock.wait.cause, RLK_CAUSE_RETRY);
    }
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 0);
}

/* ---- Connections -------------------------------------------------------------------------- */

/* What happened while there was no stream nobody will tell. */
static void test_lock_waiting_reconnect_wakes(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    harness_cut(&h, 0);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 0, RLK_BACKOFF_MIN_MS);
    assert_int_equal(lock.wait.cause, RLK_CAUSE_RECONNECT);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    harness_delete(&h, 0, HARNESS_KEY); /* the new stream has read it */
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A server that no longer tells of changes: from its stream on the waiter polls. */
static void test_lock_waiting_reconnect_without_tracking(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    h.servers[0].tracking = false;
    harness_cut(&h, 0);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 0, RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 1);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS);
}

/* The look that comes due while there is no stream is taken when there is one, and once. */
static void test_lock_waiting_due_without_a_stream(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, 2 * RLK_RECHECK_MAX_MS);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    h.servers[0].refuses = false;
    assert_between(tracked_until(&h, 0, HARNESS_SET, RLK_BACKOFF_MAX_MS), 0, RLK_BACKOFF_MAX_MS);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
}

/* Cut between the reply to SET and that to PTTL: nobody knows how long, and the new stream asks. */
static void test_lock_waiting_lost_between_set_and_pttl(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&h, &lock);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_cut(&h, 0);
    assert_int_equal(lock.phase, 2 /* RLKI_PHASE_WATCH */);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 0, RLK_RETRY_MAX_MS);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0); /* nothing of ours can be there */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Cut behind the OK: held, and compared on the next stream. */
static void test_lock_waiting_lost_behind_the_ok(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&h, &lock);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_true(harness_deliver(harness_link_of(&h, 0)));
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_cut(&h, 0);
    assert_true(rlk_is_held(&lock));
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    (void)harness_expect(&h, 0, HARNESS_CHECK); /* of what happened meanwhile nobody told */
    harness_serve(&h, 0);
    assert_true(rlk_is_held(&lock));
    harness_expect_no_event(&h);
}

/* Cut before the reply to SET: it is found out what became of it, as always. */
static void test_lock_waiting_lost_before_set_is_answered(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&h, &lock);
    harness_cut(&h, 0);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, 700);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2); /* the same token, and PTTL */
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 1);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 500, 700 + 1 + RLK_RETRY_MIN_MS);
}

/* Fault 81: half-open behind a TTL of a day. The safety check notices, and what was missed is made
 * up for. */
static void test_fault_81_half_open_behind_a_long_ttl(void **state)
{
    rlk_lock lock;
    rlk_event event;
    int64_t noticed_ms;
    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    harness_link_of(&h, 0)->watched[0][0] = '\0'; /* the push is lost on its way */
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    noticed_ms = tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS);
    assert_between(noticed_ms, RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
    harness_advance(&h, RLK_RESPONSE_TIMEOUT_MS +
                            RLK_BACKOFF_MIN_MS); /* no answer: the stream is dead */
    assert_int_equal(h.servers[0].streams, 2);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 2 * RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
}

/* ---- Ends --------------------------------------------------------------------------------- */

/* A waiter that gives up has nothing to undo, and is told of nothing any more. */
static void test_lock_waiting_ends_at_once(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), NULL);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_acquire_start(&lock, 700), RLK_PENDING);
    harness_serve(&h, 0);
    assert_false(harness_next_event(&h, &event, 699));
    assert_true(harness_next_event(&h, &event, 1));
    assert_result(event.result, RLK_TIMED_OUT);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* While an undo is waited for, a push wakes nobody. */
static void test_lock_waiting_push_while_settling(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&h, &lock);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), NULL);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

/* The deadline of the acquire comes before what is told at the same moment. */
static void test_lock_waiting_push_at_the_deadline(void **state)
{
    rlk_lock lock;
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, 1, 1);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 800), RLK_PENDING);
    harness_serve(&h, 0);
    h.now_ms += 800; /* no tick */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
    harness_expect_quiet(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
}

/* One attempt only does not wait: it asks for no time, and is in nobody's way. */
static void test_lock_waiting_once_does_not_wait(void **state)
{
    rlk_lock waiter;
    rlk_lock lock;
    (void)state;
    tracked_behind(&h, &waiter, DAY_MS);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_BUSY);
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 1); /* the waiter's */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));
}

/* A closed lock's release is behind the waiter's SET, and its reply reaches no lock: the waiter
 * tries again at once, and does not sleep until the TTL of a key that is gone. */
static void test_lock_waiting_release_of_a_closed_lock_behind_the_set(void **state)
{
    rlk_lock holder;
    rlk_lock waiter;
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, 1, 1);
    harness_lock(&h, &holder, 30000);
    assert_result(rlk_acquire_start(&holder, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_lock(&h, &waiter, 30000);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_release_start(&holder), RLK_PENDING);
    assert_result(rlk_lock_close(&holder), RLK_UNKNOWN);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));
    assert_int_equal(h.now_ms, HARNESS_START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_waiting_set_goes_alone),
        cmocka_unit_test(test_lock_waiting_looks_again_when_the_ttl_is_over),
        cmocka_unit_test(test_lock_waiting_safety_check),
        cmocka_unit_test(test_lock_waiting_107_silent_server),
        cmocka_unit_test(test_lock_waiting_safety_time_is_configured),
        cmocka_unit_test(test_lock_waiting_gone_between_set_and_pttl),
        cmocka_unit_test(test_fault_80_released_between_set_and_pttl),
        cmocka_unit_test(test_lock_waiting_error_to_pttl),
        cmocka_unit_test(test_lock_waiting_nonsense_to_pttl),
        cmocka_unit_test(test_lock_waiting_without_tracking_polls),
        cmocka_unit_test(test_lock_waiting_reconnect_wakes),
        cmocka_unit_test(test_lock_waiting_reconnect_without_tracking),
        cmocka_unit_test(test_lock_waiting_due_without_a_stream),
        cmocka_unit_test(test_lock_waiting_lost_between_set_and_pttl),
        cmocka_unit_test(test_lock_waiting_lost_behind_the_ok),
        cmocka_unit_test(test_lock_waiting_lost_before_set_is_answered),
        cmocka_unit_test(test_fault_81_half_open_behind_a_long_ttl),
        cmocka_unit_test(test_lock_waiting_ends_at_once),
        cmocka_unit_test(test_lock_waiting_push_while_settling),
        cmocka_unit_test(test_lock_waiting_push_at_the_deadline),
        cmocka_unit_test(test_lock_waiting_once_does_not_wait),
        cmocka_unit_test(test_lock_waiting_release_of_a_closed_lock_behind_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
