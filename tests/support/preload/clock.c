/* SPDX-License-Identifier: MIT
 *
 * Loaded into a redis-server (LD_PRELOAD): its clocks show the microseconds of the file that
 * TEST_CLOCK_FILE names, and stop between two numbers.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *clock_us;

__attribute__((constructor)) static void clock_begin(void)
{
    const char *path = getenv("TEST_CLOCK_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        abort();
    clock_us = (const volatile int64_t *)mmap(NULL, sizeof *clock_us, PROT_READ, MAP_SHARED, fd, 0);
    if (clock_us == MAP_FAILED)
        abort();
    close(fd);
}

/* Other libraries may ask before we have begun. */
static int64_t clock_now(void)
{
    return clock_us != NULL ? *clock_us : 0;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int64_t us = clock_now();

    (void)id;
    now->tv_sec = (time_t)(us / 1000000);
    now->tv_nsec = (long)(us % 1000000) * 1000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int64_t us = clock_now();

    (void)zone;
    now->tv_sec = (time_t)(us / 1000000);
    now->tv_usec = (suseconds_t)(us % 1000000);
    return 0;
}

time_t time(time_t *now)
{
    time_t seconds = (time_t)(clock_now() / 1000000);

    if (now != NULL)
        *now = seconds;
    return seconds;
}
