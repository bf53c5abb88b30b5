/* SPDX-License-Identifier: MIT
 *
 * The timers against a plain list: same timers, same order of deadlines.
 */
#include "support.h"

#include "lock/timers.h"

enum {
    TIMERS = 64,
    FEW = 16 /* as in timers.c */
};

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void test_timers_fire_at_the_deadline_never_before(void **state)
{
    static const int32_t times[] = {0,       1,        15,       16,       17,       255,
                                    256,     4095,     4096,     65535,    65536,    1048575,
                                    1048576, 16777215, 16777216, 16777217, 100000000};
    static const int32_t starts[] = {0, 1, 15, 16, 4095, 1234567, 1 << 30, -70000};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(starts); i++) {
        for (k = 0; k < COUNT_OF(times); k++) {
            rlk_timers heap;
            rlk_timer timer = {NULL, NULL, 0};
            int32_t when = starts[i] + times[k];
            int steps = 0;

            rlki_timers_init(&heap, starts[i]);
            assert_true(rlki_timers_deadline(&heap) == RLKI_NEVER);
            rlki_timers_set(&heap, &timer, when);
            if (times[k] > 0)
                assert_null(rlki_timers_pop(&heap, when - 1));
            assert_ptr_equal(rlki_timers_pop(&heap, when), &timer);
            assert_null(timer.link);
            assert_null(rlki_timers_pop(&heap, when));
            assert_true(rlki_timers_deadline(&heap) == RLKI_NEVER);

            /* popped only at the times of deadline(), it comes in a few steps and on time */
            rlki_timers_init(&heap, starts[i]);
            rlki_timers_set(&heap, &timer, when);
            for (;;) {
                int32_t now = rlki_timers_deadline(&heap);

                assert_true(now <= when && now >= starts[i]);
                assert_true(++steps < 40);
                if (rlki_timers_pop(&heap, now) != NULL) {
                    assert_true(now == when);
                    break;
                }
                assert_true(rlki_timers_deadline(&heap) > now);
            }
        }
    }
}

static void test_timers_fire_a_past_deadline_at_once(void **state)
{
    rlk_timers heap;
    rlk_timer timer = {NULL, NULL, 0};

    (void)state;
    rlki_timers_init(&heap, 1000);
    rlki_timers_set(&heap, &timer, 3);
    assert_true(rlki_timers_deadline(&heap) == 1000);
    assert_ptr_equal(rlki_timers_pop(&heap, 1000), &timer);
}

/* A pop for a time that is over finds nothing, also where a timer is due by now. */
static void test_timers_do_not_go_back(void **state)
{
    rlk_timers heap;
    rlk_timer timer = {NULL, NULL, 0};

    (void)state;
    rlki_timers_init(&heap, 1000);
    rlki_timers_set(&heap, &timer, 1000);
    assert_null(rlki_timers_pop(&heap, 999));
    assert_ptr_equal(rlki_timers_pop(&heap, 1000), &timer);
}

/* Timers beyond the highest digit share a list with those in it. */
static void test_timers_beyond_the_digits_hide_none(void **state)
{
    static const int32_t starts[] = {0, 12345, -1, 1 << 29};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(starts); i++) {
        const int32_t far_ms = starts[i] + (1 << 29);
        rlk_timers heap;
        rlk_timer beyond = {NULL, NULL, 0};
        rlk_timer soon = {NULL, NULL, 0};
        rlk_timer late = {NULL, NULL, 0};

        rlki_timers_init(&heap, starts[i]);
        rlki_timers_set(&heap, &beyond, far_ms);
        assert_null(rlki_timers_pop(&heap, far_ms - (1 << 28)));
        rlki_timers_set(&heap, &late, RLKI_NEVER - 1);
        rlki_timers_set(&heap, &soon, far_ms - 1);
        assert_int_equal(rlki_timers_deadline(&heap), far_ms - 1);
        assert_null(rlki_timers_pop(&heap, far_ms - 2));
        assert_ptr_equal(rlki_timers_pop(&heap, far_ms), &soon);
        assert_ptr_equal(rlki_timers_pop(&heap, far_ms), &beyond);
        assert_null(rlki_timers_pop(&heap, far_ms + (1 << 29)));
        assert_int_equal(rlki_timers_deadline(&heap), RLKI_NEVER - 1);
    }
}

/* With more timers about one time than are compared one by one, the loop wakes some times in
 * between, in the steps of the digits. */
static void test_timers_by_the_dozen_wake_few_times(void **state)
{
    static rlk_timer timers[TIMERS];
    static const int32_t aheads[] = {1, 3, 63, 64, 10000, 30000, 65535, 86400000, 1 << 30};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(aheads); i++) {
        for (k = FEW; k <= TIMERS; k += TIMERS - FEW) {
            rlk_timers heap;
            int32_t now_ms = 1234567;
            int32_t when_ms = now_ms + aheads[i];
            rlk_timer *timer = NULL;
            unsigned wakings = 0;
            size_t fired = 0;

            rlki_timers_init(&heap, now_ms);
            for (fired = 0; fired < k; fired++) {
                timers[fired].link = NULL;
                rlki_timers_set(&heap, &timers[fired], when_ms + (fired > 0));
            }
            while (timer == NULL) {
                assert_true(rlki_timers_deadline(&heap) > now_ms);
                now_ms = rlki_timers_deadline(&heap);
                assert_true(now_ms <= when_ms);
                timer = rlki_timers_pop(&heap, now_ms);
                wakings++;
            }
            assert_int_equal(now_ms, when_ms);
            assert_ptr_equal(timer, &timers[0]);
            /* beyond the digits one in each step of the highest: 70 minutes */
            assert_true(wakings <= (k <= FEW ? 1 : 40 + (unsigned)(aheads[i] >> 22)));
            assert_int_equal(rlki_timers_deadline(&heap), now_ms + 1);
            for (fired = 1; rlki_timers_pop(&heap, now_ms + 1) != NULL; fired++) {
            }
            assert_int_equal(fired, k);
        }
    }
}

/* List of a deadline by division, digit by digit: 0 if it is due. */
static unsigned level_by_division(int32_t deadline_ms, int32_t now_ms)
{
    uint32_t a = (uint32_t)deadline_ms;
    uint32_t b = (uint32_t)now_ms;
    unsigned level = 0;

    if (deadline_ms <= now_ms)
        return 0;
    for (; a != b; level++) {
        a /= 4;
        b /= 4;
    }
    return level < RLK_TIMERS_LISTS ? level : RLK_TIMERS_LISTS - 1;
}

/* What rlki_timers_deadline says, from all timers of all lists; and that each timer is in its list,
 * that lists and links agree, and that a list's timers are earlier than those of the lists above.
 */
static int32_t deadline_by_lists(const rlk_timers *heap, size_t set)
{
    int32_t best = RLKI_NEVER;
    int32_t latest_below = RLKI_EXPIRED;
    size_t found = 0;
    unsigned level;

    for (level = 0; level < RLK_TIMERS_LISTS; level++) {
        const rlk_timer *timer = heap->lists[level];
        rlk_timer *const *link = &heap->lists[level];
        int32_t least = RLKI_NEVER;
        int32_t latest = latest_below;
        size_t many = 0;

        assert_true(timer == NULL || (heap->used >> level & 1u) != 0);

        for (; timer != NULL; timer = timer->next) {
            assert_int_equal(level_by_division(timer->deadline_ms, heap->now_ms), level);
            assert_ptr_equal(timer->link, link);
            assert_true(timer->deadline_ms > latest_below);
            link = &timer->next;
            if (timer->deadline_ms < least)
                least = timer->deadline_ms;
            if (timer->deadline_ms > latest)
                latest = timer->deadline_ms;
            many++;
        }
        latest_below = latest;
        found += many;
        if (many == 0 || best != RLKI_NEVER)
            continue;
        best = least;
        if (level == 0) {
            best = heap->now_ms;
        } else if (many > FEW) {
            int32_t unit = 1;
            unsigned digit;

            for (digit = 1; digit < level; digit++)
                unit *= 4;
            best = (heap->now_ms & ~(unit - 1)) + unit;
            assert_true(best <= least);
        }
    }
    assert_int_equal(found, set);
    return best;
}

/* Random sets, moves, cancels and steps of time, held against an array of deadlines. */
static void test_timers_agree_with_a_list(void **state)
{
    static rlk_timer timers[TIMERS];
    rlk_timers heap;
    static const int32_t starts[] = {0, 5, 4095, 1 << 29};
    int32_t now;
    int sample;

    (void)state;
    for (seed = 1; seed < 40; seed++) {
        uint32_t kept = seed;
        size_t i;

        now = starts[seed % COUNT_OF(starts)];
        rlki_timers_init(&heap, now);
        for (i = 0; i < TIMERS; i++)
            timers[i].link = NULL;
        for (sample = 0; sample < 2000; sample++) {
            rlk_timer *timer = &timers[draw(TIMERS)];
            rlk_timer *fired;
            int32_t earliest = RLKI_NEVER;
            size_t set = 0;

            switch (draw(4)) {
            case 0:
                rlki_timers_cancel(timer);
                break;
            case 1:
                now += (int32_t)(draw(2) != 0 ? draw(40) : draw(1u << draw(24)));
                break;
            default:
                rlki_timers_set(&heap, timer, now + (int32_t)draw(1u << draw(27)));
                break;
            }
            while ((fired = rlki_timers_pop(&heap, now)) != NULL) {
                assert_true(fired->deadline_ms <= now);
                for (i = 0; i < TIMERS; i++)
                    if (timers[i].link != NULL)
                        assert_true(timers[i].deadline_ms > now ||
                                    timers[i].deadline_ms >= fired->deadline_ms);
            }
            for (i = 0; i < TIMERS; i++) {
                if (timers[i].link == NULL)
                    continue;
                set++;
                assert_true(timers[i].deadline_ms > now); /* none was forgotten */
                if (timers[i].deadline_ms < earliest)
                    earliest = timers[i].deadline_ms;
            }
            assert_true(rlki_timers_deadline(&heap) <= earliest);
            assert_true(rlki_timers_deadline(&heap) > now);
            assert_int_equal(rlki_timers_deadline(&heap), deadline_by_lists(&heap, set));
        }
        seed = kept;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_fire_at_the_deadline_never_before),
        cmocka_unit_test(test_timers_fire_a_past_deadline_at_once),
        cmocka_unit_test(test_timers_do_not_go_back),
        cmocka_unit_test(test_timers_beyond_the_digits_hide_none),
        cmocka_unit_test(test_timers_by_the_dozen_wake_few_times),
        cmocka_unit_test(test_timers_agree_with_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
