/* SPDX-License-Identifier: MIT
 *
 * Memory of a key or a prefix that something else overwrote (fault 119): an error says so, and no
 * command leaves with another key.
 */
#include "harness.h"

#include <string.h>

#define TTL   10000
#define OTHER "o" /* what stands in the memory of the key then, a lock of somebody */
#define TOKEN "token of somebody"

static harness h;
static char key[] = HARNESS_KEY;
static char prefix[] = "host-7:";

static void set_key(const char *to)
{
    memcpy(key, to, sizeof key);
}

static void init_lock(rlk_lock *lock, const char *token_prefix)
{
    rlk_lock_config config;

    set_key(HARNESS_KEY);
    memcpy(prefix, "host-7:", sizeof prefix);
    memset(&config, 0, sizeof config);
    config.ttl_ms = TTL;
    config.token_prefix = token_prefix;
    assert_result(rlk_lock_init(lock, h.client, key, &config), RLK_OK);
}

/* A lock that is held; then its key is overwritten, while somebody holds what that names. */
static void hold_and_overwrite(rlk_lock *lock, unsigned nodes)
{
    unsigned i;

    harness_start_automatic(&h, nodes);
    init_lock(lock, NULL);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    for (i = 0; i < nodes; i++)
        harness_put(&h, i, OTHER, TOKEN, -1);
    set_key(OTHER);
}

/* The key of somebody is as it was, and nobody even asked for it. */
static void assert_other_untouched(unsigned nodes)
{
    assert_int_equal(harness_holding(&h, OTHER, TOKEN), nodes);
}

static unsigned commands(void)
{
    unsigned n = 0;
    unsigned i, kind;

    for (i = 0; i < h.nodes; i++)
        for (kind = HARNESS_SET; kind < HARNESS_KINDS; kind++)
            n += h.servers[i].count[kind];
    return n;
}

/* The result of what was started comes within a moment. */
static void expect_soon(rlk_operation operation, rlk_result result)
{
    rlk_event event;

    assert_true(harness_next_event(&h, &event, 10));
    assert_end(&event, operation, result);
}

/* It comes to be known that an orphan is possible. */
static void settled_soon(void)
{
    rlk_event event;

    assert_true(harness_next_event(&h, &event, 10));
    assert_int_equal(event.type, RLK_EV_SETTLED);
    assert_result(event.result, RLK_UNKNOWN);
}

static void test_fault_119_acquire_sends_nothing(void **state)
{
    static const struct {
        unsigned nodes;
        int64_t wait_ms;
        bool of_key;
    } rows[] = {{1, RLK_TRY, true},     {1, RLK_FOREVER, true}, {3, RLK_TRY, true},
                {3, RLK_FOREVER, true}, {1, 5000, false},       {3, 5000, false}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_lock lock;
        unsigned before;

        harness_start_automatic(&h, rows[i].nodes);
        init_lock(&lock, rows[i].of_key ? NULL : prefix);
        if (rows[i].of_key)
            set_key(OTHER);
        else
            prefix[3] = '-';
        before = commands();
        assert_result(rlk_acquire_start(&lock, rows[i].wait_ms), RLK_PENDING);
        expect_soon(RLK_OP_ACQUIRE, RLK_E_DANGLING);
        assert_text_contains(rlk_lock_error(&lock), "acquire: E_DANGLING: ");
        assert_null(strstr(rlk_lock_error(&lock), "\""));
        assert_int_equal(commands(), before);
        assert_int_equal(harness_holding(&h, OTHER, NULL) + harness_holding(&h, HARNESS_KEY, NULL),
                         0);

        /* as it was, it works again */
        set_key(HARNESS_KEY);
        prefix[3] = 't';
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        expect_soon(RLK_OP_ACQUIRE, RLK_OK);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), rows[i].nodes);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        expect_soon(RLK_OP_RELEASE, RLK_OK);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* The call came in time, and waits for its connection. */
static void test_fault_119_acquire_that_waits_for_its_node(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    init_lock(&lock, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, 500);
    harness_expect_no_event(&h);
    set_key(OTHER);
    h.servers[0].refuses = false;
    harness_advance(&h, 5000);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_DANGLING);
    assert_int_equal(harness_holding(&h, OTHER, NULL), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* A waiter of several nodes asks them by PTTL before it tries again. */
static void test_fault_119_waiter_ends(void **state)
{
    unsigned nodes;

    (void)state;
    for (nodes = 1; nodes <= 3; nodes += 2) {
        rlk_lock lock;
        rlk_event event;
        unsigned i;

        harness_start_automatic(&h, nodes);
        for (i = 0; i < nodes; i++)
            harness_put(&h, i, HARNESS_KEY, TOKEN, 60000);
        init_lock(&lock, NULL);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_advance(&h, 1000);
        harness_expect_no_event(&h);
        set_key(OTHER);
        assert_true(harness_next_event(&h, &event, 2 * RLK_RECHECK_MAX_MS));
        assert_end(&event, RLK_OP_ACQUIRE, RLK_E_DANGLING);
        assert_int_equal(harness_holding(&h, OTHER, NULL), 0);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* The SET was sent: our token may be under the key that can't be named any more. */
static void test_fault_119_undo_is_unknown(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    init_lock(&lock, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_expect(&h, 0, HARNESS_SET);
    set_key(OTHER);
    assert_result(rlk_cancel(&lock), RLK_OK);
    expect_soon(RLK_OP_ACQUIRE, RLK_UNKNOWN);
    assert_text_contains(rlk_lock_error(&lock), "E_DANGLING");
    settled_soon();
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_true(harness_deliver(harness_link_of(&h, 0)));
    harness_advance(&h, 1000);
    harness_expect_quiet(&h, 0);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1); /* until its TTL */
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
}

/* Locks of one client that wait for one key: others find the first though its key is another. */
static void test_fault_119_queue_behind_a_waiter(void **state)
{
    rlk_lock first;
    rlk_lock behind[3];
    rlk_event event;
    size_t i;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, TOKEN, 60000);
    init_lock(&first, NULL);
    assert_result(rlk_acquire_start(&first, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < COUNT_OF(behind); i++) {
        harness_lock(&h, &behind[i], TTL);
        assert_result(rlk_acquire_start(&behind[i], RLK_FOREVER), RLK_PENDING);
    }
    harness_advance(&h, 100);
    set_key(OTHER);
    assert_result(rlk_lock_close(&behind[2]), RLK_OK); /* the tail */
    assert_result(rlk_lock_close(&behind[0]), RLK_OK); /* the head */
    harness_delete(&h, 0, HARNESS_KEY);
    assert_true(harness_next_event(&h, &event, RLK_RECHECK_MAX_MS));
    assert_result(event.result, RLK_E_DANGLING);
    assert_true(harness_next_event(&h, &event, RLK_RECHECK_MAX_MS));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_true(rlk_is_held(&behind[1]));
    assert_result(rlk_lock_close(&first), RLK_OK);
    assert_result(rlk_lock_close(&behind[1]), RLK_UNKNOWN);
}

static void test_fault_119_release_leaves_the_key_to_its_ttl(void **state)
{
    unsigned nodes;

    (void)state;
    for (nodes = 1; nodes <= 3; nodes += 2) {
        rlk_lock lock;
        unsigned before;

        hold_and_overwrite(&lock, nodes);
        before = commands();
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        assert_false(rlk_is_held(&lock));
        expect_soon(RLK_OP_RELEASE, RLK_E_DANGLING);
        settled_soon(); /* an orphan is possible */
        assert_int_equal(commands(), before);
        assert_other_untouched(nodes);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), nodes);
        harness_advance(&h, TTL);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
        assert_int_equal(commands(), before);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    }
}

static void test_fault_119_extend_renew_and_check_keep_the_lease(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < 3; i++) {
        rlk_lock lock;
        unsigned before;

        hold_and_overwrite(&lock, 1);
        before = commands();
        harness_advance(&h, 1000);
        assert_result(i == 0   ? rlk_extend_start(&lock, 1000)
                      : i == 1 ? rlk_renew_start(&lock, RLK_DEFAULT)
                               : rlk_check_start(&lock),
                      RLK_PENDING);
        expect_soon(i == 0 ? RLK_OP_EXTEND : i == 1 ? RLK_OP_RENEW : RLK_OP_CHECK, RLK_E_DANGLING);
        assert_true(rlk_is_held(&lock)); /* the key is ours until then */
        harness_advance(&h, TTL);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        harness_advance(&h, TTL);
        assert_int_equal(commands(), before);
        assert_other_untouched(1);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    }
}

/* Renewals in the background fail, are not tried without a pause, and say why. */
static void test_fault_119_renewal_fails(void **state)
{
    rlk_lock_config config;
    rlk_lock lock;
    unsigned before;
    unsigned failed = 0;
    rlk_event event;

    (void)state;
    harness_start_automatic(&h, 3);
    set_key(HARNESS_KEY);
    memset(&config, 0, sizeof config);
    config.ttl_ms = TTL;
    config.auto_renew = true;
    assert_result(rlk_lock_init(&lock, h.client, key, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    set_key(OTHER);
    before = commands();
    while (harness_next_event(&h, &event, 2 * TTL) && support_renewal_unknown(&event)) {
        assert_result(event.result, RLK_E_DANGLING);
        failed++;
    }
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_between(failed, 2, TTL / RLK_RETRY_MIN_MS + 64);
    assert_int_equal(commands(), before);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
}

/* Told that its key changed, it asks, in vain: once, not in a loop. */
static void test_fault_119_check_after_a_push(void **state)
{
    rlk_lock lock;
    unsigned before;

    (void)state;
    harness_start_automatic(&h, 1);
    h.servers[0].tracking = true;
    harness_cut(&h, 0);
    harness_advance(&h, 5000);
    init_lock(&lock, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    set_key(OTHER);
    before = commands();
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_advance(&h, 100);
    assert_true(rlk_is_held(&lock));
    assert_int_equal(commands(), before);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
}

static void test_fault_119_force_release_deletes_nothing(void **state)
{
    unsigned nodes;

    (void)state;
    for (nodes = 1; nodes <= 3; nodes += 2) {
        rlk_holder holders[3];
        rlk_lock lock;
        unsigned before;
        unsigned i;

        harness_start_automatic(&h, nodes);
        for (i = 0; i < nodes; i++)
            harness_put(&h, i, OTHER, TOKEN, -1);
        init_lock(&lock, NULL);
        set_key(OTHER);
        before = commands();
        assert_result(rlk_force_release_start(&lock), RLK_PENDING);
        expect_soon(RLK_OP_FORCE_RELEASE, RLK_E_DANGLING);
        assert_other_untouched(nodes);
        assert_result(rlk_query_start(&lock, holders, COUNT_OF(holders)), RLK_PENDING);
        expect_soon(RLK_OP_QUERY, RLK_E_DANGLING);
        for (i = 0; i < nodes; i++) {
            assert_result(holders[i].result, RLK_E_DANGLING);
            assert_int_equal(holders[i].token_len, 0);
        }
        assert_int_equal(commands(), before);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_119_acquire_sends_nothing),
        cmocka_unit_test(test_fault_119_acquire_that_waits_for_its_node),
        cmocka_unit_test(test_fault_119_waiter_ends),
        cmocka_unit_test(test_fault_119_undo_is_unknown),
        cmocka_unit_test(test_fault_119_queue_behind_a_waiter),
        cmocka_unit_test(test_fault_119_release_leaves_the_key_to_its_ttl),
        cmocka_unit_test(test_fault_119_extend_renew_and_check_keep_the_lease),
        cmocka_unit_test(test_fault_119_renewal_fails),
        cmocka_unit_test(test_fault_119_check_after_a_push),
        cmocka_unit_test(test_fault_119_force_release_deletes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
