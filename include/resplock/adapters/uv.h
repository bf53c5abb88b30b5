/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/uv.h: a client in a loop of libuv. One header; needs libuv 1.x on a POSIX
 * system.
 *
 *     rlk_uv_start(&adapter, uv_default_loop(), &redis, on_event, app);
 *     rlk_acquire_start(&lock, RLK_FOREVER);
 *     uv_run(uv_default_loop(), UV_RUN_DEFAULT);
 *
 * uv_run goes on until rlk_uv_stop: a client keeps its connections.
 */
#ifndef RESPLOCK_ADAPTERS_UV_H
#define RESPLOCK_ADAPTERS_UV_H

#include "resplock.h"

#if defined(RLKI_POSIX) && !defined(RLK_NO_POSIX) /* else socket.h has the error */

#include <pthread.h>
#ifndef PTHREAD_RWLOCK_INITIALIZER /* no other error follows */
#error "uv.h needs what -std=c99 hides: compile with -D_POSIX_C_SOURCE=200809L or -std=gnu99"
#else

#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The handle of one slot. libuv has it until its close callback, and a descriptor that follows in
 * the meantime waits for that. */
typedef struct rlk_uv_poller {
    uv_poll_t handle; /* first */
    struct rlk_uv *uv;
    unsigned char slot;
    bool open;
    bool closing;
} rlk_uv_poller;

/* Must not be moved until it has stopped. Fields are private. */
typedef struct rlk_uv {
    rlk_adapter adapter; /* first */
    uv_loop_t *loop;
    uv_timer_t timer;
    bool in_timer; /* in the timer's callback */
    bool stopping;
    unsigned handles; /* that libuv has */
    void (*on_stopped)(void *app);
    rlk_uv_poller pollers[RLK_MAX_FDS];
} rlk_uv;

static inline void rlki_uv_closed(rlk_uv *uv)
{
    uv->handles--;
    if (uv->handles == 0 && uv->stopping && uv->on_stopped != NULL) {
        uv->on_stopped(uv->adapter.app); /* the memory may be gone now */
    }
}

static inline void rlki_uv_poller_closed(uv_handle_t *handle)
{
    rlk_uv_poller *poller = (rlk_uv_poller *)(void *)handle; /* its first member */

    poller->open = false;
    poller->closing = false;
    rlk_adapter_update(&poller->uv->adapter); /* the next descriptor may have waited for it */
    rlki_uv_closed(poller->uv);
}

static inline void rlki_uv_timer_closed(uv_handle_t *handle)
{
    rlki_uv_closed((rlk_uv *)handle->data);
}

static inline void rlki_uv_ready(uv_poll_t *handle, int status, int events)
{
    rlk_uv_poller *poller = (rlk_uv_poller *)(void *)handle;
    rlk_adapter *adapter = &poller->uv->adapter;
    struct pollfd *polled = &adapter->polled[poller->slot];

    if (status < 0) { /* POLLERR: libuv has stopped polling it */
        polled->events = 0;
        rlk_adapter_ready(adapter, polled->fd, POLLERR);
    } else {
        rlk_adapter_ready(adapter, polled->fd,
                          (short)(((events & UV_READABLE) != 0 ? POLLIN : 0) |
                                  ((events & UV_WRITABLE) != 0 ? POLLOUT : 0)));
    }
    rlk_adapter_turn(adapter);
}

static inline bool rlki_uv_poll(rlk_adapter *adapter, unsigned slot, int fd, short events)
{
    rlk_uv *uv = (rlk_uv *)(void *)adapter; /* its first member */
    rlk_uv_poller *poller = &uv->pollers[slot];
    int wanted =
        ((events & POLLIN) != 0 ? UV_READABLE : 0) | ((events & POLLOUT) != 0 ? UV_WRITABLE : 0);

    if (events == 0) {
        if (poller->open && !poller->closing) {
            poller->closing = true;
            uv_close((uv_handle_t *)&poller->handle, rlki_uv_poller_closed);
        }
        return true;
    }
    if (poller->closing) {
        return false;
    }
    if (!poller->open) {
        if (uv_poll_init(uv->loop, &poller->handle, fd) != 0) {
            return false;
        }
        poller->uv = uv;
        poller->slot = (unsigned char)slot;
        poller->open = true;
        uv->handles++;
    }
    return uv_poll_start(&poller->handle, wanted, rlki_uv_ready) == 0;
}

static inline void rlki_uv_fired(uv_timer_t *timer)
{
    rlk_uv *uv = (rlk_uv *)timer->data;

    uv->in_timer = true;
    rlk_adapter_turn(&uv->adapter);
    /* A handle that libuv has is there, whatever the turn has ended. */
    ((rlk_uv *)timer->data)->in_timer = false;
}

static inline void rlki_uv_timer(rlk_adapter *adapter, int timeout_ms)
{
    rlk_uv *uv = (rlk_uv *)(void *)adapter;
    uint64_t wait_ms = timeout_ms > 0 ? (uint64_t)timeout_ms : 0u;
    uint64_t now_ms = uv_hrtime() / 1000000u;
    uint64_t cached_ms = uv_now(uv->loop);

    if (timeout_ms < 0) {
        (void)uv_timer_stop(&uv->timer);
        return;
    }
    if (timeout_ms > 0 && now_ms > cached_ms) { /* timers count from the time that the loop has */
        wait_ms += now_ms - cached_ms;
    } else if (timeout_ms == 0 && uv->in_timer) {
        wait_ms = 1; /* old ones run a timer of 0 again at once, and nothing else between */
    }
    (void)uv_timer_start(&uv->timer, rlki_uv_fired, wait_ms, 0);
}

/*
 * Serves the client from the loop until rlk_uv_stop. Events come to on_event, with `app`. 0, or a
 * negative errno, which is an error of libuv too: UV_EALREADY: the adapter serves the client
 * already, and goes on; UV_EBUSY: the client has another loop; UV_EINVAL: it is not open, or a
 * pointer is NULL. After the last two libuv has nothing of the adapter.
 * An adapter that was stopped may be started again from on_stopped on.
 */
static inline int rlk_uv_start(rlk_uv *adapter, uv_loop_t *loop, rlk_posix_client *client,
                               rlk_event_hook on_event, void *app)
{
    static const rlk_adapter_calls calls = {rlki_uv_poll, rlki_uv_timer};
    int error;

    error = rlk_adapter_start(&adapter->adapter, sizeof *adapter, &calls,
                              loop != NULL ? client : NULL, on_event, app);
    if (error != 0) {
        return error;
    }
    adapter->loop = loop;
    (void)uv_timer_init(loop, &adapter->timer); /* never fails */
    adapter->timer.data = adapter;
    adapter->handles = 1;
    rlk_adapter_update(&adapter->adapter);
    return 0;
}

/* Has the client served soon: after what the library does not see, such as a suspend. */
static inline void rlk_uv_update(rlk_uv *adapter)
{
    rlk_adapter_update(&adapter->adapter);
}

/*
 * Ends it, before or after the client is closed; the client may be closed and freed at once. The
 * adapter's memory is libuv's until on_stopped (NULL: nobody is notified), which comes from the
 * loop with the `app` of rlk_uv_start, and may free it. Harmless in on_event, and a second time
 * until on_stopped. In a forked child it closes the client.
 */
static inline void rlk_uv_stop(rlk_uv *adapter, void (*on_stopped)(void *app))
{
    if (adapter->stopping || adapter->loop == NULL) {
        return;
    }
    rlk_adapter_stop(&adapter->adapter);
    adapter->stopping = true;
    adapter->on_stopped = on_stopped;
    uv_close((uv_handle_t *)&adapter->timer, rlki_uv_timer_closed);
}

#ifdef __cplusplus
}
#endif

#endif /* PTHREAD_RWLOCK_INITIALIZER */

#endif /* RLKI_POSIX */

#endif
