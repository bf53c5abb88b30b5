/* SPDX-License-Identifier: MIT
 *
 * The arguments and the configuration of rlk_client_init, and its warnings.
 */
#include "harness.h"

#include <string.h>

static harness h;

static int64_t no_clock(void *context)
{
    (void)context;
    return RLK_NO_CLOCK_MS;
}

/* A configuration that is accepted; the client itself needs no random bytes. */
static rlk_client_config good_config(void)
{
    rlk_client_config config;

    memset(&config, 0, sizeof config);
    config.env.now_ms = harness_no_time;
    config.env.random = harness_no_random;
    return config;
}

static rlk_conn *conns[RLK_MAX_NODES + 1];

static void start_conns(void)
{
    unsigned i;

    harness_start(&h, 5);
    for (i = 0; i < 5; i++)
        conns[i] = &harness_link_of(&h, i)->conn;
    conns[5] = conns[0];
}

static void test_client_init_nodes(void **state)
{
    rlk_client_config good = good_config();
    rlk_client client;

    (void)state;
    start_conns();
    assert_result(rlk_client_init(&client, conns, 5, &good), RLK_OK);
    assert_int_equal(rlk_client_nodes(&client), 5);
    assert_ptr_equal(rlk_client_conn(&client, 4), conns[4]);
    assert_null(rlk_client_conn(&client, 5));
    assert_null(rlk_client_conn(NULL, 0));
    assert_int_equal(rlk_client_nodes(NULL), 0);
    assert_int_equal(rlk_client_warnings(&client), 0);
    assert_int_equal(rlk_client_warnings(NULL), 0);
    assert_result(rlk_client_init(&client, conns, 4, &good), RLK_OK); /* fault 59 */
    assert_int_equal(rlk_client_warnings(&client), RLK_WARN_EVEN);
    conns[2] = conns[0]; /* fault 58 */
    assert_result(rlk_client_init(&client, conns, 3, &good), RLK_E_SAME_NODE);
    assert_text_contains(rlk_client_error(&client), "SAME_NODE");
    assert_text_contains(rlk_client_error(&client), "node 2");
    assert_int_equal(rlk_client_nodes(&client), 0);
}

static void test_client_init_arguments(void **state)
{
    static rlk_client client;
    static rlk_conn *missing[3];
    const struct {
        const char *name;
        rlk_client *client;
        rlk_conn **conns;
        unsigned len;
        bool config;
        int smaller; /* than the client */
        unsigned layout;
        rlk_result expected;
    } rows[] = {
        {"no client", NULL, conns, 1, true, 0, RLK_LAYOUT, RLK_E_ARGUMENT},
        {"no connections", &client, NULL, 1, true, 0, RLK_LAYOUT, RLK_E_ARGUMENT},
        {"no configuration", &client, conns, 1, false, 0, RLK_LAYOUT, RLK_E_ARGUMENT},
        {"no node", &client, conns, 0, true, 0, RLK_LAYOUT, RLK_E_NODES},
        {"too many", &client, conns, RLK_MAX_NODES + 1, true, 0, RLK_LAYOUT, RLK_E_NODES},
        {"a missing one", &client, missing, 3, true, 0, RLK_LAYOUT, RLK_E_ARGUMENT},
        {"size", &client, conns, 1, true, 1, RLK_LAYOUT, RLK_E_LAYOUT},
        {"layout", &client, conns, 1, true, 0, RLK_LAYOUT + 1, RLK_E_LAYOUT},
    };
    rlk_client_config good = good_config();
    size_t i;

    (void)state;
    start_conns();
    missing[0] = conns[0];
    missing[1] = conns[1];
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        support_row_name("%s", rows[i].name);
        assert_result(rlki_client_init(rows[i].client, rows[i].conns, rows[i].len,
                                       rows[i].config ? &good : NULL,
                                       sizeof client - (size_t)rows[i].smaller, rows[i].layout),
                      rows[i].expected);
    }
}

static void test_client_init_environment(void **state)
{
    static const struct {
        const char *name;
        int64_t (*now_ms)(void *context);
        int (*random)(void *context, void *buf, size_t len);
        rlk_result expected;
    } rows[] = {{"no now_ms", NULL, harness_no_random, RLK_E_ARGUMENT},
                {"no clock", no_clock, harness_no_random, RLK_E_CLOCK},
                {"no random", harness_no_time, NULL, RLK_E_ARGUMENT}};
    size_t i;

    (void)state;
    start_conns();
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_client_config config = good_config();
        rlk_client client;

        support_row_name("%s", rows[i].name);
        config.env.now_ms = rows[i].now_ms;
        config.env.random = rows[i].random;
        assert_result(rlk_client_init(&client, conns, 1, &config), rows[i].expected);
    }
}

static void test_client_init_times(void **state)
{
    static const struct {
        const char *name;
        rlk_client_config config;
    } rows[] = {
        {"operation_timeout_ms below 0", {.operation_timeout_ms = -1}},
        {"operation_timeout_ms too long", {.operation_timeout_ms = RLK_TIME_LIMIT_MAX + 1}},
        {"settle_timeout_ms below 0", {.settle_timeout_ms = -1}},
        {"settle_timeout_ms too long", {.settle_timeout_ms = RLK_TIME_LIMIT_MAX + 1}},
        {"drift_ms below 0", {.drift_ms = -1}},
        {"drift_ms too long", {.drift_ms = RLK_TIME_LIMIT_MAX + 1}},
        {"drift_ppm of more than a half", {.drift_ppm = 500001}},
    };
    size_t i;

    (void)state;
    start_conns();
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_client_config config = rows[i].config;
        rlk_client client;

        support_row_name("%s", rows[i].name);
        config.env.now_ms = harness_no_time;
        config.env.random = harness_no_random;
        assert_result(rlk_client_init(&client, conns, 1, &config), RLK_E_TIMES);
    }
}

/* fault 88: two names, one server */
static void test_fault_88_alias_is_warned_of(void **state)
{
    (void)state;
    memset(&h.config, 0, sizeof h.config);
    harness_open(&h, 3, 1);
    h.servers[0].run = 1; /* the run_id is made of run * 10 + node */
    h.servers[1].run = 0;
    harness_advance(&h, 0);
    assert_int_equal(rlk_client_warnings(h.client), 0);
    h.servers[1].alias_of = 1;
    h.servers[1].run = 1;
    harness_cut(&h, 1);
    harness_advance(&h, RLK_BACKOFF_MIN_MS);
    assert_int_equal(rlk_client_warnings(h.client), RLK_WARN_ALIAS);
}

static void test_client_init_hand_offs_and_buckets(void **state)
{
    static rlk_lock *buckets[8];
    static const struct {
        uint32_t max_handoffs;
        bool own;
        size_t len;
        rlk_result expected;
    } rows[] = {
        {0, false, 0, RLK_OK},
        {1, false, 3, RLK_OK}, /* of no buckets */
        {254, true, 1, RLK_OK},
        {255, true, 8, RLK_E_ARGUMENT},
        {UINT32_MAX, false, 0, RLK_E_ARGUMENT},
        {0, true, 8, RLK_OK},
        {0, true, 0, RLK_E_ARGUMENT},
        {0, true, 3, RLK_E_ARGUMENT},
        {0, true, 6, RLK_E_ARGUMENT},
        {0, true, SIZE_MAX, RLK_E_ARGUMENT},
        {0, true, SIZE_MAX / 2 + 1, RLK_E_ARGUMENT}, /* a power of two */
    };
    size_t i;

    (void)state;
    start_conns();
    for (i = 0; support_row(i, COUNT_OF(rows)); i++) {
        rlk_client_config config = h.config;
        rlk_client client;

        if (rows[i].len == SIZE_MAX / 2 + 1 && SIZE_MAX <= UINT32_MAX)
            continue; /* there it may be a length */
        memset(&client, 0, sizeof client);
        config.env = h.client->env;
        config.max_handoffs = rows[i].max_handoffs;
        config.buckets = rows[i].own ? buckets : NULL;
        config.buckets_len = rows[i].len;
        assert_result(rlk_client_init(&client, conns, 1, &config), rows[i].expected);
        if (rows[i].expected == RLK_OK)
            assert_int_equal(client.max_handoffs,
                             rows[i].max_handoffs != 0 ? rows[i].max_handoffs : RLK_MAX_HANDOFFS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_init_nodes),
        cmocka_unit_test(test_client_init_arguments),
        cmocka_unit_test(test_client_init_environment),
        cmocka_unit_test(test_client_init_times),
        cmocka_unit_test(test_fault_88_alias_is_warned_of),
        cmocka_unit_test(test_client_init_hand_offs_and_buckets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
