/* SPDX-License-Identifier: MIT
 *
 * A terminated text under construction.
 */
#ifndef RLKI_TEXT_OUT_H
#define RLKI_TEXT_OUT_H

#include "resplock/base.h"

/* What does not fit is cut off. */
typedef struct text_out {
    char *at;
    char *end; /* last byte, for the terminator */
} text_out;

static inline text_out text_begin(char *text, size_t cap)
{
    text_out out;

    out.at = text;
    out.end = text + cap - 1;
    *out.at = '\0';
    return out;
}

void rlki_text_char(text_out *out, char c);
void rlki_text_number(text_out *out, uint32_t number);

#ifndef RLK_NO_TEXT
void rlki_text_string(text_out *out, const char *string);
#endif

#endif
