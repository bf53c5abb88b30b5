/* SPDX-License-Identifier: MIT
 *
 * What the library does with the switches that it was built with (resplock/config.h), on a real
 * server. `scripts/test switches` builds it with each.
 */
#include "nodes.h"
#include "server.h"
#include "support.h"

#include <string.h>

static rlk_posix_client posix;

static void open_at(const char *url, const rlk_posix_options *options)
{
    assert_result(rlk_posix_open(&posix, url, options), RLK_OK);
}

/* All that a lock does. */
static void test_switches_leave_the_lock_whole(void **state)
{
    static rlk_posix_client other;
    rlk_holder holder[RLK_MAX_NODES];
    server *redis = server_start(NULL);
    rlk_lock a;
    rlk_lock b;

    (void)state;
    open_at(server_url(redis), NULL);
    assert_result(rlk_posix_open(&other, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&a, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_lock_init(&b, &other.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&a, RLK_TRY), RLK_OK);
    assert_result(rlk_acquire(&b, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&b, 300), RLK_TIMED_OUT);
    assert_result(rlk_query(&a, holder, RLK_MAX_NODES), RLK_OK);
    assert_true(holder[0].ours);
    assert_result(rlk_extend(&a, 10000), RLK_OK);
    assert_between(rlk_remaining_ms(&a), 38000, 40000);
    assert_result(rlk_renew(&a, 60000), RLK_OK);
    assert_result(rlk_check(&a), RLK_OK);
    server_do(redis, "SCRIPT FLUSH");
    assert_result(rlk_release(&a), RLK_OK);
    assert_result(rlk_acquire(&b, RLK_TRY), RLK_OK);
    server_do(redis, "SET foobar somebody-else");
    assert_result(rlk_check(&b), RLK_NOT_OWNER);
    assert_false(rlk_is_held(&b));
    assert_result(rlk_force_release(&b), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);
    rlk_posix_close(&other);
    rlk_posix_close(&posix);
}

static int expected_protocol(void)
{
#ifdef RLK_RESP2_ONLY
    return 2;
#else
    return 3;
#endif
}

/* With a password, which goes by HELLO or by AUTH; and after the stream was cut, by the fence. */
static void test_switches_handshake(void **state)
{
    server_config config = {0};
    rlk_posix_options options = {0};
    server *redis;
    rlk_lock lock;
    int64_t hellos;

    (void)state;
    config.password = "secret";
    redis = server_start(&config);
    hellos = server_calls(redis, "hello");
    options.password = "secret";
    options.client_name = "switches";
    open_at(server_url(redis), &options);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_conn_protocol(rlk_client_conn(&posix.client, 0)), expected_protocol());
    assert_int_equal(server_calls(redis, "hello") - hellos, expected_protocol() == 3);
    assert_contains(server_text(redis, "CLIENT LIST"), "name=switches");
    assert_true(server_integer(redis, "CLIENT KILL TYPE normal") >= 1);
    assert_result(rlk_renew(&lock, 60000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    rlk_posix_close(&posix);
    options.password = "wrong";
    open_at(server_url(redis), &options);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_AUTH);
    rlk_posix_close(&posix);
}

static void test_switches_texts(void **state)
{
    server *redis = server_start(NULL);
    rlk_lock lock;

    (void)state;
    server_stop(redis);
    open_at(server_url(redis), NULL);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CONNECT);
#ifdef RLK_NO_TEXT
    assert_string_equal(rlk_lock_error(&lock), "-103 @0");
    assert_string_equal(rlk_client_error(&posix.client), "-103 @0");
    assert_string_equal(rlk_result_name(RLK_E_CONNECT), "");
    assert_string_equal(rlk_result_text(RLK_E_CONNECT), "");
#else
    assert_contains(rlk_lock_error(&lock), "acquire \"foobar\": E_CONNECT: ");
    assert_contains(rlk_client_error(&posix.client), "E_CONNECT: ");
#endif
    rlk_posix_close(&posix);
}

static void test_switches_nodes(void **state)
{
    static rlk_posix_memory memory[RLK_MAX_NODES + 1];
    const char *urls[RLK_MAX_NODES + 1];
    size_t i;

    (void)state;
    for (i = 0; i <= RLK_MAX_NODES; i++)
        urls[i] = "redis://127.0.0.1";
    assert_result(rlk_posix_open_nodes(&posix, urls, memory, RLK_MAX_NODES + 1, NULL), RLK_E_NODES);
    /* a program that was compiled with another number */
    assert_result(rlki_posix_open(&posix, "redis://127.0.0.1", NULL, sizeof posix,
                                  RLK_LAYOUT ^ ((uint32_t)1 << 16)),
                  RLK_E_LAYOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_switches_leave_the_lock_whole),
        support_test(test_switches_handshake),
        support_test(test_switches_texts),
        support_test(test_switches_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
