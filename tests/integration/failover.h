/* SPDX-License-Identifier: MIT
 *
 * failover.h: a primary and its replica, both real, and a client that knows a name only, of which
 * the test says what it means. Include it in one file of a program.
 */
#ifndef TEST_FAILOVER_H
#define TEST_FAILOVER_H

#include "name_book.h"
#include "nodes.h"

#include <string.h>

#define FAILOVER static __attribute__((unused))

#define KEY "foobar"

FAILOVER nodes set;
FAILOVER rlk_lock lock;
FAILOVER server *primary;
FAILOVER server *replica;

FAILOVER name_book book; /* what the name means */

FAILOVER void name_means(server *first, server *second)
{
    name_book_means(&book, server_port(first));
    if (second != NULL)
        name_book_add(&book, server_port(second));
}

FAILOVER bool has_role(server *redis, const char *role)
{
    return strstr(server_text(redis, "INFO replication"), role) != NULL;
}

FAILOVER void follow(server *redis, server *other)
{
    server_do(redis, "REPLICAOF 127.0.0.1 %d", server_port(other));
    wait_until(has_role(redis, "master_link_status:up"));
}

/* Two servers; the name means the first. */
FAILOVER void strangers_start(void)
{
    server_config config = {.tcp = true, .lines = SERVER_LINES("repl-diskless-sync-delay 0")};

    primary = server_start(&config);
    replica = server_start(&config);
    name_book_init(&book, server_port(primary));
}

/* The same, and the second is the first one's replica. */
FAILOVER void pair_start(void)
{
    strangers_start();
    follow(replica, primary);
}

FAILOVER void open_name(const rlk_posix_options *wanted)
{
    static const char *const url = "redis://lock.example:7000";
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    if (wanted != NULL)
        options = *wanted;
    options.resolver = &book.resolver;
    nodes_open_urls(&set, &url, 1, &options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, NULL), RLK_OK);
}

FAILOVER void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

/* An operator's failover: nothing is lost, and the old primary keeps its connections. */
FAILOVER void fail_over(void)
{
    wait_until(server_info(replica, "replication", "master_repl_offset") ==
               server_info(primary, "replication", "master_repl_offset"));

    server_do(primary, "FAILOVER");
    wait_until(has_role(primary, "role:slave") && has_role(replica, "role:master"));
    wait_until(has_role(primary, "master_link_status:up"));
}

/* One that loses all: of strangers. */
FAILOVER void fail_over_and_lose(void)
{
    server_do(primary, "REPLICAOF 127.0.0.1 %d", server_port(replica));
}

typedef struct failing {
    void (*start)(void);
    void (*happens)(void);
    bool loses;
} failing;

static const failing failovers[] = {{pair_start, fail_over, false},
                                    {strangers_start, fail_over_and_lose, true}};

/* The key is at the new primary, with our token. */
FAILOVER void assert_at(server *redis, const rlk_lock *held)
{
    const char *there = server_text(redis, "GET " KEY);

    assert_non_null(there);
    assert_string_equal(there, token_of(held));
}

FAILOVER int64_t connections(server *redis)
{
    return server_info(redis, "stats", "total_connections_received");
}

#endif
