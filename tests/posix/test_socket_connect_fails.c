/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver until its stream is up: the ways that an attempt fails.
 */
#include "socket_places.h"

#include <sys/resource.h>

/* Fault 27: at once, well before any time is over. */
static void test_socket_connect_is_refused(void **state)
{
    silent nobody;
    peer server;
    client c;

    (void)state;
    silent_init(&nobody, AF_INET);
    memset(&server, 0, sizeof server);
    server.port = nobody.port;
    client_init_port(&c, "127.0.0.1", &server);
    c.server = NULL;
    client_until(&c, client_state(&c) == RLK_CONN_WAITING && rlk_conn_failures(&c.conn) == 1);

    assert_ended(&c, RLK_E_CONNECT, ECONNREFUSED);
    client_end(&c);
    assert_int_equal(close(nobody.fd), 0);
}

/* Fault 28, one address: it is the connection that gives up, and the driver obeys. */
static void test_socket_connect_times_out(void **state)
{
    hole nowhere;
    names book;
    client c;

    (void)state;
    hole_init(&nowhere);
    names_init(&book);
    names_add(&book, false, nowhere.port);
    client_init_names(&c, &book);
    client_service(&c, 0);
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    assert_int_equal(rlk_socket_events(&c.sock), POLLOUT);
    assert_true(rlk_socket_deadline(&c.sock) == RLK_NEVER);
    assert_int_equal(client_poll(&c, 20), 0);

    client_service(&c, POLLOUT); /* the event of another descriptor is not believed */
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    c.now_ms += CLIENT_CONNECT_MS - 1;
    client_service(&c, 0);
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    c.now_ms++;
    client_service(&c, 0);
    assert_ended(&c, RLK_E_CONNECT_TIMEOUT, 0);
    client_end(&c);
    hole_end(&nowhere);
}

/* Each address has its part of what is left: 900 / 3, 600 / 2, the rest. */
static void test_socket_connect_shares_its_time(void **state)
{
    hole nowhere;
    peer server;
    names book;
    client c;
    int64_t begin;

    (void)state;
    hole_init(&nowhere);
    peer_init(&server, AF_INET);
    names_init(&book);
    names_add(&book, false, nowhere.port);
    names_add(&book, false, nowhere.port);
    names_add(&book, false, server.port);
    client_init_names(&c, &book);
    begin = c.now_ms;
    assert_true(rlk_socket_deadline(&c.sock) <= begin || rlk_conn_deadline(&c.conn) <= begin);
    client_service(&c, 0);
    assert_int_equal(rlk_socket_deadline(&c.sock), begin + 300);
    c.now_ms = begin + 299;
    client_service(&c, 0);
    assert_int_equal(calls.connect, 1);
    c.now_ms = begin + 300;
    client_service(&c, 0);
    assert_int_equal(calls.connect, 2);
    assert_int_equal(rlk_socket_deadline(&c.sock), begin + 600);
    c.now_ms = begin + 650; /* served late */
    client_service(&c, 0);
    assert_int_equal(calls.connect, 3);
    assert_true(rlk_socket_deadline(&c.sock) == RLK_NEVER);
    c.server = &server;
    client_ready(&c);
    client_exchange(&c, "hello");
    assert_int_equal(book.asked, 1);
    socket_end(&c, &server);
    hole_end(&nowhere);
}

/* Resolved so slowly that the time is over: no address waits for longer than until the next turn.
 */
static void test_socket_connect_has_no_time_left(void **state)
{
    hole nowhere;
    names book;
    client c;

    (void)state;
    hole_init(&nowhere);
    names_init(&book);
    names_add(&book, false, nowhere.port);
    names_add(&book, false, nowhere.port);
    names_add(&book, false, nowhere.port);
    client_init_names(&c, &book);
    client_service(&c, 0);
    c.now_ms += CLIENT_CONNECT_MS + 1;
    rlk_socket_service(&c.sock, 0, false, c.now_ms); /* before the tick */
    assert_int_equal(calls.connect, 2);
    assert_int_equal(rlk_socket_deadline(&c.sock), c.now_ms);
    client_service(&c, 0);
    assert_ended(&c, RLK_E_CONNECT_TIMEOUT, 0);
    assert_int_equal(calls.connect, 2);
    client_end(&c);
    hole_end(&nowhere);
}

static void test_socket_connect_tries_the_second_address(void **state)
{
    silent nobody;
    peer server;
    names book;
    client c;

    (void)state;
    if (!support_has_ipv6()) {
        return;
    }
    silent_init(&nobody, AF_INET);
    peer_init(&server, AF_INET6);
    names_init(&book);
    names_add(&book, false, nobody.port);
    names_add(&book, true, server.port);
    client_init_names(&c, &book);
    c.server = &server;
    client_ready(&c);
    assert_int_equal(calls.connect, 2);
    assert_string_equal(book.host, "db.example");
    assert_int_equal(book.port, 7000);
    client_exchange(&c, "hello");
    socket_end(&c, &server);
    assert_int_equal(close(nobody.fd), 0);
}

/* Of several reasons the refusal is reported: there the server's host has answered. What this host
 * lacks is reported if there is nothing else. */
static void test_socket_connect_prefers_a_refusal(void **state)
{
    static const struct {
        int errors[3];
        int reported;
    } rows[] = {
        {{ECONNREFUSED, ENETUNREACH, EAFNOSUPPORT}, ECONNREFUSED},
        {{ENETUNREACH, ECONNREFUSED, EHOSTUNREACH}, ECONNREFUSED},
        {{ENETUNREACH, EHOSTUNREACH, ENOBUFS}, ENOBUFS}, /* fault 47 */
        {{ENETUNREACH, EHOSTUNREACH, EAGAIN}, EAGAIN},
        {{ETIMEDOUT, EADDRNOTAVAIL, ENETUNREACH}, ETIMEDOUT}, /* a host without IPv6 */
        {{EAFNOSUPPORT, ETIMEDOUT, EADDRNOTAVAIL}, ETIMEDOUT},
        {{EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH}, EADDRNOTAVAIL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        names book;
        client c;

        names_init(&book);
        names_add(&book, false, 1);
        names_add(&book, true, 1);
        names_add(&book, false, 1);
        client_init_names(&c, &book);
        memcpy(fault.connect, rows[i].errors, sizeof rows[i].errors);
        client_service(&c, 0);
        assert_int_equal(calls.connect, 3);
        assert_ended(&c, RLK_E_CONNECT, rows[i].reported);
        client_end(&c);
    }
}

/* The attempt is given up: so are the addresses that were not tried yet. */
static void test_socket_connect_ends_when_asked_to(void **state)
{
    hole nowhere;
    names book;
    client c;

    (void)state;
    hole_init(&nowhere);
    names_init(&book);
    names_add(&book, false, nowhere.port);
    names_add(&book, false, nowhere.port);
    client_init_names(&c, &book);
    client_service(&c, 0);
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    rlk_conn_close(&c.conn, c.now_ms);
    assert_true(rlk_socket_deadline(&c.sock) <= c.now_ms);
    client_service(&c, 0);
    assert_int_equal(client_state(&c), RLK_CONN_CLOSED);
    assert_int_equal(rlk_socket_fd(&c.sock), -1);
    assert_true(rlk_socket_deadline(&c.sock) == RLK_NEVER);
    client_service(&c, 0);
    assert_int_equal(calls.connect, 1);
    client_end(&c);
    hole_end(&nowhere);
}

/* Fault 47: no descriptor left; and when there is one again, it goes on. */
static void test_socket_connect_without_descriptors(void **state)
{
    struct rlimit before;
    struct rlimit none;
    peer server;
    client c;
    int next;

    (void)state;
    socket_init(&c, &server);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    next = dup(server.listener);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    none = before;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    client_service(&c, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(calls.connect, 0);
    assert_ended(&c, RLK_E_CONNECT, EMFILE);
    client_wait_backoff(&c);
    client_ready(&c);
    socket_end(&c, &server);
}

/* SO_ERROR can't be read: the address counts as failed, with that reason. */
static void test_socket_connect_without_a_verdict(void **state)
{
    peer server;
    client c;

    (void)state;
    socket_init(&c, &server);
    client_service(&c, 0);
    fault.getsockopt = ENOBUFS;
    client_service(&c, client_poll(&c, 5000));
    fault.getsockopt = 0;
    assert_ended(&c, RLK_E_CONNECT, ENOBUFS);
    socket_end(&c, &server);
}

/* Where connect() has nothing to wait for, the first bytes leave in the same call. */
static void test_socket_connect_at_once(void **state)
{
    peer server;
    client c;

    (void)state;
    socket_init(&c, &server);
    fault.connect_at_once = true;
    client_service(&c, 0);
    assert_int_equal(client_state(&c), RLK_CONN_HANDSHAKE);
    assert_int_equal(calls.send, 1);
    client_ready(&c);
    client_exchange(&c, "hello");
    socket_end(&c, &server);
}

/* A client whose own port is by chance the one that it connects to meets itself. */
static void test_socket_connect_not_to_itself(void **state)
{
    int at_once;

    (void)state;
    for (at_once = 0; at_once < 2; at_once++) {
        silent free_port;
        peer server;
        client c;

        silent_init(&free_port, AF_INET);
        assert_int_equal(close(free_port.fd), 0);
        memset(&server, 0, sizeof server);
        server.port = free_port.port;
        client_init_port(&c, "127.0.0.1", &server);
        c.server = NULL;
        fault.connect_to_itself = true;
        fault.connect_at_once = at_once != 0;
        client_until(&c, rlk_conn_failures(&c.conn) == 1);

        assert_ended(&c, RLK_E_CONNECT, ECONNREFUSED);
        assert_int_equal(calls.connect, 1);
        assert_int_equal(calls.send, 0);
        client_end(&c);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        socket_test(test_socket_connect_is_refused),
        socket_test(test_socket_connect_times_out),
        socket_test(test_socket_connect_shares_its_time),
        socket_test(test_socket_connect_has_no_time_left),
        socket_test(test_socket_connect_tries_the_second_address),
        socket_test(test_socket_connect_prefers_a_refusal),
        socket_test(test_socket_connect_ends_when_asked_to),
        socket_test(test_socket_connect_without_descriptors),
        socket_test(test_socket_connect_without_a_verdict),
        socket_test(test_socket_connect_at_once),
        socket_test(test_socket_connect_not_to_itself),
    };

    return cmocka_run_group_tests_name("socket_connect_fails", tests, NULL, NULL);
}
