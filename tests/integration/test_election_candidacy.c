/* SPDX-License-Identifier: MIT
 *
 * A candidacy on real servers: rlk_lead_start, and what ends it; rlk_step_down in each state,
 * blocking and started.
 */
#include "child.h"
#include "proxied.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Tests that mean no renewal see none. */
#define TTL_MS (INT64_C(30000) * support_time_factor())

static nodes first;
static nodes second;
static rlk_lock anna;
static rlk_lock alba; /* of the same client as anna */
static rlk_lock bert; /* of the second client */
static bool started;  /* which form of rlk_step_down */

#define A (&first.client)
#define B (&second.client)

static void begin(size_t count, int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_options options = {0};
    rlk_holder holders[RLK_MAX_NODES];
    config.ttl_ms = ttl_ms;
    options.settle_ms = INT64_C(300) * support_time_factor();
    nodes_start(&first, count, NULL, &options);
    nodes_open_again(&second, &first, &options);
    assert_result(rlk_lock_init(&anna, A, "service", &config), RLK_OK);
    assert_result(rlk_lock_init(&alba, A, "service", &config), RLK_OK);
    assert_result(rlk_lock_init(&bert, B, "service", &config), RLK_OK);
    /* so that all nodes are connected */
    assert_result(rlk_query(&anna, holders, count), RLK_NOT_HELD);
    assert_result(rlk_query(&bert, holders, count), RLK_NOT_HELD);
}

static void end(void)
{
    nodes_close(&second);
    nodes_close(&first);
    support_teardown(NULL);
}

/* On one server and on three; rlk_step_down, and started. */
static void on_each(void (*body)(void))
{
    static const size_t sizes[] = {1, 3};
    size_t i;
    for (i = 0; i < 2 * COUNT_OF(sizes); i++) {
        started = i % 2 == 1;
        begin(sizes[i / 2], TTL_MS);
        body();
        end();
    }
}

static void lead(rlk_lock *lock, rlk_client *client)
{
    assert_result(rlk_lead_start(lock), RLK_PENDING);
    assert_event(client, RLK_EV_ACQUIRED, RLK_OK);
}

/* Follows somebody who leads, and has been told so. */
static void follow(rlk_lock *lock, rlk_client *client)
{
    rlk_stats before;
    rlk_stats after;
    rlk_client_stats(client, &before);
    assert_result(rlk_lead_start(lock), RLK_PENDING);
    serve_until(client, (rlk_client_stats(client, &after), after.attempts > before.attempts));
    server_settle(first.servers[0]);
    loop_quiet(client, 20);
    assert_int_equal(rlk_lock_operation(lock), RLK_OP_ACQUIRE);
}

static size_t holding(void)
{
    return nodes_holding(&first, "service", NULL);
}

static void everywhere(const char *command)
{
    size_t i;
    for (i = 0; i < first.count; i++)
        (void)server_text(first.servers[i], command);
}

/* Takes the key away under a leader, which notices; its LOST is not pulled. */
static void lose(rlk_lock *lock, rlk_client *client)
{
    everywhere("DEL service");
    serve_until(client, !rlk_is_held(lock));
    assert_int_equal(rlk_lock_operation(lock), RLK_OP_NONE);
}

/* Neither leads nor follows, and says nothing more. */
static void assert_idle(rlk_lock *lock, rlk_client *client)
{
    loop_quiet(client, 20);
    assert_false(rlk_is_held(lock));
    assert_int_equal(rlk_lock_operation(lock), RLK_OP_NONE);
    assert_result(rlk_release(lock), RLK_NOT_HELD);
}

/* Steps down in the form under test. */
static void step_down(rlk_lock *lock, rlk_client *client, rlk_result expected, rlk_event_type type)
{
    rlk_result result = started ? rlk_step_down_start(lock) : rlk_step_down(lock);
    if (result == RLK_PENDING && started)
        assert_event(client, type, expected);
    else
        assert_result(result, expected);
    assert_idle(lock, client);
}

/* ---- Stepping down ---- */

static void neither_body(void)
{
    step_down(&anna, A, RLK_NOT_HELD, RLK_EV_NOT_HELD);
    /* after it has led, too */
    lead(&anna, A);
    step_down(&anna, A, RLK_OK, RLK_EV_RELEASED);
    step_down(&anna, A, RLK_NOT_HELD, RLK_EV_NOT_HELD);
}

static void test_lead_step_down_of_neither(void **state)
{
    (void)state;
    on_each(neither_body);
}

static void leading_body(void)
{
    lead(&anna, A);
    assert_int_equal(holding(), first.count);
    step_down(&anna, A, RLK_OK, RLK_EV_RELEASED);
    assert_int_equal(holding(), 0);
    lead(&bert, B);
}

static void test_lead_step_down_leading(void **state)
{
    (void)state;
    on_each(leading_body);
}

/* It leads, and steps down before it has heard of it. */
static void leading_unheard_body(void)
{
    assert_result(rlk_lead_start(&anna), RLK_PENDING);
    serve_until(A, rlk_is_held(&anna));
    step_down(&anna, A, RLK_OK, RLK_EV_RELEASED);
    assert_int_equal(holding(), 0);
}

static void test_lead_step_down_leading_unheard(void **state)
{
    (void)state;
    on_each(leading_unheard_body);
}

static void following_body(void)
{
    lead(&bert, B);
    follow(&anna, A);
    step_down(&anna, A, RLK_CANCELLED, RLK_EV_CANCELLED);
    assert_int_equal(holding(), first.count);
    /* and the place that comes free it does not take */
    assert_result(rlk_step_down(&bert), RLK_OK);
    assert_idle(&anna, A);
    assert_int_equal(holding(), 0);
}

static void test_lead_step_down_following(void **state)
{
    (void)state;
    on_each(following_body);
}

/* Its attempt is on the way, and the servers stand: known when they have answered, or not. */
static void following_in_flight_body(void)
{
    rlk_stats stats;
    size_t i;
    for (i = 0; i < first.count; i++)
        server_pause(first.servers[i]);
    assert_result(rlk_lead_start(&anna), RLK_PENDING);
    serve_until(A, (rlk_client_stats(A, &stats), stats.attempts == 1));
    loop_serve(A, 1);
    if (started) {
        assert_result(rlk_step_down_start(&anna), RLK_PENDING);
        assert_int_equal(rlk_lock_operation(&anna), RLK_OP_ACQUIRE);
    } else {
        assert_result(rlk_step_down(&anna), RLK_UNKNOWN); /* after settle_ms */
    }
    for (i = 0; i < first.count; i++)
        server_resume(first.servers[i]);
    if (started)
        assert_event(A, RLK_EV_CANCELLED, RLK_CANCELLED);
    else
        assert_event(A, RLK_EV_SETTLED, RLK_OK);
    assert_idle(&anna, A);
    serve_until(A, holding() == 0);
}

static void test_lead_step_down_with_an_attempt_in_flight(void **state)
{
    (void)state;
    on_each(following_in_flight_body);
}

/* Behind another lock of the client. */
static void in_row_body(void)
{
    lead(&bert, B);
    follow(&anna, A);
    assert_result(rlk_lead_start(&alba), RLK_PENDING);
    loop_quiet(A, 20);
    step_down(&alba, A, RLK_CANCELLED, RLK_EV_CANCELLED);
    assert_int_equal(rlk_lock_operation(&anna), RLK_OP_ACQUIRE);

    /* the first of the row: the next one follows in its place, and leads */
    assert_result(rlk_lead_start(&alba), RLK_PENDING);
    loop_quiet(A, 20);
    step_down(&anna, A, RLK_CANCELLED, RLK_EV_CANCELLED);
    assert_int_equal(rlk_lock_operation(&alba), RLK_OP_ACQUIRE);
    assert_result(rlk_step_down(&bert), RLK_OK);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&alba));
    assert_idle(&anna, A);
}

static void test_lead_step_down_in_the_row(void **state)
{
    (void)state;
    on_each(in_row_body);
}

/* Within the client, too, from one to the next. */
static void handed_over_body(void)
{
    lead(&anna, A);
    assert_result(rlk_lead_start(&alba), RLK_PENDING);
    loop_quiet(A, 20);
    if (started) {
        assert_result(rlk_step_down_start(&anna), RLK_PENDING);
        assert_event(A, RLK_EV_RELEASED, RLK_OK);
    } else {
        assert_result(rlk_step_down(&anna), RLK_OK);
    }
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&alba));
}

static void test_lead_step_down_hands_over_within_the_client(void **state)
{
    (void)state;
    on_each(handed_over_body);
}

static void lost_body(void)
{
    lead(&anna, A);
    lose(&anna, A);
    step_down(&anna, A, RLK_LOST, RLK_EV_NOT_HELD); /* and LOST is dropped */
    assert_int_equal(holding(), 0);
}

static void test_lead_step_down_lost(void **state)
{
    (void)state;
    on_each(lost_body);
}

static void follows_again_body(void)
{
    lead(&anna, A);
    everywhere("SET service usurper");
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&anna), RLK_OP_ACQUIRE);
    step_down(&anna, A, RLK_CANCELLED, RLK_EV_CANCELLED);
    assert_int_equal(nodes_holding(&first, "service", "usurper"), first.count);
}

static void test_lead_step_down_following_again(void **state)
{
    (void)state;
    on_each(follows_again_body);
}

static void test_lead_step_down_refused(void **state)
{
    rlk_holder holders[1];
    rlk_lock closed;
    pid_t pid;
    (void)state;
    begin(1, TTL_MS);
    memset(&closed, 0, sizeof closed);
    assert_result(rlk_step_down(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_step_down_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lead_start(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_step_down(&closed), RLK_E_CLOSED);
    assert_result(rlk_step_down_start(&closed), RLK_E_CLOSED);
    assert_result(rlk_lead_start(&closed), RLK_E_CLOSED);
    lead(&anna, A);
    pid = child_fork();
    if (pid == 0)
        _exit(rlk_step_down(&anna) == RLK_E_FORKED && rlk_step_down_start(&anna) == RLK_E_FORKED &&
                      rlk_lead_start(&anna) == RLK_E_FORKED
                  ? 0
                  : 1);
    assert_int_equal(child_exit_code(pid), 0);
    /* another operation is under way */
    assert_result(rlk_query_start(&anna, holders, 1), RLK_PENDING);
    assert_result(rlk_step_down_start(&anna), RLK_E_STATE);
    assert_result(rlk_step_down(&anna), RLK_E_STATE);
    assert_event(A, RLK_EV_DONE, RLK_OK);
    assert_true(rlk_is_held(&anna));
    assert_result(rlk_step_down(&anna), RLK_OK);
    end();
}

/* ---- A candidacy ---- */

/* Without auto_renew: what leads keeps its lease, what only acquired does not. */
static void test_lead_keeps_the_lease(void **state)
{
    int64_t ttl_ms = INT64_C(600) * support_time_factor();
    int64_t end_ms;
    unsigned renewed = 0;
    rlk_event event;
    (void)state;
    begin(1, ttl_ms);
    lead(&anna, A);
    end_ms = support_now_ms() + 3 * ttl_ms;
    while (support_now_ms() < end_ms) {
        if (!loop_next_event(A, &event, ttl_ms / 10))
            continue;
        assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_result(event.result, RLK_OK);
        assert_true(rlk_is_held(&anna));
        renewed++;
    }
    assert_between(renewed, 3, 3 * 4);
    assert_true(rlk_held_ms(&anna) >= 3 * ttl_ms);
    assert_result(rlk_step_down(&anna), RLK_OK);
    assert_result(rlk_acquire_start(&anna, RLK_FOREVER), RLK_PENDING);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    loop_quiet(A, 20); /* nor does it follow again */
    assert_result(rlk_release(&anna), RLK_LOST);
    end();
}

/* It hears LOST, and does not follow before that. */
static void hears_body(void)
{
    lead(&anna, A);
    lose(&anna, A);
    loop_serve(A, 50);
    assert_int_equal(rlk_lock_operation(&anna), RLK_OP_NONE);
    assert_int_equal(holding(), 0);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&anna), RLK_OP_ACQUIRE);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&anna));
}

static void test_lead_follows_again_when_it_has_heard(void **state)
{
    (void)state;
    on_each(hears_body);
}

/* The application asks who leads now, with the lock that lost, before it has heard of the loss. */
static void busy_body(void)
{
    rlk_holder holders[RLK_MAX_NODES];
    lead(&anna, A);
    lose(&anna, A);
    assert_result(rlk_query_start(&anna, holders, first.count), RLK_PENDING);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&anna), RLK_OP_QUERY);
    assert_event(A, RLK_EV_NOT_HELD, RLK_NOT_HELD);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&anna));
}

static void test_lead_follows_again_after_what_is_under_way(void **state)
{
    (void)state;
    on_each(busy_body);
}

static void cancel_body(void)
{
    rlk_result result;
    lead(&bert, B);
    follow(&anna, A);
    result = rlk_cancel(&anna);
    assert_result(result, RLK_OK);
    assert_event(A, RLK_EV_CANCELLED, RLK_CANCELLED);
    assert_idle(&anna, A);
    assert_result(rlk_step_down(&bert), RLK_OK);
    assert_idle(&anna, A);
    assert_int_equal(holding(), 0);

    /* leading, there is nothing to cancel */
    lead(&anna, A);
    assert_result(rlk_cancel(&anna), RLK_NOT_HELD);
    lose(&anna, A);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
}

static void test_lead_ends_with_cancel(void **state)
{
    (void)state;
    on_each(cancel_body);
}

static void release_body(void)
{
    lead(&anna, A);
    assert_result(rlk_release(&anna), RLK_OK);
    assert_idle(&anna, A);
    assert_int_equal(holding(), 0);

    lead(&anna, A);
    lose(&anna, A);
    assert_result(rlk_release(&anna), RLK_LOST);
    assert_idle(&anna, A);

    lead(&bert, B);
    follow(&anna, A);
    assert_result(rlk_release(&anna), RLK_E_STATE); /* it is an acquire that is under way */
    assert_result(rlk_step_down(&bert), RLK_OK);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
}

static void test_lead_ends_with_release(void **state)
{
    (void)state;
    on_each(release_body);
}

/* No connection is to be had any more: those that exist are cut, but for the administrator's. */
static void lock_out(void)
{
    server_do(first.servers[0], "CONFIG SET requirepass secret");
    assert_true(server_integer(first.servers[0], "CLIENT KILL TYPE normal SKIPME yes") > 0);
}

/* It ends, and does not storm; then it is mended, and stands again. */
static void test_lead_ends_with_a_fatal_error(void **state)
{
    rlk_result result;
    (void)state;
    begin(1, TTL_MS);
    lead(&bert, B);
    follow(&anna, A);
    lock_out();
    assert_event(A, RLK_EV_FAILED, RLK_E_AUTH);
    assert_text_contains(rlk_lock_error(&anna), "E_AUTH");
    assert_idle(&anna, A);

    /* at once, as long as nobody resets the client */
    result = rlk_lead_start(&anna);
    if (result == RLK_PENDING)
        assert_event(A, RLK_EV_FAILED, RLK_E_AUTH);
    else
        assert_result(result, RLK_E_AUTH);
    assert_idle(&anna, A);
    server_do(first.servers[0], "ACL SETUSER default nopass");
    everywhere("DEL service");
    assert_result(rlk_client_reset(A), RLK_OK);
    lead(&anna, A);
    end();
}

/* Leading: what it can't give back is unknown. */
static void test_lead_ends_with_a_fatal_error_leading(void **state)
{
    int64_t ttl_ms = INT64_C(500) * support_time_factor();
    rlk_event event;
    (void)state;
    begin(1, ttl_ms);
    lead(&anna, A);
    lock_out();
    do { /* it can't be renewed until the deadline */
        assert_true(loop_next_event(A, &event, INT64_C(10000) * support_time_factor()));
    } while (event.type == RLK_EV_RENEWED || event.type == RLK_EV_RENEW_UNKNOWN);
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_event(A, RLK_EV_UNKNOWN, RLK_UNKNOWN);
    assert_text_contains(rlk_client_error(A), "E_AUTH");
    assert_event(A, RLK_EV_SETTLED, RLK_UNKNOWN);
    assert_idle(&anna, A);
    server_do(first.servers[0], "ACL SETUSER default nopass");
    assert_result(rlk_client_reset(A), RLK_OK);
    lead(&anna, A);
    end();
}

static void test_lead_start_refused(void **state)
{
    (void)state;
    begin(1, TTL_MS);
    lead(&anna, A);
    assert_result(rlk_lead_start(&anna), RLK_E_STATE);
    follow(&bert, B);
    assert_result(rlk_lead_start(&bert), RLK_E_STATE);
    assert_result(rlk_acquire_start(&bert, RLK_TRY), RLK_E_STATE);
    /* and both are what they were */
    assert_result(rlk_step_down(&anna), RLK_OK);
    assert_event(B, RLK_EV_ACQUIRED, RLK_OK);
    lose(&bert, B);
    assert_event(B, RLK_EV_LOST, RLK_LOST);
    assert_event(B, RLK_EV_ACQUIRED, RLK_OK);
    end();
}

/* Calls that are refused while a renewal is on its way do not end the renewing. */
static void test_lead_renews_on_after_refused_calls(void **state)
{
    int64_t ttl_ms = INT64_C(600) * support_time_factor();
    rlk_holder holders[1];
    rlk_stats before;
    rlk_stats stats;
    rlk_event event;
    int64_t end_ms;
    size_t i;
    (void)state;
    for (i = 0; i < 4; i++) {
        begin(1, ttl_ms);
        lead(&anna, A);
        rlk_client_stats(A, &before);
        server_pause(first.servers[0]);
        serve_until(A, (rlk_client_stats(A, &stats), stats.bytes_sent > before.bytes_sent));
        if (i == 0)
            assert_result(rlk_acquire_start(&anna, RLK_TRY), RLK_E_STATE);
        else if (i == 1)
            assert_result(rlk_query_start(&anna, holders, 0), RLK_E_ARGUMENT);
        else if (i == 2)
            assert_result(rlk_extend_start(&anna, 0), RLK_E_TTL);
        else
            assert_result(rlk_force_release_start(&anna), RLK_E_STATE);
        server_resume(first.servers[0]);
        end_ms = support_now_ms() + 3 * ttl_ms / 2; /* the lease that it had is over */
        while (support_now_ms() < end_ms) {
            if (loop_next_event(A, &event, ttl_ms / 10))
                assert_true(event.type == RLK_EV_RENEWED || event.type == RLK_EV_RENEW_UNKNOWN);
        }
        assert_true(rlk_is_held(&anna));
        end();
    }
}

/* The cap of the hold time: leads, loses, leads anew. */
static void test_lead_up_to_the_cap(void **state)
{
    int64_t ttl_ms = INT64_C(500) * support_time_factor();
    rlk_lock_config config = rlk_lock_config_default();
    rlk_event event;
    int64_t led_ms;
    rlk_lock carl;
    (void)state;
    begin(1, TTL_MS);
    config.ttl_ms = ttl_ms;
    config.max_hold_ms = 2 * ttl_ms;
    assert_result(rlk_lock_init(&carl, A, "service", &config), RLK_OK);
    lead(&carl, A);
    led_ms = rlk_system_now_ms(NULL);
    do
        assert_true(loop_next_event(A, &event, 4 * ttl_ms));
    while (event.type == RLK_EV_RENEWED);
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_between(rlk_system_now_ms(NULL) - led_ms, ttl_ms * 3 / 2, 2 * ttl_ms + ttl_ms / 2);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_lead_step_down_of_neither),
        support_test(test_lead_step_down_leading),
        support_test(test_lead_step_down_leading_unheard),
        support_test(test_lead_step_down_following),
        support_test(test_lead_step_down_with_an_attempt_in_flight),
        support_test(test_lead_step_down_in_the_row),
        support_test(test_lead_step_down_hands_over_within_the_client),
        support_test(test_lead_step_down_lost),
        support_test(test_lead_step_down_following_again),
        support_test(test_lead_step_down_refused),
        support_test(test_lead_keeps_the_lease),
        support_test(test_lead_follows_again_when_it_has_heard),
        support_test(test_lead_follows_again_after_what_is_under_way),
        support_test(test_lead_ends_with_cancel),
        support_test(test_lead_ends_with_release),
        support_test(test_lead_ends_with_a_fatal_error),
        support_test(test_lead_ends_with_a_fatal_error_leading),
        support_test(test_lead_start_refused),
        support_test(test_lead_renews_on_after_refused_calls),
        support_test(test_lead_up_to_the_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
