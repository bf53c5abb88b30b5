/* SPDX-License-Identifier: MIT
 *
 * resplock/resp.h: the codec. Bytes to RESP2/RESP3 tokens and commands to bytes.
 *
 * Knows nothing of sockets, connections or locks; keeps no memory but the caller's; calls nothing
 * but memcpy and memcmp, and so can be used alone.
 *
 * Source of the rules: the RESP specification (redis.io/docs/reference/protocol-spec) and the
 * RESP3 specification (github.com/antirez/RESP3), named beside each rule.
 */
#ifndef RESPLOCK_RESP_H
#define RESPLOCK_RESP_H

#include "resplock/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Longest string, in bytes (Redis: proto-max-bulk-len, 512 MiB). At most 2147483647. */
#ifndef RLK_RESP_MAX_LEN
#define RLK_RESP_MAX_LEN UINT32_C(536870912)
#endif

/* Most elements of one aggregate; a map or attribute of n pairs has 2n. At most 1073741823. */
#ifndef RLK_RESP_MAX_COUNT
#define RLK_RESP_MAX_COUNT UINT32_C(1048576)
#endif

/* Longest line of a number, a double, a boolean or a length, without CRLF. */
#ifndef RLK_RESP_MAX_NUMBER
#define RLK_RESP_MAX_NUMBER 48
#endif

/* ---- Encoding ---------------------------------------------------------------------------- */

/*
 * Writes commands (arrays of bulk strings) into the caller's memory, all or nothing: a writer
 * that runs out of room goes on counting, writes nothing more, and says how much it needs.
 * Fields may be read; only the functions below write them.
 */
typedef struct rlk_resp_writer {
    uint8_t *buf;
    size_t cap;
    size_t len; /* bytes written, or needed when that is more than `cap` */
} rlk_resp_writer;

/* Starts writing at buf[0]. `buf` may be NULL when `cap` is 0: then it only counts. */
RLK_API void rlk_resp_writer_init(rlk_resp_writer *writer, uint8_t *buf, size_t cap);

/* Begins a command of `argc` arguments, its name included. */
RLK_API void rlk_resp_put_command(rlk_resp_writer *writer, uint32_t argc);

/* One argument: `len` bytes, any bytes. */
RLK_API void rlk_resp_put_bulk(rlk_resp_writer *writer, const void *data, size_t len);

/* One argument: the decimal text of `value`. */
RLK_API void rlk_resp_put_integer(rlk_resp_writer *writer, int64_t value);

/* `len` bytes of RESP as they are: the part of a command that is the same each time. */
RLK_API void rlk_resp_put_raw(rlk_resp_writer *writer, const void *data, size_t len);

/*
 * One argument of `len` bytes that the caller fills in himself, all of them, before the next call.
 * Returns where to, or NULL when there is no room (the length is counted all the same).
 */
RLK_API uint8_t *rlk_resp_put_hole(rlk_resp_writer *writer, size_t len);

/* RLK_OK, or RLK_E_BUFFER when writer->len exceeds the room: then nothing of it may be sent. */
RLK_API rlk_result rlk_resp_writer_result(const rlk_resp_writer *writer);

/*
 * A whole command at once: `argc` arguments, argv[i] of lens[i] bytes. Returns the bytes needed;
 * written if and only if that is <= cap, else the contents of `buf` are undefined.
 */
RLK_API size_t rlk_resp_encode(uint8_t *buf, size_t cap, uint32_t argc, const void *const *argv,
                               const size_t *lens);

/* ---- Parsing ----------------------------------------------------------------------------- */

typedef enum rlk_resp_type {
    RLK_RESP_SIMPLE = '+',     /* data: text */
    RLK_RESP_ERROR = '-',      /* data: text */
    RLK_RESP_INTEGER = ':',    /* value */
    RLK_RESP_BULK = '$',       /* data */
    RLK_RESP_ARRAY = '*',      /* value: elements, -1 when streamed */
    RLK_RESP_NULL = '_',       /* also the old nulls $-1, and *-1: value 1, else 0 */
    RLK_RESP_BOOLEAN = '#',    /* value: 0 or 1 */
    RLK_RESP_DOUBLE = ',',     /* data: its text, syntax checked */
    RLK_RESP_BIG_NUMBER = '(', /* data: its text, syntax checked */
    RLK_RESP_BLOB_ERROR = '!', /* data */
    RLK_RESP_VERBATIM = '=',   /* data: the three letters of the format, ':', and the text */
    RLK_RESP_MAP = '%',        /* value: keys and values (2 a pair), -1 when streamed */
    RLK_RESP_SET = '~',        /* value: elements, -1 when streamed */
    RLK_RESP_ATTRIBUTE = '|',  /* value: as of a map; belongs to the value that follows */
    RLK_RESP_PUSH = '>',       /* value: elements; only at the top level */
    RLK_RESP_END = '.'         /* end of a streamed aggregate */
} rlk_resp_type;

/* Flags of a token. */
#define RLK_RESP_FIRST        0x01u /* first (or only) fragment of a string; set for all else too */
#define RLK_RESP_LAST         0x02u /* last (or only) fragment of a string; set for all else too */
#define RLK_RESP_DONE         0x04u /* with it a top-level value is complete */
#define RLK_RESP_IN_ATTRIBUTE 0x08u /* an attribute, or part of one: not part of any reply */
#define RLK_RESP_IN_PUSH      0x10u /* a push, or part of one: not part of any reply */

typedef struct rlk_resp_token {
    rlk_resp_type type;
    uint8_t flags;
    uint8_t depth;       /* aggregates around it */
    const uint8_t *data; /* strings, doubles, big numbers: into the caller's buffer, until the
                            bytes are consumed; NULL for other types */
    size_t len;          /* bytes at `data` */
    int64_t value;       /* by type, see there; of strings the whole length, -1 when it is not
                            known (streamed, or a line longer than `whole_max`) */
} rlk_resp_token;

typedef enum rlk_resp_status {
    RLK_RESP_TOKEN, /* a token */
    RLK_RESP_MORE,  /* the bytes end before the next token does: come again with more of them */
    RLK_RESP_BAD    /* protocol error; final */
} rlk_resp_status;

/* What was wrong, after RLK_RESP_BAD. */
typedef enum rlk_resp_fault {
    RLK_RESP_FAULT_NONE,
    RLK_RESP_FAULT_TYPE,       /* first byte is no type of RESP, or not allowed at this place */
    RLK_RESP_FAULT_NUMBER,     /* malformed number, length or count */
    RLK_RESP_FAULT_RANGE,      /* number, length, count or line beyond its bound */
    RLK_RESP_FAULT_DEPTH,      /* nested too deep */
    RLK_RESP_FAULT_TERMINATOR, /* something other than CRLF where CRLF must be */
    RLK_RESP_FAULT_TEXT        /* malformed boolean, double, big number, null, verbatim format */
} rlk_resp_fault;

/* Parser state. Fields are private. */
typedef struct rlk_resp_parser {
    uint32_t whole_max;
    uint32_t wanted;    /* with fewer unconsumed bytes there is nothing to say */
    uint32_t length;    /* of a string: its own; of a streamed one: the pieces so far; of a line:
                           unconsumed bytes already scanned */
    uint32_t remaining; /* payload bytes still to come; of a line: still allowed */
    uint8_t state;
    uint8_t type; /* of the string under way */
    uint8_t flags;
    uint8_t depth;
    uint8_t attribute_depth; /* where the attribute under way began, plus 1 */
    uint8_t fault;
    uint32_t left[RLK_RESP_MAX_DEPTH]; /* elements still to come, and what the aggregate is */
} rlk_resp_parser;

/*
 * Begins at the start of a stream. Strings of up to `whole_max` bytes always come in one piece
 * (FIRST and LAST both set). Longer ones come in fragments, as their bytes arrive: any length in a
 * constant memory. The caller must be able to show whole_max + 2 bytes in one buffer, and at least
 * RLK_RESP_MAX_NUMBER + 3. whole_max may be 0.
 */
RLK_API void rlk_resp_parser_init(rlk_resp_parser *parser, uint32_t whole_max);

/*
 * Parses the next token of buf[0..len). On return *consumed bytes are done with: the next call must
 * begin with the byte behind them (they may be > 0 with RLK_RESP_MORE too). After RLK_RESP_MORE the
 * same unconsumed bytes must be shown again, with more behind them. Token data points into `buf`.
 *
 * Order of tokens: an aggregate's token, then its elements; an attribute's, its elements, then the
 * value that it belongs to. Of a string in fragments only the last may be empty; the first of a
 * verbatim string has at least its format. A streamed string is a BULK of value -1 in fragments. A
 * streamed aggregate ends with RLK_RESP_END (at the aggregate's own depth).
 *
 * Strict where RESP says so: CRLF and nothing else ends a line or a payload, and a line contains
 * neither CR nor LF; numbers have a sign, lengths and counts none (but $-1 and *-1); a double has
 * digits before its point; a push is at the top level only; a streamed map has a value for each
 * key; an attribute has a value behind it. Leading zeros are allowed. The tokens of a stream do not
 * depend on how it was cut.
 */
RLK_API rlk_resp_status rlk_resp_next(rlk_resp_parser *parser, const uint8_t *buf, size_t len,
                                      size_t *consumed, rlk_resp_token *token);

/* Reason of RLK_RESP_BAD. */
RLK_API rlk_resp_fault rlk_resp_parser_fault(const rlk_resp_parser *parser);

/* True between two top-level values: nothing has been consumed of the next one. */
RLK_API bool rlk_resp_parser_idle(const rlk_resp_parser *parser);

#ifdef __cplusplus
}
#endif

#endif
