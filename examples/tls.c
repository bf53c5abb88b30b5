/* SPDX-License-Identifier: MIT
 *
 * Over TLS, by Mbed TLS on the ports of a connection, and blocking calls over a driver of one's own
 * (env.wait). The server must have a certificate of that CA for that very host name.
 *     tls localhost 6380 ca.crt key
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>

#define READ_ROUNDS 16 /* most consecutive reads: one stream must not stop the program */

typedef enum tls_stage {
    TLS_DOWN,
    TLS_CONNECTING,
    TLS_HANDSHAKE,
    TLS_UP
} tls_stage;

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context generator;
static mbedtls_x509_crt ca;
static mbedtls_ssl_config tls_config;

static struct {
    tls_stage stage;
    int fd;
    bool wants_write;  /* TLS can want to write in order to read, and the reverse */
    size_t unfinished; /* bytes of a write that TLS wants to be repeated as it was */
    uint64_t peer;
    char local[64];
    struct addrinfo *addresses; /* of the attempt under way */
    const struct addrinfo *address;
    mbedtls_ssl_context ssl;
    rlk_conn conn;
    rlk_conn_entry ring[8];
    uint8_t tx[512];
    uint8_t rx[512];
} wire;

static rlk_client client;
static const char *host;
static const char *port;

static int64_t now_ms(void)
{
    return rlk_system_now_ms(NULL);
}

static int random_bytes(void *context, void *buf, size_t len)
{
    (void)context;
    return mbedtls_ctr_drbg_random(&generator, (unsigned char *)buf, len);
}

/* ---- The stream below TLS ---- */

static int stream_count(ssize_t n, int again, int failed)
{
    if (n >= 0)
        return (int)n;
    return errno == EAGAIN || errno == EINTR ? again : failed;
}

static int stream_send(void *context, const unsigned char *bytes, size_t len)
{
    (void)context;
    return stream_count(send(wire.fd, bytes, len, MSG_NOSIGNAL), MBEDTLS_ERR_SSL_WANT_WRITE,
                        MBEDTLS_ERR_SSL_CONN_EOF);
}

static int stream_receive(void *context, unsigned char *room, size_t cap)
{
    (void)context;
    return stream_count(recv(wire.fd, room, cap, 0), MBEDTLS_ERR_SSL_WANT_READ,
                        MBEDTLS_ERR_SSL_CONN_EOF);
}

/* ---- The driver ---- */

static void tls_end(rlk_result why, int error)
{
    if (wire.stage == TLS_UP)
        mbedtls_ssl_close_notify(&wire.ssl);
    if (wire.fd >= 0)
        close(wire.fd);
    if (wire.addresses != NULL)
        freeaddrinfo(wire.addresses);
    wire.addresses = NULL;
    wire.fd = -1;
    wire.stage = TLS_DOWN;
    rlk_conn_closed(&wire.conn, why, error, now_ms());
}

/* Returns true if done; else call again when the descriptor is ready, or the stream has ended. */
static bool tls_done(int result)
{
    char text[128];

    wire.wants_write = result == MBEDTLS_ERR_SSL_WANT_WRITE;
    if (result >= 0)
        return true;
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return false;
    if (result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || result == MBEDTLS_ERR_SSL_CONN_EOF) {
        tls_end(RLK_E_EOF, 0);
        return false;
    }
    mbedtls_strerror(result, text, sizeof text);
    fprintf(stderr, "TLS: %s\n", text);
    if (result == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
        mbedtls_x509_crt_verify_info(text, sizeof text, "",
                                     mbedtls_ssl_get_verify_result(&wire.ssl));
        fputs(text, stderr);
    }
    tls_end(wire.stage == TLS_UP ? RLK_E_IO : RLK_E_CONNECT, 0);
    return false;
}

/* "ip:port" as the server's CLIENT LIST has it. */
static void tls_name(const struct sockaddr_storage *name, char *out, size_t cap)
{
    char ip[INET6_ADDRSTRLEN] = "";

    if (name->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)name;

        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        snprintf(out, cap, "[%s]:%d", ip, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)name;

        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(out, cap, "%s:%d", ip, ntohs(v4->sin_port));
    }
}

/* Our own end, and a number for the server's: a name can have several addresses. */
static void tls_note_ends(void)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    char text[64];
    size_t i;

    getsockname(wire.fd, (struct sockaddr *)&name, &len);
    tls_name(&name, wire.local, sizeof wire.local);
    len = sizeof name;
    getpeername(wire.fd, (struct sockaddr *)&name, &len);
    tls_name(&name, text, sizeof text);
    wire.peer = UINT64_C(14695981039346656037);
    for (i = 0; text[i] != '\0'; i++)
        wire.peer = (wire.peer ^ (uint8_t)text[i]) * UINT64_C(1099511628211); /* FNV-1a */
}

/* Begins with the next address that takes it. */
static void tls_try(void)
{
    int error = 0;

    if (wire.fd >= 0)
        close(wire.fd);
    wire.fd = -1;
    for (; wire.address != NULL; wire.address = wire.address->ai_next) {
        int on = 1;

        wire.fd = socket(wire.address->ai_family, SOCK_STREAM, 0);
        if (wire.fd >= 0 && fcntl(wire.fd, F_SETFL, O_NONBLOCK) == 0 &&
            setsockopt(wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
            (connect(wire.fd, wire.address->ai_addr, wire.address->ai_addrlen) == 0 ||
             errno == EINPROGRESS)) {
            wire.address = wire.address->ai_next;
            wire.stage = TLS_CONNECTING;
            wire.wants_write = true;
            return;
        }
        error = errno;
        if (wire.fd >= 0)
            close(wire.fd);
        wire.fd = -1;
    }
    tls_end(RLK_E_CONNECT, error);
}

/* The name is resolved here and now: right in a blocking call, wrong in a loop. */
static void tls_open(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

    rlk_conn_connecting(&wire.conn, now_ms());
    if (getaddrinfo(host, port, &hints, &wire.addresses) != 0) {
        wire.addresses = NULL;
        tls_end(RLK_E_RESOLVE, 0);
        return;
    }
    wire.address = wire.addresses;
    tls_try();
}

static void tls_continue(void)
{
    struct pollfd stream = {.fd = wire.fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;

    if (poll(&stream, 1, 0) != 1)
        return;
    getsockopt(wire.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0 && wire.address != NULL) {
        tls_try();
    } else if (error != 0) {
        tls_end(RLK_E_CONNECT, error);
    } else {
        tls_note_ends();
        mbedtls_ssl_session_reset(&wire.ssl);
        wire.unfinished = 0;
        wire.stage = TLS_HANDSHAKE;
    }
}

/* Until TLS has no more: poll does not see what TLS has read already. */
static void tls_receive(void)
{
    int round;

    for (round = 0; wire.stage == TLS_UP && round < READ_ROUNDS; round++) {
        size_t cap;
        uint8_t *room = rlk_conn_rx_buf(&wire.conn, &cap);
        int n = room != NULL ? mbedtls_ssl_read(&wire.ssl, room, cap) : MBEDTLS_ERR_SSL_WANT_READ;

        if (n == 0)
            n = MBEDTLS_ERR_SSL_CONN_EOF;
        if (!tls_done(n))
            return;
        rlk_conn_rx_ack(&wire.conn, (size_t)n, now_ms());
    }
}

/* A write that TLS did not finish is repeated with as many bytes as before, even if there are more
 * by now; they have not moved. */
static void tls_send(void)
{
    while (wire.stage == TLS_UP) {
        size_t len;
        const uint8_t *bytes = rlk_conn_tx_buf(&wire.conn, &len);
        int n;

        if (wire.unfinished != 0)
            len = wire.unfinished;
        if (len == 0)
            return;
        n = mbedtls_ssl_write(&wire.ssl, bytes, len);
        wire.unfinished = n < 0 ? len : 0;
        if (!tls_done(n))
            return;
        rlk_conn_tx_ack(&wire.conn, (size_t)n, now_ms());
    }
}

static void tls_serve(void)
{
    if ((rlk_conn_wants(&wire.conn) & RLK_WANT_CLOSE) != 0)
        tls_end(RLK_OK, 0);
    if ((rlk_conn_wants(&wire.conn) & RLK_WANT_CONNECT) != 0)
        tls_open();
    if (wire.stage == TLS_CONNECTING)
        tls_continue();
    if (wire.stage == TLS_HANDSHAKE && tls_done(mbedtls_ssl_handshake(&wire.ssl))) {
        wire.stage = TLS_UP;
        rlk_conn_connected(&wire.conn, wire.peer, wire.local, now_ms());
    }
    tls_receive();
    tls_send();
}

/* env.wait: sends what there is, then waits for the stream or for the deadline, once. */
static int tls_wait(void *context, rlk_client *waiting, int64_t deadline_ms)
{
    struct pollfd stream = {.events = POLLIN};
    int64_t left_ms;

    (void)context;
    tls_serve();
    if (rlk_client_deadline(waiting) < deadline_ms)
        deadline_ms = rlk_client_deadline(waiting);
    left_ms = deadline_ms == RLK_NEVER ? -1 : deadline_ms - now_ms();
    if (deadline_ms != RLK_NEVER && left_ms < 0)
        left_ms = 0;
    if (wire.stage == TLS_UP && mbedtls_ssl_check_pending(&wire.ssl) != 0)
        left_ms = 0;     /* read by TLS, and not by us */
    stream.fd = wire.fd; /* -1 is passed over */
    if (wire.wants_write)
        stream.events |= POLLOUT;
    if (poll(&stream, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms) < 0 && errno != EINTR)
        return -1;
    rlk_client_tick(waiting); /* deadlines before input */
    tls_serve();
    return 0;
}

/* ---- The application ---- */

static bool tls_init(const char *ca_file)
{
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&generator);
    mbedtls_x509_crt_init(&ca);
    mbedtls_ssl_config_init(&tls_config);
    mbedtls_ssl_init(&wire.ssl);
    wire.fd = -1;
    if (mbedtls_ctr_drbg_seed(&generator, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
        mbedtls_x509_crt_parse_file(&ca, ca_file) != 0 ||
        mbedtls_ssl_config_defaults(&tls_config, MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return false;
    mbedtls_ssl_conf_authmode(&tls_config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&tls_config, &ca, NULL);
    mbedtls_ssl_conf_rng(&tls_config, mbedtls_ctr_drbg_random, &generator);
    mbedtls_ssl_set_bio(&wire.ssl, NULL, stream_send, stream_receive, NULL);
    /* without the name any certificate of the CA would do */
    return mbedtls_ssl_setup(&wire.ssl, &tls_config) == 0 &&
           mbedtls_ssl_set_hostname(&wire.ssl, host) == 0;
}

static rlk_result client_init(void)
{
    rlk_conn *conns[] = {&wire.conn};
    rlk_conn_config config = {.ring = wire.ring,
                              .ring_len = sizeof wire.ring / sizeof wire.ring[0],
                              .tx = wire.tx,
                              .tx_cap = sizeof wire.tx,
                              .rx = wire.rx,
                              .rx_cap = sizeof wire.rx};
    rlk_client_config client_config = {.env = {.now_ms = rlk_system_now_ms,
                                               .random = random_bytes,
                                               .wait = tls_wait,
                                               .errno_text = rlk_system_errno_text}};
    rlk_result result;

    config.url.host = host;
    config.url.host_len = (uint16_t)strlen(host);
    config.url.port = (uint16_t)atoi(port);
    random_bytes(NULL, &config.jitter_seed, sizeof config.jitter_seed);
    rlk_client_conn_config(&client, &config);
    result = rlk_conn_init(&wire.conn, &config, now_ms());
    return result == RLK_OK ? rlk_client_init(&client, conns, 1, &client_config) : result;
}

static int work_under_lock(const char *key)
{
    rlk_lock lock;
    rlk_result result = rlk_lock_init(&lock, &client, key, NULL);

    if (result == RLK_OK)
        result = rlk_acquire(&lock, 5000);
    if (result == RLK_OK) {
        printf("acquired, for %" PRId64 " ms\n", rlk_remaining_ms(&lock));
        /* the work */
        result = rlk_release(&lock);
        printf("release: %s\n", rlk_result_name(result));
    }
    if (result != RLK_OK)
        fprintf(stderr, "%s\n", rlk_lock_error(&lock));
    rlk_lock_close(&lock);
    return result == RLK_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    int status;

    if (argc != 5) {
        fprintf(stderr, "usage: %s HOST PORT CA-FILE KEY\n", argv[0]);
        return 2;
    }
    host = argv[1];
    port = argv[2];
    if (!tls_init(argv[3]) || client_init() != RLK_OK) {
        fprintf(stderr, "bad CA file or arguments\n");
        return 1;
    }
    status = work_under_lock(argv[4]);
    rlk_client_close(&client);
    tls_serve(); /* closes the stream */
    mbedtls_ssl_free(&wire.ssl);
    mbedtls_ssl_config_free(&tls_config);
    mbedtls_x509_crt_free(&ca);
    mbedtls_ctr_drbg_free(&generator);
    mbedtls_entropy_free(&entropy);
    return status;
}
