/* SPDX-License-Identifier: MIT
 *
 * Commands to bytes: arrays of bulk strings, written straight into the caller's memory.
 */
#include "resplock/resp.h"

#include <string.h>

/* Digits of UINT64_MAX. */
#define WRITER_DIGITS_MAX 20

/* The type byte and two CRLF: what surrounds the digits and the payload of a bulk string. */
#define WRITER_BULK_FRAME 5

/* Type byte and CRLF. */
#define WRITER_HEAD_FRAME 3

/*
 * Divides by ten and returns the remainder. In pieces that 32-bit machines divide by themselves:
 * a 64-bit division is a library call there.
 */
static uint32_t writer_divide_by_ten(uint64_t *value)
{
    uint32_t high = (uint32_t)(*value >> 32);
    uint32_t low = (uint32_t)*value;
    uint32_t middle = (high % 10u) << 16 | low >> 16;
    uint32_t last = (middle % 10u) << 16 | (low & 0xFFFFu);

    *value = (uint64_t)(high / 10u) << 32 | (uint64_t)(middle / 10u) << 16 | last / 10u;
    return last % 10u;
}

/* Writes the digits of `value` so that they end before `end`; returns where they begin. */
static uint8_t *writer_digits(uint8_t *end, uint64_t value)
{
    uint32_t low;

    while (value > UINT32_MAX)
        *--end = (uint8_t)('0' + writer_divide_by_ten(&value));
    low = (uint32_t)value;
    while (low >= 10u) {
        *--end = (uint8_t)('0' + low % 10u);
        low /= 10u;
    }
    *--end = (uint8_t)('0' + low);
    return end;
}

static size_t writer_width(uint64_t value)
{
    uint8_t text[WRITER_DIGITS_MAX];

    if (value < 10u)
        return 1;
    if (value < 100u)
        return 2;
    return (size_t)(text + WRITER_DIGITS_MAX - writer_digits(text + WRITER_DIGITS_MAX, value));
}

/*
 * Counts `frame` + `len` bytes more, and says where they go: NULL when they don't fit. Once they
 * didn't, nothing later can: the count stays beyond the room. It saturates rather than wrap.
 */
static uint8_t *writer_reserve(rlk_resp_writer *writer, size_t frame, size_t len)
{
    size_t at = writer->len;
    size_t most = SIZE_MAX - at;

    if (frame > most || len > most - frame) {
        writer->len = SIZE_MAX;
        return NULL;
    }
    writer->len = at + frame + len;
    return writer->len <= writer->cap ? writer->buf + at : NULL;
}

void rlk_resp_writer_init(rlk_resp_writer *writer, uint8_t *buf, size_t cap)
{
    writer->buf = buf;
    writer->cap = cap;
    writer->len = 0;
}

void rlk_resp_put_raw(rlk_resp_writer *writer, const void *data, size_t len)
{
    uint8_t *at = writer_reserve(writer, 0, len);

    if (at != NULL && len != 0)
        memcpy(at, data, len);
}

void rlk_resp_put_command(rlk_resp_writer *writer, uint32_t argc)
{
    uint8_t text[WRITER_HEAD_FRAME + WRITER_DIGITS_MAX];
    uint8_t *end = text + sizeof text;
    uint8_t *begin = writer_digits(end - 2, argc);

    *--begin = '*';
    end[-2] = '\r';
    end[-1] = '\n';
    rlk_resp_put_raw(writer, begin, (size_t)(end - begin));
}

uint8_t *rlk_resp_put_hole(rlk_resp_writer *writer, size_t len)
{
    size_t width = writer_width(len);
    uint8_t *at = writer_reserve(writer, WRITER_BULK_FRAME + width, len);

    if (at == NULL)
        return NULL;
    *at++ = '$';
    at += width;
    (void)writer_digits(at, len);
    *at++ = '\r';
    *at++ = '\n';
    at[len] = '\r';
    at[len + 1] = '\n';
    return at;
}

void rlk_resp_put_bulk(rlk_resp_writer *writer, const void *data, size_t len)
{
    uint8_t *at = rlk_resp_put_hole(writer, len);

    if (at != NULL && len != 0)
        memcpy(at, data, len);
}

void rlk_resp_put_integer(rlk_resp_writer *writer, int64_t value)
{
    uint8_t text[WRITER_DIGITS_MAX + 1];
    uint8_t *end = text + sizeof text;
    uint8_t *begin;

    /* INT64_MIN has no positive; its bits, negated without a sign, are right all the same */
    begin = writer_digits(end, value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--begin = '-';
    rlk_resp_put_bulk(writer, begin, (size_t)(end - begin));
}

rlk_result rlk_resp_writer_result(const rlk_resp_writer *writer)
{
    /* a count that saturated is more than any room */
    return writer->len <= writer->cap && writer->len != SIZE_MAX ? RLK_OK : RLK_E_BUFFER;
}

size_t rlk_resp_encode(uint8_t *buf, size_t cap, uint32_t argc, const void *const *argv,
                       const size_t *lens)
{
    rlk_resp_writer writer;
    uint32_t i;

    rlk_resp_writer_init(&writer, buf, cap);
    rlk_resp_put_command(&writer, argc);
    for (i = 0; i < argc; i++)
        rlk_resp_put_bulk(&writer, argv[i], lens[i]);
    return writer.len;
}
