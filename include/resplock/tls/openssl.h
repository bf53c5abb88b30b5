/* SPDX-License-Identifier: MIT
 *
 * resplock/tls/openssl.h: TLS by OpenSSL 3. Optional: not part of the library. Compile
 * src/tls/openssl.c with the program, or link to resplock::openssl.
 *
 *     rlk_openssl tls;
 *     if (rlk_openssl_init(&tls, &(rlk_tls_config){.ca_file = "ca.crt"}) != RLK_OK)
 *         return fail(rlk_openssl_error(&tls));
 *     rlk_posix_open(&redis, "rediss://example.com", &(rlk_posix_options){.tls = &tls.tls});
 *     ...
 *     rlk_posix_close(&redis);
 *     rlk_openssl_close(&tls);
 *
 * One rlk_openssl is for all nodes of a client, and for several clients, also in several threads.
 * OpenSSL's settings of the system (openssl.cnf) hold, except that TLS 1.2 is the least. What it
 * refuses at its security level, such as short keys, is refused here.
 */
#ifndef RESPLOCK_TLS_OPENSSL_H
#define RESPLOCK_TLS_OPENSSL_H

#include "resplock.h"

#include <openssl/ssl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields are private. Must not be moved once initialised. */
typedef struct rlk_openssl {
    rlk_tls tls; /* what rlk_posix_options takes; first */
    SSL_CTX *context;
    BIO_METHOD *stream;
    uint8_t pin[RLK_TLS_PIN];
    bool pinned;
    bool insecure;
    char error[256];
} rlk_openssl;

/*
 * Reads the certificates. `config` may be NULL: the system's store, and no client's certificate.
 * The system's store is OpenSSL's, or what the environment variables SSL_CERT_FILE and SSL_CERT_DIR
 * name; it is not checked here. A ca_dir has a link for each certificate, which `openssl rehash`
 * makes. A CA that another one has signed is trusted only if that one is, too, up to the root; with
 * Mbed TLS it is trusted alone. No encrypted key is asked for on the terminal.
 *
 * RLK_OK; RLK_E_ARGUMENT: a key without certificate; RLK_E_TLS: a file can't be read, or holds no
 * certificate or no key, or they are no pair. After an error rlk_openssl_error has the words, and
 * the rlk_openssl is closed. The calls leave OpenSSL's error queue of this thread empty, as all
 * steps of a stream do: what the program itself had in it is dropped.
 */
rlk_result rlk_openssl_init(rlk_openssl *tls, const rlk_tls_config *config);

/* Gives all memory back. Close the clients before. */
void rlk_openssl_close(rlk_openssl *tls);

/* Returns why rlk_openssl_init failed; "" if it did not. Names the file. */
const char *rlk_openssl_error(const rlk_openssl *tls);

#ifdef __cplusplus
}
#endif

#endif
