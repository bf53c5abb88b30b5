/* SPDX-License-Identifier: MIT
 *
 * The blocking calls: one loop over env.wait, which here drives the virtual world.
 */
#include "bench.h"

#include <string.h>

static bench b;
static rlk_lock subject;
static unsigned calls;

static void test_lock_blocking_cycle(void **state)
{
    unsigned n;
    (void)state;
    for (n = 1; n <= 5; n++) {
        rlk_holder holders[RLK_MAX_NODES];
        bench_start_automatic(&b, n);
        bench_lock(&b, &subject, 30000);
        assert_result(rlk_acquire(&subject, RLK_DEFAULT), RLK_OK);
        assert_result(rlk_extend(&subject, 1000), RLK_OK);
        assert_result(rlk_renew(&subject, 60000), RLK_OK);
        assert_result(rlk_check(&subject), RLK_OK);
        assert_result(rlk_query(&subject, holders, RLK_MAX_NODES), RLK_OK);
        assert_result(rlk_keep(&subject), RLK_OK);
        assert_result(rlk_force_release(&subject), RLK_E_STATE);
        assert_result(rlk_release(&subject), RLK_OK);
        assert_result(rlk_force_release(&subject), RLK_OK);
        assert_result(rlk_query(&subject, holders, RLK_MAX_NODES), RLK_NOT_HELD);
        bench_expect_no_event(&b); /* the calls returned the results */
        assert_int_equal(b.now_ms, BENCH_START);
    }
}

static void test_lock_blocking_waits_for_the_holder(void **state)
{
    (void)state;
    bench_start_automatic(&b, 3);
    bench_put(&b, 0, BENCH_KEY, "foreign", 7000);
    bench_put(&b, 1, BENCH_KEY, "foreign", 7000);
    bench_lock(&b, &subject, 30000);
    assert_result(rlk_acquire(&subject, 6000), RLK_TIMED_OUT);
    assert_int_equal(b.now_ms, BENCH_START + 6000);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK);
    assert_between(b.now_ms, BENCH_START + 7000, BENCH_START + 7000 + RLK_RETRY_MAX_MS);
}

/* ---- The calls end early ---- */

static int cancel_at_third(bench *self)
{
    (void)self;
    if (++calls == 3)
        assert_result(rlk_cancel(&subject), RLK_OK);
    return 0;
}

static int close_at_third(bench *self)
{
    (void)self;
    if (++calls == 3)
        (void)rlk_lock_close(&subject);
    return 0;
}

static int close_and_fail_at_third(bench *self)
{
    (void)close_at_third(self);
    return calls >= 3;
}

static int fail_at_third(bench *self)
{
    (void)self;
    return ++calls >= 3;
}

static void wait_for_foreign(int (*on_wait)(bench *), rlk_result expected)
{
    bench_start_automatic(&b, 1);
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    bench_lock(&b, &subject, 30000);
    calls = 0;
    b.on_wait = on_wait;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), expected);
    bench_expect_no_event(&b);
}

static void test_lock_blocking_cancelled_while_waiting(void **state)
{
    (void)state;
    wait_for_foreign(cancel_at_third, RLK_CANCELLED);
    assert_result(rlk_lock_close(&subject), RLK_OK);
}

static void test_lock_blocking_closed_while_waiting(void **state)
{
    (void)state;
    wait_for_foreign(close_at_third, RLK_E_CLOSED);
    wait_for_foreign(close_and_fail_at_third, RLK_E_CLOSED);
}

/* env.wait can't: the call ends as if cancelled, and says what it knows. */
static void test_lock_blocking_wait_fails(void **state)
{
    (void)state;
    wait_for_foreign(fail_at_third, RLK_CANCELLED); /* in a pause: nothing of ours is there */
    bench_start(&b, 1);                             /* a SET out */
    bench_lock(&b, &subject, 30000);
    calls = 1;
    b.on_wait = fail_at_third;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_UNKNOWN);
    assert_int_equal(rlk_lock_operation(&subject), RLK_OP_NONE);
    bench_serve(&b, 0); /* the undo goes on where it is served */
    bench_expect_no_event(&b);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);

    bench_start(&b, 1);
    bench_held(&b, &subject, 30000);
    calls = 1;
    b.on_wait = fail_at_third;
    assert_result(rlk_renew(&subject, 60000), RLK_UNKNOWN);
    assert_true(rlk_is_held(&subject));
    assert_result(rlk_check(&subject), RLK_CANCELLED);
    assert_result(rlk_release(&subject), RLK_UNKNOWN);
    bench_expect_no_event(&b);
}

/* Without env.wait nothing is started. */
static void test_lock_blocking_without_wait(void **state)
{
    rlk_holder holders[1];
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &subject, 30000);
    b.client->env.wait = NULL;
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_E_WAIT);
#ifndef RLK_NO_TEXT
    assert_non_null(strstr(rlk_lock_error(&subject), "acquire \"" BENCH_KEY "\": E_WAIT: "));
#endif
    assert_result(rlk_release(&subject), RLK_E_WAIT);
    assert_result(rlk_extend(&subject, 1), RLK_E_WAIT);
    assert_result(rlk_renew(&subject, 1), RLK_E_WAIT);
    assert_result(rlk_check(&subject), RLK_E_WAIT);
    assert_result(rlk_keep(&subject), RLK_E_WAIT);
    assert_result(rlk_query(&subject, holders, 1), RLK_E_WAIT);
    assert_result(rlk_force_release(&subject), RLK_E_WAIT);
    bench_expect_quiet(&b, 0);
    assert_result(rlk_acquire_start(&subject, RLK_TRY), RLK_PENDING); /* the started forms work */
}

/* Whoever serves other locks within env.wait may pull the events of this one, too. */
static int pull_events(bench *self)
{
    rlk_event event;
    bench_run(self);
    while (rlk_client_next_event(self->client, &event)) {
        assert_ptr_equal(event.lock, &subject);
        self->woken = true;
    }
    return ++calls > 20 ? -1 : 0;
}

static void test_lock_blocking_result_that_was_pulled(void **state)
{
    (void)state;
    bench_start_automatic(&b, 1);
    bench_lock(&b, &subject, 30000);
    calls = 0;
    b.on_wait = pull_events;
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&subject), RLK_OK);
    assert_true(calls < 20);
}

/* A server that closed an idle connection is noticed before the attempt, not by it. */
static int deliver_end_of_stream(bench *self)
{
    if (++calls == 1)
        bench_cut(self, 0);
    return 0;
}

static void test_lock_blocking_idle_connection_is_looked_at_first(void **state)
{
    (void)state;
    bench_start_automatic(&b, 1);
    bench_lock(&b, &subject, 30000);
    b.now_ms += 3600000;
    calls = 0;
    b.on_wait = deliver_end_of_stream;
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
    assert_true(calls > 1);
    assert_int_equal(b.servers[0].streams, 2);
}

/* ---- Keep ---- */

static void test_lock_blocking_keep_of_a_closed_lock(void **state)
{
    (void)state;
    bench_start_automatic(&b, 1);
    bench_lock(&b, &subject, 3000);
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
    bench_advance(&b, 1500);
    calls = 2;
    b.on_wait = close_at_third;
    assert_result(rlk_keep(&subject), RLK_E_CLOSED);
    assert_result(rlk_keep(&subject), RLK_E_CLOSED);
}

static int reads_left;

/* The lease of 3 s ends at one look at the clock. */
static int64_t clock_that_jumps(void *context)
{
    (void)context;
    if (reads_left-- == 0)
        b.now_ms += 3000;
    return b.now_ms;
}

static int wait_fails(bench *self)
{
    (void)self;
    return -1;
}

/* Whichever look at the clock within the call it is at which the lease turns out to be over, and
 * whether the renewal was not due, done or in doubt: not kept. */
static void test_lock_blocking_keep_at_the_end_of_the_lease(void **state)
{
    static const struct {
        int64_t age_ms;
        int (*on_wait)(bench *);
    } cases[] = {{0, NULL}, {1500, NULL}, {1500, wait_fails}};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        unsigned lost = 0;
        int looks;
        for (looks = 0; looks < 10; looks++) {
            rlk_result result;
            bench_start_automatic(&b, 1);
            bench_lock(&b, &subject, 3000);
            assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
            bench_advance(&b, cases[i].age_ms);
            b.servers[0].automatic = cases[i].on_wait == NULL;
            b.on_wait = cases[i].on_wait;
            reads_left = looks;
            b.client->env.now_ms = clock_that_jumps;
            result = rlk_keep(&subject);
            reads_left = -1;
            assert_int_equal(result == RLK_OK, rlk_is_held(&subject));
            if (result != RLK_OK) {
                assert_result(result, RLK_LOST);
                lost++;
            }
        }
        assert_between(lost, 2, 9);
    }
}

/* ---- The scoped form ---- */

static rlk_result scoped(bool acquire, bool start)
{
    RLK_SCOPED(lock, b.client, BENCH_KEY, NULL);
    if (acquire)
        return rlk_acquire(&lock, RLK_TRY);
    return start ? rlk_acquire_start(&lock, RLK_FOREVER) : RLK_NOT_HELD;
}

static void test_lock_blocking_scope_releases(void **state)
{
    (void)state;
    bench_start_automatic(&b, 1);
    assert_result(scoped(true, false), RLK_OK);
    assert_int_equal(b.servers[0].count[BENCH_RELEASE], 1);
    assert_result(scoped(false, true), RLK_PENDING); /* cancelled and undone */
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
    assert_int_equal(b.servers[0].count[BENCH_RELEASE], 2);
    assert_result(scoped(false, false), RLK_NOT_HELD);
    assert_int_equal(b.servers[0].count[BENCH_RELEASE], 2);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
    assert_true(rlk_client_deadline(b.client) == RLK_NEVER);
}

/* In a child its end does nothing: the operation belongs to the parent. */
static void test_lock_blocking_scope_in_a_child(void **state)
{
    (void)state;
    bench_start(&b, 1);
    {
        RLK_SCOPED(lock, b.client, BENCH_KEY, NULL);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        (void)bench_expect(&b, 0, BENCH_SET);
        b.forked = true;
    }
    bench_run(&b);
    assert_int_equal(b.servers[0].count[BENCH_RELEASE], 0);
}

/* Serves, and pulls what comes of it. */
static int pull_at_second(bench *own)
{
    rlk_event event;
    if (own->waits == 1)
        return 0;
    bench_serve(own, 0);
    while (rlk_client_next_event(own->client, &event)) {
    }
    return own->waits > 50 ? -1 : 0;
}

static void start_leading(rlk_lock *lead)
{
    bench_start(&b, 1);
    bench_lock(&b, lead, 30000);
    assert_result(rlk_lead_start(lead), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* The loss of a leader and the result of its query are pulled while the query blocks: then it
 * follows again, which is not what the query waits for. */
static void test_lock_blocking_query_of_a_leader_that_is_lost(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;
    (void)state;
    start_leading(&lead);
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    bench_advance(&b, 11000); /* a renewal is under way, and will be refused */
    b.on_wait = pull_at_second;
    b.waits = 0;
    assert_result(rlk_query(&lead, &holder, 1), RLK_OK);
    b.on_wait = NULL;
    assert_string_equal(holder.token, "foreign");
    assert_int_equal(rlk_lock_operation(&lead), RLK_OP_ACQUIRE);
}

/* A leader's scope ends while it is lost and asks: it does not follow again. */
static void test_lock_blocking_scope_of_a_leader_that_is_lost(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;
    (void)state;
    start_leading(&lead);
    bench_advance(&b, 11000);
    bench_find(&b, &b.servers[0], BENCH_KEY)->key[0] = '\0';
    assert_result(rlk_query_start(&lead, &holder, 1), RLK_PENDING);
    bench_reply(&b, 0, BENCH_NOT_OURS);
    bench_expect_event(&b, RLK_EV_LOST, RLK_LOST);
    rlki_lock_scope_end(&lead);
    b.servers[0].automatic = true;
    bench_advance(&b, 100);
    assert_int_equal(bench_holding(&b, BENCH_KEY, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_blocking_cycle),
        cmocka_unit_test(test_lock_blocking_waits_for_the_holder),
        cmocka_unit_test(test_lock_blocking_cancelled_while_waiting),
        cmocka_unit_test(test_lock_blocking_closed_while_waiting),
        cmocka_unit_test(test_lock_blocking_wait_fails),
        cmocka_unit_test(test_lock_blocking_without_wait),
        cmocka_unit_test(test_lock_blocking_result_that_was_pulled),
        cmocka_unit_test(test_lock_blocking_idle_connection_is_looked_at_first),
        cmocka_unit_test(test_lock_blocking_keep_of_a_closed_lock),
        cmocka_unit_test(test_lock_blocking_keep_at_the_end_of_the_lease),
        cmocka_unit_test(test_lock_blocking_scope_releases),
        cmocka_unit_test(test_lock_blocking_scope_in_a_child),
        cmocka_unit_test(test_lock_blocking_query_of_a_leader_that_is_lost),
        cmocka_unit_test(test_lock_blocking_scope_of_a_leader_that_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
