/* SPDX-License-Identifier: MIT
 *
 * Where the server can't or may not notify of changes, waiters ask again after a random time, and
 * the lock works as before: RESP2 by option, a server or a proxy without HELLO, users who may not
 * track, no tracking by option.
 */
#include "crowd.h"
#include "proxy.h"

#include <string.h>

#define WAITERS 20

/* A setting in which nothing is notified. */
typedef struct way {
    const char *name;
    server_config server;
    rlk_posix_options options;
} way;

static const way ways[] = {
    {.name = "RESP2 by option", .options = {.resp2_only = true}},
    {.name = "no tracking by option", .options = {.no_tracking = true}},
    {.name = "no HELLO", .server = {.lines = SERVER_LINES("rename-command HELLO \"\"")}},
    {.name = "a user who may not track",
     .server = {.lines = SERVER_LINES("user waiter on >secret ~* &* +@all -client|tracking")},
     .options = {.user = "waiter", .password = "secret"}},
    {.name = "the least rights",
     .server = {.lines = SERVER_LINES(
                    "user waiter on >secret resetkeys ~foo* resetchannels -@all +hello "
                    "+set +evalsha +script|load +get +del +pexpire +pttl")},
     .options = {.user = "waiter", .password = "secret"}},
};

static server *redis;
static crowd many;

static void begin(const way *how, size_t count, const rlk_lock_config *config)
{
    size_t i;

    print_message("%s\n", how->name);
    redis = server_start(&how->server);
    crowd_open(&many, count, &redis, 1, &how->options, "foobar", config);
    server_do(redis, "SET foobar somebody PX 600000");
    for (i = 0; i < count; i++)
        assert_result(rlk_acquire_start(&many.members[i].lock, RLK_FOREVER), RLK_PENDING);
    crowd_until(&many, crowd_stats(&many).attempts >= count);

    for (i = 0; i < count; i++)
        assert_false(rlk_conn_is_tracking(rlk_client_conn(&many.members[i].posix.client, 0)));
}

static void end(void)
{
    crowd_close(&many);
    support_teardown(NULL);
}

static void assert_only_retries(void)
{
    rlk_stats stats = crowd_stats(&many);

    assert_int_equal(stats.causes[RLK_CAUSE_START], WAITERS);
    assert_int_equal(stats.attempts, WAITERS + stats.causes[RLK_CAUSE_RETRY]);
    assert_int_equal(crowd_pushes(&many), 0);
}

/* From 50 to 250 ms between two attempts, at random: not all at once. */
static void retries(const way *how)
{
    const int64_t mean_ms = (RLK_RETRY_MIN_MS + RLK_RETRY_MAX_MS) / 2;
    crowd_count before;
    crowd_count after;
    int64_t start;
    int64_t time_ms;
    size_t i;

    begin(how, WAITERS, NULL);
    before = crowd_calls(&many);
    start = support_now_ms();
    crowd_serve(&many, 800);
    time_ms = support_now_ms() - start;
    after = crowd_calls(&many);
    assert_between(after.sets - before.sets, WAITERS,
                   (WAITERS * time_ms / mean_ms) * 5 / 4 + WAITERS);
    assert_int_equal(after.pttls - before.pttls, 0);
    assert_only_retries();
    for (i = 0; i < WAITERS; i++)
        assert_between(cause_count(&many.members[i].posix, RLK_CAUSE_RETRY), 1,
                       time_ms / RLK_RETRY_MIN_MS + 2);
    end();
}

static void test_tracking_refused_retries(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++)
        retries(&ways[i]);
}

/* Released: somebody has it within a retry time; then each in turn. */
static void released(const way *how)
{
    int64_t start;
    size_t i;

    begin(how, WAITERS, NULL);
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    for (i = 1; i <= WAITERS; i++) {
        crowd_until(&many, crowd_stats(&many).acquired == i && many.holding == 1);

        assert_between(support_now_ms() - start, 0,
                       RLK_RETRY_MAX_MS + INT64_C(300) * support_time_factor());
        start = support_now_ms();
        assert_result(rlk_release_start(&many.last->lock), RLK_PENDING);
    }
    crowd_until(&many, many.holding == 0);

    assert_only_retries();
    for (i = 0; i < WAITERS; i++)
        assert_int_equal(many.members[i].acquired, 1);
    assert_null(server_text(redis, "GET foobar"));
    end();
}

static void test_tracking_refused_released(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++)
        released(&ways[i]);
}

/* The retry times are the lock's. */
static void test_tracking_refused_retry_times(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    int64_t start = support_now_ms();

    (void)state;
    config.retry_min_ms = INT64_C(400) * support_time_factor();
    config.retry_max_ms = INT64_C(500) * support_time_factor();
    begin(&ways[0], 5, &config);
    crowd_until(&many, crowd_stats(&many).causes[RLK_CAUSE_RETRY] > 0);

    assert_true(support_now_ms() - start >= config.retry_min_ms);
    start = support_now_ms();
    crowd_until(&many, crowd_stats(&many).causes[RLK_CAUSE_RETRY] >= 5);

    assert_between(support_now_ms() - start, 0, config.retry_max_ms);
    end();
}

/* Locks of one client: only the first of the queue asks, and a local release needs no retry. */
static void test_tracking_refused_in_a_queue(void **state)
{
    static rlk_lock locks[10];
    static rlk_posix_client posix;
    rlk_posix_options options = {.no_tracking = true};
    crowd_count before;
    rlk_stats stats;
    size_t i;

    (void)state;
    redis = server_start(NULL);
    assert_result(rlk_posix_open(&posix, server_url(redis), &options), RLK_OK);
    server_do(redis, "SET foobar somebody PX 600000");
    for (i = 0; i < COUNT_OF(locks); i++) {
        assert_result(rlk_lock_init(&locks[i], &posix.client, "foobar", NULL), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    }
    before = server_count(redis);
    loop_quiet(&posix, 1000);
    assert_between(server_count(redis).sets - before.sets, 1000 / RLK_RETRY_MAX_MS - 1,
                   1000 / RLK_RETRY_MIN_MS + 2);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    for (i = 0; i < COUNT_OF(locks); i++) {
        rlk_event event;

        assert_true(loop_next_event(&posix, &event, 10000));
        assert_int_equal(event.type, RLK_EV_ACQUIRED);
        assert_ptr_equal(event.lock, &locks[i]);
        assert_result(rlk_release(&locks[i]), RLK_OK);
    }
    rlk_client_stats(&posix.client, &stats);
    assert_int_equal(stats.causes[RLK_CAUSE_LOCAL], COUNT_OF(locks) - 1);
    assert_int_equal(stats.attempts, 1 + stats.causes[RLK_CAUSE_RETRY] + COUNT_OF(locks) - 1);
    rlk_posix_close(&posix);
}

/* A proxy that knows neither HELLO nor CLIENT TRACKING. */
static void refused_by_a_proxy(const char *words)
{
    rlk_posix_client posix;
    rlk_lock lock;
    proxy *middle;
    int64_t start;

    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    proxy_on(middle, words, 0, PROXY_ANSWER, "-ERR unknown command\r\n");
    server_do(redis, "SET foobar somebody PX 600000");
    assert_result(rlk_posix_open(&posix, proxy_url(middle), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&posix, 600);
    assert_int_equal(proxy_count(middle, "PTTL"), 0);
    assert_between(cause_count(&posix, RLK_CAUSE_RETRY), 1, 600 / RLK_RETRY_MIN_MS);
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start, 0,
                   RLK_RETRY_MAX_MS + INT64_C(300) * support_time_factor());
    assert_result(rlk_release(&lock), RLK_OK);
    rlk_posix_close(&posix);
    support_teardown(NULL);
}

static void test_tracking_refused_by_a_proxy(void **state)
{
    (void)state;
    refused_by_a_proxy("HELLO");
    refused_by_a_proxy("CLIENT TRACKING");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tracking_refused_retries),
        support_test(test_tracking_refused_released),
        support_test(test_tracking_refused_retry_times),
        support_test(test_tracking_refused_in_a_queue),
        support_test(test_tracking_refused_by_a_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
