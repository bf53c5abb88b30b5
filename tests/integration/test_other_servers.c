/* SPDX-License-Identifier: MIT
 *
 * Servers and proxies of other makes: what they say to the handshake instead of what Redis says.
 * Faults 98-108. Where Redis can't be brought to it, a proxy before a real one says
 * their words.
 */
#include "nodes.h"
#include "program.h"
#include "proxy.h"
#include "stream_socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static nodes set;
static server *redis;
static proxy *middle;
static rlk_lock lock;

#define KEY "lock:a"

static void open_at(const char *url, const rlk_posix_options *options)
{
    nodes_open_urls(&set, &url, 1, options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config_unwatched), RLK_OK);
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

static rlk_conn *conn(void)
{
    return rlk_client_conn(&set.posix.client, 0);
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
    assert_result(rlk_lock_init(&other, &set.posix.client, KEY, &config_unwatched), RLK_OK);
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_BUSY);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS " KEY), 0);
    assert_string_equal(rlk_client_error(&set.posix.client), "");
    rlk_lock_close(&other);
}

/* Refused for a reason that stays: one attempt, whatever is called, with these words. */
static void assert_refused(rlk_result result, const char *words)
{
    assert_result(rlk_acquire(&lock, RLK_FOREVER), result);
    assert_contains(rlk_lock_error(&lock), rlk_result_text(result));
    assert_contains(rlk_lock_error(&lock), words);
    assert_result(rlk_acquire(&lock, 1000), result);
    loop_serve(&set.posix, 300);
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
    rlk_posix_options options;
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
    rlk_posix_options options;
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
    server_config config = {.cluster = true};
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

/* ---- Scripts ---- */

/* Fault 102: SCRIPT is not known, and EVALSHA is: EVAL is used, once, and after each NOSCRIPT for
 * good. The proxies of this kind route by keys. */
static void test_fault_102_no_script_load(void **state)
{
    static const char *const words[] = {
        "-ERR unsupported command\r\n",
        "-ERR unknown command 'SCRIPT'\r\n",
        "-NOPERM this user has no permissions to run the 'script|load' command\r\n",
        "-forbidden\r\n",
    };
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(words); i++) {
        int evals;

        server_do(redis, "SCRIPT FLUSH");
        middle = proxy_start(server_url(redis), false);
        proxy_on(middle, "HELLO", 0, PROXY_ANSWER, "-ERR unsupported command\r\n");
        proxy_on(middle, "CLIENT", 0, PROXY_ANSWER, "-ERR unsupported command\r\n");
        proxy_on(middle, "INFO", 0, PROXY_ANSWER, "-ERR unsupported command\r\n");
        proxy_on(middle, "SCRIPT", 0, PROXY_ANSWER, words[i]);
        if (i % 2 == 0) /* without a key it does not know where to */
            proxy_on(middle, "EVALSHA", 1, PROXY_ANSWER, "-ERR wrong number of arguments\r\n");
        open_at(proxy_url(middle), NULL);
        assert_works();
        evals = (int)server_calls(redis, "eval");
        assert_works();
        assert_int_equal(server_calls(redis, "eval"), evals); /* EVALSHA does */
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        server_do(redis, "SCRIPT FLUSH");
        assert_result(rlk_release(&lock), RLK_OK);
        assert_int_equal(server_calls(redis, "eval"), evals + 1);
        assert_int_equal(server_integer(redis, "EXISTS " KEY), 0);
        assert_works();
        assert_int_equal(server_calls(redis, "eval"), evals + 3); /* for good */
        assert_int_equal(rlk_conn_failures(conn()), 0);
        close_all();
        proxy_free(middle);
    }
}

/* The same by permissions: EVAL instead of SCRIPT LOAD, for keys of the user's own only. */
static void test_fault_102_eval_by_acl(void **state)
{
    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    server_do(redis,
              "ACL SETUSER app reset on >secret resetkeys ~lock:* -@all +hello +set +evalsha "
              "+eval +get +del +pexpire +pttl");
    open_at(url_with("app:secret"), NULL);
    assert_works();
    assert_int_equal(server_calls(redis, "eval"), 1);
    server_do(redis, "SCRIPT FLUSH");
    assert_works();
    assert_works();
    assert_int_equal(server_calls(redis, "eval"), 1 + 2 + 2);
    close_all();
}

/* Without any way to run the script a lock could never be released: so none is taken. */
static void test_fault_102_no_scripts_at_all(void **state)
{
    static const char *const words[] = {
        "-ERR unknown command 'EVAL'\r\n",
        "-ERR This instance has Lua scripting support disabled\r\n",
        "-ERR Could not find scripting engine 'lua'\r\n",
    };
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(words); i++) {
        middle = proxy_start(server_url(redis), false);
        proxy_on(middle, "SCRIPT", 0, PROXY_ANSWER, words[i]);
        proxy_on(middle, "EVALSHA", 0, PROXY_ANSWER, words[i]);
        proxy_on(middle, "EVAL", 0, PROXY_ANSWER, words[i]);
        open_at(proxy_url(middle), NULL);
        assert_refused(RLK_E_UNSUPPORTED, "SCRIPT LOAD, EVAL; the server said: ERR");
        assert_int_equal(server_calls(redis, "set"), 0);
        close_all();
        proxy_free(middle);
    }
}

/* Of the longest key that a buffer takes, whether the script leaves with it or not. */
static void test_fault_102_eval_needs_no_larger_buffer(void **state)
{
    static char key[1000];
    static rlk_conn_entry ring[RLK_CONN_RING_MIN];
    static uint8_t tx[RLK_TX_MIN(sizeof key - 1)];
    static uint8_t rx[RLK_CONN_RX_MIN];
    static rlk_posix_memory memory;
    static rlk_posix_client posix;
    const char *url;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    url = proxy_url(middle);
    proxy_on(middle, "SCRIPT", 0, PROXY_ANSWER, "-ERR unknown command 'SCRIPT'\r\n");
    proxy_on(middle, "EVALSHA", 0, PROXY_ANSWER, "-NOSCRIPT No matching script.\r\n");
    memset(key, 'k', sizeof key - 1);
    memory.ring = ring;
    memory.ring_len = COUNT_OF(ring);
    memory.tx = tx;
    memory.tx_cap = sizeof tx;
    memory.rx = rx;
    memory.rx_cap = sizeof rx;
    assert_result(rlk_posix_open_nodes(&posix, &url, &memory, 1, NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, key, NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
}

/* Fault 105: a command that the script needs has another name, or is not there: said before the
 * first SET. */
static void test_fault_105_command_renamed(void **state)
{
    static const char *const commands[] = {"DEL", "PEXPIRE", "PTTL", "GET", "SET"};
    char line[64];
    char words[64];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(commands); i++) {
        server_config config = {.lines = (const char *const[]){line, NULL}};

        snprintf(line, sizeof line, "rename-command %s HIDDEN", commands[i]);
        snprintf(words, sizeof words, "; the server said: ERR unknown command %s)", commands[i]);
        redis = server_start(&config);
        open_at(server_url(redis), NULL);
        assert_refused(RLK_E_UNSUPPORTED, words);
        assert_contains(rlk_client_error(&set.posix.client), words);
        assert_int_equal(server_integer(redis, "DBSIZE"), 0);
        close_all();
    }
}

/* Denials of ACL LOG, with their repetitions. */
static int denials(void)
{
    const char *log = server_text(redis, "ACL LOG");
    int sum = 0;

    while ((log = strstr(log, "count\n")) != NULL) {
        log += strlen("count\n");
        sum += atoi(log);
    }
    return sum;
}

/* Fault 106: where GETEX is denied the script says so, and is asked to use GET from then on. */
static void test_fault_106_getex_denied_once(void **state)
{
    int i;

    (void)state;
    redis = server_start(NULL);
    server_do(redis, "ACL SETUSER app reset on >secret ~lock:* -@all +hello +set +evalsha "
                     "+script|load +get +del +pexpire +pttl +client|tracking +client|id +info");
    middle = proxy_start(server_url(redis), false);
    open_at(url_with("app:secret"), NULL);
    for (i = 0; i < 20; i++) {
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_result(rlk_extend(&lock, 1000), RLK_OK);
        assert_result(rlk_check(&lock), RLK_OK);
        assert_between(server_integer(redis, "PTTL " KEY), 20000, 31000);
        assert_result(rlk_release(&lock), RLK_OK);
        assert_int_equal(denials(), 1);
    }
    /* and "not ours" is understood in both ways */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    server_text(redis, "SET " KEY " other");
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    close_all();
    open_at(url_with("app:secret"), NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    server_text(redis, "DEL " KEY);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    server_text(redis, "SET " KEY " other");
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    assert_int_equal(denials(), 2); /* of the second connection */
    close_all();
}

/* ---- Hang-ups ---- */

/* Commands at which twemproxy ends the stream. */
static void hang_up_as_twemproxy(void)
{
    static const char *const unknown[] = {"HELLO", "CLIENT", "INFO", "SCRIPT", "SELECT", "COMMAND"};
    size_t i;

    for (i = 0; i < COUNT_OF(unknown); i++)
        proxy_on(middle, unknown[i], 0, PROXY_CUT_BEFORE, NULL);
}

/* Fault 103: what hangs up at an unknown command gets none: learnt in the first call, and kept for
 * the next stream. */
static void test_fault_103_hang_up_is_learnt_from(void **state)
{
    static const char *const first[] = {"HELLO", "CLIENT", "INFO", "SCRIPT"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(first); i++) {
        server_config config = {.password = "sesame"};
        rlk_posix_options options;

        redis = server_start(&config);
        middle = proxy_start(server_url(redis), false);
        memset(&options, 0, sizeof options);
        options.resp2_only = i == 1;
        if (i == 0)
            hang_up_as_twemproxy();
        else
            proxy_on(middle, first[i], 0, PROXY_CUT_BEFORE, NULL);
        open_at(url_with(":sesame"), &options);
        assert_works();
        assert_true((rlk_conn_server(conn()) & RLK_SERVER_PLAIN) != 0);
        assert_int_equal(rlk_conn_failures(conn()), 0); /* nobody noticed */
        assert_int_equal(proxy_accepted(middle), 3);
        assert_int_equal(proxy_count(middle, first[i]), 2);
        proxy_cut(middle, PROXY_FIN);
        loop_serve(&set.posix, 300);
        assert_works();
        assert_int_equal(proxy_count(middle, first[i]), 2);
        assert_int_equal(rlk_conn_failures(conn()), 1);
        close_all();
        server_free(redis);
        proxy_free(middle);
    }
}

/* One hang-up is an accident: the next attempt is whole. */
static void test_fault_103_one_hang_up_is_an_accident(void **state)
{
    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    proxy_on(middle, "HELLO", 1, PROXY_CUT_BEFORE, NULL);
    open_at(proxy_url(middle), NULL);
    assert_works();
    assert_int_equal(rlk_conn_server(conn()) & RLK_SERVER_PLAIN, 0);
    assert_true(rlk_conn_is_tracking(conn()));
    assert_int_equal(proxy_accepted(middle), 2);
    /* and who knew HELLO before knows it still */
    proxy_on(middle, "HELLO", 0, PROXY_CUT_BEFORE, NULL);
    proxy_cut(middle, PROXY_FIN);
    loop_serve(&set.posix, 500);
    proxy_clear(middle);
    serve_until(&set.posix, rlk_conn_get_state(conn()) == RLK_CONN_READY);

    assert_int_equal(rlk_conn_server(conn()) & RLK_SERVER_PLAIN, 0);
    close_all();
}

/* What hangs up at everything is no server: an error, and the whole handshake again. */
static void test_fault_103_hang_up_at_everything(void **state)
{
    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    hang_up_as_twemproxy();
    proxy_on(middle, "EVAL", 0, PROXY_CUT_BEFORE, NULL);
    open_at(proxy_url(middle), NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_EOF);
    assert_contains(rlk_lock_error(&lock), "HELLO; hung up before the first reply");
    assert_int_equal(proxy_accepted(middle), 3);
    proxy_clear(middle);
    assert_works();
    assert_int_equal(rlk_conn_server(conn()) & RLK_SERVER_PLAIN, 0);
    close_all();
}

/* ---- Notifications ---- */

#ifndef RLK_NO_TRACE
static uint32_t silent_connections(void)
{
    rlk_stats stats;

    rlk_client_stats(&set.posix.client, &stats);
    return stats.silent;
}
#endif

/* Somebody has the key without expiry, and lets go of it while the lock waits. */
static void assert_acquired_behind_a_holder(void)
{
    server_text(redis, "SET " KEY " somebody");
    assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
    loop_quiet(&set.posix, 100);
    server_text(redis, "DEL " KEY);
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
}

/* Fault 107: a server that grants tracking and sends nothing is found out by the second recheck
 * that finds the key gone; from then on it is polled, until the next stream. */
static void test_fault_107_tracking_that_is_silent(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    proxy_on(middle, "CLIENT TRACKING", 0, PROXY_ANSWER, "+OK\r\n");
    nodes_open_urls(&set, (const char *[]){proxy_url(middle)}, 1, NULL);
    config.recheck_max_ms = 1000;
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config), RLK_OK);
    assert_acquired_behind_a_holder();
    assert_true(rlk_conn_is_tracking(conn()));
    assert_acquired_behind_a_holder();
    assert_false(rlk_conn_is_tracking(conn()));
    assert_true((rlk_conn_server(conn()) & RLK_SERVER_SILENT) != 0);
#ifndef RLK_NO_TRACE
    assert_int_equal(silent_connections(), 1);
#endif
    /* polled: far more often than a recheck would be */
    server_text(redis, "SET " KEY " somebody");
    server_do(redis, "CONFIG RESETSTAT");
    assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
    serve_until(&set.posix, server_calls(redis, "set") >= 8);

    assert_result(rlk_cancel(&lock), RLK_OK);
    assert_result_event(&set.posix, RLK_OP_ACQUIRE, RLK_CANCELLED);
    proxy_clear(middle);
    proxy_cut(middle, PROXY_FIN);
    loop_serve(&set.posix, 300);
    serve_until(&set.posix, rlk_conn_is_tracking(conn()));

    close_all();
}

/* ... and one that does its duty is not: not by releases, nor by expiries, nor by own changes. */
static void test_fault_107_tracking_that_works_is_trusted(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock own;
    int i;

    (void)state;
    redis = server_start(NULL);
    nodes_open_urls(&set, (const char *[]){server_url(redis)}, 1, NULL);
    config.recheck_max_ms = 50; /* a recheck at any time */
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_lock_init(&own, &set.posix.client, KEY, NULL), RLK_OK);
    for (i = 0; i < 10; i++) {
        assert_acquired_behind_a_holder();
        server_text(redis, "SET " KEY " somebody PX %d", 60 + 7 * i);
        assert_result(rlk_acquire(&lock, 10000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        assert_result(rlk_acquire(&own, RLK_TRY), RLK_OK);
        assert_result(rlk_acquire_start(&lock, 10000), RLK_PENDING);
        loop_quiet(&set.posix, 60);
        assert_result(rlk_release(&own), RLK_OK);
        assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        assert_true(rlk_conn_is_tracking(conn()));
    }
    rlk_lock_close(&own);
    close_all();
}

/* Dragonfly, by its HELLO: TRACKING without NOLOOP, which it would take and then send nothing. It
 * notifies of own changes too, then, and they make no storm. */
static void test_other_servers_dragonfly(void **state)
{
    rlk_lock other;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    proxy_on(middle, "HELLO", 0, PROXY_REWRITE,
             "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n"
             "$17\r\ndragonfly_version\r\n$10\r\ndf-v1.30.3\r\n$5\r\nproto\r\n:3\r\n"
             "$2\r\nid\r\n:5\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n");
    open_at(proxy_url(middle), NULL);
    assert_result(rlk_lock_init(&other, &set.posix.client, KEY, &config_unwatched), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(proxy_count(middle, "CLIENT TRACKING ON NOLOOP"), 0);
    assert_int_equal(proxy_count(middle, "CLIENT TRACKING ON"), 1);
    assert_result(rlk_acquire_start(&other, 10000), RLK_PENDING);
    loop_quiet(&set.posix, 100);
    server_do(redis, "CONFIG RESETSTAT");
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    loop_quiet(&set.posix, 500);
    assert_between(server_calls(redis, "evalsha"), 1, 5);
    assert_between(server_calls(redis, "set"), 0, 5);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&other), RLK_OK);
    rlk_lock_close(&other);
    close_all();
}

/* A port for the statistics that twemproxy can't do without. */
static const char *free_port(void)
{
    static char port[8];
    stream_address address;
    int fd;

    memset(&address, 0, sizeof address);
    fd = stream_bind(&address, true, NULL);
    snprintf(port, sizeof port, "%d", stream_port(&address));
    close(fd);
    return port;
}

static bool accepts(const char *url)
{
    stream_address address;
    int fd;

    stream_parse(&address, url);
    fd = stream_connect(&address);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The real twemproxy, where the distribution has one. */
static void test_fault_103_twemproxy(void **state)
{
    static const char path_of[] = "/usr/sbin/nutcracker";
    char path[256];
    char pids[300];
    char url[300];
    FILE *file;
    int i;

    (void)state;
    if (access(path_of, X_OK) != 0) {
        print_message("there is no %s: not tested\n", path_of);
        return;
    }
    redis = server_start(NULL);
    snprintf(path, sizeof path, "%s/twemproxy.yml", server_folder(redis));
    snprintf(pids, sizeof pids, "%s/twemproxy.pid", server_folder(redis));
    snprintf(url, sizeof url, "unix://%s/twemproxy.sock", server_folder(redis));
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "pool:\n  listen: %s 0666\n  redis: true\n  servers:\n   - %s:1 one\n",
            url + strlen("unix://"), server_path(redis));
    fclose(file);
    program_expect(program_start(path_of, "-c", path, "-o", "/dev/stderr", "-p", pids, "-a",
                                 "127.0.0.1", "-s", free_port(), NULL),
                   "run, rabbit run");
    wait_until(accepts(url)); /* the path is there before it listens */

    open_at(url, NULL);
    for (i = 0; i < 3; i++)
        assert_works();
    server_do(redis, "SCRIPT FLUSH");
    assert_works();
    assert_int_equal(rlk_conn_failures(conn()), 0);
    assert_true((rlk_conn_server(conn()) & RLK_SERVER_EVAL) != 0);
    close_all();
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
        support_test(test_fault_102_no_script_load),
        support_test(test_fault_102_eval_by_acl),
        support_test(test_fault_102_no_scripts_at_all),
        support_test(test_fault_102_eval_needs_no_larger_buffer),
        support_test(test_fault_105_command_renamed),
        support_test(test_fault_106_getex_denied_once),
        support_test(test_fault_103_hang_up_is_learnt_from),
        support_test(test_fault_103_one_hang_up_is_an_accident),
        support_test(test_fault_103_hang_up_at_everything),
        support_test(test_fault_103_twemproxy),
        support_test(test_fault_107_tracking_that_is_silent),
        support_test(test_fault_107_tracking_that_works_is_trusted),
        support_test(test_other_servers_dragonfly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
