/* SPDX-License-Identifier: MIT
 *
 * The fence, a step of the handshake.
 *
 * Commands of a connection that ended may still be in buffers of the system or of the server, and
 * execute after this connection's first. CLIENT KILL of the old connection by its id empties them.
 * The server must be known to be the same instance before, since ids begin anew with each instance,
 * and an innocent client may have the old one:
 *
 *    run id     address      decision
 *    the same   any          KILL        by the id: 1 and 0 both fence
 *    another    the same     GONE        the old process is gone, and nothing is sent
 *    another    another      NONE        the old instance may live on
 *    unknown    known, TCP   KILL_ADDR   by id and address: only 1 fences
 */
#include "fence.h"

#include "conn_flags.h"
#include "local.h"
#include "server_text.h"

#include <string.h>

rlki_fence rlki_fence_decide(const rlk_conn_identity *old, const rlk_conn_identity *fresh)
{
    bool known = old->run_id != 0 && fresh->run_id != 0;

    /* Another address: the old instance may live on there (fault 91). */
    if (known && old->run_id != fresh->run_id)
        return old->peer == fresh->peer ? RLKI_FENCE_GONE : RLKI_FENCE_NONE;
    if (old->client_id == 0)
        return RLKI_FENCE_NONE;
    if (known)
        return RLKI_FENCE_KILL;
    /* The id alone could be an innocent client's by now (fault 71), id and address hardly. */
    return rlki_local_is_known(&old->local) ? RLKI_FENCE_KILL_ADDR : RLKI_FENCE_NONE;
}

static void fence_done(rlk_conn *conn)
{
    conn->flags &= (uint16_t)~CONN_FENCE_DUE;
#ifndef RLK_NO_TRACE
    conn->fences++;
#endif
}

static rlk_result fence_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlki_fence fence;
    bool by_id; /* too; Dragonfly takes one filter only, and the address is the one that lasts */

    if ((conn->flags & CONN_FENCE_DUE) == 0)
        return RLK_OK;
    if (conn->ring.used != 0)
        return RLK_PENDING;
    fence = rlki_fence_decide(&conn->old, &conn->identity);
    if (fence == RLKI_FENCE_GONE)
        fence_done(conn);
    if (fence != RLKI_FENCE_KILL && fence != RLKI_FENCE_KILL_ADDR)
        return RLK_OK;
    by_id = fence == RLKI_FENCE_KILL || (conn->server & RLK_SERVER_DRAGONFLY) == 0;
    rlki_step_command(writer, "CLIENT KILL", fence == RLKI_FENCE_KILL_ADDR && by_id ? 4 : 2);
    if (by_id) {
        rlki_step_word(writer, "ID");
        rlk_resp_put_integer(writer, (int64_t)conn->old.client_id);
    }
    if (fence == RLKI_FENCE_KILL_ADDR) {
        char text[RLK_CONN_LOCAL];

        rlki_local_text(&conn->old.local, text);
        rlki_step_word(writer, "ADDR");
        rlki_step_word(writer, text);
    }
    return RLK_OK;
}

/* A client that is not there can't send any more; said so by the old form of the command. */
#define FENCE_NO_CLIENT "ERR No such client"

/* Clients that were killed: 1 or 0; -1: it is not known. */
static int fence_killed(const rlk_reply *reply)
{
    size_t n = sizeof FENCE_NO_CLIENT - 1;

    if (reply->type == RLK_RESP_INTEGER)
        return reply->value == 0 || reply->value == 1 ? (int)reply->value : -1;
    if (reply->error == RLK_E_SERVER && reply->len >= n &&
        memcmp(reply->data, FENCE_NO_CLIENT, n) == 0)
        return 0;
    return -1;
}

/* Not fenced is no failure: the connection says so (rlk_conn_fenced). */
static rlk_result fence_reply(rlk_conn *conn, const rlk_reply *reply)
{
    int killed = fence_killed(reply);
    bool by_id = rlki_fence_decide(&conn->old, &conn->identity) == RLKI_FENCE_KILL;

    if (killed == 1 || (killed == 0 && by_id))
        fence_done(conn);
    rlki_text_forget(conn);
    return RLK_OK;
}

const conn_step rlki_step_fence = {
    "CLIENT KILL", fence_encode, NULL, fence_reply, CONN_STEP_EXTRA,
};
