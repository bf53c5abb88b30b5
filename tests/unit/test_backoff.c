/* SPDX-License-Identifier: MIT
 *
 * Pauses between two attempts to connect.
 */
#include "fake.h"

static int64_t next_wait(fake *server)
{
    server->now_ms = rlk_conn_deadline(&server->conn);
    rlk_conn_tick(&server->conn, server->now_ms);
    rlk_conn_connecting(&server->conn, server->now_ms);
    rlk_conn_closed(&server->conn, RLK_E_CONNECT, 111, server->now_ms);
    return rlk_conn_deadline(&server->conn) - server->now_ms;
}

static void test_conn_backoff_is_bounded_and_jittered(void **state)
{
    static const struct {
        int64_t min;
        int64_t max;
        int64_t bounds[8];
    } rows[] = {
        {0, 0, {50, 100, 200, 400, 800, 1600, 2000, 2000}},
        {1, 5, {1, 2, 4, 5, 5, 5, 5, 5}},
        {1, 1, {1, 1, 1, 1, 1, 1, 1, 1}},
        {100, 10, {10, 10, 10, 10, 10, 10, 10, 10}}, /* the cap is the cap */
        {RLK_TIME_LIMIT_MAX, RLK_TIME_LIMIT_MAX, {RLK_TIME_LIMIT_MAX, RLK_TIME_LIMIT_MAX}},
    };
    size_t i;
    uint32_t seed;
    int k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        int64_t least = INT64_MAX;
        int64_t most = 0;

        for (seed = 0; seed < 200; seed++) {
            fake server;

            fake_init(&server, 0, 0, 0);
            server.config.backoff_min_ms = rows[i].min;
            server.config.backoff_max_ms = rows[i].max;
            server.config.jitter_seed = seed * 2654435761u;
            fake_start(&server);
            for (k = 0; k < 8 && rows[i].bounds[k] != 0; k++) {
                int64_t wait = next_wait(&server);

                assert_between(wait, 1, rows[i].bounds[k]);
                if (k == 1) {
                    least = wait < least ? wait : least;
                    most = wait > most ? wait : most;
                }
            }
            fake_free(&server);
        }
        /* full jitter: the whole range is used, by different clients differently */
        assert_true(least <= 1 + rows[i].bounds[1] / 10);
        assert_true(most >= rows[i].bounds[1] - rows[i].bounds[1] / 10);
    }
}

/* Fault 117: not after a good handshake alone, but when a request was answered, or the stream has
 * lasted. */
static void test_fault_117_backoff_begins_anew(void **state)
{
    fake server;
    int round;
    int i;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    for (round = 0; round < 50; round++) {
        for (i = 0; i < 7; i++)
            (void)next_wait(&server);
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        if (round % 2 == 0) {
            fake_request request;

            fake_submit(&server, &request, 1);
            fake_run(&server);
            fake_assert_answered(&request, 1);
        } else {
            server.now_ms += RLK_BACKOFF_MAX_MS;
        }
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        assert_between(rlk_conn_deadline(&server.conn) - server.now_ms, 1, RLK_BACKOFF_MIN_MS);
    }
    fake_free(&server);
}

/* Fault 117: a peer that closes after each good handshake. */
static void test_fault_117_backoff_grows_while_nothing_is_answered(void **state)
{
    int64_t begun;
    fake server;
    int connects;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    begun = server.now_ms;
    for (connects = 0; server.now_ms - begun < 60000; connects++) {
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        server.now_ms = rlk_conn_deadline(&server.conn);
        rlk_conn_tick(&server.conn, server.now_ms);
    }
    assert_between(connects, 20, 120); /* one a second in the end */
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_backoff_is_bounded_and_jittered),
        cmocka_unit_test(test_fault_117_backoff_begins_anew),
        cmocka_unit_test(test_fault_117_backoff_grows_while_nothing_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
