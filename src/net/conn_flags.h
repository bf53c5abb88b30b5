/* SPDX-License-Identifier: MIT
 *
 * Internal: rlk_conn.flags, and what is asked of a connection all the time.
 */
#ifndef RLKI_NET_CONN_FLAGS_H
#define RLKI_NET_CONN_FLAGS_H

#include "resplock/net.h"

#define CONN_DUE         0x01u /* WAITING: the next attempt is due */
#define CONN_OPEN        0x02u /* the driver has a stream or an attempt that it must close */
#define CONN_PLAIN       0x04u /* the next attempts leave out what the peer may not know */
#define CONN_FENCE_DUE   0x08u /* `old` may still have commands on their way */
#define CONN_RESP2_ONLY  0x10u /* configured */
#define CONN_RECEIVED    0x20u /* at least one token came on this stream */
#define CONN_UNFENCED    0x40u /* became ready without the fence that was due */
#define CONN_NO_TRACKING 0x80u /* configured */
#define CONN_TRACKING    0x100u
#define CONN_SERVED      0x200u /* a request was answered on this stream, last by a server at work */
#define CONN_REPLACED                                                                              \
    0x400u                 /* the stream before was condemned or reset; until READY is reported    \
                            */
#define CONN_RESET 0x800u  /* CLOSING: then forget why, and connect at once */
#define CONN_WHOLE 0x1000u /* the peer took a handshake that left nothing out, once */
#define CONN_MUTE  0x2000u /* the last failure was of a peer that had not replied */

/* A stream is up, and bytes may go and come. */
static inline bool conn_is_up(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_HANDSHAKE || conn->state == RLK_CONN_READY;
}

/* What rlk_conn_get_state and the like return, as parts of their callers. */
static inline rlk_conn_state rlki_conn_state(const rlk_conn *conn)
{
    return (rlk_conn_state)conn->state;
}

static inline int64_t rlki_conn_now(const rlk_conn *conn)
{
    return conn->now_ms;
}

static inline int64_t rlki_conn_deadline(const rlk_conn *conn)
{
    return conn->deadline_ms;
}

static inline uint32_t rlki_conn_generation(const rlk_conn *conn)
{
    return conn->generation;
}

static inline unsigned rlki_conn_server(const rlk_conn *conn)
{
    return conn->server;
}

/* The last failure was of a peer that had not sent a reply. */
static inline bool rlki_conn_was_mute(const rlk_conn *conn)
{
    return (conn->flags & CONN_MUTE) != 0;
}

/* HELLO is left out: the stream begins as RESP2. */
static inline bool conn_is_resp2_only(const rlk_conn *conn)
{
#ifdef RLK_RESP2_ONLY
    (void)conn;
    return true;
#else
    return (conn->flags & CONN_RESP2_ONLY) != 0;
#endif
}

#endif
