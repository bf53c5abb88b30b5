/* SPDX-License-Identifier: MIT
 *
 * What it takes until the next one leads, after a clean step-down and after a death: round trips,
 * through proxies of known delay, and commands, counted at the proxies and by the trace.
 */
#include "proxied.h"

#include <poll.h>
#include <string.h>

#define DELAY_MS INT64_C(250) /* one way */
#define TRIP_MS  (2 * DELAY_MS)
#define TTL_MS   (INT64_C(30000) * support_time_factor()) /* no renewal meanwhile */

static proxied world;
static nodes second;
static nodes third;
static rlk_lock anna; /* of the world's client */
static rlk_lock bert; /* of the second */
static rlk_lock carl; /* of the third */

/* What the trace saw, by client. */
typedef struct seen {
    unsigned commands;
    unsigned pushes;
} seen;
static seen seen_by[3];

static rlk_posix_client *clients[] = {&world.set.posix, &second.posix, &third.posix};
#define A clients[0]
#define B clients[1]
#define C clients[2]

static void on_trace(void *context, const rlk_trace *trace)
{
    size_t i;

    (void)context;
    for (i = 0; i < COUNT_OF(clients); i++) {
        if (trace->client != &clients[i]->client)
            continue;
        seen_by[i].commands += trace->kind == RLK_TRACE_COMMAND;
        seen_by[i].pushes += trace->kind == RLK_TRACE_PUSH && trace->number == RLK_CAUSE_PUSH;
    }
}

static void open_again(nodes *set, const rlk_posix_options *options)
{
    const char *urls[RLK_MAX_NODES];
    size_t i;

    for (i = 0; i < world.set.count; i++)
        urls[i] = proxy_url(world.proxies[i]);
    nodes_open_urls(set, urls, world.set.count, options);
}

static void begin(size_t count, int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_posix_options options = {0};

    config.ttl_ms = ttl_ms;
    config.recheck_max_ms = 600000; /* nobody rechecks for nothing */
    config.watch_after_ms = config_unwatched.watch_after_ms;
    options.env.trace = on_trace;
    proxied_start(&world, count, false, NULL, &options);
    open_again(&second, &options);
    open_again(&third, &options);
    assert_result(rlk_lock_init(&anna, &A->client, "service", &config), RLK_OK);
    assert_result(rlk_lock_init(&bert, &B->client, "service", &config), RLK_OK);
    assert_result(rlk_lock_init(&carl, &C->client, "service", &config), RLK_OK);
}

static void end(void)
{
    nodes_close(&third);
    nodes_close(&second);
    proxied_close(&world);
    support_teardown(NULL);
}

/* One turn of a loop that serves all clients; 20 ms at most. */
static void turn(void)
{
    struct pollfd fds[COUNT_OF(clients) * RLK_MAX_FDS];
    nfds_t from[COUNT_OF(clients) + 1] = {0};
    int timeout_ms = 20;
    size_t i;

    for (i = 0; i < COUNT_OF(clients); i++) {
        int client_ms;

        from[i + 1] =
            from[i] + rlk_posix_prepare(clients[i], fds + from[i], RLK_MAX_FDS, &client_ms);
        if (client_ms >= 0 && client_ms < timeout_ms)
            timeout_ms = client_ms;
    }
    poll(fds, from[COUNT_OF(clients)], timeout_ms);
    for (i = 0; i < COUNT_OF(clients); i++)
        (void)rlk_posix_service(clients[i], fds + from[i], from[i + 1] - from[i]);
}

#define turn_until(condition)                                                                      \
    do {                                                                                           \
        int64_t turn_until_end = support_now_ms() + INT64_C(10000) * support_time_factor();        \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > turn_until_end)                                                 \
                support_fail("never came: %s", #condition);                                        \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

/* Commands of all clients since `bill_begin`, answered or not. */
typedef struct bill {
    int evalsha, set, pttl;
    int others;
} bill;

static bill bill_now(void)
{
    static const char *const others[] = {"AUTH", "CLIENT", "DEL",  "EVAL",   "GET",    "HELLO",
                                         "INFO", "PING",   "ROLE", "SCRIPT", "SELECT", "WAIT"};
    bill now = {proxied_count(&world, "EVALSHA"), proxied_count(&world, "SET"),
                proxied_count(&world, "PTTL"), 0};
    size_t i;

    for (i = 0; i < COUNT_OF(others); i++)
        now.others += proxied_count(&world, others[i]);
    return now;
}

static bill bill_before;

static void bill_begin(void)
{
    memset(seen_by, 0, sizeof seen_by);
    bill_before = bill_now();
}

static void assert_bill(int evalsha, int set, int pttl_min, int pttl_max)
{
    bill now = bill_now();

    assert_int_equal(now.evalsha - bill_before.evalsha, evalsha);
    assert_int_equal(now.set - bill_before.set, set);
    assert_between(now.pttl - bill_before.pttl, pttl_min, pttl_max);
    assert_int_equal(now.others - bill_before.others, 0);
    assert_true(bill_before.others > 0); /* of the handshakes: or they are not counted */
}

/* Until all is answered, and nobody sends any more. */
static void calm(void)
{
    size_t bytes;
    size_t before;

    do {
        int64_t end_ms = support_now_ms() + INT64_C(50) * support_time_factor();
        size_t i;

        before = bytes = 0;
        for (i = 0; i < world.set.count; i++)
            before += proxy_bytes(world.proxies[i], PROXY_TO_CLIENT);
        while (support_now_ms() < end_ms)
            turn();
        for (i = 0; i < world.set.count; i++)
            bytes += proxy_bytes(world.proxies[i], PROXY_TO_CLIENT);
    } while (bytes != before);
}

static void assert_next(rlk_posix_client *posix, rlk_event_type type, rlk_result result)
{
    rlk_event event;
    turn_until(rlk_client_next_event(&posix->client, &event));

    assert_int_equal(event.type, type);
    assert_result(event.result, result);
}

static void assert_next_end(rlk_client *client, rlk_operation operation, rlk_result result)
{
    rlk_event event;

    turn_until(rlk_client_next_event(client, &event));

    assert_end(&event, operation, result);
}

static void delay(int64_t ms)
{
    size_t i;

    for (i = 0; i < world.set.count; i++) {
        proxy_delay(world.proxies[i], PROXY_TO_SERVER, (int)ms);
        proxy_delay(world.proxies[i], PROXY_TO_CLIENT, (int)ms);
    }
}

static void lead_and_follow(bool both)
{
    assert_result(rlk_campaign_start(&anna), RLK_PENDING);
    assert_next(A, RLK_EV_ACQUIRED, RLK_OK);
    calm(); /* on all servers, not only on a quorum */
    assert_result(rlk_campaign_start(&bert), RLK_PENDING);
    if (both)
        assert_result(rlk_campaign_start(&carl), RLK_PENDING);
    calm();
}

/*
 * The release goes there, the push comes back: one round trip. The attempt: another. Of several
 * servers, each is asked before whether the key is gone: a third, and the pause in which one of
 * many would be first.
 */
static void test_campaign_hand_off_takes_three_round_trips(void **state)
{
    static const size_t sizes[] = {1, 3};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        int64_t trips = sizes[i] == 1 ? 2 : 3;
        int64_t start_ms;

        begin(sizes[i], TTL_MS);
        lead_and_follow(false);
        delay(DELAY_MS);
        start_ms = support_now_ms();
        assert_result(rlk_resign_start(&anna), RLK_PENDING);
        turn_until(rlk_is_held(&bert));

        assert_between(support_now_ms() - start_ms, trips * TRIP_MS,
                       3 * TRIP_MS + TRIP_MS * 3 / 4 * support_time_factor());
        assert_next(B, RLK_EV_ACQUIRED, RLK_OK);
        assert_next_end(&A->client, RLK_OP_RELEASE, RLK_OK);
        end();
    }
}

/* One EVALSHA, one push, one SET, and nothing more. */
static void test_campaign_hand_off_takes_two_commands(void **state)
{
    rlk_stats first;
    rlk_stats last;

    (void)state;
    begin(1, TTL_MS);
    lead_and_follow(false);
    server_do(world.set.servers[0], "CONFIG RESETSTAT");
    bill_begin();
    rlk_client_stats(&B->client, &first);
    assert_result(rlk_resign_start(&anna), RLK_PENDING);
    assert_next(B, RLK_EV_ACQUIRED, RLK_OK);
    assert_next_end(&A->client, RLK_OP_RELEASE, RLK_OK);
    calm();
    rlk_client_stats(&B->client, &last);
    assert_bill(1, 1, 0, 0);
    assert_int_equal(server_calls(world.set.servers[0], "evalsha"), 1);
    assert_int_equal(server_calls(world.set.servers[0], "set"), 1);
    assert_int_equal(server_calls(world.set.servers[0], "pttl"), 0);
    assert_int_equal(seen_by[0].commands, 1);
    assert_int_equal(seen_by[0].pushes, 0);
    assert_int_equal(seen_by[1].commands, 1);
    assert_int_equal(seen_by[1].pushes, 1);
    assert_int_equal(last.attempts - first.attempts, 1);
    assert_int_equal(last.causes[RLK_CAUSE_PUSH] - first.causes[RLK_CAUSE_PUSH], 1);
    assert_int_equal(last.acquired - first.acquired, 1);
    end();
}

/* Of two that follow each is notified, and each asks once. */
static void test_campaign_hand_off_to_one_of_two(void **state)
{
    (void)state;
    begin(1, TTL_MS);
    lead_and_follow(true);
    bill_begin();
    assert_result(rlk_resign_start(&anna), RLK_PENDING);
    turn_until(rlk_is_held(&bert) || rlk_is_held(&carl));

    calm();
    assert_true(rlk_is_held(&bert) != rlk_is_held(&carl));
    assert_bill(1, 2, 1, 1); /* who came too late asks for how long */
    assert_int_equal(seen_by[1].commands, rlk_is_held(&bert) ? 1 : 2);
    assert_int_equal(seen_by[2].commands, rlk_is_held(&carl) ? 1 : 2);
    end();
}

/* Each server of three is asked whether the key is gone, and then for it; not the third any more if
 * two have said so, and again where the release came after the question. */
static void test_campaign_hand_off_on_three_servers(void **state)
{
    (void)state;
    begin(3, TTL_MS);
    lead_and_follow(false);
    bill_begin();
    assert_result(rlk_resign_start(&anna), RLK_PENDING);
    assert_next(B, RLK_EV_ACQUIRED, RLK_OK);
    assert_next_end(&A->client, RLK_OP_RELEASE, RLK_OK);
    calm();
    assert_bill(3, 3, 2, 6);
    end();
}

/* The leader is gone, and gave nothing back: when the TTL has passed, one attempt. `active`: the
 * server deletes expired keys without a command, and may be first. */
static void after_a_death(size_t count, bool active)
{
    int64_t ttl_ms = INT64_C(800) * support_time_factor();
    rlk_stats first;
    rlk_stats last;
    int64_t start_ms;
    uint32_t pushes;
    size_t i;

    begin(count, ttl_ms);
    for (i = 0; i < count; i++)
        server_do(world.set.servers[i], "DEBUG SET-ACTIVE-EXPIRE %d", active);
    lead_and_follow(false);
    proxied_close(&world);
    start_ms = support_now_ms();
    calm(); /* a renewal that left last may have notified it */
    bill_begin();
    rlk_client_stats(&B->client, &first);
    assert_next(B, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(support_now_ms() - start_ms, ttl_ms / 4, ttl_ms + scaled(800));
    calm();
    rlk_client_stats(&B->client, &last);
    assert_int_equal(last.attempts - first.attempts, 1);
    pushes = last.causes[RLK_CAUSE_PUSH] - first.causes[RLK_CAUSE_PUSH];
    assert_int_equal(last.causes[RLK_CAUSE_EXPIRY] - first.causes[RLK_CAUSE_EXPIRY] + pushes, 1);
    if (!active)
        assert_int_equal(pushes, 0);
    if (count == 1)
        assert_bill(0, 1, 0, 0);
    else /* asked perhaps twice: by the watch, and by the server's word */
        assert_bill(0, 3, 2, 6);
    end();
}

static void test_campaign_hand_off_after_a_death(void **state)
{
    (void)state;
    after_a_death(1, false);
    after_a_death(1, true);
    after_a_death(3, false);
    after_a_death(3, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_campaign_hand_off_takes_three_round_trips),
        support_test(test_campaign_hand_off_takes_two_commands),
        support_test(test_campaign_hand_off_to_one_of_two),
        support_test(test_campaign_hand_off_on_three_servers),
        support_test(test_campaign_hand_off_after_a_death),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
