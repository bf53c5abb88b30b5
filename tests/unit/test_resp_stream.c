/* SPDX-License-Identifier: MIT
 *
 * The parser on streams: replies captured from a real server, strings longer than the window, the
 * bounds that need many bytes to reach, and the contract of a single call.
 */
#include "support.h"

#include "check_resp.h"
#include "resp_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Corpora ----------------------------------------------------------------------------- */

/* Files of tests/corpora (capture.py), and what must be in them. */
typedef struct corpus {
    const char *name;
    size_t values; /* pushes included */
    size_t pushes;
    size_t errors;
    const char *types; /* each is there */
} corpus;

static const corpus corpora[] = {
    {"hello2.resp", 1, 0, 0, "*$:"},     {"hello3.resp", 1, 0, 0, "%$:*"},
    {"errors2.resp", 8, 0, 8, "-"},      {"errors3.resp", 8, 0, 8, "-"},
    {"reads2.resp", 29, 0, 1, "+-:$*_"}, {"reads3.resp", 29, 0, 1, "+-:$*_,%~="},
    {"protocol2.resp", 13, 0, 1, "$:*"}, {"protocol3.resp", 14, 1, 0, "$:,_*~%|>=#("},
    {"binary2.resp", 4, 0, 0, "+$"},     {"binary3.resp", 4, 0, 0, "+$"},
    {"pushes3.resp", 11, 5, 0, "+$>*_"},
};

static char *corpus_read(const char *name, size_t *len)
{
    char path[512];
    FILE *file;
    char *bytes = (char *)malloc(65536);

    assert_non_null(bytes);
    snprintf(path, sizeof path, "%s/tests/corpora/%s", TEST_SOURCE_DIR, name);
    file = fopen(path, "rb");
    if (file == NULL)
        support_fail("no %s", path);
    *len = fread(bytes, 1, 65536, file);
    fclose(file);
    assert_between(*len, 1, 65535);
    return bytes;
}

static void test_resp_stream_replies_of_a_real_server(void **state)
{
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(corpora); i++) {
        size_t pushes = 0;
        size_t errors = 0;
        size_t len;
        char *bytes = corpus_read(corpora[i].name, &len);
        const char *type;
        resp_log log;

        memset(&log, 0, sizeof log);
        check_resp_read(&log, bytes, len);
        assert_int_equal(log.outcome, RESP_COMPLETE);
        assert_int_equal(resp_log_values(&log), corpora[i].values);
        for (k = 0; k < log.count; k++) {
            pushes += log.events[k].type == RLK_RESP_PUSH;
            errors += log.events[k].type == RLK_RESP_ERROR;
        }
        assert_int_equal(pushes, corpora[i].pushes);
        assert_int_equal(errors, corpora[i].errors);
        for (type = corpora[i].types; *type != '\0'; type++) {
            for (k = 0; k < log.count && log.events[k].type != (rlk_resp_type)*type; k++)
                ;
            if (k == log.count)
                support_fail("no '%c' in %s", *type, corpora[i].name);
        }
        check_resp(bytes, len, RESP_COMPLETE, NULL);
        resp_log_free(&log);
        free(bytes);
    }
}

/* ---- Fragments --------------------------------------------------------------------------- */

/* A header, `len` bytes of payload, a tail; through the smallest window, and whole. */
static void check_long(const char *head, size_t len, const char *tail, char fill)
{
    static const uint32_t whole[] = {0, 1, 240, 99999, 100000, 100001};
    size_t cuts[2] = {SIZE_MAX, 100};
    size_t total = strlen(head) + len + strlen(tail);
    char *bytes = (char *)malloc(total);
    resp_log wanted;
    size_t i;

    assert_non_null(bytes);
    memcpy(bytes, head, strlen(head));
    memset(bytes + strlen(head), fill, len);
    memcpy(bytes + strlen(head) + len, tail, strlen(tail));
    memset(&wanted, 0, sizeof wanted);
    check_resp_read(&wanted, bytes, total);
    assert_int_equal(wanted.outcome, RESP_COMPLETE);
    for (i = 0; i < COUNT_OF(whole); i++) {
        const resp_feed_plan plan = {whole[i], RESP_FEED_SMALLEST, cuts, 2};
        resp_log log;
        const char *broken;

        memset(&log, 0, sizeof log);
        broken = resp_feed(&log, &plan, (const uint8_t *)bytes, total);
        if (broken == NULL)
            broken = resp_log_difference(&wanted, &log);
        if (broken != NULL)
            support_fail("%s with whole_max %lu: %s", head, (unsigned long)whole[i], broken);
        resp_log_free(&log);
    }
    resp_log_free(&wanted);
    free(bytes);
}

/* any length passes through a fixed window: 51 bytes, or what must come whole */
static void test_resp_stream_long_strings_in_a_small_window(void **state)
{
    (void)state;
    check_long("$100000\r\n", 100000, "\r\n+OK\r\n", '\r');
    check_long("!100000\r\n", 100000, "\r\n", '\n');
    check_long("=100004\r\ntxt:", 100000, "\r\n:1\r\n", 'x');
    check_long("*2\r\n+", 100000, "\r\n-ERR\r\n", 'x');
    check_long("-", 99999, "\r\n", 'x');
    check_long("-", 100001, "\r\n", 'x');
    check_long("(-", 100000, "\r\n", '7');
    check_long("$?\r\n;100000\r\n", 100000, "\r\n;1\r\nx\r\n;0\r\n", 'x');
}

static void show(rlk_resp_parser *parser, const char *bytes, rlk_resp_status status,
                 size_t consumed, rlk_resp_token *token)
{
    size_t taken = 99;

    assert_int_equal(rlk_resp_next(parser, (const uint8_t *)bytes, strlen(bytes), &taken, token),
                     status);
    assert_int_equal(taken, consumed);
}

static void check_token(const rlk_resp_token *token, rlk_resp_type type, unsigned flags,
                        const char *data, int64_t value)
{
    assert_int_equal(token->type, type);
    assert_int_equal(token->flags, flags);
    assert_int_equal(token->len, strlen(data));
    assert_memory_equal(token->data, data, strlen(data));
    assert_int_equal(token->value, value);
}

/* one string, call by call */
static void test_resp_stream_fragments(void **state)
{
    rlk_resp_parser parser;
    rlk_resp_token token;

    (void)state;
    rlk_resp_parser_init(&parser, 4);
    show(&parser, "$11\r\nhello", RLK_RESP_TOKEN, 10, &token);
    check_token(&token, RLK_RESP_BULK, RLK_RESP_FIRST, "hello", 11);
    show(&parser, "", RLK_RESP_MORE, 0, &token);
    assert_false(rlk_resp_parser_idle(&parser));
    show(&parser, " wor", RLK_RESP_TOKEN, 4, &token);
    check_token(&token, RLK_RESP_BULK, 0, " wor", 11);
    show(&parser, "ld\r", RLK_RESP_TOKEN, 2, &token);
    check_token(&token, RLK_RESP_BULK, 0, "ld", 11);
    show(&parser, "\r", RLK_RESP_MORE, 0, &token);
    show(&parser, "\r\n:1", RLK_RESP_TOKEN, 2, &token);
    check_token(&token, RLK_RESP_BULK, RLK_RESP_LAST | RLK_RESP_DONE, "", 11);
    assert_true(rlk_resp_parser_idle(&parser));

    /* up to whole_max in one piece: only its header is consumed before it is all there */
    show(&parser, "$4\r\nfour", RLK_RESP_MORE, 4, &token);
    assert_false(rlk_resp_parser_idle(&parser));
    show(&parser, "four\r", RLK_RESP_MORE, 0, &token);
    show(&parser, "four\r\n", RLK_RESP_TOKEN, 6, &token);
    check_token(&token, RLK_RESP_BULK, RLK_RESP_FIRST | RLK_RESP_LAST | RLK_RESP_DONE, "four", 4);

    /* a line: whether it is longer shows one byte beyond */
    show(&parser, "+four", RLK_RESP_MORE, 1, &token);
    show(&parser, "four\r", RLK_RESP_MORE, 0, &token);
    show(&parser, "four\r\n", RLK_RESP_TOKEN, 6, &token);
    check_token(&token, RLK_RESP_SIMPLE, RLK_RESP_FIRST | RLK_RESP_LAST | RLK_RESP_DONE, "four", 4);
    show(&parser, "+fives\r", RLK_RESP_TOKEN, 6, &token);
    check_token(&token, RLK_RESP_SIMPLE, RLK_RESP_FIRST, "fives", -1);
    show(&parser, "\r\n", RLK_RESP_TOKEN, 2, &token);
    check_token(&token, RLK_RESP_SIMPLE, RLK_RESP_LAST | RLK_RESP_DONE, "", -1);
}

static void test_resp_stream_streamed_string_call_by_call(void **state)
{
    rlk_resp_parser parser;
    rlk_resp_token token;

    (void)state;
    rlk_resp_parser_init(&parser, 64);
    show(&parser, "$?\r\n", RLK_RESP_MORE, 4, &token);
    assert_false(rlk_resp_parser_idle(&parser));
    show(&parser, ";3\r\nabc\r\n;1", RLK_RESP_TOKEN, 9, &token);
    check_token(&token, RLK_RESP_BULK, RLK_RESP_FIRST, "abc", -1);
    show(&parser, ";1\r\nd", RLK_RESP_TOKEN, 5, &token);
    check_token(&token, RLK_RESP_BULK, 0, "d", -1);
    show(&parser, "\r\n;0\r\n", RLK_RESP_TOKEN, 6, &token);
    check_token(&token, RLK_RESP_BULK, RLK_RESP_LAST | RLK_RESP_DONE, "", -1);
    assert_non_null(token.data);
}

/* ---- One call ---------------------------------------------------------------------------- */

static void test_resp_stream_nothing_shown(void **state)
{
    rlk_resp_parser parser;
    rlk_resp_token token;
    size_t consumed = 1;

    (void)state;
    rlk_resp_parser_init(&parser, 64);
    assert_true(rlk_resp_parser_idle(&parser));
    assert_int_equal(rlk_resp_parser_fault(&parser), RLK_RESP_FAULT_NONE);
    assert_int_equal(rlk_resp_next(&parser, NULL, 0, &consumed, &token), RLK_RESP_MORE);
    assert_int_equal(consumed, 0);
    show(&parser, "*1", RLK_RESP_MORE, 0, &token);
    assert_true(rlk_resp_parser_idle(&parser)); /* nothing of it was consumed */
    show(&parser, "*1\r\n", RLK_RESP_TOKEN, 4, &token);
    assert_int_equal(token.depth, 0);
    assert_false(rlk_resp_parser_idle(&parser));
    show(&parser, ":1\r\n", RLK_RESP_TOKEN, 4, &token);
    assert_int_equal(token.depth, 1);
    assert_true(rlk_resp_parser_idle(&parser));
}

static void test_resp_stream_bad_is_final(void **state)
{
    rlk_resp_parser parser;
    rlk_resp_token token;

    (void)state;
    rlk_resp_parser_init(&parser, 64);
    show(&parser, "x", RLK_RESP_BAD, 0, &token);
    show(&parser, "+OK\r\n", RLK_RESP_BAD, 0, &token);
    show(&parser, "", RLK_RESP_BAD, 0, &token);
    assert_int_equal(rlk_resp_parser_fault(&parser), RLK_RESP_FAULT_TYPE);
    assert_false(rlk_resp_parser_idle(&parser));
}

/* an attribute before a value leaves the parser within that value */
static void test_resp_stream_attribute_is_not_idle(void **state)
{
    rlk_resp_parser parser;
    rlk_resp_token token;

    (void)state;
    rlk_resp_parser_init(&parser, 64);
    show(&parser, "|0\r\n", RLK_RESP_TOKEN, 4, &token);
    assert_int_equal(token.flags, RLK_RESP_FIRST | RLK_RESP_LAST | RLK_RESP_IN_ATTRIBUTE);
    assert_false(rlk_resp_parser_idle(&parser));
    show(&parser, ":1\r\n", RLK_RESP_TOKEN, 4, &token);
    assert_int_equal(token.flags, RLK_RESP_FIRST | RLK_RESP_LAST | RLK_RESP_DONE);
    assert_true(rlk_resp_parser_idle(&parser));
}

/* ---- Bounds that many bytes reach -------------------------------------------------------- */

static void test_resp_stream_streamed_aggregate_is_bounded(void **state)
{
    static const char *const heads[] = {"*?\r\n", "%?\r\n"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(heads); i++) {
        rlk_resp_parser parser;
        rlk_resp_parser full;
        rlk_resp_token token;
        uint32_t count;

        rlk_resp_parser_init(&parser, 64);
        show(&parser, heads[i], RLK_RESP_TOKEN, 4, &token);
        for (count = 0; count < RLK_RESP_MAX_COUNT; count++) {
            size_t consumed;

            if (rlk_resp_next(&parser, (const uint8_t *)"_\r\n", 3, &consumed, &token) !=
                RLK_RESP_TOKEN)
                support_fail("ended at %lu", (unsigned long)count);
        }
        full = parser;
        show(&parser, ".\r\n", RLK_RESP_TOKEN, 3, &token);
        assert_true((token.flags & RLK_RESP_DONE) != 0);
        show(&full, "_\r\n", RLK_RESP_BAD, 0, &token);
        assert_int_equal(rlk_resp_parser_fault(&full), RLK_RESP_FAULT_RANGE);
    }
}

static void test_resp_stream_streamed_string_is_bounded(void **state)
{
    const size_t piece = 1048576;
    rlk_resp_parser parser;
    rlk_resp_parser full;
    rlk_resp_token token;
    uint32_t left = RLK_RESP_MAX_LEN - 1;
    uint8_t *bytes = (uint8_t *)calloc(1, piece);
    char head[32];
    size_t consumed;

    (void)state;
    assert_non_null(bytes);
    rlk_resp_parser_init(&parser, 64);
    snprintf(head, sizeof head, "$?\r\n;%lu\r\n", (unsigned long)left);
    show(&parser, head, RLK_RESP_MORE, strlen(head), &token);
    while (left > 0) {
        size_t len = left < piece ? left : piece;

        assert_int_equal(rlk_resp_next(&parser, bytes, len, &consumed, &token), RLK_RESP_TOKEN);
        assert_int_equal(consumed, len);
        left -= (uint32_t)len;
    }
    free(bytes);
    full = parser;
    show(&full, "\r\n;2\r\n", RLK_RESP_BAD, 6, &token);
    assert_int_equal(rlk_resp_parser_fault(&full), RLK_RESP_FAULT_RANGE);
    show(&parser, "\r\n;1\r\nx", RLK_RESP_TOKEN, 7, &token);
    show(&parser, "\r\n;1\r\n", RLK_RESP_BAD, 6, &token);
    assert_int_equal(rlk_resp_parser_fault(&parser), RLK_RESP_FAULT_RANGE);
}

/* Half a gigabyte of text would take its time: the private count is moved near the end of it. */
static void test_resp_stream_line_is_bounded(void **state)
{
    rlk_resp_parser parser;
    rlk_resp_parser full;
    rlk_resp_token token;

    (void)state;
    rlk_resp_parser_init(&parser, 0);
    show(&parser, "+a", RLK_RESP_TOKEN, 2, &token);
    assert_int_equal(parser.remaining, RLK_RESP_MAX_LEN - 1);
    parser.remaining = 3;
    full = parser;
    show(&parser, "bcd\r\n", RLK_RESP_TOKEN, 5, &token);
    show(&full, "bcde", RLK_RESP_BAD, 0, &token);
    assert_int_equal(rlk_resp_parser_fault(&full), RLK_RESP_FAULT_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_stream_replies_of_a_real_server),
        cmocka_unit_test(test_resp_stream_long_strings_in_a_small_window),
        cmocka_unit_test(test_resp_stream_fragments),
        cmocka_unit_test(test_resp_stream_streamed_string_call_by_call),
        cmocka_unit_test(test_resp_stream_nothing_shown),
        cmocka_unit_test(test_resp_stream_bad_is_final),
        cmocka_unit_test(test_resp_stream_attribute_is_not_idle),
        cmocka_unit_test(test_resp_stream_streamed_aggregate_is_bounded),
        cmocka_unit_test(test_resp_stream_streamed_string_is_bounded),
        cmocka_unit_test(test_resp_stream_line_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
