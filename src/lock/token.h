/* SPDX-License-Identifier: MIT
 *
 * The token of a lock.
 */
#ifndef RLKI_LOCK_TOKEN_H
#define RLKI_LOCK_TOKEN_H

#include "state.h"

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

/* Hash of the texts that a lock leaves where the caller has them: key and prefix. */
size_t rlki_token_texts(const rlk_lock *lock);

/* True if these have changed since init (fault 119): a command would have another key, or another
 * token. */
bool rlki_token_dangles(const rlk_lock *lock);

#endif
