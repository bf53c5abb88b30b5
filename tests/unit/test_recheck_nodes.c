/* SPDX-License-Identifier: MIT
 *
 * Waiting on a quorum of servers with client tracking: a busy node is probed before an attempt
 * takes the key on the others (rule 10).
 */
#include "lock_tracked.h"

#include <string.h>

static harness h;

/* One of two busy nodes comes free: it is probed, and no other. With the free one it is a quorum.
 */
static void test_recheck_push_is_followed_by_a_probe(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_PTTL);
    harness_expect_quiet(&h, 1);
    harness_expect_quiet(&h, 2);
    harness_serve(&h, 0);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
    assert_int_equal(h.servers[1].count[HARNESS_PTTL], 2); /* one after each nil */
}

/* A push at one node of three busy ones starts no attempt. */
static void test_recheck_push_at_one_node_starts_no_attempt(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 3, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    harness_advance(&h,
                    RLK_RECHECK_MAX_MS / 5 - RLK_RETRY_MAX_MS - 1); /* before a recheck is due */
    harness_expect_quiet(&h, 3);
    assert_int_equal(harness_count(&h, HARNESS_SET), 3);
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 2);
    harness_delete(&h, 2, HARNESS_KEY);
    harness_serve(&h, 2);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
}

/* A push without a change starts no attempt: the node is probed, and again when its time has come.
 */
static void test_recheck_probe_finds_it_held(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 2);
    for (i = 3; i < 8; i++) {
        assert_between(tracked_until(&h, 0, HARNESS_PTTL, RLK_RECHECK_MAX_MS),
                       RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
        assert_int_equal(h.servers[0].count[HARNESS_PTTL], i);
        harness_serve(&h, 0);
        harness_serve(&h, 1);
    }
    assert_int_equal(harness_count(&h, HARNESS_SET), 3);
}

/* Both come free at once: two probes, one attempt. */
static void test_recheck_two_pushes_make_one_attempt(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_serve(&h, 0);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 2);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
}

/* The holder's TTL ends: nodes are probed, and the cause of the attempt is the expiry. */
static void test_recheck_nodes_when_the_ttl_is_over(void **state)
{
    rlk_lock lock;
    int64_t ms;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, 900);
    ms = tracked_until(&h, 0, HARNESS_PTTL, 1000);
    assert_between(ms, 901 - RLK_RETRY_MAX_MS, 901 + RLK_RETRY_MIN_MS - RLK_RETRY_MAX_MS);
    harness_find(&h, &h.servers[0], HARNESS_KEY); /* expired, without a push */
    harness_serve(&h, 0);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_EXPIRY);
}

/* The push is lost: a recheck finds the key gone, and is the cause of the attempt. */
static void test_recheck_nodes_without_a_push(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, -1);
    harness_link_of(&h, 0)->watched[0][0] = '\0'; /* the push is lost */
    harness_remove(&h, 0, HARNESS_KEY);
    assert_between(tracked_until(&h, 0, HARNESS_PTTL, RLK_RECHECK_MAX_MS), 1, RLK_RECHECK_MAX_MS);
    harness_serve(&h, 0);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_RECHECK);
}

/* An error to a probe: it is repeated, with jitter. */
static void test_recheck_error_to_a_probe(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_PTTL);
    for (i = 0; i < 5; i++) {
        harness_reply(&h, 0, HARNESS_MISCONF);
        assert_between(tracked_until(&h, 0, HARNESS_PTTL, 1000), RLK_RETRY_MIN_MS,
                       RLK_RETRY_MAX_MS);
    }
    harness_remove(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_RETRY);
}

/* A probe is lost with its stream: it is repeated on the next one. */
static void test_recheck_probe_is_lost(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    (void)harness_expect(&h, 0, HARNESS_PTTL);
    harness_cut(&h, 0);
    harness_expect_quiet(&h, 3);
    assert_between(tracked_until(&h, 0, HARNESS_PTTL, 1000), 0, RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_PTTL], 3); /* the first one after a nil */
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
}

/* A busy node is probed after a reconnect, and no other node. */
static void test_recheck_nodes_after_a_reconnect(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_cut(&h, 2); /* free, as far as is known */
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_expect_quiet(&h, 3);
    harness_cut(&h, 0);
    harness_remove(&h, 0, HARNESS_KEY);
    assert_between(tracked_until(&h, 0, HARNESS_PTTL, 1000), 0, RLK_BACKOFF_MIN_MS);
    harness_expect_quiet(&h, 1);
    harness_serve(&h, 0);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_RECONNECT);
}

/* A node that is down has no part. When it comes back, it completes a quorum. */
static void test_recheck_quorum_with_a_node_that_comes_back(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_for_pushes(&h, &lock, 3, 2);
    h.servers[2].refuses = true;
    harness_cut(&h, 2);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_advance(&h, 500);
    assert_int_equal(harness_count(&h, HARNESS_SET), 3);
    h.servers[2].refuses = false;
    while (rlk_conn_get_state(&harness_link_of(&h, 2)->conn) != RLK_CONN_READY)
        harness_advance(&h, 1);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
}

/* A probe that is not answered when an attempt begins is abandoned: the SET follows it. */
static void test_recheck_attempt_takes_over_a_probe(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 3, DAY_MS);
    for (i = 0; i < 3; i++)
        harness_delete(&h, i, HARNESS_KEY);
    harness_expect_all(&h, 0, 3, HARNESS_PTTL);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    assert_int_equal(lock.phase, RLKI_PHASE_PAUSE);
    harness_advance(&h, RLK_RETRY_MIN_MS);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2); /* behind it */
    harness_reply(&h, 0, ":77777\r\n");                   /* to the probe, without effect */
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_reply(&h, 1, HARNESS_NIL);
    harness_reply(&h, 1, ":-1\r\n");
    harness_reply(&h, 2, HARNESS_OK);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A push during an attempt, of a node that answered nil: it is probed after the attempt. */
static void test_recheck_push_during_an_attempt(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":-1\r\n");
    harness_push(harness_link_of(&h, 1), HARNESS_KEY); /* its SET is under way: ignored */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_expect_quiet(&h, 0);
    harness_reply(&h, 1, HARNESS_NIL);
    harness_push(harness_link_of(&h, 1), HARNESS_KEY); /* its PTTL is: ignored too */
    harness_run(&h);
    harness_reply(&h, 1, ":-1\r\n");
    harness_serve(&h, 2);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    (void)harness_expect(&h, 0, HARNESS_PTTL);
    harness_expect_quiet(&h, 1);
    harness_serve(&h, 2); /* the attempt did not wait for it, so it is probed too */
    harness_reply(&h, 0, ":-2\r\n");
    tracked_expect_attempt(&h, &lock, RLK_CAUSES);
}

/* The key is deleted between SET and PTTL on one node: that one is free in the next attempt. */
static void test_recheck_node_gone_between_set_and_pttl(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":-2\r\n");
    harness_reply(&h, 1, HARNESS_NIL);
    harness_reply(&h, 1, ":-1\r\n");
    harness_serve(&h, 2); /* ours, and undone */
    harness_serve_all(&h);
    harness_serve_all(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Pushes that come again and again and are always spurious are followed by probes with pauses. A
 * push of a node that counts as free is followed by a probe at once. */
static void test_recheck_nodes_restraint(void **state)
{
    rlk_lock lock;
    unsigned push;
    int64_t begin_ms;

    (void)state;
    tracked_wait_for_pushes(&h, &lock, 3, 2);
    for (push = 0; push < 8; push++) {
        harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        (void)harness_expect(&h, 0, HARNESS_PTTL);
        harness_serve(&h, 0);
    }
    begin_ms = h.now_ms;
    for (push = 0; push < 100; push++) {
        harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        harness_expect_quiet(&h, 0);
        /* an attempt, at the gate alone: it may be free, and another node is */
        assert_between(tracked_until(&h, 0, HARNESS_SET, 100), 1, 15);
        harness_serve(&h, 0);
        harness_serve_all(&h);                             /* the nodes that it did not ask */
        harness_push(harness_link_of(&h, 0), HARNESS_KEY); /* and a probe at once */
        (void)harness_expect(&h, 0, HARNESS_PTTL);
        harness_serve(&h, 0);
    }
    assert_between(h.now_ms - begin_ms, 100 * 5, 100 * 16);
    assert_int_equal(h.servers[1].count[HARNESS_SET], 1);
    assert_int_equal(h.servers[2].count[HARNESS_SET], 1);
    harness_advance(&h, 30);
    harness_push(harness_link_of(&h, 2), HARNESS_KEY);
    assert_between(tracked_until(&h, 2, HARNESS_PTTL, 100), 0, RLK_RETRY_MIN_MS);
}

/* A push of a node that counts as free: it is probed, too. */
static void test_recheck_push_at_a_free_node(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_put(&h, 2, HARNESS_KEY, "another", DAY_MS);
    harness_push(harness_link_of(&h, 2), HARNESS_KEY);
    (void)harness_expect(&h, 2, HARNESS_PTTL);
    harness_serve(&h, 2);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_quiet(&h, 3); /* one of three is free now */
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    harness_delete(&h, 2, HARNESS_KEY);
    harness_serve(&h, 2);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
}

/* Five nodes, three of them busy: one that comes free is enough. */
static void test_recheck_nodes_of_five(void **state)
{
    unsigned node;

    (void)state;
    for (node = 0; node < 3; node++) {
        rlk_lock lock;

        tracked_wait_behind(&h, &lock, 5, 3, DAY_MS);
        harness_push(harness_link_of(&h, (node + 1) % 3), HARNESS_KEY);
        harness_serve(&h, (node + 1) % 3); /* without a change */
        assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
        harness_delete(&h, node, HARNESS_KEY);
        harness_serve(&h, node);
        tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
    }
}

/* An attempt fails when a quorum is out of reach. Nodes that are being asked then for the remaining
 * time are not asked twice; one whose stream ends meanwhile is asked on the next. */
static void test_recheck_nodes_question_outlives_the_attempt(void **state)
{
    static const struct {
        unsigned nodes;
        bool cut; /* the stream of the last node */
    } rows[] = {{3, false}, {3, true}, {5, false}, {5, true}};
    size_t r;

    (void)state;
    for (r = 0; support_row(r, COUNT_OF(rows)); r++) {
        unsigned last = rows[r].nodes - 1;
        rlk_lock_config quiet = rlk_lock_config_default();
        rlk_lock lock;
        unsigned i;

        quiet.report_ms = RLK_TIME_LIMIT_MAX;
        memset(&h.config, 0, sizeof h.config);
        tracked_start(&h, rows[r].nodes, 1);
        for (i = 0; i < h.nodes; i++)
            harness_put(&h, i, HARNESS_KEY, FOREIGN, DAY_MS);
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &quiet), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_run(&h);
        for (i = 0; i < h.nodes; i++) { /* SET */
            assert_true(harness_execute(harness_link_of(&h, i)));
            assert_true(harness_deliver(harness_link_of(&h, i)));
        }
        harness_run(&h);
        for (i = 0; i < last; i++)
            harness_serve(&h, i);
        assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
        if (rows[r].cut) {
            harness_cut(&h, last);
            (void)tracked_until(&h, last, HARNESS_PTTL, 1000);
        }
        harness_serve(&h, last);
        harness_expect_quiet(&h, h.nodes);
        for (i = 0; i < h.nodes; i++) {
            unsigned lost = rows[r].cut && i == last;

            assert_int_equal(h.servers[i].count[HARNESS_SET], 1);
            assert_int_equal(h.servers[i].count[HARNESS_PTTL], 1 + lost);
        }
        harness_delete(&h, last, HARNESS_KEY);
        harness_run(&h);
        (void)harness_expect(&h, last, HARNESS_PTTL); /* it was notified */
    }
}

/* Fault 82: three waiters, a holder on two of three nodes. One attempt each, then probes only. When
 * the holder releases, one of them acquires soon. */
static void test_fault_82_waiters_behind_a_minority_that_blocks(void **state)
{
    rlk_lock locks[3];
    rlk_lock_config quiet = rlk_lock_config_default();
    rlk_event event;
    unsigned c;
    unsigned i;

    (void)state;
    quiet.report_ms = RLK_TIME_LIMIT_MAX;
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, 3, 3);
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_put(&h, 1, HARNESS_KEY, FOREIGN, -1);
    tracked_automatic(&h, true);
    for (c = 0; c < 3; c++) {
        assert_result(rlk_lock_init(&locks[c], &h.members[c].client, HARNESS_KEY, &quiet), RLK_OK);
        assert_result(rlk_acquire_start(&locks[c], RLK_FOREVER), RLK_PENDING);
    }
    assert_false(harness_next_event(&h, &event, 60000));
    for (i = 0; i < 3; i++) {
        assert_int_equal(h.servers[i].count[HARNESS_SET], 3);
        /* on the free node the first had it, and gave it back */
        assert_between(h.servers[i].count[HARNESS_PTTL], i < 2 ? 3 : 2,
                       3 * (2 + 60000 / (RLK_RECHECK_MAX_MS / 5)));
    }
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    for (i = 0; i < 3; i++) {
        unsigned held = 0;

        assert_true(harness_next_event(&h, &event, 1000));
        assert_int_equal(event.type, RLK_EV_ACQUIRED);
        for (c = 0; c < 3; c++)
            held += rlk_is_held(&locks[c]);
        assert_int_equal(held, 1);
        assert_result(rlk_release_start(event.lock), RLK_PENDING);
        assert_true(harness_next_event(&h, &event, 0));
        assert_end(&event, RLK_OP_RELEASE, RLK_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recheck_push_is_followed_by_a_probe),
        cmocka_unit_test(test_recheck_push_at_one_node_starts_no_attempt),
        cmocka_unit_test(test_recheck_probe_finds_it_held),
        cmocka_unit_test(test_recheck_two_pushes_make_one_attempt),
        cmocka_unit_test(test_recheck_nodes_when_the_ttl_is_over),
        cmocka_unit_test(test_recheck_nodes_without_a_push),
        cmocka_unit_test(test_recheck_error_to_a_probe),
        cmocka_unit_test(test_recheck_probe_is_lost),
        cmocka_unit_test(test_recheck_nodes_after_a_reconnect),
        cmocka_unit_test(test_recheck_quorum_with_a_node_that_comes_back),
        cmocka_unit_test(test_recheck_attempt_takes_over_a_probe),
        cmocka_unit_test(test_recheck_push_during_an_attempt),
        cmocka_unit_test(test_recheck_node_gone_between_set_and_pttl),
        cmocka_unit_test(test_recheck_nodes_restraint),
        cmocka_unit_test(test_recheck_push_at_a_free_node),
        cmocka_unit_test(test_recheck_nodes_of_five),
        cmocka_unit_test(test_recheck_nodes_question_outlives_the_attempt),
        cmocka_unit_test(test_fault_82_waiters_behind_a_minority_that_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
