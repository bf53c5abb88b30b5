/* SPDX-License-Identifier: MIT
 *
 * Clocks of a process that holds a lock: its wall clock jumps, which has no effect (fault 55); the
 * clock that the library is given stands, is cached, or goes back (fault 87).
 */
#define _GNU_SOURCE
#include "busy_client.h"
#include "clock.h"

#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static server *redis;
static rlk_posix_client posix;
static rlk_lock lock;

static void begin(const rlk_posix_options *options)
{
    redis = server_start(NULL);
    assert_result(rlk_posix_open(&posix, server_url(redis), options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
}

static void end(void)
{
    rlk_posix_close(&posix);
    support_teardown(NULL);
}

static void hold_lock(void)
{
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
}

static void stranger_has_it(void)
{
    server_do(redis, "SET foobar stranger");
}

/* ---- Fault 87: cached or backward clock ---------------------------------------------------- */

/* A clock that stands, as of a loop that caches its time: what needs no time works, what waits for
 * a time waits without turning in circles, and goes on when the clock does. */
static void test_fault_87_clock_that_stands(void **state)
{
    test_clock clock = TEST_CLOCK_AT(1000000);
    rlk_posix_options options;
    unsigned turns = 0;
    int64_t until;
    rlk_event event;

    (void)state;
    memset(&options, 0, sizeof options);
    options.env = test_clock_env(&clock);
    begin(&options);
    hold_lock();
    assert_between(rlk_remaining_ms(&lock), 29690, 29698);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stranger_has_it();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire_start(&lock, 300), RLK_PENDING);
    until = support_now_ms() + 300;
    while (support_now_ms() < until) {
        struct pollfd fds[RLK_MAX_FDS];
        int timeout;
        nfds_t n = rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout);

        poll(fds, n, timeout >= 0 && timeout < 100 ? timeout : 100);
        assert_result(rlk_posix_service(&posix, fds, n), RLK_OK);
        assert_false(rlk_client_next_event(&posix.client, &event));
        turns++;
    }
    assert_between(turns, 1, 20);
    test_clock_jump(&clock, 300);
    assert_result_event(&posix, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
    end();
}

/* Read late, the cached time jumps: the lease is over by it, whatever came in between. */
static void test_fault_87_cached_clock_finds_the_lease_over(void **state)
{
    test_clock clock = TEST_CLOCK_AT(1000000);
    rlk_posix_options options;

    (void)state;
    memset(&options, 0, sizeof options);
    options.env = test_clock_env(&clock);
    begin(&options);
    hold_lock();
    assert_result(rlk_extend_start(&lock, 60000), RLK_PENDING);
    loop_serve(&posix, 0); /* sent, and perhaps answered: but read at the new time */
    test_clock_jump(&clock, 100000);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
    end();
}

/* A clock that goes back: time stands until it has caught up; nothing is held for longer, nothing
 * that was lost comes back. */
static void test_fault_87_backward_clock(void **state)
{
    test_clock clock = TEST_CLOCK_AT(100000000);
    rlk_posix_options options;
    int64_t left_ms;

    (void)state;
    memset(&options, 0, sizeof options);
    options.env = test_clock_env(&clock);
    begin(&options);
    hold_lock();
    left_ms = rlk_remaining_ms(&lock);
    test_clock_jump(&clock, -3600000);
    assert_int_equal(rlk_remaining_ms(&lock), left_ms);
    loop_quiet(&posix, 0); /* samples the clock */
    assert_result(rlk_posix_service(&posix, NULL, 0), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), left_ms);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 1, left_ms); /* the server's clock went on */
    assert_result(rlk_extend(&lock, 5000), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), left_ms + 1, left_ms + 5000);
    stranger_has_it();
    assert_result(rlk_check(&lock), RLK_NOT_OWNER);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    test_clock_jump(&clock, 3600000 + 30000);
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
    test_clock_jump(&clock, -60000);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    assert_result(rlk_extend(&lock, 60000), RLK_LOST);
    assert_result(rlk_release(&lock), RLK_LOST);
    end();
}

static busy_client busy;

/* A clock that stands renews nothing; one that went back neither, until it has caught up; then all
 * goes on, or is over. Nothing turns in circles meanwhile. */
static void test_fault_87_renewals_by_a_clock_that_stands(void **state)
{
    test_clock standing = TEST_CLOCK_AT(100000000);
    rlk_posix_options options;
    int64_t calls;
    int64_t until;
    unsigned turns = 0;

    (void)state;
    redis = server_start(NULL);
    memset(&options, 0, sizeof options);
    options.env = test_clock_env(&standing);
    busy_open(&busy, redis, server_url(redis), &options, 3600000);
    loop_quiet(&busy.posix, 50);
    calls = server_calls(redis, "evalsha");
    until = support_now_ms() + 200;
    while (support_now_ms() < until) {
        struct pollfd fds[RLK_MAX_FDS];
        int timeout;
        nfds_t n = rlk_posix_prepare(&busy.posix, fds, RLK_MAX_FDS, &timeout);

        poll(fds, n, timeout >= 0 && timeout < 50 ? timeout : 50);
        assert_result(rlk_posix_service(&busy.posix, fds, n), RLK_OK);
        turns++;
    }
    assert_between(turns, 1, 20);
    test_clock_jump(&standing, -1800000);
    loop_quiet(&busy.posix, 50);
    assert_int_equal(server_calls(redis, "evalsha"), calls);
    test_clock_jump(&standing, 1800000 + scaled(3600000) / 3);
    assert_event(&busy.posix, RLK_EV_RENEWED, RLK_OK);
    assert_true(rlk_is_held(&busy.renewing));
    test_clock_jump(&standing, 2 * scaled(3600000));
    assert_false(rlk_is_held(&busy.renewing));
    assert_event(&busy.posix, RLK_EV_LOST, RLK_LOST);
    rlk_posix_close(&busy.posix);
}

/* ---- Fault 55: the wall clock -------------------------------------------------------------- */

/* The C library's clocks, as the library under test sees them while `wall_watched`. */
static bool wall_watched;
static int64_t wall_offset_s;
static unsigned wall_asked;

int clock_gettime(clockid_t id, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, id, now);
    bool wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI;

    if (wall_watched && wall) {
        wall_asked++;
        now->tv_sec += wall_offset_s;
    }
    return (int)result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec fine;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec fine;

    clock_gettime(CLOCK_REALTIME, &fine);
    if (out != NULL)
        *out = fine.tv_sec;
    return fine.tv_sec;
}

static void wall_jump(int64_t seconds)
{
    wall_watched = true;
    wall_offset_s += seconds;
}

/* Fault 55: the client's wall clock a day ahead and a day back: no effect, for nobody asks it. */
static void test_fault_55_wall_clock_has_no_effect(void **state)
{
    rlk_holder holder;
    rlk_lock other;

    (void)state;
    begin(NULL);
    assert_result(rlk_lock_init(&other, &posix.client, "foobar", NULL), RLK_OK);
    wall_jump(86400);
    assert_true(time(NULL) > 0);
    assert_int_equal(wall_asked, 1); /* the watch works */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    wall_jump(86400);
    assert_true(rlk_is_held(&lock));
    assert_between(rlk_remaining_ms(&lock), 20000, 30000);
    assert_result(rlk_acquire(&other, 100), RLK_TIMED_OUT);
    wall_jump(-3 * 86400);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 20000, 31000);
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    wall_watched = false;
    assert_int_equal(wall_asked, 1);
    rlk_lock_close(&other);
    end();
}

/* Fault 55 of one that renews itself and one that waits for it. */
static void test_fault_55_wall_clock_and_renewals(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock other;
    int round;

    (void)state;
    begin(NULL);
    rlk_lock_close(&lock);
    config.ttl_ms = INT64_C(600) * support_time_factor();
    config.auto_renew = true;
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_lock_init(&other, &posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_acquire_start(&other, RLK_FOREVER), RLK_PENDING);
    wall_asked = 0;
    for (round = 0; round < 6; round++) {
        wall_jump(round % 2 == 0 ? 86400 : -2 * 86400);
        assert_event(&posix, RLK_EV_RENEWED, RLK_OK);
        assert_between(rlk_remaining_ms(&lock), config.ttl_ms / 3, config.ttl_ms);
        assert_int_equal(rlk_lock_operation(&other), RLK_OP_ACQUIRE);
    }
    assert_result(rlk_release(&lock), RLK_OK);
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    wall_watched = false;
    assert_int_equal(wall_asked, 0);
    rlk_lock_close(&other);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_55_wall_clock_has_no_effect),
        support_test(test_fault_55_wall_clock_and_renewals),
        support_test(test_fault_87_clock_that_stands),
        support_test(test_fault_87_cached_clock_finds_the_lease_over),
        support_test(test_fault_87_backward_clock),
        support_test(test_fault_87_renewals_by_a_clock_that_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
