/* SPDX-License-Identifier: MIT
 *
 * What else is settled behind its result (test_ambiguous_settled.c): a release with a renewal under
 * way, or while others wait; and the undo of an acquire.
 */
#include "settled.h"

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
    assert_result_event(client(), RLK_OP_RELEASE, RLK_OK);
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
                client()->client.quorum);
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
    rlk_posix_client *waiting = same_client ? client() : &both.others.posix;
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

/* ---- The undo of an acquire ---- */

/* The servers have our token, and we got no answer. Given up, it is not known either whether the
 * token is there: until the outage is over, when it is deleted. */
static void acquire_over(const outage *what, size_t count)
{
    start(count, 60000);
    proxied_hold(&both.world, PROXY_TO_CLIENT);
    assert_result(rlk_acquire_start(&both.lock, RLK_FOREVER), RLK_PENDING);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, token_of(&both.lock)) == count);

    begin(what);
    assert_result(rlk_cancel(&both.lock), RLK_OK);
    assert_result_event(client(), RLK_OP_ACQUIRE, RLK_UNKNOWN);
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
    assert_result_event(client(), RLK_OP_ACQUIRE, RLK_UNKNOWN);
    assert_event(client(), RLK_EV_SETTLED, RLK_UNKNOWN);
    while (loop_next_event(client(), &event, 30))
        support_fail("event %d", (int)event.type);
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), 0);
    proxied_release(&both.world);
    assert_true(proxied_holding(&both.world, RIVALS_KEY, NULL) >= client()->client.quorum);
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
        support_test(test_release_over_a_renewal_under_way),
        support_test(test_fault_65_renewal_and_release_arrive_late),
        support_test(test_release_that_survived_hands_over),
        support_test(test_acquire_that_was_unknown_is_settled),
        support_test(test_fault_34_possible_orphan_is_never_settled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
