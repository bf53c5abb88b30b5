/* SPDX-License-Identifier: MIT
 *
 * A program of somebody else's, in C and C++, whose locks are kept by a thread.
 *     app URL KEY
 */
#include "resplock.h"
#include "resplock/adapters/keeper.h"

#include <stdio.h>
#include <string.h>

static rlk_keeper keeper;
static rlk_kept kept;

int main(int argc, char **argv)
{
    rlk_posix_client posix;
    rlk_lock lock;
    const char *url = argv[1];
    rlk_result result;

    if (argc != 3)
        return 2;
    result = rlk_posix_open(&posix, url, NULL);
    if (result == RLK_OK)
        result = rlk_lock_init(&lock, &posix.client, argv[2], NULL);
    if (result == RLK_OK)
        result = rlk_keeper_start(&keeper, &url, NULL, 1, NULL);
    if (result == RLK_OK)
        result = rlk_acquire(&lock, 10000);
    if (result == RLK_OK)
        result = rlk_keeper_keep(&keeper, &kept, &lock);
    if (result == RLK_OK)
        result = rlk_keeper_give_back(&keeper, &kept, &lock);
    if (result == RLK_OK)
        result = rlk_release(&lock);
    printf("%d: resplock %s, at most %d nodes\n", (int)result, rlk_version(), RLK_MAX_NODES);
    if (result != RLK_OK)
        return 1;
    rlk_keeper_stop(&keeper);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    return 0;
}
