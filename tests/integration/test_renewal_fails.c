/* SPDX-License-Identifier: MIT
 *
 * Renewals on real servers (rule 7): by auto_renew in a loop and by rlk_keep between blocking
 * calls, for many TTLs; where they can't be had, and where they are refused; and what they never
 * do: shorten a lease, or outlast the cap of the hold time.
 */
#include "outage.h"

#include <string.h>

#define KEY "foobar"

static proxied world;
static rlk_lock lock;

static const size_t sizes[] = {1, 3};

static rlk_client *client(void)
{
    return &world.set.client;
}

/* A client with a lock that is held on all nodes. */
static void start_with(size_t count, const rlk_lock_config *config, const rlk_options *options)
{
    proxied_start(&world, count, false, NULL, options);
    proxied_lock_init(&world, &lock, KEY, config);
    proxied_acquire(&world, &lock, KEY);
}

static void start(size_t count, const rlk_lock_config *config)
{
    start_with(count, config, NULL);
}

static void stop(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
    support_teardown(NULL);
}

/* The next event, which is not the result of an operation. */
static rlk_event next_event(void)
{
    rlk_event event;
    if (!loop_next_event(client(), &event, scaled(10000)))
        support_fail("no event came");
    assert_ptr_equal(event.lock, &lock);
    assert_int_equal(event.operation, RLK_OP_NONE);
    return event;
}

/* ---- It goes on and on ---- */

#define SHORT_TTL_MS 600

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
    until = support_now_ms() + 5 * config.ttl_ms;
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
        assert_true(proxied_holding(&world, KEY, token) >= client()->quorum);
    }
    /* when a third of the TTL has passed, less the drift: 15 of them, and perhaps one more */
    assert_between(renewed, 10, 17);
    proxied_calm(&world);
    scripts = proxied_count(&world, "EVALSHA") - scripts;
    assert_between(scripts, renewed * client()->quorum, (renewed + 2) * count);
    assert_int_equal(proxied_count(&world, "SET"), count); /* raised, never created again */
    assert_int_equal(proxied_accepted(&world), count);
    assert_between(rlk_held_ms(&lock), 5 * config.ttl_ms, 7 * config.ttl_ms);
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

static void keep_goes_on(size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    char token[RLK_TOKEN_MAX + 1];
    int64_t until;
    int scripts;
    config.auto_renew = false;
    start(count, &config);
    strcpy(token, token_of(&lock));
    scripts = proxied_count(&world, "EVALSHA");
    until = support_now_ms() + 5 * config.ttl_ms;
    while (support_now_ms() < until) {
        assert_result(rlk_keep(&lock), RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_true(proxied_holding(&world, KEY, token) >= client()->quorum);
        support_sleep_ms(config.ttl_ms / 60);
    }
    proxied_calm(&world);
    /* when due, and not at each call */
    scripts = proxied_count(&world, "EVALSHA") - scripts;
    assert_between(scripts, 10 * (int)client()->quorum, 18 * (int)count);
    assert_int_equal(proxied_count(&world, "SET"), count);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_keep(&lock), RLK_NOT_HELD);
    stop();
}

static void test_renewal_by_keep_goes_on_for_long(void **state)
{
    (void)state;
    keep_goes_on(3);
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
    assert_result(rlk_lock_init(&other, client(), "other", NULL), RLK_OK);
    until = support_now_ms() + 3 * config.ttl_ms;
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

/* ---- It can't be had ---- */

static void forget_scripts(server *redis)
{
    server_do(redis, "SCRIPT FLUSH");
}

static const outage *const outages[] = {&outage_stopped, &outage_swallowed, &outage_refused};

static void begin(const outage *what)
{
    outage_begin(what, &world, 0, world.set.count);
}

static void end(const outage *what)
{
    outage_end(what, &world, 0, world.set.count);
}

/* Is still held, and was told so; and at its own deadline lost, without the network. */
static void lost_in_an_outage(const outage *what, size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    int64_t start_ms;
    int64_t left_ms;
    unsigned unknown = 0;
    rlk_event event;
    start(count, &config);
    begin(what);
    left_ms = rlk_remaining_ms(&lock);
    start_ms = support_now_ms();
    for (event = next_event(); event.type != RLK_EV_LOST; event = next_event()) {
        if (event.type == RLK_EV_RENEWED) /* was under way */
            support_fail("%s: renewed after %lld ms", what->name,
                         (long long)(support_now_ms() - start_ms));
        assert_int_equal(event.type, RLK_EV_RENEW_UNKNOWN);
        assert_true(event.result == RLK_UNKNOWN ||
                    rlk_result_class(event.result) == RLK_KIND_TRANSPORT);
        assert_between(support_now_ms() - start_ms, config.ttl_ms / 6, left_ms + scaled(100));
        unknown++;
    }
    assert_true(unknown >= 1);
    assert_result(event.result, RLK_LOST);
    assert_between(support_now_ms() - start_ms, left_ms - 1, left_ms + scaled(150));
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    end(what);
    /* what is left of it is cleaned up, and it is as good as new */
    serve_until(client(), proxied_holding(&world, KEY, NULL) == 0);
    loop_quiet(client(), config.ttl_ms / 2);
    assert_result(rlk_acquire(&lock, scaled(5000)), RLK_OK);
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_renewal_unknown_then_lost_without_the_network(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(outages) * COUNT_OF(sizes); i++)
        lost_in_an_outage(outages[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)]);
}

/* The outage ends before the lease does: tried again soon, and renewed. */
static void renewed_after_an_outage(const outage *what, size_t count)
{
    rlk_lock_config config = config_renewing(1500);
    rlk_event event;
    int64_t ended_ms;
    config.node_ms = scaled(150);
    start(count, &config);
    begin(what);
    event = next_event();
    assert_int_equal(event.type, RLK_EV_RENEW_UNKNOWN);
    assert_true(rlk_is_held(&lock));
    end(what);
    ended_ms = support_now_ms();
    do
        event = next_event();
    while (event.type == RLK_EV_RENEW_UNKNOWN); /* the try that was under way */
    assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_between(support_now_ms() - ended_ms, 0, scaled(1000)); /* not when due again */
    assert_between(rlk_remaining_ms(&lock), config.ttl_ms / 2, config.ttl_ms);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_renewal_unknown_then_renewed(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(outages) * COUNT_OF(sizes); i++)
        renewed_after_an_outage(outages[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)]);
}

/* The servers renew, and nobody hears of it: the key lives, the lease does not. */
static void test_fault_36_renewals_that_nobody_hears_of(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        lost_in_an_outage(&outage_unheard, sizes[i]);
        renewed_after_an_outage(&outage_unheard, sizes[i]);
    }
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

/* rlk_keep in an outage: OK while the lease lasts, and takes at most the time of one try. */
static void test_renewal_by_keep_in_an_outage(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(outages); i++) {
        rlk_lock_config config = config_renewing(900);
        rlk_result result;
        int64_t start_ms;
        int64_t left_ms;
        config.auto_renew = false;
        start(sizes[i % COUNT_OF(sizes)], &config);
        begin(outages[i]);
        left_ms = rlk_remaining_ms(&lock);
        start_ms = support_now_ms();
        do {
            int64_t before_ms = support_now_ms();
            result = rlk_keep(&lock);
            assert_between(support_now_ms() - before_ms, 0, config.ttl_ms / 3 + scaled(150));
            support_sleep_ms(5);
        } while (result == RLK_OK);
        assert_result(result, RLK_LOST);
        assert_between(support_now_ms() - start_ms, left_ms - 1, left_ms + scaled(150));
        end(outages[i]);
        serve_until(client(), proxied_holding(&world, KEY, NULL) == 0);
        stop();
    }
}

/* ---- It is refused ---- */

/* Where pushes come, a change is heard of before the next renewal (test_loss_notified.c): here
 * there are none. */
static const rlk_options *deaf(void)
{
    static rlk_options options;
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
    start_with(count, &config, deaf());
    sets = proxied_count(&world, "SET");
    nodes_each(&world.set, act);
    start_ms = support_now_ms();
    event = next_event();
    assert_int_equal(event.type, RLK_EV_RENEW_REFUSED);
    assert_result(event.result, why);
    assert_false(rlk_is_held(&lock));
    event = next_event();
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result(event.result, RLK_LOST);
    assert_between(support_now_ms() - start_ms, 1, config.ttl_ms / 3 + scaled(150));
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
        config.node_ms = scaled(150);
        start(3, &config);
        nodes_each(&world.set, cases[i].spoil);
        event = next_event();
        assert_int_equal(event.type, RLK_EV_RENEW_UNKNOWN);
        if (event.result != RLK_UNKNOWN) /* a try was under way when the time was over */
            assert_result(event.result, cases[i].why);
        assert_true(rlk_is_held(&lock));
        nodes_each(&world.set, cases[i].mend);
        do
            event = next_event();
        while (event.type == RLK_EV_RENEW_UNKNOWN);
        assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_between(rlk_remaining_ms(&lock), config.ttl_ms / 2, config.ttl_ms);
        assert_result(rlk_release(&lock), RLK_OK);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_renewal_keeps_a_short_lease_for_long),
        support_test(test_renewal_by_keep_goes_on_for_long),
        support_test(test_renewal_among_other_calls),
        support_test(test_renewal_unknown_then_lost_without_the_network),
        support_test(test_renewal_unknown_then_renewed),
        support_test(test_fault_36_renewals_that_nobody_hears_of),
        support_test(test_fault_07_08_renewals_without_their_script),
        support_test(test_renewal_by_keep_in_an_outage),
        support_test(test_renewal_refused_then_lost),
        support_test(test_renewal_by_a_server_that_does_not_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
