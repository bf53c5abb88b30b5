/* SPDX-License-Identifier: MIT
 *
 * A process that is interrupted by signals, or out of descriptors or entropy: faults 47 to 49.
 */
#include "nodes.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static server *redis;
static rlk_posix_client posix;
static rlk_lock lock;

static void begin(const char *url, const rlk_posix_options *options)
{
    assert_result(rlk_posix_open(&posix, url, options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
}

static void end(void)
{
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    support_teardown(NULL);
}

/* ---- Faults 47 and 48: signals and descriptors --------------------------------------------- */

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void storm(int interval_us)
{
    struct sigaction action;
    struct itimerval timer;

    memset(&action, 0, sizeof action);
    memset(&timer, 0, sizeof timer);
    action.sa_handler = on_alarm; /* no SA_RESTART */
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    timer.it_interval.tv_usec = interval_us;
    timer.it_value.tv_usec = interval_us;
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void test_fault_47_eintr_storm(void **state)
{
    rlk_lock other;
    int64_t start;
    int i;

    (void)state;
    redis = server_start(&(server_config){.tcp = true});
    begin(server_tcp_url(redis), NULL);
    assert_result(rlk_lock_init(&other, &posix.client, "foobar", NULL), RLK_OK);
    alarms = 0;
    storm(200);
    for (i = 0; i < 100; i++) {
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_result(rlk_extend(&lock, 1000), RLK_OK);
        assert_result(rlk_acquire(&other, RLK_TRY), RLK_BUSY);
        assert_result(rlk_release(&lock), RLK_OK);
    }
    /* a wait is neither cut short nor drawn out by signals */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    start = support_now_ms();
    assert_result(rlk_acquire(&other, 300), RLK_TIMED_OUT);
    assert_between(support_now_ms() - start, 300, 1500 * support_time_factor());
    storm(0);
    assert_true(alarms > 100);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&posix.client, 0)), 1);
    assert_result(rlk_release(&lock), RLK_OK);
    rlk_lock_close(&other);
    end();
}

static void test_fault_47_emfile(void **state)
{
    struct rlimit limit;
    struct rlimit none;
    int next;

    (void)state;
    redis = server_start(NULL);
    begin(server_url(redis), NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    next = dup(0);
    assert_true(next >= 0);
    close(next);
    none = limit;
    none.rlim_cur = (rlim_t)next; /* the lowest free number is beyond the limit */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    {
        rlk_result once = rlk_acquire(&lock, RLK_TRY);
        rlk_result waited = rlk_acquire(&lock, 100);
        int error = rlk_conn_errno(rlk_client_conn(&posix.client, 0));

        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_result(once, RLK_E_CONNECT);
        assert_result(waited, RLK_E_CONNECT);
        assert_int_equal(error, EMFILE);
    }
    assert_result(rlk_acquire(&lock, 5000), RLK_OK); /* once there are some again */
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

static volatile sig_atomic_t pipes;

static void on_pipe(int number)
{
    (void)number;
    pipes++;
}

/* Fault 48: a program that writes to a stream that the peer has closed is sent SIGPIPE, which would
 * end it where it has no handler. */
static void test_fault_48_no_sigpipe(void **state)
{
    struct sigaction action;
    struct sigaction before;
    struct pollfd fds[RLK_MAX_FDS];
    int round;

    (void)state;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_pipe;
    pipes = 0;
    for (round = 0; round < 4; round++) {
        bool tcp = round % 2 != 0;

        redis = server_start(&(server_config){.tcp = tcp});
        begin(tcp ? server_tcp_url(redis) : server_url(redis), NULL);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_int_equal(sigaction(SIGPIPE, &action, &before), 0);
        if (round < 2)
            server_kill(redis);
        else
            assert_int_equal(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes"), 1);
        support_sleep_ms(20);
        /* written without reading what has come: the end of the stream */
        assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
        rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, NULL);
        rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, NULL);
        rlk_cancel(&lock);
        loop_serve(&posix, 20);
        assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
        end();
    }
    assert_int_equal(pipes, 0);
}

/* ---- Fault 49: no entropy ------------------------------------------------------------------ */

static int entropy_result;

static int entropy_random(void *context, void *buf, size_t len)
{
    (void)context;
    return entropy_result != 0 ? entropy_result : rlk_system_random(NULL, buf, len);
}

static void test_fault_49_no_entropy_no_lock(void **state)
{
    rlk_posix_options options;
    rlk_event event;

    (void)state;
    memset(&options, 0, sizeof options);
    options.env.random = entropy_random;
    redis = server_start(NULL);
    entropy_result = -1;
    begin(server_url(redis), &options); /* opening needs none that is secret */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_ENTROPY);
    assert_contains(rlk_lock_error(&lock), "E_ENTROPY");
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_ENTROPY);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_ENTROPY);
    assert_false(rlk_client_next_event(&posix.client, &event));
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
    assert_false(rlk_is_held(&lock));
    assert_int_equal(server_calls(redis, "set"), 0);
    entropy_result = 0;
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    entropy_result = 5;                             /* any number but 0 */
    assert_result(rlk_extend(&lock, 1000), RLK_OK); /* needs none */
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_ENTROPY); /* no second time with the first */
    entropy_result = 0;
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_47_eintr_storm),
        support_test(test_fault_47_emfile),
        support_test(test_fault_48_no_sigpipe),
        support_test(test_fault_49_no_entropy_no_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
