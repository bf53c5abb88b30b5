/* SPDX-License-Identifier: MIT
 *
 * Names that mean a demoted server for a while (fault 92), or several servers, of which one is the
 * primary, or none (fault 93).
 */
#include "failover.h"

/* A time that is enough for two rounds of all addresses. */
#define LONG_MS (3 * RLK_CONDEMN_MS)

/* ---- A name that moves late ---- */

/* Until then, no storm of connections, and the errors are reported. */
static void test_fault_92_name_that_moves_late(void **state)
{
    int64_t before;
    int64_t begun;

    (void)state;
    pair_start();
    open_name(NULL);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    fail_over();
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_READONLY);
    assert_contains(rlk_lock_error(&lock), "the server said: READONLY");
    assert_result(rlk_acquire(&lock, 500), RLK_E_READONLY);
    before = connections(primary);
    begun = support_now_ms();
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&set.posix, RLK_CONDEMN_MS);
    assert_between(connections(primary) - before, 0,
                   1 + (support_now_ms() - begun) / RLK_CONDEMN_MS);
    name_means(replica, NULL);
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_at(replica, &lock);
    close_all();
}

/* ---- Several addresses ---- */

/* The first is a replica: the next, at the very first call. */
static void test_fault_93_first_address_is_a_replica(void **state)
{
    static const int64_t waits[] = {RLK_TRY, 5000};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(waits); i++) {
        pair_start();
        name_means(replica, primary);
        open_name(NULL);
        assert_result(rlk_acquire(&lock, waits[i]), RLK_OK);
        assert_at(primary, &lock);
        assert_result(rlk_release(&lock), RLK_OK);
        /* and back, when they change places */
        fail_over();
        assert_result(rlk_acquire(&lock, LONG_MS), RLK_OK);
        assert_at(replica, &lock);
        assert_result(rlk_release(&lock), RLK_OK);
        close_all();
        support_teardown(NULL);
    }
}

/* In a loop, held and waiting; both change places. */
static void test_fault_93_both_addresses_in_a_loop(void **state)
{
    rlk_lock_config config = config_renewing(10000);
    rlk_lock waiter;
    rlk_event event;

    (void)state;
    pair_start();
    name_means(replica, primary);
    open_name(NULL);
    rlk_lock_close(&lock);
    assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_lock_init(&waiter, &set.posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_at(primary, &lock);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&set.posix, 50);
    fail_over();
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    do
        assert_true(loop_next_event(&set.posix, &event, scaled(10000)));
    while (event.type == RLK_EV_RENEWED || support_renewal_unknown(&event));
    assert_end(&event, RLK_OP_RELEASE, RLK_OK);
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_at(replica, &waiter);
    rlk_lock_close(&waiter);
    close_all();
}

/* Both are replicas: each is asked once in a round, and the error says what they are. */
static void test_fault_93_no_primary(void **state)
{
    int64_t before;

    (void)state;
    pair_start();
    server_do(primary, "REPLICAOF 127.0.0.1 1");
    name_means(replica, primary);
    open_name(NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_READONLY);
    before = connections(primary) + connections(replica);
    assert_result(rlk_acquire(&lock, 1000), RLK_E_READONLY);
    assert_between(connections(primary) + connections(replica) - before, 0, 4);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&set.posix, 50);
    server_do(primary, "REPLICAOF NO ONE");
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_at(primary, &lock);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_92_name_that_moves_late),
        support_test(test_fault_93_first_address_is_a_replica),
        support_test(test_fault_93_both_addresses_in_a_loop),
        support_test(test_fault_93_no_primary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
