/* SPDX-License-Identifier: MIT
 *
 * What the error replies of servers mean.
 */
#include "error.h"

#include <string.h>

/*
 * The one table of errors: what a server says, what that means, and whom it concerns (error.h).
 * First words of the text.
 */
#define ERROR_CODES(X)                                                                             \
    X("NOSCRIPT", RLK_E_NOSCRIPT, COMMAND)                                                         \
    X("READONLY", RLK_E_READONLY, STREAM)                                                          \
    X("LOADING", RLK_E_LOADING, LASTING)                                                           \
    X("BUSY", RLK_E_SCRIPT_BUSY, COMMAND)                                                          \
    X("MASTERDOWN", RLK_E_MASTERDOWN, LASTING)                                                     \
    X("MISCONF", RLK_E_MISCONF, COMMAND)                                                           \
    X("OOM", RLK_E_OOM, COMMAND)                                                                   \
    X("WRONGTYPE", RLK_E_WRONGTYPE, COMMAND)                                                       \
    X("NOREPLICAS", RLK_E_NOREPLICAS, COMMAND)                                                     \
    X("MOVED", RLK_E_MOVED, FINAL)                                                                 \
    X("ASK", RLK_E_ASK, FINAL)                                                                     \
    X("CLUSTERDOWN", RLK_E_CLUSTERDOWN, COMMAND)                                                   \
    X("TRYAGAIN", RLK_E_TRYAGAIN, COMMAND)                                                         \
    X("CROSSSLOT", RLK_E_CROSSSLOT, FINAL)                                                         \
    X("NOPERM", RLK_E_NOPERM, FINAL)                                                               \
    X("NOAUTH", RLK_E_NOAUTH, STREAM)                                                              \
    X("WRONGPASS", RLK_E_AUTH, FINAL)                                                              \
    X("DENIED", RLK_E_PROTECTED, FINAL)                                                            \
    X("NOPROTO", RLK_E_UNSUPPORTED, FINAL)

/* Beginnings of texts whose code is only ERR. The last two: an ACL denial inside a script, in
 * Redis 7.0 and later. */
#define ERROR_SENTENCES(X)                                                                         \
    X("max number of clients", RLK_E_SERVER_FULL, COMMAND)                                         \
    X("unknown command", RLK_E_UNSUPPORTED, FINAL)                                                 \
    X("unknown subcommand", RLK_E_UNSUPPORTED, FINAL)                                              \
    X("Unknown subcommand", RLK_E_UNSUPPORTED, FINAL)                                              \
    X("This instance has Lua scripting support disabled", RLK_E_UNSUPPORTED, FINAL)                \
    X("Could not find scripting engine", RLK_E_UNSUPPORTED, FINAL)                                 \
    X("invalid password", RLK_E_AUTH, FINAL)                                                       \
    X("Client sent AUTH, but no password is set", RLK_E_AUTH, FINAL)                               \
    X("AUTH <password> called without any password", RLK_E_AUTH, FINAL)                            \
    X("The user executing the script", RLK_E_NOPERM, FINAL)                                        \
    X("ACL failure in script", RLK_E_NOPERM, FINAL)

/* Texts one behind the other, an empty one at the end, and what each means: no pointers. */
#define ERROR_TEXT(text, result, scope)    text "\0"
#define ERROR_MEANING(text, result, scope) result,
#define ERROR_SCOPE(text, result, scope)   RLKI_SCOPE_##scope,

/* A term of a sum.
 * NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define ERROR_ONE(text, result, scope) +1

enum {
    ERROR_CODES_LEN = 0 ERROR_CODES(ERROR_ONE),
    ERROR_LEN = ERROR_CODES_LEN ERROR_SENTENCES(ERROR_ONE)
};

static const char error_codes[] = ERROR_CODES(ERROR_TEXT);
static const char error_sentences[] = ERROR_SENTENCES(ERROR_TEXT);
/* Those of the sentences stand behind those of the codes. */
static const int16_t error_meanings[ERROR_LEN] = {ERROR_CODES(ERROR_MEANING)
                                                      ERROR_SENTENCES(ERROR_MEANING)};
static const uint8_t error_scopes[ERROR_LEN] = {ERROR_CODES(ERROR_SCOPE)
                                                    ERROR_SENTENCES(ERROR_SCOPE)};

/* Before Redis 7 the error of a command inside a script stands in the middle of this one. */
#define ERROR_IN_SCRIPT "Error running script"

/* Meaning of the first of `texts` that `text` begins with (whole: that it is). */
static int error_find(const char *texts, const int16_t *meanings, const uint8_t *text, size_t len,
                      bool whole)
{
    for (; *texts != '\0'; meanings++) {
        size_t n = strlen(texts);

        if ((whole ? len == n : len >= n) && memcmp(text, texts, n) == 0)
            return *meanings;
        texts += n + 1;
    }
    return RLK_E_SERVER;
}

static size_t error_word(const uint8_t *text, size_t len)
{
    size_t n = 0;

    while (n < len && text[n] != ' ')
        n++;
    return n;
}

static int error_code(const uint8_t *word, size_t len)
{
    return error_find(error_codes, error_meanings, word, len, true);
}

/* The first error code among the words, which old servers precede with a dash. */
static int error_inside(const uint8_t *text, size_t len)
{
    int result = RLK_E_SERVER;

    while (len > 0 && result == RLK_E_SERVER) {
        size_t n = error_word(text, len);
        size_t dash = n > 0 && text[0] == '-';

        result = error_code(text + dash, n - dash);
        if (n < len)
            n++;
        text += n;
        len -= n;
    }
    return result;
}

rlk_result rlk_server_error(const uint8_t *text, size_t len)
{
    size_t n = error_word(text, len);

    if (n == len || n != 3 || memcmp(text, "ERR", 3) != 0)
        return (rlk_result)error_code(text, n);
    text += n + 1;
    len -= n + 1;
    n = sizeof ERROR_IN_SCRIPT - 1;
    if (len >= n && memcmp(text, ERROR_IN_SCRIPT, n) == 0)
        return (rlk_result)error_inside(text, len);
    return (rlk_result)error_find(error_sentences, error_meanings + ERROR_CODES_LEN, text, len,
                                  false);
}

rlki_scope rlki_error_scope(rlk_result error)
{
    unsigned i;

    for (i = 0; i < ERROR_LEN; i++)
        if (error_meanings[i] == (int16_t)error)
            return (rlki_scope)error_scopes[i];
    return RLKI_SCOPE_UNKNOWN;
}
