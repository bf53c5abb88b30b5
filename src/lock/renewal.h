/* SPDX-License-Identifier: MIT
 *
 * Renewals that nobody calls for.
 */
#ifndef RLKI_LOCK_RENEWAL_H
#define RLKI_LOCK_RENEWAL_H

#include "operation.h"

/* The locks of a client may renew from now on: those of which rlki_lock_renews is true. */
void rlki_renewal_begin(rlk_client *client);

#endif
