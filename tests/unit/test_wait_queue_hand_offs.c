/* SPDX-License-Identifier: MIT
 *
 * A lock of a client ends, and the next of the wait queue acquires.
 */
#include "lock_queue.h"

static harness h;
static rlk_lock locks[6];

/* The lease of the holder ends: its undo hands off, before the key's TTL ends. */
static void test_wait_queue_lost_lock_hands_off(void **state)
{
    size_t k;

    (void)state;
    for (k = 0; support_row(k, QUEUE_KINDS); k++) {
        bool tracking = k == 1;
        int64_t ms;

        queue_open(&h, 1, tracking, 0);
        queue_fill(&h, locks, 2);
        queue_first_acquires(&h, &locks[0]);
        ms = rlk_remaining_ms(&locks[0]);
        h.now_ms += ms; /* no tick */
        harness_advance(&h, 0);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        harness_serve(&h, 0);
        assert_true(rlk_is_held(&locks[1]));
    }
}

/* An operator's force_release hands off as well. A holder in this client compares. */
static void test_wait_queue_force_release_hands_off(void **state)
{
    rlk_lock operator_lock;

    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 2);
    assert_result(rlk_lock_init(&operator_lock, h.client, HARNESS_KEY, NULL), RLK_OK);
    assert_result(rlk_force_release_start(&operator_lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(locks[0].cause, RLK_CAUSE_LOCAL);
    assert_result(rlk_force_release_start(&operator_lock), RLK_PENDING);
    (void)harness_execute(harness_link_of(&h, 0));
    harness_run(&h);
    (void)harness_execute(harness_link_of(&h, 0));
    (void)harness_deliver(harness_link_of(&h, 0));
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 1); /* the holder compares */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_OK);
    assert_false(rlk_is_held(&locks[0]));
    assert_true(rlk_is_held(&locks[1]));
}

/* A release that deletes nothing notifies waiters too. It makes no other holder of the client
 * compare. */
static void test_wait_queue_release_of_what_was_not_ours(void **state)
{
    rlk_lock second;

    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 1);
    queue_first_acquires(&h, &locks[0]);
    harness_remove(&h, 0, HARNESS_KEY); /* no push */
    assert_result(rlk_lock_init(&second, h.client, HARNESS_KEY, NULL), RLK_OK);
    assert_result(rlk_acquire_start(&second, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 0);
    assert_true(rlk_is_held(&second));
}

/* An error to the release hands nothing off. */
static void test_wait_queue_refused_release_hands_nothing_off(void **state)
{
    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 2);
    queue_first_acquires(&h, &locks[0]);
    assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    harness_advance(&h, 500);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_true(rlk_is_held(&locks[1]));
}

/* A lock that lost its lease waits anew, and becomes the first of the queue. The server will not
 * notify it of its own undo. When that undo is given up, it asks the server. */
static void test_wait_queue_undo_is_given_up(void **state)
{
    size_t k;

    (void)state;
    for (k = 0; support_row(k, QUEUE_KINDS); k++) {
        bool tracking = k == 1;
        rlk_lock_config config = rlk_lock_config_default();
        unsigned i;

        queue_open(&h, 1, tracking, 0);
        config.ttl_ms = 1000;
        config.recheck_max_ms = 60000;
        config.report_ms = RLK_TIME_LIMIT_MAX;
        for (i = 0; i < 2; i++) {
            assert_result(rlk_lock_init(&locks[i], h.client, HARNESS_KEY, &config), RLK_OK);
            assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
        }
        harness_serve_all(&h);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        if (tracking)
            tracked_watch(&h, RLK_WATCH_AFTER_MS);
        harness_advance(&h, 1000);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
        assert_result(rlk_cancel(&locks[1]), RLK_OK);
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
        harness_advance(&h, 1100);
        harness_reply(&h, 0, "-ODD words of a proxy\r\n");
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* On several nodes each is probed when its release is answered. An attempt follows. */
static void test_wait_queue_hands_off_on_several_nodes(void **state)
{
    size_t k;

    (void)state;
    for (k = 0; support_row(k, QUEUE_KINDS); k++) {
        bool tracking = k == 1;
        unsigned sets;

        queue_open(&h, 3, tracking, 0);
        queue_fill(&h, locks, 3);
        harness_advance(&h, 500);
        harness_serve_all(&h);
        harness_delete(&h, 0, HARNESS_KEY);
        harness_delete(&h, 1, HARNESS_KEY);
        harness_delete(&h, 2, HARNESS_KEY);
        tracked_automatic(&h, true);
        harness_advance(&h, tracking ? 500 : 1500);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[0]));
        sets = h.servers[0].count[HARNESS_SET];
        assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
        harness_advance(&h, 400); /* the jittered pause is up to retry_min_ms */
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[1]));
        assert_int_equal(locks[1].cause, RLK_CAUSE_LOCAL);
        assert_int_equal(h.servers[0].count[HARNESS_SET], sets + 1);
    }
}

/* The first acquires on two of three nodes, and its end will notify the next. Of the third node the
 * next knows what the first knew: it probes there. */
static void test_wait_queue_next_knows_the_nodes_that_were_acquired(void **state)
{
    (void)state;
    queue_open(&h, 3, false, 0);
    queue_add(&h, &locks[0], RLK_FOREVER);
    queue_add(&h, &locks[1], RLK_FOREVER);
    harness_run(&h);
    harness_put(&h, 2, HARNESS_KEY, FOREIGN, DAY_MS);
    harness_serve(&h, 2);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(tracked_until(&h, 2, HARNESS_PTTL, 1000), 400, 500);
    assert_int_equal(h.servers[2].count[HARNESS_SET], 1);
    harness_expect_quiet(&h, 0);
    harness_expect_quiet(&h, 1);
    assert_between(tracked_until(&h, 0, HARNESS_PTTL, RLK_RECHECK_MAX_MS),
                   RLK_RECHECK_MAX_MS / 5 - 500, RLK_RECHECK_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_queue_lost_lock_hands_off),
        cmocka_unit_test(test_wait_queue_force_release_hands_off),
        cmocka_unit_test(test_wait_queue_release_of_what_was_not_ours),
        cmocka_unit_test(test_wait_queue_refused_release_hands_nothing_off),
        cmocka_unit_test(test_wait_queue_undo_is_given_up),
        cmocka_unit_test(test_wait_queue_hands_off_on_several_nodes),
        cmocka_unit_test(test_wait_queue_next_knows_the_nodes_that_were_acquired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
