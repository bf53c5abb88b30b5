/* SPDX-License-Identifier: MIT
 *
 * certificates.h: certificates made for one test by the openssl command, with keys on an elliptic
 * curve, which cost milliseconds. The files are gone at the teardown of the test.
 *
 *     static const certificate_spec expired = {.names = "DNS:localhost", .to_days = -1};
 *
 *     certificate cert;
 *     certificate_make(&cert, &expired);
 *     config.tls_cert = cert.file;
 *     config.tls_key = cert.key_file;
 *     ... certificate_authority("ca") ... is who signed it
 *
 *     server *redis = certificate_server("DNS:localhost", NULL);   all of that, for a valid one
 */
#ifndef TEST_CERTIFICATES_H
#define TEST_CERTIFICATES_H

#include "server.h"

#include <stdint.h>

#define CERTIFICATE_PATH 128
#define CERTIFICATE_PIN  32

/* 0 and NULL are the defaults. */
typedef struct certificate_spec {
    const char *common_name; /* NULL: "server", which is no host of a test */
    const char *names;       /* subjectAltName: "DNS:localhost,IP:127.0.0.1"; NULL: none */
    const char *issuer;      /* an authority by name; NULL: "ca"; "": the certificate's own key */
    const char *usage;       /* extendedKeyUsage: "clientAuth"; NULL: none, which allows all */
    const char *extension;   /* one more line: "1.2.3.4=critical,ASN1:NULL"; NULL: none */
    const char *between;     /* extensions of an authority of its own, which is by the issuer, and
                                is in the file, too: "extendedKeyUsage=clientAuth", ""; NULL: the
                                issuer signs it itself */
    bool root;               /* the issuer's own certificate is in the file, too */
    int from_days;           /* it is valid from and until then, in days from now; */
    int to_days;             /* 0: since three days, and for two more */
} certificate_spec;

typedef struct certificate {
    char file[CERTIFICATE_PATH];
    char key_file[CERTIFICATE_PATH]; /* of the same test, a key for all */
} certificate;

/* Makes a certificate, and first the authority, if no other certificate of the test is by it. */
void certificate_make(certificate *out, const certificate_spec *spec);

/* Starts a server whose TCP port speaks TLS, with a certificate for these names by the authority
 * "ca". The versions are those of server_config; NULL: the server's choice. */
server *certificate_server(const char *names, const char *versions);

/* Returns the file of an authority's certificate, and makes it at the first call of the test. The
 * path lives until the teardown. */
const char *certificate_authority(const char *name);

/* Returns a folder in which OpenSSL and Mbed TLS find the certificates of those authorities:
 * certificate_folder("other", "ca", NULL). The path lives until the teardown. */
const char *certificate_folder(const char *name, ...);

/* SHA-256 of the public key of a certificate (SubjectPublicKeyInfo). */
void certificate_pin(const char *file, uint8_t pin[CERTIFICATE_PIN]);

/* Returns the file of the key of all certificates, encrypted. The path lives until the teardown. */
const char *certificate_encrypted_key(const char *password);

/* The same, as OpenSSL 3 writes it: not every TLS library reads that. */
const char *certificate_encrypted_pkcs8(const char *password);

/* Writes a file beside the certificates; returns its path, which lives until the teardown. */
const char *certificate_text(const char *name, const char *text);

#endif
