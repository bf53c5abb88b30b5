/* SPDX-License-Identifier: MIT
 *
 * Thirty waiters on three nodes (fault 82, rule 10): an attempt costs others theirs, so it begins
 * only when a quorum of nodes has come free, as far as is known. After a notification a PTTL probes
 * the node first.
 */
#include "crowd.h"

#include <string.h>

#define NODES      3
#define WAITERS    30
#define RECHECK_MS 60000
#define HELD_MS    600000
/* Bounded by wake-ups and pauses of at most 250 ms; not by the recheck. */
#define SOON_MS (INT64_C(4000) * support_time_factor())

static nodes set; /* the servers, and the holder's client */
static rlk_lock held;
static crowd many;

static void begin(int64_t recheck_max_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = HELD_MS;
    config.watch_after_ms = config_unwatched.watch_after_ms;
    nodes_start(&set, NODES, NULL, NULL);
    assert_result(rlk_lock_init(&held, &set.posix.client, "foobar", &config), RLK_OK);
    config = rlk_lock_config_default();
    config.recheck_max_ms = recheck_max_ms;
    crowd_open(&many, WAITERS, set.servers, NODES, NULL, "foobar", &config);
}

static void end(void)
{
    crowd_close(&many);
    nodes_close(&set);
}

static void hold_on_all(void)
{
    rlk_holder holders[NODES];

    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    while (nodes_holding(&set, "foobar", NULL) < NODES)
        loop_quiet(&set.posix, 1);
    /* and the holder has all answers: a query is answered behind the SET */
    assert_result(rlk_query(&held, holders, NODES), RLK_OK);
}

/* The third has lost it: it is free there, and the holder was notified of that. */
static void hold_on_two(void)
{
    hold_on_all();
    assert_int_equal(server_integer(set.servers[2], "DEL foobar"), 1);
    assert_result(rlk_check(&held), RLK_OK);
}

/* Everybody had an attempt, and the pause after it. */
static void wait_behind_the_holder(void)
{
    crowd_wait(&many);
    crowd_serve(&many, RLK_RETRY_MAX_MS + RLK_RETRY_MIN_MS);
    crowd_calm(&many);
    assert_int_equal(many.holding, 0);
}

static crowd_count since(crowd_count before)
{
    crowd_count now = crowd_calls(&many);

    now.sets -= before.sets;
    now.pttls -= before.pttls;
    now.scripts -= before.scripts;
    return now;
}

/* ---- Held on two ---- */

static void test_fault_82_nothing_without_a_cause(void **state)
{
    const crowd_count none = {0, 0, 0};
    crowd_count before;
    crowd_count after;

    (void)state;
    begin(RECHECK_MS);
    hold_on_two();
    before = crowd_calls(&many);
    wait_behind_the_holder();
    after = since(before);
    /* one attempt each, and its undo */
    assert_int_equal(crowd_stats(&many).attempts, WAITERS);
    assert_between(after.sets, 2 * WAITERS, NODES * WAITERS);
    assert_between(after.scripts, 0, 2 * NODES * WAITERS); /* one of each handshake */
    before = crowd_calls(&many);
    crowd_serve(&many, 1000);
    after = since(before);
    assert_memory_equal(&after, &none, sizeof none);
    assert_int_equal(crowd_stats(&many).attempts, WAITERS);
    end();
}

/* In a recheck interval, a random time from a fifth of recheck_max_ms on, each asks each node that
 * is not free for how long; that is no attempt. */
static void test_fault_82_no_attempt_in_a_recheck_interval(void **state)
{
    const int64_t recheck_max_ms = INT64_C(1000) * support_time_factor();
    crowd_count before;
    crowd_count after;
    int64_t start;
    int64_t time_ms;

    (void)state;
    begin(recheck_max_ms);
    hold_on_two();
    wait_behind_the_holder();
    before = crowd_calls(&many);
    start = support_now_ms();
    crowd_serve(&many, 3 * recheck_max_ms);
    time_ms = support_now_ms() - start;
    after = since(before);
    assert_int_equal(after.sets, 0);
    assert_int_equal(after.scripts, 0);
    assert_between(after.pttls, 2 * 2 * WAITERS, 2 * WAITERS * time_ms * 2 / recheck_max_ms);
    assert_int_equal(crowd_stats(&many).attempts, WAITERS);
    end();
}

static void test_fault_82_renewals(void **state)
{
    const int64_t renewals = 5;
    crowd_count before;
    crowd_count after;
    int64_t i;

    (void)state;
    begin(RECHECK_MS);
    hold_on_two();
    wait_behind_the_holder();
    for (i = 1; i <= renewals; i++) {
        before = crowd_calls(&many);
        assert_result(rlk_renew(&held, HELD_MS + 1000 * i), RLK_OK);
        crowd_until(&many, since(before).pttls >= 2 * (WAITERS + 2));

        crowd_calm(&many);
        after = since(before);
        assert_int_equal(after.sets, 0);
        assert_between(after.scripts, 2, 2 * NODES);      /* it still compares on the third */
        assert_int_equal(after.pttls, 2 * (WAITERS + 2)); /* two in each that raises */
    }
    assert_int_equal(many.holding, 0);
    end();
}

static void test_fault_82_released(void **state)
{
    crowd_count before;
    crowd_count after;
    int64_t start;

    (void)state;
    begin(RECHECK_MS);
    hold_on_two();
    wait_behind_the_holder();
    before = crowd_calls(&many);
    start = support_now_ms();
    assert_result(rlk_release(&held), RLK_OK);
    crowd_until(&many, many.holding == 1);

    assert_between(support_now_ms() - start, 0, SOON_MS);
    crowd_calm(&many);
    after = since(before);
    assert_int_equal(many.holding, 1);
    /* it came free on two, then others' SETs and undos: a PTTL of each waiter for each at most */
    assert_between(after.pttls, 2 * WAITERS, (2 + after.sets + after.scripts) * WAITERS);
    assert_between(after.sets, NODES, NODES * WAITERS); /* many less: they don't begin at once */
    end();
}

/* ---- Held on all ---- */

/* It came free at one: that is no reason for an attempt. At two it is. */
static void test_tracking_nodes_wake_at_one_is_no_attempt(void **state)
{
    crowd_count before;
    crowd_count after;
    int64_t start;

    (void)state;
    begin(RECHECK_MS);
    hold_on_all();
    wait_behind_the_holder();
    before = crowd_calls(&many);
    assert_int_equal(server_integer(set.servers[1], "DEL foobar"), 1);
    crowd_until(&many, since(before).pttls >= WAITERS);

    crowd_calm(&many);
    crowd_serve(&many, 500);
    after = since(before);
    assert_int_equal(after.sets, 0);
    assert_int_equal(after.pttls, WAITERS);
    assert_int_equal(many.holding, 0);
    start = support_now_ms();
    assert_int_equal(server_integer(set.servers[0], "DEL foobar"), 1);
    crowd_until(&many, many.holding == 1);

    assert_between(support_now_ms() - start, 0, SOON_MS);
    end();
}

/* A change at one node, again and again: a PTTL each, and no attempt. */
static void test_tracking_nodes_changes_at_one(void **state)
{
    const int64_t changes = 10;
    crowd_count before;
    crowd_count after;
    int64_t i;

    (void)state;
    begin(RECHECK_MS);
    hold_on_all();
    wait_behind_the_holder();
    before = crowd_calls(&many);
    for (i = 1; i <= changes; i++) {
        server_do(set.servers[1], "SET foobar %d PX 600000", (int)i);
        crowd_serve(&many, 20);
    }
    crowd_calm(&many);
    after = since(before);
    assert_int_equal(after.sets, changes);
    assert_between(after.pttls, WAITERS, WAITERS * changes + changes); /* the holder's checks */
    assert_int_equal(many.holding, 0);
    end();
}

/* ---- In turn ---- */

static void test_tracking_nodes_have_it_in_turn(void **state)
{
    rlk_stats stats;
    size_t i;

    (void)state;
    begin(RECHECK_MS);
    hold_on_all();
    wait_behind_the_holder();
    assert_result(rlk_release(&held), RLK_OK);
    for (i = 1; i <= WAITERS; i++) {
        int64_t start = support_now_ms();
        crowd_until(&many, crowd_stats(&many).acquired == i && many.holding == 1);

        assert_between(support_now_ms() - start, 0, SOON_MS);
        assert_result(rlk_release_start(&many.last->lock), RLK_PENDING);
    }
    crowd_until(&many, many.holding == 0);

    for (i = 0; i < WAITERS; i++)
        assert_int_equal(many.members[i].acquired, 1);
    stats = crowd_stats(&many);
    assert_int_equal(stats.causes[RLK_CAUSE_RECHECK], 0);
    /* the first round of each, a round for each that got it, and those that met another's at the
     * first node, and asked no other */
    assert_between(stats.attempts, 2 * WAITERS, WAITERS + WAITERS * (WAITERS + 1) / 2);
    assert_between(crowd_calls(&many).sets, 2 * NODES * WAITERS,
                   2 * NODES * WAITERS + stats.attempts + NODES);
    crowd_until(&many, nodes_holding(&set, "foobar", NULL) == 0); /* the slowest node too */

    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_82_nothing_without_a_cause),
        support_test(test_fault_82_no_attempt_in_a_recheck_interval),
        support_test(test_fault_82_renewals),
        support_test(test_fault_82_released),
        support_test(test_tracking_nodes_wake_at_one_is_no_attempt),
        support_test(test_tracking_nodes_changes_at_one),
        support_test(test_tracking_nodes_have_it_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
