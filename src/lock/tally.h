/* SPDX-License-Identifier: MIT
 *
 * Votes of all nodes, counted. One node and five are the same code.
 */
#ifndef RLKI_LOCK_TALLY_H
#define RLKI_LOCK_TALLY_H

#include "node_lock.h"

/* Nodes. The first fields are those of the votes, in their order. */
typedef struct rlki_tally {
    uint8_t pending; /* RLKI_VOTE_NONE */
    uint8_t yes;
    uint8_t no; /* RLKI_VOTE_NO */
    uint8_t no_after;
    uint8_t error; /* and those that have no part */
    uint8_t skipped;
    uint8_t unclean; /* not clean, or in doubt */
    uint8_t doubt;
} rlki_tally;

/* Counts the votes of a lock's nodes. */
rlki_tally rlki_tally_of(const rlk_lock *lock);

#endif
