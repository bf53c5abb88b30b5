/* SPDX-License-Identifier: MIT
 *
 * What servers repeat in their errors: neither passwords nor digits of tokens stay in the text that
 * a connection keeps, in the words of several products.
 */
#include "fake.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789abcdef0123456789abcdef01234567"
#define HUNTER "hunter2secret"

typedef struct mask_row {
    const char *password; /* as in the URL */
    const char *reply;    /* to AUTH */
    const char *text;
} mask_row;

static const mask_row rows[] = {
    /* Redis, KeyDB, Valkey */
    {HUNTER, "-ERR unknown command `AUTH`, with args beginning with: `" HUNTER "`, \r\n",
     "ERR unknown command `AUTH`"},
    {HUNTER, "-ERR unknown command 'AUTH', with args beginning with: '" HUNTER "' \r\n",
     "ERR unknown command 'AUTH'"},
    /* Azure, Kvrocks, proxies */
    {HUNTER, "-ERR Unknown or disabled command 'AUTH' '" HUNTER "'\r\n",
     "ERR Unknown or disabled command 'AUTH' '***'"},
    {HUNTER, "-ERR unsupported operation now :AUTH " HUNTER "\r\n",
     "ERR unsupported operation now :AUTH ***"},
    {HUNTER, "-ERR invalid password " HUNTER "!\r\n", "ERR invalid password ***!"},
    {HUNTER, "-ERR x" HUNTER "x, twice: " HUNTER "\r\n", "ERR x***x, twice: ***"},
    {HUNTER, "-WRONGPASS " HUNTER "\r\n", "WRONGPASS ***"},
    /* a dump of the request */
    {HUNTER, "-ERR can't parse \"auth\" \"" HUNTER "\"\r\n", "ERR can't parse \"auth\" \"***\""},
    {"hunter2%22secret", "-ERR can't parse \"AUTH\" \"hunter2\\\"secret\"\r\n",
     "ERR can't parse \"AUTH\" \"***\""},
    {"hunter2%22secret", "-ERR can't parse \"AUTH\" \"hunter2\"secret\"\r\n",
     "ERR can't parse \"AUTH\" \"***\""},
    {"s%25c%40t123", "-ERR no: s%c@t123\r\n", "ERR no: ***"},
    {"se%0Acr%09et12", "-ERR no: se cr\tet12\r\n", "ERR no: ***"},
    {"se%7Fcret12",
     "-ERR no: se\x7f"
     "cret12\r\n",
     "ERR no: ***"},
    {"se%0Acr%09et12", "-ERR no: seacr\tet12\r\n", "ERR no: seacr?et12"},
    {"auth%20%22key", "-ERR can't parse \"AUTH\" \"auth \\\"key\"\r\n",
     "ERR can't parse \"AUTH\" \"***\""},
    /* the server has lost the closing quote */
    {"hunter2%22secret", "-ERR unbalanced quotes in \"hunter2\\\"secret\r\n",
     "ERR unbalanced quotes in \"***"},
    {"hunter2%22secret", "-ERR unbalanced quotes in \"hunter2\\\r\n",
     "ERR unbalanced quotes in \"***"},
    /* short ones, where they are a word */
    {"pw", "-ERR pw, pwd: 'pw' pw\r\n", "ERR **, pwd: '**' **"},
    {"pw", "-ERR {pw} [pw] ~pw: Apw -pw pwZ apw _pw pw_ pw7\r\n",
     "ERR {**} [**] ~**: Apw -pw pwZ apw _pw pw_ pw7"},
    {"gone", "-gone is no password\r\n", "*** is no password"},
    {"xyzzy", "-ERR (xyzzy) xyzzyx\r\n", "ERR (***) xyzzyx"},
    /* words of the server that are a password somewhere */
    {"password", "-WRONGPASS invalid username-pass pair or user is disabled.\r\n",
     "WRONGPASS invalid username-pass pair or user is disabled."},
    {"valid", "-WRONGPASS invalid username-password pair\r\n",
     "WRONGPASS invalid username-password pair"},
    {HUNTER, "-NOPERM this user has no permissions to run the 'auth' command\r\n",
     "NOPERM this user has no permissions to run the 'auth' command"},
    /* cut by the server, and here */
    {HUNTER HUNTER HUNTER, "-ERR AUTH " HUNTER HUNTER "... is too long\r\n",
     "ERR AUTH ***... is too long"},
    {HUNTER, "-ERR 8901234567890123456789012345678901234567890123456789012345678901 " HUNTER "\r\n",
     "ERR *** ***"},
    {HUNTER,
     "-ERR a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.A.B.C.D.EFG AUTH " HUNTER "\r\n",
     "ERR a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.A.B.C.D.EFG AUTH **"},
    /* tokens, or what may be one */
    {HUNTER, "-ERR value is " DIGITS "\r\n", "ERR value is ***"},
    {HUNTER, "-ERR value is host-7:" DIGITS ".\r\n", "ERR value is host-7:***."},
    {HUNTER, "-ERR 0123456789abcde is no token\r\n", "ERR 0123456789abcde is no token"},
};

static void start(fake *server, const mask_row *row, const fake_rule *rules, size_t chunk)
{
    static char url[128];

    (void)snprintf(url, sizeof url, "redis://:%s@h", row->password);
    fake_init(server, 0, 0, 0);
    assert_result(rlk_url_parse(&server->config.url, url), RLK_OK);
    server->config.resp2_only = true;
    server->rules = rules;
    server->chunk = chunk;
    fake_start(server);
    fake_connect(server);
}

static void test_conn_mask_of_what_is_repeated(void **state)
{
    static const size_t chunks[] = {0, 1, 7};
    size_t i;
    size_t k;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        for (k = 0; k < COUNT_OF(chunks); k++) {
            const fake_rule rules[] = {{"AUTH", rows[i].reply}, {NULL, NULL}};
            fake server;

            start(&server, &rows[i], rules, chunks[k]);
            assert_int_not_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
#ifndef RLK_NO_TEXT
            assert_string_equal(rlk_conn_text(&server.conn), rows[i].text);
            assert_false(fake_holds(server.conn.text, sizeof server.conn.text, HUNTER));
#endif
            fake_close(&server);
            fake_free(&server);
        }
    }
}

/* A hook's password: as it is, also a percent sign. The hook is not asked again. */
static int hook(void *context, rlk_credentials *out)
{
    ++*(int *)context;
    memset(out, 0, sizeof *out);
    out->password = "s%63cret-99";
    out->password_len = 11;
    return 0;
}

static void test_conn_mask_of_a_hooks_password(void **state)
{
    static const fake_rule rules[] = {{"AUTH", "-WRONGPASS s%63cret-99 secret-99\r\n"},
                                      {NULL, NULL}};
    int asked = 0;
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    server.config.resp2_only = true;
    server.config.credentials = hook;
    server.config.credentials_context = &asked;
    server.rules = rules;
    fake_start(&server);
    fake_connect(&server);
    assert_text_contains(rlk_conn_text(&server.conn), "WRONGPASS *** secret-99");
    assert_int_equal(asked, 1);
    fake_close(&server);
    fake_free(&server);
}

/* A driver's words take the place of the server's, without control bytes, as far as they fit. */
static void test_conn_explain_keeps_the_drivers_words(void **state)
{
    char longer[2 * RLK_CONN_TEXT];
    fake server;

    (void)state;
    fake_init(&server, 0, 0, 0);
    fake_start(&server);
    rlk_conn_explain(&server.conn, "the server's certificate is\nfor another name");
    assert_string_equal(rlk_conn_text(&server.conn),
                        "the server's certificate is?for another name");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    rlk_conn_explain(&server.conn, longer);
    assert_int_equal(strlen(rlk_conn_text(&server.conn)), RLKI_CONN_TEXT - 1);
    rlk_conn_explain(&server.conn, "expired");
    assert_string_equal(rlk_conn_text(&server.conn), "expired");

#ifndef RLK_RESP2_ONLY /* the server of this test knows HELLO */
    fake_connect(&server);
    assert_int_equal(rlk_conn_get_state(&server.conn), RLK_CONN_READY);
    assert_string_equal(rlk_conn_text(&server.conn), "");
#endif
    fake_close(&server);
    fake_free(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_mask_of_what_is_repeated),
        cmocka_unit_test(test_conn_mask_of_a_hooks_password),
        cmocka_unit_test(test_conn_explain_keeps_the_drivers_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
