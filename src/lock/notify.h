/* SPDX-License-Identifier: MIT
 *
 * A key changed: to the locks of a client that wait for it or hold it.
 */
#ifndef RLKI_LOCK_NOTIFY_H
#define RLKI_LOCK_NOTIFY_H

#include "state.h"

/* Notifies the locks that wait for a key of a change on a node. Without `own` (by another client)
 * those that hold it too; else `own` has let go of it, and is left out. They are stepped before the
 * call into the engine ends. */
void rlki_notify(rlk_client *client, unsigned node, uint32_t key_hash, rlk_cause cause,
                 const rlk_lock *own);

/* The same where it may have been any key. */
void rlki_notify_all(rlk_client *client, unsigned node, rlk_cause cause);

/* Notifies now the locks that wait for the key, or hold it: nobody waits any more for what an
 * earlier force_release of the lock sent, and their commands go behind it. */
void rlki_notify_forget(rlk_lock *lock);

#endif
