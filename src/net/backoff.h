/* SPDX-License-Identifier: MIT
 *
 * Internal: pauses between two attempts to connect.
 */
#ifndef RLKI_NET_BACKOFF_H
#define RLKI_NET_BACKOFF_H

#include "resplock/net.h"

/* Back to the shortest bound. */
void rlki_backoff_reset(rlk_conn *conn);

/* Time to the next attempt: random in 1..bound; then the bound doubles up to its cap. */
uint32_t rlki_backoff_next(rlk_conn *conn);

#endif
