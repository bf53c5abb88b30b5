/* SPDX-License-Identifier: MIT
 *
 * Faults of the network, played on real servers behind a proxy: by the numbers of
 * docs/correctness.md. Nodes of a quorum that are cut off: test_quorum_cut_off.c.
 */
#include "hostile.h"
#include "name_book.h"
#include "nodes.h"
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static server *redis;
static proxy *middle;
static rlk_posix_client posix;
static rlk_lock lock;

/* Short times, so that what takes its time to fail takes little. */
static rlk_posix_options quick(void)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.connect_timeout_ms = 300;
    options.response_timeout_ms = INT64_C(300) * support_time_factor();
    options.backoff_max_ms = 50;
    options.operation_timeout_ms = INT64_C(2000) * support_time_factor();
    options.settle_timeout_ms = INT64_C(500) * support_time_factor();
    return options;
}

static void open_with(const char *url, const rlk_posix_options *options)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.node_timeout_ms =
        2 * options->response_timeout_ms; /* so that the connection gives up first */
    assert_result(rlk_posix_open(&posix, url, options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
}

static void open_at(const char *url)
{
    rlk_posix_options options = quick();

    open_with(url, &options);
}

static void open_behind_proxy(bool tcp)
{
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), tcp);
    open_at(proxy_url(middle));
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    support_teardown(NULL);
}

/* The connection is up, and nothing was locked. */
static void connect_now(void)
{
    rlk_holder holder;

    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
}

/* ---- No connection ------------------------------------------------------------------------ */

static void refused_at(const char *url, int expected_errno)
{
    int64_t start;

    open_at(url);
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CONNECT);
    assert_between(support_now_ms() - start, 0, 1000 * support_time_factor());
    assert_int_equal(rlk_conn_errno(rlk_client_conn(&posix.client, 0)), expected_errno);
    assert_contains(rlk_lock_error(&lock), "E_CONNECT");
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_result_event(&posix, RLK_OP_ACQUIRE, RLK_E_CONNECT);

    /* what waits rides it out until its deadline, and not longer */
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 200), RLK_E_CONNECT);
    assert_between(support_now_ms() - start, 200, 1500 * support_time_factor());
    assert_result(rlk_lock_close(&lock), RLK_OK); /* nothing was sent */
}

static void test_fault_27_refused_try_fails_at_once(void **state)
{
    (void)state;
    redis = server_start(&(server_config){.tcp = true});
    server_stop(redis);
    refused_at(server_tcp_url(redis), ECONNREFUSED);
    rlk_posix_close(&posix);
    refused_at(server_url(redis), ENOENT);
    rlk_posix_close(&posix);
    server_restart(redis, false);
    server_kill(redis); /* leaves its socket behind */
    refused_at(server_url(redis), ECONNREFUSED);
    rlk_posix_close(&posix);
}

/* ... and who waits long enough is served as soon as the server is there. */
static void test_fault_27_refused_until_the_server_comes(void **state)
{
    (void)state;
    redis = server_start(&(server_config){.tcp = true});
    server_stop(redis);
    open_at(server_tcp_url(redis));
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&posix, 200);
    server_restart(redis, false);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

static void test_fault_28_syn_black_hole_is_a_connect_timeout(void **state)
{
    hostile *hole = hostile_black_hole();
    rlk_posix_options patient = quick();
    int64_t start = support_now_ms();

    (void)state;
    open_at(hostile_url(hole));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CONNECT_TIMEOUT);
    assert_between(support_now_ms() - start, 300, 2000 * support_time_factor());
    assert_contains(rlk_lock_error(&lock), "E_CONNECT_TIMEOUT");
    assert_result(rlk_lock_close(&lock), RLK_OK);
    rlk_posix_close(&posix);
    /* the deadline of a call is shorter than the connect time: it holds all the same */
    patient.connect_timeout_ms = 20000;
    open_with(hostile_url(hole), &patient);
    start = support_now_ms();
    rlk_acquire(&lock, 100);
    assert_between(support_now_ms() - start, 100, 1500 * support_time_factor());
    assert_result(rlk_lock_close(&lock), RLK_OK);
    close_all();
}

/* ---- Cut ---------------------------------------------------------------------------------- */

/* Fault 29: RST before the SET was sent, at each step of the handshake: a clean failure, no doubt
 * about the key; and nothing at all to one who waits. */
static void test_fault_29_rst_before_set_sent_fails_cleanly(void **state)
{
    static const char *const steps[] = {"HELLO", "CLIENT", "INFO", "SCRIPT LOAD"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(steps); i++) {
        rlk_result result;

        open_behind_proxy(true);
        proxy_on_bytes(middle, steps[i], 0, PROXY_CUT_BEFORE, PROXY_RST, NULL, 0);
        proxy_on_bytes(middle, "EVAL", 0, PROXY_CUT_BEFORE, PROXY_RST, NULL, 0); /* fault 103 */
        result = rlk_acquire(&lock, RLK_TRY);
        if (proxy_count(middle, steps[i]) > 0) { /* a step that this handshake has */
            assert_true(result == RLK_E_IO || result == RLK_E_EOF);
            assert_int_equal(server_calls(redis, "set"), 0);
            assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
            loop_quiet(&posix, 100);
            proxy_clear(middle);
            assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
            assert_int_equal(server_calls(redis, "set"), 1);
            assert_result(rlk_release(&lock), RLK_OK);
        } else {
            assert_string_equal(steps[i], "CLIENT");
            assert_result(result, RLK_OK);
            assert_result(rlk_release(&lock), RLK_OK);
        }
        assert_result(rlk_lock_close(&lock), RLK_OK);
        close_all();
    }
}

/* Fault 29: a connection that was idle and is gone. */
static void test_fault_29_rst_of_an_idle_connection(void **state)
{
    (void)state;
    open_behind_proxy(true);
    connect_now();
    proxy_cut(middle, PROXY_RST);
    loop_quiet(&posix, 20); /* it is noticed, and connected again */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(server_calls(redis, "set"), 1);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    close_all();
}

/* Fault 31: FIN in the middle of a reply, at each of its bytes. The SET was executed: one who waits
 * finds that out and has the lock; so does one try, once: the stream may have been dead before. */
static void test_fault_31_fin_in_the_reply_to_set(void **state)
{
    const size_t len = strlen("+OK\r\n");
    size_t n;

    (void)state;
    for (n = 1; n < len; n++) {
        open_behind_proxy(n % 2 == 0);
        connect_now();
        proxy_cut_after(middle, PROXY_TO_CLIENT, n, PROXY_FIN, true);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_int_equal(server_calls(redis, "set"), 1); /* recognised, not set again */
        assert_result(rlk_release(&lock), RLK_OK);

        proxy_cut_after(middle, PROXY_TO_CLIENT, n, PROXY_FIN, true);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_int_equal(server_calls(redis, "set"), 2);
        assert_result(rlk_release(&lock), RLK_OK);
        assert_null(server_text(redis, "GET foobar"));
        assert_result(rlk_lock_close(&lock), RLK_OK);
        close_all();
    }
}

/* Fault 31, the other replies: a repeat is harmless, and what it says is right. */
static void test_fault_31_fin_in_the_other_replies(void **state)
{
    rlk_holder holder;
    rlk_result result;

    (void)state;
    open_behind_proxy(true);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxy_cut_after(middle, PROXY_TO_CLIENT, 3, PROXY_FIN, true);
    assert_result(rlk_extend(&lock, 30000), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 57000, 60000);
    assert_between(server_integer(redis, "PTTL foobar"), 57000, 60000);
    proxy_cut_after(middle, PROXY_TO_CLIENT, 3, PROXY_FIN, true);
    assert_result(rlk_check(&lock), RLK_OK);
    proxy_cut_after(middle, PROXY_TO_CLIENT, 30, PROXY_FIN, true);
    result = rlk_query(&lock, &holder, 1);
    assert_true(result == RLK_OK || result == RLK_E_EOF);
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_true(holder.ours);
    /* the lock was compared behind the reconnect: that reply must not be the one that is cut */
    assert_result(rlk_check(&lock), RLK_OK);
    proxy_cut_after(middle, PROXY_TO_CLIENT, 3, PROXY_FIN, true);
    assert_result(rlk_release(&lock), RLK_GONE); /* the first one did it; its answer was cut */
    assert_null(server_text(redis, "GET foobar"));
    close_all();
}

/* ---- Slow --------------------------------------------------------------------------------- */

/* Fault 32: one byte per read, both ways: the same results. */
static void test_fault_32_one_byte_at_a_time(void **state)
{
    rlk_posix_options patient = quick();
    rlk_holder holder;
    rlk_lock other;

    (void)state;
    /* a command of 150 bytes takes long on a busy machine */
    patient.response_timeout_ms = INT64_C(2000) * support_time_factor();
    patient.operation_timeout_ms = 2 * patient.response_timeout_ms;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), true);
    open_with(proxy_url(middle), &patient);
    proxy_dribble(middle, PROXY_TO_CLIENT, 20);
    proxy_dribble(middle, PROXY_TO_SERVER, 20);
    assert_result(rlk_lock_init(&other, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_BUSY);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    assert_between(server_integer(redis, "PTTL foobar"), 38000, 40000);
    assert_result(rlk_renew(&lock, 60000), RLK_OK);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_true(holder.ours);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_OK);
    assert_result(rlk_force_release(&lock), RLK_OK);
    assert_result(rlk_check(&other), RLK_NOT_OWNER);
    assert_int_equal(proxy_accepted(middle), 1); /* no reply was taken for a fault */
    rlk_lock_close(&other);
    close_all();
}

/*
 * Fault 33: partial writes. More than the kernel's buffers take, to a server that stands still: the
 * rest leaves when it goes on, from the very byte.
 */
#define WRITE_LOCKS 60
#define WRITE_KEY   15000

static char write_keys[WRITE_LOCKS][WRITE_KEY + 1];
static uint8_t write_tx[64 * 1024];
static uint8_t write_rx[1024];
static rlk_conn_entry write_ring[WRITE_LOCKS + 4];
static rlk_lock write_locks[WRITE_LOCKS];

static void write_open(void)
{
    static rlk_posix_memory memory;
    rlk_posix_options options = quick();
    const char *url;
    int i;

    redis = server_start(NULL);
    url = server_url(redis);
    memory.ring = write_ring;
    memory.ring_len = COUNT_OF(write_ring);
    memory.tx = write_tx;
    memory.tx_cap = sizeof write_tx;
    memory.rx = write_rx;
    memory.rx_cap = sizeof write_rx;
    options.response_timeout_ms = 20000;
    assert_result(rlk_posix_open_nodes(&posix, &url, &memory, 1, &options), RLK_OK);
    for (i = 0; i < WRITE_LOCKS; i++) {
        memset(write_keys[i], 'a' + i % 26, WRITE_KEY);
        snprintf(write_keys[i], 8, "%06d", i);
        write_keys[i][6] = ':';
        assert_result(rlk_lock_init(&write_locks[i], &posix.client, write_keys[i], NULL), RLK_OK);
    }
}

static void test_fault_33_partial_writes_are_resumed(void **state)
{
    rlk_holder holder;
    int i;

    (void)state;
    write_open();
    assert_result(rlk_query(&write_locks[0], &holder, 1), RLK_NOT_HELD);
    server_pause(redis);
    for (i = 0; i < WRITE_LOCKS; i++)
        assert_result(rlk_acquire_start(&write_locks[i], RLK_FOREVER), RLK_PENDING);
    loop_quiet(&posix, 200);
    server_resume(redis);
    for (i = 0; i < WRITE_LOCKS; i++)
        assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    for (i = 0; i < WRITE_LOCKS; i++) {
        char token[RLK_TOKEN_MAX + 1];

        rlk_lock_token(&write_locks[i], token, sizeof token);
        assert_string_equal(server_text(redis, "GET %s", write_keys[i]), token);
    }
    assert_int_equal(server_integer(redis, "DBSIZE"), WRITE_LOCKS);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&posix.client, 0)),
                     1); /* the same stream */
    for (i = 0; i < WRITE_LOCKS; i++)
        assert_result(rlk_release(&write_locks[i]), RLK_OK);
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    rlk_posix_close(&posix);
}

/* ---- One way only ------------------------------------------------------------------------- */

/* Fault 36: the server receives our bytes, and we receive none of its. Ambiguous: the response time
 * ends the stream, and behind the fence what was ours is recognised. */
static void test_fault_36_asymmetric_partition_is_recognised(void **state)
{
    (void)state;
    open_behind_proxy(true);
    connect_now();
    proxy_hold(middle, PROXY_TO_CLIENT);
    assert_result(rlk_acquire(&lock, 10000), RLK_OK);
    assert_int_equal(server_calls(redis, "set"), 1);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&posix.client, 0)), 2);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_null(server_text(redis, "GET foobar"));
    close_all();
}

/* Fault 36: new connections come to nothing either. The undo behind the SET has reached the server,
 * but without its answer that is not known: UNKNOWN, within the budget. When the network heals it
 * is settled, and the lock is as good as new. */
static void test_fault_36_asymmetric_partition_is_unknown(void **state)
{
    int64_t start;

    (void)state;
    open_behind_proxy(true);
    connect_now();
    proxy_hold(middle, PROXY_TO_CLIENT);
    proxy_mute(middle, true);
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 200), RLK_UNKNOWN);
    assert_between(support_now_ms() - start, 200, 200 + 1500 * support_time_factor());
    assert_false(rlk_is_held(&lock));
    assert_null(server_text(redis, "GET foobar"));
    assert_result(rlk_acquire(&lock, 100), RLK_UNKNOWN); /* no answer to the undo yet */
    proxy_mute(middle, false);
    proxy_release(middle);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* ---- Names -------------------------------------------------------------------------------- */

static void names_open(name_book *book)
{
    rlk_posix_options options = quick();

    options.resolver = &book->resolver;
    assert_result(rlk_posix_open(&posix, "redis://lock.example", &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
}

/* Fault 41: a name that has no address fails, in time, and works when it has one. */
static void test_fault_41_dns_fails(void **state)
{
    name_book book;
    int64_t start;

    (void)state;
    redis = server_start(&(server_config){.tcp = true});
    name_book_init(&book, 0);
    names_open(&book);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_RESOLVE);
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 200), RLK_E_RESOLVE);
    assert_between(support_now_ms() - start, 200, 1500 * support_time_factor());
    assert_true(book.asked >= 3); /* anew at each attempt */
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&posix, 50);
    name_book_means(&book, server_port(redis));
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* Fault 41: a name that has moved: the new address at the reconnect. */
static void test_fault_41_dns_changes(void **state)
{
    name_book book;
    server *moved;

    (void)state;
    redis = server_start(&(server_config){.tcp = true});
    moved = server_start(&(server_config){.tcp = true});
    name_book_init(&book, server_port(redis));
    names_open(&book);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    name_book_means(&book, server_port(moved));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK); /* the old stream is good yet */
    assert_int_equal(server_calls(moved, "set"), 0);
    assert_result(rlk_release(&lock), RLK_OK);
    server_kill(redis);
    loop_serve(&posix, 50); /* the end of the old stream is noticed before anything is sent */
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_non_null(server_text(moved, "GET foobar"));
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_27_refused_try_fails_at_once),
        support_test(test_fault_27_refused_until_the_server_comes),
        support_test(test_fault_28_syn_black_hole_is_a_connect_timeout),
        support_test(test_fault_29_rst_before_set_sent_fails_cleanly),
        support_test(test_fault_29_rst_of_an_idle_connection),
        support_test(test_fault_31_fin_in_the_reply_to_set),
        support_test(test_fault_31_fin_in_the_other_replies),
        support_test(test_fault_32_one_byte_at_a_time),
        support_test(test_fault_33_partial_writes_are_resumed),
        support_test(test_fault_36_asymmetric_partition_is_recognised),
        support_test(test_fault_36_asymmetric_partition_is_unknown),
        support_test(test_fault_41_dns_fails),
        support_test(test_fault_41_dns_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
