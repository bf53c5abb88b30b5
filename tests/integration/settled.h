/* SPDX-License-Identifier: MIT
 *
 * settled.h: a lock whose release, or acquire, may remain unknown for a while; one behind it, and
 * one of another client that waits. Include it in one file of a program.
 */
#ifndef TEST_SETTLED_H
#define TEST_SETTLED_H

#include "rivals.h"

#include <string.h>

#define SETTLED __attribute__((unused)) static

SETTLED rivals both;
SETTLED rlk_lock behind; /* of the holder's client, for the same key */

SETTLED const size_t sizes[] = {1, 3};

SETTLED rlk_posix_client *client(void)
{
    return &both.world.set.posix;
}

SETTLED void start_with(size_t count, int64_t ttl_ms, const server_config *servers)
{
    rlk_lock_config config = config_renewing(ttl_ms);
    rlk_posix_options options = proxied_options();

    options.operation_timeout_ms = scaled(200);
    options.settle_timeout_ms = scaled(200);
    options.response_timeout_ms = scaled(150);
    config.node_timeout_ms = scaled(100);
    config.recheck_max_ms = 3600000;
    rivals_open(&both, count, RIVALS_PAST_PROXIES, servers, &options, &config);
    assert_result(rlk_lock_init(&behind, &client()->client, RIVALS_KEY, &config), RLK_OK);
}

SETTLED void start(size_t count, int64_t ttl_ms)
{
    start_with(count, ttl_ms, NULL);
}

SETTLED void on_each_size(void (*body)(size_t count))
{
    size_t i;

    for (i = 0; i < COUNT_OF(sizes); i++)
        body(sizes[i]);
}

/* ---- Outages ---- */

SETTLED const outage *const outages[] = {&outage_stopped, &outage_swallowed, &outage_refused,
                                         &outage_killed, &outage_emptied};

SETTLED void begin(const outage *what)
{
    outage_begin(what, &both.world, 0, both.world.set.count);
}

SETTLED void end(const outage *what)
{
    outage_end(what, &both.world, 0, both.world.set.count);
}

#endif
