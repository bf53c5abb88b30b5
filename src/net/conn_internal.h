/* SPDX-License-Identifier: MIT
 *
 * What the files of the connection engine share.
 */
#ifndef RESPLOCK_NET_CONN_INTERNAL_H
#define RESPLOCK_NET_CONN_INTERNAL_H

#include "steps.h"

#include "resplock/net.h"

/* rlk_conn.flags */
#define CONN_DUE         0x01u /* WAITING: the next attempt is due */
#define CONN_OPEN        0x02u /* the driver has a stream or an attempt that it must close */
#define CONN_PLAIN       0x04u /* the next attempts leave out what the peer may not know */
#define CONN_FENCE_DUE   0x08u /* `old` may still have commands on their way */
#define CONN_RESP2_ONLY  0x10u /* configured */
#define CONN_HEARD       0x20u /* at least one token came on this stream */
#define CONN_UNFENCED    0x40u /* became ready without the fence that was due */
#define CONN_NO_TRACKING 0x80u /* configured */
#define CONN_TRACKING    0x100u
#define CONN_SERVED      0x200u /* a request was answered on this stream, last by a server at work */
#define CONN_REPLACED    0x400u /* the stream before was condemned, or reset; until READY is told */
#define CONN_RESET       0x800u /* CLOSING: then forget why, and connect at once */
#define CONN_WHOLE       0x1000u /* the peer took a handshake that left nothing out, once */

/* A stream is up, and bytes may go and come. */
static inline bool conn_is_up(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_HANDSHAKE || conn->state == RLK_CONN_READY;
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

/* ---- What is counted and traced; nothing at all with RLK_NO_TRACE ---- */

#ifdef RLK_NO_TRACE
#define CONN_COUNT(conn, counter, by)
#define CONN_FENCED(conn)
#define CONN_TRACE(conn, step, what)
#else
#define CONN_COUNT(conn, counter, by) ((conn)->counter += (uint32_t)(by))
#define CONN_FENCED(conn)             ((conn)->fences++)
#define CONN_TRACE(conn, step, what)                                                               \
    do {                                                                                           \
        if ((conn)->calls->trace != NULL)                                                          \
            (conn)->calls->trace((conn)->calls_context, (conn), (step), (what));                   \
    } while (0)
#endif

/* ---- send.c ---- */

/* True while constant bytes wait to leave: until then nothing may be encoded. */
static inline bool conn_has_segment(const rlk_conn *conn)
{
    return conn->segment_left != 0;
}

/* A writer into the free end of tx. */
void rlki_send_writer(rlk_conn *conn, rlk_resp_writer *writer);

/* Enters the `written` bytes that were written there: `replies` will come for them. The script
 * begins to leave that rlk_conn_put_script asked for. */
void rlki_send_push(rlk_conn *conn, rlk_request *owner, unsigned kind, unsigned replies,
                    size_t written);

/* Encodes scripts, and in READY requests, while there is room. */
void rlki_send_flush(rlk_conn *conn);

/* ---- ring.c ---- */

/* Enters what begins at the end of tx: `replies` will come for it. There is room. */
void rlki_ring_push(rlk_conn *conn, rlk_request *owner, unsigned kind, unsigned replies);

/* The oldest entry, if a reply to it is due: the driver was shown a byte of it. Else NULL. */
rlk_conn_entry *rlki_ring_due(const rlk_conn *conn);

/* Gives a whole reply to the oldest entry. */
void rlki_ring_reply(rlk_conn *conn, const rlk_reply *reply);

/* Has the oldest entry count as never sent. */
void rlki_ring_refuse(rlk_conn *conn);

/* True if the server can have no request that it did not answer. */
bool rlki_ring_was_answered(const rlk_conn *conn);

/* Empties the ring, oldest first, and tells the owners. */
void rlki_ring_lose(rlk_conn *conn);

/* ---- handshake.c ---- */

typedef enum conn_fence {
    CONN_FENCE_NONE,     /* the old connection can't be fenced */
    CONN_FENCE_GONE,     /* its instance of the server is gone, and its commands with it */
    CONN_FENCE_KILL,     /* CLIENT KILL ID: 1 and 0 both fence */
    CONN_FENCE_KILL_ADDR /* CLIENT KILL ID ADDR: only 1 fences */
} conn_fence;

/* How the connection `old` can be fenced over `fresh`. */
conn_fence rlki_handshake_fence(const rlk_conn_identity *old, const rlk_conn_identity *fresh);

/* Sends the steps that may leave now. RLK_OK, or why the attempt fails. */
rlk_result rlki_handshake_pump(rlk_conn *conn);

/* True when all were answered. */
bool rlki_handshake_is_over(const rlk_conn *conn);

/* A token of the reply to a step. */
void rlki_handshake_token(rlk_conn *conn, unsigned kind, const rlk_resp_token *token);

/* The whole reply to it. RLK_OK to go on, or why the attempt fails. */
rlk_result rlki_handshake_reply(rlk_conn *conn, unsigned kind, const rlk_reply *reply);

/* The peer ended the stream. True: with a step under way that the lock can do without, so the next
 * attempt is made at once; after two such ends in a row it leaves out all such steps. */
bool rlki_handshake_hung_up(rlk_conn *conn);

/* True if it can do without SCRIPT LOAD: there is a probe. */
bool rlki_handshake_may_eval(const rlk_conn *conn);

/* Name of a step. */
const char *rlki_handshake_name(unsigned kind);

/* Room in tx that the URL's credentials need, RLK_CONN_TX_MIN without any. */
size_t rlki_handshake_room(const rlk_url *url);

/* True of a step whose command has the password in it; not of a request. */
bool rlki_handshake_is_secret(unsigned kind);

/* ---- receive.c ---- */

/* Takes note of `len` bytes that were received. False: there was no room for as many, or none. */
bool rlki_receive_add(rlk_conn *conn, size_t len);

/* RLK_RESP_TOKEN: the next token of a reply. RLK_RESP_MORE: all that was received is taken. Else it
 * is no RESP. Pushes are reported by `invalidated`. */
rlk_resp_status rlki_receive_next(rlk_conn *conn, rlk_resp_token *token);

/* True if the reply of the last token is an error. */
bool rlki_receive_is_error(const rlk_conn *conn);

/* Makes the reply of its last token. What came in fragments is not in one place any more. */
void rlki_receive_reply(const rlk_conn *conn, const rlk_resp_token *token, rlk_reply *reply);

/* ---- mask.c ---- */

/* Zeros that the compiler can't leave out. */
void rlki_wipe(void *memory, size_t len);

/* Forgets the server's text, every byte of it. */
void rlki_mask_forget(rlk_conn *conn);

/* Masks what the server's text, which means `error`, repeats of a command: the password, if that
 * was `secret`, and tokens. */
void rlki_mask_text(rlk_conn *conn, rlk_result error, bool secret);

/* ---- backoff.c ---- */

/* Back to the shortest bound. */
void rlki_backoff_reset(rlk_conn *conn);

/* Time to the next attempt: random in 1..bound; then the bound doubles up to its cap. */
uint32_t rlki_backoff_next(rlk_conn *conn);

#endif
