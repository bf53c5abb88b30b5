/* SPDX-License-Identifier: MIT
 *
 * rounds.h: a contender of a benchmark. It is a process that does rounds of work for run.py, one a
 * line of its standard input ("case units"), and answers each with what it cost, so that
 * contenders take turns whatever they are written in. Under callgrind each round leaves a dump with
 * the instructions of the round alone.
 */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef struct rounds_contender {
    const char *part;
    const char *name;
    /* Before the first round; what it does is not counted. `addresses` of the servers: paths of
     * Unix sockets, or ports of 127.0.0.1. */
    void (*open)(char *const *addresses, size_t count);
    /* Does at least `units` units of a case, checks what comes of them, and returns how many. */
    unsigned long (*run)(const char *name, unsigned long units);
} rounds_contender;

/* The contenders of each file. */
extern const rounds_contender parse_contenders[3];
extern const rounds_contender encode_contenders[4];
extern const rounds_contender cycle_contenders[3];
extern const rounds_contender flight_contenders[3];
extern const rounds_contender locks_contenders[1];
extern const rounds_contender handoff_contenders[3];
extern const rounds_contender shares_contenders[1];
extern const rounds_contender tls_contenders[3];

/* A unit is over: its latency is the time since the last call, or since the round began. Costs
 * nothing where instructions are counted. */
void rounds_lap(void);

/* A figure of this round besides its costs: comes behind them in the answer. */
#define ROUNDS_NOTES 512
void rounds_note(uint64_t figure);

/* The benchmark can't go on: says why and ends the process. */
void rounds_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* rounds_require(reply->type == '+'): a contender that does something else has lost. */
#define rounds_require(condition)                                                                  \
    do {                                                                                           \
        if (!(condition))                                                                          \
            rounds_fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                      \
    } while (0)

#endif
