/* SPDX-License-Identifier: MIT
 *
 * What TLS by Mbed TLS takes from its process.
 */
#include "child.h"
#include "support.h"

#include "resplock/tls/mbedtls.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who starts a program with the rights of another user does not choose whom it trusts. */
static void test_tls_mbedtls_trusts_no_environment_of_another_user(void **state)
{
    pid_t child;

    (void)state;
    if (geteuid() != 0)
        skip(); /* only root has other rights to take */
    child = child_fork();
    if (child == 0) {
        rlk_mbedtls tls;

        setenv("SSL_CERT_FILE", "/nowhere/ca.crt", 1);
        CHILD_CHECK(rlk_mbedtls_init(&tls, NULL) == RLK_E_TLS);
        CHILD_CHECK(strstr(rlk_mbedtls_error(&tls), "/nowhere/ca.crt") != NULL);
        CHILD_CHECK(setegid(65534) == 0);
        if (rlk_mbedtls_init(&tls, NULL) == RLK_OK)
            rlk_mbedtls_close(&tls);
        CHILD_CHECK(strstr(rlk_mbedtls_error(&tls), "/nowhere") == NULL);
        CHILD_CHECK(setegid(0) == 0 && seteuid(65534) == 0);
        unsetenv("SSL_CERT_FILE");
        setenv("SSL_CERT_DIR", "/nowhere", 1);
        if (rlk_mbedtls_init(&tls, NULL) == RLK_OK)
            rlk_mbedtls_close(&tls);
        CHILD_CHECK(strstr(rlk_mbedtls_error(&tls), "/nowhere") == NULL);
        _exit(0);
    }
    assert_int_equal(child_exit_code(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_mbedtls_trusts_no_environment_of_another_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
