/* SPDX-License-Identifier: MIT
 *
 * The life of a lock: its arguments and configuration, and what can be asked of it without the
 * network.
 */
#include "harness.h"

#include <string.h>

static harness h;

static void test_lock_init_configuration(void **state)
{
    static const struct {
        rlk_lock_config config;
        rlk_result expected;
    } cases[] = {
        {{.ttl_ms = 0}, RLK_OK},
        {{.ttl_ms = -1}, RLK_E_TTL},
        {{.ttl_ms = RLK_TTL_MAX}, RLK_OK},
        {{.ttl_ms = RLK_TTL_MAX + 1}, RLK_E_TTL},
        {{.ttl_ms = 3}, RLK_E_TTL}, /* within the drift */
        {{.ttl_ms = 30000, .node_timeout_ms = 29697},
         RLK_E_TTL}, /* fault 57: drift and one attempt */
        {{.ttl_ms = 30000, .node_timeout_ms = 29696}, RLK_OK},
        {{.wait_ms = -1}, RLK_E_TIMES},
        {{.wait_ms = RLK_TIME_LIMIT_MAX + 1}, RLK_E_TIMES},
        {{.node_timeout_ms = -1}, RLK_E_TIMES},
        {{.retry_min_ms = -1}, RLK_E_TIMES},
        {{.retry_max_ms = -1}, RLK_E_TIMES},
        {{.recheck_max_ms = -1}, RLK_E_TIMES},
        {{.watch_after_ms = -1}, RLK_E_TIMES},
        {{.watch_after_ms = RLK_TIME_LIMIT_MAX + 1}, RLK_E_TIMES},
        {{.watch_after_ms = RLK_TIME_LIMIT_MAX}, RLK_OK},
        {{.max_hold_ms = -1}, RLK_E_TIMES},
        {{.max_hold_ms = 29999}, RLK_E_TIMES}, /* below the TTL */
        {{.max_hold_ms = 30000, .auto_renew = true}, RLK_OK},
        {{.report_ms = -1}, RLK_E_TIMES},
        {{.report_ms = RLK_TIME_LIMIT_MAX + 1}, RLK_E_TIMES},
        {{.retry_min_ms = 1000}, RLK_OK}, /* above the default of retry_max_ms */
        {{.token_prefix = "0123456789012345678901234567890123456789012345678901234567890123"},
         RLK_OK},
        {{.token_prefix = "01234567890123456789012345678901234567890123456789012345678901234"},
         RLK_E_PREFIX},
    };
    rlk_lock lock;
    size_t i;

    (void)state;
    harness_start(&h, 1);
    for (i = 0; support_row(i, COUNT_OF(cases)); i++) {
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &cases[i].config),
                      cases[i].expected);
        assert_result(rlk_lock_close(&lock), cases[i].expected == RLK_OK ? RLK_OK : RLK_E_CLOSED);
    }
}

/* Faults 60 and 61: a key of any bytes, but not of any length. */
static void test_lock_init_keys(void **state)
{
    static char key[1024];
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    assert_result(rlk_lock_init(&lock, h.client, "", NULL), RLK_E_KEY);
    assert_result(rlk_lock_init_n(&lock, h.client, "\0\r\n ", 4, NULL), RLK_OK);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    memset(key, 'k', sizeof key);
    assert_result(rlk_lock_init_n(&lock, h.client, key, (1024 - 160) / 2, NULL), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    assert_result(rlk_lock_init_n(&lock, h.client, key, (1024 - 160) / 2 + 1, NULL), RLK_E_KEY);
    assert_text_contains(rlk_client_error(h.client),
                         "; its length is 433, and must be from 1 to 432");
    /* a length that is no number: the text leaves it out */
    assert_result(rlk_lock_init_n(&lock, h.client, key, SIZE_MAX, NULL), RLK_E_KEY);
    assert_text_contains(rlk_client_error(h.client), "; its length must be from 1 to 432");
}

/* A lock without an argument, of another layout, or of a client that is closed. */
static void test_lock_init_arguments(void **state)
{
    rlk_lock lock;

    (void)state;
    harness_start(&h, 1);
    assert_result(rlk_lock_init(NULL, h.client, HARNESS_KEY, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&lock, NULL, HARNESS_KEY, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&lock, h.client, NULL, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlki_lock_init(&lock, h.client, HARNESS_KEY, NULL, sizeof lock, RLK_LAYOUT + 1),
                  RLK_E_LAYOUT);
    assert_result(rlki_lock_init(&lock, h.client, HARNESS_KEY, NULL, sizeof lock - 8, RLK_LAYOUT),
                  RLK_E_LAYOUT);
    rlk_client_close(h.client); /* a missing key is wrong use, whatever the client is */
    assert_result(rlk_lock_init(&lock, h.client, NULL, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, NULL), RLK_E_CLOSED);
}

/* A transmit buffer that is enough for the connection, but not for a token with a prefix. */
static void test_lock_init_least_buffer(void **state)
{
    static const rlk_lock_config prefixed = {.token_prefix = "p"};
    rlk_conn *conns[1];
    rlk_conn_config config;
    rlk_client_config environment;
    rlk_conn_entry ring[RLK_CONN_RING_MIN];
    uint8_t tx[RLK_CONN_TX_MIN];
    uint8_t rx[RLK_CONN_RX_MIN];
    rlk_client client;
    rlk_conn conn;
    rlk_lock lock;

    (void)state;
    memset(&config, 0, sizeof config);
    memset(&client, 1, sizeof client); /* any bytes */
    assert_result(rlk_url_parse(&config.url, "redis://h"), RLK_OK);
    rlk_client_conn_config(&client, &config);
    config.ring = ring;
    config.ring_len = COUNT_OF(ring);
    config.tx = tx;
    config.tx_cap = sizeof tx;
    config.rx = rx;
    config.rx_cap = sizeof rx;
    assert_result(rlk_conn_init(&conn, &config, 0), RLK_OK);
    /* its events before there is a client have no effect */
    rlk_conn_connecting(&conn, 0);
    rlk_conn_closed(&conn, RLK_E_CONNECT, 111, 0);
    memset(&environment, 0, sizeof environment);
    environment.env.now_ms = harness_no_time;
    environment.env.random = harness_no_random;
    conns[0] = &conn;
    assert_result(rlk_client_init(&client, conns, 1, &environment), RLK_OK);
    assert_int_equal(RLK_TX_MIN(0), RLK_CONN_TX_MIN);
    assert_result(rlk_lock_init(&lock, &client, "k", NULL), RLK_E_KEY);
    assert_result(rlk_lock_init(&lock, &client, "k", &prefixed), RLK_E_KEY);
}

/* Locks leave the client's list from any position. */
static void test_lock_close_in_any_order(void **state)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}};
    size_t i;
    unsigned k;

    (void)state;
    harness_start(&h, 1);
    for (i = 0; support_row(i, COUNT_OF(orders)); i++) {
        rlk_lock locks[3];

        for (k = 0; k < 3; k++)
            assert_result(rlk_lock_init(&locks[k], h.client, HARNESS_KEY, NULL), RLK_OK);
        for (k = 0; k < 3; k++)
            assert_result(rlk_lock_close(&locks[orders[i][k]]), RLK_OK);
        harness_cut(&h, 0); /* notifies each lock that is left: none */
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
    }
}

static void test_lock_null_arguments(void **state)
{
    (void)state;
    assert_true(rlk_client_deadline(NULL) == RLK_NEVER);
    rlk_client_tick(NULL);
    assert_result(rlk_acquire(NULL, RLK_TRY), RLK_E_ARGUMENT);
    assert_result(rlk_acquire_start(NULL, RLK_TRY), RLK_E_ARGUMENT);
    assert_result(rlk_lock_close(NULL), RLK_E_ARGUMENT);
    assert_result(rlk_keep_alive(NULL), RLK_E_ARGUMENT);
    assert_false(rlk_is_held(NULL));
    assert_false(rlk_is_held_at(NULL, 0));
    assert_false(rlk_is_held_at(NULL, HARNESS_START));
    assert_int_equal(rlk_remaining_ms(NULL), 0);
    assert_int_equal(rlk_lock_operation(NULL), RLK_OP_NONE);
}

/* Questions to a lock that is not initialised, or free. */
static void test_lock_questions_before_an_acquire(void **state)
{
    rlk_lock lock;
    char token[RLK_TOKEN_MAX + 1];

    (void)state;
    memset(&lock, 0, sizeof lock);
    assert_false(rlk_is_held_at(&lock, HARNESS_START));
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), 0);
    harness_start(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_false(rlk_is_held_at(&lock, HARNESS_START));
    assert_int_equal(rlk_lock_token(&lock, token, sizeof token), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_init_configuration),
        cmocka_unit_test(test_lock_init_keys),
        cmocka_unit_test(test_lock_init_arguments),
        cmocka_unit_test(test_lock_init_least_buffer),
        cmocka_unit_test(test_lock_close_in_any_order),
        cmocka_unit_test(test_lock_null_arguments),
        cmocka_unit_test(test_lock_questions_before_an_acquire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
