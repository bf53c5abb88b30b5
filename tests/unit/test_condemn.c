/* SPDX-License-Identifier: MIT
 *
 * Errors that condemn the stream (faults 92 to 95): which, how often, and what becomes of the
 * command, of the others in flight, and of the address.
 */
#include "fake.h"

#include <string.h>

#define READONLY   "-READONLY You can't write against a read only replica.\r\n"
#define NOAUTH     "-NOAUTH Authentication required.\r\n"
#define LOADING    "-LOADING Redis is loading the dataset in memory\r\n"
#define MASTERDOWN "-MASTERDOWN Link with MASTER is down\r\n"

/* A server that answers so to all requests. */
static const char *said;
static fake_rule rules[12];

static void rules_say(const char *answer)
{
    size_t i;

    said = answer;
    rules[0].command = "ECHO";
    rules[0].reply = said;
    for (i = 0; fake_good_server[i].command != NULL; i++)
        rules[i + 1] = fake_good_server[i];
    assert_true(i + 1 < COUNT_OF(rules));
    rules[i + 1].command = NULL;
}

static void start(fake *server, const char *answer)
{
    rules_say(answer);
    fake_init(server, 0, 0, 0);
    server->rules = rules;
    server->peer = 11;
    fake_start(server);
    fake_connect(server);
    assert_int_equal(rlk_conn_get_state(&server->conn), RLK_CONN_READY);
}

/* Sends a request; true if the stream ends for its answer. */
static bool ask(fake *server, fake_request *request)
{
    fake_submit(server, request, 1);
    fake_run(server);
    assert_int_equal(request->replies + request->lost, 1);
    assert_int_equal(rlk_conn_get_state(&server->conn),
                     request->lost != 0 ? RLK_CONN_CLOSING : RLK_CONN_READY);
    return request->lost != 0;
}

static void connect_to(fake *server, uint64_t peer)
{
    fake_close(server);
    assert_int_equal(rlk_conn_get_state(&server->conn), RLK_CONN_WAITING);
    server->peer = peer;
    fake_connect(server);
    assert_int_equal(rlk_conn_get_state(&server->conn), RLK_CONN_READY);
}

/* The command is lost as one that was never sent: refused for certain. */
static void test_conn_condemn_at_once(void **state)
{
    static const struct {
        const char *answer;
        rlk_result result;
    } rows[] = {
        {READONLY, RLK_E_READONLY},
        {"-ERR Error running script (call to f_0): @user_script: 1: -READONLY You can't\r\n",
         RLK_E_READONLY},
        {NOAUTH, RLK_E_NOAUTH}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        fake_request request;
        fake server;

        start(&server, rows[i].answer);
        assert_false(rlk_conn_is_condemned(&server.conn, 11));
        assert_true(ask(&server, &request));
        assert_false(request.maybe_sent);
        assert_result(rlk_conn_result(&server.conn), rows[i].result);
        if (RLKI_CONN_TEXT == RLK_CONN_TEXT) /* it may be at the end of a script's error */
            assert_non_null(strstr(rlk_conn_text(&server.conn), i < 2 ? "READONLY" : "NOAUTH"));
        assert_int_equal(rlk_conn_wants(&server.conn), RLK_WANT_CLOSE);
        assert_true(rlk_conn_is_condemned(&server.conn, 11));
        assert_false(rlk_conn_is_condemned(&server.conn, 12));
        fake_close(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING); /* never fatal */
        assert_result(rlk_conn_result(&server.conn), rows[i].result);
        /* nothing is left of it to be fenced */
        server.commands[0] = '\0';
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        assert_true(rlk_conn_fenced(&server.conn));
        assert_null(strstr(server.commands, "CLIENT KILL"));
        fake_free(&server);
    }
}

/* What is in flight behind it is lost, and fenced. */
static void test_conn_condemn_fences_the_others(void **state)
{
    fake_request requests[3];
    fake server;

    (void)state;
    start(&server, READONLY);
    fake_submit_all(&server, requests, 3);
    fake_run(&server);
    assert_int_equal(server.lost, 3);
    assert_false(requests[0].maybe_sent);
    assert_true(requests[1].maybe_sent);
    assert_true(requests[2].maybe_sent);
    fake_close(&server);
    server.commands[0] = '\0';
    fake_connect(&server);
    assert_true(strstr(server.commands, "CLIENT KILL") != NULL);
    assert_true(rlk_conn_fenced(&server.conn));
    fake_free(&server);
}

/* A request that was given up, and one of several replies, count as well. */
static void test_conn_condemn_by_any_reply(void **state)
{
    fake_request request;
    fake server;

    (void)state;
    start(&server, READONLY);
    fake_submit(&server, &request, 1);
    while (fake_take(&server))
        ;
    assert_false(rlk_conn_withdraw(&server.conn, &request.request));
    request.withdrawn = true;
    fake_run(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSING);
    assert_int_equal(request.lost, 0);
    fake_free(&server);

    start(&server, READONLY);
    memset(&request, 0, sizeof request);
    request.commands = 2;
    rlk_conn_submit(&server.conn, &request.request, server.now_ms);
    fake_run(&server);
    assert_int_equal(request.lost, 1);
    assert_int_equal(request.replies, 0);
    assert_false(request.maybe_sent);
    fake_close(&server);
    fake_connect(&server);
    assert_true(strstr(server.commands, "CLIENT KILL") != NULL); /* the second one is */
    fake_free(&server);
}

/* One address that stays a replica: its errors are the command's own, except one in some seconds.
 */
static void test_conn_condemn_is_rare(void **state)
{
    fake_request request;
    int64_t begun;
    fake server;
    int condemned = 0;
    int own = 0;

    (void)state;
    start(&server, READONLY);
    begun = server.now_ms;
    while (server.now_ms - begun < 10 * RLK_CONDEMN_MS) {
        if (ask(&server, &request)) {
            condemned++;
            connect_to(&server, 11);
        } else {
            assert_result(server.reply.error, RLK_E_READONLY);
            own++;
            server.now_ms += 50;
        }
    }
    assert_between(condemned, 7, 10);
    assert_true(own > 100);
    fake_free(&server);
}

/* Each of several addresses once in a round; the next round not before its time. */
static void test_conn_condemn_goes_round(void **state)
{
    fake_request request;
    fake server;
    uint64_t peer;
    int64_t begun;

    (void)state;
    start(&server, READONLY);
    begun = server.now_ms;
    assert_true(ask(&server, &request));
    for (peer = 12; peer <= 14; peer++) {
        connect_to(&server, peer);
        assert_true(ask(&server, &request));
        assert_true(rlk_conn_is_condemned(&server.conn, peer));
        assert_false(rlk_conn_is_condemned(&server.conn, peer - 1)); /* one at most */
    }
    connect_to(&server, 11);
    assert_false(ask(&server, &request));
    server.now_ms = begun + RLK_CONDEMN_MS - 1;
    assert_false(ask(&server, &request));
    server.now_ms = begun + RLK_CONDEMN_MS + 1;
    assert_true(ask(&server, &request));
    connect_to(&server, 12);
    assert_true(ask(&server, &request));
    connect_to(&server, 12); /* there was no other */
    assert_false(ask(&server, &request));
    fake_free(&server);
}

/* From address to address is a way that backs off, whatever was answered on it. */
static void test_conn_condemn_backs_off(void **state)
{
    fake_request request;
    fake server;
    int64_t waited = 0;
    int i;

    (void)state;
    start(&server, READONLY);
    assert_true(ask(&server, &request));
    for (i = 0; i < 12; i++) {
        fake_close(&server);
        waited += rlk_conn_deadline(&server.conn) - server.now_ms;
        connect_to(&server, 100 + (uint64_t)i);
        rules_say("+OK\r\n");
        assert_false(ask(&server, &request));
        rules_say(READONLY);
        if (!ask(&server, &request))
            break;
    }
    assert_true(waited > RLK_BACKOFF_MAX_MS);
    fake_free(&server);
}

/* LOADING and MASTERDOWN pass without help, most often. */
static void test_conn_condemn_what_lasts(void **state)
{
    static const char *const answers[] = {LOADING, MASTERDOWN};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(answers); i++) {
        fake_request request;
        int64_t begun;
        fake server;

        start(&server, answers[i]);
        server.now_ms += 24 * 3600 * 1000; /* without a request, nothing lasts */
        begun = server.now_ms;
        while (server.now_ms < begun + RLK_CONDEMN_MS) {
            assert_false(ask(&server, &request));
            server.now_ms += 100;
        }
        rules_say("+OK\r\n"); /* it works again: that was not the end */
        assert_false(ask(&server, &request));
        rules_say(answers[i]);
        begun = server.now_ms;
        while (server.now_ms < begun + RLK_CONDEMN_MS) {
            assert_false(ask(&server, &request));
            server.now_ms += 100;
        }
        server.now_ms++;
        assert_true(ask(&server, &request));
        assert_true(rlk_conn_is_condemned(&server.conn, 11));
        connect_to(&server, 12); /* which has its own time */
        assert_false(ask(&server, &request));
        fake_free(&server);
    }
}

/* A handshake that ends so: the address too, and the attempt fails as before. */
static void test_conn_condemn_in_the_handshake(void **state)
{
    static const struct {
        const char *command;
        const char *answer;
        rlk_result result;
        bool condemned;
    } rows[] = {
        {"HELLO", MASTERDOWN, RLK_E_MASTERDOWN, true},
        {"HELLO", LOADING, RLK_E_LOADING, true},
        {"HELLO", "-BUSY a script\r\n", RLK_E_SCRIPT_BUSY, false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        fake server;

        rules_say("+OK\r\n");
        rules[0].command = rows[i].command;
        rules[0].reply = rows[i].answer;
        fake_init(&server, 0, 0, 0);
        server.rules = rules;
        server.peer = 11;
        fake_start(&server);
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSING);
        fake_close(&server);
        assert_result(rlk_conn_result(&server.conn), rows[i].result);
        assert_int_equal(rlk_conn_is_condemned(&server.conn, 11), rows[i].condemned);
        fake_free(&server);
    }
}

/* NOAUTH to the next handshake is the credentials' fault: fatal (fault 94). */
static void test_conn_condemn_noauth_again(void **state)
{
    fake_request request;
    fake server;

    (void)state;
    start(&server, NOAUTH);
    assert_true(ask(&server, &request));
    rules[0].command = ""; /* any */
    fake_close(&server);
    fake_connect(&server);
    fake_close(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_FATAL);
    assert_result(rlk_conn_result(&server.conn), RLK_E_AUTH);
    fake_free(&server);
}

/* All that was condemned is forgotten. */
static void test_conn_condemn_and_reset(void **state)
{
    fake_request request;
    fake server;

    (void)state;
    start(&server, READONLY);
    assert_true(ask(&server, &request));
    rlk_conn_reset(&server.conn, server.now_ms);
    connect_to(&server, 11);
    assert_false(rlk_conn_is_condemned(&server.conn, 11));
    assert_true(ask(&server, &request)); /* within the time of a round */
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_condemn_at_once),
        cmocka_unit_test(test_conn_condemn_fences_the_others),
        cmocka_unit_test(test_conn_condemn_by_any_reply),
        cmocka_unit_test(test_conn_condemn_is_rare),
        cmocka_unit_test(test_conn_condemn_goes_round),
        cmocka_unit_test(test_conn_condemn_backs_off),
        cmocka_unit_test(test_conn_condemn_what_lasts),
        cmocka_unit_test(test_conn_condemn_in_the_handshake),
        cmocka_unit_test(test_conn_condemn_noauth_again),
        cmocka_unit_test(test_conn_condemn_and_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
