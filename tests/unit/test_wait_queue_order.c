/* SPDX-License-Identifier: MIT
 *
 * The locks of one client that wait for one key: their order, and the first that leaves (fault 78).
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

/* locks[i] releases; locks[next] has it without a moment between, by one SET. */
static void hands_over(unsigned i, unsigned next)
{
    unsigned sets = h.servers[0].count[HARNESS_SET];
    int64_t now_ms = h.now_ms;

    assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_no_event(&h);
    assert_true(rlk_is_held(&locks[next]));
    assert_int_equal(locks[next].cause, RLK_CAUSE_LOCAL);
    assert_int_equal(h.servers[0].count[HARNESS_SET], sets + 1);
    assert_int_equal(h.now_ms, now_ms);
}

/* Five waiters cost the server one, and have the lock in their order. */
static void test_fault_78_queue_in_order(void **state)
{
    size_t k;
    unsigned i;

    (void)state;
    FOR_EACH_KIND(k)
    {
        start(1, kinds[k], 0);
        queue(5);
        first_acquires(0);
        for (i = 0; i < 4; i++)
            hands_over(i, i + 1);
        assert_result(rlk_release_start(&locks[4]), RLK_PENDING);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        harness_expect_quiet(&h, 0);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    }
}

/* Whoever comes back stands at the end. */
static void test_wait_queue_returning_lock_is_last(void **state)
{
    (void)state;
    start(1, false, 0);
    queue(3);
    first_acquires(0);
    hands_over(0, 1);
    assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
    hands_over(1, 2);
    hands_over(2, 0);
}

/* The first has it: the next knows as much, and does not ask before its end is told here. */
static void test_wait_queue_next_knows_that_it_is_held_here(void **state)
{
    size_t k;

    (void)state;
    FOR_EACH_KIND(k)
    {
        int64_t watch_ms = kinds[k] ? RLK_WATCH_AFTER_MS : 0;

        start(1, kinds[k], 0);
        queue(2);
        first_acquires(0);
        if (kinds[k])
            tracked_watch(&h, watch_ms); /* that is compared, and asks nothing for the next */
        assert_between(watch_ms + tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS),
                       RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
        assert_int_equal(locks[1].cause, RLK_CAUSE_RECHECK);
    }
}

/* Those in the middle and at the end leave, by each way out; the others keep their order. */
static void test_wait_queue_others_leave(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < 2; i++) {
        start(1, false, 0);
        queue(6);
        if (i == 0) {
            assert_result(rlk_cancel(&locks[1]), RLK_OK); /* next to the first */
            harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
            assert_result(rlk_lock_close(&locks[3]), RLK_OK); /* in the middle */
            assert_result(rlk_cancel(&locks[5]), RLK_OK);     /* the last */
            harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
        } else {
            assert_result(rlk_lock_close(&locks[5]), RLK_OK);
            assert_result(rlk_lock_close(&locks[1]), RLK_OK);
            assert_result(rlk_lock_close(&locks[3]), RLK_OK);
        }
        harness_expect_quiet(&h, 0);
        enqueue(1, HARNESS_KEY, RLK_FOREVER); /* comes again, behind 4 */
        first_acquires(0);
        hands_over(0, 2);
        hands_over(2, 4);
        hands_over(4, 1);
    }
}

/* The only one behind the first leaves, and another comes. */
static void test_wait_queue_is_empty_and_filled_again(void **state)
{
    (void)state;
    start(1, false, 0);
    queue(2);
    assert_result(rlk_cancel(&locks[1]), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    enqueue(2, HARNESS_KEY, RLK_FOREVER);
    enqueue(3, HARNESS_KEY, RLK_FOREVER);
    first_acquires(0);
    hands_over(0, 2);
    hands_over(2, 3);
}

/* In the queue a deadline is as good as at its head. */
static void test_wait_queue_deadline(void **state)
{
    rlk_event event;

    (void)state;
    start(1, false, 0);
    queue(1);
    enqueue(1, HARNESS_KEY, 300);
    enqueue(2, HARNESS_KEY, 200);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 1000));
    assert_ptr_equal(event.user, &locks[2]);
    assert_result(event.result, RLK_TIMED_OUT);
    assert_int_equal(h.now_ms, HARNESS_START + 200);
    assert_true(harness_next_event(&h, &event, 1000));
    assert_ptr_equal(event.user, &locks[1]);
    assert_result(event.result, RLK_TIMED_OUT);
    assert_int_equal(h.now_ms, HARNESS_START + 300);
}

/* What it knew is passed on: the next asks nobody, and looks when it would have looked. */
static void test_wait_queue_next_inherits_what_the_first_knew(void **state)
{
    size_t k;
    unsigned way;

    (void)state;
    FOR_EACH_KIND(k)
    {
        for (way = 0; way < 3; way++) {
            uint32_t look_ms;

            start(1, kinds[k], 0);
            harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
            enqueue(0, HARNESS_KEY, way == 0 ? 300 : RLK_FOREVER);
            enqueue(1, HARNESS_KEY, RLK_FOREVER);
            harness_serve(&h, 0);
            look_ms = locks[0].as.wait.recheck_at_ms[0];
            if (way == 0)
                harness_advance(&h, 300);
            else if (way == 1)
                assert_result(rlk_cancel(&locks[0]), RLK_OK);
            else
                assert_result(rlk_lock_close(&locks[0]), RLK_OK);
            if (way < 2)
                harness_expect_result(&h, RLK_OP_ACQUIRE, way == 0 ? RLK_TIMED_OUT : RLK_CANCELLED);
            harness_expect_quiet(&h, 0);
            assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS), -1);
            assert_int_equal((uint32_t)h.now_ms, look_ms);
            assert_int_equal(locks[1].cause, kinds[k] ? RLK_CAUSE_RECHECK : RLK_CAUSE_RETRY);
            harness_serve(&h, 0);
            first_acquires(1);
        }
    }
}

#ifndef RLK_RESP2_ONLY
/* ... unless that is later than the next would look by itself. */
static void test_wait_queue_next_has_a_recheck_time_of_its_own(void **state)
{
    (void)state;
    start(1, true, 0);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
    recheck_max_ms = 100000;
    enqueue(0, HARNESS_KEY, RLK_FOREVER);
    recheck_max_ms = 500;
    enqueue(1, HARNESS_KEY, RLK_FOREVER);
    recheck_max_ms = 0;
    harness_serve(&h, 0);
    assert_result(rlk_cancel(&locks[0]), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 100, 500);
    assert_int_equal(locks[1].cause, RLK_CAUSE_RECHECK);
}
#endif

/* It knew nothing yet: the next tries at once, behind the undo. */
static void test_wait_queue_first_leaves_during_its_attempt(void **state)
{
    size_t k;

    (void)state;
    FOR_EACH_KIND(k)
    {
        start(1, kinds[k], 0);
        enqueue(0, HARNESS_KEY, RLK_FOREVER);
        enqueue(1, HARNESS_KEY, RLK_FOREVER);
        (void)harness_expect(&h, 0, HARNESS_SET);
        assert_result(rlk_cancel(&locks[0]), RLK_OK);
        harness_advance(&h, 1);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[1]));
        assert_int_equal(locks[1].cause, RLK_CAUSE_LOCAL);
    }
}

/* ... closed in the middle of it: its SET is nobody's, and takes its time. */
static void test_wait_queue_first_is_closed_during_its_attempt(void **state)
{
    (void)state;
    start(1, false, 0);
    enqueue(0, HARNESS_KEY, RLK_FOREVER);
    enqueue(1, HARNESS_KEY, RLK_FOREVER);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_lock_close(&locks[0]), RLK_UNKNOWN);
    harness_advance(&h, 1);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2); /* nil: the orphan has it */
    harness_advance(&h, 500);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
}

/* What is hopeless for the first is for all. */
static void test_wait_queue_fatal_error_ends_all(void **state)
{
    unsigned i;

    (void)state;
    start(1, false, 0);
    queue(4);
    h.servers[0].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    for (i = 0; i < 4; i++) {
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_AUTH);
        assert_int_equal(rlk_lock_operation(&locks[i]), RLK_OP_NONE);
    }
    harness_expect_no_event(&h);
}

/* A connection that comes and goes is ridden out by all of them. */
static void test_wait_queue_survives_a_reconnect(void **state)
{
    (void)state;
    start(1, false, 0);
    queue(2);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, 3000);
    harness_expect_no_event(&h);
    h.servers[0].refuses = false;
    first_acquires(0);
    hands_over(0, 1);
}

/* Held, waiting and in the queue when the client ends: each is closed. */
static void test_wait_queue_ends_with_the_client(void **state)
{
    unsigned i;

    (void)state;
    start(1, false, 0);
    queue(4);
    first_acquires(0);
    rlk_client_close(h.client);
    for (i = 0; i < 4; i++) {
        assert_result(rlk_cancel(&locks[i]), RLK_E_CLOSED);
        assert_result(rlk_lock_close(&locks[i]), RLK_E_CLOSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_78_queue_in_order),
        cmocka_unit_test(test_wait_queue_returning_lock_is_last),
        cmocka_unit_test(test_wait_queue_next_knows_that_it_is_held_here),
        cmocka_unit_test(test_wait_queue_others_leave),
        cmocka_unit_test(test_wait_queue_is_empty_and_filled_again),
        cmocka_unit_test(test_wait_queue_deadline),
        cmocka_unit_test(test_wait_queue_next_inherits_what_the_first_knew),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_wait_queue_next_has_a_recheck_time_of_its_own),
#endif
        cmocka_unit_test(test_wait_queue_first_leaves_during_its_attempt),
        cmocka_unit_test(test_wait_queue_first_is_closed_during_its_attempt),
        cmocka_unit_test(test_wait_queue_fatal_error_ends_all),
        cmocka_unit_test(test_wait_queue_survives_a_reconnect),
        cmocka_unit_test(test_wait_queue_ends_with_the_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
