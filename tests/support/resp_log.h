/* SPDX-License-Identifier: MIT
 *
 * resp_log.h: what a byte string means in RESP, as a flat list: one event for each token, a string
 * in one piece. The reference reader writes one and the parser under test another; they compare.
 */
#ifndef TEST_RESP_LOG_H
#define TEST_RESP_LOG_H

#include "resplock.h"

typedef struct resp_event {
    rlk_resp_type type;
    uint8_t flags; /* DONE, IN_ATTRIBUTE, IN_PUSH */
    uint8_t depth;
    int64_t value; /* as in a token; of strings the length, -1 when streamed */
    size_t at;     /* strings: where in `bytes` */
    size_t len;
} resp_event;

typedef enum resp_outcome {
    RESP_COMPLETE,   /* ends behind a value */
    RESP_UNFINISHED, /* ends within one */
    RESP_MALFORMED
} resp_outcome;

typedef struct resp_log {
    resp_event *events;
    size_t count;
    size_t room;
    uint8_t *bytes;
    size_t used;
    size_t size;
    resp_outcome outcome;
} resp_log;

/* Empty, to be freed. A log of all zeros is empty too. */
void resp_log_clear(resp_log *log);
void resp_log_free(resp_log *log);

/* Appends an event; returns it, valid until the next. */
resp_event *resp_log_event(resp_log *log, rlk_resp_type type, unsigned flags, unsigned depth,
                           int64_t value);

/* Appends to the text of the event to come. */
void resp_log_bytes(resp_log *log, const uint8_t *data, size_t len);

/* Top-level values in it, pushes included. */
size_t resp_log_values(const resp_log *log);

/* Text of the first difference, NULL if there is none. Valid until the next call. */
const char *resp_log_difference(const resp_log *log, const resp_log *other);

#endif
