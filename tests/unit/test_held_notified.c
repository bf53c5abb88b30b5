/* SPDX-License-Identifier: MIT
 *
 * A lock that is held, and the server notifies of its key: the lock compares at once, and believes
 * only the key itself (rule 7).
 */
#include "lock_tracked.h"

#include <string.h>

#define TTL 30000

#define DRIFT(ms) ((ms) / 100 + 3)

static harness h;
static int64_t held_ms;  /* when `hold` was done, */
static int64_t lease_ms; /* ... and what was left of the lease */

static void start(unsigned n)
{
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, n, 1);
}

static void take(rlk_lock *lock, const char *key, const rlk_lock_config *config)
{
    unsigned i;

    assert_result(rlk_lock_init(lock, h.client, key, config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    for (i = 0; i < h.nodes; i++)
        harness_serve(&h, i);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Held on n nodes, watched there, and all is answered. */
static void hold(rlk_lock *lock, unsigned n)
{
    rlk_lock_config config = rlk_lock_config_default();
    unsigned i;

    config.watch_after_ms = 1;
    start(n);
    take(lock, HARNESS_KEY, &config);
    tracked_watch(&h, 1);
    for (i = 0; i < n; i++)
        h.servers[i].count[HARNESS_CHECK] = 0;
    harness_expect_quiet(&h, n);
    held_ms = h.now_ms;
    lease_ms = rlk_remaining_ms(lock);
}

static void expect_lost(rlk_lock *lock)
{
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);
    assert_false(rlk_is_held(lock));
}

/* Fault 23, where the server tells: at once, though nobody asked. */
static void test_fault_23_deleted_key_is_noticed_at_once(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_advance(&h, 1234);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_true(rlk_is_held(&lock)); /* not believed before it is checked */
    harness_serve(&h, 0);
    expect_lost(&lock);
    assert_int_equal(h.now_ms, held_ms + 1234);
    harness_expect_quiet(&h, 0); /* there is nothing to undo */
    assert_result(rlk_release_start(&lock), RLK_LOST);
}

/* Fault 24: overwritten; what is there now is left alone. */
static void test_fault_24_overwritten_key_is_noticed_at_once(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    expect_lost(&lock);
    harness_advance(&h, 2 * TTL);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, FOREIGN), 1);
}

/* A type that no lock has. */
static void test_held_key_of_another_type(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->wrong_type = true;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    expect_lost(&lock);
}

/* Merely touched, or for nothing (faults 76, 85): it stays held, for as long as it was. */
static void test_held_notified_for_nothing(void **state)
{
    static const char *const keys[] = {HARNESS_KEY, NULL};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(keys); i++) {
        rlk_lock lock;
        unsigned push;

        hold(&lock, 1);
        for (push = 1; push < 4; push++) {
            harness_advance(&h, 100);
            harness_push(harness_link_of(&h, 0), keys[i]);
            (void)harness_expect(&h, 0, HARNESS_CHECK);
            harness_serve(&h, 0);
            harness_expect_no_event(&h);
            harness_expect_quiet(&h, 0);
            /* or what is left has less drift by now */
            assert_between(rlk_remaining_ms(&lock), lease_ms - 100 * (int)push,
                           lease_ms - 100 * (int)push + (int)push);
            assert_int_equal(h.servers[0].count[HARNESS_CHECK], push);
        }
        harness_delete(&h, 0, HARNESS_KEY); /* each look has made the server tell again */
        harness_serve(&h, 0);
        expect_lost(&lock);
    }
}

/* Somebody changed its TTL: less counts, more does not (rule 8). */
static void test_held_ttl_was_changed(void **state)
{
    rlk_lock lock;
    harness_entry *entry;

    (void)state;
    hold(&lock, 1);
    entry = harness_find(&h, &h.servers[0], HARNESS_KEY);
    entry->expiry_ms = h.now_ms + 4 * TTL;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(rlk_remaining_ms(&lock), lease_ms);
    entry->expiry_ms = RLK_NEVER;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(rlk_remaining_ms(&lock), lease_ms);
    entry->expiry_ms = h.now_ms + 5000;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(rlk_remaining_ms(&lock), 5000 - DRIFT(5000));
    harness_advance(&h, 5000 - DRIFT(5000));
    expect_lost(&lock);
}

/* A push of another key, and one after the release, are nobody's. */
static void test_held_notified_of_another_key(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_push(harness_link_of(&h, 0), "another");
    harness_expect_quiet(&h, 0);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), NULL);
    harness_expect_quiet(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 0);
}

/* A null push: all that are held are looked at. */
static void test_held_flush(void **state)
{
    rlk_lock locks[3];
    unsigned i;

    (void)state;
    start(1);
    take(&locks[0], "a", NULL);
    take(&locks[1], "b", NULL);
    take(&locks[2], "c", NULL);
    harness_find(&h, &h.servers[0], "a")->key[0] = '\0';
    harness_find(&h, &h.servers[0], "c")->key[0] = '\0';
    harness_push(harness_link_of(&h, 0), NULL);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 3);
    for (i = 0; i < 3; i++)
        assert_int_equal(rlk_is_held(&locks[i]), i == 1);
}

/* An error that passes: looked at again. One that does not: what we know stands. */
static void test_held_compare_is_refused(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    assert_between(tracked_until(&h, 0, HARNESS_CHECK, 1000), RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS);
    assert_true(rlk_is_held(&lock));
    harness_serve(&h, 0);
    expect_lost(&lock);

    hold(&lock, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    harness_reply(&h, 0, HARNESS_NOPERM);
    assert_int_equal(tracked_until(&h, 0, HARNESS_CHECK, 1000), -1);
    assert_true(rlk_is_held(&lock));
    harness_advance(&h, lease_ms - 1000);
    expect_lost(&lock);
}

/* The look is lost with its stream, and repeated on the next. */
static void test_held_compare_is_lost(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_cut(&h, 0);
    assert_between(tracked_until(&h, 0, HARNESS_CHECK, 1000), 0, RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0);
    expect_lost(&lock);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 2);
}

/* A stream that came again: of what happened meanwhile nobody told. */
static void test_held_compares_after_a_reconnect(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_cut(&h, 0);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    assert_between(tracked_until(&h, 0, HARNESS_CHECK, 1000), 0, RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0);
    expect_lost(&lock);
}

/* A command that compares, and is not answered, sees what was told before. */
static void test_held_notified_while_it_compares(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; way < 3; way++) {
        rlk_lock lock;

        hold(&lock, 1);
        if (way == 0)
            assert_result(rlk_check_start(&lock), RLK_PENDING);
        else if (way == 1)
            assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
        else
            harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        harness_run(&h);
        harness_delete(&h, 0, HARNESS_KEY);
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_CHECK] + h.servers[0].count[HARNESS_RAISE], 1);
        harness_serve(&h, 0);
        assert_int_equal(h.servers[0].count[HARNESS_CHECK] + h.servers[0].count[HARNESS_RAISE], 1);
        if (way < 2)
            harness_expect_result(&h, way == 0 ? RLK_OP_CHECK : RLK_OP_EXTEND, RLK_NOT_OWNER);
        expect_lost(&lock);
    }
}

/* Any other command is answered first. */
static void test_held_notified_during_another_command(void **state)
{
    rlk_lock lock;
    rlk_holder holder;

    (void)state;
    hold(&lock, 1);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_GET);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 0);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 1);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD); /* nobody has it */
    expect_lost(&lock);
}

/* The look goes on behind an operation that ends, and is taken over by one that asks the same. */
static void test_held_compare_is_overtaken_by_a_call(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":30000\r\n"); /* to the first: no answer to what was asked later */
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_run(&h);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
}

/* What is due comes first: a lock that is over is not looked at. */
static void test_held_notified_when_the_lease_is_over(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    h.now_ms += lease_ms; /* nobody ticked */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_run(&h);
    expect_lost(&lock);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 0);
}

/* The node that told is looked at, and no other; LOST when a quorum is out of reach. */
static void test_held_notified_on_several_nodes(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 3);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_quiet(&h, 3);
    assert_true(rlk_is_held(&lock));
    harness_push(harness_link_of(&h, 0), HARNESS_KEY); /* known not to have it */
    harness_push(harness_link_of(&h, 0), NULL);
    harness_expect_quiet(&h, 3);
    harness_push(harness_link_of(&h, 2), HARNESS_KEY);
    (void)harness_expect(&h, 2, HARNESS_CHECK);
    harness_serve(&h, 2);
    assert_true(rlk_is_held(&lock));
    harness_delete(&h, 1, HARNESS_KEY);
    harness_serve(&h, 1);
    expect_lost(&lock);
    (void)harness_expect(&h, 2, HARNESS_RELEASE);
}

/* A check that is refused is asked again after a pause, also while an operation that this node has
 * answered waits for another node. */
static void test_held_compare_is_refused_during_a_query(void **state)
{
    rlk_holder holders[3];
    rlk_lock lock;

    (void)state;
    hold(&lock, 3);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    harness_serve(&h, 0); /* the others don't answer */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_true(rlk_is_held(&lock));
    /* one that stands before the query makes way for it */
    hold(&lock, 1);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF);
    (void)harness_expect(&h, 0, HARNESS_GET);
}

/* Told in the middle of a round that our own token is gone from a node: when the others make it a
 * lock, the node is looked at; a node that said no is not. */
static void test_held_own_token_goes_during_the_attempt(void **state)
{
    rlk_lock lock;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, 5, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_serve(&h, 0);
    harness_reply(&h, 4, HARNESS_NIL);
    harness_reply(&h, 4, ":-1\r\n");
    harness_push(harness_link_of(&h, 4), HARNESS_KEY);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_expect_quiet(&h, 0);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_expect_quiet(&h, 4);
    harness_serve(&h, 0);
    /* it counted with two others, so now the lock is lost, unless a late one makes up for it */
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    assert_false(rlk_is_held(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_23_deleted_key_is_noticed_at_once),
        cmocka_unit_test(test_fault_24_overwritten_key_is_noticed_at_once),
        cmocka_unit_test(test_held_key_of_another_type),
        cmocka_unit_test(test_held_notified_for_nothing),
        cmocka_unit_test(test_held_ttl_was_changed),
        cmocka_unit_test(test_held_notified_of_another_key),
        cmocka_unit_test(test_held_flush),
        cmocka_unit_test(test_held_compare_is_refused),
        cmocka_unit_test(test_held_compare_is_lost),
        cmocka_unit_test(test_held_compares_after_a_reconnect),
        cmocka_unit_test(test_held_notified_while_it_compares),
        cmocka_unit_test(test_held_notified_during_another_command),
        cmocka_unit_test(test_held_compare_is_overtaken_by_a_call),
        cmocka_unit_test(test_held_notified_when_the_lease_is_over),
        cmocka_unit_test(test_held_notified_on_several_nodes),
        cmocka_unit_test(test_held_compare_is_refused_during_a_query),
        cmocka_unit_test(test_held_own_token_goes_during_the_attempt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
