/* SPDX-License-Identifier: MIT
 *
 * One node too many is lost under a lock that renews itself and one that waits: dead, stopped, cut
 * off, or restarted without their data.
 */
#include "quorum_lost.h"

/* Unknown, then lost, by its own deadline; the waiter has it when the nodes are there again, and
 * not before. */
static void three_of_five(const outage *way)
{
    int64_t limit_ms;
    int64_t left_ms;
    int64_t start_ms;
    unsigned unknown = 0;
    rlk_event event;

    begin(1000, 200);
    outage_begin(way, &both.world, 0, 3);
    left_ms = rlk_remaining_ms(&both.lock);
    start_ms = support_now_ms();
    for (;;) {
        loop_quiet(others(), 1);
        if (!loop_next_event(client(), &event, 1))
            continue;
        if (event.type == RLK_EV_LOST)
            break;
        if (event.type == RLK_EV_RENEWED) { /* the last outage began behind a renewal */
            left_ms = rlk_remaining_ms(&both.lock) + (support_now_ms() - start_ms);
        } else {
            assert_true(support_renewal_unknown(&event));
            unknown++;
        }
    }
    assert_true(unknown >= 1);
    assert_between(support_now_ms() - start_ms, left_ms - 1, left_ms + scaled(300));
    assert_false(rlk_is_held(&both.lock));
    outage_end(way, &both.world, 0, 3);
    limit_ms = support_now_ms() + scaled(10000);
    while (!loop_next_event(others(), &event, 2)) {
        loop_serve(client(), 2); /* cleans up */
        if (support_now_ms() > limit_ms)
            support_fail("%s: the waiter does not acquire", way->name);
    }
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_false(rlk_is_held(&both.lock));
    loop_serve(client(), scaled(50)); /* what comes late takes nothing away */
    assert_result(rlk_check(&both.waiter), RLK_OK);
    assert_result(rlk_release(&both.waiter), RLK_OK);
    rivals_close(&both);
}

static void test_fault_38_three_of_five_cut_off_under_renewals(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++)
        three_of_five(ways[i]);
}

/* Fault 20 of a quorum: lost, known at once, and had by the waiter. */
static void test_fault_20_quorum_restarted_under_renewals(void **state)
{
    int64_t start_ms;
    int64_t until_ms;

    (void)state;
    begin(30000, 2000);
    server_restart(both.world.set.servers[0], false);
    server_restart(both.world.set.servers[1], false);
    until_ms = support_now_ms() + scaled(300);
    while (support_now_ms() < until_ms) {
        loop_quiet(client(), 2); /* a minority takes nothing away */
        loop_quiet(others(), 2);
    }
    assert_true(rlk_is_held(&both.lock));
    server_restart(both.world.set.servers[2], false);
    start_ms = support_now_ms();
    assert_event(client(), RLK_EV_LOST, RLK_LOST);
    assert_between(support_now_ms() - start_ms, 0, scaled(5000)); /* a renewal: after 10 s */
    wait_until((loop_serve(client(), 1), proxied_holding(&both.world, RIVALS_KEY, NULL) == 0) ||
               (loop_serve(others(), 1), rlk_is_held(&both.waiter)));

    assert_event(others(), RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_check(&both.waiter), RLK_OK);
    rivals_close(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_38_three_of_five_cut_off_under_renewals),
        support_test(test_fault_20_quorum_restarted_under_renewals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
