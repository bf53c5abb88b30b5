/* SPDX-License-Identifier: MIT
 *
 * lock_elected.h: a harness with one server, and locks on it that lead, follow or have lost.
 */
#ifndef TEST_LOCK_ELECTED_H
#define TEST_LOCK_ELECTED_H

#include "harness.h"

#define DRIFT(ms) ((ms) / 100 + 3)
#define TTL       30000
#define LEASE     (TTL - DRIFT(TTL))
#define DUE       (TTL / 3)
#define FOREIGN   "foreign"

static harness h;

static inline void start(void)
{
    harness_start(&h, 1);
}

/* Campaigns on a server where nobody leads, and leads. */
static inline void lead(rlk_lock *lock)
{
    start();
    harness_lock(&h, lock, TTL);
    assert_result(rlk_campaign_start(lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Follows another client. */
static inline void follow(rlk_lock *lock)
{
    start();
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_lock(&h, lock, TTL);
    assert_result(rlk_campaign_start(lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
}

/* Leads no longer: the key is gone, and the answer to the next renewal says so. */
static inline void lose(rlk_lock *lock)
{
    harness_entry *entry = harness_find(&h, &h.servers[0], HARNESS_KEY);

    if (entry != NULL)
        entry->key[0] = '\0';
    harness_advance(&h, DUE);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_expect_event(&h, RLK_EV_RENEW_FAILED, RLK_NOT_OWNER);
    assert_false(rlk_is_held(lock));
}

#endif
