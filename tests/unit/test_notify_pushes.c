/* SPDX-License-Identifier: MIT
 *
 * Pushes of client tracking, and the waiters that receive them (rule 9).
 */
#include "lock_tracked.h"

#include <stdio.h>
#include <string.h>

static harness h;

static void test_notify_push_is_followed_by_an_attempt(void **state)
{
    static const int64_t ttls[] = {-1, 500, 5000, DAY_MS};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(ttls)); i++) {
        rlk_lock lock;

        tracked_behind(&h, &lock, ttls[i]);
        harness_advance(&h, 400);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
        harness_delete(&h, 0, HARNESS_KEY);
        (void)harness_expect(&h, 0, HARNESS_SET);
        assert_int_equal(lock.cause, RLK_CAUSE_PUSH);
        harness_serve(&h, 0);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_int_equal(h.now_ms, HARNESS_START + 400);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    }
}

/* A push in one read with the reply to PTTL, after which the server notifies. */
static void test_notify_push_in_one_read_with_the_ttl(void **state)
{
    rlk_lock lock;
    char reply[96];

    (void)state;
    tracked_unanswered(&h, &lock);
    harness_reply(&h, 0, HARNESS_NIL);
    (void)snprintf(reply, sizeof reply,
                   ":86400000\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$%zu\r\n%s\r\n",
                   strlen(HARNESS_KEY), HARNESS_KEY);
    harness_reply(&h, 0, reply);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_int_equal(lock.cause, RLK_CAUSE_PUSH);
    assert_int_equal(h.now_ms, HARNESS_START);
}

/* Faults 76, 85: the table of the server is full, or the same name changed in another database.
 * After the attempt that follows the server notifies again. */
static void test_fault_76_85_push_for_nothing(void **state)
{
    rlk_lock lock;
    unsigned push;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    for (push = 0; push < 4; push++) {
        harness_link_of(&h, 0)->watched[0][0] = '\0'; /* the server forgets the key with its push */
        harness_push(harness_link_of(&h, 0), HARNESS_KEY);
        (void)harness_expect(&h, 0, HARNESS_SET);
        harness_serve(&h, 0);
        harness_expect_no_event(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2 + push);
        assert_string_equal(harness_link_of(&h, 0)->watched[0], HARNESS_KEY);
        harness_advance(&h, 100);
    }
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* A push of another key has no effect. */
static void test_notify_push_of_another_key(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    harness_push(harness_link_of(&h, 0), "another");
    harness_expect_quiet(&h, 0);
}

/* A push before the reply to PTTL is about a change before PTTL read the key. */
static void test_notify_push_before_pttl_is_ignored(void **state)
{
    static const char *const keys[] = {HARNESS_KEY, NULL};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(keys)); i++) {
        rlk_lock lock;

        tracked_unanswered(&h, &lock);
        harness_push(harness_link_of(&h, 0), keys[i]); /* before SET */
        harness_run(&h);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
        harness_reply(&h, 0, HARNESS_NIL);
        harness_push(harness_link_of(&h, 0), keys[i]); /* between the two */
        harness_run(&h);
        harness_reply(&h, 0, ":-1\r\n");
        harness_expect_quiet(&h, 0);
        assert_between(tracked_until(&h, 0, HARNESS_SET, RLK_RECHECK_MAX_MS),
                       RLK_RECHECK_MAX_MS / 5, RLK_RECHECK_MAX_MS);
        assert_int_equal(lock.cause, RLK_CAUSE_RECHECK);
        harness_reply(&h, 0, HARNESS_NIL);
        harness_reply(&h, 0, ":-1\r\n");
        harness_push(harness_link_of(&h, 0), keys[i]); /* behind it */
        (void)harness_expect(&h, 0, HARNESS_SET);
    }
}

/* Several pushes at once, and one during the attempt that follows, are one attempt. */
static void test_notify_pushes_do_not_add_up(void **state)
{
    rlk_lock lock;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), NULL);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_quiet(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
}

/* A null push: any key may have changed. It notifies all waiters, and no other lock. */
static void test_notify_flush_reaches_all_waiters(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    rlk_lock locks[3];
    rlk_lock idle;
    size_t i;

    (void)state;
    tracked_open(&h, 1);
    assert_result(rlk_lock_init(&idle, h.client, "idle", NULL), RLK_OK);
    for (i = 0; i < 3; i++) {
        harness_put(&h, 0, keys[i], FOREIGN, -1);
        assert_result(rlk_lock_init(&locks[i], h.client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    }
    harness_serve(&h, 0);
    for (i = 0; i < 3; i++)
        harness_remove(&h, 0, keys[i]); /* of a FLUSHALL */
    harness_push(harness_link_of(&h, 0), NULL);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 6);
    for (i = 0; i < 3; i++)
        assert_int_equal(locks[i].cause, RLK_CAUSE_FLUSH);
    harness_serve(&h, 0);
    for (i = 0; i < 3; i++)
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_lock_close(&idle), RLK_OK);
}

/* A push before there is a client over the connection, or after its end, has no effect. */
static void test_notify_push_without_a_client(void **state)
{
    rlk_client_config config;
    rlk_conn_config unused;
    rlk_conn *conns[1];
    rlk_lock lock;

    (void)state;
    tracked_behind(&h, &lock, DAY_MS);
    config = h.config;
    config.env = h.client->env;
    conns[0] = &harness_link_of(&h, 0)->conn;
    assert_result(rlk_lock_close(&lock), RLK_OK);
    memset(&unused, 0, sizeof unused);
    rlk_client_conn_config(h.client, &unused);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_push(harness_link_of(&h, 0), NULL);
    harness_expect_quiet(&h, 0);
    assert_result(rlk_client_init(h.client, conns, 1, &config), RLK_OK);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_serve(&h, 0);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
}

/* Fault 77: what another lock of the connection writes ends the interest of all of them (NOLOOP),
 * and so each script ends by reading the key again. */
static void test_fault_77_own_renewal_then_a_foreign_delete(void **state)
{
    rlk_lock held;
    rlk_lock lock;

    (void)state;
    tracked_open(&h, 1);
    harness_lock(&h, &held, 30000);
    assert_result(rlk_acquire_start(&held, RLK_TRY), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    tracked_wait(&h, &lock, NULL, 0, 0);
    harness_advance(&h, 500);
    assert_result(rlk_renew_start(&held, 60000), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RENEW, RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_run(&h);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 3);
    assert_int_equal(lock.cause, RLK_CAUSE_PUSH);
    harness_serve(&h, 0);
    assert_true(rlk_is_held(&lock));
    assert_false(rlk_is_held(&held)); /* it was notified too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify_push_is_followed_by_an_attempt),
        cmocka_unit_test(test_notify_push_in_one_read_with_the_ttl),
        cmocka_unit_test(test_fault_76_85_push_for_nothing),
        cmocka_unit_test(test_notify_push_of_another_key),
        cmocka_unit_test(test_notify_push_before_pttl_is_ignored),
        cmocka_unit_test(test_notify_pushes_do_not_add_up),
        cmocka_unit_test(test_notify_flush_reaches_all_waiters),
        cmocka_unit_test(test_notify_push_without_a_client),
        cmocka_unit_test(test_fault_77_own_renewal_then_a_foreign_delete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
