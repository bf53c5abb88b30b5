/* SPDX-License-Identifier: MIT
 *
 * Peers that hang up at a command that they do not know.
 */
#include "fake.h"

#include <string.h>

static const rlk_conn_script scripts[] = {
    {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n", NULL, 40},
    {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 2\r\n", NULL, 40},
};

static unsigned count_loads(const fake *server)
{
    const char *at = server->commands;
    unsigned count = 0;

    while ((at = strstr(at, "SCRIPT LOAD")) != NULL) {
        at++;
        count++;
    }
    return count;
}

#define PROBE   "*3\r\n$7\r\nEVALSHA\r\n$1\r\nx\r\n$1\r\n0\r\n"
#define REFUSED "-ERR unsupported command\r\n"
#define FORGOT  "-NOSCRIPT No matching script.\r\n"
#define BEGIN   "HELLO 3;INFO server;"
#define LOADING "-LOADING Redis is loading the dataset in memory\r\n"
#define NOPERM  "-NOPERM no\r\n"

static const rlk_conn_script probed = {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n",
                                       PROBE, 40};

/* A connection to a server with these rules, and one script with a probe. */
static void probed_start(fake *server, const fake_rule *rules)
{
    fake_init(server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
    server->config.scripts = &probed;
    server->config.scripts_len = 1;
    server->rules = rules;
    fake_start(server);
}

/* Two attempts, in whose handshake the server hangs up. */
static void hang_up_twice(fake *server, rlk_result result)
{
    int i;

    for (i = 0; i < 2; i++) {
        fake_connect(server);
        assert_string_equal(server->commands, "HELLO 3;");
        rlk_conn_closed(&server->conn, result, 0, server->now_ms);
    }
}

/* Fault 103: two hang-ups at what the lock can do without, and the third attempt asks for none of
 * it. It is kept while it works. */
static void test_conn_hang_ups_are_learnt_from(void **state)
{
    static const fake_rule rules[] = {{"HELLO", NULL}, {"EVAL", ":0\r\n"}, {NULL, NULL}};
    fake server;
    int i;

    (void)state;
    probed_start(&server, rules);
    for (i = 0; i < 2; i++) {
        fake_connect(&server);
        assert_string_equal(server.commands, "HELLO 3;");
        rlk_conn_closed(&server.conn, i == 0 ? RLK_E_EOF : RLK_E_IO, 0, server.now_ms);
        assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CONNECT);
    }
    assert_int_equal(server.changed, 0);
    for (i = 0; i < 2; i++) {
        fake_connect(&server);
        assert_string_equal(server.commands, "EVAL return 1 1 resplock;");
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        assert_int_equal(rlk_conn_protocol(&server.conn), 2);
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    }
    /* an attempt that fails, for whatever reason, ends it */
    fake_open(&server);
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    assert_int_equal(rlk_conn_failures(&server.conn), 3);
    fake_connect(&server);
    assert_string_equal(server.commands, "HELLO 3;");
    fake_free(&server);
}

/* A peer that took a whole handshake knows all of it: hang-ups are accidents, and each counts as a
 * failure. So it can be fenced after any number of them. */
static void test_conn_hang_ups_of_a_known_peer(void **state)
{
    static const fake_rule good[] = {{"EVALSHA", ":0\r\n"}, {NULL, NULL}};
    static const fake_rule hangs_up[] = {{"HELLO", NULL}, {NULL, NULL}};
    fake server;
    int i;

    (void)state;
    probed_start(&server, good);
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    server.rules = hangs_up;
    for (i = 0; i < 3; i++) {
        fake_connect(&server);
        assert_string_equal(server.commands, "HELLO 3;");
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        assert_int_equal(rlk_conn_failures(&server.conn), 2 + i);
    }
    fake_free(&server);
}

/* Fault 42: so over TLS, where a hang-up may come without close_notify. What TLS itself failed with
 * is no hang-up. */
static void test_conn_hang_ups_over_tls(void **state)
{
    static const fake_rule rules[] = {{"HELLO", NULL}, {"EVAL", ":0\r\n"}, {NULL, NULL}};
    fake server;

    (void)state;
    probed_start(&server, rules);
    hang_up_twice(&server, RLK_E_TLS_CUT);
    assert_int_equal(rlk_conn_failures(&server.conn), 0);
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    rlk_conn_reset(&server.conn, server.now_ms);
    fake_close(&server);

    fake_connect(&server);
    assert_string_equal(server.commands, "HELLO 3;");
    rlk_conn_closed(&server.conn, RLK_E_TLS, 0, server.now_ms);
    assert_int_equal(rlk_conn_failures(&server.conn), 2);
    assert_result(rlk_conn_result(&server.conn), RLK_E_TLS);
    fake_free(&server);
}

/* What a plain attempt is refused says little of the server: a full one follows. */
static void test_conn_a_refusal_behind_hang_ups_is_not_fatal(void **state)
{
    static const fake_rule rules[] = {{"HELLO", NULL}, {"EVAL", NOPERM}, {NULL, NULL}};
    static const fake_rule later[] = {{"EVALSHA", ":0\r\n"}, {NULL, NULL}};
    fake server;

    (void)state;
    probed_start(&server, rules);
    hang_up_twice(&server, RLK_E_EOF);
    fake_connect(&server);
    assert_string_equal(server.commands, "EVAL return 1 1 resplock;");
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_SERVER);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
    assert_string_equal(rlk_conn_text(&server.conn), "NOPERM no");
    server.rules = later; /* the hang-ups were accidents */
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_string_equal(server.commands, BEGIN "SCRIPT LOAD return 1;EVALSHA x 0;");
    fake_free(&server);
}

/* Scripts without a probe need SCRIPT LOAD, which a plain attempt does not leave out: so they are
 * loaded again by it, too. */
static void test_conn_plain_without_a_probe(void **state)
{
    static const fake_rule rules[] = {{"HELLO", NULL}, {NULL, NULL}};
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.scripts = scripts;
    server.config.scripts_len = 2;
    server.rules = rules;
    fake_start(&server);
    hang_up_twice(&server, RLK_E_EOF);
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_string_equal(server.commands, "SCRIPT LOAD return 1;SCRIPT LOAD return 2;");
    rlk_conn_load_scripts(&server.conn, server.now_ms);
    fake_run(&server);
    assert_int_equal(count_loads(&server), 4);
    assert_int_equal(rlk_conn_server(&server.conn), RLK_SERVER_PLAIN);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_hang_ups_are_learnt_from),
        cmocka_unit_test(test_conn_hang_ups_of_a_known_peer),
        cmocka_unit_test(test_conn_hang_ups_over_tls),
        cmocka_unit_test(test_conn_plain_without_a_probe),
        cmocka_unit_test(test_conn_a_refusal_behind_hang_ups_is_not_fatal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
