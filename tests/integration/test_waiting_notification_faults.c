/* SPDX-License-Identifier: MIT
 *
 * Waiting by tracking where a notification gets lost, comes at the wrong moment, or is about
 * something else (rule 9), by the numbers of docs/correctness.md.
 */
#include "crowd.h"
#include "proxied.h"

#include <string.h>

#define WAKE_UP_MS (INT64_C(400) * support_time_factor())
#define PATIENT_MS 60000

static server *redis;
static proxy *middle;
static rlk_posix_client posix; /* behind the proxy */
static rlk_lock lock;
static crowd many;
static unsigned waiting; /* times that an attempt ended with waiting for a change */

static void see(void *context, const rlk_trace *trace)
{
    (void)context;
    if (trace->kind == RLK_TRACE_PHASE && strcmp(trace->what, "WATCH") == 0)
        waiting++;
}

static rlk_lock_config with_recheck(int64_t recheck_max_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.recheck_max_ms = recheck_max_ms;
    config.watch_after_ms =
        config_unwatched.watch_after_ms; /* a compare of the test makes the server notify */
    return config;
}

static void begin(int64_t recheck_max_ms)
{
    rlk_lock_config config = with_recheck(recheck_max_ms);
    rlk_posix_options options = proxied_options();

    options.env.trace = see;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    assert_result(rlk_posix_open(&posix, proxy_url(middle), &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
    server_do(redis, "SET foobar somebody PX 86400000");
}

static void end(void)
{
    rlk_posix_close(&posix);
}

/* Waits: the first attempt was answered, and the server will notify. */
static void start_waiting(void)
{
    waiting = 0;
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    serve_until(&posix, waiting == 2); /* before the attempt, and after */
}

static void delete_key(void)
{
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
}

static uint32_t attempts(void)
{
    rlk_stats stats;

    rlk_client_stats(&posix.client, &stats);
    return stats.attempts;
}

static uint32_t connects(void)
{
    rlk_stats stats;

    rlk_client_stats(&posix.client, &stats);
    return stats.connects;
}

static void assert_acquired_since(int64_t start, int64_t least_ms, int64_t most_ms)
{
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start, least_ms, most_ms);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_null(server_text(redis, "GET foobar"));
}

/* ---- 77: own writes consume the server's memory of who reads the key ---- */

/* The holder's own client waits for the key, too: own renewals, extends and checks do not notify
 * it, and what a stranger does afterwards still does, as it does the holder. */
static void test_fault_77_del_after_own_renewals(void **state)
{
    rlk_lock_config config = with_recheck(PATIENT_MS);
    rlk_lock held;
    rlk_event event;
    int64_t start;
    int i;
    bool lost = false;
    bool acquired = false;

    (void)state;
    begin(PATIENT_MS);
    delete_key();
    assert_result(rlk_lock_init(&held, &posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    start_waiting();
    for (i = 1; i <= 3; i++) {
        assert_result(rlk_renew(&held, 40000 + 1000 * (int64_t)i), RLK_OK);
        assert_result(rlk_extend(&held, 1000), RLK_OK);
        assert_result(rlk_check(&held), RLK_OK);
        loop_quiet(&posix, 10);
    }
    assert_causes(&posix, {[RLK_CAUSE_START] = 2});
    start = support_now_ms();
    delete_key();
    while (!lost || !acquired) {
        assert_true(loop_next_event(&posix, &event, WAKE_UP_MS));
        assert_ptr_equal(event.lock, event.type == RLK_EV_LOST ? &held : &lock);
        assert_result(event.result, event.type == RLK_EV_LOST ? RLK_LOST : RLK_OK);
        lost = lost || event.type == RLK_EV_LOST;
        acquired = acquired || event.type == RLK_EV_ACQUIRED;
    }
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_causes(&posix, {[RLK_CAUSE_START] = 2, [RLK_CAUSE_PUSH] = 1});
    assert_string_equal(server_text(redis, "GET foobar"), token_of(&lock));
    end();
}

/* The holder alone: it is notified, asks once, and says LOST. */
static void test_fault_77_holder_is_notified_of_a_del(void **state)
{
    crowd_count before;
    int64_t start;
    int i;

    (void)state;
    begin(PATIENT_MS);
    delete_key();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    for (i = 1; i <= 3; i++)
        assert_result(rlk_renew(&lock, 40000 + 1000 * (int64_t)i), RLK_OK);
    before = server_count(redis);
    loop_quiet(&posix, 50);
    assert_int_equal(server_count(redis).scripts - before.scripts, 0);
    start = support_now_ms();
    delete_key();
    assert_event(&posix, RLK_EV_LOST, RLK_LOST);
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_int_equal(server_count(redis).scripts - before.scripts, 1);
    end();
}

/* ---- 80: released between SET and PTTL ---- */

static void test_fault_80_released_between_set_and_pttl(void **state)
{
    int64_t start;

    (void)state;
    begin(PATIENT_MS);
    proxy_on(middle, "PTTL", 1, PROXY_HOLD, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    serve_until(&posix, server_count(redis).sets == 2 && proxy_held(middle, PROXY_TO_SERVER) > 0);

    delete_key(); /* nobody is notified: nobody has asked yet */
    loop_quiet(&posix, 50);
    assert_int_equal(attempts(), 1);
    start = support_now_ms();
    proxy_release(middle);
    assert_acquired_since(start, 0, WAKE_UP_MS);
    assert_int_equal(attempts(), 2);
    assert_int_equal(cause_count(&posix, RLK_CAUSE_RECHECK), 0);
    assert_int_equal(cause_count(&posix, RLK_CAUSE_RETRY), 0);
    end();
}

/* A push that comes before this attempt's PTTL is answered is about something that PTTL saw: one
 * attempt, not two. */
static void test_tracking_push_before_pttl_is_old(void **state)
{
    const int64_t recheck_max_ms = INT64_C(2000) * support_time_factor();

    (void)state;
    begin(recheck_max_ms);
    start_waiting(); /* from now on the server notifies */
    proxy_on(middle, "PTTL", 1, PROXY_HOLD, NULL);
    serve_until(&posix, server_count(redis).sets == 3 && proxy_held(middle, PROXY_TO_SERVER) > 0);

    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_RECHECK] = 1});
    assert_int_equal(server_integer(redis, "PEXPIRE foobar 86400000"), 1);
    loop_quiet(&posix, 50); /* it has come */
    proxy_release(middle);
    serve_until(&posix, server_count(redis).pttls == 2);

    loop_quiet(&posix, recheck_max_ms / 10);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_RECHECK] = 1});
    /* and the PTTL has the server notify again */
    delete_key();
    assert_acquired_since(support_now_ms(), 0, WAKE_UP_MS);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_RECHECK] = 1, [RLK_CAUSE_PUSH] = 1});
    end();
}

/* nil to SET, and an error to the question for how long: it asks again after retry times. */
static void test_tracking_error_to_pttl(void **state)
{
    const int64_t time_ms = 1000;
    int64_t start;

    (void)state;
    begin(PATIENT_MS);
    proxy_on(middle, "PTTL", 0, PROXY_ANSWER, "-ERR not today\r\n");
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    start = support_now_ms();
    loop_quiet(&posix, time_ms);
    assert_between(cause_count(&posix, RLK_CAUSE_RETRY), 1,
                   (support_now_ms() - start) / RLK_RETRY_MIN_MS + 1);
    assert_int_equal(attempts(), 1 + cause_count(&posix, RLK_CAUSE_RETRY));
    start = support_now_ms();
    delete_key();
    assert_acquired_since(start, 0, RLK_RETRY_MAX_MS + WAKE_UP_MS);
    end();
}

/* ---- 81: half-open, behind a TTL of a day ---- */

/* The recheck gets no answer: the connection is given up, and the next one is notified again. */
static void half_open_is_noticed(bool meanwhile)
{
    const int64_t recheck_max_ms = INT64_C(600) * support_time_factor();
    const int64_t notice_ms = recheck_max_ms + proxied_options().response_timeout_ms + WAKE_UP_MS;
    crowd_count before;
    int64_t start;

    begin(recheck_max_ms);
    start_waiting();
    before = server_count(redis);
    proxy_half_open(middle);
    start = support_now_ms();
    if (meanwhile) {
        delete_key();
        assert_acquired_since(start, recheck_max_ms / 5, notice_ms);
    } else {
        serve_until(&posix, server_count(redis).pttls > before.pttls);

        assert_between(support_now_ms() - start, recheck_max_ms / 5, notice_ms);
        assert_int_equal(cause_count(&posix, RLK_CAUSE_RECHECK), 1);
        start = support_now_ms();
        delete_key();
        assert_acquired_since(start, 0, WAKE_UP_MS);
    }
    assert_int_equal(connects(), 2);
    assert_int_equal(proxy_accepted(middle), 2);
    end();
    support_teardown(NULL);
}

static void test_fault_81_half_open_waiter(void **state)
{
    (void)state;
    half_open_is_noticed(false);
}

static void test_fault_81_released_behind_a_half_open_link(void **state)
{
    (void)state;
    half_open_is_noticed(true);
}

/* A network that swallows everything, and lets nobody in, for a while. */
static void test_fault_81_muted_waiter(void **state)
{
    const int64_t recheck_max_ms = INT64_C(600) * support_time_factor();
    int64_t start;

    (void)state;
    begin(recheck_max_ms);
    start_waiting();
    proxy_hold(middle, PROXY_TO_SERVER);
    proxy_hold(middle, PROXY_TO_CLIENT);
    proxy_mute(middle, true);
    delete_key();
    serve_until(&posix, rlk_conn_failures(rlk_client_conn(&posix.client, 0)) > 0);

    start = support_now_ms();
    proxy_mute(middle, false);
    proxy_cut(middle, PROXY_FIN);
    assert_acquired_since(start, 0, WAKE_UP_MS + proxied_options().response_timeout_ms);
    end();
}

/* ---- Pushes that get lost ---- */

static void test_tracking_lost_push(void **state)
{
    const int64_t recheck_max_ms = INT64_C(1500) * support_time_factor();
    int64_t start;

    (void)state;
    begin(recheck_max_ms);
    proxy_drop_pushes(middle, true);
    start_waiting();
    start = support_now_ms();
    delete_key();
    assert_acquired_since(start, recheck_max_ms / 5 - WAKE_UP_MS / 2, recheck_max_ms + WAKE_UP_MS);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_RECHECK] = 1});
    end();
}

/* The connection is lost while it waits, and the key goes meanwhile. */
static void test_tracking_reconnect_wakes(void **state)
{
    rlk_lock_config config = with_recheck(PATIENT_MS);
    rlk_lock another;
    rlk_event event;
    int64_t start;

    (void)state;
    begin(PATIENT_MS);
    server_do(redis, "SET another somebody PX 86400000");
    assert_result(rlk_lock_init(&another, &posix.client, "another", &config), RLK_OK);
    start_waiting();
    assert_result(rlk_acquire_start(&another, RLK_FOREVER), RLK_PENDING);
    serve_until(&posix, waiting == 4);

    proxy_refuse(middle, true);
    proxy_cut(middle, PROXY_FIN);
    delete_key();
    loop_quiet(&posix, 50);
    start = support_now_ms();
    proxy_refuse(middle, false);
    assert_true(loop_next_event(&posix, &event, 10000));
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_ptr_equal(event.lock, &lock);
    assert_result(event.result, RLK_OK);
    serve_until(&posix, server_count(redis).pttls == 3); /* behind each nil */

    /* each was probed once: earlier notifications count no more */
    assert_causes(&posix, {[RLK_CAUSE_START] = 2, [RLK_CAUSE_RECONNECT] = 2});
    /* and the other is notified again, on the new connection */
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL another"), 1);
    assert_true(loop_next_event(&posix, &event, 10000));
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_ptr_equal(event.lock, &another);
    assert_causes(&posix, {[RLK_CAUSE_START] = 2, [RLK_CAUSE_RECONNECT] = 2, [RLK_CAUSE_PUSH] = 1});
    end();
}

/* The server is restarted, with what it had or without: the waiter rechecks. */
static void restarted(bool keep_data)
{
    int64_t start;

    begin(PATIENT_MS);
    start_waiting();
    server_save(redis);
    server_restart(redis, keep_data);
    if (keep_data) {
        serve_until(&posix, server_count(redis).pttls == 1);

        assert_int_equal(attempts(), 2);
        start = support_now_ms();
        delete_key();
    } else {
        start = support_now_ms();
    }
    assert_acquired_since(start, 0, WAKE_UP_MS);
    end();
    support_teardown(NULL);
}

static void test_tracking_server_restarted_without_data(void **state)
{
    (void)state;
    restarted(false);
}

static void test_tracking_server_restarted_with_data(void **state)
{
    (void)state;
    restarted(true);
}

/* ---- A null push: any key may have changed ---- */

static void flushed(const char *command)
{
    static const char *const keys[] = {"k0", "k1", "k2", "k3"};
    rlk_lock_config config = with_recheck(PATIENT_MS);
    const size_t waiters = 20;
    rlk_stats stats;
    int64_t start;
    size_t i;

    redis = server_start(NULL);
    crowd_open_keys(&many, waiters, &redis, 1, NULL, keys, COUNT_OF(keys), &config);
    for (i = 0; i < COUNT_OF(keys); i++)
        server_do(redis, "SET %s somebody", keys[i]);
    crowd_wait(&many);
    start = support_now_ms();
    server_do(redis, command);
    crowd_until(&many, many.holding == COUNT_OF(keys));

    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    crowd_calm(&many);
    assert_int_equal(many.holding, COUNT_OF(keys));
    stats = crowd_stats(&many);
    assert_int_equal(stats.causes[RLK_CAUSE_FLUSH], waiters);
    assert_int_equal(stats.attempts, 2 * waiters);
    crowd_close(&many);
    support_teardown(NULL);
}

static void test_tracking_null_push_wakes_all(void **state)
{
    (void)state;
    flushed("FLUSHALL");
    flushed("FLUSHDB");
}

/* ---- 85: the same key in another database ---- */

static void test_fault_85_same_key_in_another_database(void **state)
{
    rlk_lock_config config = with_recheck(PATIENT_MS);
    const size_t waiters = 10;
    const int64_t changes = 3;
    crowd_count before;
    crowd_count after;
    int64_t i;

    (void)state;
    redis = server_start(NULL);
    crowd_open(&many, waiters, &redis, 1, NULL, "foobar", &config);
    server_do(redis, "SET foobar somebody");
    crowd_wait(&many);
    server_do(redis, "SELECT 1");
    for (i = 0; i < changes; i++) {
        before = crowd_calls(&many);
        server_do(redis, "SET foobar another");
        crowd_calm(&many);
        after = crowd_calls(&many);
        /* the server knows names only: an attempt of each, which fails */
        assert_between(after.sets - before.sets - 1, 0, waiters);
        assert_between(after.pttls - before.pttls, 0, waiters);
    }
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    crowd_calm(&many);
    assert_int_equal(many.holding, 0);
    server_do(redis, "SELECT 0");
    assert_string_equal(server_text(redis, "GET foobar"), "somebody");
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    crowd_until(&many, many.holding == 1);

    crowd_close(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_77_del_after_own_renewals),
        support_test(test_fault_77_holder_is_notified_of_a_del),
        support_test(test_fault_80_released_between_set_and_pttl),
        support_test(test_tracking_push_before_pttl_is_old),
        support_test(test_tracking_error_to_pttl),
        support_test(test_fault_81_half_open_waiter),
        support_test(test_fault_81_released_behind_a_half_open_link),
        support_test(test_fault_81_muted_waiter),
        support_test(test_tracking_lost_push),
        support_test(test_tracking_reconnect_wakes),
        support_test(test_tracking_server_restarted_without_data),
        support_test(test_tracking_server_restarted_with_data),
        support_test(test_tracking_null_push_wakes_all),
        support_test(test_fault_85_same_key_in_another_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
