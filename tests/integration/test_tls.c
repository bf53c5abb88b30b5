/* SPDX-License-Identifier: MIT
 *
 * examples/tls.c against a real server with a certificate made for this test.
 */
#include "certificates.h"
#include "program.h"
#include "server.h"
#include "support.h"

#include <stdio.h>

static program *tls_start(const char *url, const char *ca)
{
    return program_start(program_example("tls"), url, ca, "key", NULL);
}

static void test_tls_acquires_and_releases(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    program *run = tls_start(server_tls_url(redis), certificate_authority("ca"));

    (void)state;
    program_expect(run, "acquired, for 2");
    program_expect(run, "release: OK");
    assert_int_equal(program_wait(run), 0);
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);
    assert_int_equal(server_calls(redis, "set"), 1);
}

static void test_tls_waits_for_the_holder(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    program *run;

    (void)state;
    server_do(redis, "SET key somebody");
    run = tls_start(server_tls_url(redis), certificate_authority("ca"));
    wait_until(server_calls(redis, "pttl") >= 1);

    assert_int_equal(server_integer(redis, "PEXPIRE key 60000"),
                     1); /* a change, which is notified */
    wait_until(server_calls(redis, "pttl") >= 2);

    server_integer(redis, "DEL key");
    assert_int_equal(program_wait(run), 0);

    server_do(redis, "SET key somebody");
    run = tls_start(server_tls_url(redis), certificate_authority("ca"));
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "TIMED_OUT");
    assert_string_equal(server_text(redis, "GET key"), "somebody");
}

static void test_tls_connects_again(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    program *run;

    (void)state;
    server_do(redis, "SET key somebody");
    run = tls_start(server_tls_url(redis), certificate_authority("ca"));
    wait_until(server_calls(redis, "pttl") >= 1);

    server_restart(redis, false);
    program_expect(run, "acquired, for 2");
    assert_int_equal(program_wait(run), 0);
}

/* Another server than the one that was meant gets no byte of a command. */
static void test_tls_refuses_another_name(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    char url[64];
    program *run;

    (void)state;
    snprintf(url, sizeof url, "rediss://127.0.0.1:%d", server_port(redis));
    run = tls_start(url, certificate_authority("ca"));
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_TLS_REFUSED");
    assert_contains(program_output(run), "certificate is not for 127.0.0.1, but for localhost)");
    assert_int_equal(server_calls(redis, "hello"), 0);
}

static void test_tls_refuses_another_ca(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    program *run = tls_start(server_tls_url(redis), certificate_authority("other"));

    (void)state;
    assert_int_equal(program_wait(run), 1);
    assert_contains(program_output(run), "E_TLS_REFUSED");
    assert_contains(program_output(run),
                    "certificate is by an untrusted CA (ca_file): CN=authority ca)");
    assert_int_equal(server_calls(redis, "hello"), 0);
}

/* What is wrong with the arguments, in words of the caller. */
static void test_tls_names_what_is_wrong(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    char url[64];
    program *run = tls_start(server_tls_url(redis), "no-such-file");

    (void)state;
    program_expect(run, "no-such-file: can't be read: No such file or directory");
    assert_int_equal(program_wait(run), 1);

    snprintf(url, sizeof url, "redis://localhost:%d", server_port(redis));
    run = tls_start(url, certificate_authority("ca"));
    program_expect(run, "E_URL_PLAIN: the URL is not encrypted, but options.tls is set");
    assert_int_equal(program_wait(run), 1);

    run = program_start(program_example("blocking"), server_tls_url(redis), "key", NULL);
    program_expect(run, "E_URL_TLS: rediss:// and valkeys:// need a TLS library");
    assert_int_equal(program_wait(run), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_acquires_and_releases), support_test(test_tls_waits_for_the_holder),
        support_test(test_tls_connects_again),        support_test(test_tls_refuses_another_name),
        support_test(test_tls_refuses_another_ca),    support_test(test_tls_names_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
