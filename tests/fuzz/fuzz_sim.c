/* SPDX-License-Identifier: MIT
 *
 * The simulator's schedule: what its clients do, and which faults come when, as the fuzzer wants
 * it, inside the assumptions. The simulator judges each history as it does those of a seed.
 *
 * Input: two bytes of a seed, which decides what the schedule leaves open, then the schedule.
 */
#include "input.h"
#include "sim.h"

#include <string.h>

#define OPERATIONS 50 /* at least, in a history */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    sim_options options;
    sim_verdict verdict;
    uint64_t seed = fuzz_byte(&input);

    seed = seed << 8 | fuzz_byte(&input);
    memset(&options, 0, sizeof options);
    options.operations = OPERATIONS;
    options.schedule = input.data;
    options.schedule_len = input.left;
    sim_run(seed, &options, &verdict);
    if (verdict.rule != SIM_FINE) {
        (void)fprintf(stderr, "broken: %s: %s\n", sim_rule_name(verdict.rule), verdict.text);
        abort();
    }
    return 0;
}
