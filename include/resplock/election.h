/* SPDX-License-Identifier: MIT
 *
 * resplock/election.h: a leader and its followers, by one lock.
 */
#ifndef RESPLOCK_ELECTION_H
#define RESPLOCK_ELECTION_H

#include "resplock/lock.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Stands for election: acquires for ever, and once it leads (RLK_EV_ACQUIRED) renews by itself,
 * with auto_renew or without. After RLK_EV_LOST, when that event was pulled, it follows again by
 * itself. Ends with rlk_resign, with rlk_release of a leader or rlk_cancel of a follower, or
 * with an RLK_EV_RESULT of the acquire (a fatal error, or RLK_UNKNOWN):
 * start again when that is mended. Renewals, by this or by auto_renew, are sent and heard where the
 * library is called: by the loop's rlk_posix_service, or by any blocking call on the client; at
 * least every third of the TTL, else the lease runs out. Programs that only block use rlk_acquire
 * and rlk_keep_alive in a loop. RLK_PENDING, or as rlk_acquire_start.
 */
RLK_API rlk_result rlk_campaign_start(rlk_lock *lock);

/*
 * Leads and follows no longer, whichever it did. The results are those of rlk_release, with
 * RLK_CANCELLED where it followed; RLK_NOT_HELD: it did neither.
 */
RLK_API rlk_result rlk_resign(rlk_lock *lock);
RLK_API rlk_result rlk_resign_start(rlk_lock *lock);

/* Who leads, as rlk_leader finds it. Zero it before the first call; it is the memory of when a
 * leader was seen first. Times are of the client's clock. */
typedef struct rlk_leader_info {
    bool known; /* there is one: the rest is valid */
    bool ours;  /* it is a lock of this client, which holds it */
    uint8_t name_len;
    int64_t since_ms; /* ours: acquired then. Another: seen first then, so it leads since before */
    int64_t until_ms; /* when its lease ends unless it is renewed; RLK_NEVER: it has no expiry */
    char token[RLK_TOKEN_MAX + 1]; /* the first name_len bytes are its token_prefix: its name */
} rlk_leader_info;

/*
 * Of the answers of an rlk_query that was RLK_OK: the leader, whose token_prefix is its name or
 * address. `holders` are those of the query, as many as rlk_client_nodes(). A lock that follows has
 * an operation under way: ask with another one for the same key. Times count from this call, so it
 * is to follow the query. Touches no network. RLK_OK; RLK_NOT_HELD: nobody leads, or what is in the
 * key is longer than a token can be; RLK_E_ARGUMENT, RLK_E_CLOSED, RLK_E_FORKED.
 */
RLK_API rlk_result rlk_leader(rlk_lock *lock, const rlk_holder *holders, rlk_leader_info *leader);

#ifdef __cplusplus
}
#endif

#endif
