/* SPDX-License-Identifier: MIT
 *
 * The same operations on 1, 3 and 5 real servers, of which as many as a quorum can spare are
 * killed, stopped, or restarted with and without their data, before and during the operation. One
 * more: test_quorum_failed_too_many.c. What a minority says of a lock that is held:
 * test_quorum_votes.c.
 */
#include "failed_nodes.h"

/* ---- Before the operation ---- */

/* Every operation, with as many nodes struck as may be: as if nothing were. */
static void spared_before_body(const fault *what)
{
    rlk_holder holders[RLK_MAX_NODES];
    rlk_result result;

    strike(what, spare());
    assert_result(rlk_acquire(&a, 5000), RLK_OK);
    assert_string_equal(server_text(first.servers[first.count - 1], "GET foobar"), token_of(&a));
    assert_result(rlk_acquire(&b, RLK_TRY), RLK_BUSY);
    result = rlk_acquire(&b, 100);
    if (result != RLK_E_RESPONSE_TIMEOUT) /* waits for the undo of that attempt, and asks nobody */
        assert_result(result, RLK_TIMED_OUT);
    assert_result(rlk_extend(&a, 1000), RLK_OK);
    assert_between(rlk_remaining_ms(&a), 31000 - 5000 * support_time_factor(), 31000);
    assert_result(rlk_renew(&a, 60000), RLK_OK);
    assert_result(rlk_check(&a), RLK_OK);
    assert_result(rlk_query(&b, holders, first.count), RLK_OK);
    assert_string_equal(holders[first.count - 1].token, token_of(&a));
    assert_result(rlk_release(&a), RLK_OK);
    assert_result(rlk_acquire(&b, 5000), RLK_OK);
    assert_result(rlk_force_release(&a), RLK_OK);
    result = rlk_check(&b);
    if (spare() == 0 || result != RLK_LOST) /* one that is late with its SET may yet have it */
        assert_result(result, RLK_NOT_OWNER);
    assert_false(rlk_is_held(&b));
    mend(what, spare());
    assert_all_gone();
}

static void test_nodes_spared_before_each_operation(void **state)
{
    (void)state;
    on_each_fault(spared_before_body, quick());
}

/* ---- While the lock is held ---- */

typedef struct operation {
    const char *name;
    rlk_result (*start)(void);
    rlk_operation operation;
} operation;

static rlk_holder held_holders[RLK_MAX_NODES];

static rlk_result start_extend(void)
{
    return rlk_extend_start(&a, 5000);
}

static rlk_result start_renew(void)
{
    return rlk_renew_start(&a, 60000);
}

static rlk_result start_check(void)
{
    return rlk_check_start(&a);
}

static rlk_result start_query(void)
{
    return rlk_query_start(&a, held_holders, first.count);
}

static rlk_result start_release(void)
{
    return rlk_release_start(&a);
}

static const operation operations[] = {
    {"extend", start_extend, RLK_OP_EXTEND},    {"renew", start_renew, RLK_OP_RENEW},
    {"check", start_check, RLK_OP_CHECK},       {"query", start_query, RLK_OP_QUERY},
    {"release", start_release, RLK_OP_RELEASE},
};

/* The nodes are struck while the lock is held, before each operation or right after its start. */
static void spared_held_body(const fault *what)
{
    rlk_holder holders[RLK_MAX_NODES];
    size_t i;

    for (i = 0; i < COUNT_OF(operations); i++) {
        const operation *now = &operations[i];
        bool during;

        assert_result(rlk_acquire(&a, 5000), RLK_OK);
        assert_result(rlk_query(&a, holders, first.count), RLK_OK); /* so all have answered */
        during = i % 2 != 0;
        if (!during)
            strike(what, spare());
        assert_result(now->start(), RLK_PENDING);
        if (during)
            strike(what, spare());
        assert_result_event(&first.posix, now->operation, RLK_OK);
        if (now->start != start_release) {
            assert_true(rlk_is_held(&a));
            assert_result(rlk_release(&a), RLK_OK);
        }
        mend(what, spare());
        assert_all_gone();
    }
}

static void test_nodes_spared_while_held(void **state)
{
    (void)state;
    on_each_fault(spared_held_body, patient());
}

/* ---- During an acquire ---- */

/* Struck while the SETs are out, all nodes one after the other: the holder in the end has the lock
 * alone, and leaves nothing. */
static void acquire_during_body(const fault *what)
{
    size_t i;

    for (i = 0; i < first.count; i++) {
        rlk_event event;

        assert_result(rlk_acquire_start(&a, 10000), RLK_PENDING);
        what->strike(first.servers[i]);
        if (spare() == 0)
            what->mend(first.servers[i]);
        assert_true(loop_next_event(&first.posix, &event, 10000 * support_time_factor()));
        assert_result(event.result, RLK_OK);
        if (spare() > 0)
            what->mend(first.servers[i]);
        loop_quiet(&second.posix, 10); /* notices what is broken */
        nodes_connect(&second);
        if (spare() > 0) /* one node without its data is no lock that is free */
            assert_result(rlk_acquire(&b, RLK_TRY), RLK_BUSY);
        assert_result(rlk_release(&a), RLK_OK);
        assert_all_gone();
    }
}

static void test_nodes_struck_during_acquire(void **state)
{
    (void)state;
    on_each_fault(acquire_during_body, quick());
}

/* A waiter outlives the restart of every node, one after the other, and of the holder's. */
static void test_nodes_waiter_outlives_restarts(void **state)
{
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        begin(sizes[i]);
        assert_result(rlk_acquire(&a, 5000), RLK_OK);
        loop_quiet(&first.posix, 20);
        assert_result(rlk_acquire_start(&b, RLK_FOREVER), RLK_PENDING);
        for (k = 0; k < first.count; k++) {
            server_save(first.servers[k]);
            server_restart(first.servers[k], true);
            loop_quiet(&second.posix, 100);
        }
        assert_result(rlk_check(&a), RLK_OK);
        assert_result(rlk_release(&a), RLK_OK);
        assert_event(&second.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_result(rlk_release(&b), RLK_OK);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_nodes_spared_before_each_operation),
        support_test(test_nodes_spared_while_held),
        support_test(test_nodes_struck_during_acquire),
        support_test(test_nodes_waiter_outlives_restarts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
