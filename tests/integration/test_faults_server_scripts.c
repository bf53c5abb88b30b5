/* SPDX-License-Identifier: MIT
 *
 * Scripts that are busy, forgotten, or run into a key of another type; servers that come back empty
 * or stand still: faults 6-8, 19, 20, 22 and 73.
 */
#include "nodes.h"
#include "proxy.h"

#include <stdio.h>
#include <string.h>

static nodes set;
static server *redis;
static rlk_lock lock;

/*
 * What a call may take that the server refuses to the end, and the time between its tries: so far
 * apart that none is unanswered at the deadline, which would be UNKNOWN.
 */
#define OPERATION_MS 400
#define RETRY_MS     600

/* One client over one server, whose calls give up soon. */
static void open_with(const char *url, bool no_tracking)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_posix_options options;
    rlk_holder holder;

    memset(&options, 0, sizeof options);
    config.watch_after_ms = config_unwatched.watch_after_ms;
    config.retry_min_ms = RETRY_MS;
    config.retry_max_ms = RETRY_MS;
    options.operation_timeout_ms = OPERATION_MS;
    options.settle_timeout_ms = OPERATION_MS;
    options.backoff_max_ms = 200;
    options.no_tracking = no_tracking;
    nodes_open_urls(&set, &url, 1, &options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
}

static void open_at(const char *url)
{
    open_with(url, false);
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

static bool key_is_there(void)
{
    return server_integer(redis, "EXISTS foobar") == 1;
}

static void assert_event_lost(void)
{
    rlk_event event;

    assert_true(rlk_client_next_event(&set.posix.client, &event));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_false(rlk_client_next_event(&set.posix.client, &event));
}

/* ---- somebody's script runs for long ---- */

static void script_begin(void)
{
    server_send(redis, "EVAL %s 0", "while true do end");
    wait_until(strncmp(server_text(redis, "PING"), "-BUSY", 5) == 0);
}

static void script_end(void)
{
    server_do(redis, "SCRIPT KILL");
    wait_until(strcmp(server_text(redis, "PING"), "PONG") == 0);
}

/* Fault 6: BUSY script → bounded retry. */
static void test_fault_06_busy_script(void **state)
{
    server_config config = {.lines = SERVER_LINES("busy-reply-threshold 10")};
    int64_t start;
    const char *text;

    (void)state;
    redis = server_start(&config);
    open_at(server_url(redis));
    script_begin();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_SCRIPT_BUSY);
    text = rlk_lock_error(&lock);
    assert_contains(text, "acquire \"foobar\": E_SCRIPT_BUSY: the server is busy with somebody's");
    assert_contains(text, "SET; the server said: BUSY ");
    assert_contains(text, "SCRIPT KILL");
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 600), RLK_E_SCRIPT_BUSY);
    assert_between(support_now_ms() - start, 600, 1600 * support_time_factor());
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&set.posix, 100);
    script_end();
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);

    /* a lock that is held stays so, and what can't be released now is released later */
    script_begin();
    assert_result(rlk_extend(&lock, 1000), RLK_E_SCRIPT_BUSY);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_E_SCRIPT_BUSY);
    assert_false(rlk_is_held(&lock));
    script_end();
    assert_true(key_is_there());
    wait_until((loop_serve(&set.posix, 5), !key_is_there()));

    close_all();
}

/* Fault 6, met in the handshake: the scripts can't be loaded, so nothing is sent yet. */
static void test_fault_06_busy_script_in_handshake(void **state)
{
    server_config config = {.lines = SERVER_LINES("busy-reply-threshold 10")};
    const char *url;
    rlk_posix_options options;
    proxy *middle;

    (void)state;
    memset(&options, 0, sizeof options);
    options.operation_timeout_ms = OPERATION_MS;
    redis = server_start(&config);
    middle = proxy_start(server_url(redis), false);
    url = proxy_url(middle);
    script_begin();
    nodes_open_urls(&set, &url, 1, &options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", &config_unwatched), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_SCRIPT_BUSY);
    assert_contains(rlk_lock_error(&lock), "SCRIPT LOAD; the server said: BUSY ");
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&set.posix, 200);
    assert_between(proxy_accepted(middle), 1, 30);
    assert_int_equal(proxy_count(middle, "SET"), 0);
    script_end();
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* ---- the server forgets our scripts ---- */

/* Fault 7: NOSCRIPT → load, retry once. Each operation that needs a script, the blocking caller
 * notices nothing. */
static void test_fault_07_noscript(void **state)
{
    int64_t loads;
    int64_t before;

    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis));
    loads = server_calls(redis, "script|load");
    assert_int_equal(loads, 1); /* by the handshake */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);

    server_do(redis, "SCRIPT FLUSH");
    before = rlk_remaining_ms(&lock);
    assert_result(rlk_extend(&lock, 5000), RLK_OK);
    assert_between(rlk_remaining_ms(&lock) - before, 3500, 5000); /* once, not twice */
    assert_int_equal(server_calls(redis, "evalsha"), 3);          /* one is the handshake's */
    assert_int_equal(server_calls(redis, "script|load"), loads + 1);
    assert_result(rlk_renew(&lock, 60000), RLK_OK);
    assert_int_equal(server_calls(redis, "script|load"), loads + 1); /* they stay */
    assert_result(rlk_release(&lock), RLK_OK);
    assert_false(key_is_there());
    close_all();
}

/* Fault 7: a server that never has the script (a proxy that distributes commands over several) is
 * an error in the end, not a storm. */
static void test_fault_07_noscript_forever(void **state)
{
    proxy *middle;
    int calls;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    open_at(proxy_url(middle));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    proxy_on(middle, "EVALSHA", 0, PROXY_ANSWER,
             "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    assert_result(rlk_extend(&lock, 5000), RLK_E_NOSCRIPT);
    assert_contains(rlk_lock_error(&lock),
                    "extend \"foobar\": E_NOSCRIPT: the server forgot the script right after");
    assert_contains(rlk_lock_error(&lock), "is a proxy between?");
    assert_contains(rlk_lock_error(&lock), "EVALSHA (raise); the server said: NOSCRIPT");
    assert_true(rlk_is_held(&lock));
    calls = proxy_count(middle, "EVALSHA");
    assert_between(calls, 2, 4); /* each try twice */
    assert_true(proxy_count(middle, "SCRIPT LOAD") <= 2 + calls);
    assert_result(rlk_release(&lock), RLK_E_NOSCRIPT);
    proxy_clear(middle);
    wait_until((loop_serve(&set.posix, 5), !key_is_there()));

    close_all();
}

/* Fault 8: script evicted → as 7. Before every single use, and under many locks at once. */
static void test_fault_08_script_evicted(void **state)
{
    enum {
        LOCKS = 50
    };
    static rlk_lock locks[LOCKS];
    static char keys[LOCKS][16];
    int64_t loads;
    rlk_event event;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    server_do(redis, "SCRIPT FLUSH");
    assert_result(rlk_check(&lock), RLK_OK);
    server_do(redis, "SCRIPT FLUSH");
    assert_result(rlk_renew(&lock, 60000), RLK_OK);
    server_do(redis, "SCRIPT FLUSH");
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    server_do(redis, "SCRIPT FLUSH");
    assert_result(rlk_release(&lock), RLK_OK);
    assert_false(key_is_there());

    for (i = 0; i < LOCKS; i++) {
        snprintf(keys[i], sizeof keys[i], "lock:%zu", i);
        assert_result(rlk_lock_init(&locks[i], &set.posix.client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire(&locks[i], RLK_TRY), RLK_OK);
    }
    server_do(redis, "SCRIPT FLUSH");
    server_do(redis, "CONFIG RESETSTAT");
    for (i = 0; i < LOCKS; i++)
        assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
    for (i = 0; i < LOCKS; i++) {
        assert_true(loop_next_event(&set.posix, &event, 10000));
        assert_result(event.result, RLK_OK);
    }
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    /* one load serves the many that were refused together */
    loads = server_calls(redis, "script|load");
    assert_between(loads, 1, 20);
    for (i = 0; i < LOCKS; i++)
        rlk_lock_close(&locks[i]);
    close_all();
}

/* Fault 73: NOSCRIPT in an undo. The SET waits in the network, is cancelled, and the scripts are
 * gone by the time that the undo arrives behind it. */
static void test_fault_73_noscript_in_an_undo(void **state)
{
    proxy *middle;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    open_at(proxy_url(middle));
    proxy_hold(middle, PROXY_TO_SERVER);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&set.posix, 20);
    assert_true(proxy_held(middle, PROXY_TO_SERVER) > 0);
    assert_result(rlk_cancel(&lock), RLK_OK);
    loop_quiet(&set.posix, 20);
    server_do(redis, "SCRIPT FLUSH");
    server_do(redis, "CONFIG RESETSTAT");
    proxy_release(middle);
    assert_result_event(&set.posix, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_false(key_is_there());
    assert_int_equal(server_calls(redis, "set"), 1); /* it did execute */
    assert_int_equal(server_calls(redis, "evalsha"), 2);
    assert_int_equal(server_calls(redis, "script|load"), 1);

    /* the same while the result is reported already: nobody asks, and it is still undone */
    proxy_hold(middle, PROXY_TO_SERVER);
    assert_result(rlk_acquire(&lock, 50), RLK_UNKNOWN);
    server_do(redis, "SCRIPT FLUSH");
    proxy_release(middle);
    wait_until((loop_serve(&set.posix, 5), server_calls(redis, "del") == 2));

    assert_false(key_is_there());
    close_all();
}

/* ---- keys of another type ---- */

static void make_list(void)
{
    server_text(redis, "DEL foobar");
    assert_int_equal(server_integer(redis, "RPUSH foobar x"), 1);
}

/* Fault 19: wrong-type key: SET NX gives nil, scripts WRONGTYPE → busy, then a misuse error. */
static void test_fault_19_wrong_type(void **state)
{
    typedef rlk_result (*call)(rlk_lock *);
    static const struct {
        call of;
        const char *operation;
        bool lost; /* an event follows */
    } cases[] = {
        {rlk_check, "check", true},
        {rlk_release, "release", false},
    };
    rlk_holder holder;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis));
    make_list();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&lock, 100), RLK_TIMED_OUT);
    assert_result(rlk_query(&lock, &holder, 1), RLK_E_WRONGTYPE);
    assert_result(holder.result, RLK_E_WRONGTYPE);
    assert_contains(rlk_lock_error(&lock),
                    "query \"foobar\": E_WRONGTYPE: the key holds something that is not a string");
    for (i = 0; i < COUNT_OF(cases); i++) {
        server_text(redis, "DEL foobar");
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        make_list();
        assert_result(cases[i].of(&lock), RLK_E_WRONGTYPE);
        assert_contains(rlk_lock_error(&lock), cases[i].operation);
        assert_contains(rlk_lock_error(&lock), "used for something else");
        assert_contains(rlk_lock_error(&lock), "the server said: WRONGTYPE");
        assert_false(rlk_is_held(&lock));
        if (cases[i].lost)
            assert_event_lost();
        assert_int_equal(server_integer(redis, "LLEN foobar"), 1); /* not ours to delete */
    }
    close_all();
}

static void wrong_type_raise(bool renew)
{
    server_text(redis, "DEL foobar");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    make_list();
    assert_result(renew ? rlk_renew(&lock, 60000) : rlk_extend(&lock, 60000), RLK_E_WRONGTYPE);
    assert_contains(rlk_lock_error(&lock), renew ? "renew \"foobar\"" : "extend \"foobar\"");
    assert_contains(rlk_lock_error(&lock), "E_WRONGTYPE");
    assert_false(rlk_is_held(&lock));
    assert_event_lost();
    assert_result(rlk_release(&lock), RLK_LOST);
    assert_int_equal(server_integer(redis, "LLEN foobar"), 1);
    assert_int_equal(server_integer(redis, "PTTL foobar"), -1);
}

static void test_fault_19_wrong_type_of_extend_and_renew(void **state)
{
    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis));
    wrong_type_raise(false);
    wrong_type_raise(true);
    close_all();
}

/* ---- a server that comes back, or stands still ---- */

/* Fault 20: restart without data → extend/release report not owner. */
static void test_fault_20_restart_without_data(void **state)
{
    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    server_restart(redis, false);
    assert_true(rlk_is_held(&lock)); /* nobody has notified it */
    assert_result(rlk_extend(&lock, 1000), RLK_NOT_OWNER);
    assert_false(rlk_is_held(&lock));
    assert_event_lost();
    assert_false(key_is_there()); /* never created again */

    /* where it would notify of a loss, it is asked when it is back */
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    server_restart(redis, false);
    assert_event(&set.posix, RLK_EV_LOST, RLK_LOST);
    assert_result(rlk_release(&lock), RLK_LOST);

    /* and in the meantime it became somebody else's */
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    server_restart(redis, false);
    server_do(redis, "SET foobar stranger PX 60000");
    assert_result(rlk_check(&lock), RLK_NOT_OWNER);
    assert_event_lost();
    assert_result(rlk_release(&lock), RLK_LOST);
    assert_string_equal(server_text(redis, "GET foobar"), "stranger");
    close_all();

    /* where it wouldn't, the release finds the loss */
    server_restart(redis, false);
    open_with(server_url(redis), true);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    server_restart(redis, false);
    /* else the release goes into the dead stream first: GONE */
    wait_until((loop_quiet(&set.posix, 5),
                rlk_conn_generation(rlk_client_conn(&set.posix.client, 0)) == 2));

    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    assert_contains(rlk_lock_error(&lock), "release \"foobar\": NOT_OWNER: the key is gone");
    close_all();
}

/* Fault 22: SIGSTOPped server → timeout, ambiguous. */
static void test_fault_22_stopped_server(void **state)
{
    rlk_holder holder;
    int64_t before;
    int64_t start;

    (void)state;
    redis = server_start(NULL);
    open_at(server_url(redis));
    server_pause(redis);
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 200), RLK_UNKNOWN);
    /* trying, then settling */
    assert_between(support_now_ms() - start, 200,
                   (200 + OPERATION_MS + 500) * support_time_factor());
    assert_contains(rlk_lock_error(&lock), "acquire \"foobar\": UNKNOWN: not answered in time");
    assert_result(rlk_query(&lock, &holder, 1), RLK_E_RESPONSE_TIMEOUT);
    server_resume(redis);
    /* the SET is executed now, and its undo behind it */
    wait_until((loop_serve(&set.posix, 5), server_calls(redis, "del") == 1));

    assert_int_equal(server_calls(redis, "set"), 1);
    assert_false(key_is_there());

    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    before = rlk_remaining_ms(&lock);
    server_pause(redis);
    assert_result(rlk_extend(&lock, 5000), RLK_UNKNOWN);
    assert_true(rlk_is_held(&lock));
    assert_between(rlk_remaining_ms(&lock), 1, before); /* the old deadline */
    assert_result(rlk_release(&lock), RLK_UNKNOWN);
    assert_false(rlk_is_held(&lock));
    server_resume(redis);
    wait_until((loop_serve(&set.posix, 5), !key_is_there()));

    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_06_busy_script),
        support_test(test_fault_06_busy_script_in_handshake),
        support_test(test_fault_07_noscript),
        support_test(test_fault_07_noscript_forever),
        support_test(test_fault_08_script_evicted),
        support_test(test_fault_19_wrong_type),
        support_test(test_fault_19_wrong_type_of_extend_and_renew),
        support_test(test_fault_20_restart_without_data),
        support_test(test_fault_22_stopped_server),
        support_test(test_fault_73_noscript_in_an_undo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
