/* SPDX-License-Identifier: MIT
 *
 * The state decisions of docs/correctness.md, row by row: from acquired to destroyed, on 1, 3 and 5
 * nodes.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;
static const unsigned sizes[] = {1, 3, 5};

#define FOR_EACH_SIZE(i, n, q)                                                                     \
    for (i = 0; i < COUNT_OF(sizes) && (n = sizes[i], q = n / 2 + 1, true); i++)

/* acquired x late OK of the minority: counts in E_i; the release follows on that connection */
static void test_lock_acquired_late_ok_of_the_minority(void **state)
{
    unsigned i;
    for (i = 1; i < COUNT_OF(sizes); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
        rlk_lock lock;
        int64_t remaining_ms;
        (void)state;
        harness_start(&h, n);
        harness_lock(&h, &lock, 3000);
        harness_link_of(&h, 0)->stuck = true; /* its SET, encoded at once, has the oldest t0 */
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_advance(&h, 10);
        harness_reply_all(&h, 1, q + 1, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        remaining_ms = rlk_remaining_ms(&lock);
        harness_link_of(&h, 0)->stuck = false;
        harness_reply(&h, 0, HARNESS_OK);
        assert_int_equal(rlk_remaining_ms(&lock), remaining_ms);
        /* it is one of the quorum when another node turns out not to be */
        assert_result(rlk_check_start(&lock), RLK_PENDING);
        harness_reply(&h, 1, HARNESS_NOT_OURS);
        harness_reply_all(&h, 2, q + 1, ":2990\r\n");
        harness_reply(&h, 0, ":2990\r\n");
        harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        assert_int_equal(h.servers[1].count[HARNESS_RELEASE], 0); /* known not to have it */
    }
}

/* ... also when the release is called before the late OK comes: behind the SET */
static void test_lock_acquired_release_follows_a_late_ok(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply_all(&h, 0, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply_all(&h, 0, 2, ":1\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_serve(&h, 2);
    assert_int_equal(h.servers[2].count[HARNESS_SET], 1);
    assert_int_equal(h.servers[2].count[HARNESS_RELEASE], 1);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* held x a minority says not owner: its E_i = never; LOST only when q is out of reach */
static void test_lock_held_minority_says_not_owner(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        harness_start(&h, n);
        harness_held(&h, &lock, 3000);
        assert_result(rlk_renew_start(&lock, 6000), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_RAISE);
        harness_reply_all(&h, 0, n - q, HARNESS_NOT_OURS);
        assert_true(rlk_is_held(&lock));
        if (n > 1) {
            harness_reply_all(&h, n - q, n, ":6000\r\n");
            harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
            harness_expect_no_event(&h);
            assert_true(rlk_is_held(&lock));
            /* the minority is not asked again, and does not count */
            assert_result(rlk_renew_start(&lock, 9000), RLK_PENDING);
            assert_null(harness_head(harness_link_of(&h, 0)));
            harness_expect_all(&h, n - q, n, HARNESS_RAISE);
        }
        harness_reply(&h, n - 1, HARNESS_NOT_OURS); /* one more: q is out of reach */
        assert_false(rlk_is_held(&lock));
        harness_expect_result(&h, RLK_OP_RENEW, RLK_NOT_OWNER);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        harness_expect_no_event(&h);
    }
}

/* ... and NOT_OWNER only when so many are known not to have it: a node whose SET is not answered
 * yet may (simulator, seed 285) */
static void test_lock_held_minority_says_not_owner_before_a_late_node(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply_all(&h, 0, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_renew_start(&lock, 6000), RLK_PENDING);
    harness_reply(&h, 1, HARNESS_NOT_OURS);
    harness_expect_result(&h, RLK_OP_RENEW, RLK_LOST);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);
}

/* held x a minority renewed: kept per node, adds up across rounds */
static void test_lock_held_minority_renewed_adds_up(void **state)
{
    rlk_lock lock;
    int64_t remaining_ms;
    rlk_event event;
    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 20000);
    remaining_ms = rlk_remaining_ms(&lock);
    assert_result(rlk_renew_start(&lock, 40000), RLK_PENDING);
    harness_reply(&h, 0, ":40000\r\n"); /* one of three */
    assert_int_equal(rlk_remaining_ms(&lock), remaining_ms);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_result(event.result, RLK_UNKNOWN);
    assert_int_equal(rlk_remaining_ms(&lock), remaining_ms - RLK_OPERATION_TIMEOUT_MS);
    /* the next: another one of three; node 0 has it already */
    harness_cut(&h, 1);
    harness_cut(&h, 2);
    harness_advance(&h, 100);
    assert_result(rlk_renew_start(&lock, 40000 - RLK_OPERATION_TIMEOUT_MS - 100), RLK_PENDING);
    harness_reply(&h, 0, ":34900\r\n");
    harness_reply(&h, 1, ":34900\r\n");
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 34900 - 352, 34900);
}

/* ... within one operation too: what a node answered stays answered while the others are tried
 * again */
static void test_lock_held_minority_renewed_adds_up_within_a_renewal(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 20000);
    assert_result(rlk_renew_start(&lock, 40000), RLK_PENDING);
    harness_reply(&h, 0, ":40000\r\n");
    harness_reply_all(&h, 1, 3, HARNESS_MISCONF);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    harness_expect_quiet(&h, 0);
    harness_reply_all(&h, 1, 2, ":39700\r\n");
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    assert_int_equal(h.servers[1].count[HARNESS_RAISE], 2);
}

/* release called x renewal in flight: not held from the call on; the reply is ignored. (A second
 * operation needs the first to be over: it is cancelled first.) */
static void test_lock_release_called_renewal_in_flight(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        unsigned node;
        harness_start(&h, n);
        harness_held(&h, &lock, 3000);
        assert_result(rlk_renew_start(&lock, 6000), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_RAISE);
        assert_result(rlk_release_start(&lock), RLK_E_STATE);
        assert_result(rlk_cancel(&lock), RLK_OK);
        harness_expect_result(&h, RLK_OP_RENEW, RLK_UNKNOWN);
        assert_true(rlk_is_held(&lock));
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        assert_false(rlk_is_held(&lock));
        harness_reply_all(&h, 0, n, ":6000\r\n"); /* of the raise */
        assert_false(rlk_is_held(&lock));
        harness_expect_no_event(&h);
        for (node = 0; node < q; node++)
            harness_reply(&h, node, ":1\r\n");
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    }
}

/* releasing x 0 after an unanswered release: GONE, not NOT_OWNER */
static void test_lock_releasing_zero_after_an_unanswered_release(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        unsigned node;
        harness_start(&h, n);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        for (node = 0; node < n; node++) {
            (void)harness_execute(harness_link_of(&h, node));
            harness_cut(&h, node); /* the reply is lost */
        }
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        harness_reply_all(&h, 0, q, ":0\r\n");
        if (n > q) /* who has not answered may still have deleted it */
            harness_reply_all(&h, q, n, ":0\r\n");
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_GONE);
        harness_expect_no_event(&h);
    }
}

/* ... nor was one answered that got an error which does not say whether it was executed, such as a
 * proxy's; one that says that it was not is no earlier release (simulator, seed 82) */
static void test_lock_releasing_zero_after_an_error(void **state)
{
    static const struct {
        const char *error;
        rlk_result result;
    } rows[] = {{"-ODD words of a proxy\r\n", RLK_GONE}, {HARNESS_MISCONF, RLK_NOT_OWNER}};
    unsigned i;
    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_lock lock;
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        harness_reply(&h, 0, rows[i].error);
        harness_advance(&h, RLK_RETRY_MAX_MS);
        harness_reply(&h, 0, HARNESS_NOT_OURS);
        harness_expect_result(&h, RLK_OP_RELEASE, rows[i].result);
        harness_expect_no_event(&h);
    }
}

/* ... a release that did not leave before the stream ended is no earlier release */
static void test_lock_releasing_zero_after_an_unsent_release(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_link_of(&h, 0)->stuck = true;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_cut(&h, 0);
    harness_link_of(&h, 0)->stuck = false;
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_reply(&h, 0, ":0\r\n");
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
}

/* released x an unfenced earlier SET of this token: UNKNOWN */
static void test_lock_released_with_an_unfenced_earlier_set(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        rlk_event event;
        unsigned node;
        harness_start(&h, n);
        for (node = 0; node < n; node++) { /* streams without identity */
            h.servers[node].no_ids = true;
            harness_cut(&h, node);
        }
        harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_SET);
        for (node = 0; node < q; node++)
            harness_cut(&h, node);
        harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
        harness_expect_all(&h, 0, q, HARNESS_RAISE);
        harness_reply_all(&h, 0, q, HARNESS_NOT_OURS);
        harness_expect_all(&h, 0, q, HARNESS_SET); /* again, the same token */
        harness_reply_all(&h, 0, q, HARNESS_OK);
        assert_true(harness_next_event(&h, &event, 0));
        assert_result(event.result, RLK_OK);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_reply_all(&h, 0, q, ":1\r\n");
        harness_run(&h);
        if (n > q && !harness_next_event(&h, &event, 0)) {
            for (node = q; node < n; node++)
                harness_serve(&h, node);
            assert_true(harness_next_event(&h, &event, 0));
        } else if (n == q) {
            assert_true(harness_next_event(&h, &event, 0));
        }
        assert_result(event.result, RLK_UNKNOWN);
        /* and rightly so */
        for (node = 0; node < q; node++)
            assert_true(harness_execute_loose(harness_link_of(&h, node)));
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), q);
    }
}

/* ... a fenced one is settled */
static void test_lock_released_with_a_fenced_earlier_set(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_int_equal(h.servers[0].kills, 1);
    (void)harness_expect(&h, 0, HARNESS_RAISE);
    harness_serve(&h, 0);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* release on N nodes: RELEASED: q deleted; NOT_OWNER: more than N - q first answers 0; else
 * UNKNOWN; stragglers retried to the TTL */
static void test_lock_release_on_n_nodes(void **state)
{
    /* answers, in order of the nodes: d deleted, 0 not ours, - none */
    static const struct {
        const char *answers;
        rlk_result expected;
    } cases[] = {
        {"d", RLK_OK},
        {"0", RLK_NOT_OWNER},
        {"-", RLK_UNKNOWN},
        {"dd-", RLK_OK},
        {"dd0", RLK_OK},
        {"d00", RLK_NOT_OWNER},
        {"00-", RLK_NOT_OWNER},
        {"d0-", RLK_UNKNOWN},
        {"d--", RLK_UNKNOWN},
        {"---", RLK_UNKNOWN},
        {"ddd--", RLK_OK},
        {"dd000", RLK_NOT_OWNER},
        {"000--", RLK_NOT_OWNER},
        {"dd00-", RLK_UNKNOWN},
        {"dd---", RLK_UNKNOWN},
    };
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        unsigned n = (unsigned)strlen(cases[i].answers);
        rlk_lock lock;
        rlk_event event;
        unsigned node;
        harness_start(&h, n);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        for (node = 0; node < n; node++)
            if (cases[i].answers[node] != '-')
                harness_reply(&h, node, cases[i].answers[node] == 'd' ? ":1\r\n" : ":0\r\n");
        assert_int_equal(harness_next_event(&h, &event, 0), cases[i].expected != RLK_UNKNOWN);
        if (cases[i].expected == RLK_UNKNOWN)
            assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
        assert_result(event.result, cases[i].expected);
        /* stragglers: cleaning goes on behind the result */
        for (node = 0; node < n; node++) {
            if (cases[i].answers[node] != '-')
                continue;
            harness_cut(&h, node);
            harness_advance(&h, 4 * RLK_BACKOFF_MIN_MS);
            (void)harness_expect(&h, node, HARNESS_RELEASE);
            harness_reply(&h, node, HARNESS_MISCONF);
            harness_advance(&h, RLK_RETRY_MAX_MS);
            harness_serve(&h, node);
        }
        if (cases[i].expected == RLK_UNKNOWN)
            harness_expect_event(&h, RLK_EV_SETTLED, RLK_OK);
        harness_expect_no_event(&h);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* ... to the TTL, not for ever */
static void test_lock_release_stragglers_are_given_up_at_the_ttl(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned count;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    h.servers[0].fails = HARNESS_MISCONF;
    h.servers[0].automatic = true;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_result(event.result, RLK_E_MISCONF);
    harness_advance(&h, 3000);
    count = h.servers[0].count[HARNESS_RELEASE];
    assert_between(count, 3000 / RLK_RETRY_MAX_MS, 3000 / RLK_RETRY_MIN_MS + 2);
    harness_advance(&h, 60000);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], count);
}

/* lost: best-effort undo on all nodes */
static void test_lock_lost_is_undone_on_all_nodes(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        rlk_event event;
        (void)q;
        harness_start(&h, n);
        harness_held(&h, &lock, 3000);
        assert_true(harness_next_event(&h, &event, 3000));
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_int_equal(h.now_ms, HARNESS_START + 3000 - 33); /* 1 % + 2 ms, rounded up */
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        assert_result(rlk_release(&lock), RLK_LOST);
    }
}

/* timeout and OK in the same tick: the deadline wins, undo; TIMED_OUT when the undo is answered */
static void test_lock_timeout_and_ok_in_the_same_tick(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        (void)q;
        harness_start(&h, n);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, 500), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_SET);
        h.now_ms += 500; /* no tick: the input is there first */
        harness_reply_all(&h, 0, n, HARNESS_OK);
        assert_false(rlk_is_held(&lock));
        harness_expect_no_event(&h);
        harness_expect_all(&h, 0, n, HARNESS_RELEASE);
        harness_reply_all(&h, 0, n, ":1\r\n");
        harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* ... and a tick before the deadline does not */
static void test_lock_ok_just_before_the_timeout(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 500), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    h.now_ms += 499;
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* destroy while unknown: entries become ownerless; the possible orphan is reported */
static void test_lock_destroy_while_unknown(void **state)
{
    unsigned i;
    unsigned n;
    unsigned q;
    (void)state;
    FOR_EACH_SIZE(i, n, q)
    {
        rlk_lock lock;
        rlk_lock other;
        harness_start(&h, n);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_lock_init(&other, h.client, "other", NULL), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        assert_result(rlk_acquire_start(&other, RLK_FOREVER), RLK_PENDING);
        harness_expect_all(&h, 0, n, HARNESS_SET);
        harness_reply_all(&h, 0, n - q, HARNESS_NIL); /* q nodes unknown */
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
        memset(&lock, 0x5a, sizeof lock);            /* the caller may do so */
        harness_reply_all(&h, n - q, n, HARNESS_OK); /* finds nobody */
        harness_expect_all(&h, 0, n, HARNESS_SET);   /* of the other lock */
        harness_reply_all(&h, 0, n, HARNESS_OK);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        harness_expect_no_event(&h);
    }
}

/* ... fewer than q unknown: no orphan can hold the lock */
static void test_lock_destroy_while_a_minority_is_unknown(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply_all(&h, 0, 2, HARNESS_NIL);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* ... by a token of an earlier round, of which no result has said anything: on one node it is not
 * undone yet, on another a SET that nothing fences may still bring it. */
static void test_lock_destroy_while_an_earlier_round_is_unknown(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_event event;
    rlk_lock lock;
    unsigned i;
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 3, 1);
    h.servers[1].no_ids = true;
    harness_advance(&h, 0);
    config.node_timeout_ms = 100;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    assert_result(rlk_acquire_start(&lock, RLK_DEFAULT), RLK_PENDING);
    harness_expect_all(&h, 0, 3, HARNESS_SET);
    harness_serve(&h, 0);
    harness_serve(&h, 2);
    h.servers[1].refuses = true;
    harness_cut(&h, 1);
    harness_advance(&h, 100); /* the round is over */
    (void)harness_expect(&h, 2, HARNESS_RELEASE);
    h.servers[1].refuses = false;
    harness_delete(&h, 0, HARNESS_KEY);
    for (i = 0; i < 500 && !rlk_is_held(&lock); i++) {
        harness_advance(&h, 10);
        harness_serve(&h, 0);
        harness_serve(&h, 1);
    }
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_GONE);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 2, HARNESS_RELEASE); /* still */
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    assert_true(harness_execute_loose(harness_link_of(&h, 1)));
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_acquired_late_ok_of_the_minority),
        cmocka_unit_test(test_lock_acquired_release_follows_a_late_ok),
        cmocka_unit_test(test_lock_held_minority_says_not_owner),
        cmocka_unit_test(test_lock_held_minority_says_not_owner_before_a_late_node),
        cmocka_unit_test(test_lock_held_minority_renewed_adds_up),
        cmocka_unit_test(test_lock_held_minority_renewed_adds_up_within_a_renewal),
        cmocka_unit_test(test_lock_release_called_renewal_in_flight),
        cmocka_unit_test(test_lock_releasing_zero_after_an_unanswered_release),
        cmocka_unit_test(test_lock_releasing_zero_after_an_error),
        cmocka_unit_test(test_lock_releasing_zero_after_an_unsent_release),
        cmocka_unit_test(test_lock_released_with_an_unfenced_earlier_set),
        cmocka_unit_test(test_lock_released_with_a_fenced_earlier_set),
        cmocka_unit_test(test_lock_release_on_n_nodes),
        cmocka_unit_test(test_lock_release_stragglers_are_given_up_at_the_ttl),
        cmocka_unit_test(test_lock_lost_is_undone_on_all_nodes),
        cmocka_unit_test(test_lock_timeout_and_ok_in_the_same_tick),
        cmocka_unit_test(test_lock_ok_just_before_the_timeout),
        cmocka_unit_test(test_lock_destroy_while_unknown),
        cmocka_unit_test(test_lock_destroy_while_a_minority_is_unknown),
        cmocka_unit_test(test_lock_destroy_while_an_earlier_round_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
