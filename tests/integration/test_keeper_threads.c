/* SPDX-License-Identifier: MIT
 *
 * The keeper: a lease is renewed while the program does something else, and any thread can ask for
 * its state. To be run under the thread sanitizer too.
 */
#include "resplock/adapters/keeper.h"

#include "child.h"
#include "server.h"
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY "foobar"

static rlk_keeper keeper;
static rlk_kept kept;
static rlk_posix_client posix;
static rlk_lock lock;
static server *redis;
static bool started;

static int64_t ttl(void)
{
    return scaled(600);
}

/* A lock that is held, and a keeper. */
static void start_with(int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    const char *url;

    if (started) /* by a test that failed */
        rlk_keeper_stop(&keeper);
    started = true;
    redis = server_start(NULL);
    url = server_url(redis);
    config.ttl_ms = ttl_ms;
    memset(&kept, 0, sizeof kept);
    assert_result(rlk_posix_open(&posix, url, NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_keeper_start(&keeper, &url, NULL, 1, NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
}

static void start(void)
{
    start_with(ttl());
}

static void start_kept_with(int64_t ttl_ms)
{
    start_with(ttl_ms);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
    assert_false(rlk_is_held(&lock));
    assert_true(rlk_keeper_is_held(&keeper, &kept));
    assert_result(rlk_keeper_result(&keeper, &kept), RLK_OK);
}

static void start_kept(void)
{
    start_kept_with(ttl());
}

static void stop(void)
{
    rlk_keeper_stop(&keeper);
    (void)rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    server_free(redis);
}

static bool readable(int64_t ms)
{
    struct pollfd fd = {rlk_keeper_fd(&keeper), POLLIN, 0};

    return poll(&fd, 1, (int)ms) == 1;
}

/* It is lost, and each way of asking says so, once. */
static void expect_loss(void)
{
    assert_true(readable(scaled(10000)));
    assert_ptr_equal(rlk_keeper_next_lost(&keeper), &kept);
    assert_null(rlk_keeper_next_lost(&keeper));
    assert_false(readable(0));
    assert_false(rlk_keeper_is_held(&keeper, &kept));
    assert_int_equal(rlk_keeper_until_ms(&keeper, &kept), 0);
    assert_result(rlk_keeper_result(&keeper, &kept), RLK_LOST);
}

/* ---- Kept ---- */

static void test_keeper_renews_while_the_program_sleeps(void **state)
{
    char token[RLK_TOKEN_MAX + 1];
    int64_t end_ms;

    (void)state;
    start();
    (void)rlk_lock_token(&lock, token, sizeof token);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
    end_ms = support_now_ms() + 5 * ttl();
    while (support_now_ms() < end_ms) {
        int64_t until_ms = rlk_keeper_until_ms(&keeper, &kept);
        int64_t left_ms = server_integer(redis, "PTTL " KEY);

        /* it is held, and no longer than its key is there */
        assert_true(until_ms > 0 && left_ms > 0);
        assert_true(until_ms <= rlk_system_now_ms(NULL) + left_ms + 1);
        assert_string_equal(server_text(redis, "GET " KEY), token);
        support_sleep_ms(10);
    }
    assert_false(readable(0));
    assert_null(rlk_keeper_next_lost(&keeper));
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    assert_false(rlk_keeper_is_held(&keeper, &kept));
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(server_integer(redis, "EXISTS " KEY), 0);
    stop();
}

/* Back at once, before or after the thread saw it, again and again. */
static void test_keeper_gives_back_at_any_time(void **state)
{
    unsigned i;

    (void)state;
    start();
    for (i = 0; i < 200; i++) {
        assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
        if (i % 3 == 1)
            support_sleep_ms(1);
        assert_true(rlk_keeper_is_held(&keeper, &kept));
        assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
        assert_true(rlk_is_held(&lock));
        if (i % 10 == 9) { /* another lease, another token */
            assert_result(rlk_release(&lock), RLK_OK);
            assert_int_equal(server_integer(redis, "EXISTS " KEY), 0);
            assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
        }
    }
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

#define MANY 20

static void test_keeper_keeps_many(void **state)
{
    static rlk_kept many[MANY];
    static rlk_lock locks[MANY];
    static char keys[MANY][8];
    rlk_lock_config config = rlk_lock_config_default();
    unsigned i;

    (void)state;
    start();
    config.ttl_ms = ttl();
    memset(many, 0, sizeof many);
    for (i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "key%u", i);
        assert_result(rlk_lock_init(&locks[i], &posix.client, keys[i], &config), RLK_OK);
        assert_result(rlk_acquire(&locks[i], RLK_TRY), RLK_OK);
        assert_result(rlk_keeper_keep(&keeper, &many[i], &locks[i]), RLK_OK);
    }
    support_sleep_ms(3 * ttl());
    for (i = 0; i < MANY; i++) {
        assert_true(rlk_keeper_is_held(&keeper, &many[i]));
        if (i % 2 == 0)
            assert_result(rlk_keeper_give_back(&keeper, &many[i], &locks[i]), RLK_OK);
    }
    rlk_keeper_stop(&keeper);
    for (i = 1; i < MANY; i += 2)
        assert_result(rlk_keeper_give_back(&keeper, &many[i], &locks[i]), RLK_OK);
    for (i = 0; i < MANY; i++) {
        assert_result(rlk_release(&locks[i]), RLK_OK);
        assert_result(rlk_lock_close(&locks[i]), RLK_OK);
    }
    stop();
}

/* Any thread may ask, while another gives and takes. */
static int asking; /* atomic */

static void *ask(void *argument)
{
    unsigned *held = (unsigned *)argument;

    while (__atomic_load_n(&asking, __ATOMIC_ACQUIRE) != 0)
        *held += rlk_keeper_is_held(&keeper, &kept) && rlk_keeper_until_ms(&keeper, &kept) > 0;
    return NULL;
}

static void test_keeper_answers_any_thread(void **state)
{
    pthread_t threads[2];
    unsigned held[2] = {0, 0};
    unsigned i;

    (void)state;
    start();
    __atomic_store_n(&asking, 1, __ATOMIC_RELEASE);
    for (i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &held[i]), 0);
    for (i = 0; i < 20; i++) {
        assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
        support_sleep_ms(2);
        assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    }
    __atomic_store_n(&asking, 0, __ATOMIC_RELEASE);
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(held[i] > 0);
    }
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* ---- Lost ---- */

/* Somebody deletes the key: the loss is reported at once, and the key is never made again. */
static void test_keeper_never_creates_the_key_again(void **state)
{
    int64_t start_ms;

    (void)state;
    start_kept();
    support_sleep_ms(ttl());
    assert_int_equal(server_integer(redis, "DEL " KEY), 1);
    start_ms = support_now_ms();
    expect_loss();
    assert_between(support_now_ms() - start_ms, 0, ttl());
    support_sleep_ms(2 * ttl());
    assert_int_equal(server_integer(redis, "EXISTS " KEY), 0);
    assert_int_equal(server_calls(redis, "set"), 1);
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_LOST);
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_NOT_HELD);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK); /* and all begins anew */
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
    support_sleep_ms(2 * ttl());
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* Somebody else has the key then: he is left alone. */
static void test_keeper_leaves_another_holder_alone(void **state)
{
    (void)state;
    start_kept();
    support_sleep_ms(ttl());
    server_do(redis, "SET " KEY " usurper");
    expect_loss();
    support_sleep_ms(2 * ttl());
    assert_string_equal(server_text(redis, "GET " KEY), "usurper");
    assert_int_equal(server_integer(redis, "PTTL " KEY), -1);
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_LOST);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    stop();
}

/* The server stands still: it is over when its lease is, and never claimed for longer. */
static void test_keeper_claims_no_longer_than_the_lease(void **state)
{
    int64_t until_ms;

    (void)state;
    start_kept();
    support_sleep_ms(2 * ttl());
    server_pause(redis);
    support_sleep_ms(ttl() / 10); /* what was under way has come */
    until_ms = rlk_keeper_until_ms(&keeper, &kept);
    assert_true(until_ms > 0);
    while (rlk_keeper_is_held(&keeper, &kept))
        support_sleep_ms(1);
    assert_true(rlk_system_now_ms(NULL) >= until_ms); /* and it was not cut short */
    expect_loss();
    server_resume(redis);
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_LOST);
    stop();
}

/* Lost on the way to the keeper, which is busy with nothing, by a server that forgot all. */
static void test_keeper_after_a_restart(void **state)
{
    (void)state;
    start_kept();
    support_sleep_ms(ttl());
    server_restart(redis, false);
    expect_loss();
    assert_int_equal(server_integer(redis, "EXISTS " KEY), 0);
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_LOST);
    stop();
}

/* The lease survives a short outage: the next connection renews it. */
static void test_keeper_survives_a_lost_connection(void **state)
{
    unsigned i;

    (void)state;
    start_kept_with(3 * ttl());
    for (i = 0; i < 4; i++) {
        int64_t until_ms;

        (void)server_text(redis, "CLIENT KILL TYPE normal");
        until_ms = rlk_keeper_until_ms(&keeper, &kept);
        assert_true(until_ms > 0);
        wait_until(rlk_keeper_until_ms(&keeper, &kept) > until_ms);
    }
    assert_true(rlk_keeper_is_held(&keeper, &kept));
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* ---- Refused ---- */

/* What the keeper's client can't take over ends with its lease, and can be had back. */
static void test_keeper_refuses_what_it_cannot_keep(void **state)
{
    rlk_posix_options options = {0};
    const char *url;

    (void)state;
    start();
    rlk_keeper_stop(&keeper);
    url = server_url(redis);
    options.drift_ms = ttl(); /* no lease of that TTL outlasts it */
    assert_result(rlk_keeper_start(&keeper, &url, NULL, 1, &options), RLK_OK);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
    assert_true(readable(scaled(10000)));
    assert_ptr_equal(rlk_keeper_next_lost(&keeper), &kept);
    assert_result(rlk_keeper_result(&keeper, &kept), RLK_E_TTL);
    if (rlk_keeper_is_held(&keeper, &kept)) /* it still is, unless this machine was slow */
        assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    stop();
}

static void test_keeper_arguments(void **state)
{
    static const char *const bad = "http://localhost";
    rlk_keeper other;
    const char *url;

    (void)state;
    start();
    url = server_url(redis);
    assert_result(rlk_keeper_start(NULL, &url, NULL, 1, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_keeper_start(&other, NULL, NULL, 1, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_keeper_start(&other, &url, NULL, 2, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_keeper_start(&other, &bad, NULL, 1, NULL), RLK_E_URL_SCHEME);
    rlk_keeper_stop(&other); /* harmless */
    assert_result(rlk_keeper_keep(NULL, &kept, &lock), RLK_E_ARGUMENT);
    assert_result(rlk_keeper_keep(&keeper, NULL, &lock), RLK_E_ARGUMENT);
    assert_result(rlk_keeper_keep(&keeper, &kept, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_NOT_HELD);
    assert_result(rlk_keeper_result(&keeper, &kept), RLK_NOT_HELD);
    assert_false(rlk_keeper_is_held(&keeper, &kept));
    assert_false(rlk_keeper_is_held(NULL, &kept));
    assert_null(rlk_keeper_next_lost(NULL));
    assert_int_equal(rlk_keeper_fd(NULL), -1);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_NOT_HELD);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_OK);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_E_STATE);
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    rlk_keeper_stop(&keeper);
    rlk_keeper_stop(&keeper);
    assert_result(rlk_keeper_keep(&keeper, &kept, &lock), RLK_E_CLOSED);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

/* A child holds nothing, and disturbs nothing. */
static void test_keeper_in_a_forked_child(void **state)
{
    pid_t pid;

    (void)state;
    start_kept();
    support_sleep_ms(ttl());
    pid = child_fork();
    if (pid == 0) {
        CHILD_CHECK(!rlk_keeper_is_held(&keeper, &kept));
        CHILD_CHECK(rlk_keeper_keep(&keeper, &kept, &lock) == RLK_E_FORKED);
        CHILD_CHECK(rlk_keeper_give_back(&keeper, &kept, &lock) == RLK_E_FORKED);
        CHILD_CHECK(rlk_keeper_next_lost(&keeper) == NULL);
        rlk_keeper_stop(&keeper);
        _exit(0);
    }
    assert_int_equal(child_exit_code(pid), 0);
    support_sleep_ms(2 * ttl());
    assert_true(rlk_keeper_is_held(&keeper, &kept));
    assert_result(rlk_keeper_give_back(&keeper, &kept, &lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_keeper_renews_while_the_program_sleeps),
        support_test(test_keeper_gives_back_at_any_time),
        support_test(test_keeper_keeps_many),
        support_test(test_keeper_answers_any_thread),
        support_test(test_keeper_never_creates_the_key_again),
        support_test(test_keeper_leaves_another_holder_alone),
        support_test(test_keeper_claims_no_longer_than_the_lease),
        support_test(test_keeper_after_a_restart),
        support_test(test_keeper_survives_a_lost_connection),
        support_test(test_keeper_refuses_what_it_cannot_keep),
        support_test(test_keeper_arguments),
        support_test(test_keeper_in_a_forked_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
