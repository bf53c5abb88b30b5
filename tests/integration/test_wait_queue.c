/* SPDX-License-Identifier: MIT
 *
 * Locks of one client that wait for one key: they form a wait queue, cost the server one waiter,
 * hand the lock on without its notification, and let others have their turn.
 */
#include "crowd.h"
#include "proxied.h"

#include <stdio.h>
#include <string.h>

#define MOST       100
#define WAKE_UP_MS (INT64_C(400) * support_time_factor())
#define PATIENT_MS 60000

static server *redis;
static rlk_posix_client posix;
static rlk_lock locks[MOST];
static size_t count;
static rlk_posix_client other; /* another process's, as far as the server knows */
static rlk_lock others;

static rlk_lock_config patient(void)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.recheck_max_ms = PATIENT_MS;
    config.watch_after_ms = config_unwatched.watch_after_ms;
    return config;
}

static void open_all(const char *url, size_t how_many, const rlk_posix_options *options)
{
    rlk_lock_config config = patient();
    size_t i;

    count = how_many;
    assert_result(rlk_posix_open(&posix, url, options), RLK_OK);
    for (i = 0; i < count; i++)
        assert_result(rlk_lock_init(&locks[i], &posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_posix_open(&other, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&others, &other.client, "foobar", &config), RLK_OK);
}

static void begin(size_t how_many, const rlk_posix_options *options)
{
    redis = server_start(NULL);
    open_all(server_url(redis), how_many, options);
}

static void end(void)
{
    rlk_posix_close(&posix);
    rlk_posix_close(&other);
}

/* Those from the first on wait, in their order; the server knows of one of them. */
static void wait_from(size_t first)
{
    int64_t pttls = server_count(redis).pttls;
    size_t i;

    for (i = first; i < count; i++)
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    serve_until(&posix, server_count(redis).pttls > pttls);

    loop_quiet(&posix, 20);
}

static void wait_behind_somebody(void)
{
    server_do(redis, "SET foobar somebody PX 600000");
    wait_from(0);
}

static void assert_acquired(const rlk_lock *expected)
{
    rlk_event event;
    int64_t start = support_now_ms();

    assert_true(loop_next_event(&posix, &event, INT64_C(10000) * support_time_factor()));
    assert_result(event.result, RLK_OK);
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_ptr_equal(event.lock, expected);
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
}

/* ---- Order and cost ---- */

/* What `how_many` waiting locks cost the server: until they wait, while nothing happens, through a
 * renewal of the holder, and when the first has it. */
static crowd_count cost_of(size_t how_many)
{
    crowd_count before;
    crowd_count after;

    begin(how_many, NULL);
    before = server_count(redis);
    wait_behind_somebody();
    loop_quiet(&posix, 200);
    assert_int_equal(server_integer(redis, "PEXPIRE foobar 500000"), 1);
    loop_quiet(&posix, 50);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_acquired(&locks[0]);
    loop_quiet(&posix, 50);
    after = server_count(redis);
    after.sets -= before.sets;
    after.pttls -= before.pttls;
    after.scripts -= before.scripts;
    end();
    support_teardown(NULL);
    return after;
}

static void test_tracking_queue_costs_one_waiter(void **state)
{
    crowd_count one = cost_of(1);
    crowd_count ten = cost_of(10);
    crowd_count hundred = cost_of(100);

    (void)state;
    assert_int_equal(one.sets, 1 + 3); /* somebody's; START, and a push twice */
    assert_int_equal(one.pttls, 2);    /* behind each nil */
    assert_int_equal(one.scripts, 1);  /* of the handshake */
    /* nor does the second ask when the first has it: it will be notified of the end */
    assert_int_equal(ten.sets, one.sets);
    assert_int_equal(ten.pttls, one.pttls);
    assert_int_equal(ten.scripts, one.scripts);
    assert_int_equal(hundred.sets, one.sets);
    assert_int_equal(hundred.pttls, one.pttls);
    assert_int_equal(hundred.scripts, one.scripts);
}

/* First come, first served; a hand-off is one release and one attempt, and no push. */
static void test_tracking_queue_is_served_in_order(void **state)
{
    rlk_posix_options options = {.max_handoffs = 254};
    crowd_count before;
    crowd_count after;
    size_t i;

    (void)state;
    begin(50, &options);
    wait_behind_somebody();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    before = server_count(redis);
    for (i = 0; i < count; i++) {
        assert_acquired(&locks[i]);
        assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
        assert_result_event(&posix, RLK_OP_RELEASE, RLK_OK);
    }
    after = server_count(redis);
    assert_int_equal(after.sets - before.sets, count);
    assert_int_equal(after.scripts - before.scripts, count);
    assert_int_equal(after.pttls - before.pttls, 0);
    assert_causes(
        &posix,
        {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1, [RLK_CAUSE_LOCAL] = (uint32_t)count - 1});
    assert_null(server_text(redis, "GET foobar"));
    end();
}

/* A lock that comes back stands at the end. */
static void test_tracking_queue_order_repeats(void **state)
{
    rlk_posix_options options = {.max_handoffs = 254};
    size_t i;

    (void)state;
    begin(4, &options);
    assert_result(rlk_acquire(&locks[0], RLK_TRY), RLK_OK);
    for (i = 1; i < count; i++)
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < 100; i++) {
        assert_result(rlk_release_start(&locks[i % count]), RLK_PENDING);
        assert_result_event(&posix, RLK_OP_RELEASE, RLK_OK);
        assert_result(rlk_acquire_start(&locks[i % count], RLK_FOREVER), RLK_PENDING);
        assert_acquired(&locks[(i + 1) % count]);
    }
    end();
}

/* One attempt only: it isn't in the queue, and asks for itself. */
static void test_tracking_queue_one_attempt_asks_for_itself(void **state)
{
    (void)state;
    begin(3, NULL);
    wait_behind_somebody();
    assert_result(rlk_lock_close(&locks[2]), RLK_OK);
    assert_result(rlk_lock_init(&locks[2], &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&locks[2], RLK_TRY), RLK_BUSY);
    assert_causes(&posix, {[RLK_CAUSE_START] = 2});
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_acquired(&locks[0]);
    end();
}

/* ---- Yielding ---- */

/* After max_handoffs consecutive local hand-offs it pauses, though nobody else is there. */
static void yields_after(uint32_t max_handoffs, uint32_t expected)
{
    rlk_posix_options options = {.max_handoffs = max_handoffs};
    rlk_stats stats;
    size_t i;

    begin(expected + 2, &options);
    wait_behind_somebody();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    for (i = 0; i <= expected; i++) {
        assert_acquired(&locks[i]);
        rlk_client_stats(&posix.client, &stats);
        assert_int_equal(stats.causes[RLK_CAUSE_LOCAL], i);
        assert_result(rlk_release(&locks[i]), RLK_OK);
    }
    assert_int_equal(cause_count(&posix, RLK_CAUSE_YIELD), 0);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1,
                           [RLK_CAUSE_PUSH] = 1,
                           [RLK_CAUSE_LOCAL] = expected,
                           [RLK_CAUSE_YIELD] = 1});
    end();
    support_teardown(NULL);
}

static void test_tracking_queue_yields_after_handoffs(void **state)
{
    (void)state;
    yields_after(1, 1);
    yields_after(4, 4);
    yields_after(0, RLK_MAX_HANDOFFS);
}

/* Who has it releases it, and wants it again at once. True: it was acquired. */
static bool turn_over(const rlk_event *event)
{
    assert_result(event->result, RLK_OK);
    if (event->operation == RLK_OP_RELEASE) {
        assert_result(rlk_acquire_start(event->lock, RLK_FOREVER), RLK_PENDING);
        return false;
    }
    assert_result(rlk_release_start(event->lock), RLK_PENDING);
    return true;
}

/* Another process waits, and this one, which always comes first, never rests: after `max_handoffs`
 * the other has its turn. */
static void test_tracking_queue_lets_another_process_have_it(void **state)
{
    const uint32_t max_handoffs = 4;
    rlk_posix_options options = {.max_handoffs = max_handoffs};
    uint32_t turns = 0;
    uint32_t handed = 0; /* since the other had it */
    rlk_event event;
    size_t i;

    (void)state;
    begin(8, &options);
    assert_result(rlk_acquire(&locks[0], RLK_TRY), RLK_OK);
    wait_from(1);
    assert_result(rlk_acquire_start(&others, RLK_FOREVER), RLK_PENDING);
    serve_until(&other, cause_count(&other, RLK_CAUSE_START) == 1);

    assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
    while (cause_count(&posix, RLK_CAUSE_YIELD) < 3) {
        while (loop_next_event(&posix, &event, 20)) { /* much less than it yields for */
            handed += turn_over(&event);
            assert_between(handed, 0, max_handoffs + 1);
        }
        for (i = 0; i < 2 && loop_next_event(&other, &event, 20); i++) {
            turns += turn_over(&event);
            handed = 0;
        }
    }
    /* its turns came by the server's word, not by its own clock */
    assert_int_equal(cause_count(&other, RLK_CAUSE_RECHECK), 0);
    assert_int_equal(cause_count(&other, RLK_CAUSE_RETRY), 0);
    assert_true(turns >= 3);
    end();
}

/* ---- The first steps out ---- */

typedef enum ending {
    CANCELLED,
    TIMED_OUT,
    CLOSED
} ending;

/* The next takes its place, and knows what it knew: nothing is asked. */
static void first_goes(ending how)
{
    crowd_count before;
    rlk_event event;
    size_t i;

    begin(3, NULL);
    server_do(redis, "SET foobar somebody PX 600000");
    before = server_count(redis);
    assert_result(rlk_acquire_start(&locks[0], how == TIMED_OUT ? 100 : RLK_FOREVER), RLK_PENDING);
    for (i = 1; i < count; i++)
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    serve_until(&posix, server_count(redis).pttls > before.pttls);

    if (how == CLOSED) {
        loop_quiet(&posix, 20);
        assert_result(rlk_lock_close(&locks[0]), RLK_OK);
    } else {
        loop_serve(&posix, 20);
        if (how == CANCELLED)
            assert_result(rlk_cancel(&locks[0]), RLK_OK);
        assert_true(loop_next_event(&posix, &event, 10000));
        assert_ptr_equal(event.lock, &locks[0]);
        assert_result(event.result, how == CANCELLED ? RLK_CANCELLED : RLK_TIMED_OUT);
    }
    loop_quiet(&posix, 100);
    assert_int_equal(server_count(redis).sets - before.sets, 1);
    assert_int_equal(server_count(redis).pttls - before.pttls, 1);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_acquired(&locks[1]);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 1});
    assert_result(rlk_release_start(&locks[1]), RLK_PENDING);
    assert_result_event(&posix, RLK_OP_RELEASE, RLK_OK);
    assert_acquired(&locks[2]);
    end();
    support_teardown(NULL);
}

static void test_tracking_queue_first_is_cancelled(void **state)
{
    (void)state;
    first_goes(CANCELLED);
}

static void test_tracking_queue_first_times_out(void **state)
{
    (void)state;
    first_goes(TIMED_OUT);
}

static void test_tracking_queue_first_is_closed(void **state)
{
    (void)state;
    first_goes(CLOSED);
}

/* Out of the middle, and the last: the others keep their order. */
static void test_tracking_queue_others_step_out(void **state)
{
    static const size_t left[] = {0, 2, 5, 6, 8};
    rlk_posix_options options = {.max_handoffs = 254};
    rlk_event event;
    size_t i;

    (void)state;
    begin(10, &options);
    wait_behind_somebody();
    assert_result(rlk_cancel(&locks[3]), RLK_OK);
    assert_result(rlk_cancel(&locks[9]), RLK_OK);
    assert_result(rlk_cancel(&locks[4]), RLK_OK);
    for (i = 0; i < 3; i++) {
        assert_true(loop_next_event(&posix, &event, 10000));
        assert_result(event.result, RLK_CANCELLED);
    }
    assert_result(rlk_lock_close(&locks[7]), RLK_OK);
    assert_result(rlk_lock_close(&locks[1]), RLK_OK);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    for (i = 0; i < COUNT_OF(left); i++) {
        assert_acquired(&locks[left[i]]);
        assert_result(rlk_release_start(&locks[left[i]]), RLK_PENDING);
        assert_result_event(&posix, RLK_OP_RELEASE, RLK_OK);
    }
    assert_null(server_text(redis, "GET foobar"));
    end();
}

/* While its attempt is under way: the next makes one of its own. */
static void test_tracking_queue_first_is_cancelled_while_it_asks(void **state)
{
    rlk_event event;

    (void)state;
    begin(2, NULL);
    server_pause(redis);
    assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&locks[1], RLK_FOREVER), RLK_PENDING);
    loop_quiet(&posix, 50);
    assert_result(rlk_cancel(&locks[0]), RLK_OK);
    server_resume(redis);
    assert_true(loop_next_event(&posix, &event, 10000));
    if (event.lock == &locks[0]) {
        assert_result(event.result, RLK_CANCELLED);
        assert_acquired(&locks[1]);
    } else {
        assert_ptr_equal(event.lock, &locks[1]);
        assert_result(event.result, RLK_OK);
        assert_result_event(&posix, RLK_OP_ACQUIRE, RLK_CANCELLED);
    }
    assert_string_equal(server_text(redis, "GET foobar"), token_of(&locks[1]));
    end();
}

/* ---- 78: how the holder of the same client ends ---- */

/* LOST and what follows it, in either order. */
static void assert_lost_and_acquired(const rlk_lock *loser, const rlk_lock *next, int64_t most_ms)
{
    rlk_event event;
    bool lost = false;
    bool acquired = false;

    while (!lost || !acquired) {
        assert_true(loop_next_event(&posix, &event, most_ms));
        lost = lost || (event.type == RLK_EV_LOST && event.lock == loser);
        acquired = acquired || (event.type == RLK_EV_ACQUIRED && event.lock == next);
    }
}

/* The next one does not know the holder's TTL: the holder's own end notifies it. */
static void test_fault_78_lease_runs_out(void **state)
{
    rlk_lock_config config = patient();
    int64_t start;

    (void)state;
    begin(2, NULL);
    config.ttl_ms = INT64_C(600) * support_time_factor();
    assert_result(rlk_lock_close(&locks[0]), RLK_OK);
    assert_result(rlk_lock_init(&locks[0], &posix.client, "foobar", &config), RLK_OK);
    wait_behind_somebody();
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_acquired(&locks[0]);
    assert_lost_and_acquired(&locks[0], &locks[1], config.ttl_ms + WAKE_UP_MS);
    assert_between(support_now_ms() - start, config.ttl_ms * 9 / 10, config.ttl_ms + WAKE_UP_MS);
    assert_int_equal(cause_count(&posix, RLK_CAUSE_RECHECK), 0);
    end();
}

/* The next of the queue has never asked the server, and the holder's renewals are its own client's:
 * it is notified all the same of what a stranger does. */
static void test_fault_77_next_of_the_queue(void **state)
{
    int64_t start;

    (void)state;
    begin(2, NULL);
    wait_behind_somebody();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_acquired(&locks[0]);
    assert_result(rlk_renew(&locks[0], 60000), RLK_OK);
    assert_result(rlk_renew(&locks[0], 70000), RLK_OK);
    loop_quiet(&posix, 100);
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_lost_and_acquired(&locks[0], &locks[1], WAKE_UP_MS);
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_PUSH] = 2});
    end();
}

/* It forces its own way: DEL, by a third lock of the client. */
static void test_fault_78_force_release(void **state)
{
    rlk_lock third;

    (void)state;
    begin(1, NULL);
    wait_behind_somebody();
    assert_result(rlk_lock_init(&third, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_force_release(&third), RLK_OK);
    assert_acquired(&locks[0]);
    assert_causes(&posix, {[RLK_CAUSE_START] = 1, [RLK_CAUSE_LOCAL] = 1});
    end();
}

/* The release is executed and its reply lost: GONE, or UNKNOWN at the deadline; the next has it. */
static void test_fault_78_release_without_a_reply(void **state)
{
    rlk_posix_options options = proxied_options();
    proxy *middle;
    int64_t start;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    open_all(proxy_url(middle), 2, &options);
    assert_result(rlk_acquire(&locks[0], RLK_TRY), RLK_OK);
    wait_from(1);
    proxy_on(middle, "EVALSHA", 1, PROXY_CUT_REPLY, "");
    start = support_now_ms();
    assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
    assert_result_event(&posix, RLK_OP_RELEASE, RLK_GONE);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start, 0, WAKE_UP_MS);
    assert_string_equal(server_text(redis, "GET foobar"), token_of(&locks[1]));
    end();
}

/* The release reaches the server late, after it was given up as UNKNOWN. */
static void test_fault_78_release_is_unknown(void **state)
{
    rlk_posix_options options = proxied_options();
    proxy *middle;
    rlk_event event;
    bool acquired = false;

    (void)state;
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    options.operation_timeout_ms = 200;
    options.response_timeout_ms = 60000;
    open_all(proxy_url(middle), 2, &options);
    assert_result(rlk_acquire(&locks[0], RLK_TRY), RLK_OK);
    wait_from(1);
    proxy_hold(middle, PROXY_TO_SERVER);
    assert_result(rlk_release_start(&locks[0]), RLK_PENDING);
    assert_result_event(&posix, RLK_OP_RELEASE, RLK_UNKNOWN);
    loop_quiet(&posix, 50);
    proxy_release(middle);
    while (!acquired) {
        assert_true(loop_next_event(&posix, &event, WAKE_UP_MS));
        acquired = event.type == RLK_EV_ACQUIRED && event.lock == &locks[1];
        if (!acquired) /* that it was deleted after all */
            assert_int_equal(event.type, RLK_EV_SETTLED);
    }
    assert_string_equal(server_text(redis, "GET foobar"), token_of(&locks[1]));
    assert_int_equal(cause_count(&posix, RLK_CAUSE_RECHECK), 0);
    end();
}

/* ---- Buckets of the caller ---- */

#define KEYS 400

static void many_keys(rlk_lock **buckets, size_t buckets_len)
{
    static rlk_lock each[KEYS];
    static char names[KEYS][16];
    rlk_posix_options options = {.buckets = buckets, .buckets_len = buckets_len};
    rlk_lock_config config = patient();
    rlk_event event;
    uint32_t notified = 0;
    size_t i;

    begin(0, &options);
    for (i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "key:%zu", i);
        server_do(redis, "SET %s somebody PX 600000", names[i]);
        assert_result(rlk_lock_init(&each[i], &posix.client, names[i], &config), RLK_OK);
        assert_result(rlk_acquire_start(&each[i], RLK_FOREVER), RLK_PENDING);
    }
    serve_until(&posix, server_count(redis).pttls == KEYS);

    for (i = 0; i < KEYS; i += 3) {
        size_t which = i * 7 % KEYS; /* in any order */

        assert_int_equal(server_integer(redis, "DEL %s", names[which]), 1);
        assert_true(loop_next_event(&posix, &event, INT64_C(10000) * support_time_factor()));
        assert_ptr_equal(event.lock, &each[which]);
        assert_result(event.result, RLK_OK);
        notified++;
    }
    assert_causes(&posix, {[RLK_CAUSE_START] = KEYS, [RLK_CAUSE_PUSH] = notified});
    for (i = 0; i < KEYS; i++)
        (void)rlk_lock_close(&each[i]);
    for (i = 0; i < buckets_len; i++)
        assert_null(buckets[i]);
    end();
    support_teardown(NULL);
}

static void test_tracking_queue_many_keys(void **state)
{
    static rlk_lock *buckets[512];

    (void)state;
    many_keys(buckets, COUNT_OF(buckets));
    many_keys(buckets, 1); /* slow, and right */
    many_keys(NULL, 0);    /* the client's own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tracking_queue_costs_one_waiter),
        support_test(test_tracking_queue_is_served_in_order),
        support_test(test_tracking_queue_order_repeats),
        support_test(test_tracking_queue_one_attempt_asks_for_itself),
        support_test(test_tracking_queue_yields_after_handoffs),
        support_test(test_tracking_queue_lets_another_process_have_it),
        support_test(test_tracking_queue_first_is_cancelled),
        support_test(test_tracking_queue_first_times_out),
        support_test(test_tracking_queue_first_is_closed),
        support_test(test_tracking_queue_others_step_out),
        support_test(test_tracking_queue_first_is_cancelled_while_it_asks),
        support_test(test_fault_78_lease_runs_out),
        support_test(test_fault_77_next_of_the_queue),
        support_test(test_fault_78_force_release),
        support_test(test_fault_78_release_without_a_reply),
        support_test(test_fault_78_release_is_unknown),
        support_test(test_tracking_queue_many_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
