/* SPDX-License-Identifier: MIT
 *
 * Internal: the transmit buffer.
 */
#ifndef RLKI_NET_TRANSMIT_H
#define RLKI_NET_TRANSMIT_H

#include "../resp/apart.h"

#include "conn_flags.h"
#include "wipe.h"

/* True while constant bytes wait to leave: until then nothing may be encoded. */
inline bool rlki_transmit_has_segment(const rlk_conn *conn)
{
    return conn->scripts.segment_left != 0;
}

/* True if all has left, and was acknowledged. */
static inline bool rlki_transmit_is_empty(const rlk_conn *conn)
{
    return conn->tx.end == conn->tx.begin && conn->scripts.segment_left == 0;
}

/* True while a stream is up and nothing waits to leave: RLK_WANT_READ is all that is wanted. */
static inline bool rlki_transmit_is_quiet(const rlk_conn *conn)
{
    return conn_is_up(conn) && rlki_transmit_is_empty(conn);
}

/* Begins a stream. */
void rlki_transmit_begin(rlk_conn *conn);

/* A writer into the free end. */
inline void rlki_transmit_writer(rlk_conn *conn, rlk_resp_writer *writer)
{
    conn->scripts.segment_at =
        0; /* no script is asked for; it would have a command's header before it */
    writer->buf = conn->tx.bytes + conn->tx.end;
    writer->cap = conn->tx.cap - conn->tx.end;
    writer->len = 0;
}

/* True if all fitted that was written to it. */
static inline bool rlki_transmit_fits(const rlk_resp_writer *writer)
{
    return writer->len <= writer->cap;
}

/* Takes the `written` bytes that it wrote. The script begins to leave that rlk_conn_put_script
 * asked for. */
void rlki_transmit_take(rlk_conn *conn, size_t written);

/* Has the command that loads a script leave, from where it is, behind all that was taken. */
void rlki_transmit_script(rlk_conn *conn, unsigned script);

/* True if those leave before the rest of tx. */
inline bool rlki_transmit_segment_is_next(const rlk_conn *conn)
{
    return rlki_transmit_has_segment(conn) && conn->tx.begin == conn->scripts.segment_at;
}

/* Of bytes of tx. Those of the handshake are wiped: a password may be among them. */
inline void rlki_transmit_ack_tx(rlk_conn *conn, uint32_t len)
{
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->tx.bytes + conn->tx.begin, len);
    conn->tx.begin += len;
    if (conn->tx.begin == conn->tx.end) {
        conn->tx.begin = 0;
        conn->tx.end = 0;
        conn->scripts.segment_at = 0;
    }
}

/* The first `len` bytes of what was shown to the driver have left. False: none. A stream is up.
 */
RLKI_INTO_CALLERS bool rlki_transmit_ack(rlk_conn *conn, size_t len)
{
    uint32_t shown = conn->tx.handed - conn->tx.position;
    uint32_t acked = len < shown ? (uint32_t)len : shown;

    if (acked == 0)
        return false;
    conn->tx.position += acked;
    if (rlki_transmit_segment_is_next(conn)) {
        conn->scripts.segment_left = (uint16_t)(conn->scripts.segment_left - acked);
    } else {
        rlki_transmit_ack_tx(conn, acked);
    }
    return true;
}

/* Drops all of it. */
void rlki_transmit_drop(rlk_conn *conn);

#endif
