/* SPDX-License-Identifier: MIT
 *
 * RLK_EV_SETTLED: what became of an acquire or a release that could not tell (operation.c).
 */
#include "bench.h"

#include <string.h>

#define SETTLE 500

static bench b;

static void start(unsigned nodes)
{
    memset(&b.config, 0, sizeof b.config);
    b.config.settle_ms = SETTLE;
    bench_open(&b, nodes, 1);
    bench_advance(&b, 0);
}

/* An acquire whose SETs were not answered, and that ended so. */
static void acquire_unknown(rlk_lock *lock, unsigned nodes, int64_t ttl_ms)
{
    rlk_event event;
    start(nodes);
    bench_lock(&b, lock, ttl_ms);
    assert_result(rlk_acquire_start(lock, 300), RLK_PENDING);
    bench_expect_all(&b, 0, nodes, BENCH_SET);
    assert_true(bench_next_event(&b, &event, 300 + SETTLE));
    assert_int_equal(event.type, RLK_EV_UNKNOWN);
    assert_int_equal(b.now_ms, BENCH_START + 300 + SETTLE);
}

/* A release that got no answer in its time. */
static void release_unknown(rlk_lock *lock, unsigned nodes, int64_t ttl_ms)
{
    rlk_event event;
    start(nodes);
    bench_held(&b, lock, ttl_ms);
    assert_result(rlk_release_start(lock), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, RLK_OPERATION_MS));
    assert_int_equal(event.type, RLK_EV_UNKNOWN);
    assert_int_equal(event.operation, RLK_OP_RELEASE);
}

/* ---- It is known at last ------------------------------------------------------------------ */

/* The undo is answered: our token is not there, and never will be. */
static void test_lock_settled_after_an_acquire(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    acquire_unknown(&lock, 1, 30000);
    bench_expect_no_event(&b);
    bench_advance(&b, 100);
    bench_serve(&b, 0); /* the SET, and its undo */
    assert_true(rlk_client_next_event(b.client, &event));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_OK);
    assert_int_equal(event.operation, RLK_OP_NONE);
    assert_ptr_equal(event.lock, &lock);
    assert_ptr_equal(event.user, &b);
    bench_expect_no_event(&b);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
    bench_advance(&b, 60000);
    bench_expect_no_event(&b); /* once */
}

static void test_lock_settled_after_a_release(void **state)
{
    rlk_lock lock;
    (void)state;
    release_unknown(&lock, 1, 30000);
    bench_advance(&b, RLK_BACKOFF_MAX_MS);
    bench_expect_no_event(&b);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_SETTLED, RLK_OK);
    bench_expect_no_event(&b);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
}

/* A release that the server refused ends with its word, and is settled when it does it after all.
 */
static void test_lock_settled_after_a_refused_release(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    start(1);
    bench_held(&b, &lock, 30000);
    b.servers[0].automatic = true;
    b.servers[0].fails = BENCH_READONLY;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, RLK_OPERATION_MS));
    assert_int_equal(event.type, RLK_EV_FAILED);
    assert_result(event.result, RLK_E_READONLY);
    assert_false(bench_next_event(&b, &event, 1000));
    b.servers[0].fails = NULL;
    assert_true(bench_next_event(&b, &event, RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_OK);
}

/* Fewer than a quorum of nodes are open: that settles it. */
static void test_lock_settled_by_a_quorum(void **state)
{
    rlk_lock lock;
    (void)state;
    acquire_unknown(&lock, 5, 30000);
    bench_serve(&b, 4);
    bench_serve(&b, 0);
    bench_expect_no_event(&b);
    bench_serve(&b, 2);
    bench_expect_event(&b, RLK_EV_SETTLED, RLK_OK);
    bench_serve(&b, 1);
    bench_serve(&b, 3);
    bench_expect_no_event(&b);
}

/* An undo is answered when the deadline of the acquire has come, and nobody ticked: the deadline is
 * looked at first, and what it wants undone is undone once more. */
static void test_lock_settled_undo_is_answered_at_the_deadline(void **state)
{
    rlk_lock lock;
    (void)state;
    start(1);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, 1010), RLK_PENDING);
    bench_advance(&b, 1005); /* one try took 1000 */
    assert_int_equal(b.servers[0].count[BENCH_RELEASE], 1);
    b.now_ms += 5;
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_TIMED_OUT, RLK_TIMED_OUT);
    assert_int_equal(b.servers[0].count[BENCH_RELEASE], 2);
    bench_expect_no_event(&b);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
}

/* ---- It is not ---------------------------------------------------------------------------- */

/* Nobody answers until the TTL has passed: then it does not matter any more. */
static void test_lock_settled_unknown_when_the_ttl_has_passed(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    acquire_unknown(&lock, 1, 4000);
    b.servers[0].refuses = true;
    bench_cut(&b, 0);
    assert_true(bench_next_event(&b, &event, 10000));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_UNKNOWN);
    assert_int_equal(b.now_ms, BENCH_START + 300 + 4000); /* from the undo on */
    assert_false(bench_next_event(&b, &event, 10000));
}

/* ... or that of an extended lease. */
static void test_lock_settled_unknown_after_an_extended_lease(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    start(1);
    bench_held(&b, &lock, 4000);
    assert_result(rlk_extend_start(&lock, 20000), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_EXTENDED, RLK_OK);
    b.servers[0].refuses = true;
    bench_cut(&b, 0);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, RLK_OPERATION_MS));
    assert_result(event.result, RLK_UNKNOWN);
    assert_true(bench_next_event(&b, &event, 60000));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_UNKNOWN);
    assert_int_equal(b.now_ms, BENCH_START + 24000);
}

/* An orphan is possible, and nobody can tell: said at once, behind the result. */
static void test_lock_settled_unknown_where_an_orphan_is_possible(void **state)
{
    rlk_lock lock;
    (void)state;
    start(1);
    b.servers[0].no_ids = true; /* nothing can be fenced */
    bench_cut(&b, 0);
    bench_advance(&b, RLK_BACKOFF_MIN_MS);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_SET);
    bench_cut(&b, 0);
    bench_advance(&b, RLK_BACKOFF_MIN_MS);
    bench_serve(&b, 0); /* not ours, so SET again */
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);
    bench_expect_event(&b, RLK_EV_SETTLED, RLK_UNKNOWN);
    bench_expect_no_event(&b);
    assert_true(bench_execute_loose(bench_link_of(&b, 0)));
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 1); /* and rightly so */
}

/* A refusal that is final is the same: the key stays until its TTL ends. */
static void test_lock_settled_unknown_where_nothing_can_be_done(void **state)
{
    rlk_lock lock;
    (void)state;
    start(1);
    bench_held(&b, &lock, 30000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    bench_reply(&b, 0, BENCH_NOPERM);
    bench_expect_event(&b, RLK_EV_FAILED, RLK_E_NOPERM);
    bench_expect_event(&b, RLK_EV_SETTLED, RLK_UNKNOWN);
    bench_expect_no_event(&b);
}

/* A quorum of nodes that are in doubt does; fewer are no quorum. */
static void test_lock_settled_unknown_by_a_quorum(void **state)
{
    rlk_lock lock;
    (void)state;
    release_unknown(&lock, 3, 30000);
    bench_advance(&b, RLK_BACKOFF_MAX_MS);
    bench_reply(&b, 0, BENCH_NOPERM);
    bench_expect_no_event(&b);
    bench_reply(&b, 1, BENCH_NOPERM);
    bench_expect_event(&b, RLK_EV_SETTLED, RLK_UNKNOWN);
    bench_serve(&b, 2);
    bench_expect_no_event(&b);
}

/* ---- When there is nothing to settle ------------------------------------------------------ */

static void test_lock_settled_only_where_it_was_unknown(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    start(1);
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    bench_lock(&b, &lock, 30000);
    b.servers[0].automatic = true;
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&lock, 300), RLK_TIMED_OUT);
    b.servers[0].fails = BENCH_NOPERM;
    assert_result(rlk_acquire(&lock, 300), RLK_E_NOPERM);
    b.servers[0].fails = NULL;
    bench_delete(&b, 0, BENCH_KEY);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    bench_delete(&b, 0, BENCH_KEY);
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    /* of extend, renew, check and query nothing is left behind */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    b.servers[0].automatic = false;
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    bench_run(&b);
    assert_result(rlk_cancel(&lock), RLK_OK);
    bench_expect_event(&b, RLK_EV_UNKNOWN, RLK_UNKNOWN);
    b.servers[0].automatic = true;
    assert_false(bench_next_event(&b, &event, 1000));
    /* and a lock that is lost was told of as such */
    assert_true(bench_next_event(&b, &event, 60000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result(rlk_release(&lock), RLK_LOST);
    assert_false(bench_next_event(&b, &event, 60000));
}

/* Whoever acquires again, or closes, has no use for it. */
static void test_lock_settled_is_dropped(void **state)
{
    rlk_lock lock;
    (void)state;
    acquire_unknown(&lock, 1, 30000);
    bench_serve(&b, 0);
    assert_result(rlk_acquire_start(&lock, 300), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    bench_expect_no_event(&b);

    acquire_unknown(&lock, 1, 30000); /* not settled yet */
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    bench_expect_no_event(&b);

    acquire_unknown(&lock, 1, 30000);
    bench_serve(&b, 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    bench_expect_no_event(&b);
}

/* A release of what is not held any more settles nothing, and drops nothing. */
static void test_lock_settled_and_released_twice(void **state)
{
    rlk_lock lock;
    (void)state;
    release_unknown(&lock, 1, 30000);
    assert_result(rlk_release_start(&lock), RLK_NOT_HELD);
    bench_advance(&b, RLK_BACKOFF_MAX_MS);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_SETTLED, RLK_OK);
}

/* ---- Beside an operation ------------------------------------------------------------------ */

/* It comes behind the result of what is under way. */
static void test_lock_settled_behind_a_query(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    (void)state;
    release_unknown(&lock, 1, 30000);
    bench_advance(&b, RLK_BACKOFF_MAX_MS);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    (void)bench_expect(&b, 0, BENCH_RELEASE);
    bench_reply(&b, 0, ":1\r\n");
    bench_expect_no_event(&b);
    bench_serve(&b, 0);
    assert_true(rlk_lock_operation(&lock) == RLK_OP_NONE);
    bench_expect_event(&b, RLK_EV_DONE, RLK_OK); /* the entry is still in the store */
    bench_expect_event(&b, RLK_EV_SETTLED, RLK_OK);
    bench_expect_no_event(&b);
}

/* The TTL passes while an operation is under way: that is waited for, and not by spinning. */
static void test_lock_settled_when_the_ttl_passes_in_a_query(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    rlk_event event;
    (void)state;
    start(1);
    bench_held(&b, &lock, 8000);
    b.servers[0].swallows = true;
    bench_cut(&b, 0);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, RLK_OPERATION_MS));
    bench_advance(&b, BENCH_START + 7999 - b.now_ms);
    b.servers[0].swallows = false;
    b.servers[0].mute = true;
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    bench_advance(&b, 2);
    bench_expect_no_event(&b);
    assert_true(rlk_client_deadline(b.client) > b.now_ms + 1);
    while (bench_next_event(&b, &event, RLK_OPERATION_MS) && event.operation == RLK_OP_QUERY) {
    }
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_UNKNOWN);
}

/* ---- Blocking calls ----------------------------------------------------------------------- */

/* They return what they know; the event comes while the client is served. */
static void test_lock_settled_after_a_blocking_call(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    start(1);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire(&lock, 300), RLK_UNKNOWN);
    bench_expect_no_event(&b);
    b.servers[0].automatic = true;
    assert_true(bench_next_event(&b, &event, RLK_RESPONSE_MS));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_OK);
}

static int cannot_wait(bench *own)
{
    return own->waits > 2 ? -1 : 0;
}

/* Where waiting fails, the undo is not waited for either. */
static void test_lock_settled_after_a_wait_that_failed(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    start(1);
    bench_lock(&b, &lock, 30000);
    b.on_wait = cannot_wait;
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_UNKNOWN);
    b.on_wait = NULL;
    b.servers[0].automatic = true;
    assert_true(bench_next_event(&b, &event, 0));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_OK);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_settled_after_an_acquire),
        cmocka_unit_test(test_lock_settled_after_a_release),
        cmocka_unit_test(test_lock_settled_after_a_refused_release),
        cmocka_unit_test(test_lock_settled_by_a_quorum),
        cmocka_unit_test(test_lock_settled_undo_is_answered_at_the_deadline),
        cmocka_unit_test(test_lock_settled_unknown_when_the_ttl_has_passed),
        cmocka_unit_test(test_lock_settled_unknown_after_an_extended_lease),
        cmocka_unit_test(test_lock_settled_unknown_where_an_orphan_is_possible),
        cmocka_unit_test(test_lock_settled_unknown_where_nothing_can_be_done),
        cmocka_unit_test(test_lock_settled_unknown_by_a_quorum),
        cmocka_unit_test(test_lock_settled_only_where_it_was_unknown),
        cmocka_unit_test(test_lock_settled_is_dropped),
        cmocka_unit_test(test_lock_settled_and_released_twice),
        cmocka_unit_test(test_lock_settled_behind_a_query),
        cmocka_unit_test(test_lock_settled_when_the_ttl_passes_in_a_query),
        cmocka_unit_test(test_lock_settled_after_a_blocking_call),
        cmocka_unit_test(test_lock_settled_after_a_wait_that_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
