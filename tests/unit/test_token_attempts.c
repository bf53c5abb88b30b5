/* SPDX-License-Identifier: MIT
 *
 * The token of each attempt of an acquire (rule 3).
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

static void test_token_of_each_acquire(void **state)
{
    rlk_lock lock;
    rlk_lock_config config = rlk_lock_config_default();
    char first[RLK_TOKEN_MAX + 1];
    char text[RLK_TOKEN_MAX + 1];

    (void)state;
    harness_start_automatic(&h, 1);
    config.token_prefix = "host-7:";
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_int_equal(rlk_lock_token(&lock, text, sizeof text), 0); /* none yet */
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(rlk_lock_token(&lock, first, sizeof first), 7 + RLK_TOKEN_DIGITS);
    assert_int_equal(strncmp(first, "host-7:", 7), 0);
    assert_int_equal(strspn(first + 7, "0123456789abcdef"), RLK_TOKEN_DIGITS);
    assert_int_equal(harness_holding(&h, HARNESS_KEY, first), 1);
    text[0] = 'x'; /* too short: not written, but counted */
    assert_int_equal(rlk_lock_token(&lock, text, 7 + RLK_TOKEN_DIGITS), 7 + RLK_TOKEN_DIGITS);
    assert_int_equal(text[0], 'x');
    assert_int_equal(rlk_lock_token(&lock, NULL, 0), 7 + RLK_TOKEN_DIGITS);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    (void)rlk_lock_token(&lock, text, sizeof text);
    assert_true(strncmp(first, text, 7 + 32) != 0); /* another random part */
    assert_int_equal(rlk_lock_token(NULL, text, sizeof text), 0);
}

/* fault 49 */
static void test_fault_49_without_entropy_nothing_is_sent(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    harness_end_entropy(&h);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_ENTROPY);
    harness_expect_quiet(&h, 0);
    harness_expect_no_event(&h);
    h.no_entropy = false;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
}

/* A node lock remembers an unsettled token by its number. While there is one, the random part
 * stays. */
static void test_token_keeps_the_random_part_while_a_node_is_unresolved(void **state)
{
    rlk_lock lock;
    rlk_event event;
    char old[RLK_TOKEN_MAX + 1];
    const harness_command *command;

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    lock.retry_min_ms = lock.retry_max_ms; /* one attempt in the 100 ms */
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    (void)snprintf(old, sizeof old, "%s", harness_expect(&h, 2, HARNESS_SET)->token);
    harness_reply_all(&h, 0, 2, HARNESS_NIL);
    assert_true(harness_next_event(&h, &event, 100));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_advance(&h, 1000); /* the attempt waits for node 2 */
    command = harness_expect(&h, 0, HARNESS_SET);
    assert_int_equal(strncmp(command->token, old, 32), 0);
    assert_string_not_equal(command->token, old);
    harness_cut(&h, 2); /* the undo is sent anew, with the old token */
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_string_equal(harness_expect(&h, 2, HARNESS_RELEASE)->token, old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_of_each_acquire),
        cmocka_unit_test(test_fault_49_without_entropy_nothing_is_sent),
        cmocka_unit_test(test_token_keeps_the_random_part_while_a_node_is_unresolved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
