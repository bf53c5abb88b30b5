/* SPDX-License-Identifier: MIT
 *
 * Acquire and release of a free lock, one after the other, on one server or on several. Unit: both.
 */
#include "floor.h"
#include "patience.h"
#include "rounds.h"

#include "resplock.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CYCLE_KEY       "lock:resource"
#define CYCLE_KEY_LEN   (sizeof CYCLE_KEY - 1)
#define CYCLE_TTL_MS    30000
#define CYCLE_TTL       "30000"
#define CYCLE_DRIFT_MS  302 /* 1 % and 2 ms */
#define CYCLE_BUF       512
#define CYCLE_NODES_MAX 5

#define CYCLE_CONTENDER(name)                                                                      \
    {                                                                                              \
        "cycle", #name, cycle_open_##name, cycle_run_##name                                        \
    }

/* ---- Floor: a command to all servers, then the reply of each --------------------------------- */

static struct {
    int fd[CYCLE_NODES_MAX];
    size_t nodes;
    char digest[FLOOR_DIGEST];
} cycle_floor;

static void cycle_open_floor(char *const *addresses, size_t count)
{
    size_t i;

    rounds_require(count >= 1 && count <= CYCLE_NODES_MAX);
    cycle_floor.nodes = count;
    for (i = 0; i < count; i++) {
        cycle_floor.fd[i] = floor_connect(addresses[i]);
        floor_load_script(cycle_floor.fd[i], cycle_floor.digest);
    }
}

static void cycle_floor_write(size_t argc, const void *const *argv, const size_t *lens)
{
    uint8_t buf[CYCLE_BUF];
    size_t len = floor_encode(buf, argc, argv, lens);
    size_t i;

    for (i = 0; i < cycle_floor.nodes; i++)
        floor_write(cycle_floor.fd[i], buf, len);
}

/* On a quorum, and not later than what the drift of the clocks leaves of the TTL. */
static bool cycle_floor_acquire(const char *token)
{
    const void *argv[] = {"SET", CYCLE_KEY, token, "NX", "PX", CYCLE_TTL};
    static const size_t lens[] = {3, CYCLE_KEY_LEN, FLOOR_TOKEN, 2, 2, sizeof CYCLE_TTL - 1};
    int64_t begin_ms = floor_now_ms();
    size_t granted = 0;
    size_t i;

    cycle_floor_write(COUNT_OF(argv), argv, lens);
    for (i = 0; i < cycle_floor.nodes; i++) {
        uint8_t buf[CYCLE_BUF];
        floor_token reply;

        floor_read(cycle_floor.fd[i], buf, sizeof buf, &reply);
        granted += reply.type == '+' && reply.len == 2 && memcmp(reply.data, "OK", 2) == 0;
    }
    return granted > cycle_floor.nodes / 2 &&
           floor_now_ms() < begin_ms + CYCLE_TTL_MS - CYCLE_DRIFT_MS;
}

static bool cycle_floor_release(const char *token)
{
    const void *argv[] = {"EVALSHA", cycle_floor.digest, "1", CYCLE_KEY, token};
    static const size_t lens[] = {7, FLOOR_DIGEST, 1, CYCLE_KEY_LEN, FLOOR_TOKEN};
    size_t deleted = 0;
    size_t i;

    cycle_floor_write(COUNT_OF(argv), argv, lens);
    for (i = 0; i < cycle_floor.nodes; i++) {
        uint8_t buf[CYCLE_BUF];
        floor_token reply;

        floor_read(cycle_floor.fd[i], buf, sizeof buf, &reply);
        deleted += reply.type == ':' && reply.value == 1;
    }
    return deleted > cycle_floor.nodes / 2;
}

static unsigned long cycle_run_floor(const char *name, unsigned long units)
{
    unsigned long i;

    (void)name;
    for (i = 0; i < units; i++) {
        char token[FLOOR_TOKEN];

        floor_token_draw(token);
        rounds_require(cycle_floor_acquire(token));
        rounds_require(cycle_floor_release(token));
        rounds_lap();
    }
    return units;
}

/* ---- hiredis ----------------------------------------------------------------------------- */

static struct {
    redisContext *context;
    char digest[FLOOR_DIGEST + 1];
} cycle_hiredis;

static void cycle_open_hiredis(char *const *addresses, size_t count)
{
    redisContext *context;
    redisReply *reply;

    rounds_require(count == 1);
    context = addresses[0][0] == '/' ? redisConnectUnix(addresses[0])
                                     : redisConnect("127.0.0.1", atoi(addresses[0]));
    rounds_require(context != NULL && context->err == 0);
    reply = redisCommand(context, "SCRIPT LOAD %s", floor_script);
    rounds_require(reply != NULL && reply->type == REDIS_REPLY_STRING);
    rounds_require(reply->len == FLOOR_DIGEST);
    memcpy(cycle_hiredis.digest, reply->str, FLOOR_DIGEST);
    freeReplyObject(reply);
    cycle_hiredis.context = context;
}

static bool cycle_hiredis_acquire(const char *token)
{
    const char *argv[] = {"SET", CYCLE_KEY, token, "NX", "PX", CYCLE_TTL};
    static const size_t lens[] = {3, CYCLE_KEY_LEN, FLOOR_TOKEN, 2, 2, sizeof CYCLE_TTL - 1};
    int64_t begin_ms = floor_now_ms();
    redisReply *reply = redisCommandArgv(cycle_hiredis.context, COUNT_OF(argv), argv, lens);
    bool granted =
        reply != NULL && reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0;

    freeReplyObject(reply);
    return granted && floor_now_ms() < begin_ms + CYCLE_TTL_MS - CYCLE_DRIFT_MS;
}

static bool cycle_hiredis_release(const char *token)
{
    const char *argv[] = {"EVALSHA", cycle_hiredis.digest, "1", CYCLE_KEY, token};
    static const size_t lens[] = {7, FLOOR_DIGEST, 1, CYCLE_KEY_LEN, FLOOR_TOKEN};
    redisReply *reply = redisCommandArgv(cycle_hiredis.context, COUNT_OF(argv), argv, lens);
    bool deleted = reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;

    freeReplyObject(reply);
    return deleted;
}

static unsigned long cycle_run_hiredis(const char *name, unsigned long units)
{
    unsigned long i;

    (void)name;
    for (i = 0; i < units; i++) {
        char token[FLOOR_TOKEN];

        floor_token_draw(token);
        rounds_require(cycle_hiredis_acquire(token));
        rounds_require(cycle_hiredis_release(token));
        rounds_lap();
    }
    return units;
}

/* ---- resplock ---------------------------------------------------------------------------- */

static struct {
    rlk_posix_client posix;
    rlk_lock lock;
    rlk_posix_memory memory[CYCLE_NODES_MAX];
    rlk_conn_entry ring[CYCLE_NODES_MAX][RLK_CONN_RING_MIN];
    uint8_t tx[CYCLE_NODES_MAX][CYCLE_BUF];
    uint8_t rx[CYCLE_NODES_MAX][CYCLE_BUF];
    char urls[CYCLE_NODES_MAX][128];
} cycle_resplock;

static void cycle_open_nodes(char *const *addresses, size_t count)
{
    const char *urls[CYCLE_NODES_MAX];
    size_t i;

    for (i = 0; i < count; i++) {
        rlk_posix_memory *memory = &cycle_resplock.memory[i];
        int written =
            snprintf(cycle_resplock.urls[i], sizeof cycle_resplock.urls[i], "%s%s",
                     addresses[i][0] == '/' ? "unix://" : "redis://127.0.0.1:", addresses[i]);

        rounds_require(written > 0 && (size_t)written < sizeof cycle_resplock.urls[i]);
        urls[i] = cycle_resplock.urls[i];
        memory->ring = cycle_resplock.ring[i];
        memory->ring_len = RLK_CONN_RING_MIN;
        memory->tx = cycle_resplock.tx[i];
        memory->tx_cap = CYCLE_BUF;
        memory->rx = cycle_resplock.rx[i];
        memory->rx_cap = CYCLE_BUF;
    }
    rounds_require(rlk_posix_open_nodes(&cycle_resplock.posix, urls, cycle_resplock.memory, count,
                                        &patience) == RLK_OK);
}

static void cycle_open_resplock(char *const *addresses, size_t count)
{
    rlk_lock_config config = rlk_lock_config_default();

    rounds_require(count >= 1 && count <= CYCLE_NODES_MAX);
    cycle_open_nodes(addresses, count);
    config.ttl_ms = CYCLE_TTL_MS;
    config.node_timeout_ms = PATIENCE_NODE_MS;
    rounds_require(rlk_lock_init(&cycle_resplock.lock, &cycle_resplock.posix.client, CYCLE_KEY,
                                 &config) == RLK_OK);
}

static unsigned long cycle_run_resplock(const char *name, unsigned long units)
{
    unsigned long i;

    (void)name;
    for (i = 0; i < units; i++) {
        rounds_require(rlk_acquire(&cycle_resplock.lock, RLK_TRY) == RLK_OK);
        rounds_require(rlk_release(&cycle_resplock.lock) == RLK_OK);
        rounds_lap();
    }
    return units;
}

const rounds_contender cycle_contenders[3] = {
    CYCLE_CONTENDER(floor),
    CYCLE_CONTENDER(hiredis),
    CYCLE_CONTENDER(resplock),
};
