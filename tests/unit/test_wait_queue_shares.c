/* SPDX-License-Identifier: MIT
 *
 * Local hand-offs are bounded, so that other processes have their turn.
 */
#include "lock_tracked.h"

#include <string.h>

static harness h;
static rlk_lock locks[8];

static void start(unsigned clients, unsigned max_handoffs, rlk_lock **buckets, size_t buckets_len)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.max_handoffs = max_handoffs;
    h.config.buckets = buckets;
    h.config.buckets_len = buckets_len;
#ifdef RLK_RESP2_ONLY
    harness_open(&h, 1, clients);
    harness_advance(&h, 0);
#else
    tracked_start(&h, 1, clients);
#endif
}

static void enqueue(unsigned i, unsigned client, const char *key)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.retry_min_ms = 400; /* to be told from the rest */
    config.retry_max_ms = 500;
    config.recheck_max_ms = 1000;
    config.watch_after_ms = RLK_TIME_LIMIT_MAX; /* never: some keys go, and nobody is told */
    assert_result(rlk_lock_init(&locks[i], &h.members[client].client, key, &config), RLK_OK);
    assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
}

/* Releases; the next has it at once, or (false) does not. */
static bool hands_over(unsigned i, unsigned next)
{
    assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    if (!rlk_is_held(&locks[next]))
        return false;
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    return true;
}

/* Two that take turns: K hand-overs at once, then a pause of a retry time, and from the start. */
static void hand_over_until_it_yields(unsigned max_handoffs, unsigned expected, unsigned times)
{
    unsigned holder = 0;
    unsigned i;

    start(1, max_handoffs, NULL, 0);
    enqueue(0, 0, HARNESS_KEY);
    enqueue(1, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    for (i = 0; i < times * (expected + 1); i++) {
        bool at_once = hands_over(holder, 1 - holder);

        assert_int_equal(at_once, i % (expected + 1) != expected);
        if (!at_once) {
            assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 400, 500);
            assert_int_equal(locks[1 - holder].cause, RLK_CAUSE_YIELD);
            harness_serve(&h, 0);
            harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        }
        assert_result(rlk_acquire_start(&locks[holder], RLK_FOREVER), RLK_PENDING);
        harness_serve(&h, 0); /* the only one that waits: it asks */
        holder = 1 - holder;
    }
}

static void test_wait_queue_yields_after_handoffs(void **state)
{
    (void)state;
    hand_over_until_it_yields(1, 1, 5);
    hand_over_until_it_yields(2, 2, 4);
    hand_over_until_it_yields(0, RLK_MAX_HANDOFFS, 3);
    hand_over_until_it_yields(254, 254, 2);
}

/* Three locks want the key, and the first hands it over: the third leaves others their turn. */
static void stand_until_the_third_yields(void)
{
    enqueue(0, 0, HARNESS_KEY);
    enqueue(1, 0, HARNESS_KEY);
    enqueue(2, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(hands_over(0, 1));
    assert_false(hands_over(1, 2));
}

/* The next waiter leaves others their turn, for 400 ms at least, of which so many have passed. */
static void expect_to_yield(unsigned i, int64_t past_ms)
{
    assert_between(past_ms + tracked_until(&h, 0, HARNESS_SET, 1000), 400, 500);
    assert_int_equal(locks[i].cause, RLK_CAUSE_YIELD);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&locks[i]));
}

/* The pause lasts its time: a lock of the client that finds out meanwhile that it has lost the key
 * long ago, and had no part in the hand-overs, neither ends it nor begins it anew. */
static void test_wait_queue_yields_when_another_lock_releases(void **state)
{
    (void)state;
    start(1, 1, NULL, 0);
    enqueue(4, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0'; /* nobody is told */
    stand_until_the_third_yields();
    harness_advance(&h, 300);
    assert_result(rlk_release_start(&locks[4]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    expect_to_yield(2, 300);
}

/* Who comes first because the one before gave up counts the hand-overs of the whole row, though
 * that one had no part in them: closed while the last release is under way. */
static void test_wait_queue_counts_for_who_comes_first(void **state)
{
    unsigned ahead;
    unsigned i;

    (void)state;
    for (ahead = 0; ahead < 2; ahead++) { /* of those that waited before the lock was handed over */
        start(1, 1, NULL, 0);
        for (i = 0; i < 2 + 2 * ahead; i++)
            enqueue(i, 0, HARNESS_KEY);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(hands_over(0, 1));
        for (; i < 4; i++)
            enqueue(i, 0, HARNESS_KEY);
        harness_serve(&h, 0);
        assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1); /* for safety */
        assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
        assert_result(rlk_lock_close(&locks[2]), RLK_UNKNOWN);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        expect_to_yield(3, 0);
    }
}

/* ... and who asks while the lock before is closed, in the middle of its release, counts too. */
static void test_wait_queue_yields_to_others_behind_a_closed_lock(void **state)
{
    (void)state;
    start(1, 1, NULL, 0);
    enqueue(0, 0, HARNESS_KEY);
    enqueue(1, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(hands_over(0, 1));
    enqueue(2, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
    assert_result(rlk_lock_close(&locks[1]), RLK_UNKNOWN);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    expect_to_yield(2, 0);
}

/* ... and so does who asks while the release of the lock before is under way: its nil is of that
 * lock, and PTTL finds the key gone. */
static void test_wait_queue_yields_to_others_behind_a_nil(void **state)
{
    (void)state;
    start(1, 1, NULL, 0);
    enqueue(0, 0, HARNESS_KEY);
    enqueue(1, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(hands_over(0, 1));
    enqueue(2, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
    expect_to_yield(2, 0);
}

/* A pause is nobody's turn where the client itself has the key all the while: the count goes on. */
static void test_wait_queue_counts_on_after_a_pause_in_its_own_lease(void **state)
{
    unsigned i;

    (void)state;
    start(1, 1, NULL, 0);
    for (i = 4; i < 6; i++) {
        enqueue(i, 0, HARNESS_KEY);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0'; /* nobody is told */
    }
    for (i = 0; i < 3; i++)
        enqueue(i, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(hands_over(0, 1));
    assert_result(rlk_release_start(&locks[4]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 400, 500);
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

/* Beyond the limit the count is as high as it can be, and does not begin anew. */
static void test_wait_queue_count_has_an_end(void **state)
{
    unsigned holder = 0;
    unsigned i;

    (void)state;
    start(1, 254, NULL, 0);
    enqueue(0, 0, HARNESS_KEY);
    enqueue(1, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    for (i = 0; i < 254; i++) {
        assert_true(hands_over(holder, 1 - holder));
        assert_result(rlk_acquire_start(&locks[holder], RLK_FOREVER), RLK_PENDING);
        harness_serve(&h, 0);
        holder = 1 - holder;
    }
    enqueue(2, 0, HARNESS_KEY);
    assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1); /* for safety */
    assert_result(rlk_release_start(&locks[holder]), RLK_PENDING);
    assert_result(rlk_lock_close(&locks[1 - holder]), RLK_UNKNOWN);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    expect_to_yield(2, 0);
}

/* What is not handed over at once begins the count anew: another process had its turn. */
static void test_wait_queue_counts_consecutive_hand_offs(void **state)
{
    unsigned i;

    (void)state;
    start(1, 2, NULL, 0);
    for (i = 0; i < 6; i++)
        enqueue(i, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(hands_over(0, 1));
    assert_true(hands_over(1, 2));
    /* the third is not released here: it is deleted, and the next waiter is told by the server */
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_not_equal(locks[3].cause, RLK_CAUSE_LOCAL);
    assert_true(hands_over(3, 4));
    assert_true(hands_over(4, 5));
}

#ifndef RLK_RESP2_ONLY
/* Three locks of one client that are taken again as soon as they are released; a lock of another
 * client has its turn, without its own safety check being what brings it. */
static void test_wait_queue_yields_to_another_process(void **state)
{
    rlk_event event;
    unsigned turns = 0;
    unsigned i;

    (void)state;
    start(2, 5, NULL, 0);
    h.servers[0].automatic = true;
    for (i = 0; i < 3; i++)
        enqueue(i, 0, HARNESS_KEY);
    enqueue(3, 1, HARNESS_KEY);
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
    assert_int_equal(turns, 6); /* the first, and five that were handed over */
    assert_true(h.now_ms - HARNESS_START < 200);
}
#endif

#ifndef RLK_RESP2_ONLY
/* While it yields, the server's word is as good as ever. */
static void test_wait_queue_yields_until_it_is_notified(void **state)
{
    (void)state;
    start(1, 1, NULL, 0);
    stand_until_the_third_yields();
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
#endif
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_wait_queue_yields_until_it_is_notified),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
