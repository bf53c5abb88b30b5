/* SPDX-License-Identifier: MIT
 *
 * A loop of sd-event: resplock/adapters/sdevent.h, through the trouble of loops.h.
 */
#include "resplock/adapters/sdevent.h"
#include "loops.h"

static sd_event *loop;

static void sdevent_open(void)
{
    assert_true(sd_event_new(&loop) >= 0);
}

static void sdevent_end(void)
{
    loop = sd_event_unref(loop);
}

static int sdevent_start(void *adapter, rlk_posix_client *client, rlk_event_hook on_event,
                         void *app)
{
    return rlk_sdevent_start((rlk_sdevent *)adapter, loop, client, on_event, app);
}

static void sdevent_update(void *adapter)
{
    rlk_sdevent_update((rlk_sdevent *)adapter);
}

static void sdevent_stop(void *adapter, void (*stopped)(void *app))
{
    (void)stopped;
    rlk_sdevent_stop((rlk_sdevent *)adapter);
    rlk_sdevent_stop((rlk_sdevent *)adapter); /* harmless */
}

static void sdevent_turn(int ms)
{
    assert_true(sd_event_run(loop, (uint64_t)ms * 1000) >= 0);
}

int main(void)
{
    static const loop_driver sdevent = {.open = sdevent_open,
                                        .close = sdevent_end,
                                        .size = sizeof(rlk_sdevent),
                                        .start = sdevent_start,
                                        .update = sdevent_update,
                                        .stop = sdevent_stop,
                                        .refused = 2,
                                        .turn = sdevent_turn};

    return loops_main(&sdevent);
}
