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
 *    BAD    from anywhere, and it stays
 *
 * Errors are found at the byte that makes them, never later because of how the bytes were cut:
 * what a stream comes to depends on its bytes alone.
 */
#include "resplock/resp.h"

#include "apart.h"

#include <string.h>

#if RLK_RESP_MAX_LEN > 2147483647 || RLK_RESP_MAX_COUNT > 1073741823
#error "a bound of RESP beyond what the parser's fields hold"
#endif

/* Conditions with it are constant: what RESP2 has no use for is left out by the compiler. */
#ifdef RLK_RESP2_ONLY
#define PARSER_RESP3 0
#else
#define PARSER_RESP3 1
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
    PARSER_STEP_OPEN = RLK_RESP_TOKEN, /* an aggregate begins, its token is ready */
    PARSER_STEP_MORE = RLK_RESP_MORE,
    PARSER_STEP_EMPTY, /* the same, and its only element is over */
    PARSER_STEP_PART,  /* a fragment, not the last one */
    PARSER_STEP_LAST,  /* the last or only fragment, or a value that has none */
    PARSER_STEP_ON,    /* go on in the new state */
    PARSER_STEP_FAULT  /* and above: bad, by this rlk_resp_fault */
};

/* What follows a type byte. */
enum parser_trait {
    PARSER_TEXT = 0x01,                      /* a line of text */
    PARSER_NUMBER = 0x02,                    /* a line with a number, a length or a count */
    PARSER_SIGNED = 0x04,                    /* it may have a sign */
    PARSER_NULLABLE = 0x08,                  /* it may be -1: an old null */
    PARSER_STREAMABLE = 0x10 * PARSER_RESP3, /* it may be `?` */
    PARSER_PAYLOAD = 0x20,                   /* it is the length of a string */
    PARSER_PAIRS = 0x40 * PARSER_RESP3       /* it counts two elements each */
};

/* What is shown and not consumed yet. */
typedef struct parser_input {
    const uint8_t *at;
    const uint8_t *end;
} parser_input;

/* Beside the count in `left`, what the aggregate is. That of a streamed one counts down from the
 * bound. */
#define PARSER_STREAMED     UINT32_C(0x80000000)
#define PARSER_ATTRIBUTE    UINT32_C(0x40000000)
#define PARSER_STREAMED_MAP (PARSER_STREAMED | PARSER_ATTRIBUTE) /* attributes are not streamed */
#define PARSER_COUNT        UINT32_C(0x3FFFFFFF)

/* A little above INT64_MAX / 10, and easy to compare with on 32 bits. Another digit can't wrap 64
 * bits below it, and what is not below it exceeds every bound with that digit. */
#define PARSER_TENTH_OF_MAX UINT64_C(0x0CCCCCCD00000000)

/* Format and colon of a verbatim string. */
#define PARSER_FORMAT_LEN 4u

/* Type byte of a piece of a streamed string: of no token. */
#define PARSER_PIECE_TYPE ';'

/* The frequent ones first: they are searched. */
static const struct {
    uint8_t type;
    uint8_t traits;
} parser_types[] = {
    {RLK_RESP_SIMPLE, PARSER_TEXT},
    {RLK_RESP_BULK, PARSER_NUMBER | PARSER_PAYLOAD | PARSER_NULLABLE | PARSER_STREAMABLE},
    {RLK_RESP_INTEGER, PARSER_NUMBER | PARSER_SIGNED},
    {RLK_RESP_ARRAY, PARSER_NUMBER | PARSER_NULLABLE | PARSER_STREAMABLE},
    {RLK_RESP_ERROR, PARSER_TEXT},
#if PARSER_RESP3
    {RLK_RESP_PUSH, PARSER_NUMBER},
    {RLK_RESP_MAP, PARSER_NUMBER | PARSER_PAIRS | PARSER_STREAMABLE},
    {RLK_RESP_VERBATIM, PARSER_NUMBER | PARSER_PAYLOAD},
    {RLK_RESP_BLOB_ERROR, PARSER_NUMBER | PARSER_PAYLOAD},
    {RLK_RESP_SET, PARSER_NUMBER | PARSER_STREAMABLE},
    {RLK_RESP_ATTRIBUTE, PARSER_NUMBER | PARSER_PAIRS},
    {RLK_RESP_BIG_NUMBER, PARSER_TEXT},
#endif
};

static unsigned parser_traits(uint8_t type)
{
    unsigned i;

    for (i = 0; i < sizeof parser_types / sizeof parser_types[0]; i++)
        if (parser_types[i].type == type)
            return parser_types[i].traits;
    return 0;
}

/* The traits of a type that allow what stands where its first digit may. */
static unsigned parser_sign_trait(uint8_t sign)
{
    if (sign == '-')
        return PARSER_SIGNED | PARSER_NULLABLE;
    if (sign == '+')
        return PARSER_SIGNED;
    return sign == '?' ? PARSER_STREAMABLE : 0;
}

static int parser_fail(rlk_resp_fault fault)
{
    return PARSER_STEP_FAULT + (int)fault;
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
static int parser_line_end(const uint8_t *at, const uint8_t *end)
{
    if (end - at >= 2 && memcmp(at, "\r\n", 2) == 0)
        return PARSER_STEP_ON;
    if (at < end && (*at != '\r' || end - at >= 2))
        return parser_fail(RLK_RESP_FAULT_TERMINATOR);
    return PARSER_STEP_MORE;
}

/*
 * A value is complete, and with it every aggregate whose last element it is. Returns DONE when
 * that reaches the top level.
 */
static unsigned parser_complete(rlk_resp_parser *parser)
{
    unsigned level = parser->depth;

    parser->state = PARSER_START;
    while (level != 0) {
        uint32_t left = --parser->left[--level];

        parser->flags |= RLK_RESP_FIRST;
        if ((left & (PARSER_COUNT | PARSER_STREAMED)) != 0)
            return 0;
        parser->depth = (uint8_t)level;
        if (PARSER_RESP3 && left == PARSER_ATTRIBUTE) { /* no element of what is around it */
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

/*
 * [sign] digits [. digits] [e [sign] digits], or inf, -inf, nan. Returns the first byte that
 * can't belong to it; *whole: what is before it is a double already.
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
static int parser_scalar(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    uint8_t type = *in->at;
    const uint8_t *end = in->end;
    const uint8_t *text = in->at + 1;
    const uint8_t *at = text;
    const uint8_t *bound = end - text > RLK_RESP_MAX_NUMBER ? text + RLK_RESP_MAX_NUMBER : end;
    bool whole = true;
    unsigned level = parser->depth - 1u;
    int step;

    switch (type) {
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
                return parser_fail(RLK_RESP_FAULT_RANGE);
            whole = false;
        }
        token->data = text;
        token->len = (size_t)(at - text);
        token->value = at - text;
        break;
    case RLK_RESP_END:
        if (parser->state == PARSER_VALUE || parser->depth == 0 ||
            (parser->left[level] & PARSER_STREAMED) == 0 ||
            /* a key without its value */
            (parser->left[level] >= PARSER_STREAMED_MAP &&
             ((RLK_RESP_MAX_COUNT - parser->left[level]) & 1u) != 0))
            return parser_fail(RLK_RESP_FAULT_TYPE);
        break;
    default:
        return parser_fail(RLK_RESP_FAULT_TYPE);
    }
    if (!whole)
        return parser_fail(RLK_RESP_FAULT_TEXT);
    step = parser_line_end(at, end);
    if (step != PARSER_STEP_ON)
        return step;
    in->at = at + 2;
    token->type = (rlk_resp_type)type;
    if (type == RLK_RESP_END)
        parser->depth = (uint8_t)level; /* closed: an element of what is around it */
    return PARSER_STEP_LAST;
}

/* An aggregate of `count` elements, or pairs, or a streamed one. */
static int parser_open(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type, uint32_t count,
                       unsigned traits, bool is_streamed)
{
    unsigned level = parser->depth;
    unsigned shift = (traits & PARSER_PAIRS) != 0 ? 1u : 0u;
    uint32_t kind = 0;
    int step = PARSER_STEP_OPEN;

    if (count > RLK_RESP_MAX_COUNT >> shift)
        return parser_fail(RLK_RESP_FAULT_RANGE);
    if (level == RLK_RESP_MAX_DEPTH)
        return parser_fail(RLK_RESP_FAULT_DEPTH);
    count <<= shift;
    if (PARSER_RESP3 && type == RLK_RESP_PUSH)
        parser->flags |= RLK_RESP_IN_PUSH;
    if (PARSER_RESP3 && type == RLK_RESP_ATTRIBUTE) {
        kind = PARSER_ATTRIBUTE;
        if (parser->attribute_depth == 0) {
            parser->attribute_depth = (uint8_t)(level + 1u);
            parser->flags |= RLK_RESP_IN_ATTRIBUTE;
        }
    }
    token->type = (rlk_resp_type)type;
    token->depth = (uint8_t)level;
    token->value = is_streamed ? -1 : (int64_t)count;
    token->flags = (uint8_t)(parser->flags | RLK_RESP_LAST);
    parser->state = PARSER_START;
    parser->depth = (uint8_t)(level + 1u);
    if (is_streamed) {
        count = RLK_RESP_MAX_COUNT | (type == RLK_RESP_MAP ? PARSER_STREAMED_MAP : PARSER_STREAMED);
    } else if (count == 0) { /* complete, as behind the only element of a longer one */
        step = PARSER_STEP_EMPTY;
        count = 1;
    }
    parser->left[level] = count | kind;
    return step;
}

/* A length: `$`, `!`, `=` begin a string, `;` goes on with one. */
static int parser_payload(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type,
                          uint32_t len)
{
    bool piece = PARSER_RESP3 && type == PARSER_PIECE_TYPE;
    uint32_t before = piece ? parser->length : 0;

    if (len > RLK_RESP_MAX_LEN - before)
        return parser_fail(RLK_RESP_FAULT_RANGE);
    parser->length = before + len;
    parser->remaining = len;
    if (piece) {
        token->type = RLK_RESP_BULK;
        token->value = -1;
        if (len == 0)
            return PARSER_STEP_LAST;
        parser->state = PARSER_PIECE;
        return PARSER_STEP_ON;
    }
    parser->type = type;
    parser->state = PARSER_STRING;
    if (PARSER_RESP3 && type == RLK_RESP_VERBATIM) {
        if (len < PARSER_FORMAT_LEN)
            return parser_fail(RLK_RESP_FAULT_TEXT);
    } else if (len <= parser->whole_max) {
        parser->wanted = len + 1u; /* nothing to say before its terminator begins */
    }
    return PARSER_STEP_ON;
}

/* An integer, or a length or count with what it announces. */
static int parser_number(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token,
                         unsigned traits)
{
    uint8_t type = *in->at;
    const uint8_t *end = in->end;
    const uint8_t *begin = in->at + 1;
    const uint8_t *at = begin;
    const uint8_t *stop = end;
    uint8_t sign = 0;
    uint64_t value = 0;
    int step;

    if (at < end && !parser_is_digit(*at)) {
        sign = *at++;
        if ((traits & parser_sign_trait(sign)) == 0 ||
            (sign != '?' && at < end && !parser_is_digit(*at)))
            return parser_fail(RLK_RESP_FAULT_NUMBER);
        if (PARSER_RESP3 && sign == '?')
            stop = at; /* no digits */
    }
    for (; at < stop; at++) {
        unsigned digit = *at - (unsigned)'0';

        if (digit > 9)
            break;
        if (value >= PARSER_TENTH_OF_MAX)
            return parser_fail(RLK_RESP_FAULT_RANGE);
        value = value * 10u + digit;
    }
    if (at - begin > RLK_RESP_MAX_NUMBER ||
        (value > INT64_MAX && (sign != '-' || value - 1u > INT64_MAX)))
        return parser_fail(RLK_RESP_FAULT_RANGE);
    step = parser_line_end(at, end);
    if (step > PARSER_STEP_FAULT && *at != '\r')
        return parser_fail(at - begin < RLK_RESP_MAX_NUMBER ? RLK_RESP_FAULT_NUMBER
                                                            : RLK_RESP_FAULT_RANGE);
    if (step != PARSER_STEP_ON)
        return step;
    in->at = at + 2;
    if ((traits & PARSER_SIGNED) != 0) {
        if (sign == '-')
            value = UINT64_C(0) - value;
        memcpy(&token->value, &value, sizeof value); /* its bits: INT64_MIN has no positive */
        token->type = (rlk_resp_type)type;
        return PARSER_STEP_LAST;
    }
    if (sign == '-') {
        token->type = RLK_RESP_NULL;
        token->value = type == RLK_RESP_ARRAY;
        return value == 1u ? PARSER_STEP_LAST : parser_fail(RLK_RESP_FAULT_NUMBER);
    }
    if ((uint32_t)(value >> 32) != 0)
        return parser_fail(RLK_RESP_FAULT_RANGE);
    if ((traits & PARSER_PAYLOAD) != 0) {
        token->data = in->at; /* of an empty last piece too */
        if (!PARSER_RESP3 || sign == 0)
            return parser_payload(parser, token, type, (uint32_t)value);
        parser->length = 0;
        parser->type = type;
        parser->state = PARSER_CHUNK;
        return PARSER_STEP_ON;
    }
    return parser_open(parser, token, type, (uint32_t)value, traits, PARSER_RESP3 && sign == '?');
}

/* From a type byte to the end of its line, or to the text or payload behind it. */
static int parser_head(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    uint8_t type;
    unsigned traits;

    type = *in->at;
    traits = parser_traits(type);
    if (PARSER_RESP3 && parser->state == PARSER_CHUNK) {
        if (type != PARSER_PIECE_TYPE)
            return parser_fail(RLK_RESP_FAULT_TYPE);
        traits = PARSER_NUMBER | PARSER_PAYLOAD;
    } else if (PARSER_RESP3 && parser->depth > 0) {
        if (type == RLK_RESP_PUSH)
            return parser_fail(RLK_RESP_FAULT_TYPE);
        if ((parser->left[parser->depth - 1u] & PARSER_COUNT) == 0 && type != RLK_RESP_END)
            return parser_fail(RLK_RESP_FAULT_RANGE); /* a streamed one at its bound */
    }
    if ((traits & PARSER_TEXT) != 0) {
        in->at++;
        parser->type = type;
        parser->state = PARSER_LINE;
        parser->length = 0;
        parser->remaining = RLK_RESP_MAX_LEN;
        return PARSER_STEP_ON;
    }
    if ((traits & PARSER_NUMBER) != 0)
        return parser_number(parser, in, token, traits);
    return PARSER_RESP3 ? parser_scalar(parser, in, token) : parser_fail(RLK_RESP_FAULT_TYPE);
}

/* Returns the first byte from `at` that ends the text of the line, or that no line may have. */
static const uint8_t *parser_scan(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at > '\r' || (*at != '\r' && *at != '\n')))
        at++;
    return at;
}

static int parser_line(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    const uint8_t *begin = in->at;
    const uint8_t *end = in->end;
    const uint8_t *at = begin + parser->length;
    bool first = (parser->flags & RLK_RESP_FIRST) != 0;
    size_t len;
    int step;

    if (PARSER_RESP3 && parser->type == RLK_RESP_BIG_NUMBER) {
        if (first && at == begin && at < end && parser_is_sign(*at))
            at++;
        at = parser_skip_digits(at, end);
        if (at < end && (*at != '\r' || (first && (at == begin || !parser_is_digit(at[-1])))))
            return parser_fail(RLK_RESP_FAULT_TEXT);
    } else {
        at = parser_scan(at, end);
    }
    len = (size_t)(at - begin);
    if (first && len <= parser->whole_max)
        token->value = (int64_t)len;
    else if (len <= parser->remaining)
        token->value = -1; /* in fragments */
    else
        return parser_fail(RLK_RESP_FAULT_RANGE);
    step = parser_line_end(at, end);
    if (step > PARSER_STEP_FAULT)
        return step;
    if (step == PARSER_STEP_ON) {
        in->at = at + 2;
        step = PARSER_STEP_LAST;
    } else {
        if (token->value >= 0 || len == 0 ||
            /* a sign doesn't go without a digit */
            (PARSER_RESP3 && first && len == 1 && parser->type == RLK_RESP_BIG_NUMBER)) {
            parser->length = (uint32_t)len;
            return step;
        }
        in->at = at;
        parser->length = 0;
        parser->remaining -= (uint32_t)len;
        step = PARSER_STEP_PART;
    }
    token->type = (rlk_resp_type)parser->type;
    token->data = begin;
    token->len = len;
    return step;
}

/* Payload of a string, or of a piece of a streamed one. */
static int parser_string(rlk_resp_parser *parser, parser_input *in, rlk_resp_token *token)
{
    const uint8_t *begin = in->at;
    size_t len = (size_t)(in->end - begin);
    uint32_t remaining = parser->remaining;
    bool piece = PARSER_RESP3 && parser->state == PARSER_PIECE;
    int step = PARSER_STEP_MORE;

    if (PARSER_RESP3 && parser->type == RLK_RESP_VERBATIM &&
        (parser->flags & RLK_RESP_FIRST) != 0) {
        if (len < PARSER_FORMAT_LEN)
            return step;
        if (begin[PARSER_FORMAT_LEN - 1u] != ':')
            return parser_fail(RLK_RESP_FAULT_TEXT);
    }
    if (len > remaining) {
        len = remaining;
        step = parser_line_end(begin + len, in->end);
    }
    if (step == PARSER_STEP_ON) {
        in->at = begin + len + 2;
        step = PARSER_STEP_LAST;
        if (piece) {
            parser->state = PARSER_CHUNK;
            if (len == 0)
                return PARSER_STEP_ON;
            step = PARSER_STEP_PART;
        }
    } else if (step > PARSER_STEP_FAULT || len == 0 ||
               (!piece && parser->length <= parser->whole_max)) {
        return step;
    } else {
        in->at = begin + len;
        step = PARSER_STEP_PART;
    }
    parser->wanted = 1;
    parser->remaining = remaining - (uint32_t)len;
    token->type = (rlk_resp_type)parser->type;
    token->data = begin;
    token->len = len;
    token->value = piece ? -1 : (int64_t)parser->length;
    return step;
}

/* Up to a token, or to the end of the bytes, of which there is at least one. Apart: all in one
 * function needs more registers than Thumb has. */
static RLKI_APART_FOR_SIZE int parser_run(rlk_resp_parser *parser, parser_input *in,
                                          rlk_resp_token *token)
{
    do {
        int step;

        if (parser->state <= PARSER_CHUNK) {
            step = parser_head(parser, in, token);
            if (step != PARSER_STEP_ON)
                return step;
        }
        if (parser->state == PARSER_LINE)
            return parser_line(parser, in, token);
        if (parser->state == PARSER_BAD)
            return PARSER_STEP_FAULT + parser->fault;
        if (parser->state != PARSER_CHUNK) {
            step = parser_string(parser, in, token);
            if (step != PARSER_STEP_ON)
                return step;
        }
    } while (in->at < in->end);
    return PARSER_STEP_MORE;
}

/* Apart from rlk_resp_next, whose most frequent call ends before it: that one needs no frame. */
static RLKI_APART rlk_resp_status parser_token(rlk_resp_parser *parser, const uint8_t *buf,
                                               size_t len, size_t *consumed, rlk_resp_token *token)
{
    parser_input in;
    int step;

    in.at = buf;
    in.end = len != 0 ? buf + len : buf; /* which may be NULL */
    token->data = NULL;
    token->len = 0;
    token->value = 0;
    step = parser_run(parser, &in, token);
    *consumed = (size_t)(in.at - buf);
    if (step < PARSER_STEP_EMPTY)
        return (rlk_resp_status)step;
    if (step > PARSER_STEP_FAULT) {
        parser->state = PARSER_BAD;
        parser->wanted = 0;
        parser->fault = (uint8_t)(step - PARSER_STEP_FAULT);
        return RLK_RESP_BAD;
    }
    if (step != PARSER_STEP_EMPTY) {
        token->depth = parser->depth;
        token->flags = parser->flags;
        if (step == PARSER_STEP_PART) {
            parser->flags = (uint8_t)(parser->flags & ~RLK_RESP_FIRST);
            return RLK_RESP_TOKEN;
        }
    }
    token->flags = (uint8_t)(token->flags | RLK_RESP_LAST | parser_complete(parser));
    return RLK_RESP_TOKEN;
}

void rlk_resp_parser_init(rlk_resp_parser *parser, uint32_t whole_max)
{
    parser->whole_max = whole_max < RLK_RESP_MAX_LEN ? whole_max : RLK_RESP_MAX_LEN;
    parser->wanted = 1;
    parser->length = 0;
    parser->remaining = 0;
    parser->state = PARSER_START;
    parser->type = 0;
    parser->flags = RLK_RESP_FIRST;
    parser->depth = 0;
    parser->attribute_depth = 0;
    parser->fault = RLK_RESP_FAULT_NONE;
    /* `left` is written before it is read: an aggregate opens */
}

bool rlk_resp_parser_idle(const rlk_resp_parser *parser)
{
    return parser->state == PARSER_START && parser->depth == 0;
}

rlk_resp_status rlk_resp_next(rlk_resp_parser *parser, const uint8_t *buf, size_t len,
                              size_t *consumed, rlk_resp_token *token)
{
    if (len < parser->wanted) { /* a reply that drips in: most calls end here */
        *consumed = 0;
        return RLK_RESP_MORE;
    }
    return parser_token(parser, buf, len, consumed, token);
}

rlk_resp_fault rlk_resp_parser_fault(const rlk_resp_parser *parser)
{
    return (rlk_resp_fault)parser->fault;
}
