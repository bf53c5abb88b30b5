/* SPDX-License-Identifier: MIT
 *
 * admin.h: a blocking RESP2 connection for the fixtures, written apart from resplock so that no
 * fault of one hides in the other. Used through server.h.
 */
#ifndef TEST_ADMIN_H
#define TEST_ADMIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Text of a reply, or a command's encoding: grows on the heap. */
typedef struct admin_text {
    char *data; /* terminated behind its length */
    size_t len;
    size_t cap;
} admin_text;

void admin_append(admin_text *text, const void *data, size_t len);
void admin_text_free(admin_text *text);

/* Encodes a command of a format as described in server.h. */
void admin_encode(admin_text *out, const char *format, va_list arguments);

/* Connects to a Unix socket. -1: refused. */
int admin_connect(const char *path);

/* Sends all. False: the connection broke. */
bool admin_send(int fd, const void *data, size_t len);

typedef enum admin_status {
    ADMIN_OK,
    ADMIN_BROKEN, /* end of stream, error, not RESP */
    ADMIN_LATE    /* no reply in time */
} admin_status;

/* Reads one reply and renders it. *type is its first byte; '_' for nil. */
admin_status admin_receive(int fd, int timeout_ms, admin_text *out, char *type);

#endif
