/* SPDX-License-Identifier: MIT
 *
 * ambiguous.h: an acquire on 1 and 3 servers behind proxies, over Unix sockets and over TCP; and
 * what the servers have of it, at once and after the late bytes came. Include it in one file of a
 * program.
 */
#ifndef TEST_AMBIGUOUS_H
#define TEST_AMBIGUOUS_H

#include "proxied.h"

#include <string.h>

#define AMBIGUOUS __attribute__((unused)) static

#define KEY "foobar"

AMBIGUOUS proxied world;
AMBIGUOUS rlk_lock lock;

AMBIGUOUS const size_t sizes[] = {1, 3};

/* Runs `body` on each number of nodes, over Unix sockets and over TCP, all connected. */
AMBIGUOUS void on_each_world(void (*body)(void), const server_config *config)
{
    size_t i;

    for (i = 0; i < 2 * COUNT_OF(sizes); i++) {
        proxied_start(&world, sizes[i / 2], i % 2 == 1, config, NULL);
        proxied_lock_init(&world, &lock, KEY, NULL);
        body();
        rlk_lock_close(&lock);
        proxied_close(&world);
        support_teardown(NULL);
    }
}

AMBIGUOUS int nodes_count(void)
{
    return (int)world.set.count;
}

AMBIGUOUS size_t nodes_quorum(void)
{
    return world.set.posix.client.quorum;
}

AMBIGUOUS void assert_free(void)
{
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
}

AMBIGUOUS void assert_on_quorum(const char *token)
{
    assert_true(proxied_holding(&world, KEY, token) >= nodes_quorum());
}

/* ... and stays so when all that was held has come, and the client has done what it has to. */
AMBIGUOUS void assert_free_for_good(void)
{
    assert_free();
    proxied_release(&world);
    proxied_calm(&world);
    assert_free();
}

AMBIGUOUS int64_t set_calls(void)
{
    int64_t calls = 0;
    size_t i;

    for (i = 0; i < world.set.count; i++)
        calls += server_calls(world.set.servers[i], "set");
    return calls;
}

#endif
