/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver over TLS, by a backend that does what a test says: what it waits for, each way
 * that a step ends, and what the driver promises a backend.
 */
#include "socket_fixture.h"

#include "fake_tls.h"

#include "net/posix/socket_wait.h"

/* Both ends, and a client that speaks TLS; nothing is connected yet. */
static void tls_init(client *c, peer *server, const char *host)
{
    fake_init();
    peer_init(server, AF_INET);
    client_init_port(c, host, server);
    rlk_socket_use_tls(&c->sock, &fake.tls);
}

static void tls_start(client *c, peer *server)
{
    tls_init(c, server, "127.0.0.1");
    client_ready(c);
}

/* Ends both. What was begun has ended, and what was opened is closed. */
static void tls_end(client *c, peer *server)
{
    client_end(c);
    rlk_socket_close(&c->sock);
    peer_end(server);
    assert_false(fake.streaming);
    assert_int_equal(fake.begun, fake.ended);
    assert_int_equal(fake.opened, fake.closed);
}

/* Serves until the stream is up as far as TCP goes, and the handshake was asked for once. */
static void tls_connect(client *c)
{
    c->server = NULL;
    client_until(c, fake.handshakes > 0);
}

/* A new stream, at once, in place of one that is over. */
static void tls_again(client *c, peer *server)
{
    peer_hang_up(server);
    rlk_conn_reset(&c->conn, c->now_ms);
    client_ready(c);
}

/* Sends a request. Its reply has come to the descriptor, and is not read. */
static void tls_request(client *c, peer *server, echo *e, const char *text)
{
    client_submit(c, e, text);
    client_service(c, 0);
    wait_until(peer_read(server) && server->input_len > strlen(text));

    peer_turn(server);
    wait_until((client_poll(c, 0) & POLLIN) != 0);
}

/* The one reply comes, and is right. */
static void tls_reply(client *c, const echo *e)
{
    client_until(c, e->replies == 1);

    assert_true(e->good);
}

/* ---- Handshake --------------------------------------------------------------------------- */

static void test_socket_tls_exchanges(void **state)
{
    peer server;
    client c;

    (void)state;
    tls_start(&c, &server);
    assert_int_equal(fake.opened, 1);
    assert_string_equal(fake.name, "127.0.0.1");
    assert_int_equal(fake.ip_len, 4);
    client_exchange(&c, "hello");
    assert_int_equal(rlk_socket_deadline(&c.sock), RLK_NEVER);

    rlk_conn_reset(&c.conn, c.now_ms); /* one session for all streams of a node */
    client_turn(&c);
    assert_int_equal(fake.notified, 1);
    client_ready(&c);
    client_exchange(&c, "again");
    assert_int_equal(fake.opened, 1);
    assert_int_equal(fake.begun, 2);
    tls_end(&c, &server);
    assert_int_equal(fake.notified, 2);
}

/* No byte of a command leaves before the handshake is over, and poll is asked for what it needs. */
static void test_socket_tls_handshake_waits(void **state)
{
    peer server;
    client c;

    (void)state;
    tls_init(&c, &server, "127.0.0.1");
    fake.handshake = "rrw";
    tls_connect(&c);
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN);
    client_service(&c, 0); /* before poll: nothing to do */
    assert_int_equal(fake.handshakes, 1);
    client_service(&c, POLLIN);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN);
    client_service(&c, POLLIN);
    assert_int_equal(rlk_socket_events(&c.sock), POLLOUT);
    assert_int_equal(client_state(&c), RLK_CONN_CONNECTING);
    assert_int_equal(calls.send, 0);
    client_service(&c, POLLOUT);
    assert_int_equal(fake.handshakes, 4);
    assert_int_equal(client_state(&c), RLK_CONN_HANDSHAKE);
    c.server = &server;
    client_ready(&c);
    tls_end(&c, &server);
}

/* Each end, at once and later. FATAL: nobody tries again until the reset. */
static void test_socket_tls_handshake_ends(void **state)
{
    static const char hung_up[] = "the server hung up in the TLS handshake: is it a TLS port?";
    static const struct {
        const char *script;
        rlk_result result;
        rlk_conn_state left;
        const char *text;
    } rows[] = {
        {"c", RLK_E_TLS, RLK_CONN_WAITING, hung_up},
        {"x", RLK_E_TLS, RLK_CONN_WAITING, hung_up},
        {"f", RLK_E_TLS, RLK_CONN_WAITING, "words of TLS"},
        {"R", RLK_E_TLS_REFUSED, RLK_CONN_FATAL, "words of TLS"},
        {"rc", RLK_E_TLS, RLK_CONN_WAITING, hung_up},
        {"wx", RLK_E_TLS, RLK_CONN_WAITING, hung_up},
        {"rf", RLK_E_TLS, RLK_CONN_WAITING, "words of TLS"},
        {"rwR", RLK_E_TLS_REFUSED, RLK_CONN_FATAL, "words of TLS"},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer server;
        client c;

        tls_init(&c, &server, "127.0.0.1");
        server.mute = true;
        fake.handshake = rows[i].script;
        client_until(&c, rlk_conn_failures(&c.conn) == 1 || (client_service(&c, POLLIN), false));

        assert_result(rlk_conn_result(&c.conn), rows[i].result);
        assert_int_equal(rlk_conn_errno(&c.conn), 0);
        assert_int_equal(client_state(&c), rows[i].left);
        assert_server_text(&c.conn, rows[i].text);
        assert_int_equal(rlk_socket_fd(&c.sock), -1);
        assert_int_equal(fake.ended, 1);
        assert_int_equal(fake.notified, 0);
        assert_int_equal(rlk_socket_deadline(&c.sock), RLK_NEVER);

        assert_true(peer_accept(&server)); /* what is left of the first one */
        server.mute = false;
        tls_again(&c, &server);
        assert_string_equal(rlk_conn_text(&c.conn), "");
        client_exchange(&c, "hello");
        tls_end(&c, &server);
    }
}

/* What may pass is tried at the next address; what TLS said is kept if that one says less. What is
 * refused for good is not. */
static void test_socket_tls_failure_tries_the_next_address(void **state)
{
    static const struct {
        const char *script;
        unsigned connects;
        rlk_result result;
    } rows[] = {{"f", 2, RLK_E_TLS}, {"x", 2, RLK_E_TLS}, {"R", 1, RLK_E_TLS_REFUSED}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer server;
        client c;

        tls_init(&c, &server, "localhost"); /* 127.0.0.1, then ::1, where nobody listens */
        assert_string_equal(fake.name, "");
        fake.handshake = rows[i].script;
        client_until(&c, rlk_conn_failures(&c.conn) == 1);

        assert_int_equal(calls.connect, rows[i].connects);
        assert_result(rlk_conn_result(&c.conn), rows[i].result);
        assert_int_equal(rlk_conn_errno(&c.conn), 0);
        assert_string_equal(fake.name, "localhost");
        assert_int_equal(fake.ip_len, 0);
        tls_end(&c, &server);
    }
}

/* An address whose handshake is not answered has its part of the time, as one that does not take
 * the connect. That it was not says more than what becomes of the next one. */
static void test_socket_tls_handshake_is_part_of_the_connect_time(void **state)
{
    static const char silence[] = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";
    peer server;
    client c;

    (void)state;
    tls_init(&c, &server, "localhost");
    fake.handshake = silence;
    tls_connect(&c);
    assert_int_equal(rlk_socket_deadline(&c.sock), c.now_ms + CLIENT_CONNECT_MS / 2);
    c.now_ms = rlk_socket_deadline(&c.sock);
    client_service(&c, 0);
    assert_int_equal(calls.connect, 2);
    client_until(&c, rlk_conn_failures(&c.conn) == 1); /* refused */

    assert_result(rlk_conn_result(&c.conn), RLK_E_CONNECT_TIMEOUT);
    assert_int_equal(rlk_conn_errno(&c.conn), 0);
    assert_text_contains(rlk_conn_text(&c.conn), "no answer to TLS's handshake");
    assert_int_equal(fake.notified, 0);
    tls_end(&c, &server);

    tls_init(&c, &server, "127.0.0.1");
    fake.handshake = silence;
    tls_connect(&c);
    assert_int_equal(rlk_socket_deadline(&c.sock), RLK_NEVER); /* the connection's is enough */
    c.now_ms += CLIENT_CONNECT_MS;
    client_service(&c, 0);
    assert_ended(&c, RLK_E_CONNECT_TIMEOUT, 0);
    assert_int_equal(fake.ended, 1);
    assert_int_equal(fake.notified, 0);
    tls_end(&c, &server);
}

/* A close in the middle of it. */
static void test_socket_tls_closes_in_the_handshake(void **state)
{
    static const char *const scripts[] = {"rr", "wr"};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(scripts)); i++) {
        peer server;
        client c;

        tls_init(&c, &server, "127.0.0.1");
        fake.handshake = scripts[i];
        tls_connect(&c);
        tls_end(&c, &server);
        assert_int_equal(fake.notified, 0);
    }
}

/* A stream that breaks below the handshake: in a send, behind which it still reads, and in a
 * receive. */
static void test_socket_tls_handshake_on_a_broken_stream(void **state)
{
    peer server;
    client c;

    (void)state;
    tls_init(&c, &server, "127.0.0.1");
    server.mute = true;
    fake.handshake = "s";
    fault.send = EPIPE;
    client_until(&c, rlk_conn_failures(&c.conn) == 1);

    assert_ended(&c, RLK_E_TLS, EPIPE);
    assert_string_equal(rlk_conn_text(&c.conn), "the stream broke in the TLS handshake");
    tls_end(&c, &server);

    tls_init(&c, &server, "127.0.0.1");
    server.mute = true;
    fault.send = 0;
    fake.handshake = "rs";
    tls_connect(&c);
    wait_until(peer_accept(&server));

    peer_reset(&server);
    client_until(&c, rlk_conn_failures(&c.conn) == 1);

    assert_result(rlk_conn_result(&c.conn), RLK_E_TLS);
    assert_int_equal(rlk_conn_errno(&c.conn) == EPIPE || rlk_conn_errno(&c.conn) == ECONNRESET, 1);
    tls_end(&c, &server);
}

static void test_socket_tls_begin_fails(void **state)
{
    peer server;
    client c;

    (void)state;
    tls_init(&c, &server, "127.0.0.1");
    fake.no_memory = true;
    client_until(&c, rlk_conn_failures(&c.conn) == 1);

    assert_ended(&c, RLK_E_TLS, 0);
    assert_string_equal(rlk_conn_text(&c.conn), "no memory is left for TLS");

    fake.no_memory = false;
    fake.begin_fails = true;
    client_wait_backoff(&c);
    client_until(&c, rlk_conn_failures(&c.conn) == 2);

    assert_ended(&c, RLK_E_TLS, 0);
    assert_string_equal(rlk_conn_text(&c.conn), "words of TLS");

    fake.begin_fails = false;
    client_wait_backoff(&c);
    client_ready(&c);
    tls_end(&c, &server);
}

/* Such a name would be verified by nobody, or be that of many hosts: it is refused for good. */
static void test_socket_tls_refuses_what_is_no_name(void **state)
{
    char too_long[257];
    const char *const rows[] = {"", ".", ".example.com", too_long};
    size_t i;

    (void)state;
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer server;
        client c;

        tls_init(&c, &server, "127.0.0.1");
        fake.tls.server_name = rows[i];
        client_until(&c, rlk_conn_failures(&c.conn) == 1);

        assert_result(rlk_conn_result(&c.conn), RLK_E_TLS_REFUSED);
        assert_string_equal(rlk_conn_text(&c.conn),
                            "the server's name is empty or too long, or a dot is first");
        assert_int_equal(fake.begun, 0);
        tls_end(&c, &server);
    }
}

/* RFC 6066, 3: without the dot at its end, and SNI is for names. */
static void test_socket_tls_names_the_peer(void **state)
{
    static const struct {
        const char *name;
        const char *expected;
        unsigned ip_len;
        uint8_t first;
    } rows[] = {
        {NULL, "127.0.0.1", 4, 127},
        {"example.com", "example.com", 0, 0},
        {"example.com.", "example.com", 0, 0},
        {"10.0.0.1", "10.0.0.1", 4, 10},
        {"10.1", "10.1", 0, 0},
        {"::1", "::1", 16, 0},
        {"fe80::1%25eth0", "fe80::1", 16, 0xfe},
        {"%25eth0", "%25eth0", 0, 0},
        {"example.com%25eth0", "example.com%25eth0", 0, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer server;
        client c;

        tls_init(&c, &server, "127.0.0.1");
        fake.tls.server_name = rows[i].name;
        client_ready(&c);
        assert_string_equal(fake.name, rows[i].expected);
        assert_int_equal(fake.ip_len, rows[i].ip_len);
        assert_int_equal(fake.ip[0], rows[i].first);
        tls_end(&c, &server);
    }
}

/* A Unix socket has no TLS. */
static void test_socket_tls_is_not_for_unix_sockets(void **state)
{
    char *folder = support_folder_new();
    char path[200];
    char url[220];
    peer server;
    client c;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/socket", folder);
    (void)snprintf(url, sizeof url, "unix://%s", path);
    fake_init();
    peer_init_unix(&server, path);
    client_init(&c, url, NULL);
    rlk_socket_use_tls(&c.sock, &fake.tls);
    c.server = &server;
    client_ready(&c);
    assert_int_equal(fake.begun, 0);
    tls_end(&c, &server);
    support_folder_remove(folder);
    free(folder);
}

/* ---- Transfer ---------------------------------------------------------------------------- */

/* A read that wants to write goes on when the stream can be written, and not before. */
static void test_socket_tls_read_wants_to_write(void **state)
{
    peer server;
    client c;
    echo e;
    unsigned reads;

    (void)state;
    tls_start(&c, &server);
    client_submit(&c, &e, "hello");
    fake.read = "w";
    reads = fake.reads;
    client_service(&c, POLLIN);
    assert_int_equal(fake.reads, reads + 1);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN | POLLOUT);
    client_service(&c, 0);
    assert_int_equal(fake.reads, reads + 1);
    client_service(&c, POLLOUT);
    assert_int_equal(fake.reads, reads + 2);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN);
    tls_reply(&c, &e);
    tls_end(&c, &server);
}

/* A write is repeated with the same bytes (the backend checks), also when there are more. */
static void test_socket_tls_write_waits(void **state)
{
    peer server;
    client c;
    echo first;
    echo second;
    unsigned writes;

    (void)state;
    tls_start(&c, &server);
    fake.write = "wrw";
    writes = fake.writes;
    client_submit(&c, &first, "first");
    client_service(&c, 0);
    assert_int_equal(fake.writes, writes + 1);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN | POLLOUT);
    client_submit(&c, &second, "second");
    client_service(&c, 0);
    assert_int_equal(fake.writes, writes + 1);
    client_service(&c, POLLOUT); /* now it wants to read */
    assert_int_equal(fake.writes, writes + 2);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN); /* else a loop would turn idly */
    client_service(&c, 0);
    assert_int_equal(fake.writes, writes + 2);
    client_service(&c, POLLIN); /* and to write again */
    assert_int_equal(fake.writes, writes + 3);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN | POLLOUT);
    tls_reply(&c, &second);
    assert_true(first.good);
    tls_end(&c, &server);
}

/* Takes more reads than one turn has, when it is read byte by byte. */
static const char long_text[] = "a text that comes in more reads than RLK_SOCKET_ROUNDS, which is "
                                "the most of one turn";

/* A write waits for bytes that TLS has already: the descriptor won't show them. */
static void test_socket_tls_write_waits_for_pending_bytes(void **state)
{
    peer server;
    client c;
    echo first;
    echo second;
    unsigned writes;

    (void)state;
    tls_start(&c, &server);
    tls_request(&c, &server, &first, long_text);
    fake.hoards = true;
    fake.write = "r";
    writes = fake.writes;
    client_submit(&c, &second, "second");
    client_service(&c, POLLIN); /* reads some of them, and then writes */
    assert_int_equal(fake.writes, writes + 1);
    assert_int_equal(first.replies, 0);
    assert_int_equal(rlk_socket_deadline(&c.sock), 0);
    client_service(&c, 0);
    assert_int_equal(fake.writes, writes + 2);
    tls_reply(&c, &second);
    assert_true(first.good);
    tls_end(&c, &server);
}

/* Fault 33: byte by byte, in both directions. */
static void test_socket_tls_resumes_partial_writes_and_reads(void **state)
{
    static const char ones[] = "1111111111111111111111111111111111111111";
    peer server;
    client c;
    echo e;

    (void)state;
    tls_start(&c, &server);
    fake.write = ones;
    fake.read = ones;
    client_submit(&c, &e, "hello, hello");
    tls_reply(&c, &e);
    tls_end(&c, &server);
}

/* What TLS has read already, poll does not show. One call delivers no more than its share. */
static void test_socket_tls_pending_bytes_are_due_at_once(void **state)
{
    peer server;
    client c;
    echo e;
    unsigned reads;
    unsigned turns = 0;

    (void)state;
    tls_start(&c, &server);
    fake.hoards = true;
    tls_request(&c, &server, &e, long_text);
    reads = fake.reads;
    client_service(&c, POLLIN);
    assert_int_equal(fake.reads, reads + RLK_SOCKET_ROUNDS);
    assert_int_equal(rlk_socket_deadline(&c.sock), 0);
    while (e.replies == 0) {
        assert_true(turns++ < 100);
        assert_int_equal(client_poll(&c, 0) & POLLIN, 0);
        assert_int_equal(rlk_socket_deadline(&c.sock), 0);
        client_service(&c, 0);
    }
    assert_true(e.good);
    assert_int_equal(rlk_socket_deadline(&c.sock), RLK_NEVER);
    tls_end(&c, &server);
}

/* The connection gives the stream up in the middle of what TLS has. What is left of it is not read,
 * and the peer gets a close_notify. */
static void test_socket_tls_closes_when_asked_to(void **state)
{
    static const char words[] = "+OK\r\n+OK\r\n";
    peer server;
    client c;

    (void)state;
    tls_start(&c, &server);
    fake.hoards = true;
    peer_say(&server, words, sizeof words - 1);
    client_until(&c, rlk_conn_failures(&c.conn) == 1);

    assert_ended(&c, RLK_E_UNSOLICITED, 0);
    assert_int_equal(fake.hoard_len, 5);
    assert_int_equal(fake.notified, 1);
    tls_end(&c, &server);
}

/* Each end, found by a read and by a write. Fault 42: an end without close_notify has a result of
 * its own. No close_notify follows a failure. */
static void test_socket_tls_stream_ends(void **state)
{
    static const struct {
        const char *read;
        const char *write;
        rlk_result result;
        rlk_conn_state left;
        const char *text;
    } rows[] = {
        {"c", NULL, RLK_E_EOF, RLK_CONN_WAITING, ""},
        {"x", NULL, RLK_E_TLS_CUT, RLK_CONN_WAITING, ""},
        {"f", NULL, RLK_E_TLS, RLK_CONN_WAITING, "words of TLS"},
        {"R", NULL, RLK_E_TLS_REFUSED, RLK_CONN_FATAL, "words of TLS"},
        {NULL, "c", RLK_E_EOF, RLK_CONN_WAITING, ""},
        {NULL, "x", RLK_E_TLS_CUT, RLK_CONN_WAITING, ""},
        {NULL, "f", RLK_E_TLS, RLK_CONN_WAITING, "words of TLS"},
        {NULL, "R", RLK_E_TLS_REFUSED, RLK_CONN_FATAL, "words of TLS"},
        {NULL, "wx", RLK_E_TLS_CUT, RLK_CONN_WAITING, ""},
        {NULL, "rR", RLK_E_TLS_REFUSED, RLK_CONN_FATAL, "words of TLS"},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer server;
        client c;
        echo e;

        tls_start(&c, &server);
        client_submit(&c, &e, "hello");
        if (rows[i].read != NULL) {
            client_service(&c, 0); /* the request leaves */
        }
        fake.read = rows[i].read;
        fake.write = rows[i].write;
        c.server = NULL; /* no reply comes before */
        client_until(&c, e.losses == 1 || (client_service(&c, POLLIN), false));

        assert_true(e.maybe_sent);
        assert_result(rlk_conn_result(&c.conn), rows[i].result);
        assert_int_equal(rlk_conn_errno(&c.conn), 0);
        assert_int_equal(client_state(&c), rows[i].left);
        assert_string_equal(rlk_conn_text(&c.conn), rows[i].text);
        assert_int_equal(fake.ended, 1);
        assert_int_equal(fake.notified, 0);

        c.server = &server;
        tls_again(&c, &server);
        client_exchange(&c, "hello");
        tls_end(&c, &server);
    }
}

/* Sends a request into a stream that has broken, without having read what came before. */
static void tls_send_into_nothing(client *c, echo *e, int sys_errno)
{
    fault.send = sys_errno;
    client_submit(c, e, "late");
    client_service(c, 0);
    fault.send = 0;
    assert_int_equal(e->losses, 1);
    assert_true(e->maybe_sent);
}

/* The stream below breaks. What the server said before is still read: a reply, or an alert. */
static void test_socket_tls_stream_breaks(void **state)
{
    peer server;
    client c;
    echo first;
    echo late;

    (void)state;
    tls_start(&c, &server);
    tls_request(&c, &server, &first, "first");
    tls_send_into_nothing(&c, &late, EPIPE);
    assert_int_equal(first.replies, 1);
    assert_ended(&c, RLK_E_TLS_CUT, 0);
    assert_int_equal(fake.notified, 0);

    tls_again(&c, &server);
    fake.read = "R"; /* an alert */
    tls_send_into_nothing(&c, &late, ECONNRESET);
    assert_result(rlk_conn_result(&c.conn), RLK_E_TLS_REFUSED);

    tls_again(&c, &server);
    tls_send_into_nothing(&c, &late, ECONNRESET);
    assert_ended(&c, RLK_E_IO, ECONNRESET);

    tls_again(&c, &server);
    server.mute = true;
    client_submit(&c, &late, "late");
    client_service(&c, 0);
    peer_reset(&server);
    client_until(&c, late.losses == 1);

    assert_ended(&c, RLK_E_IO, ECONNRESET);
    tls_end(&c, &server);
}

/* Interrupted calls are tried again when poll says so. */
static void test_socket_tls_is_interrupted(void **state)
{
    peer server;
    client c;

    (void)state;
    tls_start(&c, &server);
    fault.send_interrupts = 1;
    fault.recv_interrupts = 1;
    client_exchange(&c, "hello");
    assert_int_equal(fault.send_interrupts, 0);
    assert_int_equal(fault.recv_interrupts, 0);
    tls_end(&c, &server);
}

/* The kernel is full. */
static void test_socket_tls_waits_when_the_kernel_is_full(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    tls_start(&c, &server);
    fault.send = EAGAIN;
    client_submit(&c, &e, "hello");
    client_service(&c, 0);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN | POLLOUT);
    fault.send = 0;
    tls_reply(&c, &e);
    tls_end(&c, &server);
}

/* Closed, or left after a time-out, in each state of a transfer: with close_notify, as nothing has
 * failed. */
static void test_socket_tls_closes_in_a_transfer(void **state)
{
    static const struct {
        const char *read;
        const char *write;
        bool by_time;
    } rows[] = {
        {NULL, NULL, false}, {"w", NULL, false}, {NULL, "w", false}, {NULL, "r", false},
        {NULL, NULL, true},  {"w", NULL, true},  {NULL, "w", true},  {NULL, "r", true},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer server;
        client c;
        echo e;

        tls_start(&c, &server);
        c.server = NULL;
        fake.read = rows[i].read;
        fake.write = rows[i].write;
        client_submit(&c, &e, "hello");
        client_service(&c, POLLIN);
        if (rows[i].by_time) {
            c.now_ms = rlk_conn_deadline(&c.conn);
            client_service(&c, 0);
            assert_ended(&c, RLK_E_RESPONSE_TIMEOUT, 0);
        } else {
            rlk_conn_close(&c.conn, c.now_ms);
            client_service(&c, 0);
        }
        assert_int_equal(e.losses, 1);
        assert_int_equal(fake.ended, 1);
        assert_int_equal(fake.notified, 1);
        peer_hang_up(&server);
        tls_end(&c, &server);
    }
}

/* rlk_socket_close sends nothing: it is what a forked child calls. */
static void test_socket_tls_close_sends_nothing(void **state)
{
    peer server;
    client c;

    (void)state;
    tls_start(&c, &server);
    rlk_socket_close(&c.sock);
    assert_int_equal(fake.ended, 1);
    assert_int_equal(fake.closed, 1);
    assert_int_equal(fake.notified, 0);
    rlk_socket_close(&c.sock);
    assert_int_equal(fake.closed, 1);
    tls_end(&c, &server);
}

/* ---- A recv that waits ------------------------------------------------------------------- */

/* One receive, and what it got is taken. */
static void wait_and_take(client *c, int wait_ms, rlki_socket_got *got)
{
    assert_true(rlki_socket_wait(&c->sock, wait_ms, c->now_ms, got));
    rlki_socket_take(&c->sock, got, c->now_ms);
}

/* One call of the system waits, and brings what comes; a second one does not wait. */
static void test_socket_tls_wait(void **state)
{
    rlki_socket_got got;
    peer server;
    client c;
    echo e;

    (void)state;
    tls_start(&c, &server);
    tls_request(&c, &server, &e, "hello");
    memset(&calls, 0, sizeof calls);
    assert_true(rlki_socket_wait(&c.sock, 5000, c.now_ms, &got));
    assert_true(got.len > 0);
    assert_int_equal(calls.recv, 1);
    assert_int_equal(e.replies, 0); /* deadlines come first */
    rlki_socket_take(&c.sock, &got, c.now_ms);
    assert_int_equal(e.replies, 1);
    assert_true(e.good);

    wait_and_take(&c, 50, &got); /* nothing comes */
    assert_int_equal(got.len, 0);
    assert_int_equal(got.error, 0);
    assert_int_equal(client_state(&c), RLK_CONN_READY);

    fault.recv_interrupts = 1; /* by a signal */
    wait_and_take(&c, 5000, &got);
    assert_int_equal(got.error, EINTR);

    fake.read = "w"; /* only poll knows when that goes on */
    wait_and_take(&c, 5000, &got);
    assert_false(rlki_socket_wait(&c.sock, 5000, c.now_ms, &got));
    client_service(&c, POLLOUT);
    client_exchange(&c, "hello");
    tls_end(&c, &server);
}

/* What TLS has read already is taken at once, by no call that waits. */
static void test_socket_tls_wait_with_pending_bytes(void **state)
{
    rlki_socket_got got;
    peer server;
    client c;
    echo e;

    (void)state;
    tls_start(&c, &server);
    fake.hoards = true;
    tls_request(&c, &server, &e, "hello, this is long");
    wait_and_take(&c, 5000, &got);
    assert_int_equal(got.len, 1);
    assert_int_equal(e.replies, 0);
    assert_int_equal(rlk_socket_deadline(&c.sock), 0);
    while (e.replies == 0) {
        assert_false(e.losses > 0);
        if (rlki_socket_wait(&c.sock, 5000, c.now_ms, &got)) {
            rlki_socket_take(&c.sock, &got, c.now_ms);
        }
    }
    assert_true(e.good);
    tls_end(&c, &server);
}

static void test_socket_tls_wait_ends(void **state)
{
    static const struct {
        const char *script;
        rlk_result result;
    } rows[] = {{"c", RLK_E_EOF}, {"x", RLK_E_TLS_CUT}, {"f", RLK_E_TLS}, {"R", RLK_E_TLS_REFUSED}};
    rlki_socket_got got;
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        peer server;
        client c;

        tls_start(&c, &server);
        fake.read = rows[i].script;
        wait_and_take(&c, 5000, &got);
        assert_result(rlk_conn_result(&c.conn), rows[i].result);
        assert_int_equal(fake.notified, 0);
        tls_end(&c, &server);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        socket_test(test_socket_tls_exchanges),
        socket_test(test_socket_tls_handshake_waits),
        socket_test(test_socket_tls_handshake_ends),
        socket_test(test_socket_tls_failure_tries_the_next_address),
        socket_test(test_socket_tls_handshake_is_part_of_the_connect_time),
        socket_test(test_socket_tls_closes_in_the_handshake),
        socket_test(test_socket_tls_handshake_on_a_broken_stream),
        socket_test(test_socket_tls_begin_fails),
        socket_test(test_socket_tls_refuses_what_is_no_name),
        socket_test(test_socket_tls_names_the_peer),
        socket_test(test_socket_tls_is_not_for_unix_sockets),
        socket_test(test_socket_tls_read_wants_to_write),
        socket_test(test_socket_tls_write_waits),
        socket_test(test_socket_tls_write_waits_for_pending_bytes),
        socket_test(test_socket_tls_resumes_partial_writes_and_reads),
        socket_test(test_socket_tls_pending_bytes_are_due_at_once),
        socket_test(test_socket_tls_closes_when_asked_to),
        socket_test(test_socket_tls_stream_ends),
        socket_test(test_socket_tls_stream_breaks),
        socket_test(test_socket_tls_is_interrupted),
        socket_test(test_socket_tls_waits_when_the_kernel_is_full),
        socket_test(test_socket_tls_closes_in_a_transfer),
        socket_test(test_socket_tls_close_sends_nothing),
        socket_test(test_socket_tls_wait),
        socket_test(test_socket_tls_wait_with_pending_bytes),
        socket_test(test_socket_tls_wait_ends),
    };

    return cmocka_run_group_tests_name("socket_tls", tests, NULL, NULL);
}
