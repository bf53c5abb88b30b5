/* SPDX-License-Identifier: MIT
 *
 * Internal: room for what a writer writes.
 */
#ifndef RLKI_RESP_WRITER_H
#define RLKI_RESP_WRITER_H

#include "resplock/resp.h"

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

#endif
