/* SPDX-License-Identifier: MIT
 *
 * Nodes of a quorum that are lost one after the other, under a lock that renews itself and one that
 * waits: in the end none has been there all the time.
 */
#include "quorum_lost.h"

static void test_loss_of_each_node_in_turn(void **state)
{
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++) {
        if (ways[i] == &outage_emptied) /* its token is not created again */
            continue;
        begin(1200, 300);
        for (k = 0; k < NODES; k++) {
            outage_begin(ways[i], &both.world, k, k + 1);
            rivals_serve(&both, 1, ways[i]->name);
            outage_end(ways[i], &both.world, k, k + 1);
            nodes_connect(&both.world.set);
            rivals_serve(&both, 1, ways[i]->name); /* which puts its TTL right */
        }
        hand_over();
        rivals_close(&both);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_loss_of_each_node_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
