/* SPDX-License-Identifier: MIT
 *
 * What rlk_env.trace sees: each transition and each command once, and no secret (trace.c).
 */
#include "harness.h"

#include <string.h>

#define PASSWORD "hunter2"
#define USER     "arthur"
#define FOREIGN  "foreign-token"

static harness h;

typedef struct seen {
    rlk_trace_kind kind;
    const rlk_lock *lock;
    int node;
    const char *what;
    int64_t number;
} seen;

static seen traces[2048];
static size_t traced;
static size_t checked; /* of them, by expect() */

/* What was traced as lines, one behind the other. */
static char lines[sizeof traces / sizeof traces[0] * 64];
static size_t lines_len;

/* The next that was traced is this. */
#define expect(kind, lock, node, what, number)                                                     \
    expect_at((kind), (lock), (node), (what), (number), __LINE__)
static void expect_at(rlk_trace_kind kind, const rlk_lock *lock, int node, const char *what,
                      int64_t number, int line)
{
    const seen *one = &traces[checked];
    const char *word =
        kind == RLK_TRACE_STEP ? what : HARNESS_WORD(what); /* steps have names anyway */

    if (checked == traced)
        support_fail_at(__FILE__, line, "nothing was traced, expected %d \"%s\"", (int)kind, what);
    if (one->kind != kind || one->lock != lock || one->node != node || one->number != number ||
        strcmp(one->what, word) != 0)
        support_fail_at(__FILE__, line,
                        "traced %d \"%s\" %d of node %d, expected %d \"%s\" %d of node %d",
                        (int)one->kind, one->what, (int)one->number, one->node, (int)kind, what,
                        (int)number, node);
    checked++;
}

static void record(void *context, const rlk_trace *trace)
{
    const harness_client *member = (const harness_client *)context;
    seen *one = &traces[traced++];

    assert_true(traced < COUNT_OF(traces));
    assert_ptr_equal(trace->client, &member->client);
    assert_int_equal(trace->now_ms, member->harness->now_ms);
    assert_non_null(trace->what);
    one->kind = trace->kind;
    one->lock = trace->lock;
    one->node = trace->node;
    one->what = trace->what;
    one->number = trace->number;
    assert_true(lines_len + RLK_TRACE_CAP < sizeof lines);
    lines_len += rlk_trace_format(trace, lines + lines_len, RLK_TRACE_CAP);
}

static void start(unsigned nodes, bool tracking)
{
    unsigned i;

    memset(&h.config, 0, sizeof h.config);
    h.config.env.trace = record;
    traced = 0;
    checked = 0;
    lines_len = 0;
    harness_open(&h, nodes, 1);
    for (i = 0; i < nodes; i++)
        h.servers[i].tracking = tracking;
    harness_advance(&h, 0);
}

/* Skips all that was traced so far. */
static void skip_all(void)
{
    checked = traced;
}

static void expect_no_more(void)
{
    if (checked != traced)
        support_fail("traced %d \"%s\" %d, expected no more", (int)traces[checked].kind,
                     traces[checked].what, (int)traces[checked].number);
}

static void expect_connects(rlk_result before)
{
    expect(RLK_TRACE_CONN, NULL, 0, "CONNECTING", before);
    expect(RLK_TRACE_CONN, NULL, 0, "HANDSHAKE", before);
#ifndef RLK_RESP2_ONLY
    expect(RLK_TRACE_STEP, NULL, 0, "HELLO", before);
    expect(RLK_TRACE_STEP, NULL, 0, "CLIENT TRACKING", before);
#else
    expect(RLK_TRACE_STEP, NULL, 0, "CLIENT ID", before);
#endif
    expect(RLK_TRACE_STEP, NULL, 0, "INFO", before);
    if (before == RLK_E_EOF)
        expect(RLK_TRACE_STEP, NULL, 0, "CLIENT KILL", before);
    expect(RLK_TRACE_STEP, NULL, 0, "SCRIPT LOAD", before);
    expect(RLK_TRACE_STEP, NULL, 0, "EVALSHA", before);
    expect(RLK_TRACE_CONN, NULL, 0, "READY", RLK_OK);
}

/* A connection: its states with what it ended for, and the steps of its handshake. */
static void test_trace_of_a_connection(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1, true);
    expect_connects(RLK_E_NOT_CONNECTED);
    expect_no_more();
    /* one that has to be fenced */
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    skip_all();
    harness_cut(&h, 0);
    expect(RLK_TRACE_CONN, NULL, 0, "CLOSING", RLK_E_EOF);
    expect(RLK_TRACE_CONN, NULL, 0, "WAITING", RLK_E_EOF);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    expect_connects(RLK_E_EOF);
    skip_all();
    harness_say(harness_link_of(&h, 0), "what?\r\n", 7); /* nonsense: its stream is given up */
    expect(RLK_TRACE_CONN, NULL, 0, "CLOSING", RLK_E_PROTOCOL);
    harness_run(&h);
    expect(RLK_TRACE_CONN, NULL, 0, "WAITING", RLK_E_PROTOCOL);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    (void)rlk_lock_close(&lock); /* whose next attempt may begin at any time */
    skip_all();
    h.servers[0].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 0);
    harness_advance(&h, 8 * RLK_BACKOFF_MIN_MS);
    assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 0)->conn), RLK_CONN_FATAL);
    expect(RLK_TRACE_CONN, NULL, 0, "CLOSING", RLK_E_EOF);
    expect(RLK_TRACE_CONN, NULL, 0, "WAITING", RLK_E_EOF);
    expect(RLK_TRACE_CONN, NULL, 0, "CONNECTING", RLK_E_EOF);
    expect(RLK_TRACE_CONN, NULL, 0, "HANDSHAKE", RLK_E_EOF);
#ifndef RLK_RESP2_ONLY
    expect(RLK_TRACE_STEP, NULL, 0, "HELLO", RLK_E_EOF);
    expect(RLK_TRACE_CONN, NULL, 0, "CLOSING", RLK_E_AUTH);
    expect(RLK_TRACE_CONN, NULL, 0, "FATAL", RLK_E_AUTH);
#endif
}

/* A lock from its acquire to its release, each transition and each command once. */
static void test_trace_of_a_lock(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1, false);
    skip_all();
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_serve(&h, 0);
    expect(RLK_TRACE_PHASE, &lock, -1, "WATCH", RLK_CAUSE_START);
    expect(RLK_TRACE_PHASE, &lock, -1, "ATTEMPT", RLK_CAUSE_START);
    expect(RLK_TRACE_COMMAND, &lock, 0, "SET", 1);
    expect(RLK_TRACE_REPLY, &lock, 0, "SET", 2);
    expect(RLK_TRACE_STATE, &lock, -1, "HELD", 30000 - 303);
    expect(RLK_TRACE_RESULT, &lock, -1, "acquire", RLK_OK);
    expect_no_more();

    assert_result(rlk_extend_start(&lock, 10000), RLK_PENDING);
    harness_serve(&h, 0);
    expect(RLK_TRACE_COMMAND, &lock, 0, "EVALSHA (raise)", 1);
    expect(RLK_TRACE_REPLY, &lock, 0, "EVALSHA (raise)", 40000);
    expect(RLK_TRACE_RESULT, &lock, -1, "extend", RLK_OK);

    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    harness_serve(&h, 0);
    expect(RLK_TRACE_COMMAND, &lock, 0, "EVALSHA (check)", 1);
    expect(RLK_TRACE_REPLY, &lock, 0, "EVALSHA (check)", RLK_E_MISCONF);
    expect(RLK_TRACE_COMMAND, &lock, 0, "EVALSHA (check)", 1);
    assert_int_equal(traces[checked].kind, RLK_TRACE_REPLY);
    checked++;
    expect(RLK_TRACE_RESULT, &lock, -1, "check", RLK_OK);

    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    expect(RLK_TRACE_STATE, &lock, -1, "FREE", 0);
    expect(RLK_TRACE_COMMAND, &lock, 0, "EVALSHA (release)", 1);
    expect(RLK_TRACE_REPLY, &lock, 0, "EVALSHA (release)", 1);
    expect(RLK_TRACE_RESULT, &lock, -1, "release", RLK_OK);
    expect_no_more();
}

/* Loss: by its deadline, and its undo. */
static void test_trace_of_a_loss(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1, false);
    harness_held(&h, &lock, 3000);
    skip_all();
    harness_advance(&h, 3000);
    expect(RLK_TRACE_STATE, &lock, -1, "LOST", RLK_LOST_EXPIRED);
    expect(RLK_TRACE_COMMAND, &lock, 0, "EVALSHA (release)", 1);
    expect_no_more();
}

/* A lease that moves: from one lock, and to another. */
static void test_trace_of_a_transfer(void **state)
{
    rlk_lock from;
    rlk_lock to;
    rlk_lease lease;

    (void)state;
    start(1, false);
    harness_held(&h, &from, 30000);
    harness_lock(&h, &to, 30000);
    skip_all();
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    expect(RLK_TRACE_STATE, &from, -1, "FREE", 0);
    expect_no_more();
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    expect(RLK_TRACE_STATE, &to, -1, "HELD", rlk_remaining_ms(&to));
    expect(RLK_TRACE_COMMAND, &to, 0, "EVALSHA (check)", 1);
    expect_no_more();
}

#ifndef RLK_RESP2_ONLY
/* Waiting: in the wait queue, notified by the server, settled. */
static void test_trace_of_waiting(void **state)
{
    rlk_lock lock;
    rlk_lock second;

    (void)state;
    start(1, true);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, 60000);
    harness_lock(&h, &lock, 30000);
    harness_lock(&h, &second, 30000);
    skip_all();
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&second, RLK_FOREVER), RLK_PENDING);
    harness_serve(&h, 0);
    expect(RLK_TRACE_PHASE, &lock, -1, "WATCH", RLK_CAUSE_START);
    expect(RLK_TRACE_PHASE, &lock, -1, "ATTEMPT", RLK_CAUSE_START);
    expect(RLK_TRACE_COMMAND, &lock, 0, "SET", 1);
    expect(RLK_TRACE_PHASE, &second, -1, "QUEUE", RLK_CAUSE_START);
    expect(RLK_TRACE_REPLY, &lock, 0, "SET", 0); /* nil */
    expect(RLK_TRACE_COMMAND, &lock, 0, "PTTL", 1);
    assert_int_equal(traces[checked].kind, RLK_TRACE_REPLY);
    assert_string_equal(traces[checked].what, HARNESS_WORD("PTTL"));
    assert_int_equal(traces[checked++].number, 60000);
    expect(RLK_TRACE_PHASE, &lock, -1, "WATCH", RLK_CAUSE_START);
    expect_no_more();
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    expect(RLK_TRACE_PUSH, &lock, 0, "PUSH", RLK_CAUSE_PUSH);
    expect(RLK_TRACE_PHASE, &lock, -1, "ATTEMPT", RLK_CAUSE_PUSH);
    expect(RLK_TRACE_COMMAND, &lock, 0, "SET", 1);
    expect_no_more();
    assert_result(rlk_cancel(&lock), RLK_OK);
    expect(RLK_TRACE_PHASE, &lock, -1, "SETTLE", RLK_CAUSE_PUSH);
    harness_serve(&h, 0);
    skip_all();
    harness_advance(&h, 1);
    harness_serve(&h, 0);
    assert_true(rlk_is_held(&second));
    harness_push(harness_link_of(&h, 0), NULL);
    skip_all();
    harness_run(&h);
    expect(RLK_TRACE_PUSH, &second, 0, "FLUSH", RLK_CAUSE_FLUSH);
    expect(RLK_TRACE_COMMAND, &second, 0, "EVALSHA (check)", 1);
}
#endif

#ifndef RLK_RESP2_ONLY
/* Several nodes: which one, questions, pauses. */
static void test_trace_of_several_nodes(void **state)
{
    rlk_lock lock;
    unsigned probes = 0;
    unsigned pauses = 0;
    size_t i;

    (void)state;
    start(3, true);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_put(&h, 1, HARNESS_KEY, FOREIGN, -1);
    harness_lock(&h, &lock, 30000);
    skip_all();
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < 3; i++)
        h.servers[i].automatic = true;
    harness_advance(&h, 500);
    skip_all();
    harness_delete(&h, 1, HARNESS_KEY);
    harness_advance(&h, RLK_RETRY_MIN_MS);
    expect(RLK_TRACE_PUSH, &lock, 1, "PUSH", RLK_CAUSE_PUSH);
    expect(RLK_TRACE_COMMAND, &lock, 1, "PTTL", 1);
    expect(RLK_TRACE_REPLY, &lock, 1, "PTTL", -2);
    expect(RLK_TRACE_PHASE, &lock, -1, "PAUSE", RLK_CAUSE_PUSH);
    for (i = 0; i < traced; i++) {
        pauses +=
            traces[i].kind == RLK_TRACE_PHASE && strcmp(traces[i].what, HARNESS_WORD("PAUSE")) == 0;
        probes += i > 0 && traces[i].kind == RLK_TRACE_COMMAND &&
                  strcmp(traces[i].what, HARNESS_WORD("PTTL")) == 0 &&
                  strcmp(traces[i - 1].what, HARNESS_WORD("SET")) != 0; /* not behind its nil */
    }
#ifndef RLK_NO_TEXT
    assert_int_equal(pauses, 1);
    assert_int_equal(probes, h.client->stats.probes);
#endif
    assert_true(rlk_is_held(&lock));
}
#endif

/* Whatever is done, no token and no password is in it. */
static void test_trace_has_no_secrets(void **state)
{
    rlk_url url;
    rlk_lock lock;
    rlk_holder holder;
    char token[RLK_TOKEN_MAX + 1];
    size_t i;

    (void)state;
    memset(&url, 0, sizeof url);
    url.host = "n0";
    url.host_len = 2;
    url.port = 6379;
    url.user = USER;
    url.user_len = (uint16_t)strlen(USER);
    url.password = PASSWORD;
    url.password_len = (uint16_t)strlen(PASSWORD);
#ifndef RLK_RESP2_ONLY /* where it is in HELLO, which the harness understands */
    h.url = &url;
#endif
    start(1, true);
    h.url = NULL;
    h.servers[0].automatic = true;
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    (void)rlk_lock_token(&lock, token, sizeof token);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, 60000);
    assert_result(rlk_acquire(&lock, 500), RLK_TIMED_OUT);
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_result(rlk_force_release(&lock), RLK_OK);
    h.servers[0].fails = "-ERR " PASSWORD " " FOREIGN "\r\n";
    assert_int_not_equal(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    h.servers[0].hello = "-WRONGPASS " USER " " PASSWORD "\r\n";
    harness_cut(&h, 0);
    harness_advance(&h, 1000);
    assert_true(traced > 60);
    for (i = 0; i < traced; i++) {
        assert_null(strstr(traces[i].what, PASSWORD));
        assert_null(strstr(traces[i].what, USER));
        assert_null(strstr(traces[i].what, FOREIGN));
        assert_null(strstr(traces[i].what, token));
        assert_true(strlen(traces[i].what) < 24);
    }
    assert_non_null(strstr(lines, HARNESS_WORD("sends SET")));
    assert_null(strstr(lines, PASSWORD));
    assert_null(strstr(lines, USER));
    assert_null(strstr(lines, FOREIGN));
    assert_null(strstr(lines, token));
    assert_int_equal(token[0] != '\0', true);
}

static void test_trace_key(void **state)
{
    rlk_lock lock;
    size_t len;
    const uint8_t *key;

    (void)state;
    start(1, false);
    assert_result(rlk_lock_init_n(&lock, h.client, "a\0b", 3, NULL), RLK_OK);
    key = rlk_lock_key(&lock, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(key, "a\0b", 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_of_a_connection),  cmocka_unit_test(test_trace_of_a_lock),
        cmocka_unit_test(test_trace_of_a_loss),        cmocka_unit_test(test_trace_of_a_transfer),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_trace_of_waiting),
#endif
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_trace_of_several_nodes),
#endif
        cmocka_unit_test(test_trace_has_no_secrets),   cmocka_unit_test(test_trace_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
