/* SPDX-License-Identifier: MIT
 *
 * Clients on POSIX sockets: the glue between the engine and the drivers.
 */
#include "../net/posix/socket_wait.h"
#include "../net/posix/wakeup.h"
#include "internal.h"

#ifndef RLK_NO_POSIX

#include "resplock/posix.h"

#include "../net/limit.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- the environment ---- */

static bool posix_same_process(void *context, const rlk_client *client)
{
    (void)context;
    return rlk_system_fork_same(&client->fork_mark);
}

static void posix_serve(rlk_client *client, unsigned node, short revents, bool may_block)
{
    rlk_socket_service(&client->node_list[node]->socket, revents, may_block, client->now_ms);
}

static int64_t posix_deadline(const rlk_client *client, int64_t deadline_ms)
{
    unsigned i;
    for (i = 0; i < client->nodes; i++) {
        int64_t node_timeout_ms = rlk_socket_deadline(&client->node_list[i]->socket);
        if (node_timeout_ms < deadline_ms)
            deadline_ms = node_timeout_ms;
    }
    return deadline_ms;
}

/* Milliseconds for poll, from a clock reading that is as fresh as the deadlines are. */
static int posix_timeout(const rlk_client *client, int64_t deadline_ms)
{
    int64_t left_ms;
    if (deadline_ms == RLK_NEVER)
        return -1;
    left_ms = deadline_ms - client->now_ms;
    if (left_ms <= 0)
        return 0;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static nfds_t posix_fill(rlk_client *client, struct pollfd *fds)
{
    nfds_t n = 0;
    unsigned i;
    for (i = 0; i < client->nodes; i++) {
        const rlk_socket *sock = &client->node_list[i]->socket;
        if (rlk_socket_fd(sock) < 0)
            continue;
        fds[n].fd = rlk_socket_fd(sock);
        fds[n].events = rlk_socket_events(sock);
        fds[n].revents = 0;
        n++;
    }
    return n;
}

static void posix_serve_all(rlk_client *client, const struct pollfd *fds, nfds_t n, bool may_block)
{
    unsigned i;
    nfds_t k;
    for (i = 0; i < client->nodes; i++) {
        int fd = rlk_socket_fd(&client->node_list[i]->socket);
        short revents = 0;
        for (k = 0; k < n; k++)
            if (fd >= 0 && fds[k].fd == fd)
                revents = fds[k].revents;
        posix_serve(client, i, revents, may_block);
    }
}

/* What a signal handler that interrupted a wait makes of it. */
static int posix_signalled(const rlk_client *client)
{
    return client->return_on_signal ? (int)RLK_CANCELLED : 0;
}

/* Waits for the one connection that there is, in one system call instead of two. False: can't. */
static bool posix_wait_one(rlk_client *client, int timeout_ms, int *answer)
{
    rlk_socket *sock = &client->node_list[0]->socket;
    rlki_socket_got got;
    if (rlki_nodes(client) != 1 || client->interruptible ||
        !rlki_socket_wait(sock, timeout_ms, &got))
        return false;
    *answer = got.len < 0 && got.error == EINTR ? posix_signalled(client) : 0;
    rlk_client_tick(client); /* deadlines before input */
    rlki_socket_take(sock, &got, client->now_ms);
    return true;
}

/* Polls, and serves what poll says. Behind the connections, where there is one, the pipe. */
static int posix_wait_all(rlk_client *client, int timeout_ms)
{
    struct pollfd fds[RLK_MAX_FDS + 1];
    nfds_t n = posix_fill(client, fds);
    int ready;
    fds[n].fd = client->wakeup.fds[0];
    fds[n].events = POLLIN;
    fds[n].revents = 0;
    ready = poll(fds, client->interruptible ? n + 1 : n, timeout_ms);
    if (ready < 0 && errno != EINTR)
        return -1;
    rlk_client_tick(client); /* deadlines before input */
    if (ready < 0)
        return posix_signalled(client);
    if (ready > 0)
        posix_serve_all(client, fds, n, true);
    return fds[n].revents != 0 && rlki_wakeup_take(&client->wakeup) ? (int)RLK_CANCELLED : 0;
}

/* env.wait: sends what there is, then waits for input or the deadline, once. */
static int posix_wait(void *context, rlk_client *client, int64_t deadline_ms)
{
    int answer;
    int64_t moved_ms;
    int timeout_ms;
    (void)context;
    posix_serve_all(client, NULL, 0, true);
    moved_ms = rlk_client_deadline(client); /* by what was sent, or failed, just now */
    if (moved_ms < deadline_ms)
        deadline_ms = moved_ms;
    rlki_client_now(client);
    timeout_ms = posix_timeout(client, posix_deadline(client, deadline_ms));
    if (posix_wait_one(client, timeout_ms, &answer))
        return answer;
    return posix_wait_all(client, timeout_ms);
}

/* ---- open and close ---- */

static void posix_env(rlk_env *env, const rlk_env *own)
{
    *env = *own;
    if (!env->now_ms)
        env->now_ms = rlk_system_now_ms;
    if (!env->random)
        env->random = rlk_system_random;
    if (!env->wait)
        env->wait = posix_wait;
    if (!env->same_process)
        env->same_process = posix_same_process;
}

static size_t posix_length(const char *text)
{
    return text ? strlen(text) : 0;
}

static uint32_t posix_texts(const rlk_node *node)
{
    uint32_t hash = rlk_key_hash(RLK_KEY_HASH, node->user, posix_length(node->user));
    return rlk_key_hash(hash, node->password, posix_length(node->password));
}

/* Credentials of the options, as a hook: they are not percent-encoded. */
static int posix_credentials(void *context, rlk_credentials *out)
{
    const rlk_node *node = (const rlk_node *)context;
    if (posix_texts(node) != node->texts)
        return RLK_E_DANGLING;
    out->user = node->user;
    out->user_len = posix_length(node->user);
    out->password = node->password ? node->password : ""; /* a user alone: an empty password */
    out->password_len = posix_length(node->password);
    return 0;
}

static rlk_result posix_conn_config(rlk_client *client, rlk_conn_config *config, rlk_node *node,
                                    const char *url, const rlk_options *options)
{
    rlk_result result = rlk_url_parse(&config->url, url);
    if (result != RLK_OK)
        return result;
    if (options->db < 0)
        return RLK_E_URL_DB;
    if (options->db > 0)
        config->url.db = (uint32_t)options->db;
    config->client_name = options->client_name ? options->client_name : "resplock";
    config->credentials = options->credentials;
    config->credentials_context = options->credentials_context;
    node->user = options->user;
    node->password = options->password;
    node->texts = posix_texts(node);
    if (!config->credentials && (options->user || options->password)) {
        size_t need =
            RLK_CONN_TX_AUTH(posix_length(options->user), posix_length(options->password));
        if (config->tx_cap < need) {
            RLKI_REFUSE(client, RLKI_WORD("tx_cap"), config->tx_cap, need, RLKI_BUFFER_MAX);
            return RLK_E_BUFFER;
        }
        config->credentials = posix_credentials;
        config->credentials_context = node;
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
    if (result == RLK_E_BUFFER && buffer)
        RLKI_REFUSE(client, buffer, number < INT32_MAX ? (int64_t)number : INT64_MAX, least,
                    RLKI_BUFFER_MAX);
    if (result == RLK_E_TIMES)
        (void)(rlki_client_take_limit(client, &taken_ms, config->connect_timeout_ms, 0,
                                      RLKI_WORD("connect_timeout_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->response_timeout_ms, 0,
                                      RLKI_WORD("response_timeout_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->backoff_min_ms, 0,
                                      RLKI_WORD("backoff_min_ms")) &&
               rlki_client_take_limit(client, &taken_ms, config->backoff_max_ms, 0,
                                      RLKI_WORD("backoff_max_ms")));
}

/* One node: its connection over the memory that `config` names already, and its driver. */
static rlk_result posix_node(rlk_client *client, rlk_node *node, rlk_conn_config *config,
                             const char *url, const rlk_options *options, int64_t now_ms)
{
    rlk_result result;
    if (!url)
        return RLK_E_ARGUMENT;
    memset(node, 0, sizeof(*node));
    result = posix_conn_config(client, config, node, url, options);
    if (result != RLK_OK)
        return result;
    if (rlk_system_random(NULL, &config->jitter_seed, sizeof(config->jitter_seed)) != 0)
        config->jitter_seed = (uint32_t)now_ms;
    result = rlk_conn_init(&node->conn, config, now_ms);
    if (result == RLK_OK)
        rlk_socket_init(&node->socket, &node->conn, options->resolver, options->resolver_context);
    else
        posix_explain(client, config, result);
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

/* The pipe of rlk_interrupt, where it is asked for. */
static rlk_result posix_interrupts(rlk_client *client, const rlk_options *options)
{
    client->return_on_signal = options->return_on_signal;
    client->interruptible = options->interrupts;
    client->wakeup.fds[0] = -1;
    client->wakeup.fds[1] = -1;
    return !options->interrupts || rlki_wakeup_open(&client->wakeup) ? RLK_OK : RLK_E_PIPE;
}

static rlk_result posix_start(rlk_client *client, size_t nodes, const rlk_options *options)
{
    rlk_client_config config;
    rlk_conn *conns[RLK_MAX_NODES];
    rlk_result result;
    size_t i;
    for (i = 0; i < nodes; i++)
        conns[i] = &client->node_list[i]->conn;
    memset(&config, 0, sizeof(config));
    posix_env(&config.env, &options->env);
    config.operation_timeout_ms = options->operation_timeout_ms;
    config.settle_timeout_ms = options->settle_timeout_ms;
    config.drift_ppm = options->drift_ppm;
    config.drift_ms = options->drift_ms;
    config.max_handoffs = options->max_handoffs;
    config.buckets = options->buckets;
    config.buckets_len = options->buckets_len;
    rlk_system_fork_init(&client->fork_mark);
    result = rlk_client_init(client, conns, nodes, &config);
    if (result == RLK_OK) {
        result = posix_interrupts(client, options);
        if (result != RLK_OK)
            posix_refuse(client, result, 0);
    }
    if (result != RLK_OK)
        rlk_system_fork_close(&client->fork_mark);
    return result;
}

/* What both forms of open begin with: the layout, and options where there are none. */
static rlk_result posix_begin(rlk_client *client, const rlk_options **options, rlk_options *none,
                              size_t size, uint32_t layout)
{
    if (!client)
        return RLK_E_ARGUMENT;
    if (size != sizeof(*client) || layout != RLK_LAYOUT) {
        memset(client, 0, size); /* closed, as far as the caller's struct goes */
        return RLK_E_LAYOUT;
    }
    RLKI_REFUSE(client, NULL, 0, 0, 0);
    if (!*options) {
        memset(none, 0, sizeof(*none));
        *options = none;
    }
    return RLK_OK;
}

static int64_t posix_now(const rlk_options *options)
{
    return options->env.now_ms ? options->env.now_ms(options->env.context)
                               : rlk_system_now_ms(NULL);
}

rlk_result rlki_client_open(rlk_client *client, const char *url, const rlk_options *options,
                            size_t size, uint32_t layout)
{
    rlk_conn_config config;
    rlk_options none;
    rlk_result result = posix_begin(client, &options, &none, size, layout);
    if (result != RLK_OK)
        return result;
    memset(&config, 0, sizeof(config));
    config.ring = client->ring;
    config.ring_len = RLK_NODE_RING;
    config.tx = client->tx;
    config.tx_cap = RLK_NODE_TX;
    config.rx = client->rx;
    config.rx_cap = RLK_NODE_RX;
    result = posix_node(client, &client->node, &config, url, options, posix_now(options));
    if (result != RLK_OK)
        return posix_refuse(client, result, 0);
    client->node_list[0] = &client->node;
    return posix_start(client, 1, options);
}

rlk_result rlki_client_open_nodes(rlk_client *client, const char *const *urls,
                                  rlk_node_memory *memory, size_t nodes, const rlk_options *options,
                                  size_t size, uint32_t layout)
{
    rlk_options none;
    int64_t now_ms;
    size_t i;
    rlk_result begun = posix_begin(client, &options, &none, size, layout);
    if (begun != RLK_OK)
        return begun;
    if (nodes == 0 || nodes > RLK_MAX_NODES) {
        RLKI_REFUSE(client, RLKI_WORD("nodes"), nodes, 1, RLK_MAX_NODES);
        return posix_refuse(client, RLK_E_NODES, 0);
    }
    if (!urls || !memory)
        return posix_refuse(client, RLK_E_ARGUMENT, 0);
    now_ms = posix_now(options);
    for (i = 0; i < nodes; i++) {
        rlk_conn_config config;
        rlk_result result;
        memset(&config, 0, sizeof(config));
        config.ring = memory[i].ring;
        config.ring_len = memory[i].ring_len;
        config.tx = memory[i].tx;
        config.tx_cap = memory[i].tx_cap;
        config.rx = memory[i].rx;
        config.rx_cap = memory[i].rx_cap;
        result = posix_node(client, &memory[i].node, &config, urls[i], options, now_ms);
        if (result != RLK_OK)
            return posix_refuse(client, result, i);
        client->node_list[i] = &memory[i].node;
    }
    return posix_start(client, nodes, options);
}

void rlk_client_close(rlk_client *client)
{
    unsigned i;
    if (!client || client->state != RLKI_CLIENT_OPEN)
        return;
    for (i = 0; i < client->nodes; i++)
        rlk_socket_close(&client->node_list[i]->socket);
    rlk_client_deinit(client);
    rlki_wakeup_close(&client->wakeup);
    rlk_system_fork_close(&client->fork_mark);
}

/* Reads nothing that changes while the client is open, and writes nothing but a byte to the pipe.
 */
rlk_result rlk_interrupt(const rlk_client *client)
{
    if (!client)
        return RLK_E_ARGUMENT;
    if (client->state != RLKI_CLIENT_OPEN)
        return RLK_E_CLOSED;
    if (!rlk_system_fork_same(&client->fork_mark)) /* a child would interrupt its parent */
        return RLK_E_FORKED;
    if (!client->interruptible)
        return RLK_E_STATE;
    rlki_wakeup_send(&client->wakeup);
    return RLK_OK;
}

/* ---- loops ---- */

nfds_t rlk_client_pollfds(rlk_client *client, struct pollfd *fds, nfds_t cap)
{
    if (rlki_client_enter(client) != RLK_OK || !fds || cap < client->nodes)
        return 0;
    rlki_client_now(client);
    posix_serve_all(client, NULL, 0, false);
    return posix_fill(client, fds);
}

int rlk_client_timeout(rlk_client *client)
{
    if (rlki_client_enter(client) != RLK_OK)
        return -1;
    if (client->event_head)
        return 0;
    rlki_client_now(client);
    return posix_timeout(client, posix_deadline(client, rlk_client_deadline(client)));
}

rlk_result rlk_client_service(rlk_client *client, const struct pollfd *fds, nfds_t n)
{
    rlk_result result = rlki_client_enter(client);
    if (result != RLK_OK)
        return result;
    rlk_client_tick(client);
    posix_serve_all(client, fds, fds ? n : 0, false);
    return RLK_OK;
}

#endif
