/* SPDX-License-Identifier: MIT
 *
 * Whom a client trusts, with TLS by Mbed TLS.
 */
#include "resplock/tls/mbedtls.h"

typedef rlk_mbedtls tls_backend;
#define tls_backend_init  rlk_mbedtls_init
#define tls_backend_close rlk_mbedtls_close
#define tls_backend_error rlk_mbedtls_error
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define TLS_BACKEND_13 1
#else
#define TLS_BACKEND_13 0
#endif

#include "tls_certificates.h"
