/* SPDX-License-Identifier: MIT
 *
 * The public calls of a lock, in their started form.
 */
#include "api.h"
#include "calls.h"
#include "clock.h"
#include "events.h"
#include "lease.h"
#include "machine.h"

/* RLK_PENDING: begun. Else why not, or that there was nothing to do. */
static rlk_result api_begin(rlk_lock *lock, const rlki_call *call, int64_t argument,
                            rlk_holder *holders)
{
    rlk_result result;

    if (rlki_operation_is_on(lock))
        return RLK_E_STATE;
    /* else who never pauses would starve it */
    if ((call->flags & RLKI_CALL_YIELDS) != 0 && lock->state == RLKI_HELD &&
        lock->client->now_ms >= lock->as.hold.renew_ms) {
        lock->client->renewal->due(lock);
        rlki_machine_run(lock);
    }
    result = call->begin(lock, argument, holders);
    if (result == RLK_PENDING || result == RLK_OK)
        rlki_machine_run(lock);
    return result;
}

rlk_result rlki_api_begin(rlk_lock *lock, rlk_result entered, const rlki_call *call,
                          int64_t argument, rlk_holder *holders)
{
    rlk_result result = entered;

    if (result == RLK_OK)
        result = api_begin(lock, call, argument, holders);
    if (result == RLK_PENDING) {
        if ((lock->events & RLKI_EVENT_RESULT) == 0)
            return RLK_PENDING;
        rlki_event_drop(lock, RLKI_EVENT_RESULT); /* it is over already */
        return (rlk_result)lock->done_result;
    }
    /* For rlk_lock_error, unless another's result is under way or still to be pulled. */
    if (lock != NULL && lock->client != NULL && !rlki_operation_is_on(lock) &&
        (lock->events & RLKI_EVENT_RESULT) == 0)
        rlki_operation_note(lock, call->op->id, result);
    return result;
}

rlk_result rlki_api_start(rlk_lock *lock, const rlki_call *call, int64_t argument,
                          rlk_holder *holders)
{
    return rlki_api_begin(lock, rlki_machine_enter(lock), call, argument, holders);
}

rlk_result rlk_cancel(rlk_lock *lock)
{
    rlk_result result = rlki_machine_enter(lock);

    if (result != RLK_OK)
        return result;
    if (!rlki_operation_is_on(lock))
        return RLK_NOT_HELD;
    lock->op->cancel(lock);
    rlki_machine_run(lock);
    return RLK_OK;
}

#define API_STARTED(name, parameters, argument, holders)                                           \
    rlk_result rlk_##name##_start parameters                                                       \
    {                                                                                              \
        return rlki_api_start(lock, &rlki_call_##name, (argument), (holders));                     \
    }
RLKI_CALLS(API_STARTED)
