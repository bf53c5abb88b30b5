/* SPDX-License-Identifier: MIT
 *
 * A lock whose servers are away until its lease is over (rule 7): it reports that no renewal was
 * had, and at its own deadline that it is lost, without the network.
 */
#include "renewal.h"

static const outage *const outages[] = {&outage_stopped, &outage_swallowed, &outage_refused};

/* Is still held, and says so; and at its own deadline lost, without the network. */
static void lost_in_an_outage(const outage *what, size_t count)
{
    rlk_lock_config config = config_renewing(750);
    int64_t start_ms;
    int64_t left_ms;
    unsigned unknown = 0;
    rlk_event event;

    start(count, &config);
    begin(what);
    left_ms = rlk_remaining_ms(&lock);
    start_ms = support_now_ms();
    for (event = next_event(); event.type != RLK_EV_LOST; event = next_event()) {
        if (event.type == RLK_EV_RENEWED) /* was under way */
            support_fail("%s: renewed after %lld ms", what->name,
                         (long long)(support_now_ms() - start_ms));
        assert_true(support_renewal_unknown(&event));
        assert_true(event.result == RLK_UNKNOWN ||
                    rlk_result_class(event.result) == RLK_KIND_TRANSPORT);
        assert_between(support_now_ms() - start_ms, config.ttl_ms / 6, left_ms + scaled(300));
        unknown++;
    }
    assert_true(unknown >= 1);
    assert_result(event.result, RLK_LOST);
    assert_between(support_now_ms() - start_ms, left_ms - 1, left_ms + scaled(300));
    assert_false(rlk_is_held(&lock));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    end(what);
    /* what is left of it is cleaned up, and it is as good as new */
    serve_until(client(), proxied_holding(&world, KEY, NULL) == 0);

    loop_quiet(client(), config.ttl_ms / 2);
    assert_result(rlk_acquire(&lock, scaled(5000)), RLK_OK);
    assert_event(client(), RLK_EV_RENEWED, RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    stop();
}

static void test_renewal_unknown_then_lost_without_the_network(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(outages) * COUNT_OF(sizes); i++)
        lost_in_an_outage(outages[i / COUNT_OF(sizes)], sizes[i % COUNT_OF(sizes)]);
}

/* Fault 36: the servers renew, and no answer arrives: the key lives, the lease does not. */
static void test_fault_36_renewals_whose_answers_are_lost(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(sizes); i++)
        lost_in_an_outage(&outage_unheard, sizes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_renewal_unknown_then_lost_without_the_network),
        support_test(test_fault_36_renewals_whose_answers_are_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
