/* SPDX-License-Identifier: MIT
 *
 * The fence between one connection and the next: what it is decided by, and that nothing leaves
 * before it.
 */
#include "fake.h"
#include "net/fence.h"
#include "net/local.h"

#include <string.h>

#define RUN_A  "$47\r\nrun_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
#define RUN_B  "$47\r\nrun_id:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"
#define NO_RUN "-NOPERM no\r\n"

/* More digits than a run_id has. */
#define RUN_LONG                                                                                   \
    "$71\r\nrun_id:abababababababababababababababababababababababababababababababab\r\n"
#define NO_ID "%0\r\n"

#define ARRAY_ID "*4\r\n$2\r\nid\r\n:5\r\n$5\r\nproto\r\n:2\r\n"
#define FLY_ID   "%2\r\n$2\r\nid\r\n:5\r\n$12\r\ndfly_version\r\n$4\r\nv1.4\r\n"

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
    identity->peer = (uint32_t)side->peer;
    identity->run_id = (uint8_t)side->run;
    rlki_local_pack(&identity->local, side->local);
}

static void test_conn_fence_decision(void **state)
{
    static const struct {
        fence_side old;
        fence_side fresh;
        rlki_fence fence;
    } rows[] = {
        /* the same instance */
        {{7, 1, 'a', "1.1:1"}, {8, 1, 'a', "1.1:2"}, RLKI_FENCE_KILL},
        {{7, 1, 'a', ""}, {0, 1, 'a', ""}, RLKI_FENCE_KILL},
        {{7, 1, 'a', "1.1:1"}, {8, 2, 'a', "1.1:2"}, RLKI_FENCE_KILL}, /* by another address */
        {{0, 1, 'a', "1.1:1"}, {8, 1, 'a', "1.1:2"}, RLKI_FENCE_NONE}, /* the id is not known */
        /* fault 71: restarted, so that the id may be another's by now */
        {{7, 1, 'a', "1.1:1"}, {8, 1, 'b', "1.1:2"}, RLKI_FENCE_GONE},
        {{0, 1, 'a', ""}, {0, 1, 'b', ""}, RLKI_FENCE_GONE},
        {{0, 0, 'a', ""}, {0, 0, 'b', ""}, RLKI_FENCE_GONE},
        /* fault 91: another address, where the old instance doesn't live */
        {{7, 1, 'a', "1.1:1"}, {8, 2, 'b', "1.1:2"}, RLKI_FENCE_NONE},
        /* no run_id on one side or on both */
        {{7, 1, 0, "1.1:1"}, {8, 1, 0, "1.1:2"}, RLKI_FENCE_KILL_ADDR},
        {{7, 1, 'a', "1.1:1"}, {8, 1, 0, "1.1:2"}, RLKI_FENCE_KILL_ADDR},
        {{7, 1, 0, "1.1:1"}, {8, 1, 'a', "1.1:2"}, RLKI_FENCE_KILL_ADDR},
        {{7, 1, 0, "1.1:1"}, {8, 2, 0, "1.1:2"}, RLKI_FENCE_KILL_ADDR},
        {{7, 1, 0, ""}, {8, 1, 0, ""}, RLKI_FENCE_NONE}, /* a Unix socket */
        {{7, 1, 'a', ""}, {8, 1, 0, ""}, RLKI_FENCE_NONE},
        {{0, 1, 0, "1.1:1"}, {8, 1, 0, "1.1:2"}, RLKI_FENCE_NONE},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_conn_identity old;
        rlk_conn_identity fresh;

        identity_set(&old, &rows[i].old);
        identity_set(&fresh, &rows[i].fresh);
        assert_int_equal(rlki_fence_decide(&old, &fresh), rows[i].fence);
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
         "1.1:1",
         "HELLO 3;INFO server;CLIENT KILL ID 77;",
         true},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_A}, {"CLIENT KILL", ":0\r\n"}}, 0, "1.1:1", NULL, true},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_A}, {"CLIENT KILL", ":2\r\n"}}, 0, "1.1:1", NULL, false},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-ERR No such client\r\n"}},
         0,
         "1.1:1",
         NULL,
         true},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-NOPERM no\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-ERR syntax error, ...\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        {{{"INFO", RUN_A}},
         {{"INFO", RUN_A}, {"CLIENT KILL", "-ERR No\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_A}, {"CLIENT KILL", "+OK\r\n"}}, 0, "1.1:1", NULL, false},
        /* an id that is not known */
        {{{"INFO", RUN_A}, {"HELLO", NO_ID}, {"CLIENT ID", "-NOPERM no\r\n"}},
         {{"INFO", RUN_A}},
         0,
         "1.1:1",
         "HELLO 3;INFO server;",
         false},
        /* the id of CLIENT ID */
        {{{"INFO", RUN_A}, {"HELLO", NO_ID}},
         {{"INFO", RUN_A}},
         0,
         "1.1:1",
         "HELLO 3;INFO server;CLIENT KILL ID 78;",
         true},
        /* ids have 64 bits */
        {{{"INFO", RUN_A}, {"HELLO", NO_ID}, {"CLIENT ID", ":9007199254740993\r\n"}},
         {{"INFO", RUN_A}},
         0,
         "1.1:1",
         "HELLO 3;INFO server;CLIENT KILL ID 9007199254740993;",
         true},
        /* restarted; elsewhere */
        {{{"INFO", RUN_A}}, {{"INFO", RUN_B}}, 0, "1.1:1", "HELLO 3;INFO server;", true},
        {{{"INFO", RUN_A}}, {{"INFO", RUN_B}}, 9, "1.1:1", "HELLO 3;INFO server;", false},
        /* fault 99: a yes in the shape of a proxy: ids and run_id may be anybody's */
        {{{"INFO", RUN_A}, {"HELLO", ARRAY_ID}},
         {{"INFO", RUN_A}, {"HELLO", ARRAY_ID}},
         0,
         "1.1:1",
         "HELLO 3;INFO server;CLIENT KILL ID 5 ADDR 1.1:1;",
         true},
        {{{"INFO", RUN_A}, {"HELLO", ARRAY_ID}},
         {{"INFO", RUN_A}, {"HELLO", ARRAY_ID}, {"CLIENT KILL", ":0\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        {{{"INFO", RUN_A}, {"HELLO", ARRAY_ID}},
         {{"INFO", RUN_B}, {"HELLO", ARRAY_ID}, {"CLIENT KILL", ":0\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        {{{"INFO", RUN_LONG}, {"HELLO", ARRAY_ID}},
         {{"INFO", RUN_LONG}, {"HELLO", ARRAY_ID}},
         0,
         "1.1:1",
         "HELLO 3;INFO server;CLIENT KILL ID 5 ADDR 1.1:1;",
         true},
        /* Dragonfly has no run_id, and takes one filter */
        {{{"INFO", NO_RUN}, {"HELLO", FLY_ID}},
         {{"INFO", NO_RUN}, {"HELLO", FLY_ID}},
         0,
         "1.1:1",
         "HELLO 3;INFO server;CLIENT KILL ADDR 1.1:1;",
         true},
        {{{"INFO", NO_RUN}, {"HELLO", FLY_ID}},
         {{"INFO", NO_RUN}, {"HELLO", FLY_ID}, {"CLIENT KILL", ":0\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        /* no run_id */
        {{{"INFO", NO_RUN}},
         {{"INFO", NO_RUN}},
         0,
         "[::1]:40000",
         "HELLO 3;INFO server;CLIENT KILL ID 77 ADDR [::1]:40000;",
         true},
        {{{"INFO", NO_RUN}},
         {{"INFO", NO_RUN}, {"CLIENT KILL", ":0\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        {{{"INFO", NO_RUN}},
         {{"INFO", NO_RUN}, {"CLIENT KILL", "-ERR No such client\r\n"}},
         0,
         "1.1:1",
         NULL,
         false},
        {{{"INFO", NO_RUN}}, {{"INFO", NO_RUN}}, 0, NULL, "HELLO 3;INFO server;", false},
        {{{"INFO", NO_RUN}}, {{"INFO", NO_RUN}}, 0, "", "HELLO 3;INFO server;", false},
        {{{"INFO", NO_RUN}}, {{"INFO", NO_RUN}}, 0, "1.1.1.1%1", "HELLO 3;INFO server;", false},
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
         "[aaaa:bbbb:cccc:dddd:eeee:ffff:1111:2222]:6553500",
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

/* Two addresses of a server are two, in whatever bits a driver's numbers for them differ: the old
 * instance may live on at the other (fault 91). */
static void test_conn_fence_knows_addresses_apart(void **state)
{
    static const fake_rule run_a[] = {{"INFO", RUN_A}, {NULL, NULL}};
    static const fake_rule run_b[] = {{"INFO", RUN_B}, {NULL, NULL}};
    static const struct {
        uint64_t old;
        uint64_t fresh;
    } rows[] = {
        {1, 2},
        {0, UINT64_C(0x80000000)},
        {0x0101a8c0, 0x8101a8c0}, /* 192.168.1.1 and .129, as lwIP has them */
        {1, UINT64_C(0x8000000000000001)},
        {UINT64_C(0x0a00000100001900), UINT64_C(0x0a00000200001903)}, /* address, port */
        {UINT64_C(0x0a00000118eb), UINT64_C(0x0a00800118eb)},
        {0, UINT64_C(0x100000001)},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        fake server;

        fake_init(&server, 0, 0, 0);
        server.rules = run_a;
        server.peer = rows[i].old;
        fake_start(&server);
        fake_connect(&server);
        lose_one(&server, true);
        server.rules = run_b;
        server.peer = rows[i].fresh;
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        assert_false(rlk_conn_fenced(&server.conn));
        fake_free(&server);
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

/* All was answered, but by a stream whose replies can't be trusted. */
static void test_conn_fence_of_a_stream_that_answered_wrongly(void **state)
{
    static const char *const ends[] = {"+nobody asked\r\n", "?no RESP\r\n", NULL};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ends); i++) {
        fake_request request;
        fake server;

        fake_ready(&server, 0, 0, 0);
        fake_submit(&server, &request, 1);
        fake_run(&server);
        assert_int_equal(request.replies, 1);
        if (ends[i] != NULL) {
            fake_say(&server, ends[i]);
            fake_run(&server);
        } else {
            rlk_conn_reject(&server.conn, server.now_ms); /* the layer above says so */
        }
        fake_close(&server);
        fake_connect(&server);
        assert_string_equal(server.commands, "HELLO 3;INFO server;CLIENT KILL ID 77;");
        fake_free(&server);
    }
}

/* INFO is read before KILL is sent, KILL is answered before a script or a request leaves. */
static void test_conn_fence_waits_for_info_and_requests_for_it(void **state)
{
    static const rlk_conn_script script = {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$1\r\nx\r\n", NULL,
                                           33};
    static const fake_rule silent[] = {{"CLIENT KILL", NULL}, {"SCRIPT LOAD", NULL}, {NULL, NULL}};
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
    assert_string_equal(server.commands, "HELLO 3;INFO server;CLIENT KILL ID 77;SCRIPT LOAD x;");
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
    static const rlk_conn_script script = {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$1\r\nx\r\n", NULL,
                                           33};
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_fence_decision),
        cmocka_unit_test(test_conn_fence_is_sent_and_understood),
        cmocka_unit_test(test_conn_fence_knows_addresses_apart),
        cmocka_unit_test(test_conn_fence_is_not_needed),
        cmocka_unit_test(test_conn_fence_of_a_stream_that_answered_wrongly),
        cmocka_unit_test(test_conn_fence_waits_for_info_and_requests_for_it),
        cmocka_unit_test(test_conn_fence_stays_due_at_every_byte),
        cmocka_unit_test(test_conn_fence_refused_in_an_attempt_that_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
