/* SPDX-License-Identifier: MIT
 *
 * A lock of a client ends, and the next of the wait queue acquires.
 */
#include "lock_tracked.h"

#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static harness h;
static rlk_lock locks[6];

/* Whether the server tells of changes makes no difference to what is handed over in the client. */
static const bool kinds[] = {
    false,
#ifndef RLK_RESP2_ONLY
    true,
#endif
};

#define FOR_EACH_KIND(i) for (i = 0; i < COUNT_OF(kinds); i++)

static void start(unsigned nodes, bool tracking, unsigned max_handoffs)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.max_handoffs = max_handoffs;
    if (tracking) {
        tracked_start(&h, nodes, 1);
    } else {
        harness_open(&h, nodes, 1);
        harness_advance(&h, 0);
    }
}

static int64_t recheck_max_ms; /* of locks that enqueue in the queue from now on; 0: the default */

static void enqueue(unsigned i, const char *key, int64_t wait_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.user = &locks[i];
    config.retry_min_ms = 400; /* to be told from the rest */
    config.retry_max_ms = 500;
    config.recheck_max_ms = recheck_max_ms;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    assert_result(rlk_lock_init(&locks[i], h.client, key, &config), RLK_OK);
    assert_result(rlk_acquire_start(&locks[i], wait_ms), RLK_PENDING);
}

static void serve_all(void)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++)
        harness_serve(&h, i);
}

/* locks[0..n) enqueue in a queue, in this order, behind a foreign key. */
static void queue(unsigned n)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++)
        harness_put(&h, i, HARNESS_KEY, FOREIGN, DAY_MS);
    for (i = 0; i < n; i++)
        enqueue(i, HARNESS_KEY, RLK_FOREVER);
    serve_all();
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
}

/* The foreign key goes, and the first waiter has it at its next look. */
static void first_acquires(unsigned i)
{
    unsigned n;

    for (n = 0; n < h.nodes; n++)
        harness_find(&h, &h.servers[n], HARNESS_KEY)->key[0] = '\0';
    assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS), -1);
    serve_all();
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&locks[i]));
}

/* The holder's lease runs out: its undo hands over, and not the end of the key's TTL. */
static void test_wait_queue_lost_lock_hands_off(void **state)
{
    size_t k;

    (void)state;
    FOR_EACH_KIND(k)
    {
        int64_t ms;

        start(1, kinds[k], 0);
        queue(2);
        first_acquires(0);
        ms = rlk_remaining_ms(&locks[0]);
        h.now_ms += ms; /* nobody ticked meanwhile */
        harness_advance(&h, 0);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        harness_serve(&h, 0);
        assert_true(rlk_is_held(&locks[1]));
    }
}

/* An operator's force_release wakes as well; and the holder, where it is in this client, is
 * checked. */
static void test_wait_queue_force_release_hands_off(void **state)
{
    rlk_lock operator_lock;

    (void)state;
    start(1, false, 0);
    queue(2);
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
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 1); /* whose key was it? */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_OK);
    assert_false(rlk_is_held(&locks[0]));
    assert_true(rlk_is_held(&locks[1]));
}

/* A release that deletes nothing may have been somebody's chance all the same; who holds the key by
 * another lock of the client is not asked for it. */
static void test_wait_queue_release_of_what_was_not_ours(void **state)
{
    rlk_lock second;

    (void)state;
    start(1, false, 0);
    queue(1);
    first_acquires(0);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0'; /* by hand: nobody is told */
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

/* An error to the release hands nothing over. */
static void test_wait_queue_refused_release_hands_nothing_off(void **state)
{
    (void)state;
    start(1, false, 0);
    queue(2);
    first_acquires(0);
    assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    harness_advance(&h, 500);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_true(rlk_is_held(&locks[1]));
}

/* Who lost the lock waits anew, behind a lock that relied on it to hand the key over, and comes
 * first. When its undo is given up, it asks: nobody else can say that the key is gone. */
static void test_wait_queue_undo_is_given_up(void **state)
{
    size_t k;

    (void)state;
    FOR_EACH_KIND(k)
    {
        rlk_lock_config config = rlk_lock_config_default();
        unsigned i;

        start(1, kinds[k], 0);
        config.ttl_ms = 1000;
        config.recheck_max_ms = 60000;
        config.report_ms = RLK_TIME_LIMIT_MAX;
        for (i = 0; i < 2; i++) {
            assert_result(rlk_lock_init(&locks[i], h.client, HARNESS_KEY, &config), RLK_OK);
            assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
        }
        serve_all();
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        if (kinds[k])
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

/* On several nodes each is asked as its release is answered; then there is a round. */
static void test_wait_queue_hands_off_on_several_nodes(void **state)
{
    size_t k;

    (void)state;
    FOR_EACH_KIND(k)
    {
        unsigned sets;

        start(3, kinds[k], 0);
        queue(3);
        harness_advance(&h, 500);
        serve_all();
        harness_delete(&h, 0, HARNESS_KEY);
        harness_delete(&h, 1, HARNESS_KEY);
        harness_delete(&h, 2, HARNESS_KEY);
        tracked_automatic(&h, true);
        harness_advance(&h, kinds[k] ? 500 : 1500);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[0]));
        sets = h.servers[0].count[HARNESS_SET];
        assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
        harness_advance(&h, 400); /* the spread pause is up to retry_min_ms */
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[1]));
        assert_int_equal(locks[1].cause, RLK_CAUSE_LOCAL);
        assert_int_equal(h.servers[0].count[HARNESS_SET], sets + 1);
    }
}

/* The first has it on two of three nodes, whose end it will tell. Of the third the next knows what
 * the first knew: it asks there. */
static void test_wait_queue_next_knows_the_nodes_that_were_acquired(void **state)
{
    (void)state;
    start(3, false, 0);
    enqueue(0, HARNESS_KEY, RLK_FOREVER);
    enqueue(1, HARNESS_KEY, RLK_FOREVER);
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
