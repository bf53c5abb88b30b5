/* SPDX-License-Identifier: MIT */
#include "resp_feed.h"

#include <stdlib.h>
#include <string.h>

/* The string whose fragments are coming in. */
typedef struct feed_string {
    bool open;
    rlk_resp_type type;
    uint8_t depth;
    int64_t value;
    size_t begin;
    size_t fragments;
} feed_string;

static const char *feed_fragment(resp_log *log, const resp_feed_plan *plan, feed_string *string,
                                 const rlk_resp_token *token)
{
    bool line = token->type == RLK_RESP_SIMPLE || token->type == RLK_RESP_ERROR ||
                token->type == RLK_RESP_BIG_NUMBER;
    resp_event *event;
    size_t len;

    if (string->open != ((token->flags & RLK_RESP_FIRST) == 0))
        return "FIRST is set on the first fragment only";
    if (!string->open) {
        string->open = true;
        string->type = token->type;
        string->depth = token->depth;
        string->value = token->value;
        string->begin = log->used;
        string->fragments = 0;
        if (token->type == RLK_RESP_VERBATIM && token->len < 4)
            return "the first fragment of a verbatim string has its format";
    }
    if (string->type != token->type || string->depth != token->depth ||
        string->value != token->value)
        return "fragments of one string agree";
    string->fragments++;
    resp_log_bytes(log, token->data, token->len);
    if ((token->flags & RLK_RESP_LAST) == 0) {
        if (token->len == 0)
            return "only the last fragment may be empty";
        return (token->flags & RLK_RESP_DONE) == 0 ? NULL : "DONE comes with the last fragment";
    }
    string->open = false;
    len = log->used - string->begin;
    if (line) {
        if (token->value != (len <= plan->whole_max ? (int64_t)len : -1))
            return "value of a line is its length up to whole_max";
    } else if (token->value != -1 && token->value != (int64_t)len) {
        return "value of a string is its length";
    }
    if (len <= plan->whole_max && string->fragments > 1 && (line || token->value != -1))
        return "a string of up to whole_max bytes comes whole";
    event =
        resp_log_event(log, token->type, token->flags & ~(unsigned)(RLK_RESP_FIRST | RLK_RESP_LAST),
                       token->depth, line ? (int64_t)len : token->value);
    event->at = string->begin;
    event->len = len;
    return NULL;
}

static const char *feed_token(resp_log *log, const resp_feed_plan *plan, feed_string *string,
                              const rlk_resp_token *token, const uint8_t *shown, size_t len)
{
    const unsigned only = RLK_RESP_FIRST | RLK_RESP_LAST;

    switch (token->type) {
    case RLK_RESP_SIMPLE:
    case RLK_RESP_ERROR:
    case RLK_RESP_BIG_NUMBER:
    case RLK_RESP_BULK:
    case RLK_RESP_BLOB_ERROR:
    case RLK_RESP_VERBATIM:
    case RLK_RESP_DOUBLE:
        if (token->data == NULL || token->data < shown || token->data > shown + len ||
            token->len > (size_t)(shown + len - token->data))
            return "data lies in the buffer";
        return feed_fragment(log, plan, string, token);
    default:
        break;
    }
    if (string->open || (token->flags & only) != only)
        return "all else is whole, and not within a string";
    if (token->data != NULL || token->len != 0)
        return "only strings have data";
    resp_log_event(log, token->type, token->flags & ~only, token->depth, token->value);
    return NULL;
}

/* Tokens of the bytes shown, until MORE or BAD. */
static const char *feed_show(resp_log *log, const resp_feed_plan *plan, feed_string *string,
                             rlk_resp_parser *parser, const uint8_t *shown, size_t len,
                             size_t *taken, rlk_resp_status *status)
{
    rlk_resp_token token;
    const char *broken = NULL;
    size_t consumed;

    *taken = 0;
    do {
        *status = rlk_resp_next(parser, shown + *taken, len - *taken, &consumed, &token);
        if (consumed > len - *taken)
            return "no more is consumed than was shown";
        if (*status == RLK_RESP_TOKEN) {
            broken = feed_token(log, plan, string, &token, shown + *taken, consumed);
            if (broken == NULL &&
                rlk_resp_parser_idle(parser) != ((token.flags & RLK_RESP_DONE) != 0))
                broken = "idle behind DONE and nowhere else";
        }
        *taken += consumed;
    } while (*status == RLK_RESP_TOKEN && broken == NULL);
    return broken;
}

static const char *feed_end(resp_log *log, rlk_resp_parser *parser, rlk_resp_status status,
                            size_t left)
{
    rlk_resp_token token;
    uint8_t byte = '+';
    size_t consumed = 1;

    if ((rlk_resp_parser_fault(parser) != RLK_RESP_FAULT_NONE) != (status == RLK_RESP_BAD))
        return "a fault after BAD and only then";
    log->outcome = status == RLK_RESP_BAD                      ? RESP_MALFORMED
                   : rlk_resp_parser_idle(parser) && left == 0 ? RESP_COMPLETE
                                                               : RESP_UNFINISHED;
    if (status == RLK_RESP_BAD &&
        (rlk_resp_next(parser, NULL, 0, &consumed, &token) != RLK_RESP_BAD || consumed != 0 ||
         rlk_resp_next(parser, &byte, 1, &consumed, &token) != RLK_RESP_BAD || consumed != 0))
        return "BAD is final";
    return NULL;
}

const char *resp_feed(resp_log *log, const resp_feed_plan *plan, const uint8_t *bytes, size_t len)
{
    rlk_resp_parser parser;
    rlk_resp_status status = RLK_RESP_MORE;
    feed_string string;
    const char *broken = NULL;
    uint8_t *shown = NULL;
    size_t have = 0; /* bytes in `shown` */
    size_t at = 0;   /* bytes of the input shown so far */
    size_t turn = 0;
    size_t window = plan->window;

    if (window == RESP_FEED_SMALLEST) {
        window = (size_t)plan->whole_max + 2;
        if (window < RLK_RESP_MAX_NUMBER + 3)
            window = RLK_RESP_MAX_NUMBER + 3;
    }
    memset(&string, 0, sizeof string);
    resp_log_clear(log);
    rlk_resp_parser_init(&parser, plan->whole_max);
    while (at < len && status == RLK_RESP_MORE && broken == NULL) {
        size_t more = plan->cuts[turn++ % plan->cut_count];
        uint8_t *next;
        size_t taken;

        if (more > window - have)
            more = window - have;
        if (more > len - at)
            more = len - at;
        if (more == 0) {
            broken = "a window of the promised size suffices";
            break;
        }
        next = (uint8_t *)malloc(have + more);
        if (next == NULL)
            abort();
        if (have > 0)
            memcpy(next, shown, have);
        memcpy(next + have, bytes + at, more);
        free(shown);
        shown = next;
        have += more;
        at += more;
        broken = feed_show(log, plan, &string, &parser, shown, have, &taken, &status);
        if (taken <= have) {
            have -= taken;
            memmove(shown, shown + taken, have);
        }
    }
    free(shown);
    return broken != NULL ? broken : feed_end(log, &parser, status, have);
}
