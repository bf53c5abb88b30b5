/* SPDX-License-Identifier: MIT
 *
 * stream.h: where commands and replies begin and end in a stream of RESP, byte by byte.
 */
#ifndef TEST_STREAM_H
#define TEST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_DEPTH 16
#define STREAM_WORDS 1024 /* a call with the script in it fits */

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

#endif
