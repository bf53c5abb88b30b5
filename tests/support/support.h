/* SPDX-License-Identifier: MIT
 *
 * support.h: what every test includes: cmocka, assertions on results, bounded waiting, folders.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "resplock.h"

/* Number of elements of an array. */
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Assertions -------------------------------------------------------------------------- */

/* assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK): names both results when it fails. */
#define assert_result(expression, expected)                                                        \
    support_assert_result((expression), (expected), #expression, __FILE__, __LINE__)
void support_assert_result(rlk_result actual, rlk_result expected, const char *expression,
                           const char *file, int line);

/* As assert_true(low <= value && value <= high), and says what the value was. */
#define assert_between(value, low, high)                                                           \
    support_assert_between((int64_t)(value), (int64_t)(low), (int64_t)(high), #value, __FILE__,    \
                           __LINE__)
void support_assert_between(int64_t value, int64_t low, int64_t high, const char *expression,
                            const char *file, int line);

/* The text contains the part. */
#define assert_contains(text, part) support_assert_contains((text), (part), __FILE__, __LINE__)
void support_assert_contains(const char *text, const char *part, const char *file, int line);

/* The event is the end of that operation, with that result: RLK_EV_RESULT, or RLK_EV_ACQUIRED. */
#define assert_end(event, operation, result)                                                       \
    support_assert_end((event), (operation), (result), __FILE__, __LINE__)
void support_assert_end(const rlk_event *event, rlk_operation operation, rlk_result result,
                        const char *file, int line);

/* Of an RLK_EV_RENEW_FAILED: the nodes answered that the key is not the lock's, so that an
 * RLK_EV_LOST follows; or anything else, and the lock is still held. */
bool support_renewal_refused(const rlk_event *event);
bool support_renewal_unknown(const rlk_event *event);

/* The same of a text of the library, where it has any. */
#ifdef RLK_NO_TEXT
#define assert_text_contains(text, part) assert_non_null(text)
#else
#define assert_text_contains(text, part) assert_contains(text, part)
#endif

/*
 * for (i = 0; support_row(i, COUNT_OF(rows)); i++): when a test fails within this loop, the message
 * names the row. Returns true while there is a row i.
 */
bool support_row(size_t row, size_t rows);

/* Adds words to the name of the row under test. */
void support_row_name(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The teardown of each test: reports the row in which it failed. */
int support_report_row(void **state);
#undef cmocka_unit_test
#define cmocka_unit_test(function) cmocka_unit_test_teardown(function, support_report_row)

/* 1; more under valgrind and sanitizers: multiply upper bounds of measured times by it. */
int support_time_factor(void);

/* A time of a test, multiplied by it. */
int64_t scaled(int64_t ms);

/* Where the random numbers of a test begin: TEST_RANDOM, a number, 0 by default. */
uint32_t support_random_seed(void);

/* What follows is in posix/: not for the tests in unit/, which have no system around them. */

/* ---- Time -------------------------------------------------------------------------------- */

/* Real milliseconds of a monotonic clock: for measuring in tests. */
int64_t support_now_ms(void);

void support_sleep_ms(int64_t ms);

/* Whether the loopback interface has IPv6, which containers often lack; says so if not. */
bool support_has_ipv6(void);

/* Waits until the condition is true, looking every millisecond; fails the test after 10 s (times
 * the time factor). */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        int64_t wait_until_end = support_now_ms() + INT64_C(10000) * support_time_factor();        \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > wait_until_end)                                                 \
                support_fail("never came: %s", #condition);                                        \
            support_sleep_ms(1);                                                                   \
        }                                                                                          \
    } while (0)

/* ---- Teardown ---------------------------------------------------------------------------- */

/*
 * Ends every server, proxy and hostile server that the test left: to be given as the teardown of
 * each test that starts some, so that a failed assertion leaves nothing behind. They also end when
 * the test program does, however it ends.
 */
int support_teardown(void **state);

/* cmocka_unit_test with support_teardown. */
#define support_test(function) cmocka_unit_test_teardown(function, support_teardown)

/* ---- Folders ----------------------------------------------------------------------------- */

/* Makes a private folder; the caller frees the path. */
char *support_folder_new(void);

/* Removes a folder of support_folder_new with the files in it (no subfolders but one level). */
void support_folder_remove(const char *path);

/* For the fixtures: calls `end` at support_teardown and at exit. Once per function. */
void support_at_teardown(void (*end)(void));

/* For the fixtures: message of a failed system call, and the end of the test. */
#define support_fail(...) support_fail_at(__FILE__, __LINE__, __VA_ARGS__)
void support_fail_at(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* What a connection keeps of a server's text: with RLK_NO_TEXT less than all of it. */
#define assert_server_text(conn, text)                                                             \
    assert_int_equal(strncmp(rlk_conn_text(conn), (text), RLKI_CONN_TEXT - 1), 0)

#endif
