/* SPDX-License-Identifier: MIT */
#include "tally.h"

rlki_tally rlki_tally_of(const rlk_lock *lock)
{
    rlki_tally tally = {0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t *votes = (uint8_t *)&tally;
    unsigned i;

    for (i = 0; i < rlki_nodes(lock->client); i++) {
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
