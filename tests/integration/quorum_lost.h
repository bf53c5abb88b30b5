/* SPDX-License-Identifier: MIT
 *
 * quorum_lost.h: five servers that fail and come back under a lock that renews itself and one that
 * waits for it. Include it in one file of a program.
 */
#ifndef TEST_QUORUM_LOST_H
#define TEST_QUORUM_LOST_H

#include "rivals.h"

#include <string.h>

#define NODES 5

#define QUORUM_LOST __attribute__((unused)) static

QUORUM_LOST rivals both;

QUORUM_LOST const outage *const ways[] = {&outage_killed, &outage_emptied, &outage_stopped,
                                          &outage_swallowed};

QUORUM_LOST rlk_posix_client *client(void)
{
    return &both.world.set.posix;
}

QUORUM_LOST rlk_posix_client *others(void)
{
    return &both.others.posix;
}

/* Held, on all nodes, and the other waits. */
QUORUM_LOST void begin(int64_t ttl_ms, int64_t node_timeout_ms)
{
    rlk_lock_config config = config_renewing(ttl_ms);
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.connect_timeout_ms = 1000;
    options.response_timeout_ms = scaled(200);
    options.backoff_min_ms = 2;
    options.backoff_max_ms = 50;
    options.settle_timeout_ms = scaled(300);
    config.node_timeout_ms = scaled(node_timeout_ms);
    config.recheck_max_ms =
        scaled(2000); /* for changes of which nobody notifies: their node was away */
    rivals_open(&both, NODES, RIVALS_BY_PROXIES, NULL, &options, &config);
    rivals_hold(&both);
    assert_result(rlk_acquire_start(&both.waiter, RLK_FOREVER), RLK_PENDING);
    loop_quiet(others(), 50);
}

/* It is released, and the waiter has it. */
QUORUM_LOST void hand_over(void)
{
    assert_result(rlk_release(&both.lock), RLK_OK);
    assert_event(others(), RLK_EV_ACQUIRED, RLK_OK);
    loop_quiet(client(), 20);
    assert_result(rlk_check(&both.waiter), RLK_OK);
    assert_result(rlk_release(&both.waiter), RLK_OK);
}

#endif
