/* SPDX-License-Identifier: MIT
 *
 * The step HELLO 3, with AUTH and SETNAME in it: RESP3, and the server shows of itself its id for
 * this connection, its role and its mode.
 *
 *    HELLO 3 --map--------------------------> RESP3
 *            --map with proto 2, or array --> RESP2, AUTH and SETNAME are done
 *            --refused in any words but those of hello_refused --> RESP2, AUTH and SETNAME follow
 */
#include "hello.h"

#include "conn_flags.h"
#include "info.h"
#include "login.h"
#include "server_text.h"

#ifndef RLK_RESP2_ONLY

/* match: what the next element of the map is. */
enum {
    HELLO_KEY,
    HELLO_VALUE
};

static rlk_result hello_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlki_login login;
    rlk_result result;

    if (conn_is_resp2_only(conn))
        return RLK_OK;
    result = rlki_login_ask(conn, &login);
    if (result != RLK_OK)
        return result;
    rlki_step_command(writer, "HELLO 3",
                      (login.wanted ? 3u : 0u) + (conn->client_name != NULL ? 2u : 0u));
    if (login.wanted) {
        rlki_step_word(writer, "AUTH");
        if (login.texts.user_len == 0)
            rlki_step_word(writer, "default");
        rlki_login_put(writer, &login);
    }
    if (conn->client_name != NULL) {
        rlki_step_word(writer, "SETNAME");
        rlki_step_word(writer, conn->client_name);
    }
    return RLK_OK;
}

/* A map, or an array of its keys and values in turn. Values may be aggregates: only what is at
 * depth 1 counts. */
static void hello_token(rlk_conn *conn, const rlk_resp_token *token)
{
    uint32_t *words = &conn->phase.handshake.words;
    bool is_key = conn->match == HELLO_KEY;

    if (token->depth == 0)
        conn->match = HELLO_KEY;
    if (token->depth != 1 || token->type == RLK_RESP_END || (token->flags & RLK_RESP_FIRST) == 0)
        return;
    *words = rlk_key_hash(is_key ? RLK_KEY_HASH : *words, token->data, token->len);
    conn->match = is_key ? HELLO_VALUE : HELLO_KEY;
    rlki_info_note(conn);
    if (is_key || token->type != RLK_RESP_INTEGER)
        return;
    if (*words == RLKI_INFO_ID && token->value > 0)
        conn->identity.client_id = (uint64_t)token->value;
    if (*words == RLKI_INFO_PROTO && token->value == 2)
        conn->protocol = 2;
}

/* These say more than "no HELLO here", whatever their words (fault 98): the next step would meet
 * them too. NOAUTH is none of them: proxies answer it to a HELLO that had AUTH. */
static bool hello_refused(const rlk_reply *reply)
{
    return rlki_step_is_refused(reply->error) ||
           (reply->error == RLK_E_AUTH && reply->data[0] == 'W'); /* WRONGPASS */
}

/*
 * An array is a yes too, and so is a map that says proto 2: the stream goes on as RESP2, with AUTH
 * and SETNAME done (fault 99). Servers that answer so are proxies or other products: whose ids and
 * run_id theirs are is not known, so the fence goes by address too.
 */
static rlk_result hello_reply(rlk_conn *conn, const rlk_reply *reply)
{
    bool is_map = reply->type == RLK_RESP_MAP;

    if (reply->error != RLK_OK) {
        if (hello_refused(reply))
            return reply->error;
        rlki_text_forget(conn);
        conn->protocol = 2;
        return RLK_OK;
    }
    if (!is_map && reply->type != RLK_RESP_ARRAY)
        return RLK_E_UNEXPECTED;
    conn->server |= RLK_SERVER_HELLO;
    if (conn->protocol == 0)
        conn->protocol = is_map ? 3 : 2;
    return rlki_info_result(conn);
}

const conn_step rlki_step_hello = {
    "HELLO", hello_encode, hello_token, hello_reply, CONN_STEP_SECRET | CONN_STEP_EXTRA,
};

#endif /* RLK_RESP2_ONLY */
