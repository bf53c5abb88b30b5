/* SPDX-License-Identifier: MIT
 *
 * Errors in words: numbers that were refused, and those that fit.
 */
#include "harness.h"

#include "resplock/transfer.h"

#include "lock/refusal.h"

#include <stdlib.h>
#include <string.h>

static harness h;

/* A number in a text. */
static int64_t number_behind(const char *text, const char *words)
{
    const char *at = strstr(text, words);

    if (at == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, text);
    return strtoll(at + strlen(words), NULL, 10);
}

/* A renew that no node_timeout_ms leaves time for: the least TTL that does, and which option it is.
 */
static void test_fault_128_renew_and_extend(void **state)
{
    rlk_lock lock;
    int64_t number;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000); /* node_timeout_ms is 2000 */
    assert_result(rlk_renew_start(&lock, 1000), RLK_E_TTL);
    assert_contains(rlk_lock_error(&lock), "renew \"k\": E_TTL: ");
    assert_contains(rlk_lock_error(&lock),
                    "(node_timeout_ms); ttl_ms must be from 2024 to 2073600000 with a "
                    "node_timeout_ms of 2000");
    number = number_behind(rlk_lock_error(&lock), "ttl_ms must be from ");
    assert_result(rlk_renew_start(&lock, number - 1), RLK_E_TTL);
    assert_result(rlk_renew_start(&lock, number), RLK_OK); /* shorter: only said here */
    assert_result(rlk_extend_start(&lock, RLK_TTL_MAX + 1), RLK_E_TTL);
    assert_contains(rlk_lock_error(&lock), "extend \"k\": E_TTL: ");
    number = number_behind(rlk_lock_error(&lock), "added_ms must be from 1 to ");
    assert_between(number, RLK_TTL_MAX - 30000, RLK_TTL_MAX - 1);
    h.servers[0].automatic = true;
    assert_result(rlk_extend(&lock, number), RLK_OK);
    assert_result(rlk_extend(&lock, 1), RLK_E_TTL);
    assert_contains(rlk_lock_error(&lock), "; the lease is as long as it may be");
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_STATE);
    assert_null(strstr(rlk_lock_error(&lock), "ttl_ms"));
}

/* A refusal of a time is of the time that it was then: another lock's call took a later one. */
static void test_error_text_of_an_extend_whose_lease_ran_out(void **state)
{
    rlk_lock lock;
    rlk_lock other;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_lock_init(&other, h.client, "other", NULL), RLK_OK);
    assert_result(rlk_extend_start(&lock, 0), RLK_E_TTL);
    h.now_ms += 40000;
    assert_result(rlk_release_start(&other), RLK_NOT_HELD);
    assert_contains(rlk_lock_error(&lock), "extend \"k\": E_TTL: ");
    assert_int_equal(number_behind(rlk_lock_error(&lock), "added_ms must be from 1 to "),
                     RLK_TTL_MAX);
}

/* The lease that a number was refused for is another lock's now. */
static void test_error_text_of_an_extend_whose_lease_moved(void **state)
{
    rlk_lock lock;
    rlk_lease lease;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 0), RLK_E_TTL);
    assert_contains(rlk_lock_error(&lock), "; added_ms must be from 1 to ");
    assert_result(rlk_lock_detach(&lock, &lease), RLK_OK);
    assert_contains(rlk_lock_error(&lock), "extend \"k\": E_TTL: ");
    assert_null(strstr(rlk_lock_error(&lock), "; "));
}

/* What rlk_lock_init refuses: the number, where the caller may not know it, and the limits. */
static void test_fault_128_numbers_of_a_lock(void **state)
{
    static const struct {
        int64_t ttl_ms;
        int64_t node_timeout_ms;
        rlk_result result;
        const char *text;
    } rows[] = {
        {0, -1, RLK_E_TIMES, "; node_timeout_ms is -1, and must be from 0 to 86400000"},
        {0, RLK_TIME_LIMIT_MAX + 1, RLK_E_TIMES,
         "; node_timeout_ms is 86400001, and must be from 0 to 86400000"},
        {-4294967295, 0, RLK_E_TTL, "; ttl_ms is -4294967295, and must be from 5 to 2073600000"},
        {INT64_MIN, 0, RLK_E_TTL, "; ttl_ms must be from 5 to 2073600000"},
        {INT64_MAX, 0, RLK_E_TTL, "; ttl_ms must be from 5 to 2073600000"},
        {1, 1000, RLK_E_TTL, "; ttl_ms is 1, and must be from 1014 to 2073600000"},
        /* two numbers that can't be: of the second the limit is meant, whatever is left of it in
         * 32 bits */
        {-1, RLK_TIME_LIMIT_MAX, RLK_E_TTL, "; ttl_ms is -1, and must be from 87272738 to 2073"},
        {-1, INT64_C(4294967297), RLK_E_TTL, "; ttl_ms is -1, and must be from 87272738 to 2073"},
        {-1, INT64_MAX, RLK_E_TTL, "; ttl_ms is -1, and must be from 87272738 to 2073"},
    };
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    size_t i;

    (void)state;
    harness_start(&h, 1);
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        support_row_name("%s", rows[i].text);
        config.ttl_ms = rows[i].ttl_ms;
        config.node_timeout_ms = rows[i].node_timeout_ms;
        assert_result(rlk_lock_init(&lock, h.client, "k", &config), rows[i].result);
        assert_contains(rlk_client_error(h.client), rows[i].text);
    }
    config.ttl_ms = 87272737;
    config.node_timeout_ms = RLK_TIME_LIMIT_MAX;
    assert_result(rlk_lock_init(&lock, h.client, "k", &config), RLK_E_TTL);
    config.ttl_ms++;
    assert_result(rlk_lock_init(&lock, h.client, "k", &config), RLK_OK);
}

/* ---- Credentials ---- */

static size_t password_len;
static int hook_answer;

static int hook(void *context, rlk_credentials *out)
{
    static char password[2000];

    (void)context;
    memset(password, 'p', sizeof password);
    memset(out, 0, sizeof *out);
    out->password = password;
    out->password_len = password_len;
    return hook_answer;
}

/* What the client says when it connects anew, with a password so long. */
static const char *text_of_password(size_t len)
{
    password_len = len;
    harness_cut(&h, 0);
    harness_advance(&h, RLK_BACKOFF_MAX_MS);
    return rlk_client_error(h.client);
}

/* A hook's password is too long for the buffer: how long that must be, to the byte. */
static void test_fault_128_buffer_for_credentials(void **state)
{
    size_t room = sizeof harness_link_of(&h, 0)->tx;
    size_t fits;
    int64_t needed;
    const char *text;

    (void)state;
    password_len = 1;
    hook_answer = 0;
    h.credentials = hook;
    harness_start(&h, 1);
    h.credentials = NULL;
    assert_string_equal(rlk_client_error(h.client), "");
    text = text_of_password(1500);
    assert_contains(text, "E_CREDENTIALS: ");
    assert_contains(text, "; tx_cap is 1024, and must be at least ");
    needed = number_behind(text, "must be at least ");
    fits = 1500 - ((size_t)needed - room) + 1; /* its length has a digit less */
    assert_contains(text_of_password(fits + 1), "; tx_cap is 1024, and must be at least 1025 (");
    assert_string_equal(text_of_password(fits), "");
    hook_answer = 1; /* it has none: no buffer helps */
    text = text_of_password(1);
    assert_contains(text, "E_CREDENTIALS: ");
    assert_null(strstr(text, "; tx_cap is"));
}

/* What is refused is no number. */
static void test_error_text_of_words_alone(void **state)
{
    (void)state;
    harness_start(&h, 1);
    RLKI_REFUSE(h.client, "an option is not ready", 0, 0, 0);
    h.client->error = RLK_E_ARGUMENT;
    assert_contains(rlk_client_error(h.client), "; an option is not ready");
    assert_null(strstr(rlk_client_error(h.client), "must be"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_128_renew_and_extend),
        cmocka_unit_test(test_error_text_of_an_extend_whose_lease_ran_out),
        cmocka_unit_test(test_error_text_of_an_extend_whose_lease_moved),
        cmocka_unit_test(test_fault_128_numbers_of_a_lock),
        cmocka_unit_test(test_fault_128_buffer_for_credentials),
        cmocka_unit_test(test_error_text_of_words_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
