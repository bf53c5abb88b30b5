/* SPDX-License-Identifier: MIT
 *
 * Locks of one client that wait for one key: the row (watch.c; fault 78).
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

static int64_t recheck_max_ms; /* of locks that stand in the row from now on; 0: the default */

static void stand(unsigned i, const char *key, int64_t wait_ms)
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

/* locks[0..n) stand in a row, in this order, behind a foreign key. */
static void row(unsigned n)
{
    unsigned i;
    for (i = 0; i < h.nodes; i++)
        harness_put(&h, i, HARNESS_KEY, FOREIGN, DAY_MS);
    for (i = 0; i < n; i++)
        stand(i, HARNESS_KEY, RLK_FOREVER);
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
    assert_int_equal(locks[next].wait.cause, RLK_CAUSE_LOCAL);
    assert_int_equal(h.servers[0].count[HARNESS_SET], sets + 1);
    assert_int_equal(h.now_ms, now_ms);
}

/* ---- Order -------------------------------------------------------------------------------- */

/* Five waiters cost the server one, and have the lock in their order. */
static void test_fault_78_row_in_order(void **state)
{
    size_t k;
    unsigned i;
    (void)state;
    FOR_EACH_KIND(k)
    {
        start(1, kinds[k], 0);
        row(5);
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
static void test_lock_row_comes_again(void **state)
{
    (void)state;
    start(1, false, 0);
    row(3);
    first_acquires(0);
    hands_over(0, 1);
    assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
    hands_over(1, 2);
    hands_over(2, 0);
}

/* The first has it: the next knows as much, and does not ask before its end is told here. */
static void test_lock_row_next_knows_that_it_is_held_here(void **state)
{
    size_t k;
    (void)state;
    FOR_EACH_KIND(k)
    {
        int64_t watch_ms = kinds[k] ? RLK_WATCH_AFTER_MS : 0;
        start(1, kinds[k], 0);
        row(2);
        first_acquires(0);
        if (kinds[k])
            tracked_watch(&h, watch_ms); /* that is compared, and asks nothing for the next */
        assert_between(watch_ms + tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS),
                       RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
        assert_int_equal(locks[1].wait.cause, RLK_CAUSE_RECHECK);
    }
}

/* Those in the middle and at the end leave, by each way out; the others keep their order. */
static void test_lock_row_others_leave(void **state)
{
    unsigned i;
    (void)state;
    for (i = 0; i < 2; i++) {
        start(1, false, 0);
        row(6);
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
        stand(1, HARNESS_KEY, RLK_FOREVER); /* comes again, behind 4 */
        first_acquires(0);
        hands_over(0, 2);
        hands_over(2, 4);
        hands_over(4, 1);
    }
}

/* The only one behind the first leaves, and another comes. */
static void test_lock_row_is_empty_and_filled_again(void **state)
{
    (void)state;
    start(1, false, 0);
    row(2);
    assert_result(rlk_cancel(&locks[1]), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    stand(2, HARNESS_KEY, RLK_FOREVER);
    stand(3, HARNESS_KEY, RLK_FOREVER);
    first_acquires(0);
    hands_over(0, 2);
    hands_over(2, 3);
}

/* In the row a deadline is as good as at its head. */
static void test_lock_row_deadline(void **state)
{
    rlk_event event;
    (void)state;
    start(1, false, 0);
    row(1);
    stand(1, HARNESS_KEY, 300);
    stand(2, HARNESS_KEY, 200);
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

/* ---- The first leaves --------------------------------------------------------------------- */

/* What it knew is passed on: the next asks nobody, and looks when it would have looked. */
static void test_lock_row_inherits_what_the_first_knew(void **state)
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
            stand(0, HARNESS_KEY, way == 0 ? 300 : RLK_FOREVER);
            stand(1, HARNESS_KEY, RLK_FOREVER);
            harness_serve(&h, 0);
            look_ms = locks[0].wait.recheck_at_ms[0];
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
            assert_int_equal(locks[1].wait.cause, kinds[k] ? RLK_CAUSE_RECHECK : RLK_CAUSE_RETRY);
            harness_serve(&h, 0);
            first_acquires(1);
        }
    }
}

#ifndef RLK_RESP2_ONLY
/* ... unless that is later than the next would look by itself. */
static void test_lock_row_has_a_safety_time_of_its_own(void **state)
{
    (void)state;
    start(1, true, 0);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS);
    recheck_max_ms = 100000;
    stand(0, HARNESS_KEY, RLK_FOREVER);
    recheck_max_ms = 500;
    stand(1, HARNESS_KEY, RLK_FOREVER);
    recheck_max_ms = 0;
    harness_serve(&h, 0);
    assert_result(rlk_cancel(&locks[0]), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_between(tracked_until(&h, 0, HARNESS_SET, 1000), 100, 500);
    assert_int_equal(locks[1].wait.cause, RLK_CAUSE_RECHECK);
}
#endif

/* It knew nothing yet: the next tries at once, behind the undo. */
static void test_lock_row_first_leaves_in_the_middle_of_its_try(void **state)
{
    size_t k;
    (void)state;
    FOR_EACH_KIND(k)
    {
        start(1, kinds[k], 0);
        stand(0, HARNESS_KEY, RLK_FOREVER);
        stand(1, HARNESS_KEY, RLK_FOREVER);
        (void)harness_expect(&h, 0, HARNESS_SET);
        assert_result(rlk_cancel(&locks[0]), RLK_OK);
        harness_advance(&h, 1);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[1]));
        assert_int_equal(locks[1].wait.cause, RLK_CAUSE_LOCAL);
    }
}

/* ... closed in the middle of it: its SET is nobody's, and takes its time. */
static void test_lock_row_first_is_closed_in_the_middle_of_its_try(void **state)
{
    (void)state;
    start(1, false, 0);
    stand(0, HARNESS_KEY, RLK_FOREVER);
    stand(1, HARNESS_KEY, RLK_FOREVER);
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
static void test_lock_row_fatal_error_ends_all(void **state)
{
    unsigned i;
    (void)state;
    start(1, false, 0);
    row(4);
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
static void test_lock_row_reconnect(void **state)
{
    (void)state;
    start(1, false, 0);
    row(2);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, 3000);
    harness_expect_no_event(&h);
    h.servers[0].refuses = false;
    first_acquires(0);
    hands_over(0, 1);
}

/* Held, waiting and in the row when the client ends: each is closed. */
static void test_lock_row_when_the_client_ends(void **state)
{
    unsigned i;
    (void)state;
    start(1, false, 0);
    row(4);
    first_acquires(0);
    rlk_client_close(h.client);
    for (i = 0; i < 4; i++) {
        assert_result(rlk_cancel(&locks[i]), RLK_E_CLOSED);
        assert_result(rlk_lock_close(&locks[i]), RLK_E_CLOSED);
    }
}

/* ---- Hand-over ---------------------------------------------------------------------------- */

/* The holder's lease runs out: its undo hands over, and not the end of the key's TTL. */
static void test_lock_row_lost_hands_over(void **state)
{
    size_t k;
    (void)state;
    FOR_EACH_KIND(k)
    {
        int64_t ms;
        start(1, kinds[k], 0);
        row(2);
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
static void test_lock_row_force_release_hands_over(void **state)
{
    rlk_lock operator_lock;
    (void)state;
    start(1, false, 0);
    row(2);
    assert_result(rlk_lock_init(&operator_lock, h.client, HARNESS_KEY, NULL), RLK_OK);
    assert_result(rlk_force_release_start(&operator_lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(locks[0].wait.cause, RLK_CAUSE_LOCAL);
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
static void test_lock_row_release_of_what_was_not_ours(void **state)
{
    rlk_lock second;
    (void)state;
    start(1, false, 0);
    row(1);
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
static void test_lock_row_refused_release_hands_nothing_over(void **state)
{
    (void)state;
    start(1, false, 0);
    row(2);
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
static void test_lock_row_undo_is_given_up(void **state)
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
static void test_lock_row_hands_over_on_several_nodes(void **state)
{
    size_t k;
    (void)state;
    FOR_EACH_KIND(k)
    {
        unsigned sets;
        start(3, kinds[k], 0);
        row(3);
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
        assert_int_equal(locks[1].wait.cause, RLK_CAUSE_LOCAL);
        assert_int_equal(h.servers[0].count[HARNESS_SET], sets + 1);
    }
}

/* The first has it on two of three nodes, whose end it will tell. Of the third the next knows what
 * the first knew: it asks there. */
static void test_lock_row_next_knows_the_nodes_that_were_won(void **state)
{
    (void)state;
    start(3, false, 0);
    stand(0, HARNESS_KEY, RLK_FOREVER);
    stand(1, HARNESS_KEY, RLK_FOREVER);
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
        cmocka_unit_test(test_fault_78_row_in_order),
        cmocka_unit_test(test_lock_row_comes_again),
        cmocka_unit_test(test_lock_row_next_knows_that_it_is_held_here),
        cmocka_unit_test(test_lock_row_others_leave),
        cmocka_unit_test(test_lock_row_is_empty_and_filled_again),
        cmocka_unit_test(test_lock_row_deadline),
        cmocka_unit_test(test_lock_row_inherits_what_the_first_knew),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_lock_row_has_a_safety_time_of_its_own),
#endif
        cmocka_unit_test(test_lock_row_first_leaves_in_the_middle_of_its_try),
        cmocka_unit_test(test_lock_row_first_is_closed_in_the_middle_of_its_try),
        cmocka_unit_test(test_lock_row_fatal_error_ends_all),
        cmocka_unit_test(test_lock_row_reconnect),
        cmocka_unit_test(test_lock_row_when_the_client_ends),
        cmocka_unit_test(test_lock_row_lost_hands_over),
        cmocka_unit_test(test_lock_row_force_release_hands_over),
        cmocka_unit_test(test_lock_row_release_of_what_was_not_ours),
        cmocka_unit_test(test_lock_row_refused_release_hands_nothing_over),
        cmocka_unit_test(test_lock_row_undo_is_given_up),
        cmocka_unit_test(test_lock_row_hands_over_on_several_nodes),
        cmocka_unit_test(test_lock_row_next_knows_the_nodes_that_were_won),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
