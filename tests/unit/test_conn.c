/* SPDX-License-Identifier: MIT
 *
 * The connection's life: configuration, states, time limits, backoff, and the fence between one
 * connection and the next.
 */
#include "fake.h"
#include "net/conn_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- Configuration ----------------------------------------------------------------------- */

typedef void (*config_change)(rlk_conn_config *config);

static const rlk_conn_script bad_scripts[] = {{NULL, 3}, {"*0\r\n", 0}};

static void no_url(rlk_conn_config *config)
{
    memset(&config->url, 0, sizeof config->url);
}
static void no_ring(rlk_conn_config *config)
{
    config->ring = NULL;
}
static void no_tx(rlk_conn_config *config)
{
    config->tx = NULL;
}
static void no_rx(rlk_conn_config *config)
{
    config->rx = NULL;
}
static void no_encode(rlk_conn_config *config)
{
    config->calls.encode = NULL;
}
static void no_reply(rlk_conn_config *config)
{
    config->calls.reply = NULL;
}
static void no_lost(rlk_conn_config *config)
{
    config->calls.lost = NULL;
}
static void no_changed(rlk_conn_config *config)
{
    config->calls.changed = NULL;
}
static void name_empty(rlk_conn_config *config)
{
    config->client_name = "";
}
static void name_with_space(rlk_conn_config *config)
{
    config->client_name = "a b";
}
static void name_with_newline(rlk_conn_config *config)
{
    config->client_name = "ab\n";
}
static void name_not_ascii(rlk_conn_config *config)
{
    config->client_name = "ab\x7f";
}
static void name_of_65(rlk_conn_config *config)
{
    config->client_name = "0123456789012345678901234567890123456789012345678901234567890123X";
}
static void name_too_long(rlk_conn_config *config)
{
    config->client_name = "01234567890123456789012345678901234567890123456789012345678901234567";
}
static void name_of_64(rlk_conn_config *config)
{
    config->client_name = "0123456789012345678901234567890123456789012345678901234567890123";
}
static void scripts_null(rlk_conn_config *config)
{
    config->scripts_len = 1;
}
static void script_null(rlk_conn_config *config)
{
    config->scripts = bad_scripts;
    config->scripts_len = 1;
}
static void script_empty(rlk_conn_config *config)
{
    config->scripts = bad_scripts + 1;
    config->scripts_len = 1;
}
static void ring_small(rlk_conn_config *config)
{
    config->ring_len = RLK_CONN_RING_MIN - 1;
}
static void tx_small(rlk_conn_config *config)
{
    config->tx_cap = RLK_CONN_TX_MIN - 1;
}
static void tx_small_for_password(rlk_conn_config *config)
{
    (void)rlk_url_parse(&config->url, "redis://:%61%62%63@h");
    config->tx_cap = RLK_CONN_TX_AUTH(0, 3) - 1;
}
static void tx_enough_for_password(rlk_conn_config *config)
{
    (void)rlk_url_parse(&config->url, "redis://:%61%62%63@h");
    config->tx_cap = RLK_CONN_TX_AUTH(0, 3);
}
static void rx_small(rlk_conn_config *config)
{
    config->rx_cap = RLK_CONN_RX_MIN - 1;
}
static void tx_huge(rlk_conn_config *config)
{
    config->tx_cap = SIZE_MAX;
}
static void rx_huge(rlk_conn_config *config)
{
    config->rx_cap = SIZE_MAX;
}
static void connect_negative(rlk_conn_config *config)
{
    config->connect_ms = -1;
}
static void response_too_long(rlk_conn_config *config)
{
    config->response_ms = RLK_TIME_LIMIT_MAX + 1;
}
static void backoff_min_negative(rlk_conn_config *config)
{
    config->backoff_min_ms = INT64_MIN;
}
static void backoff_max_too_long(rlk_conn_config *config)
{
    config->backoff_max_ms = INT64_MAX;
}
static void times_longest(rlk_conn_config *config)
{
    config->connect_ms = RLK_TIME_LIMIT_MAX;
    config->response_ms = RLK_TIME_LIMIT_MAX;
    config->backoff_min_ms = RLK_TIME_LIMIT_MAX;
    config->backoff_max_ms = RLK_TIME_LIMIT_MAX;
}
static void unix_socket(rlk_conn_config *config)
{
    (void)rlk_url_parse(&config->url, "unix:///tmp/socket");
}

static void test_conn_init_checks_its_configuration(void **state)
{
    static const struct {
        config_change change;
        rlk_result result;
    } rows[] = {
        {no_url, RLK_E_ARGUMENT},
        {no_ring, RLK_E_ARGUMENT},
        {no_tx, RLK_E_ARGUMENT},
        {no_rx, RLK_E_ARGUMENT},
        {no_encode, RLK_E_ARGUMENT},
        {no_reply, RLK_E_ARGUMENT},
        {no_lost, RLK_E_ARGUMENT},
        {no_changed, RLK_E_ARGUMENT},
        {name_empty, RLK_E_ARGUMENT},
        {name_with_space, RLK_E_ARGUMENT},
        {name_with_newline, RLK_E_ARGUMENT},
        {name_not_ascii, RLK_E_ARGUMENT},
        {name_of_65, RLK_E_ARGUMENT},
        {name_too_long, RLK_E_ARGUMENT},
        {name_of_64, RLK_OK},
        {scripts_null, RLK_E_ARGUMENT},
        {script_null, RLK_E_ARGUMENT},
        {script_empty, RLK_E_ARGUMENT},
        {ring_small, RLK_E_BUFFER},
        {tx_small, RLK_E_BUFFER},
        {tx_small_for_password, RLK_E_BUFFER},
        {tx_enough_for_password, RLK_OK},
        {rx_small, RLK_E_BUFFER},
        {tx_huge, RLK_E_BUFFER},
        {rx_huge, RLK_E_BUFFER},
        {connect_negative, RLK_E_TIMES},
        {response_too_long, RLK_E_TIMES},
        {backoff_min_negative, RLK_E_TIMES},
        {backoff_max_too_long, RLK_E_TIMES},
        {times_longest, RLK_OK},
        {unix_socket, RLK_OK},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_conn_config buffers;
        fake server;

        fake_init(&server, 0, 0, 0);
        buffers = server.config;
        rows[i].change(&server.config);
        assert_result(rlk_conn_init(&server.conn, &server.config, server.now_ms), rows[i].result);
        /* a bad one does nothing ever */
        if (rows[i].result != RLK_OK) {
            rlk_conn_tick(&server.conn, INT64_MAX - 1);
            rlk_conn_reset(&server.conn, 0);
            rlk_conn_shutdown(&server.conn, 0);
            assert_int_equal(rlk_conn_wants(&server.conn), 0);
            assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
        }
        server.config = buffers;
        fake_free(&server);
    }
    assert_result(rlk_conn_init(NULL, NULL, 0), RLK_E_ARGUMENT);
    {
        rlk_conn conn;

        assert_result(rlk_conn_init(&conn, NULL, 0), RLK_E_ARGUMENT);
    }
}

/* ---- States ------------------------------------------------------------------------------ */

static void test_conn_first_attempt_is_due_at_once(void **state)
{
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms);
    assert_result(rlk_conn_result(&server.conn), RLK_E_NOT_CONNECTED);
    assert_string_equal(rlk_conn_text(&server.conn), "");
    assert_string_equal(rlk_conn_step(&server.conn), "");
    assert_int_equal(rlk_conn_generation(&server.conn), 0);
    assert_false(rlk_conn_fenced(&server.conn));
    assert_memory_equal(rlk_conn_url(&server.conn)->host, "localhost", 9);
    assert_int_equal(rlk_conn_tx_cap(&server.conn), server.config.tx_cap);
    rlk_conn_connecting(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CONNECTING);
    assert_int_equal(rlk_conn_wants(&server.conn), 0);
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms + RLK_CONNECT_MS);
    rlk_conn_connected(&server.conn, 0, NULL, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
    assert_string_equal(rlk_conn_step(&server.conn), "HELLO");
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_READ | RLK_WANT_WRITE);
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms + RLK_RESPONSE_MS);
    fake_free(&server);
}

/* Faults 27, 28: refused, and not answered at all. */
static void test_conn_attempt_that_fails(void **state)
{
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    rlk_conn_connecting(&server.conn, server.now_ms);
    rlk_conn_closed(&server.conn, RLK_E_CONNECT, 111, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
    assert_result(rlk_conn_result(&server.conn), RLK_E_CONNECT);
    assert_int_equal(rlk_conn_errno(&server.conn), 111);
    assert_string_equal(rlk_conn_step(&server.conn), "");
    assert_int_equal(server.changed, 1);
    assert_int_equal(rlk_conn_wants(&server.conn), 0);

    server.now_ms = rlk_conn_deadline(&server.conn);
    rlk_conn_tick(&server.conn, server.now_ms - 1);
    assert_int_equal(rlk_conn_wants(&server.conn), 0);
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
    rlk_conn_connecting(&server.conn, server.now_ms);
    server.now_ms += RLK_CONNECT_MS - 1;
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CONNECTING);
    server.now_ms++;
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CLOSE);
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms);
    rlk_conn_closed(&server.conn, RLK_E_IO, 5, server.now_ms); /* the connection knows better */
    assert_result(rlk_conn_result(&server.conn), RLK_E_CONNECT_TIMEOUT);
    assert_int_equal(rlk_conn_errno(&server.conn), 0);
    assert_int_equal(server.changed, 2);
    assert_int_equal(rlk_conn_failures(&server.conn), 2);
    assert_int_equal(server.became_ready, 0);
    fake_free(&server);
}

static void test_conn_no_reason_is_end_of_stream(void **state)
{
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    rlk_conn_closed(&server.conn, RLK_OK, 0, server.now_ms);
    assert_result(rlk_conn_result(&server.conn), RLK_E_EOF);
    fake_free(&server);
}

static void into_waiting(fake *server)
{
    fake_start(server);
    rlk_conn_connecting(&server->conn, server->now_ms);
    rlk_conn_closed(&server->conn, RLK_E_CONNECT, 111, server->now_ms);
}

static void into_connecting(fake *server)
{
    fake_start(server);
    rlk_conn_connecting(&server->conn, server->now_ms);
}

static void into_handshake(fake *server)
{
    into_connecting(server);
    rlk_conn_connected(&server->conn, 0, NULL, server->now_ms);
}

static void into_ready(fake *server)
{
    fake_start(server);
    fake_connect(server);
}

static void into_closing(fake *server)
{
    into_ready(server);
    fake_say(server, "+surplus\r\n");
    fake_run(server);
}

static void into_fatal(fake *server)
{
    static const fake_rule rules[] = {{"HELLO", "-NOAUTH no\r\n"}, {NULL, NULL}};

    server->rules = rules;
    fake_start(server);
    fake_connect(server);
    fake_close(server);
}

static void into_closed(fake *server)
{
    fake_start(server);
    rlk_conn_shutdown(&server->conn, server->now_ms);
}

static const struct {
    void (*into)(fake *server);
    rlk_conn_state state;
} all_states[] = {
    {into_waiting, RLK_CONN_WAITING},     {into_connecting, RLK_CONN_CONNECTING},
    {into_handshake, RLK_CONN_HANDSHAKE}, {into_ready, RLK_CONN_READY},
    {into_closing, RLK_CONN_CLOSING},     {into_fatal, RLK_CONN_FATAL},
    {into_closed, RLK_CONN_CLOSED},
};

/* Calls that have no meaning in a state have no effect in it. */
static void test_conn_any_call_in_any_state(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(all_states); i++) {
        rlk_conn_state in = all_states[i].state;
        bool up = in == RLK_CONN_HANDSHAKE || in == RLK_CONN_READY;
        bool has_bytes = in == RLK_CONN_HANDSHAKE;
        unsigned changed;
        size_t len = 1;
        fake server;

        fake_init(&server, 0, 0, 0);
        all_states[i].into(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), in);
        changed = server.changed;
        rlk_conn_tick(&server.conn, server.now_ms - 1);
        rlk_conn_rx_ack(&server.conn, 0, server.now_ms);
        rlk_conn_rx_ack(&server.conn, SIZE_MAX, server.now_ms);
        rlk_conn_tx_ack(&server.conn, 0, server.now_ms);
        rlk_conn_tx_ack(&server.conn, 9, server.now_ms); /* nothing was shown yet */
        rlk_conn_load_scripts(&server.conn, server.now_ms);
        if (in != RLK_CONN_WAITING)
            rlk_conn_connecting(&server.conn, server.now_ms);
        if (in != RLK_CONN_CONNECTING)
            rlk_conn_connected(&server.conn, 0, NULL, server.now_ms);
        if (in == RLK_CONN_WAITING || in == RLK_CONN_FATAL || in == RLK_CONN_CLOSED)
            rlk_conn_closed(&server.conn, RLK_E_IO, 5, server.now_ms);
        if (in != RLK_CONN_WAITING && in != RLK_CONN_FATAL)
            rlk_conn_reset(&server.conn, server.now_ms);
        if (in != RLK_CONN_WAITING)
            rlk_conn_hurry(&server.conn, server.now_ms);
        assert_int_equal(rlk_conn_tx_buf(&server.conn, &len) != NULL, has_bytes);
        assert_int_equal(len != 0, has_bytes);
        assert_int_equal(rlk_conn_rx_buf(&server.conn, &len) != NULL, up);
        assert_int_equal(len != 0, up);
        assert_int_equal(rlk_conn_get_state(&server.conn), in);
        assert_int_equal(server.changed, changed);
        if (in == RLK_CONN_FATAL || in == RLK_CONN_CLOSED || in == RLK_CONN_CLOSING) {
            rlk_conn_tick(&server.conn, server.now_ms + RLK_TIME_LIMIT_MAX);
            assert_int_equal(rlk_conn_get_state(&server.conn), in);
        }
        fake_free(&server);
    }
}

/* Fault 50: what is in flight ends once, what is queued can be withdrawn. */
static void test_conn_shutdown_from_any_state(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(all_states); i++) {
        rlk_conn_state in = all_states[i].state;
        bool open = in == RLK_CONN_CONNECTING || in == RLK_CONN_HANDSHAKE || in == RLK_CONN_READY ||
                    in == RLK_CONN_CLOSING;
        fake_request requests[2];
        unsigned changed;
        fake server;

        fake_init(&server, 0, 0, 0);
        assert_result(rlk_url_parse(&server.config.url, "redis://:secret@h"), RLK_OK);
        all_states[i].into(&server);
        fake_submit(&server, &requests[0], 1);
        changed = server.changed;
        rlk_conn_shutdown(&server.conn, server.now_ms);
        rlk_conn_shutdown(&server.conn, server.now_ms);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSED);
        assert_int_equal(rlk_conn_wants(&server.conn), open ? RLK_WANT_CLOSE : 0);
        assert_int_equal(server.lost, in == RLK_CONN_READY);
        assert_int_equal(server.changed, changed);
        assert_false(fake_holds(server.config.tx, server.config.tx_cap, "secret"));
        fake_submit(&server, &requests[1], 2);
        if (in != RLK_CONN_READY)
            assert_true(rlk_conn_withdraw(&server.conn, &requests[0].request));
        assert_true(rlk_conn_withdraw(&server.conn, &requests[1].request));
        rlk_conn_closed(&server.conn, RLK_OK, 0, server.now_ms);
        assert_int_equal(rlk_conn_wants(&server.conn), 0);
        assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
        assert_int_equal(server.changed, changed);
        fake_free(&server);
    }
}

static void test_conn_reset_leaves_fatal(void **state)
{
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    into_fatal(&server);
    assert_int_equal(rlk_conn_wants(&server.conn), 0);
    assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
    assert_string_equal(rlk_conn_text(&server.conn), "NOAUTH no");
    assert_string_equal(rlk_conn_step(&server.conn), "HELLO");
    rlk_conn_hurry(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_wants(&server.conn), 0);
    rlk_conn_reset(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
    assert_result(rlk_conn_result(&server.conn), RLK_E_NOT_CONNECTED);
    assert_string_equal(rlk_conn_text(&server.conn), "");
    assert_string_equal(rlk_conn_step(&server.conn), "");
    server.rules = fake_good_server;
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_result(rlk_conn_result(&server.conn), RLK_OK);
    fake_free(&server);
}

static void test_conn_hurry_and_reset_end_the_waiting(void **state)
{
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    into_waiting(&server);
    assert_int_equal(rlk_conn_wants(&server.conn), 0);
    rlk_conn_hurry(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
    assert_result(rlk_conn_result(&server.conn), RLK_E_CONNECT);
    rlk_conn_connecting(&server.conn, server.now_ms);
    rlk_conn_closed(&server.conn, RLK_E_CONNECT, 111, server.now_ms);
    rlk_conn_reset(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms);
    assert_result(rlk_conn_result(&server.conn), RLK_E_NOT_CONNECTED);
    assert_int_equal(rlk_conn_errno(&server.conn), 0);
    fake_free(&server);
}

/* ---- Time -------------------------------------------------------------------------------- */

/* Every token of a reply is progress, a push is none (fault 32, and a dripping server). */
static void test_conn_progress_keeps_the_stream(void **state)
{
    fake_request request;
    fake server;
    int64_t begun;
    int i;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.response_ms = 100;
    fake_start(&server);
    fake_connect(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
    fake_submit(&server, &request, 1);
    begun = server.now_ms;
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 100);
    while (fake_take(&server))
        ;
    server.in_len = server.in_fed;
    server.now_ms = begun + 60;
    fake_say(&server, ">1\r\n+x\r\n");
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 100);
    fake_say(&server, "|1\r\n+x\r\n:1\r\n");
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 100);
    fake_say(&server, "*10\r\n");
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 160);
    for (i = 0; i < 9; i++) {
        server.now_ms += 99;
        rlk_conn_tick(&server.conn, server.now_ms);
        fake_say(&server, ":1\r\n");
        fake_run(&server);
    }
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms + 100);
    fake_say(&server, ":1"); /* half a token is none */
    server.now_ms += 100;
    fake_run(&server);
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_result(rlk_conn_result(&server.conn), RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(request.lost, 1);
    assert_true(request.maybe_sent);
    fake_free(&server);
}

/* New requests are no progress of the old ones: else a busy client would never notice. */
static void test_conn_submitting_is_no_progress(void **state)
{
    fake_request requests[2];
    fake server;
    int64_t begun;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    server.in_max = server.in_len;
    begun = server.now_ms;
    fake_submit(&server, &requests[0], 1);
    server.now_ms += RLK_RESPONSE_MS - 1;
    fake_submit(&server, &requests[1], 2);
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + RLK_RESPONSE_MS);
    server.now_ms++;
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_result(rlk_conn_result(&server.conn), RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(server.lost, 2);
    fake_free(&server);
}

/* What an abandoned request would have been told is still due. */
static void test_conn_abandoned_reply_must_come_too(void **state)
{
    fake_request request;
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    server.in_max = server.in_len;
    fake_submit(&server, &request, 1);
    fake_run(&server);
    assert_false(rlk_conn_withdraw(&server.conn, &request.request));
    server.now_ms += RLK_RESPONSE_MS;
    rlk_conn_tick(&server.conn, server.now_ms);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(server.lost, 0);
    fake_free(&server);
}

static void test_conn_idle_stream_has_no_deadline(void **state)
{
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    server.now_ms += RLK_TIME_LIMIT_MAX;
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    fake_free(&server);
}

/* ---- Backoff ----------------------------------------------------------------------------- */

static int64_t next_wait(fake *server)
{
    server->now_ms = rlk_conn_deadline(&server->conn);
    rlk_conn_tick(&server->conn, server->now_ms);
    rlk_conn_connecting(&server->conn, server->now_ms);
    rlk_conn_closed(&server->conn, RLK_E_CONNECT, 111, server->now_ms);
    return rlk_conn_deadline(&server->conn) - server->now_ms;
}

static void test_conn_backoff_is_bounded_and_spread(void **state)
{
    static const struct {
        int64_t min;
        int64_t max;
        int64_t bounds[8];
    } rows[] = {
        {0, 0, {50, 100, 200, 400, 800, 1600, 2000, 2000}},
        {1, 5, {1, 2, 4, 5, 5, 5, 5, 5}},
        {1, 1, {1, 1, 1, 1, 1, 1, 1, 1}},
        {100, 10, {10, 10, 10, 10, 10, 10, 10, 10}}, /* the cap is the cap */
        {RLK_TIME_LIMIT_MAX, RLK_TIME_LIMIT_MAX, {RLK_TIME_LIMIT_MAX, RLK_TIME_LIMIT_MAX}},
    };
    size_t i;
    uint32_t seed;
    int k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        int64_t least = INT64_MAX;
        int64_t most = 0;

        for (seed = 0; seed < 200; seed++) {
            fake server;

            fake_init(&server, 0, 0, 0);
            server.config.backoff_min_ms = rows[i].min;
            server.config.backoff_max_ms = rows[i].max;
            server.config.jitter_seed = seed * 2654435761u;
            fake_start(&server);
            for (k = 0; k < 8 && rows[i].bounds[k] != 0; k++) {
                int64_t wait = next_wait(&server);

                assert_between(wait, 1, rows[i].bounds[k]);
                if (k == 1) {
                    least = wait < least ? wait : least;
                    most = wait > most ? wait : most;
                }
            }
            fake_free(&server);
        }
        /* full jitter: the whole range is used, by different clients differently */
        assert_true(least <= 1 + rows[i].bounds[1] / 10);
        assert_true(most >= rows[i].bounds[1] - rows[i].bounds[1] / 10);
    }
}

static void test_conn_backoff_begins_anew_after_a_good_handshake(void **state)
{
    fake server;
    int round;
    int i;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    for (round = 0; round < 50; round++) {
        for (i = 0; i < 7; i++)
            (void)next_wait(&server);
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        assert_between(rlk_conn_deadline(&server.conn) - server.now_ms, 1, RLK_BACKOFF_MIN_MS);
    }
    fake_free(&server);
}

/* ---- The fence --------------------------------------------------------------------------- */

#define RUN_A  "$47\r\nrun_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
#define RUN_B  "$47\r\nrun_id:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"
#define NO_RUN "-NOPERM no\r\n"
#define NO_ID  "%0\r\n"

typedef struct fence_side {
    uint64_t client_id;
    uint64_t peer;
    char run; /* 0: no run_id */
    const char *local;
} fence_side;

static void identity_set(rlk_conn_identity *identity, const fence_side *side)
{
    memset(identity, 0, sizeof *identity);
    identity->client_id = side->client_id;
    identity->peer = side->peer;
    identity->has_run_id = side->run != 0;
    memset(identity->run_id, side->run, sizeof identity->run_id);
    strcpy(identity->local, side->local);
}

static void test_conn_fence_decision(void **state)
{
    static const struct {
        fence_side old;
        fence_side fresh;
        conn_fence fence;
    } rows[] = {
        /* the same instance */
        {{7, 1, 'a', "l:1"}, {8, 1, 'a', "l:2"}, CONN_FENCE_KILL},
        {{7, 1, 'a', ""}, {0, 1, 'a', ""}, CONN_FENCE_KILL},
        {{7, 1, 'a', "l:1"}, {8, 2, 'a', "l:2"}, CONN_FENCE_KILL}, /* by another address */
        {{0, 1, 'a', "l:1"}, {8, 1, 'a', "l:2"}, CONN_FENCE_NONE}, /* the id was not told */
        /* fault 71: restarted, so that the id may be another's by now */
        {{7, 1, 'a', "l:1"}, {8, 1, 'b', "l:2"}, CONN_FENCE_GONE},
        {{0, 1, 'a', ""}, {0, 1, 'b', ""}, CONN_FENCE_GONE},
        {{0, 0, 'a', ""}, {0, 0, 'b', ""}, CONN_FENCE_GONE},
        /* fault 91: another address, where the old instance doesn't live */
        {{7, 1, 'a', "l:1"}, {8, 2, 'b', "l:2"}, CONN_FENCE_NONE},
        /* no run_id on one side or on both */
        {{7, 1, 0, "l:1"}, {8, 1, 0, "l:2"}, CONN_FENCE_KILL_ADDR},
        {{7, 1, 'a', "l:1"}, {8, 1, 0, "l:2"}, CONN_FENCE_KILL_ADDR},
        {{7, 1, 0, "l:1"}, {8, 1, 'a', "l:2"}, CONN_FENCE_KILL_ADDR},
        {{7, 1, 0, "l:1"}, {8, 2, 0, "l:2"}, CONN_FENCE_KILL_ADDR},
        {{7, 1, 0, ""}, {8, 1, 0, ""}, CONN_FENCE_NONE}, /* a Unix socket */
        {{7, 1, 'a', ""}, {8, 1, 0, ""}, CONN_FENCE_NONE},
        {{0, 1, 0, "l:1"}, {8, 1, 0, "l:2"}, CONN_FENCE_NONE},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_conn_identity old;
        rlk_conn_identity fresh;

        identity_set(&old, &rows[i].old);
        identity_set(&fresh, &rows[i].fresh);
        assert_int_equal(rlki_handshake_fence(&old, &fresh), rows[i].fence);
    }
}

/* A request that was shown and not answered, and the end of the stream. */
static void lose_one(fake *server, bool owned)
{
    fake_request request;
    size_t len;

    fake_submit(server, &request, 1);
    (void)rlk_conn_tx_buf(&server->conn, &len);
    if (!owned)
        rlk_conn_withdraw(&server->conn, &request.request);
    rlk_conn_closed(&server->conn, RLK_E_EOF, 0, server->now_ms);
}

static void test_conn_fence_is_sent_and_understood(void **state)
{
    static const struct {
        fake_rule old[4];
        fake_rule fresh[4];
        uint64_t peer; /* of the fresh one */
        const char *local;
        const char *commands;
        bool fenced;
    } rows[] = {
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}},
         0,
         "l:1",
         "HELLO 3;INFO server;CLIENT KILL ID 77;",
         true},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_A}, {"CLIENT KILL", ":0\r\n"}}, 0, "l:1", NULL, true},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_A}, {"CLIENT KILL", ":2\r\n"}}, 0, "l:1", NULL, false},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-ERR No such client\r\n"}},
         0,
         "l:1",
         NULL,
         true},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-NOPERM no\r\n"}},
         0,
         "l:1",
         NULL,
         false},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-ERR syntax error, ...\r\n"}},
         0,
         "l:1",
         NULL,
         false},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-ERR No\r\n"}},
         0,
         "l:1",
         NULL,
         false},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_A}, {"CLIENT KILL", "+OK\r\n"}}, 0, "l:1", NULL, false},
        /* an id that is not known */
        {{{"INFO", RUN_A}, {"HELLO", NO_ID}, {"CLIENT ID", "-NOPERM no\r\n"}},
         {{"INFO", RUN_A}},
         0,
         "l:1",
         "HELLO 3;INFO server;",
         false},
        /* the id of CLIENT ID */
        {{{"INFO", RUN_A}, {"HELLO", NO_ID}},
         {{"INFO", RUN_A}},
         0,
         "l:1",
         "HELLO 3;INFO server;CLIENT KILL ID 78;",
         true},
        /* ids have 64 bits */
        {{{"INFO", RUN_A}, {"HELLO", NO_ID}, {"CLIENT ID", ":9007199254740993\r\n"}},
         {{"INFO", RUN_A}},
         0,
         "l:1",
         "HELLO 3;INFO server;CLIENT KILL ID 9007199254740993;",
         true},
        /* restarted; elsewhere */
        {{{"INFO", RUN_A}}, {{"INFO", RUN_B}}, 0, "l:1", "HELLO 3;INFO server;", true},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_B}}, 9, "l:1", "HELLO 3;INFO server;", false},
        /* no run_id */
        {{{"INFO", NO_RUN}},
         {{"INFO", NO_RUN}},
         0,
         "[::1]:40000",
         "HELLO 3;INFO server;CLIENT KILL ID 77 ADDR [::1]:40000;",
         true},
        {{{"INFO", NO_RUN}}, {{"INFO", NO_RUN}, {"CLIENT KILL", ":0\r\n"}}, 0, "l:1", NULL, false},
        {{{"INFO", NO_RUN}},
         {{"INFO", NO_RUN}, {"CLIENT KILL", "-ERR No such client\r\n"}},
         0,
         "l:1",
         NULL,
         false},
        {{{"INFO", NO_RUN}}, {{"INFO", NO_RUN}}, 0, NULL, "HELLO 3;INFO server;", false},
        {{{"INFO", NO_RUN}}, {{"INFO", NO_RUN}}, 0, "", "HELLO 3;INFO server;", false},
        {{{"INFO", NO_RUN}},
         {{"INFO", NO_RUN}},
         0,
         "[aaaa:bbbb:cccc:dddd:eeee:ffff:1111:2222]:65535",
         "HELLO 3;INFO server;CLIENT KILL ID 77 ADDR "
         "[aaaa:bbbb:cccc:dddd:eeee:ffff:1111:2222]:65535;",
         true},
        {{{"INFO", NO_RUN}},
         {{"INFO", NO_RUN}},
         0,
         "[aaaa:bbbb:cccc:dddd:eeee:ffff:1111:2222]:655350",
         "HELLO 3;INFO server;",
         false},
    };
    size_t i;
    int owned;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (owned = 0; owned < 2; owned++) {
            fake server;

            fake_init(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
            server.local = rows[i].local;
            server.rules = rows[i].old;
            fake_start(&server);
            fake_connect(&server);
            assert_true(rlk_conn_fenced(&server.conn));
            lose_one(&server, owned);
            assert_false(rlk_conn_fenced(&server.conn));
            server.rules = rows[i].fresh;
            server.peer = rows[i].peer;
            fake_connect(&server);
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
            assert_int_equal(rlk_conn_fenced(&server.conn), rows[i].fenced);
            assert_int_equal(rlk_conn_generation(&server.conn), 2);
            if (rows[i].commands != NULL)
                assert_string_equal(server.commands, rows[i].commands);
            /* nothing is owed to the next one */
            rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
            fake_connect(&server);
            assert_true(rlk_conn_fenced(&server.conn));
            assert_false(fake_holds(server.commands, strlen(server.commands), "KILL"));
            fake_free(&server);
        }
    }
}

/* Nothing to fence: all answered, or never shown. */
static void test_conn_fence_is_not_needed(void **state)
{
    fake_request request;
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    fake_submit(&server, &request, 1);
    fake_run(&server);
    assert_int_equal(request.replies, 1);
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    fake_connect(&server);
    assert_string_equal(server.commands, "HELLO 3;INFO server;");
    fake_submit(&server, &request, 1);
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    assert_false(request.maybe_sent);
    fake_connect(&server);
    assert_string_equal(server.commands, "HELLO 3;INFO server;");
    assert_true(rlk_conn_fenced(&server.conn));
    fake_free(&server);
}

/* INFO is read before KILL is sent, KILL is answered before a script or a request leaves. */
static void test_conn_fence_stands_alone(void **state)
{
    static const rlk_conn_script script = {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$1\r\nx\r\n", 33};
    static const fake_rule silent[] = {{"CLIENT KILL", NULL}, {NULL, NULL}};
    fake_request request;
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.scripts = &script;
    server.config.scripts_len = 1;
    fake_start(&server);
    fake_connect(&server);
    lose_one(&server, true);
    fake_submit(&server, &request, 5);

    server.in_max = 1;
    fake_connect(&server);
    assert_string_equal(server.commands, "HELLO 3;");
    server.in_max = server.in_len + 3;
    fake_run(&server);
    assert_string_equal(server.commands, "HELLO 3;INFO server;");
    assert_string_equal(rlk_conn_step(&server.conn), "INFO");
    server.rules = silent;
    server.in_max = SIZE_MAX;
    fake_run(&server);
    assert_string_equal(server.commands, "HELLO 3;INFO server;CLIENT KILL ID 77;");
    assert_string_equal(rlk_conn_step(&server.conn), "CLIENT KILL");
    assert_int_equal(request.request.state, RLK_REQUEST_QUEUED);

    /* The stream ends before the answer: the fence stays due. */
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    server.rules = fake_good_server;
    fake_connect(&server);
    assert_string_equal(server.commands, "HELLO 3;INFO server;CLIENT KILL ID 77;SCRIPT LOAD x;");
    assert_true(rlk_conn_fenced(&server.conn));
    assert_int_equal(request.replies, 1);
    fake_free(&server);
}

/* Whatever ends the handshake before the fence is answered: it stays due. */
static void test_conn_fence_stays_due_at_every_byte(void **state)
{
    size_t at;
    size_t in;
    fake server;

    (void)state;
    fake_ready(&server, 0, RLK_CONN_RX_MIN, 0);
    lose_one(&server, true);
    fake_connect(&server);
    in = server.in_len;
    fake_free(&server);
    for (at = 0; at < in; at++) {
        fake_ready(&server, 0, RLK_CONN_RX_MIN, 0);
        lose_one(&server, true);
        server.in_max = at;
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        server.in_max = SIZE_MAX;
        fake_connect(&server);
        assert_string_equal(server.commands, "HELLO 3;INFO server;CLIENT KILL ID 77;");
        assert_true(rlk_conn_fenced(&server.conn));
        fake_free(&server);
    }
}

/* A fence that failed is tried again by the next attempt, if this one doesn't get ready. */
static void test_conn_fence_refused_in_an_attempt_that_fails(void **state)
{
    static const rlk_conn_script script = {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$1\r\nx\r\n", 33};
    static const fake_rule bad[] = {
        {"CLIENT KILL", "-NOPERM no\r\n"}, {"SCRIPT", "-LOADING soon\r\n"}, {NULL, NULL}};
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.scripts = &script;
    server.config.scripts_len = 1;
    fake_start(&server);
    fake_connect(&server);
    lose_one(&server, true);
    server.rules = bad;
    fake_connect(&server);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_LOADING);
    server.rules = fake_good_server;
    fake_connect(&server);
    assert_contains(server.commands, "CLIENT KILL ID 77;");
    assert_true(rlk_conn_fenced(&server.conn));
    fake_free(&server);
}

/* ---- Errors of servers ------------------------------------------------------------------- */

static void test_conn_server_error_meanings(void **state)
{
    static const struct {
        const char *text;
        rlk_result result;
    } rows[] = {
        {"LOADING Redis is loading the dataset in memory", RLK_E_LOADING}, /* fault 1 */
        {"READONLY You can't write against a read only replica.", RLK_E_READONLY},
        {"MASTERDOWN Link with MASTER is down", RLK_E_MASTERDOWN},
        {"MISCONF Redis is configured to save RDB snapshots", RLK_E_MISCONF},
        {"OOM command not allowed when used memory > 'maxmemory'.", RLK_E_OOM},
        {"BUSY Redis is busy running a script.", RLK_E_SCRIPT_BUSY},
        {"NOSCRIPT No matching script. Please use EVAL.", RLK_E_NOSCRIPT},
        {"NOAUTH Authentication required.", RLK_E_AUTH}, /* fault 9 */
        {"WRONGPASS invalid username-password pair or user is disabled.", RLK_E_AUTH},
        {"ERR invalid password", RLK_E_AUTH},
        {"ERR Client sent AUTH, but no password is set", RLK_E_AUTH},
        {"ERR AUTH <password> called without any password configured for the default user.",
         RLK_E_AUTH},
        {"NOPERM this user has no permissions to run the 'set' command", RLK_E_NOPERM},
        {"ERR The user executing the script can't run this command or subcommand script: x",
         RLK_E_NOPERM},
        {"ERR ACL failure in script: User x has no permissions", RLK_E_NOPERM},
        {"MOVED 3999 127.0.0.1:6381", RLK_E_MOVED}, /* fault 11 */
        {"ASK 3999 127.0.0.1:6381", RLK_E_ASK},
        {"CLUSTERDOWN The cluster is down", RLK_E_CLUSTERDOWN}, /* fault 12 */
        {"TRYAGAIN Multiple keys request during rehashing of slot", RLK_E_TRYAGAIN},
        {"CROSSSLOT Keys in request don't hash to the same slot", RLK_E_CROSSSLOT},
        {"NOREPLICAS Not enough good replicas to write.", RLK_E_NOREPLICAS}, /* fault 14 */
        {"NOPROTO unsupported protocol version", RLK_E_UNSUPPORTED},         /* fault 15 */
        {"ERR unknown command `HELLO`, with args beginning with: `3`, ", RLK_E_UNSUPPORTED},
        {"ERR Unknown subcommand or wrong number of arguments for 'ID'", RLK_E_UNSUPPORTED},
        {"ERR unknown subcommand 'ID'. Try CLIENT HELP.", RLK_E_UNSUPPORTED},
        {"ERR max number of clients reached", RLK_E_SERVER_FULL}, /* fault 16 */
        {"ERR max number of clients + cluster connections reached", RLK_E_SERVER_FULL},
        {"DENIED Redis is running in protected mode", RLK_E_PROTECTED}, /* fault 17 */
        {"WRONGTYPE Operation against a key holding the wrong kind of value", RLK_E_WRONGTYPE},
        /* errors inside scripts, before Redis 7 */
        {"ERR Error running script (call to f_0123456789): @user_script:1: @user_script: 1: "
         "-READONLY You can't write against a read only replica. ",
         RLK_E_READONLY},
        {"ERR Error running script (call to f_0123456789): @user_script:1: WRONGTYPE Operation",
         RLK_E_WRONGTYPE},
        {"ERR Error running script (call to f_0123456789): @user_script:1: - -OOM", RLK_E_OOM},
        {"ERR Error running script  (two spaces) and nothing known ", RLK_E_SERVER},
        {"ERR Error running script", RLK_E_SERVER},
        /* fault 18: what is not known */
        {"ERR value is not an integer or out of range", RLK_E_SERVER},
        {"ERR", RLK_E_SERVER},
        {"ERR ", RLK_E_SERVER},
        {"", RLK_E_SERVER},
        {" ", RLK_E_SERVER},
        {"OO", RLK_E_SERVER},
        {"OOMX no", RLK_E_SERVER},
        {"OOM", RLK_E_OOM},
        {"BUSYGROUP Consumer Group name already exists", RLK_E_SERVER},
        {"FOO max number of clients reached", RLK_E_SERVER},
        {"oom command", RLK_E_SERVER},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        size_t len = strlen(rows[i].text);
        uint8_t *exact = (uint8_t *)malloc(len + 1); /* so that tools see a byte too many */

        assert_non_null(exact);
        memcpy(exact + 1, rows[i].text, len);
        if (rlk_server_error(exact + 1, len) != rows[i].result)
            support_fail("\"%s\" means %s", rows[i].text,
                         rlk_result_name(rlk_server_error(exact + 1, len)));
        free(exact);
    }
}

/* ---- Size -------------------------------------------------------------------------------- */

static void test_conn_size_is_as_documented(void **state)
{
    (void)state;
    if (sizeof(void *) == 4)
        assert_between(sizeof(rlk_conn), 1, 512);
    else
        assert_between(sizeof(rlk_conn), 1, 640);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_init_checks_its_configuration),
        cmocka_unit_test(test_conn_first_attempt_is_due_at_once),
        cmocka_unit_test(test_conn_attempt_that_fails),
        cmocka_unit_test(test_conn_no_reason_is_end_of_stream),
        cmocka_unit_test(test_conn_any_call_in_any_state),
        cmocka_unit_test(test_conn_shutdown_from_any_state),
        cmocka_unit_test(test_conn_reset_leaves_fatal),
        cmocka_unit_test(test_conn_hurry_and_reset_end_the_waiting),
        cmocka_unit_test(test_conn_progress_keeps_the_stream),
        cmocka_unit_test(test_conn_submitting_is_no_progress),
        cmocka_unit_test(test_conn_abandoned_reply_must_come_too),
        cmocka_unit_test(test_conn_idle_stream_has_no_deadline),
        cmocka_unit_test(test_conn_backoff_is_bounded_and_spread),
        cmocka_unit_test(test_conn_backoff_begins_anew_after_a_good_handshake),
        cmocka_unit_test(test_conn_fence_decision),
        cmocka_unit_test(test_conn_fence_is_sent_and_understood),
        cmocka_unit_test(test_conn_fence_is_not_needed),
        cmocka_unit_test(test_conn_fence_stands_alone),
        cmocka_unit_test(test_conn_fence_stays_due_at_every_byte),
        cmocka_unit_test(test_conn_fence_refused_in_an_attempt_that_fails),
        cmocka_unit_test(test_conn_server_error_meanings),
        cmocka_unit_test(test_conn_size_is_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
