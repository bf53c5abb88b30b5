/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver while a resolver is asked: each event that may come meanwhile. The resolver is
 * scripted (socket_places.h).
 */
#include "socket_places.h"

/* ---- Fixture ------------------------------------------------------------------------------ */

/* Both ends, and a resolver that knows the server, and does not answer at once. Nothing is asked
 * yet. */
static void resolving_init(client *c, names *book, peer *server)
{
    peer_init(server, AF_INET);
    names_init(book);
    book->later = true;
    names_add(book, false, server->port);
    client_init_names(c, book);
    c->server = server;
}

/* A lookup is under way, that nothing but the test answers. */
static void resolving_start(client *c, names *book, peer *server)
{
    resolving_init(c, book, server);
    client_service(c, 0);
    assert_int_equal(client_state(c), RLK_CONN_CONNECTING);
    assert_non_null(book->lookup);
    assert_int_equal(rlk_socket_fd(&c->sock), -1);
    assert_int_equal(rlk_socket_events(&c->sock), 0);
    assert_true(rlk_socket_deadline(&c->sock) == RLK_NEVER);
    /* for an acquire that ends before the attempt */
    assert_string_equal(rlk_conn_text(&c->conn), "the host name was not resolved in time");
}

static void resolving_end(client *c, names *book, peer *server)
{
    socket_end(c, server);
    assert_null(book->lookup);
    assert_int_equal(book->closed, book->asked);
}

/* The next attempt asks anew, and is answered. Ends all. */
static void resolving_again(client *c, names *book, peer *server)
{
    client_service(c, 0);
    assert_int_equal(book->asked, 2);
    names_answer(book);
    client_ready(c);
    resolving_end(c, book, server);
}

/* The same calls, of a resolver that answers in the program's loop only. */
static void names_need_a_loop(names *book, rlk_resolver_calls *of_loop)
{
    *of_loop = *book->resolver.calls;
    of_loop->loop_only = true;
    book->resolver.calls = of_loop;
}

/* ---- Answers ------------------------------------------------------------------------------ */

/* From outside of the driver: it goes on when it is served next, which is at once. */
static void test_socket_resolving_answer_between_two_turns(void **state)
{
    peer server;
    names book;
    client c;

    (void)state;
    resolving_start(&c, &book, &server);
    client_service(&c, POLLIN); /* that was of an older descriptor: harmless */
    assert_int_equal(calls.socket, 0);
    names_answer(&book);
    assert_int_equal(calls.socket, 0);
    assert_int_equal(rlk_socket_deadline(&c.sock), 0);
    client_service(&c, 0);
    assert_string_equal(rlk_conn_text(&c.conn), ""); /* now it is the server that is waited for */
    client_ready(&c);
    client_exchange(&c, "hello");
    assert_int_equal(book.asked, 1);
    assert_string_equal(book.host, "db.example");
    assert_int_equal(book.port, 7000);
    resolving_end(&c, &book, &server);
}

/* A lookup's descriptor stands for that of the stream until the answer. */
static void test_socket_resolving_has_the_lookups_descriptor(void **state)
{
    int ends[2];
    peer server;
    names book;
    client c;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    resolving_init(&c, &book, &server);
    book.fd = ends[0];
    client_service(&c, 0);
    assert_int_equal(rlk_socket_fd(&c.sock), ends[0]);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN);
    client_turn(&c);
    assert_int_equal(book.served, 0); /* not readable */
    assert_int_equal(write(ends[1], "", 1), 1);
    client_turn(&c);
    assert_int_equal(book.served, 1); /* and no answer yet */
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    book.answers = true;
    client_turn(&c);
    assert_int_equal(book.served, 2);
    assert_int_equal(book.closed, 1);
    assert_true(rlk_socket_fd(&c.sock) != ends[0]);
    client_ready(&c);
    resolving_end(&c, &book, &server);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* A lookup's timer is one of the driver's. */
static void test_socket_resolving_serves_its_deadline(void **state)
{
    peer server;
    names book;
    client c;

    (void)state;
    resolving_init(&c, &book, &server);
    book.deadline_ms = 100;
    book.answers = true;
    client_service(&c, 0);
    assert_true(rlk_socket_deadline(&c.sock) == c.now_ms + 100);
    c.now_ms += 99;
    client_service(&c, 0);
    assert_int_equal(book.served, 0);
    c.now_ms += 1;
    client_service(&c, 0);
    assert_int_equal(book.served, 1);
    client_ready(&c);
    resolving_end(&c, &book, &server);
}

/* Fault 41: what a late answer is, when it is none. */
static void test_fault_41_late_answer_is_an_error(void **state)
{
    static const struct {
        const char *why;
        int sys_errno;
    } rows[] = {{NULL, 0}, {"no such name", 0}, {"no memory", ENOMEM}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        peer server;
        names book;
        client c;

        resolving_start(&c, &book, &server);
        book.n = rows[i].why != NULL ? 1 : 0; /* addresses before an error count for nothing */
        book.why = rows[i].why;
        book.sys_errno = rows[i].sys_errno;
        names_answer(&book);
        client_service(&c, 0);
        assert_ended(&c, RLK_E_RESOLVE, rows[i].sys_errno);
        assert_string_equal(rlk_conn_text(&c.conn),
                            rows[i].why != NULL ? rows[i].why : "it has no address");
        assert_int_equal(calls.socket + calls.getaddrinfo, 0);
        book.n = 1; /* and the next attempt asks anew */
        book.why = NULL;
        book.sys_errno = 0;
        client_wait_backoff(&c);
        resolving_again(&c, &book, &server);
    }
}

/* ---- Ends --------------------------------------------------------------------------------- */

/* The connect time ends the lookup, and a good answer in the same millisecond comes too late. */
static void test_fault_41_no_answer_within_the_connect_time(void **state)
{
    int answered;

    (void)state;
    for (answered = 0; answered < 2; answered++) {
        peer server;
        names book;
        client c;

        resolving_start(&c, &book, &server);
        c.now_ms += CLIENT_CONNECT_MS - 1;
        client_service(&c, 0);
        assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
        c.now_ms += 1;
        if (answered != 0) {
            names_answer(&book);
        }
        client_service(&c, 0);
        assert_ended(&c, RLK_E_CONNECT_TIMEOUT, 0);
        assert_string_equal(rlk_conn_text(&c.conn), "the host name was not resolved in time");
        assert_null(book.lookup);
        assert_int_equal(calls.socket, 0);
        assert_int_equal(book.closed, 1);
        client_wait_backoff(&c);
        resolving_again(&c, &book, &server);
    }
}

/* What the answer leaves of the connect time is for its addresses. */
static void test_socket_resolving_is_connect_time(void **state)
{
    hole nobody;
    names book;
    client c;

    (void)state;
    hole_init(&nobody);
    names_init(&book);
    book.later = true;
    names_add(&book, false, nobody.port);
    names_add(&book, false, nobody.port);
    client_init_names(&c, &book);
    client_service(&c, 0);
    c.now_ms += 500;
    names_answer(&book);
    client_service(&c, 0);
    assert_true(rlk_socket_deadline(&c.sock) == c.now_ms + (CLIENT_CONNECT_MS - 500) / 2);
    c.now_ms += CLIENT_CONNECT_MS - 500;
    client_service(&c, 0);
    assert_ended(&c, RLK_E_CONNECT_TIMEOUT, 0);
    assert_string_equal(rlk_conn_text(&c.conn), "");
    client_end(&c);
    hole_end(&nobody);
}

static void reset(client *c)
{
    rlk_conn_reset(&c->conn, c->now_ms);
}

static void reset_answered(client *c)
{
    names_answer((names *)(void *)c->sock.resolver);
    rlk_conn_reset(&c->conn, c->now_ms);
}

/* What the application does meanwhile. The lookup is closed once, and the next attempt asks. */
static void test_socket_resolving_reset(void **state)
{
    static void (*const rows[])(client *) = {reset, reset_answered};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        peer server;
        names book;
        client c;

        resolving_start(&c, &book, &server);
        rows[i](&c);
        assert_int_equal(rlk_socket_deadline(&c.sock), 0);
        client_service(&c, 0);
        assert_int_equal(book.closed, 1);
        resolving_again(&c, &book, &server); /* due at once */
    }
}

/* Closed, answered or not; by the connection, or as in a forked child by the driver alone. */
static void test_socket_resolving_close(void **state)
{
    int row;

    (void)state;
    for (row = 0; row < 4; row++) {
        peer server;
        names book;
        client c;

        resolving_start(&c, &book, &server);
        if ((row & 1) != 0) {
            names_answer(&book);
        }
        if ((row & 2) != 0) {
            rlk_socket_close(&c.sock);
            assert_int_equal(book.closed, 1);
            rlk_socket_close(&c.sock);
        }
        resolving_end(&c, &book, &server);
        assert_int_equal(book.closed, 1);
        assert_int_equal(calls.socket, 0);
    }
}

/* ---- Loops -------------------------------------------------------------------------------- */

typedef struct counts {
    rlk_loop loop; /* first */
    const names *book;
    int changed;
    int closing;
    unsigned slot;
    int fd;
} counts;

static void count_changed(rlk_loop *loop)
{
    ((counts *)(void *)loop)->changed++;
}

static void count_closing(rlk_loop *loop, unsigned slot, int fd)
{
    counts *seen = (counts *)(void *)loop;

    seen->closing++;
    seen->slot = slot;
    seen->fd = fd;
    assert_int_equal(seen->book->closed, 0); /* before its lookup is */
}

static void count_removed(rlk_loop *loop)
{
    (void)loop;
}

/* A loop is notified of an answer that comes between its turns, and before the descriptor of a
 * lookup is closed. */
static void test_socket_resolving_notifies_the_loop(void **state)
{
    static const rlk_loop_calls counting = {count_changed, count_closing, count_removed};
    int row;

    (void)state;
    for (row = 0; row < 4; row++) {
        int ends[2];
        peer server;
        names book;
        counts seen;
        client c;

        memset(&seen, 0, sizeof seen);
        seen.loop.calls = &counting;
        seen.book = &book;
        assert_int_equal(pipe(ends), 0);
        resolving_init(&c, &book, &server);
        book.fd = row == 3 ? -1 : ends[0];
        book.answers = true;
        rlk_socket_set_loop(&c.sock, &seen.loop, 3);
        client_service(&c, 0);
        assert_int_equal(seen.changed + seen.closing, 0);
        switch (row) {
        case 0: /* in service */
            client_service(&c, POLLIN);
            assert_int_equal(seen.changed, 0);
            break;
        case 1: /* never */
            rlk_conn_close(&c.conn, c.now_ms);
            client_service(&c, 0);
            assert_int_equal(seen.changed, 0);
            break;
        default: /* by the loop */
            names_answer(&book);
            assert_int_equal(seen.changed, 1);
            assert_int_equal(seen.closing, 0);
            client_service(&c, 0);
            assert_int_equal(seen.changed, 1);
            break;
        }
        assert_int_equal(seen.closing, row == 3 ? 0 : 1);
        if (row != 3) {
            assert_int_equal(seen.slot, 3);
            assert_int_equal(seen.fd, ends[0]);
        }
        rlk_socket_set_loop(&c.sock, NULL, 0);
        resolving_end(&c, &book, &server);
        assert_int_equal(close(ends[0]), 0);
        assert_int_equal(close(ends[1]), 0);
    }
}

/* ---- A resolver that needs the program's loop ---------------------------------------------- */

/* In a blocking call, which runs no loop, the system is asked; also if a loop has asked before. */
static void test_socket_resolving_asks_the_system_where_no_loop_runs(void **state)
{
    int before;

    (void)state;
    for (before = 0; before < 2; before++) {
        struct addrinfo info;
        struct sockaddr_in v4;
        rlk_resolver_calls of_loop;
        peer server;
        names book;
        client c;

        resolving_init(&c, &book, &server);
        names_need_a_loop(&book, &of_loop);
        memset(&info, 0, sizeof info);
        memset(&v4, 0, sizeof v4);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(server.port);
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        info.ai_family = AF_INET;
        info.ai_addr = (struct sockaddr *)&v4;
        fault.resolve = &info;
        if (before != 0) {
            client_service(&c, 0);
            assert_int_equal(book.asked, 1);
        }
        c.may_block = true;
        client_ready(&c);
        assert_int_equal(calls.getaddrinfo, 1);
        assert_int_equal(book.asked, before);
        assert_int_equal(book.closed, before);
        resolving_end(&c, &book, &server);
    }
}

/* A resolver of which an answer came before the blocking call. */
static void test_socket_resolving_takes_an_answer_in_a_blocking_call(void **state)
{
    rlk_resolver_calls of_loop;
    peer server;
    names book;
    client c;

    (void)state;
    resolving_start(&c, &book, &server);
    names_need_a_loop(&book, &of_loop);
    names_answer(&book);
    c.may_block = true;
    client_ready(&c);
    assert_int_equal(calls.getaddrinfo, 0);
    resolving_end(&c, &book, &server);
}

/* The least that a resolver has: it can only start, and answers later. */
static void test_socket_resolving_by_the_least_resolver(void **state)
{
    rlk_resolver_calls least;
    peer server;
    names book;
    client c;

    (void)state;
    resolving_start(&c, &book, &server);
    memset(&least, 0, sizeof least);
    least.start = book.resolver.calls->start;
    book.resolver.calls = &least;
    client_service(&c, POLLIN);
    assert_int_equal(book.served, 0);
    names_answer(&book);
    client_ready(&c);
    assert_int_equal(book.closed, 0);
    socket_end(&c, &server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        socket_test(test_socket_resolving_answer_between_two_turns),
        socket_test(test_socket_resolving_has_the_lookups_descriptor),
        socket_test(test_socket_resolving_serves_its_deadline),
        socket_test(test_fault_41_late_answer_is_an_error),
        socket_test(test_fault_41_no_answer_within_the_connect_time),
        socket_test(test_socket_resolving_is_connect_time),
        socket_test(test_socket_resolving_reset),
        socket_test(test_socket_resolving_close),
        socket_test(test_socket_resolving_notifies_the_loop),
        socket_test(test_socket_resolving_asks_the_system_where_no_loop_runs),
        socket_test(test_socket_resolving_takes_an_answer_in_a_blocking_call),
        socket_test(test_socket_resolving_by_the_least_resolver),
    };

    return cmocka_run_group_tests_name("socket_resolving", tests, NULL, NULL);
}
