/* SPDX-License-Identifier: MIT
 *
 * nodes.h: a client over 1..5 private servers, for tests that run the same on each number.
 */
#ifndef TEST_NODES_H
#define TEST_NODES_H

#include "server.h"
#include "support.h"

/* Memory of a client with its nodes; large, so static in tests. */
typedef struct nodes {
    size_t count;
    server *servers[RLK_MAX_NODES];
    rlk_posix_client posix;
    rlk_posix_memory memory[RLK_MAX_NODES];
    rlk_conn_entry rings[RLK_MAX_NODES][64];
    uint8_t tx[RLK_MAX_NODES][2048];
    uint8_t rx[RLK_MAX_NODES][1024];
} nodes;

/* Starts `count` servers (config NULL: default) and opens a client over them. options may be
 * NULL. */
void nodes_start(nodes *set, size_t count, const server_config *config,
                 const rlk_posix_options *options);

/* Opens another client over the same servers (set->servers of `other` are borrowed). */
void nodes_open_again(nodes *set, const nodes *other, const rlk_posix_options *options);

/* Opens a client over given URLs, no servers of its own. */
void nodes_open_urls(nodes *set, const char *const *urls, size_t count,
                     const rlk_posix_options *options);

/* Serves the client until it is connected to all of them. */
void nodes_connect(nodes *set);

/* All of them are connected. */
bool nodes_ready(nodes *set);

/* Does the same to each server. */
void nodes_each(const nodes *set, void (*act)(server *redis));

/* Closes the client; the servers end with the test. */
void nodes_close(nodes *set);

/* On how many servers the key holds exactly this text (NULL: any). Servers that are down don't
 * count. */
size_t nodes_holding(const nodes *set, const char *key, const char *token);

/* A lock that renews itself. The TTL is scaled. */
rlk_lock_config config_renewing(int64_t ttl_ms);

/* Defaults. What is held is not watched, so only the commands of the test are sent. */
extern const rlk_lock_config config_unwatched;

/* Token of a lock; lives until the fourth next call. */
const char *token_of(const rlk_lock *lock);

/* Serves the client (pollfds, poll, service) until it has an event, at most `ms`; true if so.
 * Reports that a lock still waits are passed over. */
bool loop_next_event(rlk_posix_client *posix, rlk_event *event, int64_t ms);

/* Serves the client for a time. Fails the test if an event comes. */
void loop_quiet(rlk_posix_client *posix, int64_t ms);

/* Serves the client for a time, events stay. */
void loop_serve(rlk_posix_client *posix, int64_t ms);

/* Serves the client until the condition is true; fails the test after 10 s. */
#define serve_until(posix, condition)                                                              \
    do {                                                                                           \
        int64_t serve_until_end = support_now_ms() + scaled(10000);                                \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > serve_until_end)                                                \
                support_fail("never came: %s", #condition);                                        \
            loop_serve((posix), 1);                                                                \
        }                                                                                          \
    } while (0)

/* The next event must be this one, within 10 s. */
#define assert_event(posix, event_type, expected_result)                                           \
    loop_assert_event((posix), (event_type), (expected_result), __FILE__, __LINE__)
/* The end of an operation: RLK_EV_RESULT, or RLK_EV_ACQUIRED. */
#define assert_result_event(posix, operation, expected_result)                                     \
    loop_assert_result((posix), (operation), (expected_result), __FILE__, __LINE__)
void loop_assert_result(rlk_posix_client *posix, rlk_operation operation, rlk_result result,
                        const char *file, int line);
void loop_assert_event(rlk_posix_client *posix, rlk_event_type type, rlk_result result,
                       const char *file, int line);

#endif
