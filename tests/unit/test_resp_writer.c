/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The command that the tests of room write, argument by argument. */
static void put_sample(rlk_resp_writer *writer)
{
    uint8_t *hole;

    rlk_resp_put_command(writer, 5);
    rlk_resp_put_bulk(writer, "SET", 3);
    rlk_resp_put_bulk(writer, "\0\r\n$", 4);
    hole = rlk_resp_put_hole(writer, 12);
    if (hole != NULL)
        memcpy(hole, "token-of-ten", 12);
    rlk_resp_put_bulk(writer, NULL, 0);
    rlk_resp_put_raw(writer, NULL, 0);
    rlk_resp_put_integer(writer, -30000);
}

static const char sample[] = "*5\r\n$3\r\nSET\r\n$4\r\n\0\r\n$\r\n$12\r\ntoken-of-ten\r\n$0\r\n\r\n"
                             "$6\r\n-30000\r\n";
#define SAMPLE_LEN (sizeof sample - 1)

static void test_resp_writer_writes_commands_binary_safe(void **state)
{
    uint8_t buf[200];
    rlk_resp_writer writer;

    (void)state;
    rlk_resp_writer_init(&writer, buf, sizeof buf);
    put_sample(&writer);
    assert_result(rlk_resp_writer_result(&writer), RLK_OK);
    assert_int_equal(writer.len, SAMPLE_LEN);
    assert_memory_equal(buf, sample, SAMPLE_LEN);

    put_sample(&writer); /* appends */
    assert_int_equal(writer.len, 2 * SAMPLE_LEN);
    assert_memory_equal(buf + SAMPLE_LEN, sample, SAMPLE_LEN);
}

static void test_resp_writer_is_all_or_nothing(void **state)
{
    size_t cap;

    (void)state;
    for (cap = 0; cap < SAMPLE_LEN + 3; cap++) {
        uint8_t *buf = (uint8_t *)malloc(cap + 1); /* a sanitizer sees what goes beyond */
        rlk_resp_writer writer;

        assert_non_null(buf);
        buf[cap] = 0xA5;
        rlk_resp_writer_init(&writer, buf, cap);
        put_sample(&writer);
        assert_int_equal(writer.len, SAMPLE_LEN);
        assert_int_equal(buf[cap], 0xA5);
        assert_result(rlk_resp_writer_result(&writer), cap < SAMPLE_LEN ? RLK_E_BUFFER : RLK_OK);
        if (cap >= SAMPLE_LEN)
            assert_memory_equal(buf, sample, SAMPLE_LEN);
        free(buf);
    }
}

static void test_resp_writer_stays_silent_after_what_did_not_fit(void **state)
{
    uint8_t buf[16];
    uint8_t before[16];
    rlk_resp_writer writer;

    (void)state;
    memset(buf, 0x5A, sizeof buf);
    rlk_resp_writer_init(&writer, buf, sizeof buf);
    rlk_resp_put_bulk(&writer, "far too long for it", 19);
    memcpy(before, buf, sizeof buf);
    rlk_resp_put_bulk(&writer, "x", 1);
    rlk_resp_put_integer(&writer, 1);
    rlk_resp_put_command(&writer, 1);
    assert_null(rlk_resp_put_hole(&writer, 0));
    assert_memory_equal(buf, before, sizeof buf);
    assert_int_equal(writer.len, 26 + 7 + 7 + 4 + 6);
    assert_result(rlk_resp_writer_result(&writer), RLK_E_BUFFER);
}

static void test_resp_writer_counts_without_memory(void **state)
{
    rlk_resp_writer writer;

    (void)state;
    rlk_resp_writer_init(&writer, NULL, 0);
    put_sample(&writer);
    assert_int_equal(writer.len, SAMPLE_LEN);
    assert_result(rlk_resp_writer_result(&writer), RLK_E_BUFFER);
}

static void test_resp_writer_says_ok_of_nothing(void **state)
{
    rlk_resp_writer writer;

    (void)state;
    rlk_resp_writer_init(&writer, NULL, 0);
    assert_result(rlk_resp_writer_result(&writer), RLK_OK);
}

/* counting must not wrap: a length near SIZE_MAX would then seem to fit */
static void test_resp_writer_count_saturates(void **state)
{
    static const size_t lens[] = {SIZE_MAX,      SIZE_MAX - 1,  SIZE_MAX - 5,
                                  SIZE_MAX - 24, SIZE_MAX - 25, SIZE_MAX - 26};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(lens); i++) {
        uint8_t buf[8];
        rlk_resp_writer writer;

        rlk_resp_writer_init(&writer, buf, sizeof buf);
        assert_null(rlk_resp_put_hole(&writer, lens[i]));
        assert_true(writer.len >= lens[i]);
        assert_result(rlk_resp_writer_result(&writer), RLK_E_BUFFER);
        rlk_resp_put_bulk(&writer, NULL, lens[i]);
        assert_true(writer.len == SIZE_MAX);
        rlk_resp_put_integer(&writer, 1);
        rlk_resp_put_command(&writer, 1);
        assert_true(writer.len == SIZE_MAX);
        assert_result(rlk_resp_writer_result(&writer), RLK_E_BUFFER);
    }
}

/* a saturated count is never a fit, whatever the caller says of the room */
static void test_resp_writer_saturated_count_never_fits(void **state)
{
    uint8_t buf[1];
    rlk_resp_writer writer;

    (void)state;
    rlk_resp_writer_init(&writer, buf, SIZE_MAX);
    assert_null(rlk_resp_put_hole(&writer, SIZE_MAX));
    assert_result(rlk_resp_writer_result(&writer), RLK_E_BUFFER);
}

static void check_integer(int64_t value)
{
    char text[32];
    char wanted[64];
    uint8_t buf[64];
    rlk_resp_writer writer;
    int digits = snprintf(text, sizeof text, "%" PRId64, value);
    int len = snprintf(wanted, sizeof wanted, "$%d\r\n%s\r\n", digits, text);

    rlk_resp_writer_init(&writer, buf, sizeof buf);
    rlk_resp_put_integer(&writer, value);
    assert_int_equal(writer.len, len);
    assert_memory_equal(buf, wanted, (size_t)len);
}

static void test_resp_writer_integers(void **state)
{
    static const int64_t values[] = {0,
                                     INT64_C(1) << 31,
                                     UINT32_MAX,
                                     INT64_C(1) << 32,
                                     INT64_C(42949672959),
                                     INT64_C(42949672960),
                                     INT64_C(9223370000000000000),
                                     INT64_MAX,
                                     INT64_MIN,
                                     INT64_MIN + 1};
    uint64_t random = 1;
    int64_t power;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(values); i++)
        check_integer(values[i]);
    for (power = 1; power <= INT64_MAX / 10; power *= 10) {
        check_integer(power - 1);
        check_integer(power);
        check_integer(-power);
        check_integer(1 - power);
    }
    for (i = 0; i < 2000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        check_integer((int64_t)(random >> (1 + i % 60)));
    }
}

static void test_resp_writer_lengths_of_every_width(void **state)
{
    static const size_t lens[] = {0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 9999, 10000, 100000};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(lens); i++) {
        char head[32];
        size_t head_len = (size_t)snprintf(head, sizeof head, "$%zu\r\n", lens[i]);
        size_t need = head_len + lens[i] + 2;
        uint8_t *buf = (uint8_t *)malloc(need);
        rlk_resp_writer writer;
        uint8_t *hole;

        assert_non_null(buf);
        rlk_resp_writer_init(&writer, buf, need);
        hole = rlk_resp_put_hole(&writer, lens[i]);
        assert_int_equal(writer.len, need);
        assert_memory_equal(buf, head, head_len);
        assert_ptr_equal(hole, buf + head_len);
        assert_memory_equal(hole + lens[i], "\r\n", 2);
        free(buf);
    }
}

static void test_resp_writer_command_of_most_arguments(void **state)
{
    uint8_t buf[13];
    rlk_resp_writer writer;

    (void)state;
    rlk_resp_writer_init(&writer, buf, sizeof buf);
    rlk_resp_put_command(&writer, UINT32_MAX);
    assert_int_equal(writer.len, 13);
    assert_memory_equal(buf, "*4294967295\r\n", 13);
}

static void test_resp_encode_writes_if_and_only_if_it_fits(void **state)
{
    static const void *const argv[] = {"EVALSHA", "\r\n", "", "0123456789"};
    static const size_t lens[] = {7, 2, 0, 10};
    static const char wanted[] =
        "*4\r\n$7\r\nEVALSHA\r\n$2\r\n\r\n\r\n$0\r\n\r\n$10\r\n0123456789\r\n";
    const size_t need = sizeof wanted - 1;
    uint8_t buf[80];
    size_t cap;

    (void)state;
    assert_int_equal(rlk_resp_encode(NULL, 0, 4, argv, lens), need);
    for (cap = 0; cap <= need; cap++) {
        memset(buf, 0x5A, sizeof buf);
        assert_int_equal(rlk_resp_encode(buf, cap, 4, argv, lens), need);
        assert_int_equal(buf[cap], 0x5A);
    }
    assert_memory_equal(buf, wanted, need);
    assert_int_equal(rlk_resp_encode(buf, sizeof buf, 0, NULL, NULL), 4);
    assert_memory_equal(buf, "*0\r\n", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_writer_writes_commands_binary_safe),
        cmocka_unit_test(test_resp_writer_is_all_or_nothing),
        cmocka_unit_test(test_resp_writer_stays_silent_after_what_did_not_fit),
        cmocka_unit_test(test_resp_writer_counts_without_memory),
        cmocka_unit_test(test_resp_writer_says_ok_of_nothing),
        cmocka_unit_test(test_resp_writer_count_saturates),
        cmocka_unit_test(test_resp_writer_saturated_count_never_fits),
        cmocka_unit_test(test_resp_writer_integers),
        cmocka_unit_test(test_resp_writer_lengths_of_every_width),
        cmocka_unit_test(test_resp_writer_command_of_most_arguments),
        cmocka_unit_test(test_resp_encode_writes_if_and_only_if_it_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
