/* SPDX-License-Identifier: MIT
 *
 * Renewals that nobody calls for.
 */
#ifndef RLKI_LOCK_RENEWAL_H
#define RLKI_LOCK_RENEWAL_H

#include "operation.h"

extern const rlki_operation rlki_renewal;

/* lock->hold.renew_ms has come: begins a renewal, unless an operation is under way. */
void rlki_renewal_due(rlk_lock *lock);

#endif
