/* SPDX-License-Identifier: MIT
 *
 * Attempts of an acquire: when the next one begins, how long one takes, how many commands it sends,
 * which errors end it, and what the argument of a wait means.
 */
#include "harness.h"

#include <string.h>

static harness h;

/* A final error ends the acquire when it takes the quorum away, not before. */
static void test_acquire_final_errors_of_a_minority(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NOPERM);
    harness_expect_no_event(&h);
    harness_reply(&h, 1, HARNESS_OK);
    harness_reply(&h, 2, HARNESS_OK);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);

    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_OK);
    harness_reply(&h, 1, HARNESS_NOPERM);
    harness_reply(&h, 2, HARNESS_NOPERM);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_NOPERM); /* one of three is no quorum, */
    (void)harness_expect(&h, 0, HARNESS_RELEASE);            /* and is being undone */
}

/* The times of the first attempts, a SET each, which get this reply. Returns how many there were.
 */
static unsigned attempt_times(int64_t *times, unsigned cap, const char *reply, int64_t limit_ms)
{
    unsigned count = 0;
    int64_t end_ms = h.now_ms + limit_ms;

    while (h.now_ms < end_ms && count < cap) {
        harness_command *head;

        harness_run(&h);
        head = harness_head(harness_link_of(&h, 0));
        if (head != NULL) {
            assert_int_equal(head->kind, HARNESS_SET);
            times[count++] = h.now_ms;
            harness_reply(&h, 0, reply);
        } else {
            harness_advance(&h, 1);
        }
    }
    return count;
}

static void test_acquire_retries_with_jitter_behind_a_holder(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();
    int64_t times[400];
    unsigned count;
    int64_t least = INT64_MAX;
    int64_t most = 0;
    unsigned i;

    (void)state;
    harness_start(&h, 1);
    config.retry_min_ms = 20;
    config.retry_max_ms = 60;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    count = attempt_times(times, COUNT_OF(times), HARNESS_NIL, 20000);
    assert_int_equal(count, COUNT_OF(times));
    for (i = 1; i < count; i++) {
        int64_t pause = times[i] - times[i - 1];

        assert_between(pause, 20, 60);
        least = pause < least ? pause : least;
        most = pause > most ? pause : most;
    }
    assert_true(least < 24 && most > 56); /* all of the range, in 400 draws */
}

/* rule 10: back off after each failed attempt; behind a holder the pauses are even */
static void test_acquire_backs_off_after_failed_attempts(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();
    int64_t times[8];
    int64_t expected = 100;
    unsigned i;

    (void)state;
    harness_start(&h, 1);
    config.retry_min_ms = 100;
    config.retry_max_ms = 100;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_int_equal(attempt_times(times, 8, HARNESS_MISCONF, 20000), 8);
    for (i = 1; i < 8; i++) {
        assert_int_equal(times[i] - times[i - 1], expected);
        expected = expected < 800 ? 2 * expected : 800;
    }
    assert_int_equal(attempt_times(times, 1, HARNESS_NIL, 20000), 1);
    assert_int_equal(attempt_times(times, 3, HARNESS_NIL, 20000), 3);
    assert_int_equal(times[1] - times[0], 100);
    assert_int_equal(times[2] - times[1], 100);
}

/* fault 82, one waiter's part: one attempt, then a probe at a time of each busy node; the third
 * node receives none */
static void test_acquire_commands_of_a_waiter_are_bounded(void **state)
{
    rlk_lock lock;
    unsigned node;

    (void)state;
    harness_start_automatic(&h, 3);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_put(&h, 1, HARNESS_KEY, "foreign", -1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, 30000);
    for (node = 0; node < 3; node++)
        assert_int_equal(h.servers[node].count[HARNESS_SET], 1);
    for (node = 0; node < 2; node++)
        assert_between(h.servers[node].count[HARNESS_PTTL], 30000 / RLK_RETRY_MAX_MS - 1,
                       30000 / RLK_RETRY_MIN_MS + 1);
    assert_int_equal(h.servers[2].count[HARNESS_PTTL], 0);
    assert_int_equal(h.servers[0].count[HARNESS_RELEASE], 0); /* nothing of ours was there */
    assert_int_equal(h.servers[2].count[HARNESS_RELEASE], 1);
}

/* An uncontended cycle is one command each, on each node. */
static void test_acquire_cycle_is_one_command_each(void **state)
{
    unsigned n;

    (void)state;
    for (n = 1; n <= 5; n++) {
        rlk_lock lock;
        unsigned node;

        harness_start_automatic(&h, n);
        harness_lock(&h, &lock, 30000);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_result(rlk_renew(&lock, 60000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        harness_advance(&h, 100000);
        for (node = 0; node < n; node++) {
            assert_int_equal(h.servers[node].count[HARNESS_SET], 1);
            assert_int_equal(h.servers[node].count[HARNESS_RAISE], 1);
            assert_int_equal(h.servers[node].count[HARNESS_RELEASE], 1);
            assert_int_equal(h.servers[node].count[HARNESS_CHECK], 0);
            assert_int_equal(h.servers[node].streams, 1);
        }
        assert_true(rlk_client_deadline(h.client) == RLK_NEVER); /* nothing is due */
    }
}

/* An attempt ends after node_timeout_ms, and its SETs are undone. */
static void test_acquire_attempt_takes_node_timeout_ms(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();

    (void)state;
    harness_start(&h, 1);
    config.node_timeout_ms = 123;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 122);
    harness_serve(&h, 0); /* in time */
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 123);
    harness_reply(&h, 0, HARNESS_OK); /* late */
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESPONSE_TIMEOUT);
}

/* No connection is ready yet: the acquire waits for a quorum of them. */
static void test_acquire_waits_for_a_quorum_of_connections(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 3, 1);
    h.servers[0].automatic = h.servers[1].automatic = h.servers[2].automatic = true;
    h.servers[0].mute = h.servers[1].mute = true;
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_false(harness_next_event(&h, &event, 500));
    assert_int_equal(h.servers[2].count[HARNESS_SET], 0); /* one of three is no quorum */
    h.servers[1].mute = false;
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_OK);
}

static void test_acquire_does_not_wait_out_a_backoff(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start_automatic(&h, 1);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, 10000); /* up to 2 s between attempts by now */
    h.servers[0].refuses = false;
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 0));
    assert_result(event.result, RLK_OK);
}

static void test_acquire_wait_argument(void **state)
{
    static const struct {
        int64_t wait_ms;
        int64_t config_ms;
        int64_t ends_ms;
        rlk_result result;
    } cases[] = {
        {RLK_TRY, 0, 0, RLK_BUSY},
        {1, 0, 1, RLK_TIMED_OUT},
        {7777, 0, 7777, RLK_TIMED_OUT},
        {RLK_DEFAULT, 0, RLK_WAIT_MS, RLK_TIMED_OUT},
        {RLK_DEFAULT, 55, 55, RLK_TIMED_OUT},
    };
    size_t i;
    rlk_lock lock;
    rlk_event event;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        rlk_lock_config config = rlk_lock_config_default();

        harness_start_automatic(&h, 1);
        harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
        config.wait_ms = cases[i].config_ms;
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
        assert_result(rlk_acquire_start(&lock, cases[i].wait_ms), RLK_PENDING);
        assert_true(harness_next_event(&h, &event, 100000));
        assert_result(event.result, cases[i].result);
        assert_int_equal(h.now_ms, HARNESS_START + cases[i].ends_ms);
    }
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, "foreign", -1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, -2), RLK_E_TIMES);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_false(harness_next_event(&h, &event, 3600000));
    harness_remove(&h, 0, HARNESS_KEY);
    assert_true(harness_next_event(&h, &event, RLK_RETRY_MAX_MS));
    assert_result(event.result, RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE); /* held already */
}

/* A final error of one node of three is none of the acquire's. */
static void test_acquire_final_error_of_one_node(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply(&h, 1, HARNESS_NIL);
    harness_reply(&h, 0, HARNESS_NOPERM);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_BUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acquire_final_errors_of_a_minority),
        cmocka_unit_test(test_acquire_retries_with_jitter_behind_a_holder),
        cmocka_unit_test(test_acquire_backs_off_after_failed_attempts),
        cmocka_unit_test(test_acquire_commands_of_a_waiter_are_bounded),
        cmocka_unit_test(test_acquire_cycle_is_one_command_each),
        cmocka_unit_test(test_acquire_attempt_takes_node_timeout_ms),
        cmocka_unit_test(test_acquire_waits_for_a_quorum_of_connections),
        cmocka_unit_test(test_acquire_does_not_wait_out_a_backoff),
        cmocka_unit_test(test_acquire_wait_argument),
        cmocka_unit_test(test_acquire_final_error_of_one_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
