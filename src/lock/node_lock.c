/* SPDX-License-Identifier: MIT
 *
 * What is known of our token on one node:
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
 * an orphan, possibly: it may execute at any later time, and a compare that says "not ours" proves
 * nothing (rule 5 of docs/correctness.md). A compare that says "ours" uses one orphan up, for
 * nothing else can have put the token there. Where an orphan is left when the token is deleted, the
 * node is IN_DOUBT: nobody can say whether it comes. That lasts until the lock draws another random
 * part.
 *
 * A command leaves only with the right key and token: where the caller's texts have changed since
 * init, it is answered RLK_E_DANGLING here, as by a server that refuses for good. What is on the
 * node stays there until its TTL: after an undo the node is IN_DOUBT too.
 *
 * Requests are   idle -> queued (send list) -> sent (ring) -> idle by reply or loss;
 * an abandoned one leaves its entry in the ring, ownerless, so its reply finds nobody, and what is
 * sent afterwards on the same stream comes behind it.
 *
 * A compare (CHECK) and an undo (RELEASE) are repeated here until they are answered. The operation
 * decides about another command that was refused or lost.
 */
#include "node_lock.h"
#include "../net/condemn.h"
#include "../net/error.h"
#include "../net/transmit.h"
#include "clock.h"
#include "lease.h"
#include "script.h"
#include "token.h"
#include "trace.h"

#include <string.h>

extern inline bool rlki_node_lock_has_token(const rlk_node_lock *node);

extern inline bool rlki_node_lock_is_clean(const rlk_node_lock *node);

bool rlki_is_final(rlk_result result)
{
    rlk_result_kind kind = rlk_result_class(result);

    return kind == RLK_KIND_FATAL || kind == RLK_KIND_USAGE ||
           rlki_error_scope(result) == RLKI_SCOPE_FINAL;
}

static void node_lock_set(rlk_node_lock *node, unsigned flags)
{
    node->flags = (uint8_t)(node->flags | flags);
}

static void node_lock_clear(rlk_node_lock *node, unsigned flags)
{
    node->flags = (uint8_t)(node->flags & ~flags);
}

static rlk_conn *node_lock_conn(rlk_node_lock *node)
{
    return rlki_route(rlki_node_lock_owner(node), rlki_index(node));
}

/* ---- sending ---- */

static void node_lock_submit(rlk_node_lock *node, unsigned command)
{
    node->request.tag = (uint8_t)command;
    rlk_conn_submit(node_lock_conn(node), &node->request,
                    rlki_node_lock_owner(node)->client->clock_ms);
}

/* It is not sent again. The last one of the lock takes the time with it: else the next operation's
 * command would be sent again at that time, and not at its own. */
static void node_lock_drop_retry(rlk_node_lock *node)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    unsigned waiting = 0;
    unsigned i;

    if ((node->flags & RLKI_NODE_RETRY) == 0)
        return;
    node_lock_clear(node, RLKI_NODE_RETRY);
    for (i = 0; i < rlki_nodes(lock->client); i++)
        waiting |= lock->nodes[i].flags & RLKI_NODE_RETRY;
    if (waiting == 0)
        lock->retry_ms = RLKI_NEVER;
}

static void node_lock_begin(rlk_node_lock *node, unsigned command, unsigned asked)
{
    node_lock_clear(node, RLKI_NODE_NOSCRIPT | RLKI_NODE_RETRY | RLKI_NODE_ASKED);
    node_lock_set(node, asked);
    if (command == RLKI_SET)
        node_lock_clear(node, RLKI_NODE_REPEATED);
    node_lock_submit(node, command);
}

void rlki_node_lock_ask(rlk_node_lock *node, unsigned command)
{
    node_lock_begin(node, command, RLKI_NODE_ASKED);
}

void rlki_node_lock_send(rlk_node_lock *node, unsigned command)
{
    node_lock_begin(node, command, 0);
}

void rlki_node_lock_count(rlk_node_lock *node)
{
    node_lock_set(node, RLKI_NODE_ASKED);
}

void rlki_node_lock_resend(rlk_node_lock *node)
{
    node_lock_begin(node, node->request.tag, node->flags & RLKI_NODE_ASKED);
}

bool rlki_node_lock_abandon(rlk_node_lock *node)
{
    /* Idle, and not to be sent again: it is being answered at this moment, so it was sent. */
    bool answered = node->request.tag != RLKI_NO_COMMAND &&
                    node->request.state == RLK_REQUEST_IDLE && (node->flags & RLKI_NODE_RETRY) == 0;

    node->request.tag = RLKI_NO_COMMAND;
    node_lock_clear(node, RLKI_NODE_ASKED);
    node_lock_drop_retry(node);
    return rlk_conn_withdraw(node_lock_conn(node), &node->request) && !answered;
}

static void node_lock_undo(rlk_node_lock *node)
{
    bool releasing = node->request.tag == RLKI_RELEASE;

    if (releasing &&
        (node->request.state != RLK_REQUEST_IDLE || (node->flags & RLKI_NODE_RETRY) != 0))
        return;
    if (node->request.tag != RLKI_NO_COMMAND)
        (void)rlki_node_lock_abandon(node);
    node->expiry_ms = RLKI_EXPIRED;
    if (!rlki_node_lock_is_clean(node))
        rlki_node_lock_send(node, RLKI_RELEASE);
}

void rlki_node_locks_undo(rlk_lock *lock, int32_t expiry_ms, rlk_node_mask except)
{
    int32_t until_ms = rlki_from_now(lock, lock->ttl_ms);
    unsigned i;

    if (expiry_ms > until_ms)
        until_ms = expiry_ms;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->nodes[i].expiry_ms > until_ms)
            until_ms = lock->nodes[i].expiry_ms;
    lock->cleanup_ms = until_ms;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if ((except & rlki_bit(i)) == 0)
            node_lock_undo(&lock->nodes[i]);
}

/* The first command after an unanswered SET: is that settled by the stream, by a fence, or not? */
static void node_lock_settle_stream(const rlk_lock *lock, rlk_node_lock *node, uint32_t generation)
{
    if ((node->flags & RLKI_NODE_FENCE) == 0 || node->generation == generation)
        return;
    node_lock_clear(node, RLKI_NODE_FENCE);
    /* Beside an orphan a fenced SET counts as one too: if the token is found, nobody can say which
     * of them put it there, and so whether the orphan is used up. */
    if (node->generation > lock->client->unfenced[rlki_index(node)] && node->orphans == 0)
        return;
    if (node->orphans < UINT8_MAX)
        node->orphans++;
}

unsigned rlki_node_lock_encode(rlk_node_lock *node, rlk_conn *conn, rlk_resp_writer *writer)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    unsigned replies;

    if (rlki_token_dangles(lock)) {
        /* Refused when the lock is stepped: the caller is in the middle of something. */
        node_lock_set(node, RLKI_NODE_RETRY);
        lock->retry_ms = lock->client->now_ms;
        rlki_ready(lock);
        return 0;
    }
    node_lock_settle_stream(lock, node, rlki_conn_generation(conn));
    node->request.as.owner_ms = lock->client->now_ms;
    replies = rlki_command_put(lock, node, conn, writer);
    if (!rlki_transmit_fits(writer))
        return replies;
    if (node->request.tag == RLKI_SET) {
        node_lock_set(node, RLKI_NODE_POSSIBLE | RLKI_NODE_FENCE);
        node->generation = rlki_conn_generation(conn);
    }
    RLKI_TRACE(lock, RLK_TRACE_COMMAND, rlki_index(node), rlki_command_name(node->request.tag),
               replies);
    return replies;
}

/* ---- what is known ---- */

/* Our token is not on the node (now: an orphan may still come). */
static RLKI_APART_FOR_SIZE void node_lock_absent(rlk_node_lock *node)
{
    node_lock_clear(node, RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT | RLKI_NODE_FENCE);
    node->expiry_ms = RLKI_EXPIRED;
}

/* The token was found. If no SET was answered OK, and none is unanswered on this very stream, an
 * orphan has been executed. */
static void node_lock_use_up(rlk_node_lock *node)
{
    if ((node->flags & (RLKI_NODE_PRESENT | RLKI_NODE_FENCE)) == 0 && node->orphans > 0)
        node->orphans--;
}

static void node_lock_present(rlk_node_lock *node)
{
    node_lock_use_up(node);
    node_lock_clear(node, RLKI_NODE_FENCE);
    node_lock_set(node, RLKI_NODE_POSSIBLE | RLKI_NODE_PRESENT);
}

/* Errors that say for certain that the command was not executed. An unknown one doesn't: proxies
 * have errors of their own. */
static bool node_lock_refused(rlk_result error)
{
    return rlki_error_scope(error) != RLKI_SCOPE_UNKNOWN;
}

/* ---- replies ---- */

/* Reports that the same command is under way again, or will be, for the operation that asked. */
static void node_lock_goes_on(rlk_node_lock *node, rlki_report *report)
{
    report->kind = RLKI_REPORT_NOTHING;
    node->request.tag = report->command;
    node_lock_set(node, report->votes ? RLKI_NODE_ASKED : 0);
}

/* Loads the scripts and repeats the command, once. */
static bool node_lock_reload(rlk_node_lock *node, rlki_report *report)
{
    if (report->error != RLK_E_NOSCRIPT || (node->flags & RLKI_NODE_NOSCRIPT) != 0)
        return false;
    node_lock_set(node, RLKI_NODE_NOSCRIPT);
    rlk_conn_load_scripts(node_lock_conn(node), rlki_node_lock_owner(node)->client->clock_ms);
    node_lock_goes_on(node, report);
    node_lock_submit(node, report->command);
    return true;
}

void rlki_node_lock_retry(rlk_node_lock *node, const rlki_report *report)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    int32_t when_ms = rlki_from_now(lock, rlki_lock_pause(lock));

    rlki_lock_note(lock, rlki_index(node), report->command, (rlk_result)report->error);
    node->request.tag = report->command;
    node_lock_set(node, RLKI_NODE_RETRY | (report->votes ? RLKI_NODE_ASKED : 0));
    if (when_ms < lock->retry_ms)
        lock->retry_ms = when_ms;
}

static void node_lock_reply_set(rlk_lock *lock, rlk_node_lock *node, const rlk_reply *reply,
                                int32_t t0_ms, rlki_report *report)
{
    if (report->error != RLK_E_UNEXPECTED) /* that is no answer */
        node_lock_clear(node, RLKI_NODE_FENCE);
    if (report->error != RLK_OK) {
        if (node_lock_refused((rlk_result)report->error))
            node_lock_absent(node);
    } else if (reply->type == RLK_RESP_NULL) {
        node_lock_absent(node);
        report->kind = RLKI_REPORT_HELD;
    } else {
        node_lock_set(node, RLKI_NODE_PRESENT); /* by this SET, not by an orphan */
        node_lock_present(node);
        rlki_node_confirm(node, rlki_later(t0_ms, (int32_t)lock->ttl_ms), t0_ms,
                          rlki_conn_generation(node_lock_conn(node)));
        report->kind = RLKI_REPORT_DONE;
    }
}

/* What a node says instead of our token. */
static void node_lock_not_ours(rlki_report *report, int32_t value)
{
    report->kind = RLKI_REPORT_NOT_OURS;
    report->lost_cause = report->error == RLK_E_WRONGTYPE ? RLK_LOST_WRONG_TYPE
                         : value == RLKI_NOT_OURS         ? RLK_LOST_OVERWRITTEN
                                                          : RLK_LOST_DELETED;
}

/* Expiry that a compare asks for. */
static int32_t node_lock_asked(const rlk_lock *lock, unsigned command, int32_t t0_ms)
{
    switch (command) {
    case RLKI_CONFIRM:
        return rlki_later(t0_ms, (int32_t)lock->ttl_ms);
    case RLKI_RAISE:
        return lock->as.hold.target_ms;
    default:
        return RLKI_EXPIRED;
    }
}

static void node_lock_reply_compare(rlk_lock *lock, rlk_node_lock *node, int32_t value,
                                    int32_t t0_ms, rlki_report *report)
{
    if (report->error == RLK_OK && value >= RLKI_TTL_NONE) {
        node_lock_present(node);
        if (value >= 0) /* else somebody took its expiry away: what is known stands */
            rlki_node_confirm_left(lock->client, node,
                                   node_lock_asked(lock, report->command, t0_ms), t0_ms, value,
                                   rlki_conn_generation(node_lock_conn(node)));
        report->kind = RLKI_REPORT_DONE;
    } else if (report->error == RLK_OK || report->error == RLK_E_WRONGTYPE) {
        node_lock_absent(node);
        node_lock_not_ours(report, value);
        if (report->error != RLK_OK)
            rlki_lock_note(lock, rlki_index(node), report->command, RLK_E_WRONGTYPE);
    } else {
        (void)node_lock_reload(node, report);
    }
}

/* The undo is over: answered, or nothing more can be done. */
static void node_lock_undone(rlk_node_lock *node)
{
    node_lock_absent(node);
    if (node->orphans > 0)
        node_lock_set(node, RLKI_NODE_IN_DOUBT);
    node->orphans = 0;
    node_lock_clear(node, RLKI_NODE_REPEATED | RLKI_NODE_RETRY);
}

static void node_lock_reply_release(rlk_lock *lock, rlk_node_lock *node, int32_t value,
                                    rlki_report *report)
{
    rlk_result error = (rlk_result)report->error;

    if (error == RLK_OK || error == RLK_E_WRONGTYPE) {
        report->repeated = (node->flags & RLKI_NODE_REPEATED) != 0;
        if (error == RLK_OK && value > 0) {
            node_lock_use_up(node);
            report->kind = RLKI_REPORT_DONE;
        } else {
            node_lock_not_ours(report, value);
            if (error != RLK_OK)
                rlki_lock_note(lock, rlki_index(node), RLKI_RELEASE, error);
            else if (value == 0) /* no script of ours: nothing is said of the key */
                report->lost_cause = RLK_LOST_NOT;
        }
        node_lock_undone(node);
        return;
    }
    if (node_lock_reload(node, report))
        return;
    if (!node_lock_refused(error)) /* executed or not */
        node_lock_set(node, RLKI_NODE_REPEATED);
    if (rlki_is_final(error) || lock->client->now_ms >= lock->cleanup_ms) {
        node_lock_undone(node);
        node_lock_set(node, RLKI_NODE_IN_DOUBT);
        rlki_lock_note(lock, rlki_index(node), RLKI_RELEASE, error);
        return;
    }
    rlki_node_lock_retry(node, report);
    report->kind = RLKI_REPORT_NOTHING;
}

void rlki_node_lock_reply(rlk_node_lock *node, const rlk_reply *reply, unsigned left,
                          rlki_report *report)
{
    rlk_lock *lock = rlki_node_lock_owner(node);
    int32_t t0_ms = node->request.as.owner_ms;
    unsigned command = node->request.tag;
    bool by_get;
    int64_t value = rlki_command_value(command, reply, &by_get);
    int32_t left_ms; /* as a script or PTTL says it */

    if (by_get)
        rlk_conn_note(node_lock_conn(node), RLK_SERVER_NO_GETEX);
    RLKI_TRACE(lock, RLK_TRACE_REPLY, rlki_index(node), rlki_command_name(command),
               reply->error != RLK_OK ? (int64_t)reply->error : value);
    memset(report, 0, sizeof *report);
    report->kind = RLKI_REPORT_REFUSED;
    report->command = (uint8_t)command;
    report->votes = (node->flags & RLKI_NODE_ASKED) != 0;
    report->error = (int16_t)reply->error;
    report->reply = reply;
    if (!rlki_command_is_answer(command, reply, value, left))
        report->error = RLK_E_UNEXPECTED;
    left_ms = value < INT32_MAX ? (int32_t)value : INT32_MAX;
    report->ttl_ms = report->error == RLK_OK ? left_ms : RLKI_TTL_UNKNOWN;
    if (left == 0) {
        node->request.tag = RLKI_NO_COMMAND;
        node_lock_clear(node, RLKI_NODE_ASKED);
    }
    switch (command) {
    case RLKI_SET:
        report->ttl_ms = RLKI_TTL_UNKNOWN;
        node_lock_reply_set(lock, node, reply, t0_ms, report);
        break;
    case RLKI_PROBE:
        report->kind = RLKI_REPORT_HELD;
        break;
    case RLKI_CONFIRM:
    case RLKI_RAISE:
    case RLKI_CHECK:
        node_lock_reply_compare(lock, node, left_ms, t0_ms, report);
        break;
    case RLKI_RELEASE:
        node_lock_reply_release(lock, node, left_ms, report);
        break;
    default: /* RLKI_QUERY, RLKI_DEL */
        if (left > 0)
            report->kind = RLKI_REPORT_PART;
        else if (report->error == RLK_OK)
            report->kind = RLKI_REPORT_DONE;
        break;
    }
}

void rlki_node_lock_refuse(rlk_node_lock *node, rlki_report *report)
{
    static const rlk_reply refused = {RLK_RESP_ERROR, 0, NULL, 0, RLK_E_DANGLING};

    node_lock_clear(node, RLKI_NODE_RETRY);
    rlki_node_lock_reply(node, &refused, 0, report);
}

/* ---- losses ---- */

void rlki_node_lock_lost(rlk_node_lock *node, bool maybe_sent, rlki_report *report)
{
    unsigned command = node->request.tag;

    memset(report, 0, sizeof *report);
    report->kind = RLKI_REPORT_LOST;
    report->command = (uint8_t)command;
    report->votes = (node->flags & RLKI_NODE_ASKED) != 0;
    report->maybe_sent = maybe_sent;
    report->error = (int16_t)rlk_conn_result(node_lock_conn(node));
    report->ttl_ms = RLKI_TTL_UNKNOWN;
    node->request.tag = RLKI_NO_COMMAND;
    node_lock_clear(node, RLKI_NODE_ASKED);
    switch (command) {
    case RLKI_SET:
        if (!maybe_sent)
            node_lock_absent(node);
        break;
    case RLKI_CHECK:
        node_lock_goes_on(node, report);
        node_lock_clear(node, RLKI_NODE_NOSCRIPT);
        node_lock_submit(node, command);
        break;
    case RLKI_RELEASE:
        if (maybe_sent)
            node_lock_set(node, RLKI_NODE_REPEATED);
        node_lock_goes_on(node, report);
        node_lock_submit(node, command);
        break;
    default:
        break;
    }
}

/* ---- all nodes ---- */

extern inline void rlki_node_lock_renounce(rlk_node_lock *node);

void rlki_node_locks_forget_doubts(rlk_lock *lock)
{
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        node_lock_clear(&lock->nodes[i], RLKI_NODE_IN_DOUBT);
}
