/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stream.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
