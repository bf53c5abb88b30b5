/* SPDX-License-Identifier: MIT
 *
 * resplock/scoped.h: a lock that is released and closed at the end of its block.
 */
#ifndef RESPLOCK_SCOPED_H
#define RESPLOCK_SCOPED_H

#include "resplock/lock.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Cancels or releases what goes on, and closes. The forms below call it. */
RLK_API void rlki_lock_scope_end(rlk_lock *lock);

#if defined(__GNUC__) && !defined(__cplusplus)
/*
 *     RLK_SCOPED(name, client, key, config);
 *
 * Declares and initialises a lock. Every exit from its block releases and closes it. For GCC and
 * Clang.
 *     RLK_SCOPED(lock, &redis.client, "foobar", NULL);
 *     if (rlk_acquire(&lock, RLK_DEFAULT) != RLK_OK)
 *         return -1;
 */
#define RLK_SCOPED(name, client, key, ...)                                                         \
    __attribute__((cleanup(rlki_lock_scope_end))) rlk_lock name;                                   \
    (void)rlk_lock_init(&name, (client), (key), __VA_ARGS__)
#endif

#ifdef __cplusplus
}

#if __cplusplus >= 201103L
#ifdef RESPLOCK_STATIC
namespace
{
#endif
/*
 * The same for C++11, as an object; its address is the lock's.
 *     rlk_scoped lock(&redis.client, "foobar");
 *     if (rlk_acquire(&lock, RLK_DEFAULT) != RLK_OK)
 *         return;
 * Where rlk_lock_init refuses, every call on it is RLK_E_CLOSED, and rlk_client_error() says why.
 */
struct rlk_scoped : rlk_lock {
    rlk_scoped(rlk_client *owner, const char *name,
               const rlk_lock_config *config = nullptr) noexcept
    {
        (void)rlk_lock_init(this, owner, name, config);
    }
    ~rlk_scoped()
    {
        rlki_lock_scope_end(this);
    }
    rlk_scoped(const rlk_scoped &) = delete;
    rlk_scoped &operator=(const rlk_scoped &) = delete;
};
#ifdef RESPLOCK_STATIC
}
#endif
#endif
#endif

#endif
