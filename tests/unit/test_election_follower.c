/* SPDX-License-Identifier: MIT
 *
 * rlk_leader of a follower: its campaign itself has the nodes say who holds the key, where it has
 * memory for that (election.c).
 */
#include "lock_tracked.h"

#include "lock/clock.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789012345678901234567890123456789"
#define ANNA   "anna:" DIGITS
#define BERT   "bert:" DIGITS

static harness h;
static rlk_holder memory[2][RLK_MAX_NODES];
static rlk_leader_info leader;

/* A lock that campaigns behind the key of another process on all nodes; not answered yet. */
static void campaign(rlk_lock *lock, rlk_holder *holders)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.holders = holders;
    config.token_prefix = "me:";
    config.report_ms = RLK_TIME_LIMIT_MAX;
    assert_result(rlk_lock_init(lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_campaign_start(lock), RLK_PENDING);
    harness_run(&h);
}

static void begin(unsigned nodes, int64_t ttl_ms)
{
    unsigned i;

    memset(&h.config, 0, sizeof h.config);
    memset(&leader, 0, sizeof leader);
    memset(memory, 0x5a, sizeof memory);
    tracked_start(&h, nodes, 2);
    for (i = 0; i < nodes; i++)
        harness_put(&h, i, HARNESS_KEY, ANNA, ttl_ms);
}

static void serve(void)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++)
        harness_serve(&h, i);
}

static void put_by_another(const char *token, int64_t ttl_ms)
{
    unsigned i;

    for (i = 0; i < h.nodes; i++) {
        harness_put(&h, i, HARNESS_KEY, token, ttl_ms);
        harness_push(harness_link_of(&h, i), HARNESS_KEY);
    }
}

static void expect_leader(rlk_lock *lock, const char *token, int64_t since_ms, int64_t until_ms)
{
    assert_result(rlk_leader(lock, &leader), RLK_OK);
    assert_true(leader.known);
    assert_false(leader.ours);
    assert_string_equal(leader.token, token);
    assert_int_equal(leader.name_len, strlen(token) - RLK_TOKEN_DIGITS);
    assert_int_equal(leader.since_ms, since_ms);
    assert_int_equal(leader.until_ms, until_ms);
}

static void expect_nobody(rlk_lock *lock)
{
    assert_result(rlk_leader(lock, &leader), RLK_NOT_HELD);
    assert_false(leader.known);
    assert_false(leader.ours);
}

/* A value that is longer than a token can be is nobody's name, however often it is seen. */
static void test_election_follower_value_that_is_no_token(void **state)
{
    char value[RLK_TOKEN_MAX + 8];
    rlk_lock lock;
    unsigned i;

    (void)state;
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    begin(1, 5000);
    put_by_another(value, 5000);
    campaign(&lock, memory[0]);
    for (i = 0; i < 3; i++) {
        serve();
        expect_nobody(&lock);
        harness_advance(&h, 1000);
        put_by_another(value, 5000);
    }
}

/* Behind a leader, who renews, is followed by another, and by the follower itself. */
static void test_election_follower_knows_who_leads(void **state)
{
    static const unsigned sizes[] = {1, 3, 5};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        rlk_lock lock;
        int64_t since_ms;
        unsigned n;

        begin(sizes[i], 5000);
        campaign(&lock, memory[0]);
        expect_nobody(&lock); /* not known yet */
        serve();
        expect_leader(&lock, ANNA, HARNESS_START, HARNESS_START + 5000);

        harness_advance(&h, 1000);
        put_by_another(ANNA, 5000); /* it renews */
        serve();
        harness_advance(&h, 20);
        serve();
        since_ms = h.now_ms;
        assert_result(rlk_leader(&lock, &leader), RLK_OK);
        assert_int_equal(leader.since_ms, HARNESS_START);
        assert_int_equal(leader.until_ms, HARNESS_START + 6000);

        harness_advance(&h, 1000);
        put_by_another(BERT, -1);
        serve();
        harness_advance(&h, 20);
        serve();
        assert_result(rlk_leader(&lock, &leader), RLK_OK);
        assert_string_equal(leader.token, BERT);
        assert_true(leader.since_ms > since_ms);
        assert_int_equal(leader.until_ms, RLK_NEVER);
        harness_expect_no_event(&h);

        for (n = 0; n < h.nodes; n++)
            harness_delete(&h, n, HARNESS_KEY);
        tracked_automatic(&h, true);
        harness_advance(&h, 100);
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_result(rlk_leader(&lock, &leader), RLK_OK);
        assert_true(leader.known && leader.ours);
        assert_int_equal(leader.name_len, 3);
        assert_memory_equal(leader.token, "me:", 3);
        assert_int_equal(leader.until_ms, rlk_valid_until_ms(&lock));
    }
}

/* Executes the oldest command at a node, and delivers its reply. */
static void answer(unsigned node)
{
    harness_run(&h);
    assert_true(harness_execute(harness_link_of(&h, node)));
    assert_true(harness_deliver(harness_link_of(&h, node)));
}

/* Behind a nil GET and PTTL are one question: who holds the key, for how long, and the server
 * notifies from then on. */
static void test_election_follower_asks_once_an_attempt(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    begin(1, 60000);
    campaign(&lock, memory[0]);
    for (i = 1; i <= 4; i++) {
        serve();
        harness_expect_quiet(&h, 0);
        assert_int_equal(h.servers[0].count[HARNESS_SET], i);
        assert_int_equal(h.servers[0].count[HARNESS_GET], i);
        assert_int_equal(h.servers[0].count[HARNESS_PTTL], i);
        expect_leader(&lock, ANNA, HARNESS_START, h.now_ms + 60000);
        harness_advance(&h, 1000);
        put_by_another(ANNA, 60000); /* it renews */
    }
}

/* The key changes hands between GET and PTTL: who has it now is asked again, and nothing else. */
static void test_election_follower_sees_a_change_between_token_and_ttl(void **state)
{
    rlk_lock lock;

    (void)state;
    begin(1, 60000);
    campaign(&lock, memory[0]);
    answer(0); /* SET */
    answer(0); /* GET */
    put_by_another(BERT, 30000);
    serve();
    expect_leader(&lock, BERT, HARNESS_START, HARNESS_START + 30000);
    harness_expect_quiet(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_SET], 1);
    assert_int_equal(h.servers[0].count[HARNESS_GET], 2);
}

/* What is known stays while the same question is under way again, in two halves or not at all. */
static void test_election_follower_does_not_forget(void **state)
{
    rlk_lock lock;
    unsigned i;

    (void)state;
    begin(1, 60000);
    campaign(&lock, memory[0]);
    serve();
    expect_leader(&lock, ANNA, HARNESS_START, HARNESS_START + 60000);
    harness_advance(&h, 100);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    for (i = 0; i < 3; i++) { /* SET; GET, PTTL */
        answer(0);
        expect_leader(&lock, ANNA, HARNESS_START, HARNESS_START + 60000);
    }
    harness_expect_quiet(&h, 0);
    assert_int_equal(h.servers[0].count[HARNESS_GET], 2);
    assert_int_equal(memory[0][0].answered_ms, h.now_ms);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_run(&h);
    harness_cut(&h, 0);
    expect_leader(&lock, ANNA, HARNESS_START, HARNESS_START + 60000);
}

/* What is known ends with the lease, unless it was seen to be renewed. */
static void test_election_follower_does_not_believe_an_old_answer(void **state)
{
    rlk_lock lock;

    (void)state;
    begin(1, 5000);
    campaign(&lock, memory[0]);
    serve();
    expect_leader(&lock, ANNA, HARNESS_START, HARNESS_START + 5000);
    harness_link_of(&h, 0)->stuck = true;
    harness_advance(&h, 4900);
    expect_leader(&lock, ANNA, HARNESS_START, HARNESS_START + 5000);
    harness_advance(&h, 101);
    expect_nobody(&lock);
}

/* Where no server notifies, each attempt asks anew. */
static void test_election_follower_without_tracking(void **state)
{
    static const unsigned sizes[] = {1, 3};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        rlk_lock lock;
        unsigned n;

        memset(&h.config, 0, sizeof h.config);
        memset(&leader, 0, sizeof leader);
        harness_open(&h, sizes[i], 1);
        harness_advance(&h, 0);
        assert_false(rlk_conn_is_tracking(&harness_link_of(&h, 0)->conn));
        for (n = 0; n < h.nodes; n++)
            harness_put(&h, n, HARNESS_KEY, ANNA, -1);
        campaign(&lock, memory[0]);
        serve();
        expect_leader(&lock, ANNA, HARNESS_START, RLK_NEVER);
        for (n = 0; n < h.nodes; n++)
            harness_put(&h, n, HARNESS_KEY, BERT, -1);
        tracked_automatic(&h, true);
        harness_advance(&h, 2 * RLK_RETRY_MAX_MS);
        assert_result(rlk_leader(&lock, &leader), RLK_OK);
        assert_string_equal(leader.token, BERT);
    }
}

/* A follower without memory sends what any waiter sends. */
static void test_election_follower_without_memory_asks_nothing(void **state)
{
    static const unsigned sizes[] = {1, 3};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        unsigned with;

        for (with = 0; with < 2; with++) {
            rlk_lock lock;
            unsigned n;

            begin(sizes[i], -1);
            campaign(&lock, with != 0 ? memory[0] : NULL);
            serve();
            for (n = 0; n < h.nodes; n++)
                assert_int_equal(h.servers[n].count[HARNESS_GET], with);
            if (with == 0)
                expect_nobody(&lock);
        }
    }
}

/* A lock that only waits has no use for it. */
static void test_election_waiter_asks_nothing(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;

    (void)state;
    begin(1, -1);
    config.holders = memory[0];
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    serve();
    assert_int_equal(h.servers[0].count[HARNESS_GET], 0);
}

/* The key comes free before GET, between GET and PTTL, or behind both: the SET follows at once. */
static void test_election_follower_hand_over_is_not_delayed(void **state)
{
    unsigned answers;

    (void)state;
    for (answers = 1; answers <= 3; answers++) {
        rlk_lock lock;
        unsigned i;

        begin(1, -1);
        campaign(&lock, memory[0]);
        for (i = 0; i < answers; i++) /* SET; GET, PTTL */
            answer(0);
        harness_run(&h);
        harness_delete(&h, 0, HARNESS_KEY);
        serve();
        harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
        assert_int_equal(h.now_ms, HARNESS_START);
        assert_int_equal(h.servers[0].count[HARNESS_SET], 2);
        assert_int_equal(h.servers[0].count[HARNESS_PTTL], 1);
        assert_result(rlk_leader(&lock, &leader), RLK_OK);
        assert_true(leader.ours);
    }
}

/* The stream ends before the answer, or between its halves: the next one has it. */
static void test_election_follower_asks_the_next_stream(void **state)
{
    static const unsigned sizes[] = {1, 3};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, 2 * COUNT_OF(sizes)); i++) {
        bool half = i % 2 != 0;
        rlk_lock lock;
        unsigned n;

        begin(sizes[i / 2], -1);
        campaign(&lock, memory[0]);
        for (n = 0; n < h.nodes; n++) {
            answer(n); /* SET */
            if (half)
                answer(n); /* GET */
        }
        harness_run(&h);
        for (n = 0; n < h.nodes; n++)
            harness_cut(&h, n);
        expect_nobody(&lock);
        tracked_automatic(&h, true);
        harness_advance(&h, 2 * RLK_BACKOFF_MAX_MS);
        assert_result(rlk_leader(&lock, &leader), RLK_OK);
        assert_string_equal(leader.token, ANNA);
    }
}

/* An answer that is an error is no leader; the campaign goes on. */
static void test_election_follower_of_a_refused_question(void **state)
{
    rlk_lock lock;

    (void)state;
    begin(1, -1);
    campaign(&lock, memory[0]);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_run(&h);
    harness_reply(&h, 0, HARNESS_NOPERM);
    harness_reply(&h, 0, ":-1\r\n");
    assert_result(memory[0][0].result, RLK_E_NOPERM);
    expect_nobody(&lock);
    harness_expect_no_event(&h);
    assert_int_equal(rlk_lock_operation(&lock), RLK_OP_ACQUIRE);
    harness_expect_quiet(&h, 0); /* not asked again at once */
}

/* Locks of one client: those in the queue know what its first knows, and who of them leads. */
static void test_election_follower_in_a_queue(void **state)
{
    rlk_lock first;
    rlk_lock second;
    rlk_lock third;

    (void)state;
    begin(1, -1);
    campaign(&first, memory[0]);
    campaign(&second, memory[1]);
    campaign(&third, NULL);
    serve();
    assert_int_equal(h.servers[0].count[HARNESS_GET], 1);
    expect_leader(&first, ANNA, HARNESS_START, RLK_NEVER);
    expect_leader(&second, ANNA, HARNESS_START, RLK_NEVER);
    expect_leader(&third, ANNA, HARNESS_START, RLK_NEVER);

    harness_delete(&h, 0, HARNESS_KEY);
    tracked_automatic(&h, true);
    harness_advance(&h, 10);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&first));
    assert_result(rlk_leader(&second, &leader), RLK_OK);
    assert_true(leader.ours);
    assert_result(rlk_leader(&third, &leader), RLK_OK);
    assert_true(leader.ours);
    assert_int_equal(leader.since_ms, first.as.hold.since_ms);
}

/* The next in the queue asks all nodes, and an attempt at the gate takes a question back: what the
 * server notified meanwhile is not forgotten with it (seed 425 of the simulator's calm). */
static void test_election_follower_keeps_what_was_notified_behind_a_question(void **state)
{
    rlk_lock first;
    rlk_lock second;

    (void)state;
    begin(3, -1);
    campaign(&first, memory[0]);
    campaign(&second, memory[1]);
    serve();
    assert_result(rlk_cancel(&first), RLK_OK);
    harness_run(&h);
    (void)harness_expect(&h, 2, HARNESS_GET);
    harness_delete(&h, 0, HARNESS_KEY);
    harness_delete(&h, 1, HARNESS_KEY);
    harness_push(harness_link_of(&h, 2), HARNESS_KEY);
    harness_run(&h);
    harness_serve(&h, 1);
    answer(0); /* GET */
    answer(0); /* PTTL */
    harness_run(&h);
    (void)harness_expect(&h, 0, HARNESS_SET);
    assert_int_equal(second.nodes[2].request.tag, 0); /* nothing is under way */
    assert_int_equal(second.as.wait.recheck_cause[2], RLK_CAUSE_PUSH);
    assert_int_equal(rlki_client_clock_of(h.client, second.as.wait.recheck_at_ms[2]), h.now_ms);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_election_follower_knows_who_leads),
        cmocka_unit_test(test_election_follower_value_that_is_no_token),
        cmocka_unit_test(test_election_follower_asks_once_an_attempt),
        cmocka_unit_test(test_election_follower_sees_a_change_between_token_and_ttl),
        cmocka_unit_test(test_election_follower_does_not_forget),
        cmocka_unit_test(test_election_follower_does_not_believe_an_old_answer),
        cmocka_unit_test(test_election_follower_without_tracking),
        cmocka_unit_test(test_election_follower_without_memory_asks_nothing),
        cmocka_unit_test(test_election_waiter_asks_nothing),
        cmocka_unit_test(test_election_follower_hand_over_is_not_delayed),
        cmocka_unit_test(test_election_follower_asks_the_next_stream),
        cmocka_unit_test(test_election_follower_of_a_refused_question),
        cmocka_unit_test(test_election_follower_in_a_queue),
        cmocka_unit_test(test_election_follower_keeps_what_was_notified_behind_a_question),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
