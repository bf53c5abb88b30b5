/* SPDX-License-Identifier: MIT
 *
 * Locks and clients that are closed with calls in flight, releases from within handlers and twice:
 * faults 50 to 52. And what a program leans on when all goes wrong: RLK_SCOPED, rlk_keep_alive,
 * rlk_client_reset. Of locks that wait in a queue: test_close_and_release_queued.c.
 */
#include "nodes.h"
#include "proxy.h"

#include <string.h>

static server *redis;
static proxy *middle;
static rlk_posix_client posix;
static rlk_lock lock;
static rlk_lock other;

static void begin(const rlk_posix_options *options)
{
    redis = server_start(NULL);
    middle = proxy_start(server_url(redis), false);
    assert_result(rlk_posix_open(&posix, proxy_url(middle), options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config_unwatched), RLK_OK);
    assert_result(rlk_lock_init(&other, &posix.client, "other", NULL), RLK_OK);
}

static void end(void)
{
    rlk_posix_close(&posix);
    support_teardown(NULL);
}

/* ---- Fault 50: destroy with calls in flight ------------------------------------------------ */

static rlk_holder holder;

static void nothing(void)
{
}

static void hold_lock(void)
{
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
}

static void stranger_has_it(void)
{
    server_do(redis, "SET foobar stranger");
}

static rlk_result start_acquire(void)
{
    return rlk_acquire_start(&lock, RLK_FOREVER);
}

static rlk_result start_release(void)
{
    return rlk_release_start(&lock);
}

static rlk_result start_extend(void)
{
    return rlk_extend_start(&lock, 1000);
}

static rlk_result start_check(void)
{
    return rlk_check_start(&lock);
}

static rlk_result start_query(void)
{
    return rlk_query_start(&lock, &holder, 1);
}

static rlk_result start_force_release(void)
{
    return rlk_force_release_start(&lock);
}

static rlk_result cancel_acquire(void)
{
    assert_result(start_acquire(), RLK_PENDING);
    loop_serve(&posix, 20);
    assert_result(rlk_cancel(&lock), RLK_OK);
    return RLK_PENDING;
}

typedef struct flight {
    const char *name;
    void (*before)(void);
    rlk_result (*start)(void);
    bool unheard;       /* the server's replies don't come */
    rlk_result outcome; /* of rlk_lock_close */
    const char *left;   /* in the key, NULL: nothing; "": our token */
} flight;

static const flight flights[] = {
    {"acquire, sent", nothing, start_acquire, true, RLK_UNKNOWN, ""},
    {"acquire, waiting", stranger_has_it, start_acquire, false, RLK_OK, "stranger"},
    {"acquire, cancelled", nothing, cancel_acquire, true, RLK_UNKNOWN, NULL},
    {"release, sent", hold_lock, start_release, true, RLK_UNKNOWN, NULL},
    {"extend, sent", hold_lock, start_extend, true, RLK_UNKNOWN, ""},
    {"check, sent", hold_lock, start_check, true, RLK_UNKNOWN, ""},
    {"query, sent", stranger_has_it, start_query, true, RLK_OK, "stranger"},
    {"force_release, sent", stranger_has_it, start_force_release, true, RLK_OK, NULL},
};

/* Goes to where the flight is, with another lock's call on the same connection behind it. */
static void take_off(const flight *now)
{
    begin(NULL);
    assert_result(rlk_query(&other, &holder, 1), RLK_NOT_HELD); /* connected */
    now->before();
    if (now->unheard)
        proxy_hold(middle, PROXY_TO_CLIENT);
    assert_result(now->start(), RLK_PENDING);
    assert_result(rlk_acquire_start(&other, RLK_FOREVER), RLK_PENDING);
    if (now->unheard)
        loop_quiet(&posix, 30);
    else
        assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
}

static void assert_left(const flight *now, const char *token)
{
    const char *value = server_text(redis, "GET foobar");

    if (now->left == NULL)
        assert_null(value);
    else
        assert_string_equal(value, now->left[0] != '\0' ? now->left : token);
}

static void assert_all_closed(rlk_lock *closed)
{
    assert_result(rlk_acquire(closed, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_release(closed), RLK_E_CLOSED);
    assert_result(rlk_extend(closed, 1000), RLK_E_CLOSED);
    assert_result(rlk_renew(closed, RLK_DEFAULT), RLK_E_CLOSED);
    assert_result(rlk_keep_alive(closed), RLK_E_CLOSED);
    assert_result(rlk_check(closed), RLK_E_CLOSED);
    assert_result(rlk_query(closed, &holder, 1), RLK_E_CLOSED);
    assert_result(rlk_force_release(closed), RLK_E_CLOSED);
    assert_result(rlk_cancel(closed), RLK_E_CLOSED);
    assert_result(rlk_lock_close(closed), RLK_E_CLOSED);
    assert_false(rlk_is_held(closed));
    assert_int_equal(rlk_remaining_ms(closed), 0);
    assert_int_equal(rlk_lock_operation(closed), RLK_OP_NONE);
}

/* A query that was under way when its lock was closed left no orphan: it was reported as UNKNOWN.
 *
 * The lock goes: its replies find nobody, and the other's find the other. */
static void test_fault_50_lock_closed_with_a_call_in_flight(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(flights); i++) {
        const flight *now = &flights[i];
        char token[RLK_TOKEN_MAX + 1] = "";

        take_off(now);
        rlk_lock_token(&lock, token, sizeof token);
        assert_result(rlk_lock_close(&lock), now->outcome);
        memset(&lock, 0xA5, sizeof lock); /* its memory is the caller's again */
        if (now->unheard) {
            proxy_release(middle);
            assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
        }
        loop_quiet(&posix, 20);
        assert_true(rlk_is_held(&other));
        assert_left(now, token);
        assert_result(rlk_extend(&other, 1000), RLK_OK);
        assert_result(rlk_release(&other), RLK_OK);
        assert_int_equal(rlk_conn_generation(rlk_client_conn(&posix.client, 0)), 1);
        end();
    }
}

/* The client goes: no event any more, each lock is closed. */
static void test_fault_50_client_closed_with_calls_in_flight(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(flights); i++) {
        rlk_event event;

        take_off(&flights[i]);
        rlk_posix_close(&posix);
        assert_false(rlk_client_next_event(&posix.client, &event));
        assert_all_closed(&lock);
        assert_all_closed(&other);
        assert_result(rlk_posix_service(&posix, NULL, 0), RLK_E_CLOSED);
        rlk_posix_close(&posix); /* once more does nothing */
        support_teardown(NULL);
    }
}

static unsigned wait_turns;
static void (*wait_act)(void);

/* env.wait: one turn of a loop; in the third one somebody acts. */
static int acting_wait(void *context, rlk_client *waiting, int64_t deadline_ms)
{
    (void)context;
    (void)deadline_ms;
    if (++wait_turns == 3 && wait_act != NULL) {
        wait_act();
        return 0;
    }
    loop_serve((rlk_posix_client *)(void *)waiting, 10);
    return 0;
}

static void act_close_lock(void)
{
    rlk_lock_close(&lock);
}

static void act_close_client(void)
{
    rlk_posix_close(&posix);
}

static void act_cancel(void)
{
    assert_result(rlk_cancel(&lock), RLK_OK);
}

/* Fault 50 of a blocking call: it ends once, when what it waits for is gone. */
static void test_fault_50_closed_under_a_blocking_call(void **state)
{
    static const struct {
        void (*act)(void);
        rlk_result expected;
    } cases[] = {
        {act_close_lock, RLK_E_CLOSED},
        {act_close_client, RLK_E_CLOSED},
        {act_cancel, RLK_CANCELLED},
    };
    rlk_posix_options options;
    size_t i;

    (void)state;
    memset(&options, 0, sizeof options);
    options.env.wait = acting_wait;
    for (i = 0; i < COUNT_OF(cases); i++) {
        begin(&options);
        stranger_has_it();
        wait_turns = 0;
        wait_act = cases[i].act;
        assert_result(rlk_acquire(&lock, RLK_FOREVER), cases[i].expected);
        assert_true(wait_turns >= 3);
        assert_string_equal(server_text(redis, "GET foobar"), "stranger");
        end();
    }
}

/* ---- Faults 51 and 52: releases ------------------------------------------------------------ */

#define MANY 8

/* Fault 51: from within the handling of events: started and blocking, of this lock and of others
 * whose events are still to be pulled; closing, too. */
static void test_fault_51_release_from_a_handler(void **state)
{
    static const char *const keys[MANY] = {"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"};
    rlk_lock locks[MANY];
    unsigned acquired = 0;
    unsigned released = 0;
    rlk_event event;
    size_t i;

    (void)state;
    begin(NULL);
    for (i = 0; i < MANY; i++) {
        rlk_lock_config config = rlk_lock_config_default();

        config.user = &locks[i];
        assert_result(rlk_lock_init(&locks[i], &posix.client, keys[i], &config), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    }
    loop_serve(&posix, 50); /* so that there are events of many at once */
    while (released < MANY / 2 && loop_next_event(&posix, &event, 5000)) {
        size_t index = (size_t)(event.lock - locks);

        assert_ptr_equal(event.user, event.lock);
        if (event.type != RLK_EV_ACQUIRED) {
            assert_end(&event, RLK_OP_RELEASE, RLK_OK);
            released++;
            assert_result(rlk_lock_close(event.lock), RLK_OK);
            continue;
        }
        acquired++;
        if (index % 2 == 0)
            assert_result(rlk_release_start(event.lock), RLK_PENDING);
        else
            assert_result(rlk_release(event.lock), RLK_OK);
    }
    assert_int_equal(acquired, MANY);
    loop_quiet(&posix, 20);
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    end();
}

/* Fault 51: a LOST that is pulled: released, and acquired again, on the spot. */
static void test_fault_51_release_from_lost(void **state)
{
    rlk_event event;

    (void)state;
    begin(NULL);
    hold_lock();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    assert_result_event(&posix, RLK_OP_CHECK, RLK_NOT_OWNER);
    assert_true(rlk_client_next_event(&posix.client, &event));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result(rlk_release(event.lock), RLK_LOST);
    assert_result(rlk_acquire(event.lock, 1000), RLK_OK);
    assert_false(rlk_client_next_event(&posix.client, &event));
    end();
}

static void test_fault_52_double_release(void **state)
{
    int64_t calls;

    (void)state;
    begin(NULL);
    hold_lock();
    assert_result(rlk_release(&lock), RLK_OK);
    calls = server_calls(redis, "evalsha");
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_result(rlk_release_start(&lock), RLK_NOT_HELD);
    assert_int_equal(server_calls(redis, "evalsha"), calls); /* said here, nothing is sent */
    /* the second while the first is under way */
    hold_lock();
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_result(rlk_release_start(&lock), RLK_E_STATE);
    assert_result(rlk_release(&lock), RLK_E_STATE);
    assert_result_event(&posix, RLK_OP_RELEASE, RLK_OK);
    loop_quiet(&posix, 20);
    /* the second after somebody else has taken it */
    stranger_has_it();
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_string_equal(server_text(redis, "GET foobar"), "stranger");
    end();
}

/* ---- What a program leans on --------------------------------------------------------------- */

typedef enum way_out {
    OUT_AT_THE_END,
    OUT_BY_RETURN,
    OUT_BY_BREAK,
    OUT_BY_GOTO,
    OUT_RELEASED,
    OUT_LOST,
    OUT_IN_FLIGHT,
    OUT_NOT_ACQUIRED,
    OUT_COUNT
} way_out;

static int scope(way_out out)
{
    do {
        RLK_SCOPED(scoped, &posix.client, "foobar", NULL);

        if (out == OUT_NOT_ACQUIRED)
            return 1;
        assert_result(rlk_acquire(&scoped, RLK_TRY), RLK_OK);
        assert_non_null(server_text(redis, "GET foobar"));
        switch (out) {
        case OUT_BY_RETURN:
            return 1;
        case OUT_BY_BREAK:
            break;
        case OUT_BY_GOTO:
            goto out;
        case OUT_RELEASED:
            assert_result(rlk_release(&scoped), RLK_OK);
            break;
        case OUT_LOST:
            assert_int_equal(server_integer(redis, "DEL foobar"), 1);
            assert_result(rlk_check(&scoped), RLK_NOT_OWNER);
            break;
        case OUT_IN_FLIGHT:
            assert_result(rlk_extend_start(&scoped, 1000), RLK_PENDING);
            break;
        default:
            break;
        }
    } while (0);
out:
    return 0;
}

static void test_scoped_releases_on_every_exit_path(void **state)
{
    unsigned out;

    (void)state;
    begin(NULL);
    for (out = 0; out < OUT_COUNT; out++) {
        scope((way_out)out);
        assert_null(server_text(redis, "GET foobar"));
    }
    loop_quiet(&posix, 20); /* and none of them is attached, or has an event */
    end();
}

/* rlk_keep_alive over restarts of the server: with its data the lease goes on; without, it is lost,
 * and says so at the first renewal that is answered. */
static void test_keep_alive_over_restarts(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_result result;
    int64_t until;

    (void)state;
    begin(NULL);
    rlk_lock_close(&lock);
    config.ttl_ms = INT64_C(1500) * support_time_factor();
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
    hold_lock();
    server_save(redis);
    server_restart(redis, true);
    until = support_now_ms() + config.ttl_ms + config.ttl_ms / 2;
    while (support_now_ms() < until) {
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        support_sleep_ms(config.ttl_ms / 10);
    }
    assert_true(rlk_is_held(&lock));
    server_restart(redis, false);
    until = support_now_ms() + config.ttl_ms;
    do {
        result = rlk_keep_alive(&lock);
        support_sleep_ms(10);
    } while (result == RLK_OK && support_now_ms() < until);
    assert_result(result, RLK_NOT_OWNER);
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_acquire(&lock, 1000), RLK_OK); /* a candidate again */
    end();
}

/* A wrong password is fatal: said at once, not tried in a storm; what the operator mends is taken
 * up by rlk_client_reset. */
static void test_reset_after_fatal(void **state)
{
    rlk_posix_options options;
    int accepted;

    (void)state;
    memset(&options, 0, sizeof options);
    options.password = "new";
    redis = server_start(&(server_config){.password = "old"});
    middle = proxy_start(server_url(redis), false);
    assert_result(rlk_posix_open(&posix, proxy_url(middle), &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config_unwatched), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_AUTH);
    assert_int_equal(rlk_conn_get_state(rlk_client_conn(&posix.client, 0)), RLK_CONN_FATAL);
    accepted = proxy_accepted(middle);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_AUTH);
    assert_result(rlk_query(&lock, &holder, 1), RLK_E_AUTH);
    loop_quiet(&posix, 100);
    assert_int_equal(proxy_accepted(middle), accepted);
    server_do(redis, "CONFIG SET requirepass new");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_AUTH); /* stays until reset */
    assert_result(rlk_client_reset(&posix.client), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_string_equal(rlk_client_error(&posix.client), "");
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_50_lock_closed_with_a_call_in_flight),
        support_test(test_fault_50_client_closed_with_calls_in_flight),
        support_test(test_fault_50_closed_under_a_blocking_call),
        support_test(test_fault_51_release_from_a_handler),
        support_test(test_fault_51_release_from_lost),
        support_test(test_fault_52_double_release),
        support_test(test_scoped_releases_on_every_exit_path),
        support_test(test_keep_alive_over_restarts),
        support_test(test_reset_after_fatal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
