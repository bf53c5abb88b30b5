/* SPDX-License-Identifier: MIT
 *
 * In a main loop of GLib: acquires a lock, works for a while, and releases it.
 *     glib redis://localhost:6379 key
 */
#define _DEFAULT_SOURCE
#include "resplock/adapters/glib.h"

#include <stdio.h>

static rlk_posix_client redis;
static rlk_lock lock;
static rlk_glib adapter;
static GMainLoop *loop;

static gboolean on_work_done(gpointer context)
{
    (void)context;
    (void)rlk_release_start(&lock); /* from anywhere: the adapter notices */
    return G_SOURCE_REMOVE;
}

/* Called by the loop, never from within a call of this program. */
static void on_event(void *app, const rlk_event *event)
{
    int *status = (int *)app;

    if (event->type == RLK_EV_ACQUIRED) {
        puts("acquired");
        g_timeout_add(300, on_work_done, NULL);
    } else if (event->type == RLK_EV_RESULT || event->type == RLK_EV_LOST) {
        *status = event->operation == RLK_OP_RELEASE && event->result == RLK_OK ? 0 : 1;
        puts(*status == 0 ? "released" : rlk_lock_error(&lock));
        rlk_lock_close(&lock);
        rlk_posix_close(&redis);
        rlk_glib_stop(&adapter);
        g_main_loop_quit(loop);
    }
}

int main(int argc, char **argv)
{
    rlk_lock_config config = {.ttl_ms = 10000, .auto_renew = true};
    int status = 1;

    loop = g_main_loop_new(NULL, FALSE);
    if (argc != 3 || rlk_posix_open(&redis, argv[1], NULL) != RLK_OK ||
        rlk_lock_init(&lock, &redis.client, argv[2], &config) != RLK_OK ||
        rlk_glib_start(&adapter, NULL, &redis, on_event, &status) != 0 ||
        rlk_acquire_start(&lock, 8000) != RLK_PENDING) {
        fprintf(stderr, "%s\n",
                argc != 3 ? "usage: glib URL KEY" : rlk_client_error(&redis.client));
        return 1;
    }
    g_main_loop_run(loop);
    g_main_loop_unref(loop);
    return status;
}
