/* SPDX-License-Identifier: MIT
 *
 * tls_sessions.h: what a TLS backend promises a driver (resplock/tls.h), without the driver: over a
 * stream that the test cuts, slows and fills. A program includes it behind the header of its
 * backend and these names: typedef rlk_openssl tls_backend; #define tls_backend_init
 * rlk_openssl_init, and _close, and _error
 */
#ifndef TEST_TLS_SESSIONS_H
#define TEST_TLS_SESSIONS_H

#include "certificates.h"
#include "child.h"
#include "server.h"
#include "support.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WIRE_ALL SIZE_MAX

/* A stream to a server, and a session over it. */
typedef struct wire {
    const rlk_tls *tls;
    void *session;
    int fd;
    size_t step;      /* most bytes of one call */
    bool starve;      /* every other call would block */
    bool starving;    /* the call before did not */
    size_t cut_after; /* bytes that come until the stream ends */
    size_t received;
    size_t sent;
    unsigned sends;
    bool by_address;  /* the server is known by its address */
    const char *junk; /* comes before what the server sends */
    size_t junk_len;
    char hello[1024]; /* what was sent first */
} wire;

static size_t wire_room(wire *it, size_t len)
{
    it->starving = it->starve && !it->starving;
    if (it->starving)
        return 0;
    return len < it->step ? len : it->step;
}

static ptrdiff_t wire_send(void *context, const void *bytes, size_t len)
{
    wire *it = (wire *)context;
    size_t room = wire_room(it, len);
    ssize_t n;

    if (room == 0)
        return RLK_TLS_IO_AGAIN;
    n = send(it->fd, bytes, room, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? RLK_TLS_IO_AGAIN : RLK_TLS_IO_FAILED;
    if (it->sent + (size_t)n <= sizeof it->hello)
        memcpy(it->hello + it->sent, bytes, (size_t)n);
    it->sent += (size_t)n;
    it->sends++;
    return n;
}

static ptrdiff_t wire_receive(void *context, void *room, size_t cap)
{
    wire *it = (wire *)context;
    size_t len = wire_room(it, cap);
    ssize_t n;

    if (it->received == it->cut_after)
        return 0;
    if (it->junk_len > 0) {
        len = it->junk_len < cap ? it->junk_len : cap;
        memcpy(room, it->junk, len);
        it->junk += len;
        it->junk_len -= len;
        return (ptrdiff_t)len;
    }
    if (len == 0)
        return RLK_TLS_IO_AGAIN;
    if (len > it->cut_after - it->received)
        len = it->cut_after - it->received;
    n = recv(it->fd, room, len, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? RLK_TLS_IO_AGAIN : RLK_TLS_IO_FAILED;
    it->received += (size_t)n;
    return n;
}

/* Connects, and begins a stream of the session. */
static void wire_begin(wire *it, int port)
{
    const rlk_tls_io io = {wire_send, wire_receive, it};
    struct sockaddr_in address;
    rlk_tls_peer peer;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    it->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(it->fd, (struct sockaddr *)&address, sizeof address), 0);
    it->received = 0;
    it->sent = 0;
    it->sends = 0;
    memset(&peer, 0, sizeof peer);
    peer.name = it->by_address ? "127.0.0.1" : "localhost";
    if (it->by_address) {
        memcpy(peer.ip, &address.sin_addr, 4);
        peer.ip_len = 4;
    }
    assert_int_equal(it->tls->calls->begin(it->session, &io, &peer), RLK_TLS_DONE);
}

static void wire_open(wire *it, const rlk_tls *tls, int port)
{
    memset(it, 0, sizeof *it);
    it->tls = tls;
    it->step = WIRE_ALL;
    it->cut_after = WIRE_ALL;
    it->session = tls->calls->open(tls);
    assert_non_null(it->session);
    wire_begin(it, port);
}

static void wire_end(wire *it, bool notify)
{
    it->tls->calls->end(it->session, notify);
    close(it->fd);
}

static void wire_close(wire *it)
{
    wire_end(it, false);
    it->tls->calls->close(it->session);
}

/* Waits for what the step wants; false: the step is over. */
static bool wire_wait(const wire *it, rlk_tls_status status)
{
    struct pollfd ready = {it->fd, status == RLK_TLS_WANT_WRITE ? POLLOUT : POLLIN, 0};

    if (status != RLK_TLS_WANT_READ && status != RLK_TLS_WANT_WRITE)
        return false;
    if (!it->starve)
        assert_int_equal(poll(&ready, 1, 10000 * support_time_factor()), 1);
    else
        (void)poll(&ready, 1, 1);
    return true;
}

static rlk_tls_status wire_handshake(wire *it)
{
    rlk_tls_status status;

    do {
        status = it->tls->calls->handshake(it->session);
    } while (wire_wait(it, status));
    return status;
}

static rlk_tls_status wire_write(wire *it, const void *bytes, size_t len)
{
    const char *rest = (const char *)bytes;
    rlk_tls_status status = RLK_TLS_DONE;

    while (len > 0 && status == RLK_TLS_DONE) {
        size_t done = 0;

        do {
            status = it->tls->calls->write(it->session, rest, len, &done);
        } while (wire_wait(it, status));
        assert_true(done <= len);
        assert_true(status != RLK_TLS_DONE || done > 0);
        rest += done;
        len -= done;
    }
    return status;
}

/* Reads until it has all of `len` bytes. */
static rlk_tls_status wire_read(wire *it, void *room, size_t len)
{
    char *rest = (char *)room;
    rlk_tls_status status = RLK_TLS_DONE;

    while (len > 0 && status == RLK_TLS_DONE) {
        size_t got = 0;

        do {
            status = it->tls->calls->read(it->session, rest, len, &got);
        } while (wire_wait(it, status));
        assert_true(got <= len);
        rest += got;
        len -= got;
    }
    return status;
}

static void wire_ping(wire *it)
{
    char reply[8] = "";

    assert_int_equal(wire_write(it, "PING\r\n", 6), RLK_TLS_DONE);
    assert_int_equal(wire_read(it, reply, 7), RLK_TLS_DONE);
    assert_string_equal(reply, "+PONG\r\n");
}

/* ---- What all tests need ---- */

static void session_backend(tls_backend *backend)
{
    rlk_tls_config config;

    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    assert_result(tls_backend_init(backend, &config), RLK_OK);
}

/* A server of these versions, a backend, and a stream between them; the handshake comes next. */
static server *session_open(tls_backend *backend, wire *it, const char *versions)
{
    server *redis = certificate_server("DNS:localhost,IP:127.0.0.1", versions);

    session_backend(backend);
    wire_open(it, &backend->tls, server_port(redis));
    return redis;
}

/* The same, and the handshake is done. */
static server *session_start(tls_backend *backend, wire *it, const char *versions)
{
    server *redis = session_open(backend, it, versions);

    assert_int_equal(wire_handshake(it), RLK_TLS_DONE);
    return redis;
}

/* Another stream of the same session, and its handshake. */
static void session_again(wire *it, server *redis)
{
    wire_begin(it, server_port(redis));
    assert_int_equal(wire_handshake(it), RLK_TLS_DONE);
}

static void session_end(tls_backend *backend, wire *it, server *redis)
{
    wire_close(it);
    tls_backend_close(backend);
    server_free(redis);
}

/* Each test with both versions; a backend without 1.3 does both with 1.2. */
static const char *const session_versions[] = {"TLSv1.2", "TLSv1.2 TLSv1.3"};

/* ---- Tests ---- */

/* Each call for one byte, and every other would block (fault 32 and 33, below TLS). */
static void test_tls_session_goes_on_byte_by_byte(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(session_versions)); i++) {
        tls_backend backend;
        wire it;
        server *redis = session_open(&backend, &it, session_versions[i]);

        it.step = 1;
        it.starve = true;
        assert_int_equal(wire_handshake(&it), RLK_TLS_DONE);
        wire_ping(&it);
        wire_ping(&it);
        session_end(&backend, &it, redis);
    }
}

/* Cut behind each byte of the handshake: an error each time, and the session is as good as new. */
static void test_tls_session_survives_cuts_of_the_handshake(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(session_versions)); i++) {
        size_t step = support_time_factor() > 2 ? 17 : 1;
        rlk_tls_status status;
        tls_backend backend;
        size_t whole;
        size_t cut;
        wire it;
        server *redis = session_start(&backend, &it, session_versions[i]);

        whole = it.received;
        wire_close(&it);
        wire_open(&it, &backend.tls, server_port(redis));
        wire_end(&it, false);
        for (cut = 0; cut < whole; cut += step) {
            support_row_name("cut behind %zu of %zu bytes", cut, whole);
            it.cut_after = cut;
            wire_begin(&it, server_port(redis));
            status = wire_handshake(&it);
            if (cut + 8 < whole || status != RLK_TLS_DONE) /* signatures differ in length */
                assert_int_equal(status, RLK_TLS_CUT);
            wire_end(&it, cut % 2 == 0);
        }
        it.cut_after = WIRE_ALL;
        session_again(&it, redis);
        wire_ping(&it);
        session_end(&backend, &it, redis);
    }
}

/* Fault 42: a stream that just ends may have been cut by anybody. */
static void test_tls_session_knows_a_cut_from_an_end(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(session_versions)); i++) {
        tls_backend backend;
        char byte;
        wire it;
        server *redis = session_start(&backend, &it, session_versions[i]);

        wire_ping(&it);
        assert_int_equal(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes"), 1);
        assert_int_equal(wire_read(&it, &byte, 1), RLK_TLS_CLOSED);
        wire_end(&it, true);

        session_again(&it, redis);
        wire_ping(&it);
        server_kill(redis);
        assert_int_equal(wire_read(&it, &byte, 1), RLK_TLS_CUT);
        session_end(&backend, &it, redis);
    }
}

/* The end that we send is one for the server, too: it sees no error. */
static void test_tls_session_sends_close_notify(void **state)
{
    tls_backend backend;
    char bytes[64];
    ssize_t n;
    wire it;
    server *redis = session_start(&backend, &it, NULL);

    (void)state;
    wire_ping(&it);
    it.tls->calls->end(it.session, true);
    /* The server answers it by its own, and closes, although the descriptor is still open. */
    do {
        struct pollfd ready = {it.fd, POLLIN, 0};

        assert_int_equal(poll(&ready, 1, 10000 * support_time_factor()), 1);
        n = recv(it.fd, bytes, sizeof bytes, 0);
    } while (n > 0);
    assert_int_equal(n, 0);
    session_end(&backend, &it, redis);
}

/* The second handshake has no certificate: less than half of the bytes. */
static void test_tls_session_is_resumed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(session_versions)); i++) {
        tls_backend backend;
        size_t whole;
        wire it;
        server *redis = session_start(&backend, &it, session_versions[i]);

        whole = it.received;
        /* A flight leaves at once: a server that refuses its first message hangs up, and what is
         * sent after that would take its reason away. */
        assert_int_equal(it.sends, 2);
        wire_ping(&it);
        wire_end(&it, true);

        session_again(&it, redis);
        support_row_name("%zu bytes, then %zu", whole, it.received);
        assert_true(it.received < whole / 2);
        wire_ping(&it);
        wire_end(&it, true);

        /* Another process has other keys: a whole handshake, without an error. */
        server_restart(redis, false);
        session_again(&it, redis);
        assert_true(it.received > whole / 2);
        wire_ping(&it);
        session_end(&backend, &it, redis);
    }
}

/* More than one record, and more than the kernel takes: steps that go on where they were. */
static void test_tls_session_writes_and_reads_much(void **state)
{
    const size_t len = 262144;
    static const char head[] = "*2\r\n$4\r\nECHO\r\n$262144\r\n";
    server *redis;
    char *bytes = (char *)malloc(len + 2);
    char *back = (char *)malloc(len + 13);
    tls_backend backend;
    int small = 16384;
    size_t i;
    wire it;

    (void)state;
    for (i = 0; i < len; i++)
        bytes[i] = (char)('a' + i * 7 % 23);
    memcpy(bytes + len, "\r\n", 2);
    redis = session_open(&backend, &it, NULL);
    (void)setsockopt(it.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    (void)setsockopt(it.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    it.step = 1000;
    assert_int_equal(wire_handshake(&it), RLK_TLS_DONE);
    assert_int_equal(wire_write(&it, head, sizeof head - 1), RLK_TLS_DONE);
    assert_int_equal(wire_write(&it, bytes, len + 2), RLK_TLS_DONE);
    assert_int_equal(wire_read(&it, back, len + 11), RLK_TLS_DONE);
    assert_memory_equal(back, "$262144\r\n", 9);
    assert_memory_equal(back + 9, bytes, len + 2);
    wire_ping(&it);
    session_end(&backend, &it, redis);
    free(bytes);
    free(back);
}

static bool wire_hello_has(const wire *it, const char *name)
{
    size_t i;

    for (i = 0; i + strlen(name) <= sizeof it->hello; i++)
        if (memcmp(it->hello + i, name, strlen(name)) == 0)
            return true;
    return false;
}

/* SNI is for names: a server may refuse an address there (RFC 6066, 3). */
static void test_tls_session_sends_names_only(void **state)
{
    tls_backend backend;
    size_t whole;
    wire it;
    server *redis = session_start(&backend, &it, NULL);

    (void)state;
    assert_true(wire_hello_has(&it, "localhost"));
    whole = it.received;
    wire_ping(&it);
    wire_end(&it, true);

    /* To another peer nothing of the first one stays: it was verified for that one. */
    memset(it.hello, 0, sizeof it.hello);
    it.by_address = true;
    session_again(&it, redis);
    assert_false(wire_hello_has(&it, "localhost"));
    assert_false(wire_hello_has(&it, "127.0.0.1"));
    assert_true(it.received > whole / 2);
    wire_ping(&it);
    session_end(&backend, &it, redis);
}

/* What TLS has read and the caller has not is not to be seen at the descriptor. */
static void test_tls_session_has_bytes_pending(void **state)
{
    struct pollfd ready;
    tls_backend backend;
    char byte;
    wire it;
    server *redis = session_start(&backend, &it, NULL);

    (void)state;
    assert_int_equal(wire_write(&it, "ECHO abcd\r\n", 11), RLK_TLS_DONE);
    assert_int_equal(wire_read(&it, &byte, 1), RLK_TLS_DONE);
    assert_int_equal(byte, '$');
    ready.fd = it.fd;
    ready.events = POLLIN;
    assert_int_equal(poll(&ready, 1, 0), 0);
    assert_true(it.tls->calls->pending(it.session));
    for (; byte != 'd';)
        assert_int_equal(wire_read(&it, &byte, 1), RLK_TLS_DONE);
    assert_int_equal(wire_read(&it, &byte, 1), RLK_TLS_DONE);
    assert_int_equal(wire_read(&it, &byte, 1), RLK_TLS_DONE);
    assert_false(it.tls->calls->pending(it.session));
    session_end(&backend, &it, redis);
}

/* The server hangs up while there is much to write: an error at once, and no signal. */
static void test_tls_session_fails_to_write_into_nothing(void **state)
{
    server *redis;
    rlk_tls_status status = RLK_TLS_DONE;
    tls_backend backend;
    char bytes[1024];
    int round;
    wire it;

    (void)state;
    memset(bytes, 'x', sizeof bytes);
    redis = session_start(&backend, &it, NULL);
    wire_ping(&it);
    server_kill(redis);
    for (round = 0; round < 3 && status == RLK_TLS_DONE; round++) {
        status = wire_write(&it, bytes, sizeof bytes);
        support_sleep_ms(5);
    }
    if (status == RLK_TLS_DONE) /* perhaps only a read says so */
        status = wire_read(&it, bytes, 1);
    assert_true(status == RLK_TLS_CUT || status == RLK_TLS_FAILED);
    session_end(&backend, &it, redis);
}

/* ---- Random numbers ---- */

/* Of a ClientHello, behind two heads, the version, and what may be the time. */
#define HELLO_RANDOM_AT  15
#define HELLO_RANDOM_LEN 28

typedef struct hello {
    unsigned char bytes[2048];
    size_t len;
} hello;

static ptrdiff_t hello_send(void *context, const void *bytes, size_t len)
{
    hello *it = (hello *)context;

    if (len > sizeof it->bytes - it->len)
        len = sizeof it->bytes - it->len;
    memcpy(it->bytes + it->len, bytes, len);
    it->len += len;
    return (ptrdiff_t)len;
}

static ptrdiff_t hello_receive(void *context, void *room, size_t cap)
{
    (void)context;
    (void)room;
    (void)cap;
    return RLK_TLS_IO_AGAIN;
}

/* What a new session says first. False: it says nothing. */
static bool hello_of(const rlk_tls *tls, hello *out)
{
    const rlk_tls_io io = {hello_send, hello_receive, out};
    void *session = tls->calls->open(tls);
    rlk_tls_peer peer;
    bool good;

    memset(out, 0, sizeof *out);
    memset(&peer, 0, sizeof peer);
    peer.name = "localhost";
    good = tls->calls->begin(session, &io, &peer) == RLK_TLS_DONE &&
           tls->calls->handshake(session) == RLK_TLS_WANT_READ &&
           out->len >= HELLO_RANDOM_AT + HELLO_RANDOM_LEN;
    tls->calls->end(session, false);
    tls->calls->close(session);
    return good;
}

/* A child may open a client of its own over the backend that it has inherited. Its keys are not
 * those of its parent, nor of another child. */
static void test_tls_session_of_a_child_has_other_keys(void **state)
{
    hello hellos[3];
    tls_backend backend;
    size_t i;
    size_t j;

    (void)state;
    session_backend(&backend);
    for (i = 0; i < 2; i++) {
        int ends[2];
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        child = child_fork();
        if (child == 0) {
            CHILD_CHECK(hello_of(&backend.tls, &hellos[i]));
            CHILD_CHECK(write(ends[1], &hellos[i], sizeof hellos[i]) == sizeof hellos[i]);
            _exit(0);
        }
        assert_int_equal(read(ends[0], &hellos[i], sizeof hellos[i]), sizeof hellos[i]);
        assert_int_equal(child_exit_code(child), 0);
        close(ends[0]);
        close(ends[1]);
    }
    assert_true(hello_of(&backend.tls, &hellos[2]));
    for (i = 0; i < 3; i++)
        for (j = 0; j < i; j++)
            assert_true(memcmp(hellos[i].bytes + HELLO_RANDOM_AT, hellos[j].bytes + HELLO_RANDOM_AT,
                               HELLO_RANDOM_LEN) != 0);
    tls_backend_close(&backend);
}

/* A name for which TLS libraries would verify nothing, or that of any host of a domain. */
static void test_tls_session_refuses_what_is_no_name(void **state)
{
    static const char *const rows[] = {"", ".", ".example.com"};
    const rlk_tls_io io = {hello_send, hello_receive, NULL};
    tls_backend backend;
    rlk_tls_peer peer;
    void *session;
    size_t i;

    (void)state;
    session_backend(&backend);
    session = backend.tls.calls->open(&backend.tls);
    memset(&peer, 0, sizeof peer);
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer.name = rows[i];
        assert_int_equal(backend.tls.calls->begin(session, &io, &peer), RLK_TLS_REFUSED);
        assert_contains(backend.tls.calls->error(session), "name is empty");
        backend.tls.calls->end(session, true);
    }
    backend.tls.calls->close(session);
    tls_backend_close(&backend);
}

/* ---- Servers that answer the ClientHello as none should ------------------------------------ */

typedef struct answer {
    const char *name;
    rlk_tls_status status;
    const char *words; /* of the error; NULL: none */
    const char *bytes;
    size_t len;
    size_t at;
} answer;

#define ANSWER_ENDS   ((rlk_tls_status)99) /* FAILED, or REFUSED: by Mbed TLS 3 */
#define ANSWER(text)  text, sizeof text - 1, 0
#define ALERT(number) ANSWER("\x15\x03\x03\x00\x02\x02" number)

static ptrdiff_t answer_receive(void *context, void *room, size_t cap)
{
    answer *it = (answer *)context;
    size_t len = it->len - it->at;

    if (len == 0)
        return RLK_TLS_IO_AGAIN;
    if (len > cap)
        len = cap;
    memcpy(room, it->bytes + it->at, len);
    it->at += len;
    return (ptrdiff_t)len;
}

static ptrdiff_t answer_send(void *context, const void *bytes, size_t len)
{
    (void)context;
    (void)bytes;
    return (ptrdiff_t)len;
}

#define JUNK(text) text, sizeof text - 1
#define BYTES_32   "0123456789abcdef0123456789abcdef"

/* The same of each backend. */
static void test_tls_session_answers(void **state)
{
    static const answer rows[] = {
        {"handshake_failure", RLK_TLS_REFUSED, "nothing in common", ALERT("\x28")},
        {"no_certificate", RLK_TLS_FAILED, "sent alert 41", ALERT("\x29")},
        {"bad_certificate", RLK_TLS_REFUSED, "wants a client certificate", ALERT("\x2a")},
        {"unsupported_certificate", RLK_TLS_REFUSED, "wants a client", ALERT("\x2b")},
        {"certificate_revoked", RLK_TLS_REFUSED, "wants a client", ALERT("\x2c")},
        {"certificate_expired", RLK_TLS_REFUSED, "wants a client", ALERT("\x2d")},
        {"certificate_unknown", RLK_TLS_REFUSED, "wants a client", ALERT("\x2e")},
        {"illegal_parameter", RLK_TLS_FAILED, "sent alert 47", ALERT("\x2f")},
        {"unknown_ca", RLK_TLS_REFUSED, "wants a client", ALERT("\x30")},
        {"access_denied", RLK_TLS_REFUSED, "wants a client", ALERT("\x31")},
        {"protocol_version", RLK_TLS_REFUSED, "1.2 at least", ALERT("\x46")},
        {"insufficient_security", RLK_TLS_REFUSED, "stronger ciphers", ALERT("\x47")},
        {"internal_error", RLK_TLS_FAILED, "sent alert 80", ALERT("\x50")},
        {"unrecognized_name", RLK_TLS_REFUSED, "does not know the name", ALERT("\x70")},
        {"certificate_required", RLK_TLS_REFUSED, "wants a client", ALERT("\x74")},
        {"no alert of any RFC", RLK_TLS_FAILED, "sent alert 255", ALERT("\xff")},
        {"a warning", RLK_TLS_WANT_READ, NULL, ANSWER("\x15\x03\x03\x00\x02\x01\x70")},
        {"close_notify", RLK_TLS_CLOSED, NULL, ANSWER("\x15\x03\x03\x00\x02\x01\x00")},
        {"a line", RLK_TLS_REFUSED, "speaks no TLS", ANSWER("-ERR\r\n")},
        {"a byte", RLK_TLS_REFUSED, "speaks no TLS", ANSWER("-")},
        {"data", RLK_TLS_REFUSED, "speaks no TLS",
         ANSWER("\x17\x03\x03\x00\x02"
                "ab")},
        {"a record of 65535 bytes", RLK_TLS_FAILED, "TLS: ", ANSWER("\x16\x03\x03\xff\xff")},
        {"TLS 1.1", RLK_TLS_REFUSED, "1.2 at least",
         ANSWER("\x16\x03\x02\x00\x31\x02\x00\x00\x2d\x03\x02" BYTES_32
                "\x00\xc0\x2f\x00\x00\x05\xff\x01\x00\x01\x00")},
        {"TLS 1.2", RLK_TLS_WANT_READ, NULL,
         ANSWER("\x16\x03\x03\x00\x31\x02\x00\x00\x2d\x03\x03" BYTES_32
                "\x00\xc0\x2f\x00\x00\x05\xff\x01\x00\x01\x00")},
        {"TLS 1.2 without RFC 5746", ANSWER_ENDS, "TLS: ",
         ANSWER("\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" BYTES_32 "\x00\xc0\x2f\x00")},
        {"cipher that was not offered", RLK_TLS_FAILED, "TLS: ",
         ANSWER("\x16\x03\x03\x00\x31\x02\x00\x00\x2d\x03\x03" BYTES_32
                "\x00\x00\x01\x00\x00\x05\xff\x01\x00\x01\x00")},
    };
    tls_backend backend;
    void *session;
    size_t i;

    (void)state;
    session_backend(&backend);
    session = backend.tls.calls->open(&backend.tls);
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        answer it = rows[i];
        const rlk_tls_io io = {answer_send, answer_receive, &it};
        rlk_tls_status status;
        rlk_tls_peer peer;

        support_row_name("%s", it.name);
        memset(&peer, 0, sizeof peer);
        peer.name = "localhost";
        assert_int_equal(backend.tls.calls->begin(session, &io, &peer), RLK_TLS_DONE);
        status = backend.tls.calls->handshake(session);
        if (it.status != ANSWER_ENDS)
            assert_int_equal(status, it.status);
        else
            assert_true(status >= RLK_TLS_FAILED);
        if (it.words != NULL)
            assert_contains(backend.tls.calls->error(session), it.words);
        backend.tls.calls->end(session, true);
    }
    backend.tls.calls->close(session);
    tls_backend_close(&backend);
}

/* What somebody puts into a stream ends it, and says nothing of the server. */
static void test_tls_session_fails_by_junk(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {JUNK("-ERR what is this\r\n")},
        {JUNK("\x17\x99\x99\x00\x05" BYTES_32)},          /* another version */
        {JUNK("\x17\x03\x01\x00\x20" BYTES_32)},          /* an older one */
        {JUNK("\x17\x03\x03\x00\x20" BYTES_32)},          /* not encrypted */
        {JUNK("\x15\x03\x03\x00\x02\x02\x46")},           /* protocol_version, not encrypted */
        {JUNK("\x16\x03\x03\x00\x04\x00\x00\x00\x00")},   /* HelloRequest */
        {JUNK("\x17\x03\x03\x00\x00")},                   /* nothing */
        {JUNK("\x17\x03\x03\xff\xff" BYTES_32 BYTES_32)}, /* too much */
    };
    size_t v;
    size_t i;

    (void)state;
    for (v = 0; v < COUNT_OF(session_versions); v++) {
        for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
            tls_backend backend;
            char byte;
            wire it;
            server *redis = session_start(&backend, &it, session_versions[v]);

            wire_ping(&it);
            it.junk = rows[i].bytes;
            it.junk_len = rows[i].len;
            assert_int_equal(wire_write(&it, "ECHO 0123456789\r\n", 17), RLK_TLS_DONE);
            assert_int_equal(wire_read(&it, &byte, 1), RLK_TLS_FAILED);
            assert_contains(it.tls->calls->error(it.session), "TLS: ");
            session_end(&backend, &it, redis);
        }
    }
}

/* ---- Time ---------------------------------------------------------------------------------- */

static time_t time_ahead_s;

/* That of both TLS libraries. */
time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += time_ahead_s;
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* A session is resumed without a certificate, but not for longer than that certificate is valid.
 * The server and its CA have later ones. */
static void test_tls_session_is_not_resumed_when_its_certificate_has_expired(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(session_versions)); i++) {
        tls_backend backend;
        wire it;
        server *redis = session_start(&backend, &it, session_versions[i]);

        wire_ping(&it);
        wire_end(&it, true);
        wire_begin(&it, server_port(redis));
        assert_int_equal(wire_handshake(&it), RLK_TLS_DONE);
        wire_ping(&it);
        wire_end(&it, true);

        time_ahead_s = 3 * 86400;
        wire_begin(&it, server_port(redis));
        assert_int_equal(wire_handshake(&it), RLK_TLS_REFUSED);
        assert_contains(it.tls->calls->error(it.session), "server's certificate has expired");
        time_ahead_s = 0;
        session_end(&backend, &it, redis);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_session_goes_on_byte_by_byte),
        support_test(test_tls_session_survives_cuts_of_the_handshake),
        support_test(test_tls_session_knows_a_cut_from_an_end),
        support_test(test_tls_session_sends_close_notify),
        support_test(test_tls_session_is_resumed),
        support_test(test_tls_session_writes_and_reads_much),
        support_test(test_tls_session_sends_names_only),
        support_test(test_tls_session_has_bytes_pending),
        support_test(test_tls_session_fails_to_write_into_nothing),
        support_test(test_tls_session_of_a_child_has_other_keys),
        support_test(test_tls_session_refuses_what_is_no_name),
        support_test(test_tls_session_answers),
        support_test(test_tls_session_fails_by_junk),
        support_test(test_tls_session_is_not_resumed_when_its_certificate_has_expired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
