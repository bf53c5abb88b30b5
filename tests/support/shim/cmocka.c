/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHIM_PASSED,
    SHIM_FAILED,
    SHIM_SKIPPED
};

static jmp_buf shim_end; /* of the function under way */
static int shim_running;
static const char *shim_only; /* name of the one test to run; NULL: all */

void print_message(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

void print_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

static void shim_leave(int outcome)
{
    if (shim_running != 0)
        longjmp(shim_end, outcome);
    exit(EXIT_FAILURE);
}

void _fail(const char *file, int line)
{
    print_error("%s:%d: error: Failure!\n", file, line);
    shim_leave(SHIM_FAILED);
}

void _skip(const char *file, int line)
{
    print_error("%s:%d: skipped\n", file, line);
    shim_leave(SHIM_SKIPPED);
}

/* ---- Assertions ---- */

void shim_assert(int holds, const char *expression, const char *file, int line)
{
    if (holds == 0) {
        print_error("%s\n", expression);
        _fail(file, line);
    }
}

void shim_assert_integers(uintmax_t a, uintmax_t b, int equal, const char *file, int line)
{
    if ((a == b) != equal) {
        print_error("%#" PRIxMAX " %s %#" PRIxMAX "\n", a, equal != 0 ? "!=" : "==", b);
        _fail(file, line);
    }
}

void shim_assert_strings(const char *a, const char *b, int equal, const char *file, int line)
{
    if ((strcmp(a, b) == 0) != equal) {
        print_error("\"%s\" %s \"%s\"\n", a, equal != 0 ? "!=" : "==", b);
        _fail(file, line);
    }
}

void shim_assert_memory(const void *a, const void *b, size_t len, int equal, const char *file,
                        int line)
{
    const unsigned char *left = a;
    const unsigned char *right = b;
    size_t i = 0;

    while (i < len && left[i] == right[i])
        i++;
    if ((i == len) == equal)
        return;
    if (equal != 0)
        print_error("byte %u: %#x != %#x\n", (unsigned)i, left[i], right[i]);
    else
        print_error("%u bytes are the same\n", (unsigned)len);
    _fail(file, line);
}

/* ---- Running ---- */

/* One of the two, the other is NULL. */
static int shim_call(CMUnitTestFunction test, CMFixtureFunction fixture, void **state)
{
    int outcome = setjmp(shim_end);

    if (outcome == 0) {
        shim_running = 1;
        if (test != NULL)
            test(state);
        else if (fixture != NULL && fixture(state) != 0)
            outcome = SHIM_FAILED;
    }
    shim_running = 0;
    return outcome;
}

static int shim_run(const struct CMUnitTest *test, void *group_state)
{
    void *state = test->initial_state != NULL ? test->initial_state : group_state;
    int outcome = shim_call(NULL, test->setup_func, &state);

    if (outcome != SHIM_PASSED)
        return outcome;
    outcome = shim_call(test->test_func, NULL, &state);
    if (shim_call(NULL, test->teardown_func, &state) != SHIM_PASSED)
        outcome = SHIM_FAILED;
    return outcome;
}

void cmocka_set_test_filter(const char *name)
{
    shim_only = name;
}

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t len,
                            CMFixtureFunction setup, CMFixtureFunction teardown)
{
    static const char *const words[] = {"[       OK ]", "[  FAILED  ]", "[  SKIPPED ]"};
    void *state = NULL;
    int count[3] = {0, 0, 0};
    size_t i;

    print_message("[==========] Running %u test(s) of %s.\n", (unsigned)len, name);
    if (shim_call(NULL, setup, &state) != SHIM_PASSED)
        return (int)len;
    for (i = 0; i < len; i++) {
        int outcome;

        if (shim_only != NULL && strcmp(shim_only, tests[i].name) != 0)
            continue;
        print_message("[ RUN      ] %s\n", tests[i].name);
        outcome = shim_run(&tests[i], state);
        count[outcome]++;
        print_message("%s %s\n", words[outcome], tests[i].name);
    }
    if (shim_call(NULL, teardown, &state) != SHIM_PASSED)
        count[SHIM_FAILED]++;
    print_message("[==========] %d passed, %d failed, %d skipped.\n", count[SHIM_PASSED],
                  count[SHIM_FAILED], count[SHIM_SKIPPED]);
    return count[SHIM_FAILED];
}
