/* SPDX-License-Identifier: MIT
 *
 * Turns (fault 121): a lock that is acquired again and again is left to others, once others were
 * seen to want it. A client that is alone never pauses.
 */
#include "lock_tracked.h"

#include <string.h>

#define TURN_MS   48 /* those of turn.c */
#define PAUSE_MIN 4
#define PAUSE_MAX 16
#define ALONE     8
#define LEASE_MS  100 /* five of them are TURN_LONE */

static harness h;

/* A client over that many nodes, with a lock. */
static void start(unsigned nodes, rlk_lock *lock)
{
    memset(&h.config, 0, sizeof h.config);
    harness_start_automatic(&h, nodes);
    harness_lock(&h, lock, 30000);
}

static void free_it(const char *key)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++) {
        harness_entry *entry = harness_find(&h, &h.servers[i], key);

        if (entry != NULL)
            entry->key[0] = '\0';
    }
}

/* Acquires after another client that held that key on all nodes. */
static void acquire_key_behind_another(rlk_lock *lock, const char *key)
{
    rlk_event event;
    unsigned i;

    for (i = 0; i < h.nodes; i++)
        harness_put(&h, i, key, "foreign", -1);
    assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
    assert_false(harness_next_event(&h, &event, 500));
    free_it(key);
    assert_true(harness_next_event(&h, &event, 1000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
}

static void acquire_behind_another(rlk_lock *lock)
{
    acquire_key_behind_another(lock, HARNESS_KEY);
}

static void release(rlk_lock *lock)
{
    assert_result(rlk_release(lock), RLK_OK);
}

/* Returns how long an acquire of a free lock takes. */
static int64_t acquire_ms(rlk_lock *lock)
{
    int64_t begin_ms = h.now_ms;

    assert_result(rlk_acquire(lock, 1000), RLK_OK);
    return h.now_ms - begin_ms;
}

static void test_fault_121_who_is_alone_never_pauses(void **state)
{
    unsigned n;

    (void)state;
    for (n = 1; n <= 5; n += 2) {
        rlk_lock lock;
        unsigned i;

        start(n, &lock);
        for (i = 0; i < 200; i++) {
            assert_int_equal(acquire_ms(&lock), 0);
            harness_advance(&h, i % 3 * TURN_MS);
            release(&lock);
        }
        assert_int_equal(h.servers[0].count[HARNESS_SET], 200);
    }
}

/* Holds the lock for that time, and releases it, five times. Returns how long the acquires took. */
static int64_t five_leases_ms(rlk_lock *lock, int64_t lease_ms)
{
    int64_t took_ms = 0;
    unsigned i;

    for (i = 0; i < 5; i++) {
        took_ms += acquire_ms(lock);
        harness_advance(&h, lease_ms);
        release(lock);
    }
    return took_ms;
}

/* This client sees nobody else while it is always faster: with long leases a pause lets others in,
 * once in half a second. */
static void test_fault_121_long_leases_leave_a_gap(void **state)
{
    unsigned n;

    (void)state;
    for (n = 1; n <= 5; n += 2) {
        rlk_lock lock;
        unsigned i;

        start(n, &lock);
        assert_int_equal(five_leases_ms(&lock, LEASE_MS), 0);
        for (i = 0; i < 3; i++)
            assert_between(five_leases_ms(&lock, LEASE_MS), PAUSE_MIN, PAUSE_MAX);
        assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX);
        assert_int_equal(lock.cause, RLK_CAUSE_YIELD);
        release(&lock);
        for (i = 0; i < 3; i++)
            assert_int_equal(five_leases_ms(&lock, LEASE_MS - 1), 0);
    }
}

/* Who leaves the lock alone between two leases leaves a gap that is long enough: no pause then. */
static void test_fault_121_a_gap_between_leases_is_the_pause(void **state)
{
    unsigned n;

    (void)state;
    for (n = 1; n <= 5; n += 2) {
        rlk_lock lock;
        unsigned i;

        start(n, &lock);
        for (i = 0; i < 10; i++) { /* alone, with long leases */
            assert_int_equal(acquire_ms(&lock), 0);
            harness_advance(&h, 10 * LEASE_MS);
            release(&lock);
            harness_advance(&h, PAUSE_MAX);
        }
        acquire_behind_another(&lock);
        for (i = 0; i < 2 * ALONE; i++) { /* others were seen */
            harness_advance(&h, TURN_MS);
            release(&lock);
            harness_advance(&h, PAUSE_MAX);
            assert_int_equal(acquire_ms(&lock), 0);
        }
        harness_advance(&h, TURN_MS);
        release(&lock);
        assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX);
    }
}

/* A turn that began long ago is over, however long ago. */
static void test_fault_121_a_month_in_one_lease(void **state)
{
    rlk_lock lock;

    (void)state;
    start(1, &lock);
    acquire_behind_another(&lock);
    h.now_ms += INT64_C(30) * 86400 * 1000;
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_LOST);
    free_it(HARNESS_KEY);
    assert_int_equal(acquire_ms(&lock), 0);
    harness_advance(&h, TURN_MS);
    release(&lock);
    assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX);
}

/* A client that comes in that gap is seen: then it is a turn like any other. */
static void test_fault_121_others_are_seen_in_the_gap(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    start(1, &lock);
    assert_int_equal(five_leases_ms(&lock, LEASE_MS), 0);
    acquire_behind_another(&lock);
    for (i = 0; i < ALONE; i++) {
        harness_advance(&h, TURN_MS);
        release(&lock);
        assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX);
    }
}

static void test_fault_121_a_turn_is_followed_by_a_pause(void **state)
{
    unsigned n;

    (void)state;
    for (n = 1; n <= 5; n += 2) {
        rlk_lock lock;
        unsigned i;

        start(n, &lock);
        acquire_behind_another(&lock);
        for (i = 1; i < TURN_MS; i++) { /* in its turn: at once */
            harness_advance(&h, 1);
            release(&lock);
            assert_int_equal(acquire_ms(&lock), 0);
        }
        harness_advance(&h, 1);
        release(&lock);
        assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX);
        assert_int_equal(lock.cause, RLK_CAUSE_YIELD);
    }
}

#ifndef RLK_RESP2_ONLY
/* One client holds the lock and one waits, again and again: the lone waiter acquires at once, each
 * time. */
static void test_fault_121_a_lone_waiter_never_pauses(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned i;

    (void)state;
    tracked_open(&h, 1);
    h.servers[0].automatic = true;
    harness_lock(&h, &lock, 30000);
    for (i = 0; i < 20; i++) {
        int64_t begin_ms;

        harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
        harness_advance(&h, 200); /* longer than a turn and its pause */
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        /* the first wait is long, and the others are short against it */
        assert_false(harness_next_event(&h, &event, i == 0 ? 500 : 30));
        begin_ms = h.now_ms;
        harness_delete(&h, 0, HARNESS_KEY);
        assert_true(harness_next_event(&h, &event, 1000));
        assert_int_equal(event.type, RLK_EV_ACQUIRED);
        assert_int_equal(h.now_ms - begin_ms, 0);
        release(&lock);
    }
}
#endif

/* The others are gone: some pauses, and then none. */
static void test_fault_121_pauses_end_when_nobody_is_seen(void **state)
{
    rlk_lock lock;
    unsigned pauses = 0;
    unsigned i;

    (void)state;
    start(3, &lock);
    acquire_behind_another(&lock);
    for (i = 0; i < 100; i++) {
        harness_advance(&h, TURN_MS);
        release(&lock);
        pauses += acquire_ms(&lock) > 0;
    }
    assert_int_equal(pauses, ALONE);
}

/* The client remembers by key: a lock that is initialised anew has the same turn. */
static void test_fault_121_a_new_lock_has_no_new_turn(void **state)
{
    rlk_lock lock;
    rlk_lock other;
    rlk_lock_config config = rlk_lock_config_default();

    (void)state;
    start(1, &lock);
    acquire_behind_another(&lock);
    harness_advance(&h, TURN_MS);
    release(&lock);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_result(rlk_lock_init(&other, h.client, "another", &config), RLK_OK);
    assert_int_equal(acquire_ms(&other), 0);
    release(&other);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK); /* one attempt never pauses */
    release(&lock);
    assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX);
}

/* Two keys with one entry: what it remembers of one key does not count for the other. It is
 * replaced when others want the other key. */
static void test_fault_121_two_keys_in_one_place(void **state)
{
    char key[2] = "a";
    rlk_lock lock;
    rlk_lock other;
    rlk_lock_config config = rlk_lock_config_default();

    (void)state;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    while (rlk_key_hash(RLK_KEY_HASH, key, 1) % RLK_TURNS !=
           rlk_key_hash(RLK_KEY_HASH, HARNESS_KEY, 1) % RLK_TURNS)
        key[0]++;
    assert_string_not_equal(key, HARNESS_KEY);
    start(1, &lock);
    assert_result(rlk_lock_init(&other, h.client, key, &config), RLK_OK);
    acquire_behind_another(&lock);
    harness_advance(&h, TURN_MS);
    release(&lock);
    assert_int_equal(acquire_ms(&other), 0); /* nobody else wants it */
    release(&other);
    assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX); /* and the entry stays */
    release(&lock);
    acquire_key_behind_another(&other, key);
    harness_advance(&h, TURN_MS);
    release(&other);
    assert_int_equal(acquire_ms(&lock), 0);
    release(&lock);
    assert_between(acquire_ms(&other), PAUSE_MIN, PAUSE_MAX);
}

/* The pause is at most half of a short wait. */
static void test_fault_121_a_pause_leaves_time_to_try(void **state)
{
    rlk_lock lock;
    int64_t wait_ms;

    (void)state;
    for (wait_ms = 1; wait_ms < 2 * PAUSE_MAX; wait_ms++) {
        int64_t begin_ms;

        start(1, &lock);
        acquire_behind_another(&lock);
        harness_advance(&h, TURN_MS);
        release(&lock);
        begin_ms = h.now_ms;
        assert_result(rlk_acquire(&lock, wait_ms), RLK_OK);
        assert_between(h.now_ms - begin_ms, 0, wait_ms / 2);
    }
}

/* A node answers nil when the lock is held already: so a client that always acquires learns of
 * others. */
static void test_fault_121_a_late_refusal_is_a_sign(void **state)
{
    rlk_lock lock;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_start(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_put(&h, 2, HARNESS_KEY, "foreign", -1);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_serve(&h, 2);
    free_it(HARNESS_KEY);
    h.servers[0].automatic = h.servers[1].automatic = h.servers[2].automatic = true;
    harness_advance(&h, TURN_MS);
    (void)rlk_release(&lock);
    assert_between(acquire_ms(&lock), PAUSE_MIN, PAUSE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_121_who_is_alone_never_pauses),
        cmocka_unit_test(test_fault_121_long_leases_leave_a_gap),
        cmocka_unit_test(test_fault_121_a_gap_between_leases_is_the_pause),
        cmocka_unit_test(test_fault_121_a_month_in_one_lease),
        cmocka_unit_test(test_fault_121_others_are_seen_in_the_gap),
        cmocka_unit_test(test_fault_121_a_turn_is_followed_by_a_pause),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_fault_121_a_lone_waiter_never_pauses),
#endif
        cmocka_unit_test(test_fault_121_pauses_end_when_nobody_is_seen),
        cmocka_unit_test(test_fault_121_a_new_lock_has_no_new_turn),
        cmocka_unit_test(test_fault_121_two_keys_in_one_place),
        cmocka_unit_test(test_fault_121_a_pause_leaves_time_to_try),
        cmocka_unit_test(test_fault_121_a_late_refusal_is_a_sign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
