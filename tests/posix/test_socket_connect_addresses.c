/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver until its stream is up: addresses, sockets of the file system, names.
 */
#include "socket_places.h"

#include "net/condemn.h"
#include "net/local.h"

#include <net/if.h>

/* ---- Literals ---------------------------------------------------------------------------- */

/* What the server sees as the client's address, in its own words. */
static void assert_local(const client *c, int server_fd, const char *format)
{
    struct sockaddr_in6 name;
    socklen_t len = sizeof name;
    char expected[64];
    char text[RLK_CONN_LOCAL];

    assert_int_equal(getpeername(server_fd, (struct sockaddr *)&name, &len), 0);
    /* the port has one place in both families */
    (void)snprintf(expected, sizeof expected, format, (unsigned)ntohs(name.sin6_port));
    rlki_local_text(&c->conn.identity.local, text);
    assert_string_equal(text, expected);
}

static void test_socket_connect_takes_literals(void **state)
{
    static const struct {
        int family;
        const char *host;
        const char *local;
    } rows[] = {
        {AF_INET, "127.0.0.1", "127.0.0.1:%u"},
        {AF_INET6, "[::1]", "[::1]:%u"},
        {AF_INET, "[::ffff:127.0.0.1]", "127.0.0.1:%u"}, /* as the server has it */
    };
    uint64_t numbers[COUNT_OF(rows)];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        peer server;
        client c;

        if (rows[i].family == AF_INET6 && !support_has_ipv6()) {
            continue;
        }
        peer_init(&server, rows[i].family);
        client_init_port(&c, rows[i].host, &server);
        client_ready(&c);
        assert_local(&c, server.fd, rows[i].local);
        numbers[i] = c.conn.identity.peer;
        assert_true(numbers[i] != 0);
        assert_true(i == 0 || numbers[i] != numbers[0]);

        peer_hang_up(&server); /* the same server has the same number */
        client_until(&c, client_state(&c) == RLK_CONN_WAITING);

        client_wait_backoff(&c);
        client_ready(&c);
        assert_true(c.conn.identity.peer == numbers[i]);
        client_end(&c);
        peer_end(&server);
    }
    assert_int_equal(calls.getaddrinfo, 0);
}

/* The system can't report our own address: connected all the same, without it. */
static void test_socket_connect_does_without_its_own_address(void **state)
{
    peer server;
    client c;

    (void)state;
    socket_init(&c, &server);
    fault.getsockname = ENOBUFS;
    client_ready(&c);
    assert_false(rlki_local_is_known(&c.conn.identity.local));
    assert_true(c.conn.identity.peer != rlki_condemn_number(0));
    socket_end(&c, &server);
}

static void test_socket_connect_takes_zones(void **state)
{
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        {"redis://[fe80::1%25lo]:9", true},
        {"redis://[fe80::1%25%u]:9", true},
        {"redis://[fe80::1%25no-such-zone]:9", false},
        {"redis://[fe80::1%250]:9", false},
        {"redis://[fe80::1%2599999999999999]:9", false},
    };
    unsigned lo = if_nametoindex("lo");
    size_t i;

    (void)state;
    assert_true(lo != 0);
    for (i = 0; i < COUNT_OF(rows); i++) {
        char url[64];
        client c;

        if (i == 1) {
            (void)snprintf(url, sizeof url, "redis://[fe80::1%%25%u]:9", lo);
        } else {
            (void)snprintf(url, sizeof url, "%s", rows[i].url);
        }
        client_init(&c, url, NULL);
        fault.connect[0] = ENETUNREACH;
        client_service(&c, 0);
        if (rows[i].good) {
            assert_ended(&c, RLK_E_CONNECT, ENETUNREACH);
            assert_int_equal(calls.last_connect.sin6_family, AF_INET6);
            assert_int_equal(calls.last_connect.sin6_scope_id, lo);
            assert_int_equal(ntohs(calls.last_connect.sin6_port), 9);
            assert_int_equal(calls.last_connect.sin6_addr.s6_addr[0], 0xfe);
        } else {
            assert_ended(&c, RLK_E_RESOLVE, 0);
            assert_int_equal(calls.connect, 0);
        }
        client_end(&c);
    }
}

/* A URL that no parser made. */
static void test_socket_connect_refuses_what_is_no_host(void **state)
{
    static const char longest[300] = "a";
    static const struct {
        const char *host;
        uint16_t len;
    } rows[] = {
        {"1:2", 3},
        {"::1%26lo", 8},
        {"::1%", 4},
        {longest, sizeof longest},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_url url;
        client c;

        memset(&url, 0, sizeof url);
        url.host = rows[i].host;
        url.host_len = rows[i].len;
        client_init_parsed(&c, NULL, &url, NULL);
        c.may_block = true;
        client_service(&c, 0);
        assert_ended(&c, RLK_E_RESOLVE, 0);
        assert_int_equal(calls.getaddrinfo + calls.socket, 0);
        client_end(&c);
    }
}

/* ---- Unix sockets ------------------------------------------------------------------------ */

/* Connected, and the first bytes sent, in one call; the path is decoded. */
static void test_socket_connect_unix_is_optimistic(void **state)
{
    char *folder = support_folder_new();
    char path[200];
    char url[220];
    peer server;
    client c;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/a socket", folder);
    (void)snprintf(url, sizeof url, "unix://%s/%%61%%20socket", folder);
    peer_init_unix(&server, path);
    client_init(&c, url, NULL);
    c.server = &server;
    client_service(&c, 0);
    assert_int_equal(client_state(&c), RLK_CONN_HANDSHAKE);
    assert_int_equal(calls.socket, 1);
    assert_int_equal(calls.connect, 1);
    assert_int_equal(calls.send, 1);
    assert_true(peer_read(&server));
    assert_true(server.input_len > 0);
    client_ready(&c);
    assert_true(c.conn.identity.peer == rlki_condemn_number(0));
    assert_false(rlki_local_is_known(&c.conn.identity.local));
    assert_int_equal(fcntl(rlk_socket_fd(&c.sock), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    client_exchange(&c, "hello");
    socket_end(&c, &server);
    support_folder_remove(folder);
    free(folder);
}

static void test_socket_connect_unix_names_the_reason(void **state)
{
    static char longest[200];
    char *folder = support_folder_new();
    char url[220];
    rlk_url parsed;
    client c;

    (void)state;
    (void)snprintf(url, sizeof url, "unix://%s/none", folder);
    client_init(&c, url, NULL);
    client_service(&c, 0);
    assert_ended(&c, RLK_E_CONNECT, ENOENT);
    client_end(&c);

    memset(longest, 'a', sizeof longest); /* sun_path is shorter than that */
    memset(&parsed, 0, sizeof parsed);
    parsed.path = longest;
    parsed.path_len = sizeof longest;
    client_init_parsed(&c, NULL, &parsed, NULL);
    client_service(&c, 0);
    assert_ended(&c, RLK_E_CONNECT, ENAMETOOLONG);
    client_end(&c);
    support_folder_remove(folder);
    free(folder);
}

/* A server on a Unix socket whose queue is full, and who fills it. */
typedef struct full_queue {
    char *folder;
    char url[220];
    peer server;
    int waiting[64];
    size_t waiting_len;
} full_queue;

static void full_queue_init(full_queue *q)
{
    struct sockaddr_un name;
    int fd;

    memset(q, 0, sizeof *q);
    memset(&name, 0, sizeof name);
    q->folder = support_folder_new();
    name.sun_family = AF_UNIX;
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s/full", q->folder);
    (void)snprintf(q->url, sizeof q->url, "unix://%s/full", q->folder);
    peer_init_unix(&q->server, name.sun_path);
    assert_int_equal(listen(q->server.listener, 0), 0);
    for (;;) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(fd >= 0 && q->waiting_len < COUNT_OF(q->waiting));
        if (connect(fd, (struct sockaddr *)&name, sizeof name) != 0) {
            break;
        }
        q->waiting[q->waiting_len++] = fd;
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(close(fd), 0);
}

/* Accepts who waits, and lets them go. */
static void full_queue_drain(full_queue *q)
{
    while (q->waiting_len > 0) {
        int fd = accept(q->server.listener, NULL, NULL);

        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(close(q->waiting[--q->waiting_len]), 0);
    }
}

static void full_queue_end(full_queue *q)
{
    full_queue_drain(q);
    peer_end(&q->server);
    support_folder_remove(q->folder);
    free(q->folder);
}

/* Fault 116: tried again, at times, until there is room. */
static void test_fault_116_unix_queue_that_is_full(void **state)
{
    full_queue q;
    client c;
    int i;

    (void)state;
    full_queue_init(&q);
    client_init(&c, q.url, NULL);
    for (i = 0; i < 5; i++) {
        client_service(&c, 0);
        client_service(&c, 0); /* before its time nothing */
        assert_int_equal(calls.connect, i + 1);
        assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
        assert_int_equal(rlk_socket_fd(&c.sock), -1);
        assert_between(rlk_socket_deadline(&c.sock) - c.now_ms, 1, 100);
        c.now_ms = rlk_socket_deadline(&c.sock);
    }
    full_queue_drain(&q);
    c.fds_before = open_descriptors();
    c.server = &q.server;
    client_ready(&c);
    client_exchange(&c, "hello");
    assert_int_equal(rlk_conn_failures(&c.conn), 0);
    client_end(&c);
    full_queue_end(&q);
}

/* ... within the connect time, and then the reason is known. */
static void test_fault_116_unix_queue_that_stays_full(void **state)
{
    full_queue q;
    int64_t begun;
    client c;

    (void)state;
    full_queue_init(&q);
    client_init(&c, q.url, NULL);
    begun = c.now_ms;
    client_service(&c, 0);
    while (client_state(&c) == RLK_CONN_CONNECTING) {
        c.now_ms = rlk_socket_deadline(&c.sock);
        client_service(&c, 0);
    }
    assert_ended(&c, RLK_E_CONNECT, EAGAIN);
    assert_between(c.now_ms - begun, CLIENT_CONNECT_MS - 100, CLIENT_CONNECT_MS);
    client_wait_backoff(&c);
    client_service(&c, 0); /* ends while it pauses */
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    client_end(&c);
    full_queue_end(&q);
}

/* ---- Names ------------------------------------------------------------------------------- */

/* localhost is 127.0.0.1, then ::1, without anybody's help. */
static void test_socket_connect_knows_localhost(void **state)
{
    peer server;
    client c;
    uint16_t port;
    int refuses;

    (void)state;
    if (!support_has_ipv6()) {
        return;
    }
    do { /* a port of both families, where only IPv6 listens */
        peer_init(&server, AF_INET6);
        refuses = listener_new(AF_INET, server.port, &port, false);
        if (refuses < 0) {
            peer_end(&server);
        }
    } while (refuses < 0);
    client_init_port(&c, "LocalHost", &server);
    client_ready(&c);
    assert_int_equal(calls.connect, 2);
    assert_int_equal(calls.getaddrinfo, 0);
    assert_int_equal(calls.last_connect.sin6_family, AF_INET6);
    socket_end(&c, &server);
    assert_int_equal(close(refuses), 0);
}

/* In a loop nobody may ask the system, because that waits. */
static void test_socket_connect_needs_a_resolver_in_loops(void **state)
{
    client c;

    (void)state;
    client_init(&c, "redis://db.example", NULL);
    client_service(&c, 0);
    assert_ended(&c, RLK_E_RESOLVER, 0);
    assert_int_equal(calls.getaddrinfo + calls.socket, 0);
    client_end(&c);
}

/* Fault 41: asked anew at each attempt. */
static void test_socket_connect_follows_a_name_that_moves(void **state)
{
    static const char *const words[] = {NULL, "the server said no"};
    silent nobody;
    peer server;
    names book;
    client c;
    size_t i;

    (void)state;
    silent_init(&nobody, AF_INET);
    peer_init(&server, AF_INET);
    names_init(&book);
    client_init_names(&c, &book);
    c.may_block = true; /* the resolver goes before the system */
    for (i = 0; i < COUNT_OF(words); i++) {
        book.why = words[i];
        book.sys_errno = words[i] != NULL ? ENOMEM : 0;
        client_service(&c, 0);
        assert_ended(&c, RLK_E_RESOLVE, book.sys_errno);
        client_wait_backoff(&c);
    }
    book.why = NULL;
    book.sys_errno = 0;
    names_add(&book, false, nobody.port);
    client_until(&c, rlk_conn_failures(&c.conn) == 3);

    assert_ended(&c, RLK_E_CONNECT, ECONNREFUSED);
    book.n = 0;
    names_add(&book, false, server.port);
    client_wait_backoff(&c);
    c.server = &server;
    client_ready(&c);
    assert_int_equal(book.asked, 4);
    assert_int_equal(calls.getaddrinfo, 0);
    socket_end(&c, &server);
    assert_int_equal(close(nobody.fd), 0);
}

/* The server says to a request that it is the wrong one. */
static void condemn(client *c, peer *server)
{
    echo e;

    server->mute = true;
    client_submit(c, &e, "READONLY");
    client_service(c, 0);
    peer_say(server, "-READONLY no\r\n", 14);
    client_until(c, client_state(c) == RLK_CONN_WAITING);

    assert_int_equal(e.losses, 1);
    assert_false(e.maybe_sent);
    server->mute = false;
    peer_hang_up(server);
    client_wait_backoff(c);
}

/* Fault 93: behind the address that was condemned comes the next one, behind the last the first;
 * one where nobody listens is passed over. */
static void test_fault_93_next_address(void **state)
{
    static const size_t order[] = {0, 1, 3, 0};
    peer servers[4];
    names book;
    client c;
    size_t i;

    (void)state;
    names_init(&book);
    for (i = 0; i < COUNT_OF(servers); i++) {
        peer_init(&servers[i], AF_INET);
        names_add(&book, false, servers[i].port);
    }
    assert_int_equal(close(servers[2].listener), 0);
    client_init_names(&c, &book);
    for (i = 0; i < COUNT_OF(order); i++) {
        c.server = &servers[order[i]];
        client_ready(&c);
        client_exchange(&c, "hello");
        assert_int_equal(book.asked, i + 1);
        if (i + 1 < COUNT_OF(order)) {
            condemn(&c, c.server);
        }
    }
    client_end(&c);
    for (i = 0; i < COUNT_OF(servers); i++) {
        if (i != 2) {
            peer_end(&servers[i]);
        }
    }
}

/* The order of the answer is not that of the last one, or the address is not in it any more. */
static void test_fault_93_next_address_of_another_answer(void **state)
{
    static const struct {
        size_t book[3]; /* behind the first, which was condemned */
        size_t then;
    } rows[] = {{{1, 0, 2}, 2}, {{1, 2, 0}, 1}, {{2, 1, 1}, 2}, {{0, 2, 1}, 2}};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        peer servers[3];
        names book;
        client c;

        names_init(&book);
        for (k = 0; k < COUNT_OF(servers); k++) {
            peer_init(&servers[k], AF_INET);
        }
        names_add(&book, false, servers[0].port);
        client_init_names(&c, &book);
        c.server = &servers[0];
        client_ready(&c);
        condemn(&c, c.server);
        book.n = 0;
        for (k = 0; k < 3; k++) {
            names_add(&book, false, servers[rows[i].book[k]].port);
        }
        c.server = &servers[rows[i].then];
        client_ready(&c);
        client_end(&c);
        for (k = 0; k < COUNT_OF(servers); k++) {
            peer_end(&servers[k]);
        }
    }
}

/* Of a name with more addresses than there is room for, those that an attempt did not try are the
 * first of the next one. */
static void test_socket_connect_tries_all_addresses(void **state)
{
    names book;
    peer server;
    client c;
    size_t i;

    (void)state;
    peer_init(&server, AF_INET);
    names_init(&book);
    for (i = 0; i < RLK_MAX_ADDRESSES; i++) {
        names_add(&book, false, 1);
        fault.connect[i] = ENETUNREACH;
    }
    names_add(&book, false, server.port);
    client_init_names(&c, &book);
    c.server = &server;
    client_service(&c, 0);
    assert_int_equal(calls.connect, RLK_MAX_ADDRESSES);
    assert_ended(&c, RLK_E_CONNECT, ENETUNREACH);

    client_wait_backoff(&c);
    client_ready(&c);
    assert_int_equal(calls.connect, RLK_MAX_ADDRESSES + 1);

    peer_hang_up(&server); /* the address that served is tried first */
    client_until(&c, client_state(&c) == RLK_CONN_WAITING);

    client_wait_backoff(&c);
    client_ready(&c);
    assert_int_equal(calls.connect, RLK_MAX_ADDRESSES + 2);

    peer_hang_up(&server); /* the name has fewer by now */
    client_until(&c, client_state(&c) == RLK_CONN_WAITING);

    book.addresses[0] = book.addresses[RLK_MAX_ADDRESSES];
    book.n = 1;
    client_wait_backoff(&c);
    client_ready(&c);
    assert_int_equal(calls.connect, RLK_MAX_ADDRESSES + 3);
    client_end(&c);
    peer_end(&server);
}

/* After the last address of all comes the first one. */
static void test_socket_connect_tries_addresses_in_turn(void **state)
{
    static const int firsts[] = {1, RLK_MAX_ADDRESSES + 1, 1, RLK_MAX_ADDRESSES + 1};
    names book;
    client c;
    size_t turn;
    size_t i;

    (void)state;
    names_init(&book);
    for (i = 0; i <= RLK_MAX_ADDRESSES; i++) {
        names_add(&book, false, (uint16_t)(i + 1));
    }
    client_init_names(&c, &book);
    for (i = 0; i < RLK_MAX_ADDRESSES; i++) {
        fault.connect[i] = ENETUNREACH;
    }
    for (turn = 0; turn < COUNT_OF(firsts); turn++) {
        memset(&calls, 0, sizeof calls);
        client_service(&c, 0);
        assert_int_equal(calls.connect, RLK_MAX_ADDRESSES);
        assert_int_equal(calls.first_port, firsts[turn]);
        assert_ended(&c, RLK_E_CONNECT, ENETUNREACH);
        client_wait_backoff(&c);
    }
    client_end(&c);
}

/* getaddrinfo, asked in blocking calls only and anew at each attempt. */
static void test_socket_connect_asks_the_system(void **state)
{
    enum {
        ENTRIES = RLK_MAX_ADDRESSES + 3
    };
    struct addrinfo list[ENTRIES];
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr other;
    peer server;
    client c;
    size_t i;

    (void)state;
    if (!support_has_ipv6()) {
        return;
    }
    peer_init(&server, AF_INET6);
    memset(list, 0, sizeof list);
    memset(&v4, 0, sizeof v4);
    memset(&v6, 0, sizeof v6);
    memset(&other, 0, sizeof other);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    other.sa_family = AF_UNSPEC;
    for (i = 0; i < ENTRIES; i++) {
        list[i].ai_family = i == 0 ? AF_UNSPEC : i == 2 ? AF_INET6 : AF_INET;
        list[i].ai_addr = i == 0   ? &other
                          : i == 2 ? (struct sockaddr *)&v6
                                   : (struct sockaddr *)&v4;
        list[i].ai_next = i + 1 < ENTRIES ? &list[i + 1] : NULL;
    }
    fault.resolve = list;
    client_init(&c, "redis://db.example", NULL);
    c.conn.url.port = server.port;
    c.may_block = true;
    c.server = &server;
    fault.connect[0] = ENETUNREACH;
    client_ready(&c);
    assert_int_equal(calls.connect, 2);
    assert_int_equal(calls.getaddrinfo, 1);

    peer_hang_up(&server); /* and now it has only addresses that fail, more than we try */
    client_until(&c, client_state(&c) == RLK_CONN_WAITING);

    list[2] = list[1];
    list[2].ai_next = &list[3];
    for (i = 0; i < RLK_MAX_ADDRESSES; i++) {
        fault.connect[i] = EHOSTUNREACH;
    }
    memset(&calls, 0, sizeof calls);
    client_wait_backoff(&c);
    client_service(&c, 0);
    assert_int_equal(calls.getaddrinfo, 1);
    assert_int_equal(calls.connect, RLK_MAX_ADDRESSES);
    assert_ended(&c, RLK_E_CONNECT, EHOSTUNREACH);
    socket_end(&c, &server);
}

/* Fault 41. */
static void test_socket_connect_reports_the_systems_resolver(void **state)
{
    static const struct {
        int error;
        int sys_errno;
        int reported;
    } rows[] = {
        {EAI_NONAME, ENOENT, 0},
        {EAI_AGAIN, 0, 0},
        {EAI_SYSTEM, ENOMEM, ENOMEM},
        {0, 0, 0}, /* only of a family that is none of ours */
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        struct sockaddr_un path;
        struct addrinfo strange;
        client c;

        memset(&path, 0, sizeof path);
        path.sun_family = AF_UNIX;
        memset(&strange, 0, sizeof strange);
        strange.ai_family = AF_UNIX;
        strange.ai_addr = (struct sockaddr *)&path;
        fault.resolve = &strange;
        client_init(&c, "redis://db.example", NULL);
        c.may_block = true;
        fault.getaddrinfo = rows[i].error;
        fault.getaddrinfo_errno = rows[i].sys_errno;
        client_service(&c, 0);
        assert_ended(&c, RLK_E_RESOLVE, rows[i].reported);
        assert_int_equal(calls.getaddrinfo, 1);
        client_end(&c);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        socket_test(test_socket_connect_takes_literals),
        socket_test(test_socket_connect_does_without_its_own_address),
        socket_test(test_socket_connect_takes_zones),
        socket_test(test_socket_connect_refuses_what_is_no_host),
        socket_test(test_socket_connect_unix_is_optimistic),
        socket_test(test_socket_connect_unix_names_the_reason),
        socket_test(test_fault_116_unix_queue_that_is_full),
        socket_test(test_fault_116_unix_queue_that_stays_full),
        socket_test(test_socket_connect_knows_localhost),
        socket_test(test_socket_connect_needs_a_resolver_in_loops),
        socket_test(test_socket_connect_follows_a_name_that_moves),
        socket_test(test_fault_93_next_address),
        socket_test(test_fault_93_next_address_of_another_answer),
        socket_test(test_socket_connect_tries_all_addresses),
        socket_test(test_socket_connect_tries_addresses_in_turn),
        socket_test(test_socket_connect_asks_the_system),
        socket_test(test_socket_connect_reports_the_systems_resolver),
    };

    return cmocka_run_group_tests_name("socket_connect_addresses", tests, NULL, NULL);
}
