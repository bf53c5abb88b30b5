/* SPDX-License-Identifier: MIT
 *
 * A lease that rlk_keep_alive renews between other work (rule 7): again and again, in outages, up
 * to the cap of the hold time.
 */
#include "renewal.h"

#define TERMS  3 /* TTLs that it goes on for */
#define CAP_MS 1800

static const outage *const outages[] = {&outage_stopped, &outage_swallowed, &outage_refused};

static void keep_goes_on(size_t count)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    char token[RLK_TOKEN_MAX + 1];
    int64_t until;
    int scripts;

    config.auto_renew = false;
    start(count, &config);
    strcpy(token, token_of(&lock));
    scripts = proxied_count(&world, "EVALSHA");
    until = support_now_ms() + TERMS * config.ttl_ms;
    while (support_now_ms() < until) {
        assert_result(rlk_keep_alive(&lock), RLK_OK);
        assert_true(rlk_is_held(&lock));
        assert_true(proxied_holding(&world, KEY, token) >= client()->client.quorum);
        support_sleep_ms(config.ttl_ms / 60);
    }
    proxied_calm(&world);
    /* when due, and not at each call */
    scripts = proxied_count(&world, "EVALSHA") - scripts;
    assert_between(scripts, 2 * TERMS * (int)client()->client.quorum, (3 * TERMS + 3) * (int)count);
    assert_int_equal(proxied_count(&world, "SET"), count);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_keep_alive(&lock), RLK_NOT_HELD);
    stop();
}

static void test_renewal_by_keep_alive_goes_on_for_long(void **state)
{
    (void)state;
    keep_goes_on(3);
}

/* rlk_keep_alive in an outage: OK while the lease lasts, and takes at most the time of one try. */
static void test_renewal_by_keep_alive_in_an_outage(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(outages); i++) {
        rlk_lock_config config = config_renewing(900);
        rlk_result result;
        int64_t start_ms;
        int64_t left_ms;

        config.auto_renew = false;
        start(sizes[i % COUNT_OF(sizes)], &config);
        begin(outages[i]);
        left_ms = rlk_remaining_ms(&lock);
        start_ms = support_now_ms();
        do {
            int64_t before_ms = support_now_ms();

            result = rlk_keep_alive(&lock);
            assert_between(support_now_ms() - before_ms, 0, config.ttl_ms / 3 + scaled(300));
            support_sleep_ms(5);
        } while (result == RLK_OK);
        assert_result(result, RLK_LOST);
        assert_between(support_now_ms() - start_ms, left_ms - 1, left_ms + scaled(300));
        end(outages[i]);
        serve_until(client(), proxied_holding(&world, KEY, NULL) == 0);

        stop();
    }
}

static void test_renewal_by_keep_alive_ends_at_the_cap(void **state)
{
    rlk_lock_config config = config_renewing(SHORT_TTL_MS);
    rlk_result result = RLK_OK;
    int64_t acquired_ms;
    int scripts;

    (void)state;
    config.auto_renew = false;
    config.max_hold_ms = scaled(CAP_MS);
    start_with(1, NULL, &config, NULL);
    scripts = proxied_count(&world, "EVALSHA");
    acquired_ms = support_now_ms() - rlk_held_ms(&lock);
    while (result == RLK_OK && support_now_ms() - acquired_ms < scaled(2 * CAP_MS)) {
        result = rlk_keep_alive(&lock);
        support_sleep_ms(2);
    }
    assert_result(result, RLK_LOST);
    assert_between(support_now_ms() - acquired_ms, scaled(CAP_MS) - scaled(CAP_MS) / 50 - 10,
                   scaled(CAP_MS) + scaled(300));
    assert_false(rlk_is_held(&lock));
    /* at the cap it is not asked for again and again */
    assert_between(proxied_count(&world, "EVALSHA") - scripts, 2, 9);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_renewal_by_keep_alive_goes_on_for_long),
        support_test(test_renewal_by_keep_alive_in_an_outage),
        support_test(test_renewal_by_keep_alive_ends_at_the_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
