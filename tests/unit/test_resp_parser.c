/* SPDX-License-Identifier: MIT
 *
 * What RESP means to the parser, case by case. Each case goes through the reference reader and
 * through the parser in every two-part split and byte by byte, with several whole_max, with and
 * without the smallest window (check_resp.h).
 */
#include "support.h"

#include "check_resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes, and what they come to in the notation of check_resp_text(). */
typedef struct good_case {
    const char *bytes;
    const char *events;
} good_case;

static const good_case types[] = {
    {"", ""},
    {"+OK\r\n", "+OK;"},
    {"+\r\n", "+;"},
    {"+a\tb\x01\xff\r\n", "+a\tb\x01\xff;"},
    {"-MOVED 3999 127.0.0.1:6381\r\n", "-MOVED 3999 127.0.0.1:6381;"},
    {":0\r\n:1\r\n:-1\r\n", ":0; :1; :-1;"},
    {":+5\r\n:-0\r\n:007\r\n", ":5; :0; :7;"}, /* RESP: "an optional plus or minus" */
    {":9223372036854775807\r\n", ":9223372036854775807;"},
    {":-9223372036854775808\r\n", ":-9223372036854775808;"},
    {"$0\r\n\r\n", "$;"},
    {"$2\r\n\r\n\r\n", "$\r\n;"},
    {"$0012\r\nhello, world\r\n", "$hello, world;"},
    {"$-1\r\n", "_;"},
    {"*-1\r\n", "_;"},
    {"_\r\n", "_;"},
    {"#t\r\n#f\r\n", "#1; #0;"},
    {",1.23\r\n,10\r\n,-1e5\r\n,+2.5E-3\r\n,0\r\n", ",1.23; ,10; ,-1e5; ,+2.5E-3; ,0;"},
    {",inf\r\n,-inf\r\n,nan\r\n", ",inf; ,-inf; ,nan;"},
    {"(0\r\n(-3492890328409238509324850943850943825024385\r\n(+1\r\n",
     "(0; (-3492890328409238509324850943850943825024385; (+1;"},
    {"!21\r\nSYNTAX invalid syntax\r\n", "!SYNTAX invalid syntax;"},
    {"!0\r\n\r\n", "!;"},
    {"=8\r\ntxt:Some\r\n=4\r\nmkd:\r\n", "=txt:Some; =mkd:;"},
    {"*0\r\n%0\r\n~0\r\n>0\r\n", "*0; %0; ~0; ^>0;"},
    {"*2\r\n+a\r\n$1\r\nb\r\n", "*2 (+a $b;)"},
    {"*3\r\n*0\r\n*-1\r\n*1\r\n*0\r\n", "*3 (*0 _ *1 (*0;))"},
    {"%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n#t\r\n", "%4 (+a :1 +b ~1 (#1;))"},
    {">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n+OK\r\n",
     "^>2 (^$invalidate ^*1 (^$key;)) +OK;"},
};

static const good_case streamed[] = {
    {"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n", "$?Hello;"},
    {"$?\r\n;0\r\n", "$?;"},
    {"*2\r\n$?\r\n;2\r\n\r\n\r\n;0\r\n:1\r\n", "*2 ($?\r\n :1;)"},
    {"*?\r\n:1\r\n*?\r\n.\r\n$1\r\na\r\n.\r\n", "*? (:1 *? . $a) .;"},
    {"*?\r\n.\r\n%?\r\n.\r\n~?\r\n.\r\n", "*? .; %? .; ~? .;"},
    {"%?\r\n+a\r\n:1\r\n+b\r\n*0\r\n.\r\n", "%? (+a :1 +b *0) .;"},
    {"~?\r\n_\r\n.\r\n+OK\r\n", "~? (_) .; +OK;"},
    {"*1\r\n*?\r\n.\r\n", "*1 (*? .;)"},
    {"*?\r\n*1\r\n:1\r\n.\r\n", "*? (*1 (:1)) .;"},
    {">1\r\n*?\r\n:1\r\n.\r\n", "^>1 (^*? (^:1) ^.;)"},
};

static const good_case attributes[] = {
    {"|1\r\n+ttl\r\n:3600\r\n+OK\r\n", "@|2 (@+ttl @:3600) +OK;"},
    {"|0\r\n+OK\r\n", "@|0 +OK;"},
    {"|0\r\n|1\r\n+a\r\n+b\r\n|0\r\n_\r\n", "@|0 @|2 (@+a @+b) @|0 _;"},
    {"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n|0\r\n:2\r\n", "*2 (@|2 (@+a @+b) :1 @|0 :2;)"},
    {"*?\r\n|1\r\n+a\r\n+b\r\n:1\r\n.\r\n", "*? (@|2 (@+a @+b) :1) .;"},
    {"%1\r\n|0\r\n+k\r\n|0\r\n+v\r\n", "%2 (@|0 +k @|0 +v;)"},
    {"|1\r\n|1\r\n+a\r\n+b\r\n+c\r\n*1\r\n|0\r\n+d\r\n:1\r\n",
     "@|2 (@|2 (@+a @+b) @+c @*1 (@|0 @+d)) :1;"},
    {"|1\r\n+a\r\n*?\r\n%?\r\n.\r\n.\r\n:1\r\n", "@|2 (@+a @*? (@%? @.) @.) :1;"},
    {"|1\r\n+a\r\n$?\r\n;1\r\nx\r\n;0\r\n*0\r\n", "@|2 (@+a @$?x) *0;"},
    {"|1\r\n+a\r\n+b\r\n>1\r\n|0\r\n+c\r\n", "@|2 (@+a @+b) ^>1 (^@|0 ^+c;)"},
};

static void check_good(const good_case *cases, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        check_resp(cases[i].bytes, strlen(cases[i].bytes), RESP_COMPLETE, cases[i].events);
}

static void test_resp_parser_types(void **state)
{
    (void)state;
    check_good(types, COUNT_OF(types));
    check_resp("$5\r\na\0\r\nb\r\n", 11, RESP_COMPLETE, NULL); /* any bytes */
    check_resp("+a\0b\r\n", 6, RESP_COMPLETE, NULL);
}

/* bug: blob error and streamed types unsupported (hiredis, libvalkey) */
static void test_resp_parser_streamed_types(void **state)
{
    (void)state;
    check_good(streamed, COUNT_OF(streamed));
}

/* bug: an attribute surfaces as a reply (hiredis, libvalkey) */
static void test_resp_parser_attribute_is_no_reply(void **state)
{
    resp_log log;

    (void)state;
    check_good(attributes, COUNT_OF(attributes));
    memset(&log, 0, sizeof log);
    check_resp_read(&log, "|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n", 20);
    assert_int_equal(resp_log_values(&log), 1);
    assert_int_equal(log.events[log.count - 1].value, 7);
    resp_log_free(&log);
}

typedef struct bad_case {
    const char *bytes;
    rlk_resp_fault fault;
} bad_case;

static const bad_case malformed[] = {
    /* no type of RESP, or not here */
    {"HTTP/1.1 400 Bad Request\r\n", RLK_RESP_FAULT_TYPE},
    {"\r\n", RLK_RESP_FAULT_TYPE},
    {"\x15\x03\x03", RLK_RESP_FAULT_TYPE}, /* a TLS alert */
    {" +OK\r\n", RLK_RESP_FAULT_TYPE},
    {";1\r\na\r\n", RLK_RESP_FAULT_TYPE},
    {"*1\r\n;1\r\n", RLK_RESP_FAULT_TYPE},
    {".\r\n", RLK_RESP_FAULT_TYPE},
    {"*1\r\n.\r\n", RLK_RESP_FAULT_TYPE},
    {"*?\r\n*1\r\n.\r\n", RLK_RESP_FAULT_TYPE},
    {"%?\r\n+a\r\n.\r\n", RLK_RESP_FAULT_TYPE},                   /* a key, no value */
    {"*?\r\n|0\r\n.\r\n", RLK_RESP_FAULT_TYPE},                   /* an attribute of nothing */
    {"*?\r\n:1\r\n|1\r\n+a\r\n+b\r\n.\r\n", RLK_RESP_FAULT_TYPE}, /* the same */
    {"*1\r\n>1\r\n+a\r\n", RLK_RESP_FAULT_TYPE},                  /* a push within a reply */
    {"|1\r\n>0\r\n", RLK_RESP_FAULT_TYPE},                        /* within an attribute */
    {"$?\r\n+a\r\n", RLK_RESP_FAULT_TYPE},                        /* no piece */
    {"$?\r\n;1\r\na\r\n.\r\n", RLK_RESP_FAULT_TYPE},
    /* numbers */
    {":\r\n", RLK_RESP_FAULT_NUMBER},
    {":-\r\n", RLK_RESP_FAULT_NUMBER},
    {":+-1\r\n", RLK_RESP_FAULT_NUMBER},
    {": 1\r\n", RLK_RESP_FAULT_NUMBER},
    {":1 \r\n", RLK_RESP_FAULT_NUMBER},
    {":1.5\r\n", RLK_RESP_FAULT_NUMBER},
    {":0x1\r\n", RLK_RESP_FAULT_NUMBER},
    {":?\r\n", RLK_RESP_FAULT_NUMBER},
    {":1\n", RLK_RESP_FAULT_NUMBER},
    {":9223372036854775808\r\n", RLK_RESP_FAULT_RANGE},
    {":-9223372036854775809\r\n", RLK_RESP_FAULT_RANGE},
    {":99999999999999999999\r\n", RLK_RESP_FAULT_RANGE},
    {":0000000000000000000000000000000000000000000000001\r\n", RLK_RESP_FAULT_RANGE},
    {":000000000000000000000000000000000000000000000001x\r\n",
     RLK_RESP_FAULT_RANGE}, /* 48 are the most */
    {":00000000000000000000000000000000000000000000001x\r\n", RLK_RESP_FAULT_NUMBER},
    {"$\r\n", RLK_RESP_FAULT_NUMBER},
    {"$+5\r\nhello\r\n", RLK_RESP_FAULT_NUMBER},
    {"$-2\r\n", RLK_RESP_FAULT_NUMBER},
    {"$-0\r\n", RLK_RESP_FAULT_NUMBER},
    {"$-\r\n", RLK_RESP_FAULT_NUMBER},
    {"$5x\r\n", RLK_RESP_FAULT_NUMBER},
    {"$?5\r\n", RLK_RESP_FAULT_NUMBER},
    {"$??\r\n", RLK_RESP_FAULT_NUMBER},
    {"*-2\r\n", RLK_RESP_FAULT_NUMBER},
    {"*+1\r\n", RLK_RESP_FAULT_NUMBER},
    {"~-1\r\n", RLK_RESP_FAULT_NUMBER},
    {">-1\r\n", RLK_RESP_FAULT_NUMBER},
    {">?\r\n", RLK_RESP_FAULT_NUMBER},
    {"|-1\r\n", RLK_RESP_FAULT_NUMBER},
    {"|?\r\n", RLK_RESP_FAULT_NUMBER},
    {"!-1\r\n", RLK_RESP_FAULT_NUMBER},
    {"!?\r\n", RLK_RESP_FAULT_NUMBER},
    {"=-1\r\n", RLK_RESP_FAULT_NUMBER},
    {"=?\r\n", RLK_RESP_FAULT_NUMBER},
    {"$?\r\n;-1\r\n", RLK_RESP_FAULT_NUMBER},
    {"$?\r\n;?\r\n", RLK_RESP_FAULT_NUMBER},
    /* texts */
    {"#x\r\n", RLK_RESP_FAULT_TEXT},
    {"#T\r\n", RLK_RESP_FAULT_TEXT},
    {"#\r\n", RLK_RESP_FAULT_TEXT},
    {",\r\n", RLK_RESP_FAULT_TEXT},
    {",-\r\n", RLK_RESP_FAULT_TEXT},
    {",.5\r\n", RLK_RESP_FAULT_TEXT},
    {",1.\r\n", RLK_RESP_FAULT_TEXT},
    {",1.e5\r\n", RLK_RESP_FAULT_TEXT},
    {",1e\r\n", RLK_RESP_FAULT_TEXT},
    {",1e-\r\n", RLK_RESP_FAULT_TEXT},
    {",1e+x\r\n", RLK_RESP_FAULT_TEXT},
    {",1.5x\r\n", RLK_RESP_FAULT_TEXT},
    {",+inf\r\n", RLK_RESP_FAULT_TEXT},
    {",-nan\r\n", RLK_RESP_FAULT_TEXT},
    {",in\r\n", RLK_RESP_FAULT_TEXT},
    {",infinity\r\n", RLK_RESP_FAULT_TEXT},
    {",NaN\r\n", RLK_RESP_FAULT_TEXT},
    {",1 \r\n", RLK_RESP_FAULT_TEXT},
    {",0.12345678901234567890123456789012345678901234567\r\n", RLK_RESP_FAULT_RANGE},
    {"(\r\n", RLK_RESP_FAULT_TEXT},
    {"(-\r\n", RLK_RESP_FAULT_TEXT},
    {"(12a\r\n", RLK_RESP_FAULT_TEXT},
    {"(1-2\r\n", RLK_RESP_FAULT_TEXT},
    {"(--2\r\n", RLK_RESP_FAULT_TEXT},
    {"(1\n", RLK_RESP_FAULT_TEXT},
    {"=3\r\ntxt\r\n", RLK_RESP_FAULT_TEXT},
    {"=0\r\n\r\n", RLK_RESP_FAULT_TEXT},
    {"=8\r\ntext:abc\r\n", RLK_RESP_FAULT_TEXT},
    /* CRLF, both, and in strings by line neither alone */
    {"+OK\n", RLK_RESP_FAULT_TERMINATOR},
    {"+a\rb\r\n", RLK_RESP_FAULT_TERMINATOR},
    {"+a\r\r\n", RLK_RESP_FAULT_TERMINATOR},
    {"-ERR a\nb\r\n", RLK_RESP_FAULT_TERMINATOR},
    {":1\rx", RLK_RESP_FAULT_TERMINATOR},
    {"_x\r\n", RLK_RESP_FAULT_TERMINATOR},
    {"_\n", RLK_RESP_FAULT_TERMINATOR},
    {"#t \r\n", RLK_RESP_FAULT_TERMINATOR},
    {"#tx", RLK_RESP_FAULT_TERMINATOR},
    {"#t\rx", RLK_RESP_FAULT_TERMINATOR},
    {",1\rx", RLK_RESP_FAULT_TERMINATOR},
    {"(1\rx", RLK_RESP_FAULT_TERMINATOR},
    {"$1\rx", RLK_RESP_FAULT_TERMINATOR},
    {"$-1\rx", RLK_RESP_FAULT_TERMINATOR},
    {"*?\rx", RLK_RESP_FAULT_TERMINATOR},
    {"*?\r\n.x", RLK_RESP_FAULT_TERMINATOR},
    {"!2\r\nabcd", RLK_RESP_FAULT_TERMINATOR},
    {"=4\r\ntxt:\n\r", RLK_RESP_FAULT_TERMINATOR},
    {"$?\r\n;1\r\nab\r\n", RLK_RESP_FAULT_TERMINATOR},
    {"$?\r\n;1\r\na\rb", RLK_RESP_FAULT_TERMINATOR},
};

static void check_bad(const char *bytes, rlk_resp_fault fault)
{
    rlk_resp_fault found = check_resp_fault(bytes, strlen(bytes));

    check_resp(bytes, strlen(bytes), RESP_MALFORMED, NULL);
    if (found != fault)
        support_fail("fault %d, not %d, of: %s", (int)found, (int)fault, bytes);
}

static void test_resp_parser_malformed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(malformed); i++)
        check_bad(malformed[i].bytes, malformed[i].fault);
}

/* what came before the malformed byte stands */
static void test_resp_parser_keeps_what_came_before(void **state)
{
    (void)state;
    check_resp("+OK\r\n*2\r\n:1\r\nx", 14, RESP_MALFORMED, "+OK; *2 (:1");
    check_resp("*?\r\n|1\r\n:1\r\n:2\r\n.\r\n", 19, RESP_MALFORMED, "*? (@|2 (@:1 @:2");
    check_resp("$3\r\nfooXX", 9, RESP_MALFORMED, "");
}

/* every beginning of a good one is unfinished, and not one byte of it is an error */
static void test_resp_parser_unfinished(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(types); i++)
        check_resp_prefixes(types[i].bytes, strlen(types[i].bytes));
    for (i = 0; i < COUNT_OF(streamed); i++)
        check_resp_prefixes(streamed[i].bytes, strlen(streamed[i].bytes));
    for (i = 0; i < COUNT_OF(attributes); i++)
        check_resp_prefixes(attributes[i].bytes, strlen(attributes[i].bytes));
    check_resp("+OK\r\n|0\r\n", 9, RESP_UNFINISHED, "+OK; @|0");
    check_resp("*1\r\n", 4, RESP_UNFINISHED, "*1");
    check_resp(":12", 3, RESP_UNFINISHED, "");
}

/* ---- Bugs of others ---------------------------------------------------------------------- */

/* CVE-2021-32765: element count x size of an element */
static void test_resp_parser_count_times_size_overflow(void **state)
{
    static const char *const kinds = "*~>";
    static const char *const counts[] = {
        "2305843009213693950", "2305843009213693951", "2305843009213693952", /* SIZE_MAX / 8 -+ 1 */
        "536870910",           "536870911",           "536870912",           /* of 32 bits */
        "9223372036854775807", "9223372036854775808", "18446744073709551615",
    };
    char bytes[40];
    size_t i;
    size_t k;

    (void)state;
    for (k = 0; k < strlen(kinds); k++)
        for (i = 0; i < COUNT_OF(counts); i++) {
            snprintf(bytes, sizeof bytes, "%c%s\r\n", kinds[k], counts[i]);
            check_bad(bytes, RLK_RESP_FAULT_RANGE);
        }
}

/* hiredis, libvalkey: twice the pairs wraps */
static void test_resp_parser_map_doubling_overflow(void **state)
{
    (void)state;
    check_bad("%4611686018427387904\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("%9223372036854775807\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("%2147483648\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("|4611686018427387904\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("|2147483648\r\n", RLK_RESP_FAULT_RANGE);
}

/* hiredis #1357, go-redis #3856: a tiny header asks for much memory. Here there is none to ask
 * for; the count is refused, and one within the bound costs the parser's own bytes. */
static void test_resp_parser_tiny_header_huge_count(void **state)
{
    char bytes[40];

    (void)state;
    check_bad("*4294967295\r\n", RLK_RESP_FAULT_RANGE);
    snprintf(bytes, sizeof bytes, "*%lu\r\n", (unsigned long)RLK_RESP_MAX_COUNT);
    check_resp(bytes, strlen(bytes), RESP_UNFINISHED, NULL);
    snprintf(bytes, sizeof bytes, "*%lu\r\n", (unsigned long)RLK_RESP_MAX_COUNT + 1);
    check_bad(bytes, RLK_RESP_FAULT_RANGE);
    snprintf(bytes, sizeof bytes, "%%%lu\r\n", (unsigned long)RLK_RESP_MAX_COUNT / 2);
    check_resp(bytes, strlen(bytes), RESP_UNFINISHED, NULL);
    snprintf(bytes, sizeof bytes, "%%%lu\r\n", (unsigned long)RLK_RESP_MAX_COUNT / 2 + 1);
    check_bad(bytes, RLK_RESP_FAULT_RANGE);
    assert_true(sizeof(rlk_resp_parser) <= 64 + 5 * (RLK_RESP_MAX_DEPTH - 8));
}

/* hiredis #1358: length + 2 overflows */
static void test_resp_parser_length_plus_crlf_overflow(void **state)
{
    (void)state;
    check_bad("$9223372036854775807\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("$9223372036854775806\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("$18446744073709551615\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("!9223372036854775807\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("=9223372036854775807\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("$?\r\n;9223372036854775807\r\n", RLK_RESP_FAULT_RANGE);
}

/* hiredis #1333: cut to 32 bits, this is 0 */
static void test_resp_parser_length_beyond_32_bits(void **state)
{
    char bytes[40];

    (void)state;
    check_bad("$4294967296\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("$4294967299\r\nfoo\r\n", RLK_RESP_FAULT_RANGE);
    check_bad("*4294967296\r\n", RLK_RESP_FAULT_RANGE);
    snprintf(bytes, sizeof bytes, "$%lu\r\n", (unsigned long)RLK_RESP_MAX_LEN);
    check_resp(bytes, strlen(bytes), RESP_UNFINISHED, "");
    snprintf(bytes, sizeof bytes, "$%lu\r\n", (unsigned long)RLK_RESP_MAX_LEN + 1);
    check_bad(bytes, RLK_RESP_FAULT_RANGE);
}

/* libvalkey #336 (300,000 levels: segmentation fault), redis-rs #724 */
static void test_resp_parser_deep_nesting(void **state)
{
    static const char *const headers[] = {"*1\r\n", "%1\r\n", "~1\r\n", "*?\r\n", "|1\r\n"};
    char bytes[4 * RLK_RESP_MAX_DEPTH + 40];
    size_t used = 0;
    size_t i;

    (void)state;
    for (i = 0; i < RLK_RESP_MAX_DEPTH; i++)
        used += (size_t)snprintf(bytes + used, sizeof bytes - used, "*1\r\n");
    strcpy(bytes + used, ":1\r\n");
    check_resp(bytes, strlen(bytes), RESP_COMPLETE, NULL);
    strcpy(bytes + used, "*-1\r\n"); /* a null is no level */
    check_resp(bytes, strlen(bytes), RESP_COMPLETE, NULL);
    strcpy(bytes + used, "*0\r\n"); /* an empty one is */
    check_bad(bytes, RLK_RESP_FAULT_DEPTH);
    for (i = 0; i < COUNT_OF(headers); i++) {
        strcpy(bytes + used, headers[i]);
        check_bad(bytes, RLK_RESP_FAULT_DEPTH);
    }
    for (i = 0; i < COUNT_OF(headers); i++) {
        resp_log log;
        char *deep = (char *)malloc(4 * 300000);
        size_t at;

        assert_non_null(deep);
        for (at = 0; at < 300000; at++)
            memcpy(deep + 4 * at, headers[i], 4);
        memset(&log, 0, sizeof log);
        check_resp_read(&log, deep, 4 * 300000);
        assert_int_equal(log.outcome, RESP_MALFORMED);
        assert_int_equal(log.count, RLK_RESP_MAX_DEPTH);
        resp_log_free(&log);
        free(deep);
    }
}

/* hiredis, libvalkey take two bytes for CRLF without a check */
static void test_resp_parser_bulk_terminator_unchecked(void **state)
{
    (void)state;
    check_bad("$3\r\nfooXX", RLK_RESP_FAULT_TERMINATOR);
    check_bad("$3\r\nfoo\rX", RLK_RESP_FAULT_TERMINATOR);
    check_bad("$3\r\nfoo\n\r", RLK_RESP_FAULT_TERMINATOR);
    check_bad("$3\r\nfooX", RLK_RESP_FAULT_TERMINATOR);
    check_bad("$0\r\nX", RLK_RESP_FAULT_TERMINATOR);
    check_bad("$3\r\nfoobar\r\n", RLK_RESP_FAULT_TERMINATOR);
}

/* hiredis, libvalkey take %-1 */
static void test_resp_parser_negative_map(void **state)
{
    (void)state;
    check_bad("%-1\r\n", RLK_RESP_FAULT_NUMBER);
    check_bad("*1\r\n%-1\r\n", RLK_RESP_FAULT_NUMBER);
}

/* libvalkey 02c21b2: an error shorter than the prefix that it compares. resp_feed shows it in
 * memory of exactly its size. */
static void test_resp_parser_short_error_over_read(void **state)
{
    (void)state;
    check_resp("-MO\r\n", 5, RESP_COMPLETE, "-MO;");
    check_resp("-\r\n", 3, RESP_COMPLETE, "-;");
    check_resp("-", 1, RESP_UNFINISHED, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_parser_types),
        cmocka_unit_test(test_resp_parser_streamed_types),
        cmocka_unit_test(test_resp_parser_attribute_is_no_reply),
        cmocka_unit_test(test_resp_parser_malformed),
        cmocka_unit_test(test_resp_parser_keeps_what_came_before),
        cmocka_unit_test(test_resp_parser_unfinished),
        cmocka_unit_test(test_resp_parser_count_times_size_overflow),
        cmocka_unit_test(test_resp_parser_map_doubling_overflow),
        cmocka_unit_test(test_resp_parser_tiny_header_huge_count),
        cmocka_unit_test(test_resp_parser_length_plus_crlf_overflow),
        cmocka_unit_test(test_resp_parser_length_beyond_32_bits),
        cmocka_unit_test(test_resp_parser_deep_nesting),
        cmocka_unit_test(test_resp_parser_bulk_terminator_unchecked),
        cmocka_unit_test(test_resp_parser_negative_map),
        cmocka_unit_test(test_resp_parser_short_error_over_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
