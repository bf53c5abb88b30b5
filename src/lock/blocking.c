/* SPDX-License-Identifier: MIT
 *
 * The blocking calls: start, then wait until the result. One loop, for any driver; the operation's
 * own deadlines end it.
 *
 * An interrupt is RLK_CANCELLED, answered by env.wait:
 *
 *            call                       interrupt: rlk_cancel
 *     IDLE ---------------> WAITING -----------------------------> ENDING (a further interrupt is
 *      | ^    result         | | ^                                  |      this one)
 *      | +-------------------+ | +-- acquire's undo: waits on ------+
 *      | +-----------------------+---------- result ----------------+
 *      |                       | result, and an interrupt in the same wait
 *      | interrupt             v
 *      +-------------> INTERRUPTED --- acquire: ended before it sends anything ---> IDLE
 *        (seen when the    | ^         (RLK_CANCELLED)
 *        next call begins) +-+ another call: as in IDLE, and the interrupt stays
 */
#include "api.h"
#include "calls.h"
#include "client.h"
#include "clock.h"
#include "epoch.h"
#include "events.h"
#include "machine.h"
#include "tally.h"
#include "waiting.h"
#include "resplock/election.h"
#include "resplock/scoped.h"

/* Ends an operation whose driver can't wait: what is not settled now will not be. */
static void blocking_give_up(rlk_lock *lock)
{
    (void)rlk_cancel(lock);
    if (!rlki_operation_is_on(lock))
        return;
    /* an acquire whose undo would have to be waited for */
    rlki_operation_finish(lock, RLK_UNKNOWN);
    rlki_machine_run(lock);
}

/* Returns true while the call's own operation is under way. Its event may have been pulled while
 * waiting. Then another may have followed automatically (follow_again). */
static bool blocking_is_on(const rlk_lock *lock, const rlki_operation *op)
{
    return op != NULL && lock->op == op;
}

/* What started forms learn by an event is passed to the hook. False: which closed the lock. The
 * next wait reckons with the time that the hook took. */
static bool blocking_report(rlk_lock *lock)
{
    rlk_client *client = lock->client;
    const rlk_env *env = &client->env;

    if ((lock->events & RLKI_EVENT_WAITING) == 0)
        return true;
    rlki_event_drop(lock, RLKI_EVENT_WAITING);
    if (env->waiting != NULL)
        env->waiting(env->context, lock, rlki_waiting_reason(lock).result,
                     client->clock_ms - lock->as.wait.began_ms);
    if (lock->client != client)
        return false;
    rlki_client_now(client);
    return true;
}

/* One wait of a call whose operation goes on. False: the call is over, whatever the operation is.
 */
static RLKI_INTO_CALLERS bool blocking_turn(rlk_lock *lock, const rlki_operation *op,
                                            bool *cancelled)
{
    rlk_client *client = lock->client;
    int answer = client->env.wait(client->env.context, client, rlki_client_deadline(client));

    if (lock->client != client) /* a hook closed it while waiting */
        return false;
    if (answer == RLK_CANCELLED && !blocking_is_on(lock, op))
        client->interrupted = true;
    else if (answer == RLK_CANCELLED && !*cancelled) {
        *cancelled = true;
        (void)rlk_cancel(lock);
    } else if (answer != 0 && answer != RLK_CANCELLED && blocking_is_on(lock, op)) {
        blocking_give_up(lock);
    }
    if (!blocking_is_on(lock, op))
        return true;
    rlki_client_tick(client);
    return blocking_report(lock);
}

static RLKI_INTO_CALLERS rlk_result blocking_wait(rlk_lock *lock)
{
    rlk_client *client = lock->client;
    const rlki_operation *op = lock->op;
    bool cancelled = false;
    rlk_result result;

    while (blocking_is_on(lock, op))
        if (!blocking_turn(lock, op, &cancelled))
            return RLK_E_CLOSED;
    client->served_ms = client->now_ms;
    result = (rlk_result)lock->done_result;
    if (rlki_operation_is_on(lock))
        return result;
    rlki_event_drop(lock, RLKI_EVENT_RESULT);
    if ((lock->events & RLKI_EVENT_LOST) == 0 && rlki_lock_campaigns(lock))
        client->campaign->follow_again(lock); /* its loss was pulled while waiting */
    return result;
}

/* Between blocking calls nobody serves the connections. After this time a call first reads what has
 * come meanwhile: above all, that a server closed an idle connection. */
#define BLOCKING_IDLE_MS 1000

/* Before starting: without a way to wait nothing is started. `serves`: reads in any case. */
static RLKI_INTO_CALLERS rlk_result blocking_enter(rlk_lock *lock, bool serves)
{
    rlk_result result = rlki_machine_enter(lock);
    rlk_client *client;

    if (result != RLK_OK)
        return result;
    client = lock->client;
    if (client->env.wait == NULL)
        return RLK_E_WAIT;
    if (rlki_operation_is_on(lock))
        return RLK_OK; /* this call is refused, and must not end that one on the way */
    if (!serves && !client->interruptible &&
        rlki_earlier(client->now_ms, BLOCKING_IDLE_MS) < client->served_ms)
        return RLK_OK;
    client->served_ms = client->now_ms;
    if (client->env.wait(client->env.context, client, client->clock_ms) == RLK_CANCELLED)
        client->interrupted = true; /* before this call */
    return rlki_machine_enter(lock);
}

/* An acquire that would begin takes an interrupt that came before. Nothing of it was sent, so what
 * is known of the token is what an earlier operation left. */
static rlk_result blocking_take_interrupt(rlk_lock *lock)
{
    rlk_client *client = lock->client;

    if (!client->interrupted || lock->state == RLKI_HELD || rlki_operation_is_on(lock))
        return RLK_OK;
    client->interrupted = false;
    return rlki_tally_of(lock).unclean < rlki_needed(client) ? RLK_CANCELLED : RLK_UNKNOWN;
}

/* A lease may be lost while the call begins. Whether that comes in its first wait or in a later one
 * must not change its result: RLK_NOT_OWNER where the nodes said so. held: before the call. */
static rlk_result blocking_take_loss(const rlk_lock *lock, bool held)
{
    bool lost = held && lock->state == RLKI_LOST;

    return lost && lock->lost_cause >= RLK_LOST_DELETED ? RLK_NOT_OWNER : RLK_OK;
}

static rlk_result blocking_call(rlk_lock *lock, const rlki_call *call, int64_t argument,
                                rlk_holder *holders)
{
    /* A call that keeps a lease first reads whether it was lost. So does a DEL: it is not sent
     * twice, so a stream that is known to be dead must not take it (fault 115). */
    rlk_result entered;
    rlk_result result;
    rlk_result loss = RLK_OK;
    bool held;
    bool lease = (call->op->flags & RLKI_OP_LEASE) != 0;

    if (lock == NULL)
        return RLK_E_ARGUMENT;
    held = lock->state == RLKI_HELD;
    entered = blocking_enter(lock, (call->flags & RLKI_CALL_SERVED) != 0 && (!lease || held));
    if (entered == RLK_OK && (call->op->flags & RLKI_OP_WAITS) != 0)
        entered = blocking_take_interrupt(lock);
    if (entered == RLK_OK)
        loss = blocking_take_loss(lock, held);
    if (lease && loss != RLK_OK)
        entered = loss;
    result = rlki_api_begin(lock, entered, call, argument, holders);
    if (result == RLK_PENDING)
        result = blocking_wait(lock);
    if (result == RLK_LOST && loss != RLK_OK) { /* a release: as its own script would say */
        rlki_operation_note(lock, RLK_OP_RELEASE, loss);
        result = loss;
    }
    return result;
}

#define BLOCKING_CALL(name, parameters, argument, holders)                                         \
    rlk_result rlk_##name parameters                                                               \
    {                                                                                              \
        return blocking_call(lock, &rlki_call_##name, (argument), (holders));                      \
    }
RLKI_CALLS(BLOCKING_CALL)

rlk_result rlk_resign(rlk_lock *lock)
{
    rlk_result result = blocking_enter(lock, false);

    if (result == RLK_OK)
        result = rlk_resign_start(lock);
    return result == RLK_PENDING ? blocking_wait(lock) : result;
}

rlk_result rlk_keep_alive(rlk_lock *lock)
{
    rlk_result result = blocking_call(lock, &rlki_call_keep_alive, 0, NULL);

    /* A renewal that failed is tried again at the next call, while the lease lasts. */
    if (result != RLK_E_WAIT && rlk_is_held(lock))
        return RLK_OK;
    return result == RLK_OK || result == RLK_UNKNOWN ? RLK_LOST : result;
}

void rlki_lock_scope_end(rlk_lock *lock)
{
    rlki_lock_leave_election(lock);
    if (rlk_lock_operation(lock) != RLK_OP_NONE && rlk_cancel(lock) == RLK_OK &&
        lock->client->env.wait != NULL)
        (void)blocking_wait(lock);
    if (rlk_release(lock) == RLK_E_WAIT)
        (void)rlk_release_start(lock); /* what is encoded leaves with the loop's next turn */
    (void)rlk_lock_close(lock);
}
