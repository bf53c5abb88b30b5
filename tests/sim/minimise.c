/* SPDX-License-Identifier: MIT
 *
 * Delta debugging (Zeller): leaves out half of the decisions, a quarter, ... one, as long as the
 * same rule is still broken; then any two that are near each other, since a decision means
 * something else when another is left out: a lock that is held is released, and one that is free
 * acquired. The decisions that are left make the same choices as before, because each has a
 * generator of its own; what comes of them may differ, and is tried.
 */
#include "sim.h"

#include <string.h>

#define MINIMISE_PASSES 8
#define MINIMISE_NEAR   32 /* decisions that are left, from one of a pair to the other */

static bool minimise_is_out(const uint8_t *skip, unsigned decision)
{
    return (skip[decision / 8] >> decision % 8 & 1) != 0;
}

/* Leaves out those from..to that are still in; true if there are any. */
static bool minimise_leave_out(uint8_t *skip, unsigned from, unsigned to)
{
    bool any = false;
    unsigned i;

    for (i = from; i < to; i++) {
        any = any || !minimise_is_out(skip, i);
        skip[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return any;
}

/* True if the same rule is broken now; if not, puts back what was in before. */
static bool minimise_can_do(uint64_t seed, sim_options *options, uint8_t *skip,
                            const uint8_t *before, sim_rule rule)
{
    sim_verdict verdict;

    sim_run(seed, options, &verdict);
    if (verdict.rule != rule)
        memcpy(skip, before, SIM_SKIP_BYTES);
    return verdict.rule == rule;
}

/* One pass with pieces of `size`; true if any piece could be left out. */
static bool minimise_pass(uint64_t seed, sim_options *options, uint8_t *skip, unsigned decisions,
                          unsigned size, sim_rule rule)
{
    uint8_t before[SIM_SKIP_BYTES];
    bool any = false;
    unsigned from;

    for (from = 0; from < decisions; from += size) {
        unsigned to = from + size < decisions ? from + size : decisions;

        memcpy(before, skip, sizeof before);
        if (minimise_leave_out(skip, from, to) &&
            minimise_can_do(seed, options, skip, before, rule))
            any = true;
    }
    return any;
}

/* One pass with pairs; true if any pair could be left out. */
static bool minimise_pairs(uint64_t seed, sim_options *options, uint8_t *skip, unsigned decisions,
                           sim_rule rule)
{
    uint8_t before[SIM_SKIP_BYTES];
    bool any = false;
    unsigned one;
    unsigned other;

    for (one = 0; one < decisions; one++) {
        unsigned near = 0;

        for (other = one + 1; other < decisions && near < MINIMISE_NEAR; other++) {
            memcpy(before, skip, sizeof before);
            if (!minimise_leave_out(skip, one, one + 1))
                break; /* it is out already */
            if (!minimise_leave_out(skip, other, other + 1)) {
                memcpy(skip, before, sizeof before);
                continue;
            }
            near++;
            any = minimise_can_do(seed, options, skip, before, rule) || any;
        }
    }
    return any;
}

unsigned sim_minimise(uint64_t seed, sim_options *options, uint8_t skip[SIM_SKIP_BYTES])
{
    FILE *trace = options->trace;
    sim_verdict verdict;
    unsigned decisions;
    unsigned left = 0;
    unsigned pass;
    unsigned size;
    unsigned i;

    options->trace = NULL;
    sim_run(seed, options, &verdict);
    if (verdict.acted_us > 0)
        options->until_us = verdict.acted_us;
    decisions = verdict.decisions < 8 * SIM_SKIP_BYTES ? verdict.decisions : 8 * SIM_SKIP_BYTES;
    memset(skip, 0, SIM_SKIP_BYTES);
    options->skip = skip;
    options->skip_len = SIM_SKIP_BYTES;
    /* what comes behind the violation is no part of it */
    (void)minimise_leave_out(skip, decisions, 8 * SIM_SKIP_BYTES);
    for (size = decisions / 2 + 1; size > 1; size = (size + 1) / 2)
        (void)minimise_pass(seed, options, skip, decisions, size, verdict.rule);
    for (pass = 0; pass < MINIMISE_PASSES; pass++)
        if (!minimise_pass(seed, options, skip, decisions, 1, verdict.rule) &&
            !minimise_pairs(seed, options, skip, decisions, verdict.rule))
            break;
    for (i = 0; i < decisions; i++)
        left += !minimise_is_out(skip, i);
    options->trace = trace;
    return left;
}
