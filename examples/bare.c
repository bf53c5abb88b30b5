/* SPDX-License-Identifier: MIT
 *
 * On bare metal: no operating system, no heap, no sockets; needs of C what a freestanding compiler
 * has. One of several boards at a time may run a pump. The main loop waits only in
 * board_sleep. So it has time for all else that the board does.
 *
 * The engine, this and the board are compiled with -DRLK_NO_POSIX: see docs/porting.md.
 */
#include "resplock.h"

#include "board.h"

#define PUMP_MS   2500 /* to pump, in all */
#define TTL_MS    1500 /* renewed when half of it is left */
#define BEAT_MS   100  /* longest sleep: how late the pump is switched off */
#define RX_ROUNDS 8    /* most consecutive reads, so that a busy stream can't stop the main loop */

static rlk_conn_entry ring[RLK_CONN_RING_MIN];
static uint8_t tx[256];
static uint8_t rx[256];
static rlk_conn conn;
static rlk_client client;
static rlk_lock lock;
static rlk_ticks ticks;
static bool ours; /* from ACQUIRED to LOST: whether to acquire or to renew */

static int64_t bare_now_ms(void *context)
{
    (void)context;
    return rlk_ticks_ms(&ticks, board_ticks());
}

static int bare_random(void *context, void *buf, size_t len)
{
    (void)context;
    return board_random(buf, len) ? 0 : -1;
}

/* ---- The driver: moves bytes between the stream and the ports of the connection ---- */

static void bare_receive(int64_t now_ms)
{
    int round;

    for (round = 0; round < RX_ROUNDS; round++) {
        size_t cap;
        uint8_t *room = rlk_conn_rx_buf(&conn, &cap);
        size_t n = room != NULL ? board_receive(room, cap) : 0;

        if (n == 0)
            return;
        rlk_conn_rx_ack(&conn, n, now_ms);
    }
}

static void bare_send(int64_t now_ms)
{
    size_t len;
    size_t n;

    do {
        const uint8_t *bytes = rlk_conn_tx_buf(&conn, &len);

        n = len > 0 ? board_send(bytes, len) : 0;
        rlk_conn_tx_ack(&conn, n, now_ms);
    } while (n > 0 && n == len);
}

static void bare_serve(void)
{
    int64_t now_ms = bare_now_ms(NULL);

    rlk_client_tick(&client); /* deadlines before input */
    if ((rlk_conn_wants(&conn) & RLK_WANT_CLOSE) != 0) {
        board_close();
        rlk_conn_closed(&conn, RLK_OK, 0, now_ms);
    }
    if ((rlk_conn_wants(&conn) & RLK_WANT_CONNECT) != 0) {
        board_connect();
        rlk_conn_connecting(&conn, now_ms);
    }
    if (rlk_conn_get_state(&conn) == RLK_CONN_CONNECTING) {
        if (board_stream() == BOARD_UP)
            rlk_conn_connected(&conn, 0, board_local(), now_ms);
        else if (board_stream() == BOARD_DOWN)
            rlk_conn_closed(&conn, RLK_E_CONNECT, 0, now_ms);
    }
    if ((rlk_conn_wants(&conn) & RLK_WANT_READ) != 0) {
        bool up = board_stream() == BOARD_UP;

        bare_receive(now_ms); /* also what came before the end of the stream */
        bare_send(now_ms);
        if (!up) {
            board_close();
            rlk_conn_closed(&conn, RLK_E_EOF, 0, now_ms);
        }
    }
}

/* The deadline lies in the past while the connection wants to be opened or closed. */
static void bare_sleep(void)
{
    int64_t left_ms = rlk_client_deadline(&client) - bare_now_ms(NULL);

    if (left_ms > 0)
        board_sleep(left_ms < BEAT_MS ? (uint32_t)left_ms : BEAT_MS);
}

/* ---- The application ---- */

static rlk_result bare_init(void)
{
    rlk_conn *conns[] = {&conn};
    rlk_conn_config conn_config = {
        /* only for who reads error texts: the board knows where to connect to */
        .url = {.host = "board", .host_len = 5, .port = 6379},
        .client_name = "bare",
        .ring = ring,
        .ring_len = RLK_CONN_RING_MIN,
        .tx = tx,
        .tx_cap = sizeof tx,
        .rx = rx,
        .rx_cap = sizeof rx,
    };
    rlk_client_config client_config = {.env = {.now_ms = bare_now_ms, .random = bare_random}};
    rlk_lock_config lock_config = {.ttl_ms = TTL_MS, .token_prefix = "board-1-"};
    rlk_result result;

    rlk_ticks_init(&ticks, BOARD_HZ, BOARD_BITS, board_ticks());
    /* boards that start together must not come back together */
    if (bare_random(NULL, &conn_config.jitter_seed, sizeof conn_config.jitter_seed) != 0)
        return RLK_E_ENTROPY;
    rlk_client_conn_config(&client, &conn_config);
    result = rlk_conn_init(&conn, &conn_config, bare_now_ms(NULL));
    if (result == RLK_OK)
        result = rlk_client_init(&client, conns, 1, &client_config);
    if (result == RLK_OK)
        result = rlk_lock_init(&lock, &client, "pump", &lock_config);
    return result;
}

static const char *bare_text(const rlk_event *event)
{
    switch (event->type) {
    case RLK_EV_ACQUIRED:
        return "acquired: pump on";
    case RLK_EV_RESULT:
        if (event->result != RLK_OK)
            return "did not work"; /* a renewal, say: the lock is held for the rest of its time */
        return event->operation == RLK_OP_RELEASE ? "released" : "renewed";
    case RLK_EV_LOST:
        return "lost: pump off";
    case RLK_EV_WAITING:
        return "waits";
    default:
        return "did not work";
    }
}

/* Pumps while the lock is held, and not a moment longer; and starts what is due. */
static void bare_pump(void)
{
    static int64_t pumped_ms;
    static int64_t last_ms;
    int64_t now_ms = bare_now_ms(NULL);
    bool held = rlk_is_held(&lock);

    if (held)
        pumped_ms += now_ms - last_ms;
    last_ms = now_ms;
    if (rlk_lock_operation(&lock) != RLK_OP_NONE)
        return;
    if (!ours)
        (void)rlk_acquire_start(&lock, RLK_FOREVER);
    else if (pumped_ms >= PUMP_MS)
        ours = rlk_release_start(&lock) == RLK_PENDING;
    else if (held && rlk_remaining_ms(&lock) < TTL_MS / 2)
        (void)rlk_renew_start(&lock, RLK_DEFAULT);
}

int bare_main(void)
{
    bool going = true;

    if (bare_init() != RLK_OK) {
        board_print("bad configuration, or no random bytes");
        return 1;
    }
    do {
        rlk_event event;

        bare_serve();
        while (rlk_client_next_event(&client, &event)) {
            board_print(bare_text(&event));
            ours = event.type == RLK_EV_ACQUIRED || (ours && event.type != RLK_EV_LOST);
            going = going && event.operation != RLK_OP_RELEASE;
        }
        if (going) {
            bare_pump();
            bare_serve(); /* what was started leaves at once */
            bare_sleep();
        }
    } while (going);
    (void)rlk_lock_close(&lock);
    rlk_client_close(&client);
    bare_serve(); /* closes the stream */
    return 0;
}
