/* SPDX-License-Identifier: MIT
 *
 * Local hand-offs are bounded, so that other processes have their turn.
 */
#include "lock_queue.h"

#include <string.h>

static harness h;
static rlk_lock locks[8];

/* One client whose wait queue yields after this number of local hand-offs. */
static void start(unsigned max_handoffs)
{
    queue_open(&h, 1, QUEUE_TRACKS, max_handoffs);
}

static void add(unsigned i)
{
    queue_add_unwatched(h.client, &locks[i], HARNESS_KEY);
}

/* locks[from..to) begin to acquire, and the first does. */
static void acquire_first(unsigned from, unsigned to)
{
    unsigned i;

    for (i = from; i < to; i++)
        add(i);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

static bool hands_off(unsigned i, unsigned next)
{
    return queue_hands_off(&h, &locks[i], &locks[next]);
}

/* Two locks that hand off to each other: K times at once, then after a retry time, and so on. */
static void hand_off_until_it_yields(unsigned max_handoffs, unsigned expected, unsigned times)
{
    unsigned holder = 0;
    unsigned i;

    start(max_handoffs);
    acquire_first(0, 2);
    for (i = 0; i < times * (expected + 1); i++) {
        bool at_once = hands_off(holder, 1 - holder);

        assert_int_equal(at_once, i % (expected + 1) != expected);
        if (!at_once) {
            assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), QUEUE_RETRY_MIN,
                           QUEUE_RETRY_MAX);
            assert_int_equal(locks[1 - holder].cause, RLK_CAUSE_YIELD);
            harness_serve(&h, 0);
            harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        }
        assert_result(rlk_acquire_start(&locks[holder], RLK_FOREVER), RLK_PENDING);
        harness_serve(&h, 0); /* the only waiter: it asks the server */
        holder = 1 - holder;
    }
}

static void test_wait_queue_yields_after_handoffs(void **state)
{
    (void)state;
    hand_off_until_it_yields(1, 1, 5);
    hand_off_until_it_yields(2, 2, 4);
    hand_off_until_it_yields(0, RLK_MAX_HANDOFFS, 3);
    hand_off_until_it_yields(254, 254, 2);
}

/* Three locks want the key, and the first hands it off: the third leaves a turn to others. */
static void hand_off_until_the_third_yields(void)
{
    acquire_first(0, 3);
    assert_true(hands_off(0, 1));
    assert_false(hands_off(1, 2));
}

/* The waiter leaves a turn to others, for a retry time, of which past_ms have passed. */
static void expect_to_yield(unsigned i, int64_t past_ms)
{
    assert_between(past_ms + tracked_until(&h, 0, HARNESS_SET, 1000), QUEUE_RETRY_MIN,
                   QUEUE_RETRY_MAX);
    assert_int_equal(locks[i].cause, RLK_CAUSE_YIELD);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&locks[i]));
}

/* The pause lasts its time. A lock of the client that had no part in the hand-offs finds out that
 * it lost the key long ago: that neither ends the pause nor begins it anew. */
static void test_wait_queue_yields_when_another_lock_releases(void **state)
{
    (void)state;
    start(1);
    acquire_first(4, 5);
    harness_remove(&h, 0, HARNESS_KEY); /* no push */
    hand_off_until_the_third_yields();
    harness_advance(&h, 300);
    assert_result(rlk_release_start(&locks[4]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    expect_to_yield(2, 300);
}

/* A waiter that becomes the first because the one before is closed, during the last release, counts
 * the hand-offs of the whole wait queue. */
static void test_wait_queue_counts_for_who_comes_first(void **state)
{
    static const struct {
        const char *name;
        unsigned ahead; /* locks that began before the first hand-off */
    } rows[] = {{"began after the hand-off", 2}, {"began before it", 4}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        unsigned k;

        support_row_name("%s", rows[i].name);
        start(1);
        acquire_first(0, rows[i].ahead);
        assert_true(hands_off(0, 1));
        for (k = rows[i].ahead; k < 4; k++)
            add(k);
        harness_serve(&h, 0);
        assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1); /* a recheck */
        assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
        assert_result(rlk_lock_close(&locks[2]), RLK_UNKNOWN);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        expect_to_yield(3, 0);
    }
}

/* A waiter whose SET is under way when the lock before is closed, during its release, counts too.
 */
static void test_wait_queue_yields_to_others_behind_a_closed_lock(void **state)
{
    (void)state;
    start(1);
    acquire_first(0, 2);
    assert_true(hands_off(0, 1));
    add(2);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
    assert_result(rlk_lock_close(&locks[1]), RLK_UNKNOWN);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    expect_to_yield(2, 0);
}

/* So does a waiter whose SET is under way when the lock before releases: its nil is due to that
 * lock, and PTTL finds the key gone. */
static void test_wait_queue_yields_to_others_behind_a_nil(void **state)
{
    (void)state;
    start(1);
    acquire_first(0, 2);
    assert_true(hands_off(0, 1));
    add(2);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
    expect_to_yield(2, 0);
}

/* A pause during which the client itself holds the key is no turn of others: the count goes on. */
static void test_wait_queue_counts_on_after_a_pause_in_its_own_lease(void **state)
{
    unsigned i;

    (void)state;
    start(1);
    for (i = 4; i < 6; i++) {
        add(i);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_remove(&h, 0, HARNESS_KEY); /* no push */
    }
    acquire_first(0, 3);
    assert_true(hands_off(0, 1));
    assert_result(rlk_release_start(&locks[4]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), QUEUE_RETRY_MIN, QUEUE_RETRY_MAX);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_result(rlk_release_start(&locks[5]), RLK_PENDING);
    assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
    expect_to_yield(2, 0);
}

/* The count stays at its highest value, and does not begin anew. */
static void test_wait_queue_count_has_an_end(void **state)
{
    unsigned holder = 0;
    unsigned i;

    (void)state;
    start(254);
    acquire_first(0, 2);
    for (i = 0; i < 254; i++) {
        assert_true(hands_off(holder, 1 - holder));
        assert_result(rlk_acquire_start(&locks[holder], RLK_FOREVER), RLK_PENDING);
        harness_serve(&h, 0);
        holder = 1 - holder;
    }
    add(2);
    assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1); /* a recheck */
    assert_result(rlk_release_start(&locks[holder]), RLK_PENDING);
    assert_result(rlk_lock_close(&locks[1 - holder]), RLK_UNKNOWN);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    expect_to_yield(2, 0);
}

/* An acquire that is no local hand-off begins the count anew: another process had its turn. */
static void test_wait_queue_counts_consecutive_hand_offs(void **state)
{
    (void)state;
    start(2);
    acquire_first(0, 6);
    assert_true(hands_off(0, 1));
    assert_true(hands_off(1, 2));
    /* the third does not release: its key is deleted, and the next waiter rechecks */
    harness_remove(&h, 0, HARNESS_KEY);
    assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_not_equal(locks[3].cause, RLK_CAUSE_LOCAL);
    assert_true(hands_off(3, 4));
    assert_true(hands_off(4, 5));
}

#ifndef RLK_RESP2_ONLY
/* Three locks of one client acquire again as soon as they release. A lock of another client has its
 * turn by a push, not by its own recheck. */
static void test_wait_queue_yields_to_another_process(void **state)
{
    rlk_event event;
    unsigned turns = 0;
    unsigned i;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.max_handoffs = 5;
    queue_connect(&h, 1, 2, true);
    h.servers[0].automatic = true;
    for (i = 0; i < 3; i++)
        add(i);
    queue_add_unwatched(&h.members[1].client, &locks[3], HARNESS_KEY);
    do {
        assert_true(harness_next_event(&h, &event, 1000));
        if (event.type == RLK_EV_ACQUIRED && event.lock != &locks[3]) {
            assert_result(rlk_release_start(event.lock), RLK_PENDING);
            turns++;
        } else if (event.operation == RLK_OP_RELEASE) {
            assert_result(rlk_acquire_start(event.lock, RLK_FOREVER), RLK_PENDING);
        }
        assert_true(turns < 10);
    } while (event.lock != &locks[3]);
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(locks[3].cause, RLK_CAUSE_PUSH);
    assert_int_equal(turns, 6); /* the first, and five hand-offs */
    assert_true(h.now_ms - HARNESS_START < 200);
}

/* A push ends the pause of a waiter that yields. */
static void test_wait_queue_yields_until_it_is_notified(void **state)
{
    (void)state;
    start(1);
    hand_off_until_the_third_yields();
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(h.now_ms, HARNESS_START);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_queue_yields_after_handoffs),
        cmocka_unit_test(test_wait_queue_yields_when_another_lock_releases),
        cmocka_unit_test(test_wait_queue_counts_for_who_comes_first),
        cmocka_unit_test(test_wait_queue_yields_to_others_behind_a_closed_lock),
        cmocka_unit_test(test_wait_queue_yields_to_others_behind_a_nil),
        cmocka_unit_test(test_wait_queue_counts_on_after_a_pause_in_its_own_lease),
        cmocka_unit_test(test_wait_queue_count_has_an_end),
        cmocka_unit_test(test_wait_queue_counts_consecutive_hand_offs),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_wait_queue_yields_to_another_process),
        cmocka_unit_test(test_wait_queue_yields_until_it_is_notified),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
