/* SPDX-License-Identifier: MIT
 *
 * rlk_leader: what nodes said last of the leader (election.c).
 */
#include "harness.h"

#include "lock/epoch.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789012345678901234567890123456789"

static harness h;

/* An answer of a node. ttl_ms -2: nothing is there. */
static void set_holder(rlk_holder *holder, const char *token, int64_t ttl_ms)
{
    memset(holder, 0, sizeof *holder);
    holder->result = RLK_OK;
    holder->ttl_ms = ttl_ms;
    holder->answered_ms = h.now_ms;
    holder->token_len = (uint32_t)strlen(token);
    (void)snprintf(holder->token, sizeof holder->token, "%s", token);
}

/* By a lock that was configured with that memory. */
static rlk_result leader_by(rlk_lock *lock, rlk_holder *holders, rlk_leader_info *leader)
{
    lock->holders = holders;
    return rlk_leader(lock, leader);
}

/* A query by another lock for the key, answered. */
static void ask(rlk_lock *lock, rlk_holder *holders, rlk_result expected)
{
    unsigned i;
    rlk_event event;

    assert_result(rlk_query_start(lock, holders, h.nodes), RLK_PENDING);
    for (i = 0; i < h.nodes; i++)
        harness_serve(&h, i);
    assert_true(rlk_client_next_event(h.client, &event));
    assert_ptr_equal(event.lock, lock);
    assert_result(event.result, expected);
}

static void test_election_leader_is_another(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    rlk_leader_info leader;

    (void)state;
    memset(&leader, 0, sizeof leader);
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    ask(&lock, &holder, RLK_NOT_HELD);
    assert_result(leader_by(&lock, &holder, &leader), RLK_NOT_HELD);
    assert_false(leader.known);

    harness_put(&h, 0, HARNESS_KEY, "10.0.0.1:80 " DIGITS, 5000);
    harness_advance(&h, 100);
    ask(&lock, &holder, RLK_OK);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_true(leader.known);
    assert_false(leader.ours);
    assert_int_equal(leader.name_len, 12);
    assert_memory_equal(leader.token, "10.0.0.1:80 ", 12);
    assert_int_equal(leader.since_ms, HARNESS_START + 100); /* seen first then */
    assert_int_equal(leader.until_ms, HARNESS_START + 5000);

    /* the same, later: it has led since, and was renewed */
    harness_advance(&h, 1000);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->expiry_ms = HARNESS_START + 9000;
    ask(&lock, &holder, RLK_OK);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_int_equal(leader.since_ms, HARNESS_START + 100);
    assert_int_equal(leader.until_ms, HARNESS_START + 9000);

    /* another one */
    harness_put(&h, 0, HARNESS_KEY, "10.0.0.2:80 " DIGITS, -1);
    harness_advance(&h, 1000);
    ask(&lock, &holder, RLK_OK);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_int_equal(leader.since_ms, HARNESS_START + 2100);
    assert_int_equal(leader.until_ms, RLK_NEVER);
    holder.ttl_ms = INT64_MAX; /* a server may say so */
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_int_equal(leader.until_ms, RLK_NEVER);

    /* none, and then the same again: it may have been another's meanwhile */
    harness_delete(&h, 0, HARNESS_KEY);
    ask(&lock, &holder, RLK_NOT_HELD);
    assert_result(leader_by(&lock, &holder, &leader), RLK_NOT_HELD);
    harness_put(&h, 0, HARNESS_KEY, "10.0.0.2:80 " DIGITS, -1);
    harness_advance(&h, 1000);
    ask(&lock, &holder, RLK_OK);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_int_equal(leader.since_ms, HARNESS_START + 3100);
}

/* It is we: since it was acquired, though it is asked for later. */
static void test_election_leader_is_this_client(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    rlk_holder holder;
    rlk_leader_info leader;

    (void)state;
    memset(&leader, 0, sizeof leader);
    config.token_prefix = "me";
    harness_start(&h, 1);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    harness_advance(&h, 10);
    assert_result(rlk_campaign_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_advance(&h, 500);
    ask(&lock, &holder, RLK_OK);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_true(leader.known && leader.ours);
    assert_int_equal(leader.since_ms, HARNESS_START + 10);
    assert_int_equal(leader.until_ms, HARNESS_START + 10 + RLK_TTL_MS);
    assert_int_equal(leader.name_len, 2);
    /* the token is still there, but we lead no more: what is known stays */
    harness_advance(&h, 10);
    rlki_client_advance(h.client, h.now_ms);
    assert_result(rlk_resign_start(&lock), RLK_PENDING);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_false(leader.ours);
    assert_int_equal(leader.since_ms, HARNESS_START + 10);
    memset(&leader, 0, sizeof leader);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_int_equal(leader.since_ms, HARNESS_START + 520);
}

/* A lock of ours holds the key, as far as it knows; but it is another's token that is there. */
static void test_election_leader_is_not_who_held_it_here(void **state)
{
    static const char *const tokens[] = {"9" DIGITS, DIGITS};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(tokens)); i++) {
        rlk_lock lock;
        rlk_lock asking;
        rlk_holder holder;
        rlk_leader_info leader;

        memset(&leader, 0, sizeof leader);
        harness_start(&h, 1);
        harness_held(&h, &lock, 30000);
        harness_lock(&h, &asking, 30000);
        harness_advance(&h, 100);
        ask(&asking, &holder, RLK_OK);
        assert_result(leader_by(&asking, &holder, &leader), RLK_OK);
        assert_true(leader.ours); /* another lock of this client has it */
        assert_int_equal(leader.since_ms, HARNESS_START);
        harness_put(&h, 0, HARNESS_KEY, tokens[i], 1000);
        ask(&asking, &holder, RLK_OK);
        assert_result(leader_by(&asking, &holder, &leader), RLK_OK);
        assert_false(leader.ours);
        assert_int_equal(leader.since_ms, HARNESS_START + 100);
    }
}

/* What is before the last 40 bytes is a name; what others put there has none. */
static void test_election_leader_name(void **state)
{
    static const struct {
        const char *token;
        unsigned name_len;
    } rows[] = {
        {"host-7" DIGITS, 6},
        {DIGITS, 0},
        {"0123456789abcdef0123456789abcdef", 0}, /* redis-py's */
        {"", 0},
        {"x", 0},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        rlk_holder holder;
        rlk_leader_info leader;

        support_row_name("%s", rows[i].token);
        memset(&leader, 0, sizeof leader);
        harness_start(&h, 1);
        harness_lock(&h, &lock, 30000);
        harness_put(&h, 0, HARNESS_KEY, rows[i].token, 1000);
        ask(&lock, &holder, RLK_OK);
        assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
        assert_int_equal(leader.name_len, rows[i].name_len);
        assert_string_equal(leader.token, rows[i].token);
    }
}

/* Longer than any token: of no leader; nor does it stay one that was known. */
static void test_election_leader_has_no_token(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    rlk_leader_info leader;

    (void)state;
    memset(&leader, 0, sizeof leader);
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    set_holder(&holder, "a" DIGITS, 1000);
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    holder.token_len = RLK_TOKEN_MAX;
    assert_result(leader_by(&lock, &holder, &leader), RLK_OK);
    assert_int_equal(leader.name_len, RLK_PREFIX_MAX);
    holder.token_len = RLK_TOKEN_MAX + 1;
    assert_result(leader_by(&lock, &holder, &leader), RLK_NOT_HELD);
    assert_false(leader.known);
}

/* Of several nodes a quorum has to agree, and it leads for as long as a quorum has its token. */
static void test_election_leader_by_several_nodes(void **state)
{
    /* per node: a, b a token; - nothing; e an error */
    static const struct {
        const char *tokens;
        int64_t ttl_ms[5];
        rlk_result result;
        int64_t left_ms; /* RLK_NEVER: without end */
    } rows[] = {
        {"aaa", {1000, 3000, 5000}, RLK_OK, 3000},
        {"aaa", {5000, 1000, 3000}, RLK_OK, 3000},
        {"aab", {1000, 3000, 9000}, RLK_OK, 1000},
        {"baa", {9000, 1000, 3000}, RLK_OK, 1000},
        {"a-a", {1000, 0, 3000}, RLK_OK, 1000},
        {"eaa", {0, 1000, 3000}, RLK_OK, 1000},
        {"aaa", {-1, -1, 3000}, RLK_OK, RLK_NEVER},
        {"aaa", {-1, 1000, 3000}, RLK_OK, 3000},
        {"aaa", {-1, 0, 0}, RLK_OK, 0},
        {"ab-", {1000, 1000, 0}, RLK_NOT_HELD, 0},
        {"aee", {1000, 0, 0}, RLK_NOT_HELD, 0},
        {"---", {0}, RLK_NOT_HELD, 0},
        {"aaabb", {1000, 2000, 3000, 9000, 9000}, RLK_OK, 1000},
        {"babaa", {9000, 1000, 9000, 2000, 3000}, RLK_OK, 1000},
        {"aaaaa", {1000, 2000, 3000, 4000, 5000}, RLK_OK, 3000},
        {"aabb-", {1000, 1000, 1000, 1000, 0}, RLK_NOT_HELD, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        unsigned n = (unsigned)strlen(rows[i].tokens);
        rlk_holder holders[RLK_MAX_NODES];
        rlk_lock lock;
        rlk_leader_info leader;
        unsigned k;

        support_row_name("%s", rows[i].tokens);
        memset(&leader, 0, sizeof leader);
        harness_start(&h, n);
        harness_lock(&h, &lock, 30000);
        for (k = 0; k < n; k++) {
            char token[2] = {rows[i].tokens[k], '\0'};

            set_holder(&holders[k], token[0] == '-' ? "" : token,
                       token[0] == '-' ? -2 : rows[i].ttl_ms[k]);
            if (token[0] == 'e')
                holders[k].result = RLK_E_CONNECT;
        }
        assert_result(leader_by(&lock, holders, &leader), rows[i].result);
        assert_int_equal(leader.known, rows[i].result == RLK_OK);
        if (rows[i].result != RLK_OK)
            continue;
        assert_string_equal(leader.token, "a");
        if (rows[i].left_ms == RLK_NEVER)
            assert_int_equal(leader.until_ms, RLK_NEVER);
        else
            assert_int_equal(leader.until_ms, h.now_ms + rows[i].left_ms);
    }
}

static void test_election_leader_is_refused(void **state)
{
    rlk_lock lock;
    rlk_holder holder;
    rlk_leader_info leader;

    (void)state;
    memset(&leader, 0, sizeof leader);
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    set_holder(&holder, "a", 1000);
    assert_result(rlk_leader(NULL, &leader), RLK_E_ARGUMENT);
    assert_result(rlk_leader(&lock, NULL), RLK_E_ARGUMENT);
    h.forked = true;
    assert_result(leader_by(&lock, &holder, &leader), RLK_E_FORKED);
    h.forked = false;
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_result(leader_by(&lock, &holder, &leader), RLK_E_CLOSED);
    assert_false(leader.known);
}

/* Asked before the lock itself has noticed that its lease is over. */
static void test_election_leader_whose_lease_is_over(void **state)
{
    rlk_lock lock;
    rlk_lock asks;
    rlk_holder holder;
    rlk_leader_info leader;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_campaign_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    harness_lock(&h, &asks, 30000);
    assert_result(rlk_query_start(&asks, &holder, 1), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_QUERY, RLK_OK);
    memset(&leader, 0, sizeof leader);
    assert_result(leader_by(&asks, &holder, &leader), RLK_OK);
    assert_true(leader.known && leader.ours);
    h.now_ms += 30000;
    (void)leader_by(&asks, &holder, &leader);
    assert_false(leader.ours);
    assert_false(rlk_is_held(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_election_leader_is_another),
        cmocka_unit_test(test_election_leader_is_this_client),
        cmocka_unit_test(test_election_leader_is_not_who_held_it_here),
        cmocka_unit_test(test_election_leader_name),
        cmocka_unit_test(test_election_leader_has_no_token),
        cmocka_unit_test(test_election_leader_by_several_nodes),
        cmocka_unit_test(test_election_leader_is_refused),
        cmocka_unit_test(test_election_leader_whose_lease_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
