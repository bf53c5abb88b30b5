/* SPDX-License-Identifier: MIT
 *
 * Names of hosts that are not answered, in a loop: nothing but their own client waits for them.
 */
#include "resplock/adapters/cares.h"
#include "resplock/adapters/resolver_thread.h"
#include "resplock/adapters/uv_resolver.h"

#include "resolvers.h"

#include "child.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define HANG_MS 5000

static server *redis;
static user one;
static user other;

static void setup(void)
{
    zone_start();
    redis = server_start(&(server_config){.tcp = true});
    memset(&one, 0, sizeof one);
    memset(&other, 0, sizeof other);
    zone_set(NAME, ZONE_ADDRESSES, "127.0.0.1");
    zone_set(HUNG, ZONE_SILENT, NULL);
}

/* A client whose name is not answered, and which asks. */
static void hang(user *u, int64_t connect_timeout_ms)
{
    int asked = zone_asked(HUNG);
    int64_t end = support_now_ms() + scaled(10000);

    user_open(u, HUNG, server_port(redis),
              &(rlk_posix_options){.connect_timeout_ms = connect_timeout_ms});
    assert_result(rlk_acquire_start(&u->lock, RLK_FOREVER), RLK_PENDING);
    while (zone_asked(HUNG) == asked) {
        assert_true(support_now_ms() < end);
        user_turn(u);
    }
}

static void renewals(user *u, int *renewed)
{
    rlk_event event;

    while (rlk_client_next_event(&u->posix.client, &event)) {
        assert_int_equal(event.type, RLK_EV_RENEWED);
        ++*renewed;
    }
}

/* Fault 135: a resolver that hangs for 5 s, while another client of the loop holds a lock: that one
 * is renewed all the time, and no turn of the loop takes long. Then the name is answered. */
static void test_fault_135_hanging_resolver_never_blocks_the_loop(void **state)
{
    user *const both[] = {&one, &other};
    size_t row;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        int64_t end;
        int64_t released_ms;
        int renewed = 0;
        rlk_event event;

        resolver_open();
        zone_set(HUNG, ZONE_SILENT, NULL);
        (void)snprintf(other.key, sizeof other.key, "other");
        user_open(&other, NAME, server_port(redis), NULL);
        assert_result(user_acquire(&other, RLK_TRY), RLK_OK);
        hang(&one, 60000);
        slowest_ms = 0;
        end = support_now_ms() + HANG_MS;
        while (support_now_ms() < end || renewed < 3) {
            users_turn(both, 2);
            assert_true(rlk_is_held(&other.lock));
            renewals(&other, &renewed);
            if (rlk_client_next_event(&one.posix.client, &event))
                assert_int_equal(event.type, RLK_EV_WAITING);
        }
        assert_between(slowest_ms, 0, scaled(100));
        zone_set(HUNG, ZONE_ADDRESSES, "127.0.0.1");
        released_ms = support_now_ms();
        rlk_client_reset(&one.posix.client); /* asks anew */
        assert_int_equal(user_event(&one).type, RLK_EV_ACQUIRED);
        assert_between(support_now_ms() - released_ms, 0, scaled(2000));
        user_close(&one);
        user_close(&other);
        server_do(redis, "FLUSHALL");
        zone_release();
        kind->end();
    }
}

/* Fault 135: no answer within the connect time, with what was waited for. The next attempts ask
 * again, more often than there are threads to hang, and one that is answered connects. */
static void test_fault_135_no_answer_within_the_connect_time(void **state)
{
    size_t row;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        int64_t begun = support_now_ms();
        rlk_event event;

        resolver_open();
        zone_set(HUNG, ZONE_SILENT, NULL);
        user_open(&one, HUNG, server_port(redis),
                  &(rlk_posix_options){.connect_timeout_ms = 100, .backoff_max_ms = 20});
        assert_result(rlk_acquire_start(&one.lock, 600), RLK_PENDING);
        event = user_event(&one);
        assert_int_equal(event.type, RLK_EV_RESULT);
        assert_result(event.result, RLK_E_CONNECT_TIMEOUT);
        assert_between(support_now_ms() - begun, 600, 600 + scaled(1000));
        assert_contains(rlk_lock_error(&one.lock), "the host name was not resolved in time");
        assert_contains(rlk_lock_error(&one.lock), "is DNS slow, or");
        zone_set(HUNG, ZONE_ADDRESSES, "127.0.0.1");
        zone_release();
        assert_result(user_acquire(&one, scaled(5000)), RLK_OK);
        user_close(&one);
        server_do(redis, "FLUSHALL");
        kind->end();
    }
}

/* Another name is not held up by one that hangs: it gets another thread. */
static void test_resolver_answers_others_beside_one_that_hangs(void **state)
{
    size_t row;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        int64_t begun;

        resolver_open();
        hang(&one, 60000);
        begun = support_now_ms();
        user_open(&other, NAME, server_port(redis), NULL);
        assert_result(user_acquire(&other, RLK_TRY), RLK_OK);
        assert_between(support_now_ms() - begun, 0, scaled(1000));
        user_close(&other);
        user_close(&one);
        server_do(redis, "FLUSHALL");
        kind->end();
    }
}

static void close_only(user *u)
{
    user_close(u);
}

static void cancel_and_close(user *u)
{
    assert_result(rlk_cancel(&u->lock), RLK_OK);
    assert_result(user_event(u).result, RLK_CANCELLED);
    user_close(u);
}

static void reset_and_close(user *u)
{
    rlk_client_reset(&u->posix.client);
    user_turn(u);
    user_turn(u);
    user_close(u);
}

/* Where a client was: another owner's memory now, in which nobody else may write. It is not freed
 * before the comparison: whether freed memory shows a write is the allocator's choice. */
static void gone_mark(user *gone)
{
    memset(gone, 0x5a, sizeof *gone);
}

static bool gone_is_untouched(const user *gone)
{
    const unsigned char *bytes = (const unsigned char *)gone;
    size_t i;

    for (i = 0; i < sizeof *gone && bytes[i] == 0x5a; i++) {
    }
    return i == sizeof *gone;
}

/* Closed while it is asked for, the client's memory is another's at once; the answer that comes
 * then goes nowhere, and so do resolver and loop. */
static void test_fault_135_client_is_gone_before_the_answer(void **state)
{
    static void (*const ways[])(user *) = {close_only, cancel_and_close, reset_and_close};
    size_t row;
    size_t i;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        for (i = 0; i < COUNT_OF(ways); i++) {
            user *gone = (user *)calloc(1, sizeof *gone);
            int64_t begun;

            assert_non_null(gone);
            resolver_open();
            hang(gone, 60000);
            begun = support_now_ms();
            ways[i](gone);
            assert_between(support_now_ms() - begun, 0, scaled(300));
            gone_mark(gone);
            begun = support_now_ms();
            if (kind->in_blocking_calls) { /* libuv's loop waits for its requests */
                kind->end();
                assert_between(support_now_ms() - begun, 0, scaled(300));
                assert_int_equal(zone_hanging() > 0, kind->hangs_in_a_thread);
            }
            zone_release();
            wait_until(zone_hanging() == 0);

            if (!kind->in_blocking_calls)
                kind->end();
            assert_true(gone_is_untouched(gone));
            free(gone);
        }
    }
}

/* An answer that comes about when the connect time is over: either, and nothing else. */
static void test_resolver_answers_when_the_time_is_over(void **state)
{
    size_t row;
    int i;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        int connected = 0;

        resolver_open();
        for (i = 0; i < 20; i++) {
            rlk_event event;

            zone_delay(NAME, 30 + i % 5);
            user_open(&one, NAME, server_port(redis),
                      &(rlk_posix_options){.connect_timeout_ms = 32});
            assert_result(rlk_acquire_start(&one.lock, RLK_TRY), RLK_PENDING);
            event = user_event(&one);
            connected += event.result == RLK_OK;
            if (event.result != RLK_OK)
                assert_result(event.result, RLK_E_CONNECT_TIMEOUT);
            user_close(&one);
            server_do(redis, "FLUSHALL");
        }
        assert_between(connected, 0, 20);
        zone_delay(NAME, 0);
        kind->end();
    }
}

/* A child closes what it inherited, and the parent's lookup goes on. */
static void test_fault_135_forked_child_leaves_the_lookup_alone(void **state)
{
    size_t row;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        pid_t pid;

        resolver_open();
        zone_delay(NAME, 300);
        user_open(&one, NAME, server_port(redis), NULL);
        assert_result(rlk_acquire_start(&one.lock, RLK_FOREVER), RLK_PENDING);
        user_turn(&one);
        pid = child_fork();
        if (pid == 0) {
            struct pollfd fds[RLK_MAX_FDS];

            CHILD_CHECK(rlk_posix_prepare(&one.posix, fds, RLK_MAX_FDS, NULL) == 0);
            rlk_posix_close(&one.posix);
            if (kind->in_blocking_calls)
                kind->end();
            _exit(0);
        }
        assert_int_equal(child_exit_code(pid), 0);
        assert_int_equal(user_event(&one).type, RLK_EV_ACQUIRED);
        user_close(&one);
        zone_delay(NAME, 0);
        server_do(redis, "FLUSHALL");
        kind->end();
    }
}

/* ---- Blocking calls ---- */

static void *interrupt(void *argument)
{
    support_sleep_ms(100);
    (void)rlk_posix_interrupt((rlk_posix_client *)argument);
    return NULL;
}

/* A blocking call ends at its deadline, or when it is interrupted, whether or not there is an
 * answer.
 */
static void test_resolver_in_blocking_calls_ends_in_time(void **state)
{
    size_t row;

    (void)state;
    setup();
    for (row = 0; resolver_row(row); row++) {
        pthread_t thread;
        int64_t begun;

        if (!kind->in_blocking_calls)
            continue;
        resolver_open();
        user_open(&one, HUNG, server_port(redis), &(rlk_posix_options){.interrupts = true});
        begun = support_now_ms();
        assert_result(rlk_acquire(&one.lock, 200), RLK_E_NOT_CONNECTED);
        assert_contains(rlk_lock_error(&one.lock), "the host name was not resolved in time");
        assert_between(support_now_ms() - begun, 200, 200 + scaled(500));
        assert_int_equal(pthread_create(&thread, NULL, interrupt, &one.posix), 0);
        begun = support_now_ms();
        assert_result(rlk_acquire(&one.lock, RLK_FOREVER), RLK_CANCELLED);
        assert_between(support_now_ms() - begun, 50, scaled(1000));
        assert_int_equal(pthread_join(thread, NULL), 0);
        user_close(&one);
        zone_release();
        kind->end();
    }
}

/* ---- The thread ---- */

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

/* A signal of the process that the program's thread blocks waits for it: no handler runs in a
 * thread that hangs. */
static void test_resolver_thread_blocks_signals(void **state)
{
    struct sigaction action;
    sigset_t one_signal;
    sigset_t before;

    (void)state;
    setup();
    kind = &kinds[0];
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    signals = 0;
    (void)sigemptyset(&one_signal);
    (void)sigaddset(&one_signal, SIGUSR1);
    resolver_open();
    hang(&one, 60000);
    assert_int_equal(zone_hanging(), 1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &one_signal, &before), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    support_sleep_ms(50);
    assert_int_equal(signals, 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(signals, 1);
    user_close(&one);
    kind->end();
    zone_release();
    wait_until(zone_hanging() == 0);
}

/* A child can't use its parent's: the words say so. One that it makes works. */
static void test_resolver_thread_of_a_child(void **state)
{
    pid_t pid;

    (void)state;
    setup();
    kind = &kinds[0];
    resolver_open();
    pid = child_fork();
    if (pid == 0) {
        rlk_resolver_thread fresh;

        user_open(&one, NAME, server_port(redis), NULL);
        CHILD_CHECK(rlk_acquire(&one.lock, RLK_TRY) == RLK_E_RESOLVE);
        CHILD_CHECK(strstr(rlk_lock_error(&one.lock), "make one in the child") != NULL);
        user_close(&one);
        rlk_resolver_thread_init(&fresh);
        resolver = &fresh.resolver;
        user_open(&one, NAME, server_port(redis), NULL);
        CHILD_CHECK(rlk_acquire(&one.lock, RLK_TRY) == RLK_OK);
        user_close(&one);
        rlk_resolver_thread_close(&fresh);
        rlk_resolver_thread_close(&by_thread); /* the parent's: harmless */
        _exit(0);
    }
    assert_int_equal(child_exit_code(pid), 0);
    kind->end();
}

/* The other order than the header's: what lookups need stays until they are closed. */
static void test_resolver_thread_closed_before_its_clients(void **state)
{
    int64_t end = support_now_ms() + scaled(10000);

    (void)state;
    setup();
    kind = &kinds[0];
    resolver_open();
    hang(&one, 60000);
    zone_release(); /* with an error */
    wait_until(zone_hanging() == 0);

    support_sleep_ms(20); /* until the thread has ended */
    kind->end();
    while (strstr(rlk_lock_error(&one.lock), "the resolver is closed, or has no memory") == NULL) {
        assert_true(support_now_ms() < end);
        user_turn(&one); /* the answer that waited; then the next attempt */
    }
    user_close(&one);
}

/* Makes a child in which no descriptor can be opened. */
static void child_without_descriptors(void)
{
    struct rlimit limit;
    int fd = dup(0);

    CHILD_CHECK(fd >= 0 && close(fd) == 0);
    CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)fd;
    CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Makes one in which no thread can be made. */
static void child_without_threads(void)
{
    struct rlimit limit;

    if (geteuid() == 0) /* who has no limit */
        CHILD_CHECK(setuid(65534) == 0);
    CHILD_CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
    limit.rlim_cur = 0;
    CHILD_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
}

/* Without descriptors or threads a name is not resolved, and the reason is in the words. */
static void test_resolver_thread_without_resources(void **state)
{
    static const struct {
        void (*limit)(void);
        const char *words;
    } rows[] = {
        {child_without_descriptors, "no memory, or no pipe, to resolve it; too many open files"},
        {child_without_threads, "no thread to resolve it"}};
    size_t i;

    (void)state;
    setup();
    kind = &kinds[0];
    for (i = 0; i < COUNT_OF(rows); i++) {
        pid_t pid = child_fork();

        if (pid == 0) {
            resolver_open();
            user_open(&one, NAME, server_port(redis), NULL);
            rows[i].limit();
            CHILD_CHECK(rlk_acquire(&one.lock, RLK_TRY) == RLK_E_RESOLVE);
            CHILD_CHECK(strstr(rlk_lock_error(&one.lock), rows[i].words) != NULL);
            user_close(&one);
            kind->end();
            _exit(0);
        }
        assert_int_equal(child_exit_code(pid), 0);
    }
}

/* As many as hang at once, and one more: that waits in the queue, and can be closed there. */
static void test_fault_135_all_threads_hang(void **state)
{
    user *hanging[RLK_RESOLVER_THREADS];
    size_t i;

    (void)state;
    setup();
    kind = &kinds[0];
    resolver_open();
    for (i = 0; i < COUNT_OF(hanging); i++) {
        hanging[i] = (user *)calloc(1, sizeof *hanging[i]);
        assert_non_null(hanging[i]);
        hang(hanging[i], 60000);
    }
    assert_int_equal(zone_hanging(), RLK_RESOLVER_THREADS);
    user_open(&other, NAME, server_port(redis), &(rlk_posix_options){.connect_timeout_ms = 100});
    assert_result(user_acquire(&other, RLK_TRY), RLK_E_CONNECT_TIMEOUT);
    assert_int_equal(zone_asked(NAME), 0);
    assert_result(rlk_acquire_start(&other.lock, RLK_FOREVER), RLK_PENDING);
    user_turn(&other);
    zone_release(); /* now there are threads again */
    assert_int_equal(user_event(&other).type, RLK_EV_ACQUIRED);
    user_close(&other);
    for (i = 0; i < COUNT_OF(hanging); i++) {
        user_close(hanging[i]);
        free(hanging[i]);
    }
    kind->end();
    zone_release();
    wait_until(zone_hanging() == 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_resolver_thread_blocks_signals), /* before libuv has threads */
        support_test(test_fault_135_hanging_resolver_never_blocks_the_loop),
        support_test(test_fault_135_no_answer_within_the_connect_time),
        support_test(test_resolver_answers_others_beside_one_that_hangs),
        support_test(test_fault_135_client_is_gone_before_the_answer),
        support_test(test_resolver_answers_when_the_time_is_over),
        support_test(test_fault_135_forked_child_leaves_the_lookup_alone),
        support_test(test_resolver_in_blocking_calls_ends_in_time),
        support_test(test_resolver_thread_of_a_child),
        support_test(test_resolver_thread_closed_before_its_clients),
        support_test(test_resolver_thread_without_resources),
        support_test(test_fault_135_all_threads_hang),
    };

    return cmocka_run_group_tests_name("resolvers_hang", tests, NULL, NULL);
}
