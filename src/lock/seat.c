/* SPDX-License-Identifier: MIT
 *
 * A seat: one lock on one node. It puts commands on the node's connection, at most one at a time,
 * and turns what becomes of them into a verdict and into what is known of our token there:
 *
 *             SET sent                  OK, or compared: ours
 *   absent ------------> POSSIBLE ------------------------------> POSSIBLE + PRESENT
 *     ^                     |  nil, refused, compared: not ours          |
 *     +---------------------+                                            |
 *     +------------------------------------------------------------------+
 *               compare-and-delete answered; compared: not ours
 *
 * A SET that is sent and not answered carries the flag FENCE and the number of its stream. What is
 * answered later on that stream settles it, because a server executes a stream in order. What is
 * sent on a later stream doesn't, unless the connection was fenced in between: if not, the SET is
 * `loose`: it may execute at any later time, and a compare that says "not ours" proves nothing
 * (rule 5 of docs/correctness.md). A compare that says "ours" uses one loose SET up, for nothing
 * else can have put the token there. A loose SET that is left when the token is deleted is a DOUBT:
 * an orphan is possible, and nobody can tell. It lasts until the lock draws another random part.
 *
 * A command leaves only with the key and the token that it is to have: where the caller's texts
 * have changed since init, it is answered RLK_E_DANGLING here, as by a server that refuses for
 * good. What is on the node stays there until its TTL: after an undo that is a DOUBT too.
 *
 * Requests are   idle -> queued (send list) -> sent (ring) -> idle by reply or loss;
 * an abandoned one leaves its entry in the ring, ownerless, so its reply finds nobody, and what is
 * sent afterwards on the same stream comes behind it.
 */
#include "../net/condemn.h"
#include "../net/error.h"
#include "internal.h"
#include "scripts.h"
#include "validity.h"

#include <string.h>

rlk_lock *rlki_seat_lock(rlk_seat *seat)
{
    uint8_t *first = (uint8_t *)(seat - seat->index);
    return (rlk_lock *)(void *)(first - offsetof(rlk_lock, seats));
}

static void seat_set(rlk_seat *seat, unsigned flags)
{
    seat->flags = (uint8_t)(seat->flags | flags);
}

static void seat_clear(rlk_seat *seat, unsigned flags)
{
    seat->flags = (uint8_t)(seat->flags & ~flags);
}

bool rlki_seat_has_token(const rlk_seat *seat)
{
    unsigned there = RLKI_SEAT_POSSIBLE | RLKI_SEAT_PRESENT | RLKI_SEAT_FENCE;
    return seat->flags & there || seat->loose > 0;
}

bool rlki_seat_clean(const rlk_seat *seat)
{
    return seat->request.state == RLK_REQUEST_IDLE && !rlki_seat_has_token(seat);
}

static rlk_conn *seat_conn(rlk_seat *seat)
{
    return rlki_route(rlki_seat_lock(seat), seat->index);
}

static void seat_submit(rlk_seat *seat, unsigned command)
{
    seat->request.tag = (uint8_t)command;
    rlk_conn_submit(seat_conn(seat), &seat->request, rlki_seat_lock(seat)->client->now_ms);
}

/* It is not sent again. The last one of the lock takes the time with it: else the next operation's
 * command would be sent again at that time, and not at its own. */
static void seat_drop_retry(rlk_seat *seat)
{
    rlk_lock *lock = rlki_seat_lock(seat);
    unsigned waiting = 0;
    unsigned i;
    if (!(seat->flags & RLKI_SEAT_RETRY))
        return;
    seat_clear(seat, RLKI_SEAT_RETRY);
    for (i = 0; i < rlki_nodes(lock->client); i++)
        waiting |= lock->seats[i].flags & RLKI_SEAT_RETRY;
    if (waiting == 0)
        lock->retry_ms = RLK_NEVER;
}

void rlki_seat_send(rlk_seat *seat, unsigned command)
{
    seat_clear(seat, RLKI_SEAT_NOSCRIPT | RLKI_SEAT_RETRY);
    if (command == RLKI_SET)
        seat_clear(seat, RLKI_SEAT_REPEATED);
    seat_submit(seat, command);
}

bool rlki_seat_abandon(rlk_seat *seat)
{
    /* Idle, and not to be sent again: it is being answered at this moment, so it was sent. */
    bool answered = seat->request.tag != RLKI_NO_COMMAND &&
                    seat->request.state == RLK_REQUEST_IDLE && !(seat->flags & RLKI_SEAT_RETRY);
    seat->request.tag = RLKI_NO_COMMAND;
    seat_drop_retry(seat);
    return rlk_conn_withdraw(seat_conn(seat), &seat->request) && !answered;
}

void rlki_seat_undo(rlk_seat *seat)
{
    bool releasing = seat->request.tag == RLKI_RELEASE;
    if (releasing && (seat->request.state != RLK_REQUEST_IDLE || seat->flags & RLKI_SEAT_RETRY))
        return;
    rlki_seat_abandon(seat);
    seat->expiry_ms = RLKI_EXPIRED;
    if (!rlki_seat_clean(seat))
        rlki_seat_send(seat, RLKI_RELEASE);
}

/* ---- commands ---- */

/* What is the same in each command leaves in one piece. */
#define SEAT_PUT(writer, text) rlk_resp_put_raw((writer), (text), sizeof(text) - 1)

/* The beginning of a script's call, up to the number of its keys. */
static void seat_put_script(rlk_conn *conn, rlk_resp_writer *writer, uint32_t argc)
{
    rlk_resp_put_command(writer, argc);
    if (rlk_conn_server(conn) & RLK_SERVER_EVAL)
        rlk_conn_put_script(conn, writer);
    else
        SEAT_PUT(writer, "$7\r\nEVALSHA\r\n$40\r\n" RLKI_SCRIPT_DIGEST "\r\n");
    SEAT_PUT(writer, "$1\r\n1\r\n");
}

static void seat_put_key(const rlk_lock *lock, rlk_resp_writer *writer)
{
    rlk_resp_put_bulk(writer, lock->key, lock->key_len);
}

static void seat_put_key_token(const rlk_lock *lock, const rlk_seat *seat, rlk_resp_writer *writer)
{
    uint8_t *token;
    seat_put_key(lock, writer);
    token = rlk_resp_put_hole(writer, rlki_token_len(lock));
    if (token)
        rlki_token_write(lock, seat->round, token);
}

/* Milliseconds that a raise asks for; -1, which raises nothing, once the target is past (a PEXPIRE
 * of 0 or less would delete). An acquire that finds its own token raises to its whole TTL. */
static int64_t seat_raise_to(const rlk_lock *lock, const rlk_seat *seat, int64_t t0_ms)
{
    int64_t to;
    if (seat->request.tag == RLKI_CHECK)
        return -1;
    if (lock->operation == RLK_OP_ACQUIRE)
        return lock->ttl_ms;
    to = lock->target_ms - t0_ms;
    return to > 0 ? to : -1;
}

/* The first command after an unanswered SET: is that settled by the stream, by a fence, or not? */
static void seat_settle_stream(rlk_lock *lock, rlk_seat *seat, uint32_t generation)
{
    if (!(seat->flags & RLKI_SEAT_FENCE) || seat->generation == generation)
        return;
    seat_clear(seat, RLKI_SEAT_FENCE);
    /* Beside a loose one a fenced SET counts as loose too: if the token is found, nobody can tell
     * which of them put it there, and so whether the loose one is used up. */
    if (seat->generation > lock->client->unfenced[seat->index] && seat->loose == 0)
        return;
    if (seat->loose < UINT8_MAX)
        seat->loose++;
}

static void seat_put_pttl(const rlk_lock *lock, rlk_resp_writer *writer)
{
    SEAT_PUT(writer, "*2\r\n$4\r\nPTTL\r\n");
    seat_put_key(lock, writer);
}

/* With it, where the server tells of changes, the PTTL that makes it tell of this key. */
static unsigned seat_put_set(rlk_lock *lock, rlk_seat *seat, rlk_conn *conn,
                             rlk_resp_writer *writer)
{
    bool tracking = rlk_conn_is_tracking(conn);
    SEAT_PUT(writer, "*6\r\n$3\r\nSET\r\n");
    seat_put_key_token(lock, seat, writer);
    SEAT_PUT(writer, "$2\r\nNX\r\n$2\r\nPX\r\n");
    rlk_resp_put_integer(writer, lock->ttl_ms);
    if (tracking)
        seat_put_pttl(lock, writer);
    if (rlk_resp_writer_result(writer) == RLK_OK) {
        seat_set(seat, RLKI_SEAT_POSSIBLE | RLKI_SEAT_FENCE);
        seat->generation = rlk_conn_generation(conn);
    }
    return tracking ? 2 : 1;
}

static unsigned seat_put_command(rlk_lock *lock, rlk_seat *seat, rlk_conn *conn,
                                 rlk_resp_writer *writer)
{
    bool by_get = (rlk_conn_server(conn) & RLK_SERVER_NO_GETEX) != 0;
    switch (seat->request.tag) {
    case RLKI_SET:
        return seat_put_set(lock, seat, conn, writer);
    case RLKI_RAISE:
    case RLKI_CHECK:
        seat_put_script(conn, writer, by_get ? 7 : 6);
        seat_put_key_token(lock, seat, writer);
        rlk_resp_put_integer(writer, seat_raise_to(lock, seat, lock->client->now_ms));
        if (by_get)
            SEAT_PUT(writer, "$1\r\n1\r\n");
        return 1;
    case RLKI_RELEASE:
        seat_put_script(conn, writer, by_get ? 7 : 5);
        seat_put_key_token(lock, seat, writer);
        if (by_get)
            SEAT_PUT(writer, "$0\r\n\r\n$1\r\n1\r\n");
        return 1;
    case RLKI_QUERY:
        SEAT_PUT(writer, "*2\r\n$3\r\nGET\r\n");
        seat_put_key(lock, writer);
        seat_put_pttl(lock, writer);
        return 2;
    case RLKI_PROBE:
        seat_put_pttl(lock, writer);
        return 1;
    default: /* RLKI_DEL */
        SEAT_PUT(writer, "*2\r\n$3\r\nDEL\r\n");
        seat_put_key(lock, writer);
        return 1;
    }
}

/* True if the caller's texts have changed since init (fault 119): a command would have another key,
 * or another token. */
static bool seat_dangles(const rlk_lock *lock)
{
    return rlki_token_texts(lock) != lock->texts;
}

unsigned rlki_seat_encode(rlk_seat *seat, rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_lock *lock = rlki_seat_lock(seat);
    unsigned replies;
    if (seat_dangles(lock)) {
        /* Refused by rlki_seats_retry, at once but not here, in the middle of a step. */
        seat_set(seat, RLKI_SEAT_RETRY);
        lock->retry_ms = lock->client->now_ms;
        rlki_lock_rearm(lock);
        return 0;
    }
    seat_settle_stream(lock, seat, rlk_conn_generation(conn));
    seat->t0 = (uint32_t)lock->client->now_ms;
    replies = seat_put_command(lock, seat, conn, writer);
#ifndef RLK_NO_TRACE
    if (rlk_resp_writer_result(writer) == RLK_OK)
        RLKI_TRACE(lock, RLK_TRACE_COMMAND, seat->index, rlki_command_name(seat->request.tag),
                   replies);
#endif
    return replies;
}

/* ---- replies ---- */

static bool seat_in_round(const rlk_lock *lock, const rlk_seat *seat)
{
    return lock->operation == RLK_OP_ACQUIRE && lock->phase == RLKI_PHASE_ROUND &&
           seat->round == lock->round && seat->verdict == RLKI_NONE;
}

/* Records a verdict, if the command that brings it is one of the operation under way: the late
 * reply to a SET is no answer to an extend, nor that to an undo one to the next round's SET, or to
 * the release of another round's token. */
static void seat_say(rlk_seat *seat, unsigned command, unsigned verdict)
{
    const rlk_lock *lock = rlki_seat_lock(seat);
    bool asked = false;
    switch (lock->operation) {
    case RLK_OP_ACQUIRE:
        asked = command != RLKI_RELEASE && seat_in_round(lock, seat);
        break;
    case RLK_OP_RELEASE:
        asked = command == RLKI_RELEASE && seat->round == lock->round;
        break;
    case RLK_OP_EXTEND:
    case RLK_OP_RENEW:
        asked = command == RLKI_RAISE;
        break;
    case RLK_OP_CHECK:
        asked = command == RLKI_CHECK;
        break;
    case RLK_OP_QUERY:
        asked = command == RLKI_QUERY;
        break;
    case RLK_OP_FORCE_RELEASE:
        asked = command == RLKI_DEL;
        break;
    default:
        break;
    }
    if (asked)
        seat->verdict = (uint8_t)verdict;
}

/* Our token is not on the node (now; a loose SET may still bring it). */
static void seat_absent(rlk_seat *seat)
{
    seat_clear(seat, RLKI_SEAT_POSSIBLE | RLKI_SEAT_PRESENT | RLKI_SEAT_FENCE);
    seat->expiry_ms = RLKI_EXPIRED;
}

/* The token was found. If no SET was answered OK, and none is unanswered on this very stream, a
 * loose one has been executed. */
static void seat_use_up(rlk_seat *seat)
{
    if (!(seat->flags & (RLKI_SEAT_PRESENT | RLKI_SEAT_FENCE)) && seat->loose > 0)
        seat->loose--;
}

static void seat_present(rlk_seat *seat, unsigned command)
{
    seat_use_up(seat);
    seat_clear(seat, RLKI_SEAT_FENCE);
    seat_set(seat, RLKI_SEAT_POSSIBLE | RLKI_SEAT_PRESENT);
    seat_say(seat, command, RLKI_YES);
}

static void seat_confirm(rlk_seat *seat, int64_t expiry_ms, int64_t t0_ms)
{
    int64_t horizon_ms = expiry_ms > t0_ms ? expiry_ms - t0_ms : 0;
    seat->expiry_ms = expiry_ms;
    seat->horizon_ms = horizon_ms > (int64_t)UINT32_MAX ? UINT32_MAX : (uint32_t)horizon_ms;
    seat->generation = rlk_conn_generation(seat_conn(seat));
}

int64_t rlki_seat_until(const rlk_client *client, const rlk_seat *seat)
{
    if (seat->expiry_ms == RLKI_EXPIRED)
        return RLKI_EXPIRED;
    return seat->expiry_ms - (int64_t)rlki_client_drift(client, seat->horizon_ms);
}

/*
 * The script says that p_ms remain. No more is believed than was known before or is asked for now:
 * a server whose clock went back, or an extend that was given up, must not lengthen a lease behind
 * the caller's back (rule 8). And what was known stays with its own horizon: the drift that it
 * counts with runs from when it was asked for. A raise takes the answer instead, where that leaves
 * more: it has hardly any drift yet, and that of a long extend may be more than a TTL.
 */
static void seat_confirm_left(rlk_lock *lock, rlk_seat *seat, unsigned command, int64_t t0_ms,
                              int64_t p_ms)
{
    bool same = seat->generation == rlk_conn_generation(seat_conn(seat));
    int64_t known_ms = rlki_seat_until(lock->client, seat);
    uint32_t horizon_ms = seat->horizon_ms;
    int64_t said_ms = rlki_later(t0_ms, p_ms);
    int64_t most_ms = seat->expiry_ms;
    bool stays;
    int64_t asked_ms =
        lock->operation == RLK_OP_ACQUIRE ? rlki_later(t0_ms, lock->ttl_ms) : lock->target_ms;
    int64_t expiry_ms =
        rlki_confirmed_expiry(seat->expiry_ms, same, t0_ms, lock->client->now_ms, p_ms);
    if (command == RLKI_RAISE && asked_ms > most_ms)
        most_ms = asked_ms;
    if (expiry_ms > most_ms)
        expiry_ms = most_ms;
    stays = expiry_ms == seat->expiry_ms && expiry_ms != said_ms;
    seat_confirm(seat, said_ms < most_ms ? said_ms : most_ms, t0_ms);
    if (stays && (command == RLKI_CHECK || rlki_seat_until(lock->client, seat) <= known_ms)) {
        seat->expiry_ms = expiry_ms;
        seat->horizon_ms = horizon_ms;
    }
}

/* Errors that say for certain that the command was not executed. An unknown one doesn't: proxies
 * have errors of their own. */
static bool seat_refused(rlk_result error)
{
    return rlki_error_scope(error) != RLKI_SCOPE_UNKNOWN;
}

static void seat_error(rlk_seat *seat, unsigned command, rlk_result error)
{
    rlki_lock_note(rlki_seat_lock(seat), seat->index, command, error);
    seat_say(seat, command, RLKI_ERROR);
}

/* The command is sent again after a pause: rlki_seats_retry. */
static void seat_retry(rlk_seat *seat, unsigned command, rlk_result error)
{
    rlk_lock *lock = rlki_seat_lock(seat);
    rlk_client *client = lock->client;
    uint32_t pause_ms = rlki_client_jitter(client, lock->retry_min_ms, lock->retry_max_ms);
    int64_t when = rlki_later(client->now_ms, pause_ms);
    rlki_lock_note(lock, seat->index, command, error);
    seat->request.tag = (uint8_t)command;
    seat_set(seat, RLKI_SEAT_RETRY);
    if (when < lock->retry_ms)
        lock->retry_ms = when;
}

/* Loads the scripts and repeats the command, once. */
static bool seat_reload(rlk_seat *seat, unsigned command, rlk_result error)
{
    if (error != RLK_E_NOSCRIPT || seat->flags & RLKI_SEAT_NOSCRIPT)
        return false;
    seat_set(seat, RLKI_SEAT_NOSCRIPT);
    rlk_conn_load_scripts(seat_conn(seat), rlki_seat_lock(seat)->client->now_ms);
    seat_submit(seat, command);
    return true;
}

static bool seat_is_ok(const rlk_reply *reply)
{
    return reply->type == RLK_RESP_SIMPLE && reply->len == 2 && reply->data[0] == 'O' &&
           reply->data[1] == 'K';
}

/* True of the script's answer that our token is not in the key. */
static bool seat_lacks(const rlk_reply *reply)
{
    return reply->type == RLK_RESP_INTEGER &&
           (reply->value == RLKI_ABSENT || reply->value == RLKI_NOT_OURS);
}

/* What a node says instead of our token: a lease that it ends, or finds ended, ended by that. */
static void seat_note_cause(rlk_lock *lock, const rlk_reply *reply)
{
    rlk_lost_cause cause = reply->error == RLK_E_WRONGTYPE ? RLK_LOST_WRONG_TYPE
                           : reply->value == RLKI_NOT_OURS ? RLK_LOST_OVERWRITTEN
                                                           : RLK_LOST_DELETED;
    bool releasing = lock->operation == RLK_OP_RELEASE && !(lock->flags & RLKI_LOCK_FORCE_LOST);
    if ((lock->state == RLKI_HELD || releasing) && lock->lost_cause < cause)
        lock->lost_cause = (uint8_t)cause;
}

/* *-1 is the null of an array, which commands that answer by a string never give (fault 113). */
static bool seat_is_nil(const rlk_reply *reply)
{
    return reply->type == RLK_RESP_NULL && reply->value == 0;
}

/* False of a reply that no server gives to such a command: replies and requests do not match. */
static bool seat_is_answer(unsigned command, const rlk_reply *reply, unsigned left)
{
    bool integer = reply->type == RLK_RESP_INTEGER;
    if (reply->error != RLK_OK)
        return true;
    switch (command) {
    case RLKI_SET:
        return seat_is_ok(reply) || seat_is_nil(reply);
    case RLKI_SET_NIL:
    case RLKI_SET_DONE:
    case RLKI_PROBE:
        return integer && reply->value >= -2;
    case RLKI_RAISE:
    case RLKI_CHECK:
        return integer && reply->value >= RLKI_NOT_OURS;
    case RLKI_QUERY:
        if (left > 0)
            return seat_is_nil(reply) || (reply->type == RLK_RESP_BULK && reply->value >= 0);
        return integer && reply->value >= -2;
    case RLKI_RELEASE:
        return integer && (reply->value == 0 || reply->value == 1 || seat_lacks(reply));
    default: /* RLKI_DEL */
        return integer && (reply->value == 0 || reply->value == 1);
    }
}

/* The script had to use GET, and says so with its reply (scripts.h). */
static bool seat_is_by_get(unsigned command, const rlk_reply *reply)
{
    return (command == RLKI_RAISE || command == RLKI_CHECK || command == RLKI_RELEASE) &&
           reply->type == RLK_RESP_INTEGER && reply->value <= RLKI_BY_GET - RLKI_NOT_OURS;
}

/* Somebody has the key, for ttl_ms yet: no, unless it may be a loose SET of our own. */
static void seat_nil(rlk_lock *lock, rlk_seat *seat, int64_t ttl_ms)
{
    if (!seat_in_round(lock, seat)) { /* late: the others have it held */
        rlki_turn_contend(lock);
        return;
    }
    if (seat->loose > 0 && !(seat->flags & RLKI_SEAT_PROBED)) {
        seat_set(seat, RLKI_SEAT_PROBED);
        rlki_seat_send(seat, RLKI_RAISE);
        return;
    }
    rlki_acquire_watch(lock, seat, ttl_ms);
    seat_say(seat, RLKI_SET, RLKI_NO);
}

static int64_t seat_ttl(const rlk_reply *reply)
{
    return reply->error == RLK_OK ? reply->value : RLKI_TTL_UNKNOWN;
}

static void seat_reply_set(rlk_lock *lock, rlk_seat *seat, const rlk_reply *reply, int64_t t0_ms,
                           unsigned left)
{
    if (left > 0)
        seat->request.tag = RLKI_SET_DONE;
    if (reply->error != RLK_E_UNEXPECTED) /* that is no answer */
        seat_clear(seat, RLKI_SEAT_FENCE);
    if (seat_is_ok(reply)) {
        seat_set(seat, RLKI_SEAT_PRESENT); /* by this SET, not by a loose one */
        seat_present(seat, RLKI_SET);
        seat_confirm(seat, rlki_later(t0_ms, lock->ttl_ms), t0_ms);
        return;
    }
    if (reply->type == RLK_RESP_NULL) {
        seat_absent(seat);
        if (seat->loose == 0 && seat_in_round(lock, seat))
            lock->flags |= RLKI_LOCK_HOLDER; /* also if PTTL is not answered in time */
        if (left > 0)
            seat->request.tag = RLKI_SET_NIL;
        else
            seat_nil(lock, seat, RLKI_TTL_UNKNOWN);
        return;
    }
    if (seat_refused(reply->error))
        seat_absent(seat);
    seat_error(seat, RLKI_SET, reply->error);
}

static void seat_not_ours(rlk_lock *lock, rlk_seat *seat, unsigned command, const rlk_reply *reply)
{
    seat_note_cause(lock, reply);
    seat_absent(seat);
    if (command == RLKI_RAISE && seat_in_round(lock, seat)) {
        if (!(seat->flags & RLKI_SEAT_PROBED)) {
            rlki_seat_send(seat, RLKI_SET); /* the lost SET did not come through: again */
            return;
        }
        rlki_acquire_watch(lock, seat, RLKI_TTL_UNKNOWN);
    }
    seat_say(seat, command, RLKI_NO);
}

/* A refused command is repeated for the operation that wants it. A raise of a renewal that another
 * operation overtook is not: the renewal comes again. Nor is the check of a key that was touched,
 * while an operation waits for its place: it comes again too. */
static bool seat_retries(const rlk_lock *lock, const rlk_seat *seat, unsigned command)
{
    if (command == RLKI_CHECK)
        return lock->operation == RLK_OP_CHECK || lock->operation == RLK_OP_NONE ||
               seat->verdict != RLKI_NONE; /* waits for other nodes */
    return lock->operation == RLK_OP_EXTEND || lock->operation == RLK_OP_RENEW;
}

static void seat_reply_raise(rlk_lock *lock, rlk_seat *seat, unsigned command,
                             const rlk_reply *reply, int64_t t0_ms)
{
    if (seat_lacks(reply)) {
        seat_not_ours(lock, seat, command, reply);
    } else if (reply->type == RLK_RESP_INTEGER && reply->value >= 0) {
        seat_present(seat, command);
        seat_confirm_left(lock, seat, command, t0_ms, reply->value);
    } else if (reply->type == RLK_RESP_INTEGER && reply->value == -1) {
        /* ours, and somebody took its expiry away: what we know stands */
        seat_present(seat, command);
    } else if (reply->error == RLK_E_WRONGTYPE) {
        rlki_lock_note(lock, seat->index, command, RLK_E_WRONGTYPE);
        seat_set(seat, RLKI_SEAT_PROBED); /* no use in another SET */
        seat_not_ours(lock, seat, command, reply);
    } else if (!seat_reload(seat, command, reply->error)) {
        if (lock->operation == RLK_OP_ACQUIRE || rlki_is_final(reply->error))
            seat_error(seat, command, reply->error);
        else if (seat_retries(lock, seat, command))
            seat_retry(seat, command, reply->error);
    }
    if (lock->state == RLKI_HELD && seat->request.tag == RLKI_NO_COMMAND && /* looked at */
        (reply->error == RLK_OK || rlki_is_final(reply->error)))
        lock->touched &= ~(UINT32_C(1) << seat->index);
}

/* The undo is over: answered, or nothing more can be done. */
static void seat_undone(rlk_seat *seat, unsigned verdict)
{
    seat_absent(seat);
    if (seat->loose > 0)
        seat_set(seat, RLKI_SEAT_DOUBT);
    seat->loose = 0;
    seat_clear(seat, RLKI_SEAT_REPEATED | RLKI_SEAT_RETRY);
    seat_say(seat, RLKI_RELEASE, verdict);
    if (rlki_seat_lock(seat)->operation == RLK_OP_ACQUIRE)
        rlki_acquire_undone(rlki_seat_lock(seat), seat, verdict == RLKI_YES);
}

static void seat_reply_release(rlk_lock *lock, rlk_seat *seat, const rlk_reply *reply)
{
    bool wrong_type = reply->error == RLK_E_WRONGTYPE;
    if (reply->type == RLK_RESP_INTEGER || wrong_type) {
        bool deleted = !wrong_type && reply->value > 0;
        bool repeated = (seat->flags & RLKI_SEAT_REPEATED) != 0;
        if (wrong_type)
            rlki_lock_note(lock, seat->index, RLKI_RELEASE, RLK_E_WRONGTYPE);
        if (deleted)
            seat_use_up(seat);
        else if (wrong_type || seat_lacks(reply))
            seat_note_cause(lock, reply);
        seat_undone(seat, deleted ? RLKI_YES : repeated ? RLKI_NO_AFTER : RLKI_NO);
        return;
    }
    if (seat_reload(seat, RLKI_RELEASE, reply->error))
        return;
    if (!seat_refused(reply->error)) /* executed or not */
        seat_set(seat, RLKI_SEAT_REPEATED);
    if (rlki_is_final(reply->error) || lock->client->now_ms >= lock->cleanup_ms) {
        seat_undone(seat, RLKI_ERROR);
        seat_set(seat, RLKI_SEAT_DOUBT);
        seat_error(seat, RLKI_RELEASE, reply->error);
        return;
    }
    seat_retry(seat, RLKI_RELEASE, reply->error);
}

void rlki_seat_reply(rlk_seat *seat, const rlk_reply *reply, unsigned left)
{
    rlk_lock *lock = rlki_seat_lock(seat);
    int64_t now_ms = lock->client->now_ms;
    int64_t t0_ms = now_ms - (int64_t)(uint32_t)((uint32_t)now_ms - seat->t0);
    unsigned command = seat->request.tag;
    rlk_reply plain;
    rlk_reply wrong;
    if (seat_is_by_get(command, reply)) {
        rlk_conn_note(seat_conn(seat), RLK_SERVER_NO_GETEX);
        plain = *reply;
        plain.value = RLKI_BY_GET - reply->value;
        reply = &plain;
    }
    RLKI_TRACE(lock, RLK_TRACE_REPLY, seat->index, rlki_command_name(command),
               reply->error != RLK_OK ? (int64_t)reply->error : reply->value);
    if (!seat_is_answer(command, reply, left)) {
        memset(&wrong, 0, sizeof(wrong));
        wrong.type = RLK_RESP_ERROR;
        wrong.error = RLK_E_UNEXPECTED;
        reply = &wrong;
        if (command == RLKI_RAISE || command == RLKI_DEL)
            lock->flags |= RLKI_LOCK_MAYBE_SENT;
    }
    if (left == 0)
        seat->request.tag = RLKI_NO_COMMAND;
    switch (command) {
    case RLKI_SET:
        seat_reply_set(lock, seat, reply, t0_ms, left);
        break;
    case RLKI_SET_NIL:
        seat_nil(lock, seat, seat_ttl(reply));
        break;
    case RLKI_SET_DONE: /* gone already: whose doing was that? */
        if (lock->state == RLKI_HELD && seat_ttl(reply) == -2)
            rlki_hold_touched(lock, seat->index);
        break;
    case RLKI_PROBE:
        if (lock->operation == RLK_OP_ACQUIRE)
            rlki_acquire_watch(lock, seat, /* the SET that follows is refused too, and ends it */
                               reply->error == RLK_E_DANGLING ? -2 : seat_ttl(reply));
        break;
    case RLKI_RAISE:
    case RLKI_CHECK:
        seat_reply_raise(lock, seat, command, reply, t0_ms);
        break;
    case RLKI_RELEASE:
        seat_reply_release(lock, seat, reply);
        break;
    default: /* RLKI_QUERY, RLKI_DEL */
        rlki_query_reply(seat, command, reply, left);
        break;
    }
    if (reply == &wrong)
        rlk_conn_reject(seat_conn(seat), now_ms);
}

/* ---- losses ---- */

void rlki_seat_lost(rlk_seat *seat, bool maybe_sent)
{
    rlk_lock *lock = rlki_seat_lock(seat);
    unsigned command = seat->request.tag;
    bool acquiring = lock->operation == RLK_OP_ACQUIRE;
    rlk_result why = rlk_conn_result(seat_conn(seat));
    bool again;
    if (rlki_condemn_is_for(why))
        lock->again |= UINT32_C(1) << seat->index;
    again = rlki_operation_tries_again(lock, seat->index);
    seat->request.tag = RLKI_NO_COMMAND;
    if (command == RLKI_SET && !maybe_sent)
        seat_absent(seat);
    switch (command) {
    case RLKI_SET:
    case RLKI_RAISE:
        if (acquiring && !seat_in_round(lock, seat))
            break;
        if (acquiring && lock->flags & RLKI_LOCK_TRY && !again) {
            seat_error(seat, command, why);
            break;
        }
        if (command == RLKI_SET && !acquiring)
            break; /* late, of a lock that is held by the others */
        if (command == RLKI_RAISE && maybe_sent)
            lock->flags |= RLKI_LOCK_MAYBE_SENT;
        rlki_seat_send(seat, maybe_sent ? (unsigned)RLKI_RAISE : command);
        break;
    case RLKI_SET_NIL:
        seat_nil(lock, seat, RLKI_TTL_UNKNOWN);
        break;
    case RLKI_SET_DONE:
    case RLKI_PROBE: /* looked at again when the node is back */
        break;
    case RLKI_CHECK:
        rlki_seat_send(seat, command);
        break;
    case RLKI_RELEASE:
        if (maybe_sent)
            seat_set(seat, RLKI_SEAT_REPEATED);
        seat_submit(seat, RLKI_RELEASE);
        break;
    default: /* RLKI_QUERY, RLKI_DEL */
        if (!rlki_query_is_on(lock, command))
            break;
        if (again && (!maybe_sent || command == RLKI_QUERY))
            break; /* sent again by the operation's next step; a DEL never twice */
        if (maybe_sent && command == RLKI_DEL)
            lock->flags |= RLKI_LOCK_MAYBE_SENT;
        if (command == RLKI_QUERY)
            ((rlk_holder *)lock->query)[seat->index].result = why;
        seat_error(seat, command, why);
        break;
    }
}

/* As a server refuses it that always will. */
static void seat_refuse(rlk_seat *seat)
{
    rlk_reply refused;
    memset(&refused, 0, sizeof(refused));
    refused.type = RLK_RESP_ERROR;
    refused.error = RLK_E_DANGLING;
    seat_clear(seat, RLKI_SEAT_RETRY);
    rlki_seat_reply(seat, &refused, 0);
}

void rlki_seats_retry(rlk_lock *lock)
{
    bool dangles = seat_dangles(lock);
    unsigned i;
    lock->retry_ms = RLK_NEVER;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        if (!(seat->flags & RLKI_SEAT_RETRY))
            continue;
        if (dangles)
            seat_refuse(seat);
        else
            rlki_seat_send(seat, seat->request.tag);
    }
}

void rlki_seats_forget_retries(rlk_lock *lock)
{
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        if (seat->flags & RLKI_SEAT_RETRY && seat->request.tag != RLKI_RELEASE)
            (void)rlki_seat_abandon(seat);
    }
}

rlki_tally rlki_tally_of(const rlk_lock *lock)
{
    rlki_tally tally = {0, 0, 0, 0, 0, 0, 0};
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_seat *seat = &lock->seats[i];
        switch (seat->verdict) {
        case RLKI_YES:
            tally.yes++;
            break;
        case RLKI_NO:
            tally.no++;
            break;
        case RLKI_NO_AFTER:
            tally.no_after++;
            break;
        case RLKI_NONE:
            tally.pending++;
            break;
        default:
            tally.error++;
            break;
        }
        if (!rlki_seat_clean(seat) || seat->flags & RLKI_SEAT_DOUBT)
            tally.unclean++;
        if (seat->flags & RLKI_SEAT_DOUBT)
            tally.doubt++;
    }
    return tally;
}
