/* SPDX-License-Identifier: MIT
 *
 * rng.h: where decisions come from: a generator of its own for each source of decisions, so that
 * leaving one decision out disturbs the others little; or bytes that somebody supplies (a fuzzer),
 * until they are used up.
 */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sim_schedule {
    const uint8_t *bytes;
    size_t len;
    size_t used;
} sim_schedule;

typedef struct sim_rng {
    uint64_t state;
    sim_schedule *schedule; /* NULL: none */
} sim_rng;

/* splitmix64 (Vigna). */
static inline uint64_t sim_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline sim_rng sim_rng_new(uint64_t seed, unsigned source, sim_schedule *schedule)
{
    sim_rng rng;

    rng.state = sim_mix(seed * UINT64_C(0x9e3779b97f4a7c15) + source);
    rng.schedule = schedule;
    return rng;
}

static inline uint32_t sim_bits(sim_rng *rng)
{
    sim_schedule *schedule = rng->schedule;

    if (schedule != NULL && schedule->used + 2 <= schedule->len) {
        const uint8_t *at = schedule->bytes + schedule->used;

        schedule->used += 2;
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16;
    }
    rng->state += UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(sim_mix(rng->state) >> 32);
}

/* 0 .. n-1 */
static inline uint32_t sim_dice(sim_rng *rng, uint32_t n)
{
    return (uint32_t)(((uint64_t)sim_bits(rng) * n) >> 32);
}

/* low .. high, both included; they lie less than 2^31 apart. */
static inline int64_t sim_between(sim_rng *rng, int64_t low, int64_t high)
{
    return low + (int64_t)sim_dice(rng, (uint32_t)(high - low + 1));
}

static inline bool sim_chance(sim_rng *rng, uint32_t permille)
{
    return sim_dice(rng, 1000) < permille;
}

#endif
