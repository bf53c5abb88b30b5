/* SPDX-License-Identifier: MIT
 *
 * The client: a set of connections, the clock, the timers, the locks. It stands between the
 * connections, which know requests, and the locks, which own them.
 */
#include "internal.h"
#include "scripts.h"
#include "validity.h"
#include "timers.h"

#include <string.h>

bool rlki_client_same_process(const rlk_client *client)
{
    const rlk_env *env = &client->env;
    return !env->same_process || env->same_process(env->context, client);
}

rlk_result rlki_client_enter(const rlk_client *client)
{
    if (!client)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return RLK_E_CLOSED;
    return rlki_client_same_process(client) ? RLK_OK : RLK_E_FORKED;
}

/* Time as a connection passed it, or as the clock says it: it never goes back. */
static int64_t client_advance(rlk_client *client, int64_t now_ms)
{
    if (now_ms > client->now_ms)
        client->now_ms = now_ms;
    return client->now_ms;
}

int64_t rlki_client_now(rlk_client *client)
{
    return client_advance(client, client->env.now_ms(client->env.context));
}

uint32_t rlki_client_drift(const rlk_client *client, uint32_t horizon_ms)
{
    return rlki_drift(horizon_ms, client->drift_ppm, client->drift_ms);
}

uint32_t rlki_client_jitter(rlk_client *client, uint32_t min, uint32_t max)
{
    uint32_t x = client->jitter;
    x ^= x << 13; /* xorshift32 (Marsaglia 2003) */
    x ^= x >> 17;
    x ^= x << 5;
    client->jitter = x;
    return max > min ? min + x % (max - min + 1) : min;
}

rlk_conn *rlki_route(const rlk_lock *lock, unsigned seat)
{
    return lock->client->conns[seat];
}

void rlki_client_note_fence(rlk_client *client, unsigned node)
{
    const rlk_conn *conn = client->conns[node];
    uint32_t generation = rlk_conn_generation(conn);
    if (generation > 0 && !rlk_conn_fenced(conn))
        client->unfenced[node] = generation - 1;
}

/* ---- calls of the connections ---- */

static rlk_seat *client_seat(rlk_request *request)
{
    return (rlk_seat *)(void *)request; /* its first member */
}

static unsigned client_encode(void *context, rlk_conn *conn, rlk_request *request,
                              rlk_resp_writer *writer)
{
    (void)context;
    return rlki_seat_encode(client_seat(request), conn, writer);
}

static void client_reply(void *context, rlk_conn *conn, rlk_request *request,
                         const rlk_reply *reply, unsigned left)
{
    rlk_client *client = (rlk_client *)context;
    rlk_seat *seat = client_seat(request);
    rlk_lock *lock = rlki_seat_lock(seat);
    uint8_t tag = request->tag;
    uint8_t state = request->state;
    bool answered = reply->error == RLK_OK;
    bool over = false;
    bool had = (seat->flags & RLKI_SEAT_PRESENT) != 0;
    /* Deadlines before input. They may abandon the very command that is answered here: then its
     * reply means nothing any more (what was sent behind it settles the matter). */
    if (client_advance(client, rlk_conn_now(conn)) >= lock->timer.deadline_ms && lock->timer.link) {
        rlki_lock_timer(lock);
        over = request->tag != tag || request->state != state;
    }
    if (!over) {
        rlki_seat_reply(seat, reply, left);
        rlki_operation_step(lock);
    }
    /* What we delete ourselves nobody tells us; and who waits behind a lock of ours is told by us
     * that it has not got it any more. */
    if ((answered && tag == RLKI_RELEASE) || (had && !(seat->flags & RLKI_SEAT_PRESENT)))
        rlki_watch_tell(client, seat->index, lock->key_hash, RLK_CAUSE_LOCAL, lock);
    else if (answered && tag == RLKI_DEL)
        rlki_watch_tell(client, seat->index, lock->key_hash, RLK_CAUSE_LOCAL, NULL);
}

static void client_lost(void *context, rlk_conn *conn, rlk_request *request, bool maybe_sent)
{
    rlk_seat *seat = client_seat(request);
    client_advance((rlk_client *)context, rlk_conn_now(conn));
    rlki_seat_lost(seat, maybe_sent);
    rlki_operation_step(rlki_seat_lock(seat));
}

/* Two names for one server make no quorum. */
static void client_look_for_alias(rlk_client *client, unsigned node)
{
    const uint8_t *run_id = rlk_conn_run_id(client->conns[node]);
    unsigned i;
    for (i = 0; run_id && i < rlki_nodes(client); i++) {
        const uint8_t *other = i == node ? NULL : rlk_conn_run_id(client->conns[i]);
        if (other && memcmp(run_id, other, 20) == 0)
            client->warnings |= RLK_WARN_ALIAS;
    }
}

static unsigned client_node(const rlk_client *client, const rlk_conn *conn)
{
    unsigned node = 0;
    while (client->conns[node] != conn)
        node++;
    return node;
}

static void client_changed(void *context, rlk_conn *conn)
{
    rlk_client *client = (rlk_client *)context;
    rlk_lock *lock;
    unsigned node;
    if (client->state != RLKI_CLIENT_OPEN)
        return;
    client_advance(client, rlk_conn_now(conn));
    node = client_node(client, conn);
    if (rlk_conn_get_state(conn) == RLK_CONN_READY) {
        rlki_client_note_fence(client, node);
        client_look_for_alias(client, node);
    }
    for (lock = client->locks; lock; lock = lock->next)
        rlki_lock_conn_changed(lock, node);
    /* Of what happened meanwhile nobody will tell; nor is anything told from now on of keys that
     * this stream has not read. */
    if (rlk_conn_get_state(conn) == RLK_CONN_READY)
        rlki_watch_tell_all(client, node, RLK_CAUSE_RECONNECT);
}

static void client_invalidated(void *context, rlk_conn *conn, uint32_t key_hash, bool all)
{
    rlk_client *client = (rlk_client *)context;
    if (client->state != RLKI_CLIENT_OPEN)
        return;
    client_advance(client, rlk_conn_now(conn));
    if (all)
        rlki_watch_tell_all(client, client_node(client, conn), RLK_CAUSE_FLUSH);
    else
        rlki_watch_tell(client, client_node(client, conn), key_hash, RLK_CAUSE_PUSH, NULL);
}

#ifndef RLK_NO_TRACE
static void client_trace(void *context, rlk_conn *conn, bool step, const char *what)
{
    rlk_client *client = (rlk_client *)context;
    if (client->state == RLKI_CLIENT_OPEN)
        rlki_trace_conn(client, conn, client_node(client, conn), step, what);
}
#endif

void rlk_client_conn_config(rlk_client *client, rlk_conn_config *config)
{
    static const rlk_conn_calls calls = {
        client_encode, client_reply, client_lost, client_changed, client_invalidated,
#ifndef RLK_NO_TRACE
        client_trace,
#endif
    };
    client->state = RLKI_CLIENT_CLOSED; /* its connections may come and go before it begins */
    config->calls = &calls;
    config->calls_context = client;
    config->scripts = &rlki_script;
    config->scripts_len = 1;
}

/* ---- life ---- */

static bool client_take_times(rlk_client *client, const rlk_client_config *config)
{
    client->drift_ppm = config->drift_ppm == 0 ? RLK_DRIFT_PPM : config->drift_ppm;
    if (client->drift_ppm > RLKI_DRIFT_PPM_MAX) {
        RLKI_REFUSE(client, RLKI_WORD("drift_ppm"), client->drift_ppm, 0, RLKI_DRIFT_PPM_MAX);
        return false;
    }
    return rlki_client_take_limit(client, &client->operation_timeout_ms,
                                  config->operation_timeout_ms, RLK_OPERATION_TIMEOUT_MS,
                                  RLKI_WORD("operation_timeout_ms")) &&
           rlki_client_take_limit(client, &client->settle_timeout_ms, config->settle_timeout_ms,
                                  RLK_SETTLE_TIMEOUT_MS, RLKI_WORD("settle_timeout_ms")) &&
           rlki_client_take_limit(client, &client->drift_ms, config->drift_ms, RLK_DRIFT_MS,
                                  RLKI_WORD("drift_ms"));
}

/* The index: the caller's buckets, or our own. False: they can't be used. */
static bool client_take_buckets(rlk_client *client, const rlk_client_config *config)
{
    size_t len = config->buckets ? config->buckets_len : RLK_BUCKETS;
    size_t i;
    if (len == 0 || (len & (len - 1)) != 0 || len > UINT32_MAX)
        return false;
    client->buckets = config->buckets ? config->buckets : client->own_buckets;
    client->buckets_mask = (uint32_t)(len - 1);
    for (i = 0; i < len; i++)
        client->buckets[i] = NULL;
    return true;
}

static rlk_result client_check(rlk_client *client, rlk_conn *const *conns, size_t nodes,
                               const rlk_client_config *config, unsigned *bad_node)
{
    size_t i;
    size_t k;
    if (!conns || !config || !config->env.now_ms || !config->env.random ||
        !client_take_buckets(client, config))
        return RLK_E_ARGUMENT;
    if (config->max_handoffs >= UINT8_MAX) {
        RLKI_REFUSE(client, RLKI_WORD("max_handoffs"), config->max_handoffs, 0, UINT8_MAX - 1);
        return RLK_E_ARGUMENT;
    }
    client->max_handoffs =
        (uint8_t)(config->max_handoffs ? config->max_handoffs : RLK_MAX_HANDOFFS);
    if (nodes == 0 || nodes > RLK_MAX_NODES) {
        RLKI_REFUSE(client, RLKI_WORD("nodes"), nodes, 1, RLK_MAX_NODES);
        return RLK_E_NODES;
    }
    if (!client_take_times(client, config))
        return RLK_E_TIMES;
    if (config->env.now_ms(config->env.context) >= RLK_NO_CLOCK_MS)
        return RLK_E_CLOCK; /* it would stand still, and leases with it */
    for (i = 0; i < nodes; i++) {
        *bad_node = (unsigned)i;
        if (!conns[i])
            return RLK_E_ARGUMENT;
        for (k = 0; k < i; k++)
            if (rlk_url_same_server(rlk_conn_url(conns[i]), rlk_conn_url(conns[k])))
                return RLK_E_SAME_NODE;
    }
    return RLK_OK;
}

rlk_result rlki_client_init(rlk_client *client, rlk_conn *const *conns, size_t nodes,
                            const rlk_client_config *config, size_t size, uint32_t layout)
{
    rlk_result result;
    unsigned bad_node = 0;
    unsigned i;
    if (!client)
        return RLK_E_ARGUMENT;
    if (size != sizeof(*client) || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    client->state = RLKI_CLIENT_CLOSED;
    client->nodes = 0;
    client->locks = NULL;
    client->event_head = NULL;
    client->event_tail = NULL;
    client->warnings = 0;
    client->failed = RLK_OK;
    client->checked = false;
    client->interruptible = false;
    client->interrupted = false;
    RLKI_REFUSE(client, NULL, 0, 0, 0);
    result = client_check(client, conns, nodes, config, &bad_node);
    client->error = (int16_t)result;
    client->error_node = (uint16_t)bad_node;
    if (result != RLK_OK)
        return result;
    client->env = config->env;
    for (i = 0; i < nodes; i++) {
        client->conns[i] = conns[i];
        client->unfenced[i] = 0;
    }
    memset(client->turns, 0, sizeof(client->turns));
    client->nodes = (uint8_t)nodes;
    client->quorum = (uint8_t)rlki_quorum(client->nodes);
    if (nodes % 2 == 0)
        client->warnings |= RLK_WARN_EVEN;
#ifndef RLK_NO_TRACE
    memset(&client->stats, 0, sizeof(client->stats));
#endif
    client->now_ms = client->env.now_ms(client->env.context);
    client->served_ms = client->now_ms;
    client->hurried_ms = client->now_ms;
    rlki_timers_init(&client->timers, client->now_ms);
    if (client->env.random(client->env.context, &client->jitter, sizeof(client->jitter)) != 0)
        client->jitter = (uint32_t)client->now_ms; /* not secret; tokens fail on their own */
    client->jitter |= 1u;
    client->state = RLKI_CLIENT_OPEN;
    return RLK_OK;
}

void rlk_client_close(rlk_client *client)
{
    rlk_lock *lock;
    unsigned i;
    if (!client || client->state != RLKI_CLIENT_OPEN)
        return;
    client->state = RLKI_CLIENT_CLOSED;
    for (lock = client->locks; lock; lock = lock->next)
        for (i = 0; i < rlki_nodes(client); i++)
            rlki_seat_abandon(&lock->seats[i]);
    while (client->locks) {
        lock = client->locks;
        client->locks = lock->next;
        lock->client = NULL;
        lock->state = RLKI_CLOSED;
        lock->place = RLKI_PLACE_NONE;
    }
    client->event_head = NULL;
    client->event_tail = NULL;
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_close(client->conns[i], client->now_ms);
}

int64_t rlk_client_deadline(const rlk_client *client)
{
    int64_t deadline_ms;
    unsigned i;
    if (rlki_client_enter(client) != RLK_OK)
        return RLK_NEVER;
    deadline_ms = rlki_timers_deadline(&client->timers);
    for (i = 0; i < rlki_nodes(client); i++) {
        int64_t conn_ms = rlk_conn_deadline(client->conns[i]);
        if (conn_ms < deadline_ms)
            deadline_ms = conn_ms;
    }
    return deadline_ms;
}

void rlk_client_tick(rlk_client *client)
{
    rlk_timer *timer;
    int64_t now_ms;
    unsigned i;
    if (rlki_client_enter(client) != RLK_OK)
        return;
    now_ms = rlki_client_now(client);
    while ((timer = rlki_timers_pop(&client->timers, now_ms)) != NULL)
        rlki_lock_timer((rlk_lock *)(void *)timer); /* its first member */
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_tick(client->conns[i], now_ms);
}

rlk_result rlk_client_reset(rlk_client *client)
{
    rlk_result result = rlki_client_enter(client);
    unsigned i;
    if (result != RLK_OK)
        return result;
    rlki_client_now(client);
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_reset(client->conns[i], client->now_ms);
    return RLK_OK;
}

size_t rlk_client_nodes(const rlk_client *client)
{
    return client ? client->nodes : 0;
}

rlk_conn *rlk_client_conn(rlk_client *client, size_t node)
{
    return client && node < client->nodes ? client->conns[node] : NULL;
}

unsigned rlk_client_warnings(const rlk_client *client)
{
    return client ? client->warnings : 0;
}
