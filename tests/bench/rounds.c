/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "rounds.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <valgrind/callgrind.h>

/* ---- Allocations: counted here, of every library in the process ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static unsigned long rounds_allocations;

void *malloc(size_t size)
{
    rounds_allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    rounds_allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    rounds_allocations++;
    return __libc_realloc(old, size);
}

/* ---- Time ---- */

static uint64_t rounds_clock(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static struct {
    uint32_t *ns;
    size_t len;
    size_t cap;
    uint64_t last;
} rounds_laps;

void rounds_lap(void)
{
    uint64_t now;

    if (rounds_laps.len == rounds_laps.cap)
        return;
    now = rounds_clock(CLOCK_MONOTONIC);
    rounds_laps.ns[rounds_laps.len++] = (uint32_t)(now - rounds_laps.last);
    rounds_laps.last = now;
}

static void rounds_laps_begin(unsigned long units)
{
    free(rounds_laps.ns);
    rounds_laps.len = 0;
    rounds_laps.cap = RUNNING_ON_VALGRIND != 0 ? 0 : units;

    rounds_laps.ns = calloc(rounds_laps.cap + 1, sizeof *rounds_laps.ns);
    rounds_require(rounds_laps.ns != NULL);
    rounds_laps.last = rounds_clock(CLOCK_MONOTONIC);
}

static int rounds_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* The latency that `percent` of the laps do not exceed; 0 if there are none. */
static uint32_t rounds_percentile(unsigned percent)
{
    return rounds_laps.len == 0 ? 0 : rounds_laps.ns[(rounds_laps.len - 1) * percent / 100];
}

/* ---- Notes ---- */

static struct {
    uint64_t figures[ROUNDS_NOTES];
    size_t len;
} rounds_notes;

void rounds_note(uint64_t figure)
{
    rounds_require(rounds_notes.len < ROUNDS_NOTES);
    rounds_notes.figures[rounds_notes.len++] = figure;
}

/* ---- Rounds ---- */

void rounds_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

static void rounds_run(const rounds_contender *contender, const char *name, unsigned long units)
{
    unsigned long allocations;
    uint64_t wall;
    uint64_t cpu;
    size_t i;

    rounds_laps_begin(units);
    rounds_notes.len = 0;
    allocations = rounds_allocations;
    cpu = rounds_clock(CLOCK_PROCESS_CPUTIME_ID);
    wall = rounds_clock(CLOCK_MONOTONIC);
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;

    units = contender->run(name, units);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS;

    wall = rounds_clock(CLOCK_MONOTONIC) - wall;
    cpu = rounds_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    allocations = rounds_allocations - allocations;
    qsort(rounds_laps.ns, rounds_laps.len, sizeof *rounds_laps.ns, rounds_compare);
    (void)printf("%lu %llu %llu %u %u %lu", units, (unsigned long long)wall,
                 (unsigned long long)cpu, rounds_percentile(50), rounds_percentile(99),
                 allocations);
    for (i = 0; i < rounds_notes.len; i++)
        (void)printf(" %llu", (unsigned long long)rounds_notes.figures[i]);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static const rounds_contender *rounds_find(const char *part, const char *name)
{
    static const struct {
        const rounds_contender *contenders;
        size_t count;
    } parts[] = {
        {parse_contenders, COUNT_OF(parse_contenders)},
        {encode_contenders, COUNT_OF(encode_contenders)},
        {cycle_contenders, COUNT_OF(cycle_contenders)},
        {flight_contenders, COUNT_OF(flight_contenders)},
        {locks_contenders, COUNT_OF(locks_contenders)},
        {handoff_contenders, COUNT_OF(handoff_contenders)},
        {shares_contenders, COUNT_OF(shares_contenders)},
        {tls_contenders, COUNT_OF(tls_contenders)},
    };
    size_t i;
    size_t k;

    for (i = 0; i < COUNT_OF(parts); i++)
        for (k = 0; k < parts[i].count; k++) {
            const rounds_contender *contender = &parts[i].contenders[k];

            if (strcmp(contender->part, part) == 0 && strcmp(contender->name, name) == 0)
                return contender;
        }
    rounds_fail("no such contender: %s %s", part, name);
}

int main(int argc, char **argv)
{
    const rounds_contender *contender;
    char name[64];
    unsigned long units;

    if (argc < 3)
        rounds_fail("usage: %s PART CONTENDER [ADDRESS...]", argv[0]);
    contender = rounds_find(argv[1], argv[2]);
    if (contender->open != NULL)
        contender->open(argv + 3, (size_t)argc - 3);
    while (scanf("%63s %lu", name, &units) == 2)
        rounds_run(contender, name, units);
    return 0;
}
