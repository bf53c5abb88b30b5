/* SPDX-License-Identifier: MIT
 *
 * rivals.h: two clients over the same 1..5 servers: one with a lock that is held and renews itself,
 * through proxies, and one with a lock that waits for it.
 */
#ifndef TEST_RIVALS_H
#define TEST_RIVALS_H

#include "outage.h"

#define RIVALS_KEY "foobar"

/* Large, so static in tests. */
typedef struct rivals {
    proxied world; /* the holder's client */
    rlk_lock lock;
    nodes others; /* the waiter's client */
    rlk_lock waiter;
} rivals;

typedef enum rivals_way {
    RIVALS_PAST_PROXIES, /* the waiter's client reaches the servers whatever the proxies do */
    RIVALS_BY_PROXIES    /* its connections pass the same proxies */
} rivals_way;

/* Starts servers (NULL: default) and proxies, opens both clients (options NULL: proxied_options);
 * all servers are connected, the key is free. */
void rivals_open(rivals *both, size_t count, rivals_way way, const server_config *servers,
                 const rlk_posix_options *options, const rlk_lock_config *config);

/* Closes both, and ends servers and proxies. */
void rivals_close(rivals *both);

/* The lock is held on all servers, and no reply is under way. */
void rivals_hold(rivals *both);

/* Serves both until the lock was renewed so often. It is held all the time, and nobody else has
 * it. A renewal may be UNKNOWN, and is tried again. `what` names the case in messages. */
void rivals_serve(rivals *both, unsigned renewals, const char *what);

#endif
