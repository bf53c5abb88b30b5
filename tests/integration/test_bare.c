/* SPDX-License-Identifier: MIT
 *
 * Bare ports: examples/bare.c, whose board is a process, against a real server; as it is, and
 * without what its switches leave out. The counter of that board wraps within the first second.
 */
#include "program.h"
#include "resplock.h"
#include "server.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static server *bare_server(void)
{
    server_config config;

    memset(&config, 0, sizeof config);
    config.tcp = true;
    return server_start(&config);
}

static program *bare_start(const char *name, server *redis)
{
    char port[16];

    snprintf(port, sizeof port, "%d", server_port(redis));
    return program_start(program_example(name), "127.0.0.1", port, NULL);
}

static void on_each(void (*body)(const char *name, server *redis))
{
    body("bare", bare_server());
    support_teardown(NULL);
    body("bare_small", bare_server());
}

static void bare_expect_end(program *run, server *redis)
{
    program_expect(run, "released");
    assert_int_equal(program_wait(run), 0);
    assert_int_equal(server_integer(redis, "EXISTS pump"), 0);
}

static void acquires_renews_and_releases(const char *name, server *redis)
{
    program *run = bare_start(name, redis);

    program_expect(run, "acquired: pump on");
    assert_memory_equal(server_text(redis, "GET pump"), "board-1-", 8);
    assert_between(server_integer(redis, "PTTL pump"), 1, 1500);
    program_expect(run, "renewed");
    bare_expect_end(run, redis);
    assert_null(strstr(program_output(run), "lost"));
    wait_until(server_info(redis, "clients", "connected_clients") == 1); /* it hung up */
}

static void test_bare_acquires_renews_and_releases(void **state)
{
    (void)state;
    on_each(acquires_renews_and_releases);
}

/* Returns how often the board asked when the key is free. Without notifications it only tries. */
static int64_t bare_questions(const char *name, server *redis)
{
    return server_calls(redis, strcmp(name, "bare_small") == 0 ? "set" : "pttl");
}

static void waits_for_the_holder(const char *name, server *redis)
{
    program *run;

    server_do(redis, "SET pump somebody PX 60000");
    run = bare_start(name, redis);
    wait_until(bare_questions(name, redis) >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE pump 60000"),
                     1); /* a change, which is notified */
    wait_until(bare_questions(name, redis) >= 2);

    assert_string_equal(server_text(redis, "GET pump"), "somebody");
    assert_string_equal(program_output(run), "");
    server_integer(redis, "DEL pump");
    program_expect(run, "acquired: pump on");
    bare_expect_end(run, redis);
}

static void test_bare_waits_for_the_holder(void **state)
{
    (void)state;
    on_each(waits_for_the_holder);
}

static void loses_the_lock_with_its_server(const char *name, server *redis)
{
    program *run = bare_start(name, redis);

    program_expect(run, "acquired: pump on");
    server_kill(redis);
    program_expect(run, "lost: pump off");
    server_restart(redis, false);
    program_expect(run, "acquired: pump on");
    bare_expect_end(run, redis);
}

static void test_bare_loses_the_lock_with_its_server(void **state)
{
    (void)state;
    on_each(loses_the_lock_with_its_server);
}

static void notices_another_holder(const char *name, server *redis)
{
    program *run = bare_start(name, redis);

    program_expect(run, "acquired: pump on");
    server_do(redis, "SET pump usurper PX 60000");
    program_expect(run, "lost: pump off");
    assert_string_equal(server_text(redis, "GET pump"), "usurper");
    server_integer(redis, "DEL pump");
    program_expect(run, "acquired: pump on");
    bare_expect_end(run, redis);
}

static void test_bare_notices_another_holder(void **state)
{
    (void)state;
    on_each(notices_another_holder);
}

/* The board sleeps for longer than the TTL, and its clock goes on. */
static void finds_it_lost_after_a_long_sleep(const char *name, server *redis)
{
    program *run = bare_start(name, redis);

    program_expect(run, "acquired: pump on");
    program_signal(run, SIGSTOP);
    wait_until(server_integer(redis, "EXISTS pump") == 0);

    server_do(redis, "SET pump somebody PX 60000");
    program_signal(run, SIGCONT);
    program_expect(run, "lost: pump off");
    assert_string_equal(server_text(redis, "GET pump"), "somebody");
    server_integer(redis, "DEL pump");
    program_expect(run, "acquired: pump on");
    bare_expect_end(run, redis);
}

static void test_bare_finds_it_lost_after_a_long_sleep(void **state)
{
    (void)state;
    on_each(finds_it_lost_after_a_long_sleep);
}

/* The fence works on bare ports too: a new stream has the server kill the old one. */
static void fences_a_connection_that_went_dead(const char *name, server *redis)
{
    int ttl_ms = 1000 * support_time_factor();
    program *run;

    server_do(redis, "SET pump somebody PX 60000");
    run = bare_start(name, redis);
    wait_until(bare_questions(name, redis) >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE pump %d", ttl_ms), 1);
    wait_until(bare_questions(name, redis) >= 2);

    server_pause(redis); /* it asks when the TTL is over, and gets no answer */
    support_sleep_ms(ttl_ms + 2 * RLK_RESPONSE_TIMEOUT_MS);
    server_resume(redis);
    wait_until(server_calls(redis, "client|kill") >= 1);

    program_expect(run, "acquired: pump on");
    bare_expect_end(run, redis);
}

static void test_bare_fences_a_connection_that_went_dead(void **state)
{
    (void)state;
    on_each(fences_a_connection_that_went_dead);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_bare_acquires_renews_and_releases),
        support_test(test_bare_waits_for_the_holder),
        support_test(test_bare_loses_the_lock_with_its_server),
        support_test(test_bare_notices_another_holder),
        support_test(test_bare_finds_it_lost_after_a_long_sleep),
        support_test(test_bare_fences_a_connection_that_went_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
