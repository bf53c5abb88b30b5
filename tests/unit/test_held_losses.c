/* SPDX-License-Identifier: MIT
 *
 * Results claim no more than was seen: faults 109 to 112, 114 and 124 of docs/correctness.md.
 */
#include "harness.h"

#include <string.h>

static harness h;

/* Operations end before any time limit of a connection. */
static void start_impatient(unsigned nodes, int64_t operation_timeout_ms)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.operation_timeout_ms = operation_timeout_ms;
    harness_open(&h, nodes, 1);
    memset(&h.config, 0, sizeof h.config);
    harness_advance(&h, 0);
}

static void expect_unanswered(void)
{
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
}

/* ---- 109: nobody answered ---- */

static void test_fault_109_nobody_answered(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    expect_unanswered();
    assert_text_contains(rlk_lock_error(&lock), "acquire \"k\": E_RESPONSE_TIMEOUT: ");
    assert_text_contains(rlk_lock_error(&lock), "(node 0, n0:6379, SET)");
    assert_text_contains(rlk_client_error(h.client), "E_RESPONSE_TIMEOUT: ");

    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 1000); /* the time of one try */
    harness_serve(&h, 0);
    expect_unanswered();
    harness_expect_no_event(&h);
}

/* Some did, but no quorum, and none that has seen a holder. */
static void test_fault_109_no_quorum_answered(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    expect_unanswered();
    harness_serve(&h, 2);

    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_advance(&h, 100);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT); /* one was seen */
}

/* Behind another lock of the client: what that one saw counts, and nothing else. */
static void test_fault_109_behind_another_lock(void **state)
{
    rlk_lock first;
    rlk_lock second;
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &first, 30000);
    harness_lock(&h, &second, 30000);
    assert_result(rlk_acquire_start(&first, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&second, 100), RLK_PENDING);
    harness_advance(&h, 100);
    expect_unanswered();

    harness_reply(&h, 0, HARNESS_NIL);
    assert_result(rlk_acquire_start(&second, 10), RLK_PENDING);
    harness_advance(&h, 10);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);

    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, RLK_RETRY_MAX_MS));
    assert_result(event.result, RLK_OK);
    h.servers[0].automatic = false;
    assert_result(rlk_acquire_start(&second, 100), RLK_PENDING); /* asks, and is not answered */
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    expect_unanswered();
}

/* The first had it while the second waited. */
static void test_fault_109_another_lock_has_it(void **state)
{
    rlk_lock first;
    rlk_lock second;
    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &first, 30000);
    harness_lock(&h, &second, 30000);
    assert_result(rlk_acquire_start(&first, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&second, 100), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, 100);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
}

static void test_fault_109_query(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    rlk_event event;
    (void)state;
    start_impatient(1, 500);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query_start(&lock, &holder, 1), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_E_RESPONSE_TIMEOUT);
    assert_result(holder.result, RLK_PENDING);
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 500));
    assert_result(event.result, RLK_UNKNOWN); /* this one was sent */
}

/* ---- 110: sent only if it was ---- */

#ifndef RLK_RESP2_ONLY
/* An extend that two of three nodes can't be asked for: the check of the third is none of it. */
static void test_fault_110_check_is_no_raise(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    start_impatient(3, 500);
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

/* ---- 111: what ended a lease ---- */

static void expect_lost(rlk_lock *lock, rlk_lost_cause cause, const char *text)
{
    rlk_event event;
    (void)text;
    assert_true(harness_next_event(&h, &event, 100000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_int_equal(event.lost_cause, cause);
    assert_int_equal(rlk_lock_lost_cause(lock), cause);
    assert_text_contains(rlk_lock_error(lock), text);
    assert_int_equal(rlk_lock_lost_cause(lock), cause);
    assert_result(rlk_release(lock), RLK_LOST);
    assert_int_equal(rlk_lock_lost_cause(lock), cause);
}

/* A lock that renews by itself; what happens to its key first. */
static void renewing(rlk_lock *lock, unsigned nodes)
{
    rlk_lock_config config = rlk_lock_config_default();
    config.auto_renew = true;
    harness_start_automatic(&h, nodes);
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(lock), RLK_LOST_NOT);
}

static void expect_refused(rlk_result result, const char *text)
{
    rlk_event event;
    (void)text;
    assert_true(harness_next_event(&h, &event, 100000));
    assert_true(support_renewal_refused(&event));
    assert_result(event.result, result);
    assert_int_equal(event.lost_cause, RLK_LOST_NOT);
    assert_text_contains(rlk_lock_error(event.lock), text);
}

static void test_fault_111_cause_of_a_loss(void **state)
{
    rlk_lock lock;
    unsigned i;
    static const unsigned sizes[] = {1, 3};
    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        unsigned n;
        harness_start(&h, sizes[i]);
        harness_held(&h, &lock, 3000);
        expect_lost(&lock, RLK_LOST_EXPIRED, "lock \"k\": LOST: the lease ran out");

        renewing(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++)
            harness_delete(&h, n, HARNESS_KEY);
        expect_refused(RLK_NOT_OWNER, "renew \"k\": NOT_OWNER: the key is gone");
        expect_lost(&lock, RLK_LOST_DELETED, "the key is gone");

        renewing(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++)
            harness_put(&h, n, HARNESS_KEY, "foreign", -1);
        expect_refused(RLK_NOT_OWNER, "renew \"k\": NOT_OWNER: the key has another value");
        expect_lost(&lock, RLK_LOST_OVERWRITTEN, "the key has another value");

        renewing(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++)
            harness_find(&h, &h.servers[n], HARNESS_KEY)->wrong_type = true;
        expect_refused(RLK_E_WRONGTYPE, "last error E_WRONGTYPE");
        expect_lost(&lock, RLK_LOST_WRONG_TYPE, "not a string");
    }
}

/* The servers refuse each renewal until the lease is over. Not so: a renewal that worked after one
 * that was refused, another command that was refused, and an answer that never came. */
static void test_fault_111_refused_renewals(void **state)
{
    static const unsigned sizes[] = {1, 3};
    rlk_holder holders[3];
    rlk_event event;
    rlk_lock lock;
    unsigned i;
    unsigned n;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        renewing(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = HARNESS_NOPERM;
        do {
            assert_true(harness_next_event(&h, &event, 100000));
        } while (support_renewal_unknown(&event));
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_int_equal(event.lost_cause, RLK_LOST_REFUSED);
        assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_REFUSED);
        assert_text_contains(rlk_lock_error(&lock), "the server refused to renew it");

        harness_start_automatic(&h, sizes[i]);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_run(&h);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = HARNESS_NOPERM;
        assert_result(rlk_renew_start(&lock, 4000), RLK_PENDING);
        assert_true(harness_next_event(&h, &event, 1000));
        assert_end(&event, RLK_OP_RENEW,
                   sizes[i] == 1 ? RLK_E_NOPERM : RLK_UNKNOWN); /* one is late */
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = NULL;
        assert_result(rlk_renew_start(&lock, 4000), RLK_PENDING);
        harness_run(&h);
        harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].fails = HARNESS_NOPERM;
        assert_result(rlk_query_start(&lock, holders, COUNT_OF(holders)), RLK_PENDING);
        assert_true(harness_next_event(&h, &event, 1000));
        assert_end(&event, RLK_OP_QUERY, RLK_E_NOPERM);
        expect_lost(&lock, RLK_LOST_EXPIRED, "the lease ran out before");

        renewing(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++)
            h.servers[n].automatic = false;
        do {
            assert_true(harness_next_event(&h, &event, 100000));
        } while (support_renewal_unknown(&event));
        assert_int_equal(event.lost_cause, RLK_LOST_EXPIRED);
    }
}

/* A minority says that its key is gone; then the lease runs out, and that is why. */
static void test_fault_111_minority_is_not_the_cause(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 3000);
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_NOT); /* it is held */
    h.servers[0].automatic = h.servers[1].automatic = h.servers[2].automatic = true;
    expect_lost(&lock, RLK_LOST_EXPIRED, "the lease ran out");
}

/* One node's key is gone, another's is somebody else's. */
static void test_fault_111_nodes_that_differ(void **state)
{
    rlk_lock lock;
    (void)state;
    renewing(&lock, 3);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_delete(&h, 1, HARNESS_KEY);
    expect_refused(RLK_NOT_OWNER, "the key has another value");
    expect_lost(&lock, RLK_LOST_OVERWRITTEN, "the key has another value");
}

/* Of a release: what it found instead; and of nothing where it worked. */
static void test_fault_111_cause_of_a_release(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 3);
    harness_held(&h, &lock, 30000);
    harness_delete(&h, 0, HARNESS_KEY);
    h.servers[0].automatic = h.servers[1].automatic = h.servers[2].automatic = true;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_NOT);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_NOT);

    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    h.servers[0].automatic = true;
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_NOT_OWNER);
    assert_int_equal(rlk_lock_lost_cause(&lock), RLK_LOST_OVERWRITTEN);
    assert_text_contains(rlk_lock_error(&lock),
                         "release \"k\": NOT_OWNER: the key has another value");
}

static void test_fault_111_names(void **state)
{
    (void)state;
#ifndef RLK_NO_TEXT
    assert_string_equal(rlk_lost_cause_name(RLK_LOST_NOT), "NOT");
    assert_string_equal(rlk_lost_cause_name(RLK_LOST_EXPIRED), "EXPIRED");
    assert_string_equal(rlk_lost_cause_name(RLK_LOST_REFUSED), "REFUSED");
    assert_string_equal(rlk_lost_cause_name(RLK_LOST_DELETED), "DELETED");
    assert_string_equal(rlk_lost_cause_name(RLK_LOST_OVERWRITTEN), "OVERWRITTEN");
    assert_string_equal(rlk_lost_cause_name(RLK_LOST_WRONG_TYPE), "WRONG_TYPE");
    assert_string_equal(rlk_lost_cause_name(RLK_LOST_CAUSES), "?");
#endif
    assert_int_equal(rlk_lock_lost_cause(NULL), RLK_LOST_NOT);
}

/* ---- 112: a query ---- */

static void test_fault_112_query_says_that_nobody_has_it(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_query(&lock, &holder, 1), RLK_NOT_HELD);
    assert_text_contains(rlk_lock_error(&lock), "query \"k\": NOT_HELD: nobody has the lock");
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_text_contains(rlk_lock_error(&lock), "release \"k\": NOT_HELD: nothing to do");
}

/* ---- 114: what ends a release ---- */

static void test_fault_114_release_is_done_by_its_own_answers_only(void **state)
{
    static const char *const answers[] = {":2\r\n",      ":-1\r\n", ":-4\r\n",  "+OK\r\n",
                                          "$1\r\n1\r\n", "*0\r\n",  HARNESS_NIL};
    size_t i;
    rlk_lock lock;
    rlk_event event;
    (void)state;
    for (i = 0; i < COUNT_OF(answers); i++) {
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        harness_reply(&h, 0, answers[i]);
        harness_expect_no_event(&h);
        assert_int_equal(rlk_conn_result(&harness_link_of(&h, 0)->conn), RLK_E_UNEXPECTED);
        h.servers[0].automatic = true;
        assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
        assert_result(event.result, RLK_OK); /* asked again, and deleted */
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
    }
}

static void test_fault_114_del_is_done_by_0_and_1(void **state)
{
    static const struct {
        const char *answer;
        rlk_result result;
    } cases[] = {{":0\r\n", RLK_OK},
                 {":1\r\n", RLK_OK},
                 {":2\r\n", RLK_UNKNOWN},
                 {":-3\r\n", RLK_UNKNOWN},
                 {"+OK\r\n", RLK_UNKNOWN}};
    size_t i;
    rlk_lock lock;
    rlk_event event;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        harness_start(&h, 1);
        harness_lock(&h, &lock, 3000);
        assert_result(rlk_force_release_start(&lock), RLK_PENDING);
        harness_reply(&h, 0, cases[i].answer);
        assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
        assert_result(event.result, cases[i].result);
    }
}

/* ---- 124: no time is left behind ---- */

/* A release that is refused ends with that refusal, though a raise of before was to be sent again
 * at an earlier time. */
static void test_fault_124_retry_of_a_cancelled_extend(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    rlk_event event;
    (void)state;
    start_impatient(1, 30);
    config.retry_min_ms = config.retry_max_ms = 50;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);

    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_reply(&h, 0, "-LOADING data\r\n"); /* again in 50 ms */
    harness_advance(&h, 25);
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_CANCELLED);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, "-LOADING data\r\n");
    harness_expect_quiet(&h, 0);
    harness_advance(&h, 25);
    harness_expect_quiet(&h, 0); /* not at the time of the extend */
    assert_true(harness_next_event(&h, &event, 10));
    assert_result(event.result, RLK_E_LOADING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_109_nobody_answered),
        cmocka_unit_test(test_fault_109_no_quorum_answered),
        cmocka_unit_test(test_fault_109_behind_another_lock),
        cmocka_unit_test(test_fault_109_another_lock_has_it),
        cmocka_unit_test(test_fault_109_query),
#ifndef RLK_RESP2_ONLY
        cmocka_unit_test(test_fault_110_check_is_no_raise),
#endif
        cmocka_unit_test(test_fault_110_wrong_reply_to_another_command),
        cmocka_unit_test(test_fault_110_raise_was_sent),
        cmocka_unit_test(test_fault_111_cause_of_a_loss),
        cmocka_unit_test(test_fault_111_refused_renewals),
        cmocka_unit_test(test_fault_111_minority_is_not_the_cause),
        cmocka_unit_test(test_fault_111_nodes_that_differ),
        cmocka_unit_test(test_fault_111_cause_of_a_release),
        cmocka_unit_test(test_fault_111_names),
        cmocka_unit_test(test_fault_112_query_says_that_nobody_has_it),
        cmocka_unit_test(test_fault_114_release_is_done_by_its_own_answers_only),
        cmocka_unit_test(test_fault_114_del_is_done_by_0_and_1),
        cmocka_unit_test(test_fault_124_retry_of_a_cancelled_extend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
