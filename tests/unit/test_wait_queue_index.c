/* SPDX-License-Identifier: MIT
 *
 * The index of keys: keys that share a bucket or a hash share nothing else.
 */
#include "lock_queue.h"

#include <string.h>

static harness h;
static rlk_lock locks[8];

/* Many keys in one bucket, some waiting, some held: each has its own wait queue. */
static void test_wait_queue_keys_in_one_bucket(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    rlk_lock *bucket[1];
    unsigned i;

    (void)state;
    memset(&h.config, 0, sizeof h.config);
    h.config.buckets = bucket;
    h.config.buckets_len = COUNT_OF(bucket);
    queue_connect(&h, 1, 1, QUEUE_TRACKS);
    for (i = 0; i < 3; i++) {
        queue_add_unwatched(h.client, &locks[i], keys[i]);     /* acquires */
        queue_add_unwatched(h.client, &locks[3 + i], keys[i]); /* waits for it */
    }
    harness_serve(&h, 0);
    for (i = 0; i < 3; i++)
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
    assert_true(queue_hands_off(&h, &locks[1], &locks[4]));
    assert_int_equal(h.servers[0].count[HARNESS_SET], 4); /* no other waiter was notified */
    assert_true(queue_hands_off(&h, &locks[2], &locks[5]));
    assert_true(queue_hands_off(&h, &locks[0], &locks[3]));
    assert_int_equal(h.servers[0].count[HARNESS_SET], 6);
    /* holders leave the bucket from its middle and its ends */
    for (i = 3; i < 6; i++) {
        assert_result(rlk_release_start(&locks[i]), RLK_PENDING);
        harness_serve(&h, 0);
        harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    }
    assert_null(bucket[0]);
}

/* One hash: a notification of one key reaches the waiter of the other too, which costs an attempt.
 * But they are two wait queues, and no lock takes the one for the other. */
static void test_wait_queue_keys_with_one_hash(void **state)
{
    static const char *const twins[][2] = {{"costarring", "liquid"}, {"declinate", "macallums"}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(twins)); i++) {
        const char *one = twins[i][0];
        const char *two = twins[i][1];

        assert_int_equal(rlk_key_hash(RLK_KEY_HASH, one, strlen(one)),
                         rlk_key_hash(RLK_KEY_HASH, two, strlen(two)));
        queue_open(&h, 1, QUEUE_TRACKS, 0);
        harness_put(&h, 0, two, FOREIGN, DAY_MS);
        queue_add_unwatched(h.client, &locks[0], one);
        queue_add_unwatched(h.client, &locks[1], two);
        queue_add_unwatched(h.client, &locks[2], one);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        assert_true(queue_hands_off(&h, &locks[0], &locks[2]));
        assert_int_equal(h.servers[0].count[HARNESS_SET], 4); /* one of them spurious */
        assert_false(rlk_is_held(&locks[1]));
        harness_remove(&h, 0, two);
        assert_int_not_equal(tracked_until(&h, 0, HARNESS_SET, 1000), -1);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&locks[1]));
        assert_true(rlk_is_held(&locks[2]));
    }
}

/* Buckets of the caller are cleared, whatever is in them. */
static void test_wait_queue_clears_the_buckets(void **state)
{
    rlk_lock *buckets[64];
    unsigned used = 0;
    unsigned i;

    (void)state;
    memset(buckets, 0x5a, sizeof buckets);
    memset(&h.config, 0, sizeof h.config);
    h.config.buckets = buckets;
    h.config.buckets_len = COUNT_OF(buckets);
    queue_connect(&h, 1, 1, QUEUE_TRACKS);
    for (i = 0; i < 64; i++)
        assert_null(buckets[i]);
    queue_add_unwatched(h.client, &locks[0], HARNESS_KEY);
    queue_add_unwatched(h.client, &locks[1], "another");
    harness_serve(&h, 0);
    for (i = 0; i < 64; i++)
        used += buckets[i] != NULL;
    assert_int_equal(used, 2);
    for (i = 0; i < COUNT_OF(h.client->own_buckets); i++)
        assert_true(h.client->own_buckets[i] != &locks[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_queue_keys_in_one_bucket),
        cmocka_unit_test(test_wait_queue_keys_with_one_hash),
        cmocka_unit_test(test_wait_queue_clears_the_buckets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
