/* SPDX-License-Identifier: MIT
 *
 * Nodes of a quorum that are lost under a lock that renews itself and one that waits: as many as
 * may be, one too many, one after the other; dead, standing still, cut off, or restarted without
 * their data.
 */
#include "nodes.h"
#include "proxy.h"

#include <string.h>

#define NODES 5
#define KEY   "foobar"

/* Both clients' nodes are behind the same proxies. */
static nodes set;
static nodes other;
static proxy *proxies[NODES];
static rlk_lock lock;
static rlk_lock waiter;

/* ---- Ways to lose a node ---- */

typedef struct way {
    const char *name;
    void (*cut)(size_t node);
    void (*heal)(size_t node);
} way;

static void kill_node(size_t node)
{
    server_save(set.servers[node]);
    server_kill(set.servers[node]);
}

static void restart_node(size_t node)
{
    server_restart(set.servers[node], true);
}

static void restart_node_empty(size_t node)
{
    server_restart(set.servers[node], false);
}

static void stop_node(size_t node)
{
    server_pause(set.servers[node]);
}

static void continue_node(size_t node)
{
    server_resume(set.servers[node]);
}

static void mute_node(size_t node)
{
    proxy_hold(proxies[node], PROXY_TO_SERVER);
    proxy_hold(proxies[node], PROXY_TO_CLIENT);
    proxy_mute(proxies[node], true);
}

static void unmute_node(size_t node)
{
    proxy_mute(proxies[node], false);
    proxy_release(proxies[node]);
}

static const way ways[] = {
    {"killed", kill_node, restart_node},
    {"killed, data lost", kill_node, restart_node_empty},
    {"stopped", stop_node, continue_node},
    {"muted", mute_node, unmute_node},
};

/* ---- What is the same ---- */

static void open_client(nodes *clients, const char *const *urls)
{
    rlk_options options;
    memset(&options, 0, sizeof(options));
    options.connect_ms = 1000;
    options.response_ms = scaled(200);
    options.backoff_min_ms = 2;
    options.backoff_max_ms = 50;
    options.settle_ms = scaled(300);
    nodes_open_urls(clients, urls, NODES, &options);
}

static void connect_all(rlk_client *client)
{
    size_t i;
    for (i = 0; i < NODES; i++)
        wait_until(rlk_conn_get_state(rlk_client_conn(client, i)) == RLK_CONN_READY ||
                   (loop_serve(client, 1), false));
}

static void assert_only(rlk_event_type first, rlk_event_type second, const rlk_event *event)
{
    if (event->type != first && event->type != second)
        support_fail("event %d with %s", (int)event->type, rlk_result_name(event->result));
}

/* Serves both for a time: held all the time, and renewed; nobody else has it. Returns how often.
 * A try may have been given up while the test was busy with a server. */
static unsigned serve_both(int64_t ms, const way *what)
{
    int64_t until = support_now_ms() + ms;
    int64_t turn_ms = support_now_ms();
    int64_t longest_ms = 0; /* turn: tells of a machine that is too slow for this test */
    unsigned renewed = 0;
    while (support_now_ms() < until) {
        rlk_event event;
        while (loop_next_event(&set.client, &event, 2)) {
            if (event.type != RLK_EV_RENEWED && event.type != RLK_EV_RENEW_UNKNOWN)
                support_fail("%s: event %d with %s, longest turn %d ms", what->name,
                             (int)event.type, rlk_result_name(event.result), (int)longest_ms);
            renewed += event.type == RLK_EV_RENEWED;
        }
        assert_true(rlk_is_held(&lock));
        loop_quiet(&other.client, 2);
        if (support_now_ms() - turn_ms > longest_ms)
            longest_ms = support_now_ms() - turn_ms;
        turn_ms = support_now_ms();
    }
    return renewed;
}

static void begin(int64_t ttl_ms, int64_t node_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    const char *urls[NODES];
    rlk_holder holders[NODES];
    size_t i;
    for (i = 0; i < NODES; i++) {
        set.servers[i] = server_start(NULL);
        proxies[i] = proxy_start(server_url(set.servers[i]), false);
        urls[i] = proxy_url(proxies[i]);
    }
    open_client(&set, urls);
    open_client(&other, urls);
    config.ttl_ms = scaled(ttl_ms);
    config.node_ms = scaled(node_ms);
    config.auto_renew = true;
    config.safety_ms =
        scaled(2000); /* what nobody tells, because its node was away, is looked for */
    assert_result(rlk_lock_init(&lock, &set.client, KEY, &config), RLK_OK);
    assert_result(rlk_lock_init(&waiter, &other.client, KEY, &config), RLK_OK);
    assert_result(rlk_query(&lock, holders, NODES), RLK_NOT_HELD);
    assert_result(rlk_query(&waiter, holders, NODES), RLK_NOT_HELD);
    connect_all(&set.client);
    connect_all(&other.client);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    loop_serve(&set.client, 20);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    serve_both(scaled(300), &ways[0]);
}

static void end(void)
{
    nodes_close(&other);
    nodes_close(&set);
    support_teardown(NULL);
}

/* It is released, and whoever waits has it. */
static void hand_over(void)
{
    assert_result(rlk_release(&lock), RLK_OK);
    assert_event(&other.client, RLK_EV_ACQUIRED, RLK_OK);
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_check(&waiter), RLK_OK);
    assert_result(rlk_release(&waiter), RLK_OK);
}

/* ---- Two of five ---- */

static void test_fault_37_two_of_five_cut_off_under_renewals(void **state)
{
    size_t i;
    size_t k;
    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++) {
        begin(1200, 400);
        for (k = 0; k < 2; k++)
            ways[i].cut(k);
        assert_true(serve_both(scaled(1800), &ways[i]) >= 2);
        if (i % 2 == 0) /* they come back before, or never */
            for (k = 0; k < 2; k++)
                ways[i].heal(k);
        assert_true(serve_both(scaled(800), &ways[i]) >= 1);
        hand_over();
        end();
    }
}

/* Each in its turn, so that none has been there all the time. */
static void test_loss_of_each_node_in_turn(void **state)
{
    size_t i;
    size_t k;
    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++) {
        if (ways[i].heal == restart_node_empty) /* its token is not created again */
            continue;
        begin(1200, 400);
        for (k = 0; k < NODES; k++) {
            ways[i].cut(k);
            serve_both(scaled(350), &ways[i]);
            ways[i].heal(k);
            serve_both(scaled(450), &ways[i]); /* the next renewal puts its TTL right */
            connect_all(&set.client);
        }
        hand_over();
        end();
    }
}

/* ---- Three of five ---- */

/* Unknown, then lost, by its own deadline; the waiter has it when the nodes are there again, and
 * not before. */
static void test_fault_38_three_of_five_cut_off_under_renewals(void **state)
{
    size_t i;
    size_t k;
    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++) {
        unsigned unknown = 0;
        int64_t left_ms;
        int64_t start_ms;
        rlk_event event;
        begin(1500, 200);
        for (k = 0; k < 3; k++)
            ways[i].cut(k);
        left_ms = rlk_remaining_ms(&lock);
        start_ms = support_now_ms();
        for (;;) {
            loop_quiet(&other.client, 1);
            if (!loop_next_event(&set.client, &event, 1))
                continue;
            if (event.type == RLK_EV_LOST)
                break;
            /* the last cut may have come behind a renewal */
            assert_only(RLK_EV_RENEW_UNKNOWN, RLK_EV_RENEWED, &event);
            if (event.type == RLK_EV_RENEWED)
                left_ms = rlk_remaining_ms(&lock) + (support_now_ms() - start_ms);
            else
                unknown++;
        }
        assert_true(unknown >= 1);
        assert_between(support_now_ms() - start_ms, left_ms - 1, left_ms + scaled(150));
        assert_false(rlk_is_held(&lock));
        for (k = 0; k < 3; k++)
            ways[i].heal(k);
        for (k = 0; !loop_next_event(&other.client, &event, 2); k++) {
            loop_serve(&set.client, 2); /* cleans up */
            if (k > 5000)
                support_fail("%s: the waiter is not woken", ways[i].name);
        }
        assert_int_equal(event.type, RLK_EV_ACQUIRED);
        assert_false(rlk_is_held(&lock));
        loop_serve(&set.client, scaled(50)); /* what comes late takes nothing away */
        assert_result(rlk_check(&waiter), RLK_OK);
        assert_result(rlk_release(&waiter), RLK_OK);
        end();
    }
}

/* ---- Without their data ---- */

/* Fault 20 of a quorum: lost, known at once, and had by the waiter. */
static void test_fault_20_quorum_restarted_under_renewals(void **state)
{
    int64_t start_ms;
    size_t k;
    (void)state;
    begin(30000, 2000);
    for (k = 0; k < 2; k++)
        server_restart(set.servers[k], false);
    serve_both(scaled(300), &ways[1]);
    server_restart(set.servers[2], false);
    start_ms = support_now_ms();
    assert_event(&set.client, RLK_EV_LOST, RLK_LOST);
    assert_between(support_now_ms() - start_ms, 0, scaled(1500)); /* a renewal: after 10 s */
    wait_until((loop_serve(&set.client, 1), nodes_holding(&set, KEY, NULL) == 0) ||
               (loop_serve(&other.client, 1), rlk_is_held(&waiter)));
    assert_event(&other.client, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_check(&waiter), RLK_OK);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_37_two_of_five_cut_off_under_renewals),
        support_test(test_loss_of_each_node_in_turn),
        support_test(test_fault_38_three_of_five_cut_off_under_renewals),
        support_test(test_fault_20_quorum_restarted_under_renewals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
