/* SPDX-License-Identifier: MIT
 *
 * Nodes of a quorum that are lost under a lock that renews itself and one that waits, as many as
 * may be: dead, stopped, cut off, or restarted without their data.
 */
#include "quorum_lost.h"

static void test_fault_37_two_of_five_cut_off_under_renewals(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ways); i++) {
        begin(900, 300);
        outage_begin(ways[i], &both.world, 0, 2);
        rivals_serve(&both, 4, ways[i]->name); /* which takes longer than a TTL */
        if (i % 2 == 0)                        /* they come back before, or never */
            outage_end(ways[i], &both.world, 0, 2);
        rivals_serve(&both, 2, ways[i]->name);
        hand_over();
        rivals_close(&both);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_37_two_of_five_cut_off_under_renewals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
