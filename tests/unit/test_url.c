/* SPDX-License-Identifier: MIT
 *
 * URLs: what each part may be, and the code that names the wrong one.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Compares a span of the URL with a text; NULL stands for NULL. */
static void assert_span(const char *url, const char *span, size_t len, const char *expected)
{
    if (expected == NULL) {
        if (span != NULL) {
            support_fail("%s: has a part that should be absent: %.*s", url, (int)len, span);
        }
        assert_int_equal(len, 0);
    } else if (span == NULL || len != strlen(expected) || memcmp(span, expected, len) != 0) {
        support_fail("%s: \"%.*s\" is not \"%s\"", url, (int)len, span != NULL ? span : "",
                     expected);
    }
}

typedef struct good_url {
    const char *text;
    const char *host;
    const char *path;
    const char *user;
    const char *password;
    uint16_t port;
    uint32_t db;
} good_url;

static const good_url good_urls[] = {
    /* fault 125: no host is localhost */
    {"redis://", "localhost", NULL, NULL, NULL, 6379, 0},
    {"redis:///", "localhost", NULL, NULL, NULL, 6379, 0},
    {"redis:///1", "localhost", NULL, NULL, NULL, 6379, 1},
    {"redis://:6379/0", "localhost", NULL, NULL, NULL, 6379, 0},
    {"redis://:7000", "localhost", NULL, NULL, NULL, 7000, 0},
    {"redis://:", "localhost", NULL, NULL, NULL, 6379, 0},
    {"redis://?db=1", "localhost", NULL, NULL, NULL, 6379, 1},
    {"redis://@", "localhost", NULL, NULL, NULL, 6379, 0},
    {"redis://:secret@", "localhost", NULL, NULL, "secret", 6379, 0},
    {"redis://user:secret@:1/0", "localhost", NULL, "user", "secret", 1, 0},

    /* fault 126: what else environments have */
    {"valkey://h:1/2", "h", NULL, NULL, NULL, 1, 2},
    {"VALKEY://", "localhost", NULL, NULL, NULL, 6379, 0},
    {"redis://h:", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://h:/0", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://[::1]:", "::1", NULL, NULL, NULL, 6379, 0},
    {"redis://h/3/", "h", NULL, NULL, NULL, 6379, 3},
    {"redis://h//", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://h/3/?db=3", "h", NULL, NULL, NULL, 6379, 3},
    {"redis://h?password=s%40", "h", NULL, NULL, "s%40", 6379, 0},
    {"redis://h/?username=u&password=p&db=4", "h", NULL, "u", "p", 6379, 4},
    {"redis://:p@h?username=u", "h", NULL, "u", "p", 6379, 0},
    {"redis://u@h?password=p=/?:", "h", NULL, "u", "p=/?:", 6379, 0},
    {"redis://h?password=&username=&db=0", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://:p@h?username", "h", NULL, NULL, "p", 6379, 0},
    {"unix://u@/run/r.sock?db=3&password=a@b", NULL, "/run/r.sock", "u", "a@b", 0, 3},
    {"redis://h\n", "h", NULL, NULL, NULL, 6379, 0},
    {" \t redis://h/1 \r\n", "h", NULL, NULL, NULL, 6379, 1},
    {"unix:///a\n", NULL, "/a", NULL, NULL, 0, 0},
    {"redis://it's:a'b'@h", "h", NULL, "it's", "a'b'", 6379, 0},

    /* hosts and ports */
    {"redis://localhost", "localhost", NULL, NULL, NULL, 6379, 0},
    {"REDIS://Local-Host_1.example.", "Local-Host_1.example.", NULL, NULL, NULL, 6379, 0},
    {"redis://h:1", "h", NULL, NULL, NULL, 1, 0},
    {"redis://h:65535", "h", NULL, NULL, NULL, 65535, 0},
    {"redis://h:06379", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://127.0.0.1:7000/", "127.0.0.1", NULL, NULL, NULL, 7000, 0},
    {"redis://0.0.0.255", "0.0.0.255", NULL, NULL, NULL, 6379, 0},
    {"redis://1.2.3.4x", "1.2.3.4x", NULL, NULL, NULL, 6379, 0},
    {"redis://[::1]", "::1", NULL, NULL, NULL, 6379, 0},
    {"redis://[::]:7000/3", "::", NULL, NULL, NULL, 7000, 3},
    {"redis://[1::]", "1::", NULL, NULL, NULL, 6379, 0},
    {"redis://[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7::", NULL, NULL, NULL, 6379, 0},
    {"redis://[2001:DB8:0:0:1:0:0:abcd]", "2001:DB8:0:0:1:0:0:abcd", NULL, NULL, NULL, 6379, 0},
    {"redis://[2001:db8::1:2]", "2001:db8::1:2", NULL, NULL, NULL, 6379, 0},
    {"redis://[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", NULL, NULL, NULL, 1, 0},
    {"redis://[1:2:3:4:5:6:1.2.3.4]", "1:2:3:4:5:6:1.2.3.4", NULL, NULL, NULL, 6379, 0},
    {"redis://[fe80::1%25eth0]:5", "fe80::1%25eth0", NULL, NULL, NULL, 5, 0},

    /* databases */
    {"redis://h/", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://h/0", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://h/15", "h", NULL, NULL, NULL, 6379, 15},
    {"redis://h/2147483647", "h", NULL, NULL, NULL, 6379, 2147483647},
    {"redis://h?db=4", "h", NULL, NULL, NULL, 6379, 4},
    {"redis://h/?db=4", "h", NULL, NULL, NULL, 6379, 4},
    {"redis://h/4?db=4&db=4", "h", NULL, NULL, NULL, 6379, 4},
    {"redis://h/4?", "h", NULL, NULL, NULL, 6379, 4},
    {"redis://h?db=4&", "h", NULL, NULL, NULL, 6379, 4},

    /* credentials */
    {"redis://user:secret@h:1/2", "h", NULL, "user", "secret", 1, 2},
    {"redis://:secret@h", "h", NULL, NULL, "secret", 6379, 0},
    {"redis://user@h", "h", NULL, "user", NULL, 6379, 0},
    {"redis://user:@h", "h", NULL, "user", "", 6379, 0},
    {"redis://:@h", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://@h", "h", NULL, NULL, NULL, 6379, 0},
    {"redis://u%3As:p%40%3a%2F%25@h", "h", NULL, "u%3As", "p%40%3a%2F%25", 6379, 0},
    {"redis://u:a:b@c@[::1]:1", "::1", NULL, "u", "a:b@c", 1, 0},
    {"redis://u:p@h/0?db=0", "h", NULL, "u", "p", 6379, 0},
    {"redis://\xc3\xbc:%00@h", "h", NULL, "\xc3\xbc", "%00", 6379, 0},

    /* Unix sockets */
    {"unix:///run/redis.sock", NULL, "/run/redis.sock", NULL, NULL, 0, 0},
    {"Unix:///a", NULL, "/a", NULL, NULL, 0, 0},
    {"unix:///a%20b/%C3%A4?db=3", NULL, "/a%20b/%C3%A4", NULL, NULL, 0, 3},
    {"unix://user:secret@/run/a@b:c", NULL, "/run/a@b:c", "user", "secret", 0, 0},
    {"unix://:secret@/a?db=0", NULL, "/a", NULL, "secret", 0, 0},
};

static void assert_parts(const good_url *good, const char *text, rlk_result result)
{
    rlk_url url;

    memset(&url, 0xa5, sizeof url);
    if (rlk_url_parse(&url, text) != result) {
        support_fail("not %s: %s", rlk_result_name(result), text);
    }
    assert_span(text, url.host, url.host_len, good->host);
    assert_span(text, url.path, url.path_len, good->path);
    assert_span(text, url.user, url.user_len, good->user);
    assert_span(text, url.password, url.password_len, good->password);
    assert_int_equal(url.port, good->port);
    assert_int_equal(url.db, good->db);
}

static void test_url_parse_finds_the_parts(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(good_urls); i++) {
        assert_parts(&good_urls[i], good_urls[i].text, RLK_OK);
    }
}

/* rediss:// and valkeys:// have the same parts as without the "s". */
static void test_url_parse_finds_the_parts_of_tls(void **state)
{
    unsigned tried = 0;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(good_urls); i++) {
        const char *colon = strchr(good_urls[i].text, ':');
        char text[600];

        if (good_urls[i].host == NULL || strlen(good_urls[i].text) + 2 > sizeof text) {
            continue;
        }
        (void)snprintf(text, sizeof text, "%.*s%c%s", (int)(colon - good_urls[i].text),
                       good_urls[i].text, i % 2 == 0 ? 's' : 'S', colon);
        assert_parts(&good_urls[i], text, RLK_E_URL_TLS);
        tried++;
    }
    assert_true(tried > 20);
}

typedef struct bad_url {
    const char *text;
    rlk_result result;
} bad_url;

static const bad_url bad_urls[] = {
    {"", RLK_E_URL},
    {"localhost", RLK_E_URL},
    {"localhost:6379", RLK_E_URL},
    {"redis:", RLK_E_URL},
    {"redis:/", RLK_E_URL},
    {"redis:/h", RLK_E_URL},
    {"redis:h//", RLK_E_URL},
    {"redis://h/ 0", RLK_E_URL},
    {"redis://u:a\tb@h", RLK_E_URL},
    {"redis://h\x7f", RLK_E_URL},

    {" ", RLK_E_URL},
    {"h:6379", RLK_E_URL},
    {"/run/redis.sock", RLK_E_URL},
    {"unix:/run/redis.sock", RLK_E_URL},
    {"redis://a\nredis://b", RLK_E_URL},
    {"redis://h\x01", RLK_E_URL},
    {"\"redis://h\"", RLK_E_URL},
    {"redis://h\"", RLK_E_URL},
    {"'redis://h'", RLK_E_URL},

    {"redisss://h", RLK_E_URL_SCHEME},
    {"unixs:///a", RLK_E_URL_SCHEME},
    {"rediss://a,b", RLK_E_URL_HOST},
    {"valkeys://h:0", RLK_E_URL_PORT},
    {"rediss://h/x", RLK_E_URL_DB},

    {"://h", RLK_E_URL_SCHEME},
    {"tcp://h:6379", RLK_E_URL_SCHEME},
    {"redis+socket:///run/redis.sock", RLK_E_URL_SCHEME},
    {"redis-socket:///run/redis.sock", RLK_E_URL_SCHEME},
    {"valkey+unix:///run/redis.sock", RLK_E_URL_SCHEME},
    {"http://h", RLK_E_URL_SCHEME},
    {"redi://h", RLK_E_URL_SCHEME},
    {"unixx:///a", RLK_E_URL_SCHEME},

    {"redis://a%41b", RLK_E_URL_HOST},
    {"redis://a,b", RLK_E_URL_HOST},
    {"redis://a~b", RLK_E_URL_HOST},
    {"redis://\xc3\xbc", RLK_E_URL_HOST},
    {"redis://[", RLK_E_URL_HOST},
    {"redis://[::1", RLK_E_URL_HOST},
    {"redis://[::1/0", RLK_E_URL_HOST},
    {"redis://[]", RLK_E_URL_HOST},
    {"redis://[::1]6379", RLK_E_URL_HOST},
    {"redis://[::g]", RLK_E_URL_HOST},
    {"redis://[:]", RLK_E_URL_HOST},
    {"redis://[:::]", RLK_E_URL_HOST},
    {"redis://[:1]", RLK_E_URL_HOST},
    {"redis://[1:]", RLK_E_URL_HOST},
    {"redis://[1:2:3:4:5:6:7]", RLK_E_URL_HOST},
    {"redis://[1:2:3:4:5:6:7:8:9]", RLK_E_URL_HOST},
    {"redis://[1:2:3:4:5:6:7:8::]", RLK_E_URL_HOST},
    {"redis://[1::2::3]", RLK_E_URL_HOST},
    {"redis://[::2::3]", RLK_E_URL_HOST},
    {"redis://[::12345]", RLK_E_URL_HOST},
    {"redis://[::1.2.3]", RLK_E_URL_HOST},
    {"redis://[::1.2.3.256]", RLK_E_URL_HOST},
    {"redis://[::1.2.3.4:5]", RLK_E_URL_HOST},
    {"redis://[::1234.2.3.4]", RLK_E_URL_HOST},
    {"redis://[1:2:3:4:5:6:7:1.2.3.4]", RLK_E_URL_HOST},
    {"redis://[127.0.0.1]", RLK_E_URL_HOST},
    {"redis://[fe80::1%eth0]", RLK_E_URL_HOST},
    {"redis://[fe80::1%35eth0]", RLK_E_URL_HOST},
    {"redis://[fe80::1%26eth0]", RLK_E_URL_HOST},
    {"redis://[fe80::1%25]", RLK_E_URL_HOST},
    {"redis://[fe80::1%25e%30]", RLK_E_URL_HOST},
    {"redis://::1", RLK_E_URL_HOST},
    {"redis://fe80::1:6379", RLK_E_URL_HOST},
    {"redis://256.1.1.1", RLK_E_URL_HOST},
    {"redis://1.2.3", RLK_E_URL_HOST},
    {"redis://1.2.3.4.5", RLK_E_URL_HOST},
    {"redis://1.2.3.04", RLK_E_URL_HOST},
    {"redis://1..2.3", RLK_E_URL_HOST},
    {"redis://127.0.0.1.", RLK_E_URL_HOST},

    {"redis://h:0", RLK_E_URL_PORT},
    {"redis://h:65536", RLK_E_URL_PORT},
    {"redis://h:4294967297", RLK_E_URL_PORT},
    {"redis://h:99999999999999999999999999", RLK_E_URL_PORT},
    {"redis://h:http", RLK_E_URL_PORT},
    {"redis://h:63x", RLK_E_URL_PORT},
    {"redis://h:-1", RLK_E_URL_PORT},
    {"redis://h:+1", RLK_E_URL_PORT},
    {"redis://[::1]:x", RLK_E_URL_PORT},

    {"redis://:secret", RLK_E_URL_PORT}, /* the @ was forgotten */

    {"redis://h/x", RLK_E_URL_DB},
    {"redis://h/0//", RLK_E_URL_DB},
    {"redis://h///", RLK_E_URL_DB},
    {"redis:///run/redis.sock", RLK_E_URL_DB},
    {"redis://h/-1", RLK_E_URL_DB},
    {"redis://h/2147483648", RLK_E_URL_DB},
    {"redis://h/4294967296", RLK_E_URL_DB},
    {"redis://h/18446744073709551616", RLK_E_URL_DB},
    {"redis://h/%30", RLK_E_URL_DB},
    {"redis://h?db", RLK_E_URL_DB},
    {"redis://h?db=", RLK_E_URL_DB},
    {"redis://h?db=x", RLK_E_URL_DB},
    {"redis://h?db=2147483648", RLK_E_URL_DB},
    {"redis://h/0?db=1", RLK_E_URL_DB},
    {"redis://h?db=1&db=2", RLK_E_URL_DB},
    {"unix:///a?db=-1", RLK_E_URL_DB},

    {"redis://u%zz@h", RLK_E_URL_ESCAPE},
    {"redis://u:%4@h", RLK_E_URL_ESCAPE},
    {"redis://u:%@h", RLK_E_URL_ESCAPE},
    {"redis://u:%4g@h", RLK_E_URL_ESCAPE},
    {"unix:///a%", RLK_E_URL_ESCAPE},
    {"unix:///a%2", RLK_E_URL_ESCAPE},
    {"unix://%zz@/a", RLK_E_URL_ESCAPE},

    {"redis://h?password=%4", RLK_E_URL_ESCAPE},
    {"redis://h?username=%zz", RLK_E_URL_ESCAPE},
    {"redis://h?password=a+b", RLK_E_URL_ESCAPE}, /* a space, for redis-py */
    /* a password that is not escaped must not lead to another server, or another database */
    {"redis://:1/2@h", RLK_E_URL_ESCAPE},
    {"redis://u:1?db=2@h", RLK_E_URL_ESCAPE},
    {"redis://h?password=a@b", RLK_E_URL_ESCAPE},
    {"redis://u:a#b@h", RLK_E_URL_ESCAPE},
    {"redis://h/0#frag", RLK_E_URL_ESCAPE},
    {"unix://u:a/b@/run/redis.sock", RLK_E_URL_ESCAPE},
    {"unix://u:a?b@/run/redis.sock", RLK_E_URL_ESCAPE},
    {"unix:///run/a#b", RLK_E_URL_ESCAPE},

    {"unix://", RLK_E_URL_PATH},
    {"unix:///", RLK_E_URL_PATH},
    {"unix://?db=1", RLK_E_URL_PATH},
    {"unix://run/redis.sock", RLK_E_URL_PATH},
    {"unix://user@run/redis.sock", RLK_E_URL_PATH},
    {"unix:///run/a%00b", RLK_E_URL_PATH},

    {"redis://h?foo=1", RLK_E_URL_QUERY},
    {"redis://h?foo", RLK_E_URL_QUERY},
    {"redis://h?=1", RLK_E_URL_QUERY},
    {"redis://u@h?username=u", RLK_E_URL_QUERY},
    {"redis://:p@h?password=p", RLK_E_URL_QUERY},
    {"redis://u:@h?password=p", RLK_E_URL_QUERY},
    {"redis://h?password=p&password=p", RLK_E_URL_QUERY},
    {"redis://h?Password=p", RLK_E_URL_QUERY},
    {"redis://h?pass=p", RLK_E_URL_QUERY},
    {"redis://h?DB=1", RLK_E_URL_QUERY},
    {"redis://h?&db=1", RLK_E_URL_QUERY},
    {"redis://h?db=1&timeout=3", RLK_E_URL_QUERY},
    {"redis://h/0?dbx=1", RLK_E_URL_QUERY},
    {"unix:///a?virtual_host=1", RLK_E_URL_QUERY},
};

static void test_url_parse_names_the_wrong_part(void **state)
{
    static const rlk_url nothing;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(bad_urls); i++) {
        rlk_url url;
        rlk_result result;

        memset(&url, 0xa5, sizeof url);
        result = rlk_url_parse(&url, bad_urls[i].text);
        if (result != bad_urls[i].result) {
            support_fail("%s: %d, not %d", bad_urls[i].text, (int)result, (int)bad_urls[i].result);
        }
        assert_null(url.host);
        assert_null(url.path);
        assert_null(url.user);
        assert_null(url.password);
        assert_int_equal(url.port, nothing.port);
        assert_int_equal(url.db, nothing.db);
    }
}

static void test_url_parse_refuses_null(void **state)
{
    rlk_url url;

    (void)state;
    assert_int_equal(rlk_url_parse(NULL, "redis://h"), RLK_E_ARGUMENT);
    assert_int_equal(rlk_url_parse(&url, NULL), RLK_E_ARGUMENT);
    assert_null(url.host);
}

/* `prefix`, n times `c`, in memory of its own so that a read behind the end is seen. */
static char *repeated(const char *prefix, char c, size_t n)
{
    size_t len = strlen(prefix);
    char *text = (char *)malloc(len + n + 1);

    assert_non_null(text);
    memcpy(text, prefix, len);
    memset(text + len, c, n);
    text[len + n] = '\0';
    return text;
}

static rlk_result parse_repeated(const char *prefix, char c, size_t n)
{
    char *text = repeated(prefix, c, n);
    rlk_url url;
    rlk_result result = rlk_url_parse(&url, text);

    free(text);
    return result;
}

static void test_url_parse_bounds_lengths(void **state)
{
    (void)state;
    assert_int_equal(parse_repeated("redis://", 'a', 255), RLK_OK);
    assert_int_equal(parse_repeated("redis://", 'a', 256), RLK_E_URL_HOST);
    assert_int_equal(parse_repeated("unix:///", 'a', 106), RLK_OK);
    assert_int_equal(parse_repeated("unix:///", 'a', 107), RLK_E_URL_PATH);
    /* the lengths of the result have 16 bits */
    assert_int_equal(parse_repeated("redis://h:", '0', 65525), RLK_E_URL_PORT);
    assert_int_equal(parse_repeated("redis://h:", '0', 65526), RLK_E_URL);
    assert_int_equal(parse_repeated("redis://h:", '0', 200000), RLK_E_URL);
}

/* An escape counts as the one byte that it stands for. */
static void test_url_parse_measures_the_decoded_path(void **state)
{
    char text[8 + 3 * 107 + 1] = "unix:///";
    rlk_url url;
    int i;

    (void)state;
    for (i = 0; i < 106; i++) {
        memcpy(text + 8 + 3 * i, "%41", 4);
    }
    assert_int_equal(rlk_url_parse(&url, text), RLK_OK);
    assert_int_equal(url.path_len, 1 + 3 * 106);
    memcpy(text + 8 + 3 * 106, "%41", 4);
    assert_int_equal(rlk_url_parse(&url, text), RLK_E_URL_PATH);
}

/* Every beginning of a URL, in memory that ends where it does: no read behind the end. */
static void test_url_parse_reads_no_byte_too_many(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(good_urls); i++) {
        size_t len = strlen(good_urls[i].text);
        size_t n;

        for (n = 0; n < len; n++) {
            char *text = (char *)malloc(n + 1);
            rlk_url url;

            assert_non_null(text);
            memcpy(text, good_urls[i].text, n);
            text[n] = '\0';
            if (rlk_url_parse(&url, text) == RLK_OK) {
                bool elsewhere = url.host != NULL && (url.host < text || url.host > text + n);

                assert_true(elsewhere || url.host == NULL || url.host + url.host_len <= text + n);
                assert_true(!elsewhere || strcmp(url.host, "localhost") == 0);
                assert_true(url.path == NULL || url.path + url.path_len <= text + n);
            } else {
                assert_null(url.host);
            }
            free(text);
        }
    }
}

static void test_url_decode_undoes_escapes(void **state)
{
    static const struct {
        const char *text;
        const char *decoded;
        size_t len;
    } rows[] = {
        {"", "", 0},
        {"abc", "abc", 3},
        {"%41%62%5A%5a", "AbZZ", 4},
        {"p%40%3a%2F%25", "p@:/%", 5},
        {"%00%fF", "\0\xff", 2},
        {"%zz%4%", "%zz%4%", 6}, /* as it stands: rlk_url_parse refuses it before */
        {"%4g", "%4g", 3},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        uint8_t out[16];
        size_t len = strlen(rows[i].text);

        assert_int_equal(rlk_url_decode(rows[i].text, len, NULL, 0), rows[i].len);
        memset(out, 0x55, sizeof out);
        assert_int_equal(rlk_url_decode(rows[i].text, len, out, rows[i].len), rows[i].len);
        assert_memory_equal(out, rows[i].decoded, rows[i].len);
        assert_int_equal(out[rows[i].len], 0x55);
        if (rows[i].len > 0) { /* too small: nothing is written */
            memset(out, 0x55, sizeof out);
            assert_int_equal(rlk_url_decode(rows[i].text, len, out, rows[i].len - 1), rows[i].len);
            assert_int_equal(out[0], 0x55);
        }
    }
    assert_int_equal(rlk_url_decode(NULL, 0, NULL, 0), 0);
    assert_int_equal(rlk_url_decode("%41", 2, NULL, 0), 2); /* cut off by its length */
}

static void test_url_same_server_compares_where_not_who(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"redis://h", "redis://h:6379/3", true},
        {"redis://u:p@h", "redis://H", true},
        {"redis://", "valkey://localhost:6379/1", true},
        {"redis://[::A]:1", "redis://[::a]:1", true},
        {"redis://h:1", "redis://h:2", false},
        {"redis://h", "redis://i", false},
        {"redis://h", "redis://hh", false},
        {"redis://localhost", "redis://127.0.0.1", false}, /* letters, no DNS */
        {"unix:///a", "unix://u:p@/a?db=2", true},
        {"unix:///%61/b", "unix:///a%2fb", true},
        {"unix:///a", "unix:///A", false},
        {"unix:///a", "unix:///ab", false},
        {"unix:///ab", "unix:///a", false},
        {"unix:///a", "redis://a", false},
        {"redis://a", "unix:///a", false},
    };
    static const rlk_url none;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        rlk_url a;
        rlk_url b;

        assert_int_equal(rlk_url_parse(&a, rows[i].a), RLK_OK);
        assert_int_equal(rlk_url_parse(&b, rows[i].b), RLK_OK);
        if (rlk_url_same_server(&a, &b) != rows[i].same) {
            support_fail("%s, %s", rows[i].a, rows[i].b);
        }
        assert_false(rlk_url_same_server(&a, &none));
        assert_false(rlk_url_same_server(&none, &a));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url_parse_finds_the_parts),
        cmocka_unit_test(test_url_parse_finds_the_parts_of_tls),
        cmocka_unit_test(test_url_parse_names_the_wrong_part),
        cmocka_unit_test(test_url_parse_refuses_null),
        cmocka_unit_test(test_url_parse_bounds_lengths),
        cmocka_unit_test(test_url_parse_measures_the_decoded_path),
        cmocka_unit_test(test_url_parse_reads_no_byte_too_many),
        cmocka_unit_test(test_url_decode_undoes_escapes),
        cmocka_unit_test(test_url_same_server_compares_where_not_who),
    };

    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
