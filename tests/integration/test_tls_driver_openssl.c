/* SPDX-License-Identifier: MIT
 *
 * Locks over TLS by OpenSSL.
 */
#include "resplock/tls/openssl.h"

typedef rlk_openssl tls_backend;
#define tls_backend_init  rlk_openssl_init
#define tls_backend_close rlk_openssl_close
#define TLS_CUT_STEP      1

#include "tls_driver.h"
