/* SPDX-License-Identifier: MIT
 *
 * Query and force_release.
 */
#ifndef RLKI_LOCK_INSPECT_H
#define RLKI_LOCK_INSPECT_H

#include "operation.h"

extern const rlki_call rlki_call_query;
extern const rlki_call rlki_call_force_release;

/* Keeps what a node said in a report on RLKI_QUERY, or why it said nothing. */
void rlki_inspect_keep(rlk_lock *lock, rlk_holder *holder, const rlki_report *report);

/* Returns how many nodes have the same token as `holder`, itself among them; 0 if it has none. */
unsigned rlki_inspect_agree(const rlk_client *client, const rlk_holder *holders,
                            const rlk_holder *holder);

#endif
