/* SPDX-License-Identifier: MIT
 *
 * resplock/url.h: where a server is.
 */
#ifndef RESPLOCK_URL_H
#define RESPLOCK_URL_H

#include "resplock/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A parsed URL. Texts point into the URL's own string, still percent-encoded, not terminated;
 * that string must outlive whatever the result is used for.
 */
typedef struct rlk_url {
    const char *host; /* without the brackets of an IPv6 literal; NULL for a Unix socket */
    const char *path; /* of a Unix socket, percent-encoded; NULL for TCP */
    const char *user; /* NULL: none */
    const char *password;
    uint16_t host_len;
    uint16_t path_len;
    uint16_t user_len;
    uint16_t password_len;
    uint16_t port; /* default 6379; 0 for a Unix socket */
    uint32_t db;   /* default 0 */
} rlk_url;

/*
 * Parses
 *     redis://[[user][:password]@][host][:[port]][/[db]][?parameters]
 *     unix://[[user][:password]@]/path/of/socket[?parameters]
 * as the IANA registration of the redis scheme and redis-py have them; valkey:// is redis://. For
 * rediss:// and valkeys://, which are the same over TLS, it returns RLK_E_URL_TLS and fills in all
 * of `url`: a driver that has TLS goes on.
 *   host        a name, an IPv4 address, or an IPv6 address in brackets, where a zone follows %25:
 *               [fe80::1%25eth0]. None: localhost. Without a port: 6379
 *   user        alone, as in user@host: with an empty password. A password alone: :password@host
 *   parameters  db=n, username=text, password=text, joined by &: where the parts before have none.
 *               A database may be said twice, if it is the same
 * White space around the text is not part of it; a slash at the end has no meaning.
 * Percent-encoding in user, password and path (a NUL in a path is refused). The characters @ / ? #
 * % must be escaped there, and + & of a parameter: %40 %2F %3F %23 %25 %2B %26. Returns RLK_OK or
 * the RLK_E_URL_* that names the part; touches no network.
 */
#ifndef RLK_NO_URL
RLK_API rlk_result rlk_url_parse(rlk_url *url, const char *text);
#endif

/*
 * Decodes percent-encoding of text[0..len) into out, which has room for `cap` bytes. Returns the
 * length of the decoded text, which is written only if it is <= cap. `out` may be NULL with cap 0.
 */
RLK_API size_t rlk_url_decode(const char *text, size_t len, uint8_t *out, size_t cap);

/* Returns true if both name the same server and port or the same socket (letters of the text, no
 * DNS). */
RLK_API bool rlk_url_same_server(const rlk_url *a, const rlk_url *b);

#ifdef __cplusplus
}
#endif

#endif
