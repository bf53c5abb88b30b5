/* SPDX-License-Identifier: MIT
 *
 * tls_traffic.h: much through one stream of TLS, and streams that come again, for each backend. A
 * program includes it behind the header of its backend and these names:
 *     typedef rlk_openssl tls_backend;
 *     #define tls_backend_init rlk_openssl_init, and _close
 */
#ifndef TEST_TLS_TRAFFIC_H
#define TEST_TLS_TRAFFIC_H

#include "certificates.h"
#include "server.h"
#include "support.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TRAFFIC_LOCKS 1000

/* A server, and a client of it. */
typedef struct traffic {
    server *redis;
    tls_backend backend;
    rlk_posix_client client;
} traffic;

static traffic it;
static rlk_lock traffic_locks[TRAFFIC_LOCKS];
static char traffic_keys[TRAFFIC_LOCKS][16];

static void traffic_open(const char *versions)
{
    rlk_posix_options options;
    rlk_tls_config config;

    it.redis = certificate_server("DNS:localhost", versions);
    memset(&config, 0, sizeof config);
    config.ca_file = certificate_authority("ca");
    assert_result(tls_backend_init(&it.backend, &config), RLK_OK);
    memset(&options, 0, sizeof options);
    options.tls = &it.backend.tls;
    assert_result(rlk_posix_open(&it.client, server_tls_url(it.redis), &options), RLK_OK);
}

static void traffic_close(void)
{
    rlk_posix_close(&it.client);
    tls_backend_close(&it.backend);
    server_free(it.redis);
}

/* One turn of a loop; returns the number of events of this type. */
static unsigned traffic_turn(rlk_event_type type)
{
    struct pollfd fds[RLK_MAX_FDS];
    unsigned found = 0;
    rlk_event event;
    int timeout_ms;
    nfds_t n = rlk_posix_prepare(&it.client, fds, RLK_MAX_FDS, &timeout_ms);

    if (timeout_ms < 0 || timeout_ms > 100)
        timeout_ms = 100;
    (void)poll(fds, n, timeout_ms);
    assert_result(rlk_posix_service(&it.client, fds, n), RLK_OK);
    while (rlk_client_next_event(&it.client.client, &event)) {
        assert_int_equal(event.type, type);
        if (type == RLK_EV_RESULT)
            assert_result(event.result, RLK_OK);
        found++;
    }
    return found;
}

/* All locks at once over one stream, whose kernel takes little at a time and whose server takes
 * nothing for a while: each command arrives whole, and once (fault 33). */
static void test_tls_traffic_of_a_thousand_locks(void **state)
{
    static const char *const versions[] = {"TLSv1.2", "TLSv1.2 TLSv1.3"};
    static const rlk_lock_config config = {.ttl_ms = 600000}; /* none expires meanwhile */
    size_t row;

    (void)state;
    for (row = 0; support_row(row, COUNT_OF(versions)); row++) {
        int64_t end_ms = support_now_ms() + scaled(20000);
        unsigned done = 0;
        int small = 4096;
        rlk_lock first;
        size_t i;

        traffic_open(versions[row]);
        assert_result(rlk_lock_init(&first, &it.client.client, "first", NULL), RLK_OK);
        assert_result(rlk_acquire(&first, 10000), RLK_OK);
        assert_result(rlk_release(&first), RLK_OK);
        rlk_lock_close(&first);
        (void)setsockopt(rlk_socket_fd(&it.client.node.socket), SOL_SOCKET, SO_SNDBUF, &small,
                         sizeof small);
        server_pause(it.redis);
        for (i = 0; i < TRAFFIC_LOCKS; i++) {
            snprintf(traffic_keys[i], sizeof traffic_keys[i], "key:%zu", i);
            assert_result(
                rlk_lock_init(&traffic_locks[i], &it.client.client, traffic_keys[i], &config),
                RLK_OK);
            assert_result(rlk_acquire_start(&traffic_locks[i], RLK_FOREVER), RLK_PENDING);
            if (i % 100 == 0)
                (void)traffic_turn(RLK_EV_ACQUIRED);
        }
        server_resume(it.redis);
        while (done < TRAFFIC_LOCKS && support_now_ms() < end_ms)
            done += traffic_turn(RLK_EV_ACQUIRED);
        assert_int_equal(done, TRAFFIC_LOCKS);
        assert_int_equal(server_integer(it.redis, "DBSIZE"), TRAFFIC_LOCKS);
        for (i = 0; i < TRAFFIC_LOCKS; i++)
            assert_result(rlk_release_start(&traffic_locks[i]), RLK_PENDING);
        for (done = 0; done < TRAFFIC_LOCKS && support_now_ms() < end_ms;)
            done += traffic_turn(RLK_EV_RESULT);
        assert_int_equal(done, TRAFFIC_LOCKS);
        assert_int_equal(server_integer(it.redis, "DBSIZE"), 0);
        assert_int_equal(server_calls(it.redis, "set"), TRAFFIC_LOCKS + 1);
        assert_int_equal(server_calls(it.redis, "hello"), 1); /* one stream for all */
        for (i = 0; i < TRAFFIC_LOCKS; i++)
            rlk_lock_close(&traffic_locks[i]);
        traffic_close();
    }
}

/* One after the other, blocking: each reply is read when it is there. */
static void test_tls_traffic_one_after_the_other(void **state)
{
    const int rounds = 1000;
    rlk_lock lock;
    int i;

    (void)state;
    traffic_open(NULL);
    assert_result(rlk_lock_init(&lock, &it.client.client, "foobar", NULL), RLK_OK);
    for (i = 0; i < rounds; i++) {
        assert_result(rlk_acquire(&lock, 10000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
    }
    assert_int_equal(server_calls(it.redis, "set"), rounds);
    assert_int_equal(server_calls(it.redis, "hello"), 1);
    rlk_lock_close(&lock);
    traffic_close();
}

/* The server goes and comes, with its data and without; connections are killed. Each time the
 * client is back without a word from the program, and so is its lock. */
static void test_tls_traffic_over_a_server_that_comes_back(void **state)
{
    static const char *const versions[] = {"TLSv1.2", "TLSv1.2 TLSv1.3"};
    size_t row;

    (void)state;
    for (row = 0; support_row(row, COUNT_OF(versions)); row++) {
        rlk_lock lock;
        int round;

        traffic_open(versions[row]);
        assert_result(rlk_lock_init(&lock, &it.client.client, "foobar", NULL), RLK_OK);
        for (round = 0; round < 6; round++) {
            assert_result(rlk_acquire(&lock, 10000), RLK_OK);
            if (round % 3 == 0) {
                assert_int_equal(server_integer(it.redis, "CLIENT KILL TYPE normal SKIPME yes"), 1);
            } else if (round % 3 == 1) {
                server_save(it.redis);
                server_restart(it.redis, true);
            } else {
                server_restart(it.redis, false);
            }
            /* the extend needs the new stream */
            assert_result(rlk_extend(&lock, 1000), round % 3 == 2 ? RLK_NOT_OWNER : RLK_OK);
            if (round % 3 != 2)
                assert_result(rlk_release(&lock), RLK_OK);
        }
        rlk_lock_close(&lock);
        traffic_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tls_traffic_of_a_thousand_locks),
        support_test(test_tls_traffic_one_after_the_other),
        support_test(test_tls_traffic_over_a_server_that_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
