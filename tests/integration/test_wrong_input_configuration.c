/* SPDX-License-Identifier: MIT
 *
 * Wrong input that is refused before anything is sent: its own code, and a text that names it.
 * What only a server or a network can show is in test_wrong_input_peer.c.
 */
#include "nodes.h"

#include <stdlib.h>
#include <string.h>

static rlk_posix_client posix;
static rlk_lock lock;

/* Nothing is sent to it: nobody listens there. */
#define NOWHERE "redis://127.0.0.1:1"

#define TOO_LONG (RLK_TIME_LIMIT_MAX + 1)

/* Garbage, as a variable on the stack has it: calls must not rely on zeros. */
static void soil(void)
{
    memset(&posix, 0xa5, sizeof posix);
    memset(&lock, 0x5a, sizeof lock);
}

static void open_nowhere(void)
{
    soil();
    assert_result(rlk_posix_open(&posix, NOWHERE, NULL), RLK_OK);
}

static int close_client(void **state)
{
    rlk_posix_close(&posix);
    memset(&posix, 0, sizeof posix);
    return support_teardown(state);
}

/* The client is closed, and says why. */
static void assert_open_refused(rlk_result result, rlk_result expected, const char *part)
{
    struct pollfd fds[RLK_MAX_FDS];
    rlk_event event;
    int timeout_ms = 0;

    assert_result(result, expected);
    assert_contains(rlk_client_error(&posix.client), rlk_result_name(expected));
    assert_contains(rlk_client_error(&posix.client), part);
    assert_result(rlk_posix_service(&posix, NULL, 0), RLK_E_CLOSED);
    assert_result(rlk_client_reset(&posix.client), RLK_E_CLOSED);
    assert_int_equal(rlk_posix_prepare(&posix, fds, RLK_MAX_FDS, &timeout_ms), 0);
    assert_int_equal(timeout_ms, -1);
    assert_false(rlk_client_next_event(&posix.client, &event));
    assert_int_equal(rlk_client_warnings(&posix.client), 0);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_E_CLOSED);
    rlk_posix_close(&posix); /* not needed, and harmless */
}

/* ---- URLs ---- */

static void test_fault_126_url_is_refused_with_the_remedy(void **state)
{
    static const struct {
        const char *url;
        rlk_result result;
        const char *part;
    } cases[] = {
        {NULL, RLK_E_ARGUMENT, "NULL"},
        {"", RLK_E_URL, "not a URL"},
        {"localhost", RLK_E_URL, "redis://"},
        {"localhost:6379", RLK_E_URL, "redis://"},
        {"/run/redis.sock", RLK_E_URL, "unix:///path"},
        {"redis:/localhost", RLK_E_URL, "not a URL"},
        {"redis://local host", RLK_E_URL, "spaces"},
        {"\"redis://localhost\"", RLK_E_URL, "quotes"},
        {"http://localhost", RLK_E_URL_SCHEME, "scheme"},
        {"tcp://localhost:6379", RLK_E_URL_SCHEME, "write redis://"},
        {"redis+socket:///run/redis.sock", RLK_E_URL_SCHEME, "unix:///path"},
        {"rediss://localhost", RLK_E_URL_TLS, "options.tls"},
        {"valkeys://localhost", RLK_E_URL_TLS, "options.tls"},
        {"redis://a_b!/0", RLK_E_URL_HOST, "host"},
        {"redis://1.2.3.256", RLK_E_URL_HOST, "host"},
        {"redis://::1:6379", RLK_E_URL_HOST, "brackets"},
        {"redis://[::1", RLK_E_URL_HOST, "brackets"},
        {"redis://[fe80::1%eth0]", RLK_E_URL_HOST, "[fe80::1%25eth0]"},
        {"redis://a:1,b:2", RLK_E_URL_HOST, "one server"},
        {"redis://localhost:0", RLK_E_URL_PORT, "port"},
        {"redis://localhost:65536", RLK_E_URL_PORT, "65535"},
        {"redis://localhost:x", RLK_E_URL_PORT, "port"},
        {"redis://:secret", RLK_E_URL_PORT, "redis://:password@host"},
        {"redis://localhost/-1", RLK_E_URL_DB, "database"},
        {"redis://localhost/x", RLK_E_URL_DB, "database"},
        {"redis://localhost/2147483648", RLK_E_URL_DB, "2147483647"},
        {"redis:///run/redis.sock", RLK_E_URL_DB, "unix:///path"},
        {"unix:///run/redis.sock?db=x", RLK_E_URL_DB, "database"},
        {"redis://:se%cret@localhost", RLK_E_URL_ESCAPE, "%25"},
        {"redis://us%4@localhost", RLK_E_URL_ESCAPE, "%25"},
        {"unix:///run/%zz.sock", RLK_E_URL_ESCAPE, "%25"},
        {"redis://:secret/0@localhost", RLK_E_URL_ESCAPE, "%2F"},
        {"redis://:secret?0@localhost", RLK_E_URL_ESCAPE, "%3F"},
        {"redis://:secret#0@localhost", RLK_E_URL_ESCAPE, "%23"},
        {"redis://localhost?password=secret+1", RLK_E_URL_ESCAPE, "%2B"},
        {"redis://localhost?password=secret@1", RLK_E_URL_ESCAPE, "%40"},
        {"unix://", RLK_E_URL_PATH, "path"},
        {"unix://run/redis.sock", RLK_E_URL_PATH, "third slash"},
        {"unix:///run/redis%00.sock", RLK_E_URL_PATH, "NUL"},
        {"redis://localhost?timeout=3", RLK_E_URL_QUERY, "rlk_posix_options"},
        {"unix:///run/redis.sock?database=3", RLK_E_URL_QUERY, "other than db"},
        {"redis://:secret@localhost?password=secret", RLK_E_URL_QUERY, "twice"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        soil();
        assert_open_refused(rlk_posix_open(&posix, cases[i].url, NULL), cases[i].result,
                            cases[i].part);
        assert_null(strstr(rlk_client_error(&posix.client), "secret"));
    }
}

/* A backend whose init has failed, or was not called. */
static void test_wrong_input_tls_backend(void **state)
{
    static const char *const urls[] = {"rediss://localhost", "redis://localhost", NOWHERE};
    rlk_posix_options options;
    rlk_tls tls;
    size_t i;

    (void)state;
    memset(&options, 0, sizeof options);
    memset(&tls, 0, sizeof tls);
    options.tls = &tls;
    for (i = 0; i < COUNT_OF(urls); i++) {
        soil();
        assert_open_refused(rlk_posix_open(&posix, urls[i], &options), RLK_E_ARGUMENT, "NULL");
    }
}

/* The text names the field and what it takes. */
static const char *limit_of(const rlk_posix_options *options)
{
    return options->connect_timeout_ms != 0     ? "; connect_timeout_ms "
           : options->response_timeout_ms != 0  ? "; response_timeout_ms "
           : options->backoff_min_ms != 0       ? "; backoff_min_ms "
           : options->backoff_max_ms != 0       ? "; backoff_max_ms "
           : options->operation_timeout_ms != 0 ? "; operation_timeout_ms "
           : options->settle_timeout_ms != 0    ? "; settle_timeout_ms "
           : options->drift_ms == -1            ? "; drift_ms is -1, and must be from 0 to 86400000"
           : options->drift_ms != 0 ? "; drift_ms is 86400001, and must be from 0 to 86400000"
                                    : "; drift_ppm is 1000000, and must be from 0 to 500000";
}

static void test_wrong_input_options(void **state)
{
    static const rlk_posix_options cases[] = {
        {.connect_timeout_ms = -1},
        {.connect_timeout_ms = TOO_LONG},
        {.response_timeout_ms = -1},
        {.response_timeout_ms = TOO_LONG},
        {.backoff_min_ms = -1},
        {.backoff_min_ms = TOO_LONG},
        {.backoff_max_ms = -1},
        {.backoff_max_ms = INT64_MAX},
        {.operation_timeout_ms = -1},
        {.operation_timeout_ms = TOO_LONG},
        {.settle_timeout_ms = INT64_MIN},
        {.settle_timeout_ms = TOO_LONG},
        {.drift_ms = -1},
        {.drift_ms = TOO_LONG},
        {.drift_ppm = 1000000},
    };
    static const rlk_posix_options database = {.db = -1};
    static const rlk_posix_options longest = {.connect_timeout_ms = RLK_TIME_LIMIT_MAX,
                                              .response_timeout_ms = RLK_TIME_LIMIT_MAX,
                                              .operation_timeout_ms = RLK_TIME_LIMIT_MAX,
                                              .settle_timeout_ms = RLK_TIME_LIMIT_MAX};
    static const char longest_and_one[] = "0123456789012345678901234567890123456789"
                                          "0123456789012345678901234";
    static const char *const names[] = {"", "two words", "caf\xc3\xa9", longest_and_one};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        soil();
        assert_open_refused(rlk_posix_open(&posix, NOWHERE, &cases[i]), RLK_E_TIMES,
                            "a time limit is negative or longer than a day");
        assert_contains(rlk_client_error(&posix.client), limit_of(&cases[i]));
    }
    assert_open_refused(rlk_posix_open(&posix, NOWHERE, &database), RLK_E_URL_DB, "database");
    for (i = 0; i < COUNT_OF(names); i++) {
        rlk_posix_options options;

        memset(&options, 0, sizeof options);
        options.client_name = names[i];
        assert_open_refused(rlk_posix_open(&posix, NOWHERE, &options), RLK_E_ARGUMENT,
                            "out of its range");
    }
    assert_result(rlk_posix_open(&posix, NOWHERE, &longest), RLK_OK);
}

/* ---- nodes and their memory ---- */

static nodes set;

/* Good memory for all nodes, to be spoiled in one place. */
static void prepare_memory(void)
{
    size_t i;

    for (i = 0; i < RLK_MAX_NODES; i++) {
        set.memory[i].ring = set.rings[i];
        set.memory[i].ring_len = RLK_CONN_RING_MIN;
        set.memory[i].tx = set.tx[i];
        set.memory[i].tx_cap = RLK_CONN_TX_MIN;
        set.memory[i].rx = set.rx[i];
        set.memory[i].rx_cap = RLK_CONN_RX_MIN;
    }
}

static const char *const three[] = {"redis://127.0.0.1:1", "redis://127.0.0.1:2",
                                    "redis://127.0.0.1:3"};

static rlk_result open_three(void)
{
    return rlk_posix_open_nodes(&posix, three, set.memory, 3, NULL);
}

/* Buffers below their formulas, one byte or entry short, on any of the nodes. */
static void test_wrong_input_buffers(void **state)
{
    size_t i;

    (void)state;
    soil();
    prepare_memory();
    assert_result(open_three(), RLK_OK); /* the least that does */
    rlk_posix_close(&posix);
    for (i = 0; i < 3; i++) {
        prepare_memory();
        set.memory[i].ring_len--;
        assert_open_refused(open_three(), RLK_E_BUFFER, "; ring_len is 3, and must be from 4 to ");
        prepare_memory();
        set.memory[i].tx_cap--;
        assert_open_refused(open_three(), RLK_E_BUFFER,
                            "; tx_cap is 159, and must be from 160 to ");
        prepare_memory();
        set.memory[i].rx_cap--;
        assert_open_refused(open_three(), RLK_E_BUFFER, "; rx_cap is 63, and must be from 64 to ");
        if (i > 0)
            assert_contains(rlk_client_error(&posix.client), i == 1 ? "(node 1)" : "(node 2)");
        prepare_memory();
        set.memory[i].ring = NULL;
        assert_open_refused(open_three(), RLK_E_ARGUMENT, "NULL");
        prepare_memory();
        set.memory[i].tx = NULL;
        assert_open_refused(open_three(), RLK_E_ARGUMENT, "NULL");
        prepare_memory();
        set.memory[i].rx = NULL;
        assert_open_refused(open_three(), RLK_E_ARGUMENT, "NULL");
    }
}

/* Credentials need room too: of the URL as they are decoded, of the options as they are. */
static void test_wrong_input_buffer_for_credentials(void **state)
{
    static const char *const url[] = {"redis://app:s%65cret@127.0.0.1:1"};
    static const char *const plain[] = {NOWHERE};
    static const rlk_posix_options options = {.user = "app", .password = "secret"};

    (void)state;
    soil();
    prepare_memory();
    set.memory[0].tx_cap = RLK_CONN_TX_AUTH(3, 6);
    assert_result(rlk_posix_open_nodes(&posix, url, set.memory, 1, NULL), RLK_OK);
    rlk_posix_close(&posix);
    assert_result(rlk_posix_open_nodes(&posix, plain, set.memory, 1, &options), RLK_OK);
    rlk_posix_close(&posix);
    set.memory[0].tx_cap--;
    assert_open_refused(rlk_posix_open_nodes(&posix, url, set.memory, 1, NULL), RLK_E_BUFFER,
                        "; tx_cap is 216, and must be from 217 to ");
    assert_open_refused(rlk_posix_open_nodes(&posix, plain, set.memory, 1, &options), RLK_E_BUFFER,
                        "; tx_cap is 216, and must be from 217 to ");
    assert_null(strstr(rlk_client_error(&posix.client), "secret"));
}

static void test_wrong_input_number_of_nodes(void **state)
{
    static const char *const urls[] = {"redis://127.0.0.1:1", "redis://127.0.0.1:2",
                                       "redis://127.0.0.1:3", "redis://127.0.0.1:4",
                                       "redis://127.0.0.1:5", "redis://127.0.0.1:6"};
    size_t n;

    (void)state;
    soil();
    prepare_memory();
    assert_open_refused(rlk_posix_open_nodes(&posix, urls, set.memory, 0, NULL), RLK_E_NODES,
                        "number of nodes");
    assert_open_refused(rlk_posix_open_nodes(&posix, urls, set.memory, RLK_MAX_NODES + 1, NULL),
                        RLK_E_NODES, "; nodes is 6, and must be from 1 to 5");
    /* fault 59: even N, N=2 → warned, not refused */
    for (n = 1; n <= RLK_MAX_NODES; n++) {
        assert_result(rlk_posix_open_nodes(&posix, urls, set.memory, n, NULL), RLK_OK);
        assert_int_equal(rlk_client_warnings(&posix.client), n % 2 == 0 ? RLK_WARN_EVEN : 0);
        assert_int_equal(rlk_client_nodes(&posix.client), n);
        rlk_posix_close(&posix);
    }
}

/* Fault 58: same server listed twice → rejected, however it is written. */
static void test_fault_58_same_server_twice(void **state)
{
    static const char *const cases[][3] = {
        {"redis://127.0.0.1:7000", "redis://127.0.0.1:7001", "redis://127.0.0.1:7000"},
        {"redis://127.0.0.1:7000", "redis://127.0.0.1:7001", "redis://:pw@127.0.0.1:7001"},
        {"redis://127.0.0.1", "redis://127.0.0.1:6379", "redis://127.0.0.1:7001"},
        {"redis://127.0.0.1/0", "redis://127.0.0.1/1", "redis://127.0.0.1:7001"},
        {"redis://Example.org", "redis://example.ORG", "redis://127.0.0.1:7001"},
        {"unix:///run/a.sock", "redis://127.0.0.1", "unix:///run/%61.sock"},
        {"redis://[::1]", "redis://127.0.0.1", "redis://[::1]"},
    };
    size_t i;

    (void)state;
    prepare_memory();
    for (i = 0; i < RLK_MAX_NODES; i++)
        set.memory[i].tx_cap = RLK_CONN_TX_AUTH(0, 2);
    for (i = 0; i < COUNT_OF(cases); i++) {
        soil();
        assert_open_refused(rlk_posix_open_nodes(&posix, cases[i], set.memory, 3, NULL),
                            RLK_E_SAME_NODE, "the same server is listed twice");
        assert_contains(rlk_client_error(&posix.client), "(node ");
    }
}

/* ---- layout ---- */

/* A struct of another size or layout, as another version of the headers or other limits give it:
 * refused before anything but its own bytes is touched. */
static void test_wrong_input_layout(void **state)
{
    static uint8_t room[sizeof(rlk_posix_client) + 64];
    rlk_posix_client *other = (rlk_posix_client *)(void *)room;
    rlk_lock *small = (rlk_lock *)(void *)room;
    static const struct {
        int size;
        uint32_t layout;
    } cases[] = {{8, 0}, {-8, 0}, {0, 1}, {0, 0x10000}};
    rlk_conn *conns[1];
    rlk_client_config config;
    size_t i;

    (void)state;
    open_nowhere();
    prepare_memory();
    conns[0] = rlk_client_conn(&posix.client, 0);
    memset(&config, 0, sizeof config);
    for (i = 0; i < COUNT_OF(cases); i++) {
        size_t of_client = (size_t)((int)sizeof(rlk_posix_client) + cases[i].size);
        size_t of_lock = (size_t)((int)sizeof(rlk_lock) + cases[i].size);
        uint32_t layout = RLK_LAYOUT + cases[i].layout;

        memset(room, 0xa5, sizeof room);
        assert_result(rlki_posix_open(other, NOWHERE, NULL, of_client, layout), RLK_E_LAYOUT);
        assert_result(rlki_posix_open_nodes(other, three, set.memory, 3, NULL, of_client, layout),
                      RLK_E_LAYOUT);
        assert_result(rlki_client_init(&other->client, conns, 1, &config, of_client, layout),
                      RLK_E_LAYOUT);
        assert_int_equal(room[of_client], 0xa5);
        memset(room, 0xa5, sizeof room);
        assert_result(rlki_lock_init(small, &posix.client, "foobar", NULL, of_lock, layout),
                      RLK_E_LAYOUT);
        assert_result(rlki_lock_init_n(small, &posix.client, "foobar", 6, NULL, of_lock, layout),
                      RLK_E_LAYOUT);
        assert_int_equal(room[of_lock], 0xa5);
        assert_result(rlk_acquire_start(small, RLK_TRY), RLK_E_CLOSED);
    }
    assert_contains(rlk_result_text(RLK_E_LAYOUT),
                    "another layout of the structs: use the headers");
}

/* ---- locks ---- */

/* Refused, the client says why, and the lock is closed. */
static void assert_lock_refused(rlk_result result, rlk_result expected)
{
    assert_result(result, expected);
    assert_contains(rlk_client_error(&posix.client), rlk_result_name(expected));
    assert_contains(rlk_client_error(&posix.client), rlk_result_text(expected));
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CLOSED);
    assert_result(rlk_lock_close(&lock), RLK_E_CLOSED);
    assert_contains(rlk_lock_error(&lock), "closed, or was never initialised");
}

/* Faults 56 and 57: TTL negative or too large, or within drift and node time. 0 is the default. */
static void test_fault_56_57_ttl_of_the_configuration(void **state)
{
    static const struct {
        rlk_lock_config config;
        rlk_result result;
    } cases[] = {
        {{.ttl_ms = -1}, RLK_E_TTL},
        {{.ttl_ms = INT64_MIN}, RLK_E_TTL},
        {{.ttl_ms = RLK_TTL_MAX + 1}, RLK_E_TTL},
        {{.ttl_ms = INT64_MAX}, RLK_E_TTL},
        {{.ttl_ms = INT64_C(9223370000000000000)}, RLK_E_TTL}, /* Redis takes it */
        {{.ttl_ms = INT64_C(4294967296) + 30000}, RLK_E_TTL},  /* 30 s in 32 bits */
        {{.ttl_ms = 1}, RLK_E_TTL},
        {{.ttl_ms = 3}, RLK_E_TTL},
        {{.ttl_ms = 1000, .node_timeout_ms = 1000}, RLK_E_TTL},
        {{.ttl_ms = 1000, .node_timeout_ms = 988}, RLK_E_TTL}, /* 1 % and 2 ms of drift */
        {{.ttl_ms = 1000, .node_timeout_ms = 980}, RLK_OK},
        {{.ttl_ms = 10}, RLK_OK},
        {{.ttl_ms = 0}, RLK_OK},
        {{.ttl_ms = RLK_TTL_MAX}, RLK_OK},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        rlk_result result;

        open_nowhere();
        result = rlk_lock_init(&lock, &posix.client, "foobar", &cases[i].config);
        if (cases[i].result != RLK_OK)
            assert_lock_refused(result, cases[i].result);
        else
            assert_result(result, RLK_OK);
        rlk_posix_close(&posix);
    }
}

static void test_wrong_input_lock_configuration(void **state)
{
    static char prefix[RLK_PREFIX_MAX + 2];
    const struct {
        rlk_lock_config config;
        rlk_result result;
    } cases[] = {
        {{.wait_ms = -1}, RLK_E_TIMES},           {{.wait_ms = TOO_LONG}, RLK_E_TIMES},
        {{.node_timeout_ms = -1}, RLK_E_TIMES},   {{.node_timeout_ms = TOO_LONG}, RLK_E_TIMES},
        {{.retry_min_ms = -1}, RLK_E_TIMES},      {{.retry_min_ms = TOO_LONG}, RLK_E_TIMES},
        {{.retry_max_ms = -1}, RLK_E_TIMES},      {{.retry_max_ms = INT64_MAX}, RLK_E_TIMES},
        {{.token_prefix = prefix}, RLK_E_PREFIX},
    };
    rlk_lock_config longest = {.token_prefix = prefix + 1};
    size_t i;

    (void)state;
    memset(prefix, 'p', RLK_PREFIX_MAX + 1);
    for (i = 0; i < COUNT_OF(cases); i++) {
        open_nowhere();
        assert_lock_refused(rlk_lock_init(&lock, &posix.client, "foobar", &cases[i].config),
                            cases[i].result);
        rlk_posix_close(&posix);
    }
    open_nowhere();
    assert_lock_refused(rlk_lock_init(&lock, &posix.client, "foobar", &cases[0].config),
                        RLK_E_TIMES);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", &longest), RLK_OK);
    /* nothing is wrong with the client any more */
    assert_contains(rlk_client_error(&posix.client), "E_NOT_CONNECTED: not connected yet: ");
}

/* A number in a text. */
static int64_t number_behind(const char *words)
{
    const char *at = strstr(rlk_client_error(&posix.client), words);

    if (at == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, rlk_client_error(&posix.client));
    return strtoll(at + strlen(words), NULL, 10);
}

/* The least TTL that the text names is taken, and one less is not: for any drift, and for a
 * node_timeout_ms that is given, or follows the TTL. */
static void test_fault_128_ttl_that_fits(void **state)
{
    static const int64_t nodes_ms[] = {0, 1, 20, 980, 5000, RLK_TIME_LIMIT_MAX};
    static const uint32_t drifts_ppm[] = {1, 0, 333333, 500000};
    static const int64_t drifts_ms[] = {0, 1, 700, RLK_TIME_LIMIT_MAX};
    size_t i;
    size_t k;
    size_t n;

    (void)state;
    for (i = 0; i < COUNT_OF(nodes_ms); i++)
        for (k = 0; k < COUNT_OF(drifts_ppm); k++)
            for (n = 0; n < COUNT_OF(drifts_ms); n++) {
                rlk_posix_options options = {.drift_ppm = drifts_ppm[k], .drift_ms = drifts_ms[n]};
                rlk_lock_config config = {.node_timeout_ms = nodes_ms[i], .ttl_ms = 1};
                int64_t least;

                assert_result(rlk_posix_open(&posix, NOWHERE, &options), RLK_OK);
                assert_result(rlk_lock_init(&lock, &posix.client, "k", &config), RLK_E_TTL);
                assert_contains(rlk_client_error(&posix.client),
                                "; ttl_ms is 1, and must be from ");
                assert_int_equal(number_behind(" to "), RLK_TTL_MAX);
                least = number_behind("must be from ");
                config.ttl_ms = least - 1;
                assert_result(rlk_lock_init(&lock, &posix.client, "k", &config), RLK_E_TTL);
                assert_int_equal(number_behind("must be from "), least);
                config.ttl_ms = least;
                assert_result(rlk_lock_init(&lock, &posix.client, "k", &config), RLK_OK);
                rlk_posix_close(&posix);
            }
}

static void test_fault_128_other_numbers_that_fit(void **state)
{
    static char prefix[RLK_PREFIX_MAX + 2];
    const struct {
        rlk_lock_config config;
        const char *text;
    } cases[] = {
        {{.ttl_ms = INT64_MIN}, "; ttl_ms must be from 5 to 2073600000"},
        {{.ttl_ms = -4294967295}, "; ttl_ms is -4294967295, and must be from 5"},
        {{.ttl_ms = RLK_TTL_MAX + 1}, "; ttl_ms is 2073600001, and must be from 5 to 2073600000"},
        {{.node_timeout_ms = -1}, "; node_timeout_ms is -1, and must be from 0 to 86400000"},
        {{.retry_min_ms = -7}, "; retry_min_ms is -7, and must be from 0 to 86400000"},
        {{.retry_max_ms = TOO_LONG}, "; retry_max_ms is 86400001, and must be from 0 to 86400000"},
        {{.recheck_max_ms = -1}, "; recheck_max_ms is -1, "},
        {{.wait_ms = -1}, "; wait_ms is -1, "},
        {{.report_ms = -1}, "; report_ms is -1, "},
        {{.max_hold_ms = 29999}, "; max_hold_ms is 29999, and must be from 30000 to 2073600000"},
        {{.token_prefix = prefix}, "; its length is 65, and must be from 0 to 64"},
    };
    size_t i;

    (void)state;
    memset(prefix, 'p', RLK_PREFIX_MAX + 1);
    open_nowhere();
    for (i = 0; i < COUNT_OF(cases); i++) {
        assert_lock_refused(rlk_lock_init(&lock, &posix.client, "k", &cases[i].config),
                            cases[i].config.ttl_ms != 0            ? RLK_E_TTL
                            : cases[i].config.token_prefix != NULL ? RLK_E_PREFIX
                                                                   : RLK_E_TIMES);
        assert_contains(rlk_client_error(&posix.client), cases[i].text);
    }
    assert_lock_refused(rlk_lock_init(&lock, &posix.client, NULL, NULL), RLK_E_ARGUMENT);
    assert_null(strstr(rlk_client_error(&posix.client), ";")); /* nothing of before */
}

/* Faults 60 and 61: the empty key; and one byte more than the transmit buffer takes. */
static void test_fault_61_key_empty_and_oversized(void **state)
{
    static char key[RLK_NODE_TX];
    static const rlk_lock_config with_prefix = {.token_prefix = "host-17:"};
    size_t longest = (RLK_NODE_TX - RLK_TX_MIN(0)) / 2;

    (void)state;
    memset(key, 'k', sizeof key);
    open_nowhere();
    assert_lock_refused(rlk_lock_init(&lock, &posix.client, "", NULL), RLK_E_KEY);
    assert_lock_refused(rlk_lock_init_n(&lock, &posix.client, "foobar", 0, NULL), RLK_E_KEY);
    assert_contains(rlk_client_error(&posix.client), "the key is empty, or too long");
    assert_contains(rlk_client_error(&posix.client),
                    "; its length is 0, and must be from 1 to 432");
    assert_lock_refused(rlk_lock_init_n(&lock, &posix.client, key, longest + 1, NULL), RLK_E_KEY);
    assert_contains(rlk_client_error(&posix.client),
                    "; its length is 433, and must be from 1 to 432");
    assert_lock_refused(rlk_lock_init_n(&lock, &posix.client, key, SIZE_MAX, NULL), RLK_E_KEY);
    assert_lock_refused(rlk_lock_init_n(&lock, &posix.client, key, SIZE_MAX / 2 + 1, NULL),
                        RLK_E_KEY);
    assert_contains(rlk_client_error(&posix.client), "; its length must be from 1 to 432");
    assert_lock_refused(rlk_lock_init_n(&lock, &posix.client, key, longest, &with_prefix),
                        RLK_E_KEY);
    assert_contains(rlk_client_error(&posix.client),
                    "; its length is 432, and must be from 1 to 428");
    assert_lock_refused(rlk_lock_init_n(&lock, &posix.client, key, 429, &with_prefix), RLK_E_KEY);
    assert_result(rlk_lock_init_n(&lock, &posix.client, key, 428, &with_prefix), RLK_OK);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    assert_result(rlk_lock_init_n(&lock, &posix.client, key, longest, NULL), RLK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_fault_126_url_is_refused_with_the_remedy, close_client),
        cmocka_unit_test_teardown(test_wrong_input_tls_backend, close_client),
        cmocka_unit_test_teardown(test_wrong_input_options, close_client),
        cmocka_unit_test_teardown(test_wrong_input_buffers, close_client),
        cmocka_unit_test_teardown(test_wrong_input_buffer_for_credentials, close_client),
        cmocka_unit_test_teardown(test_wrong_input_number_of_nodes, close_client),
        cmocka_unit_test_teardown(test_wrong_input_layout, close_client),
        cmocka_unit_test_teardown(test_wrong_input_lock_configuration, close_client),
        cmocka_unit_test_teardown(test_fault_56_57_ttl_of_the_configuration, close_client),
        cmocka_unit_test_teardown(test_fault_58_same_server_twice, close_client),
        cmocka_unit_test_teardown(test_fault_61_key_empty_and_oversized, close_client),
        cmocka_unit_test_teardown(test_fault_128_ttl_that_fits, close_client),
        cmocka_unit_test_teardown(test_fault_128_other_numbers_that_fit, close_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
