/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "candidate.h"
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANDIDATE_TERMS 4096

/* In memory that the processes share; each candidate writes its own. */
typedef struct candidate_log {
    size_t count;
    candidate_term terms[CANDIDATE_TERMS];
} candidate_log;

struct candidate {
    candidate *next; /* of all */
    const char *const *urls;
    size_t urls_len;
    const char *key;
    const char *name;
    int64_t ttl_ms;
    int started;
    char full_name[RLK_PREFIX_MAX + 1];
    pid_t pid; /* 0: none */
    candidate_log *log;
};

static candidate *candidate_all;

/* ---- The process ---- */

static candidate *self;
static rlk_posix_client posix;
static rlk_lock lock;
static rlk_posix_memory memory[RLK_MAX_NODES];
static rlk_conn_entry rings[RLK_MAX_NODES][64];
static uint8_t tx[RLK_MAX_NODES][1024];
static uint8_t rx[RLK_MAX_NODES][1024];
static volatile sig_atomic_t ending;

static void on_signal(int number)
{
    (void)number;
    ending = 1;
}

/* What must not be: the parent reads the exit code as the line. */
static void self_must(bool good, int line)
{
    if (!good) {
        fprintf(stderr, "candidate %s: line %d: %s\n", self->full_name, line,
                rlk_lock_error(&lock));
        _exit(1);
    }
}
#define MUST(condition) self_must((condition), __LINE__)

/* The term under way, or the next. */
static candidate_term *self_term(void)
{
    return &self->log->terms[self->log->count];
}

static bool term_is_open;

/* The lease's deadline, to the millisecond; the time now if there is no lease any more. */
static int64_t self_deadline(void)
{
    int64_t time_ms = rlk_system_now_ms(NULL);

    if (!rlk_is_held_at(&lock, time_ms))
        return time_ms;
    time_ms += rlk_remaining_ms(&lock); /* which reads the clock later */
    while (rlk_is_held_at(&lock, time_ms))
        time_ms++;
    return time_ms;
}

static void term_store(int64_t *where, int64_t time_ms)
{
    __atomic_store_n(where, time_ms, __ATOMIC_SEQ_CST);
}

static void term_begin(void)
{
    candidate_log *log = self->log;
    candidate_term *term = &log->terms[log->count];

    MUST(!term_is_open && log->count < CANDIDATE_TERMS);
    term->begin_ms = rlk_system_now_ms(NULL);
    term->deadline_ms = self_deadline();
    term->end_ms = 0;
    term->how = CANDIDATE_LEADS;
    __atomic_store_n(&log->count, log->count + 1, __ATOMIC_SEQ_CST);
    term_is_open = true;
}

/* A renewal may have come: before anybody else is notified. */
static void term_goes_on(void)
{
    if (term_is_open && rlk_is_held(&lock))
        term_store(&self_term()[-1].deadline_ms, self_deadline());
}

static void term_end(candidate_end how)
{
    if (!term_is_open)
        return;
    self_term()[-1].how = how;
    term_store(&self_term()[-1].end_ms, rlk_system_now_ms(NULL));
    term_is_open = false;
}

static void self_open(void)
{
    rlk_lock_config config = {.ttl_ms = self->ttl_ms, .token_prefix = self->full_name};
    size_t i;

    for (i = 0; i < self->urls_len; i++) {
        memory[i].ring = rings[i];
        memory[i].ring_len = COUNT_OF(rings[i]);
        memory[i].tx = tx[i];
        memory[i].tx_cap = sizeof tx[i];
        memory[i].rx = rx[i];
        memory[i].rx_cap = sizeof rx[i];
    }
    MUST(rlk_posix_open_nodes(&posix, self->urls, memory, self->urls_len, NULL) == RLK_OK);
    MUST(rlk_lock_init(&lock, &posix.client, self->key, &config) == RLK_OK);
}

/* A candidacy that ended, for whatever reason, begins again. */
static void loop_stand(void)
{
    rlk_result result;

    rlk_client_reset(&posix.client);
    result = rlk_campaign_start(&lock);
    MUST(result == RLK_PENDING);
}

static void loop_event(const rlk_event *event)
{
    switch (event->type) {
    case RLK_EV_ACQUIRED:
        term_begin();
        break;
    case RLK_EV_LOST:
        term_end(CANDIDATE_LOST);
        MUST(rlk_lock_operation(&lock) == RLK_OP_ACQUIRE); /* follows again */
        break;
    case RLK_EV_RENEWED:
    case RLK_EV_RENEW_FAILED:
    case RLK_EV_WAITING:
        break;
    case RLK_EV_RESULT:
        if (event->result == RLK_UNKNOWN || event->result < 0) {
            MUST(!term_is_open);
            if (ending == 0)
                loop_stand();
        } else { /* of resigning */
            MUST(ending);
        }
        break;
    default:
        MUST(ending);
        break;
    }
}

/* One turn; `ending` is read before, and a signal that comes later ends the wait. */
static void loop_turn(const sigset_t *signals)
{
    struct pollfd fds[RLK_MAX_FDS];
    int timeout_ms;
    nfds_t n = rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout_ms);
    struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    rlk_event event;

    if (ppoll(fds, n, timeout_ms < 0 ? NULL : &timeout, signals) < 0)
        n = 0;
    MUST(rlk_posix_service(&posix, fds, n) == RLK_OK);
    term_goes_on();
    while (rlk_client_next_event(&posix.client, &event))
        loop_event(&event);
}

static void self_loop(void)
{
    sigset_t term;
    sigset_t before;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    loop_stand();
    while (ending == 0)
        loop_turn(&before);
    term_end(CANDIDATE_RESIGNED);
    if (rlk_resign_start(&lock) == RLK_PENDING) {
        while (rlk_lock_operation(&lock) != RLK_OP_NONE)
            loop_turn(&before);
    }
}

static void blocking_lead(void)
{
    term_begin();
    while (ending == 0 && rlk_keep_alive(&lock) == RLK_OK) {
        int64_t left_ms = rlk_remaining_ms(&lock);

        term_goes_on();
        support_sleep_ms(left_ms < self->ttl_ms / 10 ? left_ms : self->ttl_ms / 10);
    }
    term_end(ending != 0 ? CANDIDATE_RESIGNED : CANDIDATE_LOST);
}

static void self_block(void)
{
    while (ending == 0) {
        if (rlk_acquire(&lock, RLK_FOREVER) == RLK_OK) {
            blocking_lead();
        } else {
            rlk_client_reset(&posix.client);
            support_sleep_ms(20);
        }
    }
    (void)rlk_release(&lock);
}

static void self_run(candidate *who, candidate_way way, pid_t parent)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sigaction(SIGTERM, &action, NULL);
    self = who;
    self_open();
    if (way == CANDIDATE_LOOP)
        self_loop();
    else
        self_block();
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    _exit(0);
}

/* ---- The test's side ---- */

static void candidate_free_all(void)
{
    while (candidate_all != NULL) {
        candidate *who = candidate_all;

        candidate_all = who->next;
        candidate_kill(who);
        munmap(who->log, sizeof *who->log);
        free(who);
    }
}

candidate *candidate_new(const char *const *urls, size_t count, const char *key, const char *name,
                         int64_t ttl_ms)
{
    candidate *who = (candidate *)calloc(1, sizeof *who);

    if (who == NULL)
        abort();
    who->urls = urls;
    who->urls_len = count;
    who->key = key;
    who->name = name;
    who->ttl_ms = ttl_ms;
    who->log = (candidate_log *)mmap(NULL, sizeof *who->log, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (who->log == MAP_FAILED)
        abort();
    support_at_teardown(candidate_free_all);
    who->next = candidate_all;
    candidate_all = who;
    return who;
}

void candidate_start(candidate *who, candidate_way way)
{
    pid_t parent = getpid();

    who->started++;
    snprintf(who->full_name, sizeof who->full_name, "%s.%d/", who->name, who->started);
    fflush(NULL);
    who->pid = fork();
    if (who->pid < 0)
        support_fail("fork: %s", strerror(errno));
    if (who->pid == 0)
        self_run(who, way, parent);
}

void candidate_kill(candidate *who)
{
    if (who->pid == 0)
        return;
    kill(who->pid, SIGKILL);
    while (waitpid(who->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    who->pid = 0;
}

void candidate_pause(candidate *who)
{
    siginfo_t info;

    kill(who->pid, SIGSTOP);
    while (waitid(P_PID, (id_t)who->pid, &info, WSTOPPED | WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
}

void candidate_resume(candidate *who)
{
    siginfo_t info;

    /* takes the stop away that candidate_pause left */
    waitid(P_PID, (id_t)who->pid, &info, WSTOPPED | WNOHANG);
    kill(who->pid, SIGCONT);
}

void candidate_resign(candidate *who)
{
    kill(who->pid, SIGTERM);
}

bool candidate_runs(candidate *who)
{
    int status = 0;
    pid_t ended;

    if (who->pid == 0)
        return false;
    ended = waitpid(who->pid, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return true;
    who->pid = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        support_fail("candidate %s ended with status 0x%x", who->full_name, (unsigned)status);
    return false;
}

const char *candidate_name(const candidate *who)
{
    return who->full_name;
}

const candidate_term *candidate_terms(const candidate *who, size_t *count)
{
    *count = __atomic_load_n(&who->log->count, __ATOMIC_SEQ_CST);
    return who->log->terms;
}
