/* SPDX-License-Identifier: MIT
 *
 * Internal: streams that are ended because of what the server says.
 */
#ifndef RLKI_NET_CONDEMN_H
#define RLKI_NET_CONDEMN_H

#include "conn_flags.h"

/* Returns the number of an address in 32 bits, which is not 0. `peer` is the driver's, and may
 * differ in any of its bits. */
uint32_t rlki_condemn_number(uint64_t peer);

/* True of an error that can condemn a stream. */
bool rlki_condemn_is_for(rlk_result error);

/* Takes note of what a request was answered (RLK_OK: no error). True: the stream must end for it.
 */
bool rlki_condemn_by(rlk_conn *conn, rlk_result error);
inline bool rlki_condemn(rlk_conn *conn, rlk_result error)
{
    if (error == RLK_OK && (conn->flags & CONN_SERVED) != 0)
        return false;
    return rlki_condemn_by(conn, error);
}

/* The same of an error that ends a handshake: the next attempt begins behind this address. */
void rlki_condemn_address(rlk_conn *conn, rlk_result error);

/* Forgets all streams that were condemned. */
void rlki_condemn_forget(rlk_conn *conn);

/* From within `changed` that reports READY: true if this stream takes the place of one that was
 * condemned, or that rlk_conn_reset ended. */
bool rlki_condemn_was_replaced(const rlk_conn *conn);

#endif
