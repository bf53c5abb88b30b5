/* SPDX-License-Identifier: MIT
 *
 * What TLS by Mbed TLS takes from its process.
 */
#include "certificates.h"
#include "server.h"
#include "support.h"

#include "resplock/tls/mbedtls.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define MEMORY_OF_SANITIZER
#endif
#endif
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_OF_SANITIZER
#endif

static bool other_user;
static bool other_group;

/* Those of a set-user-ID program. Only root could take other ones. */
uid_t geteuid(void)
{
    return getuid() + (other_user ? 1 : 0);
}

gid_t getegid(void)
{
    return getgid() + (other_group ? 1 : 0);
}

static void assert_environment(bool is_asked, const char *name)
{
    rlk_mbedtls tls;

    setenv(name, "/nowhere/ca.crt", 1);
    if (rlk_mbedtls_init(&tls, NULL) == RLK_OK)
        rlk_mbedtls_close(&tls);
    assert_int_equal(strstr(rlk_mbedtls_error(&tls), "/nowhere") != NULL, is_asked);
    unsetenv(name);
}

/* Who starts a program with the rights of another user does not choose whom it trusts. */
static void test_tls_mbedtls_trusts_no_environment_of_another_user(void **state)
{
    (void)state;
    assert_environment(true, "SSL_CERT_FILE");
    assert_environment(true, "SSL_CERT_DIR");
    other_group = true;
    assert_environment(false, "SSL_CERT_FILE");
    other_group = false;
    other_user = true;
    assert_environment(false, "SSL_CERT_DIR");
    other_user = false;
}

#ifndef MEMORY_OF_SANITIZER

static bool memory_is_counted;
static long memory_count;
static long memory_left = -1; /* calls until there is none any more; -1: there is */

void *__libc_calloc(size_t count, size_t size);

/* That of Mbed TLS. */
void *calloc(size_t count, size_t size)
{
    if (memory_is_counted && memory_count++ == memory_left) {
        memory_count--; /* and none comes back */
        return NULL;
    }
    return __libc_calloc(count, size);
}

static rlk_result connect_once(const char *url, const rlk_tls *tls)
{
    rlk_posix_options options;
    rlk_posix_client posix;
    rlk_result result;

    memset(&options, 0, sizeof options);
    options.tls = tls;
    assert_result(rlk_posix_open(&posix, url, &options), RLK_OK);
    memory_count = 0;
    memory_is_counted = true;
    result = rlk_client_check(&posix.client);
    memory_is_counted = false;
    rlk_posix_close(&posix);
    return result;
}

/* Such a want mostly passes, and so is not for good: Mbed TLS finds then that a CA is not trusted.
 */
static void test_tls_mbedtls_verifies_without_memory(void **state)
{
    server *redis = certificate_server("DNS:localhost", NULL);
    rlk_tls_config config;
    unsigned failed = 0;
    rlk_result result;
    rlk_mbedtls tls;
    long whole;
    long left;

    (void)state;
    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    assert_result(rlk_mbedtls_init(&tls, &config), RLK_OK);
    memory_left = -1;
    assert_result(connect_once(server_tls_url(redis), &tls.tls), RLK_OK);
    whole = memory_count;
    assert_true(whole > 1000);
    for (left = 0; left < whole; left += left < 20 ? 1 : whole / 29) {
        memory_left = left;
        result = connect_once(server_tls_url(redis), &tls.tls);
        failed += result == RLK_E_TLS;
        if (result != RLK_OK) /* it took less than before: that varies */
            assert_result(result, RLK_E_TLS);
    }
    assert_true(failed > 40);
    memory_left = -1;
    assert_result(connect_once(server_tls_url(redis), &tls.tls), RLK_OK);
    rlk_mbedtls_close(&tls);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_mbedtls_trusts_no_environment_of_another_user),
#ifndef MEMORY_OF_SANITIZER
        support_test(test_tls_mbedtls_verifies_without_memory),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
