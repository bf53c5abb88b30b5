/* SPDX-License-Identifier: MIT
 *
 * What the error replies of servers mean.
 */
#include "resplock/net.h"

#include <string.h>

typedef struct error_meaning {
    const char *text;
    int16_t result;
} error_meaning;

/* Error codes: the first word of the text. */
static const error_meaning error_codes[] = {
    {"NOSCRIPT", RLK_E_NOSCRIPT},
    {"READONLY", RLK_E_READONLY},
    {"LOADING", RLK_E_LOADING},
    {"BUSY", RLK_E_SCRIPT_BUSY},
    {"MASTERDOWN", RLK_E_MASTERDOWN},
    {"MISCONF", RLK_E_MISCONF},
    {"OOM", RLK_E_OOM},
    {"WRONGTYPE", RLK_E_WRONGTYPE},
    {"NOREPLICAS", RLK_E_NOREPLICAS},
    {"MOVED", RLK_E_MOVED},
    {"ASK", RLK_E_ASK},
    {"CLUSTERDOWN", RLK_E_CLUSTERDOWN},
    {"TRYAGAIN", RLK_E_TRYAGAIN},
    {"CROSSSLOT", RLK_E_CROSSSLOT},
    {"NOPERM", RLK_E_NOPERM},
    {"NOAUTH", RLK_E_AUTH},
    {"WRONGPASS", RLK_E_AUTH},
    {"DENIED", RLK_E_PROTECTED},
    {"NOPROTO", RLK_E_UNSUPPORTED},
};

/* Beginnings of texts whose code is only ERR. */
static const error_meaning error_sentences[] = {
    {"max number of clients", RLK_E_SERVER_FULL},
    {"unknown command", RLK_E_UNSUPPORTED},
    {"unknown subcommand", RLK_E_UNSUPPORTED},
    {"Unknown subcommand", RLK_E_UNSUPPORTED},
    {"invalid password", RLK_E_AUTH},
    {"Client sent AUTH, but no password is set", RLK_E_AUTH},
    {"AUTH <password> called without any password", RLK_E_AUTH},
    {"The user executing the script", RLK_E_NOPERM}, /* Redis 7.0: an ACL denial inside a script */
    {"ACL failure in script", RLK_E_NOPERM},         /* later */
};

/* Before Redis 7 the error of a command inside a script stands in the middle of this one. */
#define ERROR_IN_SCRIPT "Error running script"

static bool error_begins(const uint8_t *text, size_t len, const char *with)
{
    size_t n = strlen(with);

    return len >= n && memcmp(text, with, n) == 0;
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
    size_t i;

    for (i = 0; i < sizeof error_codes / sizeof error_codes[0]; i++)
        if (strlen(error_codes[i].text) == len && memcmp(word, error_codes[i].text, len) == 0)
            return error_codes[i].result;
    return RLK_E_SERVER;
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
    size_t i;

    if (n == len || n != 3 || memcmp(text, "ERR", 3) != 0)
        return (rlk_result)error_code(text, n);
    text += n + 1;
    len -= n + 1;
    for (i = 0; i < sizeof error_sentences / sizeof error_sentences[0]; i++)
        if (error_begins(text, len, error_sentences[i].text))
            return (rlk_result)error_sentences[i].result;
    if (error_begins(text, len, ERROR_IN_SCRIPT))
        return (rlk_result)error_inside(text, len);
    return RLK_E_SERVER;
}
