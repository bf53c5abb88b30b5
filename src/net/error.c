/* SPDX-License-Identifier: MIT
 *
 * What the error replies of servers mean.
 */
#include "error.h"

#include "../resp/apart.h"

#include <string.h>

/* A row of the tables. The length of a code is that of its word: none is needed. */
typedef struct error_row {
    uint32_t hash;
    int16_t meaning;
    uint8_t scope;
    uint8_t len;
} error_row;

#define ERROR_CODE(text, hash, meaning, scope) {hash, meaning, RLKI_SCOPE_##scope, 0},
#define ERROR_SENTENCE(text, hash, meaning, scope)                                                 \
    {hash, meaning, RLKI_SCOPE_##scope, sizeof(text) - 1},

/* A term of a sum.
 * NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define ERROR_ONE(text, hash, meaning, scope) +1

enum {
    ERROR_CODES_LEN = 0 RLKI_ERROR_CODES(ERROR_ONE),
    ERROR_LEN = ERROR_CODES_LEN RLKI_ERROR_SENTENCES(ERROR_ONE)
};

static const error_row error_rows[ERROR_LEN] = {RLKI_ERROR_CODES(ERROR_CODE)
                                                    RLKI_ERROR_SENTENCES(ERROR_SENTENCE)};

static size_t error_word(const uint8_t *text, size_t len)
{
    size_t n = 0;

    while (n < len && text[n] != ' ')
        n++;
    return n;
}

/* What a whole word means as a code. */
static int error_code(const uint8_t *word, size_t len)
{
    uint32_t hash = rlk_key_hash(RLK_KEY_HASH, word, len);
    unsigned i;

    for (i = 0; i < ERROR_CODES_LEN; i++)
        if (error_rows[i].hash == hash)
            return error_rows[i].meaning;
    return RLK_E_SERVER;
}

/* What a text behind ERR means, by its beginning. RLK_OK: error_inside knows. */
static int error_sentence(const uint8_t *text, size_t len)
{
    uint32_t hash = RLK_KEY_HASH;
    size_t hashed = 0;
    unsigned i;

    for (i = ERROR_CODES_LEN; i < ERROR_LEN && error_rows[i].len <= len; i++) {
        size_t n = error_rows[i].len;

        hash = rlk_key_hash(hash, text + hashed, n - hashed);
        hashed = n;
        if (error_rows[i].hash == hash)
            return error_rows[i].meaning;
    }
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

RLKI_APART_FOR_SIZE rlk_result rlk_server_error(const uint8_t *text, size_t len)
{
    size_t n = error_word(text, len);
    int meaning;

    if (n == len || n != 3 || memcmp(text, "ERR", 3) != 0)
        return (rlk_result)error_code(text, n);
    text += n + 1;
    len -= n + 1;
    meaning = error_sentence(text, len);
    return (rlk_result)(meaning == RLK_OK ? error_inside(text, len) : meaning);
}

rlki_scope rlki_error_scope(rlk_result error)
{
    unsigned i;

    for (i = 0; i < ERROR_LEN; i++)
        if (error_rows[i].meaning == (int)error)
            return (rlki_scope)error_rows[i].scope;
    return RLKI_SCOPE_UNKNOWN;
}
