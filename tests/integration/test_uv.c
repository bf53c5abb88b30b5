/* SPDX-License-Identifier: MIT
 *
 * Ports under libuv: examples/uv.c against a real server.
 */
#include "program.h"
#include "resplock.h"
#include "server.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static server *uv_server(const char *const *lines)
{
    server_config config;

    memset(&config, 0, sizeof config);
    config.tcp = true;
    config.lines = lines;
    return server_start(&config);
}

static program *uv_start(const char *url)
{
    return program_start(program_example("uv"), url, "key", NULL);
}

static void test_uv_acquires_and_releases(void **state)
{
    server *redis = uv_server(NULL);
    const char *urls[3];
    char by_name[64];
    size_t i;

    (void)state;
    snprintf(by_name, sizeof by_name, "redis://localhost:%d", server_port(redis));
    urls[0] = server_tcp_url(redis);
    urls[1] = server_tcp6_url(redis);
    urls[2] = by_name;
    for (i = 0; i < COUNT_OF(urls); i++) {
        program *run;

        if (urls[i][0] == '\0') /* no IPv6 here */
            continue;
        run = uv_start(urls[i]);
        program_expect(run, "acquired, for 2");
        program_expect(run, "released");
        assert_int_equal(program_wait(run), 0);
        assert_int_equal(server_integer(redis, "EXISTS key"), 0);
        /* the handshake's, the compare that begins the watch, and the release */
        assert_int_equal(server_calls(redis, "evalsha"), 3 * server_calls(redis, "set"));
    }
}

static void test_uv_waits_and_times_out(void **state)
{
    server *redis = uv_server(NULL);
    program *run;

    (void)state;
    server_do(redis, "SET key somebody");
    run = uv_start(server_tcp_url(redis));
    wait_until(server_calls(redis, "pttl") >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE key 60000"),
                     1); /* a change, which is notified */
    wait_until(server_calls(redis, "pttl") >= 2);

    server_integer(redis, "DEL key");
    program_expect(run, "released");
    assert_int_equal(program_wait(run), 0);

    server_do(redis, "SET key somebody");
    run = uv_start(server_tcp_url(redis));
    program_expect(run, "somebody else has it");
    assert_int_equal(program_wait(run), 1);
    assert_string_equal(server_text(redis, "GET key"), "somebody");
}

static void test_uv_connects_again(void **state)
{
    server *redis = uv_server(NULL);
    program *run;

    (void)state;
    server_do(redis, "SET key somebody");
    run = uv_start(server_tcp_url(redis));
    wait_until(server_calls(redis, "pttl") >= 1);

    server_kill(redis);
    support_sleep_ms(300);
    server_restart(redis, false);
    program_expect(run, "acquired, for 2");
    program_expect(run, "released");
    assert_int_equal(program_wait(run), 0);
}

/* A server that stops answering is left, and on the next stream the old one is fenced. */
static void test_uv_leaves_a_stream_that_went_dead(void **state)
{
    server *redis = uv_server(NULL);
    int ttl_ms = 1000 * support_time_factor();
    program *run;

    (void)state;
    server_do(redis, "SET key somebody");
    run = uv_start(server_tcp_url(redis));
    wait_until(server_calls(redis, "pttl") >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE key %d", ttl_ms), 1);
    wait_until(server_calls(redis, "pttl") >= 2);

    server_pause(redis); /* it asks when the TTL is over, and gets no answer */
    support_sleep_ms(ttl_ms + 2 * RLK_RESPONSE_TIMEOUT_MS);
    server_resume(redis);
    wait_until(server_calls(redis, "client|kill") >= 1);

    program_expect(run, "released");
    assert_int_equal(program_wait(run), 0);
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);
}

static void test_uv_says_what_is_wrong(void **state)
{
    server *redis = uv_server(SERVER_LINES("user default off", "user lock on >right ~* +@all",
                                           "user admin on nopass ~* +@all"));
    char url[128];
    program *run;

    (void)state;
    snprintf(url, sizeof url, "redis://lock:wrong@127.0.0.1:%d", server_port(redis));
    run = uv_start(url);
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_AUTH");
    snprintf(url, sizeof url, "redis://lock:right@127.0.0.1:%d", server_port(redis));
    run = uv_start(url);
    assert_int_equal(program_wait(run), 0);

    run = uv_start("unix:///tmp/x");
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "host");
    run = uv_start(
        "redis://a-label-of-more-than-63-letters-is-no-name-and-so-nobody-is-asked-for-it");
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_RESOLVE");
    server_kill(redis);
    run = uv_start(server_tcp_url(redis));
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_CONNECT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_uv_acquires_and_releases),
        support_test(test_uv_waits_and_times_out),
        support_test(test_uv_connects_again),
        support_test(test_uv_leaves_a_stream_that_went_dead),
        support_test(test_uv_says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
