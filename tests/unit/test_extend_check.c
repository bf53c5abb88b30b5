/* SPDX-License-Identifier: MIT
 *
 * Check: what it may claim, and what ends the lease (rules 2 and 8; extend.c).
 */
#include "harness.h"

static harness h;

#define DRIFT(horizon_ms) ((horizon_ms) / 100 + 3)

static int64_t deadline_of(const rlk_lock *lock)
{
    return h.now_ms + rlk_remaining_ms(lock);
}

/* A check of a lease of 30 s on one node. */
typedef struct check_row {
    const char *name;
    bool reconnects; /* first */
    int64_t before_ms;
    int64_t during_ms; /* until the answer */
    const char *reply;
    rlk_result result; /* not RLK_OK: the lock is lost */
    int64_t least_ms;  /* of rlk_remaining_ms after it */
    int64_t most_ms;
} check_row;

static void expect_answered(const check_row *row)
{
    rlk_lock lock;

    support_row_name("%s", row->name);
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    if (row->reconnects)
        harness_cut(&h, 0);
    harness_advance(&h, row->before_ms);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_run(&h);
    harness_advance(&h, row->during_ms);
    harness_reply(&h, 0, row->reply);
    assert_int_equal(rlk_is_held(&lock), row->result == RLK_OK);
    harness_expect_result(&h, RLK_OP_CHECK, row->result);
    if (row->result != RLK_OK)
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);
    assert_between(rlk_remaining_ms(&lock), row->least_ms, row->most_ms);
    if (row->result == RLK_LOST)
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
}

#define LEFT(ttl_ms) (ttl_ms) - DRIFT(ttl_ms), (ttl_ms)-DRIFT(ttl_ms)
/* Of a lease of 30 s; a shorter horizon has less drift, by a hundredth of the time that is gone. */
#define LEFT_AFTER(ms) 30000 - DRIFT(30000) - (ms)-1, 30000 - DRIFT(30000) - (ms) + 10

/* After a reconnect what the server says counts: the key may be of an older snapshot (fault 74), or
 * gone with all data (fault 20). */
static void test_fault_74_restored_snapshot(void **state)
{
    static const check_row rows[] = {
        {"an older TTL", true, RLK_BACKOFF_MIN_MS, 0, ":5000\r\n", RLK_OK, LEFT(5000)},
        {"no data", true, RLK_BACKOFF_MIN_MS, 0, HARNESS_NOT_OURS, RLK_NOT_OWNER, 0, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++)
        expect_answered(&rows[i]);
}

/* On the same stream a check confirms what is known, or shortens it. Rule 2: "each counts less
 * drift over its own horizon". A slow check allows what is known, but the clocks have drifted since
 * it was asked for: the deadline does not move. */
static void test_extend_check_on_the_same_stream(void **state)
{
    static const check_row rows[] = {
        {"a little less", false, 1000, 5, ":28999\r\n", RLK_OK, LEFT_AFTER(1005)},
        {"as known", false, 1000, 5, ":29000\r\n", RLK_OK, LEFT_AFTER(1005)},
        {"without expiry", false, 1000, 5, ":-1\r\n", RLK_OK, LEFT_AFTER(1005)},
        {"slow: the known 10000 lies between 9700 and 10100", false, 20000, 400, ":9700\r\n",
         RLK_OK, 30000 - DRIFT(30000) - 20400, 30000 - DRIFT(30000) - 20400},
        {"less", false, 0, 0, ":5000\r\n", RLK_OK, LEFT(5000)},
        {"so little that it is over by now", false, 0, 5, ":1\r\n", RLK_LOST, 0, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++)
        expect_answered(&rows[i]);
}

/* Fault 26: the server's clock goes back an hour: the client's deadline stands. */
static void test_fault_26_server_clock_back(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    harness_advance(&h, 1000);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_reply(&h, 0, ":3629000\r\n");
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_true(deadline_of(&lock) <= deadline_ms);
    /* nor does a renewal bring more than it asks for */
    assert_result(rlk_renew_start(&lock, 40000), RLK_PENDING);
    harness_reply(&h, 0, ":3640000\r\n");
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    assert_between(rlk_remaining_ms(&lock), 40000 - 403, 40000);
}

/* An extend that ended as UNKNOWN: "held until the old deadline", whatever a check sees later. */
static void test_extend_unknown_is_not_claimed_by_a_check(void **state)
{
    rlk_lock lock;
    int64_t deadline_ms;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    deadline_ms = deadline_of(&lock);
    assert_result(rlk_extend_start(&lock, 60000), RLK_PENDING);
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_result(rlk_cancel(&lock), RLK_OK);
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_UNKNOWN);
    harness_serve(&h, 0);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    assert_int_equal(deadline_of(&lock), deadline_ms);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_74_restored_snapshot),
        cmocka_unit_test(test_extend_check_on_the_same_stream),
        cmocka_unit_test(test_fault_26_server_clock_back),
        cmocka_unit_test(test_extend_unknown_is_not_claimed_by_a_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
