/* SPDX-License-Identifier: MIT
 *
 * When a lock that is held begins to be watched: a short one costs SET and one script call. One
 * that lasts is compared once. From then on the server notifies of its end.
 */
#include "lock_tracked.h"

#include <string.h>

#define TTL 30000

static harness h;

static void acquire(rlk_lock *lock, int64_t wait_ms)
{
    assert_result(rlk_acquire_start(lock, wait_ms), RLK_PENDING);
    harness_serve_all(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_quiet(&h, h.nodes);
}

/* Held on n nodes. watch_after_ms 0: the default. */
static void hold(rlk_lock *lock, unsigned n, int64_t watch_after_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = TTL;
    if (watch_after_ms > 0)
        config.watch_after_ms = watch_after_ms;
    tracked_open(&h, n);
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    acquire(lock, RLK_TRY);
}

static void release(rlk_lock *lock)
{
    assert_result(rlk_release_start(lock), RLK_PENDING);
    harness_serve_all(&h);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
}

/* SET, EVALSHA, and nothing else, whichever acquire it is. */
static void test_held_watch_short_cycle_is_two_commands(void **state)
{
    static const int64_t waits[] = {RLK_TRY, 1000, RLK_FOREVER};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(waits)); i++) {
        rlk_lock lock;
        unsigned cycle;

        tracked_open(&h, 1);
        harness_lock(&h, &lock, TTL);
        for (cycle = 1; cycle <= 10; cycle++) {
            acquire(&lock, waits[i]);
            harness_advance(&h, RLK_WATCH_AFTER_MS - 1);
            release(&lock);
            assert_int_equal(harness_commands(&h), 2 * cycle);
        }
        harness_advance(&h, TTL);
        harness_expect_quiet(&h, 0);
        assert_int_equal(harness_commands(&h), 20);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 10);
        assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 10);
    }
}

/* What lasts is compared once, on each node, and stays held as long as before. */
static void test_held_watch_compares_once(void **state)
{
    static const unsigned sizes[] = {1, 3, 5};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        rlk_lock lock;
        int64_t valid_ms;

        hold(&lock, sizes[i], 0);
        valid_ms = h.now_ms + rlk_remaining_ms(&lock);
        harness_advance(&h, RLK_WATCH_AFTER_MS - 1);
        harness_expect_quiet(&h, sizes[i]);
        tracked_watch(&h, 1);
        assert_between(h.now_ms + rlk_remaining_ms(&lock), valid_ms, valid_ms + 1);
        harness_advance(&h, TTL / 2);
        assert_int_equal(harness_count(&h, HARNESS_CHECK), sizes[i]);
        assert_true(rlk_is_held(&lock));
        harness_expect_no_event(&h);
    }
}

/* Deleted before it is watched: nobody notifies, and it is noticed then. */
static void test_held_watch_deleted_before(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1, 0);
    harness_advance(&h, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_advance(&h, RLK_WATCH_AFTER_MS - 2);
    harness_expect_quiet(&h, 0);
    assert_true(rlk_is_held(&lock));
    tracked_watch(&h, 1);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_DELETED);
    harness_expect_quiet(&h, 0);
}

/* ... and behind that: at once. */
static void test_held_watch_deleted_after(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1, 0);
    tracked_watch(&h, RLK_WATCH_AFTER_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(h.now_ms, HARNESS_START + RLK_WATCH_AFTER_MS);
}

/* A raise before that has the server notify, too: the compare is saved. */
static void test_held_watch_begins_with_a_raise(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1, 0);
    harness_advance(&h, 10);
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    harness_advance(&h, RLK_WATCH_AFTER_MS);
    harness_expect_quiet(&h, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(h.now_ms, HARNESS_START + 10 + RLK_WATCH_AFTER_MS);
}

/* ... but on a node that did not answer it, and not where the stream is another now. */
static void test_held_watch_compares_where_a_raise_does_not_count(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 3, 0);
    harness_advance(&h, 10);
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    harness_serve(&h, 2);
    harness_expect_quiet(&h, 3);
    harness_advance(&h, RLK_WATCH_AFTER_MS - 10);
    (void)harness_expect(&h, 2, HARNESS_CHECK);
    harness_serve_all(&h);
    harness_expect_quiet(&h, 3);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 1);

    hold(&lock, 1, 0);
    harness_advance(&h, 10);
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    harness_cut(&h, 0);
    h.servers[0].automatic = true;
    harness_advance(&h, RLK_WATCH_AFTER_MS);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 1);
}

/* The time is the configuration's. */
static void test_held_watch_time_is_configured(void **state)
{
    static const int64_t times[] = {1, 2000};
    static const int64_t refused[] = {-1, RLK_TIME_LIMIT_MAX + INT64_C(1)};
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    size_t i;

    (void)state;
    assert_int_equal(config.watch_after_ms, RLK_WATCH_AFTER_MS);
    for (i = 0; support_row(i, COUNT_OF(times)); i++) {
        hold(&lock, 1, times[i]);
        harness_advance(&h, times[i] - 1);
        harness_expect_quiet(&h, 0);
        tracked_watch(&h, 1);
        assert_true(rlk_is_held(&lock));
    }
    for (i = 0; support_row(i, COUNT_OF(refused)); i++) {
        rlk_lock other;

        config.watch_after_ms = refused[i];
        assert_result(rlk_lock_init(&other, h.client, HARNESS_KEY, &config), RLK_E_TIMES);
    }
}

/* Where the server does not notify, a compare has no use. */
static void test_held_watch_without_tracking(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, TTL);
    acquire(&lock, RLK_FOREVER);
    harness_advance(&h, TTL / 2);
    harness_expect_quiet(&h, 0);
    assert_int_equal(harness_commands(&h), 1);
}

/* A node that others have is not compared; one whose SET is answered late is, when it is. */
static void test_held_watch_on_a_quorum(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 5);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_serve(&h, 3);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, RLK_WATCH_AFTER_MS);
    harness_expect_all(&h, 1, 4, HARNESS_CHECK);
    harness_expect_quiet(&h, 0);
    (void)harness_expect(&h, 4, HARNESS_SET);
    harness_serve_all(&h);
    assert_int_equal(h.servers[4].count[HARNESS_CHECK], 1);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 4);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_delete(&h, 4, HARNESS_KEY);
    harness_serve_all(&h);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(h.now_ms, HARNESS_START + RLK_WATCH_AFTER_MS);
    /* late, but before it is watched: compared with the others */
    hold(&lock, 3, 0);
    release(&lock);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_serve(&h, 2);
    harness_expect_quiet(&h, 3);
    tracked_watch(&h, RLK_WATCH_AFTER_MS);
    assert_true(rlk_is_held(&lock));
}

/* Beside other commands: renewed before, and asked about at that very moment. */
static void test_held_watch_beside_other_commands(void **state)
{
    rlk_holder holder;
    rlk_lock lock;

    (void)state;
    hold(&lock, 1, 0);
    harness_advance(&h, 50);
    assert_result(rlk_extend_start(&lock, 2 * TTL), RLK_PENDING);
    harness_serve_all(&h);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    harness_advance(&h, RLK_WATCH_AFTER_MS - 50);
    harness_expect_quiet(&h, 1);
    assert_int_equal(harness_commands(&h), 2); /* SET, and the raise, which compares */
    assert_true(rlk_remaining_ms(&lock) > TTL);

    hold(&lock, 1, 0);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    harness_advance(&h, RLK_WATCH_AFTER_MS);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 0);
    harness_serve_all(&h);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_OK);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 1);

    hold(&lock, 1, 0); /* a compare of the caller's makes the server notify as well */
    harness_advance(&h, RLK_WATCH_AFTER_MS - 1);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_advance(&h, 1);
    harness_serve_all(&h);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 1);
}

/* Renewed in the background before the watch begins. */
static void test_held_watch_behind_a_renewal(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;

    (void)state;
    config.ttl_ms = 200;
    config.node_timeout_ms = 20;
    config.auto_renew = true;
    tracked_open(&h, 1);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    acquire(&lock, RLK_TRY);
    assert_between(tracked_until(&h, 0, HARNESS_RAISE, 200), 50, 70);
    harness_serve_all(&h);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 0);
    h.servers[0].automatic = true;
    harness_advance(&h, 1000);
    assert_true(rlk_is_held(&lock));
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 0); /* the renewals have done it */
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    harness_expect_no_event(&h);
}

/* What is over before is not compared, and the next lease has its own time. */
static void test_held_watch_not_when_it_is_over(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;

    (void)state;
    hold(&lock, 1, 0);
    harness_advance(&h, RLK_WATCH_AFTER_MS - 1);
    release(&lock);
    harness_advance(&h, TTL);
    harness_expect_quiet(&h, 0);
    acquire(&lock, RLK_FOREVER);
    harness_advance(&h, RLK_WATCH_AFTER_MS - 1);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 0);
    tracked_watch(&h, 1);

    config.ttl_ms = 1000;
    config.watch_after_ms = 2000;
    tracked_open(&h, 1);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    acquire(&lock, RLK_TRY);
    harness_advance(&h, 1000);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_serve_all(&h);
    harness_advance(&h, 2000);
    harness_expect_quiet(&h, 0);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 0);
}

/* A lease that moves is compared at once by the lock that has it now, and not again. */
static void test_held_watch_when_the_lease_moves(void **state)
{
    rlk_lock from;
    rlk_lock to;
    rlk_lease lease;

    (void)state;
    hold(&from, 1, 0);
    harness_lock(&h, &to, TTL);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    tracked_watch(&h, 0);
    harness_advance(&h, TTL / 2);
    harness_expect_quiet(&h, 0);
    assert_int_equal(harness_count(&h, HARNESS_CHECK), 1);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve_all(&h);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

/* No stream at that time: the next one compares. */
static void test_held_watch_without_a_stream(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1, 0);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, 2 * RLK_WATCH_AFTER_MS);
    harness_remove(&h, 0, HARNESS_KEY);
    h.servers[0].refuses = false;
    assert_int_not_equal(tracked_until(&h, 0, HARNESS_CHECK, RLK_BACKOFF_MAX_MS), -1);
    harness_serve_all(&h);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

/* The next in the queue relies on the watch of the lock that holds the key. Before it begins the
 * server has promised nothing: it is not taken for one that does not notify. */
static void test_held_watch_not_yet_is_no_fault_of_the_server(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock locks[2];
    unsigned turn;

    (void)state;
    config.recheck_max_ms = 250;
    config.watch_after_ms = 2000;
    tracked_open(&h, 1);
    for (turn = 0; turn < 2; turn++)
        assert_result(rlk_lock_init(&locks[turn], h.client, HARNESS_KEY, &config), RLK_OK);
    for (turn = 0; turn < 4; turn++) {
        /* both wait while somebody has it: when the first has it, the other was behind it */
        harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
        assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
        assert_result(rlk_acquire_start(&locks[1], RLK_FOREVER), RLK_PENDING);
        harness_serve_all(&h);
        harness_delete(&h, 0, HARNESS_KEY);
        harness_serve_all(&h);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[0]));
        harness_remove(&h, 0, HARNESS_KEY);
        assert_between(tracked_until(&h, 0, HARNESS_SET, 250), 50, 250);
        assert_int_equal(locks[1].cause, RLK_CAUSE_RECHECK);
        harness_serve_all(&h);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn));
        assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
        harness_serve_all(&h);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
        release(&locks[1]);
    }
}

/* Nor while the compare that begins the watch is not answered. */
static void test_held_watch_not_answered_is_no_fault_of_the_server(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock locks[2];
    unsigned i;

    (void)state;
    config.recheck_max_ms = 250;
    config.watch_after_ms = 10;
    tracked_open(&h, 1);
    for (i = 0; i < 2; i++)
        assert_result(rlk_lock_init(&locks[i], h.client, HARNESS_KEY, &config), RLK_OK);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    for (i = 0; i < 2; i++)
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    harness_serve_all(&h);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve_all(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_remove(&h, 0, HARNESS_KEY);
    harness_advance(&h, 250);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 1);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_serve_all(&h);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(harness_link_of(&h, 0)->conn.missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_watch_short_cycle_is_two_commands),
        cmocka_unit_test(test_held_watch_compares_once),
        cmocka_unit_test(test_held_watch_deleted_before),
        cmocka_unit_test(test_held_watch_begins_with_a_raise),
        cmocka_unit_test(test_held_watch_compares_where_a_raise_does_not_count),
        cmocka_unit_test(test_held_watch_deleted_after),
        cmocka_unit_test(test_held_watch_time_is_configured),
        cmocka_unit_test(test_held_watch_without_tracking),
        cmocka_unit_test(test_held_watch_on_a_quorum),
        cmocka_unit_test(test_held_watch_beside_other_commands),
        cmocka_unit_test(test_held_watch_behind_a_renewal),
        cmocka_unit_test(test_held_watch_not_when_it_is_over),
        cmocka_unit_test(test_held_watch_when_the_lease_moves),
        cmocka_unit_test(test_held_watch_without_a_stream),
        cmocka_unit_test(test_held_watch_not_yet_is_no_fault_of_the_server),
        cmocka_unit_test(test_held_watch_not_answered_is_no_fault_of_the_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
