/* SPDX-License-Identifier: MIT
 *
 * An attempt that other waiters may begin at the same time asks one node first, the gate (fault
 * 121).
 */
#include "lock_tracked.h"

#include <string.h>

#define DAY_MS  (INT64_C(24) * 3600 * 1000)
#define WATCH   2 /* RLKI_PHASE_WATCH: nothing is under way */
#define ATTEMPT 3
#define PAUSE   4

static harness h;

/* Executes and answers all that waits, node by node. */
static void serve_all(void)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++)
        harness_serve(&h, i);
}

/* Behind a foreign key on `held` of n nodes. The pause after the failed round is over, and nodes
 * that the round did not wait for have been asked. */
static void wait_behind(rlk_lock *lock, unsigned n, unsigned held, int64_t ttl_ms)
{
    memset(&h.config, 0, sizeof h.config);
    tracked_start(&h, n, 1);
    tracked_wait(&h, lock, NULL, held, ttl_ms);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    serve_all();
    assert_int_equal(lock->phase, WATCH);
    harness_expect_quiet(&h, n);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), held); /* what was ours is undone */
}

static unsigned sets(void)
{
    unsigned count = 0;
    unsigned i;

    for (i = 0; i < h.nodes; i++)
        count += h.servers[i].count[HARNESS_SET];
    return count;
}

/* A round comes, at once, or, where the first node is held, after a short pause; and is won. cause
 * RLK_CAUSES: any. */
static void expect_attempt(rlk_lock *lock, rlk_cause cause)
{
    if (lock->phase == PAUSE)
        harness_advance(&h, RLK_RETRY_MIN_MS / 5);
    assert_int_equal(lock->phase, ATTEMPT);
    if (cause != RLK_CAUSES)
        assert_int_equal(lock->cause, cause);
    serve_all();
    serve_all();
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Fault 121: a round that others may begin at the same time asks one node first; only who has it
 * asks the others, and who has not keeps nothing from anybody. */
static void test_fault_121_one_node_is_asked_first(void **state)
{
    rlk_lock lock;

    (void)state;
    wait_behind(&lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    assert_int_equal(sets(), 4);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_expect_quiet(&h, 1);
    harness_expect_quiet(&h, 2);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":-1\r\n");
    harness_advance(&h, RLK_RETRY_MAX_MS);
    serve_all();
    assert_int_equal(sets(), 4);
    assert_int_equal(lock.phase, WATCH);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_reply(&h, 0, HARNESS_OK);
    assert_int_equal(sets(), 7);
    (void)harness_expect(&h, 1, HARNESS_SET);
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* ... but does not wait for a node that does not answer. */
static void test_fault_121_the_first_node_is_not_waited_for(void **state)
{
    rlk_lock lock;

    (void)state;
    wait_behind(&lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    assert_int_equal(sets(), 4);
    harness_advance(&h, RLK_RETRY_MIN_MS - 1);
    assert_int_equal(sets(), 4);
    harness_advance(&h, 1);
    assert_int_equal(sets(), 6);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* ... and takes no time from those that are asked behind it: each has node_timeout_ms. */
static void test_fault_121_the_others_have_their_time(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    int late;

    (void)state;
    config.node_timeout_ms = 40;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    for (late = 0; late < 2; late++) {
        memset(&h.config, 0, sizeof h.config);
        tracked_start(&h, 3, 1);
        tracked_wait(&h, &lock, &config, 2, DAY_MS);
        harness_advance(&h, RLK_RETRY_MAX_MS);
        serve_all();
        harness_delete(&h, 0, HARNESS_KEY);
        harness_reply(&h, 0, ":-2\r\n");
        harness_advance(&h, config.node_timeout_ms - 1);
        harness_serve(&h, 0);
        (void)harness_expect(&h, 2, HARNESS_SET);
        harness_advance(&h, config.node_timeout_ms - 1 + late);
        if (late != 0) {
            (void)harness_expect(&h, 0, HARNESS_RELEASE);
            continue;
        }
        harness_serve(&h, 2);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    }
}

/* The first node has a token that nobody takes away, and the others are free: they are asked. */
static void test_fault_121_the_first_node_alone_is_held(void **state)
{
    rlk_lock lock;

    (void)state;
    wait_behind(&lock, 3, 2, DAY_MS);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_serve(&h, 1);
    assert_int_equal(lock.phase, PAUSE);
    harness_advance(&h, RLK_RETRY_MIN_MS / 5);
    assert_int_equal(sets(), 6);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Its connection ends while the first node is asked: that one is out of the round. */
static void test_fault_121_a_node_held_back_is_lost(void **state)
{
    rlk_lock lock;

    (void)state;
    wait_behind(&lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 2);
    harness_serve(&h, 0);
    assert_int_equal(h.servers[1].count[HARNESS_SET], 2);
    assert_int_equal(h.servers[2].count[HARNESS_SET], 1);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* ... nor is anybody asked before PTTL says for how long the gate is held: its nil is enough. */
static void test_acquire_gate_is_probed_slowly(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    wait_behind(&lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_reply(&h, 0, HARNESS_NIL);
    (void)harness_expect(&h, 0, HARNESS_PTTL);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    assert_int_equal(lock.phase, ATTEMPT);
    assert_int_equal(sets(), 4);
    harness_reply(&h, 0, ":-1\r\n");
    serve_all();
    assert_int_equal(lock.phase, WATCH);
    assert_int_equal(sets(), 4);
    /* and where PTTL is not answered, all are asked in the end */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_reply(&h, 0, HARNESS_NIL);
    harness_advance(&h, 2 * (RLK_NODE_TIMEOUT_MAX_MS + RLK_RETRY_MAX_MS));
    for (i = 0; i < 3; i++)
        assert_true(h.servers[i].count[HARNESS_SET] >= 2);
}

/* A quorum that has come free is gone again: nobody else is asked. */
static void test_acquire_gate_is_taken_by_another(void **state)
{
    rlk_lock lock;

    (void)state;
    wait_behind(&lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_put(&h, 0, HARNESS_KEY, "another", DAY_MS); /* by who was faster */
    serve_all();
    assert_int_equal(sets(), 4);
    assert_int_equal(lock.phase, WATCH);
    /* and when it comes free again, it is asked again */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    expect_attempt(&lock, RLK_CAUSE_PUSH);
}

/* Every undo that this node is sent is refused, for a time. */
static void refuse_undos(unsigned node, int64_t ms)
{
    int64_t end_ms = h.now_ms + ms;

    for (;;) {
        harness_command *head = harness_head(harness_link_of(&h, node));

        if (head != NULL && head->kind == HARNESS_RELEASE) {
            harness_reply(&h, node, "-MISCONF can't persist\r\n");
        } else if (head != NULL) {
            if (!head->executed)
                assert_true(harness_execute(harness_link_of(&h, node)));
            assert_true(harness_deliver(harness_link_of(&h, node)));
        } else if (h.now_ms < end_ms) {
            harness_advance(&h, 1);
        } else {
            return;
        }
    }
}

/* A node that took the token and refuses to delete it is not waited for when the others, a quorum,
 * have come free: it may refuse for ever. */
static void test_acquire_quorum_beside_a_refused_undo(void **state)
{
    unsigned count;
    rlk_lock lock;

    (void)state;
    wait_behind(&lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_advance(&h, RLK_RETRY_MIN_MS);            /* the first node does not answer, */
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS); /* and somebody was faster there */
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    refuse_undos(2, 2 * RLK_RETRY_MAX_MS);
    assert_int_equal(lock.phase, WATCH);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 3);

    count = sets();
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    refuse_undos(2, RLK_RETRY_MIN_MS / 2);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    assert_int_equal(sets(), count + 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_121_one_node_is_asked_first),
        cmocka_unit_test(test_fault_121_the_first_node_is_not_waited_for),
        cmocka_unit_test(test_fault_121_the_others_have_their_time),
        cmocka_unit_test(test_fault_121_the_first_node_alone_is_held),
        cmocka_unit_test(test_fault_121_a_node_held_back_is_lost),
        cmocka_unit_test(test_acquire_gate_is_probed_slowly),
        cmocka_unit_test(test_acquire_gate_is_taken_by_another),
        cmocka_unit_test(test_acquire_quorum_beside_a_refused_undo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
