/* SPDX-License-Identifier: MIT
 *
 * The send list: withdrawal at any byte, and calls in the middle of calls.
 */
#include "fake.h"

#include <string.h>

/* "*2\r\n$4\r\nECHO\r\n$2\r\n10\r\n": numbers from 1 to 9 */
#define ECHO_LEN 22u

/* ---- Withdrawal -------------------------------------------------------------------------- */

static void test_conn_withdraw_by_state(void **state)
{
    static fake_request requests[5];
    fake server;
    fake_request idle;
    int i;

    (void)state;
    memset(&idle, 0, sizeof idle);
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    assert_true(rlk_conn_withdraw(&server.conn, &idle.request));
    fake_submit_all(&server, requests, 5);
    /* in the middle, at the end, at the beginning of the send list */
    assert_true(rlk_conn_withdraw(&server.conn, &requests[2].request));
    assert_true(rlk_conn_withdraw(&server.conn, &requests[4].request));
    assert_true(rlk_conn_withdraw(&server.conn, &requests[0].request));
    for (i = 0; i < 5; i += 2)
        requests[i].withdrawn = true;
    fake_submit(&server, &requests[4], 4);
    rlk_conn_submit(&server.conn, &requests[4].request, server.now_ms); /* already there */
    fake_connect(&server);
    assert_int_equal(requests[1].replies, 1);
    assert_int_equal(requests[3].replies, 1);
    assert_int_equal(requests[4].replies, 1);
    assert_int_equal(requests[0].replies + requests[2].replies, 0);
    fake_free(&server);
}

/* CVE-2023-28858, CVE-2023-28859: withdrawn at whatever byte of the exchange, in either direction,
 * with others in flight: these get their own replies, the withdrawn one gets none (fault 90). */
static void withdraw_at(int victim, bool out, size_t at)
{
    static fake_request requests[3];
    fake_request later;
    fake server;
    size_t begin;
    bool unsent;
    int i;

    fake_ready(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
    server.chunk = 1;
    begin = out ? server.out_len : server.in_len;
    *(out ? &server.out_max : &server.in_max) = begin + at;
    for (i = 0; i < 3; i++) {
        fake_submit(&server, &requests[i], i + 1);
        requests[i].commands = 1;
    }
    fake_run(&server);
    if (requests[victim].request.state == RLK_REQUEST_IDLE) {
        assert_int_equal(requests[victim].replies, 1);
    } else {
        unsent = rlk_conn_withdraw(&server.conn, &requests[victim].request);
        assert_false(unsent);
        requests[victim].withdrawn = true;
    }
    fake_submit(&server, &later, 9);
    server.out_max = SIZE_MAX;
    server.in_max = SIZE_MAX;
    fake_run(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_int_equal(later.replies, 1);
    for (i = 0; i < 3; i++)
        assert_int_equal(requests[i].replies, requests[i].withdrawn ? 0 : 1);
    fake_free(&server);
}

static void test_conn_withdraw_at_every_byte(void **state)
{
    size_t at;
    int victim;

    (void)state;
    for (victim = 0; victim < 3; victim++) {
        for (at = 0; at <= 3 * ECHO_LEN; at++)
            withdraw_at(victim, true, at);
        for (at = 0; at <= 3 * 5; at++)
            withdraw_at(victim, false, at);
    }
}

/* Withdrawn between the first and the second of its replies. */
static void test_conn_withdraw_between_replies(void **state)
{
    fake_request request;
    fake_request next;
    fake server;
    size_t at;

    (void)state;
    for (at = 0; at <= 10; at++) {
        fake_ready(&server, 0, RLK_CONN_RX_MIN, 0);
        memset(&request, 0, sizeof request);
        request.number = 1;
        request.commands = 2;
        rlk_conn_submit(&server.conn, &request.request, server.now_ms);
        fake_submit(&server, &next, 3);
        server.in_max = server.in_len + at;
        fake_run(&server);
        assert_int_equal(request.replies, at / 5);
        rlk_conn_withdraw(&server.conn, &request.request);
        request.withdrawn = true;
        server.in_max = SIZE_MAX;
        fake_run(&server);
        assert_int_equal(next.replies, 1);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        fake_free(&server);
    }
}

/* ---- Calls in the middle of calls -------------------------------------------------------- */

static void again_on_reply(fake *server, fake_request *request, unsigned left)
{
    assert_int_equal(left, 0);
    if (request->number < 900) {
        int number = request->number + 10;

        fake_submit(server, request, number);
    }
}

static void withdraw_on_reply(fake *server, fake_request *request, unsigned left)
{
    (void)request;
    (void)left;
    if (server->spare != NULL) {
        rlk_conn_withdraw(&server->conn, &server->spare->request);
        server->spare->withdrawn = true;
        server->spare = NULL;
    }
}

static void test_conn_submit_and_withdraw_in_a_reply(void **state)
{
    static fake_request requests[10];
    fake server;
    int i;

    (void)state;
    fake_ready(&server, RLK_CONN_TX_MIN, RLK_CONN_RX_MIN, RLK_CONN_RING_MIN);
    server.on_reply = again_on_reply;
    fake_submit_all(&server, requests, 10);
    fake_run(&server);
    for (i = 0; i < 10; i++)
        assert_int_equal(requests[i].number, 900 + i);
    /* one in flight behind it, then one in the send list */
    for (i = 1; i < 10; i += 8) {
        server.on_reply = withdraw_on_reply;
        server.spare = &requests[i];
        fake_submit_all(&server, requests, 10);
        fake_run(&server);
        assert_true(requests[i].withdrawn);
        assert_int_equal(requests[i].replies, 0);
        assert_int_equal(requests[i - 1].replies, 1);
        assert_int_equal(requests[5].replies, 1);
    }
    fake_free(&server);
}

static void again_on_lost(fake *server, fake_request *request)
{
    unsigned lost = request->lost;

    fake_submit(server, request, request->number);
    request->lost = lost;
    if (server->spare != NULL) {
        /* its own loss is still to come, or it was in the send list */
        rlk_conn_withdraw(&server->conn, &server->spare->request);
        server->spare->withdrawn = true;
        server->spare = NULL;
    }
}

static void test_conn_submit_and_withdraw_in_a_loss(void **state)
{
    static fake_request requests[10];
    fake server;
    int victim;
    int i;

    (void)state;
    for (victim = 1; victim < 10; victim += 8) {
        fake_ready(&server, 0, 0, RLK_CONN_RING_MIN);
        server.on_lost = again_on_lost;
        server.spare = &requests[victim];
        fake_submit_all(&server, requests, 10);
        server.in_max = 0;
        rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
        assert_int_equal(server.lost, victim == 1 ? 3 : 4);
        server.in_max = SIZE_MAX;
        fake_connect(&server);
        for (i = 0; i < 10; i++)
            assert_int_equal(requests[i].replies, i == victim ? 0 : 1);
        fake_free(&server);
    }
}

static void submit_on_changed(fake *server)
{
    if (server->spare != NULL) {
        fake_submit(server, server->spare, 5);
        server->spare = NULL;
    }
}

static void test_conn_submit_when_it_becomes_ready(void **state)
{
    fake_request request;
    fake_request other;
    fake server;
    int with_other;

    (void)state;
    for (with_other = 0; with_other < 2; with_other++) {
        fake_init(&server, 0, 0, 0);
        fake_start(&server);
        server.on_changed = submit_on_changed;
        server.spare = &request;
        if (with_other != 0)
            fake_submit(&server, &other, 1);
        fake_connect(&server);
        assert_int_equal(request.replies, 1);
        if (with_other != 0)
            assert_int_equal(other.replies, 1);
        fake_free(&server);
    }
}

/* Its owner has nothing to send after all: it is idle again, and others go on. */
static void test_conn_encode_of_nothing(void **state)
{
    fake server;
    fake_request requests[3];

    (void)state;
    memset(requests, 0, sizeof requests);
    fake_ready(&server, 0, 0, 0);
    fake_submit(&server, &requests[0], 0);
    requests[1].number = 1; /* no commands */
    rlk_conn_submit(&server.conn, &requests[1].request, server.now_ms);
    fake_submit(&server, &requests[2], 2);
    fake_run(&server);
    assert_int_equal(requests[0].replies, 1);
    assert_int_equal(requests[1].replies, 0);
    assert_int_equal(requests[2].replies, 1);
    assert_int_equal(requests[1].request.state, RLK_REQUEST_IDLE);
    assert_true(rlk_conn_withdraw(&server.conn, &requests[1].request));
    assert_int_equal(server.lost, 0);
    fake_submit(&server, &requests[1], 1); /* and can be submitted again */
    fake_run(&server);
    assert_int_equal(requests[1].replies, 1);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_withdraw_by_state),
        cmocka_unit_test(test_conn_withdraw_at_every_byte),
        cmocka_unit_test(test_conn_withdraw_between_replies),
        cmocka_unit_test(test_conn_submit_and_withdraw_in_a_reply),
        cmocka_unit_test(test_conn_submit_and_withdraw_in_a_loss),
        cmocka_unit_test(test_conn_submit_when_it_becomes_ready),
        cmocka_unit_test(test_conn_encode_of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
