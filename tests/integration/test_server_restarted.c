/* SPDX-License-Identifier: MIT
 *
 * Servers that are restarted, or replaced, under a lock that renews itself and one that waits: with
 * their data, without any; and that a restarted server is not taken for the one before (rule 5).
 * With older data: test_server_restored.c.
 */
#include "server_restarted.h"

/* ---- Without data ---- */

/* Fault 20: LOST as soon as the server is back, long before a renewal is due; the waiter has it. */
static void without_data(size_t count)
{
    int64_t start_ms;

    start(count, 30000);
    rivals_hold(&both);
    begin_to_wait();
    restart(false);
    start_ms = support_now_ms();
    assert_true(rlk_is_held(&both.lock)); /* nobody has notified it */
    assert_event(client(), RLK_EV_LOST, RLK_LOST);
    assert_between(support_now_ms() - start_ms, 0, scaled(1500));
    assert_int_equal(others_event().type, RLK_EV_ACQUIRED);
    assert_false(rlk_is_held(&both.lock));
    loop_quiet(client(), 20);
    assert_true(proxied_holding(&both.world, RIVALS_KEY, token_of(&both.waiter)) >=
                client()->client.quorum);
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

/* The same where nobody notifies of it: by the next renewal. */
static void test_fault_20_restart_without_data_and_tracking(void **state)
{
    rlk_posix_options options = proxied_options();
    rlk_lock_config config = config_renewing(900);
    rlk_event event;

    (void)state;
    options.no_tracking = true;
    proxied_start(&both.world, 1, false, NULL, &options);
    assert_result(rlk_lock_init(&both.lock, &client()->client, RIVALS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire(&both.lock, RLK_TRY), RLK_OK);
    restart(false);
    do {
        if (!loop_next_event(client(), &event, scaled(5000)))
            support_fail("no event came");
        assert_true(support_renewal_refused(&event) || support_renewal_unknown(&event) ||
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
        serve_until(client(), (loop_quiet(&both.others.posix, 1),
                               proxied_accepted(&both.world) >= accepted + (int)count));

        while (loop_next_event(client(), &event, 30))
            assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_true(rlk_is_held(&both.lock));
        serve_until(&both.others.posix, is_asked(1)); /* it waits there again */

        loop_quiet(&both.others.posix, 1);
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
    rlk_posix_options options = proxied_options();
    rlk_event event;
    size_t i;

    options.response_timeout_ms = scaled(10000); /* only the server's end ends the connection */
    start_with(count, 2400, &options);
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
    } while (support_renewal_unknown(&event));
    if (keep_data) {
        assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_true(rlk_is_held(&both.lock));
        assert_true(rlk_remaining_ms(&both.lock) <= scaled(2400));
        assert_event(client(), RLK_EV_RENEWED, RLK_OK);
        assert_result(rlk_release(&both.lock), RLK_OK);
    } else {
        if (support_renewal_refused(&event)) {
            assert_result(event.result, RLK_NOT_OWNER);
            assert_true(loop_next_event(client(), &event, scaled(8000)));
        }
        assert_int_equal(event.type, RLK_EV_LOST);
    }
    /* the last node of three may be connecting yet: its undo goes on behind the result */
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0);

    assert_int_equal(kills(), 0); /* another instance: nothing of the old one can come */
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
    assert_result(rlk_lock_init(&behind, &client()->client, "another", NULL), RLK_OK);
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
                assert_true(support_renewal_refused(&event) || support_renewal_unknown(&event) ||
                            event.type == RLK_EV_RENEWED);
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
        support_test(test_fault_91_another_server_at_the_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
