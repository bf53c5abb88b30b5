/* SPDX-License-Identifier: MIT
 *
 * What a connection answers when it is asked about itself.
 */
#include "conn_flags.h"
#include "handshake.h"

int64_t rlk_conn_now(const rlk_conn *conn)
{
    return conn->now_ms;
}

int64_t rlk_conn_deadline(const rlk_conn *conn)
{
    return conn->deadline_ms;
}

const rlk_url *rlk_conn_url(const rlk_conn *conn)
{
    return &conn->url;
}

rlk_conn_state rlk_conn_get_state(const rlk_conn *conn)
{
    return (rlk_conn_state)conn->state;
}

rlk_result rlk_conn_result(const rlk_conn *conn)
{
    return (rlk_result)conn->result;
}

int rlk_conn_errno(const rlk_conn *conn)
{
    return conn->sys_errno;
}

const char *rlk_conn_text(const rlk_conn *conn)
{
    return conn->text;
}

const char *rlk_conn_step(const rlk_conn *conn)
{
    uint8_t step = conn->state == RLK_CONN_HANDSHAKE ? rlki_handshake_step(conn) : conn->step_ended;

    return step != 0 ? rlki_handshake_name(step - 1u) : "";
}

uint32_t rlk_conn_generation(const rlk_conn *conn)
{
    return conn->generation;
}

uint32_t rlk_conn_failures(const rlk_conn *conn)
{
    return conn->failures;
}

#ifndef RLK_NO_TRACE
rlk_traffic rlk_conn_traffic(const rlk_conn *conn)
{
    rlk_traffic traffic;

    traffic.fences = conn->fences;
    traffic.bytes_sent = conn->tx.position;
    traffic.bytes_received = conn->bytes_received;
    return traffic;
}
#endif

bool rlk_conn_fenced(const rlk_conn *conn)
{
    return conn->state == RLK_CONN_READY && (conn->flags & CONN_UNFENCED) == 0;
}

uint64_t rlk_conn_run_id(const rlk_conn *conn)
{
    return conn->identity.run_id;
}

unsigned rlk_conn_server(const rlk_conn *conn)
{
    return conn->server;
}

void rlk_conn_note(rlk_conn *conn, unsigned server)
{
    conn->server = (uint16_t)(conn->server | server);
}

size_t rlk_conn_tx_cap(const rlk_conn *conn)
{
    return conn->tx.cap;
}

size_t rlk_conn_tx_needed(const rlk_conn *conn)
{
    return conn->tx.needed;
}

int rlk_conn_protocol(const rlk_conn *conn)
{
    return conn->protocol;
}
