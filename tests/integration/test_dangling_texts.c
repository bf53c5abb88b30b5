/* SPDX-License-Identifier: MIT
 *
 * Texts of a program that reuses their memory (fault 119), on a real server: a key, a URL, user and
 * password of the options. Blocking calls return an error that says so; other keys are left alone.
 */
#include "nodes.h"

#include <stdio.h>
#include <string.h>

static rlk_posix_client posix;
static rlk_lock lock;

static void test_fault_119_key_on_a_buffer_that_is_reused(void **state)
{
    char key[32] = "orders";
    server *redis = server_start(NULL);
    rlk_holder holder;

    (void)state;
    server_do(redis, "SET invoices somebody");
    assert_result(rlk_posix_open(&posix, server_url(redis), NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, key, &(rlk_lock_config){.ttl_ms = 3000}),
                  RLK_OK);
    strcpy(key, "free");
    assert_result(rlk_acquire(&lock, 2000), RLK_E_DANGLING);
    assert_text_contains(rlk_lock_error(&lock), "text has changed since init");
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_DANGLING);
    assert_result(rlk_force_release(&lock), RLK_E_DANGLING);
    strcpy(key, "orders");
    assert_result(rlk_acquire(&lock, 2000), RLK_OK);
    strcpy(key, "invoices");
    assert_result(rlk_check(&lock), RLK_E_DANGLING);
    assert_result(rlk_renew(&lock, RLK_DEFAULT), RLK_E_DANGLING);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_release(&lock), RLK_E_DANGLING);
    assert_false(rlk_is_held(&lock));
    assert_result(rlk_query(&lock, &holder, 1), RLK_E_DANGLING);
    assert_result(rlk_force_release(&lock), RLK_E_DANGLING);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    rlk_posix_close(&posix);
    assert_string_equal(server_text(redis, "GET invoices"), "somebody");
    assert_int_equal(server_integer(redis, "EXISTS free"), 0);
    assert_between(server_integer(redis, "PTTL orders"), 1, 3000);
}

static void test_fault_119_url_on_a_buffer_that_is_reused(void **state)
{
    char url[256];
    server *redis = server_start(NULL);
    server *other = server_start(NULL);

    (void)state;
    snprintf(url, sizeof url, "%s", server_url(redis));
    assert_result(rlk_posix_open(&posix, url, NULL), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "key", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, 2000), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_true(strlen(server_url(other)) == strlen(url));
    strcpy(url, server_url(other));
    assert_result(rlk_acquire(&lock, 2000), RLK_OK); /* the stream is the old one */
    assert_result(rlk_release(&lock), RLK_OK);
    server_restart(redis, false);
    support_sleep_ms(1100); /* so that the call first reads from the stream */
    assert_result(rlk_acquire(&lock, 2000), RLK_E_DANGLING);
    assert_text_contains(rlk_lock_error(&lock), "text has changed since init");
    assert_int_equal(server_calls(other, "hello"), 0);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    rlk_posix_close(&posix);
}

static void test_fault_119_options_on_a_buffer_that_is_reused(void **state)
{
    static const server_config config = {.password = "secret"};
    char texts[3][16] = {"default", "secret", "program"};
    server *redis = server_start(&config);
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(texts); i++) {
        rlk_posix_options options = {
            .user = texts[0], .password = texts[1], .client_name = texts[2], .resp2_only = i == 1};
        char was = texts[i][0];

        assert_result(rlk_posix_open(&posix, server_url(redis), &options), RLK_OK);
        assert_result(rlk_lock_init(&lock, &posix.client, "key", NULL), RLK_OK);
        texts[i][0] = 'X';
        assert_result(rlk_acquire(&lock, 2000), RLK_E_DANGLING);
        assert_text_contains(rlk_client_error(&posix.client), "text has changed since init");
        texts[i][0] = was;
        assert_result(rlk_acquire(&lock, 2000), RLK_OK);
        assert_result(rlk_release(&lock), RLK_OK);
        rlk_lock_close(&lock);
        rlk_posix_close(&posix);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        support_test(test_fault_119_key_on_a_buffer_that_is_reused),
        support_test(test_fault_119_url_on_a_buffer_that_is_reused),
        support_test(test_fault_119_options_on_a_buffer_that_is_reused),
    };

    return cmocka_run_group_tests_name("dangling texts", tests, NULL, NULL);
}
