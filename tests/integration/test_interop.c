/* SPDX-License-Identifier: MIT
 *
 * redis-py's Lock and ours on the same key, with and without a TTL of theirs: each excludes the
 * other, neither touches what is the other's, and each notices the other's release.
 */
#define _GNU_SOURCE
#include "nodes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTEROP_PYTHON "/usr/bin/python3"
#define INTEROP_SCRIPT TEST_SOURCE_DIR "/tests/integration/interop.py"

/* The process of interop.py. */
typedef struct peer {
    pid_t pid;
    FILE *in;
    FILE *out;
    char line[256];
} peer;

static server *redis;
static rlk_posix_client posix;
static rlk_lock lock;
static peer python;

static void peer_start(const char *ttl_seconds)
{
    int in[2];
    int out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    python.pid = fork();
    if (python.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execl(INTEROP_PYTHON, "python3", INTEROP_SCRIPT, server_path(redis), "foobar", ttl_seconds,
              (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    python.in = fdopen(in[1], "w");
    python.out = fdopen(out[0], "r");
    assert_non_null(python.in);
    assert_non_null(python.out);
}

static void peer_end(void)
{
    if (python.pid <= 0)
        return;
    fclose(python.in);
    fclose(python.out);
    kill(python.pid, SIGKILL);
    waitpid(python.pid, NULL, 0);
    python.pid = 0;
}

/* Gives an order and doesn't wait. */
static void peer_order(const char *order)
{
    assert_true(fprintf(python.in, "%s\n", order) > 0);
    assert_int_equal(fflush(python.in), 0);
}

/* The next answer. */
static const char *peer_answer(void)
{
    size_t len;

    if (fgets(python.line, (int)sizeof python.line, python.out) == NULL)
        support_fail("interop.py is gone; is python3-redis there?");
    len = strlen(python.line);
    if (len > 0 && python.line[len - 1] == '\n')
        python.line[len - 1] = '\0';
    return python.line;
}

static const char *peer_ask(const char *order)
{
    peer_order(order);
    return peer_answer();
}

static void begin(const char *ttl_seconds)
{
    support_at_teardown(peer_end);
    redis = server_start(NULL);
    peer_start(ttl_seconds);
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
}

static void end(void)
{
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    peer_end();
}

static const char *own_token(void)
{
    static char text[RLK_TOKEN_MAX + 1];

    assert_int_equal(rlk_lock_token(&lock, text, sizeof text), RLK_TOKEN_DIGITS);
    return text;
}

/* ---- Ours is held ------------------------------------------------------------------------- */

static void ours_excludes_theirs(const char *ttl_seconds)
{
    char order[sizeof "adopt " + RLK_TOKEN_MAX];

    begin(ttl_seconds);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_string_equal(peer_ask("acquire 0"), "no");
    assert_string_equal(peer_ask("acquire 0.2"), "no");
    assert_string_equal(peer_ask("owned"), "no");
    assert_string_equal(peer_ask("release"), "LockError"); /* it holds nothing */
    assert_string_equal(server_text(redis, "GET foobar"), own_token());
    assert_true(rlk_is_held(&lock));

    /* with any token but ours it is refused; with ours it is the same lock: one convention */
    assert_string_equal(peer_ask("adopt 0123456789abcdef"), "ok");
    assert_string_equal(peer_ask("release"), "LockNotOwnedError");
    assert_string_equal(server_text(redis, "GET foobar"), own_token());
    assert_result(rlk_check(&lock), RLK_OK);
    snprintf(order, sizeof order, "adopt %s", own_token());
    assert_string_equal(peer_ask(order), "ok");
    assert_string_equal(peer_ask("owned"), "yes");
    assert_string_equal(peer_ask("release"), "ok");
    assert_result(rlk_release(&lock), RLK_NOT_OWNER);
    end();
}

static void test_interop_redis_py_is_excluded(void **state)
{
    (void)state;
    ours_excludes_theirs("0");
}

static void test_interop_redis_py_with_ttl_is_excluded(void **state)
{
    (void)state;
    ours_excludes_theirs("30");
}

/* Their extend and reacquire want their own token. */
static void test_interop_redis_py_cannot_extend_ours(void **state)
{
    int64_t left_ms;

    (void)state;
    begin("30");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_string_equal(peer_ask("adopt 0123456789abcdef"), "ok");
    left_ms = server_integer(redis, "PTTL foobar");
    assert_string_equal(peer_ask("extend 60"), "LockNotOwnedError");
    assert_string_equal(peer_ask("reacquire"), "LockNotOwnedError");
    assert_between(server_integer(redis, "PTTL foobar"), 1, left_ms);
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

/* ---- Theirs is held ----------------------------------------------------------------------- */

static void theirs_excludes_ours(const char *ttl_seconds, bool has_ttl)
{
    rlk_holder holder;
    char token[64];

    begin(ttl_seconds);
    assert_string_equal(peer_ask("acquire 0"), "yes");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    assert_result(rlk_acquire(&lock, 200), RLK_TIMED_OUT);
    assert_false(rlk_is_held(&lock));

    /* who has it */
    snprintf(token, sizeof token, "%s", peer_ask("token"));
    assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
    assert_string_equal(holder.token, token);
    assert_int_equal(holder.token_len, strlen(token));
    assert_false(holder.ours);
    if (has_ttl)
        assert_between(holder.ttl_ms, 20000, 30000);
    else
        assert_int_equal(holder.ttl_ms, -1);

    /* we hold nothing to extend or release, and nothing of theirs was touched */
    assert_result(rlk_extend(&lock, 1000), RLK_NOT_HELD);
    assert_result(rlk_renew(&lock, RLK_DEFAULT), RLK_NOT_HELD);
    assert_result(rlk_release(&lock), RLK_NOT_HELD);
    assert_string_equal(peer_ask("owned"), "yes");
    assert_string_equal(peer_ask("release"), "ok");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

static void test_interop_redis_py_excludes(void **state)
{
    (void)state;
    theirs_excludes_ours("0", false);
}

static void test_interop_redis_py_with_ttl_excludes(void **state)
{
    (void)state;
    theirs_excludes_ours("30", true);
}

/* Ours was deleted and theirs is there: our extend, renew, check and release are refused by the
 * server, and theirs stays as it was. */
static void ours_is_refused_on_theirs(rlk_result (*call)(void))
{
    int64_t left_ms;

    begin("30");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(server_integer(redis, "DEL foobar"), 1);
    assert_string_equal(peer_ask("acquire 0"), "yes");
    left_ms = server_integer(redis, "PTTL foobar");
    assert_result(call(), RLK_NOT_OWNER);
    assert_false(rlk_is_held(&lock));
    assert_string_equal(peer_ask("owned"), "yes");
    assert_between(server_integer(redis, "PTTL foobar"), 1, left_ms);
    assert_string_equal(peer_ask("release"), "ok");
    end();
}

static rlk_result call_extend(void)
{
    return rlk_extend(&lock, 60000);
}

static rlk_result call_renew(void)
{
    return rlk_renew(&lock, 60000);
}

static rlk_result call_check(void)
{
    return rlk_check(&lock);
}

static rlk_result call_release(void)
{
    return rlk_release(&lock);
}

static void test_interop_ours_cannot_touch_redis_py(void **state)
{
    static rlk_result (*const calls[])(void) = {call_extend, call_renew, call_check, call_release};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(calls); i++) {
        ours_is_refused_on_theirs(calls[i]);
        support_teardown(NULL);
    }
}

/* ---- Waiting ------------------------------------------------------------------------------ */

static void both_wait(const char *ttl_seconds)
{
    begin(ttl_seconds);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    peer_order("acquire 20");
    support_sleep_ms(100);
    assert_string_equal(server_text(redis, "GET foobar"), own_token());
    assert_result(rlk_release(&lock), RLK_OK);
    assert_string_equal(peer_answer(), "yes");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);

    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&posix, 100);
    assert_string_equal(peer_ask("release"), "ok");
    assert_event(&posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_string_equal(peer_ask("acquire 0"), "no");
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

static void test_interop_both_wait(void **state)
{
    (void)state;
    both_wait("0");
}

static void test_interop_both_wait_with_ttl(void **state)
{
    (void)state;
    both_wait("30");
}

/* Theirs expires without a word, and we get it; theirs with no TTL never does, and is freed by
 * hand. */
static void test_interop_redis_py_expires(void **state)
{
    (void)state;
    begin("0.4");
    assert_string_equal(peer_ask("acquire 0"), "yes");
    assert_result(rlk_acquire(&lock, 10000), RLK_OK);
    assert_string_equal(peer_ask("release"), "LockNotOwnedError");
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_check(&lock), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

static void test_interop_redis_py_without_ttl_is_freed_by_hand(void **state)
{
    (void)state;
    begin("0");
    assert_string_equal(peer_ask("acquire 0"), "yes");
    assert_result(rlk_acquire(&lock, 300), RLK_TIMED_OUT);
    assert_result(rlk_force_release(&lock), RLK_OK);
    assert_string_equal(peer_ask("owned"), "no");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_string_equal(peer_ask("release"), "LockNotOwnedError");
    assert_result(rlk_release(&lock), RLK_OK);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_interop_redis_py_is_excluded),
        support_test(test_interop_redis_py_with_ttl_is_excluded),
        support_test(test_interop_redis_py_cannot_extend_ours),
        support_test(test_interop_redis_py_excludes),
        support_test(test_interop_redis_py_with_ttl_excludes),
        support_test(test_interop_ours_cannot_touch_redis_py),
        support_test(test_interop_both_wait),
        support_test(test_interop_both_wait_with_ttl),
        support_test(test_interop_redis_py_expires),
        support_test(test_interop_redis_py_without_ttl_is_freed_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
