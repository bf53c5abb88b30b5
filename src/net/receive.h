/* SPDX-License-Identifier: MIT
 *
 * Internal: received bytes.
 */
#ifndef RLKI_NET_RECEIVE_H
#define RLKI_NET_RECEIVE_H

#include "conn_flags.h"
#include "conn_trace.h"

#include "../resp/apart.h"

/* Begins a stream. */
void rlki_receive_begin(rlk_conn *conn);

/* Drops what it has shown, as far as it may be secret. */
void rlki_receive_drop(rlk_conn *conn);

/* Takes note of `len` bytes that were received. False: there was no room for as many, or none. */
static inline bool rlki_receive_add(rlk_conn *conn, size_t len)
{
    if (!conn_is_up(conn) || len == 0 || len > conn->rx.cap - conn->rx.end)
        return false;
    conn->rx.end += (uint32_t)len;
    CONN_COUNT(conn, bytes_received, len);
    return true;
}

/* True in READY if all that was received is taken: then the buffer begins anew. */
static inline bool rlki_receive_is_over(rlk_conn *conn)
{
    if (conn->rx.begin != conn->rx.end || conn->state != RLK_CONN_READY)
        return false;
    conn->rx.begin = 0;
    conn->rx.end = 0;
    return true;
}

/* RLK_RESP_TOKEN: the next token of a reply. RLK_RESP_MORE: all that was received is taken. Else it
 * is no RESP. Pushes are reported by `invalidated`. */
rlk_resp_status rlki_receive_next(rlk_conn *conn, rlk_resp_token *token);

/* True if the reply of the last token is an error. */
inline bool rlki_receive_is_error(const rlk_conn *conn)
{
    return conn->reply_type == RLK_RESP_ERROR || conn->reply_type == RLK_RESP_BLOB_ERROR;
}

/* Makes the reply of its last token. What came in fragments is not in one place any more. */
RLKI_INTO_CALLERS void rlki_receive_reply(const rlk_conn *conn, const rlk_resp_token *token,
                                          rlk_reply *reply)
{
    bool whole = token->depth == 0 && (token->flags & RLK_RESP_FIRST) != 0;

    reply->type = (rlk_resp_type)conn->reply_type;
    reply->error = RLK_OK;
    if (whole && token->type != RLK_RESP_END) {
        reply->value = token->value;
        reply->data = token->data;
        reply->len = token->len;
    } else {
        reply->value = conn->rx.fragment == UINT32_MAX ? -1 : (int64_t)conn->rx.fragment;
        reply->data = NULL;
        reply->len = 0;
    }
    if (!rlki_receive_is_error(conn))
        return;
    if (reply->data == NULL) {
        reply->data = (const uint8_t *)conn->text;
        reply->len = conn->text_len;
    }
    reply->error = rlk_server_error(reply->data, reply->len);
}

#endif
