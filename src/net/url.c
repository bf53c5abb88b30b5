/* SPDX-License-Identifier: MIT
 *
 * URLs of servers: redis://, valkey:// and unix://, by RFC 3986, the registration of the redis
 * scheme and redis-py. The result points into the text; nothing is copied or decoded here.
 *
 *     redis://user:password@host:6379/0?db=0
 *     |-----| |-----------| |-------| | |---|
 *     scheme   credentials  authority path query
 *                           (host)
 *
 * Where the rules leave a choice: the scheme's letters have no case; white space around the text is
 * not part of it; an empty host is localhost, an empty port the default; credentials end at the
 * last '@' before the path; a database said twice must be the same one, and credentials are said
 * once.
 *
 * A character that ends a part too early, because nobody escaped it, must not lead to another
 * server: an '@' behind the authority and a '#' anywhere are refused.
 */
#include "resplock/net.h"

#include <string.h>

/* Longest URL. The lengths in rlk_url are 16 bits wide. */
#ifndef RLK_URL_MAX
#define RLK_URL_MAX 65535u
#endif

/* Longest host, zone included. DNS allows 253. */
#ifndef RLK_URL_HOST_MAX
#define RLK_URL_HOST_MAX 255
#endif

/* Longest decoded path of a Unix socket: sun_path of Linux without its terminator. Where that is
 * shorter, the driver refuses the rest. */
#ifndef RLK_URL_PATH_MAX
#define RLK_URL_PATH_MAX 107
#endif

#define URL_HOST     "localhost"
#define URL_PORT     6379u
#define URL_PORT_MAX 65535u
#define URL_DB_MAX   2147483647u

/* ---- Characters -------------------------------------------------------------------------- */

static bool url_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char url_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Value of a hex digit, -1 for any other character. */
static int url_hex(char c)
{
    char lower = url_lower(c);

    if (url_is_digit(c)) {
        return c - '0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* True if begin[0..len) is `lower` without regard to case. */
static bool url_same_letters(const char *begin, const char *lower, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (url_lower(begin[i]) != url_lower(lower[i])) {
            return false;
        }
    }
    return true;
}

/* The byte at *at, which moves behind it. A '%' without two hex digits stands for itself. */
static uint8_t url_next_byte(const char **at, const char *end)
{
    const char *p = *at;

    if (*p == '%' && end - p >= 3 && url_hex(p[1]) >= 0 && url_hex(p[2]) >= 0) {
        *at = p + 3;
        return (uint8_t)(url_hex(p[1]) * 16 + url_hex(p[2]));
    }
    *at = p + 1;
    return (uint8_t)*p;
}

size_t rlk_url_decode(const char *text, size_t len, uint8_t *out, size_t cap)
{
    const char *end;
    const char *at;
    size_t n = 0;

    if (len == 0) { /* text may be NULL */
        return 0;
    }
    end = text + len;
    for (at = text; at < end; n++) {
        (void)url_next_byte(&at, end);
    }
    if (n <= cap) {
        for (at = text; at < end;) {
            *out++ = url_next_byte(&at, end);
        }
    }
    return n;
}

/* ---- Comparison -------------------------------------------------------------------------- */

static bool url_same_path(const rlk_url *a, const rlk_url *b)
{
    const char *at = a->path;
    const char *end = at + a->path_len;
    const char *bt = b->path;
    const char *bend = bt + b->path_len;

    while (at < end && bt < bend) {
        if (url_next_byte(&at, end) != url_next_byte(&bt, bend)) {
            return false;
        }
    }
    return at == end && bt == bend;
}

bool rlk_url_same_server(const rlk_url *a, const rlk_url *b)
{
    if (a->host != NULL && b->host != NULL) {
        return a->port == b->port && a->host_len == b->host_len &&
               url_same_letters(a->host, b->host, a->host_len);
    }
    return a->path != NULL && b->path != NULL && url_same_path(a, b);
}

/* ---- Parsing ----------------------------------------------------------------------------- */

#ifndef RLK_NO_URL

/* Characters of a host name, and of the zone of an IPv6 address. */
static bool url_is_name_char(char c)
{
    char lower = url_lower(c);

    return (lower >= 'a' && lower <= 'z') || url_is_digit(c) || c == '-' || c == '.' || c == '_';
}

static const char *url_find(const char *begin, const char *end, char c)
{
    while (begin < end && *begin != c) {
        begin++;
    }
    return begin;
}

/* The last one; `end` if there is none. */
static const char *url_find_last(const char *begin, const char *end, char c)
{
    const char *at = end;

    while (at > begin) {
        if (*--at == c) {
            return at;
        }
    }
    return end;
}

static bool url_is_word(const char *begin, const char *end, const char *word)
{
    size_t len = strlen(word);

    return (size_t)(end - begin) == len && memcmp(begin, word, len) == 0;
}

static bool url_is_scheme(const char *begin, const char *end, const char *scheme)
{
    size_t len = (size_t)(end - begin);

    return len == strlen(scheme) && url_same_letters(begin, scheme, len);
}

/* Digits only, at least one, at most `max` (< 2^32). */
static bool url_number(const char *begin, const char *end, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;

    if (begin == end) {
        return false;
    }
    for (; begin < end; begin++) {
        if (!url_is_digit(*begin)) {
            return false;
        }
        value = value * 10 + (uint64_t)(*begin - '0');
        if (value > max) {
            return false;
        }
    }
    *out = (uint32_t)value;
    return true;
}

static bool url_escapes_are_good(const char *begin, const char *end)
{
    for (; begin < end; begin++) {
        if (*begin == '%' && (end - begin < 3 || url_hex(begin[1]) < 0 || url_hex(begin[2]) < 0)) {
            return false;
        }
    }
    return true;
}

/* ---- Host -------------------------------------------------------------------------------- */

/* Four decimal numbers of 0..255 without leading zeros, as inet_pton has them. */
static bool url_is_ipv4(const char *begin, const char *end)
{
    unsigned parts = 0;

    for (;;) {
        const char *stop = url_find(begin, end, '.');
        uint32_t value;

        if (!url_number(begin, stop, 255, &value) || (*begin == '0' && stop - begin > 1)) {
            return false;
        }
        parts++;
        if (stop == end) {
            return parts == 4;
        }
        begin = stop + 1;
    }
}

/* RFC 4291: eight groups of one to four hex digits, one run of zero groups perhaps as "::", the
 * last two groups perhaps as an IPv4 address. */
static bool url_is_ipv6(const char *begin, const char *end)
{
    const char *at = begin;
    unsigned groups = 0;
    bool gap = false;

    if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
        gap = true;
        at += 2;
    }
    while (at < end) {
        const char *group = at;

        while (at < end && at - group < 4 && url_hex(*at) >= 0) {
            at++;
        }
        if (at < end && *at == '.' && url_is_ipv4(group, end)) {
            groups += 2;
            break;
        }
        if (at == group) {
            return false;
        }
        groups++;
        if (at == end) {
            break;
        }
        if (*at != ':' || ++at == end) {
            return false;
        }
        if (*at == ':') {
            if (gap) {
                return false;
            }
            gap = true;
            at++;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

/* What stands between the brackets: an IPv6 address, behind it perhaps "%25" and a zone
 * (RFC 6874). */
static bool url_is_bracketed(const char *begin, const char *end)
{
    const char *percent = url_find(begin, end, '%');
    const char *at;

    if (!url_is_ipv6(begin, percent)) {
        return false;
    }
    if (percent == end) {
        return true;
    }
    if (end - percent < 4 || percent[1] != '2' || percent[2] != '5') {
        return false;
    }
    for (at = percent + 3; at < end && url_is_name_char(*at); at++) {
    }
    return at == end;
}

/* A name or an IPv4 address; not empty. What has only digits and dots can't be a name: 1.2.3,
 * 256.1.1.1. */
static bool url_is_host(const char *begin, const char *end)
{
    bool numeric = true;
    const char *at;

    for (at = begin; at < end; at++) {
        if (!url_is_name_char(*at)) {
            return false;
        }
        numeric = numeric && (url_is_digit(*at) || *at == '.');
    }
    return !numeric || url_is_ipv4(begin, end);
}

/* ---- Parts ------------------------------------------------------------------------------- */

/* host[:port], both of which may be empty. The host ends at the last colon, so that an IPv6 address
 * without its brackets is a wrong host and not a wrong port. */
static rlk_result url_parse_host(rlk_url *url, const char *begin, const char *end)
{
    const char *host = begin;
    const char *host_end;
    const char *colon;
    uint32_t port = URL_PORT;

    if (begin < end && *begin == '[') {
        host++;
        host_end = url_find(host, end, ']');
        if (host_end == end || !url_is_bracketed(host, host_end)) {
            return RLK_E_URL_HOST;
        }
        colon = host_end + 1;
        if (colon < end && *colon != ':') {
            return RLK_E_URL_HOST;
        }
    } else {
        colon = url_find_last(begin, end, ':');
        host_end = colon;
        if (host == host_end) {
            host = URL_HOST;
            host_end = host + sizeof URL_HOST - 1;
        }
        if (!url_is_host(host, host_end)) {
            return RLK_E_URL_HOST;
        }
    }
    if (host_end - host > RLK_URL_HOST_MAX) {
        return RLK_E_URL_HOST;
    }
    if (end - colon > 1 && (!url_number(colon + 1, end, URL_PORT_MAX, &port) || port == 0)) {
        return RLK_E_URL_PORT;
    }
    url->host = host;
    url->host_len = (uint16_t)(host_end - host);
    url->port = (uint16_t)port;
    return RLK_OK;
}

/* [user][:password]. An empty user is none; so is an empty password without a user, as comes from
 * a template with nothing to fill in. */
static rlk_result url_parse_credentials(rlk_url *url, const char *begin, const char *end)
{
    const char *colon = url_find(begin, end, ':');

    if (!url_escapes_are_good(begin, end)) {
        return RLK_E_URL_ESCAPE;
    }
    if (colon > begin) {
        url->user = begin;
        url->user_len = (uint16_t)(colon - begin);
    }
    if (colon < end && (colon > begin || colon + 1 < end)) {
        url->password = colon + 1;
        url->password_len = (uint16_t)(end - url->password);
    }
    return RLK_OK;
}

/* The path of a Unix socket: absolute, and something to name. */
static rlk_result url_parse_path(rlk_url *url, const char *begin, const char *end)
{
    const char *at = begin;
    size_t len = 0;

    if (!url_escapes_are_good(begin, end)) {
        return RLK_E_URL_ESCAPE;
    }
    for (; at < end; len++) {
        if (url_next_byte(&at, end) == 0) {
            return RLK_E_URL_PATH;
        }
    }
    if (len < 2 || len > RLK_URL_PATH_MAX) {
        return RLK_E_URL_PATH;
    }
    url->path = begin;
    url->path_len = (uint16_t)(end - begin);
    return RLK_OK;
}

/* /[db][/] */
static rlk_result url_parse_db(rlk_url *url, const char *begin, const char *end, bool *has_db)
{
    if (begin < end) {
        begin++;
    }
    if (begin < end && end[-1] == '/') {
        end--;
    }
    *has_db = begin < end;
    return !*has_db || url_number(begin, end, URL_DB_MAX, &url->db) ? RLK_OK : RLK_E_URL_DB;
}

/* The value of a user or password in the query, where an empty one is none. Of a '+' some make a
 * space there. */
static rlk_result url_take_value(const char **text, uint16_t *len, const char *begin,
                                 const char *end)
{
    if (*text != NULL) {
        return RLK_E_URL_QUERY;
    }
    if (!url_escapes_are_good(begin, end) || url_find(begin, end, '+') < end) {
        return RLK_E_URL_ESCAPE;
    }
    if (begin < end) {
        *text = begin;
        *len = (uint16_t)(end - begin);
    }
    return RLK_OK;
}

/* One name=value. has_db: the database was said already. */
static rlk_result url_parse_pair(rlk_url *url, const char *begin, const char *end, bool *has_db)
{
    const char *equals = url_find(begin, end, '=');
    const char *value = equals < end ? equals + 1 : end;
    uint32_t db;

    if (url_is_word(begin, equals, "username")) {
        return url_take_value(&url->user, &url->user_len, value, end);
    }
    if (url_is_word(begin, equals, "password")) {
        return url_take_value(&url->password, &url->password_len, value, end);
    }
    if (!url_is_word(begin, equals, "db")) {
        return RLK_E_URL_QUERY;
    }
    if (!url_number(value, end, URL_DB_MAX, &db) || (*has_db && db != url->db)) {
        return RLK_E_URL_DB;
    }
    url->db = db;
    *has_db = true;
    return RLK_OK;
}

/* Pairs joined by '&'. */
static rlk_result url_parse_query(rlk_url *url, const char *begin, const char *end, bool has_db)
{
    rlk_result result = RLK_OK;

    while (begin < end && result == RLK_OK) {
        const char *stop = url_find(begin, end, '&');

        result = url_parse_pair(url, begin, stop, &has_db);
        begin = stop < end ? stop + 1 : end;
    }
    return result;
}

/* ---- The whole --------------------------------------------------------------------------- */

static bool url_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text without the white space around it, such as the end of a line. False: it has a character
 * that no URL has, or no end. */
static bool url_trim(const char **begin, const char **end)
{
    const char *text = *begin;
    size_t len = 0;
    size_t i;

    while (url_is_space(*text)) {
        text++;
    }
    while (text[len] != '\0') {
        if (len++ == RLK_URL_MAX) {
            return false;
        }
    }
    while (len > 0 && url_is_space(text[len - 1])) {
        len--;
    }
    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c <= ' ' || c == 0x7f || c == '"') {
            return false;
        }
    }
    *begin = text;
    *end = text + len;
    return *text != '\'';
}

/* What is behind "scheme://". */
static rlk_result url_parse_rest(rlk_url *url, bool is_unix, const char *begin, const char *end)
{
    const char *question = url_find(begin, end, '?');
    const char *slash = url_find(begin, question, '/');
    const char *at = url_find_last(begin, slash, '@');
    const char *query = question < end ? question + 1 : end;
    bool has_db = false;
    rlk_result result = RLK_OK;

    if (url_find(begin, end, '#') < end) {
        return RLK_E_URL_ESCAPE;
    }
    if (at < slash) {
        result = url_parse_credentials(url, begin, at);
        begin = at + 1;
    }
    if (result != RLK_OK) {
        return result;
    }
    /* credentials that a character of theirs has cut short; the path of a socket may have an '@' */
    if (!(is_unix && begin == slash) && url_find(slash, end, '@') < end) {
        return RLK_E_URL_ESCAPE;
    }
    if (is_unix) {
        /* unix://run/redis.sock: a slash was forgotten */
        result = begin < slash ? RLK_E_URL_PATH : url_parse_path(url, slash, question);
    } else {
        result = url_parse_host(url, begin, slash);
        if (result == RLK_OK) {
            result = url_parse_db(url, slash, question, &has_db);
        }
    }
    return result != RLK_OK ? result : url_parse_query(url, query, end, has_db);
}

static rlk_result url_parse_text(rlk_url *url, const char *text)
{
    const char *end;
    const char *colon;
    bool is_unix;
    bool is_tls;
    rlk_result result;

    if (!url_trim(&text, &end)) {
        return RLK_E_URL;
    }
    colon = url_find(text, end, ':');
    if (end - colon < 3 || colon[1] != '/' || colon[2] != '/') {
        return RLK_E_URL;
    }
    is_unix = url_is_scheme(text, colon, "unix");
    is_tls = url_is_scheme(text, colon, "rediss") || url_is_scheme(text, colon, "valkeys");
    if (!is_unix && !is_tls && !url_is_scheme(text, colon, "redis") &&
        !url_is_scheme(text, colon, "valkey")) {
        return RLK_E_URL_SCHEME;
    }
    result = url_parse_rest(url, is_unix, colon + 3, end);
    return result == RLK_OK && is_tls ? RLK_E_URL_TLS : result;
}

rlk_result rlk_url_parse(rlk_url *url, const char *text)
{
    rlk_result result;

    if (url == NULL) {
        return RLK_E_ARGUMENT;
    }
    memset(url, 0, sizeof *url);
    if (text == NULL) {
        return RLK_E_ARGUMENT;
    }
    result = url_parse_text(url, text);
    if (result != RLK_OK && result != RLK_E_URL_TLS) {
        memset(url, 0, sizeof *url);
    }
    return result;
}

#endif /* RLK_NO_URL */
