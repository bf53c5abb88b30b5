/* SPDX-License-Identifier: MIT
 *
 * Names of hosts by getaddrinfo, in threads. Of one lookup:
 *
 *     start            a thread takes it             getaddrinfo returned         service
 *    -------> QUEUED ---------------------> RUNNING ----------------------> DONE --------->
 * answered |                             |                              |                | | close
 * | close                        | close          | close v                             v v v freed
 * ABANDONED --- it returned ---> freed by           freed the thread
 *
 * A lookup is a piece of heap memory, and so is the pool, which goes with the last thread, the last
 * lookup or the resolver, whichever is latest: a thread that hangs touches nothing else. Everything
 * that two threads touch is under the pool's mutex, which is held for nothing that waits. A pipe
 * makes the lookup's descriptor readable; the thread writes to it under the mutex, and close closes
 * both ends under it, so that a number of a descriptor is never written to after it belongs to
 * somebody else.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#elif !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "resplock/adapters/resolver_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum {
    THREAD_QUEUED,
    THREAD_RUNNING,
    THREAD_DONE,
    THREAD_ABANDONED
};

typedef struct rlk_resolver_thread_pool thread_pool;

/* One lookup. */
typedef struct thread_job {
    struct thread_job *next; /* in the queue */
    thread_pool *pool;
    pid_t pid; /* of the process that asked */
    struct addrinfo *found;
    int state;
    int error; /* of getaddrinfo */
    int sys_errno;
    int ends[2]; /* of the pipe: to read, to write */
    char host[];
} thread_job;

struct rlk_resolver_thread_pool {
    pthread_mutex_t mutex;
    thread_job *first;
    thread_job **last; /* link of the next one */
    unsigned threads;
    unsigned owners; /* threads, lookups that are not closed, and the resolver */
    pid_t pid;       /* of the process that has the threads */
};

/* ---- The threads ---- */

/* Gives one share of the pool back; under the mutex, which it unlocks. */
static void thread_leave(thread_pool *pool)
{
    bool last = --pool->owners == 0;

    (void)pthread_mutex_unlock(&pool->mutex);
    if (last) {
        (void)pthread_mutex_destroy(&pool->mutex);
        free(pool);
    }
}

static thread_job *thread_take(thread_pool *pool)
{
    thread_job *job = pool->first;

    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL) {
            pool->last = &pool->first;
        }
        job->state = THREAD_RUNNING;
    }
    return job;
}

/* Gives back a lookup that is in no queue. */
static void thread_free(thread_job *job)
{
    if (job->found != NULL) {
        freeaddrinfo(job->found);
    }
    free(job);
}

/* In the order of the system (RFC 6724). Without AI_ADDRCONFIG: see the driver's resolver.c. */
static void thread_resolve(thread_pool *pool, thread_job *job)
{
    struct addrinfo hints;
    struct addrinfo *found = NULL;
    int error;
    int sys_errno;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    error = getaddrinfo(job->host, NULL, &hints, &found);
    sys_errno = error == EAI_SYSTEM ? errno : 0;
    (void)pthread_mutex_lock(&pool->mutex);
    job->found = error == 0 ? found : NULL;
    job->error = error;
    job->sys_errno = sys_errno;
    if (job->state == THREAD_ABANDONED) {
        thread_free(job);
        return;
    }
    job->state = THREAD_DONE;
    while (write(job->ends[1], "", 1) < 0 && errno == EINTR) {
    }
}

static void *thread_run(void *argument)
{
    thread_pool *pool = (thread_pool *)argument;
    thread_job *job;

    (void)pthread_mutex_lock(&pool->mutex);
    job = thread_take(pool);
    while (job != NULL) {
        (void)pthread_mutex_unlock(&pool->mutex);
        thread_resolve(pool, job); /* locks it again */
        job = thread_take(pool);
    }
    pool->threads--;
    thread_leave(pool);
    return NULL;
}

/* One more thread, without signals: handlers run in the program's threads. Returns 0 or an errno.
 * Under the mutex. */
static int thread_create(thread_pool *pool)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int error = pthread_attr_init(&attributes);

    if (error != 0) {
        return error;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, thread_run, pool);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (error == 0) {
        pool->threads++;
        pool->owners++;
    }
    return error;
}

/* ---- Lookups ---- */

static bool thread_pipe(int ends[2])
{
    int i;

    if (pipe(ends) != 0) {
        return false;
    }
    for (i = 0; i < 2; i++) {
        (void)fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

static void thread_close_pipe(const thread_job *job)
{
    (void)close(job->ends[0]);
    (void)close(job->ends[1]);
}

/* A lookup with its pipe; NULL and errno: there is no memory, or no descriptor. */
static thread_job *thread_new(thread_pool *pool, const char *host)
{
    size_t len = strlen(host) + 1;
    thread_job *job = (thread_job *)malloc(sizeof *job + len);

    if (job == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(job, 0, sizeof *job);
    memcpy(job->host, host, len);
    job->pool = pool;
    job->pid = pool->pid;
    if (!thread_pipe(job->ends)) {
        int error = errno;

        free(job);
        errno = error;
        return NULL;
    }
    return job;
}

static void thread_enqueue(thread_pool *pool, thread_job *job)
{
    *pool->last = job;
    pool->last = &job->next;
}

static void thread_dequeue(thread_pool *pool, const thread_job *job)
{
    thread_job **link = &pool->first;

    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
    if (*link == NULL) {
        pool->last = link;
    }
}

/* Has a thread take it: a new one, or of as many as there may be the first that is free. Returns 0
 * or an errno. */
static int thread_hand_over(thread_pool *pool, thread_job *job)
{
    int error = 0;

    (void)pthread_mutex_lock(&pool->mutex);
    if (pool->threads < RLK_RESOLVER_THREADS) {
        error = thread_create(pool);
    }
    if (pool->threads > 0) { /* also if there is none more */
        thread_enqueue(pool, job);
        pool->owners++;
        error = 0;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return error;
}

static void thread_start(rlk_resolver *resolver, rlk_lookup *lookup, const char *host,
                         uint16_t port, int64_t now_ms)
{
    thread_pool *pool = ((rlk_resolver_thread *)(void *)resolver)->pool;
    thread_job *job;
    int error;

    (void)port;
    (void)now_ms;
    if (pool == NULL) {
        rlk_lookup_done(lookup, 0, "the resolver is closed, or has no memory");
        return;
    }
    if (pool->pid != getpid()) {
        rlk_lookup_done(lookup, 0, "the resolver is the parent process's: make one in the child");
        return;
    }
    job = thread_new(pool, host);
    if (job == NULL) {
        rlk_lookup_done(lookup, errno, "no memory, or no pipe, to resolve it");
        return;
    }
    error = thread_hand_over(pool, job);
    if (error != 0) {
        thread_close_pipe(job);
        thread_free(job);
        rlk_lookup_done(lookup, error, "no thread to resolve it");
        return;
    }
    lookup->own = job;
    lookup->fd = job->ends[0];
}

static void thread_service(rlk_lookup *lookup, int64_t now_ms)
{
    thread_job *job = (thread_job *)lookup->own;
    const struct addrinfo *info;
    bool done;

    (void)now_ms;
    (void)pthread_mutex_lock(&job->pool->mutex);
    done = job->state == THREAD_DONE;
    (void)pthread_mutex_unlock(&job->pool->mutex);
    if (!done) {
        return;
    }
    for (info = job->found; info != NULL; info = info->ai_next) {
        rlk_lookup_add(lookup, info->ai_addr);
    }
    rlk_lookup_done(lookup, job->sys_errno, job->error != 0 ? gai_strerror(job->error) : NULL);
}

static void thread_close(rlk_lookup *lookup)
{
    thread_job *job = (thread_job *)lookup->own;
    thread_pool *pool;
    bool free_it;

    if (job == NULL) { /* it failed in start */
        return;
    }
    pool = job->pool;
    if (job->pid != getpid()) { /* no thread is here, but one may have had the mutex */
        thread_close_pipe(job);
        thread_free(job);
        return;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    thread_close_pipe(job);
    if (job->state == THREAD_QUEUED) {
        thread_dequeue(pool, job);
    }
    free_it = job->state != THREAD_RUNNING;
    if (!free_it) {
        job->state = THREAD_ABANDONED;
    }
    thread_leave(pool);
    if (free_it) {
        thread_free(job);
    }
}

/* ---- Public ---- */

void rlk_resolver_thread_init(rlk_resolver_thread *names)
{
    static const rlk_resolver_calls calls = {thread_start, thread_service, thread_close, false};
    thread_pool *pool = (thread_pool *)malloc(sizeof *pool);

    names->resolver.calls = &calls;
    names->pool = pool;
    if (pool == NULL) {
        return;
    }
    memset(pool, 0, sizeof *pool);
    (void)pthread_mutex_init(&pool->mutex, NULL);
    pool->last = &pool->first;
    pool->owners = 1;
    pool->pid = getpid();
}

void rlk_resolver_thread_close(rlk_resolver_thread *names)
{
    thread_pool *pool = names->pool;

    names->pool = NULL;
    if (pool == NULL) {
        return;
    }
    if (pool->pid != getpid()) { /* this process's copy, which no thread uses */
        free(pool);
        return;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    thread_leave(pool);
}
