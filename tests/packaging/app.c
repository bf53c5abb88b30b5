/* SPDX-License-Identifier: MIT
 *
 * A program of somebody else's, in C and C++: takes a lock, gives it back, and prints which library
 * it found.
 *     app URL KEY
 */
#include "resplock.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    rlk_posix_client posix;
    rlk_lock lock;
    rlk_result result;

    if (argc != 3 || strcmp(rlk_version(), RLK_VERSION_STRING) != 0)
        return 2;
    result = rlk_posix_open(&posix, argv[1], NULL);
    if (result == RLK_OK)
        result = rlk_lock_init(&lock, &posix.client, argv[2], NULL);
    if (result == RLK_OK)
        result = rlk_acquire(&lock, 10000);
    if (result == RLK_OK)
        result = rlk_release(&lock);
    printf("%d: resplock %s, at most %d nodes\n", (int)result, rlk_version(), RLK_MAX_NODES);
    if (result != RLK_OK)
        return 1;
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    return 0;
}
