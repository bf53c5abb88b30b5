/* SPDX-License-Identifier: MIT
 *
 * Locks over TLS by Mbed TLS.
 */
#include "resplock/tls/mbedtls.h"

typedef rlk_mbedtls tls_backend;
#define tls_backend_init  rlk_mbedtls_init
#define tls_backend_close rlk_mbedtls_close
#define TLS_CUT_STEP      13

#include "tls_driver.h"
