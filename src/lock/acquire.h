/* SPDX-License-Identifier: MIT
 *
 * Acquire: attempts, until one wins.
 */
#ifndef RLKI_LOCK_ACQUIRE_H
#define RLKI_LOCK_ACQUIRE_H

#include "operation.h"

extern const rlki_operation rlki_acquire;
extern const rlki_call rlki_call_acquire;

/* Returns true while it tries: not any more once its outcome is decided. */
static inline bool rlki_acquire_is_trying(const rlk_lock *lock)
{
    return lock->op != NULL && lock->op->id == RLK_OP_ACQUIRE && lock->phase != RLKI_PHASE_SETTLE;
}

#endif
