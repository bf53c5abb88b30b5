/* SPDX-License-Identifier: MIT
 *
 * lock_calls.h: the calls of a lock as functions of one argument, for tables: each call in its
 * blocking or its started form.
 */
#ifndef TEST_LOCK_CALLS_H
#define TEST_LOCK_CALLS_H

#include "support.h"

typedef struct lock_call {
    const char *name;
    rlk_result (*call)(rlk_lock *lock);
    rlk_result expected;
} lock_call;

static inline rlk_result call_acquire(rlk_lock *lock)
{
    return rlk_acquire(lock, RLK_TRY);
}

static inline rlk_result call_extend(rlk_lock *lock)
{
    return rlk_extend(lock, 1000);
}

static inline rlk_result call_renew(rlk_lock *lock)
{
    return rlk_renew(lock, RLK_DEFAULT);
}

static inline rlk_result call_query(rlk_lock *lock)
{
    rlk_holder holders[RLK_MAX_NODES];

    return rlk_query(lock, holders, RLK_MAX_NODES);
}

static inline rlk_result call_acquire_start(rlk_lock *lock)
{
    return rlk_acquire_start(lock, RLK_TRY);
}

static inline rlk_result call_extend_start(rlk_lock *lock)
{
    return rlk_extend_start(lock, 1000);
}

static inline rlk_result call_renew_start(rlk_lock *lock)
{
    return rlk_renew_start(lock, RLK_DEFAULT);
}

/* Calls each of the table; each has the result that the table expects. */
static inline void lock_calls_expect(rlk_lock *lock, const lock_call *calls, size_t len)
{
    size_t i;

    for (i = 0; support_row(i, len); i++) {
        support_row_name("%s", calls[i].name);
        assert_result(calls[i].call(lock), calls[i].expected);
    }
}

#endif
