/* SPDX-License-Identifier: MIT
 *
 * Internal: what waits to be sent.
 */
#ifndef RLKI_NET_SEND_H
#define RLKI_NET_SEND_H

#include "resplock/net.h"

/* True if a script or a request waits. */
static inline bool rlki_send_waits(const rlk_conn *conn)
{
    return conn->send != NULL || conn->scripts.next < conn->scripts.count;
}

/* Encodes scripts, and in READY requests, while there is room. */
void rlki_send_flush(rlk_conn *conn);

#endif
