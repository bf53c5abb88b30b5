/* SPDX-License-Identifier: MIT
 *
 * resplock/adapters/glib.h: a client in a main loop of GLib, and so of GTK, GStreamer and Qt. One
 * header; needs GLib 2.36.
 *
 *     rlk_glib_start(&adapter, NULL, &redis, on_event, app);
 *     rlk_acquire_start(&lock, RLK_FOREVER);
 *     g_main_loop_run(loop);
 */
#ifndef RESPLOCK_ADAPTERS_GLIB_H
#define RESPLOCK_ADAPTERS_GLIB_H

#include "resplock.h"

#if defined(RLKI_POSIX) && !defined(RLK_NO_POSIX) /* else socket.h has the error */

#include <glib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Must not be moved while started. Fields are private. */
typedef struct rlk_glib {
    rlk_adapter adapter; /* first */
    GSource *source;     /* NULL: stopped */
    gpointer tags[RLK_MAX_FDS];
} rlk_glib;

/* The memory is GLib's, and may outlive the adapter by one dispatch. */
typedef struct rlki_glib_source {
    GSource source; /* first */
    rlk_glib *glib; /* NULL: stopped */
} rlki_glib_source;

static inline bool rlki_glib_poll(rlk_adapter *adapter, unsigned slot, int fd, short events)
{
    rlk_glib *glib = (rlk_glib *)(void *)adapter; /* its first member */
    GIOCondition wanted = (GIOCondition)events;   /* GLib has the bits of poll */

    if (glib->tags[slot] != NULL && events != 0) {
        g_source_modify_unix_fd(glib->source, glib->tags[slot], wanted);
    } else if (glib->tags[slot] != NULL) {
        g_source_remove_unix_fd(glib->source, glib->tags[slot]);
        glib->tags[slot] = NULL;
    } else if (events != 0) {
        glib->tags[slot] = g_source_add_unix_fd(glib->source, fd, wanted);
    }
    return true;
}

static inline void rlki_glib_timer(rlk_adapter *adapter, int timeout_ms)
{
    rlk_glib *glib = (rlk_glib *)(void *)adapter;
    gint64 ready_us = timeout_ms; /* -1: never; 0: at once */

    if (timeout_ms > 0) { /* not from g_source_get_time(), which the loop has cached */
        ready_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    }
    g_source_set_ready_time(glib->source, ready_us);
}

static inline gboolean rlki_glib_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    rlk_glib *glib = ((rlki_glib_source *)(void *)source)->glib;
    unsigned i;

    (void)callback;
    (void)data;
    for (i = 0; glib != NULL && i < RLK_MAX_FDS; i++) {
        if (glib->tags[i] != NULL) {
            rlk_adapter_ready(&glib->adapter, glib->adapter.polled[i].fd,
                              (short)g_source_query_unix_fd(source, glib->tags[i]));
        }
    }
    if (glib != NULL) {
        rlk_adapter_turn(&glib->adapter);
    }
    return G_SOURCE_CONTINUE;
}

/*
 * Serves the client from the context (NULL: the default one) until rlk_glib_stop. Events come to
 * on_event, with `app`. 0, or a negative errno: -EALREADY: the adapter serves the client already,
 * and goes on; -EBUSY: the client has another loop; -EINVAL: it is not open, or a pointer is NULL.
 * The thread that runs the context is the client's.
 */
static inline int rlk_glib_start(rlk_glib *adapter, GMainContext *context, rlk_posix_client *client,
                                 rlk_event_hook on_event, void *app)
{
    static const rlk_adapter_calls calls = {rlki_glib_poll, rlki_glib_timer};
    static GSourceFuncs functions = {NULL, NULL, rlki_glib_dispatch, NULL, NULL, NULL};
    int error;

    error = rlk_adapter_start(&adapter->adapter, sizeof *adapter, &calls, client, on_event, app);
    if (error != 0) {
        return error;
    }
    adapter->source = g_source_new(&functions, (guint)sizeof(rlki_glib_source));
    ((rlki_glib_source *)(void *)adapter->source)->glib = adapter;
    g_source_set_name(adapter->source, "resplock");
    (void)g_source_attach(adapter->source, context);
    rlk_adapter_update(&adapter->adapter);
    return 0;
}

/* Has the client served soon: after what the library does not see, such as a suspend. */
static inline void rlk_glib_update(rlk_glib *adapter)
{
    rlk_adapter_update(&adapter->adapter);
}

/* Ends it, before or after the client is closed; the memory may go at once. Harmless in on_event,
 * in a forked child (it closes the client there), and a second time. */
static inline void rlk_glib_stop(rlk_glib *adapter)
{
    rlk_adapter_stop(&adapter->adapter);
    if (adapter->source != NULL) {
        ((rlki_glib_source *)(void *)adapter->source)->glib = NULL;
        g_source_destroy(adapter->source);
        g_source_unref(adapter->source);
        adapter->source = NULL;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* RLKI_POSIX */

#endif
