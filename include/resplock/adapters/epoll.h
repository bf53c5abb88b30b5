/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/epoll.h: a client in a loop around epoll, or around anything that polls
 * descriptors. One header; needs Linux.
 *
 *     rlk_epoll_start(&adapter, epoll, &redis, on_event, app);
 *     ...
 *     n = epoll_wait(epoll, events, 16, -1);
 *     for (i = 0; i < n; i++)
 *         if (events[i].data.ptr == &adapter)
 *             rlk_epoll_service(&adapter);
 *
 * The loop polls ONE descriptor for the client, and needs no time-out for it: the adapter has an
 * epoll instance of its own, for the connections and a timer. So it fits any loop of Linux: with
 * `epoll` -1 it is the caller who polls `adapter.fd`, for input. The timer counts while the system
 * sleeps, as leases do (CLOCK_BOOTTIME).
 */
#ifndef RESPLOCK_ADAPTERS_EPOLL_H
#define RESPLOCK_ADAPTERS_EPOLL_H

#include "resplock.h"

#if defined(RLKI_POSIX) && !defined(RLK_NO_POSIX) /* else socket.h has the error */

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RLKI_EPOLL_CLOCK 7 /* CLOCK_BOOTTIME, which -std=c99 hides */

/* Must not be moved while started. Fields are private, except `fd`. */
typedef struct rlk_epoll {
    rlk_adapter adapter; /* first */
    int fd;              /* readable when rlk_epoll_service must be called */
    int outer;           /* of the loop; -1: the caller polls fd */
    int timer;
    unsigned polls;  /* slots that are polled */
    int64_t fire_ms; /* when the timer fires, or RLK_NEVER */
    pid_t pid;       /* a forked child shares the instances: it must change nothing in them */
} rlk_epoll;

static inline bool rlki_epoll_poll(rlk_adapter *adapter, unsigned slot, int fd, short events)
{
    rlk_epoll *epoll = (rlk_epoll *)(void *)adapter; /* its first member */
    struct epoll_event event;
    bool polled = adapter->polled[slot].events != 0;
    int change = events == 0 ? EPOLL_CTL_DEL : polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    bool done;

    memset(&event, 0, sizeof event);
    event.data.fd = fd;
    event.events = (uint32_t)events;                      /* epoll has the bits of poll */
    done = epoll_ctl(epoll->fd, change, fd, &event) == 0; /* closed, in a child: EBADF */
    if (!done && change == EPOLL_CTL_MOD) {
        (void)epoll_ctl(epoll->fd, EPOLL_CTL_DEL, fd, &event); /* the next one adds it */
    }
    epoll->polls -= polled ? 1u : 0u;
    epoll->polls += done && events != 0 ? 1u : 0u;
    return done || events == 0;
}

/* An earlier time than needed stays set while there is a client: one turn more costs less than a
 * system call each. */
static inline void rlki_epoll_timer(rlk_adapter *adapter, int timeout_ms)
{
    rlk_epoll *epoll = (rlk_epoll *)(void *)adapter;
    struct itimerspec spec;
    int64_t now_ms = rlk_system_now_ms(NULL);
    int64_t fire_ms = timeout_ms < 0 ? RLK_NEVER : now_ms + timeout_ms;

    if (adapter->client != NULL && fire_ms >= epoll->fire_ms && epoll->fire_ms > now_ms) {
        return;
    }
    if (timeout_ms < 0 && epoll->pid != getpid()) {
        return;
    }
    memset(&spec, 0, sizeof spec);
    if (timeout_ms == 0) {
        spec.it_value.tv_nsec = 1;
    } else if (timeout_ms > 0) {
        spec.it_value.tv_sec = timeout_ms / 1000;
        spec.it_value.tv_nsec = (long)(timeout_ms % 1000) * 1000000;
    }
    (void)timerfd_settime(epoll->timer, 0, &spec, NULL); /* which also empties it */
    epoll->fire_ms = fire_ms;
}

static inline int rlki_epoll_open(rlk_epoll *epoll)
{
    struct epoll_event event;

    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    epoll->timer = timerfd_create(RLKI_EPOLL_CLOCK, TFD_CLOEXEC | TFD_NONBLOCK);
    event.data.fd = epoll->timer;
    if (epoll->fd < 0 || epoll->timer < 0 ||
        epoll_ctl(epoll->fd, EPOLL_CTL_ADD, epoll->timer, &event) != 0) {
        return -errno;
    }
    event.data.ptr = epoll;
    if (epoll->outer >= 0 && epoll_ctl(epoll->outer, EPOLL_CTL_ADD, epoll->fd, &event) != 0) {
        return -errno;
    }
    return 0;
}

static inline void rlki_epoll_close(rlk_epoll *epoll)
{
    if (epoll->fd >= 0 && epoll->outer >= 0 && epoll->pid == getpid()) {
        struct epoll_event event; /* for kernels before 2.6.9 */

        memset(&event, 0, sizeof event);
        (void)epoll_ctl(epoll->outer, EPOLL_CTL_DEL, epoll->fd, &event);
    }
    if (epoll->timer >= 0) {
        (void)close(epoll->timer);
    }
    if (epoll->fd >= 0) {
        (void)close(epoll->fd);
    }
    epoll->timer = -1;
    epoll->fd = -1;
}

/*
 * Serves the client from the loop until rlk_epoll_stop. `epoll` is the loop's: it reports the
 * adapter with EPOLLIN and data.ptr == adapter. -1: the caller has his loop poll adapter->fd.
 * Events come to on_event, with `app`. 0, or a negative errno: -EALREADY: the adapter serves the
 * client already, and goes on; -EBUSY: the client has another loop; -EINVAL: it is not open, or a
 * pointer is NULL; -EMFILE and others: no descriptor.
 */
static inline int rlk_epoll_start(rlk_epoll *adapter, int epoll, rlk_posix_client *client,
                                  rlk_event_hook on_event, void *app)
{
    static const rlk_adapter_calls calls = {rlki_epoll_poll, rlki_epoll_timer};
    int error =
        rlk_adapter_start(&adapter->adapter, sizeof *adapter, &calls, client, on_event, app);

    if (error == -EALREADY) {
        return error;
    }
    adapter->fd = -1;
    adapter->timer = -1;
    adapter->outer = epoll;
    adapter->polls = 0;
    adapter->fire_ms = RLK_NEVER;
    adapter->pid = getpid();
    if (error != 0) {
        return error;
    }
    error = rlki_epoll_open(adapter);
    if (error != 0) {
        rlk_adapter_stop(&adapter->adapter);
        rlki_epoll_close(adapter);
        return error;
    }
    rlk_adapter_update(&adapter->adapter);
    return 0;
}

/* To be called from the loop when the adapter's descriptor is readable: serves the client, and
 * delivers events. Afterwards the adapter may be gone. */
static inline void rlk_epoll_service(rlk_epoll *adapter)
{
    struct epoll_event ready[RLK_MAX_FDS + 1];
    unsigned i;
    int n;

    if (adapter->polls == 1) { /* that one, or the timer: a read that finds nothing costs no more */
        for (i = 0; i < RLK_MAX_FDS; i++) {
            rlk_adapter_ready(&adapter->adapter, adapter->adapter.polled[i].fd,
                              adapter->adapter.polled[i].events);
        }
    } else if (adapter->polls > 1) {
        n = epoll_wait(adapter->fd, ready, RLK_MAX_FDS + 1, 0);
        for (i = 0; n > 0 && i < (unsigned)n; i++) {
            rlk_adapter_ready(&adapter->adapter, ready[i].data.fd, (short)ready[i].events);
        }
    }
    rlk_adapter_turn(&adapter->adapter);
}

/* Has the client served soon: after what the library does not see, such as a suspend. */
static inline void rlk_epoll_update(rlk_epoll *adapter)
{
    rlk_adapter_update(&adapter->adapter);
}

/* Ends it, before or after the client is closed. The memory may go when no event that epoll_wait
 * has returned names the adapter any more. Harmless in on_event, in a forked child (it closes the
 * client there), and a second time. */
static inline void rlk_epoll_stop(rlk_epoll *adapter)
{
    rlk_adapter_stop(&adapter->adapter);
    rlki_epoll_close(adapter);
}

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
