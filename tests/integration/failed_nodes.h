/* SPDX-License-Identifier: MIT
 *
 * failed_nodes.h: two clients over 1, 3 and 5 servers, and ways in which some of them fail. Include
 * it in one file of a program.
 */
#ifndef TEST_FAILED_NODES_H
#define TEST_FAILED_NODES_H

#include "nodes.h"

#include <string.h>

#define FAILED __attribute__((unused)) static

FAILED nodes first;
FAILED nodes second;
FAILED rlk_lock a;
FAILED rlk_lock b;

FAILED const size_t sizes[] = {1, 3, 5};

/* How many may fail, so that a quorum is left. */
FAILED size_t spare(void)
{
    return (first.count - 1) / 2;
}

/* Where a call must fail in its time. */
FAILED rlk_posix_options quick(void)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.response_timeout_ms = INT64_C(250) * support_time_factor();
    options.backoff_max_ms = 50;
    options.operation_timeout_ms = INT64_C(400) * support_time_factor();
    options.settle_timeout_ms = INT64_C(200) * support_time_factor();
    return options;
}

/* Where none may fail, though nobody serves the client while servers are struck. */
FAILED rlk_posix_options patient(void)
{
    rlk_posix_options options = quick();

    options.response_timeout_ms = INT64_C(3000) * support_time_factor();
    options.operation_timeout_ms = INT64_C(5000) * support_time_factor();
    return options;
}

/* `count` servers, two clients that are connected to all of them, a lock of each on "foobar". */
FAILED void begin_with(size_t count, rlk_posix_options options)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_holder holders[RLK_MAX_NODES];

    config.node_timeout_ms = INT64_C(150) * support_time_factor();
    nodes_start(&first, count, NULL, &options);
    nodes_open_again(&second, &first, &options);
    assert_result(rlk_lock_init(&a, &first.posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_lock_init(&b, &second.posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_query(&a, holders, count), RLK_NOT_HELD);
    assert_result(rlk_query(&b, holders, count), RLK_NOT_HELD);
    nodes_connect(&first);
    nodes_connect(&second);
}

FAILED void begin(size_t count)
{
    begin_with(count, quick());
}

FAILED void end(void)
{
    nodes_close(&second);
    nodes_close(&first);
    support_teardown(NULL);
}

/* Serves both clients until no node has the key. */
FAILED void assert_all_gone(void)
{
    int64_t limit = support_now_ms() + INT64_C(10000) * support_time_factor();

    while (nodes_holding(&first, "foobar", NULL) > 0 && support_now_ms() < limit) {
        loop_serve(&first.posix, 5);
        loop_serve(&second.posix, 5);
    }
    assert_int_equal(nodes_holding(&first, "foobar", NULL), 0);
}

/* ---- Faults, of one node each --------------------------------------------------------------- */

typedef struct fault {
    const char *name;
    void (*strike)(server *redis);
    void (*mend)(server *redis);
    bool answers; /* the node is there again, if with other data */
} fault;

FAILED void restart_empty(server *redis)
{
    server_restart(redis, false);
}

FAILED void save_and_restart(server *redis)
{
    server_save(redis);
    server_restart(redis, true);
}

FAILED void leave(server *redis)
{
    (void)redis;
}

FAILED const fault faults[] = {
    {"killed", server_kill, restart_empty, false},
    {"stopped", server_pause, server_resume, false},
    {"restarted empty", restart_empty, leave, true},
    {"restarted with its data", save_and_restart, leave, true},
};

FAILED void strike(const fault *what, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        what->strike(first.servers[i]);
}

FAILED void mend(const fault *what, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        what->mend(first.servers[i]);
}

/* For each number of nodes and each fault. */
FAILED void on_each_fault(void (*body)(const fault *what), rlk_posix_options options)
{
    size_t i;
    size_t k;

    for (i = 0; i < COUNT_OF(sizes); i++) {
        for (k = 0; k < COUNT_OF(faults); k++) {
            begin_with(sizes[i], options);
            body(&faults[k]);
            end();
        }
    }
}

#endif
