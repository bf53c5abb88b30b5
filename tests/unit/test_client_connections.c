/* SPDX-License-Identifier: MIT
 *
 * Connections of a client: more locks than they have room for, and their end.
 */
#include "harness.h"

#include <stdio.h>

static harness h;

/* A connection that the caller closed does not come back: without a quorum of others each call
 * fails at once. */
static void test_client_connection_is_closed(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 30000);
    rlk_conn_close(&harness_link_of(&h, 0)->conn, h.now_ms);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_CLOSED);
    assert_result(rlk_force_release_start(&lock), RLK_E_CLOSED);
    assert_false(rlk_is_held(&lock));

    harness_start_automatic(&h, 3); /* a quorum is left */
    harness_lock(&h, &lock, 30000);
    rlk_conn_close(&harness_link_of(&h, 1)->conn, h.now_ms);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
}

/* More locks than the ring and the transmit buffer have room for: full buffers only delay. */
static void test_client_more_locks_than_ring_entries(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_connection_is_closed),
        cmocka_unit_test(test_client_more_locks_than_ring_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
