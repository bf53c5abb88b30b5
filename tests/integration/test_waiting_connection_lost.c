/* SPDX-License-Identifier: MIT
 *
 * Connections that are lost under a lock that waits, on real servers: it asks again on the next
 * connection, has the server notify it again, and wakes up as if nothing had been.
 */
#include "waiting_lost.h"

/* ---- Ways to lose it ---- */

static void cut_fin(void)
{
    size_t i;

    for (i = 0; i < world.set.count; i++)
        proxy_cut(world.proxies[i], PROXY_FIN);
}

static void cut_rst(void)
{
    size_t i;

    for (i = 0; i < world.set.count; i++)
        proxy_cut(world.proxies[i], PROXY_RST);
}

static void kill_one(server *redis)
{
    assert_true(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes") >= 1);
}

static void client_kill(void)
{
    nodes_each(&world.set, kill_one);
}

static void restart_one(server *redis)
{
    server_save(redis);
    server_restart(redis, true);
}

static void restart_with_data(void)
{
    nodes_each(&world.set, restart_one);
}

/* The push is on its way when the connection ends. */
static void lose_a_push(void)
{
    size_t i;

    proxied_hold(&world, PROXY_TO_CLIENT);
    nodes_each(&world.set, free_it);
    nodes_each(&world.set, give_to_a_stranger);
    for (i = 0; i < world.set.count; i++)
        wait_until(proxy_held(world.proxies[i], PROXY_TO_CLIENT) > 0);

    cut_rst();
}

typedef struct loss {
    const char *name;
    void (*happen)(void);
} loss;

static const loss losses[] = {
    {"FIN", cut_fin},
    {"RST", cut_rst},
    {"CLIENT KILL", client_kill},
    {"restart with the data", restart_with_data},
    {"lost push", lose_a_push},
};

/* Once more, and then released by the holder. */
static void notified_after(const loss *what, size_t count)
{
    int round;

    start(count);
    nodes_each(&world.set, give_to_a_stranger);
    begin_to_wait();
    for (round = 0; round < 2; round++) {
        int accepted = proxied_accepted(&world);
        int asked = proxied_count(&world, "PTTL");

        what->happen();
        /* each node is asked again; on several of them there may have been a pause just then */
        serve_until(client(), proxied_accepted(&world) >= accepted + (int)count &&
                                  proxied_count(&world, "PTTL") >= asked + (int)count);

        proxied_calm(&world);
        loop_quiet(client(), 1);
        assert_int_equal(rlk_lock_operation(&waiter), RLK_OP_ACQUIRE);
    }
    nodes_each(&world.set, free_it);
    assert_acquired(what->name);
    assert_result(rlk_release(&waiter), RLK_OK);
    stop();
}

static void test_loss_under_a_waiter_that_is_notified_after_it(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(losses) * COUNT_OF(sizes); i++)
        notified_after(&losses[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)]);
}

static void restart_without_data(server *redis)
{
    server_restart(redis, false);
}

/* Released while there is no connection: had with the first one. */
static void free_meanwhile(size_t count)
{
    start(count);
    nodes_each(&world.set, give_to_a_stranger);
    begin_to_wait();
    outage_begin(&outage_refused, &world, 0, count);
    serve_until(client(), !nodes_ready(&world.set));

    nodes_each(&world.set, free_it);
    loop_quiet(client(), 50);
    outage_end(&outage_refused, &world, 0, count);
    assert_acquired("released meanwhile");
    assert_result(rlk_release(&waiter), RLK_OK);

    /* or gone with the server's data */
    nodes_each(&world.set, give_to_a_stranger);
    begin_to_wait();
    nodes_each(&world.set, restart_without_data);
    assert_acquired("restarted without data");
    assert_result(rlk_release(&waiter), RLK_OK);
    stop();
}

static void test_loss_under_a_waiter_that_is_free_after_it(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        free_meanwhile(sizes[i]);
}

/* ---- In the middle of a notification, and of a question ---- */

/* Cut behind each byte of the push. */
static void test_loss_at_every_byte_of_a_push(void **state)
{
    size_t len = 0;
    size_t n;

    (void)state;
    start(1);
    for (n = 0; n == 0 || n <= len; n++) {
        nodes_each(&world.set, give_to_a_stranger);
        begin_to_wait();
        if (n == 0) { /* its length */
            proxied_hold(&world, PROXY_TO_CLIENT);
            nodes_each(&world.set, free_it);
            wait_until((len = proxy_held(world.proxies[0], PROXY_TO_CLIENT)) > 0);

            assert_int_equal(len, strlen(">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nfoobar\r\n"));
            proxied_release(&world);
        } else {
            proxy_cut_after(world.proxies[0], PROXY_TO_CLIENT, n,
                            n % 2 == 0 ? PROXY_FIN : PROXY_RST, true);
            nodes_each(&world.set, free_it);
        }
        assert_acquired("cut in a push");
        assert_result(rlk_release(&waiter), RLK_OK);
        serve_until(client(), proxied_accepted(&world) == 1 + (int)n && nodes_ready(&world.set));
    }
    stop();
}

/* One byte at a time: pushes in between replies change nothing. */
static void test_fault_32_pushes_byte_by_byte(void **state)
{
    rlk_posix_options options = proxied_options();
    int round;

    (void)state;
    options.response_timeout_ms =
        scaled(10000); /* a command of 150 bytes takes long on a busy machine */
    start_with(1, 3600000, &options);
    proxy_dribble(world.proxies[0], PROXY_TO_CLIENT, 20);
    proxy_dribble(world.proxies[0], PROXY_TO_SERVER, 20);
    for (round = 0; round < 10; round++) {
        int touch;

        nodes_each(&world.set, give_to_a_stranger);
        begin_to_wait();
        for (touch = 0; touch < 5; touch++)
            assert_int_equal(server_integer(world.set.servers[0], "PEXPIRE " KEY " 3600000"), 1);
        nodes_each(&world.set, free_it);
        assert_acquired("byte by byte");
        assert_result(rlk_release(&waiter), RLK_OK);
    }
    assert_int_equal(proxied_accepted(&world), 1); /* nothing was taken for a fault */
    stop();
}

static void touch_it(server *redis)
{
    assert_int_equal(server_integer(redis, "PEXPIRE " KEY " 3600000"), 1);
}

/* Fault 30 of an attempt that a push has caused. */
static void cut_in_the_attempt(size_t count, const char *command, proxy_action action)
{
    int sets;

    start(count);
    nodes_each(&world.set, give_to_a_stranger);
    begin_to_wait();
    sets = (int)server_calls(world.set.servers[0], "set");
    proxied_on(&world, command, action);
    if (strcmp(command, "PTTL") == 0) { /* which follows a nil, or a push of several nodes */
        nodes_each(&world.set, touch_it);
        serve_until(client(), proxied_accepted(&world) > (int)count);
    }
    nodes_each(&world.set, free_it);
    assert_acquired(command);
    proxied_calm(&world);
    assert_true(proxied_accepted(&world) > (int)count);
    if (action == PROXY_CUT_REPLY && strcmp(command, "SET") == 0)
        assert_int_equal(server_calls(world.set.servers[0], "set"), sets + 1); /* recognised */
    proxied_release(&world);
    assert_true(proxied_holding(&world, KEY, token_of(&waiter)) >= client()->client.quorum);
    assert_result(rlk_release(&waiter), RLK_OK);
    proxied_calm(&world);
    assert_int_equal(proxied_holding(&world, KEY, NULL), 0);
    stop();
}

static void test_fault_30_cut_in_the_attempt_of_a_waiter(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        cut_in_the_attempt(sizes[i], "SET", PROXY_CUT_REPLY);
        cut_in_the_attempt(sizes[i], "SET", PROXY_CUT_BEFORE);
        cut_in_the_attempt(sizes[i], "SET", PROXY_CUT_LATE);
        cut_in_the_attempt(sizes[i], "PTTL", PROXY_CUT_REPLY);
        cut_in_the_attempt(sizes[i], "PTTL", PROXY_CUT_BEFORE);
    }
}

/* The question that has the server notify is lost, behind a SET that was answered nil: the key goes
 * before it is asked again. */
static void test_loss_between_nil_and_the_ttl(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++) {
        start(sizes[i]);
        nodes_each(&world.set, give_to_a_stranger);
        proxied_on(&world, "PTTL", PROXY_CUT_BEFORE);
        assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
        serve_until(client(), proxied_count(&world, "PTTL") >= (int)client()->client.quorum);

        nodes_each(&world.set, free_it);
        assert_acquired("cut between nil and TTL");
        assert_result(rlk_release(&waiter), RLK_OK);
        stop();
    }
}

/* ---- A holder who renews, a waiter, and connections that end all the time ---- */

#define CHAOS_ROUNDS 12

/* Neither notices; and then it is handed over, and back. */
static void chaos(size_t count)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_event event;
    int round;

    start(count);
    rlk_lock_close(&holder);
    config.ttl_ms = scaled(1200);
    config.auto_renew = true;
    assert_result(rlk_lock_init(&holder, &others.posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_acquire(&holder, RLK_TRY), RLK_OK);
    serve_until(&others.posix, nodes_holding(&others, KEY, token_of(&holder)) == count);

    begin_to_wait();
    for (round = 0; round < CHAOS_ROUNDS; round++) {
        int accepted = proxied_accepted(&world);
        int64_t until = support_now_ms() + scaled(100);

        switch (round % 3) {
        case 0:
            client_kill(); /* both clients' */
            break;
        case 1:
            cut_rst();
            break;
        default:
            kill_one(world.set.servers[0]);
            break;
        }
        do {
            while (loop_next_event(&others.posix, &event, 3))
                assert_int_equal(event.type, RLK_EV_RENEWED);
            loop_quiet(client(), 3);
            assert_true(rlk_is_held(&holder));
        } while (support_now_ms() < until || proxied_accepted(&world) == accepted);
    }
    assert_int_equal(rlk_lock_operation(&waiter), RLK_OP_ACQUIRE);
    assert_result(rlk_release(&holder), RLK_OK);
    assert_acquired("after many losses");
    assert_result(rlk_release(&waiter), RLK_OK);
    stop();
}

static void test_loss_again_and_again(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        chaos(sizes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_loss_under_a_waiter_that_is_notified_after_it),
        support_test(test_loss_under_a_waiter_that_is_free_after_it),
        support_test(test_loss_at_every_byte_of_a_push),
        support_test(test_fault_32_pushes_byte_by_byte),
        support_test(test_fault_30_cut_in_the_attempt_of_a_waiter),
        support_test(test_loss_between_nil_and_the_ttl),
        support_test(test_loss_again_and_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
