/* SPDX-License-Identifier: MIT
 *
 * The step INFO server, of which two lines are read: the run id, which differs for each
 * instance of a server, and the mode. Lines are known by their keys: the values of others change
 * from one moment to the next, and the hash of any text is one that is noted, once in a while.
 */
#include "info.h"

typedef struct info_fact {
    uint32_t hash;
    uint16_t server;
} info_fact;

#define INFO_FACT(text, hash, server) {hash, server},

static const info_fact info_facts[] = {RLKI_INFO_FACTS(INFO_FACT)};

void rlki_info_note(rlk_conn *conn)
{
    unsigned i;

    for (i = 0; i < sizeof info_facts / sizeof info_facts[0]; i++)
        if (info_facts[i].hash == conn->phase.handshake.words)
            conn->server |= info_facts[i].server;
}

rlk_result rlki_info_result(const rlk_conn *conn)
{
    return (conn->server & RLK_SERVER_SENTINEL) != 0 ? RLK_E_SENTINEL : RLK_OK;
}

/* match: what the next byte of a line is. */
enum {
    INFO_KEY,
    INFO_DIGIT, /* the first one of the run id; up to the last one */
    INFO_DIGIT_LAST = INFO_DIGIT + 39,
    INFO_MODE, /* of its value */
    INFO_OTHER /* of what is not read */
};

static rlk_result info_encode(rlk_conn *conn, rlk_resp_writer *writer)
{
    (void)conn;
    rlki_step_command(writer, "INFO server", 0);
    return RLK_OK;
}

static int info_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return -1;
}

/* Only all the digits make a run id. */
static void info_take_digit(rlk_conn *conn, int digit)
{
    if (digit < 0) {
        conn->match = INFO_OTHER;
        conn->identity.run_id = 0;
        return;
    }
    conn->identity.run_id = conn->identity.run_id << 4 | (unsigned)digit;
    conn->match = conn->match < INFO_DIGIT_LAST ? conn->match + 1u : (unsigned)INFO_OTHER;
}

/* Returns what the key that has ended says of its value. */
static uint8_t info_value(rlk_conn *conn)
{
    /* A proxy's run_id says nothing of the server behind it. */
    bool foreign = (conn->server & RLK_SERVER_HELLO) != 0 && conn->protocol == 2;
    uint32_t *words = &conn->phase.handshake.words;

    if (*words == RLKI_INFO_RUN_ID && !foreign)
        return INFO_DIGIT;
    if (*words != RLKI_INFO_REDIS_MODE && *words != RLKI_INFO_SERVER_MODE)
        return INFO_OTHER;
    *words = RLKI_INFO_MODE;
    return INFO_MODE;
}

static void info_end_line(rlk_conn *conn)
{
    if (conn->match == INFO_MODE)
        rlki_info_note(conn);
    conn->match = INFO_KEY;
    conn->phase.handshake.words = RLK_KEY_HASH;
}

static void info_byte(rlk_conn *conn, uint8_t byte)
{
    uint32_t *words = &conn->phase.handshake.words;

    if (conn->match >= INFO_DIGIT && conn->match <= INFO_DIGIT_LAST)
        info_take_digit(conn, info_digit(byte));
    if (byte < ' ')
        info_end_line(conn);
    else if (conn->match == INFO_KEY && byte == ':')
        conn->match = info_value(conn);
    else
        *words = rlk_key_hash(*words, &byte, 1);
}

/* A text that comes in fragments of any size, line by line. */
static void info_token(rlk_conn *conn, const rlk_resp_token *token)
{
    size_t i;

    if (token->depth != 0 || (token->type != RLK_RESP_BULK && token->type != RLK_RESP_VERBATIM))
        return;
    if ((token->flags & RLK_RESP_FIRST) != 0) {
        conn->match = INFO_KEY;
        conn->phase.handshake.words = RLK_KEY_HASH;
    }
    for (i = 0; i < token->len; i++)
        info_byte(conn, token->data[i]);
    if ((token->flags & RLK_RESP_LAST) != 0)
        info_byte(conn, '\n');
}

static rlk_result info_reply(rlk_conn *conn, const rlk_reply *reply)
{
    (void)reply;
    return rlki_info_result(conn);
}

const conn_step rlki_step_info = {
    "INFO", info_encode, info_token, info_reply, CONN_STEP_OPTIONAL | CONN_STEP_EXTRA,
};
