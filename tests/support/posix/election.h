/* SPDX-License-Identifier: MIT
 *
 * election.h: two clients over the same servers in one loop, each with a lock that may
 * campaign. Of processes that do: candidate.h.
 */
#ifndef TEST_ELECTION_H
#define TEST_ELECTION_H

#include "nodes.h"

#define ELECTION_KEY "service"

/* Large, so static in tests. */
typedef struct election {
    nodes first;
    nodes second;
    rlk_lock anna; /* of the first client */
    rlk_lock bert; /* of the second */
} election;

/* Starts the servers and opens both clients, which settle for 300 ms at most (scaled). All servers
 * are connected, nobody leads. */
void election_open(election *both, size_t count, const rlk_lock_config *anna,
                   const rlk_lock_config *bert);

/* Closes both, and ends the servers. */
void election_close(election *both);

/* Stands, leads, and has been notified of that. */
void election_lead(rlk_lock *lock, rlk_posix_client *posix);

/* Stands while somebody leads. It has tried once, and waits on the first server. */
void election_follow(election *both, rlk_lock *lock, rlk_posix_client *posix);

/* Takes the key away under a leader, which notices; its LOST is not pulled. */
void election_lose(election *both, rlk_lock *lock, rlk_posix_client *posix);

/* The command goes to all servers. */
void election_everywhere(election *both, const char *command);

/* Servers that have a leader. */
size_t election_holding(const election *both);

/* Neither leads nor follows, and has no event. */
void election_assert_idle(rlk_lock *lock, rlk_posix_client *posix);

#endif
