/* SPDX-License-Identifier: MIT
 *
 * The receive port: bytes to tokens, tokens to the reply that is due, in place.
 *
 *    rx:   | parsed | begins a token, not all of it here | room for the driver |
 *                   rx_begin                             rx_end
 *
 * Pushes and attributes are no replies wherever they stand. Of the pushes those of client tracking
 * are understood: >2 "invalidate" and an array of keys, or a null where any key may have changed.
 * Of a key, which may be longer than the buffer, only its hash is kept. A reply that nobody waits
 * for, or bytes that are no RESP, end the stream: after either, no later reply could be trusted.
 */
#include "receive.h"

#include "conn_flags.h"
#include "conn_trace.h"
#include "server_text.h"
#include "wipe.h"

#include <string.h>

void rlki_receive_begin(rlk_conn *conn)
{
    conn->rx.begin = 0;
    conn->rx.end = 0;
    rlk_resp_parser_init(&conn->parser, conn->rx.cap - 2); /* a string and its CRLF fit */
}

/* Servers repeat arguments in errors: passwords among them. */
void rlki_receive_drop(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->rx.bytes, conn->rx.end);
}

extern inline bool rlki_receive_is_error(const rlk_conn *conn);

extern inline void rlki_receive_reply(const rlk_conn *conn, const rlk_resp_token *token,
                                      rlk_reply *reply);

/* A token of a reply: not of a push, not of an attribute. */
static void receive_take_reply(rlk_conn *conn, const rlk_resp_token *token)
{
    if (token->depth == 0 && token->type != RLK_RESP_END && (token->flags & RLK_RESP_FIRST) != 0) {
        conn->reply_type = (uint8_t)token->type;
        conn->rx.fragment =
            token->value >= 0 && token->value <= INT32_MAX ? (uint32_t)token->value : UINT32_MAX;
    }
    if (rlki_receive_is_error(conn))
        rlki_text_keep(conn, token);
}

#ifndef RLK_RESP2_ONLY

/* match: the push under way is an invalidation. */
enum {
    RECEIVE_OTHER,
    RECEIVE_INVALIDATE
};

#define RECEIVE_WORD     "invalidate"
#define RECEIVE_WORD_LEN (sizeof RECEIVE_WORD - 1)

static bool receive_is_string(const rlk_resp_token *token)
{
    return token->type == RLK_RESP_BULK || token->type == RLK_RESP_SIMPLE;
}

static void receive_take_key(rlk_conn *conn, const rlk_resp_token *token)
{
    if ((token->flags & RLK_RESP_FIRST) != 0)
        conn->rx.fragment = RLK_KEY_HASH;
    conn->rx.fragment = rlk_key_hash(conn->rx.fragment, token->data, token->len);
    if ((token->flags & RLK_RESP_LAST) != 0)
        conn->calls->invalidated(conn->calls_context, conn, conn->rx.fragment, false);
}

static void receive_take_push(rlk_conn *conn, const rlk_resp_token *token)
{
    bool is_string = receive_is_string(token);

    if (token->depth == 0)
        conn->match = RECEIVE_OTHER;
    else if (token->depth == 1 && is_string)
        conn->match = token->len == RECEIVE_WORD_LEN &&
                              memcmp(token->data, RECEIVE_WORD, RECEIVE_WORD_LEN) == 0
                          ? RECEIVE_INVALIDATE
                          : RECEIVE_OTHER;
    else if (conn->match == RECEIVE_INVALIDATE && token->depth == 2 && is_string)
        receive_take_key(conn, token);
    else if (conn->match == RECEIVE_INVALIDATE && token->depth == 1 && token->type == RLK_RESP_NULL)
        conn->calls->invalidated(conn->calls_context, conn, 0, true);
}

#endif /* RLK_RESP2_ONLY */

/* True of a token of a reply. */
static bool receive_take(rlk_conn *conn, const rlk_resp_token *token)
{
    conn->flags |= CONN_RECEIVED;
    if ((token->flags & (RLK_RESP_IN_PUSH | RLK_RESP_IN_ATTRIBUTE)) == 0) {
        receive_take_reply(conn, token);
        return true;
    }
#ifndef RLK_RESP2_ONLY
    if ((token->flags & RLK_RESP_IN_ATTRIBUTE) == 0 &&
        conn->state == RLK_CONN_READY) /* before, nothing was read */
        receive_take_push(conn, token);
#endif
    return false;
}

/* Moves what is not parsed yet to the front. */
static void receive_compact(rlk_conn *conn)
{
    uint32_t left = conn->rx.end - conn->rx.begin;

    memmove(conn->rx.bytes, conn->rx.bytes + conn->rx.begin, left);
    /* Servers repeat arguments in errors: passwords among them. */
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->rx.bytes + left, conn->rx.end - left);
    conn->rx.begin = 0;
    conn->rx.end = left;
}

rlk_resp_status rlki_receive_next(rlk_conn *conn, rlk_resp_token *token)
{
    rlk_resp_status status;

    do {
        size_t consumed;

        status = rlk_resp_next(&conn->parser, conn->rx.bytes + conn->rx.begin,
                               (size_t)(conn->rx.end - conn->rx.begin), &consumed, token);
        conn->rx.begin += (uint32_t)consumed;
    } while (status == RLK_RESP_TOKEN && !receive_take(conn, token));
    if (status == RLK_RESP_MORE && conn->state == RLK_CONN_HANDSHAKE)
        receive_compact(conn);
    return status;
}

uint8_t *rlk_conn_rx_buf(rlk_conn *conn, size_t *cap)
{
    *cap = 0;
    if (!conn_is_up(conn))
        return NULL;
    /* Rarely: what is left over is most often nothing, else the beginning of a reply. */
    if (conn->rx.begin != 0 && conn->rx.cap - conn->rx.end < conn->rx.cap / 2)
        receive_compact(conn);
    *cap = conn->rx.cap - conn->rx.end;
    return conn->rx.bytes + conn->rx.end;
}
