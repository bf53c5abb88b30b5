/* SPDX-License-Identifier: MIT
 *
 * Wrong use of clients and locks, fork, alias, and the texts of errors.
 */
#include "harness.h"

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

/* ---- Clients ---- */

static void test_lock_usage_client_init(void **state)
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

static void test_lock_usage_client_times(void **state)
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
static void test_lock_usage_88_alias_is_warned_of(void **state)
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

/* ---- Locks ---- */

static void test_lock_usage_lock_init(void **state)
{
    static const struct {
        rlk_lock_config config;
        rlk_result expected;
    } cases[] = {
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_OK},
        {{-1, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TTL},
        {{RLK_TTL_MAX, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_OK},
        {{RLK_TTL_MAX + 1, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TTL},
        {{3, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TTL}, /* within drift */
        {{30000, 0, 29697, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false},
         RLK_E_TTL}, /* fault 57: drift + one try */
        {{30000, 0, 29696, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_OK},
        {{0, -1, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, RLK_TIME_LIMIT_MAX + 1, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, -1, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, -1, 0, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 0, -1, 0, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 0, 0, -1, 0, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 0, 0, 0, -1, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 0, 0, 0, RLK_TIME_LIMIT_MAX + 1, 0, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 0, 0, 0, RLK_TIME_LIMIT_MAX, 0, 0, NULL, NULL, NULL, false}, RLK_OK},
        {{0, 0, 0, 0, 0, 0, 0, -1, 0, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 0, 0, 0, 0, 29999, 0, NULL, NULL, NULL, false}, RLK_E_TIMES}, /* below the TTL */
        {{0, 0, 0, 0, 0, 0, 0, 30000, 0, NULL, NULL, NULL, true}, RLK_OK},
        {{0, 0, 0, 0, 0, 0, 0, 0, -1, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 0, 0, 0, 0, 0, RLK_TIME_LIMIT_MAX + 1, NULL, NULL, NULL, false}, RLK_E_TIMES},
        {{0, 0, 0, 1000, 0, 0, 0, 0, 0, NULL, NULL, NULL, false},
         RLK_OK}, /* above the default of the other */
        {{0, 0, 0, 0, 0, 0, 0, 0, 0,
          "0123456789012345678901234567890123456789012345678901234567890123", NULL, NULL, false},
         RLK_OK},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0,
          "01234567890123456789012345678901234567890123456789012345678901234", NULL, NULL, false},
         RLK_E_PREFIX},
    };
    static char key[1024];
    rlk_lock lock;
    size_t i;
    (void)state;
    harness_start(&h, 1);
    for (i = 0; i < COUNT_OF(cases); i++) {
        assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, &cases[i].config),
                      cases[i].expected);
        assert_result(rlk_lock_close(&lock), cases[i].expected == RLK_OK ? RLK_OK : RLK_E_CLOSED);
    }
    assert_result(rlk_lock_init(NULL, h.client, HARNESS_KEY, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&lock, NULL, HARNESS_KEY, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&lock, h.client, NULL, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_acquire(NULL, RLK_TRY), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&lock, h.client, "", NULL), RLK_E_KEY); /* faults 60, 61 */
    assert_result(rlk_lock_init_n(&lock, h.client, "\0\r\n ", 4, NULL), RLK_OK);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    memset(key, 'k', sizeof key);
    assert_result(rlk_lock_init_n(&lock, h.client, key, (1024 - 160) / 2, NULL), RLK_OK);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_result(rlk_lock_close(&lock), RLK_UNKNOWN);
    assert_result(rlk_lock_init_n(&lock, h.client, key, (1024 - 160) / 2 + 1, NULL), RLK_E_KEY);
    assert_text_contains(rlk_client_error(h.client),
                         "; its length is 433, and must be from 1 to 432");
    /* a number that is none: the text leaves it out */
    assert_result(rlk_lock_init_n(&lock, h.client, key, SIZE_MAX, NULL), RLK_E_KEY);
    assert_text_contains(rlk_client_error(h.client), "; its length must be from 1 to 432");
    assert_result(rlki_lock_init(&lock, h.client, HARNESS_KEY, NULL, sizeof lock, RLK_LAYOUT + 1),
                  RLK_E_LAYOUT);
    assert_result(rlki_lock_init(&lock, h.client, HARNESS_KEY, NULL, sizeof lock - 8, RLK_LAYOUT),
                  RLK_E_LAYOUT);
    assert_false(rlk_is_held(NULL));
    assert_false(rlk_is_held_at(NULL, 0));
    assert_int_equal(rlk_remaining_ms(NULL), 0);
    assert_int_equal(rlk_lock_operation(NULL), RLK_OP_NONE);
    rlk_client_close(h.client); /* no key is wrong use, whatever the client is */
    assert_result(rlk_lock_init(&lock, h.client, NULL, NULL), RLK_E_ARGUMENT);
    assert_result(rlk_lock_init(&lock, h.client, HARNESS_KEY, NULL), RLK_E_CLOSED);
}

/* A transmit buffer that is enough for the connection, but not for a token with a prefix. */
static void test_lock_usage_least_buffer(void **state)
{
    static const rlk_lock_config prefixed = {0, 0, 0, 0, 0, 0, 0, 0, 0, "p", NULL, NULL, false};
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
    memset(&client, 1, sizeof client); /* as it may lie there */
    assert_result(rlk_url_parse(&config.url, "redis://h"), RLK_OK);
    rlk_client_conn_config(&client, &config);
    config.ring = ring;
    config.ring_len = COUNT_OF(ring);
    config.tx = tx;
    config.tx_cap = sizeof tx;
    config.rx = rx;
    config.rx_cap = sizeof rx;
    assert_result(rlk_conn_init(&conn, &config, 0), RLK_OK);
    /* that something becomes of it before there is a client does no harm */
    rlk_conn_connecting(&conn, 0);
    rlk_conn_closed(&conn, RLK_E_CONNECT, 111, 0);
    memset(&environment, 0, sizeof environment);
    environment.env.now_ms = now_never_asked;
    environment.env.random = no_random;
    conns[0] = &conn;
    assert_result(rlk_client_init(&client, conns, 1, &environment), RLK_OK);
    assert_int_equal(RLK_TX_MIN(0), RLK_CONN_TX_MIN);
    assert_result(rlk_lock_init(&lock, &client, "k", NULL), RLK_E_KEY);
    assert_result(rlk_lock_init(&lock, &client, "k", &prefixed), RLK_E_KEY);
}

/* Locks leave the client's list from any place. */
static void test_lock_usage_close_in_any_order(void **state)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}};
    size_t i;
    unsigned k;
    (void)state;
    harness_start(&h, 1);
    for (i = 0; i < COUNT_OF(orders); i++) {
        rlk_lock locks[3];
        for (k = 0; k < 3; k++)
            assert_result(rlk_lock_init(&locks[k], h.client, HARNESS_KEY, NULL), RLK_OK);
        for (k = 0; k < 3; k++)
            assert_result(rlk_lock_close(&locks[orders[i][k]]), RLK_OK);
        harness_cut(&h, 0); /* tells every lock that is left: none */
        harness_advance(&h, RLK_BACKOFF_MIN_MS);
    }
}

/* fault 45: the child of a fork is refused in every call */
static void test_lock_usage_45_forked_child(void **state)
{
    rlk_lock lock;
    rlk_lock fresh;
    rlk_holder holders[1];
    rlk_event event;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    assert_result(rlk_extend_start(&lock, 1000), RLK_PENDING);
    harness_serve(&h, 0); /* an event to pull */
    h.forked = true;
    assert_false(rlk_is_held(&lock));
    assert_false(rlk_is_held_at(&lock, h.now_ms));
    assert_int_equal(rlk_remaining_ms(&lock), 0);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_E_FORKED);
    assert_result(rlk_release_start(&lock), RLK_E_FORKED);
    assert_result(rlk_extend_start(&lock, 1), RLK_E_FORKED);
    assert_result(rlk_renew_start(&lock, RLK_DEFAULT), RLK_E_FORKED);
    assert_result(rlk_check_start(&lock), RLK_E_FORKED);
    assert_result(rlk_query_start(&lock, holders, 1), RLK_E_FORKED);
    assert_result(rlk_force_release_start(&lock), RLK_E_FORKED);
    assert_result(rlk_keep_alive(&lock), RLK_E_FORKED);
    assert_result(rlk_cancel(&lock), RLK_E_FORKED);
    assert_result(rlk_lock_init(&fresh, h.client, "x", NULL), RLK_E_FORKED);
    assert_result(rlk_client_reset(h.client), RLK_E_FORKED);
    assert_false(rlk_client_next_event(h.client, &event));
    assert_true(rlk_client_deadline(h.client) == RLK_NEVER);
    rlk_client_tick(h.client);
    harness_expect_quiet(&h, 0);
    h.forked = false; /* the parent goes on */
    harness_expect_result(&h, RLK_OP_EXTEND, RLK_OK);
    assert_true(rlk_is_held(&lock));
    assert_result(rlk_client_reset(NULL), RLK_E_ARGUMENT);
}

/* A clock that goes back is not followed (fault 87). */
static void test_lock_usage_87_backward_clock(void **state)
{
    rlk_lock lock;
    (void)state;
    harness_start(&h, 1);
    harness_held(&h, &lock, 30000);
    harness_advance(&h, 29000);
    h.now_ms -= 20000;
    assert_int_equal(rlk_remaining_ms(&lock), 30000 - 303 - 29000);
    assert_result(rlk_renew_start(&lock, 30000), RLK_PENDING);
    assert_int_equal(harness_expect(&h, 0, HARNESS_RAISE)->ms, 30000);
    harness_reply(&h, 0, ":30000\r\n");
    assert_int_equal(rlk_remaining_ms(&lock), 30000 - 303); /* of the clock as it was taken */
    h.now_ms += 20000;
    assert_int_equal(rlk_remaining_ms(&lock), 30000 - 303);
}

/* In a child a lock is closed, its memory goes, and then the client is. */
static void test_lock_usage_45_forked_child_closes_all(void **state)
{
    static rlk_lock lock;
    (void)state;
    harness_start_automatic(&h, 1);
    harness_lock(&h, &lock, 30000);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    h.forked = true;
    assert_result(rlk_lock_close(&lock), RLK_E_FORKED);
    memset(&lock, 0xa5, sizeof lock);
    rlk_client_close(h.client);
    h.forked = false;
    assert_int_equal(harness_holding(&h, HARNESS_KEY, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_usage_client_init),
        cmocka_unit_test(test_lock_usage_client_times),
        cmocka_unit_test(test_lock_usage_88_alias_is_warned_of),
        cmocka_unit_test(test_lock_usage_lock_init),
        cmocka_unit_test(test_lock_usage_least_buffer),
        cmocka_unit_test(test_lock_usage_close_in_any_order),
        cmocka_unit_test(test_lock_usage_45_forked_child),
        cmocka_unit_test(test_lock_usage_87_backward_clock),
        cmocka_unit_test(test_lock_usage_45_forked_child_closes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
