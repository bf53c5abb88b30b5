/* SPDX-License-Identifier: MIT */
#include "election.h"

#include "proxied.h"

#include <string.h>

void election_open(election *both, size_t count, const rlk_lock_config *anna,
                   const rlk_lock_config *bert)
{
    rlk_holder holders[RLK_MAX_NODES];
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.settle_timeout_ms = scaled(300);
    nodes_start(&both->first, count, NULL, &options);
    nodes_open_again(&both->second, &both->first, &options);
    assert_result(rlk_lock_init(&both->anna, &both->first.posix.client, ELECTION_KEY, anna),
                  RLK_OK);
    assert_result(rlk_lock_init(&both->bert, &both->second.posix.client, ELECTION_KEY, bert),
                  RLK_OK);
    assert_result(rlk_query(&both->anna, holders, count), RLK_NOT_HELD);
    assert_result(rlk_query(&both->bert, holders, count), RLK_NOT_HELD);
}

void election_close(election *both)
{
    nodes_close(&both->second);
    nodes_close(&both->first);
    support_teardown(NULL);
}

void election_lead(rlk_lock *lock, rlk_posix_client *posix)
{
    assert_result(rlk_campaign_start(lock), RLK_PENDING);
    assert_event(posix, RLK_EV_ACQUIRED, RLK_OK);
}

void election_follow(election *both, rlk_lock *lock, rlk_posix_client *posix)
{
    rlk_stats before;
    rlk_stats after;

    rlk_client_stats(&posix->client, &before);
    assert_result(rlk_campaign_start(lock), RLK_PENDING);
    serve_until(posix,
                (rlk_client_stats(&posix->client, &after), after.attempts > before.attempts));

    server_settle(both->first.servers[0]);
    loop_quiet(posix, 20);
    assert_int_equal(rlk_lock_operation(lock), RLK_OP_ACQUIRE);
}

void election_everywhere(election *both, const char *command)
{
    size_t i;

    for (i = 0; i < both->first.count; i++)
        (void)server_text(both->first.servers[i], command);
}

void election_lose(election *both, rlk_lock *lock, rlk_posix_client *posix)
{
    election_everywhere(both, "DEL " ELECTION_KEY);
    serve_until(posix, !rlk_is_held(lock));

    assert_int_equal(rlk_lock_operation(lock), RLK_OP_NONE);
}

size_t election_holding(const election *both)
{
    return nodes_holding(&both->first, ELECTION_KEY, NULL);
}

void election_assert_idle(rlk_lock *lock, rlk_posix_client *posix)
{
    loop_quiet(posix, 20);
    assert_false(rlk_is_held(lock));
    assert_int_equal(rlk_lock_operation(lock), RLK_OP_NONE);
    assert_result(rlk_release(lock), RLK_NOT_HELD);
}
