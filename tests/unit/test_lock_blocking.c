/* SPDX-License-Identifier: MIT
 *
 * The blocking calls: one loop over env.wait, which here drives the virtual world.
 */
#include "harness.h"

#include <string.h>

static harness h;
static rlk_lock subject;
static unsigned calls;

static void test_lock_blocking_cycle(void **state)
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

/* A call that is refused because another operation is under way must not serve the connections:
 * that one could end on the way, and its place be taken. */
static void test_lock_blocking_second_call_leaves_the_first(void **state)
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

/* What needs a lock that is held, of one that is not: nothing is waited for, and so no connection
 * begins. */
static void test_lock_blocking_of_nothing_waits_for_nothing(void **state)
{
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    h.waits = 0;
    assert_result(rlk_release(&subject), RLK_NOT_HELD);
    assert_result(rlk_extend(&subject, 1000), RLK_NOT_HELD);
    assert_result(rlk_renew(&subject, RLK_DEFAULT), RLK_NOT_HELD);
    assert_result(rlk_check(&subject), RLK_NOT_HELD);
    assert_result(rlk_keep_alive(&subject), RLK_NOT_HELD);
    assert_int_equal(h.waits, 0);
}

static void test_lock_blocking_waits_for_the_holder(void **state)
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

/* ---- The calls end early ---- */

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
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = on_wait;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), expected);
    harness_expect_no_event(&h);
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
static void test_lock_blocking_interrupted(void **state)
{
    (void)state;
    wait_for_foreign(interrupt_at_third, RLK_CANCELLED);
    assert_int_equal(rlk_lock_operation(&subject), RLK_OP_NONE);
    assert_text_contains(rlk_lock_error(&subject), "acquire \"k\": CANCELLED: ");
    h.on_wait = NULL;
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK); /* it ended one call */

    harness_start(&h, 1); /* a SET out */
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = interrupt_at_third_and_serve;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 1);
    harness_expect_no_event(&h);

    harness_start(&h, 1); /* one that comes while it is undone is the same */
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = interrupt_always;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_int_equal(calls, 5);
}

/* Nobody answers the undo: it is bounded, and the result says so. */
static void test_lock_blocking_interrupted_before_a_silent_server(void **state)
{
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    calls = 1;
    h.on_wait = interrupt_at_third;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_UNKNOWN);
    assert_between(h.now_ms, HARNESS_START,
                   HARNESS_START + RLK_NODE_TIMEOUT_MAX_MS + RLK_SETTLE_TIMEOUT_MS);
    /* one that comes now says no more of the token than is known */
    h.client->interrupted = true;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_UNKNOWN);
    h.on_wait = NULL;
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_SETTLED, RLK_OK);
    h.client->interrupted = true;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
}

/* The other calls: the lock is what their contract says of rlk_cancel. */
static void test_lock_blocking_interrupts_each_call(void **state)
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
    for (i = 0; i < COUNT_OF(cases); i++) {
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
    calls = 1; /* of a lock that is held it looks first */
    assert_result(rlk_keep_alive(&subject), RLK_OK);
    assert_int_equal(calls, 3);
    assert_true(rlk_is_held(&subject));
}

/* A wait that brings the result and the interrupt: the result counts, and the interrupt stays for
 * the next acquire, whatever is called before. */
static int serve_and_interrupt(harness *self)
{
    calls++;
    harness_run(self);
    harness_serve(self, 0);
    return calls == 1 ? (int)RLK_CANCELLED : 0;
}

static void test_lock_blocking_interrupt_is_kept(void **state)
{
    rlk_holder holder;
    unsigned sets;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    calls = 0;
    h.on_wait = serve_and_interrupt;
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_E_STATE); /* and takes it not */
    assert_result(rlk_check(&subject), RLK_OK);
    assert_result(rlk_release(&subject), RLK_OK);
    assert_result(rlk_query_start(&subject, &holder, 1), RLK_PENDING);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_E_STATE); /* refused: nor does this one */
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_NOT_HELD);
    sets = h.servers[0].count[HARNESS_SET];
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_CANCELLED);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], sets);
    harness_expect_no_event(&h);
    assert_result(rlk_acquire(&subject, RLK_FOREVER), RLK_OK);
}

/* An interrupt between two calls ends the acquire that follows before it sends anything, where the
 * driver may have one to tell of or nobody has served the client for long. */
static int interrupt_at_first(harness *self)
{
    (void)self;
    return ++calls == 1 ? (int)RLK_CANCELLED : 0;
}

static void test_lock_blocking_interrupt_between_calls(void **state)
{
    static const struct {
        bool interruptible;
        int64_t idle_ms;
        unsigned sets; /* it is looked at before, or in the first wait */
    } cases[] = {{true, 0, 0}, {false, 1000, 0}, {false, 999, 1}};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
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
static void test_lock_blocking_interrupt_between_calls_is_kept(void **state)
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

/* env.wait can't: the call ends as if cancelled, and says what it knows. */
static void test_lock_blocking_wait_fails(void **state)
{
    (void)state;
    wait_for_foreign(fail_at_third, RLK_CANCELLED); /* in a pause: nothing of ours is there */
    harness_start(&h, 1);                           /* a SET out */
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

/* The wait that fails brought the result: that counts. */
static int serve_and_fail(harness *self)
{
    harness_serve(self, 0);
    return -1;
}

static void test_lock_blocking_wait_fails_with_the_result(void **state)
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
static void test_lock_blocking_without_wait(void **state)
{
    rlk_holder holders[1];
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &subject, 30000);
    h.client->env.wait = NULL;
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_E_WAIT);
#ifndef RLK_NO_TEXT
    assert_non_null(strstr(rlk_lock_error(&subject), "acquire \"" HARNESS_KEY "\": E_WAIT: "));
#endif
    assert_result(rlk_release(&subject), RLK_E_WAIT);
    assert_result(rlk_extend(&subject, 1), RLK_E_WAIT);
    assert_result(rlk_renew(&subject, 1), RLK_E_WAIT);
    assert_result(rlk_check(&subject), RLK_E_WAIT);
    assert_result(rlk_keep_alive(&subject), RLK_E_WAIT);
    assert_result(rlk_query(&subject, holders, 1), RLK_E_WAIT);
    assert_result(rlk_force_release(&subject), RLK_E_WAIT);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_acquire_start(&subject, RLK_TRY), RLK_PENDING); /* the started forms work */
}

/* Whoever serves other locks within env.wait may pull the events of this one, too. */
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

static void test_lock_blocking_result_that_was_pulled(void **state)
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

static void test_lock_blocking_idle_connection_is_looked_at_first(void **state)
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

/* ---- Keep ---- */

static void test_lock_blocking_keep_of_a_closed_lock(void **state)
{
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &subject, 3000);
    assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
    harness_advance(&h, 1500);
    calls = 2;
    h.on_wait = close_at_third;
    assert_result(rlk_keep_alive(&subject), RLK_E_CLOSED);
    assert_result(rlk_keep_alive(&subject), RLK_E_CLOSED);
}

static int reads_left;

/* The lease of 3 s ends at one look at the clock. */
static int64_t clock_that_jumps(void *context)
{
    (void)context;
    if (reads_left-- == 0)
        h.now_ms += 3000;
    return h.now_ms;
}

static int wait_fails(harness *self)
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
        int (*on_wait)(harness *);
    } cases[] = {{0, NULL}, {1500, NULL}, {1500, wait_fails}};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        unsigned lost = 0;
        int looks;
        for (looks = 0; looks < 10; looks++) {
            rlk_result result;
            harness_start_automatic(&h, 1);
            harness_lock(&h, &subject, 3000);
            assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
            harness_advance(&h, cases[i].age_ms);
            h.servers[0].automatic = cases[i].on_wait == NULL;
            h.on_wait = cases[i].on_wait;
            reads_left = looks;
            h.client->env.now_ms = clock_that_jumps;
            result = rlk_keep_alive(&subject);
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
    RLK_SCOPED(lock, h.client, HARNESS_KEY, NULL);
    if (acquire)
        return rlk_acquire(&lock, RLK_TRY);
    return start ? rlk_acquire_start(&lock, RLK_FOREVER) : RLK_NOT_HELD;
}

static void test_lock_blocking_scope_releases(void **state)
{
    (void)state;
    harness_start_automatic(&h, 1);
    assert_result(scoped(true, false), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 1);
    assert_result(scoped(false, true), RLK_PENDING); /* cancelled and undone */
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 2);
    assert_result(scoped(false, false), RLK_NOT_HELD);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 2);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_true(rlk_client_deadline(h.client) == RLK_NEVER);
}

/* In a child its end does nothing: the operation belongs to the parent. */
static void test_lock_blocking_scope_in_a_child(void **state)
{
    (void)state;
    harness_start(&h, 1);
    {
        RLK_SCOPED(lock, h.client, HARNESS_KEY, NULL);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_SET);
        h.forked = true;
    }
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 0);
}

static int pulled_answer; /* of the wait in which it is pulled */

/* Serves, and pulls what comes of it. */
static int pull_at_second(harness *own)
{
    rlk_event event;
    if (own->waits == 1)
        return 0;
    harness_serve(own, 0);
    while (rlk_client_next_event(own->client, &event)) {
    }
    return own->waits > 50 ? -1 : pulled_answer;
}

static void start_leading(rlk_lock *lead)
{
    harness_start(&h, 1);
    harness_lock(&h, lead, 30000);
    assert_result(rlk_campaign_start(lead), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* The loss of a leader and the result of its query are pulled while the query blocks: then it
 * follows again, which is not what the query waits for, nor what a wait that fails ends. */
static void test_lock_blocking_query_of_a_leader_that_is_lost(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;
    (void)state;
    for (pulled_answer = 0; pulled_answer >= -1; pulled_answer--) {
        start_leading(&lead);
        harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
        harness_advance(&h, 11000); /* a renewal is under way, and will be refused */
        h.on_wait = pull_at_second;
        h.waits = 0;
        assert_result(rlk_query(&lead, &holder, 1), RLK_OK);
        h.on_wait = NULL;
        assert_string_equal(holder.token, "foreign");
        assert_int_equal(rlk_lock_operation(&lead), RLK_OP_ACQUIRE);
        harness_expect_no_event(&h); /* it goes on */
    }
}

/* Only the loss is pulled while the query blocks: it follows again when that has its result. */
static int pull_the_loss(harness *own)
{
    rlk_event event;

    if (own->waits == 2) {
        assert_true(harness_execute(harness_link_of(own, 0))); /* the renewal, which is refused */
        assert_true(harness_deliver(harness_link_of(own, 0)));
        while (rlk_client_next_event(own->client, &event)) {
        }
        assert_int_equal(event.type, RLK_EV_LOST);
    } else if (own->waits > 2) {
        harness_serve(own, 0);
    }
    return own->waits > 50 ? -1 : 0;
}

static void test_lock_blocking_query_of_a_leader_whose_loss_is_pulled(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;

    (void)state;
    start_leading(&lead);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_advance(&h, 11000); /* a renewal is under way, and will be refused */
    h.on_wait = pull_the_loss;
    h.waits = 0;
    assert_result(rlk_query(&lead, &holder, 1), RLK_OK);
    h.on_wait = NULL;
    assert_int_equal(rlk_lock_operation(&lead), RLK_OP_ACQUIRE);
    harness_expect_no_event(&h);
}

/* A leader's scope ends while it is lost and asks: it does not follow again. */
static void test_lock_blocking_scope_of_a_leader_that_is_lost(void **state)
{
    static rlk_lock lead;
    rlk_holder holder;
    (void)state;
    start_leading(&lead);
    harness_advance(&h, 11000);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0';
    assert_result(rlk_query_start(&lead, &holder, 1), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    rlki_lock_scope_end(&lead);
    h.servers[0].automatic = true;
    harness_advance(&h, 100);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_blocking_cycle),
        cmocka_unit_test(test_lock_blocking_second_call_leaves_the_first),
        cmocka_unit_test(test_lock_blocking_of_nothing_waits_for_nothing),
        cmocka_unit_test(test_lock_blocking_waits_for_the_holder),
        cmocka_unit_test(test_lock_blocking_cancelled_while_waiting),
        cmocka_unit_test(test_lock_blocking_closed_while_waiting),
        cmocka_unit_test(test_lock_blocking_interrupted),
        cmocka_unit_test(test_lock_blocking_interrupted_before_a_silent_server),
        cmocka_unit_test(test_lock_blocking_interrupts_each_call),
        cmocka_unit_test(test_lock_blocking_interrupt_is_kept),
        cmocka_unit_test(test_lock_blocking_interrupt_between_calls),
        cmocka_unit_test(test_lock_blocking_interrupt_between_calls_is_kept),
        cmocka_unit_test(test_lock_blocking_wait_fails),
        cmocka_unit_test(test_lock_blocking_wait_fails_with_the_result),
        cmocka_unit_test(test_lock_blocking_without_wait),
        cmocka_unit_test(test_lock_blocking_result_that_was_pulled),
        cmocka_unit_test(test_lock_blocking_idle_connection_is_looked_at_first),
        cmocka_unit_test(test_lock_blocking_keep_of_a_closed_lock),
        cmocka_unit_test(test_lock_blocking_keep_at_the_end_of_the_lease),
        cmocka_unit_test(test_lock_blocking_scope_releases),
        cmocka_unit_test(test_lock_blocking_scope_in_a_child),
        cmocka_unit_test(test_lock_blocking_query_of_a_leader_that_is_lost),
        cmocka_unit_test(test_lock_blocking_query_of_a_leader_whose_loss_is_pulled),
        cmocka_unit_test(test_lock_blocking_scope_of_a_leader_that_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
