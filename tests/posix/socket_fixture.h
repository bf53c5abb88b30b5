/* SPDX-License-Identifier: MIT
 *
 * socket_fixture.h: what the tests of the driver share. A real connection on real sockets; both
 * ends live in one process and move in turns; the time that connection and driver see is the
 * test's own. The program defines some system calls, so that the driver's come here: they are
 * counted, and a test can make them fail. Include it in one file of a program.
 */
#ifndef TEST_SOCKET_FIXTURE_H
#define TEST_SOCKET_FIXTURE_H

#include "support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Not every program uses every helper. */
#define FIXTURE static __attribute__((unused))

/* ---- System calls ------------------------------------------------------------------------ */

static struct {
    unsigned socket;
    unsigned connect;
    unsigned send;
    unsigned recv;
    unsigned getaddrinfo;
    uint16_t first_port; /* of the first connect */
    struct sockaddr_in6 last_connect;
} calls;

static struct {
    int connect[16];          /* errno of the next ones, in order; 0: goes on to the kernel */
    int getsockname;          /* errno; 0: it works; here and below */
    int getsockopt;           /* as well */
    int send;                 /* as well */
    int getaddrinfo;          /* EAI_* */
    int getaddrinfo_errno;    /* for EAI_SYSTEM */
    struct addrinfo *resolve; /* what it finds */
    bool connect_interrupted;
    bool connect_to_itself;
    bool connect_at_once; /* TCP, as if the handshake took no time */
    int send_interrupts;  /* calls to be interrupted first */
    int recv_interrupts;
} fault;

FIXTURE int fail_with(int error)
{
    errno = error;
    return -1;
}

int socket(int family, int type, int protocol)
{
    calls.socket++;
    return (int)syscall(SYS_socket, family, type, protocol);
}

int connect(int fd, const struct sockaddr *name, socklen_t len)
{
    unsigned n = calls.connect++;

    memcpy(&calls.last_connect, name,
           len < sizeof calls.last_connect ? len : sizeof calls.last_connect);
    if (n == 0) {
        calls.first_port = ntohs(calls.last_connect.sin6_port);
    }
    if (n < COUNT_OF(fault.connect) && fault.connect[n] != 0) {
        return fail_with(fault.connect[n]);
    }
    if (fault.connect_to_itself) {
        (void)bind(fd, name, len);
    }
    if (fault.connect_at_once) {
        int flags = fcntl(fd, F_GETFL);
        int result;

        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
        result = (int)syscall(SYS_connect, fd, name, len);
        (void)fcntl(fd, F_SETFL, flags);
        return result;
    }
    if (syscall(SYS_connect, fd, name, len) == 0) {
        return 0;
    }
    if (fault.connect_interrupted && errno == EINPROGRESS) {
        errno = EINTR;
    }
    return -1;
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    calls.send++;
    if (fault.send_interrupts > 0) {
        fault.send_interrupts--;
        return fail_with(EINTR);
    }
    return fault.send != 0 ? fail_with(fault.send) : sendto(fd, buf, len, flags, NULL, 0);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    calls.recv++;
    if (fault.recv_interrupts > 0) {
        fault.recv_interrupts--;
        return fail_with(EINTR);
    }
    return recvfrom(fd, buf, len, flags, NULL, NULL);
}

int getsockname(int fd, struct sockaddr *name, socklen_t *len)
{
    return fault.getsockname != 0 ? fail_with(fault.getsockname)
                                  : (int)syscall(SYS_getsockname, fd, name, len);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    return fault.getsockopt != 0 ? fail_with(fault.getsockopt)
                                 : (int)syscall(SYS_getsockopt, fd, level, option, value, len);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    calls.getaddrinfo++;
    assert_non_null(host);
    assert_null(service);
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    assert_int_equal(hints->ai_family, AF_UNSPEC);
    *list = fault.resolve;
    errno = fault.getaddrinfo_errno;
    return fault.getaddrinfo;
}

void freeaddrinfo(struct addrinfo *list)
{
    assert_ptr_equal(list, fault.resolve);
}

/* ---- The server's end -------------------------------------------------------------------- */

typedef struct peer {
    int listener;
    int fd;           /* of the stream; -1: none yet */
    uint16_t port;    /* 0: a Unix socket */
    bool mute;        /* neither accepts nor reads until a test does */
    char input[4096]; /* commands not complete yet */
    size_t input_len;
} peer;

FIXTURE int listener_new(int family, uint16_t port, uint16_t *bound, bool listening)
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;
    bool is_v6 = family == AF_INET6;
    struct sockaddr *name = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t len = is_v6 ? sizeof v6 : sizeof v4;
    int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    memset(&v6, 0, sizeof v6);
    memset(&v4, 0, sizeof v4);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    v6.sin6_port = htons(port);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v4.sin_port = htons(port);
    if (is_v6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, name, len) != 0) {
        (void)close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, name, &len), 0);
    *bound = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
    if (listening) {
        assert_int_equal(listen(fd, 16), 0);
    }
    return fd;
}

FIXTURE void peer_init(peer *p, int family)
{
    memset(p, 0, sizeof *p);
    p->fd = -1;
    p->listener = listener_new(family, 0, &p->port, true);
    assert_true(p->listener >= 0);
}

FIXTURE void peer_init_unix(peer *p, const char *path)
{
    struct sockaddr_un name;

    memset(p, 0, sizeof *p);
    p->fd = -1;
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(p->listener >= 0);
    memset(&name, 0, sizeof name);
    name.sun_family = AF_UNIX;
    memcpy(name.sun_path, path, strlen(path));
    assert_int_equal(bind(p->listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(p->listener, 16), 0);
}

FIXTURE bool peer_accept(peer *p)
{
    if (p->fd < 0) {
        p->fd = accept(p->listener, NULL, NULL);
        if (p->fd >= 0) {
            assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
        }
    }
    return p->fd >= 0;
}

FIXTURE void peer_say(peer *p, const char *text, size_t len)
{
    assert_int_equal(sendto(p->fd, text, len, MSG_NOSIGNAL, NULL, 0), (ssize_t)len);
}

FIXTURE void peer_hang_up(peer *p)
{
    assert_true(p->fd >= 0);
    assert_int_equal(close(p->fd), 0);
    p->fd = -1;
    p->input_len = 0;
}

FIXTURE void peer_reset(peer *p)
{
    struct linger hard = {1, 0};

    assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    peer_hang_up(p);
}

FIXTURE void peer_end(peer *p)
{
    if (p->fd >= 0) {
        peer_hang_up(p);
    }
    assert_int_equal(close(p->listener), 0);
}

/* The number behind a '*' or '$' at *at, which moves behind its line. -1: not complete. */
FIXTURE long peer_number(const char **at, const char *end)
{
    const char *line = *at;
    const char *stop = (const char *)memchr(line, '\n', (size_t)(end - line));

    if (stop == NULL) {
        return -1;
    }
    *at = stop + 1;
    return strtol(line + 1, NULL, 10);
}

/* Answers the command at the head of the input. False: it is not complete. */
FIXTURE bool peer_answer(peer *p)
{
    const char *at = p->input;
    const char *end = at + p->input_len;
    const char *name = at;
    const char *echoed = at; /* the last argument, length and all */
    long len;
    long argc;
    long i;

    if (at == end || (argc = peer_number(&at, end)) < 0) {
        return false;
    }
    assert_between(argc, 1, 8);
    for (i = 0; i < argc; i++) {
        echoed = at;
        if (at == end || (len = peer_number(&at, end)) < 0 || end - at < len + 2) {
            return false;
        }
        name = i == 0 ? at : name;
        at += len + 2;
    }
    if (memcmp(name, "ECHO", 4) == 0) {
        peer_say(p, echoed, (size_t)(at - echoed)); /* a bulk string is one in both directions */
    } else if (memcmp(name, "CLIENT", 6) == 0) {
        peer_say(p, ":7\r\n", 4);
    } else {
        peer_say(p, "-ERR unknown command\r\n", 22);
    }
    memmove(p->input, at, (size_t)(end - at));
    p->input_len = (size_t)(end - at);
    return true;
}

/* Takes what came; true if there is a stream and it is open. */
FIXTURE bool peer_read(peer *p)
{
    ssize_t n;

    if (!peer_accept(p)) {
        return false;
    }
    n = recvfrom(p->fd, p->input + p->input_len, sizeof p->input - p->input_len, 0, NULL, NULL);
    if (n > 0) {
        p->input_len += (size_t)n;
    }
    return n != 0;
}

FIXTURE void peer_turn(peer *p)
{
    if (p->mute) {
        return;
    }
    if (!peer_read(p)) {
        if (p->fd >= 0) {
            peer_hang_up(p);
        }
        return;
    }
    while (peer_answer(p)) {
    }
}

/* ---- The client's end -------------------------------------------------------------------- */

/* A request: ECHO, and whether its own text came back. */
typedef struct echo {
    rlk_request request; /* first, so that a pointer to one is a pointer to the other */
    const char *text;
    size_t len;
    unsigned replies;
    unsigned losses;
    bool good;
    bool maybe_sent;
} echo;

typedef struct client {
    rlk_conn conn;
    rlk_conn_calls calls;
    rlk_socket sock;
    rlk_conn_entry ring[16];
    uint8_t rx[256];
    uint8_t tx[2048];
    int64_t now_ms;
    bool may_block;
    peer *server; /* moves with the client; NULL: none */
    int fds_before;
    char url[256];
} client;

#define CLIENT_CONNECT_MS 900

FIXTURE unsigned client_encode(void *context, rlk_conn *conn, rlk_request *request,
                               rlk_resp_writer *writer)
{
    const echo *e = (const echo *)(void *)request;

    (void)context;
    (void)conn;
    rlk_resp_put_command(writer, 2);
    rlk_resp_put_bulk(writer, "ECHO", 4);
    rlk_resp_put_bulk(writer, e->text, e->len);
    return 1;
}

FIXTURE void client_reply(void *context, rlk_conn *conn, rlk_request *request,
                          const rlk_reply *reply, unsigned left)
{
    echo *e = (echo *)(void *)request;

    (void)context;
    (void)conn;
    (void)left;
    e->replies++;
    e->good = reply->type == RLK_RESP_BULK && reply->data != NULL && reply->len == e->len &&
              memcmp(reply->data, e->text, e->len) == 0;
}

FIXTURE void client_lost(void *context, rlk_conn *conn, rlk_request *request, bool maybe_sent)
{
    echo *e = (echo *)(void *)request;

    (void)context;
    (void)conn;
    e->losses++;
    e->maybe_sent = maybe_sent;
}

FIXTURE void client_changed(void *context, rlk_conn *conn)
{
    (void)context;
    (void)conn;
}

FIXTURE void client_invalidated(void *context, rlk_conn *conn, uint32_t key_hash, bool all)
{
    (void)context;
    (void)conn;
    (void)key_hash;
    (void)all;
}

FIXTURE int open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    (void)closedir(folder);
    return n;
}

/* By a URL, or by one that no parser made. */
FIXTURE void client_init_parsed(client *c, const char *url, const rlk_url *parsed,
                                rlk_resolver *resolver)
{
    rlk_conn_config config;

    memset(c, 0, sizeof *c);
    memset(&config, 0, sizeof config);
    c->fds_before = open_descriptors();
    c->now_ms = 1000000;
    if (parsed != NULL) {
        config.url = *parsed;
    } else {
        (void)snprintf(c->url, sizeof c->url, "%s", url);
        assert_int_equal(rlk_url_parse(&config.url, c->url), RLK_OK);
    }
    config.connect_timeout_ms = CLIENT_CONNECT_MS;
    config.jitter_seed = 1;
    config.resp2_only = true;
    config.ring = c->ring;
    config.ring_len = COUNT_OF(c->ring);
    config.tx = c->tx;
    config.tx_cap = sizeof c->tx;
    config.rx = c->rx;
    config.rx_cap = sizeof c->rx;
    c->calls.encode = client_encode;
    c->calls.reply = client_reply;
    c->calls.lost = client_lost;
    c->calls.changed = client_changed;
    c->calls.invalidated = client_invalidated;
    config.calls = &c->calls;
    assert_int_equal(rlk_conn_init(&c->conn, &config, c->now_ms), RLK_OK);
    rlk_socket_init(&c->sock, &c->conn, resolver);
    assert_int_equal(rlk_socket_fd(&c->sock), -1);
    assert_int_equal(rlk_socket_events(&c->sock), 0);
    memset(&calls, 0, sizeof calls);
}

FIXTURE void client_init(client *c, const char *url, rlk_resolver *resolver)
{
    client_init_parsed(c, url, NULL, resolver);
}

/* For a server on a port of the loopback. */
FIXTURE void client_init_port(client *c, const char *host, peer *server)
{
    char url[128];

    (void)snprintf(url, sizeof url, "redis://%s:%u", host, (unsigned)server->port);
    client_init(c, url, NULL);
    c->server = server;
}

/* What poll says of the client's descriptor within timeout_ms. */
FIXTURE short client_poll(const client *c, int timeout_ms)
{
    struct pollfd one;
    int n;

    one.fd = rlk_socket_fd(&c->sock);
    one.events = rlk_socket_events(&c->sock);
    one.revents = 0;
    do {
        n = poll(&one, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return one.revents;
}

FIXTURE void client_service(client *c, short revents)
{
    rlk_conn_tick(&c->conn, c->now_ms);
    rlk_socket_service(&c->sock, revents, c->may_block, c->now_ms);
}

/* Both ends, once, without waiting. */
FIXTURE void client_turn(client *c)
{
    client_service(c, client_poll(c, 0));
    if (c->server != NULL) {
        peer_turn(c->server);
    }
}

/* Turns until the condition is true. */
#define client_until(c, condition) wait_until((client_turn(c), (condition)))

FIXTURE rlk_conn_state client_state(const client *c)
{
    return rlk_conn_get_state(&c->conn);
}

FIXTURE void client_ready(client *c)
{
    client_until(c, client_state(c) == RLK_CONN_READY);
}

FIXTURE void client_submit(client *c, echo *e, const char *text)
{
    memset(e, 0, sizeof *e);
    e->text = text;
    e->len = strlen(text);
    rlk_conn_submit(&c->conn, &e->request, c->now_ms);
}

/* One exchange, all of it. */
FIXTURE void client_exchange(client *c, const char *text)
{
    echo e;

    client_submit(c, &e, text);
    client_until(c, e.replies + e.losses > 0);

    assert_int_equal(e.replies, 1);
    assert_true(e.good);
}

/* The attempt or the stream ended for `why`; nothing is left of it. */
FIXTURE void assert_ended(const client *c, rlk_result why, int sys_errno)
{
    assert_result(rlk_conn_result(&c->conn), why);
    assert_int_equal(rlk_conn_errno(&c->conn), sys_errno);
    assert_int_equal(client_state(c), RLK_CONN_WAITING);
    assert_int_equal(rlk_socket_fd(&c->sock), -1);
    assert_int_equal(rlk_socket_events(&c->sock), 0);
}

/* Lets the backoff pass. */
FIXTURE void client_wait_backoff(client *c)
{
    assert_int_equal(client_state(c), RLK_CONN_WAITING);
    c->now_ms = rlk_conn_deadline(&c->conn);
}

/* Ends both, and checks for descriptors that were left open. */
FIXTURE void client_end(client *c)
{
    rlk_conn_close(&c->conn, c->now_ms);
    rlk_socket_service(&c->sock, 0, false, c->now_ms);
    assert_int_equal(client_state(c), RLK_CONN_CLOSED);
    assert_int_equal(rlk_socket_fd(&c->sock), -1);
    if (c->server != NULL && c->server->fd >= 0) {
        peer_hang_up(c->server);
    }
    assert_int_equal(open_descriptors(), c->fds_before);
}

/* ---- Both ---------------------------------------------------------------------------------- */

/* Both ends over TCP; nothing is connected yet. */
FIXTURE void socket_init(client *c, peer *server)
{
    peer_init(server, AF_INET);
    client_init_port(c, "127.0.0.1", server);
}

/* The same, and the stream is up. */
FIXTURE void socket_start(client *c, peer *server)
{
    socket_init(c, server);
    client_ready(c);
}

/* As socket_start, and a request has been sent; the server only says what the test says. */
FIXTURE void socket_start_mute(client *c, peer *server, echo *e, const char *text)
{
    socket_start(c, server);
    server->mute = true;
    client_submit(c, e, text);
    client_service(c, 0);
}

/* As client_end, of both. */
FIXTURE void socket_end(client *c, peer *server)
{
    client_end(c);
    peer_end(server);
}

FIXTURE int end_faults(void **state)
{
    memset(&fault, 0, sizeof fault);
    return support_teardown(state);
}

#define socket_test(function) cmocka_unit_test_teardown(function, end_faults)

#endif
