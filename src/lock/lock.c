/* SPDX-License-Identifier: MIT
 *
 * The public calls of a lock: arguments are checked here, once, for the started and the blocking
 * forms.
 */
#include "internal.h"
#include "validity.h"
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
    config.max_hold_ms = 0; /* none */
    config.report_ms = 0;   /* of waits without end */
    config.token_prefix = NULL;
    config.user = NULL;
    config.auto_renew = false;
    return config;
}

/* A lease must outlast drift and the time of one try, else none can be won. */
static bool lock_ttl_good(const rlk_lock *lock, int64_t ttl_ms)
{
    if (ttl_ms < 1 || ttl_ms > RLK_TTL_MAX)
        return false;
    return ttl_ms > (int64_t)rlki_client_drift(lock->client, (uint32_t)ttl_ms) +
                        (int64_t)lock->node_timeout_ms;
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
        !rlki_client_take_limit(client, &lock->wait_ms, config->wait_ms, RLK_WAIT_MS,
                                RLKI_WORD("wait_ms")) ||
        !rlki_client_take_limit(client, &lock->report_ms, config->report_ms, 0,
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
    if (config->ttl_ms < 0 || config->ttl_ms > RLK_TTL_MAX)
        return lock_refuse_ttl(lock, config);
    lock->ttl_ms = config->ttl_ms == 0 ? RLK_TTL_MS : (uint32_t)config->ttl_ms;
    if (!lock_take_times(lock, config))
        return RLK_E_TIMES;
    lock->user = config->user;
    lock->options = config->auto_renew ? RLKI_OPTION_RENEW : 0;
    lock->prefix = config->token_prefix;
    if (lock->prefix) {
        size_t len = strlen(lock->prefix);
        if (len > RLK_PREFIX_MAX) {
            RLKI_REFUSE(lock->client, RLKI_WORD("its length"), len, 0, RLK_PREFIX_MAX);
            return RLK_E_PREFIX;
        }
        lock->prefix_len = (uint8_t)len;
    }
    return lock_ttl_good(lock, lock->ttl_ms) ? RLK_OK : lock_refuse_ttl(lock, config);
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
    static const rlk_lock_config all_defaults = {0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, false};
    rlk_result result;
    unsigned i;
    if (!client)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return key ? RLK_E_CLOSED : RLK_E_ARGUMENT;
    if (!rlki_client_same_process(client))
        return RLK_E_FORKED;
    lock->client = client;
    RLKI_REFUSE(client, NULL, 0, 0, 0);
    result = key ? lock_configure(lock, config ? config : &all_defaults) : RLK_E_ARGUMENT;
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
    lock->retry_ms = RLK_NEVER;
    lock->wake_ms = RLK_NEVER;
    lock->deadline_ms = RLK_NEVER;
    lock->phase_ms = RLK_NEVER;
    lock->report_at_ms = RLK_NEVER;
    for (i = 0; i < RLK_MAX_NODES; i++) {
        lock->seats[i].index = (uint8_t)i;
        lock->seats[i].expiry_ms = RLKI_EXPIRED;
    }
    client->error = RLK_OK; /* of a lock that was refused before: the caller went on */
    lock->next = client->locks;
    if (lock->next)
        lock->next->prev = lock;
    client->locks = lock;
    lock->state = RLKI_FREE;
    return RLK_OK;
}

rlk_result rlki_lock_init_n(rlk_lock *lock, rlk_client *client, const void *key, size_t key_len,
                            const rlk_lock_config *config, size_t size, uint32_t layout)
{
    if (!lock)
        return RLK_E_ARGUMENT;
    memset(lock, 0, size); /* closed, whatever follows */
    if (size != sizeof(*lock) || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    return lock_init(lock, client, key, key_len, config);
}

rlk_result rlki_lock_init(rlk_lock *lock, rlk_client *client, const char *key,
                          const rlk_lock_config *config, size_t size, uint32_t layout)
{
    return rlki_lock_init_n(lock, client, key, key ? strlen(key) : 0, config, size, layout);
}

rlk_result rlk_lock_close(rlk_lock *lock)
{
    rlk_client *client;
    rlki_tally tally;
    bool deleting[RLK_MAX_NODES];
    unsigned i;
    rlk_result result = rlki_lock_enter(lock);
    if (result != RLK_OK && result != RLK_E_FORKED)
        return result;
    client = lock->client;
    for (i = 0; i < rlki_nodes(client); i++) {
        bool del = lock->seats[i].request.tag == RLKI_DEL;
        deleting[i] = !rlki_seat_abandon(&lock->seats[i]) && del;
    }
    /* now only tokens count, not a query that was under way or a SET that never left */
    tally = rlki_tally_of(lock);
    rlki_timers_cancel(&lock->timer);
    rlki_event_drop(lock, RLKI_EVENT_ALL);
    rlki_watch_leave(lock);
    if (lock->prev)
        lock->prev->next = lock->next;
    else
        client->locks = lock->next;
    if (lock->next)
        lock->next->prev = lock->prev;
    lock->state = RLKI_CLOSED;
    lock->operation = RLK_OP_NONE;
    lock->client = NULL;
    if (result == RLK_E_FORKED) /* untied in this process, for its memory may go; nothing is sent */
        return result;
    /* What may still be deleted on our behalf will be answered to nobody, so others are told now:
     * their SETs go behind it. */
    for (i = 0; i < rlki_nodes(client); i++)
        /* The first loop set each of them.
         * NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch) */
        if (deleting[i] || !rlki_seat_clean(&lock->seats[i]))
            rlki_watch_tell(client, i, lock->key_hash, RLK_CAUSE_LOCAL, deleting[i] ? NULL : lock);
    return tally.unclean >= rlki_needed(client) ? RLK_UNKNOWN : RLK_OK;
}

/* ---- operations ---- */

/* A node that may still have a token of ours remembers it by its number: then the random part of
 * the token must stay, and only numbers go on. */
static bool lock_has_token(const rlk_lock *lock)
{
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (rlki_seat_has_token(&lock->seats[i]))
            return true;
    return false;
}

static rlk_result lock_acquire(rlk_lock *lock, int64_t wait_ms)
{
    int64_t deadline_ms;
    if (lock->state == RLKI_HELD)
        return RLK_E_STATE;
    if (wait_ms == RLK_DEFAULT)
        wait_ms = lock->wait_ms;
    if (wait_ms < 0)
        return RLK_E_TIMES;
    if (!lock_has_token(lock) && !rlki_token_draw(lock))
        return RLK_E_ENTROPY;
    deadline_ms =
        rlki_later(lock->client->now_ms,
                   wait_ms == RLK_TRY ? (int64_t)lock->client->operation_timeout_ms : wait_ms);
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* of the lease before */
    rlki_acquire_begin(lock, deadline_ms, wait_ms == RLK_TRY);
    return RLK_PENDING;
}

static rlk_result lock_release(rlk_lock *lock)
{
    if (lock->state == RLKI_FREE)
        return RLK_NOT_HELD;
    rlki_event_drop(lock, RLKI_EVENT_ALL); /* the result says it */
    lock->options &= (uint8_t)~RLKI_OPTION_LEAD;
    rlki_release_begin(lock);
    return RLK_PENDING;
}

static rlk_result lock_extend(rlk_lock *lock, int64_t added_ms, int64_t deadline_ms)
{
    int64_t expiry_ms;
    int64_t target_ms;
    int64_t most_ms;
    if (added_ms < 1 || added_ms > RLK_TTL_MAX)
        return RLK_E_TTL;
    expiry_ms = rlki_lock_expiry(lock);
    target_ms = rlki_later(expiry_ms, added_ms);
    most_ms = rlki_later(lock->client->now_ms, RLK_TTL_MAX);
    if (target_ms > most_ms)
        target_ms = most_ms;
    if (target_ms <= expiry_ms)
        return RLK_E_TTL;
    rlki_hold_begin(lock, RLK_OP_EXTEND, target_ms, deadline_ms);
    return RLK_PENDING;
}

static rlk_result lock_renew(rlk_lock *lock, int64_t ttl_ms, int64_t deadline_ms)
{
    int64_t now_ms = lock->client->now_ms;
    int64_t target_ms;
    if (ttl_ms == RLK_DEFAULT)
        ttl_ms = lock->ttl_ms;
    if (!lock_ttl_good(lock, ttl_ms))
        return RLK_E_TTL;
    target_ms = rlki_later(now_ms, ttl_ms);
    if (!rlki_renew_gains(lock, target_ms)) {
        /* sooner: only said here (rule 6) */
        rlki_lock_claim(lock, target_ms, now_ms);
        rlki_lock_validate(lock);
        rlki_renew_schedule_next(lock);
        rlki_lock_rearm(lock);
        return RLK_OK;
    }
    rlki_hold_begin(lock, RLK_OP_RENEW, target_ms, deadline_ms);
    return RLK_PENDING;
}

/* The key is being looked at, because the server told that it changed. */
static bool lock_is_checking(const rlk_lock *lock)
{
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->seats[i].request.tag == RLKI_CHECK)
            return true;
    return false;
}

static rlk_result lock_keep(rlk_lock *lock)
{
    int64_t now_ms = lock->client->now_ms;
    int64_t deadline_ms = rlki_later(now_ms, lock->node_timeout_ms);
    int64_t target_ms = rlki_renew_target(lock);
    /* A renewal compares too, and comes first: a node that owes its check must not put it off. */
    if (now_ms >= rlki_renew_at(lock) && target_ms != RLK_NEVER)
        rlki_hold_begin(lock, RLK_OP_RENEW, target_ms, deadline_ms);
    else if (lock_is_checking(lock))
        rlki_hold_begin(lock, RLK_OP_CHECK, 0, deadline_ms);
    else
        return RLK_OK; /* not due, or not any more */
    return RLK_PENDING;
}

static rlk_result lock_query(rlk_lock *lock, rlk_holder *holders, int64_t cap)
{
    size_t i;
    if (!holders || cap < rlki_nodes(lock->client))
        return RLK_E_ARGUMENT;
    memset(holders, 0, (size_t)cap * sizeof(*holders));
    for (i = 0; i < (size_t)cap; i++) {
        holders[i].result = RLK_PENDING;
        holders[i].ttl_ms = -2;
    }
    lock->query = holders;
    rlki_query_begin(lock, RLK_OP_QUERY);
    return RLK_PENDING;
}

static rlk_result lock_force_release(rlk_lock *lock)
{
    if (lock->state == RLKI_HELD)
        return RLK_E_STATE;
    rlki_query_begin(lock, RLK_OP_FORCE_RELEASE);
    return RLK_PENDING;
}

/* An operation on a lock that is held. */
static rlk_result lock_begin_held(rlk_lock *lock, unsigned operation, int64_t argument)
{
    int64_t deadline_ms = rlki_later(lock->client->now_ms, lock->client->operation_timeout_ms);
    if (lock->state != RLKI_HELD)
        return lock->state == RLKI_LOST ? RLK_LOST : RLK_NOT_HELD;
    switch (operation) {
    case RLK_OP_EXTEND:
        return lock_extend(lock, argument, deadline_ms);
    case RLK_OP_RENEW:
        return lock_renew(lock, argument, deadline_ms);
    case RLKI_OP_KEEP:
        return lock_keep(lock);
    default: /* RLK_OP_CHECK */
        rlki_hold_begin(lock, RLK_OP_CHECK, 0, deadline_ms);
        return RLK_PENDING;
    }
}

static rlk_result lock_begin_free(rlk_lock *lock, unsigned operation, int64_t argument,
                                  rlk_holder *holders)
{
    switch (operation) {
    case RLK_OP_ACQUIRE:
        return lock_acquire(lock, argument);
    case RLK_OP_RELEASE:
        return lock_release(lock);
    case RLK_OP_QUERY:
        return lock_query(lock, holders, argument);
    case RLK_OP_FORCE_RELEASE:
        return lock_force_release(lock);
    default:
        return lock_begin_held(lock, operation, argument);
    }
}

/* RLK_PENDING: begun. Else why not, or that nothing was to be done. */
static rlk_result lock_begin(rlk_lock *lock, unsigned operation, int64_t argument,
                             rlk_holder *holders)
{
    bool looks = operation == RLK_OP_CHECK || operation == RLK_OP_QUERY;
    bool renewing;
    uint8_t flags;
    rlk_result result;
    if (rlki_operation_is_on(lock))
        return RLK_E_STATE;
    if (looks && lock->client->now_ms >= lock->wake_ms) /* else who never pauses would starve it */
        rlki_renew_due(lock);
    renewing = lock->operation != RLK_OP_NONE;
    flags = lock->flags;
    if (renewing)
        rlki_renew_preempt(lock);
    result = lock_begin_free(lock, operation, argument, holders);
    /* for nothing: it goes on, unless the lease was shortened */
    if (renewing && result != RLK_PENDING && !(operation == RLK_OP_RENEW && result == RLK_OK)) {
        lock->operation = RLK_OP_RENEW;
        lock->flags = flags;
    }
    return result;
}

rlk_result rlki_lock_entered(rlk_lock *lock, rlk_result entered, unsigned operation,
                             int64_t argument, rlk_holder *holders)
{
    rlk_result result = entered;
    if (result == RLK_OK)
        result = lock_begin(lock, operation, argument, holders);
    if (result == RLK_PENDING) {
        if (!(lock->events & RLKI_EVENT_RESULT))
            return RLK_PENDING;
        rlki_event_drop(lock, RLKI_EVENT_RESULT); /* it is over already */
        return (rlk_result)lock->done_result;
    }
    /* For rlk_lock_error, unless another's result is under way or still to be pulled. */
    if (lock && lock->client && !rlki_operation_is_on(lock) && !(lock->events & RLKI_EVENT_RESULT))
        rlki_operation_note(lock, operation == RLKI_OP_KEEP ? (unsigned)RLK_OP_RENEW : operation,
                            result);
    return result;
}

rlk_result rlki_lock_start(rlk_lock *lock, unsigned operation, int64_t argument,
                           rlk_holder *holders)
{
    return rlki_lock_entered(lock, rlki_lock_enter(lock), operation, argument, holders);
}

rlk_result rlk_cancel(rlk_lock *lock)
{
    rlk_result result = rlki_lock_enter(lock);
    if (result != RLK_OK)
        return result;
    if (!rlki_operation_is_on(lock))
        return RLK_NOT_HELD;
    switch (lock->operation) {
    case RLK_OP_ACQUIRE:
        lock->options &= (uint8_t)~RLKI_OPTION_LEAD;
        rlki_acquire_cancel(lock);
        break;
    case RLK_OP_RELEASE:
        rlki_operation_finish(lock, RLK_UNKNOWN); /* the seats go on */
        break;
    case RLK_OP_EXTEND:
    case RLK_OP_RENEW:
    case RLK_OP_CHECK:
        rlki_hold_cancel(lock);
        break;
    default: /* RLK_OP_QUERY, RLK_OP_FORCE_RELEASE */
        rlki_query_cancel(lock);
        break;
    }
    rlki_operation_step(lock);
    return RLK_OK;
}

rlk_result rlk_acquire_start(rlk_lock *lock, int64_t wait_ms)
{
    return rlki_lock_start(lock, RLK_OP_ACQUIRE, wait_ms, NULL);
}

rlk_result rlk_release_start(rlk_lock *lock)
{
    return rlki_lock_start(lock, RLK_OP_RELEASE, 0, NULL);
}

rlk_result rlk_extend_start(rlk_lock *lock, int64_t added_ms)
{
    return rlki_lock_start(lock, RLK_OP_EXTEND, added_ms, NULL);
}

rlk_result rlk_renew_start(rlk_lock *lock, int64_t ttl_ms)
{
    return rlki_lock_start(lock, RLK_OP_RENEW, ttl_ms, NULL);
}

rlk_result rlk_check_start(rlk_lock *lock)
{
    return rlki_lock_start(lock, RLK_OP_CHECK, 0, NULL);
}

rlk_result rlk_query_start(rlk_lock *lock, rlk_holder *holders, size_t cap)
{
    return rlki_lock_start(lock, RLK_OP_QUERY, (int64_t)cap, holders);
}

rlk_result rlk_force_release_start(rlk_lock *lock)
{
    return rlki_lock_start(lock, RLK_OP_FORCE_RELEASE, 0, NULL);
}

/* ---- questions ---- */

int64_t rlk_valid_until_ms(const rlk_lock *lock)
{
    bool held = lock != NULL && lock->client != NULL && lock->state == RLKI_HELD;

    return held && rlki_client_same_process(lock->client) ? lock->valid_ms : RLKI_EXPIRED;
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
    return now_ms > client->now_ms ? now_ms : client->now_ms;
}

int64_t rlk_remaining_ms(const rlk_lock *lock)
{
    int64_t until_ms = rlk_valid_until_ms(lock);
    int64_t now_ms;

    if (until_ms == RLKI_EXPIRED) /* then there may be no client either */
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
    return rlk_is_held(lock) ? lock_now(lock) - lock->since_ms : 0;
}

rlk_operation rlk_lock_operation(const rlk_lock *lock)
{
    return lock && lock->client && rlki_operation_is_on(lock) ? (rlk_operation)lock->operation
                                                              : RLK_OP_NONE;
}

rlk_lost_cause rlk_lock_lost_cause(const rlk_lock *lock)
{
    /* of a lock that is held a minority may have said something */
    bool over = lock && lock->client && lock->state != RLKI_HELD;
    return over ? (rlk_lost_cause)lock->lost_cause : RLK_LOST_NOT;
}

size_t rlk_lock_token(const rlk_lock *lock, char *out, size_t cap)
{
    size_t len;
    if (!lock || !lock->client || lock->round == 0)
        return 0;
    len = rlki_token_len(lock);
    if (out && len < cap) {
        rlki_token_write(lock, lock->round, (uint8_t *)out);
        out[len] = '\0';
    }
    return len;
}
