/* SPDX-License-Identifier: MIT
 *
 * What all adapters of loops share (resplock/adapter.h), by an adapter of the test's own around
 * poll that counts what it is asked for, and refuses where a test says so.
 */
#include "child.h"
#include "nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 100 /* locks: more events than one turn delivers */

typedef struct hand_made {
    rlk_adapter adapter; /* first */
    struct pollfd fds[RLK_MAX_FDS];
    int64_t fire_ms; /* when its timer fires; RLK_NEVER: not at all */
    int polls;       /* calls that begin to poll, or poll for other events */
    int forgets;     /* that end it */
    int refusals;    /* number of the next ones that it refuses; -1: all */
    bool forgot_late;
    int in_turn; /* events of the turn */
    int most;    /* of any turn */
} hand_made;

static server *redis;
static rlk_posix_client *client; /* freed, where a test closes it */
static rlk_lock lock;
static hand_made loop;
static int events;
static void (*then)(const rlk_event *event);

static bool hand_poll(rlk_adapter *adapter, unsigned slot, int fd, short wanted)
{
    hand_made *hand = (hand_made *)(void *)adapter;

    if (wanted == 0) {
        hand->forgets++;
        hand->forgot_late = hand->forgot_late || fcntl(fd, F_GETFD) < 0;
        hand->fds[slot].fd = -1;
        return true;
    }
    if (hand->refusals != 0) {
        hand->refusals -= hand->refusals > 0;
        return false;
    }
    hand->polls++;
    hand->fds[slot].fd = fd;
    hand->fds[slot].events = wanted;
    return true;
}

static void hand_timer(rlk_adapter *adapter, int timeout_ms)
{
    ((hand_made *)(void *)adapter)->fire_ms =
        timeout_ms < 0 ? RLK_NEVER : support_now_ms() + timeout_ms;
}

static const rlk_adapter_calls calls = {hand_poll, hand_timer};

static void on_event(void *app, const rlk_event *event)
{
    assert_ptr_equal(app, &loop);
    events++;
    loop.in_turn++;
    if (then != NULL)
        then(event);
}

/* Waits at most so long, then a turn if there is something to do. */
static void hand_turn(int64_t ms)
{
    int64_t wait_ms = loop.fire_ms == RLK_NEVER ? ms : loop.fire_ms - support_now_ms();
    unsigned i;
    int n;

    wait_ms = wait_ms < 0 ? 0 : wait_ms;
    n = poll(loop.fds, RLK_MAX_FDS, (int)(wait_ms < ms ? wait_ms : ms));
    if (n <= 0 && support_now_ms() < loop.fire_ms)
        return;
    loop.fire_ms = RLK_NEVER;
    loop.in_turn = 0;
    for (i = 0; i < RLK_MAX_FDS; i++)
        if (loop.fds[i].fd >= 0)
            rlk_adapter_ready(&loop.adapter, loop.fds[i].fd, loop.fds[i].revents);
    rlk_adapter_ready(&loop.adapter, 12345, POLLIN); /* of another's: ignored */
    rlk_adapter_turn(&loop.adapter);
    loop.most = loop.in_turn > loop.most ? loop.in_turn : loop.most;
}

static int64_t hand_until_end;

#define hand_until(condition)                                                                      \
    do {                                                                                           \
        hand_until_end = support_now_ms() + scaled(5000);                                          \
        while (!(condition)) {                                                                     \
            if (support_now_ms() > hand_until_end)                                                 \
                support_fail("never came: %s", #condition);                                        \
            hand_turn(20);                                                                         \
        }                                                                                          \
    } while (0)

static void start(void)
{
    unsigned i;

    memset(&loop, 0, sizeof loop);
    for (i = 0; i < RLK_MAX_FDS; i++)
        loop.fds[i].fd = -1;
    loop.fire_ms = RLK_NEVER;
    events = 0;
    then = NULL;
    redis = server_start(NULL);
    client = (rlk_posix_client *)malloc(sizeof *client);
    assert_non_null(client);
    assert_result(rlk_posix_open(client, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &client->client, "key", &config_unwatched), RLK_OK);
    assert_int_equal(
        rlk_adapter_start(&loop.adapter, sizeof loop.adapter, &calls, client, on_event, &loop), 0);
    assert_int_equal(loop.fire_ms, RLK_NEVER);
    rlk_adapter_update(&loop.adapter);
    assert_true(loop.fire_ms <= support_now_ms());
}

static void end(void)
{
    rlk_adapter_stop(&loop.adapter);
    assert_int_equal(loop.fire_ms, RLK_NEVER);
    rlk_posix_close(client);
    free(client);
    assert_false(loop.forgot_late);
}

static void cycle(void)
{
    int before = events;

    assert_result(rlk_acquire_start(&lock, 8000), RLK_PENDING);
    hand_until(events == before + 1);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    hand_until(events == before + 2);
}

/* Nothing about what is polled changes while the connection stays; all that was polled is forgotten
 * while it is open. */
static void test_adapter_changes_nothing_without_need(void **state)
{
    int i;

    (void)state;
    start();
    cycle();
    loop.polls = 0;
    for (i = 0; i < 20; i++)
        cycle();
    assert_int_equal(loop.polls + loop.forgets, 0);
    assert_int_equal(server_integer(redis, "CLIENT KILL TYPE normal SKIPME yes"), 1);
    cycle();
    assert_int_equal(loop.forgets, 1);
    assert_int_equal(loop.polls, 1);
    end();
    assert_int_equal(loop.forgets, 2);
}

/* A loop that refuses a descriptor: slower, and no worse. */
static void test_adapter_without_pollers(void **state)
{
    (void)state;
    start();
    loop.refusals = -1;
    cycle();
    assert_int_equal(loop.polls, 0);
    loop.refusals = 2; /* and then it has room again */
    cycle();
    hand_until(loop.polls == 1);
    events = 0;
    cycle();
    end();
}

/* More events than one turn delivers come in the next turns, without another call. */
static void test_adapter_shares_the_loop(void **state)
{
    static rlk_lock locks[MANY];
    static char keys[MANY][8];
    int i;

    (void)state;
    start();
    for (i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        assert_result(rlk_lock_init(&locks[i], &client->client, keys[i], NULL), RLK_OK);
        assert_result(rlk_acquire_start(&locks[i], 8000), RLK_PENDING);
    }
    /* answered while the loop does other work: all events are there by one read */
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    while (server_integer(redis, "DBSIZE") < MANY + 1)
        support_sleep_ms(1);
    assert_result(rlk_check(&lock), RLK_OK);
    hand_until(events == MANY);
    assert_int_equal(loop.most, RLK_ADAPTER_EVENTS);
    end();
}

static void turn_in_turn(const rlk_event *event)
{
    int before = events;

    (void)event;
    rlk_adapter_turn(&loop.adapter);
    assert_int_equal(events, before);
    assert_int_equal(loop.fire_ms, RLK_NEVER);
    rlk_adapter_update(&loop.adapter); /* needs no timer: the turn prepares when it ends */
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    assert_int_equal(loop.fire_ms, RLK_NEVER);
    then = NULL;
}

static void test_adapter_has_one_turn_at_a_time(void **state)
{
    (void)state;
    start();
    then = turn_in_turn;
    assert_result(rlk_acquire_start(&lock, 8000), RLK_PENDING);
    hand_until(events == 2);
    end();
}

/* Calls within on_event that end the adapter. */
static void stop_and_free(const rlk_event *event)
{
    (void)event;
    rlk_adapter_stop(&loop.adapter);
    rlk_posix_close(client);
    free(client);
    memset(&loop, 0xa5, sizeof loop);
    client = NULL;
}

static void test_adapter_that_is_freed_in_its_turn(void **state)
{
    size_t i;

    (void)state;
    start();
    then = stop_and_free;
    assert_result(rlk_acquire_start(&lock, 8000), RLK_PENDING);
    while (client != NULL)
        hand_turn(20);
    for (i = 0; i < sizeof loop.adapter; i++) /* nothing has written to it */
        assert_int_equal(((unsigned char *)&loop.adapter)[i], 0xa5);
}

/* A client that closes has its adapter end at once, even if a turn is due: its memory may go. */
static void test_adapter_of_a_client_that_closed(void **state)
{
    (void)state;
    start();
    cycle();
    rlk_adapter_update(&loop.adapter);
    rlk_posix_close(client);
    assert_int_equal(loop.fire_ms, RLK_NEVER);
    assert_int_equal(loop.forgets, 1);
    memset(client, 0xa5, sizeof *client);
    rlk_adapter_turn(&loop.adapter); /* harmless, all of them */
    rlk_adapter_update(&loop.adapter);
    rlk_adapter_stop(&loop.adapter);
    assert_int_equal(loop.fire_ms, RLK_NEVER);
    free(client);
}

/* What is only half closed ends at its next turn, or with the adapter. */
static void test_adapter_of_a_client_that_closed_alone(void **state)
{
    static void (*const ways[])(rlk_adapter *) = {rlk_adapter_turn, rlk_adapter_update,
                                                  rlk_adapter_stop};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(ways)); i++) {
        int fd;

        start();
        cycle();
        fd = rlk_socket_fd(&client->node.socket);
        rlk_client_close(&client->client);
        assert_true(fcntl(fd, F_GETFD) >= 0);
        ways[i](&loop.adapter);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        assert_int_equal(loop.fire_ms, RLK_NEVER);
        assert_int_equal(loop.forgets, 1);
        rlk_adapter_turn(&loop.adapter); /* harmless, all of them */
        rlk_adapter_update(&loop.adapter);
        end();
        assert_int_equal(loop.forgets, 1);
    }
}

/* A child whose loop goes on loses the client, and the parent nothing. */
static void test_adapter_in_a_forked_child(void **state)
{
    pid_t pid;

    (void)state;
    start();
    cycle();
    pid = child_fork();
    if (pid == 0) {
        loop.forgot_late = false;
        rlk_adapter_turn(&loop.adapter);
        CHILD_CHECK(loop.forgets == 1);
        CHILD_CHECK(loop.forgot_late); /* behind the close: an epoll instance has it still */
        CHILD_CHECK(rlk_acquire_start(&lock, RLK_TRY) == RLK_E_CLOSED);
        _exit(0);
    }
    assert_int_equal(child_exit_code(pid), 0);
    cycle();
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_adapter_changes_nothing_without_need),
        support_test(test_adapter_without_pollers),
        support_test(test_adapter_shares_the_loop),
        support_test(test_adapter_has_one_turn_at_a_time),
        support_test(test_adapter_that_is_freed_in_its_turn),
        support_test(test_adapter_of_a_client_that_closed),
        support_test(test_adapter_of_a_client_that_closed_alone),
        support_test(test_adapter_in_a_forked_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
