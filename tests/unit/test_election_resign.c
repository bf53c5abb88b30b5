/* SPDX-License-Identifier: MIT
 *
 * rlk_resign of a leader, of a follower, and of other locks (election.c).
 */
#include "lock_elected.h"

#include <string.h>

static int answer(harness *own)
{
    harness_serve(own, 0);
    return 0;
}

/* It leads: the results are those of a release. */
static void test_election_leader_resigns(void **state)
{
    static const struct {
        const char *name;
        bool renews; /* a renewal is under way */
        bool gone;   /* the key is */
        rlk_result result;
    } rows[] = {
        {"it leads", false, false, RLK_OK},
        {"its key is gone", false, true, RLK_NOT_OWNER},
        {"a renewal is under way", true, false, RLK_OK},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        lead(&lock);
        if (rows[i].gone)
            harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
        if (rows[i].renews) {
            harness_advance(&h, DUE);
            (void)harness_expect(&h, 0, HARNESS_RAISE);
        }
        assert_result(rlk_resign_start(&lock), RLK_PENDING);
        assert_false(rlk_is_held(&lock));
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, rows[i].result);
        harness_expect_no_event(&h);
        assert_result(rlk_resign_start(&lock), RLK_NOT_HELD);
        harness_advance(&h, 2 * TTL);
        harness_expect_quiet(&h, 0);
    }
}

/* It has lost, and the event is not pulled yet: it follows no more. */
static void test_election_resigns_when_lost(void **state)
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
static void test_election_follower_resigns(void **state)
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
static void test_election_resign_of_other_locks(void **state)
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

/* The blocking form. */
static void test_election_resign_blocks(void **state)
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

static void test_election_resign_cannot_wait(void **state)
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
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_election_leader_resigns),
        cmocka_unit_test(test_election_resigns_when_lost),
        cmocka_unit_test(test_election_follower_resigns),
        cmocka_unit_test(test_election_resign_of_other_locks),
        cmocka_unit_test(test_election_resign_blocks),
        cmocka_unit_test(test_election_resign_cannot_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
