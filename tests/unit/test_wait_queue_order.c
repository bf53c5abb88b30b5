/* SPDX-License-Identifier: MIT
 *
 * The locks of one client that wait for one key: their order, and the first that leaves (fault 78).
 */
#include "lock_queue.h"

#include "lock/clock.h"

static harness h;
static rlk_lock locks[6];

/* Five waiters are one to the server, and acquire in their order. */
static void test_fault_78_queue_in_order(void **state)
{
    size_t k;
    unsigned i;

    (void)state;
    for (k = 0; support_row(k, QUEUE_KINDS); k++) {
        bool tracking = k == 1;

        queue_open(&h, 1, tracking, 0);
        queue_fill(&h, locks, 5);
        queue_first_acquires(&h, &locks[0]);
        for (i = 0; i < 4; i++)
            queue_expect_hand_off(&h, &locks[i], &locks[i + 1]);
        assert_result(rlk_release_start(&locks[4]), RLK_PENDING);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        harness_expect_quiet(&h, 0);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    }
}

/* A lock that acquires again is the last of the queue. */
static void test_wait_queue_returning_lock_is_last(void **state)
{
    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 3);
    queue_first_acquires(&h, &locks[0]);
    queue_expect_hand_off(&h, &locks[0], &locks[1]);
    assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
    queue_expect_hand_off(&h, &locks[1], &locks[2]);
    queue_expect_hand_off(&h, &locks[2], &locks[0]);
}

/* The first acquires. The next knows that, and asks the server only after its recheck time. */
static void test_wait_queue_next_knows_that_it_is_held_here(void **state)
{
    size_t k;

    (void)state;
    for (k = 0; support_row(k, QUEUE_KINDS); k++) {
        bool tracking = k == 1;
        int64_t watch_ms = tracking ? RLK_WATCH_AFTER_MS : 0;

        queue_open(&h, 1, tracking, 0);
        queue_fill(&h, locks, 2);
        queue_first_acquires(&h, &locks[0]);
        if (tracking)
            tracked_watch(&h, watch_ms); /* the compare sends nothing for the next */
        assert_between(watch_ms + tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS),
                       RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
        assert_int_equal(locks[1].cause, RLK_CAUSE_RECHECK);
    }
}

/* Locks in the middle and at the end leave, in each way. The others keep their order. */
static void test_wait_queue_others_leave(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < 2; i++) {
        queue_open(&h, 1, false, 0);
        queue_fill(&h, locks, 6);
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
        queue_add(&h, &locks[1], RLK_FOREVER); /* comes again, behind 4 */
        queue_first_acquires(&h, &locks[0]);
        queue_expect_hand_off(&h, &locks[0], &locks[2]);
        queue_expect_hand_off(&h, &locks[2], &locks[4]);
        queue_expect_hand_off(&h, &locks[4], &locks[1]);
    }
}

/* The only one behind the first leaves, and others come. */
static void test_wait_queue_is_empty_and_filled_again(void **state)
{
    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 2);
    assert_result(rlk_cancel(&locks[1]), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    queue_add(&h, &locks[2], RLK_FOREVER);
    queue_add(&h, &locks[3], RLK_FOREVER);
    queue_first_acquires(&h, &locks[0]);
    queue_expect_hand_off(&h, &locks[0], &locks[2]);
    queue_expect_hand_off(&h, &locks[2], &locks[3]);
}

/* A deadline holds in the queue as well as at its head. */
static void test_wait_queue_deadline(void **state)
{
    rlk_event event;

    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 1);
    queue_add(&h, &locks[1], 300);
    queue_add(&h, &locks[2], 200);
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

static rlk_result wait_300_ms(rlk_lock *lock)
{
    (void)lock;
    harness_advance(&h, 300);
    return RLK_OK;
}

/* The next inherits what the first knew: it sends nothing now, and rechecks when the first would
 * have rechecked. */
static void test_wait_queue_next_inherits_what_the_first_knew(void **state)
{
    static const struct {
        const char *name;
        int64_t wait_ms; /* of the first */
        rlk_result (*leave)(rlk_lock *lock);
        rlk_result result; /* RLK_PENDING: no event */
    } ways[] = {{"timed out", 300, wait_300_ms, RLK_TIMED_OUT},
                {"cancelled", RLK_FOREVER, rlk_cancel, RLK_CANCELLED},
                {"closed", RLK_FOREVER, rlk_lock_close, RLK_PENDING}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, QUEUE_KINDS * COUNT_OF(ways)); i++) {
        size_t way = i % COUNT_OF(ways);
        bool tracking = i >= COUNT_OF(ways);
        int64_t recheck_ms;

        support_row_name("%s, %s", ways[way].name, tracking ? "tracking" : "no tracking");
        queue_open(&h, 1, tracking, 0);
        harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
        queue_add(&h, &locks[0], ways[way].wait_ms);
        queue_add(&h, &locks[1], RLK_FOREVER);
        harness_serve(&h, 0);
        recheck_ms = rlki_client_clock_of(h.client, locks[0].as.wait.recheck_at_ms[0]);
        assert_result(ways[way].leave(&locks[0]), RLK_OK);
        if (ways[way].result != RLK_PENDING)
            harness_expect_result(&h, RLK_OP_ACQUIRE, ways[way].result);
        harness_expect_quiet(&h, 0);
        assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS), -1);
        assert_int_equal(h.now_ms, recheck_ms);
        assert_int_equal(locks[1].cause, tracking ? RLK_CAUSE_RECHECK : RLK_CAUSE_RETRY);
        harness_serve(&h, 0);
        queue_first_acquires(&h, &locks[1]);
    }
}

#ifndef RLK_RESP2_ONLY
/* The recheck time of the next is earlier than that of the first: it counts. */
static void test_wait_queue_next_has_a_recheck_time_of_its_own(void **state)
{
    rlk_lock_config config = queue_config();

    (void)state;
    queue_open(&h, 1, true, 0);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
    config.recheck_max_ms = 100000;
    queue_begin(h.client, &locks[0], HARNESS_KEY, RLK_FOREVER, &config);
    config.recheck_max_ms = 500;
    queue_begin(h.client, &locks[1], HARNESS_KEY, RLK_FOREVER, &config);
    harness_serve(&h, 0);
    assert_result(rlk_cancel(&locks[0]), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 100, 500);
    assert_int_equal(locks[1].cause, RLK_CAUSE_RECHECK);
}
#endif

/* The first leaves before its SET is answered: the next begins an attempt at once, after the undo.
 */
static void test_wait_queue_first_leaves_during_its_attempt(void **state)
{
    size_t k;

    (void)state;
    for (k = 0; support_row(k, QUEUE_KINDS); k++) {
        bool tracking = k == 1;

        queue_open(&h, 1, tracking, 0);
        queue_add(&h, &locks[0], RLK_FOREVER);
        queue_add(&h, &locks[1], RLK_FOREVER);
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

/* The first is closed before its SET is answered: its token is an orphan, and the next retries. */
static void test_wait_queue_first_is_closed_during_its_attempt(void **state)
{
    (void)state;
    queue_open(&h, 1, false, 0);
    queue_add(&h, &locks[0], RLK_FOREVER);
    queue_add(&h, &locks[1], RLK_FOREVER);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_lock_close(&locks[0]), RLK_UNKNOWN);
    harness_advance(&h, 1);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2); /* nil: the orphan has it */
    harness_advance(&h, 500);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
}

/* A fatal error ends each lock of the queue. */
static void test_wait_queue_fatal_error_ends_all(void **state)
{
    unsigned i;

    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 4);
    h.servers[0].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    for (i = 0; i < 4; i++) {
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_AUTH);
        assert_int_equal(rlk_lock_operation(&locks[i]), RLK_OP_NONE);
    }
    harness_expect_no_event(&h);
}

/* Each lock of the queue survives a connection that is lost and comes back. */
static void test_wait_queue_survives_a_reconnect(void **state)
{
    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 2);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, 3000);
    harness_expect_no_event(&h);
    h.servers[0].refuses = false;
    queue_first_acquires(&h, &locks[0]);
    queue_expect_hand_off(&h, &locks[0], &locks[1]);
}

/* Held, waiting and in the queue when the client ends: each is closed. */
static void test_wait_queue_ends_with_the_client(void **state)
{
    unsigned i;

    (void)state;
    queue_open(&h, 1, false, 0);
    queue_fill(&h, locks, 4);
    queue_first_acquires(&h, &locks[0]);
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
