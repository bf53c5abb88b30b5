/* SPDX-License-Identifier: MIT
 *
 * RLK_EV_SETTLED: the late result of an acquire or a release that was UNKNOWN (operation.c).
 */
#include "harness.h"

#include <string.h>

#define SETTLE 500

static harness h;

static void start(unsigned nodes)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.settle_timeout_ms = SETTLE;
    harness_open(&h, nodes, 1);
    harness_advance(&h, 0);
}

/* An acquire whose SETs were not answered, and that ended so. */
static void acquire_unknown(rlk_lock *lock, unsigned nodes, int64_t ttl_ms)
{
    rlk_event event;

    start(nodes);
    harness_lock(&h, lock, ttl_ms);
    assert_result(rlk_acquire_start(lock, 300), RLK_PENDING);
    harness_expect_all(&h, 0, nodes, HARNESS_SET);
    assert_true(harness_next_event(&h, &event, 300 + SETTLE));
    assert_end(&event, RLK_OP_ACQUIRE, RLK_UNKNOWN);
    assert_int_equal(h.now_ms, HARNESS_START + 300 + SETTLE);
}

/* A release that got no answer in its time. */
static void release_unknown(rlk_lock *lock, unsigned nodes, int64_t ttl_ms)
{
    rlk_event event;

    start(nodes);
    harness_held(&h, lock, ttl_ms);
    assert_result(rlk_release_start(lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_end(&event, RLK_OP_RELEASE, RLK_UNKNOWN);
}

/* Of expect_settled: the event is there, without time passing. */
#define AT_ONCE (-1)

/* The next event is SETTLED with this result, and no other follows it. */
static void expect_settled(rlk_result result, int64_t within_ms)
{
    rlk_event event;

    if (within_ms == AT_ONCE)
        assert_true(rlk_client_next_event(h.client, &event));
    else
        assert_true(harness_next_event(&h, &event, within_ms));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_int_equal(event.operation, RLK_OP_NONE);
    assert_result(event.result, result);
    harness_expect_no_event(&h);
}

/* ---- It is known at last ------------------------------------------------------------------ */

/* The undo is answered: our token is not there, and never will be. */
static void test_operation_settled_after_an_acquire(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    acquire_unknown(&lock, 1, 30000);
    harness_expect_no_event(&h);
    harness_advance(&h, 100);
    harness_serve(&h, 0); /* the SET, and its undo */
    assert_true(rlk_client_next_event(h.client, &event));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_OK);
    assert_int_equal(event.operation, RLK_OP_NONE);
    assert_ptr_equal(event.lock, &lock);
    assert_ptr_equal(event.user, &h);
    harness_expect_no_event(&h);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    harness_advance(&h, 60000);
    harness_expect_no_event(&h); /* once */
}

static void test_operation_settled_after_a_release(void **state)
{
    rlk_lock lock;

    (void)state;
    release_unknown(&lock, 1, 30000);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    expect_settled(RLK_OK, AT_ONCE);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

/* A release that the server refused ends with its word, and is settled when it does it after all.
 */
static void test_operation_settled_after_a_refused_release(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    start(1);
    harness_held(&h, &lock, 30000);
    harness_steady_pauses(&lock);
    h.servers[0].automatic = true;
    h.servers[0].fails = HARNESS_MISCONF;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_end(&event, RLK_OP_RELEASE, RLK_E_MISCONF);
    assert_false(harness_next_event(&h, &event, 1000));
    h.servers[0].fails = NULL;
    expect_settled(RLK_OK, RLK_RETRY_MAX_MS);
}

/* Fewer than a quorum of nodes are open: that settles it. */
static void test_operation_settled_by_a_quorum(void **state)
{
    rlk_lock lock;

    (void)state;
    acquire_unknown(&lock, 5, 30000);
    harness_serve(&h, 4);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    harness_serve(&h, 2);
    expect_settled(RLK_OK, AT_ONCE);
    harness_serve(&h, 1);
    harness_serve(&h, 3);
    harness_expect_no_event(&h);
}

/* An undo is answered when the deadline of the acquire has come, and nobody ticked: the deadline
 * comes first, and what it wants undone is undone once more. */
static void test_operation_settled_undo_is_answered_at_the_deadline(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, 1010), RLK_PENDING);
    harness_advance(&h, 1005); /* one try took 1000 */
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 1);
    h.now_ms += 5;
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 2);
    harness_expect_no_event(&h);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

/* ---- It is not ---------------------------------------------------------------------------- */

/* Nobody answers until the TTL has passed: then it does not matter any more. */
static void test_operation_settled_unknown_when_the_ttl_has_passed(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    acquire_unknown(&lock, 1, 4000);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    expect_settled(RLK_UNKNOWN, 10000);
    assert_int_equal(h.now_ms, HARNESS_START + 300 + 4000); /* from the undo on */
    assert_false(harness_next_event(&h, &event, 10000));
}

/* The TTL may be that of an extended lease. */
static void test_operation_settled_unknown_after_an_extended_lease(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    start(1);
    harness_held(&h, &lock, 4000);
    assert_result(rlk_extend_start(&lock, 20000), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_result(event.result, RLK_UNKNOWN);
    expect_settled(RLK_UNKNOWN, 60000);
    assert_int_equal(h.now_ms, HARNESS_START + 24000);
}

/* An orphan is possible, and nobody can know: said at once, behind the result. */
static void test_operation_settled_unknown_where_an_orphan_is_possible(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1);
    h.servers[0].no_ids = true; /* nothing can be fenced */
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 0);
    harness_advance(&h, 2 * RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0); /* not ours, so SET again */
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_UNKNOWN);
    expect_settled(RLK_UNKNOWN, AT_ONCE);
    assert_true(harness_execute_loose(harness_link_of(&h, 0)));
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1); /* and rightly so */
}

/* A refusal that is final is the same: the key stays until its TTL ends. */
static void test_operation_settled_unknown_where_nothing_can_be_done(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOPERM);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_E_NOPERM);
    expect_settled(RLK_UNKNOWN, AT_ONCE);
}

/* A quorum of nodes that are in doubt does; fewer are no quorum. */
static void test_operation_settled_unknown_by_a_quorum(void **state)
{
    rlk_lock lock;

    (void)state;
    release_unknown(&lock, 3, 30000);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    harness_reply(&h, 0, HARNESS_NOPERM);
    harness_expect_no_event(&h);
    harness_reply(&h, 1, HARNESS_NOPERM);
    expect_settled(RLK_UNKNOWN, AT_ONCE);
    harness_serve(&h, 2);
    harness_expect_no_event(&h);
}

/* ---- When there is nothing to settle ------------------------------------------------------ */

static void test_operation_settled_only_where_it_was_unknown(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    start(1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_lock(&h, &lock, 30000);
    h.servers[0].automatic = true;
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&lock, 300), RLK_TIMED_OUT);
    h.servers[0].fails = HARNESS_NOPERM;
    assert_result(rlk_acquire(&lock, 300), RLK_E_NOPERM);
    h.servers[0].fails = NULL;
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    /* of extend, renew, check and query nothing is left behind */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    h.servers[0].automatic = false;
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_run(&h);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_UNKNOWN);
    h.servers[0].automatic = true;
    assert_false(harness_next_event(&h, &event, 1000));
    /* the loss of a lock was reported as such */
    assert_true(harness_next_event(&h, &event, 60000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result(rlk_release(&lock), RLK_LOST);
    assert_false(harness_next_event(&h, &event, 60000));
}

/* A program that acquires again, or closes, has no use for it. */
static void test_operation_settled_is_dropped(void **state)
{
    rlk_lock lock;

    (void)state;
    acquire_unknown(&lock, 1, 30000);
    harness_serve(&h, 0);
    assert_result(rlk_acquire_start(&lock, 300), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_no_event(&h);

    acquire_unknown(&lock, 1, 30000); /* not settled yet */
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_expect_no_event(&h);

    acquire_unknown(&lock, 1, 30000);
    harness_serve(&h, 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    harness_expect_no_event(&h);
}

/* A release of what is not held any more settles nothing, and drops nothing. */
static void test_operation_settled_and_released_twice(void **state)
{
    rlk_lock lock;

    (void)state;
    release_unknown(&lock, 1, 30000);
    assert_result(rlk_release_start(&lock), RLK_NOT_HELD);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    harness_serve(&h, 0);
    expect_settled(RLK_OK, AT_ONCE);
}

/* ---- Beside an operation ------------------------------------------------------------------ */

/* It comes behind the result of what is under way. */
static void test_operation_settled_behind_a_query(void **state)
{
    rlk_lock lock;
    rlk_holder holder;

    (void)state;
    release_unknown(&lock, 1, 30000);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    harness_reply(&h, 0, ":1\r\n");
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    assert_true(rlk_lock_operation(&lock) == RLK_OP_NONE);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_OK); /* the entry is still in the store */
    expect_settled(RLK_OK, AT_ONCE);
}

/* The TTL passes while an operation is under way: that is waited for, and not by spinning. */
static void test_operation_settled_when_the_ttl_passes_in_a_query(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    rlk_event event;

    (void)state;
    start(1);
    harness_held(&h, &lock, 8000);
    h.servers[0].swallows = true;
    harness_cut(&h, 0);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    harness_advance(&h, HARNESS_START + 7999 - h.now_ms);
    h.servers[0].swallows = false;
    h.servers[0].mute = true;
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    harness_advance(&h, 2);
    harness_expect_no_event(&h);
    assert_true(rlk_client_deadline(h.client) > h.now_ms + 1);
    while (harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS) &&
           event.operation == RLK_OP_QUERY) {
    }
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_UNKNOWN);
}

/* ---- Blocking calls ----------------------------------------------------------------------- */

/* They return what they know; the event comes while the client is served. */
static void test_operation_settled_after_a_blocking_call(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, 300), RLK_UNKNOWN);
    harness_expect_no_event(&h);
    h.servers[0].automatic = true;
    expect_settled(RLK_OK, RLK_RESPONSE_TIMEOUT_MS);
}

static int cannot_wait(harness *own)
{
    return own->waits > 2 ? -1 : 0;
}

/* Where waiting fails, the undo is not waited for either. */
static void test_operation_settled_after_a_wait_that_failed(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1);
    harness_lock(&h, &lock, 30000);
    h.on_wait = cannot_wait;
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_UNKNOWN);
    h.on_wait = NULL;
    h.servers[0].automatic = true;
    expect_settled(RLK_OK, 0);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operation_settled_after_an_acquire),
        cmocka_unit_test(test_operation_settled_after_a_release),
        cmocka_unit_test(test_operation_settled_after_a_refused_release),
        cmocka_unit_test(test_operation_settled_by_a_quorum),
        cmocka_unit_test(test_operation_settled_undo_is_answered_at_the_deadline),
        cmocka_unit_test(test_operation_settled_unknown_when_the_ttl_has_passed),
        cmocka_unit_test(test_operation_settled_unknown_after_an_extended_lease),
        cmocka_unit_test(test_operation_settled_unknown_where_an_orphan_is_possible),
        cmocka_unit_test(test_operation_settled_unknown_where_nothing_can_be_done),
        cmocka_unit_test(test_operation_settled_unknown_by_a_quorum),
        cmocka_unit_test(test_operation_settled_only_where_it_was_unknown),
        cmocka_unit_test(test_operation_settled_is_dropped),
        cmocka_unit_test(test_operation_settled_and_released_twice),
        cmocka_unit_test(test_operation_settled_behind_a_query),
        cmocka_unit_test(test_operation_settled_when_the_ttl_passes_in_a_query),
        cmocka_unit_test(test_operation_settled_after_a_blocking_call),
        cmocka_unit_test(test_operation_settled_after_a_wait_that_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
