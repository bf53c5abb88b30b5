/* SPDX-License-Identifier: MIT
 *
 * Time limits of a connection.
 */
#include "fake.h"

/* Every token of a reply is progress, a push is none (fault 32, and a dripping server). */
static void test_conn_progress_keeps_the_stream(void **state)
{
    fake_request request;
    fake server;
    int64_t begun;
    int i;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.response_timeout_ms = 100;
    fake_start(&server);
    fake_connect(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
    fake_submit(&server, &request, 1);
    begun = server.now_ms;
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 100);
    while (fake_take(&server))
        ;
    server.in_len = server.in_fed;
    server.now_ms = begun + 60;
    fake_say(&server, ">1\r\n+x\r\n");
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 100);
    fake_say(&server, "|1\r\n+x\r\n:1\r\n");
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 100);
    fake_say(&server, "*10\r\n");
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + 160);
    for (i = 0; i < 9; i++) {
        server.now_ms += 99;
        rlk_conn_tick(&server.conn, server.now_ms);
        fake_say(&server, ":1\r\n");
        fake_run(&server);
    }
    assert_int_equal(rlk_conn_deadline(&server.conn), server.now_ms + 100);
    fake_say(&server, ":1"); /* half a token is none */
    server.now_ms += 100;
    fake_run(&server);
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_result(rlk_conn_result(&server.conn), RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(request.lost, 1);
    assert_true(request.maybe_sent);
    fake_free(&server);
}

/* New requests are no progress of the old ones: else a busy client would never notice. */
static void test_conn_submitting_is_no_progress(void **state)
{
    fake_request requests[2];
    fake server;
    int64_t begun;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    server.in_max = server.in_len;
    begun = server.now_ms;
    fake_submit(&server, &requests[0], 1);
    server.now_ms += RLK_RESPONSE_TIMEOUT_MS - 1;
    fake_submit(&server, &requests[1], 2);
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), begun + RLK_RESPONSE_TIMEOUT_MS);
    server.now_ms++;
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_result(rlk_conn_result(&server.conn), RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(server.lost, 2);
    fake_free(&server);
}

/* The reply to an abandoned request is still due. */
static void test_conn_abandoned_reply_must_come_too(void **state)
{
    fake_request request;
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    server.in_max = server.in_len;
    fake_submit(&server, &request, 1);
    fake_run(&server);
    assert_false(rlk_conn_withdraw(&server.conn, &request.request));
    server.now_ms += RLK_RESPONSE_TIMEOUT_MS;
    rlk_conn_tick(&server.conn, server.now_ms);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_RESPONSE_TIMEOUT);
    assert_int_equal(server.lost, 0);
    fake_free(&server);
}

static void test_conn_idle_stream_has_no_deadline(void **state)
{
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    server.now_ms += RLK_TIME_LIMIT_MAX;
    rlk_conn_tick(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_progress_keeps_the_stream),
        cmocka_unit_test(test_conn_submitting_is_no_progress),
        cmocka_unit_test(test_conn_abandoned_reply_must_come_too),
        cmocka_unit_test(test_conn_idle_stream_has_no_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
