/* SPDX-License-Identifier: MIT
 *
 * A node lock: one lock on one node. It sends commands, one at a time, keeps what is known of our
 * token there, and reports how each command ended. It knows no operation.
 */
#ifndef RLKI_LOCK_NODE_LOCK_H
#define RLKI_LOCK_NODE_LOCK_H

#include "command.h"
#include "state.h"

/* What a node has said in the operation under way. rlki_tally counts them in this order. */
enum {
    RLKI_VOTE_NONE,     /* nothing yet */
    RLKI_VOTE_YES,      /* done */
    RLKI_VOTE_NO,       /* somebody else has it (SET); not our token (scripts, first answer) */
    RLKI_VOTE_NO_AFTER, /* not our token, after an earlier release whose reply was lost */
    RLKI_VOTE_ERROR,    /* it refused, or can't be reached */
    RLKI_VOTE_SKIPPED   /* has no part in this attempt */
};

/* Flags of a node lock. */
#define RLKI_NODE_POSSIBLE 0x01u /* our token may be on the node */
#define RLKI_NODE_PRESENT  0x02u /* it is, or was when the node answered last */
#define RLKI_NODE_FENCE    0x04u /* a SET of it was lost with its stream; not settled yet */
#define RLKI_NODE_REPEATED 0x08u /* a release of it was sent whose reply was lost */
#define RLKI_NODE_NOSCRIPT 0x10u /* scripts were loaded again for the command under way */
#define RLKI_NODE_RETRY    0x20u /* the command was refused, or held back; at lock->retry_ms again */
#define RLKI_NODE_IN_DOUBT 0x40u /* whether an orphan is left can't be known */
#define RLKI_NODE_ASKED    0x80u /* the operation under way asked for the command under way */

/* How a command ended. */
enum {
    RLKI_REPORT_NOTHING,  /* it goes on: sent again, or going to be */
    RLKI_REPORT_PART,     /* the first of a query's two replies */
    RLKI_REPORT_DONE,     /* our token is there; deleted; or a question is answered */
    RLKI_REPORT_HELD,     /* somebody has the key, for ttl_ms yet; of a probe, perhaps nobody */
    RLKI_REPORT_NOT_OURS, /* compared: our token is not there */
    RLKI_REPORT_REFUSED,  /* an error, or no answer to such a command */
    RLKI_REPORT_LOST      /* its stream ended before the answer */
};

typedef struct rlki_report {
    uint8_t kind;
    uint8_t command;
    uint8_t lost_cause;     /* of NOT_OURS: an rlk_lost_cause */
    bool votes;             /* the operation under way asked */
    bool maybe_sent;        /* of LOST: the server may execute it, even later */
    bool repeated;          /* of NOT_OURS: after an earlier release whose reply was lost */
    int16_t error;          /* of REFUSED and LOST; of NOT_OURS RLK_E_WRONGTYPE, or RLK_OK */
    int32_t ttl_ms;         /* of HELD, as PTTL says it, or RLKI_TTL_UNKNOWN */
    const rlk_reply *reply; /* of a query; valid as long as the reply is */
} rlki_report;

/* Returns true of a command that only asks who holds the key, or for how long. */
static inline bool rlki_is_question(unsigned command)
{
    return command == RLKI_PROBE || command == RLKI_QUERY;
}

/* The lock that a node lock is part of. */
static inline rlk_lock *rlki_node_lock_owner(rlk_node_lock *node)
{
    uint8_t *first = (uint8_t *)(node - rlki_index(node));

    return (rlk_lock *)(void *)(first - offsetof(rlk_lock, nodes));
}

/* Returns true if our token is on the node, or may be, now or later. */
inline bool rlki_node_lock_has_token(const rlk_node_lock *node)
{
    unsigned there = RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT | RLKI_NODE_FENCE;

    return (node->flags & there) != 0 || node->orphans > 0;
}

/* Returns true if it is not and never will be, and nothing is under way. */
inline bool rlki_node_lock_is_clean(const rlk_node_lock *node)
{
    return node->request.state == RLK_REQUEST_IDLE && !rlki_node_lock_has_token(node);
}

/* Sends a command, as the operation under way asks (its answer is a vote), or beside it. The node
 * has no other under way. */
void rlki_node_lock_ask(rlk_node_lock *node, unsigned command);
void rlki_node_lock_send(rlk_node_lock *node, unsigned command);

/* The answer to the command under way is a vote from now on. */
void rlki_node_lock_count(rlk_node_lock *node);

/* Sends the refused command of a report again, after a pause: at lock->retry_ms. */
void rlki_node_lock_retry(rlk_node_lock *node, const rlki_report *report);
void rlki_node_lock_resend(rlk_node_lock *node);

/* Takes the command under way back; true if not a byte of it was sent. Its effect is then recorded
 * in the flags: an abandoned SET leaves the token POSSIBLE. */
bool rlki_node_lock_abandon(rlk_node_lock *node);

/* Undoes every node but those of `except`: sends the compare-and-delete behind whatever was sent,
 * if there is anything to undo. The token is retired. expiry_ms: the latest that an operation asked
 * for; the undo goes on until the key has expired. */
void rlki_node_locks_undo(rlk_lock *lock, int32_t expiry_ms, rlk_node_mask except);

/* Writes the command that is under way; returns its replies, 0 for none. */
unsigned rlki_node_lock_encode(rlk_node_lock *node, rlk_conn *conn, rlk_resp_writer *writer);

/* Takes a reply to the command under way (left: more to come), or the end of its stream. */
void rlki_node_lock_reply(rlk_node_lock *node, const rlk_reply *reply, unsigned left,
                          rlki_report *report);
void rlki_node_lock_lost(rlk_node_lock *node, bool maybe_sent, rlki_report *report);

/* Refuses the command that waits to be sent again, as a server does that always will. */
void rlki_node_lock_refuse(rlk_node_lock *node, rlki_report *report);

/* Another operation comes first: takes back the command that waits to be sent again, except an
 * undo. The answer to one that is under way is no vote any more. */
RLKI_INTO_CALLERS void rlki_node_lock_renounce(rlk_node_lock *node)
{
    if ((node->flags & RLKI_NODE_RETRY) != 0 && node->request.tag != RLKI_RELEASE)
        (void)rlki_node_lock_abandon(node);
    node->flags = (uint8_t)(node->flags & ~RLKI_NODE_ASKED);
}

/* Another random part of the token: no doubt of the one before concerns it. */
void rlki_node_locks_forget_doubts(rlk_lock *lock);

/* Returns true for errors that the same call meets again: fatal, and wrong use. */
bool rlki_is_final(rlk_result result);

#endif
