/* SPDX-License-Identifier: MIT
 *
 * A renewal in the background, and a call that overtakes it.
 */
#include "lock_slow_retry.h"

static harness h;

/* A lock that renews itself, and whose raise is under way. */
static void renew(rlk_lock *lock)
{
    slow_open(&h);
    slow_hold(&h, lock, true);
    harness_advance(&h, SLOW_TTL / 3);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

/* The raise was refused, and would be repeated: a check does not wait for that. */
static void test_renewal_refused_before_a_check(void **state)
{
    rlk_lock lock;

    (void)state;
    renew(&lock);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    /* the renewal comes again: what the check found lengthens the lease by a little drift */
    harness_advance(&h, SLOW_TTL / 100);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

static rlk_holder holder;

static rlk_result query_start(rlk_lock *lock)
{
    return rlk_query_start(lock, &holder, 1);
}

/* The raise is refused when another operation has begun: it is not repeated during that. */
static void test_renewal_refused_during_another_operation(void **state)
{
    static const struct {
        const char *name;
        rlk_result (*start)(rlk_lock *lock);
        rlk_operation operation;
        harness_kind kind;
    } rows[] = {{"check", rlk_check_start, RLK_OP_CHECK, HARNESS_CHECK},
                {"query", query_start, RLK_OP_QUERY, HARNESS_GET}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        renew(&lock);
        assert_result(rows[i].start(&lock), RLK_PENDING);
        harness_reply(&h, 0, HARNESS_MISCONF);
        (void)harness_expect(&h, 0, rows[i].kind);
        harness_serve(&h, 0);
        harness_expect_result(&h, rows[i].operation, RLK_OK);
        harness_advance(&h, SLOW_TTL / 100);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
    }
}

static rlk_result acquire_once(rlk_lock *lock)
{
    return rlk_acquire_start(lock, RLK_TRY);
}

static rlk_result extend_by_less_than_nothing(rlk_lock *lock)
{
    return rlk_extend_start(lock, -1);
}

static rlk_result renew_to_nothing(rlk_lock *lock)
{
    return rlk_renew_start(lock, 0);
}

/* A call that is refused leaves the renewal alone: it goes on, and its result is reported. */
static void test_renewal_goes_on_when_a_call_is_refused(void **state)
{
    static const struct {
        const char *name;
        rlk_result (*start)(rlk_lock *lock);
        rlk_result refusal;
    } rows[] = {{"acquire", acquire_once, RLK_E_STATE},
                {"extend", extend_by_less_than_nothing, RLK_E_TTL},
                {"renew", renew_to_nothing, RLK_E_TTL}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        renew(&lock);
        assert_result(rows[i].start(&lock), rows[i].refusal);
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
    renew(&lock);
    assert_result(rlk_renew_start(&lock, 12000), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_int_equal(rlk_remaining_ms(&lock), 12000 - 123);
}

/* A reply that comes when a renewal is due: both have their effect. */
static void test_renewal_due_when_a_reply_comes(void **state)
{
    rlk_lock lock;

    (void)state;
    slow_open(&h);
    slow_hold(&h, &lock, true);
    harness_advance(&h, 9000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    h.now_ms += 1000; /* no tick: the renewal is due by now */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    harness_advance(&h, 1);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewal_refused_before_a_check),
        cmocka_unit_test(test_renewal_refused_during_another_operation),
        cmocka_unit_test(test_renewal_goes_on_when_a_call_is_refused),
        cmocka_unit_test(test_renewal_of_a_lease_that_is_shortened),
        cmocka_unit_test(test_renewal_due_when_a_reply_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
