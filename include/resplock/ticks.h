/* SPDX-License-Identifier: MIT
 *
 * resplock/ticks.h: a clock of 64 bits made of a counter that wraps. For rlk_env.now_ms where there
 * is no better clock: a microcontroller's timer, its RTC, the tick count of an RTOS.
 *
 *     static rlk_ticks ticks;
 *
 *     rlk_ticks_init(&ticks, 32768, 24, RTC->COUNTER);      // 24 bits at 32768 Hz
 *     int64_t now_ms(void *context)
 *     {
 *         return rlk_ticks_ms(&ticks, RTC->COUNTER);
 *     }
 *
 * The counter must go on in sleep, tickless sleep included, and must never be set: a lock is held
 * for as long as this clock says.
 */
#ifndef RESPLOCK_TICKS_H
#define RESPLOCK_TICKS_H

#include "resplock/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fastest counter, in ticks a second: its arithmetic is of 32 bits. */
#define RLK_TICKS_HZ_MAX UINT32_C(4000000)

/* Fields are private. */
typedef struct rlk_ticks {
    int64_t ms;    /* counted so far */
    uint32_t last; /* the counter at that time */
    uint32_t rest; /* ticks * 1000 that are no whole millisecond yet: less than hz */
    uint32_t hz;
    uint32_t mask; /* of the counter's bits */
} rlk_ticks;

/*
 * Starts at 0 ms. hz: ticks a second, 1 to RLK_TICKS_HZ_MAX; the true figure, for an error of it is
 * one of every lease (rlk_client_config.drift_ppm). bits: of the counter, 1 to 32. now: the
 * counter.
 */
static inline void rlk_ticks_init(rlk_ticks *ticks, uint32_t hz, unsigned bits, uint32_t now)
{
    ticks->ms = 0;
    ticks->rest = 0;
    ticks->hz = hz;
    ticks->mask = UINT32_MAX >> (32u - bits);
    ticks->last = now & ticks->mask;
}

/*
 * Returns the milliseconds since rlk_ticks_init, from the counter as it is now. Call it at least
 * once in each round of the counter (RLK_TICKS_ROUND_MS), even when idle, and never sleep for
 * longer. A missed round is missing from the time: locks would seem to be held for longer than they
 * are. A counter that steps back seems to have gone round: time jumps ahead, and held locks are
 * lost rather than held too long.
 * Two callers, such as an interrupt and the main loop, must not call it at the same time.
 */
static inline int64_t rlk_ticks_ms(rlk_ticks *ticks, uint32_t now)
{
    uint32_t passed = (now - ticks->last) & ticks->mask;
    uint32_t part = passed % ticks->hz * 1000u + ticks->rest; /* < 2^32 for all hz allowed */

    ticks->last = now & ticks->mask;
    ticks->ms += passed / ticks->hz * INT64_C(1000) + part / ticks->hz;
    ticks->rest = part % ticks->hz;
    return ticks->ms;
}

/* One round of a counter in whole milliseconds, 49 days of 32 bits at 1 kHz; of constants. */
#define RLK_TICKS_ROUND_MS(hz, bits) (INT64_C(1000) * (INT64_C(1) << (bits)) / (hz))

#ifdef __cplusplus
}
#endif

#endif
