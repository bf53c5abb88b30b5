/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "admin.h"
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void admin_append(admin_text *text, const void *data, size_t len)
{
    if (text->len + len + 1 > text->cap) {
        text->cap = 2 * (text->len + len + 1);
        text->data = (char *)realloc(text->data, text->cap);
        if (text->data == NULL)
            abort();
    }
    if (len > 0)
        memcpy(text->data + text->len, data, len);
    text->len += len;
    text->data[text->len] = '\0';
}

void admin_text_free(admin_text *text)
{
    free(text->data);
    memset(text, 0, sizeof *text);
}

/* ---- Commands ---- */

static void admin_append_text(admin_text *text, const char *data)
{
    admin_append(text, data, strlen(data));
}

static void admin_append_bulk(admin_text *out, const admin_text *argument)
{
    char head[32];

    snprintf(head, sizeof head, "$%zu\r\n", argument->len);
    admin_append_text(out, head);
    admin_append(out, argument->data, argument->len);
    admin_append_text(out, "\r\n");
}

/* Conversions of server.h; the argument list is handed on by pointer, as it must move on. */
static const char *admin_convert(admin_text *argument, const char *format, va_list *arguments)
{
    char number[32];

    if (strncmp(format, "lld", 3) == 0) {
        snprintf(number, sizeof number, "%lld", va_arg(*arguments, long long));
        admin_append_text(argument, number);
        return format + 3;
    }
    if (strncmp(format, "ld", 2) == 0) {
        snprintf(number, sizeof number, "%ld", va_arg(*arguments, long));
        admin_append_text(argument, number);
        return format + 2;
    }
    if (strncmp(format, "zu", 2) == 0) {
        snprintf(number, sizeof number, "%zu", va_arg(*arguments, size_t));
        admin_append_text(argument, number);
        return format + 2;
    }
    switch (*format) {
    case 's':
        admin_append_text(argument, va_arg(*arguments, const char *));
        break;
    case 'd':
        snprintf(number, sizeof number, "%d", va_arg(*arguments, int));
        admin_append_text(argument, number);
        break;
    case 'b': {
        const void *data = va_arg(*arguments, const void *);
        size_t len = va_arg(*arguments, size_t);

        admin_append(argument, data, len);
        break;
    }
    case '%':
        admin_append_text(argument, "%");
        break;
    default:
        support_fail("server: no such conversion: %%%s", format);
    }
    return format + 1;
}

void admin_encode(admin_text *out, const char *format, va_list arguments)
{
    admin_text argument = {NULL, 0, 0};
    admin_text body = {NULL, 0, 0};
    char head[32];
    int count = 0;
    va_list rest;

    va_copy(rest, arguments);
    while (*format != '\0') {
        if (*format == ' ') {
            format++;
            continue;
        }
        argument.len = 0;
        admin_append(&argument, "", 0);
        while (*format != '\0' && *format != ' ') {
            if (*format == '%') {
                format = admin_convert(&argument, format + 1, &rest);
            } else {
                admin_append(&argument, format, 1);
                format++;
            }
        }
        admin_append_bulk(&body, &argument);
        count++;
    }
    va_end(rest);
    snprintf(head, sizeof head, "*%d\r\n", count);
    admin_append_text(out, head);
    admin_append(out, body.data, body.len);
    admin_text_free(&body);
    admin_text_free(&argument);
}

/* ---- Stream ---- */

int admin_connect(const char *path)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        support_fail("socket: %s", strerror(errno));
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno != EINTR) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

bool admin_send(int fd, const void *data, size_t len)
{
    const char *next = (const char *)data;

    while (len > 0) {
        ssize_t n = send(fd, next, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        next += n;
        len -= (size_t)n;
    }
    return true;
}

/* What has come of a reply. One byte more than is needed is never read: there is no other. */
typedef struct admin_reader {
    int fd;
    int64_t end_ms;
} admin_reader;

static admin_status admin_read(admin_reader *reader, char *data, size_t len)
{
    while (len > 0) {
        struct pollfd ready = {reader->fd, POLLIN, 0};
        int64_t left_ms = reader->end_ms - support_now_ms();
        ssize_t n;

        if (left_ms <= 0)
            return ADMIN_LATE;
        if (poll(&ready, 1, (int)left_ms) <= 0)
            continue;
        n = recv(reader->fd, data, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ADMIN_BROKEN;
        data += n;
        len -= (size_t)n;
    }
    return ADMIN_OK;
}

static admin_status admin_read_line(admin_reader *reader, admin_text *line)
{
    char c;

    line->len = 0;
    admin_append(line, "", 0);
    for (;;) {
        admin_status status = admin_read(reader, &c, 1);

        if (status != ADMIN_OK)
            return status;
        if (c == '\n')
            return ADMIN_OK;
        if (c != '\r')
            admin_append(line, &c, 1);
    }
}

static admin_status admin_read_bulk(admin_reader *reader, size_t len, admin_text *out)
{
    char *data = (char *)malloc(len + 2);
    admin_status status;

    if (data == NULL)
        abort();
    status = admin_read(reader, data, len + 2);
    if (status == ADMIN_OK)
        admin_append(out, data, len);
    free(data);
    return status;
}

admin_status admin_receive(int fd, int timeout_ms, admin_text *out, char *type)
{
    admin_reader reader = {fd, support_now_ms() + timeout_ms};
    admin_text line = {NULL, 0, 0};
    admin_status status = ADMIN_OK;
    long left = 1; /* values still to come: nesting needs no more to be rendered flat */
    bool first = true;

    out->len = 0;
    admin_append(out, "", 0);
    for (; left > 0 && status == ADMIN_OK; left--) {
        long number;

        status = admin_read_line(&reader, &line);
        if (status != ADMIN_OK)
            break;
        number = atol(line.data + 1);
        if (first)
            *type = (line.data[0] == '$' || line.data[0] == '*') && number < 0 ? '_' : line.data[0];
        else if (line.data[0] != '*' && out->len > 0)
            admin_append_text(out, "\n");
        first = false;
        switch (line.data[0]) {
        case '+':
        case ':':
            admin_append(out, line.data + 1, line.len - 1);
            break;
        case '-':
            admin_append(out, line.data, line.len);
            break;
        case '$':
            if (number >= 0)
                status = admin_read_bulk(&reader, (size_t)number, out);
            break;
        case '*':
            left += number > 0 ? number : 0;
            break;
        default:
            status = ADMIN_BROKEN;
        }
    }
    admin_text_free(&line);
    return status;
}
