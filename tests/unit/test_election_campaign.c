/* SPDX-License-Identifier: MIT
 *
 * Leader and followers: rlk_campaign_start, rlk_resign, rlk_leader (election.c).
 */
#include "harness.h"

#include <string.h>

#define DRIFT(ms) ((ms) / 100 + 3)
#define TTL       30000
#define LEASE     (TTL - DRIFT(TTL))
#define DUE       (TTL / 3)
#define FOREIGN   "foreign"

static harness h;

static void start(void)
{
    harness_start(&h, 1);
}

/* Stands for election on a server where nobody leads, and leads. */
static void lead(rlk_lock *lock)
{
    start();
    harness_lock(&h, lock, TTL);
    assert_result(rlk_campaign_start(lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Follows somebody. */
static void follow(rlk_lock *lock)
{
    start();
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_lock(&h, lock, TTL);
    assert_result(rlk_campaign_start(lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
}

/* Leads no longer: the key went, and the next renewal says so. */
static void lose(rlk_lock *lock)
{
    harness_entry *entry = harness_find(&h, &h.servers[0], HARNESS_KEY);
    if (entry != NULL)
        entry->key[0] = '\0';
    harness_advance(&h, DUE);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_expect_event(&h, RLK_EV_RENEW_FAILED, RLK_NOT_OWNER);
    assert_false(rlk_is_held(lock));
}

/* ---- Leading ------------------------------------------------------------------------------ */

/* It follows for ever, leads, and is renewed without auto_renew. */
static void test_lock_election_follows_and_leads(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned i;
    (void)state;
    follow(&lock);
    h.servers[0].automatic = true;
    assert_false(harness_next_event(&h, &event, 100 * TTL));
    harness_delete(&h, 0, HARNESS_KEY);
    assert_true(harness_next_event(&h, &event, RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(event.operation, RLK_OP_ACQUIRE);
    for (i = 0; i < 10; i++) {
        assert_true(harness_next_event(&h, &event, DUE));
        assert_int_equal(event.type, RLK_EV_RENEWED);
    }
    assert_true(rlk_is_held(&lock));
}

/* It follows again, and not before its loss was heard. */
static void test_lock_election_follows_again_once_it_heard(void **state)
{
    rlk_lock lock;
    unsigned again;
    (void)state;
    lead(&lock);
    for (again = 1; again < 4; again++) {
        lose(&lock);
        harness_advance(&h, 1000);
        harness_expect_quiet(&h, 0);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_ACQUIRE);
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_expect_no_event(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1 + again);
    }
}

/* Fault 122: somebody deletes the key as soon as it leads, each time. */
static void test_fault_122_lost_at_once_is_followed_by_a_pause(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned led = 0;
    int64_t end_ms;
    (void)state;
    lead(&lock);
    h.servers[0].automatic = true;
    for (end_ms = h.now_ms + 60000; h.now_ms < end_ms; led++) {
        harness_delete(&h, 0, HARNESS_KEY);
        assert_result(rlk_check(&lock), RLK_NOT_OWNER);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        assert_true(harness_next_event(&h, &event, 8 * RLK_RETRY_MAX_MS));
        assert_int_equal(event.type, RLK_EV_ACQUIRED);
    }
    assert_between(led, 60000 / (4 * RLK_RETRY_MAX_MS), 4 + 60000 / (4 * RLK_RETRY_MIN_MS));
    /* a lease that lasted is followed at once */
    harness_advance(&h, RLK_RETRY_MAX_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_check(&lock), RLK_NOT_OWNER);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_true(harness_next_event(&h, &event, 0));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
}

/* A query is under way when LOST is pulled: it follows when that is over, and was pulled. */
static void test_lock_election_follows_again_behind_a_query(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    (void)state;
    lead(&lock);
    harness_advance(&h, DUE);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOT_OURS); /* to the renewal before it */
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_QUERY);
    harness_serve(&h, 0);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_ACQUIRE);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Lost at its deadline, with the server down: it follows, and leads when that is back. */
static void test_lock_election_rides_out_an_outage(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    lead(&lock);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    do {
        assert_true(harness_next_event(&h, &event, LEASE));
    } while (support_renewal_unknown(&event));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_false(harness_next_event(&h, &event, 10 * TTL));
    h.servers[0].refuses = false;
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MAX_MS + RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
}

/* What no trying mends ends it, also where it would follow again; a start after that is a start. */
static void test_lock_election_ends_with_a_fatal_error(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    follow(&lock);
    h.servers[0].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MIN_MS));
    assert_end(&event, RLK_OP_ACQUIRE, RLK_E_AUTH);
    assert_result(rlk_campaign_start(&lock), RLK_E_AUTH);
    harness_expect_no_event(&h);

    lead(&lock);
    h.servers[0].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 0);
    do {
        assert_true(harness_next_event(&h, &event, LEASE));
    } while (support_renewal_unknown(&event));
    assert_int_equal(event.type, RLK_EV_LOST);
    /* of the acquire that followed, while the key may still have the token of the lease before */
    assert_true(harness_next_event(&h, &event, RLK_SETTLE_TIMEOUT_MS));
    assert_int_equal(event.operation, RLK_OP_ACQUIRE);
    assert_result(event.result, RLK_UNKNOWN);
    assert_true(harness_next_event(&h, &event, TTL));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_false(harness_next_event(&h, &event, 10 * TTL));
    h.servers[0].hello = NULL;
    h.servers[0].automatic = true;
    assert_result(rlk_client_reset(h.client), RLK_OK);
    assert_result(rlk_campaign_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, TTL));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
}

/* Without entropy no token, and so no leader. */
static void test_lock_election_without_entropy(void **state)
{
    rlk_lock lock;
    (void)state;
    lead(&lock);
    lose(&lock);
    harness_end_entropy(&h);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_ENTROPY);
    harness_expect_no_event(&h);
    harness_expect_quiet(&h, 0);
}

static void test_lock_election_start_is_refused(void **state)
{
    rlk_lock lock;
    (void)state;
    lead(&lock);
    assert_result(rlk_campaign_start(&lock), RLK_E_STATE);
    harness_advance(&h, DUE); /* it still leads, and is renewed */
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    follow(&lock);
    assert_result(rlk_campaign_start(&lock), RLK_E_STATE);
    assert_result(rlk_campaign_start(NULL), RLK_E_ARGUMENT);
    h.forked = true;
    assert_result(rlk_campaign_start(&lock), RLK_E_FORKED);
    assert_result(rlk_resign_start(&lock), RLK_E_FORKED);
    h.forked = false;
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_result(rlk_campaign_start(&lock), RLK_E_CLOSED);
}

/* A plain acquire after it is a plain acquire: not renewed, and nothing follows its loss. */
static void test_lock_election_ends_with_a_plain_acquire(void **state)
{
    rlk_lock lock;
    (void)state;
    lead(&lock);
    lose(&lock);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, LEASE);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_advance(&h, 1000);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
}

/* ... and so does a cancel, or a release. */
static void test_lock_election_ends_with_a_cancel_or_a_release(void **state)
{
    rlk_lock lock;
    unsigned way;
    (void)state;
    follow(&lock);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_result(rlk_resign_start(&lock), RLK_NOT_HELD);
    for (way = 0; way < 2; way++) {
        lead(&lock);
        if (way == 1)
            lose(&lock);
        assert_result(rlk_release_start(&lock), way == 0 ? RLK_PENDING : RLK_LOST);
        harness_serve(&h, 0);
        if (way == 0)
            harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
        harness_expect_no_event(&h); /* LOST was dropped, and nothing follows */
        harness_advance(&h, 2 * TTL);
        harness_expect_quiet(&h, 0);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    }
}

/* ---- Stepping down ------------------------------------------------------------------------ */

/* It leads: the results are those of a release. */
static void test_lock_election_leader_steps_down(void **state)
{
    rlk_lock lock;
    (void)state;
    lead(&lock);
    assert_result(rlk_resign_start(&lock), RLK_PENDING);
    assert_false(rlk_is_held(&lock));
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_result(rlk_resign_start(&lock), RLK_NOT_HELD);
    harness_advance(&h, 2 * TTL);
    harness_expect_quiet(&h, 0);

    lead(&lock);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    assert_result(rlk_resign_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);

    lead(&lock); /* while a renewal is under way */
    harness_advance(&h, DUE);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    assert_result(rlk_resign_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
}

/* It has lost, and was not told yet: it follows no more. */
static void test_lock_election_steps_down_when_lost(void **state)
{
    rlk_lock lock;
    (void)state;
    lead(&lock);
    lose(&lock);
    assert_result(rlk_resign_start(&lock), RLK_LOST);
    harness_expect_no_event(&h);
    harness_advance(&h, 1000);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
}

/* It follows, with nothing under way: at once. With a SET under way: when that is undone. */
static void test_lock_election_follower_steps_down(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    follow(&lock);
    assert_result(rlk_resign_start(&lock), RLK_CANCELLED);
    harness_expect_no_event(&h);
    harness_advance(&h, 1000);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);

    start();
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_campaign_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_resign_start(&lock), RLK_PENDING);
    assert_result(rlk_resign_start(&lock), RLK_PENDING); /* it is doing so */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);

    start(); /* ... and if that is not answered */
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_campaign_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_resign_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_SETTLE_TIMEOUT_MS));
    assert_end(&event, RLK_OP_ACQUIRE, RLK_UNKNOWN);
}

/* It never stood for election. A lock that was acquired is released all the same. */
static void test_lock_election_step_down_of_others(void **state)
{
    rlk_lock lock;
    rlk_lock other;
    (void)state;
    start();
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_resign_start(&lock), RLK_NOT_HELD);
    assert_result(rlk_resign_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    assert_result(rlk_resign_start(&lock), RLK_E_STATE); /* as of a release */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_result(rlk_resign_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    memset(&other, 0, sizeof other);
    assert_result(rlk_resign_start(&other), RLK_E_CLOSED);
}

static int answer(harness *own)
{
    harness_serve(own, 0);
    return 0;
}

/* The blocking form. */
static void test_lock_election_step_down_blocks(void **state)
{
    rlk_lock lock;
    (void)state;
    lead(&lock);
    h.on_wait = answer;
    assert_result(rlk_resign(&lock), RLK_OK);
    assert_result(rlk_resign(&lock), RLK_NOT_HELD);
    assert_result(rlk_resign(NULL), RLK_E_ARGUMENT);
    harness_expect_no_event(&h);

    follow(&lock);
    assert_result(rlk_resign(&lock), RLK_CANCELLED);
    harness_expect_no_event(&h);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    assert_result(rlk_campaign_start(&lock), RLK_PENDING);
    harness_run(&h);
    h.on_wait = answer;
    assert_result(rlk_resign(&lock), RLK_CANCELLED);
    harness_expect_no_event(&h);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

static void test_lock_election_step_down_cannot_wait(void **state)
{
    rlk_lock lock;
    (void)state;
    lead(&lock);
    h.client->env.wait = NULL;
    assert_result(rlk_resign(&lock), RLK_E_WAIT);
    assert_true(rlk_is_held(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_election_follows_and_leads),
        cmocka_unit_test(test_lock_election_follows_again_once_it_heard),
        cmocka_unit_test(test_fault_122_lost_at_once_is_followed_by_a_pause),
        cmocka_unit_test(test_lock_election_follows_again_behind_a_query),
        cmocka_unit_test(test_lock_election_rides_out_an_outage),
        cmocka_unit_test(test_lock_election_ends_with_a_fatal_error),
        cmocka_unit_test(test_lock_election_without_entropy),
        cmocka_unit_test(test_lock_election_start_is_refused),
        cmocka_unit_test(test_lock_election_ends_with_a_plain_acquire),
        cmocka_unit_test(test_lock_election_ends_with_a_cancel_or_a_release),
        cmocka_unit_test(test_lock_election_leader_steps_down),
        cmocka_unit_test(test_lock_election_steps_down_when_lost),
        cmocka_unit_test(test_lock_election_follower_steps_down),
        cmocka_unit_test(test_lock_election_step_down_of_others),
        cmocka_unit_test(test_lock_election_step_down_blocks),
        cmocka_unit_test(test_lock_election_step_down_cannot_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
