/* SPDX-License-Identifier: MIT */
#include "limit.h"

#include "../resp/apart.h"

RLKI_APART_FOR_SIZE bool rlki_limit_take(uint32_t *out_ms, int64_t value_ms, uint32_t default_ms)
{
    *out_ms = value_ms == 0 ? default_ms : (uint32_t)value_ms;
    return value_ms >= 0 && value_ms <= RLK_TIME_LIMIT_MAX;
}
