/* SPDX-License-Identifier: MIT
 *
 * The index of keys: keys that share a bucket or a hash share nothing else.
 */
#include "lock_tracked.h"

#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static harness h;
static rlk_lock locks[8];

static void start(unsigned clients, unsigned max_handoffs, rlk_lock **buckets, size_t buckets_len)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.max_handoffs = max_handoffs;
    h.config.buckets = buckets;
    h.config.buckets_len = buckets_len;
#ifdef RLK_RESP2_ONLY
    harness_open(&h, 1, clients);
    harness_advance(&h, 0);
#else
    tracked_start(&h, 1, clients);
#endif
}

static void enqueue(unsigned i, unsigned client, const char *key)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.retry_min_ms = 400; /* to be told from the rest */
    config.retry_max_ms = 500;
    config.recheck_max_ms = 1000;
    config.watch_after_ms = RLK_TIME_LIMIT_MAX; /* never: some keys go, and nobody is told */
    assert_result(rlk_lock_init(&locks[i], &h.members[client].client, key, &config), RLK_OK);
    assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
}

/* Releases; the next has it at once, or (false) does not. */
static bool hands_over(unsigned i, unsigned next)
{
    assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    if (!rlk_is_held(&locks[next]))
        return false;
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    return true;
}

/* Many keys in one bucket, some waiting, some held; each has its own row. */
static void test_wait_queue_keys_in_one_bucket(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    rlk_lock *bucket[1];
    unsigned i;

    (void)state;
    start(1, 0, bucket, 1);
    for (i = 0; i < 3; i++) {
        enqueue(i, 0, keys[i]);     /* acquires */
        enqueue(3 + i, 0, keys[i]); /* waits for it */
    }
    harness_serve(&h, 0);
    for (i = 0; i < 3; i++)
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
    assert_true(hands_over(1, 4));
    assert_int_equal(h.servers[0].count[HARNESS_SET], 4); /* nobody else was woken */
    assert_true(hands_over(2, 5));
    assert_true(hands_over(0, 3));
    assert_int_equal(h.servers[0].count[HARNESS_SET], 6);
    /* holders leave the bucket from its middle and its ends */
    for (i = 3; i < 6; i++) {
        assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    }
    assert_null(bucket[0]);
}

/* One hash: what is told of one wakes the other too, which costs an attempt; but they are two rows,
 * and nobody takes the one for the other. */
static void test_wait_queue_keys_with_one_hash(void **state)
{
    static const char *const twins[][2] = {{"costarring", "liquid"}, {"declinate", "macallums"}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(twins); i++) {
        const char *one = twins[i][0];
        const char *two = twins[i][1];

        assert_int_equal(rlk_key_hash(RLK_KEY_HASH, one, strlen(one)),
                         rlk_key_hash(RLK_KEY_HASH, two, strlen(two)));
        start(1, 0, NULL, 0);
        harness_put(&h, 0, two, FOREIGN, DAY_MS);
        enqueue(0, 0, one);
        enqueue(1, 0, two);
        enqueue(2, 0, one);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        assert_true(hands_over(0, 2));
        assert_int_equal(h.servers[0].count[HARNESS_SET], 4); /* one of them in vain */
        assert_false(rlk_is_held(&locks[1]));
        harness_find(&h, &h.servers[0], two)->key[0] = '\0';
        assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[1]));
        assert_true(rlk_is_held(&locks[2]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_queue_keys_in_one_bucket),
        cmocka_unit_test(test_wait_queue_keys_with_one_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
