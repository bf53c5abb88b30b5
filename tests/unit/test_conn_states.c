/* SPDX-License-Identifier: MIT
 *
 * The states of a connection.
 */
#include "fake.h"

#include <string.h>

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
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms + RLK_CONNECT_TIMEOUT_MS);
    rlk_conn_connected(&server.conn, 0, NULL, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
    assert_string_equal(rlk_conn_step(&server.conn), "HELLO");
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_READ | RLK_WANT_WRITE);
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms + RLK_RESPONSE_TIMEOUT_MS);
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
    server.now_ms += RLK_CONNECT_TIMEOUT_MS - 1;
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
    static const fake_rule rules[] = {{"HELLO", "-WRONGPASS no\r\n"}, {NULL, NULL}};

    server->rules = rules;
    fake_start(server);
    fake_connect(server);
    fake_close(server);
}

static void into_closed(fake *server)
{
    fake_start(server);
    rlk_conn_close(&server->conn, server->now_ms);
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
        if (in == RLK_CONN_CLOSED) /* what it leaves: test_conn_reset_from_any_state */
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
        rlk_conn_close(&server.conn, server.now_ms);
        rlk_conn_close(&server.conn, server.now_ms);
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
    assert_string_equal(rlk_conn_text(&server.conn), "WRONGPASS no");
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

/* Fault 96: from every state but CLOSED it connects anew. What is in flight is lost, and fenced. */
static void test_fault_96_reset_from_any_state(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(all_states); i++) {
        rlk_conn_state in = all_states[i].state;
        bool open = in == RLK_CONN_CONNECTING || in == RLK_CONN_HANDSHAKE || in == RLK_CONN_READY ||
                    in == RLK_CONN_CLOSING;
        fake_request request;
        fake server;

        fake_init(&server, 0, 0, 0);
        all_states[i].into(&server);
        fake_submit(&server, &request, 1);
        (void)fake_take(&server);
        rlk_conn_reset(&server.conn, server.now_ms);
        if (in == RLK_CONN_CLOSED) {
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSED);
            assert_int_equal(rlk_conn_wants(&server.conn), 0);
            assert_true(rlk_conn_withdraw(&server.conn, &request.request));
            fake_free(&server);
            continue;
        }
        assert_int_equal(request.lost, in == RLK_CONN_READY);
        if (open) {
            assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CLOSE);
            assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms);
            rlk_conn_reset(&server.conn, server.now_ms); /* once more is no more */
            rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        }
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
        assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
        assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms);
        assert_result(rlk_conn_result(&server.conn), RLK_E_NOT_CONNECTED);
        assert_int_equal(rlk_conn_errno(&server.conn), 0);
        assert_string_equal(rlk_conn_text(&server.conn), "");
        assert_string_equal(rlk_conn_step(&server.conn), "");
        server.rules = fake_good_server;
        server.commands[0] = '\0';
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        assert_true(rlk_conn_fenced(&server.conn));
        assert_int_equal(strstr(server.commands, "CLIENT KILL") != NULL,
                         in == RLK_CONN_READY || in == RLK_CONN_CLOSING);
        if (in == RLK_CONN_READY)
            fake_submit(&server, &request, 1);
        fake_run(&server);
        assert_int_equal(request.replies, 1);
        /* the next failure is one like any other */
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        assert_true(rlk_conn_deadline(&server.conn) > server.now_ms);
        assert_result(rlk_conn_result(&server.conn), RLK_E_EOF);
        fake_free(&server);
    }
}

/* The reset of a connection that is closing for a reason that does not pass. */
static void test_conn_reset_before_fatal(void **state)
{
    static const fake_rule rules[] = {{"HELLO", "-WRONGPASS no\r\n"}, {NULL, NULL}};
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.rules = rules;
    fake_start(&server);
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSING);
    rlk_conn_reset(&server.conn, server.now_ms);
    fake_close(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_first_attempt_is_due_at_once),
        cmocka_unit_test(test_conn_attempt_that_fails),
        cmocka_unit_test(test_conn_no_reason_is_end_of_stream),
        cmocka_unit_test(test_conn_any_call_in_any_state),
        cmocka_unit_test(test_conn_shutdown_from_any_state),
        cmocka_unit_test(test_conn_reset_leaves_fatal),
        cmocka_unit_test(test_fault_96_reset_from_any_state),
        cmocka_unit_test(test_conn_reset_before_fatal),
        cmocka_unit_test(test_conn_hurry_and_reset_end_the_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
