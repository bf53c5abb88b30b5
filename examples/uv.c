/* SPDX-License-Identifier: MIT
 *
 * Under libuv: the ports of a connection on a uv_tcp_t. Nothing blocks, names are resolved by
 * libuv's threads, and received bytes are written straight into the connection's buffer.
 *     uv redis://localhost:6379 key
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define WORK_MS 300

typedef enum wire_state {
    WIRE_DOWN,
    WIRE_RESOLVING,
    WIRE_CONNECTING,
    WIRE_UP,
    WIRE_CLOSING /* libuv calls back when nothing of the stream is in use any more */
} wire_state;

static uv_loop_t *loop;
static uv_timer_t deadline;
static uv_timer_t work;

static struct {
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    uv_tcp_t tcp;
    wire_state state;
    bool writing;
    rlk_result why;             /* the stream ended */
    struct addrinfo *addresses; /* of the attempt under way */
    const struct addrinfo *addresses_left;
    rlk_conn conn;
    rlk_conn_entry ring[8];
    uint8_t tx[512];
    uint8_t rx[512];
} wire;

static rlk_client client;
static rlk_lock lock;
static int status = 1;

static void serve(void);

static int64_t now_ms(void)
{
    return rlk_system_now_ms(NULL); /* uv_now() stands still while the system sleeps */
}

/* ---- The driver ---- */

static void wire_try(void);

static void wire_closed(void)
{
    uv_freeaddrinfo(wire.addresses);
    wire.addresses = NULL;
    wire.state = WIRE_DOWN;
    rlk_conn_closed(&wire.conn, wire.why, 0, now_ms());
    serve();
}

static void on_closed(uv_handle_t *handle)
{
    (void)handle;
    if (rlk_conn_get_state(&wire.conn) == RLK_CONN_CONNECTING && wire.addresses_left != NULL)
        wire_try();
    else
        wire_closed();
}

/* Writes under way end with UV_ECANCELED before on_closed comes. */
static void wire_close(rlk_result why)
{
    wire_state before = wire.state;

    wire.why = why;
    wire.state = WIRE_CLOSING;
    if (before == WIRE_RESOLVING)
        uv_cancel((uv_req_t *)&wire.resolve); /* on_resolved comes, sooner or later */
    else if (before != WIRE_CLOSING)
        uv_close((uv_handle_t *)&wire.tcp, on_closed);
}

/* "ip:port", as the server's CLIENT LIST has it; "" if there is no such. */
static void wire_name(const struct sockaddr_storage *address, char *out, size_t cap)
{
    const struct sockaddr *any = (const struct sockaddr *)address;
    bool v6 = any->sa_family == AF_INET6;
    char ip[INET6_ADDRSTRLEN];

    out[0] = '\0';
    if (uv_ip_name(any, ip, sizeof ip) == 0)
        snprintf(out, cap, v6 ? "[%s]:%d" : "%s:%d", ip,
                 ntohs(v6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                          : ((const struct sockaddr_in *)address)->sin_port));
}

/* A number for the address that was reached: a name can have several. */
static uint64_t wire_peer(const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    while (*name != '\0')
        hash = (hash ^ (uint8_t)*name++) * UINT64_C(1099511628211); /* FNV-1a */
    return hash;
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    size_t cap;
    uint8_t *room = rlk_conn_rx_buf(&wire.conn, &cap);

    (void)handle;
    (void)wanted;
    *buf = uv_buf_init((char *)room, (unsigned)cap);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    (void)handle;
    (void)buf;
    if (n == 0 || wire.state != WIRE_UP)
        return;
    rlk_client_tick(&client); /* deadlines before input */
    if (n < 0)
        wire_close(n == UV_EOF ? RLK_E_EOF : RLK_E_IO);
    else
        rlk_conn_rx_ack(&wire.conn, (size_t)n, now_ms());
    serve();
}

static void on_connected(uv_connect_t *request, int error)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    char local[64];
    char peer[64];

    (void)request;
    if (wire.state != WIRE_CONNECTING)
        return;
    if (error != 0 || uv_tcp_getsockname(&wire.tcp, (struct sockaddr *)&address, &len) != 0) {
        wire_close(RLK_E_CONNECT);
        return;
    }
    wire_name(&address, local, sizeof local);
    len = sizeof address;
    uv_tcp_getpeername(&wire.tcp, (struct sockaddr *)&address, &len);
    wire_name(&address, peer, sizeof peer);
    wire.state = WIRE_UP;
    rlk_conn_connected(&wire.conn, wire_peer(peer), local, now_ms());
    uv_read_start((uv_stream_t *)&wire.tcp, on_room, on_read);
    serve();
}

/* The next address of the name. */
static void wire_try(void)
{
    const struct addrinfo *address = wire.addresses_left;

    wire.addresses_left = address->ai_next;
    uv_tcp_init(loop, &wire.tcp);
    uv_tcp_nodelay(&wire.tcp, 1);
    wire.state = WIRE_CONNECTING;
    if (uv_tcp_connect(&wire.connect, &wire.tcp, address->ai_addr, on_connected) != 0)
        wire_close(RLK_E_CONNECT);
}

static void on_resolved(uv_getaddrinfo_t *request, int error, struct addrinfo *found)
{
    (void)request;
    wire.addresses = found;
    wire.addresses_left = found;
    if (wire.state == WIRE_RESOLVING && error == 0) {
        wire_try();
    } else {
        wire.why = RLK_E_RESOLVE;
        wire_closed();
    }
}

static void wire_open(void)
{
    const rlk_url *url = rlk_conn_url(&wire.conn);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char host[256];
    char port[8];

    rlk_conn_connecting(&wire.conn, now_ms());
    snprintf(host, sizeof host, "%.*s", (int)url->host_len, url->host);
    snprintf(port, sizeof port, "%d", url->port);
    wire.state = WIRE_RESOLVING;
    if (uv_getaddrinfo(loop, &wire.resolve, on_resolved, host, port, &hints) != 0) {
        wire.why = RLK_E_RESOLVE;
        wire_closed();
    }
}

static void on_written(uv_write_t *request, int error)
{
    wire.writing = false;
    if (error != 0) {
        if (wire.state == WIRE_UP)
            wire_close(RLK_E_IO);
        return;
    }
    rlk_conn_tx_ack(&wire.conn, (size_t)(uintptr_t)request->data, now_ms());
    serve();
}

/* What libuv is given does not move until it is acknowledged. */
static void wire_write(void)
{
    size_t len;
    const uint8_t *bytes = rlk_conn_tx_buf(&wire.conn, &len);
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);

    wire.write.data = (void *)(uintptr_t)len;
    wire.writing = true;
    if (uv_write(&wire.write, (uv_stream_t *)&wire.tcp, &buf, 1, on_written) != 0) {
        wire.writing = false;
        wire_close(RLK_E_IO);
    }
}

/* ---- The application ---- */

static void on_work_done(uv_timer_t *timer)
{
    (void)timer;
    if (rlk_release_start(&lock) != RLK_PENDING)
        fprintf(stderr, "release: %s\n", rlk_lock_error(&lock));
    serve();
}

static void on_event(const rlk_event *event)
{
    switch (event->type) {
    case RLK_EV_ACQUIRED:
        printf("acquired, for %" PRId64 " ms\n", rlk_remaining_ms(&lock));
        fflush(stdout);
        uv_timer_start(&work, on_work_done, WORK_MS, 0);
        return;
    case RLK_EV_LOST:
        printf("lost: the work stops\n");
        break;
    case RLK_EV_RESULT:
        if (event->operation == RLK_OP_RELEASE && event->result == RLK_OK) {
            printf("released\n");
            status = 0;
            break;
        }
        if (event->result == RLK_TIMED_OUT) {
            printf("somebody else has it\n");
            break;
        }
        /* fall through */
    default:
        fprintf(stderr, "%s\n", rlk_lock_error(&lock));
        break;
    }
    rlk_lock_close(&lock);
    rlk_client_close(&client); /* the stream is closed by the next turn of serve() */
    uv_close((uv_handle_t *)&work, NULL);
    uv_close((uv_handle_t *)&deadline, NULL);
}

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    rlk_client_tick(&client);
    serve();
}

/* After anything that may have changed what the connection wants. */
static void serve(void)
{
    rlk_event event;
    unsigned wants;

    while (rlk_client_next_event(&client, &event))
        on_event(&event);
    wants = rlk_conn_wants(&wire.conn);
    if ((wants & RLK_WANT_CLOSE) != 0 && wire.state != WIRE_DOWN)
        wire_close(RLK_OK);
    else if ((wants & RLK_WANT_CONNECT) != 0 && wire.state == WIRE_DOWN)
        wire_open();
    else if ((wants & RLK_WANT_WRITE) != 0 && wire.state == WIRE_UP && !wire.writing)
        wire_write();
    if (uv_is_closing((uv_handle_t *)&deadline) == 0) {
        int64_t due_ms = rlk_client_deadline(&client);
        int64_t left_ms = due_ms - now_ms();

        uv_timer_stop(&deadline);
        if (due_ms != RLK_NEVER && wire.state != WIRE_CLOSING)
            uv_timer_start(&deadline, on_deadline, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
    }
}

static rlk_result begin(const char *url, const char *key)
{
    rlk_conn *conns[] = {&wire.conn};
    rlk_conn_config config = {.ring = wire.ring,
                              .ring_len = sizeof wire.ring / sizeof wire.ring[0],
                              .tx = wire.tx,
                              .tx_cap = sizeof wire.tx,
                              .rx = wire.rx,
                              .rx_cap = sizeof wire.rx};
    rlk_client_config client_config = {
        .env = {.now_ms = rlk_system_now_ms, .random = rlk_system_random}};
    rlk_result result = rlk_url_parse(&config.url, url);

    if (result != RLK_OK)
        return result;
    if (config.url.host == NULL)
        return RLK_E_URL_HOST; /* a Unix socket would be a uv_pipe_t */
    rlk_client_conn_config(&client, &config);
    rlk_system_random(NULL, &config.jitter_seed, sizeof config.jitter_seed);
    result = rlk_conn_init(&wire.conn, &config, now_ms());
    if (result == RLK_OK)
        result = rlk_client_init(&client, conns, 1, &client_config);
    if (result == RLK_OK)
        result = rlk_lock_init(&lock, &client, key, NULL);
    return result == RLK_OK ? rlk_acquire_start(&lock, 8000) : result;
}

int main(int argc, char **argv)
{
    rlk_result result;

    if (argc != 3) {
        fprintf(stderr, "usage: %s URL KEY\n", argv[0]);
        return 2;
    }
    loop = uv_default_loop();
    result = begin(argv[1], argv[2]);
    if (result != RLK_PENDING) {
        fprintf(stderr, "%s\n", rlk_result_text(result));
        return 1;
    }
    uv_timer_init(loop, &deadline);
    uv_timer_init(loop, &work);
    serve();
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return status;
}
