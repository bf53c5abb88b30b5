/* SPDX-License-Identifier: MIT
 *
 * The receive port: bytes to tokens, tokens to the reply that is due, in place.
 *
 *    rx:   | parsed | begins a token, not all of it here | room for the driver |
 *                   rx_begin                             rx_end
 *
 * Pushes and attributes are no replies wherever they stand. A reply that nobody waits for, or bytes
 * that are no RESP, end the stream: after either, no later reply could be trusted.
 */
#include "conn_internal.h"

#include <string.h>

/* Control bytes of a server's text don't reach terminals and logs. */
#define RECEIVE_CONTROL_MARK '?'

/* The server's words, as many as fit. */
static void receive_keep_text(rlk_conn *conn, const rlk_resp_token *token)
{
    size_t i;

    if ((token->flags & RLK_RESP_FIRST) != 0)
        rlki_conn_forget_text(conn);
    for (i = 0; i < token->len && conn->text_len < sizeof conn->text - 1; i++) {
        uint8_t byte = token->data[i];

        conn->text[conn->text_len] =
            (char)(byte < 0x20 || byte == 0x7f ? RECEIVE_CONTROL_MARK : byte);
        conn->text_len++;
    }
}

static bool receive_is_error(unsigned type)
{
    return type == RLK_RESP_ERROR || type == RLK_RESP_BLOB_ERROR;
}

/* Makes the reply of its last token. What came in fragments is not in one place any more. */
static void receive_finish_reply(rlk_conn *conn, const rlk_resp_token *token, rlk_reply *reply)
{
    bool whole = token->depth == 0 && (token->flags & RLK_RESP_FIRST) != 0;

    memset(reply, 0, sizeof *reply);
    reply->type = (rlk_resp_type)conn->reply_type;
    reply->value = conn->reply_len;
    if (whole && token->type != RLK_RESP_END) {
        reply->value = token->value;
        reply->data = token->data;
        reply->len = token->len;
    }
    if (!receive_is_error(reply->type))
        return;
    if (reply->data == NULL) {
        reply->data = (const uint8_t *)conn->text;
        reply->len = conn->text_len;
    }
    reply->error = rlk_server_error(reply->data, reply->len);
}

/* A token of a reply: not of a push, not of an attribute. */
static void receive_take_reply(rlk_conn *conn, const rlk_resp_token *token)
{
    bool due = rlki_ring_is_due(conn);
    rlk_reply reply;

    if (token->depth == 0 && token->type != RLK_RESP_END && (token->flags & RLK_RESP_FIRST) != 0) {
        conn->reply_type = (uint8_t)token->type;
        conn->reply_len = (int32_t)(token->value <= INT32_MAX ? token->value : -1);
    }
    if (receive_is_error(conn->reply_type))
        receive_keep_text(conn, token);
    /* A server that is full or protected says so before it has read anything (fault 16). */
    if (!due && !(conn->state == RLK_CONN_HANDSHAKE && receive_is_error(conn->reply_type))) {
        rlki_conn_distrust(conn, RLK_E_UNSOLICITED);
        return;
    }
    conn->deadline_ms = conn->now_ms + conn->response_ms;
    if (due && conn->state == RLK_CONN_HANDSHAKE)
        rlki_handshake_token(conn, conn->ring[conn->ring_head].kind, token);
    if ((token->flags & RLK_RESP_DONE) == 0)
        return;
    receive_finish_reply(conn, token, &reply);
    if (due)
        rlki_ring_reply(conn, &reply);
    else
        rlki_conn_fail(conn, reply.error);
}

static void receive_take(rlk_conn *conn, const rlk_resp_token *token)
{
    conn->flags |= CONN_HEARD;
    if ((token->flags & (RLK_RESP_IN_PUSH | RLK_RESP_IN_ATTRIBUTE)) == 0)
        receive_take_reply(conn, token);
}

static void receive_parse(rlk_conn *conn)
{
    while (conn_is_up(conn)) {
        rlk_resp_token token;
        size_t consumed;
        rlk_resp_status status =
            rlk_resp_next(&conn->parser, conn->rx + conn->rx_begin,
                          (size_t)(conn->rx_end - conn->rx_begin), &consumed, &token);

        conn->rx_begin += (uint32_t)consumed;
        if (status == RLK_RESP_MORE)
            return;
        if (status == RLK_RESP_TOKEN)
            receive_take(conn, &token);
        else
            rlki_conn_distrust(conn,
                               (conn->flags & CONN_HEARD) != 0 ? RLK_E_PROTOCOL : RLK_E_NOT_RESP);
    }
}

/* Moves what is not parsed yet to the front. */
static void receive_compact(rlk_conn *conn)
{
    uint32_t left = conn->rx_end - conn->rx_begin;

    memmove(conn->rx, conn->rx + conn->rx_begin, left);
    /* Servers repeat arguments in errors: passwords among them. */
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_conn_wipe(conn->rx + left, conn->rx_end - left);
    conn->rx_begin = 0;
    conn->rx_end = left;
}

uint8_t *rlk_conn_rx_buf(rlk_conn *conn, size_t *cap)
{
    *cap = 0;
    if (!conn_is_up(conn))
        return NULL;
    /* Rarely: what is left over is most often nothing, else the beginning of a reply. */
    if (conn->rx_begin != 0 && conn->rx_cap - conn->rx_end < conn->rx_cap / 2)
        receive_compact(conn);
    *cap = conn->rx_cap - conn->rx_end;
    return conn->rx + conn->rx_end;
}

void rlk_conn_rx_ack(rlk_conn *conn, size_t len, int64_t now_ms)
{
    conn->now_ms = now_ms;
    if (!conn_is_up(conn) || len == 0 || len > conn->rx_cap - conn->rx_end)
        return;
    conn->rx_end += (uint32_t)len;
    receive_parse(conn);
    if (conn->state == RLK_CONN_HANDSHAKE || conn->rx_begin == conn->rx_end)
        receive_compact(conn);
    rlki_conn_pump(conn);
}
