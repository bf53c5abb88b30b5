/* SPDX-License-Identifier: MIT
 *
 * The fence: after a connection that ended with commands unanswered, the next one makes sure that
 * none of them can execute any more, before it sends anything else; where it can't, the results
 * say so. Rule 5 on real servers, read from the commands that pass the proxy and from what the
 * servers have.
 */
#include "name_book.h"
#include "proxied.h"

#include <string.h>

#define KEY "foobar"

#define ADMIN_LINE "user admin on >secret ~* &* +@all"

/* The tests' administrator keeps his rights; the library's user has all except some. */
#define WITHOUT(...)                                                                               \
    {                                                                                              \
        .tcp = true, .lines = SERVER_LINES(ADMIN_LINE, __VA_ARGS__), .user = "admin",              \
        .user_password = "secret",                                                                 \
    }
#define USER_LINE "user default on nopass ~* &* +@all "
#define NO_HELLO  "rename-command HELLO \"\""

static const server_config no_kill = WITHOUT(USER_LINE "-client|kill");
static const server_config no_info = WITHOUT(USER_LINE "-info");
static const server_config no_id = WITHOUT(USER_LINE "-client|id", NO_HELLO);
static const server_config no_hello = {.lines = SERVER_LINES(NO_HELLO)};
static const server_config with_tcp = {.tcp = true};

static proxied world;
static nodes direct;
static rlk_lock lock;

static void start(size_t count, bool tcp, const server_config *config)
{
    proxied_start(&world, count, tcp, config, NULL);
    proxied_lock_init(&world, &lock, KEY, NULL);
}

static void stop(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
    support_teardown(NULL);
}

/* A client straight to one server. */
static void start_direct(const char *url, const rlk_posix_options *options)
{
    /* one attempt must last, on a slow machine too: the next would have another token */
    rlk_lock_config config = {.node_timeout_ms = 20000};
    rlk_holder holder;

    nodes_open_urls(&direct, &url, 1, options);
    assert_result(rlk_lock_init(&lock, &direct.posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
}

static void stop_direct(void)
{
    rlk_lock_close(&lock);
    nodes_close(&direct);
    support_teardown(NULL);
}

/* ---- Its order ---- */

/* INFO is read before KILL is sent, and KILL is answered before anything else leaves. */
static void test_fence_goes_step_by_step(void **state)
{
    proxy *middle;

    (void)state;
    start(1, true, NULL);
    middle = world.proxies[0];
    assert_int_equal(proxy_count(middle, "CLIENT KILL"), 0); /* nothing to fence */
    assert_int_equal(proxy_count(middle, "SCRIPT LOAD"), 1);
    proxy_on(middle, "SET", 1, PROXY_CUT_LATE, NULL);
    proxy_on(middle, "INFO", 1, PROXY_HOLD, NULL);
    assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
    serve_until(&world.set.posix, proxy_count(middle, "INFO") == 2);

    loop_quiet(&world.set.posix, 50);
    assert_int_equal(proxy_count(middle, "CLIENT KILL"), 0);
    proxy_on(middle, "CLIENT KILL", 1, PROXY_HOLD, NULL);
    proxy_release(middle); /* the late SET too: it comes before the fence, and is found */
    serve_until(&world.set.posix, proxy_count(middle, "CLIENT KILL") == 1);

    loop_quiet(&world.set.posix, 50);
    assert_int_equal(proxy_count(middle, "SCRIPT LOAD"), 1);
    assert_int_equal(proxy_count(middle, "EVALSHA"), 1); /* of the first handshake */
    proxy_release(middle);
    assert_event(&world.set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(proxy_count(middle, "SET"), 1);
    assert_string_equal(server_text(world.set.servers[0], "GET " KEY), token_of(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* The old connection is killed, and no other client of the server. */
static void test_fence_kills_the_old_connection_only(void **state)
{
    server *redis;
    int i;

    (void)state;
    start(1, true, NULL);
    redis = world.set.servers[0];
    for (i = 0; i < 3; i++)
        server_send(redis, "PING");
    proxied_on(&world, "SET", PROXY_CUT_LATE);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_int_equal(server_calls(redis, "client|kill"), 1);
    /* they, the administrator, the new connection */
    wait_until(server_info(redis, "clients", "connected_clients") == 3 + 1 + 1);

    proxied_release(&world);
    assert_int_equal(server_calls(redis, "set"), 1);
    assert_int_equal(server_info(redis, "clients", "connected_clients"), 3 + 1 + 1);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* A connection that ended with nothing unanswered needs no fence. */
static void test_fence_is_left_out_when_all_was_answered(void **state)
{
    (void)state;
    start(1, true, NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxy_cut(world.proxies[0], PROXY_RST);
    serve_until(&world.set.posix, proxied_accepted(&world) == 2);

    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_int_equal(proxied_accepted(&world), 2);
    assert_int_equal(proxied_count(&world, "CLIENT KILL"), 0);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* The fencing connection ends too, at each step of its handshake: the duty passes on. */
static void test_fence_survives_cuts_of_the_handshake(void **state)
{
    static const char *const steps[] = {"HELLO", "INFO", "CLIENT KILL", "SCRIPT LOAD"};
    static const proxy_action actions[] = {PROXY_CUT_BEFORE, PROXY_CUT_REPLY};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(steps) * COUNT_OF(actions); i++) {
        const char *step = steps[i / COUNT_OF(actions)];
        int64_t calls;

        start(1, true, NULL);
        proxied_on(&world, "SET", PROXY_CUT_LATE);
        proxied_on(&world, step, actions[i % COUNT_OF(actions)]);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        assert_int_equal(proxied_accepted(&world), 3);
        assert_true(proxied_count(&world, "CLIENT KILL") >= 1);
        assert_result(rlk_release(&lock), RLK_OK);
        calls = server_calls(world.set.servers[0], "set");
        proxied_release(&world);
        assert_int_equal(server_calls(world.set.servers[0], "set"), calls);
        assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
        stop();
    }
}

/* ---- Without the means ---- */

/* What a release says of a lock whose first SET was cut off by `action`. */
static rlk_result release_after(size_t count, bool tcp, const server_config *config, int *kills)
{
    rlk_result result;

    start(count, tcp, config);
    proxied_on(&world, "SET", PROXY_CUT_LATE);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    result = rlk_release(&lock);
    proxied_calm(&world);
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
    *kills = proxied_count(&world, "CLIENT KILL");
    proxied_release(&world);
    /* UNKNOWN must be said of no more than what can happen; here it does happen */
    assert_int_equal(proxied_holding(&world, KEY, NULL) >= world.set.posix.client.quorum,
                     result == RLK_UNKNOWN);
    stop();
    return result;
}

static void test_fence_needs_rights_to_be_one(void **state)
{
    static const struct {
        const server_config *config;
        bool tcp;
        rlk_result released;
        int kills; /* a node */
    } cases[] = {
        {NULL, false, RLK_OK, 1},
        {NULL, true, RLK_OK, 1},
        {&no_kill, false, RLK_UNKNOWN, 1}, /* refused */
        {&no_kill, true, RLK_UNKNOWN, 1},
        {&no_info, false, RLK_UNKNOWN, 0}, /* which instance? and all have one address */
        {&no_info, true, RLK_UNKNOWN, 1},  /* by id and address, which the proxy has changed: 0 */
        {&no_id, false, RLK_UNKNOWN, 0},   /* whom to kill? */
        {&no_id, true, RLK_UNKNOWN, 0},
    };
    static const size_t sizes[] = {1, 3};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases) * COUNT_OF(sizes); i++) {
        size_t row = i / COUNT_OF(sizes);
        size_t count = sizes[i % COUNT_OF(sizes)];
        int kills;

        assert_result(release_after(count, cases[row].tcp, cases[row].config, &kills),
                      cases[row].released);
        assert_int_equal(kills, cases[row].kills * (int)count);
    }
}

/* A server without HELLO: the id comes by CLIENT ID. */
static void test_fence_on_resp2(void **state)
{
    int kills;

    (void)state;
    assert_result(release_after(1, true, &no_hello, &kills), RLK_OK);
    assert_int_equal(kills, 1);
}

/* ---- A server that does not read: SIGSTOP ---- */

/* Fault 22, 65: the SET is in the buffers of a server that stands still; it goes on after the
 * client is gone from there. */
static void stopped_server(const char *(*url)(const server *), const server_config *config,
                           rlk_result tried)
{
    rlk_posix_options options = proxied_options();
    server *redis = server_start(config);
    rlk_holder holder;
    const char *token;

    options.settle_timeout_ms = 10000;
    start_direct(url(redis), &options);
    server_pause(redis);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    token = token_of(&lock);
    loop_quiet(&direct.posix, options.response_timeout_ms + 200); /* it has closed */
    assert_true(rlk_conn_get_state(rlk_client_conn(&direct.posix.client, 0)) != RLK_CONN_READY);
    server_resume(redis);
    assert_event(&direct.posix, RLK_EV_ACQUIRED, RLK_OK);
    server_settle(redis);
    assert_string_equal(server_text(redis, "GET " KEY), token_of(&lock));
    assert_string_equal(token, token_of(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    server_settle(redis);
    assert_null(server_text(redis, "GET " KEY));

    /* not wanted any more: undone */
    server_pause(redis);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    loop_quiet(&direct.posix, 2 * options.response_timeout_ms + 300); /* nor on one more stream */
    server_resume(redis);
    {
        rlk_event event;

        assert_true(loop_next_event(&direct.posix, &event, 20000));
        assert_int_equal(event.result, tried);
    }
    server_settle(redis);
    assert_null(server_text(redis, "GET " KEY));
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
    stop_direct();
}

static void test_fault_22_stopped_server_is_fenced(void **state)
{
    (void)state;
    stopped_server(server_url, NULL, RLK_E_RESPONSE_TIMEOUT);
    stopped_server(server_tcp_url, &with_tcp, RLK_E_RESPONSE_TIMEOUT);
    /* without run_id: over TCP the id and our own address do */
    stopped_server(server_tcp_url, &no_info, RLK_E_RESPONSE_TIMEOUT);
}

/* ---- CLIENT PAUSE ---- */

/* Fault 64: the SET waits in the server, the undo behind it; a GET would overtake both. */
static void test_fault_64_client_pause_write(void **state)
{
    static const size_t sizes[] = {1, 3};
    size_t i;

    (void)state;
    for (i = 0; i < 2 * COUNT_OF(sizes); i++) {
        bool known = i % 2 == 0; /* the pause ends before the settling does */
        rlk_posix_options options = proxied_options();
        rlk_holder holders[RLK_MAX_NODES];
        size_t n;

        options.response_timeout_ms = 10000;
        options.settle_timeout_ms = known ? 10000 : 100;
        proxied_start(&world, sizes[i / 2], true, NULL, &options);
        assert_result(rlk_lock_init(&lock, &world.set.posix.client, KEY, &config_unwatched),
                      RLK_OK);
        assert_result(rlk_query(&lock, holders, RLK_MAX_NODES), RLK_NOT_HELD);
        for (n = 0; n < world.set.count; n++)
            server_do(world.set.servers[n], "CLIENT PAUSE 60000 WRITE");
        assert_result(rlk_acquire_start(&lock, 50), RLK_PENDING);
        loop_quiet(&world.set.posix, 90);
        assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
        assert_result(rlk_query(&lock, holders, RLK_MAX_NODES), RLK_E_STATE);
        if (!known)
            assert_result_event(&world.set.posix, RLK_OP_ACQUIRE, RLK_UNKNOWN);
        for (n = 0; n < world.set.count; n++)
            server_do(world.set.servers[n], "CLIENT UNPAUSE");
        if (known)
            assert_result_event(&world.set.posix, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
        serve_until(&world.set.posix, server_calls(world.set.servers[0], "evalsha") == 2);

        proxied_calm(&world);
        assert_int_equal(server_calls(world.set.servers[0], "set"), 1);
        assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
        assert_int_equal(proxied_accepted(&world), (int)world.set.count);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        stop();
    }
}

/* The same, and the connection's response time ends before the pause: the paused SET is killed. */
static void test_fault_64_client_pause_and_reconnect(void **state)
{
    server *redis;

    (void)state;
    start(1, true, NULL);
    redis = world.set.servers[0];
    server_do(redis, "CLIENT PAUSE 60000 WRITE");
    assert_result(rlk_acquire(&lock, 50), RLK_UNKNOWN);
    serve_until(&world.set.posix, proxied_count(&world, "CLIENT KILL") >= 1);

    server_do(redis, "CLIENT UNPAUSE");
    proxied_calm(&world);
    assert_int_equal(server_calls(redis, "set"), 0);
    assert_null(server_text(redis, "GET " KEY));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* ---- Another instance ---- */

/* Fault 71: the server was restarted, its ids begin anew, and innocent clients bear the old ones.
 * None of them is killed, and the new instance can have no command of the old one's. */
static void test_fault_71_client_id_reused_after_a_restart(void **state)
{
    int clients;
    server *redis;

    (void)state;
    start(1, true, NULL);
    redis = world.set.servers[0];
    proxied_on(&world, "SET", PROXY_HOLD);
    assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "SET") == 1);

    server_restart(redis, false);
    for (clients = 0; clients < 8; clients++)
        server_send(redis, "PING");
    assert_event(&world.set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(proxied_count(&world, "CLIENT KILL"), 0);
    assert_true(server_info(redis, "clients", "connected_clients") >= 8 + 2);
    assert_string_equal(server_text(redis, "GET " KEY), token_of(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_release(&world);
    assert_null(server_text(redis, "GET " KEY));
    stop();
}

/* Fault 91: the name leads to another server after the connection was lost, while the old one goes
 * on: nothing can be fenced there from here. */
static void failover(bool one_try)
{
    rlk_posix_options options = proxied_options();
    server *old = server_start(&with_tcp);
    server *fresh = server_start(&with_tcp);
    name_book book;
    const char *token;

    name_book_init(&book, server_port(old));
    options.resolver = &book.resolver;
    options.settle_timeout_ms = 10000;
    start_direct("redis://lock.example:7000", &options);
    server_pause(old);
    assert_result(rlk_acquire_start(&lock, one_try ? RLK_TRY : 20000), RLK_PENDING);
    token = token_of(&lock);
    loop_quiet(&direct.posix, 50);
    name_book_means(&book, server_port(fresh));
    if (one_try) {
        assert_result_event(&direct.posix, RLK_OP_ACQUIRE, RLK_UNKNOWN);
        assert_null(server_text(fresh, "GET " KEY));
    } else {
        assert_event(&direct.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_string_equal(server_text(fresh, "GET " KEY), token);
        assert_result(rlk_release(&lock), RLK_UNKNOWN);
        assert_null(server_text(fresh, "GET " KEY));
    }
    assert_int_equal(book.asked, 2);
    assert_int_equal(server_calls(fresh, "client|kill"), 0);
    server_resume(old); /* and there it is */
    wait_until(server_calls(old, "set") == 1);

    assert_string_equal(server_text(old, "GET " KEY), token);
    stop_direct();
}

static void test_fault_91_failover_with_an_endpoint_change(void **state)
{
    (void)state;
    failover(false);
    failover(true);
}

/* The same behind one address: it is taken for a restart, so that the new instance's clients are
 * left alone. What reaches it can be no command of the old connection. */
static void test_fault_91_failover_behind_one_address(void **state)
{
    server *fresh;

    (void)state;
    start(1, true, NULL);
    fresh = server_start(NULL);
    proxied_on(&world, "SET", PROXY_CUT_LATE);
    proxy_redirect(world.proxies[0], server_url(fresh));
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_int_equal(server_calls(fresh, "client|kill"), 0);
    assert_string_equal(server_text(fresh, "GET " KEY), token_of(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_release(&world);
    assert_null(server_text(fresh, "GET " KEY));
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fence_goes_step_by_step),
        support_test(test_fence_kills_the_old_connection_only),
        support_test(test_fence_is_left_out_when_all_was_answered),
        support_test(test_fence_survives_cuts_of_the_handshake),
        support_test(test_fence_needs_rights_to_be_one),
        support_test(test_fence_on_resp2),
        support_test(test_fault_22_stopped_server_is_fenced),
        support_test(test_fault_64_client_pause_write),
        support_test(test_fault_64_client_pause_and_reconnect),
        support_test(test_fault_71_client_id_reused_after_a_restart),
        support_test(test_fault_91_failover_with_an_endpoint_change),
        support_test(test_fault_91_failover_behind_one_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
