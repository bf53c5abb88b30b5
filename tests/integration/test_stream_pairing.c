/* SPDX-License-Identifier: MIT
 *
 * Streams on which replies and requests don't pair: replies that are duplicated or injected,
 * proxies that retry, and one request among a thousand that ends early.
 */
#include "proxied.h"

#include <stdio.h>
#include <string.h>

#define KEY "foobar"

static proxied world;
static rlk_lock lock;

static const size_t sizes[] = {1, 3};

/* Runs `body` on each number of nodes; the lock is free, all are connected. */
static void on_each_world(void (*body)(void))
{
    size_t i;

    for (i = 0; i < COUNT_OF(sizes); i++) {
        proxied_start(&world, sizes[i], true, NULL, NULL);
        proxied_lock_init(&world, &lock, KEY, NULL);
        body();
        rlk_lock_close(&lock);
        proxied_close(&world);
        support_teardown(NULL);
    }
}

static int nodes_count(void)
{
    return (int)world.set.count;
}

static void on_all(const char *words, proxy_action action, const char *bytes)
{
    size_t i;

    for (i = 0; i < world.set.count; i++)
        proxy_on(world.proxies[i], words, 1, action, bytes);
}

static void inject(const char *bytes)
{
    size_t i;

    for (i = 0; i < world.set.count; i++)
        proxy_inject(world.proxies[i], bytes, strlen(bytes));
}

static void assert_on_quorum(void)
{
    assert_true(proxied_holding(&world, KEY, token_of(&lock)) >= world.set.posix.client.quorum);
}

static uint32_t failures(void)
{
    uint32_t count = 0;
    size_t i;

    for (i = 0; i < world.set.count; i++)
        count += rlk_conn_failures(rlk_client_conn(&world.set.posix.client, i));
    return count;
}

/* Closed once on each node, and connected again. */
static void assert_poisoned_once(uint32_t before)
{
    serve_until(&world.set.posix,
                failures() == before + (uint32_t)nodes_count() && nodes_ready(&world.set));
}

static void release_and_stay_free(void)
{
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
}

/* ---- 40: duplicated and injected replies ---- */

/* The second copy answers no request: the connection is closed; the lock is what the server says
 * it is. */
static void duplicate_set_body(void)
{
    uint32_t before = failures();

    on_all("SET " KEY, PROXY_DUPLICATE, NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_on_quorum();
    assert_poisoned_once(before);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_int_equal(proxied_count(&world, "SET " KEY), nodes_count());
    release_and_stay_free();
}

static void duplicate_script_body(void)
{
    uint32_t before = failures();

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxied_calm(&world); /* a minority may answer later */
    on_all("EVALSHA", PROXY_DUPLICATE, NULL);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    assert_poisoned_once(before);
    assert_between(rlk_remaining_ms(&lock), 30000, 40000 - 402);
    proxied_calm(&world); /* the new streams compare what is held, by an EVALSHA of their own */
    on_all("EVALSHA", PROXY_DUPLICATE, NULL);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_poisoned_once(before + (uint32_t)nodes_count());
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
}

/* Replies to nothing, of any type, while nothing is in flight: closed, and held as before. */
static void inject_idle_body(void)
{
    static const char *const bytes[] = {"+OK\r\n",
                                        ":1\r\n",
                                        "_\r\n",
                                        "$-1\r\n",
                                        "-ERR no\r\n",
                                        "*1\r\n:1\r\n",
                                        "HTTP/1.1 200 OK\r\n",
                                        "\r\n",
                                        "$-7\r\n"};
    size_t i;

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxied_calm(&world);
    for (i = 0; i < COUNT_OF(bytes); i++) {
        uint32_t before = failures();

        inject(bytes[i]);
        assert_poisoned_once(before);
        assert_true(rlk_is_held(&lock));
        assert_result(rlk_check(&lock), RLK_OK);
        proxied_calm(&world); /* nothing must be in flight */
    }
    /* all was answered; but by whom, on such a stream? It is fenced each time. */
    assert_int_equal(proxied_count(&world, "CLIENT KILL"), (int)COUNT_OF(bytes) * nodes_count());
    release_and_stay_free();
}

/* No replies, but pushes and attributes: nothing happens. */
static void inject_push_body(void)
{
    uint32_t before = failures();

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxied_calm(&world);
    inject(">2\r\n+invalidate\r\n*1\r\n$6\r\n" KEY "\r\n");
    proxied_calm(&world);
    inject("|1\r\n+ttl\r\n:1\r\n"); /* of the next reply */
    assert_result(rlk_check(&lock), RLK_OK);
    proxied_calm(&world);
    assert_int_equal(failures(), before);
    release_and_stay_free();
}

/* While a SET is in flight, a reply of a type that it can't have: it is not taken for an answer,
 * and what the SET did is undone or found. */
static void inject_in_flight(const char *bytes)
{
    rlk_event event;

    on_all("SET " KEY, PROXY_HOLD, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "SET " KEY) == nodes_count());

    inject(bytes);
    proxied_calm(&world);
    assert_false(rlk_is_held(&lock));
    proxied_release(&world);
    assert_true(loop_next_event(&world.set.posix, &event, 10000));
    assert_int_equal(event.type, RLK_EV_RESULT);
    assert_int_equal(event.operation, RLK_OP_ACQUIRE);
    assert_int_equal(rlk_result_class(event.result), RLK_KIND_PROTOCOL);
    serve_until(&world.set.posix, nodes_ready(&world.set));

    loop_quiet(&world.set.posix, 100);
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_on_quorum();
    release_and_stay_free();
}

static void inject_integer_body(void)
{
    inject_in_flight(":1\r\n");
}

static void inject_garbage_body(void)
{
    inject_in_flight("HTTP/1.1 400 Bad Request\r\n");
}

static void test_fault_40_duplicated_reply(void **state)
{
    (void)state;
    on_each_world(duplicate_set_body);
    on_each_world(duplicate_script_body);
}

static void test_fault_40_injected_reply(void **state)
{
    (void)state;
    on_each_world(inject_idle_body);
    on_each_world(inject_push_body);
}

static void test_fault_40_injected_in_flight(void **state)
{
    (void)state;
    on_each_world(inject_integer_body);
    on_each_world(inject_garbage_body);
}

/* ---- 84: a proxy that retries ---- */

/* Behind the proxy the SET was executed twice, and the client receives the second's nil. BUSY is
 * not the truth then, which no client can know; but it is no false "held", and the next holding is
 * sound. */
static void retried_set_body(void)
{
    const char *token;
    size_t i;

    on_all("SET " KEY, PROXY_REWRITE, "$-1\r\n");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    token = token_of(&lock);
    assert_false(rlk_is_held(&lock));
    proxied_calm(&world);
    assert_true(proxied_holding(&world, KEY, token) >=
                world.set.posix.client.quorum); /* for its TTL */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_false(rlk_is_held(&lock));
    for (i = 0; i < world.set.count; i++)
        server_do(world.set.servers[i], "FLUSHALL");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_on_quorum();
    release_and_stay_free();
}

/* The release was executed twice, and the client receives the second reply: not owner, not held. */
static void retried_release_body(void)
{
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxied_calm(&world);
    on_all("EVALSHA", PROXY_REWRITE, ":0\r\n");
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    assert_false(rlk_is_held(&lock));
    proxied_calm(&world);
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
}

/* The extend was executed twice: once as long. */
static void retried_extend_body(void)
{
    size_t i;

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxied_calm(&world);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    proxied_calm(&world);
    for (i = 0; i < world.set.count; i++) {
        /* what the proxy does: the same command, a little later */
        const char *digest = "cf0fa691994b553610beb3adf90d35b481bfff75";

        assert_between(server_integer(world.set.servers[i], "EVALSHA %s 1 " KEY " %s 40000", digest,
                                      token_of(&lock)),
                       30000, 40000);
        assert_between(server_integer(world.set.servers[i], "PTTL " KEY), 30000, 40000);
    }
    release_and_stay_free();
}

/* The SET is executed again after the release: an orphan that no client can know of. */
static void retried_set_after_release_body(void)
{
    const char *token;
    size_t i;

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    token = token_of(&lock);
    release_and_stay_free();
    for (i = 0; i < world.set.count; i++)
        server_do(world.set.servers[i], "SET " KEY " %s NX PX 30000", token);
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY); /* not "ours": the token is retired */
    assert_false(rlk_is_held(&lock));
}

static void test_fault_84_retrying_proxy(void **state)
{
    (void)state;
    on_each_world(retried_set_body);
    on_each_world(retried_release_body);
    on_each_world(retried_extend_body);
    on_each_world(retried_set_after_release_body);
}

/* ---- 90: one of a thousand ---- */

#define MANY      1000
#define TIMED_OUT 300
#define CANCELLED 700
#define CLOSED    500

static rlk_posix_client many_client;
static rlk_lock many_locks[MANY];
static char many_keys[MANY][16];
static int many_results[MANY];

static void many_collect(size_t count)
{
    memset(many_results, 0xff, sizeof many_results);
    while (count-- > 0) {
        rlk_event event;
        size_t i;

        assert_true(loop_next_event(&many_client, &event, INT64_C(20000) * support_time_factor()));
        i = (size_t)(event.lock - many_locks);
        assert_true(i < MANY);
        assert_int_equal(many_results[i], -1); /* each ends once */
        many_results[i] = event.result;
    }
    loop_quiet(&many_client, 10);
}

static rlk_result many_expected(size_t i)
{
    return i == TIMED_OUT ? RLK_E_RESPONSE_TIMEOUT : i == CANCELLED ? RLK_CANCELLED : RLK_OK;
}

/*
 * All in flight or waiting for room in a ring of 32, nothing gets through; one times out, one is
 * cancelled, one is closed. The others wait undisturbed on the same connection, and each gets its
 * own reply.
 */
static void test_fault_90_one_of_a_thousand(void **state)
{
    rlk_posix_options options = proxied_options();
    server *redis = server_start(NULL);
    proxy *middle = proxy_start(server_url(redis), false);
    rlk_holder holder;
    size_t i;

    (void)state;
    options.response_timeout_ms = 60000;
    options.settle_timeout_ms = 60000;
    options.operation_timeout_ms = 60000;
    assert_result(rlk_posix_open(&many_client, proxy_url(middle), &options), RLK_OK);
    for (i = 0; i < MANY; i++) {
        rlk_lock_config config = {.ttl_ms = 600000, .node_timeout_ms = 60000};

        snprintf(many_keys[i], sizeof many_keys[i], "lock:%zu", i);
        assert_result(rlk_lock_init(&many_locks[i], &many_client.client, many_keys[i], &config),
                      RLK_OK);
    }
    assert_result(rlk_query(&many_locks[0], &holder, 1), RLK_NOT_HELD);

    proxy_hold(middle, PROXY_TO_SERVER);
    for (i = 0; i < MANY; i++)
        assert_result(rlk_acquire_start(&many_locks[i], i == TIMED_OUT ? 50 : RLK_FOREVER),
                      RLK_PENDING);
    loop_serve(&many_client, 100);
    assert_result(rlk_cancel(&many_locks[CANCELLED]), RLK_OK);
    /* these were not sent yet, so there is nothing to be found out */
    {
        rlk_event event;

        assert_true(rlk_client_next_event(&many_client.client, &event));
        assert_result(event.result, RLK_E_RESPONSE_TIMEOUT);
        assert_ptr_equal(event.lock, &many_locks[TIMED_OUT]);
        assert_true(rlk_client_next_event(&many_client.client, &event));
        assert_result(event.result, RLK_CANCELLED);
        assert_ptr_equal(event.lock, &many_locks[CANCELLED]);
    }
    assert_result(rlk_lock_close(&many_locks[CLOSED]), RLK_OK);
    proxy_release(middle);
    many_collect(MANY - 3);
    for (i = 0; i < MANY; i++) {
        bool held = i != CLOSED && many_expected(i) == RLK_OK;
        const char *value = server_text(redis, "GET %s", many_keys[i]);

        if (held) {
            assert_int_equal(many_results[i], RLK_OK);
            assert_non_null(value);
            assert_string_equal(value, token_of(&many_locks[i]));
        } else {
            assert_null(value);
        }
        assert_int_equal(rlk_is_held(&many_locks[i]), held);
    }

    for (i = 0; i < MANY; i++)
        if (rlk_is_held(&many_locks[i]))
            assert_result(rlk_release_start(&many_locks[i]), RLK_PENDING);
    many_collect(MANY - 3);
    for (i = 0; i < MANY; i++)
        if (i != CLOSED && many_expected(i) == RLK_OK)
            assert_int_equal(many_results[i], RLK_OK);
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    assert_int_equal(proxy_accepted(middle), 1);
    rlk_posix_close(&many_client);
}

/* The same with one whose command was sent: it ends when its undo was answered, and those behind it
 * on the connection have not noticed. */
static void test_fault_90_one_in_flight(void **state)
{
    rlk_posix_options options = proxied_options();
    server *redis = server_start(NULL);
    proxy *middle = proxy_start(server_url(redis), false);
    rlk_holder holder;
    size_t i;

    (void)state;
    options.response_timeout_ms = 60000;
    options.settle_timeout_ms = 60000;
    assert_result(rlk_posix_open(&many_client, proxy_url(middle), &options), RLK_OK);
    for (i = 0; i < 6; i++) {
        snprintf(many_keys[i], sizeof many_keys[i], "lock:%zu", i);
        assert_result(rlk_lock_init(&many_locks[i], &many_client.client, many_keys[i], NULL),
                      RLK_OK);
    }
    assert_result(rlk_query(&many_locks[0], &holder, 1), RLK_NOT_HELD);
    proxy_hold(middle, PROXY_TO_SERVER);
    for (i = 0; i < 6; i++)
        assert_result(rlk_acquire_start(&many_locks[i], i == 2 ? 50 : RLK_FOREVER), RLK_PENDING);
    loop_quiet(&many_client, 100);
    assert_result(rlk_cancel(&many_locks[3]), RLK_OK);
    assert_result(rlk_lock_close(&many_locks[4]), RLK_UNKNOWN);
    loop_quiet(&many_client, 20);
    proxy_release(middle);
    many_collect(5);
    for (i = 0; i < 6; i++) {
        static const int expected[] = {RLK_OK,        RLK_OK, RLK_E_RESPONSE_TIMEOUT,
                                       RLK_CANCELLED, -1,     RLK_OK};
        const char *value = server_text(redis, "GET %s", many_keys[i]);

        assert_int_equal(many_results[i], expected[i]);
        if (i == 4)
            assert_non_null(value); /* the orphan that was reported */
        else if (expected[i] == RLK_OK)
            assert_string_equal(value, token_of(&many_locks[i]));
        else
            assert_null(value);
    }
    assert_int_equal(proxy_accepted(middle), 1);
    rlk_posix_close(&many_client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_40_duplicated_reply),   support_test(test_fault_40_injected_reply),
        support_test(test_fault_40_injected_in_flight), support_test(test_fault_84_retrying_proxy),
        support_test(test_fault_90_one_of_a_thousand),  support_test(test_fault_90_one_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
