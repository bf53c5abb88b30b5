/* SPDX-License-Identifier: MIT
 *
 * Internal: room for what a writer writes.
 */
#ifndef RLKI_RESP_WRITER_H
#define RLKI_RESP_WRITER_H

#include "apart.h"

#include "resplock/resp.h"

#include <string.h>

#define WRITER_CRLF_LEN 2

/* What surrounds the digits of a count: type byte and CRLF. */
#define WRITER_COUNT_FRAME (1 + WRITER_CRLF_LEN)

/* What surrounds the digits of a length and the payload. */
#define WRITER_BULK_FRAME (WRITER_COUNT_FRAME + WRITER_CRLF_LEN)

/* A count beyond it saturates: the sum of two that are not, and a frame, does not wrap. */
#define WRITER_COUNT_MAX (SIZE_MAX / 4)

/*
 * Counts `frame` + `len` bytes more, and returns where they go: NULL when they don't fit. Once they
 * didn't, nothing later can: the count stays beyond the room. It saturates rather than wrap.
 */
inline uint8_t *rlki_writer_reserve(rlk_resp_writer *writer, size_t frame, size_t len)
{
    size_t at = writer->len;

    if (at > WRITER_COUNT_MAX || len > WRITER_COUNT_MAX) {
        writer->len = SIZE_MAX;
        return NULL;
    }
    writer->len = at + frame + len;
    return writer->len <= writer->cap ? writer->buf + at : NULL;
}

/* The line of a count, or of a length and the CRLF behind as many bytes. Returns the byte behind
 * the line, or NULL when there is no room. */
RLKI_INTO_CALLERS uint8_t *rlki_writer_put(rlk_resp_writer *writer, rlk_resp_type type,
                                           size_t number)
{
    bool is_bulk = type == RLK_RESP_BULK;
    size_t width = 1;
    size_t rest;
    uint8_t *at;
    uint8_t *digit;

    for (rest = number; rest >= 10u; rest /= 10u)
        width++;
    at = rlki_writer_reserve(writer, width + (is_bulk ? WRITER_BULK_FRAME : WRITER_COUNT_FRAME),
                             is_bulk ? number : 0);
    if (at == NULL)
        return NULL;
    *at++ = (uint8_t)type;
    at += width;
    if (is_bulk)
        memcpy(at + WRITER_CRLF_LEN + number, "\r\n", WRITER_CRLF_LEN);
    digit = at;
    while (number >= 10u) {
        *--digit = (uint8_t)('0' + number % 10u);
        number /= 10u;
    }
    *--digit = (uint8_t)('0' + number);
    memcpy(at, "\r\n", WRITER_CRLF_LEN);
    return at + WRITER_CRLF_LEN;
}

#endif
