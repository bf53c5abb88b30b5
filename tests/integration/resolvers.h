/* SPDX-License-Identifier: MIT
 *
 * resolvers.h: each resolver, in a loop, over names that the test decides on (zone.h). Include it
 * in one file of a program.
 */
#ifndef TEST_RESOLVERS_H
#define TEST_RESOLVERS_H

#include "nodes.h"
#include "zone.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define RESOLVERS static __attribute__((unused))

#define NAME "lock.example"
#define HUNG "hung.example"

/* What the library, its thread and libuv call. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    (void)service;
    return zone_getaddrinfo(host, hints, list);
}

void freeaddrinfo(struct addrinfo *list)
{
    zone_freeaddrinfo(list);
}

/* ---- The resolvers ---- */

static rlk_resolver_thread by_thread;
static rlk_cares by_cares;
static rlk_uv_resolver by_uv;
static uv_loop_t uv;

RESOLVERS rlk_resolver *thread_open(void)
{
    rlk_resolver_thread_init(&by_thread);
    return &by_thread.resolver;
}

RESOLVERS void thread_end(void)
{
    rlk_resolver_thread_close(&by_thread);
    rlk_resolver_thread_close(&by_thread); /* harmless */
}

RESOLVERS int cares_server(void *context, ares_channel channel)
{
    (void)context;
    return ares_set_servers_ports_csv(channel, zone_server());
}

RESOLVERS rlk_resolver *cares_start(void)
{
    static const struct ares_options options = {.timeout = 10000, .tries = 1};
    rlk_cares_config config = {&options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES, cares_server, NULL};

    rlk_cares_init(&by_cares, &config);
    return &by_cares.resolver;
}

RESOLVERS void cares_end(void)
{
    rlk_cares_close(&by_cares);
}

RESOLVERS rlk_resolver *libuv_start(void)
{
    assert_int_equal(uv_loop_init(&uv), 0);
    rlk_uv_resolver_init(&by_uv, &uv);
    return &by_uv.resolver;
}

/* Lookups that were abandoned end with the loop. */
RESOLVERS void libuv_end(void)
{
    zone_release();
    (void)uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
}

typedef struct resolver_kind {
    const char *name;
    rlk_resolver *(*start)(void);
    void (*end)(void);
    const char *no_such_name; /* a part of its words */
    const char *server_fails;
    bool hangs_in_a_thread; /* a name without an answer is a getaddrinfo that hangs */
    bool in_blocking_calls;
} resolver_kind;

static const resolver_kind kinds[] = {
    {"thread", thread_open, thread_end, "Name or service not known",
     "Temporary failure in name resolution", true, true},
    {"c-ares", cares_start, cares_end, "Domain name not found", "server", false, true},
    {"libuv", libuv_start, libuv_end, "unknown node or service", "temporary failure", true, false},
};

static const resolver_kind *kind;
static rlk_resolver *resolver;

/* The kind of this row, with the name at `address`. */
RESOLVERS bool resolver_row(size_t row)
{
    if (!support_row(row, COUNT_OF(kinds)))
        return false;
    kind = &kinds[row];
    support_row_name("%s", kind->name);
    return true;
}

RESOLVERS void resolver_open(void)
{
    resolver = kind->start();
}

/* ---- Clients ---- */

typedef struct user {
    rlk_posix_client posix;
    rlk_lock lock;
    char url[64];
    char key[16];
} user;

/* A client of a name, with a lock. */
RESOLVERS void user_open(user *u, const char *name, int port, const rlk_posix_options *wanted)
{
    rlk_posix_options options;
    rlk_lock_config config;

    memset(&options, 0, sizeof options);
    if (wanted != NULL)
        options = *wanted;
    options.resolver = resolver;
    memset(&config, 0, sizeof config);
    config.ttl_ms = scaled(1000);
    config.auto_renew = true;
    (void)snprintf(u->url, sizeof u->url, "redis://%s:%d", name, port);
    assert_result(rlk_posix_open(&u->posix, u->url, &options), RLK_OK);
    if (u->key[0] == '\0')
        (void)snprintf(u->key, sizeof u->key, "foobar");
    assert_result(rlk_lock_init(&u->lock, &u->posix.client, u->key, &config), RLK_OK);
}

RESOLVERS void user_close(user *u)
{
    rlk_lock_close(&u->lock);
    rlk_posix_close(&u->posix);
}

/* ---- The loop ---- */

static int64_t slowest_ms; /* longest time of the library in one turn */

RESOLVERS int64_t user_time(int64_t since_ms)
{
    int64_t took_ms = support_now_ms() - since_ms;

    if (took_ms > slowest_ms)
        slowest_ms = took_ms;
    return took_ms;
}

/* One turn for all, which waits at most 10 ms: one more loop is turned beside. */
RESOLVERS void users_turn(user *const *users, size_t n)
{
    struct pollfd *fds = (struct pollfd *)calloc(n * RLK_MAX_FDS, sizeof *fds);
    nfds_t *used = (nfds_t *)calloc(n, sizeof *used);
    nfds_t all = 0;
    nfds_t at = 0;
    int wait_ms = 10;
    int64_t begun = support_now_ms();
    size_t i;

    assert_true(fds != NULL && used != NULL);
    for (i = 0; i < n; i++) {
        int timeout_ms;

        used[i] = rlk_posix_prepare(&users[i]->posix, fds + all, RLK_MAX_FDS, &timeout_ms);
        all += used[i];
        if (timeout_ms >= 0 && timeout_ms < wait_ms)
            wait_ms = timeout_ms;
    }
    (void)user_time(begun);
    (void)poll(fds, all, kind->in_blocking_calls || wait_ms == 0 ? wait_ms : 1);
    begun = support_now_ms();
    for (i = 0; i < n; i++) {
        (void)rlk_posix_service(&users[i]->posix, fds + at, used[i]);
        at += used[i];
    }
    if (!kind->in_blocking_calls)
        (void)uv_run(&uv, UV_RUN_NOWAIT);
    (void)user_time(begun);
    free(fds);
    free(used);
}

RESOLVERS void user_turn(user *u)
{
    users_turn(&u, 1);
}

/* The next event of a lock, of which the reports of renewals and waits are no part. */
RESOLVERS rlk_event user_event(user *u)
{
    int64_t end = support_now_ms() + scaled(10000);
    rlk_event event;

    do {
        while (!rlk_client_next_event(&u->posix.client, &event)) {
            if (support_now_ms() > end)
                support_fail("no event came: %s", rlk_client_error(&u->posix.client));
            user_turn(u);
        }
    } while (event.type == RLK_EV_WAITING || event.type == RLK_EV_RENEWED);
    return event;
}

/* Acquires in the loop. */
RESOLVERS rlk_result user_acquire(user *u, int64_t wait_ms)
{
    assert_result(rlk_acquire_start(&u->lock, wait_ms), RLK_PENDING);
    return user_event(u).result;
}

RESOLVERS bool user_waits(user *u, const char *text)
{
    user_turn(u);
    return strstr(rlk_client_error(&u->posix.client), text) != NULL;
}

#endif
