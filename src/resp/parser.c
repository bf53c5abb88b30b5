/* SPDX-License-Identifier: MIT
 *
 * Bytes to tokens. One pass, no recursion, no memory but the parser's own few bytes.
 *
 *            number, null, boolean, double,
 *             aggregate, end of a streamed one
 *                      .------.
 *                      v      |
 *    init ----> START or VALUE --------------------.
 *                 |    ^   |  ^                     |  $?
 *          + - (  |    |   |  |  payload, CRLF      v
 *                 v    |   |  '------ STRING      CHUNK <----------.
 *               LINE --'   |            ^           |  |           | CRLF
 *                   CRLF   '------------'      ;0   |  '-- ;n --> PIECE
 *                            $n !n =n               |
 *                                                   '--> START or VALUE
 *
 *    START  before a value, or before the end of a streamed aggregate
 *    VALUE  the same behind an attribute: a value must come, since the attribute belongs to it
 *    BAD    from anywhere, for ever
 *
 * Errors are found at the byte that makes them, never later because of how the bytes were cut:
 * what a stream comes to depends on its bytes alone.
 */
#include "resplock/resp.h"

enum parser_state {
    PARSER_START,
    PARSER_VALUE,
    PARSER_LINE,   /* text of a simple string, an error, a big number */
    PARSER_STRING, /* payload of known length, and its CRLF */
    PARSER_CHUNK,  /* header of a piece of a streamed string */
    PARSER_PIECE,  /* its payload, and its CRLF */
    PARSER_BAD
};

/* What a step came to. */
enum parser_step {
    PARSER_STEP_TOKEN = RLK_RESP_TOKEN,
    PARSER_STEP_MORE = RLK_RESP_MORE,
    PARSER_STEP_BAD = RLK_RESP_BAD,
    PARSER_STEP_ON /* go on in the new state, or: what was to be read is read */
};

/* Beside the type in `kind`: a streamed aggregate. Its `left` counts down from the bound. */
#define PARSER_STREAMED 0x80u

/* Ten times more than this may not fit 64 bits of an integer. */
#define PARSER_TENTH_OF_MAX UINT64_C(922337203685477580)

/* Format and colon of a verbatim string. */
#define PARSER_FORMAT_LEN 4u

/* The bytes not consumed yet. */
typedef struct parser_view {
    const uint8_t *at;
    const uint8_t *end;
} parser_view;

static int parser_fail(rlk_resp_parser *parser, rlk_resp_fault fault)
{
    parser->state = PARSER_BAD;
    parser->fault = (uint8_t)fault;
    return PARSER_STEP_BAD;
}

static bool parser_is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') <= 9;
}

static const uint8_t *parser_skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && parser_is_digit(*at))
        at++;
    return at;
}

/* A value, or a streamed aggregate by its end, is complete. Returns DONE if at the top level. */
static uint8_t parser_complete(rlk_resp_parser *parser)
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
    parser->flags = 0;
    return RLK_RESP_DONE;
}

static void parser_fill(const rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type,
                        int64_t value)
{
    token->type = (rlk_resp_type)type;
    token->flags = (uint8_t)(parser->flags | RLK_RESP_FIRST | RLK_RESP_LAST);
    token->depth = parser->depth;
    token->data = NULL;
    token->len = 0;
    token->value = value;
}

static int parser_scalar(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type,
                         int64_t value)
{
    parser_fill(parser, token, type, value);
    token->flags = (uint8_t)(token->flags | parser_complete(parser));
    return PARSER_STEP_TOKEN;
}

/* A piece of the string under way; `last` is RLK_RESP_LAST or 0. */
static int parser_fragment(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token,
                           size_t len, unsigned last, int64_t value)
{
    token->type = (rlk_resp_type)parser->type;
    token->flags = (uint8_t)(parser->flags | last);
    token->depth = parser->depth;
    token->data = in->at;
    token->len = len;
    token->value = value;
    in->at += len;
    parser->flags = (uint8_t)(parser->flags & ~RLK_RESP_FIRST);
    if (last != 0)
        token->flags = (uint8_t)(token->flags | parser_complete(parser));
    return PARSER_STEP_TOKEN;
}

static void parser_begin_string(rlk_resp_parser *parser, uint8_t type, enum parser_state state)
{
    parser->state = (uint8_t)state;
    parser->type = type;
    parser->flags = (uint8_t)(parser->flags | RLK_RESP_FIRST);
    parser->length = 0;
}

/* CRLF at `at`. It ends what began at in->at; nothing is consumed before it is whole. */
static int parser_line_end(rlk_resp_parser *parser, parser_view *in, const uint8_t *at)
{
    if (at == in->end)
        return PARSER_STEP_MORE;
    if (at[0] != '\r')
        return parser_fail(parser, RLK_RESP_FAULT_TERMINATOR);
    if (at + 1 == in->end)
        return PARSER_STEP_MORE;
    if (at[1] != '\n')
        return parser_fail(parser, RLK_RESP_FAULT_TERMINATOR);
    in->at = at + 2;
    return PARSER_STEP_ON;
}

/* Where the line of the number at in->at must end at the latest. */
static const uint8_t *parser_number_bound(const parser_view *in)
{
    const uint8_t *text = in->at + 1;

    return (size_t)(in->end - text) > RLK_RESP_MAX_NUMBER ? text + RLK_RESP_MAX_NUMBER : in->end;
}

/* Digits from `at` to the end of the line, of a value of `most` at most. */
static int parser_digits(rlk_resp_parser *parser, parser_view *in, const uint8_t *at, uint64_t most,
                         uint64_t *value)
{
    const uint8_t *bound = parser_number_bound(in);
    const uint8_t *first = at;
    uint64_t sum = 0;

    for (; at < bound && parser_is_digit(*at); at++) {
        if (sum > PARSER_TENTH_OF_MAX)
            return parser_fail(parser, RLK_RESP_FAULT_RANGE);
        sum = sum * 10u + (uint64_t)(*at - '0');
    }
    if (sum > most)
        return parser_fail(parser, RLK_RESP_FAULT_RANGE);
    if (at < in->end && (at == first || *at != '\r'))
        return parser_fail(parser, at < bound ? RLK_RESP_FAULT_NUMBER : RLK_RESP_FAULT_RANGE);
    *value = sum;
    return parser_line_end(parser, in, at);
}

/* `:` [sign] digits. RESP: "an optional plus or minus as the sign" */
static int parser_integer(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    const uint8_t *at = in->at + 1;
    uint64_t most = INT64_MAX;
    uint64_t value;
    bool negative = false;
    int step;

    if (at < in->end && (*at == '-' || *at == '+')) {
        negative = *at == '-';
        most += negative ? 1u : 0u;
        at++;
    }
    step = parser_digits(parser, in, at, most, &value);
    if (step != PARSER_STEP_ON)
        return step;
    /* -1 - (v - 1): INT64_MIN without leaving the type */
    return parser_scalar(parser, token, RLK_RESP_INTEGER,
                         negative && value > 0 ? -1 - (int64_t)(value - 1u) : (int64_t)value);
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
    if (at < end && (*at == '-' || *at == '+')) {
        word = *at == '-' ? "inf" : "";
        at++;
    } else if (at < end && *at == 'i') {
        word = "inf";
    }
    part = at;
    at = parser_skip_digits(at, end);
    if (at == part) {
        while (at < end && *word != '\0' && *at == (uint8_t)*word) {
            at++;
            word++;
        }
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
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        part = at;
        at = parser_skip_digits(at, end);
        if (at == part)
            return at;
    }
    *whole = true;
    return at;
}

static int parser_double(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    const uint8_t *bound = parser_number_bound(in);
    const uint8_t *text = in->at + 1;
    bool whole;
    const uint8_t *at = parser_double_text(text, bound, &whole);
    int step;

    if (at < in->end && (!whole || *at != '\r'))
        return parser_fail(parser, at < bound ? RLK_RESP_FAULT_TEXT : RLK_RESP_FAULT_RANGE);
    step = parser_line_end(parser, in, at);
    if (step != PARSER_STEP_ON)
        return step;
    (void)parser_scalar(parser, token, RLK_RESP_DOUBLE, at - text);
    token->data = text;
    token->len = (size_t)(at - text);
    return PARSER_STEP_TOKEN;
}

static int parser_boolean(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    const uint8_t *at = in->at + 1;
    uint8_t letter;
    int step;

    if (at == in->end)
        return PARSER_STEP_MORE;
    letter = *at;
    if (letter != 't' && letter != 'f')
        return parser_fail(parser, RLK_RESP_FAULT_TEXT);
    step = parser_line_end(parser, in, at + 1);
    return step == PARSER_STEP_ON
               ? parser_scalar(parser, token, RLK_RESP_BOOLEAN, letter == 't' ? 1 : 0)
               : step;
}

/* End of a streamed aggregate: closes it, which completes it as an element of what is around. */
static int parser_end(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    unsigned level = parser->depth - 1u;
    int step;

    if (parser->state == PARSER_VALUE || parser->depth == 0 ||
        (parser->kind[level] & PARSER_STREAMED) == 0)
        return parser_fail(parser, RLK_RESP_FAULT_TYPE);
    if (parser->kind[level] == (RLK_RESP_MAP | PARSER_STREAMED) &&
        ((RLK_RESP_MAX_COUNT - parser->left[level]) & 1u) != 0)
        return parser_fail(parser, RLK_RESP_FAULT_TYPE); /* a key without its value */
    step = parser_line_end(parser, in, in->at + 1);
    if (step != PARSER_STEP_ON)
        return step;
    parser->depth = (uint8_t)level;
    return parser_scalar(parser, token, RLK_RESP_END, 0);
}

static int parser_open(rlk_resp_parser *parser, rlk_resp_token *token, uint8_t type, int64_t count)
{
    unsigned level = parser->depth;
    uint8_t flags = type == RLK_RESP_ATTRIBUTE ? RLK_RESP_IN_ATTRIBUTE
                    : type == RLK_RESP_PUSH    ? RLK_RESP_IN_PUSH
                                               : 0;

    if (level == RLK_RESP_MAX_DEPTH)
        return parser_fail(parser, RLK_RESP_FAULT_DEPTH);
    parser_fill(parser, token, type, count);
    token->flags |= flags;
    if (count == 0) {
        if (type == RLK_RESP_ATTRIBUTE)
            parser->state = PARSER_VALUE;
        else
            token->flags = (uint8_t)(token->flags | parser_complete(parser));
        return PARSER_STEP_TOKEN;
    }
    parser->state = PARSER_START;
    parser->kind[level] = type;
    parser->left[level] = (uint32_t)count;
    if (count < 0) {
        parser->kind[level] = (uint8_t)(type | PARSER_STREAMED);
        parser->left[level] = RLK_RESP_MAX_COUNT;
    }
    if (type == RLK_RESP_ATTRIBUTE && parser->attribute_depth == 0)
        parser->attribute_depth = (uint8_t)(level + 1u);
    parser->flags |= flags;
    parser->depth = (uint8_t)(level + 1u);
    return PARSER_STEP_TOKEN;
}

/* What follows the type in place of a length: `?` of a streamed one, `-1` of an old null. */
static int parser_unsized(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token,
                          uint8_t type)
{
    const uint8_t *at = in->at + 1;
    bool bulk = type == RLK_RESP_BULK;
    bool array = type == RLK_RESP_ARRAY;
    bool null = *at == '-' && (bulk || array);
    int step;

    if (null) {
        at++;
        if (at < in->end && *at != '1')
            return parser_fail(parser, RLK_RESP_FAULT_NUMBER);
        if (at == in->end)
            return PARSER_STEP_MORE;
    } else if (*at != '?' || !(bulk || array || type == RLK_RESP_MAP || type == RLK_RESP_SET)) {
        return parser_fail(parser, RLK_RESP_FAULT_NUMBER);
    }
    step = parser_line_end(parser, in, at + 1);
    if (step != PARSER_STEP_ON)
        return step;
    if (null)
        return parser_scalar(parser, token, RLK_RESP_NULL, 0);
    if (!bulk)
        return parser_open(parser, token, type, -1);
    parser_begin_string(parser, type, PARSER_CHUNK);
    return PARSER_STEP_ON;
}

/* Strings and aggregates: a length or a count comes first. */
static int parser_sized(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token,
                        uint8_t type)
{
    bool string = type == RLK_RESP_BULK || type == RLK_RESP_BLOB_ERROR || type == RLK_RESP_VERBATIM;
    bool pairs = type == RLK_RESP_MAP || type == RLK_RESP_ATTRIBUTE;
    uint64_t most = string ? RLK_RESP_MAX_LEN : RLK_RESP_MAX_COUNT;
    uint64_t count;
    int step;

    if (in->end - in->at > 1 && !parser_is_digit(in->at[1]))
        return parser_unsized(parser, in, token, type);
    step = parser_digits(parser, in, in->at + 1, pairs ? most / 2u : most, &count);
    if (step != PARSER_STEP_ON)
        return step;
    if (!string)
        return parser_open(parser, token, type, (int64_t)(pairs ? count * 2u : count));
    if (type == RLK_RESP_VERBATIM && count < PARSER_FORMAT_LEN)
        return parser_fail(parser, RLK_RESP_FAULT_TEXT);
    parser_begin_string(parser, type, PARSER_STRING);
    parser->length = (uint32_t)count;
    parser->remaining = (uint32_t)count;
    return PARSER_STEP_ON;
}

static int parser_element(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    uint8_t type = *in->at;
    int step;

    if (parser->depth > 0 && parser->left[parser->depth - 1u] == 0 && type != RLK_RESP_END)
        return parser_fail(parser, RLK_RESP_FAULT_RANGE); /* a streamed aggregate at its bound */
    switch (type) {
    case RLK_RESP_SIMPLE:
    case RLK_RESP_ERROR:
    case RLK_RESP_BIG_NUMBER:
        parser_begin_string(parser, type, PARSER_LINE);
        parser->remaining = RLK_RESP_MAX_LEN;
        in->at++;
        return PARSER_STEP_ON;
    case RLK_RESP_PUSH:
        if (parser->depth > 0)
            return parser_fail(parser, RLK_RESP_FAULT_TYPE);
        return parser_sized(parser, in, token, type);
    case RLK_RESP_BULK:
    case RLK_RESP_BLOB_ERROR:
    case RLK_RESP_VERBATIM:
    case RLK_RESP_ARRAY:
    case RLK_RESP_MAP:
    case RLK_RESP_SET:
    case RLK_RESP_ATTRIBUTE:
        return parser_sized(parser, in, token, type);
    case RLK_RESP_INTEGER:
        return parser_integer(parser, in, token);
    case RLK_RESP_DOUBLE:
        return parser_double(parser, in, token);
    case RLK_RESP_BOOLEAN:
        return parser_boolean(parser, in, token);
    case RLK_RESP_NULL:
        step = parser_line_end(parser, in, in->at + 1);
        return step == PARSER_STEP_ON ? parser_scalar(parser, token, type, 0) : step;
    case RLK_RESP_END:
        return parser_end(parser, in, token);
    default:
        return parser_fail(parser, RLK_RESP_FAULT_TYPE);
    }
}

/* The first byte from `at` that ends the text of the line, or can't stand in it. */
static const uint8_t *parser_scan(const rlk_resp_parser *parser, const parser_view *in,
                                  const uint8_t *at)
{
    const uint8_t *end = in->end;
    bool signable = at == in->at && (parser->flags & RLK_RESP_FIRST) != 0;

    if (parser->type == RLK_RESP_BIG_NUMBER) {
        if (signable && at < end && (*at == '-' || *at == '+'))
            at++;
        return parser_skip_digits(at, end);
    }
    while (at < end && (*at > '\r' || (*at != '\r' && *at != '\n')))
        at++;
    return at;
}

static int parser_line(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    const uint8_t *at = parser_scan(parser, in, in->at + parser->length);
    size_t len = (size_t)(at - in->at);
    bool first = (parser->flags & RLK_RESP_FIRST) != 0;
    bool number = parser->type == RLK_RESP_BIG_NUMBER;
    size_t hold = parser->whole_max;

    if (len > parser->remaining)
        return parser_fail(parser, RLK_RESP_FAULT_RANGE);
    if (at < in->end) {
        if (number && (*at != '\r' || (first && (len == 0 || !parser_is_digit(at[-1])))))
            return parser_fail(parser, RLK_RESP_FAULT_TEXT);
        if (*at != '\r' || (in->end - at > 1 && at[1] != '\n'))
            return parser_fail(parser, RLK_RESP_FAULT_TERMINATOR);
        if (in->end - at > 1) {
            int64_t value = first && len <= hold ? (int64_t)len : -1;

            (void)parser_fragment(parser, in, token, len, RLK_RESP_LAST, value);
            in->at += 2;
            return PARSER_STEP_TOKEN;
        }
    }
    if (number && hold == 0)
        hold = 1; /* a sign doesn't go without a digit */
    if (len > (first ? hold : 0)) {
        parser->length = 0;
        parser->remaining -= (uint32_t)len;
        return parser_fragment(parser, in, token, len, 0, -1);
    }
    parser->length = (uint32_t)len;
    return PARSER_STEP_MORE;
}

static int parser_string(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    size_t have = (size_t)(in->end - in->at);
    size_t remaining = parser->remaining;

    if (parser->type == RLK_RESP_VERBATIM && (parser->flags & RLK_RESP_FIRST) != 0) {
        if (have < PARSER_FORMAT_LEN)
            return PARSER_STEP_MORE;
        if (in->at[PARSER_FORMAT_LEN - 1u] != ':')
            return parser_fail(parser, RLK_RESP_FAULT_TEXT);
    }
    if (have > remaining) {
        const uint8_t *at = in->at + remaining;

        if (at[0] != '\r' || (have - remaining > 1 && at[1] != '\n'))
            return parser_fail(parser, RLK_RESP_FAULT_TERMINATOR);
        if (have - remaining > 1) {
            (void)parser_fragment(parser, in, token, remaining, RLK_RESP_LAST, parser->length);
            in->at += 2;
            return PARSER_STEP_TOKEN;
        }
        have = remaining;
    }
    if (parser->length <= parser->whole_max || have == 0)
        return PARSER_STEP_MORE;
    parser->remaining -= (uint32_t)have;
    return parser_fragment(parser, in, token, have, 0, parser->length);
}

/* `;n`, a piece of a streamed string; `;0` ends it. */
static int parser_chunk(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    uint64_t count;
    int step;

    if (in->at == in->end)
        return PARSER_STEP_MORE;
    if (*in->at != ';')
        return parser_fail(parser, RLK_RESP_FAULT_TYPE);
    step = parser_digits(parser, in, in->at + 1, RLK_RESP_MAX_LEN - parser->length, &count);
    if (step != PARSER_STEP_ON)
        return step;
    if (count == 0)
        return parser_fragment(parser, in, token, 0, RLK_RESP_LAST, -1);
    parser->length += (uint32_t)count;
    parser->remaining = (uint32_t)count;
    parser->state = PARSER_PIECE;
    return PARSER_STEP_ON;
}

static int parser_piece(rlk_resp_parser *parser, parser_view *in, rlk_resp_token *token)
{
    size_t have = (size_t)(in->end - in->at);
    int step;

    if (parser->remaining > 0) {
        if (have > parser->remaining)
            have = parser->remaining;
        if (have == 0)
            return PARSER_STEP_MORE;
        parser->remaining -= (uint32_t)have;
        return parser_fragment(parser, in, token, have, 0, -1);
    }
    step = parser_line_end(parser, in, in->at);
    if (step == PARSER_STEP_ON)
        parser->state = PARSER_CHUNK;
    return step;
}

void rlk_resp_parser_init(rlk_resp_parser *parser, uint32_t whole_max)
{
    unsigned level;

    parser->whole_max = whole_max;
    parser->length = 0;
    parser->remaining = 0;
    parser->state = PARSER_START;
    parser->type = 0;
    parser->flags = 0;
    parser->depth = 0;
    parser->attribute_depth = 0;
    parser->fault = RLK_RESP_FAULT_NONE;
    for (level = 0; level < RLK_RESP_MAX_DEPTH; level++) {
        parser->kind[level] = 0;
        parser->left[level] = 0;
    }
}

rlk_resp_status rlk_resp_next(rlk_resp_parser *parser, const uint8_t *buf, size_t len,
                              size_t *consumed, rlk_resp_token *token)
{
    parser_view in;
    int step;

    *consumed = 0;
    if (len == 0)
        return parser->state == PARSER_BAD ? RLK_RESP_BAD : RLK_RESP_MORE;
    in.at = buf;
    in.end = buf + len;
    do {
        switch (parser->state) {
        case PARSER_START:
        case PARSER_VALUE:
            step = parser_element(parser, &in, token);
            break;
        case PARSER_LINE:
            step = parser_line(parser, &in, token);
            break;
        case PARSER_STRING:
            step = parser_string(parser, &in, token);
            break;
        case PARSER_CHUNK:
            step = parser_chunk(parser, &in, token);
            break;
        case PARSER_PIECE:
            step = parser_piece(parser, &in, token);
            break;
        default:
            step = PARSER_STEP_BAD;
            break;
        }
    } while (step == PARSER_STEP_ON);
    *consumed = (size_t)(in.at - buf);
    return (rlk_resp_status)step;
}

rlk_resp_fault rlk_resp_parser_fault(const rlk_resp_parser *parser)
{
    return (rlk_resp_fault)parser->fault;
}

bool rlk_resp_parser_idle(const rlk_resp_parser *parser)
{
    return parser->state == PARSER_START && parser->depth == 0;
}
