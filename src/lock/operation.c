/* SPDX-License-Identifier: MIT
 *
 * What all operations share: a lock has at most one.
 *
 *            begin: no votes         finish: the result is an event
 *     none -----------------> on ----------------------------------> none
 *                            |  ^
 *                            +--+ step, report
 */
#include "operation.h"
#include "../net/condemn.h"
#include "clock.h"
#include "events.h"
#include "lease.h"
#include "trace.h"

extern inline bool rlki_operation_is_on(const rlk_lock *lock);

rlk_result rlki_operation_unanswered(rlk_lock *lock)
{
    unsigned silent = 0;
    unsigned i;

    /* nobody said anything: is it that nobody could be asked? */
    for (i = 0; lock->error == RLK_OK && i < rlki_nodes(lock->client); i++) {
        rlk_conn *conn = rlki_route(lock, i);

        if (!rlki_conn_is_ready(conn))
            rlki_lock_note(lock, i, RLKI_NO_COMMAND, rlk_conn_result(conn));
        else if (lock->nodes[i].vote == RLKI_VOTE_NONE)
            silent = i;
    }
    if (lock->error == RLK_OK)
        rlki_lock_note(lock, silent, lock->nodes[silent].request.tag, RLK_E_RESPONSE_TIMEOUT);
    return (rlk_result)lock->error;
}

void rlki_operation_node_failed(rlk_lock *lock, rlk_node_lock *node)
{
    rlk_result why = rlk_conn_result(rlki_route(lock, rlki_index(node)));

    rlki_lock_note(lock, rlki_index(node), RLKI_NO_COMMAND, why);
    node->vote = RLKI_VOTE_ERROR;
    if (lock->op->failed != NULL)
        lock->op->failed(lock, node, why);
}

void rlki_operation_begin(rlk_lock *lock, const rlki_operation *op, int32_t deadline_ms)
{
    rlk_client *client = lock->client;
    unsigned i;
    bool called = op->id != RLK_OP_NONE;
    /* the renewals of a thousand locks leave the connections their backoff */
    bool hurries =
        called || client->hurried_ms <= rlki_earlier(client->now_ms, lock->node_timeout_ms);

    /* the caller who starts the next has no use for the result of the last one */
    if (called)
        rlki_event_drop(lock, RLKI_EVENT_RESULT);
    if (hurries)
        client->hurried_ms = client->now_ms;
    lock->op = op;
    lock->phase = RLKI_PHASE_WORK;
    lock->flags = 0;
    lock->deadline_ms = deadline_ms;
    lock->later = 0;
    lock->phase_ms = RLKI_NEVER;
    lock->outcome = RLK_OK;
    lock->error = RLK_OK;
    lock->second_try = 0;
    for (i = 0; i < rlki_nodes(client); i++) {
        rlk_node_lock *node = &lock->nodes[i];
        rlk_conn *conn = rlki_route(lock, i);

        rlki_node_lock_renounce(node);
        node->vote = RLKI_VOTE_NONE;
        if (rlki_conn_is_ready(conn)) {
            lock->second_try |= rlki_bit(i);
            continue;
        }
        if (hurries)
            rlk_conn_hurry(conn, client->clock_ms);
        if (op->changed == NULL && rlki_conn_is_over(conn))
            rlki_operation_node_failed(lock, node);
    }
}

/* A stream that was there before the call may have been dead already (fault 115): nobody has read
 * from it, and no clock can say. And one that the server condemned says nothing of the next. What
 * begins anew then, on a stream of its own, ends at the next error. */
bool rlki_operation_tries_again(const rlk_lock *lock, unsigned node)
{
    rlk_result why = rlk_conn_result(rlki_route(lock, node));

    return (lock->second_try & rlki_bit(node)) != 0 &&
           ((lock->op->flags & RLKI_OP_ONCE) != 0 || (lock->flags & RLKI_LOCK_TRY) != 0) &&
           (rlk_result_class(why) == RLK_KIND_TRANSPORT || rlki_condemn_is_for(why));
}

void rlki_operation_note(rlk_lock *lock, unsigned id, rlk_result result)
{
    lock->done_operation = (uint8_t)id;
    lock->done_result = (int16_t)result;
    lock->options = (uint8_t)(lock->options & ~(RLKI_OPTION_RENEWED | RLKI_OPTION_FELL));
}

void rlki_operation_report(rlk_lock *lock, unsigned id, rlk_result result)
{
    rlki_operation_note(lock, id, result);
    rlki_event_raise(lock, RLKI_EVENT_RESULT);
}

void rlki_operation_finish(rlk_lock *lock, rlk_result result)
{
    rlk_client *client = lock->client;
    const rlki_operation *op = lock->op;

    RLKI_TRACE(lock, RLK_TRACE_RESULT, -1,
               rlki_operation_name(op->id != RLK_OP_NONE ? op->id : (unsigned)RLK_OP_RENEW),
               result);
    client->failed = (int16_t)(result < 0 ? result : RLK_OK);
    if (result < 0)
        client->checked = false;
    client->failed_node = lock->error_node;
    client->failed_command = lock->error_command;
    if (result == RLK_OK)
        lock->error = RLK_OK; /* the operation survived it: it is not why the lease will end */
    lock->op = NULL;
    lock->deadline_ms = RLKI_NEVER;
    lock->phase_ms = RLKI_NEVER;
    if (op->ended != NULL)
        op->ended(lock, result);
    if (op->id == RLK_OP_NONE)
        return;
    rlki_operation_report(lock, op->id, result);
    rlki_renewal_schedule(lock, false);
}

#ifndef RLK_NO_TEXT
const char *rlki_operation_name(unsigned id)
{
    static const char *const names[] = {"lock",  "acquire", "release", "extend",
                                        "renew", "check",   "query",   "force_release"};

    return names[id];
}
#endif
