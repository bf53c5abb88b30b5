/* SPDX-License-Identifier: MIT
 *
 * Names of hosts by each resolver, in a loop and in blocking calls: what DNS may answer.
 */
#include "resplock/adapters/cares.h"
#include "resplock/adapters/resolver_thread.h"
#include "resplock/adapters/uv_resolver.h"

#include "resolvers.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool no_epoll;

/* c-ares' lookups ask for one. */
int epoll_create1(int flags)
{
    if (no_epoll) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_epoll_create1, flags);
}

static server *redis;
static user one;

static void setup(void)
{
    zone_start();
    redis = server_start(&(server_config){.tcp = true});
    memset(&one, 0, sizeof one);
    zone_set(NAME, ZONE_ADDRESSES, "127.0.0.1");
}

/* All addresses, of both families: those where nobody listens are passed over. */
static void test_resolver_tries_all_addresses(void **state)
{
    static const char *const rows[] = {"127.0.0.1", "127.0.0.9,127.0.0.1", "::1,127.0.0.9",
                                       "127.0.0.9,::1"};
    size_t row;
    size_t i;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        resolver_open();
        for (i = 0; i < COUNT_OF(rows); i++) {
            if (strstr(rows[i], "::1") != NULL && !support_has_ipv6())
                continue;
            zone_set(NAME, ZONE_ADDRESSES, rows[i]);
            user_open(&one, NAME, server_port(redis), NULL);
            assert_result(user_acquire(&one, RLK_TRY), RLK_OK);
            assert_int_equal(server_integer(redis, "EXISTS foobar"), 1);
            assert_result(rlk_release(&one.lock), RLK_OK);
            user_close(&one);
        }
        kind->end();
    }
}

/* The same in blocking calls. libuv's runs no loop then, and the system is asked. */
static void test_resolver_in_blocking_calls(void **state)
{
    size_t row;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        resolver_open();
        zone_set(NAME, ZONE_ADDRESSES, "127.0.0.9,127.0.0.1");
        user_open(&one, NAME, server_port(redis), NULL);
        assert_result(rlk_acquire(&one.lock, RLK_TRY), RLK_OK);
        assert_result(rlk_release(&one.lock), RLK_OK);
        user_close(&one);
        zone_set(NAME, ZONE_NXDOMAIN, NULL);
        user_open(&one, NAME, server_port(redis), NULL);
        assert_result(rlk_acquire(&one.lock, 100), RLK_E_RESOLVE);
        user_close(&one);
        kind->end();
    }
}

/* Fault 41: asked anew at each connect, so a name that moves is followed. */
static void test_fault_41_resolver_follows_a_name_that_moves(void **state)
{
    server_config config = {0};
    char port[32];
    size_t row;

    (void)state;
    setup();
    (void)snprintf(port, sizeof port, "port %d", server_port(redis));
    config.lines = SERVER_LINES(port, "bind 127.0.0.2");
    (void)server_start(&config); /* at another address with the same port */
    for (row = 0; resolver_row(row); row++) {
        rlk_event event;
        int asked;

        resolver_open();
        zone_set(NAME, ZONE_ADDRESSES, "127.0.0.1");
        user_open(&one, NAME, server_port(redis), NULL);
        assert_result(user_acquire(&one, RLK_TRY), RLK_OK);
        assert_int_equal(server_integer(redis, "EXISTS foobar"), 1);
        asked = zone_asked(NAME);
        zone_set(NAME, ZONE_ADDRESSES, "127.0.0.2");
        (void)server_integer(redis, "CLIENT KILL TYPE normal");
        event = user_event(&one); /* the other server has not got the key */
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_true(zone_asked(NAME) > asked);
        (void)server_integer(redis, "DEL foobar");
        assert_result(user_acquire(&one, RLK_TRY), RLK_OK);
        assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);
        assert_result(rlk_release(&one.lock), RLK_OK);
        user_close(&one);
        kind->end();
    }
}

/* Fault 41: no such name, or a server that can't say: an error in words, and a wait goes on until
 * it can be resolved. */
static void test_fault_41_resolver_reports_errors_in_words(void **state)
{
    static const zone_answer answers[] = {ZONE_NXDOMAIN, ZONE_SERVFAIL, ZONE_ADDRESSES};
    size_t row;
    size_t i;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        const char *const words[] = {kind->no_such_name, kind->server_fails, ""};

        resolver_open();
        for (i = 0; i < COUNT_OF(answers); i++) {
            zone_set(NAME, answers[i], "");
            user_open(&one, NAME, server_port(redis), NULL);
            assert_result(user_acquire(&one, RLK_TRY), RLK_E_RESOLVE);
            assert_contains(rlk_lock_error(&one.lock), "the host name can't be resolved");
            assert_contains(rlk_lock_error(&one.lock), words[i]);
            assert_contains(rlk_client_error(&one.posix.client), words[i]);
            assert_result(rlk_acquire_start(&one.lock, RLK_FOREVER), RLK_PENDING);
            user_turn(&one);
            zone_set(NAME, ZONE_ADDRESSES, "127.0.0.1");
            assert_int_equal(user_event(&one).type, RLK_EV_ACQUIRED);
            assert_result(rlk_release(&one.lock), RLK_OK);
            user_close(&one);
        }
        kind->end();
    }
}

/* Where there is no descriptor for epoll, or no epoll, the client serves the lookup by time. */
static void test_resolver_cares_without_epoll(void **state)
{
    (void)state;
    setup();
    kind = &kinds[1];
    no_epoll = true;
    resolver_open();
    zone_delay(NAME, 50);
    user_open(&one, NAME, server_port(redis), NULL);
    assert_result(user_acquire(&one, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&one.lock), RLK_OK);
    user_close(&one);
    user_open(&one, NAME, server_port(redis), NULL);
    assert_result(rlk_acquire(&one.lock, RLK_TRY), RLK_OK);
    user_close(&one);
    kind->end();
    no_epoll = false;
}

/* Servers that are down: c-ares says so at once, and closes its sockets. What `configure` refuses
 * is a failure of the lookup. */
static int cares_refuses(void *context, ares_channel channel)
{
    int *calls = (int *)context;

    if (++*calls > 1)
        return ARES_EBADSTR;
    return ares_set_servers_ports_csv(channel, "127.0.0.1:1");
}

static void test_resolver_cares_reports_its_own_failures(void **state)
{
    rlk_cares names;
    rlk_cares_config config;
    int calls = 0;

    (void)state;
    setup();
    kind = &kinds[1];
    memset(&config, 0, sizeof config);
    config.configure = cares_refuses;
    config.context = &calls;
    rlk_cares_init(&names, &config);
    resolver = &names.resolver;
    user_open(&one, NAME, server_port(redis), NULL);
    assert_result(user_acquire(&one, RLK_TRY), RLK_E_RESOLVE);
    assert_contains(rlk_lock_error(&one.lock), "Could not contact DNS servers");
    assert_result(user_acquire(&one, RLK_TRY), RLK_E_RESOLVE);
    assert_contains(rlk_lock_error(&one.lock), "Misformatted string");
    user_close(&one);
    rlk_cares_close(&names);
}

/* Until a time-out of its own is due the client sleeps, and is not served over and over. */
static void test_resolver_cares_sleeps_until_its_time_outs(void **state)
{
    static const struct ares_options options = {.timeout = 40, .tries = 4};
    rlk_cares names;
    rlk_cares_config config = {&options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES, cares_server, NULL};
    int64_t end = support_now_ms() + 400;
    int at_once = 0;

    (void)state;
    setup();
    rlk_cares_init(&names, &config);
    resolver = &names.resolver;
    zone_set(NAME, ZONE_SILENT, NULL);
    user_open(&one, NAME, server_port(redis), NULL);
    assert_result(rlk_acquire_start(&one.lock, RLK_FOREVER), RLK_PENDING);
    while (support_now_ms() < end) {
        struct pollfd fds[RLK_MAX_FDS];
        int timeout_ms;
        nfds_t n = rlk_posix_prepare(&one.posix, fds, RLK_MAX_FDS, &timeout_ms);

        at_once += timeout_ms == 0;
        (void)poll(fds, n, timeout_ms >= 0 && timeout_ms < 50 ? timeout_ms : 50);
        (void)rlk_posix_service(&one.posix, fds, n);
    }
    assert_true(zone_asked(NAME) > 1);
    assert_between(at_once, 0, 5);
    user_close(&one);
    rlk_cares_close(&names);
}

/* Each client has a lookup under way at once; they are more than the threads that ask. */
static void test_resolver_has_a_hundred_lookups_at_once(void **state)
{
    enum {
        USERS = 100
    };
    static user many[USERS];
    static user *all[USERS];
    size_t row;
    size_t i;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        size_t acquired = 0;
        int64_t end = support_now_ms() + scaled(10000);

        resolver_open();
        zone_set(NAME, ZONE_SILENT, NULL);
        for (i = 0; i < USERS; i++) {
            all[i] = &many[i];
            (void)snprintf(many[i].key, sizeof many[i].key, "key%zu", i);
            user_open(&many[i], NAME, server_port(redis),
                      &(rlk_posix_options){.connect_timeout_ms = scaled(300)});
            assert_result(rlk_acquire_start(&many[i].lock, RLK_FOREVER), RLK_PENDING);
        }
        users_turn(all, USERS);
        zone_set(NAME, ZONE_ADDRESSES, "127.0.0.1");
        zone_release();
        while (acquired < USERS && support_now_ms() < end) {
            rlk_event event;

            users_turn(all, USERS);
            for (i = 0; i < USERS; i++)
                while (rlk_client_next_event(&many[i].posix.client, &event))
                    acquired += event.type == RLK_EV_ACQUIRED;
        }
        assert_int_equal(acquired, USERS);
        for (i = 0; i < USERS; i++)
            user_close(&many[i]);
        server_do(redis, "FLUSHALL");
        kind->end();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_resolver_tries_all_addresses),
        support_test(test_resolver_in_blocking_calls),
        support_test(test_fault_41_resolver_follows_a_name_that_moves),
        support_test(test_fault_41_resolver_reports_errors_in_words),
        support_test(test_resolver_cares_without_epoll),
        support_test(test_resolver_cares_reports_its_own_failures),
        support_test(test_resolver_cares_sleeps_until_its_time_outs),
        support_test(test_resolver_has_a_hundred_lookups_at_once),
    };

    return cmocka_run_group_tests_name("resolvers", tests, NULL, NULL);
}
