/* SPDX-License-Identifier: MIT
 *
 * The same operations on 1, 3 and 5 real servers, of which as many as a quorum can spare are
 * killed, stopped, or restarted with and without their data, before and during the operation. What
 * a minority says of a lock that is held: test_quorum_votes.c.
 */
#include "nodes.h"

#include <string.h>

static nodes first;
static nodes second;
static rlk_lock a;
static rlk_lock b;

static const size_t sizes[] = {1, 3, 5};

/* How many may fail, so that a quorum is left. */
static size_t spare(void)
{
    return (first.count - 1) / 2;
}

/* Where a call is to fail in its time. */
static rlk_options quick(void)
{
    rlk_options options;
    memset(&options, 0, sizeof(options));
    options.response_ms = INT64_C(250) * support_time_factor();
    options.backoff_max_ms = 50;
    options.operation_ms = INT64_C(400) * support_time_factor();
    options.settle_ms = INT64_C(200) * support_time_factor();
    return options;
}

/* Where none may fail, though nobody serves the client while servers are struck. */
static rlk_options patient(void)
{
    rlk_options options = quick();
    options.response_ms = INT64_C(3000) * support_time_factor();
    options.operation_ms = INT64_C(5000) * support_time_factor();
    return options;
}

/* Serves a client until it is connected to all nodes. */
static void connect_all(rlk_client *client)
{
    size_t i;
    for (i = 0; i < first.count; i++) {
        wait_until(rlk_conn_get_state(rlk_client_conn(client, i)) == RLK_CONN_READY ||
                   (loop_serve(client, 1), false));
    }
}

/* `count` servers, two clients that are connected to all of them, a lock of each on "foobar". */
static void begin_with(size_t count, rlk_options options)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_holder holders[RLK_MAX_NODES];
    config.node_ms = INT64_C(150) * support_time_factor();
    nodes_start(&first, count, NULL, &options);
    nodes_open_again(&second, &first, &options);
    assert_result(rlk_lock_init(&a, &first.client, "foobar", &config), RLK_OK);
    assert_result(rlk_lock_init(&b, &second.client, "foobar", &config), RLK_OK);
    assert_result(rlk_query(&a, holders, count), RLK_NOT_HELD);
    assert_result(rlk_query(&b, holders, count), RLK_NOT_HELD);
    connect_all(&first.client);
    connect_all(&second.client);
}

static void begin(size_t count)
{
    begin_with(count, quick());
}

static void end(void)
{
    nodes_close(&second);
    nodes_close(&first);
    support_teardown(NULL);
}

/* Serves both clients until no node has the key. */
static void assert_all_gone(void)
{
    int64_t limit = support_now_ms() + INT64_C(10000) * support_time_factor();
    while (nodes_holding(&first, "foobar", NULL) > 0 && support_now_ms() < limit) {
        loop_serve(&first.client, 5);
        loop_serve(&second.client, 5);
    }
    assert_int_equal(nodes_holding(&first, "foobar", NULL), 0);
}

/* ---- Faults, of one node each --------------------------------------------------------------- */

typedef struct fault {
    const char *name;
    void (*strike)(server *redis);
    void (*mend)(server *redis);
    bool answers; /* the node is there again, if with other data */
} fault;

static void restart_empty(server *redis)
{
    server_restart(redis, false);
}

static void save_and_restart(server *redis)
{
    server_save(redis);
    server_restart(redis, true);
}

static void leave(server *redis)
{
    (void)redis;
}

static const fault faults[] = {
    {"killed", server_kill, restart_empty, false},
    {"stopped", server_pause, server_resume, false},
    {"restarted empty", restart_empty, leave, true},
    {"restarted with its data", save_and_restart, leave, true},
};

static void strike(const fault *what, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        what->strike(first.servers[i]);
}

static void mend(const fault *what, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        what->mend(first.servers[i]);
}

/* For each number of nodes and each fault. */
static void on_each_fault(void (*body)(const fault *what), rlk_options options)
{
    size_t i;
    size_t k;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        for (k = 0; k < COUNT_OF(faults); k++) {
            begin_with(sizes[i], options);
            body(&faults[k]);
            end();
        }
    }
}

/* ---- Before the operation ---------------------------------------------------------------------
 */

/* Every operation, with as many nodes struck as may be: as if nothing were. */
static void spared_before_body(const fault *what)
{
    rlk_holder holders[RLK_MAX_NODES];
    rlk_result result;
    strike(what, spare());
    assert_result(rlk_acquire(&a, 5000), RLK_OK);
    assert_string_equal(server_text(first.servers[first.count - 1], "GET foobar"), token_of(&a));
    assert_result(rlk_acquire(&b, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&b, 100), RLK_TIMED_OUT);
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

/* ---- While the lock is held --------------------------------------------------------------------
 */

typedef struct operation {
    const char *name;
    rlk_result (*start)(void);
    rlk_event_type type;
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
    {"extend", start_extend, RLK_EV_EXTENDED},   {"renew", start_renew, RLK_EV_EXTENDED},
    {"check", start_check, RLK_EV_DONE},         {"query", start_query, RLK_EV_DONE},
    {"release", start_release, RLK_EV_RELEASED},
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
        assert_event(&first.client, now->type, RLK_OK);
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

/* ---- One too many -------------------------------------------------------------------------------
 */

static bool is_no_success(rlk_result result)
{
    return result != RLK_OK && result != RLK_PENDING && result != RLK_BUSY;
}

/* With one node more than may be: nothing succeeds, nothing is guessed, each call comes back in its
 * time; and when the nodes are there again, all goes on. */
static void lacking_body(const fault *what)
{
    rlk_holder holders[RLK_MAX_NODES];
    int64_t most_ms = 1500 * support_time_factor();
    int64_t start;
    rlk_result result;
    if (what->answers)
        return;
    assert_result(rlk_acquire(&a, 5000), RLK_OK);
    strike(what, spare() + 1);
    start = support_now_ms();
    result = rlk_extend(&a, 60000);
    assert_true(is_no_success(result) && result != RLK_NOT_OWNER && result != RLK_LOST);
    assert_true(rlk_is_held(&a)); /* until the old deadline */
    assert_between(rlk_remaining_ms(&a), 1, 30000);
    assert_between(support_now_ms() - start, 0, most_ms);
    start = support_now_ms();
    result = rlk_check(&a);
    assert_true(is_no_success(result) && result != RLK_NOT_OWNER && result != RLK_LOST);
    assert_result(rlk_keep(&a), RLK_OK);
    result = rlk_query(&a, holders, first.count);
    assert_true(is_no_success(result) && result != RLK_NOT_HELD);
    assert_between(support_now_ms() - start, 0, 2 * most_ms);
    start = support_now_ms();
    result = rlk_release(&a);
    assert_result(result, RLK_UNKNOWN);
    assert_between(support_now_ms() - start, 0, most_ms);
    assert_false(rlk_is_held(&a));
    start = support_now_ms();
    assert_true(is_no_success(rlk_acquire(&b, 200)));
    assert_true(is_no_success(rlk_force_release(&b)));
    assert_between(support_now_ms() - start, 0, 3 * most_ms);
    mend(what, spare() + 1);
    assert_all_gone();
    assert_result(rlk_acquire(&b, 5000), RLK_OK);
    assert_result(rlk_release(&b), RLK_OK);
}

static void test_nodes_one_too_many(void **state)
{
    (void)state;
    on_each_fault(lacking_body, quick());
}

/* ---- During an acquire
 * --------------------------------------------------------------------------- */

/* Struck while the SETs are out, all nodes one after the other: whoever has the lock in the end has
 * it alone, and leaves nothing. */
static void acquire_during_body(const fault *what)
{
    size_t i;
    for (i = 0; i < first.count; i++) {
        rlk_event event;
        assert_result(rlk_acquire_start(&a, 10000), RLK_PENDING);
        what->strike(first.servers[i]);
        if (spare() == 0)
            what->mend(first.servers[i]);
        assert_true(loop_next_event(&first.client, &event, 10000 * support_time_factor()));
        assert_result(event.result, RLK_OK);
        if (spare() > 0)
            what->mend(first.servers[i]);
        loop_quiet(&second.client, 10); /* hears of what is broken */
        connect_all(&second.client);
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
        loop_quiet(&first.client, 20);
        assert_result(rlk_acquire_start(&b, RLK_FOREVER), RLK_PENDING);
        for (k = 0; k < first.count; k++) {
            server_save(first.servers[k]);
            server_restart(first.servers[k], true);
            loop_quiet(&second.client, 100);
        }
        assert_result(rlk_check(&a), RLK_OK);
        assert_result(rlk_release(&a), RLK_OK);
        assert_event(&second.client, RLK_EV_ACQUIRED, RLK_OK);
        assert_result(rlk_release(&b), RLK_OK);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_nodes_spared_before_each_operation),
        support_test(test_nodes_spared_while_held),
        support_test(test_nodes_one_too_many),
        support_test(test_nodes_struck_during_acquire),
        support_test(test_nodes_waiter_outlives_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
