/* SPDX-License-Identifier: MIT
 *
 * A wait is never silent: it reports that it goes on, and why.
 */
#include "harness.h"

#include <string.h>

static harness h;
static rlk_lock subject;
static rlk_lock other;

static void lock_init(rlk_lock *lock, int64_t report_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.report_ms = report_ms;
    config.user = lock;
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
}

/* A lock that waits without end; nodes is that of servers, of which `held` have another's key. */
static void start(unsigned nodes, unsigned held, int64_t report_ms)
{
    unsigned i;

    memset(&h.config, 0, sizeof h.config);
    harness_start_automatic(&h, nodes);
    for (i = 0; i < held; i++)
        harness_put(&h, i, HARNESS_KEY, "foreign", -1);
    lock_init(&subject, report_ms);
    assert_result(rlk_acquire_start(&subject, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
}

/* The next event comes by then, and is a report of this. */
static void expect_report(rlk_result why, int64_t from_ms, int64_t to_ms)
{
    int64_t begin_ms = h.now_ms;
    rlk_event event;

    assert_true(harness_next_event(&h, &event, to_ms));
    assert_int_equal(event.type, RLK_EV_WAITING);
    assert_int_equal(event.operation, RLK_OP_NONE);
    assert_result(event.result, why);
    assert_ptr_equal(event.lock, &subject);
    assert_ptr_equal(event.user, &subject);
    assert_between(h.now_ms - begin_ms, from_ms, to_ms);
    assert_int_equal(rlk_lock_operation(&subject), RLK_OP_ACQUIRE);
    harness_expect_no_event(&h);
}

/* ---- When ---- */

static void test_waiting_reports_at_intervals(void **state)
{
    static const int64_t intervals_ms[] = {0, 10000, 1, 700, 60000};
    size_t i;
    unsigned k;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(intervals_ms)); i++) {
        int64_t ms = intervals_ms[i] > 0 ? intervals_ms[i] : RLK_REPORT_MS;

        start(1, 1, intervals_ms[i]);
        for (k = 0; k < 20; k++)
            expect_report(RLK_BUSY, ms, ms);
        harness_delete(&h, 0, HARNESS_KEY);
        harness_run(&h);
        harness_advance(&h, RLK_RETRY_MAX_MS);
        while (rlk_lock_operation(&subject) != RLK_OP_NONE)
            harness_advance(&h, 1);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK); /* a report that was due is over */
        harness_advance(&h, 10 * ms < 20000 ? 10 * ms : 20000);
        harness_expect_no_event(&h);
    }
}

/* Nobody pulls: one event is pending, not many. */
static void test_waiting_reports_once_pending(void **state)
{
    (void)state;
    start(1, 1, 0);
    harness_advance(&h, 10 * RLK_REPORT_MS + 1);
    harness_expect_event(&h, RLK_EV_WAITING, RLK_BUSY);
    harness_expect_no_event(&h);
    expect_report(RLK_BUSY, 1, RLK_REPORT_MS);
}

/* A report that was not pulled goes with the wait. */
static void test_waiting_reports_end_with_the_wait(void **state)
{
    (void)state;
    start(1, 1, 0);
    harness_advance(&h, RLK_REPORT_MS);
    assert_result(rlk_cancel(&subject), RLK_OK);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_CANCELLED);
    harness_expect_no_event(&h);
    harness_advance(&h, 3 * RLK_REPORT_MS);
    harness_expect_no_event(&h);

    start(1, 1, 0);
    harness_advance(&h, RLK_REPORT_MS);
    assert_result(rlk_lock_close(&subject), RLK_OK);
    harness_expect_no_event(&h);
}

/* A deadline says why when it has come. Reports on the way are for who asks. */
static void test_waiting_reports_of_a_wait_with_a_deadline(void **state)
{
    (void)state;
    start(1, 1, 0);
    assert_result(rlk_lock_close(&subject), RLK_OK);
    lock_init(&subject, 0);
    assert_result(rlk_acquire_start(&subject, 100000), RLK_PENDING);
    harness_advance(&h, 99999);
    harness_expect_no_event(&h);
    harness_advance(&h, 2000);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_TIMED_OUT);
    assert_result(rlk_lock_close(&subject), RLK_OK);
    lock_init(&subject, 30000);
    assert_result(rlk_acquire_start(&subject, 100000), RLK_PENDING);
    harness_run(&h);
    expect_report(RLK_BUSY, 30000, 30000);
    expect_report(RLK_BUSY, 30000, 30000);
}

static void test_waiting_reports_of_no_single_attempt(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.operation_timeout_ms = 60000;
    harness_start(&h, 1); /* answers nothing */
    lock_init(&subject, 0);
    assert_result(rlk_acquire_start(&subject, RLK_TRY), RLK_PENDING);
    harness_advance(&h, RLK_NODE_TIMEOUT_MAX_MS - 1);
    harness_expect_no_event(&h);
    memset(&h.config, 0, sizeof h.config);
}

/* ---- Why ---- */

/* The first error is reported after a tenth of the time, and so is its end. */
static void test_waiting_reports_a_new_reason_soon(void **state)
{
    (void)state;
    start(1, 1, 0);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    expect_report(RLK_E_CONNECT, 1, RLK_REPORT_MS / 10 + 100);
    expect_report(RLK_E_CONNECT, RLK_REPORT_MS, RLK_REPORT_MS);
    h.servers[0].refuses = false;
    expect_report(RLK_BUSY, RLK_REPORT_MS / 10, RLK_REPORT_MS / 10 + RLK_BACKOFF_MAX_MS + 1000);
    expect_report(RLK_BUSY, RLK_REPORT_MS, RLK_REPORT_MS);
}

/* What the server says to every command. */
static void test_waiting_reports_the_server_s_error(void **state)
{
    (void)state;
    start(1, 0, 100000);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&subject), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_string_equal(rlk_client_error(h.client), "");
    h.servers[0].fails = "-MISCONF Redis is configured to save RDB snapshots\r\n";
    assert_result(rlk_acquire_start(&subject, RLK_FOREVER), RLK_PENDING);
    expect_report(RLK_E_MISCONF, 10000, 10100);
    assert_text_contains(rlk_lock_error(&subject), "acquire \"k\": still waiting after 10 s: ");
    assert_text_contains(rlk_lock_error(&subject), "E_MISCONF");
    assert_text_contains(rlk_lock_error(&subject),
                         "node 0, n0:6379, SET; the server said: MISCONF");
    assert_text_contains(rlk_client_error(h.client), "E_MISCONF: ");
    assert_text_contains(rlk_client_error(h.client),
                         "node 0, n0:6379, SET; the server said: MISCONF");
    h.servers[0].fails = NULL;
    harness_advance(&h, 5000);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_string_equal(rlk_client_error(h.client), "");
}

static void test_waiting_reports_in_words(void **state)
{
    (void)state;
    start(1, 1, 0);
    assert_text_contains(rlk_lock_error(&subject),
                         "acquire \"k\": still waiting after 0 s: BUSY: ");
    harness_advance(&h, 61999);
    assert_text_contains(rlk_lock_error(&subject), "still waiting after 61 s: BUSY: ");
    assert_string_equal(rlk_client_error(h.client), ""); /* it is held: nothing is wrong */
    assert_result(rlk_cancel(&subject), RLK_OK);
    harness_run(&h);
    assert_text_contains(rlk_lock_error(&subject), "acquire \"k\": CANCELLED: ");
}

/* It was cancelled, and its undo is not answered: it waits for the lock no more, nor does what it
 * met keep the client's locks waiting. */
static void test_waiting_reports_nothing_of_an_undo(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_start_automatic(&h, 1);
    h.servers[0].fails = "-MISCONF no\r\n";
    lock_init(&subject, 1000);
    assert_result(rlk_acquire_start(&subject, RLK_FOREVER), RLK_PENDING);
    expect_report(RLK_E_MISCONF, 1, 1000);
    assert_text_contains(rlk_client_error(h.client), "E_MISCONF: ");
    h.servers[0].automatic = false;
    while (harness_head(harness_link_of(&h, 0)) == NULL)
        harness_advance(&h, 1);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_text_contains(rlk_lock_error(&subject), "still waiting");
    assert_result(rlk_cancel(&subject), RLK_OK);
    assert_int_equal(rlk_lock_operation(&subject), RLK_OP_ACQUIRE);
    assert_string_equal(rlk_client_error(h.client), "");
    assert_null(strstr(rlk_lock_error(&subject), "still waiting"));
}

/* A quorum that answers and is held is no error, whatever the others do; one that is out of reach
 * is. */
static void test_waiting_reports_of_a_quorum(void **state)
{
    (void)state;
    start(3, 3, 0);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    expect_report(RLK_BUSY, 1, RLK_REPORT_MS);
    h.servers[2].refuses = true;
    harness_cut(&h, 2);
    expect_report(RLK_E_CONNECT, 1, RLK_REPORT_MS / 10 + 100);
    assert_text_contains(rlk_lock_error(&subject), "E_CONNECT: ");
    h.servers[2].refuses = false;
    expect_report(RLK_BUSY, 1, RLK_REPORT_MS);
}

/* All can be asked, and none answers. */
static void test_waiting_reports_silence(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_start(&h, 1);
    lock_init(&subject, 1000);
    assert_result(rlk_acquire_start(&subject, RLK_FOREVER), RLK_PENDING);
    expect_report(RLK_PENDING, 1000, 1000);
    expect_report(RLK_E_RESPONSE_TIMEOUT, 1000, 1000);
    expect_report(RLK_E_RESPONSE_TIMEOUT, 1000, 1000);
}

/* Behind another lock of the client: what that one meets keeps both. */
static void test_waiting_reports_in_a_wait_queue(void **state)
{
    rlk_event event;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_start_automatic(&h, 1);
    h.servers[0].fails = "-MISCONF no\r\n";
    lock_init(&other, 1000);
    lock_init(&subject, 7000);
    assert_result(rlk_acquire_start(&other, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&subject, RLK_FOREVER), RLK_PENDING);
    do {
        assert_true(harness_next_event(&h, &event, 7000));
        assert_int_equal(event.type, RLK_EV_WAITING);
        assert_result(event.result, RLK_E_MISCONF);
    } while (event.lock != &subject);
    assert_int_equal(h.now_ms, HARNESS_START + 7000);
    assert_text_contains(rlk_lock_error(&subject), "still waiting after 7 s: E_MISCONF: ");
}

/* A follower of an election waits as well. */
static void test_waiting_reports_of_a_follower(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    lock_init(&subject, 0);
    assert_result(rlk_campaign_start(&subject), RLK_PENDING);
    expect_report(RLK_BUSY, RLK_REPORT_MS, RLK_REPORT_MS);
}

/* ---- Blocking ---- */

static unsigned hooks;
static unsigned act_at;
static rlk_result (*act)(rlk_lock *lock);

static void on_waiting(void *context, rlk_lock *lock, rlk_result why, int64_t waited_ms)
{
    assert_ptr_equal(context, &h.members[0]);
    assert_ptr_equal(lock, &subject);
    assert_result(why, RLK_BUSY);
    hooks++;
    assert_int_equal(waited_ms, (int64_t)hooks * RLK_REPORT_MS);
    assert_text_contains(rlk_lock_error(lock), "still waiting after ");
    if (hooks == act_at)
        (void)act(lock);
}

static void block(unsigned at, rlk_result (*what)(rlk_lock *lock), int64_t wait_ms,
                  rlk_result expected)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.env.waiting = on_waiting;
    harness_open(&h, 1, 1);
    memset(&h.config, 0, sizeof h.config);
    h.servers[0].automatic = true;
    harness_advance(&h, 0);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    lock_init(&subject, wait_ms == RLK_FOREVER ? 0 : RLK_REPORT_MS);
    hooks = 0;
    act_at = at;
    act = what;
    assert_result(rlk_acquire(&subject, wait_ms), expected);
    harness_expect_no_event(&h);
}

static void test_waiting_reports_to_the_hook(void **state)
{
    (void)state;
    block(0, NULL, 35000, RLK_TIMED_OUT);
    assert_int_equal(hooks, 3);
    block(5, rlk_cancel, RLK_FOREVER, RLK_CANCELLED);
    assert_int_equal(hooks, 5);
    block(2, rlk_lock_close, RLK_FOREVER, RLK_E_CLOSED);
    assert_int_equal(hooks, 2);
}

/* Without one the call is as before, and leaves no event behind. */
static void test_waiting_reports_without_a_hook(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    lock_init(&subject, RLK_REPORT_MS);
    assert_result(rlk_acquire(&subject, 35000), RLK_TIMED_OUT);
    harness_expect_no_event(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting_reports_at_intervals),
        cmocka_unit_test(test_waiting_reports_once_pending),
        cmocka_unit_test(test_waiting_reports_end_with_the_wait),
        cmocka_unit_test(test_waiting_reports_of_a_wait_with_a_deadline),
        cmocka_unit_test(test_waiting_reports_of_no_single_attempt),
        cmocka_unit_test(test_waiting_reports_a_new_reason_soon),
        cmocka_unit_test(test_waiting_reports_the_server_s_error),
        cmocka_unit_test(test_waiting_reports_in_words),
        cmocka_unit_test(test_waiting_reports_nothing_of_an_undo),
        cmocka_unit_test(test_waiting_reports_of_a_quorum),
        cmocka_unit_test(test_waiting_reports_silence),
        cmocka_unit_test(test_waiting_reports_in_a_wait_queue),
        cmocka_unit_test(test_waiting_reports_of_a_follower),
        cmocka_unit_test(test_waiting_reports_to_the_hook),
        cmocka_unit_test(test_waiting_reports_without_a_hook),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
