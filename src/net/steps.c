/* SPDX-License-Identifier: MIT */
#include "steps.h"

#include <string.h>

void rlki_step_word(rlk_resp_writer *writer, const char *word)
{
    rlk_resp_put_bulk(writer, word, strlen(word));
}
