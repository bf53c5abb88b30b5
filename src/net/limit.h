/* SPDX-License-Identifier: MIT
 *
 * Limits of a configuration.
 */
#ifndef RLKI_LIMIT_H
#define RLKI_LIMIT_H

#include "resplock/net.h"

/* Positions in buffers are 32 bits, and their differences are compared with a sign. */
#define RLKI_BUFFER_MAX 0x40000000u

/* Takes a limit as users give it: 0 is the default. False: negative, or beyond RLK_TIME_LIMIT_MAX.
 */
bool rlki_limit_take(uint32_t *out_ms, int64_t value_ms, uint32_t default_ms);

#endif
