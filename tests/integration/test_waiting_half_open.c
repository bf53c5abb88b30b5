/* SPDX-License-Identifier: MIT
 *
 * Connections of a waiter on which nothing comes any more: half-open, or open in one direction
 * only; and a waiter whose deadline comes while it has none.
 */
#include "waiting_lost.h"

/* ---- Half-open ---- */

/* Fault 81: nothing comes any more, and the holder's TTL is a day: the recheck goes unanswered, and
 * the next connection knows. */
static void close_without_a_word(proxy *middle)
{
    proxy_half_open(middle);
}

static void swallow_replies(proxy *middle)
{
    proxy_hold(middle, PROXY_TO_CLIENT);
}

static void half_open(size_t count, void (*happen)(proxy *middle), bool free_before)
{
    int accepted;
    size_t i;

    start_with(count, scaled(250), NULL);
    for (i = 0; i < count; i++)
        server_do(world.set.servers[i], "SET " KEY " stranger PX 86400000");
    begin_to_wait();
    accepted = proxied_accepted(&world);
    for (i = 0; i < count; i++)
        happen(world.proxies[i]);
    if (!free_before) {
        serve_until(client(),
                    proxied_accepted(&world) >= accepted + (int)count && nodes_ready(&world.set));

        proxied_calm(&world);
        loop_quiet(client(), 1);
    }
    nodes_each(&world.set, free_it);
    assert_event(client(), RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&waiter), RLK_OK);
    stop();
}

static void test_fault_81_half_open_waiter(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        half_open(sizes[i], close_without_a_word, true);
        half_open(sizes[i], close_without_a_word, false);
    }
}

/* Fault 36: it goes on hearing us. */
static void test_fault_36_waiter_that_receives_nothing(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        half_open(sizes[i], swallow_replies, true);
        half_open(sizes[i], swallow_replies, false);
    }
}

/* ---- The deadline while there is no connection ---- */

static void test_loss_until_the_deadline_of_a_waiter(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_event event;
        int64_t start_ms;

        start(sizes[i]);
        nodes_each(&world.set, give_to_a_stranger);
        start_ms = support_now_ms();
        assert_result(rlk_acquire_start(&waiter, scaled(500)), RLK_PENDING);
        serve_until(client(), proxied_count(&world, "SET") >= (int)sizes[i]);

        proxied_calm(&world);
        outage_begin(&outage_refused, &world, 0, sizes[i]);
        assert_true(loop_next_event(client(), &event, scaled(5000)));
        assert_result(event.result, RLK_TIMED_OUT); /* it was seen that somebody has it */
        assert_between(support_now_ms() - start_ms, scaled(500), scaled(1200));
        assert_int_equal(nodes_holding(&others, KEY, "stranger"), sizes[i]);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_81_half_open_waiter),
        support_test(test_fault_36_waiter_that_receives_nothing),
        support_test(test_loss_until_the_deadline_of_a_waiter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
