/* SPDX-License-Identifier: MIT
 *
 * The states of a client and of a lock, and how many nodes there are. What the structs mean that
 * resplock/lock_layout.h lays out.
 */
#ifndef RLKI_LOCK_STATE_H
#define RLKI_LOCK_STATE_H

#include "../net/conn_flags.h"
#include "../resp/apart.h"
#include "resplock/lock.h"

/* Of times in 32 bits: a deadline that never comes, and what is before all times. */
#define RLKI_NEVER   INT32_MAX
#define RLKI_EXPIRED INT32_MIN

/* A client or a lock that is not initialised, or closed, is all bytes zero. */
enum {
    RLKI_CLIENT_CLOSED,
    RLKI_CLIENT_OPEN
};

/* State of a lock, apart from its operation. */
enum {
    RLKI_CLOSED,
    RLKI_FREE,
    RLKI_HELD,
    RLKI_LOST /* was held, ran out, and nobody has asked for release or acquire since */
};

/* Phase of an acquire. The other operations have RLKI_PHASE_WORK only. */
enum {
    RLKI_PHASE_WORK,
    RLKI_PHASE_QUEUE,   /* behind another lock of the client that waits for the same key */
    RLKI_PHASE_WATCH,   /* until a quorum of nodes is ready, and not known to be held */
    RLKI_PHASE_ATTEMPT, /* SETs are out */
    RLKI_PHASE_PAUSE,   /* before the next attempt */
    RLKI_PHASE_SETTLE   /* outcome decided; undos are out */
};

/* Flags of a lock: of the operation under way, and gone when the next one begins. */
#define RLKI_LOCK_TRY         0x01u /* acquire: one attempt */
#define RLKI_LOCK_HOLDER      0x02u /* acquire: somebody else was seen to have it */
#define RLKI_LOCK_JITTERED    0x04u /* acquire: has paused since a quorum came free */
#define RLKI_LOCK_MAYBE_SENT  0x08u /* a raise or DEL was sent whose reply will never come */
#define RLKI_LOCK_FORCE_LOST  0x10u /* release: of a lock that was lost before */
#define RLKI_LOCK_QUORUM_DOES 0x20u /* query: nodes that are late are not waited for */

/* Options of a lock: they outlast its operations. */
#define RLKI_OPTION_RENEW     0x01u /* auto_renew */
#define RLKI_OPTION_UNSETTLED 0x02u /* an RLK_EV_SETTLED is due */
#define RLKI_OPTION_SETTLED   0x04u /* ... and says that our token is not in the key */
#define RLKI_OPTION_RENEWED   0x08u /* in the background, well or not, since its last result */
#define RLKI_OPTION_CAMPAIGN  0x20u /* in an election */
#define RLKI_OPTION_FELL      0x10u /* lost since then, without a call */

struct rlki_report;

/* What an election adds to an acquire. Only rlk_campaign_start names it, so that a program without
 * an election does not link it. The last two are for a lock with memory for holders. */
typedef struct rlki_campaign {
    void (*follow_again)(rlk_lock *lock); /* its loss was pulled */
    void (*ask)(rlk_lock *lock);          /* it waits: asks busy nodes who holds the key */
    void (*observe)(rlk_lock *lock, rlk_node_lock *node, const struct rlki_report *report);
} rlki_campaign;

/* What renewals in the background add to a client. Only a lock with auto_renew, and
 * rlk_campaign_start, name it, so that a program without them does not link it. */
typedef struct rlki_renewal {
    void (*due)(rlk_lock *lock); /* lock->as.hold.renew_ms has come */
    void (*schedule)(rlk_lock *lock, bool anew);
} rlki_renewal;

/* Nodes of an open client, and how many of them must agree. Where there is room for one only, the
 * compiler knows both, and leaves loops and counts out. */
static inline unsigned rlki_nodes(const rlk_client *client)
{
    return RLK_MAX_NODES == 1 ? 1u : client->nodes;
}

static inline unsigned rlki_needed(const rlk_client *client)
{
    return RLK_MAX_NODES == 1 ? 1u : client->quorum;
}

static inline unsigned rlki_index(const rlk_node_lock *node)
{
    return RLK_MAX_NODES == 1 ? 0 : node->index;
}

static inline rlk_node_mask rlki_bit(unsigned node)
{
    return (rlk_node_mask)(RLK_MAX_NODES == 1 ? 1 : UINT32_C(1) << node);
}

/* Returns true of a lock in an election. */
static inline bool rlki_lock_campaigns(const rlk_lock *lock)
{
    return (lock->options & RLKI_OPTION_CAMPAIGN) != 0;
}

static inline void rlki_lock_leave_election(rlk_lock *lock)
{
    lock->options = (uint8_t)(lock->options & ~RLKI_OPTION_CAMPAIGN);
}

/* Returns true if a lock that is held renews in the background. */
static inline bool rlki_lock_renews(const rlk_lock *lock)
{
    return (lock->options & (RLKI_OPTION_RENEW | RLKI_OPTION_CAMPAIGN)) != 0;
}

/* Of a lock that is held: sets hold.renew_ms for the lease as it is now; RLKI_NEVER where nobody
 * wants renewals. anew: the lease was set anew. If it is much shorter than the TTL (by drift, a
 * cap, the caller's or the server's word), it is not due at once, but when a third of it is over.
 */
static inline void rlki_renewal_schedule(rlk_lock *lock, bool anew)
{
    if (lock->client->renewal != NULL)
        lock->client->renewal->schedule(lock, anew);
}

/* The connection of a lock's node: the route. Constant, for one server and for a quorum of
 * independent ones. */
static inline rlk_conn *rlki_route(const rlk_lock *lock, unsigned node)
{
    return lock->client->conns[RLK_MAX_NODES == 1 ? 0 : node];
}

static inline bool rlki_conn_is_ready(const rlk_conn *conn)
{
    return rlki_conn_state(conn) == RLK_CONN_READY;
}

/* Returns true if the connection will not come back until it is reset. */
static inline bool rlki_conn_is_over(const rlk_conn *conn)
{
    rlk_conn_state state = rlki_conn_state(conn);

    return state == RLK_CONN_FATAL || state == RLK_CONN_CLOSED;
}

/* Remembers the last error of a lock, for its result and its text. */
static inline void rlki_lock_note(rlk_lock *lock, unsigned node, unsigned command, rlk_result error)
{
    lock->error = (int16_t)error;
    lock->error_node = (uint8_t)node;
    lock->error_command = (uint8_t)command;
}

#endif
