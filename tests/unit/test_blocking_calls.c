/* SPDX-License-Identifier: MIT
 *
 * The blocking calls: one loop over env.wait, which here drives the virtual servers.
 */
#include "harness.h"

#include <string.h>

static harness h;
static rlk_lock subject;
static unsigned calls;

/* A blocking call as a function of one argument. */
typedef struct lock_call {
    const char *name;
    rlk_result (*call)(rlk_lock *lock);
    rlk_result expected;
} lock_call;

static rlk_result call_extend(rlk_lock *lock)
{
    return rlk_extend(lock, 1000);
}

static rlk_result call_renew(rlk_lock *lock)
{
    return rlk_renew(lock, RLK_DEFAULT);
}

static rlk_result call_query(rlk_lock *lock)
{
    rlk_holder holders[RLK_MAX_NODES];

    return rlk_query(lock, holders, RLK_MAX_NODES);
}

/* Calls each of the table; each has the result that the table expects. */
static void expect_calls(rlk_lock *lock, const lock_call *rows, size_t len)
{
    size_t i;

    for (i = 0; support_row(i, len); i++) {
        support_row_name("%s", rows[i].name);
        assert_result(rows[i].call(lock), rows[i].expected);
    }
}

static void test_blocking_cycle(void **state)
{
    unsigned n;

    (void)state;
    for (n = 1; n <= 5; n++) {
        rlk_holder holders[RLK_MAX_NODES];

        harness_start_automatic(&h, n);
        harness_lock(&h, &subject, 30000);
        assert_result(rlk_acquire(&subject, RLK_DEFAULT), RLK_OK);
        assert_result(rlk_extend(&subject, 1000), RLK_OK);
        assert_result(rlk_renew(&subject, 60000), RLK_OK);
        assert_result(rlk_check(&subject), RLK_OK);
        assert_result(rlk_query(&subject, holders, RLK_MAX_NODES), RLK_OK);
        assert_result(rlk_keep_alive(&subject), RLK_OK);
        assert_result(rlk_force_release(&subject), RLK_E_STATE);
        assert_result(rlk_release(&subject), RLK_OK);
        assert_result(rlk_force_release(&subject), RLK_OK);
        assert_result(rlk_query(&subject, holders, RLK_MAX_NODES), RLK_NOT_HELD);
        harness_expect_no_event(&h); /* the calls returned the results */
        assert_int_equal(h.now_ms, HARNESS_START);
    }
}

/* A call that is refused because another operation is under way does not serve the connections:
 * that operation could end meanwhile. */
static void test_blocking_second_call_leaves_the_first(void **state)
{
    rlk_holder holders[RLK_MAX_NODES];

    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &subject, 30000);
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
    assert_result(rlk_query_start(&subject, holders, RLK_MAX_NODES), RLK_PENDING);
    h.now_ms += 2000; /* idle: a call that is not refused serves them first */
    assert_result(rlk_force_release(&subject), RLK_E_STATE);
    assert_result(rlk_release(&subject), RLK_E_STATE);
    assert_result(rlk_keep_alive(&subject), RLK_OK);
    assert_int_equal(rlk_lock_operation(&subject), RLK_OP_QUERY);
    assert_result(rlk_lock_close(&subject), RLK_UNKNOWN);
}

/* A call that needs a lock that is held, of one that is free: it does not wait, and so no
 * connection begins. */
static void test_blocking_call_of_a_free_lock_does_not_wait(void **state)
{
    static const lock_call rows[] = {
        {"release", rlk_release, RLK_NOT_HELD},       {"extend", call_extend, RLK_NOT_HELD},
        {"renew", call_renew, RLK_NOT_HELD},          {"check", rlk_check, RLK_NOT_HELD},
        {"keep_alive", rlk_keep_alive, RLK_NOT_HELD},
    };

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    h.waits = 0;
    expect_calls(&subject, rows, COUNT_OF(rows));
    assert_int_equal(h.waits, 0);
}

static void test_blocking_acquire_waits_for_the_holder(void **state)
{
    (void)state;
    harness_start_automatic(&h, 3);
    harness_put(&h, 0, HARNESS_KEY, "foreign", 7000);
    harness_put(&h, 1, HARNESS_KEY, "foreign", 7000);
    harness_lock(&h, &subject, 30000);
    assert_result(rlk_acquire(&subject, 6000), RLK_TIMED_OUT);
    assert_int_equal(h.now_ms, HARNESS_START + 6000);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK);
    assert_between(h.now_ms, HARNESS_START + 7000, HARNESS_START + 7000 + RLK_RETRY_MAX_MS);
}

static int cancel_at_third(harness *self)
{
    (void)self;
    if (++calls == 3)
        assert_result(rlk_cancel(&subject), RLK_OK);
    return 0;
}

static int close_at_third(harness *self)
{
    (void)self;
    if (++calls == 3)
        (void)rlk_lock_close(&subject);
    return 0;
}

static int close_and_fail_at_third(harness *self)
{
    (void)close_at_third(self);
    return calls >= 3;
}

static int fail_at_third(harness *self)
{
    (void)self;
    return ++calls >= 3;
}

static void wait_for_foreign(int (*on_wait)(harness *), rlk_result expected)
{
    calls = 0;
    harness_acquire_foreign(&h, &subject, on_wait, expected);
}

static void test_blocking_cancelled_while_waiting(void **state)
{
    (void)state;
    wait_for_foreign(cancel_at_third, RLK_CANCELLED);
    assert_result(rlk_lock_close(&subject), RLK_OK);
}

static void test_blocking_closed_while_waiting(void **state)
{
    (void)state;
    wait_for_foreign(close_at_third, RLK_E_CLOSED);
    wait_for_foreign(close_and_fail_at_third, RLK_E_CLOSED);
}

/* env.wait fails: the call ends as if cancelled, and its result is what is known. */
static void test_blocking_wait_fails(void **state)
{
    (void)state;
    wait_for_foreign(fail_at_third, RLK_CANCELLED); /* in a pause: no token of ours is there */
    harness_start(&h, 1);                           /* a SET is under way */
    harness_lock(&h, &subject, 30000);
    calls = 1;
    h.on_wait = fail_at_third;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_UNKNOWN);
    assert_int_equal(rlk_lock_operation(&subject), RLK_OP_NONE);
    harness_serve(&h, 0); /* the undo goes on where it is served */
    harness_expect_no_event(&h);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);

    harness_start(&h, 1);
    harness_held(&h, &subject, 30000);
    calls = 1;
    h.on_wait = fail_at_third;
    assert_result(rlk_renew(&subject, 60000), RLK_UNKNOWN);
    assert_true(rlk_is_held(&subject));
    assert_result(rlk_check(&subject), RLK_CANCELLED);
    assert_result(rlk_release(&subject), RLK_UNKNOWN);
    harness_expect_no_event(&h);
}

/* The wait that fails brings the result: that counts. */
static int serve_and_fail(harness *self)
{
    harness_serve(self, 0);
    return -1;
}

static void test_blocking_wait_fails_with_the_result(void **state)
{
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    h.on_wait = serve_and_fail;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK);
    assert_true(rlk_is_held(&subject));
    assert_result(rlk_release(&subject), RLK_OK);
    harness_expect_no_event(&h);
}

/* Without env.wait nothing is started. */
static void test_blocking_without_wait(void **state)
{
    static const lock_call rows[] = {
        {"release", rlk_release, RLK_E_WAIT},
        {"extend", call_extend, RLK_E_WAIT},
        {"renew", call_renew, RLK_E_WAIT},
        {"check", rlk_check, RLK_E_WAIT},
        {"keep_alive", rlk_keep_alive, RLK_E_WAIT},
        {"query", call_query, RLK_E_WAIT},
        {"force_release", rlk_force_release, RLK_E_WAIT},
    };

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    h.client->env.wait = NULL;
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_E_WAIT);
#ifndef RLK_NO_TEXT
    assert_non_null(strstr(rlk_lock_error(&subject), "acquire \"" HARNESS_KEY "\": E_WAIT: "));
#endif
    expect_calls(&subject, rows, COUNT_OF(rows));
    harness_expect_quiet(&h, 0);
    assert_result(rlk_acquire_start(&subject, RLK_TRY), RLK_PENDING); /* the started forms work */
}

/* A program that serves other locks within env.wait may pull the events of this one, too. */
static int pull_events(harness *self)
{
    rlk_event event;

    harness_run(self);
    while (rlk_client_next_event(self->client, &event)) {
        assert_ptr_equal(event.lock, &subject);
        self->ends_wait = true;
    }
    return ++calls > 20 ? -1 : 0;
}

static void test_blocking_result_that_was_pulled(void **state)
{
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = pull_events;
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&subject), RLK_OK);
    assert_true(calls < 20);
}

/* A server that closed an idle connection is noticed before the attempt, not by it. */
static int deliver_end_of_stream(harness *self)
{
    if (++calls == 1)
        harness_cut(self, 0);
    return 0;
}

static void test_blocking_idle_connection_is_served_first(void **state)
{
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &subject, 30000);
    h.now_ms += 3600000;
    calls = 0;
    h.on_wait = deliver_end_of_stream;
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
    assert_true(calls > 1);
    assert_int_equal(h.servers[0].streams, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocking_cycle),
        cmocka_unit_test(test_blocking_second_call_leaves_the_first),
        cmocka_unit_test(test_blocking_call_of_a_free_lock_does_not_wait),
        cmocka_unit_test(test_blocking_acquire_waits_for_the_holder),
        cmocka_unit_test(test_blocking_cancelled_while_waiting),
        cmocka_unit_test(test_blocking_closed_while_waiting),
        cmocka_unit_test(test_blocking_wait_fails),
        cmocka_unit_test(test_blocking_wait_fails_with_the_result),
        cmocka_unit_test(test_blocking_without_wait),
        cmocka_unit_test(test_blocking_result_that_was_pulled),
        cmocka_unit_test(test_blocking_idle_connection_is_served_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
