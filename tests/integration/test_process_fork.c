/* SPDX-License-Identifier: MIT
 *
 * A process whose locks are held, wait and renew themselves forks, on a real server (fault 45). The
 * child may do nothing with them, whatever it tries and however it ends; the parent notices
 * nothing.
 */
#include "busy_client.h"
#include "child.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static server *redis;
static busy_client busy;

static void end(void)
{
    rlk_posix_close(&busy.posix);
    support_teardown(NULL);
}

/* ---- Fault 45: fork ------------------------------------------------------------------------ */

/* A child is refused in every call on every lock, and sends nothing. */
static void forked_calls(rlk_lock *lock)
{
    rlk_leader_info leader = {0};
    rlk_holder holder = {0};

    CHILD_CHECK(!rlk_is_held(lock));
    CHILD_CHECK(!rlk_is_held_at(lock, 0));
    CHILD_CHECK(rlk_valid_until_ms(lock) == INT64_MIN);
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
    CHILD_CHECK(rlk_keep_alive(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_check(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_check_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_query(lock, &holder, 1) == RLK_E_FORKED);
    CHILD_CHECK(rlk_query_start(lock, &holder, 1) == RLK_E_FORKED);
    CHILD_CHECK(rlk_force_release(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_force_release_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_campaign_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_resign(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_resign_start(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_leader(lock, &leader) == RLK_E_FORKED);
    CHILD_CHECK(rlk_cancel(lock) == RLK_E_FORKED);
    CHILD_CHECK(rlk_lock_close(lock) == RLK_E_FORKED);
}

static void forked_client_calls(void)
{
    rlk_lock another;

    CHILD_CHECK(rlk_lock_init(&another, &busy.posix.client, "another", NULL) == RLK_E_FORKED);
    CHILD_CHECK(rlk_client_reset(&busy.posix.client) == RLK_E_FORKED);
}

/* Nor does it, for as long as it lives, in the parent's loop that it inherited. */
static void forked_loop(int64_t ms)
{
    int64_t until = support_now_ms() + ms;

    do {
        struct pollfd fds[RLK_MAX_FDS];
        rlk_event event;
        int timeout_ms = 0;

        CHILD_CHECK(rlk_posix_prepare(&busy.posix, fds, RLK_MAX_FDS, &timeout_ms) == 0);
        CHILD_CHECK(timeout_ms == -1);
        CHILD_CHECK(rlk_client_deadline(&busy.posix.client) == RLK_NEVER);
        CHILD_CHECK(rlk_posix_service(&busy.posix, NULL, 0) == RLK_E_FORKED);
        CHILD_CHECK(!rlk_client_next_event(&busy.posix.client, &event));
        rlk_client_tick(&busy.posix.client);
        support_sleep_ms(5);
    } while (support_now_ms() < until);
}

typedef enum child_end {
    CHILD_CLOSES,
    CHILD_LEAVES_SCOPES,
    CHILD_EXITS,
    CHILD_ENDS
} child_end;

/* For more than a TTL, so that all that is due in the parent would be due here. */
static void forked_child(child_end how)
{
    rlk_lock *const locks[] = {&busy.renewing, &busy.waiting, &busy.behind};
    size_t i;

    for (i = 0; i < COUNT_OF(locks); i++)
        forked_calls(locks[i]);
    forked_client_calls();
    forked_loop(scaled(BUSY_TTL_MS) * 4 / 3);
    switch (how) {
    case CHILD_CLOSES:
        rlk_posix_close(&busy.posix);
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

    busy_open(&busy, redis, url, NULL, BUSY_TTL_MS);
    assert_true(rlk_lock_token(&busy.renewing, token, sizeof token) > 0);
    pid = child_fork();
    if (pid == 0)
        forked_child(how);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (loop_next_event(&busy.posix, &event, 5)) {
            assert_int_equal(event.type, RLK_EV_RENEWED);
            assert_ptr_equal(event.lock, &busy.renewing);
            renewed++;
        }
        assert_true(rlk_is_held(&busy.renewing));
        assert_string_equal(server_text(redis, "GET held"), token);
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(renewed >= 2);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&busy.posix.client, 0)), 1);
    while (loop_next_event(&busy.posix, &event, scaled(BUSY_TTL_MS)))
        if (event.type == RLK_EV_RENEWED)
            break;
    assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_int_equal(server_integer(redis, "DEL wanted"), 1);
    busy_assert_acquired(&busy, &busy.waiting);
    assert_result(rlk_release(&busy.waiting), RLK_OK);
    busy_assert_acquired(&busy, &busy.behind);
    assert_result(rlk_release(&busy.behind), RLK_OK);
    assert_result(rlk_release(&busy.renewing), RLK_OK);
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&busy.posix.client, 0)), 1);
    rlk_posix_close(&busy.posix);
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

/* A client of its own is a stranger to the parent's: it waits, and is notified, and loses its own.
 */
static void test_fault_45_child_waits_for_the_parent(void **state)
{
    static rlk_posix_client own;
    int64_t start_ms;
    pid_t pid;

    (void)state;
    redis = server_start(NULL);
    busy_open(&busy, redis, server_url(redis), NULL, BUSY_TTL_MS);
    pid = child_fork();
    if (pid == 0) {
        rlk_lock_config config = busy_config(BUSY_TTL_MS);
        rlk_lock mine;

        CHILD_CHECK(rlk_posix_open(&own, server_url(redis), NULL) == RLK_OK);
        CHILD_CHECK(rlk_lock_init(&mine, &own.client, "held", &config) == RLK_OK);
        CHILD_CHECK(rlk_acquire(&mine, scaled(20000)) == RLK_OK);
        CHILD_CHECK(rlk_is_held(&mine));
        CHILD_CHECK(!rlk_is_held(&busy.renewing));
        CHILD_CHECK(rlk_release(&mine) == RLK_OK);
        rlk_posix_close(&own);
        _exit(0);
    }
    start_ms = support_now_ms();
    while (support_now_ms() - start_ms < 2 * scaled(BUSY_TTL_MS)) {
        rlk_event event;

        if (loop_next_event(&busy.posix, &event, 5))
            assert_int_equal(event.type, RLK_EV_RENEWED);
        assert_true(rlk_is_held(&busy.renewing));
    }
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* it waits yet */
    assert_result(rlk_release(&busy.renewing), RLK_OK);
    start_ms = support_now_ms();
    assert_int_equal(child_exit_code(pid), 0);
    assert_between(support_now_ms() - start_ms, 0, scaled(1000));
    end();
}

/* ---- A child with a client of its own ---- */

#define LONG_TTL_MS 60000 /* no renewal is due in the test */

/* A client of its own works in the child. */
static void forked_own_client(void)
{
    static rlk_posix_client own;
    rlk_lock mine;

    CHILD_CHECK(rlk_posix_open(&own, server_url(redis), NULL) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&mine, &own.client, BUSY_HELD, NULL) == RLK_OK);
    CHILD_CHECK(rlk_acquire(&mine, RLK_TRY) == RLK_BUSY);
    CHILD_CHECK(rlk_lock_close(&mine) == RLK_OK);
    CHILD_CHECK(rlk_lock_init(&mine, &own.client, "child", NULL) == RLK_OK);
    CHILD_CHECK(rlk_acquire(&mine, RLK_TRY) == RLK_OK);
    CHILD_CHECK(rlk_release(&mine) == RLK_OK);
    rlk_posix_close(&own);
}

static pid_t fork_child(bool closing)
{
    pid_t pid = child_fork();

    if (pid != 0)
        return pid;
    forked_calls(&busy.renewing);
    forked_client_calls();
    forked_loop(0);
    if (closing) {
        rlk_posix_close(&busy.posix);
        CHILD_CHECK(rlk_acquire(&busy.renewing, RLK_TRY) != RLK_OK);
        CHILD_CHECK(!rlk_is_held(&busy.renewing));
    }
    forked_own_client();
    _exit(0);
}

static void fork_with_lock_held(bool tcp)
{
    int closing;

    redis = server_start(&(server_config){.tcp = tcp});
    busy_open(&busy, redis, tcp ? server_tcp_url(redis) : server_url(redis), NULL, LONG_TTL_MS);
    for (closing = 0; closing < 2; closing++) {
        int64_t calls = server_calls(redis, "evalsha");

        assert_int_equal(child_exit_code(fork_child(closing != 0)), 0);
        assert_int_equal(server_calls(redis, "evalsha"),
                         calls + 2); /* the child's own: its handshake, its release */
        assert_true(rlk_is_held(&busy.renewing));
        assert_result(rlk_check(&busy.renewing), RLK_OK);
        assert_result(rlk_extend(&busy.renewing, 1000), RLK_OK);
    }
    /* the parent's stream was never disturbed */
    assert_int_equal(rlk_conn_generation(rlk_client_conn(&busy.posix.client, 0)), 1);
    assert_result(rlk_release(&busy.renewing), RLK_OK);
    end();
}

static void test_fault_45_fork_with_a_lock_held(void **state)
{
    (void)state;
    fork_with_lock_held(false);
    fork_with_lock_held(true);
}

/* Fault 45: RLK_SCOPED in a child that leaves its block takes nothing away from the parent; nor
 * does a fork in the middle of an operation. */
static void test_fault_45_fork_in_a_scope(void **state)
{
    rlk_lock lock;
    pid_t pid;

    (void)state;
    redis = server_start(NULL);
    busy_open(&busy, redis, server_url(redis), NULL, LONG_TTL_MS);
    assert_result(rlk_lock_init(&lock, &busy.posix.client, "foobar", NULL), RLK_OK);
    {
        RLK_SCOPED(scoped, &busy.posix.client, "scoped", NULL);

        assert_result(rlk_acquire(&scoped, RLK_TRY), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        pid = child_fork();
        if (pid == 0) {
            rlki_lock_scope_end(&scoped); /* as if it left the block; _exit wouldn't */
            forked_calls(&lock);
            forked_client_calls();
            rlk_posix_close(&busy.posix);
            _exit(0);
        }
        assert_int_equal(child_exit_code(pid), 0);
        assert_event(&busy.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_true(rlk_is_held(&scoped));
        assert_result(rlk_check(&scoped), RLK_OK);
    }
    assert_null(server_text(redis, "GET scoped"));
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_45_fork_with_waiting_and_renewing_locks),
        support_test(test_fault_45_child_waits_for_the_parent),
        support_test(test_fault_45_fork_with_a_lock_held),
        support_test(test_fault_45_fork_in_a_scope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
