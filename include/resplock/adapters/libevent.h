/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/libevent.h: a client in a loop of libevent. One header; needs libevent 2.1.
 *
 *     rlk_libevent_start(&adapter, base, &redis, on_event, app);
 *     rlk_acquire_start(&lock, RLK_FOREVER);
 *     event_base_dispatch(base);
 *
 * event_base_dispatch goes on until rlk_libevent_stop: a client keeps its connections. The structs
 * of libevent's events are in the adapter, so it is compiled with the headers of the libevent that
 * it runs with. A program that forks must not use a base with EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST,
 * which takes descriptors off epoll after they are closed.
 */
#ifndef RESPLOCK_ADAPTERS_LIBEVENT_H
#define RESPLOCK_ADAPTERS_LIBEVENT_H

#include "resplock.h"

#if defined(RLKI_POSIX) && !defined(RLK_NO_POSIX) /* else socket.h has the error */

#include <event2/event.h>
#include <event2/event_struct.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Must not be moved while started. Fields are private. */
typedef struct rlk_libevent {
    rlk_adapter adapter; /* first */
    struct event_base *base;
    struct event timer;
    struct event pollers[RLK_MAX_FDS];
} rlk_libevent;

static inline void rlki_libevent_ready(evutil_socket_t fd, short events, void *context)
{
    rlk_adapter *adapter = (rlk_adapter *)context;

    /* errors and hang-ups are both */
    rlk_adapter_ready(
        adapter, fd,
        (short)(((events & EV_READ) != 0 ? POLLIN : 0) | ((events & EV_WRITE) != 0 ? POLLOUT : 0)));
    rlk_adapter_turn(adapter);
}

static inline bool rlki_libevent_poll(rlk_adapter *adapter, unsigned slot, int fd, short events)
{
    rlk_libevent *libevent = (rlk_libevent *)(void *)adapter; /* its first member */
    struct event *poller = &libevent->pollers[slot];
    short wanted = (short)(EV_PERSIST | ((events & POLLIN) != 0 ? EV_READ : 0) |
                           ((events & POLLOUT) != 0 ? EV_WRITE : 0));

    if (event_initialized(poller) != 0) {
        (void)event_del(poller);
    }
    return events == 0 ||
           (event_assign(poller, libevent->base, fd, wanted, rlki_libevent_ready, adapter) == 0 &&
            event_add(poller, NULL) == 0);
}

static inline void rlki_libevent_fired(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    rlk_adapter_turn((rlk_adapter *)context);
}

static inline void rlki_libevent_timer(rlk_adapter *adapter, int timeout_ms)
{
    rlk_libevent *libevent = (rlk_libevent *)(void *)adapter;
    struct timeval wait;

    if (timeout_ms < 0) {
        (void)event_del(&libevent->timer);
        return;
    }
    wait.tv_sec = timeout_ms / 1000;
    wait.tv_usec = (timeout_ms % 1000) * 1000;
    (void)event_base_update_cache_time(libevent->base); /* timers count from it */
    (void)event_add(&libevent->timer, &wait);
}

/*
 * Serves the client from the loop until rlk_libevent_stop. Events come to on_event, with `app`. 0,
 * or a negative errno: -EALREADY: the adapter serves the client already, and goes on; -EBUSY: the
 * client has another loop; -EINVAL: it is not open, or a pointer is NULL; -ENOMEM: libevent has no
 * memory for its timer.
 */
static inline int rlk_libevent_start(rlk_libevent *adapter, struct event_base *base,
                                     rlk_posix_client *client, rlk_event_hook on_event, void *app)
{
    static const rlk_adapter_calls calls = {rlki_libevent_poll, rlki_libevent_timer};
    int error;

    error = rlk_adapter_start(&adapter->adapter, sizeof *adapter, &calls,
                              base != NULL ? client : NULL, on_event, app);
    if (error != 0) {
        return error;
    }
    adapter->base = base;
    (void)event_assign(&adapter->timer, base, -1, 0, rlki_libevent_fired,
                       adapter); /* never fails */
    rlk_adapter_update(&adapter->adapter);
    if (event_pending(&adapter->timer, EV_TIMEOUT, NULL) == 0) {
        rlk_adapter_stop(&adapter->adapter);
        return -ENOMEM;
    }
    return 0;
}

/* Has the client served soon: after what the library does not see, such as a suspend. */
static inline void rlk_libevent_update(rlk_libevent *adapter)
{
    rlk_adapter_update(&adapter->adapter);
}

/* Ends it, before or after the client is closed; the memory may go at once. Harmless in on_event,
 * in a forked child (it closes the client there), and a second time. */
static inline void rlk_libevent_stop(rlk_libevent *adapter)
{
    rlk_adapter_stop(&adapter->adapter);
}

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
