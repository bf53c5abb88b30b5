/* SPDX-License-Identifier: MIT
 *
 * A candidacy on real servers: rlk_campaign_start, what keeps it up, and what ends it but
 * rlk_resign (test_election_resign.c).
 */
#include "election.h"
#include "proxied.h"

/* Tests that mean no renewal see none. */
#define TTL_MS (INT64_C(30000) * support_time_factor())

#define A (&both.first.posix)
#define B (&both.second.posix)

static election both;

static void begin(size_t count, int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.ttl_ms = ttl_ms;
    election_open(&both, count, &config, &config);
}

static void on_each_size(void (*body)(void))
{
    static const size_t sizes[] = {1, 3};
    size_t i;

    for (i = 0; i < COUNT_OF(sizes); i++) {
        begin(sizes[i], TTL_MS);
        body();
        election_close(&both);
    }
}

/* Fault 122: somebody deletes the key whenever it leads. */
static void key_vanishes(void)
{
    const int64_t time_ms = scaled(2000);
    int64_t end_ms = support_now_ms() + time_ms;
    int64_t led = 0;
    size_t i;

    assert_result(rlk_campaign_start(&both.anna), RLK_PENDING);
    while (support_now_ms() < end_ms) {
        rlk_event event;

        if (!loop_next_event(A, &event, 10) || event.type != RLK_EV_ACQUIRED)
            continue;
        led++;
        for (i = 0; i < rlk_client_nodes(&A->client); i++)
            (void)server_integer(both.first.servers[i], "DEL " ELECTION_KEY);
    }
    assert_between(led, 2, 4 + time_ms / (4 * RLK_RETRY_MIN_MS));
}

static void test_fault_122_key_vanishes_at_once(void **state)
{
    (void)state;
    on_each_size(key_vanishes);
}

/* Without auto_renew: what leads keeps its lease, what only acquired does not. */
static void test_campaign_keeps_the_lease(void **state)
{
    int64_t ttl_ms = scaled(900);
    int64_t end_ms;
    unsigned renewed = 0;
    rlk_event event;

    (void)state;
    begin(1, ttl_ms);
    election_lead(&both.anna, A);
    end_ms = support_now_ms() + 2 * ttl_ms;
    while (support_now_ms() < end_ms) {
        if (!loop_next_event(A, &event, ttl_ms / 10))
            continue;
        assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_result(event.result, RLK_OK);
        assert_true(rlk_is_held(&both.anna));
        renewed++;
    }
    assert_between(renewed, 3, 2 * 4);
    assert_true(rlk_held_ms(&both.anna) >= 2 * ttl_ms);
    assert_result(rlk_resign(&both.anna), RLK_OK);
    assert_result(rlk_acquire_start(&both.anna, RLK_FOREVER), RLK_PENDING);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    loop_quiet(A, 20); /* nor does it follow again */
    assert_result(rlk_release(&both.anna), RLK_LOST);
    election_close(&both);
}

/* It pulls LOST, and does not follow before that. */
static void lost_pulled_body(void)
{
    election_lead(&both.anna, A);
    election_lose(&both, &both.anna, A);
    loop_serve(A, 50);
    assert_int_equal(rlk_lock_operation(&both.anna), RLK_OP_NONE);
    assert_int_equal(election_holding(&both), 0);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&both.anna), RLK_OP_ACQUIRE);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&both.anna));
}

static void test_campaign_follows_again_once_lost_is_pulled(void **state)
{
    (void)state;
    on_each_size(lost_pulled_body);
}

/* The application asks who leads now, with the lock that lost, before it has pulled the loss. */
static void busy_body(void)
{
    rlk_holder holders[RLK_MAX_NODES];

    election_lead(&both.anna, A);
    election_lose(&both, &both.anna, A);
    assert_result(rlk_query_start(&both.anna, holders, both.first.count), RLK_PENDING);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(rlk_lock_operation(&both.anna), RLK_OP_QUERY);
    assert_result_event(A, RLK_OP_QUERY, RLK_NOT_HELD);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    assert_true(rlk_is_held(&both.anna));
}

static void test_campaign_follows_again_after_what_is_under_way(void **state)
{
    (void)state;
    on_each_size(busy_body);
}

static void cancel_body(void)
{
    rlk_result result;

    election_lead(&both.bert, B);
    election_follow(&both, &both.anna, A);
    result = rlk_cancel(&both.anna);
    assert_result(result, RLK_OK);
    assert_result_event(A, RLK_OP_ACQUIRE, RLK_CANCELLED);
    election_assert_idle(&both.anna, A);
    assert_result(rlk_resign(&both.bert), RLK_OK);
    election_assert_idle(&both.anna, A);
    assert_int_equal(election_holding(&both), 0);

    /* leading, there is nothing to cancel */
    election_lead(&both.anna, A);
    assert_result(rlk_cancel(&both.anna), RLK_NOT_HELD);
    election_lose(&both, &both.anna, A);
    assert_event(A, RLK_EV_LOST, RLK_LOST);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
}

static void test_campaign_ends_with_cancel(void **state)
{
    (void)state;
    on_each_size(cancel_body);
}

static void release_body(void)
{
    election_lead(&both.anna, A);
    assert_result(rlk_release(&both.anna), RLK_OK);
    election_assert_idle(&both.anna, A);
    assert_int_equal(election_holding(&both), 0);

    election_lead(&both.anna, A);
    election_lose(&both, &both.anna, A);
    assert_result(rlk_release(&both.anna), RLK_LOST);
    election_assert_idle(&both.anna, A);

    election_lead(&both.bert, B);
    election_follow(&both, &both.anna, A);
    assert_result(rlk_release(&both.anna), RLK_E_STATE); /* it is an acquire that is under way */
    assert_result(rlk_resign(&both.bert), RLK_OK);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
}

static void test_campaign_ends_with_release(void **state)
{
    (void)state;
    on_each_size(release_body);
}

/* No connection can be had any more: those that exist are cut, except the administrator's. */
static void lock_out(void)
{
    server_do(both.first.servers[0], "CONFIG SET requirepass secret");
    assert_true(server_integer(both.first.servers[0], "CLIENT KILL TYPE normal SKIPME yes") > 0);
}

/* It ends, and does not storm; then it is mended, and stands again. */
static void test_campaign_ends_with_a_fatal_error(void **state)
{
    rlk_result result;

    (void)state;
    begin(1, TTL_MS);
    election_lead(&both.bert, B);
    election_follow(&both, &both.anna, A);
    lock_out();
    assert_result_event(A, RLK_OP_ACQUIRE, RLK_E_AUTH);
    assert_text_contains(rlk_lock_error(&both.anna), "E_AUTH");
    election_assert_idle(&both.anna, A);

    /* at once, as long as nobody resets the client */
    result = rlk_campaign_start(&both.anna);
    if (result == RLK_PENDING)
        assert_result_event(A, RLK_OP_ACQUIRE, RLK_E_AUTH);
    else
        assert_result(result, RLK_E_AUTH);
    election_assert_idle(&both.anna, A);
    server_do(both.first.servers[0], "ACL SETUSER default nopass");
    election_everywhere(&both, "DEL service");
    assert_result(rlk_client_reset(&A->client), RLK_OK);
    election_lead(&both.anna, A);
    election_close(&both);
}

/* Leading: what it can't give back is unknown. */
static void test_campaign_ends_with_a_fatal_error_leading(void **state)
{
    int64_t ttl_ms = INT64_C(500) * support_time_factor();
    rlk_event event;

    (void)state;
    begin(1, ttl_ms);
    election_lead(&both.anna, A);
    lock_out();
    do { /* it can't be renewed until the deadline */
        assert_true(loop_next_event(A, &event, INT64_C(10000) * support_time_factor()));
    } while (event.type == RLK_EV_RENEWED || support_renewal_unknown(&event));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_result_event(A, RLK_OP_ACQUIRE, RLK_UNKNOWN);
    assert_text_contains(rlk_client_error(&A->client), "E_AUTH");
    assert_event(A, RLK_EV_SETTLED, RLK_UNKNOWN);
    election_assert_idle(&both.anna, A);
    server_do(both.first.servers[0], "ACL SETUSER default nopass");
    assert_result(rlk_client_reset(&A->client), RLK_OK);
    election_lead(&both.anna, A);
    election_close(&both);
}

static void test_campaign_start_refused(void **state)
{
    (void)state;
    begin(1, TTL_MS);
    election_lead(&both.anna, A);
    assert_result(rlk_campaign_start(&both.anna), RLK_E_STATE);
    election_follow(&both, &both.bert, B);
    assert_result(rlk_campaign_start(&both.bert), RLK_E_STATE);
    assert_result(rlk_acquire_start(&both.bert, RLK_TRY), RLK_E_STATE);
    /* and both are what they were */
    assert_result(rlk_resign(&both.anna), RLK_OK);
    assert_event(B, RLK_EV_ACQUIRED, RLK_OK);
    election_lose(&both, &both.bert, B);
    assert_event(B, RLK_EV_LOST, RLK_LOST);
    assert_event(B, RLK_EV_ACQUIRED, RLK_OK);
    election_close(&both);
}

/* Calls that are refused while a renewal is on its way do not end the renewing. */
static void test_campaign_renews_on_after_refused_calls(void **state)
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
        election_lead(&both.anna, A);
        rlk_client_stats(&A->client, &before);
        server_pause(both.first.servers[0]);
        serve_until(A,
                    (rlk_client_stats(&A->client, &stats), stats.bytes_sent > before.bytes_sent));

        if (i == 0)
            assert_result(rlk_acquire_start(&both.anna, RLK_TRY), RLK_E_STATE);
        else if (i == 1)
            assert_result(rlk_query_start(&both.anna, holders, 0), RLK_E_ARGUMENT);
        else if (i == 2)
            assert_result(rlk_extend_start(&both.anna, 0), RLK_E_TTL);
        else
            assert_result(rlk_force_release_start(&both.anna), RLK_E_STATE);
        server_resume(both.first.servers[0]);
        end_ms = support_now_ms() + 3 * ttl_ms / 2; /* the lease that it had is over */
        while (support_now_ms() < end_ms) {
            if (loop_next_event(A, &event, ttl_ms / 10))
                assert_true(event.type == RLK_EV_RENEWED || support_renewal_unknown(&event));
        }
        assert_true(rlk_is_held(&both.anna));
        election_close(&both);
    }
}

/* The cap of the hold time: leads, loses, leads anew. */
static void test_campaign_up_to_the_cap(void **state)
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
    assert_result(rlk_lock_init(&carl, &A->client, "service", &config), RLK_OK);
    election_lead(&carl, A);
    led_ms = rlk_system_now_ms(NULL);
    do
        assert_true(loop_next_event(A, &event, 4 * ttl_ms));
    while (event.type == RLK_EV_RENEWED);
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_between(rlk_system_now_ms(NULL) - led_ms, ttl_ms * 3 / 2, 2 * ttl_ms + ttl_ms / 2);
    assert_event(A, RLK_EV_ACQUIRED, RLK_OK);
    election_close(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_122_key_vanishes_at_once),
        support_test(test_campaign_keeps_the_lease),
        support_test(test_campaign_follows_again_once_lost_is_pulled),
        support_test(test_campaign_follows_again_after_what_is_under_way),
        support_test(test_campaign_ends_with_cancel),
        support_test(test_campaign_ends_with_release),
        support_test(test_campaign_ends_with_a_fatal_error),
        support_test(test_campaign_ends_with_a_fatal_error_leading),
        support_test(test_campaign_start_refused),
        support_test(test_campaign_renews_on_after_refused_calls),
        support_test(test_campaign_up_to_the_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
