/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver: moves the bytes of one connection through one descriptor, without waiting.
 *
 *                  connection wants CONNECT: resolve, try the first address
 *        +------+ ----------------------------------------------+
 *        | IDLE | ----------------------+ a resolver answers    |
 *        +------+                       v later                 |
 *          ^ ^ ^                  +-----------+                 |
 *          | | +-- no address: ---| RESOLVING |------------+    |
 *          | |  RLK_E_RESOLVE;    +-----------+  addresses |    |
 *          | |    wants CLOSE                              v    v
 *          | |                                          +------------+  refused, or its time
 *          | +-- no address is left: RLK_E_CONNECT; ----| CONNECTING |  is over: try the next
 *          |     wants CLOSE                            +------------+  address
 *          |                                                    |
 *          |   end of stream: RLK_E_EOF                         | connect() at once, or writable
 *          |   error: RLK_E_IO        +----+                    | without an error
 *          +-- wants CLOSE -----------| UP | <------------------+
 *                                     +----+
 *
 * RESOLVING and CONNECTING share the connect time, whose end is a "wants CLOSE". On each way out of
 * RESOLVING the lookup is closed: an answer that comes later goes nowhere. The descriptor of a
 * lookup is the resolver's (resolver.h).
 *
 * With TLS, its handshake is between CONNECTING and UP (state TLS). It has the same time as the
 * connect; it may fail like that, and the next address is tried. If it is refused for good, the
 * attempt is over: RLK_E_TLS_REFUSED. tls_stream.c then moves the bytes of UP.
 *
 * CONNECTING without a descriptor: the server's queue of a Unix socket was full (EAGAIN), and the
 * attempt pauses. The first address is the one behind that which the connection has condemned.
 *
 * System calls in UP: one recv for a readable descriptor, one more only where it filled the whole
 * buffer; one send for what is ready, no matter whether poll said so. A blocking call of a
 * client with one connection doesn't poll: there recv itself waits (socket_wait.h).
 */
#include "features.h"

#include "resplock/socket.h"

#include "../transmit.h"
#include "name.h"
#include "resolver.h"
#include "socket_io.h"
#include "socket_wait.h"
#include "tls_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

enum {
    SOCKET_IDLE,
    SOCKET_RESOLVING,
    SOCKET_CONNECTING,
    SOCKET_TLS,
    SOCKET_UP
};

/* What one address came to, so far. */
typedef enum socket_outcome {
    SOCKET_FAILED, /* the next one is tried */
    SOCKET_UNDER_WAY,
    SOCKET_DONE
} socket_outcome;

#define SOCKET_READABLE  (POLLIN | POLLERR | POLLHUP | POLLNVAL)
#define SOCKET_WRITEABLE (POLLOUT | POLLERR | POLLHUP | POLLNVAL)

/* ---- Descriptors ------------------------------------------------------------------------- */

/* Non-blocking and close-on-exec; -1 and errno if there is none to be had. */
static int socket_open(int family)
{
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    int fd = socket(family, SOCK_STREAM, 0);

    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)) {
        int error = errno;

        (void)close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
#endif
}

/* Wishes, not needs: a system that refuses one is served all the same. */
static void socket_set_options(int fd, int family)
{
    int on = 1;

#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    if (family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
}

/* Ends the stream. notify: after a close_notify of TLS. */
static void socket_shut(rlk_socket *sock, bool notify)
{
    rlki_resolver_end(sock);
    rlki_tls_end(sock, notify);
    if (sock->fd >= 0) {
        if (sock->loop != NULL) {
            sock->loop->calls->closing(sock->loop, sock->slot, sock->fd);
        }
        (void)close(sock->fd); /* after EINTR too the descriptor is gone, or another thread's */
        sock->fd = -1;
    }
    sock->state = SOCKET_IDLE;
    sock->blocked = false;
    sock->wait_ms = 0;
}

void rlk_socket_close(rlk_socket *sock)
{
    rlki_tls_close(sock);
    socket_shut(sock, false);
}

/* The stream, or the attempt, is over. */
static void socket_end(rlk_socket *sock, rlk_result why, int error, int64_t now_ms)
{
    socket_shut(sock, why == RLK_OK && sock->state == SOCKET_UP);
    rlk_conn_closed(sock->conn, why, error, now_ms);
}

/* ---- Connecting -------------------------------------------------------------------------- */

/* The address under way failed. A refusal by the server itself says more than a route or a
 * protocol that this host lacks, and what TLS said more than both. */
static void socket_address_failed(rlk_socket *sock, int error)
{
    socket_shut(sock, false);
    if (sock->last_errno != ECONNREFUSED && sock->why == RLK_E_CONNECT) {
        sock->last_errno = error;
    }
}

/* Until the first attempt is over, its words say what an acquire waits for that ends before it. */
static void socket_explain_wait(const rlk_socket *sock, const char *words)
{
    if (rlk_conn_result(sock->conn) == RLK_E_NOT_CONNECTED) {
        rlk_conn_explain(sock->conn, words);
    }
}

/* A plain port answers nothing until a line ends. */
#define SOCKET_NO_TLS_ANSWER "no answer to TLS's handshake: is it a TLS port?"

/* Goes on with the TLS handshake. */
static socket_outcome socket_secure(rlk_socket *sock)
{
    rlk_tls_status status = RLK_TLS_DONE;
    rlk_result why;
    int error;

    if (sock->state != SOCKET_TLS) {
        sock->state = SOCKET_TLS;
        status = rlki_tls_begin(sock);
    }
    if (status == RLK_TLS_DONE) {
        status = rlki_tls_handshake(sock);
    }
    if (rlki_tls_goes_on(status)) {
        socket_explain_wait(sock, status == RLK_TLS_DONE ? "" : SOCKET_NO_TLS_ANSWER);
        return status == RLK_TLS_DONE ? SOCKET_DONE : SOCKET_UNDER_WAY;
    }
    why = rlki_tls_result(sock, status, &error);
    if (why == RLK_E_TLS_REFUSED) { /* the other addresses would say the same */
        sock->address_next = sock->addresses_len;
    }
    sock->why = (int16_t)why;
    sock->last_errno = error;
    return SOCKET_FAILED;
}

/* Our own address. False: the server's as well. Where the server's port is one of those that the
 * system gives to clients, and nobody listens there, it can happen that the two ends meet, and then
 * the server can't have its port back. */
static bool socket_local(const rlk_socket *sock, const rlk_address *address,
                         char local[RLKI_NAME_TEXT])
{
    char server[RLKI_NAME_TEXT];
    rlki_name name;
    socklen_t len = (socklen_t)sizeof name;

    memset(&name, 0, sizeof name);
    (void)rlki_name_of_address(&name, address);
    rlki_name_format(&name, server);
    if (getsockname(sock->fd, &name.any, &len) != 0) {
        local[0] = '\0';
    } else {
        rlki_name_format(&name, local);
    }
    return strcmp(local, server) != 0;
}

/* Connected: once TLS is through, where there is any, the connection is notified. */
static socket_outcome socket_connected(rlk_socket *sock, int64_t now_ms)
{
    char local[RLKI_NAME_TEXT];
    const rlk_address *address;
    socket_outcome outcome = SOCKET_DONE;

    if (rlk_conn_url(sock->conn)->path != NULL) {
        sock->state = SOCKET_UP;
        rlk_conn_connected(sock->conn, 0, NULL, now_ms);
        return SOCKET_DONE;
    }
    address = &sock->addresses[sock->address_next - 1];
    if (!socket_local(sock, address, local)) {
        errno = ECONNREFUSED;
        return SOCKET_FAILED;
    }
    if (rlki_tls_is_on(sock)) {
        outcome = socket_secure(sock);
    }
    if (outcome == SOCKET_DONE) {
        sock->state = SOCKET_UP;
        rlk_conn_connected(sock->conn, rlki_name_peer(address), local[0] != '\0' ? local : NULL,
                           now_ms);
    }
    return outcome;
}

/* One socket() and connect() to the address sock->address_next. */
static socket_outcome socket_connect(rlk_socket *sock)
{
    const rlk_url *url = rlk_conn_url(sock->conn);
    rlki_name name;
    socklen_t len;

    memset(&name, 0, sizeof name);
    len = url->path != NULL ? rlki_name_of_path(&name, url)
                            : rlki_name_of_address(&name, &sock->addresses[sock->address_next]);
    if (len == 0) {
        return SOCKET_FAILED;
    }
    sock->fd = socket_open(name.any.sa_family);
    if (sock->fd < 0) {
        return SOCKET_FAILED;
    }
    socket_set_options(sock->fd, name.any.sa_family);
    if (connect(sock->fd, &name.any, len) == 0) {
        return SOCKET_DONE;
    }
    /* interrupted, it goes on in the background like any other */
    return errno == EINPROGRESS || errno == EINTR ? SOCKET_UNDER_WAY : SOCKET_FAILED;
}

/* The address under way may have its part of the time that is left; the last one all of it, and
 * then it is the connection that ends the attempt. */
static int64_t socket_address_deadline(const rlk_socket *sock, int64_t now_ms)
{
    uint32_t others = (uint32_t)(sock->addresses_len - sock->address_next);
    int64_t left_ms = rlk_conn_deadline(sock->conn) - now_ms;

    if (others == 0) {
        return RLK_NEVER;
    }
    if (left_ms <= 0) {
        return now_ms;
    }
    return now_ms + (int64_t)((uint32_t)left_ms / (others + 1)); /* at most RLK_TIME_LIMIT_MAX */
}

/* Between two attempts on a server whose queue is full. */
#define SOCKET_FULL_MS 10

/* Nothing reports when the queue of a Unix socket has room again (fault 116). False: the connect
 * time is over before the next attempt. */
static bool socket_pause(rlk_socket *sock, int64_t now_ms)
{
    if (rlk_conn_deadline(sock->conn) - now_ms <= SOCKET_FULL_MS) {
        return false;
    }
    socket_shut(sock, false);
    sock->state = SOCKET_CONNECTING;
    sock->address_next = 0; /* the path, once more */
    sock->address_deadline_ms = now_ms + SOCKET_FULL_MS;
    return true;
}

/* Tries addresses until one answers at once or needs a wait, or none is left. */
static void socket_try(rlk_socket *sock, int64_t now_ms)
{
    while (sock->address_next < sock->addresses_len) {
        socket_outcome outcome = socket_connect(sock);
        int error = errno;

        sock->address_next++;
        sock->address_deadline_ms = socket_address_deadline(sock, now_ms);
        if (outcome == SOCKET_UNDER_WAY) {
            sock->state = SOCKET_CONNECTING;
        } else if (outcome == SOCKET_DONE) {
            outcome = socket_connected(sock, now_ms);
            error = errno;
        } else if (error == EAGAIN && rlk_conn_url(sock->conn)->path != NULL &&
                   socket_pause(sock, now_ms)) {
            return;
        }
        if (outcome != SOCKET_FAILED) {
            return;
        }
        socket_address_failed(sock, error);
    }
    socket_end(sock, (rlk_result)sock->why, sock->last_errno, now_ms);
}

/* Begins with the address behind the one that the connection has left for what its server said
 * (fault 93). */
static void socket_turn(rlk_socket *sock)
{
    unsigned len = sock->addresses_len;
    unsigned turns = 0;
    unsigned i;

    for (i = 0; i < len; i++) {
        if (rlk_conn_is_condemned(sock->conn, rlki_name_peer(&sock->addresses[i]))) {
            turns = i + 1;
        }
    }
    for (; turns > 0 && turns < len; turns--) {
        rlk_address first = sock->addresses[0];

        memmove(&sock->addresses[0], &sock->addresses[1], (len - 1) * sizeof first);
        sock->addresses[len - 1] = first;
    }
}

/* Resolving has come to `result`. */
static void socket_resolved(rlk_socket *sock, rlk_result result, int64_t now_ms)
{
    if (result == RLK_PENDING) {
        sock->state = SOCKET_RESOLVING;
    } else if (result != RLK_OK) {
        if (result == RLK_E_RESOLVE) {
            rlk_conn_explain(sock->conn, rlki_resolver_why(sock));
        }
        socket_end(sock, result, sock->last_errno, now_ms);
    } else {
        socket_turn(sock);
        socket_try(sock, now_ms);
    }
}

/* A new attempt, with the addresses that the name has now. */
static void socket_begin(rlk_socket *sock, bool may_block, int64_t now_ms)
{
    const rlk_url *url = rlk_conn_url(sock->conn);

    rlk_conn_connecting(sock->conn, now_ms);
    if ((rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) { /* what to connect to is not known */
        socket_end(sock, RLK_E_CONNECT, 0, now_ms);
        return;
    }
    sock->why = RLK_E_CONNECT;
    sock->last_errno = 0;
    sock->address_next = 0;
    if (url->path != NULL) {
        sock->addresses_len = 1; /* the path */
        socket_try(sock, now_ms);
    } else {
        socket_resolved(sock, rlki_resolver_begin(sock, url, may_block, now_ms), now_ms);
    }
}

/* How the connect under way stands; of one that failed errno says why. */
static socket_outcome socket_progress(const rlk_socket *sock, short revents)
{
    rlki_name peer;
    socklen_t peer_len = (socklen_t)sizeof peer;
    int error = 0;
    socklen_t len = (socklen_t)sizeof error;

    if ((revents & SOCKET_WRITEABLE) == 0) {
        return SOCKET_UNDER_WAY;
    }
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return SOCKET_FAILED;
    }
    if (error != 0) {
        errno = error;
        return SOCKET_FAILED;
    }
    /* else those were the events of an older descriptor */
    return getpeername(sock->fd, &peer.any, &peer_len) == 0 ? SOCKET_DONE : SOCKET_UNDER_WAY;
}

static void socket_continue(rlk_socket *sock, short revents, int64_t now_ms)
{
    socket_outcome outcome = SOCKET_UNDER_WAY;

    if (sock->fd < 0) {
        if (now_ms >= sock->address_deadline_ms) {
            socket_try(sock, now_ms);
        }
        return;
    }
    if (sock->state == SOCKET_CONNECTING) {
        outcome = socket_progress(sock, revents);
    }
    if (outcome == SOCKET_DONE || (sock->state == SOCKET_TLS && revents != 0)) {
        outcome = socket_connected(sock, now_ms);
    }
    if (outcome == SOCKET_UNDER_WAY && now_ms >= sock->address_deadline_ms) {
        outcome = SOCKET_FAILED;
        errno = ETIMEDOUT;
    }
    if (outcome == SOCKET_FAILED) {
        socket_address_failed(sock, errno);
        socket_try(sock, now_ms);
    }
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

    if ((revents & SOCKET_READABLE) != 0) {
        up = socket_receive(sock, error, now_ms);
    }
    if (up && (!sock->blocked || (revents & SOCKET_WRITEABLE) != 0)) {
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

/* The same over TLS. */
static rlk_result socket_exchange_tls(rlk_socket *sock, short revents, int *error, int64_t now_ms)
{
    rlk_tls_status status = rlki_tls_transfer(sock, (revents & SOCKET_READABLE) != 0,
                                              (revents & SOCKET_WRITEABLE) != 0, now_ms);

    return rlki_tls_goes_on(status) ? RLK_OK : rlki_tls_result(sock, status, error);
}

/* Moves what can be moved. Returns what the connection wants after that. */
static RLKI_INTO_CALLERS unsigned socket_transfer(rlk_socket *sock, short revents, int64_t now_ms)
{
    int error = 0;
    unsigned wants;
    rlk_result why = rlki_tls_is_on(sock) ? socket_exchange_tls(sock, revents, &error, now_ms)
                                          : socket_exchange(sock, revents, &error, now_ms);

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
    if (n > 0) {
        got->status = RLK_TLS_DONE;
    } else if (n == 0) {
        got->status = RLK_TLS_CLOSED;
    } else {
        got->status = got->error == EINTR || rlki_socket_would_block(got->error) ? RLK_TLS_WANT_READ
                                                                                 : RLK_TLS_FAILED;
    }
}

bool rlki_socket_wait(rlk_socket *sock, int timeout_ms, int64_t now_ms, rlki_socket_got *got)
{
    size_t cap = 0;
    uint8_t *buf;

    if (timeout_ms < 0 || timeout_ms > SOCKET_WAIT_MAX_MS) {
        timeout_ms = SOCKET_WAIT_MAX_MS;
    }
    if (timeout_ms < SOCKET_WAIT_MIN_MS || sock->state != SOCKET_UP || sock->blocked ||
        sock->loop != NULL || /* which may set O_NONBLOCK at any time */
        rlki_conn_state(sock->conn) != RLK_CONN_READY ||
        socket_transfer(sock, 0, now_ms) != RLK_WANT_READ || !socket_set_wait(sock, timeout_ms)) {
        return false;
    }
    if (!rlki_tls_is_on(sock)) {
        socket_wait_plain(sock, got);
        return true;
    }
    if ((sock->tls.flags & (RLKI_TLS_MORE | RLKI_TLS_WANTS_WRITE)) != 0) {
        return false; /* no recv shows what it waits for */
    }
    buf = rlk_conn_rx_buf(sock->conn, &cap);
    got->status = rlki_tls_wait(sock, buf, cap, &got->len);
    got->error = (sock->tls.flags & RLKI_TLS_INTERRUPTED) != 0 ? EINTR : 0;
    return true;
}

void rlki_socket_take(rlk_socket *sock, const rlki_socket_got *got, int64_t now_ms)
{
    rlk_result why = RLK_E_EOF;
    int error = got->error;

    if (got->status == RLK_TLS_DONE) {
        rlk_conn_rx_ack(sock->conn, got->len, now_ms); /* nothing, if it closes by now */
    } else if (!rlki_tls_goes_on(got->status)) {
        if (rlki_tls_is_on(sock)) {
            why = rlki_tls_result(sock, got->status, &error);
        } else if (got->status == RLK_TLS_FAILED) {
            why = RLK_E_IO;
        }
        socket_end(sock, why, error, now_ms);
        return;
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
    return sock->state == SOCKET_RESOLVING ? sock->lookup.fd : sock->fd;
}

short rlk_socket_events(const rlk_socket *sock)
{
    bool wants_write = (sock->tls.flags & RLKI_TLS_WANTS_WRITE) != 0;

    switch (sock->state) {
    case SOCKET_RESOLVING:
        return sock->lookup.fd >= 0 ? POLLIN : 0;
    case SOCKET_CONNECTING:
        return POLLOUT;
    case SOCKET_TLS:
        return wants_write ? POLLOUT : POLLIN;
    case SOCKET_UP:
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
    case SOCKET_RESOLVING:
        return sock->lookup.done ? 0 : sock->lookup.deadline_ms;
    case SOCKET_CONNECTING:
    case SOCKET_TLS:
        return sock->address_deadline_ms;
    case SOCKET_UP:
        return (sock->tls.flags & RLKI_TLS_MORE) != 0 ? 0 : RLK_NEVER;
    default:
        return RLK_NEVER;
    }
}

/* What takes too long, where it is not the connect itself. */
static const char *socket_overdue_words(const rlk_socket *sock)
{
    switch (sock->state) {
    case SOCKET_RESOLVING:
        return "the host name was not resolved in time";
    case SOCKET_TLS:
        return SOCKET_NO_TLS_ANSWER;
    default:
        return "";
    }
}

void rlk_socket_service(rlk_socket *sock, short revents, bool may_block, int64_t now_ms)
{
    if ((rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) {
        if (rlk_conn_result(sock->conn) == RLK_E_CONNECT_TIMEOUT) {
            rlk_conn_explain(sock->conn, socket_overdue_words(sock));
        }
        socket_end(sock, RLK_OK, 0, now_ms);
        revents = 0;
    }
    switch (sock->state) {
    case SOCKET_IDLE:
        revents = 0; /* those were of an older descriptor */
        if ((rlk_conn_wants(sock->conn) & RLK_WANT_CONNECT) != 0) {
            socket_begin(sock, may_block, now_ms);
        }
        break;
    case SOCKET_RESOLVING:
        socket_resolved(
            sock, rlki_resolver_go_on(sock, (revents & SOCKET_READABLE) != 0, may_block, now_ms),
            now_ms);
        revents = 0;
        break;
    case SOCKET_CONNECTING:
    case SOCKET_TLS:
        socket_continue(sock, revents, now_ms);
        revents = 0;
        break;
    default:
        break;
    }
    if (sock->state == SOCKET_UP) {
        (void)socket_transfer(sock, revents, now_ms);
    }
}
