/* SPDX-License-Identifier: MIT
 *
 * The ring: each reply goes to the request that it answers and to no other; and what is known of a
 * request whose stream ended.
 */
#include "fake.h"

/* "*2\r\n$4\r\nECHO\r\n$2\r\n10\r\n": numbers from 1 to 9 */
#define ECHO_LEN 22u

/* ---- Order and room ---------------------------------------------------------------------- */

static void test_conn_ring_thousand_requests_through_64(void **state)
{
    static fake_request requests[1000];
    static const size_t chunks[] = {0, 1, 7};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(chunks); i++) {
        fake server;

        fake_ready(&server, 0, 0, 64);
        server.chunk = chunks[i];
        fake_submit_all(&server, requests, 1000);
        assert_int_equal(requests[63].request.state, RLK_REQUEST_SENT);
        assert_int_equal(requests[64].request.state, RLK_REQUEST_QUEUED);
        fake_run(&server);
        fake_assert_answered(requests, 1000);
        assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
        fake_free(&server);
    }
}

/* Full buffer, full ring, smallest window: only later. */
static void test_conn_ring_full_only_delays(void **state)
{
    static fake_request requests[100];
    static const struct {
        size_t tx;
        uint16_t ring;
        int sent; /* at once */
    } rows[] = {{RLK_CONN_TX_MIN, 64, 7}, {4096, RLK_CONN_RING_MIN, RLK_CONN_RING_MIN}};
    size_t i;
    int k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        fake server;

        fake_ready(&server, rows[i].tx, RLK_CONN_RX_MIN, rows[i].ring);
        fake_submit_all(&server, requests, 100);
        for (k = 0; k < 100; k++)
            assert_int_equal(requests[k].request.state,
                             k < rows[i].sent ? RLK_REQUEST_SENT : RLK_REQUEST_QUEUED);
        server.chunk = i == 0 ? 5 : 0;
        fake_run(&server);
        fake_assert_answered(requests, 100);
        fake_free(&server);
    }
}

static void test_conn_ring_several_replies_to_one_request(void **state)
{
    static fake_request requests[40];
    fake server;
    int i;

    (void)state;
    fake_init(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
    fake_start(&server);
    for (i = 0; i < 40; i++) {
        fake_submit(&server, &requests[i], i);
        requests[i].commands = (unsigned)i % 3 + 1;
        requests[i].padding = (unsigned)i % 4;
    }
    assert_int_equal(requests[0].request.state, RLK_REQUEST_QUEUED);
    server.chunk = 1;
    fake_connect(&server);
    fake_assert_answered(requests, 40);
    fake_free(&server);
}

/* ---- Losses ------------------------------------------------------------------------------ */

/* The stream ends after each byte that the driver was shown or sent, and after each byte of the
 * replies: an answered request is not lost, one of which a byte was shown is maybe sent, no other
 * is; in the order of their submission (faults 29, 30, 31). */
static void lose_at(bool out, size_t at, bool eof)
{
    static fake_request requests[6];
    fake server;
    size_t begin;
    size_t shown;
    int i;
    int last = -1;

    fake_ready(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
    server.chunk = 1;
    begin = out ? server.out_len : server.in_len;
    *(out ? &server.out_max : &server.in_max) = begin + at;
    fake_submit_all(&server, requests, 6);
    if (out && at == 0) { /* not even shown */
        shown = 0;
    } else {
        fake_run(&server);
        shown = SIZE_MAX;
    }
    if (eof) {
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    } else {
        if (rlk_conn_deadline(&server.conn) == RLK_NEVER) {
            fake_free(&server);
            return;
        }
        server.now_ms = rlk_conn_deadline(&server.conn);
        rlk_conn_tick(&server.conn, server.now_ms);
        fake_close(&server);
    }
    assert_result(rlk_conn_result(&server.conn), eof ? RLK_E_EOF : RLK_E_RESPONSE_TIMEOUT);
    for (i = 0; i < 6; i++) {
        bool queued = requests[i].request.state == RLK_REQUEST_QUEUED;

        assert_int_equal(requests[i].replies + requests[i].lost + queued, 1);
        if (requests[i].lost != 0) {
            assert_int_equal(requests[i].maybe_sent, shown != 0);
            assert_true(i > last);
            last = i;
        }
    }
    fake_free(&server);
}

static void test_conn_lost_at_every_byte(void **state)
{
    size_t at;

    (void)state;
    for (at = 0; at <= 6 * ECHO_LEN; at++) {
        lose_at(true, at, true);
        lose_at(true, at, false);
    }
    for (at = 0; at <= 6 * 5; at++) {
        lose_at(false, at, true);
        lose_at(false, at, false);
    }
}

static void test_conn_maybe_sent_is_exact(void **state)
{
    size_t acked;

    (void)state;
    for (acked = 0; acked <= 3 * ECHO_LEN; acked++) {
        static fake_request requests[4];
        fake server;
        size_t len;
        int i;

        fake_ready(&server, 0, 0, 0);
        for (i = 0; i < 3; i++)
            fake_submit(&server, &requests[i], i + 1);
        (void)rlk_conn_tx_buf(&server.conn, &len);
        assert_int_equal(len, 3 * ECHO_LEN);
        rlk_conn_tx_ack(&server.conn, acked, server.now_ms);
        fake_submit(&server, &requests[3], 4); /* behind what was shown */
        rlk_conn_closed(&server.conn, RLK_E_IO, 104, server.now_ms);
        assert_int_equal(server.lost, 4);
        assert_int_equal(server.last_lost, 4);
        for (i = 0; i < 4; i++)
            assert_int_equal(requests[i].maybe_sent, i < 3);
        assert_result(rlk_conn_result(&server.conn), RLK_E_IO);
        assert_int_equal(rlk_conn_errno(&server.conn), 104);
        fake_free(&server);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_ring_thousand_requests_through_64),
        cmocka_unit_test(test_conn_ring_full_only_delays),
        cmocka_unit_test(test_conn_ring_several_replies_to_one_request),
        cmocka_unit_test(test_conn_lost_at_every_byte),
        cmocka_unit_test(test_conn_maybe_sent_is_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
