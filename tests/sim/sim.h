/* SPDX-License-Identifier: MIT
 *
 * sim.h: the deterministic simulator. One seed is one history: several processes with the real
 * engine, client and locks, over a virtual network and model servers, on clocks of their own, while
 * processes, network and servers fail; and what the locks say is judged all along. The same seed
 * and options give the same history on every machine.
 *
 *     sim_options options = {0};
 *     sim_verdict verdict;
 *     sim_run(42, &options, &verdict);
 *     if (verdict.rule != SIM_FINE) puts(verdict.text);
 */
#ifndef SIM_H
#define SIM_H

#include "coverage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What a history can break. */
typedef enum sim_rule {
    SIM_FINE,
    SIM_EXCLUSION, /* two hold one key at an instant of true time */
    SIM_BACKING,   /* held, and fewer than a quorum of servers has the token for long enough */
    SIM_TRUTH,     /* a result that is not so */
    SIM_FOREIGN,   /* another's lock was released or raised */
    SIM_LEAK,      /* a key was left behind, and its owner does not know */
    SIM_ENDING,    /* an operation that ended not once, or too late, or with a result of others */
    SIM_REPLY,     /* a reply at the wrong request */
    SIM_ADVANCE,   /* a deadline that does not advance, or a storm of commands */
    SIM_LIVENESS,  /* it is free, and can't be had; or what should be quiet is not */
    SIM_WAKE,      /* a waiter that does not wake up, or not in its turn, or for no reason */
    SIM_SHARE,     /* a process that wants a lock all the time hardly ever has it */
    SIM_SELF,      /* the simulator itself: a limit of it was reached */
    SIM_RULES
} sim_rule;

typedef struct sim_profile sim_profile;

typedef struct sim_options {
    const sim_profile *profile; /* NULL: the standard one */
    unsigned operations;        /* at least this number; 0: 200 */
    int64_t until_us;           /* and no longer than that, without its end; 0: two minutes */
    FILE *trace;                /* NULL: none */
    /* Decisions are made from these bytes as long as there are any (a fuzzer's). */
    const uint8_t *schedule;
    size_t schedule_len;
    /* Decisions of clients and faults that are left out, a bit each: a minimiser's. */
    const uint8_t *skip;
    size_t skip_len; /* bytes */
} sim_options;

typedef struct sim_verdict {
    sim_rule rule;
    char text[256];      /* what broke it, when, who */
    unsigned decisions;  /* of clients and faults: greatest number, plus 1 */
    unsigned operations; /* that were started */
    unsigned acquired;
    uint64_t print;   /* of all events: the same for the same history */
    int64_t acted_us; /* when its end began: all was mended */
    int64_t simulated_us;
} sim_verdict;

/* Uses one static world: one history at a time in a process. */
void sim_run(uint64_t seed, const sim_options *options, sim_verdict *verdict);

/* Met so far by this process's histories. */
extern uint64_t sim_met[SIM_MET_COUNT];

const char *sim_rule_name(sim_rule rule);

/* ---- Profiles ---- */

struct sim_profile {
    const char *name;
    const char *words;
    unsigned faults;      /* SIM_FAULT_* that may occur; a seed takes some of them */
    unsigned always;      /* ... and those that each has */
    sim_rule finds;       /* outside the assumptions: the violation that must be found in some seed;
                             SIM_FINE: none may be found in any */
    unsigned most_nodes;  /* 0: 1 to 5 */
    unsigned least_nodes; /* 0: 1 */
};

extern const sim_profile sim_profiles[];
extern const size_t sim_profiles_len;

/* NULL: no such profile. */
const sim_profile *sim_profile_named(const char *name);

/* ---- Minimising ---- */

#define SIM_SKIP_BYTES 8192 /* of a set of decisions */

/*
 * Leaves out as many decisions as it can of a history that breaks a rule, so that it still breaks
 * the same rule. `options` are those with which it did, and come back with a skip set (in `skip`)
 * and an end. Returns how many decisions are left.
 */
unsigned sim_minimise(uint64_t seed, sim_options *options, uint8_t skip[SIM_SKIP_BYTES]);

#endif
