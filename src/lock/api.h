/* SPDX-License-Identifier: MIT
 *
 * What the started and the blocking forms of the calls share.
 */
#ifndef RLKI_LOCK_API_H
#define RLKI_LOCK_API_H

#include "events.h"
#include "machine.h"
#include "operation.h"

/* Every public operation in its started form. argument: the wait, the time added, the TTL, the size
 * of `holders`. */
rlk_result rlki_api_start(rlk_lock *lock, const rlki_call *call, int64_t argument,
                          rlk_holder *holders);

/* The same of a lock that was entered; entered: what that came to. */
RLKI_INTO_CALLERS rlk_result rlki_api_begin(rlk_lock *lock, rlk_result entered,
                                            const rlki_call *call, int64_t argument,
                                            rlk_holder *holders)
{
    rlk_result result = entered;

    if (result == RLK_OK && rlki_operation_is_on(lock))
        result = RLK_E_STATE;
    if (result == RLK_OK) {
        /* else who never pauses would starve it */
        if ((call->flags & RLKI_CALL_YIELDS) != 0 && lock->state == RLKI_HELD &&
            lock->client->now_ms >= lock->as.hold.renew_ms) {
            lock->client->renewal->due(lock);
            rlki_machine_run(lock);
        }
        result = call->begin(lock, argument, holders); /* PENDING: begun; OK: nothing to do */
        if (result == RLK_PENDING || result == RLK_OK)
            rlki_machine_run(lock);
    }
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

#endif
