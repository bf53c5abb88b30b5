/* SPDX-License-Identifier: MIT
 *
 * Commands that an operation abandoned, and replies that come when another operation is under way:
 * a reply answers nothing that was asked later.
 */
#include "lock_slow_retry.h"

static harness h;

/* The others are a quorum, and the node whose SET was lost is compared when it is back. That must
 * not raise to the target of an earlier lease's extend. */
static void test_node_lock_late_compare_only_checks(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 3600000), RLK_PENDING);
    harness_reply_all(&h, 0, 3, ":3630000\r\n");
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply_all(&h, 0, 3, ":1\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_expect_all(&h, 0, 3, HARNESS_SET);
    harness_cut(&h, 2);
    harness_reply_all(&h, 0, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    (void)harness_expect(&h, 2, HARNESS_CHECK);
    harness_reply(&h, 2, "-LOADING loading\r\n"); /* sent again, though nothing waits for it */
    harness_advance(&h, RLK_RETRY_MAX_MS);
    (void)harness_expect(&h, 2, HARNESS_CHECK);
    /* its reply is none to an extend that begins meanwhile */
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 0, ":30950\r\n");
    harness_reply(&h, 2, ":29950\r\n");
    harness_expect_no_event(&h);
    harness_expect_all(&h, 1, 3, HARNESS_RAISE);
    harness_reply(&h, 2, ":30950\r\n");
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
}

/* A compare of a SET that was lost is under way when the others are a quorum. Its reply counts for
 * the lease. Where an extend begins meanwhile, a raise of its own follows. */
static void test_node_lock_late_compare_counts(void **state)
{
    static const struct {
        const char *name;
        bool extends;
    } rows[] = {{"alone", false}, {"an extend begins", true}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        harness_start(&h, 3);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_expect_all(&h, 0, 3, HARNESS_SET);
        harness_cut(&h, 2);
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        (void)harness_expect(&h, 2, HARNESS_RAISE);
        harness_reply_all(&h, 0, 2, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        if (rows[i].extends)
            assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
        harness_reply(&h, 2, ":30000\r\n");
        assert_true(rlk_is_held(&lock));
        if (!rows[i].extends) {
            harness_expect_quiet(&h, 3);
            continue;
        }
        harness_expect_no_event(&h);
        harness_reply(&h, 2, ":30950\r\n");
        harness_reply(&h, 0, ":30950\r\n");
        harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    }
}

/* An undo of another attempt's token that is answered "deleted" is no vote about the token that is
 * released. */
static void test_node_lock_late_undo_is_no_answer_to_a_release(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 1500);
    lock.retry_min_ms = lock.retry_max_ms; /* one attempt in the 100 ms */
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_reply_all(&h, 0, 2, HARNESS_NIL);
    assert_true(harness_next_event(&h, &event, 100));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, 500);
    harness_reply_all(&h, 0, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":1\r\n");
    harness_reply(&h, 2, HARNESS_OK); /* to the SET of the first attempt, */
    harness_reply(&h, 2, ":1\r\n");   /* and to its undo */
    harness_expect_no_event(&h);      /* one of three, not two */
    harness_reply(&h, 1, ":0\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
}

/* The DEL of a cancelled force_release is lost with its stream: it has no event, and no lock waits
 * for it. */
static void test_node_lock_abandoned_del_is_lost(void **state)
{
    rlk_lock lock;

    (void)state;
    slow_open(&h);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    slow_abandon_del(&h, &lock);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
}

/* A second force_release sends a DEL of its own. */
static void test_node_lock_abandoned_del_is_no_answer_to_the_next(void **state)
{
    rlk_lock lock;

    (void)state;
    slow_open(&h);
    slow_abandon_del(&h, &lock);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_DEL], 2);
    slow_answer_one(&h);
    harness_expect_no_event(&h);
    slow_answer_one(&h);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_OK);
}

/* A waiter repeats its own cancelled release while it yields to other processes. It goes on
 * yielding when that is answered. */
static void test_node_lock_abandoned_release_of_a_yielding_waiter(void **state)
{
    rlk_lock first;
    rlk_lock second;
    rlk_lock waiter;
    rlk_event event;
    int64_t yields_ms;

    (void)state;
    slow_open(&h);
    slow_hold(&h, &waiter, false);
    assert_result(rlk_release_start(&waiter), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF); /* repeated in 400 ms at the earliest */
    assert_result(rlk_cancel(&waiter), RLK_OK);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_UNKNOWN);
    harness_remove(&h, 0, HARNESS_KEY);
    slow_hold(&h, &first, false);
    slow_wait(&h, &second);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_release_start(&first), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&second));
    harness_advance(&h, 350);
    assert_result(rlk_release_start(&second), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_int_equal(waiter.as.wait.recheck_cause[0], RLK_CAUSE_YIELD);
    yields_ms = h.now_ms;
    harness_advance(&h, 150);
    (void)harness_expect(&h, 0, HARNESS_RELEASE); /* its own */
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 1000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(waiter.cause, RLK_CAUSE_YIELD);
    assert_between(h.now_ms - yields_ms, 150 + SLOW_RETRY_MIN,
                   150 + SLOW_RETRY_MAX); /* the pause begins again */
}

/* A waiter whose own cancelled release deletes the token behind which it waits: it acquires at
 * once. */
static void test_node_lock_abandoned_release_of_the_waiter(void **state)
{
    rlk_lock lock;

    (void)state;
    slow_open(&h);
    slow_hold(&h, &lock, false);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_UNKNOWN);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1); /* behind it */
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(h.now_ms, HARNESS_START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_lock_late_compare_only_checks),
        cmocka_unit_test(test_node_lock_late_compare_counts),
        cmocka_unit_test(test_node_lock_late_undo_is_no_answer_to_a_release),
        cmocka_unit_test(test_node_lock_abandoned_del_is_lost),
        cmocka_unit_test(test_node_lock_abandoned_del_is_no_answer_to_the_next),
        cmocka_unit_test(test_node_lock_abandoned_release_of_a_yielding_waiter),
        cmocka_unit_test(test_node_lock_abandoned_release_of_the_waiter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
