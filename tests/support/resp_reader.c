/* SPDX-License-Identifier: MIT */
#include "resp_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The protocol that the library has: its types, and what a length is beside a number. */
#ifdef RLK_RESP2_ONLY
#define READER_TYPES    "+-:$*"
#define READER_STREAMED ""
#else
#define READER_TYPES    "+-:$*_#,(!=%~|>"
#define READER_STREAMED "?"
#endif

/* Every function returns false when the bytes end or can't go on: log->outcome has which. */
typedef struct reader {
    resp_log *log;
    const uint8_t *bytes;
    size_t len;
    size_t at;
} reader;

static bool reader_malformed(reader *r)
{
    r->log->outcome = RESP_MALFORMED;
    return false;
}

static bool reader_peek(reader *r, char *byte)
{
    if (r->at == r->len) {
        r->log->outcome = RESP_UNFINISHED;
        return false;
    }
    *byte = (char)r->bytes[r->at];
    return true;
}

static bool reader_byte(reader *r, char *byte)
{
    if (!reader_peek(r, byte))
        return false;
    r->at++;
    return true;
}

static bool reader_expect(reader *r, char wanted)
{
    char byte;

    if (!reader_byte(r, &byte))
        return false;
    return byte == wanted ? true : reader_malformed(r);
}

static bool reader_crlf(reader *r)
{
    return reader_expect(r, '\r') && reader_expect(r, '\n');
}

static bool reader_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* The digits stand for at most 2^63 - 1, or 2^63 behind a minus. */
static bool reader_fits(const char *digits, bool negative)
{
    const char *most = negative ? "9223372036854775808" : "9223372036854775807";

    while (*digits == '0')
        digits++;
    return strlen(digits) < strlen(most) ||
           (strlen(digits) == strlen(most) && strcmp(digits, most) <= 0);
}

/*
 * A line of `text` characters, its first being `first` already if that is not 0, up to CRLF. The
 * rule says of each text whether it can begin a legal one, and whether it is one.
 */
typedef bool reader_rule(const char *text, const char *allowed, bool whole);

static bool reader_line(reader *r, reader_rule *rule, const char *allowed,
                        char text[RLK_RESP_MAX_NUMBER + 2])
{
    size_t len = 0;
    char byte;

    for (;;) {
        text[len] = '\0';
        if (!reader_byte(r, &byte))
            return false;
        if (byte == '\r')
            return rule(text, allowed, true) ? reader_expect(r, '\n') : reader_malformed(r);
        if (len == RLK_RESP_MAX_NUMBER || byte == '\0')
            return reader_malformed(r);
        text[len++] = byte;
        text[len] = '\0';
        if (!rule(text, allowed, false))
            return reader_malformed(r);
    }
}

/* An optional sign out of those allowed, and digits; or `?`, if that is allowed. */
static bool reader_number_rule(const char *text, const char *allowed, bool whole)
{
    bool negative = *text == '-';

    if (strcmp(text, "?") == 0)
        return strchr(allowed, '?') != NULL;
    if (*text == '-' || *text == '+') {
        if (strchr(allowed, *text) == NULL)
            return false;
        text++;
    }
    if (strspn(text, "0123456789") != strlen(text) || !reader_fits(text, negative))
        return false;
    return !whole || *text != '\0';
}

static bool reader_double_rule(const char *text, const char *allowed, bool whole)
{
    static const char *const words[] = {"inf", "-inf", "nan"};
    size_t digits;
    size_t i;

    (void)allowed;
    for (i = 0; i < 3; i++)
        if (whole ? strcmp(text, words[i]) == 0 : strncmp(text, words[i], strlen(text)) == 0)
            return true;
    if (*text == '-' || *text == '+')
        text++;
    digits = strspn(text, "0123456789");
    text += digits;
    if (digits == 0)
        return *text == '\0' && !whole;
    if (*text == '.') {
        digits = strspn(++text, "0123456789");
        text += digits;
        if (digits == 0)
            return *text == '\0' && !whole;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '-' || *text == '+')
            text++;
        digits = strspn(text, "0123456789");
        text += digits;
        if (digits == 0)
            return *text == '\0' && !whole;
    }
    return *text == '\0';
}

static void reader_string(reader *r, rlk_resp_type type, unsigned flags, unsigned depth,
                          int64_t value, size_t begin)
{
    resp_event *event = resp_log_event(r->log, type, flags, depth, value);

    event->at = begin;
    event->len = r->log->used - begin;
}

/* Text up to CRLF; it has neither byte. */
static bool reader_text(reader *r, rlk_resp_type type, unsigned flags, unsigned depth)
{
    size_t begin = r->at;
    size_t len;
    size_t mark = r->log->used;
    bool digits = false;
    char byte;

    for (;;) {
        if (!reader_byte(r, &byte))
            return false;
        if (byte == '\r')
            break;
        if (byte == '\n')
            return reader_malformed(r);
        if (type == RLK_RESP_BIG_NUMBER && !reader_digit(byte) &&
            !((byte == '-' || byte == '+') && r->at == begin + 1))
            return reader_malformed(r);
        digits = digits || reader_digit(byte);
    }
    if (type == RLK_RESP_BIG_NUMBER && !digits)
        return reader_malformed(r);
    if (!reader_expect(r, '\n'))
        return false;
    len = r->at - 2 - begin;
    resp_log_bytes(r->log, r->bytes + begin, len);
    reader_string(r, type, flags, depth, (int64_t)len, mark);
    return true;
}

/* `len` bytes and CRLF. */
static bool reader_payload(reader *r, size_t len, bool verbatim)
{
    if (verbatim && r->len - r->at >= 4 && r->bytes[r->at + 3] != ':')
        return reader_malformed(r);
    if (r->len - r->at < len) {
        r->log->outcome = RESP_UNFINISHED;
        return false;
    }
    resp_log_bytes(r->log, r->bytes + r->at, len);
    r->at += len;
    return reader_crlf(r);
}

static bool reader_blob(reader *r, rlk_resp_type type, unsigned flags, unsigned depth)
{
    char text[RLK_RESP_MAX_NUMBER + 2];
    size_t mark = r->log->used;
    int64_t len;
    int64_t total = 0;

    if (!reader_line(r, reader_number_rule, type == RLK_RESP_BULK ? "-" READER_STREAMED : "", text))
        return false;
    if (*text == '-') {
        if (strtoll(text, NULL, 10) != -1)
            return reader_malformed(r);
        resp_log_event(r->log, RLK_RESP_NULL, flags, depth, 0);
        return true;
    }
    if (*text != '?') {
        len = strtoll(text, NULL, 10);
        if (len > RLK_RESP_MAX_LEN || (type == RLK_RESP_VERBATIM && len < 4))
            return reader_malformed(r);
        if (!reader_payload(r, (size_t)len, type == RLK_RESP_VERBATIM))
            return false;
        reader_string(r, type, flags, depth, len, mark);
        return true;
    }
    do {
        if (!reader_expect(r, ';') || !reader_line(r, reader_number_rule, "", text))
            return false;
        len = strtoll(text, NULL, 10);
        if (len > RLK_RESP_MAX_LEN - total)
            return reader_malformed(r);
        if (len > 0 && !reader_payload(r, (size_t)len, false))
            return false;
        total += len;
    } while (len > 0);
    reader_string(r, type, flags, depth, -1, mark);
    return true;
}

static bool reader_value(reader *r, unsigned flags, unsigned depth);

static bool reader_aggregate(reader *r, rlk_resp_type type, unsigned flags, unsigned depth)
{
    const char *allowed = type == RLK_RESP_ARRAY                         ? "-" READER_STREAMED
                          : type == RLK_RESP_MAP || type == RLK_RESP_SET ? "?"
                                                                         : "";
    int64_t factor = type == RLK_RESP_MAP || type == RLK_RESP_ATTRIBUTE ? 2 : 1;
    char text[RLK_RESP_MAX_NUMBER + 2];
    int64_t count = -1;
    int64_t i;
    char byte;

    if (!reader_line(r, reader_number_rule, allowed, text))
        return false;
    if (*text == '-') {
        if (strtoll(text, NULL, 10) != -1)
            return reader_malformed(r);
        resp_log_event(r->log, RLK_RESP_NULL, flags, depth, 1);
        return true;
    }
    if (*text != '?') {
        count = strtoll(text, NULL, 10);
        if (count > RLK_RESP_MAX_COUNT / factor)
            return reader_malformed(r);
        count *= factor;
    }
    if (depth == RLK_RESP_MAX_DEPTH)
        return reader_malformed(r);
    flags |= type == RLK_RESP_PUSH ? RLK_RESP_IN_PUSH : 0;
    flags |= type == RLK_RESP_ATTRIBUTE ? RLK_RESP_IN_ATTRIBUTE : 0;
    resp_log_event(r->log, type, flags, depth, count);
    for (i = 0; i != count; i++) {
        if (count < 0) {
            if (!reader_peek(r, &byte))
                return false;
            if (byte == '.') {
                if (i % factor != 0)
                    return reader_malformed(r);
                r->at++;
                if (!reader_crlf(r))
                    return false;
                resp_log_event(r->log, RLK_RESP_END, flags, depth, 0);
                return true;
            }
            if (i == RLK_RESP_MAX_COUNT)
                return reader_malformed(r);
        }
        if (!reader_value(r, flags, depth + 1))
            return false;
    }
    return true;
}

/* A value, with the attributes before it. */
static bool reader_value(reader *r, unsigned flags, unsigned depth)
{
    char text[RLK_RESP_MAX_NUMBER + 2];
    char type;

    if (!reader_byte(r, &type))
        return false;
    if (type == '\0' || strchr(READER_TYPES, type) == NULL)
        return reader_malformed(r);
    while (type == '|') {
        if (!reader_aggregate(r, RLK_RESP_ATTRIBUTE, flags, depth) || !reader_byte(r, &type))
            return false;
    }
    switch (type) {
    case '+':
    case '-':
    case '(':
        return reader_text(r, (rlk_resp_type)type, flags, depth);
    case '$':
    case '!':
    case '=':
        return reader_blob(r, (rlk_resp_type)type, flags, depth);
    case '>':
        return depth == 0 ? reader_aggregate(r, RLK_RESP_PUSH, flags, depth) : reader_malformed(r);
    case '*':
    case '%':
    case '~':
        return reader_aggregate(r, (rlk_resp_type)type, flags, depth);
    case ':':
        if (!reader_line(r, reader_number_rule, "+-", text))
            return false;
        resp_log_event(r->log, RLK_RESP_INTEGER, flags, depth, strtoll(text, NULL, 10));
        return true;
    case ',':
        if (!reader_line(r, reader_double_rule, "", text))
            return false;
        resp_log_bytes(r->log, (const uint8_t *)text, strlen(text));
        reader_string(r, RLK_RESP_DOUBLE, flags, depth, (int64_t)strlen(text),
                      r->log->used - strlen(text));
        return true;
    case '#':
        if (!reader_byte(r, &type))
            return false;
        if (type != 't' && type != 'f')
            return reader_malformed(r);
        if (!reader_crlf(r))
            return false;
        resp_log_event(r->log, RLK_RESP_BOOLEAN, flags, depth, type == 't');
        return true;
    case '_':
        if (!reader_crlf(r))
            return false;
        resp_log_event(r->log, RLK_RESP_NULL, flags, depth, 0);
        return true;
    default:
        return reader_malformed(r);
    }
}

void resp_reader_read(resp_log *log, const uint8_t *bytes, size_t len)
{
    reader r;

    r.log = log;
    r.bytes = bytes;
    r.len = len;
    r.at = 0;
    resp_log_clear(log);
    while (r.at < r.len && reader_value(&r, 0, 0))
        log->events[log->count - 1].flags |= RLK_RESP_DONE;
}
