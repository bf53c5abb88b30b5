/* SPDX-License-Identifier: MIT
 *
 * resplock/tls/mbedtls.h: TLS by Mbed TLS 2.28 or 3. Optional: not part of the library. Compile
 * src/tls/mbedtls.c with the program, or link to resplock::mbedtls.
 *
 *     rlk_mbedtls tls;
 *     if (rlk_mbedtls_init(&tls, &(rlk_tls_config){.ca_file = "ca.crt"}) != RLK_OK)
 *         return fail(rlk_mbedtls_error(&tls));
 *     rlk_posix_open(&redis, "rediss://example.com", &(rlk_posix_options){.tls = &tls.tls});
 *     ...
 *     rlk_posix_close(&redis);
 *     rlk_mbedtls_close(&tls);
 *
 * One rlk_mbedtls is for all nodes of a client, and for several clients of one thread.
 *
 * Mbed TLS can't verify name constraints (RFC 5280, 4.2.1.10), and would ignore them. So a chain is
 * refused if one of its CAs has any.
 *
 * Memory, with Debian's Mbed TLS 2.28 on 64 bits. An rlk_mbedtls takes 40 KB, nearly all of them
 * for its sources of entropy: make it static where stacks are small. A connection takes 40 KB of
 * the heap (mbedtls_calloc), and 3 KB more in the handshake. 33 KB of them are the two buffers of
 * MBEDTLS_SSL_IN_CONTENT_LEN and MBEDTLS_SSL_OUT_CONTENT_LEN. The system's store takes 420 KB.
 */
#ifndef RESPLOCK_TLS_MBEDTLS_H
#define RESPLOCK_TLS_MBEDTLS_H

#include "resplock.h"

#include <mbedtls/version.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields are private. Must not be moved once initialised. */
typedef struct rlk_mbedtls {
    rlk_tls tls; /* what rlk_posix_options takes; first */
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_x509_crt ca;
    mbedtls_x509_crt cert; /* of the client, and its chain */
    mbedtls_pk_context key;
    mbedtls_ssl_config config;
    uint8_t pin[RLK_TLS_PIN];
    bool pinned;
    bool insecure;
    char error[256];
} rlk_mbedtls;

/*
 * Reads the certificates, and seeds a generator of random numbers of its own from the entropy
 * sources of Mbed TLS. `config` may be NULL: the system's store, and no client's certificate. With
 * the POSIX driver each connection takes new entropy, so that a child of fork, whose clients are
 * its own, has other keys than its parent.
 * But TLS 1.3, in Mbed TLS 3, draws keys from PSA's generator, which a child inherits: there a
 * program forks before its first rlk_mbedtls_init.
 *
 * The system's store is the file or folder that the environment variables SSL_CERT_FILE and
 * SSL_CERT_DIR name, else the first of these files that is there: those of Debian, Fedora, openSUSE
 * and Alpine in /etc, and /usr/local/share/certs/ca-root-nss.crt. Of a file and of a folder those
 * certificates count that this Mbed TLS can read; there must be one.
 *
 * RLK_OK; RLK_E_ARGUMENT: a key without certificate; RLK_E_ENTROPY; RLK_E_TLS: a file can't be
 * read, or holds no certificate or no key, or they are no pair. After an error rlk_mbedtls_error
 * has the words, and the rlk_mbedtls is closed.
 */
rlk_result rlk_mbedtls_init(rlk_mbedtls *tls, const rlk_tls_config *config);

/* Gives all memory back. Close the clients before. */
void rlk_mbedtls_close(rlk_mbedtls *tls);

/* Returns why rlk_mbedtls_init failed; "" if it did not. Names the file. */
const char *rlk_mbedtls_error(const rlk_mbedtls *tls);

#ifdef __cplusplus
}
#endif

#endif
