/* SPDX-License-Identifier: MIT
 *
 * Who leads, since when and for how long: rlk_query and rlk_leader, on real servers.
 */
#include "child.h"
#include "election.h"
#include "proxied.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANNA "10.0.0.7:8080"
#define BERT "[fe80::8]:8080/bert"

/* Tests that mean no renewal see none. */
#define TTL_MS (INT64_C(30000) * support_time_factor())

static election both;
static rlk_lock asker;                      /* of the second client */
static rlk_holder memory[3][RLK_MAX_NODES]; /* of anna, bert and the asker */

static const size_t sizes[] = {1, 3};

static int64_t now_ms(void)
{
    return rlk_system_now_ms(NULL);
}

/* The clock shows another time than before. */
static void let_time_pass(void)
{
    int64_t time_ms = now_ms();
    wait_until(now_ms() > time_ms + 2);
}

static void begin(size_t count, int64_t ttl_ms)
{
    rlk_lock_config anna = rlk_lock_config_default();
    rlk_lock_config bert = rlk_lock_config_default();
    rlk_lock_config asks = rlk_lock_config_default();

    anna.ttl_ms = bert.ttl_ms = ttl_ms;
    anna.holders = memory[0];
    bert.holders = memory[1];
    anna.token_prefix = ANNA;
    bert.token_prefix = BERT;
    election_open(&both, count, &anna, &bert);
    asks.holders = memory[2];
    assert_result(rlk_lock_init(&asker, &both.second.posix.client, ELECTION_KEY, &asks), RLK_OK);
}

/* Puts a value in the key of all nodes; ttl_ms 0: without expiry. */
static void put(const char *value, int64_t ttl_ms)
{
    size_t i;

    for (i = 0; i < both.first.count; i++) {
        server_do(both.first.servers[i], "SET service %s", value);
        if (ttl_ms > 0)
            assert_int_equal(
                server_integer(both.first.servers[i], "PEXPIRE service %lld", (long long)ttl_ms),
                1);
    }
}

static rlk_result ask_with(rlk_lock *lock, rlk_leader_info *leader)
{
    rlk_holder *holders = memory[lock == &asker ? 2 : lock == &both.bert];
    rlk_result result = rlk_query(lock, holders, both.first.count);

    assert_true(result == RLK_OK || result == RLK_NOT_HELD);
    return rlk_leader(lock, leader);
}

static rlk_result ask(rlk_leader_info *leader)
{
    return ask_with(&asker, leader);
}

static void assert_name(const rlk_leader_info *leader, const char *name)
{
    assert_int_equal(leader->name_len, strlen(name));
    assert_memory_equal(leader->token, name, strlen(name));
    assert_int_equal(strlen(leader->token), strlen(name) + RLK_TOKEN_DIGITS);
}

/* ---- */

static void test_leader_is_named_by_the_prefix(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_leader_info leader = {0};
        int64_t before_ms;

        begin(sizes[i], TTL_MS);
        assert_result(ask(&leader), RLK_NOT_HELD);
        assert_false(leader.known);
        before_ms = now_ms();
        election_lead(&both.anna, &both.first.posix);
        assert_result(ask(&leader), RLK_OK);
        assert_true(leader.known);
        assert_false(leader.ours);
        assert_name(&leader, ANNA);
        assert_between(leader.since_ms, before_ms, now_ms());
        assert_between(leader.until_ms, before_ms + TTL_MS - 2, now_ms() + TTL_MS);
        assert_result(rlk_resign(&both.anna), RLK_OK);
        assert_result(ask(&leader), RLK_NOT_HELD);
        assert_false(leader.known);
        election_close(&both);
    }
}

/* Seen first, and so since at least; of ours it is known better. */
static void test_leader_since_when(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_leader_info leader = {0};
        rlk_leader_info own = {0};
        int64_t since_ms;
        int64_t before_ms;
        int64_t after_ms;

        begin(sizes[i], TTL_MS);
        before_ms = now_ms();
        election_lead(&both.anna, &both.first.posix);
        after_ms = now_ms();
        let_time_pass();
        assert_result(ask(&leader), RLK_OK);
        assert_true(leader.since_ms > after_ms);
        since_ms = leader.since_ms;

        /* the same, though renewed, and asked later */
        let_time_pass();
        assert_result(rlk_renew(&both.anna, 2 * TTL_MS), RLK_OK);
        assert_result(ask(&leader), RLK_OK);
        assert_int_equal(leader.since_ms, since_ms);
        assert_between(leader.until_ms, since_ms + 2 * TTL_MS - 2, now_ms() + 2 * TTL_MS);

        assert_result(ask_with(&both.anna, &own), RLK_OK);
        assert_true(own.known && own.ours);
        assert_name(&own, ANNA);
        assert_between(own.since_ms, before_ms, after_ms);
        assert_result(ask_with(&both.anna, &own), RLK_OK);
        assert_between(own.since_ms, before_ms, after_ms);
        election_close(&both);
    }
}

/* The same name again, but not the same time of leading. */
static void test_leader_again_is_new(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_leader_info leader = {0};
        rlk_leader_info own = {0};
        int64_t since_ms;
        size_t k;

        begin(sizes[i], TTL_MS);
        election_lead(&both.anna, &both.first.posix);
        assert_result(ask(&leader), RLK_OK);
        assert_result(ask_with(&both.anna, &own), RLK_OK);
        since_ms = leader.since_ms;
        let_time_pass();
        for (k = 0; k < both.first.count; k++)
            assert_int_equal(server_integer(both.first.servers[k], "DEL service"), 1);
        assert_event(&both.first.posix, RLK_EV_LOST, RLK_LOST);
        assert_event(&both.first.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_result(ask(&leader), RLK_OK);
        assert_name(&leader, ANNA);
        assert_true(leader.since_ms > since_ms);
        assert_result(ask_with(&both.anna, &own), RLK_OK);
        assert_true(own.ours);
        assert_true(own.since_ms > since_ms && own.since_ms <= leader.since_ms);
        election_close(&both);
    }
}

/* The leader dies; the next one's name is seen, and since when. */
static void test_leader_after_a_failover(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        rlk_leader_info leader = {0};
        int64_t seen_ms;

        begin(sizes[i], INT64_C(500) * support_time_factor());
        election_lead(&both.anna, &both.first.posix);
        assert_result(rlk_campaign_start(&both.bert), RLK_PENDING);
        assert_result(ask(&leader), RLK_OK);
        assert_name(&leader, ANNA);
        nodes_close(&both.first); /* as kill -9: it gives nothing back */
        seen_ms = now_ms();
        assert_event(&both.second.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_result(ask(&leader), RLK_OK);
        assert_name(&leader, BERT);
        assert_true(leader.since_ms > seen_ms);
        assert_true(leader.ours); /* of the client that asks, though by another lock */
        assert_result(ask_with(&both.bert, &leader), RLK_OK);
        assert_true(leader.ours);
        election_close(&both);
    }
}

static void test_leader_with_foreign_tokens(void **state)
{
    static const struct {
        size_t len;
        bool known;
        size_t name_len;
    } cases[] = {
        {1, true, 0},
        {32, true, 0}, /* redis-py's */
        {RLK_TOKEN_DIGITS, true, 0},
        {RLK_TOKEN_DIGITS + 1, true, 1},
        {RLK_TOKEN_MAX, true, RLK_PREFIX_MAX},
        {RLK_TOKEN_MAX + 1, false, 0},
        {3000, false, 0}, /* more than the receive buffer */
    };
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        begin(sizes[i], TTL_MS);
        for (k = 0; k < COUNT_OF(cases); k++) {
            rlk_leader_info leader = {0};
            char value[3001];

            memset(value, 'x', cases[k].len);
            value[cases[k].len] = '\0';
            put(value, 0);
            assert_result(ask(&leader), cases[k].known ? RLK_OK : RLK_NOT_HELD);
            assert_true(leader.known == cases[k].known);
            if (cases[k].known) {
                assert_int_equal(leader.name_len, cases[k].name_len);
                assert_string_equal(leader.token, value);
                assert_true(leader.until_ms == RLK_NEVER);
                assert_false(leader.ours);
            }
        }
        election_close(&both);
    }
}

/* A name, then a longer one that begins with it, then one with a NUL: others, each. */
static void test_leader_another_token_is_another_leader(void **state)
{
    rlk_leader_info leader = {0};
    int64_t since_ms;

    (void)state;
    begin(1, TTL_MS);
    put("x", 0);
    assert_result(ask(&leader), RLK_OK);
    since_ms = leader.since_ms;
    let_time_pass();
    put("xy", 0);
    assert_result(ask(&leader), RLK_OK);
    assert_true(leader.since_ms > since_ms);
    since_ms = leader.since_ms;
    let_time_pass();
    server_do(both.first.servers[0], "SET service %b", "xy\0z", (size_t)4);
    assert_result(ask(&leader), RLK_OK);
    assert_true(leader.since_ms > since_ms);
    since_ms = leader.since_ms;
    let_time_pass();
    assert_result(ask(&leader), RLK_OK);
    assert_int_equal(leader.since_ms, since_ms);
    election_close(&both);
}

/* The lease ends when a quorum is free, not when the last node is, nor the both.first. */
static void test_leader_until_a_quorum_is_free(void **state)
{
    static const int64_t ttls_ms[] = {60000, 5000, 20000};
    rlk_leader_info leader = {0};
    int64_t before_ms;
    size_t i;

    (void)state;
    begin(3, TTL_MS);
    put("somebody", 0);
    before_ms = now_ms();
    for (i = 0; i < 3; i++)
        assert_int_equal(
            server_integer(both.first.servers[i], "PEXPIRE service %lld", (long long)ttls_ms[i]),
            1);
    assert_result(ask(&leader), RLK_OK);
    assert_between(leader.until_ms, before_ms + 20000 - 2, now_ms() + 20000);

    /* one has no expiry, then a quorum */
    assert_int_equal(server_integer(both.first.servers[1], "PERSIST service"), 1);
    assert_result(ask(&leader), RLK_OK);
    assert_between(leader.until_ms, before_ms + 60000 - 2, now_ms() + 60000);
    assert_int_equal(server_integer(both.first.servers[0], "PERSIST service"), 1);
    assert_result(ask(&leader), RLK_OK);
    assert_true(leader.until_ms == RLK_NEVER);

    /* who is on one node does not count */
    server_do(both.first.servers[0], "SET service usurper PX 1000");
    assert_result(ask(&leader), RLK_OK);
    assert_string_equal(leader.token, "somebody");
    server_do(both.first.servers[1], "SET service another");
    assert_result(ask(&leader), RLK_NOT_HELD);
    assert_false(leader.known);
    election_close(&both);
}

static void test_leader_without_an_answer(void **state)
{
    rlk_leader_info leader = {0};

    (void)state;
    begin(1, TTL_MS);
    put("somebody", 0);
    assert_result(ask(&leader), RLK_OK);
    assert_int_equal(server_integer(both.first.servers[0], "DEL service"), 1);
    assert_int_equal(server_integer(both.first.servers[0], "RPUSH service x"), 1);
    assert_result(rlk_query(&asker, memory[2], 1), RLK_E_WRONGTYPE);
    assert_result(rlk_leader(&asker, &leader), RLK_NOT_HELD);
    assert_false(leader.known);
    election_close(&both);
}

static void test_leader_refuses_wrong_arguments(void **state)
{
    rlk_leader_info leader = {0};
    rlk_lock closed;
    pid_t pid;

    (void)state;
    begin(1, TTL_MS);
    put("somebody", 0);
    assert_result(rlk_query(&asker, memory[2], 1), RLK_OK);
    assert_result(rlk_leader(NULL, &leader), RLK_E_ARGUMENT);
    assert_result(rlk_leader(&asker, NULL), RLK_E_ARGUMENT);
    memset(&closed, 0, sizeof closed);
    assert_result(rlk_leader(&closed, &leader), RLK_E_CLOSED);
    assert_false(leader.known);
    pid = child_fork();
    if (pid == 0)
        _exit(rlk_leader(&asker, &leader) == RLK_E_FORKED && !leader.known ? 0 : 1);
    assert_int_equal(child_exit_code(pid), 0);
    assert_result(rlk_leader(&asker, &leader), RLK_OK);
    rlk_lock_close(&asker);
    assert_result(rlk_leader(&asker, &leader), RLK_E_CLOSED);
    election_close(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_leader_is_named_by_the_prefix),
        support_test(test_leader_since_when),
        support_test(test_leader_again_is_new),
        support_test(test_leader_after_a_failover),
        support_test(test_leader_with_foreign_tokens),
        support_test(test_leader_another_token_is_another_leader),
        support_test(test_leader_until_a_quorum_is_free),
        support_test(test_leader_without_an_answer),
        support_test(test_leader_refuses_wrong_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
