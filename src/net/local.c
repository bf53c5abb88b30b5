/* SPDX-License-Identifier: MIT
 *
 * Our address at the server is kept twice, of this stream and of the one before, and only CLIENT
 * KILL needs it. So it is packed: each word has seven letters, as digits of base 21.
 */
#include "local.h"

#include <string.h>

#define LOCAL_BASE      21u /* 21^7 is less than 2^32 */
#define LOCAL_WORD_LEN  7u
#define LOCAL_WORDS_LEN (RLK_CONN_LOCAL / LOCAL_WORD_LEN)

/* The digit of a letter is its place here. Zero ends the text. */
static const char local_letters[] = "\0000123456789abcdef.:[]";

/* Returns the digit of a letter, LOCAL_BASE if it has none. */
static uint32_t local_digit(char letter)
{
    uint32_t digit = 0;

    while (digit < LOCAL_BASE && local_letters[digit] != letter)
        digit++;
    return digit;
}

void rlki_local_pack(rlk_conn_local *local, const char *text)
{
    unsigned i;

    for (i = 0; i < RLK_CONN_LOCAL; i++) {
        uint32_t *word = &local->words[i / LOCAL_WORD_LEN];
        uint32_t digit = local_digit(*text);

        if (digit == LOCAL_BASE || (digit != 0 && i == RLK_CONN_LOCAL - 1))
            break; /* no address */
        *word = *word * LOCAL_BASE + digit;
        if (digit != 0)
            text++;
    }
    if (*text != '\0')
        memset(local, 0, sizeof *local);
}

void rlki_local_text(const rlk_conn_local *local, char text[RLK_CONN_LOCAL])
{
    unsigned i;
    unsigned k;

    for (i = 0; i < LOCAL_WORDS_LEN; i++) {
        uint32_t word = local->words[i];

        for (k = LOCAL_WORD_LEN; k-- > 0; word /= LOCAL_BASE)
            text[i * LOCAL_WORD_LEN + k] = local_letters[word % LOCAL_BASE];
    }
}
