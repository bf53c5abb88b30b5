/* SPDX-License-Identifier: MIT
 *
 * Renewals that were sent and not answered (fault 68), and those that arrive around an extend
 * (fault 70): a lease is never shortened, and nothing is confirmed that was not answered.
 */
#include "renewal.h"

/* ---- 70: an extended lease ---- */

/* Nothing is due while the lease is longer than the TTL, and nothing is sent. */
static void extended_body(size_t count)
{
    rlk_lock_config config = config_renewing(600);
    rlk_event event;
    int scripts;

    start_with(count, NULL, &config, NULL);
    assert_result(rlk_extend(&lock, scaled(60000)), RLK_OK);
    proxied_calm(&world);
    while (rlk_client_next_event(&client()->client, &event)) /* the machine was slow */
        assert_int_equal(event.type, RLK_EV_RENEWED);
    scripts = proxied_count(&world, "EVALSHA");
    loop_quiet(client(), config.ttl_ms); /* three would come */
    assert_int_equal(proxied_count(&world, "EVALSHA"), scripts);
    assert_true(rlk_remaining_ms(&lock) > scaled(50000));
    assert_true(quorum_pttl() > scaled(50000));
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* The renewal has left, but not arrived, when the extend is called; and what was abandoned is
 * executed all the same, before it. */
static void extended_over_a_renewal_body(size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    size_t i;

    start_with(count, NULL, &config, NULL);
    proxied_hold(&world, PROXY_TO_SERVER);
    for (i = 0; i < count; i++) /* the renewal */
        serve_until(client(), proxy_held(world.proxies[i], PROXY_TO_SERVER) > 0);

    assert_result(rlk_extend_start(&lock, scaled(60000)), RLK_PENDING);
    loop_quiet(client(), 20);
    proxied_release(&world);
    assert_result_event(client(), RLK_OP_EXTEND, RLK_OK);
    proxied_calm(&world);
    assert_true(rlk_remaining_ms(&lock) > scaled(50000));
    assert_true(quorum_pttl() > scaled(50000));
    loop_quiet(client(), 20); /* no event of the renewal, which has no result of its own */
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* The renewal arrives from a lost connection, which nobody could fence, when the extend is done. */
static void renewal_that_arrives_late_body(size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    rlk_event event;

    start_with(count, &server_unfenced, &config, NULL);
    proxied_on(&world, "EVALSHA", PROXY_CUT_LATE);
    serve_until(client(), proxied_count(&world, "EVALSHA") >= (int)count);

    assert_result(rlk_extend(&lock, scaled(60000)), RLK_OK);
    proxied_calm(&world);
    assert_true(quorum_pttl() > scaled(50000));
    proxied_release(&world); /* there it is */
    assert_true(quorum_pttl() > scaled(50000));
    assert_true(rlk_remaining_ms(&lock) > scaled(50000));
    while (loop_next_event(client(), &event, 20)) /* it may have been repeated before the extend */
        assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_fault_70_renewal_leaves_an_extended_lease(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        extended_body(sizes[i]);
        extended_over_a_renewal_body(sizes[i]);
        renewal_that_arrives_late_body(sizes[i]);
    }
}

/* ---- 68: its reply is lost ---- */

/* Repeated on the next connection, to the same target, and reported once. */
static void renewal_lost_on_the_way(size_t count, proxy_action action, const server_config *servers)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    int64_t before_ms;
    int scripts;

    start_with(count, servers, &config, NULL);
    scripts = proxied_count(&world, "EVALSHA");
    proxied_on(&world, "EVALSHA", action);
    serve_until(client(), proxied_count(&world, "EVALSHA") > scripts);

    before_ms = rlk_remaining_ms(&lock);
    assert_between(before_ms, config.ttl_ms / 3, config.ttl_ms * 2 / 3 + 1);
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_true(rlk_remaining_ms(&lock) > before_ms);
    assert_true(rlk_remaining_ms(&lock) <= quorum_pttl() + scaled(50));
    assert_true(proxied_accepted(&world) > (int)count);
    proxied_calm(&world);
    proxied_release(&world);
    assert_between(quorum_pttl(), config.ttl_ms / 3, config.ttl_ms);
    assert_true(rlk_remaining_ms(&lock) <= quorum_pttl() + scaled(50));
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_fault_68_reply_to_a_renewal_is_lost(void **state)
{
    static const proxy_action actions[] = {PROXY_CUT_REPLY, PROXY_CUT_BEFORE, PROXY_CUT_LATE};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(actions) * COUNT_OF(sizes); i++) {
        proxy_action action = actions[i / COUNT_OF(sizes)];
        size_t count = sizes[i % COUNT_OF(sizes)];

        renewal_lost_on_the_way(count, action, NULL);
        if (action == PROXY_CUT_LATE) /* where a fence makes a difference */
            renewal_lost_on_the_way(count, action, &server_unfenced);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_70_renewal_leaves_an_extended_lease),
        support_test(test_fault_68_reply_to_a_renewal_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
