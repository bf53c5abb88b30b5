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

void support_assert_end(const rlk_event *event, rlk_operation operation, rlk_result result,
                        const char *file, int line)
{
    bool acquired = operation == RLK_OP_ACQUIRE && result == RLK_OK;

    if (event->type != (acquired ? RLK_EV_ACQUIRED : RLK_EV_RESULT) ||
        event->operation != operation || event->result != result)
        support_fail_at(file, line, "event %d: operation %d with %s instead of %d with %s",
                        (int)event->type, (int)event->operation, rlk_result_name(event->result),
                        (int)operation, rlk_result_name(result));
}

bool support_renewal_refused(const rlk_event *event)
{
    return event->type == RLK_EV_RENEW_FAILED &&
           (event->result == RLK_NOT_OWNER || event->result == RLK_E_WRONGTYPE);
}

bool support_renewal_unknown(const rlk_event *event)
{
    return event->type == RLK_EV_RENEW_FAILED && !support_renewal_refused(event);
}
