/* SPDX-License-Identifier: MIT
 *
 * Corners of the lock room: full buffers, environments without fork check, refusals to the end.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

/* More locks than the ring and the buffer have room for: full only delays. */
static void test_lock_corners_more_locks_than_room(void **state)
{
    rlk_lock locks[40];
    char keys[40][24];
    rlk_event event;
    int width;
    size_t i;
    (void)state;
    for (width = 2; width < 22; width++) { /* the buffer is full at one place or another */
        harness_start(&h, 1);
        for (i = 0; i < 40; i++) {
            (void)snprintf(keys[i], sizeof keys[i], "k%0*zu", width, i);
            assert_result(rlk_lock_init(&locks[i], h.client, keys[i], NULL), RLK_OK);
            assert_result(rlk_acquire_start(&locks[i], RLK_TRY), RLK_PENDING);
        }
        for (i = 0; i < 40; i++) {
            assert_string_equal(harness_expect(&h, 0, HARNESS_SET)->key, keys[i]);
            harness_reply(&h, 0, HARNESS_OK);
            assert_true(rlk_client_next_event(h.client, &event));
            assert_ptr_equal(event.lock, &locks[i]);
            assert_int_equal(event.type, RLK_EV_ACQUIRED);
        }
        harness_expect_quiet(&h, 0);
    }
}

/* More SETs that may still execute than the lock counts: the doubt stays, whatever comes. */
static void test_lock_corners_more_loose_sets_than_are_counted(void **state)
{
    static const rlk_lock_config long_try = {1000000, 0, 500000, 0,    0,    0,    0,
                                             0,       0, NULL,   NULL, NULL, false};
    rlk_lock lock;
    rlk_event event;
    unsigned i;
    (void)state;
    harness_start(&h, 1);
    h.servers[0].no_ids = true; /* nothing can be fenced */
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &long_try), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < 300; i++) {
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_cut(&h, 0);
        harness_link_of(&h, 0)->loose.len = 0; /* the test's own memory of them */
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        harness_reply(&h, 0, HARNESS_NOT_OURS);
    }
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":0\r\n");
    assert_true(harness_next_event(&h, &event, RLK_SETTLE_TIMEOUT_MS));
    assert_result(event.result, RLK_UNKNOWN);
}

/* Held by the others when the minority says nil: a loose SET of ours may be what is in its way, but
 * nobody asks. */
static void test_lock_corners_late_nil_beside_a_loose_set(void **state)
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

static void test_lock_corners_no_fork_check(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    h.client->env.same_process = NULL;
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
}

/* Refused until the deadline by every node that is open: the refusal, not UNKNOWN. */
static void test_lock_corners_release_refused_to_the_deadline(void **state)
{
    unsigned n;
    (void)state;
    for (n = 1; n <= 3; n += 2) {
        rlk_lock lock;
        rlk_event event;
        unsigned node;
        harness_start(&h, n);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        for (node = 0; node < n; node++) {
            h.servers[node].fails = HARNESS_MISCONF;
            h.servers[node].automatic = true;
        }
        assert_false(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS - 1));
        assert_true(harness_next_event(&h, &event, 1));
        assert_result(event.result, RLK_E_MISCONF);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    }
}

/* A final error of one node of three is none of the acquire's. */
static void test_lock_corners_final_error_of_one_node(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply(&h, 1, HARNESS_NIL);
    harness_reply(&h, 0, HARNESS_NOPERM);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_BUSY);
}

/* A streamed string, whose length is not known, is no token. */
static void test_lock_corners_query_of_a_streamed_string(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    harness_reply(&h, 0, "$?\r\n;1\r\nx\r\n;0\r\n");
    harness_expect_result(&h, RLK_OP_QUERY, RLK_E_UNEXPECTED);
}

static void test_lock_corners_nothing_given(void **state)
{
    (void)state;
    assert_true(rlk_client_deadline(NULL) == RLK_NEVER);
    rlk_client_tick(NULL);
    assert_result(rlk_acquire_start(NULL, RLK_TRY), RLK_E_ARGUMENT);
    assert_result(rlk_lock_close(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_keep_alive(NULL), RLK_E_ARGUMENT);
}

/* Questions to a lock that is no lock yet, or free. */
static void test_lock_corners_questions(void **state)
{
    rlk_lock lock;
    char token[RLK_TOKEN_MAX + 1];
    (void)state;
    memset(&lock, 0, sizeof lock);
    assert_false(rlk_is_held_at(NULL, HARNESS_START));
    assert_false(rlk_is_held_at(&lock, HARNESS_START));
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), 0);
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_false(rlk_is_held_at(&lock, HARNESS_START));
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), 0);
}

/* A driver tells that the stream has ended, and has not ticked yet: what is due is done at the next
 * tick, and is no deadline that stays in the past. */
static void test_lock_corners_stream_ends_before_the_tick(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF); /* again in a while */
    h.now_ms += RLK_RETRY_MAX_MS;
    harness_cut(&h, 0);
    assert_true(rlk_client_deadline(h.client) > h.now_ms);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MIN_MS + 1));
    assert_result(event.result, RLK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_corners_more_locks_than_room),
        cmocka_unit_test(test_lock_corners_no_fork_check),
        cmocka_unit_test(test_lock_corners_release_refused_to_the_deadline),
        cmocka_unit_test(test_lock_corners_final_error_of_one_node),
        cmocka_unit_test(test_lock_corners_query_of_a_streamed_string),
        cmocka_unit_test(test_lock_corners_more_loose_sets_than_are_counted),
        cmocka_unit_test(test_lock_corners_late_nil_beside_a_loose_set),
        cmocka_unit_test(test_lock_corners_nothing_given),
        cmocka_unit_test(test_lock_corners_questions),
        cmocka_unit_test(test_lock_corners_stream_ends_before_the_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
