/* SPDX-License-Identifier: MIT
 *
 * The server fixture itself: what other tests believe of it.
 */
#include "server.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_support_server_answers(void **state)
{
    server *redis = server_start(NULL);
    size_t len;

    (void)state;
    assert_string_equal(server_text(redis, "PING"), "PONG");
    server_do(redis, "SET %s %s", "a key", "two words");
    assert_string_equal(server_text(redis, "GET %s", "a key"), "two words");
    server_do(redis, "SET %b %b", "k\0\r\n", (size_t)4, "v\0w", (size_t)3);
    assert_memory_equal(server_bytes(redis, &len, "GET %b", "k\0\r\n", (size_t)4), "v\0w", 4);
    assert_int_equal(len, 3);
    assert_null(server_text(redis, "GET nothing"));
    assert_int_equal(server_integer(redis, "PTTL nothing"), -2);
    assert_string_equal(server_text(redis, "MGET nothing x%d", 1), "");
    assert_contains(server_text(redis, "INCR %s", "a key"), "-ERR value is not an integer");
    assert_int_equal(server_calls(redis, "incr"), 1);
    assert_int_equal(server_info(redis, "clients", "connected_clients"), 1);
    assert_int_equal(server_info(redis, "server", "process_id"), server_pid(redis));
}

static void test_support_server_takes_lines_and_password(void **state)
{
    server_config config;
    server *redis;

    (void)state;
    memset(&config, 0, sizeof config);
    config.tcp = true;
    config.password = "secret";
    config.lines = SERVER_LINES("databases 3", "rename-command HELLO \"\"",
                                "user app on >pw ~lock:* -@all +set");
    redis = server_start(&config);
    assert_contains(server_text(redis, "HELLO 3"), "unknown command");
    assert_contains(server_text(redis, "SELECT 3"), "out of range");
    assert_contains(server_text(redis, "ACL LIST"), "user app on");
}

static void test_support_server_keeps_its_address(void **state)
{
    server_config config;
    server *redis;
    struct stat info;
    char path[256];
    int port;

    (void)state;
    memset(&config, 0, sizeof config);
    config.tcp = true;
    redis = server_start(&config);
    port = server_port(redis);
    server_do(redis, "SET kept 1");
    server_save(redis);
    server_do(redis, "SET forgotten 1");
    server_restart(redis, true);
    assert_int_equal(server_integer(redis, "EXISTS kept"), 1);
    assert_int_equal(server_integer(redis, "EXISTS forgotten"), 0);
    server_stop(redis);
    assert_int_equal(server_pid(redis), 0);
    server_restart(redis, false);
    assert_int_equal(server_integer(redis, "EXISTS kept"), 0);
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    assert_int_equal(server_info(redis, "server", "tcp_port"), port);
    snprintf(path, sizeof path, "%s", server_folder(redis));
    assert_int_equal(stat(path, &info), 0);
    server_free(redis);
    assert_int_not_equal(stat(path, &info), 0);
}

static void test_support_server_many(void **state)
{
    server_config config;
    server *redis[5];
    size_t i, k;

    (void)state;
    memset(&config, 0, sizeof config);
    config.tcp = true;
    for (i = 0; i < COUNT_OF(redis); i++)
        redis[i] = server_start(&config);
    for (i = 0; i < COUNT_OF(redis); i++) {
        for (k = 0; k < i; k++)
            assert_int_not_equal(server_port(redis[i]), server_port(redis[k]));
        server_do(redis[i], "SET mine %zu", i);
    }
    for (i = 0; i < COUNT_OF(redis); i++)
        assert_int_equal(atoi(server_text(redis[i], "GET mine")), i);
}

static void test_support_server_pauses(void **state)
{
    server *redis = server_start(NULL);
    int64_t start_ms;

    (void)state;
    server_pause(redis);
    start_ms = support_now_ms();
    server_send(redis, "SET late 1");
    support_sleep_ms(50);
    server_resume(redis);
    wait_until(server_integer(redis, "EXISTS late") == 1);

    server_send(redis, "DEBUG SLEEP 0.2");
    wait_until(server_calls(redis, "debug") == 1);

    assert_true(support_now_ms() - start_ms >= 200);
}

/* RESPLOCK_TEST_SERVER: the tests take another server than the one on the PATH. */
static void test_support_server_is_another(void **state)
{
    char *folder = support_folder_new();
    char path[512];
    char mark[512];
    const char *before = getenv("RESPLOCK_TEST_SERVER");
    char *kept = before != NULL ? strdup(before) : NULL;
    FILE *script;

    (void)state;
    snprintf(path, sizeof path, "%s/another", folder);
    snprintf(mark, sizeof mark, "%s/mark", folder);
    script = fopen(path, "w");
    assert_non_null(script);
    fprintf(script, "#!/bin/sh\n: >\"$(dirname \"$0\")/mark\"\nexec '%s' \"$@\"\n",
            kept != NULL ? kept : "redis-server");
    assert_int_equal(fclose(script), 0);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(setenv("RESPLOCK_TEST_SERVER", path, 1), 0);
    assert_string_equal(server_text(server_start(NULL), "PING"), "PONG");
    assert_int_equal(access(mark, F_OK), 0);
    if (kept != NULL)
        setenv("RESPLOCK_TEST_SERVER", kept, 1);
    else
        unsetenv("RESPLOCK_TEST_SERVER");
    free(kept);
    support_folder_remove(folder);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_support_server_answers),
        support_test(test_support_server_takes_lines_and_password),
        support_test(test_support_server_keeps_its_address),
        support_test(test_support_server_many),
        support_test(test_support_server_pauses),
        support_test(test_support_server_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
