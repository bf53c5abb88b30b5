/* SPDX-License-Identifier: MIT
 *
 * The hash of keys, and of the texts of errors.
 */
#include "resplock/net.h"

uint32_t rlk_key_hash(uint32_t hash, const void *key, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)key;
    size_t i;

    for (i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT32_C(16777619);
    return hash;
}
