/* SPDX-License-Identifier: MIT
 *
 * Blocking calls of a client with one connection wait in recv itself. What a wait must not do:
 * outlast a deadline, be shortened or lengthened by signals, or make the same client's loop block.
 */
#include "server.h"
#include "support.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

static rlk_posix_client posix;

#define TRYING_MS 700

static void open_with_lock(rlk_lock *lock, const char *url)
{
    rlk_posix_options options = {0};

    options.operation_timeout_ms = TRYING_MS;
    assert_result(rlk_posix_open(&posix, url, &options), RLK_OK);
    assert_result(rlk_lock_init(lock, &posix.client, "foobar", NULL), RLK_OK);
}

/* A loop that gets a notice of input where there is none goes on all the same. */
static void test_wait_leaves_loops_unblocked(void **state)
{
    server *redis = server_start(NULL);
    struct pollfd fds[RLK_MAX_FDS];
    int64_t start;
    nfds_t n;
    rlk_lock lock;

    (void)state;
    open_with_lock(&lock, server_url(redis));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    n = rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, NULL);
    assert_int_equal(n, 1);
    fds[0].revents = POLLIN;
    start = support_now_ms();
    assert_result(rlk_posix_service(&posix, fds, n), RLK_OK);
    assert_between(support_now_ms() - start, 0, 1500 * support_time_factor());

    /* and a server that doesn't read blocks no loop either */
    server_pause(redis);
    assert_result(rlk_acquire_start(&lock, 300), RLK_PENDING);
    start = support_now_ms();
    while (support_now_ms() - start < 100) {
        n = rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, NULL);
        fds[0].revents = POLLIN | POLLOUT;
        assert_result(rlk_posix_service(&posix, fds, n), RLK_OK);
    }
    assert_between(support_now_ms() - start, 0, 1500 * support_time_factor());
    server_resume(redis);
    rlk_posix_close(&posix);
}

static void on_alarm(int number)
{
    (void)number;
}

static void alarms(int flags, int every_ms)
{
    struct sigaction action;
    struct itimerval timer;

    memset(&action, 0, sizeof action);
    memset(&timer, 0, sizeof timer);
    action.sa_handler = on_alarm;
    action.sa_flags = flags;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    timer.it_interval.tv_usec = timer.it_value.tv_usec = (suseconds_t)every_ms * 1000;
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* The server stands still: the wait ends at its deadline, however often signals come. */
static void test_wait_ends_at_the_deadline_among_signals(void **state)
{
    static const int every_ms[] = {0, 7, 190};
    static const int flags[] = {0, SA_RESTART};
    server *redis = server_start(NULL);
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(every_ms); i++) {
        for (k = 0; k < COUNT_OF(flags); k++) {
            rlk_lock lock;
            int64_t start;

            open_with_lock(&lock, server_url(redis));
            assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
            server_pause(redis);
            alarms(flags[k], every_ms[i]);
            start = support_now_ms();
            assert_result(rlk_check(&lock), RLK_E_RESPONSE_TIMEOUT);
            assert_between(support_now_ms() - start, TRYING_MS,
                           TRYING_MS + 400 * support_time_factor());
            assert_true(rlk_is_held(&lock));
            alarms(flags[k], 0);
            server_resume(redis);
            assert_result(rlk_release(&lock), RLK_OK);
            rlk_posix_close(&posix);
        }
    }
}

/* The lease runs out while its own renewal is waited for: LOST at its deadline, not later. */
static void test_wait_ends_with_the_lease(void **state)
{
    server *redis = server_start(NULL);
    rlk_lock_config config = {0};
    rlk_lock lock;
    int64_t start;

    (void)state;
    config.ttl_ms = 1000;
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    server_pause(redis);
    start = support_now_ms();
    assert_result(rlk_renew(&lock, 2000), RLK_LOST);
    assert_between(support_now_ms() - start, 900, 1000 + 400 * support_time_factor());
    assert_false(rlk_is_held(&lock));
    server_resume(redis);
    rlk_posix_close(&posix);
}

/* A report that takes long is part of the time that the call has. */
static void slow_report(void *context, rlk_lock *lock, rlk_result reason, int64_t waited_ms)
{
    (void)context;
    (void)lock;
    (void)reason;
    (void)waited_ms;
    support_sleep_ms(1000);
}

static void test_wait_reckons_with_slow_reports(void **state)
{
    server *redis = server_start(NULL);
    rlk_posix_client holder;
    rlk_posix_options options = {0};
    rlk_lock_config config = {0};
    rlk_lock held;
    rlk_lock lock;
    int64_t start;

    (void)state;
    assert_result(rlk_posix_open(&holder, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&held, &holder.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    options.env.waiting = slow_report;
    assert_result(rlk_posix_open(&posix, server_url(redis), &options), RLK_OK);
    config.report_ms = 2000;
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &config), RLK_OK);
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 3200), RLK_TIMED_OUT);
    assert_between(support_now_ms() - start, 3200, 3200 + 300 * support_time_factor());
    rlk_posix_close(&posix);
    rlk_posix_close(&holder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_wait_leaves_loops_unblocked),
        support_test(test_wait_ends_at_the_deadline_among_signals),
        support_test(test_wait_ends_with_the_lease),
        support_test(test_wait_reckons_with_slow_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
