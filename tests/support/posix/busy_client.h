/* SPDX-License-Identifier: MIT
 *
 * busy_client.h: a client in whose locks all goes on at once: one is held and renews itself, one
 * waits for a stranger's key, and one waits behind it.
 */
#ifndef TEST_BUSY_CLIENT_H
#define TEST_BUSY_CLIENT_H

#include "nodes.h"

#define BUSY_TTL_MS 900 /* scaled */
#define BUSY_HELD   "held"
#define BUSY_WANTED "wanted"

/* Large, so static in tests. */
typedef struct busy_client {
    rlk_posix_client posix;
    rlk_lock renewing; /* on BUSY_HELD */
    rlk_lock waiting;  /* on BUSY_WANTED, which the stranger holds without a TTL */
    rlk_lock behind;   /* on BUSY_WANTED */
} busy_client;

/* Renews itself; a waiter does not recheck within a test. */
rlk_lock_config busy_config(int64_t ttl_ms);

/* Opens it by one of the server's URLs. options may be NULL. */
void busy_open(busy_client *busy, server *redis, const char *url, const rlk_posix_options *options,
               int64_t ttl_ms);

/* The next event but RENEWED; fails the test after 10 s. */
rlk_event busy_next_event(busy_client *busy);

/* That event is ACQUIRED of this lock. */
void busy_assert_acquired(busy_client *busy, const rlk_lock *lock);

#endif
