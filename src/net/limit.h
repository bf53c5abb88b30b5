/* SPDX-License-Identifier: MIT
 *
 * Time limits of a configuration.
 */
#ifndef RLKI_LIMIT_H
#define RLKI_LIMIT_H

#include "resplock/net.h"

/* Takes a limit as users give it: 0 is the default. False: negative, or beyond RLK_TIME_LIMIT_MAX.
 */
bool rlki_limit_take(uint32_t *out_ms, int64_t value_ms, uint32_t default_ms);

#endif
