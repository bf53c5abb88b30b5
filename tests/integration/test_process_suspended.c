/* SPDX-License-Identifier: MIT
 *
 * What happens to a process whose locks wait and renew themselves, by the faults' numbers of
 * docs/correctness.md: it is stopped for longer than the TTL, sleeps with its machine, has no time
 * for its loop. On a real server.
 */
#include "busy_client.h"
#include "child.h"
#include "clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static server *redis;
static busy_client busy;
static test_clock clock_of_client = TEST_CLOCK_REAL; /* or the system's, which shows the same */

static void end(void)
{
    rlk_posix_close(&busy.posix);
    support_teardown(NULL);
}

/* ---- Fault 43: stopped for longer than the TTL --------------------------------------------- */

/* The first call after it, whichever it is, knows. */
typedef bool (*first_call)(void);

static bool call_is_held(void)
{
    return !rlk_is_held(&busy.renewing) && rlk_keep_alive(&busy.renewing) == RLK_LOST;
}

static bool call_remaining(void)
{
    return rlk_remaining_ms(&busy.renewing) == 0;
}

static bool call_is_held_at(void)
{
    return !rlk_is_held_at(&busy.renewing, test_clock_now(&clock_of_client));
}

static bool call_held_ms(void)
{
    return rlk_held_ms(&busy.renewing) == 0;
}

static bool call_extend(void)
{
    return rlk_extend(&busy.renewing, 60000) == RLK_LOST;
}

static bool call_renew(void)
{
    return rlk_renew(&busy.renewing, RLK_DEFAULT) == RLK_LOST;
}

static bool call_keep(void)
{
    return rlk_keep_alive(&busy.renewing) == RLK_LOST;
}

static bool call_check(void)
{
    return rlk_check(&busy.renewing) == RLK_LOST;
}

static bool call_release(void)
{
    return rlk_release(&busy.renewing) == RLK_LOST && rlk_release(&busy.renewing) == RLK_NOT_HELD;
}

static bool call_resign(void)
{
    return rlk_resign(&busy.renewing) == RLK_LOST;
}

/* A call on another lock of the client. */
static bool call_another(void)
{
    rlk_holder holder;
    rlk_lock another;
    bool good = rlk_lock_init(&another, &busy.posix.client, "another", NULL) == RLK_OK &&
                rlk_query(&another, &holder, 1) == RLK_NOT_HELD && !rlk_is_held(&busy.renewing);

    rlk_lock_close(&another);
    return good;
}

/* The loop: no renewal that was due meanwhile, or was answered meanwhile, comes before it. */
static bool call_service(void)
{
    struct pollfd fds[RLK_MAX_FDS];
    rlk_event event;
    nfds_t n = rlk_posix_prepare(&busy.posix, fds, RLK_MAX_FDS, NULL);

    if (rlk_is_held(&busy.renewing))
        return false;
    poll(fds, n, 0);
    if (rlk_posix_service(&busy.posix, fds, n) != RLK_OK)
        return false;
    while (rlk_client_next_event(&busy.posix.client, &event))
        if (event.lock == &busy.renewing)
            return event.type == RLK_EV_LOST && event.result == RLK_LOST;
    return false;
}

/* The same without a poll of the descriptors. */
static bool call_service_blind(void)
{
    rlk_event event;

    if (rlk_posix_service(&busy.posix, NULL, 0) != RLK_OK)
        return false;
    while (rlk_client_next_event(&busy.posix.client, &event))
        if (event.lock == &busy.renewing)
            return event.type == RLK_EV_LOST && event.result == RLK_LOST;
    return false;
}

static const first_call first_calls[] = {
    call_is_held, call_remaining, call_is_held_at,   call_held_ms, call_extend,
    call_renew,   call_keep,      call_check,        call_release, call_resign,
    call_another, call_service,   call_service_blind};

typedef enum stop_when {
    STOP_UNRENEWED,        /* the lock does not renew itself */
    STOP_BETWEEN_RENEWALS, /* long before one is due */
    STOP_IN_A_RENEWAL      /* one has just been sent */
} stop_when;

static void stopped_child(first_call call, const char *key, stop_when when)
{
    rlk_lock_config config = busy_config(BUSY_TTL_MS);
    rlk_event event;

    config.auto_renew = when != STOP_UNRENEWED;
    CHILD_CHECK(rlk_posix_open(&busy.posix, server_url(redis), NULL) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&busy.renewing, &busy.posix.client, key, &config) == RLK_OK);
    CHILD_CHECK(rlk_acquire(&busy.renewing, scaled(20000)) == RLK_OK);
    if (when != STOP_UNRENEWED) {
        CHILD_CHECK(loop_next_event(&busy.posix, &event, scaled(5000)));
        CHILD_CHECK(event.type == RLK_EV_RENEWED);
    }
    if (when == STOP_IN_A_RENEWAL) {
        struct pollfd fds[RLK_MAX_FDS];
        int timeout_ms;

        rlk_posix_prepare(&busy.posix, fds, RLK_MAX_FDS, &timeout_ms);
        support_sleep_ms(timeout_ms);
        rlk_client_tick(&busy.posix.client);
        rlk_posix_prepare(&busy.posix, fds, RLK_MAX_FDS, NULL); /* sends it */
    }
    CHILD_CHECK(rlk_is_held(&busy.renewing));
    raise(SIGSTOP);
    CHILD_CHECK(call());
    CHILD_CHECK(!rlk_is_held(&busy.renewing));
    CHILD_CHECK(rlk_release(&busy.renewing) == RLK_LOST ||
                rlk_release(&busy.renewing) == RLK_NOT_HELD);
    rlk_posix_close(&busy.posix);
    _exit(0);
}

/* All stop; others have the locks meanwhile, by their expiry, and keep them whatever the stopped
 * ones do then. */
static void stopped(stop_when when)
{
    pid_t pids[COUNT_OF(first_calls)];
    char keys[COUNT_OF(first_calls)][16];
    rlk_lock locks[COUNT_OF(first_calls)];
    size_t i;

    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(pids); i++) {
        snprintf(keys[i], sizeof keys[i], "stopped:%zu", i);
        pids[i] = child_fork();
        if (pids[i] == 0)
            stopped_child(first_calls[i], keys[i], when);
    }
    for (i = 0; i < COUNT_OF(pids); i++)
        child_wait_stopped(pids[i]);
    assert_result(rlk_posix_open(&busy.posix, server_url(redis), NULL), RLK_OK);
    for (i = 0; i < COUNT_OF(pids); i++) {
        assert_result(rlk_lock_init(&locks[i], &busy.posix.client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire(&locks[i], scaled(10000)), RLK_OK);
    }
    for (i = 0; i < COUNT_OF(pids); i++) {
        child_continue(pids[i]);
        assert_int_equal(child_exit_code(pids[i]), 0);
        assert_result(rlk_check(&locks[i]), RLK_OK);
        assert_result(rlk_release(&locks[i]), RLK_OK);
    }
    end();
}

static void test_fault_43_stopped_for_longer_than_the_ttl(void **state)
{
    (void)state;
    stopped(STOP_UNRENEWED);
}

static void test_fault_43_stopped_between_renewals(void **state)
{
    (void)state;
    stopped(STOP_BETWEEN_RENEWALS);
}

static void test_fault_43_stopped_in_a_renewal(void **state)
{
    (void)state;
    stopped(STOP_IN_A_RENEWAL);
}

/* A waiter that is stopped: what it received meanwhile, it finds when it goes on. */
static void test_fault_43_stopped_while_it_waits(void **state)
{
    pid_t pid;

    (void)state;
    redis = server_start(NULL);
    server_do(redis, "SET held stranger");
    pid = child_fork();
    if (pid == 0) {
        rlk_lock_config config = busy_config(BUSY_TTL_MS);
        rlk_event event;

        CHILD_CHECK(rlk_posix_open(&busy.posix, server_url(redis), NULL) == RLK_OK);
        CHILD_CHECK(rlk_lock_init(&busy.renewing, &busy.posix.client, "held", &config) == RLK_OK);
        CHILD_CHECK(rlk_acquire_start(&busy.renewing, RLK_FOREVER) == RLK_PENDING);
        CHILD_CHECK(loop_next_event(&busy.posix, &event, scaled(20000)));
        CHILD_CHECK(event.type == RLK_EV_ACQUIRED && rlk_is_held(&busy.renewing));
        CHILD_CHECK(rlk_release(&busy.renewing) == RLK_OK);
        _exit(0);
    }
    wait_until(server_calls(redis, "pttl") >= 1);

    child_stop(pid);
    /* released, had by another, and released again, without it */
    assert_int_equal(server_integer(redis, "DEL held"), 1);
    server_do(redis, "SET held another PX 60000");
    child_continue(pid);
    wait_until(server_calls(redis, "pttl") >= 2); /* it has probed, and waits for that one */

    assert_string_equal(server_text(redis, "GET held"), "another");
    child_stop(pid);
    assert_int_equal(server_integer(redis, "DEL held"), 1);
    child_continue(pid);
    assert_int_equal(child_exit_code(pid), 0);
    assert_null(server_text(redis, "GET held"));
}

/* ---- Fault 44: suspend --------------------------------------------------------------------- */

/* A clock that goes on in suspend, as the system's does, has jumped. */
static void begin_with_clock(int64_t ttl_ms)
{
    static const test_clock real = TEST_CLOCK_REAL;
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    clock_of_client = real;
    options.env = test_clock_env(&clock_of_client);
    busy_open(&busy, redis, server_url(redis), &options, ttl_ms);
}

static void test_fault_44_suspend_is_found_by_the_first_call(void **state)
{
    size_t i;

    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(first_calls); i++) {
        begin_with_clock(30000);
        loop_quiet(&busy.posix, 10);
        server_do(redis, "SET held somebody"); /* who had it in the meantime; */
        test_clock_jump(&clock_of_client, 3600000);
        assert_true(first_calls[i]());
        assert_false(rlk_is_held(&busy.renewing));
        assert_string_equal(server_text(redis, "GET held"), "somebody"); /* and has it yet */
        assert_int_equal(server_integer(redis, "DEL held"), 1);
        rlk_posix_close(&busy.posix);
    }
}

/* Those that wait: one with a deadline has missed it; one without goes on, and is notified. */
static void test_fault_44_suspend_of_waiters(void **state)
{
    rlk_event event;
    rlk_lock patient;

    (void)state;
    redis = server_start(NULL);
    begin_with_clock(30000);
    assert_result(rlk_lock_init(&patient, &busy.posix.client, "other", NULL), RLK_OK);
    server_do(redis, "SET other stranger");
    assert_result(rlk_acquire_start(&patient, 60000), RLK_PENDING);
    loop_quiet(&busy.posix, 50);
    test_clock_jump(&clock_of_client, 3600000);
    event = busy_next_event(&busy);
    while (event.lock == &busy.renewing) {
        assert_int_equal(event.type, RLK_EV_LOST);
        event = busy_next_event(&busy);
    }
    assert_ptr_equal(event.lock, &patient);
    assert_result(event.result, RLK_TIMED_OUT);
    assert_int_equal(rlk_lock_operation(&busy.waiting), RLK_OP_ACQUIRE);
    assert_int_equal(rlk_lock_operation(&busy.behind), RLK_OP_ACQUIRE);
    assert_int_equal(server_integer(redis, "DEL wanted"), 1);
    do
        event = busy_next_event(&busy);
    while (event.lock == &busy.renewing);
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_ptr_equal(event.lock, &busy.waiting);
    assert_result(rlk_release(&busy.waiting), RLK_OK);
    busy_assert_acquired(&busy, &busy.behind);
    end();
}

/* A short one, within the lease: renewed at once when it is over, and nothing is lost. */
static void test_fault_44_short_suspend_is_made_up_for(void **state)
{
    int64_t left_ms;

    (void)state;
    redis = server_start(NULL);
    begin_with_clock(30000);
    test_clock_jump(&clock_of_client, 25000);
    left_ms = rlk_remaining_ms(&busy.renewing);
    assert_between(left_ms, 1, 30000 * support_time_factor() - 25000);
    assert_event(&busy.posix, RLK_EV_RENEWED, RLK_OK);
    assert_true(rlk_remaining_ms(&busy.renewing) > left_ms);
    assert_result(rlk_check(&busy.renewing), RLK_OK);
    end();
}

/* ---- Fault 54: the loop comes too late ------------------------------------------------------ */

/* Renewals are sent where the library is called: a program that doesn't call it loses its lock, by
 * its own clock, and pulls that before anything else. */
static void test_fault_54_loop_that_comes_too_late(void **state)
{
    rlk_event event;

    (void)state;
    redis = server_start(NULL);
    busy_open(&busy, redis, server_url(redis), NULL, BUSY_TTL_MS);
    assert_event(&busy.posix, RLK_EV_RENEWED, RLK_OK);
    support_sleep_ms(scaled(BUSY_TTL_MS) + 20);
    assert_false(rlk_is_held(&busy.renewing));
    wait_until(server_integer(redis, "EXISTS held") == 0);

    server_do(redis, "SET held somebody");
    event = busy_next_event(&busy);
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_ptr_equal(event.lock, &busy.renewing);
    loop_quiet(&busy.posix, 20);
    assert_string_equal(server_text(redis, "GET held"), "somebody");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_43_stopped_for_longer_than_the_ttl),
        support_test(test_fault_43_stopped_between_renewals),
        support_test(test_fault_43_stopped_in_a_renewal),
        support_test(test_fault_43_stopped_while_it_waits),
        support_test(test_fault_44_suspend_is_found_by_the_first_call),
        support_test(test_fault_44_suspend_of_waiters),
        support_test(test_fault_44_short_suspend_is_made_up_for),
        support_test(test_fault_54_loop_that_comes_too_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
