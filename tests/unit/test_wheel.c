/* SPDX-License-Identifier: MIT
 *
 * The timer wheel against a plain list: same timers, same order of deadlines.
 */
#include "support.h"

#include "lock/wheel.h"

enum {
    TIMERS = 64
};

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void test_wheel_fires_at_the_deadline_never_before(void **state)
{
    static const int64_t times[] = {0,       1,        15,       16,       17,       255,
                                    256,     4095,     4096,     65535,    65536,    1048575,
                                    1048576, 16777215, 16777216, 16777217, 100000000};
    static const int64_t starts[] = {0, 1, 15, 16, 4095, 1234567, INT64_C(1) << 40};
    size_t i;
    size_t k;
    (void)state;
    for (i = 0; i < COUNT_OF(starts); i++) {
        for (k = 0; k < COUNT_OF(times); k++) {
            rlk_wheel wheel;
            rlk_timer timer = {NULL, NULL, 0};
            int64_t when = starts[i] + times[k];
            int rounds = 0;
            rlki_wheel_init(&wheel, starts[i]);
            assert_true(rlki_wheel_deadline(&wheel) == RLK_NEVER);
            rlki_wheel_set(&wheel, &timer, when);
            if (times[k] > 0)
                assert_null(rlki_wheel_pop(&wheel, when - 1));
            assert_ptr_equal(rlki_wheel_pop(&wheel, when), &timer);
            assert_null(timer.link);
            assert_null(rlki_wheel_pop(&wheel, when));
            assert_true(rlki_wheel_deadline(&wheel) == RLK_NEVER);

            /* woken only when its deadline() says so, it comes in a few steps and on time */
            rlki_wheel_init(&wheel, starts[i]);
            rlki_wheel_set(&wheel, &timer, when);
            for (;;) {
                int64_t now = rlki_wheel_deadline(&wheel);
                assert_true(now <= when && now >= starts[i]);
                assert_true(++rounds < 40);
                if (rlki_wheel_pop(&wheel, now)) {
                    assert_true(now == when);
                    break;
                }
                assert_true(rlki_wheel_deadline(&wheel) > now);
            }
        }
    }
}

static void test_wheel_past_deadline_fires_at_once(void **state)
{
    rlk_wheel wheel;
    rlk_timer timer = {NULL, NULL, 0};
    (void)state;
    rlki_wheel_init(&wheel, 1000);
    rlki_wheel_set(&wheel, &timer, 3);
    assert_true(rlki_wheel_deadline(&wheel) == 1000);
    assert_ptr_equal(rlki_wheel_pop(&wheel, 1000), &timer);
}

/* A pop for a time that is over finds nothing, also where a timer is due by now. */
static void test_wheel_does_not_go_back(void **state)
{
    rlk_wheel wheel;
    rlk_timer timer = {NULL, NULL, 0};
    (void)state;
    rlki_wheel_init(&wheel, 1000);
    rlki_wheel_set(&wheel, &timer, 1000);
    assert_null(rlki_wheel_pop(&wheel, 999));
    assert_ptr_equal(rlki_wheel_pop(&wheel, 1000), &timer);
}

/* A timer beyond what the wheel spans lies alone in a slot that is not its own: one that was set
 * later, and lies behind it, is due before. */
static void test_wheel_timer_beyond_its_span_hides_none(void **state)
{
    const int64_t span = INT64_C(1) << (4 * RLK_WHEEL_LEVELS);
    rlk_wheel wheel;
    rlk_timer beyond = {NULL, NULL, 0};
    rlk_timer soon = {NULL, NULL, 0};
    (void)state;
    rlki_wheel_init(&wheel, 0);
    rlki_wheel_set(&wheel, &beyond, 10 * span);
    assert_null(rlki_wheel_pop(&wheel, span / 4));
    rlki_wheel_set(&wheel, &soon, span + span / 8);
    assert_true(rlki_wheel_deadline(&wheel) <= soon.deadline_ms);
}

/* What rlki_wheel_deadline reads off its bits, from the lists of the slots and by division; and
 * that bits and lists agree, and each timer lies in a slot that begins when it is due or before,
 * and is the last one that does, unless it is beyond all. */
static int64_t deadline_by_lists(const rlk_wheel *wheel)
{
    int64_t best = RLK_NEVER;
    int64_t unit = 1;
    unsigned level;
    unsigned slot;
    for (level = 0; level < RLK_WHEEL_LEVELS; level++, unit *= RLK_WHEEL_SLOTS) {
        int64_t turn = unit * RLK_WHEEL_SLOTS;
        for (slot = 0; slot < RLK_WHEEL_SLOTS; slot++) {
            const rlk_timer *timer = wheel->slot[level][slot];
            int64_t begin = wheel->now_ms / turn * turn + slot * unit;
            int64_t when;
            assert_int_equal((wheel->used[level] >> slot) & 1, timer != NULL);
            if (timer == NULL)
                continue;
            if (begin + unit <= wheel->now_ms || (level > 0 && begin <= wheel->now_ms))
                begin += turn; /* its next turn */
            when = begin;
            if (timer->next == NULL && timer->deadline_ms > begin && level < RLK_WHEEL_LEVELS - 1)
                when = timer->deadline_ms;
            if (when < best)
                best = when;
            for (; timer != NULL; timer = timer->next) {
                assert_true(timer->deadline_ms >= begin || level == 0);
                assert_true(timer->deadline_ms < begin + unit || level == RLK_WHEEL_LEVELS - 1);
            }
        }
    }
    return best;
}

/* Random sets, moves, cancels and steps of time, held against an array of deadlines. */
static void test_wheel_agrees_with_a_list(void **state)
{
    static rlk_timer timers[TIMERS];
    rlk_wheel wheel;
    static const int64_t starts[] = {0, 5, 4095, INT64_C(1) << 40};
    int64_t now;
    int round;
    (void)state;
    for (seed = 1; seed < 40; seed++) {
        uint32_t kept = seed;
        size_t i;
        now = starts[seed % COUNT_OF(starts)];
        rlki_wheel_init(&wheel, now);
        for (i = 0; i < TIMERS; i++)
            timers[i].link = NULL;
        for (round = 0; round < 2000; round++) {
            rlk_timer *timer = &timers[draw(TIMERS)];
            rlk_timer *fired;
            int64_t earliest = RLK_NEVER;
            switch (draw(4)) {
            case 0:
                rlki_wheel_cancel(&wheel, timer);
                break;
            case 1:
                now += draw(2) ? draw(40) : draw(1u << draw(24));
                break;
            default:
                rlki_wheel_set(&wheel, timer, now + draw(1u << draw(27)));
                break;
            }
            while ((fired = rlki_wheel_pop(&wheel, now)) != NULL) {
                assert_true(fired->deadline_ms <= now);
                for (i = 0; i < TIMERS; i++)
                    if (timers[i].link)
                        assert_true(timers[i].deadline_ms > now ||
                                    timers[i].deadline_ms >= fired->deadline_ms);
            }
            for (i = 0; i < TIMERS; i++) {
                if (!timers[i].link)
                    continue;
                assert_true(timers[i].deadline_ms > now); /* none was forgotten */
                if (timers[i].deadline_ms < earliest)
                    earliest = timers[i].deadline_ms;
            }
            assert_true(rlki_wheel_deadline(&wheel) <= earliest);
            assert_true(rlki_wheel_deadline(&wheel) > now);
            assert_int_equal(rlki_wheel_deadline(&wheel), deadline_by_lists(&wheel));
        }
        seed = kept;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel_fires_at_the_deadline_never_before),
        cmocka_unit_test(test_wheel_past_deadline_fires_at_once),
        cmocka_unit_test(test_wheel_does_not_go_back),
        cmocka_unit_test(test_wheel_timer_beyond_its_span_hides_none),
        cmocka_unit_test(test_wheel_agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
