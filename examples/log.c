/* SPDX-License-Identifier: MIT
 *
 * All that the library does goes to stderr, and a wait reports why it goes on. Ctrl-C ends it.
 *     log redis://localhost my-key
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <signal.h>
#include <stdio.h>

static rlk_posix_client redis;

static void on_trace(void *context, const rlk_trace *trace)
{
    char line[RLK_TRACE_CAP];

    (void)context;
    rlk_trace_format(trace, line, sizeof line);
    fprintf(stderr, "%s\n", line);
}

static void on_waiting(void *context, rlk_lock *lock, rlk_result why, int64_t waited_ms)
{
    (void)context, (void)why, (void)waited_ms;
    fprintf(stderr, "%s\n", rlk_lock_error(lock));
}

static void on_interrupt(int number)
{
    (void)number;
    /* It is async-signal-safe. NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c) */
    (void)rlk_posix_interrupt(&redis);
}

int main(int argc, char **argv)
{
    rlk_lock_config config = {.report_ms = 2000};
    rlk_posix_options options = {.interrupts = true,
                                 .env = {.trace = on_trace, .waiting = on_waiting}};
    rlk_lock lock;
    rlk_result result;

    if (argc != 3)
        return fprintf(stderr, "usage: %s URL KEY\n", argv[0]) < 0 ? 1 : 2;
    signal(SIGINT, on_interrupt);
    result = rlk_posix_open(&redis, argv[1], &options);
    if (result == RLK_OK)
        result = rlk_lock_init(&lock, &redis.client, argv[2], &config);
    if (result != RLK_OK) {
        fprintf(stderr, "%s\n", rlk_client_error(&redis.client));
        return 1;
    }
    result = rlk_acquire(&lock, RLK_FOREVER);
    if (result == RLK_OK)
        result = rlk_release(&lock);
    printf("%s\n", rlk_lock_error(&lock));
    (void)rlk_lock_close(&lock);
    rlk_posix_close(&redis);
    return result == RLK_OK ? 0 : 1;
}
