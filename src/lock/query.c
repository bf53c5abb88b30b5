/* SPDX-License-Identifier: MIT
 *
 * Query (GET and PTTL in one write) and force_release (DEL), on every node. Each ends when all
 * nodes have answered; when a quorum has, and the others had the time of one try; or at the
 * deadline. A node that can't be reached has answered: with that error.
 */
#include "internal.h"
#include "validity.h"

#include <string.h>

bool rlki_query_is_on(const rlk_lock *lock, unsigned command)
{
    return lock->operation ==
           (command == RLKI_QUERY ? (unsigned)RLK_OP_QUERY : (unsigned)RLK_OP_FORCE_RELEASE);
}

void rlki_query_forget(rlk_lock *lock)
{
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (lock->seats[i].request.tag == RLKI_DEL) {
            (void)rlki_seat_abandon(&lock->seats[i]);
            rlki_watch_tell(lock->client, i, lock->key_hash, RLK_CAUSE_LOCAL, NULL);
        }
}

void rlki_query_begin(rlk_lock *lock, rlk_operation operation)
{
    rlk_client *client = lock->client;
    int64_t now_ms = client->now_ms;
    rlki_query_forget(lock); /* an earlier DEL is no answer to this one */
    rlki_operation_begin(lock, operation, now_ms + (int64_t)client->operation_timeout_ms);
    lock->phase_ms = now_ms + (int64_t)lock->node_timeout_ms;
    rlki_operation_step(lock);
}

static void query_clear(rlk_holder *holder)
{
    holder->ttl_ms = -2;
    holder->token_len = 0;
    holder->token[0] = '\0';
    holder->ours = false;
}

/* What one node answers to GET: begins its answer anew, whatever an earlier one that was cut in
 * half had said. */
static void query_keep_token(rlk_lock *lock, rlk_holder *holder, const rlk_reply *reply)
{
    uint8_t own[RLK_TOKEN_MAX];
    size_t own_len = rlki_token_len(lock);
    size_t len = reply->len < RLK_TOKEN_MAX ? reply->len : RLK_TOKEN_MAX;
    query_clear(holder);
    holder->result = RLK_PENDING;
    if (reply->type == RLK_RESP_NULL)
        return;
    if (reply->error != RLK_OK) {
        holder->result = reply->error;
        return;
    }
    holder->ttl_ms = -1; /* it is there; PTTL follows */
    holder->token_len = (uint32_t)reply->value;
    if (!reply->data)
        return;
    memcpy(holder->token, reply->data, len);
    holder->token[len] = '\0';
    rlki_token_write(lock, lock->round, own);
    holder->ours =
        reply->len == own_len && lock->round != 0 && memcmp(reply->data, own, own_len) == 0;
}

/* ... and to PTTL. A key that came between the two is not there yet, one that went is gone. */
static void query_keep_ttl(rlk_holder *holder, const rlk_reply *reply)
{
    if (holder->result != RLK_PENDING)
        return;
    holder->result = reply->error;
    if (reply->error != RLK_OK)
        return;
    if (holder->ttl_ms == -2 || reply->value == -2)
        query_clear(holder);
    else
        holder->ttl_ms = reply->value;
}

void rlki_query_reply(rlk_seat *seat, unsigned command, const rlk_reply *reply, unsigned left)
{
    rlk_lock *lock = rlki_seat_lock(seat);
    rlk_result result = reply->error;
    if (!rlki_query_is_on(lock, command))
        return; /* a DEL whose operation is over */
    if (command == RLKI_QUERY) {
        rlk_holder *holder = (rlk_holder *)lock->query + seat->index;
        if (left > 0) {
            query_keep_token(lock, holder, reply);
            return;
        }
        query_keep_ttl(holder, reply);
        result = holder->result;
    }
    if (result == RLK_OK) {
        seat->verdict = RLKI_YES;
        return;
    }
    rlki_lock_note(lock, seat->index, command, result);
    seat->verdict = RLKI_ERROR;
}

static bool query_same_token(const rlk_holder *a, const rlk_holder *b)
{
    size_t len = a->token_len < RLK_TOKEN_MAX ? a->token_len : RLK_TOKEN_MAX;
    return a->token_len == b->token_len && memcmp(a->token, b->token, len) == 0;
}

unsigned rlki_query_agree(const rlk_client *client, const rlk_holder *holders,
                          const rlk_holder *holder)
{
    unsigned same = 0;
    unsigned i;
    if (holder->result != RLK_OK || holder->ttl_ms == -2)
        return 0;
    for (i = 0; i < rlki_nodes(client); i++)
        if (holders[i].result == RLK_OK && holders[i].ttl_ms != -2 &&
            query_same_token(&holders[i], holder))
            same++;
    return same;
}

/* True if one token is on a quorum of nodes. */
static bool query_held(const rlk_lock *lock)
{
    const rlk_holder *holders = (const rlk_holder *)lock->query;
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++)
        if (rlki_query_agree(lock->client, holders, &holders[i]) >= rlki_needed(lock->client))
            return true;
    return false;
}

/* Takes back what is under way; true if a DEL was sent that is not answered. That one stays: what
 * it deletes is told to our own waiters by nobody else. */
static bool query_abandon(rlk_lock *lock)
{
    bool sent = (lock->flags & RLKI_LOCK_MAYBE_SENT) != 0;
    unsigned i;
    for (i = 0; i < rlki_nodes(lock->client); i++) {
        rlk_seat *seat = &lock->seats[i];
        if (seat->request.tag == RLKI_DEL && seat->request.state == RLK_REQUEST_SENT)
            sent = true;
        else if (seat->request.tag == RLKI_QUERY || seat->request.tag == RLKI_DEL)
            sent = !rlki_seat_abandon(seat) || sent;
    }
    return sent && lock->operation == RLK_OP_FORCE_RELEASE;
}

static void query_finish(rlk_lock *lock, bool quorum)
{
    rlk_result result = RLK_OK;
    rlk_result unanswered = quorum ? RLK_OK : rlki_lock_unanswered(lock);
    bool sent = query_abandon(lock);
    if (!quorum) {
        result = sent ? RLK_UNKNOWN : unanswered;
    } else if (lock->operation == RLK_OP_QUERY && !query_held(lock)) {
        result = RLK_NOT_HELD;
    }
    rlki_operation_finish(lock, result);
}

bool rlki_query_step(rlk_lock *lock)
{
    const rlk_client *client = lock->client;
    unsigned command = lock->operation == RLK_OP_QUERY ? RLKI_QUERY : RLKI_DEL;
    rlki_tally tally;
    bool quorum;
    unsigned i;
    bool over = client->now_ms >= lock->deadline_ms;
    for (i = 0; i < rlki_nodes(client) && !over; i++) {
        rlk_seat *seat = &lock->seats[i];
        if (seat->verdict == RLKI_NONE && seat->request.tag == RLKI_NO_COMMAND)
            rlki_seat_send(seat, command);
    }
    tally = rlki_tally_of(lock);
    quorum = tally.yes >= rlki_needed(client);
    if (client->now_ms >= lock->phase_ms) {
        lock->phase_ms = RLK_NEVER; /* a quorum is enough from now on */
        lock->flags |= RLKI_LOCK_QUORUM_DOES;
    }
    if (over || tally.pending == 0 || (quorum && lock->flags & RLKI_LOCK_QUORUM_DOES))
        query_finish(lock, quorum);
    return false;
}

void rlki_query_cancel(rlk_lock *lock)
{
    rlki_operation_finish(lock, query_abandon(lock) ? RLK_UNKNOWN : RLK_CANCELLED);
}
