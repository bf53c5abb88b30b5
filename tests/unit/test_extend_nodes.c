/* SPDX-License-Identifier: MIT
 *
 * Extend, renew and check on several nodes: minorities that answer, refuse or are late (extend.c).
 */
#include "harness.h"

static harness h;

static const unsigned sizes[] = {1, 3, 5};

/* A node on which the lease has run out does not make up for one that lost the key. */
static void test_extend_of_nodes_that_differ(void **state)
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

/* held x a minority says not owner: its E_i = never; LOST only when q is out of reach */
static void test_extend_minority_says_not_owner(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned n = sizes[i];
        unsigned q = n / 2 + 1;
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

/* NOT_OWNER only when N - q + 1 nodes are known not to have it: a node whose SET is not
 * answered yet may (simulator, seed 285) */
static void test_extend_minority_says_not_owner_before_a_late_node(void **state)
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

/* held x a minority renewed: kept per node, adds up across attempts */
static void test_extend_minority_renewed_adds_up(void **state)
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

/* Within one operation too: what a node answered stays answered while the others are tried
 * again */
static void test_extend_minority_renewed_adds_up_within_a_renewal(void **state)
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extend_of_nodes_that_differ),
        cmocka_unit_test(test_extend_minority_says_not_owner),
        cmocka_unit_test(test_extend_minority_says_not_owner_before_a_late_node),
        cmocka_unit_test(test_extend_minority_renewed_adds_up),
        cmocka_unit_test(test_extend_minority_renewed_adds_up_within_a_renewal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
