/* SPDX-License-Identifier: MIT
 *
 * A release whose connection is lost on real servers: it is tried again behind its result, until it
 * is done or the TTL has passed, and RLK_EV_SETTLED says which.
 */
#include "settled.h"

/* ---- It comes to an end ---- */

/* Longer than the call tries, shorter than the TTL: done when the outage is over, at once. */
static void release_over(const outage *what, size_t count)
{
    start(count, 60000);
    rivals_hold(&both);
    begin(what);
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_false(rlk_is_held(&both.lock));
    assert_result_event(client(), RLK_OP_RELEASE, RLK_UNKNOWN);
    loop_quiet(client(), scaled(100)); /* nothing is known yet */
    end(what);
    assert_event(client(), RLK_EV_SETTLED, RLK_OK);
    assert_int_equal(rlk_lock_operation(&both.lock), RLK_OP_NONE);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);

    loop_quiet(client(), 20); /* once */
    assert_result(rlk_release(&both.lock), RLK_NOT_HELD);
    assert_result(rlk_acquire(&both.waiter, scaled(5000)), RLK_OK);
    rivals_close(&both);
}

static void test_release_survives_an_outage(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(outages) * COUNT_OF(sizes); i++)
        release_over(outages[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)]);
}

/* Longer than the TTL: given up when that has passed, and said then and not before. The waiter has
 * the lock by then, without any release. */
static void release_given_up(const outage *what, size_t count)
{
    int64_t start_ms;
    int64_t given_up_ms;
    int64_t left_ms;

    start(count, 700);
    rivals_hold(&both);
    begin(what);
    left_ms = rlk_remaining_ms(&both.lock);
    start_ms = support_now_ms();
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_result_event(client(), RLK_OP_RELEASE, RLK_UNKNOWN);
    assert_event(client(), RLK_EV_SETTLED, RLK_UNKNOWN);
    given_up_ms = support_now_ms() - start_ms;
    assert_between(given_up_ms, left_ms, scaled(700) + scaled(500));
    end(what);
    loop_quiet(client(), scaled(50));
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);

    assert_result(rlk_acquire(&both.waiter, scaled(5000)), RLK_OK);
    loop_quiet(client(), scaled(50)); /* and nothing that comes late takes it away */
    assert_result(rlk_check(&both.waiter), RLK_OK);
    rivals_close(&both);
}

static void test_release_is_given_up_when_the_ttl_has_passed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(outages); i++)
        release_given_up(outages[i], sizes[i % COUNT_OF(sizes)]);
}

/* Of three nodes one is enough to be without: nothing is left to be settled. */
static void test_release_with_one_of_three_away(void **state)
{
    (void)state;
    start(3, 60000);
    rivals_hold(&both);
    proxy_refuse(both.world.proxies[1], true);
    proxy_cut(both.world.proxies[1], PROXY_FIN);
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_result_event(client(), RLK_OP_RELEASE, RLK_OK);
    loop_quiet(client(), scaled(100));
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), 1);
    proxy_refuse(both.world.proxies[1], false);
    serve_until(client(),
                proxied_holding(&both.world, RIVALS_KEY, NULL) == 0); /* it goes on all the same */

    loop_quiet(client(), 20);
    rivals_close(&both);
}

/* Blocking calls end with the same, and a program that serves the client then pulls the event; one
 * that acquires again instead needs none. */
static void blocking_body(size_t count)
{
    rlk_event event;

    start(count, 60000);
    rivals_hold(&both);
    begin(&outage_refused);
    assert_result(rlk_release(&both.lock), RLK_UNKNOWN);
    end(&outage_refused);
    assert_event(client(), RLK_EV_SETTLED, RLK_OK);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);

    rivals_hold(&both);
    begin(&outage_refused);
    assert_result(rlk_release(&both.lock), RLK_UNKNOWN);
    end(&outage_refused);
    assert_result(rlk_acquire(&both.lock, scaled(5000)), RLK_OK);
    assert_true(proxied_holding(&both.world, RIVALS_KEY, token_of(&both.lock)) >=
                client()->client.quorum);
    while (loop_next_event(client(), &event, 30))
        support_fail("event %d", (int)event.type);
    assert_true(rlk_is_held(&both.lock));
    assert_result(rlk_release(&both.lock), RLK_OK);
    rivals_close(&both);
}

static void test_release_survives_in_blocking_programs(void **state)
{
    (void)state;
    on_each_size(blocking_body);
}

/* ---- Refused ---- */

static void demote(server *redis)
{
    server_do(redis, "REPLICAOF 127.0.0.1 1"); /* nobody listens there: the data stays */
}

static void promote(server *redis)
{
    server_do(redis, "REPLICAOF NO ONE");
}

/* The server refuses it for now: an error, and settled when it writes again. */
static void refused_body(size_t count)
{
    rlk_event event;

    start(count, 60000);
    rivals_hold(&both);
    nodes_each(&both.world.set, demote);
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_true(loop_next_event(client(), &event, scaled(5000)));
    assert_int_equal(event.operation, RLK_OP_RELEASE);
    if (event.result != RLK_UNKNOWN) /* a try was under way */
        assert_result(event.result, RLK_E_READONLY);
    loop_quiet(client(), scaled(100));
    nodes_each(&both.world.set, promote);
    assert_event(client(), RLK_EV_SETTLED, RLK_OK);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);

    rivals_close(&both);
}

static void test_release_that_was_refused_is_settled(void **state)
{
    (void)state;
    on_each_size(refused_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_release_survives_an_outage),
        support_test(test_release_is_given_up_when_the_ttl_has_passed),
        support_test(test_release_with_one_of_three_away),
        support_test(test_release_survives_in_blocking_programs),
        support_test(test_release_that_was_refused_is_settled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
