/* SPDX-License-Identifier: MIT
 *
 * A radix heap. Deadlines and timers->now_ms are numbers of digits of TIMERS_BITS bits. A timer is
 * in the list of the highest digit in which its deadline differs from now_ms: list 1 is that of the
 * lowest digit. List 0 has the timers that are due. So every deadline in a list is earlier than all
 * deadlines in the lists above it.
 *
 * When now_ms goes on to a time that differs in digit d, the timers of list d move down. No timer
 * moves more often than 2^TIMERS_BITS - 1 times a digit, and the others cost it nothing. There is
 * no list above that of the highest digit of TIMERS_SPAN. It has all timers beyond too, and keeps
 * them when now_ms goes on: they are moved once in 70 minutes.
 *
 * A list's link points at what points at the timer, so that unlinking needs no head.
 */
#include "timers.h"

#define TIMERS_BITS 2
/* The digits that are compared: 4.6 hours. */
#define TIMERS_SPAN ((UINT32_C(1) << (TIMERS_BITS * (RLK_TIMERS_LISTS - 1))) - 1)
/* Most timers of a list that are compared one by one. Of a longer one the beginning is known. */
#define TIMERS_FEW 16

/* List of a time, when now_ms is another. */
static unsigned timers_level(int32_t time_ms, int32_t now_ms)
{
    uint32_t differs = (uint32_t)time_ms ^ (uint32_t)now_ms;
    uint32_t rest = differs > TIMERS_SPAN ? TIMERS_SPAN : differs;

#ifdef __GNUC__
    return (unsigned)(32 + TIMERS_BITS - 1 - __builtin_clz(rest)) / TIMERS_BITS;
#else
    unsigned level = 0;

    for (; rest != 0; rest >>= TIMERS_BITS)
        level++;
    return level;
#endif
}

/* The lowest number in a set that is not empty. */
static unsigned timers_lowest(unsigned set)
{
#ifdef __GNUC__
    return (unsigned)__builtin_ctz(set);
#else
    unsigned level = 0;

    for (; (set & 1u) == 0; set >>= 1)
        level++;
    return level;
#endif
}

/* The lists that may have timers, without those before the first that has one. */
static unsigned timers_used(const rlk_timers *timers)
{
    unsigned used = timers->used;

    while (used != 0 && timers->lists[timers_lowest(used)] == NULL)
        used &= used - 1;
    return used;
}

void rlki_timers_init(rlk_timers *timers, int32_t now_ms)
{
    unsigned level;

    timers->now_ms = now_ms;
    timers->used = 0;
    for (level = 0; level < RLK_TIMERS_LISTS; level++)
        timers->lists[level] = NULL;
}

static RLKI_INTO_CALLERS void timers_put(rlk_timers *timers, rlk_timer *timer)
{
    unsigned level = 0;
    rlk_timer **list;
    rlk_timer *next;

    if (timer->deadline_ms > timers->now_ms)
        level = timers_level(timer->deadline_ms, timers->now_ms);
    timers->used = (uint16_t)(timers->used | 1u << level);
    list = &timers->lists[level];
    next = *list;
    timer->link = list;
    if (next != NULL)
        next->link = &timer->next;
    *list = timer;
    timer->next = next;
}

void rlki_timers_insert(rlk_timers *timers, rlk_timer *timer)
{
    timers_put(timers, timer);
}

extern inline void rlki_timers_cancel(rlk_timer *timer);

extern inline void rlki_timers_set(rlk_timers *timers, rlk_timer *timer, int32_t deadline_ms);

/* Moves now_ms on, and the timers down that are in the list of that digit. */
static void timers_advance(rlk_timers *timers, int32_t now_ms)
{
    unsigned level = timers_level(now_ms, timers->now_ms);
    rlk_timer *timer = timers->lists[level];

    timers->lists[level] = NULL;
    timers->now_ms = now_ms;
    while (timer != NULL) {
        rlk_timer *next = timer->next;

        timers_put(timers, timer);
        timer = next;
    }
}

rlk_timer *rlki_timers_pop(rlk_timers *timers, int32_t now_ms)
{
    rlk_timer *timer;

    /* No step is beyond a deadline, so the lists below the one that moves are empty. */
    while (timers->lists[0] == NULL && timers->now_ms < now_ms) {
        int32_t next_ms;

        timers->used = (uint16_t)timers_used(timers);
        next_ms = rlki_timers_deadline(timers);
        timers_advance(timers, next_ms < now_ms ? next_ms : now_ms);
    }
    timer = timers->now_ms <= now_ms ? timers->lists[0] : NULL;
    if (timer != NULL)
        rlki_timers_cancel(timer);
    return timer;
}

int32_t rlki_timers_deadline(const rlk_timers *timers)
{
    const rlk_timer *timer;
    int32_t best_ms = RLKI_NEVER;
    uint32_t below;
    unsigned used = timers_used(timers);
    unsigned level;
    unsigned few;

    if (used == 0)
        return RLKI_NEVER;
    level = timers_lowest(used);
    if (level == 0)
        return timers->now_ms;
    timer = timers->lists[level];
    for (few = 0; few < TIMERS_FEW; few++) {
        if (timer->deadline_ms < best_ms)
            best_ms = timer->deadline_ms;
        timer = timer->next;
        if (timer == NULL)
            return best_ms;
    }
    /* all of them are in the next step of the digit, or later */
    below = (UINT32_C(1) << (TIMERS_BITS * (level - 1))) - 1;
    return (timers->now_ms | (int32_t)below) + 1;
}
