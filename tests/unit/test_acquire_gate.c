/* SPDX-License-Identifier: MIT
 *
 * An attempt that other waiters may begin at the same time asks one node first, the gate (fault
 * 121).
 */
#include "lock_tracked.h"

#include <string.h>

static harness h;

/* An attempt that others may begin at the same time asks one node first. Only the waiter that
 * acquires there asks the others. One that does not has no token anywhere. */
static void test_fault_121_one_node_is_asked_first(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    assert_int_equal(harness_count(&h, HARNESS_SET), 4);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_expect_quiet(&h, 1);
    harness_expect_quiet(&h, 2);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_reply(&h, 0, ":-1\r\n");
    harness_advance(&h, RLK_RETRY_MAX_MS);
    harness_serve_all(&h);
    assert_int_equal(harness_count(&h, HARNESS_SET), 4);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_reply(&h, 0, HARNESS_OK);
    assert_int_equal(harness_count(&h, HARNESS_SET), 7);
    (void)harness_expect(&h, 1, HARNESS_SET);
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The attempt does not wait for a gate that does not answer. */
static void test_fault_121_the_first_node_is_not_waited_for(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    assert_int_equal(harness_count(&h, HARNESS_SET), 4);
    harness_advance(&h, RLK_RETRY_MIN_MS - 1);
    assert_int_equal(harness_count(&h, HARNESS_SET), 4);
    harness_advance(&h, 1);
    assert_int_equal(harness_count(&h, HARNESS_SET), 6);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The gate takes no time from the nodes that are asked after it: each has node_timeout_ms. */
static void test_fault_121_the_others_have_their_time(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    int late;

    (void)state;
    config.node_timeout_ms = 40;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    for (late = 0; late < 2; late++) {
        tracked_open(&h, 3);
        tracked_wait(&h, &lock, &config, 2, DAY_MS);
        harness_advance(&h, RLK_RETRY_MAX_MS);
        harness_serve_all(&h);
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

/* The gate has a token that nobody deletes, and the others are free: they are asked. */
static void test_fault_121_the_first_node_alone_is_held(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_serve(&h, 1);
    assert_int_equal(lock.phase, RLKI_PHASE_PAUSE);
    harness_advance(&h, RLK_RETRY_MIN_MS / 5);
    assert_int_equal(harness_count(&h, HARNESS_SET), 6);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The connection of a node ends while the gate is asked: that node has no part in the attempt. */
static void test_fault_121_a_node_held_back_is_lost(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
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

/* A nil of the gate is enough: no other node is asked before its PTTL is answered. */
static void test_acquire_gate_is_probed_slowly(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_reply(&h, 0, HARNESS_NIL);
    (void)harness_expect(&h, 0, HARNESS_PTTL);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    assert_int_equal(lock.phase, RLKI_PHASE_ATTEMPT);
    assert_int_equal(harness_count(&h, HARNESS_SET), 4);
    harness_reply(&h, 0, ":-1\r\n");
    harness_serve_all(&h);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    assert_int_equal(harness_count(&h, HARNESS_SET), 4);
    /* and where PTTL is not answered, all are asked at last */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_reply(&h, 0, HARNESS_NIL);
    harness_advance(&h, 2 * (RLK_NODE_TIMEOUT_MAX_MS + RLK_RETRY_MAX_MS));
    for (i = 0; i < 3; i++)
        assert_true(h.servers[i].count[HARNESS_SET] >= 2);
}

/* A quorum that has come free is taken again by another: no other node is asked. */
static void test_acquire_gate_is_taken_by_another(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_put(&h, 0, HARNESS_KEY, "another", DAY_MS); /* by a faster client */
    harness_serve_all(&h);
    assert_int_equal(harness_count(&h, HARNESS_SET), 4);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    /* and when it comes free again, it is asked again */
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    tracked_expect_attempt(&h, &lock, RLK_CAUSE_PUSH);
}

/* The node refuses each undo that it receives in this time, and serves all else. */
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

/* A node that accepted the token and refuses to delete it is not waited for when the others, a
 * quorum, have come free: it may refuse forever. */
static void test_acquire_quorum_beside_a_refused_undo(void **state)
{
    unsigned count;
    rlk_lock lock;

    (void)state;
    tracked_wait_behind(&h, &lock, 3, 2, DAY_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    harness_advance(&h, RLK_RETRY_MIN_MS);            /* the first node does not answer, */
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, DAY_MS); /* and another client is faster there */
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    refuse_undos(2, 2 * RLK_RETRY_MAX_MS);
    assert_int_equal(lock.phase, RLKI_PHASE_WATCH);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 3);

    count = harness_count(&h, HARNESS_SET);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    refuse_undos(2, RLK_RETRY_MIN_MS / 2);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    assert_int_equal(harness_count(&h, HARNESS_SET), count + 2);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The time of the gate ends with its attempt: the pause after it does not wake for it. */
static void test_acquire_gate_ends_with_its_attempt(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;

    (void)state;
    config.node_timeout_ms = RLK_RETRY_MIN_MS / 2;
    config.retry_max_ms = 4000;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    tracked_open(&h, 3);
    tracked_wait(&h, &lock, &config, 2, DAY_MS);
    harness_advance(&h, config.retry_max_ms);
    harness_serve_all(&h);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_reply(&h, 0, ":-2\r\n");
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_advance(&h, config.node_timeout_ms);
    assert_int_equal(lock.phase, RLKI_PHASE_PAUSE);
    harness_advance(&h, RLK_RETRY_MIN_MS + 1);
    assert_int_equal(lock.phase, RLKI_PHASE_PAUSE);
    assert_true(rlk_client_deadline(h.client) > h.now_ms + 1);
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
        cmocka_unit_test(test_acquire_gate_ends_with_its_attempt),
        cmocka_unit_test(test_acquire_quorum_beside_a_refused_undo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
