/* SPDX-License-Identifier: MIT
 *
 * What INFO shows of the server, and HELLO.
 */
#include "handshake_rows.h"

#include "net/info.h"

#include <string.h>

static void test_conn_run_id_is_found_in_any_text(void **state)
{
    static const struct {
        const char *info;
        bool found;
    } rows[] = {
        {"$47\r\nrun_id:" RUN_ID "\r\n", true},
        {"=62\r\ntxt:# Server\nrun_id:" RUN_ID "\r\n\r\n", true},
        {"$52\r\nrun_\nrun_id:" RUN_ID "\r\n", true},
        {"$59\r\n\n\nrun_id:xy\nrun_id:" RUN_ID "\r\n", true},
        {"$48\r\nxrun_id:" RUN_ID "\r\n", false},
        {"$46\r\nrun_id:0123456789abcdef0123456789abcdef0123456\r\n", false},
        {"$47\r\nrun_id:0123456789ABCDEF0123456789abcdef01234567\r\n", false},
        {"$47\r\nrun_id:0123456789abcdef0123456789abcdef0123456\x7f\r\n", false},
        {"$47\r\nrun_id:0123456789abcdef0123456789abcdef0123456/\r\n", false},
        {"*1\r\n$47\r\nrun_id:" RUN_ID "\r\n", false},
        {"+run_id:" RUN_ID "\r\n", false},
        {"$47\r\nrun_id:0000000000000000000000000000000000000000\r\n", false}, /* of nobody */
        {"$48\r\nrun_id::" RUN_ID "\r\n", false},
        {"$0\r\n\r\n", false},
        {"_\r\n", false},
    };
    size_t i;
    size_t chunk;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (chunk = 0; chunk < 20; chunk++) {
            fake_rule rules[2] = {{"INFO", NULL}, {NULL, NULL}};
            fake server;

            rules[0].reply = rows[i].info;
            fake_init(&server, 0, RLK_CONN_RX_MIN, 0);
            server.rules = rules;
            server.chunk = chunk;
            fake_start(&server);
            assert_true(rlk_conn_run_id(&server.conn) == 0);
            fake_connect(&server);
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
            assert_true(rlk_conn_run_id(&server.conn) ==
                        (rows[i].found ? UINT64_C(0x89abcdef01234567) : 0));
            fake_free(&server);
        }
    }
}

#define HELLO_HEAD(count)      "%" count "\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
#define HELLO_TAIL(mode, role) "$2\r\nid\r\n:5\r\n$4\r\nmode\r\n" mode "$4\r\nrole\r\n" role
#define HELLO_SAYS(mode, role) HELLO_HEAD("5") "$5\r\nproto\r\n:3\r\n" HELLO_TAIL(mode, role)
#define STANDALONE             "$10\r\nstandalone\r\n"
#define CLUSTER                "$7\r\ncluster\r\n"
#define MASTER                 "$6\r\nmaster\r\n"

/* Families, modes and roles, by HELLO or else by INFO. */
static void test_conn_handshake_learns_what_the_server_is(void **state)
{
    static const struct {
        const char *hello;
        const char *info;
        unsigned server;
        unsigned protocol;
    } rows[] = {
        {HELLO_SAYS(STANDALONE, MASTER), NULL, RLK_SERVER_HELLO, 3},
        {HELLO_SAYS(CLUSTER, MASTER), NULL, RLK_SERVER_HELLO | RLK_SERVER_CLUSTER, 3},
        {HELLO_SAYS(STANDALONE, "$7\r\nreplica\r\n"), NULL, RLK_SERVER_HELLO | RLK_SERVER_REPLICA,
         3},
        {HELLO_SAYS(CLUSTER, "$5\r\nslave\r\n"), NULL,
         RLK_SERVER_HELLO | RLK_SERVER_CLUSTER | RLK_SERVER_REPLICA, 3},
        /* Valkey, where it was started with an availability-zone */
        {HELLO_HEAD("6") "$17\r\navailability_zone\r\n$4\r\neu-1\r\n$5\r\nproto\r\n:"
                         "3\r\n" HELLO_TAIL(STANDALONE, MASTER),
         NULL, RLK_SERVER_HELLO, 3},
        {HELLO_HEAD("6") "$12\r\ndfly_version\r\n$4\r\nv1.4\r\n$5\r\nproto\r\n:"
                         "3\r\n" HELLO_TAIL(STANDALONE, MASTER),
         NULL, RLK_SERVER_HELLO | RLK_SERVER_DRAGONFLY, 3},
        {HELLO_HEAD("6") "$17\r\ndragonfly_version\r\n$10\r\ndf-v1.30.3\r\n$5\r\nproto\r\n:"
                         "3\r\n" HELLO_TAIL(STANDALONE, MASTER),
         NULL, RLK_SERVER_HELLO | RLK_SERVER_DRAGONFLY, 3},
        /* a proxy that serves RESP2 only; one that says it in words */
        {HELLO_HEAD("5") "$5\r\nproto\r\n:2\r\n" HELLO_TAIL(CLUSTER, MASTER), NULL,
         RLK_SERVER_HELLO | RLK_SERVER_CLUSTER, 2},
        {HELLO_HEAD("5") "$5\r\nproto\r\n$2\r\nv3\r\n" HELLO_TAIL(STANDALONE, MASTER), NULL,
         RLK_SERVER_HELLO, 3},
        /* before Redis 6 */
        {HELLO_UNKNOWN, "$49\r\nredis_version:5.0.7\r\nredis_mode:standalone\r\nx:1\r\n\r\n", 0, 2},
        {HELLO_UNKNOWN, "$46\r\nredis_version:5.0.7\r\nredis_mode:cluster\r\nx:1\r\n\r\n",
         RLK_SERVER_CLUSTER, 2},
        {HELLO_UNKNOWN, "$48\r\nredis_version:5.0.7\r\nredis_mode:dedicated\r\nx:1\r\n\r\n", 0, 2},
        /* Valkey, where HELLO is not permitted */
        {"-NOPERM no\r\n", "$50\r\nvalkey_version:9.0.0\r\nserver_mode:cluster\r\nhz:10\r\n\r\n",
         RLK_SERVER_CLUSTER, 2},
        {HELLO_UNKNOWN, "$35\r\nserver_modes:cluster\nmode:cluster\r\n\r\n", 0, 2},
        {HELLO_UNKNOWN, "$35\r\nredis_mode:cluster:\nmodecluster:1\r\n\r\n", 0, 2},
        /* lines whose hashes are those of redis_mode:cluster and redis_mode:sentinel */
        {HELLO_UNKNOWN, "$32\r\nuptime_in_seconds:847545568313\r\n\r\n", 0, 2},
        {HELLO_UNKNOWN, "$32\r\nuptime_in_seconds:165113125358\r\n\r\n", 0, 2},
    };
    size_t i;
    size_t chunk;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (chunk = 0; chunk < 12; chunk++) {
            fake_rule rules[3] = {{"HELLO", NULL}, {NULL, NULL}, {NULL, NULL}};
            fake server;

            rules[0].reply = rows[i].hello;
            if (rows[i].info != NULL) {
                rules[1].command = "INFO";
                rules[1].reply = rows[i].info;
            }
            fake_init(&server, 0, RLK_CONN_RX_MIN, 0);
            server.rules = rules;
            server.chunk = chunk;
            fake_start(&server);
            fake_connect(&server);
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
            assert_int_equal(rlk_conn_server(&server.conn) & ~(unsigned)RLK_SERVER_IDENTITY,
                             rows[i].server);
            assert_int_equal(rlk_conn_protocol(&server.conn), rows[i].protocol);
            fake_free(&server);
        }
    }
}

#define INFO_HASH(text, hash, server) {text, hash},

/* The library knows facts and keys by their hashes alone. */
static void test_conn_info_hashes_are_those_of_their_texts(void **state)
{
    static const struct {
        const char *text;
        uint32_t hash;
    } rows[] = {RLKI_INFO_FACTS(INFO_HASH){"id", RLKI_INFO_ID},
                {"proto", RLKI_INFO_PROTO},
                {"mode", RLKI_INFO_MODE},
                {"run_id", RLKI_INFO_RUN_ID},
                {"redis_mode", RLKI_INFO_REDIS_MODE},
                {"server_mode", RLKI_INFO_SERVER_MODE}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(rlk_key_hash(RLK_KEY_HASH, rows[i].text, strlen(rows[i].text)),
                         rows[i].hash);
}

static void test_conn_protocol_is_known(void **state)
{
    static const fake_rule old_server[] = {{"HELLO", HELLO_UNKNOWN}, {NULL, NULL}};
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    assert_int_equal(rlk_conn_protocol(&server.conn), 0);
    fake_connect(&server);
    assert_int_equal(rlk_conn_protocol(&server.conn), 3);
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    server.rules = old_server;
    fake_connect(&server);
    assert_int_equal(rlk_conn_protocol(&server.conn), 2);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_run_id_is_found_in_any_text),
        cmocka_unit_test(test_conn_handshake_learns_what_the_server_is),
        cmocka_unit_test(test_conn_info_hashes_are_those_of_their_texts),
        cmocka_unit_test(test_conn_protocol_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
