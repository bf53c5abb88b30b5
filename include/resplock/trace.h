/* SPDX-License-Identifier: MIT
 *
 * resplock/trace.h: counters of a client, and a hook that receives each step. RLK_NO_TRACE leaves
 * both out, except the causes of attempts.
 */
#ifndef RESPLOCK_TRACE_H
#define RESPLOCK_TRACE_H

#include "resplock/env.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What caused an attempt on a lock. */
typedef enum rlk_cause {
    RLK_CAUSE_START,     /* the call */
    RLK_CAUSE_PUSH,      /* the server notified that the key has changed or is gone */
    RLK_CAUSE_FLUSH,     /* the server notified that any key may have changed */
    RLK_CAUSE_LOCAL,     /* another lock of the client released it, or left the wait queue */
    RLK_CAUSE_EXPIRY,    /* the holder's TTL had passed */
    RLK_CAUSE_RECHECK,   /* no notification for RLK_RECHECK_MAX_MS */
    RLK_CAUSE_RETRY,     /* the pause between attempts was over: no notifications, or an error */
    RLK_CAUSE_YIELD,     /* the pause for other processes was over: after max_handoffs, after a turn
                            of this client, or after a lease that was lost at once */
    RLK_CAUSE_RECONNECT, /* a connection is back */
    RLK_CAUSES
} rlk_cause;

/* Returns the name of a cause, "PUSH"; "?" if it is none. With RLK_NO_TEXT "". */
RLK_API const char *rlk_cause_name(rlk_cause cause);

#ifndef RLK_NO_TRACE
/* Counters since rlk_client_init, of connections since rlk_conn_init, modulo their range. */
typedef struct rlk_stats {
    uint32_t attempts; /* of all acquires, each on all nodes at once */
    uint32_t acquired;
    uint32_t causes[RLK_CAUSES]; /* attempts by cause */
    uint32_t probes;             /* of a quorum's nodes before an attempt: still held? */
    uint32_t renewed;            /* in the background; none that a call overtook */
    uint32_t renew_unknown;
    uint32_t renew_refused;
    uint32_t lost;     /* leases */
    uint32_t connects; /* connections that became ready */
    uint32_t fences;   /* of streams that ended with a command that might still execute */
    uint32_t silent;   /* connections that are polled, because promised pushes did not come */
    uint32_t bytes_sent;
    uint32_t bytes_received;
} rlk_stats;

/* Writes the counters; zeros of a client that is not open. */
RLK_API void rlk_client_stats(const rlk_client *client, rlk_stats *stats);

/* What happened, and what `what` and `number` of a trace are then. */
typedef enum rlk_trace_kind {
    RLK_TRACE_CONN,    /* a connection: its new state, "CONNECTING"; its rlk_result */
    RLK_TRACE_STEP,    /* it sends a command of its handshake, "HELLO" */
    RLK_TRACE_COMMAND, /* a lock sends a command, "EVALSHA (raise)"; the number of replies to come:
                          2 of "GET, PTTL", else 1 */
    RLK_TRACE_REPLY,   /* it has a reply; the integer, the length of a string, or the rlk_result of
                          an error */
    RLK_TRACE_PUSH,    /* the server notifies that a lock's key has changed */
    RLK_TRACE_STATE,   /* a lock is "FREE"; "HELD", for ms; or "LOST", an rlk_lost_cause */
    RLK_TRACE_PHASE,   /* an acquire goes on: "QUEUE", "WATCH", "ATTEMPT", "PAUSE", "SETTLE"; an
                          rlk_cause */
    RLK_TRACE_RESULT   /* an operation ends, "acquire"; its rlk_result */
} rlk_trace_kind;

/* One step, as rlk_env.trace receives it, valid during the call. It has no token and no password:
 * of a command only its name, and its key by the lock. */
struct rlk_trace {
    rlk_trace_kind kind;
    int64_t now_ms;
    const rlk_client *client;
    const rlk_lock *lock; /* NULL: of a connection */
    int node;             /* -1: of all */
    const char *what;     /* constant text; with RLK_NO_TEXT "" */
    int64_t number;
};

/* Returns the key of a lock, for a trace. */
RLK_API const uint8_t *rlk_lock_key(const rlk_lock *lock, size_t *len);

/* Longest line of rlk_trace_format, and its end. */
#define RLK_TRACE_CAP 160

/*
 * Writes a trace as one line of text, terminated, without an end of line and without printf:
 *     12.345 node 0 "reports:nightly": has a reply to SET: 1
 * The time is in seconds of the client's clock. Of a key it writes 48 bytes, "?" for each that is
 * not printable. Returns the length of the whole line; what does not fit into cap bytes is left
 * out. Call it within rlk_env.trace. With RLK_NO_TEXT the line is numbers: time in ms, kind, node,
 * number.
 */
RLK_API size_t rlk_trace_format(const rlk_trace *trace, char *out, size_t cap);
#endif

#ifdef __cplusplus
}
#endif

#endif
