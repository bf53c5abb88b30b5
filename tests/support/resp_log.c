/* SPDX-License-Identifier: MIT */
#include "resp_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void resp_log_clear(resp_log *log)
{
    log->count = 0;
    log->used = 0;
    log->outcome = RESP_COMPLETE;
}

void resp_log_free(resp_log *log)
{
    free(log->events);
    free(log->bytes);
    memset(log, 0, sizeof *log);
}

static void *log_grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size);

    if (grown == NULL)
        abort();
    return grown;
}

resp_event *resp_log_event(resp_log *log, rlk_resp_type type, unsigned flags, unsigned depth,
                           int64_t value)
{
    resp_event *event;

    if (log->count == log->room) {
        log->room = log->room * 2 + 16;
        log->events = (resp_event *)log_grow(log->events, log->room * sizeof *log->events);
    }
    event = &log->events[log->count++];
    event->type = type;
    event->flags = (uint8_t)flags;
    event->depth = (uint8_t)depth;
    event->value = value;
    event->at = log->used;
    event->len = 0;
    return event;
}

void resp_log_bytes(resp_log *log, const uint8_t *data, size_t len)
{
    if (len == 0)
        return;
    if (len > log->size - log->used) {
        log->size = (log->used + len) * 2;
        log->bytes = (uint8_t *)log_grow(log->bytes, log->size);
    }
    memcpy(log->bytes + log->used, data, len);
    log->used += len;
}

size_t resp_log_values(const resp_log *log)
{
    size_t values = 0;
    size_t i;

    for (i = 0; i < log->count; i++)
        values += (log->events[i].flags & RLK_RESP_DONE) != 0;
    return values;
}

static bool log_same_event(const resp_log *log, const resp_event *event, const resp_log *other,
                           const resp_event *another)
{
    return event->type == another->type && event->flags == another->flags &&
           event->depth == another->depth && event->value == another->value &&
           event->len == another->len &&
           (event->len == 0 ||
            memcmp(log->bytes + event->at, other->bytes + another->at, event->len) == 0);
}

static size_t log_describe(char *text, size_t room, const resp_log *log, size_t index)
{
    const resp_event *event = &log->events[index];
    int len;

    if (index >= log->count)
        len = snprintf(text, room, "nothing (outcome %d)", (int)log->outcome);
    else
        len =
            snprintf(text, room, "'%c' flags %02x depth %u value %lld len %zu '%.*s'",
                     (int)event->type, (unsigned)event->flags, (unsigned)event->depth,
                     (long long)event->value, event->len, (int)(event->len < 40 ? event->len : 40),
                     event->len > 0 ? (const char *)log->bytes + event->at : "");
    return len < 0 || (size_t)len >= room ? room - 1 : (size_t)len;
}

const char *resp_log_difference(const resp_log *log, const resp_log *other)
{
    static char text[400];
    size_t i = 0;
    size_t used;

    while (i < log->count && i < other->count &&
           log_same_event(log, &log->events[i], other, &other->events[i]))
        i++;
    if (i == log->count && i == other->count && log->outcome == other->outcome)
        return NULL;
    used = (size_t)snprintf(text, sizeof text, "event %zu: ", i);
    used += log_describe(text + used, sizeof text - used, log, i);
    used += (size_t)snprintf(text + used, sizeof text - used, " and ");
    (void)log_describe(text + used, sizeof text - used, other, i);
    return text;
}
