/* SPDX-License-Identifier: MIT
 *
 * resplock/transfer.h: the lease of a lock that is held moves to a lock of another client. That
 * lock goes on to renew and to release it. One lock owns a lease at any time.
 */
#ifndef RESPLOCK_TRANSFER_H
#define RESPLOCK_TRANSFER_H

#include "resplock/lock.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A lease between two locks. It may be copied, but attached only once. Fields are private. */
typedef struct rlk_lease {
    const uint8_t *key; /* of the lock that held it, as its prefix; both outlive the lease */
    const char *prefix;
    size_t texts; /* hash of both */
    uint32_t key_len;
    uint32_t ttl_ms;
    uint32_t node_timeout_ms;
    uint32_t max_hold_ms;
    uint32_t token;
    uint32_t present; /* nodes that hold the token, a bit each */
    uint8_t nodes;
    uint8_t base[16];
    int64_t node_until_ms[RLK_MAX_NODES]; /* expiry less drift */
    int64_t since_ms;
    int64_t target_ms;
    int64_t claim_ms;
    int64_t until_ms; /* valid before it: never longer than the lock was that held it */
} rlk_lease;

/*
 * Takes the lease off a lock that is held: afterwards the lock is not held, and its next acquire
 * has another token. Sends nothing to the nodes that hold the key; on other nodes, where a SET of
 * the acquire may still be executed, it is undone in the background. A renewal in the background is
 * abandoned. Without an attach the key stays until its TTL.
 * RLK_OK; RLK_NOT_HELD, RLK_LOST; RLK_E_STATE: an operation is under way; or fewer than a quorum of
 * nodes have answered that they hold the key; or one of these may get it again, from a SET that was
 * lost with its stream. RLK_E_ARGUMENT, RLK_E_CLOSED, RLK_E_FORKED.
 */
RLK_API rlk_result rlk_lock_detach(rlk_lock *lock, rlk_lease *lease);

/*
 * Hands the lease to a lock, which holds it from then on: for as long as it was valid before, and
 * no longer until a renewal is answered. The lock has the same key and token_prefix. Its client has
 * the same servers in the same order, and the same clock. It asks them at once whether the key
 * is still there. Both clients may belong to different threads: then the caller orders the two
 * calls. RLK_OK; RLK_LOST: attached, and over already: it is undone, and RLK_EV_LOST follows;
 * RLK_E_STATE: the lock is held, busy, or owns tokens of its own whose undo goes on; RLK_E_KEY:
 * another key or prefix; RLK_E_NODES: another number of nodes; RLK_E_ARGUMENT, RLK_E_CLOSED,
 * RLK_E_FORKED.
 */
RLK_API rlk_result rlk_lock_attach(rlk_lock *lock, const rlk_lease *lease);

#ifdef __cplusplus
}
#endif

#endif
