/* SPDX-License-Identifier: MIT
 *
 * In a loop of libuv: acquires a lock, works for a while, and releases it.
 *     uv redis://localhost:6379 key
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock/adapters/uv.h"

#include <stdio.h>

static rlk_posix_client redis;
static rlk_lock lock;
static rlk_uv adapter;
static uv_timer_t work;

static void on_work_done(uv_timer_t *timer)
{
    (void)timer;
    (void)rlk_release_start(&lock); /* from anywhere: the adapter notices */
}

/* Called by the loop, never from within a call of this program. */
static void on_event(void *app, const rlk_event *event)
{
    int *status = (int *)app;

    if (event->type == RLK_EV_ACQUIRED) {
        puts("acquired");
        uv_timer_start(&work, on_work_done, 300, 0);
    } else if (event->type == RLK_EV_RESULT || event->type == RLK_EV_LOST) {
        *status = event->operation == RLK_OP_RELEASE && event->result == RLK_OK ? 0 : 1;
        puts(*status == 0 ? "released" : rlk_lock_error(&lock));
        rlk_lock_close(&lock);
        rlk_posix_close(&redis);
        rlk_uv_stop(&adapter, NULL);
        uv_close((uv_handle_t *)&work, NULL); /* nothing is left in the loop, which ends */
    }
}

int main(int argc, char **argv)
{
    rlk_lock_config config = {.ttl_ms = 10000, .auto_renew = true};
    int status = 1;
    uv_loop_t *loop = uv_default_loop();

    uv_timer_init(loop, &work);
    if (argc != 3 || rlk_posix_open(&redis, argv[1], NULL) != RLK_OK ||
        rlk_lock_init(&lock, &redis.client, argv[2], &config) != RLK_OK ||
        rlk_uv_start(&adapter, loop, &redis, on_event, &status) != 0 ||
        rlk_acquire_start(&lock, 8000) != RLK_PENDING) {
        fprintf(stderr, "%s\n", argc != 3 ? "usage: uv URL KEY" : rlk_client_error(&redis.client));
        return 1;
    }
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return status;
}
