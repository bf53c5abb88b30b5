/* SPDX-License-Identifier: MIT
 *
 * The rounds of an acquire: what a server may answer, when the next one begins, how many commands
 * that is, and what the arguments of a wait mean.
 */
#include "bench.h"

#include <string.h>

static bench b;

/* ---- Replies to a SET ---- */

static void test_lock_rounds_reply_to_set(void **state)
{
    static const struct {
        const char *reply;
        rlk_result expected; /* of one attempt */
        bool undone;         /* it can't be known that it was not executed */
        bool final;          /* ends a longer wait too */
    } cases[] = {
        {BENCH_OK, RLK_OK, false, true},
        {BENCH_NIL, RLK_BUSY, false, false},
        {"$-1\r\n", RLK_BUSY, false, false},
        {"*-1\r\n", RLK_BUSY, false, false},
        {BENCH_READONLY, RLK_E_READONLY, false, false},
        {"-LOADING Redis is loading the dataset in memory\r\n", RLK_E_LOADING, false, false},
        {"-MASTERDOWN Link with MASTER is down\r\n", RLK_E_MASTERDOWN, false, false},
        {"-MISCONF Redis is configured to save RDB snapshots\r\n", RLK_E_MISCONF, false, false},
        {"-OOM command not allowed\r\n", RLK_E_OOM, false, false},
        {"-BUSY Redis is busy running a script\r\n", RLK_E_SCRIPT_BUSY, false, false},
        {"-MOVED 1 127.0.0.1:1\r\n", RLK_E_MOVED, false, false},
        {"-CLUSTERDOWN Hash slot not served\r\n", RLK_E_CLUSTERDOWN, false, false},
        {"-NOREPLICAS Not enough good replicas\r\n", RLK_E_NOREPLICAS, false, false},
        {"!14\r\n-READONLY You.\r\n", RLK_E_SERVER, true, false},
        {"!13\r\nREADONLY You.\r\n", RLK_E_READONLY, false, false},
        {"-SURPRISE of a proxy\r\n", RLK_E_SERVER, true, false},
        {":1\r\n", RLK_E_UNEXPECTED, true, false},
        {"+QUEUED\r\n", RLK_E_UNEXPECTED, true, false},
        {"+NO\r\n", RLK_E_UNEXPECTED, true, false},
        {"+OX\r\n", RLK_E_UNEXPECTED, true, false},
        {"$2\r\nOK\r\n", RLK_E_UNEXPECTED, true, false},
        {"*1\r\n+OK\r\n", RLK_E_UNEXPECTED, true, false},
        {BENCH_NOPERM, RLK_E_NOPERM, false, true},
        {"-NOAUTH Authentication required.\r\n", RLK_E_AUTH, false, true},
    };
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock lock;
        rlk_event event;
        bench_start(&b, 1);
        bench_lock(&b, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        bench_reply(&b, 0, cases[i].reply);
        if (cases[i].expected == RLK_E_UNEXPECTED) { /* ends the stream: undone on the next */
            assert_int_equal(b.servers[0].count[BENCH_RELEASE], 0);
            bench_advance(&b, RLK_BACKOFF_MIN_MS);
            assert_int_equal(b.servers[0].kills, 1);
        }
        assert_int_equal(b.servers[0].count[BENCH_RELEASE], cases[i].undone);
        assert_int_equal(bench_next_event(&b, &event, 0), !cases[i].undone);
        if (cases[i].undone) {
            bench_reply(&b, 0, ":0\r\n");
            assert_true(bench_next_event(&b, &event, 0));
        }
        assert_result(event.result, cases[i].expected);
        assert_result(rlk_lock_close(&lock), cases[i].expected == RLK_OK ? RLK_UNKNOWN : RLK_OK);

        bench_start(&b, 1);
        bench_lock(&b, &lock, 3000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        bench_reply(&b, 0, cases[i].reply);
        assert_int_equal(bench_next_event(&b, &event, 0), cases[i].final);
    }
}

/* A final error ends the acquire when it takes the quorum away, not before. */
static void test_lock_rounds_final_errors_of_a_minority(void **state)
{
    rlk_lock lock;
    (void)state;
    bench_start(&b, 3);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_reply(&b, 0, BENCH_NOPERM);
    bench_expect_no_event(&b);
    bench_reply(&b, 1, BENCH_OK);
    bench_reply(&b, 2, BENCH_OK);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);

    bench_start(&b, 3);
    bench_lock(&b, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_reply(&b, 0, BENCH_OK);
    bench_reply(&b, 1, BENCH_NOPERM);
    bench_reply(&b, 2, BENCH_NOPERM);
    bench_expect_event(&b, RLK_EV_FAILED, RLK_E_NOPERM); /* one of three is no quorum, */
    (void)bench_expect(&b, 0, BENCH_RELEASE);            /* and is being undone */
}

/* What a raise may answer to an acquire that lost its SET. */
static void test_lock_rounds_reply_to_the_compare(void **state)
{
    static const struct {
        const char *reply;
        bench_kind next;
        bool ends_stream;
    } cases[] = {
        {BENCH_NOT_OURS, BENCH_SET, false},     /* again */
        {BENCH_WRONGTYPE, BENCH_OTHER, false},  /* no use: nothing of ours is there */
        {BENCH_READONLY, BENCH_RELEASE, false}, /* ends the round */
        {":-7\r\n", BENCH_RELEASE, true},       /* not what the script says */
        {"+OK\r\n", BENCH_RELEASE, true},       {":29000\r\n", BENCH_OTHER, false}, /* ours */
        {":0\r\n", BENCH_RELEASE, false}, /* ours, but with no time left of it */
    };
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock lock;
        bench_start(&b, 1);
        bench_lock(&b, &lock, 30000);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        (void)bench_expect(&b, 0, BENCH_SET);
        bench_cut(&b, 0);
        bench_advance(&b, RLK_BACKOFF_MIN_MS);
        (void)bench_expect(&b, 0, BENCH_RAISE);
        bench_reply(&b, 0, cases[i].reply);
        if (cases[i].ends_stream)
            bench_advance(&b, RLK_BACKOFF_MIN_MS);
        if (cases[i].next == BENCH_OTHER)
            bench_expect_quiet(&b, 0);
        else
            (void)bench_expect(&b, 0, cases[i].next);
    }
}

/* ---- The scripts are gone (faults 7, 8, 73) ---- */

static void test_lock_rounds_undo_meets_noscript(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned loads;
    (void)state;
    bench_start(&b, 1);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_reply(&b, 0, "-SURPRISE\r\n");
    loads = b.servers[0].loads;
    bench_reply(&b, 0, BENCH_NOSCRIPT);
    assert_int_equal(b.servers[0].loads, loads + 1);
    (void)bench_expect(&b, 0, BENCH_RELEASE); /* once more, at once */
    bench_reply(&b, 0, BENCH_NOSCRIPT);
    assert_int_equal(b.servers[0].loads, loads + 1);
    bench_expect_quiet(&b, 0); /* not in a storm */
    bench_advance(&b, RLK_RETRY_MAX_MS);
    bench_reply(&b, 0, BENCH_NOSCRIPT);
    bench_reply(&b, 0, ":0\r\n");
    b.servers[0].automatic = true;
    assert_true(bench_next_event(&b, &event, 1000));
    assert_result(event.result, RLK_OK);
}

/* ---- Retries ---- */

/* Times of the first rounds: a SET per round; answers as given. */
static unsigned round_times(int64_t *times, unsigned cap, const char *reply, int64_t limit_ms)
{
    unsigned rounds = 0;
    int64_t end_ms = b.now_ms + limit_ms;
    while (b.now_ms < end_ms && rounds < cap) {
        bench_command *head;
        bench_run(&b);
        head = bench_head(bench_link_of(&b, 0));
        if (head) {
            assert_int_equal(head->kind, BENCH_SET);
            times[rounds++] = b.now_ms;
            bench_reply(&b, 0, reply);
        } else {
            bench_advance(&b, 1);
        }
    }
    return rounds;
}

static void test_lock_rounds_retry_with_jitter_while_somebody_has_it(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();
    int64_t times[400];
    unsigned rounds;
    int64_t least = INT64_MAX;
    int64_t most = 0;
    unsigned i;
    (void)state;
    bench_start(&b, 1);
    config.retry_min_ms = 20;
    config.retry_max_ms = 60;
    assert_result(rlk_lock_init(&lock, b.client, BENCH_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    rounds = round_times(times, COUNT_OF(times), BENCH_NIL, 20000);
    assert_int_equal(rounds, COUNT_OF(times));
    for (i = 1; i < rounds; i++) {
        int64_t pause = times[i] - times[i - 1];
        assert_between(pause, 20, 60);
        least = pause < least ? pause : least;
        most = pause > most ? pause : most;
    }
    assert_true(least < 24 && most > 56); /* all of the range, in 400 draws */
}

/* rule 10: back off after every failed round; a holder explains it, and is polled evenly */
static void test_lock_rounds_back_off_after_failed_ones(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();
    int64_t times[8];
    int64_t expected = 100;
    unsigned i;
    (void)state;
    bench_start(&b, 1);
    config.retry_min_ms = 100;
    config.retry_max_ms = 100;
    assert_result(rlk_lock_init(&lock, b.client, BENCH_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_int_equal(round_times(times, 8, BENCH_READONLY, 20000), 8);
    for (i = 1; i < 8; i++) {
        assert_int_equal(times[i] - times[i - 1], expected);
        expected = expected < 800 ? 2 * expected : 800;
    }
    assert_int_equal(round_times(times, 1, BENCH_NIL, 20000), 1);
    assert_int_equal(round_times(times, 3, BENCH_NIL, 20000), 3);
    assert_int_equal(times[1] - times[0], 100);
    assert_int_equal(times[2] - times[1], 100);
}

/* fault 82, one waiter's part: one round, then each of the nodes that are known to be held is asked
 * by one command for its TTL, and the third is left alone */
static void test_lock_rounds_bounded_commands_of_a_waiter(void **state)
{
    rlk_lock lock;
    unsigned node;
    (void)state;
    bench_start_automatic(&b, 3);
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    bench_put(&b, 1, BENCH_KEY, "foreign", -1);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_advance(&b, 30000);
    for (node = 0; node < 3; node++)
        assert_int_equal(b.servers[node].count[BENCH_SET], 1);
    for (node = 0; node < 2; node++)
        assert_between(b.servers[node].count[BENCH_PTTL], 30000 / RLK_RETRY_MAX_MS - 1,
                       30000 / RLK_RETRY_MIN_MS + 1);
    assert_int_equal(b.servers[2].count[BENCH_PTTL], 0);
    assert_int_equal(b.servers[0].count[BENCH_RELEASE], 0); /* nothing of ours was there */
    assert_int_equal(b.servers[2].count[BENCH_RELEASE], 1);
}

/* An uncontended cycle is one command each, on each node. */
static void test_lock_rounds_bounded_commands_of_a_cycle(void **state)
{
    unsigned n;
    (void)state;
    for (n = 1; n <= 5; n++) {
        rlk_lock lock;
        unsigned node;
        bench_start_automatic(&b, n);
        bench_lock(&b, &lock, 30000);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        assert_result(rlk_renew(&lock, 60000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        bench_advance(&b, 100000);
        for (node = 0; node < n; node++) {
            assert_int_equal(b.servers[node].count[BENCH_SET], 1);
            assert_int_equal(b.servers[node].count[BENCH_RAISE], 1);
            assert_int_equal(b.servers[node].count[BENCH_RELEASE], 1);
            assert_int_equal(b.servers[node].count[BENCH_CHECK], 0);
            assert_int_equal(b.servers[node].streams, 1);
        }
        assert_true(rlk_client_deadline(b.client) == RLK_NEVER); /* nothing to wake for */
    }
}

/* A try ends after node_ms, and its SETs are undone. */
static void test_lock_rounds_one_try_takes_node_ms(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();
    (void)state;
    bench_start(&b, 1);
    config.node_ms = 123;
    assert_result(rlk_lock_init(&lock, b.client, BENCH_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    bench_advance(&b, 122);
    bench_serve(&b, 0); /* in time */
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_RELEASED, RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    bench_advance(&b, 123);
    bench_reply(&b, 0, BENCH_OK); /* late */
    bench_expect_no_event(&b);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_TIMED_OUT, RLK_TIMED_OUT);
}

/* ---- Waiting for nodes ---- */

/* Nothing is connected yet: the acquire waits for it, and does not wait out a backoff. */
static void test_lock_rounds_wait_for_a_quorum_of_nodes(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    memset(&b.config, 0, sizeof b.config);
    bench_open(&b, 3, 1);
    b.servers[0].automatic = b.servers[1].automatic = b.servers[2].automatic = true;
    b.servers[0].mute = b.servers[1].mute = true;
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_false(bench_next_event(&b, &event, 500));
    assert_int_equal(b.servers[2].count[BENCH_SET], 0); /* one of three: no use */
    b.servers[1].mute = false;
    assert_true(bench_next_event(&b, &event, 0));
    assert_result(event.result, RLK_OK);
}

static void test_lock_rounds_do_not_wait_out_a_backoff(void **state)
{
    rlk_lock lock;
    rlk_event event;
    (void)state;
    bench_start_automatic(&b, 1);
    b.servers[0].refuses = true;
    bench_cut(&b, 0);
    bench_advance(&b, 10000); /* up to 2 s between attempts by now */
    b.servers[0].refuses = false;
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_true(bench_next_event(&b, &event, 0));
    assert_result(event.result, RLK_OK);
}

/* ---- Arguments ---- */

static void test_lock_rounds_wait_arguments(void **state)
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
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_lock_config config = rlk_lock_config_default();
        bench_start_automatic(&b, 1);
        bench_put(&b, 0, BENCH_KEY, "foreign", -1);
        config.wait_ms = cases[i].config_ms;
        assert_result(rlk_lock_init(&lock, b.client, BENCH_KEY, &config), RLK_OK);
        assert_result(rlk_acquire_start(&lock, cases[i].wait_ms), RLK_PENDING);
        assert_true(bench_next_event(&b, &event, 100000));
        assert_result(event.result, cases[i].result);
        assert_int_equal(b.now_ms, BENCH_START + cases[i].ends_ms);
    }
    bench_start_automatic(&b, 1);
    bench_put(&b, 0, BENCH_KEY, "foreign", -1);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, -2), RLK_E_TIMES);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_false(bench_next_event(&b, &event, 3600000));
    bench_find(&b, &b.servers[0], BENCH_KEY)->key[0] = '\0';
    assert_true(bench_next_event(&b, &event, RLK_RETRY_MAX_MS));
    assert_result(event.result, RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE); /* held already */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_rounds_reply_to_set),
        cmocka_unit_test(test_lock_rounds_final_errors_of_a_minority),
        cmocka_unit_test(test_lock_rounds_reply_to_the_compare),
        cmocka_unit_test(test_lock_rounds_undo_meets_noscript),
        cmocka_unit_test(test_lock_rounds_retry_with_jitter_while_somebody_has_it),
        cmocka_unit_test(test_lock_rounds_back_off_after_failed_ones),
        cmocka_unit_test(test_lock_rounds_bounded_commands_of_a_waiter),
        cmocka_unit_test(test_lock_rounds_bounded_commands_of_a_cycle),
        cmocka_unit_test(test_lock_rounds_one_try_takes_node_ms),
        cmocka_unit_test(test_lock_rounds_wait_for_a_quorum_of_nodes),
        cmocka_unit_test(test_lock_rounds_do_not_wait_out_a_backoff),
        cmocka_unit_test(test_lock_rounds_wait_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
