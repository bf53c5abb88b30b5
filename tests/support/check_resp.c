/* SPDX-License-Identifier: MIT */
#include "check_resp.h"

#include "resp_feed.h"
#include "resp_reader.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two-part splits are tried up to here; beyond it corpora repeat themselves. */
#define CHECK_SPLITS_MAX 400

static const uint32_t check_whole[] = {0, 1, 16, 64, 240};

static size_t check_event_text(char *text, size_t room, const resp_log *log,
                               const resp_event *event)
{
    const char *mark = (event->flags & RLK_RESP_IN_ATTRIBUTE) != 0 ? "@" : "";
    const char *push = (event->flags & RLK_RESP_IN_PUSH) != 0 ? "^" : "";
    char value[32] = "";
    int len;

    switch (event->type) {
    case RLK_RESP_NULL:
    case RLK_RESP_END:
        break;
    case RLK_RESP_INTEGER:
    case RLK_RESP_BOOLEAN:
        snprintf(value, sizeof value, "%lld", (long long)event->value);
        break;
    case RLK_RESP_ARRAY:
    case RLK_RESP_MAP:
    case RLK_RESP_SET:
    case RLK_RESP_ATTRIBUTE:
    case RLK_RESP_PUSH:
        if (event->value >= 0)
            snprintf(value, sizeof value, "%lld", (long long)event->value);
        /* fall through */
    default:
        if (event->value < 0)
            strcpy(value, "?");
        break;
    }
    len = snprintf(text, room, "%s%s%c%s%.*s%s", push, mark, (int)event->type, value,
                   (int)event->len, event->len > 0 ? (const char *)log->bytes + event->at : "",
                   (event->flags & RLK_RESP_DONE) != 0 ? ";" : "");
    return (size_t)len;
}

char *check_resp_text(const resp_log *log)
{
    size_t room = 64 * log->count + log->used + 64;
    char *text = (char *)malloc(room);
    size_t used = 0;
    unsigned depth = 0;
    size_t i;

    assert_non_null(text);
    for (i = 0; i < log->count; i++) {
        const resp_event *event = &log->events[i];

        for (; depth > event->depth; depth--)
            text[used++] = ')';
        if (i > 0)
            text[used++] = ' ';
        for (; depth < event->depth; depth++)
            text[used++] = '(';
        used += check_event_text(text + used, room - used, log, event);
    }
    if (i > 0 && (log->events[i - 1].flags & RLK_RESP_DONE) != 0)
        for (; depth > 0; depth--)
            text[used++] = ')';
    text[used] = '\0';
    return text;
}

static void check_plan(const resp_log *wanted, const resp_feed_plan *plan, const uint8_t *bytes,
                       size_t len)
{
    const char *broken;
    resp_log log;

    memset(&log, 0, sizeof log);
    broken = resp_feed(&log, plan, bytes, len);
    if (broken == NULL)
        broken = resp_log_difference(wanted, &log);
    if (broken != NULL)
        support_fail("whole_max %lu, window %zu, first piece %zu: %s\nof: %.*s",
                     (unsigned long)plan->whole_max, plan->window, plan->cuts[0], broken,
                     (int)(len < 300 ? len : 300), (const char *)bytes);
    resp_log_free(&log);
}

static void check_every_cut(const resp_log *wanted, const uint8_t *bytes, size_t len)
{
    size_t splits = len < CHECK_SPLITS_MAX ? len : CHECK_SPLITS_MAX;
    resp_feed_plan plan;
    size_t cuts[2];
    size_t i;

    plan.cuts = cuts;
    for (i = 0; i < 2 * COUNT_OF(check_whole); i++) {
        plan.whole_max = check_whole[i / 2];
        plan.window = i % 2 == 0 ? SIZE_MAX : RESP_FEED_SMALLEST;
        plan.cut_count = 1;
        for (cuts[0] = 1; cuts[0] <= 7; cuts[0] += 6)
            check_plan(wanted, &plan, bytes, len);
        plan.cut_count = 2;
        cuts[1] = SIZE_MAX;
        for (cuts[0] = 1; cuts[0] <= splits; cuts[0]++)
            check_plan(wanted, &plan, bytes, len);
    }
}

void check_resp(const char *bytes, size_t len, resp_outcome outcome, const char *events)
{
    resp_log log;
    char *text;

    memset(&log, 0, sizeof log);
    resp_reader_read(&log, (const uint8_t *)bytes, len);
    text = check_resp_text(&log);
    if (log.outcome != outcome)
        support_fail("outcome %d, not %d, of: %s", (int)log.outcome, (int)outcome, bytes);
    if (events != NULL)
        assert_string_equal(text, events);
    free(text);
    check_every_cut(&log, (const uint8_t *)bytes, len);
    resp_log_free(&log);
}

void check_resp_prefixes(const char *bytes, size_t len)
{
    resp_log log;
    size_t prefix;

    memset(&log, 0, sizeof log);
    for (prefix = 0; prefix < len; prefix++) {
        resp_reader_read(&log, (const uint8_t *)bytes, prefix);
        assert_true(log.outcome != RESP_MALFORMED);
        check_every_cut(&log, (const uint8_t *)bytes, prefix);
    }
    resp_log_free(&log);
}

void check_resp_read(resp_log *log, const char *bytes, size_t len)
{
    const size_t cut = SIZE_MAX;
    const resp_feed_plan plan = {64, SIZE_MAX, &cut, 1};

    resp_reader_read(log, (const uint8_t *)bytes, len);
    check_plan(log, &plan, (const uint8_t *)bytes, len);
}

/* Shown `step` bytes more each time, with whole_max 0. */
static rlk_resp_fault check_fault(const uint8_t *bytes, size_t len, size_t step)
{
    rlk_resp_parser parser;
    rlk_resp_token token;
    rlk_resp_status status = RLK_RESP_MORE;
    size_t at = 0;
    size_t shown = 0;
    size_t consumed;

    rlk_resp_parser_init(&parser, 0);
    while (status != RLK_RESP_BAD && shown < len) {
        shown = step < len - shown ? shown + step : len;
        do {
            status = rlk_resp_next(&parser, bytes + at, shown - at, &consumed, &token);
            at += consumed;
        } while (status == RLK_RESP_TOKEN);
    }
    return rlk_resp_parser_fault(&parser);
}

rlk_resp_fault check_resp_fault(const char *bytes, size_t len)
{
    rlk_resp_fault fault = check_fault((const uint8_t *)bytes, len, SIZE_MAX);

    assert_int_equal(check_fault((const uint8_t *)bytes, len, 1), fault);
    return fault;
}
