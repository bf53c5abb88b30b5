/* SPDX-License-Identifier: MIT
 *
 * The handshake that begins without HELLO: configured, or all that a library with RLK_RESP2_ONLY
 * has.
 */
#include "fake.h"

#include <string.h>

#define SECRET "s3cret"

static int hook(void *context, rlk_credentials *out)
{
    (void)context;
    out->password = SECRET;
    out->password_len = strlen(SECRET);
    return 0;
}

static void test_conn_resp2_handshake(void **state)
{
    static const struct {
        fake_rule rule;
        rlk_conn_state end;
        rlk_result result;
        unsigned server;
    } rows[] = {
        {{"AUTH", "+OK\r\n"}, RLK_CONN_READY, RLK_OK, 0},
        /* what AUTH is answered is about the credentials, whatever the word */
        {{"AUTH", "-NOAUTH Authentication required.\r\n"}, RLK_CONN_FATAL, RLK_E_AUTH, 0},
        {{"AUTH", "-WRONGPASS no\r\n"}, RLK_CONN_FATAL, RLK_E_AUTH, 0},
        {{"AUTH", "-ERR invalid password\r\n"}, RLK_CONN_FATAL, RLK_E_AUTH, 0},
        {{"AUTH", "-ERR in other words\r\n"}, RLK_CONN_FATAL, RLK_E_AUTH, 0},
        {{"AUTH", "-DENIED protected\r\n"}, RLK_CONN_FATAL, RLK_E_PROTECTED, 0},
        {{"AUTH", "-ERR max number of clients reached\r\n"},
         RLK_CONN_WAITING,
         RLK_E_SERVER_FULL,
         0},
        {{"AUTH", "-LOADING soon\r\n"}, RLK_CONN_WAITING, RLK_E_LOADING, 0},
        /* Redis; Valkey */
        {{"INFO", "$20\r\nredis_mode:sentinel\n\r\n"}, RLK_CONN_FATAL, RLK_E_SENTINEL, 0},
        {{"INFO", "$21\r\nserver_mode:sentinel\n\r\n"}, RLK_CONN_FATAL, RLK_E_SENTINEL, 0},
        {{"INFO", "$19\r\nredis_mode:cluster\n\r\n"}, RLK_CONN_READY, RLK_OK, RLK_SERVER_CLUSTER},
        {{"INFO", "$20\r\nserver_mode:cluster\n\r\n"}, RLK_CONN_READY, RLK_OK, RLK_SERVER_CLUSTER},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        fake_rule rules[3] = {
            {NULL, NULL}, {"INFO", "$15\r\n# what it is\n\n\n\r\n"}, {NULL, NULL}};
        fake server;

        rules[0] = rows[i].rule;
        fake_init(&server, 0, RLK_CONN_RX_MIN, 0);
        server.config.resp2_only = true;
        server.config.credentials = hook;
        server.rules = rules;
        fake_start(&server);
        fake_connect(&server);
        fake_close(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), rows[i].end);
        assert_result(rlk_conn_result(&server.conn), rows[i].result);
        assert_int_equal(rlk_conn_server(&server.conn) & RLK_SERVER_CLUSTER, rows[i].server);
        if (rows[i].result == RLK_OK) {
            assert_string_equal(server.commands, "AUTH " SECRET ";CLIENT ID;INFO server;");
            assert_int_equal(rlk_conn_protocol(&server.conn), 2);
        }
        fake_free(&server);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_resp2_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
