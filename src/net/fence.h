/* SPDX-License-Identifier: MIT
 *
 * Internal: the fence between one connection and the next.
 */
#ifndef RLKI_NET_FENCE_H
#define RLKI_NET_FENCE_H

#include "steps.h"

typedef enum rlki_fence {
    RLKI_FENCE_NONE,     /* the old connection can't be fenced */
    RLKI_FENCE_GONE,     /* its instance of the server is gone, and its commands with it */
    RLKI_FENCE_KILL,     /* CLIENT KILL ID: 1 and 0 both fence */
    RLKI_FENCE_KILL_ADDR /* CLIENT KILL ID ADDR: only 1 fences */
} rlki_fence;

/* How the connection `old` can be fenced over `fresh`. */
rlki_fence rlki_fence_decide(const rlk_conn_identity *old, const rlk_conn_identity *fresh);

extern const conn_step rlki_step_fence;

#endif
