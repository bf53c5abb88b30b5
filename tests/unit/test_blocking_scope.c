/* SPDX-License-Identifier: MIT
 *
 * The scoped form, and blocking calls of a lock that campaigns.
 */
#include "harness.h"

static harness h;

static rlk_result scoped(bool acquire, bool start)
{
    RLK_SCOPED(lock, h.client, HARNESS_KEY, NULL);

    if (acquire)
        return rlk_acquire(&lock, RLK_TRY);
    return start ? rlk_acquire_start(&lock, RLK_FOREVER) : RLK_NOT_HELD;
}

static void test_blocking_scope_releases(void **state)
{
    (void)state;
    harness_start_automatic(&h, 1);
    assert_result(scoped(true, false), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 1);
    assert_result(scoped(false, true), RLK_PENDING); /* cancelled and undone */
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 2);
    assert_result(scoped(false, false), RLK_NOT_HELD);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 2);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_true(rlk_client_deadline(h.client) == RLK_NEVER);
}

/* In a child its end has no effect: the operation belongs to the parent. */
static void test_blocking_scope_in_a_child(void **state)
{
    (void)state;
    harness_start(&h, 1);
    {
        RLK_SCOPED(lock, h.client, HARNESS_KEY, NULL);

        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_SET);
        h.forked = true;
    }
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 0);
}

static int pulled_answer; /* of the wait in which it is pulled */

/* Serves, and pulls the events. */
static int pull_at_second(harness *own)
{
    rlk_event event;

    if (own->waits == 1)
        return 0;
    harness_serve(own, 0);
    while (rlk_client_next_event(own->client, &event)) {
    }
    return own->waits > 50 ? -1 : pulled_answer;
}

static void start_leading(rlk_lock *lead)
{
    harness_start(&h, 1);
    harness_lock(&h, lead, 30000);
    assert_result(rlk_campaign_start(lead), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The loss of a leader and the result of its query are pulled while the query blocks. Then the lock
 * follows again. The query does not wait for that, and a wait that fails does not end it. */
static void test_blocking_query_of_a_leader_that_is_lost(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;

    (void)state;
    for (pulled_answer = 0; pulled_answer >= -1; pulled_answer--) {
        start_leading(&lead);
        harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
        harness_advance(&h, 11000); /* a renewal is under way, and will be refused */
        h.on_wait = pull_at_second;
        h.waits = 0;
        assert_result(rlk_query(&lead, &holder, 1), RLK_OK);
        h.on_wait = NULL;
        assert_string_equal(holder.token, "foreign");
        assert_int_equal(rlk_lock_operation(&lead), RLK_OP_ACQUIRE);
        harness_expect_no_event(&h); /* it still campaigns */
    }
}

/* Only the loss is pulled while the query blocks: the lock follows again after the result. */
static int pull_the_loss(harness *own)
{
    rlk_event event;

    if (own->waits == 2) {
        assert_true(harness_execute(harness_link_of(own, 0))); /* the renewal, which is refused */
        assert_true(harness_deliver(harness_link_of(own, 0)));
        while (rlk_client_next_event(own->client, &event)) {
        }
        assert_int_equal(event.type, RLK_EV_LOST);
    } else if (own->waits > 2) {
        harness_serve(own, 0);
    }
    return own->waits > 50 ? -1 : 0;
}

static void test_blocking_query_of_a_leader_whose_loss_is_pulled(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;

    (void)state;
    start_leading(&lead);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_advance(&h, 11000); /* a renewal is under way, and will be refused */
    h.on_wait = pull_the_loss;
    h.waits = 0;
    assert_result(rlk_query(&lead, &holder, 1), RLK_OK);
    h.on_wait = NULL;
    assert_int_equal(rlk_lock_operation(&lead), RLK_OP_ACQUIRE);
    harness_expect_no_event(&h);
}

/* A leader's scope ends when it is lost and a query is under way: it does not follow again. */
static void test_blocking_scope_of_a_leader_that_is_lost(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;

    (void)state;
    start_leading(&lead);
    harness_advance(&h, 11000);
    harness_remove(&h, 0, HARNESS_KEY);
    assert_result(rlk_query_start(&lead, &holder, 1), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    rlki_lock_scope_end(&lead);
    h.servers[0].automatic = true;
    harness_advance(&h, 100);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocking_scope_releases),
        cmocka_unit_test(test_blocking_scope_in_a_child),
        cmocka_unit_test(test_blocking_query_of_a_leader_that_is_lost),
        cmocka_unit_test(test_blocking_query_of_a_leader_whose_loss_is_pulled),
        cmocka_unit_test(test_blocking_scope_of_a_leader_that_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
