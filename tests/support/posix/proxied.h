/* SPDX-License-Identifier: MIT
 *
 * proxied.h: a client over 1..5 private servers with a proxy before each, for tests of what was
 * sent and not answered. What is asked of it is asked of all its proxies.
 */
#ifndef TEST_PROXIED_H
#define TEST_PROXIED_H

#include "nodes.h"
#include "proxy.h"

/* Large, so static in tests. */
typedef struct proxied {
    nodes set; /* servers, and the client under test */
    proxy *proxies[RLK_MAX_NODES];
} proxied;

/* Time limits that are short for a test and long for a server: a response 400 ms, the settling
 * 500, an operation 2000, a reconnect at most 10; longer under valgrind and sanitizers. */
rlk_options proxied_options(void);

/* tcp: between client and proxies, where there is RST. options NULL: proxied_options. */
void proxied_start(proxied *world, size_t count, bool tcp, const server_config *config,
                   const rlk_options *options);
void proxied_close(proxied *world);

/* A rule for the next such command at each proxy. RST where the action cuts and the world has
 * TCP. */
void proxied_on(proxied *world, const char *words, proxy_action action);

/* Sum over the proxies. */
int proxied_count(const proxied *world, const char *words);
int proxied_accepted(const proxied *world);

void proxied_hold(proxied *world, proxy_direction direction);

/* Lets go of what is held, and waits until the servers have executed what came. */
void proxied_release(proxied *world);

/* Serves the client until nothing has moved for a while: what it has to do by itself is done.
 * Events stay. */
void proxied_calm(proxied *world);

/* Servers on which the key holds exactly this (NULL: anything). */
size_t proxied_holding(const proxied *world, const char *key, const char *token);

/* Serves the client until the condition is true; fails the test after 10 s. */
#define serve_until(client, condition)                                                             \
    do {                                                                                           \
        int64_t serve_until_end = support_now_ms() + INT64_C(10000) * support_time_factor();       \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > serve_until_end)                                                \
                support_fail("never came: %s", #condition);                                        \
            loop_serve((client), 1);                                                               \
        }                                                                                          \
    } while (0)

/* Waits until the server has executed all that was in its sockets when this was called. */
void server_settle(server *redis);

/* Token of a lock; lives until the fourth next call. */
const char *token_of(const rlk_lock *lock);

#endif
