/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* TEST_ONLY=test_some_behaviour runs that one test of a program. */
__attribute__((constructor)) static void support_choose_test(void)
{
    const char *only = getenv("TEST_ONLY");

    if (only != NULL)
        cmocka_set_test_filter(only);
}

void support_fail_at(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    char text[1024];

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_error("%s\n", text);
    _fail(file, line);
    abort(); /* outside of a test cmocka can't end it */
}

void support_assert_between(int64_t value, int64_t low, int64_t high, const char *expression,
                            const char *file, int line)
{
    if (value < low || value > high)
        support_fail_at(file, line, "%s is %lld, not in %lld..%lld", expression, (long long)value,
                        (long long)low, (long long)high);
}

void support_assert_contains(const char *text, const char *part, const char *file, int line)
{
    if (text == NULL || strstr(text, part) == NULL)
        support_fail_at(file, line, "\"%s\" is not in \"%s\"", part, text != NULL ? text : "NULL");
}

int support_time_factor(void)
{
    const char *text = getenv("TEST_TIME_FACTOR");
    int factor = text != NULL ? atoi(text) : 1;

    return factor > 0 ? factor : 1;
}

int64_t scaled(int64_t ms)
{
    return ms * support_time_factor();
}
