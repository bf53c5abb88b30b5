/* SPDX-License-Identifier: MIT
 *
 * A process whose locks wait and renew themselves forks, on a real server (fault 45): the child may
 * do nothing with them, whatever it tries and however it ends, and the parent notices nothing.
 */
#define _GNU_SOURCE
#include "nodes.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static server *redis;
static rlk_client client;
static rlk_lock renewing;
static rlk_lock waiting;
static rlk_lock row; /* behind `waiting` */

#define TTL_MS 900

static rlk_lock_config config_of(int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    config.ttl_ms = scaled(ttl_ms);
    config.auto_renew = true;
    config.safety_ms = 3600000;
    return config;
}

/* A lock that is held and renews itself, one that waits for a stranger's key, one behind it. */
static void begin(const char *url, const rlk_options *options, int64_t ttl_ms)
{
    rlk_lock_config config = config_of(ttl_ms);
    assert_result(rlk_client_open(&client, url, options), RLK_OK);
    assert_result(rlk_lock_init(&renewing, &client, "held", &config), RLK_OK);
    assert_result(rlk_lock_init(&waiting, &client, "wanted", &config), RLK_OK);
    assert_result(rlk_lock_init(&row, &client, "wanted", &config), RLK_OK);
    server_do(redis, "SET wanted stranger");
    assert_result(rlk_acquire_start(&waiting, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire_start(&row, RLK_FOREVER), RLK_PENDING);
    assert_result(rlk_acquire(&renewing, RLK_TRY), RLK_OK);
}

static void end(void)
{
    rlk_client_close(&client);
    support_teardown(NULL);
}

/* The next event, in which nothing is renewed. */
static rlk_event next_event(void)
{
    rlk_event event;
    do {
        if (!loop_next_event(&client, &event, scaled(10000)))
            support_fail("no event came");
    } while (event.type == RLK_EV_RENEWED);
    return event;
}

static void assert_acquired(const rlk_lock *lock)
{
    rlk_event event = next_event();
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_ptr_equal(event.lock, lock);
}

static int exit_code_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a child an assertion would end the parent's test twice: the line number tells instead. */
#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("child: line %d: %s\n", __LINE__, #condition);                             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* ---- Fault 45: fork ------------------------------------------------------------------------ */

/* A child is refused in every call on every lock, and sends nothing. */
static void forked_calls(rlk_lock *lock)
{
    rlk_leader leader = {0};
    rlk_holder holder = {0};
    CHILD_CHECK(!rlk_is_held(lock));
    CHILD_CHECK(!rlk_is_held_at(lock, 0));
    CHILD_CHECK(rlk_remaining_ms(lock) == 0);
    CHILD_CHECK(rlk_held_ms(lock) == 0);
    CHILD_CHECK(rlk_acquire(lock, RLK_TRY) == RLK_E_FORKED);
    CHILD_CHECK(rlk_acquire_start(lock, RLK_TRY) == RLK_E_FORKED);
    CHILD_CHECK(rlk_release(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_release_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_extend(lock, 1000) == RLK_E_FORKED);
    CHILD_CHECK(rlk_extend_start(lock, 1000) == RLK_E_FORKED);
    CHILD_CHECK(rlk_renew(lock, RLK_DEFAULT) == RLK_E_FORKED);
    CHILD_CHECK(rlk_renew_start(lock, RLK_DEFAULT) == RLK_E_FORKED);
    CHILD_CHECK(rlk_keep(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_check(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_check_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_query(lock, &holder, 1) == RLK_E_FORKED);
    CHILD_CHECK(rlk_query_start(lock, &holder, 1) == RLK_E_FORKED);
    CHILD_CHECK(rlk_force_release(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_force_release_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_lead_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_step_down(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_step_down_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_leader_of(lock, &holder, &leader) == RLK_E_FORKED);
    CHILD_CHECK(rlk_cancel(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_lock_close(lock) == RLK_E_FORKED);
}

/* Nor does it, for as long as it lives, in the parent's loop that it inherited. */
static void forked_loop(int64_t ms)
{
    int64_t until = support_now_ms() + ms;
    do {
        struct pollfd fds[RLK_MAX_FDS];
        rlk_event event;
        CHILD_CHECK(rlk_client_pollfds(&client, fds, RLK_MAX_FDS) == 0);
        CHILD_CHECK(rlk_client_timeout(&client) == -1);
        CHILD_CHECK(rlk_client_deadline(&client) == RLK_NEVER);
        CHILD_CHECK(rlk_client_service(&client, NULL, 0) == RLK_E_FORKED);
        CHILD_CHECK(!rlk_client_next_event(&client, &event));
        rlk_client_tick(&client);
        support_sleep_ms(5);
    } while (support_now_ms() < until);
}

typedef enum child_end {
    CHILD_CLOSES,
    CHILD_LEAVES_SCOPES,
    CHILD_EXITS,
    CHILD_ENDS
} child_end;

/* For two TTLs, so that all that is due in the parent would be due here. */
static void forked_child(child_end how)
{
    rlk_lock *const locks[] = {&renewing, &waiting, &row};
    size_t i;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (i = 0; i < COUNT_OF(locks); i++)
        forked_calls(locks[i]);
    forked_loop(2 * scaled(TTL_MS));
    switch (how) {
    case CHILD_CLOSES:
        rlk_client_close(&client);
        for (i = 0; i < COUNT_OF(locks); i++)
            CHILD_CHECK(rlk_acquire(locks[i], RLK_TRY) != RLK_OK && !rlk_is_held(locks[i]));
        break;
    case CHILD_LEAVES_SCOPES:
        for (i = 0; i < COUNT_OF(locks); i++)
            rlki_lock_scope_end(locks[i]); /* as if it left their blocks */
        break;
    case CHILD_EXITS:
        exit(0); /* with whatever is registered for that */
    default:
        break;
    }
    _exit(0);
}

/* The parent goes on renewing and waiting; its stream is never disturbed, and all that the server
 * was asked was asked by it. */
static void fork_as(child_end how, const char *url)
{
    char token[RLK_TOKEN_MAX + 1];
    unsigned renewed = 0;
    rlk_event event;
    int status = 0;
    pid_t pid;
    begin(url, NULL, TTL_MS);
    assert_true(rlk_lock_token(&renewing, token, sizeof token) > 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        forked_child(how);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (loop_next_event(&client, &event, 5)) {
            assert_int_equal(event.type, RLK_EV_RENEWED);
            assert_ptr_equal(event.lock, &renewing);
            renewed++;
        }
        assert_true(rlk_is_held(&renewing));
        assert_string_equal(server_text(redis, "GET held"), token);
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(renewed >= 3);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&client, 0)), 1);
    while (loop_next_event(&client, &event, scaled(TTL_MS)))
        if (event.type == RLK_EV_RENEWED)
            break;
    assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_int_equal(server_integer(redis, "DEL wanted"), 1);
    assert_acquired(&waiting);
    assert_result(rlk_release(&waiting), RLK_OK);
    assert_acquired(&row);
    assert_result(rlk_release(&row), RLK_OK);
    assert_result(rlk_release(&renewing), RLK_OK);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&client, 0)), 1);
    rlk_client_close(&client);
}

static void test_fault_45_fork_with_waiting_and_renewing_locks(void **state)
{
    static const child_end ends[] = {CHILD_CLOSES, CHILD_LEAVES_SCOPES, CHILD_EXITS, CHILD_ENDS};
    size_t i;
    (void)state;
    redis = server_start(&(server_config){.tcp = true});
    for (i = 0; i < COUNT_OF(ends); i++)
        fork_as(ends[i], i % 2 == 0 ? server_url(redis) : server_tcp_url(redis));
}

/* A client of its own is a stranger to the parent's: it waits, and is woken, and loses its own. */
static void test_fault_45_child_waits_for_the_parent(void **state)
{
    static rlk_client own;
    int64_t start_ms;
    pid_t pid;
    (void)state;
    redis = server_start(NULL);
    begin(server_url(redis), NULL, TTL_MS);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        rlk_lock_config config = config_of(TTL_MS);
        rlk_lock mine;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHILD_CHECK(rlk_client_open(&own, server_url(redis), NULL) == RLK_OK);
        CHILD_CHECK(rlk_lock_init(&mine, &own, "held", &config) == RLK_OK);
        CHILD_CHECK(rlk_acquire(&mine, scaled(20000)) == RLK_OK);
        CHILD_CHECK(rlk_is_held(&mine));
        CHILD_CHECK(!rlk_is_held(&renewing));
        CHILD_CHECK(rlk_release(&mine) == RLK_OK);
        rlk_client_close(&own);
        _exit(0);
    }
    start_ms = support_now_ms();
    while (support_now_ms() - start_ms < 2 * scaled(TTL_MS)) {
        rlk_event event;
        if (loop_next_event(&client, &event, 5))
            assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_true(rlk_is_held(&renewing));
    }
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* it waits yet */
    assert_result(rlk_release(&renewing), RLK_OK);
    start_ms = support_now_ms();
    assert_int_equal(exit_code_of(pid), 0);
    assert_between(support_now_ms() - start_ms, 0, scaled(1000));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_45_fork_with_waiting_and_renewing_locks),
        support_test(test_fault_45_child_waits_for_the_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
