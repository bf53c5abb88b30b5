/* SPDX-License-Identifier: MIT
 *
 * The steps that set up the session: its name, its database, notifications of changes, and its id
 * at the server, by which the next connection can fence it.
 */
#include "session.h"

#include "conn_flags.h"

/* ---- CLIENT SETNAME ------------------------------------------------------------------ */

/* HELLO sets the name too. */
static rlk_result session_setname_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if ((conn->server & RLK_SERVER_HELLO) == 0 && conn->client_name != NULL) {
        rlki_step_command(writer, "CLIENT SETNAME", 1);
        rlki_step_word(writer, conn->client_name);
    }
    return RLK_OK;
}

const conn_step rlki_step_setname = {
    "CLIENT SETNAME", session_setname_encode, NULL, NULL, CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

/* ---- CLIENT TRACKING ----------------------------------------------------------------- */

#ifndef RLK_RESP2_ONLY

/* NOLOOP: no pushes for what this connection changes itself. Dragonfly takes it, and then sends no
 * pushes at all. */
static rlk_result session_tracking_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (conn->protocol == 3 && (conn->flags & CONN_NO_TRACKING) == 0)
        rlki_step_command(writer,
                          (conn->server & RLK_SERVER_DRAGONFLY) != 0 ? "CLIENT TRACKING ON"
                                                                     : "CLIENT TRACKING ON NOLOOP",
                          0);
    return RLK_OK;
}

static rlk_result session_tracking_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_SIMPLE)
        conn->flags |= CONN_TRACKING;
    return RLK_OK;
}

const conn_step rlki_step_tracking = {
    "CLIENT TRACKING",
    session_tracking_encode,
    NULL,
    session_tracking_reply,
    CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

#endif /* RLK_RESP2_ONLY */

/* That many changes without a push are no accident. */
#define SESSION_MISSED_MAX 2u

bool rlk_conn_is_tracking(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_READY && (conn->flags & CONN_TRACKING) != 0 &&
           (conn->server & RLK_SERVER_SILENT) == 0;
}

bool rlk_conn_missed(rlk_conn *conn)
{
    if (!rlk_conn_is_tracking(conn) || ++conn->missed < SESSION_MISSED_MAX)
        return false;
    conn->server |= RLK_SERVER_SILENT;
    return true;
}

/* ---- CLIENT ID ----------------------------------------------------------------------- */

static rlk_result session_client_id_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (conn->identity.client_id == 0)
        rlki_step_command(writer, "CLIENT ID", 0);
    return RLK_OK;
}

static rlk_result session_client_id_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_INTEGER && reply->value > 0)
        conn->identity.client_id = (uint64_t)reply->value;
    return RLK_OK;
}

const conn_step rlki_step_client_id = {
    "CLIENT ID",
    session_client_id_encode,
    NULL,
    session_client_id_reply,
    CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

/* ---- SELECT -------------------------------------------------------------------------- */

static rlk_result session_select_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    if (conn->url.db != 0) {
        rlki_step_command(writer, "SELECT", 1);
        rlk_resp_put_integer(writer, (int64_t)conn->url.db);
    }
    return RLK_OK;
}

/* A lock in another database than the others' is none (fault 72), whatever the words of the refusal
 * (fault 104). */
static rlk_result session_select_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)conn;
    if (reply->error == RLK_E_SERVER || reply->error == RLK_E_UNSUPPORTED)
        return RLK_E_DATABASE;
    return rlki_step_simple(reply);
}

const conn_step rlki_step_select = {
    "SELECT", session_select_encode, NULL, session_select_reply, 0,
};
