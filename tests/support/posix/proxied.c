/* SPDX-License-Identifier: MIT */
#include "proxied.h"

#include <string.h>

rlk_posix_options proxied_options(void)
{
    rlk_posix_options options;
    int factor = support_time_factor();

    memset(&options, 0, sizeof options);
    options.response_timeout_ms = (int64_t)400 * factor;
    options.settle_timeout_ms = (int64_t)500 * factor;
    options.operation_timeout_ms = (int64_t)2000 * factor;
    options.backoff_min_ms = 2;
    options.backoff_max_ms = 10;
    return options;
}

rlk_posix_options proxied_patient_options(test_clock *clock)
{
    static const test_clock real = TEST_CLOCK_REAL;
    rlk_posix_options options = proxied_options();

    *clock = real;
    options.env = test_clock_env(clock);
    options.response_timeout_ms = 300000;
    options.operation_timeout_ms = 300000;
    return options;
}

void proxied_start(proxied *world, size_t count, bool tcp, const server_config *config,
                   const rlk_posix_options *options)
{
    const char *urls[RLK_MAX_NODES];
    rlk_posix_options usual = proxied_options();
    size_t i;

    for (i = 0; i < count; i++) {
        world->set.servers[i] = server_start(config);
        world->proxies[i] = proxy_start(server_url(world->set.servers[i]), tcp);
        urls[i] = proxy_url(world->proxies[i]);
    }
    nodes_open_urls(&world->set, urls, count, options != NULL ? options : &usual);
}

void proxied_open_again(nodes *set, const proxied *world, const rlk_posix_options *options)
{
    const char *urls[RLK_MAX_NODES];
    size_t i;

    for (i = 0; i < world->set.count; i++) {
        set->servers[i] = world->set.servers[i];
        urls[i] = proxy_url(world->proxies[i]);
    }
    nodes_open_urls(set, urls, world->set.count, options);
}

void proxied_lock_init(proxied *world, rlk_lock *lock, const char *key,
                       const rlk_lock_config *config)
{
    rlk_lock_config quiet = config != NULL ? *config : config_unwatched;
    rlk_holder holders[RLK_MAX_NODES];

    if (quiet.watch_after_ms == RLK_WATCH_AFTER_MS)
        quiet.watch_after_ms = config_unwatched.watch_after_ms;
    assert_result(rlk_lock_init(lock, &world->set.posix.client, key, &quiet), RLK_OK);
    /* on a slow machine an operation's time may be over before all are connected */
    wait_until(rlk_query(lock, holders, RLK_MAX_NODES) == RLK_NOT_HELD);

    nodes_connect(&world->set);
}

void proxied_acquire(proxied *world, rlk_lock *lock, const char *key)
{
    assert_result(rlk_acquire(lock, scaled(5000)), RLK_OK);
    serve_until(&world->set.posix, proxied_holding(world, key, token_of(lock)) == world->set.count);
}

void proxied_close(proxied *world)
{
    nodes_close(&world->set);
}

void proxied_on(proxied *world, const char *words, proxy_action action)
{
    size_t i;

    for (i = 0; i < world->set.count; i++)
        proxy_on_bytes(world->proxies[i], words, 1, action, PROXY_RST, "", 0);
}

int proxied_count(const proxied *world, const char *words)
{
    int count = 0;
    size_t i;

    for (i = 0; i < world->set.count; i++)
        count += proxy_count(world->proxies[i], words);
    return count;
}

int proxied_accepted(const proxied *world)
{
    int count = 0;
    size_t i;

    for (i = 0; i < world->set.count; i++)
        count += proxy_accepted(world->proxies[i]);
    return count;
}

void proxied_hold(proxied *world, proxy_direction direction)
{
    size_t i;

    for (i = 0; i < world->set.count; i++)
        proxy_hold(world->proxies[i], direction);
}

void server_settle(server *redis)
{
    /* The first may be answered in the same turn of the server's loop as what came before it, or
     * earlier; the second can't. */
    assert_string_equal(server_text(redis, "PING"), "PONG");
    assert_string_equal(server_text(redis, "PING"), "PONG");
}

void proxied_release(proxied *world)
{
    size_t i;

    for (i = 0; i < world->set.count; i++) {
        proxy *middle = world->proxies[i];

        proxy_release(middle);
        wait_until(proxy_held(middle, PROXY_TO_SERVER) == 0);

        server_settle(world->set.servers[i]);
    }
}

/* A number that grows with whatever passes. */
static size_t proxied_traffic(const proxied *world)
{
    size_t sum = 0;
    size_t i;

    for (i = 0; i < world->set.count; i++)
        sum += proxy_bytes(world->proxies[i], PROXY_TO_SERVER) +
               proxy_bytes(world->proxies[i], PROXY_TO_CLIENT) +
               (size_t)proxy_accepted(world->proxies[i]);
    return sum;
}

void proxied_calm(proxied *world)
{
    size_t before;

    do {
        before = proxied_traffic(world);
        loop_serve(&world->set.posix, (int64_t)20 * support_time_factor());
    } while (proxied_traffic(world) != before);
}

size_t proxied_holding(const proxied *world, const char *key, const char *token)
{
    return nodes_holding(&world->set, key, token);
}
