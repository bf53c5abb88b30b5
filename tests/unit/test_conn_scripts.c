/* SPDX-License-Identifier: MIT
 *
 * Scripts that are loaded later: the server has forgotten them.
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

static void scripts_ready(fake *server, uint16_t ring_len)
{
    fake_init(server, 0, 0, ring_len);
    server->config.scripts = scripts;
    server->config.scripts_len = 2;
    fake_start(server);
    rlk_conn_load_scripts(&server->conn, server->now_ms); /* the handshake does it anyway */
    fake_connect(server);
    assert_int_equal(rlk_conn_get_state(&server->conn), RLK_CONN_READY);
    assert_int_equal(count_loads(server), 2);
}

/* Fault 7: loaded anew, before what is submitted later; a thousand callers load them once. */
static void test_conn_scripts_are_loaded_again(void **state)
{
    static fake_request requests[6];
    static const size_t chunks[] = {0, 1};
    fake server;
    size_t i;
    int k;

    (void)state;
    for (i = 0; i < 2; i++) {
        scripts_ready(&server, RLK_CONN_RING_MIN);
        server.chunk = chunks[i];
        fake_submit(&server, &requests[0], 1);
        for (k = 0; k < 1000; k++)
            rlk_conn_load_scripts(&server.conn, server.now_ms);
        for (k = 1; k < 6; k++)
            fake_submit(&server, &requests[k], k + 1);
        assert_int_equal(requests[1].request.state, RLK_REQUEST_QUEUED);
        fake_run(&server);
        assert_int_equal(count_loads(&server), 4);
        for (k = 0; k < 6; k++)
            assert_int_equal(requests[k].replies, 1);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        fake_free(&server);
    }
}

/* A load that was answered in part says nothing of a flush after it. */
static void test_conn_scripts_are_loaded_again_behind_a_load(void **state)
{
    fake server;

    (void)state;
    scripts_ready(&server, 0);
    server.in_max = server.in_len + 47; /* the first answer */
    rlk_conn_load_scripts(&server.conn, server.now_ms);
    fake_run(&server);
    assert_int_equal(count_loads(&server), 4);
    rlk_conn_load_scripts(&server.conn, server.now_ms);
    fake_run(&server);
    assert_int_equal(count_loads(&server), 6);
    server.in_max = SIZE_MAX;
    fake_run(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
    fake_free(&server);
}

/* Asked for again while a script is on its way, whose reply, or that of the one before it, came
 * already: it goes on from where it was. */
static void test_conn_scripts_are_asked_for_while_one_leaves(void **state)
{
    unsigned answered;

    (void)state;
    for (answered = 1; answered <= 2; answered++) {
        fake_request request;
        fake server;
        size_t out_max;

        scripts_ready(&server, 0);
        out_max = server.out_len + 20; /* of 40 bytes */
        rlk_conn_load_scripts(&server.conn, server.now_ms);
        if (answered == 1) { /* the first has left whole, and the second in part */
            server.out_max = out_max + 40;
            fake_run(&server);
        } else {
            server.out_max = out_max;
            (void)fake_take(&server);
            fake_say(&server, "$4\r\nnone\r\n"); /* before it can know which script it is */
            (void)fake_give(&server);
        }
        assert_int_equal(server.in_fed, server.in_len);
        rlk_conn_load_scripts(&server.conn, server.now_ms);
        fake_submit(&server, &request, 1);
        server.out_max = SIZE_MAX;
        while (fake_take(&server)) {
        }
        assert_int_equal(count_loads(&server), 4);
        if (answered == 1) {
            fake_run(&server);
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
            assert_int_equal(request.replies, 1);
        }
        fake_free(&server);
    }
}

/* In use an error is no end: what needs the script will say NOSCRIPT again. */
static void test_conn_script_refused_later(void **state)
{
    static const fake_rule rules[] = {{"SCRIPT", "-OOM no\r\n"}, {NULL, NULL}};
    fake_request request;
    fake server;

    (void)state;
    scripts_ready(&server, 0);
    server.rules = rules;
    rlk_conn_load_scripts(&server.conn, server.now_ms);
    fake_submit(&server, &request, 1);
    fake_run(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_int_equal(request.replies, 1);
    fake_free(&server);
}

/* The segment leaves from its own memory, in pieces, and is cut like all else. */
static void test_conn_script_cut_in_the_middle(void **state)
{
    size_t at;

    (void)state;
    for (at = 0; at <= 80; at++) {
        fake_request request;
        fake server;

        scripts_ready(&server, 0);
        server.chunk = 3;
        server.out_max = server.out_len + at;
        rlk_conn_load_scripts(&server.conn, server.now_ms);
        fake_submit(&server, &request, 1);
        fake_run(&server);
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        if (at < 80) {
            assert_int_equal(request.request.state, RLK_REQUEST_QUEUED);
        } else {
            assert_true(request.maybe_sent);
            fake_submit(&server, &request, 1);
        }
        server.out_max = SIZE_MAX;
        fake_connect(&server);
        assert_int_equal(count_loads(&server), 2);
        assert_int_equal(request.replies, 1);
        fake_free(&server);
    }
}

/* A load that was lost with its stream is none on the next. */
static void test_conn_scripts_are_loaded_again_behind_a_lost_load(void **state)
{
    fake server;

    (void)state;
    scripts_ready(&server, 0);
    server.in_max = server.in_len; /* no answers */
    rlk_conn_load_scripts(&server.conn, server.now_ms);
    fake_run(&server);
    assert_int_equal(count_loads(&server), 4);
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    server.in_max = SIZE_MAX;
    fake_connect(&server);
    assert_int_equal(count_loads(&server), 2);
    rlk_conn_load_scripts(&server.conn, server.now_ms);
    fake_run(&server);
    assert_int_equal(count_loads(&server), 4);
    fake_free(&server);
}

/* ---- Where SCRIPT LOAD is not to be had ---- */

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

/* Fault 103: two hang-ups at what the lock can do without, and the third attempt asks for none of
 * it. It is kept while it works. */
static void test_conn_hang_ups_are_learnt_from(void **state)
{
    static const fake_rule rules[] = {{"HELLO", NULL}, {"EVAL", ":0\r\n"}, {NULL, NULL}};
    fake server;
    int i;

    (void)state;
    fake_init(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
    server.config.scripts = &probed;
    server.config.scripts_len = 1;
    server.rules = rules;
    fake_start(&server);
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

/* What a plain attempt is refused says little of the server: a full one follows. */
static void test_conn_a_refusal_behind_hang_ups_is_not_fatal(void **state)
{
    static const fake_rule rules[] = {{"HELLO", NULL}, {"EVAL", NOPERM}, {NULL, NULL}};
    static const fake_rule later[] = {{"EVALSHA", ":0\r\n"}, {NULL, NULL}};
    fake server;
    int i;

    (void)state;
    fake_init(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
    server.config.scripts = &probed;
    server.config.scripts_len = 1;
    server.rules = rules;
    fake_start(&server);
    for (i = 0; i < 2; i++) {
        fake_connect(&server);
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    }
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
    int i;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.scripts = scripts;
    server.config.scripts_len = 2;
    server.rules = rules;
    fake_start(&server);
    for (i = 0; i < 2; i++) {
        fake_connect(&server);
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    }
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
        cmocka_unit_test(test_conn_scripts_are_loaded_again),
        cmocka_unit_test(test_conn_scripts_are_loaded_again_behind_a_load),
        cmocka_unit_test(test_conn_scripts_are_asked_for_while_one_leaves),
        cmocka_unit_test(test_conn_scripts_are_loaded_again_behind_a_lost_load),
        cmocka_unit_test(test_conn_script_refused_later),
        cmocka_unit_test(test_conn_script_cut_in_the_middle),
        cmocka_unit_test(test_conn_scripts_are_probed),
        cmocka_unit_test(test_conn_scripts_leave_with_the_command),
        cmocka_unit_test(test_conn_hang_ups_are_learnt_from),
        cmocka_unit_test(test_conn_plain_without_a_probe),
        cmocka_unit_test(test_conn_a_refusal_behind_hang_ups_is_not_fatal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
