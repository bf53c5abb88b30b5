/* SPDX-License-Identifier: MIT
 *
 * From a URL to a stream: resolves the host, tries its addresses one after the other, without
 * waiting.
 *
 *     rlki_connect_begin
 *        |        | a resolver answers later
 *        |        v
 *        |  +-----------+  no address: RLK_E_RESOLVE
 *        |  | RESOLVING | --------------------------------------------------------------> over
 *        |  +-----------+
 *        |        | addresses
 *        v        v
 *     +-----------------+  refused, or its time is over: next address; none: RLK_E_CONNECT
 *     |   CONNECTING    | --------------------------------------------------------------> over
 *     +-----------------+
 *        |        | with TLS: connect() at once, or writable without an error
 *        |        v
 *        |  +-----------+  fails: next address; none: RLK_E_TLS
 *        |  |           |  its time is over: next address; none: RLK_E_CONNECT_TIMEOUT
 *        |  |    TLS    |  refused for good: RLK_E_TLS_REFUSED
 *        |  +-----------+ --------------------------------------------------------------> over
 *        v        v
 *       the connection is notified: UP (socket.c)
 *
 * All of it shares the connect time, whose end is the connection's: it wants CLOSE. On each way out
 * of RESOLVING the lookup is closed: an answer that comes later goes nowhere. The descriptor of a
 * lookup is the resolver's (resolver.h).
 *
 * CONNECTING without a descriptor: the server's queue of a Unix socket was full (EAGAIN), and the
 * attempt pauses. The first address is the one behind that which the connection has condemned.
 */
#include "connect.h"

#include "name.h"
#include "resolver.h"
#include "socket_io.h"
#include "tls_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What one address came to, so far. */
typedef enum connect_outcome {
    CONNECT_FAILED, /* the next one is tried */
    CONNECT_UNDER_WAY,
    CONNECT_DONE
} connect_outcome;

/* ---- Descriptors ------------------------------------------------------------------------- */

/* Non-blocking and close-on-exec; -1 and errno if there is none to be had. */
static int connect_open(int family)
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
static void connect_set_options(int fd, int family)
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

void rlki_connect_shut(rlk_socket *sock, bool notify)
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
    sock->state = RLKI_SOCKET_IDLE;
    sock->blocked = false;
    sock->wait_ms = 0;
}

/* ---- Connecting -------------------------------------------------------------------------- */

/* This host has no way to the address. */
static bool connect_lacks(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == ENETUNREACH;
}

/* The address under way failed. A refusal by the server itself says more than a lack of this host,
 * or a time-out, and what came of TLS more than all of these. */
static void connect_failed(rlk_socket *sock, int error)
{
    rlki_connect_shut(sock, false);
    if (sock->last_errno != ECONNREFUSED && sock->why == RLK_E_CONNECT &&
        (sock->last_errno == 0 || !connect_lacks(error))) {
        sock->last_errno = error;
    }
}

/* Until the first attempt is over, its words say what an acquire waits for that ends before it. */
static void connect_explain_wait(const rlk_socket *sock, const char *words)
{
    if (rlk_conn_result(sock->conn) == RLK_E_NOT_CONNECTED) {
        rlk_conn_explain(sock->conn, words);
    }
}

/* Begins TLS, or goes on with it. */
static connect_outcome connect_secure(rlk_socket *sock)
{
    int error;
    rlk_result why = rlki_tls_secure(sock, &error);

    sock->state = RLKI_SOCKET_TLS;
    if (why == RLK_OK || why == RLK_PENDING) {
        connect_explain_wait(sock, why == RLK_OK ? "" : sock->tls.backend->driver->no_answer);
        return why == RLK_OK ? CONNECT_DONE : CONNECT_UNDER_WAY;
    }
    if (why == RLK_E_TLS_REFUSED) { /* the other addresses would say the same */
        sock->address_next = sock->addresses_len;
    }
    sock->why = (int16_t)why;
    sock->last_errno = error;
    return CONNECT_FAILED;
}

/* Writes the socket's own address to `local`. False: it is the server's as well. Where the server's
 * port is one of those that the system gives to clients, and nobody listens there, it can happen
 * that the two ends meet, and then the server can't have its port back. */
static bool connect_local(const rlk_socket *sock, const rlk_address *address,
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
static connect_outcome connect_through(rlk_socket *sock, int64_t now_ms)
{
    char local[RLKI_NAME_TEXT];
    const rlk_address *address;
    connect_outcome outcome = CONNECT_DONE;

    if (rlk_conn_url(sock->conn)->path != NULL) {
        sock->state = RLKI_SOCKET_UP;
        rlk_conn_connected(sock->conn, 0, NULL, now_ms);
        return CONNECT_DONE;
    }
    address = &sock->addresses[sock->address_next - 1];
    if (!connect_local(sock, address, local)) {
        errno = ECONNREFUSED;
        return CONNECT_FAILED;
    }
    if (rlki_tls_is_on(sock)) {
        outcome = connect_secure(sock);
    }
    if (outcome == CONNECT_DONE) {
        sock->state = RLKI_SOCKET_UP;
        rlk_conn_connected(sock->conn, rlki_name_peer(address), local[0] != '\0' ? local : NULL,
                           now_ms);
    }
    return outcome;
}

/* One socket() and connect() to the address sock->address_next. */
static connect_outcome connect_start(rlk_socket *sock)
{
    const rlk_url *url = rlk_conn_url(sock->conn);
    rlki_name name;
    socklen_t len;

    memset(&name, 0, sizeof name);
    len = url->path != NULL ? rlki_name_of_path(&name, url)
                            : rlki_name_of_address(&name, &sock->addresses[sock->address_next]);
    if (len == 0) {
        return CONNECT_FAILED;
    }
    sock->fd = connect_open(name.any.sa_family);
    if (sock->fd < 0) {
        return CONNECT_FAILED;
    }
    connect_set_options(sock->fd, name.any.sa_family);
    if (connect(sock->fd, &name.any, len) == 0) {
        return CONNECT_DONE;
    }
    /* interrupted, it goes on in the background like any other */
    return errno == EINPROGRESS || errno == EINTR ? CONNECT_UNDER_WAY : CONNECT_FAILED;
}

/* The address under way may have its part of the time that is left; the last one all of it, and
 * then it is the connection that ends the attempt. */
static int64_t connect_address_deadline(const rlk_socket *sock, int64_t now_ms)
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
#define CONNECT_FULL_MS 10

/* Nothing reports when the queue of a Unix socket has room again (fault 116). False: the connect
 * time is over before the next attempt. */
static bool connect_pause(rlk_socket *sock, int64_t now_ms)
{
    if (rlk_conn_deadline(sock->conn) - now_ms <= CONNECT_FULL_MS) {
        return false;
    }
    rlki_connect_shut(sock, false);
    sock->state = RLKI_SOCKET_CONNECTING;
    sock->address_next = 0; /* the path, once more */
    sock->address_deadline_ms = now_ms + CONNECT_FULL_MS;
    return true;
}

/* Tries addresses until one answers at once or needs a wait, or none is left. */
static rlk_result connect_try(rlk_socket *sock, int64_t now_ms)
{
    while (sock->address_next < sock->addresses_len) {
        connect_outcome outcome = connect_start(sock);
        int error = errno;

        sock->address_next++;
        sock->address_deadline_ms = connect_address_deadline(sock, now_ms);
        if (outcome == CONNECT_UNDER_WAY) {
            sock->state = RLKI_SOCKET_CONNECTING;
        } else if (outcome == CONNECT_DONE) {
            outcome = connect_through(sock, now_ms);
            error = errno;
        } else if (error == EAGAIN && rlk_conn_url(sock->conn)->path != NULL &&
                   connect_pause(sock, now_ms)) {
            outcome = CONNECT_UNDER_WAY;
        }
        if (outcome != CONNECT_FAILED) {
            return outcome == CONNECT_DONE ? RLK_OK : RLK_PENDING;
        }
        connect_failed(sock, error);
    }
    return (rlk_result)sock->why;
}

/* Begins with the address behind the one that the connection has left for what its server said
 * (fault 93). */
static void connect_turn(rlk_socket *sock)
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

#define CONNECT_NOT_RESOLVED "the host name was not resolved in time"

/* Resolving has come to `result`. */
static rlk_result connect_resolved(rlk_socket *sock, rlk_result result, int64_t now_ms)
{
    if (result == RLK_OK) {
        connect_explain_wait(sock, "");
        connect_turn(sock);
        return connect_try(sock, now_ms);
    }
    if (result == RLK_PENDING) {
        sock->state = RLKI_SOCKET_RESOLVING;
        connect_explain_wait(sock, CONNECT_NOT_RESOLVED);
    } else if (result == RLK_E_RESOLVE) {
        rlk_conn_explain(sock->conn, rlki_resolver_why(sock));
    }
    return result;
}

rlk_result rlki_connect_begin(rlk_socket *sock, bool may_block, int64_t now_ms)
{
    const rlk_url *url = rlk_conn_url(sock->conn);

    sock->why = RLK_E_CONNECT;
    sock->last_errno = 0;
    rlk_conn_connecting(sock->conn, now_ms);
    if ((rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) {
        return RLK_E_CONNECT; /* what to connect to is not known */
    }
    if (url->path != NULL) {
        sock->addresses_len = 1; /* the path */
        sock->address_next = 0;
        return connect_try(sock, now_ms);
    }
    return connect_resolved(sock, rlki_resolver_begin(sock, url, may_block, now_ms), now_ms);
}

/* How the connect under way stands; of one that failed errno says why. */
static connect_outcome connect_progress(const rlk_socket *sock, short revents)
{
    rlki_name peer;
    socklen_t peer_len = (socklen_t)sizeof peer;
    int error = 0;
    socklen_t len = (socklen_t)sizeof error;

    if ((revents & RLKI_WRITEABLE) == 0) {
        return CONNECT_UNDER_WAY;
    }
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return CONNECT_FAILED;
    }
    if (error != 0) {
        errno = error;
        return CONNECT_FAILED;
    }
    /* else those were the events of an older descriptor */
    return getpeername(sock->fd, &peer.any, &peer_len) == 0 ? CONNECT_DONE : CONNECT_UNDER_WAY;
}

/* Goes on with the address under way, or with the next one. */
static rlk_result connect_continue(rlk_socket *sock, short revents, int64_t now_ms)
{
    connect_outcome outcome = CONNECT_UNDER_WAY;

    if (sock->fd < 0) { /* a pause */
        return now_ms >= sock->address_deadline_ms ? connect_try(sock, now_ms) : RLK_PENDING;
    }
    if (sock->state == RLKI_SOCKET_CONNECTING) {
        outcome = connect_progress(sock, revents);
    }
    if (outcome == CONNECT_DONE || (sock->state == RLKI_SOCKET_TLS && revents != 0)) {
        outcome = connect_through(sock, now_ms);
    }
    if (outcome == CONNECT_UNDER_WAY && now_ms >= sock->address_deadline_ms) {
        if (sock->state == RLKI_SOCKET_TLS && sock->why == RLK_E_CONNECT) {
            sock->why = RLK_E_CONNECT_TIMEOUT;
            sock->last_errno = 0;
        }
        outcome = CONNECT_FAILED;
        errno = ETIMEDOUT;
    }
    if (outcome == CONNECT_FAILED) {
        connect_failed(sock, errno);
        return connect_try(sock, now_ms);
    }
    return outcome == CONNECT_DONE ? RLK_OK : RLK_PENDING;
}

rlk_result rlki_connect_go_on(rlk_socket *sock, short revents, bool may_block, int64_t now_ms)
{
    bool ready = (revents & RLKI_READABLE) != 0;

    if (sock->state == RLKI_SOCKET_RESOLVING) {
        return connect_resolved(sock, rlki_resolver_go_on(sock, ready, may_block, now_ms), now_ms);
    }
    return connect_continue(sock, revents, now_ms);
}

const char *rlki_connect_overdue(const rlk_socket *sock)
{
    if (sock->state == RLKI_SOCKET_RESOLVING) {
        return CONNECT_NOT_RESOLVED;
    }
    if (sock->state == RLKI_SOCKET_TLS || sock->why == RLK_E_CONNECT_TIMEOUT) {
        return sock->tls.backend->driver->no_answer;
    }
    return "";
}
