/* SPDX-License-Identifier: MIT
 *
 * The types of RESP2 in every library, those of RESP3 where they were not left out
 * (RLK_RESP2_ONLY).
 */
#include "support.h"

#include <string.h>

#ifdef RLK_RESP2_ONLY
#define RESP3 false
#else
#define RESP3 true
#endif

/* One value in one piece: its first token, or the fault. */
static rlk_resp_status first_token(const char *bytes, rlk_resp_token *token, rlk_resp_fault *fault)
{
    rlk_resp_parser parser;
    size_t consumed;
    rlk_resp_status status;

    rlk_resp_parser_init(&parser, 64);
    status = rlk_resp_next(&parser, (const uint8_t *)bytes, strlen(bytes), &consumed, token);
    *fault = rlk_resp_parser_fault(&parser);
    return status;
}

static void test_resp_types_of_both(void **state)
{
    static const struct {
        const char *bytes;
        rlk_resp_type type;
        int64_t value;
        const char *data;
    } rows[] = {
        {"+OK\r\n", RLK_RESP_SIMPLE, 2, "OK"},
        {"-ERR no\r\n", RLK_RESP_ERROR, 6, "ERR no"},
        {":-12\r\n", RLK_RESP_INTEGER, -12, NULL},
        {":9223372036854775807\r\n", RLK_RESP_INTEGER, INT64_MAX, NULL},
        {"$3\r\na\r\n\r\n", RLK_RESP_BULK, 3, "a\r\n"},
        {"$0\r\n\r\n", RLK_RESP_BULK, 0, ""},
        {"$-1\r\n", RLK_RESP_NULL, 0, NULL},
        {"*-1\r\n", RLK_RESP_NULL, 1, NULL},
        {"*2\r\n", RLK_RESP_ARRAY, 2, NULL},
        {"*0\r\n", RLK_RESP_ARRAY, 0, NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_resp_token token;
        rlk_resp_fault fault;

        assert_int_equal(first_token(rows[i].bytes, &token, &fault), RLK_RESP_TOKEN);
        assert_int_equal(token.type, rows[i].type);
        assert_int_equal(token.value, rows[i].value);
        if (rows[i].data != NULL) {
            assert_int_equal(token.len, strlen(rows[i].data));
            assert_memory_equal(token.data, rows[i].data, token.len);
        }
    }
}

static void test_resp_types_of_resp3(void **state)
{
    static const char *const values[] = {
        "_\r\n",           "#t\r\n", ",1.5\r\n",        "(12345678901234567890\r\n",
        "!5\r\nERR a\r\n", "%1\r\n", "=5\r\ntxt:a\r\n", "~2\r\n",
        "|1\r\n",          ">2\r\n", "*?\r\n",
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(values); i++) {
        rlk_resp_token token;
        rlk_resp_fault fault;
        rlk_resp_status status = first_token(values[i], &token, &fault);

        if (RESP3) {
            assert_int_equal(status, RLK_RESP_TOKEN);
            assert_int_equal(token.type, (unsigned char)values[i][0]);
        } else {
            assert_int_equal(status, RLK_RESP_BAD);
            assert_int_equal(fault,
                             values[i][0] == '*' ? RLK_RESP_FAULT_NUMBER : RLK_RESP_FAULT_TYPE);
        }
    }
}

/* However the bytes are cut: nested arrays, strings with any bytes, one reply behind the other. */
static void test_resp_types_cut_anywhere(void **state)
{
    static const char stream[] = "*3\r\n$2\r\n\r\n\r\n*1\r\n:7\r\n$-1\r\n+OK\r\n-E\r\n*0\r\n";
    static const char expected[] = "*$*:_+-*";
    size_t step;

    (void)state;
    for (step = 1; step < sizeof stream; step++) {
        rlk_resp_parser parser;
        char seen[16] = "";
        size_t n = 0;
        size_t done = 0;
        size_t at = 0;
        size_t shown = 0;

        rlk_resp_parser_init(&parser, 64);
        while (shown < sizeof stream - 1 || at < shown) {
            size_t consumed;
            rlk_resp_token token;
            rlk_resp_status status =
                rlk_resp_next(&parser, (const uint8_t *)stream + at, shown - at, &consumed, &token);

            at += consumed;
            assert_int_not_equal(status, RLK_RESP_BAD);
            if (status == RLK_RESP_TOKEN) {
                seen[n++] = (char)token.type;
                done += (token.flags & RLK_RESP_DONE) != 0;
            } else {
                shown = shown + step < sizeof stream - 1 ? shown + step : sizeof stream - 1;
            }
        }
        assert_string_equal(seen, expected);
        assert_int_equal(done, 4);
        assert_true(rlk_resp_parser_idle(&parser));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_types_of_both),
        cmocka_unit_test(test_resp_types_of_resp3),
        cmocka_unit_test(test_resp_types_cut_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
