/* SPDX-License-Identifier: MIT
 *
 * Release on several nodes, behind what is under way there, and its undo (release.c).
 */
#include "harness.h"

#include <string.h>

static harness h;

static const unsigned sizes[] = {1, 3, 5};

/* release on N nodes: RELEASED: q deleted; NOT_OWNER: more than N - q first answers 0; else
 * UNKNOWN; stragglers retried to the TTL */
static void test_release_on_n_nodes(void **state)
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
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        unsigned n = (unsigned)strlen(cases[i].answers);
        rlk_lock lock;
        rlk_event event;
        unsigned node;

        support_row_name("%s", cases[i].answers);
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

/* A node that does not answer is asked until the TTL ends, and no longer. */
static void test_release_stragglers_are_given_up_at_the_ttl(void **state)
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

/* Acquired x late OK of the minority: a release called before it follows the SET. */
static void test_release_follows_a_late_ok(void **state)
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

/* release called x renewal in flight: not held from the call on; the reply is ignored. (A second
 * operation needs the first to be over: it is cancelled first.) */
static void test_release_called_renewal_in_flight(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
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

/* released x an unfenced earlier SET of this token: UNKNOWN */
static void test_release_with_an_unfenced_earlier_set(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
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

/* A fenced earlier SET is settled. */
static void test_release_with_a_fenced_earlier_set(void **state)
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

/* An undo that is refused goes on as long as the key may live: here an hour, not the TTL. */
static void test_release_undo_outlives_an_extended_key(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    harness_steady_pauses(&lock);
    h.servers[0].automatic = true;
    assert_result(rlk_extend_start(&lock, 3600000), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 1000));
    assert_result(event.result, RLK_OK);
    h.servers[0].fails = "-READONLY You can't write against a read only replica.\r\n";
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 10000));
    assert_result(event.result, RLK_E_READONLY);
    harness_advance(&h, 10000);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
    h.servers[0].fails = NULL;
    harness_advance(&h, 2 * RLK_RETRY_MAX_MS);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* An undo that is refused ends with the TTL: then the key has expired, and nothing more is sent. */
static void test_release_undo_ends_with_the_key(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned before;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 3000);
    h.servers[0].automatic = true;
    h.servers[0].fails = "-READONLY You can't write against a read only replica.\r\n";
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 10000));
    harness_advance(&h, 4000);
    before = h.servers[0].count[HARNESS_RELEASE];
    assert_true(before > 3);
    harness_advance(&h, 60000);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], before);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_on_n_nodes),
        cmocka_unit_test(test_release_stragglers_are_given_up_at_the_ttl),
        cmocka_unit_test(test_release_follows_a_late_ok),
        cmocka_unit_test(test_release_called_renewal_in_flight),
        cmocka_unit_test(test_release_with_an_unfenced_earlier_set),
        cmocka_unit_test(test_release_with_a_fenced_earlier_set),
        cmocka_unit_test(test_release_undo_outlives_an_extended_key),
        cmocka_unit_test(test_release_undo_ends_with_the_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
