/* SPDX-License-Identifier: MIT
 *
 * rlk_keep_alive: what it waits for, and when the lease is over.
 */
#include "lock_tracked.h"

#include <string.h>

#define TTL 30000

static harness h;
static rlk_lock subject;
static unsigned calls;

static int close_at_third(harness *self)
{
    (void)self;
    if (++calls == 3)
        (void)rlk_lock_close(&subject);
    return 0;
}

static void test_blocking_keep_alive_of_a_closed_lock(void **state)
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

/* The lease of 3 s ends when the clock is read for the last time. */
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

/* The lease is over at any reading of the clock within the call, and the renewal was not due, done
 * or in doubt: the lock is not kept alive. */
static void test_blocking_keep_alive_at_the_end_of_the_lease(void **state)
{
    static const struct {
        int64_t age_ms;
        int (*on_wait)(harness *);
        const char *name;
    } cases[] = {{0, NULL, "not due"}, {1500, NULL, "renewed"}, {1500, wait_fails, "in doubt"}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        unsigned lost = 0;
        int reads;

        support_row_name("%s", cases[i].name);
        for (reads = 0; reads < 10; reads++) {
            rlk_result result;

            harness_start_automatic(&h, 1);
            harness_lock(&h, &subject, 3000);
            assert_result(rlk_acquire(&subject, RLK_TRY), RLK_OK);
            harness_advance(&h, cases[i].age_ms);
            h.servers[0].automatic = cases[i].on_wait == NULL;
            h.on_wait = cases[i].on_wait;
            reads_left = reads;
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

#ifndef RLK_RESP2_ONLY
static unsigned answer_at; /* wait at which the server answers; 0: never */

static int answer_late(harness *own)
{
    if (own->waits == answer_at)
        harness_serve(own, 0);
    return 0;
}

/* It reads what the server sent, and waits for the compare that a push causes. */
static void test_blocking_keep_alive_waits_for_the_check(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    h.on_wait = answer_late;
    answer_at = 2;
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.waits, 1); /* it reads, and nothing has come */
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    h.waits = 0;
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.waits, 2);
    harness_expect_quiet(&h, 0);
    harness_delete(&h, 0, HARNESS_KEY);
    h.waits = 0;
    assert_result(rlk_keep_alive(&lock), RLK_NOT_OWNER);
    tracked_expect_lost(&h, &lock);
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
}

static int answer_at_once(harness *own)
{
    harness_run(own);
    harness_serve(own, 0);
    return 0;
}

/* The notification, the compare and its answer come in the first wait of a call: it has the result
 * that it has when they come later. */
static void test_blocking_keep_alive_loses_in_its_first_wait(void **state)
{
    static const struct {
        const char *name;
        const char *value; /* that somebody wrote; NULL: the key was deleted */
        rlk_lost_cause cause;
    } rows[] = {{"deleted", NULL, RLK_LOST_DELETED},
                {"overwritten", "usurper", RLK_LOST_OVERWRITTEN}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].name);
        (void)tracked_hold(&h, &lock, 1);
        h.on_wait = answer_at_once;
        if (rows[i].value == NULL) {
            harness_delete(&h, 0, HARNESS_KEY);
        } else {
            harness_put(&h, 0, HARNESS_KEY, rows[i].value, -1);
            harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        }
        h.waits = 0;
        assert_result(rlk_keep_alive(&lock), RLK_NOT_OWNER);
        assert_int_equal(h.waits, 1);
        assert_int_equal(rlk_lock_lost_cause(&lock), rows[i].cause);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        assert_result(rlk_keep_alive(&lock), RLK_LOST);
    }
}

/* A release that reads first, because nobody has served the connection for long, has the result
 * that its own script would have had. */
static void test_blocking_release_loses_in_its_first_wait(void **state)
{
    rlk_lock lock;

    (void)state;
    (void)tracked_hold(&h, &lock, 1);
    h.now_ms += 1000;
    h.on_wait = answer_at_once;
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_DELETED);
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
}

/* It waits no longer than one attempt takes. The lease lasts. */
static void test_blocking_keep_alive_without_an_answer(void **state)
{
    rlk_lock lock;
    tracked_lease lease;

    (void)state;
    lease = tracked_hold(&h, &lock, 1);
    h.on_wait = answer_late;
    answer_at = 0;
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.now_ms - lease.held_ms, RLK_NODE_TIMEOUT_MAX_MS);
    assert_true(rlk_is_held(&lock));
}

static unsigned silent; /* the node that is not served */

static int serve_others(harness *own)
{
    unsigned i;

    for (i = 0; i < own->nodes; i++)
        if (i != silent)
            harness_serve(own, i);
    return 0;
}

/* A node of three notifies of a change, and then is silent, or gone: the compare that is due there
 * does not prevent renewals on the others. */
static void test_blocking_keep_alive_beside_a_silent_node(void **state)
{
    static const struct {
        const char *name;
        bool gone;
    } rows[] = {{"silent", false}, {"gone", true}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        int64_t begin_ms;

        support_row_name("%s", rows[i].name);
        silent = 3;
        tracked_open(&h, 3);
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, NULL), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        (void)serve_others(&h);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        begin_ms = h.now_ms;
        silent = 2;
        harness_push(harness_link_of(&h, 2), HARNESS_KEY);
        while (harness_deliver(harness_link_of(&h, 2))) {
        }
        (void)harness_expect(&h, 2, HARNESS_CHECK);
        if (rows[i].gone) {
            h.servers[2].refuses = true;
            harness_cut(&h, 2);
        }
        h.on_wait = serve_others;
        while (h.now_ms < begin_ms + INT64_C(2) * TTL) {
            assert_result(rlk_keep_alive(&lock), RLK_OK);
            harness_advance(&h, 1000);
            (void)serve_others(&h);
        }
        h.on_wait = NULL;
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocking_keep_alive_of_a_closed_lock),
        cmocka_unit_test(test_blocking_keep_alive_at_the_end_of_the_lease),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_blocking_keep_alive_waits_for_the_check),
        cmocka_unit_test(test_blocking_keep_alive_loses_in_its_first_wait),
        cmocka_unit_test(test_blocking_release_loses_in_its_first_wait),
        cmocka_unit_test(test_blocking_keep_alive_without_an_answer),
        cmocka_unit_test(test_blocking_keep_alive_beside_a_silent_node),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
