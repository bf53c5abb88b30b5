/* SPDX-License-Identifier: MIT
 *
 * A clock made of a counter that wraps, against arithmetic of 64 bits.
 */
#include "resplock.h"
#include "support.h"

/* hz, bits of counters that exist: SysTick counts, FreeRTOS ticks, RTCs, timers; and the bounds. */
static const struct {
    uint32_t hz;
    unsigned bits;
} counters[] = {
    {1000, 32},  {1000, 16},    {100, 32}, {128, 16}, {32768, 32},
    {32768, 24}, {1000000, 32}, {1, 32},   {1, 1},    {RLK_TICKS_HZ_MAX, 32},
    {997, 32},   {1024, 17},    {3, 5},
};

#define COUNTERS (sizeof counters / sizeof counters[0])

static uint32_t random_state = 2463534242u;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Steps up to `most` ticks each; the clock must say what true time says, to the millisecond. */
static void check_steps(uint32_t hz, unsigned bits, uint32_t start, uint64_t most)
{
    rlk_ticks ticks;
    uint64_t passed = 0;
    int i;

    rlk_ticks_init(&ticks, hz, bits, start);
    assert_int_equal(rlk_ticks_ms(&ticks, start), 0);
    for (i = 0; i < 2000; i++) {
        passed += next_random() % (most + 1);
        /* bits above those of the counter are nobody's business */
        assert_int_equal(rlk_ticks_ms(&ticks, (uint32_t)(start + passed)),
                         (int64_t)(passed * 1000 / hz));
    }
}

static void test_ticks_follow_true_time(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNTERS; i++) {
        uint64_t round = UINT64_C(1) << counters[i].bits;

        check_steps(counters[i].hz, counters[i].bits, next_random(), round - 1);
        check_steps(counters[i].hz, counters[i].bits, next_random(), round / 2);
        check_steps(counters[i].hz, counters[i].bits, 0, 1 + round / 1000);
    }
}

/* Asked at each tick, in which no millisecond is whole: nothing gets lost. */
static void test_ticks_keep_what_is_no_whole_millisecond(void **state)
{
    rlk_ticks ticks;
    uint32_t i;

    (void)state;
    rlk_ticks_init(&ticks, 32768, 24, 0xfffff0u);
    for (i = 0; i <= 32768u * 3; i++)
        assert_int_equal(rlk_ticks_ms(&ticks, 0xfffff0u + i), (int64_t)i * 1000 / 32768);
    assert_int_equal(ticks.ms, 3000);
}

static void test_ticks_wrap(void **state)
{
    rlk_ticks ticks;

    (void)state;
    rlk_ticks_init(&ticks, 1000, 32, UINT32_MAX - 9);
    assert_int_equal(rlk_ticks_ms(&ticks, UINT32_MAX), 9);
    assert_int_equal(rlk_ticks_ms(&ticks, 0), 10);
    assert_int_equal(rlk_ticks_ms(&ticks, 0), 10);
    assert_int_equal(rlk_ticks_ms(&ticks, 5), 15);
    /* as late as can be: one tick before the round is full */
    assert_int_equal(rlk_ticks_ms(&ticks, 4), 15 + (int64_t)UINT32_MAX);
    assert_int_equal(rlk_ticks_ms(&ticks, 3), 15 + 2 * (int64_t)UINT32_MAX);
}

/* A counter that stepped back: ahead by nearly a round, never back. */
static void test_ticks_step_back_is_a_jump_ahead(void **state)
{
    rlk_ticks ticks;

    (void)state;
    rlk_ticks_init(&ticks, 1000, 16, 100);
    assert_int_equal(rlk_ticks_ms(&ticks, 200), 100);
    assert_int_equal(rlk_ticks_ms(&ticks, 199), 100 + 65535);
}

static void test_ticks_round(void **state)
{
    rlk_ticks ticks;
    int64_t round_ms = RLK_TICKS_ROUND_MS(32768, 24);

    (void)state;
    assert_int_equal(round_ms, 512000);
    assert_int_equal(RLK_TICKS_ROUND_MS(1000, 32), INT64_C(4294967296));
    assert_int_equal(RLK_TICKS_ROUND_MS(100, 16), 655360);
    /* once in less than a round is enough */
    rlk_ticks_init(&ticks, 32768, 24, 7);
    assert_int_equal(rlk_ticks_ms(&ticks, 7 + (uint32_t)((UINT64_C(511999) * 32768 + 999) / 1000)),
                     511999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks_follow_true_time),
        cmocka_unit_test(test_ticks_keep_what_is_no_whole_millisecond),
        cmocka_unit_test(test_ticks_wrap),
        cmocka_unit_test(test_ticks_step_back_is_a_jump_ahead),
        cmocka_unit_test(test_ticks_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
