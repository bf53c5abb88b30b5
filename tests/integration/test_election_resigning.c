/* SPDX-License-Identifier: MIT
 *
 * rlk_resign in each state of a candidacy, blocking and started, on real servers.
 */
#include "child.h"
#include "election.h"
#include "proxied.h"

#include <string.h>
#include <unistd.h>

/* Tests that mean no renewal see none. */
#define TTL_MS (INT64_C(30000) * support_time_factor())

#define A (&both.first.posix)
#define B (&both.second.posix)

static election both;
static rlk_lock alba; /* of the same client as anna */
static bool started;  /* which form of rlk_resign */

static void begin(size_t count)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = TTL_MS;
    election_open(&both, count, &config, &config);
    assert_result(rlk_lock_init(&alba, &A->client, ELECTION_KEY, &config), RLK_OK);
}

/* On one server and on three; rlk_resign, and started. */
static void on_each(void (*body)(void))
{
    static const size_t sizes[] = {1, 3};
    size_t i;

    for (i = 0; i < 2 * COUNT_OF(sizes); i++) {
        started = i % 2 == 1;
        begin(sizes[i / 2]);
        body();
        election_close(&both);
    }
}

/* Resigns in the form under test. */
static void resign(rlk_lock *lock, rlk_posix_client *posix, rlk_result expected,
                   rlk_operation operation)
{
    rlk_result result = started ? rlk_resign_start(lock) : rlk_resign(lock);

    if (result == RLK_PENDING && started)
        assert_result_event(posix, operation, expected);
    else
        assert_result(result, expected);
    election_assert_idle(lock, posix);
}

static void neither_body(void)
{
    resign(&both.anna, A, RLK_NOT_HELD, RLK_OP_RELEASE);
    /* after it has led, too */
    election_lead(&both.anna, A);
    resign(&both.anna, A, RLK_OK, RLK_OP_RELEASE);
    resign(&both.anna, A, RLK_NOT_HELD, RLK_OP_RELEASE);
}

static void test_resign_of_neither(void **state)
{
    (void)state;
    on_each(neither_body);
}

static void leading_body(void)
{
    election_lead(&both.anna, A);
    assert_int_equal(election_holding(&both), both.first.count);
    resign(&both.anna, A, RLK_OK, RLK_OP_RELEASE);
    assert_int_equal(election_holding(&both), 0);
    election_lead(&both.bert, B);
}

static void test_resign_leading(void **state)
{
    (void)state;
    on_each(leading_body);
}

/* It leads, and resigns before it has pulled that. */
static void leading_unpulled_body(void)
{
    assert_result(rlk_campaign_start(&both.anna), RLK_PENDING);
    serve_until(A, rlk_is_held(&both.anna));

    resign(&both.anna, A, RLK_OK, RLK_OP_RELEASE);
    assert_int_equal(election_holding(&both), 0);
}

static void test_resign_leading_before_it_is_pulled(void **state)
{
    (void)state;
    on_each(leading_unpulled_body);
}

static void following_body(void)
{
    election_lead(&both.bert, B);
    election_follow(&both, &both.anna, A);
    resign(&both.anna, A, RLK_CANCELLED, RLK_OP_ACQUIRE);
    assert_int_equal(election_holding(&both), both.first.count);
    /* and the place that comes free it does not take */
    assert_result(rlk_resign(&both.bert), RLK_OK);
    election_assert_idle(&both.anna, A);
    assert_int_equal(election_holding(&both), 0);
}

static void test_resign_following(void **state)
{
    (void)state;
    on_each(following_body);
}

/* Its attempt is on the way, and the servers stand: known when they have answered, or not. */
static void following_in_flight_body(void)
{
    rlk_stats stats;
    size_t i;

    for (i = 0; i < both.first.count; i++)
        server_pause(both.first.servers[i]);
    assert_result(rlk_campaign_start(&both.anna), RLK_PENDING);
    serve_until(A, (rlk_client_stats(&A->client, &stats), stats.attempts == 1));

    loop_serve(A, 1);
    if (started) {
        assert_result(rlk_resign_start(&both.anna), RLK_PENDING);
        assert_int_equal(rlk_lock_operation(&both.anna), RLK_OP_ACQUIRE);
    } else {
        assert_result(rlk_resign(&both.anna), RLK_UNKNOWN); /* after settle_timeout_ms */
    }
    for (i = 0; i < both.first.count; i++)
        server_resume(both.first.servers[i]);
    if (started)
        assert_result_event(A, RLK_OP_ACQUIRE, RLK_CANCELLED);
    else
        assert_event(A, RLK_EV_SETTLED, RLK_OK);
    election_assert_idle(&both.anna, A);
    serve_until(A, election_holding(&both) == 0);
}

static void test_resign_with_an_attempt_in_flight(void **state)
{
    (void)state;
    on_each(following_in_flight_body);
}

/* Behind another lock of the client. */
static void in_queue_body(void)
{
    election_lead(&both.bert, B);
    election_follow(&both, &both.anna, A);
    assert_result(rlk_campaign_start(&alba), RLK_PENDING);
    loop_quiet(A, 20);
    resign(&alba, A, RLK_CANCELLED, RLK_OP_ACQUIRE);
    assert_int_equal(rlk_lock_operation(&both.anna), RLK_OP_ACQUIRE);

    /* the first of the queue: the next one follows in its place, and leads */
    assert_result(rlk_campaign_start(&alba), RLK_PENDING);
    loop_quiet(A, 20);
    resign(&both.anna, A, RLK_CANCELLED, RLK_OP_ACQUIRE);
    assert_int_equal(rlk_lock_operation(&alba), RLK_OP_ACQUIRE);
    assert_result(rlk_resign(&both.bert), RLK_OK);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&alba));
    election_assert_idle(&both.anna, A);
}

static void test_resign_in_the_queue(void **state)
{
    (void)state;
    on_each(in_queue_body);
}

/* Within the client, too, from one to the next. */
static void handed_over_body(void)
{
    election_lead(&both.anna, A);
    assert_result(rlk_campaign_start(&alba), RLK_PENDING);
    loop_quiet(A, 20);
    if (started) {
        assert_result(rlk_resign_start(&both.anna), RLK_PENDING);
        assert_result_event(A, RLK_OP_RELEASE, RLK_OK);
    } else {
        assert_result(rlk_resign(&both.anna), RLK_OK);
    }
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&alba));
}

static void test_resign_hands_over_within_the_client(void **state)
{
    (void)state;
    on_each(handed_over_body);
}

static void lost_body(void)
{
    election_lead(&both.anna, A);
    election_lose(&both, &both.anna, A);
    resign(&both.anna, A, RLK_LOST, RLK_OP_RELEASE); /* and LOST is dropped */
    assert_int_equal(election_holding(&both), 0);
}

static void test_resign_lost(void **state)
{
    (void)state;
    on_each(lost_body);
}

static void follows_again_body(void)
{
    election_lead(&both.anna, A);
    election_everywhere(&both, "SET service usurper");
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&both.anna), RLK_OP_ACQUIRE);
    resign(&both.anna, A, RLK_CANCELLED, RLK_OP_ACQUIRE);
    assert_int_equal(nodes_holding(&both.first, "service", "usurper"), both.first.count);
}

static void test_resign_following_again(void **state)
{
    (void)state;
    on_each(follows_again_body);
}

static void test_resign_refused(void **state)
{
    rlk_holder holders[1];
    rlk_lock closed;
    pid_t pid;

    (void)state;
    begin(1);
    memset(&closed, 0, sizeof closed);
    assert_result(rlk_resign(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_resign_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_campaign_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_resign(&closed), RLK_E_CLOSED);
    assert_result(rlk_resign_start(&closed), RLK_E_CLOSED);
    assert_result(rlk_campaign_start(&closed), RLK_E_CLOSED);
    election_lead(&both.anna, A);
    pid = child_fork();
    if (pid == 0)
        _exit(rlk_resign(&both.anna) == RLK_E_FORKED &&
                      rlk_resign_start(&both.anna) == RLK_E_FORKED &&
                      rlk_campaign_start(&both.anna) == RLK_E_FORKED
                  ? 0
                  : 1);
    assert_int_equal(child_exit_code(pid), 0);
    /* another operation is under way */
    assert_result(rlk_query_start(&both.anna, holders, 1), RLK_PENDING);
    assert_result(rlk_resign_start(&both.anna), RLK_E_STATE);
    assert_result(rlk_resign(&both.anna), RLK_E_STATE);
    assert_result_event(A, RLK_OP_QUERY, RLK_OK);
    assert_true(rlk_is_held(&both.anna));
    assert_result(rlk_resign(&both.anna), RLK_OK);
    election_close(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_resign_of_neither),
        support_test(test_resign_leading),
        support_test(test_resign_leading_before_it_is_pulled),
        support_test(test_resign_following),
        support_test(test_resign_with_an_attempt_in_flight),
        support_test(test_resign_in_the_queue),
        support_test(test_resign_hands_over_within_the_client),
        support_test(test_resign_lost),
        support_test(test_resign_following_again),
        support_test(test_resign_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
