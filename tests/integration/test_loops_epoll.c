/* SPDX-License-Identifier: MIT
 *
 * A loop around epoll: resplock/adapters/epoll.h, through the trouble of loops.h.
 */
#include "resplock/adapters/epoll.h"
#include "loops.h"

static int loop;

static void epoll_open(void)
{
    loop = epoll_create1(EPOLL_CLOEXEC);
    assert_true(loop >= 0);
}

static void epoll_end(void)
{
    close(loop);
}

static int epoll_start(void *adapter, rlk_posix_client *client, rlk_event_hook on_event, void *app)
{
    return rlk_epoll_start((rlk_epoll *)adapter, loop, client, on_event, app);
}

static void epoll_update(void *adapter)
{
    rlk_epoll_update((rlk_epoll *)adapter);
}

static void epoll_stop(void *adapter, void (*stopped)(void *app))
{
    (void)stopped;
    rlk_epoll_stop((rlk_epoll *)adapter);
    rlk_epoll_service((rlk_epoll *)adapter); /* of the same epoll_wait: harmless */
}

static void epoll_turn(int ms)
{
    struct epoll_event event; /* one only: a stopped adapter must not be in the others */

    if (epoll_wait(loop, &event, 1, ms) == 1)
        rlk_epoll_service((rlk_epoll *)event.data.ptr);
}

int main(void)
{
    static const loop_driver epoll = {.open = epoll_open,
                                      .close = epoll_end,
                                      .size = sizeof(rlk_epoll),
                                      .start = epoll_start,
                                      .update = epoll_update,
                                      .stop = epoll_stop,
                                      .refused = 2,
                                      .turn = epoll_turn};

    return loops_main(&epoll);
}
