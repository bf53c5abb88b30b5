/* SPDX-License-Identifier: MIT
 *
 * A token is the caller's prefix, 32 hex digits of 128 random bits, and 8 of the number of the
 * attempt. A token for which a release is queued is never used again (rule 3). So each attempt
 * takes the next number. A node lock remembers which token may be on the node by that number alone.
 */
#include "token.h"

#include <string.h>

#if RLKI_RANDOM_BLOCK > 0

/* Erases, also where the compiler knows that nothing reads it again. */
static void token_wipe(uint8_t *bytes, size_t len)
{
    volatile uint8_t *at = bytes;

    while (len-- > 0)
        *at++ = 0;
}

void rlki_token_forget(rlk_client *client)
{
    token_wipe(client->random, sizeof client->random);
    client->random_left = 0;
}

/*
 * Takes the bytes of a token from the client's block, which is drawn anew when it has no more.
 * Each byte is in one token of one process:
 * - A child never comes here, since each call checks the process first. Without that check there
 *   is no block: the child of a fork would have the parent's.
 * - Two clones of a virtual machine have the same block. They lose their connections, and
 *   client_changed drops the block at each that becomes ready.
 */
static bool token_random(rlk_client *client, uint8_t *out)
{
    const rlk_env *env = &client->env;
    uint8_t *bytes;

    if (env->same_process == NULL)
        return env->random(env->context, out, RLKI_TOKEN_BYTES) == 0;
    if (client->random_left < RLKI_TOKEN_BYTES) {
        if (env->random(env->context, client->random, sizeof client->random) != 0) {
            rlki_token_forget(client);
            return false;
        }
        client->random_left = sizeof client->random;
    }
    client->random_left = (uint16_t)(client->random_left - RLKI_TOKEN_BYTES);
    bytes = client->random + client->random_left;
    memcpy(out, bytes, RLKI_TOKEN_BYTES);
    memset(bytes, 0, RLKI_TOKEN_BYTES); /* which the next token may read, for all compilers know */
    return true;
}

#else

static bool token_random(rlk_client *client, uint8_t *out)
{
    return client->env.random(client->env.context, out, RLKI_TOKEN_BYTES) == 0;
}

#endif

bool rlki_token_draw(rlk_lock *lock)
{
    return token_random(lock->client, lock->base);
}

extern inline size_t rlki_token_len(const rlk_lock *lock);

extern inline size_t rlki_token_fold(size_t hash, size_t word);

extern inline size_t rlki_token_mix(size_t hash, const void *text, size_t len);

extern inline size_t rlki_token_texts(const rlk_lock *lock);

extern inline bool rlki_token_dangles(const rlk_lock *lock);

/*
 * Writes the nibbles of eight bytes as eight digits, in one word: '0' more, and where the nibble is
 * above 9, 39 more for a letter.
 */
static uint8_t *token_hex(uint8_t *out, uint64_t word)
{
    word &= UINT64_C(0x0f0f0f0f0f0f0f0f);
    word += UINT64_C(0x3030303030303030) +
            ((word + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101)) * 39;
    memcpy(out, &word, sizeof word);
    return out + sizeof word;
}

/*
 * Puts the halves of a number's four bytes into one word. In memory they are in the same order on
 * every machine: the lowest byte first, and all upper halves before the lower ones. A token is only
 * compared: the order of a reader would cost as much again.
 */
static uint64_t token_halves(uint32_t number)
{
#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    number = number >> 24 | (number >> 8 & UINT32_C(0xff00)) | (number & UINT32_C(0xff00)) << 8 |
             number << 24;
    return (uint64_t)(number >> 4) << 32 | number;
#else
    return (uint64_t)number << 32 | number >> 4;
#endif
}

void rlki_token_write(const rlk_lock *lock, uint32_t number, uint8_t *out)
{
    uint64_t word;
    unsigned i;

    if (lock->prefix_len > 0)
        memcpy(out, lock->prefix, lock->prefix_len);
    out += lock->prefix_len;
    for (i = 0; i < RLKI_TOKEN_BYTES; i += sizeof word) {
        memcpy(&word, lock->base + i, sizeof word);
        out = token_hex(out, word >> 4);
        out = token_hex(out, word);
    }
    (void)token_hex(out, token_halves(number));
}
