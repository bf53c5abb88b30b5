/* SPDX-License-Identifier: MIT
 *
 * A blocking call is ended from a signal handler, by another thread or by another process, at any
 * moment of it, and what it sent is undone. To be run under the thread sanitizer too.
 */
#include "child.h"
#include "hostile.h"
#include "server.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BOUND_MS 8000 /* of a call that must end soon, times the time factor */

#define LOST_MS 20000 /* a wait that nothing interrupts ends then, as TIMED_OUT */

static rlk_posix_client posix;
static rlk_lock lock;
static volatile sig_atomic_t handled;
static volatile sig_atomic_t interrupts; /* the handler calls rlk_posix_interrupt */
static volatile sig_atomic_t answer;
static volatile sig_atomic_t error_kept;

static void on_signal(int number)
{
    int error;

    (void)number;
    handled = handled + 1;
    if (interrupts == 0)
        return;
    error = errno;
    errno = EDOM;
    answer = (sig_atomic_t)rlk_posix_interrupt(&posix);
    error_kept = errno == EDOM;
    errno = error;
}

static void catch_signal(int number, bool interrupting)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    handled = 0;
    interrupts = interrupting;
    assert_int_equal(sigaction(number, &action, NULL), 0);
}

/* SIGALRM once in each `us` microseconds; 0: never. */
static void alarm_in(long us)
{
    struct itimerval timer;

    memset(&timer, 0, sizeof timer);
    timer.it_value.tv_sec = us / 1000000;
    timer.it_value.tv_usec = us % 1000000;
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void open_client(const char *url, bool return_on_signal)
{
    rlk_posix_options options = {0};

    options.interrupts = !return_on_signal;
    options.return_on_signal = return_on_signal;
    assert_result(rlk_posix_open(&posix, url, &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
}

static void close_client(void)
{
    (void)rlk_lock_close(&lock);
    rlk_posix_close(&posix);
}

/* The call ends so, and soon. */
static void expect_end(rlk_result actual, rlk_result expected, int64_t start_ms)
{
    alarm_in(0);
    assert_result(actual, expected);
    assert_between(support_now_ms() - start_ms, 0, BOUND_MS * support_time_factor());
}

/* ---- From a signal handler ---- */

static void test_interrupt_ends_a_wait_without_end(void **state)
{
    server *redis = server_start(NULL);
    int64_t start_ms;

    (void)state;
    server_do(redis, "SET foobar foreign");
    open_client(server_url(redis), false);
    catch_signal(SIGALRM, true);
    start_ms = support_now_ms();
    alarm_in(50000);
    expect_end(rlk_acquire(&lock, RLK_FOREVER), RLK_CANCELLED, start_ms);
    assert_int_equal(handled, 1);
    assert_int_equal(answer, RLK_OK);
    assert_true(error_kept != 0);
    /* it ended one call: the next goes on, and the lock is had */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    close_client();
}

/* At every moment: before the call, while it sends, while it waits, while it connects. None is
 * lost, and no key is left. */
static void test_interrupt_is_never_lost(void **state)
{
    server *redis = server_start(NULL);
    unsigned i;

    (void)state;
    server_do(redis, "SET foobar foreign");
    catch_signal(SIGALRM, true);
    for (i = 0; i < 300; i++) {
        int64_t start_ms = support_now_ms();

        if (i % 20 == 0) {
            if (i > 0)
                close_client();
            open_client(server_url(redis), false);
        }
        alarm_in(1 +
                 (long)(i * 7919 % 1500)); /* up to 1.5 ms: a call takes some 0.1 ms to its wait */
        expect_end(rlk_acquire(&lock, LOST_MS), RLK_CANCELLED, start_ms);
    }
    assert_int_equal(handled, 300);
    assert_string_equal(server_text(redis, "GET foobar"), "foreign");
    close_client();
}

/* The lock comes free at the same time: it is held, or not, as the result says; and then the next
 * acquire has the interrupt. */
static void test_interrupt_beside_a_success(void **state)
{
    server *redis = server_start(NULL);
    unsigned held = 0;
    unsigned i;

    (void)state;
    open_client(server_url(redis), false);
    catch_signal(SIGALRM, true);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK); /* connected from here on */
    assert_result(rlk_release(&lock), RLK_OK);
    for (i = 0; i < 300; i++) {
        rlk_result result;

        alarm_in(1 + (long)(i * 7919 % 150));
        result = rlk_acquire(&lock, LOST_MS);
        if (result == RLK_OK) {
            held++;
            assert_true(rlk_is_held(&lock));
            wait_until(handled == (sig_atomic_t)i + 1);

            assert_result(rlk_check(&lock), RLK_OK); /* does not take it */
            assert_result(rlk_release(&lock), RLK_OK);
            result = rlk_acquire(&lock, LOST_MS);
        }
        assert_result(result, RLK_CANCELLED);
        assert_false(rlk_is_held(&lock));
        assert_int_equal(server_integer(redis, "EXISTS foobar"), 0);
    }
    assert_int_equal(handled, 300);
    print_message("held before the interrupt: %u of 300\n", held);
    close_client();
}

/* A server that stands still, one that is not there, and one that swallows every SYN. */
static void test_interrupt_without_an_answer(void **state)
{
    server *redis = server_start(NULL);
    hostile *hole = hostile_black_hole();
    int64_t start_ms;

    (void)state;
    catch_signal(SIGALRM, true);
    open_client(server_url(redis), false);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    server_pause(redis);
    start_ms = support_now_ms();
    alarm_in(100000);
    expect_end(rlk_acquire(&lock, RLK_FOREVER), RLK_UNKNOWN,
               start_ms); /* its SET may be executed */
    server_resume(redis);
    close_client();
    server_kill(redis);
    open_client(server_url(redis), false);
    start_ms = support_now_ms();
    alarm_in(100000);
    expect_end(rlk_acquire(&lock, RLK_FOREVER), RLK_CANCELLED, start_ms);
    close_client();
    open_client(hostile_url(hole), false);
    start_ms = support_now_ms();
    alarm_in(100000);
    expect_end(rlk_acquire(&lock, RLK_FOREVER), RLK_CANCELLED, start_ms);
    close_client();
}

static void test_interrupt_of_release(void **state)
{
    server *redis = server_start(NULL);
    int64_t start_ms;

    (void)state;
    catch_signal(SIGALRM, true);
    open_client(server_url(redis), false);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    server_pause(redis);
    start_ms = support_now_ms();
    alarm_in(100000);
    expect_end(rlk_release(&lock), RLK_UNKNOWN, start_ms);
    server_resume(redis); /* what was sent is executed */
    wait_until(server_integer(redis, "EXISTS foobar") == 0);

    close_client();
}

/* ---- From elsewhere ---- */

typedef struct interrupter {
    unsigned rounds;
    unsigned done; /* atomic: calls that have ended */
} interrupter;

static void *interrupt_again_and_again(void *argument)
{
    interrupter *self = (interrupter *)argument;
    unsigned seed = 1;
    unsigned i;

    for (i = 0; i < self->rounds; i++) {
        struct timespec pause = {0, 0};

        seed = seed * 1103515245u + 12345u;
        pause.tv_nsec = (long)(seed % 1000000u);
        nanosleep(&pause, NULL);
        if (rlk_posix_interrupt(&posix) != RLK_OK)
            return self;
        while (__atomic_load_n(&self->done, __ATOMIC_ACQUIRE) <= i)
            nanosleep(&(struct timespec){0, 20000}, NULL);
    }
    return NULL;
}

static void test_interrupt_by_another_thread(void **state)
{
    server *redis = server_start(NULL);
    interrupter other = {200, 0};
    pthread_t thread;
    void *bad;
    unsigned i;

    (void)state;
    server_do(redis, "SET foobar foreign");
    open_client(server_url(redis), false);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_again_and_again, &other), 0);
    for (i = 0; i < other.rounds; i++) {
        assert_result(rlk_acquire(&lock, LOST_MS), RLK_CANCELLED);
        __atomic_store_n(&other.done, i + 1, __ATOMIC_RELEASE);
    }
    assert_int_equal(pthread_join(thread, &bad), 0);
    assert_null(bad);
    close_client();
}

static void test_interrupt_by_another_process(void **state)
{
    server *redis = server_start(NULL);
    pid_t parent = getpid();
    int64_t start_ms = support_now_ms();
    pid_t pid;

    (void)state;
    server_do(redis, "SET foobar foreign");
    catch_signal(SIGUSR1, true);
    open_client(server_url(redis), false);
    pid = child_fork();
    if (pid == 0) {
        support_sleep_ms(100);
        /* the child's own handler interrupts nobody, also not the parent by the pipe of both */
        CHILD_CHECK(raise(SIGUSR1) == 0);
        CHILD_CHECK(handled == 1 && answer == RLK_E_FORKED);
        CHILD_CHECK(rlk_posix_interrupt(&posix) == RLK_E_FORKED);
        support_sleep_ms(300);
        CHILD_CHECK(kill(parent, SIGUSR1) == 0);
        rlk_posix_close(&posix);
        _exit(0);
    }
    expect_end(rlk_acquire(&lock, RLK_FOREVER), RLK_CANCELLED, start_ms);
    assert_true(support_now_ms() - start_ms >= 350); /* by the second, not by the child's own */
    assert_int_equal(child_exit_code(pid), 0);
    close_client();
}

/* ---- A quorum ---- */

static void test_interrupt_of_a_quorum(void **state)
{
    static rlk_posix_memory memory[3];
    static rlk_conn_entry rings[3][RLK_CONN_RING_MIN];
    static uint8_t tx[3][1024];
    static uint8_t rx[3][RLK_CONN_RX_MIN];
    server *servers[3];
    const char *urls[3];
    rlk_posix_options options = {0};
    int64_t start_ms;
    size_t i;

    (void)state;
    options.interrupts = true;
    for (i = 0; i < 3; i++) {
        servers[i] = server_start(NULL);
        urls[i] = server_url(servers[i]);
        memory[i].ring = rings[i];
        memory[i].ring_len = RLK_CONN_RING_MIN;
        memory[i].tx = tx[i];
        memory[i].tx_cap = sizeof tx[i];
        memory[i].rx = rx[i];
        memory[i].rx_cap = sizeof rx[i];
    }
    server_do(servers[0], "SET foobar foreign");
    server_do(servers[1], "SET foobar foreign");
    assert_result(rlk_posix_open_nodes(&posix, urls, memory, 3, &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
    catch_signal(SIGALRM, true);
    for (i = 0; i < 30; i++) {
        start_ms = support_now_ms();
        alarm_in(1 + (long)(i * 797 % 20000));
        expect_end(rlk_acquire(&lock, LOST_MS), RLK_CANCELLED, start_ms);
    }
    assert_int_equal(server_integer(servers[2], "EXISTS foobar"), 0);
    close_client();
}

/* ---- EINTR ---- */

static void test_interrupt_by_eintr_where_asked_for(void **state)
{
    server *redis = server_start(NULL);
    int64_t start_ms;

    (void)state;
    server_do(redis, "SET foobar foreign");
    catch_signal(SIGALRM, false);
    open_client(server_url(redis), true);
    assert_result(rlk_posix_interrupt(&posix), RLK_E_STATE);
    start_ms = support_now_ms();
    alarm_in(100000); /* connected, and waits in recv */
    expect_end(rlk_acquire(&lock, RLK_FOREVER), RLK_CANCELLED, start_ms);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    close_client();
    server_kill(redis); /* waits in poll */
    open_client(server_url(redis), true);
    start_ms = support_now_ms();
    alarm_in(100000);
    expect_end(rlk_acquire(&lock, RLK_FOREVER), RLK_CANCELLED, start_ms);
    close_client();
}

/* By default it goes on: a signal is nobody's word. */
static void test_interrupt_not_by_eintr_by_default(void **state)
{
    server *redis = server_start(NULL);
    int64_t start_ms;

    (void)state;
    server_do(redis, "SET foobar foreign");
    catch_signal(SIGALRM, false);
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_posix_interrupt(&posix), RLK_E_STATE);
    start_ms = support_now_ms();
    alarm_in(50000);
    assert_result(rlk_acquire(&lock, 400), RLK_TIMED_OUT);
    assert_int_equal(handled, 1);
    assert_true(support_now_ms() - start_ms >= 400);
    close_client();
}

/* ---- Open and close ---- */

static void test_interrupt_arguments(void **state)
{
    rlk_posix_client closed;

    (void)state;
    memset(&closed, 0, sizeof closed);
    assert_result(rlk_posix_interrupt(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_posix_interrupt(&closed), RLK_E_CLOSED);
    open_client("redis://127.0.0.1:1", false);
    close_client();
    assert_result(rlk_posix_interrupt(&posix), RLK_E_CLOSED);
}

/* No descriptor is left behind, and where there is none to be had, open says so. */
static void test_interrupt_descriptors(void **state)
{
    struct rlimit limit;
    struct rlimit none;
    rlk_posix_options options = {0};
    int before = dup(0);
    int after;

    (void)state;
    assert_int_equal(close(before), 0);
    open_client("redis://127.0.0.1:1", false);
    close_client();
    options.interrupts = true;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = (rlim_t)before + 1; /* one, and a pipe takes two */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_result(rlk_posix_open(&posix, "redis://127.0.0.1:1", &options), RLK_E_PIPE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_text_contains(rlk_client_error(&posix.client), "E_PIPE: ");
    assert_result(rlk_posix_interrupt(&posix), RLK_E_CLOSED);
    after = dup(0);
    assert_int_equal(after, before);
    assert_int_equal(close(after), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_interrupt_ends_a_wait_without_end),
        support_test(test_interrupt_is_never_lost),
        support_test(test_interrupt_beside_a_success),
        support_test(test_interrupt_without_an_answer),
        support_test(test_interrupt_of_release),
        support_test(test_interrupt_by_another_thread),
        support_test(test_interrupt_by_another_process),
        support_test(test_interrupt_of_a_quorum),
        support_test(test_interrupt_by_eintr_where_asked_for),
        support_test(test_interrupt_not_by_eintr_by_default),
        support_test(test_interrupt_arguments),
        support_test(test_interrupt_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
