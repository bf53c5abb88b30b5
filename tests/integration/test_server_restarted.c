/* SPDX-License-Identifier: MIT
 *
 * Servers that are restarted, or replaced, under a lock that renews itself and one that waits: with
 * their data, with older data, without any. What a restored key may not do (rule 8), and that a
 * restarted server is told from the one before (rule 5).
 */
#include "rivals.h"

#include <string.h>

static rivals both;

static const size_t sizes[] = {1, 3};

static rlk_client *client(void)
{
    return &both.world.set.client;
}

static void start(size_t count, int64_t ttl_ms)
{
    rlk_lock_config config = config_renewing(ttl_ms);
    config.safety_ms = 3600000; /* no waiter looks by itself */
    rivals_open(&both, count, RIVALS_PAST_PROXIES, NULL, NULL, &config);
}

static bool is_asked(size_t times)
{
    size_t i;
    for (i = 0; i < both.world.set.count; i++)
        if (server_calls(both.world.set.servers[i], "pttl") < (int64_t)times)
            return false;
    return true;
}

/* Waits, on all servers that answer. */
static void begin_to_wait(void)
{
    size_t i;
    for (i = 0; i < both.world.set.count; i++)
        server_do(both.world.set.servers[i], "CONFIG RESETSTAT");
    assert_result(rlk_acquire_start(&both.waiter, RLK_FOREVER), RLK_PENDING);
    serve_until(&both.others.client, is_asked(1));
    loop_quiet(&both.others.client, 5);
}

static void restart(bool keep_data)
{
    size_t i;
    for (i = 0; i < both.world.set.count; i++)
        server_restart(both.world.set.servers[i], keep_data);
}

static int64_t kills(void)
{
    int64_t sum = 0;
    size_t i;
    for (i = 0; i < both.world.set.count; i++)
        sum += server_calls(both.world.set.servers[i], "client|kill");
    return sum;
}

/* Serves both clients until one of the second has an event. The first may have none but
 * renewals. */
static rlk_event others_event(void)
{
    int64_t until = support_now_ms() + scaled(10000);
    rlk_event event;
    while (!loop_next_event(&both.others.client, &event, 2)) {
        rlk_event mine;
        if (support_now_ms() > until)
            support_fail("no event came");
        while (loop_next_event(client(), &mine, 2))
            assert_int_equal(mine.type, RLK_EV_RENEWED);
    }
    return event;
}

/* ---- Without data ---- */

/* Fault 20: LOST as soon as the server is back, long before a renewal is due; whoever waits has it.
 */
static void without_data(size_t count)
{
    int64_t start_ms;
    start(count, 30000);
    rivals_hold(&both);
    begin_to_wait();
    restart(false);
    start_ms = support_now_ms();
    assert_true(rlk_is_held(&both.lock)); /* nobody has told */
    assert_event(client(), RLK_EV_LOST, RLK_LOST);
    assert_between(support_now_ms() - start_ms, 0, scaled(1500));
    assert_int_equal(others_event().type, RLK_EV_ACQUIRED);
    assert_false(rlk_is_held(&both.lock));
    loop_quiet(client(), 20);
    assert_true(proxied_holding(&both.world, RIVALS_KEY, token_of(&both.waiter)) >=
                client()->quorum);
    assert_result(rlk_check(&both.waiter), RLK_OK);
    assert_int_equal(kills(), 0); /* fault 71 */
    assert_result(rlk_release(&both.waiter), RLK_OK);
    rivals_close(&both);
}

static void test_fault_20_restart_without_data_under_renewals(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        without_data(sizes[i]);
}

/* The same where it is not told of: by the next renewal. */
static void test_fault_20_restart_without_data_and_tracking(void **state)
{
    rlk_options options = proxied_options();
    rlk_lock_config config = config_renewing(900);
    rlk_event event;
    (void)state;
    options.no_tracking = true;
    proxied_start(&both.world, 1, false, NULL, &options);
    assert_result(rlk_lock_init(&both.lock, client(), RIVALS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire(&both.lock, RLK_TRY), RLK_OK);
    restart(false);
    do {
        if (!loop_next_event(client(), &event, scaled(5000)))
            support_fail("no event came");
        assert_true(event.type == RLK_EV_RENEW_REFUSED || event.type == RLK_EV_RENEW_UNKNOWN ||
                    event.type == RLK_EV_LOST);
    } while (event.type != RLK_EV_LOST);
    assert_null(server_text(both.world.set.servers[0], "GET " RIVALS_KEY));
    proxied_close(&both.world);
}

/* ---- With the data ---- */

/* Neither the holder nor the waiter is disturbed, over several restarts; then it is handed over. */
static void with_data(size_t count)
{
    rlk_event event;
    int round;
    start(count, 4000);
    rivals_hold(&both);
    begin_to_wait();
    for (round = 0; round < 3; round++) {
        int accepted = proxied_accepted(&both.world);
        nodes_each(&both.world.set, server_save);
        restart(true);
        serve_until(client(), (loop_quiet(&both.others.client, 1),
                               proxied_accepted(&both.world) >= accepted + (int)count));
        while (loop_next_event(client(), &event, 30))
            assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_true(rlk_is_held(&both.lock));
        serve_until(&both.others.client, is_asked(1)); /* it waits there again */
        loop_quiet(&both.others.client, 1);
    }
    assert_int_equal(kills(), 0);
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_true(rlk_is_held(&both.lock));
    assert_result(rlk_release(&both.lock), RLK_OK);
    event = others_event();
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_result(rlk_release(&both.waiter), RLK_OK);
    rivals_close(&both);
}

static void test_loss_by_restarts_with_the_data(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        with_data(sizes[i]);
}

/* A renewal is under way when the server dies: repeated at the next one. */
static void killed_in_a_renewal(size_t count, bool keep_data)
{
    rlk_event event;
    size_t i;
    start(count, 2400);
    rivals_hold(&both);
    nodes_each(&both.world.set, server_save);
    for (i = 0; i < count; i++)
        proxy_hold(both.world.proxies[i], PROXY_TO_SERVER);
    for (i = 0; i < count; i++)
        serve_until(client(), proxy_held(both.world.proxies[i], PROXY_TO_SERVER) > 0);
    restart(keep_data);
    do {
        if (!loop_next_event(client(), &event, scaled(8000)))
            support_fail("no event came");
    } while (event.type == RLK_EV_RENEW_UNKNOWN);
    if (keep_data) {
        assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_true(rlk_is_held(&both.lock));
        assert_true(rlk_remaining_ms(&both.lock) <= scaled(2400));
        assert_event(client(), RLK_EV_RENEWED, RLK_OK);
        assert_result(rlk_release(&both.lock), RLK_OK);
    } else {
        if (event.type == RLK_EV_RENEW_REFUSED) {
            assert_result(event.result, RLK_NOT_OWNER);
            assert_true(loop_next_event(client(), &event, scaled(8000)));
        }
        assert_int_equal(event.type, RLK_EV_LOST);
    }
    assert_int_equal(kills(), 0); /* another instance: nothing of the old one can come */
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), 0);
    rivals_close(&both);
}

static void test_fault_71_killed_in_a_renewal(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        killed_in_a_renewal(sizes[i], true);
        killed_in_a_renewal(sizes[i], false);
    }
}

/* ---- With older data ---- */

/* Fault 74: a shorter TTL is back. The lease is not longer than what is there; the renewal that is
 * due by that comes at once, and nothing is lost. */
static void older_ttl(size_t count)
{
    size_t i;
    start(count, 30000);
    rivals_hold(&both);
    for (i = 0; i < count; i++) /* what the snapshot has */
        assert_int_equal(server_integer(both.world.set.servers[i], "PEXPIRE " RIVALS_KEY " %d",
                                        (int)scaled(4000)),
                         1);
    nodes_each(&both.world.set, server_save);
    assert_result(rlk_extend(&both.lock, scaled(60000)), RLK_OK);
    proxied_calm(&both.world);
    assert_true(rlk_remaining_ms(&both.lock) > scaled(50000));
    {
        rlk_event event; /* of the touch */
        while (rlk_client_next_event(client(), &event))
            assert_int_equal(event.type, RLK_EV_RENEWED);
    }
    restart(true);
    assert_true(rlk_is_held(&both.lock));
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_between(rlk_remaining_ms(&both.lock), scaled(20000),
                   scaled(30000)); /* not what it was */
    proxied_calm(&both.world);
    for (i = 0; i < client()->quorum; i++)
        assert_between(server_integer(both.world.set.servers[i], "PTTL " RIVALS_KEY), scaled(2000),
                       scaled(30000));
    assert_result(rlk_release(&both.lock), RLK_OK);
    rivals_close(&both);
}

static void test_fault_74_older_ttl_is_renewed_at_once(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        older_ttl(sizes[i]);
}

/* The snapshot has the key as it was when somebody else held it: LOST, and it is left alone. */
static void stranger_is_back(size_t count)
{
    size_t i;
    start(count, 30000);
    for (i = 0; i < count; i++)
        server_do(both.world.set.servers[i], "SET " RIVALS_KEY " stranger PX %d",
                  (int)scaled(60000));
    nodes_each(&both.world.set, server_save);
    for (i = 0; i < count; i++)
        assert_int_equal(server_integer(both.world.set.servers[i], "DEL " RIVALS_KEY), 1);
    rivals_hold(&both);
    begin_to_wait();
    restart(true);
    assert_event(client(), RLK_EV_LOST, RLK_LOST);
    assert_result(rlk_release(&both.lock), RLK_LOST);
    serve_until(&both.others.client, is_asked(1));
    loop_quiet(&both.others.client, 20); /* the waiter waits for him, then */
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, "stranger"), count);
    for (i = 0; i < count; i++)
        assert_int_equal(server_integer(both.world.set.servers[i], "DEL " RIVALS_KEY), 1);
    assert_event(&both.others.client, RLK_EV_ACQUIRED, RLK_OK);
    rivals_close(&both);
}

static void test_loss_by_a_snapshot_of_another_holder(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        stranger_is_back(sizes[i]);
}

/* Fault 74: what was released is back. It blocks us and the others like anybody's, is renewed by
 * nobody, and when its TTL has passed the waiter has it: without being told. */
static void released_is_back(size_t count)
{
    int64_t left_ms;
    int64_t start_ms;
    start(count, 1500);
    rivals_hold(&both);
    nodes_each(&both.world.set, server_save);
    assert_result(rlk_release(&both.lock), RLK_OK);
    proxied_calm(&both.world);
    restart(true);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == count);
    left_ms = server_integer(both.world.set.servers[0], "PTTL " RIVALS_KEY);
    start_ms = support_now_ms();
    assert_between(left_ms, 1, scaled(1500));
    assert_false(rlk_is_held(&both.lock));
    begin_to_wait();
    loop_serve(client(), left_ms / 2);
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), count);
    assert_event(&both.others.client, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start_ms, left_ms - scaled(100), left_ms + scaled(1000));
    assert_false(rlk_is_held(&both.lock));
    assert_result(rlk_release(&both.waiter), RLK_OK);
    rivals_close(&both);
}

static void test_fault_74_released_key_is_waited_for(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        released_is_back(sizes[i]);
}

/* ---- Another server ---- */

/* Fault 91 behind one address: the holder of the old one is lost, the waiter has the new one's. */
static void replaced(size_t count, bool renewal_under_way)
{
    server *fresh[RLK_MAX_NODES];
    rlk_lock behind;
    size_t i;
    start(count, 1500);
    rlk_lock_close(&both.waiter);
    /* both by the proxies, the second behind the first in no way: another key */
    assert_result(rlk_lock_init(&behind, client(), "another", NULL), RLK_OK);
    for (i = 0; i < count; i++)
        server_do(both.world.set.servers[i], "SET another stranger");
    rivals_hold(&both);
    assert_result(rlk_acquire_start(&behind, RLK_FOREVER), RLK_PENDING);
    proxied_calm(&both.world);
    for (i = 0; i < count; i++) {
        fresh[i] = server_start(NULL);
        if (renewal_under_way)
            proxy_on(both.world.proxies[i], "EVALSHA", 1, PROXY_CUT_LATE, NULL);
        proxy_redirect(both.world.proxies[i], server_url(fresh[i]));
        if (!renewal_under_way)
            proxy_cut(both.world.proxies[i], PROXY_FIN);
    }
    {
        bool lost = false;
        bool acquired = false;
        while (!lost || !acquired) {
            rlk_event event;
            if (!loop_next_event(client(), &event, scaled(5000)))
                support_fail("no event came");
            if (event.lock == &behind) {
                assert_int_equal(event.type, RLK_EV_ACQUIRED);
                acquired = true;
            } else if (event.type == RLK_EV_LOST) {
                lost = true;
            } else {
                assert_true(event.type == RLK_EV_RENEW_REFUSED ||
                            event.type == RLK_EV_RENEW_UNKNOWN || event.type == RLK_EV_RENEWED);
            }
        }
    }
    for (i = 0; i < count; i++) {
        assert_int_equal(server_calls(fresh[i], "client|kill"), 0);
        assert_null(server_text(fresh[i], "GET " RIVALS_KEY)); /* never created again */
    }
    assert_result(rlk_release(&behind), RLK_OK);
    rivals_close(&both);
}

static void test_fault_91_another_server_at_the_address(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        replaced(sizes[i], false);
        replaced(sizes[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_20_restart_without_data_under_renewals),
        support_test(test_fault_20_restart_without_data_and_tracking),
        support_test(test_loss_by_restarts_with_the_data),
        support_test(test_fault_71_killed_in_a_renewal),
        support_test(test_fault_74_older_ttl_is_renewed_at_once),
        support_test(test_loss_by_a_snapshot_of_another_holder),
        support_test(test_fault_74_released_key_is_waited_for),
        support_test(test_fault_91_another_server_at_the_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
