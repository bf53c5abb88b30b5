/* SPDX-License-Identifier: MIT
 *
 * exhaust.h: a lock's life (open, acquire, extend, check, query, release, close) on a real server
 * and a faulty system. After each call what the library says is compared with what the server has.
 */
#ifndef TEST_EXHAUST_H
#define TEST_EXHAUST_H

#include "faulty_system.h"
#include "server.h"

/* ---- A lock's life ----------------------------------------------------------------------- */

#define EXHAUST_KEY "exhausted"
#define EXHAUST_TTL 30000

typedef enum exhaust_step {
    STEP_ACQUIRE,
    STEP_EXTEND,
    STEP_CHECK,
    STEP_QUERY,
    STEP_RELEASE,
    STEPS
} exhaust_step;

static const char *const exhaust_steps[STEPS] = {"acquire", "extend", "check", "query", "release"};

typedef struct exhaust_life {
    const char *urls[RLK_MAX_NODES];
    server *servers[RLK_MAX_NODES];
    size_t nodes;
    rlk_posix_options options;
    size_t tx_cap; /* 0: the buffers that rlk_posix_open embeds; for one node */
    size_t rx_cap;
    uint16_t ring_len;
    int64_t wait_ms;
    /* what came of it */
    rlk_posix_client posix;
    rlk_lock lock;
    rlk_result results[STEPS];
    char what[160]; /* for messages */
    rlk_posix_memory memory[RLK_MAX_NODES];
    rlk_conn_entry rings[RLK_MAX_NODES][32];
    uint8_t *tx[RLK_MAX_NODES];
    uint8_t *rx[RLK_MAX_NODES];
} exhaust_life;

/* Nothing fails; one server, on its Unix socket. */
EXHAUST void exhaust_life_init(exhaust_life *life, server *redis)
{
    memset(life, 0, sizeof *life);
    life->urls[0] = server_url(redis);
    life->servers[0] = redis;
    life->nodes = 1;
    life->wait_ms = 10000;
    life->options.backoff_min_ms = 1;
    life->options.backoff_max_ms = 4;
}

EXHAUST void exhaust_reset(void)
{
    memset(&kernel, 0, sizeof kernel);
}

/* On how many servers the key holds something. */
EXHAUST size_t exhaust_holding(const exhaust_life *life)
{
    size_t holding = 0;
    size_t i;

    for (i = 0; i < life->nodes; i++) {
        holding += server_integer(life->servers[i], "EXISTS " EXHAUST_KEY) == 1;
    }
    return holding;
}

/* On a quorum of the servers the key holds our token for at least this long. */
static bool exhaust_has_it(const exhaust_life *life, int64_t ttl_ms)
{
    char token[RLK_TOKEN_MAX + 1];
    size_t has = 0;
    size_t i;

    assert_true(rlk_lock_token(&life->lock, token, sizeof token) > 0);
    for (i = 0; i < life->nodes; i++) {
        const char *value = server_text(life->servers[i], "GET " EXHAUST_KEY);

        has += value != NULL && strcmp(value, token) == 0 &&
               server_integer(life->servers[i], "PTTL " EXHAUST_KEY) >= ttl_ms;
    }
    return has > life->nodes / 2;
}

#define exhaust_assert(life, condition)                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            support_fail("%s: %s", (life)->what, #condition);                                      \
    } while (0)

/* What is true of a lock whatever fails: never OK without the server's yes; no token left behind
 * but where the result says that it may be. */
static void exhaust_compare(exhaust_life *life, exhaust_step step, const rlk_holder *holders)
{
    rlk_result result = life->results[step];
    int64_t raised_ms = life->results[STEP_EXTEND] == RLK_OK && step >= STEP_EXTEND ? 10000 : 0;

    if (strcmp(rlk_result_name(result), "?") == 0 || result == RLK_PENDING ||
        result == RLK_E_STATE) {
        support_fail("%s: %s is %d", life->what, exhaust_steps[step], result);
    }
    exhaust_assert(life, rlk_lock_operation(&life->lock) == RLK_OP_NONE);
    if (rlk_is_held(&life->lock)) {
        exhaust_assert(life, exhaust_has_it(life, rlk_remaining_ms(&life->lock)));
    }
    switch (step) {
    case STEP_ACQUIRE:
        exhaust_assert(life, rlk_is_held(&life->lock) == (result == RLK_OK));
        if (result != RLK_OK && result != RLK_UNKNOWN) {
            exhaust_assert(life, exhaust_holding(life) <= life->nodes / 2);
        }
        break;
    case STEP_EXTEND:
    case STEP_CHECK:
        if (result == RLK_OK) {
            exhaust_assert(life, exhaust_has_it(life, EXHAUST_TTL - 25000 + raised_ms));
        }
        break;
    case STEP_QUERY:
        if (result == RLK_OK) {
            exhaust_assert(life, exhaust_has_it(life, 0));
            exhaust_assert(life, life->nodes > 1 || holders[0].ours);
        }
        break;
    default:
        exhaust_assert(life, !rlk_is_held(&life->lock));
        if (result == RLK_OK || result == RLK_GONE || result == RLK_NOT_OWNER) {
            exhaust_assert(life, exhaust_holding(life) <= life->nodes / 2);
        }
        break;
    }
}

static void exhaust_steps_run(exhaust_life *life)
{
    rlk_holder holders[RLK_MAX_NODES];
    int step;

    memset(holders, 0, sizeof holders);
    for (step = 0; step < STEPS; step++) {
        kernel.armed = true;
        switch (step) {
        case STEP_ACQUIRE:
            life->results[step] = rlk_acquire(&life->lock, life->wait_ms);
            break;
        case STEP_EXTEND:
            life->results[step] = rlk_extend(&life->lock, 10000);
            break;
        case STEP_CHECK:
            life->results[step] = rlk_check(&life->lock);
            break;
        case STEP_QUERY:
            life->results[step] = rlk_query(&life->lock, holders, RLK_MAX_NODES);
            break;
        default:
            life->results[step] = rlk_release(&life->lock);
            break;
        }
        kernel.armed = false;
        exhaust_compare(life, (exhaust_step)step, holders);
    }
}

static rlk_result exhaust_open(exhaust_life *life)
{
    size_t i;

    if (life->nodes == 1 && life->tx_cap == 0) {
        return rlk_posix_open(&life->posix, life->urls[0], &life->options);
    }
    for (i = 0; i < life->nodes; i++) {
        rlk_posix_memory *memory = &life->memory[i];

        memory->ring = life->rings[i];
        memory->ring_len = life->ring_len != 0 ? life->ring_len : (uint16_t)32;
        memory->tx_cap = life->tx_cap != 0 ? life->tx_cap : 1024;
        memory->rx_cap = life->rx_cap != 0 ? life->rx_cap : 512;
        memory->tx = life->tx[i] = (uint8_t *)malloc(memory->tx_cap);
        memory->rx = life->rx[i] = (uint8_t *)malloc(memory->rx_cap);
    }
    return rlk_posix_open_nodes(&life->posix, life->urls, life->memory, life->nodes,
                                &life->options);
}

/* The same again without failures: everything works. Then nothing is left, not a descriptor, not a
 * page, not a key. */
static void exhaust_end(exhaust_life *life)
{
    rlk_result result;
    size_t i;

    for (i = 0; i < COUNT_OF(kernel.faults); i++) {
        if (kernel.faults[i].call != EX_CLOSE && kernel.faults[i].call != EX_MUNMAP) {
            kernel.faults[i].to = 0; /* those that give back may fail up to the end */
        }
    }
    memset(&kernel.cut, 0, sizeof kernel.cut);
    kernel.hurries = false;
    kernel.armed = true;
    result = rlk_acquire(&life->lock, 10000);
    kernel.armed = false;
    if (result != RLK_OK) {
        support_fail("%s: no recovery, but %s", life->what, rlk_lock_error(&life->lock));
    }
    exhaust_assert(life, exhaust_has_it(life, EXHAUST_TTL - 25000));
    kernel.armed = true;
    exhaust_assert(life, rlk_release(&life->lock) == RLK_OK);
    exhaust_assert(life, rlk_lock_close(&life->lock) == RLK_OK);
    rlk_posix_close(&life->posix);
    kernel.armed = false;
    exhaust_assert(life, exhaust_holding(life) <= (life->nodes - 1) / 2);
    for (i = 0; i < life->nodes; i++) {
        server_integer(life->servers[i], "DEL " EXHAUST_KEY); /* of the slowest node */
        free(life->tx[i]);
        free(life->rx[i]);
        life->tx[i] = NULL;
        life->rx[i] = NULL;
    }
}

/* Opens, lives, recovers, closes, with the faults that `kernel` has. */
EXHAUST void exhaust_live(exhaust_life *life)
{
    static const rlk_lock_config config = {.ttl_ms = EXHAUST_TTL};
    unsigned descriptors = exhaust_descriptors();

    memset(kernel.count, 0, sizeof kernel.count);
    kernel.met = 0;
    kernel.armed = true;
    exhaust_assert(life, exhaust_open(life) == RLK_OK);
    exhaust_assert(life,
                   rlk_lock_init(&life->lock, &life->posix.client, EXHAUST_KEY, &config) == RLK_OK);
    exhaust_steps_run(life);
    exhaust_end(life);
    exhaust_assert(life, exhaust_descriptors() == descriptors);
    exhaust_assert(life, kernel.lists == 0);
    exhaust_assert(life, kernel.pages == 0);
}

/* Every step came to RLK_OK. Where the connection broke, a query, which is asked once only, may say
 * so, and a release whose answer was lost finds nothing when it is repeated. */
EXHAUST void exhaust_assert_ridden_out(const exhaust_life *life, bool unbroken)
{
    int step;

    for (step = 0; step < STEPS; step++) {
        rlk_result result = life->results[step];

        if (result == RLK_OK || (!unbroken && step == STEP_RELEASE && result == RLK_GONE) ||
            (!unbroken && step == STEP_QUERY && rlk_result_class(result) == RLK_KIND_TRANSPORT)) {
            continue;
        }
        support_fail("%s: %s is %s", life->what, exhaust_steps[step], rlk_result_name(result));
    }
    exhaust_assert(life, !unbroken || kernel.count[EX_CONNECT] == life->nodes);
}

#endif
