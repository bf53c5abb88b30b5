/* SPDX-License-Identifier: MIT
 *
 * resplock/election.h: one leader among several processes, by a lock that each of them wants.
 *
 *     rlk_campaign_start(&lock);           follows, and leads when it acquires the lock
 *         RLK_EV_ACQUIRED                  leads, and renews at each call of the library
 *         RLK_EV_LOST                      leads no longer; follows again
 *         RLK_EV_RESULT, RLK_OP_ACQUIRE    the campaign is over: RLK_UNKNOWN, or a lasting error
 *     rlk_resign_start(&lock);             ends it
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
 * Campaigns: acquires without a deadline, and renews, with or without auto_renew. After a loss it
 * follows again, once you have pulled its RLK_EV_LOST. The campaign ends with rlk_resign,
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
 * Finds the leader, without the network: a lock of this client that holds the key, or what a quorum
 * of nodes said last. A follower asks them each time that it finds the key held, if its
 * configuration has memory for the answers: `holders`. So does an rlk_query into the same memory,
 * by a lock that does not campaign. Without that memory only leaders of this client are found.
 * RLK_NOT_HELD: nobody leads, as far as is known, or the key has more than a token can be. Else
 * RLK_OK, RLK_E_ARGUMENT, RLK_E_CLOSED, RLK_E_FORKED.
 */
RLK_API rlk_result rlk_leader(rlk_lock *lock, rlk_leader_info *leader);

#ifdef __cplusplus
}
#endif

#endif
