/* SPDX-License-Identifier: MIT
 *
 * tls_driver.h: what a lock promises, over TLS, on real servers and through a proxy that sees
 * nothing but bytes. A program includes it behind the header of its backend and these names:
 * typedef rlk_openssl tls_backend; #define tls_backend_init rlk_openssl_init, and _close, and
 * _error
 */
#ifndef TEST_TLS_DRIVER_H
#define TEST_TLS_DRIVER_H

#include "certificates.h"
#include "child.h"
#include "nodes.h"
#include "proxy.h"
#include "server.h"
#include "support.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static tls_backend backend;
static rlk_posix_client posix;
static rlk_lock lock;

/* ---- Fixture ------------------------------------------------------------------------------- */

static void tls_server_config(server_config *config, const char *names)
{
    const certificate_spec spec = {.names = names};
    static certificate cert; /* of the test under way */

    certificate_make(&cert, &spec);
    memset(config, 0, sizeof *config);
    config->tcp = true;
    config->tls_cert = cert.file;
    config->tls_key = cert.key_file;
}

static server *tls_server(void)
{
    server_config config;

    tls_server_config(&config, "DNS:localhost");
    return server_start(&config);
}

static server *plain_server(void)
{
    static const server_config config = {.tcp = true};

    return server_start(&config);
}

static void tls_init(void)
{
    rlk_tls_config config;

    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    assert_result(tls_backend_init(&backend, &config), RLK_OK);
}

/* Short times, so that a test that waits for one does not wait for long. */
static rlk_posix_options tls_options(void)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.tls = &backend.tls;
    options.response_timeout_ms = scaled(400);
    options.operation_timeout_ms = scaled(3000);
    options.backoff_min_ms = 1;
    options.backoff_max_ms = 10;
    return options;
}

static void tls_open_with(const char *url, const rlk_posix_options *options)
{
    assert_result(rlk_posix_open(&posix, url, options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", &config_unwatched), RLK_OK);
}

static void tls_open(const char *url)
{
    rlk_posix_options options = tls_options();

    tls_open_with(url, &options);
}

static void tls_close(void)
{
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    tls_backend_close(&backend);
    support_teardown(NULL);
}

/* The proxy before a server, over TLS. */
static const char *tls_url_of(const proxy *middle)
{
    static char url[64];

    snprintf(url, sizeof url, "rediss://localhost%s", strrchr(proxy_url(middle), ':'));
    return url;
}

static void cycle(void)
{
    assert_result(rlk_acquire(&lock, 3000 * support_time_factor()), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
}

/* ---- The fence ----------------------------------------------------------------------------- */

/* The connection ends with a SET on its way, which comes late. The next connection has the server
 * kill that stream first, so that the SET is not executed. */
static void test_tls_fence_of_a_command_on_its_way(void **state)
{
    server *redis = tls_server();
    proxy *middle = proxy_start(server_tcp_url(redis), true);

    (void)state;
    tls_init();
    tls_open(tls_url_of(middle));
    cycle();
    assert_int_equal(server_calls(redis, "client|kill"), 0);
    proxy_hold(middle, PROXY_TO_SERVER);
    assert_result(rlk_acquire(&lock, scaled(2000)), RLK_OK); /* by the next connection */
    assert_int_equal(proxy_accepted(middle), 2);
    assert_int_equal(server_calls(redis, "client|kill"), 1);
    assert_int_equal(server_calls(redis, "set"), 2);
    assert_string_equal(server_text(redis, "GET key"), token_of(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    proxy_release(middle);
    loop_serve(&posix, 50);
    assert_int_equal(server_calls(redis, "set"), 2);
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);
    tls_close();
}

/* The server's reply to a SET is lost: undone by the next connection, behind the fence. */
static void test_tls_fence_of_a_lost_reply(void **state)
{
    server *redis = tls_server();
    proxy *middle = proxy_start(server_tcp_url(redis), true);

    (void)state;
    tls_init();
    tls_open(tls_url_of(middle));
    cycle();
    proxy_hold(middle, PROXY_TO_CLIENT);
    assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
    serve_until(&posix, server_calls(redis, "set") >= 2);

    proxy_cut(middle, PROXY_RST);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(server_calls(redis, "client|kill"), 1);
    assert_string_equal(server_text(redis, "GET key"), token_of(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS key"), 0);
    tls_close();
}

/* ---- Ends of streams ----------------------------------------------------------------------- */

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* Fault 42: a server that dies sends no close_notify; one that hangs up does. Results distinguish
 * them, and the next connection goes on. No SIGPIPE comes (fault 48). */
static void test_fault_42_an_end_without_close_notify(void **state)
{
    server *redis = tls_server();

    (void)state;
    signals = 0;
    (void)signal(SIGPIPE, count_signal);
    tls_init();
    tls_open(server_tls_url(redis));
    cycle();
    assert_true(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes") > 0);
    serve_until(&posix, rlk_conn_failures(rlk_client_conn(&posix.client, 0)) == 1);

    assert_result(rlk_conn_result(rlk_client_conn(&posix.client, 0)), RLK_E_EOF);
    cycle();
    assert_result(rlk_acquire(&lock, 3000), RLK_OK);
    server_kill(redis);
    serve_until(&posix, rlk_conn_failures(rlk_client_conn(&posix.client, 0)) == 2);

    assert_result(rlk_conn_result(rlk_client_conn(&posix.client, 0)), RLK_E_TLS_CUT);
    assert_text_contains(rlk_client_error(&posix.client),
                         "E_TLS_CUT: the stream ended without TLS's close_notify");
    assert_int_equal(rlk_is_held(&lock), true); /* its time goes on */
    server_restart(redis, false);
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    cycle();
    tls_close();
    assert_int_equal(signals, 0);
    (void)signal(SIGPIPE, SIG_DFL);
}

/*
 * The stream is cut behind each byte of the handshake, in either direction, by FIN and RST in turn:
 * the next attempt goes on, and nothing waits for longer than it must. A slow backend is cut behind
 * each TLS_CUT_STEP-th byte: behind each one its sessions are, in tls_sessions.h.
 */
static void cut_the_handshake(proxy_direction direction)
{
    server *redis = tls_server();
    proxy *middle = proxy_start(server_tcp_url(redis), true);
    rlk_posix_options options;
    size_t step = support_time_factor() > 2 ? 151 : TLS_CUT_STEP;
    size_t whole;
    size_t n;

    tls_init();
    options = tls_options();
    tls_open(tls_url_of(middle));
    cycle();
    whole = proxy_bytes(middle, direction);
    assert_true(whole > 500);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    for (n = 1; n < whole; n += n < 16 ? 1 : step) {
        int accepted = proxy_accepted(middle);

        proxy_cut_after(middle, direction, n, n % 2 == 0 ? PROXY_FIN : PROXY_RST, true);
        assert_result(rlk_posix_open(&posix, tls_url_of(middle), &options), RLK_OK);
        assert_result(rlk_lock_init(&lock, &posix.client, "key", &config_unwatched), RLK_OK);
        if (rlk_acquire(&lock, 3000 * support_time_factor()) != RLK_OK)
            support_fail("cut behind %zu bytes: %s", n, rlk_lock_error(&lock));
        (void)rlk_release(&lock); /* GONE, if the cut comes here */
        rlk_lock_close(&lock);
        rlk_posix_close(&posix);
        proxy_clear(middle);
        server_do(redis, "FLUSHALL"); /* what a cut left, until it is settled */
        assert_between(proxy_accepted(middle) - accepted, 1, 3);
    }
    tls_backend_close(&backend);
    support_teardown(NULL);
}

static void test_tls_cut_behind_each_byte_of_the_server(void **state)
{
    (void)state;
    cut_the_handshake(PROXY_TO_CLIENT);
}

static void test_tls_cut_behind_each_byte_of_the_client(void **state)
{
    (void)state;
    cut_the_handshake(PROXY_TO_SERVER);
}

/* Fault 32 and 33, below TLS: one byte a read. Each byte needs its turn of a processor, so nothing
 * may time out. */
static void test_tls_byte_by_byte(void **state)
{
    server *redis = tls_server();
    proxy *middle = proxy_start(server_tcp_url(redis), true);
    rlk_posix_options options = tls_options();

    (void)state;
    options.connect_timeout_ms = scaled(60000);
    options.response_timeout_ms = scaled(60000);
    options.operation_timeout_ms = scaled(60000);
    proxy_dribble(middle, PROXY_TO_CLIENT, 20);
    proxy_dribble(middle, PROXY_TO_SERVER, 20);
    tls_init();
    options.tls = &backend.tls;
    tls_open_with(tls_url_of(middle), &options);
    assert_result(rlk_acquire(&lock, scaled(60000)), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire_start(&lock, scaled(60000)), RLK_PENDING);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    tls_close();
}

/* ---- What is refused ----------------------------------------------------------------------- */

/* A wrong certificate ends an acquire at once, whatever its deadline is, blocking and in a loop,
 * and the server gets no command. It stays so until the reset. */
static void test_tls_refusal_ends_an_acquire_at_once(void **state)
{
    server_config config;
    int64_t began_ms = support_now_ms();
    server *redis;
    rlk_event event;

    (void)state;
    tls_server_config(&config, "DNS:another.example");
    redis = server_start(&config);
    tls_init();
    tls_open(server_tls_url(redis));
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_TLS_REFUSED);
    assert_text_contains(rlk_lock_error(&lock), "acquire \"key\": E_TLS_REFUSED: TLS refused");
    assert_text_contains(rlk_lock_error(&lock), "another.example");
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_TLS_REFUSED);
    assert_result(rlk_client_check(&posix.client), RLK_E_TLS_REFUSED);
    assert_text_contains(rlk_client_error(&posix.client), "E_TLS_REFUSED: TLS refused");
    assert_int_equal(rlk_conn_failures(rlk_client_conn(&posix.client, 0)), 1);
    assert_result(rlk_client_reset(&posix.client), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_true(loop_next_event(&posix, &event, 5000));
    assert_end(&event, RLK_OP_ACQUIRE, RLK_E_TLS_REFUSED);
    assert_int_equal(rlk_conn_failures(rlk_client_conn(&posix.client, 0)), 2);
    assert_true(support_now_ms() - began_ms < 5000 * support_time_factor());
    assert_int_equal(server_calls(redis, "hello"), 0);

    server_free(redis); /* mended */
    backend.tls.server_name = "another.example";
    tls_server_config(&config, "DNS:another.example");
    redis = server_start(&config);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    tls_open(server_tls_url(redis));
    backend.tls.server_name = "no.example";
    assert_result(rlk_acquire(&lock, 3000), RLK_E_TLS_REFUSED);
    backend.tls.server_name = "another.example";
    assert_result(rlk_client_reset(&posix.client), RLK_OK);
    cycle();
    tls_close();
}

static size_t tls_holding(server *const *servers)
{
    size_t holding = 0;
    size_t i;

    for (i = 0; i < 3; i++)
        holding += (size_t)server_integer(servers[i], "EXISTS key");
    return holding;
}

/* One of three servers has a wrong certificate: the others are a quorum. Of two, they are none. */
static void test_tls_quorum(void **state)
{
    static nodes set;
    server *servers[3];
    const char *urls[3];
    rlk_posix_options options;
    server_config config;
    size_t wrong;
    size_t i;

    (void)state;
    for (wrong = 0; wrong < 3; wrong++) {
        for (i = 0; i < 3; i++) {
            tls_server_config(&config, i < wrong ? "DNS:wrong.example" : "DNS:localhost");
            servers[i] = server_start(&config);
            urls[i] = server_tls_url(servers[i]);
        }
        tls_init();
        options = tls_options();
        nodes_open_urls(&set, urls, 3, &options);
        assert_result(rlk_lock_init(&lock, &set.posix.client, "key", NULL), RLK_OK);
        if (wrong < 2) {
            assert_result(rlk_acquire(&lock, 3000), RLK_OK);
            assert_true(tls_holding(servers) >= 2); /* the third may follow */
            assert_result(rlk_extend(&lock, 30000), RLK_OK);
            assert_result(rlk_release(&lock), RLK_OK);
            assert_result(rlk_acquire_start(&lock, 3000), RLK_PENDING);
            assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
            serve_until(&set.posix, tls_holding(servers) == 3 - wrong);

            server_kill(servers[2]);
            assert_result(rlk_release(&lock), wrong == 0 ? RLK_OK : RLK_UNKNOWN);
        } else {
            assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_TLS_REFUSED);
            assert_text_contains(rlk_lock_error(&lock), "of 3 nodes answer");
        }
        rlk_lock_close(&lock);
        nodes_close(&set);
        tls_backend_close(&backend);
        support_teardown(NULL);
    }
}

static void test_tls_urls(void **state)
{
    static const struct {
        const char *url;
        bool tls;
        rlk_result result;
        const char *text;
    } rows[] = {
        {"rediss://localhost", false, RLK_E_URL_TLS, "options.tls = &tls.tls"},
        {"valkeys://localhost:1/2", false, RLK_E_URL_TLS, "rlk_openssl_init(&tls"},
        {"redis://localhost", true, RLK_E_URL_PLAIN, "write rediss:// or valkeys://"},
        {"valkey://localhost", true, RLK_E_URL_PLAIN, "options.tls is set"},
        {"rediss://a,b", true, RLK_E_URL_HOST, "host is malformed"},
        {"rediss://localhost:0", false, RLK_E_URL_PORT, "port is not"},
        {"rediss://localhost/x", true, RLK_E_URL_DB, "database is not"},
        {"rediss://localhost", true, RLK_OK, ""},
        {"valkeys://user:secret@localhost:1/2", true, RLK_OK, ""},
        {"RedisS://", true, RLK_OK, ""},
        {"unix:///run/redis.sock", true, RLK_OK, ""},
        {"unix:///run/redis.sock", false, RLK_OK, ""},
    };
    rlk_posix_options options;
    size_t i;

    (void)state;
    tls_init();
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        memset(&options, 0, sizeof options);
        options.tls = rows[i].tls ? &backend.tls : NULL;
        assert_result(rlk_posix_open(&posix, rows[i].url, &options), rows[i].result);
        if (rows[i].result == RLK_OK)
            rlk_posix_close(&posix);
        else
            assert_text_contains(rlk_client_error(&posix.client), rows[i].text);
    }
    tls_backend_close(&backend);
    memset(&options, 0, sizeof options);
    memset(&backend.tls, 0, sizeof backend.tls); /* as a failed init leaves it */
    options.tls = &backend.tls;
    assert_result(rlk_posix_open(&posix, "rediss://localhost", &options), RLK_E_ARGUMENT);
    assert_text_contains(rlk_client_error(&posix.client),
                         "range; options.tls is not ready: has its init failed?");
}

/* TLS to a plain port, whose server answers in words or not at all; and the reverse, whose server
 * hangs up. Nothing is executed. */
static void test_tls_and_plain_do_not_meet(void **state)
{
    server *plain = plain_server();
    server *secure = tls_server();
    rlk_posix_options options;
    rlk_result result;
    char url[64];

    (void)state;
    tls_init();
    snprintf(url, sizeof url, "rediss://localhost:%d", server_port(plain));
    options = tls_options();
    options.connect_timeout_ms = scaled(300);
    assert_result(rlk_posix_open(&posix, url, &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", NULL), RLK_OK);
    result = rlk_acquire(&lock, scaled(1500));
    if (result == RLK_E_TLS_REFUSED)
        assert_text_contains(rlk_lock_error(&lock), "server speaks no TLS at this port");
    else
        assert_result(result, RLK_E_CONNECT_TIMEOUT);
    assert_int_equal(server_calls(plain, "hello") + server_calls(plain, "set"), 0);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);

    snprintf(url, sizeof url, "redis://localhost:%d", server_port(secure));
    options = tls_options();
    options.tls = NULL;
    assert_result(rlk_posix_open(&posix, url, &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", NULL), RLK_OK);
    assert_true(rlk_acquire(&lock, 500) < 0);
    assert_text_contains(rlk_lock_error(&lock), "is it a TLS port?");
    assert_int_equal(server_calls(secure, "hello") + server_calls(secure, "set"), 0);
    tls_close();
}

/* ---- Waiting, signals, processes ----------------------------------------------------------- */

/* A wait of a blocking call, in recv, ends by a push, and by a signal. */
static void test_tls_blocking_wait(void **state)
{
    const struct itimerval repeated = {{0, 100000},
                                       {0, 100000}}; /* between two waits one is lost */
    const struct itimerval never = {{0, 0}, {0, 0}};
    struct sigaction action;
    server *redis = tls_server();
    rlk_posix_options options;
    rlk_posix_client other;
    rlk_lock held;

    (void)state;
    memset(&action, 0, sizeof action);
    action.sa_handler = count_signal;
    sigaction(SIGALRM, &action, NULL);
    signals = 0;
    tls_init();
    options = tls_options();
    options.return_on_signal = true;
    assert_result(rlk_posix_open(&posix, server_tls_url(redis), &options), RLK_OK);
    assert_result(rlk_posix_open(&other, server_tls_url(redis), &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", &config_unwatched), RLK_OK);
    assert_result(rlk_lock_init(&held, &other.client, "key", &config_unwatched), RLK_OK);
    assert_result(rlk_acquire(&held, 3000), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY); /* connected: what waits now is recv */
    setitimer(ITIMER_REAL, &repeated, NULL);
    assert_result(rlk_acquire(&lock, 20000), RLK_CANCELLED);
    setitimer(ITIMER_REAL, &never, NULL);
    assert_true(signals > 0);
    assert_result(rlk_release(&held), RLK_OK);
    assert_result(rlk_acquire(&lock, 3000), RLK_OK);
    rlk_lock_close(&held);
    rlk_posix_close(&other);
    assert_result(rlk_release(&lock), RLK_OK);
    (void)signal(SIGALRM, SIG_DFL);
    tls_close();
}

/* In a loop: a release by another client wakes the waiter, and nothing turns idly. */
static void test_tls_loop_wait(void **state)
{
    server *redis = tls_server();
    rlk_event event;
    int turns = 0;
    int64_t end_ms;

    (void)state;
    tls_init();
    tls_open(server_tls_url(redis));
    server_do(redis, "SET key somebody");
    assert_result(rlk_acquire_start(&lock, 20000), RLK_PENDING);
    serve_until(&posix, server_calls(redis, "pttl") >= 1);

    end_ms = support_now_ms() + 300;
    while (support_now_ms() < end_ms) {
        struct pollfd fds[RLK_MAX_FDS];
        int timeout_ms;
        nfds_t n = rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout_ms);

        assert_int_equal(n, 1);
        assert_int_equal(fds[0].events, POLLIN);
        (void)poll(fds, n, timeout_ms < 0 || timeout_ms > 300 ? 300 : timeout_ms);
        assert_result(rlk_posix_service(&posix, fds, n), RLK_OK);
        turns++;
    }
    assert_true(turns < 20);
    server_integer(redis, "DEL key");
    assert_true(loop_next_event(&posix, &event, 2000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_result(rlk_release(&lock), RLK_OK);
    tls_close();
}

/* Cancelled, and closed, in each state of the handshake; no reply comes to what has been sent. */
static void test_tls_cancel_in_the_handshake(void **state)
{
    static const size_t held[] = {0, 1, 100, 700};
    server *redis = tls_server();
    size_t i;

    (void)state;
    tls_init();
    for (i = 0; support_row(i, COUNT_OF(held)); i++) {
        proxy *middle = proxy_start(server_tcp_url(redis), true);

        if (held[i] == 0)
            proxy_mute(middle, true);
        else
            proxy_hold_after(middle, PROXY_TO_CLIENT, held[i]);
        tls_open(tls_url_of(middle));
        assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
        loop_serve(&posix, 30);
        assert_result(rlk_cancel(&lock), RLK_OK);
        assert_event(&posix, RLK_EV_RESULT, RLK_CANCELLED);
        rlk_lock_close(&lock);
        rlk_posix_close(&posix);
        proxy_free(middle);
    }
    tls_open(server_tls_url(redis));
    cycle();
    assert_int_equal(server_calls(redis, "set"), 1);
    tls_close();
}

/* Fault 45: a child that closes sends nothing over the stream of its parent, not even a
 * close_notify. */
static void test_fault_45_a_child_leaves_the_tls_stream(void **state)
{
    server *redis = tls_server();
    pid_t child;

    (void)state;
    tls_init();
    tls_open(server_tls_url(redis));
    assert_result(rlk_acquire(&lock, 3000 * support_time_factor()), RLK_OK);
    child = child_fork();
    if (child == 0) {
        CHILD_CHECK(rlk_extend(&lock, 1000) == RLK_E_FORKED);
        rlk_posix_close(&posix);
        tls_backend_close(&backend);
        _exit(0);
    }
    assert_int_equal(child_exit_code(child), 0);
    loop_serve(&posix, 50); /* the server would answer a close_notify, and hang up */
    assert_result(rlk_extend(&lock, 30000), RLK_OK);
    assert_int_equal(rlk_conn_failures(rlk_client_conn(&posix.client, 0)), 0);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&posix.client, 0)), 1);
    assert_result(rlk_release(&lock), RLK_OK);
    tls_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_fence_of_a_command_on_its_way),
        support_test(test_tls_fence_of_a_lost_reply),
        support_test(test_fault_42_an_end_without_close_notify),
        support_test(test_tls_cut_behind_each_byte_of_the_server),
        support_test(test_tls_cut_behind_each_byte_of_the_client),
        support_test(test_tls_byte_by_byte),
        support_test(test_tls_refusal_ends_an_acquire_at_once),
        support_test(test_tls_quorum),
        support_test(test_tls_urls),
        support_test(test_tls_and_plain_do_not_meet),
        support_test(test_tls_blocking_wait),
        support_test(test_tls_loop_wait),
        support_test(test_tls_cancel_in_the_handshake),
        support_test(test_fault_45_a_child_leaves_the_tls_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
