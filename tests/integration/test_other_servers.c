/* SPDX-License-Identifier: MIT
 *
 * Servers and proxies of other makes: what they say to the handshake instead of what Redis says.
 * Faults 98-101, 104 and 108. Where Redis can't be brought to it, a proxy before a real one says
 * their words.
 */
#include "nodes.h"
#include "program.h"
#include "proxy.h"

#include <stdio.h>
#include <string.h>

static nodes set;
static server *redis;
static proxy *middle;
static rlk_lock lock;

#define KEY "lock:a"

static void open_at(const char *url, const rlk_options *options)
{
    nodes_open_urls(&set, &url, 1, options);
    assert_result(rlk_lock_init(&lock, &set.client, KEY, NULL), RLK_OK);
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

static rlk_conn *conn(void)
{
    return rlk_client_conn(&set.client, 0);
}

/* "unix://" user:password "@" path, of the proxy. */
static const char *url_with(const char *credentials)
{
    static char url[512];

    snprintf(url, sizeof url, "unix://%s%s%s", credentials, credentials[0] != '\0' ? "@" : "",
             proxy_url(middle) + strlen("unix://"));
    return url;
}

/* A lock works, from the first call on. */
static void assert_works(void)
{
    rlk_lock other;

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_string_equal(server_text(redis, "GET " KEY), token_of(&lock));
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_result(rlk_lock_init(&other, &set.client, KEY, NULL), RLK_OK);
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_BUSY);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS " KEY), 0);
    assert_string_equal(rlk_client_error(&set.client), "");
    rlk_lock_close(&other);
}

/* Refused for a reason that stays: one attempt, whatever is called, with these words. */
static void assert_refused(rlk_result result, const char *words)
{
    assert_result(rlk_acquire(&lock, RLK_FOREVER), result);
    assert_contains(rlk_lock_error(&lock), rlk_result_text(result));
    assert_contains(rlk_lock_error(&lock), words);
    assert_result(rlk_acquire(&lock, 1000), result);
    loop_serve(&set.client, 300);
    assert_int_equal(rlk_conn_failures(conn()), 1);
}

/* ---- HELLO ---- */

/* Faults 98 and 100: refused in whatever words, HELLO is left out, and AUTH and SETNAME done. */
static void test_fault_98_100_hello_refused_in_any_words(void **state)
{
    static const char *const words[] = {
        "-ERR Unknown or disabled command 'HELLO'\r\n",
        "-ERR unsupported command\r\n",
        "-unsupported operation now :HELLO\r\n",
        "-ERR wrong number of arguments for 'hello' command\r\n",
        "-NOPERM this user has no permissions to run the 'hello' command\r\n",
        "-NOAUTH Authentication required.\r\n",
        "-ERR invalid password\r\n",
    };
    server_config config = {.password = "sesame"};
    rlk_options options;
    size_t i;

    (void)state;
    redis = server_start(&config);
    memset(&options, 0, sizeof options);
    options.client_name = "worker-7";
    for (i = 0; i < COUNT_OF(words); i++) {
        middle = proxy_start(server_url(redis), false);
        proxy_on(middle, "HELLO", 0, PROXY_ANSWER, words[i]);
        open_at(url_with(":sesame"), &options);
        assert_works();
        assert_int_equal(rlk_conn_protocol(conn()), 2);
        assert_int_equal(rlk_conn_failures(conn()), 0);
        assert_contains(server_text(redis, "CLIENT LIST"), " name=worker-7 ");
        close_all();
        proxy_free(middle);
    }
}

/* Fault 99: an array, and a map that says proto 2, are a yes: with RESP2, and no AUTH behind it. */
static void test_fault_99_hello_answered_in_another_shape(void **state)
{
    static const char *const shapes[] = {
        "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:"
        "2\r\n"
        "$2\r\nid\r\n:5\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
        "$7\r\nmodules\r\n*0\r\n",
        "%2\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:5\r\n",
    };
    server_config config = {.password = "sesame"};
    size_t i;

    (void)state;
    redis = server_start(&config);
    for (i = 0; i < COUNT_OF(shapes); i++) {
        middle = proxy_start(server_url(redis), false);
        proxy_on(middle, "HELLO", 0, PROXY_REWRITE, shapes[i]);
        open_at(url_with(":sesame"), NULL);
        assert_works();
        assert_int_equal(rlk_conn_protocol(conn()), 2);
        assert_int_equal(proxy_count(middle, "HELLO"), 1);
        assert_int_equal(proxy_count(middle, "AUTH"), 0);
        assert_int_equal(proxy_count(middle, "CLIENT TRACKING"), 0);
        close_all();
        proxy_free(middle);
    }
}

/* ---- AUTH ---- */

/* Fault 101: a server before Redis 6 knows no users. `default` means the same as none there. */
static void test_fault_101_auth_before_redis_6(void **state)
{
    server_config config = {.password = "sesame"};

    (void)state;
    redis = server_start(&config);
    middle = proxy_start(server_url(redis), false);
    proxy_on(middle, "HELLO", 0, PROXY_ANSWER, "-ERR unknown command `HELLO`\r\n");
    proxy_on(middle, "AUTH default", 0, PROXY_ANSWER,
             "-ERR wrong number of arguments for 'auth' command\r\n");
    proxy_on(middle, "AUTH app", 0, PROXY_ANSWER,
             "-ERR wrong number of arguments for 'auth' command\r\n");
    open_at(url_with("default:sesame"), NULL);
    assert_works();
    close_all();
    open_at(url_with("app:sesame"), NULL);
    assert_refused(RLK_E_USER, "AUTH; the server said: ERR wrong number of arguments");
    close_all();
}

/* Fault 108: whatever the words in which a password is refused, it is tried once. */
static void test_fault_108_password_refused_in_any_words(void **state)
{
    static const char *const words[] = {
        "-ERR invalid password\r\n",
        "-ERR Client sent AUTH, but no password is set\r\n",
        "-ERR no such luck\r\n",
    };
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(words); i++) {
        middle = proxy_start(server_url(redis), false);
        proxy_on(middle, "HELLO", 0, PROXY_ANSWER, "-ERR unsupported command\r\n");
        proxy_on(middle, "AUTH", 0, PROXY_ANSWER, words[i]);
        open_at(url_with(":guess"), NULL);
        assert_refused(RLK_E_AUTH, "AUTH; the server said: ERR ");
        assert_int_equal(proxy_count(middle, "AUTH"), 1);
        close_all();
        proxy_free(middle);
    }
}

/* ---- What is no server for locks ---- */

/* Fault 104: Sentinel's own port, with HELLO and without. */
static void test_fault_104_sentinel(void **state)
{
    rlk_options options;
    char path[256];
    char url[300];
    FILE *file;
    int i;

    (void)state;
    redis = server_start(NULL); /* for its folder */
    snprintf(path, sizeof path, "%s/sentinel.conf", server_folder(redis));
    snprintf(url, sizeof url, "unix://%s/sentinel.sock", server_folder(redis));
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "port 0\nunixsocket %s\ndir %s\n", url + strlen("unix://"), server_folder(redis));
    fclose(file);
    program_expect(program_start("redis-server", path, "--sentinel", NULL), "Sentinel ID is");
    for (i = 0; i < 2; i++) {
        memset(&options, 0, sizeof options);
        options.resp2_only = i == 1;
        open_at(url, &options);
        assert_refused(RLK_E_SENTINEL, i == 0 ? "HELLO" : "INFO");
        close_all();
    }
}

/* Fault 104: a cluster has one database, and says so in words of its own; so do proxies. */
static void test_fault_104_select_not_known(void **state)
{
    server_config config = {.lines = SERVER_LINES("cluster-enabled yes")};
    static const char *const words[] = {
        "-ERR unknown command 'SELECT'\r\n",
        "-ERR unsupported command\r\n",
        "-forbidden\r\n",
    };
    char url[300];
    size_t i;

    (void)state;
    redis = server_start(&config);
    snprintf(url, sizeof url, "%s?db=3", server_url(redis));
    open_at(url, NULL);
    assert_refused(RLK_E_DATABASE, "SELECT; the server said: ERR");
    assert_contains(rlk_lock_error(&lock), "use database 0");
    assert_true((rlk_conn_server(conn()) & RLK_SERVER_CLUSTER) != 0);
    close_all();
    for (i = 0; i < COUNT_OF(words); i++) {
        middle = proxy_start(server_url(redis), false);
        proxy_on(middle, "SELECT", 0, PROXY_ANSWER, words[i]);
        snprintf(url, sizeof url, "%s?db=3", proxy_url(middle));
        open_at(url, NULL);
        assert_refused(RLK_E_DATABASE, "use database 0");
        close_all();
        proxy_free(middle);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_fault_98_100_hello_refused_in_any_words),
        support_test(test_fault_99_hello_answered_in_another_shape),
        support_test(test_fault_101_auth_before_redis_6),
        support_test(test_fault_108_password_refused_in_any_words),
        support_test(test_fault_104_sentinel),
        support_test(test_fault_104_select_not_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
