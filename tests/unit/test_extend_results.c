/* SPDX-License-Identifier: MIT
 *
 * Extend and renew: what servers and connections may answer, and what is known then (extend.c).
 */
#include "harness.h"

#include <string.h>

static harness h;

#define DRIFT(horizon_ms) ((horizon_ms) / 100 + 3)

static void test_extend_replies(void **state)
{
    static const struct {
        const char *reply;
        rlk_result expected; /* RLK_PENDING: tried again */
        bool held;
    } cases[] = {
        {":40000\r\n", RLK_OK, true},
        {":0\r\n", RLK_LOST, false}, /* ours, but with no time left */
        {HARNESS_NOT_OURS, RLK_NOT_OWNER, false},
        {HARNESS_WRONGTYPE, RLK_E_WRONGTYPE, false},
        {HARNESS_NOPERM, RLK_E_NOPERM, true},
        {HARNESS_MISCONF, RLK_PENDING, true},
        {"-LOADING\r\n", RLK_PENDING, true},
        {"-SURPRISE\r\n", RLK_PENDING, true},
        {"-ERR The user executing the script can't run this command\r\n", RLK_E_NOPERM, true},
        {"+OK\r\n", RLK_PENDING, true},
        {HARNESS_NIL, RLK_PENDING, true},
        {":-4\r\n", RLK_PENDING, true},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        rlk_lock lock;
        rlk_event event;

        support_row_name("%s", cases[i].reply);
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_renew_start(&lock, 40000), RLK_PENDING);
        harness_reply(&h, 0, cases[i].reply);
        assert_int_equal(rlk_is_held(&lock), cases[i].held);
        assert_int_equal(rlk_client_next_event(h.client, &event), cases[i].expected != RLK_PENDING);
        if (cases[i].expected != RLK_PENDING) {
            assert_result(event.result, cases[i].expected);
            continue;
        }
        harness_expect_quiet(&h, 0); /* after a pause, for the same target */
        harness_advance(&h, RLK_RETRY_MAX_MS);
        assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms,
                         HARNESS_START + 40000 - harness_head(harness_link_of(&h, 0))->sent_ms);
    }
}

/* "Failure keeps the old deadline", and says what is known */
static void test_extend_failure_keeps_the_old_deadline(void **state)
{
    static const struct {
        const char *reply; /* of every try; NULL: none */
        rlk_result expected;
    } cases[] = {
        {NULL, RLK_UNKNOWN},
        {HARNESS_MISCONF, RLK_E_MISCONF},
        {"-SURPRISE\r\n", RLK_E_SERVER},
    };
    size_t i;
    unsigned n;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        for (n = 1; n <= 5; n += 2) {
            rlk_lock lock;
            rlk_event event;
            unsigned node;

            harness_start(&h, n);
            harness_held(&h, &lock, 30000);
            harness_steady_pauses(&lock);
            for (node = 0; node < n; node++) {
                h.servers[node].automatic = cases[i].reply != NULL;
                h.servers[node].fails = cases[i].reply;
            }
            assert_result(rlk_renew_start(&lock, 60000), RLK_PENDING);
            assert_false(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS - 1));
            assert_true(harness_next_event(&h, &event, 1));
            assert_result(event.result, cases[i].expected);
            assert_int_equal(rlk_remaining_ms(&lock),
                             30000 - DRIFT(30000) - RLK_OPERATION_TIMEOUT_MS);
            harness_advance(&h, 30000 - DRIFT(30000) - RLK_OPERATION_TIMEOUT_MS);
            harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
            harness_expect_no_event(&h);
        }
    }
}

/* Nothing left: not UNKNOWN. */
static void test_extend_unsent_is_an_error(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_result(rlk_renew_start(&lock, 60000), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_result(event.result, RLK_E_CONNECT);
    assert_true(rlk_is_held(&lock));
    h.servers[0].swallows = true; /* not even a refusal */
    h.servers[0].refuses = false;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_link_of(&h, 0)->stuck = true;
    h.servers[0].swallows = true;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_renew_start(&lock, 60000), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_true(event.result == RLK_E_CONNECT_TIMEOUT || event.result == RLK_E_RESPONSE_TIMEOUT);
}

/* A raise that stood encoded when its stream ended is sent again, and leaves no doubt. */
static void test_extend_encoded_and_not_sent(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_renew_start(&lock, 40000), RLK_PENDING);
    harness_cut(&h, 0);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_link_of(&h, 0)->stuck = false;
    harness_expect_result(&h, RLK_OP_RENEW, RLK_CANCELLED);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_expect_quiet(&h, 0);
}

/* An answer that comes with the deadline is too late, but it was sent: UNKNOWN. (It was said that
 * nothing had been.) */
static void test_extend_answer_in_the_tick_of_the_deadline(void **state)
{
    static const bool ticked[] = {false, true};
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        rlk_lock lock;

        harness_start_impatient(&h, 1, 1000); /* before the response time */
        harness_held(&h, &lock, 30000);
        assert_result(rlk_extend_start(&lock, 60000), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
        h.now_ms += 1000;
        if (ticked[i])
            harness_advance(&h, 0);
        harness_reply(&h, 0, ":90000\r\n");
        harness_expect_result(&h, RLK_OP_EXTEND, RLK_UNKNOWN);
        assert_int_equal(rlk_remaining_ms(&lock), 30000 - DRIFT(30000) - 1000);
    }
}

/* A refused connection is final for an extend too. */
static void test_extend_fatal_connection(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    h.servers[0].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 0);
    assert_result(rlk_renew_start(&lock, 60000), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MIN_MS));
    assert_result(event.result, RLK_E_AUTH);
    assert_result(rlk_renew_start(&lock, 60000), RLK_E_AUTH);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release_start(&lock), RLK_E_AUTH);
    h.servers[0].hello = NULL;
    assert_result(rlk_client_reset(h.client), RLK_OK);
    harness_advance(&h, 0);
    (void)harness_expect(&h, 0, HARNESS_RELEASE); /* the undo has waited for that */
}

/* A connection that can't be attempted is final as well: a name without resolver. */
static void test_extend_final_error_of_a_connection(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    h.servers[0].refuses = true;
    h.servers[0].refusal = RLK_E_RESOLVER;
    harness_cut(&h, 0);
    assert_result(rlk_renew_start(&lock, 60000), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RENEW, RLK_E_RESOLVER);
    assert_true(rlk_is_held(&lock));
}

/* fault 86: the OK of a renewal that is read after the deadline */
static void test_fault_86_ok_after_the_deadline(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    harness_advance(&h, 2900);
    assert_result(rlk_renew_start(&lock, 30000), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    h.now_ms += 100; /* no tick */
    harness_reply(&h, 0, ":29900\r\n");
    assert_false(rlk_is_held(&lock));
    harness_expect_result(&h, RLK_OP_RENEW, RLK_LOST);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    (void)harness_expect(&h, 0, HARNESS_RELEASE); /* the key lives on: undone */
}

/* ---- Sent only if it was (fault 110) ---- */

#ifndef RLK_RESP2_ONLY
/* An extend that two of three nodes can't be asked for: the check of the third is none of it. */
static void test_fault_110_check_is_no_raise(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start_impatient(&h, 3, 500);
    harness_held(&h, &lock, 30000);
    h.servers[1].refuses = h.servers[2].refuses = true;
    harness_cut(&h, 1);
    harness_cut(&h, 2);
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_run(&h);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    harness_serve(&h, 0);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_run(&h);
    (void)harness_expect(&h, 0, HARNESS_CHECK); /* is under way at the deadline */
    assert_true(harness_next_event(&h, &event, 500));
    assert_int_equal(event.operation, RLK_OP_EXTEND);
    assert_result(event.result, RLK_E_CONNECT);
}
#endif

/* A reply that is none, to another command than the operation's, does not make that sent. */
static void test_fault_110_wrong_reply_to_another_command(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_reply(&h, 1, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK); /* the third SET is late */
    h.servers[0].refuses = h.servers[1].refuses = h.servers[2].refuses = true;
    harness_cut(&h, 0);
    harness_cut(&h, 1);
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 2, ":7\r\n"); /* no reply to a SET */
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_int_equal(event.type, RLK_EV_RESULT);
    assert_int_equal(event.operation, RLK_OP_EXTEND);
    assert_true(event.result < 0); /* not UNKNOWN */
    assert_true(rlk_is_held(&lock));
}

/* What was sent, is. */
static void test_fault_110_raise_was_sent(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_run(&h);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_end(&event, RLK_OP_EXTEND, RLK_UNKNOWN);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extend_replies),
        cmocka_unit_test(test_extend_failure_keeps_the_old_deadline),
        cmocka_unit_test(test_extend_unsent_is_an_error),
        cmocka_unit_test(test_extend_encoded_and_not_sent),
        cmocka_unit_test(test_extend_answer_in_the_tick_of_the_deadline),
        cmocka_unit_test(test_extend_fatal_connection),
        cmocka_unit_test(test_extend_final_error_of_a_connection),
        cmocka_unit_test(test_fault_86_ok_after_the_deadline),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_fault_110_check_is_no_raise),
#endif
        cmocka_unit_test(test_fault_110_wrong_reply_to_another_command),
        cmocka_unit_test(test_fault_110_raise_was_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
