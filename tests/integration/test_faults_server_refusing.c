/* SPDX-License-Identifier: MIT
 *
 * Servers that refuse to write, for now: faults 1-5, 12, 14, 18 and 63.
 */
#include "nodes.h"
#include "proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static nodes set;
static server *redis;
static rlk_lock lock;

/*
 * What a call may take that the server refuses to the end, and the time between its tries: so far
 * apart that none is unanswered at the deadline, which would be UNKNOWN.
 */
#define OPERATION_MS 400
#define RETRY_MS     600

static void init_lock(int64_t retry_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.watch_after_ms = config_unwatched.watch_after_ms;
    config.retry_min_ms = retry_ms;
    config.retry_max_ms = retry_ms;
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config), RLK_OK);
}

static void open_with(const char *url, int64_t operation_timeout_ms, int64_t retry_ms)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.operation_timeout_ms = operation_timeout_ms;
    options.backoff_max_ms = 200;
    nodes_open_urls(&set, &url, 1, &options);
    init_lock(retry_ms);
}

static void open_at(const char *url)
{
    open_with(url, OPERATION_MS, RETRY_MS);
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

/* ---- ways to make a real server refuse, and back ---- */

static void demote(void)
{
    server_do(redis, "REPLICAOF 127.0.0.1 1"); /* nobody listens there: the data stays */
}

static void promote(void)
{
    server_do(redis, "REPLICAOF NO ONE");
}

/* Writable, since a server that is read-only as well says that first. */
static void orphan_replica(void)
{
    server_do(redis, "CONFIG SET replica-read-only no");
    server_do(redis, "CONFIG SET replica-serve-stale-data no");
    demote();
}

static void background_save(bool good)
{
    server_text(redis, "BGSAVE");
    wait_until(server_info(redis, "persistence", "rdb_bgsave_in_progress") == 0 &&
               (strstr(server_text(redis, "INFO persistence"), "last_bgsave_status:ok") != NULL) ==
                   good);
}

static void dump_path(char *out, size_t cap)
{
    snprintf(out, cap, "%s/dump.rdb", server_folder(redis));
}

/* A folder where the dump should be: root's rights don't help there. */
static void spoil_disk(void)
{
    char path[256];

    dump_path(path, sizeof path);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    background_save(false);
}

static void mend_disk(void)
{
    char path[256];

    dump_path(path, sizeof path);
    assert_int_equal(rmdir(path), 0);
    background_save(true);
}

static void fill_memory(void)
{
    server_do(redis, "CONFIG SET maxmemory 1");
}

static void free_memory(void)
{
    server_do(redis, "CONFIG SET maxmemory 0");
}

static void want_replicas(void)
{
    server_do(redis, "CONFIG SET min-replicas-to-write 1");
}

static void want_no_replicas(void)
{
    server_do(redis, "CONFIG SET min-replicas-to-write 0");
}

typedef struct refusal {
    void (*spoil)(void);
    void (*mend)(void);
    rlk_result result;
    const char *said; /* by the server */
    const char *advice;
    bool scripts_work; /* what frees no memory is refused only where memory is the reason */
} refusal;

/* ---- what is the same for all of them ---- */

static void refusal_says(const refusal *fault, const char *text, const char *operation,
                         const char *command)
{
    assert_contains(text, operation);
    assert_contains(text, "\"foobar\"");
    assert_contains(text, rlk_result_name(fault->result));
    assert_contains(text, fault->advice);
    assert_contains(text, "node 0");
    assert_contains(text, server_path(redis));
    assert_contains(text, command);
    assert_contains(text, fault->said);
}

/* SETs that the server refused. */
static int64_t refused_sets(void)
{
    const char *line = strstr(server_text(redis, "INFO commandstats"), "cmdstat_set:");
    const char *rejected = line != NULL ? strstr(line, "rejected_calls=") : NULL;

    return rejected != NULL ? strtoll(rejected + strlen("rejected_calls="), NULL, 10) : 0;
}

static void refusal_of_acquire(const refusal *fault)
{
    int64_t start;
    int64_t sets;

    fault->spoil();
    assert_result(rlk_acquire(&lock, RLK_TRY), fault->result);
    refusal_says(fault, rlk_lock_error(&lock), "acquire", "SET");
    assert_false(rlk_is_held(&lock));

    /* tried again until the deadline, ever more slowly */
    server_do(redis, "CONFIG RESETSTAT");
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 400), fault->result);
    assert_between(support_now_ms() - start, 400, 1400 * support_time_factor());
    sets = refused_sets();
    assert_between(sets, 2, 5); /* 50, 100, 200 ms ... apart */

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&set.posix, 100);
    fault->mend();
    assert_null(server_text(redis, "GET foobar")); /* nothing of ours was left */
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
}

static void refusal_of_extend(const refusal *fault)
{
    int64_t before = rlk_remaining_ms(&lock);

    fault->spoil();
    if (fault->scripts_work) {
        assert_result(rlk_extend(&lock, 60000), RLK_OK);
        assert_true(rlk_remaining_ms(&lock) > before);
        return;
    }
    assert_result(rlk_extend(&lock, 60000), fault->result);
    refusal_says(fault, rlk_lock_error(&lock), "extend", "EVALSHA (raise)");
    /* held until the old deadline */
    assert_true(rlk_is_held(&lock));
    assert_between(rlk_remaining_ms(&lock), 1, before);
    /* a leader goes on leading meanwhile, and learns nothing false */
    assert_result(rlk_keep_alive(&lock), RLK_OK);
}

static void refusal_of_release(const refusal *fault)
{
    if (fault->scripts_work) {
        assert_result(rlk_release(&lock), RLK_OK);
        assert_null(server_text(redis, "GET foobar"));
        fault->mend();
        return;
    }
    assert_result(rlk_release(&lock), fault->result);
    assert_false(rlk_is_held(&lock));
    refusal_says(fault, rlk_lock_error(&lock), "release", "EVALSHA (release)");
    fault->mend();
    assert_non_null(server_text(redis, "GET foobar"));
    /* the cleaning goes on while the client is served */
    wait_until((loop_serve(&set.posix, 5), server_text(redis, "GET foobar") == NULL));
}

static void refusal_body(const refusal *fault)
{
    server_config config = {.lines = SERVER_LINES("save 100000 100000")};
    rlk_holder holder;

    redis = server_start(&config);
    open_with(server_url(redis), OPERATION_MS, 50);
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD); /* connected before it goes wrong */
    refusal_of_acquire(fault);
    rlk_lock_close(&lock);
    init_lock(RETRY_MS);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    refusal_of_extend(fault);
    refusal_of_release(fault);
    close_all();
}

/* Fault 2: READONLY → refresh primary, failure. A primary that is demoted under us. */
static void test_fault_02_readonly(void **state)
{
    static const refusal fault = {
        demote, promote, RLK_E_READONLY, "the server said: READONLY", "connect to the primary",
        false};

    (void)state;
    refusal_body(&fault);
}

/* Fault 3: MASTERDOWN → retryable. */
static void test_fault_03_masterdown(void **state)
{
    static const refusal fault = {orphan_replica,     promote,
                                  RLK_E_MASTERDOWN,   "the server said: MASTERDOWN",
                                  "lost its primary", false};

    (void)state;
    refusal_body(&fault);
}

/* Fault 4: MISCONF → failure, surfaced. */
static void test_fault_04_misconf(void **state)
{
    static const refusal fault = {
        spoil_disk, mend_disk, RLK_E_MISCONF, "the server said: MISCONF", "see its log", false};

    (void)state;
    refusal_body(&fault);
}

/* Fault 5: OOM → failure; release still attempted (and works: it frees memory). */
static void test_fault_05_oom(void **state)
{
    static const refusal fault = {fill_memory,       free_memory, RLK_E_OOM, "the server said: OOM",
                                  "raise maxmemory", true};

    (void)state;
    refusal_body(&fault);
}

/* Fault 14: NOREPLICAS → failed. */
static void test_fault_14_noreplicas(void **state)
{
    static const refusal fault = {want_replicas,         want_no_replicas,
                                  RLK_E_NOREPLICAS,      "the server said: NOREPLICAS",
                                  "not enough replicas", false};

    (void)state;
    refusal_body(&fault);
}

/* Fault 63: replica used as a node → READONLY, failed. Reading works there, so a query answers. */
static void test_fault_63_replica_used_as_node(void **state)
{
    server_config config = {.tcp = true, .lines = SERVER_LINES("repl-diskless-sync-delay 0")};
    server *primary = server_start(&config);
    server *other = server_start(NULL);
    const char *urls[3];
    rlk_holder holders[3];

    (void)state;
    redis = server_start(NULL);
    server_do(redis, "REPLICAOF 127.0.0.1 %d", server_port(primary));
    wait_until(strstr(server_text(redis, "INFO replication"), "master_link_status:up") != NULL);

    open_at(server_url(redis));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_READONLY);
    assert_contains(rlk_lock_error(&lock), "the server is a replica: connect to the primary");
    assert_contains(rlk_lock_error(&lock), server_path(redis));
    server_do(primary, "SET foobar stranger PX 60000");
    wait_until(server_text(redis, "GET foobar") != NULL);

    /* somebody may have it at the primary: this node can't say */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_READONLY);
    assert_result(rlk_query(&lock, holders, 1), RLK_OK);
    assert_string_equal(holders[0].token, "stranger");
    close_all();

    /* one of three: the others are a quorum */
    server_text(primary, "DEL foobar");
    urls[0] = server_url(primary);
    urls[1] = server_url(redis);
    urls[2] = server_url(other);
    nodes_open_urls(&set, urls, 3, NULL);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config_unwatched), RLK_OK);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_null(server_text(primary, "GET foobar"));
    assert_null(server_text(other, "GET foobar"));
    close_all();
}

/* Fault 1: LOADING → node failed, back off. A real server that takes long over its dump. */
static void test_fault_01_loading(void **state)
{
    server_config config = {
        .lines = SERVER_LINES("key-load-delay 100", "loading-process-events-interval-bytes 1024")};
    proxy *middle;
    rlk_conn *conn;
    const char *text;

    (void)state;
    redis = server_start(&config);
    middle = proxy_start(server_url(redis), false);
    server_do(redis, "DEBUG POPULATE 20000");
    server_save(redis);
    server_restart_begin(redis, true);
    open_at(proxy_url(middle));
    conn = rlk_client_conn(&set.posix.client, 0);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    wait_until((loop_serve(&set.posix, 1), rlk_conn_result(conn) == RLK_E_LOADING));

    loop_quiet(&set.posix, 300);
    assert_result(rlk_conn_result(conn), RLK_E_LOADING);
    assert_between(proxy_accepted(middle), 1, 30); /* not a storm */
    assert_int_equal(proxy_count(middle, "SET"), 0);
    assert_result(rlk_cancel(&lock), RLK_OK);
    assert_result_event(&set.posix, RLK_OP_ACQUIRE, RLK_CANCELLED);

    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_LOADING);
    text = rlk_lock_error(&lock);
    assert_contains(text, "acquire \"foobar\": E_LOADING: the server is loading its data");
    assert_contains(text, "node 0");
    assert_contains(text, "SCRIPT LOAD; the server said: LOADING");
    assert_contains(rlk_client_error(&set.posix.client), "E_LOADING");
    assert_result(rlk_acquire(&lock, 100), RLK_E_LOADING);

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    server_do(redis, "CONFIG SET key-load-delay 0");
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_string_equal(rlk_client_error(&set.posix.client), "");
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* Fault 12: CLUSTERDOWN/TRYAGAIN → retryable. */
static void test_fault_12_cluster_down_and_try_again(void **state)
{
    static const struct {
        const char *reply;
        rlk_result result;
        const char *text;
    } cases[] = {
        {"-CLUSTERDOWN Hash slot not served\r\n", RLK_E_CLUSTERDOWN, "the cluster is down"},
        {"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", RLK_E_TRYAGAIN,
         "the cluster is moving the key"},
    };
    proxy *middle;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    for (i = 0; i < COUNT_OF(cases); i++) {
        open_with(proxy_url(middle), 5000, 10);
        proxy_on(middle, "SET", 0, PROXY_ANSWER, cases[i].reply);
        assert_result(rlk_acquire(&lock, RLK_TRY), cases[i].result);
        assert_contains(rlk_lock_error(&lock), cases[i].text);
        proxy_clear(middle);
        /* passes: retried */
        proxy_on(middle, "SET", 1, PROXY_ANSWER, cases[i].reply);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        proxy_on(middle, "EVALSHA", 1, PROXY_ANSWER, cases[i].reply);
        assert_result(rlk_extend(&lock, 1000), RLK_OK);
        proxy_on(middle, "EVALSHA", 1, PROXY_ANSWER, cases[i].reply);
        assert_result(rlk_release(&lock), RLK_OK);
        assert_null(server_text(redis, "GET foobar"));
        close_all();
        proxy_clear(middle);
    }
}

/* Fault 18: unknown error prefix → failure, text kept. It doesn't say that nothing was done: what
 * may be there is undone. */
static void test_fault_18_unknown_error(void **state)
{
    static const char *const replies[] = {"-FULLMOON come back tomorrow\r\n",
                                          "-ERR come back tomorrow\r\n", "-come back tomorrow\r\n"};
    proxy *middle;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    for (i = 0; i < COUNT_OF(replies); i++) {
        open_at(proxy_url(middle));
        proxy_on(middle, "SET", 1, PROXY_ANSWER, replies[i]);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_SERVER);
        assert_contains(rlk_lock_error(&lock), "E_SERVER: the server refused the command");
        assert_contains(rlk_lock_error(&lock), "SET; the server said: ");
        assert_contains(rlk_lock_error(&lock), "come back tomorrow");
        /* executed all the same */
        proxy_on(middle, "SET", 1, PROXY_REWRITE, replies[i]);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_SERVER);
        assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);

        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        proxy_on(middle, "EVALSHA", 0, PROXY_ANSWER, replies[i]);
        assert_result(rlk_extend(&lock, 1000), RLK_E_SERVER);
        assert_contains(rlk_lock_error(&lock), "EVALSHA (raise); the server said: ");
        assert_true(rlk_is_held(&lock));
        assert_result(rlk_release(&lock), RLK_E_SERVER);
        assert_contains(rlk_lock_error(&lock), "come back tomorrow");
        proxy_clear(middle);
        wait_until((loop_serve(&set.posix, 5), server_text(redis, "GET foobar") == NULL));

        close_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_01_loading),
        support_test(test_fault_02_readonly),
        support_test(test_fault_03_masterdown),
        support_test(test_fault_04_misconf),
        support_test(test_fault_05_oom),
        support_test(test_fault_12_cluster_down_and_try_again),
        support_test(test_fault_14_noreplicas),
        support_test(test_fault_18_unknown_error),
        support_test(test_fault_63_replica_used_as_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
