/* SPDX-License-Identifier: MIT
 *
 * What OpenSSL takes from its process: the system's settings, the terminal, and memory. Each test
 * uses a child, in which OpenSSL has not run before.
 */
#define _GNU_SOURCE
#include "certificates.h"
#include "child.h"
#include "server.h"
#include "support.h"

#include "resplock/tls/openssl.h"

#include <fcntl.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Settings ------------------------------------------------------------------------------ */

static const char *settings(const char *line)
{
    char text[256];

    snprintf(text, sizeof text,
             "openssl_conf = begin\n[begin]\nssl_conf = modules\n[modules]\n"
             "system_default = all\n[all]\n%s\n",
             line);
    return certificate_text("openssl.cnf", text);
}

/* The result of an acquire over TLS, in a process with those settings. */
static rlk_result acquire_with(const char *conf, const char *ca, const char *url)
{
    rlk_posix_options options;
    rlk_posix_client posix;
    rlk_tls_config config;
    rlk_result result;
    rlk_openssl tls;
    rlk_lock lock;

    setenv("OPENSSL_CONF", conf, 1);
    memset(&config, 0, sizeof config);
    config.ca_file = ca;
    memset(&options, 0, sizeof options);
    options.tls = &tls.tls;
    CHILD_CHECK(rlk_openssl_init(&tls, &config) == RLK_OK);
    CHILD_CHECK(rlk_posix_open(&posix, url, &options) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&lock, &posix.client, "key", NULL) == RLK_OK);
    result = rlk_acquire(&lock, 10000);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    rlk_openssl_close(&tls);
    return result;
}

/* The system may want more than TLS 1.2, and not less. */
static void test_tls_openssl_keeps_to_the_systems_least_version(void **state)
{
    static const struct {
        const char *line;
        const char *versions; /* of the server */
        rlk_result result;
    } rows[] = {
        {"MinProtocol = TLSv1.3", "TLSv1.3", RLK_OK},
        {"MinProtocol = TLSv1.3", "TLSv1.2", RLK_E_TLS_REFUSED},
        {"MinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0", "TLSv1.2", RLK_OK},
        {"MinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0", "TLSv1.1", RLK_E_TLS_REFUSED},
        {"VerifyMode = Peer", "TLSv1.3", RLK_OK},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        server *redis = certificate_server("DNS:localhost", rows[i].versions);
        pid_t child = child_fork();

        if (child == 0) {
            CHILD_CHECK(acquire_with(settings(rows[i].line), certificate_authority("ca"),
                                     server_tls_url(redis)) == rows[i].result);
            _exit(0);
        }
        assert_int_equal(child_exit_code(child), 0);
        server_free(redis);
    }
}

/* ---- Terminal ------------------------------------------------------------------------------ */

/* A certificate that nobody can read without a password: of no use, but possible. */
static void encrypt_certificate(const char *from, const char *to)
{
    static unsigned char password[] = "open sesame";
    FILE *in = fopen(from, "re");
    FILE *out = fopen(to, "we");
    X509 *cert = in != NULL ? PEM_read_X509(in, NULL, NULL, NULL) : NULL;

    CHILD_CHECK(out != NULL && cert != NULL);
    CHILD_CHECK(PEM_ASN1_write((i2d_of_void *)i2d_X509, PEM_STRING_X509, out, cert,
                               EVP_aes_128_cbc(), password, sizeof password - 1, NULL, NULL) == 1);
    X509_free(cert);
    fclose(in);
    fclose(out);
}

/* The new session has the terminal `name`, where OpenSSL asks for passwords. */
static void take_terminal(const char *name)
{
    int fd;

    CHILD_CHECK(setsid() >= 0);
    fd = open(name, O_RDWR);
    CHILD_CHECK(fd >= 0);
    (void)ioctl(fd, TIOCSCTTY, 0);
    (void)close(fd);
    fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    CHILD_CHECK(fd >= 0);
    (void)close(fd);
    alarm(10); /* an answer would never come */
}

/* Whatever file is encrypted: an error, and no word at the terminal, where nobody may be. */
static void test_tls_openssl_asks_for_no_password(void **state)
{
    static const certificate_spec spec = {.common_name = "client"};
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    const char *encrypted;
    rlk_tls_config config;
    certificate client;
    char byte;
    int i;

    (void)state;
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    certificate_make(&client, &spec);
    encrypted = certificate_text("encrypted.crt", "");
    for (i = 0; support_row((size_t)i, 3); i++) {
        pid_t child;

        memset(&config, 0, sizeof config);
        config.ca_file = i == 2 ? encrypted : certificate_authority("ca");
        config.cert_file = i == 1 ? encrypted : client.file;
        config.key_file = i == 0 ? certificate_encrypted_key("open sesame") : client.key_file;
        child = child_fork();
        if (child == 0) {
            rlk_openssl tls;

            encrypt_certificate(client.file, encrypted);
            take_terminal(ptsname(terminal));
            CHILD_CHECK(rlk_openssl_init(&tls, &config) == RLK_E_TLS);
            _exit(0);
        }
        assert_int_equal(child_exit_code(child), 0);
    }
    assert_int_equal(fcntl(terminal, F_SETFL, O_NONBLOCK), 0);
    assert_true(read(terminal, &byte, 1) <= 0);
    close(terminal);
}

/* ---- Memory -------------------------------------------------------------------------------- */

static bool memory_is_counted; /* while the client is at work */
static long memory_count;
static long memory_fails_at;
static const char *memory_secret; /* of the server: is in nothing that the client gives back */
static unsigned memory_secrets;

static void *memory_get(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    if (memory_is_counted && ++memory_count == memory_fails_at)
        return NULL;
    return len != 0 ? malloc(len) : NULL;
}

static void *memory_change(void *old, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    if (memory_is_counted && ++memory_count == memory_fails_at)
        return NULL;
    return realloc(old, len);
}

static void memory_give(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    if (old != NULL && memory_secret != NULL && memory_is_counted)
        memory_secrets +=
            memmem(old, malloc_usable_size(old), memory_secret, strlen(memory_secret)) != NULL;
    free(old);
}

static int stream_ends[2];

static ptrdiff_t stream_send(void *context, const void *bytes, size_t len)
{
    ssize_t n = send(stream_ends[0], bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)context;
    return n >= 0 ? n : RLK_TLS_IO_AGAIN;
}

static ptrdiff_t stream_receive(void *context, void *room, size_t cap)
{
    ssize_t n = recv(stream_ends[0], room, cap, MSG_DONTWAIT);

    (void)context;
    return n >= 0 ? n : RLK_TLS_IO_AGAIN;
}

/* Reads what the server says, while its connection is up. */
static void read_secret(const rlk_tls *tls, void *session, SSL *peer)
{
    char room[64];
    size_t len = 0;

    memory_is_counted = false;
    CHILD_CHECK(SSL_write(peer, memory_secret, (int)strlen(memory_secret)) > 0);
    memory_is_counted = true;
    CHILD_CHECK(tls->calls->read(session, room, sizeof room, &len) == RLK_TLS_DONE);
    CHILD_CHECK(len == strlen(memory_secret) && memcmp(room, memory_secret, len) == 0);
}

/* What a handshake comes to. The server is in the same thread, and has memory. */
static rlk_tls_status shake_hands(const rlk_tls *tls, SSL_CTX *peers, const char *name)
{
    const rlk_tls_io io = {stream_send, stream_receive, NULL};
    rlk_tls_status status = RLK_TLS_FAILED;
    rlk_tls_peer whom;
    void *session;
    SSL *peer;
    int i;

    CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stream_ends) == 0);
    peer = SSL_new(peers);
    CHILD_CHECK(SSL_set_fd(peer, stream_ends[1]) == 1);
    memset(&whom, 0, sizeof whom);
    whom.name = name;
    memory_count = 0;
    memory_is_counted = true;
    session = tls->calls->open(tls);
    if (session != NULL) {
        status = tls->calls->begin(session, &io, &whom);
        if (status == RLK_TLS_DONE)
            status = RLK_TLS_WANT_READ;
        for (i = 0; i < 20 && (status == RLK_TLS_WANT_READ || status == RLK_TLS_WANT_WRITE); i++) {
            status = tls->calls->handshake(session);
            CHILD_CHECK(ERR_peek_error() == 0);
            memory_is_counted = false;
            (void)SSL_accept(peer);
            ERR_clear_error();
            memory_is_counted = true;
        }
        if (status == RLK_TLS_DONE && memory_secret != NULL)
            read_secret(tls, session, peer);
        tls->calls->close(session);
    }
    CHILD_CHECK(ERR_peek_error() == 0);
    memory_is_counted = false;
    SSL_free(peer);
    close(stream_ends[0]);
    close(stream_ends[1]);
    return status;
}

/* A context of a server in this process, whose memory is counted from here on. */
static SSL_CTX *memory_server(const certificate *cert)
{
    SSL_CTX *peers;

    CHILD_CHECK(CRYPTO_set_mem_functions(memory_get, memory_change, memory_give) == 1);
    peers = SSL_CTX_new(TLS_server_method());
    CHILD_CHECK(SSL_CTX_use_certificate_file(peers, cert->file, SSL_FILETYPE_PEM) == 1);
    CHILD_CHECK(SSL_CTX_use_PrivateKey_file(peers, cert->key_file, SSL_FILETYPE_PEM) == 1);
    return peers;
}

/* A server's certificate, and the CA that it is by. */
static void memory_files(rlk_tls_config *config, certificate *cert)
{
    static const certificate_spec spec = {.names = "DNS:localhost"};

    memset(config, 0, sizeof *config);
    config->ca_file = certificate_authority("ca");
    certificate_make(cert, &spec);
}

/* Without memory at any one place, a certificate for another name is not taken: OpenSSL itself
 * would take it. Such a want mostly passes, and so is not for good. */
static void test_tls_openssl_verifies_names_without_memory(void **state)
{
    rlk_tls_config config;
    certificate cert;
    pid_t child;

    (void)state;
    memory_files(&config, &cert);
    child = child_fork();
    if (child == 0) {
        unsigned refused = 0;
        rlk_openssl tls;
        SSL_CTX *peers;
        long whole;

        peers = memory_server(&cert);
        CHILD_CHECK(rlk_openssl_init(&tls, &config) == RLK_OK);
        CHILD_CHECK(shake_hands(&tls.tls, peers, "localhost") == RLK_TLS_DONE);
        CHILD_CHECK(shake_hands(&tls.tls, peers, "wrong.example") == RLK_TLS_REFUSED);
        whole = memory_count;
        CHILD_CHECK(whole > 300);
        /* the certificate comes late in the handshake, whose begin gets a part of the tries */
        for (memory_fails_at = 1; memory_fails_at <= whole;
             memory_fails_at += memory_fails_at < whole - 300 ? 29 : 1)
            CHILD_CHECK(shake_hands(&tls.tls, peers, "wrong.example") >= RLK_TLS_FAILED);
        CHILD_CHECK(shake_hands(&tls.tls, peers, "localhost") == RLK_TLS_DONE);
        whole = memory_count;
        for (memory_fails_at = 1; memory_fails_at <= whole; memory_fails_at += 13)
            refused += shake_hands(&tls.tls, peers, "localhost") == RLK_TLS_REFUSED;
        CHILD_CHECK(refused < 5); /* OpenSSL finds other words for some of them */
        rlk_openssl_close(&tls);
        SSL_CTX_free(peers);
        _exit(0);
    }
    assert_int_equal(child_exit_code(child), 0);
}

/* A pin for which no memory is left to compare it is not another pin. */
static void test_tls_openssl_compares_pins_without_memory(void **state)
{
    static const certificate_spec spec = {.names = "DNS:localhost"};
    uint8_t pin[CERTIFICATE_PIN];
    rlk_tls_config config;
    certificate cert;
    pid_t child;

    (void)state;
    memset(&config, 0, sizeof config);
    certificate_make(&cert, &spec);
    certificate_pin(cert.file, pin);
    config.pin = pin;
    config.insecure_any_certificate = true; /* nothing else is refused */
    child = child_fork();
    if (child == 0) {
        SSL_CTX *peers = memory_server(&cert);
        unsigned failed = 0;
        rlk_openssl tls;
        long whole;

        CHILD_CHECK(rlk_openssl_init(&tls, &config) == RLK_OK);
        CHILD_CHECK(shake_hands(&tls.tls, peers, "localhost") == RLK_TLS_DONE);
        CHILD_CHECK(shake_hands(&tls.tls, peers, "localhost") == RLK_TLS_DONE);
        whole = memory_count;
        for (memory_fails_at = whole - 60; memory_fails_at <= whole; memory_fails_at++) {
            rlk_tls_status status = shake_hands(&tls.tls, peers, "localhost");

            CHILD_CHECK(status != RLK_TLS_REFUSED);
            failed += status == RLK_TLS_FAILED;
        }
        CHILD_CHECK(failed > 0);
        rlk_openssl_close(&tls);
        SSL_CTX_free(peers);
        _exit(0);
    }
    assert_int_equal(child_exit_code(child), 0);
}

/* What the server sent is not in the memory that OpenSSL gives back. */
static void test_tls_openssl_leaves_no_secret_in_memory(void **state)
{
    rlk_tls_config config;
    certificate cert;
    pid_t child;

    (void)state;
    memory_files(&config, &cert);
    child = child_fork();
    if (child == 0) {
        SSL_CTX *peers = memory_server(&cert);
        rlk_openssl tls;

        CHILD_CHECK(rlk_openssl_init(&tls, &config) == RLK_OK);
        memory_secret = "$32\r\n0123456789abcdef0123456789abcdef\r\n";
        CHILD_CHECK(shake_hands(&tls.tls, peers, "localhost") == RLK_TLS_DONE);
        CHILD_CHECK(memory_secrets == 0);
        rlk_openssl_close(&tls);
        SSL_CTX_free(peers);
        _exit(0);
    }
    assert_int_equal(child_exit_code(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_openssl_keeps_to_the_systems_least_version),
        support_test(test_tls_openssl_asks_for_no_password),
        support_test(test_tls_openssl_verifies_names_without_memory),
        support_test(test_tls_openssl_compares_pins_without_memory),
        support_test(test_tls_openssl_leaves_no_secret_in_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
