/* SPDX-License-Identifier: MIT
 *
 * TLS in each event loop: what TLS has read and poll doesn't see, handshakes, streams that end.
 */
#include "certificates.h"
#include "nodes.h"
#include "server.h"
#include "support.h"

#include "resplock/adapters/epoll.h"
#include "resplock/adapters/glib.h"
#include "resplock/adapters/libevent.h"
#include "resplock/adapters/sdevent.h"
#include "resplock/adapters/uv.h"
#include "resplock/tls/openssl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOCKS 200

static rlk_openssl tls;
static rlk_posix_client posix;
static rlk_lock locks[LOCKS];
static char keys[LOCKS][16];

static int acquired;
static int released;
static int lost;
static int failed;

static void on_event(void *app, const rlk_event *event)
{
    (void)app;
    acquired += event->type == RLK_EV_ACQUIRED;
    lost += event->type == RLK_EV_LOST;
    released += event->type == RLK_EV_RESULT && event->result == RLK_OK;
    failed += event->type == RLK_EV_RESULT && event->result != RLK_OK;
}

/* ---- The loops ----------------------------------------------------------------------------- */

static union {
    rlk_epoll epoll;
    rlk_glib glib;
    rlk_libevent libevent;
    rlk_sdevent sdevent;
    rlk_uv uv;
} adapter;

static int epoll_loop;

static int epoll_begin(void)
{
    epoll_loop = epoll_create1(EPOLL_CLOEXEC);
    return rlk_epoll_start(&adapter.epoll, epoll_loop, &posix, on_event, NULL);
}

static void epoll_turn(void)
{
    struct epoll_event event;

    if (epoll_wait(epoll_loop, &event, 1, 20) == 1)
        rlk_epoll_service((rlk_epoll *)event.data.ptr);
}

static void epoll_end(void)
{
    rlk_epoll_stop(&adapter.epoll);
    (void)close(epoll_loop);
}

static uv_loop_t uv;
static uv_timer_t uv_limit;

static void uv_nothing(uv_timer_t *timer)
{
    (void)timer;
}

static int uv_begin(void)
{
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(uv_timer_init(&uv, &uv_limit), 0);
    return rlk_uv_start(&adapter.uv, &uv, &posix, on_event, NULL);
}

static void uv_turn(void)
{
    uv_update_time(&uv);
    uv_timer_start(&uv_limit, uv_nothing, 20, 0);
    uv_run(&uv, UV_RUN_ONCE);
}

static void uv_stopped(void *app)
{
    (void)app;
}

static void uv_end(void)
{
    rlk_uv_stop(&adapter.uv, uv_stopped);
    uv_close((uv_handle_t *)&uv_limit, NULL);
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&uv), 0);
}

static struct event_base *base;

static int libevent_begin(void)
{
    base = event_base_new();
    return rlk_libevent_start(&adapter.libevent, base, &posix, on_event, NULL);
}

static void libevent_turn(void)
{
    struct timeval limit = {0, 20000};

    event_base_loopexit(base, &limit);
    event_base_loop(base, EVLOOP_ONCE);
}

static void libevent_end(void)
{
    rlk_libevent_stop(&adapter.libevent);
    event_base_free(base);
}

static GMainContext *glib;

static gboolean glib_nothing(gpointer data)
{
    (void)data;
    return G_SOURCE_REMOVE;
}

static int glib_begin(void)
{
    glib = g_main_context_new();
    return rlk_glib_start(&adapter.glib, glib, &posix, on_event, NULL);
}

static void glib_turn(void)
{
    GSource *limit = g_timeout_source_new(20);

    g_source_set_callback(limit, glib_nothing, NULL, NULL);
    g_source_attach(limit, glib);
    g_main_context_iteration(glib, TRUE);
    g_source_destroy(limit);
    g_source_unref(limit);
}

static void glib_end(void)
{
    rlk_glib_stop(&adapter.glib);
    g_main_context_unref(glib);
}

static sd_event *sdevent;

static int sdevent_begin(void)
{
    assert_true(sd_event_new(&sdevent) >= 0);
    return rlk_sdevent_start(&adapter.sdevent, sdevent, &posix, on_event, NULL);
}

static void sdevent_turn(void)
{
    assert_true(sd_event_run(sdevent, 20000) >= 0);
}

static void sdevent_end(void)
{
    rlk_sdevent_stop(&adapter.sdevent);
    sdevent = sd_event_unref(sdevent);
}

typedef struct loop {
    const char *name;
    int (*begin)(void);
    void (*turn)(void); /* waits for at most 20 ms */
    void (*end)(void);
} loop;

static const loop loops[] = {
    {"epoll", epoll_begin, epoll_turn, epoll_end},
    {"libuv", uv_begin, uv_turn, uv_end},
    {"libevent", libevent_begin, libevent_turn, libevent_end},
    {"GLib", glib_begin, glib_turn, glib_end},
    {"sd-event", sdevent_begin, sdevent_turn, sdevent_end},
};

static int64_t loop_until_end;

#define loop_until(on, condition)                                                                  \
    do {                                                                                           \
        loop_until_end = support_now_ms() + scaled(10000);                                         \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > loop_until_end)                                                 \
                support_fail("never came: %s", #condition);                                        \
            (on)->turn();                                                                          \
        }                                                                                          \
    } while (0)

/* ---- The test ------------------------------------------------------------------------------ */

static server *start_all(const loop *on)
{
    rlk_lock_config lock_config = rlk_lock_config_default();
    server *redis = certificate_server("DNS:localhost", NULL);
    rlk_posix_options options;
    rlk_tls_config trusted;
    size_t i;

    memset(&trusted, 0, sizeof trusted);
    trusted.ca_file = certificate_authority("ca");
    assert_result(rlk_openssl_init(&tls, &trusted), RLK_OK);
    memset(&options, 0, sizeof options);
    options.tls = &tls.tls;
    options.backoff_min_ms = 1;
    options.backoff_max_ms = 50;
    assert_result(rlk_posix_open(&posix, server_tls_url(redis), &options), RLK_OK);
    lock_config.auto_renew = true;
    for (i = 0; i < LOCKS; i++) {
        snprintf(keys[i], sizeof keys[i], "key%zu", i);
        assert_result(rlk_lock_init(&locks[i], &posix.client, keys[i], &lock_config), RLK_OK);
    }
    acquired = released = lost = failed = 0;
    assert_int_equal(on->begin(), 0);
    return redis;
}

static void stop_all(const loop *on, server *redis)
{
    size_t i;

    for (i = 0; i < LOCKS; i++)
        rlk_lock_close(&locks[i]);
    on->end();
    rlk_posix_close(&posix);
    rlk_openssl_close(&tls);
    server_free(redis);
}

/* One lock waits, and many come at once: more replies than fit one read of the driver. */
static void test_loops_tls(void **state)
{
    size_t row;

    (void)state;
    for (row = 0; support_row(row, COUNT_OF(loops)); row++) {
        const loop *on = &loops[row];
        server *redis = start_all(on);
        int i;

        support_row_name("%s", on->name);
        server_do(redis, "SET key0 somebody");
        assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
        loop_until(on, server_calls(redis, "pttl") >= 1);
        server_integer(redis, "DEL key0");
        loop_until(on, acquired == 1);

        for (i = 1; i < LOCKS; i++)
            assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
        loop_until(on, acquired == LOCKS);
        assert_true(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes") > 0);
        loop_until(on, rlk_conn_generation(rlk_client_conn(&posix.client, 0)) == 2);
        for (i = 0; i < LOCKS; i++)
            assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
        loop_until(on, released == LOCKS);
        assert_int_equal(server_integer(redis, "DBSIZE"), 0);

        assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
        loop_until(on, acquired == LOCKS + 1);
        server_kill(redis);
        loop_until(on, rlk_conn_result(rlk_client_conn(&posix.client, 0)) != RLK_OK);
        server_restart(redis, false);
        loop_until(on, rlk_conn_generation(rlk_client_conn(&posix.client, 0)) == 3);
        server_do(redis, "SET key1 somebody");
        assert_result(rlk_acquire_start(&locks[1], RLK_TRY), RLK_PENDING);
        loop_until(on, failed == 1);
        assert_true(rlk_is_held(&locks[0]) || lost == 1);
        stop_all(on, redis);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_loops_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
