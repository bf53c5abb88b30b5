/* SPDX-License-Identifier: MIT
 *
 * The arithmetic of leases: drift, quorum, confirmed expiry (rule 2).
 */
#include "support.h"

#include "lock/clock.h"
#include "lock/lease.h"

static void test_lease_drift_is_never_less_than_its_share(void **state)
{
    static const uint32_t horizons[] = {0, 1, 99, 100, 30000, 86400000, 2073600000u, UINT32_MAX};
    static const uint32_t ppms[] = {0, 1, 100, 10000, 250000, 500000};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(horizons); i++) {
        for (k = 0; k < COUNT_OF(ppms); k++) {
            uint64_t exact = (uint64_t)horizons[i] * ppms[k];
            uint64_t drift = rlki_drift(horizons[i], ppms[k], 2);

            assert_true(drift >= 2);
            /* at least the share, at most 2 ms and a hundred-thousandth more */
            assert_true((drift - 2) * 1000000 >= exact || drift == INT32_MAX);
            assert_true((drift - 3) * 1000000 <= exact + exact / 100000);
        }
    }
    assert_int_equal(rlki_drift(30000, RLK_DRIFT_PPM, RLK_DRIFT_MS), 303);
    assert_int_equal(rlki_drift(UINT32_MAX, RLKI_DRIFT_PPM_MAX, UINT32_MAX), INT32_MAX);
}

static void test_lease_quorum_is_a_majority(void **state)
{
    static const unsigned quorum[] = {0, 1, 2, 2, 3, 3};
    unsigned n;

    (void)state;
    for (n = 1; n <= 5; n++)
        assert_int_equal(rlki_quorum(n), quorum[n]);
}

static void test_lease_quorum_value_is_the_qth_largest(void **state)
{
    static const struct {
        int32_t values[5];
        unsigned n;
        unsigned q;
        int32_t expected;
    } cases[] = {
        {{7}, 1, 1, 7},
        {{RLKI_EXPIRED}, 1, 1, RLKI_EXPIRED},
        {{10, 20}, 2, 2, 10},
        {{10, 30, 20}, 3, 2, 20},
        {{30, 20, 10}, 3, 2, 20},
        {{RLKI_EXPIRED, 20, RLKI_EXPIRED}, 3, 2, RLKI_EXPIRED},
        {{5, 5, 1}, 3, 2, 5},
        {{1, 2, 3, 4, 5}, 5, 3, 3},
        {{5, 4, 3, 2, 1}, 5, 3, 3},
        {{4, 1, 5, 2, 3}, 5, 3, 3},
        {{RLKI_EXPIRED, 9, RLKI_EXPIRED, 8, 7}, 5, 3, 7},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++)
        assert_true(rlki_quorum_value(cases[i].values, cases[i].n, cases[i].q) ==
                    cases[i].expected);
}

static void test_lease_confirmed_expiry(void **state)
{
    static const struct {
        int32_t known;
        bool same_stream;
        int32_t expected; /* of a script begun at 1000, answered at 1050, with 300 left */
    } cases[] = {
        {RLKI_EXPIRED, true, 1300}, /* nothing known */
        {1299, true, 1300},         /* less than is left for certain */
        {1300, true, 1300},
        {1320, true, 1320}, /* known better */
        {1350, true, 1350},
        {1351, true, 1300},  /* more than there can be: it was shortened */
        {1320, false, 1300}, /* another stream: perhaps another history (rule 8) */
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++)
        assert_true(rlki_confirmed_expiry(cases[i].known, cases[i].same_stream, 1000, 1050, 300) ==
                    cases[i].expected);
}

static void test_lease_sums_do_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(rlki_later(INT32_MAX - 1, 5), RLKI_NEVER);
    assert_int_equal(rlki_later(5, INT32_MAX), RLKI_NEVER);
    assert_int_equal(rlki_later(RLKI_EXPIRED, INT32_MAX), -1);
    assert_int_equal(rlki_later(-5, 7), 2);
    assert_int_equal(rlki_earlier(5, 7), -2);
    assert_int_equal(rlki_earlier(RLKI_EXPIRED + 7, 7), RLKI_EXPIRED);
    assert_int_equal(rlki_earlier(RLKI_EXPIRED + 7, 8), RLKI_EXPIRED);
    assert_int_equal(rlki_earlier(RLKI_EXPIRED, UINT32_MAX), RLKI_EXPIRED);
    assert_int_equal(rlki_earlier(RLKI_NEVER - 1, UINT32_MAX), RLKI_EXPIRED);
    assert_int_equal(rlki_earlier(RLKI_NEVER, 1), RLKI_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease_drift_is_never_less_than_its_share),
        cmocka_unit_test(test_lease_quorum_is_a_majority),
        cmocka_unit_test(test_lease_quorum_value_is_the_qth_largest),
        cmocka_unit_test(test_lease_confirmed_expiry),
        cmocka_unit_test(test_lease_sums_do_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
