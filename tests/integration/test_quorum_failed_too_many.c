/* SPDX-License-Identifier: MIT
 *
 * Operations on 1, 3 and 5 real servers, of which one more fails than a quorum can spare.
 */
#include "failed_nodes.h"

/* ---- One too many ---- */

static bool is_no_success(rlk_result result)
{
    return result != RLK_OK && result != RLK_PENDING && result != RLK_BUSY;
}

/* With one node more than may be: nothing succeeds, nothing is guessed, each call comes back in its
 * time; and when the nodes are there again, all goes on. */
static void lacking_body(const fault *what)
{
    rlk_holder holders[RLK_MAX_NODES];
    int64_t most_ms = 1500 * support_time_factor();
    int64_t start;
    rlk_result result;

    if (what->answers)
        return;
    assert_result(rlk_acquire(&a, 5000), RLK_OK);
    strike(what, spare() + 1);
    start = support_now_ms();
    result = rlk_extend(&a, 60000);
    assert_true(is_no_success(result) && result != RLK_NOT_OWNER && result != RLK_LOST);
    assert_true(rlk_is_held(&a)); /* until the old deadline */
    assert_between(rlk_remaining_ms(&a), 1, 30000);
    assert_between(support_now_ms() - start, 0, most_ms);
    start = support_now_ms();
    result = rlk_check(&a);
    assert_true(is_no_success(result) && result != RLK_NOT_OWNER && result != RLK_LOST);
    assert_result(rlk_keep_alive(&a), RLK_OK);
    result = rlk_query(&a, holders, first.count);
    assert_true(is_no_success(result) && result != RLK_NOT_HELD);
    assert_between(support_now_ms() - start, 0, 2 * most_ms);
    start = support_now_ms();
    result = rlk_release(&a);
    assert_result(result, RLK_UNKNOWN);
    assert_between(support_now_ms() - start, 0, most_ms);
    assert_false(rlk_is_held(&a));
    start = support_now_ms();
    assert_true(is_no_success(rlk_acquire(&b, 200)));
    assert_true(is_no_success(rlk_force_release(&b)));
    assert_between(support_now_ms() - start, 0, 3 * most_ms);
    mend(what, spare() + 1);
    assert_all_gone();
    assert_result(rlk_acquire(&b, 5000), RLK_OK);
    assert_result(rlk_release(&b), RLK_OK);
}

static void test_nodes_one_too_many(void **state)
{
    (void)state;
    on_each_fault(lacking_body, quick());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_nodes_one_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
