/* SPDX-License-Identifier: MIT
 *
 * loops.h: the trouble that each adapter of an event loop goes through, the same for all. A test of
 * one loop has a loop_driver, and is loops_main(&driver). Adapters, clients and locks are pieces of
 * memory of their own, which are freed as soon as the rules permit, so that valgrind and the
 * address sanitizer see what is used later.
 */
#ifndef TEST_LOOPS_H
#define TEST_LOOPS_H

#include "child.h"
#include "name_book.h"
#include "nodes.h"

#include <arpa/inet.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/syscall.h>
#endif

/* What differs from loop to loop. */
typedef struct loop_driver {
    void (*open)(void);  /* makes the loop */
    void (*close)(void); /* frees it */
    /* Starts the adapter over this memory of `size` bytes. */
    size_t size;
    int (*start)(void *adapter, rlk_posix_client *client, rlk_event_hook on_event, void *app);
    void (*update)(void *adapter);
    /* Stops it. The memory may be freed when it returns, or, of a loop with `late`, when it calls
     * stopped(app), from the loop. */
    void (*stop)(void *adapter, void (*stopped)(void *app));
    bool late;
    size_t refused; /* rows of test_loop_descriptor_refused that it has, and survives */
    /* Waits for whatever the loop polls, at most so long, and handles it. */
    void (*turn)(int ms);
} loop_driver;

static const loop_driver *driver;

/* ---- One client in the loop -------------------------------------------------------------- */

#define SIDE_KEY   "key"
#define SIDE_LOCKS 1000

/* Most turns of a loop that has nothing to do, in less than a second. */
#define LOOP_IDLE_TURNS 30

typedef struct side side;
struct side {
    rlk_posix_client *client;
    rlk_lock *lock;
    void *adapter;
    bool stopped; /* by a `late` loop */
    void (*then)(side *s, const rlk_event *event);
    int events;
    int acquired;
    int released;
    int lost;
    int failed;     /* results that were not RLK_OK */
    rlk_event last; /* of any but RLK_EV_WAITING and RLK_EV_SETTLED */
};

static bool calling;  /* the test is in a call of the library */
static int64_t began; /* of the last call */

#define CALL(expression) call_ends((calling = true, began = support_now_ms(), (expression)))

static rlk_result call_ends(rlk_result result)
{
    calling = false;
    return result;
}

static void side_event(void *app, const rlk_event *event)
{
    side *s = (side *)app;

    assert_false(calling); /* events come from the loop's own turn */
    if (event->type == RLK_EV_WAITING || event->type == RLK_EV_SETTLED)
        return;
    s->events++;
    s->last = *event;
    s->acquired += event->type == RLK_EV_ACQUIRED;
    s->lost += event->type == RLK_EV_LOST;
    s->failed += event->type == RLK_EV_RESULT && event->result != RLK_OK;
    s->released += event->type == RLK_EV_RESULT && event->operation == RLK_OP_RELEASE &&
                   event->result == RLK_OK;
    if (s->then != NULL)
        s->then(s, event);
}

static void side_stopped(void *app)
{
    ((side *)app)->stopped = true;
}

static void side_start(side *s)
{
    s->adapter = malloc(driver->size);
    assert_non_null(s->adapter);
    memset(s->adapter, 0xa5, driver->size);
    assert_int_equal(CALL(driver->start(s->adapter, s->client, side_event, s)), 0);
}

/* A client with a lock, in the loop. */
static void side_open(side *s, const char *url, const rlk_posix_options *options,
                      const rlk_lock_config *config)
{
    memset(s, 0, sizeof *s);
    s->client = (rlk_posix_client *)malloc(sizeof *s->client);
    s->lock = (rlk_lock *)malloc(sizeof *s->lock);
    assert_result(rlk_posix_open(s->client, url, options), RLK_OK);
    assert_result(rlk_lock_init(s->lock, &s->client->client, SIDE_KEY, config), RLK_OK);
    side_start(s);
}

/* Bounded waiting in the loop. */
static int64_t loop_until_end;

#define loop_until(condition) loop_until_within(condition, 10000)
#define loop_until_within(condition, ms)                                                           \
    do {                                                                                           \
        loop_until_end = support_now_ms() + scaled(ms);                                            \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > loop_until_end)                                                 \
                support_fail("never came: %s", #condition);                                        \
            driver->turn(20);                                                                      \
        }                                                                                          \
    } while (0)

/* Returns how often the loop had something to do: each turn ends with that, or with the time. */
static int loop_for(int64_t ms)
{
    int64_t end = support_now_ms() + ms;
    int turns = 0;

    for (; support_now_ms() < end; turns++)
        driver->turn((int)(end - support_now_ms()) + 1);
    return turns;
}

static void adapter_free(side *s)
{
    s->stopped = false;
    driver->stop(s->adapter, side_stopped);
    if (driver->late)
        loop_until(s->stopped);
    free(s->adapter);
    s->adapter = NULL;
}

static void client_free(side *s)
{
    if (s->lock != NULL)
        (void)CALL(rlk_lock_close(s->lock));
    free(s->lock);
    rlk_posix_close(s->client);
    free(s->client);
    s->lock = NULL;
    s->client = NULL;
}

/* Ends it; the loop goes on. */
static void side_leave(side *s)
{
    adapter_free(s);
    client_free(s);
}

static void side_close(side *s)
{
    side_leave(s);
    driver->close();
}

static server *loop_server(bool tcp)
{
    server_config config;

    memset(&config, 0, sizeof config);
    config.tcp = tcp;
    driver->open();
    return server_start(&config);
}

/* A loop, a server, and a client of it with a lock. */
static server *side_begin(side *s, bool tcp)
{
    server *redis = loop_server(tcp);

    side_open(s, tcp ? server_tcp_url(redis) : server_url(redis), NULL, NULL);
    return redis;
}

static bool side_ready(const side *s)
{
    return rlk_conn_get_state(rlk_client_conn(&s->client->client, 0)) == RLK_CONN_READY;
}

/* The call is answered well before anything else would have the client served. */
static void assert_prompt(void)
{
    assert_between(support_now_ms() - began, 0, scaled(1000));
}

static void acquire_start(rlk_lock *lock, int64_t wait_ms)
{
    assert_result(CALL(rlk_acquire_start(lock, wait_ms)), RLK_PENDING);
}

static void acquire(side *s)
{
    int before = s->acquired;

    acquire_start(s->lock, 8000);
    loop_until(s->acquired > before);
    assert_true(rlk_is_held(s->lock));
    assert_prompt();
}

static void release(side *s)
{
    int before = s->released;
    int failed = s->failed;

    assert_result(CALL(rlk_release_start(s->lock)), RLK_PENDING);
    loop_until(s->released > before || s->failed > failed);
    assert_result(s->last.result, RLK_OK);
    assert_prompt();
}

/* ---- The trouble ------------------------------------------------------------------------- */

/* Calls from outside of the loop's turns, where nothing else goes on: the loop wakes each time.
 */
static void test_loop_calls_from_anywhere(void **state)
{
    side s;
    server *redis = side_begin(&s, true);
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        acquire(&s);
        loop_for(i == 1 ? 300 : 0); /* idle: nothing is due for long */
        release(&s);
        assert_int_equal(server_integer(redis, "EXISTS key"), 0);
    }
    driver->update(s.adapter); /* harmless */
    loop_for(10);
    assert_int_equal(s.events, 6);
    side_close(&s);
}

/* An idle client leaves the loop alone; so does one that waits. */
static void test_loop_sleeps(void **state)
{
    side s;
    server *redis = side_begin(&s, false);

    (void)state;
    loop_until(side_ready(&s));
    server_do(redis, "SET key somebody");
    acquire_start(s.lock, RLK_FOREVER);
    loop_for(200);
    assert_between(loop_for(700), 1, LOOP_IDLE_TURNS);
    assert_int_equal(server_integer(redis, "DEL key"), 1); /* notified of by a push */
    loop_until_within(s.acquired == 1, 1000);
    side_close(&s);
}

/* The key of a lock that is held is deleted. */
static void test_loop_lock_deleted(void **state)
{
    side s;
    server *redis = side_begin(&s, false);

    (void)state;
    acquire(&s);
    loop_for(2 * RLK_WATCH_AFTER_MS); /* the compare that begins the watch, by the timer */
    assert_int_equal(server_integer(redis, "DEL key"), 1);
    loop_until_within(s.lost == 1, 1000);
    assert_int_equal(s.last.lost_cause, RLK_LOST_DELETED);
    side_close(&s);
}

static void test_loop_server_restarted(void **state)
{
    server *redis = loop_server(true);
    rlk_lock_config config = config_renewing(30000);
    side s;
    int i;

    (void)state;
    side_open(&s, server_tcp_url(redis), NULL, &config);
    for (i = 0; i < 3; i++) {
        acquire(&s);
        server_kill(redis);
        loop_for(i * 60);
        server_restart(redis, false);
        loop_until(s.lost == i + 1);
        assert_int_equal(s.last.lost_cause, RLK_LOST_DELETED);
    }
    server_do(redis, "SET key somebody");
    acquire_start(s.lock, RLK_FOREVER);
    loop_for(50);
    server_kill(redis);
    loop_for(100);
    server_restart(redis, false);
    loop_until(s.acquired == 4);
    side_close(&s);
}

/* Each connection is new, with a descriptor that most often has the number of the one before. */
static void test_loop_connections_killed(void **state)
{
    side s;
    server *redis = side_begin(&s, true);
    int same = 0;
    int i;

    (void)state;
    for (i = 0; i < 10; i++) {
        short events;
        int before;

        acquire(&s);
        before = rlk_posix_fd(s.client, 0, &events);
        assert_true(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes") >= 1);
        loop_for(i % 2 == 0 ? 0 : 20);
        release(&s);
        same += rlk_posix_fd(s.client, 0, &events) == before;
    }
    assert_true(same > 0); /* else this test tests less than it says */
    side_close(&s);
}

/* A server that does not answer is left when its time is over, and found again. */
static void test_loop_server_suspended(void **state)
{
    server *redis = loop_server(true);
    rlk_posix_options options;
    rlk_lock_config config;
    side s;

    (void)state;
    memset(&options, 0, sizeof options);
    memset(&config, 0, sizeof config);
    options.response_timeout_ms = 300;
    options.settle_timeout_ms = 400;
    config.ttl_ms = scaled(1200);
    side_open(&s, server_tcp_url(redis), &options, &config);
    acquire(&s);
    server_pause(redis);
    loop_until(s.lost == 1); /* its time is over: nobody has to notify it */
    assert_int_equal(s.last.lost_cause, RLK_LOST_EXPIRED);
    assert_between(support_now_ms() - began, config.ttl_ms / 2, config.ttl_ms + scaled(300));
    acquire_start(s.lock, 700);
    loop_until(s.failed == 1);
    assert_between(support_now_ms() - began, 600, 700 + 400 + scaled(500));
    assert_int_equal(s.last.operation, RLK_OP_ACQUIRE);
    server_resume(redis);
    acquire(&s);
    release(&s);
    side_close(&s);
}

/* A connect that fails is an answer, and is tried again. */
static void test_loop_dead_port(void **state)
{
    server *redis = loop_server(true);
    side s;

    (void)state;
    server_kill(redis);
    side_open(&s, server_tcp_url(redis), NULL, NULL);
    acquire_start(s.lock, RLK_TRY);
    loop_until(s.events == 1);
    assert_int_equal(s.last.result, RLK_E_CONNECT);
    assert_prompt();
    acquire_start(s.lock, RLK_FOREVER);
    loop_for(300);
    server_restart(redis, false);
    loop_until(s.acquired == 1);
    side_close(&s);
}

/* A port whose queue is full: nobody answers a connect. Returns it. The caller closes fds. */
static int black_hole(int fds[3])
{
    struct sockaddr_in address;
    socklen_t len = (socklen_t)sizeof address;
    int i;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (i = 0; i < 3; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fds[0], (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fds[0], 0), 0);
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)&address, &len), 0);
    for (i = 1; i < 3; i++) {
        assert_int_equal(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
        (void)(connect(fds[i], (struct sockaddr *)&address, sizeof address) != 0);
    }
    return ntohs(address.sin_port);
}

/* Whatever the client waits for: the loop sleeps. */
static void test_loop_sleeps_in_trouble(void **state)
{
    server *redis = loop_server(true);
    rlk_posix_options options;
    char url[64];
    int hole[3];
    side s;
    int i;

    (void)state;
    memset(&options, 0, sizeof options);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", black_hole(hole));
    side_open(&s, url, &options, NULL); /* a connect that nobody answers */
    acquire_start(s.lock, RLK_FOREVER);
    assert_between(loop_for(600), 1, LOOP_IDLE_TURNS);
    assert_int_equal(rlk_conn_get_state(rlk_client_conn(&s.client->client, 0)),
                     RLK_CONN_CONNECTING);
    side_leave(&s);
    for (i = 0; i < 3; i++)
        close(hole[i]);
    side_open(&s, server_tcp_url(redis), &options, NULL);
    loop_until(side_ready(&s));
    server_pause(redis); /* an answer that does not come */
    acquire_start(s.lock, RLK_FOREVER);
    assert_between(loop_for(600), 1, LOOP_IDLE_TURNS);
    server_resume(redis);
    loop_until(s.acquired == 1);
    server_kill(redis); /* pauses between attempts */
    assert_result(CALL(rlk_release_start(s.lock)), RLK_PENDING);
    assert_between(loop_for(600), 1, LOOP_IDLE_TURNS);
    side_close(&s);
}

#ifdef __linux__
static int refused_change; /* of epoll, which is refused the next time; 0: none */

/* What the adapter of epoll calls, libuv, libevent and sd-event. */
int epoll_ctl(int epoll, int change, int fd, struct epoll_event *event)
{
    if (change == refused_change) {
        refused_change = 0;
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll, change, fd, event);
}

/* A descriptor that the loop does not take now, or not for other events, is polled later. */
static void test_loop_descriptor_refused(void **state)
{
    static const int changes[] = {EPOLL_CTL_ADD, EPOLL_CTL_MOD};
    server *redis = loop_server(true);
    size_t i;

    (void)state;
    assert_true(driver->refused <= COUNT_OF(changes));
    for (i = 0; support_row(i, driver->refused); i++) {
        side s;

        side_open(&s, server_tcp_url(redis), NULL, NULL);
        refused_change = changes[i];
        acquire(&s);
        assert_int_equal(refused_change, 0);
        loop_for(3 * RLK_ADAPTER_RETRY_MS);
        assert_between(loop_for(600), 1, LOOP_IDLE_TURNS);
        release(&s);
        side_leave(&s);
    }
    driver->close();
}

#endif

/* ---- Names ---- */

/* A name that means another server from the next connect on. */
static void test_loop_name_moved(void **state)
{
    server *redis = loop_server(true);
    server_config config = {.tcp = true};
    server *next = server_start(&config);
    rlk_lock_config renewing = config_renewing(30000);
    rlk_posix_options options;
    name_book book;
    side s;

    (void)state;
    memset(&options, 0, sizeof options);
    options.resolver = &book.resolver;
    name_book_init(&book, server_port(redis));
    side_open(&s, "redis://lock.example", &options, &renewing);
    acquire(&s);
    name_book_means(&book, server_port(next));
    server_kill(redis);
    loop_until(s.lost == 1); /* the key is not at the other server */
    acquire(&s);
    assert_int_equal(server_integer(next, "EXISTS key"), 1);
    side_close(&s);
}

/* A resolver that answers later, by a descriptor of its own or by a callback of the loop. */
typedef struct late_resolver {
    rlk_resolver resolver; /* first */
    int port;
    bool by_descriptor;
    int write_end;
    rlk_lookup *asked; /* not answered yet */
} late_resolver;

static void late_answer(rlk_lookup *lookup, int port)
{
    struct sockaddr_in address;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    rlk_lookup_add(lookup, (const struct sockaddr *)(const void *)&address);
    rlk_lookup_done(lookup, 0, NULL);
}

static void late_start(rlk_resolver *resolver, rlk_lookup *lookup, const char *host, uint16_t port,
                       int64_t now_ms)
{
    late_resolver *late = (late_resolver *)(void *)resolver;
    int ends[2];

    (void)host;
    (void)port;
    (void)now_ms;
    late->asked = lookup;
    lookup->own = late;
    if (late->by_descriptor) {
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
        lookup->fd = ends[0];
        late->write_end = ends[1];
    }
}

static void late_service(rlk_lookup *lookup, int64_t now_ms)
{
    char byte;

    (void)now_ms;
    if (read(lookup->fd, &byte, 1) == 1) /* a turn may come for other reasons */
        late_answer(lookup, ((late_resolver *)lookup->own)->port);
}

static void late_close(rlk_lookup *lookup)
{
    late_resolver *late = (late_resolver *)lookup->own;

    if (lookup->fd >= 0) {
        close(lookup->fd);
        close(late->write_end);
    }
    late->asked = NULL;
}

/* The loop goes on while a name is asked for, however long that takes. */
static void test_loop_name_answered_late(void **state)
{
    static const rlk_resolver_calls by_descriptor = {late_start, late_service, late_close, false};
    static const rlk_resolver_calls by_callback = {late_start, NULL, late_close, true};
    server *redis = loop_server(true);
    rlk_posix_options options;
    late_resolver late;
    side s;
    int i;

    (void)state;
    memset(&options, 0, sizeof options);
    memset(&late, 0, sizeof late);
    late.port = server_port(redis);
    options.resolver = &late.resolver;
    options.connect_timeout_ms = 400;
    options.backoff_max_ms = 50;
    for (i = 0; i < 2; i++) {
        late.by_descriptor = i == 0;
        late.resolver.calls = late.by_descriptor ? &by_descriptor : &by_callback;
        side_open(&s, "redis://lock.example", &options, NULL);
        loop_until(late.asked != NULL);
        acquire_start(s.lock, RLK_FOREVER);
        assert_between(loop_for(600), 1, LOOP_IDLE_TURNS); /* out of time, and asked again */
        assert_int_equal(rlk_conn_result(rlk_client_conn(&s.client->client, 0)),
                         RLK_E_CONNECT_TIMEOUT);
        loop_until(late.asked != NULL);
        began = support_now_ms();
        if (late.by_descriptor)
            assert_int_equal(write(late.write_end, "x", 1), 1);
        else
            late_answer(late.asked, late.port);
        loop_until(s.acquired == 1);
        assert_prompt();
        release(&s);
        side_leave(&s);
    }
    driver->close();
}

/* ---- Many ---- */

static void release_it(side *s, const rlk_event *event)
{
    (void)s;
    if (event->type == RLK_EV_ACQUIRED)
        assert_result(rlk_release_start(event->lock), RLK_PENDING);
}

static void test_loop_thousand_locks(void **state)
{
    static rlk_lock locks[SIDE_LOCKS];
    static char keys[SIDE_LOCKS][16];
    side s;
    server *redis = side_begin(&s, false);
    int i;

    (void)state;
    s.then = release_it;
    for (i = 0; i < SIDE_LOCKS; i++) {
        snprintf(keys[i], sizeof keys[i], "many:%d", i);
        assert_result(rlk_lock_init(&locks[i], &s.client->client, keys[i], NULL), RLK_OK);
        acquire_start(&locks[i], RLK_FOREVER);
    }
    loop_until(s.released == SIDE_LOCKS);
    assert_int_equal(s.acquired, SIDE_LOCKS);
    assert_int_equal(s.events, 2 * SIDE_LOCKS);
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    side_close(&s);
}

/* Three clients want one lock, on one server. */
static void test_loop_several_clients(void **state)
{
    server *redis = loop_server(true);
    side sides[3];
    int i;

    (void)state;
    for (i = 0; i < 3; i++)
        side_open(&sides[i], server_tcp_url(redis), NULL, NULL);
    for (i = 0; i < 3; i++) {
        sides[i].then = release_it;
        acquire_start(sides[i].lock, RLK_FOREVER);
    }
    loop_until(sides[0].released + sides[1].released + sides[2].released == 3);
    for (i = 0; i < 3; i++)
        sides[i].then = NULL;
    assert_true(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes") >= 3);
    side_leave(&sides[1]); /* the others go on */
    acquire(&sides[0]);
    release(&sides[0]);
    side_leave(&sides[0]);
    acquire(&sides[2]);
    side_close(&sides[2]);
}

/* Several nodes: a slot each. */
static void test_loop_quorum(void **state)
{
    static nodes set;
    side s;
    int i;

    (void)state;
    driver->open();
    nodes_start(&set, 3, NULL, NULL);
    memset(&s, 0, sizeof s);
    s.client = &set.posix;
    s.lock = (rlk_lock *)malloc(sizeof *s.lock);
    assert_result(rlk_lock_init(s.lock, &s.client->client, SIDE_KEY, NULL), RLK_OK);
    side_start(&s);
    for (i = 0; i < 3; i++) {
        acquire(&s); /* by two of them; the third answers, too */
        loop_until(nodes_holding(&set, SIDE_KEY, NULL) == 3);
        loop_for(20);
        server_kill(set.servers[i]);
        loop_for(20);
        release(&s);
        server_restart(set.servers[i], false);
        loop_until(nodes_ready(&set));
    }
    adapter_free(&s);
    (void)CALL(rlk_lock_close(s.lock));
    free(s.lock);
    nodes_close(&set);
    driver->close();
}

/* ---- From within the handler ---- */

static void close_lock(side *s, const rlk_event *event)
{
    assert_ptr_equal(event->lock, s->lock);
    (void)rlk_lock_close(s->lock);
    free(s->lock);
    s->lock = NULL;
}

/* The lock of the event is closed and freed; the client goes on. */
static void test_loop_handler_closes_the_lock(void **state)
{
    rlk_lock other;
    side s;
    server *redis = side_begin(&s, false);

    (void)state;
    s.then = close_lock;
    acquire_start(s.lock, 8000);
    loop_until(s.acquired == 1);
    s.then = NULL;
    loop_for(20);
    assert_int_equal(server_integer(redis, "EXISTS key"), 1); /* as rlk_lock_close says */
    assert_result(rlk_lock_init(&other, &s.client->client, "other", NULL), RLK_OK);
    acquire_start(&other, 8000);
    loop_until(s.acquired == 2);
    assert_int_equal(s.events, 2);
    (void)rlk_lock_close(&other);
    side_close(&s);
}

static void close_all(side *s, const rlk_event *event)
{
    (void)event;
    (void)rlk_lock_close(s->lock);
    free(s->lock);
    s->lock = NULL;
    rlk_posix_close(s->client);
    memset(s->client, 0xa5, sizeof *s->client);
    free(s->client);
    s->client = NULL;
}

static void stop_it(side *s, const rlk_event *event)
{
    (void)event;
    driver->stop(s->adapter, side_stopped);
    if (!driver->late) {
        memset(s->adapter, 0xa5, driver->size);
        free(s->adapter);
        s->adapter = NULL;
    }
}

static void close_all_and_stop(side *s, const rlk_event *event)
{
    close_all(s, event);
    stop_it(s, event);
}

static void stop_and_close_all(side *s, const rlk_event *event)
{
    stop_it(s, event);
    close_all(s, event);
}

/* Client and adapter end in the handler, in any order, while more events wait. */
static void test_loop_handler_closes_all(void **state)
{
    static void (*const ways[])(side *, const rlk_event *) = {close_all, close_all_and_stop,
                                                              stop_and_close_all};
    server *redis = loop_server(false);
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(ways)); i++) {
        rlk_lock more[4];
        side s;
        int k;

        server_do(redis, "FLUSHALL");
        side_open(&s, server_url(redis), NULL, NULL);
        loop_until(side_ready(&s));
        acquire_start(s.lock, 8000);
        for (k = 0; k < 4; k++) {
            assert_result(rlk_lock_init(&more[k], &s.client->client, &"abcd"[k], NULL), RLK_OK);
            acquire_start(&more[k], 8000);
        }
        s.then = ways[i];
        loop_until(s.client == NULL);
        loop_for(30);
        assert_int_equal(s.events, 1);
        if (s.adapter != NULL && ways[i] == close_all)
            driver->stop(s.adapter, side_stopped);
        if (driver->late)
            loop_until(s.stopped);
        free(s.adapter);
    }
    driver->close();
}

static void block_in_handler(side *s, const rlk_event *event)
{
    rlk_lock other;

    s->then = NULL;
    if (event->type != RLK_EV_ACQUIRED)
        return;
    assert_result(rlk_lock_init(&other, &s->client->client, "other", NULL), RLK_OK);
    assert_result(rlk_acquire(&other, 5000), RLK_OK);
    assert_result(rlk_release(&other), RLK_OK);
    (void)rlk_lock_close(&other);
    (void)rlk_client_reset(&s->client->client); /* and another descriptor */
    assert_result(rlk_release(s->lock), RLK_OK);
}

/* Blocking calls, in the handler and beside the loop, change descriptors behind its back. */
static void test_loop_beside_blocking_calls(void **state)
{
    side s;
    server *redis = side_begin(&s, true);

    (void)state;
    s.then = block_in_handler;
    acquire_start(s.lock, 8000);
    loop_until(s.acquired == 1);
    assert_false(rlk_is_held(s.lock));
    assert_int_equal(server_integer(redis, "DBSIZE"), 0);
    assert_result(CALL(rlk_acquire(s.lock, 5000)), RLK_OK);
    assert_int_equal(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes"), 1);
    assert_result(CALL(rlk_release(s.lock)), RLK_OK);
    loop_for(20);
    acquire(&s);
    release(&s);
    side_close(&s);
}

static void acquire_again(side *s, const rlk_event *event)
{
    if (event->type == RLK_EV_ACQUIRED)
        assert_result(rlk_release_start(s->lock), RLK_PENDING);
    else if (s->acquired < 200)
        assert_result(rlk_acquire_start(s->lock, 8000), RLK_PENDING);
}

/* The handler begins the next operation: the loop needs nothing else to go on. */
static void test_loop_handler_goes_on(void **state)
{
    side s;

    (void)state;
    (void)side_begin(&s, false);
    s.then = acquire_again;
    acquire_start(s.lock, 8000);
    loop_until(s.released == 200);
    assert_int_equal(s.events, 400);
    side_close(&s);
}

static side *others[2];
static int on_others;

/* Ends the other two: their events wait, or have been reported by the loop already. */
static void close_others(side *s, const rlk_event *event)
{
    size_t i;

    (void)s;
    (void)event;
    on_others++;
    for (i = 0; i < COUNT_OF(others); i++) {
        others[i]->then = NULL;
        if (i == 0)
            close_all(others[i], event);
        stop_it(others[i], event);
        if (i == 1)
            close_all(others[i], event);
    }
}

/* Clients of one loop, all with events: the handler of one ends the others. */
static void test_loop_handler_closes_other_clients(void **state)
{
    server *redis = loop_server(true);
    side sides[3];
    int first;
    int i;

    (void)state;
    for (first = 0; first < 3; first++) {
        static const char *const keys[] = {"a", "b", "c"};

        on_others = 0;
        for (i = 0; i < 3; i++) {
            side_open(&sides[i], server_tcp_url(redis), NULL, NULL);
            (void)rlk_lock_close(sides[i].lock);
            assert_result(rlk_lock_init(sides[i].lock, &sides[i].client->client, keys[i], NULL),
                          RLK_OK);
            loop_until(side_ready(&sides[i]));
        }
        others[0] = &sides[(first + 1) % 3];
        others[1] = &sides[(first + 2) % 3];
        sides[first].then = close_others;
        for (i = 0; i < 3; i++)
            acquire_start(sides[i].lock, 8000);
        loop_until(on_others == 1);
        sides[first].then = NULL;
        loop_for(20);
        for (i = 0; i < 2; i++) {
            assert_true(others[i]->events <= 1);
            if (driver->late)
                loop_until(others[i]->stopped);
            free(others[i]->adapter);
        }
        release(&sides[first]);
        side_leave(&sides[first]);
        server_do(redis, "FLUSHALL");
    }
    driver->close();
}

/* ---- Stop and start ---- */

static bool again_stopped;

static void stopped_starts_again(void *app)
{
    side *s = (side *)app;

    again_stopped = true;
    assert_int_equal(driver->start(s->adapter, s->client, side_event, s), 0);
}

static void start_again(side *s, const rlk_event *event)
{
    if (event->type != RLK_EV_ACQUIRED)
        return;
    assert_result(rlk_release_start(event->lock), RLK_PENDING);
    driver->stop(s->adapter, stopped_starts_again);
    if (!driver->late)
        stopped_starts_again(s);
}

/* In the handler, or as early as libuv permits: the same memory. */
static void test_loop_handler_starts_again(void **state)
{
    side s;
    int i;

    (void)state;
    (void)side_begin(&s, true);
    s.then = start_again;
    for (i = 0; i < 5; i++) {
        again_stopped = false;
        acquire_start(s.lock, 8000);
        loop_until(s.released == i + 1);
        assert_true(again_stopped);
    }
    assert_int_equal(s.events, 10);
    side_close(&s);
}

/* Of one that runs: an error, and it goes on. */
static void test_loop_started_twice(void **state)
{
    side s;

    (void)state;
    (void)side_begin(&s, true);
    assert_int_equal(driver->start(s.adapter, s.client, side_event, &s), -EALREADY);
    acquire(&s);
    assert_int_equal(driver->start(s.adapter, s.client, side_event, &s), -EALREADY);
    release(&s);
    side_close(&s);
}

static void test_loop_stopped_and_started(void **state)
{
    side s;
    server *redis = side_begin(&s, true);
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        void *again;

        acquire(&s);
        again = malloc(driver->size);
        assert_int_equal(driver->start(again, s.client, side_event, &s), -EBUSY);
        free(again);
        adapter_free(&s);
        assert_result(CALL(rlk_release(s.lock)), RLK_OK); /* without a loop */
        loop_for(10);
        if (i == 1)
            server_restart(redis, false);
        side_start(&s);
        acquire(&s);
        release(&s);
        assert_int_equal(s.events, 3 * i + 3);
    }
    side_close(&s);
}

static void then_removed(side *s, const rlk_event *event)
{
    (void)event;
    s->then = NULL;
    assert_result(rlk_posix_set_loop(s->client, NULL), RLK_OK);
}

/* Nothing of the client is in the loop any more: whatever comes, the loop sleeps. */
static void assert_loop_left(side *s, server *redis)
{
    int events = s->events;

    assert_result(CALL(rlk_release_start(s->lock)), RLK_PENDING);
    assert_int_equal(server_integer(redis, "DEL key"), 1);
    assert_between(loop_for(300), 1, LOOP_IDLE_TURNS);
    assert_int_equal(s->events, events);
}

/* rlk_posix_set_loop by hand, outside of a turn and in a handler: the adapter has stopped. What
 * the client does next, and what closes, is nothing to it. */
static void test_loop_client_removed_by_hand(void **state)
{
    server *redis = loop_server(true);
    int in_handler;

    (void)state;
    for (in_handler = 0; in_handler < 2; in_handler++) {
        void *left;
        side s;

        side_open(&s, server_tcp_url(redis), NULL, NULL);
        if (in_handler != 0) {
            s.then = then_removed;
            acquire(&s);
        } else {
            acquire(&s);
            assert_result(CALL(rlk_posix_set_loop(s.client, NULL)), RLK_OK);
        }
        assert_loop_left(&s, redis);
        driver->update(s.adapter); /* harmless */
        left = s.adapter;
        side_start(&s); /* another one */
        loop_until(s.events == 2);
        acquire(&s);
        release(&s);
        side_leave(&s);
        s.adapter = left;
        assert_between(loop_for(100), 1, LOOP_IDLE_TURNS);
        adapter_free(&s);
    }
    driver->close();
}

/* By rlk_client_close: what is left of it goes when the adapter stops. */
static void test_loop_client_closed_alone(void **state)
{
    int fd;
    side s;
    server *redis = side_begin(&s, true);

    (void)state;
    acquire(&s);
    fd = rlk_socket_fd(&s.client->node.socket);
    rlk_client_close(&s.client->client);
    side_leave(&s);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    server_kill(redis);
    loop_for(50);
    assert_int_equal(s.events, 1);
    driver->close();
}

static void test_loop_refuses(void **state)
{
    void *adapter = malloc(driver->size);
    rlk_posix_client client;
    server *redis = loop_server(false);

    (void)state;
    assert_result(rlk_posix_open(&client, server_url(redis), NULL), RLK_OK);
    assert_int_equal(driver->start(adapter, NULL, side_event, NULL), -EINVAL);
    assert_int_equal(driver->start(adapter, &client, NULL, NULL), -EINVAL);
    rlk_posix_close(&client);
    assert_int_equal(driver->start(adapter, &client, side_event, NULL), -EINVAL);
    free(adapter); /* the loop has nothing of it */
    loop_for(10);
    driver->close();
}

/* Without a descriptor for the adapter it does not start, or without one for the connection it
 * goes on as soon as there is one. */
static void test_loop_without_descriptors(void **state)
{
    struct rlimit limit;
    rlim_t before;
    side s;
    int error;
    int fd;

    (void)state;
    (void)side_begin(&s, true);
    adapter_free(&s);
    assert_result(rlk_client_reset(&s.client->client), RLK_OK); /* it has none any more */
    assert_result(rlk_posix_service(s.client, NULL, 0), RLK_OK);
    fd = dup(0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)fd;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    s.adapter = malloc(driver->size);
    assert_non_null(s.adapter);
    error = driver->start(s.adapter, s.client, side_event, &s);
    if (error == 0) {
        acquire_start(s.lock, RLK_FOREVER);
        assert_between(loop_for(400), 1, LOOP_IDLE_TURNS);
    }
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (error != 0) {
        assert_int_equal(error, -EMFILE);
        loop_for(10); /* the loop has nothing of it */
        free(s.adapter);
        side_start(&s);
        acquire_start(s.lock, RLK_FOREVER);
    }
    loop_until(s.acquired == 1);
    release(&s);
    side_close(&s);
}

/* ---- Fork ---- */

static void child_closes(side *s)
{
    rlk_posix_close(s->client);
}

static void child_stops(side *s) /* which closes the client too */
{
    driver->stop(s->adapter, side_stopped);
}

static void child_closes_and_stops(side *s)
{
    child_closes(s);
    child_stops(s);
}

static void child_closes_alone_and_stops(side *s)
{
    rlk_client_close(&s->client->client);
    child_stops(s);
}

static void child_updates(side *s)
{
    driver->update(s->adapter);
}

/* A child ends what it has inherited, or not, and nothing of the parent's loop changes. */
static void test_loop_forked_child_leaves_the_parent_alone(void **state)
{
    static void (*const ways[])(side *) = {child_closes, child_stops, child_closes_and_stops,
                                           child_closes_alone_and_stops, child_updates};
    side s;
    size_t i;

    (void)state;
    (void)side_begin(&s, true);
    acquire(&s);
    for (i = 0; support_row(i, COUNT_OF(ways)); i++) {
        pid_t pid;

        loop_for(20);
        pid = child_fork();
        if (pid == 0) {
            ways[i](&s);
            _exit(0);
        }
        assert_int_equal(child_exit_code(pid), 0);
        assert_between(loop_for(200), 1, LOOP_IDLE_TURNS);
        release(&s);
        acquire(&s);
    }
    assert_int_equal(s.lost, 0);
    side_close(&s);
}

/* A child has copies of the descriptors, and lives on. The parent's next connections are polled,
 * and its last ones are not, though they are open. */
static void test_loop_forked_child_keeps_copies(void **state)
{
    int wait[2];
    pid_t pid;
    side s;
    server *redis = side_begin(&s, true);

    (void)state;
    acquire(&s);
    assert_int_equal(pipe(wait), 0);
    pid = child_fork();
    if (pid == 0) {
        char byte;

        close(wait[1]);
        _exit(read(wait[0], &byte, 1) > 0 ? 1 : 0); /* 0: its other end is closed */
    }
    close(wait[0]);
    assert_int_equal(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes"), 1);
    loop_for(50);
    release(&s);
    acquire(&s);
    assert_between(loop_for(600), 1, LOOP_IDLE_TURNS);
    close(wait[1]);
    assert_int_equal(child_exit_code(pid), 0);
    release(&s);
    side_close(&s);
}

static int loops_main(const loop_driver *loop)
{
    const struct CMUnitTest tests[] = {
        support_test(test_loop_calls_from_anywhere),
        support_test(test_loop_sleeps),
        support_test(test_loop_lock_deleted),
        support_test(test_loop_server_restarted),
        support_test(test_loop_connections_killed),
        support_test(test_loop_server_suspended),
        support_test(test_loop_dead_port),
        support_test(test_loop_sleeps_in_trouble),
#ifdef __linux__
        support_test(test_loop_descriptor_refused),
#endif
        support_test(test_loop_name_moved),
        support_test(test_loop_name_answered_late),
        support_test(test_loop_thousand_locks),
        support_test(test_loop_several_clients),
        support_test(test_loop_quorum),
        support_test(test_loop_handler_closes_the_lock),
        support_test(test_loop_handler_closes_all),
        support_test(test_loop_beside_blocking_calls),
        support_test(test_loop_handler_goes_on),
        support_test(test_loop_handler_closes_other_clients),
        support_test(test_loop_handler_starts_again),
        support_test(test_loop_started_twice),
        support_test(test_loop_stopped_and_started),
        support_test(test_loop_client_removed_by_hand),
        support_test(test_loop_client_closed_alone),
        support_test(test_loop_refuses),
        support_test(test_loop_without_descriptors),
        support_test(test_loop_forked_child_leaves_the_parent_alone),
        support_test(test_loop_forked_child_keeps_copies),
    };

    driver = loop;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
