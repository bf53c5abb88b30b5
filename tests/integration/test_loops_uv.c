/* SPDX-License-Identifier: MIT
 *
 * A loop of libuv: resplock/adapters/uv.h, through the trouble of loops.h.
 */
#include "resplock/adapters/uv.h"
#include "loops.h"

static uv_loop_t loop;
static uv_timer_t limit;

static void uv_open(void)
{
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &limit), 0);
}

static void uv_end(void)
{
    uv_close((uv_handle_t *)&limit, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing is left in it */
}

static int uv_begin(void *adapter, rlk_posix_client *client, rlk_event_hook on_event, void *app)
{
    return rlk_uv_start((rlk_uv *)adapter, &loop, client, on_event, app);
}

static void uv_again(void *adapter)
{
    rlk_uv_update((rlk_uv *)adapter);
}

static void uv_leave(void *adapter, void (*stopped)(void *app))
{
    rlk_uv_stop((rlk_uv *)adapter, stopped);
    rlk_uv_stop((rlk_uv *)adapter, stopped); /* harmless */
}

static void uv_nothing(uv_timer_t *timer)
{
    (void)timer;
}

static void uv_turn(int ms)
{
    uv_update_time(&loop);
    uv_timer_start(&limit, uv_nothing, (uint64_t)ms, 0);
    uv_run(&loop, UV_RUN_ONCE);
}

int main(void)
{
    static const loop_driver uv = {.open = uv_open,
                                   .close = uv_end,
                                   .size = sizeof(rlk_uv),
                                   .start = uv_begin,
                                   .update = uv_again,
                                   .stop = uv_leave,
                                   .late = true,
                                   .refused = 1,
                                   .turn = uv_turn};

    return loops_main(&uv);
}
