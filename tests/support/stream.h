/* SPDX-License-Identifier: MIT
 *
 * stream.h: where commands and replies begin and end in a stream of RESP, byte by byte; and
 * sockets, for the proxy and the hostile server.
 */
#ifndef TEST_STREAM_H
#define TEST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

#define STREAM_DEPTH 16
#define STREAM_WORDS 256

typedef struct stream_tracker {
    char line[64]; /* header under way; longer simple strings are cut */
    size_t line_len;
    long long payload; /* bytes to go of a bulk, its CRLF too */
    long long left[STREAM_DEPTH];
    int depth;
    bool attribute; /* the top-level value under way is an attribute: not a reply of its own */
    bool push;      /* ... is a push */
    bool inside;    /* in the middle of a top-level value */
    bool broken;    /* not RESP */
    char words[STREAM_WORDS]; /* strings of the value, joined by spaces: the command */
    size_t words_len;
} stream_tracker;

typedef enum stream_event {
    STREAM_NOTHING,
    STREAM_VALUE, /* with this byte a top-level value ended (push: tracker->push) */
    STREAM_BROKEN
} stream_event;

void stream_reset(stream_tracker *tracker);

/* Attributes are part of the value that follows. */
stream_event stream_feed(stream_tracker *tracker, char byte);

/* The command begins with these words, in any case. */
bool stream_matches(const char *command, const char *words);

/* ---- Sockets ---- */

typedef struct stream_address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } of;
    socklen_t len;
} stream_address;

/* "unix:///path" or "redis://127.0.0.1:port"; anything else fails the test. */
void stream_parse(stream_address *address, const char *url);

/* A socket bound to 127.0.0.1 (any port) or to the path; *address is where. */
int stream_bind(stream_address *address, bool tcp, const char *path);

/* A non-blocking connection; -1: refused. */
int stream_connect(const stream_address *address);

int stream_port(const stream_address *address);
void stream_nonblocking(int fd);

/* Closes so that a TCP peer gets RST. */
void stream_close_rst(int fd);

#endif
