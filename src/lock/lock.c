/* SPDX-License-Identifier: MIT
 *
 * The life of a lock, and what can be asked of it without the network.
 */
#include "clock.h"
#include "events.h"
#include "extend.h"
#include "lease.h"
#include "refusal.h"
#include "machine.h"
#include "notify.h"
#include "recheck.h"
#include "tally.h"
#include "token.h"
#include "trace.h"
#include "timers.h"

#include <string.h>

/* ---- init ---- */

rlk_lock_config rlk_lock_config_default(void)
{
    rlk_lock_config config;

    config.ttl_ms = RLK_TTL_MS;
    config.wait_ms = RLK_WAIT_MS;
    config.node_timeout_ms = 0; /* follows the TTL */
    config.retry_min_ms = RLK_RETRY_MIN_MS;
    config.retry_max_ms = RLK_RETRY_MAX_MS;
    config.recheck_max_ms = RLK_RECHECK_MAX_MS;
    config.watch_after_ms = RLK_WATCH_AFTER_MS;
    config.max_hold_ms = 0; /* none */
    config.report_ms = 0;   /* of waits without end */
    config.token_prefix = NULL;
    config.holders = NULL;
    config.user = NULL;
    config.auto_renew = false;
    return config;
}

static bool lock_take_times(rlk_lock *lock, const rlk_lock_config *config)
{
    rlk_client *client = lock->client;
    uint32_t third_ms = lock->ttl_ms / 3;
    uint32_t try_ms = third_ms < RLK_NODE_TIMEOUT_MAX_MS ? third_ms : RLK_NODE_TIMEOUT_MAX_MS;

    if (!rlki_client_take_limit(client, &lock->node_timeout_ms, config->node_timeout_ms, try_ms,
                                RLKI_WORD("node_timeout_ms")) ||
        !rlki_client_take_limit(client, &lock->retry_min_ms, config->retry_min_ms, RLK_RETRY_MIN_MS,
                                RLKI_WORD("retry_min_ms")) ||
        !rlki_client_take_limit(client, &lock->retry_max_ms, config->retry_max_ms, RLK_RETRY_MAX_MS,
                                RLKI_WORD("retry_max_ms")) ||
        !rlki_client_take_limit(client, &lock->recheck_max_ms, config->recheck_max_ms,
                                RLK_RECHECK_MAX_MS, RLKI_WORD("recheck_max_ms")) ||
        !rlki_client_take_limit(client, &lock->watch_after_ms, config->watch_after_ms,
                                RLK_WATCH_AFTER_MS, RLKI_WORD("watch_after_ms")) ||
        !rlki_client_take_limit(client, &lock->wait_ms, config->wait_ms, RLK_WAIT_MS,
                                RLKI_WORD("wait_ms")) ||
        !rlki_client_take_limit(client, &lock->report_interval_ms, config->report_ms, 0,
                                RLKI_WORD("report_ms")))
        return false;
    if (config->max_hold_ms != 0 &&
        (config->max_hold_ms < (int64_t)lock->ttl_ms || config->max_hold_ms > RLK_TTL_MAX)) {
        RLKI_REFUSE(client, RLKI_WORD("max_hold_ms"), config->max_hold_ms, lock->ttl_ms,
                    RLK_TTL_MAX);
        return false; /* the first lease is longer already */
    }
    lock->max_hold_ms = (uint32_t)config->max_hold_ms;
    if (lock->retry_max_ms < lock->retry_min_ms) /* one of them alone was set */
        lock->retry_max_ms = lock->retry_min_ms;
    return true;
}

static rlk_result lock_refuse_ttl(const rlk_lock *lock, const rlk_lock_config *config)
{
    RLKI_REFUSE(lock->client, RLKI_WORD("ttl_ms"), config->ttl_ms,
                rlki_ttl_least(lock->client, config->node_timeout_ms), RLK_TTL_MAX);
    return RLK_E_TTL;
}

static rlk_result lock_configure(rlk_lock *lock, const rlk_lock_config *config)
{
    unsigned i;

    if (config->ttl_ms < 0 || config->ttl_ms > RLK_TTL_MAX)
        return lock_refuse_ttl(lock, config);
    lock->ttl_ms = config->ttl_ms == 0 ? RLK_TTL_MS : (uint32_t)config->ttl_ms;
    if (!lock_take_times(lock, config))
        return RLK_E_TIMES;
    lock->user = config->user;
    lock->holders = config->holders;
    for (i = 0; lock->holders != NULL && i < rlki_nodes(lock->client); i++) {
        memset(&lock->holders[i], 0, sizeof lock->holders[i]);
        lock->holders[i].result = RLK_PENDING;
    }
    lock->prefix = config->token_prefix;
    if (lock->prefix != NULL) {
        size_t len = strlen(lock->prefix);

        if (len > RLK_PREFIX_MAX) {
            RLKI_REFUSE(lock->client, RLKI_WORD("its length"), len, 0, RLK_PREFIX_MAX);
            return RLK_E_PREFIX;
        }
        lock->prefix_len = (uint8_t)len;
    }
    return rlki_extend_is_enough(lock, lock->ttl_ms) ? RLK_OK : lock_refuse_ttl(lock, config);
}

/* The transmit buffer of each connection takes the key twice, and the prefix (RLK_TX_MIN_PREFIX).
 */
static rlk_result lock_key_fits(const rlk_lock *lock, size_t key_len)
{
    size_t frame = RLK_TX_MIN_PREFIX(0, (size_t)lock->prefix_len);
    size_t most = SIZE_MAX;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        size_t cap = rlk_conn_tx_cap(lock->client->conns[i]);
        size_t fits = cap > frame ? (cap - frame) / 2 : 0;

        if (fits < most)
            most = fits;
    }
    if (key_len != 0 && key_len <= most)
        return RLK_OK;
    RLKI_REFUSE(lock->client, RLKI_WORD("its length"),
                key_len < INT32_MAX ? (int64_t)key_len : INT64_MAX, 1, most);
    return RLK_E_KEY;
}

static rlk_result lock_init(rlk_lock *lock, rlk_client *client, const void *key, size_t key_len,
                            const rlk_lock_config *config)
{
    static const rlk_lock_config all_defaults = {0, 0, 0,    0,    0,    0,    0,
                                                 0, 0, NULL, NULL, NULL, false};
    rlk_result result;
    unsigned i;

    if (client == NULL)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return key != NULL ? RLK_E_CLOSED : RLK_E_ARGUMENT;
    if (!rlki_client_same_process(client))
        return RLK_E_FORKED;
    lock->client = client;
    RLKI_REFUSE(client, NULL, 0, 0, 0);
    result = key != NULL ? lock_configure(lock, config != NULL ? config : &all_defaults)
                         : RLK_E_ARGUMENT;
    if (result == RLK_OK)
        result = lock_key_fits(lock, key_len);
    if (result != RLK_OK) {
        lock->client = NULL;
        client->error = (int16_t)result; /* the lock has no memory for texts */
        client->error_node = 0;
        return result;
    }
    lock->key = (const uint8_t *)key;
    lock->key_len = (uint32_t)key_len;
    lock->key_hash = rlk_key_hash(RLK_KEY_HASH, key, key_len);
    lock->texts = rlki_token_texts(lock);
    lock->retry_ms = RLKI_NEVER;
    lock->deadline_ms = RLKI_NEVER;
    lock->phase_ms = RLKI_NEVER;
    for (i = 0; i < RLK_MAX_NODES; i++) {
        lock->nodes[i].index = (uint8_t)i;
        lock->nodes[i].expiry_ms = RLKI_EXPIRED;
    }
    client->error = RLK_OK; /* of a lock that was refused before: the caller went on */
    lock->next = client->locks;
    if (lock->next != NULL)
        lock->next->prev = lock;
    client->locks = lock;
    lock->state = RLKI_FREE;
    return RLK_OK;
}

rlk_result rlki_lock_create_n(rlk_lock *lock, rlk_client *client, const void *key, size_t key_len,
                              const rlk_lock_config *config, size_t size, uint32_t layout)
{
    if (lock == NULL)
        return RLK_E_ARGUMENT;
    memset(lock, 0, size); /* closed, whatever follows */
    if (size != sizeof *lock || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    return lock_init(lock, client, key, key_len, config);
}

rlk_result rlki_lock_create(rlk_lock *lock, rlk_client *client, const char *key,
                            const rlk_lock_config *config, size_t size, uint32_t layout)
{
    return rlki_lock_create_n(lock, client, key, key != NULL ? strlen(key) : 0, config, size,
                              layout);
}

rlk_result rlk_lock_close(rlk_lock *lock)
{
    rlk_client *client;
    rlki_tally tally;
    bool deleting[RLK_MAX_NODES];
    unsigned i;
    rlk_result result = rlki_machine_enter(lock);

    if (result != RLK_OK && result != RLK_E_FORKED)
        return result;
    client = lock->client;
    for (i = 0; i < rlki_nodes(client); i++) {
        bool del = lock->nodes[i].request.tag == RLKI_DEL;

        deleting[i] = !rlki_node_lock_abandon(&lock->nodes[i]) && del;
    }
    /* now only tokens count, not a query that was under way or a SET that never left */
    tally = rlki_tally_of(lock);
    rlki_timers_cancel(&lock->timer);
    rlki_event_drop(lock, RLKI_EVENT_ALL);
    rlki_recheck_leave(lock);
    if (lock->prev != NULL)
        lock->prev->next = lock->next;
    else
        client->locks = lock->next;
    if (lock->next != NULL)
        lock->next->prev = lock->prev;
    lock->state = RLKI_CLOSED;
    lock->op = NULL;
    lock->client = NULL;
    if (result == RLK_E_FORKED) /* untied in this process, for its memory may go; nothing is sent */
        return result;
    /* Nobody gets the answer to what may still be deleted on our behalf. So others are notified
     * now: their SETs go behind it. */
    for (i = 0; i < rlki_nodes(client); i++)
        /* The first loop set each of them.
         * NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch) */
        if (deleting[i] || !rlki_node_lock_is_clean(&lock->nodes[i]))
            rlki_notify(client, i, lock->key_hash, RLK_CAUSE_LOCAL, deleting[i] ? NULL : lock);
    rlki_machine_drain(client);
    return tally.unclean >= rlki_needed(client) ? RLK_UNKNOWN : RLK_OK;
}

/* ---- questions ---- */

int64_t rlk_valid_until_ms(const rlk_lock *lock)
{
    bool held = lock != NULL && lock->client != NULL && lock->state == RLKI_HELD;

    return held && rlki_client_same_process(lock->client)
               ? rlki_client_clock_of(lock->client, lock->as.hold.valid_ms)
               : INT64_MIN;
}

bool rlk_is_held_at(const rlk_lock *lock, int64_t now_ms)
{
    return now_ms < rlk_valid_until_ms(lock);
}

/* The clock, as the client would take it. */
static int64_t lock_now(const rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    int64_t now_ms = client->env.now_ms(client->env.context);

    return now_ms > client->clock_ms ? now_ms : client->clock_ms;
}

int64_t rlk_remaining_ms(const rlk_lock *lock)
{
    int64_t until_ms = rlk_valid_until_ms(lock);
    int64_t now_ms;

    if (until_ms == INT64_MIN) /* then there may be no client either */
        return 0;
    now_ms = lock_now(lock);
    return now_ms < until_ms ? until_ms - now_ms : 0;
}

bool rlk_is_held(const rlk_lock *lock)
{
    return rlk_remaining_ms(lock) > 0;
}

int64_t rlk_held_ms(const rlk_lock *lock)
{
    return rlk_is_held(lock) ? lock_now(lock) - lock->as.hold.since_ms : 0;
}

rlk_operation rlk_lock_operation(const rlk_lock *lock)
{
    return lock != NULL && lock->client != NULL && rlki_operation_is_on(lock)
               ? (rlk_operation)lock->op->id
               : RLK_OP_NONE;
}

rlk_lost_cause rlk_lock_lost_cause(const rlk_lock *lock)
{
    /* of a lock that is held a minority may have said something */
    bool over = lock != NULL && lock->client != NULL && lock->state != RLKI_HELD;

    return over ? (rlk_lost_cause)lock->lost_cause : RLK_LOST_NOT;
}

size_t rlk_lock_token(const rlk_lock *lock, char *out, size_t cap)
{
    size_t len;

    if (lock == NULL || lock->client == NULL || lock->token == 0)
        return 0;
    len = rlki_token_len(lock);
    if (out != NULL && len < cap) {
        rlki_token_write(lock, lock->token, (uint8_t *)out);
        out[len] = '\0';
    }
    return len;
}
