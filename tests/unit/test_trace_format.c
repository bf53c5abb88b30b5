/* SPDX-License-Identifier: MIT
 *
 * Traces as lines of text: rlk_trace_format, rlk_cause_name (trace.c).
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

static void test_trace_format(void **state)
{
    static const struct {
        rlk_trace_kind kind;
        int node;
        bool lock;
        const char *what;
        int64_t number;
        const char *text;
    } cases[] = {
        {RLK_TRACE_CONN, 0, false, "CONNECTING", 0, "12.345 node 0: is CONNECTING"},
        {RLK_TRACE_CONN, 4, false, "WAITING", RLK_E_EOF, "12.345 node 4: is WAITING: E_EOF"},
        {RLK_TRACE_STEP, 1, false, "CLIENT TRACKING", RLK_E_EOF,
         "12.345 node 1: sends CLIENT TRACKING"},
        {RLK_TRACE_COMMAND, 0, true, "SET", 2, "12.345 node 0 \"k\": sends SET"},
        {RLK_TRACE_REPLY, 0, true, "PTTL", -2, "12.345 node 0 \"k\": has a reply to PTTL: -2"},
        {RLK_TRACE_REPLY, 0, true, "SET", RLK_E_READONLY,
         "12.345 node 0 \"k\": has a reply to SET: E_READONLY"},
        {RLK_TRACE_PUSH, 2, true, "FLUSH", RLK_CAUSE_FLUSH,
         "12.345 node 2 \"k\": is notified: FLUSH"},
        {RLK_TRACE_STATE, -1, true, "HELD", 29697, "12.345 \"k\": is HELD for 29697 ms"},
        {RLK_TRACE_STATE, -1, true, "LOST", RLK_LOST_DELETED, "12.345 \"k\": is LOST, DELETED"},
        {RLK_TRACE_STATE, -1, true, "FREE", 0, "12.345 \"k\": is FREE"},
        {RLK_TRACE_PHASE, -1, true, "WATCH", RLK_CAUSE_RETRY, "12.345 \"k\": is in WATCH, RETRY"},
        {RLK_TRACE_RESULT, -1, true, "acquire", RLK_TIMED_OUT,
         "12.345 \"k\": ends acquire: TIMED_OUT"},
    };
    char line[RLK_TRACE_CAP];
    rlk_lock lock;
    rlk_trace trace;
    size_t i;
    size_t cap;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        size_t len;

        support_row_name("%s", cases[i].text);
        trace.kind = cases[i].kind;
        trace.now_ms = 12345;
        trace.client = h.client;
        trace.lock = cases[i].lock ? &lock : NULL;
        trace.node = cases[i].node;
        trace.what = HARNESS_WORD(cases[i].what);
        trace.number = cases[i].number;
        len = rlk_trace_format(&trace, line, sizeof line);
        assert_int_equal(len, strlen(line));
#ifdef RLK_NO_TEXT
        snprintf(line, sizeof line, "12345 %d %d %d", (int)trace.kind, trace.node,
                 (int)trace.number);
        assert_int_equal(len, strlen(line));
#else
        assert_string_equal(line, cases[i].text);
#endif
        /* with less room the same length, and as much as fits */
        assert_int_equal(rlk_trace_format(&trace, NULL, 1000), len);
        for (cap = 0; cap <= len + 1; cap++) {
            char part[RLK_TRACE_CAP];

            memset(part, '#', sizeof part);
            assert_int_equal(rlk_trace_format(&trace, part, cap), len);
            if (cap > 0) {
                assert_memory_equal(part, line, cap - 1);
                assert_int_equal(part[cap - 1], '\0');
            }
            assert_int_equal(part[cap], '#');
        }
    }
}

/* Numbers of any size, and a key that is long and full of what no terminal should see. */
static void test_trace_format_extremes(void **state)
{
    static const int64_t times_ms[] = {0,           1,
                                       999,         1000,
                                       60000,       INT64_C(4294967296),
                                       INT64_MAX,   INT64_MIN,
                                       INT64_C(-1), INT64_C(10000000000)};
    static const char key[] =
        "0123456789\033[2J\n\177\200567890123456789012345678901234567890123456789";
    char line[RLK_TRACE_CAP];
    rlk_lock lock;
    rlk_trace trace;
    size_t i;

    (void)state;
    harness_start(&h, 1);
    assert_result(rlk_lock_init(&lock, h.client, key, NULL), RLK_OK);
    memset(&trace, 0, sizeof trace);
    trace.kind = RLK_TRACE_REPLY;
    trace.lock = &lock;
    trace.node = 7;
    trace.what = HARNESS_WORD("EVALSHA (release)");
    for (i = 0; support_row(i, COUNT_OF(times_ms)); i++) {
        char expected[RLK_TRACE_CAP];

        trace.now_ms = times_ms[i];
        trace.number = INT64_MAX - (int64_t)i;
        assert_true(rlk_trace_format(&trace, line, sizeof line) < sizeof line);
#ifdef RLK_NO_TEXT
        snprintf(expected, sizeof expected, "%lld 3 7 %lld", (long long)trace.now_ms,
                 (long long)trace.number);
#else
        snprintf(
            expected, sizeof expected,
            "%s%lld.%03d node 7 \"0123456789?[2J???5678901234567890123456789012345...\": has a "
            "reply to EVALSHA (release): %lld",
            times_ms[i] < 0 && times_ms[i] > -1000 ? "-" : "", (long long)(times_ms[i] / 1000),
            (int)(times_ms[i] < 0 ? -(times_ms[i] % 1000) : times_ms[i] % 1000),
            (long long)trace.number);
#endif
        assert_string_equal(line, expected);
    }
}

static void test_trace_cause_names(void **state)
{
    static const char *const names[RLK_CAUSES] = {"START",   "PUSH",  "FLUSH", "LOCAL",    "EXPIRY",
                                                  "RECHECK", "RETRY", "YIELD", "RECONNECT"};
    int cause;

    (void)state;
    for (cause = 0; cause < RLK_CAUSES; cause++)
        assert_string_equal(rlk_cause_name((rlk_cause)cause), HARNESS_WORD(names[cause]));
    assert_string_equal(rlk_cause_name(RLK_CAUSES), HARNESS_WORD("?"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_format),
        cmocka_unit_test(test_trace_format_extremes),
        cmocka_unit_test(test_trace_cause_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
