/* SPDX-License-Identifier: MIT
 *
 * Commands that an operation abandoned, and replies that come when another operation is under way:
 * a reply answers nothing that was asked later.
 */
#include "harness.h"

#include <string.h>

#define TTL 30000

static harness h;

/* A node whose SET was lost in the round that the others won is compared when it is back; that
 * must not raise to the target of an extend of long ago. */
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
    /* and its answer is none to an extend that begins meanwhile */
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 0, ":30950\r\n");
    harness_reply(&h, 2, ":29950\r\n");
    harness_expect_no_event(&h);
    harness_expect_all(&h, 1, 3, HARNESS_RAISE);
    harness_reply(&h, 2, ":30950\r\n");
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
}

/* A compare of a SET that was lost is under way when the others are a quorum: its answer counts for
 * the lease; or, where an extend begins meanwhile, the extend's own follows. */
static void test_node_lock_late_compare_counts(void **state)
{
    unsigned extends;

    (void)state;
    for (extends = 0; extends < 2; extends++) {
        rlk_lock lock;

        harness_start(&h, 3);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_expect_all(&h, 0, 3, HARNESS_SET);
        harness_cut(&h, 2);
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        (void)harness_expect(&h, 2, HARNESS_RAISE);
        harness_reply_all(&h, 0, 2, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        if (extends == 1)
            assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
        harness_reply(&h, 2, ":30000\r\n");
        assert_true(rlk_is_held(&lock));
        if (extends == 0) {
            harness_expect_quiet(&h, 3);
            continue;
        }
        harness_expect_no_event(&h);
        harness_reply(&h, 2, ":30950\r\n");
        harness_reply(&h, 0, ":30950\r\n");
        harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    }
}

/* An undo of another round's token that is answered "deleted" says nothing of the token that is
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
    harness_reply(&h, 2, HARNESS_OK); /* to the SET of the first round, */
    harness_reply(&h, 2, ":1\r\n");   /* and to its undo */
    harness_expect_no_event(&h);      /* one of three, not two */
    harness_reply(&h, 1, ":0\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
}

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

/* A lock that waits, and knows it. */
static void await(rlk_lock *lock)
{
    rlk_lock_config config = slow_retry(false);

    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
}

/* Answers the oldest command, and no more. */
static void answer_one(void)
{
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_true(harness_deliver(harness_link_of(&h, 0)));
    harness_run(&h);
}

/* ... and is lost with its stream: nothing is told, and nobody waits for it. */
static void test_node_lock_abandoned_del_is_lost(void **state)
{
    rlk_lock lock;

    (void)state;
    start();
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
}

/* A second force_release has a DEL of its own. */
static void test_node_lock_abandoned_del_is_no_answer_to_the_next(void **state)
{
    rlk_lock lock;

    (void)state;
    start();
    harness_lock(&h, &lock, TTL);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_DEL);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_UNKNOWN);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_DEL], 2);
    answer_one();
    harness_expect_no_event(&h);
    answer_one();
    harness_expect_result(&h, RLK_OP_FORCE_RELEASE, RLK_OK);
}

/* A waiter whose own old release is repeated while it yields to other processes: it goes on
 * yielding when that is answered. */
static void test_node_lock_abandoned_release_of_a_yielding_waiter(void **state)
{
    rlk_lock first;
    rlk_lock second;
    rlk_lock waiter;
    rlk_event event;
    int64_t yields_ms;

    (void)state;
    start();
    take(&waiter, false);
    assert_result(rlk_release_start(&waiter), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF); /* repeated in 400 ms at the earliest */
    assert_result(rlk_cancel(&waiter), RLK_OK);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_UNKNOWN);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    take(&first, false);
    await(&second);
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
    assert_between(h.now_ms - yields_ms, 150 + 400, 150 + 500); /* it begins again */
}

/* ... whose undo finds what stood in its way: it is there at once. */
static void test_node_lock_abandoned_release_of_the_waiter(void **state)
{
    rlk_lock lock;

    (void)state;
    start();
    take(&lock, false);
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
