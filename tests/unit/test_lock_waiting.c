/* SPDX-License-Identifier: MIT
 *
 * Waiting on one server that tells of changes: when the waiter looks again, and why (rule 9; the
 * diagram in acquire.c).
 */
#include "lock_tracked.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static bench b;

/* ---- SET is answered nil, and PTTL ... ---------------------------------------------------- */

/* SET and PTTL are one write: a SET never goes alone. Nobody waits for PTTL to be held. */
static void test_lock_waiting_set_and_pttl_in_one_write(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&b, &lock);
    assert_int_equal(bench_link_of(&b, 0)->queue.len, 2);
    assert_int_equal(bench_link_of(&b, 0)->queue.commands[1].kind, BENCH_PTTL);
    assert_string_equal(bench_link_of(&b, 0)->queue.commands[1].key, BENCH_KEY);
    bench_reply(&b, 0, BENCH_OK);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    bench_reply(&b, 0, ":30000\r\n");
    bench_expect_quiet(&b, 0);
    assert_true(rlk_is_held(&lock));
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
        tracked_unanswered(&b, &lock);
        bench_reply(&b, 0, BENCH_NIL);
        (void)snprintf(reply, sizeof reply, ":%d\r\n", (int)ttls[i]);
        bench_reply(&b, 0, reply);
        assert_between(tracked_until(&b, 0, BENCH_SET, 2000), ttls[i] + 1,
                       ttls[i] + 1 + RLK_RETRY_MIN_MS);
        assert_int_equal(lock.cause, RLK_CAUSE_EXPIRY);
        bench_serve(&b, 0);
        bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* ... -1, or long: the safety check, from a fifth of its time on (fault 79: somebody's key without
 * a TTL). A key of another type has a TTL, too. */
static void test_lock_waiting_safety_check(void **state)
{
    static const char *const ttls[] = {":-1\r\n", ":86400000\r\n", ":5001\r\n",
                                       ":9223372036854775807\r\n"};
    int64_t least_ms = RLK_SAFETY_MS;
    int64_t most_ms = 0;
    size_t i;
    unsigned look;
    (void)state;
    for (i = 0; i < COUNT_OF(ttls); i++) {
        rlk_lock lock;
        tracked_unanswered(&b, &lock);
        for (look = 0; look < 30; look++) {
            int64_t ms;
            bench_reply(&b, 0, BENCH_NIL);
            bench_reply(&b, 0, ttls[i]);
            ms = tracked_until(&b, 0, BENCH_SET, RLK_SAFETY_MS);
            assert_between(ms, RLK_SAFETY_MS / 5, RLK_SAFETY_MS);
            assert_int_equal(lock.cause, RLK_CAUSE_SAFETY);
            least_ms = ms < least_ms ? ms : least_ms;
            most_ms = ms > most_ms ? ms : most_ms;
        }
    }
    assert_true(least_ms < RLK_SAFETY_MS / 2 && most_ms > RLK_SAFETY_MS / 2); /* random */
}

/* Its time is the configuration's; a TTL that ends before it is not waited out. */
static void test_lock_waiting_safety_time_is_configured(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    unsigned look;
    (void)state;
    config.safety_ms = 600;
    memset(&b.config, 0, sizeof b.config);
    tracked_start(&b, 1, 1);
    tracked_wait(&b, &lock, &config, 1, -1);
    for (look = 0; look < 20; look++) {
        assert_between(tracked_until(&b, 0, BENCH_SET, 1000), 120, 600);
        bench_serve(&b, 0);
    }
}

/* ... -2: it was gone between the two; at once. */
static void test_lock_waiting_gone_between_set_and_pttl(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&b, &lock);
    bench_reply(&b, 0, BENCH_NIL);
    bench_reply(&b, 0, ":-2\r\n");
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
    assert_int_equal(b.now_ms, BENCH_START);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* Fault 80: the same with a server that does it. */
static void test_fault_80_released_between_set_and_pttl(void **state)
{
    rlk_lock lock;
    (void)state;
    memset(&b.config, 0, sizeof b.config);
    tracked_start(&b, 1, 1);
    bench_put(&b, 0, BENCH_KEY, FOREIGN, DAY_MS);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_run(&b);
    assert_true(bench_execute(bench_link_of(&b, 0)));
    bench_delete(&b, 0, BENCH_KEY); /* nobody is told: nobody has read it */
    bench_serve(&b, 0);
    assert_int_equal(b.now_ms, BENCH_START);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* ... an error: what can't be told is asked for, with jitter (state decision "nil to SET, error to
 * the question how long"). */
static void test_lock_waiting_error_to_pttl(void **state)
{
    static const char *const errors[] = {BENCH_NOPERM, BENCH_READONLY, "-ERR what\r\n",
                                         "-NOAUTH Authentication required.\r\n"};
    size_t i;
    unsigned look;
    (void)state;
    for (i = 0; i < COUNT_OF(errors); i++) {
        rlk_lock lock;
        tracked_unanswered(&b, &lock);
        for (look = 0; look < 5; look++) {
            bench_reply(&b, 0, BENCH_NIL);
            bench_reply(&b, 0, errors[i]);
            assert_between(tracked_until(&b, 0, BENCH_SET, 1000), RLK_RETRY_MIN_MS,
                           RLK_RETRY_MAX_MS);
            assert_int_equal(lock.cause, RLK_CAUSE_RETRY);
        }
        bench_expect_no_event(&b);
    }
}

/* ... nonsense: the stream is not to be trusted. */
static void test_lock_waiting_nonsense_to_pttl(void **state)
{
    static const char *const answers[] = {"+OK\r\n", ":-3\r\n", BENCH_NIL};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(answers); i++) {
        rlk_lock lock;
        tracked_unanswered(&b, &lock);
        bench_reply(&b, 0, BENCH_NIL);
        bench_reply(&b, 0, answers[i]);
        assert_result(rlk_conn_result(&bench_link_of(&b, 0)->conn), RLK_E_UNEXPECTED);
        assert_between(tracked_until(&b, 0, BENCH_SET, 1000), 0, RLK_RETRY_MAX_MS);
        bench_serve(&b, 0);
        bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* Where the server can't tell, SET goes alone, again and again. */
static void test_lock_waiting_without_tracking_polls(void **state)
{
    rlk_lock lock;
    unsigned look;
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (look = 0; look < 20; look++) {
        (void)bench_expect(&b, 0, BENCH_SET);
        bench_reply(&b, 0, BENCH_NIL);
        bench_expect_quiet(&b, 0);
        assert_between(tracked_until(&b, 0, BENCH_SET, 1000), RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS);
        assert_int_equal(lock.cause, RLK_CAUSE_RETRY);
    }
    assert_int_equal(b.servers[0].count[BENCH_PTTL], 0);
}

/* ---- Connections -------------------------------------------------------------------------- */

/* What happened while there was no stream nobody will tell. */
static void test_lock_waiting_reconnect_wakes(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    bench_cut(&b, 0);
    assert_between(tracked_until(&b, 0, BENCH_SET, 1000), 0, RLK_BACKOFF_MIN_MS);
    assert_int_equal(lock.cause, RLK_CAUSE_RECONNECT);
    bench_serve(&b, 0);
    bench_expect_no_event(&b);
    bench_delete(&b, 0, BENCH_KEY); /* the new stream has read it */
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* A server that no longer tells of changes: from its stream on the waiter polls. */
static void test_lock_waiting_reconnect_without_tracking(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    b.servers[0].tracking = false;
    bench_cut(&b, 0);
    assert_between(tracked_until(&b, 0, BENCH_SET, 1000), 0, RLK_BACKOFF_MIN_MS);
    bench_serve(&b, 0);
    assert_int_equal(b.servers[0].count[BENCH_PTTL], 1);
    assert_between(tracked_until(&b, 0, BENCH_SET, 1000), RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS);
}

/* The look that comes due while there is no stream is taken when there is one, and once. */
static void test_lock_waiting_due_without_a_stream(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    b.servers[0].refuses = true;
    bench_cut(&b, 0);
    bench_advance(&b, 2 * RLK_SAFETY_MS);
    assert_int_equal(b.servers[0].count[BENCH_SET], 1);
    b.servers[0].refuses = false;
    assert_between(tracked_until(&b, 0, BENCH_SET, RLK_BACKOFF_MAX_MS), 0, RLK_BACKOFF_MAX_MS);
    bench_serve(&b, 0);
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
}

/* Cut between the reply to SET and that to PTTL: nobody knows how long, and the new stream asks. */
static void test_lock_waiting_lost_between_set_and_pttl(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&b, &lock);
    bench_put(&b, 0, BENCH_KEY, FOREIGN, DAY_MS);
    bench_reply(&b, 0, BENCH_NIL);
    bench_cut(&b, 0);
    assert_int_equal(lock.phase, 2 /* RLKI_PHASE_WATCH */);
    assert_between(tracked_until(&b, 0, BENCH_SET, 1000), 0, RLK_RETRY_MAX_MS);
    bench_serve(&b, 0);
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
    assert_int_equal(b.servers[0].count[BENCH_RAISE], 0); /* nothing of ours can be there */
    bench_delete(&b, 0, BENCH_KEY);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* Cut between OK and PTTL: held; that PTTL is not missed. */
static void test_lock_waiting_lost_between_ok_and_pttl(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&b, &lock);
    assert_true(bench_execute(bench_link_of(&b, 0)));
    assert_true(bench_deliver(bench_link_of(&b, 0)));
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    bench_cut(&b, 0);
    assert_true(rlk_is_held(&lock));
    bench_advance(&b, RLK_BACKOFF_MIN_MS);
    (void)bench_expect(&b, 0, BENCH_CHECK); /* of what happened meanwhile nobody told */
    bench_serve(&b, 0);
    assert_true(rlk_is_held(&lock));
    bench_expect_no_event(&b);
}

/* Cut before the reply to SET: it is found out what became of it, as always. */
static void test_lock_waiting_lost_before_set_is_answered(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&b, &lock);
    bench_cut(&b, 0);
    bench_put(&b, 0, BENCH_KEY, FOREIGN, 700);
    bench_advance(&b, RLK_BACKOFF_MIN_MS);
    (void)bench_expect(&b, 0, BENCH_RAISE);
    bench_serve(&b, 0);
    assert_int_equal(b.servers[0].count[BENCH_SET], 2); /* the same token, and PTTL */
    assert_int_equal(b.servers[0].count[BENCH_PTTL], 2);
    assert_between(tracked_until(&b, 0, BENCH_SET, 1000), 500, 700 + 1 + RLK_RETRY_MIN_MS);
}

/* Fault 81: half-open behind a TTL of a day. The safety check notices, and what was missed is made
 * up for. */
static void test_fault_81_half_open_behind_a_long_ttl(void **state)
{
    rlk_lock lock;
    rlk_event event;
    int64_t noticed_ms;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    bench_link_of(&b, 0)->watched[0][0] = '\0'; /* the push is lost on its way */
    bench_find(&b, &b.servers[0], BENCH_KEY)->key[0] = '\0';
    noticed_ms = tracked_until(&b, 0, BENCH_SET, RLK_SAFETY_MS);
    assert_between(noticed_ms, RLK_SAFETY_MS / 5, RLK_SAFETY_MS);
    bench_advance(&b, RLK_RESPONSE_MS + RLK_BACKOFF_MIN_MS); /* no answer: the stream is dead */
    assert_int_equal(b.servers[0].streams, 2);
    b.servers[0].automatic = true;
    assert_true(bench_next_event(&b, &event, 2 * RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
}

/* ---- Ends --------------------------------------------------------------------------------- */

/* A waiter that gives up has nothing to undo, and is told of nothing any more. */
static void test_lock_waiting_ends_at_once(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    assert_result(rlk_cancel(&lock), RLK_OK);
    bench_expect_event(&b, RLK_EV_CANCELLED, RLK_CANCELLED);
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_push(bench_link_of(&b, 0), NULL);
    bench_expect_quiet(&b, 0);
    assert_result(rlk_acquire_start(&lock, 700), RLK_PENDING);
    bench_serve(&b, 0);
    assert_false(bench_next_event(&b, &event, 699));
    assert_true(bench_next_event(&b, &event, 1));
    assert_result(event.result, RLK_TIMED_OUT);
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_expect_quiet(&b, 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* While an undo is waited for, a push wakes nobody. */
static void test_lock_waiting_push_while_settling(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_unanswered(&b, &lock);
    assert_result(rlk_cancel(&lock), RLK_OK);
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_push(bench_link_of(&b, 0), NULL);
    bench_run(&b);
    assert_int_equal(b.servers[0].count[BENCH_SET], 1);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_CANCELLED, RLK_CANCELLED);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
}

/* The deadline of the acquire comes before what is told at the same moment. */
static void test_lock_waiting_push_at_the_deadline(void **state)
{
    rlk_lock lock;
    (void)state;
    memset(&b.config, 0, sizeof b.config);
    tracked_start(&b, 1, 1);
    bench_put(&b, 0, BENCH_KEY, FOREIGN, -1);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 800), RLK_PENDING);
    bench_serve(&b, 0);
    b.now_ms += 800; /* no tick */
    bench_delete(&b, 0, BENCH_KEY);
    bench_run(&b);
    bench_expect_event(&b, RLK_EV_TIMED_OUT, RLK_TIMED_OUT);
    bench_expect_quiet(&b, 0);
    assert_int_equal(b.servers[0].count[BENCH_SET], 1);
}

/* One attempt only does not wait, and is in nobody's way. */
static void test_lock_waiting_once_does_not_wait(void **state)
{
    rlk_lock waiter;
    rlk_lock lock;
    (void)state;
    tracked_behind(&b, &waiter, DAY_MS);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_BUSY, RLK_BUSY);
    bench_delete(&b, 0, BENCH_KEY);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&waiter));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_waiting_set_and_pttl_in_one_write),
        cmocka_unit_test(test_lock_waiting_looks_again_when_the_ttl_is_over),
        cmocka_unit_test(test_lock_waiting_safety_check),
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
        cmocka_unit_test(test_lock_waiting_lost_between_ok_and_pttl),
        cmocka_unit_test(test_lock_waiting_lost_before_set_is_answered),
        cmocka_unit_test(test_fault_81_half_open_behind_a_long_ttl),
        cmocka_unit_test(test_lock_waiting_ends_at_once),
        cmocka_unit_test(test_lock_waiting_push_while_settling),
        cmocka_unit_test(test_lock_waiting_push_at_the_deadline),
        cmocka_unit_test(test_lock_waiting_once_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
