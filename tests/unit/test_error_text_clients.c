/* SPDX-License-Identifier: MIT
 *
 * Errors in words: rlk_client_error, and how many nodes answer (error_text.c).
 */
#include "harness.h"

#include <string.h>

static harness h;

/* What a client says whose one connection, to this URL, came to such an end. */
static const char *text_of(const char *text, bool connected, rlk_result why, int sys_errno)
{
    rlk_conn *conn = &harness_link_of(&h, 0)->conn;
    rlk_url url;

    assert_result(rlk_url_parse(&url, text), RLK_OK);
    h.url = &url;
    harness_start(&h, 1);
    h.url = NULL;
    harness_cut(&h, 0);
    h.servers[0].mute = true;
    h.servers[0].swallows = true;
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    if (connected)
        rlk_conn_connected(conn, 0, NULL, h.now_ms);
    rlk_conn_closed(conn, why, sys_errno, h.now_ms);
    return rlk_client_error(h.client);
}

/* The driver's words are there where they are about this error. */
static void test_error_text_words_of_drivers(void **state)
{
    static const struct {
        rlk_result why;
        const char *words;
        const char *shown;
    } rows[] = {
        {RLK_E_RESOLVE, "no such host", "; no such host"},
        {RLK_E_TLS, "it broke", "; it broke"},
        {RLK_E_TLS_REFUSED, "it has expired", "; it has expired"},
        {RLK_E_CONNECT_TIMEOUT, "no answer", "; no answer"},
        {RLK_E_CONNECT, "no answer", NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        const char *text;

        (void)text_of("redis://h", false, rows[i].why, 0);
        rlk_conn_explain(&harness_link_of(&h, 0)->conn, rows[i].words);
        text = rlk_client_error(h.client);
        if (rows[i].shown != NULL)
            assert_contains(text, rows[i].shown);
        else
            assert_null(strstr(text, rows[i].words));
    }
}

static int let_pass(harness *self)
{
    self->now_ms += 20;
    self->ends_wait = true;
    return 0;
}

/* Also before the first attempt is over: what it waits for. */
static void test_error_text_words_of_an_attempt_under_way(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.operation_timeout_ms = 50;
    harness_open(&h, 1, 1);
    h.servers[0].mute = true;
    h.on_wait = let_pass;
    assert_result(rlk_client_check(h.client), RLK_E_NOT_CONNECTED);
    rlk_conn_explain(&harness_link_of(&h, 0)->conn, "no answer yet");
    assert_contains(rlk_client_error(h.client), "; no answer yet)");
    memset(&h.config, 0, sizeof h.config);
    h.on_wait = NULL;
}

static void test_fault_129_quorum_out_of_reach(void **state)
{
    rlk_lock lock;
    rlk_holder holders[5];
    unsigned i;

    (void)state;
    harness_start(&h, 5);
    harness_lock(&h, &lock, 3000);
    h.servers[3].refuses = true;
    harness_cut(&h, 3);
    assert_contains(rlk_client_error(h.client), "; 4 of 5 nodes answer, 3 are needed (node 3, n3:");
    for (i = 1; i < 4; i++) {
        h.servers[i].refuses = true;
        harness_cut(&h, i);
    }
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 4);
    harness_advance(&h, 1);
    harness_serve(&h, 0);
    harness_serve(&h, 4);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_CONNECT);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": E_CONNECT: ");
    assert_contains(rlk_lock_error(&lock), "; 2 of 5 nodes answer, 3 are needed (node ");
    assert_contains(rlk_client_error(h.client), "; 2 of 5 nodes answer, 3 are needed (node 1, n1:");
    h.servers[0].automatic = h.servers[4].automatic = true;
    h.servers[4].refuses = true;
    harness_cut(&h, 4);
    assert_result(rlk_query(&lock, holders, 5), RLK_E_CONNECT);
    assert_contains(rlk_lock_error(&lock), "; 1 of 5 nodes answers, 3 are needed (node ");
}

/* All are up: those that refuse don't answer, nor those that are silent. */
static void test_fault_129_nodes_that_refuse(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_reply(&h, 1, HARNESS_NOPERM);
    harness_reply(&h, 2, HARNESS_NOPERM);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_NOPERM);
    assert_contains(rlk_lock_error(&lock), "; 1 of 3 nodes answers, 2 are needed (node 2, n2:");
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
    assert_contains(rlk_lock_error(&lock), "; 0 of 3 nodes answer, 2 are needed (node ");
}

/* One node is not counted. */
static void test_fault_129_one_node(void **state)
{
    (void)state;
    harness_start(&h, 1);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_contains(rlk_client_error(h.client), "E_EOF: ");
    assert_null(strstr(rlk_client_error(h.client), "needed"));
}

/* The address, the errno and its words if it has any. A peer that hangs up before the first reply
 * may have expected TLS. */
static void test_error_text_of_a_connection(void **state)
{
    static const char hint[] = "is it a TLS port?";
    static const struct {
        const char *url;
        bool connected; /* before it ended */
        rlk_result why;
        int sys_errno;
        const char *text; /* NULL: none with the hint */
    } rows[] = {
        {"redis://h:7000", false, RLK_E_CONNECT, HARNESS_ERRNO,
         "(node 0, h:7000; connection refused, errno 111)"},
        {"redis://[::1]:7000", false, RLK_E_CONNECT, HARNESS_ERRNO,
         "(node 0, [::1]:7000; connection refused, errno 111)"},
        {"unix:///run/redis.sock", false, RLK_E_CONNECT, 2, "(node 0, /run/redis.sock; errno 2)"},
        {"redis://h", false, RLK_E_CONNECT, 9999, "(node 0, h:6379; errno 9999)"},
        {"redis://h", false, RLK_E_CONNECT, HARNESS_ERRNO, "refused, errno 111)"},
        {"redis://h", true, RLK_E_EOF, 0, hint},
        {"redis://h", true, RLK_E_IO, 104, hint},
        {"redis://h", true, RLK_E_RESPONSE_TIMEOUT, 0, NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        const char *text = text_of(rows[i].url, rows[i].connected, rows[i].why, rows[i].sys_errno);

        assert_contains(text, rows[i].text != NULL ? rows[i].text : "E_RESPONSE_TIMEOUT");
        assert_int_equal(strstr(text, hint) != NULL, rows[i].text == hint);
    }
}

/* Without words for any errno the number is alone. */
static void test_error_text_of_an_errno_without_words(void **state)
{
    (void)state;
    assert_contains(text_of("redis://h", false, RLK_E_CONNECT, HARNESS_ERRNO),
                    "refused, errno 111)");
    h.client->env.errno_text = NULL;
    assert_contains(rlk_client_error(h.client), "(node 0, h:6379; errno 111)");
}

/* A peer that has spoken RESP expects no TLS. */
static void test_error_text_of_a_stream_that_ended(void **state)
{
    (void)state;
    harness_start(&h, 1);
    harness_cut(&h, 0);
    assert_contains(rlk_client_error(h.client), "E_EOF: ");
    assert_null(strstr(rlk_client_error(h.client), "is it a TLS port?"));
    assert_null(strstr(rlk_client_error(h.client), "errno"));
    /* nor while the next stream has not replied yet */
    h.servers[0].mute = true;
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 0)->conn), RLK_CONN_HANDSHAKE);
    assert_contains(rlk_client_error(h.client), "E_EOF: ");
    assert_null(strstr(rlk_client_error(h.client), "is it a TLS port?"));
}

/* A peer that hung up before its first reply still has when the next attempt is under way, which
 * takes it for one of RESP2 (fault 103). */
static void test_error_text_between_hang_ups(void **state)
{
    rlk_conn *conn = &harness_link_of(&h, 0)->conn;
    unsigned i;

    (void)state;
    harness_open(&h, 1, 1);
    h.servers[0].mute = true;
    for (i = 0; i < 5; i++) {
        harness_advance(&h, i == 3 ? RLK_BACKOFF_MIN_MS : 0);
        assert_int_equal(rlk_conn_get_state(conn), RLK_CONN_HANDSHAKE);
        rlk_conn_closed(conn, RLK_E_EOF, 0, h.now_ms);
        assert_int_equal(rlk_conn_failures(conn), i < 2 ? 0 : 1);
    }
    harness_advance(&h, 0);
    assert_int_equal(rlk_conn_get_state(conn), RLK_CONN_HANDSHAKE);
    assert_int_equal(rlk_conn_protocol(conn), 2);
    assert_contains(rlk_client_error(h.client), "is it a TLS port?");
}

static void test_error_text_of_what_was_refused(void **state)
{
    static const rlk_lock_config negative = {-1, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false};
    rlk_client client;
    rlk_lock lock;

    (void)state;
    memset(&client, 0, sizeof client);
    assert_string_equal(rlk_client_error(&client), "");
    harness_start(&h, 1);
    assert_result(rlk_lock_init(&lock, h.client, "k", &negative), RLK_E_TTL);
    assert_contains(rlk_client_error(h.client), "E_TTL: ");
    assert_null(strstr(rlk_client_error(h.client), "node 0"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_text_words_of_drivers),
        cmocka_unit_test(test_error_text_words_of_an_attempt_under_way),
        cmocka_unit_test(test_fault_129_quorum_out_of_reach),
        cmocka_unit_test(test_fault_129_nodes_that_refuse),
        cmocka_unit_test(test_fault_129_one_node),
        cmocka_unit_test(test_error_text_of_a_connection),
        cmocka_unit_test(test_error_text_of_an_errno_without_words),
        cmocka_unit_test(test_error_text_of_a_stream_that_ended),
        cmocka_unit_test(test_error_text_between_hang_ups),
        cmocka_unit_test(test_error_text_of_what_was_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
