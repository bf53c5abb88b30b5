/* SPDX-License-Identifier: MIT
 *
 * Whom a client trusts, with TLS by OpenSSL.
 */
#include "resplock/tls/openssl.h"

typedef rlk_openssl tls_backend;
#define tls_backend_init  rlk_openssl_init
#define tls_backend_close rlk_openssl_close
#define tls_backend_error rlk_openssl_error
#define TLS_BACKEND_13    1

#include "tls_certificates.h"
