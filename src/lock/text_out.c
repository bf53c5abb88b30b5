/* SPDX-License-Identifier: MIT */
#include "text_out.h"

void rlki_text_char(text_out *out, char c)
{
    if (out->at == out->end)
        return;
    *out->at++ = c >= ' ' && c <= '~' ? c : '?';
    *out->at = '\0';
}

void rlki_text_number(text_out *out, uint32_t number)
{
    char digits[10];
    unsigned n = 0;

    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (n > 0)
        rlki_text_char(out, digits[--n]);
}

#ifndef RLK_NO_TEXT
void rlki_text_string(text_out *out, const char *string)
{
    while (*string != '\0')
        rlki_text_char(out, *string++);
}
#endif
