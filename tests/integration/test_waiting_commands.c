/* SPDX-License-Identifier: MIT
 *
 * A hundred waiters for one key, and what they cost the server: no command without a cause, two for
 * each waiter and change of the key, and nobody forgotten (rules 9 and 10). Counted by the server
 * itself (INFO commandstats).
 */
#include "crowd.h"

#include <string.h>

#define WAITERS    100
#define RECHECK_MS 60000
/* Spurious wake-ups: eight attempts at once, then a pause from 1 to 64 ms before each. */
#define RESTRAINT_FREE 8
#define RESTRAINT_MS   16

static const server_config one_key = {.lines = SERVER_LINES("tracking-table-max-keys 1")};

static server *redis;
static crowd many;
static rlk_posix_client posix; /* of a holder who is not in the crowd */
static rlk_lock held;

static rlk_lock_config patient(int64_t recheck_max_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.recheck_max_ms = recheck_max_ms;
    return config;
}

static void begin(size_t count, const server_config *server_options, int64_t recheck_max_ms)
{
    rlk_lock_config config = patient(recheck_max_ms);

    redis = server_start(server_options);
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&held, &posix.client, "foobar", &config_unwatched), RLK_OK);
    crowd_open(&many, count, &redis, 1, NULL, "foobar", &config);
}

static void end(void)
{
    crowd_close(&many);
    rlk_posix_close(&posix);
}

/* Nobody else gets it while one has it, and everybody asked once because of what changed. */
static void assert_one_got_it(crowd_count before, size_t waiters, size_t had)
{
    crowd_count after;
    crowd_until(&many, many.holding == 1);

    crowd_calm(&many);
    assert_int_equal(many.holding, 1);
    after = crowd_calls(&many);
    assert_int_equal(after.sets - before.sets, waiters);
    assert_int_equal(crowd_stats(&many).acquired, had);
}

/* Each that has it releases it, until all had it once; `left` of them did not yet. Attempts: one of
 * each waiter for each release, at most. */
static void all_have_it_in_turn(size_t left)
{
    crowd_count before = crowd_calls(&many);
    int64_t most = 0;
    size_t i;

    for (i = left; i > 0; i--) {
        most += (int64_t)i;
        assert_int_equal(many.holding, 1);
        assert_result(rlk_release_start(&many.last->lock), RLK_PENDING);
        crowd_until(&many, crowd_stats(&many).acquired == many.count - i + 1 && many.holding == 1);
    }
    assert_between(crowd_calls(&many).sets - before.sets, left, most);
    for (i = 0; i < many.count; i++)
        assert_int_equal(many.members[i].acquired, 1);
    assert_result(rlk_release_start(&many.last->lock), RLK_PENDING);
    crowd_until(&many, many.holding == 0);

    crowd_calm(&many);
    assert_null(server_text(redis, "GET foobar"));
}

/* ---- Nothing happens ---- */

static void test_tracking_100_waiters_ask_nothing_without_a_cause(void **state)
{
    crowd_count before;
    crowd_count after;
    rlk_stats stats;

    (void)state;
    begin(WAITERS, NULL, RECHECK_MS);
    server_do(redis, "SET foobar somebody PX 600000");
    crowd_wait(&many);
    before = crowd_calls(&many);
    assert_int_equal(before.sets, WAITERS + 1);
    assert_int_equal(before.pttls, WAITERS);
    crowd_serve(&many, 1000);
    after = crowd_calls(&many);
    assert_memory_equal(&before, &after, sizeof before);
    stats = crowd_stats(&many);
    assert_int_equal(stats.attempts, WAITERS);
    assert_int_equal(stats.causes[RLK_CAUSE_START], WAITERS);
    assert_int_equal(crowd_commands(&many), 2 * WAITERS); /* SET, and PTTL behind the nil */
    end();
}

/* Behind a key without a TTL: each rechecks within a recheck interval, which is a random time from
 * a fifth of recheck_max_ms to all of it. */
static void test_tracking_100_waiters_one_probe_in_a_recheck_interval(void **state)
{
    const int64_t recheck_max_ms = INT64_C(1000) * support_time_factor();
    rlk_stats stats;
    crowd_count calls;
    int64_t start;
    int64_t time_ms;
    size_t i;

    (void)state;
    begin(WAITERS, NULL, recheck_max_ms);
    server_do(redis, "SET foobar somebody");
    for (i = 0; i < WAITERS; i++)
        assert_result(rlk_acquire_start(&many.members[i].lock, RLK_FOREVER), RLK_PENDING);
    start = support_now_ms();
    crowd_serve(&many, 3 * recheck_max_ms);
    stats = crowd_stats(&many);
    time_ms = support_now_ms() - start;
    calls = crowd_calls(&many);
    assert_int_equal(stats.attempts, WAITERS + stats.causes[RLK_CAUSE_RECHECK]);
    /* a mean interval is 0.6 of recheck_max_ms */
    assert_between(stats.causes[RLK_CAUSE_RECHECK], 2 * WAITERS,
                   WAITERS * time_ms * 5 / recheck_max_ms / 3);
    assert_between(calls.sets, stats.attempts, stats.attempts + 1);
    assert_between(calls.pttls, stats.attempts - WAITERS, stats.attempts);
    for (i = 0; i < WAITERS; i++)
        assert_between(cause_count(&many.members[i].posix, RLK_CAUSE_RECHECK), 2,
                       time_ms * 5 / recheck_max_ms);
    end();
}

/* ---- Renewals ---- */

static void test_tracking_100_waiters_two_commands_for_a_renewal(void **state)
{
    const int64_t renewals = 5;
    crowd_count before;
    crowd_count after;
    rlk_stats stats;
    int64_t i;

    (void)state;
    begin(WAITERS, NULL, RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    crowd_wait(&many);
    for (i = 1; i <= renewals; i++) {
        before = crowd_calls(&many);
        assert_result(rlk_renew(&held, 30000 + 1000 * i), RLK_OK);
        crowd_until(&many, crowd_calls(&many).sets - before.sets >= WAITERS);

        crowd_calm(&many);
        after = crowd_calls(&many);
        assert_int_equal(after.sets - before.sets, WAITERS);
        assert_int_equal(after.pttls - before.pttls, WAITERS + 2); /* two are the script's */
        assert_int_equal(after.scripts - before.scripts, 1);
    }
    stats = crowd_stats(&many);
    assert_int_equal(stats.causes[RLK_CAUSE_PUSH], WAITERS * renewals);
    assert_int_equal(stats.attempts, WAITERS * (renewals + 1));
    assert_int_equal(many.holding, 0);
    before = after;
    assert_result(rlk_release(&held), RLK_OK);
    assert_one_got_it(before, WAITERS, 1);
    end();
}

/* One after the other, without a pause in between: a waiter that still asks is not notified again.
 */
static void test_tracking_100_waiters_quick_renewals(void **state)
{
    const int64_t renewals = 30;
    crowd_count before;
    crowd_count after;
    int64_t i;

    (void)state;
    begin(WAITERS, NULL, RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    crowd_wait(&many);
    before = crowd_calls(&many);
    for (i = 1; i <= renewals; i++) {
        assert_result(rlk_renew(&held, 30000 + 1000 * i), RLK_OK);
        crowd_serve(&many, i % 3);
    }
    crowd_calm(&many);
    after = crowd_calls(&many);
    assert_between(after.sets - before.sets, WAITERS, WAITERS * renewals);
    assert_between(after.sets - before.sets, 0, crowd_pushes(&many));
    /* one with each SET, two of each renewal, and those of who restrains itself */
    assert_int_equal(after.pttls - before.pttls,
                     after.sets - before.sets + 2 * renewals + crowd_stats(&many).probes);
    assert_int_equal(many.holding, 0);
    assert_result(rlk_release(&held), RLK_OK);
    crowd_until(&many, many.holding == 1);

    end();
}

/* ---- Released ---- */

static void test_tracking_100_waiters_have_it_in_turn(void **state)
{
    crowd_count before;

    (void)state;
    begin(WAITERS, NULL, RECHECK_MS);
    assert_result(rlk_acquire(&held, RLK_TRY), RLK_OK);
    crowd_wait(&many);
    before = crowd_calls(&many);
    assert_result(rlk_release(&held), RLK_OK);
    assert_one_got_it(before, WAITERS, 1);
    /* by the server's word alone: nobody's timer helped */
    all_have_it_in_turn(WAITERS - 1);
    assert_int_equal(crowd_stats(&many).attempts,
                     WAITERS + crowd_stats(&many).causes[RLK_CAUSE_PUSH]);
    end();
}

/* Who had it wants it again: the same, a few hundred times. */
static void test_tracking_hand_offs_go_on(void **state)
{
    const uint32_t rounds = 300;
    const size_t waiters = 10;
    rlk_stats stats;
    uint32_t i;

    (void)state;
    begin(waiters, NULL, RECHECK_MS);
    server_do(redis, "SET foobar somebody PX 600000");
    crowd_wait(&many);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    crowd_until(&many, many.holding == 1);

    for (i = 1; i < rounds; i++) {
        rlk_lock *lock = &many.last->lock;

        assert_result(rlk_release_start(lock), RLK_PENDING);
        crowd_until(&many, rlk_lock_operation(lock) == RLK_OP_NONE);

        assert_result(rlk_acquire_start(lock, RLK_FOREVER), RLK_PENDING);
        crowd_until(&many, crowd_stats(&many).acquired == i + 1);

        assert_int_equal(many.holding, 1);
    }
    stats = crowd_stats(&many);
    assert_int_equal(stats.attempts, stats.causes[RLK_CAUSE_START] + stats.causes[RLK_CAUSE_PUSH] +
                                         stats.causes[RLK_CAUSE_YIELD]);
    assert_between(stats.attempts, rounds, rounds * (waiters + 1));
    end();
}

/* Another key is nobody's concern. */
static void test_tracking_other_keys_wake_nobody(void **state)
{
    static const char *const keys[] = {"foobar", "foobaz"};
    rlk_lock_config config = patient(RECHECK_MS);
    size_t i;

    (void)state;
    redis = server_start(NULL);
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    crowd_open_keys(&many, 20, &redis, 1, NULL, keys, COUNT_OF(keys), &config);
    server_do(redis, "SET foobar somebody");
    server_do(redis, "SET foobaz somebody");
    crowd_wait(&many);
    for (i = 0; i < 5; i++)
        server_do(redis, "SET foobaz %d", (int)i);
    assert_int_equal(server_integer(redis, "DEL foobaz"), 1);
    crowd_until(&many, many.holding == 1);

    crowd_calm(&many);
    for (i = 0; i < many.count; i += 2)
        assert_causes(&many.members[i].posix, {[RLK_CAUSE_START] = 1});
    end();
}

/* ---- Storms ---- */

/* What a waiter may do within this time, whatever it receives. */
static int64_t most_attempts(int64_t time_ms)
{
    /* each after a pause of half of that on average, and one behind it at once */
    return RESTRAINT_FREE + 2 * (time_ms * 2 / RESTRAINT_MS + time_ms / RESTRAINT_MS) + 2;
}

static void assert_restrained(int64_t time_ms)
{
    size_t i;

    for (i = 0; i < many.count; i++) {
        rlk_stats stats;

        rlk_client_stats(&many.members[i].posix.client, &stats);
        assert_between(stats.attempts, 1, most_attempts(time_ms));
        assert_between(stats.causes[RLK_CAUSE_PUSH], 0, many.members[i].pushes);
    }
}

/* Somebody touches the key a thousand times in a second. */
static void test_tracking_a_key_that_changes_all_the_time(void **state)
{
    const size_t waiters = 10;
    int64_t start;
    int64_t touches = 0;

    (void)state;
    begin(waiters, NULL, RECHECK_MS);
    server_do(redis, "SET foobar somebody");
    crowd_wait(&many);
    start = support_now_ms();
    while (support_now_ms() - start < 1000) {
        assert_int_equal(server_integer(redis, "PEXPIRE foobar %d", 600000 + (int)touches++), 1);
        crowd_serve(&many, 1);
    }
    assert_restrained(support_now_ms() - start);
    assert_true(touches > 100);
    assert_true(crowd_stats(&many).causes[RLK_CAUSE_PUSH] > waiters * RESTRAINT_FREE);
    /* and nobody is deaf afterwards */
    start = support_now_ms();
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    crowd_until(&many, many.holding == 1);

    assert_between(support_now_ms() - start, 0,
                   RESTRAINT_MS + INT64_C(400) * support_time_factor());
    all_have_it_in_turn(waiters - 1);
    end();
}

/* 76: the server remembers one key, and forgets it whenever anybody reads another. */
static void test_fault_76_table_of_one_key(void **state)
{
    const int64_t reads = 20;
    crowd_count before;
    crowd_count after;
    int64_t i;

    (void)state;
    begin(WAITERS, &one_key, RECHECK_MS);
    server_do(redis, "SET foobar somebody PX 600000");
    crowd_wait(&many);
    server_do(redis, "CLIENT TRACKING ON REDIRECT %lld",
              (long long)server_integer(redis, "CLIENT ID"));
    before = crowd_calls(&many);
    for (i = 0; i < reads; i++) {
        (void)server_text(redis, "GET k%d", (int)i);
        crowd_serve(&many, 50);
    }
    server_do(redis, "CLIENT TRACKING OFF");
    crowd_calm(&many);
    after = crowd_calls(&many);
    assert_true(crowd_pushes(&many) > 0);
    /* two commands for each waiter and each notification of it */
    assert_between(after.sets - before.sets, 1, crowd_pushes(&many));
    assert_int_equal(after.pttls - before.pttls, after.sets - before.sets);
    assert_int_equal(after.sets - before.sets, crowd_stats(&many).causes[RLK_CAUSE_PUSH]);
    assert_int_equal(many.holding, 0);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    crowd_until(&many, many.holding == 1);

    all_have_it_in_turn(WAITERS - 1);
    end();
}

/* The same, where the waiters themselves drive each other's keys out, all the time. */
static void test_fault_76_waiters_for_ten_keys(void **state)
{
    static const char *const keys[] = {"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"};
    const int64_t recheck_max_ms = INT64_C(1000) * support_time_factor();
    rlk_lock_config lock_config = patient(recheck_max_ms);
    crowd_count calls;
    int64_t start;
    int64_t time_ms;
    size_t i;

    (void)state;
    redis = server_start(&one_key);
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    crowd_open_keys(&many, WAITERS, &redis, 1, NULL, keys, COUNT_OF(keys), &lock_config);
    for (i = 0; i < COUNT_OF(keys); i++)
        server_do(redis, "SET %s somebody", keys[i]);
    start = support_now_ms();
    for (i = 0; i < WAITERS; i++)
        assert_result(rlk_acquire_start(&many.members[i].lock, RLK_FOREVER), RLK_PENDING);
    crowd_serve(&many, 2000);
    time_ms = support_now_ms() - start;
    assert_restrained(time_ms);
    calls = crowd_calls(&many);
    assert_between(calls.sets, WAITERS, WAITERS * most_attempts(time_ms));
    for (i = 0; i < COUNT_OF(keys); i++)
        assert_int_equal(server_integer(redis, "DEL %s", keys[i]), 1);
    /* each in turn; a waiter that was not notified rechecks in its recheck interval */
    while (crowd_stats(&many).acquired < WAITERS || many.holding > 0) {
        crowd_serve(&many, 1);
        for (i = 0; i < WAITERS; i++)
            if (rlk_is_held(&many.members[i].lock))
                assert_result(rlk_release_start(&many.members[i].lock), RLK_PENDING);
        assert_true(support_now_ms() - start < 60000 * support_time_factor());
    }
    for (i = 0; i < WAITERS; i++)
        assert_int_equal(many.members[i].acquired, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_tracking_100_waiters_ask_nothing_without_a_cause),
        support_test(test_tracking_100_waiters_one_probe_in_a_recheck_interval),
        support_test(test_tracking_100_waiters_two_commands_for_a_renewal),
        support_test(test_tracking_100_waiters_quick_renewals),
        support_test(test_tracking_100_waiters_have_it_in_turn),
        support_test(test_tracking_hand_offs_go_on),
        support_test(test_tracking_other_keys_wake_nobody),
        support_test(test_tracking_a_key_that_changes_all_the_time),
        support_test(test_fault_76_table_of_one_key),
        support_test(test_fault_76_waiters_for_ten_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
