/* SPDX-License-Identifier: MIT
 *
 * rlk_client_check: what it says of servers that can do all, some of it, or nothing of what a lock
 * needs, and that it asks no more than a handshake does.
 */
#include "hostile.h"
#include "nodes.h"
#include "proxy.h"

#include <stdio.h>
#include <string.h>

static nodes set;
static server *redis;

static void open_at(const char *url, const rlk_posix_options *options)
{
    nodes_open_urls(&set, &url, 1, options);
}

/* "unix://user:password@path" of a server. */
static const char *url_of(const char *credentials)
{
    static char url[256];

    snprintf(url, sizeof url, "unix://%s@%s", credentials, server_url(redis) + strlen("unix://"));
    return url;
}

static void test_client_check_of_a_server_that_can_all(void **state)
{
    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis), NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    assert_string_equal(rlk_client_error(&set.posix.client), "");
    assert_true(nodes_ready(&set));
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    assert_int_equal(server_calls(redis, "set"), 0);
    assert_int_equal(server_calls(redis, "hello"), 1);
    nodes_close(&set);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_CLOSED);
    assert_result(rlk_client_check(NULL), RLK_E_ARGUMENT);
}

/* The stream ended since: noticed, and made anew. */
static void test_client_check_of_a_stream_that_ended(void **state)
{
    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis), NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    server_restart(redis, false);
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    server_kill(redis);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_CONNECT);
    assert_contains(rlk_client_error(&set.posix.client), "E_CONNECT: ");
    nodes_close(&set);
}

/* The text says what it can't do; after an operation that fails later the text is about that. */
static void test_client_check_names_limits(void **state)
{
    rlk_lock lock;

    (void)state;
    redis = server_start(NULL);
    server_do(redis, "ACL SETUSER app reset on >secret ~lock:* -@all +hello +set +evalsha "
                     "+script|load +get +del +pexpire +pttl");
    open_at(url_of("app:secret"), NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    assert_string_equal(rlk_client_error(&set.posix.client),
                        "works, but does not notify waiters: they ask again after pauses; "
                        "can't fence lost connections: more results are UNKNOWN");
    assert_result(rlk_lock_init(&lock, &set.posix.client, "elsewhere", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_NOPERM);
    assert_contains(rlk_client_error(&set.posix.client), "E_NOPERM: ");
    rlk_lock_close(&lock);
    nodes_close(&set);
}

static void test_client_check_names_a_cluster(void **state)
{
    server_config config = {.cluster = true};

    (void)state;
    redis = server_start(&config);
    open_at(server_url(redis), NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    assert_string_equal(rlk_client_error(&set.posix.client),
                        "works, but is a cluster's node: refuses keys of other nodes");
    nodes_close(&set);
}

/* A replica says so, and a promoted one is asked anew. */
static void test_client_check_of_a_replica(void **state)
{
    (void)state;
    redis = server_start(NULL);
    server_do(redis, "REPLICAOF 127.0.0.1 1");
    open_at(server_url(redis), NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_READONLY);
    assert_contains(rlk_client_error(&set.posix.client), "E_READONLY: ");
    assert_contains(rlk_client_error(&set.posix.client), "(node 0, ");
    server_do(redis, "REPLICAOF NO ONE");
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    assert_string_equal(rlk_client_error(&set.posix.client), "");
    nodes_close(&set);
}

/* Errors come at once: one attempt each. */
static void test_client_check_returns_errors(void **state)
{
    server_config locked = {.password = "sesame"};
    server_config renamed = {.lines = SERVER_LINES("rename-command PEXPIRE \"\"")};
    int64_t start = support_now_ms();

    (void)state;
    redis = server_start(&locked);
    open_at(url_of(":guess"), NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_AUTH);
    assert_contains(rlk_client_error(&set.posix.client), "E_AUTH: ");
    nodes_close(&set);

    redis = server_start(&renamed);
    open_at(server_url(redis), NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_UNSUPPORTED);
    assert_contains(rlk_client_error(&set.posix.client), "ERR unknown command PEXPIRE");
    nodes_close(&set);

    open_at("unix:///nowhere/redis.sock", NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_CONNECT);
    assert_contains(rlk_client_error(&set.posix.client), "/nowhere/redis.sock");
    nodes_close(&set);
    assert_between(support_now_ms() - start, 0, 3000 * support_time_factor());
}

/* A server that takes the connection and is silent: operation_timeout_ms bounds it. */
static void test_client_check_ends_in_time(void **state)
{
    static const hostile_step steps[] = {{NULL, "", HOSTILE_SILENT}};
    rlk_posix_options options;
    int64_t start = support_now_ms();

    (void)state;
    memset(&options, 0, sizeof options);
    options.operation_timeout_ms = 300;
    options.response_timeout_ms = 20000;
    open_at(hostile_url(hostile_start(steps, 1, false)), &options);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_NOT_CONNECTED);
    assert_between(support_now_ms() - start, 300, 2000 * support_time_factor());
    nodes_close(&set);
}

/* Of several nodes the first error, with its number; the others are connected too. */
static void test_client_check_of_a_quorum(void **state)
{
    (void)state;
    nodes_start(&set, 3, NULL, NULL);
    assert_result(rlk_client_check(&set.posix.client), RLK_OK);
    assert_string_equal(rlk_client_error(&set.posix.client), "");
    server_kill(set.servers[1]);
    assert_result(rlk_client_check(&set.posix.client), RLK_E_CONNECT);
    assert_contains(rlk_client_error(&set.posix.client), "(node 1, ");
    assert_int_equal(rlk_conn_get_state(rlk_client_conn(&set.posix.client, 2)), RLK_CONN_READY);
    nodes_close(&set);
}

static int answer;

static int wait_answers(void *context, rlk_client *posix, int64_t deadline_ms)
{
    (void)context;
    (void)posix;
    (void)deadline_ms;
    return answer;
}

/* Without a way to wait, or interrupted, it says so. */
static void test_client_check_that_can_not_wait(void **state)
{
    static const struct {
        int answer;
        rlk_result result;
    } rows[] = {{7, RLK_E_WAIT}, {RLK_CANCELLED, RLK_CANCELLED}};
    rlk_posix_options options;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(rows); i++) {
        memset(&options, 0, sizeof options);
        options.env.wait = wait_answers;
        answer = rows[i].answer;
        open_at(server_url(redis), &options);
        assert_result(rlk_client_check(&set.posix.client), rows[i].result);
        nodes_close(&set);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_client_check_of_a_server_that_can_all),
        support_test(test_client_check_of_a_stream_that_ended),
        support_test(test_client_check_names_limits),
        support_test(test_client_check_names_a_cluster),
        support_test(test_client_check_of_a_replica),
        support_test(test_client_check_returns_errors),
        support_test(test_client_check_ends_in_time),
        support_test(test_client_check_of_a_quorum),
        support_test(test_client_check_that_can_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
