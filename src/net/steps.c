/* SPDX-License-Identifier: MIT */
#include "steps.h"

#include <string.h>

/* Length of the word at the beginning of a text. */
static size_t step_word_len(const char *text)
{
    size_t n = 0;

    while (text[n] != ' ' && text[n] != '\0')
        n++;
    return n;
}

void rlki_step_command(rlk_resp_writer *writer, const char *words, uint32_t more)
{
    const char *at;

    for (at = words; *at != '\0'; at++)
        if (*at == ' ')
            more++;
    rlk_resp_put_command(writer, more + 1);
    do {
        size_t n = step_word_len(words);

        rlk_resp_put_bulk(writer, words, n);
        words += n;
    } while (*words++ != '\0');
}

void rlki_step_word(rlk_resp_writer *writer, const char *word)
{
    rlk_resp_put_bulk(writer, word, strlen(word));
}

bool rlki_step_is_refused(rlk_result error)
{
    switch (error) {
    case RLK_E_LOADING:
    case RLK_E_SCRIPT_BUSY:
    case RLK_E_MASTERDOWN:
    case RLK_E_PROTECTED:
    case RLK_E_SERVER_FULL:
        return true;
    default:
        return false;
    }
}

rlk_result rlki_step_simple(const rlk_reply *reply)
{
    if (reply->error != RLK_OK)
        return reply->error;
    return reply->type == RLK_RESP_SIMPLE ? RLK_OK : RLK_E_UNEXPECTED;
}
