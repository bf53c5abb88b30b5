/* SPDX-License-Identifier: MIT
 *
 * resplock/trace.h: what happened: counters of a client, and a hook that sees each step.
 * RLK_NO_TRACE leaves both out.
 */
#ifndef RESPLOCK_TRACE_H
#define RESPLOCK_TRACE_H

#include "resplock/env.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What caused an attempt on a lock. */
typedef enum rlk_cause {
    RLK_CAUSE_START,   /* the call */
    RLK_CAUSE_PUSH,    /* the server told that the key changed, or is not there any more */
    RLK_CAUSE_FLUSH,   /* it told that any key may have */
    RLK_CAUSE_LOCAL,   /* another lock of the client released it, or stepped out of the row */
    RLK_CAUSE_EXPIRY,  /* the holder's TTL had passed */
    RLK_CAUSE_RECHECK, /* nothing was told for long: RLK_RECHECK_MAX_MS */
    RLK_CAUSE_RETRY,   /* the pause between attempts was over: nothing can be told, or an error */
    RLK_CAUSE_YIELD, /* the pause for other processes was over: after RLK_MAX_HANDOFFS, or a turn of
                        the client's; or that after a lease that was lost at once */
    RLK_CAUSE_RECONNECT, /* a connection came back */
    RLK_CAUSES
} rlk_cause;

/* Name of a cause, "PUSH"; "?" if it is none. With RLK_NO_TEXT "". */
RLK_API const char *rlk_cause_name(rlk_cause cause);

#ifndef RLK_NO_TRACE
/* Counted since rlk_client_init, of connections since rlk_conn_init; modulo their range. */
typedef struct rlk_stats {
    uint32_t attempts;           /* rounds, on all nodes at once, of all acquires */
    uint32_t acquired;           /* of them won */
    uint32_t causes[RLK_CAUSES]; /* attempts by cause */
    uint32_t probes;             /* of a quorum's nodes: is the key still there? */
    uint32_t renewed;            /* in the background, by outcome; none that a call overtook */
    uint32_t renew_unknown;
    uint32_t renew_refused;
    uint32_t lost;       /* locks */
    uint32_t connects;   /* of connections that became ready */
    uint32_t fences;     /* ... after one whose commands had to be, and were, fenced */
    uint32_t silent;     /* connections that are polled: promised pushes did not come */
    uint32_t bytes_sent; /* of all connections */
    uint32_t bytes_received;
} rlk_stats;

/* What was counted so far; zeros of a client that is not open. */
RLK_API void rlk_client_stats(const rlk_client *client, rlk_stats *stats);

typedef enum rlk_trace_kind {
    RLK_TRACE_CONN,    /* a connection: `what` is its new state: "CONNECTING" ...; number: its
                          rlk_result */
    RLK_TRACE_STEP,    /* it sends a command of its handshake: "HELLO" ... */
    RLK_TRACE_COMMAND, /* a lock sends a command: "SET", "EVALSHA (raise)" ...; number: replies to
                          come (2 of a SET: PTTL follows in the same write) */
    RLK_TRACE_REPLY,   /* ... and has a reply; number: the integer, of a string its length, or the
                          rlk_result of an error */
    RLK_TRACE_PUSH,    /* a lock's key changed at the server */
    RLK_TRACE_STATE,   /* a lock's state: "FREE"; "HELD", number: ms that it is valid; "LOST",
                          number: an rlk_lost_cause */
    RLK_TRACE_PHASE,   /* an acquire goes on: "ROW", "WATCH", "ROUND", "PAUSE", "SETTLE";
                          number: an rlk_cause */
    RLK_TRACE_RESULT   /* an operation ended: "acquire" ...; number: its rlk_result */
} rlk_trace_kind;

/*
 * One thing that happened, as rlk_env.trace sees it. There is no token in it and no password: of a
 * command there is only its name, and its key by the lock. Valid during the call.
 */
struct rlk_trace {
    rlk_trace_kind kind;
    int64_t now_ms;
    const rlk_client *client;
    const rlk_lock *lock; /* NULL: of a connection */
    int node;             /* -1: of all */
    const char *what;     /* constant text; with RLK_NO_TEXT "" */
    int64_t number;
};

/* Key of a lock, for a trace. */
RLK_API const uint8_t *rlk_lock_key(const rlk_lock *lock, size_t *len);

/* Longest line of rlk_trace_format, and its end. */
#define RLK_TRACE_CAP 160

/*
 * Writes a trace as one line of text, without its end of line and without printf:
 *     12.345 node 0 "reports:nightly": has a reply to SET: 1
 * The time is in seconds of the client's clock. Of a key only the first 48 bytes are written, "?"
 * for each that is not printable. No token and no password can be in it. Returns the length of the
 * whole line; what does not fit into cap bytes with its end (NUL) is left out. To be called within
 * rlk_env.trace. With RLK_NO_TEXT the line has numbers only: time in ms, kind, node, number.
 */
RLK_API size_t rlk_trace_format(const rlk_trace *trace, char *out, size_t cap);
#endif

#ifdef __cplusplus
}
#endif

#endif
