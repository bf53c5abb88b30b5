/* SPDX-License-Identifier: MIT
 *
 * Shares (fault 121): processes that want one lock all the time, each with a client of its own, on
 * one server and on a quorum. Nobody has it all the time, and nobody never.
 */
#include "child.h"
#include "nodes.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 5
#define HOLD_MS   1

/* In shared memory. */
typedef struct tally {
    int inside; /* who hold it now */
    int twice;  /* so often somebody else did */
    int over;
    int sum;
    int had[PROCESSES];
} tally;

static nodes set;
static tally *shared;
static pid_t children[PROCESSES];

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

static void want_it_and_exit(int process)
{
    static nodes own;
    rlk_lock lock;

    nodes_open_again(&own, &set, NULL);
    if (rlk_lock_init(&lock, &own.posix.client, "foobar", NULL) != RLK_OK)
        _exit(100);
    while (__atomic_load_n(&shared->over, __ATOMIC_SEQ_CST) == 0) {
        if (rlk_acquire(&lock, 100) != RLK_OK)
            continue;
        if (__atomic_add_fetch(&shared->inside, 1, __ATOMIC_SEQ_CST) != 1)
            __atomic_add_fetch(&shared->twice, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&shared->had[process], 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&shared->sum, 1, __ATOMIC_SEQ_CST);
        support_sleep_ms(HOLD_MS);
        __atomic_sub_fetch(&shared->inside, 1, __ATOMIC_SEQ_CST);
        (void)rlk_release(&lock);
    }
    _exit(0);
}

static int had_least(void)
{
    int least = shared->sum;
    int i;

    for (i = 0; i < PROCESSES; i++) {
        int had = __atomic_load_n(&shared->had[i], __ATOMIC_SEQ_CST);

        least = had < least ? had : least;
    }
    return least;
}

static void contend(size_t count)
{
    int i;

    nodes_start(&set, count, NULL, NULL);
    shared = (tally *)mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                           -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    support_at_teardown(processes_kill);
    for (i = 0; i < PROCESSES; i++) {
        children[i] = child_fork();
        if (children[i] == 0)
            want_it_and_exit(i);
    }
    /* until each has its turn now and then, over at least that number of acquisitions */
    wait_until(shared->sum >= 1500 / support_time_factor() &&
               had_least() * 3 * PROCESSES >= shared->sum);

    __atomic_store_n(&shared->over, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < PROCESSES; i++) {
        int status = 0;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        children[i] = 0;
        assert_int_equal(status, 0);
    }
    assert_int_equal(shared->twice, 0);
    nodes_close(&set);
}

static void test_fault_121_shares_of_one_node(void **state)
{
    (void)state;
    contend(1);
}

static void test_fault_121_shares_of_a_quorum(void **state)
{
    (void)state;
    contend(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_121_shares_of_one_node),
        support_test(test_fault_121_shares_of_a_quorum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
