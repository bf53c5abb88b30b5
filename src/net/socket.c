/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver: moves the bytes of one connection through one descriptor, without waiting.
 *
 *                  connection wants CONNECT: resolve, try the first address
 *        +------+ ----------------------------------------------+
 *        | IDLE |                                               |
 *        +------+ <-- no address is left: RLK_E_CONNECT ---+    |
 *          ^  ^   <-- no address at all: RLK_E_RESOLVE --+ |    v
 *          |  |                                          +------------+  refused, or its time
 *          |  +----- connection wants CLOSE -------------| CONNECTING |  is over: try the next
 *          |                                             +------------+  address
 *          |                                                    |
 *          |   end of stream: RLK_E_EOF                         | connect() at once, or writable
 *          |   error: RLK_E_IO        +----+                    | without an error
 *          +-- wants CLOSE -----------| UP | <------------------+
 *                                     +----+
 *
 * System calls in UP: one recv for a readable descriptor, one more only where it filled the whole
 * buffer; one send for what there is to send, no matter whether poll said so.
 */
#include "features.h"

#include "resplock/socket.h"

#ifndef RLK_NO_POSIX

#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    SOCKET_IDLE,
    SOCKET_CONNECTING,
    SOCKET_UP
};

/* What became of one connect(). */
typedef enum socket_outcome {
    SOCKET_FAILED,
    SOCKET_UNDER_WAY,
    SOCKET_DONE
} socket_outcome;

#define SOCKET_READABLE  (POLLIN | POLLERR | POLLHUP | POLLNVAL)
#define SOCKET_WRITEABLE (POLLOUT | POLLERR | POLLHUP | POLLNVAL)

/* "[" address "]:" port, with its terminator. */
#define SOCKET_LOCAL_TEXT (INET6_ADDRSTRLEN + 8)

#ifdef MSG_NOSIGNAL
#define SOCKET_SEND_FLAGS MSG_NOSIGNAL
#else
#define SOCKET_SEND_FLAGS 0 /* SO_NOSIGPIPE it is */
#endif

typedef union socket_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
} socket_name;

/* ---- Names ------------------------------------------------------------------------------- */

/* 0, and ENAMETOOLONG in errno, if the path doesn't fit this system's sun_path. */
static socklen_t socket_name_of_path(socket_name *name, const rlk_url *url)
{
    size_t cap = sizeof name->path.sun_path - 1;

    name->path.sun_family = AF_UNIX;
    if (rlk_url_decode(url->path, url->path_len, (uint8_t *)name->path.sun_path, cap) > cap) {
        errno = ENAMETOOLONG;
        return 0;
    }
    return (socklen_t)sizeof name->path;
}

static socklen_t socket_name_of_address(socket_name *name, const rlk_address *address)
{
    if (address->is_ipv6) {
        name->v6.sin6_family = AF_INET6;
        name->v6.sin6_port = htons(address->port);
        name->v6.sin6_scope_id = address->scope;
        memcpy(&name->v6.sin6_addr, address->ip, 16);
        return (socklen_t)sizeof name->v6;
    }
    name->v4.sin_family = AF_INET;
    name->v4.sin_port = htons(address->port);
    memcpy(&name->v4.sin_addr, address->ip, 4);
    return (socklen_t)sizeof name->v4;
}

static uint64_t socket_hash(uint64_t hash, const uint8_t *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) { /* FNV-1a */
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

/* A number for the server's address, never 0. */
static uint64_t socket_peer(const rlk_address *address)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    uint8_t rest[6];

    rest[0] = (uint8_t)(address->port >> 8);
    rest[1] = (uint8_t)address->port;
    rest[2] = (uint8_t)(address->scope >> 24);
    rest[3] = (uint8_t)(address->scope >> 16);
    rest[4] = (uint8_t)(address->scope >> 8);
    rest[5] = (uint8_t)address->scope;
    hash = socket_hash(hash, address->ip, address->is_ipv6 ? 16 : 4);
    hash = socket_hash(hash, rest, sizeof rest);
    return hash | 1u;
}

/* ":" and the digits of `port`, terminated. */
static void socket_put_port(char *out, unsigned port)
{
    char digits[5];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    *out++ = ':';
    while (n > 0) {
        *out++ = digits[--n];
    }
    *out = '\0';
}

/* The name as the server writes it in CLIENT LIST. Who is reached by an address such as
 * ::ffff:127.0.0.1 sees plain IPv4. inet_ntop can't fail here: the room is enough for any. */
static void socket_format(const socket_name *name, char out[SOCKET_LOCAL_TEXT])
{
    size_t len;

    if (name->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &name->v4.sin_addr, out, INET6_ADDRSTRLEN);
    } else if (IN6_IS_ADDR_V4MAPPED(&name->v6.sin6_addr)) {
        (void)inet_ntop(AF_INET, &name->v6.sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
    } else {
        out[0] = '[';
        (void)inet_ntop(AF_INET6, &name->v6.sin6_addr, out + 1, INET6_ADDRSTRLEN);
        len = strlen(out);
        out[len] = ']';
        out[len + 1] = '\0';
    }
    socket_put_port(out + strlen(out),
                    ntohs(name->any.sa_family == AF_INET ? name->v4.sin_port : name->v6.sin6_port));
}

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

void rlk_socket_close(rlk_socket *sock)
{
    if (sock->fd >= 0) {
        (void)close(sock->fd); /* after EINTR too the descriptor is gone, or another thread's */
        sock->fd = -1;
    }
    sock->state = SOCKET_IDLE;
    sock->blocked = false;
}

/* The stream, or the attempt, is over. */
static void socket_end(rlk_socket *sock, rlk_result why, int error, int64_t now_ms)
{
    rlk_socket_close(sock);
    rlk_conn_closed(sock->conn, why, error, now_ms);
}

/* ---- Connecting -------------------------------------------------------------------------- */

/* The address under way failed. A refusal by the server itself tells more than a route or a
 * protocol that this host lacks. */
static void socket_address_failed(rlk_socket *sock, int error)
{
    rlk_socket_close(sock);
    if (sock->last_errno != ECONNREFUSED) {
        sock->last_errno = error;
    }
}

/*
 * Connected: says so to the connection. False: to itself. Where the server's port is one of those
 * that the system gives to clients, and nobody listens there, it can happen that the two ends
 * meet, and then the server can't have its port back.
 */
static bool socket_connected(rlk_socket *sock, int64_t now_ms)
{
    char local[SOCKET_LOCAL_TEXT];
    char server[SOCKET_LOCAL_TEXT];
    socket_name name;
    socklen_t len = (socklen_t)sizeof name;
    const rlk_address *address;

    if (rlk_conn_url(sock->conn)->path != NULL) {
        sock->state = SOCKET_UP;
        rlk_conn_connected(sock->conn, 0, NULL, now_ms);
        return true;
    }
    address = &sock->addresses[sock->address_next - 1];
    memset(&name, 0, sizeof name);
    (void)socket_name_of_address(&name, address);
    socket_format(&name, server);
    if (getsockname(sock->fd, &name.any, &len) != 0) {
        local[0] = '\0';
    } else {
        socket_format(&name, local);
    }
    if (strcmp(local, server) == 0) {
        return false;
    }
    sock->state = SOCKET_UP;
    rlk_conn_connected(sock->conn, socket_peer(address), local[0] != '\0' ? local : NULL, now_ms);
    return true;
}

/* One socket() and connect() to the address sock->address_next. */
static socket_outcome socket_connect(rlk_socket *sock)
{
    const rlk_url *url = rlk_conn_url(sock->conn);
    socket_name name;
    socklen_t len;

    memset(&name, 0, sizeof name);
    len = url->path != NULL ? socket_name_of_path(&name, url)
                            : socket_name_of_address(&name, &sock->addresses[sock->address_next]);
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

/* Tries addresses until one answers at once or is to be waited for, or none is left. */
static void socket_try(rlk_socket *sock, int64_t now_ms)
{
    while (sock->address_next < sock->addresses_len) {
        socket_outcome outcome = socket_connect(sock);

        sock->address_next++;
        if (outcome == SOCKET_UNDER_WAY) {
            sock->state = SOCKET_CONNECTING;
            sock->address_deadline_ms = socket_address_deadline(sock, now_ms);
            return;
        }
        if (outcome == SOCKET_FAILED) {
            socket_address_failed(sock, errno);
        } else if (socket_connected(sock, now_ms)) {
            return;
        } else {
            socket_address_failed(sock, ECONNREFUSED);
        }
    }
    socket_end(sock, RLK_E_CONNECT, sock->last_errno, now_ms);
}

/* A new attempt, with the addresses that the name has now. */
static void socket_begin(rlk_socket *sock, bool may_block, int64_t now_ms)
{
    const rlk_url *url = rlk_conn_url(sock->conn);
    rlk_result result = RLK_OK;

    rlk_conn_connecting(sock->conn, now_ms);
    sock->last_errno = 0;
    sock->address_next = 0;
    if (url->path != NULL) {
        sock->addresses_len = 1; /* the path */
    } else {
        result = rlki_resolve(sock, url, may_block);
    }
    if (result != RLK_OK) {
        socket_end(sock, result, sock->last_errno, now_ms);
        return;
    }
    socket_try(sock, now_ms);
}

/* How the attempt under way stands: 0 it is through, EINPROGRESS it goes on, else why it failed. */
static int socket_progress(const rlk_socket *sock, short revents, int64_t now_ms)
{
    socket_name peer;
    socklen_t peer_len = (socklen_t)sizeof peer;
    int error = 0;
    socklen_t len = (socklen_t)sizeof error;

    if ((revents & SOCKET_WRITEABLE) != 0) {
        if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
            return errno;
        }
        if (error != 0) {
            return error;
        }
        if (getpeername(sock->fd, &peer.any, &peer_len) == 0) {
            return 0;
        } /* else those were the events of an older descriptor */
    }
    return now_ms < sock->address_deadline_ms ? EINPROGRESS : ETIMEDOUT;
}

static void socket_continue(rlk_socket *sock, short revents, int64_t now_ms)
{
    int error = socket_progress(sock, revents, now_ms);

    if (error == EINPROGRESS) {
        return;
    }
    if (error == 0) {
        if (socket_connected(sock, now_ms)) {
            return;
        }
        error = ECONNREFUSED;
    }
    socket_address_failed(sock, error);
    socket_try(sock, now_ms);
}

/* ---- Transfer ---------------------------------------------------------------------------- */

static bool socket_would_block(int error)
{
#if EWOULDBLOCK != EAGAIN
    if (error == EWOULDBLOCK) {
        return true;
    }
#endif
    return error == EAGAIN;
}

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
        n = recv(sock->fd, buf, cap, 0);
        if (n > 0) {
            rlk_conn_rx_ack(sock->conn, (size_t)n, now_ms);
            if ((size_t)n < cap) {
                return true; /* that was all: no read to be told EAGAIN */
            }
        } else if (n == 0) {
            *error = 0;
            return false;
        } else if (socket_would_block(errno)) {
            return true;
        } else if (errno != EINTR) {
            *error = errno;
            return false;
        }
    }
    return true;
}

/* Writes what the kernel takes. False: the stream is over. */
static bool socket_send(rlk_socket *sock, int *error, int64_t now_ms)
{
    int round;

    sock->blocked = false;
    for (round = 0; round < RLK_SOCKET_ROUNDS; round++) {
        size_t len = 0;
        const uint8_t *buf = rlk_conn_tx_buf(sock->conn, &len);
        ssize_t n;

        if (len == 0) {
            return true;
        }
        n = send(sock->fd, buf, len, SOCKET_SEND_FLAGS);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && !socket_would_block(errno)) {
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

/* Reads first, so that what the replies set off leaves in the same call. */
static void socket_transfer(rlk_socket *sock, short revents, int64_t now_ms)
{
    bool up = true;
    int error = 0;

    if ((revents & SOCKET_READABLE) != 0) {
        up = socket_receive(sock, &error, now_ms);
    }
    if (up && (!sock->blocked || (revents & SOCKET_WRITEABLE) != 0)) {
        up = socket_send(sock, &error, now_ms);
        if (!up) {
            /* what it said before it hung up: "-ERR max number of clients reached" */
            int ignored;

            (void)socket_receive(sock, &ignored, now_ms);
        }
    }
    if (!up || (rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) {
        socket_end(sock, error == 0 || error == EPIPE ? RLK_E_EOF : RLK_E_IO, error, now_ms);
    }
}

/* ---- Public ------------------------------------------------------------------------------ */

void rlk_socket_init(rlk_socket *sock, rlk_conn *conn, rlk_resolver_hook resolver,
                     void *resolver_context)
{
    memset(sock, 0, sizeof *sock);
    sock->conn = conn;
    sock->resolver = resolver;
    sock->resolver_context = resolver_context;
    sock->fd = -1;
}

int rlk_socket_fd(const rlk_socket *sock)
{
    return sock->fd;
}

short rlk_socket_events(const rlk_socket *sock)
{
    switch (sock->state) {
    case SOCKET_CONNECTING:
        return POLLOUT;
    case SOCKET_UP:
        return (rlk_conn_wants(sock->conn) & RLK_WANT_WRITE) != 0 ? POLLIN | POLLOUT : POLLIN;
    default:
        return 0;
    }
}

int64_t rlk_socket_deadline(const rlk_socket *sock)
{
    if ((rlk_conn_wants(sock->conn) & (RLK_WANT_CONNECT | RLK_WANT_CLOSE)) != 0) {
        return 0;
    }
    return sock->state == SOCKET_CONNECTING ? sock->address_deadline_ms : RLK_NEVER;
}

void rlk_socket_service(rlk_socket *sock, short revents, bool may_block, int64_t now_ms)
{
    if ((rlk_conn_wants(sock->conn) & RLK_WANT_CLOSE) != 0) {
        socket_end(sock, RLK_E_EOF, 0, now_ms);
        revents = 0;
    }
    switch (sock->state) {
    case SOCKET_IDLE:
        revents = 0; /* those were of an older descriptor */
        if ((rlk_conn_wants(sock->conn) & RLK_WANT_CONNECT) != 0) {
            socket_begin(sock, may_block, now_ms);
        }
        break;
    case SOCKET_CONNECTING:
        socket_continue(sock, revents, now_ms);
        revents = 0;
        break;
    default:
        break;
    }
    if (sock->state == SOCKET_UP) {
        socket_transfer(sock, revents, now_ms);
    }
}

#endif
