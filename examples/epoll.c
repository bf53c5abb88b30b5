/* SPDX-License-Identifier: MIT
 *
 * In a loop around epoll, or any other of Linux: acquires a lock, works for a while, releases it.
 *     epoll redis://localhost:6379 key
 */
#define _DEFAULT_SOURCE
#include "resplock/adapters/epoll.h"

#include <stdio.h>

static rlk_posix_client redis;
static rlk_lock lock;
static rlk_epoll adapter;
static int work_ms = -1; /* until the work is done; -1: none */

/* Called by rlk_epoll_service, never from within another call of this program. */
static void on_event(void *app, const rlk_event *event)
{
    int *status = (int *)app;

    if (event->type == RLK_EV_ACQUIRED) {
        puts("acquired");
        work_ms = 300;
    } else if (event->type == RLK_EV_RESULT || event->type == RLK_EV_LOST) {
        *status = event->operation == RLK_OP_RELEASE && event->result == RLK_OK ? 0 : 1;
        puts(*status == 0 ? "released" : rlk_lock_error(&lock));
        rlk_lock_close(&lock);
        rlk_posix_close(&redis);
        rlk_epoll_stop(&adapter); /* adapter.fd is -1 now */
    }
}

int main(int argc, char **argv)
{
    rlk_lock_config config = {.ttl_ms = 10000, .auto_renew = true};
    int loop = epoll_create1(EPOLL_CLOEXEC);
    int status = 1;

    if (argc != 3 || rlk_posix_open(&redis, argv[1], NULL) != RLK_OK ||
        rlk_lock_init(&lock, &redis.client, argv[2], &config) != RLK_OK ||
        rlk_epoll_start(&adapter, loop, &redis, on_event, &status) != 0 ||
        rlk_acquire_start(&lock, 8000) != RLK_PENDING) {
        fprintf(stderr, "%s\n",
                argc != 3 ? "usage: epoll URL KEY" : rlk_client_error(&redis.client));
        return 1;
    }
    while (adapter.fd >= 0) {
        struct epoll_event event;
        int n = epoll_wait(loop, &event, 1, work_ms); /* the adapter needs no time-out */

        if (n == 1 && event.data.ptr == &adapter) {
            rlk_epoll_service(&adapter);
        } else if (n == 0) {
            work_ms = -1;
            (void)rlk_release_start(&lock); /* from anywhere: the adapter notices */
        }
    }
    close(loop);
    return status;
}
