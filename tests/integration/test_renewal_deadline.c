/* SPDX-License-Identifier: MIT
 *
 * What renewals never do (rule 7): revive what is over, and outlast the cap of the hold time. And
 * one comes in time where somebody else has shortened the lease.
 */
#include "renewal.h"

static test_clock clock_of_client;

/* ---- 64: CLIENT PAUSE ---- */

/* Writes wait: the lease is over before they go on. Then the renewal raises what the undo behind it
 * deletes. */
static void paused_body(size_t count)
{
    rlk_lock_config config = config_renewing(900);
    rlk_posix_options options = proxied_options();
    rlk_event event;
    size_t i;

    options.response_timeout_ms = scaled(10000);
    start_with(count, NULL, &config, &options);
    for (i = 0; i < count; i++)
        server_do(world.set.servers[i], "CLIENT PAUSE 600000 WRITE");
    do {
        assert_true(loop_next_event(client(), &event, scaled(10000)));
        if (event.type != RLK_EV_LOST)
            assert_true(support_renewal_unknown(&event));
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
    rlk_posix_options options = proxied_patient_options(&clock_of_client);
    rlk_event event;
    int scripts;

    start_with(count, NULL, &config, &options);
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

#define CAP_MS 1800

static void assert_lost_at_the_cap(int64_t acquired_ms)
{
    int64_t held_ms = support_now_ms() - acquired_ms;

    assert_between(held_ms, scaled(CAP_MS) - scaled(CAP_MS) / 50 - 10,
                   scaled(CAP_MS) + scaled(300));
    assert_false(rlk_is_held(&lock));
}

static void capped_body(size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    unsigned renewed = 0;
    int64_t acquired_ms;
    rlk_event event;

    config.max_hold_ms = scaled(CAP_MS);
    start_with(count, NULL, &config, NULL);
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
    assert_between(renewed, 2, 8);
    assert_lost_at_the_cap(acquired_ms);
    /* others have it as soon as that */
    serve_until(client(), proxied_holding(&world, KEY, NULL) == 0);

    assert_between(support_now_ms() - acquired_ms, 0, scaled(CAP_MS + 600));
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

/* ---- Somebody has shortened it ---- */

/* The key's TTL was cut by hand: the next renewal is due earlier, and comes earlier. */
static void shortened_body(size_t count, bool kept)
{
    rlk_lock_config config = config_renewing(30000);
    int64_t left_ms = scaled(3000);
    int scripts;
    size_t i;

    config.auto_renew = !kept;
    start_with(count, NULL, &config, NULL);
    assert_result(rlk_check(&lock), RLK_OK); /* which makes the servers notify */
    proxied_calm(&world);
    scripts = proxied_count(&world, "EVALSHA");
    for (i = 0; i < count; i++)
        assert_int_equal(
            server_integer(world.set.servers[i], "PEXPIRE " KEY " %lld", (long long)left_ms), 1);
    if (kept) {
        /* compares, and renews at the latest at the call after that */
        wait_until(rlk_keep_alive(&lock) == RLK_OK && rlk_remaining_ms(&lock) > scaled(20000) &&
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
        support_test(test_fault_64_client_pause_over_renewals),
        support_test(test_fault_86_renewal_answered_after_the_deadline),
        support_test(test_renewal_ends_at_the_cap),
        support_test(test_renewal_of_a_lease_that_was_shortened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
