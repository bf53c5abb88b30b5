/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "proxy.h"
#include "proxy_link.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct proxy {
    proxy *next; /* of all that live */
    pthread_t thread;
    pthread_mutex_t mutex; /* all below */
    pthread_cond_t stepped;
    int wake[2];
    unsigned long asked; /* calls so far, and */
    unsigned long done;  /* how many of them the thread has acted on */
    bool stop;
    char *folder; /* NULL: TCP */
    char url[128];
    stream_address here;
    stream_address there;
    int reserved; /* TCP: bound, never listening */
    int listener; /* -1: refusing */
    bool mute;
    bool cut_next;
    proxy_ending cut_ending;
    int accepted;
    proxy_state state;
};

static proxy *proxy_all;

/* ---- The thread ---- */

static void proxy_listen(proxy *middle)
{
    middle->listener = stream_bind(&middle->here, middle->folder == NULL, NULL);
    listen(middle->listener, 128);
}

static void proxy_accept(proxy *middle)
{
    for (;;) {
        int one = 1;
        int server;
        proxy_link *link;
        int client = accept4(middle->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (client < 0)
            return;
        middle->accepted++;
        if (middle->folder == NULL)
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        server = stream_connect(&middle->there);
        if (server < 0 && !middle->mute) {
            stream_close_rst(client);
            continue;
        }
        link = proxy_link_new(&middle->state, client, server);
        link->half_open = server < 0;
        if (middle->mute)
            link->lanes[0].held = link->lanes[1].held = true;
        if (middle->cut_next) {
            middle->cut_next = false;
            proxy_link_cut(link, middle->cut_ending);
        }
    }
}

static size_t proxy_poll_set(proxy *middle, struct pollfd **fds)
{
    size_t n = 2;
    proxy_link *link;

    for (link = middle->state.links; link != NULL; link = link->next)
        n += 2;
    *fds = (struct pollfd *)realloc(*fds, n * sizeof **fds);
    if (*fds == NULL)
        abort();
    (*fds)[0] = (struct pollfd){middle->wake[0], POLLIN, 0};
    (*fds)[1] = (struct pollfd){middle->listener, POLLIN, 0};
    n = 2;
    for (link = middle->state.links; link != NULL; link = link->next) {
        const proxy_lane *up = &link->lanes[PROXY_TO_SERVER];
        const proxy_lane *down = &link->lanes[PROXY_TO_CLIENT];
        short client = up->ended ? 0 : POLLIN;
        short server = down->ended ? 0 : POLLIN;

        if (down->out.len > down->out_start && !down->held &&
            middle->state.dribble_us[PROXY_TO_CLIENT] == 0)
            client |= POLLOUT;
        if (up->out.len > up->out_start && !up->held &&
            middle->state.dribble_us[PROXY_TO_SERVER] == 0)
            server |= POLLOUT;
        /* An ended socket without interest would wake poll by POLLHUP again and again. */
        (*fds)[n++] = (struct pollfd){client != 0 ? link->client : -1, client, 0};
        (*fds)[n++] = (struct pollfd){server != 0 ? link->server : -1, server, 0};
    }
    return n;
}

static int64_t proxy_step(proxy *middle)
{
    int64_t next_us = INT64_MAX;
    proxy_link *link;

    for (link = middle->state.links; link != NULL; link = link->next) {
        proxy_link_read(&middle->state, link, true, true);
        proxy_link_step(&middle->state, link, &next_us);
    }
    proxy_links_sweep(&middle->state, false);
    return next_us;
}

static void *proxy_run(void *argument)
{
    proxy *middle = (proxy *)argument;
    struct pollfd *fds = NULL;

    pthread_mutex_lock(&middle->mutex);
    while (!middle->stop) {
        unsigned long asked = middle->asked;
        struct timespec wait = {0, 0};
        int64_t next_us;
        char drain[64];
        size_t n;

        while (read(middle->wake[0], drain, sizeof drain) > 0)
            ;
        if (middle->listener >= 0)
            proxy_accept(middle);
        next_us = proxy_step(middle);
        middle->done = asked;
        pthread_cond_broadcast(&middle->stepped);
        n = proxy_poll_set(middle, &fds);
        pthread_mutex_unlock(&middle->mutex);
        if (next_us != INT64_MAX) {
            int64_t left_us = next_us - proxy_now_us();

            if (left_us > 0) {
                wait.tv_sec = (time_t)(left_us / 1000000);
                wait.tv_nsec = (long)(left_us % 1000000) * 1000;
            }
        }
        ppoll(fds, (nfds_t)n, next_us != INT64_MAX ? &wait : NULL, NULL);
        pthread_mutex_lock(&middle->mutex);
    }
    proxy_links_sweep(&middle->state, true);
    pthread_mutex_unlock(&middle->mutex);
    free(fds);
    return NULL;
}

/* ---- Calls: lock, change, then wait until the thread has acted on it ---- */

/* Who connected before the call is a link when it acts. */
static void proxy_enter(proxy *middle)
{
    pthread_mutex_lock(&middle->mutex);
    if (middle->listener >= 0)
        proxy_accept(middle);
}

static void proxy_leave(proxy *middle)
{
    unsigned long mine = ++middle->asked;

    if (write(middle->wake[1], "", 1) < 0 && errno != EAGAIN)
        abort();
    while (middle->done < mine && !middle->stop)
        pthread_cond_wait(&middle->stepped, &middle->mutex);
    pthread_mutex_unlock(&middle->mutex);
}

static void proxy_free_all(void)
{
    while (proxy_all != NULL)
        proxy_free(proxy_all);
}

proxy *proxy_start(const char *server_url, bool tcp)
{
    proxy *middle = (proxy *)calloc(1, sizeof *middle);
    sigset_t all, old;

    if (middle == NULL)
        abort();
    support_at_teardown(proxy_free_all);
    stream_parse(&middle->there, server_url);
    middle->reserved = -1;
    if (tcp) {
        middle->reserved = stream_bind(&middle->here, true, NULL);
        snprintf(middle->url, sizeof middle->url, "redis://127.0.0.1:%d",
                 stream_port(&middle->here));
    } else {
        middle->folder = support_folder_new();
        snprintf(middle->url, sizeof middle->url, "unix://%s/proxy.sock", middle->folder);
        stream_parse(&middle->here, middle->url);
    }
    proxy_listen(middle);
    if (pipe2(middle->wake, O_CLOEXEC | O_NONBLOCK) != 0)
        support_fail("pipe: %s", strerror(errno));
    pthread_mutex_init(&middle->mutex, NULL);
    pthread_cond_init(&middle->stepped, NULL);
    /* The test's signals are the test's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&middle->thread, NULL, proxy_run, middle) != 0)
        support_fail("pthread_create: %s", strerror(errno));
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    middle->next = proxy_all;
    proxy_all = middle;
    return middle;
}

static void proxy_forget(proxy_state *state)
{
    while (state->rules != NULL) {
        proxy_rule *rule = state->rules;

        state->rules = rule->next;
        proxy_rule_free(rule);
    }
    memset(state->cuts, 0, sizeof state->cuts);
    memset(state->dribble_us, 0, sizeof state->dribble_us);
    memset(state->delay_ms, 0, sizeof state->delay_ms);
    state->drop_pushes = false;
}

void proxy_free(proxy *middle)
{
    proxy **next = &proxy_all;
    size_t i;

    while (*next != NULL && *next != middle)
        next = &(*next)->next;
    if (*next != NULL)
        *next = middle->next;
    proxy_enter(middle);
    middle->stop = true;
    proxy_leave(middle);
    pthread_join(middle->thread, NULL);
    proxy_forget(&middle->state);
    for (i = 0; i < middle->state.log_len; i++)
        free(middle->state.log[i]);
    free(middle->state.log);
    if (middle->listener >= 0)
        close(middle->listener);
    if (middle->reserved >= 0)
        close(middle->reserved);
    close(middle->wake[0]);
    close(middle->wake[1]);
    if (middle->folder != NULL)
        support_folder_remove(middle->folder);
    free(middle->folder);
    pthread_cond_destroy(&middle->stepped);
    pthread_mutex_destroy(&middle->mutex);
    free(middle);
}

const char *proxy_url(const proxy *middle)
{
    return middle->url;
}

/* ---- Rules ---- */

void proxy_on_bytes(proxy *middle, const char *words, int nth, proxy_action action,
                    proxy_ending ending, const void *bytes, size_t len)
{
    proxy_rule *rule = (proxy_rule *)calloc(1, sizeof *rule);
    proxy_rule **end;

    if (rule == NULL)
        abort();
    rule->words = strdup(words);
    rule->left = nth;
    rule->action = action;
    rule->ending = ending;
    rule->len = len;
    rule->bytes = (char *)malloc(len + 1);
    if (rule->bytes == NULL)
        abort();
    if (len > 0)
        memcpy(rule->bytes, bytes, len);
    proxy_enter(middle);
    for (end = &middle->state.rules; *end != NULL; end = &(*end)->next)
        ;
    *end = rule;
    proxy_leave(middle);
}

void proxy_on(proxy *middle, const char *words, int nth, proxy_action action, const char *bytes)
{
    proxy_on_bytes(middle, words, nth, action, PROXY_FIN, bytes, bytes != NULL ? strlen(bytes) : 0);
}

void proxy_clear(proxy *middle)
{
    proxy_enter(middle);
    proxy_forget(&middle->state);
    middle->mute = false;
    middle->cut_next = false;
    if (middle->listener < 0)
        proxy_listen(middle);
    proxy_leave(middle);
}

void proxy_cut_after(proxy *middle, proxy_direction direction, size_t n, proxy_ending ending,
                     bool pass)
{
    proxy_link *link;

    proxy_enter(middle);
    if (n == 0) {
        middle->cut_next = true;
        middle->cut_ending = ending;
        for (link = middle->state.links; link != NULL; link = link->next) {
            if (link->client >= 0 && !link->lanes[PROXY_TO_SERVER].ended)
                middle->cut_next = false;
            proxy_link_cut(link, ending);
        }
    } else {
        proxy_cut_rule *cut = &middle->state.cuts[direction];

        cut->armed = true;
        cut->pass = pass;
        cut->hold = false;
        cut->left = n;
        cut->ending = ending;
    }
    proxy_leave(middle);
}

void proxy_cut(proxy *middle, proxy_ending ending)
{
    proxy_link *link;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next)
        proxy_link_cut(link, ending);
    proxy_leave(middle);
}

void proxy_hold(proxy *middle, proxy_direction direction)
{
    proxy_link *link;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next)
        link->lanes[direction].held = true;
    proxy_leave(middle);
}

void proxy_hold_after(proxy *middle, proxy_direction direction, size_t n)
{
    proxy_cut_rule *cut = &middle->state.cuts[direction];

    if (n == 0) {
        proxy_hold(middle, direction);
        return;
    }
    proxy_enter(middle);
    cut->armed = true;
    cut->pass = true;
    cut->hold = true;
    cut->left = n;
    proxy_leave(middle);
}

void proxy_cut_client(proxy *middle, proxy_ending ending)
{
    proxy_link *link;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next)
        proxy_link_cut_client(link, ending);
    proxy_leave(middle);
}

void proxy_release(proxy *middle)
{
    proxy_link *link;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next)
        link->lanes[0].held = link->lanes[1].held = false;
    proxy_leave(middle);
}

void proxy_half_open(proxy *middle)
{
    proxy_link *link;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next) {
        link->half_open = true;
        if (link->server >= 0)
            close(link->server);
        link->server = -1;
    }
    proxy_leave(middle);
}

void proxy_inject(proxy *middle, const void *bytes, size_t len)
{
    proxy_link *link;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next)
        proxy_link_inject(link, bytes, len);
    proxy_leave(middle);
}

/* ---- Lasting behaviour ---- */

void proxy_dribble(proxy *middle, proxy_direction direction, int interval_us)
{
    proxy_enter(middle);
    middle->state.dribble_us[direction] = interval_us;
    proxy_leave(middle);
}

void proxy_delay(proxy *middle, proxy_direction direction, int ms)
{
    proxy_enter(middle);
    middle->state.delay_ms[direction] = ms;
    proxy_leave(middle);
}

void proxy_drop_pushes(proxy *middle, bool drop)
{
    proxy_enter(middle);
    middle->state.drop_pushes = drop;
    proxy_leave(middle);
}

void proxy_refuse(proxy *middle, bool refuse)
{
    proxy_enter(middle);
    if (refuse && middle->listener >= 0) {
        close(middle->listener);
        middle->listener = -1;
    } else if (!refuse && middle->listener < 0) {
        proxy_listen(middle);
    }
    proxy_leave(middle);
}

void proxy_mute(proxy *middle, bool mute)
{
    proxy_enter(middle);
    middle->mute = mute;
    proxy_leave(middle);
}

void proxy_redirect(proxy *middle, const char *server_url)
{
    stream_address there;

    stream_parse(&there, server_url);
    proxy_enter(middle);
    middle->there = there;
    proxy_leave(middle);
}

/* ---- Counts ---- */

int proxy_count(proxy *middle, const char *words)
{
    int count = 0;
    size_t i;

    proxy_enter(middle);
    for (i = 0; i < middle->state.log_len; i++)
        count += stream_matches(middle->state.log[i], words);
    proxy_leave(middle);
    return count;
}

int proxy_accepted(proxy *middle)
{
    int count;

    proxy_enter(middle);
    count = middle->accepted;
    proxy_leave(middle);
    return count;
}

int proxy_links(proxy *middle)
{
    proxy_link *link;
    int count = 0;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next)
        count += link->client >= 0 && !link->lanes[PROXY_TO_SERVER].ended;
    proxy_leave(middle);
    return count;
}

size_t proxy_bytes(proxy *middle, proxy_direction direction)
{
    size_t count;

    proxy_enter(middle);
    count = middle->state.passed[direction];
    proxy_leave(middle);
    return count;
}

size_t proxy_held(proxy *middle, proxy_direction direction)
{
    proxy_link *link;
    size_t count = 0;

    proxy_enter(middle);
    for (link = middle->state.links; link != NULL; link = link->next)
        count += proxy_lane_waiting(&link->lanes[direction]);
    proxy_leave(middle);
    return count;
}
