/* SPDX-License-Identifier: MIT
 *
 * The operations of a lock that have a blocking and a started form. Both forms of a call begin the
 * same row with the same argument, so each is in this table once: api.c makes the started forms of
 * it, blocking.c the blocking ones. lock.h declares and explains both.
 */
#ifndef RLKI_LOCK_CALLS_H
#define RLKI_LOCK_CALLS_H

#include "acquire.h"
#include "extend.h"
#include "inspect.h"
#include "release.h"

/* X(name, parameters, argument, holders): rlk_<name> and rlk_<name>_start begin rlki_call_<name>.
 * In a macro the formatter takes stars for products. */
/* clang-format off */
#define RLKI_CALLS(X)                                                                              \
    X(acquire, (rlk_lock *lock, int64_t wait_ms), wait_ms, NULL)                                   \
    X(release, (rlk_lock *lock), 0, NULL)                                                          \
    X(extend, (rlk_lock *lock, int64_t added_ms), added_ms, NULL)                                  \
    X(renew, (rlk_lock *lock, int64_t ttl_ms), ttl_ms, NULL)                                       \
    X(check, (rlk_lock *lock), 0, NULL)                                                            \
    X(query, (rlk_lock *lock, rlk_holder *holders, size_t cap), (int64_t)cap, holders)             \
    X(force_release, (rlk_lock *lock), 0, NULL)
/* clang-format on */

#endif
