/* SPDX-License-Identifier: MIT
 *
 * result.c: in a file of its own, so that only tests that use it need rlk_result_name.
 */
#include "support.h"

void support_assert_result(rlk_result actual, rlk_result expected, const char *expression,
                           const char *file, int line)
{
    if (actual != expected)
        support_fail_at(file, line, "%s is %s (%d), not %s (%d)", expression,
                        rlk_result_name(actual), (int)actual, rlk_result_name(expected),
                        (int)expected);
}
