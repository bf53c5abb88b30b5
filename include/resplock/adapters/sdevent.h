/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/sdevent.h: a client in a loop of sd-event. One header; needs libsystemd 229.
 *
 *     rlk_sdevent_start(&adapter, event, &redis, on_event, app);
 *     rlk_acquire_start(&lock, RLK_FOREVER);
 *     sd_event_loop(event);
 *
 * The timer counts while the system sleeps, as leases do (CLOCK_BOOTTIME).
 */
#ifndef RESPLOCK_ADAPTERS_SDEVENT_H
#define RESPLOCK_ADAPTERS_SDEVENT_H

#include "resplock.h"

#if defined(RLKI_POSIX) && !defined(RLK_NO_POSIX) /* else socket.h has the error */

#include <systemd/sd-event.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RLKI_SDEVENT_CLOCK 7 /* CLOCK_BOOTTIME, which -std=c99 hides */

/* Must not be moved while started. Fields are private. */
typedef struct rlk_sdevent {
    rlk_adapter adapter; /* first */
    sd_event *event;
    sd_event_source *timer;
    sd_event_source *pollers[RLK_MAX_FDS]; /* NULL: not polled */
} rlk_sdevent;

/* Off before it goes: who else has a reference must not keep it polled. */
static inline void rlki_sdevent_drop(sd_event_source **source)
{
    if (*source != NULL) {
        (void)sd_event_source_set_enabled(*source, SD_EVENT_OFF);
        *source = sd_event_source_unref(*source);
    }
}

static inline int rlki_sdevent_ready(sd_event_source *source, int fd, uint32_t events,
                                     void *context)
{
    rlk_adapter *adapter = (rlk_adapter *)context;

    (void)source;
    rlk_adapter_ready(adapter, fd, (short)events);
    rlk_adapter_turn(adapter);
    return 0;
}

static inline bool rlki_sdevent_poll(rlk_adapter *adapter, unsigned slot, int fd, short events)
{
    rlk_sdevent *sdevent = (rlk_sdevent *)(void *)adapter; /* its first member */
    sd_event_source **poller = &sdevent->pollers[slot];
    uint32_t wanted = (uint32_t)events; /* epoll has the bits of poll */

    if (events == 0) {
        rlki_sdevent_drop(poller);
        return true;
    }
    if (*poller != NULL) {
        return sd_event_source_set_io_events(*poller, wanted) >= 0;
    }
    return sd_event_add_io(sdevent->event, poller, fd, wanted, rlki_sdevent_ready, adapter) >= 0;
}

static inline int rlki_sdevent_fired(sd_event_source *source, uint64_t usec, void *context)
{
    (void)source;
    (void)usec;
    rlk_adapter_turn((rlk_adapter *)context);
    return 0;
}

static inline void rlki_sdevent_timer(rlk_adapter *adapter, int timeout_ms)
{
    rlk_sdevent *sdevent = (rlk_sdevent *)(void *)adapter;

    if (sdevent->timer == NULL || timeout_ms < 0) {
        if (sdevent->timer != NULL) {
            (void)sd_event_source_set_enabled(sdevent->timer, SD_EVENT_OFF);
        }
        return;
    }
    /* not from sd_event_now(), which the loop has cached */
    (void)sd_event_source_set_time(sdevent->timer,
                                   (uint64_t)(rlk_system_now_ms(NULL) + timeout_ms) * 1000u);
    (void)sd_event_source_set_enabled(sdevent->timer, SD_EVENT_ONESHOT);
}

/*
 * Serves the client from the loop until rlk_sdevent_stop. Events come to on_event, with `app`. 0,
 * or a negative errno: -EALREADY: the adapter serves the client already, and goes on; -EBUSY: the
 * client has another loop; -EINVAL: it is not open, or a pointer is NULL; others: of
 * sd_event_add_time.
 */
static inline int rlk_sdevent_start(rlk_sdevent *adapter, sd_event *event, rlk_posix_client *client,
                                    rlk_event_hook on_event, void *app)
{
    static const rlk_adapter_calls calls = {rlki_sdevent_poll, rlki_sdevent_timer};
    int error;

    error = rlk_adapter_start(&adapter->adapter, sizeof *adapter, &calls,
                              event != NULL ? client : NULL, on_event, app);
    if (error != 0) {
        return error;
    }
    adapter->event = event;
    /* an accuracy of 1 us, not 0, which means 250 ms */
    error = sd_event_add_time(event, &adapter->timer, RLKI_SDEVENT_CLOCK, 0, 1, rlki_sdevent_fired,
                              adapter);
    if (error < 0) {
        rlk_adapter_stop(&adapter->adapter);
        return error;
    }
    rlk_adapter_update(&adapter->adapter);
    return 0;
}

/* Has the client served soon: after what the library does not see, such as a suspend. */
static inline void rlk_sdevent_update(rlk_sdevent *adapter)
{
    rlk_adapter_update(&adapter->adapter);
}

/* Ends it, before or after the client is closed; the memory may go at once. Harmless in on_event,
 * in a forked child (it closes the client there), and a second time. */
static inline void rlk_sdevent_stop(rlk_sdevent *adapter)
{
    rlk_adapter_stop(&adapter->adapter);
    rlki_sdevent_drop(&adapter->timer);
}

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
