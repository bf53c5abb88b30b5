/* SPDX-License-Identifier: MIT
 *
 * Reports of a wait: that it goes on, and why.
 */
#ifndef RLKI_LOCK_WAITING_H
#define RLKI_LOCK_WAITING_H

#include "state.h"

/* What keeps a waiter from the lock. */
typedef struct rlki_reason {
    rlk_result result; /* RLK_BUSY: somebody has it; else an error */
    uint8_t node;      /* of the error */
    uint8_t command;
} rlki_reason;

/* Returns what keeps a lock that is trying from success. */
rlki_reason rlki_waiting_reason(const rlk_lock *lock);

/* Begins the reports of an acquire that makes more than one attempt. */
void rlki_waiting_begin(rlk_lock *lock);

/* Reports now, and again when the next report is due. */
void rlki_waiting_report(rlk_lock *lock);

/* The reason may be another one: if it is, the next report comes soon. */
void rlki_waiting_changed(rlk_lock *lock);

#endif
