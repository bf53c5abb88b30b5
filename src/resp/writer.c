/* SPDX-License-Identifier: MIT
 *
 * Commands to bytes: arrays of bulk strings, written straight into the caller's memory.
 */
#include "writer.h"

#include "apart.h"

#include <string.h>

/* Digits of UINT64_MAX. */
#define WRITER_DIGITS_MAX 20

/*
 * Divides by ten and returns the remainder. In pieces that 32-bit machines can divide: a
 * 64-bit division is a library call there.
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
    do {
        *--end = (uint8_t)('0' + low % 10u);
        low /= 10u;
    } while (low != 0);
    return end;
}

extern inline uint8_t *rlki_writer_reserve(rlk_resp_writer *writer, size_t frame, size_t len);

void rlk_resp_writer_init(rlk_resp_writer *writer, uint8_t *buf, size_t cap)
{
    writer->buf = buf;
    writer->cap = cap;
    writer->len = 0;
}

void rlk_resp_put_raw(rlk_resp_writer *writer, const void *data, size_t len)
{
    uint8_t *at = rlki_writer_reserve(writer, 0, len);

    if (at != NULL && len != 0)
        memcpy(at, data, len);
}

extern inline uint8_t *rlki_writer_put(rlk_resp_writer *writer, rlk_resp_type type, size_t number);

void rlk_resp_put_command(rlk_resp_writer *writer, uint32_t argc)
{
    (void)rlki_writer_put(writer, RLK_RESP_ARRAY, argc);
}

uint8_t *rlk_resp_put_hole(rlk_resp_writer *writer, size_t len)
{
    return rlki_writer_put(writer, RLK_RESP_BULK, len);
}

static inline void writer_bulk(rlk_resp_writer *writer, const void *data, size_t len)
{
    uint8_t *at = rlki_writer_put(writer, RLK_RESP_BULK, len);

    if (at != NULL && len != 0)
        memcpy(at, data, len);
}

void rlk_resp_put_bulk(rlk_resp_writer *writer, const void *data, size_t len)
{
    writer_bulk(writer, data, len);
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
    writer_bulk(writer, begin, (size_t)(end - begin));
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
