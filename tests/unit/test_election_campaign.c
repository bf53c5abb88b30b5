/* SPDX-License-Identifier: MIT
 *
 * Campaigns: rlk_campaign_start leads, follows, and leads again (election.c).
 */
#include "lock_elected.h"

/* It follows for any time, leads, and is renewed without auto_renew. */
static void test_election_follows_and_leads(void **state)
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

/* It follows again, and not before the program has pulled its loss. */
static void test_election_follows_again_once_lost_was_pulled(void **state)
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

/* The handler of RLK_EV_LOST asks for words: they are of the loss, though it follows already. */
static void test_election_has_words_of_its_loss(void **state)
{
    rlk_lock lock;

    (void)state;
    lead(&lock);
    lose(&lock);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_ACQUIRE);
    assert_text_contains(rlk_lock_error(&lock), "renew \"k\": NOT_OWNER: the key has another");
    harness_advance(&h, 1);
    assert_text_contains(rlk_lock_error(&lock), "still waiting");
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
static void test_election_follows_again_behind_a_query(void **state)
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
static void test_election_survives_an_outage(void **state)
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
static void test_election_ends_with_a_fatal_error(void **state)
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
static void test_election_without_entropy(void **state)
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

static void test_election_campaign_is_refused(void **state)
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
static void test_election_ends_with_a_plain_acquire(void **state)
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

/* A cancel ends it, and so does a release. */
static void test_election_ends_with_a_cancel_or_a_release(void **state)
{
    rlk_lock lock;
    unsigned way;

    (void)state;
    follow(&lock);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_result(rlk_resign_start(&lock), RLK_NOT_HELD);
    for (way = 0; support_row(way, 2); way++) {
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_election_follows_and_leads),
        cmocka_unit_test(test_election_follows_again_once_lost_was_pulled),
        cmocka_unit_test(test_election_has_words_of_its_loss),
        cmocka_unit_test(test_fault_122_lost_at_once_is_followed_by_a_pause),
        cmocka_unit_test(test_election_follows_again_behind_a_query),
        cmocka_unit_test(test_election_survives_an_outage),
        cmocka_unit_test(test_election_ends_with_a_fatal_error),
        cmocka_unit_test(test_election_without_entropy),
        cmocka_unit_test(test_election_campaign_is_refused),
        cmocka_unit_test(test_election_ends_with_a_plain_acquire),
        cmocka_unit_test(test_election_ends_with_a_cancel_or_a_release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
