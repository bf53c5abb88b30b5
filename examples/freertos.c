/* SPDX-License-Identifier: MIT
 *
 * A task of FreeRTOS that takes locks by blocking calls, over the sockets of lwIP. The client is
 * this task's alone: others ask it through a queue or a notification.
 * Compiled without the POSIX driver: -DRLK_NO_POSIX.
 */
#include "resplock.h"

#include "board.h"

#include "FreeRTOS.h"
#include "task.h"
#include <lwip/def.h>
#include <lwip/ip_addr.h>
#include <lwip/sockets.h>
#include <string.h>

#define SERVER_PORT  6379
#define WORK_PIECES  10
#define PIECE_MS     50
#define RX_ROUNDS    8
#define SLEEP_MAX_MS 3600000 /* the clock must be read once in each round of the ticks */

typedef enum wire_stage {
    WIRE_DOWN,
    WIRE_CONNECTING,
    WIRE_UP
} wire_stage;

static struct {
    wire_stage stage;
    int fd;
    const char *address;
    rlk_conn conn;
    rlk_conn_entry ring[RLK_CONN_RING_MIN];
    uint8_t tx[256];
    uint8_t rx[256];
} wire;

static rlk_ticks ticks;
static rlk_client client;

/* With tickless idle the port steps the tick count on by what was slept: see that its low-power
 * timer is as true as drift_ppm says. */
static int64_t now_ms(void *context)
{
    (void)context;
    return rlk_ticks_ms(&ticks, xTaskGetTickCount());
}

static int random_bytes(void *context, void *buf, size_t len)
{
    (void)context;
    return board_random(buf, len) ? 0 : -1;
}

/* ---- The driver ---- */

static void wire_end(rlk_result why, int error)
{
    if (wire.fd >= 0)
        lwip_close(wire.fd);
    wire.fd = -1;
    wire.stage = WIRE_DOWN;
    rlk_conn_closed(&wire.conn, why, error, now_ms(NULL));
}

/* False: the stream is over. "Not now" is 0 bytes. */
static bool wire_count(ssize_t *n)
{
    if (*n > 0)
        return true;
    if (*n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        *n = 0;
        return true;
    }
    wire_end(*n == 0 ? RLK_E_EOF : RLK_E_IO, *n == 0 ? 0 : errno);
    return false;
}

static void wire_open(void)
{
    struct sockaddr_in name;
    ip4_addr_t ip;
    int on = 1;

    memset(&name, 0, sizeof name);
    name.sin_family = AF_INET;
    name.sin_port = lwip_htons(SERVER_PORT);
    rlk_conn_connecting(&wire.conn, now_ms(NULL));
    if (ip4addr_aton(wire.address, &ip) == 0) { /* of a name: by netconn_gethostbyname() */
        wire_end(RLK_E_RESOLVE, 0);
        return;
    }
    name.sin_addr.s_addr = ip.addr;
    wire.fd = lwip_socket(AF_INET, SOCK_STREAM, 0);
    wire.stage = WIRE_CONNECTING;
    if (wire.fd < 0 || lwip_fcntl(wire.fd, F_SETFL, O_NONBLOCK) != 0 ||
        lwip_setsockopt(wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        (lwip_connect(wire.fd, (struct sockaddr *)&name, sizeof name) != 0 && errno != EINPROGRESS))
        wire_end(RLK_E_CONNECT, errno);
}

/* Our own end as "ip:port", as the server's CLIENT LIST has it. */
static void wire_local(char *out, size_t cap)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    ip4_addr_t ip;

    lwip_getsockname(wire.fd, (struct sockaddr *)&name, &len);
    ip.addr = name.sin_addr.s_addr;
    ip4addr_ntoa_r(&ip, out, (int)cap);
    strcat(out, ":");
    lwip_itoa(out + strlen(out), cap - strlen(out), lwip_ntohs(name.sin_port));
}

static void wire_continue(void)
{
    struct pollfd stream = {.fd = wire.fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;
    char local[32];

    if (lwip_poll(&stream, 1, 0) != 1)
        return;
    lwip_getsockopt(wire.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        wire_end(RLK_E_CONNECT, error);
        return;
    }
    wire_local(local, sizeof local);
    wire.stage = WIRE_UP;
    rlk_conn_connected(&wire.conn, 0, local, now_ms(NULL));
}

static void wire_receive(void)
{
    int round;

    for (round = 0; wire.stage == WIRE_UP && round < RX_ROUNDS; round++) {
        size_t cap;
        uint8_t *room = rlk_conn_rx_buf(&wire.conn, &cap);
        ssize_t n = room != NULL ? lwip_recv(wire.fd, room, cap, 0) : 1;

        if (room == NULL || !wire_count(&n) || n == 0)
            return;
        rlk_conn_rx_ack(&wire.conn, (size_t)n, now_ms(NULL));
    }
}

static void wire_send(void)
{
    while (wire.stage == WIRE_UP) {
        size_t len;
        const uint8_t *bytes = rlk_conn_tx_buf(&wire.conn, &len);
        ssize_t n = len > 0 ? lwip_send(wire.fd, bytes, len, 0) : 1;

        if (len == 0 || !wire_count(&n) || n == 0)
            return;
        rlk_conn_tx_ack(&wire.conn, (size_t)n, now_ms(NULL));
    }
}

static void wire_serve(void)
{
    if ((rlk_conn_wants(&wire.conn) & RLK_WANT_CLOSE) != 0)
        wire_end(RLK_OK, 0);
    if ((rlk_conn_wants(&wire.conn) & RLK_WANT_CONNECT) != 0)
        wire_open();
    if (wire.stage == WIRE_CONNECTING)
        wire_continue();
    wire_receive();
    wire_send();
}

/* env.wait: sends what there is, then waits for the stream or for the deadline, once. */
static int wire_wait(void *context, rlk_client *waiting, int64_t deadline_ms)
{
    struct pollfd stream = {.events = POLLIN};
    int64_t left_ms;

    (void)context;
    wire_serve();
    deadline_ms = LWIP_MIN(deadline_ms, rlk_client_deadline(waiting));
    left_ms = LWIP_MIN(deadline_ms, now_ms(NULL) + SLEEP_MAX_MS) - now_ms(NULL);
    left_ms = LWIP_MAX(left_ms, 0);
    if (wire.fd < 0) { /* nothing to poll: the pause before the next attempt */
        vTaskDelay(pdMS_TO_TICKS(left_ms) + 1);
    } else {
        stream.fd = wire.fd;
        if (wire.stage == WIRE_CONNECTING || (rlk_conn_wants(&wire.conn) & RLK_WANT_WRITE) != 0)
            stream.events |= POLLOUT;
        lwip_poll(&stream, 1, (int)left_ms);
    }
    rlk_client_tick(waiting); /* deadlines before input */
    wire_serve();
    return 0;
}

/* ---- The task ---- */

static rlk_result task_init(rlk_lock *lock)
{
    rlk_conn *conns[] = {&wire.conn};
    rlk_conn_config config = {.url = {.host = wire.address, .port = SERVER_PORT},
                              .client_name = "task",
                              .ring = wire.ring,
                              .ring_len = RLK_CONN_RING_MIN,
                              .tx = wire.tx,
                              .tx_cap = sizeof wire.tx,
                              .rx = wire.rx,
                              .rx_cap = sizeof wire.rx};
    rlk_client_config client_config = {
        .env = {.now_ms = now_ms, .random = random_bytes, .wait = wire_wait}};
    rlk_lock_config lock_config = {.ttl_ms = 5000};
    rlk_result result;

    config.url.host_len = (uint16_t)strlen(wire.address);
    wire.fd = -1;
    rlk_ticks_init(&ticks, configTICK_RATE_HZ, 32, xTaskGetTickCount());
    if (random_bytes(NULL, &config.jitter_seed, sizeof config.jitter_seed) != 0)
        return RLK_E_ENTROPY;
    rlk_client_conn_config(&client, &config);
    result = rlk_conn_init(&wire.conn, &config, now_ms(NULL));
    if (result == RLK_OK)
        result = rlk_client_init(&client, conns, 1, &client_config);
    if (result == RLK_OK)
        result = rlk_lock_init(lock, &client, "key", &lock_config);
    return result;
}

/* The work in pieces, each shorter than a third of the TTL. */
static bool task_work(rlk_lock *lock)
{
    int piece;

    for (piece = 0; piece < WORK_PIECES && rlk_keep_alive(lock) == RLK_OK; piece++)
        vTaskDelay(pdMS_TO_TICKS(PIECE_MS));
    return piece == WORK_PIECES;
}

void lock_task(void *server)
{
    static rlk_lock lock; /* the stack of a task is small */
    int status = 1;

    wire.address = (const char *)server;
    if (task_init(&lock) != RLK_OK) {
        board_print("bad configuration, or no random bytes");
    } else if (rlk_acquire(&lock, RLK_FOREVER) != RLK_OK) {
        board_print("did not work");
    } else {
        board_print("acquired");
        if (!task_work(&lock))
            board_print("lost: the work stops");
        if (rlk_release(&lock) == RLK_OK) {
            board_print("released");
            status = 0;
        }
    }
    (void)rlk_lock_close(&lock);
    rlk_client_close(&client);
    wire_serve(); /* closes the stream */
    board_done(status);
    vTaskDelete(NULL);
}
