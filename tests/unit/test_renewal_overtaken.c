/* SPDX-License-Identifier: MIT
 *
 * A renewal in the background, and a call that overtakes it.
 */
#include "harness.h"

#include <string.h>

#define TTL 30000

static harness h;

static rlk_lock_config slow_retry(bool renewing)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = TTL;
    config.retry_min_ms = 400;
    config.retry_max_ms = 500;
    config.auto_renew = renewing;
    return config;
}

static void start(void)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.max_handoffs = 1;
    harness_open(&h, 1, 1);
    harness_advance(&h, 0);
}

/* A lock that has been acquired. */
static void take(rlk_lock *lock, bool renewing)
{
    rlk_lock_config config = slow_retry(renewing);

    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Its raise was refused, and would be repeated: who checks need not wait for that. */
static void test_renewal_refused_before_a_check(void **state)
{
    rlk_lock lock;

    (void)state;
    start();
    take(&lock, true);
    harness_advance(&h, TTL / 3);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    /* the renewal comes again: what the check found lengthens the lease by a little drift */
    harness_advance(&h, TTL / 100);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

/* ... or is refused only then: it is not repeated either. */
static void test_renewal_refused_during_another_operation(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; way < 2; way++) {
        rlk_lock lock;
        rlk_holder holder;

        start();
        take(&lock, true);
        harness_advance(&h, TTL / 3);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        if (way == 0)
            assert_result(rlk_check_start(&lock), RLK_PENDING);
        else
            assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
        harness_reply(&h, 0, HARNESS_MISCONF);
        (void)harness_expect(&h, 0, way == 0 ? HARNESS_CHECK : HARNESS_GET);
        harness_serve(&h, 0);
        harness_expect_result(&h, way == 0 ? RLK_OP_CHECK : RLK_OP_QUERY, RLK_OK);
        harness_advance(&h, TTL / 100);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
    }
}

/* Overtaken for nothing: it goes on, and is told of. */
static void test_renewal_goes_on_when_a_call_is_refused(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; way < 3; way++) {
        rlk_lock lock;

        start();
        take(&lock, true);
        harness_advance(&h, TTL / 3);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        if (way == 0)
            assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
        else if (way == 1)
            assert_result(rlk_extend_start(&lock, -1), RLK_E_TTL);
        else
            assert_result(rlk_renew_start(&lock, 0), RLK_E_TTL);
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
        harness_expect_no_event(&h);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    }
}

/* ... unless the caller has shortened the lease. */
static void test_renewal_of_a_lease_that_is_shortened(void **state)
{
    rlk_lock lock;

    (void)state;
    start();
    take(&lock, true);
    harness_advance(&h, TTL / 3);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    assert_result(rlk_renew_start(&lock, 12000), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
}

/* An answer that comes when something else is due: both are done. */
static void test_renewal_due_when_a_reply_comes(void **state)
{
    rlk_lock lock;

    (void)state;
    start();
    take(&lock, true);
    harness_advance(&h, 9000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    h.now_ms += 1000; /* nobody ticked: the renewal is due by now */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    harness_advance(&h, 1);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewal_refused_before_a_check),
        cmocka_unit_test(test_renewal_refused_during_another_operation),
        cmocka_unit_test(test_renewal_goes_on_when_a_call_is_refused),
        cmocka_unit_test(test_renewal_of_a_lease_that_is_shortened),
        cmocka_unit_test(test_renewal_due_when_a_reply_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
