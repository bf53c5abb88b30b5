/* SPDX-License-Identifier: MIT
 *
 * The token of a lock.
 */
#ifndef RLKI_LOCK_TOKEN_H
#define RLKI_LOCK_TOKEN_H

#include "state.h"

#include <string.h>

/* Draws the random part anew. False: no entropy. */
bool rlki_token_draw(rlk_lock *lock);

/* Erases the random bytes that the client has drawn for tokens to come. */
#if RLKI_RANDOM_BLOCK > 0
void rlki_token_forget(rlk_client *client);
#else
static inline void rlki_token_forget(rlk_client *client)
{
    (void)client;
}
#endif

/* Length of a lock's tokens. */
inline size_t rlki_token_len(const rlk_lock *lock)
{
    return (size_t)lock->prefix_len + RLK_TOKEN_DIGITS;
}

/* Writes the token with this number: rlki_token_len bytes. */
void rlki_token_write(const rlk_lock *lock, uint32_t number, uint8_t *out);

/* The step of FNV-1a with a factor of full width: other bytes in one word are always another hash.
 */
inline size_t rlki_token_fold(size_t hash, size_t word)
{
    return (hash ^ word) * (size_t)UINT64_C(0x9e3779b97f4a7c15);
}

/* By words, for it is asked at each command; the last one may overlap the one before. */
inline size_t rlki_token_mix(size_t hash, const void *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t word;

    while (len > sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = rlki_token_fold(hash, word);
        at += sizeof word;
        len -= sizeof word;
        if (len < sizeof word) {
            at -= sizeof word - len;
            len = sizeof word;
        }
    }
    if (len == sizeof word) {
        memcpy(&word, at, sizeof word);
        return rlki_token_fold(hash, word);
    }
    while (len-- > 0)
        hash = rlki_token_fold(hash, *at++);
    return hash;
}

/* Hash of the texts that a lock leaves where the caller has them: key and prefix. */
inline size_t rlki_token_texts(const rlk_lock *lock)
{
    size_t hash = rlki_token_mix(lock->key_len, lock->key, lock->key_len);

    return lock->prefix != NULL ? rlki_token_mix(hash, lock->prefix, lock->prefix_len) : hash;
}

/* True if these have changed since init (fault 119): a command would have another key, or another
 * token. */
RLKI_INTO_CALLERS bool rlki_token_dangles(const rlk_lock *lock)
{
    return rlki_token_texts(lock) != lock->texts;
}

#endif
