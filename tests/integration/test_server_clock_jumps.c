/* SPDX-License-Identifier: MIT
 *
 * The wall clock of a real redis-server jumps by an hour, ahead and back, under a lock that renews
 * itself and one that waits. Its clocks are ours (support/preload): a thread moves them as real
 * time goes, and the tests make them jump.
 */
#include "proxied.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEY     "foobar"
#define HOUR_MS INT64_C(3600000)

static char *clock_folder;
static int64_t *clock_us; /* as the server sees it; mapped */
static pthread_t clock_thread;
static int clock_running; /* these three are atomic */
static int64_t clock_offset_ms;

static nodes holders;
static nodes waiters;
static rlk_lock lock;
static rlk_lock waiter;

/* ---- The server's clock ---- */

static int64_t clock_of_server_ms(void)
{
    return support_now_ms() + INT64_C(1700000000000) +
           __atomic_load_n(&clock_offset_ms, __ATOMIC_SEQ_CST);
}

static void clock_set(void)
{
    __atomic_store_n(clock_us, clock_of_server_ms() * 1000, __ATOMIC_SEQ_CST);
}

static void *clock_run(void *unused)
{
    while (__atomic_load_n(&clock_running, __ATOMIC_SEQ_CST) != 0) {
        clock_set();
        support_sleep_ms(1);
    }
    return unused;
}

static void clock_jump(int64_t ms)
{
    __atomic_add_fetch(&clock_offset_ms, ms, __ATOMIC_SEQ_CST);
    clock_set();
}

static void clock_end(void)
{
    if (clock_folder == NULL)
        return;
    if (__atomic_exchange_n(&clock_running, 0, __ATOMIC_SEQ_CST) != 0)
        pthread_join(clock_thread, NULL);
    munmap(clock_us, sizeof *clock_us);
    support_folder_remove(clock_folder);
    free(clock_folder);
    clock_folder = NULL;
}

/* For the servers that are started between this and clock_for_us. */
static void clock_for_servers(void)
{
    char path[256];
    int64_t start_us;
    int fd;

    support_at_teardown(clock_end);
    clock_offset_ms = 0;
    clock_folder = support_folder_new();
    snprintf(path, sizeof path, "%s/clock", clock_folder);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    start_us = clock_of_server_ms() * 1000;
    assert_int_equal(write(fd, &start_us, sizeof start_us), sizeof start_us);
    clock_us = (int64_t *)mmap(NULL, sizeof *clock_us, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(clock_us != MAP_FAILED);
    close(fd);
    clock_running = 1;
    assert_int_equal(pthread_create(&clock_thread, NULL, clock_run, NULL), 0);
    setenv("TEST_CLOCK_FILE", path, 1);
    setenv("LD_PRELOAD", TEST_CLOCK_PRELOAD, 1);
}

static void clock_for_us(void)
{
    unsetenv("LD_PRELOAD");
    unsetenv("TEST_CLOCK_FILE");
}

/* ---- What is the same ---- */

static int64_t pttl(void)
{
    return server_integer(holders.servers[0], "PTTL " KEY);
}

/* Serves both for a time: the one renews, the other waits. */
static void serve_both(int64_t ms)
{
    int64_t until = support_now_ms() + ms;

    do {
        rlk_event event;

        while (loop_next_event(&holders.posix, &event, 3))
            assert_int_equal(event.type, RLK_EV_RENEWED);
        loop_quiet(&waiters.posix, 3);
    } while (support_now_ms() < until);
}

static size_t is_asked_by_both(void)
{
    size_t nodes_asked = 0;
    size_t i;

    for (i = 0; i < holders.count; i++)
        nodes_asked += server_calls(holders.servers[i], "set") >= 2;
    return nodes_asked;
}

static void begin(size_t count, int64_t ttl_ms)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_holder said[RLK_MAX_NODES];

    config.ttl_ms = scaled(ttl_ms);
    config.auto_renew = true;
    config.recheck_max_ms = HOUR_MS;
    clock_for_servers();
    nodes_start(&holders, count, NULL, NULL);
    clock_for_us();
    nodes_open_again(&waiters, &holders, NULL);
    assert_result(rlk_lock_init(&lock, &holders.posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_lock_init(&waiter, &waiters.posix.client, KEY, &config), RLK_OK);
    assert_result(rlk_query(&lock, said, RLK_MAX_NODES), RLK_NOT_HELD);
    assert_result(rlk_query(&waiter, said, RLK_MAX_NODES), RLK_NOT_HELD);
    assert_result(rlk_acquire(&lock, scaled(5000)), RLK_OK);
    assert_event(&holders.posix, RLK_EV_RENEWED, RLK_OK); /* on all nodes now */
    assert_between(pttl(), 1, config.ttl_ms);
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    wait_until((serve_both(1), is_asked_by_both() >= holders.posix.client.quorum));

    serve_both(50);
}

static void end(void)
{
    nodes_close(&waiters);
    nodes_close(&holders);
    support_teardown(NULL);
}

/* ---- Tests ---- */

/* Fault 25: the key is gone at once. Where nobody notified of it, the next renewal would find it.
 */
static void jumps_ahead(size_t count)
{
    int64_t start_ms;

    begin(count, 1500);
    assert_result(rlk_extend(&lock, scaled(60000)), RLK_OK); /* no renewal is due for long */
    serve_both(20);
    clock_jump(HOUR_MS);
    start_ms = support_now_ms();
    {
        rlk_event event;

        do {
            if (!loop_next_event(&holders.posix, &event, scaled(5000)))
                support_fail("nothing was reported");
        } while (support_renewal_refused(&event)); /* where a minority notified first */
        assert_int_equal(event.type, RLK_EV_LOST);
    }
    assert_between(support_now_ms() - start_ms, 0, scaled(3000));
    assert_event(&waiters.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_false(rlk_is_held(&lock));
    loop_serve(&holders.posix, 20);
    assert_result(rlk_check(&waiter), RLK_OK);
    assert_event(&waiters.posix, RLK_EV_RENEWED, RLK_OK);
    assert_result(rlk_release(&waiter), RLK_OK);
    end();
}

static void test_fault_25_server_clock_jumps_ahead(void **state)
{
    (void)state;
    jumps_ahead(1);
    jumps_ahead(3);
}

/* Fault 26: the key would stay for an hour. Renewals go on, for no longer than was asked; the lease
 * ends by our own clock; and the waiter has the lock when it is released, and not by a TTL. */
static void jumps_back(size_t count, bool released)
{
    begin(count, 900);
    clock_jump(-HOUR_MS);
    serve_both(scaled(1200)); /* longer than the TTL */
    assert_true(rlk_is_held(&lock));
    assert_between(rlk_remaining_ms(&lock), 1, scaled(900));
    assert_between(pttl(), HOUR_MS - scaled(5000), HOUR_MS + scaled(900)); /* never cut */
    if (released) {
        assert_result(rlk_release(&lock), RLK_OK);
    } else { /* nobody comes to renew it */
        support_sleep_ms(scaled(900) + 20);
        assert_false(rlk_is_held(&lock));
        assert_between(pttl(), HOUR_MS - scaled(5000), HOUR_MS + scaled(900));
        assert_int_equal(rlk_lock_operation(&waiter), RLK_OP_ACQUIRE);
        {
            rlk_event event;

            do
                assert_true(loop_next_event(&holders.posix, &event, scaled(5000)));
            while (event.type == RLK_EV_RENEWED);
            assert_int_equal(event.type, RLK_EV_LOST);
        }
        serve_until(&holders.posix, server_text(holders.servers[0], "GET " KEY) == NULL ||
                                        rlk_is_held(&waiter) ||
                                        (loop_serve(&waiters.posix, 1), false));
    }
    assert_event(&waiters.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_between(pttl(), 1, scaled(900));
    assert_result(rlk_release(&waiter), RLK_OK);
    end();
}

static void test_fault_26_server_clock_jumps_back(void **state)
{
    (void)state;
    jumps_back(1, true);
    jumps_back(1, false);
    jumps_back(3, true);
    jumps_back(3, false);
}

/* Fault 26 of one who waits for somebody's TTL: it is over when the server says so, and until then
 * it does not ask a thousand times. */
static void test_fault_26_waiter_and_a_server_clock_that_jumped(void **state)
{
    int64_t sets;

    (void)state;
    begin(1, 900);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_event(&waiters.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_result(rlk_release(&waiter), RLK_OK);
    server_do(holders.servers[0], "SET " KEY " stranger PX %d", (int)scaled(500));
    assert_result(rlk_acquire_start(&waiter, RLK_FOREVER), RLK_PENDING);
    loop_quiet(&waiters.posix, scaled(50));
    sets = server_calls(holders.servers[0], "set");
    clock_jump(-HOUR_MS);
    loop_quiet(&waiters.posix, scaled(1000)); /* its time is over, and the key is there yet */
    assert_between(server_calls(holders.servers[0], "set") - sets, 1, 2);
    clock_jump(HOUR_MS);
    wait_until(server_integer(holders.servers[0], "EXISTS " KEY) == 0); /* which notifies */

    assert_event(&waiters.posix, RLK_EV_ACQUIRED, RLK_OK);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_25_server_clock_jumps_ahead),
        support_test(test_fault_26_server_clock_jumps_back),
        support_test(test_fault_26_waiter_and_a_server_clock_that_jumped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
