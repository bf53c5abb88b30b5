/* SPDX-License-Identifier: MIT
 *
 * The table of state decisions, as far as real servers can play it: what single nodes say, or don't
 * say, of a lock that is held or being released.
 */
#include "proxied.h"

#include <string.h>

#define NODES  3
#define QUORUM 2

static proxied world;
static rlk_lock lock;

static rlk_posix_options quick(void)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.response_timeout_ms = INT64_C(600) * support_time_factor();
    options.backoff_max_ms = 50;
    options.operation_timeout_ms = INT64_C(500) * support_time_factor();
    options.settle_timeout_ms = INT64_C(300) * support_time_factor();
    return options;
}

/* Three nodes behind proxies, connected, and `lock` on "foobar". */
static void begin_with(const rlk_lock_config *config)
{
    rlk_posix_options options = quick();

    proxied_start(&world, NODES, false, NULL, &options);
    proxied_lock_init(&world, &lock, "foobar", config);
}

static void begin(void)
{
    begin_with(NULL);
}

static void end(void)
{
    rlk_lock_close(&lock);
    proxied_close(&world);
}

/* Serves the client until `holding` nodes have the key. */
static void assert_comes_to(size_t holding)
{
    int64_t limit = support_now_ms() + INT64_C(10000) * support_time_factor();

    while (nodes_holding(&world.set, "foobar", NULL) != holding && support_now_ms() < limit)
        loop_serve(&world.set.posix, 5);
    assert_int_equal(nodes_holding(&world.set, "foobar", NULL), holding);
}

/* Held on all three, which have said so. */
static void hold_all(void)
{
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_comes_to(NODES);
    loop_quiet(&world.set.posix, 20);
}

static void flush(size_t from, size_t to)
{
    size_t i;

    for (i = from; i < to; i++)
        server_do(world.set.servers[i], "FLUSHALL");
}

/* ---- acquired x late OK of the minority: counts; the release follows on that connection ---- */

static void test_nodes_late_ok_of_a_minority_counts(void **state)
{
    (void)state;
    begin();
    proxy_hold(world.proxies[0], PROXY_TO_CLIENT); /* it has executed it, and says so late */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_comes_to(NODES);
    proxy_release(world.proxies[0]);
    loop_quiet(&world.set.posix, 50);
    /* one of the others has lost it, and the late one can't be asked: its OK makes up the quorum */
    flush(1, 2);
    server_pause(world.set.servers[0]);
    assert_result(rlk_check(&lock), RLK_E_RESPONSE_TIMEOUT);
    assert_true(rlk_is_held(&lock));
    server_resume(world.set.servers[0]);
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_comes_to(0);
    end();
}

/* ... and one that is not answered at all when the release is called is released behind it. */
static void test_nodes_release_overtakes_no_late_set(void **state)
{
    (void)state;
    begin();
    proxy_hold(world.proxies[0], PROXY_TO_SERVER); /* on its way */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_null(server_text(world.set.servers[0], "GET foobar"));
    proxy_release(world.proxies[0]);
    wait_until(server_calls(world.set.servers[0], "set") == 1 ||
               (loop_serve(&world.set.posix, 1), false));

    assert_comes_to(0); /* it came, and was undone */
    assert_result(rlk_lock_close(&lock), RLK_OK);
    proxied_close(&world);
}

/* ---- held x a minority says not owner; held x a quorum does ---- */

typedef struct asking {
    const char *name;
    rlk_result (*ask)(void);
} asking;

static rlk_result ask_check(void)
{
    return rlk_check(&lock);
}

static rlk_result ask_extend(void)
{
    return rlk_extend(&lock, 1000);
}

static rlk_result ask_renew(void)
{
    return rlk_renew(&lock, 60000);
}

static const asking askings[] = {
    {"check", ask_check}, {"extend", ask_extend}, {"renew", ask_renew}};

static void test_nodes_minority_not_owner_stays_held(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(askings); i++) {
        begin();
        hold_all();
        flush(0, 1);
        assert_result(askings[i].ask(), RLK_OK);
        loop_quiet(&world.set.posix, 20); /* no LOST */
        assert_true(rlk_is_held(&lock));
        assert_null(server_text(world.set.servers[0], "GET foobar")); /* never created again */
        assert_result(rlk_release(&lock), RLK_OK);
        assert_comes_to(0);
        end();
        support_teardown(NULL);
    }
}

static void test_nodes_quorum_not_owner_is_lost(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(askings); i++) {
        rlk_event event;

        begin();
        hold_all();
        flush(0, QUORUM);
        assert_true(rlk_is_held(&lock)); /* nobody has notified it */
        assert_result(askings[i].ask(), RLK_NOT_OWNER);
        assert_false(rlk_is_held(&lock));
        assert_true(rlk_client_next_event(&world.set.posix.client, &event));
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_comes_to(0); /* lost: what is left of it is undone */
        assert_result(rlk_release(&lock), RLK_LOST);
        end();
        support_teardown(NULL);
    }
}

/* Twice a minority, but never the same: together they are a quorum. */
static void test_nodes_minorities_add_up(void **state)
{
    (void)state;
    begin();
    hold_all();
    flush(0, 1);
    assert_result(rlk_check(&lock), RLK_OK);
    flush(1, 2);
    assert_result(rlk_check(&lock), RLK_NOT_OWNER);
    assert_false(rlk_is_held(&lock));
    end();
}

/* ---- held x a minority renewed: kept per node, adds up across attempts ---- */

static void test_nodes_minorities_renewed_add_up(void **state)
{
    int64_t left_ms;

    (void)state;
    begin();
    hold_all();
    left_ms = rlk_remaining_ms(&lock);
    server_pause(world.set.servers[1]);
    server_pause(world.set.servers[2]);
    assert_result(rlk_extend(&lock, 60000), RLK_UNKNOWN); /* done on node 0 only */
    assert_between(rlk_remaining_ms(&lock), 1, left_ms);
    server_resume(world.set.servers[1]);
    server_resume(world.set.servers[2]);
    loop_serve(&world.set.posix, 50);
    assert_between(server_integer(world.set.servers[0], "PTTL foobar"), 60000, 90000);
    /* the next one asks for less than node 0 has, which changes nothing there */
    assert_result(rlk_extend(&lock, 1000), RLK_OK);
    assert_between(server_integer(world.set.servers[0], "PTTL foobar"), 60000, 90000);
    assert_between(rlk_remaining_ms(&lock), 1, 31000);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_comes_to(0);
    end();
}

/* ---- restarts ---- */

/* Fault 20 on one of three: two go on. */
static void test_nodes_one_restarted_empty_extend_still_works(void **state)
{
    (void)state;
    begin();
    hold_all();
    server_restart(world.set.servers[0], false);
    assert_result(rlk_extend(&lock, 10000), RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_int_equal(nodes_holding(&world.set, "foobar", NULL), QUORUM);
    assert_result(rlk_keep_alive(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_comes_to(0);
    end();
}

/* Fault 20 on two of three: lost. With their data: not. */
static void test_nodes_quorum_restarted(void **state)
{
    int keep;

    (void)state;
    for (keep = 0; keep < 2; keep++) {
        size_t i;

        begin();
        hold_all();
        for (i = 0; i < QUORUM; i++) {
            server_save(world.set.servers[i]);
            server_restart(world.set.servers[i], keep != 0);
        }
        assert_result(rlk_check(&lock), keep != 0 ? RLK_OK : RLK_NOT_OWNER);
        assert_int_equal(rlk_is_held(&lock), keep != 0);
        assert_result(rlk_release(&lock), keep != 0 ? RLK_OK : RLK_LOST);
        assert_comes_to(0);
        end();
        support_teardown(NULL);
    }
}

/* ---- release on N nodes ---- */

static void test_nodes_release_with_one_dead(void **state)
{
    (void)state;
    begin();
    hold_all();
    server_save(world.set.servers[0]);
    server_kill(world.set.servers[0]);
    assert_result(rlk_release(&lock), RLK_OK); /* q deletions */
    assert_int_equal(nodes_holding(&world.set, "foobar", NULL), 0);
    /* the straggler comes back with its data: it is released then */
    server_restart(world.set.servers[0], true);
    assert_non_null(server_text(world.set.servers[0], "GET foobar"));
    assert_comes_to(0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    proxied_close(&world);
}

static void test_nodes_release_with_one_stopped(void **state)
{
    (void)state;
    begin();
    hold_all();
    server_pause(world.set.servers[0]);
    assert_result(rlk_release(&lock), RLK_OK);
    loop_quiet(&world.set.posix,
               INT64_C(700) * support_time_factor()); /* beyond the response time */
    server_resume(world.set.servers[0]);
    assert_comes_to(0);
    end();
}

static void test_nodes_release_by_answers(void **state)
{
    static const struct {
        size_t flushed; /* nodes that have lost the key */
        size_t dead;    /* of the others, from the end */
        rlk_result expected;
    } cases[] = {
        {0, 1, RLK_OK},        {1, 0, RLK_OK},      {2, 0, RLK_NOT_OWNER}, {3, 0, RLK_NOT_OWNER},
        {2, 1, RLK_NOT_OWNER}, {0, 2, RLK_UNKNOWN}, {1, 2, RLK_UNKNOWN},   {0, 3, RLK_UNKNOWN},
    };
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        int64_t start;

        begin();
        hold_all();
        flush(0, cases[i].flushed);
        for (k = 0; k < cases[i].dead; k++)
            server_pause(world.set.servers[NODES - 1 - k]);
        start = support_now_ms();
        assert_result(rlk_release(&lock), cases[i].expected);
        assert_between(support_now_ms() - start, 0, 900 * support_time_factor());
        assert_false(rlk_is_held(&lock));
        for (k = 0; k < cases[i].dead; k++)
            server_resume(world.set.servers[NODES - 1 - k]);
        assert_comes_to(0);
        end();
        support_teardown(NULL);
    }
}

/* One deleted, one that had lost it, one that is dead: neither a quorum of deletions nor of "not
 * ours" (which of them were the quorum that held it?): not known. */
static void test_nodes_release_split(void **state)
{
    rlk_result result;

    (void)state;
    begin();
    hold_all();
    flush(0, 1);
    server_kill(world.set.servers[2]);
    result = rlk_release(&lock);
    assert_result(result, RLK_UNKNOWN);
    assert_false(rlk_is_held(&lock));
    end();
}

/* ---- lost ---- */

/* Lost by time: the undo goes to all nodes, also to one that is not there yet. */
static void test_nodes_lost_is_undone_everywhere(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();

    (void)state;
    config.ttl_ms = INT64_C(1000) * support_time_factor();
    begin_with(&config);
    hold_all();
    assert_int_equal(server_integer(world.set.servers[0], "PERSIST foobar"), 1); /* never expires */
    loop_serve(&world.set.posix, config.ttl_ms + 50);
    assert_false(rlk_is_held(&lock));
    assert_event(&world.set.posix, RLK_EV_LOST, RLK_LOST);
    assert_comes_to(0);
    assert_result(rlk_release(&lock), RLK_LOST);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_nodes_late_ok_of_a_minority_counts),
        support_test(test_nodes_release_overtakes_no_late_set),
        support_test(test_nodes_minority_not_owner_stays_held),
        support_test(test_nodes_quorum_not_owner_is_lost),
        support_test(test_nodes_minorities_add_up),
        support_test(test_nodes_minorities_renewed_add_up),
        support_test(test_nodes_one_restarted_empty_extend_still_works),
        support_test(test_nodes_quorum_restarted),
        support_test(test_nodes_release_with_one_dead),
        support_test(test_nodes_release_with_one_stopped),
        support_test(test_nodes_release_by_answers),
        support_test(test_nodes_release_split),
        support_test(test_nodes_lost_is_undone_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
