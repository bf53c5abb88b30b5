/* SPDX-License-Identifier: MIT
 *
 * Commands of a lock on a stream that the server condemned (faults 92 and 94), or that was dead
 * before the call (fault 115).
 */
#include "harness.h"

#define NOAUTH "-NOAUTH Authentication required.\r\n"

static harness h;
/* What a server says that condemns its stream, and the result. */
static const char *const words[] = {HARNESS_READONLY, NOAUTH};
static const rlk_result results[] = {RLK_E_READONLY, RLK_E_NOAUTH};

/* The server refuses, and its stream ends. The next one is ready. */
static void condemn(const char *reply)
{
    uint32_t before = rlk_conn_generation(&harness_link_of(&h, 0)->conn);

    harness_reply(&h, 0, reply);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_int_equal(rlk_conn_generation(&harness_link_of(&h, 0)->conn), before + 1);
}

/* A single attempt goes on once. Then the refusal is its result. */
static void test_node_lock_condemned_stream_and_one_attempt(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(words)); i++) {
        rlk_lock lock;

        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        condemn(words[i]);
        harness_expect_no_event(&h);
        (void)harness_expect(&h, 0, HARNESS_SET); /* it was refused: nothing to compare */
        harness_reply(&h, 0, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_int_equal(h.servers[0].kills, 0); /* nothing to fence */

        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        condemn(words[i]);
        harness_reply(&h, 0, words[i]);
        harness_expect_result(&h, RLK_OP_ACQUIRE, results[i]);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 0);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

static void test_node_lock_condemned_stream_and_a_waiter(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(words)); i++) {
        rlk_lock lock;

        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        condemn(words[i]);
        harness_advance(&h, 2 * RLK_RETRY_MAX_MS);
        harness_reply(&h, 0, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* A raise is repeated, and the key is never made again. A release that was refused does not count
 * as an earlier release. */
static void test_node_lock_condemned_stream_while_held(void **state)
{
    static const struct {
        const char *name;
        rlk_operation operation;
        harness_kind repeated;
        const char *reply;
        rlk_result expected;
        bool lost;
    } rows[] = {
        {"extend, ours", RLK_OP_EXTEND, HARNESS_RAISE, ":31000\r\n", RLK_OK, false},
        {"extend, not ours", RLK_OP_EXTEND, HARNESS_RAISE, HARNESS_NOT_OURS, RLK_NOT_OWNER, true},
        {"release, not ours", RLK_OP_RELEASE, HARNESS_RELEASE, HARNESS_NOT_OURS, RLK_NOT_OWNER,
         false},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows) * COUNT_OF(words)); i++) {
        size_t row = i / COUNT_OF(words);
        rlk_lock lock;

        support_row_name("%s, %s", rows[row].name, words[i % COUNT_OF(words)]);
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(harness_begin(&lock, rows[row].operation), RLK_PENDING);
        condemn(words[i % COUNT_OF(words)]);
        (void)harness_expect(&h, 0, rows[row].repeated);
        harness_reply(&h, 0, rows[row].reply);
        harness_expect_result(&h, rows[row].operation, rows[row].expected);
        if (rows[row].lost)
            harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    }
}

static void refuse(void)
{
    condemn(HARNESS_READONLY);
}

static void reset(void)
{
    assert_result(rlk_client_reset(h.client), RLK_OK);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
}

static void cut(void)
{
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
}

/* Each lock that is held is compared, also where nothing renews it or notifies of its loss. That
 * follows a refusal of another lock's command, and rlk_client_reset, but no other end. */
static void test_node_lock_condemned_stream_compares_what_is_held(void **state)
{
    static const struct {
        const char *name;
        void (*end_stream)(void);
        unsigned compares;
    } rows[] = {{"refused", refuse, 1}, {"reset", reset, 1}, {"cut", cut, 0}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        rlk_lock other;
        rlk_holder holder;

        support_row_name("%s", rows[i].name);
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_lock_init(&other, h.client, "other", NULL), RLK_OK);
        assert_result(rlk_query_start(&other, &holder, 1), RLK_PENDING);
        rows[i].end_stream();
        assert_int_equal(h.servers[0].count[HARNESS_CHECK], rows[i].compares);
        if (rows[i].compares == 0)
            continue;
        harness_remove(&h, 0, HARNESS_KEY); /* not there */
        harness_serve(&h, 0);
        assert_false(rlk_is_held_at(&lock, h.now_ms));
    }
}

/* On several nodes: each is compared on its next stream. */
static void test_node_lock_dead_stream_of_each_node(void **state)
{
    rlk_lock lock;
    unsigned node;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    for (node = 0; node < 3; node++) {
        (void)harness_expect(&h, node, HARNESS_SET);
        harness_cut(&h, node);
    }
    harness_expect_no_event(&h);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_expect_all(&h, 0, 3, HARNESS_RAISE);
    harness_reply_all(&h, 0, 2, HARNESS_NOT_OURS);
    harness_expect_all(&h, 0, 2, HARNESS_SET);
    harness_reply_all(&h, 0, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A connection that was down when the call began: its failure is the result (fault 27). */
static void test_node_lock_no_stream_before_the_call(void **state)
{
    rlk_lock lock;
    rlk_holder holder;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_CONNECT);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_E_CONNECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_lock_condemned_stream_and_one_attempt),
        cmocka_unit_test(test_node_lock_condemned_stream_and_a_waiter),
        cmocka_unit_test(test_node_lock_condemned_stream_while_held),
        cmocka_unit_test(test_node_lock_condemned_stream_compares_what_is_held),
        cmocka_unit_test(test_node_lock_dead_stream_of_each_node),
        cmocka_unit_test(test_node_lock_no_stream_before_the_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
