/* SPDX-License-Identifier: MIT
 *
 * rlk_keep_alive: when it renews, and how long it returns RLK_OK (rule 7; extend.c).
 */
#include "lock_renewing.h"

/* After a long extend drift is more than a TTL. Still the lease goes on as soon as it is due: the
 * server says anew what is left, whether its answer took longer than the first one or not. */
static int64_t latency_ms;

#define CAP 45000

/* The renewal was answered, but the process stood still before the call returned: not held is not
 * OK. */
static int stand_still(harness *self)
{
    harness_run(self);
    self->now_ms += 100000;
    return 0;
}

static int answer_late(harness *self)
{
    self->now_ms += latency_ms;
    return 0;
}

static void test_extend_keep_alive_renews_when_due(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    harness_start_automatic(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
    harness_advance(&h, 999);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
    for (i = 1; i <= 20; i++) { /* a minute, in steps of a third */
        harness_advance(&h, i > 1 ? 1000 : 1);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], i);
        assert_between(rlk_remaining_ms(&lock), 3000 - DRIFT(3000), 3000 - DRIFT(3000));
    }
}

/* RLK_OK while validity lasts, even where the renewal failed; then LOST. */
static void test_extend_keep_alive_survives_failures(void **state)
{
    rlk_lock lock;
    unsigned kept = 0;
    rlk_result result;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 1000);
    h.servers[0].fails = HARNESS_MISCONF;
    while ((result = rlk_keep_alive(&lock)) == RLK_OK)
        kept++;
    assert_result(result, RLK_LOST);
    assert_int_equal(kept, 1); /* one try takes a third of the TTL */
    assert_int_equal(h.now_ms, HARNESS_START + 3000 - DRIFT(3000));
    assert_result(rlk_keep_alive(&lock), RLK_LOST);

    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 1500);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1); /* fault 24 */
    assert_result(rlk_keep_alive(&lock), RLK_NOT_OWNER);
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
}

static void test_extend_keep_alive_is_not_ok_after_a_pause(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 990);
    h.on_wait = stand_still;
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
}

static void test_extend_keep_alive_goes_on_after_a_long_extend(void **state)
{
    static const int64_t latencies_ms[][2] = {{0, 0}, {5, 3}, {3, 5}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(latencies_ms)); i++) {
        rlk_lock lock;
        int64_t end_ms;

        harness_start_automatic(&h, 3);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        h.on_wait = answer_late;
        latency_ms = latencies_ms[i][0];
        assert_result(rlk_extend(&lock, 1000000), RLK_OK);
        latency_ms = latencies_ms[i][1];
        end_ms = h.now_ms + 1100000;
        while (h.now_ms < end_ms) {
            harness_advance(&h, 900);
            assert_result(rlk_keep_alive(&lock), RLK_OK);
            assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 3);
        }
    }
}

/* rlk_keep_alive keeps to it as well; RLK_OK until then. */
static void test_extend_keep_alive_ends_at_the_cap(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_result result;

    (void)state;
    config.auto_renew = false;
    config.max_hold_ms = CAP;
    hold_with(&lock, 1, &config);
    h.servers[0].automatic = true;
    while ((result = rlk_keep_alive(&lock)) == RLK_OK) {
        assert_true(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms <= HARNESS_START + CAP);
        harness_advance(&h, 1000);
    }
    assert_result(result, RLK_LOST);
    assert_between(h.now_ms - HARNESS_START, CAP - DRIFT(TTL), CAP + 1000);
    assert_true(h.servers[0].count[HARNESS_RAISE] <= 6);
}

/* Extends that got no quorum of answers each have lengthened it all the same, beyond the cap: what
 * would be asked for is past. */
static void test_extend_keep_alive_beyond_the_cap(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;
    rlk_event event;
    unsigned node;

    (void)state;
    config.auto_renew = false;
    config.max_hold_ms = TTL;
    harness_start(&h, 3);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    for (node = 0; node < 3; node++)
        harness_serve(&h, node);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    for (node = 0; node < 2; node++) {
        assert_result(rlk_extend_start(&lock, 2 * TTL), RLK_PENDING);
        harness_serve(&h, node);
        assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
        assert_result(event.result, RLK_UNKNOWN);
    }
    harness_advance(&h, HARNESS_START + 2 * TTL + TTL / 2 - h.now_ms);
    assert_true(rlk_is_held(&lock));
    h.waits = 0;
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.waits, 1); /* reads what has come */
}

/* rlk_keep_alive of a lock with auto_renew is right, and only reads what has come. */
static void test_extend_keep_alive_beside_renewals(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;

    (void)state;
    hold_with(&lock, 1, &config);
    h.servers[0].automatic = true;
    while (h.now_ms < HARNESS_START + 3 * TTL) {
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        harness_advance(&h, 700);
    }
    assert_between(h.servers[0].count[HARNESS_RAISE], 3 * TTL / DUE - 1, 3 * TTL / DUE + 1);
}

/* So much is drift that a fresh lease is shorter than two thirds of the TTL: no sooner. */
static void test_extend_keep_alive_with_much_drift(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    unsigned i;

    (void)state;
    harness_start_drifting(&h, 400);
    config.ttl_ms = 1000;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    for (i = 0; i < 100; i++) {
        harness_advance(&h, 1);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
    }
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
    for (i = 0; i < 20; i++) {
        harness_advance(&h, 100);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
    }
    /* when a third of the TTL has passed: at each fourth call */
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 5);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extend_keep_alive_renews_when_due),
        cmocka_unit_test(test_extend_keep_alive_survives_failures),
        cmocka_unit_test(test_extend_keep_alive_is_not_ok_after_a_pause),
        cmocka_unit_test(test_extend_keep_alive_goes_on_after_a_long_extend),
        cmocka_unit_test(test_extend_keep_alive_ends_at_the_cap),
        cmocka_unit_test(test_extend_keep_alive_beyond_the_cap),
        cmocka_unit_test(test_extend_keep_alive_beside_renewals),
        cmocka_unit_test(test_extend_keep_alive_with_much_drift),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
