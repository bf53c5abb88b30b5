/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "clock.h"

#include <string.h>
#include <time.h>

static int64_t test_clock_system(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t test_clock_now(const test_clock *clock)
{
    return clock->stopped ? clock->stopped_ms : test_clock_system() + clock->offset_ms;
}

void test_clock_jump(test_clock *clock, int64_t ms)
{
    if (clock->stopped)
        clock->stopped_ms += ms;
    else
        clock->offset_ms += ms;
}

static int64_t test_clock_env_now(void *context)
{
    return test_clock_now((const test_clock *)context);
}

rlk_env test_clock_env(test_clock *clock)
{
    rlk_env env;

    memset(&env, 0, sizeof env);
    env.context = clock;
    env.now_ms = test_clock_env_now;
    return env;
}
