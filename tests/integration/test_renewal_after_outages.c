/* SPDX-License-Identifier: MIT
 *
 * A lock whose servers are there again before its lease is over: it is renewed then, at once.
 */
#include "renewal.h"

static const outage *const outages[] = {&outage_stopped, &outage_swallowed, &outage_refused};

/* The outage ends before the lease does: tried again soon, and renewed. */
static void renewed_after_an_outage(const outage *what, size_t count)
{
    rlk_lock_config config = config_renewing(1500);
    rlk_event event;
    int64_t ended_ms;

    config.node_timeout_ms = scaled(150);
    start(count, &config);
    begin(what);
    event = next_event();
    assert_true(support_renewal_unknown(&event));
    assert_true(rlk_is_held(&lock));
    end(what);
    ended_ms = support_now_ms();
    do
        event = next_event();
    while (support_renewal_unknown(&event)); /* the try that was under way */
    assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_between(support_now_ms() - ended_ms, 0, scaled(1000)); /* not when due again */
    assert_between(rlk_remaining_ms(&lock), config.ttl_ms / 2, config.ttl_ms);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_renewal_unknown_then_renewed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(outages) * COUNT_OF(sizes); i++)
        renewed_after_an_outage(outages[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)]);
}

/* Fault 36: the servers renewed meanwhile, and no answer arrived. */
static void test_fault_36_renewals_whose_answers_were_lost(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        renewed_after_an_outage(&outage_unheard, sizes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_renewal_unknown_then_renewed),
        support_test(test_fault_36_renewals_whose_answers_were_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
