/* SPDX-License-Identifier: MIT
 *
 * resplock/election.h: one leader among several processes, by a lock that each of them wants.
 *
 *     rlk_campaign_start(&lock);           follows, and leads when it acquires the lock
 *         RLK_EV_ACQUIRED                  leads, and renews at each call of the library
 *         RLK_EV_LOST                      leads no longer; follows again
 *         RLK_EV_RESULT, RLK_OP_ACQUIRE    the campaign is over: an error that stays, or
 * RLK_UNKNOWN rlk_resign_start(&lock);             ends it
 *
 * Programs that only block call rlk_acquire and rlk_keep_alive in a loop instead.
 */
#ifndef RESPLOCK_ELECTION_H
#define RESPLOCK_ELECTION_H

#include "resplock/lock.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Campaigns: acquires without a deadline, renews with or without auto_renew, and follows again
 * after a loss, once you have pulled its RLK_EV_LOST. The campaign ends with rlk_resign,
 * rlk_release of a leader, rlk_cancel of a follower, or an RLK_EV_RESULT of the acquire: start
 * again when that is mended. Call the library (rlk_posix_service, or a blocking call on the client)
 * at least every third of the TTL: it sends renewals and reads their answers there. Results as of
 * rlk_acquire_start.
 */
RLK_API rlk_result rlk_campaign_start(rlk_lock *lock);

/* Resigns: ends the campaign of a leader or a follower. Results as of rlk_release; RLK_CANCELLED of
 * a follower; RLK_NOT_HELD of neither. */
RLK_API rlk_result rlk_resign(rlk_lock *lock);
RLK_API rlk_result rlk_resign_start(rlk_lock *lock);

/* Who leads. Zero it before the first rlk_leader: it remembers since when. Times are of the
 * client's clock. */
typedef struct rlk_leader_info {
    bool known; /* somebody leads, and the rest is valid */
    bool ours;  /* it is a lock of this client, which holds it */
    uint8_t name_len;
    int64_t since_ms; /* when it was acquired, if it is ours. Else when rlk_leader first saw it */
    int64_t until_ms; /* end of its lease, unless it is renewed; RLK_NEVER: it has no expiry */
    char token[RLK_TOKEN_MAX + 1]; /* the first name_len bytes are its token_prefix: its name */
} rlk_leader_info;

/*
 * Finds the leader in the answers of an rlk_query that returned RLK_OK; its token_prefix is its
 * name or address. `holders` are the query's, rlk_client_nodes() of them. A follower has an
 * operation under way: query by another lock of the same key. Times count from this call, so call
 * it at once. Without the network. RLK_NOT_HELD: nobody leads, or the key has more than a token can
 * be. Else RLK_OK, RLK_E_ARGUMENT, RLK_E_CLOSED, RLK_E_FORKED.
 */
RLK_API rlk_result rlk_leader(rlk_lock *lock, const rlk_holder *holders, rlk_leader_info *leader);

#ifdef __cplusplus
}
#endif

#endif
