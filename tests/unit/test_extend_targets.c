/* SPDX-License-Identifier: MIT
 *
 * Extend, renew, keep, check (rules 6 and 8): the target that is fixed once, failure that keeps
 * the old deadline, and what the server may answer.
 */
#include "harness.h"

#include <string.h>

static harness h;

#define DRIFT(horizon_ms) ((horizon_ms) / 100 + 3)

/* ---- Targets ---- */

static void test_lock_hold_extend_adds_to_the_expiry(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 10000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 4000);
    assert_result(rlk_extend(&lock, 5000), RLK_OK);
    /* 10000 + 5000 before drift, of which 4000 are over */
    assert_int_equal(rlk_remaining_ms(&lock), 11000 - DRIFT(11000));
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 15000);
    assert_result(rlk_extend(&lock, 5000), RLK_OK); /* twice is twice: two calls */
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 20000);
}

static void test_lock_hold_renew_counts_from_now(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 10000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 4000);
    assert_result(rlk_renew(&lock, RLK_DEFAULT), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 10000 - DRIFT(10000));
    assert_result(rlk_renew(&lock, 7777777), RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 7777777 - DRIFT(7777777) - 1, 7777777 - DRIFT(7777777));
}

/* fault 68: the reply is lost, and the try is repeated: for the same E', so not applied twice */
static void test_lock_hold_68_extend_reply_lost_and_retried(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 10000);
    harness_advance(&h, 1000);
    assert_result(rlk_extend_start(&lock, 5000), RLK_PENDING);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, 14000);
    (void)harness_execute(harness_link_of(&h, 0));
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms,
                     14000 -
                         (harness_head(harness_link_of(&h, 0))->sent_ms - HARNESS_START - 1000));
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    /* later by no more than the second try was under way */
    assert_between(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms, HARNESS_START + 15000,
                   HARNESS_START + 15000 + RLK_BACKOFF_MIN_MS);
    assert_between(rlk_remaining_ms(&lock), 13950 - DRIFT(14000), 14000 - DRIFT(13950));
}

/* The late answer to a SET of the acquire makes the lock safer, but it extends nothing. */
static void test_lock_hold_late_set_is_no_answer_to_an_extend(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 10000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_extend_start(&lock, 5000), RLK_PENDING);
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_serve(&h, 0);
    harness_reply(&h, 2, HARNESS_OK);
    harness_expect_no_event(&h);
    assert_int_equal(rlk_remaining_ms(&lock), 10000 - DRIFT(10000));
    /* now it is asked, as the others were */
    assert_int_equal(harness_expect(&h, 2, HARNESS_RAISE)->ms, 15000);
    harness_serve(&h, 1);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 15000 - DRIFT(15000));
}

/* fault 67 */
static void test_lock_hold_67_shortening_renew_sends_nothing(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_renew_start(&lock, 5000), RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 5000 - DRIFT(5000));
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    /* an extend is of what is claimed now; the key is not cut */
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, 6000);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 6000 - DRIFT(6000));
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 30000);
    harness_advance(&h, 6000 - DRIFT(6000) - 1);
    assert_true(rlk_is_held(&lock));
    harness_advance(&h, 1);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
}

/* fault 70: a renewal by the TTL after a long extend */
static void test_lock_hold_70_renew_does_not_cut_an_extend_at_the_server(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_extend(&lock, 60000), RLK_OK);
    harness_advance(&h, 1500);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1); /* not due */
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + 63000);
    assert_int_equal(rlk_remaining_ms(&lock), 61500 - DRIFT(63000));
}

static void test_lock_hold_bad_arguments(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    assert_result(rlk_extend_start(&lock, 0), RLK_E_TTL);
    assert_result(rlk_extend_start(&lock, -1), RLK_E_TTL);
    assert_result(rlk_extend_start(&lock, RLK_TTL_MAX + 1), RLK_E_TTL);
    assert_result(rlk_renew_start(&lock, 0), RLK_E_TTL);
    assert_result(rlk_renew_start(&lock, -2), RLK_E_TTL);
    assert_result(rlk_renew_start(&lock, RLK_TTL_MAX + 1), RLK_E_TTL);
    assert_result(rlk_renew_start(&lock, 1000), RLK_E_TTL); /* within drift and one try's time */
    harness_expect_quiet(&h, 0);
    assert_true(rlk_is_held(&lock));
}

/* "Sums are capped; a cap that leaves E' <= E is a usage error" */
static void test_lock_hold_sums_are_capped(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_extend(&lock, RLK_TTL_MAX), RLK_OK);
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + RLK_TTL_MAX);
    assert_result(rlk_extend(&lock, 1), RLK_E_TTL);
    harness_advance(&h, 10);
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_int_equal(harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms,
                     HARNESS_START + RLK_TTL_MAX + 10);
}

/* ---- Answers ---- */

static void test_lock_hold_replies(void **state)
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
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock lock;
        rlk_event event;
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
static void test_lock_hold_failure_keeps_the_old_deadline(void **state)
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
    for (i = 0; i < COUNT_OF(cases); i++) {
        for (n = 1; n <= 5; n += 2) {
            rlk_lock lock;
            rlk_event event;
            unsigned node;
            harness_start(&h, n);
            harness_held(&h, &lock, 30000);
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
static void test_lock_hold_unsent_is_an_error(void **state)
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
static void test_lock_hold_encoded_and_not_sent(void **state)
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
static void test_lock_hold_answer_in_the_tick_of_the_deadline(void **state)
{
    static const bool ticked[] = {false, true};
    size_t i;
    (void)state;
    for (i = 0; i < 2; i++) {
        rlk_lock lock;
        memset(&h.config, 0, sizeof h.config);
        h.config.operation_timeout_ms = 1000; /* before the response time */
        harness_open(&h, 1, 1);
        harness_advance(&h, 0);
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
static void test_lock_hold_fatal_connection(void **state)
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

/* ... and so is one that can't be attempted: a name without resolver. */
static void test_lock_hold_final_error_of_a_connection(void **state)
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

/* ---- After a reconnect (rule 8) ---- */

/* A raise that answers less than we thought (an older snapshot, fault 74): what it says counts. */
static void test_lock_hold_74_restored_snapshot(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":5000\r\n");
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 5000 - DRIFT(5000));

    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOT_OURS); /* fault 20: without data */
    harness_expect_result(&h, RLK_OP_CHECK, RLK_NOT_OWNER);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

/* On the same stream a check confirms what is known: the deadline does not move. */
static void test_lock_hold_check_moves_nothing(void **state)
{
    static const char *const replies[] = {":28999\r\n", ":29000\r\n", ":-1\r\n"};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(replies); i++) {
        rlk_lock lock;
        int64_t remaining_ms;
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        harness_advance(&h, 1000);
        remaining_ms = rlk_remaining_ms(&lock);
        assert_result(rlk_check_start(&lock), RLK_PENDING);
        harness_advance(&h, 5);
        harness_reply(&h, 0, replies[i]);
        harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
        /* drift is of the shorter horizon now: a hundredth of a second that was gone */
        assert_between(rlk_remaining_ms(&lock), remaining_ms - 6, remaining_ms - 5 + 10);
    }
}

/* A check to which so little is left that it is over by now. */
static void test_lock_hold_check_ends_the_lease(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_advance(&h, 5);
    harness_reply(&h, 0, ":1\r\n");
    assert_false(rlk_is_held(&lock));
    harness_expect_result(&h, RLK_OP_CHECK, RLK_LOST);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    (void)harness_expect(&h, 0, HARNESS_RELEASE);
}

/* A node on which the lease has run out does not make up for one that lost the key. */
static void test_lock_hold_of_nodes_that_differ(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 60000), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_MISCONF); /* stays at 30 s */
    harness_reply(&h, 1, ":90000\r\n");
    harness_reply(&h, 2, ":90000\r\n");
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    harness_advance(&h, 31000);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 2, HARNESS_NOT_OURS);
    assert_false(rlk_is_held(&lock));
    harness_expect_result(&h, RLK_OP_CHECK, RLK_LOST);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

/* ---- Lease and operation ---- */

/* fault 86: the OK of a renewal that is read after the deadline */
static void test_lock_hold_86_ok_after_the_deadline(void **state)
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

/* ---- Keep ---- */

static void test_lock_hold_keep_renews_when_due(void **state)
{
    rlk_lock lock;
    unsigned i;
    (void)state;
    harness_start_automatic(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
    harness_advance(&h, 999);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
    for (i = 1; i <= 20; i++) { /* a minute, in steps of a third */
        harness_advance(&h, i > 1 ? 1000 : 1);
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], i);
        assert_between(rlk_remaining_ms(&lock), 3000 - DRIFT(3000), 3000 - DRIFT(3000));
    }
}

/* RLK_OK while validity lasts, even where the renewal failed; then LOST. */
static void test_lock_hold_keep_rides_out_failures(void **state)
{
    rlk_lock lock;
    unsigned kept = 0;
    rlk_result result;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 1000);
    h.servers[0].fails = HARNESS_MISCONF;
    while ((result = rlk_keep_alive(&lock)) == RLK_OK)
        kept++;
    assert_result(result, RLK_LOST);
    assert_int_equal(kept, 1); /* one try takes a third of the TTL */
    assert_int_equal(h.now_ms, HARNESS_START + 3000 - DRIFT(3000));
    assert_result(rlk_keep_alive(&lock), RLK_LOST);

    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 1500);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1); /* fault 24 */
    assert_result(rlk_keep_alive(&lock), RLK_NOT_OWNER);
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
}

/* The renewal was answered, but the process stood still before the call returned: not held is not
 * OK. */
static int stand_still(harness *self)
{
    harness_run(self);
    self->now_ms += 100000;
    return 0;
}

static void test_lock_hold_keep_is_not_ok_after_a_pause(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 990);
    h.on_wait = stand_still;
    assert_result(rlk_keep_alive(&lock), RLK_LOST);
}

/* After a long extend drift is more than a TTL. Still the lease goes on as soon as it is due: the
 * server says anew what is left, whether its answer took longer than the first one or not. */
static int64_t latency_ms;

static int answer_late(harness *self)
{
    self->now_ms += latency_ms;
    return 0;
}

static void test_lock_hold_keep_goes_on_after_a_long_extend(void **state)
{
    static const int64_t latencies_ms[][2] = {{0, 0}, {5, 3}, {3, 5}};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(latencies_ms); i++) {
        rlk_lock lock;
        int64_t end_ms;
        harness_start_automatic(&h, 3);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        h.on_wait = answer_late;
        latency_ms = latencies_ms[i][0];
        assert_result(rlk_extend(&lock, 1000000), RLK_OK);
        latency_ms = latencies_ms[i][1];
        end_ms = h.now_ms + 1100000;
        while (h.now_ms < end_ms) {
            harness_advance(&h, 900);
            assert_result(rlk_keep_alive(&lock), RLK_OK);
            assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 3);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_hold_extend_adds_to_the_expiry),
        cmocka_unit_test(test_lock_hold_renew_counts_from_now),
        cmocka_unit_test(test_lock_hold_68_extend_reply_lost_and_retried),
        cmocka_unit_test(test_lock_hold_late_set_is_no_answer_to_an_extend),
        cmocka_unit_test(test_lock_hold_67_shortening_renew_sends_nothing),
        cmocka_unit_test(test_lock_hold_70_renew_does_not_cut_an_extend_at_the_server),
        cmocka_unit_test(test_lock_hold_bad_arguments),
        cmocka_unit_test(test_lock_hold_sums_are_capped),
        cmocka_unit_test(test_lock_hold_replies),
        cmocka_unit_test(test_lock_hold_failure_keeps_the_old_deadline),
        cmocka_unit_test(test_lock_hold_unsent_is_an_error),
        cmocka_unit_test(test_lock_hold_encoded_and_not_sent),
        cmocka_unit_test(test_lock_hold_answer_in_the_tick_of_the_deadline),
        cmocka_unit_test(test_lock_hold_fatal_connection),
        cmocka_unit_test(test_lock_hold_final_error_of_a_connection),
        cmocka_unit_test(test_lock_hold_check_ends_the_lease),
        cmocka_unit_test(test_lock_hold_of_nodes_that_differ),
        cmocka_unit_test(test_lock_hold_74_restored_snapshot),
        cmocka_unit_test(test_lock_hold_check_moves_nothing),
        cmocka_unit_test(test_lock_hold_86_ok_after_the_deadline),
        cmocka_unit_test(test_lock_hold_keep_renews_when_due),
        cmocka_unit_test(test_lock_hold_keep_rides_out_failures),
        cmocka_unit_test(test_lock_hold_keep_is_not_ok_after_a_pause),
        cmocka_unit_test(test_lock_hold_keep_goes_on_after_a_long_extend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
