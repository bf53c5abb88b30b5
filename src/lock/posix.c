/* SPDX-License-Identifier: MIT
 *
 * Clients on POSIX sockets: the glue between the engine and the drivers.
 */
#include "../net/posix/socket_wait.h"
#include "../net/posix/tls_stream.h"
#include "../net/posix/wakeup.h"
#include "client.h"
#include "clock.h"
#include "epoch.h"
#include "refusal.h"
#include "trace.h"

#include "resplock/posix.h"

#include "../net/conn_config.h"
#include "../net/limit.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- the environment ---- */

/* A client that is in an rlk_posix_client is its first member, and a connection its node's. */
static rlk_posix_client *posix_of(rlk_client *client)
{
    return (rlk_posix_client *)(void *)client;
}

static rlk_posix_node *posix_node_of(const rlk_posix_client *posix, unsigned node)
{
    return (rlk_posix_node *)(void *)posix->client.conns[node];
}

static bool posix_same_process(void *context, const rlk_client *client)
{
    (void)context;
    return rlk_system_fork_same(&((const rlk_posix_client *)(const void *)client)->fork_mark);
}

static int64_t posix_deadline(const rlk_posix_client *posix, int64_t deadline_ms)
{
    unsigned i;

    for (i = 0; i < posix->client.nodes; i++) {
        int64_t socket_ms = rlk_socket_deadline(&posix_node_of(posix, i)->socket);

        if (socket_ms < deadline_ms) {
            deadline_ms = socket_ms;
        }
    }
    return deadline_ms;
}

/* Milliseconds for poll, from a clock reading that is as fresh as the deadlines are. */
static int posix_timeout(const rlk_posix_client *posix, int64_t deadline_ms)
{
    int64_t left_ms;

    if (deadline_ms == RLK_NEVER) {
        return -1;
    }
    left_ms = deadline_ms - posix->client.clock_ms;
    if (left_ms <= 0) {
        return 0;
    }
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static nfds_t posix_fill(const rlk_posix_client *posix, struct pollfd *fds)
{
    nfds_t n = 0;
    unsigned i;

    for (i = 0; i < posix->client.nodes; i++) {
        const rlk_socket *sock = &posix_node_of(posix, i)->socket;

        if (rlk_socket_fd(sock) < 0) {
            continue;
        }
        fds[n].fd = rlk_socket_fd(sock);
        fds[n].events = rlk_socket_events(sock);
        fds[n].revents = 0;
        n++;
    }
    return n;
}

static void posix_serve(rlk_posix_client *posix, const struct pollfd *fds, nfds_t n, bool may_block)
{
    unsigned i;
    nfds_t k;

    for (i = 0; i < posix->client.nodes; i++) {
        rlk_socket *sock = &posix_node_of(posix, i)->socket;
        int fd = rlk_socket_fd(sock);
        short revents = 0;

        for (k = 0; k < n; k++) {
            if (fd >= 0 && fds[k].fd == fd) {
                revents = fds[k].revents;
            }
        }
        rlk_socket_service(sock, revents, may_block, posix->client.clock_ms);
    }
}

/* What a signal handler that interrupted a wait makes of it. */
static int posix_signalled(const rlk_posix_client *posix)
{
    return posix->return_on_signal ? (int)RLK_CANCELLED : 0;
}

/* Sends what there is, and waits for the one connection that there is: in one system call instead
 * of two, and with nothing between. False: can't. */
static bool posix_wait_one(rlk_posix_client *posix, int64_t deadline_ms, int *answer)
{
    rlk_client *client = &posix->client;
    rlk_socket *sock = &posix_node_of(posix, 0)->socket;
    rlki_socket_got got;

    if (rlki_nodes(client) != 1 || client->interruptible ||
        !rlki_socket_wait(sock, posix_timeout(posix, deadline_ms), client->clock_ms, &got)) {
        return false;
    }
    *answer = got.error == EINTR ? posix_signalled(posix) : 0;
    rlki_client_tick(client); /* deadlines before input */
    rlki_socket_take(sock, &got, client->clock_ms);
    return true;
}

/* Polls, and serves what poll says. Behind the connections, where there is one, the pipe. */
static int posix_wait_all(rlk_posix_client *posix, int timeout_ms)
{
    struct pollfd fds[RLK_MAX_FDS + 1];
    nfds_t n = posix_fill(posix, fds);
    int ready;

    fds[n].fd = posix->wakeup.fds[0];
    fds[n].events = POLLIN;
    fds[n].revents = 0;
    ready = poll(fds, posix->client.interruptible ? n + 1 : n, timeout_ms);
    if (ready < 0 && errno != EINTR) {
        return -1;
    }
    rlki_client_tick(&posix->client); /* deadlines before input */
    if (ready < 0) {
        return posix_signalled(posix);
    }
    if (ready > 0) {
        posix_serve(posix, fds, n, true);
    }
    return fds[n].revents != 0 && rlki_wakeup_take(&posix->wakeup) ? (int)RLK_CANCELLED : 0;
}

/* env.wait: sends what there is, then waits for input or the deadline, once. */
static int posix_wait(void *context, rlk_client *client, int64_t deadline_ms)
{
    rlk_posix_client *posix = posix_of(client);
    int answer;
    int64_t moved_ms;

    (void)context;
    if (posix_wait_one(posix, deadline_ms, &answer)) {
        return answer;
    }
    posix_serve(posix, NULL, 0, true);
    moved_ms = rlki_client_deadline(client); /* by what was sent, or failed, just now */
    if (moved_ms < deadline_ms) {
        deadline_ms = moved_ms;
    }
    rlki_client_now(client);
    return posix_wait_all(posix, posix_timeout(posix, posix_deadline(posix, deadline_ms)));
}

/* ---- open and close ---- */

static void posix_env(rlk_env *env, const rlk_env *own)
{
    *env = *own;
    env->changed = NULL;
    if (env->now_ms == NULL) {
        env->now_ms = rlk_system_now_ms;
    }
    if (env->random == NULL) {
        env->random = rlk_system_random;
    }
    if (env->wait == NULL) {
        env->wait = posix_wait;
    }
    if (env->same_process == NULL) {
        env->same_process = posix_same_process;
    }
#ifndef RLK_NO_TEXT
    if (env->errno_text == NULL) {
        env->errno_text = rlk_system_errno_text;
    }
#endif
}

static size_t posix_length(const char *text)
{
    return text != NULL ? strlen(text) : 0;
}

static uint32_t posix_texts(const rlk_posix_node *node)
{
    uint32_t hash = rlk_key_hash(RLK_KEY_HASH, node->user, posix_length(node->user));

    return rlk_key_hash(hash, node->password, posix_length(node->password));
}

/* Credentials of the options, as a hook: they are not percent-encoded. */
static int posix_credentials(void *context, rlk_credentials *out)
{
    const rlk_posix_node *node = (const rlk_posix_node *)context;

    if (posix_texts(node) != node->texts) {
        return RLK_E_DANGLING;
    }
    out->user = node->user;
    out->user_len = posix_length(node->user);
    /* a user alone: an empty password */
    out->password = node->password != NULL ? node->password : "";
    out->password_len = posix_length(node->password);
    return 0;
}

/* The hook for the credentials of the options, where there are any. */
static rlk_result posix_take_credentials(rlk_client *client, rlk_conn_config *config,
                                         rlk_posix_node *node, const rlk_posix_options *options)
{
    size_t need;

    config->credentials = options->credentials;
    config->credentials_context = options->credentials_context;
    node->user = options->user;
    node->password = options->password;
    node->texts = posix_texts(node);
    if (config->credentials != NULL || (options->user == NULL && options->password == NULL)) {
        return RLK_OK;
    }
    need = RLK_CONN_TX_AUTH(posix_length(options->user), posix_length(options->password));
    if (config->tx_cap < need) {
        RLKI_REFUSE(client, RLKI_WORD("tx_cap"), config->tx_cap, need, RLKI_BUFFER_MAX);
        return RLK_E_BUFFER;
    }
    config->credentials = posix_credentials;
    config->credentials_context = node;
    return RLK_OK;
}

static rlk_result posix_conn_config(rlk_client *client, rlk_conn_config *config,
                                    rlk_posix_node *node, const char *url,
                                    const rlk_posix_options *options)
{
    rlk_result result = rlk_url_parse(&config->url, url);

    if (options->tls != NULL && (options->tls->calls == NULL || options->tls->driver == NULL)) {
        RLKI_REFUSE(client, RLKI_WORD("options.tls is not ready: has its init failed?"), 0, 0, 0);
        return RLK_E_ARGUMENT;
    }
    if (result == RLK_OK && config->url.host != NULL && options->tls != NULL) {
        return RLK_E_URL_PLAIN; /* else nobody would notice that nothing is encrypted */
    }
    if (result != RLK_OK && (result != RLK_E_URL_TLS || options->tls == NULL)) {
        return result;
    }
    if (options->db < 0) {
        return RLK_E_URL_DB;
    }
    if (options->db > 0) {
        config->url.db = (uint32_t)options->db;
    }
    config->client_name = options->client_name != NULL ? options->client_name : "resplock";
    result = posix_take_credentials(client, config, node, options);
    if (result != RLK_OK) {
        return result;
    }
    config->connect_timeout_ms = options->connect_timeout_ms;
    config->response_timeout_ms = options->response_timeout_ms;
    config->backoff_min_ms = options->backoff_min_ms;
    config->backoff_max_ms = options->backoff_max_ms;
    config->resp2_only = options->resp2_only;
    config->no_tracking = options->no_tracking;
    rlk_client_conn_config(client, config);
    return RLK_OK;
}

/* Why rlk_conn_init refused, which has no memory for it. */
static void posix_explain(rlk_client *client, const rlk_conn_config *config, rlk_result result)
{
    uint32_t taken_ms;
    size_t number;
    size_t least;
    const char *buffer = rlki_conn_bad_buffer(config, &number, &least);

    if (result == RLK_E_BUFFER && buffer != NULL) {
        RLKI_REFUSE(client, buffer, number < INT32_MAX ? (int64_t)number : INT64_MAX, least,
                    RLKI_BUFFER_MAX);
    }
    if (result == RLK_E_TIMES) {
        (void)(rlki_client_take_limit(client, &taken_ms, config->connect_timeout_ms, 0,
                                      RLKI_WORD("connect_timeout_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->response_timeout_ms, 0,
                                      RLKI_WORD("response_timeout_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->backoff_min_ms, 0,
                                      RLKI_WORD("backoff_min_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->backoff_max_ms, 0,
                                      RLKI_WORD("backoff_max_ms")));
    }
}

/* One node: its connection over the memory that `config` names already, and its driver. */
static rlk_result posix_node(rlk_client *client, rlk_posix_node *node, rlk_conn_config *config,
                             const char *url, const rlk_posix_options *options, int64_t now_ms)
{
    rlk_result result;

    if (url == NULL) {
        return RLK_E_ARGUMENT;
    }
    memset(node, 0, sizeof *node);
    result = posix_conn_config(client, config, node, url, options);
    if (result != RLK_OK) {
        return result;
    }
    if (rlk_system_random(NULL, &config->jitter_seed, sizeof config->jitter_seed) != 0) {
        config->jitter_seed = (uint32_t)now_ms;
    }
    result = rlk_conn_init(&node->conn, config, now_ms);
    if (result == RLK_OK) {
        rlk_socket_init(&node->socket, &node->conn, options->resolver);
        rlk_socket_use_tls(&node->socket, options->tls);
    } else {
        posix_explain(client, config, result);
    }
    return result;
}

static rlk_result posix_refuse(rlk_client *client, rlk_result result, size_t node)
{
    client->state = RLKI_CLIENT_CLOSED;
    client->nodes = 0;
    client->warnings = 0;
    client->failed = RLK_OK;
    client->error = (int16_t)result;
    client->error_node = (uint16_t)node;
    return result;
}

/* env.changed, while a loop serves the client and is not notified yet. */
static void posix_changed(void *context, rlk_client *client)
{
    rlk_loop *loop = posix_of(client)->loop;

    (void)context;
    client->env.changed = NULL; /* until the next rlk_posix_prepare */
    loop->calls->changed(loop);
}

/* The pipe of rlk_posix_interrupt, where it is asked for. */
static rlk_result posix_interrupts(rlk_posix_client *posix, const rlk_posix_options *options)
{
    posix->loop = NULL;
    posix->return_on_signal = options->return_on_signal;
    posix->client.interruptible = options->interrupts;
    posix->wakeup.fds[0] = -1;
    posix->wakeup.fds[1] = -1;
    return !options->interrupts || rlki_wakeup_open(&posix->wakeup) ? RLK_OK : RLK_E_PIPE;
}

static rlk_result posix_start(rlk_posix_client *posix, rlk_conn *const *conns, size_t nodes,
                              const rlk_posix_options *options)
{
    rlk_client_config config;
    rlk_result result;

    memset(&config, 0, sizeof config);
    posix_env(&config.env, &options->env);
    config.operation_timeout_ms = options->operation_timeout_ms;
    config.settle_timeout_ms = options->settle_timeout_ms;
    config.drift_ppm = options->drift_ppm;
    config.drift_ms = options->drift_ms;
    config.max_handoffs = options->max_handoffs;
    config.buckets = options->buckets;
    config.buckets_len = options->buckets_len;
    rlk_system_fork_init(&posix->fork_mark);
    result = rlk_client_init(&posix->client, conns, nodes, &config);
    if (result == RLK_OK) {
        result = posix_interrupts(posix, options);
        if (result != RLK_OK) {
            posix_refuse(&posix->client, result, 0);
        }
    }
    if (result != RLK_OK) {
        rlk_system_fork_close(&posix->fork_mark);
    }
    return result;
}

/* What both forms of open begin with: the layout, and options where there are none. */
static rlk_result posix_begin(rlk_posix_client *posix, const rlk_posix_options **options,
                              rlk_posix_options *none, size_t size, uint32_t layout)
{
    if (posix == NULL) {
        return RLK_E_ARGUMENT;
    }
    if (size != sizeof *posix || layout != RLK_LAYOUT) {
        memset(posix, 0, size); /* closed, as far as the caller's struct goes */
        return RLK_E_LAYOUT;
    }
    RLKI_REFUSE(&posix->client, NULL, 0, 0, 0);
    if (*options == NULL) {
        memset(none, 0, sizeof *none);
        *options = none;
    }
    return RLK_OK;
}

static int64_t posix_now(const rlk_posix_options *options)
{
    return options->env.now_ms != NULL ? options->env.now_ms(options->env.context)
                                       : rlk_system_now_ms(NULL);
}

rlk_result rlki_posix_open(rlk_posix_client *posix, const char *url,
                           const rlk_posix_options *options, size_t size, uint32_t layout)
{
    rlk_conn *conn;
    rlk_conn_config config;
    rlk_posix_options none;
    rlk_result result = posix_begin(posix, &options, &none, size, layout);

    if (result != RLK_OK) {
        return result;
    }
    memset(&config, 0, sizeof config);
    config.ring = posix->ring;
    config.ring_len = RLK_NODE_RING;
    config.tx = posix->tx;
    config.tx_cap = RLK_NODE_TX;
    config.rx = posix->rx;
    config.rx_cap = RLK_NODE_RX;
    result = posix_node(&posix->client, &posix->node, &config, url, options, posix_now(options));
    if (result != RLK_OK) {
        return posix_refuse(&posix->client, result, 0);
    }
    conn = &posix->node.conn;
    return posix_start(posix, &conn, 1, options);
}

rlk_result rlki_posix_open_nodes(rlk_posix_client *posix, const char *const *urls,
                                 rlk_posix_memory *memory, size_t nodes,
                                 const rlk_posix_options *options, size_t size, uint32_t layout)
{
    rlk_conn *conns[RLK_MAX_NODES];
    rlk_posix_options none;
    int64_t now_ms;
    size_t i;
    rlk_result begun = posix_begin(posix, &options, &none, size, layout);

    if (begun != RLK_OK) {
        return begun;
    }
    if (nodes == 0 || nodes > RLK_MAX_NODES) {
        RLKI_REFUSE(&posix->client, RLKI_WORD("nodes"), nodes, 1, RLK_MAX_NODES);
        return posix_refuse(&posix->client, RLK_E_NODES, 0);
    }
    if (urls == NULL || memory == NULL) {
        return posix_refuse(&posix->client, RLK_E_ARGUMENT, 0);
    }
    now_ms = posix_now(options);
    for (i = 0; i < nodes; i++) {
        rlk_conn_config config;
        rlk_result result;

        memset(&config, 0, sizeof config);
        config.ring = memory[i].ring;
        config.ring_len = memory[i].ring_len;
        config.tx = memory[i].tx;
        config.tx_cap = memory[i].tx_cap;
        config.rx = memory[i].rx;
        config.rx_cap = memory[i].rx_cap;
        result = posix_node(&posix->client, &memory[i].node, &config, urls[i], options, now_ms);
        if (result != RLK_OK) {
            return posix_refuse(&posix->client, result, i);
        }
        conns[i] = &memory[i].node.conn;
    }
    return posix_start(posix, conns, nodes, options);
}

static void posix_set_loop(rlk_posix_client *posix, rlk_loop *loop)
{
    unsigned i;

    posix->loop = loop;
    posix->client.env.changed = loop != NULL ? posix_changed : NULL;
    for (i = 0; i < posix->client.nodes; i++) {
        rlk_socket_set_loop(&posix_node_of(posix, i)->socket, loop, i);
    }
}

/* The loop that a client has left, if it had one. */
static void posix_notify_removed(rlk_loop *loop)
{
    if (loop != NULL) {
        loop->calls->removed(loop);
    }
}

void rlk_posix_close(rlk_posix_client *posix)
{
    rlk_loop *loop;
    unsigned i;

    if (posix == NULL || posix->client.nodes == 0) { /* not after rlk_client_close alone */
        return;
    }
    loop = posix->loop;
    if (!rlki_client_same_process(&posix->client)) {
        posix_set_loop(posix, NULL); /* an epoll descriptor is shared: the parent's polls go on */
    }
    for (i = 0; i < posix->client.nodes; i++) {
        rlk_socket *sock = &posix_node_of(posix, i)->socket;

        rlki_tls_end(sock, rlk_system_fork_same(&posix->fork_mark)); /* a child sends nothing */
        rlk_socket_close(sock);
    }
    rlk_client_close(&posix->client);
    posix->client.nodes = 0;
    rlki_wakeup_close(&posix->wakeup);
    rlk_system_fork_close(&posix->fork_mark);
    posix_set_loop(posix, NULL);
    posix_notify_removed(loop);
}

/* Reads nothing that changes while the client is open, and writes nothing but a byte to the pipe.
 */
rlk_result rlk_posix_interrupt(const rlk_posix_client *posix)
{
    if (posix == NULL) {
        return RLK_E_ARGUMENT;
    }
    if (posix->client.state != RLKI_CLIENT_OPEN) {
        return RLK_E_CLOSED;
    }
    if (!rlk_system_fork_same(&posix->fork_mark)) { /* a child would interrupt its parent */
        return RLK_E_FORKED;
    }
    if (!posix->client.interruptible) {
        return RLK_E_STATE;
    }
    rlki_wakeup_send(&posix->wakeup);
    return RLK_OK;
}

/* ---- loops ---- */

static rlk_result posix_enter(const rlk_posix_client *posix)
{
    return posix == NULL ? RLK_E_ARGUMENT : rlki_client_enter(&posix->client);
}

rlk_result rlk_posix_set_loop(rlk_posix_client *posix, rlk_loop *loop)
{
    rlk_result result = posix_enter(posix);
    rlk_loop *before;

    if (result != RLK_OK) {
        return result;
    }
    before = posix->loop;
    if (loop != NULL && before != NULL) {
        return RLK_E_STATE;
    }
    posix_set_loop(posix, loop);
    posix_notify_removed(before);
    return RLK_OK;
}

unsigned rlk_posix_slots(const rlk_posix_client *posix)
{
    return posix_enter(posix) == RLK_OK ? posix->client.nodes : 0;
}

int rlk_posix_fd(const rlk_posix_client *posix, unsigned slot, short *events)
{
    const rlk_socket *sock;

    *events = 0;
    if (slot >= rlk_posix_slots(posix)) {
        return -1;
    }
    sock = &posix_node_of(posix, slot)->socket;
    *events = rlk_socket_events(sock);
    return rlk_socket_fd(sock);
}

/* Returns true if a node is not connected: to resolve its name may take long, so that the clock has
 * gone on. */
static bool posix_connects(const rlk_posix_client *posix)
{
    unsigned i;

    for (i = 0; i < posix->client.nodes; i++) {
        if (rlk_conn_get_state(posix->client.conns[i]) != RLK_CONN_READY) {
            return true;
        }
    }
    return false;
}

nfds_t rlk_posix_prepare(rlk_posix_client *posix, struct pollfd *fds, nfds_t cap, int *timeout_ms)
{
    int ignored;
    bool connects;
    rlk_client *client;

    if (timeout_ms == NULL) {
        timeout_ms = &ignored;
    }
    *timeout_ms = -1;
    if (posix_enter(posix) != RLK_OK || fds == NULL || cap < posix->client.nodes) {
        return 0;
    }
    client = &posix->client;
    if (posix->loop != NULL) {
        client->env.changed = posix_changed;
    }
    rlki_client_now(client);
    connects = posix_connects(posix);
    posix_serve(posix, NULL, 0, false);
    if (client->events != NULL) {
        *timeout_ms = 0;
    } else {
        if (connects) {
            rlki_client_now(client);
        }
        *timeout_ms = posix_timeout(posix, posix_deadline(posix, rlk_client_deadline(client)));
    }
    return posix_fill(posix, fds);
}

rlk_result rlk_posix_service(rlk_posix_client *posix, const struct pollfd *fds, nfds_t n)
{
    rlk_result result = posix_enter(posix);

    if (result != RLK_OK) {
        return result;
    }
    rlk_client_tick(&posix->client);
    posix_serve(posix, fds, fds != NULL ? n : 0, false);
    return RLK_OK;
}
