/* SPDX-License-Identifier: MIT
 *
 * Calls that are wrong at this moment or with these arguments: NULL, closed, under way already,
 * held already, a TTL of 0; and keys of any bytes, which are right.
 */
#include "nodes.h"

#include <string.h>

static nodes set;
static server *redis;
static rlk_lock lock;

/* One server, one lock on "foobar". */
static void open_all(void)
{
    nodes_start(&set, 1, NULL, NULL);
    redis = set.servers[0];
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", NULL), RLK_OK);
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

/* ---- NULL ---- */

static void test_wrong_input_null_lock(void **state)
{
    rlk_holder holder;
    char token[RLK_TOKEN_MAX + 1];

    (void)state;
    assert_result(rlk_acquire(NULL, RLK_TRY), RLK_E_ARGUMENT);
    assert_result(rlk_acquire_start(NULL, RLK_TRY), RLK_E_ARGUMENT);
    assert_result(rlk_release(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_release_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_extend(NULL, 1000), RLK_E_ARGUMENT);
    assert_result(rlk_extend_start(NULL, 1000), RLK_E_ARGUMENT);
    assert_result(rlk_renew(NULL, 1000), RLK_E_ARGUMENT);
    assert_result(rlk_renew_start(NULL, 1000), RLK_E_ARGUMENT);
    assert_result(rlk_keep_alive(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_check(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_check_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_query(NULL, &holder, 1), RLK_E_ARGUMENT);
    assert_result(rlk_query_start(NULL, &holder, 1), RLK_E_ARGUMENT);
    assert_result(rlk_force_release(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_force_release_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_cancel(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_close(NULL), RLK_E_ARGUMENT);
    assert_false(rlk_is_held(NULL));
    assert_false(rlk_is_held_at(NULL, 0));
    assert_int_equal(rlk_remaining_ms(NULL), 0);
    assert_int_equal(rlk_lock_operation(NULL), RLK_OP_NONE);
    assert_int_equal(rlk_lock_token(NULL, token, sizeof token), 0);
    assert_true(strlen(rlk_lock_error(NULL)) > 0);
}

static void test_wrong_input_null_client(void **state)
{
    struct pollfd fds[RLK_MAX_FDS];
    int timeout_ms = 0;
    const char *const urls[] = {"redis://127.0.0.1:1"};
    rlk_event event;
    rlk_client_config config;

    (void)state;
    memset(&config, 0, sizeof config);
    assert_result(rlk_posix_open(NULL, "redis://localhost", NULL), RLK_E_ARGUMENT);
    assert_result(rlk_posix_open_nodes(NULL, urls, set.memory, 1, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_client_init(NULL, NULL, 1, &config), RLK_E_ARGUMENT);
    rlk_posix_close(NULL);
    rlk_client_close(NULL);
    rlk_client_tick(NULL);
    assert_result(rlk_posix_service(NULL, fds, 0), RLK_E_ARGUMENT);
    assert_result(rlk_client_reset(NULL), RLK_E_ARGUMENT);
    assert_int_equal(rlk_posix_prepare(NULL, fds, RLK_MAX_FDS, &timeout_ms), 0);
    assert_int_equal(timeout_ms, -1);
    assert_true(rlk_client_deadline(NULL) == RLK_NEVER);
    assert_false(rlk_client_next_event(NULL, &event));
    assert_int_equal(rlk_client_nodes(NULL), 0);
    assert_null(rlk_client_conn(NULL, 0));
    assert_int_equal(rlk_client_warnings(NULL), 0);
    assert_true(strlen(rlk_client_error(NULL)) > 0);
}

/* NULL where the first argument is right. */
static void test_wrong_input_null_arguments(void **state)
{
    static const char *const no_url[] = {NULL};
    static const char *const urls[] = {"redis://127.0.0.1:1"};
    static rlk_posix_client posix;
    rlk_client_config config;
    rlk_conn *conns[1] = {NULL};
    struct pollfd fds[1];
    int timeout_ms = 0;
    rlk_lock other;
    rlk_url url;

    (void)state;
    open_all();
    assert_result(rlk_posix_open(&posix, NULL, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_posix_open_nodes(&posix, NULL, set.memory, 1, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_posix_open_nodes(&posix, urls, NULL, 1, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_posix_open_nodes(&posix, no_url, set.memory, 1, NULL), RLK_E_ARGUMENT);
    nodes_close(&set); /* its memory is gone by the call above */
    memset(&config, 0, sizeof config);
    assert_result(rlk_client_init(&posix.client, NULL, 1, &config), RLK_E_ARGUMENT);
    assert_result(rlk_client_init(&posix.client, conns, 1, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_client_init(&posix.client, conns, 1, &config), RLK_E_ARGUMENT); /* no clock */
    config.env.now_ms = rlk_system_now_ms;
    assert_result(rlk_client_init(&posix.client, conns, 1, &config),
                  RLK_E_ARGUMENT); /* no entropy */
    config.env.random = rlk_system_random;
    assert_result(rlk_client_init(&posix.client, conns, 1, &config),
                  RLK_E_ARGUMENT); /* no connection */
    assert_contains(rlk_client_error(&posix.client), "E_ARGUMENT: an argument is NULL");

    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(NULL, &posix.client, "foobar", NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&other, NULL, "foobar", NULL), RLK_E_ARGUMENT);
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_lock_init(&other, &posix.client, NULL, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init_n(&other, &posix.client, NULL, 6, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_lock_init(&other, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_query(&other, NULL, 1), RLK_E_ARGUMENT);
    assert_result(rlk_query_start(&other, NULL, 1), RLK_E_ARGUMENT);
    assert_false(rlk_client_next_event(&posix.client, NULL));
    assert_int_equal(rlk_posix_prepare(&posix, NULL, 1, &timeout_ms), 0);
    assert_int_equal(timeout_ms, -1);
    assert_int_equal(rlk_posix_prepare(&posix, fds, 0, NULL), 0);
    assert_result(rlk_posix_service(&posix, NULL, 1), RLK_OK); /* only deadlines */
    assert_null(rlk_client_conn(&posix.client, 1));
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_lock_token(&other, NULL, 0), RLK_TOKEN_DIGITS);
    assert_result(rlk_release(&other), RLK_OK);
    rlk_lock_close(&other);
    rlk_posix_close(&posix);

    assert_result(rlk_url_parse(NULL, "redis://localhost"), RLK_E_ARGUMENT);
    assert_result(rlk_url_parse(&url, NULL), RLK_E_ARGUMENT);
    assert_int_equal(rlk_url_decode(NULL, 0, NULL, 0), 0);
}

/* ---- closed ---- */

static void assert_all_closed(void)
{
    rlk_holder holder;
    char token[RLK_TOKEN_MAX + 1];

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_CLOSED);
    assert_result(rlk_release(&lock), RLK_E_CLOSED);
    assert_result(rlk_release_start(&lock), RLK_E_CLOSED);
    assert_result(rlk_extend(&lock, 1000), RLK_E_CLOSED);
    assert_result(rlk_extend_start(&lock, 1000), RLK_E_CLOSED);
    assert_result(rlk_renew(&lock, RLK_DEFAULT), RLK_E_CLOSED);
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_E_CLOSED);
    assert_result(rlk_keep_alive(&lock), RLK_E_CLOSED);
    assert_result(rlk_check(&lock), RLK_E_CLOSED);
    assert_result(rlk_check_start(&lock), RLK_E_CLOSED);
    assert_result(rlk_query(&lock, &holder, 1), RLK_E_CLOSED);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_E_CLOSED);
    assert_result(rlk_force_release(&lock), RLK_E_CLOSED);
    assert_result(rlk_force_release_start(&lock), RLK_E_CLOSED);
    assert_result(rlk_cancel(&lock), RLK_E_CLOSED);
    assert_result(rlk_lock_close(&lock), RLK_E_CLOSED);
    assert_false(rlk_is_held(&lock));
    assert_false(rlk_is_held_at(&lock, 0));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), 0);
    assert_contains(rlk_lock_error(&lock), "the client or the lock is closed");
}

static void test_wrong_input_closed(void **state)
{
    rlk_event event;

    (void)state;
    memset(&lock, 0, sizeof lock); /* never initialised */
    assert_all_closed();
    open_all();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_all_closed();

    /* closed with its client, while held, and in the middle of an operation */
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    nodes_close(&set);
    assert_all_closed();
    assert_false(rlk_client_next_event(&set.posix.client, &event));
    assert_result(rlk_posix_service(&set.posix, NULL, 0), RLK_E_CLOSED);
    assert_result(rlk_client_reset(&set.posix.client), RLK_E_CLOSED);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", NULL), RLK_E_CLOSED);
    assert_all_closed();
}

/* ---- not now ---- */

/* A second operation while one is under way, whichever they are; the first goes on. */
static void test_wrong_input_second_operation(void **state)
{
    static const rlk_operation ends[] = {RLK_OP_ACQUIRE,      RLK_OP_EXTEND, RLK_OP_RENEW,
                                         RLK_OP_CHECK,        RLK_OP_QUERY,  RLK_OP_RELEASE,
                                         RLK_OP_FORCE_RELEASE};
    rlk_holder holder;
    rlk_holder second;
    size_t i;

    (void)state;
    open_all();
    for (i = 0; i < COUNT_OF(ends); i++) {
        rlk_result started = i == 0   ? rlk_acquire_start(&lock, RLK_TRY)
                             : i == 1 ? rlk_extend_start(&lock, 1000)
                             : i == 2 ? rlk_renew_start(&lock, 60000)
                             : i == 3 ? rlk_check_start(&lock)
                             : i == 4 ? rlk_query_start(&lock, &holder, 1)
                             : i == 5 ? rlk_release_start(&lock)
                                      : rlk_force_release_start(&lock);

        assert_result(started, RLK_PENDING);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_STATE);
        assert_result(rlk_release(&lock), RLK_E_STATE);
        assert_result(rlk_extend(&lock, 1000), RLK_E_STATE);
        assert_result(rlk_renew(&lock, 1000), RLK_E_STATE);
        assert_result(rlk_check(&lock), RLK_E_STATE);
        assert_result(rlk_query(&lock, &second, 1), RLK_E_STATE);
        assert_result(rlk_force_release(&lock), RLK_E_STATE);
        assert_result_event(&set.posix, ends[i], RLK_OK);
        loop_quiet(&set.posix, 5);
    }
    assert_contains(rlk_result_text(RLK_E_STATE), "another operation of this lock is under way");
    close_all();
}

static void test_wrong_input_while_held(void **state)
{
    char token[RLK_TOKEN_MAX + 1];

    (void)state;
    open_all();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), RLK_TOKEN_DIGITS);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_STATE);
    assert_contains(rlk_lock_error(&lock), "acquire \"foobar\": E_STATE: ");
    assert_contains(rlk_lock_error(&lock), "or it is held already");
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_STATE);
    assert_result(rlk_force_release(&lock), RLK_E_STATE);
    assert_true(rlk_is_held(&lock));
    assert_string_equal(server_text(redis, "GET foobar"), token);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* And what needs a lock that is held, of one that is not. */
static void test_wrong_input_while_not_held(void **state)
{
    int64_t calls;

    (void)state;
    open_all();
    calls = server_info(redis, "stats", "total_commands_processed");
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_result(rlk_extend(&lock, 1000), RLK_NOT_HELD);
    assert_result(rlk_renew(&lock, RLK_DEFAULT), RLK_NOT_HELD);
    assert_result(rlk_keep_alive(&lock), RLK_NOT_HELD);
    assert_result(rlk_check(&lock), RLK_NOT_HELD);
    assert_result(rlk_cancel(&lock), RLK_NOT_HELD);
    assert_contains(rlk_lock_error(&lock), "check \"foobar\": NOT_HELD");
    /* none of them asked the server: the one command is the administrator's INFO */
    assert_int_equal(server_info(redis, "stats", "total_commands_processed"), calls + 1);
    close_all();
}

/* ---- numbers ---- */

/* Faults 56 and 57: TTL 0, negative, overflow → rejected locally; so is one within drift and node
 * time. The lock stays as it was. */
static void test_fault_56_57_ttl_as_an_argument(void **state)
{
    static const struct {
        bool renew;
        int64_t ttl_ms;
    } cases[] = {
        {false, 0},
        {false, -1},
        {false, RLK_DEFAULT},
        {false, INT64_MIN},
        {false, RLK_TTL_MAX + 1},
        {false, INT64_MAX},
        {true, 0},
        {true, -2},
        {true, INT64_MIN},
        {true, RLK_TTL_MAX + 1},
        {true, INT64_C(9223370000000000000)},
        {true, INT64_MAX},
        {true, 1},
        {true, 2000}, /* node time, of a TTL of 30 s */
        {true, 2022}, /* and drift */
    };
    int64_t before;
    size_t i;

    (void)state;
    open_all();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    before = server_info(redis, "stats", "total_commands_processed");
    for (i = 0; i < COUNT_OF(cases); i++) {
        int64_t ttl_ms = cases[i].ttl_ms;

        assert_result(cases[i].renew ? rlk_renew(&lock, ttl_ms) : rlk_extend(&lock, ttl_ms),
                      RLK_E_TTL);
        assert_contains(rlk_lock_error(&lock), cases[i].renew
                                                   ? "renew \"foobar\": E_TTL: the TTL"
                                                   : "extend \"foobar\": E_TTL: the TTL");
        assert_result(cases[i].renew ? rlk_renew_start(&lock, ttl_ms)
                                     : rlk_extend_start(&lock, ttl_ms),
                      RLK_E_TTL);
        assert_true(rlk_is_held(&lock));
    }
    assert_int_equal(server_info(redis, "stats", "total_commands_processed"), before + 1);
    assert_between(rlk_remaining_ms(&lock), 20000, 30000);
    assert_result(rlk_renew(&lock, 2100), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 1, 2100);
    /* the sum is capped */
    assert_result(rlk_extend(&lock, RLK_TTL_MAX), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), RLK_TTL_MAX - RLK_TTL_MAX / 50, RLK_TTL_MAX);
    assert_between(server_integer(redis, "PTTL foobar"), RLK_TTL_MAX - 5000, RLK_TTL_MAX + 1);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

static void test_wrong_input_wait(void **state)
{
    static const int64_t waits[] = {-2, -1000, INT64_MIN};
    size_t i;

    (void)state;
    open_all();
    for (i = 0; i < COUNT_OF(waits); i++) {
        assert_result(rlk_acquire(&lock, waits[i]), RLK_E_TIMES);
        assert_contains(rlk_lock_error(&lock), "acquire \"foobar\": E_TIMES: the wait is negative");
        assert_result(rlk_acquire_start(&lock, waits[i]), RLK_E_TIMES);
    }
    assert_result(rlk_acquire(&lock, INT64_MAX - 1), RLK_OK); /* no deadline overflows */
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* ---- keys that just work ---- */

/* Fault 60: NUL or CRLF in key → binary-safe. The server has the same bytes as we. */
static void test_fault_60_keys_of_any_bytes(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } keys[] = {
        {"a\0b", 3},
        {"\0", 1},
        {"\0\0\0\0", 4},
        {"a b", 3},
        {" ", 1},
        {"\r\n", 2},
        {"a\r\n$3\r\nSET\r\n", 13},
        {"x\r\n*1\r\n$8\r\nFLUSHALL\r\n", 22},
        {"\n", 1},
        {"\xff\xfe\x80", 3},
        {"caf\xc3\xa9", 5},
        {"%s%n{}\"'\\", 9},
    };
    size_t i;

    (void)state;
    nodes_start(&set, 1, NULL, NULL);
    redis = set.servers[0];
    server_do(redis, "SET bystander 1");
    for (i = 0; i < COUNT_OF(keys); i++) {
        const void *key = keys[i].bytes;
        size_t len = keys[i].len;
        char token[RLK_TOKEN_MAX + 1];
        rlk_holder holder;
        size_t error_len;

        assert_result(rlk_lock_init_n(&lock, &set.posix.client, key, len, NULL), RLK_OK);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        rlk_lock_token(&lock, token, sizeof token);
        assert_string_equal(server_text(redis, "GET %b", key, len), token);
        assert_int_equal(server_integer(redis, "DBSIZE"), 2);
        assert_result(rlk_extend(&lock, 10000), RLK_OK);
        assert_between(server_integer(redis, "PTTL %b", key, len), 39000, 40000);
        assert_result(rlk_check(&lock), RLK_OK);
        assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
        assert_true(holder.ours);
        assert_result(rlk_release(&lock), RLK_OK);
        assert_int_equal(server_integer(redis, "EXISTS %b", key, len), 0);

        /* and the reverse; a text for a terminal has no control bytes */
        server_do(redis, "SET %b stranger", key, len);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
        error_len = strlen(rlk_lock_error(&lock));
        assert_true(error_len > strlen("acquire \"\": BUSY"));
        assert_int_equal(strcspn(rlk_lock_error(&lock), "\r\n\x80\xc3\xfe\xff"), error_len);
        assert_result(rlk_force_release(&lock), RLK_OK);
        rlk_lock_close(&lock);
    }
    assert_int_equal(server_integer(redis, "DBSIZE"), 1);
    nodes_close(&set);
}

/* Fault 61: the longest key that its formula allows, on the least buffer for it. */
static void test_fault_61_longest_key(void **state)
{
    enum {
        KEY_LEN = 700
    };
    static char key[KEY_LEN + 1];
    const char *url;
    rlk_holder holder;

    (void)state;
    redis = server_start(NULL);
    url = server_url(redis);
    memset(key, 'k', KEY_LEN);
    memset(&set, 0, sizeof set);
    set.memory[0].ring = set.rings[0];
    set.memory[0].ring_len = RLK_CONN_RING_MIN;
    set.memory[0].tx = set.tx[0];
    set.memory[0].tx_cap = RLK_TX_MIN(KEY_LEN);
    set.memory[0].rx = set.rx[0];
    set.memory[0].rx_cap = RLK_CONN_RX_MIN;
    assert_result(rlk_posix_open_nodes(&set.posix, &url, set.memory, 1, NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &set.posix.client, key, NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_extend(&lock, RLK_TTL_MAX / 2), RLK_OK);
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_contains(rlk_lock_error(&lock), "kkk...\": OK");
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_wrong_input_null_lock),
        support_test(test_wrong_input_null_client),
        support_test(test_wrong_input_null_arguments),
        support_test(test_wrong_input_closed),
        support_test(test_wrong_input_second_operation),
        support_test(test_wrong_input_while_held),
        support_test(test_wrong_input_while_not_held),
        support_test(test_fault_56_57_ttl_as_an_argument),
        support_test(test_wrong_input_wait),
        support_test(test_fault_60_keys_of_any_bytes),
        support_test(test_fault_61_longest_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
