/* SPDX-License-Identifier: MIT
 *
 * Renewals in the background: answers, their events, and the end of the lease (renewal.c).
 */
#include "lock_renewing.h"

/* Of what was not pulled the last counts. */
static void test_renewal_events_coalesce(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    renewal_comes(1);
    harness_serve(&h, 0);
    renewal_comes(1);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    harness_expect_no_event(&h);
    renewal_comes(1);
    harness_reply(&h, 0, HARNESS_NOPERM);
    harness_advance(&h, RLK_RETRY_MAX_MS + 1);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    harness_expect_no_event(&h);
}

/* A result comes first, then the renewal, then LOST. */
static void test_renewal_events_in_order(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    assert_result(rlk_check_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_advance(&h, DUE);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    assert_false(rlk_is_held(&lock));
    harness_expect_result(&h, RLK_OP_CHECK, RLK_OK);
    harness_expect_event(&h, RLK_EV_RENEW_FAILED, RLK_NOT_OWNER);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);
}

/* A program that releases or acquires has no use for what was. */
static void test_renewal_events_are_dropped(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    renewal_comes(1);
    harness_serve(&h, 0);
    assert_result(rlk_release_start(&lock), RLK_PENDING);
    harness_serve(&h, 0);
    harness_expect_result(&h, RLK_OP_RELEASE, RLK_OK);
    harness_expect_no_event(&h);
}

/* A refused renewal is a loss, and its event has the refusal. */
static void test_renewal_refused(void **state)
{
    static const struct {
        const char *reply;
        rlk_result result;
    } rows[] = {{HARNESS_NOT_OURS, RLK_NOT_OWNER}, {HARNESS_WRONGTYPE, RLK_E_WRONGTYPE}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;

        support_row_name("%s", rows[i].reply);
        hold(&lock, 1);
        renewal_comes(1);
        harness_reply(&h, 0, rows[i].reply);
        assert_false(rlk_is_held(&lock));
        harness_expect_event(&h, RLK_EV_RENEW_FAILED, rows[i].result);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        harness_expect_no_event(&h);
        harness_advance(&h, 2 * TTL);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 1);
    }
}

/* No answer: unknown, still held, tried again soon; the answer that was lost did no harm. */
static void test_renewal_unknown_is_tried_again(void **state)
{
    rlk_lock lock;
    rlk_event event;
    int64_t pause_ms;
    unsigned i;

    (void)state;
    hold(&lock, 1);
    renewal_comes(1);
    for (i = 0; i < 3; i++) {
        assert_false(harness_next_event(&h, &event, 499));
        assert_true(harness_next_event(&h, &event, 1));
        assert_true(support_renewal_unknown(&event));
        assert_int_equal(event.operation, RLK_OP_NONE);
        assert_result(event.result, RLK_UNKNOWN);
        assert_true(rlk_is_held(&lock));
        for (pause_ms = 0; h.servers[0].count[HARNESS_RAISE] == i + 1; pause_ms++)
            harness_advance(&h, 1);
        assert_between(pause_ms, RLK_RETRY_MIN_MS, RLK_RETRY_MAX_MS + 1);
    }
    harness_serve(&h, 0); /* the late ones too */
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    harness_expect_no_event(&h);
    assert_int_equal(rlk_remaining_ms(&lock), LEASE);
}

/* An error that passes is retried within the renewal, and reported only when its time is over.
 */
static void test_renewal_error_that_passes(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned i;

    (void)state;
    hold(&lock, 1);
    renewal_comes(1);
    harness_reply(&h, 0, HARNESS_MISCONF);
    harness_advance(&h, RLK_RETRY_MAX_MS);
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    harness_advance(&h, DUE);
    h.servers[0].automatic = true;
    h.servers[0].fails = HARNESS_MISCONF;
    for (i = 0; i < 3; i++) {
        assert_true(harness_next_event(&h, &event, 501 + RLK_RETRY_MAX_MS));
        assert_true(support_renewal_unknown(&event));
        assert_result(event.result, RLK_E_MISCONF);
    }
    h.servers[0].fails = NULL;
    assert_true(harness_next_event(&h, &event, 501 + RLK_RETRY_MAX_MS));
    assert_int_equal(event.type, RLK_EV_RENEWED);
}

/* One that does not pass is reported at once, and the lease lasts: tried again, without a storm. */
static void test_renewal_error_that_does_not_pass(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    hold(&lock, 1);
    h.servers[0].automatic = true;
    h.servers[0].fails = HARNESS_NOPERM;
    assert_true(harness_next_event(&h, &event, DUE));
    do {
        assert_true(support_renewal_unknown(&event));
        assert_result(event.result, RLK_E_NOPERM);
        assert_true(rlk_is_held(&lock));
        assert_true(harness_next_event(&h, &event, RLK_RETRY_MAX_MS + 1));
    } while (event.type != RLK_EV_LOST);
    assert_int_equal(h.now_ms, HARNESS_START + LEASE);
    /* when little is left, in half of that each time */
    assert_between(h.servers[0].count[HARNESS_RAISE], (LEASE - DUE) / (RLK_RETRY_MAX_MS + 1),
                   (LEASE - DUE) / RLK_RETRY_MIN_MS + 10);
}

/* LOST comes at the deadline, by our own clock, without any network. */
static void test_renewal_lost_at_the_deadline(void **state)
{
    static const unsigned sizes[] = {1, 3, 5};
    size_t i;
    unsigned n;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(sizes)); i++) {
        rlk_lock lock;
        rlk_event event;
        unsigned unknown = 0;

        hold(&lock, sizes[i]);
        for (n = 0; n < sizes[i]; n++) {
            h.servers[n].refuses = true;
            harness_cut(&h, n);
        }
        while (harness_next_event(&h, &event, LEASE) && event.type != RLK_EV_LOST) {
            assert_true(support_renewal_unknown(&event));
            assert_result(event.result, RLK_E_CONNECT);
            unknown++;
        }
        assert_int_equal(event.type, RLK_EV_LOST);
        assert_int_equal(h.now_ms, HARNESS_START + LEASE);
        assert_between(unknown, (LEASE - DUE) / (501 + RLK_RETRY_MAX_MS),
                       (LEASE - DUE) / (500 + RLK_RETRY_MIN_MS) + 10);
        harness_expect_no_event(&h);
    }
}

/* Fault 86: the answer that would have renewed it is read too late. */
static void test_fault_86_renewal_in_the_background_answered_too_late(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    renewal_comes(1);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    h.now_ms += LEASE - DUE; /* nobody ticked */
    assert_true(harness_deliver(harness_link_of(&h, 0)));
    assert_false(rlk_is_held(&lock));
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);
}

/* Faults 43, 44: after a long standstill LOST comes first, and nothing is renewed. */
static void test_fault_43_44_renewing_lock_after_a_standstill(void **state)
{
    unsigned way;

    (void)state;
    for (way = 0; support_row(way, 3); way++) {
        rlk_lock lock;

        hold(&lock, 1);
        h.now_ms += TTL;
        assert_false(rlk_is_held(&lock));
        if (way == 0)
            rlk_client_tick(h.client);
        else if (way == 1)
            assert_result(rlk_check_start(&lock), RLK_LOST);
        else
            assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_LOST);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        harness_expect_no_event(&h);
        (void)harness_expect(&h, 0, HARNESS_RELEASE);
        assert_int_equal(h.servers[0].count[HARNESS_RAISE], 0);
    }
}

static void test_renewal_by_a_quorum(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 5);
    renewal_comes(5);
    harness_serve(&h, 4);
    harness_serve(&h, 2);
    harness_expect_no_event(&h);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    assert_int_equal(rlk_remaining_ms(&lock), LEASE);
    harness_serve(&h, 1); /* late: nobody's answer */
    harness_expect_no_event(&h);
}

/* Minorities that were renewed add up over several tries, though none of these succeeded. */
static void test_renewal_minorities_add_up(void **state)
{
    rlk_lock lock;
    rlk_event event;
    int64_t first_ms;

    (void)state;
    hold(&lock, 3);
    renewal_comes(3);
    first_ms = h.now_ms;
    harness_serve(&h, 0);
    assert_true(harness_next_event(&h, &event, 500));
    assert_true(support_renewal_unknown(&event));
    assert_int_equal(h.now_ms + rlk_remaining_ms(&lock), HARNESS_START + LEASE);
    while (h.servers[0].count[HARNESS_RAISE] == 1)
        harness_advance(&h, 1);
    harness_serve(&h, 1); /* both its raises; the first finds nobody */
    assert_int_equal(h.now_ms + rlk_remaining_ms(&lock), first_ms + LEASE);
    assert_true(harness_next_event(&h, &event, 500));
    assert_true(support_renewal_unknown(&event));
    assert_int_equal(h.now_ms + rlk_remaining_ms(&lock), first_ms + LEASE);
}

/* A minority that refuses is no loss; with one more it is. */
static void test_renewal_minority_refuses(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 3);
    renewal_comes(3);
    harness_reply(&h, 0, HARNESS_NOT_OURS);
    harness_serve(&h, 1);
    harness_serve(&h, 2);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    harness_advance(&h, DUE);
    harness_expect_quiet(&h, 0); /* it is known not to have it */
    harness_reply(&h, 1, HARNESS_NOT_OURS);
    harness_expect_event(&h, RLK_EV_RENEW_FAILED, RLK_NOT_OWNER);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
}

/* A minority that has a key of another type, and the others can't be asked: no refusal. */
static void test_renewal_minority_has_another_type(void **state)
{
    rlk_lock lock;
    rlk_event event;
    unsigned i;

    (void)state;
    hold(&lock, 3);
    harness_advance(&h, DUE - 1000);
    for (i = 1; i < 3; i++) {
        h.servers[i].swallows = true; /* connecting, for some seconds */
        harness_cut(&h, i);
    }
    harness_advance(&h, 1000);
    harness_reply(&h, 0, HARNESS_WRONGTYPE);
    assert_true(harness_next_event(&h, &event, 500));
    assert_true(support_renewal_unknown(&event));
    assert_result(event.result, RLK_UNKNOWN);
    assert_true(rlk_is_held(&lock));
    for (i = 1; i < 3; i++) {
        h.servers[i].swallows = false;
        h.servers[i].automatic = true;
    }
    do {
        assert_true(harness_next_event(&h, &event, RLK_CONNECT_TIMEOUT_MS));
    } while (support_renewal_unknown(&event));
    assert_int_equal(event.type, RLK_EV_RENEWED);
}

/* The stream ends while a renewal is under way: it is repeated on the next one. */
static void test_renewal_stream_ends_in_a_renewal(void **state)
{
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    renewal_comes(1);
    assert_true(harness_execute(harness_link_of(&h, 0)));
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_between(harness_expect(&h, 0, HARNESS_RAISE)->ms, TTL - RLK_BACKOFF_MIN_MS, TTL);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_RENEWED, RLK_OK);
    assert_int_equal(h.servers[0].count[HARNESS_CHECK], 0); /* the raise says as much */
    assert_between(rlk_remaining_ms(&lock), LEASE - RLK_BACKOFF_MIN_MS, LEASE);
}

/* After a reconnect a lock with auto_renew is checked; the check of another is its caller's. */
static void test_renewal_checks_after_a_reconnect(void **state)
{
    rlk_lock_config config = renewing();
    rlk_lock lock;

    (void)state;
    hold(&lock, 1);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    (void)harness_expect(&h, 0, HARNESS_CHECK);
    harness_serve(&h, 0);
    harness_expect_no_event(&h);
    assert_between(rlk_remaining_ms(&lock), LEASE - 2 * RLK_BACKOFF_MIN_MS, LEASE);
    harness_cut(&h, 0);
    harness_find(&h, &h.servers[0], HARNESS_KEY)->key[0] = '\0'; /* fault 20: restarted empty */
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_serve(&h, 0);
    harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
    harness_expect_no_event(&h);

    config.auto_renew = false;
    hold_with(&lock, 1, &config);
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    harness_expect_quiet(&h, 0);
    assert_true(rlk_is_held(&lock));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewal_events_coalesce),
        cmocka_unit_test(test_renewal_events_in_order),
        cmocka_unit_test(test_renewal_events_are_dropped),
        cmocka_unit_test(test_renewal_refused),
        cmocka_unit_test(test_renewal_unknown_is_tried_again),
        cmocka_unit_test(test_renewal_error_that_passes),
        cmocka_unit_test(test_renewal_error_that_does_not_pass),
        cmocka_unit_test(test_renewal_lost_at_the_deadline),
        cmocka_unit_test(test_fault_86_renewal_in_the_background_answered_too_late),
        cmocka_unit_test(test_fault_43_44_renewing_lock_after_a_standstill),
        cmocka_unit_test(test_renewal_by_a_quorum),
        cmocka_unit_test(test_renewal_minorities_add_up),
        cmocka_unit_test(test_renewal_minority_refuses),
        cmocka_unit_test(test_renewal_minority_has_another_type),
        cmocka_unit_test(test_renewal_stream_ends_in_a_renewal),
        cmocka_unit_test(test_renewal_checks_after_a_reconnect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
