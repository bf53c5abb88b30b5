/* SPDX-License-Identifier: MIT
 *
 * In a loop of sd-event: acquires a lock, works for a while, and releases it.
 *     sdevent redis://localhost:6379 key
 */
#define _DEFAULT_SOURCE
#include "resplock/adapters/sdevent.h"

#include <stdio.h>

static rlk_posix_client redis;
static rlk_lock lock;
static rlk_sdevent adapter;
static sd_event *loop;

static int on_work_done(sd_event_source *source, uint64_t usec, void *context)
{
    (void)source, (void)usec, (void)context;
    (void)rlk_release_start(&lock); /* from anywhere: the adapter notices */
    return 0;
}

/* Called by the loop, never from within a call of this program. */
static void on_event(void *app, const rlk_event *event)
{
    int *status = (int *)app;

    if (event->type == RLK_EV_ACQUIRED) {
        puts("acquired");
        sd_event_add_time_relative(loop, NULL, CLOCK_MONOTONIC, 300000, 0, on_work_done, NULL);
    } else if (event->type == RLK_EV_RESULT || event->type == RLK_EV_LOST) {
        *status = event->operation == RLK_OP_RELEASE && event->result == RLK_OK ? 0 : 1;
        puts(*status == 0 ? "released" : rlk_lock_error(&lock));
        rlk_lock_close(&lock);
        rlk_posix_close(&redis);
        rlk_sdevent_stop(&adapter);
        sd_event_exit(loop, *status);
    }
}

int main(int argc, char **argv)
{
    rlk_lock_config config = {.ttl_ms = 10000, .auto_renew = true};
    int status = 1;

    if (sd_event_new(&loop) < 0)
        return 1;
    if (argc != 3 || rlk_posix_open(&redis, argv[1], NULL) != RLK_OK ||
        rlk_lock_init(&lock, &redis.client, argv[2], &config) != RLK_OK ||
        rlk_sdevent_start(&adapter, loop, &redis, on_event, &status) != 0 ||
        rlk_acquire_start(&lock, 8000) != RLK_PENDING) {
        fprintf(stderr, "%s\n",
                argc != 3 ? "usage: sdevent URL KEY" : rlk_client_error(&redis.client));
        return 1;
    }
    sd_event_loop(loop);
    sd_event_unref(loop);
    return status;
}
