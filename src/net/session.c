/* SPDX-License-Identifier: MIT
 *
 * The steps that set up the session: its name, its database, notifications of changes, and its id
 * at the server, by which the next connection can fence it.
 */
#include "session.h"

#include "conn_flags.h"

/* ---- CLIENT SETNAME ------------------------------------------------------------------ */

static bool session_setname_needed(const rlk_conn *conn)
{
    return (conn->server & RLK_SERVER_HELLO) == 0 && conn->client_name != NULL;
}

static rlk_result session_setname_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_command(writer, 3);
    rlki_step_word(writer, "CLIENT");
    rlki_step_word(writer, "SETNAME");
    rlki_step_word(writer, conn->client_name);
    return RLK_OK;
}

const conn_step rlki_step_setname = {
    "CLIENT SETNAME",
    session_setname_needed,
    session_setname_encode,
    NULL,
    NULL,
    CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

/* ---- CLIENT TRACKING ----------------------------------------------------------------- */

#ifndef RLK_RESP2_ONLY

static bool session_tracking_needed(const rlk_conn *conn)
{
    return conn->protocol == 3 && (conn->flags & CONN_NO_TRACKING) == 0;
}

/* NOLOOP: no pushes for what this connection changes itself. Dragonfly takes it, and then sends no
 * pushes at all. */
static rlk_result session_tracking_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    bool noloop = (conn->server & RLK_SERVER_DRAGONFLY) == 0;

    rlk_resp_put_command(writer, noloop ? 4 : 3);
    rlki_step_word(writer, "CLIENT");
    rlki_step_word(writer, "TRACKING");
    rlki_step_word(writer, "ON");
    if (noloop)
        rlki_step_word(writer, "NOLOOP");
    return RLK_OK;
}

static rlk_result session_tracking_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_SIMPLE)
        conn->flags |= CONN_TRACKING;
    return RLK_OK;
}

const conn_step rlki_step_tracking = {
    "CLIENT TRACKING",       session_tracking_needed,
    session_tracking_encode, NULL,
    session_tracking_reply,  CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
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

static bool session_client_id_needed(const rlk_conn *conn)
{
    return conn->identity.client_id == 0;
}

static rlk_result session_client_id_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)conn;
    rlk_resp_put_command(writer, 2);
    rlki_step_word(writer, "CLIENT");
    rlki_step_word(writer, "ID");
    return RLK_OK;
}

static rlk_result session_client_id_reply(rlk_conn *conn, const rlk_reply *reply)
{
    if (reply->type == RLK_RESP_INTEGER && reply->value > 0)
        conn->identity.client_id = (uint64_t)reply->value;
    return RLK_OK;
}

const conn_step rlki_step_client_id = {
    "CLIENT ID", session_client_id_needed, session_client_id_encode,
    NULL,        session_client_id_reply,  CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};

/* ---- SELECT -------------------------------------------------------------------------- */

static bool session_select_needed(const rlk_conn *conn)
{
    return conn->url.db != 0;
}

static rlk_result session_select_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_command(writer, 2);
    rlki_step_word(writer, "SELECT");
    rlk_resp_put_integer(writer, (int64_t)conn->url.db);
    return RLK_OK;
}

/* A lock in another database than the others' is none (fault 72), whatever the words of the refusal
 * (fault 104). */
static rlk_result session_select_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)conn;
    if (reply->error == RLK_E_SERVER || reply->error == RLK_E_UNSUPPORTED)
        return RLK_E_DATABASE;
    if (reply->error != RLK_OK)
        return reply->error;
    return reply->type == RLK_RESP_SIMPLE ? RLK_OK : RLK_E_UNEXPECTED;
}

const conn_step rlki_step_select = {
    "SELECT", session_select_needed, session_select_encode, NULL, session_select_reply, 0,
};
