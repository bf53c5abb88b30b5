/* SPDX-License-Identifier: MIT */
#include "wipe.h"

void rlki_wipe(void *memory, size_t len)
{
    volatile uint8_t *at = (volatile uint8_t *)memory;

    while (len-- > 0)
        *at++ = 0;
}
