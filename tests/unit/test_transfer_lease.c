/* SPDX-License-Identifier: MIT
 *
 * A lease moves to another lock: held by one of them at any time, never for longer, and its key is
 * deleted by its owner only.
 */
#include "harness.h"

#include <string.h>

#define TTL    30000
#define FIRST  0
#define SECOND 1
#define SLACK  4 /* a few milliseconds of drift more */

static harness h;
static rlk_lock from;
static rlk_lock to;
static rlk_lease lease;

static void init(rlk_lock *lock, unsigned member, bool auto_renew)
{
    rlk_lock_config config = rlk_lock_config_default();
    config.ttl_ms = TTL;
    config.auto_renew = auto_renew;
    assert_result(rlk_lock_init(lock, &h.members[member].client, HARNESS_KEY, &config), RLK_OK);
}

/* Two clients that are connected; nothing is answered. */
static void start(unsigned nodes)
{
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, nodes, 2);
    harness_advance(&h, 0);
    init(&from, FIRST, false);
    init(&to, SECOND, true);
}

static void automatic(bool is)
{
    unsigned i;
    for (i = 0; i < h.nodes; i++)
        h.servers[i].automatic = is;
}

static void start_held(unsigned nodes)
{
    start(nodes);
    automatic(true);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
}

/* The lease has left a lock whose SET to the third node is not answered. */
static void start_late(void)
{
    start(3);
    assert_result(rlk_acquire_start(&from, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
}

static bool pull(unsigned member, rlk_event *event)
{
    return rlk_client_next_event(&h.members[member].client, event);
}

static unsigned holding(const char *token)
{
    return harness_holding(&h, HARNESS_KEY, token);
}

/* ---- Moves ---- */

static void test_lock_transfer_moves_the_lease(void **state)
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

/* And back, as it is now. */
static void test_lock_transfer_moves_back(void **state)
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

/* Whoever gave it away has another token the next time, and waits for it like anybody. */
static void test_lock_transfer_excludes_the_giver(void **state)
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

/* ---- Never for longer ---- */

/* Nobody answers the new owner: it is lost when it would have been, though its client reckons with
 * less drift. */
static void test_lock_transfer_never_lengthens(void **state)
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
static void test_lock_transfer_of_a_shortened_lease(void **state)
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
static void test_lock_transfer_of_what_is_over(void **state)
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
static void test_lock_transfer_of_a_key_that_went(void **state)
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

/* ---- What is under way ---- */

/* A SET that a node has not answered stays with its sender, who undoes it behind it. */
static void test_lock_transfer_leaves_a_late_set(void **state)
{
    (void)state;
    start_late();
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    harness_run(&h);
    assert_true(rlk_is_held(&to));
    (void)harness_expect(&h, 2, HARNESS_SET);
    harness_serve(&h, 2);
    assert_int_equal(holding(NULL), 2); /* its undo came behind it */
    automatic(true);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_advance(&h, 5 * TTL);
    assert_true(rlk_is_held(&to));
    assert_result(rlk_release(&to), RLK_OK);
    assert_int_equal(holding(NULL), 0);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
}

/* ... and that does not keep the lease from coming back to him. */
static void test_lock_transfer_back_beside_a_late_set(void **state)
{
    (void)state;
    start_late();
    assert_result(rlk_lock_attach(&from, &lease), RLK_OK);
    assert_true(rlk_is_held(&from));
    harness_serve(&h, 2);
    assert_int_equal(holding(NULL), 2);
    automatic(true);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    assert_result(rlk_release(&from), RLK_OK);
    assert_int_equal(holding(NULL), 0);
}

/* That undo is not answered yet, so the random part stays: the next token of its sender is still
 * none that the lock which has the lease can come to. */
static void test_lock_transfer_tokens_stay_apart(void **state)
{
    char next[RLK_TOKEN_MAX + 1];
    char theirs[RLK_TOKEN_MAX + 1];
    unsigned i;
    (void)state;
    start_late();
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    (void)rlk_lock_token(&from, next, sizeof next);
    (void)rlk_lock_token(&to, theirs, sizeof theirs);
    assert_memory_equal(next, theirs, 32); /* one random part */
    for (i = 0; i < 3; i++) {
        assert_string_not_equal(next, theirs);
        to.token++;
        (void)rlk_lock_token(&to, theirs, sizeof theirs);
    }
}

/* A node that was asked in an earlier round has that round's token, and not the lease's: it stays
 * with its sender, who undoes it when the node is back. */
static void test_lock_transfer_leaves_an_earlier_token(void **state)
{
    harness_link *link = harness_link_of(&h, 2);
    rlk_event event;
    unsigned i;
    (void)state;
    start(3);
    for (i = 0; i < 2; i++)
        harness_put(&h, i, HARNESS_KEY, "foreign", -1);
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_true(harness_execute(link));
    assert_true(harness_deliver(link));
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    (void)harness_expect(&h, 2, HARNESS_RELEASE);
    h.servers[2].refuses = true;
    harness_cut(&h, 2);
    link->loose.len = 0; /* it never comes there */
    for (i = 0; i < 2; i++) {
        harness_delete(&h, i, HARNESS_KEY);
        h.servers[i].automatic = true;
    }
    assert_true(harness_next_event(&h, &event, TTL / 3));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(holding(NULL), 3);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    h.servers[2].refuses = false;
    h.servers[2].automatic = true;
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    assert_int_equal(holding(NULL), 2);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_result(rlk_release(&to), RLK_OK);
    assert_int_equal(holding(NULL), 0);
}

/* A renewal in the background is under way. */
static void test_lock_transfer_abandons_a_renewal(void **state)
{
    (void)state;
    start(1);
    assert_result(rlk_lock_close(&from), RLK_OK);
    init(&from, FIRST, true);
    automatic(true);
    assert_result(rlk_acquire(&from, RLK_TRY), RLK_OK);
    automatic(false);
    harness_advance(&h, TTL / 3);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    harness_run(&h);
    automatic(true);
    harness_serve(&h, 0);
    harness_advance(&h, 3 * TTL);
    assert_true(rlk_is_held(&to));
    assert_false(rlk_is_held(&from));
    assert_result(rlk_release(&to), RLK_OK);
    assert_int_equal(holding(NULL), 0);
    harness_expect_no_event(&h);
}

/* ---- Refused ---- */

static void test_lock_transfer_refuses(void **state)
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

/* A lock with a token of its own that is not undone yet takes none. */
static void test_lock_transfer_to_a_lock_that_is_unsettled(void **state)
{
    (void)state;
    start_held(1);
    assert_result(rlk_lock_detach(&from, &lease), RLK_OK);
    automatic(false);
    assert_result(rlk_acquire_start(&to, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_result(rlk_lock_attach(&to, &lease), RLK_E_STATE); /* busy */
    assert_result(rlk_cancel(&to), RLK_OK);
    harness_advance(&h, RLK_SETTLE_TIMEOUT_MS); /* UNKNOWN: its undo goes on */
    assert_result(rlk_lock_attach(&to, &lease), RLK_E_STATE);
    automatic(true);
    harness_advance(&h, 10000);
    assert_result(rlk_lock_attach(&to, &lease), RLK_OK);
    assert_true(rlk_is_held(&to));
}

/* Nor does the lock that gave it away, if it has a token on those nodes by now. */
static void test_lock_transfer_back_to_a_lock_that_is_unsettled(void **state)
{
    (void)state;
    start_late();
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, RLK_NODE_TIMEOUT_MAX_MS); /* so long it waits for its undo */
    harness_expect_all(&h, 0, 2, HARNESS_SET);
    assert_result(rlk_cancel(&from), RLK_OK);
    harness_advance(&h, RLK_SETTLE_TIMEOUT_MS);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_UNKNOWN);
    assert_result(rlk_lock_attach(&from, &lease), RLK_E_STATE);
    automatic(true);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    harness_expect_event(&h, RLK_EV_SETTLED, RLK_OK);
    assert_result(rlk_lock_attach(&from, &lease), RLK_OK);
    assert_true(rlk_is_held(&from));
    assert_int_equal(holding(NULL), 2);
}

/* A lease that is lost has nothing to give. */
static void test_lock_transfer_of_a_lost_lease(void **state)
{
    (void)state;
    start_held(1);
    automatic(false);
    harness_advance(&h, TTL);
    assert_result(rlk_lock_detach(&from, &lease), RLK_LOST);
}

/* Acquires on one node that can't be fenced, where so many SETs have been lost with their streams.
 */
static void start_loose(unsigned lost)
{
    rlk_lock_config config = rlk_lock_config_default();
    unsigned i;
    start(1);
    assert_result(rlk_lock_close(&from), RLK_OK);
    config.ttl_ms = TTL;
    config.node_timeout_ms = TTL / 3;
    config.report_ms = RLK_TIME_LIMIT_MAX;
    assert_result(rlk_lock_init(&from, h.client, HARNESS_KEY, &config), RLK_OK);
    h.servers[0].no_ids = true;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_result(rlk_acquire_start(&from, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < lost; i++) {
        if (i > 0)
            harness_reply(&h, 0, HARNESS_NOT_OURS);
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_cut(&h, 0);
        harness_advance(&h, RLK_BACKOFF_MAX_MS);
        (void)harness_expect(&h, 0, HARNESS_RAISE);
    }
}

/* The lock keeps its lease, and works. */
static void expect_kept(void)
{
    assert_result(rlk_lock_detach(&from, &lease), RLK_E_STATE);
    assert_true(rlk_is_held(&from));
    automatic(true);
    assert_result(rlk_release(&from), RLK_UNKNOWN); /* an orphan may come, and that is known */
    harness_run(&h);
    assert_int_equal(holding(NULL), 0);
}

/* The SET of an earlier token may still execute: only its sender knows that. */
static void test_lock_transfer_of_a_lock_in_doubt(void **state)
{
    rlk_event event;
    (void)state;
    start_loose(1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    automatic(true);
    assert_false(harness_next_event(&h, &event, 1000));
    harness_delete(&h, 0, HARNESS_KEY);
    assert_true(harness_next_event(&h, &event, 1000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    expect_kept();
}

/* Of two SETs that may still execute one did: the other may bring the token again, after whoever
 * has it has deleted it. Such a node does not move, and without it there is no quorum. */
static void test_lock_transfer_of_a_token_that_may_come_again(void **state)
{
    (void)state;
    start_loose(2);
    assert_true(harness_execute_loose(harness_link_of(&h, 0)));
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    expect_kept();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_transfer_moves_the_lease),
        cmocka_unit_test(test_lock_transfer_moves_back),
        cmocka_unit_test(test_lock_transfer_excludes_the_giver),
        cmocka_unit_test(test_lock_transfer_never_lengthens),
        cmocka_unit_test(test_lock_transfer_of_a_shortened_lease),
        cmocka_unit_test(test_lock_transfer_of_what_is_over),
        cmocka_unit_test(test_lock_transfer_of_a_key_that_went),
        cmocka_unit_test(test_lock_transfer_leaves_a_late_set),
        cmocka_unit_test(test_lock_transfer_back_beside_a_late_set),
        cmocka_unit_test(test_lock_transfer_leaves_an_earlier_token),
        cmocka_unit_test(test_lock_transfer_tokens_stay_apart),
        cmocka_unit_test(test_lock_transfer_abandons_a_renewal),
        cmocka_unit_test(test_lock_transfer_refuses),
        cmocka_unit_test(test_lock_transfer_to_a_lock_that_is_unsettled),
        cmocka_unit_test(test_lock_transfer_back_to_a_lock_that_is_unsettled),
        cmocka_unit_test(test_lock_transfer_of_a_lost_lease),
        cmocka_unit_test(test_lock_transfer_of_a_lock_in_doubt),
        cmocka_unit_test(test_lock_transfer_of_a_token_that_may_come_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
