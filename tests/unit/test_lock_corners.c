/* SPDX-License-Identifier: MIT
 *
 * Corners of the lock room: full buffers, environments without fork check, refusals to the end.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

static bench b;

/* More locks than the ring and the buffer have room for: full only delays. */
static void test_lock_corners_more_locks_than_room(void **state)
{
    rlk_lock locks[40];
    char keys[40][8];
    rlk_event event;
    size_t i;
    (void)state;
    bench_start(&b, 1);
    for (i = 0; i < 40; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%zu", i);
        assert_result(rlk_lock_init(&locks[i], b.client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], RLK_TRY), RLK_PENDING);
    }
    for (i = 0; i < 40; i++) {
        assert_string_equal(bench_expect(&b, 0, BENCH_SET)->key, keys[i]);
        bench_reply(&b, 0, BENCH_OK);
        assert_true(rlk_client_next_event(b.client, &event));
        assert_ptr_equal(event.lock, &locks[i]);
        assert_int_equal(event.type, RLK_EV_ACQUIRED);
    }
    bench_expect_quiet(&b, 0);
}

static void test_lock_corners_no_fork_check(void **state)
{
    rlk_lock lock;
    (void)state;
    bench_start_automatic(&b, 1);
    b.client->env.same_process = NULL;
    bench_lock(&b, &lock, 3000);
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
        bench_start(&b, n);
        bench_held(&b, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        for (node = 0; node < n; node++) {
            b.servers[node].fails = BENCH_READONLY;
            b.servers[node].automatic = true;
        }
        assert_false(bench_next_event(&b, &event, RLK_OPERATION_MS - 1));
        assert_true(bench_next_event(&b, &event, 1));
        assert_result(event.result, RLK_E_READONLY);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    }
}

/* A final error of one node of three is none of the acquire's. */
static void test_lock_corners_final_error_of_one_node(void **state)
{
    rlk_lock lock;
    (void)state;
    bench_start(&b, 3);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    bench_reply(&b, 1, BENCH_NIL);
    bench_reply(&b, 0, BENCH_NOPERM);
    bench_expect_event(&b, RLK_EV_BUSY, RLK_BUSY);
}

/* A streamed string, whose length is not known, is no token. */
static void test_lock_corners_query_of_a_streamed_string(void **state)
{
    rlk_lock lock;
    rlk_holder holders[1];
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_PENDING);
    bench_reply(&b, 0, "$?\r\n;1\r\nx\r\n;0\r\n");
    bench_expect_event(&b, RLK_EV_FAILED, RLK_E_UNEXPECTED);
}

static void test_lock_corners_nothing_given(void **state)
{
    (void)state;
    assert_true(rlk_client_deadline(NULL) == RLK_NEVER);
    rlk_client_tick(NULL);
    assert_result(rlk_acquire_start(NULL, RLK_TRY), RLK_E_ARGUMENT);
    assert_result(rlk_lock_close(NULL), RLK_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_corners_more_locks_than_room),
        cmocka_unit_test(test_lock_corners_no_fork_check),
        cmocka_unit_test(test_lock_corners_release_refused_to_the_deadline),
        cmocka_unit_test(test_lock_corners_final_error_of_one_node),
        cmocka_unit_test(test_lock_corners_query_of_a_streamed_string),
        cmocka_unit_test(test_lock_corners_nothing_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
