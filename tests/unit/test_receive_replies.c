/* SPDX-License-Identifier: MIT
 *
 * What comes beside and instead of the replies that are due: pushes, long ones, ones of any type,
 * and ones after which the stream is not to be trusted any more.
 */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

/* ---- What comes in between, and what is long ---------------------------------------------- */

static void test_conn_pushes_and_attributes_are_no_replies(void **state)
{
    static const char *const noises[] = {
        ">2\r\n+invalidate\r\n*1\r\n$3\r\nfoo\r\n",
        ">1\r\n_\r\n",
        "|1\r\n+ttl\r\n:3600\r\n",
        "|1\r\n+key\r\n*2\r\n:1\r\n:2\r\n>3\r\n+a\r\n+b\r\n+c\r\n",
    };
    size_t i;
    size_t chunk;

    (void)state;
    for (i = 0; i < COUNT_OF(noises); i++) {
        for (chunk = 0; chunk < 9; chunk++) {
            static fake_request requests[3];
            fake server;

            fake_ready(&server, 0, RLK_CONN_RX_MIN, 0);
            fake_submit_all(&server, requests, 3);
            while (fake_take(&server))
                ;
            server.in_len = server.in_fed; /* the server's own answers are not used */
            server.chunk = chunk;
            fake_say(&server, noises[i]);
            fake_say(&server, ":0\r\n");
            fake_say(&server, noises[i]);
            fake_say(&server, noises[i % 2]);
            fake_say(&server, ":10\r\n");
            fake_say(&server, noises[i]);
            fake_say(&server, ":20\r\n");
            fake_say(&server, noises[i % 2]);
            fake_run(&server);
            fake_assert_answered(requests, 3);
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
            fake_free(&server);
        }
    }
}

static void test_conn_push_to_an_idle_connection(void **state)
{
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    fake_say(&server, ">2\r\n+invalidate\r\n_\r\n");
    fake_run(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
    fake_free(&server);
}

static void say_long(fake *server, const char *head, size_t len, const char *tail)
{
    char *text = (char *)malloc(len);

    assert_non_null(text);
    memset(text, 'z', len);
    fake_say(server, head);
    fake_say_bytes(server, text, len);
    fake_say(server, tail);
    free(text);
}

/* Strings as they are handed over, with a window of 64 bytes. */
static void test_conn_replies_of_any_type_and_length(void **state)
{
    static const struct {
        const char *head;
        size_t zs;
        const char *tail;
        rlk_resp_type type;
        int64_t value;
        const char *data; /* NULL: none */
        rlk_result error;
    } rows[] = {
        {"$3\r\nfoo\r\n", 0, "", RLK_RESP_BULK, 3, "foo", RLK_OK},
        {"$0\r\n\r\n", 0, "", RLK_RESP_BULK, 0, "", RLK_OK},
        {"+PONG\r\n", 0, "", RLK_RESP_SIMPLE, 4, "PONG", RLK_OK},
        {"$62\r\n", 62, "\r\n", RLK_RESP_BULK, 62, "zz", RLK_OK},
        {"$63\r\n", 63, "\r\n", RLK_RESP_BULK, 63, NULL, RLK_OK},
        {"$100000\r\n", 100000, "\r\n", RLK_RESP_BULK, 100000, NULL, RLK_OK},
        {"$?\r\n;500\r\n", 500, "\r\n;3\r\nfoo\r\n;0\r\n", RLK_RESP_BULK, -1, NULL, RLK_OK},
        {"+", 1000, "\r\n", RLK_RESP_SIMPLE, -1, NULL, RLK_OK},
        {"$-1\r\n", 0, "", RLK_RESP_NULL, 0, NULL, RLK_OK},
        {"*-1\r\n", 0, "", RLK_RESP_NULL, 1, NULL, RLK_OK}, /* fault 113 */
        {"_\r\n", 0, "", RLK_RESP_NULL, 0, NULL, RLK_OK},
        {"#t\r\n", 0, "", RLK_RESP_BOOLEAN, 1, NULL, RLK_OK},
        {",1.5\r\n", 0, "", RLK_RESP_DOUBLE, 3, "1.5", RLK_OK},
        {"*3\r\n:1\r\n$200\r\n", 200, "\r\n:3\r\n", RLK_RESP_ARRAY, 3, NULL, RLK_OK},
        {"%?\r\n+a\r\n:1\r\n.\r\n", 0, "", RLK_RESP_MAP, -1, NULL, RLK_OK},
        {"~0\r\n", 0, "", RLK_RESP_SET, 0, NULL, RLK_OK},
        {"*2\r\n-ERR in it\r\n:1\r\n", 0, "", RLK_RESP_ARRAY, 2, NULL, RLK_OK},
        {"-LOADING You can't\r\n", 0, "", RLK_RESP_ERROR, 17, "LOADING You can't", RLK_E_LOADING},
        {"!21\r\nOOM command not allow\r\n", 0, "", RLK_RESP_BLOB_ERROR, 21,
         "OOM command not allow", RLK_E_OOM},
        /* a short error, over-read by others (libvalkey 02c21b2) */
        {"-MO\r\n", 0, "", RLK_RESP_ERROR, 2, "MO", RLK_E_SERVER},
        {"-\r\n", 0, "", RLK_RESP_ERROR, 0, "", RLK_E_SERVER},
        {"-MISCONF ", 3000, "\r\n", RLK_RESP_ERROR, -1, "MISCONF zz", RLK_E_MISCONF},
        {"!307\r\nNOPERM ", 300, "\r\n", RLK_RESP_BLOB_ERROR, 307, "NOPERM zz", RLK_E_NOPERM},
        {"$9\r\n+not me\r\n\r\n", 0, "", RLK_RESP_BULK, 9, "+not me\r\n", RLK_OK},
    };
    static const size_t chunks[] = {0, 1, 13};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (k = 0; k < COUNT_OF(chunks); k++) {
            fake_request request;
            fake_request next;
            fake server;

            fake_ready(&server, 0, RLK_CONN_RX_MIN, 0);
            fake_submit(&server, &request, 1);
            while (fake_take(&server))
                ;
            server.in_len = server.in_fed;
            server.chunk = chunks[k];
            say_long(&server, rows[i].head, rows[i].zs, rows[i].tail);
            fake_run(&server);
            assert_int_equal(request.replies, 1);
            assert_int_equal(server.reply.type, rows[i].type);
            if (server.reply.value != -1 || rows[i].type != RLK_RESP_SIMPLE)
                assert_int_equal(server.reply.value, rows[i].value);
            assert_result(server.reply.error, rows[i].error);
            if (rows[i].data != NULL) {
                assert_memory_equal(server.reply_data, rows[i].data, strlen(rows[i].data));
                if (rows[i].error != RLK_OK)
                    assert_memory_equal(rlk_conn_text(&server.conn), rows[i].data,
                                        strlen(rows[i].data));
            } else {
                assert_int_equal(server.reply.len, 0);
            }
            fake_submit(&server, &next, 2);
            fake_run(&server);
            assert_int_equal(next.replies, 1);
            fake_free(&server);
        }
    }
}

/* ---- The stream is not to be trusted any more -------------------------------------------- */

static void test_conn_poisoned_stream_is_not_read_on(void **state)
{
    static const struct {
        const char *bytes;
        unsigned replies;
        rlk_result result;
    } rows[] = {
        /* malformed */
        {"$3\r\nfooXX:0\r\n:10\r\n", 0, RLK_E_PROTOCOL},
        {":0\r\n:1x\r\n:10\r\n", 1, RLK_E_PROTOCOL},
        {":0\r\n*4294967295\r\n", 1, RLK_E_PROTOCOL},
        {"hello\r\n", 0, RLK_E_PROTOCOL},
        /* fault 40: one more than asked for */
        {":0\r\n:10\r\n:20\r\n", 2, RLK_E_UNSOLICITED},
        {":0\r\n:10\r\n-ERR max number of clients reached\r\n", 2, RLK_E_UNSOLICITED},
        {":0\r\n:10\r\n$4\r\nabcd", 2, RLK_E_UNSOLICITED},
    };
    size_t i;
    size_t chunk;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (chunk = 0; chunk < 2; chunk++) {
            fake_request requests[2];
            fake server;

            fake_ready(&server, 0, 0, 0);
            fake_submit_all(&server, requests, 2);
            while (fake_take(&server))
                ;
            server.in_len = server.in_fed;
            server.chunk = chunk;
            fake_say(&server, rows[i].bytes);
            fake_run(&server);
            if (strstr(rows[i].bytes, "abcd") != NULL) /* not even all of it need come */
                fake_say(&server, "\r\n");
            fake_run(&server);
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSING);
            assert_result(rlk_conn_result(&server.conn), rows[i].result);
            assert_int_equal(requests[0].replies + requests[1].replies, rows[i].replies);
            assert_int_equal(server.lost, 2 - rows[i].replies);
            /* nothing goes in or out any more */
            fake_say(&server, ":0\r\n:10\r\n");
            assert_false(fake_give(&server));
            assert_false(fake_take(&server));
            fake_close(&server);
            assert_int_equal(server.changed, 2);
            assert_int_equal(rlk_conn_failures(&server.conn), 1);
            fake_free(&server);
        }
    }
}

/* Fault 40: an answer to a request of which no byte has left. */
static void test_conn_reply_before_its_request_left(void **state)
{
    fake_request request;
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    fake_submit(&server, &request, 1);
    fake_say(&server, ":10\r\n");
    assert_true(fake_give(&server));
    assert_result(rlk_conn_result(&server.conn), RLK_E_UNSOLICITED);
    assert_int_equal(request.replies, 0);
    assert_int_equal(request.lost, 1);
    assert_false(request.maybe_sent);
    fake_free(&server);
}

static void reject(fake *server, fake_request *request, unsigned left)
{
    (void)request;
    (void)left;
    rlk_conn_reject(&server->conn, server->now_ms);
    rlk_conn_reject(&server->conn, server->now_ms); /* once is enough */
}

/* The layer above can't believe a reply: what is in flight behind it is lost. */
static void test_conn_reply_that_is_rejected(void **state)
{
    fake_request requests[2];
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    server.on_reply = reject;
    fake_submit_all(&server, requests, 2);
    fake_run(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_UNEXPECTED);
    assert_int_equal(requests[0].replies, 1);
    assert_int_equal(requests[1].replies, 0);
    assert_int_equal(requests[1].lost, 1);
    assert_int_equal(rlk_conn_failures(&server.conn), 1);
    rlk_conn_reject(&server.conn, server.now_ms);
    assert_int_equal(rlk_conn_failures(&server.conn), 1);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_pushes_and_attributes_are_no_replies),
        cmocka_unit_test(test_conn_push_to_an_idle_connection),
        cmocka_unit_test(test_conn_replies_of_any_type_and_length),
        cmocka_unit_test(test_conn_poisoned_stream_is_not_read_on),
        cmocka_unit_test(test_conn_reply_before_its_request_left),
        cmocka_unit_test(test_conn_reply_that_is_rejected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
