/* SPDX-License-Identifier: MIT
 *
 * lock_transferred.h: a harness with two clients, each with a lock: a lease moves between them.
 */
#ifndef TEST_LOCK_TRANSFERRED_H
#define TEST_LOCK_TRANSFERRED_H

#include "harness.h"

#include <string.h>

#define TTL    30000
#define FIRST  0
#define SECOND 1

static harness h;
static rlk_lock from;
static rlk_lock to;
static rlk_lease lease;

static inline void init(rlk_lock *lock, unsigned member, bool auto_renew)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = TTL;
    config.auto_renew = auto_renew;
    assert_result(rlk_lock_init(lock, &h.members[member].client, HARNESS_KEY, &config), RLK_OK);
}

/* Two clients that are connected; nothing is answered. */
static inline void start(unsigned nodes)
{
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, nodes, 2);
    harness_advance(&h, 0);
    init(&from, FIRST, false);
    init(&to, SECOND, true);
}

static inline void automatic(bool is)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++)
        h.servers[i].automatic = is;
}

static inline void start_held(unsigned nodes)
{
    start(nodes);
    automatic(true);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
}

/* The lease has left a lock whose SET to the third node is not answered. */
static inline void start_late(void)
{
    start(3);
    assert_result(rlk_acquire_start(&from, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
}

static inline bool pull(unsigned member, rlk_event *event)
{
    return rlk_client_next_event(&h.members[member].client, event);
}

static inline unsigned holding(const char *token)
{
    return harness_holding(&h, HARNESS_KEY, token);
}

#endif
