/* SPDX-License-Identifier: MIT
 *
 * A main loop of GLib: resplock/adapters/glib.h, through the trouble of loops.h.
 */
#include "resplock/adapters/glib.h"
#include "loops.h"

static GMainContext *context;

static void glib_open(void)
{
    context = g_main_context_new();
}

static void glib_end(void)
{
    g_main_context_unref(context);
}

static int glib_start(void *adapter, rlk_posix_client *client, rlk_event_hook on_event, void *app)
{
    return rlk_glib_start((rlk_glib *)adapter, context, client, on_event, app);
}

static void glib_update(void *adapter)
{
    rlk_glib_update((rlk_glib *)adapter);
}

static void glib_stop(void *adapter, void (*stopped)(void *app))
{
    (void)stopped;
    rlk_glib_stop((rlk_glib *)adapter);
    rlk_glib_stop((rlk_glib *)adapter); /* harmless */
}

static gboolean glib_nothing(gpointer data)
{
    (void)data;
    return G_SOURCE_REMOVE;
}

static void glib_turn(int ms)
{
    GSource *limit = g_timeout_source_new((guint)ms);

    g_source_set_callback(limit, glib_nothing, NULL, NULL);
    g_source_attach(limit, context);
    g_main_context_iteration(context, TRUE);
    g_source_destroy(limit);
    g_source_unref(limit);
}

int main(void)
{
    static const loop_driver glib = {.open = glib_open,
                                     .close = glib_end,
                                     .size = sizeof(rlk_glib),
                                     .start = glib_start,
                                     .update = glib_update,
                                     .stop = glib_stop,
                                     .turn = glib_turn};

    return loops_main(&glib);
}
