/* SPDX-License-Identifier: MIT
 *
 * The proxy and the hostile server themselves: what other tests believe of them.
 */
#include "hostile.h"
#include "proxy.h"
#include "server.h"
#include "support.h"

#include "admin.h"
#include "stream_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- A client that is nothing but bytes ---- */

static int raw_connect(const char *url)
{
    stream_address address;

    stream_parse(&address, url);
    return stream_connect(&address);
}

static void raw_send(int fd, const char *bytes)
{
    assert_true(admin_send(fd, bytes, strlen(bytes)));
}

/* Reads until `want` has come; then nothing more may be there. */
static void raw_expect(int fd, const char *want)
{
    char got[512];
    size_t len = 0;

    memset(got, 0, sizeof got);
    while (len < strlen(want)) {
        struct pollfd ready = {fd, POLLIN, 0};
        ssize_t n;

        if (poll(&ready, 1, 10000) != 1)
            support_fail("only \"%s\" of \"%s\"", got, want);
        n = recv(fd, got + len, sizeof got - 1 - len, 0);
        if (n <= 0)
            support_fail("end after \"%s\" of \"%s\"", got, want);
        len += (size_t)n;
    }
    assert_string_equal(got, want);
}

/* 0: end of stream; else errno. */
static int raw_expect_end(int fd)
{
    struct pollfd ready = {fd, POLLIN, 0};
    char byte;
    ssize_t n;

    assert_int_equal(poll(&ready, 1, 10000), 1);
    n = recv(fd, &byte, 1, 0);
    if (n > 0)
        support_fail("a byte, %d, where the end should be", byte);
    return n == 0 ? 0 : errno;
}

/* Reads up to and with the first such text. */
static void raw_skip(int fd, const char *text)
{
    size_t matched = 0;
    char byte;

    while (text[matched] != '\0') {
        struct pollfd ready = {fd, POLLIN, 0};

        assert_int_equal(poll(&ready, 1, 10000), 1);
        assert_int_equal(recv(fd, &byte, 1, 0), 1);
        matched = byte == text[matched] ? matched + 1 : byte == text[0];
    }
}

static void raw_expect_silence(int fd, int ms)
{
    struct pollfd ready = {fd, POLLIN, 0};

    assert_int_equal(poll(&ready, 1, ms), 0);
}

#define SET_A "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
#define SET_B "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n"
#define GET_A "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
#define PING  "*1\r\n$4\r\nPING\r\n"

static server *redis;
static proxy *middle;
static int client;

/* A server, a proxy and a client; `tcp` of each side. */
static void begin(bool tcp)
{
    server_config config;

    memset(&config, 0, sizeof config);
    config.tcp = tcp;
    redis = server_start(&config);
    middle = proxy_start(tcp ? server_tcp_url(redis) : server_url(redis), tcp);
    client = raw_connect(proxy_url(middle));
    assert_true(client >= 0);
}

static void end(void)
{
    close(client);
    proxy_free(middle);
    server_free(redis);
}

/* ---- Proxy ---- */

static void test_support_proxy_passes(void **state)
{
    int tcp;

    (void)state;
    for (tcp = 0; tcp < 2; tcp++) {
        begin(tcp);
        raw_send(client, SET_A GET_A PING);
        raw_expect(client, "+OK\r\n$1\r\n1\r\n+PONG\r\n");
        assert_int_equal(proxy_count(middle, "set"), 1);
        assert_int_equal(proxy_count(middle, "GET a"), 1);
        assert_int_equal(proxy_accepted(middle), 1);
        assert_int_equal(proxy_links(middle), 1);
        assert_int_equal(proxy_bytes(middle, PROXY_TO_SERVER), strlen(SET_A GET_A PING));
        assert_int_equal(proxy_bytes(middle, PROXY_TO_CLIENT), 5 + 7 + 7);
        raw_send(client, "*1\r\n$4\r\nQUIT\r\n");
        raw_expect(client, "+OK\r\n");
        assert_int_equal(raw_expect_end(client), 0);
        wait_until(proxy_links(middle) == 0);

        end();
    }
}

/* The server executes a command exactly when its last byte is passed. */
static void test_support_proxy_cuts_at_byte(void **state)
{
    size_t all = strlen(SET_A);
    size_t n;
    int tcp;

    (void)state;
    for (tcp = 0; tcp < 2; tcp++) {
        begin(tcp);
        for (n = 1; n <= all + 3; n++) {
            bool whole = n >= all;

            server_do(redis, "CONFIG RESETSTAT");
            close(client);
            client = raw_connect(proxy_url(middle));
            proxy_cut_after(middle, PROXY_TO_SERVER, n, (n % 2) != 0 ? PROXY_FIN : PROXY_RST, true);
            raw_send(client, SET_A PING);
            if (whole)
                wait_until(server_calls(redis, "set") == 1);

            assert_int_equal(raw_expect_end(client), n % 2 != 0 || tcp == 0 ? 0 : ECONNRESET);
            wait_until(server_info(redis, "clients", "connected_clients") == 1);

            assert_int_equal(server_calls(redis, "set"), whole);
            assert_int_equal(server_calls(redis, "ping"), 0);
        }
        end();
    }
}

static void test_support_proxy_cuts_replies_at_byte(void **state)
{
    static const char reply[] = "+OK\r\n$1\r\n1\r\n";
    char part[32];
    size_t n;

    (void)state;
    begin(true);
    for (n = 1; n < sizeof reply - 1; n++) {
        close(client);
        client = raw_connect(proxy_url(middle));
        proxy_cut_after(middle, PROXY_TO_CLIENT, n, PROXY_FIN, true);
        raw_send(client, SET_A GET_A);
        snprintf(part, sizeof part, "%.*s", (int)n, reply);
        raw_expect(client, part);
        assert_int_equal(raw_expect_end(client), 0);
    }
    close(client);
    client = raw_connect(proxy_url(middle));
    proxy_cut_after(middle, PROXY_TO_CLIENT, 5, PROXY_RST, false);
    raw_send(client, SET_A);
    assert_int_equal(raw_expect_end(client), ECONNRESET);
    end();
}

static void test_support_proxy_drops_cut_bytes(void **state)
{
    (void)state;
    begin(false);
    proxy_cut_after(middle, PROXY_TO_SERVER, strlen(SET_A), PROXY_FIN, false);
    raw_send(client, SET_A);
    assert_int_equal(raw_expect_end(client), 0);
    assert_int_equal(server_calls(redis, "set"), 0);
    close(client);
    proxy_cut_after(middle, PROXY_TO_SERVER, 0, PROXY_FIN, true);
    client = raw_connect(proxy_url(middle));
    assert_int_equal(raw_expect_end(client), 0);
    end();
}

/* An answer has its place among the real replies, and a push is no reply. */
static void test_support_proxy_answers_in_turn(void **state)
{
    (void)state;
    begin(false);
    proxy_on(middle, "SET", 2, PROXY_ANSWER, "-LOADING Redis is loading\r\n");
    proxy_on(middle, "get", 1, PROXY_REWRITE, "$-1\r\n");
    proxy_on(middle, "PING", 1, PROXY_DUPLICATE, NULL);
    raw_send(client, SET_A SET_B GET_A PING PING);
    raw_expect(client, "+OK\r\n-LOADING Redis is loading\r\n$-1\r\n+PONG\r\n+PONG\r\n+PONG\r\n");
    assert_int_equal(server_integer(redis, "EXISTS a b"), 1);
    assert_int_equal(server_calls(redis, "get"), 1);

    proxy_on(middle, "SET a", 0, PROXY_ANSWER, "-OOM\r\n");
    raw_send(client, PING SET_A SET_A SET_B PING);
    raw_expect(client, "+PONG\r\n-OOM\r\n-OOM\r\n+OK\r\n+PONG\r\n");
    proxy_clear(middle);
    raw_send(client, SET_A);
    raw_expect(client, "+OK\r\n");

    /* RESP3: the map of HELLO is one reply; an invalidation before the answer stays a push */
    proxy_on(middle, "HELLO", 1, PROXY_REWRITE, "%0\r\n");
    raw_send(client, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
                     "*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n" GET_A);
    raw_expect(client, "%0\r\n+OK\r\n$1\r\n1\r\n");
    server_do(redis, "SET a 3");
    raw_expect(client, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
    proxy_on(middle, "PING", 1, PROXY_ANSWER, "+pong\r\n");
    raw_send(client, GET_A PING GET_A);
    raw_expect(client, "$1\r\n3\r\n+pong\r\n$1\r\n3\r\n");
    proxy_inject(middle, "+more\r\n", 7);
    raw_expect(client, "+more\r\n");
    end();
}

static void test_support_proxy_cuts_at_command(void **state)
{
    (void)state;
    begin(true);
    proxy_on(middle, "SET", 1, PROXY_CUT_BEFORE, NULL);
    raw_send(client, PING SET_A);
    assert_int_equal(server_calls(redis, "set"), 0);
    wait_until(proxy_links(middle) == 0);

    assert_int_equal(server_integer(redis, "EXISTS a"), 0);
    close(client);

    client = raw_connect(proxy_url(middle));
    proxy_on_bytes(middle, "SET", 1, PROXY_CUT_REPLY, PROXY_RST, NULL, 0);
    raw_send(client, SET_A);
    assert_int_equal(raw_expect_end(client), ECONNRESET);
    assert_int_equal(server_integer(redis, "EXISTS a"), 1);
    end();
}

/* Faults 34 and 65: the command arrives when the client has long gone. */
static void test_support_proxy_delivers_late(void **state)
{
    int again;

    (void)state;
    begin(true);
    proxy_on(middle, "SET", 1, PROXY_CUT_LATE, NULL);
    raw_send(client, PING SET_A);
    wait_until(proxy_count(middle, "SET") == 1);
    wait_until(proxy_links(middle) == 0);

    assert_int_equal(proxy_held(middle, PROXY_TO_SERVER), strlen(SET_A));
    again = raw_connect(proxy_url(middle));
    raw_send(again, GET_A);
    raw_expect(again, "$-1\r\n");
    proxy_release(middle);
    wait_until(server_integer(redis, "EXISTS a") == 1);

    close(again);

    /* the same by hand, and by the client's own close */
    assert_int_equal(server_integer(redis, "DEL a"), 1);
    close(client);
    client = raw_connect(proxy_url(middle));
    raw_send(client, PING);
    raw_expect(client, "+PONG\r\n");
    proxy_hold(middle, PROXY_TO_SERVER);
    raw_send(client, SET_A);
    close(client);
    wait_until(proxy_held(middle, PROXY_TO_SERVER) == strlen(SET_A));

    client = raw_connect(proxy_url(middle));
    raw_send(client, GET_A);
    raw_expect(client, "$-1\r\n");
    proxy_release(middle);
    wait_until(server_integer(redis, "EXISTS a") == 1);

    end();
}

static void test_support_proxy_holds(void **state)
{
    (void)state;
    begin(false);
    raw_send(client, PING);
    raw_expect(client, "+PONG\r\n");
    proxy_hold(middle, PROXY_TO_CLIENT);
    raw_send(client, SET_A);
    wait_until(server_calls(redis, "set") == 1);

    raw_expect_silence(client, 20);
    proxy_release(middle);
    raw_expect(client, "+OK\r\n");

    proxy_on(middle, "GET", 1, PROXY_HOLD, NULL);
    raw_send(client, PING GET_A PING);
    raw_expect(client, "+PONG\r\n");
    raw_expect_silence(client, 20);
    proxy_release(middle);
    raw_expect(client, "$1\r\n1\r\n+PONG\r\n");

    proxy_half_open(middle);
    wait_until(server_info(redis, "clients", "connected_clients") == 1);

    raw_send(client, PING);
    raw_expect_silence(client, 20);
    end();
}

static void test_support_proxy_slows(void **state)
{
    int64_t start_ms;

    (void)state;
    begin(false);
    proxy_dribble(middle, PROXY_TO_SERVER, 500);
    proxy_dribble(middle, PROXY_TO_CLIENT, 1000);
    start_ms = support_now_ms();
    raw_send(client, SET_A);
    raw_expect(client, "+OK\r\n");
    assert_true(support_now_ms() - start_ms >= (int64_t)strlen(SET_A) / 2);
    proxy_clear(middle);
    proxy_delay(middle, PROXY_TO_CLIENT, 60);
    start_ms = support_now_ms();
    raw_send(client, GET_A);
    raw_expect(client, "$1\r\n1\r\n");
    assert_true(support_now_ms() - start_ms >= 59);
    end();
}

static void test_support_proxy_drops_pushes(void **state)
{
    static const char push[] = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n";
    int round;

    (void)state;
    begin(false);
    raw_send(client, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
                     "*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n");
    raw_skip(client, "+OK\r\n");
    for (round = 0; round < 4; round++) {
        proxy_drop_pushes(middle, round % 2 == 1);
        raw_send(client, GET_A);
        raw_expect(client, round == 0 ? "_\r\n" : "$1\r\n1\r\n");
        server_do(redis, "SET a 1");
        if (round % 2 == 0)
            raw_expect(client, push);
        raw_send(client, PING);
        raw_expect(client, "+PONG\r\n");
    }
    end();
}

static void test_support_proxy_refuses_and_mutes(void **state)
{
    server *other;
    int tcp;

    (void)state;
    for (tcp = 0; tcp < 2; tcp++) {
        begin(tcp);
        proxy_refuse(middle, true);
        raw_send(client, PING);
        raw_expect(client, "+PONG\r\n");
        assert_int_equal(raw_connect(proxy_url(middle)), -1);
        proxy_refuse(middle, false);
        close(client);
        proxy_mute(middle, true);
        client = raw_connect(proxy_url(middle));
        raw_send(client, PING);
        raw_expect_silence(client, 20);
        proxy_release(middle);
        raw_expect(client, "+PONG\r\n");
        proxy_mute(middle, false);
        close(client);

        other = server_start(NULL);
        server_do(other, "SET a other");
        proxy_redirect(middle, server_url(other));
        client = raw_connect(proxy_url(middle));
        raw_send(client, GET_A);
        raw_expect(client, "$5\r\nother\r\n");
        server_kill(other);
        assert_int_equal(raw_expect_end(client), 0);
        server_free(other);
        end();
    }
}

/* What is not RESP goes through as it is, even with a rule set. */
static void test_support_proxy_passes_other_bytes(void **state)
{
    (void)state;
    begin(false);
    proxy_on(middle, "SET", 1, PROXY_ANSWER, "+no\r\n");
    raw_send(client, "PING\r\n");
    raw_expect(client, "+PONG\r\n");
    end();
}

/* ---- Hostile server ---- */

static void test_support_hostile_plays(void **state)
{
    static const hostile_step steps[] = {
        {"GET", "-NOAUTH\r\n", HOSTILE_STAY},
        {"PING", "+PONG\r\n", HOSTILE_REPEAT},
        {"GET", "$5\r\nhel", HOSTILE_RESET},
    };
    hostile *peer = hostile_start(steps, COUNT_OF(steps), true);
    int i;

    (void)state;
    for (i = 0; i < 2; i++) {
        client = raw_connect(hostile_url(peer));
        raw_send(client, PING GET_A SET_A PING);
        raw_expect(client, "+PONG\r\n-NOAUTH\r\n+OK\r\n+PONG\r\n");
        raw_send(client, GET_A);
        wait_until(hostile_count(peer, "GET") == 2 * (i + 1));

        close(client);
    }
    assert_int_equal(hostile_accepted(peer), 2);
    assert_int_equal(hostile_count(peer, ""), 10);
}

static void test_support_hostile_greets(void **state)
{
    static const hostile_step http[] = {{NULL, "HTTP/1.1 400 Bad Request\r\n\r\n", HOSTILE_CLOSE}};
    hostile *peer = hostile_greet("-ERR max number of clients reached\r\n", HOSTILE_CLOSE, true);

    (void)state;
    client = raw_connect(hostile_url(peer));
    raw_expect(client, "-ERR max number of clients reached\r\n");
    assert_int_equal(raw_expect_end(client), 0);
    close(client);
    peer = hostile_start(http, 1, false);
    client = raw_connect(hostile_url(peer));
    raw_send(client, PING);
    raw_expect(client, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_int_equal(raw_expect_end(client), 0);
    close(client);
}

static void test_support_hostile_black_hole(void **state)
{
    hostile *peer = hostile_black_hole();
    stream_address address;
    struct pollfd ready;

    (void)state;
    stream_parse(&address, hostile_url(peer));
    client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(client, &address.of.any, address.len), -1);
    ready = (struct pollfd){client, POLLOUT, 0};
    assert_int_equal(poll(&ready, 1, 150), 0);
    close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_support_proxy_passes),
        support_test(test_support_proxy_cuts_at_byte),
        support_test(test_support_proxy_cuts_replies_at_byte),
        support_test(test_support_proxy_drops_cut_bytes),
        support_test(test_support_proxy_answers_in_turn),
        support_test(test_support_proxy_cuts_at_command),
        support_test(test_support_proxy_delivers_late),
        support_test(test_support_proxy_holds),
        support_test(test_support_proxy_slows),
        support_test(test_support_proxy_drops_pushes),
        support_test(test_support_proxy_refuses_and_mutes),
        support_test(test_support_proxy_passes_other_bytes),
        support_test(test_support_hostile_plays),
        support_test(test_support_hostile_greets),
        support_test(test_support_hostile_black_hole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
