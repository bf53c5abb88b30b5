/* SPDX-License-Identifier: MIT
 *
 * Ports on lwIP: examples/lwip.c (raw interface, callbacks) and examples/freertos.c (sockets, a
 * task that blocks), each on a board that is a process, against a real server.
 */
#include "program.h"
#include "server.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static const char *const programs[] = {"lwip", "freertos"};

static program *lwip_start(const char *name, server *redis)
{
    char port[16];

    snprintf(port, sizeof port, "%d", server_port(redis));
    return program_start(program_example(name), "127.0.0.1", port, NULL);
}

static void expect_lock_and_end(program *run, server *redis)
{
    program_expect(run, "acquired");
    program_expect(run, "released");
    assert_int_equal(program_wait(run), 0);
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);
}

static void on_each(void (*body)(const char *name, server *redis))
{
    size_t i;

    for (i = 0; i < COUNT_OF(programs); i++) {
        server_config config;

        memset(&config, 0, sizeof config);
        config.tcp = true;
        body(programs[i], server_start(&config));
        support_teardown(NULL);
    }
}

static void acquires_and_releases(const char *name, server *redis)
{
    expect_lock_and_end(lwip_start(name, redis), redis);
    assert_int_equal(server_calls(redis, "set"), 1);
    /* of the handshake, and the release; a machine that is slow connects again, or renews */
    assert_between(server_calls(redis, "evalsha"), 2, 5);
}

static void test_lwip_acquires_and_releases(void **state)
{
    (void)state;
    on_each(acquires_and_releases);
}

static void waits_for_the_holder(const char *name, server *redis)
{
    program *run;

    server_do(redis, "SET key somebody");
    run = lwip_start(name, redis);
    wait_until(server_calls(redis, "pttl") >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE key 60000"),
                     1); /* a change, which is notified */
    wait_until(server_calls(redis, "pttl") >= 2);

    assert_string_equal(server_text(redis, "GET key"), "somebody");
    server_integer(redis, "DEL key");
    expect_lock_and_end(run, redis);
}

static void test_lwip_waits_for_the_holder(void **state)
{
    (void)state;
    on_each(waits_for_the_holder);
}

/* While the server is down the relay behind the board resets each stream. */
static void connects_again(const char *name, server *redis)
{
    program *run;

    server_do(redis, "SET key somebody");
    run = lwip_start(name, redis);
    wait_until(server_calls(redis, "pttl") >= 1);

    server_kill(redis);
    support_sleep_ms(300);
    server_restart(redis, false);
    expect_lock_and_end(run, redis);
}

static void test_lwip_connects_again(void **state)
{
    (void)state;
    on_each(connects_again);
}

static void leaves_a_stream_that_went_dead(const char *name, server *redis)
{
    int ttl_ms = 1000 * support_time_factor();
    program *run;

    server_do(redis, "SET key somebody");
    run = lwip_start(name, redis);
    wait_until(server_calls(redis, "pttl") >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE key %d", ttl_ms), 1);
    wait_until(server_calls(redis, "pttl") >= 2); /* answered: it knows when the TTL is over */

    server_pause(redis); /* it asks when the TTL is over, and gets no answer */
    support_sleep_ms(ttl_ms + 3500);
    server_resume(redis);
    wait_until(server_calls(redis, "client|kill") >= 1);

    expect_lock_and_end(run, redis);
}

static void test_lwip_leaves_a_stream_that_went_dead(void **state)
{
    (void)state;
    on_each(leaves_a_stream_that_went_dead);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_lwip_acquires_and_releases),
        support_test(test_lwip_waits_for_the_holder),
        support_test(test_lwip_connects_again),
        support_test(test_lwip_leaves_a_stream_that_went_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
