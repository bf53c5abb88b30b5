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

/* Fault 23, where the server notifies: at once, without a call. */
static void test_fault_23_deleted_key_is_noticed_at_once(void **state)
{
    rlk_lock lock;
    tracked_lease lease;

    (void)state;
    lease = tracked_hold(&h, &lock, 1);
    harness_advance(&h, 1234);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_true(rlk_is_held(&lock)); /* held until the compare is answered */
    harness_serve(&h, 0);
    tracked_expect_lost(&h, &lock);
    assert_int_equal(h.now_ms, lease.held_ms + 1234);
    harness_expect_quiet(&h, 0); /* there is nothing to undo */
    assert_result(rlk_release_start(&lock), RLK_LOST);
}

/* Fault 24: overwritten; the new value stays. */
static void test_fault_24_overwritten_key_is_noticed_at_once(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    tracked_expect_lost(&h, &lock);
    harness_advance(&h, 2 * TTL);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, FOREIGN), 1);
}

/* A value of a type that no lock has. */
static void test_held_key_of_another_type(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->wrong_type = true;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    tracked_expect_lost(&h, &lock);
}

/* A push without a change (faults 76, 85): it stays held, for as long as before. */
static void test_held_notified_for_nothing(void **state)
{
    static const char *const keys[] = {HARNESS_KEY, NULL};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(keys)); i++) {
        rlk_lock lock;
        tracked_lease lease;
        unsigned push;

        lease = tracked_hold(&h, &lock, 1);
        for (push = 1; push < 4; push++) {
            harness_advance(&h, 100);
            harness_push(harness_link_of(&h, 0), keys[i]);
            (void)harness_expect(&h, 0, HARNESS_CHECK);
            harness_serve(&h, 0);
            harness_expect_no_event(&h);
            harness_expect_quiet(&h, 0);
            /* or the remaining time has less drift by now */
            assert_between(rlk_remaining_ms(&lock), lease.lease_ms - 100 * (int)push,
                           lease.lease_ms - 100 * (int)push + (int)push);
            assert_int_equal(h.servers[0].count[HARNESS_CHECK], push);
        }
        harness_delete(&h, 0, HARNESS_KEY); /* after each compare the server notifies again */
        harness_serve(&h, 0);
        tracked_expect_lost(&h, &lock);
    }
}

/* Another client changed the TTL: less counts, more does not (rule 8). */
static void test_held_ttl_was_changed(void **state)
{
    rlk_lock lock;
    tracked_lease lease;
    harness_entry *entry;

    (void)state;
    lease = tracked_hold(&h, &lock, 1);
    entry = harness_find(&h, &h.servers[0], HARNESS_KEY);
    entry->expiry_ms = h.now_ms + 4 * TTL;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(rlk_remaining_ms(&lock), lease.lease_ms);
    entry->expiry_ms = RLK_NEVER;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(rlk_remaining_ms(&lock), lease.lease_ms);
    entry->expiry_ms = h.now_ms + 5000;
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(rlk_remaining_ms(&lock), 5000 - DRIFT(5000));
    harness_advance(&h, 5000 - DRIFT(5000));
    tracked_expect_lost(&h, &lock);
}

/* A push of another key, and one after the release, have no effect. */
static void test_held_notified_of_another_key(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
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

/* A null push: each lock that is held compares. */
static void test_held_flush(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    rlk_lock locks[3];
    unsigned i;

    (void)state;
    tracked_open(&h, 1);
    for (i = 0; i < 3; i++) {
        assert_result(rlk_lock_init(&locks[i], h.client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], RLK_TRY), RLK_PENDING);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
    harness_remove(&h, 0, "a");
    harness_remove(&h, 0, "c");
    harness_push(harness_link_of(&h, 0), NULL);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 3);
    for (i = 0; i < 3; i++)
        assert_int_equal(rlk_is_held(&locks[i]), i == 1);
}

/* An error that passes: it compares again. A final one: the lease stays as it is. */
static void test_held_compare_is_refused(void **state)
{
    rlk_lock lock;
    tracked_lease lease;

    (void)state;
    lease = tracked_hold(&h, &lock, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    assert_between(tracked_until(&h, 0, HARNESS_CHECK, 1000), RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS);
    assert_true(rlk_is_held(&lock));
    harness_serve(&h, 0);
    tracked_expect_lost(&h, &lock);

    lease = tracked_hold(&h, &lock, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    harness_reply(&h, 0, HARNESS_NOPERM);
    assert_int_equal(tracked_until(&h, 0, HARNESS_CHECK, 1000), -1);
    assert_true(rlk_is_held(&lock));
    harness_advance(&h, lease.lease_ms - 1000);
    tracked_expect_lost(&h, &lock);
}

/* The compare is lost with its stream, and repeated on the next. */
static void test_held_compare_is_lost(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_cut(&h, 0);
    assert_between(tracked_until(&h, 0, HARNESS_CHECK, 1000), 0, RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0);
    tracked_expect_lost(&h, &lock);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 2);
}

/* After a reconnect: the server did not notify of changes meanwhile. */
static void test_held_compares_after_a_reconnect(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    harness_cut(&h, 0);
    harness_remove(&h, 0, HARNESS_KEY);
    assert_between(tracked_until(&h, 0, HARNESS_CHECK, 1000), 0, RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0);
    tracked_expect_lost(&h, &lock);
}

/* A compare that is not answered yet suffices for a push that came before its reply. */
static void test_held_notified_while_it_compares(void **state)
{
    static const struct {
        const char *name;
        rlk_operation operation; /* RLK_OP_NONE: the compare after a push */
    } rows[] = {{"check", RLK_OP_CHECK}, {"extend", RLK_OP_EXTEND}, {"push", RLK_OP_NONE}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        (void)tracked_hold(&h, &lock, 1);
        if (rows[i].operation != RLK_OP_NONE)
            assert_result(harness_begin(&lock, rows[i].operation), RLK_PENDING);
        else
            harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        harness_run(&h);
        harness_delete(&h, 0, HARNESS_KEY);
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_CHECK] + h.servers[0].count[HARNESS_RAISE], 1);
        harness_serve(&h, 0);
        assert_int_equal(h.servers[0].count[HARNESS_CHECK] + h.servers[0].count[HARNESS_RAISE], 1);
        if (rows[i].operation != RLK_OP_NONE)
            harness_expect_result(&h, rows[i].operation, RLK_NOT_OWNER);
        tracked_expect_lost(&h, &lock);
    }
}

/* Another command under way is answered first. */
static void test_held_notified_during_another_command(void **state)
{
    rlk_lock lock;
    rlk_holder holder;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_GET);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 0);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 1);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD); /* no token is there */
    tracked_expect_lost(&h, &lock);
}

/* A check that begins during a compare sends one of its own. A release overtakes a compare. */
static void test_held_compare_is_overtaken_by_a_call(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":30000\r\n"); /* to the first: it answers nothing that was asked later */
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

/* A deadline precedes a push: a lease that is over is not compared. */
static void test_held_notified_when_the_lease_is_over(void **state)
{
    rlk_lock lock;
    tracked_lease lease;

    (void)state;
    lease = tracked_hold(&h, &lock, 1);
    h.now_ms += lease.lease_ms; /* no tick */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_run(&h);
    tracked_expect_lost(&h, &lock);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 0);
}

/* Only the node that notified is compared. LOST when a quorum is out of reach. */
static void test_held_notified_on_several_nodes(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 3);
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
    tracked_expect_lost(&h, &lock);
    (void)harness_expect(&h, 2, HARNESS_RELEASE);
}

/* A compare that is refused is repeated after a pause, also while a query that this node has
 * answered waits for another node. */
static void test_held_compare_is_refused_during_a_query(void **state)
{
    rlk_holder holders[3];
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 3);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    harness_serve(&h, 0); /* the others do not answer */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_expect_quiet(&h, 0);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_true(rlk_is_held(&lock));
    /* a refused compare that the query overtakes is not repeated before it */
    (void)tracked_hold(&h, &lock, 1);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    assert_result(rlk_query_start(&lock, holders, 3), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF);
    (void)harness_expect(&h, 0, HARNESS_GET);
}

/* During the attempt the server notifies that this lock's token is gone from a node. When the
 * others are a quorum, that node is compared. A node that answered nil is not. */
static void test_held_own_token_goes_during_the_attempt(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 5);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_serve(&h, 0);
    harness_reply(&h, 4, HARNESS_NIL);
    harness_reply(&h, 4, ":-1\r\n");
    harness_push(harness_link_of(&h, 4), HARNESS_KEY);
    harness_remove(&h, 0, HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_expect_quiet(&h, 0);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_expect_quiet(&h, 4);
    harness_serve(&h, 0);
    /* only two of the quorum are left */
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
