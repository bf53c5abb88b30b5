/* SPDX-License-Identifier: MIT
 *
 * Streams that are not what they seem: no longer authenticated (fault 94), of a server that loads
 * for long or has lost its primary (95), of a cluster (97), out of step (113), dead while nobody
 * read from it (115), closed after each good handshake (117).
 */
#include "failover.h"
#include "proxy.h"

#include <stdio.h>

static proxy *middle;
static rlk_holder seen;

/* One server, a proxy before it. */
static void open_behind_proxy(const server_config *config, const rlk_posix_options *options)
{
    const char *url;

    primary = server_start(config);
    middle = proxy_start(server_url(primary), false);
    url = proxy_url(middle);
    nodes_open_urls(&set, &url, 1, options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config_unwatched), RLK_OK);
}

/* ---- 94: NOAUTH on a stream that had authenticated ---- */

#define NOAUTH "-NOAUTH Authentication required.\r\n"

static void test_fault_94_authenticates_again(void **state)
{
    static const server_config config = {.password = "right"};
    rlk_posix_options options;
    rlk_holder holder;

    (void)state;
    memset(&options, 0, sizeof options);
    options.password = "right";
    open_behind_proxy(&config, &options);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    /* a try has one on the next stream, which authenticates */
    proxy_on(middle, "SET", 1, PROXY_ANSWER, NOAUTH);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(proxy_accepted(middle), 2);
    assert_result(rlk_conn_result(rlk_client_conn(&set.posix.client, 0)), RLK_OK);
    /* once more at once: the command's own error, which the lock survives */
    proxy_on(middle, "EVALSHA", 1, PROXY_ANSWER, NOAUTH);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_int_equal(proxy_accepted(middle), 2);
    proxy_on(middle, "GET", 1, PROXY_ANSWER, NOAUTH);
    assert_result(rlk_query(&lock, &holder, 1), RLK_E_NOAUTH);
    assert_contains(rlk_lock_error(&lock), "the next connection sends it");
    assert_true(rlk_is_held(&lock));
    proxy_on(middle, "EVALSHA", 1, PROXY_ANSWER, NOAUTH);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_null(server_text(primary, "GET " KEY));
    close_all();
}

/* The password is another by now: the handshake says so, and that is fatal. */
static void test_fault_94_password_is_another(void **state)
{
    rlk_posix_options options;

    (void)state;
    memset(&options, 0, sizeof options);
    options.user = "worker";
    options.password = "right";
    primary = NULL;
    open_behind_proxy(
        &(const server_config){.lines = SERVER_LINES("user worker on >right ~* &* +@all")},
        &options);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    server_do(primary, "ACL SETUSER worker resetpass >wrong");
    assert_result(rlk_check(&lock), RLK_OK); /* a stream that has authenticated stays so */
    proxy_on(middle, "EVALSHA", 1, PROXY_ANSWER, NOAUTH);
    assert_result(rlk_extend(&lock, 1000), RLK_E_AUTH);
    assert_int_equal(rlk_conn_get_state(rlk_client_conn(&set.posix.client, 0)), RLK_CONN_FATAL);
    assert_int_equal(proxy_accepted(middle), 2); /* one attempt */
    server_do(primary, "ACL SETUSER worker resetpass >right");
    assert_result(rlk_client_reset(&set.posix.client), RLK_OK);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* ---- 95: LOADING, MASTERDOWN ---- */

/* The first address loads for long: the next. */
static void test_fault_95_first_address_loads(void **state)
{
    server_config config = {
        .tcp = true,
        .lines = SERVER_LINES("key-load-delay 500", "loading-process-events-interval-bytes 1024")};
    int64_t begun;

    (void)state;
    primary = server_start(&config);
    replica = server_start(&(const server_config){.tcp = true});
    server_do(primary, "DEBUG POPULATE 40000");
    server_save(primary);
    server_restart_begin(primary, true);
    name_means(primary, replica);
    open_name(NULL);
    begun = support_now_ms();
    assert_result(rlk_acquire(&lock, 10000), RLK_OK);
    assert_true(support_now_ms() - begun < scaled(5000));
    assert_at(replica, &lock);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* One that lost its primary, on a stream that stays: after some seconds the next. */
static void test_fault_95_masterdown_that_lasts(void **state)
{
    int64_t begun;

    (void)state;
    strangers_start();
    name_means(primary, replica);
    open_name(NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    server_do(primary, "CONFIG SET replica-read-only no");
    server_do(primary, "CONFIG SET replica-serve-stale-data no");
    server_do(primary, "REPLICAOF 127.0.0.1 1");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_MASTERDOWN);
    begun = support_now_ms();
    assert_result(rlk_acquire(&lock, 4 * RLK_CONDEMN_MS), RLK_OK);
    assert_true(support_now_ms() - begun >= RLK_CONDEMN_MS / 2);
    assert_at(replica, &lock);
    assert_int_equal(book.asked, 2);
    close_all();
}

/* ---- 97: a cluster ---- */

static void test_fault_97_moved_and_ask(void **state)
{
    static const struct {
        const char *reply;
        rlk_result result;
    } rows[] = {{"-MOVED 12182 10.0.0.7:6379\r\n", RLK_E_MOVED},
                {"-ASK 12182 10.0.0.7:6379\r\n", RLK_E_ASK}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        int64_t begun = support_now_ms();
        int scripts;

        open_behind_proxy(NULL, NULL);
        proxy_on(middle, "SET", 0, PROXY_ANSWER, rows[i].reply);
        assert_result(rlk_acquire(&lock, 60000), rows[i].result);
        assert_contains(rlk_lock_error(&lock), "connect to a server without Cluster");
        assert_contains(rlk_lock_error(&lock), "10.0.0.7:6379");
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        assert_result_event(&set.posix, RLK_OP_ACQUIRE, rows[i].result);
        assert_int_equal(proxy_count(middle, "SET"), 2); /* the second succeeds */
        proxy_clear(middle);
        /* a slot that moves while the lock is held */
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        scripts = proxy_count(middle, "EVALSHA");
        proxy_on(middle, "EVALSHA", 0, PROXY_ANSWER, rows[i].reply);
        assert_result(rlk_extend(&lock, 1000), rows[i].result);
        assert_true(rlk_is_held(&lock));
        assert_result(rlk_release(&lock), rows[i].result);
        assert_int_equal(proxy_count(middle, "EVALSHA"), scripts + 2);
        assert_true(support_now_ms() - begun < scaled(5000));
        close_all();
        support_teardown(NULL);
    }
}

/* A real one, that knows another node, whose slot the key's is. */
static void test_fault_97_real_cluster(void **state)
{
    char path[256];
    FILE *file;
    server_config config = {
        .tcp = true,
        .cluster = true,
        .lines = SERVER_LINES("cluster-node-timeout 600000", "cluster-config-file nodes.conf")};
    const char *url;

    (void)state;
    primary = server_start(&config);
    server_stop(primary);
    (void)snprintf(path, sizeof path, "%s/nodes.conf", server_folder(primary));
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:7@17 myself,master - 0 0 1 connected"
          " 0-8000\n"
          "67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1 127.0.0.1:7@17 master - 0 0 2 connected"
          " 8001-16383\n"
          "vars currentEpoch 2 lastVoteEpoch 0\n",
          file);
    assert_int_equal(fclose(file), 0);
    server_restart(primary, true);
    wait_until(strstr(server_text(primary, "CLUSTER INFO"), "cluster_state:ok") != NULL);

    url = server_url(primary);
    nodes_open_urls(&set, &url, 1, NULL);
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config_unwatched),
                  RLK_OK); /* slot 12182 */
    assert_result(rlk_acquire(&lock, 60000), RLK_E_MOVED);
    assert_contains(rlk_lock_error(&lock), "this is a node of a Redis Cluster");
    close_all();
}

/* ---- 113: the null of another command ---- */

/* *-1 is what EXEC or BLPOP say. It is no nil to SET: "somebody has it" would be made up. */
static void test_fault_113_null_of_an_array(void **state)
{
    (void)state;
    open_behind_proxy(NULL, NULL);
    proxy_on(middle, "SET", 1, PROXY_REWRITE, "*-1\r\n"); /* executed */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_UNEXPECTED);
    assert_null(server_text(primary, "GET " KEY)); /* undone */
    assert_int_equal(proxy_accepted(middle), 2);
    assert_int_equal(proxy_count(middle, "CLIENT KILL"), 1);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    proxy_on(middle, "GET", 1, PROXY_REWRITE, "*-1\r\n");
    assert_result(rlk_query(&lock, &seen, 1), RLK_E_UNEXPECTED);
    assert_result(rlk_query(&lock, &seen, 1), RLK_OK);
    assert_true(seen.ours);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* ---- 115: dead while nobody read from it ---- */

static void kill_clients(void)
{
    assert_true(server_integer(primary, "CLIENT KILL TYPE normal SKIPME yes") >= 1);
}

static rlk_result try_acquire(void)
{
    return rlk_acquire(&lock, RLK_TRY);
}

static rlk_result started_acquire(void)
{
    rlk_event event;

    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_true(loop_next_event(&set.posix, &event, scaled(10000)));
    return event.result;
}

static rlk_result ask(void)
{
    rlk_result result = rlk_query(&lock, &seen, 1);

    return result == RLK_NOT_HELD ? RLK_OK : result;
}

static rlk_result started_ask(void)
{
    rlk_event event;

    assert_result(rlk_query_start(&lock, &seen, 1), RLK_PENDING);
    assert_true(loop_next_event(&set.posix, &event, scaled(10000)));
    return event.result == RLK_NOT_HELD ? RLK_OK : event.result;
}

/* However short the time was in which nothing was asked. */
static void test_fault_115_stream_that_died_unseen(void **state)
{
    static rlk_result (*const calls[])(void) = {try_acquire, started_acquire, ask, started_ask};
    size_t i;
    size_t k;

    (void)state;
    open_behind_proxy(NULL, NULL);
    for (i = 0; i < COUNT_OF(calls); i++) {
        for (k = 0; k < 3; k++) {
            assert_result(rlk_query(&lock, &seen, 1), RLK_NOT_HELD);
            if (k == 0)
                kill_clients();
            else
                proxy_on(middle, "", 1, k == 1 ? PROXY_CUT_BEFORE : PROXY_CUT_REPLY, NULL);
            assert_result(calls[i](), RLK_OK);
            if (rlk_is_held(&lock))
                assert_result(rlk_release(&lock), RLK_OK);
            assert_null(server_text(primary, "GET " KEY));
        }
    }
    close_all();
}

/* A stream that is half-open, as behind a firewall that forgot it: noticed by the response time. */
static void test_fault_115_half_open(void **state)
{
    rlk_posix_options options;

    (void)state;
    memset(&options, 0, sizeof options);
    options.response_timeout_ms = scaled(200);
    open_behind_proxy(NULL, &options);
    assert_result(rlk_query(&lock, &seen, 1), RLK_NOT_HELD);
    proxy_half_open(middle);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxy_half_open(middle);
    assert_result(rlk_query(&lock, &seen, 1), RLK_OK);
    assert_true(seen.ours);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* A DEL that may have been executed is not sent again: it could meet the next holder's key. */
static void test_fault_115_del_is_sent_once(void **state)
{
    (void)state;
    open_behind_proxy(NULL, NULL);
    assert_result(rlk_query(&lock, &seen, 1), RLK_NOT_HELD);
    proxy_on(middle, "DEL", 1, PROXY_CUT_REPLY, NULL);
    assert_result(rlk_force_release(&lock), RLK_UNKNOWN);
    assert_int_equal(proxy_count(middle, "DEL"), 1);
    /* one that closed before is read first */
    assert_result(rlk_query(&lock, &seen, 1), RLK_NOT_HELD);
    kill_clients();
    wait_until(proxy_links(middle) == 0);

    assert_result(rlk_force_release(&lock), RLK_OK);
    assert_int_equal(proxy_count(middle, "DEL"), 2);
    close_all();
}

/* ---- 117: closed after each good handshake ---- */

static void test_fault_117_closed_after_each_handshake(void **state)
{
    const rlk_conn *conn;
    uint32_t connects;
    int64_t end;

    (void)state;
    open_behind_proxy(NULL, NULL);
    conn = rlk_client_conn(&set.posix.client, 0);
    end = support_now_ms() + 4000;
    while (support_now_ms() < end) {
        loop_serve(&set.posix, 1);
        if (rlk_conn_get_state(conn) != RLK_CONN_READY)
            continue;
        kill_clients();
        serve_until(&set.posix, rlk_conn_get_state(conn) != RLK_CONN_READY);
    }
    connects = rlk_conn_generation(conn);
    assert_between(connects, 3, 25); /* 30 a second it was */
    /* what is answered begins anew: back within the shortest backoff */
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    kill_clients();
    end = support_now_ms() + scaled(1000);
    serve_until(&set.posix, rlk_conn_get_state(conn) != RLK_CONN_READY);
    serve_until(&set.posix, rlk_conn_get_state(conn) == RLK_CONN_READY);

    assert_true(support_now_ms() < end);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_94_authenticates_again),
        support_test(test_fault_94_password_is_another),
        support_test(test_fault_95_first_address_loads),
        support_test(test_fault_95_masterdown_that_lasts),
        support_test(test_fault_97_moved_and_ask),
        support_test(test_fault_97_real_cluster),
        support_test(test_fault_113_null_of_an_array),
        support_test(test_fault_115_stream_that_died_unseen),
        support_test(test_fault_115_half_open),
        support_test(test_fault_115_del_is_sent_once),
        support_test(test_fault_117_closed_after_each_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
