/* SPDX-License-Identifier: MIT
 *
 * lock_dangling.h: locks whose key and prefix are in memory that a test overwrites (fault 119).
 */
#ifndef TEST_LOCK_DANGLING_H
#define TEST_LOCK_DANGLING_H

#include "harness.h"

#include <string.h>

#define TTL   10000
#define OTHER "o" /* the key that overwrites HARNESS_KEY; it belongs to another client */
#define TOKEN "token of another client"

typedef struct dangling {
    char key[sizeof HARNESS_KEY];
    char prefix[8];
} dangling;

static inline void dangling_set_key(dangling *memory, const char *to)
{
    memcpy(memory->key, to, sizeof memory->key);
}

/* A lock whose key, and perhaps prefix, are in this memory. */
static inline void dangling_init(harness *h, dangling *memory, rlk_lock *lock, bool prefixed)
{
    rlk_lock_config config;

    dangling_set_key(memory, HARNESS_KEY);
    memcpy(memory->prefix, "host-7:", sizeof memory->prefix);
    memset(&config, 0, sizeof config);
    config.ttl_ms = TTL;
    config.token_prefix = prefixed ? memory->prefix : NULL;
    assert_result(rlk_lock_init(lock, h->client, memory->key, &config), RLK_OK);
}

/* Another client holds the other key on all nodes. */
static inline void dangling_put_other(harness *h)
{
    unsigned i;

    for (i = 0; i < h->nodes; i++)
        harness_put(h, i, OTHER, TOKEN, -1);
}

/* It still does. */
static inline void dangling_expect_other(harness *h)
{
    assert_int_equal(harness_holding(h, OTHER, TOKEN), h->nodes);
}

/* The result of what was started comes within a moment. */
static inline void dangling_expect_soon(harness *h, rlk_operation operation, rlk_result result)
{
    rlk_event event;

    assert_true(harness_next_event(h, &event, 10));
    assert_end(&event, operation, result);
}

#endif
