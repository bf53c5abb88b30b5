/* SPDX-License-Identifier: MIT
 *
 * What a client notifies its loop of (rlk_posix_set_loop): that a call changed something, that a
 * descriptor is closed, that the client is, or has left.
 */
#include "child.h"
#include "nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A loop that counts. */
typedef struct counts {
    rlk_loop loop; /* first */
    int changed;
    int closing;
    int removed;
    bool closed_too_early; /* a descriptor was not open any more when it was notified of */
    int fds[RLK_MAX_FDS];  /* first one of each slot that was closed; 0: none */
} counts;

static nodes set;
static counts seen;
static rlk_lock lock;

static counts *counts_of(rlk_loop *loop)
{
    return (counts *)(void *)loop;
}

static void count_changed(rlk_loop *loop)
{
    counts_of(loop)->changed++;
}

static void count_closing(rlk_loop *loop, unsigned slot, int fd)
{
    counts *c = counts_of(loop);

    c->closing++;
    c->closed_too_early = c->closed_too_early || fcntl(fd, F_GETFD) < 0;
    if (c->fds[slot] == 0)
        c->fds[slot] = fd;
}

static void count_removed(rlk_loop *loop)
{
    counts_of(loop)->removed++;
}

static const rlk_loop_calls counting = {count_changed, count_closing, count_removed};

static void start(size_t count, const server_config *config)
{
    memset(&seen, 0, sizeof seen);
    seen.loop.calls = &counting;
    nodes_start(&set, count, config, NULL);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "key", &config_unwatched), RLK_OK);
    nodes_connect(&set);
    assert_result(rlk_posix_set_loop(&set.posix, &seen.loop), RLK_OK);
}

static void prepare(void)
{
    struct pollfd fds[RLK_MAX_FDS];

    (void)rlk_posix_prepare(&set.posix, fds, RLK_MAX_FDS, NULL);
}

static int slot_fd(unsigned slot)
{
    short events;

    return rlk_posix_fd(&set.posix, slot, &events);
}

/* Once, however many calls there are, until the loop prepares. */
static void test_loop_is_notified_of_changes_once(void **state)
{
    (void)state;
    start(1, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_int_equal(seen.changed, 1);
    assert_result(rlk_cancel(&lock), RLK_OK);
    assert_result(rlk_client_reset(&set.posix.client), RLK_OK);
    assert_int_equal(seen.changed, 1);
    prepare();
    assert_int_equal(seen.changed, 1);
    assert_result(rlk_client_reset(&set.posix.client), RLK_OK);
    assert_int_equal(seen.changed, 2);
    prepare();
    assert_result(rlk_client_check(&set.posix.client), RLK_OK); /* others may get events in it */
    assert_int_equal(seen.changed, 3);
    prepare();
    (void)rlk_lock_close(&lock); /* its undo must be sent */
    assert_int_equal(seen.changed, 4);
    nodes_close(&set);
}

/* Who only asks keeps no loop busy; nor does the loop itself. */
static void test_loop_is_not_notified_of_questions(void **state)
{
    rlk_event event;

    (void)state;
    start(1, NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    prepare();
    seen.changed = 0;
    assert_true(rlk_is_held(&lock));
    assert_true(rlk_remaining_ms(&lock) > 0);
    assert_non_null(rlk_lock_error(&lock));
    assert_false(rlk_client_next_event(&set.posix.client, &event));
    assert_result(rlk_posix_service(&set.posix, NULL, 0), RLK_OK);
    rlk_client_tick(&set.posix.client);
    prepare();
    assert_int_equal(seen.changed, 0);
    nodes_close(&set);
}

/* Before it is closed, with the number of its node. */
static void test_loop_is_notified_of_descriptors_that_close(void **state)
{
    unsigned i;

    (void)state;
    start(3, NULL);
    assert_int_equal(rlk_posix_slots(&set.posix), 3);
    for (i = 3; i-- > 0;) {
        int fd = slot_fd(i);

        assert_true(fd >= 0);
        assert_int_equal(seen.fds[i], 0);
        server_kill(set.servers[i]);
        serve_until(&set.posix, seen.fds[i] != 0);

        assert_int_equal(seen.fds[i], fd);
    }
    assert_false(seen.closed_too_early);
    assert_int_equal(seen.removed, 0);
    nodes_close(&set);
    assert_int_equal(seen.removed, 1);
}

/* The client that is closed: of each descriptor, then of itself. */
static void test_loop_is_notified_of_a_client_that_closes(void **state)
{
    int fds[2];

    (void)state;
    start(2, NULL);
    fds[0] = slot_fd(0);
    fds[1] = slot_fd(1);
    rlk_posix_close(&set.posix);
    assert_int_equal(seen.closing, 2);
    assert_int_equal(seen.fds[0], fds[0]);
    assert_int_equal(seen.fds[1], fds[1]);
    assert_false(seen.closed_too_early);
    assert_int_equal(seen.removed, 1);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(slot_fd(0), -1);
    assert_int_equal(rlk_posix_slots(&set.posix), 0);
    rlk_posix_close(&set.posix);
    assert_int_equal(seen.removed, 1);
    assert_result(rlk_posix_set_loop(&set.posix, &seen.loop), RLK_E_CLOSED);
    assert_result(rlk_posix_set_loop(NULL, &seen.loop), RLK_E_ARGUMENT);
}

/* What rlk_client_close leaves is closed by rlk_posix_close. */
static void test_loop_is_notified_of_a_client_that_closed_alone(void **state)
{
    int fds[2];

    (void)state;
    start(2, NULL);
    fds[0] = slot_fd(0);
    fds[1] = slot_fd(1);
    rlk_client_close(&set.posix.client);
    assert_int_equal(seen.closing + seen.removed, 0);
    assert_true(fcntl(fds[0], F_GETFD) >= 0);
    rlk_posix_close(&set.posix);
    assert_int_equal(seen.closing, 2);
    assert_false(seen.closed_too_early);
    assert_int_equal(seen.removed, 1);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
    rlk_posix_close(&set.posix);
    assert_int_equal(seen.removed, 1);
}

/* One at most, and none when it has left. */
static void test_loop_leaves(void **state)
{
    counts other = {.loop.calls = &counting};

    (void)state;
    start(1, NULL);
    assert_result(rlk_posix_set_loop(&set.posix, &other.loop), RLK_E_STATE);
    assert_int_equal(seen.removed, 0);
    assert_result(rlk_posix_set_loop(&set.posix, NULL), RLK_OK);
    assert_result(rlk_posix_set_loop(&set.posix, NULL), RLK_OK); /* harmless */
    assert_int_equal(seen.removed, 1);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    prepare();
    assert_result(rlk_posix_set_loop(&set.posix, &other.loop), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_int_equal(other.changed, 1);
    assert_result(rlk_posix_set_loop(&set.posix, NULL), RLK_OK);
    assert_int_equal(other.removed, 1);
    rlk_posix_close(&set.posix);
    assert_int_equal(seen.removed + other.removed, 2);
    assert_int_equal(seen.changed + seen.closing, 0);
    assert_int_equal(other.changed + other.closing, 1);
}

/* What to poll for, by slot. */
static void test_loop_is_answered_by_slot(void **state)
{
    rlk_posix_client one;
    struct pollfd fds[RLK_MAX_FDS];
    short events = -1;
    server_config config = {.tcp = true};
    server *redis = server_start(&config);

    (void)state;
    assert_result(rlk_posix_open(&one, server_tcp_url(redis), NULL), RLK_OK);
    assert_int_equal(rlk_posix_fd(&one, 0, &events), -1);
    assert_int_equal(events, 0);
    assert_int_equal(rlk_posix_prepare(&one, fds, RLK_MAX_FDS, NULL), 1);
    assert_int_equal(rlk_posix_fd(&one, 0, &events), fds[0].fd);
    assert_int_equal(events, fds[0].events);
    assert_int_equal(rlk_posix_fd(&one, 1, &events), -1);
    while (rlk_conn_get_state(rlk_client_conn(&one.client, 0)) != RLK_CONN_READY)
        loop_serve(&one, 1);
    assert_true(rlk_posix_fd(&one, 0, &events) >= 0);
    assert_int_equal(events, POLLIN);
    rlk_posix_close(&one);
}

static void test_loop_of_a_forked_child(void **state)
{
    int fd;
    pid_t pid;

    (void)state;
    start(1, NULL);
    fd = slot_fd(0);
    pid = child_fork();
    if (pid == 0) {
        CHILD_CHECK(slot_fd(0) == -1);
        CHILD_CHECK(rlk_posix_set_loop(&set.posix, NULL) == RLK_E_FORKED);
        CHILD_CHECK(rlk_acquire_start(&lock, RLK_TRY) == RLK_E_FORKED);
        CHILD_CHECK(seen.changed == 0);
        rlk_posix_close(&set.posix);
        CHILD_CHECK(fcntl(fd, F_GETFD) == -1);
        CHILD_CHECK(seen.closing == 0); /* the instance of epoll is the parent's, too */
        CHILD_CHECK(seen.removed == 1);
        _exit(0);
    }
    assert_int_equal(child_exit_code(pid), 0);
    assert_int_equal(seen.removed, 0);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    nodes_close(&set);
}

static int receives;

ssize_t recv(int fd, void *room, size_t cap, int flags)
{
    receives++;
    return recvfrom(fd, room, cap, flags, NULL, NULL);
}

static int receives_of_a_wait(void)
{
    receives = 0;
    assert_result(rlk_acquire(&lock, 1000), RLK_TIMED_OUT);
    return receives;
}

/* Loops set O_NONBLOCK, which a blocking call has cleared: the next one must not spin. What shows a
 * spin on a loaded machine too is how often it reads. */
static void test_blocking_call_beside_a_loop_waits(void **state)
{
    int times;

    (void)state;
    start(1, NULL);
    server_do(set.servers[0], "SET key somebody");
    for (times = 0; times < 2; times++) {
        assert_result(rlk_acquire(&lock, 600), RLK_TIMED_OUT);
        assert_result(rlk_posix_set_loop(&set.posix, NULL), RLK_OK);
        assert_result(rlk_acquire(&lock, 600), RLK_TIMED_OUT);
        assert_result(rlk_posix_set_loop(&set.posix, &seen.loop), RLK_OK);
        assert_result(rlk_acquire(&lock, 600), RLK_TIMED_OUT);
        assert_int_equal(fcntl(slot_fd(0), F_SETFL, fcntl(slot_fd(0), F_GETFL) | O_NONBLOCK), 0);
    }
    assert_between(receives_of_a_wait(), 1, 100);
    assert_result(rlk_posix_set_loop(&set.posix, NULL), RLK_OK);
    assert_between(receives_of_a_wait(), 1, 100);
    nodes_close(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_loop_is_notified_of_changes_once),
        support_test(test_loop_is_not_notified_of_questions),
        support_test(test_loop_is_notified_of_descriptors_that_close),
        support_test(test_loop_is_notified_of_a_client_that_closes),
        support_test(test_loop_is_notified_of_a_client_that_closed_alone),
        support_test(test_loop_leaves),
        support_test(test_loop_is_answered_by_slot),
        support_test(test_loop_of_a_forked_child),
        support_test(test_blocking_call_beside_a_loop_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
