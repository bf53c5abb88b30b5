/* SPDX-License-Identifier: MIT
 *
 * resplock/lock_layout.h: the memory of clients and locks.
 * Structs are visible so that their size is known. Every field in this file is private.
 */
#ifndef RESPLOCK_LOCK_LAYOUT_H
#define RESPLOCK_LOCK_LAYOUT_H

#include "resplock/net.h"
#include "resplock/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Text of rlk_client_error and rlk_lock_error: with RLK_NO_TEXT a few numbers. */
#ifdef RLK_NO_TEXT
#define RLKI_TEXT_CAP 16
#else
#define RLKI_TEXT_CAP RLK_TEXT_CAP
#endif

/* Random bytes of a token, and of those that a client draws at once; 0: it draws none. */
#define RLKI_TOKEN_BYTES 16
#if defined(RLK_NO_POSIX) || RLK_RANDOM_BLOCK < 2 * RLKI_TOKEN_BYTES
#define RLKI_RANDOM_BLOCK 0
#else
#define RLKI_RANDOM_BLOCK RLK_RANDOM_BLOCK
#endif

/*
 * Times of a client and its locks in 32 bits are milliseconds of a clock of its own, which begins
 * anew every RLKI_CLOCK_UNIT, 4.7 hours. Then all times go back by as much: epoch.c. So the least
 * number means "past", the greatest "never", and a time that is not further away than
 * RLK_TTL_MAX fits in between.
 */
#define RLKI_CLOCK_UNIT (INT32_C(1) << 24)

/* Lists of a client's timers: see timers.c. Fields are private. */
#define RLK_TIMERS_LISTS 13

typedef struct rlk_timer {
    struct rlk_timer *next;
    struct rlk_timer **link; /* what points to it; NULL: not set */
    int32_t deadline_ms;
} rlk_timer;

typedef struct rlk_timers {
    int32_t now_ms; /* all before it has fired */
    uint16_t used;  /* a bit for each list that may have timers */
    rlk_timer *lists[RLK_TIMERS_LISTS];
} rlk_timers;

/* Keys of a client for which it remembers that others want the lock too: who acquires such a lock
 * again and again leaves it to them in between. */
#define RLK_TURNS 4

/* What a client remembers of a lock that others want too: see turn.c. Fields are private. */
typedef struct rlk_turn {
    uint32_t began_ms;     /* the turn; low half of the caller's clock */
    uint16_t key_hash;     /* upper half of the key's */
    uint16_t waited_ms;    /* for it; 0: nothing is remembered */
    uint16_t attempt_part; /* what an attempt takes, in parts of a millisecond */
    uint8_t alone;         /* consecutive turns in which nobody else was seen */
    uint8_t crowd;         /* turns for which several others count as waiting */
} rlk_turn;

struct rlki_operation;
struct rlki_campaign;
struct rlki_renewal;

#ifndef RLK_NO_TEXT
/* A number that was refused, and what fits. Fields are private. */
typedef struct rlk_refusal {
    const char *name; /* of the field; NULL: none was */
    int64_t number;
    uint32_t least;
    uint32_t most; /* UINT32_MAX: no bound */
} rlk_refusal;
#endif

/* Fields are private. Must not be moved once initialised. Small ones first: short offsets make
 * short instructions. */
struct rlk_client {
    uint8_t nodes;
    uint8_t quorum;
    uint8_t state;
    uint8_t warnings;
    uint8_t max_handoffs;
    uint8_t failed_node;
    uint8_t failed_command;
    bool checked;       /* rlk_client_check was RLK_OK, and no operation has failed since */
    bool interruptible; /* an interrupt may come between two blocking calls: see blocking.c */
    bool interrupted;   /* one did, and no acquire has taken it yet */
    int16_t failed;     /* error of the last operation of any lock, RLK_OK if it had none */
    int16_t error;      /* last failure of open and init */
    uint16_t error_node;
#if RLKI_RANDOM_BLOCK > 0
    uint16_t random_left; /* bytes of `random` that are in no token yet: the first ones */
#endif
    rlk_env env;
    const struct rlki_renewal *renewal;   /* NULL: no lock renews in the background */
    const struct rlki_campaign *campaign; /* NULL: no lock was in an election */
    rlk_lock *locks;                      /* attached */
    rlk_lock *events;                     /* locks with events: the first */
    rlk_lock *ready;                      /* locks to be stepped before this call ends: the last */
    rlk_conn *conns[RLK_MAX_NODES];
    uint32_t operation_timeout_ms;
    uint32_t settle_timeout_ms;
    uint32_t drift_ppm;
    uint32_t drift_ms;
    uint32_t jitter;
    uint32_t unfenced[RLK_MAX_NODES]; /* streams up to this one may still execute what they sent */
    int32_t now_ms;                   /* clock_ms by the client's own clock */
    int64_t clock_ms;                 /* by the caller's; clamped: never goes back */
    int32_t served_ms;                /* by a blocking call, last */
    int32_t hurried_ms;               /* connections, by an operation, last */
    rlk_lock **buckets;               /* by the hash of the key: see wait_queue.c */
    uint32_t buckets_mask;
    rlk_turn turns[RLK_TURNS]; /* by the hash of the key */
    rlk_lock *own_buckets[RLK_BUCKETS];
    rlk_timers timers;
#if RLKI_RANDOM_BLOCK > 0
    uint8_t random[RLKI_RANDOM_BLOCK];
#endif
#ifndef RLK_NO_TRACE
    rlk_stats stats;
#endif
#ifndef RLK_NO_TEXT
    rlk_refusal refusal;
#endif
    char text[RLKI_TEXT_CAP];
};

/* A lock on one node. Fields are private. */
typedef struct rlk_node_lock {
    rlk_request request; /* its tag is the command; once that is encoded, owner_ms is when it was */
    uint8_t index;
    uint8_t vote; /* of the node, in the operation under way */
    uint8_t flags;
    uint8_t orphans; /* SETs of this token that may still execute: sent, unanswered, not fenced */
    uint32_t token;  /* number of the token that is, or may be, here */
    uint32_t generation; /* stream of the SET, or of what confirmed `expiry_ms` since */
    uint32_t horizon_ms; /* ... counted from then on: drift is of this */
    int32_t expiry_ms;   /* last confirmed expiry of the key here; see lease.h */
} rlk_node_lock;

/* A set of nodes, a bit each. */
#if RLK_MAX_NODES <= 8
typedef uint8_t rlk_node_mask;
#elif RLK_MAX_NODES <= 16
typedef uint16_t rlk_node_mask;
#else
typedef uint32_t rlk_node_mask;
#endif

/* What an acquire knows. */
typedef struct rlk_waiter {
    int64_t began_ms; /* by the caller's clock */
    uint8_t spurious; /* spurious wake-ups; fewer as time passes */
    uint8_t failures; /* consecutive attempts that failed */
    uint8_t gate; /* the node, counted from 1, that an attempt asks before the others; 0: none */
    rlk_node_mask busy;      /* nodes where somebody holds it, as far as is known */
    rlk_node_mask compared;  /* nodes that were compared in this attempt */
    rlk_node_mask read;      /* nodes that said who holds it, since they were found busy last */
    rlk_node_mask overtaken; /* nodes where another lock of the client lets go behind our command */
    rlk_node_mask lasting;   /* nodes where the key outlives a recheck by time that runs late */
    uint8_t recheck_cause[RLK_MAX_NODES]; /* of a busy node: an rlk_cause */
    int16_t reported;                     /* reason that the last report gave, or the next gives */
    int32_t recheck_at_ms[RLK_MAX_NODES]; /* of a busy node */
    int32_t gate_ms;   /* when the gate alone is asked no longer, or RLKI_NEVER */
    int32_t report_ms; /* next report that it waits, or RLKI_NEVER */
    uint32_t
        attempt_ms; /* begin of the last attempt or probe; low half of the caller's clock: it
                       lengthens or shortens pauses of milliseconds, and decides nothing else */
} rlk_waiter;

/* What is known of a lock that is held, or was until it was lost. */
typedef struct rlk_hold {
    int64_t since_ms;    /* when it was acquired, by the caller's clock */
    rlk_node_mask dirty; /* nodes where somebody changed the key */
    rlk_node_mask read;  /* nodes where a raise or a compare found our token: they notify */
    uint32_t drift_ms;   /* of claim_ms: valid_ms is never beyond claim_ms less this */
    uint32_t horizon_ms; /* of target_ms, from when it was asked for on: drift is of this */
    int32_t target_ms;   /* expiry that the last extend or renew asks for */
    int32_t claim_ms;    /* expiry asked for last, before drift: none counts beyond it */
    int32_t valid_ms;    /* the lease's deadline: held before it, lost from it on */
    int32_t renew_ms;    /* when the next renewal is due, or RLKI_NEVER */
    int32_t watch_ms;    /* when the key begins to be watched; RLKI_NEVER: it is */
} rlk_hold;

/* Fields are private. Must not be moved once initialised. */
struct rlk_lock {
    rlk_timer timer; /* first: the timers find the lock by it */
    rlk_client *client;
    const struct rlki_operation *op; /* under way; NULL: none */
    uint8_t state;
    uint8_t phase;
    uint8_t flags;
    uint8_t options;
    uint8_t position; /* in the client's index: see wait_queue.c */
    uint8_t handoffs; /* local ones, consecutive */
    uint8_t events;   /* pending */
    uint8_t falls;    /* consecutive leases that were lost at once */
    uint8_t prefix_len;
    uint8_t done_operation; /* of the pending result */
    uint8_t lost_cause;     /* of the lease: an rlk_lost_cause, and while held of a minority */
    uint8_t error_node;
    uint8_t error_command;
    uint8_t cause;            /* of the last attempt: an rlk_cause */
    rlk_node_mask second_try; /* nodes: the operation under way, if it ends at the first error, has
                                 one more try there after its stream ends */
    int16_t error;            /* last error met */
    int16_t outcome;          /* what the operation comes to once settled */
    int16_t done_result;
    int16_t renewal; /* result of the last one by auto_renew */
    uint16_t later;  /* units of RLKI_CLOCK_UNIT by which the operation ends after deadline_ms */
    uint32_t token;  /* number of the token in use */
    uint32_t ttl_ms;
    uint32_t wait_ms;
    uint32_t node_timeout_ms;
    uint32_t retry_min_ms;
    uint32_t retry_max_ms;
    uint32_t recheck_max_ms;
    uint32_t watch_after_ms;
    uint32_t max_hold_ms; /* 0: none */
    uint32_t report_interval_ms;
    uint32_t key_hash;
    uint32_t key_len;
    size_t texts; /* hash of key and prefix, at init */
    const uint8_t *key;
    const char *prefix;
    rlk_lock *next; /* locks of the client */
    rlk_lock *prev;
    rlk_lock *ready_next; /* to be stepped; of the last: the first; NULL: not to be */
    rlk_lock *event_next;
    rlk_lock *event_prev; /* of the first: the last */
    rlk_lock *queue_next; /* in a bucket; in the ring of those behind the first waiter */
    union {
        rlk_lock *last; /* of the first waiter: the last of those behind it; NULL: nobody is */
        rlk_lock *prev; /* of one behind the first */
        struct rlk_holder *asked; /* of a query, which waits in no queue: the caller's array */
    } queue;
    struct rlk_holder *holders; /* of the configuration: what nodes said last */
    void *user;
    int32_t deadline_ms; /* of the operation: end of the trying; see later */
    int32_t phase_ms;    /* end of the phase: of the attempt, of the pause, of the settling */
    int32_t retry_ms;    /* when refused undos and raises are sent again, or RLKI_NEVER */
    int32_t cleanup_ms;  /* when undos that are refused are given up */
    uint8_t base[RLKI_TOKEN_BYTES]; /* random part of the token, new for each acquire */
    union {
        rlk_waiter wait; /* of an acquire, from its begin to its end */
        rlk_hold hold;   /* of a lock that is held or lost */
    } as;
    rlk_node_lock nodes[RLK_MAX_NODES];
};

#ifdef __cplusplus
}
#endif

#endif
