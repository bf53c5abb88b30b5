/* SPDX-License-Identifier: MIT
 *
 * The blocking way: take a lock, work under it, give it back.
 *     blocking redis://localhost my-key
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void die(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static void work(void)
{
    struct timespec a_while = {0, 100 * 1000000L};

    nanosleep(&a_while, NULL);
}

static void print_holder(rlk_lock *lock)
{
    rlk_holder holder;

    if (rlk_query(lock, &holder, 1) == RLK_OK)
        printf("%s has it, for %" PRId64 " ms yet\n", holder.token, holder.ttl_ms);
    else
        fprintf(stderr, "%s\n", rlk_lock_error(lock));
}

int main(int argc, char **argv)
{
    rlk_posix_client redis;
    rlk_lock lock;
    rlk_result result;

    if (argc != 3) {
        fprintf(stderr, "usage: %s URL KEY\n", argv[0]);
        return 2;
    }
    if (rlk_posix_open(&redis, argv[1], NULL) != RLK_OK)
        die(rlk_client_error(&redis.client));
    if (rlk_client_check(&redis.client) != RLK_OK) /* at the start: can this server do it? */
        die(rlk_client_error(&redis.client));
    if (rlk_client_error(&redis.client)[0] != '\0') /* it can, with limits */
        fprintf(stderr, "%s\n", rlk_client_error(&redis.client));
    if (rlk_lock_init(&lock, &redis.client, argv[2], &(rlk_lock_config){.ttl_ms = 30000}) != RLK_OK)
        die(rlk_client_error(&redis.client));

    result = rlk_acquire(&lock, 2000); /* RLK_TRY: once. RLK_FOREVER. RLK_DEFAULT: 30 s */
    switch (result) {
    case RLK_OK:
        printf("acquired, for %" PRId64 " ms\n", rlk_remaining_ms(&lock));
        work();
        if (rlk_extend(&lock, 30000) == RLK_OK)
            printf("extended, to %" PRId64 " ms\n", rlk_remaining_ms(&lock));
        work();
        result = rlk_release(&lock);
        printf("release: %s\n", rlk_result_name(result));
        if (result != RLK_OK)
            fprintf(stderr, "%s\n", rlk_lock_error(&lock));
        break;
    case RLK_TIMED_OUT:
        print_holder(&lock);
        break;
    default: /* RLK_UNKNOWN: the key may be ours for up to 30 s, but we must not work */
        die(rlk_lock_error(&lock));
    }

    rlk_lock_close(&lock);
    rlk_posix_close(&redis);
    return result == RLK_OK ? 0 : 1;
}
