/* SPDX-License-Identifier: MIT
 *
 * A SET whose reply was lost: what an acquire finds out about it, and what remains in doubt (rules
 * 4 and 5).
 */
#include "harness.h"

#include <stdio.h>

static harness h;

/* From now on the server sends no ids, so that none of its streams can be fenced. */
static void make_unfenced(unsigned node)
{
    h.servers[node].no_ids = true;
    harness_cut(&h, node);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
}

/* A lock whose SET is sent and not answered. Not `fenced`: when its stream ends, the SET may
 * execute at any time. */
static void send_set(rlk_lock *lock, bool fenced, int64_t wait_ms)
{
    harness_start(&h, 1);
    if (!fenced)
        make_unfenced(0);
    harness_lock(&h, lock, 30000);
    assert_result(rlk_acquire_start(lock, wait_ms), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
}

/* Fenced and found: the compare raises, and the lease counts from it. */
static void test_acquire_lost_set_fenced_and_found(void **state)
{
    rlk_lock lock;
    const harness_command *raise;
    int64_t t0_ms;

    (void)state;
    send_set(&lock, true, RLK_FOREVER);
    (void)harness_execute(harness_link_of(&h, 0));
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    raise = harness_expect(&h, 0, HARNESS_RAISE);
    assert_int_equal(raise->ms, 30000);
    t0_ms = raise->sent_ms;
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), t0_ms + 30000 - 303 - h.now_ms);
}

/* Fenced and not found: it was never executed. So the same token again, and nil means BUSY. */
static void test_acquire_lost_set_fenced_and_not_found(void **state)
{
    rlk_lock lock;
    rlk_event event;
    char token[RLK_TOKEN_MAX + 1];

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 1000), RLK_PENDING);
    (void)snprintf(token, sizeof token, "%s", harness_expect(&h, 0, HARNESS_SET)->token);
    harness_cut(&h, 0);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    assert_string_equal(harness_expect(&h, 0, HARNESS_SET)->token, token);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 1000));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* rule 5: "a nil while an earlier SET of the same token is unresolved is not BUSY" */
static void test_acquire_nil_while_an_earlier_set_is_unresolved(void **state)
{
    rlk_lock lock;

    (void)state;
    send_set(&lock, false, RLK_FOREVER);
    harness_cut(&h, 0);
    harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_true(harness_execute_loose(harness_link_of(&h, 0))); /* the first SET, late */
    (void)harness_execute(harness_link_of(&h, 0));
    assert_string_equal(harness_head(harness_link_of(&h, 0))->reply, HARNESS_NIL);
    (void)harness_deliver(harness_link_of(&h, 0));
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    /* found: the loose SET is used up, so the release is certain */
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
}

/* Another token has the key: the loose SET stays possible. UNKNOWN, and no other token of ours. */
static void test_acquire_nil_of_another_while_an_earlier_set_is_unresolved(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    send_set(&lock, false, 500);
    harness_cut(&h, 0);
    harness_put(&h, 0, HARNESS_KEY, "foreign", 1000);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_UNKNOWN);
}

/* A SET that is unanswered on the stream of the undo may be what the undo deletes. Then the loose
 * one of an earlier stream is still to come. */
static void test_acquire_loose_set_is_not_used_up_by_a_later_one(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    send_set(&lock, false, RLK_FOREVER);
    harness_cut(&h, 0);
    harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_cancel(&lock), RLK_OK); /* before its answer */
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 1);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_UNKNOWN);
    assert_true(harness_execute_loose(harness_link_of(&h, 0)));
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
}

/* The same with a second SET that was lost too, but fenced. */
static void test_acquire_loose_set_is_not_used_up_by_a_fenced_one(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    send_set(&lock, false, RLK_FOREVER);
    h.servers[0].no_ids = false;
    harness_cut(&h, 0);
    harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    (void)harness_expect(&h, 0, HARNESS_SET);
    (void)harness_execute(harness_link_of(&h, 0));
    harness_cut(&h, 0);
    harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
    assert_int_equal(h.servers[0].kills, 1);
    harness_serve(&h, 0); /* found: by the second */
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_UNKNOWN);
    assert_true(harness_execute_loose(harness_link_of(&h, 0)));
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
}

/* One attempt: a SET that was lost with a stream older than the call is compared on the next stream
 * (fault 115), if the first is fenced. After that it is undone before the result. */
static void test_acquire_once_and_lost(void **state)
{
    static const struct {
        const char *name;
        bool fenced;
        rlk_result expected;
    } rows[] = {{"fenced", true, RLK_E_EOF}, {"not fenced", false, RLK_UNKNOWN}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        send_set(&lock, rows[i].fenced, RLK_TRY);
        harness_cut(&h, 0);
        harness_expect_no_event(&h);
        harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
        if (rows[i].fenced) {
            (void)harness_expect(&h, 0, HARNESS_RAISE);
            harness_cut(&h, 0);
            harness_expect_no_event(&h);
            harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
        }
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_ACQUIRE, rows[i].expected);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    }
}

/* The driver received no byte of the SET: no orphan is possible. */
static void test_acquire_set_that_never_left(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    make_unfenced(0);
    harness_lock(&h, &lock, 30000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_expect_no_event(&h); /* the stream is older than the call */
    harness_advance(&h, 2 * RLK_BACKOFF_MIN_MS);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_CONNECT);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* After the settling time the result is UNKNOWN. The undo goes on after it, and ends. */
static void test_acquire_unsettled_is_unknown(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    send_set(&lock, true, 100);
    h.servers[0].mute = true;
    assert_false(harness_next_event(&h, &event, 100 + RLK_SETTLE_TIMEOUT_MS - 1));
    assert_true(harness_next_event(&h, &event, 1));
    assert_result(event.result, RLK_UNKNOWN);
    h.servers[0].mute = false;
    h.servers[0].automatic = true;
    harness_advance(&h, RLK_RESPONSE_TIMEOUT_MS + RLK_BACKOFF_MAX_MS + RLK_CONNECT_TIMEOUT_MS);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* More SETs that may still execute than the lock counts: the doubt stays. */
static void test_acquire_more_loose_sets_than_are_counted(void **state)
{
    static const rlk_lock_config config = {.ttl_ms = 1000000, .node_timeout_ms = 500000};
    rlk_lock lock;
    rlk_event event;
    unsigned i;

    (void)state;
    harness_start(&h, 1);
    h.servers[0].no_ids = true; /* nothing can be fenced */
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < 300; i++) {
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_cut(&h, 0);
        harness_link_of(&h, 0)->loose.len = 0; /* the harness has room for few */
        harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        harness_reply(&h, 0, HARNESS_NOT_OURS);
    }
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":0\r\n");
    assert_true(harness_next_event(&h, &event, RLK_SETTLE_TIMEOUT_MS));
    assert_result(event.result, RLK_UNKNOWN);
}

/* Held on a quorum when the minority answers nil: a loose SET of this lock may be the cause. The
 * lock does not compare. */
static void test_acquire_late_nil_beside_a_loose_set(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    h.servers[0].no_ids = true;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 0);
    harness_advance(&h, 2 * RLK_BACKOFF_MIN_MS);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_reply(&h, 1, HARNESS_OK);
    harness_reply(&h, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_expect_quiet(&h, 0);
    assert_true(rlk_is_held(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acquire_lost_set_fenced_and_found),
        cmocka_unit_test(test_acquire_lost_set_fenced_and_not_found),
        cmocka_unit_test(test_acquire_nil_while_an_earlier_set_is_unresolved),
        cmocka_unit_test(test_acquire_nil_of_another_while_an_earlier_set_is_unresolved),
        cmocka_unit_test(test_acquire_loose_set_is_not_used_up_by_a_later_one),
        cmocka_unit_test(test_acquire_loose_set_is_not_used_up_by_a_fenced_one),
        cmocka_unit_test(test_acquire_once_and_lost),
        cmocka_unit_test(test_acquire_set_that_never_left),
        cmocka_unit_test(test_acquire_unsettled_is_unknown),
        cmocka_unit_test(test_acquire_more_loose_sets_than_are_counted),
        cmocka_unit_test(test_acquire_late_nil_beside_a_loose_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
