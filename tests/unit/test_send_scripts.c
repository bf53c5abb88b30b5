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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_scripts_are_loaded_again),
        cmocka_unit_test(test_conn_scripts_are_loaded_again_behind_a_load),
        cmocka_unit_test(test_conn_scripts_are_asked_for_while_one_leaves),
        cmocka_unit_test(test_conn_scripts_are_loaded_again_behind_a_lost_load),
        cmocka_unit_test(test_conn_script_refused_later),
        cmocka_unit_test(test_conn_script_cut_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
