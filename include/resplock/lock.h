/* SPDX-License-Identifier: MIT
 *
 * resplock/lock.h: the client (connections, timers, events) and the lock.
 *
 * A lock is a key with a random token and an expiry: `SET key token NX PX ttl`. It is on one
 * server, or on a quorum of independent ones (Redlock). redis-py, redsync, node-redlock and
 * aioredis-lock follow the same convention. They exclude resplock, and resplock excludes them.
 *
 *     rlk_posix_client redis;
 *     rlk_lock lock;
 *
 *     if (rlk_posix_open(&redis, "redis://localhost", NULL) != RLK_OK ||  // posix.h
 *         rlk_lock_init(&lock, &redis.client, "reports:nightly", NULL) != RLK_OK)
 *         return fail(rlk_client_error(&redis.client));
 *     if (rlk_acquire(&lock, 5000) == RLK_OK) {                   // waits for up to 5 s
 *         while (more_work() && rlk_keep_alive(&lock) == RLK_OK)  // renews when it is due
 *             work_for_less_than_a_third_of_the_ttl();
 *         rlk_release(&lock);
 *     } else {
 *         report(rlk_lock_error(&lock));  // what is wrong, and the remedy
 *     }
 *     rlk_lock_close(&lock);
 *     rlk_posix_close(&redis);
 *
 * You hold the lock while rlk_is_held() is true, and no longer. That time counts on your own clock,
 * from before the first byte of the attempt leaves. It allows for the drift of clocks.
 *
 *   blocking            started                   what it does
 *   rlk_acquire         rlk_acquire_start         A  makes one attempt, or waits for the lock
 *   rlk_release         rlk_release_start         R  deletes the key if it has the lock's token
 *   rlk_extend          rlk_extend_start          E  adds time to the lease
 *   rlk_renew           rlk_renew_start           E  makes the lease end a TTL from now
 *   rlk_check           rlk_check_start           C  asks whether the key has the lock's token
 *   rlk_query           rlk_query_start           Q  asks who has the lock, and for how long
 *   rlk_force_release   rlk_force_release_start   F  deletes the key of any holder
 *   rlk_keep_alive      `auto_renew`              K  renews when a third of the TTL has passed
 *   rlk_cancel          the same                     ends the operation under way
 *   rlk_is_held, rlk_remaining_ms ...                answer from memory, without the network
 *
 * A blocking call waits (by env.wait) and returns the result. A started call returns RLK_PENDING,
 * and the result comes by rlk_client_next_event. Any other value that it returns is the result, and
 * no event follows. One lock has one operation at a time: a second one is RLK_E_STATE.
 *
 *   result          A R E C Q F K   meaning, and what holds afterwards
 *   RLK_OK          x x x x x x x   it worked; on several nodes: on a quorum
 *   RLK_BUSY        x . . . . . .   RLK_TRY: another holder was seen
 *   RLK_TIMED_OUT   x . . . . . .   another holder was seen, and the deadline came
 *   RLK_CANCELLED   x . x x x x .   by rlk_cancel; nothing is left of the operation
 *   RLK_NOT_OWNER   . x x x . . x   the key does not have the lock's token: not held
 *   RLK_NOT_HELD    . x x x x . x   nothing was held; of a query: nobody has the lock
 *   RLK_GONE        . x . . . . .   as RLK_NOT_OWNER, but an earlier attempt of this release got no
 *                                   reply, and may have deleted the key
 *   RLK_LOST        . x x x . . x   the lease had ended before the call, or before its answer
 *   RLK_UNKNOWN     x x x . . x .   a command was sent and not answered: each call says what holds
 *   an error, < 0   x x x x x x x   the last error of transport, protocol or server. No quorum
 *                                   answered and no error came: RLK_E_RESPONSE_TIMEOUT. Wrong use:
 *                                   RLK_E_STATE, RLK_E_CLOSED, RLK_E_FORKED, RLK_E_ARGUMENT,
 *                                   RLK_E_DANGLING, RLK_E_WAIT (blocking, and env.wait is NULL)
 *
 * Defaults: 0 in a field is its default. RLK_DEFAULT in an argument is the configuration's value.
 *
 * Threads: a client, with its connections and locks, belongs to one thread at a time.
 *
 * Other headers: event.h has the events. posix.h opens clients on sockets. election.h elects a
 * leader. trace.h counts and traces. scoped.h ends a lock with its block. transfer.h moves a lease
 * to another client.
 */
#ifndef RESPLOCK_LOCK_H
#define RESPLOCK_LOCK_H

#include "resplock/event.h"
#include "resplock/lock_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Arguments and limits ---------------------------------------------------------------- */

#define RLK_TRY     INT64_C(0)  /* of a wait: one attempt */
#define RLK_FOREVER INT64_MAX   /* of a wait: no deadline */
#define RLK_DEFAULT INT64_C(-1) /* of a wait or TTL: the configuration's */

/* Default time limits, in milliseconds. net.h has those of a connection. */
#define RLK_TTL_MS               30000 /* TTL of the key */
#define RLK_WAIT_MS              30000 /* deadline of an acquire with RLK_DEFAULT */
#define RLK_NODE_TIMEOUT_MAX_MS  2000  /* one attempt on a node: a third of the TTL, at most this */
#define RLK_OPERATION_TIMEOUT_MS 5000  /* all other operations, and an acquire with RLK_TRY */
#define RLK_SETTLE_TIMEOUT_MS    2000  /* after the deadline, until the outcome is settled */
/* Pause between attempts, where the server does not notify waiters (no RESP3, tracking refused, or
 * `no_tracking`), or after an error: a random time between these. */
#define RLK_RETRY_MIN_MS 50
#define RLK_RETRY_MAX_MS 250
/* A push can get lost. So a waiter without a notification rechecks the key after a random time,
 * from a fifth of this up to it. */
#define RLK_RECHECK_MAX_MS 5000
/* A lock that is held for this time is watched: the library compares the key once. From then on the
 * server notifies of a deletion at once, where it notifies of changes. The compare finds an earlier
 * deletion. A lock that is released earlier costs nothing for it. */
#define RLK_WATCH_AFTER_MS 100
#define RLK_REPORT_MS      10000 /* between reports of a wait without a deadline */
#define RLK_DRIFT_PPM      10000 /* drift: 1 % of the time in question, and ... */
#define RLK_DRIFT_MS       2     /* ... 2 ms: the bound of Redlock and node-redlock */

/* A token is its prefix, of up to RLK_PREFIX_MAX bytes, and 40 hex digits. */
#define RLK_TOKEN_DIGITS 40
#define RLK_TOKEN_MAX    (RLK_PREFIX_MAX + RLK_TOKEN_DIGITS)

/* Least transmit buffer for keys of key_len bytes and token prefixes of prefix_len bytes: two
 * commands with the key (query), or an EVALSHA with its arguments. */
#define RLK_TX_MIN_PREFIX(key_len, prefix_len) (160 + 2 * (key_len) + (prefix_len))
#define RLK_TX_MIN(key_len)                    RLK_TX_MIN_PREFIX(key_len, 0)

/* Locks of one client that wait for one key form a wait queue. Only its first asks the server. A
 * release hands the key to the next at once. After this number of consecutive local hand-offs the
 * queue pauses for a retry time. Then other processes have their turn. */
#define RLK_MAX_HANDOFFS 16

/* ---- Client ------------------------------------------------------------------------------ */

typedef struct rlk_client_config {
    rlk_env env;
    int64_t operation_timeout_ms;
    int64_t settle_timeout_ms;
    uint32_t drift_ppm; /* of the two clocks against each other, parts per million */
    int64_t drift_ms;
    uint32_t max_handoffs; /* at most 254 */
    /* The index of keys that locks wait for or hold: a power of two of buckets, in memory that
     * outlives the client. NULL: RLK_BUCKETS in the client, ample for some hundred keys. */
    rlk_lock **buckets;
    size_t buckets_len;
} rlk_client_config;

/* Bits of rlk_client_warnings. */
#define RLK_WARN_EVEN  0x01u /* an even number of nodes tolerates no more failures than one less */
#define RLK_WARN_ALIAS 0x02u /* two nodes turned out to be one server (same run_id) */

/* Sets what a connection needs from the lock layer: its calls and scripts. If you make connections
 * (bare ports), call it on each config, before rlk_conn_init. rlk_posix_open does it for you. */
RLK_API void rlk_client_conn_config(rlk_client *client, rlk_conn_config *config);

/*
 *     rlk_client_init(client, conns, nodes, config)
 *
 * Makes a client over connections that you initialised (see above). They outlive the client, and
 * are the nodes of a quorum of n/2 + 1. On POSIX use rlk_posix_open instead. The last argument of
 * this macro, as of rlk_lock_init, may be a compound literal, commas and all.
 * Returns RLK_OK, RLK_E_NODES, RLK_E_SAME_NODE, RLK_E_TIMES, RLK_E_CLOCK, RLK_E_LAYOUT, or
 * RLK_E_ARGUMENT: now_ms or random missing, max_handoffs or buckets_len out of bounds.
 */
#define rlk_client_init(client, conns, nodes, ...)                                                 \
    rlki_client_init((client), (conns), (nodes), (__VA_ARGS__), sizeof(rlk_client), RLK_LAYOUT)
RLK_API rlk_result rlki_client_init(rlk_client *client, rlk_conn *const *conns, size_t nodes,
                                    const rlk_client_config *config, size_t size, uint32_t layout);

/* Detaches every lock and closes the connections. Operations under way end as RLK_E_CLOSED, without
 * an event. It does not release locks that are held. Later calls on them return RLK_E_CLOSED. Of a
 * client on POSIX it leaves the descriptors open: rlk_posix_close is for that, also afterwards. */
RLK_API void rlk_client_close(rlk_client *client);

/* Returns when to call rlk_client_tick: the earliest deadline of locks and connections, or
 * RLK_NEVER. It leaves out the deadlines of drivers. */
RLK_API int64_t rlk_client_deadline(const rlk_client *client);

/* Does what is due now. Deadlines come first: call it before you feed input. */
RLK_API void rlk_client_tick(rlk_client *client);

/* Takes the next event; false if there is none. */
RLK_API bool rlk_client_next_event(rlk_client *client, rlk_event *event);

/*
 * Connects anew on all connections, also out of fatal states, and resolves names anew. Commands in
 * flight are lost and fenced; their operations go on. Locks that are held are checked on the new
 * connections: RLK_EV_LOST where the key is not theirs. Does not wait: the client connects while
 * you serve it, or in the next blocking call.
 */
RLK_API rlk_result rlk_client_reset(rlk_client *client);

/*
 * Connects to every node, and returns whether each can do what a lock needs: for the start of a
 * program. Sends a handshake, and nothing about a key. Blocks, for at most operation_timeout_ms. A
 * failed attempt ends it.
 *   RLK_OK         every node is ready. rlk_client_error() then has in words what one can't do, as
 *                  far as is known, or "": notify waiters (they retry after pauses), be fenced
 *                  (more results are RLK_UNKNOWN), serve every key (a node of a cluster)
 *   RLK_CANCELLED  interrupted
 *   an error       of the first node that is not ready: unreachable, password, a missing command
 *                  (RLK_E_UNSUPPORTED names it), RLK_E_READONLY of a replica where HELLO says so
 * On a quorum a lock may work although one node has an error. A check needs no key. So a command
 * that the ACL user may not run within the script shows at its first use (RLK_E_NOPERM).
 */
RLK_API rlk_result rlk_client_check(rlk_client *client);

/* Return the number of nodes; the connection of one (net.h); a set of RLK_WARN_*. */
RLK_API size_t rlk_client_nodes(const rlk_client *client);
RLK_API rlk_conn *rlk_client_conn(rlk_client *client, size_t node);
RLK_API unsigned rlk_client_warnings(const rlk_client *client);

/*
 * Returns what is wrong with the client, in words, or "": why open or rlk_lock_init refused; why a
 * connection is down; the error that ended the last operation of any lock, or keeps one waiting;
 * after rlk_client_check what a server can't do. The text is in the client's memory, until the next
 * call of it or of rlk_lock_error. With RLK_NO_TEXT it is number and node only: "-401 @0".
 */
RLK_API const char *rlk_client_error(rlk_client *client);

/* ---- Lock -------------------------------------------------------------------------------- */

/* What one node says of the key. */
typedef struct rlk_holder {
    rlk_result result;             /* RLK_OK: answered; RLK_PENDING: not (yet); else the error */
    int64_t ttl_ms;                /* remaining; -1 without expiry, -2 no such key */
    int64_t answered_ms;           /* when it said so, by the client's clock */
    uint32_t token_len;            /* more than RLK_TOKEN_MAX: the token is cut, or left out */
    bool ours;                     /* it is the token of this lock */
    char token[RLK_TOKEN_MAX + 1]; /* terminated; may contain NUL if somebody put one there */
} rlk_holder;

typedef struct rlk_lock_config {
    int64_t ttl_ms;
    int64_t wait_ms;         /* of an acquire with RLK_DEFAULT: a time */
    int64_t node_timeout_ms; /* one attempt on one node */
    int64_t retry_min_ms;
    int64_t retry_max_ms;
    int64_t recheck_max_ms;
    int64_t watch_after_ms; /* from the acquire until the key is watched, which costs one command a
                               node; up to RLK_TIME_LIMIT_MAX, else RLK_E_TIMES. 1: at once.
                               Default: RLK_WATCH_AFTER_MS */
    int64_t max_hold_ms; /* renewals (auto_renew, rlk_keep_alive) end this time after the acquire,
                            and the lease with them: RLK_LOST. From the TTL to RLK_TTL_MAX, else
                            RLK_E_TIMES; default: no limit */
    int64_t report_ms;   /* between reports (RLK_EV_WAITING, env.waiting) of each wait; default:
                            RLK_REPORT_MS of a wait without a deadline, none of another */

    const char *token_prefix; /* of the token, such as a host name, for people who read the key;
                                 outlives the lock. NULL: none */
    rlk_holder *holders; /* of rlk_leader (election.h): rlk_client_nodes() entries, for what the
                            nodes said last; outlives the lock. NULL: none */
    void *user;          /* comes back with every event */
    bool auto_renew;     /* renews in the background, when a third of the TTL has passed, at
                            each call of the library: rlk_posix_service, or a blocking call on
                            the client. Call one at least that often */
} rlk_lock_config;

/* Returns all defaults, for languages without designated initialisers. */
RLK_API rlk_lock_config rlk_lock_config_default(void);

/*
 *     rlk_lock_init(lock, client, key, config)
 *     rlk_lock_init_n(lock, client, key, key_len, config)
 *
 * Ties a lock to a client and a key, without the network. config NULL: all defaults. Close a lock
 * before you initialise it again. `key` (any bytes; rlk_lock_init: up to its NUL) and token_prefix
 * are not copied: they outlive the lock, unchanged. Each command checks that. One with another key
 * never leaves, its operation ends with RLK_E_DANGLING, and an undo leaves the key to its TTL.
 * Returns RLK_OK; RLK_E_TTL: out of range, or not above drift + node time; RLK_E_KEY: empty, or too
 * long for the transmit buffer of a connection (RLK_TX_MIN_PREFIX); RLK_E_PREFIX, RLK_E_TIMES,
 * RLK_E_ARGUMENT, RLK_E_LAYOUT, RLK_E_CLOSED, RLK_E_FORKED. After an error the lock is closed.
 */
#define rlk_lock_init(lock, client, key, ...)                                                      \
    rlki_lock_init((lock), (client), (key), (__VA_ARGS__), sizeof(rlk_lock), RLK_LAYOUT)
#define rlk_lock_init_n(lock, client, key, key_len, ...)                                           \
    rlki_lock_init_n((lock), (client), (key), (key_len), (__VA_ARGS__), sizeof(rlk_lock),          \
                     RLK_LAYOUT)
RLK_API rlk_result rlki_lock_create(rlk_lock *lock, rlk_client *client, const char *key,
                                    const rlk_lock_config *config, size_t size, uint32_t layout);
RLK_API rlk_result rlki_lock_create_n(rlk_lock *lock, rlk_client *client, const void *key,
                                      size_t key_len, const rlk_lock_config *config, size_t size,
                                      uint32_t layout);
RLK_API void rlki_lock_auto_renew(rlk_lock *lock);

/* Inline, so that a program whose configurations have no auto_renew does not link the renewals in
 * the background. The compiler knows a configuration that is constant, or made in the call. */
static inline rlk_result rlki_lock_init(rlk_lock *lock, rlk_client *client, const char *key,
                                        const rlk_lock_config *config, size_t size, uint32_t layout)
{
    bool auto_renew = config != NULL && config->auto_renew;
    rlk_result result = rlki_lock_create(lock, client, key, config, size, layout);

    if (auto_renew && result == RLK_OK)
        rlki_lock_auto_renew(lock);
    return result;
}

static inline rlk_result rlki_lock_init_n(rlk_lock *lock, rlk_client *client, const void *key,
                                          size_t key_len, const rlk_lock_config *config,
                                          size_t size, uint32_t layout)
{
    bool auto_renew = config != NULL && config->auto_renew;
    rlk_result result = rlki_lock_create_n(lock, client, key, key_len, config, size, layout);

    if (auto_renew && result == RLK_OK)
        rlki_lock_auto_renew(lock);
    return result;
}

/* Unties the lock, in any state; O(nodes). An operation under way ends without an event. Pending
 * events are dropped. Nothing is sent that is not encoded yet. It does not release. RLK_OK: the
 * token is not on a quorum, and never will be. RLK_UNKNOWN: an orphan is possible, which blocks
 * others until its TTL ends; also of a held lock. RLK_E_FORKED: in a child, and untied there. */
RLK_API rlk_result rlk_lock_close(rlk_lock *lock);

/* ---- Operations: the table at the top has their results ---------------------------------- */

/*
 * Acquires. wait_ms: RLK_TRY for one attempt; a time; RLK_FOREVER; RLK_DEFAULT. Locks of a client
 * that wait for one key have it in the order in which they came. A single attempt does not queue.
 * The deadline limits the attempts. The result comes within settle_timeout_ms after it. With
 * RLK_TRY the deadline is operation_timeout_ms.
 *   RLK_UNKNOWN  the token may be in the key, until the TTL at the latest. The undo goes on while
 *                you serve the client. You may acquire again
 *   errors       the last one, if no holder was seen until the deadline. Fatal errors come at once.
 *                With RLK_TRY each does, after one more attempt where the stream that ended is
 *                older than the call, and fenced. RLK_E_STATE: held already. RLK_E_TIMES: a
 *                negative wait. RLK_E_ENTROPY
 * Unless the result is RLK_OK, RLK_UNKNOWN or RLK_E_STATE, the token is not in the key and never
 * will be. An RLK_EV_LOST of the lease before, not pulled yet, is dropped.
 */
RLK_API rlk_result rlk_acquire(rlk_lock *lock, int64_t wait_ms);
RLK_API rlk_result rlk_acquire_start(rlk_lock *lock, int64_t wait_ms);

/*
 * Releases. The lock is not held from the call on, whatever the result. Only RLK_E_STATE and
 * RLK_E_WAIT begin nothing. A second after the last call rlk_release first reads what has come. A
 * loss that it reads has the result that the release itself would have: RLK_NOT_OWNER.
 *   RLK_LOST     the cleaning-up of what is left goes on; the call waited for it, for at most
 *                settle_timeout_ms
 *   RLK_UNKNOWN  no answer in time, or an earlier SET may still execute; cleaning up goes on
 *   errors       the server refused: the key may stay until its TTL
 */
RLK_API rlk_result rlk_release(rlk_lock *lock);
RLK_API rlk_result rlk_release_start(rlk_lock *lock);

/*
 * Extends by added_ms: the new expiry is the old one plus added_ms, at most now + RLK_TTL_MAX. The
 * server only raises an expiry, so that a repeat is harmless, and never creates the key anew. After
 * RLK_OK, rlk_remaining_ms() has grown. After RLK_NOT_OWNER, RLK_EV_LOST follows.
 *   RLK_UNKNOWN  held until the old deadline; the key may live longer
 *   errors       held until the old deadline, and nothing is unanswered. RLK_E_TTL: added_ms is
 *                below 1, or nothing is left below the limit
 */
RLK_API rlk_result rlk_extend(rlk_lock *lock, int64_t added_ms);
RLK_API rlk_result rlk_extend_start(rlk_lock *lock, int64_t added_ms);

/*
 * Renews: the new expiry is now + ttl_ms, or RLK_DEFAULT. Results are as of rlk_extend. RLK_E_TTL
 * also means that ttl_ms is not above drift + node time. If the lease would not get longer, only
 * the local deadline moves, to that time, and nothing is sent: the key expires later than that, or
 * a release deletes it.
 */
RLK_API rlk_result rlk_renew(rlk_lock *lock, int64_t ttl_ms);
RLK_API rlk_result rlk_renew_start(rlk_lock *lock, int64_t ttl_ms);

/*
 * Renews by the configured TTL, if a third of it has passed, up to max_hold_ms. Else it only reads
 * what the server has sent, and checks the key if that changed. Call it at least every third of the
 * TTL: there are no threads. Takes node_timeout_ms at most. Returns RLK_OK while the lock is held,
 * even if a renewal failed: the next call tries again.
 */
RLK_API rlk_result rlk_keep_alive(rlk_lock *lock);

/* Checks whether the key has the lock's token, by a write command without effect, which a replica
 * refuses. After RLK_NOT_OWNER the lock is not held. */
RLK_API rlk_result rlk_check(rlk_lock *lock);
RLK_API rlk_result rlk_check_start(rlk_lock *lock);

/* Reads from every node who has the lock, and for how long. `holders` has space for `cap` >=
 * rlk_client_nodes() entries, and stays in use until the result. RLK_OK: one token has a quorum.
 * RLK_NOT_HELD: a quorum answered, and no token has one. */
RLK_API rlk_result rlk_query(rlk_lock *lock, rlk_holder *holders, size_t cap);
RLK_API rlk_result rlk_query_start(rlk_lock *lock, rlk_holder *holders, size_t cap);

/* Deletes the key of any holder: for an operator who frees a lock that is stuck. Its holder
 * learns at its next renewal or check. RLK_OK: a quorum answered, also if nothing was there.
 * RLK_E_STATE: this lock is held, or busy. */
RLK_API rlk_result rlk_force_release(rlk_lock *lock);
RLK_API rlk_result rlk_force_release_start(rlk_lock *lock);

/*
 * Ends the operation under way; RLK_NOT_HELD: there is none. The result of that operation comes as
 * an event, or from the blocking call (rlk_cancel from within env.wait):
 *   acquire                 it is undone, then RLK_CANCELLED; RLK_UNKNOWN after settle_timeout_ms
 *   release                 RLK_UNKNOWN; cleaning up goes on
 *   extend, renew           RLK_UNKNOWN if sent, else RLK_CANCELLED; still held
 *   force_release           RLK_UNKNOWN if sent, else RLK_CANCELLED
 *   check, query            RLK_CANCELLED
 */
RLK_API rlk_result rlk_cancel(rlk_lock *lock);

/* ---- Questions, answered from memory ------------------------------------------------------ */

/* Returns true while the lock is held, by reading the clock now; false in a forked child. */
RLK_API bool rlk_is_held(const rlk_lock *lock);

/* Returns the time of the client's clock (env.now_ms) until which the lock is held. If it is not
 * held, or in a forked child: INT64_MIN, which no time precedes. Reads no clock. You may pass the
 * number to other threads; a release or a loss makes it void, a renewal calls for a new one. */
RLK_API int64_t rlk_valid_until_ms(const rlk_lock *lock);

/* Returns true if `now_ms`, a time of the client's clock, precedes rlk_valid_until_ms(). */
RLK_API bool rlk_is_held_at(const rlk_lock *lock, int64_t now_ms);

/* Returns the time for which it is still held; 0 if it is not. */
RLK_API int64_t rlk_remaining_ms(const rlk_lock *lock);

/* Returns the time since the answer that acquired it; 0 if it is not held. */
RLK_API int64_t rlk_held_ms(const rlk_lock *lock);

/* Returns the operation under way, or RLK_OP_NONE. */
RLK_API rlk_operation rlk_lock_operation(const rlk_lock *lock);

/* Returns why the last lease ended without a release, or why rlk_release did not find the token.
 * RLK_LOST_NOT while the lock is held, and after a release that worked. Until the next acquire. */
RLK_API rlk_lost_cause rlk_lock_lost_cause(const rlk_lock *lock);

/* Returns the name of a cause, "DELETED"; "?" if it is none. With RLK_NO_TEXT "". */
RLK_API const char *rlk_lost_cause_name(rlk_lost_cause cause);

/* Writes the token in use, terminated, if it is shorter than `cap`: RLK_TOKEN_MAX + 1 bytes are
 * always enough. Returns its length; 0 before the first acquire. */
RLK_API size_t rlk_lock_token(const rlk_lock *lock, char *out, size_t cap);

/*
 * Returns the last result of this lock in words: node, command, key, what the server said, the
 * remedy; or what has happened to its lease since: a renewal in the background, a loss. While an
 * acquire goes on: how long it has waited, and why. The text is in the client's memory, until the
 * next call of it or of rlk_client_error.
 */
RLK_API const char *rlk_lock_error(rlk_lock *lock);

#ifdef __cplusplus
}
#endif

#endif
