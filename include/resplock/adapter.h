/* SPDX-License-Identifier: MIT
 *
 * resplock/adapter.h: what all adapters of event loops have in common. Programs include the adapter
 * of their loop: resplock/adapters/epoll.h, uv.h, libevent.h, glib.h, sdevent.h. This header is for
 * who writes another one. Functions in headers only: a program without a loop has nothing of it.
 *
 * An adapter is a struct of the caller's with an rlk_adapter first, two functions
 * (rlk_adapter_calls), and three for the application:
 *
 *     start    rlk_adapter_start; a timer of the loop, which calls rlk_adapter_turn;
 *              rlk_adapter_update, for the first turn
 *     update   rlk_adapter_update
 *     stop     rlk_adapter_stop, and the end of the timer
 *
 * When the loop reports a descriptor, rlk_adapter_ready takes what it reports, and rlk_adapter_turn
 * does the rest:
 *
 *     loop: a descriptor, or the timer
 *       |
 *       v           rlk_posix_service    on_event, for each event     rlk_posix_prepare, compare
 *     turn --------> input, deadlines --> the application calls ----> bytes leave; poll(), timer()
 *                                         what it wants
 *
 * A call of the application outside of a turn has the timer fire at once, so that its turn comes.
 */
#ifndef RESPLOCK_ADAPTER_H
#define RESPLOCK_ADAPTER_H

#include "resplock/posix.h"

#ifdef RLKI_POSIX /* else socket.h has the error: no other follows */

#include <errno.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most events of one turn. The others come in the next, so that an application whose calls end at
 * once can't keep the loop from its other work. */
#ifndef RLK_ADAPTER_EVENTS
#define RLK_ADAPTER_EVENTS 64
#endif

/* Where a loop refuses a descriptor (no memory, a limit), the client serves it without, this often,
 * and asks the loop again. */
#define RLK_ADAPTER_RETRY_MS 100

/*
 * Receives the events of all locks of a client, from the loop's own turn, and never from within a
 * call of the application. In it the application may call all of the library, blocking calls too,
 * which keep the loop waiting. In particular it may:
 * - close a lock (rlk_lock_close), then free it;
 * - close the client (rlk_posix_close), then free it;
 * - stop the adapter, then free it: with libuv in the hook that rlk_uv_stop calls;
 * - start the adapter again, for the same client or another.
 * After a stop or a close no other event comes, not even one that waited already. The hook
 * returns: no longjmp and no exception leaves it.
 */
typedef void (*rlk_event_hook)(void *app, const rlk_event *event);

typedef struct rlk_adapter rlk_adapter;

/* What an adapter does with its loop. */
typedef struct rlk_adapter_calls {
    /* Polls `fd` for `events` (POLLIN, POLLOUT or both) for this slot from now on; 0: no longer,
     * which must work at once, and where it is not polled. False: the loop refuses, and is asked
     * again, whether or not it still polls for what it did before. */
    bool (*poll)(rlk_adapter *adapter, unsigned slot, int fd, short events);
    /* Has rlk_adapter_turn called once, after this time from now on, in place of the time before.
     * 0: soon, but not from within this call; -1: not at all. */
    void (*timer)(rlk_adapter *adapter, int timeout_ms);
} rlk_adapter_calls;

/* Fields are private. */
struct rlk_adapter {
    rlk_loop loop; /* first */
    const rlk_adapter_calls *calls;
    rlk_posix_client *client; /* NULL: stopped, or the client is closed or has left */
    rlk_event_hook on_event;
    void *app;
    bool *ended; /* in a turn: set by whatever ends the adapter's work; NULL: in none */
    /* What the loop polls, by slot. events 0 with a descriptor: the loop has refused it. */
    struct pollfd polled[RLK_MAX_FDS];
};

/* Stops polling what is polled for a slot. */
static inline void rlki_adapter_forget(rlk_adapter *adapter, unsigned slot)
{
    struct pollfd *polled = &adapter->polled[slot];

    if (polled->fd >= 0) {
        (void)adapter->calls->poll(adapter, slot, polled->fd, 0);
    }
    polled->fd = -1;
    polled->events = 0;
    polled->revents = 0;
}

/* Returns the adapter whose first member it is. */
static inline rlk_adapter *rlki_adapter_of(void *loop)
{
#ifdef __cplusplus
    return static_cast<rlk_adapter *>(loop);
#else
    return loop;
#endif
}

static inline void rlki_adapter_changed(rlk_loop *loop)
{
    rlk_adapter *adapter = rlki_adapter_of(loop);

    if (adapter->ended == NULL) { /* else the turn that it comes in prepares */
        adapter->calls->timer(adapter, 0);
    }
}

static inline void rlki_adapter_closing(rlk_loop *loop, unsigned slot, int fd)
{
    (void)fd;
    rlki_adapter_forget(rlki_adapter_of(loop), slot);
}

/* Ends the work for the client, and the turn that it ends in. */
static inline void rlki_adapter_removed(rlk_loop *loop)
{
    rlk_adapter *adapter = rlki_adapter_of(loop);
    unsigned i;

    for (i = 0; i < RLK_MAX_FDS; i++) {
        rlki_adapter_forget(adapter, i);
    }
    adapter->client = NULL;
    adapter->calls->timer(adapter, -1);
    if (adapter->ended != NULL) {
        *adapter->ended = true;
        adapter->ended = NULL;
    }
}

/*
 * Begins; rlk_adapter_update has the first turn come. An adapter that was started before has been
 * stopped, also where its client has closed: what the loop has of it is here. `size` is that of the
 * whole struct, all of which is set to zeros first. 0, or a negative errno: -EALREADY: the adapter
 * serves the client already, and goes on: nothing was changed; -EBUSY: the client has another loop;
 * -EINVAL: it is not open, or of the parent of this process, or a pointer is NULL.
 */
static inline int rlk_adapter_start(rlk_adapter *adapter, size_t size,
                                    const rlk_adapter_calls *calls, rlk_posix_client *client,
                                    rlk_event_hook on_event, void *app)
{
    static const rlk_loop_calls loop_calls = {rlki_adapter_changed, rlki_adapter_closing,
                                              rlki_adapter_removed};
    rlk_result result;
    unsigned i;

    if (client != NULL && rlk_posix_slots(client) > 0 && client->loop == &adapter->loop) {
        return -EALREADY;
    }
    memset(adapter, 0, size);
    adapter->loop.calls = &loop_calls;
    adapter->calls = calls;
    adapter->on_event = on_event;
    adapter->app = app;
    for (i = 0; i < RLK_MAX_FDS; i++) {
        adapter->polled[i].fd = -1;
    }
    if (client == NULL || on_event == NULL) {
        return -EINVAL;
    }
    result = rlk_posix_set_loop(client, &adapter->loop);
    if (result != RLK_OK) {
        return result == RLK_E_STATE ? -EBUSY : -EINVAL;
    }
    adapter->client = client;
    return 0;
}

/* THE comparison: what the client wants, slot by slot, and what the loop polls. */
static inline void rlki_adapter_compare(rlk_adapter *adapter)
{
    struct pollfd all[RLK_MAX_FDS];
    int timeout_ms;
    unsigned i;
    unsigned slots;
    bool refused = false;

    (void)rlk_posix_prepare(adapter->client, all, RLK_MAX_FDS, &timeout_ms);
    slots = rlk_posix_slots(adapter->client);
    for (i = 0; i < slots; i++) {
        struct pollfd *polled = &adapter->polled[i];
        short events;
        int fd = rlk_posix_fd(adapter->client, i, &events);

        if (polled->fd == fd && (fd < 0 || polled->events == events)) {
            continue;
        }
        if (polled->fd != fd) {
            rlki_adapter_forget(adapter, i);
        }
        if (fd < 0) {
            continue;
        }
        polled->fd = fd;
        if (adapter->calls->poll(adapter, i, fd, events)) {
            polled->events = events;
        } else {
            polled->events = 0;
            polled->revents = POLLIN | POLLOUT;
            refused = true;
        }
    }
    if (refused && (timeout_ms < 0 || timeout_ms > RLK_ADAPTER_RETRY_MS)) {
        timeout_ms = RLK_ADAPTER_RETRY_MS;
    }
    adapter->calls->timer(adapter, timeout_ms);
}

/* Takes what the loop reports of a descriptor: POLLIN, POLLOUT, POLLERR, POLLHUP. One that is not
 * polled is ignored. A turn must follow. */
static inline void rlk_adapter_ready(rlk_adapter *adapter, int fd, short revents)
{
    unsigned i;

    for (i = 0; i < RLK_MAX_FDS; i++) {
        if (adapter->polled[i].fd == fd) {
            adapter->polled[i].revents |= revents;
        }
    }
}

/*
 * A turn: from the loop only, never from within a call of the application. May end with the adapter
 * stopped, or freed: touch nothing of it afterwards. Does nothing where it was stopped, and from
 * within another turn of the same adapter. In a forked child, and after rlk_client_close alone, it
 * closes the client.
 */
static inline void rlk_adapter_turn(rlk_adapter *adapter)
{
    rlk_posix_client *client = adapter->client;
    bool ended = false;
    rlk_event event;
    unsigned i;

    if (client == NULL || adapter->ended != NULL) {
        return;
    }
    adapter->ended = &ended;
    if (rlk_posix_service(client, adapter->polled, RLK_MAX_FDS) != RLK_OK) {
        rlk_posix_close(client); /* has it end */
        return;
    }
    for (i = 0; i < RLK_MAX_FDS; i++) {
        adapter->polled[i].revents = 0;
    }
    for (i = 0; i < RLK_ADAPTER_EVENTS && rlk_client_next_event(&client->client, &event); i++) {
        adapter->on_event(adapter->app, &event);
        if (ended) {
            return;
        }
    }
    rlki_adapter_compare(adapter);
    adapter->ended = NULL;
}

/* Has a turn come soon, as any call of the library has: for what the library does not see, such as
 * a suspend that has ended. Harmless after a stop. In a forked child, and after rlk_client_close
 * alone, it closes the client. */
static inline void rlk_adapter_update(rlk_adapter *adapter)
{
    if (adapter->client == NULL) {
        return;
    }
    if (rlk_posix_slots(adapter->client) > 0) {
        rlki_adapter_changed(&adapter->loop);
    } else { /* a child, whose timer may be the parent's too; or closed */
        rlk_posix_close(adapter->client);
    }
}

/* Ends: no call of the loop comes any more, and no event. The client and its connections stay as
 * they are. In a forked child it closes the client. Harmless after a stop, and after the client. */
static inline void rlk_adapter_stop(rlk_adapter *adapter)
{
    if (adapter->client == NULL) {
        return;
    }
    if (rlk_posix_set_loop(adapter->client, NULL) != RLK_OK) { /* else `removed` has come */
        rlk_posix_close(adapter->client);
    }
}

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
