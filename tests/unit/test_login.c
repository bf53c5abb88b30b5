/* SPDX-License-Identifier: MIT
 *
 * User and password: from the URL or from a hook, into the handshake, and kept nowhere.
 */
#include "fake.h"

#include <string.h>

typedef struct hook_case {
    int answer;
    rlk_credentials credentials;
    unsigned calls;
} hook_case;

static int hook(void *context, rlk_credentials *out)
{
    hook_case *self = (hook_case *)context;

    self->calls++;
    *out = self->credentials;
    return self->answer;
}

static void hook_init(fake *server, hook_case *self, const char *user, const char *password)
{
    memset(self, 0, sizeof *self);
    self->credentials.user = user;
    self->credentials.user_len = user != NULL ? strlen(user) : 3;
    self->credentials.password = password;
    self->credentials.password_len = password != NULL ? strlen(password) : 3;
    fake_init(server, RLK_CONN_TX_MIN, 0, 0);
    /* not what is used */
    assert_result(rlk_url_parse(&server->config.url, "redis://not:this@h"), RLK_OK);
    server->config.credentials = hook;
    server->config.credentials_context = self;
    fake_start(server);
}

static void test_conn_credentials_come_from_the_hook(void **state)
{
    static const struct {
        const char *user;
        const char *password;
        bool resp2;
        const char *commands;
    } rows[] = {
        {"me", "se%20cret", false, "HELLO 3 AUTH me se%20cret;INFO server;"},
        {NULL, "secret", false, "HELLO 3 AUTH default secret;INFO server;"},
        {"me", "", false, "HELLO 3 AUTH me ;INFO server;"},
        {"me", NULL, false, "HELLO 3;INFO server;"},
        {"me", "secret", true, "HELLO 3 AUTH me secret;AUTH me secret;CLIENT ID;INFO server;"},
        {NULL, "secret", true, "HELLO 3 AUTH default secret;AUTH secret;CLIENT ID;INFO server;"},
        {NULL, NULL, true, "HELLO 3;CLIENT ID;INFO server;"},
    };
    static const fake_rule old_server[] = {{"HELLO", HELLO_UNKNOWN}, {NULL, NULL}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        hook_case self;
        fake server;

        hook_init(&server, &self, rows[i].user, rows[i].password);
        if (rows[i].resp2)
            server.rules = old_server;
        fake_connect(&server);
        assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
        assert_string_equal(server.commands, rows[i].commands);
        assert_int_equal(self.calls, rows[i].resp2 ? 2 : 1);
        fake_free(&server);
    }
}

/* A driver may report the replies before it reports that the last bytes have left. Then the
 * password is still in the buffer. */
static void test_conn_credentials_are_wiped_before_it_is_ready(void **state)
{
    hook_case self;
    fake server;
    size_t len;

    (void)state;
    hook_init(&server, &self, "me", "secret");
    fake_open(&server);
    (void)rlk_conn_tx_buf(&server.conn, &len);
    fake_say(&server, "%1\r\n$2\r\nid\r\n:7\r\n"); /* HELLO's */
    (void)fake_give(&server);
    (void)rlk_conn_tx_buf(&server.conn, &len);
    fake_say(&server, "$0\r\n\r\n"); /* INFO's */
    (void)fake_give(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_HANDSHAKE);
    assert_true(fake_holds(server.config.tx, server.config.tx_cap, "secret"));
    rlk_conn_tx_ack(&server.conn, len, server.now_ms);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_false(fake_holds(server.config.tx, server.config.tx_cap, "secret"));
    fake_free(&server);
}

static void test_conn_credentials_that_fail_are_asked_again(void **state)
{
    hook_case self;
    fake server;
    char big[RLK_CONN_TX_MIN];

    (void)state;
    hook_init(&server, &self, "me", "secret");
    self.answer = 1;
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_CLOSING);
    assert_int_equal(server.out_len, 0);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_CREDENTIALS);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_WAITING);
    assert_string_equal(rlk_conn_step(&server.conn), "HELLO");

    /* too long for the buffer: the same, and no part of them stays */
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    self.answer = 0;
    self.credentials.user = "secret";
    self.credentials.user_len = 6;
    self.credentials.password = big;
    self.credentials.password_len = sizeof big - 1;
    fake_connect(&server);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_CREDENTIALS);
    assert_int_equal(server.out_len, 0);
    assert_false(fake_holds(server.config.tx, server.config.tx_cap, "secret"));

    /* no buffer is so large: the number is as large as it can be, not one that wrapped */
    self.credentials.password_len = SIZE_MAX / 4;
    fake_connect(&server);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_CREDENTIALS);
    assert_true(rlk_conn_tx_needed(&server.conn) >= UINT32_MAX / 4);

    self.credentials.password = "fits";
    self.credentials.password_len = 4;
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_int_equal(self.calls, 4);
    assert_int_equal(rlk_conn_tx_needed(&server.conn), 0);
    fake_free(&server);
}

/* The server doesn't know HELLO, and for AUTH the hook has nothing more to say. */
static int hook_once(void *context, rlk_credentials *out)
{
    hook_case *self = (hook_case *)context;

    self->answer = self->calls != 0;
    return hook(context, out);
}

static void test_conn_credentials_that_fail_the_second_time(void **state)
{
    static const fake_rule old_server[] = {{"HELLO", HELLO_UNKNOWN}, {NULL, NULL}};
    hook_case self;
    fake server;

    (void)state;
    hook_init(&server, &self, "user", "secret");
    server.config.credentials = hook_once;
    fake_start(&server);
    server.rules = old_server;
    fake_connect(&server);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_CREDENTIALS);
    assert_string_equal(rlk_conn_step(&server.conn), "AUTH");
    assert_string_equal(server.commands, "HELLO 3 AUTH user secret;");
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_credentials_come_from_the_hook),
        cmocka_unit_test(test_conn_credentials_are_wiped_before_it_is_ready),
        cmocka_unit_test(test_conn_credentials_that_fail_are_asked_again),
        cmocka_unit_test(test_conn_credentials_that_fail_the_second_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
