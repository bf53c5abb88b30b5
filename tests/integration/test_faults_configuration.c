/* SPDX-License-Identifier: MIT
 *
 * Faults of configuration, by the numbers of docs/correctness.md, as they show on real nodes: times
 * that make no lease, servers listed twice, even numbers of nodes, keys of any bytes.
 */
#include "nodes.h"

#include <string.h>

static nodes set;
static rlk_lock lock;

/* Three nodes that are connected, and `lock` on "foobar". */
static void begin_with_three(const rlk_lock_config *config)
{
    rlk_holder holders[3];

    nodes_start(&set, 3, NULL, NULL);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", config), RLK_OK);
    assert_result(rlk_query(&lock, holders, 3), RLK_NOT_HELD);
}

/* A quorum has said that it is released: the others follow. */
static void assert_released(void)
{
    wait_until(nodes_holding(&set, "foobar", NULL) == 0 || (loop_serve(&set.posix, 1), false));
}

/* ---- Faults 56 and 57: times ---------------------------------------------------------------- */

static const int64_t bad_ttls[] = {
    INT64_MIN, -RLK_TTL_MAX, -1000, RLK_TTL_MAX + 1, INT64_C(4294967297), INT64_MAX,
};

/* Fault 56: 0, negative and overflowing: refused here, and nothing is sent; what is held stays. */
static void test_fault_56_ttl_out_of_range(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    int64_t calls;
    int64_t left_ms;
    size_t i;

    (void)state;
    nodes_start(&set, 3, NULL, NULL);
    for (i = 0; i < COUNT_OF(bad_ttls); i++) {
        config.ttl_ms = bad_ttls[i];
        assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config), RLK_E_TTL);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CLOSED);
    }
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config_unwatched), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    calls = server_calls(set.servers[0], "evalsha");
    left_ms = rlk_remaining_ms(&lock);
    for (i = 0; i < COUNT_OF(bad_ttls); i++) {
        assert_result(rlk_extend(&lock, bad_ttls[i]), RLK_E_TTL);
        assert_result(rlk_extend_start(&lock, bad_ttls[i]), RLK_E_TTL);
        assert_result(rlk_renew(&lock, bad_ttls[i]), RLK_E_TTL);
        assert_result(rlk_renew_start(&lock, bad_ttls[i]), RLK_E_TTL);
    }
    assert_result(rlk_extend(&lock, 0), RLK_E_TTL);
    assert_result(rlk_extend(&lock, RLK_DEFAULT), RLK_E_TTL); /* extend has no default */
    assert_result(rlk_renew(&lock, 0), RLK_E_TTL);
    assert_int_equal(server_calls(set.servers[0], "evalsha"), calls);
    assert_between(rlk_remaining_ms(&lock), left_ms - 5000, left_ms);
    assert_result(rlk_release(&lock), RLK_OK);
    nodes_close(&set);
}

/* Fault 56, the greatest one: it works, and can't be extended beyond. */
static void test_fault_56_greatest_ttl(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();

    (void)state;
    config.ttl_ms = RLK_TTL_MAX;
    begin_with_three(&config);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), RLK_TTL_MAX / 100 * 98, RLK_TTL_MAX / 100 * 99);
    assert_between(server_integer(set.servers[2], "PTTL foobar"), RLK_TTL_MAX - 10000, RLK_TTL_MAX);
    support_sleep_ms(20);
    assert_result(rlk_extend(&lock, RLK_TTL_MAX), RLK_OK); /* up to the cap */
    assert_between(server_integer(set.servers[0], "PTTL foobar"), RLK_TTL_MAX - 10000, RLK_TTL_MAX);
    assert_result(rlk_renew(&lock, RLK_TTL_MAX), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_released();
    nodes_close(&set);
}

/* Fault 57: a lease that drift and one try on a node would use up. The least one that is taken is
 * really held, by a little. */
static void test_fault_57_ttl_within_drift_and_node_time(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    const int64_t node_timeout_ms = 300;
    int64_t ttl_ms;

    (void)state;
    nodes_start(&set, 3, NULL, NULL);
    config.node_timeout_ms = node_timeout_ms;
    for (ttl_ms = 1; ttl_ms <= node_timeout_ms + 2; ttl_ms++) {
        config.ttl_ms = ttl_ms;
        assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config), RLK_E_TTL);
    }
    config.ttl_ms = node_timeout_ms + 20;
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_acquire(&lock, INT64_C(5000) * support_time_factor()), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 0, node_timeout_ms + 20 - 5);
    assert_result(rlk_renew(&lock, node_timeout_ms + 2), RLK_E_TTL);
    rlk_release(&lock);
    assert_released();
    nodes_close(&set);
}

/* ---- Faults 58, 59 and 88: lists of servers -------------------------------------------------- */

/* Fault 58: the same server listed twice is no quorum. */
static void test_fault_58_same_server_twice(void **state)
{
    static const char *const lists[][3] = {
        {"redis://127.0.0.1", "redis://127.0.0.1:6380", "redis://127.0.0.1:6379"},
        {"redis://localhost:1/0", "redis://localhost:2", "redis://user:secret@LOCALHOST:1/5"},
        {"unix:///tmp/a", "unix:///tmp/b", "unix:///tmp/%61?db=2"},
        {"redis://[::1]:7", "redis://[::1]:7", "redis://[::1]:8"},
    };
    static rlk_posix_memory memory[3];
    static rlk_conn_entry rings[3][8];
    static uint8_t buffers[3][2][512];
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        memory[i].ring = rings[i];
        memory[i].ring_len = COUNT_OF(rings[i]);
        memory[i].tx = buffers[i][0];
        memory[i].rx = buffers[i][1];
        memory[i].tx_cap = memory[i].rx_cap = sizeof buffers[i][0];
    }
    for (i = 0; i < COUNT_OF(lists); i++) {
        assert_result(rlk_posix_open_nodes(&set.posix, lists[i], memory, 3, NULL), RLK_E_SAME_NODE);
        assert_contains(rlk_client_error(&set.posix.client), "E_SAME_NODE");
        assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config_unwatched),
                      RLK_E_CLOSED);
    }
}

/* Fault 59: an even number is warned of, and tolerates no more failures than one less. */
static void test_fault_59_even_number_of_nodes(void **state)
{
    static const struct {
        size_t nodes;
        size_t may_fail;
    } cases[] = {{2, 0}, {4, 1}};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        nodes_start(&set, cases[i].nodes, NULL, NULL);
        assert_int_equal(rlk_client_warnings(&set.posix.client), RLK_WARN_EVEN);
        assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config_unwatched), RLK_OK);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        assert_result(rlk_extend(&lock, 1000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        for (k = 0; k < cases[i].may_fail; k++)
            server_kill(set.servers[k]);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        server_kill(set.servers[k]);
        assert_true(rlk_acquire(&lock, 300) != RLK_OK);
        assert_false(rlk_is_held(&lock));
        nodes_close(&set);
        support_teardown(NULL);
    }
    for (i = 1; i <= RLK_MAX_NODES; i += 2) { /* odd ones are not warned of */
        nodes_start(&set, i, NULL, NULL);
        assert_int_equal(rlk_client_warnings(&set.posix.client), 0);
        nodes_close(&set);
        support_teardown(NULL);
    }
}

/* Fault 88: one server under two names, which the names do not show: warned of as soon as both have
 * answered. */
static void test_fault_88_one_server_under_two_names(void **state)
{
    server *one = server_start(&(server_config){.tcp = true});
    server *two = server_start(NULL);
    server *three = server_start(NULL);
    const char *urls[3];
    rlk_holder holders[3];

    (void)state;
    urls[0] = server_url(one);
    urls[1] = server_tcp_url(one);
    urls[2] = server_url(two);
    nodes_open_urls(&set, urls, 3, NULL);
    assert_int_equal(rlk_client_warnings(&set.posix.client), 0); /* not connected yet */
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config_unwatched), RLK_OK);
    assert_result(rlk_query(&lock, holders, 3), RLK_NOT_HELD);
    assert_int_equal(rlk_client_warnings(&set.posix.client), RLK_WARN_ALIAS);
    nodes_close(&set);

    urls[1] = server_url(three);
    nodes_open_urls(&set, urls, 3, NULL);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config_unwatched), RLK_OK);
    assert_result(rlk_query(&lock, holders, 3), RLK_NOT_HELD);
    assert_int_equal(rlk_client_warnings(&set.posix.client), 0);
    nodes_close(&set);
}

/* ---- Fault 60: keys of any bytes --------------------------------------------------------------
 */

typedef struct any_key {
    const char *bytes;
    size_t len;
} any_key;

#define ANY_KEY(literal)                                                                           \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static void test_fault_60_keys_of_any_bytes(void **state)
{
    static const any_key keys[] = {
        ANY_KEY("\0"),
        ANY_KEY("\0\0"),
        ANY_KEY("a\0b"),
        ANY_KEY("a\0c"), /* not the same as the one before */
        ANY_KEY("\r\n"),
        ANY_KEY("a\r\nDEL b\r\n"),
        ANY_KEY(" "),
        ANY_KEY("a key with spaces"),
        ANY_KEY("\xff\xfe\x80"),
        ANY_KEY("\"quoted\" 'twice' \\ {tag}"),
        ANY_KEY("$3\r\nfoo\r\n*1\r\n"),
        ANY_KEY("schl\xc3\xbcssel"),
    };
    rlk_lock locks[COUNT_OF(keys)];
    rlk_lock none;
    rlk_holder holders[3];
    char token[RLK_TOKEN_MAX + 1];
    size_t i;
    size_t k;

    (void)state;
    begin_with_three(NULL);
    for (i = 0; i < COUNT_OF(keys); i++) {
        assert_result(
            rlk_lock_init_n(&locks[i], &set.posix.client, keys[i].bytes, keys[i].len, NULL),
            RLK_OK);
        assert_result(rlk_acquire(&locks[i], RLK_TRY), RLK_OK);
    }
    for (i = 0; i < COUNT_OF(keys); i++) {
        assert_result(rlk_query(&locks[i], holders, 3), RLK_OK);
        rlk_lock_token(&locks[i], token, sizeof token);
        for (k = 0; k < 3; k++) {
            assert_true(holders[k].ours);
            assert_string_equal(server_text(set.servers[k], "GET %b", keys[i].bytes, keys[i].len),
                                token);
        }
        assert_result(rlk_extend(&locks[i], 1000), RLK_OK);
    }
    for (k = 0; k < 3; k++)
        assert_int_equal(server_integer(set.servers[k], "DBSIZE"), COUNT_OF(keys));
    for (i = 0; i < COUNT_OF(keys); i++)
        assert_result(rlk_release(&locks[i]), RLK_OK);
    for (k = 0; k < 3; k++)
        wait_until(server_integer(set.servers[k], "DBSIZE") == 0 ||
                   (loop_serve(&set.posix, 1), false));

    assert_result(rlk_lock_init(&none, &set.posix.client, "", NULL), RLK_E_KEY);
    assert_result(rlk_lock_init_n(&none, &set.posix.client, "a", 0, NULL), RLK_E_KEY);
    nodes_close(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_56_ttl_out_of_range),
        support_test(test_fault_56_greatest_ttl),
        support_test(test_fault_57_ttl_within_drift_and_node_time),
        support_test(test_fault_58_same_server_twice),
        support_test(test_fault_59_even_number_of_nodes),
        support_test(test_fault_88_one_server_under_two_names),
        support_test(test_fault_60_keys_of_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
