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

/* The row under test; without words where there is none. */
static char row_under_test[160];

bool support_row(size_t row, size_t rows)
{
    row_under_test[0] = '\0';
    if (row < rows)
        (void)snprintf(row_under_test, sizeof row_under_test, "%u", (unsigned)row);
    return row < rows;
}

void support_row_name(const char *format, ...)
{
    va_list arguments;
    size_t len = strlen(row_under_test);

    if (len + 3 > sizeof row_under_test)
        return;
    row_under_test[len++] = ':';
    row_under_test[len++] = ' ';
    va_start(arguments, format);
    (void)vsnprintf(row_under_test + len, sizeof row_under_test - len, format, arguments);
    va_end(arguments);
}

int support_report_row(void **state)
{
    (void)state;
    if (row_under_test[0] != '\0')
        print_error("The test ended in row %s.\n", row_under_test);
    row_under_test[0] = '\0';
    return 0;
}

int support_time_factor(void)
{
    const char *text = getenv("TEST_TIME_FACTOR");
    int factor = text != NULL ? atoi(text) : 1;

    return factor > 0 ? factor : 1;
}

uint32_t support_random_seed(void)
{
    const char *text = getenv("TEST_RANDOM");

    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

int64_t scaled(int64_t ms)
{
    return ms * support_time_factor();
}
