/* SPDX-License-Identifier: MIT
 *
 * Records as no real server sends them, to a client with TLS by Mbed TLS. The other end is an
 * Mbed TLS, too, in the same thread.
 */
#include "certificates.h"
#include "support.h"

#include "resplock/tls/mbedtls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    int fd;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
} peer;

static struct {
    int fd;
    size_t room; /* bytes that may leave */
    rlk_mbedtls tls;
    const rlk_tls_calls *calls;
    void *session;
} client;

/* ---- Streams ------------------------------------------------------------------------------- */

static int peer_send(void *context, const unsigned char *bytes, size_t len)
{
    ssize_t n = send(peer.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)context;
    return n >= 0 ? (int)n : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int peer_receive(void *context, unsigned char *room, size_t cap)
{
    ssize_t n = recv(peer.fd, room, cap, MSG_DONTWAIT);

    (void)context;
    return n >= 0 ? (int)n : MBEDTLS_ERR_SSL_WANT_READ;
}

static ptrdiff_t client_send(void *context, const void *bytes, size_t len)
{
    ssize_t n;

    (void)context;
    if (len > client.room)
        len = client.room;
    n = len > 0 ? send(client.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
    if (n < 0)
        return RLK_TLS_IO_AGAIN;
    client.room -= (size_t)n;
    return n;
}

static ptrdiff_t client_receive(void *context, void *room, size_t cap)
{
    ssize_t n = recv(client.fd, room, cap, MSG_DONTWAIT);

    (void)context;
    if (n >= 0)
        return n;
    return errno == EAGAIN ? RLK_TLS_IO_AGAIN : RLK_TLS_IO_FAILED;
}

/* ---- Fixture ------------------------------------------------------------------------------- */

static void peer_open(void)
{
    static const certificate_spec spec = {.names = "DNS:localhost"};
    certificate made;

    certificate_make(&made, &spec);
    mbedtls_ssl_init(&peer.ssl);
    mbedtls_ssl_config_init(&peer.config);
    mbedtls_x509_crt_init(&peer.cert);
    mbedtls_pk_init(&peer.key);
    mbedtls_entropy_init(&peer.entropy);
    mbedtls_ctr_drbg_init(&peer.random);
    assert_int_equal(
        mbedtls_ctr_drbg_seed(&peer.random, mbedtls_entropy_func, &peer.entropy, NULL, 0), 0);
    assert_int_equal(mbedtls_x509_crt_parse_file(&peer.cert, made.file), 0);
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    assert_int_equal(mbedtls_pk_parse_keyfile(&peer.key, made.key_file, NULL), 0);
#else
    assert_int_equal(mbedtls_pk_parse_keyfile(&peer.key, made.key_file, NULL,
                                              mbedtls_ctr_drbg_random, &peer.random),
                     0);
#endif
    assert_int_equal(mbedtls_ssl_config_defaults(&peer.config, MBEDTLS_SSL_IS_SERVER,
                                                 MBEDTLS_SSL_TRANSPORT_STREAM,
                                                 MBEDTLS_SSL_PRESET_DEFAULT),
                     0);
    mbedtls_ssl_conf_rng(&peer.config, mbedtls_ctr_drbg_random, &peer.random);
#ifdef MBEDTLS_SSL_RENEGOTIATION
    mbedtls_ssl_conf_renegotiation(&peer.config, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
#endif
    mbedtls_ssl_conf_max_version(&peer.config, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    assert_int_equal(mbedtls_ssl_conf_own_cert(&peer.config, &peer.cert, &peer.key), 0);
    assert_int_equal(mbedtls_ssl_setup(&peer.ssl, &peer.config), 0);
    mbedtls_ssl_set_bio(&peer.ssl, NULL, peer_send, peer_receive, NULL);
}

static void peer_close(void)
{
    mbedtls_ssl_free(&peer.ssl);
    mbedtls_ssl_config_free(&peer.config);
    mbedtls_x509_crt_free(&peer.cert);
    mbedtls_pk_free(&peer.key);
    mbedtls_ctr_drbg_free(&peer.random);
    mbedtls_entropy_free(&peer.entropy);
}

/* Both ends through the handshake. */
static void records_open(void)
{
    const rlk_tls_io io = {client_send, client_receive, NULL};
    rlk_tls_status status = RLK_TLS_WANT_READ;
    rlk_tls_config config;
    rlk_tls_peer whom;
    int ends[2];
    int i;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    client.fd = ends[0];
    client.room = SIZE_MAX;
    peer.fd = ends[1];
    peer_open();
    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    assert_result(rlk_mbedtls_init(&client.tls, &config), RLK_OK);
    client.calls = client.tls.tls.calls;
    client.session = client.calls->open(&client.tls.tls);
    memset(&whom, 0, sizeof whom);
    whom.name = "localhost";
    assert_int_equal(client.calls->begin(client.session, &io, &whom), RLK_TLS_DONE);
    for (i = 0; i < 20 && status != RLK_TLS_DONE; i++) {
        status = client.calls->handshake(client.session);
        assert_true(status <= RLK_TLS_WANT_WRITE);
        (void)mbedtls_ssl_handshake(&peer.ssl);
    }
    assert_int_equal(status, RLK_TLS_DONE);
}

static void records_close(void)
{
    client.calls->end(client.session, false);
    client.calls->close(client.session);
    rlk_mbedtls_close(&client.tls);
    peer_close();
    close(client.fd);
    if (peer.fd >= 0)
        close(peer.fd);
}

static rlk_tls_status client_read(void)
{
    char room[16] = "";
    size_t len = 0;
    rlk_tls_status status = client.calls->read(client.session, room, sizeof room, &len);

    if (status == RLK_TLS_DONE) {
        assert_int_equal(len, 5);
        assert_memory_equal(room, "+OK\r\n", 5);
    }
    return status;
}

static void peer_write(const char *text)
{
    assert_int_equal(mbedtls_ssl_write(&peer.ssl, (const unsigned char *)text, strlen(text)),
                     strlen(text));
}

/* ---- Tests --------------------------------------------------------------------------------- */

/* Mbed TLS returns 0 for some of them, as it does for a stream that has ended. */
static void test_tls_mbedtls_empty_records_are_no_end(void **state)
{
    int count;
    int i;

    (void)state;
    records_open();
    for (count = 0; count <= 3; count++) {
        for (i = 0; i < count; i++)
            peer_write("");
        assert_int_equal(client_read(), RLK_TLS_WANT_READ);
        peer_write("+OK\r\n");
        assert_int_equal(client_read(), RLK_TLS_DONE);
        for (i = 0; i < count; i++)
            peer_write("");
        peer_write("+OK\r\n");
        assert_int_equal(client_read(), RLK_TLS_DONE);
        assert_int_equal(client_read(), RLK_TLS_WANT_READ);
    }
    records_close();
}

/* The end itself comes behind any number of them. */
static void test_tls_mbedtls_empty_records_then_the_end(void **state)
{
    int count;
    int i;

    (void)state;
    for (count = 0; count <= 3; count++) {
        records_open();
        for (i = 0; i < count; i++)
            peer_write("");
        close(peer.fd);
        peer.fd = -1;
        assert_int_equal(client_read(), RLK_TLS_CUT);
        records_close();
    }
}

/* More of them are an attempt to keep the client busy. */
static void test_tls_mbedtls_too_many_empty_records(void **state)
{
    int i;

    (void)state;
    records_open();
    for (i = 0; i < 50; i++)
        peer_write("");
    assert_int_equal(client_read(), RLK_TLS_FAILED);
    records_close();
}

#ifdef MBEDTLS_SSL_RENEGOTIATION

static rlk_tls_status client_write(const char *text)
{
    size_t done = 0;
    rlk_tls_status status = client.calls->write(client.session, text, strlen(text), &done);

    if (status == RLK_TLS_DONE)
        assert_int_equal(done, strlen(text));
    return status;
}

/* The peer reads all that has come: that text, once. */
static void peer_reads(const char *text)
{
    unsigned char room[64] = "";
    int n = mbedtls_ssl_read(&peer.ssl, room, sizeof room - 1);

    if (n == MBEDTLS_ERR_SSL_WANT_READ) /* it was the alert */
        n = mbedtls_ssl_read(&peer.ssl, room, sizeof room - 1);
    assert_int_equal(n, strlen(text));
    assert_string_equal((char *)room, text);
    assert_int_equal(mbedtls_ssl_read(&peer.ssl, room, sizeof room), MBEDTLS_ERR_SSL_WANT_READ);
}

/* The server wants to renegotiate, which the client refuses by an alert, while a write is not done:
 * the alert sends the rest of it. The server gets the command once. */
static void test_tls_mbedtls_a_read_that_sends_the_rest_of_a_write(void **state)
{
    (void)state;
    records_open();
    client.room = 10;
    assert_int_equal(client_write("PING\r\n"), RLK_TLS_WANT_WRITE);
    assert_int_equal(mbedtls_ssl_renegotiate(&peer.ssl), 0);
    client.room = SIZE_MAX;
    assert_int_equal(client_read(), RLK_TLS_WANT_READ);
    assert_int_equal(client_write("PING\r\n"), RLK_TLS_DONE);
    peer_reads("PING\r\n");
    assert_int_equal(client_write("TIME\r\n"), RLK_TLS_DONE);
    peer_reads("TIME\r\n");
    records_close();
}

/* The alert itself waits, and the next write is for other bytes, all of which leave. */
static void test_tls_mbedtls_a_write_behind_an_alert_that_waits(void **state)
{
    size_t room;

    (void)state;
    for (room = 0; room < 23; room += 10) {
        records_open();
        assert_int_equal(mbedtls_ssl_renegotiate(&peer.ssl), 0);
        client.room = room;
        assert_int_equal(client_read(), RLK_TLS_WANT_WRITE);
        client.room = 0;
        assert_int_equal(client_write("PING\r\n"), RLK_TLS_WANT_WRITE);
        client.room = 28;
        assert_int_equal(client_write("PING\r\n"), RLK_TLS_WANT_WRITE);
        client.room = SIZE_MAX;
        assert_int_equal(client_write("PING\r\n"), RLK_TLS_DONE);
        peer_reads("PING\r\n");
        records_close();
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_mbedtls_empty_records_are_no_end),
        support_test(test_tls_mbedtls_empty_records_then_the_end),
        support_test(test_tls_mbedtls_too_many_empty_records),
#ifdef MBEDTLS_SSL_RENEGOTIATION
        support_test(test_tls_mbedtls_a_read_that_sends_the_rest_of_a_write),
        support_test(test_tls_mbedtls_a_write_behind_an_alert_that_waits),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
