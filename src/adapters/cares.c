/* SPDX-License-Identifier: MIT
 *
 * Names of hosts by c-ares: a channel for each lookup, from start to close, all on the client's
 * thread. c-ares calls back within start and service only; what it says while a channel is
 * destroyed is of no interest any more.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#elif !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "resplock/adapters/cares.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#endif

/* One lookup. */
typedef struct cares_job {
    rlk_lookup *lookup; /* NULL: it is being closed */
    ares_channel channel;
    int epoll; /* -1: none */
    unsigned len;
    struct pollfd sockets[RLK_CARES_SOCKETS];
} cares_job;

/* ---- Sockets ---- */

#ifdef __linux__
static int cares_epoll(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

/* Polls one socket for these events in place of those before. */
static void cares_watch(const cares_job *job, int fd, short before, short events)
{
    int change = events == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    struct epoll_event event;

    if (job->epoll < 0 || events == before) {
        return;
    }
    memset(&event, 0, sizeof event);
    event.events = (uint32_t)events; /* epoll has the bits of poll */
    (void)epoll_ctl(job->epoll, change, fd, &event);
}
#else
static int cares_epoll(void)
{
    return -1;
}

static void cares_watch(const cares_job *job, int fd, short before, short events)
{
    (void)job;
    (void)fd;
    (void)before;
    (void)events;
}
#endif

/* The channel wants another socket polled, or for something else; for nothing: it closes it. */
static void cares_socket(void *context, ares_socket_t fd, int readable, int writable)
{
    cares_job *job = (cares_job *)context;
    short events = (short)((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
    unsigned i = 0;

    while (i < job->len && job->sockets[i].fd != fd) {
        i++;
    }
    if (i == RLK_CARES_SOCKETS) {
        return; /* its answer does not come, and c-ares asks another server */
    }
    if (i == job->len) {
        job->sockets[i].fd = fd;
        job->sockets[i].events = 0;
        job->len++;
    }
    cares_watch(job, fd, job->sockets[i].events, events);
    job->sockets[i].events = events;
    if (events == 0) {
        job->sockets[i] = job->sockets[--job->len];
    }
}

/* ---- Lookups ---- */

static void cares_answer(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
    cares_job *job = (cares_job *)context;
    const struct ares_addrinfo_node *node;

    (void)timeouts;
    if (job->lookup != NULL) {
        for (node = found != NULL ? found->nodes : NULL; node != NULL; node = node->ai_next) {
            rlk_lookup_add(job->lookup, node->ai_addr);
        }
        rlk_lookup_done(job->lookup, 0, status != ARES_SUCCESS ? ares_strerror(status) : NULL);
    }
    if (found != NULL) {
        ares_freeaddrinfo(found);
    }
}

/* When c-ares must be called, with or without input. */
static void cares_schedule(const cares_job *job, int64_t now_ms)
{
    struct timeval left;
    int64_t left_ms = RLK_NEVER;

    if (ares_timeout(job->channel, NULL, &left) != NULL) {
        left_ms = (int64_t)left.tv_sec * 1000 + left.tv_usec / 1000 + 1; /* old ones cut it */
    }
    if (job->epoll < 0 && left_ms > RLK_CARES_POLL_MS) {
        left_ms = RLK_CARES_POLL_MS;
    }
    job->lookup->deadline_ms = left_ms != RLK_NEVER ? now_ms + left_ms : RLK_NEVER;
}

static int cares_open(cares_job *job, const rlk_cares_config *config)
{
    struct ares_options options;
    int optmask = config->optmask | ARES_OPT_SOCK_STATE_CB;
    int status;

    memset(&options, 0, sizeof options);
    if (config->options != NULL) {
        options = *config->options;
    }
    options.sock_state_cb = cares_socket;
    options.sock_state_cb_data = job;
    status = ares_init_options(&job->channel, &options, optmask);
    if (status != ARES_SUCCESS) {
        return status;
    }
    if (config->configure != NULL) {
        status = config->configure(config->context, job->channel);
    }
    if (status != ARES_SUCCESS) {
        ares_destroy(job->channel);
    }
    return status;
}

static void cares_start(rlk_resolver *resolver, rlk_lookup *lookup, const char *host, uint16_t port,
                        int64_t now_ms)
{
    const rlk_cares *names = (const rlk_cares *)(const void *)resolver;
    struct ares_addrinfo_hints hints;
    cares_job *job = (cares_job *)malloc(sizeof *job);
    int status;

    (void)port;
    if (job == NULL) {
        rlk_lookup_done(lookup, ENOMEM, "no memory to resolve it");
        return;
    }
    memset(job, 0, sizeof *job);
    job->lookup = lookup;
    status = cares_open(job, &names->config);
    if (status != ARES_SUCCESS) {
        free(job);
        rlk_lookup_done(lookup, 0, ares_strerror(status));
        return;
    }
    job->epoll = cares_epoll();
    lookup->own = job;
    lookup->fd = job->epoll;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(job->channel, host, NULL, &hints, cares_answer, job);
    cares_schedule(job, now_ms);
}

/* Passes on what is ready, one socket after the other: each may close others. */
static void cares_service(rlk_lookup *lookup, int64_t now_ms)
{
    cares_job *job = (cares_job *)lookup->own;
    struct pollfd sockets[RLK_CARES_SOCKETS];
    unsigned len = job->len;
    unsigned i;

    memcpy(sockets, job->sockets, sizeof sockets);
    if (poll(sockets, len, 0) > 0) {
        for (i = 0; i < len; i++) {
            bool in = (sockets[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
            bool out = (sockets[i].revents & POLLOUT) != 0;

            if (in || out) {
                ares_process_fd(job->channel, in ? sockets[i].fd : ARES_SOCKET_BAD,
                                out ? sockets[i].fd : ARES_SOCKET_BAD);
            }
        }
    }
    ares_process_fd(job->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* time-outs */
    cares_schedule(job, now_ms);
}

static void cares_close(rlk_lookup *lookup)
{
    cares_job *job = (cares_job *)lookup->own;

    if (job == NULL) { /* it failed in start */
        return;
    }
    job->lookup = NULL;
    if (job->epoll >= 0) {
        (void)close(job->epoll);
        job->epoll = -1;
    }
    ares_destroy(job->channel);
    free(job);
}

/* ---- Public ---- */

void rlk_cares_init(rlk_cares *names, const rlk_cares_config *config)
{
    static const rlk_resolver_calls calls = {cares_start, cares_service, cares_close, false};

    memset(names, 0, sizeof *names);
    names->resolver.calls = &calls;
    if (config != NULL) {
        names->config = *config;
    }
    (void)ares_library_init(ARES_LIB_INIT_ALL); /* needs nothing outside of Windows */
}

void rlk_cares_close(rlk_cares *names)
{
    (void)names;
    ares_library_cleanup();
}
