/* SPDX-License-Identifier: MIT
 *
 * Timers: intrusive, exact, constant time to set and cancel, whatever the number of timers.
 */
#ifndef RLKI_TIMERS_H
#define RLKI_TIMERS_H

#include "state.h"

void rlki_timers_init(rlk_timers *timers, int32_t now_ms);

/* Sets a timer that is not set, to its deadline_ms. */
void rlki_timers_insert(rlk_timers *timers, rlk_timer *timer);

/* Harmless when it is not set. */
RLKI_INTO_CALLERS void rlki_timers_cancel(rlk_timer *timer)
{
    if (timer->link == NULL)
        return;
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->link = NULL;
}

/* Sets (or moves) a timer. A deadline that is past fires at the next pop. */
RLKI_INTO_CALLERS void rlki_timers_set(rlk_timers *timers, rlk_timer *timer, int32_t deadline_ms)
{
    if (timer->link != NULL && timer->deadline_ms == deadline_ms)
        return;
    rlki_timers_cancel(timer);
    timer->deadline_ms = deadline_ms;
    rlki_timers_insert(timers, timer);
}

/* A timer whose deadline is <= now_ms, no longer set; NULL when there is none left. Earlier
 * deadlines come first, but in any order those that were past when they were set. */
rlk_timer *rlki_timers_pop(rlk_timers *timers, int32_t now_ms);

/* No timer is due before this: the earliest deadline, or a time shortly before it where many timers
 * are about as far away. A few pops at such times reach the deadline. RLKI_NEVER when no timer is
 * set. Always later than the last pop's now_ms, unless a timer was set for a past time since. */
int32_t rlki_timers_deadline(const rlk_timers *timers);

#endif
