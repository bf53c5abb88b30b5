/* SPDX-License-Identifier: MIT
 *
 * crowd.h: many clients over the same servers, each with a lock of its own and in one poll loop, as
 * many waiting processes would be; and what they cost the servers, counted.
 *
 *     crowd_open(&waiters, 100, set.servers, 1, NULL, "foobar", NULL);
 *     crowd_wait(&waiters);
 *     before = crowd_calls(&waiters);
 *     server_integer(redis, "DEL foobar");
 *     crowd_until(&waiters, waiters.holding == 1);
 *     assert_between(crowd_calls(&waiters).sets - before.sets, 1, 100);
 *     crowd_close(&waiters);
 */
#ifndef TEST_CROWD_H
#define TEST_CROWD_H

#include "nodes.h"

#define CROWD_MAX   100
#define CROWD_NODES 3

typedef struct crowd crowd;

typedef struct crowd_member {
    crowd *of;
    rlk_posix_client posix;
    rlk_lock lock;
    rlk_posix_memory memory[CROWD_NODES];
    rlk_conn_entry rings[CROWD_NODES][16];
    uint8_t tx[CROWD_NODES][512];
    uint8_t rx[CROWD_NODES][512];
    unsigned acquired; /* so often */
    unsigned pushes;   /* that the server notified it of its key */
    unsigned commands; /* that its lock sent */
} crowd_member;

/* Large, so static in tests. */
struct crowd {
    size_t count;
    size_t nodes;
    server *servers[CROWD_NODES];
    crowd_member members[CROWD_MAX];
    size_t holding;     /* members that hold their lock */
    crowd_member *last; /* who acquired last */
};

/* Opens `count` clients over the first `nodes` of these servers. The options' trace hook is the
 * crowd's. NULL: defaults. */
void crowd_open(crowd *many, size_t count, server *const *servers, size_t node_count,
                const rlk_posix_options *options, const char *key, const rlk_lock_config *config);

/* The same with another key for each: member i has keys[i % keys_len]. */
void crowd_open_keys(crowd *many, size_t count, server *const *servers, size_t node_count,
                     const rlk_posix_options *options, const char *const *keys, size_t keys_len,
                     const rlk_lock_config *config);
void crowd_close(crowd *many);

/* Everybody acquires again and again; returns when everybody has had an attempt, and all is calm.
 */
void crowd_wait(crowd *many);

/* Serves all for a time. Results are taken: ACQUIRED and RELEASED are counted, others but renewals
 * fail the test. */
void crowd_serve(crowd *many, int64_t ms);

/* Serves all until the condition is true; fails the test after 20 s (times the time factor). */
#define crowd_until(many, condition)                                                               \
    do {                                                                                           \
        int64_t crowd_until_end = support_now_ms() + INT64_C(20000) * support_time_factor();       \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > crowd_until_end)                                                \
                support_fail("never came: %s", #condition);                                        \
            crowd_serve((many), 1);                                                                \
        }                                                                                          \
    } while (0)

/* Serves all until no command has reached the servers for a while. */
void crowd_calm(crowd *many);

/* What all clients of the servers sent, commands in scripts too. */
typedef struct crowd_count {
    int64_t sets;
    int64_t pttls;
    int64_t scripts;
} crowd_count;
crowd_count crowd_calls(const crowd *many);
crowd_count server_count(server *redis);

/* Sum of the members' counters. */
rlk_stats crowd_stats(const crowd *many);
unsigned crowd_pushes(const crowd *many);
unsigned crowd_commands(const crowd *many);

/* Attempts of a client, all of them, by their causes: assert_causes(&client, {[RLK_CAUSE_START] =
 * 1}). */
#define assert_causes(posix, ...)                                                                  \
    crowd_assert_causes((posix), (const uint32_t[RLK_CAUSES])__VA_ARGS__, __FILE__, __LINE__)
void crowd_assert_causes(const rlk_posix_client *posix, const uint32_t *expected, const char *file,
                         int line);

/* Attempts of one cause so far. */
uint32_t cause_count(const rlk_posix_client *posix, rlk_cause cause);

#endif
