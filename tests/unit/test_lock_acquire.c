/* SPDX-License-Identifier: MIT
 *
 * Acquire: validity, tokens, rounds, retries, and what the server may answer to a SET.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

static void make_unfenced(unsigned node)
{
    h.servers[node].no_ids = true;
    harness_cut(&h, node);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
}

/* ---- Validity (rule 2) ---- */

static void test_lock_acquire_validity_counts_from_before_the_first_byte(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 300); /* in our own buffer */
    harness_link_of(&h, 0)->stuck = false;
    assert_int_equal(harness_expect(&h, 0, HARNESS_SET)->ms, 3000);
    harness_advance(&h, 400); /* at the server */
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 3000 - 33 - 700); /* drift: 1 % + 2 ms, rounded up */
    assert_true(rlk_is_held_at(&lock, HARNESS_START + 3000 - 34));
    assert_false(rlk_is_held_at(&lock, HARNESS_START + 3000 - 33));
}

static void test_lock_acquire_drift_is_configurable(void **state)
{
    rlk_lock lock;
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.drift_ppm = 250000;
    h.config.drift_ms = 100;
    harness_open(&h, 1, 1);
    harness_advance(&h, 0);
    harness_held(&h, &lock, 4000);
    assert_int_equal(rlk_remaining_ms(&lock), 4000 - 1000 - 100 - 1);
}

/* Each node counts from its own SET; the lease ends with the q-th largest. */
static void test_lock_acquire_validity_is_the_qth_largest(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    h.servers[2].mute = true; /* its handshake takes 200 ms */
    harness_cut(&h, 2);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    h.now_ms = HARNESS_START + 100;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 200);
    h.servers[2].mute = false;
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_reply(&h, 2, HARNESS_OK);
    harness_expect_no_event(&h);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), 3000 - 33 - 200); /* {100, 300}: the 2nd largest */
    harness_reply(&h, 1, HARNESS_NIL);
    assert_int_equal(rlk_remaining_ms(&lock), 3000 - 33 - 200);
}

/* ---- Tokens (rule 3) ---- */

static void test_lock_acquire_tokens(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();
    char first[RLK_TOKEN_MAX + 1];
    char text[RLK_TOKEN_MAX + 1];
    (void)state;
    harness_start_automatic(&h, 1);
    config.token_prefix = "host-7:";
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_int_equal(rlk_lock_token(&lock, text, sizeof text), 0); /* none yet */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_lock_token(&lock, first, sizeof first), 7 + RLK_TOKEN_DIGITS);
    assert_int_equal(strncmp(first, "host-7:", 7), 0);
    assert_int_equal(strspn(first + 7, "0123456789abcdef"), RLK_TOKEN_DIGITS);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, first), 1);
    text[0] = 'x'; /* no room: not written, but counted */
    assert_int_equal(rlk_lock_token(&lock, text, 7 + RLK_TOKEN_DIGITS), 7 + RLK_TOKEN_DIGITS);
    assert_int_equal(text[0], 'x');
    assert_int_equal(rlk_lock_token(&lock, NULL, 0), 7 + RLK_TOKEN_DIGITS);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    (void)rlk_lock_token(&lock, text, sizeof text);
    assert_true(strncmp(first, text, 7 + 32) != 0); /* another random part */
    assert_int_equal(rlk_lock_token(NULL, text, sizeof text), 0);
}

/* fault 49 */
static void test_lock_acquire_without_entropy_sends_nothing(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    harness_end_entropy(&h);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_ENTROPY);
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    h.no_entropy = false;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
}

/* The number of a token stands for it at a node that has not settled it: while there is such, the
 * random part stays. */
static void test_lock_acquire_keeps_the_random_part_while_a_node_is_unresolved(void **state)
{
    rlk_lock lock;
    rlk_event event;
    char old[RLK_TOKEN_MAX + 1];
    const harness_command *command;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    (void)snprintf(old, sizeof old, "%s", harness_expect(&h, 2, HARNESS_SET)->token);
    harness_reply_all(&h, 0, 2, HARNESS_NIL);
    assert_true(harness_next_event(&h, &event, 100));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 1000); /* node 2 is waited for */
    command = harness_expect(&h, 0, HARNESS_SET);
    assert_int_equal(strncmp(command->token, old, 32), 0);
    assert_string_not_equal(command->token, old);
    harness_cut(&h, 2); /* the undo is sent anew, with the old token */
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_string_equal(harness_expect(&h, 2, HARNESS_RELEASE)->token, old);
}

/* ---- A lost SET (rules 4 and 5) ---- */

static void test_lock_acquire_lost_set_fenced_and_found(void **state)
{
    rlk_lock lock;
    const harness_command *raise;
    int64_t t0_ms;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    (void)harness_execute(harness_link_of(&h, 0));
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    raise = harness_expect(&h, 0, HARNESS_RAISE);
    assert_int_equal(raise->ms, 30000);
    t0_ms = raise->sent_ms;
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), t0_ms + 30000 - 303 - h.now_ms);
}

/* Fenced and not found: it was never executed. So the same token again, and nil means BUSY. */
static void test_lock_acquire_lost_set_fenced_and_not_found(void **state)
{
    rlk_lock lock;
    rlk_event event;
    char token[RLK_TOKEN_MAX + 1];
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 1000), RLK_PENDING);
    (void)snprintf(token, sizeof token, "%s", harness_expect(&h, 0, HARNESS_SET)->token);
    harness_cut(&h, 0);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    assert_string_equal(harness_expect(&h, 0, HARNESS_SET)->token, token);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 1000));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* rule 5: "a nil while an earlier SET of the same token is unresolved is not BUSY" */
static void test_lock_acquire_nil_while_an_earlier_set_is_unresolved(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    make_unfenced(0);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_true(harness_execute_loose(harness_link_of(&h, 0))); /* the first SET, late */
    (void)harness_execute(harness_link_of(&h, 0));
    assert_string_equal(harness_head(harness_link_of(&h, 0))->reply, HARNESS_NIL);
    (void)harness_deliver(harness_link_of(&h, 0));
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    /* found: the loose SET is used up, so the release is certain */
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
}

/* ... and when somebody else has it, the loose SET stays possible: UNKNOWN, no other token */
static void test_lock_acquire_nil_of_another_while_an_earlier_set_is_unresolved(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    make_unfenced(0);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 500), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 0);
    harness_put(&h, 0, HARNESS_KEY, "foreign", 1000);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_UNKNOWN);
}

/* A SET that is unanswered on the stream of the undo may be what the undo deletes: then the loose
 * one of an earlier stream is still to come. (It was said to be used up.) */
static void test_lock_acquire_loose_set_is_not_used_up_by_a_later_one(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    make_unfenced(0);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 0);
    harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_result(rlk_cancel(&lock), RLK_OK); /* before its answer */
    harness_serve(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 1);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_UNKNOWN);
    assert_true(harness_execute_loose(harness_link_of(&h, 0)));
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
}

/* The same with a second SET that was lost too, but fenced. */
static void test_lock_acquire_loose_set_is_not_used_up_by_a_fenced_one(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    make_unfenced(0);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    h.servers[0].no_ids = false;
    harness_cut(&h, 0);
    harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    (void)harness_expect(&h, 0, HARNESS_SET);
    (void)harness_execute(harness_link_of(&h, 0));
    harness_cut(&h, 0);
    harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
    assert_int_equal(h.servers[0].kills, 1);
    harness_serve(&h, 0); /* found: by the second */
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_UNKNOWN);
    assert_true(harness_execute_loose(harness_link_of(&h, 0)));
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
}

/* One attempt: a SET that was lost with a stream older than the call has one more try (fault 115),
 * if that stream is fenced; then it is not tried again, but undone before the result. */
static void test_lock_acquire_once_and_lost(void **state)
{
    static const bool fenced[] = {true, false};
    size_t i;
    (void)state;
    for (i = 0; i < 2; i++) {
        rlk_lock lock;
        harness_start(&h, 1);
        if (!fenced[i])
            make_unfenced(0);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_cut(&h, 0);
        harness_expect_no_event(&h);
        harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
        if (fenced[i]) {
            (void)harness_expect(&h, 0, HARNESS_RAISE);
            harness_cut(&h, 0);
            harness_expect_no_event(&h);
            harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
        }
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        harness_serve(&h, 0);
        if (fenced[i])
            harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_EOF);
        else
            harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_UNKNOWN);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    }
}

/* Not a byte of the SET was shown to the driver: no orphan is possible, whatever comes. */
static void test_lock_acquire_set_that_never_left(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    make_unfenced(0);
    harness_lock(&h, &lock, 30000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_expect_no_event(&h); /* the stream is older than the call: one more try */
    harness_advance(&h, 2 * RLK_BACKOFF_MIN_MS);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_CONNECT);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* After the settling time the result is UNKNOWN; the undo goes on behind it, and ends. */
static void test_lock_acquire_unsettled_is_unknown(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    h.servers[0].mute = true;
    assert_false(harness_next_event(&h, &event, 100 + RLK_SETTLE_TIMEOUT_MS - 1));
    assert_true(harness_next_event(&h, &event, 1));
    assert_result(event.result, RLK_UNKNOWN);
    h.servers[0].mute = false;
    h.servers[0].automatic = true;
    harness_advance(&h, RLK_RESPONSE_TIMEOUT_MS + RLK_BACKOFF_MAX_MS + RLK_CONNECT_TIMEOUT_MS);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* ---- Late answers of the round that was won ---- */

/* A node whose SET was lost in the round that the others won is compared when it is back; that
 * must not raise to the target of an extend of long ago. */
static void test_lock_acquire_late_compare_only_looks(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 3600000), RLK_PENDING);
    harness_reply_all(&h, 0, 3, ":3630000\r\n");
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply_all(&h, 0, 3, ":1\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_expect_all(&h, 0, 3, HARNESS_SET);
    harness_cut(&h, 2);
    harness_reply_all(&h, 0, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    (void)harness_expect(&h, 2, HARNESS_CHECK);
    harness_reply(&h, 2, "-LOADING loading\r\n"); /* sent again, though nothing waits for it */
    harness_advance(&h, RLK_RETRY_MAX_MS);
    (void)harness_expect(&h, 2, HARNESS_CHECK);
    /* and its answer is none to an extend that begins meanwhile */
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 0, ":30950\r\n");
    harness_reply(&h, 2, ":29950\r\n");
    harness_expect_no_event(&h);
    harness_expect_all(&h, 1, 3, HARNESS_RAISE);
    harness_reply(&h, 2, ":30950\r\n");
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
}

/* A compare of a SET that was lost is under way when the others are a quorum: its answer counts for
 * the lease; or, where an extend begins meanwhile, the extend's own follows. */
static void test_lock_acquire_compare_that_is_late(void **state)
{
    unsigned extends;

    (void)state;
    for (extends = 0; extends < 2; extends++) {
        rlk_lock lock;

        harness_start(&h, 3);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_expect_all(&h, 0, 3, HARNESS_SET);
        harness_cut(&h, 2);
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        (void)harness_expect(&h, 2, HARNESS_RAISE);
        harness_reply_all(&h, 0, 2, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        if (extends == 1)
            assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
        harness_reply(&h, 2, ":30000\r\n");
        assert_true(rlk_is_held(&lock));
        if (extends == 0) {
            harness_expect_quiet(&h, 3);
            continue;
        }
        harness_expect_no_event(&h);
        harness_reply(&h, 2, ":30950\r\n");
        harness_reply(&h, 0, ":30950\r\n");
        harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    }
}

/* An undo of another round's token that is answered "deleted" says nothing of the token that is
 * released. */
static void test_lock_acquire_late_undo_is_no_answer_to_a_release(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 1500);
    lock.retry_min_ms = lock.retry_max_ms; /* one attempt in the 100 ms */
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_reply_all(&h, 0, 2, HARNESS_NIL);
    assert_true(harness_next_event(&h, &event, 100));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, 500);
    harness_reply_all(&h, 0, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":1\r\n");
    harness_reply(&h, 2, HARNESS_OK); /* to the SET of the first round, */
    harness_reply(&h, 2, ":1\r\n");   /* and to its undo */
    harness_expect_no_event(&h);      /* one of three, not two */
    harness_reply(&h, 1, ":0\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
}

/* A connection that was shut down by hand does not come back, and is no reason to say that all is
 * well. */
static void test_lock_acquire_after_shutdown(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 30000);
    rlk_conn_close(&harness_link_of(&h, 0)->conn, h.now_ms);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_CLOSED);
    assert_result(rlk_force_release_start(&lock), RLK_E_CLOSED);
    assert_false(rlk_is_held(&lock));

    harness_start_automatic(&h, 3); /* a quorum is left */
    harness_lock(&h, &lock, 30000);
    rlk_conn_close(&harness_link_of(&h, 1)->conn, h.now_ms);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_acquire_validity_counts_from_before_the_first_byte),
        cmocka_unit_test(test_lock_acquire_drift_is_configurable),
        cmocka_unit_test(test_lock_acquire_validity_is_the_qth_largest),
        cmocka_unit_test(test_lock_acquire_tokens),
        cmocka_unit_test(test_lock_acquire_without_entropy_sends_nothing),
        cmocka_unit_test(test_lock_acquire_keeps_the_random_part_while_a_node_is_unresolved),
        cmocka_unit_test(test_lock_acquire_lost_set_fenced_and_found),
        cmocka_unit_test(test_lock_acquire_lost_set_fenced_and_not_found),
        cmocka_unit_test(test_lock_acquire_nil_while_an_earlier_set_is_unresolved),
        cmocka_unit_test(test_lock_acquire_nil_of_another_while_an_earlier_set_is_unresolved),
        cmocka_unit_test(test_lock_acquire_loose_set_is_not_used_up_by_a_later_one),
        cmocka_unit_test(test_lock_acquire_loose_set_is_not_used_up_by_a_fenced_one),
        cmocka_unit_test(test_lock_acquire_once_and_lost),
        cmocka_unit_test(test_lock_acquire_set_that_never_left),
        cmocka_unit_test(test_lock_acquire_unsettled_is_unknown),
        cmocka_unit_test(test_lock_acquire_late_compare_only_looks),
        cmocka_unit_test(test_lock_acquire_compare_that_is_late),
        cmocka_unit_test(test_lock_acquire_late_undo_is_no_answer_to_a_release),
        cmocka_unit_test(test_lock_acquire_after_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
