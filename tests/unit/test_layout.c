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
    OPTIONS,
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

static uint32_t options_now(void)
{
    return RLKI_LAYOUT_OPTIONS;
}

#undef RLKI_LAYOUT_OPTIONS
#define RLKI_LAYOUT_OPTIONS limit[OPTIONS]

static void test_layout_is_another_number_for_each(void **state)
{
    static const uint32_t values[LIMITS][4] = {
        [MAJOR] = {0, 1, 2, 31},     [MINOR] = {0, 1, 2, 63},  [DEPTH] = {1, 8, 128, 254},
        [PREFIX] = {0, 64, 65, 255}, [NODES] = {1, 5, 16, 31}, [OPTIONS] = {0x11, 0x18, 0x41, 0x48},
    };
    static uint32_t seen[4096]; /* 4 to the power of LIMITS */
    uint32_t i, n;

    (void)state;
    for (n = 0; n < COUNT_OF(seen); n++) {
        uint32_t limit[LIMITS];

        for (i = 0; i < LIMITS; i++)
            limit[i] = values[i][n >> (2 * i) & 3];
        seen[n] = RLK_LAYOUT;
        for (i = 0; i < n; i++)
            if (seen[i] == seen[n])
                support_fail("%u and %u have one layout", (unsigned)i, (unsigned)n);
    }
    assert_int_equal(options_now(), sizeof(rlk_result_kind) * 16 + offsetof(rlki_layout, number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_is_another_number_for_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
