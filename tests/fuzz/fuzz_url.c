/* SPDX-License-Identifier: MIT
 *
 * The URL parser. What it takes is made of the parts that it found, at their places in the text;
 * a URL written anew from these parts, plainly or with every byte escaped, has the same parts.
 *
 * Input: the text.
 */
#include "input.h"

#include "resplock/net.h"

#include <ctype.h>
#include <string.h>

#define TEXT_MAX 2048
#define WHITE    " \t\n\v\f\r"

/* Decoding, the slow way. */
static size_t decode(const char *text, size_t len, char *out)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        char digits[3] = {0, 0, 0};

        if (text[i] == '%' && len - i >= 3)
            memcpy(digits, text + i + 1, 2);
        out[n] = text[i];
        if (isxdigit((uint8_t)digits[0]) != 0 && isxdigit((uint8_t)digits[1]) != 0) {
            out[n] = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        n++;
    }
    return n;
}

/* rlk_url_decode does the same, and writes nothing where there is no room. */
static void check_decode(const char *text, size_t len)
{
    char wanted[TEXT_MAX];
    size_t n = decode(text, len, wanted);
    uint8_t *out = (uint8_t *)malloc(n + 1);

    FUZZ_REQUIRE(out != NULL && n <= len);
    FUZZ_REQUIRE(rlk_url_decode(text, len, NULL, 0) == n);
    FUZZ_REQUIRE(rlk_url_decode(text, len, out, n) == n);
    FUZZ_REQUIRE(memcmp(out, wanted, n) == 0);
    if (n > 0) {
        memset(out, 0xa5, n);
        FUZZ_REQUIRE(rlk_url_decode(text, len, out, n - 1) == n);
        while (n-- > 0)
            FUZZ_REQUIRE(out[n] == 0xa5);
    }
    free(out);
}

/* A part lies in the text, behind one of the characters `before` and in front of one of `after`. */
static void check_span(const char *text, const char *span, size_t len, const char *before,
                       const char *after)
{
    if (span == NULL) {
        FUZZ_REQUIRE(len == 0);
        return;
    }
    FUZZ_REQUIRE(span > text && span + len <= text + strlen(text));
    FUZZ_REQUIRE(strchr(before, span[-1]) != NULL);
    FUZZ_REQUIRE(strchr(after, span[len]) != NULL); /* the terminator counts */
}

/* Only around the URL is there white space, and in it no character that it can't have. */
static void check_characters(const char *text)
{
    const char *end = text + strlen(text);

    text += strspn(text, WHITE);
    while (end > text && strchr(WHITE, end[-1]) != NULL)
        end--;
    for (; text < end; text++)
        FUZZ_REQUIRE((unsigned char)*text > ' ' && *text != 0x7f && *text != '#' && *text != '"');
}

static void check_parts(const rlk_url *url, const char *text)
{
    const char *host = url->host;

    check_characters(text);
    FUZZ_REQUIRE((host != NULL) != (url->path != NULL));
    FUZZ_REQUIRE((host != NULL) == (url->port != 0));
    FUZZ_REQUIRE(host == NULL || url->host_len > 0);
    FUZZ_REQUIRE(url->db <= 2147483647u);
    if (host != NULL && (host < text || host > text + strlen(text)))
        FUZZ_REQUIRE(url->host_len == 9 && memcmp(host, "localhost", 9) == 0); /* none was said */
    else
        check_span(text, host, url->host_len, "/@[", ":/?]" WHITE);
    check_span(text, url->path, url->path_len, "/@", "?" WHITE);
    check_span(text, url->user, url->user_len, "/=", ":@&" WHITE);
    check_span(text, url->password, url->password_len, ":=", "@&" WHITE);
    FUZZ_REQUIRE(url->user == NULL || url->user_len > 0);
    FUZZ_REQUIRE(url->password == NULL || url->user != NULL || url->password_len > 0);
}

static void check_refusal(const rlk_url *url, rlk_result result)
{
    static const rlk_url nothing;

    FUZZ_REQUIRE(result <= RLK_E_URL && result >= RLK_E_URL_QUERY);
    FUZZ_REQUIRE(url->host == NULL && url->path == NULL && url->user == NULL &&
                 url->password == NULL && url->port == nothing.port && url->db == nothing.db);
}

/* ---- The way back ---- */

typedef struct writer {
    char text[8 * TEXT_MAX];
    size_t len;
} writer;

static void put(writer *out, const char *bytes, size_t len)
{
    FUZZ_REQUIRE(len < sizeof out->text - out->len);
    if (len == 0)
        return;
    memcpy(out->text + out->len, bytes, len);
    out->len += len;
    out->text[out->len] = '\0';
}

static void put_text(writer *out, const char *text)
{
    put(out, text, strlen(text));
}

/* As it is, except the bytes of `special`, or with every byte of its meaning escaped. */
static void put_part(writer *out, const char *part, size_t len, bool escaped, const char *special)
{
    char plain[TEXT_MAX];
    char byte[4];
    size_t n = decode(part, len, plain);
    size_t i;

    if (!escaped) {
        n = len;
        memcpy(plain, len > 0 ? part : "", len);
    }
    for (i = 0; i < n; i++) {
        if (!escaped && (plain[i] == '\0' || strchr(special, plain[i]) == NULL)) {
            put(out, plain + i, 1);
            continue;
        }
        (void)snprintf(byte, sizeof byte, "%%%02x", (unsigned)(uint8_t)plain[i]);
        put_text(out, byte);
    }
}

static void put_url(writer *out, const rlk_url *url, bool escaped)
{
    char number[32];
    bool brackets = url->host != NULL && memchr(url->host, ':', url->host_len) != NULL;

    out->len = 0;
    put_text(out, url->host != NULL ? "redis://" : "unix://");
    if (url->user != NULL || url->password != NULL) {
        put_part(out, url->user, url->user_len, escaped, "/?@:");
        if (url->password != NULL) {
            put_text(out, ":");
            put_part(out, url->password, url->password_len, escaped, "/?");
        }
        put_text(out, "@");
    }
    if (url->host != NULL) {
        put_text(out, brackets ? "[" : "");
        put(out, url->host, url->host_len);
        (void)snprintf(number, sizeof number, "%s:%u", brackets ? "]" : "", (unsigned)url->port);
        put_text(out, number);
    } else {
        put_text(out, "/"); /* the first slash of a path says where it begins */
        put_part(out, url->path + 1, url->path_len - 1u, escaped, "");
    }
    (void)snprintf(number, sizeof number, "?db=%u", (unsigned)url->db);
    put_text(out, number);
}

static void check_same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
    char plain_a[TEXT_MAX];
    char plain_b[8 * TEXT_MAX];
    size_t n;

    FUZZ_REQUIRE((a == NULL) == (b == NULL));
    n = decode(a, a_len, plain_a);
    FUZZ_REQUIRE(decode(b, b_len, plain_b) == n);
    FUZZ_REQUIRE(memcmp(plain_a, plain_b, n) == 0);
}

static void check_round_trip(const rlk_url *url, bool escaped)
{
    static writer out;
    rlk_url again;

    put_url(&out, url, escaped);
    FUZZ_REQUIRE(rlk_url_parse(&again, out.text) == RLK_OK);
    check_parts(&again, out.text);
    check_same_text(url->host, url->host_len, again.host, again.host_len);
    check_same_text(url->path, url->path_len, again.path, again.path_len);
    check_same_text(url->user, url->user_len, again.user, again.user_len);
    check_same_text(url->password, url->password_len, again.password, again.password_len);
    FUZZ_REQUIRE(url->port == again.port && url->db == again.db);
    FUZZ_REQUIRE(rlk_url_same_server(url, &again) && rlk_url_same_server(&again, url));
    again.port = (uint16_t)(again.port ^ 1u);
    FUZZ_REQUIRE(url->host == NULL || !rlk_url_same_server(url, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rlk_url url;
    rlk_result result;
    char *text;

    if (size >= TEXT_MAX)
        return 0;
    text = (char *)malloc(size + 1);
    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    memset(&url, 0xa5, sizeof url);
    result = rlk_url_parse(&url, text);
    check_decode(text, strlen(text));
    if (result == RLK_OK || result == RLK_E_URL_TLS) {
        check_parts(&url, text);
        check_round_trip(&url, false);
        check_round_trip(&url, true);
    } else {
        check_refusal(&url, result);
    }
    free(text);
    return 0;
}
