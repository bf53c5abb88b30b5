/* SPDX-License-Identifier: MIT
 *
 * Faults of the process that holds a lock, by the numbers of docs/correctness.md: stopped, forked,
 * interrupted by signals, out of descriptors, out of entropy, with its wall clock moved.
 */
#define _GNU_SOURCE
#include "nodes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static server *redis;
static rlk_client client;
static rlk_lock lock;

static void begin(const char *url, const rlk_options *options)
{
    assert_result(rlk_client_open(&client, url, options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &client, "foobar", NULL), RLK_OK);
}

static void end(void)
{
    rlk_lock_close(&lock);
    rlk_client_close(&client);
    support_teardown(NULL);
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

/* ---- Fault 43: stopped for longer than the TTL -------------------------------------------- */

#define STOP_TTL_MS 600

/* The first call after the stop, whichever it is, knows. */
typedef bool (*stop_call)(void);

static bool stop_is_held(void)
{
    return !rlk_is_held(&lock) && rlk_keep(&lock) == RLK_LOST;
}

static bool stop_remaining(void)
{
    return rlk_remaining_ms(&lock) == 0 && !rlk_is_held_at(&lock, rlk_system_now_ms(NULL));
}

static bool stop_extend(void)
{
    return rlk_extend(&lock, 60000) == RLK_LOST;
}

static bool stop_renew(void)
{
    return rlk_renew(&lock, RLK_DEFAULT) == RLK_LOST;
}

static bool stop_keep(void)
{
    return rlk_keep(&lock) == RLK_LOST;
}

static bool stop_check(void)
{
    return rlk_check(&lock) == RLK_LOST;
}

static bool stop_release(void)
{
    return rlk_release(&lock) == RLK_LOST && rlk_release(&lock) == RLK_NOT_HELD;
}

static bool stop_event(void)
{
    rlk_event event;
    return rlk_client_service(&client, NULL, 0) == RLK_OK &&
           rlk_client_next_event(&client, &event) && event.type == RLK_EV_LOST &&
           event.result == RLK_LOST && event.lock == &lock && !rlk_is_held(&lock);
}

static const stop_call stop_calls[] = {stop_is_held, stop_remaining, stop_extend,  stop_renew,
                                       stop_keep,    stop_check,     stop_release, stop_event};

static void stop_child(stop_call call, const char *key, int ready)
{
    rlk_lock_config config = rlk_lock_config_default();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    config.ttl_ms = STOP_TTL_MS * support_time_factor();
    CHILD_CHECK(rlk_client_open(&client, server_url(redis), NULL) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&lock, &client, key, &config) == RLK_OK);
    CHILD_CHECK(rlk_acquire(&lock, RLK_TRY) == RLK_OK);
    CHILD_CHECK(rlk_is_held(&lock));
    CHILD_CHECK(write(ready, "", 1) == 1);
    raise(SIGSTOP);
    CHILD_CHECK(call());
    CHILD_CHECK(!rlk_is_held(&lock));
    rlk_client_close(&client);
    _exit(0);
}

static void test_fault_43_stopped_for_longer_than_the_ttl(void **state)
{
    pid_t pids[COUNT_OF(stop_calls)];
    char keys[COUNT_OF(stop_calls)][16];
    rlk_lock locks[COUNT_OF(stop_calls)];
    size_t i;
    (void)state;
    redis = server_start(NULL);
    for (i = 0; i < COUNT_OF(pids); i++) {
        int ready[2];
        char byte;
        snprintf(keys[i], sizeof(keys[i]), "stop:%zu", i);
        assert_int_equal(pipe(ready), 0);
        pids[i] = fork();
        if (pids[i] == 0)
            stop_child(stop_calls[i], keys[i], ready[1]);
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
    }
    support_sleep_ms((int64_t)STOP_TTL_MS * support_time_factor() + 20);
    /* others have the locks meanwhile, and keep them whatever the stopped ones do */
    assert_result(rlk_client_open(&client, server_url(redis), NULL), RLK_OK);
    for (i = 0; i < COUNT_OF(pids); i++) {
        assert_result(rlk_lock_init(&locks[i], &client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire(&locks[i], 5000), RLK_OK);
    }
    for (i = 0; i < COUNT_OF(pids); i++) {
        assert_int_equal(kill(pids[i], SIGCONT), 0);
        assert_int_equal(exit_code_of(pids[i]), 0);
        assert_result(rlk_check(&locks[i]), RLK_OK);
        assert_result(rlk_release(&locks[i]), RLK_OK);
    }
    rlk_client_close(&client);
}

/* ---- Fault 45: fork ----------------------------------------------------------------------- */

/* A child is refused in every call, is_held included, and sends nothing. */
static void forked_calls(void)
{
    struct pollfd fds[RLK_MAX_FDS];
    rlk_holder holder;
    rlk_event event;
    rlk_lock another;
    CHILD_CHECK(!rlk_is_held(&lock));
    CHILD_CHECK(!rlk_is_held_at(&lock, 0));
    CHILD_CHECK(rlk_remaining_ms(&lock) == 0);
    CHILD_CHECK(rlk_acquire(&lock, RLK_TRY) == RLK_E_FORKED);
    CHILD_CHECK(rlk_acquire_start(&lock, RLK_TRY) == RLK_E_FORKED);
    CHILD_CHECK(rlk_release(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_release_start(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_extend(&lock, 1000) == RLK_E_FORKED);
    CHILD_CHECK(rlk_extend_start(&lock, 1000) == RLK_E_FORKED);
    CHILD_CHECK(rlk_renew(&lock, RLK_DEFAULT) == RLK_E_FORKED);
    CHILD_CHECK(rlk_renew_start(&lock, RLK_DEFAULT) == RLK_E_FORKED);
    CHILD_CHECK(rlk_keep(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_check(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_check_start(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_query(&lock, &holder, 1) == RLK_E_FORKED);
    CHILD_CHECK(rlk_query_start(&lock, &holder, 1) == RLK_E_FORKED);
    CHILD_CHECK(rlk_force_release(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_force_release_start(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_cancel(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_lock_close(&lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_lock_init(&another, &client, "another", NULL) == RLK_E_FORKED);
    CHILD_CHECK(rlk_client_reset(&client) == RLK_E_FORKED);
    CHILD_CHECK(rlk_client_service(&client, NULL, 0) == RLK_E_FORKED);
    CHILD_CHECK(rlk_client_pollfds(&client, fds, RLK_MAX_FDS) == 0);
    CHILD_CHECK(rlk_client_timeout(&client) == -1);
    CHILD_CHECK(rlk_client_deadline(&client) == RLK_NEVER);
    CHILD_CHECK(!rlk_client_next_event(&client, &event));
    rlk_client_tick(&client);
}

/* A client of its own works in the child. */
static void forked_own_client(void)
{
    static rlk_client own;
    rlk_lock mine;
    CHILD_CHECK(rlk_client_open(&own, server_url(redis), NULL) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&mine, &own, "foobar", NULL) == RLK_OK);
    CHILD_CHECK(rlk_acquire(&mine, RLK_TRY) == RLK_BUSY);
    CHILD_CHECK(rlk_lock_close(&mine) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&mine, &own, "child", NULL) == RLK_OK);
    CHILD_CHECK(rlk_acquire(&mine, RLK_TRY) == RLK_OK);
    CHILD_CHECK(rlk_release(&mine) == RLK_OK);
    rlk_client_close(&own);
}

static pid_t fork_child(bool closing)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    forked_calls();
    if (closing) {
        rlk_client_close(&client);
        CHILD_CHECK(rlk_acquire(&lock, RLK_TRY) != RLK_OK);
        CHILD_CHECK(!rlk_is_held(&lock));
    }
    forked_own_client();
    _exit(0);
}

static void fork_with_lock_held(bool tcp)
{
    int closing;
    redis = server_start(&(server_config){.tcp = tcp});
    begin(tcp ? server_tcp_url(redis) : server_url(redis), NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    for (closing = 0; closing < 2; closing++) {
        int64_t calls = server_calls(redis, "evalsha");
        assert_int_equal(exit_code_of(fork_child(closing != 0)), 0);
        assert_int_equal(server_calls(redis, "evalsha"), calls + 1); /* the child's own release */
        assert_true(rlk_is_held(&lock));
        assert_result(rlk_check(&lock), RLK_OK);
        assert_result(rlk_extend(&lock, 1000), RLK_OK);
    }
    /* the parent's stream was never disturbed */
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&client, 0)), 1);
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

static void test_fault_45_fork_with_a_lock_held(void **state)
{
    (void)state;
    fork_with_lock_held(false);
    fork_with_lock_held(true);
}

/* Fault 45: RLK_SCOPED in a child that leaves its block takes nothing away from the parent; nor
 * does a fork in the middle of an operation. */
static void test_fault_45_fork_in_a_scope(void **state)
{
    pid_t pid;
    (void)state;
    redis = server_start(NULL);
    begin(server_url(redis), NULL);
    {
        RLK_SCOPED(scoped, &client, "scoped", NULL);
        assert_result(rlk_acquire(&scoped, RLK_TRY), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        pid = fork();
        if (pid == 0) {
            rlki_lock_scope_end(&scoped); /* as if it left the block; _exit wouldn't */
            forked_calls();
            rlk_client_close(&client);
            _exit(0);
        }
        assert_int_equal(exit_code_of(pid), 0);
        assert_event(&client, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&scoped));
        assert_result(rlk_check(&scoped), RLK_OK);
    }
    assert_null(server_text(redis, "GET scoped"));
    assert_result(rlk_release(&lock), RLK_OK);
    end();
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
    memset(&action, 0, sizeof(action));
    memset(&timer, 0, sizeof(timer));
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
    assert_result(rlk_lock_init(&other, &client, "foobar", NULL), RLK_OK);
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
    assert_between(support_now_ms() - start, 300, 600 * support_time_factor());
    storm(0);
    assert_true(alarms > 100);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&client, 0)), 1);
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
        int error = rlk_conn_errno(rlk_client_conn(&client, 0));
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

/* Fault 48: whoever writes to a stream that the peer has closed is sent SIGPIPE, which would end a
 * program that never heard of it. */
static void test_fault_48_no_sigpipe(void **state)
{
    struct sigaction action;
    struct sigaction before;
    struct pollfd fds[RLK_MAX_FDS];
    int round;
    (void)state;
    memset(&action, 0, sizeof(action));
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
        /* written without a look at what has come: the end of the stream */
        assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
        rlk_client_pollfds(&client, fds, RLK_MAX_FDS);
        rlk_client_pollfds(&client, fds, RLK_MAX_FDS);
        rlk_cancel(&lock);
        loop_serve(&client, 20);
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
    rlk_options options;
    rlk_event event;
    (void)state;
    memset(&options, 0, sizeof(options));
    options.env.random = entropy_random;
    redis = server_start(NULL);
    entropy_result = -1;
    begin(server_url(redis), &options); /* opening needs none that is secret */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_ENTROPY);
    assert_contains(rlk_lock_error(&lock), "E_ENTROPY");
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_ENTROPY);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_ENTROPY);
    assert_false(rlk_client_next_event(&client, &event));
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
    if (out)
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
    redis = server_start(NULL);
    begin(server_url(redis), NULL);
    assert_result(rlk_lock_init(&other, &client, "foobar", NULL), RLK_OK);
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
    assert_result(rlk_keep(&lock), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 20000, 31000);
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_event(&client, RLK_EV_ACQUIRED, RLK_OK);
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
    redis = server_start(NULL);
    begin(server_url(redis), NULL);
    rlk_lock_close(&lock);
    config.ttl_ms = INT64_C(600) * support_time_factor();
    config.auto_renew = true;
    assert_result(rlk_lock_init(&lock, &client, "foobar", &config), RLK_OK);
    assert_result(rlk_lock_init(&other, &client, "foobar", &config), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_acquire_start(&other, RLK_FOREVER), RLK_PENDING);
    wall_asked = 0;
    for (round = 0; round < 6; round++) {
        wall_jump(round % 2 == 0 ? 86400 : -2 * 86400);
        assert_event(&client, RLK_EV_RENEWED, RLK_OK);
        assert_between(rlk_remaining_ms(&lock), config.ttl_ms / 3, config.ttl_ms);
        assert_int_equal(rlk_lock_operation(&other), RLK_OP_ACQUIRE);
    }
    assert_result(rlk_release(&lock), RLK_OK);
    assert_event(&client, RLK_EV_ACQUIRED, RLK_OK);
    wall_watched = false;
    assert_int_equal(wall_asked, 0);
    rlk_lock_close(&other);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_43_stopped_for_longer_than_the_ttl),
        support_test(test_fault_45_fork_with_a_lock_held),
        support_test(test_fault_45_fork_in_a_scope),
        support_test(test_fault_47_eintr_storm),
        support_test(test_fault_47_emfile),
        support_test(test_fault_48_no_sigpipe),
        support_test(test_fault_49_no_entropy_no_lock),
        support_test(test_fault_55_wall_clock_has_no_effect),
        support_test(test_fault_55_wall_clock_and_renewals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
