/* SPDX-License-Identifier: MIT
 *
 * Memory of a key or a prefix that something else overwrote (fault 119): an error says so, and no
 * command leaves with another key.
 */
#include "lock_dangling.h"

#include <string.h>

static harness h;
static dangling memory;

/* A lock that is held, whose key is overwritten then by another key. */
static void hold_and_overwrite(rlk_lock *lock, unsigned nodes)
{
    harness_start_automatic(&h, nodes);
    dangling_init(&h, &memory, lock, false);
    assert_result(rlk_acquire_start(lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    dangling_put_other(&h);
    dangling_set_key(&memory, OTHER);
}

/* The event that an orphan is possible comes within a moment. */
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
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        unsigned before;

        harness_start_automatic(&h, rows[i].nodes);
        dangling_init(&h, &memory, &lock, !rows[i].of_key);
        if (rows[i].of_key)
            dangling_set_key(&memory, OTHER);
        else
            memory.prefix[3] = '-';
        before = harness_commands(&h);
        assert_result(rlk_acquire_start(&lock, rows[i].wait_ms), RLK_PENDING);
        dangling_expect_soon(&h, RLK_OP_ACQUIRE, RLK_E_DANGLING);
        assert_text_contains(rlk_lock_error(&lock), "acquire: E_DANGLING: ");
        assert_null(strstr(rlk_lock_error(&lock), "\""));
        assert_int_equal(harness_commands(&h), before);
        assert_int_equal(harness_holding(&h, OTHER, NULL) + harness_holding(&h, HARNESS_KEY, NULL),
                         0);

        /* as it was, it works again */
        dangling_set_key(&memory, HARNESS_KEY);
        memory.prefix[3] = 't';
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        dangling_expect_soon(&h, RLK_OP_ACQUIRE, RLK_OK);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), rows[i].nodes);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        dangling_expect_soon(&h, RLK_OP_RELEASE, RLK_OK);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* The memory changes when the acquire already waits for its connection. */
static void test_fault_119_acquire_that_waits_for_its_node(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start_automatic(&h, 1);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    dangling_init(&h, &memory, &lock, false);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_advance(&h, 500);
    harness_expect_no_event(&h);
    dangling_set_key(&memory, OTHER);
    h.servers[0].refuses = false;
    harness_advance(&h, 5000);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_DANGLING);
    assert_int_equal(harness_holding(&h, OTHER, NULL), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
}

/* A waiter sends nothing with another key; on several nodes that is a probe. */
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
        dangling_init(&h, &memory, &lock, false);
        assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
        harness_advance(&h, 1000);
        harness_expect_no_event(&h);
        dangling_set_key(&memory, OTHER);
        assert_true(harness_next_event(&h, &event, 2 * RLK_RECHECK_MAX_MS));
        assert_end(&event, RLK_OP_ACQUIRE, RLK_E_DANGLING);
        assert_int_equal(harness_holding(&h, OTHER, NULL), 0);
        assert_result(rlk_lock_close(&lock), RLK_OK);
    }
}

/* The SET was sent: the token may be under the key, but no command can name that any more. */
static void test_fault_119_undo_is_unknown(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    dangling_init(&h, &memory, &lock, false);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_expect(&h, 0, HARNESS_SET);
    dangling_set_key(&memory, OTHER);
    assert_result(rlk_cancel(&lock), RLK_OK);
    dangling_expect_soon(&h, RLK_OP_ACQUIRE, RLK_UNKNOWN);
    assert_text_contains(rlk_lock_error(&lock), "E_DANGLING");
    settled_soon();
    assert_true(harness_execute(harness_link_of(&h, 0)));
    assert_true(harness_deliver(harness_link_of(&h, 0)));
    harness_advance(&h, 1000);
    harness_expect_quiet(&h, 0);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1); /* until its TTL */
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
}

/* Locks of one client that wait for one key: the others find the first, although its key changed.
 */
static void test_fault_119_queue_behind_a_waiter(void **state)
{
    rlk_lock first;
    rlk_lock behind[3];
    rlk_event event;
    size_t i;

    (void)state;
    harness_start_automatic(&h, 1);
    harness_put(&h, 0, HARNESS_KEY, TOKEN, 60000);
    dangling_init(&h, &memory, &first, false);
    assert_result(rlk_acquire_start(&first, RLK_FOREVER), RLK_PENDING);
    for (i = 0; i < COUNT_OF(behind); i++) {
        harness_lock(&h, &behind[i], TTL);
        assert_result(rlk_acquire_start(&behind[i], RLK_FOREVER), RLK_PENDING);
    }
    harness_advance(&h, 100);
    dangling_set_key(&memory, OTHER);
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

/* The key of a waiter, or of the one behind it, is another's memory now: what keeps the second one
 * waiting can be asked for all the same. */
static void test_fault_119_question_behind_a_waiter(void **state)
{
    static const bool of_first[] = {true, false};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(of_first)); i++) {
        rlk_lock locks[2];
        rlk_lock *behind = &locks[1];

        harness_start_automatic(&h, 1);
        harness_put(&h, 0, HARNESS_KEY, TOKEN, 60000);
        if (of_first[i])
            dangling_init(&h, &memory, &locks[0], false);
        else
            harness_lock(&h, &locks[0], TTL);
        assert_result(rlk_acquire_start(&locks[0], RLK_FOREVER), RLK_PENDING);
        if (of_first[i])
            harness_lock(&h, behind, TTL);
        else
            dangling_init(&h, &memory, behind, false);
        assert_result(rlk_acquire_start(behind, RLK_FOREVER), RLK_PENDING);
        harness_advance(&h, 10);
        dangling_set_key(&memory, OTHER);
        assert_text_contains(rlk_lock_error(behind), "still waiting");
        assert_string_equal(rlk_client_error(h.client), "");
        assert_result(rlk_lock_close(behind), RLK_OK);
        assert_result(rlk_lock_close(&locks[0]), RLK_OK);
    }
}

static void test_fault_119_release_leaves_the_key_to_its_ttl(void **state)
{
    unsigned nodes;

    (void)state;
    for (nodes = 1; nodes <= 3; nodes += 2) {
        rlk_lock lock;
        unsigned before;

        hold_and_overwrite(&lock, nodes);
        before = harness_commands(&h);
        assert_result(rlk_release_start(&lock), RLK_PENDING);
        assert_false(rlk_is_held(&lock));
        dangling_expect_soon(&h, RLK_OP_RELEASE, RLK_E_DANGLING);
        settled_soon(); /* an orphan is possible */
        assert_int_equal(harness_commands(&h), before);
        dangling_expect_other(&h);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), nodes);
        harness_advance(&h, TTL);
        assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 0);
        assert_int_equal(harness_commands(&h), before);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    }
}

static void test_fault_119_extend_renew_and_check_keep_the_lease(void **state)
{
    static const struct {
        const char *name;
        rlk_operation operation;
    } rows[] = {{"extend", RLK_OP_EXTEND}, {"renew", RLK_OP_RENEW}, {"check", RLK_OP_CHECK}};
    size_t i;

    (void)state;
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_lock lock;
        unsigned before;

        support_row_name("%s", rows[i].name);
        hold_and_overwrite(&lock, 1);
        before = harness_commands(&h);
        harness_advance(&h, 1000);
        assert_result(harness_begin(&lock, rows[i].operation), RLK_PENDING);
        dangling_expect_soon(&h, rows[i].operation, RLK_E_DANGLING);
        assert_true(rlk_is_held(&lock)); /* the key has its token until then */
        harness_advance(&h, TTL);
        harness_expect_event(&h, RLK_EV_LOST, RLK_LOST);
        harness_advance(&h, TTL);
        assert_int_equal(harness_commands(&h), before);
        dangling_expect_other(&h);
        assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    }
}

/* Renewals in the background fail, with pauses between them, and report why. */
static void test_fault_119_renewal_fails(void **state)
{
    rlk_lock_config config;
    rlk_lock lock;
    unsigned before;
    unsigned failed = 0;
    rlk_event event;

    (void)state;
    harness_start_automatic(&h, 3);
    dangling_set_key(&memory, HARNESS_KEY);
    memset(&config, 0, sizeof config);
    config.ttl_ms = TTL;
    config.auto_renew = true;
    assert_result(rlk_lock_init(&lock, h.client, memory.key, &config), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    dangling_set_key(&memory, OTHER);
    before = harness_commands(&h);
    while (harness_next_event(&h, &event, 2 * TTL) && support_renewal_unknown(&event)) {
        assert_result(event.result, RLK_E_DANGLING);
        failed++;
    }
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_between(failed, 2, TTL / RLK_RETRY_MIN_MS + 64);
    assert_int_equal(harness_commands(&h), before);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
}

/* A push about its key: the compare fails once, and is not repeated in a loop. */
static void test_fault_119_check_after_a_push(void **state)
{
    rlk_lock lock;
    unsigned before;

    (void)state;
    harness_start_automatic(&h, 1);
    h.servers[0].tracking = true;
    harness_cut(&h, 0);
    harness_advance(&h, 5000);
    dangling_init(&h, &memory, &lock, false);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    dangling_set_key(&memory, OTHER);
    before = harness_commands(&h);
    harness_push(harness_link_of(&h, 0), HARNESS_KEY);
    harness_advance(&h, 100);
    assert_true(rlk_is_held(&lock));
    assert_int_equal(harness_commands(&h), before);
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
        dangling_put_other(&h);
        dangling_init(&h, &memory, &lock, false);
        dangling_set_key(&memory, OTHER);
        before = harness_commands(&h);
        assert_result(rlk_force_release_start(&lock), RLK_PENDING);
        dangling_expect_soon(&h, RLK_OP_FORCE_RELEASE, RLK_E_DANGLING);
        dangling_expect_other(&h);
        assert_result(rlk_query_start(&lock, holders, COUNT_OF(holders)), RLK_PENDING);
        dangling_expect_soon(&h, RLK_OP_QUERY, RLK_E_DANGLING);
        for (i = 0; i < nodes; i++) {
            assert_result(holders[i].result, RLK_E_DANGLING);
            assert_int_equal(holders[i].token_len, 0);
        }
        assert_int_equal(harness_commands(&h), before);
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
        cmocka_unit_test(test_fault_119_question_behind_a_waiter),
        cmocka_unit_test(test_fault_119_release_leaves_the_key_to_its_ttl),
        cmocka_unit_test(test_fault_119_extend_renew_and_check_keep_the_lease),
        cmocka_unit_test(test_fault_119_renewal_fails),
        cmocka_unit_test(test_fault_119_check_after_a_push),
        cmocka_unit_test(test_fault_119_force_release_deletes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
