/* SPDX-License-Identifier: MIT
 *
 * Errors that condemn the stream: the server is not, or no longer, the one that the URL means.
 *
 *                    READONLY, NOAUTH: the last round began long ago,
 *                    or this address is not condemned in it yet
 *           READY ----------------------------------------------------> CLOSING
 *            |  ^ |    LOADING, MASTERDOWN: the same, once it lasts         |
 *            |  | |                                                         | resolved anew, from
 *            |  +-' else the error is the command's own                     | the address behind
 *            v                                                              v
 *        (any answer but these: the server serves)              WAITING ... HANDSHAKE
 *                                                                 ^             | LOADING ...
 *                                                                 +-------------'
 *
 * A server that was demoted keeps its connections, and the name means another by now. So the
 * stream ends, and the driver resolves the name anew. Of several addresses it takes the one behind
 * the condemned one. A round is a visit to each of them. A new one begins RLK_CONDEMN_MS after the
 * last one began: a name without any primary makes no storm of connections.
 *
 * The command that was refused is lost with its stream, as one that was never sent. So its owner
 * asks again on the next stream by the same path as after any other loss, and there is no second
 * path for calls that end at their first error. A refusal that condemns nothing goes to its owner.
 */
#include "condemn.h"

#include "backoff.h"
#include "conn_flags.h"
#include "error.h"

/* A time in 32 bits, and not 0. What it is compared with is less than 49 days away, or one more
 * stream is kept for a while. */
static uint32_t condemn_stamp(const rlk_conn *conn)
{
    return (uint32_t)conn->now_ms | 1u;
}

static bool condemn_is_past(const rlk_conn *conn, uint32_t since)
{
    return condemn_stamp(conn) - since >= RLK_CONDEMN_MS;
}

uint32_t rlki_condemn_number(uint64_t peer)
{
    return rlk_key_hash(RLK_KEY_HASH, &peer, sizeof peer) | 1u;
}

/* The server serves: connecting to it is no storm, unless it went from address to address. */
static void condemn_served(rlk_conn *conn)
{
    conn->flags |= CONN_SERVED;
    conn->phase.ready.lasting_ms = 0;
    if (conn->condemn.round_ms == 0 || condemn_is_past(conn, conn->condemn.round_ms))
        rlki_backoff_reset(conn);
}

/* It does not, for now. True if that has lasted. */
static bool condemn_lasts(rlk_conn *conn)
{
    conn->flags &= (uint16_t)~CONN_SERVED;
    if (conn->phase.ready.lasting_ms == 0)
        conn->phase.ready.lasting_ms = condemn_stamp(conn);
    return condemn_is_past(conn, conn->phase.ready.lasting_ms);
}

/* True if a round may go on, or begin, with the address of this stream. */
static bool condemn_in_round(rlk_conn *conn)
{
    uint32_t number = conn->identity.peer;

    if (conn->condemn.round_ms != 0 && !condemn_is_past(conn, conn->condemn.round_ms))
        return number != conn->condemn.round_first && number != conn->condemn.address;
    conn->condemn.round_ms = condemn_stamp(conn);
    conn->condemn.round_first = number;
    return true;
}

bool rlki_condemn_is_for(rlk_result error)
{
    rlki_scope scope = rlki_error_scope(error);

    return scope == RLKI_SCOPE_STREAM || scope == RLKI_SCOPE_LASTING;
}

extern inline bool rlki_condemn(rlk_conn *conn, rlk_result error);

bool rlki_condemn_by(rlk_conn *conn, rlk_result error)
{
    if (!rlki_condemn_is_for(error)) {
        condemn_served(conn);
        return false;
    }
    if (rlki_error_scope(error) == RLKI_SCOPE_LASTING && !condemn_lasts(conn))
        return false;
    if (!condemn_in_round(conn))
        return false;
    conn->condemn.address = conn->identity.peer;
    conn->flags |= CONN_REPLACED;
    return true;
}

void rlki_condemn_address(rlk_conn *conn, rlk_result error)
{
    if (rlki_condemn_is_for(error))
        conn->condemn.address = conn->identity.peer;
}

void rlki_condemn_forget(rlk_conn *conn)
{
    conn->condemn.address = 0;
    conn->condemn.round_ms = 0;
}

bool rlki_condemn_was_replaced(const rlk_conn *conn)
{
    return (conn->flags & CONN_REPLACED) != 0;
}

bool rlk_conn_is_condemned(const rlk_conn *conn, uint64_t peer)
{
    return conn->condemn.address == rlki_condemn_number(peer);
}
