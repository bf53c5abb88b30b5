/* SPDX-License-Identifier: MIT
 *
 * proxied.h: a client over 1..5 private servers with a proxy before each, for tests of what was
 * sent and not answered. What is asked of it is asked of all its proxies.
 */
#ifndef TEST_PROXIED_H
#define TEST_PROXIED_H

#include "clock.h"
#include "nodes.h"
#include "proxy.h"

/* Large, so static in tests. */
typedef struct proxied {
    nodes set; /* servers, and the client under test */
    proxy *proxies[RLK_MAX_NODES];
} proxied;

/* Time limits that are short for a test and long for a server: a response 400 ms, the settling
 * 500, an operation 2000, a reconnect at most 10; longer under valgrind and sanitizers. */
rlk_posix_options proxied_options(void);

/* The same with operations and responses that take five minutes, and with this clock, which is set
 * to the real time: for a test that moves it. */
rlk_posix_options proxied_patient_options(test_clock *clock);

/* tcp: between client and proxies, where there is RST. options NULL: proxied_options. */
void proxied_start(proxied *world, size_t count, bool tcp, const server_config *config,
                   const rlk_posix_options *options);
void proxied_close(proxied *world);

/* Opens another client over the same servers, through the same proxies. */
void proxied_open_again(nodes *set, const proxied *world, const rlk_posix_options *options);

/* A lock of the client under test, on a free key; all servers are connected. What is held is not
 * watched, unless config asks for it at a time that is not the default: what the proxies do to a
 * command is meant for those of the test. */
void proxied_lock_init(proxied *world, rlk_lock *lock, const char *key,
                       const rlk_lock_config *config);

/* The lock is acquired, and on all servers. */
void proxied_acquire(proxied *world, rlk_lock *lock, const char *key);

/* A rule for the next such command at each proxy. RST where the action cuts and the world has
 * TCP. */
void proxied_on(proxied *world, const char *words, proxy_action action);

/* Sum over the proxies. */
int proxied_count(const proxied *world, const char *words);
int proxied_accepted(const proxied *world);

void proxied_hold(proxied *world, proxy_direction direction);

/* Lets go of what is held, and waits until the servers have executed what came. */
void proxied_release(proxied *world);

/* Serves the client until nothing has moved for a while: what it has to do without a call is done.
 * Events stay. */
void proxied_calm(proxied *world);

/* Servers on which the key holds exactly this (NULL: anything). */
size_t proxied_holding(const proxied *world, const char *key, const char *token);

/* Waits until the server has executed all that was in its sockets when this was called. */
void server_settle(server *redis);

#endif
