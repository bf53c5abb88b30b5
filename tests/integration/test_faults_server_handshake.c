/* SPDX-License-Identifier: MIT
 *
 * Servers that refuse in the handshake, know no HELLO, or allow only what is needed: faults 9, 10,
 * 15-17 and 72, and the minimal ACL.
 */
#include "hostile.h"
#include "nodes.h"
#include "proxy.h"

#include <stdio.h>
#include <string.h>

static nodes set;
static server *redis;
static rlk_lock lock;

#define KEY "lock:a"

static void open_at(const char *url, const rlk_posix_options *options)
{
    nodes_open_urls(&set, &url, 1, options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, NULL), RLK_OK);
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

/* "unix://" user:password "@" path, db: of a server or of the proxy before it. */
static const char *url_with(const char *credentials, const char *unix_url, int db)
{
    static char url[512];
    char number[16];

    snprintf(number, sizeof number, "?db=%d", db);
    snprintf(url, sizeof url, "unix://%s%s%s%s", credentials, credentials[0] != '\0' ? "@" : "",
             unix_url + strlen("unix://"), db != 0 ? number : "");
    return url;
}

static bool key_is_there(void)
{
    return server_integer(redis, "EXISTS " KEY) == 1;
}

/* Every operation that works where nothing else is in the way. */
static void use_everything(void)
{
    rlk_holder holder;
    char token[RLK_TOKEN_MAX + 1];
    rlk_lock other;

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_true(rlk_lock_token(&lock, token, sizeof token) > 0);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 38000, 40000);
    assert_result(rlk_renew(&lock, 60000), RLK_OK);
    assert_result(rlk_lock_init(&other, &set.posix.client, KEY, NULL), RLK_OK);
    assert_result(rlk_acquire(&other, RLK_TRY), RLK_BUSY);
    assert_result(rlk_query(&other, &holder, 1), RLK_OK);
    assert_string_equal(holder.token, token);
    assert_between(holder.ttl_ms, 55000, 60000);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_force_release(&other), RLK_OK);
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    rlk_lock_close(&other);
}

/* ---- wrong or missing password ---- */

/* Both are fatal: one attempt, whatever is called, until reset. */
static void refused_for_good(proxy *middle, rlk_result result, const char *said)
{
    rlk_holder holder;
    int64_t start = support_now_ms();

    assert_result(rlk_acquire(&lock, RLK_FOREVER), result);
    assert_contains(rlk_lock_error(&lock), said);
    assert_contains(rlk_lock_error(&lock), "acquire \"" KEY "\": ");
    assert_contains(rlk_lock_error(&lock), rlk_result_text(result));
    assert_contains(rlk_client_error(&set.posix.client), said);
    assert_contains(rlk_client_error(&set.posix.client), rlk_result_name(result));
    assert_contains(rlk_client_error(&set.posix.client), proxy_url(middle) + strlen("unix://"));
    assert_result(rlk_acquire(&lock, 1000), result);
    assert_result(rlk_acquire(&lock, RLK_TRY), result);
    assert_result(rlk_query(&lock, &holder, 1), result);
    assert_result(rlk_force_release(&lock), result);
    assert_between(support_now_ms() - start, 0, 900 * support_time_factor());
    loop_serve(&set.posix, 300);
    assert_int_equal(proxy_accepted(middle), 1);
    assert_int_equal(proxy_count(middle, "SET"), 0);
}

/* Fault 9: NOAUTH/WRONGPASS → fatal, no retry storm. */
static void test_fault_09_noauth_and_wrongpass(void **state)
{
    static const struct {
        const char *credentials;
        const char *said;
        bool resp2;
    } cases[] = {
        {"", "; the server said: NOAUTH", false},
        {":guess", "HELLO; the server said: WRONGPASS", false},
        {"nobody:guess", "HELLO; the server said: WRONGPASS", false},
        {":guess", "AUTH; the server said: WRONGPASS", true},
        {"", "the server said: NOAUTH", true},
    };
    server_config config = {.password = "sesame"};
    rlk_posix_options options;
    size_t i;

    (void)state;
    redis = server_start(&config);
    for (i = 0; i < COUNT_OF(cases); i++) {
        proxy *middle = proxy_start(server_url(redis), false);

        memset(&options, 0, sizeof options);
        options.resp2_only = cases[i].resp2;
        open_at(url_with(cases[i].credentials, proxy_url(middle), 0), &options);
        refused_for_good(middle, RLK_E_AUTH, cases[i].said);
        close_all();
        proxy_free(middle);
    }
}

/* Fault 9: a password that is put right is used after reset, and not before. */
static void test_fault_09_reset_after_wrongpass(void **state)
{
    server_config config = {.password = "sesame",
                            .user = "admin",
                            .user_password = "boss",
                            .lines = SERVER_LINES("user admin on >boss allkeys +@all")};
    proxy *middle;

    (void)state;
    redis = server_start(&config);
    middle = proxy_start(server_url(redis), false);
    open_at(url_with(":guess", proxy_url(middle), 0), NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_AUTH);
    server_do(redis, "CONFIG SET requirepass guess");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_AUTH);
    assert_int_equal(proxy_accepted(middle), 1);
    assert_result(rlk_client_reset(&set.posix.client), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_string_equal(rlk_client_error(&set.posix.client), "");
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* ---- permissions ---- */

/* Fault 72: SELECT refused: a lock in the wrong database is none, so it is fatal. */
static void test_fault_72_select_refused(void **state)
{
    static const struct {
        bool resp2;
        const char *said;
        rlk_result result;
    } cases[] = {
        {false, "SELECT; the server said: ERR", RLK_E_DATABASE},
        {true, "SELECT; the server said: ERR", RLK_E_DATABASE},
    };
    rlk_posix_options options;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(cases); i++) {
        proxy *middle = proxy_start(server_url(redis), false);

        memset(&options, 0, sizeof options);
        options.resp2_only = cases[i].resp2;
        open_at(url_with("", proxy_url(middle), 99), &options);
        refused_for_good(middle, cases[i].result, cases[i].said);
        close_all();
        proxy_free(middle);
    }
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
}

/* The least ACL of the README, for keys that begin with "lock:". */
#define ACL_MINIMAL                                                                                \
    "+set", "+evalsha", "+script|load", "+get", "+del", "+pexpire", "+pttl", "+hello"

/* A user "app" with password "secret" and these permissions except the `denied`. */
static void make_user(const char *const *granted, size_t count, const char *denied)
{
    size_t i;

    server_do(redis, "ACL SETUSER app reset on >secret resetkeys ~lock:* resetchannels -@all");
    for (i = 0; i < count; i++)
        if (denied == NULL || strcmp(granted[i], denied) != 0)
            server_do(redis, "ACL SETUSER app %s", granted[i]);
}

static const char *const acl_minimal[] = {ACL_MINIMAL};
static const char *const acl_getex[] = {ACL_MINIMAL, "+getex"};
static const char *const acl_fence[] = {ACL_MINIMAL, "+client|id", "+client|kill", "+info"};
static const char *const acl_all[] = {ACL_MINIMAL,    "+getex", "+client|id",
                                      "+client|kill", "+info",  "+select"};

/* The minimal ACL suffices for everything, EVAL and the like are not needed. Fault 73, too: with it
 * an undo loads the scripts again. */
static void test_fault_73_minimal_acl(void **state)
{
    static const struct {
        const char *const *granted;
        size_t count;
        int db;
    } cases[] = {
        {acl_minimal, COUNT_OF(acl_minimal), 0},
        {acl_getex, COUNT_OF(acl_getex), 0},
        {acl_fence, COUNT_OF(acl_fence), 0},
        {acl_all, COUNT_OF(acl_all), 3},
    };
    rlk_posix_options options;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(cases) * 2; i++) {
        make_user(cases[i / 2].granted, cases[i / 2].count, NULL);
        memset(&options, 0, sizeof options);
        options.resp2_only = i % 2 == 1;
        if (options.resp2_only)
            server_do(redis, "ACL SETUSER app +auth");
        open_at(url_with("app:secret", server_url(redis), cases[i / 2].db), &options);
        use_everything();
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        server_do(redis, "SCRIPT FLUSH");
        assert_result(rlk_release(&lock), RLK_OK);
        assert_string_equal(rlk_client_error(&set.posix.client), "");
        close_all();
    }
    assert_contains(server_text(redis, "INFO keyspace"), "# Keyspace"); /* all databases: */
    assert_null(strstr(server_text(redis, "INFO keyspace"), "keys="));  /* empty */
}

/* A SET is lost before it reaches the server. Who may fence knows that it will never come; who may
 * not takes the lock all the same, and says at the release what he can't know. */
static void lose_a_set(const char *const *granted, size_t count, rlk_result released)
{
    rlk_holder holder;
    proxy *middle = proxy_start(server_url(redis), false);

    make_user(granted, count, NULL);
    open_at(url_with("app:secret", proxy_url(middle), 0), NULL);
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
    proxy_on(middle, "SET", 1, PROXY_CUT_BEFORE, NULL);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_int_equal(proxy_accepted(middle), 2);
    assert_true(key_is_there());
    assert_result(rlk_release(&lock), released);
    assert_false(key_is_there());
    close_all();
    proxy_free(middle);
}

static void test_minimal_acl_with_and_without_the_fence(void **state)
{
    (void)state;
    redis = server_start(NULL);
    lose_a_set(acl_minimal, COUNT_OF(acl_minimal), RLK_UNKNOWN);
    lose_a_set(acl_fence, COUNT_OF(acl_fence), RLK_OK);
}

/* Without +getex a demoted node that lost the key says "not ours"; with it, that it can't say. */
static void test_minimal_acl_with_and_without_getex(void **state)
{
    static const struct {
        const char *const *granted;
        size_t count;
        rlk_result checked;
    } cases[] = {
        {acl_minimal, COUNT_OF(acl_minimal), RLK_NOT_OWNER},
        {acl_getex, COUNT_OF(acl_getex), RLK_E_READONLY},
    };
    rlk_posix_options options;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    memset(&options, 0, sizeof options);
    options.operation_timeout_ms = 600;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock_config config = rlk_lock_config_default();

        config.retry_min_ms = 2000; /* no try is under way at the deadline */
        make_user(cases[i].granted, cases[i].count, NULL);
        nodes_open_urls(&set, (const char *[]){url_with("app:secret", server_url(redis), 0)}, 1,
                        &options);
        assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config), RLK_OK);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        server_text(redis, "DEL " KEY);
        server_do(redis, "REPLICAOF 127.0.0.1 1");
        assert_result(rlk_check(&lock), cases[i].checked);
        server_do(redis, "REPLICAOF NO ONE");
        close_all();
    }
}

/* Which call meets the refusal, and how it is named. */
typedef struct denial {
    const char *denied;
    const char *operation;
    const char *command;
    const char *said;
    bool held; /* before the permission goes */
} denial;

static rlk_result denial_call(const denial *what)
{
    rlk_holder holder;

    if (strcmp(what->operation, "acquire") == 0)
        return rlk_acquire(&lock, RLK_FOREVER);
    if (strcmp(what->operation, "extend") == 0)
        return rlk_extend(&lock, 60000);
    if (strcmp(what->operation, "check") == 0)
        return rlk_check(&lock);
    if (strcmp(what->operation, "release") == 0)
        return rlk_release(&lock);
    if (strcmp(what->operation, "query") == 0)
        return rlk_query(&lock, &holder, 1);
    return rlk_force_release(&lock);
}

/* Fault 10: NOPERM → fatal, names the command. Denials inside a script read differently, and not
 * the same on all servers. */
static void test_fault_10_noperm(void **state)
{
    static const denial cases[] = {
        {"+set", "acquire", "SET; the server said: ", "'set' command", false},
        {"+script|load", "acquire", "SCRIPT LOAD, EVAL; the server said: ", "'eval' command",
         false},
        {"+evalsha", "acquire", "EVALSHA; the server said: ", "'evalsha' command", false},
        {"+evalsha", "extend", "EVALSHA (raise); the server said: ", "'evalsha' command", true},
        {"+evalsha", "check", "EVALSHA (check); the server said: ", "'evalsha' command", true},
        {"+evalsha", "release", "EVALSHA (release); the server said: ", "'evalsha' command", true},
        {"+get", "extend", "EVALSHA (raise); the server said: ", "script", true},
        {"+pttl", "check", "EVALSHA (check); the server said: ", "script", true},
        {"+pexpire", "extend", "EVALSHA (raise); the server said: ", "script", true},
        {"+del", "release", "EVALSHA (release); the server said: ", "script", true},
        {"+get", "query", "GET, PTTL; the server said: ", "'get' command", false},
        {"+del", "force_release", "DEL; the server said: ", "'del' command", false},
    };
    char operation[64];
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(cases); i++) {
        const denial *what = &cases[i];
        int64_t start;

        server_do(redis, "FLUSHALL");
        server_do(redis, "SCRIPT FLUSH");
        make_user(acl_minimal, COUNT_OF(acl_minimal), NULL);
        if (!what->held)
            make_user(acl_minimal, COUNT_OF(acl_minimal), what->denied);
        open_at(url_with("app:secret", server_url(redis), 0), NULL);
        if (what->held) {
            assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
            make_user(acl_minimal, COUNT_OF(acl_minimal), what->denied);
        }
        start = support_now_ms();
        assert_result(denial_call(what), RLK_E_NOPERM);
        assert_between(support_now_ms() - start, 0, 900 * support_time_factor()); /* at once */
        snprintf(operation, sizeof operation, "%s \"" KEY "\": E_NOPERM: the ACL user may not",
                 what->operation);
        assert_contains(rlk_lock_error(&lock), operation);
        assert_contains(rlk_lock_error(&lock), what->command);
        assert_contains(rlk_lock_error(&lock), what->said);
        /* extend and check: held until the old deadline; a release is one, whatever comes of it */
        assert_int_equal(rlk_is_held(&lock), what->held && strcmp(what->operation, "release") != 0);
        close_all();
    }
}

/* Fault 10: a key that the user may not touch; and SELECT, which is fatal as fault 72. */
static void test_fault_10_noperm_key_and_database(void **state)
{
    proxy *middle;

    (void)state;
    redis = server_start(NULL);
    make_user(acl_minimal, COUNT_OF(acl_minimal), NULL);
    nodes_open_urls(&set, (const char *[]){url_with("app:secret", server_url(redis), 0)}, 1, NULL);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "elsewhere", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_NOPERM);
    assert_contains(rlk_lock_error(&lock), "acquire \"elsewhere\": E_NOPERM");
    assert_contains(rlk_lock_error(&lock), "SET; the server said: NOPERM");
    close_all();

    middle = proxy_start(server_url(redis), false);
    open_at(url_with("app:secret", proxy_url(middle), 3), NULL);
    refused_for_good(middle, RLK_E_NOPERM, "SELECT; the server said: NOPERM");
    close_all();
}

/* ---- servers without HELLO ---- */

static void assert_client_listed(const char *name, int db)
{
    char part[64];

    snprintf(part, sizeof part, " name=%s ", name);
    assert_contains(server_text(redis, "CLIENT LIST"), part);
    snprintf(part, sizeof part, " db=%d ", db);
    assert_contains(server_text(redis, "CLIENT LIST"), part);
}

/* Fault 15: NOPROTO or unknown HELLO → RESP2. On a server without the command: password, name,
 * database and all operations work. */
static void test_fault_15_unknown_hello(void **state)
{
    server_config config = {.password = "sesame",
                            .lines = SERVER_LINES("rename-command HELLO \"\"")};
    rlk_posix_options options;

    (void)state;
    redis = server_start(&config);
    memset(&options, 0, sizeof options);
    options.client_name = "worker-7";
    open_at(url_with(":sesame", server_url(redis), 3), &options);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_conn_protocol(rlk_client_conn(&set.posix.client, 0)), 2);
    assert_true(rlk_conn_run_id(rlk_client_conn(&set.posix.client, 0)) != 0);
    assert_client_listed("worker-7", 3);
    assert_contains(server_text(redis, "INFO keyspace"), "db3:keys=1,");
    assert_result(rlk_release(&lock), RLK_OK);
    use_everything();
    assert_string_equal(rlk_client_error(&set.posix.client), "");
    close_all();

    /* the wrong password and database are as fatal as with HELLO */
    open_at(url_with(":guess", server_url(redis), 3), NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_AUTH);
    assert_contains(rlk_lock_error(&lock), "AUTH; the server said: WRONGPASS");
    close_all();
    open_at(url_with(":sesame", server_url(redis), 99), NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_DATABASE);
    close_all();
}

/* Fault 15, as a server says it that knows HELLO but not 3; and HELLO denied by an old ACL. */
static void test_fault_15_noproto(void **state)
{
    static const char *const replies[] = {
        "-NOPROTO unsupported protocol version\r\n",
        "-NOPROTO sorry, this protocol version is not supported\r\n",
        "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n",
        "-NOPERM this user has no permissions to run the 'hello' command\r\n",
    };
    server_config config = {.password = "sesame"};
    proxy *middle;
    size_t i;

    (void)state;
    redis = server_start(&config);
    middle = proxy_start(server_url(redis), false);
    for (i = 0; i < COUNT_OF(replies); i++) {
        proxy_on(middle, "HELLO", 0, PROXY_ANSWER, replies[i]);
        open_at(url_with(":sesame", proxy_url(middle), 0), NULL);
        use_everything();
        assert_int_equal(rlk_conn_protocol(rlk_client_conn(&set.posix.client, 0)), 2);
        assert_int_equal(proxy_accepted(middle), (int)i + 1); /* on the same stream */
        close_all();
        proxy_clear(middle);
    }
}

/* And where it is known, RESP3 it is. */
static void test_hello_known(void **state)
{
    rlk_posix_options options;

    (void)state;
    redis = server_start(NULL);
    memset(&options, 0, sizeof options);
    options.client_name = "worker-8";
    open_at(url_with("", server_url(redis), 2), &options);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_conn_protocol(rlk_client_conn(&set.posix.client, 0)), 3);
    assert_client_listed("worker-8", 2);
    close_all();
}

/* ---- servers that hang up at once ---- */

/* Fault 16: "max number of clients" before any request → close, matched to no request. It passes:
 * retried with backoff. */
static void test_fault_16_max_clients(void **state)
{
    server_config config = {.tcp = true, .lines = SERVER_LINES("maxclients 1")};
    const char *urls[2];
    size_t i;

    (void)state;
    redis = server_start(&config); /* the administrator is the one */
    urls[0] = server_url(redis);
    urls[1] = server_tcp_url(redis);
    for (i = 0; i < COUNT_OF(urls); i++) {
        int64_t before;

        server_do(redis, "CONFIG SET maxclients 1");
        open_at(urls[i], NULL);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_SERVER_FULL);
        assert_contains(rlk_lock_error(&lock), "E_SERVER_FULL: the server has reached its maximum");
        assert_contains(rlk_lock_error(&lock), "the server said: ERR max number of clients");
        before = server_info(redis, "stats", "rejected_connections");
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        loop_quiet(&set.posix, 400);
        assert_between(server_info(redis, "stats", "rejected_connections") - before, 1, 30);
        assert_result(rlk_conn_result(rlk_client_conn(&set.posix.client, 0)), RLK_E_SERVER_FULL);
        server_do(redis, "CONFIG SET maxclients 10");
        assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        close_all();
        wait_until(server_info(redis, "clients", "connected_clients") == 1);
    }
}

/* Fault 17: DENIED protected mode → fatal. It spares loopback, so its words come from elsewhere. */
static void test_fault_17_protected_mode(void **state)
{
    static const char denied[] =
        "-DENIED Redis is running in protected mode because protected mode is enabled and no "
        "password is set for the default user. In this mode connections are only accepted from the "
        "loopback interface. If you want to connect from external computers to Redis you may adopt "
        "one of the following solutions: 1) Just disable protected mode sending the command "
        "'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from "
        "the same host the server is running, however MAKE SURE Redis is not publicly accessible "
        "from internet if you do so.\r\n";
    static const hostile_then thens[] = {HOSTILE_CLOSE, HOSTILE_STAY};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(thens); i++) {
        hostile *peer = hostile_greet(denied, thens[i], true);
        int64_t start = support_now_ms();

        open_at(hostile_url(peer), NULL);
        assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_PROTECTED);
        assert_contains(rlk_lock_error(&lock), "E_PROTECTED: the server is in protected mode: set");
        assert_contains(rlk_lock_error(&lock), "the server said: DENIED Redis is running in prot");
        assert_contains(rlk_lock_error(&lock), "127.0.0.1:");
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_PROTECTED);
        assert_result(rlk_acquire(&lock, 1000), RLK_E_PROTECTED);
        assert_between(support_now_ms() - start, 0, 900 * support_time_factor());
        loop_serve(&set.posix, 200);
        assert_int_equal(hostile_accepted(peer), 1);
        close_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_09_noauth_and_wrongpass),
        support_test(test_fault_09_reset_after_wrongpass),
        support_test(test_fault_10_noperm),
        support_test(test_fault_10_noperm_key_and_database),
        support_test(test_fault_15_unknown_hello),
        support_test(test_fault_15_noproto),
        support_test(test_hello_known),
        support_test(test_fault_16_max_clients),
        support_test(test_fault_17_protected_mode),
        support_test(test_fault_72_select_refused),
        support_test(test_fault_73_minimal_acl),
        support_test(test_minimal_acl_with_and_without_the_fence),
        support_test(test_minimal_acl_with_and_without_getex),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
