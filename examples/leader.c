/* SPDX-License-Identifier: MIT
 *
 * Leader and followers. Start it several times: one leads. When it ends, another one leads at once.
 * When it dies, another one leads after the TTL at the latest. SIGTERM and SIGINT end it in good
 * order.
 *     leader redis://localhost my-service my-name
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#define TTL_MS 3000

static volatile sig_atomic_t ending;

static void on_signal(int number)
{
    (void)number;
    ending = 1;
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

/* Must return within a third of the TTL, as nothing but rlk_keep_alive renews the lock. And while
 * it can't be renewed, it may end sooner than that. */
static void lead_for_a_moment(const rlk_lock *lock)
{
    int64_t left_ms = rlk_remaining_ms(lock);

    pause_ms(left_ms < TTL_MS / 10 ? (long)left_ms : TTL_MS / 10);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    rlk_lock_config config = {.ttl_ms = TTL_MS};
    rlk_posix_client redis;
    rlk_lock lock;
    rlk_result result;

    if (argc != 4) {
        fprintf(stderr, "usage: %s URL KEY NAME\n", argv[0]);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    config.token_prefix = argv[3]; /* shows in the key who leads */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (rlk_posix_open(&redis, argv[1], NULL) != RLK_OK ||
        rlk_lock_init(&lock, &redis.client, argv[2], &config) != RLK_OK) {
        fprintf(stderr, "%s\n", rlk_client_error(&redis.client));
        return 1;
    }

    while (ending == 0) {
        /* A second at a time, to see the signal; else it could be RLK_FOREVER. */
        result = rlk_acquire(&lock, 1000);
        if (result == RLK_TIMED_OUT)
            continue;
        if (result != RLK_OK) {
            fprintf(stderr, "%s: %s\n", argv[3], rlk_lock_error(&lock));
            pause_ms(500);
            rlk_client_reset(&redis.client); /* after a fatal error nothing is tried until this */
            continue;
        }
        printf("%s leads\n", argv[3]);
        while (ending == 0 && (result = rlk_keep_alive(&lock)) == RLK_OK)
            lead_for_a_moment(&lock);
        if (ending == 0)
            printf("%s leads no longer: %s\n", argv[3], rlk_result_name(result));
    }

    if (rlk_is_held(&lock))
        printf("%s resigns: %s\n", argv[3], rlk_result_name(rlk_release(&lock)));
    rlk_lock_close(&lock);
    rlk_posix_close(&redis);
    return 0;
}
