/* SPDX-License-Identifier: MIT
 *
 * The deadline and tick of the client for a caller that has entered a call already: no checks.
 */
#ifndef RLKI_LOCK_CLIENT_H
#define RLKI_LOCK_CLIENT_H

#include "state.h"

/* Returns when the client has something to do: rlk_client_deadline. */
int64_t rlki_client_deadline(const rlk_client *client);

/* Does what is due: rlk_client_tick. */
void rlki_client_tick(rlk_client *client);

#endif
