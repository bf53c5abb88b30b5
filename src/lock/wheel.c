/* SPDX-License-Identifier: MIT
 *
 * Level l has 16 slots of 16^l ms. A timer lies in the lowest level that reaches its deadline from
 * wheel->now_ms; when the cursor enters a slot of a higher level, the slot's timers move down.
 *
 * A list's link points at what points at the timer, so that unlinking needs no head; when that is
 * a slot of the wheel, the slot's number, and so its bit, follows from the address.
 */
#include "wheel.h"

#define WHEEL_BITS 4
#define WHEEL_MASK 15u
/* Time that the wheel spans: a timer beyond lies in the last slot and moves on from there. */
#define WHEEL_SPAN (INT64_C(1) << (WHEEL_BITS * RLK_WHEEL_LEVELS))

static unsigned wheel_index(int64_t time_ms, unsigned level)
{
    return (unsigned)((uint64_t)time_ms >> (WHEEL_BITS * level)) & WHEEL_MASK;
}

void rlki_wheel_init(rlk_wheel *wheel, int64_t now_ms)
{
    unsigned level;
    unsigned slot;
    wheel->now_ms = now_ms;
    for (level = 0; level < RLK_WHEEL_LEVELS; level++) {
        wheel->used[level] = 0;
        for (slot = 0; slot < RLK_WHEEL_SLOTS; slot++)
            wheel->slot[level][slot] = NULL;
    }
}

static void wheel_insert(rlk_wheel *wheel, rlk_timer *timer)
{
    int64_t when = timer->deadline_ms;
    int64_t delta;
    unsigned level = 0;
    unsigned slot;
    if (when < wheel->now_ms)
        when = wheel->now_ms;
    /* both are far from the ends of int64_t unless `when` is RLK_NEVER and now is negative */
    if (when > wheel->now_ms + (WHEEL_SPAN - 1))
        when = wheel->now_ms + (WHEEL_SPAN - 1);
    delta = when - wheel->now_ms;
    while (delta >= (INT64_C(1) << (WHEEL_BITS * (level + 1))))
        level++;
    slot = wheel_index(when, level);
    timer->next = wheel->slot[level][slot];
    timer->link = &wheel->slot[level][slot];
    if (timer->next)
        timer->next->link = &timer->next;
    wheel->slot[level][slot] = timer;
    wheel->used[level] = (uint16_t)(wheel->used[level] | (1u << slot));
}

void rlki_wheel_cancel(rlk_wheel *wheel, rlk_timer *timer)
{
    uintptr_t first = (uintptr_t)&wheel->slot[0][0];
    uintptr_t link = (uintptr_t)timer->link;
    if (!timer->link)
        return;
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    else if (link >= first && link < first + sizeof(wheel->slot)) {
        unsigned number = (unsigned)((link - first) / sizeof(rlk_timer *));
        unsigned level = number / RLK_WHEEL_SLOTS;
        wheel->used[level] = (uint16_t)(wheel->used[level] & ~(1u << (number % RLK_WHEEL_SLOTS)));
    }
    timer->link = NULL;
    timer->next = NULL;
}

void rlki_wheel_set(rlk_wheel *wheel, rlk_timer *timer, int64_t deadline_ms)
{
    if (timer->link && timer->deadline_ms == deadline_ms)
        return;
    rlki_wheel_cancel(wheel, timer);
    timer->deadline_ms = deadline_ms;
    wheel_insert(wheel, timer);
}

/* Moves the timers of a slot that the cursor has entered to where they lie now. */
static void wheel_cascade(rlk_wheel *wheel, unsigned level)
{
    unsigned slot = wheel_index(wheel->now_ms, level);
    rlk_timer *timer = wheel->slot[level][slot];
    wheel->slot[level][slot] = NULL;
    wheel->used[level] = (uint16_t)(wheel->used[level] & ~(1u << slot));
    while (timer) {
        rlk_timer *next = timer->next;
        wheel_insert(wheel, timer);
        timer = next;
    }
}

/* Moves the cursor to the next place where something may be, at most to `now_ms`. */
static void wheel_advance(rlk_wheel *wheel, int64_t now_ms)
{
    unsigned level = 0;
    int64_t next;
    /* Whole empty levels are crossed in one step. */
    while (level < RLK_WHEEL_LEVELS && !wheel->used[level])
        level++;
    if (level == RLK_WHEEL_LEVELS) {
        wheel->now_ms = now_ms;
        return;
    }
    next = wheel->now_ms + 1;
    if (level > 0) {
        uint64_t low = (UINT64_C(1) << (WHEEL_BITS * level)) - 1;
        next = (int64_t)(((uint64_t)wheel->now_ms | low) + 1);
    }
    if (next > now_ms) {
        wheel->now_ms = now_ms;
        return;
    }
    wheel->now_ms = next;
    for (level = RLK_WHEEL_LEVELS - 1; level > 0; level--) {
        uint64_t low = (UINT64_C(1) << (WHEEL_BITS * level)) - 1;
        if (((uint64_t)next & low) == 0)
            wheel_cascade(wheel, level);
    }
}

rlk_timer *rlki_wheel_pop(rlk_wheel *wheel, int64_t now_ms)
{
    for (;;) {
        rlk_timer *timer = wheel->slot[0][wheel_index(wheel->now_ms, 0)];
        if (timer && wheel->now_ms <= now_ms) {
            rlki_wheel_cancel(wheel, timer);
            return timer;
        }
        if (wheel->now_ms >= now_ms)
            return NULL;
        wheel_advance(wheel, now_ms);
    }
}

/* Number of the lowest bit that is set in 16, of which one is. */
static unsigned wheel_lowest(unsigned bits)
{
    unsigned n = 0;
    if (!(bits & 0xffu)) {
        bits >>= 8;
        n = 8;
    }
    if (!(bits & 0xfu)) {
        bits >>= 4;
        n += 4;
    }
    if (!(bits & 3u)) {
        bits >>= 2;
        n += 2;
    }
    return n + !(bits & 1u);
}

int64_t rlki_wheel_deadline(const rlk_wheel *wheel)
{
    int64_t best = RLK_NEVER;
    unsigned level;
    for (level = 0; level < RLK_WHEEL_LEVELS; level++) {
        unsigned used = wheel->used[level];
        /* The slot under the cursor was emptied when the cursor entered it, but on level 0: what
         * lies there on a higher level is a whole turn away. So the turn begins behind it. */
        unsigned first = level ? 1 : 0;
        unsigned from = wheel_index(wheel->now_ms, level) + first;
        uint64_t unit;
        int64_t when;
        const rlk_timer *timer;
        if (!used)
            continue;
        used = (used | used << RLK_WHEEL_SLOTS) >> from;
        unit = ((uint64_t)wheel->now_ms >> (WHEEL_BITS * level)) + first + wheel_lowest(used);
        when = (int64_t)(unit << (WHEEL_BITS * level));
        timer = wheel->slot[level][unit & WHEEL_MASK];
        /* The only one there: exactly. In the last level it may be due long after its slot. */
        if (!timer->next && timer->deadline_ms > when && level < RLK_WHEEL_LEVELS - 1)
            when = timer->deadline_ms;
        if (when < best)
            best = when;
    }
    return best;
}
