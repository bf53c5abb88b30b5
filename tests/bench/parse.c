/* SPDX-License-Identifier: MIT
 *
 * Parsing of streams of equal replies, shown in chunks as read() would leave them in a buffer.
 * Unit: one reply.
 */
#include "floor.h"
#include "rounds.h"

#include "resplock/resp.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PARSE_CHUNK  16384
#define PARSE_STREAM 65536 /* about: whole replies */
#define PARSE_LARGE  65536
#define PARSE_WHOLE  512

/* A reply, and how it is shown. */
typedef struct parse_corpus {
    const char *name;
    const char *begin;
    const char *element; /* behind it, `elements` times */
    unsigned elements;
    unsigned filled;    /* behind it this number of bytes, and CRLF */
    unsigned payload;   /* bytes of all its strings */
    size_t chunk;       /* 0: PARSE_CHUNK */
    uint32_t whole_max; /* longest string in one piece; 0: PARSE_WHOLE */
} parse_corpus;

#define PARSE_BULK "$36\r\n0123456789abcdef0123456789abcdef0123\r\n"

static const parse_corpus parse_corpora[] = {
    {.name = "simple", .begin = "+OK\r\n", .payload = 2},
    {.name = "integer", .begin = ":1\r\n"},
    {.name = "bulk", .begin = PARSE_BULK, .payload = 36},
    {.name = "null", .begin = "$-1\r\n"},
    {.name = "nested",
     .begin = "*1\r\n*10\r\n",
     .element = "$16\r\n0123456789abcdef\r\n",
     .elements = 10,
     .payload = 160},
    {.name = "push",
     .begin = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$13\r\nlock:resource\r\n",
     .payload = 23},
    {.name = "bytewise", .begin = PARSE_BULK, .payload = 36, .chunk = 1},
    {.name = "large",
     .begin = "$65536\r\n",
     .filled = PARSE_LARGE,
     .payload = PARSE_LARGE,
     .whole_max = PARSE_LARGE},
    {.name = "fragments", .begin = "$65536\r\n", .filled = PARSE_LARGE, .payload = PARSE_LARGE},
};

/* A stream of whole replies. */
typedef struct parse_stream {
    const parse_corpus *corpus;
    size_t chunk;
    uint32_t whole_max;
    uint8_t *bytes;
    size_t len;
    unsigned long replies;
} parse_stream;

/* What was seen: contenders must agree on it. */
typedef struct parse_tally {
    unsigned long replies;
    unsigned long bytes; /* of strings */
} parse_tally;

/* ---- Streams ----------------------------------------------------------------------------- */

static uint8_t *parse_put(uint8_t *at, const char *text)
{
    size_t len = strlen(text);

    memcpy(at, text, len);
    return at + len;
}

static const parse_stream *parse_stream_of(const char *name)
{
    static parse_stream streams[COUNT_OF(parse_corpora)];
    size_t i = 0;
    parse_stream *stream;
    uint8_t *at;

    while (i < COUNT_OF(parse_corpora) && strcmp(parse_corpora[i].name, name) != 0)
        i++;
    rounds_require(i < COUNT_OF(parse_corpora));
    stream = &streams[i];
    if (stream->bytes != NULL)
        return stream;
    stream->corpus = &parse_corpora[i];
    stream->chunk = stream->corpus->chunk != 0 ? stream->corpus->chunk : PARSE_CHUNK;
    stream->whole_max = stream->corpus->whole_max != 0 ? stream->corpus->whole_max : PARSE_WHOLE;
    stream->bytes = malloc(2 * PARSE_STREAM);
    rounds_require(stream->bytes != NULL);
    for (at = stream->bytes; at < stream->bytes + PARSE_STREAM; stream->replies++) {
        unsigned k;

        at = parse_put(at, stream->corpus->begin);
        for (k = 0; k < stream->corpus->elements; k++)
            at = parse_put(at, stream->corpus->element);
        if (stream->corpus->filled != 0) {
            memset(at, 'x', stream->corpus->filled);
            at = parse_put(at + stream->corpus->filled, "\r\n");
        }
    }
    stream->len = (size_t)(at - stream->bytes);
    return stream;
}

/* One more chunk is shown; false: all of it was. */
static bool parse_show(const parse_stream *stream, size_t *shown)
{
    if (*shown == stream->len)
        return false;
    *shown += stream->chunk;
    if (*shown > stream->len)
        *shown = stream->len;
    return true;
}

/* ---- Contenders -------------------------------------------------------------------------- */

static void parse_resplock(const parse_stream *stream, parse_tally *tally)
{
    rlk_resp_parser parser;
    rlk_resp_token token;
    size_t shown = 0;
    size_t at = 0;

    rlk_resp_parser_init(&parser, stream->whole_max);
    while (parse_show(stream, &shown)) {
        size_t consumed;

        while (rlk_resp_next(&parser, stream->bytes + at, shown - at, &consumed, &token) ==
               RLK_RESP_TOKEN) {
            at += consumed;
            tally->bytes += token.len;
            if ((token.flags & RLK_RESP_DONE) != 0)
                tally->replies++;
        }
        rounds_require(rlk_resp_parser_fault(&parser) == RLK_RESP_FAULT_NONE);
        at += consumed;
    }
    rounds_require(at == stream->len);
}

static void parse_floor(const parse_stream *stream, parse_tally *tally)
{
    floor_parser parser = {0};
    floor_token token;
    size_t shown = 0;
    size_t at = 0;

    while (parse_show(stream, &shown)) {
        ssize_t used;

        while ((used = floor_next(&parser, stream->bytes + at, shown - at, &token)) > 0) {
            at += (size_t)used;
            tally->bytes += token.len;
            if (parser.depth == 0)
                tally->replies++;
        }
        rounds_require(used == 0);
    }
    rounds_require(at == stream->len);
}

static unsigned long parse_hiredis_bytes(const redisReply *reply)
{
    unsigned long bytes = reply->len;
    size_t i;

    for (i = 0; i < reply->elements; i++)
        bytes += parse_hiredis_bytes(reply->element[i]);
    return bytes;
}

static void parse_hiredis(const parse_stream *stream, parse_tally *tally)
{
    redisReader *reader = redisReaderCreate();
    size_t shown = 0;
    size_t at = 0;

    rounds_require(reader != NULL);
    while (parse_show(stream, &shown)) {
        void *reply;

        rounds_require(redisReaderFeed(reader, (const char *)stream->bytes + at, shown - at) ==
                       REDIS_OK);
        at = shown;
        while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
            tally->bytes += parse_hiredis_bytes(reply);
            tally->replies++;
            freeReplyObject(reply);
        }
        rounds_require(reader->err == 0);
    }
    redisReaderFree(reader);
}

/* ---- Rounds ------------------------------------------------------------------------------ */

typedef void (*parse_pass)(const parse_stream *stream, parse_tally *tally);

static unsigned long parse_run(parse_pass pass, const char *name, unsigned long units)
{
    const parse_stream *stream = parse_stream_of(name);
    parse_tally tally = {0};

    while (tally.replies < units)
        pass(stream, &tally);
    rounds_require(tally.bytes == tally.replies * stream->corpus->payload);
    return tally.replies;
}

static unsigned long parse_run_resplock(const char *name, unsigned long units)
{
    return parse_run(parse_resplock, name, units);
}

static unsigned long parse_run_floor(const char *name, unsigned long units)
{
    return parse_run(parse_floor, name, units);
}

static unsigned long parse_run_hiredis(const char *name, unsigned long units)
{
    return parse_run(parse_hiredis, name, units);
}

const rounds_contender parse_contenders[3] = {
    {"parse", "floor", NULL, parse_run_floor},
    {"parse", "hiredis", NULL, parse_run_hiredis},
    {"parse", "resplock", NULL, parse_run_resplock},
};
