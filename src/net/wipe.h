/* SPDX-License-Identifier: MIT
 *
 * Internal: memory that had a secret in it.
 */
#ifndef RLKI_NET_WIPE_H
#define RLKI_NET_WIPE_H

#include "resplock/base.h"

/* Zeros that the compiler can't leave out. */
void rlki_wipe(void *memory, size_t len);

#endif
