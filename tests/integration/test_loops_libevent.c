/* SPDX-License-Identifier: MIT
 *
 * A loop of libevent: resplock/adapters/libevent.h, through the trouble of loops.h.
 */
#include "resplock/adapters/libevent.h"
#include "loops.h"

static struct event_base *base;

static void libevent_open(void)
{
    base = event_base_new();
    assert_non_null(base);
}

static void libevent_end(void)
{
    event_base_free(base);
    libevent_global_shutdown();
}

static int libevent_start(void *adapter, rlk_posix_client *client, rlk_event_hook on_event,
                          void *app)
{
    return rlk_libevent_start((rlk_libevent *)adapter, base, client, on_event, app);
}

static void libevent_update(void *adapter)
{
    rlk_libevent_update((rlk_libevent *)adapter);
}

static void libevent_stop(void *adapter, void (*stopped)(void *app))
{
    (void)stopped;
    rlk_libevent_stop((rlk_libevent *)adapter);
    rlk_libevent_stop((rlk_libevent *)adapter); /* harmless */
}

static void libevent_turn(int ms)
{
    struct timeval limit;

    limit.tv_sec = ms / 1000;
    limit.tv_usec = ms % 1000 * 1000;
    event_base_loopexit(base, &limit);
    event_base_loop(base, EVLOOP_ONCE);
}

/* ---- Of libevent alone ---- */

static bool no_memory;

static void *memory_realloc(void *memory, size_t size)
{
    return no_memory ? NULL : realloc(memory, size);
}

/* An adapter that can't have its timer would never be served. */
static void test_libevent_without_memory(void **state)
{
    side s;

    (void)state;
    (void)side_begin(&s, true);
    adapter_free(&s);
    driver->close();
    driver->open(); /* which has no timer yet, nor memory for one */
    s.adapter = malloc(driver->size);
    assert_non_null(s.adapter);
    no_memory = true;
    assert_int_equal(libevent_start(s.adapter, s.client, side_event, &s), -ENOMEM);
    no_memory = false;
    free(s.adapter);
    side_start(&s);
    acquire(&s);
    side_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {support_test(test_libevent_without_memory)};
    static const loop_driver libevent = {.open = libevent_open,
                                         .close = libevent_end,
                                         .size = sizeof(rlk_libevent),
                                         .start = libevent_start,
                                         .update = libevent_update,
                                         .stop = libevent_stop,
                                         .refused = 1,
                                         .turn = libevent_turn};
    int failed;

    event_set_mem_functions(malloc, memory_realloc, free);
    failed = loops_main(&libevent);
    return failed + cmocka_run_group_tests_name("libevent", tests, NULL, NULL);
}
