/* SPDX-License-Identifier: MIT
 *
 * Query and force_release.
 */
#ifndef RLKI_LOCK_INSPECT_H
#define RLKI_LOCK_INSPECT_H

#include "operation.h"

extern const rlki_operation rlki_query;
extern const rlki_operation rlki_force_release;

/* Returns how many nodes have the same token as `holder`, itself among them; 0 if it has none. */
unsigned rlki_inspect_agree(const rlk_client *client, const rlk_holder *holders,
                            const rlk_holder *holder);

#endif
