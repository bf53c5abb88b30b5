/* SPDX-License-Identifier: MIT
 *
 * Processes that wait for one key in rlk_acquire: as test_waiting_commands, with real processes and
 * the blocking call, which none of them leaves but by the server's word.
 */
#include "child.h"
#include "crowd.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES  100
#define RECHECK_MS 120000

/* In shared memory. */
typedef struct tally {
    int inside; /* who hold it now */
    int twice;  /* so often somebody else did */
    int had;
    int causes[RLK_CAUSES];
} tally;

static server *redis;
static tally *shared;
static pid_t children[PROCESSES];
static int count;

static void processes_kill(void)
{
    int i;

    for (i = 0; i < PROCESSES; i++) {
        if (children[i] <= 0)
            continue;
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
        children[i] = 0;
    }
}

/* In the child: has it `times` times. */
static rlk_result have_it(rlk_posix_client *posix, rlk_lock *lock, int times)
{
    rlk_stats stats;
    rlk_result result = RLK_OK;
    int cause;

    for (; times > 0 && result == RLK_OK; times--) {
        result = rlk_acquire(lock, RLK_FOREVER);
        if (result != RLK_OK)
            break;
        if (__atomic_add_fetch(&shared->inside, 1, __ATOMIC_SEQ_CST) != 1)
            __atomic_add_fetch(&shared->twice, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&shared->had, 1, __ATOMIC_SEQ_CST);
        __atomic_sub_fetch(&shared->inside, 1, __ATOMIC_SEQ_CST);
        result = rlk_release(lock);
    }
    rlk_client_stats(&posix->client, &stats);
    for (cause = 0; cause < RLK_CAUSES; cause++)
        __atomic_add_fetch(&shared->causes[cause], (int)stats.causes[cause], __ATOMIC_SEQ_CST);
    return result;
}

static void have_it_and_exit(int times)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_posix_client posix;
    rlk_lock lock;

    config.recheck_max_ms = RECHECK_MS;
    if (rlk_posix_open(&posix, server_url(redis), NULL) != RLK_OK ||
        rlk_lock_init(&lock, &posix.client, "foobar", &config) != RLK_OK)
        _exit(100);
    _exit(have_it(&posix, &lock, times) == RLK_OK ? 0 : 101);
}

/* All wait for it, while somebody has it. */
static void begin(int times)
{
    int i;

    redis = server_start(NULL);
    count = support_time_factor() > 3 ? PROCESSES / 5 : PROCESSES; /* each is a valgrind then */
    shared = (tally *)mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                           -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    support_at_teardown(processes_kill);
    server_do(redis, "SET foobar somebody PX 600000");
    for (i = 0; i < count; i++) {
        children[i] = child_fork();
        if (children[i] == 0)
            have_it_and_exit(times);
    }
    wait_until(server_count(redis).pttls == count);
}

static void wait_for_all(void)
{
    int i;

    for (i = 0; i < count; i++) {
        int status = 0;
        pid_t found = 0;
        wait_until((found = waitpid(children[i], &status, WNOHANG)) != 0);

        assert_int_equal(found, children[i]);
        children[i] = 0;
        assert_int_equal(status, 0);
    }
}

/* START, or YIELD at the end of a turn, and notifications: nothing else. */
static void assert_only_pushes(crowd_count before)
{
    int sum = 0;
    int cause;

    for (cause = 0; cause < RLK_CAUSES; cause++)
        sum += shared->causes[cause];
    assert_int_equal(sum, shared->causes[RLK_CAUSE_START] + shared->causes[RLK_CAUSE_YIELD] +
                              shared->causes[RLK_CAUSE_PUSH]);
    assert_int_equal(server_count(redis).sets - before.sets, sum - count);
    assert_int_equal(shared->twice, 0);
    assert_null(server_text(redis, "GET foobar"));
}

static void test_tracking_processes_have_it_in_turn(void **state)
{
    crowd_count before;
    crowd_count after;
    int64_t start;

    (void)state;
    begin(1);
    before = server_count(redis);
    support_sleep_ms(1000); /* in which they ask nothing */
    after = server_count(redis);
    assert_memory_equal(&before, &after, sizeof before);
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    wait_for_all();
    /* a pause between two at most: after many spurious wake-ups a waiter restrains itself */
    assert_between(support_now_ms() - start, 0, INT64_C(10000) * support_time_factor());
    assert_int_equal(shared->had, count);
    assert_int_equal(shared->causes[RLK_CAUSE_START], count);
    assert_between(server_count(redis).sets - before.sets, count, count * (count + 1) / 2);
    assert_only_pushes(before);
}

/* Each wants it again and again: nobody is forgotten. */
static void test_tracking_processes_contend(void **state)
{
    const int times = 5;
    crowd_count before;

    (void)state;
    begin(times);
    before = server_count(redis);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    wait_for_all();
    assert_int_equal(shared->had, count * times);
    assert_int_equal(shared->causes[RLK_CAUSE_START] + shared->causes[RLK_CAUSE_YIELD],
                     count * times);
    assert_only_pushes(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tracking_processes_have_it_in_turn),
        support_test(test_tracking_processes_contend),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
