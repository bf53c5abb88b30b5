/* SPDX-License-Identifier: MIT
 *
 * The configuration of a connection, and its size.
 */
#include "fake.h"

#include <string.h>

typedef void (*config_change)(rlk_conn_config *config);

static const rlk_conn_script bad_scripts[] = {{NULL, NULL, 3}, {"*0\r\n", NULL, 0}};

static void no_url(rlk_conn_config *config)
{
    memset(&config->url, 0, sizeof config->url);
}
static void no_ring(rlk_conn_config *config)
{
    config->ring = NULL;
}
static void no_tx(rlk_conn_config *config)
{
    config->tx = NULL;
}
static void no_rx(rlk_conn_config *config)
{
    config->rx = NULL;
}
/* A copy of its own. */
static rlk_conn_calls *other_calls(rlk_conn_config *config)
{
    static rlk_conn_calls calls;

    calls = *config->calls;
    config->calls = &calls;
    return &calls;
}

static void no_calls(rlk_conn_config *config)
{
    config->calls = NULL;
}
static void no_invalidated(rlk_conn_config *config)
{
    other_calls(config)->invalidated = NULL;
}
static void no_encode(rlk_conn_config *config)
{
    other_calls(config)->encode = NULL;
}
static void no_reply(rlk_conn_config *config)
{
    other_calls(config)->reply = NULL;
}
static void no_lost(rlk_conn_config *config)
{
    other_calls(config)->lost = NULL;
}
static void no_changed(rlk_conn_config *config)
{
    other_calls(config)->changed = NULL;
}
static void name_empty(rlk_conn_config *config)
{
    config->client_name = "";
}
static void name_with_space(rlk_conn_config *config)
{
    config->client_name = "a b";
}
static void name_with_newline(rlk_conn_config *config)
{
    config->client_name = "ab\n";
}
static void name_not_ascii(rlk_conn_config *config)
{
    config->client_name = "ab\x7f";
}
static void name_of_65(rlk_conn_config *config)
{
    config->client_name = "0123456789012345678901234567890123456789012345678901234567890123X";
}
static void name_too_long(rlk_conn_config *config)
{
    config->client_name = "01234567890123456789012345678901234567890123456789012345678901234567";
}
static void name_of_64(rlk_conn_config *config)
{
    config->client_name = "0123456789012345678901234567890123456789012345678901234567890123";
}
static void scripts_null(rlk_conn_config *config)
{
    config->scripts_len = 1;
}
static void script_null(rlk_conn_config *config)
{
    config->scripts = bad_scripts;
    config->scripts_len = 1;
}
static void script_empty(rlk_conn_config *config)
{
    config->scripts = bad_scripts + 1;
    config->scripts_len = 1;
}
static void ring_small(rlk_conn_config *config)
{
    config->ring_len = RLK_CONN_RING_MIN - 1;
}
static void tx_small(rlk_conn_config *config)
{
    config->tx_cap = RLK_CONN_TX_MIN - 1;
}
static void tx_small_for_password(rlk_conn_config *config)
{
    (void)rlk_url_parse(&config->url, "redis://:%61%62%63@h");
    config->tx_cap = RLK_CONN_TX_AUTH(0, 3) - 1;
}
static void tx_enough_for_password(rlk_conn_config *config)
{
    (void)rlk_url_parse(&config->url, "redis://:%61%62%63@h");
    config->tx_cap = RLK_CONN_TX_AUTH(0, 3);
}
static void rx_small(rlk_conn_config *config)
{
    config->rx_cap = RLK_CONN_RX_MIN - 1;
}
static void tx_huge(rlk_conn_config *config)
{
    config->tx_cap = SIZE_MAX;
}
static void rx_huge(rlk_conn_config *config)
{
    config->rx_cap = SIZE_MAX;
}
static void connect_negative(rlk_conn_config *config)
{
    config->connect_timeout_ms = -1;
}
static void response_too_long(rlk_conn_config *config)
{
    config->response_timeout_ms = RLK_TIME_LIMIT_MAX + 1;
}
static void backoff_min_negative(rlk_conn_config *config)
{
    config->backoff_min_ms = INT64_MIN;
}
static void backoff_max_too_long(rlk_conn_config *config)
{
    config->backoff_max_ms = INT64_MAX;
}
static void times_longest(rlk_conn_config *config)
{
    config->connect_timeout_ms = RLK_TIME_LIMIT_MAX;
    config->response_timeout_ms = RLK_TIME_LIMIT_MAX;
    config->backoff_min_ms = RLK_TIME_LIMIT_MAX;
    config->backoff_max_ms = RLK_TIME_LIMIT_MAX;
}
static void unix_socket(rlk_conn_config *config)
{
    (void)rlk_url_parse(&config->url, "unix:///tmp/socket");
}

static void test_conn_init_checks_its_configuration(void **state)
{
    static const struct {
        config_change change;
        rlk_result result;
    } rows[] = {
        {no_url, RLK_E_ARGUMENT},
        {no_ring, RLK_E_ARGUMENT},
        {no_tx, RLK_E_ARGUMENT},
        {no_rx, RLK_E_ARGUMENT},
        {no_encode, RLK_E_ARGUMENT},
        {no_reply, RLK_E_ARGUMENT},
        {no_lost, RLK_E_ARGUMENT},
        {no_changed, RLK_E_ARGUMENT},
        {no_invalidated, RLK_E_ARGUMENT},
        {no_calls, RLK_E_ARGUMENT},
        {name_empty, RLK_E_ARGUMENT},
        {name_with_space, RLK_E_ARGUMENT},
        {name_with_newline, RLK_E_ARGUMENT},
        {name_not_ascii, RLK_E_ARGUMENT},
        {name_of_65, RLK_E_ARGUMENT},
        {name_too_long, RLK_E_ARGUMENT},
        {name_of_64, RLK_OK},
        {scripts_null, RLK_E_ARGUMENT},
        {script_null, RLK_E_ARGUMENT},
        {script_empty, RLK_E_ARGUMENT},
        {ring_small, RLK_E_BUFFER},
        {tx_small, RLK_E_BUFFER},
        {tx_small_for_password, RLK_E_BUFFER},
        {tx_enough_for_password, RLK_OK},
        {rx_small, RLK_E_BUFFER},
        {tx_huge, RLK_E_BUFFER},
        {rx_huge, RLK_E_BUFFER},
        {connect_negative, RLK_E_TIMES},
        {response_too_long, RLK_E_TIMES},
        {backoff_min_negative, RLK_E_TIMES},
        {backoff_max_too_long, RLK_E_TIMES},
        {times_longest, RLK_OK},
        {unix_socket, RLK_OK},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_conn_config buffers;
        fake server;

        fake_init(&server, 0, 0, 0);
        buffers = server.config;
        rows[i].change(&server.config);
        assert_result(rlk_conn_init(&server.conn, &server.config, server.now_ms), rows[i].result);
        /* a bad one does nothing ever */
        if (rows[i].result != RLK_OK) {
            rlk_conn_tick(&server.conn, INT64_MAX - 1);
            rlk_conn_reset(&server.conn, 0);
            rlk_conn_close(&server.conn, 0);
            assert_int_equal(rlk_conn_wants(&server.conn), 0);
            assert_int_equal(rlk_conn_deadline(&server.conn), RLK_NEVER);
        }
        server.config = buffers;
        fake_free(&server);
    }
    assert_result(rlk_conn_init(NULL, NULL, 0), RLK_E_ARGUMENT);
    {
        rlk_conn conn;
        rlk_conn_config config;

        memset(&config, 0, sizeof config);
        assert_result(rlk_conn_init(&conn, NULL, 0), RLK_E_ARGUMENT);
        /* compiled with other limits */
        assert_result(rlki_conn_init(&conn, &config, 0, sizeof conn - 8, RLK_LAYOUT), RLK_E_LAYOUT);
        assert_result(rlki_conn_init(&conn, &config, 0, sizeof conn, RLK_LAYOUT + 1), RLK_E_LAYOUT);
    }
}

static void test_conn_size_is_as_documented(void **state)
{
    (void)state;
    if (sizeof(void *) == 4)
        assert_between(sizeof(rlk_conn), 1, 576);
    else
        assert_between(sizeof(rlk_conn), 1, 640);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_init_checks_its_configuration),
        cmocka_unit_test(test_conn_size_is_as_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
