/* SPDX-License-Identifier: MIT
 *
 * Query (GET and PTTL in one write) and force_release (DEL), on every node. Each ends when all
 * nodes have answered; when a quorum has, and the others had the time of one attempt; or at the
 * deadline. A node that can't be reached has answered: with that error.
 */
#include "inspect.h"
#include "lease.h"
#include "notify.h"
#include "tally.h"
#include "token.h"

#include <string.h>

static void inspect_clear(rlk_holder *holder)
{
    holder->ttl_ms = RLKI_TTL_ABSENT;
    holder->token_len = 0;
    holder->token[0] = '\0';
    holder->ours = false;
}

/* What one node answers to GET: begins its answer anew, whatever an earlier one that was cut in
 * half had said. */
static void inspect_keep_token(rlk_lock *lock, rlk_holder *holder, const rlk_reply *reply)
{
    uint8_t own[RLK_TOKEN_MAX];
    size_t own_len = rlki_token_len(lock);
    size_t len = reply->len < RLK_TOKEN_MAX ? reply->len : RLK_TOKEN_MAX;

    inspect_clear(holder);
    holder->result = RLK_PENDING;
    if (reply->type == RLK_RESP_NULL)
        return;
    if (reply->error != RLK_OK) {
        holder->result = reply->error;
        return;
    }
    holder->ttl_ms = RLKI_TTL_NONE; /* it is there; PTTL follows */
    holder->token_len = (uint32_t)reply->value;
    if (reply->data == NULL)
        return;
    memcpy(holder->token, reply->data, len);
    holder->token[len] = '\0';
    rlki_token_write(lock, lock->token, own);
    holder->ours =
        reply->len == own_len && lock->token != 0 && memcmp(reply->data, own, own_len) == 0;
}

/* ... and to PTTL. A key that came between the two is not there yet, one that went is gone. */
static void inspect_keep_ttl(rlk_holder *holder, const rlk_reply *reply)
{
    if (holder->result != RLK_PENDING)
        return;
    holder->result = reply->error;
    if (reply->error != RLK_OK)
        return;
    if (holder->ttl_ms == RLKI_TTL_ABSENT || reply->value == RLKI_TTL_ABSENT)
        inspect_clear(holder);
    else
        holder->ttl_ms = reply->value;
}

static rlk_holder *inspect_holder(const rlk_lock *lock, const rlk_node_lock *node)
{
    return &lock->queue.asked[rlki_index(node)];
}

static void inspect_failed(rlk_lock *lock, rlk_node_lock *node, rlk_result why)
{
    inspect_holder(lock, node)->result = why;
}

/* The stream of a node ended: its vote, unless the next stream answers (the step asks again). A DEL
 * is never sent twice. */
static void inspect_lost(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_result why = (rlk_result)report->error;
    bool deletes = report->command == RLKI_DEL;

    if (rlki_operation_tries_again(lock, rlki_index(node)) && !(deletes && report->maybe_sent))
        return;
    if (deletes && report->maybe_sent)
        lock->flags |= RLKI_LOCK_MAYBE_SENT;
    if (!deletes)
        inspect_failed(lock, node, why);
    rlki_lock_note(lock, rlki_index(node), report->command, why);
    node->vote = RLKI_VOTE_ERROR;
}

static void inspect_answered(rlk_lock *lock, rlk_node_lock *node, unsigned command,
                             rlk_result result)
{
    if (result == RLK_OK) {
        node->vote = RLKI_VOTE_YES;
        return;
    }
    rlki_lock_note(lock, rlki_index(node), command, result);
    node->vote = RLKI_VOTE_ERROR;
}

void rlki_inspect_keep(rlk_lock *lock, rlk_holder *holder, const rlki_report *report)
{
    rlk_reply reply;

    if (report->kind == RLKI_REPORT_LOST) {
        holder->result = (rlk_result)report->error;
        return;
    }
    reply = *report->reply;
    if (report->error != RLK_OK) { /* also of what is no answer */
        reply.type = RLK_RESP_ERROR;
        reply.error = (rlk_result)report->error;
    }
    if (report->kind == RLKI_REPORT_PART) {
        inspect_keep_token(lock, holder, &reply);
        return;
    }
    inspect_keep_ttl(holder, &reply);
    holder->answered_ms = lock->client->clock_ms;
}

static void inspect_query_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_holder *holder = inspect_holder(lock, node);

    if (!report->votes)
        return;
    if (report->kind == RLKI_REPORT_LOST) {
        inspect_lost(lock, node, report);
        return;
    }
    rlki_inspect_keep(lock, holder, report);
    if (report->kind != RLKI_REPORT_PART)
        inspect_answered(lock, node, RLKI_QUERY, holder->result);
}

static void inspect_force_report(rlk_lock *lock, rlk_node_lock *node, const rlki_report *report)
{
    rlk_result error = (rlk_result)report->error;

    if (!report->votes)
        return;
    if (report->kind == RLKI_REPORT_LOST) {
        inspect_lost(lock, node, report);
        return;
    }
    if (error == RLK_E_UNEXPECTED)
        lock->flags |= RLKI_LOCK_MAYBE_SENT;
    inspect_answered(lock, node, RLKI_DEL, error);
}

static bool inspect_same_token(const rlk_holder *a, const rlk_holder *b)
{
    size_t len = a->token_len < RLK_TOKEN_MAX ? a->token_len : RLK_TOKEN_MAX;

    return a->token_len == b->token_len && memcmp(a->token, b->token, len) == 0;
}

unsigned rlki_inspect_agree(const rlk_client *client, const rlk_holder *holders,
                            const rlk_holder *holder)
{
    unsigned same = 0;
    unsigned i;

    if (holder->result != RLK_OK || holder->ttl_ms == RLKI_TTL_ABSENT)
        return 0;
    for (i = 0; i < rlki_nodes(client); i++)
        if (holders[i].result == RLK_OK && holders[i].ttl_ms != RLKI_TTL_ABSENT &&
            inspect_same_token(&holders[i], holder))
            same++;
    return same;
}

/* True if one token is on a quorum of nodes. */
static bool inspect_is_held(const rlk_lock *lock)
{
    const rlk_holder *holders = lock->queue.asked;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (rlki_inspect_agree(lock->client, holders, &holders[i]) >= rlki_needed(lock->client))
            return true;
    return false;
}

/* Takes back what is under way; true if a DEL was sent that is not answered. That one stays: what
 * it deletes is notified to our own waiters by nobody else. */
static bool inspect_abandon(rlk_lock *lock)
{
    bool sent = (lock->flags & RLKI_LOCK_MAYBE_SENT) != 0;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->request.tag == RLKI_DEL && node->request.state == RLK_REQUEST_SENT)
            sent = true;
        else if (node->request.tag == RLKI_QUERY || node->request.tag == RLKI_DEL)
            sent = !rlki_node_lock_abandon(node) || sent;
    }
    return sent;
}

/* Asks the nodes that have not answered yet; true when it is over: *quorum is then whether one has
 * answered. */
static bool inspect_is_over(rlk_lock *lock, unsigned command, bool *quorum)
{
    const rlk_client *client = lock->client;
    bool over = client->now_ms >= lock->deadline_ms;
    rlki_tally tally;
    unsigned i;

    for (i = 0; i < rlki_nodes(client) && !over; i++) {
        rlk_node_lock *node = &lock->nodes[i];

        if (node->vote == RLKI_VOTE_NONE && node->request.tag == RLKI_NO_COMMAND)
            rlki_node_lock_ask(node, command);
    }
    tally = rlki_tally_of(lock);
    *quorum = tally.yes >= rlki_needed(client);
    if (client->now_ms >= lock->phase_ms) {
        lock->phase_ms = RLKI_NEVER; /* a quorum is enough from now on */
        lock->flags |= RLKI_LOCK_QUORUM_DOES;
    }
    return over || tally.pending == 0 || (*quorum && (lock->flags & RLKI_LOCK_QUORUM_DOES) != 0);
}

static bool inspect_query_step(rlk_lock *lock)
{
    bool quorum;
    rlk_result result;

    if (!inspect_is_over(lock, RLKI_QUERY, &quorum))
        return false;
    if (!quorum)
        result = rlki_operation_unanswered(lock);
    else
        result = inspect_is_held(lock) ? RLK_OK : RLK_NOT_HELD;
    (void)inspect_abandon(lock);
    rlki_operation_finish(lock, result);
    return false;
}

static bool inspect_force_step(rlk_lock *lock)
{
    bool quorum;
    bool sent;
    rlk_result result;

    if (!inspect_is_over(lock, RLKI_DEL, &quorum))
        return false;
    result = quorum ? RLK_OK : rlki_operation_unanswered(lock);
    sent = inspect_abandon(lock);
    rlki_operation_finish(lock, sent && !quorum ? RLK_UNKNOWN : result);
    return false;
}

static void inspect_query_cancel(rlk_lock *lock)
{
    (void)inspect_abandon(lock);
    rlki_operation_finish(lock, RLK_CANCELLED);
}

static void inspect_force_cancel(rlk_lock *lock)
{
    rlki_operation_finish(lock, inspect_abandon(lock) ? RLK_UNKNOWN : RLK_CANCELLED);
}

static const rlki_operation inspect_query = {
    RLK_OP_QUERY, RLKI_OP_ONCE,   inspect_query_step,   inspect_query_report,
    NULL,         inspect_failed, inspect_query_cancel, NULL,
};

static const rlki_operation inspect_force = {
    RLK_OP_FORCE_RELEASE, RLKI_OP_ONCE, inspect_force_step, inspect_force_report, NULL, NULL,
    inspect_force_cancel, NULL,
};

/* ---- Calls ---- */

static void inspect_begin(rlk_lock *lock, const rlki_operation *op)
{
    rlki_notify_forget(lock); /* an earlier DEL is no answer to this one */
    rlki_operation_begin(lock, op, rlki_from_now(lock, lock->client->operation_timeout_ms));
    lock->phase_ms = rlki_from_now(lock, lock->node_timeout_ms);
}

static rlk_result inspect_query_call(rlk_lock *lock, int64_t cap, rlk_holder *holders)
{
    size_t i;

    if (holders == NULL || cap < rlki_nodes(lock->client))
        return RLK_E_ARGUMENT;
    memset(holders, 0, (size_t)cap * sizeof *holders);
    for (i = 0; i < (size_t)cap; i++) {
        holders[i].result = RLK_PENDING;
        holders[i].ttl_ms = RLKI_TTL_ABSENT;
    }
    lock->queue.asked = holders;
    inspect_begin(lock, &inspect_query);
    return RLK_PENDING;
}

const rlki_call rlki_call_query = {&inspect_query, RLKI_CALL_YIELDS, inspect_query_call};

static rlk_result inspect_force_call(rlk_lock *lock, int64_t argument, rlk_holder *holders)
{
    (void)argument;
    (void)holders;
    if (lock->state == RLKI_HELD)
        return RLK_E_STATE;
    inspect_begin(lock, &inspect_force);
    return RLK_PENDING;
}

const rlki_call rlki_call_force_release = {&inspect_force, RLKI_CALL_SERVED, inspect_force_call};
