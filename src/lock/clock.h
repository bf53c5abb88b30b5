/* SPDX-License-Identifier: MIT
 *
 * A client's time, chance and process: what it has of its environment.
 */
#ifndef RLKI_LOCK_CLOCK_H
#define RLKI_LOCK_CLOCK_H

#include "state.h"

/* True unless this process inherited the client by fork. */
bool rlki_client_same_process(const rlk_client *client);

/* RLK_OK of a client that is open, in the process that opened it. */
rlk_result rlki_client_enter(const rlk_client *client);

/* Samples the clock; never goes back. */
int64_t rlki_client_now(rlk_client *client);

/* The same by the time that a connection was given. */
int64_t rlki_client_advance(rlk_client *client, int64_t now_ms);

/* Returns a random number from min to max, for pauses: not secret. */
uint32_t rlki_client_jitter(rlk_client *client, uint32_t min, uint32_t max);

/* Returns a random pause between attempts of a lock. */
uint32_t rlki_lock_pause(const rlk_lock *lock);

/* Puts a lock on the list of those that are stepped before the call into the engine ends, or, where
 * a connection encodes on its own (rlk_conn_tx_buf), at the next tick. */
void rlki_ready(rlk_lock *lock);
/* Takes the first lock off it; NULL: there is none. */
rlk_lock *rlki_ready_take(rlk_client *client);

#endif
