/* SPDX-License-Identifier: MIT
 *
 * The transmit buffer, and the constant bytes that leave from where they are.
 *
 *    tx:   | sent | before the segment | behind it | free |
 *          tx_begin        segment_at      tx_end
 *
 * The segment, of constant memory, leaves when tx is sent up to segment_at: a script. Bytes do not
 * move until they are acknowledged.
 */
#include "transmit.h"

#include "../resp/apart.h"

#include "conn_flags.h"
#include "wipe.h"

void rlki_transmit_begin(rlk_conn *conn)
{
    conn->tx.begin = 0;
    conn->tx.end = 0;
    conn->tx.handed = conn->tx.position;
}

/* ---- In ---------------------------------------------------------------------------------- */

/* SCRIPT LOAD's own words, before the script's length: what is behind them is EVAL's too. */
#define TRANSMIT_LOAD_HEAD (sizeof "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n" - 1)

/* Has what is behind the first bytes of a script's load leave. */
static void transmit_segment(rlk_conn *conn, unsigned script, size_t from)
{
    conn->segment = (uint8_t)script;
    conn->scripts.segment_left = (uint16_t)(conn->scripts.all[script].load_len - from);
}

void rlk_conn_put_script(rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_resp_put_bulk(writer, "EVAL", 4);
    conn->scripts.segment_at = conn->tx.end + (uint32_t)writer->len;
}

extern inline void rlki_transmit_writer(rlk_conn *conn, rlk_resp_writer *writer);

void rlki_transmit_take(rlk_conn *conn, size_t written)
{
    if (conn->scripts.segment_at != 0)
        transmit_segment(conn, 0, TRANSMIT_LOAD_HEAD);
    conn->tx.end += (uint32_t)written;
}

void rlki_transmit_script(rlk_conn *conn, unsigned script)
{
    transmit_segment(conn, script, 0);
    conn->scripts.segment_at = conn->tx.end;
}

/* ---- Out --------------------------------------------------------------------------------- */

const uint8_t *rlk_conn_tx_buf(rlk_conn *conn, size_t *len)
{
    const uint8_t *bytes = conn->tx.bytes + conn->tx.begin;
    uint32_t end = rlki_transmit_has_segment(conn) ? conn->scripts.segment_at : conn->tx.end;
    uint32_t count = end - conn->tx.begin;

    if (rlki_transmit_segment_is_next(conn)) {
        const rlk_conn_script *script = &conn->scripts.all[conn->segment];

        count = conn->scripts.segment_left;
        bytes = (const uint8_t *)script->load + script->load_len - count;
    }
    if (!conn_is_up(conn))
        count = 0;
    *len = count;
    if (count == 0)
        return NULL;
    conn->tx.handed = conn->tx.position + count;
    return bytes;
}

extern inline bool rlki_transmit_has_segment(const rlk_conn *conn);
extern inline bool rlki_transmit_segment_is_next(const rlk_conn *conn);
extern inline void rlki_transmit_ack_tx(rlk_conn *conn, uint32_t len);
extern inline bool rlki_transmit_ack(rlk_conn *conn, size_t len);

RLKI_APART_FOR_SIZE void rlki_transmit_drop(rlk_conn *conn)
{
    if (conn->state == RLK_CONN_HANDSHAKE)
        rlki_wipe(conn->tx.bytes + conn->tx.begin, conn->tx.end - conn->tx.begin);
    conn->scripts.segment_left = 0;
}
