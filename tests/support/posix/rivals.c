/* SPDX-License-Identifier: MIT */
#include "rivals.h"

void rivals_open(rivals *both, size_t count, rivals_way way, const server_config *servers,
                 const rlk_posix_options *options, const rlk_lock_config *config)
{
    rlk_holder holders[RLK_MAX_NODES];
    rlk_posix_options usual = proxied_options();

    if (options == NULL)
        options = &usual;
    proxied_start(&both->world, count, false, servers, options);
    if (way == RIVALS_PAST_PROXIES)
        nodes_open_again(&both->others, &both->world.set, NULL);
    else
        proxied_open_again(&both->others, &both->world, options);
    proxied_lock_init(&both->world, &both->lock, RIVALS_KEY, config);
    assert_result(rlk_lock_init(&both->waiter, &both->others.posix.client, RIVALS_KEY, config),
                  RLK_OK);
    wait_until(rlk_query(&both->waiter, holders, RLK_MAX_NODES) == RLK_NOT_HELD);

    nodes_connect(&both->others);
}

void rivals_close(rivals *both)
{
    nodes_close(&both->others);
    proxied_close(&both->world);
    support_teardown(NULL);
}

void rivals_hold(rivals *both)
{
    proxied_acquire(&both->world, &both->lock, RIVALS_KEY);
    proxied_calm(&both->world);
}

void rivals_serve(rivals *both, unsigned renewals, const char *what)
{
    int64_t end_ms = support_now_ms() + scaled(10000);
    int64_t turn_ms = support_now_ms();
    int64_t longest_ms = 0; /* turn: shows a machine that is too slow for this */
    unsigned renewed = 0;

    while (renewed < renewals) {
        rlk_event event;

        while (loop_next_event(&both->world.set.posix, &event, 2)) {
            if (event.type != RLK_EV_RENEWED && !support_renewal_unknown(&event))
                support_fail("%s: event %d with %s, longest turn %d ms", what, (int)event.type,
                             rlk_result_name(event.result), (int)longest_ms);
            renewed += event.type == RLK_EV_RENEWED;
        }
        assert_true(rlk_is_held(&both->lock));
        loop_quiet(&both->others.posix, 2);
        if (support_now_ms() - turn_ms > longest_ms)
            longest_ms = support_now_ms() - turn_ms;
        turn_ms = support_now_ms();
        if (turn_ms > end_ms)
            support_fail("%s: renewed %u times only", what, renewed);
    }
}
