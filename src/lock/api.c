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

extern inline rlk_result rlki_api_begin(rlk_lock *lock, rlk_result entered, const rlki_call *call,
                                        int64_t argument, rlk_holder *holders);

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
