/* SPDX-License-Identifier: MIT
 *
 * Timer wheel: hierarchical, intrusive, O(1) to set and cancel, whatever the number of timers.
 */
#ifndef RLKI_WHEEL_H
#define RLKI_WHEEL_H

#include "resplock/lock.h"

void rlki_wheel_init(rlk_wheel *wheel, int64_t now_ms);

/* Sets (or moves) a timer. A deadline that is past fires at the next pop. */
void rlki_wheel_set(rlk_wheel *wheel, rlk_timer *timer, int64_t deadline_ms);

/* Harmless when it is not set. */
void rlki_wheel_cancel(rlk_wheel *wheel, rlk_timer *timer);

/* A timer whose deadline is <= now_ms, no longer set; NULL when there is none left. */
rlk_timer *rlki_wheel_pop(rlk_wheel *wheel, int64_t now_ms);

/* No timer is due before this: the earliest deadline, or the start of the slot that it lies in with
 * others, so that far timers are reached in a few wakings. RLK_NEVER when no timer is set. Always
 * later than the last pop's now_ms. */
int64_t rlki_wheel_deadline(const rlk_wheel *wheel);

#endif
