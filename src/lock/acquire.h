/* SPDX-License-Identifier: MIT
 *
 * Acquire: attempts, until one wins.
 */
#ifndef RLKI_LOCK_ACQUIRE_H
#define RLKI_LOCK_ACQUIRE_H

#include "operation.h"

extern const rlki_operation rlki_acquire;
extern const rlki_call rlki_call_acquire;

/* What keeps a waiter from the lock. */
typedef struct rlki_reason {
    rlk_result result; /* RLK_BUSY: somebody has it; else an error */
    uint8_t node;      /* of the error */
    uint8_t command;
} rlki_reason;

/* Returns what keeps a lock that is trying from success. */
rlki_reason rlki_acquire_reason(const rlk_lock *lock);

/* Returns true while it tries: not any more once its outcome is decided. */
static inline bool rlki_acquire_is_trying(const rlk_lock *lock)
{
    return lock->op != NULL && lock->op->id == RLK_OP_ACQUIRE && lock->phase != RLKI_PHASE_SETTLE;
}

#endif
