/* SPDX-License-Identifier: MIT
 *
 * The POSIX driver once its stream is up: bytes in both directions.
 */
#include "socket_fixture.h"

#include <netinet/tcp.h>

/* The socket options that matter, and an exchange. */
static void test_socket_exchanges_over_tcp(void **state)
{
    peer server;
    client c;
    int value = 0;
    socklen_t len = sizeof value;
    int fd;

    (void)state;
    socket_start(&c, &server);
    client_exchange(&c, "hello");

    fd = rlk_socket_fd(&c.sock);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_equal(value, 1);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len), 0);
    assert_int_equal(value, 1);
    socket_end(&c, &server);
}

/* One send for a request, one recv for its reply, and nothing else. */
static void test_socket_needs_two_calls_for_an_exchange(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_start(&c, &server);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN);
    assert_true(rlk_socket_deadline(&c.sock) == RLK_NEVER);

    memset(&calls, 0, sizeof calls);
    client_submit(&c, &e, "hello");
    client_service(&c, 0);
    assert_int_equal(calls.send, 1);
    assert_int_equal(calls.recv, 0);
    peer_turn(&server);
    assert_int_equal(client_poll(&c, 5000), POLLIN);
    client_service(&c, POLLIN);
    assert_int_equal(e.replies, 1);
    assert_true(e.good);
    assert_int_equal(calls.send, 1);
    assert_int_equal(calls.recv, 1);

    client_service(&c, 0); /* nothing to do: no call */
    assert_int_equal(calls.send + calls.recv, 2);
    socket_end(&c, &server);
}

/* What a reply sets off leaves in the same call of service. */
static echo second;

static void submit_second(void *context, rlk_conn *conn, rlk_request *request,
                          const rlk_reply *reply, unsigned left)
{
    client_reply(context, conn, request, reply, left);
    if (request != &second.request) {
        rlk_conn_submit(conn, &second.request, rlk_conn_now(conn));
    }
}

static void test_socket_sends_after_reading(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_init(&c, &server);
    c.calls.reply = submit_second;
    client_ready(&c);
    memset(&second, 0, sizeof second);
    second.text = "second";
    second.len = 6;
    client_submit(&c, &e, "first");
    client_service(&c, 0);
    peer_turn(&server);
    memset(&calls, 0, sizeof calls);
    assert_int_equal(client_poll(&c, 5000), POLLIN);
    client_service(&c, POLLIN);
    assert_int_equal(calls.recv, 1);
    assert_int_equal(calls.send, 1);
    client_until(&c, second.replies == 1);

    assert_true(second.good);
    socket_end(&c, &server);
}

/* Fault 32. */
static void test_socket_reads_byte_by_byte(void **state)
{
    static const char reply[] = "$5\r\nhello\r\n";
    peer server;
    client c;
    echo e;
    size_t i;

    (void)state;
    socket_start_mute(&c, &server, &e, "hello");
    for (i = 0; i < sizeof reply - 1; i++) {
        assert_int_equal(e.replies, 0);
        peer_say(&server, reply + i, 1);
        assert_int_equal(client_poll(&c, 5000), POLLIN);
        client_service(&c, POLLIN);
    }
    assert_int_equal(e.replies, 1);
    assert_true(e.good);
    assert_int_equal(peer_read(&server), true);
    server.input_len = 0;
    server.mute = false;
    client_exchange(&c, "again");
    socket_end(&c, &server);
}

/* More than the window: read in rounds, whose number in one call is bounded. */
static void test_socket_bounds_the_reads_of_one_call(void **state)
{
    static char reply[16 + 6 * RLK_SOCKET_ROUNDS * sizeof((client *)NULL)->rx];
    const size_t len = sizeof reply - 16;
    peer server;
    client c;
    echo e;
    int head;

    (void)state;
    socket_start(&c, &server);
    server.mute = true;
    client_submit(&c, &e, "x");
    client_service(&c, 0);
    memset(reply, 'y', sizeof reply);
    head = snprintf(reply, 16, "$%zu\r\n", len);
    reply[head] = 'y';
    memcpy(reply + (size_t)head + len, "\r\n", 2);
    peer_say(&server, reply, (size_t)head + len + 2);

    memset(&calls, 0, sizeof calls);
    assert_int_equal(client_poll(&c, 5000), POLLIN);
    client_service(&c, POLLIN);
    assert_int_equal(calls.recv, RLK_SOCKET_ROUNDS);
    assert_int_equal(e.replies, 0);
    client_until(&c, e.replies == 1);

    socket_end(&c, &server);
}

/* Takes up to `len` bytes of what the client sent; 0 if there are none now. */
static size_t take(peer *server, char *out, size_t len)
{
    ssize_t n = recvfrom(server->fd, out, len, 0, NULL, NULL);

    assert_true(n >= 0 || errno == EAGAIN);
    return n > 0 ? (size_t)n : 0;
}

/* Fault 33. The kernel takes a part; the rest follows when it can, exactly. */
static void test_socket_resumes_partial_writes(void **state)
{
    enum {
        PAYLOAD = 1 << 20
    };
    static uint8_t tx[PAYLOAD + 64];
    static char payload[PAYLOAD];
    static char seen[PAYLOAD + 64];
    size_t seen_len = 0;
    rlk_conn_config config;
    peer server;
    client c;
    echo e;
    int small = 4096;
    int64_t end = support_now_ms() + 20000 * support_time_factor();
    unsigned sends;
    size_t n = 0;
    size_t i;

    (void)state;
    peer_init(&server, AF_INET);
    assert_int_equal(setsockopt(server.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    client_init_port(&c, "127.0.0.1", &server);
    memset(&config, 0, sizeof config); /* the same connection with a larger buffer */
    config.url = *rlk_conn_url(&c.conn);
    config.resp2_only = true;
    config.ring = c.ring;
    config.ring_len = COUNT_OF(c.ring);
    config.tx = tx;
    config.tx_cap = sizeof tx;
    config.rx = c.rx;
    config.rx_cap = sizeof c.rx;
    config.calls = c.conn.calls;
    assert_int_equal(rlk_conn_init(&c.conn, &config, c.now_ms), RLK_OK);
    client_ready(&c);
    server.mute = true;
    assert_int_equal(
        setsockopt(rlk_socket_fd(&c.sock), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (i = 0; i < PAYLOAD; i++) {
        payload[i] = (char)(i * 2654435761u >> 24);
    }
    memset(&e, 0, sizeof e);
    e.text = payload;
    e.len = PAYLOAD;
    rlk_conn_submit(&c.conn, &e.request, c.now_ms);
    client_service(&c, 0);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN | POLLOUT);
    sends = calls.send;
    client_service(&c, 0); /* full: not asked again before poll says so */
    assert_int_equal(calls.send, sends);

    while (rlk_socket_events(&c.sock) != POLLIN || n > 0) {
        short revents;

        n = take(&server, seen + seen_len, sizeof seen - seen_len);
        seen_len += n;
        revents = client_poll(&c, n == 0 ? 10 : 0);
        client_service(&c, revents);
        assert_true(support_now_ms() < end);
    }
    wait_until((n = take(&server, seen + seen_len, sizeof seen - seen_len), seen_len += n,
                seen_len >= PAYLOAD + 26));

    assert_int_equal(seen_len, PAYLOAD + 26);
    assert_memory_equal(seen, "*2\r\n$4\r\nECHO\r\n$1048576\r\n", 24);
    assert_memory_equal(seen + 24, payload, PAYLOAD);
    assert_memory_equal(seen + 24 + PAYLOAD, "\r\n", 2);
    socket_end(&c, &server);
}

/* Fault 33, nothing taken at all: no further call before poll allows it. */
static void test_socket_waits_when_the_kernel_is_full(void **state)
{
    peer server;
    client c;
    echo e;

    (void)state;
    socket_start(&c, &server);
    memset(&calls, 0, sizeof calls);
    fault.send = EAGAIN;
    client_submit(&c, &e, "hello");
    client_service(&c, 0);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN | POLLOUT);
    fault.send = 0;
    client_service(&c, 0);
    assert_int_equal(calls.send, 1);
    client_service(&c, POLLOUT);
    assert_int_equal(calls.send, 2);
    assert_int_equal(rlk_socket_events(&c.sock), POLLIN);
    client_until(&c, e.replies == 1);

    assert_true(e.good);
    socket_end(&c, &server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        socket_test(test_socket_exchanges_over_tcp),
        socket_test(test_socket_needs_two_calls_for_an_exchange),
        socket_test(test_socket_sends_after_reading),
        socket_test(test_socket_reads_byte_by_byte),
        socket_test(test_socket_bounds_the_reads_of_one_call),
        socket_test(test_socket_resumes_partial_writes),
        socket_test(test_socket_waits_when_the_kernel_is_full),
    };

    return cmocka_run_group_tests_name("socket_exchange", tests, NULL, NULL);
}
