/* SPDX-License-Identifier: MIT
 *
 * Wrong input that only the network or the peer can show: no server there, no such name, not a
 * Redis, one server under two names; and passwords, which no text and no buffer may keep.
 */
#include "hostile.h"
#include "name_book.h"
#include "nodes.h"
#include "proxy.h"

#include <stdio.h>
#include <string.h>

static nodes set;
static rlk_lock lock;

static void open_at(const char *url, const rlk_posix_options *options)
{
    nodes_open_urls(&set, &url, 1, options);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", NULL), RLK_OK);
}

static void close_all(void)
{
    rlk_lock_close(&lock);
    nodes_close(&set);
}

/* One attempt fails with this result, blocking and in a loop, and both texts have these parts. */
static void assert_attempt_fails(rlk_result expected, const char *part, const char *other)
{
    const char *texts[2];
    char copy[RLK_TEXT_CAP];
    size_t i;

    assert_result(rlk_acquire(&lock, RLK_TRY), expected);
    strcpy(copy, rlk_lock_error(&lock));
    assert_contains(copy, "acquire \"foobar\": ");
    texts[0] = copy;
    texts[1] = rlk_client_error(&set.posix.client);
    for (i = 0; i < COUNT_OF(texts); i++) {
        assert_contains(texts[i], rlk_result_name(expected));
        assert_contains(texts[i], rlk_result_text(expected));
        assert_contains(texts[i], "(node 0, ");
        assert_contains(texts[i], part);
        assert_contains(texts[i], other);
    }
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_result_event(&set.posix, RLK_OP_ACQUIRE, expected);
}

/* ---- nobody there ---- */

static void test_wrong_input_refused(void **state)
{
    server_config config = {.tcp = true};
    server *redis = server_start(&config);
    char url[256];

    (void)state;
    server_kill(redis); /* its port stays reserved */
    open_at(server_tcp_url(redis), NULL);
    assert_attempt_fails(RLK_E_CONNECT, "is the server running",
                         "; connection refused, errno 111)");
    assert_contains(rlk_lock_error(&lock), server_tcp_url(redis) + strlen("redis://"));
    close_all();
    if (support_has_ipv6()) {
        open_at(server_tcp6_url(redis), NULL);
        assert_attempt_fails(RLK_E_CONNECT, "(node 0, [::1]:", "; connection refused, errno 111)");
        close_all();
    }
    snprintf(url, sizeof url, "unix://%s/no-such.sock", server_folder(redis));
    open_at(url, NULL);
    assert_attempt_fails(RLK_E_CONNECT, "/no-such.sock", "; no such socket, errno 2)");
    close_all();
}

static void test_wrong_input_black_hole(void **state)
{
    rlk_posix_options options;
    hostile *peer = hostile_black_hole();
    int64_t start;

    (void)state;
    memset(&options, 0, sizeof options);
    options.connect_timeout_ms = 150;
    open_at(hostile_url(peer), &options);
    start = support_now_ms();
    assert_attempt_fails(RLK_E_CONNECT_TIMEOUT, "is a firewall between?", "127.0.0.1:");
    assert_between(support_now_ms() - start, 300, 1500 * support_time_factor()); /* two tries */
    close_all();
}

/* Accepts, and never says a word. */
static void test_wrong_input_silent_peer(void **state)
{
    static const hostile_step steps[] = {{NULL, "", HOSTILE_SILENT}};
    hostile *peer = hostile_start(steps, COUNT_OF(steps), true);
    rlk_posix_options options;

    (void)state;
    memset(&options, 0, sizeof options);
    options.response_timeout_ms = 150;
    open_at(hostile_url(peer), &options);
    assert_attempt_fails(RLK_E_RESPONSE_TIMEOUT, "no answer in time", ", HELLO)");
    close_all();
}

/* ---- names ---- */

static void test_wrong_input_name_not_found(void **state)
{
    rlk_posix_options options;
    name_book book;

    (void)state;
    memset(&options, 0, sizeof options);
    name_book_init(&book, 0);
    options.resolver = &book.resolver;
    open_at("redis://lock.example:7000", &options);
    assert_attempt_fails(RLK_E_RESOLVE, "the host name can't be resolved: is it spelt right",
                         "lock.example:7000; it has no address)");
    assert_int_equal(book.asked, 2); /* anew at each attempt */
    close_all();
}

/* The system's resolver, asked for a label of 64 letters, which it refuses without a network. */
#define LETTERS_16 "abcdefghijklmnop"
#define BAD_NAME   LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16 ".example"

static void test_wrong_input_name_not_found_by_the_system(void **state)
{
    (void)state;
    open_at("redis://" BAD_NAME, NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_RESOLVE);
    assert_contains(rlk_lock_error(&lock), "E_RESOLVE: the host name can't be resolved");
    assert_contains(rlk_lock_error(&lock), "(node 0, " BAD_NAME ":6379; ");
    close_all();
}

/* In a loop a name needs a resolver, and is not waited for; what needs no resolver works. */
static void test_wrong_input_name_in_a_loop(void **state)
{
    server_config config = {.tcp = true};
    server *redis = server_start(&config);
    char url[64];

    (void)state;
    open_at("redis://lock.example", NULL);
    assert_result(rlk_acquire_start(&lock, RLK_FOREVER), RLK_PENDING);
    assert_result_event(&set.posix, RLK_OP_ACQUIRE, RLK_E_RESOLVER);
    assert_contains(rlk_lock_error(&lock),
                    "acquire \"foobar\": E_RESOLVER: a host name in an event");
    assert_contains(rlk_lock_error(&lock), "needs a resolver: use an address, or set one in ");
    assert_contains(rlk_client_error(&set.posix.client), "E_RESOLVER");
    close_all();
    snprintf(url, sizeof url, "redis://localhost:%d", server_port(redis));
    open_at(url, NULL);
    assert_result(rlk_acquire_start(&lock, RLK_TRY), RLK_PENDING);
    assert_event(&set.posix, RLK_EV_ACQUIRED, RLK_OK);
    close_all();
}

/* ---- not a Redis ---- */

/* Peers that speak another protocol when spoken to. A TLS server answers with an alert. */
static void test_wrong_input_not_resp(void **state)
{
    static const hostile_step peers[][1] = {
        {{NULL, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", HOSTILE_CLOSE}},
        {{NULL, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", HOSTILE_STAY}},
        {{NULL, "<html><body>400</body></html>\r\n", HOSTILE_CLOSE}},
        {{NULL, "\x15\x03\x01", HOSTILE_CLOSE}},
        {{NULL, "\x15\x03\x03", HOSTILE_STAY}},
        {{NULL, "ERROR\r\n", HOSTILE_STAY}}, /* memcached */
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(peers); i++) {
        hostile *peer = hostile_start(peers[i], 1, true);

        open_at(hostile_url(peer), NULL);
        assert_attempt_fails(RLK_E_NOT_RESP, "this is not a RESP server: is it an HTTP or a TLS",
                             hostile_url(peer) + strlen("redis://"));
        assert_contains(rlk_lock_error(&lock), ", HELLO");
        close_all();
    }
}

/* And those that speak first. */
static void test_wrong_input_not_resp_banner(void **state)
{
    static const char *const banners[] = {"220 mail.example ESMTP\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
                                          "J\n8.0.36"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(banners); i++) {
        hostile *peer = hostile_greet(banners[i], HOSTILE_STAY, true);

        open_at(hostile_url(peer), NULL);
        assert_attempt_fails(RLK_E_NOT_RESP, "not a RESP server", "127.0.0.1:");
        close_all();
    }
}

/* Redis itself says nothing on its TLS port: it hangs up on the first bytes that are no TLS. */
static void test_wrong_input_tls_port_of_redis(void **state)
{
    static const hostile_step resets[] = {{NULL, "", HOSTILE_RESET}};
    static const hostile_step closes[] = {{NULL, "", HOSTILE_CLOSE}};

    (void)state;
    open_at(hostile_url(hostile_start(resets, 1, true)), NULL);
    assert_attempt_fails(RLK_E_IO, "HELLO; hung up before the first reply: is it a TLS port?",
                         "errno 104");
    close_all();
    open_at(hostile_url(hostile_start(closes, 1, true)), NULL);
    assert_attempt_fails(RLK_E_EOF, "HELLO; hung up before the first reply: is it a TLS port?",
                         "127.0.0.1:");
    close_all();
}

/* Once a server has spoken RESP, that question would mislead. */
static void test_wrong_input_no_tls_hint_later(void **state)
{
    server *redis = server_start(NULL);
    proxy *middle = proxy_start(server_url(redis), true);

    (void)state;
    proxy_on(middle, "SCRIPT LOAD", 0, PROXY_CUT_BEFORE, NULL);
    proxy_on(middle, "EVAL", 0, PROXY_CUT_BEFORE, NULL);
    open_at(proxy_url(middle), NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_EOF);
    assert_contains(rlk_lock_error(&lock), "E_EOF: the server closed the connection (node 0");
    assert_null(strstr(rlk_lock_error(&lock), "TLS"));
    close_all();
}

/* ---- one server under two names ---- */

/* Fault 88: one server through two aliases (compare run_id) → warned. */
static void test_fault_88_one_server_through_two_aliases(void **state)
{
    server_config config = {.tcp = true};
    server *a = server_start(&config);
    server *b = server_start(&config);
    rlk_holder holders[3];
    char localhost[64];
    const char *urls[][3] = {
        {server_url(a), server_url(b), server_tcp_url(a)},
        {server_tcp_url(a), localhost, server_url(b)},
        {server_tcp_url(a), server_tcp6_url(a), server_tcp_url(b)},
    };
    size_t i;

    (void)state;
    snprintf(localhost, sizeof localhost, "redis://localhost:%d", server_port(a));
    for (i = 0; i < COUNT_OF(urls); i++) {
        if (urls[i][1] == server_tcp6_url(a) && !support_has_ipv6())
            continue;
        nodes_open_urls(&set, urls[i], 3, NULL);
        assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", NULL), RLK_OK);
        assert_int_equal(rlk_client_warnings(&set.posix.client),
                         0); /* not known before it is asked */
        assert_result(rlk_query(&lock, holders, 3), RLK_NOT_HELD);
        assert_int_equal(rlk_client_warnings(&set.posix.client), RLK_WARN_ALIAS);
        close_all();
    }
    /* and no such warning of three that are three */
    nodes_open_urls(&set, (const char *[]){server_url(a), server_tcp_url(b)}, 2, NULL);
    assert_result(rlk_lock_init(&lock, &set.posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_query(&lock, holders, 2), RLK_NOT_HELD);
    assert_int_equal(rlk_client_warnings(&set.posix.client), RLK_WARN_EVEN);
    close_all();
}

/* ---- credentials ---- */

static int no_credentials(void *context, rlk_credentials *out)
{
    (void)context;
    (void)out;
    return 1;
}

/* More than the transmit buffer of 2048 takes. */
static int long_credentials(void *context, rlk_credentials *out)
{
    static char password[3000];

    (void)context;
    memset(password, 's', sizeof password);
    memset(out, 0, sizeof *out);
    out->password = password;
    out->password_len = sizeof password;
    return 0;
}

static void test_wrong_input_credentials_hook(void **state)
{
    static const rlk_credentials_hook hooks[] = {no_credentials, long_credentials};
    server *redis = server_start(NULL);
    rlk_posix_options options;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(hooks); i++) {
        memset(&options, 0, sizeof options);
        options.credentials = hooks[i];
        open_at(server_url(redis), &options);
        assert_attempt_fails(RLK_E_CREDENTIALS,
                             "the credentials hook gave none, or they do not fit", ", HELLO)");
        if (hooks[i] == no_credentials)
            assert_null(strstr(rlk_lock_error(&lock), "tx_cap is"));
        else /* fault 127 */
            assert_contains(rlk_lock_error(&lock), "tx_cap is 2048, and must be at least 30");
        close_all();
    }
}

/* ---- long credentials ---- */

#define LONG_LEN 2500 /* an access token */

static char long_password[LONG_LEN + 1];

static int long_hook(void *context, rlk_credentials *out)
{
    (void)context;
    memset(out, 0, sizeof *out);
    out->password = long_password;
    out->password_len = LONG_LEN;
    return 0;
}

/* rlk_posix_open has no room for it, and says which call has, and how much is needed; that works.
 */
static void assert_long_password(server *redis, const char *url, const rlk_posix_options *options)
{
    static rlk_posix_client posix;
    static rlk_posix_memory memory;
    static rlk_conn_entry ring[RLK_CONN_RING_MIN];
    static uint8_t tx[RLK_CONN_TX_AUTH(0, LONG_LEN)];
    static uint8_t rx[RLK_CONN_RX_MIN];
    char numbers[64];

    (void)redis;
    snprintf(numbers, sizeof numbers, "; tx_cap is %d, and must be from %zu to ", RLK_NODE_TX,
             sizeof tx);
    if (options->credentials == NULL) {
        assert_result(rlk_posix_open(&posix, url, options), RLK_E_BUFFER);
        assert_contains(rlk_client_error(&posix.client), numbers);
    } else { /* it is asked when it connects */
        snprintf(numbers, sizeof numbers, "; tx_cap is %d, and must be at least ", RLK_NODE_TX);
        assert_result(rlk_posix_open(&posix, url, options), RLK_OK);
        assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_CREDENTIALS);
        assert_contains(rlk_lock_error(&lock), numbers);
        assert_contains(rlk_client_error(&posix.client), numbers);
    }
    assert_contains(rlk_client_error(&posix.client),
                    "rlk_posix_open_nodes takes larger ones (tx_cap");
    assert_null(strstr(rlk_client_error(&posix.client), "sss"));
    rlk_posix_close(&posix);

    memory.ring = ring;
    memory.ring_len = RLK_CONN_RING_MIN;
    memory.tx = tx;
    memory.tx_cap = sizeof tx;
    memory.rx = rx;
    memory.rx_cap = sizeof rx;
    assert_result(rlk_posix_open_nodes(&posix, &url, &memory, 1, options), RLK_OK);
    assert_result(rlk_lock_init(&lock, &posix.client, "foobar", NULL), RLK_OK);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_result(rlk_release(&lock), RLK_OK);
    assert_result(rlk_lock_close(&lock), RLK_OK);
    rlk_posix_close(&posix);
}

/* In the options, in the URL, from the hook; and with RESP2. */
static void test_fault_127_long_password(void **state)
{
    static char url[LONG_LEN + 256];
    server_config config = {.password = long_password};
    server *redis;
    rlk_posix_options options;
    unsigned i;

    (void)state;
    memset(long_password, 's', LONG_LEN);
    redis = server_start(&config);
    snprintf(url, sizeof url, "unix://:%s@%s", long_password,
             server_url(redis) + strlen("unix://"));
    for (i = 0; i < 2; i++) {
        memset(&options, 0, sizeof options);
        options.resp2_only = i == 1;
        assert_long_password(redis, url, &options);
        options.password = long_password;
        assert_long_password(redis, server_url(redis), &options);
        options.credentials = long_hook;
        assert_long_password(redis, server_url(redis), &options);
    }
}

/* Gives none at first. */
static int late_credentials(void *context, rlk_credentials *out)
{
    int *asked = (int *)context;

    memset(out, 0, sizeof *out);
    out->password = "sesame";
    out->password_len = 6;
    return ++*asked > 2 ? 0 : 1;
}

/* A hook that fails is asked again by the next call, at once. */
static void test_wrong_input_credentials_that_come_late(void **state)
{
    server_config config = {.password = "sesame"};
    server *redis = server_start(&config);
    rlk_posix_options options;
    int asked = 0;

    (void)state;
    memset(&options, 0, sizeof options);
    options.credentials = late_credentials;
    options.credentials_context = &asked;
    open_at(server_url(redis), &options);
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_CREDENTIALS);
    assert_result(rlk_acquire(&lock, RLK_FOREVER), RLK_E_CREDENTIALS);
    assert_int_equal(asked, 2);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_int_equal(asked, 3);
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
}

/* True if the bytes occur in the memory. */
static bool has_bytes(const void *memory, size_t size, const char *bytes)
{
    const char *at = (const char *)memory;
    size_t len = strlen(bytes);
    size_t i;

    for (i = 0; i + len <= size; i++)
        if (memcmp(at + i, bytes, len) == 0)
            return true;
    return false;
}

/* The password stands nowhere: not in a text, not in the client or its buffers. */
static void assert_no_password(const char *password)
{
    static const char *texts[3];
    size_t i;

    texts[0] = rlk_conn_text(rlk_client_conn(&set.posix.client, 0));
    assert_null(strstr(texts[0], password));
    texts[1] = rlk_client_error(&set.posix.client);
    assert_null(strstr(texts[1], password));
    texts[2] = rlk_lock_error(&lock);
    assert_null(strstr(texts[2], password));
    for (i = 0; i < COUNT_OF(texts); i++)
        assert_non_null(texts[i]);
    assert_false(has_bytes(&set, sizeof set, password));
    assert_false(has_bytes(&lock, sizeof lock, password));
}

/* Where URL and options hold it is the caller's memory, so the test searches another spelling. */
#define PASSWORD_IN_URL "s%65same"
#define PASSWORD        "sesame"

static void password_url(char *out, size_t cap, const char *unix_url)
{
    snprintf(out, cap, "unix://:%s@%s", PASSWORD_IN_URL, unix_url + strlen("unix://"));
}

/* Accepted, refused, cut off in the middle: with HELLO and with AUTH. */
static void test_wrong_input_password_is_kept_nowhere(void **state)
{
    static const char *const required[] = {PASSWORD, "another"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(required) * 2; i++) {
        bool right = i % 2 == 0;
        server_config config = {.password = required[i % 2]};
        server *redis = server_start(&config);
        proxy *middle = proxy_start(server_url(redis), false);
        const char *step = i < 2 ? "HELLO" : "AUTH";
        rlk_posix_options options;
        char url[256];

        memset(&set, 0, sizeof set);
        memset(&options, 0, sizeof options);
        options.resp2_only = i >= 2;
        password_url(url, sizeof url, proxy_url(middle));
        open_at(url, &options);
        proxy_on(middle, step, 0, PROXY_CUT_BEFORE, NULL);
        proxy_on(middle, "AUTH", 0, PROXY_CUT_BEFORE, NULL);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_EOF);
        assert_true(proxy_count(middle, step) >= 1); /* again, silently: fault 103 */
        assert_no_password(PASSWORD);
        proxy_clear(middle);
        assert_result(rlk_acquire(&lock, RLK_TRY), right ? RLK_OK : RLK_E_AUTH);
        assert_no_password(PASSWORD);
        close_all();
        assert_false(has_bytes(&set, sizeof set, PASSWORD));
    }
}

/* Servers repeat in their errors what they were sent. */
static void test_wrong_input_password_repeated_by_the_server(void **state)
{
    static const char *const lines[][2] = {
        {"rename-command HELLO \"\"", NULL},
        {"rename-command HELLO \"\"", "rename-command AUTH \"\""}};
    static const rlk_result expected[] = {RLK_E_AUTH, RLK_E_UNSUPPORTED};
    /* what comes behind it is too short to overwrite it */
    static const hostile_step parrot[] = {
        {"HELLO",
         "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, "
         "`" PASSWORD "`, \r\n",
         HOSTILE_STAY}};
    char url[256];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(lines); i++) {
        server_config config = {.lines = SERVER_LINES(lines[i][0], lines[i][1])};
        server *redis = server_start(&config);

        memset(&set, 0, sizeof set);
        password_url(url, sizeof url, server_url(redis));
        open_at(url, NULL);
        assert_result(rlk_acquire(&lock, RLK_TRY), expected[i]);
        assert_contains(rlk_lock_error(&lock), "AUTH; the server said: ERR ");
        assert_no_password(PASSWORD);
        close_all();
    }
    memset(&set, 0, sizeof set);
    password_url(url, sizeof url, hostile_url(hostile_start(parrot, 1, false)));
    open_at(url, NULL);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_UNEXPECTED); /* +OK to SCRIPT LOAD */
    assert_contains(rlk_lock_error(&lock), "SCRIPT LOAD)");
    assert_no_password(PASSWORD);
    close_all();
}

/* In the words of several products; the refusal is why the attempt ends, so the text stays. */
static void test_wrong_input_password_in_other_words(void **state)
{
    static const hostile_step parrots[][1] = {
        {{"AUTH", "-ERR Unknown or disabled command 'AUTH' '" PASSWORD "'\r\n", HOSTILE_STAY}},
        {{"AUTH", "-ERR unsupported operation now :AUTH " PASSWORD "\r\n", HOSTILE_STAY}},
        {{"AUTH", "-ERR invalid password: " PASSWORD "\r\n", HOSTILE_STAY}},
        {{"AUTH", "-WRONGPASS \"" PASSWORD "\" is wrong\r\n", HOSTILE_STAY}},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(parrots); i++) {
        rlk_posix_options options;
        char url[256];

        memset(&options, 0, sizeof options);
        options.resp2_only = true;
        memset(&set, 0, sizeof set);
        password_url(url, sizeof url, hostile_url(hostile_start(parrots[i], 1, false)));
        open_at(url, &options);
        assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_AUTH);
        assert_contains(rlk_lock_error(&lock), "AUTH; the server said: ");
        assert_contains(rlk_lock_error(&lock), "***");
        assert_no_password(PASSWORD);
        close_all();
    }
}

/* A user of the options without a password has an empty one: it is not passed over in silence, and
 * the default user taken instead. */
static void test_wrong_input_user_without_password(void **state)
{
    server_config config = {
        .lines = SERVER_LINES("user app on nopass ~* &* +@all", "user other on >secret ~* +@all")};
    server *redis = server_start(&config);
    rlk_posix_options options;

    (void)state;
    memset(&options, 0, sizeof options);
    options.user = "app";
    open_at(server_url(redis), &options);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_OK);
    assert_contains(server_text(redis, "CLIENT LIST"), " user=app ");
    assert_result(rlk_release(&lock), RLK_OK);
    close_all();
    options.user = "other";
    open_at(server_url(redis), &options);
    assert_result(rlk_acquire(&lock, RLK_TRY), RLK_E_AUTH);
    assert_contains(rlk_lock_error(&lock), "HELLO; the server said: WRONGPASS");
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        support_test(test_wrong_input_refused),
        support_test(test_wrong_input_black_hole),
        support_test(test_wrong_input_silent_peer),
        support_test(test_wrong_input_name_not_found),
        support_test(test_wrong_input_name_not_found_by_the_system),
        support_test(test_wrong_input_name_in_a_loop),
        support_test(test_wrong_input_not_resp),
        support_test(test_wrong_input_not_resp_banner),
        support_test(test_wrong_input_tls_port_of_redis),
        support_test(test_wrong_input_no_tls_hint_later),
        support_test(test_fault_88_one_server_through_two_aliases),
        support_test(test_wrong_input_credentials_hook),
        support_test(test_fault_127_long_password),
        support_test(test_wrong_input_credentials_that_come_late),
        support_test(test_wrong_input_user_without_password),
        support_test(test_wrong_input_password_is_kept_nowhere),
        support_test(test_wrong_input_password_repeated_by_the_server),
        support_test(test_wrong_input_password_in_other_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
