/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver: moves the bytes of one connection through one descriptor, without waiting.
 *
 *     +------+  wants CONNECT   +------------+          +----+
 *     | IDLE | ---------------> | connect.c: | -------> | UP |
 *     +------+                  | an attempt |          +----+
 *        ^                      +------------+            |
 *        |                            |                   | end of stream: RLK_E_EOF
 *        +----------------------------+-------------------+ error: RLK_E_IO
 *              it fails, or wants CLOSE                     wants CLOSE
 *
 * With TLS, tls_stream.c moves the bytes of UP.
 *
 * System calls in UP: one recv for a readable descriptor, one more only where it filled the whole
 * buffer; one send for what is ready, no matter whether poll said so. A blocking call of a
 * client with one connection doesn't poll: there recv itself waits (socket_wait.h).
 */
#include "features.h"

#include "resplock/socket.h"

#include "../transmit.h"
#include "connect.h"
#include "socket_io.h"
#include "socket_wait.h"
#include "tls_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>

/* ---- The end ---------------------------------------------------------------------------- */

void rlk_socket_close(rlk_socket *sock)
{
    rlki_tls_close(sock);
    rlki_connect_shut(sock, false);
}

/* The stream, or the attempt, is over. */
static void socket_end(rlk_socket *sock, rlk_result why, int error, int64_t now_ms)
{
    rlki_connect_shut(sock, why == RLK_OK && sock->state == RLKI_SOCKET_UP);
    rlk_conn_closed(sock->conn, why, error, now_ms);
}

/* ---- Transfer ---------------------------------------------------------------------------- */

/* Reads what is there. False: the stream is over, *error is 0 at its end. */
static bool socket_receive(rlk_socket *sock, int *error, int64_t now_ms)
{
    int round;

    for (round = 0; round < RLK_SOCKET_ROUNDS; round++) {
        size_t cap = 0;
        uint8_t *buf = rlk_conn_rx_buf(sock->conn, &cap);
        ssize_t n;

        if (cap == 0) {
            return true; /* the connection is about to close */
        }
        n = recv(sock->fd, buf, cap, RLKI_RECEIVE_FLAGS);
        if (n > 0) {
            rlk_conn_rx_ack(sock->conn, (size_t)n, now_ms);
            if ((size_t)n < cap) {
                return true; /* that was all: no read that ends with EAGAIN */
            }
        } else if (n == 0) {
            *error = 0;
            return false;
        } else if (rlki_socket_would_block(errno)) {
            return true;
        } else if (errno != EINTR) {
            *error = errno;
            return false;
        }
    }
    return true;
}

/* Writes what the kernel takes. False: the stream is over. */
static RLKI_INTO_CALLERS bool socket_send(rlk_socket *sock, int *error, int64_t now_ms)
{
    int round = 0;

    sock->blocked = false;
    while (round++ < RLK_SOCKET_ROUNDS && !rlki_transmit_is_quiet(sock->conn)) {
        size_t len = 0;
        const uint8_t *buf = rlk_conn_tx_buf(sock->conn, &len);
        ssize_t n;

        if (len == 0) {
            return true;
        }
        n = send(sock->fd, buf, len, RLKI_SEND_FLAGS);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && !rlki_socket_would_block(errno)) {
            *error = errno;
            return false;
        }
        if (n > 0) {
            rlk_conn_tx_ack(sock->conn, (size_t)n, now_ms);
        }
        if (n < (ssize_t)len) {
            sock->blocked = true; /* until poll says otherwise */
            return true;
        }
    }
    return true;
}

/* Reads first, so that what the replies set off leaves in the same call. RLK_OK, or how the stream
 * ended. */
static RLKI_INTO_CALLERS rlk_result socket_exchange(rlk_socket *sock, short revents, int *error,
                                                    int64_t now_ms)
{
    bool up = true;

    if ((revents & RLKI_READABLE) != 0) {
        up = socket_receive(sock, error, now_ms);
    }
    if (up && (!sock->blocked || (revents & RLKI_WRITEABLE) != 0)) {
        up = socket_send(sock, error, now_ms);
        if (!up) {
            /* what it said before it hung up: "-ERR max number of clients reached" */
            int ignored;

            (void)socket_receive(sock, &ignored, now_ms);
        }
    }
    if (up) {
        return RLK_OK;
    }
    return *error == 0 || *error == EPIPE ? RLK_E_EOF : RLK_E_IO;
}

/* Moves what can be moved. Returns what the connection wants after that. */
static RLKI_INTO_CALLERS unsigned socket_transfer(rlk_socket *sock, short revents, int64_t now_ms)
{
    int error = 0;
    unsigned wants;
    rlk_result why;

    if (rlki_tls_is_on(sock)) {
        why = rlki_tls_transfer(sock, (revents & RLKI_READABLE) != 0,
                                (revents & RLKI_WRITEABLE) != 0, &error, now_ms);
    } else {
        why = socket_exchange(sock, revents, &error, now_ms);
    }
    if (why == RLK_OK && rlki_transmit_is_quiet(sock->conn)) {
        return RLK_WANT_READ;
    }
    wants = rlk_conn_wants(sock->conn);
    if (why != RLK_OK || (wants & RLK_WANT_CLOSE) != 0) {
        socket_end(sock, why, error, now_ms);
        wants = rlk_conn_wants(sock->conn);
    }
    return wants;
}

/* ---- Waiting ----------------------------------------------------------------------------- */

/* Shorter waits are poll's: a socket's own timer is coarse. */
#define SOCKET_WAIT_MIN_MS 40

#define SOCKET_WAIT_MAX_MS 3600000

/* Has recv wait, at most timeout_ms and at least a quarter of that. What was set the last time is
 * most often right again, also where waits of two lengths take turns. */
static bool socket_set_wait(rlk_socket *sock, int timeout_ms)
{
#ifdef MSG_DONTWAIT
    struct timeval limit;
    int least_ms = (int)((unsigned)timeout_ms / 4);
    int wait_ms = timeout_ms - least_ms;

    if (sock->wait_ms <= timeout_ms && sock->wait_ms >= least_ms) {
        return true;
    }
    limit.tv_sec = wait_ms / 1000;
    limit.tv_usec = wait_ms % 1000 * 1000;
    if (setsockopt(sock->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, (socklen_t)sizeof limit) != 0) {
        return false;
    }
    if (sock->wait_ms == 0) {
        int flags = fcntl(sock->fd, F_GETFL);

        if (flags < 0 || fcntl(sock->fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
            return false;
        }
    }
    sock->wait_ms = wait_ms;
    return true;
#else
    (void)sock;
    (void)timeout_ms;
    return false;
#endif
}

static void socket_wait_plain(rlk_socket *sock, rlki_socket_got *got)
{
    size_t cap = 0;
    uint8_t *buf = rlk_conn_rx_buf(sock->conn, &cap);
    ssize_t n = recv(sock->fd, buf, cap, 0);

    got->len = n > 0 ? (size_t)n : 0;
    got->error = n < 0 ? errno : 0;
    got->why = n == 0 ? RLK_E_EOF : RLK_OK;
    if (n < 0 && got->error != EINTR && !rlki_socket_would_block(got->error)) {
        got->why = RLK_E_IO;
    }
}

bool rlki_socket_wait(rlk_socket *sock, int timeout_ms, int64_t now_ms, rlki_socket_got *got)
{
    if (timeout_ms < 0 || timeout_ms > SOCKET_WAIT_MAX_MS) {
        timeout_ms = SOCKET_WAIT_MAX_MS;
    }
    if (timeout_ms < SOCKET_WAIT_MIN_MS || sock->state != RLKI_SOCKET_UP || sock->blocked ||
        sock->loop != NULL || /* which may set O_NONBLOCK at any time */
        rlki_conn_state(sock->conn) != RLK_CONN_READY ||
        socket_transfer(sock, 0, now_ms) != RLK_WANT_READ || !socket_set_wait(sock, timeout_ms)) {
        return false;
    }
    if (rlki_tls_is_on(sock)) {
        return rlki_tls_wait(sock, got);
    }
    socket_wait_plain(sock, got);
    return true;
}

void rlki_socket_take(rlk_socket *sock, const rlki_socket_got *got, int64_t now_ms)
{
    if (got->why != RLK_OK) {
        socket_end(sock, got->why, got->error, now_ms);
        return;
    }
    if (got->len > 0) {
        rlk_conn_rx_ack(sock->conn, got->len, now_ms); /* nothing, if it closes by now */
    }
    if (!rlki_transmit_is_quiet(sock->conn) || (sock->tls.flags & RLKI_TLS_MORE) != 0) {
        (void)socket_transfer(sock, 0, now_ms);
    }
}

/* ---- Public ------------------------------------------------------------------------------ */

void rlk_socket_init(rlk_socket *sock, rlk_conn *conn, rlk_resolver *resolver)
{
    memset(sock, 0, sizeof *sock);
    sock->conn = conn;
    sock->resolver = resolver;
    sock->fd = -1;
}

void rlk_socket_set_loop(rlk_socket *sock, rlk_loop *loop, unsigned slot)
{
    sock->loop = loop;
    sock->slot = (uint8_t)slot;
    sock->wait_ms = 0; /* a recv that waits clears O_NONBLOCK, which loops set, anew */
}

void rlk_socket_use_tls(rlk_socket *sock, const rlk_tls *tls)
{
    if (rlk_conn_url(sock->conn)->path == NULL) {
        sock->tls.backend = tls;
    }
}

int rlk_socket_fd(const rlk_socket *sock)
{
    return sock->state == RLKI_SOCKET_RESOLVING ? sock->lookup.fd : sock->fd;
}

short rlk_socket_events(const rlk_socket *sock)
{
    bool wants_write = (sock->tls.flags & RLKI_TLS_WANTS_WRITE) != 0;

    switch (sock->state) {
    case RLKI_SOCKET_RESOLVING:
        return sock->lookup.fd >= 0 ? POLLIN : 0;
    case RLKI_SOCKET_CONNECTING:
        return POLLOUT;
    case RLKI_SOCKET_TLS:
        return wants_write ? POLLOUT : POLLIN;
    case RLKI_SOCKET_UP:
        wants_write = wants_write || ((rlk_conn_wants(sock->conn) & RLK_WANT_WRITE) != 0 &&
                                      (sock->tls.flags & RLKI_TLS_WRITE_WANTS_READ) == 0);
        return wants_write ? POLLIN | POLLOUT : POLLIN;
    default:
        return 0;
    }
}

int64_t rlk_socket_deadline(const rlk_socket *sock)
{
    if ((rlk_conn_wants(sock->conn) & (RLK_WANT_CONNECT | RLK_WANT_CLOSE)) != 0) {
        return 0;
    }
    switch (sock->state) {
    case RLKI_SOCKET_RESOLVING:
        return sock->lookup.done ? 0 : sock->lookup.deadline_ms;
    case RLKI_SOCKET_CONNECTING:
    case RLKI_SOCKET_TLS:
        return sock->address_deadline_ms;
    case RLKI_SOCKET_UP:
        return (sock->tls.flags & RLKI_TLS_MORE) != 0 ? 0 : RLK_NEVER;
    default:
        return RLK_NEVER;
    }
}

void rlk_socket_service(rlk_socket *sock, short revents, bool may_block, int64_t now_ms)
{
    rlk_result result = RLK_OK;

    if ((rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) {
        if (rlk_conn_result(sock->conn) == RLK_E_CONNECT_TIMEOUT) {
            rlk_conn_explain(sock->conn, rlki_connect_overdue(sock));
        }
        socket_end(sock, RLK_OK, 0, now_ms);
    }
    if (sock->state == RLKI_SOCKET_UP) {
        (void)socket_transfer(sock, revents, now_ms);
        return;
    }
    if (sock->state != RLKI_SOCKET_IDLE) {
        result = rlki_connect_go_on(sock, revents, may_block, now_ms);
    } else if ((rlk_conn_wants(sock->conn) & RLK_WANT_CONNECT) != 0) {
        result = rlki_connect_begin(sock, may_block, now_ms);
    }
    if (result != RLK_OK && result != RLK_PENDING) {
        if (result == RLK_E_CONNECT_TIMEOUT) {
            rlk_conn_explain(sock->conn, rlki_connect_overdue(sock));
        }
        socket_end(sock, result, sock->last_errno, now_ms);
    } else if (sock->state == RLKI_SOCKET_UP) {
        (void)socket_transfer(sock, 0, now_ms); /* those events were not the stream's */
    }
}
