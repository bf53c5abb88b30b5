/* SPDX-License-Identifier: MIT
 *
 * The client: a set of connections, the clock, the timers, the locks. It stands between the
 * connections, which know requests, and the locks, which own them.
 */
#include "client.h"
#include "clock.h"
#include "epoch.h"
#include "lease.h"
#include "machine.h"
#include "notify.h"
#include "refusal.h"
#include "script.h"
#include "trace.h"
#include "wait_queue.h"
#include "timers.h"
#include "token.h"

#include <string.h>

/* If the stream of a node is not fenced, remembers that all earlier ones may still execute. */
static void client_note_fence(rlk_client *client, unsigned node)
{
    const rlk_conn *conn = client->conns[node];
    uint32_t generation = rlki_conn_generation(conn);

    if (generation > 0 && !rlk_conn_fenced(conn))
        client->unfenced[node] = generation - 1;
}

/* ---- calls of the connections ---- */

static rlk_node_lock *client_node_lock(rlk_request *request)
{
    return (rlk_node_lock *)(void *)request; /* its first member */
}

static unsigned client_encode(void *context, rlk_conn *conn, rlk_request *request,
                              rlk_resp_writer *writer)
{
    (void)context;
    return rlki_node_lock_encode(client_node_lock(request), conn, writer);
}

static void client_reply(void *context, rlk_conn *conn, rlk_request *request,
                         const rlk_reply *reply, unsigned left)
{
    (void)context;
    rlki_machine_reply(client_node_lock(request), conn, reply, left);
}

static void client_lost(void *context, rlk_conn *conn, rlk_request *request, bool maybe_sent)
{
    rlk_client *client = (rlk_client *)context;

    rlki_client_advance(client, rlki_conn_now(conn));
    rlki_machine_lost(client_node_lock(request), maybe_sent);
    rlki_machine_drain(client);
}

/* Two names for one server make no quorum. */
static void client_find_alias(rlk_client *client, unsigned node)
{
    uint64_t run_id = rlk_conn_run_id(client->conns[node]);
    unsigned i;

    for (i = 0; run_id != 0 && i < rlki_nodes(client); i++)
        if (i != node && rlk_conn_run_id(client->conns[i]) == run_id)
            client->warnings |= RLK_WARN_ALIAS;
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
    rlki_client_advance(client, rlki_conn_now(conn));
    node = client_node(client, conn);
    if (rlki_conn_state(conn) == RLK_CONN_READY) {
        rlki_token_forget(client); /* the machine may be a clone of one that drew the same */
        client_note_fence(client, node);
        client_find_alias(client, node);
    }
    for (lock = client->locks; lock != NULL; lock = lock->next)
        rlki_machine_changed(lock, node);
    /* Of what happened meanwhile nobody notifies; nor of anything from now on of keys that this
     * stream has not read. */
    if (rlki_conn_state(conn) == RLK_CONN_READY)
        rlki_notify_all(client, node, RLK_CAUSE_RECONNECT);
    rlki_machine_drain(client);
}

static void client_invalidated(void *context, rlk_conn *conn, uint32_t key_hash, bool all)
{
    rlk_client *client = (rlk_client *)context;

    if (client->state != RLKI_CLIENT_OPEN)
        return;
    rlki_client_advance(client, rlki_conn_now(conn));
    if (all)
        rlki_notify_all(client, client_node(client, conn), RLK_CAUSE_FLUSH);
    else
        rlki_notify(client, client_node(client, conn), key_hash, RLK_CAUSE_PUSH, NULL);
}

/* Replies and pushes have been taken, in their order: now the locks go on. */
static void client_received(void *context, rlk_conn *conn)
{
    (void)conn;
    rlki_machine_drain((rlk_client *)context);
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
        client_encode,  client_reply,       client_lost,
        client_changed, client_invalidated, client_received,
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
    size_t len = config->buckets != NULL ? config->buckets_len : RLK_BUCKETS;
    size_t i;

    if (len == 0 || (len & (len - 1)) != 0 || len > UINT32_MAX)
        return false;
    client->buckets = config->buckets != NULL ? config->buckets : client->own_buckets;
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

    if (conns == NULL || config == NULL || config->env.now_ms == NULL ||
        config->env.random == NULL || !client_take_buckets(client, config))
        return RLK_E_ARGUMENT;
    if (config->max_handoffs >= UINT8_MAX) {
        RLKI_REFUSE(client, RLKI_WORD("max_handoffs"), config->max_handoffs, 0, UINT8_MAX - 1);
        return RLK_E_ARGUMENT;
    }
    client->max_handoffs =
        (uint8_t)(config->max_handoffs != 0 ? config->max_handoffs : RLK_MAX_HANDOFFS);
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
        if (conns[i] == NULL)
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

    if (client == NULL)
        return RLK_E_ARGUMENT;
    if (size != sizeof *client || layout != RLK_LAYOUT)
        return RLK_E_LAYOUT;
    client->state = RLKI_CLIENT_CLOSED;
    client->nodes = 0;
    client->renewal = NULL;
    client->locks = NULL;
    client->campaign = NULL;
    client->events = NULL;
    client->ready = NULL;
    client->warnings = 0;
    client->failed = RLK_OK;
    client->checked = false;
    client->interruptible = false;
    client->interrupted = false;
    rlki_token_forget(client);
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
    memset(client->turns, 0, sizeof client->turns);
    client->nodes = (uint8_t)nodes;
    client->quorum = (uint8_t)rlki_quorum(client->nodes);
    if (nodes % 2 == 0)
        client->warnings |= RLK_WARN_EVEN;
#ifndef RLK_NO_TRACE
    memset(&client->stats, 0, sizeof client->stats);
#endif
    rlki_client_begin_time(client);
    client->served_ms = client->now_ms;
    client->hurried_ms = client->now_ms;
    if (client->env.random(client->env.context, &client->jitter, sizeof client->jitter) != 0)
        client->jitter = (uint32_t)client->clock_ms; /* not secret; tokens fail on their own */
    client->jitter |= 1u;
    client->state = RLKI_CLIENT_OPEN;
    return RLK_OK;
}

void rlk_client_close(rlk_client *client)
{
    rlk_lock *lock;
    unsigned i;

    if (client == NULL || client->state != RLKI_CLIENT_OPEN)
        return;
    client->state = RLKI_CLIENT_CLOSED;
    for (lock = client->locks; lock != NULL; lock = lock->next)
        for (i = 0; i < rlki_nodes(client); i++)
            (void)rlki_node_lock_abandon(&lock->nodes[i]);
    while (client->locks != NULL) {
        lock = client->locks;
        client->locks = lock->next;
        lock->client = NULL;
        lock->state = RLKI_CLOSED;
        lock->position = RLKI_POSITION_NONE;
    }
    client->events = NULL;
    client->ready = NULL;
    rlki_token_forget(client);
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_close(client->conns[i], client->clock_ms);
}

int64_t rlki_client_deadline(const rlk_client *client)
{
    int64_t deadline_ms;
    unsigned i;

    if (client->ready != NULL) /* of a command that did not leave */
        return client->clock_ms + 1;
    deadline_ms = rlki_client_clock_of(client, rlki_timers_deadline(&client->timers));
    for (i = 0; i < rlki_nodes(client); i++) {
        int64_t conn_ms = rlki_conn_deadline(client->conns[i]);

        if (conn_ms < deadline_ms)
            deadline_ms = conn_ms;
    }
    return deadline_ms;
}

int64_t rlk_client_deadline(const rlk_client *client)
{
    return rlki_client_enter(client) == RLK_OK ? rlki_client_deadline(client) : RLK_NEVER;
}

void rlki_client_tick(rlk_client *client)
{
    int64_t clock_ms;
    int32_t now_ms;
    rlk_timer *timer;
    unsigned i;

    rlki_client_now(client);
    clock_ms = client->clock_ms;
    now_ms = client->now_ms;
    while ((timer = rlki_timers_pop(&client->timers, now_ms)) != NULL)
        rlki_machine_tick((rlk_lock *)(void *)timer); /* its first member */
    rlki_machine_drain(client);
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_tick(client->conns[i], clock_ms);
}

void rlk_client_tick(rlk_client *client)
{
    if (rlki_client_enter(client) == RLK_OK)
        rlki_client_tick(client);
}

rlk_result rlk_client_reset(rlk_client *client)
{
    rlk_result result = rlki_client_enter(client);
    unsigned i;

    if (result != RLK_OK)
        return result;
    rlki_client_changing(client);
    rlki_client_now(client);
    for (i = 0; i < rlki_nodes(client); i++)
        rlk_conn_reset(client->conns[i], client->clock_ms);
    return RLK_OK;
}

size_t rlk_client_nodes(const rlk_client *client)
{
    return client != NULL ? client->nodes : 0;
}

rlk_conn *rlk_client_conn(rlk_client *client, size_t node)
{
    return client != NULL && node < client->nodes ? client->conns[node] : NULL;
}

unsigned rlk_client_warnings(const rlk_client *client)
{
    return client != NULL ? client->warnings : 0;
}
