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
RLKI_INTO_CALLERS rlki_tally rlki_tally_of(const rlk_lock *lock)
{
    rlki_tally tally = {0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t *votes = (uint8_t *)&tally;
    unsigned i;

    for (i = 0; i < (RLK_MAX_NODES == 1 ? 1u : lock->client->nodes); i++) {
        const rlk_node_lock *node = &lock->nodes[i];
        bool doubt = (node->flags & RLKI_NODE_IN_DOUBT) != 0;

        votes[node->vote]++;
        if (doubt || !rlki_node_lock_is_clean(node))
            tally.unclean++;
        tally.doubt = (uint8_t)(tally.doubt + doubt);
    }
    tally.error = (uint8_t)(tally.error + tally.skipped);
    return tally;
}

#endif
