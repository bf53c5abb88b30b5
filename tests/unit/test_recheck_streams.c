/* SPDX-License-Identifier: MIT
 *
 * A waiter whose stream ends: the next stream asks again (rule 9).
 */
#include "lock_tracked.h"

static harness h;

/* The server does not notify of changes while there was no stream: the waiter rechecks. */
static void test_recheck_after_a_reconnect(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    harness_cut(&h, 0);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 0, RLK_BACKOFF_MIN_MS);
    assert_int_equal(lock.cause, RLK_CAUSE_RECONNECT);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    harness_delete(&h, 0, HARNESS_KEY); /* the new stream has read it */
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A server that no longer notifies: from its stream on the waiter polls. */
static void test_recheck_after_a_reconnect_without_tracking(void **state)
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

/* A recheck that is due while there is no stream follows when there is one, and once. */
static void test_recheck_due_without_a_stream(void **state)
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

/* Cut between the reply to SET and that to PTTL: the waiter asks again on the new stream. */
static void test_recheck_stream_lost_between_set_and_pttl(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_unanswered(&h, &lock);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_cut(&h, 0);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 0, RLK_RETRY_MAX_MS);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0); /* no token of ours can be there */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Cut after the OK: held, and compared on the next stream. */
static void test_recheck_stream_lost_behind_the_ok(void **state)
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
    (void)harness_expect(&h, 0, HARNESS_CHECK); /* the server did not notify meanwhile */
    harness_serve(&h, 0);
    assert_true(rlk_is_held(&lock));
    harness_expect_no_event(&h);
}

/* Cut before the reply to SET: a compare finds out its result. */
static void test_recheck_stream_lost_before_set_is_answered(void **state)
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

/* Fault 81: half-open behind a TTL of a day. A recheck ends the stream, and the waiter acquires on
 * the next. */
static void test_fault_81_half_open_behind_a_long_ttl(void **state)
{
    rlk_lock lock;
    rlk_event event;
    int64_t noticed_ms;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    harness_link_of(&h, 0)->watched[0][0] = '\0'; /* the push is lost on its way */
    harness_remove(&h, 0, HARNESS_KEY);
    noticed_ms = tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS);
    assert_between(noticed_ms, RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
    harness_advance(&h, RLK_RESPONSE_TIMEOUT_MS +
                            RLK_BACKOFF_MIN_MS); /* no answer: the stream is dead */
    assert_int_equal(h.servers[0].streams, 2);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 2 * RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recheck_after_a_reconnect),
        cmocka_unit_test(test_recheck_after_a_reconnect_without_tracking),
        cmocka_unit_test(test_recheck_due_without_a_stream),
        cmocka_unit_test(test_recheck_stream_lost_between_set_and_pttl),
        cmocka_unit_test(test_recheck_stream_lost_behind_the_ok),
        cmocka_unit_test(test_recheck_stream_lost_before_set_is_answered),
        cmocka_unit_test(test_fault_81_half_open_behind_a_long_ttl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
