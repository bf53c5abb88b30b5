/* SPDX-License-Identifier: MIT
 *
 * A command is a table of bytes around a key and a token. What is the same in each leaves in one
 * piece.
 */
#include "command.h"
#include "../net/transmit.h"
#include "lease.h"
#include "script.h"
#include "token.h"

#include "../resp/writer.h"

#include <string.h>

/* Where the compiler knows `len`, it copies in a few words. */
static inline void command_put(rlk_resp_writer *writer, const char *text, size_t len)
{
    uint8_t *at = rlki_writer_reserve(writer, 0, len);

    if (at != NULL)
        memcpy(at, text, len);
}

#define COMMAND_PUT(writer, text) command_put((writer), (text), sizeof(text) - 1)

/* Writes the beginning of a script's call, up to the number of its keys. The count of its arguments
 * is one digit, which is put into the constant bytes. */
static RLKI_INTO_CALLERS void command_put_script(rlk_conn *conn, rlk_resp_writer *writer,
                                                 unsigned argc)
{
    size_t begin = writer->len;

    if ((rlki_conn_server(conn) & RLK_SERVER_EVAL) != 0) {
        COMMAND_PUT(writer, "*5\r\n");
        rlk_conn_put_script(conn, writer);
        COMMAND_PUT(writer, "$1\r\n1\r\n");
    } else {
        COMMAND_PUT(writer, "*5\r\n$7\r\nEVALSHA\r\n$40\r\n" RLKI_SCRIPT_DIGEST "\r\n$1\r\n1\r\n");
    }
    if (rlki_transmit_fits(writer))
        writer->buf[begin + 1] = (uint8_t)('0' + argc);
}

static RLKI_INTO_CALLERS void command_put_key(const rlk_lock *lock, rlk_resp_writer *writer)
{
    uint8_t *at = rlki_writer_put(writer, RLK_RESP_BULK, lock->key_len);

    if (at != NULL)
        memcpy(at, lock->key, lock->key_len);
}

static RLKI_INTO_CALLERS void command_put_key_token(const rlk_lock *lock, const rlk_node_lock *node,
                                                    rlk_resp_writer *writer)
{
    uint8_t *token;

    command_put_key(lock, writer);
    token = rlki_writer_put(writer, RLK_RESP_BULK, rlki_token_len(lock));
    if (token != NULL)
        rlki_token_write(lock, node->token, token);
}

static void command_put_pttl(const rlk_lock *lock, rlk_resp_writer *writer)
{
    COMMAND_PUT(writer, "*2\r\n$4\r\nPTTL\r\n");
    command_put_key(lock, writer);
}

/* Returns the milliseconds to which a script raises the TTL. -1 raises nothing: for a check, and
 * once the target is past (a PEXPIRE of 0 or less would delete). */
static int64_t command_raise_to(const rlk_lock *lock, unsigned command)
{
    int64_t to_ms;

    if (command == RLKI_CONFIRM)
        return lock->ttl_ms;
    if (command == RLKI_CHECK)
        return -1;
    to_ms = (int64_t)lock->as.hold.target_ms - lock->client->now_ms;
    return to_ms > 0 ? to_ms : -1;
}

unsigned rlki_command_put(const rlk_lock *lock, const rlk_node_lock *node, rlk_conn *conn,
                          rlk_resp_writer *writer)
{
    unsigned command = node->request.tag;
    bool by_get = (rlki_conn_server(conn) & RLK_SERVER_NO_GETEX) != 0;

    switch (command) {
    case RLKI_SET:
        COMMAND_PUT(writer, "*6\r\n$3\r\nSET\r\n");
        command_put_key_token(lock, node, writer);
        COMMAND_PUT(writer, "$2\r\nNX\r\n$2\r\nPX\r\n");
        rlk_resp_put_integer(writer, lock->ttl_ms);
        return 1;
    case RLKI_CONFIRM:
    case RLKI_RAISE:
    case RLKI_CHECK:
        command_put_script(conn, writer, by_get ? 7 : 6);
        command_put_key_token(lock, node, writer);
        rlk_resp_put_integer(writer, command_raise_to(lock, command));
        if (by_get)
            COMMAND_PUT(writer, "$1\r\n1\r\n");
        return 1;
    case RLKI_RELEASE:
        command_put_script(conn, writer, by_get ? 7 : 5);
        command_put_key_token(lock, node, writer);
        if (by_get)
            COMMAND_PUT(writer, "$0\r\n\r\n$1\r\n1\r\n");
        return 1;
    case RLKI_QUERY:
        COMMAND_PUT(writer, "*2\r\n$3\r\nGET\r\n");
        command_put_key(lock, writer);
        command_put_pttl(lock, writer);
        return 2;
    case RLKI_PROBE:
        command_put_pttl(lock, writer);
        return 1;
    default: /* RLKI_DEL */
        COMMAND_PUT(writer, "*2\r\n$3\r\nDEL\r\n");
        command_put_key(lock, writer);
        return 1;
    }
}

extern inline bool rlki_command_is_script(unsigned command);
extern inline int64_t rlki_command_value(unsigned command, const rlk_reply *reply, bool *by_get);

extern inline bool rlki_command_is_ok(const rlk_reply *reply);
extern inline bool rlki_command_is_nil(const rlk_reply *reply);
extern inline bool rlki_command_is_answer(unsigned command, const rlk_reply *reply, int64_t value,
                                          unsigned left);

#ifndef RLK_NO_TEXT
const char *rlki_command_name(unsigned command)
{
    static const char *const names[] = {"",
                                        "SET",
                                        "PTTL",
                                        "EVALSHA (raise)",
                                        "EVALSHA (raise)",
                                        "EVALSHA (check)",
                                        "EVALSHA (release)",
                                        "GET, PTTL",
                                        "DEL"};

    return names[command];
}
#endif
