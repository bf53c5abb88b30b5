/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hostile.h"
#include "stream.h"
#include "stream_socket.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTILE_PEERS 64
#define HOSTILE_STEPS 32
#define HOSTILE_FILL  16

typedef struct hostile_peer {
    int fd; /* -1: free */
    bool silent;
    bool used[HOSTILE_STEPS];
    stream_tracker tracker;
} hostile_peer;

struct hostile {
    hostile *next; /* of all that live */
    pthread_t thread;
    pthread_mutex_t mutex;
    bool running;
    const hostile_step *steps;
    size_t count;
    hostile_step greeting;
    char *folder;
    char url[128];
    stream_address here;
    int listener;
    int wake[2];
    int fill[HOSTILE_FILL]; /* black hole: connections that fill the backlog */
    size_t fill_len;
    hostile_peer peers[HOSTILE_PEERS];
    int accepted;
    char **log;
    size_t log_len;
};

static hostile *hostile_all;

static void hostile_act(hostile_peer *peer, const char *answer, hostile_then then)
{
    size_t len = strlen(answer);

    if (len > 0 && send(peer->fd, answer, len, MSG_NOSIGNAL) < 0)
        then = HOSTILE_CLOSE;
    switch (then) {
    case HOSTILE_CLOSE: {
        char drain[4096];

        /* Bytes that nobody read would make the FIN an RST. */
        while (recv(peer->fd, drain, sizeof drain, MSG_DONTWAIT) > 0)
            ;
        close(peer->fd);
        peer->fd = -1;
        break;
    }
    case HOSTILE_RESET:
        stream_close_rst(peer->fd);
        peer->fd = -1;
        break;
    case HOSTILE_SILENT:
        peer->silent = true;
        break;
    case HOSTILE_STAY:
    case HOSTILE_REPEAT:
        break;
    }
}

static void hostile_command(hostile *server, hostile_peer *peer, const char *words)
{
    size_t i;

    server->log = (char **)realloc(server->log, (server->log_len + 1) * sizeof *server->log);
    if (server->log == NULL)
        abort();
    server->log[server->log_len++] = strdup(words);
    if (peer->silent)
        return;
    for (i = 0; i < server->count; i++) {
        const hostile_step *step = &server->steps[i];

        if (peer->used[i] || step->words == NULL ||
            (step->words[0] != '\0' && !stream_matches(words, step->words)))
            continue;
        peer->used[i] = step->then != HOSTILE_REPEAT;
        hostile_act(peer, step->answer, step->then);
        return;
    }
    hostile_act(peer, "+OK\r\n", HOSTILE_STAY);
}

static void hostile_read(hostile *server, hostile_peer *peer)
{
    char data[4096];
    ssize_t n = recv(peer->fd, data, sizeof data, MSG_DONTWAIT);
    ssize_t i;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close(peer->fd);
        peer->fd = -1;
        return;
    }
    if (server->count > 0 && server->steps[0].words == NULL && !peer->used[0] && !peer->silent) {
        peer->used[0] = true;
        hostile_act(peer, server->steps[0].answer, server->steps[0].then);
    }
    for (i = 0; i < n && peer->fd >= 0; i++) {
        if (stream_feed(&peer->tracker, data[i]) == STREAM_VALUE)
            hostile_command(server, peer, peer->tracker.words);
    }
}

static void hostile_accept(hostile *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    size_t i;

    if (fd < 0)
        return;
    server->accepted++;
    for (i = 0; i < HOSTILE_PEERS; i++) {
        hostile_peer *peer = &server->peers[i];

        if (peer->fd >= 0)
            continue;
        memset(peer, 0, sizeof *peer);
        peer->fd = fd;
        if (server->greeting.answer != NULL)
            hostile_act(peer, server->greeting.answer, server->greeting.then);
        return;
    }
    close(fd);
}

static void *hostile_run(void *argument)
{
    hostile *server = (hostile *)argument;
    struct pollfd fds[HOSTILE_PEERS + 2];
    size_t i;

    for (;;) {
        pthread_mutex_lock(&server->mutex);
        fds[0] = (struct pollfd){server->wake[0], POLLIN, 0};
        fds[1] = (struct pollfd){server->listener, POLLIN, 0};
        for (i = 0; i < HOSTILE_PEERS; i++)
            fds[2 + i] = (struct pollfd){server->peers[i].fd, POLLIN, 0};
        pthread_mutex_unlock(&server->mutex);
        poll(fds, HOSTILE_PEERS + 2, -1);
        if (fds[0].revents != 0)
            return NULL;
        pthread_mutex_lock(&server->mutex);
        for (i = 0; i < HOSTILE_PEERS; i++) {
            if (fds[2 + i].revents != 0)
                hostile_read(server, &server->peers[i]);
        }
        if (fds[1].revents != 0)
            hostile_accept(server);
        pthread_mutex_unlock(&server->mutex);
    }
}

static void hostile_free_all(void)
{
    while (hostile_all != NULL)
        hostile_free(hostile_all);
}

static hostile *hostile_new(bool tcp)
{
    hostile *server = (hostile *)calloc(1, sizeof *server);
    size_t i;

    if (server == NULL)
        abort();
    support_at_teardown(hostile_free_all);
    for (i = 0; i < HOSTILE_PEERS; i++)
        server->peers[i].fd = -1;
    if (tcp) {
        server->listener = stream_bind(&server->here, true, NULL);
        snprintf(server->url, sizeof server->url, "redis://127.0.0.1:%d",
                 stream_port(&server->here));
    } else {
        server->folder = support_folder_new();
        snprintf(server->url, sizeof server->url, "unix://%s/hostile.sock", server->folder);
        stream_parse(&server->here, server->url);
        server->listener = stream_bind(&server->here, false, NULL);
    }
    if (pipe2(server->wake, O_CLOEXEC) != 0)
        support_fail("pipe: %s", strerror(errno));
    pthread_mutex_init(&server->mutex, NULL);
    server->next = hostile_all;
    hostile_all = server;
    return server;
}

static void hostile_run_begin(hostile *server)
{
    sigset_t all, old;

    listen(server->listener, HOSTILE_PEERS);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&server->thread, NULL, hostile_run, server) != 0)
        support_fail("pthread_create: %s", strerror(errno));
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    server->running = true;
}

hostile *hostile_start(const hostile_step *steps, size_t count, bool tcp)
{
    hostile *server;

    if (count > HOSTILE_STEPS)
        support_fail("hostile: more than %d steps", HOSTILE_STEPS);
    server = hostile_new(tcp);
    server->steps = steps;
    server->count = count;
    hostile_run_begin(server);
    return server;
}

hostile *hostile_greet(const char *bytes, hostile_then then, bool tcp)
{
    hostile *server = hostile_new(tcp);

    server->greeting.answer = bytes;
    server->greeting.then = then;
    hostile_run_begin(server);
    return server;
}

/* A full backlog makes Linux drop further SYNs. Nobody accepts, so it stays full. */
hostile *hostile_black_hole(void)
{
    hostile *server = hostile_new(true);
    size_t i;

    listen(server->listener, 0);
    for (i = 0; i < HOSTILE_FILL; i++) {
        struct pollfd ready;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        server->fill[server->fill_len++] = fd;
        if (connect(fd, &server->here.of.any, server->here.len) == 0)
            continue;
        ready = (struct pollfd){fd, POLLOUT, 0};
        if (poll(&ready, 1, 50) == 0)
            return server; /* this one hangs already */
    }
    support_fail("the backlog never filled");
}

void hostile_free(hostile *server)
{
    hostile **next = &hostile_all;
    size_t i;

    while (*next != NULL && *next != server)
        next = &(*next)->next;
    if (*next != NULL)
        *next = server->next;
    if (server->running) {
        if (write(server->wake[1], "", 1) < 0)
            abort();
        pthread_join(server->thread, NULL);
    }
    for (i = 0; i < HOSTILE_PEERS; i++) {
        if (server->peers[i].fd >= 0)
            close(server->peers[i].fd);
    }
    for (i = 0; i < server->fill_len; i++)
        close(server->fill[i]);
    for (i = 0; i < server->log_len; i++)
        free(server->log[i]);
    free(server->log);
    close(server->listener);
    close(server->wake[0]);
    close(server->wake[1]);
    if (server->folder != NULL)
        support_folder_remove(server->folder);
    free(server->folder);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

const char *hostile_url(const hostile *server)
{
    return server->url;
}

int hostile_accepted(hostile *server)
{
    int count;

    pthread_mutex_lock(&server->mutex);
    count = server->accepted;
    pthread_mutex_unlock(&server->mutex);
    return count;
}

int hostile_count(hostile *server, const char *words)
{
    int count = 0;
    size_t i;

    pthread_mutex_lock(&server->mutex);
    for (i = 0; i < server->log_len; i++)
        count += words[0] == '\0' || stream_matches(server->log[i], words);
    pthread_mutex_unlock(&server->mutex);
    return count;
}
