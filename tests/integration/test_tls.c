/* SPDX-License-Identifier: MIT
 *
 * TLS on the ports: examples/tls.c against a real server with a certificate made for this test.
 */
#include "certificates.h"
#include "program.h"
#include "server.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

/* With a certificate by the authority "ca" for "localhost". */
static server *tls_server(void)
{
    static const certificate_spec spec = {.names = "DNS:localhost"};
    certificate cert;
    server_config config;

    certificate_make(&cert, &spec);
    memset(&config, 0, sizeof config);
    config.tcp = true;
    config.tls_cert = cert.file;
    config.tls_key = cert.key_file;
    return server_start(&config);
}

static program *tls_start(server *redis, const char *host, const char *ca)
{
    char port[16];

    snprintf(port, sizeof port, "%d", server_port(redis));
    return program_start(program_example("tls"), host, port, ca, "key", NULL);
}

static void test_tls_acquires_and_releases(void **state)
{
    server *redis = tls_server();
    program *run = tls_start(redis, "localhost", certificate_authority("ca"));

    (void)state;
    program_expect(run, "acquired, for 2");
    program_expect(run, "release: OK");
    assert_int_equal(program_wait(run), 0);
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);
    assert_int_equal(server_calls(redis, "set"), 1);
}

static void test_tls_waits_for_the_holder(void **state)
{
    server *redis = tls_server();
    program *run;

    (void)state;
    server_do(redis, "SET key somebody");
    run = tls_start(redis, "localhost", certificate_authority("ca"));
    wait_until(server_calls(redis, "pttl") >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE key 60000"),
                     1); /* a change, which is notified */
    wait_until(server_calls(redis, "pttl") >= 2);

    server_integer(redis, "DEL key");
    assert_int_equal(program_wait(run), 0);

    server_do(redis, "SET key somebody");
    run = tls_start(redis, "localhost", certificate_authority("ca"));
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "TIMED_OUT");
    assert_string_equal(server_text(redis, "GET key"), "somebody");
}

static void test_tls_connects_again(void **state)
{
    server *redis = tls_server();
    program *run;

    (void)state;
    server_do(redis, "SET key somebody");
    run = tls_start(redis, "localhost", certificate_authority("ca"));
    wait_until(server_calls(redis, "pttl") >= 1);

    server_restart(redis, false);
    program_expect(run, "acquired, for 2");
    assert_int_equal(program_wait(run), 0);
}

/* Another server than the one that was meant gets no byte of a command. */
static void test_tls_refuses_another_name(void **state)
{
    server *redis = tls_server();
    program *run = tls_start(redis, "127.0.0.1", certificate_authority("ca"));

    (void)state;
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "does not match with the expected CN");
    assert_contains(program_output(run), "E_CONNECT");
    assert_int_equal(server_calls(redis, "hello"), 0);
}

static void test_tls_refuses_another_ca(void **state)
{
    server *redis = tls_server();
    program *run = tls_start(redis, "localhost", certificate_authority("other"));

    (void)state;
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "not correctly signed by the trusted CA");
    assert_contains(program_output(run), "E_CONNECT");
    assert_int_equal(server_calls(redis, "hello"), 0);
}

static void test_tls_refuses_a_server_without_tls(void **state)
{
    server_config config;
    server *redis;
    program *run;

    (void)state;
    memset(&config, 0, sizeof config);
    config.tcp = true;
    redis = server_start(&config);
    run = tls_start(redis, "localhost", certificate_authority("ca"));
    assert_int_equal(program_wait(run), 1);
    assert_int_equal(server_calls(redis, "set"), 0);
    run = tls_start(redis, "localhost", "no-such-file");
    assert_int_equal(program_wait(run), 1);
    program_expect(run, "bad CA file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_acquires_and_releases),
        support_test(test_tls_waits_for_the_holder),
        support_test(test_tls_connects_again),
        support_test(test_tls_refuses_another_name),
        support_test(test_tls_refuses_another_ca),
        support_test(test_tls_refuses_a_server_without_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
