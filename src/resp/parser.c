/* SPDX-License-Identifier: MIT
 *
 * Bytes to tokens. One pass, no recursion, no memory but the parser's own few bytes.
 *
 *        number, null, boolean, double,
 *        aggregate, end of a streamed one
 *                     .-----.
 *                     v     |
 *    init -------> START or VALUE ------------------.
 *                  |  ^   |  ^  ^                   | $?
 *            + - ( |  |   |  |  |        ;0         v
 *                  v  |   |  |  '---------------- CHUNK <-.
 *                 LINE    |  |                      |     |
 *           text, CRLF    |  | payload, CRLF     ;n |     | payload, CRLF
 *                $n !n =n v  |                      v     |
 *                        STRING                   PIECE --'
 *
 *    START  before a value, or before the end of a streamed aggregate
 *    VALUE  the same behind an attribute: a value must come, since the attribute belongs to it
 *    BAD    from anywhere, for ever
 *
 * Errors are found at the byte that makes them, never later because of how the bytes were cut:
 * what a stream comes to depends on its bytes alone.
 */
#include "resplock/resp.h"

#include <string.h>

#if RLK_RESP_MAX_DEPTH > 254 || RLK_RESP_MAX_LEN > 2147483647 || RLK_RESP_MAX_COUNT > 2147483647
#error "a bound of RESP beyond what the parser's fields hold"
#endif

enum parser_state {
    PARSER_START,
    PARSER_VALUE,
    PARSER_CHUNK,  /* header of a piece of a streamed string */
    PARSER_PIECE,  /* its payload, and its CRLF */
    PARSER_STRING, /* payload of known length, and its CRLF */
    PARSER_LINE,   /* text of a simple string, an error, a big number */
    PARSER_BAD
};

/* What a step came to. */
enum parser_step {
    PARSER_STEP_TOKEN = RLK_RESP_TOKEN,
    PARSER_STEP_MORE = RLK_RESP_MORE,
    PARSER_STEP_BAD = RLK_RESP_BAD,
    PARSER_STEP_ON /* go on in the new state */
};

/* What follows a type byte. */
enum parser_trait {
    PARSER_TEXT = 0x01,       /* a line of text */
    PARSER_NUMBER = 0x02,     /* a line with a number, a length or a count */
    PARSER_SIGNED = 0x04,     /* it may have a sign */
    PARSER_NULLABLE = 0x08,   /* it may be -1: an old null */
    PARSER_STREAMABLE = 0x10, /* it may be `?` */
    PARSER_PAYLOAD = 0x20,    /* it is the length of a string */
    PARSER_PAIRS = 0x40       /* it counts two elements each */
};

/* Beside the type in `kind`: a streamed aggregate. Its `left` counts down from the bound. */
#define PARSER_STREAMED 0x80u

/* Upper half of INT64_MAX / 10. Another digit can't wrap 64 bits while it is not exceeded, and what
 * exceeds it exceeds every bound with that digit. */
#define PARSER_TENTH_OF_MAX_HIGH UINT32_C(0x0CCCCCCC)

/* Format and colon of a verbatim string. */
#define PARSER_FORMAT_LEN 4u

/* Type byte of a piece of a streamed string: of no token. */
#define PARSER_PIECE_TYPE ';'

static unsigned parser_traits(uint8_t type)
{
    switch (type) {
    case RLK_RESP_SIMPLE:
    case RLK_RESP_ERROR:
    case RLK_RESP_BIG_NUMBER:
        return PARSER_TEXT;
    case RLK_RESP_INTEGER:
        return PARSER_NUMBER | PARSER_SIGNED;
    case RLK_RESP_BULK:
        return PARSER_NUMBER | PARSER_PAYLOAD | PARSER_NULLABLE | PARSER_STREAMABLE;
    case RLK_RESP_BLOB_ERROR:
    case RLK_RESP_VERBATIM:
        return PARSER_NUMBER | PARSER_PAYLOAD;
    case RLK_RESP_ARRAY:
        return PARSER_NUMBER | PARSER_NULLABLE | PARSER_STREAMABLE;
    case RLK_RESP_SET:
        return PARSER_NUMBER | PARSER_STREAMABLE;
    case RLK_RESP_MAP:
        return PARSER_NUMBER | PARSER_PAIRS | PARSER_STREAMABLE;
    case RLK_RESP_ATTRIBUTE:
        return PARSER_NUMBER | PARSER_PAIRS;
    case RLK_RESP_PUSH:
        return PARSER_NUMBER;
    default:
        return 0;
    }
}

/* The traits of a type that allow what stands where its first digit may. */
static unsigned parser_sign_trait(uint8_t sign)
{
    switch (sign) {
    case '+':
        return PARSER_SIGNED;
    case '-':
        return PARSER_SIGNED | PARSER_NULLABLE;
    case '?':
        return PARSER_STREAMABLE;
    default:
        return 0;
    }
}

static int parser_fail(rlk_resp_parser *parser, rlk_resp_fault fault)
{
    parser->state = PARSER_BAD;
    parser->wanted = 0;
    parser->fault = (uint8_t)fault;
    return PARSER_STEP_BAD;
}

static bool parser_is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') <= 9;
}

static bool parser_is_sign(uint8_t byte)
{
    return byte == '-' || byte == '+';
}

static const uint8_t *parser_skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && parser_is_digit(*at))
        at++;
    return at;
}

/* Is CRLF at `at`? ON if so. */
static int parser_line_end(rlk_resp_parser *parser, const uint8_t *at, const uint8_t *end)
{
    if (at < end && *at != '\r')
        return parser_fail(parser, RLK_RESP_FAULT_TERMINATOR);
    if (end - at < 2)
        return PARSER_STEP_MORE;
    if (at[1] != '\n')
        return parser_fail(parser, RLK_RESP_FAULT_TERMINATOR);
    return PARSER_STEP_ON;
}

/*
 * A value is complete, and with it every aggregate whose last element it is. Returns DONE when
 * that reaches the top level.
 */
static unsigned parser_complete(rlk_resp_parser *parser)
{
    parser->state = PARSER_START;
    while (parser->depth > 0) {
        unsigned level = parser->depth - 1u;
        uint8_t kind = parser->kind[level];

        parser->left[level]--;
        if (parser->left[level] > 0 || (kind & PARSER_STREAMED) != 0)
            return 0;
        parser->depth = (uint8_t)level;
        if (kind == RLK_RESP_ATTRIBUTE) { /* no element of what is around it */
            parser->state = PARSER_VALUE;
            if (parser->attribute_depth == level + 1u) {
                parser->attribute_depth = 0;
                parser->flags = (uint8_t)(parser->flags & ~RLK_RESP_IN_ATTRIBUTE);
            }
            return 0;
        }
    }
    parser->flags = RLK_RESP_FIRST;
    return RLK_RESP_DONE;
}

/* Fills the token in; its data, length and value are the caller's. `last` is LAST or 0. */
static int parser_emit(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type, unsigned last)
{
    unsigned flags = parser->flags | last;

    token->type = (rlk_resp_type)type;
    token->depth = parser->depth;
    if (last != 0) {
        parser->flags |= RLK_RESP_FIRST;
        flags |= parser_complete(parser);
    } else {
        parser->flags = (uint8_t)(parser->flags & ~RLK_RESP_FIRST);
    }
    token->flags = (uint8_t)flags;
    return PARSER_STEP_TOKEN;
}

/*
 * [sign] digits [. digits] [e [sign] digits], or inf, -inf, nan. Returns the first byte that
 * can't belong to it; *whole tells if what stands before is a double already.
 */
static const uint8_t *parser_double_text(const uint8_t *at, const uint8_t *end, bool *whole)
{
    const char *word = "nan";
    const uint8_t *part;

    *whole = false;
    if (at < end && parser_is_sign(*at)) {
        word = *at == '-' ? "inf" : "";
        at++;
    } else if (at < end && *at == 'i') {
        word = "inf";
    }
    part = at;
    at = parser_skip_digits(at, end);
    if (at == part) {
        for (; at < end && *word != '\0' && *at == (uint8_t)*word; at++)
            word++;
        *whole = at > part && *word == '\0';
        return at;
    }
    if (at < end && *at == '.') {
        part = ++at;
        at = parser_skip_digits(at, end);
        if (at == part)
            return at;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && parser_is_sign(*at))
            at++;
        part = at;
        at = parser_skip_digits(at, end);
        if (at == part)
            return at;
    }
    *whole = true;
    return at;
}

/* Null, boolean, double, end of a streamed aggregate. */
static int parser_scalar(rlk_resp_parser *parser, const uint8_t *buf, size_t len, size_t *consumed,
                         rlk_resp_token *token)
{
    const uint8_t *end = buf + len;
    const uint8_t *text = buf + 1;
    const uint8_t *at = text;
    const uint8_t *bound = len > RLK_RESP_MAX_NUMBER + 1u ? text + RLK_RESP_MAX_NUMBER : end;
    bool whole = true;
    unsigned level = parser->depth - 1u;
    int step;

    switch (*buf) {
    case RLK_RESP_NULL:
        break;
    case RLK_RESP_BOOLEAN:
        if (at == end)
            return PARSER_STEP_MORE;
        token->value = *at == 't' ? 1 : 0;
        whole = *at == 't' || *at == 'f';
        at++;
        break;
    case RLK_RESP_DOUBLE:
        at = parser_double_text(text, bound, &whole);
        if (at == end && !whole)
            return PARSER_STEP_MORE;
        if (at < end && *at != '\r') {
            if (at == bound)
                return parser_fail(parser, RLK_RESP_FAULT_RANGE);
            whole = false;
        }
        token->data = text;
        token->len = (size_t)(at - text);
        token->value = at - text;
        break;
    case RLK_RESP_END:
        if (parser->state == PARSER_VALUE || parser->depth == 0 ||
            (parser->kind[level] & PARSER_STREAMED) == 0 ||
            /* a key without its value */
            (parser->kind[level] == (RLK_RESP_MAP | PARSER_STREAMED) &&
             ((RLK_RESP_MAX_COUNT - parser->left[level]) & 1u) != 0))
            return parser_fail(parser, RLK_RESP_FAULT_TYPE);
        break;
    default:
        return parser_fail(parser, RLK_RESP_FAULT_TYPE);
    }
    if (!whole)
        return parser_fail(parser, RLK_RESP_FAULT_TEXT);
    step = parser_line_end(parser, at, end);
    if (step != PARSER_STEP_ON)
        return step;
    *consumed += (size_t)(at + 2 - buf);
    if (*buf == RLK_RESP_END)
        parser->depth = (uint8_t)level; /* closed: an element of what is around it */
    return parser_emit(parser, token, *buf, RLK_RESP_LAST);
}

/* An aggregate of `count` elements, or pairs, or a streamed one. */
static int parser_open(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type, uint32_t count,
                       unsigned traits, bool is_streamed)
{
    unsigned level = parser->depth;
    unsigned shift = (traits & PARSER_PAIRS) != 0 ? 1u : 0u;

    if (count > RLK_RESP_MAX_COUNT >> shift)
        return parser_fail(parser, RLK_RESP_FAULT_RANGE);
    if (level == RLK_RESP_MAX_DEPTH)
        return parser_fail(parser, RLK_RESP_FAULT_DEPTH);
    count <<= shift;
    if (type == RLK_RESP_PUSH)
        parser->flags |= RLK_RESP_IN_PUSH;
    if (type == RLK_RESP_ATTRIBUTE && parser->attribute_depth == 0) {
        parser->attribute_depth = (uint8_t)(level + 1u);
        parser->flags |= RLK_RESP_IN_ATTRIBUTE;
    }
    token->type = (rlk_resp_type)type;
    token->depth = (uint8_t)level;
    token->value = is_streamed ? -1 : (int64_t)count;
    token->flags = (uint8_t)(parser->flags | RLK_RESP_LAST);
    parser->state = PARSER_START;
    parser->depth = (uint8_t)(level + 1u);
    parser->kind[level] = (uint8_t)(is_streamed ? type | PARSER_STREAMED : type);
    parser->left[level] = is_streamed ? RLK_RESP_MAX_COUNT : count;
    if (parser->left[level] == 0) { /* complete, as behind the only element of a longer one */
        parser->left[level] = 1;
        token->flags = (uint8_t)(token->flags | parser_complete(parser));
    }
    return PARSER_STEP_TOKEN;
}

/* A length: `$`, `!`, `=` begin a string, `;` goes on with one. */
static int parser_payload(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type,
                          uint32_t len)
{
    bool piece = type == PARSER_PIECE_TYPE;
    uint32_t before = piece ? parser->length : 0;

    if (len > RLK_RESP_MAX_LEN - before)
        return parser_fail(parser, RLK_RESP_FAULT_RANGE);
    parser->length = before + len;
    parser->remaining = len;
    if (piece) {
        token->value = -1;
        if (len == 0)
            return parser_emit(parser, token, RLK_RESP_BULK, RLK_RESP_LAST);
        parser->state = PARSER_PIECE;
        return PARSER_STEP_ON;
    }
    parser->type = type;
    parser->state = PARSER_STRING;
    if (type == RLK_RESP_VERBATIM) {
        if (len < PARSER_FORMAT_LEN)
            return parser_fail(parser, RLK_RESP_FAULT_TEXT);
    } else if (len <= parser->whole_max) {
        parser->wanted = len + 1u; /* nothing to say before its terminator begins */
    }
    return PARSER_STEP_ON;
}

/* An integer, or a length or count with what it announces. */
static int parser_number(rlk_resp_parser *parser, const uint8_t *buf, size_t len, size_t *consumed,
                         rlk_resp_token *token, unsigned traits)
{
    const uint8_t *end = buf + len;
    const uint8_t *at = buf + 1;
    const uint8_t *bound = len > RLK_RESP_MAX_NUMBER + 1u ? at + RLK_RESP_MAX_NUMBER : end;
    uint8_t type = *buf;
    uint8_t sign = 0;
    uint64_t value = 0;
    int step;

    if (at < end && !parser_is_digit(*at)) {
        sign = *at++;
        if ((traits & parser_sign_trait(sign)) == 0 ||
            (sign != '?' && at < end && !parser_is_digit(*at)))
            return parser_fail(parser, RLK_RESP_FAULT_NUMBER);
        if (sign == '?')
            bound = at; /* no digits */
    }
    for (; at < bound; at++) {
        unsigned digit = (unsigned)*at - '0';

        if (digit > 9)
            break;
        if ((uint32_t)(value >> 32) > PARSER_TENTH_OF_MAX_HIGH)
            return parser_fail(parser, RLK_RESP_FAULT_RANGE);
        value = value * 10u + digit;
    }
    if (value > INT64_MAX && (sign != '-' || value - 1u > INT64_MAX))
        return parser_fail(parser, RLK_RESP_FAULT_RANGE);
    if (at < end && *at != '\r')
        return parser_fail(parser, at != bound || sign == '?' ? RLK_RESP_FAULT_NUMBER
                                                              : RLK_RESP_FAULT_RANGE);
    step = parser_line_end(parser, at, end);
    if (step != PARSER_STEP_ON)
        return step;
    *consumed += (size_t)(at + 2 - buf);
    if ((traits & PARSER_SIGNED) != 0) {
        if (sign == '-')
            value = UINT64_C(0) - value;
        memcpy(&token->value, &value, sizeof value); /* its bits: INT64_MIN has no positive */
        return parser_emit(parser, token, type, RLK_RESP_LAST);
    }
    if (sign == '-')
        return value == 1u ? parser_emit(parser, token, RLK_RESP_NULL, RLK_RESP_LAST)
                           : parser_fail(parser, RLK_RESP_FAULT_NUMBER);
    if ((uint32_t)(value >> 32) != 0)
        return parser_fail(parser, RLK_RESP_FAULT_RANGE);
    if ((traits & PARSER_PAYLOAD) != 0) {
        token->data = at + 2; /* of an empty last piece too */
        if (sign == 0)
            return parser_payload(parser, token, type, (uint32_t)value);
        parser->length = 0;
        parser->type = type;
        parser->state = PARSER_CHUNK;
        return PARSER_STEP_ON;
    }
    return parser_open(parser, token, type, (uint32_t)value, traits, sign == '?');
}

/* From a type byte to the end of its line, or to the text or payload behind it. */
static int parser_head(rlk_resp_parser *parser, const uint8_t *buf, size_t len, size_t *consumed,
                       rlk_resp_token *token)
{
    uint8_t type;
    unsigned traits;

    if (len == 0)
        return PARSER_STEP_MORE;
    type = *buf;
    traits = parser_traits(type);
    if (parser->state == PARSER_CHUNK) {
        if (type != PARSER_PIECE_TYPE)
            return parser_fail(parser, RLK_RESP_FAULT_TYPE);
        traits = PARSER_NUMBER | PARSER_PAYLOAD;
    } else if (parser->depth > 0) {
        if (type == RLK_RESP_PUSH)
            return parser_fail(parser, RLK_RESP_FAULT_TYPE);
        if (parser->left[parser->depth - 1u] == 0 && type != RLK_RESP_END)
            return parser_fail(parser, RLK_RESP_FAULT_RANGE); /* a streamed one at its bound */
    }
    if ((traits & PARSER_NUMBER) != 0)
        return parser_number(parser, buf, len, consumed, token, traits);
    if ((traits & PARSER_TEXT) == 0)
        return parser_scalar(parser, buf, len, consumed, token);
    *consumed += 1;
    parser->type = type;
    parser->state = PARSER_LINE;
    parser->length = 0;
    parser->remaining = RLK_RESP_MAX_LEN;
    return PARSER_STEP_ON;
}

/* The first byte from `at` that ends the text of the line, or can't stand in it. */
static const uint8_t *parser_scan(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at > '\r' || (*at != '\r' && *at != '\n')))
        at++;
    return at;
}

static int parser_line(rlk_resp_parser *parser, const uint8_t *buf, size_t len, size_t *consumed,
                       rlk_resp_token *token)
{
    const uint8_t *end = buf + len;
    const uint8_t *at = buf + parser->length;
    bool first = (parser->flags & RLK_RESP_FIRST) != 0;
    size_t hold = first ? parser->whole_max : 0;
    unsigned last = 0;
    int step;

    if (parser->type == RLK_RESP_BIG_NUMBER) {
        if (first && hold == 0)
            hold = 1; /* a sign doesn't go without a digit */
        if (first && at == buf && at < end && parser_is_sign(*at))
            at++;
        at = parser_skip_digits(at, end);
        if (at < end && (*at != '\r' || (first && (at == buf || !parser_is_digit(at[-1])))))
            return parser_fail(parser, RLK_RESP_FAULT_TEXT);
    } else {
        at = parser_scan(at, end);
    }
    len = (size_t)(at - buf);
    if (len > parser->remaining)
        return parser_fail(parser, RLK_RESP_FAULT_RANGE);
    step = parser_line_end(parser, at, end);
    if (step == PARSER_STEP_BAD)
        return step;
    token->value = -1;
    if (step == PARSER_STEP_ON) {
        if (first && len <= parser->whole_max)
            token->value = (int64_t)len;
        last = RLK_RESP_LAST;
        *consumed += 2;
    } else if (len <= hold) {
        parser->length = (uint32_t)len;
        return PARSER_STEP_MORE;
    }
    parser->length = 0;
    parser->remaining -= (uint32_t)len;
    *consumed += len;
    token->data = buf;
    token->len = len;
    return parser_emit(parser, token, parser->type, last);
}

/* Payload of a string, or of a piece of a streamed one. */
static int parser_string(rlk_resp_parser *parser, const uint8_t *buf, size_t len, size_t *consumed,
                         rlk_resp_token *token)
{
    bool piece = parser->state == PARSER_PIECE;
    size_t remaining = parser->remaining;
    unsigned last = 0;
    int step = PARSER_STEP_MORE;

    if (parser->type == RLK_RESP_VERBATIM && (parser->flags & RLK_RESP_FIRST) != 0) {
        if (len < PARSER_FORMAT_LEN)
            return PARSER_STEP_MORE;
        if (buf[PARSER_FORMAT_LEN - 1u] != ':')
            return parser_fail(parser, RLK_RESP_FAULT_TEXT);
    }
    if (len > remaining) {
        step = parser_line_end(parser, buf + remaining, buf + len);
        len = remaining;
    }
    if (step == PARSER_STEP_ON) {
        *consumed += 2;
        last = RLK_RESP_LAST;
        if (piece) {
            parser->state = PARSER_CHUNK;
            if (len == 0)
                return step;
            last = 0;
        }
    } else if (step == PARSER_STEP_BAD || len == 0 ||
               (!piece && parser->length <= parser->whole_max)) {
        return step;
    }
    parser->wanted = 1;
    parser->remaining = (uint32_t)(remaining - len);
    *consumed += len;
    token->data = buf;
    token->len = len;
    token->value = piece ? -1 : (int64_t)parser->length;
    return parser_emit(parser, token, parser->type, last);
}

static int parser_run(rlk_resp_parser *parser, const uint8_t *buf, size_t len, size_t *consumed,
                      rlk_resp_token *token)
{
    const uint8_t *at = buf;
    int step;

    token->data = NULL;
    token->len = 0;
    token->value = 0;
    for (;;) {
        switch (parser->state) {
        case PARSER_START:
        case PARSER_VALUE:
        case PARSER_CHUNK:
            step = parser_head(parser, at, len, consumed, token);
            break;
        case PARSER_PIECE:
        case PARSER_STRING:
            step = parser_string(parser, at, len, consumed, token);
            break;
        case PARSER_LINE:
            step = parser_line(parser, at, len, consumed, token);
            break;
        default:
            return PARSER_STEP_BAD;
        }
        if (step != PARSER_STEP_ON)
            return step;
        len -= (size_t)(buf + *consumed - at);
        at = buf + *consumed;
    }
}

void rlk_resp_parser_init(rlk_resp_parser *parser, uint32_t whole_max)
{
    parser->whole_max = whole_max;
    parser->wanted = 1;
    parser->length = 0;
    parser->remaining = 0;
    parser->state = PARSER_START;
    parser->type = 0;
    parser->flags = RLK_RESP_FIRST;
    parser->depth = 0;
    parser->attribute_depth = 0;
    parser->fault = RLK_RESP_FAULT_NONE;
    /* `kind` and `left` are written before they are read: an aggregate opens */
}

rlk_resp_status rlk_resp_next(rlk_resp_parser *parser, const uint8_t *buf, size_t len,
                              size_t *consumed, rlk_resp_token *token)
{
    *consumed = 0;
    if (len < parser->wanted) /* a reply that drips in: most calls end here */
        return RLK_RESP_MORE;
    return (rlk_resp_status)parser_run(parser, buf, len, consumed, token);
}

rlk_resp_fault rlk_resp_parser_fault(const rlk_resp_parser *parser)
{
    return (rlk_resp_fault)parser->fault;
}

bool rlk_resp_parser_idle(const rlk_resp_parser *parser)
{
    return parser->state == PARSER_START && parser->depth == 0;
}
