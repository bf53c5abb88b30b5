/* SPDX-License-Identifier: MIT
 *
 * Texts that a connection leaves where the caller has them, and that are others by now (fault 119):
 * the attempt fails before a byte is sent.
 */
#include "fake.h"

#include <string.h>

static char path_url[] = "unix://me:secret@/run/a";
static char host_url[] = "redis://me:secret@name";
static char name[] = "program";

static void start(fake *server, const char *url)
{
    fake_init(server, 0, 0, 0);
    assert_result(rlk_url_parse(&server->config.url, url), RLK_OK);
    server->config.client_name = name;
    fake_start(server);
}

/* The attempt that is under way fails, and so does none after it once the text is back. */
static void assert_fails(fake *server, char *at, char was)
{
    fake_run(server);
    assert_int_equal(server->out_len, 0);
    assert_int_equal(rlk_conn_wants(&server->conn), RLK_WANT_CLOSE);
    fake_close(server);
    assert_result(rlk_conn_result(&server->conn), RLK_E_DANGLING);
    assert_int_equal(rlk_conn_get_state(&server->conn), RLK_CONN_WAITING);
    *at = was;
    fake_connect(server);
    assert_int_equal(rlk_conn_get_state(&server->conn), RLK_CONN_READY);
    fake_free(server);
}

/* Each byte of each text, before the attempt begins and before its stream is up. */
static void test_fault_119_any_byte_of_a_text(void **state)
{
    static const struct {
        const char *url;
        char *text;
        size_t from;
        size_t to;
    } rows[] = {
        {path_url, path_url, 7, 9},   {path_url, path_url, 10, 16}, {path_url, path_url, 17, 23},
        {host_url, host_url, 18, 22}, {host_url, name, 0, 7},
    };
    size_t i, k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++)
        for (k = rows[i].from; k < rows[i].to; k++) {
            char *at = rows[i].text + k;
            char was = *at;
            fake server;

            start(&server, rows[i].url);
            *at = (char)(was ^ 1);
            fake_open(&server);
            assert_fails(&server, at, was);

            start(&server, rows[i].url);
            rlk_conn_tick(&server.conn, server.now_ms);
            rlk_conn_connecting(&server.conn, server.now_ms);
            assert_int_equal(rlk_conn_wants(&server.conn), 0);
            *at = (char)(was ^ 1);
            rlk_conn_connected(&server.conn, 0, NULL, server.now_ms);
            assert_fails(&server, at, was);
        }
}

/* A name that has lost its end is not read beyond the longest one. */
static void test_fault_119_name_without_an_end(void **state)
{
    static char endless[80] = "x";
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.client_name = endless;
    fake_start(&server);
    memset(endless, 'x', sizeof endless);
    fake_open(&server);
    fake_close(&server);
    assert_result(rlk_conn_result(&server.conn), RLK_E_DANGLING);
    fake_free(&server);
}

static int hook(void *context, rlk_credentials *out)
{
    (void)context;
    (void)out;
    return RLK_E_DANGLING;
}

static void test_fault_119_hook_can_say_it(void **state)
{
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.credentials = hook;
    fake_start(&server);
    fake_connect(&server);
    fake_close(&server);
    assert_int_equal(server.out_len, 0);
    assert_result(rlk_conn_result(&server.conn), RLK_E_DANGLING);
    fake_free(&server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_119_any_byte_of_a_text),
        cmocka_unit_test(test_fault_119_name_without_an_end),
        cmocka_unit_test(test_fault_119_hook_can_say_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
