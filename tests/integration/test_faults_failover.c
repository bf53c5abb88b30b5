/* SPDX-License-Identifier: MIT
 *
 * A primary that is demoted and keeps its connections, while its name means another by now (fault
 * 92): in blocking, loop, waiting, held and elected use. rlk_client_reset (fault 96).
 */
#include "failover.h"

/* ---- Blocking ---- */

static void test_fault_92_blocking(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < 2 * COUNT_OF(failovers); i++) {
        rlk_holder holder;

        failovers[i / 2].start();
        open_name(NULL);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        failovers[i / 2].happens();
        name_means(replica, NULL);
        /* one attempt only is enough: the refusal was the stream's */
        assert_result(rlk_acquire(&lock, i % 2 == 0 ? RLK_TRY : 5000), RLK_OK);
        assert_at(replica, &lock);
        assert_int_equal(book.asked, 2);
        assert_result(rlk_query(&lock, &holder, 1), RLK_OK);
        assert_true(holder.ours);
        assert_result(rlk_release(&lock), RLK_OK);
        assert_null(server_text(replica, "GET " KEY));
        close_all();
        support_teardown(NULL);
    }
}

static void test_fault_92_force_release(void **state)
{
    (void)state;
    pair_start();
    open_name(NULL);
    server_do(primary, "SET " KEY " somebody");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_BUSY);
    fail_over();
    name_means(replica, NULL);
    assert_result(rlk_force_release(&lock), RLK_OK);
    assert_null(server_text(replica, "GET " KEY));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    close_all();
}

/* ---- Held ---- */

static rlk_result do_extend(void)
{
    return rlk_extend(&lock, 60000);
}

static rlk_result do_renew(void)
{
    return rlk_renew(&lock, 60000);
}

static rlk_result do_check(void)
{
    return rlk_check(&lock);
}

/* Raised, or compared, at the new primary: there it is, or it is lost and not made again. */
static void test_fault_92_held(void **state)
{
    static rlk_result (*const calls[])(void) = {do_extend, do_renew, do_check};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(calls) * COUNT_OF(failovers); i++) {
        const failing *how = &failovers[i / COUNT_OF(calls)];
        rlk_result (*call)(void) = calls[i % COUNT_OF(calls)];
        bool there = !how->loses;

        how->start();
        open_name(NULL);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        how->happens();
        name_means(replica, NULL);
        assert_result(call(), there ? RLK_OK : RLK_NOT_OWNER);
        assert_int_equal(rlk_is_held(&lock), there);
        if (there) {
            assert_at(replica, &lock);
            assert_true(call == do_check || server_integer(replica, "PTTL " KEY) > 50000);
            assert_result(rlk_release(&lock), RLK_OK);
        }
        assert_null(server_text(replica, "GET " KEY));
        close_all();
        support_teardown(NULL);
    }
}

static void test_fault_92_release(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(failovers); i++) {
        failovers[i].start();
        open_name(NULL);
        assert_result(rlk_acquire(&lock, 5000), RLK_OK);
        failovers[i].happens();
        name_means(replica, NULL);
        assert_result(rlk_release(&lock), i == 0 ? RLK_OK : RLK_NOT_OWNER);
        assert_null(server_text(replica, "GET " KEY));
        close_all();
        support_teardown(NULL);
    }
}

/* In a loop, by its own renewals: with and without notifications. */
static void test_fault_92_held_in_a_loop(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < 2 * COUNT_OF(failovers); i++) {
        rlk_lock_config config = config_renewing(3000);
        rlk_posix_options options;
        rlk_event event;

        memset(&options, 0, sizeof options);
        options.no_tracking = i % 2 == 1;
        failovers[i / 2].start();
        open_name(&options);
        rlk_lock_close(&lock);
        assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
        failovers[i / 2].happens();
        name_means(replica, NULL);
        do
            assert_true(loop_next_event(&set.posix, &event, scaled(10000)));
        while (support_renewal_unknown(&event) || book.asked == 1);
        if (!failovers[i / 2].loses) {
            assert_int_equal(event.type, RLK_EV_RENEWED);
            assert_true(rlk_is_held(&lock));
            assert_at(replica, &lock);
        } else {
            while (event.type != RLK_EV_LOST)
                assert_true(loop_next_event(&set.posix, &event, scaled(10000)));
            loop_serve(&set.posix, 50);
            assert_null(server_text(replica, "GET " KEY)); /* never made again */
        }
        close_all();
        support_teardown(NULL);
    }
}

/* Another lock of the client meets the refusal. This one sends nothing without a call, and the
 * server notifies of nothing: it is compared all the same. */
static void test_fault_92_held_and_silent(void **state)
{
    rlk_posix_options options;
    rlk_lock other;

    (void)state;
    memset(&options, 0, sizeof options);
    options.no_tracking = true;
    strangers_start();
    open_name(&options);
    assert_result(rlk_lock_init(&other, &set.posix.client, "other", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    fail_over_and_lose();
    name_means(replica, NULL);
    assert_result(rlk_acquire_start(&other, 5000), RLK_PENDING);
    assert_event(&set.posix, RLK_EV_LOST, RLK_LOST);
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    assert_false(rlk_is_held(&lock));
    assert_true(rlk_is_held(&other));
    assert_null(server_text(replica, "GET " KEY));
    rlk_lock_close(&other);
    close_all();
}

/* ---- Waiting ---- */

/* The demoted server notifies of what the new one deletes; without notifications, the next retry
 * meets the refusal. */
static void test_fault_92_waiting(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        rlk_posix_options options;

        memset(&options, 0, sizeof options);
        options.no_tracking = i == 1;
        pair_start();
        open_name(&options);
        server_do(primary, "SET " KEY " somebody PX 600000");
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        loop_quiet(&set.posix, 100);
        fail_over();
        name_means(replica, NULL);
        if (options.no_tracking)
            serve_until(&set.posix, book.asked > 1);

        loop_quiet(&set.posix, 100); /* held by somebody there too */
        assert_int_equal(server_integer(replica, "DEL " KEY), 1);
        assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
        assert_at(replica, &lock);
        close_all();
        support_teardown(NULL);
    }
}

/* ---- Elected ---- */

static void test_fault_92_elected(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(failovers); i++) {
        rlk_lock_config config = rlk_lock_config_default();
        rlk_event event;

        failovers[i].start();
        open_name(NULL);
        rlk_lock_close(&lock);
        config.ttl_ms = scaled(3000);
        assert_result(rlk_lock_init(&lock, &set.posix.client, KEY, &config), RLK_OK);
        assert_result(rlk_campaign_start(&lock), RLK_PENDING);
        assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
        failovers[i].happens();
        name_means(replica, NULL);
        do {
            assert_true(loop_next_event(&set.posix, &event, scaled(10000)));
            if (event.type == RLK_EV_LOST)
                assert_true(failovers[i].loses);
        } while (failovers[i].loses ? event.type != RLK_EV_ACQUIRED
                                    : event.type != RLK_EV_RENEWED || book.asked == 1);
        assert_true(rlk_is_held(&lock));
        assert_at(replica, &lock);
        assert_result(rlk_resign(&lock), RLK_OK);
        close_all();
        support_teardown(NULL);
    }
}

/* ---- Reset ---- */

/* The name means another, and nobody has noticed, since the old server serves. What is held is
 * compared at the new one. */
static void test_fault_96_reset_of_a_good_connection(void **state)
{
    rlk_lock other;

    (void)state;
    pair_start();
    open_name(NULL);
    assert_result(rlk_lock_init(&other, &set.posix.client, "other", NULL), RLK_OK);
    assert_result(rlk_acquire(&other, 5000), RLK_OK);
    wait_until(server_text(replica, "GET other") != NULL);

    server_do(replica, "REPLICAOF NO ONE");
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    name_means(replica, NULL);
    assert_result(rlk_client_reset(&set.posix.client), RLK_OK);
    assert_event(&set.posix, RLK_EV_LOST, RLK_LOST);
    assert_int_equal(book.asked, 2);
    loop_quiet(&set.posix, 50);
    assert_true(rlk_is_held(&other));
    assert_result(rlk_acquire(&lock, 5000), RLK_OK);
    assert_at(replica, &lock);
    /* and in the middle of an operation, which goes on */
    assert_result(rlk_release_start(&other), RLK_PENDING);
    assert_result(rlk_client_reset(&set.posix.client), RLK_OK);
    assert_result_event(&set.posix, RLK_OP_RELEASE, RLK_OK);
    rlk_lock_close(&other);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_fault_92_blocking),
        support_test(test_fault_92_force_release),
        support_test(test_fault_92_held),
        support_test(test_fault_92_release),
        support_test(test_fault_92_held_in_a_loop),
        support_test(test_fault_92_held_and_silent),
        support_test(test_fault_92_waiting),
        support_test(test_fault_92_elected),
        support_test(test_fault_96_reset_of_a_good_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
