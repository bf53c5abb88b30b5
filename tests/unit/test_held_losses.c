/* SPDX-License-Identifier: MIT
 *
 * What ended a lease (fault 111), and its undo (held.c).
 */
#include "harness.h"

static harness h;

static const unsigned sizes[] = {1, 3, 5};

static void expect_lost(rlk_lock *lock, rlk_lost_cause cause, const char *text)
{
    rlk_event event;

    (void)text;
    assert_true(harness_next_event(&h, &event, 100000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_int_equal(event.lost_cause, cause);
    assert_int_equal(rlk_lock_lost_cause(lock), cause);
    assert_text_contains(rlk_lock_error(lock), text);
    assert_int_equal(rlk_lock_lost_cause(lock), cause);
    assert_result(rlk_release(lock), RLK_LOST);
    assert_int_equal(rlk_lock_lost_cause(lock), cause);
}

/* Acquires a lock with auto_renew. */
static void renewing(rlk_lock *lock, unsigned nodes)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.auto_renew = true;
    harness_start_automatic(&h, nodes);
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(lock), RLK_LOST_NOT);
}

static void expect_refused(rlk_result result, const char *text)
{
    rlk_event event;

    (void)text;
    assert_true(harness_next_event(&h, &event, 100000));
    assert_true(support_renewal_refused(&event));
    assert_result(event.result, result);
    assert_int_equal(event.lost_cause, RLK_LOST_NOT);
    assert_text_contains(rlk_lock_error(event.lock), text);
}

/* Another token has the key, or another type, or it is gone. */
typedef enum change {
    DELETED,
    OVERWRITTEN,
    RETYPED
} change;

static void change_key(unsigned node, change what)
{
    if (what == DELETED)
        harness_delete(&h, node, HARNESS_KEY);
    else if (what == OVERWRITTEN)
        harness_put(&h, node, HARNESS_KEY, "foreign", -1);
    else
        harness_find(&h, &h.servers[node], HARNESS_KEY)->wrong_type = true;
}

static void test_fault_111_cause_of_a_loss(void **state)
{
    static const struct {
        change what;
        rlk_result result;   /* of the renewal that finds it */
        const char *refusal; /* in words */
        rlk_lost_cause cause;
        const char *loss;
    } rows[] = {
        {DELETED, RLK_NOT_OWNER, "renew \"k\": NOT_OWNER: the key is gone", RLK_LOST_DELETED,
         "the key is gone"},
        {OVERWRITTEN, RLK_NOT_OWNER, "renew \"k\": NOT_OWNER: the key has another value",
         RLK_LOST_OVERWRITTEN, "the key has another value"},
        {RETYPED, RLK_E_WRONGTYPE, "last error E_WRONGTYPE", RLK_LOST_WRONG_TYPE, "not a string"},
    };
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        for (k = 0; k < COUNT_OF(sizes); k++) {
            rlk_lock lock;
            unsigned n;

            renewing(&lock, sizes[k]);
            for (n = 0; n < sizes[k]; n++)
                change_key(n, rows[i].what);
            expect_refused(rows[i].result, rows[i].refusal);
            expect_lost(&lock, rows[i].cause, rows[i].loss);
        }
    }
}

/* Nobody renews it. */
static void test_fault_111_cause_of_an_expiry(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        rlk_lock lock;

        harness_start(&h, sizes[i]);
        harness_held(&h, &lock, 3000);
        expect_lost(&lock, RLK_LOST_EXPIRED, "lock \"k\": LOST: the lease ran out");
    }
}

/* The servers refuse each renewal until the lease is over. Not so: a renewal that worked after one
 * that was refused, another command that was refused, and an answer that never came. */
static void test_fault_111_refused_renewals(void **state)
{
    rlk_holder holders[RLK_MAX_NODES];
    rlk_event event;
    rlk_lock lock;
    unsigned i;
    unsigned n;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        renewing(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = HARNESS_NOPERM;
        do {
            assert_true(harness_next_event(&h, &event, 100000));
        } while (support_renewal_unknown(&event));
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_int_equal(event.lost_cause, RLK_LOST_REFUSED);
        assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_REFUSED);
        assert_text_contains(rlk_lock_error(&lock), "the server refused to renew it");

        harness_start_automatic(&h, sizes[i]);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_run(&h);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = HARNESS_NOPERM;
        assert_result(rlk_renew_start(&lock, 4000), RLK_PENDING);
        assert_true(harness_next_event(&h, &event, 1000));
        assert_end(&event, RLK_OP_RENEW,
                   sizes[i] == 1 ? RLK_E_NOPERM : RLK_UNKNOWN); /* one is late */
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = NULL;
        assert_result(rlk_renew_start(&lock, 4000), RLK_PENDING);
        harness_run(&h);
        harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = HARNESS_NOPERM;
        assert_result(rlk_query_start(&lock, holders, COUNT_OF(holders)), RLK_PENDING);
        assert_true(harness_next_event(&h, &event, 1000));
        assert_end(&event, RLK_OP_QUERY, RLK_E_NOPERM);
        expect_lost(&lock, RLK_LOST_EXPIRED, "the lease ran out before");

        renewing(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].automatic = false;
        do {
            assert_true(harness_next_event(&h, &event, 100000));
        } while (support_renewal_unknown(&event));
        assert_int_equal(event.lost_cause, RLK_LOST_EXPIRED);
    }
}

/* A minority says that its key is gone; then the lease runs out, and that is why. */
static void test_fault_111_minority_is_not_the_cause(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 3000);
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_NOT); /* it is held */
    h.servers[0].automatic = h.servers[1].automatic = h.servers[2].automatic = true;
    expect_lost(&lock, RLK_LOST_EXPIRED, "the lease ran out");
}

/* One node's key is gone, another's is somebody else's. */
static void test_fault_111_nodes_that_differ(void **state)
{
    rlk_lock lock;

    (void)state;
    renewing(&lock, 3);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_delete(&h, 1, HARNESS_KEY);
    expect_refused(RLK_NOT_OWNER, "the key has another value");
    expect_lost(&lock, RLK_LOST_OVERWRITTEN, "the key has another value");
}

static void test_fault_111_names(void **state)
{
#ifndef RLK_NO_TEXT
    static const char *const names[] = {"NOT",         "EXPIRED",    "REFUSED", "DELETED",
                                        "OVERWRITTEN", "WRONG_TYPE", "?"};
    size_t i;

    for (i = 0; support_row(i, COUNT_OF(names)); i++)
        assert_string_equal(rlk_lost_cause_name((rlk_lost_cause)i), names[i]);
    assert_int_equal(COUNT_OF(names), RLK_LOST_CAUSES + 1);
#endif
    (void)state;
    assert_int_equal(rlk_lock_lost_cause(NULL), RLK_LOST_NOT);
}

/* lost: best-effort undo on all nodes */
static void test_held_lost_is_undone_on_all_nodes(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        rlk_lock lock;
        rlk_event event;

        harness_start(&h, n);
        harness_held(&h, &lock, 3000);
        assert_true(harness_next_event(&h, &event, 3000));
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_int_equal(h.now_ms, HARNESS_START + 3000 - 33); /* 1 % + 2 ms, rounded up */
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        assert_result(rlk_release(&lock), RLK_LOST);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_111_cause_of_a_loss),
        cmocka_unit_test(test_fault_111_cause_of_an_expiry),
        cmocka_unit_test(test_fault_111_refused_renewals),
        cmocka_unit_test(test_fault_111_minority_is_not_the_cause),
        cmocka_unit_test(test_fault_111_nodes_that_differ),
        cmocka_unit_test(test_fault_111_names),
        cmocka_unit_test(test_held_lost_is_undone_on_all_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
