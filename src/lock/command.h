/* SPDX-License-Identifier: MIT
 *
 * The commands of a lock: what each sends, and which replies a server may give to it.
 */
#ifndef RLKI_LOCK_COMMAND_H
#define RLKI_LOCK_COMMAND_H

#include "script.h"
#include "state.h"

/* The tag of a node lock's request. */
enum {
    RLKI_NO_COMMAND,
    RLKI_SET,     /* SET key token NX PX ttl */
    RLKI_PROBE,   /* PTTL; a server that tracks what is read notifies of the key from then on */
    RLKI_CONFIRM, /* the script: ours? then raised to the TTL */
    RLKI_RAISE,   /* ours? then raised to hold.target_ms */
    RLKI_CHECK,   /* ours? raises nothing, and is tracked like PTTL */
    RLKI_RELEASE, /* ours? then deleted */
    RLKI_QUERY,   /* GET and PTTL */
    RLKI_DEL
};

/* What PTTL answers: the time that the key has yet, and */
#define RLKI_TTL_NONE    (-1) /* no expiry */
#define RLKI_TTL_ABSENT  (-2) /* no such key */
#define RLKI_TTL_UNKNOWN (-3) /* no answer */

/* Returns true of a command that is a call of the script. */
inline bool rlki_command_is_script(unsigned command)
{
    return command >= RLKI_CONFIRM && command <= RLKI_RELEASE;
}

/* Writes the command of a node, and returns how many replies it will have. */
unsigned rlki_command_put(const rlk_lock *lock, const rlk_node_lock *node, rlk_conn *conn,
                          rlk_resp_writer *writer);

/* Returns the number of the reply: of a script that had to use GET, and says so with its reply
 * (script.h), without that; *by_get is then true. */
RLKI_INTO_CALLERS int64_t rlki_command_value(unsigned command, const rlk_reply *reply, bool *by_get)
{
    *by_get = rlki_command_is_script(command) && reply->type == RLK_RESP_INTEGER &&
              reply->value <= RLKI_BY_GET - RLKI_NOT_OURS;
    return *by_get ? RLKI_BY_GET - reply->value : reply->value;
}

inline bool rlki_command_is_ok(const rlk_reply *reply)
{
    return reply->type == RLK_RESP_SIMPLE && reply->len == 2 && reply->data[0] == 'O' &&
           reply->data[1] == 'K';
}

/* *-1 is the null of an array, which commands that answer by a string never give (fault 113). */
inline bool rlki_command_is_nil(const rlk_reply *reply)
{
    return reply->type == RLK_RESP_NULL && reply->value == 0;
}

/* Returns false of a reply that no server gives to such a command: replies and requests do not
 * match. value: of rlki_command_value; left: replies still to come. */
RLKI_INTO_CALLERS bool rlki_command_is_answer(unsigned command, const rlk_reply *reply,
                                              int64_t value, unsigned left)
{
    /* the least number that answers it: of PTTL, of the script, of DEL */
    static const int8_t least[] = {
        0,
        0,
        RLKI_TTL_ABSENT,
        RLKI_NOT_OURS,
        RLKI_NOT_OURS,
        RLKI_NOT_OURS,
        RLKI_NOT_OURS,
        RLKI_TTL_ABSENT,
        0,
    };
    bool counts = command == RLKI_RELEASE || command == RLKI_DEL; /* keys that were deleted */

    if (reply->error != RLK_OK)
        return true;
    if (command == RLKI_SET)
        return rlki_command_is_ok(reply) || rlki_command_is_nil(reply);
    if (command == RLKI_QUERY && left > 0)
        return rlki_command_is_nil(reply) || (reply->type == RLK_RESP_BULK && value >= 0);
    return reply->type == RLK_RESP_INTEGER && value >= least[command] &&
           !(counts && (value > 1 || value == RLKI_TTL_NONE));
}

/* Name of a command, for texts; "" with RLK_NO_TEXT. */
#ifdef RLK_NO_TEXT
static inline const char *rlki_command_name(unsigned command)
{
    (void)command;
    return "";
}
#else
const char *rlki_command_name(unsigned command);
#endif

#endif
