/* SPDX-License-Identifier: MIT
 *
 * An acquire whose SET was sent and not answered, and which then ends: as one attempt, by cancel,
 * at its deadline. What was ours is undone before the end is known, or said to be UNKNOWN.
 */
#include "ambiguous.h"

/* ---- Not wanted any more: undone ---- */

/* One attempt, and one more on the next stream, since the first may have been dead already: its
 * outcome is settled and undone before the error is reported. */
static void one_try(proxy_action action)
{
    rlk_result result;

    proxied_on(&world, "SET " KEY, action);
    proxied_on(&world, "EVALSHA", PROXY_CUT_BEFORE);
    result = rlk_acquire(&lock, RLK_TRY);
    assert_int_equal(rlk_result_class(result), RLK_KIND_TRANSPORT);
    assert_false(rlk_is_held(&lock));
    assert_true(proxied_holding(&world, KEY, NULL) < nodes_quorum());
    proxied_calm(&world);
    assert_free_for_good();
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    proxied_calm(&world);
    assert_free_for_good();
}

static void try_executed_body(void)
{
    one_try(PROXY_CUT_REPLY);
}

static void try_not_executed_body(void)
{
    one_try(PROXY_CUT_BEFORE);
}

static void try_late_body(void)
{
    one_try(PROXY_CUT_LATE);
}

static void test_fault_30_one_try_is_undone(void **state)
{
    (void)state;
    on_each_world(try_executed_body, NULL);
    on_each_world(try_not_executed_body, NULL);
    on_each_world(try_late_body, NULL);
}

/* One attempt without a fence: the compare-and-delete found it, so that there is nothing left to
 * doubt; or it did not, and nobody can know. */
static void try_unfenced_executed_body(void)
{
    one_try(PROXY_CUT_REPLY);
}

static void try_unfenced_late_body(void)
{
    const char *token;

    proxied_on(&world, "SET " KEY, PROXY_CUT_LATE);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_UNKNOWN);
    token = token_of(&lock);
    assert_false(rlk_is_held(&lock));
    proxied_calm(&world);
    assert_free();
    proxied_release(&world);
    assert_on_quorum(token);
}

static void test_fault_30_one_try_without_a_fence(void **state)
{
    (void)state;
    on_each_world(try_unfenced_executed_body, &server_unfenced);
    on_each_world(try_unfenced_late_body, &server_unfenced);
}

/* Ends an acquire whose SET is on its way. The undo goes behind it on the same connection. */
typedef enum stuck_ending {
    STUCK_CANCELLED,
    STUCK_TIMED_OUT
} stuck_ending;

static void stuck_start(stuck_ending ending)
{
    int64_t wait_ms = ending == STUCK_CANCELLED ? RLK_FOREVER : 60;

    assert_result(rlk_acquire_start(&lock, wait_ms), RLK_PENDING);
    serve_until(&world.set.posix, proxied_count(&world, "SET " KEY) == nodes_count());
}

static void stuck_end(stuck_ending ending)
{
    if (ending == STUCK_CANCELLED)
        assert_result(rlk_cancel(&lock), RLK_OK);
    /* no word before the truth is known */
    loop_quiet(&world.set.posix, ending == STUCK_CANCELLED ? 30 : 100);
}

static void stuck_assert_event(stuck_ending ending)
{
    if (ending == STUCK_CANCELLED)
        assert_result_event(&world.set.posix, RLK_OP_ACQUIRE, RLK_CANCELLED);
    else
        assert_result_event(&world.set.posix, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
}

/* Held before the server. */
static void stuck_before_server(stuck_ending ending)
{
    proxied_on(&world, "SET " KEY, PROXY_HOLD);
    stuck_start(ending);
    stuck_end(ending);
    assert_free();
    proxied_release(&world);
    stuck_assert_event(ending);
    proxied_calm(&world);
    assert_free_for_good();
    assert_int_equal(set_calls(), nodes_count()); /* it was executed, and undone */
    assert_int_equal(proxied_accepted(&world), nodes_count());
}

/* Executed, the reply held on its way back. */
static void stuck_before_client(stuck_ending ending)
{
    proxied_hold(&world, PROXY_TO_CLIENT);
    stuck_start(ending);
    wait_until(proxied_holding(&world, KEY, token_of(&lock)) == world.set.count);

    stuck_end(ending);
    serve_until(&world.set.posix, proxied_holding(&world, KEY, NULL) == 0);

    /* the undo came, its reply has not */
    proxied_release(&world);
    stuck_assert_event(ending);
    assert_free_for_good();
    assert_int_equal(proxied_accepted(&world), nodes_count());
}

/* The connection ends while the end is waited for: the new one fences, and undoes. */
static void stuck_and_cut(stuck_ending ending)
{
    size_t i;

    proxied_on(&world, "SET " KEY, PROXY_HOLD);
    stuck_start(ending);
    stuck_end(ending);
    for (i = 0; i < world.set.count; i++)
        proxy_cut_client(world.proxies[i], PROXY_FIN); /* the held bytes stay on their way */
    stuck_assert_event(ending);
    proxied_calm(&world);
    assert_free_for_good();
    assert_int_equal(set_calls(), 0);
    assert_int_equal(proxied_count(&world, "CLIENT KILL"), nodes_count());
}

static void cancel_before_server_body(void)
{
    stuck_before_server(STUCK_CANCELLED);
}

static void cancel_before_client_body(void)
{
    stuck_before_client(STUCK_CANCELLED);
}

static void cancel_and_cut_body(void)
{
    stuck_and_cut(STUCK_CANCELLED);
}

static void test_cancel_undoes_what_was_sent(void **state)
{
    (void)state;
    on_each_world(cancel_before_server_body, NULL);
    on_each_world(cancel_before_client_body, NULL);
    on_each_world(cancel_and_cut_body, NULL);
}

static void timeout_before_server_body(void)
{
    stuck_before_server(STUCK_TIMED_OUT);
}

static void timeout_before_client_body(void)
{
    stuck_before_client(STUCK_TIMED_OUT);
}

static void timeout_and_cut_body(void)
{
    stuck_and_cut(STUCK_TIMED_OUT);
}

static void test_timeout_undoes_what_was_sent(void **state)
{
    (void)state;
    on_each_world(timeout_before_server_body, NULL);
    on_each_world(timeout_before_client_body, NULL);
    on_each_world(timeout_and_cut_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_30_one_try_is_undone),
        support_test(test_fault_30_one_try_without_a_fence),
        support_test(test_cancel_undoes_what_was_sent),
        support_test(test_timeout_undoes_what_was_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
