/* SPDX-License-Identifier: MIT
 *
 * Pushes of changed keys. Faults 76 and 85 begin here: a push of null, and one of a key that nobody
 * asked for.
 */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOPERM      "-NOPERM this user has no permissions to run the command\r\n"
#define TRACKING_ON "CLIENT TRACKING ON NOLOOP;"
#define INVALIDATE  ">2\r\n$10\r\ninvalidate\r\n"

static const fake_rule tracks[] = {{"CLIENT TRACKING", "+OK\r\n"}, {NULL, NULL}};

/* A connection whose server notifies of changes, ready. */
static void tracked_ready(fake *server, size_t rx_cap)
{
    fake_init(server, 0, rx_cap, 0);
    server->config.no_tracking = false;
    server->rules = tracks;
    fake_start(server);
    fake_connect(server);
    assert_true(rlk_conn_is_tracking(&server->conn));
}

/* ---- Pushes ------------------------------------------------------------------------------- */

typedef struct push_row {
    const char *bytes;
    unsigned keys; /* that it reports */
    unsigned all;
    const char *last; /* key */
} push_row;

static const push_row push_rows[] = {
    {INVALIDATE "*1\r\n$3\r\nfoo\r\n", 1, 0, "foo"},
    {">2\r\n+invalidate\r\n*1\r\n+foo\r\n", 1, 0, "foo"},
    {INVALIDATE "*3\r\n$1\r\na\r\n$0\r\n\r\n$2\r\nbb\r\n", 3, 0, "bb"},
    {INVALIDATE "*1\r\n$0\r\n\r\n", 1, 0, ""},
    {INVALIDATE "*1\r\n$4\r\n\r\n\r\n\r\n", 1, 0, "\r\n\r\n"},
    {INVALIDATE "*1\r\n$?\r\n;3\r\nfoo\r\n;3\r\nbar\r\n;0\r\n", 1, 0, "foobar"},
    {INVALIDATE "*?\r\n+a\r\n+b\r\n.\r\n", 2, 0, "b"},
    /* FLUSHALL, FLUSHDB */
    {INVALIDATE "_\r\n", 0, 1, NULL},
    {INVALIDATE "*-1\r\n", 0, 1, NULL},
    {INVALIDATE "$-1\r\n", 0, 1, NULL},
    {INVALIDATE "*0\r\n", 0, 0, NULL},
    /* attributes of any of them are no part of it */
    {"|1\r\n+ttl\r\n:3\r\n" INVALIDATE "*1\r\n$3\r\nfoo\r\n", 1, 0, "foo"},
    {">2\r\n|1\r\n+a\r\n+invalidate\r\n+message\r\n*1\r\n+a\r\n", 0, 0, NULL},
    {INVALIDATE "|1\r\n+message\r\n_\r\n*2\r\n|1\r\n+a\r\n+b\r\n+foo\r\n+bar\r\n", 2, 0, "bar"},
    /* other pushes */
    {">3\r\n$7\r\nmessage\r\n$10\r\ninvalidate\r\n$1\r\na\r\n", 0, 0, NULL},
    {">2\r\n$7\r\nmessage\r\n*1\r\n$1\r\na\r\n", 0, 0, NULL},
    {">2\r\n$10\r\ninvalidat3\r\n*1\r\n$1\r\na\r\n", 0, 0, NULL},
    {">2\r\n$11\r\ninvalidated\r\n_\r\n", 0, 0, NULL},
    {">2\r\n$9\r\ninvalidat\r\n_\r\n", 0, 0, NULL},
    {">2\r\n$0\r\n\r\n_\r\n", 0, 0, NULL},
    {">1\r\n_\r\n", 0, 0, NULL},
    {">1\r\n*1\r\n+a\r\n", 0, 0, NULL},
    /* the word alone, at another place, or not as a string */
    {">1\r\n$10\r\ninvalidate\r\n", 0, 0, NULL},
    {">2\r\n*1\r\n+invalidate\r\n*1\r\n+a\r\n", 0, 0, NULL},
    {">2\r\n:1\r\n*1\r\n+a\r\n", 0, 0, NULL},
    {">2\r\n_\r\n+invalidate\r\n", 0, 0, NULL},
    {">2\r\n=14\r\ntxt:invalidate\r\n*1\r\n+a\r\n", 0, 0, NULL},
    {">2\r\n!10\r\ninvalidate\r\n_\r\n", 0, 0, NULL},
    {">3\r\n+invalidate\r\n+message\r\n*1\r\n+a\r\n", 0, 0, NULL},
    /* what stands where keys should */
    {INVALIDATE ":7\r\n", 0, 0, NULL},
    {INVALIDATE "#t\r\n", 0, 0, NULL},
    {INVALIDATE "*3\r\n:1\r\n_\r\n,1.5\r\n", 0, 0, NULL},
    {INVALIDATE "*2\r\n*1\r\n+a\r\n*-1\r\n", 0, 0, NULL},
    {INVALIDATE "%1\r\n+a\r\n*1\r\n+b\r\n", 1, 0, "a"},
    /* what one push was is nothing that the next one is */
    {INVALIDATE "*1\r\n+a\r\n>1\r\n*1\r\n+b\r\n", 1, 0, "a"},
    {INVALIDATE "_\r\n>2\r\n:1\r\n_\r\n", 0, 1, NULL},
    {INVALIDATE "*1\r\n+a\r\n" INVALIDATE "_\r\n" INVALIDATE "*1\r\n+b\r\n", 2, 1, "b"},
};

static void test_conn_tracking_pushes(void **state)
{
    static const size_t chunks[] = {0, 1, 2, 7};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(push_rows); i++) {
        for (k = 0; k < COUNT_OF(chunks); k++) {
            const push_row *row = &push_rows[i];
            fake_request request;
            fake server;

            tracked_ready(&server, RLK_CONN_RX_MIN);
            server.chunk = chunks[k];
            fake_say(&server, row->bytes);
            fake_run(&server);
            assert_int_equal(server.invalidated, row->keys);
            assert_int_equal(server.invalidated_all, row->all);
            if (row->all == 0 && row->last != NULL)
                assert_int_equal(server.invalidated_hash,
                                 rlk_key_hash(RLK_KEY_HASH, row->last, strlen(row->last)));
            /* the stream is where it was */
            assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
            assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
            fake_submit(&server, &request, 1);
            fake_run(&server);
            fake_assert_answered(&request, 1);
            fake_free(&server);
        }
    }
}

/* Keys that are longer than the buffer come in fragments; in it they may lie anywhere. */
static void test_conn_tracking_push_of_a_long_key(void **state)
{
    static const size_t lengths[] = {1, 61, 62, 63, 64, 65, 128, 1000, 100000};
    static const size_t chunks[] = {0, 1, 13, 63};
    char *key = (char *)malloc(100000);
    size_t i;
    size_t k;

    (void)state;
    assert_non_null(key);
    for (i = 0; i < 100000; i++)
        key[i] = (char)(i * 7 + i / 256);
    for (i = 0; i < COUNT_OF(lengths); i++) {
        for (k = 0; k < COUNT_OF(chunks); k++) {
            char head[32];
            fake server;

            tracked_ready(&server, RLK_CONN_RX_MIN);
            server.chunk = chunks[k];
            (void)snprintf(head, sizeof head, "$%u\r\n", (unsigned)lengths[i]);
            fake_say(&server, INVALIDATE "*3\r\n+first\r\n");
            fake_say(&server, head);
            fake_say_bytes(&server, key, lengths[i]);
            fake_say(&server, "\r\n");
            fake_run(&server);
            assert_int_equal(server.invalidated, 2);
            assert_int_equal(server.invalidated_hash, rlk_key_hash(RLK_KEY_HASH, key, lengths[i]));
            fake_say(&server, "+last\r\n");
            fake_run(&server);
            assert_int_equal(server.invalidated_hash, rlk_key_hash(RLK_KEY_HASH, "last", 4));
            fake_free(&server);
        }
    }
    free(key);
}

/* The word that makes it an invalidation lies at each place of the buffer once. */
static void test_conn_tracking_push_at_any_place_of_the_buffer(void **state)
{
    size_t pad;
    size_t chunk;

    (void)state;
    for (pad = 0; pad < 2 * (size_t)RLK_CONN_RX_MIN; pad++) {
        for (chunk = 0; chunk < 5; chunk++) {
            char text[2 * RLK_CONN_RX_MIN + 1];
            fake server;

            tracked_ready(&server, RLK_CONN_RX_MIN);
            server.chunk = chunk;
            memset(text, 'x', pad);
            text[pad] = '\0';
            fake_say(&server, ">1\r\n+");
            fake_say(&server, text);
            fake_say(&server, "\r\n" INVALIDATE "*1\r\n$3\r\nfoo\r\n");
            fake_run(&server);
            assert_int_equal(server.invalidated, 1);
            assert_int_equal(server.invalidated_hash, rlk_key_hash(RLK_KEY_HASH, "foo", 3));
            fake_free(&server);
        }
    }
}

/* Before READY nothing was read on this stream, so no push matters. */
static void test_conn_tracking_pushes_in_the_handshake_are_ignored(void **state)
{
#define PUSHES INVALIDATE "*1\r\n$3\r\nfoo\r\n" INVALIDATE "_\r\n"
    static const fake_rule rules[] = {
        {"HELLO", PUSHES "%1\r\n$2\r\nid\r\n:5\r\n" PUSHES},
        {"CLIENT TRACKING", "+OK\r\n" PUSHES},
        {NULL, NULL},
    };
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.no_tracking = false;
    server.rules = rules;
    fake_start(&server);
    fake_connect(&server);
    assert_true(rlk_conn_is_tracking(&server.conn));
    assert_int_equal(server.invalidated + server.invalidated_all, 0);
    fake_say(&server, PUSHES);
    fake_run(&server);
    assert_int_equal(server.invalidated, 1);
    assert_int_equal(server.invalidated_all, 1);
    fake_free(&server);
#undef PUSHES
}

/* ---- Pushes and replies ------------------------------------------------------------------- */

static unsigned pushed_before[4];

static void note_reported(fake *server, fake_request *request, unsigned left)
{
    (void)left;
    pushed_before[request->number] = server->invalidated;
}

/* What a push reports happened before the command was executed that is answered next. */
static void test_conn_tracking_pushes_keep_the_order_of_the_replies(void **state)
{
    static fake_request requests[4];
    size_t chunk;

    (void)state;
    for (chunk = 0; chunk < 9; chunk++) {
        fake server;

        tracked_ready(&server, RLK_CONN_RX_MIN);
        server.on_reply = note_reported;
        fake_submit_all(&server, requests, 4);
        while (fake_take(&server))
            ;
        server.in_len = server.in_fed; /* its own answers are not used */
        server.chunk = chunk;
        fake_say(&server, ":0\r\n" INVALIDATE "*1\r\n+a\r\n:10\r\n" INVALIDATE "*2\r\n+b\r\n+c\r\n"
                          "|1\r\n+ttl\r\n:1\r\n:20\r\n:30\r\n" INVALIDATE "*1\r\n+d\r\n");
        fake_run(&server);
        fake_assert_answered(requests, 4);
        assert_int_equal(pushed_before[0], 0);
        assert_int_equal(pushed_before[1], 1);
        assert_int_equal(pushed_before[2], 3);
        assert_int_equal(pushed_before[3], 3);
        assert_int_equal(server.invalidated, 4);
        fake_free(&server);
    }
}

/* A push is no answer: who waits for one does not wait longer for it. */
static void test_conn_tracking_push_moves_no_deadline(void **state)
{
    fake_request request;
    int64_t deadline_ms;
    fake server;

    (void)state;
    tracked_ready(&server, 0);
    server.rules = tracks;
    fake_submit(&server, &request, 1);
    while (fake_take(&server))
        ;
    server.in_len = server.in_fed;
    deadline_ms = rlk_conn_deadline(&server.conn);
    assert_int_equal(deadline_ms, server.now_ms + RLK_RESPONSE_TIMEOUT_MS);
    while (server.now_ms < deadline_ms - 100) {
        server.now_ms += 100;
        fake_say(&server, INVALIDATE "*1\r\n+a\r\n");
        fake_run(&server);
        assert_int_equal(rlk_conn_deadline(&server.conn), deadline_ms);
    }
    assert_int_equal(request.replies, 0);
    server.now_ms = deadline_ms;
    rlk_conn_tick(&server.conn, server.now_ms);
    fake_close(&server);
    assert_int_equal(request.lost, 1);
    assert_result(rlk_conn_result(&server.conn), RLK_E_RESPONSE_TIMEOUT);
    fake_free(&server);
}

/* A push that never ends keeps nobody busy, and one that is cut goes with its stream. */
static void test_conn_tracking_push_cut_by_the_end_of_the_stream(void **state)
{
    fake server;

    (void)state;
    tracked_ready(&server, 0);
    fake_say(&server, INVALIDATE "*2\r\n$6\r\nfoo");
    fake_run(&server);
    assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
    rlk_conn_closed(&server.conn, RLK_E_EOF, 0, server.now_ms);
    fake_connect(&server);
    assert_true(rlk_conn_is_tracking(&server.conn));
    fake_say(&server, ">1\r\n+bar\r\n" INVALIDATE "*1\r\n+bar\r\n");
    fake_run(&server);
    assert_int_equal(server.invalidated, 1);
    assert_int_equal(server.invalidated_hash, rlk_key_hash(RLK_KEY_HASH, "bar", 3));
    fake_free(&server);
}

/* Without tracking a push is what it always was; one of a proxy that invents them does no harm. */
static void test_conn_tracking_push_without_tracking(void **state)
{
    fake server;

    (void)state;
    fake_ready(&server, 0, 0, 0);
    assert_false(rlk_conn_is_tracking(&server.conn));
    fake_say(&server, INVALIDATE "*1\r\n+a\r\n" INVALIDATE "_\r\n");
    fake_run(&server);
    assert_int_equal(server.invalidated, 1);
    assert_int_equal(server.invalidated_all, 1);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_tracking_pushes),
        cmocka_unit_test(test_conn_tracking_push_of_a_long_key),
        cmocka_unit_test(test_conn_tracking_push_at_any_place_of_the_buffer),
        cmocka_unit_test(test_conn_tracking_pushes_in_the_handshake_are_ignored),
        cmocka_unit_test(test_conn_tracking_pushes_keep_the_order_of_the_replies),
        cmocka_unit_test(test_conn_tracking_push_moves_no_deadline),
        cmocka_unit_test(test_conn_tracking_push_cut_by_the_end_of_the_stream),
        cmocka_unit_test(test_conn_tracking_push_without_tracking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
