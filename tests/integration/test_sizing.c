/* SPDX-License-Identifier: MIT
 *
 * What docs/size.md calls enough memory is enough.
 */
#include "server.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

#define NODES    3
#define LOCKS    20 /* more than a ring has entries */
#define KEY_LEN  40
#define PREFIX   "some-host:"
#define PASSWORD "a-password-of-35-letters-and-digits"

#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define SIZING_TX                                                                                  \
    LARGER(LARGER(RLK_CONN_TX_MIN, RLK_CONN_TX_AUTH(0, sizeof PASSWORD - 1)),                      \
           RLK_TX_MIN_PREFIX(KEY_LEN, sizeof PREFIX - 1))

/* All the memory that there is. */
static struct {
    rlk_posix_client posix;
    rlk_posix_memory nodes[NODES];
    struct {
        rlk_conn_entry ring[RLK_CONN_RING_MIN];
        uint8_t tx[SIZING_TX];
        uint8_t rx[RLK_CONN_RX_MIN];
    } buffers[NODES];
    rlk_lock locks[LOCKS];
    char keys[LOCKS][KEY_LEN + 1];
} all;

static server *servers[NODES];

static void sizing_open(void)
{
    rlk_lock_config lock_config;
    const char *urls[NODES];
    rlk_posix_options options;
    server_config config;
    size_t i;

    memset(&config, 0, sizeof config);
    memset(&options, 0, sizeof options);
    memset(&lock_config, 0, sizeof lock_config);
    config.password = PASSWORD;
    options.password = PASSWORD;
    lock_config.token_prefix = PREFIX;
    for (i = 0; i < NODES; i++) {
        servers[i] = server_start(&config);
        urls[i] = server_url(servers[i]);
        all.nodes[i].ring = all.buffers[i].ring;
        all.nodes[i].ring_len = RLK_CONN_RING_MIN;
        all.nodes[i].tx = all.buffers[i].tx;
        all.nodes[i].tx_cap = SIZING_TX;
        all.nodes[i].rx = all.buffers[i].rx;
        all.nodes[i].rx_cap = RLK_CONN_RX_MIN;
    }
    assert_result(rlk_posix_open_nodes(&all.posix, urls, all.nodes, NODES, &options), RLK_OK);
    for (i = 0; i < LOCKS; i++) {
        snprintf(all.keys[i], sizeof all.keys[i], "%0*d", KEY_LEN, (int)i);
        assert_result(rlk_lock_init(&all.locks[i], &all.posix.client, all.keys[i], &lock_config),
                      RLK_OK);
    }
}

/* One turn of a loop, which waits no longer than this. */
static void sizing_serve(int longest_ms)
{
    struct pollfd fds[RLK_MAX_FDS];
    int timeout_ms;
    nfds_t n = rlk_posix_prepare(&all.posix, fds, RLK_MAX_FDS, &timeout_ms);

    poll(fds, n, timeout_ms < 0 || timeout_ms > longest_ms ? longest_ms : timeout_ms);
    rlk_posix_service(&all.posix, fds, n);
}

/* Until as many outcomes have come, all of this type. */
static void sizing_expect(int outcomes, rlk_operation operation)
{
    int64_t end_ms = support_now_ms() + INT64_C(10000) * support_time_factor();
    rlk_event event;

    while (outcomes > 0) {
        assert_between(support_now_ms(), 0, end_ms);
        sizing_serve(10000);
        while (rlk_client_next_event(&all.posix.client, &event)) {
            assert_end(&event, operation, RLK_OK);
            outcomes--;
        }
    }
}

/* The slowest node may have some to delete yet. */
static bool sizing_is_gone(server *redis)
{
    sizing_serve(1);
    return server_integer(redis, "DBSIZE") == 0;
}

static void test_sizing_least_memory_is_enough(void **state)
{
    rlk_holder holders[NODES];
    size_t i;

    (void)state;
    sizing_open();
    for (i = 0; i < LOCKS; i++)
        assert_result(rlk_acquire_start(&all.locks[i], RLK_FOREVER), RLK_PENDING);
    sizing_expect(LOCKS, RLK_OP_ACQUIRE);
    for (i = 0; i < LOCKS; i++)
        assert_result(rlk_extend_start(&all.locks[i], 60000), RLK_PENDING);
    sizing_expect(LOCKS, RLK_OP_EXTEND);
    for (i = 0; i < LOCKS; i++)
        assert_result(rlk_check_start(&all.locks[i]), RLK_PENDING);
    sizing_expect(LOCKS, RLK_OP_CHECK);
    /* a token of resplock with a prefix of 10 letters fits the least receive buffer */
    assert_result(rlk_query(&all.locks[0], holders, NODES), RLK_OK);
    assert_memory_equal(holders[0].token, PREFIX, sizeof PREFIX - 1);
    for (i = 0; i < LOCKS; i++)
        assert_result(rlk_release_start(&all.locks[i]), RLK_PENDING);
    sizing_expect(LOCKS, RLK_OP_RELEASE);
    for (i = 0; i < NODES; i++)
        wait_until(sizing_is_gone(servers[i]));

    for (i = 0; i < LOCKS; i++)
        assert_result(rlk_lock_close(&all.locks[i]), RLK_OK);
    rlk_posix_close(&all.posix);
}

/* One byte less, and it is said so at once. */
static void test_sizing_less_is_refused(void **state)
{
    const char *url = "unix:///nowhere";
    rlk_posix_options options;

    (void)state;
    memset(&options, 0, sizeof options);
    memset(&all.nodes[0], 0, sizeof all.nodes[0]);
    all.nodes[0].ring = all.buffers[0].ring;
    all.nodes[0].ring_len = RLK_CONN_RING_MIN;
    all.nodes[0].tx = all.buffers[0].tx;
    all.nodes[0].rx = all.buffers[0].rx;
    all.nodes[0].rx_cap = RLK_CONN_RX_MIN;

    options.password = PASSWORD;
    all.nodes[0].tx_cap = RLK_CONN_TX_AUTH(0, sizeof PASSWORD - 1) - 1;
    assert_result(rlk_posix_open_nodes(&all.posix, &url, all.nodes, 1, &options), RLK_E_BUFFER);
    options.password = NULL;
    all.nodes[0].tx_cap = RLK_TX_MIN(KEY_LEN) - 1;
    assert_result(rlk_posix_open_nodes(&all.posix, &url, all.nodes, 1, &options), RLK_OK);
    assert_result(rlk_lock_init_n(&all.locks[0], &all.posix.client, all.keys[0], KEY_LEN, NULL),
                  RLK_E_KEY);
    assert_result(rlk_lock_init_n(&all.locks[0], &all.posix.client, all.keys[0], KEY_LEN - 1, NULL),
                  RLK_OK);
    rlk_lock_close(&all.locks[0]);
    rlk_posix_close(&all.posix);
}

/* The figures that docs/size.md has in its text. */
static void test_sizing_formulas(void **state)
{
    (void)state;
    assert_int_equal(RLK_CONN_RING_MIN, 4);
    assert_int_equal(RLK_CONN_RX_MIN, 64);
    assert_int_equal(RLK_CONN_TX_MIN, 160);
    assert_int_equal(RLK_CONN_TX_AUTH(7, 11), 208 + 7 + 11);
    assert_int_equal(RLK_TX_MIN_PREFIX(20, 8), 160 + 2 * 20 + 8);
    assert_int_equal(RLK_TX_MIN(48), 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_sizing_least_memory_is_enough),
        support_test(test_sizing_less_is_refused),
        support_test(test_sizing_formulas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
