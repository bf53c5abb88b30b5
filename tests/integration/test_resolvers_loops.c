/* SPDX-License-Identifier: MIT
 *
 * Resolvers under the adapters of loops: the loop polls what a lookup needs, and takes a turn when
 * an answer comes by a callback of its own.
 */
#include "resplock/adapters/cares.h"
#include "resplock/adapters/epoll.h"
#include "resplock/adapters/resolver_thread.h"
#include "resplock/adapters/uv.h"
#include "resplock/adapters/uv_resolver.h"

#include "resolvers.h"

static server *redis;

/* ---- Loops ---- */

typedef struct watched {
    user user; /* first */
    rlk_uv by_uv;
    rlk_epoll by_epoll;
    int events;
    int stopped;
    rlk_event last;
} watched;

static int epoll_fd;

static void on_event(void *app, const rlk_event *event)
{
    watched *w = (watched *)app;

    if (event->type == RLK_EV_WAITING || event->type == RLK_EV_RENEWED)
        return;
    w->events++;
    w->last = *event;
}

static void on_stopped(void *app)
{
    ((watched *)app)->stopped++;
}

static void in_uv(watched *w)
{
    assert_int_equal(rlk_uv_start(&w->by_uv, &uv, &w->user.posix, on_event, w), 0);
}

static void out_of_uv(watched *w)
{
    rlk_uv_stop(&w->by_uv, on_stopped);
    while (w->stopped == 0)
        (void)uv_run(&uv, UV_RUN_ONCE);
}

static void uv_nothing(uv_timer_t *timer)
{
    (void)timer;
}

static void uv_turn(int ms)
{
    static uv_timer_t limit;

    (void)uv_timer_init(&uv, &limit);
    uv_update_time(&uv);
    (void)uv_timer_start(&limit, uv_nothing, (uint64_t)ms, 0);
    (void)uv_run(&uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&limit, NULL);
    (void)uv_run(&uv, UV_RUN_NOWAIT);
}

static void in_epoll(watched *w)
{
    assert_int_equal(rlk_epoll_start(&w->by_epoll, epoll_fd, &w->user.posix, on_event, w), 0);
}

static void out_of_epoll(watched *w)
{
    rlk_epoll_stop(&w->by_epoll);
}

static void epoll_turn(int ms)
{
    struct epoll_event events[16];
    int n = epoll_wait(epoll_fd, events, 16, ms);
    int i;

    for (i = 0; i < n; i++)
        rlk_epoll_service((rlk_epoll *)events[i].data.ptr);
}

typedef struct loop_kind {
    const char *name;
    void (*begin)(watched *w);
    void (*leave)(watched *w);
    void (*once)(int ms);
} loop_kind;

static const loop_kind loops[] = {
    {"libuv", in_uv, out_of_uv, uv_turn},
    {"epoll", in_epoll, out_of_epoll, epoll_turn},
};

/* Each resolver in each loop; libuv's in its own. */
static const struct {
    size_t loop;
    size_t kind;
} pairs[] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}};

static const loop_kind *loop;

static bool pair_row(size_t row)
{
    if (!support_row(row, COUNT_OF(pairs)))
        return false;
    loop = &loops[pairs[row].loop];
    kind = &kinds[pairs[row].kind];
    support_row_name("%s in %s", kind->name, loop->name);
    resolver = pairs[row].kind != 2 ? kind->start() : NULL;
    assert_int_equal(uv_loop_init(&uv), 0);
    if (resolver == NULL) {
        rlk_uv_resolver_init(&by_uv, &uv);
        resolver = &by_uv.resolver;
    }
    return true;
}

/* Abandoned lookups of libuv end with its loop. */
static void pair_end(void)
{
    zone_release();
    (void)uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    if (kind != &kinds[2])
        kind->end();
    server_do(redis, "FLUSHALL");
}

static watched *watched_open(const char *name, int64_t connect_timeout_ms)
{
    watched *w = (watched *)calloc(1, sizeof *w);

    assert_non_null(w);
    user_open(&w->user, name, server_port(redis),
              &(rlk_posix_options){.connect_timeout_ms = connect_timeout_ms});
    loop->begin(w);
    return w;
}

static void watched_close(watched *w)
{
    user_close(&w->user);
    loop->leave(w);
    free(w);
}

static void watched_until(watched *w, int events)
{
    int64_t end = support_now_ms() + scaled(10000);

    while (w->events < events) {
        if (support_now_ms() > end)
            support_fail("no event came: %s", rlk_client_error(&w->user.posix.client));
        loop->once(1000);
    }
}

static void setup(void)
{
    zone_start();
    redis = server_start(&(server_config){.tcp = true});
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    assert_true(epoll_fd >= 0);
    zone_set(NAME, ZONE_ADDRESSES, "127.0.0.9,127.0.0.1");
    zone_set(HUNG, ZONE_SILENT, NULL);
}

/* Nobody but the adapter serves the client, and it does so when the answer is there. */
static void test_resolver_wakes_the_loop(void **state)
{
    size_t row;

    (void)state;
    setup();
    for (row = 0; pair_row(row); row++) {
        watched *w;
        int64_t begun;

        zone_delay(NAME, 100);
        w = watched_open(NAME, 0);
        begun = support_now_ms();
        assert_result(rlk_acquire_start(&w->user.lock, RLK_FOREVER), RLK_PENDING);
        watched_until(w, 1);
        assert_int_equal(w->last.type, RLK_EV_ACQUIRED);
        assert_between(support_now_ms() - begun, 100, 100 + scaled(700));
        (void)server_integer(redis, "CLIENT KILL TYPE normal"); /* asked anew */
        assert_result(rlk_release_start(&w->user.lock), RLK_PENDING);
        watched_until(w, 2);
        assert_result(w->last.result, RLK_OK);
        assert_true(zone_asked(NAME) >= 2);
        zone_delay(NAME, 0);
        watched_close(w);
        pair_end();
    }
    (void)close(epoll_fd);
}

/* Fault 135: a name that hangs beside one that does not, in the same loop; closed while it hangs.
 */
static void test_fault_135_name_hangs_in_a_loop(void **state)
{
    size_t row;

    (void)state;
    setup();
    for (row = 0; pair_row(row); row++) {
        watched *hung = watched_open(HUNG, 200);
        watched *good = watched_open(NAME, 0);

        assert_result(rlk_acquire_start(&hung->user.lock, scaled(600)), RLK_PENDING);
        assert_result(rlk_acquire_start(&good->user.lock, RLK_TRY), RLK_PENDING);
        watched_until(good, 1);
        assert_int_equal(good->last.type, RLK_EV_ACQUIRED);
        watched_until(hung, 1);
        assert_result(hung->last.result, RLK_E_CONNECT_TIMEOUT);
        assert_true(rlk_is_held(&good->user.lock));
        assert_result(rlk_acquire_start(&hung->user.lock, RLK_FOREVER), RLK_PENDING);
        loop->once(10);
        watched_close(hung);
        watched_close(good);
        pair_end();
    }
    (void)close(epoll_fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_resolver_wakes_the_loop),
        support_test(test_fault_135_name_hangs_in_a_loop),
    };

    return cmocka_run_group_tests_name("resolvers_loops", tests, NULL, NULL);
}
