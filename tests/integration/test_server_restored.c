/* SPDX-License-Identifier: MIT
 *
 * Servers that are restarted with older data than they had, under a lock that renews itself and one
 * that waits: what a restored key may not do (rule 8).
 */
#include "server_restarted.h"

/* ---- With older data ---- */

/* Fault 74: a shorter TTL is back. The lease is not longer than what is there; the renewal that is
 * due by that comes at once, and nothing is lost. */
static void older_ttl(size_t count)
{
    size_t i;

    start(count, 30000);
    rivals_hold(&both);
    for (i = 0; i < count; i++) /* what the snapshot has */
        assert_int_equal(server_integer(both.world.set.servers[i], "PEXPIRE " RIVALS_KEY " %d",
                                        (int)scaled(4000)),
                         1);
    nodes_each(&both.world.set, server_save);
    assert_result(rlk_extend(&both.lock, scaled(60000)), RLK_OK);
    proxied_calm(&both.world);
    assert_true(rlk_remaining_ms(&both.lock) > scaled(50000));
    {
        rlk_event event; /* of the touch */

        while (rlk_client_next_event(&client()->client, &event))
            assert_int_equal(event.type, RLK_EV_RENEWED);
    }
    restart(true);
    assert_true(rlk_is_held(&both.lock));
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_between(rlk_remaining_ms(&both.lock), scaled(20000),
                   scaled(30000)); /* not what it was */
    proxied_calm(&both.world);
    for (i = 0; i < client()->client.quorum; i++)
        assert_between(server_integer(both.world.set.servers[i], "PTTL " RIVALS_KEY), scaled(2000),
                       scaled(30000));
    assert_result(rlk_release(&both.lock), RLK_OK);
    rivals_close(&both);
}

static void test_fault_74_older_ttl_is_renewed_at_once(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        older_ttl(sizes[i]);
}

/* The snapshot has the key as it was when somebody else held it: LOST, and it is left alone. */
static void stranger_is_back(size_t count)
{
    size_t i;

    start(count, 30000);
    for (i = 0; i < count; i++)
        server_do(both.world.set.servers[i], "SET " RIVALS_KEY " stranger PX %d",
                  (int)scaled(60000));
    nodes_each(&both.world.set, server_save);
    for (i = 0; i < count; i++)
        assert_int_equal(server_integer(both.world.set.servers[i], "DEL " RIVALS_KEY), 1);
    rivals_hold(&both);
    begin_to_wait();
    restart(true);
    assert_event(client(), RLK_EV_LOST, RLK_LOST);
    assert_result(rlk_release(&both.lock), RLK_LOST);
    serve_until(&both.others.posix, is_asked(1));

    loop_quiet(&both.others.posix, 20); /* the waiter waits for him, then */
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, "stranger"), count);
    for (i = 0; i < count; i++)
        assert_int_equal(server_integer(both.world.set.servers[i], "DEL " RIVALS_KEY), 1);
    assert_event(&both.others.posix, RLK_EV_ACQUIRED, RLK_OK);
    rivals_close(&both);
}

static void test_loss_by_a_snapshot_of_another_holder(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        stranger_is_back(sizes[i]);
}

/* Fault 74: what was released is back. It blocks us and the others like anybody's, is renewed by
 * nobody, and when its TTL has passed the waiter has it: without a notification. */
static void released_is_back(size_t count)
{
    int64_t left_ms;
    int64_t start_ms;

    start(count, 1500);
    rivals_hold(&both);
    nodes_each(&both.world.set, server_save);
    assert_result(rlk_release(&both.lock), RLK_OK);
    proxied_calm(&both.world);
    restart(true);
    serve_until(client(), proxied_holding(&both.world, RIVALS_KEY, NULL) == count);

    left_ms = server_integer(both.world.set.servers[0], "PTTL " RIVALS_KEY);
    start_ms = support_now_ms();
    assert_between(left_ms, 1, scaled(1500));
    assert_false(rlk_is_held(&both.lock));
    begin_to_wait();
    loop_serve(client(), left_ms / 2);
    assert_int_equal(proxied_holding(&both.world, RIVALS_KEY, NULL), count);
    assert_event(&both.others.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start_ms, left_ms - scaled(100), left_ms + scaled(1000));
    assert_false(rlk_is_held(&both.lock));
    assert_result(rlk_release(&both.waiter), RLK_OK);
    rivals_close(&both);
}

static void test_fault_74_released_key_is_waited_for(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        released_is_back(sizes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_74_older_ttl_is_renewed_at_once),
        support_test(test_loss_by_a_snapshot_of_another_holder),
        support_test(test_fault_74_released_key_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
