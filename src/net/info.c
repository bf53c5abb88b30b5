/* SPDX-License-Identifier: MIT
 *
 * The step INFO server, of which two lines are read: the run id, which differs for each
 * instance of a server, and the mode.
 */
#include "info.h"

void rlki_info_mode(rlk_conn *conn, uint8_t first, uint8_t second)
{
    if (first == 'c')
        conn->server |= RLK_SERVER_CLUSTER;
    if (first == 's' && second == 'e')
        conn->server |= RLK_SERVER_SENTINEL;
}

/*
 * Two lines of a text that comes in fragments of any size. match counts what was found of one: the
 * newline before it, its name, its value (40 digits, or two letters). The newline occurs only at
 * the beginning, so a mismatch need not go back. Both names begin with 'r'; from the letter behind
 * it on match has INFO_MODE_BIT too where it is the mode's.
 */
#define INFO_RUN_ID     "\nrun_id:"
#define INFO_RUN_ID_LEN (sizeof INFO_RUN_ID - 1)
#define INFO_DIGITS     40u
#define INFO_MODE       "\nredis_mode:"
#define INFO_MODE_LEN   (sizeof INFO_MODE - 1)
#define INFO_MODE_BIT   0x80u

static int info_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return -1;
}

static bool info_run_id_byte(rlk_conn *conn, uint8_t byte)
{
    size_t at = conn->match;
    int digit = info_digit(byte);

    if (at < INFO_RUN_ID_LEN)
        return byte == (uint8_t)INFO_RUN_ID[at];
    if (digit < 0)
        return false;
    at -= INFO_RUN_ID_LEN;
    if (at % 2 == 0)
        conn->identity.run_id[at / 2] = (uint8_t)(digit << 4);
    else
        conn->identity.run_id[at / 2] |= (uint8_t)digit;
    return true;
}

/* "cluster" or "sentinel", by the letters that differ from "standalone". */
static bool info_mode_byte(rlk_conn *conn, size_t at, uint8_t byte)
{
    if (at < INFO_MODE_LEN)
        return byte == (uint8_t)INFO_MODE[at];
    rlki_info_mode(conn, at == INFO_MODE_LEN ? byte : 's', byte);
    return at == INFO_MODE_LEN && byte == 's';
}

static bool info_byte(rlk_conn *conn, uint8_t byte)
{
    size_t at = conn->match & ~INFO_MODE_BIT;

    if (at == 2 && byte == (uint8_t)INFO_MODE[2])
        conn->match |= INFO_MODE_BIT;
    return (conn->match & INFO_MODE_BIT) != 0 ? info_mode_byte(conn, at, byte)
                                              : info_run_id_byte(conn, byte);
}

static rlk_result info_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)conn;
    rlki_step_command(writer, "INFO server", 0);
    return RLK_OK;
}

static void info_token(rlk_conn *conn, const rlk_resp_token *token)
{
    /* A proxy's run_id says nothing of the server behind it. */
    bool foreign = (conn->server & RLK_SERVER_HELLO) != 0 && conn->protocol == 2;
    size_t i;

    if (token->depth != 0 || (token->type != RLK_RESP_BULK && token->type != RLK_RESP_VERBATIM))
        return;
    if ((token->flags & RLK_RESP_FIRST) != 0)
        conn->match = 1; /* the beginning of the text is the beginning of a line */
    for (i = 0; i < token->len && !conn->identity.has_run_id; i++) {
        if (info_byte(conn, token->data[i]))
            conn->match++;
        else
            conn->match = token->data[i] == '\n';
        if (conn->match == INFO_RUN_ID_LEN + INFO_DIGITS) {
            conn->identity.has_run_id = !foreign;
            conn->match = 0; /* a foreign one may have more digits than there is room for */
        }
    }
}

static rlk_result info_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)reply;
    return (conn->server & RLK_SERVER_SENTINEL) != 0 ? RLK_E_SENTINEL : RLK_OK;
}

const conn_step rlki_step_info = {
    "INFO", info_encode, info_token, info_reply, CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};
