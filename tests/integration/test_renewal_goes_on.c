/* SPDX-License-Identifier: MIT
 *
 * A lease that is renewed again and again by auto_renew (rule 7): in a loop, by whatever else a
 * program calls, and by servers that forget the script. By rlk_keep_alive:
 * test_renewal_by_keep_alive.c.
 */
#include "renewal.h"

#define TERMS 3 /* TTLs that it goes on for */

static void goes_on(size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    char token[RLK_TOKEN_MAX + 1];
    unsigned renewed = 0;
    int64_t until;
    int scripts;

    start(count, &config);
    strcpy(token, token_of(&lock));
    scripts = proxied_count(&world, "EVALSHA");
    until = support_now_ms() + TERMS * config.ttl_ms;
    while (support_now_ms() < until) {
        rlk_event event;

        if (loop_next_event(client(), &event, config.ttl_ms / 30)) {
            assert_int_equal(event.type, RLK_EV_RENEWED);
            assert_result(event.result, RLK_OK);
            assert_int_equal(event.operation, RLK_OP_NONE);
            assert_ptr_equal(event.lock, &lock);
            assert_between(rlk_remaining_ms(&lock), config.ttl_ms / 3, config.ttl_ms);
            renewed++;
        }
        assert_true(rlk_is_held(&lock));
        assert_int_equal(rlk_lock_operation(&lock), RLK_OP_NONE); /* nobody called for one */
        assert_true(proxied_holding(&world, KEY, token) >= client()->client.quorum);
    }
    /* when a third of the TTL has passed, less the drift: 9 of them, and perhaps one more */
    assert_between(renewed, 2 * TERMS, 3 * TERMS + 2);
    proxied_calm(&world);
    scripts = proxied_count(&world, "EVALSHA") - scripts;
    assert_between(scripts, renewed * client()->client.quorum, (renewed + 2) * count);
    assert_int_equal(proxied_count(&world, "SET"), count); /* raised, never created again */
    assert_int_equal(proxied_accepted(&world), count);
    assert_between(rlk_held_ms(&lock), TERMS * config.ttl_ms, (TERMS + 2) * config.ttl_ms);
    assert_result(rlk_release(&lock), RLK_OK);
    loop_quiet(client(), config.ttl_ms / 2); /* and nothing renews what was released */
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
    stop();
}

static void test_renewal_keeps_a_short_lease_for_long(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        goes_on(sizes[i]);
}

/* A program that calls for other things all the time is renewed for, too: by whatever it calls. */
static void test_renewal_among_other_calls(void **state)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    rlk_lock other;
    rlk_holder holder;
    int64_t until;

    (void)state;
    start(1, &config);
    assert_result(rlk_lock_init(&other, &client()->client, "other", NULL), RLK_OK);
    until = support_now_ms() + 2 * config.ttl_ms;
    while (support_now_ms() < until) {
        assert_result(rlk_acquire(&other, RLK_TRY), RLK_OK);
        assert_result(rlk_check(&lock), RLK_OK);
        assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
        assert_true(holder.ours);
        assert_result(rlk_release(&other), RLK_OK);
        assert_true(rlk_is_held(&lock));
    }
    assert_event(client(), RLK_EV_RENEWED, RLK_OK); /* of many that nobody pulled, the last */
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_lock_close(&other), RLK_OK);
    stop();
}

static void forget_scripts(server *redis)
{
    server_do(redis, "SCRIPT FLUSH");
}

/* Faults 7 and 8: the server forgets the script before each renewal. */
static void test_fault_07_08_renewals_without_their_script(void **state)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    int round;

    (void)state;
    start(3, &config);
    for (round = 0; round < 4; round++) {
        nodes_each(&world.set, forget_scripts);
        assert_event(client(), RLK_EV_RENEWED, RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_true(rlk_remaining_ms(&lock) > config.ttl_ms / 2);
    }
    nodes_each(&world.set, forget_scripts);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_renewal_keeps_a_short_lease_for_long),
        support_test(test_renewal_among_other_calls),
        support_test(test_fault_07_08_renewals_without_their_script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
