/* SPDX-License-Identifier: MIT
 *
 * The arguments and the configuration of rlk_client_init, and its warnings.
 */
#include "lock_tracked.h"

#include <string.h>

static harness h;

static int64_t now_never_asked(void *context)
{
    (void)context;
    return 0;
}

static int no_random(void *context, void *buf, size_t len)
{
    (void)context;
    (void)buf;
    (void)len;
    return -1;
}

static int64_t no_clock(void *context)
{
    (void)context;
    return RLK_NO_CLOCK_MS;
}

static void test_client_init_arguments(void **state)
{
    rlk_conn *conns[RLK_MAX_NODES + 1];
    rlk_client_config good;
    rlk_client_config bad;
    rlk_client client;
    size_t i;

    (void)state;
    harness_start(&h, 5);
    for (i = 0; i < 5; i++)
        conns[i] = &harness_link_of(&h, (unsigned)i)->conn;
    conns[5] = conns[0];
    memset(&good, 0, sizeof good);
    good.env.now_ms = now_never_asked;
    good.env.random = no_random; /* the client itself needs none */
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

    assert_result(rlk_client_init(NULL, conns, 1, &good), RLK_E_ARGUMENT);
    assert_result(rlk_client_init(&client, NULL, 1, &good), RLK_E_ARGUMENT);
    assert_result(rlk_client_init(&client, conns, 1, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_client_init(&client, conns, 0, &good), RLK_E_NODES);
    assert_result(rlk_client_init(&client, conns, RLK_MAX_NODES + 1, &good), RLK_E_NODES);
    conns[2] = NULL;
    assert_result(rlk_client_init(&client, conns, 3, &good), RLK_E_ARGUMENT);
    conns[2] = conns[0]; /* fault 58 */
    assert_result(rlk_client_init(&client, conns, 3, &good), RLK_E_SAME_NODE);
    assert_text_contains(rlk_client_error(&client), "SAME_NODE");
    assert_text_contains(rlk_client_error(&client), "node 2");
    assert_int_equal(rlk_client_nodes(&client), 0);
    assert_result(rlki_client_init(&client, conns, 1, &good, sizeof client - 1, RLK_LAYOUT),
                  RLK_E_LAYOUT);
    assert_result(rlki_client_init(&client, conns, 1, &good, sizeof client, RLK_LAYOUT + 1),
                  RLK_E_LAYOUT);

    bad = good;
    bad.env.now_ms = NULL;
    assert_result(rlk_client_init(&client, conns, 1, &bad), RLK_E_ARGUMENT);
    bad.env.now_ms = no_clock;
    assert_result(rlk_client_init(&client, conns, 1, &bad), RLK_E_CLOCK);
    bad = good;
    bad.env.random = NULL;
    assert_result(rlk_client_init(&client, conns, 1, &bad), RLK_E_ARGUMENT);
}

static void test_client_init_times(void **state)
{
    rlk_conn *conns[1];
    size_t i;

    (void)state;
    harness_start(&h, 1);
    conns[0] = &harness_link_of(&h, 0)->conn;
    for (i = 0; i < 7; i++) {
        rlk_client client;
        rlk_client_config config;

        memset(&config, 0, sizeof config);
        config.env.now_ms = now_never_asked;
        config.env.random = no_random;
        config.operation_timeout_ms = i == 0 ? -1 : i == 1 ? RLK_TIME_LIMIT_MAX + 1 : 0;
        config.settle_timeout_ms = i == 2 ? -1 : i == 3 ? RLK_TIME_LIMIT_MAX + 1 : 0;
        config.drift_ms = i == 4 ? -1 : i == 5 ? RLK_TIME_LIMIT_MAX + 1 : 0;
        config.drift_ppm = i == 6 ? 500001 : 0;
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

static rlk_lock locks[8];

static void start(unsigned clients, unsigned max_handoffs, rlk_lock **buckets, size_t buckets_len)
{
    memset(&h.config, 0, sizeof h.config);
    h.config.max_handoffs = max_handoffs;
    h.config.buckets = buckets;
    h.config.buckets_len = buckets_len;
#ifdef RLK_RESP2_ONLY
    harness_open(&h, 1, clients);
    harness_advance(&h, 0);
#else
    tracked_start(&h, 1, clients);
#endif
}

static void stand(unsigned i, unsigned client, const char *key)
{
    rlk_lock_config config = rlk_lock_config_default();

    config.retry_min_ms = 400; /* to be told from the rest */
    config.retry_max_ms = 500;
    config.recheck_max_ms = 1000;
    config.watch_after_ms = RLK_TIME_LIMIT_MAX; /* never: some keys go, and nobody is told */
    assert_result(rlk_lock_init(&locks[i], &h.members[client].client, key, &config), RLK_OK);
    assert_result(rlk_acquire_start(&locks[i], RLK_FOREVER), RLK_PENDING);
}

/* Buckets of the caller are his to give, whatever is in them. */
static void test_client_init_clears_the_buckets(void **state)
{
    rlk_lock *buckets[64];
    unsigned used = 0;
    unsigned i;

    (void)state;
    memset(buckets, 0x5a, sizeof buckets);
    start(1, 0, buckets, 64);
    for (i = 0; i < 64; i++)
        assert_null(buckets[i]);
    stand(0, 0, HARNESS_KEY);
    stand(1, 0, "another");
    harness_serve(&h, 0);
    for (i = 0; i < 64; i++)
        used += buckets[i] != NULL;
    assert_int_equal(used, 2);
    for (i = 0; i < COUNT_OF(h.client->own_buckets); i++)
        assert_true(h.client->own_buckets[i] != &locks[0]);
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
    start(1, 0, NULL, 0);
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_client_config config = h.config;
        rlk_conn *conns[1];
        rlk_client client;

        if (rows[i].len == SIZE_MAX / 2 + 1 && SIZE_MAX <= UINT32_MAX)
            continue; /* there it is one that could be */
        memset(&client, 0, sizeof client);
        conns[0] = &harness_link_of(&h, 0)->conn;
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
        cmocka_unit_test(test_client_init_arguments),
        cmocka_unit_test(test_client_init_times),
        cmocka_unit_test(test_fault_88_alias_is_warned_of),
        cmocka_unit_test(test_client_init_clears_the_buckets),
        cmocka_unit_test(test_client_init_hand_offs_and_buckets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
