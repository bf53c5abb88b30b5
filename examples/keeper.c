/* SPDX-License-Identifier: MIT
 *
 * Work that takes longer than the lock's TTL, without a call of the library in it: a keeper renews.
 *     keeper redis://localhost my-key SECONDS
 */
#define _POSIX_C_SOURCE 200809L
#include "resplock.h"
#include "resplock/adapters/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static rlk_keeper keeper;
static rlk_kept kept;
static rlk_posix_client redis;
static rlk_lock lock;

static int fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    return 1;
}

static void work(int seconds)
{
    for (; seconds > 0 && rlk_keeper_is_held(&keeper, &kept); seconds--)
        sleep(1); /* a computation, a query of a database ... */
}

int main(int argc, char **argv)
{
    rlk_lock_config config = {.ttl_ms = 1500};
    const char *url = argc > 1 ? argv[1] : NULL;
    rlk_result result;

    if (argc != 4) {
        fprintf(stderr, "usage: %s URL KEY SECONDS\n", argv[0]);
        return 2;
    }
    if (rlk_posix_open(&redis, url, NULL) != RLK_OK ||
        rlk_lock_init(&lock, &redis.client, argv[2], &config) != RLK_OK)
        return fail(rlk_client_error(&redis.client));
    if (rlk_keeper_start(&keeper, &url, NULL, 1, NULL) != RLK_OK)
        return fail("no keeper");
    if (rlk_acquire(&lock, 5000) != RLK_OK)
        return fail(rlk_lock_error(&lock));

    result = rlk_keeper_keep(&keeper, &kept, &lock);
    if (result == RLK_OK) {
        puts("kept");
        fflush(stdout);
        work(atoi(argv[3]));
        result = rlk_keeper_give_back(&keeper, &kept, &lock);
    }
    rlk_keeper_stop(&keeper);
    printf("%s\n", result == RLK_OK ? "worked, and held all along" : rlk_result_text(result));
    if (result == RLK_OK)
        result = rlk_release(&lock);
    rlk_posix_close(&redis);
    return result == RLK_OK ? 0 : 1;
}
