/* SPDX-License-Identifier: MIT */
#include "tally.h"

rlki_tally rlki_tally_of(const rlk_lock *lock)
{
    rlki_tally tally = {0, 0, 0, 0, 0, 0, 0};
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
        const rlk_node_lock *node = &lock->nodes[i];

        switch (node->vote) {
        case RLKI_VOTE_YES:
            tally.yes++;
            break;
        case RLKI_VOTE_NO:
            tally.no++;
            break;
        case RLKI_VOTE_NO_AFTER:
            tally.no_after++;
            break;
        case RLKI_VOTE_NONE:
            tally.pending++;
            break;
        default:
            tally.error++;
            break;
        }
        if (!rlki_node_lock_is_clean(node) || (node->flags & RLKI_NODE_IN_DOUBT) != 0)
            tally.unclean++;
        if ((node->flags & RLKI_NODE_IN_DOUBT) != 0)
            tally.doubt++;
    }
    return tally;
}
