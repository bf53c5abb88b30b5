/* SPDX-License-Identifier: MIT
 *
 * The step CLIENT TRACKING.
 */
#include "fake.h"

#define NOPERM      "-NOPERM this user has no permissions to run the command\r\n"
#define TRACKING_ON "CLIENT TRACKING ON NOLOOP;"
#define INVALIDATE  ">2\r\n$10\r\ninvalidate\r\n"

static const fake_rule tracks[] = {{"CLIENT TRACKING", "+OK\r\n"}, {NULL, NULL}};

/* A connection whose server notifies of changes, ready. */
static void tracked_ready(fake *server, size_t rx_cap)
{
    fake_init(server, 0, rx_cap, 0);
    server->config.no_tracking = false;
    server->rules = tracks;
    fake_start(server);
    fake_connect(server);
    assert_true(rlk_conn_is_tracking(&server->conn));
}

static void test_conn_tracking_step(void **state)
{
    static const struct {
        bool resp2_only;
        bool no_tracking;
        bool named;
        fake_rule rules[3];
        rlk_conn_state state;
        rlk_result result;
        bool tracking;
        const char *commands;
    } rows[] = {
        {false,
         false,
         false,
         {{"CLIENT TRACKING", "+OK\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         true,
         "HELLO 3;" TRACKING_ON "INFO server;"},
        /* the name goes with HELLO, an id that HELLO did not have is asked for behind it */
        {false,
         false,
         true,
         {{"HELLO", "%0\r\n"}, {"CLIENT TRACKING", "+OK\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         true,
         "HELLO 3 SETNAME me;" TRACKING_ON "CLIENT ID;INFO server;"},
        /* not wanted */
        {false, true, false, {{0}}, RLK_CONN_READY, RLK_OK, false, "HELLO 3;INFO server;"},
        /* without RESP3 there are no pushes, so none are asked for */
        {true, false, false, {{0}}, RLK_CONN_READY, RLK_OK, false, "CLIENT ID;INFO server;"},
        {false,
         false,
         false,
         {{"HELLO", HELLO_UNKNOWN}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;CLIENT ID;INFO server;"},
        {false,
         false,
         false,
         {{"HELLO", "-NOPROTO unsupported protocol version\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;CLIENT ID;INFO server;"},
        {false,
         false,
         false,
         {{"HELLO", "-ERR unsupported command\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;CLIENT ID;INFO server;"},
        /* fault 99: a yes without RESP3 has no pushes either */
        {false,
         false,
         false,
         {{"HELLO", "%2\r\n$2\r\nid\r\n:5\r\n$5\r\nproto\r\n:2\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;INFO server;"},
        {false,
         false,
         false,
         {{"HELLO", "*4\r\n$2\r\nid\r\n:5\r\n$5\r\nproto\r\n:2\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;INFO server;"},
        /* Dragonfly takes NOLOOP, and then sends nothing */
        {false,
         false,
         false,
         {{"HELLO", "%2\r\n$17\r\ndragonfly_version\r\n$8\r\ndf-v1.30\r\n$2\r\nid\r\n:5\r\n"},
          {"CLIENT TRACKING", "+OK\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         true,
         "HELLO 3;CLIENT TRACKING ON;INFO server;"},
        /* a refusal is tolerated (rule 8): an ACL, a proxy, a server that is older */
        {false,
         false,
         false,
         {{"CLIENT TRACKING", NOPERM}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;" TRACKING_ON "INFO server;"},
        {false,
         false,
         false,
         {{"CLIENT TRACKING", "-ERR Unknown subcommand\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;" TRACKING_ON "INFO server;"},
        {false,
         false,
         false,
         {{"CLIENT TRACKING", "-LOADING Redis is loading\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;" TRACKING_ON "INFO server;"},
        {false,
         false,
         false,
         {{"CLIENT TRACKING", "!3\r\nERR\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;" TRACKING_ON "INFO server;"},
        /* what is no OK is no promise */
        {false,
         false,
         false,
         {{"CLIENT TRACKING", ":1\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;" TRACKING_ON "INFO server;"},
        {false,
         false,
         false,
         {{"CLIENT TRACKING", "_\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         false,
         "HELLO 3;" TRACKING_ON "INFO server;"},
        /* what is final at any step is final here */
        {false,
         false,
         false,
         {{"CLIENT TRACKING", "-NOAUTH Authentication required.\r\n"}},
         RLK_CONN_FATAL,
         RLK_E_AUTH,
         false,
         NULL},
    };
    size_t i;
    size_t chunk;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (chunk = 0; chunk < 3; chunk++) {
            fake server;

            fake_init(&server, 0, 0, 0);
            server.chunk = chunk;
            server.config.resp2_only = rows[i].resp2_only;
            server.config.no_tracking = rows[i].no_tracking;
            server.config.client_name = rows[i].named ? "me" : NULL;
            server.rules = rows[i].rules;
            fake_start(&server);
            fake_connect(&server);
            fake_close(&server);
            assert_int_equal(rlk_conn_get_state(&server.conn), rows[i].state);
            assert_result(rlk_conn_result(&server.conn), rows[i].result);
            assert_int_equal(rlk_conn_is_tracking(&server.conn), rows[i].tracking);
            if (rows[i].commands != NULL)
                assert_string_equal(server.commands, rows[i].commands);
            fake_free(&server);
        }
    }
}

/* What one stream was granted is nothing that the next one has. */
static void test_conn_tracking_is_not_remembered(void **state)
{
    static const fake_rule refuses[] = {{"CLIENT TRACKING", NOPERM}, {NULL, NULL}};
    static const fake_rule old[] = {{"HELLO", HELLO_UNKNOWN}, {NULL, NULL}};
    static const fake_rule *const later[] = {refuses, tracks, old, tracks};
    fake server;
    size_t i;

    (void)state;
    tracked_ready(&server, 0);
    for (i = 0; i < COUNT_OF(later); i++) {
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        assert_false(rlk_conn_is_tracking(&server.conn));
        server.rules = later[i];
        fake_open(&server);
        assert_false(rlk_conn_is_tracking(&server.conn)); /* the handshake: not yet */
        fake_run(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        assert_int_equal(rlk_conn_is_tracking(&server.conn), later[i] == tracks);
        assert_false(rlk_conn_missed(&server.conn)); /* once, or nothing was promised */
    }
    rlk_conn_close(&server.conn, server.now_ms);
    assert_false(rlk_conn_is_tracking(&server.conn));
    fake_free(&server);
}

/* A step that isn't answered is one of the handshake's: the connect time bounds it. */
static void test_conn_tracking_unanswered(void **state)
{
    static const fake_rule silent[] = {{"CLIENT TRACKING", NULL}, {"INFO", NULL}, {NULL, NULL}};
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.no_tracking = false;
    server.rules = silent;
    fake_start(&server);
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
    server.now_ms = rlk_conn_deadline(&server.conn);
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CLOSE);
    assert_string_equal(rlk_conn_step(&server.conn), "CLIENT TRACKING");
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_tracking_step),
        cmocka_unit_test(test_conn_tracking_is_not_remembered),
        cmocka_unit_test(test_conn_tracking_unanswered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
