/* SPDX-License-Identifier: MIT
 *
 * What happens to a process whose locks wait and renew themselves, by the faults' numbers of
 * docs/correctness.md: it is stopped for longer than the TTL, sleeps with its machine, has no time
 * for its loop. On a real server.
 */
#define _GNU_SOURCE
#include "clock.h"
#include "nodes.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static server *redis;
static rlk_client client;
static rlk_lock renewing;
static rlk_lock waiting;
static rlk_lock row; /* behind `waiting` */

#define TTL_MS 900

static rlk_lock_config config_of(int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    config.ttl_ms = scaled(ttl_ms);
    config.auto_renew = true;
    config.safety_ms = 3600000;
    return config;
}

/* A lock that is held and renews itself, one that waits for a stranger's key, one behind it. */
static void begin(const char *url, const rlk_options *options, int64_t ttl_ms)
{
    rlk_lock_config config = config_of(ttl_ms);
    assert_result(rlk_client_open(&client, url, options), RLK_OK);
    assert_result(rlk_lock_init(&renewing, &client, "held", &config), RLK_OK);
    assert_result(rlk_lock_init(&waiting, &client, "wanted", &config), RLK_OK);
    assert_result(rlk_lock_init(&row, &client, "wanted", &config), RLK_OK);
    server_do(redis, "SET wanted stranger");
    assert_result(rlk_acquire_start(&waiting, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&row, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire(&renewing, RLK_TRY), RLK_OK);
}

static void end(void)
{
    rlk_client_close(&client);
    support_teardown(NULL);
}

/* The next event, in which nothing is renewed. */
static rlk_event next_event(void)
{
    rlk_event event;
    do {
        if (!loop_next_event(&client, &event, scaled(10000)))
            support_fail("no event came");
    } while (event.type == RLK_EV_RENEWED);
    return event;
}

static void assert_acquired(const rlk_lock *lock)
{
    rlk_event event = next_event();
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_ptr_equal(event.lock, lock);
}

static int exit_code_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a child an assertion would end the parent's test twice: the line number tells instead. */
#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("child: line %d: %s\n", __LINE__, #condition);                             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* ---- Fault 43: stopped for longer than the TTL --------------------------------------------- */

/* The first call after it, whichever it is, knows. */
typedef bool (*first_call)(void);

static bool call_is_held(void)
{
    return !rlk_is_held(&renewing);
}

static bool call_remaining(void)
{
    return rlk_remaining_ms(&renewing) == 0;
}

static bool call_held_ms(void)
{
    return rlk_held_ms(&renewing) == 0;
}

static bool call_extend(void)
{
    return rlk_extend(&renewing, 60000) == RLK_LOST;
}

static bool call_renew(void)
{
    return rlk_renew(&renewing, RLK_DEFAULT) == RLK_LOST;
}

static bool call_keep(void)
{
    return rlk_keep(&renewing) == RLK_LOST;
}

static bool call_check(void)
{
    return rlk_check(&renewing) == RLK_LOST;
}

static bool call_release(void)
{
    return rlk_release(&renewing) == RLK_LOST;
}

static bool call_step_down(void)
{
    return rlk_step_down(&renewing) == RLK_LOST;
}

/* A call on another lock of the client. */
static bool call_another(void)
{
    rlk_holder holder;
    rlk_lock another;
    bool good = rlk_lock_init(&another, &client, "another", NULL) == RLK_OK &&
                rlk_query(&another, &holder, 1) == RLK_NOT_HELD && !rlk_is_held(&renewing);
    rlk_lock_close(&another);
    return good;
}

/* The loop: no renewal that was due meanwhile, or was answered meanwhile, comes before it. */
static bool call_service(void)
{
    struct pollfd fds[RLK_MAX_FDS];
    rlk_event event;
    nfds_t n = rlk_client_pollfds(&client, fds, RLK_MAX_FDS);
    if (rlk_is_held(&renewing))
        return false;
    poll(fds, n, 0);
    if (rlk_client_service(&client, fds, n) != RLK_OK)
        return false;
    while (rlk_client_next_event(&client, &event))
        if (event.lock == &renewing)
            return event.type == RLK_EV_LOST && event.result == RLK_LOST;
    return false;
}

static const first_call first_calls[] = {call_is_held,   call_remaining, call_held_ms, call_extend,
                                         call_renew,     call_keep,      call_check,   call_release,
                                         call_step_down, call_another,   call_service};

/* Stops when a renewal has just been sent, or long before one is due. */
static void stopped_child(first_call call, const char *key, bool in_a_renewal, int ready)
{
    rlk_lock_config config = config_of(TTL_MS);
    rlk_event event;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHILD_CHECK(rlk_client_open(&client, server_url(redis), NULL) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&renewing, &client, key, &config) == RLK_OK);
    CHILD_CHECK(rlk_acquire(&renewing, scaled(20000)) == RLK_OK);
    CHILD_CHECK(loop_next_event(&client, &event, scaled(5000)));
    CHILD_CHECK(event.type == RLK_EV_RENEWED);
    if (in_a_renewal) {
        struct pollfd fds[RLK_MAX_FDS];
        support_sleep_ms(rlk_client_timeout(&client));
        rlk_client_tick(&client);
        rlk_client_pollfds(&client, fds, RLK_MAX_FDS); /* writes it */
    }
    CHILD_CHECK(rlk_is_held(&renewing));
    CHILD_CHECK(write(ready, "", 1) == 1);
    raise(SIGSTOP);
    CHILD_CHECK(call());
    CHILD_CHECK(!rlk_is_held(&renewing));
    CHILD_CHECK(rlk_release(&renewing) == RLK_LOST || rlk_release(&renewing) == RLK_NOT_HELD);
    rlk_client_close(&client);
    _exit(0);
}

static pid_t stopped_start(first_call call, const char *key, bool in_a_renewal)
{
    int ready[2];
    char byte;
    pid_t pid;
    assert_int_equal(pipe(ready), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        stopped_child(call, key, in_a_renewal, ready[1]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* Others have the locks meanwhile, by their expiry, and keep them whatever the stopped ones do
 * then. */
static void stopped(bool in_a_renewal)
{
    pid_t pids[COUNT_OF(first_calls)];
    char keys[COUNT_OF(first_calls)][16];
    rlk_lock locks[COUNT_OF(first_calls)];
    size_t i;
    redis = server_start(NULL);
    assert_result(rlk_client_open(&client, server_url(redis), NULL), RLK_OK);
    for (i = 0; i < COUNT_OF(pids); i++) {
        snprintf(keys[i], sizeof keys[i], "stopped:%zu", i);
        pids[i] = stopped_start(first_calls[i], keys[i], in_a_renewal);
    }
    for (i = 0; i < COUNT_OF(pids); i++) {
        assert_result(rlk_lock_init(&locks[i], &client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire(&locks[i], scaled(10000)), RLK_OK);
    }
    for (i = 0; i < COUNT_OF(pids); i++) {
        assert_int_equal(kill(pids[i], SIGCONT), 0);
        assert_int_equal(exit_code_of(pids[i]), 0);
        assert_result(rlk_check(&locks[i]), RLK_OK);
        assert_result(rlk_release(&locks[i]), RLK_OK);
    }
    end();
}

static void test_fault_43_stopped_between_renewals(void **state)
{
    (void)state;
    stopped(false);
}

static void test_fault_43_stopped_in_a_renewal(void **state)
{
    (void)state;
    stopped(true);
}

/* A waiter that is stopped: what it was told meanwhile, it finds when it goes on. */
static void test_fault_43_stopped_while_it_waits(void **state)
{
    int ready[2];
    char byte;
    int status;
    pid_t pid;
    (void)state;
    redis = server_start(NULL);
    server_do(redis, "SET held stranger");
    assert_int_equal(pipe(ready), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        rlk_lock_config config = config_of(TTL_MS);
        rlk_event event;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHILD_CHECK(rlk_client_open(&client, server_url(redis), NULL) == RLK_OK);
        CHILD_CHECK(rlk_lock_init(&renewing, &client, "held", &config) == RLK_OK);
        CHILD_CHECK(rlk_acquire_start(&renewing, RLK_FOREVER) == RLK_PENDING);
        CHILD_CHECK(!loop_next_event(&client, &event, scaled(200)));
        CHILD_CHECK(write(ready[1], "", 1) == 1);
        CHILD_CHECK(loop_next_event(&client, &event, scaled(20000)));
        CHILD_CHECK(event.type == RLK_EV_ACQUIRED && rlk_is_held(&renewing));
        CHILD_CHECK(rlk_release(&renewing) == RLK_OK);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    /* released, had by another, and released again, without it */
    assert_int_equal(server_integer(redis, "DEL held"), 1);
    server_do(redis, "SET held another PX 60000");
    assert_int_equal(kill(pid, SIGCONT), 0);
    wait_until(server_calls(redis, "pttl") >= 2); /* it has looked, and waits for that one */
    assert_string_equal(server_text(redis, "GET held"), "another");
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_int_equal(server_integer(redis, "DEL held"), 1);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(exit_code_of(pid), 0);
    assert_null(server_text(redis, "GET held"));
    close(ready[0]);
    close(ready[1]);
}

/* ---- Fault 44: suspend --------------------------------------------------------------------- */

/* A clock that goes on in suspend, as the system's does, has jumped. */
static test_clock clock_of_client;

static void begin_with_clock(int64_t ttl_ms)
{
    static const test_clock real = TEST_CLOCK_REAL;
    rlk_options options;
    memset(&options, 0, sizeof options);
    clock_of_client = real;
    options.env = test_clock_env(&clock_of_client);
    begin(server_url(redis), &options, ttl_ms);
}

static void test_fault_44_suspend_is_found_by_the_first_call(void **state)
{
    size_t i;
    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(first_calls); i++) {
        begin_with_clock(30000);
        loop_quiet(&client, 10);
        server_do(redis, "SET held somebody"); /* who had it in the meantime; */
        test_clock_jump(&clock_of_client, 3600000);
        assert_true(first_calls[i]());
        assert_false(rlk_is_held(&renewing));
        assert_string_equal(server_text(redis, "GET held"), "somebody"); /* and has it yet */
        assert_int_equal(server_integer(redis, "DEL held"), 1);
        rlk_client_close(&client);
    }
}

/* Those that wait: one with a deadline has missed it; one without goes on, and is woken. */
static void test_fault_44_suspend_of_waiters(void **state)
{
    rlk_event event;
    rlk_lock patient;
    (void)state;
    redis = server_start(NULL);
    begin_with_clock(30000);
    assert_result(rlk_lock_init(&patient, &client, "other", NULL), RLK_OK);
    server_do(redis, "SET other stranger");
    assert_result(rlk_acquire_start(&patient, 60000), RLK_PENDING);
    loop_quiet(&client, 50);
    test_clock_jump(&clock_of_client, 3600000);
    event = next_event();
    while (event.lock == &renewing) {
        assert_int_equal(event.type, RLK_EV_LOST);
        event = next_event();
    }
    assert_ptr_equal(event.lock, &patient);
    assert_result(event.result, RLK_TIMED_OUT);
    assert_int_equal(rlk_lock_operation(&waiting), RLK_OP_ACQUIRE);
    assert_int_equal(rlk_lock_operation(&row), RLK_OP_ACQUIRE);
    assert_int_equal(server_integer(redis, "DEL wanted"), 1);
    do
        event = next_event();
    while (event.lock == &renewing);
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_ptr_equal(event.lock, &waiting);
    assert_result(rlk_release(&waiting), RLK_OK);
    assert_acquired(&row);
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
    left_ms = rlk_remaining_ms(&renewing);
    assert_between(left_ms, 1, 30000 * support_time_factor() - 25000);
    assert_event(&client, RLK_EV_RENEWED, RLK_OK);
    assert_true(rlk_remaining_ms(&renewing) > left_ms);
    assert_result(rlk_check(&renewing), RLK_OK);
    end();
}

/* ---- Fault 54: the loop comes too late ------------------------------------------------------ */

/* Renewals are sent where the library is called: a program that doesn't call it loses its lock, by
 * its own clock, and hears of it before anything else. */
static void test_fault_54_loop_that_comes_too_late(void **state)
{
    rlk_event event;
    (void)state;
    redis = server_start(NULL);
    begin(server_url(redis), NULL, TTL_MS);
    assert_event(&client, RLK_EV_RENEWED, RLK_OK);
    support_sleep_ms(scaled(TTL_MS) + 20);
    assert_false(rlk_is_held(&renewing));
    wait_until(server_integer(redis, "EXISTS held") == 0);
    server_do(redis, "SET held somebody");
    event = next_event();
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_ptr_equal(event.lock, &renewing);
    loop_quiet(&client, 20);
    assert_string_equal(server_text(redis, "GET held"), "somebody");
    end();
}

/* ---- Fault 87: clocks ----------------------------------------------------------------------- */

/* A clock that stands renews nothing; one that went back neither, until it has caught up; then all
 * goes on, or is over. Nothing turns in circles meanwhile. */
static void test_fault_87_renewals_by_a_clock_that_stands(void **state)
{
    test_clock standing = TEST_CLOCK_AT(100000000);
    rlk_options options;
    int64_t calls;
    int64_t until;
    unsigned turns = 0;
    (void)state;
    redis = server_start(NULL);
    memset(&options, 0, sizeof options);
    options.env = test_clock_env(&standing);
    begin(server_url(redis), &options, 3600000);
    loop_quiet(&client, 50);
    calls = server_calls(redis, "evalsha");
    until = support_now_ms() + 200;
    while (support_now_ms() < until) {
        struct pollfd fds[RLK_MAX_FDS];
        nfds_t n = rlk_client_pollfds(&client, fds, RLK_MAX_FDS);
        int timeout = rlk_client_timeout(&client);
        poll(fds, n, timeout >= 0 && timeout < 50 ? timeout : 50);
        assert_result(rlk_client_service(&client, fds, n), RLK_OK);
        turns++;
    }
    assert_between(turns, 1, 20);
    test_clock_jump(&standing, -1800000);
    loop_quiet(&client, 50);
    assert_int_equal(server_calls(redis, "evalsha"), calls);
    test_clock_jump(&standing, 1800000 + scaled(3600000) / 3);
    assert_event(&client, RLK_EV_RENEWED, RLK_OK);
    assert_true(rlk_is_held(&renewing));
    test_clock_jump(&standing, 2 * scaled(3600000));
    assert_false(rlk_is_held(&renewing));
    assert_event(&client, RLK_EV_LOST, RLK_LOST);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_43_stopped_between_renewals),
        support_test(test_fault_43_stopped_in_a_renewal),
        support_test(test_fault_43_stopped_while_it_waits),
        support_test(test_fault_44_suspend_is_found_by_the_first_call),
        support_test(test_fault_44_suspend_of_waiters),
        support_test(test_fault_44_short_suspend_is_made_up_for),
        support_test(test_fault_54_loop_that_comes_too_late),
        support_test(test_fault_87_renewals_by_a_clock_that_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
