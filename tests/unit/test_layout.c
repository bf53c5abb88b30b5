/* SPDX-License-Identifier: MIT
 *
 * The number that the init macros pass: no two layouts have the same.
 */
#include "support.h"

#include "resplock.h"

enum {
    MAJOR,
    MINOR,
    DEPTH,
    PREFIX,
    NODES,
    LIMITS
};

/* The macro takes its limits where it is used: here from a table. */
#undef RLK_VERSION_MAJOR
#undef RLK_VERSION_MINOR
#undef RLK_RESP_MAX_DEPTH
#undef RLK_PREFIX_MAX
#undef RLK_MAX_NODES
#define RLK_VERSION_MAJOR  limit[MAJOR]
#define RLK_VERSION_MINOR  limit[MINOR]
#define RLK_RESP_MAX_DEPTH limit[DEPTH]
#define RLK_PREFIX_MAX     limit[PREFIX]
#define RLK_MAX_NODES      limit[NODES]

static void test_layout_is_another_number_for_each(void **state)
{
    static const uint32_t values[LIMITS][4] = {
        [MAJOR] = {0, 1, 2, 31},     [MINOR] = {0, 1, 2, 63},  [DEPTH] = {1, 8, 128, 254},
        [PREFIX] = {0, 64, 65, 255}, [NODES] = {1, 5, 16, 31},
    };
    static uint32_t seen[1024]; /* 4 to the power of LIMITS */
    uint32_t i, n;

    (void)state;
    for (n = 0; n < 1024; n++) {
        uint32_t limit[LIMITS];
        for (i = 0; i < LIMITS; i++)
            limit[i] = values[i][n >> (2 * i) & 3];
        seen[n] = RLK_LAYOUT;
        for (i = 0; i < n; i++)
            assert_int_not_equal(seen[i], seen[n]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_is_another_number_for_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
