/* SPDX-License-Identifier: MIT
 *
 * TLS between a connection and its descriptor. What TLS is, the backend knows (resplock/tls.h).
 *
 *     +------+  rlki_tls_secure  +-----------+  DONE   +----+
 *     | NONE | ----------------> | HANDSHAKE | ------> | UP |
 *     +------+                   +-----------+         +----+
 *        ^                             |                  |
 *        +-----------------------------+------------------+
 *           rlki_tls_end: with close_notify only from UP, and only if nothing has failed
 *
 * NONE is without TLS_BEGUN, UP is with TLS_UP. The backend's session lives from the first
 * handshake to rlki_tls_close, so that it can be resumed.
 *
 * A send that fails is no failure to the backend, so that it still reads what the server said
 * before it hung up, an alert above all. Then the stream ends. In the handshake the send counts as
 * done, because the backend would not read before. In UP it would block, because what counts as
 * done there counts as sent by the connection, too.
 */
#include "tls_stream.h"

#include "socket_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Longest name of a peer. */
#define TLS_NAME_MAX 255u

/* rlk_socket_tls.flags, beside those of the header */
#define TLS_BEGUN       0x10u /* the session has a stream */
#define TLS_UP          0x20u /* through the handshake, and nothing has failed since */
#define TLS_MAY_WAIT    0x40u /* the next recv waits */
#define TLS_INTERRUPTED 0x80u /* ... and a signal has ended that */

/* Returns true if the stream goes on: DONE, or a wait. */
static bool tls_goes_on(rlk_tls_status status)
{
    return status <= RLK_TLS_WANT_WRITE;
}

/* ---- The stream below TLS ---------------------------------------------------------------- */

/* Interrupted, it is tried again after a poll. */
static bool tls_would_block(int error)
{
    return rlki_socket_would_block(error) || error == EINTR;
}

static ptrdiff_t tls_io_send(void *context, const void *bytes, size_t len)
{
    rlk_socket *sock = (rlk_socket *)context;
    ssize_t n = send(sock->fd, bytes, len, RLKI_SEND_FLAGS);

    if (n >= 0) {
        return n;
    }
    if (tls_would_block(errno)) {
        return RLK_TLS_IO_AGAIN;
    }
    sock->tls.error = errno;
    return (sock->tls.flags & TLS_UP) != 0 ? RLK_TLS_IO_AGAIN : (ptrdiff_t)len;
}

static ptrdiff_t tls_io_recv(void *context, void *room, size_t cap)
{
    rlk_socket *sock = (rlk_socket *)context;
    bool waits = (sock->tls.flags & TLS_MAY_WAIT) != 0;
    ssize_t n;

    sock->tls.flags &= (uint8_t)~TLS_MAY_WAIT;
    n = recv(sock->fd, room, cap, waits ? 0 : RLKI_RECEIVE_FLAGS);
    if (n >= 0) {
        return n;
    }
    if (waits && errno == EINTR) {
        sock->tls.flags |= TLS_INTERRUPTED;
    }
    if (tls_would_block(errno)) {
        return RLK_TLS_IO_AGAIN;
    }
    sock->tls.error = errno;
    return RLK_TLS_IO_FAILED;
}

/* ---- Begin and end ----------------------------------------------------------------------- */

/* The dot at a name's end says that it is complete (RFC 6066, 3); the zone of an address is this
 * host's business alone. */
static void tls_trim(rlk_tls_peer *peer, char *name, size_t len)
{
    uint8_t ip[16]; /* some systems write into it even where they fail */
    char *zone;

    if (len > 1 && name[len - 1] == '.') {
        name[len - 1] = '\0';
    }
    if (inet_pton(AF_INET, name, ip) == 1) {
        peer->ip_len = 4;
        memcpy(peer->ip, ip, 4);
        return;
    }
    zone = strchr(name, '%');
    if (zone != NULL) {
        *zone = '\0';
    }
    if (inet_pton(AF_INET6, name, ip) == 1) {
        peer->ip_len = 16;
        memcpy(peer->ip, ip, 16);
    } else if (zone != NULL) {
        *zone = '%';
    }
}

/* Whom the certificate must be for: the name of the configuration, or the URL's host. False: it is
 * no name of a host. TLS libraries verify no name where it is empty, and take any name of a domain
 * where a dot is first. */
static bool tls_peer(const rlk_socket *sock, rlk_tls_peer *peer, char name[TLS_NAME_MAX + 1])
{
    const rlk_url *url = rlk_conn_url(sock->conn);
    const char *from = sock->tls.backend->server_name;
    size_t len = from != NULL ? strlen(from) : url->host_len;

    if (from == NULL) {
        from = url->host;
    }
    if (len == 0 || len > TLS_NAME_MAX || *from == '.') {
        return false;
    }
    memset(peer, 0, sizeof *peer);
    peer->name = name;
    memcpy(name, from, len);
    name[len] = '\0';
    tls_trim(peer, name, len);
    return true;
}

static rlk_tls_status tls_begin(rlk_socket *sock)
{
    const rlk_tls_calls *calls = sock->tls.backend->calls;
    char name[TLS_NAME_MAX + 1];
    rlk_tls_peer peer;
    rlk_tls_io io;

    if (sock->tls.session == NULL) {
        sock->tls.session = calls->open(sock->tls.backend);
    }
    if (sock->tls.session == NULL) {
        return RLK_TLS_FAILED;
    }
    if (!tls_peer(sock, &peer, name)) {
        return RLK_TLS_REFUSED;
    }
    io.send = tls_io_send;
    io.recv = tls_io_recv;
    io.context = sock;
    sock->tls.flags = TLS_BEGUN;
    sock->tls.unfinished = 0;
    sock->tls.error = 0;
    return calls->begin(sock->tls.session, &io, &peer);
}

static void tls_end(rlk_socket *sock, bool notify)
{
    if ((sock->tls.flags & TLS_BEGUN) != 0) {
        bool up = (sock->tls.flags & TLS_UP) != 0 && sock->tls.error == 0;

        sock->tls.backend->calls->end(sock->tls.session, notify && up);
    }
    sock->tls.flags = 0;
}

static void tls_close(rlk_socket *sock)
{
    tls_end(sock, false);
    if (sock->tls.session != NULL) {
        sock->tls.backend->calls->close(sock->tls.session);
        sock->tls.session = NULL;
    }
}

/* ---- Steps ------------------------------------------------------------------------------- */

/* Behind a failure no close_notify may follow. */
static rlk_tls_status tls_check(rlk_socket *sock, rlk_tls_status status)
{
    if (!tls_goes_on(status)) {
        sock->tls.flags &= (uint8_t)~TLS_UP;
    }
    return status;
}

/* The same of handshake and read: what they wait for is noted. A stream that broke in a send has
 * nothing to wait for. */
static rlk_tls_status tls_note(rlk_socket *sock, rlk_tls_status status)
{
    const rlk_tls_calls *calls = sock->tls.backend->calls;

    sock->tls.flags &= (uint8_t) ~(RLKI_TLS_MORE | RLKI_TLS_WANTS_WRITE);
    if (status == RLK_TLS_DONE && calls->pending(sock->tls.session)) {
        sock->tls.flags |= RLKI_TLS_MORE;
    } else if (status != RLK_TLS_DONE && tls_goes_on(status) && sock->tls.error != 0) {
        status = RLK_TLS_FAILED;
    } else if (status == RLK_TLS_WANT_WRITE) {
        sock->tls.flags |= RLKI_TLS_WANTS_WRITE;
    }
    return tls_check(sock, status);
}

static rlk_tls_status tls_read(rlk_socket *sock, uint8_t *room, size_t cap, size_t *len)
{
    return tls_note(sock, sock->tls.backend->calls->read(sock->tls.session, room, cap, len));
}

/* Reads until TLS has no more, as poll would not say so; but one stream must not keep the others
 * of its loop waiting. */
static rlk_tls_status tls_receive(rlk_socket *sock, int64_t now_ms)
{
    rlk_tls_status status = RLK_TLS_DONE;
    int round;

    for (round = 0; round < RLK_SOCKET_ROUNDS; round++) {
        size_t cap = 0;
        size_t len = 0;
        uint8_t *room = rlk_conn_rx_buf(sock->conn, &cap);

        if (cap == 0) {
            return RLK_TLS_DONE; /* the connection is about to close */
        }
        status = tls_read(sock, room, cap, &len);
        if (status != RLK_TLS_DONE) {
            return status;
        }
        rlk_conn_rx_ack(sock->conn, len, now_ms);
        if ((sock->tls.flags & RLKI_TLS_MORE) == 0) {
            return RLK_TLS_DONE;
        }
    }
    return status;
}

/* Writes what TLS takes. What it did not take is repeated with as many bytes as before, even if
 * there are more by now. */
static rlk_tls_status tls_send(rlk_socket *sock, int64_t now_ms)
{
    const rlk_tls_calls *calls = sock->tls.backend->calls;
    int round;

    sock->blocked = false;
    sock->tls.flags &= (uint8_t)~RLKI_TLS_WRITE_WANTS_READ;
    for (round = 0; round < RLK_SOCKET_ROUNDS; round++) {
        size_t len = 0;
        size_t done = 0;
        const uint8_t *bytes = rlk_conn_tx_buf(sock->conn, &len);
        rlk_tls_status status;

        if (len == 0) {
            return RLK_TLS_DONE;
        }
        if (sock->tls.unfinished != 0) {
            len = sock->tls.unfinished;
        }
        status = calls->write(sock->tls.session, bytes, len, &done);
        if (status != RLK_TLS_DONE) {
            sock->blocked = true; /* until poll says otherwise */
            sock->tls.unfinished = len;
            if (status == RLK_TLS_WANT_READ) {
                sock->tls.flags |= RLKI_TLS_WRITE_WANTS_READ;
            }
            return tls_check(sock, status);
        }
        sock->tls.unfinished = 0;
        rlk_conn_tx_ack(sock->conn, done, now_ms);
    }
    return RLK_TLS_DONE;
}

/* Reads first, so that what the replies set off leaves in the same call. */
static rlk_tls_status tls_exchange(rlk_socket *sock, bool readable, bool writeable, int64_t now_ms)
{
    unsigned flags = sock->tls.flags;
    bool reads = readable || (flags & RLKI_TLS_MORE) != 0 ||
                 (writeable && (flags & RLKI_TLS_WANTS_WRITE) != 0);
    bool writes =
        !sock->blocked || writeable || (reads && (flags & RLKI_TLS_WRITE_WANTS_READ) != 0);
    rlk_tls_status status = RLK_TLS_DONE;

    if (reads) {
        status = tls_receive(sock, now_ms);
    }
    if (!tls_goes_on(status) || !writes) {
        return status;
    }
    status = tls_send(sock, now_ms);
    if (sock->tls.error != 0 && tls_goes_on(status)) {
        status = tls_receive(sock, now_ms); /* what it said before it hung up */
        return tls_goes_on(status) ? RLK_TLS_FAILED : status;
    }
    return status;
}

/* ---- Why it ended ------------------------------------------------------------------------ */

/* In the handshake: all of it is TLS's. */
static const char *tls_handshake_words(const rlk_socket *sock, rlk_tls_status status)
{
    if (sock->tls.session == NULL) {
        return "no memory is left for TLS";
    }
    if ((sock->tls.flags & TLS_BEGUN) == 0) {
        return "the server's name is empty or too long, or a dot is first";
    }
    if (status != RLK_TLS_REFUSED && sock->tls.error != 0) {
        return "the stream broke in the TLS handshake";
    }
    return status == RLK_TLS_FAILED || status == RLK_TLS_REFUSED
               ? sock->tls.backend->calls->error(sock->tls.session)
               : "the server hung up in the TLS handshake: is it a TLS port?";
}

static rlk_result tls_result(rlk_socket *sock, rlk_tls_status status, int *error)
{
    bool up = rlk_conn_get_state(sock->conn) != RLK_CONN_CONNECTING;

    *error = 0;
    if (status == RLK_TLS_REFUSED) {
        rlk_conn_explain(sock->conn, tls_handshake_words(sock, status));
        return RLK_E_TLS_REFUSED;
    }
    if (!up) {
        rlk_conn_explain(sock->conn, tls_handshake_words(sock, status));
        *error = sock->tls.error;
        return RLK_E_TLS;
    }
    if (status == RLK_TLS_CLOSED) {
        return RLK_E_EOF;
    }
    if (status == RLK_TLS_CUT || sock->tls.error == EPIPE) {
        return RLK_E_TLS_CUT;
    }
    if (sock->tls.error != 0) {
        *error = sock->tls.error;
        return RLK_E_IO;
    }
    rlk_conn_explain(sock->conn, sock->tls.backend->calls->error(sock->tls.session));
    return RLK_E_TLS;
}

/* ---- The driver's calls ------------------------------------------------------------------- */

static rlk_result tls_secure(rlk_socket *sock, int *error)
{
    rlk_tls_status status = RLK_TLS_DONE;

    if ((sock->tls.flags & TLS_BEGUN) == 0) {
        status = tls_begin(sock);
    }
    if (status == RLK_TLS_DONE) {
        status = tls_note(sock, sock->tls.backend->calls->handshake(sock->tls.session));
    }
    if (status == RLK_TLS_DONE) {
        sock->tls.flags |= TLS_UP;
        return RLK_OK;
    }
    return tls_goes_on(status) ? RLK_PENDING : tls_result(sock, status, error);
}

static rlk_result tls_transfer(rlk_socket *sock, bool readable, bool writeable, int *error,
                               int64_t now_ms)
{
    rlk_tls_status status = tls_exchange(sock, readable, writeable, now_ms);

    return tls_goes_on(status) ? RLK_OK : tls_result(sock, status, error);
}

static bool tls_wait(rlk_socket *sock, rlki_socket_got *got)
{
    size_t cap = 0;
    uint8_t *room = rlk_conn_rx_buf(sock->conn, &cap);
    rlk_tls_status status;

    if ((sock->tls.flags & (RLKI_TLS_MORE | RLKI_TLS_WANTS_WRITE)) != 0) {
        return false;
    }
    got->len = 0;
    got->why = RLK_OK;
    sock->tls.flags &= (uint8_t)~TLS_INTERRUPTED;
    sock->tls.flags |= TLS_MAY_WAIT;
    status = tls_read(sock, room, cap, &got->len);
    sock->tls.flags &= (uint8_t)~TLS_MAY_WAIT; /* TLS had bytes already */
    got->error = (sock->tls.flags & TLS_INTERRUPTED) != 0 ? EINTR : 0;
    if (!tls_goes_on(status)) {
        got->why = tls_result(sock, status, &got->error);
    }
    return true;
}

const rlk_tls_driver *rlk_socket_tls_driver(void)
{
    static const rlk_tls_driver tls_driver = {
        "no answer to TLS's handshake: is it a TLS port?", /* a plain port waits for a line */
        tls_secure,
        tls_transfer,
        tls_wait,
        tls_end,
        tls_close};

    return &tls_driver;
}
