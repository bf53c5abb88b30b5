/* SPDX-License-Identifier: MIT
 *
 * rlk_client_check: what it waits for, what ends it, and what it reports of each server.
 */
#include "harness.h"

#include <string.h>

static harness h;
static int calls;

static void assert_text(const char *text)
{
#ifdef RLK_NO_TEXT
    (void)text;
#else
    if (*text == '\0')
        assert_string_equal(rlk_client_error(h.client), "");
    else
        assert_contains(rlk_client_error(h.client), text);
#endif
}

/* A client whose connections have not begun. */
static void open_nodes(unsigned nodes)
{
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, nodes, 1);
}

/* Ready: the text names what does not work. */
static void test_check_names_limits(void **state)
{
    static const struct {
        harness_server server;
        const char *text;
    } rows[] = {
        {{.tracking = true}, ""},
        {{.tracking = true, .mode = "standalone", .role = "master"}, ""},
        {{.tracking = false}, "works, but does not notify waiters: they ask again after pauses"},
        {{.tracking = true, .no_ids = true},
         "works, but can't fence lost connections: more results are UNKNOWN"},
        {{.tracking = true, .mode = "cluster"},
         "works, but is a cluster's node: refuses keys of other nodes"},
        {{.tracking = true, .no_load = true},
         "works, but takes no SCRIPT LOAD: the script may leave with each call"},
        {{.mode = "cluster", .no_load = true},
         "works, but does not notify waiters: they ask again after pauses; is a cluster's node: "
         "refuses keys of other nodes; takes no SCRIPT LOAD: the script may leave with each call"},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        open_nodes(1);
        h.servers[0] = rows[i].server;
        assert_result(rlk_client_check(h.client), RLK_OK);
        assert_text(rows[i].text);
        assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 0)->conn), RLK_CONN_READY);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 0);
    }
    open_nodes(3);
    h.servers[0].tracking = h.servers[1].tracking = true;
    h.servers[1].mode = "cluster";
    assert_result(rlk_client_check(h.client), RLK_OK);
    assert_text("works, but node 1 is a cluster's node: refuses keys of other nodes; node 2 does "
                "not notify waiters: they ask again after pauses");
}

/* A replica is asked again, since it may have been promoted. */
static void test_check_of_a_replica(void **state)
{
    unsigned streams;

    (void)state;
    open_nodes(1);
    h.servers[0].tracking = true;
    h.servers[0].role = "replica";
    assert_result(rlk_client_check(h.client), RLK_E_READONLY);
    assert_text("E_READONLY: ");
    assert_text("(node 0, n0:6379");
    streams = h.servers[0].streams;
    h.servers[0].role = "master";
    assert_result(rlk_client_check(h.client), RLK_OK);
    assert_text("");
    assert_int_equal(h.servers[0].streams, streams + 1);
    assert_result(rlk_client_check(h.client), RLK_OK);
    assert_int_equal(h.servers[0].streams, streams + 1);
}

/* The first attempt that fails ends it, with the error of the first node that is not ready. */
static void test_check_of_nodes_that_fail(void **state)
{
    static const struct {
        harness_server server;
        rlk_result result;
        const char *text;
    } rows[] = {
        {{.refuses = true}, RLK_E_CONNECT, "E_CONNECT: "},
        {{.hello = HARNESS_WRONGPASS}, RLK_E_AUTH, "E_AUTH: "},
        {{.hello = HARNESS_WRONGTYPE, .mute = true},
         RLK_E_RESPONSE_TIMEOUT,
         "E_RESPONSE_TIMEOUT: "},
        {{.swallows = true}, RLK_E_CONNECT_TIMEOUT, "E_CONNECT_TIMEOUT: "},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        open_nodes(3);
        h.servers[1] = rows[i].server;
        assert_result(rlk_client_check(h.client), rows[i].result);
        assert_text(rows[i].text);
        assert_text("(node 1, n1:6379");
        assert_result(rlk_client_check(h.client), rows[i].result); /* at once, or after one more */
        h.servers[1] = h.servers[0];
        assert_result(rlk_client_reset(h.client), RLK_OK);
        assert_result(rlk_client_check(h.client), RLK_OK);
    }
}

static int take_a_while(harness *self)
{
    harness_run(self);
    self->now_ms += 20;
    self->ends_wait = true;
    return 0;
}

/* operation_timeout_ms ends it before the attempt ends. */
static void test_check_ends_after_operation_timeout_ms(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.operation_timeout_ms = 50;
    harness_open(&h, 1, 1);
    h.servers[0].mute = true;
    h.on_wait = take_a_while;
    assert_result(rlk_client_check(h.client), RLK_E_NOT_CONNECTED);
    assert_int_equal(h.now_ms, HARNESS_START + 80); /* 20 ms to read, and three times that */
    h.servers[0].mute = false;
    assert_result(rlk_client_check(h.client), RLK_OK);
}

static int answer;
static int answer_at;

/* What env.wait answers, at one of its calls. */
static int answer_once(harness *self)
{
    (void)self;
    return calls++ == answer_at ? answer : 0;
}

static int close_client(harness *self)
{
    if (calls++ == answer_at)
        rlk_client_close(self->client);
    return calls > answer_at ? answer : 0;
}

static void test_check_ends_when_the_wait_does(void **state)
{
    static const struct {
        int answer;
        rlk_result result;
    } rows[] = {{RLK_CANCELLED, RLK_CANCELLED}, {-1, RLK_E_WAIT}, {5, RLK_E_WAIT}};
    size_t i;

    (void)state;
    for (answer_at = 0; answer_at < 2; answer_at++) {
        for (i = 0; i < COUNT_OF(rows); i++) {
            open_nodes(1);
            h.servers[0].mute = true;
            calls = 0;
            answer = rows[i].answer;
            h.on_wait = answer_once;
            assert_result(rlk_client_check(h.client), rows[i].result);
            assert_int_equal(calls, answer_at + 1);
            h.servers[0].mute = false; /* connections go on */
            assert_result(rlk_client_check(h.client), RLK_OK);
            assert_int_equal(h.servers[0].streams, 1);
        }
        for (answer = -1; answer <= 0; answer++) {
            open_nodes(1);
            h.servers[0].mute = true;
            calls = 0;
            h.on_wait = close_client;
            assert_result(rlk_client_check(h.client), RLK_E_CLOSED);
            assert_int_equal(calls, answer_at + 1);
            assert_result(rlk_client_check(h.client), RLK_E_CLOSED);
            assert_int_equal(calls, answer_at + 1);
        }
    }
}

static void test_check_that_cannot_begin(void **state)
{
    (void)state;
    assert_result(rlk_client_check(NULL), RLK_E_ARGUMENT);
    open_nodes(1);
    h.forked = true;
    assert_result(rlk_client_check(h.client), RLK_E_FORKED);
    h.forked = false;
    h.client->env.wait = NULL;
    assert_result(rlk_client_check(h.client), RLK_E_WAIT);
    assert_int_equal(h.waits, 0);
}

/* A later error replaces the result of the check. */
static void test_check_is_replaced_by_a_later_error(void **state)
{
    rlk_lock lock;

    (void)state;
    open_nodes(1);
    assert_result(rlk_client_check(h.client), RLK_OK);
    assert_text("works, but ");
    h.servers[0].automatic = true;
    h.servers[0].fails = HARNESS_NOPERM;
    harness_lock(&h, &lock, 3000);
    assert_text("works, but ");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_NOPERM);
    assert_text("E_NOPERM: ");
    h.servers[0].fails = NULL;
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_text("");
    assert_result(rlk_client_check(h.client), RLK_OK);
    assert_text("works, but ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_names_limits),
        cmocka_unit_test(test_check_of_a_replica),
        cmocka_unit_test(test_check_of_nodes_that_fail),
        cmocka_unit_test(test_check_ends_after_operation_timeout_ms),
        cmocka_unit_test(test_check_ends_when_the_wait_does),
        cmocka_unit_test(test_check_that_cannot_begin),
        cmocka_unit_test(test_check_is_replaced_by_a_later_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
