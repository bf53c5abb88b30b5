/* SPDX-License-Identifier: MIT
 *
 * The handshake: every path through its steps, every refusal at every step, and every byte at which
 * it may stop.
 */
#include "handshake_rows.h"

#include <string.h>

static void row_init(fake *server, const handshake_row *row, bool small, size_t chunk)
{
    fake_init(server, small ? RLK_CONN_TX_AUTH(8, 8) : 0, small ? RLK_CONN_RX_MIN : 0,
              small ? RLK_CONN_RING_MIN : 0);
    assert_result(rlk_url_parse(&server->config.url, row->url), RLK_OK);
    server->config.resp2_only = (row->options & RESP2) != 0;
    server->config.client_name = (row->options & NAMED) != 0 ? "me" : NULL;
    server->config.scripts = (row->options & SCRIPTS) != 0 ? scripts : NULL;
    server->config.scripts_len = (row->options & SCRIPTS) != 0 ? 3 : 0;
    server->rules = row->rules;
    server->chunk = chunk;
    fake_start(server);
}

static void row_check(const handshake_row *row, bool small, size_t chunk)
{
    bool ready = row->state == RLK_CONN_READY;
    fake server;

    row_init(&server, row, small, chunk);
    fake_connect(&server);
    if (!ready) {
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSING);
        assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CLOSE);
        assert_int_equal(server.changed, 0);
        fake_close(&server);
    }
    assert_result(rlk_conn_result(&server.conn), row->result);
    assert_int_equal(rlk_conn_get_state(&server.conn), row->state);
    assert_string_equal(rlk_conn_step(&server.conn), row->step);
    assert_server_text(&server.conn, row->text);
    if (row->commands != NULL)
        assert_string_equal(server.commands, row->commands);
    assert_int_equal(server.changed, 1);
    assert_int_equal(rlk_conn_generation(&server.conn), ready);
    assert_int_equal(rlk_conn_failures(&server.conn), !ready);
    assert_false(fake_holds(server.config.tx, server.config.tx_cap, "secret"));
    assert_false(fake_holds(server.config.rx, server.config.rx_cap, "secret"));
    assert_false(fake_holds(server.conn.text, sizeof server.conn.text, "secret"));
    if (ready) {
        assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
        assert_true(rlk_conn_fenced(&server.conn));
        assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_READ);
    }
    fake_free(&server);
}

static void rows_check(const handshake_row *rows, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        row_check(&rows[i], false, 0);
        row_check(&rows[i], false, 1);
        row_check(&rows[i], true, 0);
        row_check(&rows[i], true, 1);
    }
}

static void test_conn_handshake_paths(void **state)
{
    (void)state;
    rows_check(good_rows, COUNT_OF(good_rows));
}

static void test_conn_handshake_refusals(void **state)
{
    (void)state;
    rows_check(bad_rows, COUNT_OF(bad_rows));
}

/* CVE-2025-29923 and fault 31: at whatever byte the handshake stops, in either direction, by the
 * end of the stream or by silence, it fails, the stream is closed, and the next one is in order. */
static void cut_check(const handshake_row *row, bool out, size_t at, bool eof)
{
    fake_request request;
    fake server;
    rlk_conn_state before;
    bool again;

    row_init(&server, row, true, 1);
    fake_submit(&server, &request, 3);
    *(out ? &server.out_max : &server.in_max) = at;
    fake_connect(&server);
    before = rlk_conn_get_state(&server.conn);
    if (before != RLK_CONN_HANDSHAKE) {
        assert_int_equal(before, RLK_CONN_READY);
        fake_free(&server);
        return;
    }
    if (eof) {
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    } else {
        server.now_ms = rlk_conn_deadline(&server.conn) - 1;
        rlk_conn_tick(&server.conn, server.now_ms);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
        server.now_ms++;
        rlk_conn_tick(&server.conn, server.now_ms);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSING);
        fake_give(&server); /* a late byte is ignored */
        fake_close(&server);
    }
    again = eof && server.changed == 0; /* at a step that it may not know: fault 103 */
    assert_result(rlk_conn_result(&server.conn), again ? RLK_E_NOT_CONNECTED
                                                 : eof ? RLK_E_EOF
                                                       : RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
    assert_int_equal(server.changed, !again);
    assert_int_equal(rlk_conn_wants(&server.conn), again ? RLK_WANT_CONNECT : 0);
    assert_int_equal(server.lost, 0);
    assert_string_not_equal(rlk_conn_step(&server.conn), "");
    assert_false(fake_holds(server.config.tx, server.config.tx_cap, "secret"));
    assert_false(fake_holds(&server.conn, sizeof server.conn, "secret"));

    server.out_max = SIZE_MAX;
    server.in_max = SIZE_MAX;
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_int_equal(request.replies, 1);
    fake_free(&server);
}

static void test_conn_handshake_stops_at_every_byte(void **state)
{
    static const handshake_row rows[] = {
        {"redis://user:se%63ret@h/7", NAMED | SCRIPTS, {{0}}, RLK_CONN_READY, RLK_OK, "", "", ""},
        {"redis://user:se%63ret@h/7",
         NAMED | SCRIPTS,
         {{"HELLO", HELLO_UNKNOWN}},
         RLK_CONN_READY,
         RLK_OK,
         "",
         "",
         ""},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        size_t at;
        size_t in;
        size_t out;
        fake server;

        row_init(&server, &rows[i], true, 1);
        fake_connect(&server);
        in = server.in_len;
        out = server.out_len;
        fake_free(&server);
        assert_true(in > 200 && out > 200);
        for (at = 0; at <= in; at++) {
            cut_check(&rows[i], false, at, true);
            cut_check(&rows[i], false, at, false);
        }
        for (at = 0; at <= out; at++) {
            cut_check(&rows[i], true, at, true);
            cut_check(&rows[i], true, at, false);
        }
    }
}

/* Fault 16: refused before anything was read, and so before anything was sent. */
static void test_conn_handshake_refused_before_sending(void **state)
{
    static const struct {
        const char *bytes;
        rlk_result result;
        rlk_conn_state state;
    } rows[] = {
        {FULL, RLK_E_SERVER_FULL, RLK_CONN_WAITING},
        {"-DENIED protected\r\n", RLK_E_PROTECTED, RLK_CONN_FATAL},
        {LOADING, RLK_E_LOADING, RLK_CONN_WAITING},
        {"!5\r\nERR x\r\n", RLK_E_SERVER, RLK_CONN_WAITING},
        /* fault 40: the answer to what was not asked */
        {HELLO_SMALL, RLK_E_UNSOLICITED, RLK_CONN_WAITING},
        {"+OK\r\n", RLK_E_UNSOLICITED, RLK_CONN_WAITING},
        {"220 smtp ready\r\n", RLK_E_NOT_RESP, RLK_CONN_WAITING},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        fake server;

        fake_init(&server, 0, 0, 0);
        server.chunk = 1;
        fake_start(&server);
        fake_open(&server);
        fake_say(&server, rows[i].bytes);
        while (fake_give(&server))
            ;
        fake_close(&server);
        assert_result(rlk_conn_result(&server.conn), rows[i].result);
        assert_int_equal(rlk_conn_get_state(&server.conn), rows[i].state);
        fake_free(&server);
    }
}

/* Fault 40: one reply too many, in the same bytes as one that is due. */
static void test_conn_handshake_surplus_reply(void **state)
{
    static const fake_rule rules[][2] = {
        {{"HELLO", HELLO_SMALL "+OK\r\n"}, {NULL, NULL}},
        {{"INFO", "+OK\r\n+OK\r\n"}, {NULL, NULL}},
        {{"INFO", "+OK\r\n-ERR what\r\n"}, {NULL, NULL}},
    };
    static const rlk_result results[] = {RLK_E_UNSOLICITED, RLK_E_UNSOLICITED, RLK_E_SERVER};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rules); i++) {
        fake server;

        fake_init(&server, 0, 0, 0);
        server.rules = rules[i];
        fake_start(&server);
        fake_connect(&server);
        fake_close(&server);
        assert_int_equal(server.changed, 1);
        assert_result(rlk_conn_result(&server.conn), results[i]);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
        fake_free(&server);
    }
}

/* Steps that don't fit behind each other go one after the other. */
static void test_conn_handshake_waits_for_room(void **state)
{
    static const fake_rule rules[] = {{"HELLO", HELLO_UNKNOWN}, {NULL, NULL}};
    fake server;

    (void)state;
    fake_init(&server, RLK_CONN_TX_AUTH(4, 6), RLK_CONN_RX_MIN, 0);
    assert_result(rlk_url_parse(&server.config.url, "redis://user:secret@h/1234567890"), RLK_OK);
    server.config.client_name = "a-name-of-64-bytes-is-the-longest-that-there-may-be-xxxxxxxxxxxx";
    assert_int_equal(strlen(server.config.client_name), 64);
    server.rules = rules;
    server.chunk = 50;
    fake_start(&server);
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_contains(server.commands, "AUTH user secret;CLIENT SETNAME a-name");
    assert_contains(server.commands, "CLIENT ID;SELECT 1234567890;INFO server;");
    assert_false(fake_holds(server.config.tx, server.config.tx_cap, "secret"));
    fake_free(&server);
}

/* A driver may report the answer before it reports that all was sent. */
static void test_conn_handshake_with_late_acknowledgement(void **state)
{
    static const handshake_row row = {"redis://:secret@h",
                                      SCRIPTS,
                                      {{"HELLO", HELLO_UNKNOWN}},
                                      RLK_CONN_READY,
                                      RLK_OK,
                                      "",
                                      "",
                                      ""};
    static const char *const answers[] = {
        HELLO_UNKNOWN,
        "+OK\r\n:1\r\n+info\r\n",
    };
    fake server;
    fake_request request;
    size_t i;
    size_t len;

    (void)state;
    row_init(&server, &row, true, 0);
    fake_submit(&server, &request, 1);
    fake_open(&server);
    for (i = 0; i < COUNT_OF(answers); i++) {
        assert_non_null(rlk_conn_tx_buf(&server.conn, &len));
        fake_say(&server, answers[i]);
        while (fake_give(&server))
            ;
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
        rlk_conn_tx_ack(&server.conn, len, server.now_ms);
    }
    for (i = 0; i < 3; i++) {
        assert_ptr_equal(rlk_conn_tx_buf(&server.conn, &len), scripts[i].load);
        fake_say(&server, "$1\r\nx\r\n");
        assert_true(fake_give(&server));
        assert_string_equal(rlk_conn_step(&server.conn), "SCRIPT LOAD");
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
        /* nothing is put behind a script that has not left */
        assert_int_equal(request.request.state, RLK_REQUEST_QUEUED);
        rlk_conn_tx_ack(&server.conn, len, server.now_ms);
    }
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_int_equal(request.request.state, RLK_REQUEST_SENT);
    fake_free(&server);
}

/* All is answered, and the driver has not said that it has left: a password in it is not wiped. */
static void test_conn_handshake_waits_for_the_last_acknowledgement(void **state)
{
    static const char *const answers[] = {HELLO_UNKNOWN, ":1\r\n+info\r\n"};
    fake server;
    size_t i;
    size_t len;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    fake_open(&server);
    for (i = 0; i < COUNT_OF(answers); i++) {
        assert_non_null(rlk_conn_tx_buf(&server.conn, &len));
        fake_say(&server, answers[i]);
        while (fake_give(&server))
            ;
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
        assert_string_equal(rlk_conn_step(&server.conn), i == 0 ? "CLIENT ID" : "SCRIPT LOAD");
        rlk_conn_tx_ack(&server.conn, len, server.now_ms);
    }
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_handshake_paths),
        cmocka_unit_test(test_conn_handshake_refusals),
        cmocka_unit_test(test_conn_handshake_stops_at_every_byte),
        cmocka_unit_test(test_conn_handshake_refused_before_sending),
        cmocka_unit_test(test_conn_handshake_surplus_reply),
        cmocka_unit_test(test_conn_handshake_waits_for_room),
        cmocka_unit_test(test_conn_handshake_with_late_acknowledgement),
        cmocka_unit_test(test_conn_handshake_waits_for_the_last_acknowledgement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
