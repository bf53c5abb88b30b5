/* SPDX-License-Identifier: MIT
 *
 * Locks that renew themselves, wait, and queue, and what a program does to them at any moment:
 * closes them, releases them from within a handler, releases them twice. By the faults' numbers of
 * docs/correctness.md.
 */
#include "proxied.h"

#include <string.h>

#define KEY "foobar"

enum {
    HOLDS,
    FIRST,
    SECOND,
    THIRD,
    LOCKS
};

static proxied world;
static rlk_lock locks[LOCKS];

static rlk_posix_client *client(void)
{
    return &world.set.posix;
}

static proxy *middle(void)
{
    return world.proxies[0];
}

static server *redis(void)
{
    return world.set.servers[0];
}

/* One is held and renews itself, the others wait for it in their order. */
static void start(int64_t ttl_ms)
{
    rlk_posix_options options = proxied_options();
    rlk_lock_config config = config_renewing(ttl_ms);
    size_t i;

    options.response_timeout_ms = scaled(10000);
    options.settle_timeout_ms = scaled(300);
    config.recheck_max_ms = 3600000;
    config.watch_after_ms = config_unwatched.watch_after_ms;
    proxied_start(&world, 1, false, NULL, &options);
    for (i = 0; i < LOCKS; i++) {
        config.user = &locks[i];
        assert_result(rlk_lock_init(&locks[i], &client()->client, KEY, &config), RLK_OK);
    }
    assert_result(rlk_acquire(&locks[HOLDS], RLK_TRY), RLK_OK);
    for (i = FIRST; i < LOCKS; i++)
        assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
    proxied_calm(&world);
}

static void stop(void)
{
    proxied_close(&world);
    support_teardown(NULL);
}

static rlk_event next_but_renewals(void)
{
    rlk_event event;

    do {
        if (!loop_next_event(client(), &event, scaled(10000)))
            support_fail("no event came");
        assert_ptr_equal(event.user, event.lock);
    } while (event.type == RLK_EV_RENEWED);
    return event;
}

static void assert_next(rlk_event_type type, const rlk_lock *lock)
{
    rlk_event event = next_but_renewals();

    assert_int_equal(event.type, type);
    assert_ptr_equal(event.lock, lock);
}

static void assert_next_end(rlk_operation operation, rlk_result result, const rlk_lock *lock)
{
    rlk_event event = next_but_renewals();

    assert_end(&event, operation, result);
    assert_ptr_equal(event.lock, lock);
}

/* The key is taken away under its holder; then the queue goes on from `next`, each releasing. */
static void assert_queue_goes_on(size_t next)
{
    for (; next < LOCKS; next++) {
        assert_next(RLK_EV_ACQUIRED, &locks[next]);
        assert_string_equal(server_text(redis(), "GET " KEY), token_of(&locks[next]));
        assert_result(rlk_release_start(&locks[next]), RLK_PENDING);
        assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[next]);
    }
    loop_quiet(client(), 20);
    assert_null(server_text(redis(), "GET " KEY));
}

/* ---- Fault 50: closed with something under way ---------------------------------------------- */

static void close_and_scribble(size_t i, rlk_result expected)
{
    assert_result(rlk_lock_close(&locks[i]), expected);
    memset(&locks[i], 0xA5, sizeof locks[i]); /* its memory is the caller's again */
}

/* The holder, while its renewal is not answered: that finds nobody. Its key stays, and its waiters
 * are notified when it goes. */
static void test_fault_50_closed_in_a_renewal(void **state)
{
    char token[RLK_TOKEN_MAX + 1];
    int scripts;

    (void)state;
    start(900);
    scripts = proxied_count(&world, "EVALSHA");
    proxied_hold(&world, PROXY_TO_CLIENT);
    serve_until(client(), proxied_count(&world, "EVALSHA") > scripts);

    assert_true(rlk_lock_token(&locks[HOLDS], token, sizeof token) > 0);
    wait_until(proxy_held(middle(), PROXY_TO_CLIENT) > 0);

    close_and_scribble(HOLDS, RLK_UNKNOWN); /* still held: an orphan, for its TTL */
    proxied_release(&world);
    loop_serve(client(), 20);
    assert_string_equal(server_text(redis(), "GET " KEY), token);
    assert_queue_goes_on(FIRST); /* when the TTL is over */
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&client()->client, 0)), 1);
    stop();
}

/* The first of the queue, its SET unanswered, or waiting for a notification; the next one takes its
 * place. */
static void test_fault_50_first_of_a_queue_closed(void **state)
{
    int sent;

    (void)state;
    for (sent = 0; sent < 2; sent++) {
        start(60000);
        if (sent != 0) { /* notified, and asking */
            proxied_hold(&world, PROXY_TO_CLIENT);
            assert_int_equal(server_integer(redis(), "PEXPIRE " KEY " 3600000"), 1);
            proxied_release(&world);
            proxied_hold(&world, PROXY_TO_CLIENT);
            loop_serve(client(), 20);
        }
        (void)rlk_lock_close(&locks[FIRST]);
        memset(&locks[FIRST], 0xA5, sizeof locks[FIRST]);
        proxied_release(&world);
        loop_quiet(client(), 20);
        assert_result(rlk_release_start(&locks[HOLDS]), RLK_PENDING);
        assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[HOLDS]);
        assert_queue_goes_on(SECOND);
        assert_int_equal(rlk_conn_generation(rlk_client_conn(&client()->client, 0)), 1);
        stop();
    }
}

/* One in the middle of the queue, and the last. */
static void test_fault_50_others_of_a_queue_closed(void **state)
{
    (void)state;
    start(60000);
    close_and_scribble(SECOND, RLK_OK);
    assert_result(rlk_release_start(&locks[HOLDS]), RLK_PENDING);
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[HOLDS]);
    assert_next(RLK_EV_ACQUIRED, &locks[FIRST]);
    assert_result(rlk_acquire_start(&locks[HOLDS], RLK_FOREVER), RLK_PENDING); /* behind all */
    close_and_scribble(THIRD, RLK_OK);
    assert_result(rlk_release_start(&locks[FIRST]), RLK_PENDING);
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[FIRST]);
    assert_next(RLK_EV_ACQUIRED, &locks[HOLDS]);
    assert_result(rlk_release(&locks[HOLDS]), RLK_OK);
    loop_quiet(client(), 20);
    stop();
}

/* The client, with all of them. */
static void test_fault_50_client_closed_with_a_queue(void **state)
{
    rlk_event event;
    size_t i;

    (void)state;
    start(60000);
    rlk_posix_close(client());
    assert_false(rlk_client_next_event(&client()->client, &event));
    for (i = 0; i < LOCKS; i++) {
        assert_false(rlk_is_held(&locks[i]));
        assert_result(rlk_acquire(&locks[i], RLK_TRY), RLK_E_CLOSED);
        assert_result(rlk_keep_alive(&locks[i]), RLK_E_CLOSED);
        assert_result(rlk_cancel(&locks[i]), RLK_E_CLOSED);
        assert_result(rlk_resign(&locks[i]), RLK_E_CLOSED);
        assert_result(rlk_lock_close(&locks[i]), RLK_E_CLOSED);
    }
    support_teardown(NULL);
}

/* ---- Fault 51: from within a handler --------------------------------------------------------- */

/* On each RENEWED it does something to the lock whose event it is, or to others. */
static void test_fault_51_calls_from_renewed(void **state)
{
    unsigned round;

    (void)state;
    for (round = 0; round < 4; round++) {
        rlk_event event;

        start(600);
        assert_true(loop_next_event(client(), &event, scaled(5000)));
        assert_int_equal(event.type, RLK_EV_RENEWED);
        switch (round) {
        case 0:
            assert_result(rlk_release_start(event.lock), RLK_PENDING);
            assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[HOLDS]);
            assert_queue_goes_on(FIRST);
            break;
        case 1:
            assert_result(rlk_release(event.lock), RLK_OK);
            assert_queue_goes_on(FIRST);
            break;
        case 2:
            assert_result(rlk_cancel(&locks[FIRST]), RLK_OK);
            assert_next_end(RLK_OP_ACQUIRE, RLK_CANCELLED, &locks[FIRST]);
            assert_result(rlk_release_start(event.lock), RLK_PENDING);
            assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[HOLDS]);
            assert_queue_goes_on(SECOND);
            break;
        default:
            assert_result(rlk_extend(event.lock, scaled(60000)), RLK_OK);
            loop_quiet(client(), scaled(700)); /* and no renewal is due any more */
            assert_true(rlk_is_held(event.lock));
            break;
        }
        stop();
    }
}

/* On a renewal that failed, with the next try still to come: released, and what is due falls away.
 */
static void test_fault_51_release_from_renew_unknown(void **state)
{
    rlk_event event;
    int scripts;

    (void)state;
    start(900);
    server_pause(redis());
    do
        assert_true(loop_next_event(client(), &event, scaled(5000)));
    while (event.type == RLK_EV_RENEWED);
    assert_true(support_renewal_unknown(&event));
    assert_true(rlk_is_held(event.lock));
    assert_result(rlk_release_start(event.lock), RLK_PENDING);
    assert_false(rlk_is_held(event.lock));
    server_resume(redis());
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[HOLDS]);
    scripts = proxied_count(&world, "EVALSHA");
    assert_between(scripts, 2, 4);
    assert_queue_goes_on(FIRST);
    stop();
}

/* On LOST: acquired again, behind those who wait already; and a loss that was not pulled is not
 * reported the next time. */
static void test_fault_51_acquire_from_lost(void **state)
{
    rlk_event event;

    (void)state;
    start(60000);
    assert_int_equal(server_integer(redis(), "DEL " KEY), 1);
    event = next_but_renewals();
    if (event.type == RLK_EV_ACQUIRED) { /* the first pushed is the first to have it */
        assert_ptr_equal(event.lock, &locks[FIRST]);
        event = next_but_renewals();
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_result(rlk_acquire_start(event.lock, RLK_FOREVER), RLK_PENDING);
    } else {
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_result(rlk_acquire_start(event.lock, RLK_FOREVER), RLK_PENDING);
        assert_next(RLK_EV_ACQUIRED, &locks[FIRST]);
    }
    assert_ptr_equal(event.lock, &locks[HOLDS]);
    assert_result(rlk_release_start(&locks[FIRST]), RLK_PENDING);
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[FIRST]);
    assert_next(RLK_EV_ACQUIRED, &locks[SECOND]);
    assert_result(rlk_release_start(&locks[SECOND]), RLK_PENDING);
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[SECOND]);
    assert_next(RLK_EV_ACQUIRED, &locks[THIRD]);
    assert_result(rlk_release_start(&locks[THIRD]), RLK_PENDING);
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[THIRD]);
    assert_next(RLK_EV_ACQUIRED, &locks[HOLDS]);
    assert_result(rlk_check(&locks[HOLDS]), RLK_OK);
    assert_result(rlk_release(&locks[HOLDS]), RLK_OK);
    stop();
}

/* ---- Fault 52: released twice -----------------------------------------------------------------
 */

/* The second time another lock of the same client has the key, or is about to. */
static void test_fault_52_released_twice_with_a_queue(void **state)
{
    (void)state;
    start(60000);
    assert_result(rlk_release_start(&locks[HOLDS]), RLK_PENDING);
    assert_result(rlk_release_start(&locks[HOLDS]), RLK_E_STATE);
    assert_result(rlk_release(&locks[HOLDS]), RLK_E_STATE);
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[HOLDS]);
    assert_result(rlk_release(&locks[HOLDS]), RLK_NOT_HELD);
    assert_next(RLK_EV_ACQUIRED, &locks[FIRST]);
    assert_result(rlk_release(&locks[HOLDS]), RLK_NOT_HELD);
    assert_result(rlk_release_start(&locks[HOLDS]), RLK_NOT_HELD);
    assert_result(rlk_check(&locks[FIRST]), RLK_OK);
    assert_string_equal(server_text(redis(), "GET " KEY), token_of(&locks[FIRST]));
    assert_result(rlk_release_start(&locks[FIRST]), RLK_PENDING);
    assert_next_end(RLK_OP_RELEASE, RLK_OK, &locks[FIRST]);
    assert_queue_goes_on(SECOND);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_50_closed_in_a_renewal),
        support_test(test_fault_50_first_of_a_queue_closed),
        support_test(test_fault_50_others_of_a_queue_closed),
        support_test(test_fault_50_client_closed_with_a_queue),
        support_test(test_fault_51_calls_from_renewed),
        support_test(test_fault_51_release_from_renew_unknown),
        support_test(test_fault_51_acquire_from_lost),
        support_test(test_fault_52_released_twice_with_a_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
