/* SPDX-License-Identifier: MIT
 *
 * Shares: processes that want one lock all the time, each with a client of its own. A case is
 * "PROCESSES:MICROSECONDS": each process has the lock for so long, releases it, and acquires it
 * again at once. The units of a round are milliseconds; it returns acquisitions.
 *
 * What is counted lies between two instants at which all processes contend, so that neither their
 * beginning nor their end favours one of them. Notes of a round: nanoseconds between them, then the
 * acquisitions of each process.
 */
#define _GNU_SOURCE
#include "floor.h"
#include "patience.h"
#include "rounds.h"

#include "resplock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHARES_NODES     5
#define SHARES_PROCESSES 64
#define SHARES_KEY       "lock:shares"
#define SHARES_TTL_MS    10000
#define SHARES_BUF       1024
#define SHARES_WARM_MS   300

/* In shared memory. */
typedef struct shares_board {
    int inside; /* who hold it now */
    int twice;  /* ... and somebody else did */
    int ready;
    int over;
    unsigned long had[SHARES_PROCESSES];
} shares_board;

static struct {
    shares_board *board;
    char *const *addresses;
    size_t count;
    const char *contender;
} shares;

static int64_t shares_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void shares_sleep_ns(int64_t ns)
{
    struct timespec left;

    left.tv_sec = (time_t)(ns / INT64_C(1000000000));
    left.tv_nsec = (long)(ns % INT64_C(1000000000));
    while (nanosleep(&left, &left) != 0) {
    }
}

static void shares_open(char *const *addresses, size_t count)
{
    rounds_require(count >= 1 && count <= SHARES_NODES);
    shares.addresses = addresses;
    shares.count = count;
    shares.board =
        mmap(NULL, sizeof *shares.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    rounds_require(shares.board != MAP_FAILED);
}

/* Between acquire and release. */
static void shares_have(unsigned process, int64_t hold_ns)
{
    shares_board *board = shares.board;

    if (__atomic_add_fetch(&board->inside, 1, __ATOMIC_SEQ_CST) != 1)
        __atomic_store_n(&board->twice, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&board->had[process], 1, __ATOMIC_SEQ_CST);
    if (hold_ns > 0)
        shares_sleep_ns(hold_ns);
    __atomic_sub_fetch(&board->inside, 1, __ATOMIC_SEQ_CST);
}

static bool shares_is_over(void)
{
    return __atomic_load_n(&shares.board->over, __ATOMIC_SEQ_CST) != 0;
}

/* ---- A round ----------------------------------------------------------------------------- */

typedef void shares_contend(unsigned process, int64_t hold_ns);

static void shares_child(shares_contend *contend, unsigned process, int64_t hold_ns)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    contend(process, hold_ns);
    _exit(0);
}

static unsigned long shares_run(shares_contend *contend, const char *name, unsigned long ms)
{
    shares_board *board = shares.board;
    unsigned long before[SHARES_PROCESSES];
    unsigned long had[SHARES_PROCESSES];
    pid_t children[SHARES_PROCESSES];
    char *rest;
    unsigned processes = (unsigned)strtoul(name, &rest, 10);
    int64_t hold_ns = *rest == ':' ? strtol(rest + 1, NULL, 10) * INT64_C(1000) : 0;
    unsigned long sum = 0;
    int64_t begin_ns;
    unsigned i;

    rounds_require(processes >= 1 && processes <= SHARES_PROCESSES);
    memset(board, 0, sizeof *board);
    for (i = 0; i < processes; i++) {
        children[i] = fork();
        rounds_require(children[i] >= 0);
        if (children[i] == 0)
            shares_child(contend, i, hold_ns);
    }
    while (__atomic_load_n(&board->ready, __ATOMIC_SEQ_CST) < (int)processes)
        shares_sleep_ns(1000000);
    shares_sleep_ns(SHARES_WARM_MS * INT64_C(1000000));
    begin_ns = shares_now_ns();
    memcpy(before, board->had, sizeof before);
    shares_sleep_ns((int64_t)ms * 1000000);
    memcpy(had, board->had, sizeof had);
    rounds_note((uint64_t)(shares_now_ns() - begin_ns));
    __atomic_store_n(&board->over, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < processes; i++) {
        int status = 0;

        rounds_require(waitpid(children[i], &status, 0) == children[i] && status == 0);
        rounds_note(had[i] - before[i]);
        sum += had[i] - before[i];
    }
    rounds_require(board->twice == 0);
    return sum;
}

/* ---- resplock ---------------------------------------------------------------------------- */

static void shares_contend_resplock(unsigned process, int64_t hold_ns)
{
    static rlk_posix_client posix;
    static rlk_lock lock;
    static rlk_posix_memory memory[SHARES_NODES];
    static rlk_conn_entry ring[SHARES_NODES][RLK_CONN_RING_MIN];
    static uint8_t tx[SHARES_NODES][SHARES_BUF];
    static uint8_t rx[SHARES_NODES][SHARES_BUF];
    static char text[SHARES_NODES][128];
    const char *urls[SHARES_NODES];
    rlk_lock_config config = rlk_lock_config_default();
    size_t i;

    for (i = 0; i < shares.count; i++) {
        (void)snprintf(
            text[i], sizeof text[i], "%s%s",
            shares.addresses[i][0] == '/' ? "unix://" : "redis://127.0.0.1:", shares.addresses[i]);
        urls[i] = text[i];
        memory[i].ring = ring[i];
        memory[i].ring_len = RLK_CONN_RING_MIN;
        memory[i].tx = tx[i];
        memory[i].tx_cap = SHARES_BUF;
        memory[i].rx = rx[i];
        memory[i].rx_cap = SHARES_BUF;
    }
    rounds_require(rlk_posix_open_nodes(&posix, urls, memory, shares.count, &patience) == RLK_OK);
    config.ttl_ms = SHARES_TTL_MS;
    rounds_require(rlk_lock_init(&lock, &posix.client, SHARES_KEY, &config) == RLK_OK);
    __atomic_add_fetch(&shares.board->ready, 1, __ATOMIC_SEQ_CST);
    while (!shares_is_over()) {
        rlk_result result = rlk_acquire(&lock, 1000); /* so that each sees when it is over */

        if (result == RLK_TIMED_OUT)
            continue;
        rounds_require(result == RLK_OK);
        shares_have(process, hold_ns);
        rounds_require(rlk_release(&lock) == RLK_OK);
    }
    (void)rlk_lock_close(&lock);
    rlk_posix_close(&posix);
}

static unsigned long shares_run_resplock(const char *name, unsigned long ms)
{
    return shares_run(shares_contend_resplock, name, ms);
}

const rounds_contender shares_contenders[1] = {
    {"shares", "resplock", shares_open, shares_run_resplock},
};
