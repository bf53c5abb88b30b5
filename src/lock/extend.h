/* SPDX-License-Identifier: MIT
 *
 * Extend, renew, check: operations on a lock that is held.
 */
#ifndef RLKI_LOCK_EXTEND_H
#define RLKI_LOCK_EXTEND_H

#include "operation.h"

extern const rlki_call rlki_call_extend;
extern const rlki_call rlki_call_renew;
extern const rlki_call rlki_call_check;

/* Begins a renew if a renewal is due, or a check if the key is being compared. Ends as either. */
extern const rlki_call rlki_call_keep_alive;

/* Begins a row of this file, or one of the same kind. target_ms: the expiry to ask for. */
void rlki_extend_begin(rlk_lock *lock, const rlki_operation *op, int32_t target_ms,
                       int32_t deadline_ms);

/* The step and the reports of such a row. */
bool rlki_extend_step(rlk_lock *lock);
void rlki_extend_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report);

/* Returns true if a lease of ttl_ms outlasts drift and the time of one attempt: else none can be
 * won. */
bool rlki_extend_is_enough(const rlk_lock *lock, int64_t ttl_ms);

#endif
