/* SPDX-License-Identifier: MIT
 *
 * When to leave a lock to others.
 */
#ifndef RLKI_LOCK_TURN_H
#define RLKI_LOCK_TURN_H

#include "state.h"

/* Returns true if others are known to want the lock too. */
bool rlki_turn_contended(const rlk_lock *lock);

/* Others were seen to. */
void rlki_turn_contend(rlk_lock *lock);

/* The lock was acquired, by the cause that it has. */
void rlki_turn_acquired(rlk_lock *lock);

/* The lock is about to be released, and is held. */
void rlki_turn_released(rlk_lock *lock);

/* Returns milliseconds for which an acquire that begins leaves the lock to others first. */
uint32_t rlki_turn_pause(rlk_lock *lock);

/* Returns milliseconds after which a waiter reacts to a change; 0: it has waited for long. */
uint32_t rlki_turn_patience(rlk_lock *lock);

/* An attempt came too late: another waiter had been faster. */
void rlki_turn_crowd(rlk_lock *lock);

#endif
