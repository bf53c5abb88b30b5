/* SPDX-License-Identifier: MIT
 *
 * Every operation of a lock, blocking and started, on 1, 3 and 5 real servers; what
 * aioredis-lock does, row by row.
 */
#include "nodes.h"

#include <string.h>

static nodes first;
static nodes second;

static const size_t sizes[] = {1, 3, 5};

/* Runs `body` on each number of nodes, with two clients and a lock of each on the key "foobar". */
static void on_each_size(void (*body)(rlk_lock *a, rlk_lock *b), const rlk_lock_config *config)
{
    size_t i;

    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_holder holders[RLK_MAX_NODES];
        rlk_lock a;
        rlk_lock b;

        nodes_start(&first, sizes[i], NULL, NULL);
        nodes_open_again(&second, &first, NULL);
        assert_result(rlk_lock_init(&a, &first.posix.client, "foobar", config), RLK_OK);
        assert_result(rlk_lock_init(&b, &second.posix.client, "foobar", config), RLK_OK);
        /* so that all nodes are connected: else the first acquire may end without the slowest */
        assert_result(rlk_query(&a, holders, sizes[i]), RLK_NOT_HELD);
        assert_result(rlk_query(&b, holders, sizes[i]), RLK_NOT_HELD);
        body(&a, &b);
        rlk_lock_close(&a);
        rlk_lock_close(&b);
        nodes_close(&second);
        nodes_close(&first);
        support_teardown(NULL);
    }
}

/* The key lives that long on a quorum; the slowest node may have been left as it was. */
static void assert_quorum_ttl(int64_t low_ms, int64_t high_ms)
{
    size_t within = 0;
    size_t i;

    for (i = 0; i < first.count; i++) {
        int64_t ttl_ms = server_integer(first.servers[i], "PTTL foobar");

        within += ttl_ms >= low_ms && ttl_ms <= high_ms;
    }
    assert_true(within >= first.posix.client.quorum);
}

/* aioredis-lock: "key holds the plain token string with a PX expiry", default 30 s. */
static void aioredis_token_body(rlk_lock *a, rlk_lock *b)
{
    char old[RLK_TOKEN_MAX + 1];

    (void)b;
    assert_int_equal(rlk_lock_token(a, NULL, 0), 0);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_true(rlk_is_held(a));
    assert_between(rlk_remaining_ms(a), 29000, 30000 - 302);
    assert_int_equal(strlen(token_of(a)), RLK_TOKEN_DIGITS);
    assert_true(nodes_holding(&first, "foobar", token_of(a)) >= first.posix.client.quorum);
    assert_quorum_ttl(29000, 30000);
    assert_int_equal(rlk_lock_token(a, old, sizeof old), RLK_TOKEN_DIGITS);
    assert_result(rlk_release(a), RLK_OK);
    wait_until(nodes_holding(&first, "foobar", NULL) == 0); /* the slowest node too */

    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_string_not_equal(old, token_of(a)); /* a token is never used again */
    assert_result(rlk_release(a), RLK_OK);
}

static void test_aioredis_lock_token_and_ttl(void **state)
{
    (void)state;
    on_each_size(aioredis_token_body, NULL);
}

/* wait_timeout 0: one try; None: without end; else as long as it says, then LockTimeoutError. */
static void aioredis_wait_body(rlk_lock *a, rlk_lock *b)
{
    int64_t start;

    assert_result(rlk_acquire(a, RLK_DEFAULT), RLK_OK);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_E_STATE);
    assert_result(rlk_acquire(b, RLK_TRY), RLK_BUSY);
    start = support_now_ms();
    assert_result(rlk_acquire(b, 400), RLK_TIMED_OUT);
    assert_between(support_now_ms() - start, 400, 1500 * support_time_factor());
    assert_false(rlk_is_held(b));
    assert_true(nodes_holding(&first, "foobar", token_of(a)) >= first.posix.client.quorum);
    assert_contains(rlk_lock_error(b), "acquire \"foobar\": TIMED_OUT");

    /* without a limit, until the other lets go */
    assert_result(rlk_acquire_start(b, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&second.posix, 300);
    assert_result(rlk_release(a), RLK_OK);
    assert_event(&second.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(b));
    assert_result(rlk_release(b), RLK_OK);
}

static void test_aioredis_lock_wait_timeout(void **state)
{
    (void)state;
    on_each_size(aioredis_wait_body, NULL);
}

/* extend(added): remaining + added, additive, owner only. */
static void aioredis_extend_body(rlk_lock *a, rlk_lock *b)
{
    assert_result(rlk_extend(a, 1000), RLK_NOT_HELD);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_result(rlk_extend(a, 10000), RLK_OK);
    assert_between(rlk_remaining_ms(a), 39000, 40000);
    assert_result(rlk_extend(a, 10000), RLK_OK);
    assert_between(rlk_remaining_ms(a), 48500, 50000);
    assert_quorum_ttl(48000, 50000);
    assert_result(rlk_extend(b, 1000), RLK_NOT_HELD);
    assert_result(rlk_release(a), RLK_OK);
    assert_result(rlk_extend(a, 1000), RLK_NOT_HELD);
}

static void test_aioredis_lock_extend(void **state)
{
    (void)state;
    on_each_size(aioredis_extend_body, NULL);
}

/* renew(timeout or default): resets the TTL. Fault 67: a shorter one sends nothing. */
static void aioredis_renew_body(rlk_lock *a, rlk_lock *b)
{
    int64_t calls;

    (void)b;
    assert_result(rlk_renew(a, RLK_DEFAULT), RLK_NOT_HELD);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_result(rlk_renew(a, 60000), RLK_OK);
    assert_between(rlk_remaining_ms(a), 58000, 60000);
    assert_quorum_ttl(58000, 60000);
    /* what the slowest node has not been sent yet, and the compare that begins the watch */
    loop_serve(&first.posix, RLK_WATCH_AFTER_MS + 50);
    calls = server_calls(first.servers[0], "evalsha");
    assert_result(rlk_renew(a, 20000), RLK_OK);
    assert_between(rlk_remaining_ms(a), 19000, 20000);
    assert_int_equal(server_calls(first.servers[0], "evalsha"), calls);
    assert_quorum_ttl(55000, 60000);
    /* from the shortened deadline on, not from the server's */
    assert_result(rlk_extend(a, 5000), RLK_OK);
    assert_between(rlk_remaining_ms(a), 23000, 25000);
    assert_result(rlk_renew(a, RLK_DEFAULT), RLK_OK);
    assert_between(rlk_remaining_ms(a), 29000, 30000);
    assert_result(rlk_release(a), RLK_OK);
}

static void test_aioredis_lock_renew(void **state)
{
    (void)state;
    on_each_size(aioredis_renew_body, NULL);
}

/* release: compare and delete, false when not the owner. Fault 24: the value was overwritten;
 * fault 52: released twice. */
static void aioredis_release_body(rlk_lock *a, rlk_lock *b)
{
    size_t i;

    (void)b;
    assert_result(rlk_release(a), RLK_NOT_HELD);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_result(rlk_release(a), RLK_OK);
    assert_result(rlk_release(a), RLK_NOT_HELD);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    for (i = 0; i < first.count; i++)
        server_do(first.servers[i], "SET foobar stranger");
    assert_result(rlk_release(a), RLK_NOT_OWNER);
    assert_false(rlk_is_held(a));
    assert_int_equal(nodes_holding(&first, "foobar", "stranger"), first.count);
    for (i = 0; i < first.count; i++)
        server_do(first.servers[i], "FLUSHALL");
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    for (i = 0; i < first.count; i++)
        server_do(first.servers[i], "FLUSHALL");
    assert_result(rlk_release(a), RLK_NOT_OWNER);
}

static void test_aioredis_lock_release(void **state)
{
    (void)state;
    on_each_size(aioredis_release_body, NULL);
}

/* is_owner: GET == token. */
static void aioredis_is_owner_body(rlk_lock *a, rlk_lock *b)
{
    rlk_holder holders[RLK_MAX_NODES];
    size_t i;
    rlk_event event;

    assert_result(rlk_check(a), RLK_NOT_HELD);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_result(rlk_query(a, holders, first.count),
                  RLK_OK); /* so the slowest has answered, too */
    assert_result(rlk_check(a), RLK_OK);
    assert_result(rlk_check(b), RLK_NOT_HELD);
    loop_serve(&first.posix, 50); /* a node that has not said yes yet may have it: LOST, then */
    for (i = 0; i < first.count; i++)
        server_do(first.servers[i], "SET foobar stranger");
    assert_true(rlk_is_held(a)); /* nobody has notified it */
    assert_result(rlk_check(a), RLK_NOT_OWNER);
    assert_false(rlk_is_held(a));
    assert_true(rlk_client_next_event(&first.posix.client, &event));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result(rlk_extend(a, 1000), RLK_LOST);
    assert_result(rlk_release(a), RLK_LOST);
    assert_result(rlk_release(a), RLK_NOT_HELD);
    assert_int_equal(nodes_holding(&first, "foobar", "stranger"), first.count);
}

static void test_aioredis_lock_is_owner(void **state)
{
    (void)state;
    on_each_size(aioredis_is_owner_body, NULL);
}

/* enter and exit: released on every exit path. */
static rlk_result scoped(rlk_posix_client *posix, bool leave_early)
{
    RLK_SCOPED(lock, &posix->client, "foobar",
               &(rlk_lock_config){.ttl_ms = 20000, .token_prefix = "p-"});

    if (rlk_acquire(&lock, RLK_TRY) != RLK_OK)
        return RLK_BUSY;
    if (leave_early)
        return RLK_OK;
    return rlk_extend(&lock, 1000);
}

static void aioredis_scope_body(rlk_lock *a, rlk_lock *b)
{
    (void)b;
    assert_result(scoped(&second.posix, true), RLK_OK);
    wait_until(nodes_holding(&first, "foobar", NULL) == 0); /* the slowest node too */

    assert_result(scoped(&second.posix, false), RLK_OK);
    wait_until(nodes_holding(&first, "foobar", NULL) == 0); /* the slowest node too */

    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_result(scoped(&second.posix, false), RLK_BUSY);
    assert_true(nodes_holding(&first, "foobar", token_of(a)) >= first.posix.client.quorum);
    assert_result(rlk_release(a), RLK_OK);
}

static void test_aioredis_lock_enter_and_exit(void **state)
{
    (void)state;
    on_each_size(aioredis_scope_body, NULL);
}

/* leader/follower: wait without end, then keep; lost: follow again. */
static void aioredis_leader_body(rlk_lock *a, rlk_lock *b)
{
    int i;

    assert_result(rlk_keep_alive(a), RLK_NOT_HELD);
    assert_result(rlk_acquire(a, RLK_FOREVER), RLK_OK);
    assert_result(rlk_acquire_start(b, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < 6; i++) {
        loop_quiet(&second.posix, 150); /* the whole takes longer than the TTL of 800 ms */
        assert_result(rlk_keep_alive(a), RLK_OK);
    }
    /* the leader stalls: it reports the loss, and the follower leads */
    assert_event(&second.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_false(rlk_is_held(a));
    assert_result(rlk_keep_alive(a), RLK_LOST);
    assert_result(rlk_release(a), RLK_LOST);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_BUSY);
    assert_result(rlk_keep_alive(b), RLK_OK);
    assert_result(rlk_release(b), RLK_OK);
    assert_result(rlk_acquire(a, RLK_FOREVER), RLK_OK);
    assert_result(rlk_release(a), RLK_OK);
}

static void test_aioredis_lock_leader_and_follower(void **state)
{
    static rlk_lock_config config;

    (void)state;
    config.ttl_ms = 800;
    on_each_size(aioredis_leader_body, &config);
}

/* Who has it, on every node; and an operator's way to free it. */
static void query_body(rlk_lock *a, rlk_lock *b)
{
    rlk_holder holders[RLK_MAX_NODES];
    size_t i;

    assert_result(rlk_query(b, holders, first.count), RLK_NOT_HELD);
    assert_int_equal(holders[0].ttl_ms, -2);
    assert_result(rlk_query(b, holders, first.count - 1), RLK_E_ARGUMENT);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    loop_serve(&first.posix, 50); /* the minority answers too */
    assert_result(rlk_query(b, holders, first.count), RLK_OK);
    for (i = 0; i < first.count; i++) {
        assert_result(holders[i].result, RLK_OK);
        assert_string_equal(holders[i].token, token_of(a));
        assert_int_equal(holders[i].token_len, RLK_TOKEN_DIGITS);
        assert_between(holders[i].ttl_ms, 29000, 30000);
        assert_false(holders[i].ours);
    }
    assert_result(rlk_query(a, holders, first.count), RLK_OK);
    assert_true(holders[0].ours);
    assert_result(rlk_force_release(a), RLK_E_STATE);
    assert_result(rlk_force_release(b), RLK_OK);
    wait_until(nodes_holding(&first, "foobar", NULL) == 0); /* the slowest node too */

    assert_result(rlk_check(a), RLK_NOT_OWNER);
    assert_result(rlk_force_release(b), RLK_OK); /* nothing there: fine */
}

static void test_lock_query_and_force_release(void **state)
{
    (void)state;
    on_each_size(query_body, NULL);
}

/* The same operations, started, in a loop. */
static void started_body(rlk_lock *a, rlk_lock *b)
{
    static rlk_holder holders[RLK_MAX_NODES];
    rlk_event event;

    assert_result(rlk_acquire_start(a, RLK_TRY), RLK_PENDING);
    assert_int_equal(rlk_lock_operation(a), RLK_OP_ACQUIRE);
    assert_result(rlk_release_start(a), RLK_E_STATE);
    assert_true(loop_next_event(&first.posix, &event, 5000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(event.operation, RLK_OP_ACQUIRE);
    assert_ptr_equal(event.lock, a);
    assert_result(rlk_acquire_start(b, RLK_TRY), RLK_PENDING);
    assert_result_event(&second.posix, RLK_OP_ACQUIRE, RLK_BUSY);
    assert_result(rlk_acquire_start(b, 100), RLK_PENDING);
    assert_result_event(&second.posix, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
    assert_result(rlk_extend_start(a, 1000), RLK_PENDING);
    assert_result_event(&first.posix, RLK_OP_EXTEND, RLK_OK);
    assert_result(rlk_renew_start(a, 60000), RLK_PENDING);
    assert_result_event(&first.posix, RLK_OP_RENEW, RLK_OK);
    assert_result(rlk_renew_start(a, 10000), RLK_OK); /* nothing to wait for */
    assert_result(rlk_check_start(a), RLK_PENDING);
    assert_result_event(&first.posix, RLK_OP_CHECK, RLK_OK);
    assert_result(rlk_query_start(a, holders, RLK_MAX_NODES), RLK_PENDING);
    assert_result_event(&first.posix, RLK_OP_QUERY, RLK_OK);
    assert_result(rlk_release_start(a), RLK_PENDING);
    assert_false(rlk_is_held(a));
    assert_result_event(&first.posix, RLK_OP_RELEASE, RLK_OK);
    assert_result(rlk_release_start(a), RLK_NOT_HELD);
    assert_result(rlk_force_release_start(a), RLK_PENDING);
    assert_result_event(&first.posix, RLK_OP_FORCE_RELEASE, RLK_OK);
    loop_quiet(&first.posix, 50);
}

static void test_lock_started_forms(void **state)
{
    (void)state;
    on_each_size(started_body, NULL);
}

static void cancel_body(rlk_lock *a, rlk_lock *b)
{
    assert_result(rlk_cancel(a), RLK_NOT_HELD);
    assert_result(rlk_acquire(a, RLK_TRY), RLK_OK);
    assert_result(rlk_acquire_start(b, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&second.posix, 200);
    assert_result(rlk_cancel(b), RLK_OK);
    assert_result_event(&second.posix, RLK_OP_ACQUIRE, RLK_CANCELLED);
    assert_result(rlk_extend_start(a, 1000), RLK_PENDING);
    assert_result(rlk_cancel(a), RLK_OK);
    assert_true(rlk_is_held(a));
    loop_serve(&first.posix, 50);
    {
        rlk_event event;

        assert_true(rlk_client_next_event(&first.posix.client, &event));
        /* its command is in the connection's buffer: what is encoded counts as sent */
        assert_result(event.result, RLK_UNKNOWN);
    }
    assert_result(rlk_release(a), RLK_OK);
    wait_until(nodes_holding(&first, "foobar", NULL) == 0); /* the slowest node too */
}

static void test_lock_cancel(void **state)
{
    (void)state;
    on_each_size(cancel_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_aioredis_lock_token_and_ttl),
        support_test(test_aioredis_lock_wait_timeout),
        support_test(test_aioredis_lock_extend),
        support_test(test_aioredis_lock_renew),
        support_test(test_aioredis_lock_release),
        support_test(test_aioredis_lock_is_owner),
        support_test(test_aioredis_lock_enter_and_exit),
        support_test(test_aioredis_lock_leader_and_follower),
        support_test(test_lock_query_and_force_release),
        support_test(test_lock_started_forms),
        support_test(test_lock_cancel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
