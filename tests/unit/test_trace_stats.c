/* SPDX-License-Identifier: MIT
 *
 * What is counted: rlk_client_stats (trace.c).
 */
#include "harness.h"

#include <string.h>

#define PASSWORD "hunter2"
#define USER     "arthur"
#define FOREIGN  "foreign-token"

static harness h;

static void test_trace_stats_of_attempts(void **state)
{
    rlk_lock lock;
    rlk_lock second;
    rlk_stats stats;
    unsigned sum = 0;
    unsigned i;

    (void)state;
    harness_start(&h, 1);
    h.servers[0].automatic = true;
    harness_put(&h, 0, HARNESS_KEY, FOREIGN, -1);
    harness_lock(&h, &lock, 3000);
    harness_lock(&h, &second, 3000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&lock, 1000), RLK_TIMED_OUT);
    harness_delete(&h, 0, HARNESS_KEY);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_acquire_start(&second, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    assert_result(rlk_release(&lock), RLK_OK); /* hands over */
    assert_true(rlk_is_held(&second));
    rlk_client_stats(h.client, &stats);
    assert_int_equal(stats.attempts, h.servers[0].count[HARNESS_SET]);
    assert_int_equal(stats.acquired, 2);
    assert_int_equal(stats.causes[RLK_CAUSE_START], 4);
    assert_int_equal(stats.causes[RLK_CAUSE_LOCAL], 1);
    for (i = 0; i < RLK_CAUSES; i++)
        sum += stats.causes[i];
    assert_int_equal(sum, stats.attempts);
    assert_int_equal(stats.causes[RLK_CAUSE_RETRY], sum - 5);
    assert_int_equal(stats.probes, 0);
    assert_int_equal(stats.lost, 0);
    harness_advance(&h, 3000);
    rlk_client_stats(h.client, &stats);
    assert_int_equal(stats.lost, 1);
    assert_int_equal(stats.renewed + stats.renew_unknown + stats.renew_refused, 0);
}

static void test_trace_stats_of_renewals(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    rlk_stats stats;
    rlk_event event;
    unsigned reported[3] = {0, 0, 0};

    (void)state;
    config.auto_renew = true;
    harness_start(&h, 1);
    h.servers[0].automatic = true;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    harness_advance(&h, 35000);
    h.servers[0].fails = HARNESS_NOPERM;
    harness_advance(&h, 8000);
    h.servers[0].fails = NULL;
    harness_advance(&h, RLK_RETRY_MAX_MS);
    harness_delete(&h, 0, HARNESS_KEY);
    while (harness_next_event(&h, &event, 30000) && event.type != RLK_EV_LOST) {
        reported[0] += event.type == RLK_EV_RENEWED;
        reported[1] += support_renewal_unknown(&event);
        reported[2] += support_renewal_refused(&event);
    }
    rlk_client_stats(h.client, &stats);
    assert_int_equal(stats.renewed, 4); /* at each third, and when it was mended */
    assert_between(stats.renew_unknown, 1, 8000 / RLK_RETRY_MIN_MS);
    assert_int_equal(stats.renew_refused, 1);
    assert_int_equal(stats.lost, 1);
    assert_int_equal(reported[2], 1);
    assert_int_equal(stats.renewed + stats.renew_unknown + stats.renew_refused,
                     h.servers[0].count[HARNESS_RAISE]);
}

/* Connections: those that became ready, fences, bytes. */
static void test_trace_stats_of_connections(void **state)
{
    rlk_lock lock;
    rlk_stats stats;
    uint32_t sent;
    uint32_t received;
    uint32_t total = 0;
    unsigned i;

    (void)state;
    harness_start(&h, 3);
    rlk_client_stats(h.client, &stats);
    assert_int_equal(stats.connects, 3);
    assert_int_equal(stats.fences, 0);
    assert_true(stats.bytes_sent > 3 * 100 && stats.bytes_received > 3 * 100);
    sent = stats.bytes_sent;
    received = stats.bytes_received;
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_reply(&h, 0, HARNESS_OK);
    rlk_client_stats(h.client, &stats);
    assert_int_equal(stats.bytes_received, received + strlen(HARNESS_OK));
    assert_true(stats.bytes_sent > sent && (stats.bytes_sent - sent) % 3 == 0);
    harness_cut(&h, 0); /* nothing was under way here */
    harness_cut(&h, 1);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    rlk_client_stats(h.client, &stats);
    assert_int_equal(stats.connects, 5);
    assert_int_equal(stats.fences, 1);
    for (i = 0; i < 3; i++) {
        rlk_traffic traffic = rlk_conn_traffic(rlk_client_conn(h.client, i));

        assert_int_equal(traffic.fences, i == 1);
        assert_int_equal(traffic.bytes_sent > stats.bytes_sent / 3, i != 2); /* once more, HELLO */
        stats.bytes_received -= traffic.bytes_received;
        total += traffic.bytes_sent;
    }
    assert_int_equal(total, stats.bytes_sent);
    assert_int_equal(stats.bytes_received, 0);
}

static void test_trace_stats_without_a_client(void **state)
{
    rlk_stats stats;
    rlk_stats none;

    (void)state;
    memset(&stats, 0x5a, sizeof stats);
    memset(&none, 0, sizeof none);
    rlk_client_stats(NULL, &stats);
    assert_memory_equal(&stats, &none, sizeof none);
    harness_start(&h, 1);
    rlk_client_close(h.client);
    memset(&stats, 0x5a, sizeof stats);
    rlk_client_stats(h.client, &stats);
    assert_memory_equal(&stats, &none, sizeof none);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_stats_of_attempts),
        cmocka_unit_test(test_trace_stats_of_renewals),
        cmocka_unit_test(test_trace_stats_of_connections),
        cmocka_unit_test(test_trace_stats_without_a_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
