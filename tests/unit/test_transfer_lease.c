/* SPDX-License-Identifier: MIT
 *
 * A lease moves to another lock: one of them holds it, never for longer, and its owner alone
 * deletes the key (transfer.c).
 */
#include "lock_transferred.h"

#define TTL    30000
#define FIRST  0
#define SECOND 1
#define SLACK  4 /* a few milliseconds of drift more */

static void test_transfer_moves_the_lease(void **state)
{
    unsigned nodes;

    (void)state;
    for (nodes = 1; nodes <= 5; nodes++) {
        char token[RLK_TOKEN_MAX + 1];
        char moved[RLK_TOKEN_MAX + 1];
        rlk_event event;
        unsigned releases;
        int64_t left_ms;

        start_held(nodes);
        (void)rlk_lock_token(&from, token, sizeof token);
        harness_advance(&h, 3000);
        left_ms = rlk_remaining_ms(&from);
        assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
        assert_false(rlk_is_held(&from));
        assert_int_equal(rlk_remaining_ms(&from), 0);
        harness_advance(&h, 0);
        assert_int_equal(holding(token), nodes); /* nothing was undone */
        assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
        assert_true(rlk_is_held(&to));
        assert_between(rlk_remaining_ms(&to), left_ms - SLACK, left_ms);
        assert_between(rlk_held_ms(&to), 3000, 3000);
        (void)rlk_lock_token(&to, moved, sizeof moved);
        assert_string_equal(moved, token);

        /* it is renewed by its new owner, far beyond its TTL */
        harness_advance(&h, 10 * TTL);
        assert_true(rlk_is_held(&to));
        assert_int_equal(holding(token), nodes);
        releases = h.servers[0].count[HARNESS_RELEASE];
        assert_result(rlk_release(&to), RLK_OK);
        assert_int_equal(h.servers[0].count[HARNESS_RELEASE], releases + 1);
        assert_int_equal(holding(NULL), 0);
        while (pull(SECOND, &event))
            assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_false(pull(FIRST, &event));
    }
}

/* A lease moves back as it is then. */
static void test_transfer_moves_back(void **state)
{
    char token[RLK_TOKEN_MAX + 1];
    char again[RLK_TOKEN_MAX + 1];
    rlk_event event;

    (void)state;
    start_held(3);
    (void)rlk_lock_token(&from, token, sizeof token);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    harness_advance(&h, 10 * TTL);
    assert_result(rlk_lock_detach(&to, &lease), RLK_OK);
    assert_false(rlk_is_held(&to));
    assert_result(rlk_lock_attach(&from, &lease), RLK_OK);
    assert_true(rlk_remaining_ms(&from) > TTL / 2);
    assert_result(rlk_check(&from), RLK_OK);
    assert_result(rlk_extend(&from, 1000), RLK_OK);
    assert_result(rlk_release(&from), RLK_OK);
    assert_int_equal(holding(NULL), 0);
    assert_false(pull(FIRST, &event));
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
    (void)rlk_lock_token(&from, again, sizeof again);
    assert_string_not_equal(again, token);
}

/* The lock that gave its lease away has another token the next time, and waits like any other. */
static void test_transfer_excludes_the_giver(void **state)
{
    char token[RLK_TOKEN_MAX + 1];
    char next[RLK_TOKEN_MAX + 1];

    (void)state;
    start_held(1);
    (void)rlk_lock_token(&from, token, sizeof token);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_BUSY);
    assert_int_equal(holding(token), 1);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_BUSY);
    assert_result(rlk_release(&from), RLK_NOT_HELD);
    assert_result(rlk_lock_close(&from), RLK_OK);
    assert_int_equal(holding(token), 1);
    assert_true(rlk_is_held(&to));
    init(&from, FIRST, false);
    assert_result(rlk_release(&to), RLK_OK);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
    (void)rlk_lock_token(&from, next, sizeof next);
    assert_string_not_equal(next, token);
}

/* Nobody answers the new owner: it is lost when it would have been, though its client reckons with
 * less drift. */
static void test_transfer_never_lengthens(void **state)
{
    unsigned nodes;

    (void)state;
    for (nodes = 1; nodes <= 3; nodes += 2) {
        rlk_event event;
        int64_t left_ms;

        start_held(nodes);
        h.members[SECOND].client.drift_ppm = 1;
        h.members[SECOND].client.drift_ms = 0;
        automatic(false);
        harness_advance(&h, 1000);
        left_ms = rlk_remaining_ms(&from);
        assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
        assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
        assert_between(rlk_remaining_ms(&to), left_ms - SLACK, left_ms);
        harness_advance(&h, left_ms - SLACK - 1);
        assert_true(rlk_is_held(&to));
        harness_advance(&h, SLACK + 1);
        assert_false(rlk_is_held(&to));
        while (pull(SECOND, &event) && event.type != RLK_EV_LOST)
            assert_true(support_renewal_unknown(&event));
        assert_int_equal(event.type, RLK_EV_LOST);
    }
}

/* The caller has said that he needs it for less: less moves. */
static void test_transfer_of_a_shortened_lease(void **state)
{
    int64_t left_ms;

    (void)state;
    start_held(1);
    assert_result(rlk_renew(&from, TTL / 3), RLK_OK);
    left_ms = rlk_remaining_ms(&from);
    assert_true(left_ms < TTL / 3);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_between(rlk_remaining_ms(&to), left_ms - SLACK, left_ms);
}

/* It was over on the way. */
static void test_transfer_of_what_is_over(void **state)
{
    rlk_event event;

    (void)state;
    start_held(1);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    harness_advance(&h, TTL - 1);
    assert_result(rlk_lock_attach(&to, &lease), RLK_LOST);
    assert_false(rlk_is_held(&to));
    assert_true(pull(SECOND, &event));
    assert_int_equal(event.type, RLK_EV_LOST);
    harness_advance(&h, 0);
    assert_int_equal(holding(NULL), 0); /* undone by who owns it */
    assert_result(rlk_acquire(&to, RLK_TRY), RLK_OK);
}

/* The key went while it moved: found by the question that the new owner asks at once. */
static void test_transfer_of_a_key_that_went(void **state)
{
    rlk_event event;

    (void)state;
    start_held(1);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    harness_advance(&h, 0);
    assert_false(rlk_is_held(&to));
    assert_true(pull(SECOND, &event));
    assert_int_equal(event.type, RLK_EV_LOST);
    harness_advance(&h, TTL);
    assert_int_equal(holding(NULL), 0); /* and never made again */
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
}

/* A lease that is lost has nothing to give. */
static void test_transfer_of_a_lost_lease(void **state)
{
    (void)state;
    start_held(1);
    automatic(false);
    harness_advance(&h, TTL);
    assert_result(rlk_lock_detach(&from, &lease), RLK_LOST);
}

static void test_transfer_refuses(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock other;

    (void)state;
    start(1);
    assert_result(rlk_lock_detach(NULL, &lease), RLK_E_ARGUMENT);
    assert_result(rlk_lock_attach(NULL, &lease), RLK_E_ARGUMENT);
    assert_result(rlk_lock_detach(&from, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_attach(&to, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_detach(&from, &lease), RLK_NOT_HELD);
    automatic(true);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
    automatic(false);
    assert_result(rlk_check_start(&from), RLK_PENDING);
    assert_result(rlk_lock_detach(&from, &lease), RLK_E_STATE);
    assert_true(rlk_is_held(&from));
    automatic(true);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);

    assert_result(rlk_lock_init(&other, &h.members[SECOND].client, "other", NULL), RLK_OK);
    assert_result(rlk_lock_attach(&other, &lease), RLK_E_KEY);
    assert_result(rlk_lock_close(&other), RLK_OK);
    config.token_prefix = "host-";
    assert_result(rlk_lock_init(&other, &h.members[SECOND].client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_lock_attach(&other, &lease), RLK_E_KEY);
    assert_result(rlk_lock_close(&other), RLK_OK);
    assert_result(rlk_lock_attach(&other, &lease), RLK_E_CLOSED);
    lease.nodes = 2;
    assert_result(rlk_lock_attach(&to, &lease), RLK_E_NODES);
    lease.nodes = 1;
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_result(rlk_lock_attach(&to, &lease), RLK_E_STATE); /* has it */
    assert_true(rlk_is_held(&to));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer_moves_the_lease),
        cmocka_unit_test(test_transfer_moves_back),
        cmocka_unit_test(test_transfer_excludes_the_giver),
        cmocka_unit_test(test_transfer_never_lengthens),
        cmocka_unit_test(test_transfer_of_a_shortened_lease),
        cmocka_unit_test(test_transfer_of_what_is_over),
        cmocka_unit_test(test_transfer_of_a_key_that_went),
        cmocka_unit_test(test_transfer_of_a_lost_lease),
        cmocka_unit_test(test_transfer_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
