/* SPDX-License-Identifier: MIT
 *
 * Errors in words: rlk_lock_error names the operation, the node and the cause (error_text.c).
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness h;

/* Digits that are in no other word of a text, such as a port. */
static int random_letters(void *context, void *buf, size_t len)
{
    (void)context;
    memset(buf, 0xfe, len);
    return 0;
}

/* No four digits of the lock's token, behind its prefix. */
static void assert_no_digits(const char *text, const char *token)
{
    size_t i;

    for (i = strlen("host-7:"); token[i + 3] != 0; i++) {
        char part[5] = {token[i], token[i + 1], token[i + 2], token[i + 3], '\0'};

        if (strstr(text, part) != NULL)
            fail_msg("%s in %s", part, text);
    }
}

static void test_error_text_names_what_failed(void **state)
{
    rlk_lock lock;
    static const char long_key[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789";

    (void)state;
    harness_start(&h, 3);
    assert_string_equal(rlk_client_error(h.client), "");
    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply(&h, 1, HARNESS_NOPERM);
    harness_reply(&h, 2, HARNESS_NOPERM);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_NOPERM);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": E_NOPERM");
    assert_contains(rlk_lock_error(&lock), "node 2, n2:6379, SET");
    assert_contains(rlk_lock_error(&lock), "this user has no permissions");
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_contains(rlk_lock_error(&lock), "closed");
    assert_contains(rlk_lock_error(NULL), "closed");

    assert_result(rlk_lock_init(&lock, h.client, long_key, NULL), RLK_OK);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    h.servers[1].refuses = true;
    harness_cut(&h, 1);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_CONNECT);
    assert_contains(rlk_lock_error(&lock), "...\"");
    assert_contains(rlk_lock_error(&lock), "errno 111");
    assert_contains(rlk_client_error(h.client), "E_CONNECT");
    assert_contains(rlk_client_error(h.client), "node 0, n0:6379");
    assert_true(strlen(rlk_lock_error(&lock)) < RLK_TEXT_CAP);
    assert_result(rlk_extend_start(&lock, 1), RLK_NOT_HELD);
    assert_contains(rlk_lock_error(&lock), "extend");
    assert_contains(rlk_lock_error(&lock), "NOT_HELD");
    assert_result(rlk_acquire_start(&lock, -5), RLK_E_TIMES);
    assert_contains(rlk_lock_error(&lock), "E_TIMES");
    assert_result(rlk_force_release_start(&lock), RLK_PENDING);
    assert_contains(rlk_lock_error(&lock), "E_TIMES"); /* it has no result yet */
    assert_contains(rlk_client_error(NULL), "NULL");
}

/* The error that ended a connection before the call is reported in full, as by the call that met
 * it. */
static void test_error_text_of_an_old_failure(void **state)
{
    rlk_lock lock;
    rlk_event event;
    char first[RLK_TEXT_CAP];

    (void)state;
    harness_start(&h, 3);
    harness_lock(&h, &lock, 3000);
    h.servers[1].hello = h.servers[2].hello = HARNESS_WRONGPASS;
    harness_cut(&h, 1);
    harness_cut(&h, 2);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_BACKOFF_MIN_MS));
    assert_result(event.result, RLK_E_AUTH);
    strcpy(first, rlk_lock_error(&lock));
    assert_contains(first, "acquire \"k\": E_AUTH");
    assert_contains(first, "node 2, n2:6379, HELLO; the server said: ");
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_E_AUTH);
    assert_string_equal(rlk_lock_error(&lock), first);
}

static void test_error_text_of_a_node_that_stays_away(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 3000);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    harness_advance(&h, 2000);
    h.servers[0].refuses = false;
    h.servers[0].swallows = true;
    assert_result(rlk_acquire_start(&lock, 100), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 100));
    assert_result(event.result, RLK_E_CONNECT);
    assert_contains(rlk_lock_error(&lock), "node 0, n0:6379; connection refused, errno 111)");
}

/* A holder was seen, and then the nodes went: TIMED_OUT, with the last error beside it. */
static void test_error_text_beside_an_outcome(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    assert_result(rlk_lock_init_n(&lock, h.client, "a\001b", 3, NULL), RLK_OK);
    assert_result(rlk_acquire_start(&lock, 3000), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, 3000));
    assert_result(event.result, RLK_TIMED_OUT);
    assert_contains(rlk_lock_error(&lock), "\"a?b\": TIMED_OUT");
    assert_contains(rlk_lock_error(&lock), "last error E_CONNECT");
}

/* An outcome has no node: it is nobody's error. */
static void test_error_text_of_an_outcome(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_reply(&h, 0, HARNESS_NIL);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_BUSY);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": BUSY: ");
    assert_null(strstr(rlk_lock_error(&lock), "node"));
    assert_string_equal(rlk_client_error(h.client), "");
}

/* After an acquire that went well: what the renewals of the lease met, until the next result. */
static void test_error_text_of_a_lease(void **state)
{
    rlk_lock_config config = rlk_lock_config_default();
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    config.auto_renew = true;
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
    assert_contains(rlk_lock_error(&lock), "lock \"k\": OK");
    h.servers[0].automatic = true;
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 1));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": OK");
    h.servers[0].fails = HARNESS_NOPERM;
    assert_true(harness_next_event(&h, &event, RLK_TTL_MS));
    assert_true(support_renewal_unknown(&event));
    assert_contains(rlk_lock_error(&lock), "renew \"k\": E_NOPERM: ");
    assert_contains(rlk_lock_error(&lock), "node 0, n0:6379, EVALSHA (raise)");
    assert_contains(rlk_lock_error(&lock), "this user has no permissions");
    h.servers[0].fails = NULL;
    assert_result(rlk_extend_start(&lock, RLK_TTL_MS), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 1));
    assert_end(&event, RLK_OP_EXTEND, RLK_OK);
    assert_contains(rlk_lock_error(&lock), "extend \"k\": OK");
    assert_true(harness_next_event(&h, &event, RLK_TTL_MS));
    assert_int_equal(event.type, RLK_EV_RENEWED);
    assert_contains(rlk_lock_error(&lock), "renew \"k\": OK");
    h.servers[0].fails = HARNESS_NOPERM;
    do {
        assert_true(harness_next_event(&h, &event, RLK_TTL_MS));
    } while (support_renewal_unknown(&event));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_contains(rlk_lock_error(&lock), "renew \"k\": LOST: ");
    assert_contains(rlk_lock_error(&lock), "last error E_NOPERM (node 0");
    assert_result(rlk_extend_start(&lock, 1000), RLK_LOST);
    assert_contains(rlk_lock_error(&lock), "extend \"k\": LOST: ");

    h.servers[0].fails = NULL;
    harness_advance(&h, 1000); /* the server's TTL is over, too */
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, RLK_TTL_MS));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_contains(rlk_lock_error(&lock), "acquire \"k\": OK");
    harness_delete(&h, 0, HARNESS_KEY);
    assert_true(harness_next_event(&h, &event, RLK_TTL_MS));
    assert_true(support_renewal_refused(&event));
    assert_contains(rlk_lock_error(&lock), "renew \"k\": NOT_OWNER: ");
    assert_result(rlk_lock_close(&lock), RLK_OK);

    harness_lock(&h, &lock, 3000);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_true(harness_next_event(&h, &event, 1));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_true(harness_next_event(&h, &event, RLK_TTL_MS));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_contains(rlk_lock_error(&lock), "lock \"k\": LOST: ");
    assert_null(strstr(rlk_lock_error(&lock), "node"));
}

/* A result of wrong use has no error of an unrelated connection beside it. A result that only a
 * connection can have has one. */
static void test_error_text_of_wrong_use(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    h.servers[0].refuses = true;
    h.servers[0].refusal = RLK_E_RESOLVER;
    harness_cut(&h, 0);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    harness_run(&h);
    harness_expect_result(&h, RLK_OP_ACQUIRE, RLK_E_RESOLVER);
    assert_contains(rlk_lock_error(&lock), "resolver");
    assert_contains(rlk_lock_error(&lock), "(node 0, n0:6379)");
    assert_result(rlk_acquire_start(&lock, -5), RLK_E_TIMES);
    assert_null(strstr(rlk_lock_error(&lock), "node 0"));
}

/* A loss behind a result that was none. */
static void test_error_text_of_a_loss_after_an_extend_without_an_answer(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_run(&h);
    h.servers[0].refuses = true;
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, 30000));
    assert_end(&event, RLK_OP_EXTEND, RLK_UNKNOWN);
    assert_contains(rlk_lock_error(&lock), "extend \"k\": UNKNOWN: ");
    assert_true(harness_next_event(&h, &event, 30000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_contains(rlk_lock_error(&lock), "lock \"k\": LOST: ");
}

/* An error that the acquire survived is not why the lease ended. */
static void test_error_text_of_a_loss_after_an_error_that_passed(void **state)
{
    rlk_lock lock;
    rlk_event event;

    (void)state;
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    (void)harness_expect(&h, 0, HARNESS_SET);
    harness_reply(&h, 0, HARNESS_MISCONF);
    h.servers[0].automatic = true;
    assert_true(harness_next_event(&h, &event, 5000));
    assert_int_equal(event.type, RLK_EV_ACQUIRED);
    assert_true(harness_next_event(&h, &event, 30000));
    assert_int_equal(event.type, RLK_EV_LOST);
    assert_null(strstr(rlk_lock_error(&lock), "MISCONF"));
}

/* What is too long is cut off, and what can't be printed is not. */
static void test_error_text_is_bounded(void **state)
{
    static char host[200];
    rlk_url url = {0};
    static char key[49];
    rlk_lock lock;
    rlk_event event;
    const char *text;

    (void)state;
    memset(host, 'd', sizeof host);
    url.host = host;
    url.host_len = sizeof host;
    url.port = 6379;
    memset(key, 'k', sizeof key - 1);
    key[0] = '\x7f';
    key[1] = '\xff';
    h.url = &url;
    harness_start(&h, 1);
    h.url = NULL;
    h.servers[0].automatic = true;
    assert_result(rlk_lock_init(&lock, h.client, key, NULL), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    harness_run(&h);
    harness_expect_event(&h, RLK_EV_ACQUIRED, RLK_OK);
    h.servers[0].automatic = false;
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_run(&h);
    h.servers[0].hello = "-LOADING Redis is loading the dataset in memory, and says more about it "
                         "than anybody wants to know\r\n";
    harness_cut(&h, 0);
    assert_true(harness_next_event(&h, &event, RLK_OPERATION_TIMEOUT_MS));
    assert_result(event.result, RLK_UNKNOWN);
    text = rlk_lock_error(&lock);
    assert_int_equal(strlen(text), RLK_TEXT_CAP - 1);
    assert_contains(text, "extend \"??kkkk");
    assert_contains(text, "last error E_LOADING (node 0, ...dddd");
    assert_contains(text, "; the server said: LOADING Redis");
}

/* Servers repeat what they were sent: the token is in no text, whole or cut. */
static void test_error_text_masks_the_token(void **state)
{
    static const char *const words[][2] = {
        {"-ERR unknown command 'SET', with args beginning with: 'k' '", "' 'NX' \r\n"},
        {"-ERR unknown command `SET`, with args beginning with: `k`, `", "`, \r\n"},
        {"-ERR Command is not available: SET k ", "\r\n"},
        {"-ERR syntax error near \"SET\" \"k\" \"", "\" \"NX\"\r\n"},
        {"-NOPERM no access to key k with the value ", " for this user\r\n"},
        {"-MISCONF a text as long as this one is cut in the middle: ", "\r\n"},
        {"-MISCONF a text as long as this one is cut right in the middle of it, namely ", "\r\n"},
    };
    rlk_lock_config config = rlk_lock_config_default();
    size_t i;
    rlk_lock lock;
    rlk_event event;

    (void)state;
    config.token_prefix = "host-7:";
    for (i = 0; support_row(i, COUNT_OF(words)); i++) {
        char reply[256];
        char token[RLK_TOKEN_MAX + 1];

        support_row_name("%s", words[i][0]);
        harness_start(&h, 1);
        h.client->env.random = random_letters;
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &config), RLK_OK);
        assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
        harness_run(&h);
        strcpy(token, harness_expect(&h, 0, HARNESS_SET)->token);
        assert_int_equal(strlen(token), strlen("host-7:") + RLK_TOKEN_DIGITS);
        (void)snprintf(reply, sizeof reply, "%s%s%s", words[i][0], token, words[i][1]);
        harness_reply(&h, 0, reply);
        h.servers[0].automatic = true;
        assert_true(harness_next_event(&h, &event, 5000));
        assert_int_equal(event.type, RLK_EV_RESULT);
        assert_int_equal(event.operation, RLK_OP_ACQUIRE);
        assert_true(event.result < 0);
        assert_contains(rlk_lock_error(&lock), "; the server said: ");
        assert_no_digits(rlk_lock_error(&lock), token);
        assert_no_digits(rlk_client_error(h.client), token);
        assert_no_digits(rlk_conn_text(&harness_link_of(&h, 0)->conn), token);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_text_names_what_failed),
        cmocka_unit_test(test_error_text_of_an_old_failure),
        cmocka_unit_test(test_error_text_of_a_node_that_stays_away),
        cmocka_unit_test(test_error_text_beside_an_outcome),
        cmocka_unit_test(test_error_text_of_an_outcome),
        cmocka_unit_test(test_error_text_of_a_lease),
        cmocka_unit_test(test_error_text_of_wrong_use),
        cmocka_unit_test(test_error_text_of_a_loss_after_an_extend_without_an_answer),
        cmocka_unit_test(test_error_text_of_a_loss_after_an_error_that_passed),
        cmocka_unit_test(test_error_text_is_bounded),
        cmocka_unit_test(test_error_text_masks_the_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
