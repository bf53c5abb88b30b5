/* SPDX-License-Identifier: MIT
 *
 * Results: their ranges, names and texts; the version.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

/* First and last of each range. */
static const struct {
    rlk_result first;
    rlk_result last;
    rlk_result_kind kind;
} ranges[] = {
    {RLK_OK, RLK_CANCELLED, RLK_KIND_OUTCOME},
    {RLK_E_ARGUMENT, RLK_E_URL_PLAIN, RLK_KIND_USAGE},
    {RLK_E_NOT_CONNECTED, RLK_E_TLS, RLK_KIND_TRANSPORT},
    {RLK_E_PROTOCOL, RLK_E_UNEXPECTED, RLK_KIND_PROTOCOL},
    {RLK_E_SERVER, RLK_E_NOAUTH, RLK_KIND_SERVER},
    {RLK_E_AUTH, RLK_E_TLS_REFUSED, RLK_KIND_FATAL},
};

#ifndef RLK_NO_TEXT
static bool is_result(int number)
{
    size_t i;

    for (i = 0; i < COUNT_OF(ranges); i++) {
        int from = ranges[i].first;
        int to = ranges[i].last;

        if ((from <= number && number <= to) || (to <= number && number <= from))
            return true;
    }
    return false;
}
#endif

static void test_result_ranges(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ranges); i++) {
        assert_int_equal(rlk_result_class(ranges[i].first), ranges[i].kind);
        assert_int_equal(rlk_result_class(ranges[i].last), ranges[i].kind);
    }
}

static void test_result_names_and_texts(void **state)
{
    int number;

    (void)state;
    for (number = -600; number < 200; number++) {
        const char *name = rlk_result_name((rlk_result)number);
        const char *text = rlk_result_text((rlk_result)number);

#ifdef RLK_NO_TEXT
        assert_string_equal(name, "");
        assert_string_equal(text, "");
#else
        assert_int_equal(strcmp(name, "?") != 0, is_result(number));
        assert_int_equal(strcmp(text, "") != 0, is_result(number));
        assert_int_equal(strncmp(name, "E_", 2) == 0, is_result(number) && number < 0);
#endif
    }
}

static void test_result_version(void **state)
{
    char version[32];

    (void)state;
    snprintf(version, sizeof version, "%d.%d.%d", RLK_VERSION_MAJOR, RLK_VERSION_MINOR,
             RLK_VERSION_PATCH);
    assert_string_equal(rlk_version(), version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_result_ranges),
        cmocka_unit_test(test_result_names_and_texts),
        cmocka_unit_test(test_result_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
