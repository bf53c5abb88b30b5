/* SPDX-License-Identifier: MIT
 *
 * The simulator itself, and some hundred of its histories on every target.
 */
#include "sim.h"
#include "support.h"

#include <string.h>

#define HISTORIES 300
#define OUTSIDE   300 /* histories in which a profile outside of the assumptions has to show why */

static void histories(const char *profile, uint64_t last)
{
    sim_options options = {.profile = sim_profile_named(profile)};
    uint64_t acquired = 0;
    uint64_t seed;

    assert_non_null(options.profile);
    for (seed = 1; seed <= last; seed++) {
        sim_verdict verdict;

        sim_run(seed, &options, &verdict);
        if (verdict.rule != SIM_FINE)
            support_fail("seed %llu %s", (unsigned long long)seed, verdict.text);
        assert_true(verdict.operations >= 200);
        acquired += verdict.acquired;
    }
    assert_true(acquired > 5 * last); /* it is not all failure */
}

static void test_sim_histories(void **state)
{
    uint64_t last = HISTORIES / (unsigned)support_time_factor();

    (void)state;
    histories("standard", last);
    histories("endless", last);
    histories("unfenced", last);
    histories("pushes", last);
#ifndef RLK_RESP2_ONLY                  /* who polls has no share that is sure */
    histories("shares", last / 50 + 1); /* long ones */
#endif
}

/* One seed is one history, whatever ran before. */
static void test_sim_is_deterministic(void **state)
{
    static const sim_options options;
    sim_verdict first;
    sim_verdict other;
    sim_verdict again;

    (void)state;
    sim_run(7, &options, &first);
    sim_run(8, &options, &other);
    sim_run(7, &options, &again);
    assert_true(first.print == again.print);
    assert_true(first.print != other.print);
    assert_int_equal(first.simulated_us, again.simulated_us);
}

/* The first seed from `seed` on in which the profile shows what it is there for. One of them breaks
 * no assumption of the library's, but one of the judge's: that pushes arrive. It shows that a
 * waiter that is not notified is found, though it rechecks in the end. */
static uint64_t first_found(const sim_profile *profile, uint64_t seed)
{
    sim_options options = {.profile = profile};

    for (; seed <= OUTSIDE; seed++) {
        sim_verdict verdict;

        sim_run(seed, &options, &verdict);
        if (verdict.rule == profile->finds)
            return seed;
        if (verdict.rule != SIM_FINE)
            support_fail("%s: seed %llu %s", profile->name, (unsigned long long)seed, verdict.text);
    }
    support_fail("%s: %s is not found", profile->name, sim_rule_name(profile->finds));
}

static void test_sim_shows_what_the_assumptions_are_for(void **state)
{
    unsigned outside = 0;
    size_t i;

    (void)state;
    for (i = 0; i < sim_profiles_len; i++) {
        if (sim_profiles[i].finds == SIM_FINE || sim_profiles[i].least_nodes > RLK_MAX_NODES)
            continue;
#ifdef RLK_RESP2_ONLY
        if (sim_profiles[i].finds == SIM_WAKE)
            continue; /* without pushes none gets lost */
#endif
        (void)first_found(&sim_profiles[i], 1);
        outside++;
    }
    assert_true(outside >= 6);
}

static unsigned decisions_in(const uint8_t *skip, unsigned decisions)
{
    unsigned in = 0;
    unsigned i;

    for (i = 0; i < decisions; i++)
        in += (skip[i / 8] >> i % 8 & 1) == 0;
    return in;
}

static void test_sim_minimises(void **state)
{
    static uint8_t skip[SIM_SKIP_BYTES];
    const sim_profile *profile = sim_profile_named("lossy-restart");
    unsigned more = 4 / (unsigned)support_time_factor() + 1;
    uint64_t seed;

    (void)state;
    for (seed = 1; more > 0; seed++, more--) {
        sim_options options = {.profile = profile};
        sim_verdict whole;
        sim_verdict least;
        unsigned left;

        seed = first_found(profile, seed);
        sim_run(seed, &options, &whole);
        left = sim_minimise(seed, &options, skip);
        sim_run(seed, &options, &least);
        assert_int_equal(least.rule, whole.rule);
        assert_int_equal(decisions_in(skip, whole.decisions), left);
        assert_between(left, 3, 12); /* two that acquire, and a restart: and little else */
    }
}

/* A fuzzer's bytes make the decisions: the same ones the same history, others another. */
static void test_sim_takes_decisions_from_bytes(void **state)
{
    uint8_t bytes[600];
    sim_options options = {.schedule = bytes, .schedule_len = sizeof bytes};
    sim_verdict zeros;
    sim_verdict again;
    sim_verdict ones;

    (void)state;
    memset(bytes, 0, sizeof bytes);
    sim_run(1, &options, &zeros);
    sim_run(1, &options, &again);
    memset(bytes, 0xff, sizeof bytes);
    sim_run(1, &options, &ones);
    assert_true(zeros.print == again.print);
    assert_true(zeros.print != ones.print);
    assert_int_equal(zeros.rule, SIM_FINE);
    assert_int_equal(ones.rule, SIM_FINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_histories),
        cmocka_unit_test(test_sim_is_deterministic),
        cmocka_unit_test(test_sim_shows_what_the_assumptions_are_for),
        cmocka_unit_test(test_sim_minimises),
        cmocka_unit_test(test_sim_takes_decisions_from_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
