/* SPDX-License-Identifier: MIT
 *
 * In a loop of libevent: acquires a lock, works for a while, and releases it.
 *     libevent redis://localhost:6379 key
 */
#define _DEFAULT_SOURCE
#include "resplock/adapters/libevent.h"

#include <stdio.h>

static rlk_posix_client redis;
static rlk_lock lock;
static rlk_libevent adapter;
static struct event_base *base;
static struct event work;

static void on_work_done(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events, (void)context;
    (void)rlk_release_start(&lock); /* from anywhere: the adapter notices */
}

/* Called by the loop, never from within a call of this program. */
static void on_event(void *app, const rlk_event *event)
{
    int *status = (int *)app;

    if (event->type == RLK_EV_ACQUIRED) {
        puts("acquired");
        event_add(&work, &(struct timeval){.tv_usec = 300000});
    } else if (event->type == RLK_EV_RESULT || event->type == RLK_EV_LOST) {
        *status = event->operation == RLK_OP_RELEASE && event->result == RLK_OK ? 0 : 1;
        puts(*status == 0 ? "released" : rlk_lock_error(&lock));
        rlk_lock_close(&lock);
        rlk_posix_close(&redis);
        rlk_libevent_stop(&adapter);
        event_del(&work); /* nothing is left in the loop, which ends */
    }
}

int main(int argc, char **argv)
{
    rlk_lock_config config = {.ttl_ms = 10000, .auto_renew = true};
    int status = 1;

    base = event_base_new();
    evtimer_assign(&work, base, on_work_done, NULL);
    if (argc != 3 || rlk_posix_open(&redis, argv[1], NULL) != RLK_OK ||
        rlk_lock_init(&lock, &redis.client, argv[2], &config) != RLK_OK ||
        rlk_libevent_start(&adapter, base, &redis, on_event, &status) != 0 ||
        rlk_acquire_start(&lock, 8000) != RLK_PENDING) {
        fprintf(stderr, "%s\n",
                argc != 3 ? "usage: libevent URL KEY" : rlk_client_error(&redis.client));
        return 1;
    }
    event_base_dispatch(base);
    event_base_free(base);
    return status;
}
