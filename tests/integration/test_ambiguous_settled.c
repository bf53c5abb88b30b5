/* SPDX-License-Identifier: MIT
 *
 * A release, and the undo of an acquire, whose connection is lost on real servers: it is tried
 * again behind its result, until it is done or the TTL has passed, and RLK_EV_SETTLED says which.
 * With a renewal under way, and with others that wait.
 */
#include "rivals.h"

#include <string.h>

static rivals both;
static rlk_lock behind; /* of the holder's client, for the same key */

static const size_t sizes[] = {1, 3};

static rlk_client *client(void)
{
    return &both.world.set.client;
}

static void start_with(size_t count, int64_t ttl_ms, const server_config *servers)
{
    rlk_lock_config config = config_renewing(ttl_ms);
    rlk_options options = proxied_options();
    options.operation_ms = scaled(200);
    options.settle_ms = scaled(200);
    options.response_ms = scaled(150);
    config.node_ms = scaled(100);
    config.safety_ms = 3600000;
    rivals_open(&both, count, RIVALS_PAST_PROXIES, servers, &options, &config);
    assert_result(rlk_lock_init(&behind, client(), RIVALS_KEY, &config), RLK_OK);
}

static void start(size_t count, int64_t ttl_ms)
{
    start_with(count, ttl_ms, NULL);
}

static void on_each_size(void (*body)(size_t count))
{
    size_t i;
    for (i = 0; i < COUNT_OF(sizes); i++)
        body(sizes[i]);
}

/* ---- Outages ---- */

static const outage *const outages[] = {&outage_stopped, &outage_swallowed, &outage_refused,
                                        &outage_killed, &outage_emptied};

static void begin(const outage *what)
{
    outage_begin(what, &both.world, 0, both.world.set.count);
}

static void end(const outage *what)
{
    outage_end(what, &both.world, 0, both.world.set.count);
}

/* ---- It comes to an end ---- */

/* Longer than the call tries, shorter than the TTL: done when the outage is over, at once. */
static void release_over(const outage *what, size_t count)
{
    start(count, 60000);
    rivals_hold(&both);
    begin(what);
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_false(rlk_is_held(&both.lock));
    assert_event(client(), RLK_EV_UNKNOWN, RLK_UNKNOWN);
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

/* Longer than the TTL: given up when that has passed, and said then and not before. Whoever waits
 * has the lock by then, without any release. */
static void release_given_up(const outage *what, size_t count)
{
    int64_t start_ms;
    int64_t given_up_ms;
    int64_t left_ms;
    start(count, 1000);
    rivals_hold(&both);
    begin(what);
    left_ms = rlk_remaining_ms(&both.lock);
    start_ms = support_now_ms();
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_event(client(), RLK_EV_UNKNOWN, RLK_UNKNOWN);
    assert_event(client(), RLK_EV_SETTLED, RLK_UNKNOWN);
    given_up_ms = support_now_ms() - start_ms;
    assert_between(given_up_ms, left_ms, scaled(1000) + scaled(200));
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
    assert_event(client(), RLK_EV_RELEASED, RLK_OK);
    loop_quiet(client(), scaled(100));
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), 1);
    proxy_refuse(both.world.proxies[1], false);
    serve_until(client(),
                proxied_holding(&both.world, RIVALS_KEY, NULL) == 0); /* it goes on all the same */
    loop_quiet(client(), 20);
    rivals_close(&both);
}

/* Blocking calls end with the same, and the event is there for whoever serves the client then; one
 * who acquires again instead needs none. */
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
    assert_true(proxied_holding(&both.world, RIVALS_KEY, token_of(&both.lock)) >= client()->quorum);
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

/* ---- A renewal is under way ---- */

/* State decision: not held from the call on; the renewal's reply is ignored, and what it raised is
 * deleted behind it. */
static void over_a_renewal(size_t count)
{
    size_t i;
    start(count, 1500);
    rivals_hold(&both);
    proxied_hold(&both.world, PROXY_TO_SERVER);
    for (i = 0; i < count; i++)
        serve_until(client(), proxy_held(both.world.proxies[i], PROXY_TO_SERVER) > 0);
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_false(rlk_is_held(&both.lock));
    proxied_release(&both.world);
    assert_event(client(), RLK_EV_RELEASED, RLK_OK);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);
    loop_quiet(client(), scaled(600)); /* no RENEWED, and none is due any more */
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), 0);
    rivals_close(&both);
}

static void test_release_over_a_renewal_under_way(void **state)
{
    (void)state;
    on_each_size(over_a_renewal);
}

/* Fault 65: the connection is lost with the renewal and the release on it; they arrive later, when
 * another has the key: neither does anything to it. */
static void both_arrive_late(size_t count, const server_config *servers)
{
    rlk_event event;
    start_with(count, 1500, servers);
    rivals_hold(&both);
    proxied_on(&both.world, "EVALSHA", PROXY_CUT_LATE);
    serve_until(client(), proxied_count(&both.world, "EVALSHA") >= (int)count);
    assert_result(rlk_release_start(&both.lock), RLK_PENDING);
    assert_true(loop_next_event(client(), &event, scaled(5000)));
    assert_int_equal(event.operation, RLK_OP_RELEASE);
    if (event.result != RLK_OK) /* a release that reached it before its reply was lost */
        assert_result(event.result, RLK_GONE);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);
    assert_result(rlk_acquire(&both.waiter, scaled(5000)), RLK_OK);
    proxied_release(&both.world);
    proxied_calm(&both.world);
    assert_true(proxied_holding(&both.world, RIVALS_KEY, token_of(&both.waiter)) >=
                client()->quorum);
    assert_result(rlk_check(&both.waiter), RLK_OK);
    loop_quiet(client(), 20);
    rivals_close(&both);
}

static void test_fault_65_renewal_and_release_arrive_late(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        both_arrive_late(sizes[i], NULL);
        both_arrive_late(sizes[i], &server_unfenced);
    }
}

/* ---- Others wait ---- */

/* Of the same client, which has no other connection either, and of another one. */
static void handed_over_after(size_t count, bool same_client)
{
    rlk_client *waiting = same_client ? client() : &both.others.client;
    rlk_lock *next = same_client ? &behind : &both.waiter;
    start(count, 60000);
    rivals_hold(&both);
    assert_result(rlk_acquire_start(next, RLK_FOREVER), RLK_PENDING);
    loop_quiet(waiting, scaled(300));
    begin(&outage_refused);
    assert_result(rlk_release(&both.lock), RLK_UNKNOWN);
    loop_quiet(waiting, 20);
    end(&outage_refused);
    if (same_client) {
        bool settled = false;
        bool acquired = false;
        while (!settled || !acquired) {
            rlk_event event;
            if (!loop_next_event(client(), &event, scaled(5000)))
                support_fail("no event came");
            if (event.lock == &both.lock) {
                assert_int_equal(event.type, RLK_EV_SETTLED);
                assert_result(event.result, RLK_OK);
                settled = true;
            } else {
                assert_int_equal(event.type, RLK_EV_ACQUIRED);
                acquired = true;
            }
        }
    } else {
        assert_event(client(), RLK_EV_SETTLED, RLK_OK);
        assert_event(waiting, RLK_EV_ACQUIRED, RLK_OK);
    }
    assert_result(rlk_release(next), RLK_OK);
    rivals_close(&both);
}

static void test_release_that_survived_hands_over(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        handed_over_after(sizes[i], true);
        handed_over_after(sizes[i], false);
    }
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

/* ---- The undo of an acquire ---- */

/* The servers have our token, and nobody has told us. Given up, it can't be told either whether it
 * is there: until the outage is over, when it is deleted. */
static void acquire_over(const outage *what, size_t count)
{
    start(count, 60000);
    proxied_hold(&both.world, PROXY_TO_CLIENT);
    assert_result(rlk_acquire_start(&both.lock, RLK_FOREVER), RLK_PENDING);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, token_of(&both.lock)) == count);
    begin(what);
    assert_result(rlk_cancel(&both.lock), RLK_OK);
    assert_event(client(), RLK_EV_UNKNOWN, RLK_UNKNOWN);
    loop_quiet(client(), scaled(50));
    end(what);
    assert_event(client(), RLK_EV_SETTLED, RLK_OK);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);
    loop_quiet(client(), 20);
    assert_false(rlk_is_held(&both.lock));
    rivals_close(&both);
}

static void test_acquire_that_was_unknown_is_settled(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(outages) * COUNT_OF(sizes); i++)
        acquire_over(outages[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)]);
}

/* Fault 34: without a fence nobody can know: that is said, and the orphan that comes is one. */
static void orphan(size_t count)
{
    rlk_event event;
    start_with(count, 60000, &server_unfenced);
    proxied_on(&both.world, "SET", PROXY_CUT_LATE);
    assert_result(rlk_acquire_start(&both.lock, RLK_TRY), RLK_PENDING);
    assert_event(client(), RLK_EV_UNKNOWN, RLK_UNKNOWN);
    assert_event(client(), RLK_EV_SETTLED, RLK_UNKNOWN);
    while (loop_next_event(client(), &event, 30))
        support_fail("event %d", (int)event.type);
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), 0);
    proxied_release(&both.world);
    assert_true(proxied_holding(&both.world, RIVALS_KEY, NULL) >= client()->quorum);
    rivals_close(&both);
}

static void test_fault_34_possible_orphan_is_never_settled(void **state)
{
    (void)state;
    on_each_size(orphan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_release_survives_an_outage),
        support_test(test_release_is_given_up_when_the_ttl_has_passed),
        support_test(test_release_with_one_of_three_away),
        support_test(test_release_survives_in_blocking_programs),
        support_test(test_release_over_a_renewal_under_way),
        support_test(test_fault_65_renewal_and_release_arrive_late),
        support_test(test_release_that_survived_hands_over),
        support_test(test_release_that_was_refused_is_settled),
        support_test(test_acquire_that_was_unknown_is_settled),
        support_test(test_fault_34_possible_orphan_is_never_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
