/* SPDX-License-Identifier: MIT
 *
 * clock.h: a clock for rlk_env that a test moves, running or standing.
 *
 *     test_clock clock = TEST_CLOCK_REAL;
 *     rlk_posix_options options = {.env = test_clock_env(&clock)};
 *     rlk_posix_open(&posix, url, &options);
 *     test_clock_jump(&clock, 30000);
 */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include "resplock.h"

typedef struct test_clock {
    int64_t offset_ms; /* to the real one */
    int64_t stopped_ms;
    bool stopped;
} test_clock;

/* The real time; or a stopped clock at this time. */
#define TEST_CLOCK_REAL                                                                            \
    {                                                                                              \
        0, 0, false                                                                                \
    }
#define TEST_CLOCK_AT(ms)                                                                          \
    {                                                                                              \
        0, (ms), true                                                                              \
    }

int64_t test_clock_now(const test_clock *clock);

/* Forwards, or backwards with a negative number; running or standing. */
void test_clock_jump(test_clock *clock, int64_t ms);

/* Environment with this clock; all else is NULL, and so the system's with rlk_posix_options.env. */
rlk_env test_clock_env(test_clock *clock);

#endif
