/* SPDX-License-Identifier: MIT
 *
 * A small program that scripts/sizes links: it acquires one lock, keeps it alive and releases it,
 * by blocking calls over the ports of one connection. The board is that of examples/board.h. A
 * definition PROGRAM_EXTEND or the like adds one call, and a row of docs/size.md shows its cost.
 */
#include "resplock.h"

#include "../../examples/board.h"

#define TTL_MS  1500
#define WAIT_MS 5000

#ifdef PROGRAM_AUTO_RENEW
#define AUTO_RENEW true
#else
#define AUTO_RENEW false
#endif

static rlk_conn_entry ring[RLK_CONN_RING_MIN];
static uint8_t tx[256];
static uint8_t rx[256];
static rlk_conn conn;
static rlk_client client;
static rlk_lock lock;
static rlk_ticks ticks;

static int64_t program_now_ms(void *context)
{
    (void)context;
    return rlk_ticks_ms(&ticks, board_ticks());
}

static int program_random(void *context, void *buf, size_t len)
{
    (void)context;
    return board_random(buf, len) ? 0 : -1;
}

/* ---- The driver ---- */

static void program_move(int64_t now_ms)
{
    size_t len;
    uint8_t *room = rlk_conn_rx_buf(&conn, &len);
    const uint8_t *bytes;

    if (room != NULL)
        rlk_conn_rx_ack(&conn, board_receive(room, len), now_ms);
    bytes = rlk_conn_tx_buf(&conn, &len);
    rlk_conn_tx_ack(&conn, len > 0 ? board_send(bytes, len) : 0, now_ms);
}

static void program_serve(void)
{
    int64_t now_ms = program_now_ms(NULL);
    unsigned wants = rlk_conn_wants(&conn);

    if ((wants & RLK_WANT_CLOSE) != 0) {
        board_close();
        rlk_conn_closed(&conn, RLK_OK, 0, now_ms);
    }
    if ((wants & RLK_WANT_CONNECT) != 0) {
        board_connect();
        rlk_conn_connecting(&conn, now_ms);
    }
    if (rlk_conn_get_state(&conn) == RLK_CONN_CONNECTING && board_stream() == BOARD_UP)
        rlk_conn_connected(&conn, 0, board_local(), now_ms);
    program_move(now_ms);
    if ((rlk_conn_wants(&conn) & RLK_WANT_READ) != 0 && board_stream() == BOARD_DOWN) {
        board_close();
        rlk_conn_closed(&conn, RLK_E_EOF, 0, now_ms);
    }
}

static int program_wait(void *context, rlk_client *waiting, int64_t deadline_ms)
{
    int64_t left_ms;

    (void)context;
    (void)waiting;
    program_serve();
    left_ms = deadline_ms - program_now_ms(NULL);
    if (left_ms > 0)
        board_sleep(left_ms < TTL_MS ? (uint32_t)left_ms : TTL_MS);
    program_serve();
    return 0;
}

/* ---- The application ---- */

static rlk_result program_init(void)
{
    rlk_conn *conns[] = {&conn};
    rlk_conn_config conn_config = {
        .url = {.host = "board", .host_len = 5, .port = 6379},
        .ring = ring,
        .ring_len = RLK_CONN_RING_MIN,
        .tx = tx,
        .tx_cap = sizeof tx,
        .rx = rx,
        .rx_cap = sizeof rx,
    };
    rlk_client_config client_config = {
        .env = {.now_ms = program_now_ms, .random = program_random, .wait = program_wait}};
    rlk_result result;

    rlk_ticks_init(&ticks, BOARD_HZ, BOARD_BITS, board_ticks());
    if (program_random(NULL, &conn_config.jitter_seed, sizeof conn_config.jitter_seed) != 0)
        return RLK_E_ENTROPY;
    rlk_client_conn_config(&client, &conn_config);
    result = rlk_conn_init(&conn, &conn_config, program_now_ms(NULL));
    if (result == RLK_OK)
        result = rlk_client_init(&client, conns, 1, &client_config);
    if (result == RLK_OK)
        result = rlk_lock_init(&lock, &client, "pump",
                               &(rlk_lock_config){.ttl_ms = TTL_MS, .auto_renew = AUTO_RENEW});
    return result;
}

/* The call that a row adds. */
static rlk_result program_more(void)
{
#if defined(PROGRAM_EXTEND)
    return rlk_extend(&lock, TTL_MS);
#elif defined(PROGRAM_CHECK)
    return rlk_check(&lock);
#elif defined(PROGRAM_RENEW)
    return rlk_renew(&lock, TTL_MS);
#elif defined(PROGRAM_QUERY)
    static rlk_holder holders[1];
    return rlk_query(&lock, holders, 1);
#elif defined(PROGRAM_FORCE_RELEASE)
    return rlk_force_release(&lock);
#elif defined(PROGRAM_CAMPAIGN)
    rlk_event event;
    while (rlk_client_next_event(&client, &event))
        board_print("event");
    return rlk_campaign_start(&lock);
#elif defined(PROGRAM_TRANSFER)
    rlk_lease lease;
    rlk_result result = rlk_lock_detach(&lock, &lease);
    return result == RLK_OK ? rlk_lock_attach(&lock, &lease) : result;
#elif defined(PROGRAM_CLOSE)
    (void)rlk_lock_close(&lock);
    rlk_client_close(&client);
    return RLK_NOT_HELD;
#elif defined(PROGRAM_STARTED)
    rlk_event event;
    while (rlk_client_next_event(&client, &event))
        board_print("event");
    return rlk_acquire_start(&lock, RLK_FOREVER);
#else
    return RLK_OK;
#endif
}

int bare_main(void)
{
    if (program_init() != RLK_OK)
        return 1;
    if (rlk_acquire(&lock, WAIT_MS) == RLK_OK) {
        while (rlk_keep_alive(&lock) == RLK_OK && program_more() == RLK_OK)
            board_print("works");
        (void)rlk_release(&lock);
    }
    return 0;
}
