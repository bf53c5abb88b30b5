/* SPDX-License-Identifier: MIT
 *
 * Four processes that contend for one lock, two in event loops with auto_renew, two by blocking
 * calls and rlk_keep_alive, while their connections are killed, their server stands still and is
 * restarted, and they themselves are stopped and killed. They write into shared memory until when
 * each may believe to hold the lock; no two of them may at a time, and all go on to get it.
 */
#define _GNU_SOURCE
#include "child.h"
#include "nodes.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEY       "foobar"
#define PROCESSES 4
#define TTL_MS    600
#define ROUNDS    14

/* All atomic. */
typedef struct board {
    int stop;
    int overlaps;
    struct {
        int64_t until_ms; /* it holds the lock until then, on the clock of this machine; 0: not */
        int acquired;
        int renewed;
        int lost;
    } of[PROCESSES];
} board;

static board *shared;
static server *redis;
static rlk_posix_client posix;
static rlk_lock lock;
static pid_t pids[PROCESSES];

static bool is_over(void)
{
    return __atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST) != 0;
}

/* ---- A process ---- */

static void write_until(int me, int64_t until_ms)
{
    __atomic_store_n(&shared->of[me].until_ms, until_ms, __ATOMIC_SEQ_CST);
}

/* What it may believe now; and whether another may believe the same at this moment. It may be
 * stopped between any two of these lines. */
static bool believe(int me)
{
    int64_t now_ms = rlk_system_now_ms(NULL);
    int64_t left_ms = rlk_remaining_ms(&lock);
    int64_t mine_ms = now_ms + left_ms;
    int other;

    write_until(me, left_ms > 0 ? mine_ms : 0);
    if (left_ms == 0)
        return false;
    for (other = 0; other < PROCESSES; other++) {
        int64_t until_ms = __atomic_load_n(&shared->of[other].until_ms, __ATOMIC_SEQ_CST);

        now_ms = rlk_system_now_ms(NULL);
        if (other != me && until_ms > now_ms && mine_ms > now_ms)
            __atomic_add_fetch(&shared->overlaps, 1, __ATOMIC_SEQ_CST);
    }
    return true;
}

static void leave(int me)
{
    bool held = rlk_is_held(&lock);
    rlk_result result;

    write_until(me, 0);
    result = rlk_release(&lock);
    if (!held)
        __atomic_add_fetch(&shared->of[me].lost, 1, __ATOMIC_SEQ_CST);
    CHILD_CHECK(result != RLK_E_STATE && result != RLK_E_WAIT);
}

/* Mostly short; sometimes for several TTLs. */
static int64_t time_to_hold(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16 & 7u) != 0 ? (int64_t)(*seed >> 20 & 31u) : 2 * scaled(TTL_MS);
}

static void hold_in_a_loop(int me, int64_t ms)
{
    int64_t end_ms = support_now_ms() + ms;

    __atomic_add_fetch(&shared->of[me].acquired, 1, __ATOMIC_SEQ_CST);
    while (believe(me) && support_now_ms() < end_ms) {
        rlk_event event;

        if (loop_next_event(&posix, &event, 3) && event.type == RLK_EV_RENEWED)
            __atomic_add_fetch(&shared->of[me].renewed, 1, __ATOMIC_SEQ_CST);
    }
    leave(me);
}

static void run_in_a_loop(int me, unsigned seed)
{
    while (!is_over()) {
        rlk_event event;

        CHILD_CHECK(rlk_acquire_start(&lock, RLK_FOREVER) == RLK_PENDING);
        do
            event.type = RLK_EV_RESULT; /* none */
        while (!is_over() &&
               (!loop_next_event(&posix, &event, 10) || event.operation != RLK_OP_ACQUIRE));
        if (event.type == RLK_EV_ACQUIRED)
            hold_in_a_loop(me, time_to_hold(&seed));
        else if (rlk_lock_operation(&lock) != RLK_OP_NONE)
            (void)rlk_cancel(&lock);
        if (rlk_lock_operation(&lock) != RLK_OP_NONE)
            (void)loop_next_event(&posix, &event, scaled(5000));
    }
}

static void run_blocking(int me, unsigned seed)
{
    while (!is_over()) {
        int64_t end_ms;

        if (rlk_acquire(&lock, scaled(200)) != RLK_OK)
            continue;
        __atomic_add_fetch(&shared->of[me].acquired, 1, __ATOMIC_SEQ_CST);
        end_ms = support_now_ms() + time_to_hold(&seed);
        while (believe(me) && support_now_ms() < end_ms) {
            if (rlk_keep_alive(&lock) != RLK_OK)
                break;
            support_sleep_ms(3);
        }
        leave(me);
    }
}

static void run(int me)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.backoff_max_ms = 50;
    options.response_timeout_ms = scaled(150);
    options.operation_timeout_ms = scaled(1000);
    options.settle_timeout_ms = scaled(300);
    config.ttl_ms = scaled(TTL_MS);
    config.auto_renew = me % 2 == 0;
    config.recheck_max_ms = scaled(1000);
    CHILD_CHECK(rlk_posix_open(&posix, server_url(redis), &options) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&lock, &posix.client, KEY, &config) == RLK_OK);
    if (me % 2 == 0)
        run_in_a_loop(me, (unsigned)getpid());
    else
        run_blocking(me, (unsigned)getpid());
    rlk_posix_close(&posix);
    _exit(0);
}

static void start_process(int me)
{
    pids[me] = child_fork();
    if (pids[me] == 0)
        run(me);
}

/* ---- What befalls them ---- */

/* Returns the process that holds the lock now, or the next one. */
static int a_holder(void)
{
    int i = 0;
    wait_until(
        (i = (i + 1) % PROCESSES,
         __atomic_load_n(&shared->of[i].until_ms, __ATOMIC_SEQ_CST) > rlk_system_now_ms(NULL)));

    return i;
}

static void kill_connections(void)
{
    int i;

    for (i = 0; i < 5; i++) {
        server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes");
        support_sleep_ms(20);
    }
}

static void stop_a_holder(void)
{
    int holder = a_holder();

    child_stop(pids[holder]);
    support_sleep_ms(scaled(TTL_MS) * 5 / 4);
    child_continue(pids[holder]);
}

static void kill_a_holder(void)
{
    int holder = a_holder();

    assert_int_equal(kill(pids[holder], SIGKILL), 0);
    assert_int_equal(child_exit_code(pids[holder]), -1);
    start_process(holder);
}

static void stop_the_server(void)
{
    server_pause(redis);
    support_sleep_ms(scaled(300)); /* longer than connections wait */
    server_resume(redis);
}

/* With all of its data: nobody changes it between the saving and the end. */
static void restart_the_server(void)
{
    int i;

    for (i = 0; i < PROCESSES; i++)
        child_stop(pids[i]);
    server_save(redis);
    server_restart(redis, true);
    for (i = 0; i < PROCESSES; i++)
        child_continue(pids[i]);
}

static void touch_the_key(void)
{
    int i;

    for (i = 0; i < 20; i++) {
        server_text(redis, "EVAL %s 0",
                    "local v=redis.call('GET','" KEY "') if v then "
                    "redis.call('SET','" KEY "',v,'KEEPTTL') end");
        support_sleep_ms(5);
    }
}

static int acquired(void)
{
    int sum = 0;
    int i;

    for (i = 0; i < PROCESSES; i++)
        sum += (int)__atomic_load_n(&shared->of[i].acquired, __ATOMIC_SEQ_CST);
    return sum;
}

static void test_loss_of_anything_leaves_one_holder(void **state)
{
    static void (*const blows[])(void) = {kill_connections, stop_a_holder, stop_the_server,
                                          kill_a_holder,    touch_the_key, restart_the_server,
                                          kill_connections};
    int before;
    int i;

    (void)state;
    redis = server_start(NULL);
    shared = (board *)mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                           -1, 0);
    assert_true(shared != MAP_FAILED);
    for (i = 0; i < PROCESSES; i++)
        start_process(i);
    for (i = 0; i < ROUNDS; i++) {
        (void)a_holder();
        blows[(size_t)i % COUNT_OF(blows)]();
    }
    /* afterwards they go on; who has it next is nobody's promise */
    before = acquired();
    wait_until(acquired() >= before + PROCESSES);

    __atomic_store_n(&shared->stop, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < PROCESSES; i++)
        assert_int_equal(child_exit_code(pids[i]), 0);
    assert_int_equal(shared->overlaps, 0);
    wait_until(server_integer(redis, "DBSIZE") == 0); /* at the latest by its TTL */

    munmap(shared, sizeof *shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_loss_of_anything_leaves_one_holder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
