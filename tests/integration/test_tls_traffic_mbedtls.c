/* SPDX-License-Identifier: MIT
 *
 * Much traffic, and streams that come again, with TLS by Mbed TLS.
 */
#include "resplock/tls/mbedtls.h"

typedef rlk_mbedtls tls_backend;
#define tls_backend_init  rlk_mbedtls_init
#define tls_backend_close rlk_mbedtls_close

#include "tls_traffic.h"
