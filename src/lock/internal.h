/* SPDX-License-Identifier: MIT
 *
 * What the files of the lock room share.
 *
 *   client.c     connections, clock, timers, the connection's calls
 *   events.c     outcomes waiting to be pulled
 *   watch.c      who is to be told that a key changed; the row of those that wait for one
 *   seat.c       one lock on one node: commands out, verdicts in
 *   operation.c  what all operations share: begin, finish, timers, loss
 *   acquire.c    rounds
 *   turn.c       when to leave a lock to others
 *   hold.c       extend, renew, check
 *   renew.c      renewals in the background
 *   release.c    release and the undo that goes on behind an operation
 *   query.c      query and force_release
 *   lock.c       the public calls
 *   election.c   leading and following
 *   blocking.c   their blocking forms: one loop
 *   transfer.c   a lease that moves to another lock
 *   check.c      what the servers can do
 *
 * Calls go down this list only through the two entrances of operation.c, rlki_operation_step (a
 * verdict or a connection changed) and rlki_lock_timer (a deadline came).
 */
#ifndef RLKI_LOCK_INTERNAL_H
#define RLKI_LOCK_INTERNAL_H

#include "resplock/lock.h"

#include <string.h>

/* Where a thing that is not initialised, or closed, is: all bytes zero. */
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
    RLKI_PHASE_ROW,   /* behind another lock of the client that waits for the same key */
    RLKI_PHASE_WATCH, /* until a quorum of nodes is ready, and not known to be held */
    RLKI_PHASE_ROUND, /* SETs are out */
    RLKI_PHASE_PAUSE, /* before the next round */
    RLKI_PHASE_SETTLE /* outcome decided; undos are out */
};

/* Flags of a lock. */
#define RLKI_LOCK_TRY         0x01u /* acquire: one attempt */
#define RLKI_LOCK_HOLDER      0x02u /* acquire: somebody else was seen to have it */
#define RLKI_LOCK_MAYBE_SENT  0x04u /* a raise or DEL was sent whose reply will never come */
#define RLKI_LOCK_FORCE_LOST  0x08u /* release: of a lock that was lost before */
#define RLKI_LOCK_QUORUM_DOES 0x10u /* query: nodes that are late are not waited for */
#define RLKI_LOCK_BACKGROUND  0x20u /* renew: nobody called for it */
#define RLKI_LOCK_SPREAD      0x40u /* acquire: has paused since a quorum came free */

/* Options of a lock: they outlast its operations. */
#define RLKI_OPTION_RENEW     0x01u /* auto_renew */
#define RLKI_OPTION_LEAD      0x02u /* rlk_campaign_start */
#define RLKI_OPTION_UNSETTLED 0x04u /* an RLK_EV_SETTLED is due */
#define RLKI_OPTION_SETTLED   0x08u /* ... and says that our token is not in the key */
#define RLKI_OPTION_RENEWED   0x10u /* by itself, well or not, since its last result */
#define RLKI_OPTION_FELL      0x20u /* lost by itself since then */

/* Place of a lock in the client's index. */
enum {
    RLKI_PLACE_NONE,
    RLKI_PLACE_HOLDER,
    RLKI_PLACE_FIRST, /* of those that wait for the key */
    RLKI_PLACE_ROW    /* behind the first */
};

/* Pending events of a lock, in the order in which they are pulled. */
#define RLKI_EVENT_RESULT  0x01u
#define RLKI_EVENT_SETTLED 0x02u
#define RLKI_EVENT_RENEWAL 0x04u
#define RLKI_EVENT_LOST    0x08u
#define RLKI_EVENT_WAITING 0x10u
#define RLKI_EVENT_ALL     0x1fu
#define RLKI_EVENT_LINKED  0x80u /* in the client's list */

/* Commands of a seat: the tag of its request. */
enum {
    RLKI_NO_COMMAND,
    RLKI_SET,
    RLKI_SET_NIL,  /* SET was answered nil, the PTTL behind it was not yet */
    RLKI_SET_DONE, /* SET was answered; the PTTL behind it only has the server tell of changes */
    RLKI_PROBE,
    RLKI_RAISE,
    RLKI_CHECK,
    RLKI_RELEASE,
    RLKI_QUERY,
    RLKI_DEL
};

/* What a node has said in the operation under way. */
enum {
    RLKI_NONE,     /* nothing yet */
    RLKI_YES,      /* done */
    RLKI_NO,       /* somebody else has it (SET); not our token (scripts, first answer) */
    RLKI_NO_AFTER, /* not our token, after an earlier release whose reply was lost */
    RLKI_ERROR,    /* it refused, or can't be reached */
    RLKI_SKIPPED   /* not asked in this round */
};

/* What a PTTL can't say. */
#define RLKI_TTL_UNKNOWN (-3)

/* Flags of a seat. */
#define RLKI_SEAT_POSSIBLE 0x01u /* our token may be on the node */
#define RLKI_SEAT_PRESENT  0x02u /* it is, or was when last heard */
#define RLKI_SEAT_FENCE    0x04u /* a SET of it was lost with its stream; not settled yet */
#define RLKI_SEAT_REPEATED 0x08u /* a release of it was sent whose reply was lost */
#define RLKI_SEAT_NOSCRIPT 0x10u /* scripts were loaded again for the command under way */
#define RLKI_SEAT_RETRY    0x20u /* the command was refused, or held back; at lock->retry_ms again */
#define RLKI_SEAT_DOUBT    0x40u /* whether an orphan is left can't be known */
#define RLKI_SEAT_PROBED   0x80u /* acquire: compared already in this round */

/* ---- client.c ---- */

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

/* True of a connection that will not come back by itself. */
static inline bool rlki_conn_is_over(const rlk_conn *conn)
{
    rlk_conn_state state = rlk_conn_get_state(conn);
    return state == RLK_CONN_FATAL || state == RLK_CONN_CLOSED;
}

/* True unless this process inherited the client by fork. */
bool rlki_client_same_process(const rlk_client *client);

/* RLK_OK of a client that is open, in the process that opened it. */
rlk_result rlki_client_enter(const rlk_client *client);

/* Samples the clock; never goes back. */
int64_t rlki_client_now(rlk_client *client);

/* By how much a server's clock and ours may differ after horizon_ms. */
uint32_t rlki_client_drift(const rlk_client *client, uint32_t horizon_ms);

/* A random number from min to max, for pauses: not secret. */
uint32_t rlki_client_jitter(rlk_client *client, uint32_t min, uint32_t max);

/* If the stream of a node is not fenced, remembers that all earlier ones may still execute. */
void rlki_client_note_fence(rlk_client *client, unsigned node);

/* The connection that a seat uses: the route. Constant, one node a seat, for one server and for a
 * quorum of independent ones. */
rlk_conn *rlki_route(const rlk_lock *lock, unsigned seat);

/* ---- What is counted and traced; nothing at all with RLK_NO_TRACE ---- */

#ifdef RLK_NO_TEXT
#define RLKI_WORD(word) ""
#else
#define RLKI_WORD(word) (word)
#endif

#ifdef RLK_NO_TRACE
#define RLKI_COUNT(client, counter)
#define RLKI_TRACE(lock, kind, node, what, number)
#else
#define RLKI_COUNT(client, counter) ((client)->stats.counter++)
#define RLKI_TRACE(lock, kind, node, what, number)                                                 \
    do {                                                                                           \
        if ((lock)->client->env.trace)                                                             \
            rlki_trace((lock), (kind), (int)(node), (what), (int64_t)(number));                    \
    } while (0)
void rlki_trace(const rlk_lock *lock, rlk_trace_kind kind, int node, const char *what,
                int64_t number);
void rlki_trace_conn(const rlk_client *client, const rlk_conn *conn, unsigned node, bool step,
                     const char *what);
#endif

/* ---- limits.c ---- */

/* Remembers which number was refused, and from where to where it fits (`most` UINT32_MAX: no
 * bound); a NULL name: none was. */
#ifdef RLK_NO_TEXT
#define RLKI_REFUSE(client, name, number, least, most)                                             \
    ((void)(client), (void)(name), (void)(number))
#else
#define RLKI_REFUSE(client, name, number, least, most)                                             \
    rlki_refuse((client), (name), (int64_t)(number), (uint32_t)(least), (uint32_t)(most))
void rlki_refuse(rlk_client *client, const char *name, int64_t number, uint32_t least,
                 uint32_t most);
/* The least TTL that outlasts drift and one try on one node. node_timeout_ms 0: the default, which
 * follows the TTL. */
uint32_t rlki_ttl_least(const rlk_client *client, int64_t node_timeout_ms);
struct text_out;
/* What the client refused last; what the last handshake of a connection lacked; what an operation
 * would have taken. */
void rlki_text_refusal(struct text_out *out, const rlk_client *client);
void rlki_text_conn_limit(struct text_out *out, const rlk_conn *conn, rlk_result error);
void rlki_text_lock_limit(struct text_out *out, const rlk_lock *lock, unsigned operation,
                          rlk_result result);
#endif
/* As rlki_limit_take. */
bool rlki_client_take_limit(rlk_client *client, uint32_t *out_ms, int64_t value_ms,
                            uint32_t default_ms, const char *name);

/* ---- watch.c ---- */

/* True of two locks of one client for the same key. */
static inline bool rlki_lock_same_key(const rlk_lock *a, const rlk_lock *b)
{
    return a->key_hash == b->key_hash && a->key_len == b->key_len &&
           memcmp(a->key, b->key, a->key_len) == 0;
}

/* The client's lock that holds the key of this one by that token; NULL: none. */
const rlk_lock *rlki_watch_owner(const rlk_lock *lock, const char *token, size_t len);
/* True if a lock of the client holds the key of this one, or waits for it and has seen a holder. */
bool rlki_watch_is_held(const rlk_lock *lock);
/* Hand-overs in a row, if `lock` has the key next without a pause: as many at least as `before`
 * counts, and (`handed`) the one from that lock to this. Whoever is the first counts for the row,
 * so that it makes no difference which lock's word it is that wakes it. */
void rlki_watch_count(rlk_lock *lock, const rlk_lock *before, bool handed);
/* Counts anew: from those of this client that hold the key, if any. */
void rlki_watch_recount(rlk_lock *lock);
/* Stands in the row of those that wait for the key; true if it is the first. */
bool rlki_watch_wait(rlk_lock *lock);
/* Is held from now on; the next in the row is the first. */
void rlki_watch_hold(rlk_lock *lock);
/* The lock that asks the server for this waiter: itself, or the first of its row. */
const rlk_lock *rlki_watch_asker(const rlk_lock *lock);
/* Neither waits nor is held. */
void rlki_watch_leave(rlk_lock *lock);
/* A change to a key on a node, to the locks that wait for it, and unless it was `own` to those that
 * hold it. */
void rlki_watch_tell(rlk_client *client, unsigned node, uint32_t key_hash, rlk_cause cause,
                     const rlk_lock *own);
/* The same where it may have been any key. */
void rlki_watch_tell_all(rlk_client *client, unsigned node, rlk_cause cause);

/* ---- events.c ---- */

void rlki_event_raise(rlk_lock *lock, unsigned event);
/* Takes an event away without showing it (a blocking call returns it). */
void rlki_event_drop(rlk_lock *lock, unsigned event);

/* ---- token.c ---- */

/* Draws the random part anew, of which nothing is in doubt. False: no entropy. */
bool rlki_token_draw(rlk_lock *lock);
size_t rlki_token_len(const rlk_lock *lock);
/* Writes the token of a round: rlki_token_len bytes. */
void rlki_token_write(const rlk_lock *lock, uint32_t round, uint8_t *out);
/* Hash of the texts that a lock leaves where the caller has them: key and prefix. */
size_t rlki_token_texts(const rlk_lock *lock);

/* ---- seat.c ---- */

rlk_lock *rlki_seat_lock(rlk_seat *seat);
/* Our token is on the node, or may be, now or later. */
bool rlki_seat_has_token(const rlk_seat *seat);
/* It is not and never will be, and nothing is under way. */
bool rlki_seat_clean(const rlk_seat *seat);
/* Sends a command; the request must be idle. */
void rlki_seat_send(rlk_seat *seat, unsigned command);
/* Takes the command under way back; true if not a byte of it was sent. Its effect is then recorded
 * in the flags: an abandoned SET leaves the token POSSIBLE. */
bool rlki_seat_abandon(rlk_seat *seat);
/* The token of the seat is not wanted any more: sends the compare-and-delete behind whatever was
 * sent, if there is anything to undo. */
void rlki_seat_undo(rlk_seat *seat);

/* Until when the lock counts as held there: its expiry less drift. */
int64_t rlki_seat_until(const rlk_client *client, const rlk_seat *seat);

unsigned rlki_seat_encode(rlk_seat *seat, rlk_conn *conn, rlk_resp_writer *writer);
void rlki_seat_reply(rlk_seat *seat, const rlk_reply *reply, unsigned left);
void rlki_seat_lost(rlk_seat *seat, bool maybe_sent);
/* Sends again what was refused and waits for it, or refuses it where the lock's texts have changed.
 * No time is left behind: retry_ms is RLK_NEVER where nothing waits. */
void rlki_seats_retry(rlk_lock *lock);
/* Takes back raises and checks that wait for that: another operation comes first. */
void rlki_seats_forget_retries(rlk_lock *lock);

/* Names of a seat's command and of an operation, for texts. */
const char *rlki_command_name(unsigned command);
const char *rlki_operation_name(unsigned operation);

/* Verdicts of all seats, counted. */
typedef struct rlki_tally {
    uint8_t yes;
    uint8_t no; /* RLKI_NO */
    uint8_t no_after;
    uint8_t error;
    uint8_t pending; /* RLKI_NONE */
    uint8_t unclean; /* seats that are not clean, or in doubt */
    uint8_t doubt;
} rlki_tally;
rlki_tally rlki_tally_of(const rlk_lock *lock);

/* ---- operation.c ---- */

/* Common begin of every public call: the fork check, the clock, the lock's own deadlines. */
rlk_result rlki_lock_enter(rlk_lock *lock);
/* Begins an operation: no verdicts, trying until deadline_ms. */
void rlki_operation_begin(rlk_lock *lock, rlk_operation operation, int64_t deadline_ms);
/* True if the end of a node's stream, before which the operation under way began, is not its
 * answer. */
bool rlki_operation_tries_again(const rlk_lock *lock, unsigned node);
/* Ends it with a result, which becomes an event. */
void rlki_operation_finish(rlk_lock *lock, rlk_result result);
/* The lock's last result, of an operation that could not begin too. */
void rlki_operation_note(rlk_lock *lock, unsigned operation, rlk_result result);
/* The same, as an event. */
void rlki_operation_report(rlk_lock *lock, unsigned operation, rlk_result result);
/* Something changed: goes as far as it can. */
void rlki_operation_step(rlk_lock *lock);
/* Does what is due at client->now_ms. */
void rlki_lock_timer(rlk_lock *lock);
/* True if a caller's operation is under way. */
static inline bool rlki_operation_is_on(const rlk_lock *lock)
{
    return lock->operation != RLK_OP_NONE && !(lock->flags & RLKI_LOCK_BACKGROUND);
}
/* Sets the lock's one timer to the earliest of its deadlines. */
void rlki_lock_rearm(rlk_lock *lock);
/* Recomputes the lease's deadline from what the nodes confirmed. */
void rlki_lock_validate(rlk_lock *lock);
/* Expiry that the lock may claim, before drift. */
int64_t rlki_lock_expiry(const rlk_lock *lock);
/* Expiry that is claimed from now on, whatever the nodes have; asked for at t0_ms. */
void rlki_lock_claim(rlk_lock *lock, int64_t expiry_ms, int64_t t0_ms);
/* Undoes every seat, in the background too; the token is retired. */
void rlki_lock_undo(rlk_lock *lock);
/* Held no more without having been released: `result` is what an operation under way comes to. */
void rlki_lock_lose(rlk_lock *lock, rlk_result result);
/* Remembers an error for the operation's result and the text. */
void rlki_lock_note(rlk_lock *lock, unsigned seat, unsigned command, rlk_result error);
/* What an operation came to that no quorum answered: the last error, or that nobody answered. */
rlk_result rlki_lock_unanswered(rlk_lock *lock);
/* Errors that the same call meets again: fatal, and wrong use. */
bool rlki_is_final(rlk_result result);
/* The connection of a seat became ready, or failed. */
void rlki_lock_conn_changed(rlk_lock *lock, unsigned seat);

/* ---- lock.c ---- */

/* Beside the public operations: a renewal if one is due (RLK_OK: none is). */
#define RLKI_OP_KEEP (RLK_OP_FORCE_RELEASE + 1)

/* Every public operation in its started form. argument: the wait, the time added, the TTL, the
 * room in `holders`. */
rlk_result rlki_lock_start(rlk_lock *lock, unsigned operation, int64_t argument,
                           rlk_holder *holders);
/* The same of a lock that was entered; entered: what that came to. */
rlk_result rlki_lock_entered(rlk_lock *lock, rlk_result entered, unsigned operation,
                             int64_t argument, rlk_holder *holders);

/* ---- the operations ---- */

void rlki_acquire_begin(rlk_lock *lock, int64_t deadline_ms, bool one_try);
bool rlki_acquire_step(rlk_lock *lock);
void rlki_acquire_cancel(rlk_lock *lock);
/* What keeps a waiter from the lock. */
typedef struct rlki_reason {
    rlk_result result; /* RLK_BUSY: somebody has it; else an error */
    uint8_t node;      /* of the error */
    uint8_t command;
} rlki_reason;
rlki_reason rlki_acquire_reason(const rlk_lock *lock);
/* True while it tries: not any more once its outcome is decided. */
static inline bool rlki_acquire_is_trying(const rlk_lock *lock)
{
    return lock->operation == RLK_OP_ACQUIRE && lock->phase != RLKI_PHASE_SETTLE;
}
void rlki_acquire_conn_changed(rlk_lock *lock, rlk_seat *seat, bool ready);
/* The key changed on a node, as far as is known: to the first waiter. */
void rlki_acquire_woken(rlk_lock *lock, unsigned node, rlk_cause cause);
/* A node that said no to a SET, or was probed: ttl_ms is the key's, as PTTL says it, or
 * RLKI_TTL_UNKNOWN. */
void rlki_acquire_watch(rlk_lock *lock, rlk_seat *seat, int64_t ttl_ms);
/* An undo is over on a node. Unless it has deleted our token, the node has somebody's, perhaps: it
 * does not count as free before it was asked. */
void rlki_acquire_undone(rlk_lock *lock, rlk_seat *seat, bool deleted);
/* It is the first of the row now, and `before` was. */
void rlki_acquire_first(rlk_lock *lock, const rlk_lock *before);

/* ---- turn.c ---- */

/* True if others are known to want the lock too. */
bool rlki_turn_contended(const rlk_lock *lock);
/* Others were seen to. */
void rlki_turn_contend(rlk_lock *lock);
/* The lock was acquired, by the cause that it has. */
void rlki_turn_acquired(rlk_lock *lock);
/* Milliseconds for which an acquire that begins leaves the lock to others first. */
uint32_t rlki_turn_pause(rlk_lock *lock);
/* Milliseconds after which a waiter reacts to a change; 0: it has waited for long. */
uint32_t rlki_turn_patience(rlk_lock *lock);
/* An attempt came too late: another waiter had been faster. */
void rlki_turn_crowd(rlk_lock *lock);

void rlki_hold_begin(rlk_lock *lock, rlk_operation operation, int64_t target_ms,
                     int64_t deadline_ms);
bool rlki_hold_step(rlk_lock *lock);
void rlki_hold_cancel(rlk_lock *lock);
/* The key of a lock that is held changed on a node, as far as is known. */
void rlki_hold_touched(rlk_lock *lock, unsigned node);
/* Asks nodes where it did, as soon as they can be asked. */
void rlki_hold_look(rlk_lock *lock);

/* Expiry that a renewal by the TTL asks for, not beyond the cap of the hold time; RLK_NEVER:
 * nothing is to be gained. */
int64_t rlki_renew_target(const rlk_lock *lock);
/* True if the lease would last longer by it. */
bool rlki_renew_gains(const rlk_lock *lock, int64_t target_ms);
/* When a renewal of the lease as it is now is due: of a fresh one when a third of its TTL has
 * passed, or, where drift takes half of it or more, two thirds of what drift leaves. */
int64_t rlki_renew_at(const rlk_lock *lock);
/* Sets lock->wake_ms for the lease as it is now. */
void rlki_renew_schedule(rlk_lock *lock);
/* The same after it was set anew: not at once, if the lease is much shorter than the TTL (by drift,
 * a cap, the caller's or the server's word), but when a third of it is over. */
void rlki_renew_schedule_next(rlk_lock *lock);
/* lock->wake_ms has come. */
void rlki_renew_due(rlk_lock *lock);
/* A caller's operation has precedence. */
void rlki_renew_preempt(rlk_lock *lock);
/* The operation in the background came to `result`. */
void rlki_renew_finish(rlk_lock *lock, rlk_result result);

/* After its loss was heard: follows again, if it stands for election. */
void rlki_lead_again(rlk_lock *lock);

void rlki_release_begin(rlk_lock *lock);
bool rlki_release_step(rlk_lock *lock);

/* Nobody waits any more for what an earlier force_release sent: whoever waits for the key, or holds
 * it, is told now, for his command goes behind it. */
void rlki_query_forget(rlk_lock *lock);
void rlki_query_begin(rlk_lock *lock, rlk_operation operation);
bool rlki_query_step(rlk_lock *lock);
void rlki_query_cancel(rlk_lock *lock);
/* True if the operation under way is that of the command, RLKI_QUERY or RLKI_DEL. */
bool rlki_query_is_on(const rlk_lock *lock, unsigned command);
/* Nodes that have the same token as `holder`, itself among them; 0 if it has none. */
unsigned rlki_query_agree(const rlk_client *client, const rlk_holder *holders,
                          const rlk_holder *holder);
void rlki_query_reply(rlk_seat *seat, unsigned command, const rlk_reply *reply, unsigned left);

#endif
