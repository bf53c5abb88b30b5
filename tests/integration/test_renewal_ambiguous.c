/* SPDX-License-Identifier: MIT
 *
 * What renewals on real servers never do: shorten a lease, confirm what was not answered, outlast
 * the cap of the hold time, revive what is over; and that one comes in time where somebody else
 * has shortened the lease. By the faults' numbers of docs/correctness.md.
 */
#include "clock.h"
#include "proxied.h"

#include <string.h>

#define KEY "foobar"

static proxied world;
static rlk_lock lock;
static test_clock clock_of_client;

static const size_t sizes[] = {1, 3};

static rlk_client *client(void)
{
    return &world.set.client;
}

/* Whose clock the test moves, and whose connections wait for long. */
static rlk_options patient_options(void)
{
    static const test_clock real = TEST_CLOCK_REAL;
    rlk_options options = proxied_options();
    clock_of_client = real;
    options.env = test_clock_env(&clock_of_client);
    options.response_ms = 300000;
    options.operation_ms = 300000;
    return options;
}

static void start(size_t count, const server_config *servers, const rlk_lock_config *config,
                  const rlk_options *options)
{
    proxied_start(&world, count, true, servers, options);
    proxied_lock_init(&world, &lock, KEY, config);
    proxied_acquire(&world, &lock, KEY);
    proxied_calm(&world);
}

static void stop(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
    support_teardown(NULL);
}

static int64_t pttl(size_t node)
{
    return server_integer(world.set.servers[node], "PTTL " KEY);
}

/* The least PTTL of all nodes but the `spare` lowest: what a quorum has. */
static int64_t quorum_pttl(void)
{
    int64_t best[RLK_MAX_NODES];
    size_t count = world.set.count;
    size_t i;
    size_t k;
    for (i = 0; i < count; i++) {
        int64_t ttl_ms = pttl(i);
        for (k = i; k > 0 && best[k - 1] < ttl_ms; k--)
            best[k] = best[k - 1];
        best[k] = ttl_ms;
    }
    return best[client()->quorum - 1];
}

/* ---- 70: an extended lease ---- */

/* Nothing is due while the lease is longer than the TTL, and nothing is sent. */
static void extended_body(size_t count)
{
    rlk_lock_config config = config_renewing(600);
    rlk_event event;
    int scripts;
    start(count, NULL, &config, NULL);
    assert_result(rlk_extend(&lock, scaled(60000)), RLK_OK);
    proxied_calm(&world);
    while (rlk_client_next_event(client(), &event)) /* the machine was slow */
        assert_int_equal(event.type, RLK_EV_RENEWED);
    scripts = proxied_count(&world, "EVALSHA");
    loop_quiet(client(), 2 * config.ttl_ms);
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
    rlk_lock_config config = config_renewing(1200);
    size_t i;
    start(count, NULL, &config, NULL);
    proxied_hold(&world, PROXY_TO_SERVER);
    for (i = 0; i < count; i++) /* the renewal */
        serve_until(client(), proxy_held(world.proxies[i], PROXY_TO_SERVER) > 0);
    assert_result(rlk_extend_start(&lock, scaled(60000)), RLK_PENDING);
    loop_quiet(client(), 20);
    proxied_release(&world);
    assert_event(client(), RLK_EV_EXTENDED, RLK_OK);
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
    rlk_lock_config config = config_renewing(1200);
    rlk_event event;
    start(count, &server_unfenced, &config, NULL);
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

/* Repeated on the next connection, to the same target, and told once. */
static void renewal_lost_on_the_way(size_t count, proxy_action action, const server_config *servers)
{
    rlk_lock_config config = config_renewing(1200);
    int64_t before_ms;
    int scripts;
    start(count, servers, &config, NULL);
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

/* ---- 64: CLIENT PAUSE ---- */

/* Writes wait: the lease is over before they go on. Then the renewal raises what the undo behind it
 * deletes. */
static void paused_body(size_t count)
{
    rlk_lock_config config = config_renewing(900);
    rlk_options options = proxied_options();
    rlk_event event;
    size_t i;
    options.response_ms = scaled(10000);
    start(count, NULL, &config, &options);
    for (i = 0; i < count; i++)
        server_do(world.set.servers[i], "CLIENT PAUSE 600000 WRITE");
    do {
        assert_true(loop_next_event(client(), &event, scaled(10000)));
        if (event.type != RLK_EV_LOST)
            assert_int_equal(event.type, RLK_EV_RENEW_UNKNOWN);
    } while (event.type != RLK_EV_LOST);
    for (i = 0; i < count; i++)
        server_do(world.set.servers[i], "CLIENT UNPAUSE");
    serve_until(client(), proxied_holding(&world, KEY, NULL) == 0);
    proxied_calm(&world);
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(proxied_accepted(&world), (int)count);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_fault_64_client_pause_over_renewals(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        paused_body(sizes[i]);
}

/* ---- 86: an OK that is read too late ---- */

/* The renewal is answered, and the answer there to be read, when the deadline has come. */
static void late_ok_body(size_t count, bool tick_first)
{
    rlk_lock_config config = config_renewing(30000);
    rlk_options options = patient_options();
    rlk_event event;
    int scripts;
    start(count, NULL, &config, &options);
    scripts = proxied_count(&world, "EVALSHA");
    proxied_hold(&world, PROXY_TO_CLIENT);
    test_clock_jump(&clock_of_client, config.ttl_ms / 2); /* due */
    serve_until(client(), proxied_count(&world, "EVALSHA") == scripts + (int)count);
    wait_until(proxy_held(world.proxies[count - 1], PROXY_TO_CLIENT) > 0);
    if (!tick_first)
        proxied_release(&world);
    support_sleep_ms(20);
    test_clock_jump(&clock_of_client, config.ttl_ms / 2);
    assert_false(rlk_is_held(&lock));
    assert_event(client(), RLK_EV_LOST, RLK_LOST);
    if (tick_first)
        proxied_release(&world);
    while (loop_next_event(client(), &event, 30))
        support_fail("event %d after LOST", (int)event.type);
    assert_false(rlk_is_held(&lock));
    serve_until(client(), proxied_holding(&world, KEY, NULL) == 0); /* cleaned up */
    assert_result(rlk_extend(&lock, 1000), RLK_LOST);
    stop();
}

static void test_fault_86_renewal_answered_after_the_deadline(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        late_ok_body(sizes[i], false);
        late_ok_body(sizes[i], true);
    }
}

/* ---- The cap of the hold time ---- */

#define CAP_TTL_MS 600
#define CAP_MS     1500

static void assert_lost_at_the_cap(int64_t acquired_ms)
{
    int64_t held_ms = support_now_ms() - acquired_ms;
    assert_between(held_ms, scaled(CAP_MS) - scaled(CAP_MS) / 50 - 10,
                   scaled(CAP_MS) + scaled(150));
    assert_false(rlk_is_held(&lock));
}

static void capped_body(size_t count)
{
    rlk_lock_config config = config_renewing(CAP_TTL_MS);
    unsigned renewed = 0;
    int64_t acquired_ms;
    rlk_event event;
    config.max_hold_ms = scaled(CAP_MS);
    start(count, NULL, &config, NULL);
    acquired_ms = support_now_ms() - rlk_held_ms(&lock);
    for (;;) {
        assert_true(loop_next_event(client(), &event, scaled(5000)));
        if (event.type == RLK_EV_LOST)
            break;
        assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_true(rlk_remaining_ms(&lock) <= scaled(CAP_MS) - (support_now_ms() - acquired_ms));
        assert_true(support_now_ms() - acquired_ms < scaled(2 * CAP_MS));
        renewed++;
    }
    assert_between(renewed, 3, 8);
    assert_lost_at_the_cap(acquired_ms);
    /* others have it as soon as that */
    serve_until(client(), proxied_holding(&world, KEY, NULL) == 0);
    assert_between(support_now_ms() - acquired_ms, 0, scaled(CAP_MS + 300));
    loop_quiet(client(), config.ttl_ms / 2);
    /* and the cap of the next time counts anew */
    assert_result(rlk_acquire(&lock, scaled(5000)), RLK_OK);
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_renewal_ends_at_the_cap(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        capped_body(sizes[i]);
}

static void test_renewal_by_keep_ends_at_the_cap(void **state)
{
    rlk_lock_config config = config_renewing(CAP_TTL_MS);
    rlk_result result = RLK_OK;
    int64_t acquired_ms;
    int scripts;
    (void)state;
    config.auto_renew = false;
    config.max_hold_ms = scaled(CAP_MS);
    start(1, NULL, &config, NULL);
    scripts = proxied_count(&world, "EVALSHA");
    acquired_ms = support_now_ms() - rlk_held_ms(&lock);
    while (result == RLK_OK && support_now_ms() - acquired_ms < scaled(2 * CAP_MS)) {
        result = rlk_keep(&lock);
        support_sleep_ms(2);
    }
    assert_result(result, RLK_LOST);
    assert_lost_at_the_cap(acquired_ms);
    /* at the cap it is not asked for again and again */
    assert_between(proxied_count(&world, "EVALSHA") - scripts, 3, 9);
    stop();
}

/* ---- Somebody has shortened it ---- */

/* The key's TTL was cut by hand: the next renewal is due earlier, and comes earlier. */
static void shortened_body(size_t count, bool kept)
{
    rlk_lock_config config = config_renewing(30000);
    int64_t left_ms = scaled(3000);
    int scripts;
    size_t i;
    config.auto_renew = !kept;
    start(count, NULL, &config, NULL);
    scripts = proxied_count(&world, "EVALSHA");
    for (i = 0; i < count; i++)
        assert_int_equal(
            server_integer(world.set.servers[i], "PEXPIRE " KEY " %lld", (long long)left_ms), 1);
    if (kept) {
        /* looks, and renews at the latest at the call after that */
        wait_until(rlk_keep(&lock) == RLK_OK && rlk_remaining_ms(&lock) > scaled(20000) &&
                   proxied_count(&world, "EVALSHA") >= scripts + 2);
    } else {
        assert_event(client(), RLK_EV_RENEWED, RLK_OK);
        assert_true(rlk_remaining_ms(&lock) > scaled(20000));
    }
    assert_true(rlk_is_held(&lock));
    assert_true(quorum_pttl() > scaled(20000));
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_renewal_of_a_lease_that_was_shortened(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        shortened_body(sizes[i], false);
        shortened_body(sizes[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_70_renewal_leaves_an_extended_lease),
        support_test(test_fault_68_reply_to_a_renewal_is_lost),
        support_test(test_fault_64_client_pause_over_renewals),
        support_test(test_fault_86_renewal_answered_after_the_deadline),
        support_test(test_renewal_ends_at_the_cap),
        support_test(test_renewal_by_keep_ends_at_the_cap),
        support_test(test_renewal_of_a_lease_that_was_shortened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
