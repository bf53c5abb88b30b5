/* SPDX-License-Identifier: MIT
 *
 * A waiter wakes up at once when somebody frees the key, and for nothing else (rule 9): the cause
 * of each attempt and the commands at the server are counted. The recheck and the retry times are
 * far longer than what is allowed for a wake-up.
 */
#include "crowd.h"
#include "program.h"
#include "proxied.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#define WAKE_UP_MS (INT64_C(400) * support_time_factor())
#define RECHECK_MS 60000

static server *redis;
static rlk_posix_client posix; /* of who waits */
static rlk_lock lock;
static rlk_posix_client other; /* of who holds */
static rlk_lock held;

static rlk_lock_config patient(int64_t recheck_max_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.recheck_max_ms = recheck_max_ms;
    config.retry_min_ms = 20000; /* a wake-up that needs one comes too late */
    config.retry_max_ms = 20000;
    return config;
}

static void begin(int64_t recheck_max_ms)
{
    rlk_lock_config config = patient(recheck_max_ms);

    redis = server_start(NULL);
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_posix_open(&other, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&held, &other.client, "foobar", &config_unwatched), RLK_OK);
}

static void end(void)
{
    rlk_posix_close(&other);
    rlk_posix_close(&posix);
}

/* Waits: the server has executed the first attempt, and will notify. */
static void start_waiting(void)
{
    int64_t asked = server_count(redis).pttls;

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    serve_until(&posix, server_count(redis).pttls > asked);
}

/* It is acquired within the time of a wake-up since `start`. */
static void assert_wakes(int64_t start)
{
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_true(rlk_is_held(&lock));
}

/* A push causes an attempt, the server executes it and will notify again, and nothing else happens.
 */
static void assert_pushed(uint32_t times)
{
    crowd_count before = server_count(redis);
    int64_t start = support_now_ms();

    serve_until(&posix, server_count(redis).sets > before.sets);

    serve_until(&posix, server_count(redis).pttls > before.pttls);

    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    loop_quiet(&posix, 20);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = times});
}

/* ---- Released ---- */

static void test_tracking_wakes_on_a_release(void **state)
{
    crowd_count before;
    crowd_count after;
    int64_t start;

    (void)state;
    begin(RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    start_waiting();
    before = server_count(redis);
    start = support_now_ms();
    assert_result(rlk_release(&held), RLK_OK);
    assert_wakes(start);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1});
    after = server_count(redis);
    assert_int_equal(after.sets - before.sets, 1);
    assert_int_equal(after.pttls - before.pttls, 0);
    end();
}

/* The blocking call wakes up just so. */
static void *acquire_in_thread(void *result)
{
    *(rlk_result *)result = rlk_acquire(&lock, RLK_FOREVER);
    return NULL;
}

static void test_tracking_wakes_a_blocking_call(void **state)
{
    rlk_result result = RLK_PENDING;
    pthread_t thread;
    int64_t asked;
    int64_t start;

    (void)state;
    begin(RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    asked = server_count(redis).pttls;
    assert_int_equal(pthread_create(&thread, NULL, acquire_in_thread, &result), 0);
    wait_until(server_count(redis).pttls > asked);

    start = support_now_ms();
    assert_result(rlk_release(&held), RLK_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_result(result, RLK_OK);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1});
    end();
}

static void wakes_on_redis_py(const char *ttl_seconds)
{
    program *python;
    int64_t start;

    begin(RECHECK_MS);
    python = program_start("/usr/bin/python3", TEST_SOURCE_DIR "/tests/integration/holder.py",
                           server_path(redis), "foobar", ttl_seconds, NULL);
    program_expect(python, "held");
    start_waiting();
    program_signal(python, SIGUSR1);
    program_expect(python, "released");
    start = support_now_ms();
    assert_wakes(start);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1});
    assert_int_equal(program_wait(python), 0);
    end();
}

static void test_tracking_wakes_on_redis_py(void **state)
{
    (void)state;
    wakes_on_redis_py("30");
}

/* 79 */
static void test_fault_79_wakes_on_redis_py_without_ttl(void **state)
{
    (void)state;
    wakes_on_redis_py("0");
}

/* ---- Freed by hand ---- */

static void test_tracking_wakes_on_del(void **state)
{
    static const char *const commands[] = {"DEL foobar", "UNLINK foobar", "PEXPIRE foobar 0"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(commands); i++) {
        int64_t start;

        begin(RECHECK_MS);
        server_do(redis, "SET foobar somebody PX 50000");
        start_waiting();
        start = support_now_ms();
        assert_int_equal(server_integer(redis, commands[i]), 1);
        assert_wakes(start);
        assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1});
        end();
        support_teardown(NULL);
    }
}

static void test_tracking_wakes_on_rename(void **state)
{
    int64_t start;

    (void)state;
    begin(RECHECK_MS);
    server_do(redis, "SET foobar somebody PX 50000");
    start_waiting();
    start = support_now_ms();
    server_do(redis, "RENAME foobar elsewhere");
    assert_wakes(start);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1});
    end();
}

/* Somebody writes over the holder's token: one spurious wake-up; then it goes. */
static void test_tracking_wakes_on_overwrite_and_del(void **state)
{
    int64_t start;

    (void)state;
    begin(RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    start_waiting();
    server_do(redis, "SET foobar somebody PX 50000");
    assert_pushed(1);
    assert_string_equal(server_text(redis, "GET foobar"), "somebody");
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_wakes(start);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 2});
    end();
}

/* In one transaction: a waiter that wakes up finds it taken. */
static void test_tracking_goes_on_waiting_when_it_is_taken_at_once(void **state)
{
    int64_t start;

    (void)state;
    begin(RECHECK_MS);
    server_do(redis, "SET foobar somebody PX 50000");
    start_waiting();
    server_do(redis, "MULTI");
    assert_string_equal(server_text(redis, "DEL foobar"), "QUEUED");
    assert_string_equal(server_text(redis, "SET foobar another PX 50000"), "QUEUED");
    (void)server_text(redis, "EXEC");
    assert_pushed(1);
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_wakes(start);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 2});
    end();
}

/* ---- Expired ---- */

static void assert_expired(int64_t start, int64_t ttl_ms)
{
    uint32_t pushes;
    uint32_t expiries;

    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start, ttl_ms, ttl_ms + RLK_RETRY_MIN_MS + WAKE_UP_MS);
    pushes = cause_count(&posix, RLK_CAUSE_PUSH);
    expiries = cause_count(&posix, RLK_CAUSE_EXPIRY);
    /* one; and one more where the two clocks round differently */
    assert_between(pushes + expiries, 1, 2);
    assert_causes(
        &posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = pushes, [RLK_CAUSE_EXPIRY] = expiries});
}

static rlk_lock_config patient_but_for_expiry(void)
{
    rlk_lock_config config = patient(RECHECK_MS);

    config.retry_min_ms = RLK_RETRY_MIN_MS; /* the jitter behind an expiry */
    return config;
}

static void begin_expiry(void)
{
    rlk_lock_config config = patient_but_for_expiry();

    begin(RECHECK_MS);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
}

static void test_tracking_wakes_on_expiry(void **state)
{
    int64_t start;

    (void)state;
    begin_expiry();
    start = support_now_ms();
    server_do(redis, "SET foobar somebody PX %d", 500 * support_time_factor());
    start_waiting();
    assert_expired(start, INT64_C(500) * support_time_factor() - 1);
    end();
}

/* The server doesn't expire it, so nothing is notified: its TTL is known (rule 9: never rely on the
 * push of an expiry). */
static void test_tracking_expiry_needs_no_push(void **state)
{
    int64_t start;

    (void)state;
    begin_expiry();
    server_do(redis, "DEBUG SET-ACTIVE-EXPIRE 0");
    start = support_now_ms();
    server_do(redis, "SET foobar somebody PX %d", 500 * support_time_factor());
    start_waiting();
    assert_expired(start, INT64_C(500) * support_time_factor() - 1);
    assert_int_equal(cause_count(&posix, RLK_CAUSE_PUSH), 0);
    end();
}

/* The holder of our own kind dies: as long as its TTL, and no longer. */
static void test_tracking_wakes_when_the_holder_is_gone(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    int64_t start;

    (void)state;
    begin_expiry();
    config.ttl_ms = INT64_C(600) * support_time_factor();
    assert_result(rlk_lock_close(&held), RLK_OK);
    assert_result(rlk_lock_init(&held, &other.client, "foobar", &config), RLK_OK);
    start = support_now_ms();
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    rlk_posix_close(&other);
    start_waiting();
    assert_expired(start, config.ttl_ms - 1);
    end();
}

/* ---- Not freed ---- */

/* A renewal wakes once: one SET and one PTTL; then it goes on waiting. */
static void test_tracking_renewals_wake_once(void **state)
{
    const uint32_t renewals = 5;
    crowd_count before;
    crowd_count after;
    int64_t start;
    uint32_t i;

    (void)state;
    begin(RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    start_waiting();
    for (i = 1; i <= renewals; i++) {
        before = server_count(redis);
        assert_result(rlk_renew(&held, 30000 + 1000 * (int64_t)i), RLK_OK);
        assert_pushed(i);
        after = server_count(redis);
        assert_int_equal(after.sets - before.sets, 1);
        assert_int_equal(after.scripts - before.scripts, 1);
        assert_int_equal(after.pttls - before.pttls, 1 + 2); /* two of them the script's */
    }
    start = support_now_ms();
    assert_result(rlk_release(&held), RLK_OK);
    assert_wakes(start);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = renewals + 1});
    end();
}

/* What only reads, or asks without success, wakes nobody. */
static void test_tracking_reads_wake_nobody(void **state)
{
    rlk_holder holder;
    crowd_count before;

    (void)state;
    begin(RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    start_waiting();
    before = server_count(redis);
    assert_result(rlk_check(&held), RLK_OK);
    assert_result(rlk_query(&held, &holder, 1), RLK_OK);
    assert_null(server_text(redis, "SET foobar x NX PX 1000"));
    (void)server_text(redis, "GET foobar");
    loop_quiet(&posix, 100);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1});
    assert_int_equal(server_count(redis).sets - before.sets, 1); /* the one above */
    end();
}

/* A waiter that tries once, or gives up, leaves nobody behind who asks. */
static void test_tracking_stops_with_the_waiting(void **state)
{
    crowd_count before;

    (void)state;
    begin(RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&lock, 50), RLK_TIMED_OUT);
    start_waiting();
    assert_result(rlk_cancel(&lock), RLK_OK);
    assert_result_event(&posix, RLK_OP_ACQUIRE, RLK_CANCELLED);
    before = server_count(redis);
    assert_result(rlk_renew(&held, 60000), RLK_OK);
    assert_result(rlk_release(&held), RLK_OK);
    loop_quiet(&posix, 100);
    assert_int_equal(server_count(redis).sets - before.sets, 0);
    assert_null(server_text(redis, "GET foobar"));
    end();
}

/* ---- Without a TTL, of another type: the recheck ---- */

static void waits_behind(const char *command, const char *value)
{
    const int64_t recheck_max_ms = 400;
    crowd_count before;
    int64_t start;
    int64_t waited_ms;
    uint32_t checks;

    begin(recheck_max_ms);
    (void)server_text(redis, command, value);
    start = support_now_ms();
    start_waiting();
    before = server_count(redis);
    serve_until(&posix, cause_count(&posix, RLK_CAUSE_RECHECK) == 4);

    waited_ms = support_now_ms() - start;
    loop_quiet(&posix, 20);
    checks = cause_count(&posix, RLK_CAUSE_RECHECK);
    assert_between(waited_ms, 4 * recheck_max_ms / 5, 4 * recheck_max_ms + 4 * WAKE_UP_MS);
    assert_int_equal(server_count(redis).sets - before.sets, checks);
    assert_int_equal(server_count(redis).pttls - before.pttls, checks);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_RECHECK] = checks});
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    /* by the push, unless a check came just then */
    assert_between(cause_count(&posix, RLK_CAUSE_PUSH), 0, 1);
    assert_int_equal(cause_count(&posix, RLK_CAUSE_RETRY), 0);
    end();
}

/* 79 */
static void test_fault_79_key_without_ttl(void **state)
{
    (void)state;
    waits_behind("SET foobar %s", "somebody");
}

/* 19: SET NX is nil, PTTL is -1: as somebody's lock without a TTL. */
static void test_fault_19_key_of_another_type_is_waited_for(void **state)
{
    (void)state;
    waits_behind("RPUSH foobar %s", "element");
}

static void test_tracking_wakes_on_del_without_ttl(void **state)
{
    static const char *const commands[] = {"SET foobar somebody", "RPUSH foobar element"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(commands); i++) {
        int64_t start;

        begin(RECHECK_MS);
        (void)server_text(redis, commands[i]);
        start_waiting();
        start = support_now_ms();
        assert_int_equal(server_integer(redis, "DEL foobar"), 1);
        assert_wakes(start);
        assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1});
        end();
        support_teardown(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tracking_wakes_on_a_release),
        support_test(test_tracking_wakes_a_blocking_call),
        support_test(test_tracking_wakes_on_redis_py),
        support_test(test_fault_79_wakes_on_redis_py_without_ttl),
        support_test(test_tracking_wakes_on_del),
        support_test(test_tracking_wakes_on_rename),
        support_test(test_tracking_wakes_on_overwrite_and_del),
        support_test(test_tracking_goes_on_waiting_when_it_is_taken_at_once),
        support_test(test_tracking_wakes_on_expiry),
        support_test(test_tracking_expiry_needs_no_push),
        support_test(test_tracking_wakes_when_the_holder_is_gone),
        support_test(test_tracking_renewals_wake_once),
        support_test(test_tracking_reads_wake_nobody),
        support_test(test_tracking_stops_with_the_waiting),
        support_test(test_fault_79_key_without_ttl),
        support_test(test_fault_19_key_of_another_type_is_waited_for),
        support_test(test_tracking_wakes_on_del_without_ttl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
