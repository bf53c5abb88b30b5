/* SPDX-License-Identifier: MIT
 *
 * What wakes a waiter on one server that tells of changes, and what does not (rule 9; watch.c,
 * acquire.c).
 */
#include "lock_tracked.h"

#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static bench b;

/* ---- Wake-ups ----------------------------------------------------------------------------- */

static void test_lock_waiting_push_wakes_at_once(void **state)
{
    static const int64_t ttls[] = {-1, 500, 5000, DAY_MS};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(ttls); i++) {
        rlk_lock lock;
        tracked_behind(&b, &lock, ttls[i]);
        bench_advance(&b, 400);
        assert_int_equal(b.servers[0].count[BENCH_SET], 1);
        bench_delete(&b, 0, BENCH_KEY);
        (void)bench_expect(&b, 0, BENCH_SET);
        assert_int_equal(lock.cause, RLK_CAUSE_PUSH);
        bench_serve(&b, 0);
        bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
        assert_int_equal(b.now_ms, BENCH_START + 400);
        assert_int_equal(b.servers[0].count[BENCH_SET], 2);
    }
}

/* Faults 76, 85: the table of the server is full, or the same name changed in another database. The
 * attempt that it causes makes the server tell again. */
static void test_fault_76_85_push_for_nothing(void **state)
{
    rlk_lock lock;
    unsigned push;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    for (push = 0; push < 4; push++) {
        bench_link_of(&b, 0)->watched[0][0] = '\0'; /* its interest ends with it */
        bench_push(bench_link_of(&b, 0), BENCH_KEY);
        (void)bench_expect(&b, 0, BENCH_SET);
        bench_serve(&b, 0);
        bench_expect_no_event(&b);
        assert_int_equal(b.servers[0].count[BENCH_SET], 2 + push);
        assert_string_equal(bench_link_of(&b, 0)->watched[0], BENCH_KEY);
        bench_advance(&b, 100);
    }
    bench_delete(&b, 0, BENCH_KEY);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* A push of another key is none of ours. */
static void test_lock_waiting_push_of_another_key(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    bench_push(bench_link_of(&b, 0), "another");
    bench_expect_quiet(&b, 0);
}

/* What is told before PTTL is answered happened before PTTL saw the key. */
static void test_lock_waiting_push_before_pttl_is_ignored(void **state)
{
    static const char *const keys[] = {BENCH_KEY, NULL};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(keys); i++) {
        rlk_lock lock;
        tracked_unanswered(&b, &lock);
        bench_push(bench_link_of(&b, 0), keys[i]); /* before SET */
        bench_run(&b);
        assert_int_equal(b.servers[0].count[BENCH_SET], 1);
        bench_reply(&b, 0, BENCH_NIL);
        bench_push(bench_link_of(&b, 0), keys[i]); /* between the two */
        bench_run(&b);
        bench_reply(&b, 0, ":-1\r\n");
        bench_expect_quiet(&b, 0);
        assert_between(tracked_until(&b, 0, BENCH_SET, RLK_SAFETY_MS), RLK_SAFETY_MS / 5,
                       RLK_SAFETY_MS);
        assert_int_equal(lock.cause, RLK_CAUSE_SAFETY);
        bench_reply(&b, 0, BENCH_NIL);
        bench_reply(&b, 0, ":-1\r\n");
        bench_push(bench_link_of(&b, 0), keys[i]); /* behind it */
        (void)bench_expect(&b, 0, BENCH_SET);
    }
}

/* Two pushes for one attempt, and one for an attempt that is under way, are one attempt. */
static void test_lock_waiting_pushes_do_not_add_up(void **state)
{
    rlk_lock lock;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_push(bench_link_of(&b, 0), NULL);
    (void)bench_expect(&b, 0, BENCH_SET);
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_serve(&b, 0);
    bench_expect_quiet(&b, 0);
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
}

/* A null push: any key may have changed. All that wait are woken, and nobody else. */
static void test_lock_waiting_flush_wakes_all(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    rlk_lock locks[3];
    rlk_lock idle;
    size_t i;
    (void)state;
    memset(&b.config, 0, sizeof b.config);
    tracked_start(&b, 1, 1);
    assert_result(rlk_lock_init(&idle, b.client, "idle", NULL), RLK_OK);
    for (i = 0; i < 3; i++) {
        bench_put(&b, 0, keys[i], FOREIGN, -1);
        assert_result(rlk_lock_init(&locks[i], b.client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    }
    bench_serve(&b, 0);
    for (i = 0; i < 3; i++)
        bench_find(&b, &b.servers[0], keys[i])->key[0] = '\0'; /* of a FLUSHALL */
    bench_push(bench_link_of(&b, 0), NULL);
    bench_run(&b);
    assert_int_equal(b.servers[0].count[BENCH_SET], 6);
    for (i = 0; i < 3; i++)
        assert_int_equal(locks[i].cause, RLK_CAUSE_FLUSH);
    bench_serve(&b, 0);
    for (i = 0; i < 3; i++)
        bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_lock_close(&idle), RLK_OK);
}

/* What is told before there is a client over the connection, or when there is none any more, is
 * nobody's. */
static void test_lock_waiting_push_without_a_client(void **state)
{
    rlk_client_config config;
    rlk_conn_config unused;
    rlk_conn *conns[1];
    rlk_lock lock;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    config = b.config;
    config.env = b.client->env;
    conns[0] = &bench_link_of(&b, 0)->conn;
    assert_result(rlk_lock_close(&lock), RLK_OK);
    memset(&unused, 0, sizeof unused);
    rlk_client_conn_config(b.client, &unused);
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_push(bench_link_of(&b, 0), NULL);
    bench_expect_quiet(&b, 0);
    assert_result(rlk_client_init(b.client, conns, 1, &config), RLK_OK);
    bench_lock(&b, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    bench_serve(&b, 0);
    bench_delete(&b, 0, BENCH_KEY);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
}

/* Fault 77: what another lock of the connection writes ends the interest of all of them (NOLOOP),
 * and so each script ends by reading the key again. */
static void test_fault_77_own_renewal_then_a_foreign_delete(void **state)
{
    rlk_lock held;
    rlk_lock lock;
    (void)state;
    memset(&b.config, 0, sizeof b.config);
    tracked_start(&b, 1, 1);
    bench_lock(&b, &held, 30000);
    assert_result(rlk_acquire_start(&held, RLK_TRY), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_ACQUIRED, RLK_OK);
    tracked_wait(&b, &lock, NULL, 0, 0);
    bench_advance(&b, 500);
    assert_result(rlk_renew_start(&held, 60000), RLK_PENDING);
    bench_serve(&b, 0);
    bench_expect_event(&b, RLK_EV_EXTENDED, RLK_OK);
    assert_int_equal(b.servers[0].count[BENCH_SET], 2);
    bench_delete(&b, 0, BENCH_KEY);
    bench_run(&b);
    assert_int_equal(b.servers[0].count[BENCH_SET], 3);
    assert_int_equal(lock.cause, RLK_CAUSE_PUSH);
    bench_serve(&b, 0);
    assert_true(rlk_is_held(&lock));
    assert_false(rlk_is_held(&held)); /* which was told, too */
}

/* ---- Restraint ---------------------------------------------------------------------------- */

/* A key that changes all the time makes no storm: at once for eight times, then with pauses. */
static void test_lock_waiting_restraint_after_vain_wake_ups(void **state)
{
    static const char *const keys[] = {BENCH_KEY, NULL};
    size_t i;
    (void)state;
    for (i = 0; i < COUNT_OF(keys); i++) {
        rlk_lock lock;
        unsigned push;
        int64_t begin_ms;
        tracked_behind(&b, &lock, DAY_MS);
        begin_ms = b.now_ms;
        for (push = 0; push < 8; push++) {
            bench_push(bench_link_of(&b, 0), keys[i]);
            bench_serve(&b, 0);
            assert_int_equal(b.servers[0].count[BENCH_SET], 2 + push);
        }
        for (push = 0; push < 200; push++) {
            bench_push(bench_link_of(&b, 0), keys[i]);
            bench_expect_quiet(&b, 0);
            assert_between(tracked_until(&b, 0, BENCH_SET, 100), 1, 64);
            bench_serve(&b, 0);
        }
        assert_between(b.now_ms - begin_ms, 200 * 20, 200 * 64); /* half of 64 on average */
        bench_expect_no_event(&b);
        /* forgotten after some time, one in 64 ms */
        bench_advance(&b, 500);
        for (push = 0; push < 7; push++) {
            bench_push(bench_link_of(&b, 0), keys[i]);
            (void)bench_expect(&b, 0, BENCH_SET);
            bench_serve(&b, 0);
        }
        bench_push(bench_link_of(&b, 0), keys[i]);
        bench_serve(&b, 0);
        bench_push(bench_link_of(&b, 0), keys[i]);
        bench_expect_quiet(&b, 0);
    }
}

/* More pushes while it pauses don't put the attempt off, nor does the pause a time that is sooner.
 */
static void test_lock_waiting_restraint_is_not_put_off(void **state)
{
    rlk_lock lock;
    unsigned push;
    int64_t ms = 0;
    (void)state;
    tracked_behind(&b, &lock, DAY_MS);
    for (push = 0; push < 8; push++) {
        bench_push(bench_link_of(&b, 0), BENCH_KEY);
        bench_serve(&b, 0);
    }
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    bench_run(&b);
    while (b.servers[0].count[BENCH_SET] == 9) {
        bench_advance(&b, 1);
        bench_push(bench_link_of(&b, 0), BENCH_KEY);
        bench_run(&b);
        ms++;
    }
    assert_between(ms, 1, 64);
    bench_reply(&b, 0, BENCH_NIL);
    bench_reply(&b, 0, ":0\r\n"); /* over in 1 to 51 ms */
    bench_push(bench_link_of(&b, 0), BENCH_KEY);
    assert_between(tracked_until(&b, 0, BENCH_SET, 100), 1, 1 + RLK_RETRY_MIN_MS);
}

/* A key that is gone at each look and there at the next SET is the same. */
static void test_lock_waiting_restraint_when_it_is_gone_each_time(void **state)
{
    rlk_lock lock;
    unsigned look;
    int64_t begin_ms;
    (void)state;
    tracked_unanswered(&b, &lock);
    for (look = 1; look < 9; look++) {
        bench_reply(&b, 0, BENCH_NIL);
        bench_reply(&b, 0, ":-2\r\n");
        assert_int_equal(b.servers[0].count[BENCH_SET], 1 + look);
    }
    assert_int_equal(b.now_ms, BENCH_START);
    begin_ms = b.now_ms;
    for (look = 0; look < 200; look++) {
        bench_reply(&b, 0, BENCH_NIL);
        bench_reply(&b, 0, ":-2\r\n");
        if (bench_head(bench_link_of(&b, 0)) == NULL) /* or the last pause made up for one more */
            assert_between(tracked_until(&b, 0, BENCH_SET, 100), 1, 64);
        assert_int_equal(lock.cause, RLK_CAUSE_PUSH);
    }
    assert_between(b.now_ms - begin_ms, 200 * 20, 200 * 64);
}

/* What comes of other causes is not counted. */
static void test_lock_waiting_restraint_is_for_the_servers_word(void **state)
{
    rlk_lock lock;
    unsigned look;
    (void)state;
    tracked_unanswered(&b, &lock);
    for (look = 0; look < 20; look++) {
        bench_reply(&b, 0, BENCH_NIL);
        bench_reply(&b, 0, ":0\r\n");
        assert_between(tracked_until(&b, 0, BENCH_SET, 100), 1, 1 + RLK_RETRY_MIN_MS);
    }
    bench_reply(&b, 0, BENCH_NIL);
    bench_reply(&b, 0, ":-1\r\n");
    for (look = 0; look < 8; look++) {
        bench_push(bench_link_of(&b, 0), BENCH_KEY);
        (void)bench_expect(&b, 0, BENCH_SET);
        bench_reply(&b, 0, BENCH_NIL);
        bench_reply(&b, 0, ":-1\r\n");
    }
}

/* Times of seats have 32 bits: a suspend of more than half of that is long past, too. */
static void test_lock_waiting_after_a_month_of_standstill(void **state)
{
    rlk_lock lock;
    bench_link *link = bench_link_of(&b, 0);
    (void)state;
    tracked_behind(&b, &lock, 20000);
    b.servers[0].automatic = true;
    memset(link->watched, 0, sizeof link->watched); /* nothing is told */
    b.now_ms += (INT64_C(1) << 31) + 10000;
    assert_int_not_equal(tracked_until(&b, 0, BENCH_SET, 1000), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_waiting_push_wakes_at_once),
        cmocka_unit_test(test_fault_76_85_push_for_nothing),
        cmocka_unit_test(test_lock_waiting_push_of_another_key),
        cmocka_unit_test(test_lock_waiting_push_before_pttl_is_ignored),
        cmocka_unit_test(test_lock_waiting_pushes_do_not_add_up),
        cmocka_unit_test(test_lock_waiting_flush_wakes_all),
        cmocka_unit_test(test_lock_waiting_push_without_a_client),
        cmocka_unit_test(test_fault_77_own_renewal_then_a_foreign_delete),
        cmocka_unit_test(test_lock_waiting_restraint_after_vain_wake_ups),
        cmocka_unit_test(test_lock_waiting_restraint_is_not_put_off),
        cmocka_unit_test(test_lock_waiting_restraint_when_it_is_gone_each_time),
        cmocka_unit_test(test_lock_waiting_restraint_is_for_the_servers_word),
        cmocka_unit_test(test_lock_waiting_after_a_month_of_standstill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
