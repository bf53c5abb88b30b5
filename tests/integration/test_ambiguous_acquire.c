/* SPDX-License-Identifier: MIT
 *
 * An acquire whose SET was sent and not answered: executed, not executed, executed late. What was
 * ours is recognised, and what can't be known is said to be UNKNOWN. No longer wanted:
 * test_ambiguous_acquire_undone.c.
 */
#include "ambiguous.h"

/* ---- Still wanted: recognised ---- */

/* Executed, and the reply is lost: our own token is found, no second SET is sent. */
static void executed_body(void)
{
    proxied_on(&world, "SET " KEY, PROXY_CUT_REPLY);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    serve_until(&world.set.posix, proxied_holding(&world, KEY, token_of(&lock)) == world.set.count);

    assert_between(rlk_remaining_ms(&lock), 29000 - 5000, 30000 - 302);
    assert_int_equal(proxied_count(&world, "SET " KEY), nodes_count());
    serve_until(&world.set.posix, proxied_count(&world, "CLIENT KILL") == nodes_count());

    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_free_for_good();
}

static void test_fault_30_rst_after_set_sent_executed(void **state)
{
    (void)state;
    on_each_world(executed_body, NULL);
}

/* Not executed: known by the fence, and sent again with the same token. A node that is compared
 * when a quorum has the lock already is left alone. */
static void not_executed_body(void)
{
    proxied_on(&world, "SET " KEY, PROXY_CUT_BEFORE);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    /* a comparison, and one of each of two handshakes */
    serve_until(&world.set.posix, proxied_count(&world, "EVALSHA") == 3 * nodes_count());

    assert_on_quorum(token_of(&lock));
    assert_between(proxied_count(&world, "SET " KEY), nodes_count() + (int)nodes_quorum(),
                   2 * nodes_count());
    assert_between(set_calls(), nodes_quorum(), nodes_count());
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_free_for_good();
}

static void test_fault_30_rst_after_set_sent_not_executed(void **state)
{
    (void)state;
    on_each_world(not_executed_body, NULL);
}

/* Would be executed late, by a connection that the server has open yet: the fence kills it. */
static void late_fenced_body(void)
{
    int64_t calls;

    proxied_on(&world, "SET " KEY, PROXY_CUT_LATE);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_on_quorum(token_of(&lock));
    serve_until(&world.set.posix, proxied_count(&world, "CLIENT KILL") == nodes_count());

    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    calls = set_calls();
    assert_free_for_good();
    assert_int_equal(set_calls(), calls); /* the first ones never reached a server */
}

static void test_fault_65_data_after_fin_is_fenced(void **state)
{
    (void)state;
    on_each_world(late_fenced_body, NULL);
}

/* No fence, and the SET executes before the repeated one, which answers nil: that is our own token
 * in the way and not BUSY. */
static void late_in_between_body(void)
{
    char token[RLK_TOKEN_MAX + 1];
    size_t i;

    proxied_on(&world, "SET " KEY, PROXY_CUT_BEFORE); /* the late one is played by hand */
    for (i = 0; i < world.set.count; i++)
        proxy_on(world.proxies[i], "SET " KEY, 2, PROXY_HOLD, NULL);
    assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "SET " KEY) == 2 * nodes_count());

    strcpy(token, token_of(&lock));
    for (i = 0; i < world.set.count; i++)
        server_do(world.set.servers[i], "SET " KEY " %s NX PX 30000", token_of(&lock));
    proxied_release(&world);
    assert_event(&world.set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_string_equal(token_of(&lock), token); /* the same attempt */
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK); /* all of its SETs are accounted for */
    proxied_calm(&world);
    assert_free_for_good();
}

static void test_nil_while_a_set_is_unresolved_is_not_busy(void **state)
{
    (void)state;
    on_each_world(late_in_between_body, &server_unfenced);
}

/* The same, and the repeated SET is not answered either when the lock is cancelled: the undo behind
 * it deletes, but which of the two SETs put the token there, nobody knows. The first may still
 * come. */
static void doubt_behind_unanswered_body(void)
{
    size_t i;

    proxied_on(&world, "SET " KEY, PROXY_CUT_BEFORE); /* the late one is played by hand */
    for (i = 0; i < world.set.count; i++)
        proxy_on(world.proxies[i], "SET " KEY, 2, PROXY_HOLD, NULL);
    assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "SET " KEY) == 2 * nodes_count());

    assert_result(rlk_cancel(&lock), RLK_OK);
    loop_quiet(&world.set.posix, 20);
    proxied_release(&world);
    assert_result_event(&world.set.posix, RLK_OP_ACQUIRE, RLK_UNKNOWN);
    proxied_calm(&world);
    assert_free_for_good();
}

static void test_undo_behind_an_unanswered_set_keeps_the_doubt(void **state)
{
    (void)state;
    on_each_world(doubt_behind_unanswered_body, &server_unfenced);
}

/* No fence, and the SET executes after the release: the release could not promise it, and says
 * so. */
static void late_after_release_body(void)
{
    const char *token;

    proxied_on(&world, "SET " KEY, PROXY_CUT_LATE);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    token = token_of(&lock);
    assert_on_quorum(token);
    assert_result(rlk_release(&lock), RLK_UNKNOWN);
    serve_until(&world.set.posix, proxied_holding(&world, KEY, NULL) == 0);

    proxied_calm(&world); /* no node owes an undo, so the next token is another */
    proxied_release(&world);
    assert_on_quorum(token);                              /* the orphan */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY); /* which blocks us like others */
}

static void test_fault_34_late_set_after_unlock_is_reported(void **state)
{
    (void)state;
    on_each_world(late_after_release_body, &server_unfenced);
}

/* A quorum of deletions is no OK while a quorum may get the token back: here one of the two that
 * deleted is in doubt, and the third did not answer. */
static void test_release_counts_what_is_unresolved(void **state)
{
    rlk_holder holders[3];
    const char *token;

    (void)state;
    proxied_start(&world, 3, true, &server_unfenced, NULL);
    assert_result(rlk_lock_init(&lock, &world.set.posix.client, KEY, NULL), RLK_OK);
    assert_result(rlk_query(&lock, holders, 3), RLK_NOT_HELD);
    proxy_on(world.proxies[1], "SET " KEY, 1, PROXY_CUT_LATE, NULL);
    proxy_refuse(world.proxies[2], true);
    proxy_on(world.proxies[2], "SET " KEY, 1, PROXY_CUT_LATE, NULL);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    token = token_of(&lock);
    assert_int_equal(proxied_holding(&world, KEY, token), 2);
    /* the third is cut, or the release would follow its SET on the same stream */
    serve_until(&world.set.posix,
                rlk_conn_get_state(rlk_client_conn(&world.set.posix.client, 2)) != RLK_CONN_READY);

    assert_result(rlk_release(&lock), RLK_UNKNOWN);
    proxied_calm(&world);
    assert_free();
    proxied_release(&world);
    assert_int_equal(proxied_holding(&world, KEY, token), 2);
    rlk_lock_close(&lock);
    proxied_close(&world);
}

/* ---- Not to be known ---- */

/* The server does not answer until the settling is over: UNKNOWN, in time; and the undo goes on. */
static void away_body(void)
{
    int64_t start;
    size_t i;

    proxied_on(&world, "SET " KEY, PROXY_HOLD);
    for (i = 0; i < world.set.count; i++)
        proxy_mute(world.proxies[i], true); /* a new connection receives nothing either */
    start = support_now_ms();
    assert_result(rlk_acquire(&lock, 100), RLK_UNKNOWN);
    assert_between(support_now_ms() - start, 100 + proxied_options().settle_timeout_ms,
                   (100 + proxied_options().settle_timeout_ms) + 500 * support_time_factor());
    for (i = 0; i < world.set.count; i++)
        proxy_clear(world.proxies[i]);
    proxied_release(&world);
    proxied_calm(&world);
    serve_until(&world.set.posix, proxied_holding(&world, KEY, NULL) == 0);

    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_free_for_good();
}

static void test_acquire_is_unknown_when_the_server_stays_away(void **state)
{
    (void)state;
    on_each_world(away_body, NULL);
}

/* The lock is closed before that is known: an orphan is possible, and said to be. */
static void close_body(void)
{
    proxied_on(&world, "SET " KEY, PROXY_HOLD);
    assert_result(rlk_acquire_start(&lock, 5000), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "SET " KEY) == nodes_count());

    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    assert_free();
    proxied_release(&world);
    assert_int_equal(proxied_holding(&world, KEY, NULL), world.set.count);
    loop_quiet(&world.set.posix, 20); /* its replies find nobody */
    assert_int_equal(proxied_accepted(&world), nodes_count());
}

static void test_close_reports_the_possible_orphan(void **state)
{
    (void)state;
    on_each_world(close_body, NULL);
}

/* ---- The retired token ---- */

/* An attempt that failed was undone; what it sent comes late, release and all. The next attempt
 * has another token, which the late release does not delete. */
static void retired_body(void)
{
    rlk_lock_config config = {.ttl_ms = 30000, .node_timeout_ms = 100, .retry_max_ms = 50};
    rlk_lock other;
    char first[RLK_TOKEN_MAX + 1];
    int64_t calls;
    size_t i;

    assert_result(rlk_lock_init(&other, &world.set.posix.client, KEY, &config), RLK_OK);
    proxied_on(&world, "SET " KEY, PROXY_HOLD);
    assert_result(rlk_acquire_start(&other, 20000), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "SET " KEY) == nodes_count());

    strcpy(first, token_of(&other));
    /* the time of the attempt is over: its undo is behind the SET */
    loop_quiet(&world.set.posix, 200);
    for (i = 0; i < world.set.count; i++)
        proxy_cut_client(world.proxies[i], PROXY_FIN);
    assert_event(&world.set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_string_not_equal(token_of(&other), first);
    proxied_calm(&world);
    assert_on_quorum(token_of(&other));
    calls = set_calls();
    proxied_release(&world);
    assert_on_quorum(token_of(&other));
    assert_result(rlk_check(&other), RLK_OK);
    /* The late SET reached the server: then nobody could know that its release came with it. */
    assert_result(rlk_release(&other), set_calls() == calls ? RLK_OK : RLK_UNKNOWN);
    proxied_calm(&world);
    assert_free_for_good();
    rlk_lock_close(&other);
}

static void test_fault_66_late_release_of_a_retired_token(void **state)
{
    (void)state;
    on_each_world(retired_body, NULL);
    on_each_world(retired_body, &server_unfenced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_30_rst_after_set_sent_executed),
        support_test(test_fault_30_rst_after_set_sent_not_executed),
        support_test(test_fault_65_data_after_fin_is_fenced),
        support_test(test_nil_while_a_set_is_unresolved_is_not_busy),
        support_test(test_undo_behind_an_unanswered_set_keeps_the_doubt),
        support_test(test_fault_34_late_set_after_unlock_is_reported),
        support_test(test_release_counts_what_is_unresolved),
        support_test(test_acquire_is_unknown_when_the_server_stays_away),
        support_test(test_close_reports_the_possible_orphan),
        support_test(test_fault_66_late_release_of_a_retired_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
