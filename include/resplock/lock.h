/* SPDX-License-Identifier: MIT
 *
 * resplock/lock.h: the client (connections, timers, events) and the lock.
 *
 * A lock is a key that holds a random token with an expiry (`SET key token NX PX ttl`), on one
 * server or on a quorum of several independent ones (Redlock): the convention of redis-py, redsync,
 * node-redlock and aioredis-lock, which exclude resplock and are excluded by it.
 *
 * The one rule for callers: you hold the lock while rlk_is_held() says so, and no longer. It counts
 * from before the first byte of the attempt, less drift, on your own clock.
 *
 * Each operation has two forms over one state machine:
 *   rlk_acquire(...)        waits (through env.wait) and returns the result
 *   rlk_acquire_start(...)  returns RLK_PENDING at once; the result comes by rlk_client_next_event
 * A `start` that returns anything but RLK_PENDING is over: that is its result, no event follows.
 * One lock has one operation at a time: a second one is RLK_E_STATE.
 *
 * A client, its connections and its locks belong to one thread at a time; clients share nothing.
 */
#ifndef RESPLOCK_LOCK_H
#define RESPLOCK_LOCK_H

#include "resplock/lock_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Arguments and defaults -------------------------------------------------------------- */

#define RLK_TRY     INT64_C(0)  /* of a wait: one attempt */
#define RLK_FOREVER INT64_MAX   /* of a wait: no deadline */
#define RLK_DEFAULT INT64_C(-1) /* of a wait or TTL: what the configuration says */

/*
 * All time limits, in milliseconds. Those of a connection (connect, response, backoff) stand in
 * resplock/net.h.
 */
#define RLK_TTL_MS              30000 /* TTL of the key */
#define RLK_WAIT_MS             30000 /* trying of an acquire with RLK_DEFAULT */
#define RLK_NODE_TIMEOUT_MAX_MS 2000  /* one try on one node: a third of the TTL, at most this */
/* Trying of release, extend, renew, check, query, force_release, and of an acquire with RLK_TRY. */
#define RLK_OPERATION_TIMEOUT_MS 5000
#define RLK_SETTLE_TIMEOUT_MS    2000 /* knowing: after the deadline, until the outcome is settled */
/* Between attempts on a lock that is held, where the server does not notify of its release (no
 * RESP3, tracking refused, or `no_tracking` set), or after an error: a random time from ... to */
#define RLK_RETRY_MIN_MS 50
#define RLK_RETRY_MAX_MS 250
/* Where it does: the latest time at which a waiter looks again though nothing was told, since a
 * push can be lost. A random time from a fifth of it on. */
#define RLK_RECHECK_MAX_MS 5000
/* A wait without end reports that it goes on after this time, and again each time that it has
 * passed; a new reason after a tenth of it. */
#define RLK_REPORT_MS 10000
#define RLK_DRIFT_PPM 10000 /* 1 % of the horizon, and */
#define RLK_DRIFT_MS  2     /* 2 ms: node-redlock's and Redlock's bound */

/* A token is its prefix, of up to RLK_PREFIX_MAX bytes, and 40 hex digits. */
#define RLK_TOKEN_DIGITS 40
#define RLK_TOKEN_MAX    (RLK_PREFIX_MAX + RLK_TOKEN_DIGITS)

/* Least transmit buffer for keys of key_len bytes and token prefixes of prefix_len bytes: two
 * commands with the key (query), or an EVALSHA with its arguments. */
#define RLK_TX_MIN_PREFIX(key_len, prefix_len) (160 + 2 * (key_len) + (prefix_len))
#define RLK_TX_MIN(key_len)                    RLK_TX_MIN_PREFIX(key_len, 0)

/* Locks of one client that wait for one key stand in a row, of which only the first asks the
 * server. A release wakes the next in the row at once; after so many in a row it first pauses for
 * a retry time, so that other processes have their turn. */
#define RLK_MAX_HANDOFFS 16

/* ---- Events ------------------------------------------------------------------------------ */

typedef enum rlk_event_type {
    RLK_EV_ACQUIRED = 1, /* an acquire ends with RLK_OK */
    RLK_EV_RESULT,       /* any other end of an operation: see `operation` and `result` */
    /* These end no operation: `operation` is RLK_OP_NONE. They are pulled in this order, behind
     * a result. */
    RLK_EV_SETTLED,      /* after an acquire that ended with RLK_UNKNOWN, or a release that ended
                            with RLK_UNKNOWN or an error:
                            RLK_OK: our token is not in the key, and never will be. RLK_UNKNOWN:
                            nobody answered until its TTL had passed, or an orphan is possible */
    RLK_EV_RENEWED,      /* auto_renew: RLK_OK. Of renewals that were not pulled the last counts;
                            one that a call of this lock overtook is not reported */
    RLK_EV_RENEW_FAILED, /* auto_renew: RLK_NOT_OWNER, RLK_E_WRONGTYPE: RLK_EV_LOST follows.
                            RLK_UNKNOWN or another error: still held, and tried again */
    RLK_EV_LOST,         /* the lock was held and is not any more: lost_cause says why */
    RLK_EV_WAITING       /* an acquire still waits, and goes on. result: RLK_BUSY, another has the
                            lock; an error, the reason why no attempt succeeds; RLK_PENDING,
                            no answer yet. Comes every report_ms, and once a tenth of it after a
                            new reason; never after the result of the acquire. rlk_lock_error has
                            it in words */
} rlk_event_type;

typedef enum rlk_operation {
    RLK_OP_NONE,
    RLK_OP_ACQUIRE,
    RLK_OP_RELEASE,
    RLK_OP_EXTEND,
    RLK_OP_RENEW,
    RLK_OP_CHECK,
    RLK_OP_QUERY,
    RLK_OP_FORCE_RELEASE
} rlk_operation;

/* Why a lease ended without a release: what was seen, and no more. */
typedef enum rlk_lost_cause {
    RLK_LOST_NOT,         /* it did not */
    RLK_LOST_EXPIRED,     /* it ran out by the client's own clock: not renewed in time */
    RLK_LOST_REFUSED,     /* the same, and the last answer to a renewal was an error of a server */
    RLK_LOST_DELETED,     /* the key was not there: deleted, evicted, expired by the server's clock,
                             or gone with the server's data */
    RLK_LOST_OVERWRITTEN, /* the key had another value, on at least one node */
    RLK_LOST_WRONG_TYPE,  /* the key had something that is not a string */
    RLK_LOST_CAUSES
} rlk_lost_cause;

typedef struct rlk_event {
    rlk_event_type type;
    rlk_operation operation; /* RLK_OP_NONE where it is no result of one */
    rlk_result result;
    rlk_lost_cause lost_cause; /* of RLK_EV_LOST; else RLK_LOST_NOT */
    rlk_lock *lock;
    void *user; /* of the lock's configuration */
} rlk_event;

/* ---- Client ------------------------------------------------------------------------------ */

/* 0 in a field means its default. */
typedef struct rlk_client_config {
    rlk_env env;
    int64_t operation_timeout_ms;
    int64_t settle_timeout_ms;
    uint32_t drift_ppm; /* of the two clocks against each other, parts per million */
    int64_t drift_ms;
    uint32_t max_handoffs; /* default RLK_MAX_HANDOFFS, at most 254 */
    /* The index of keys that are waited for or held: a power of two of buckets in the caller's
     * memory, which outlives the client. NULL: RLK_BUCKETS in the client itself, ample for some
     * hundred keys. */
    rlk_lock **buckets;
    size_t buckets_len;
} rlk_client_config;

/* Bits of rlk_client_warnings. */
#define RLK_WARN_EVEN  0x01u /* an even number of nodes tolerates no more failures than one less */
#define RLK_WARN_ALIAS 0x02u /* two nodes turned out to be one server (same run_id) */

/* The last argument of the macros below is theirs as it stands, commas and all: a compound literal
 * with several fields works. */

/*
 * Prepares what every connection of a client needs from the lock room: its calls and scripts.
 * To be called on each config before rlk_conn_init, and so before rlk_client_init, when the
 * connections are made by hand (bare ports); rlk_client_open does it by itself.
 */
RLK_API void rlk_client_conn_config(rlk_client *client, rlk_conn_config *config);

/*
 *     rlk_client_init(client, conns, nodes, config)
 *
 * A client over connections that are initialised already (with rlk_client_conn_config). For
 * POSIX use rlk_client_open instead. The connections, which outlive the client, are the nodes of
 * a quorum of n/2 + 1.
 * RLK_OK, RLK_E_NODES, RLK_E_SAME_NODE, RLK_E_ARGUMENT (now_ms or random missing, max_handoffs
 * above 254, buckets_len no power of two), RLK_E_TIMES, RLK_E_CLOCK, RLK_E_LAYOUT.
 */
#define rlk_client_init(client, conns, nodes, ...)                                                 \
    rlki_client_init((client), (conns), (nodes), (__VA_ARGS__), sizeof(rlk_client), RLK_LAYOUT)
RLK_API rlk_result rlki_client_init(rlk_client *client, rlk_conn *const *conns, size_t nodes,
                                    const rlk_client_config *config, size_t size, uint32_t layout);

/*
 * Detaches every lock (operations under way end as RLK_E_CLOSED, no event; held locks are not
 * released) and shuts the connections down. Later calls on its locks return RLK_E_CLOSED.
 */
RLK_API void rlk_client_deinit(rlk_client *client);

/* When to call rlk_client_tick: the earliest of timers and connections, RLK_NEVER if there is
 * nothing to wait for. The drivers' own deadlines are not among them. */
RLK_API int64_t rlk_client_deadline(const rlk_client *client);

/* Does what is due now (deadlines first: call it before feeding input). */
RLK_API void rlk_client_tick(rlk_client *client);

/* The next event, if there is one. Per lock in the order: result of the operation, SETTLED,
 * renewal, LOST. */
RLK_API bool rlk_client_next_event(rlk_client *client, rlk_event *event);

/*
 * Has all connections connect anew, at once, whatever state they are in; names are resolved anew.
 * Leaves fatal states. Commands in flight are lost, and fenced: operations under way go on. Locks
 * that are held are compared on the new connections: LOST where they are not there.
 * RLK_OK, RLK_E_ARGUMENT, RLK_E_CLOSED, RLK_E_FORKED. Returns without waiting: the client connects
 * while it is served, or in the next blocking call.
 */
RLK_API rlk_result rlk_client_reset(rlk_client *client);

/*
 * For the start of a program: connects to every node, and returns whether it can do what a lock
 * needs. Sends what a handshake sends: no SET, and no key. Blocks (env.wait), for at most
 * operation_timeout_ms; an attempt that fails ends it.
 *   RLK_OK         every node is ready. rlk_client_error() then says in words what one can't do, as
 *                  far as is known: notify waiters (they ask again after pauses), be fenced (more
 *                  results are RLK_UNKNOWN), serve every key (a node of a cluster); "" if all of it
 *                  works
 *   RLK_CANCELLED  interrupted
 *   negative       the error of the first node that is not ready: unreachable, password, a command
 *                  that is missing (RLK_E_UNSUPPORTED names it), RLK_E_READONLY of a replica, where
 *                  HELLO says so; RLK_E_WAIT, RLK_E_FORKED, RLK_E_CLOSED, RLK_E_ARGUMENT
 * On a quorum a lock may work although one node has an error. A command that the ACL user may not
 * run within the script shows at its first use (RLK_E_NOPERM): a check needs no key.
 */
RLK_API rlk_result rlk_client_check(rlk_client *client);

/* Number of nodes, and the connection of one, for questions (rlk_conn_state ...). */
RLK_API size_t rlk_client_nodes(const rlk_client *client);
RLK_API rlk_conn *rlk_client_conn(rlk_client *client, size_t node);

/* A set of RLK_WARN_*. */
RLK_API unsigned rlk_client_warnings(const rlk_client *client);

/*
 * What is wrong with the client, in words: node, command, what the server said, what to do: why
 * open or rlk_lock_init refused, why a connection is down, or the error that the last operation of
 * any of its locks ended with, or that keeps one of them waiting; after rlk_client_check what the
 * servers can't do. "" if nothing is. In the client's memory, until the next call of it or of
 * rlk_lock_error. With RLK_NO_TEXT these are number and node only: "-401 @0".
 */
RLK_API const char *rlk_client_error(rlk_client *client);

/* ---- Lock -------------------------------------------------------------------------------- */

/* 0 in a field means its default, so that a partly filled struct is right. */
typedef struct rlk_lock_config {
    int64_t ttl_ms;          /* default RLK_TTL_MS */
    int64_t wait_ms;         /* of RLK_DEFAULT: a time; default RLK_WAIT_MS */
    int64_t node_timeout_ms; /* one try on one node; default a third of the TTL, at most 2 s */
    int64_t retry_min_ms; /* default RLK_RETRY_MIN_MS: pause between attempts where the server sends
                             no notifications (no RESP3, tracking refused, `no_tracking`), or after
                             an error */
    int64_t retry_max_ms; /* default RLK_RETRY_MAX_MS */
    int64_t recheck_max_ms; /* default RLK_RECHECK_MAX_MS */
    int64_t max_hold_ms;    /* renewals (auto_renew, rlk_keep_alive) end so long after the lock was
                               acquired, and its lease with them: RLK_LOST. From the TTL to
                               RLK_TTL_MAX, else RLK_E_TIMES; default: never */
    int64_t report_ms; /* RLK_EV_WAITING comes so often, of every wait; default: RLK_REPORT_MS of
                          a wait without end, never of one with a deadline, which says at its
                          end what kept it */

    const char *token_prefix; /* before the random part of the token, such as a host name: for
                                 people who look; outlives the lock. NULL: none */
    void *user;               /* comes back with every event */
    bool auto_renew;          /* renews by the TTL when a third of it has passed, whenever the
                                 library is called: see rlk_campaign_start. False: only rlk_renew and
                                 rlk_keep_alive do */
} rlk_lock_config;

/*
 *     rlk_lock_init(lock, client, key, config)
 *     rlk_lock_init_n(lock, client, key, key_len, config)
 *
 * Ties a lock to a client and a key. `key` (any bytes; rlk_lock_init: up to its NUL) and the
 * prefix are not copied and must outlive the lock, unchanged. This is compared at each command: one
 * with another key never leaves, and its operation ends with RLK_E_DANGLING. (A release then, or an
 * undo, leaves the key to its TTL.) Touches no network. config NULL: all defaults.
 * A lock that is initialised already must be closed before.
 * RLK_OK; RLK_E_TTL (TTL out of range, or not above drift + node time), RLK_E_KEY (empty, or the
 * transmit buffer of a connection is below RLK_TX_MIN_PREFIX), RLK_E_PREFIX, RLK_E_TIMES,
 * RLK_E_ARGUMENT, RLK_E_LAYOUT, RLK_E_CLOSED, RLK_E_FORKED. After an error the lock is closed:
 * every call on it returns RLK_E_CLOSED.
 */
#define rlk_lock_init(lock, client, key, ...)                                                      \
    rlki_lock_init((lock), (client), (key), (__VA_ARGS__), sizeof(rlk_lock), RLK_LAYOUT)
#define rlk_lock_init_n(lock, client, key, key_len, ...)                                           \
    rlki_lock_init_n((lock), (client), (key), (key_len), (__VA_ARGS__), sizeof(rlk_lock),          \
                     RLK_LAYOUT)
RLK_API rlk_result rlki_lock_init(rlk_lock *lock, rlk_client *client, const char *key,
                                  const rlk_lock_config *config, size_t size, uint32_t layout);
RLK_API rlk_result rlki_lock_init_n(rlk_lock *lock, rlk_client *client, const void *key,
                                    size_t key_len, const rlk_lock_config *config, size_t size,
                                    uint32_t layout);

/*
 * Unties the lock: always due, whatever its state; O(nodes). An operation under way ends without
 * an event; nothing more is sent for it than is encoded already, and pending events are dropped.
 * RLK_OK: our token is not on a quorum, and never will be. RLK_UNKNOWN: an orphan is possible,
 * which blocks others until its TTL ends; also if the lock is still held. RLK_E_FORKED, in a child:
 * untied there, and nothing is sent.
 */
RLK_API rlk_result rlk_lock_close(rlk_lock *lock);

/*
 * Acquires. wait_ms: RLK_TRY one attempt; a time; RLK_FOREVER; RLK_DEFAULT the configuration's.
 * Of the client's locks that wait for one key, those that came first have it first; one attempt
 * only does not stand in that row.
 *
 *   RLK_OK         held; rlk_remaining_ms() tells for how long
 *   RLK_BUSY       (RLK_TRY) somebody else has it
 *   RLK_TIMED_OUT  somebody else was seen to have it, and it was not acquired until the deadline
 *   RLK_CANCELLED  by rlk_cancel
 *   RLK_UNKNOWN    a command was sent whose outcome can't be known: our token may be in the key,
 *                  then it goes by itself after the TTL at the latest. The undo goes on while the
 *                  client is served; acquire again when you like
 *   negative       transport, protocol, server: the last error, when no holder was seen until the
 *                  deadline (at once with RLK_TRY, but for one more try where the stream that ended
 *                  is older than the call, and fenced); RLK_E_RESPONSE_TIMEOUT: no quorum answered
 *                  in time, and no error came; fatal errors at once; RLK_E_STATE if held already;
 *                  RLK_E_TIMES, RLK_E_ENTROPY, RLK_E_FORKED, RLK_E_CLOSED, RLK_E_WAIT
 * In all but OK, UNKNOWN and E_STATE our token is not in the key and never will be. RLK_TRY is
 * bounded by operation_timeout_ms.
 * The deadline bounds the trying; the result comes within settle_timeout_ms after it. An
 * RLK_EV_LOST of the lease before that was not pulled yet is dropped: who calls this knows.
 */
RLK_API rlk_result rlk_acquire(rlk_lock *lock, int64_t wait_ms);
RLK_API rlk_result rlk_acquire_start(rlk_lock *lock, int64_t wait_ms);

/*
 * Releases: compare and delete. Not held from the call on, whatever it returns but RLK_E_STATE and
 * RLK_E_WAIT, which begin nothing.
 *   RLK_OK         deleted (on a quorum)
 *   RLK_NOT_OWNER  the key did not hold our token any more
 *   RLK_GONE       it does not now, but an earlier try of this release got no reply
 *   RLK_NOT_HELD   nothing was held
 *   RLK_LOST       its validity had passed before the call; what is left of it is being cleaned
 *                  up, and the call waited up to settle_timeout_ms for that
 *   RLK_UNKNOWN    no answer in time, or an earlier SET may still execute; cleaning goes on
 *   negative       the server refused (the key may stay until its TTL); RLK_E_STATE: another
 *                  operation is under way (rlk_cancel it first)
 */
RLK_API rlk_result rlk_release(rlk_lock *lock);
RLK_API rlk_result rlk_release_start(rlk_lock *lock);

/*
 * Extends by added_ms: the new expiry is the old one plus added_ms, capped at now + RLK_TTL_MAX.
 * Raise-only at the server, so that a repeat is harmless; the key is never created again.
 *   RLK_OK         done (on a quorum); rlk_remaining_ms() has grown
 *   RLK_NOT_OWNER  the server no longer has our token: not held any more (an RLK_EV_LOST follows)
 *   RLK_LOST       its validity ran out before the answer
 *   RLK_NOT_HELD   nothing was held
 *   RLK_UNKNOWN    sent, and no answer: held until the old deadline, the key may live longer
 *   negative       no quorum did it, and nothing is left unanswered: held until the old deadline;
 *                  RLK_E_RESPONSE_TIMEOUT: nothing could be sent in time; RLK_E_TTL: added_ms of
 *                  0, negative, or nothing left under the cap
 */
RLK_API rlk_result rlk_extend(rlk_lock *lock, int64_t added_ms);
RLK_API rlk_result rlk_extend_start(rlk_lock *lock, int64_t added_ms);

/*
 * Renews: the new expiry is now + ttl_ms (RLK_DEFAULT: the configured TTL). When that makes the
 * lease no longer than it is, only the local deadline is set to it and nothing is sent: the key
 * lapses later than we claim, or is deleted by release. Results as of rlk_extend; RLK_E_TTL also
 * for a ttl_ms that is not above drift + node time.
 */
RLK_API rlk_result rlk_renew(rlk_lock *lock, int64_t ttl_ms);
RLK_API rlk_result rlk_renew_start(rlk_lock *lock, int64_t ttl_ms);

/*
 * Renews by the configured TTL when a third of it has passed, else does nothing but hear what the
 * server has told meanwhile (and then asks whether the key is still ours); to be called at least
 * that often. Not beyond max_hold_ms. RLK_OK while the lock is valid, even where a renewal failed
 * (it is tried again at the next call); RLK_LOST, RLK_NOT_OWNER, RLK_NOT_HELD: not held any more.
 * Takes at most the time of one try (node_timeout_ms). There are no threads: nothing renews but
 * this call.
 */
RLK_API rlk_result rlk_keep_alive(rlk_lock *lock);

/* For how long it has been held: since the answer that acquired it; 0 if it is not. */
RLK_API int64_t rlk_held_ms(const rlk_lock *lock);

/*
 * Asks the server whether the key holds our token: RLK_OK, or RLK_NOT_OWNER (then not held any
 * more), RLK_NOT_HELD, RLK_LOST, or an error (RLK_E_RESPONSE_TIMEOUT where no quorum answered). A
 * write command without effect, so that a replica can't answer.
 */
RLK_API rlk_result rlk_check(rlk_lock *lock);
RLK_API rlk_result rlk_check_start(rlk_lock *lock);

/* What one node says of the key. */
typedef struct rlk_holder {
    rlk_result result;  /* RLK_OK: answered; RLK_PENDING: not (yet); else the error */
    int64_t ttl_ms;     /* remaining, -1 without expiry, -2 no such key */
    uint32_t token_len; /* of the value; more than RLK_TOKEN_MAX: it is cut, or, beyond the receive
                           buffer, left out */
    bool ours;          /* it is the token of this lock */
    /* terminated; may itself contain NUL if somebody put one there */
    char token[RLK_TOKEN_MAX + 1];
} rlk_holder;

/*
 * Asks who has the lock, and for how long yet, of every node; reads only. `holders` has room for
 * rlk_client_nodes() entries and stays in use until the result.
 *   RLK_OK        one token is on a quorum
 *   RLK_NOT_HELD  a quorum answered, and no token is on a quorum
 *   negative      no quorum answered: the last error, or RLK_E_RESPONSE_TIMEOUT
 */
RLK_API rlk_result rlk_query(rlk_lock *lock, rlk_holder *holders, size_t cap);
RLK_API rlk_result rlk_query_start(rlk_lock *lock, rlk_holder *holders, size_t cap);

/*
 * Deletes the key, whoever's it is: for an operator who frees a lock that is stuck. Its holder
 * learns at its next renewal or check. RLK_OK when a quorum answered (also if nothing was there);
 * RLK_UNKNOWN when it was sent and a quorum did not answer; RLK_E_STATE while this lock is held or
 * busy.
 */
RLK_API rlk_result rlk_force_release(rlk_lock *lock);
RLK_API rlk_result rlk_force_release_start(rlk_lock *lock);

/*
 * Ends the operation under way. An acquire: undone, then RLK_CANCELLED (or RLK_UNKNOWN after
 * settle_timeout_ms). Extend, renew: RLK_UNKNOWN if sent, else RLK_CANCELLED; the lock stays held.
 * Release: RLK_UNKNOWN, cleaning goes on. force_release: RLK_UNKNOWN if sent. Others:
 * RLK_CANCELLED. The result comes as an event, or from the blocking call that is interrupted
 * (rlk_cancel from within env.wait). RLK_NOT_HELD: there was nothing to cancel.
 */
RLK_API rlk_result rlk_cancel(rlk_lock *lock);

/* Held now: by a fresh look at the clock, without the network. False in a forked child. */
RLK_API bool rlk_is_held(const rlk_lock *lock);

/* The same at a time of the client's clock: pure, but for the fork check. */
RLK_API bool rlk_is_held_at(const rlk_lock *lock, int64_t now_ms);

/* Time for which it is still held; 0 if it is not. */
RLK_API int64_t rlk_remaining_ms(const rlk_lock *lock);

/* The operation under way, RLK_OP_NONE if there is none. */
RLK_API rlk_operation rlk_lock_operation(const rlk_lock *lock);

/* Why the last lease ended without a release, or why rlk_release did not find our token;
 * RLK_LOST_NOT while the lock is held, and after a release that worked. Until the next acquire. */
RLK_API rlk_lost_cause rlk_lock_lost_cause(const rlk_lock *lock);

/* Name of a cause, "DELETED"; "?" if it is none. With RLK_NO_TEXT "". */
RLK_API const char *rlk_lost_cause_name(rlk_lost_cause cause);

/*
 * Text of the token in use, terminated. Returns its length, which is written only if it is < cap;
 * 0 before the first acquire. RLK_TOKEN_MAX + 1 bytes are always enough.
 */
RLK_API size_t rlk_lock_token(const rlk_lock *lock, char *out, size_t cap);

/*
 * Last result of this lock in words: node, command, key, what the server said, what to do; or what
 * became of its lease since then: a renewal in the background, a loss. While an acquire
 * goes on: for how long, and what keeps it. In the client's memory, until the next call of it or of
 * rlk_client_error.
 */
RLK_API const char *rlk_lock_error(rlk_lock *lock);

/* All defaults, for languages without designated initialisers. */
RLK_API rlk_lock_config rlk_lock_config_default(void);

#ifdef __cplusplus
}
#endif

#endif
