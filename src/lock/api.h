/* SPDX-License-Identifier: MIT
 *
 * What the started and the blocking forms of the calls share.
 */
#ifndef RLKI_LOCK_API_H
#define RLKI_LOCK_API_H

#include "operation.h"

/* Every public operation in its started form. argument: the wait, the time added, the TTL, the size
 * of `holders`. */
rlk_result rlki_api_start(rlk_lock *lock, const rlki_call *call, int64_t argument,
                          rlk_holder *holders);

/* The same of a lock that was entered; entered: what that came to. */
rlk_result rlki_api_begin(rlk_lock *lock, rlk_result entered, const rlki_call *call,
                          int64_t argument, rlk_holder *holders);

#endif
