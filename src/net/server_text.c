/* SPDX-License-Identifier: MIT
 *
 * The text of a server's error, as a connection keeps it: its first bytes, without control bytes.
 * Servers repeat commands in their errors. Passwords and tokens don't stay in the text, in whatever
 * words they came. What is masked, in this order:
 *
 *   all behind the comma of   ERR unknown command `AUTH`, with args beginning with: `secret`
 *   the password, as it was sent, wherever it is; as far as the text or the server has cut it
 *   quoted arguments of HELLO and AUTH, which a server may have escaped
 *   digits of a token: 16 or more hex digits, and those that the text ends with where it is cut
 *
 * Three asterisks take the place of each, so that its length does not show either.
 */
#include "server_text.h"

#include "wipe.h"

#include <string.h>

/* Behind `at` nothing is left. */
static void text_mask_cut(rlk_conn *conn, size_t at)
{
    rlki_wipe(conn->text + at, sizeof conn->text - at);
    conn->text_len = (uint8_t)at;
}

void rlki_text_forget(rlk_conn *conn)
{
    text_mask_cut(conn, 0);
}

/* Control bytes of a server's text don't reach terminals and logs. */
#define TEXT_CONTROL_MARK '?'

void rlki_text_keep(rlk_conn *conn, const rlk_resp_token *token)
{
    size_t i;

    if ((token->flags & RLK_RESP_FIRST) != 0)
        rlki_text_forget(conn);
    for (i = 0; i < token->len && conn->text_len < sizeof conn->text - 1; i++) {
        uint8_t byte = token->data[i];

        conn->text[conn->text_len] = (char)(byte < 0x20 || byte == 0x7f ? TEXT_CONTROL_MARK : byte);
        conn->text_len++;
    }
}

void rlk_conn_explain(rlk_conn *conn, const char *text)
{
    rlk_resp_token token;

    memset(&token, 0, sizeof token);
    token.flags = RLK_RESP_FIRST;
    token.data = (const uint8_t *)text;
    token.len = strlen(text);
    rlki_text_keep(conn, &token);
}

#ifndef RLK_NO_TEXT

/* That many hex digits are no word. A token has RLK_TOKEN_DIGITS. */
#define TEXT_MASK_DIGITS_MIN 16u

/* A password of that length is not in the text by chance, wherever it is found. */
#define TEXT_MASK_WORD_MAX 8u

/* So much of a longer one is its beginning, which the server has cut. */
#define TEXT_MASK_BEGINNING 16u

#define TEXT_MASK_LEN 3u

/* Masks text[at..at + len); returns where it goes on. */
static size_t text_mask_range(rlk_conn *conn, size_t at, size_t len)
{
    size_t stays = len < TEXT_MASK_LEN ? len : TEXT_MASK_LEN;
    size_t left = conn->text_len - (at + len);

    memset(conn->text + at, '*', stays);
    memmove(conn->text + at + stays, conn->text + at + len, left);
    text_mask_cut(conn, at + stays + left);
    return at + stays;
}

static bool text_mask_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool text_mask_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool text_mask_is_hex(char c)
{
    return text_mask_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool text_mask_is_word(char c)
{
    return text_mask_is_letter(c) || text_mask_is_digit(c) || c == '-' || c == '_';
}

/* A word, or an argument, may begin at `at`, or end before it. */
static bool text_mask_is_bound(const rlk_conn *conn, size_t at, bool begins)
{
    if (begins)
        return at == 0 || !text_mask_is_word(conn->text[at - 1]);
    return at == conn->text_len || !text_mask_is_word(conn->text[at]);
}

static void text_mask_digits(rlk_conn *conn, bool cut)
{
    size_t at = 0;

    while (at < conn->text_len) {
        size_t n = 0;

        while (at + n < conn->text_len && text_mask_is_hex(conn->text[at + n]))
            n++;
        if (n >= TEXT_MASK_DIGITS_MIN || (cut && n > 0 && at + n == conn->text_len))
            at = text_mask_range(conn, at, n);
        else
            at += n > 0 ? n : 1;
    }
}

/* The next byte of the password as it was sent, from *at on. */
static uint8_t text_mask_password_byte(const rlk_conn *conn, size_t *at)
{
    const char *byte = conn->phase.handshake.password + *at;
    uint8_t plain = (uint8_t)*byte;
    size_t width = conn->login.hook == NULL && *byte == '%' ? 3 : 1;

    if (conn->login.hook == NULL) /* of the URL */
        (void)rlk_url_decode(byte, width, &plain, 1);
    *at += width;
    return plain;
}

/* Control bytes reach the text as other characters, here or by the server. */
static bool text_mask_is_same(uint8_t sent, char shown)
{
    if (sent < ' ' || sent == 0x7f)
        return shown == '?' || shown == ' ';
    return (char)sent == shown;
}

/* Bytes of the text at `at` that are the password's: all of it, or its beginning. */
static size_t text_mask_password_at(const rlk_conn *conn, size_t at, bool *whole)
{
    size_t n = 0;
    size_t i = 0;

    *whole = false;
    while (i < conn->phase.handshake.password_len && at + n < conn->text_len) {
        if (!text_mask_is_same(text_mask_password_byte(conn, &i), conn->text[at + n]))
            return n;
        n++;
    }
    *whole = i >= conn->phase.handshake.password_len;
    return n;
}

static bool text_mask_is_password(const rlk_conn *conn, size_t at, size_t n, bool whole, bool cut)
{
    if (n >= TEXT_MASK_BEGINNING || (whole && n >= TEXT_MASK_WORD_MAX))
        return true;
    if (n == 0 || !text_mask_is_bound(conn, at, true))
        return false;
    return (whole && text_mask_is_bound(conn, at + n, false)) || (cut && at + n == conn->text_len);
}

static void text_mask_password(rlk_conn *conn, bool cut)
{
    size_t at = 0;

    while (at < conn->text_len) {
        bool whole;
        size_t n = text_mask_password_at(conn, at, &whole);

        at = text_mask_is_password(conn, at, n, whole, cut) ? text_mask_range(conn, at, n) : at + 1;
    }
}

/* Names of commands stay, and what was masked already. */
static bool text_mask_stays(const char *quoted, size_t len)
{
    static const char *const names[] = {"auth", "hello", "***"};
    size_t i;
    size_t k;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (k = 0; k < len && names[i][k] != '\0' && (quoted[k] | 0x20) == (names[i][k] | 0x20);)
            k++;
        if (k == len && names[i][k] == '\0')
            return true;
    }
    return false;
}

static void text_mask_quoted(rlk_conn *conn)
{
    size_t at = 0;

    while (at < conn->text_len) {
        char quote = conn->text[at];
        size_t n = 0;

        at++;
        if ((quote != '\'' && quote != '`' && quote != '"') ||
            !text_mask_is_bound(conn, at - 1, true)) /* the apostrophe of a word */
            continue;
        while (at + n < conn->text_len && conn->text[at + n] != quote)
            n += conn->text[at + n] == '\\' && at + n + 1 < conn->text_len ? 2 : 1;
        at = (text_mask_stays(conn->text + at, n) ? at + n : text_mask_range(conn, at, n)) + 1;
    }
}

#endif /* RLK_NO_TEXT */

void rlki_text_mask(rlk_conn *conn, rlk_result error, bool secret)
{
#ifndef RLK_NO_TEXT
    bool cut = conn->text_len == sizeof conn->text - 1;
#endif
    size_t i = 0;

    while (error == RLK_E_UNSUPPORTED && i < conn->text_len && conn->text[i] != ',')
        i++;
    if (error == RLK_E_UNSUPPORTED)
        text_mask_cut(conn, i);
#ifdef RLK_NO_TEXT
    (void)secret;
#else
    if (secret) {
        text_mask_password(conn, cut);
        text_mask_quoted(conn);
    }
    text_mask_digits(conn, cut);
#endif
}
