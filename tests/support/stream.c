/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stream.h"
#include "support.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- Tracker ---- */

void stream_reset(stream_tracker *tracker)
{
    memset(tracker, 0, sizeof *tracker);
}

static void stream_word(stream_tracker *tracker, char byte)
{
    if (tracker->words_len < STREAM_WORDS - 1) {
        tracker->words[tracker->words_len++] = byte;
        tracker->words[tracker->words_len] = '\0';
    }
}

/* A value that is no aggregate, or an empty one, has ended: so may have those around it. */
static stream_event stream_end_value(stream_tracker *tracker)
{
    while (tracker->depth > 0 && --tracker->left[tracker->depth - 1] == 0)
        tracker->depth--;
    if (tracker->depth > 0)
        return STREAM_NOTHING;
    if (tracker->attribute) {
        tracker->attribute = false; /* the value that it belongs to is still to come */
        return STREAM_NOTHING;
    }
    tracker->inside = false;
    return STREAM_VALUE;
}

static stream_event stream_header(stream_tracker *tracker)
{
    long long number = atoll(tracker->line + 1);
    char type = tracker->line[0];

    if (tracker->depth == 0 && (type == '|' || type == '>')) {
        tracker->attribute = type == '|';
        tracker->push = type == '>';
    }
    switch (type) {
    case '+':
    case '-':
    case ':':
    case '_':
    case '#':
    case ',':
    case '(':
        return stream_end_value(tracker);
    case '$':
    case '=':
    case '!':
        if (number < 0)
            return stream_end_value(tracker);
        tracker->payload = number + 2;
        if (tracker->words_len > 0)
            stream_word(tracker, ' ');
        return STREAM_NOTHING;
    case '%':
    case '|':
        number *= 2;
        break;
    case '*':
    case '~':
    case '>':
        break;
    default:
        tracker->broken = true;
        return STREAM_BROKEN;
    }
    if (number <= 0)
        return stream_end_value(tracker);
    if (tracker->depth == STREAM_DEPTH) {
        tracker->broken = true;
        return STREAM_BROKEN;
    }
    tracker->left[tracker->depth++] = number;
    return STREAM_NOTHING;
}

stream_event stream_feed(stream_tracker *tracker, char byte)
{
    if (tracker->broken)
        return STREAM_BROKEN;
    if (!tracker->inside) {
        tracker->inside = true;
        tracker->push = false;
        tracker->words_len = 0;
        tracker->words[0] = '\0';
    }
    if (tracker->payload > 0) {
        if (tracker->payload > 2)
            stream_word(tracker, byte);
        return --tracker->payload == 0 ? stream_end_value(tracker) : STREAM_NOTHING;
    }
    if (byte != '\n') {
        if (tracker->line_len < sizeof tracker->line - 1)
            tracker->line[tracker->line_len++] = byte;
        if (tracker->line_len == 1 && strchr("+-:_#,($=!%|*~>", byte) == NULL) {
            tracker->broken = true;
            return STREAM_BROKEN;
        }
        return STREAM_NOTHING;
    }
    tracker->line[tracker->line_len] = '\0';
    tracker->line_len = 0;
    return stream_header(tracker);
}

bool stream_matches(const char *command, const char *words)
{
    size_t len = strlen(words);

    return strncasecmp(command, words, len) == 0 && (command[len] == '\0' || command[len] == ' ');
}

/* ---- Sockets ---- */

void stream_parse(stream_address *address, const char *url)
{
    memset(address, 0, sizeof *address);
    if (strncmp(url, "unix://", 7) == 0) {
        address->of.un.sun_family = AF_UNIX;
        snprintf(address->of.un.sun_path, sizeof address->of.un.sun_path, "%s", url + 7);
        address->len = sizeof address->of.un;
    } else if (strncmp(url, "redis://127.0.0.1:", 18) == 0) {
        address->of.in.sin_family = AF_INET;
        address->of.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->of.in.sin_port = htons((uint16_t)atoi(url + 18));
        address->len = sizeof address->of.in;
    } else {
        support_fail("no such address: %s", url);
    }
}

int stream_port(const stream_address *address)
{
    return address->of.any.sa_family == AF_INET ? ntohs(address->of.in.sin_port) : 0;
}

int stream_bind(stream_address *address, bool tcp, const char *path)
{
    int one = 1;
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (address->len == 0) {
        char url[256];
        if (tcp)
            snprintf(url, sizeof url, "redis://127.0.0.1:0");
        else
            snprintf(url, sizeof url, "unix://%s", path);
        stream_parse(address, url);
    }
    if (!tcp)
        unlink(address->of.un.sun_path);
    else if (stream_port(address) != 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, &address->of.any, address->len) != 0)
        support_fail("bind: %s", strerror(errno));
    if (tcp) {
        getsockname(fd, &address->of.any, &address->len);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    return fd;
}

void stream_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int stream_connect(const stream_address *address)
{
    int one = 1;
    int fd = socket(address->of.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    /* Loopback: at once, or refused. */
    while (connect(fd, &address->of.any, address->len) != 0) {
        if (errno != EINTR) {
            close(fd);
            return -1;
        }
    }
    if (address->of.any.sa_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    stream_nonblocking(fd);
    return fd;
}

void stream_close_rst(int fd)
{
    struct linger hard = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}
