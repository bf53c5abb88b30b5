/* SPDX-License-Identifier: MIT
 *
 * On the raw interface of lwIP: all of it runs in the callbacks of the stack. With an RTOS that is
 * the thread of lwIP, without one the main loop. Compiled without sockets: -DRLK_NO_POSIX.
 */
#include "resplock.h"

#include "board.h"

#include <lwip/def.h>
#include <lwip/ip_addr.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <string.h>

#define WORK_MS      300
#define SLEEP_MAX_MS 3600000 /* the clock must be read once in each round of the counter */

static struct {
    struct tcp_pcb *pcb; /* NULL: no stream */
    bool up;
    bool aborted; /* by us, in the callback under way: lwIP wants to know */
    ip_addr_t server;
    rlk_conn conn;
    rlk_conn_entry ring[RLK_CONN_RING_MIN];
    uint8_t tx[256];
    uint8_t rx[256];
} wire;

static rlk_ticks ticks;
static rlk_client client;
static rlk_lock lock;

static void serve(void);

static int64_t now_ms(void *context)
{
    (void)context;
    return rlk_ticks_ms(&ticks, sys_now());
}

/* Not LWIP_RAND(): a token that can be guessed is none. */
static int random_bytes(void *context, void *buf, size_t len)
{
    (void)context;
    return board_random(buf, len) ? 0 : -1;
}

/* ---- The driver ---- */

static void wire_closed(rlk_result why)
{
    wire.pcb = NULL;
    wire.up = false;
    rlk_conn_closed(&wire.conn, why, 0, now_ms(NULL));
}

static void wire_close(rlk_result why)
{
    struct tcp_pcb *pcb = wire.pcb;

    if (pcb != NULL) {
        tcp_recv(pcb, NULL);
        tcp_sent(pcb, NULL);
        tcp_err(pcb, NULL);
        if (tcp_close(pcb) != ERR_OK) {
            tcp_abort(pcb);
            wire.aborted = true;
        }
    }
    wire_closed(why);
}

/* lwIP has freed the pcb already. */
static void on_error(void *context, err_t error)
{
    (void)context;
    (void)error;
    rlk_client_tick(&client);
    wire_closed(wire.up ? RLK_E_IO : RLK_E_CONNECT);
    serve();
}

static err_t on_received(void *context, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    u16_t done = 0;

    (void)context;
    (void)error;
    wire.aborted = false;
    rlk_client_tick(&client); /* deadlines before input */
    if (p == NULL) {
        wire_close(RLK_E_EOF);
    } else {
        while (done < p->tot_len) {
            size_t cap;
            uint8_t *room = rlk_conn_rx_buf(&wire.conn, &cap);
            u16_t n = (u16_t)LWIP_MIN(cap, (size_t)(p->tot_len - done));

            if (room == NULL)
                break; /* the connection wants to be closed */
            pbuf_copy_partial(p, room, n, done);
            rlk_conn_rx_ack(&wire.conn, n, now_ms(NULL));
            done = (u16_t)(done + n);
        }
        tcp_recved(pcb, p->tot_len);
        pbuf_free(p);
    }
    serve();
    return wire.aborted ? ERR_ABRT : ERR_OK;
}

static err_t on_sent(void *context, struct tcp_pcb *pcb, u16_t len)
{
    (void)context;
    (void)pcb;
    (void)len;
    wire.aborted = false;
    serve(); /* there is room again */
    return wire.aborted ? ERR_ABRT : ERR_OK;
}

/* "ip:port", as the server's CLIENT LIST has it. */
static void wire_name(const struct tcp_pcb *pcb, char *out, size_t cap)
{
    ipaddr_ntoa_r(&pcb->local_ip, out, (int)cap);
    strcat(out, ":");
    lwip_itoa(out + strlen(out), cap - strlen(out), pcb->local_port);
}

static err_t on_connected(void *context, struct tcp_pcb *pcb, err_t error)
{
    char local[32]; /* IPv4 */

    (void)context;
    (void)error; /* always ERR_OK */
    wire.aborted = false;
    wire.up = true;
    wire_name(pcb, local, sizeof local);
    rlk_conn_connected(&wire.conn, 0, local, now_ms(NULL));
    serve();
    return wire.aborted ? ERR_ABRT : ERR_OK;
}

static void wire_open(void)
{
    rlk_conn_connecting(&wire.conn, now_ms(NULL));
    wire.pcb = tcp_new();
    if (wire.pcb == NULL) {
        wire_closed(RLK_E_CONNECT);
        return;
    }
    tcp_nagle_disable(wire.pcb);
    tcp_recv(wire.pcb, on_received);
    tcp_sent(wire.pcb, on_sent);
    tcp_err(wire.pcb, on_error);
    if (tcp_connect(wire.pcb, &wire.server, rlk_conn_url(&wire.conn)->port, on_connected) != ERR_OK)
        wire_close(RLK_E_CONNECT);
}

/* Copied by lwIP, and so acknowledged at once: what lwIP only points to must stay as it is until
 * on_sent, and beyond a close. */
static void wire_send(void)
{
    for (;;) {
        size_t len;
        const uint8_t *bytes = rlk_conn_tx_buf(&wire.conn, &len);
        u16_t n = (u16_t)LWIP_MIN(len, tcp_sndbuf(wire.pcb));

        if (n == 0 || tcp_write(wire.pcb, bytes, n, TCP_WRITE_FLAG_COPY) != ERR_OK)
            break;
        rlk_conn_tx_ack(&wire.conn, n, now_ms(NULL));
    }
    tcp_output(wire.pcb);
}

/* ---- The application ---- */

static void on_work_done(void *context)
{
    (void)context;
    (void)rlk_release_start(&lock);
    serve();
}

static void on_deadline(void *context)
{
    (void)context;
    rlk_client_tick(&client);
    serve();
}

static void finish(int status)
{
    sys_untimeout(on_work_done, NULL);
    (void)rlk_lock_close(&lock);
    rlk_client_close(&client); /* the stream is closed by serve() */
    board_done(status);
}

static void on_event(const rlk_event *event)
{
    switch (event->type) {
    case RLK_EV_ACQUIRED:
        board_print("acquired");
        sys_timeout(WORK_MS, on_work_done, NULL);
        break;
    case RLK_EV_RESULT:
        if (event->operation == RLK_OP_RELEASE && event->result == RLK_OK) {
            board_print("released");
            finish(0);
        } else {
            board_print("did not work");
            finish(1);
        }
        break;
    case RLK_EV_LOST:
        board_print("lost: the work stops");
        finish(1);
        break;
    case RLK_EV_WAITING: /* goes on */
        board_print("waits");
        break;
    default:
        board_print("did not work");
        finish(1);
        break;
    }
}

/* After anything that may have changed what the connection wants. */
static void serve(void)
{
    rlk_event event;
    int64_t left_ms;

    while (rlk_client_next_event(&client, &event))
        on_event(&event);
    if ((rlk_conn_wants(&wire.conn) & RLK_WANT_CLOSE) != 0)
        wire_close(RLK_OK);
    if ((rlk_conn_wants(&wire.conn) & RLK_WANT_CONNECT) != 0)
        wire_open();
    if (wire.up)
        wire_send();
    sys_untimeout(on_deadline, NULL);
    left_ms = rlk_client_deadline(&client);
    if (left_ms == RLK_NEVER)
        return;
    left_ms -= now_ms(NULL);
    left_ms = LWIP_MAX(left_ms, 0);
    sys_timeout((u32_t)LWIP_MIN(left_ms, SLEEP_MAX_MS), on_deadline, NULL);
}

void lwip_start(const char *address, uint16_t port)
{
    rlk_conn *conns[] = {&wire.conn};
    rlk_conn_config config = {.url = {.host = address, .port = port},
                              .client_name = "lwip",
                              .ring = wire.ring,
                              .ring_len = RLK_CONN_RING_MIN,
                              .tx = wire.tx,
                              .tx_cap = sizeof wire.tx,
                              .rx = wire.rx,
                              .rx_cap = sizeof wire.rx};
    rlk_client_config client_config = {.env = {.now_ms = now_ms, .random = random_bytes}};

    config.url.host_len = (uint16_t)strlen(address);
    rlk_ticks_init(&ticks, 1000, 32, sys_now());
    rlk_client_conn_config(&client, &config);
    if (ipaddr_aton(address, &wire.server) == 0 ||
        random_bytes(NULL, &config.jitter_seed, sizeof config.jitter_seed) != 0 ||
        rlk_conn_init(&wire.conn, &config, now_ms(NULL)) != RLK_OK ||
        rlk_client_init(&client, conns, 1, &client_config) != RLK_OK ||
        rlk_lock_init(&lock, &client, "key", NULL) != RLK_OK ||
        rlk_acquire_start(&lock, RLK_FOREVER) != RLK_PENDING) {
        board_print("bad configuration, or no random bytes");
        board_done(1);
        return;
    }
    serve();
}
