/* SPDX-License-Identifier: MIT
 *
 * rlk_posix_prepare, the call of a loop before its poll: connects, sends, and reports what to poll
 * for, and for how long.
 */
#include "nodes.h"

#include <poll.h>
#include <string.h>

static server *redis;
static rlk_posix_client posix;
static rlk_lock lock;
static struct pollfd fds[RLK_MAX_FDS];

static void open_lock(int64_t response_timeout_ms)
{
    rlk_posix_options options;

    memset(&options, 0, sizeof options);
    options.response_timeout_ms = response_timeout_ms;
    redis = server_start(NULL);
    assert_result(rlk_posix_open(&posix, server_url(redis), &options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
}

static void serve_until_ready(void)
{
    while (rlk_conn_get_state(rlk_client_conn(&posix.client, 0)) != RLK_CONN_READY) {
        loop_serve(&posix, 1);
    }
}

/* The first one connects, and nothing else has to be called before. */
static void test_prepare_connects(void **state)
{
    int timeout_ms = 0;

    (void)state;
    open_lock(0);
    assert_int_equal(rlk_conn_get_state(rlk_client_conn(&posix.client, 0)), RLK_CONN_WAITING);
    assert_int_equal(rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout_ms), 1);
    assert_true(fds[0].fd >= 0);
    assert_int_equal(fds[0].revents, 0);
    assert_true((fds[0].events & POLLIN) != 0);
    assert_between(timeout_ms, 1, RLK_CONNECT_TIMEOUT_MS);
    rlk_posix_close(&posix);
}

/* It sends, and the time that it reports is that of the reply. */
static void test_prepare_sends_and_reports_the_time_of_the_reply(void **state)
{
    int timeout_ms = 0;

    (void)state;
    open_lock(700);
    serve_until_ready();
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_int_equal(rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout_ms), 1);
    assert_int_equal(fds[0].events, POLLIN);
    assert_between(timeout_ms, 1, 700);
    while (server_calls(redis, "set") == 0) {
        support_sleep_ms(1);
    }
    rlk_posix_close(&posix);
}

/* An event that waits to be pulled keeps no loop asleep, also where nothing else comes. */
static void test_prepare_reports_no_time_before_an_event(void **state)
{
    int timeout_ms = -1;
    rlk_event event;

    (void)state;
    open_lock(0);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    while (rlk_lock_operation(&lock) != RLK_OP_NONE) {
        loop_serve(&posix, 1);
    }
    assert_int_equal(rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout_ms), 1);
    assert_int_equal(timeout_ms, 0);
    assert_true(rlk_client_next_event(&posix.client, &event));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_int_equal(rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout_ms), 1);
    assert_true(timeout_ms != 0);
    rlk_posix_close(&posix);
}

/* Where there is no room for all descriptors nothing is sent, and no time is reported. */
static void test_prepare_with_too_little_room(void **state)
{
    int timeout_ms = 5;

    (void)state;
    open_lock(0);
    assert_int_equal(rlk_posix_prepare(&posix, fds, 0, &timeout_ms), 0);
    assert_int_equal(timeout_ms, -1);
    assert_int_equal(rlk_conn_get_state(rlk_client_conn(&posix.client, 0)), RLK_CONN_WAITING);
    assert_int_equal(rlk_posix_prepare(&posix, fds, 1, NULL), 1);
    rlk_posix_close(&posix);
    timeout_ms = 5;
    assert_int_equal(rlk_posix_prepare(&posix, fds, 1, &timeout_ms), 0);
    assert_int_equal(timeout_ms, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_prepare_connects),
        support_test(test_prepare_sends_and_reports_the_time_of_the_reply),
        support_test(test_prepare_reports_no_time_before_an_event),
        support_test(test_prepare_with_too_little_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
