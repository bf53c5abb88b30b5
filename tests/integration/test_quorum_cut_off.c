/* SPDX-License-Identifier: MIT
 *
 * Nodes of a quorum that are cut off, by the numbers of docs/correctness.md: dead, standing still,
 * or behind a network that swallows everything; before the client knew them, or after.
 */
#include "outage.h"

#include <string.h>

#define NODES 5

static proxied world;
static nodes other; /* past the proxies */
static rlk_lock lock;

static const outage *const ways[] = {&outage_emptied, &outage_stopped, &outage_swallowed};

static rlk_posix_options quick(void)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.connect_timeout_ms = 1000;
    options.response_timeout_ms = INT64_C(500) * support_time_factor();
    options.backoff_max_ms = 100;
    options.operation_timeout_ms = INT64_C(400) * support_time_factor();
    options.settle_timeout_ms = INT64_C(300) * support_time_factor();
    return options;
}

static void begin(int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_posix_options options = quick();

    proxied_start(&world, NODES, false, NULL, &options);
    nodes_open_again(&other, &world.set, NULL);
    config.ttl_ms = ttl_ms * support_time_factor();
    config.node_timeout_ms = INT64_C(150) * support_time_factor();
    assert_result(rlk_lock_init(&lock, &world.set.posix.client, "foobar", &config), RLK_OK);
}

/* All nodes are connected, and idle. */
static void connect_all(void)
{
    rlk_holder holders[NODES];

    assert_result(rlk_query(&lock, holders, NODES), RLK_NOT_HELD);
    nodes_connect(&world.set);
}

static void end(void)
{
    rlk_lock_close(&lock);
    nodes_close(&other);
    proxied_close(&world);
    support_teardown(NULL);
}

/* The lock leaves nothing behind: the client is served until no node has its key; a stranger then
 * gets it. */
static void assert_nothing_is_left(void)
{
    int64_t limit = support_now_ms() + INT64_C(10000) * support_time_factor();
    rlk_lock stranger;

    while (nodes_holding(&world.set, "foobar", NULL) > 0 && support_now_ms() < limit)
        loop_serve(&world.set.posix, 10);
    assert_int_equal(nodes_holding(&world.set, "foobar", NULL), 0);
    assert_result(rlk_lock_init(&stranger, &other.posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&stranger, 10000), RLK_OK);
    loop_serve(&world.set.posix, 50); /* nothing of the old one is under way any more */
    assert_result(rlk_check(&stranger), RLK_OK);
    assert_true(nodes_holding(&world.set, "foobar", NULL) > NODES / 2);
    assert_result(rlk_release(&stranger), RLK_OK);
    rlk_lock_close(&stranger);
}

/* ---- Two of five: a quorum is left -------------------------------------------------------- */

static void two_of_five(const outage *how, bool connected)
{
    rlk_holder holders[NODES];
    char token[RLK_TOKEN_MAX + 1];

    begin(RLK_TTL_MS);
    if (connected)
        connect_all();
    outage_begin(how, &world, 0, 2);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    assert_true(rlk_remaining_ms(&lock) > RLK_TTL_MS * support_time_factor());
    assert_result(rlk_renew(&lock, RLK_TTL_MAX), RLK_OK);
    assert_true(rlk_remaining_ms(&lock) > RLK_TTL_MAX / 2);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_query(&lock, holders, NODES), RLK_OK);
    assert_true(holders[NODES - 1].ours);
    assert_true(holders[0].result != RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_acquire(&lock, 5000), RLK_OK); /* and again, with stragglers about */
    rlk_lock_token(&lock, token, sizeof token);
    assert_string_equal(server_text(world.set.servers[NODES - 1], "GET foobar"), token);
    assert_result(rlk_release(&lock), RLK_OK);
    outage_end(how, &world, 0, 2);
    assert_nothing_is_left();
    end();
}

static void test_fault_37_two_of_five_cut_off_before_connecting(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++)
        two_of_five(ways[i], false);
}

static void test_fault_37_two_of_five_cut_off_when_connected(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++)
        two_of_five(ways[i], true);
}

/* Fault 37: two go while the lock is held. */
static void test_fault_37_two_of_five_cut_off_while_held(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++) {
        begin(RLK_TTL_MS);
        connect_all();
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        outage_begin(ways[i], &world, 0, 2);
        assert_result(rlk_extend(&lock, 10000), RLK_OK);
        assert_result(rlk_check(&lock), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        outage_end(ways[i], &world, 0, 2);
        assert_nothing_is_left();
        end();
    }
}

/* ---- Three of five: none is left ---------------------------------------------------------- */

static void assert_no_lock(rlk_result result)
{
    /* never OK, and never a holder that nobody has seen */
    if (result == RLK_OK || result == RLK_BUSY)
        support_fail("acquire is %s", rlk_result_name(result));
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
}

static void three_of_five(const outage *how, bool connected)
{
    int64_t budget = 300 + 700 * support_time_factor();
    int64_t start;

    begin(RLK_TTL_MS);
    if (connected)
        connect_all();
    outage_begin(how, &world, 0, 3);
    start = support_now_ms();
    assert_no_lock(rlk_acquire(&lock, 300));
    assert_between(support_now_ms() - start, 0, budget);
    /* on the nodes that can be asked it is undone, or about to be */
    wait_until((server_text(world.set.servers[3], "GET foobar") == NULL &&
                server_text(world.set.servers[4], "GET foobar") == NULL) ||
               (loop_serve(&world.set.posix, 1), false));

    start = support_now_ms();
    assert_no_lock(rlk_acquire(&lock, RLK_TRY));
    assert_between(support_now_ms() - start, 0, 3000 * support_time_factor());
    outage_end(how, &world, 0, 3);
    assert_nothing_is_left();
    assert_result(rlk_acquire(&lock, 10000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

static void test_fault_38_three_of_five_cut_off_before_connecting(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++)
        three_of_five(ways[i], false);
}

static void test_fault_38_three_of_five_cut_off_when_connected(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++)
        three_of_five(ways[i], true);
}

/* Fault 38 of one that is held: nothing can be confirmed; the old deadline stands, and is kept. */
static void test_fault_38_three_of_five_cut_off_while_held(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++) {
        int64_t left_ms;
        int64_t start;
        rlk_result result;

        begin(1200);
        connect_all();
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        outage_begin(ways[i], &world, 0, 3);
        left_ms = rlk_remaining_ms(&lock);
        start = support_now_ms();
        result = rlk_extend(&lock, 10000);
        assert_true(result == RLK_UNKNOWN || rlk_result_class(result) == RLK_KIND_TRANSPORT);
        assert_true(rlk_is_held(&lock));
        assert_between(support_now_ms() - start, 0, 800 * support_time_factor());
        assert_between(rlk_remaining_ms(&lock), 0, left_ms);
        loop_serve(&world.set.posix, rlk_remaining_ms(&lock) + 50);
        assert_false(rlk_is_held(&lock));
        assert_result(rlk_release(&lock), RLK_LOST);
        outage_end(ways[i], &world, 0, 3);
        assert_nothing_is_left();
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_37_two_of_five_cut_off_before_connecting),
        support_test(test_fault_37_two_of_five_cut_off_when_connected),
        support_test(test_fault_37_two_of_five_cut_off_while_held),
        support_test(test_fault_38_three_of_five_cut_off_before_connecting),
        support_test(test_fault_38_three_of_five_cut_off_when_connected),
        support_test(test_fault_38_three_of_five_cut_off_while_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
