/* SPDX-License-Identifier: MIT
 *
 * The steps SCRIPT LOAD, EVALSHA and EVAL: where SCRIPT LOAD is refused.
 */
#include "fake.h"

#include <string.h>

#define PROBE   "*3\r\n$7\r\nEVALSHA\r\n$1\r\nx\r\n$1\r\n0\r\n"
#define REFUSED "-ERR unsupported command\r\n"
#define FORGOT  "-NOSCRIPT No matching script.\r\n"
#define BEGIN   "HELLO 3;INFO server;"
#define LOADING "-LOADING Redis is loading the dataset in memory\r\n"
#define NOPERM  "-NOPERM no\r\n"

static const rlk_conn_script probed = {"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n",
                                       PROBE, 40};

/* Faults 102 and 105: the script can run before the first command leaves, or the attempt fails. */
static void test_conn_scripts_are_probed(void **state)
{
    static const struct {
        fake_rule rules[4];
        rlk_conn_state state;
        rlk_result result;
        const char *step;
        const char *commands;
    } rows[] = {
        {{{"EVALSHA", ":0\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         "",
         BEGIN "SCRIPT LOAD return 1;EVALSHA x 0;"},
        /* words that nobody knows: proxies want keys */
        {{{"EVALSHA", REFUSED}},
         RLK_CONN_READY,
         RLK_OK,
         "",
         BEGIN "SCRIPT LOAD return 1;EVALSHA x 0;"},
        {{{"EVALSHA", FORGOT}}, RLK_CONN_READY, RLK_OK, "", NULL},
        {{{"EVALSHA", "-ERR unknown command DEL\r\n"}},
         RLK_CONN_FATAL,
         RLK_E_UNSUPPORTED,
         "EVALSHA",
         NULL},
        {{{"EVALSHA", NOPERM}}, RLK_CONN_FATAL, RLK_E_NOPERM, "EVALSHA", NULL},
        {{{"EVALSHA", LOADING}}, RLK_CONN_WAITING, RLK_E_LOADING, "EVALSHA", NULL},
        {{{"EVALSHA", "-BUSY Redis is busy\r\n"}},
         RLK_CONN_WAITING,
         RLK_E_SCRIPT_BUSY,
         "EVALSHA",
         NULL},
        /* it is there already */
        {{{"SCRIPT", REFUSED}, {"EVALSHA", ":0\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         "",
         BEGIN "SCRIPT LOAD return 1;EVALSHA x 0;"},
        {{{"SCRIPT", NOPERM}, {"EVALSHA", FORGOT}, {"EVAL", ":0\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         "",
         BEGIN "SCRIPT LOAD return 1;EVALSHA x 0;EVAL return 1 0;"},
        {{{"SCRIPT", REFUSED}, {"EVALSHA", REFUSED}, {"EVAL", ":0\r\n"}},
         RLK_CONN_READY,
         RLK_OK,
         "",
         BEGIN "SCRIPT LOAD return 1;EVALSHA x 0;EVAL return 1 1 resplock;"},
        {{{"SCRIPT", NOPERM}, {"EVALSHA", NOPERM}, {"EVAL", NOPERM}},
         RLK_CONN_FATAL,
         RLK_E_NOPERM,
         "SCRIPT LOAD, EVAL",
         NULL},
        {{{"SCRIPT", "-ERR unknown command\r\n"},
          {"EVALSHA", "-ERR unknown command\r\n"},
          {"EVAL", "-ERR unknown command DEL\r\n"}},
         RLK_CONN_FATAL,
         RLK_E_UNSUPPORTED,
         "SCRIPT LOAD, EVAL",
         NULL},
        /* a proxy whose server is down */
        {{{"SCRIPT", REFUSED}, {"EVALSHA", REFUSED}, {"EVAL", "-upstream failure\r\n"}},
         RLK_CONN_WAITING,
         RLK_E_SERVER,
         "SCRIPT LOAD, EVAL",
         NULL},
        {{{"SCRIPT", LOADING}, {"EVALSHA", ":0\r\n"}},
         RLK_CONN_WAITING,
         RLK_E_LOADING,
         "SCRIPT LOAD",
         NULL},
    };
    size_t i;
    size_t chunk;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (chunk = 0; chunk < 3; chunk++) {
            fake server;

            fake_init(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
            server.config.scripts = &probed;
            server.config.scripts_len = 1;
            server.rules = rows[i].rules;
            server.chunk = chunk;
            fake_start(&server);
            fake_connect(&server);
            fake_close(&server);
            assert_int_equal(rlk_conn_get_state(&server.conn), rows[i].state);
            assert_result(rlk_conn_result(&server.conn), rows[i].result);
            assert_string_equal(rlk_conn_step(&server.conn), rows[i].step);
            if (rows[i].commands != NULL)
                assert_string_equal(server.commands, rows[i].commands);
            fake_free(&server);
        }
    }
}

static unsigned eval_encode(void *context, rlk_conn *conn, rlk_request *request,
                            rlk_resp_writer *writer)
{
    (void)context;
    (void)request;
    rlk_resp_put_command(writer, 4);
    if ((rlk_conn_server(conn) & RLK_SERVER_EVAL) != 0)
        rlk_conn_put_script(conn, writer);
    else
        rlk_resp_put_raw(writer, "$7\r\nEVALSHA\r\n$1\r\nx\r\n", 20);
    rlk_resp_put_integer(writer, 1);
    rlk_resp_put_integer(writer, 7);
    return 1;
}

/* Fault 102: the script leaves in the middle of a command, from where it is, at whatever bytes the
 * driver stops; what is submitted meanwhile goes behind, and replies find their requests. */
static void test_conn_scripts_leave_with_the_command(void **state)
{
    static const fake_rule rules[] = {{"SCRIPT", REFUSED},
                                      {"EVALSHA x 1", FORGOT},
                                      {"EVALSHA", REFUSED},
                                      {"EVAL", ":10\r\n"},
                                      {NULL, NULL}};
    static fake_request requests[5];
    size_t chunk;
    int i;

    (void)state;
    for (chunk = 0; chunk < 40; chunk++) {
        fake server;

        fake_init(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
        server.config.scripts = &probed;
        server.config.scripts_len = 1;
        server.calls.encode = eval_encode;
        server.rules = rules;
        server.chunk = chunk;
        fake_start(&server);
        fake_connect(&server);
        assert_int_equal(rlk_conn_server(&server.conn) & RLK_SERVER_EVAL, 0);
        fake_submit(&server, &requests[0], 1);
        fake_run(&server);
        assert_int_equal(server.reply.error, RLK_E_NOSCRIPT);
        rlk_conn_load_scripts(&server.conn, server.now_ms);
        for (i = 1; i < 5; i++)
            fake_submit(&server, &requests[i], 1);
        fake_run(&server);
        fake_assert_answered(requests, 5);
        assert_string_equal(strstr(server.commands, "EVALSHA x 1"),
                            "EVALSHA x 1 7;EVAL return 1 1 7;EVAL return 1 1 7;"
                            "EVAL return 1 1 7;EVAL return 1 1 7;");
        fake_free(&server);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_scripts_are_probed),
        cmocka_unit_test(test_conn_scripts_leave_with_the_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
