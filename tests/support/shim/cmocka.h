/* SPDX-License-Identifier: MIT
 *
 * The part of cmocka that the tests use, for targets that cmocka is not installed for: the same
 * names, the same output, the same exit status (the number of tests that failed). As with the
 * original, <stdarg.h>, <stddef.h>, <stdint.h> and <setjmp.h> come before it.
 */
#ifndef TEST_SHIM_CMOCKA_H
#define TEST_SHIM_CMOCKA_H

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state); /* another number than 0: the test fails */

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func;
    CMFixtureFunction teardown_func; /* runs when the test failed, too; not when its setup did */
    void *initial_state;
};

#define cmocka_unit_test_setup_teardown(function, setup, teardown)                                 \
    {                                                                                              \
#function, function, setup, teardown, NULL                                                 \
    }
#define cmocka_unit_test_teardown(function, teardown)                                              \
    cmocka_unit_test_setup_teardown(function, NULL, teardown)
#define cmocka_unit_test(function) cmocka_unit_test_setup_teardown(function, NULL, NULL)

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run_group_tests_name(#tests, tests, setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
    _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

/* Of the next groups only the test of this name runs; NULL: all. (cmocka takes a pattern.) */
void cmocka_set_test_filter(const char *name);

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t len,
                            CMFixtureFunction setup, CMFixtureFunction teardown);

void print_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the test. */
void _fail(const char *file, int line);
void _skip(const char *file, int line);

#define skip() _skip(__FILE__, __LINE__)
#define fail() _fail(__FILE__, __LINE__)
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        print_error("ERROR: " __VA_ARGS__);                                                        \
        print_error("\n");                                                                         \
        fail();                                                                                    \
    } while (0)

/* The wider of pointers and of the largest integer, as in the original. */
#define shim_wide(value)    ((uintmax_t)(value))
#define shim_pointer(value) ((uintptr_t)(const void *)(value))

#define assert_true(value)     shim_assert((value) ? 1 : 0, #value, __FILE__, __LINE__)
#define assert_false(value)    shim_assert((value) ? 0 : 1, "!(" #value ")", __FILE__, __LINE__)
#define assert_null(value)     shim_assert((value) == NULL, #value " == NULL", __FILE__, __LINE__)
#define assert_non_null(value) shim_assert((value) != NULL, #value " != NULL", __FILE__, __LINE__)
#define assert_int_equal(a, b)                                                                     \
    shim_assert_integers(shim_wide(a), shim_wide(b), 1, __FILE__, __LINE__)
#define assert_int_not_equal(a, b)                                                                 \
    shim_assert_integers(shim_wide(a), shim_wide(b), 0, __FILE__, __LINE__)
#define assert_ptr_equal(a, b)                                                                     \
    shim_assert_integers(shim_pointer(a), shim_pointer(b), 1, __FILE__, __LINE__)
#define assert_ptr_not_equal(a, b)                                                                 \
    shim_assert_integers(shim_pointer(a), shim_pointer(b), 0, __FILE__, __LINE__)
#define assert_string_equal(a, b)     shim_assert_strings((a), (b), 1, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) shim_assert_strings((a), (b), 0, __FILE__, __LINE__)
#define assert_memory_equal(a, b, len)                                                             \
    shim_assert_memory((a), (b), (size_t)(len), 1, __FILE__, __LINE__)
#define assert_memory_not_equal(a, b, len)                                                         \
    shim_assert_memory((a), (b), (size_t)(len), 0, __FILE__, __LINE__)

void shim_assert(int holds, const char *expression, const char *file, int line);
void shim_assert_integers(uintmax_t a, uintmax_t b, int equal, const char *file, int line);
void shim_assert_strings(const char *a, const char *b, int equal, const char *file, int line);
void shim_assert_memory(const void *a, const void *b, size_t len, int equal, const char *file,
                        int line);

#endif
