/* SPDX-License-Identifier: MIT
 *
 * rlk_client_close with operations in flight (client.c).
 */
#include "harness.h"

static harness h;

/* fault 50: the client goes with everything in flight */
static void test_client_close_with_operations_in_flight(void **state)
{
    rlk_lock locks[3];
    rlk_event event;

    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &locks[0], 30000);
    assert_result(rlk_lock_init(&locks[1], h.client, "x", NULL), RLK_OK);
    assert_result(rlk_lock_init(&locks[2], h.client, "y", NULL), RLK_OK);
    assert_result(rlk_renew_start(&locks[0], 40000), RLK_PENDING);
    assert_result(rlk_acquire_start(&locks[1], RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_result(rlk_acquire_start(&locks[2], RLK_FOREVER), RLK_PENDING);
    rlk_client_close(h.client);
    rlk_client_close(h.client);
    rlk_client_close(NULL);
    assert_false(rlk_client_next_event(h.client, &event));
    assert_false(rlk_is_held(&locks[0]));
    assert_result(rlk_release_start(&locks[0]), RLK_E_CLOSED);
    assert_result(rlk_lock_close(&locks[1]), RLK_E_CLOSED);
    assert_result(rlk_client_reset(h.client), RLK_E_CLOSED);
    assert_result(rlk_lock_init(&locks[2], h.client, "y", NULL), RLK_E_CLOSED);
    assert_true(rlk_client_deadline(h.client) == RLK_NEVER);
    rlk_client_tick(h.client);
    assert_int_equal(rlk_conn_get_state(&harness_link_of(&h, 0)->conn), RLK_CONN_CLOSED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_close_with_operations_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
