/* SPDX-License-Identifier: MIT */
#define RESPLOCK_STATIC
#include "static_other.h"

uintptr_t static_other_version(void)
{
    return (uintptr_t)&rlk_version;
}

rlk_result static_other_try(const char *url, const char *key)
{
    rlk_posix_client posix;
    rlk_lock lock;
    rlk_result result = rlk_posix_open(&posix, url, NULL);

    if (result != RLK_OK)
        return result;
    result = rlk_lock_init(&lock, &posix.client, key, NULL);
    if (result == RLK_OK)
        result = rlk_acquire(&lock, RLK_TRY);
    if (result == RLK_OK)
        result = rlk_release(&lock);
    rlk_lock_close(&lock);
    rlk_posix_close(&posix);
    return result;
}

rlk_result static_other_release(rlk_lock *lock)
{
    return rlk_release(lock);
}
