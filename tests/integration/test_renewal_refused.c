/* SPDX-License-Identifier: MIT
 *
 * Renewals that are refused: the key is gone, or another's; or the server does not write, for now.
 */
#include "renewal.h"

/* Where pushes come, a change is known before the next renewal (test_loss_notified.c): here there
 * are none. */
static const rlk_posix_options *deaf(void)
{
    static rlk_posix_options options;

    options = proxied_options();
    options.no_tracking = true;
    return &options;
}

static void take_away(server *redis)
{
    assert_int_equal(server_integer(redis, "DEL " KEY), 1);
}

static void overwrite(server *redis)
{
    server_do(redis, "SET " KEY " stranger PX 60000");
}

static void put_a_list_there(server *redis)
{
    assert_int_equal(server_integer(redis, "LPUSH other stranger"), 1);
    server_do(redis, "RENAME other " KEY);
}

static void refused(void (*act)(server *redis), rlk_result why, size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    rlk_event event;
    int64_t start_ms;
    int sets;

    start_with(count, NULL, &config, deaf());
    sets = proxied_count(&world, "SET");
    nodes_each(&world.set, act);
    start_ms = support_now_ms();
    event = next_event();
    assert_true(support_renewal_refused(&event));
    assert_result(event.result, why);
    assert_false(rlk_is_held(&lock));
    event = next_event();
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result(event.result, RLK_LOST);
    assert_between(support_now_ms() - start_ms, 1, config.ttl_ms / 3 + scaled(300));
    loop_quiet(client(), config.ttl_ms / 2); /* once, and that's that */
    assert_int_equal(proxied_count(&world, "SET"), sets);
    assert_result(rlk_release(&lock), RLK_LOST);
    if (act == overwrite)
        assert_int_equal(proxied_holding(&world, KEY, "stranger"), count);
    else if (act == put_a_list_there)
        assert_int_equal(server_integer(world.set.servers[0], "LLEN " KEY), 1);
    else
        assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
    stop();
}

static void test_renewal_refused_then_lost(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        refused(take_away, RLK_NOT_OWNER, sizes[i]);
        refused(overwrite, RLK_NOT_OWNER, sizes[i]);
        refused(put_a_list_there, RLK_E_WRONGTYPE, sizes[i]);
    }
}

/* Faults 2 and 14 of a renewal: a server that doesn't write has said nothing about the key. It is
 * held, tried again, and renewed when the server writes again. */
static void demote(server *redis)
{
    server_do(redis, "REPLICAOF 127.0.0.1 1"); /* nobody listens there: the data stays */
}

static void promote(server *redis)
{
    server_do(redis, "REPLICAOF NO ONE");
}

static void want_replicas(server *redis)
{
    server_do(redis, "CONFIG SET min-replicas-to-write 1");
}

static void want_none(server *redis)
{
    server_do(redis, "CONFIG SET min-replicas-to-write 0");
}

static void test_renewal_by_a_server_that_does_not_write(void **state)
{
    static const struct {
        void (*spoil)(server *redis);
        void (*mend)(server *redis);
        rlk_result why;
    } cases[] = {
        {demote, promote, RLK_E_READONLY},
        {want_replicas, want_none, RLK_E_NOREPLICAS},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock_config config = config_renewing(1500);
        rlk_event event;

        config.node_timeout_ms = scaled(150);
        start(3, &config);
        nodes_each(&world.set, cases[i].spoil);
        event = next_event();
        assert_true(support_renewal_unknown(&event));
        if (event.result != RLK_UNKNOWN) /* a try was under way when the time was over */
            assert_result(event.result, cases[i].why);
        assert_true(rlk_is_held(&lock));
        nodes_each(&world.set, cases[i].mend);
        do
            event = next_event();
        while (support_renewal_unknown(&event));
        assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_between(rlk_remaining_ms(&lock), config.ttl_ms / 2, config.ttl_ms);
        assert_result(rlk_release(&lock), RLK_OK);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_renewal_refused_then_lost),
        support_test(test_renewal_by_a_server_that_does_not_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
