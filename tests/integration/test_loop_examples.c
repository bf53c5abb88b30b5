/* SPDX-License-Identifier: MIT
 *
 * The examples of event loops, one for each adapter, against real servers. All of them run side by
 * side. What adapters do in trouble: loops.h.
 */
#include "program.h"
#include "resplock.h"
#include "server.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {"epoll", "uv", "libevent", "glib", "sdevent"};

static program *runs[COUNT_OF(names)];

static server *loop_server(const char *const *lines)
{
    server_config config;

    memset(&config, 0, sizeof config);
    config.tcp = true;
    config.lines = lines;
    return server_start(&config);
}

/* Starts all, each with a key of its own: its name. */
static void start_all(const char *url)
{
    size_t i;

    for (i = 0; i < COUNT_OF(names); i++)
        runs[i] = program_start(program_example(names[i]), url, names[i], NULL);
}

/* Each ends with this exit status, and has printed this at the end. */
static void expect_all(int status, const char *text)
{
    size_t i;

    for (i = 0; support_row(i, COUNT_OF(names)); i++) {
        assert_int_equal(program_wait(runs[i]), status);
        assert_contains(program_output(runs[i]), text);
    }
}

static void set_all(server *redis)
{
    size_t i;

    for (i = 0; i < COUNT_OF(names); i++)
        server_do(redis, "SET %s somebody", names[i]);
}

static void test_loop_examples_acquire_and_release(void **state)
{
    server *redis = loop_server(NULL);
    const char *urls[4];
    char by_name[64];
    size_t i;

    (void)state;
    snprintf(by_name, sizeof by_name, "redis://localhost:%d", server_port(redis));
    urls[0] = server_tcp_url(redis);
    urls[1] = server_tcp6_url(redis);
    urls[2] = by_name;
    urls[3] = server_url(redis);
    for (i = 0; i < COUNT_OF(urls); i++) {
        if (urls[i] == server_tcp6_url(redis) && !support_has_ipv6())
            continue;
        start_all(urls[i]);
        expect_all(0, "acquired\nreleased\n");
        assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    }
}

static void test_loop_examples_wait_for_the_key(void **state)
{
    server *redis = loop_server(NULL);

    (void)state;
    set_all(redis);
    start_all(server_tcp_url(redis));
    wait_until(server_calls(redis, "pttl") >= (int64_t)COUNT_OF(names));

    server_do(redis, "FLUSHALL"); /* the server notifies all */
    expect_all(0, "acquired\nreleased\n");
}

static void test_loop_examples_time_out(void **state)
{
    server *redis = loop_server(NULL);

    (void)state;
    set_all(redis);
    start_all(server_tcp_url(redis));
    expect_all(1, "TIMED_OUT");
    assert_int_equal(server_integer(redis, "DBSIZE"), (int)COUNT_OF(names));
}

static void test_loop_examples_connect_again(void **state)
{
    server *redis = loop_server(NULL);

    (void)state;
    set_all(redis);
    start_all(server_tcp_url(redis));
    wait_until(server_calls(redis, "pttl") >= (int64_t)COUNT_OF(names));

    server_kill(redis);
    support_sleep_ms(300);
    server_restart(redis, false);
    expect_all(0, "acquired\nreleased\n");
}

static void test_loop_examples_say_what_is_wrong(void **state)
{
    server *redis = loop_server(SERVER_LINES("user default off", "user lock on >right ~* +@all",
                                             "user admin on nopass ~* +@all"));
    char url[128];

    (void)state;
    snprintf(url, sizeof url, "redis://lock:wrong@127.0.0.1:%d", server_port(redis));
    start_all(url);
    expect_all(1, "E_AUTH");
    start_all("http://localhost");
    expect_all(1, "E_URL");
    start_all("redis://a-name.invalid");
    expect_all(1, "E_RESOLVER"); /* an option names one */
    server_kill(redis);
    start_all(server_tcp_url(redis));
    expect_all(1, "E_CONNECT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_loop_examples_acquire_and_release),
        support_test(test_loop_examples_wait_for_the_key),
        support_test(test_loop_examples_time_out),
        support_test(test_loop_examples_connect_again),
        support_test(test_loop_examples_say_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
