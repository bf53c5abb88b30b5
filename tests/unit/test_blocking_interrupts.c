/* SPDX-License-Identifier: MIT
 *
 * Interrupts of a blocking call: env.wait answers RLK_CANCELLED.
 */
#include "harness.h"

static harness h;
static rlk_lock subject;
static unsigned calls;

static void wait_for_foreign(int (*on_wait)(harness *), rlk_result expected)
{
    calls = 0;
    harness_acquire_foreign(&h, &subject, on_wait, expected);
}

static int interrupt_at_third(harness *self)
{
    (void)self;
    return ++calls == 3 ? (int)RLK_CANCELLED : 0;
}

/* Its server answers what was asked before the interrupt, and the undo. */
static int interrupt_at_third_and_serve(harness *self)
{
    int answer = interrupt_at_third(self);

    if (calls > 3)
        harness_serve(self, 0);
    return answer;
}

static int interrupt_always(harness *self)
{
    calls++;
    if (calls == 5)
        harness_serve(self, 0);
    return (int)RLK_CANCELLED;
}

/* An interrupt cancels, and waits for the undo: the result is known. */
static void test_blocking_interrupted(void **state)
{
    (void)state;
    wait_for_foreign(interrupt_at_third, RLK_CANCELLED);
    assert_int_equal(rlk_lock_operation(&subject), RLK_OP_NONE);
    assert_text_contains(rlk_lock_error(&subject), "acquire \"k\": CANCELLED: ");
    h.on_wait = NULL;
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK); /* it ended one call */

    harness_start(&h, 1); /* a SET is under way */
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = interrupt_at_third_and_serve;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 1);
    harness_expect_no_event(&h);

    harness_start(&h, 1); /* an interrupt during the undo has no further effect */
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = interrupt_always;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_int_equal(calls, 5);
}

/* The undo is not answered: the wait for it is bounded, and the result is UNKNOWN. */
static void test_blocking_interrupted_before_a_silent_server(void **state)
{
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    calls = 1;
    h.on_wait = interrupt_at_third;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_UNKNOWN);
    assert_between(h.now_ms, HARNESS_START,
                   HARNESS_START + RLK_NODE_TIMEOUT_MAX_MS + RLK_SETTLE_TIMEOUT_MS);
    /* an interrupt now reports no more of the token than is known */
    h.client->interrupted = true;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_UNKNOWN);
    h.on_wait = NULL;
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_SETTLED, RLK_OK);
    h.client->interrupted = true;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
}

/* The other calls: the lock is in the state after rlk_cancel. */
static void test_blocking_interrupts_each_call(void **state)
{
    static const struct {
        rlk_result (*call)(rlk_lock *lock);
        rlk_result expected;
        bool held;
    } cases[] = {
        {rlk_release, RLK_UNKNOWN, false},
        {rlk_check, RLK_CANCELLED, true},
        {rlk_resign, RLK_UNKNOWN, false},
    };
    rlk_holder holders[RLK_MAX_NODES];
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        harness_start(&h, 1);
        harness_held(&h, &subject, 30000);
        calls = 2;
        h.on_wait = interrupt_at_third;
        assert_result(cases[i].call(&subject), cases[i].expected);
        assert_int_equal(rlk_is_held(&subject), cases[i].held);
        harness_expect_no_event(&h);
    }
    harness_start(&h, 1);
    harness_held(&h, &subject, 30000);
    h.on_wait = interrupt_at_third;
    calls = 2;
    assert_result(rlk_extend(&subject, 1000), RLK_UNKNOWN);
    calls = 2;
    assert_result(rlk_renew(&subject, 60000), RLK_UNKNOWN);
    assert_true(rlk_is_held(&subject));
    calls = 2;
    assert_result(rlk_query(&subject, holders, RLK_MAX_NODES), RLK_CANCELLED);
    harness_advance(&h, 12000);
    calls = 1; /* it first reads what the server sent */
    assert_result(rlk_keep_alive(&subject), RLK_OK);
    assert_int_equal(calls, 3);
    assert_true(rlk_is_held(&subject));
}

/* A wait that brings the result and the interrupt: the result counts. The interrupt stays for the
 * next acquire, whatever is called before. */
static int serve_and_interrupt(harness *self)
{
    calls++;
    harness_run(self);
    harness_serve(self, 0);
    return calls == 1 ? (int)RLK_CANCELLED : 0;
}

static void test_blocking_interrupt_is_kept(void **state)
{
    rlk_holder holder;
    unsigned sets;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = serve_and_interrupt;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_E_STATE); /* which keeps it */
    assert_result(rlk_check(&subject), RLK_OK);
    assert_result(rlk_release(&subject), RLK_OK);
    assert_result(rlk_query_start(&subject, &holder, 1), RLK_PENDING);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_E_STATE); /* refused: keeps it too */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD);
    sets = h.servers[0].count[HARNESS_SET];
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], sets);
    harness_expect_no_event(&h);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK);
}

/* An interrupt between two calls ends the acquire that follows before it sends anything. That is so
 * where the driver may have an interrupt to report, or the client was idle for a second. */
static int interrupt_at_first(harness *self)
{
    (void)self;
    return ++calls == 1 ? (int)RLK_CANCELLED : 0;
}

static void test_blocking_interrupt_between_calls(void **state)
{
    static const struct {
        bool interruptible;
        int64_t idle_ms;
        unsigned sets; /* the client reads it before, or in the first wait */
    } cases[] = {{true, 0, 0}, {false, 1000, 0}, {false, 999, 1}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        harness_start_automatic(&h, 1);
        h.client->interruptible = cases[i].interruptible;
        harness_lock(&h, &subject, 30000);
        h.now_ms += cases[i].idle_ms;
        calls = 0;
        h.on_wait = interrupt_at_first;
        assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
        assert_int_equal(h.servers[0].count[HARNESS_SET], cases[i].sets);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
        assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK); /* it ended one call */
    }
}

/* Other calls leave it to the next acquire. */
static void test_blocking_interrupt_between_calls_is_kept(void **state)
{
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &subject, 30000);
    h.servers[0].automatic = true;
    h.client->interruptible = true;
    calls = 0;
    h.on_wait = interrupt_at_first;
    assert_result(rlk_release(&subject), RLK_OK);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocking_interrupted),
        cmocka_unit_test(test_blocking_interrupted_before_a_silent_server),
        cmocka_unit_test(test_blocking_interrupts_each_call),
        cmocka_unit_test(test_blocking_interrupt_is_kept),
        cmocka_unit_test(test_blocking_interrupt_between_calls),
        cmocka_unit_test(test_blocking_interrupt_between_calls_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
