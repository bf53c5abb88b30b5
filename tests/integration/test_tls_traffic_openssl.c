/* SPDX-License-Identifier: MIT
 *
 * Much traffic, and streams that come again, with TLS by OpenSSL.
 */
#include "resplock/tls/openssl.h"

typedef rlk_openssl tls_backend;
#define tls_backend_init  rlk_openssl_init
#define tls_backend_close rlk_openssl_close

#include "tls_traffic.h"
